//! The name and the head of a segment file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tapline_core::private;

/// Bytes in front of the first record: the head stands there twice, since without the salt nothing
/// of the file could be read.
pub(crate) const HEAD: u64 = 2 * COPY as u64;

/// Magic, format, three zeros, salt, and the CRC of all that.
const COPY: usize = 20;
const MAGIC: [u8; 4] = *b"TLSP";
const FORMAT: u8 = 1;
const SUFFIX: &str = ".spool";

/// Makes checksums of one file different from those of any other.
pub(crate) type Salt = [u8; 8];

/// The file that begins with a record of this number; names sort as numbers do.
pub(crate) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}{SUFFIX}"))
}

/// The number in the name of a file, if it is one of ours.
pub(crate) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| digits.parse().ok()).flatten()
}

/// Makes a file for nobody else to read; one of the same name must hold no record, and is replaced.
pub(crate) fn create(folder: &Path, first: u64) -> io::Result<(File, Salt)> {
    let salt: Salt = rand::random();
    let mut options = private::file_options();
    options.write(true).create(true).truncate(true);
    let mut file = options.open(path(folder, first))?;
    let head = encode(salt);
    file.write_all(&head)?;
    file.write_all(&head)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok((file, salt))
}

/// Opens a file for reading: nothing if its head is torn or damaged.
///
/// # Errors
/// Those of the system, and `InvalidData` for a format of another version.
pub(crate) fn open(folder: &Path, first: u64) -> io::Result<Option<(File, Salt)>> {
    let path = path(folder, first);
    let mut file = File::open(&path)?;
    let mut heads = [[0; COPY]; 2];
    match file.read_exact(heads.as_flattened_mut()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let Some((format, salt)) = heads.iter().find_map(decode) else {
        return Ok(None);
    };
    if format != FORMAT {
        let what = format!(
            "{} has format {format}, this version reads {FORMAT}",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Some((file, salt)))
}

fn encode(salt: Salt) -> [u8; COPY] {
    let mut head = [0; COPY];
    head[..4].copy_from_slice(&MAGIC);
    head[4] = FORMAT;
    head[8..16].copy_from_slice(&salt);
    let crc = crc32fast::hash(&head[..16]);
    head[16..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Format and salt, if this copy is whole.
fn decode(head: &[u8; COPY]) -> Option<(u8, Salt)> {
    let crc = crc32fast::hash(&head[..16]);
    let is_whole = head[..4] == MAGIC && head[16..] == crc.to_le_bytes();
    let salt = head[8..16].first_chunk().copied()?;
    is_whole.then_some((head[4], salt))
}
