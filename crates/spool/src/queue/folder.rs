//! The folder of a queue: which files are there, and where the newest one ends.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use tapline_core::private;
use tracing::{error, warn};

use super::scan::Scan;
use super::{Known, Position, segment};

/// What a folder holds.
pub(super) struct Contents {
    pub(super) segments: VecDeque<Known>,
    pub(super) end: Position,
}

/// Makes the folder if it is missing, and looks where the newest file ends.
pub(super) fn open(folder: &Path) -> io::Result<Contents> {
    private::make_folder(folder)?;
    let mut segments = list(folder)?;
    let end = match segments.back_mut() {
        None => Position::start_of(0),
        Some(newest) => match end_of(folder, newest.first)? {
            Some(end) => {
                note_rest(folder, end, newest.bytes);
                newest.bytes = end.offset;
                end
            }
            None => {
                let first = newest.first;
                set_aside(folder, *newest)?;
                segments.pop_back();
                Position::start_of(first)
            }
        },
    };
    Ok(Contents { segments, end })
}

/// Deletes a file; it may be gone already.
pub(super) fn remove(folder: &Path, first: u64) -> io::Result<()> {
    match fs::remove_file(segment::path(folder, first)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn list(folder: &Path) -> io::Result<VecDeque<Known>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let first = entry.file_name().to_str().and_then(segment::number);
        if let Some(first) = first {
            let bytes = entry.metadata()?.len();
            segments.push(Known { first, bytes });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.first);
    Ok(segments.into())
}

/// Behind the last whole record of a file; nothing if its head cannot be read.
fn end_of(folder: &Path, first: u64) -> io::Result<Option<Position>> {
    let Some((file, salt)) = segment::open(folder, first)? else {
        return Ok(None);
    };
    let limit = file.metadata()?.len();
    let mut end = Position::start_of(first);
    let mut scan = Scan::new(file, salt, end.offset)?;
    while let Some(found) = scan.next(limit)? {
        end.number = found.number + 1;
        end.offset = found.end;
    }
    Ok(Some(end))
}

fn note_rest(folder: &Path, end: Position, bytes: u64) {
    if bytes > end.offset {
        let file = segment::path(folder, end.segment);
        let rest = bytes - end.offset;
        warn!(file = %file.display(), bytes = rest, "the end of the spool is no whole record: writing was cut off before it was confirmed");
    }
}

/// A file without a readable head is kept for a human if it may hold records.
fn set_aside(folder: &Path, newest: Known) -> io::Result<()> {
    let path = segment::path(folder, newest.first);
    if newest.bytes <= segment::HEAD {
        return fs::remove_file(path);
    }
    let aside = path.with_extension("damaged");
    fs::rename(&path, &aside)?;
    File::open(folder)?.sync_all()?;
    error!(file = %aside.display(), bytes = newest.bytes, "the head of a spool file cannot be read; it is set aside, and what it holds is not delivered");
    Ok(())
}
