//! The part of OData that Graph's security lists understand.

pub(crate) mod filter;

use crate::wire::decode_pairs;
use crate::world::Record;
use filter::Filter;

/// Beyond this `$skip` the service answers 400.
/// Source: Graph security "Constraints"; the message as seen in issue threads.
const LONGEST_SKIP: usize = 500;

/// One list that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    Alerts,
    Incidents,
}

/// The time by which rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Updated,
    Created,
}

impl By {
    pub(crate) fn ticks(self, record: &Record) -> i64 {
        match self {
            Self::Updated => record.updated,
            Self::Created => record.created,
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "lastUpdateDateTime" => Some(Self::Updated),
            "createdDateTime" => Some(Self::Created),
            _ => None,
        }
    }
}

/// `$orderby`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) by: By,
    pub(crate) descending: bool,
}

impl Order {
    /// The most recently changed first.
    /// Source: "List alerts_v2", seen 2026-09.
    pub(crate) const DEFAULT: Self = Self {
        by: By::Updated,
        descending: true,
    };

    fn parse(text: &str) -> Result<Self, BadQuery> {
        let (name, descending) = match text.split_whitespace().collect::<Vec<_>>()[..] {
            [name] | [name, "asc"] => (name, false),
            [name, "desc"] => (name, true),
            _ => return Err(BadQuery::of(format!("Syntax error in $orderby '{text}'."))),
        };
        let by = By::named(name)
            .ok_or_else(|| BadQuery::of(format!("Ordering by '{name}' is not supported.")))?;
        Ok(Self { by, descending })
    }
}

/// A place in an ordered list: the last row of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) ticks: i64,
    pub(crate) id: String,
}

impl Place {
    pub(crate) fn after(record: &Record, order: Order) -> Self {
        Self {
            ticks: order.by.ticks(record),
            id: record.id.to_string(),
        }
    }

    /// Opaque text for a link.
    pub(crate) fn to_token(&self) -> String {
        let plain = format!("{}|{}", self.ticks, self.id);
        plain.bytes().fold("s1-".to_owned(), |token, byte| {
            token + &format!("{:02x}", byte ^ 0x5a)
        })
    }

    pub(crate) fn from_token(token: &str) -> Option<Self> {
        let hex = token.strip_prefix("s1-")?;
        let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let bytes = (0..hex.len())
            .step_by(2)
            .map(|at| Some(byte(at)? ^ 0x5a))
            .collect::<Option<Vec<u8>>>()?;
        let plain = String::from_utf8(bytes).ok()?;
        let (ticks, id) = plain.split_once('|')?;
        Some(Self {
            ticks: ticks.parse().ok()?,
            id: id.to_owned(),
        })
    }
}

/// One list request, understood.
#[derive(Debug)]
pub(crate) struct ListQuery {
    pub(crate) filter: Filter,
    pub(crate) order: Order,
    pub(crate) top: Option<usize>,
    pub(crate) skip: usize,
    pub(crate) count: bool,
    pub(crate) expand_alerts: bool,
    pub(crate) after: Option<Place>,
}

/// A query that the service refuses with 400.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadQuery {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl BadQuery {
    pub(crate) fn of(message: String) -> Self {
        Self {
            code: "BadRequest",
            message,
        }
    }
}

impl ListQuery {
    /// Reads a query string. Names work with and without `$`; parameters of nobody's are ignored, options of nobody's refused.
    pub(crate) fn parse(query: &str, listed: Listed) -> Result<Self, BadQuery> {
        let mut list = Self {
            filter: Filter::default(),
            order: Order::DEFAULT,
            top: None,
            skip: 0,
            count: false,
            expand_alerts: false,
            after: None,
        };
        for (name, value) in decode_pairs(query) {
            list.set(&name, &value, listed)?;
        }
        Ok(list)
    }

    fn set(&mut self, name: &str, value: &str, listed: Listed) -> Result<(), BadQuery> {
        match name.strip_prefix('$').unwrap_or(name) {
            "filter" => self.filter = Filter::parse(value, listed)?,
            "orderby" => self.order = Order::parse(value)?,
            "top" => self.top = Some(number("$top", value, 1)?),
            "skip" => self.skip = skip(value)?,
            "count" => self.count = truth(value)?,
            "expand" if listed == Listed::Incidents && value == "alerts" => {
                self.expand_alerts = true
            }
            "expand" => {
                return Err(BadQuery::of(format!(
                    "Could not find a property named '{value}' to expand."
                )));
            }
            "skiptoken" => self.after = Some(skip_token(value)?),
            _ if name.starts_with('$') => {
                return Err(BadQuery::of(format!(
                    "The query option '{name}' is not supported."
                )));
            }
            _ => {}
        }
        Ok(())
    }
}

fn number(name: &str, value: &str, least: usize) -> Result<usize, BadQuery> {
    let parsed = value.parse().ok().filter(|number| *number >= least);
    parsed.ok_or_else(|| {
        BadQuery::of(format!(
            "Invalid value '{value}' for {name} query option found."
        ))
    })
}

fn skip(value: &str) -> Result<usize, BadQuery> {
    match number("$skip", value, 0)? {
        skip if skip > LONGEST_SKIP => Err(BadQuery {
            code: "",
            message: format!("$skip={skip} cannot exceed {LONGEST_SKIP}"),
        }),
        skip => Ok(skip),
    }
}

fn truth(value: &str) -> Result<bool, BadQuery> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(BadQuery::of(format!(
            "Invalid value '{value}' for $count query option found."
        ))),
    }
}

fn skip_token(value: &str) -> Result<Place, BadQuery> {
    Place::from_token(value)
        .ok_or_else(|| BadQuery::of("Query option 'SkipToken' is not allowed.".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(query: &str) -> String {
        ListQuery::parse(query, Listed::Incidents)
            .unwrap_err()
            .message
    }

    #[test]
    fn a_place_comes_back_from_its_token() {
        let place = Place {
            ticks: -5,
            id: "a|b é".into(),
        };
        assert_eq!(Place::from_token(&place.to_token()), Some(place));
        assert_eq!(Place::from_token("s1-xx"), None);
    }

    #[test]
    fn a_skip_over_five_hundred_is_refused_with_the_known_words() {
        let refused = ListQuery::parse("$skip=600", Listed::Alerts).unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            ("", "$skip=600 cannot exceed 500")
        );
        assert_eq!(
            ListQuery::parse("$skip=500", Listed::Alerts).unwrap().skip,
            500
        );
    }

    #[test]
    fn what_the_service_does_not_know_is_refused() {
        for query in [
            "$top=0",
            "$top=x",
            "$search=x",
            "$select=id",
            "$expand=evidence",
            "$orderby=title",
            "$count=1",
            "$skiptoken=x",
        ] {
            assert!(!refusal(query).is_empty(), "{query}");
        }
        assert!(ListQuery::parse("$expand=alerts", Listed::Alerts).is_err());
    }

    #[test]
    fn every_option_is_understood() {
        let query =
            "$orderby=lastUpdateDateTime+asc&$top=7&$skip=3&$count=true&$expand=alerts&utm=1";
        let list = ListQuery::parse(query, Listed::Incidents).unwrap();
        assert_eq!(
            list.order,
            Order {
                by: By::Updated,
                descending: false
            }
        );
        assert_eq!(
            (list.top, list.skip, list.count, list.expand_alerts),
            (Some(7), 3, true, true)
        );
    }
}
