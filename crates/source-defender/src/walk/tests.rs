//! A server with a clamp, ties, links, and any order against the walk.

use proptest::prelude::*;

use super::*;

const SEVERITIES: Dimension = ("severity", &["low", "high"]);
const PAGED: Style = Style::Paged(&[SEVERITIES]);

/// A server that sends at most `clamp` rows at once, whatever is asked for.
struct Server {
    rows: Vec<u64>,
    clamp: usize,
    descending: bool,
    links: bool,
}

fn tick(number: u64) -> Ticks {
    Ticks::from_bytes(number.to_be_bytes())
}

impl Server {
    /// The rows that match, by index.
    fn matching(&self, ask: &Ask) -> Vec<usize> {
        let severity = |index: usize| SEVERITIES.1[index % 2];
        let wanted = |index: &usize| {
            let by_condition = ask
                .conditions
                .iter()
                .all(|(_, value)| *value == severity(*index));
            ask.window.holds(tick(self.rows[*index])) && by_condition
        };
        let mut found: Vec<usize> = (0..self.rows.len()).filter(wanted).collect();
        found.sort_by_key(|index| self.rows[*index]);
        if self.descending {
            found.reverse();
        }
        found
    }

    fn serve(&self, ask: &Ask) -> (Vec<usize>, Option<String>) {
        let (found, start) = match &ask.link {
            Some(link) => {
                let mut parts = link
                    .split(' ')
                    .map(|part| part.parse::<u64>().expect("a number"));
                let mut next = || parts.next().expect("three numbers");
                let window = Window {
                    from: tick(next()),
                    to: tick(next()),
                };
                let inner = Ask {
                    window,
                    link: None,
                    ..ask.clone()
                };
                (self.matching(&inner), next() as usize)
            }
            None => (self.matching(ask), ask.skip),
        };
        let page: Vec<usize> = found.iter().copied().skip(start).take(self.clamp).collect();
        let end = start + page.len();
        let number = |ticks: Ticks| u64::from_be_bytes(ticks.to_bytes());
        let (from, to) = (number(ask.window.from), number(ask.window.to));
        let link = (self.links && ask.link.is_none() && end < found.len())
            .then(|| format!("{from} {to} {end}"));
        (page, link)
    }
}

/// Reads everything and returns the rows found and the number of requests.
fn read(
    server: &Server,
    window: Window,
    mut refuse: impl FnMut(&Ask) -> bool,
) -> (Vec<usize>, usize) {
    let mut walk = Walk::new(PAGED, window, 0);
    let (mut found, mut requests) = (Vec::new(), 0);
    while let Some(ask) = walk.ask() {
        requests += 1;
        assert!(requests < 20_000, "endless: {walk:?}");
        if refuse(&ask) {
            walk.refused(true);
            continue;
        }
        let safe = walk.safe();
        let (page, next_link) = server.serve(&ask);
        let times = page.iter().map(|index| tick(server.rows[*index])).collect();
        walk.answered(&Answered {
            rows: page.len(),
            times,
            next_link,
            top: 1000,
        });
        assert!(walk.safe() >= safe, "the safe edge went back");
        found.extend(page);
        let missed = (0..server.rows.len()).find(|index| {
            let time = tick(server.rows[*index]);
            window.holds(time) && time < walk.safe() && !found.contains(index)
        });
        assert_eq!(missed, None, "older than the safe edge and not read");
    }
    assert!(walk.is_done() && walk.safe() == window.to);
    found.sort_unstable();
    found.dedup();
    (found, requests)
}

fn check(server: &Server, most_requests: usize) {
    let window = Window {
        from: tick(0),
        to: tick(1 << 40),
    };
    let (found, requests) = read(server, window, |ask| ask.skip > MOST_SKIPPED);
    assert_eq!(found.len(), server.rows.len());
    assert!(requests <= most_requests, "{requests} requests");
}

#[test]
fn an_overlap_larger_than_a_page_is_read_to_its_end() {
    let rows = (0..200).map(|row| row * 1000).collect();
    check(
        &Server {
            rows,
            clamp: 50,
            descending: false,
            links: false,
        },
        8,
    );
}

#[test]
fn a_quiet_window_costs_one_request() {
    check(
        &Server {
            rows: Vec::new(),
            clamp: 50,
            descending: false,
            links: false,
        },
        1,
    );
}

#[test]
fn many_rows_of_one_time_are_all_read() {
    let tied = |count| vec![77; count];
    for descending in [false, true] {
        check(
            &Server {
                rows: tied(120),
                clamp: 50,
                descending,
                links: false,
            },
            10,
        );
        check(
            &Server {
                rows: tied(900),
                clamp: 50,
                descending,
                links: false,
            },
            60,
        );
    }
}

#[test]
fn rows_crowded_at_the_end_are_read_although_the_order_is_ignored() {
    let rows = (0..200).map(|row| (1 << 39) + row).collect();
    check(
        &Server {
            rows,
            clamp: 50,
            descending: true,
            links: false,
        },
        60,
    );
}

#[test]
fn a_server_that_sorts_but_leaves_out_links_is_read_as_well_as_one_that_sends_them() {
    for links in [false, true] {
        let rows = (0..500).collect();
        check(
            &Server {
                rows,
                clamp: 100,
                descending: false,
                links,
            },
            12,
        );
    }
}

#[test]
fn a_link_that_fails_or_leads_nowhere_falls_back_to_times() {
    let window = Window {
        from: tick(0),
        to: tick(100),
    };
    let mut walk = Walk::new(PAGED, window, 0);
    let answer = |times: &[u64], link: &str| Answered {
        rows: times.len(),
        times: times.iter().copied().map(tick).collect(),
        next_link: Some(link.to_owned()),
        top: 10,
    };
    walk.answered(&answer(&[1, 2], "a"));
    assert_eq!(walk.ask().and_then(|ask| ask.link).as_deref(), Some("a"));
    walk.link_failed();
    let ask = walk.ask().expect("more");
    assert_eq!((ask.link, ask.window.from, ask.skip), (None, tick(2), 0));
    walk.answered(&answer(&[2, 3], "b"));
    assert_eq!(walk.ask().and_then(|ask| ask.link), None);

    let mut walk = Walk::new(PAGED, window, 0);
    for page in 0..=EMPTY_LINKS {
        walk.answered(&answer(&[], &page.to_string()));
    }
    assert_eq!(walk.ask().and_then(|ask| ask.link), None);
    assert!(!walk.is_done());
}

#[test]
fn a_window_that_is_too_much_is_halved_down_to_one_tick() {
    let hour = std::time::Duration::from_secs(3600);
    for style in [PAGED, Style::Whole(hour)] {
        let window = Window {
            from: tick(10),
            to: tick(14),
        };
        let mut walk = Walk::new(style, window, 0);
        assert!(walk.shrink() && walk.shrink());
        assert_eq!(
            walk.ask().map(|ask| ask.window),
            Some(Window {
                from: tick(10),
                to: tick(11)
            })
        );
        assert!(!walk.shrink());
    }
}

#[test]
fn what_is_too_large_for_anything_is_passed_alone() {
    let window = Window {
        from: tick(0),
        to: tick(4),
    };
    let mut walk = Walk::new(PAGED, window, 0);
    walk.step_over();
    assert_eq!(walk.ask().map(|ask| ask.skip), Some(1));

    let mut walk = Walk::new(PAGED, window, 0);
    let unsorted = Answered {
        rows: 2,
        times: vec![tick(3), tick(1)],
        next_link: None,
        top: 1,
    };
    assert_eq!(walk.answered(&unsorted), Some(Oddity::OrderIgnored));
    (0..3).for_each(|_| walk.step_over());
    let ask = walk.ask().expect("more");
    assert_eq!((ask.window.to, ask.skip), (tick(1), 1));
}

#[test]
fn windows_without_pages_are_read_one_after_the_other() {
    let width = std::time::Duration::from_micros(1);
    let window = Window {
        from: tick(0),
        to: tick(25),
    };
    let mut walk = Walk::new(Style::Whole(width), window, 0);
    let mut edges = Vec::new();
    while let Some(ask) = walk.ask() {
        edges.push(ask.window.to);
        walk.answered(&Answered::default());
        assert_eq!(walk.safe(), ask.window.to);
    }
    assert_eq!(edges, [tick(10), tick(20), tick(25)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_row_is_found_whatever_the_clamp_the_order_and_the_ties(
        rows in proptest::collection::vec(0u64..60, 0..150),
        clamp in 2usize..40,
        descending: bool,
        links: bool,
        spread in 0u32..30,
    ) {
        let rows: Vec<u64> = rows.into_iter().map(|row| row << spread).collect();
        let server = Server { rows, clamp, descending, links };
        check(&server, 20_000);
    }
}

#[test]
fn a_tie_that_is_refused_is_asked_for_again_before_it_is_given_up() {
    let window = Window {
        from: tick(1),
        to: tick(2),
    };
    let mut walk = Walk::new(PAGED, window, 0);
    walk.answered(&Answered {
        rows: 10,
        times: vec![tick(1); 10],
        next_link: None,
        top: 10,
    });
    assert_eq!(walk.refused(false), Refused::AsksDifferently);
    let ask = walk.ask().expect("the tie");
    assert_eq!(walk.refused(false), Refused::AsksAgain);
    let again = walk.ask().expect("the same");
    assert_eq!((again.window, again.skip), (ask.window, ask.skip));
    assert_eq!(again.conditions.len(), ask.conditions.len());
    assert_eq!(walk.refused(true), Refused::GivesUp(Oddity::TieOverflow));
}
