//! Refresh tokens on disk: the newest one of every chain, durable before it is used.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tapline_core::{Secret, private};
use zeroize::Zeroizing;

/// Format of the file; a newer one is left alone.
const FORMAT: u32 = 1;

/// A folder of token files, one per chain of refresh tokens.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    dir: PathBuf,
}

/// The newest refresh token, and the one that it replaced.
///
/// The platform does not revoke a token when it is used, so the previous one is a fallback.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) current: Secret,
    pub(crate) previous: Option<Secret>,
}

impl Chain {
    /// A chain that begins with the configured token.
    pub(crate) fn new(configured: Secret) -> Self {
        Self {
            current: configured,
            previous: None,
        }
    }

    /// Tokens worth trying, best first, each once.
    pub(crate) fn candidates(&self, configured: &Secret) -> Vec<Secret> {
        let mut candidates = vec![self.current.clone()];
        for older in self.previous.iter().chain([configured]) {
            if candidates.iter().all(|known| !same(known, older)) {
                candidates.push(older.clone());
            }
        }
        candidates
    }

    /// Moves on after `used` was accepted; says whether anything changed.
    pub(crate) fn advance(&mut self, used: &Secret, fresh: Option<Secret>) -> bool {
        let current = fresh.unwrap_or_else(|| used.clone());
        if same(&current, &self.current) {
            return false;
        }
        self.previous = (!same(&current, used)).then(|| used.clone());
        self.current = current;
        true
    }
}

fn same(left: &Secret, right: &Secret) -> bool {
    left.expose() == right.expose()
}

/// What stands in a file. The one place where tokens are written in clear.
#[derive(Deserialize, Serialize)]
struct Record<T> {
    format: u32,
    refresh_token: T,
    previous: Option<T>,
}

impl Store {
    /// A store in `tokens` below the data folder; made when first written.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("tokens"),
        }
    }

    /// Reads a chain, if there is one.
    pub(crate) fn load(&self, name: &str) -> io::Result<Option<Chain>> {
        let text = match fs::read(self.path(name)) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // The reader's message could repeat a part of the file, so only its position is kept.
        let record: Record<String> = serde_json::from_slice(&text)
            .map_err(|error| invalid(format!("not JSON we know at column {}", error.column())))?;
        if record.format != FORMAT {
            return Err(invalid(format!("unknown format {}", record.format)));
        }
        Ok(Some(Chain {
            current: Secret::new(record.refresh_token),
            previous: record.previous.map(Secret::new),
        }))
    }

    /// Makes a chain durable; a reader at any moment finds the old one or the new one.
    pub(crate) fn save(&self, name: &str, chain: &Chain) -> io::Result<()> {
        let record = Record {
            format: FORMAT,
            refresh_token: chain.current.expose(),
            previous: chain.previous.as_ref().map(Secret::expose),
        };
        let text = Zeroizing::new(serde_json::to_vec(&record)?);
        make_private_dir(&self.dir)?;
        let temporary = self.dir.join(format!("{name}.new"));
        write_private(&temporary, &text)?;
        fs::rename(&temporary, self.path(name))?;
        File::open(&self.dir)?.sync_all()
    }

    /// Where a chain is kept.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Makes a folder that only its owner may enter, durably.
fn make_private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    private::make_folder(dir)?;
    match dir.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes and syncs a new file that only its owner may read, from its first byte on.
fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    // One that a crash left behind; its permissions are not to be trusted.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = private::file_options();
    options.write(true).create_new(true);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(current: &str, previous: Option<&str>) -> Chain {
        Chain {
            current: Secret::new(current),
            previous: previous.map(Secret::new),
        }
    }

    fn texts(secrets: &[Secret]) -> Vec<&str> {
        secrets.iter().map(Secret::expose).collect()
    }

    #[test]
    fn what_was_saved_is_read_back_by_the_next_process() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let store = Store::new(dir.path());
        assert!(store.load("a").expect("no file").is_none());
        store.save("a", &chain("R2", Some("R1"))).expect("saved");
        store.save("a", &chain("R3", Some("R2"))).expect("saved");
        let read = store.load("a").expect("read").expect("there");
        assert_eq!(
            texts(&read.candidates(&Secret::new("R1"))),
            ["R3", "R2", "R1"]
        );
        assert!(store.load("b").expect("no file").is_none());
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private_to_their_owner_even_over_a_leftover() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("temporary folder");
        let store = Store::new(dir.path());
        fs::create_dir(dir.path().join("tokens")).expect("made");
        fs::write(dir.path().join("tokens/a.new"), "leftover").expect("written");
        store.save("a", &chain("R2", None)).expect("saved");
        let mode = fs::metadata(store.path("a")).expect("there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_file_is_an_error_that_shows_no_token() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let store = Store::new(dir.path());
        store.save("a", &chain("R2", None)).expect("saved");
        for text in [
            r#"{"format":1,"refresh_token":hunter2}"#,
            "hunter2",
            r#"{"format":1,"refresh_token":["hunter2"]}"#,
        ] {
            fs::write(store.path("a"), text).expect("written");
            let error = store.load("a").expect_err("broken").to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_used_token_becomes_the_fallback_of_its_successor() {
        let mut moving = Chain::new(Secret::new("R1"));
        assert!(!moving.advance(&Secret::new("R1"), None));
        assert!(moving.advance(&Secret::new("R1"), Some(Secret::new("R2"))));
        assert_eq!(texts(&moving.candidates(&Secret::new("R1"))), ["R2", "R1"]);
        assert!(moving.advance(&Secret::new("R1"), None), "fell back");
        assert_eq!(texts(&moving.candidates(&Secret::new("R1"))), ["R1"]);
    }
}
