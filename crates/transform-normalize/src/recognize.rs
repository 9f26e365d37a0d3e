//! What a record is, and its identity, from nothing but its bytes.

use sha2::{Digest, Sha256};
use tapline_core::{Kind, Metadata, Severity};

use crate::edits::hex;
use crate::error::NormalizeError;
use crate::json::{NodeId, NodeKind, Tape, unescape};
use crate::tables::known_table;

/// What `category` begins with in streamed rows of advanced hunting.
const STREAMED: &str = "AdvancedHunting-";

/// Recognizes records; reuses its memory.
#[derive(Debug, Default)]
pub struct Recognizer {
    tape: Tape,
}

impl Recognizer {
    /// Says what a record is and what is known of it. With `kind` that is what it is; a table's name
    /// counts in any case, and one that is not documented is `hunting.unknown`.
    ///
    /// # Errors
    /// [`NormalizeError`] if the body is not JSON.
    pub fn metadata(
        &mut self,
        body: &[u8],
        kind: Option<&Kind>,
    ) -> Result<Metadata, NormalizeError> {
        let body = std::str::from_utf8(body)?;
        self.tape.read(body)?;
        let record = Record {
            tape: &self.tape,
            body,
        };
        Ok(match kind {
            None => record.metadata(record.kind(), record.table()),
            Some(kind) => match kind.hunting_table() {
                None => record.metadata(kind.clone(), record.table()),
                Some(name) => {
                    let known = known_table(name);
                    let table = record.table();
                    let table = table.unwrap_or_else(|| known.unwrap_or(name).to_owned());
                    record.metadata(kind_of_table(known), Some(table))
                }
            },
        })
    }
}

fn kind_of_table(known: Option<&str>) -> Kind {
    Kind::new(&format!("hunting.{}", known.unwrap_or("unknown")))
}

struct Record<'r> {
    tape: &'r Tape,
    body: &'r str,
}

impl Record<'_> {
    /// The first rule that fits; anything else is a row of an unknown table.
    fn kind(&self) -> Kind {
        let odata = self.text("@odata.type").unwrap_or_default();
        let of_type = |end: &str| odata.to_ascii_lowercase().ends_with(end);
        let has = |name| self.member(name).is_some();
        if let Some(table) = self.table() {
            return kind_of_table(known_table(&table));
        }
        let name = if has("AlertTitle") && has("AlertId") {
            "siem.detection"
        } else if has("alertCreationTime") {
            "endpoint.alert"
        } else if (has("displayName") && has("incidentWebUrl")) || of_type("incident") {
            "graph.incident"
        } else if (has("id")
            && ["evidence", "serviceSource", "alertWebUrl"]
                .into_iter()
                .any(has))
            || of_type("alert")
        {
            "graph.alert"
        } else {
            "hunting.unknown"
        };
        Kind::new(name)
    }

    fn metadata(&self, kind: Kind, table: Option<String>) -> Metadata {
        let (id, version, time) = match kind.as_str() {
            "siem.detection" => ("FullId", "LastProcessedTimeUtc", "AlertTime"),
            "endpoint.alert" => ("id", "lastUpdateTime", "alertCreationTime"),
            "graph.alert" | "graph.incident" => ("id", "lastUpdateDateTime", "createdDateTime"),
            _ => ("", "", "time"),
        };
        let id = self.text(id).or_else(|| {
            self.text(if kind.as_str() == "siem.detection" {
                "AlertId"
            } else {
                ""
            })
        });
        let id = id.unwrap_or_else(|| self.hash(table.as_deref()));
        let version = self.text(version).unwrap_or_else(|| "1".to_owned());
        let tenant = self
            .text("tenantId")
            .unwrap_or_else(|| "unknown".to_owned());
        let mut meta = Metadata::new(kind, tenant, id, version);
        meta.table = table.map(Into::into);
        meta.event_time = self.text(time).and_then(|time| time.parse().ok());
        let severity = self.text("severity").or_else(|| self.text("Severity"));
        meta.severity = severity.map_or(Severity::Unknown, |word| Severity::from_defender(&word));
        meta
    }

    /// The table of a streamed row, as it was sent.
    fn table(&self) -> Option<String> {
        let category = self.text("category")?;
        let (prefix, table) = category.split_at_checked(STREAMED.len())?;
        prefix
            .eq_ignore_ascii_case(STREAMED)
            .then(|| table.to_owned())
    }

    /// 32 hexadecimal digits of what a row says: its table and its bytes, not its envelope.
    fn hash(&self, table: Option<&str>) -> String {
        let mut hash = Sha256::new();
        hash.update(table.unwrap_or_default());
        hash.update([0]);
        let is_row = |row: &NodeId| self.tape.node(*row).kind == NodeKind::Object;
        let row = self.last("properties").filter(is_row);
        hash.update(self.tape.raw(self.body, row.unwrap_or(0)));
        hex(&hash.finalize()[..16])
    }

    /// The last member of a name, as the name is documented, that says something.
    fn member(&self, name: &str) -> Option<NodeId> {
        let found = self.last(name)?;
        (!self.tape.is_empty(found) || self.tape.node(found).kind == NodeKind::Array)
            .then_some(found)
    }

    /// The last member of a name, whatever it says.
    fn last(&self, name: &str) -> Option<NodeId> {
        let named = |member: &NodeId| self.tape.key(self.body, *member) == name;
        let is_object = self.tape.node(0).kind == NodeKind::Object;
        is_object
            .then(|| self.tape.children(0).filter(named).last())
            .flatten()
    }

    /// A member's text; of numbers their digits.
    fn text(&self, name: &str) -> Option<String> {
        let found = self.member(name)?;
        let raw = self.tape.raw(self.body, found);
        match self.tape.node(found).kind {
            NodeKind::Text => {
                let mut text = String::with_capacity(raw.len());
                unescape(raw, &mut text);
                Some(text)
            }
            NodeKind::Number => Some(raw.to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str, kind: Option<&str>) -> Metadata {
        let kind = kind.map(Kind::new);
        Recognizer::default()
            .metadata(body.as_bytes(), kind.as_ref())
            .expect("JSON")
    }

    /// The digits are the first 32 of `printf 'AlertInfo\0{}' | sha256sum`.
    #[test]
    fn a_bare_row_has_the_identity_of_the_same_row_in_its_envelope() {
        let streamed = of(
            r#"{"category":"AdvancedHunting-AlertInfo","properties":{}}"#,
            None,
        );
        for kind in ["hunting.AlertInfo", "hunting.alertinfo"] {
            let bare = of("{}", Some(kind));
            assert_eq!(bare.id, streamed.id);
            assert_eq!(bare.kind.as_str(), "hunting.AlertInfo");
        }
        assert_eq!(&*streamed.id, "4140bd3758b226bb6220b861f8fc5fc7");
    }

    #[test]
    fn a_table_that_is_not_documented_is_unknown_by_kind_and_told_apart_by_identity() {
        let (one, other) = (
            of("{}", Some("hunting.One")),
            of("{}", Some("hunting.Other")),
        );
        assert_eq!(one.kind.as_str(), "hunting.unknown");
        assert_eq!(one.table.as_deref(), Some("One"));
        assert_ne!(one.id, other.id);
    }
}
