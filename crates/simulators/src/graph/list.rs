//! One page of a list.

use crate::odata::{By, ListQuery, Place};
use crate::world::{Record, Records};
use bytes::Bytes;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// One page: ids and bodies in order.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) rows: Vec<(Arc<str>, Bytes)>,
    /// All rows that fit the filter, if they were to be counted.
    pub(super) count: Option<usize>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<Place>,
}

type Rows<'a> = Box<dyn Iterator<Item = &'a Arc<Record>> + 'a>;

/// Picks a page out of all records, or out of the alerts of one incident.
pub(super) fn page(
    records: &Records,
    incident: Option<&str>,
    query: &ListQuery,
    length: usize,
) -> Page {
    let all = query.filter.updated();
    let count = query
        .count
        .then(|| fitting(records, incident, query, &all).count());
    let rest = rest_of(&all, query);
    let rows = fitting(records, incident, query, &rest);
    let mut rows = rows
        .filter(|record| is_after(record, query))
        .skip(query.skip)
        .peekable();
    let taken: Vec<&Arc<Record>> = rows.by_ref().take(length).collect();
    let next = rows
        .peek()
        .and(taken.last())
        .map(|last| Place::after(last, query.order));
    Page {
        rows: taken
            .into_iter()
            .map(|record| (Arc::clone(&record.id), record.body.clone()))
            .collect(),
        count,
        next,
    }
}

/// The link to the next page: the same request with another token in place of `$skip`.
pub(super) fn next_link(base: &str, path: &str, query: &str, token: &str) -> String {
    let position = [
        "$skiptoken=",
        "%24skiptoken=",
        "$skip=",
        "%24skip=",
        "skiptoken=",
        "skip=",
    ];
    let kept = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !position.iter().any(|name| pair.starts_with(name)));
    let pairs: Vec<String> = kept
        .map(str::to_owned)
        .chain([format!("$skiptoken={token}")])
        .collect();
    format!("{base}{path}?{}", pairs.join("&"))
}

/// The rows that fit the filter, in order. Only an order by creation has to sort.
fn fitting<'a>(
    records: &'a Records,
    incident: Option<&str>,
    query: &'a ListQuery,
    ticks: &'a RangeInclusive<i64>,
) -> Rows<'a> {
    let fits = |record: &&Arc<Record>| query.filter.fits(record);
    let sorted = match (incident, query.order.by) {
        (None, By::Updated) => {
            let rows = records.changed(ticks).filter(fits);
            return if query.order.descending {
                Box::new(rows.rev())
            } else {
                Box::new(rows)
            };
        }
        (None, By::Created) => sorted(records.changed(ticks).filter(fits), query.order.by),
        (Some(incident), by) => sorted(records.of_incident(incident).filter(fits), by),
    };
    if query.order.descending {
        Box::new(sorted.into_iter().rev())
    } else {
        Box::new(sorted.into_iter())
    }
}

fn sorted<'a>(rows: impl Iterator<Item = &'a Arc<Record>>, by: By) -> Vec<&'a Arc<Record>> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|one, other| (by.ticks(one), &one.id).cmp(&(by.ticks(other), &other.id)));
    rows
}

/// What is left of a range of times behind the place where the page begins, so that late pages cost no more than early ones.
fn rest_of(all: &RangeInclusive<i64>, query: &ListQuery) -> RangeInclusive<i64> {
    match &query.after {
        Some(place) if query.order.by == By::Updated && query.order.descending => {
            *all.start()..=place.ticks.min(*all.end())
        }
        Some(place) if query.order.by == By::Updated => place.ticks.max(*all.start())..=*all.end(),
        _ => all.clone(),
    }
}

fn is_after(record: &Record, query: &ListQuery) -> bool {
    let Some(place) = &query.after else {
        return true;
    };
    let (at, begin) = (
        (query.order.by.ticks(record), &*record.id),
        (place.ticks, place.id.as_str()),
    );
    if query.order.descending {
        at < begin
    } else {
        at > begin
    }
}
