//! How loaders reach files, so that config and tests can answer for the disk.
//!
//! Everything of this crate that reads a file is handed one of these; nothing else opens files.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The largest file that is read: a bundle of every authority there is takes 300 KiB.
pub const MAX_FILE_SIZE: u64 = 16 << 20;

/// Access to files.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    /// The bytes of a file.
    pub read: fn(&Path) -> io::Result<Vec<u8>>,
    /// What is in a folder, sorted by name; `None` when the path is no folder.
    pub list: fn(&Path) -> Option<Vec<PathBuf>>,
}

impl Files {
    /// The file system.
    pub const SYSTEM: Files = Files { read, list };
    /// Has no file at all.
    pub const NONE: Files = Files { read: |_| Err(io::ErrorKind::NotFound.into()), list: |_| None };
}

impl Default for Files {
    fn default() -> Files {
        Files::SYSTEM
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {} MiB", MAX_FILE_SIZE >> 20),
        ));
    }
    Ok(bytes)
}

fn list(path: &Path) -> Option<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(path).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort_unstable();
    Some(found)
}
