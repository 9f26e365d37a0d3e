//! A key as a mapping uses it: with its label, its limit, and its turn when the event is too long.

use super::dialect::Dialect;
use super::dictionary::{self, Holds, Key, NoKey};
use super::escape;
use crate::leef;

/// A key of one mapping, ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct OutputKey {
    /// Its number within the mapping.
    pub(crate) id: u16,
    /// As it stands in the event.
    pub(crate) name: String,
    /// What it may hold.
    pub(crate) holds: Holds,
    /// Bytes its text may have before escaping.
    pub(crate) max_bytes: usize,
    /// `cs1Label=ThreatName cs1=`: a label goes and stays with its key.
    pub(crate) prefix: Vec<u8>,
    /// Its turn to be left out, the lowest first.
    pub(crate) rank: u8,
}

/// Keys that go first when an event is too long: what is long and no rule needs. All other keys
/// follow, the last written first.
const LEFT_OUT_FIRST: [&str; 14] = [
    "msg",
    "cs3",
    "cs6",
    "cs5",
    "cs2",
    "cs4",
    "cs1",
    "flexString2",
    "flexString1",
    "request",
    "filePath",
    "reason",
    "deviceCustomDate2",
    "deviceCustomDate1",
];

/// Keys that say which event it is: never left out.
const ALWAYS_KEPT: [&str; 5] = [
    "externalId",
    "rt",
    "MicrosoftDefenderAlertId",
    "MicrosoftDefenderIncidentId",
    "MicrosoftDefenderTenantId",
];

impl OutputKey {
    /// The rank of what is never left out.
    pub(crate) const ALWAYS: u8 = u8::MAX;
    /// The rank of what no list names.
    const OTHER: u8 = 100;
    /// The rank of the whole record, which is long by nature.
    const RAW: u8 = 0;

    /// Makes a key of a mapping.
    ///
    /// # Errors
    /// What is wrong with the name or the label, for the author of the mapping.
    pub(crate) fn new(
        dialect: Dialect,
        id: u16,
        name: &str,
        label: Option<&str>,
        version_one: bool,
    ) -> Result<Self, String> {
        match dialect {
            Dialect::Cef => Self::cef(id, name, label, version_one),
            Dialect::Leef => Self::leef(id, name),
        }
    }

    fn leef(id: u16, name: &str) -> Result<Self, String> {
        let holds = leef::find(name).map_err(|why| refused(name, why))?;
        let before = if holds == Holds::Date {
            leef::TIME_FORMAT
        } else {
            ""
        };
        Ok(Self {
            id,
            name: name.to_owned(),
            holds,
            max_bytes: usize::MAX,
            prefix: format!("{before}{name}=").into_bytes(),
            rank: rank(name, &leef::ALWAYS_KEPT, &leef::LEFT_OUT_FIRST),
        })
    }

    fn cef(id: u16, name: &str, label: Option<&str>, version_one: bool) -> Result<Self, String> {
        let holds = dictionary::find(name, version_one).map_err(|why| refusal(name, why))?;
        let prefix = prefix(name, dictionary::row(name), label)?;
        let max_bytes = match holds {
            Holds::Text(bytes) => bytes,
            _ => usize::MAX,
        };
        Ok(Self {
            id,
            name: name.to_owned(),
            holds,
            max_bytes,
            prefix,
            rank: rank(name, &ALWAYS_KEPT, &LEFT_OUT_FIRST),
        })
    }

    /// Makes the key that carries the whole record.
    ///
    /// # Errors
    /// As [`OutputKey::new`]; a key of the dictionary is refused, since none is long enough.
    pub(crate) fn raw(dialect: Dialect, id: u16, name: &str) -> Result<Self, String> {
        if dialect == Dialect::Cef && !dictionary::is_own(name) {
            return Err(format!(
                "`{name}` cannot carry a whole record; use a word of letters and digits that begins with {}",
                dictionary::OWN_PREFIX
            ));
        }
        let mut key = Self::new(dialect, id, name, None, false)?;
        key.rank = Self::RAW;
        Ok(key)
    }
}

fn rank(name: &str, always_kept: &[&str], left_out_first: &[&str]) -> u8 {
    if always_kept.contains(&name) {
        return OutputKey::ALWAYS;
    }
    let place = left_out_first.iter().position(|first| *first == name);
    place
        .and_then(|place| u8::try_from(place + 1).ok())
        .unwrap_or(OutputKey::OTHER)
}

fn prefix(name: &str, row: Option<&Key>, label: Option<&str>) -> Result<Vec<u8>, String> {
    let mut prefix = Vec::new();
    match (row.filter(|row| row.needs_label()), label) {
        (Some(row), Some(label)) => {
            prefix.extend_from_slice(format!("{name}Label=").as_bytes());
            if escape::trimmed(label).is_empty()
                || escape::value(&mut prefix, label, row.label_bytes())
            {
                return Err(format!(
                    "the label of `{name}` must have 1 to {} bytes",
                    row.label_bytes()
                ));
            }
            prefix.push(b' ');
        }
        (Some(_), None) => {
            return Err(format!(
                "`{name}` says nothing by itself and needs a `label`"
            ));
        }
        (None, Some(_)) => {
            return Err(format!("`{name}` has its own meaning and takes no `label`"));
        }
        (None, None) => {}
    }
    prefix.extend_from_slice(name.as_bytes());
    prefix.push(b'=');
    Ok(prefix)
}

fn refusal(name: &str, why: NoKey) -> String {
    match why {
        NoKey::Consumer => format!("`{name}` is set by ArcSight only; a producer must not send it"),
        NoKey::NeedsVersionOne => format!("`{name}` came with CEF 1.2 and needs `cef_version: 1`"),
        NoKey::Unknown => match nearest(name) {
            Some(known) => format!("CEF knows no key `{name}`; did you mean `{known}`?"),
            None => format!("CEF knows no key `{name}`"),
        },
    }
}

fn refused(name: &str, why: leef::Refused) -> String {
    match why {
        leef::Refused::Reserved => format!("`{name}` is not for mappings to write"),
        leef::Refused::Misspelt(known) => format!("did you mean `{known}` by `{name}`?"),
        leef::Refused::NoWord => {
            format!("`{name}` is no word of letters and digits that begins with a small letter")
        }
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    let likeness = |known: &&str| (strsim::jaro_winkler(known, name) * 1000.0) as u32;
    dictionary::names()
        .max_by_key(likeness)
        .filter(|known| likeness(known) >= 800)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stands_before_its_key_and_only_where_one_belongs() {
        let check = |name, label, expected: Result<&str, &str>| {
            let key = OutputKey::new(Dialect::Cef, 0, name, label, false);
            let prefix = key.map(|key| String::from_utf8(key.prefix).unwrap());
            match expected {
                Ok(expected) => assert_eq!(prefix.as_deref(), Ok(expected)),
                Err(part) => assert!(prefix.unwrap_err().contains(part), "{part}"),
            }
        };
        check("cs1", Some("ThreatName"), Ok("cs1Label=ThreatName cs1="));
        check("cs1", Some("a=b"), Ok(r"cs1Label=a\=b cs1="));
        check("msg", None, Ok("msg="));
        check("cs1", None, Err("needs a `label`"));
        check("msg", Some("Text"), Err("takes no `label`"));
        check("cs1", Some("  "), Err("1 to 1023 bytes"));
        check("rawEvent", None, Err("only"));
        check("fileHahs", None, Err("did you mean `fileHash`?"));
        check("zzz", None, Err("CEF knows no key"));
        check("frameworkName", None, Err("cef_version: 1"));
    }

    #[test]
    fn only_a_word_of_our_own_can_carry_the_whole_record() {
        assert_eq!(
            OutputKey::raw(Dialect::Cef, 0, "MicrosoftDefenderRaw")
                .unwrap()
                .rank,
            OutputKey::RAW
        );
        assert!(OutputKey::raw(Dialect::Cef, 0, "msg").is_err());
        assert!(OutputKey::raw(Dialect::Cef, 0, "Microsoft Defender").is_err());
    }
}
