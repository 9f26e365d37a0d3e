//! A clock of a program's own, that can jump.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// What a program that begins with [`Clock::environment`] takes for the time of day.
pub struct Clock {
    shim: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// A clock that is right. Its files are in `folder`.
    ///
    /// # Errors
    /// If there is no C compiler, or the folder cannot be written.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let shim = folder.join("clock.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clock/shim.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]);
        let said = compiler.arg(&shim).arg(&source).output();
        let said = said.context("running cc")?;
        let why = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "{}: {why}", source.display());
        let offset = folder.join("clock.offset");
        std::fs::write(&offset, 0_i64.to_ne_bytes())?;
        Ok(Self { shim, offset })
    }

    /// What a program has to find in its environment.
    pub fn environment(&self) -> [(&'static str, &str); 2] {
        [
            ("LD_PRELOAD", self.shim.to_str().expect("UTF-8")),
            ("TAPLINE_TEST_CLOCK", self.offset.to_str().expect("UTF-8")),
        ]
    }

    /// Sets it so many seconds ahead of the true time, or behind it.
    ///
    /// # Errors
    /// If its file cannot be written.
    pub fn set_ahead(&self, seconds: i64) -> std::io::Result<()> {
        let file = std::fs::File::options().write(true).open(&self.offset)?;
        file.write_all_at(&seconds.to_ne_bytes(), 0)
    }
}
