//! The dead letters as an operator sees them: listed, shown, sent again, or thrown away.
//!
//! Safe beside a running process: both take the same lock for as long as they change files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tapline_core::private;

use super::files::lock;
use super::letter;

/// Which letters are meant; what is not given does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The component that rejected them.
    pub component: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What sort of event they are.
    pub kind: Option<String>,
}

/// The letters of one component that were rejected for one reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Summary {
    /// Kind and id of the component, such as `sinks.lake`.
    pub component: String,
    /// Why they were rejected.
    pub reason: String,
    /// How many there are.
    pub letters: u64,
    /// Their size on disk.
    pub bytes: u64,
    /// When the first was rejected.
    pub oldest: Timestamp,
    /// When the last was.
    pub newest: Timestamp,
}

/// The folder of the dead letters.
pub struct Shelf {
    folder: PathBuf,
    /// Where letters wait to be sent again.
    replay: PathBuf,
}

impl Shelf {
    /// The dead letters in a data folder. Opens nothing.
    pub fn of(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join("dead-letters"),
            replay: replay_folder(data_dir),
        }
    }

    /// Groups of letters by component and reason, and the number of lines that cannot be read.
    ///
    /// # Errors
    /// What the system says if the folder or a file cannot be read.
    pub fn list(&self, filter: &Filter) -> io::Result<(Vec<Summary>, u64)> {
        let mut groups: BTreeMap<(String, String), Summary> = BTreeMap::new();
        let mut unreadable = 0;
        self.visit(|line| match letter::decode(line) {
            Ok(kept) if filter.takes(&kept) => {
                let component = format!("{}s.{}", kept.component_kind, kept.component);
                let key = (component.clone(), kept.reason.to_string());
                let group = groups.entry(key).or_insert_with(|| Summary {
                    component,
                    reason: kept.reason.to_string(),
                    letters: 0,
                    bytes: 0,
                    oldest: kept.at,
                    newest: kept.at,
                });
                group.letters += 1;
                group.bytes += line.len() as u64;
                group.oldest = group.oldest.min(kept.at);
                group.newest = group.newest.max(kept.at);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => {
                unreadable += 1;
                Ok(())
            }
        })?;
        Ok((groups.into_values().collect(), unreadable))
    }

    /// Calls `show` with every letter's line, without its end, oldest first per component.
    ///
    /// # Errors
    /// Those of reading, and those of `show`, which end it.
    pub fn show(
        &self,
        filter: &Filter,
        mut show: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.visit(|line| match letter::decode(line) {
            Ok(kept) if filter.takes(&kept) => show(line),
            _ => Ok(()),
        })
    }

    /// Throws letters away: how many.
    ///
    /// # Errors
    /// What the system says; files that were not reached are as they were.
    pub fn purge(&self, filter: &Filter) -> io::Result<u64> {
        self.take_out(filter, |_| None)
    }

    /// Puts letters where the running process, or the next one, takes them from and hands them to
    /// the components that rejected them: how many.
    ///
    /// # Errors
    /// What the system says. A letter may then be in both places, and be sent twice; none is lost.
    pub fn replay(&self, filter: &Filter) -> io::Result<u64> {
        private::make_folder(&self.replay)?;
        let now = Timestamp::now().as_nanosecond();
        self.take_out(filter, |name| {
            Some(self.replay.join(format!("{now:020}.{name}")))
        })
    }

    /// Takes letters out of their files; those of a file go to where `target` says, if anywhere.
    fn take_out(
        &self,
        filter: &Filter,
        target: impl Fn(&str) -> Option<PathBuf>,
    ) -> io::Result<u64> {
        if !self.folder.exists() {
            return Ok(0);
        }
        let _lock = lock(&self.folder)?;
        let mut taken = 0;
        for path in ndjson_in(&self.folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mut out = target(&name).map(Part::begin).transpose()?;
            let mut rest = Part::begin(path.clone())?;
            let here = split(&path, filter, &mut rest, out.as_mut())?;
            if here > 0 {
                // In this order: a crash in between leaves letters in both places.
                out.map(Part::finish).transpose()?;
                rest.finish()?;
            }
            taken += here;
        }
        Ok(taken)
    }

    fn visit(&self, mut visit: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if !self.folder.exists() {
            return Ok(());
        }
        for path in ndjson_in(&self.folder)? {
            lines_of(&path, &mut visit)?;
        }
        Ok(())
    }
}

impl Filter {
    fn takes(&self, letter: &letter::Kept<'_>) -> bool {
        let fits = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        fits(&self.component, &letter.component)
            && fits(&self.reason, &letter.reason)
            && fits(&self.kind, &letter.kind)
    }
}

/// Where letters wait to be sent again: files named `<time>.<component>.ndjson`.
pub(super) fn replay_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("replay")
}

/// The files of letters in a folder, by name.
pub(super) fn ndjson_in(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "ndjson")
        {
            files.insert(path);
        }
    }
    Ok(files)
}

fn lines_of(path: &Path, mut visit: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if !text.is_empty() {
            visit(text)?;
        }
        line.clear();
    }
    Ok(())
}

/// Copies the lines of a file to one of two: how many went `out`.
fn split(
    path: &Path,
    filter: &Filter,
    rest: &mut Part,
    mut out: Option<&mut Part>,
) -> io::Result<u64> {
    let mut taken = 0;
    lines_of(path, |line| {
        let goes = letter::decode(line).is_ok_and(|letter| filter.takes(&letter));
        taken += u64::from(goes);
        match (goes, &mut out) {
            (false, _) => rest.line(line),
            (true, Some(out)) => out.line(line),
            (true, None) => Ok(()),
        }
    })?;
    Ok(taken)
}

/// A file that takes the place of another once it is whole; gone if it never is.
struct Part {
    target: PathBuf,
    path: PathBuf,
    file: BufWriter<File>,
    is_empty: bool,
}

impl Part {
    fn begin(target: PathBuf) -> io::Result<Self> {
        let path = target.with_extension("part");
        let mut options = private::file_options();
        options.create(true).truncate(true).write(true);
        let file = BufWriter::new(options.open(&path)?);
        Ok(Self {
            target,
            path,
            file,
            is_empty: true,
        })
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.is_empty = false;
        self.file.write_all(line)?;
        self.file.write_all(b"\n")
    }

    /// Nothing in the place of something is no file.
    fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        if self.is_empty {
            fs::remove_file(&self.target)?;
        } else {
            fs::rename(&self.path, &self.target)?;
        }
        let folder = self.target.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After a rename there is none.
        drop(fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use tapline_core::metrics::Gauge;
    use tapline_core::{ComponentKind, ComponentName, Event, Kind, Metadata};

    use super::*;
    use crate::dead_letters::Letter;
    use crate::dead_letters::files::Files;

    fn letter(component: &str, reason: &'static str, body: &'static [u8]) -> Letter {
        Letter {
            component: ComponentName {
                kind: ComponentKind::Sink,
                type_name: "kafka",
                id: component.into(),
            },
            event: Event::new(
                body,
                Metadata::new(Kind::new("graph.alert"), "contoso", "1", "2"),
            ),
            reason,
            why: "because".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn files(data_dir: &Path) -> Files {
        let gauge = Gauge::new("g", "g").expect("legal");
        Files::open(data_dir.join("dead-letters"), 1 << 20, gauge).expect("opens")
    }

    fn bodies(shelf: &Shelf) -> Vec<String> {
        let mut bodies = Vec::new();
        let show = |line: &[u8]| {
            let letter: serde_json::Value = serde_json::from_slice(line)?;
            bodies.push(letter["body"].as_str().unwrap_or("base64").to_owned());
            Ok(())
        };
        shelf.show(&Filter::default(), show).expect("read");
        bodies
    }

    #[test]
    fn letters_are_grouped_and_only_those_meant_are_taken_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = files(folder.path());
        let letters = [
            letter("lake", "too_large", b"a"),
            letter("lake", "refused", b"b"),
            letter("lake", "too_large", &[0xff]),
            letter("siem", "too_large", b"d"),
        ];
        assert_eq!(files.append(&letters).0, 4);
        let lake = folder.path().join("dead-letters/lake.ndjson");
        let mut text = fs::read(&lake).expect("there");
        text.extend_from_slice(b"no letter\n");
        fs::write(&lake, text).expect("written");

        let shelf = Shelf::of(folder.path());
        let (groups, unreadable) = shelf.list(&Filter::default()).expect("listed");
        let shown: Vec<_> = groups
            .iter()
            .map(|it| (&*it.component, &*it.reason, it.letters))
            .collect();
        assert_eq!(
            shown,
            [
                ("sinks.lake", "refused", 1),
                ("sinks.lake", "too_large", 2),
                ("sinks.siem", "too_large", 1)
            ]
        );
        assert_eq!(unreadable, 1);

        let of_lake = Filter {
            component: Some("lake".to_owned()),
            reason: Some("too_large".to_owned()),
            kind: None,
        };
        assert_eq!(shelf.purge(&of_lake).expect("purged"), 2);
        assert_eq!(bodies(&shelf), ["b", "d"]);
        assert_eq!(
            files.append(&letters[..1]).0,
            1,
            "a process goes on writing"
        );
        assert_eq!(bodies(&shelf), ["b", "a", "d"]);
        assert_eq!(shelf.replay(&Filter::default()).expect("moved"), 3);
        assert_eq!(bodies(&shelf), [""; 0]);
        let (_, unreadable) = shelf.list(&Filter::default()).expect("listed");
        assert_eq!(unreadable, 1, "what is no letter stays");
        let waiting = ndjson_in(&folder.path().join("replay")).expect("there");
        assert_eq!(waiting.len(), 2);
    }

    #[test]
    fn a_folder_that_was_never_made_has_no_letters() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::of(folder.path());
        assert_eq!(shelf.purge(&Filter::default()).expect("nothing"), 0);
        assert_eq!(
            shelf.list(&Filter::default()).expect("nothing"),
            (Vec::new(), 0)
        );
    }
}
