//! Writes JSON text straight into a buffer.

use crate::ticks;
use std::io::Write;

/// A JSON text in the making. Commas come by themselves.
#[derive(Debug, Default)]
pub(super) struct Json {
    pub(super) out: Vec<u8>,
}

impl Json {
    pub(super) fn open(&mut self, bracket: u8) -> &mut Self {
        self.comma();
        self.out.push(bracket);
        self
    }

    pub(super) fn close(&mut self, bracket: u8) -> &mut Self {
        self.out.push(bracket);
        self
    }

    /// The name of the next value.
    pub(super) fn key(&mut self, name: &str) -> &mut Self {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.comma();
        self.out.push(b'"');
        for byte in value.bytes() {
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                0..0x20 => self.raw_format(format_args!("\\u{byte:04x}")),
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
        self
    }

    pub(super) fn time(&mut self, at: i64) -> &mut Self {
        self.comma();
        self.out.push(b'"');
        ticks::write_trimmed(at, &mut self.out);
        self.out.push(b'"');
        self
    }

    pub(super) fn full_time(&mut self, at: i64) -> &mut Self {
        self.comma();
        self.out.push(b'"');
        ticks::write_full(at, &mut self.out);
        self.out.push(b'"');
        self
    }

    /// A number, `true`, `false`, `null`, or an empty list or object.
    pub(super) fn plain(&mut self, value: impl std::fmt::Display) -> &mut Self {
        self.comma();
        self.raw_format(format_args!("{value}"));
        self
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.comma();
        self.out.extend_from_slice(b"null");
        self
    }

    pub(super) fn texts<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) -> &mut Self {
        self.open(b'[');
        for value in values {
            self.text(value);
        }
        self.close(b']')
    }

    pub(super) fn maybe(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    fn comma(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }

    fn raw_format(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a vector takes every byte");
    }
}
