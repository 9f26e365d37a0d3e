//! Writes techniques and tactics of MITRE ATT&CK as `attack` objects.

use super::attack;
use super::write::Writer;
use crate::engine::Path;
use crate::json::{NodeId, NodeKind, write_escaped};

impl Writer<'_, '_> {
    pub(super) fn techniques(&mut self, list: Path, tactics: &[Path], count: &mut u32) {
        let tactic = tactics.iter().find_map(|path| self.tactic(*path));
        let before = *count;
        if let Some(list) = self.run.find_list(list) {
            let end = self.run.tape.node(list).next;
            let mut at = list + 1;
            while at < end {
                self.element(count, |writer| writer.technique(at, tactic));
                at = self.run.tape.node(at).next;
            }
        }
        if let (true, Some(tactic)) = (*count == before, tactic) {
            self.element(count, |writer| {
                writer.out.push(b'{');
                writer.tactic_object(tactic);
                writer.out.push(b'}');
                true
            });
        }
    }

    /// The tactic that a category, or the first of several that is one, names.
    fn tactic(&mut self, path: Path) -> Option<(&'static str, &'static str)> {
        let node = self.run.find(path)?;
        let value = *self.run.tape.node(node);
        let (mut at, end) = match value.kind {
            NodeKind::Array => (node + 1, value.next),
            _ => (node, node + 1),
        };
        while at < end {
            if let Some(text) = self.run.text_of(at)
                && let Some(tactic) = attack::tactic(self.run.str(text))
            {
                return Some(tactic);
            }
            at = self.run.tape.node(at).next.max(at + 1);
        }
        None
    }

    fn technique(&mut self, node: NodeId, tactic: Option<(&str, &str)>) -> bool {
        let Some(text) = self.run.text_of(node) else {
            return false;
        };
        let Some((uid, name)) = attack::technique(self.run.str(text)) else {
            return false;
        };
        let sub = uid.len() > 5;
        if sub {
            self.out
                .extend_from_slice(b"{\"sub_technique\":{\"uid\":\"");
            self.out.extend_from_slice(uid.as_bytes());
            name_of(name, self.out);
            self.out.extend_from_slice(b"},\"technique\":{\"uid\":\"");
            self.out.extend_from_slice(&uid.as_bytes()[..5]);
            name_of(None, self.out);
        } else {
            self.out.extend_from_slice(b"{\"technique\":{\"uid\":\"");
            self.out.extend_from_slice(uid.as_bytes());
            name_of(name, self.out);
        }
        self.out.push(b'}');
        if let Some(tactic) = tactic {
            self.out.push(b',');
            self.tactic_object(tactic);
        }
        self.out.push(b'}');
        self.run.mark(node);
        true
    }

    fn tactic_object(&mut self, (name, uid): (&str, &str)) {
        self.out.extend_from_slice(b"\"tactic\":{\"name\":\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\",\"uid\":\"");
        self.out.extend_from_slice(uid.as_bytes());
        self.out.extend_from_slice(b"\"}");
    }
}

/// Ends a uid's text and writes the name behind it.
fn name_of(name: Option<&str>, out: &mut Vec<u8>) {
    out.push(b'"');
    if let Some(name) = name {
        out.extend_from_slice(b",\"name\":\"");
        write_escaped(name, out);
        out.push(b'"');
    }
}
