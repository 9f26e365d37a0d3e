//! State as one JSON document.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tapline_core::{Checkpoint, Cursor, PartitionKey, StreamIdentity};

use crate::checkpoint::Stored;

/// The only one so far.
const FORMAT: u32 = 1;
/// Before bytes that are no text.
const BINARY: &str = "base64:";

/// A cursor as text: what the source wrote if that is text, else `base64:` and its bytes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct CursorText(pub String);

/// The state of a folder.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    format: u32,
    exported_at: Timestamp,
    partitions: Vec<Saved>,
}

/// The state of one partition.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// Id of the source.
    pub component: String,
    /// The partition's name within the source.
    pub partition: String,
    /// The stream that the cursor belongs to.
    pub stream: StreamIdentity,
    cursor: CursorText,
    /// Keys and values, as base64.
    entries: Vec<(String, String)>,
}

impl CursorText {
    pub(super) fn of(cursor: &Cursor) -> Self {
        let text = std::str::from_utf8(cursor.as_bytes());
        match text {
            Ok(text) if !text.starts_with(BINARY) => Self(text.to_owned()),
            _ => Self(format!("{BINARY}{}", STANDARD.encode(cursor.as_bytes()))),
        }
    }

    /// # Errors
    /// What is wrong with it.
    pub(super) fn to_cursor(&self) -> Result<Cursor, String> {
        let Some(coded) = self.0.strip_prefix(BINARY) else {
            return Ok(Cursor::new(self.0.clone()));
        };
        let bytes = STANDARD.decode(coded);
        let bytes = bytes.map_err(|error| format!("the cursor is no base64: {error}"))?;
        Ok(Cursor::new(bytes))
    }
}

impl Document {
    pub(super) fn new(partitions: Vec<Saved>) -> Self {
        Self {
            format: FORMAT,
            exported_at: Timestamp::now(),
            partitions,
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_slice(text)
            .map_err(|error| format!("is not an export of `tapline state`: {error}"))?;
        if head.format != FORMAT {
            return Err(format!(
                "has format {}, this version knows {FORMAT}",
                head.format
            ));
        }
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    /// The partitions in it.
    pub fn partitions(&self) -> &[Saved] {
        &self.partitions
    }

    /// # Errors
    /// What is wrong, and with which partition.
    pub(super) fn into_stored(self) -> Result<BTreeMap<PartitionKey, Stored>, String> {
        let mut all = BTreeMap::new();
        for saved in self.partitions {
            let (key, stored) = saved.into_stored()?;
            if let Some(before) = all.insert(key, stored) {
                let stream = before.stream;
                return Err(format!("the document has a partition of {stream} twice"));
            }
        }
        Ok(all)
    }
}

impl Saved {
    pub(super) fn of(key: PartitionKey, stored: Stored) -> Self {
        let entries = stored.checkpoint.entries.iter();
        Self {
            component: key.component,
            partition: key.partition,
            stream: stored.stream,
            cursor: CursorText::of(&stored.checkpoint.cursor),
            entries: entries
                .map(|(key, value)| (STANDARD.encode(key), STANDARD.encode(value)))
                .collect(),
        }
    }

    fn into_stored(self) -> Result<(PartitionKey, Stored), String> {
        let key = PartitionKey::new(self.component, self.partition);
        let decode = |coded: &str| {
            let bytes = STANDARD.decode(coded).map(Bytes::from);
            bytes.map_err(|error| format!("{key}: an entry is no base64: {error}"))
        };
        let entries = self.entries.iter();
        let entries = entries.map(|(name, value)| Ok((decode(name)?, decode(value)?)));
        let checkpoint = Checkpoint {
            entries: entries.collect::<Result<_, String>>()?,
            cursor: self.cursor.to_cursor()?,
        };
        let stream = self.stream;
        Ok((key, Stored { stream, checkpoint }))
    }
}
