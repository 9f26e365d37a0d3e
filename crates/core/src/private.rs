//! Files and folders for their owner alone.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a folder, and what is missing above it; one that exists is left as it is.
///
/// # Errors
/// What the system says.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Options by which a file that is made is for its owner alone. A folder may be older than us, and
/// open to others.
pub fn file_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nobody_else_reads_what_is_made() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("deep/data");
        make_folder(&folder).expect("made");
        make_folder(&folder).expect("it is there");
        let file = folder.join("file");
        let mut options = file_options();
        options
            .write(true)
            .create_new(true)
            .open(&file)
            .expect("made");
        let mode = |path: &Path| {
            let found = std::fs::metadata(path).expect("it is there");
            found.permissions().mode() & 0o777
        };
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    }
}
