//! What all binds share and no reload loses: certificates by path, keys of tickets, sessions, the log of secrets.
//!
//! One for the process, made at its start and handed to every [`Terminator`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rustls::KeyLog;

use crate::cert::Cert;
use crate::files::Files;
use crate::keylog::KeyLogFile;
use crate::problem::Problem;
use crate::sessions::Sessions;
use crate::store::CertStore;
use crate::terminator::Terminator;
use crate::tickets::Ring;

/// State of TLS that lives as long as the process.
#[derive(Debug)]
pub struct Shared {
    /// Certificates in use.
    pub certs: CertStore,
    pub(crate) sessions: Arc<Sessions>,
    random: Arc<Ring>,
    rings: Mutex<HashMap<PathBuf, Arc<Ring>>>,
    key_log: ArcSwapOption<KeyLogFile>,
}

impl Shared {
    /// With fresh keys. `now` is in seconds since 1970; `None` when the system has no randomness to give.
    pub fn new(now: i64) -> Option<Shared> {
        Some(Shared {
            certs: CertStore::default(),
            sessions: Arc::default(),
            random: Arc::new(Ring::random(now)?),
            rings: Mutex::default(),
            key_log: ArcSwapOption::empty(),
        })
    }

    /// Writes the secrets of every session begun by terminators and connectors built from now on to this file, or to none.
    pub fn log_keys(&self, path: Option<&Path>) -> std::io::Result<()> {
        let file = path.map(KeyLogFile::open).transpose()?;
        self.key_log.store(file.map(Arc::new));
        Ok(())
    }

    /// Where secrets are logged, for connectors.
    pub fn key_log(&self) -> Option<Arc<dyn KeyLog>> {
        self.key_log.load_full().map(|log| log as Arc<dyn KeyLog>)
    }

    /// The keys of tickets: those of a file, or those made here.
    pub fn ring(&self, path: Option<&Path>, files: &Files, problems: &mut Vec<Problem>) -> Option<Arc<Ring>> {
        let Some(path) = path else { return Some(Arc::clone(&self.random)) };
        let fresh = Ring::from_file(path, files, problems)?;
        let mut rings = self.rings.lock();
        // A reload keeps keys that were set meanwhile, unless the file was given others.
        if let Some(ring) = rings.get(path)
            && ring.is_of_same_file(&fresh)
        {
            return Some(Arc::clone(ring));
        }
        let fresh = Arc::new(fresh);
        rings.insert(path.to_path_buf(), Arc::clone(&fresh));
        Some(fresh)
    }

    /// Every ring with the file it was read from; `None` is the one of random keys.
    pub fn rings(&self) -> Vec<(Option<PathBuf>, Arc<Ring>)> {
        let rings = self.rings.lock();
        let mut found: Vec<_> = rings.iter().map(|(path, ring)| (Some(path.clone()), Arc::clone(ring))).collect();
        found.push((None, Arc::clone(&self.random)));
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found
    }

    /// Sessions kept for resumption without tickets.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Serves a certificate given at run time on every bind that served one of its path; returns on how many. A reload keeps it while
    /// the file stays as it is. What is checked before, by making the [`Cert`], cannot fail here.
    pub fn commit<'t>(&self, cert: &Arc<Cert>, binds: impl IntoIterator<Item = &'t Terminator>) -> usize {
        self.certs.renew(cert);
        binds.into_iter().filter(|bind| bind.replace(cert)).count()
    }

    /// Renews random keys when it is time; to be called once a minute or so by one thread.
    pub fn tick(&self, now: i64) {
        self.random.rotate(now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_of_an_unchanged_file_outlive_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        // 48 zero bytes, and 48 of ones.
        let (zero, ones) = ("A".repeat(64), "/".repeat(64));
        std::fs::write(&path, format!("{zero}\n{zero}\n{zero}\n")).unwrap();
        let shared = Shared::new(0).unwrap();
        let mut problems = Vec::new();
        let ring = shared.ring(Some(&path), &Files::SYSTEM, &mut problems).unwrap();
        ring.set_key(&ones, 0).unwrap();
        let again = shared.ring(Some(&path), &Files::SYSTEM, &mut problems).unwrap();
        assert!(Arc::ptr_eq(&ring, &again));
        std::fs::write(&path, format!("{zero}\n{zero}\n{ones}\n")).unwrap();
        let changed = shared.ring(Some(&path), &Files::SYSTEM, &mut problems).unwrap();
        assert!(!Arc::ptr_eq(&ring, &changed));
        assert_eq!(problems, []);
        assert_eq!(shared.rings().iter().map(|(path, _)| path.is_some()).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn random_keys_are_shared_and_renewed() {
        let shared = Shared::new(0).unwrap();
        let ring = shared.ring(None, &Files::NONE, &mut Vec::new()).unwrap();
        let before = ring.names();
        shared.tick(crate::tickets::ROTATION);
        assert_ne!(ring.names(), before);
    }
}
