//! The identities of messages on their way to a syslog receiver, read along on the cable.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tapline_e2e::cable::Tap;

/// How often each identity was handed over whole. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Identities(Arc<Mutex<HashMap<String, usize>>>);

impl Identities {
    /// Reads one connection along.
    pub(super) fn tap(&self) -> FrameTap {
        FrameTap {
            rest: Vec::new(),
            identities: self.clone(),
        }
    }

    pub(super) fn by_uid(&self) -> HashMap<String, usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn count(&self) -> usize {
        self.by_uid().values().sum()
    }

    fn add(&self, message: &[u8]) {
        let uid = identity(message).expect("every message carries its identity");
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(uid).or_default() += 1;
    }
}

/// `uid` of the structured data of a message.
pub(super) fn identity(message: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(message);
    let (_, rest) = text.split_once("[tapline@32473 uid=\"")?;
    let (uid, _) = rest.split_once('"')?;
    Some(uid.to_owned())
}

/// Cuts a stream into messages by their octet counts.
pub(super) struct FrameTap {
    rest: Vec<u8>,
    identities: Identities,
}

impl Tap for FrameTap {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((begin, length)) = frame(&self.rest[at..]) {
            let message = &self.rest[at + begin..at + begin + length];
            self.identities.add(message);
            at += begin + length;
        }
        self.rest.drain(..at);
    }
}

/// Where the first message begins and how long it is, if all of it is there.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let count = std::str::from_utf8(&bytes[..space]).ok()?;
    let length: usize = count.parse().expect("octet counting");
    (bytes.len() >= space + 1 + length).then_some((space + 1, length))
}
