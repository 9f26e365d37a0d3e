//! The ledger: what was made, and what was replaced when. A file that only grows.

use serde::Serialize;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// One line: a version that can be read from now on, or (with a number) one that was replaced.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) kind: &'static str,
    pub(crate) tenant: &'a str,
    pub(crate) id: &'a str,
    pub(crate) version: &'a str,
    /// From when the version could first be read until the next one replaced it.
    pub(crate) superseded_after_ms: Option<u64>,
}

/// Lines are collected, and written with one call before the versions they tell of can be read.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
    lines: Vec<u8>,
}

impl Ledger {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self {
            file,
            lines: Vec::new(),
        })
    }

    pub(crate) fn note(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.lines, line)?;
        self.lines.push(b'\n');
        Ok(())
    }

    /// Hands the collected lines to the system, where every reader of the file sees them.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.lines)?;
        self.lines.clear();
        Ok(())
    }
}
