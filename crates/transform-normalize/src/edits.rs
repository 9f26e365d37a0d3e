//! Fields that the operator takes out, or hides behind a hash, before anything is written.

use sha2::{Digest, Sha256};

use crate::json::{NodeId, NodeKind, Tape, unescape};

/// What is done to a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Edit {
    Drop,
    Hash,
}

/// All fields that are dropped or hashed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edits(Vec<(Vec<String>, Edit)>);

impl Edits {
    /// `drop` and `hash` as the operator wrote them: names below the record with dots, where
    /// lists count as their elements.
    pub(crate) fn new<'n>(
        drop: impl Iterator<Item = &'n str>,
        hash: impl Iterator<Item = &'n str>,
    ) -> Self {
        let names = |path: &str| path.split('.').map(str::to_owned).collect();
        let drop = drop.map(|path| (names(path), Edit::Drop));
        let hash = hash.map(|path| (names(path), Edit::Hash));
        Self(drop.chain(hash).collect())
    }

    /// Changes a record that was just read.
    pub(crate) fn apply(&self, tape: &mut Tape, body: &str) {
        for (names, edit) in &self.0 {
            walk(tape, body, 0, names, *edit);
        }
    }
}

fn walk(tape: &mut Tape, body: &str, at: NodeId, names: &[String], edit: Edit) {
    let node = *tape.node(at);
    let Some((name, below)) = names.split_first() else {
        return change(tape, body, at, edit);
    };
    let mut child = at + 1;
    while child < node.next {
        match node.kind {
            NodeKind::Array => walk(tape, body, child, names, edit),
            NodeKind::Object if is_named(tape, body, child, name) => {
                walk(tape, body, child, below, edit)
            }
            _ => {}
        }
        child = tape.node(child).next;
    }
}

/// Compares names as readers see them: a name does not escape by being escaped.
fn is_named(tape: &Tape, body: &str, member: NodeId, name: &str) -> bool {
    let key = tape.key(body, member);
    if !key.contains('\\') {
        return key.eq_ignore_ascii_case(name);
    }
    let mut plain = String::new();
    unescape(key, &mut plain);
    plain.eq_ignore_ascii_case(name)
}

fn change(tape: &mut Tape, body: &str, at: NodeId, edit: Edit) {
    let node = *tape.node(at);
    match (edit, node.kind) {
        (Edit::Drop, _) => tape.drop_value(at),
        (Edit::Hash, NodeKind::Null) => {}
        (Edit::Hash, NodeKind::Array) => {
            let mut element = at + 1;
            while element < node.next {
                change(tape, body, element, edit);
                element = tape.node(element).next;
            }
        }
        (Edit::Hash, _) if tape.is_empty(at) => {}
        (Edit::Hash, _) => {
            let mut plain = String::new();
            unescape(tape.raw(body, at), &mut plain);
            tape.replace(at, &hex(&Sha256::digest(plain.as_bytes())));
        }
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let pair = |byte: &u8| {
        [
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]
    };
    bytes.iter().flat_map(pair).map(char::from).collect()
}
