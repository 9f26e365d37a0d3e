//! A small disk of its own for a data folder, that can be filled.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Larger than what the pipeline keeps, small enough to be filled in a moment.
const SIZE: &str = "size=192m,mode=0700";

/// A file system in memory; unmounted when dropped.
pub struct SmallDisk(PathBuf);

/// Keeps the disk full.
pub struct Full(PathBuf);

impl SmallDisk {
    /// Mounts it.
    ///
    /// # Errors
    /// Where that is not allowed.
    pub fn mount(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(folder);
        let said = mount.output().context("running mount")?;
        let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        ensure!(said.status.success(), "{why}");
        Ok(Self(folder.to_owned()))
    }

    /// Takes all the room that is left.
    ///
    /// # Errors
    /// If the file for that cannot be made.
    pub fn fill(&self) -> anyhow::Result<Full> {
        let full = Full(self.0.join("ballast"));
        let mut file = File::create(&full.0)?;
        for block in [vec![0; 1 << 20], vec![0; 1 << 10], vec![0; 1]] {
            // Until it says that there is no room.
            while file.write_all(&block).is_ok() {}
        }
        Ok(full)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            eprintln!("the disk stays full: {error}");
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.0.display());
        }
    }
}
