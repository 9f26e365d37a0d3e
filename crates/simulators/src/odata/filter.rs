//! `$filter`: comparisons joined by `and`.

use super::{BadQuery, By, Listed};
use crate::generator::enums;
use crate::ticks;
use crate::world::{ALL_TIME, Record};
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// A parsed `$filter`; the empty one takes every row.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    times: Vec<(By, RangeInclusive<i64>)>,
    texts: Vec<(Property, Option<String>)>,
}

/// A property that is no time. Only `eq` works on it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property {
    AssignedTo,
    Classification,
    Determination,
    ServiceSource,
    Severity,
    Status,
}

impl Property {
    fn named(name: &str, listed: Listed) -> Option<Self> {
        match name {
            "assignedTo" => Some(Self::AssignedTo),
            "classification" => Some(Self::Classification),
            "determination" => Some(Self::Determination),
            "serviceSource" if listed == Listed::Alerts => Some(Self::ServiceSource),
            "severity" => Some(Self::Severity),
            "status" => Some(Self::Status),
            _ => None,
        }
    }

    /// The enum of the property, unless it is free text.
    fn members(self, listed: Listed) -> Option<&'static enums::Enum> {
        let name = match self {
            Self::AssignedTo => return None,
            Self::Classification => "alertClassification",
            Self::Determination => "alertDetermination",
            Self::ServiceSource => "serviceSource",
            Self::Severity => "alertSeverity",
            Self::Status if listed == Listed::Alerts => "alertStatus",
            Self::Status => "incidentStatus",
        };
        enums::named(name)
    }

    fn of<'a>(self, seen: &'a Seen<'_>) -> Option<&'a str> {
        let value = match self {
            Self::AssignedTo => &seen.assigned_to,
            Self::Classification => &seen.classification,
            Self::Determination => &seen.determination,
            Self::ServiceSource => &seen.service_source,
            Self::Severity => &seen.severity,
            Self::Status => &seen.status,
        };
        value.as_deref()
    }
}

/// The properties of a body that a filter can name.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Seen<'a> {
    #[serde(borrow)]
    assigned_to: Option<Cow<'a, str>>,
    classification: Option<Cow<'a, str>>,
    determination: Option<Cow<'a, str>>,
    service_source: Option<Cow<'a, str>>,
    severity: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
}

impl Filter {
    pub(crate) fn parse(text: &str, listed: Listed) -> Result<Self, BadQuery> {
        let tokens = tokens(text)?;
        let mut parser = Parser {
            tokens: &tokens,
            listed,
            filter: Self::default(),
        };
        parser.all_of()?;
        match parser.tokens {
            [] => Ok(parser.filter),
            [rest, ..] => Err(syntax(&format!("'{rest}' was not expected"))),
        }
    }

    /// The `lastUpdateDateTime`s that can fit.
    pub(crate) fn updated(&self) -> RangeInclusive<i64> {
        let ranges = self
            .times
            .iter()
            .filter(|time| time.0 == By::Updated)
            .map(|time| &time.1);
        ranges.fold(ALL_TIME, |all, range| {
            *all.start().max(range.start())..=*all.end().min(range.end())
        })
    }

    pub(crate) fn fits(&self, record: &Record) -> bool {
        self.times
            .iter()
            .all(|(by, range)| range.contains(&by.ticks(record)))
            && self.texts_fit(record)
    }

    /// The body is looked into only when the filter names something in it.
    fn texts_fit(&self, record: &Record) -> bool {
        if self.texts.is_empty() {
            return true;
        }
        let seen: Seen<'_> = serde_json::from_slice(&record.body).unwrap_or_default();
        self.texts
            .iter()
            .all(|(property, wanted)| property.of(&seen) == wanted.as_deref())
    }
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    listed: Listed,
    filter: Filter,
}

impl<'a> Parser<'a> {
    fn all_of(&mut self) -> Result<(), BadQuery> {
        self.one()?;
        while let [Token::Word("and"), rest @ ..] = self.tokens {
            self.tokens = rest;
            self.one()?;
        }
        Ok(())
    }

    fn one(&mut self) -> Result<(), BadQuery> {
        if let [Token::Open, rest @ ..] = self.tokens {
            self.tokens = rest;
            self.all_of()?;
            return match self.tokens {
                [Token::Close, rest @ ..] => {
                    self.tokens = rest;
                    Ok(())
                }
                _ => Err(syntax("a parenthesis is not closed")),
            };
        }
        let [Token::Word(name), Token::Word(operator), literal, rest @ ..] = self.tokens else {
            return Err(syntax("expected a property, an operator, and a value"));
        };
        self.tokens = rest;
        self.compare(name, operator, literal)
    }

    fn compare(&mut self, name: &str, operator: &str, literal: &Token<'a>) -> Result<(), BadQuery> {
        if let Some(by) = By::named(name) {
            let range = time_range(operator, time_of(literal)?)?;
            self.filter.times.push((by, range));
            return Ok(());
        }
        let unknown = || {
            BadQuery::of(format!(
                "Invalid filter clause: the property '{name}' cannot be filtered by."
            ))
        };
        let property = Property::named(name, self.listed).ok_or_else(unknown)?;
        let value = text_of(property, literal, self.listed)?;
        if operator != "eq" {
            return Err(syntax(&format!(
                "operator '{operator}' does not work on '{name}'"
            )));
        }
        self.filter.texts.push((property, value));
        Ok(())
    }
}

/// A time literal stands without quotes.
fn time_of(literal: &Token<'_>) -> Result<i64, BadQuery> {
    match literal {
        Token::Word(text) if fraction_digits(text) <= 7 => {
            ticks::parse(text).ok_or_else(|| syntax(&format!("'{text}' is not a time")))
        }
        Token::Quoted(_) => Err(BadQuery::of(
            "Invalid filter clause: A binary operator with incompatible types was detected. \
             Found operand types 'Edm.DateTimeOffset' and 'Edm.String'."
                .into(),
        )),
        other => Err(syntax(&format!("'{other}' is not a time"))),
    }
}

fn fraction_digits(time: &str) -> usize {
    time.split_once('.').map_or(0, |(_, fraction)| {
        fraction.bytes().take_while(u8::is_ascii_digit).count()
    })
}

fn time_range(operator: &str, at: i64) -> Result<RangeInclusive<i64>, BadQuery> {
    match operator {
        "eq" => Ok(at..=at),
        "ge" => Ok(at..=*ALL_TIME.end()),
        "gt" => Ok(at + 1..=*ALL_TIME.end()),
        "le" => Ok(*ALL_TIME.start()..=at),
        "lt" => Ok(*ALL_TIME.start()..=at - 1),
        other => Err(syntax(&format!("operator '{other}' is not supported"))),
    }
}

/// A text or an enum member stands in single quotes; `null` does not.
fn text_of(
    property: Property,
    literal: &Token<'_>,
    listed: Listed,
) -> Result<Option<String>, BadQuery> {
    match (literal, property.members(listed)) {
        (Token::Word("null"), _) => Ok(None),
        (Token::Quoted(text), None) => Ok(Some(text.clone())),
        (Token::Quoted(text), Some(members)) if members.contains(text) => Ok(Some(text.clone())),
        (Token::Quoted(text), Some(_)) => Err(syntax(&format!(
            "The string '{text}' is not a valid enumeration type constant"
        ))),
        (other, _) => Err(syntax(&format!("'{other}' needs single quotes"))),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    Word(&'a str),
    Quoted(String),
}

impl std::fmt::Display for Token<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => out.write_str("("),
            Self::Close => out.write_str(")"),
            Self::Word(word) => out.write_str(word),
            Self::Quoted(text) => write!(out, "'{text}'"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, BadQuery> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let (token, left) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            '\'' => quoted(&rest[1..])?,
            _ => word(rest),
        };
        tokens.push(token);
        rest = left.trim_start();
    }
    Ok(tokens)
}

fn word(rest: &str) -> (Token<'_>, &str) {
    let end = rest
        .find(|letter: char| letter.is_whitespace() || "()'".contains(letter))
        .unwrap_or(rest.len());
    (Token::Word(&rest[..end]), &rest[end..])
}

/// Two quotes in a row stand for one.
fn quoted(mut rest: &str) -> Result<(Token<'_>, &str), BadQuery> {
    let mut value = String::new();
    loop {
        let (part, left) = rest
            .split_once('\'')
            .ok_or_else(|| syntax("a quote is not closed"))?;
        value.push_str(part);
        let Some(more) = left.strip_prefix('\'') else {
            return Ok((Token::Quoted(value), left));
        };
        value.push('\'');
        rest = more;
    }
}

fn syntax(what: &str) -> BadQuery {
    BadQuery::of(format!("Invalid filter clause: {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Record {
        let body = r#"{"severity":"high","status":"new","serviceSource":"microsoftSentinel","assignedTo":null}"#;
        let at = ticks::parse("2026-01-02T03:04:05.1234567Z").unwrap();
        Record {
            id: "1".into(),
            version: "".into(),
            updated: at,
            created: at,
            incident: None,
            body: body.into(),
        }
    }

    fn check(filter: &str, expected: Option<bool>) {
        let fits = Filter::parse(filter, Listed::Alerts)
            .map(|filter| filter.fits(&row()) && filter.updated().contains(&row().updated));
        assert_eq!(fits.ok(), expected, "{filter}");
    }

    #[test]
    fn times_are_compared_to_the_hundred_nanoseconds() {
        check(
            "lastUpdateDateTime ge 2026-01-02T03:04:05.1234567Z",
            Some(true),
        );
        check(
            "lastUpdateDateTime gt 2026-01-02T03:04:05.1234567Z",
            Some(false),
        );
        check(
            "lastUpdateDateTime gt 2026-01-02T03:04:05.1234566Z",
            Some(true),
        );
        check(
            "lastUpdateDateTime le 2026-01-02T03:04:05.1234567Z",
            Some(true),
        );
        check(
            "lastUpdateDateTime lt 2026-01-02T03:04:05.1234567Z",
            Some(false),
        );
        check(
            "createdDateTime eq 2026-01-02T03:04:05.1234567Z",
            Some(true),
        );
        check(
            "lastUpdateDateTime ge 2026-01-02T03:04:05Z and lastUpdateDateTime lt 2026-01-02T03:04:06Z",
            Some(true),
        );
        check(
            "lastUpdateDateTime ge 2026-01-02T03:04:06Z and lastUpdateDateTime lt 2026-01-02T03:04:05Z",
            Some(false),
        );
    }

    #[test]
    fn properties_are_compared_as_text() {
        check(
            "severity eq 'high' and (status eq 'new' and serviceSource eq 'microsoftSentinel')",
            Some(true),
        );
        check("severity eq 'low'", Some(false));
        check("assignedTo eq null", Some(true));
        check("assignedTo eq 'o''hara'", Some(false));
    }

    #[test]
    fn what_the_service_would_refuse_is_refused() {
        for filter in [
            "",
            "severity",
            "severity eq high",
            "severity eq 'shocking'",
            "severity ge 'low'",
            "title eq 'x'",
            "lastUpdateDateTime ge '2026-01-02T03:04:05Z'",
            "lastUpdateDateTime ge 2026-01-02",
            "lastUpdateDateTime ge 2026-01-02T03:04:05.12345678Z",
            "lastUpdateDateTime ne 2026-01-02T03:04:05Z",
            "severity eq 'high' or severity eq 'low'",
            "(severity eq 'high'",
            "severity eq 'high')",
            "assignedTo eq 'x",
        ] {
            check(filter, None);
        }
        assert!(Filter::parse("serviceSource eq 'microsoftSentinel'", Listed::Incidents).is_err());
    }
}
