//! Certificates by the files they come from.
//!
//! [`CertStore`] belongs to the process and keeps every certificate in use by path and content, so that a reload takes over what
//! did not change and many binds share one copy. [`Loader`] finds the files: combined PEM, `.key`, `.issuer` and `.ocsp` beside it,
//! folders, `.rsa`/`.ecdsa` bundles, `@store/alias`. All mistakes of all files are reported; nothing is served half.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use aws_lc_rs::digest::{Context, SHA256};
use parking_lot::Mutex;
use x509_parser::time::ASN1Time;

use crate::cert::{Cert, Content, Parts};
use crate::files::Files;
use crate::options::{CertSource, CrtStores};
use crate::problem::{Problem, any_error};

/// Every certificate in use, by the path of its file.
#[derive(Debug, Default)]
pub struct CertStore {
    kept: Mutex<HashMap<PathBuf, Kept>>,
}

#[derive(Debug)]
struct Kept {
    content: [u8; 32],
    cert: Weak<Cert>,
    /// What was said of it besides its dates.
    said: Vec<Problem>,
}

impl CertStore {
    /// How many certificates are in use.
    pub fn len(&self) -> usize {
        self.kept.lock().values().filter(|kept| kept.cert.strong_count() > 0).count()
    }

    /// Whether none is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every certificate in use, by path.
    pub fn all(&self) -> Vec<Arc<Cert>> {
        let mut found: Vec<Arc<Cert>> = self.kept.lock().values().filter_map(|kept| kept.cert.upgrade()).collect();
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found
    }

    /// Forgets what nobody uses; called after a reload.
    pub fn sweep(&self) {
        self.kept.lock().retain(|_, kept| kept.cert.strong_count() > 0);
    }
}

/// Finds and loads certificates.
#[derive(Clone, Copy, Debug)]
pub struct Loader<'a> {
    /// How files are reached.
    pub files: &'a Files,
    /// What is loaded already.
    pub store: &'a CertStore,
    /// What `@store/alias` means.
    pub stores: &'a CrtStores,
    /// Seconds since 1970.
    pub now: i64,
}

impl Loader<'_> {
    /// Loads what one source names: several certificates for a folder or a bundle. `key` and `index` say where in the configuration
    /// it stands. What cannot be loaded is reported and missing in the result.
    pub fn load(
        &self,
        source: &CertSource,
        key: &'static str,
        index: Option<usize>,
        problems: &mut Vec<Problem>,
    ) -> Vec<Arc<Cert>> {
        let mut said = Vec::new();
        let found = self.find(source, key, &mut said);
        problems.extend(said.into_iter().map(|problem| problem.at(key, index)));
        found
    }

    fn find(&self, source: &CertSource, key: &'static str, problems: &mut Vec<Problem>) -> Vec<Arc<Cert>> {
        let source = match source.cert.to_str().filter(|text| text.starts_with('@')) {
            None => source,
            Some(reference) => match self.stores.find(reference) {
                Some(stored) => stored,
                None => {
                    let known = self.stores.0.keys().map(|name| format!("@{name}")).collect::<Vec<_>>().join(", ");
                    let hint = if known.is_empty() {
                        "there is no crt-store".to_owned()
                    } else {
                        format!("stores are {known}")
                    };
                    problems.push(Problem::error(key, format!("no crt-store holds `{reference}`")).hint(hint));
                    return Vec::new();
                }
            },
        };
        if source.sctl.is_some() {
            problems.push(Problem::note(key, "certificate timestamps are not sent apart from the certificate"));
        }
        if let Some(files) = (self.files.list)(&source.cert) {
            return self.folder(&source.cert, &files, key, problems);
        }
        match (self.files.read)(&source.cert) {
            Ok(bytes) => self.one(source, &source.cert, &bytes, key, problems).into_iter().collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => self.bundle(source, key, problems),
            Err(error) => {
                problems.push(unreadable(&source.cert, key, &error));
                Vec::new()
            }
        }
    }

    /// Every certificate of a folder, by name; what belongs to one is read with it.
    fn folder(
        &self,
        folder: &Path,
        files: &[PathBuf],
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Vec<Arc<Cert>> {
        let mut found = Vec::new();
        let before = problems.len();
        let mut timestamps = None;
        for file in files {
            let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("key" | "issuer" | "ocsp") => continue,
                Some("sctl") => {
                    timestamps.get_or_insert(file);
                    continue;
                }
                _ if hidden => continue,
                _ => {}
            }
            match (self.files.read)(file) {
                Ok(bytes) => found.extend(self.one(&CertSource::default(), file, &bytes, key, problems)),
                // Folders within are not searched.
                Err(error) if error.kind() == ErrorKind::IsADirectory => {}
                Err(error) => problems.push(unreadable(file, key, &error)),
            }
        }
        if let Some(file) = timestamps {
            let message = "certificate timestamps are not sent apart from the certificate";
            problems.push(Problem::note(key, message).file(file));
        }
        if found.is_empty() && problems.len() == before {
            // Certificates may be put there while we run.
            problems.push(Problem::warning(key, "there is no certificate in the folder").file(folder));
        }
        found
    }

    /// `<path>.ecdsa` and `<path>.rsa`, when `<path>` itself does not exist.
    fn bundle(&self, source: &CertSource, key: &'static str, problems: &mut Vec<Problem>) -> Vec<Arc<Cert>> {
        let mut found = Vec::new();
        let mut any = false;
        for kind in ["rsa", "ecdsa"] {
            let path = beside(&source.cert, kind);
            if let Ok(bytes) = (self.files.read)(&path) {
                any = true;
                found.extend(self.one(source, &path, &bytes, key, problems));
            }
        }
        if !any {
            problems.push(Problem::error(key, "the file does not exist").file(&source.cert));
        }
        found
    }

    fn one(
        &self,
        source: &CertSource,
        path: &Path,
        bytes: &[u8],
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<Cert>> {
        let gathered = Gathered::new(source, path, bytes, self.files, key, problems)?;
        let content = gathered.digest(bytes);
        let kept = self.store.kept.lock().get(path).filter(|kept| kept.content == content).and_then(|kept| {
            let cert = kept.cert.upgrade()?;
            Some((cert, kept.said.clone()))
        });
        let is_fresh = |cert: &Cert| cert.ocsp_until.is_none_or(|until| until > self.now);
        let cert = match kept {
            Some((cert, mut said)) if is_fresh(&cert) => {
                problems.append(&mut said);
                cert
            }
            _ => {
                let mut said = Vec::new();
                let cert = Cert::from_parts(gathered.parts(path, bytes), key, self.now, &mut said);
                problems.extend_from_slice(&said);
                let cert = Arc::new(cert?);
                let kept = Kept { content, cert: Arc::downgrade(&cert), said };
                self.store.kept.lock().insert(path.to_path_buf(), kept);
                cert
            }
        };
        dates(&cert, key, self.now, problems);
        Some(cert)
    }
}

/// Loads a source that must be one certificate, without keeping it.
pub(crate) fn read_one(
    source: &CertSource,
    key: &'static str,
    files: &Files,
    now: i64,
    problems: &mut Vec<Problem>,
) -> Option<Cert> {
    let path = &source.cert;
    let bytes = match (files.read)(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(unreadable(path, key, &error));
            return None;
        }
    };
    let mut found = Vec::new();
    let cert = Gathered::new(source, path, &bytes, files, key, &mut found)
        .and_then(|gathered| Cert::from_parts(gathered.parts(path, &bytes), key, now, &mut found));
    problems.append(&mut found);
    let cert = cert?;
    dates(&cert, key, now, problems);
    Some(cert)
}

/// Files beside a certificate's own.
struct Gathered {
    key: Option<(PathBuf, Vec<u8>)>,
    issuer: Option<(PathBuf, Vec<u8>)>,
    ocsp: Option<(PathBuf, Vec<u8>)>,
}

impl Gathered {
    fn new(
        source: &CertSource,
        path: &Path,
        bytes: &[u8],
        files: &Files,
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<Gathered> {
        const KEY: &[u8] = b"PRIVATE KEY-----";
        let mut found = Vec::new();
        let mut named = |named: &Option<PathBuf>, beside: &[PathBuf]| match named {
            Some(path) => match (files.read)(path) {
                Ok(bytes) => Some((path.clone(), bytes)),
                Err(error) => {
                    found.push(unreadable(path, key, &error));
                    None
                }
            },
            None => beside.iter().find_map(|path| Some((path.clone(), (files.read)(path).ok()?))),
        };
        let has_key = bytes.windows(KEY.len()).any(|window| window == KEY);
        let keys = if has_key { vec![] } else { vec![beside(path, "key"), path.with_extension("key")] };
        let gathered = Gathered {
            key: named(&source.key, &keys),
            issuer: named(&source.issuer, &[beside(path, "issuer")]),
            ocsp: named(&source.ocsp, &[beside(path, "ocsp")]),
        };
        let failed = any_error(&found);
        problems.append(&mut found);
        (!failed).then_some(gathered)
    }

    fn parts<'a>(&'a self, path: &'a Path, bytes: &'a [u8]) -> Parts<'a> {
        let content = |file: &'a Option<(PathBuf, Vec<u8>)>| file.as_ref().map(|(path, bytes)| Content { path, bytes });
        Parts {
            pem: Content { path, bytes },
            key: content(&self.key),
            issuer: content(&self.issuer),
            ocsp: content(&self.ocsp).filter(|file| !file.bytes.is_empty()),
        }
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for file in [Some(bytes), content(&self.key), content(&self.issuer), content(&self.ocsp)] {
            let bytes = file.unwrap_or_default();
            context.update(&bytes.len().to_be_bytes());
            context.update(bytes);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        out
    }
}

fn content(file: &Option<(PathBuf, Vec<u8>)>) -> Option<&[u8]> {
    file.as_ref().map(|(_, bytes)| &bytes[..])
}

/// `<path>.<extension>`.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn unreadable(path: &Path, key: &'static str, error: &std::io::Error) -> Problem {
    let problem = match error.kind() {
        ErrorKind::NotFound => Problem::error(key, "the file does not exist"),
        ErrorKind::PermissionDenied => {
            Problem::error(key, "the file may not be read").hint("the user of the service needs access")
        }
        ErrorKind::IsADirectory => Problem::error(key, "it is a folder, and one file is needed"),
        _ => Problem::error(key, format!("the file cannot be read: {error}")),
    };
    problem.file(path)
}

/// A certificate out of its time works for nobody, but a reload must not fail for one that lapsed.
fn dates(cert: &Cert, key: &'static str, now: i64, problems: &mut Vec<Problem>) {
    let date = |at: i64| {
        ASN1Time::from_timestamp(at).map_or_else(|_| "a time long past or ahead".to_owned(), |time| time.to_string())
    };
    if cert.not_after < now {
        let message = format!("the certificate expired on {}", date(cert.not_after));
        problems.push(Problem::warning(key, message).file(&cert.path).hint("clients refuse it; renew it"));
    } else if cert.not_before > now {
        let message = format!("the certificate is not valid before {}", date(cert.not_before));
        problems.push(
            Problem::warning(key, message).file(&cert.path).hint("clients refuse it until then; is the clock right?"),
        );
    }
}
