//! Whether files of TLS changed, by what the file system says of them.
//!
//! A change is reported once nothing changed any more between two looks, so that a file is not read while it is written. Called
//! every few seconds for each bind with `watch`; looking is work for a thread that may block. Never: reads a file.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use evenkeel_tls::options::{BindTls, CaSource, CertSource, CrtStores};
use evenkeel_tls::terminator::Terminator;

/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// How a file or a folder's entries looked: changed at, size, inode.
pub type Look = BTreeMap<PathBuf, Option<(i64, i64, u64, u64)>>;

/// What is known of the files of one bind.
#[derive(Debug)]
pub struct Watched {
    /// As they were when they were loaded.
    loaded: Look,
    /// As they were at the last look, when that differed.
    seen: Option<Look>,
}

impl Watched {
    /// What is served was made of these files by somebody who began to read them at `loaded`, in seconds since 1970. Those that
    /// changed since count as unknown, and are loaded after a further look.
    pub fn since(mut look: Look, loaded: i64) -> Watched {
        for state in look.values_mut() {
            // Times of the file system lag behind the clock by some milliseconds.
            *state = state.filter(|(mtime, ..)| *mtime < loaded - 1);
        }
        Watched { loaded: look, seen: None }
    }

    /// Takes a further look; `true` when the files are to be loaded. They count as loaded from then on, whatever comes of it:
    /// what is broken is looked at again when it has changed again.
    pub fn take(&mut self, look: Look) -> bool {
        if look == self.loaded {
            self.seen = None;
            return false;
        }
        if self.seen.as_ref() == Some(&look) {
            self.loaded = look;
            self.seen = None;
            return true;
        }
        self.seen = Some(look);
        false
    }
}

/// Everything that what a bind serves is made of.
pub fn files(bind: &BindTls, terminator: &Terminator, stores: &CrtStores) -> Vec<PathBuf> {
    let mut found = terminator.files();
    // A key, an issuer or a response may lie beside any certificate, under names that need not exist yet.
    for cert in terminator.certificates() {
        for extension in ["key", "issuer", "ocsp"] {
            let mut beside = cert.path.clone().into_os_string();
            beside.push(".");
            beside.push(extension);
            found.push(beside.into());
        }
        found.push(cert.path.with_extension("key"));
    }
    let sources = bind.certificates.iter().chain(&bind.default_certificates).chain(stores.0.values().flatten());
    for CertSource { cert, key, ocsp, issuer, .. } in sources {
        let named = [Some(cert), key.as_ref(), ocsp.as_ref(), issuer.as_ref()].into_iter().flatten();
        found.extend(named.filter(|path| !path.as_os_str().as_encoded_bytes().starts_with(b"@")).cloned());
    }
    for authority in [&bind.client.ca_file, &bind.client.ca_verify_file] {
        if let Some(CaSource::File(path)) = authority {
            found.push(path.clone());
        }
    }
    found.extend(bind.client.crl_file.iter().chain(&bind.ticket_keys).cloned());
    found.sort_unstable();
    found.dedup();
    found
}

/// Looks at files, and at the entries of folders.
pub fn look(files: &[PathBuf]) -> Look {
    let mut look = Look::new();
    for path in files {
        let metadata = fs::metadata(path).ok();
        if metadata.as_ref().is_some_and(fs::Metadata::is_dir) {
            for entry in fs::read_dir(path).into_iter().flatten().flatten().take(MAX_ENTRIES) {
                let path = entry.path();
                let state = state(&path);
                look.insert(path, state);
            }
        }
        look.entry(path.clone()).or_insert_with(|| metadata.as_ref().map(of));
    }
    look
}

fn state(path: &Path) -> Option<(i64, i64, u64, u64)> {
    fs::metadata(path).ok().as_ref().map(of)
}

fn of(metadata: &fs::Metadata) -> (i64, i64, u64, u64) {
    // A folder's own times move with files that are none of our matter.
    match metadata.is_dir() {
        true => (0, 0, 0, metadata.ino()),
        false => (metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_change_counts_when_it_is_over_and_only_once() {
        let look = |size| Look::from([(PathBuf::from("a"), Some((0, 0, size, 1)))]);
        let mut watched = Watched::since(look(1), 2);
        assert!(!watched.take(look(1)));
        assert!(!watched.take(look(2)), "it may still be written");
        assert!(!watched.take(look(3)));
        assert!(watched.take(look(3)));
        assert!(!watched.take(look(3)), "it was loaded");
        assert!(!watched.take(look(4)));
        assert!(!watched.take(look(3)), "it is as it was");
        assert!(!watched.take(look(4)));
        assert!(watched.take(look(4)));
    }

    #[test]
    fn what_changed_while_it_was_read_is_read_again() {
        let look = |mtime| Look::from([(PathBuf::from("a"), Some((mtime, 0, 1, 1)))]);
        let mut watched = Watched::since(look(100), 100);
        assert!(!watched.take(look(100)));
        assert!(watched.take(look(100)));
        assert!(!watched.take(look(100)));
        assert!(!Watched::since(look(98), 100).take(look(98)));
    }

    #[test]
    fn files_folders_and_what_is_missing_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (file, missing) = (folder.path().join("a.pem"), folder.path().join("b.pem.key"));
        fs::write(&file, "one").unwrap();
        let all = [folder.path().to_owned(), missing.clone()];
        let first = look(&all);
        assert_eq!(first.len(), 3);
        assert_eq!((first[&missing], first[&file].unwrap().2), (None, 3));
        assert_eq!(look(&all), first);
        fs::write(&missing, "x").unwrap();
        assert_ne!(look(&all), first);
        fs::remove_file(&missing).unwrap();
        assert_eq!(look(&all), first, "a folder is its entries");
        // Renamed into its place with the same size: the inode tells.
        fs::write(folder.path().join("new"), "two").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert_ne!(look(&all), first);
    }
}
