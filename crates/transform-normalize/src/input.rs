//! From a stream of text to records: JSON lines, pretty-printed documents, arrays, pages.

use std::io::{self, BufRead};

use crate::error::NormalizeError;
use crate::json::{NodeId, NodeKind, Tape};

/// One record of an input.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The line where it begins, counted from 1.
    pub line: u64,
    /// Its bytes, as they came.
    pub body: Vec<u8>,
}

/// A part of an input that holds no record.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be read as JSON.
    #[error("line {line}: {why}")]
    NotJson {
        /// The line that is wrong, counted from 1.
        line: u64,
        /// What is wrong.
        #[source]
        why: NormalizeError,
    },
    /// The input itself cannot be read.
    #[error("reading the input")]
    Read(#[source] io::Error),
}

/// Splits an input into records, in order, as it arrives.
///
/// A document may stand on one line or be spread over several. Of an array, of a page of Graph
/// (`{"value":[..]}` with nothing beside but annotations) and of `{"records":[..]}` each element is
/// a record; any other document is one. A document that never ends does not take the lines after
/// it along: a line that is a whole object, where none could stand, begins anew.
pub fn split_input<R: BufRead>(input: R) -> impl Iterator<Item = Result<Record, InputError>> {
    Splitter {
        input,
        line: 0,
        document: Document::default(),
        tape: Tape::default(),
        ready: Vec::new().into_iter(),
        ended: false,
    }
}

struct Splitter<R> {
    input: R,
    /// The number of the line read last.
    line: u64,
    document: Document,
    tape: Tape,
    /// Records that were found and not taken yet.
    ready: std::vec::IntoIter<Result<Record, InputError>>,
    ended: bool,
}

impl<R: BufRead> Iterator for Splitter<R> {
    type Item = Result<Record, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.next() {
                return Some(ready);
            }
            if self.ended {
                return None;
            }
            self.read_line();
        }
    }
}

impl<R: BufRead> Splitter<R> {
    fn read_line(&mut self) {
        let mut line = Vec::new();
        match self.input.read_until(b'\n', &mut line) {
            Ok(0) => {
                self.ended = true;
                self.finish();
            }
            Ok(_) => {
                self.line += 1;
                self.add(&line);
            }
            Err(error) => {
                self.ended = true;
                self.ready = vec![Err(InputError::Read(error))].into_iter();
            }
        }
    }

    /// Adds a line to the document at hand, or begins one; ends it where its brackets close.
    fn add(&mut self, line: &[u8]) {
        let line = line
            .strip_prefix(b"\xEF\xBB\xBF".as_slice())
            .unwrap_or(line);
        if self.document.is_empty() && line.trim_ascii().is_empty() {
            return;
        }
        let mut broken = Vec::new();
        if !self.document.is_empty()
            && self.document.cannot_go_on_with(line)
            && is_object(&mut self.tape, line)
        {
            broken = self.take_document();
        }
        if self.document.is_empty() {
            self.document.line = self.line;
        }
        self.document.add(line);
        if self.document.is_closed() {
            broken.extend(self.take_document());
        }
        self.ready = broken.into_iter();
    }

    fn finish(&mut self) {
        if !self.document.is_empty() {
            self.ready = self.take_document().into_iter();
        }
    }

    /// The records of the document at hand, which is over.
    fn take_document(&mut self) -> Vec<Result<Record, InputError>> {
        let document = std::mem::take(&mut self.document);
        let at = |offset: usize| {
            let before = &document.bytes[..offset.min(document.bytes.len())];
            document.line + memchr::memchr_iter(b'\n', before).count() as u64
        };
        let text = std::str::from_utf8(&document.bytes).map_err(NormalizeError::from);
        let read = text.and_then(|text| {
            self.tape
                .read(text)
                .map(|()| text)
                .map_err(NormalizeError::from)
        });
        let text = match read {
            Ok(text) => text,
            Err(why) => {
                let line = match &why {
                    // The end is missing: what counts is where the document began.
                    NormalizeError::NotJson { offset, .. }
                        if *offset >= document.bytes.trim_ascii_end().len() =>
                    {
                        document.line
                    }
                    NormalizeError::NotJson { offset, .. } | NormalizeError::TooDeep { offset } => {
                        at(*offset)
                    }
                    NormalizeError::TooLong { .. } => document.line,
                };
                let mut found = vec![Err(InputError::NotJson { line, why })];
                found.extend(self.salvage(&document));
                return found;
            }
        };
        let record = |id: NodeId| {
            let node = self.tape.node(id);
            // The range of a text leaves its quotes out.
            let quote = usize::from(node.kind == NodeKind::Text);
            let (start, end) = (node.start as usize - quote, node.end as usize + quote);
            Ok(Record {
                line: at(start),
                body: text.as_bytes()[start..end].to_vec(),
            })
        };
        match list_of_records(&self.tape, text) {
            Some(list) => self.tape.children(list).map(record).collect(),
            None => vec![record(0)],
        }
    }
}

impl<R> Splitter<R> {
    /// What a broken document took along: its later lines that are whole objects.
    fn salvage(&mut self, document: &Document) -> Vec<Result<Record, InputError>> {
        let lines = document.bytes.split(|byte| *byte == b'\n');
        let later = (document.line..).zip(lines).skip(1);
        let whole = later.filter(|(_, body)| is_object(&mut self.tape, body));
        whole
            .map(|(line, body)| {
                let body = body.trim_ascii_end().to_vec();
                Ok(Record { line, body })
            })
            .collect()
    }
}

fn is_object(tape: &mut Tape, line: &[u8]) -> bool {
    let text = std::str::from_utf8(line).unwrap_or_default();
    line.first() == Some(&b'{') && tape.read(text).is_ok()
}

/// The array whose elements are the records, if the document is not a record itself.
fn list_of_records(tape: &Tape, text: &str) -> Option<NodeId> {
    if tape.node(0).kind == NodeKind::Array {
        return Some(0);
    }
    let is_list = |member: &NodeId| {
        let named = matches!(tape.key(text, *member), "value" | "records");
        named && tape.node(*member).kind == NodeKind::Array
    };
    let list = (tape.node(0).kind == NodeKind::Object)
        .then(|| tape.children(0).find(is_list))
        .flatten()?;
    let annotation = |member: NodeId| member == list || tape.key(text, member).starts_with('@');
    tape.children(0).all(annotation).then_some(list)
}

/// Lines that belong together, and how far their brackets are open.
#[derive(Debug, Default)]
struct Document {
    line: u64,
    bytes: Vec<u8>,
    depth: i64,
    in_text: bool,
}

impl Document {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn is_closed(&self) -> bool {
        self.depth <= 0 || self.in_text
    }

    /// Whether JSON forbids that an object follows here.
    fn cannot_go_on_with(&self, line: &[u8]) -> bool {
        let last = self.bytes.trim_ascii_end().last();
        line.first() == Some(&b'{') && !matches!(last, Some(b'[' | b',' | b':'))
    }

    /// A text that is open at the end of a line can only be a mistake: it closes the document.
    fn add(&mut self, line: &[u8]) {
        let mut escaped = false;
        for &byte in line.trim_ascii_end() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if self.in_text => escaped = true,
                b'"' => self.in_text = !self.in_text,
                b'{' | b'[' if !self.in_text => self.depth += 1,
                b'}' | b']' if !self.in_text => self.depth -= 1,
                _ => {}
            }
        }
        self.bytes.extend_from_slice(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records as `line:text`, errors as `line!`.
    fn check(input: &str, expected: &[&str]) {
        let shown = |one: Result<Record, InputError>| match one {
            Ok(record) => format!(
                "{}:{}",
                record.line,
                String::from_utf8(record.body).expect("text")
            ),
            Err(InputError::NotJson { line, .. }) => format!("{line}!"),
            Err(InputError::Read(error)) => panic!("{error}"),
        };
        let found: Vec<String> = split_input(input.as_bytes()).map(shown).collect();
        assert_eq!(found, expected, "{input}");
    }

    #[test]
    fn every_form_of_input_becomes_records_with_their_lines() {
        check("{\"a\":1}\n\n{\"a\":2}", &["1:{\"a\":1}", "3:{\"a\":2}"]);
        check(
            "\u{feff}{\n \"a\": {\n}\n}\n{\"b\":\n1}\n",
            &["1:{\n \"a\": {\n}\n}", "5:{\"b\":\n1}"],
        );
        check(
            "[\n{\"a\":1},\n{\"a\":2}\n]",
            &["2:{\"a\":1}", "3:{\"a\":2}"],
        );
        check(
            "{\"@odata.context\":\"x\",\"value\":[{\"a\":1},\n{\"a\":2}],\"@odata.nextLink\":\"y\"}",
            &["1:{\"a\":1}", "2:{\"a\":2}"],
        );
        check(
            "{\"records\":[{\"a\":1}]}\n[{\"b\":1}]",
            &["1:{\"a\":1}", "2:{\"b\":1}"],
        );
        check("{\"value\":[]}\n\"text\"\n7\n", &["2:\"text\"", "3:7"]);
        check("", &[]);
    }

    #[test]
    fn wrappers_of_other_products_are_not_opened() {
        check(
            "{\"value\":[{\"a\":1}],\"count\":1}",
            &["1:{\"value\":[{\"a\":1}],\"count\":1}"],
        );
        check("{\"ms-graph\":{\"a\":1}}", &["1:{\"ms-graph\":{\"a\":1}}"]);
    }

    #[test]
    fn what_is_not_json_costs_no_record_after_it() {
        check("nonsense\n{\"a\":1}", &["1!", "2:{\"a\":1}"]);
        check(
            "{\"a\":1\n{\"a\":2}\n{\"a\":3}",
            &["1!", "2:{\"a\":2}", "3:{\"a\":3}"],
        );
        check("{\"a\":\"cut\n{\"a\":2}", &["1!", "2:{\"a\":2}"]);
        check("{\"a\":1,}\n{\"a\":2}", &["1!", "2:{\"a\":2}"]);
        check(
            "{\n\"a\": 1,\n\"b\": x\n}\n{\"a\":2}",
            &["3!", "5:{\"a\":2}"],
        );
        check(
            "{\"a\":1,\n{\"a\":2}\n{\"a\":3}",
            &["2!", "2:{\"a\":2}", "3:{\"a\":3}"],
        );
        check("{\"a\":[\n{\"a\":2}", &["1!", "2:{\"a\":2}"]);
        check("{\"a\":2}\n{\"a\":", &["1:{\"a\":2}", "2!"]);
        check("]\n{\"a\":2}", &["1!", "2:{\"a\":2}"]);
    }
}
