//! Which data folder this is: a random name, made once.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use rand::Rng;
use tapline_core::private;

const FILE: &str = "instance";
/// Hex digits: 64 bits, so that no two folders of a pipeline ever have the same.
const DIGITS: usize = 16;

/// The name of the data folder, made now if it has none.
///
/// # Errors
/// What the system says, or that the file is not ours.
pub(super) fn name(data_dir: &Path) -> io::Result<String> {
    let path = data_dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text).ok_or_else(|| {
            let why = format!(
                "{} does not hold {DIGITS} hex digits; bring back a copy, or remove it: then what a \
                 crash left open at the broker is given up only after 15 s",
                path.display()
            );
            io::Error::new(io::ErrorKind::InvalidData, why)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(data_dir, &path),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Option<String> {
    let text = text.trim_end();
    let is_ours = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then(|| text.to_owned())
}

/// Durable before it is used: after a crash the same name takes over at once.
fn make(data_dir: &Path, path: &Path) -> io::Result<String> {
    let name = format!("{:016x}", rand::rng().random::<u64>());
    let temporary = path.with_extension("new");
    let mut options = private::file_options();
    options.write(true).create(true).truncate(true);
    let mut file = options.open(&temporary)?;
    writeln!(file, "{name}")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(data_dir)?.sync_all()?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_name_and_a_copy_of_it_has_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = name(folder.path()).expect("made");
        assert_eq!(first.len(), DIGITS);
        assert_eq!(name(folder.path()).expect("read"), first);
        let other = tempfile::tempdir().expect("a folder");
        assert_ne!(name(other.path()).expect("made"), first);
    }

    #[test]
    fn a_file_that_is_not_ours_is_told_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "tapline").expect("written");
        let told = name(folder.path()).expect_err("refused").to_string();
        assert!(told.contains(FILE) && told.contains("remove it"), "{told}");
    }
}
