//! The files of the dead letters: one per component, lines appended and synced.

use std::collections::btree_map::{BTreeMap, Entry};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tapline_core::metrics::Gauge;
use tapline_core::private;

use super::{Letter, letter};

/// The files of a folder, and how much they may hold together.
pub(super) struct Files {
    folder: PathBuf,
    max_bytes: u64,
    gauge: Gauge,
}

/// Files that are being appended to, and how long they were before.
type Open = BTreeMap<String, (File, u64)>;

/// Why a letter was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{} holds {used} bytes of at most {max}; move or purge some", .folder.display())]
    Full {
        folder: PathBuf,
        used: u64,
        max: u64,
    },
    #[error("writing to {}: {source}", .folder.display())]
    Io { folder: PathBuf, source: io::Error },
}

impl WriteError {
    /// A metric label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            WriteError::Full { .. } => "dead_letters_full",
            WriteError::Io { .. } => "dead_letters_unwritable",
        }
    }
}

impl Files {
    /// # Errors
    /// What the system says if the folder cannot be made or read.
    pub(super) fn open(folder: PathBuf, max_bytes: u64, gauge: Gauge) -> io::Result<Self> {
        private::make_folder(&folder)?;
        gauge.set(used(&folder)? as f64);
        Ok(Self {
            folder,
            max_bytes,
            gauge,
        })
    }

    /// Writes and syncs as many letters as it can: how many, and why not all.
    pub(super) fn append(&mut self, letters: &[Letter]) -> (usize, Option<WriteError>) {
        let mut open = BTreeMap::new();
        let lock = lock(&self.folder);
        let written = lock.and_then(|lock| {
            let written = self.write_synced(letters, &mut open);
            if written.is_err() {
                take_back(&open);
            }
            drop(lock);
            written
        });
        match written {
            Ok((stored, full)) => (stored, full),
            Err(source) => {
                let folder = self.folder.clone();
                (0, Some(WriteError::Io { folder, source }))
            }
        }
    }

    fn write_synced(
        &mut self,
        letters: &[Letter],
        open: &mut Open,
    ) -> io::Result<(usize, Option<WriteError>)> {
        // Asked of the disk each time, since an operator may have made room.
        let mut size = used(&self.folder)?;
        let mut stored = 0;
        let mut full = None;
        for letter in letters {
            let line = letter::encode(letter);
            if size + line.len() as u64 > self.max_bytes {
                full = Some(WriteError::Full {
                    folder: self.folder.clone(),
                    used: size,
                    max: self.max_bytes,
                });
                break;
            }
            self.file(&letter.component.id, open)?.write_all(&line)?;
            size += line.len() as u64;
            stored += 1;
        }
        for (file, _) in open.values() {
            file.sync_data()?;
        }
        File::open(&self.folder)?.sync_all()?;
        self.gauge.set(size as f64);
        Ok((stored, full))
    }

    fn file<'a>(&self, component: &str, open: &'a mut Open) -> io::Result<&'a mut File> {
        let place = match open.entry(file_name(component)) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => {
                let file = open_at_line_start(&self.folder.join(place.key()))?;
                let before = file.metadata()?.len();
                place.insert((file, before))
            }
        };
        Ok(&mut place.0)
    }
}

/// Cuts the files back to what they were, since all of the letters will be written again.
fn take_back(open: &Open) {
    for (name, (file, length)) in open {
        if file.metadata().is_ok_and(|now| now.len() > *length)
            && let Err(error) = file.set_len(*length)
        {
            tracing::warn!(file = name, %error, "some dead letters will stand there twice");
        }
    }
}

/// Waits until no other process changes the folder, and keeps others from it as long as it lives.
///
/// # Errors
/// What the system says if the file that stands for the lock cannot be used.
pub(super) fn lock(folder: &Path) -> io::Result<File> {
    let mut options = private::file_options();
    options.create(true).truncate(false).write(true);
    let file = options.open(folder.join(".lock"))?;
    file.lock()?;
    Ok(file)
}

/// Opens for appending; a line that a crash left half written is ended first.
fn open_at_line_start(path: &Path) -> io::Result<File> {
    let mut options = private::file_options();
    options.create(true).append(true).read(true);
    let mut file = options.open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn used(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// The file of a component: its id, with everything but letters, digits, `-`, and `_` as `%` and hex digits.
pub(super) fn file_name(component: &str) -> String {
    let mut name = String::new();
    for byte in component.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name + ".ndjson"
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tapline_core::{ComponentKind, ComponentName, Event, Kind, Metadata};

    use super::*;

    fn letter(component: &str, body: &'static [u8]) -> Letter {
        let meta = Metadata::new(Kind::new("graph.alert"), "contoso", "1", "2");
        Letter {
            component: ComponentName {
                kind: ComponentKind::Sink,
                type_name: "kafka",
                id: component.into(),
            },
            event: Event::new(body, meta),
            reason: "too_large",
            why: "2 bytes over".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn files(folder: &Path, max_bytes: u64) -> Files {
        let gauge = Gauge::new("g", "g").expect("legal");
        Files::open(folder.to_owned(), max_bytes, gauge).expect("opens")
    }

    fn lines(folder: &Path, name: &str) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(folder.join(name)).expect("readable");
        let whole = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        whole.collect()
    }

    #[test]
    fn the_bytes_are_kept_as_they_came_even_after_a_torn_line() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a%2fb.ndjson"), "{\"torn").expect("written");
        let letters = [
            letter("a/b", b"{\"x\":\"\\u0000\"}"),
            letter("a/b", &[0xff]),
        ];
        let (stored, error) = files(folder.path(), 1 << 20).append(&letters);
        assert_eq!((stored, error.is_none()), (2, true));
        let lines = lines(folder.path(), "a%2fb.ndjson");
        assert_eq!(lines[0]["body"], "{\"x\":\"\\u0000\"}");
        assert_eq!(lines[1]["body_base64"], "/w==");
        assert_eq!(lines[1]["format"], 1);
        assert_eq!(lines[1]["kind"], "graph.alert");
    }

    #[test]
    fn a_failure_in_the_middle_leaves_no_letter_to_be_kept_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = files(folder.path(), 1 << 20);
        assert_eq!(files.append(&[letter("lake", b"0")]).0, 1);
        // In the way of the second file.
        fs::create_dir(folder.path().join("siem.ndjson")).expect("made");
        let letters = [letter("lake", b"1"), letter("siem", b"2")];
        for _ in 0..2 {
            let (stored, error) = files.append(&letters);
            assert_eq!(stored, 0);
            assert!(matches!(error, Some(WriteError::Io { .. })));
            assert_eq!(lines(folder.path(), "lake.ndjson").len(), 1);
        }
        fs::remove_dir(folder.path().join("siem.ndjson")).expect("removed");
        assert_eq!(files.append(&letters).0, 2);
        assert_eq!(lines(folder.path(), "lake.ndjson").len(), 2);
        assert_eq!(lines(folder.path(), "siem.ndjson").len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_folder_is_made_for_nobody_else_to_read() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("data/dead-letters");
        files(&folder, 1 << 20);
        let mode = fs::metadata(&folder).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_full_folder_takes_no_more_until_there_is_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let size = letter::encode(&letter("lake", b"x")).len() as u64;
        // Times differ in length by a few digits.
        let mut files = files(folder.path(), size * 5 / 2);
        let letters: Vec<Letter> = (0..3).map(|_| letter("lake", b"x")).collect();
        let (stored, error) = files.append(&letters);
        assert_eq!(stored, 2);
        assert!(matches!(error, Some(WriteError::Full { .. })));
        fs::remove_file(folder.path().join("lake.ndjson")).expect("purged");
        let (stored, error) = files.append(&letters[2..]);
        assert_eq!((stored, error.is_none()), (1, true));
        assert_eq!(lines(folder.path(), "lake.ndjson").len(), 1);
    }
}
