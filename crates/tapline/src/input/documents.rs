//! Cuts a stream into JSON documents without holding more than one of them.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use serde::de::IgnoredAny;

/// A document, or what should be one.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Document {
    /// Line of its first byte, from 1.
    pub(crate) line: u64,
    /// Its bytes, without the last line break.
    pub(crate) bytes: Vec<u8>,
}

/// Reads documents one after the other.
///
/// A line that is not JSON costs itself only: reading goes on at the next line that begins a
/// document in its first column.
pub(crate) struct Documents<R> {
    reader: R,
    line: u64,
    /// Lines that were read ahead.
    ahead: VecDeque<Line>,
}

struct Line {
    number: u64,
    bytes: Vec<u8>,
}

impl Line {
    fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    fn begins_a_document(&self) -> bool {
        matches!(self.bytes.first(), Some(b'{' | b'['))
    }
}

impl<R: BufRead> Documents<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            line: 0,
            ahead: VecDeque::new(),
        }
    }

    /// The next document, or none at the end.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Document>> {
        let Some(first) = self.next_line(|line| !line.is_blank())? else {
            return Ok(None);
        };
        let mut balance = Balance::default();
        balance.add(&first.bytes);
        let mut lines = vec![first];
        while !balance.is_even() {
            let Some(line) = self.next_line(|_| true)? else {
                break;
            };
            if balance.in_text || (line.begins_a_document() && is_wrong_with(&lines, &line)) {
                self.ahead.push_front(line);
                return Ok(self.give_back(lines));
            }
            balance.add(&line.bytes);
            lines.push(line);
        }
        match balance.is_even() {
            true => Ok(Some(joined(lines))),
            false => Ok(self.give_back(lines)),
        }
    }

    /// Ends a broken document before its first line that may begin another one.
    fn give_back(&mut self, mut lines: Vec<Line>) -> Option<Document> {
        let other = lines.iter().skip(1).position(Line::begins_a_document);
        if let Some(at) = other {
            for line in lines.drain(at + 1..).rev() {
                self.ahead.push_front(line);
            }
        }
        Some(joined(lines))
    }

    fn next_line(&mut self, wanted: impl Fn(&Line) -> bool) -> io::Result<Option<Line>> {
        loop {
            let line = match self.ahead.pop_front() {
                Some(line) => line,
                None => match self.read_line()? {
                    Some(line) => line,
                    None => return Ok(None),
                },
            };
            if wanted(&line) {
                return Ok(Some(line));
            }
        }
    }

    fn read_line(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        if self.reader.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.ends_with(b"\n") {
            bytes.pop();
        }
        self.line += 1;
        Ok(Some(Line {
            number: self.line,
            bytes,
        }))
    }
}

/// Whether the lines together with the next one can no longer become a document.
fn is_wrong_with(lines: &[Line], next: &Line) -> bool {
    let mut text = Vec::new();
    for line in lines.iter().chain([next]) {
        text.extend_from_slice(&line.bytes);
        text.push(b'\n');
    }
    serde_json::from_slice::<IgnoredAny>(&text).is_err_and(|error| !error.is_eof())
}

fn joined(lines: Vec<Line>) -> Document {
    let line = lines.first().map_or(0, |line| line.number);
    let parts: Vec<Vec<u8>> = lines.into_iter().map(|line| line.bytes).collect();
    Document {
        line,
        bytes: parts.join(&b'\n'),
    }
}

/// Open brackets, and whether a text is open; what is inside a text does not count.
#[derive(Default)]
struct Balance {
    depth: i64,
    in_text: bool,
    escaped: bool,
}

impl Balance {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match (self.in_text, byte) {
                (true, _) if self.escaped => self.escaped = false,
                (true, b'\\') => self.escaped = true,
                (_, b'"') => self.in_text = !self.in_text,
                (false, b'{' | b'[') => self.depth += 1,
                (false, b'}' | b']') => self.depth -= 1,
                _ => {}
            }
        }
    }

    fn is_even(&self) -> bool {
        self.depth <= 0 && !self.in_text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &[(u64, &str)]) {
        let mut documents = Documents::new(input.as_bytes());
        let mut found = Vec::new();
        while let Some(document) = documents.next().expect("memory can be read") {
            let text = String::from_utf8(document.bytes).expect("text");
            found.push((document.line, text));
        }
        let found: Vec<_> = found
            .iter()
            .map(|(line, text)| (*line, text.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn one_document_a_line_and_several_lines_a_document() {
        check("{\"a\":1}\n\n[2]\r\n", &[(1, "{\"a\":1}"), (3, "[2]\r")]);
        check(
            "{\n \"a\": [\n  1\n ]\n}\n{}",
            &[(1, "{\n \"a\": [\n  1\n ]\n}"), (6, "{}")],
        );
        check(
            "[\n{\"a\":1},\n{\"b\":2}\n]",
            &[(1, "[\n{\"a\":1},\n{\"b\":2}\n]")],
        );
    }

    #[test]
    fn brackets_inside_texts_do_not_count() {
        check(r#"{"a":"}\"{"}"#, &[(1, r#"{"a":"}\"{"}"#)]);
    }

    #[test]
    fn a_broken_line_costs_itself_only() {
        check(
            "{\"a\":1,\n{\"b\":2}\n",
            &[(1, "{\"a\":1,"), (2, "{\"b\":2}")],
        );
        check(
            "{\"a\":\"x\n{\"b\":2}\n",
            &[(1, "{\"a\":\"x"), (2, "{\"b\":2}")],
        );
        check("{\"a\":[1\n", &[(1, "{\"a\":[1")]);
        check("nonsense\n{}", &[(1, "nonsense"), (2, "{}")]);
        check("}\n{}", &[(1, "}"), (2, "{}")]);
    }

    #[test]
    fn a_long_broken_document_is_told_once() {
        let broken = format!("{{\n{}", " \"a\": [\n".repeat(2000));
        let mut documents = Documents::new(broken.as_bytes());
        assert!(documents.next().expect("read").is_some());
        assert!(documents.next().expect("read").is_none());
    }
}
