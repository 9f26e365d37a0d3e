//! Which requests read a window of time completely, whatever the server does with paging.
//!
//! No I/O: [`Walk::ask`] says what to ask next, and the caller tells what came of it.
//!
//! The work still to do is a stack of parts of the window, oldest on top, so that everything
//! before the top part is read: that is [`Walk::safe`], where the cursor may go.

use tapline_core::Span;

use crate::limits::MOST_SKIPPED;
use crate::times::Ticks;

/// A span of time; the end is not part of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Window {
    pub(crate) from: Ticks,
    pub(crate) to: Ticks,
}

impl Window {
    /// The window of a span.
    pub(crate) fn of(span: Span) -> Self {
        Self {
            from: Ticks::from_timestamp(span.from),
            to: Ticks::from_timestamp(span.to),
        }
    }

    fn is_empty(self) -> bool {
        self.from >= self.to
    }

    fn is_one_tick(self) -> bool {
        self.from.next() >= self.to
    }

    fn holds(self, time: Ticks) -> bool {
        self.from <= time && time < self.to
    }
}

/// Narrows a request to records with one value of a member.
pub(crate) type Condition = (&'static str, &'static str);

/// What to ask next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ask {
    pub(crate) window: Window,
    pub(crate) skip: usize,
    pub(crate) conditions: Vec<Condition>,
    /// Follow this instead of the rest.
    pub(crate) link: Option<String>,
}

/// What an answer showed.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// How many records it held.
    pub(crate) rows: usize,
    /// Their times in the order sent; records without a usable time are left out.
    pub(crate) times: Vec<Ticks>,
    /// Where the server says it goes on; only a link that may be followed.
    pub(crate) next_link: Option<String>,
    /// `$top` of the request.
    pub(crate) top: usize,
}

/// What the server does not do as it should; the walk copes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Oddity {
    /// Records do not come in the order asked for.
    OrderIgnored,
    /// More records share one time than can be told apart.
    TieOverflow,
}

/// What a refused request led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    /// The same records are asked for in another way.
    AsksDifferently,
    /// There is no other way; the same is asked for again.
    AsksAgain,
    /// The rest of a tie is left out.
    GivesUp(Oddity),
}

/// How windows of an API are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// Pages in the order of time.
    Paged(&'static [Dimension]),
    /// One answer for a whole window, of at most this width.
    Whole(std::time::Duration),
}

/// A member with a closed set of values, to take records of one time apart.
pub(crate) type Dimension = (&'static str, &'static [&'static str]);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    /// Pages in ascending order; `skip` records at `window.from` are read.
    Ascending { window: Window, skip: usize },
    /// The server does not sort: pages of ever smaller slices.
    Slice(Window),
    /// Records of a single tick, read by skipping.
    Tie {
        window: Window,
        conditions: Vec<Condition>,
        skip: usize,
    },
    /// Whole windows, one request each.
    Whole(Window),
}

impl Part {
    fn window(&self) -> Window {
        let (Part::Ascending { window, .. }
        | Part::Slice(window)
        | Part::Tie { window, .. }
        | Part::Whole(window)) = self;
        *window
    }
}

/// Reads one window completely.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    style: Style,
    end: Ticks,
    parts: Vec<Part>,
    link: Option<String>,
    links_fail: bool,
    /// The most records that one answer of this server held: it does not clamp below that.
    widest: usize,
}

/// A link that brought nothing for this many pages in a row is given up.
const EMPTY_LINKS: usize = 10;

impl Walk {
    /// A walk through a window; `widest` is what earlier walks learned.
    pub(crate) fn new(style: Style, window: Window, widest: usize) -> Self {
        let whole = match style {
            Style::Paged(_) => Part::Ascending { window, skip: 0 },
            Style::Whole(_) => Part::Whole(window),
        };
        let mut walk = Self {
            style,
            end: window.to,
            parts: Vec::new(),
            link: None,
            links_fail: false,
            widest,
        };
        walk.push(whole);
        walk
    }

    /// What to ask next; `None` when the window is read.
    pub(crate) fn ask(&self) -> Option<Ask> {
        let part = self.parts.last()?;
        let (skip, conditions) = match part {
            Part::Ascending { skip, .. } => (*skip, Vec::new()),
            Part::Tie {
                skip, conditions, ..
            } => (*skip, conditions.clone()),
            Part::Slice(_) | Part::Whole(_) => (0, Vec::new()),
        };
        Some(Ask {
            window: self.width_limited(part),
            skip,
            conditions,
            link: self.link.clone(),
        })
    }

    /// Every record with an older time was in an answer.
    pub(crate) fn safe(&self) -> Ticks {
        self.parts
            .last()
            .map_or(self.end, |part| part.window().from)
    }

    /// The end of the window.
    pub(crate) fn end(&self) -> Ticks {
        self.end
    }

    pub(crate) fn is_done(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn widest(&self) -> usize {
        self.widest
    }

    /// Takes an answer into account.
    pub(crate) fn answered(&mut self, answer: &Answered) -> Option<Oddity> {
        self.widest = self.widest.max(answer.rows);
        let part = self.parts.pop()?;
        match part {
            Part::Ascending { window, skip } => self.ascended(window, skip, answer),
            Part::Slice(window) => {
                self.sliced(window, answer);
                None
            }
            Part::Tie {
                window,
                conditions,
                skip,
            } => self.tied(window, conditions, skip, answer),
            Part::Whole(window) => {
                let from = self.width_limited(&Part::Whole(window)).to;
                self.push(Part::Whole(Window { from, ..window }));
                None
            }
        }
    }

    /// The link could not be followed: goes on without links.
    pub(crate) fn link_failed(&mut self) {
        self.link = None;
        self.links_fail = true;
        if let Some(Part::Ascending { skip, .. }) = self.parts.last_mut() {
            *skip = 0;
        }
    }

    /// Asks for less at once; `false` if there is no less.
    pub(crate) fn shrink(&mut self) -> bool {
        self.link = None;
        let Some(part) = self.parts.pop() else {
            return false;
        };
        let asked = self.width_limited(&part);
        if asked.is_one_tick() {
            self.parts.push(part);
            return false;
        }
        let rest = part.window();
        let middle = asked.from.halfway(asked.to);
        let same = |window| match &part {
            Part::Ascending { .. } | Part::Tie { .. } => Part::Ascending { window, skip: 0 },
            Part::Slice(_) => Part::Slice(window),
            Part::Whole(_) => Part::Whole(window),
        };
        self.push(same(Window {
            from: middle,
            ..rest
        }));
        self.push(same(Window { to: middle, ..rest }));
        if let Style::Whole(width) = &mut self.style {
            *width = middle.since(asked.from);
        }
        true
    }

    /// Widens the windows of an API without pages again, up to `most`.
    pub(crate) fn widen(&mut self, most: std::time::Duration) {
        if let Style::Whole(width) = &mut self.style {
            *width = (*width * 2).min(most);
        }
    }

    /// The service refuses to skip that far, or to filter like that. What cannot be asked for in
    /// another way is given up only if it was asked for often enough.
    pub(crate) fn refused(&mut self, often_enough: bool) -> Refused {
        match self.parts.pop() {
            Some(Part::Ascending { window, skip }) if skip > 0 => {
                self.split_tie_off(window);
                Refused::AsksDifferently
            }
            Some(Part::Tie {
                window,
                conditions,
                skip,
            }) => {
                if skip > 0 && self.split_tie(window, &conditions) {
                    return Refused::AsksDifferently;
                }
                if often_enough {
                    return Refused::GivesUp(Oddity::TieOverflow);
                }
                self.parts.push(Part::Tie {
                    window,
                    conditions,
                    skip,
                });
                Refused::AsksAgain
            }
            other => {
                self.parts.extend(other);
                Refused::AsksAgain
            }
        }
    }

    /// One record is too large for anything: goes past it.
    pub(crate) fn step_over(&mut self) {
        let sliced = matches!(self.parts.last(), Some(Part::Slice(_)));
        // Among unsorted records it must stand alone before it can be told from the others.
        if sliced && self.shrink() {
            return;
        }
        match self.parts.last_mut() {
            Some(Part::Ascending { skip, .. } | Part::Tie { skip, .. }) => *skip += 1,
            Some(part @ Part::Slice(_)) => {
                *part = Part::Tie {
                    window: part.window(),
                    conditions: Vec::new(),
                    skip: 1,
                };
            }
            Some(Part::Whole(_)) | None => {}
        }
    }

    fn width_limited(&self, part: &Part) -> Window {
        let window = part.window();
        match self.style {
            Style::Whole(width) => Window {
                to: window
                    .to
                    .min(window.from.plus(width).max(window.from.next())),
                ..window
            },
            Style::Paged(_) => window,
        }
    }

    fn push(&mut self, part: Part) {
        if !part.window().is_empty() {
            self.parts.push(part);
        }
    }

    fn ascended(&mut self, window: Window, skip: usize, answer: &Answered) -> Option<Oddity> {
        let before = self.link.take();
        // The same link again would go round in circles.
        let next = answer.next_link.clone().filter(|_| !self.links_fail);
        self.link = next.filter(|next| before.as_ref() != Some(next));
        if answer.rows == 0 {
            self.found_nothing(window, skip, before.is_some());
            return None;
        }
        let first = answer.times.first().copied().unwrap_or(window.from);
        let last = answer.times.last().copied().unwrap_or(window.from);
        if first < window.from || !answer.times.is_sorted() {
            self.link = None;
            self.push(Part::Slice(window));
            return Some(Oddity::OrderIgnored);
        }
        let all_at_once = first == last && answer.rows > 1;
        if last > window.from && all_at_once {
            self.link = None;
            // Equal times are sorted either way: look whether anything older was left out.
            self.push(Part::Ascending {
                window: Window {
                    from: last,
                    ..window
                },
                skip: 0,
            });
            self.push(Part::Ascending {
                window: Window { to: last, ..window },
                skip: 0,
            });
        } else if last > window.from {
            self.push(Part::Ascending {
                window: Window {
                    from: last,
                    ..window
                },
                skip: 0,
            });
            if last >= window.to {
                self.link = None;
            }
        } else if self.link.is_some() {
            self.push(Part::Ascending { window, skip: 0 });
        } else if before.is_some() {
            // The links ended among records of one time, which only skipping can get past.
            self.push(Part::Ascending { window, skip: 0 });
            self.link_failed();
        } else {
            self.skip_further(window, skip, answer.rows);
        }
        None
    }

    /// An empty page ends the window, unless links led to it or lead on.
    fn found_nothing(&mut self, window: Window, skip: usize, by_link: bool) {
        // Empty linked pages are counted in `skip`, which key paging has no use for meanwhile.
        if self.link.is_some() && skip < EMPTY_LINKS {
            self.push(Part::Ascending {
                window,
                skip: skip + 1,
            });
        } else if self.link.is_some() || by_link {
            self.push(Part::Ascending { window, skip: 0 });
            self.link_failed();
        }
    }

    fn skip_further(&mut self, window: Window, skip: usize, rows: usize) {
        let next = (skip + rows).min(MOST_SKIPPED);
        if next > skip {
            self.push(Part::Ascending { window, skip: next });
        } else {
            self.split_tie_off(window);
        }
    }

    /// Reads the tick at the start of the window value by value, then the rest of the window.
    fn split_tie_off(&mut self, window: Window) {
        let from = window.from.next();
        self.push(Part::Ascending {
            window: Window { from, ..window },
            skip: 0,
        });
        self.split_tie(Window { to: from, ..window }, &[]);
    }

    /// Splits a tick by the next member; `false` if there is none left.
    fn split_tie(&mut self, window: Window, conditions: &[Condition]) -> bool {
        let Style::Paged(dimensions) = self.style else {
            return false;
        };
        let Some((member, values)) = dimensions.get(conditions.len()) else {
            return false;
        };
        for value in values.iter().rev() {
            let mut conditions = conditions.to_vec();
            conditions.push((member, value));
            self.push(Part::Tie {
                window,
                conditions,
                skip: 0,
            });
        }
        true
    }

    fn tied(
        &mut self,
        window: Window,
        conditions: Vec<Condition>,
        skip: usize,
        answer: &Answered,
    ) -> Option<Oddity> {
        if answer.rows == 0 {
            return None;
        }
        let next = (skip + answer.rows).min(MOST_SKIPPED);
        if next > skip {
            self.push(Part::Tie {
                window,
                conditions,
                skip: next,
            });
            return None;
        }
        let split = self.split_tie(window, &conditions);
        (!split).then_some(Oddity::TieOverflow)
    }

    /// A slice is read when it holds clearly fewer records than the server is known to send at
    /// once. The record count of both halves proves nothing: if all records lie in one half, it
    /// shows the same clamped page as the whole.
    fn sliced(&mut self, window: Window, answer: &Answered) {
        self.link = None;
        let complete = answer.rows <= 1 || 2 * answer.rows <= self.widest.min(answer.top);
        if complete {
            return;
        }
        if window.is_one_tick() {
            self.push(Part::Tie {
                window,
                conditions: Vec::new(),
                skip: 0,
            });
            return;
        }
        for piece in pieces(window, &answer.times) {
            self.push(Part::Slice(piece));
        }
    }
}

/// Cuts a slice where its records lie, so that each piece holds fewer of them; latest first.
fn pieces(window: Window, times: &[Ticks]) -> Vec<Window> {
    let mut times: Vec<Ticks> = times
        .iter()
        .copied()
        .filter(|time| window.holds(*time))
        .collect();
    times.sort_unstable();
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
        let middle = window.from.halfway(window.to);
        return cut(window, &[middle]);
    };
    if first == last {
        return cut(window, &[first, first.next()]);
    }
    let middle = times[times.len() / 2];
    let after_first = times.iter().copied().find(|time| *time > first);
    cut(
        window,
        &[if middle > first {
            middle
        } else {
            after_first.unwrap_or(last)
        }],
    )
}

fn cut(window: Window, at: &[Ticks]) -> Vec<Window> {
    let mut pieces = Vec::new();
    let mut from = window.from;
    for &to in at.iter().chain([&window.to]) {
        pieces.push(Window { from, to });
        from = to;
    }
    pieces.reverse();
    pieces
}

#[cfg(test)]
mod tests;
