//! The `tapline` program as a user starts it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context;

use crate::process::Process;

/// The binary under test.
pub fn binary() -> PathBuf {
    let named = std::env::var_os("TAPLINE_BIN").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/tapline"))
}

/// A command of the program.
pub fn tapline(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments);
    command
}

/// Microsoft's side: `tapline simulate`, and the line it announces itself with.
pub struct Simulation {
    process: Process,
    stdout: Option<BufReader<ChildStdout>>,
    /// The object on its standard output: addresses and credentials.
    pub announcement: serde_json::Value,
}

impl Simulation {
    /// Starts it with further arguments and reads its announcement.
    pub fn start(arguments: &[&str], log: &Path) -> anyhow::Result<Self> {
        let mut child: Child = tapline(&["simulate"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log)?)
            .spawn()
            .context("starting tapline simulate")?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let process = Process::adopt(child);
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line)?;
        let announcement = serde_json::from_str(&line)
            .with_context(|| format!("the announcement is not JSON: {line:?}"))?;
        Ok(Self {
            process,
            stdout: Some(stdout),
            announcement,
        })
    }

    /// A member of the announcement.
    pub fn text(&self, name: &str) -> &str {
        let value = self.announcement[name].as_str();
        value.unwrap_or_else(|| panic!("the announcement has no {name}"))
    }

    /// Standard output after the announcement; can be taken once.
    pub fn rest(&mut self) -> Option<impl Read + use<>> {
        self.stdout.take()
    }

    /// The process, to be stopped or killed.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
