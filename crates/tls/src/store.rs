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

    /// The certificate of a file, as it is in use or was last.
    pub fn get(&self, path: &Path) -> Option<Arc<Cert>> {
        self.kept.lock().get(path)?.cert.upgrade()
    }

    /// Takes a certificate that did not come from its file: loading finds it from now on, until the file changes.
    pub fn put(&self, cert: &Arc<Cert>) {
        if let Some(kept) = self.kept.lock().get_mut(&cert.path) {
            kept.cert = Arc::downgrade(cert);
            kept.said.clear();
        }
    }

    /// Takes a certificate given at run time for the one of its path, so that a reload keeps it while the file stays as it is.
    pub fn renew(&self, cert: &Arc<Cert>) {
        if let Some(kept) = self.kept.lock().get_mut(&cert.path) {
            kept.cert = Arc::downgrade(cert);
            kept.said.clear();
        }
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

    /// Loads one certificate of a source once more: `path` is the file it came from, `source` what `Loader::resolve` said.
    /// What did not change is the same certificate.
    pub fn again(
        &self,
        source: &CertSource,
        path: &Path,
        key: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<Cert>> {
        let of_folder = CertSource::default();
        let source = if (self.files.list)(&source.cert).is_some() { &of_folder } else { source };
        match (self.files.read)(path) {
            Ok(bytes) => self.one(source, path, &bytes, key, problems),
            Err(error) => {
                problems.push(unreadable(path, key, &error));
                None
            }
        }
    }

    /// A source with `@store/alias` looked up; what names the certificate decides before its store.
    pub(crate) fn resolve(&self, source: &CertSource) -> CertSource {
        match source.cert.to_str().and_then(|reference| self.stores.find(reference)) {
            Some(stored) => {
                CertSource { ocsp_update: source.ocsp_update.or(stored.ocsp_update), ..CertSource::clone(stored) }
            }
            None => source.clone(),
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::ocsp::tests::{GOOD, response};
    use crate::problem::Severity;
    use crate::testing::{Ca, NOW};

    struct Folder {
        at: tempfile::TempDir,
        store: CertStore,
        stores: CrtStores,
    }

    impl Folder {
        fn new() -> Folder {
            Folder { at: tempfile::tempdir().unwrap(), store: CertStore::default(), stores: CrtStores::default() }
        }

        fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
            let path = self.at.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        }

        fn load_at(&self, source: &CertSource, now: i64) -> (Vec<Arc<Cert>>, Vec<Problem>) {
            let mut problems = Vec::new();
            let loader = Loader { files: &Files::SYSTEM, store: &self.store, stores: &self.stores, now };
            (loader.load(source, "certificates", Some(4), &mut problems), problems)
        }

        fn load(&self, path: impl Into<PathBuf>) -> (Vec<Arc<Cert>>, Vec<Problem>) {
            self.load_at(&CertSource::new(path), NOW)
        }
    }

    fn names(certs: &[Arc<Cert>]) -> Vec<&str> {
        certs.iter().map(|cert| &*cert.names[0]).collect()
    }

    #[test]
    fn the_key_may_lie_beside() {
        let (folder, ca) = (Folder::new(), Ca::new("root"));
        let leaf = ca.issue(&["a.example"]);
        let path = folder.write("a.crt", &leaf.pem);
        let (certs, problems) = folder.load(&path);
        assert!(certs.is_empty() && problems[0].message.contains("no private key"));
        assert_eq!((problems[0].index, problems[0].file.as_ref()), (Some(4), Some(&path)));
        folder.write("a.key", leaf.key.serialize_pem());
        assert_eq!(names(&folder.load(&path).0), ["a.example"]);
        let other = ca.issue(&["b.example"]);
        folder.write("a.crt.key", other.key.serialize_pem());
        let (certs, problems) = folder.load(&path);
        assert!(certs.is_empty() && problems[0].message.contains("does not belong"));
        assert_eq!(problems[0].file.as_deref(), Some(&*beside(&path, "key")));
        let named = CertSource { key: Some(folder.at.path().join("a.key")), ..CertSource::new(&path) };
        assert_eq!(names(&folder.load_at(&named, NOW).0), ["a.example"]);
        let missing = CertSource { key: Some("none".into()), ..CertSource::new(&path) };
        assert_eq!(folder.load_at(&missing, NOW).1[0].message, "the file does not exist");
    }

    #[test]
    fn a_folder_is_read_by_name_without_what_is_beside() {
        let (folder, ca) = (Folder::new(), Ca::new("root"));
        for name in ["b", "a", "c"] {
            folder.write(&format!("{name}.pem"), ca.issue(&[&format!("{name}.example")]).combined());
        }
        folder.write(".hidden.pem", "no");
        folder.write("x.key", "no");
        folder.write("a.pem.ocsp", "");
        folder.write("a.pem.sctl", "x");
        fs::create_dir(folder.at.path().join("within")).unwrap();
        let (certs, problems) = folder.load(folder.at.path());
        assert_eq!(names(&certs), ["a.example", "b.example", "c.example"]);
        assert_eq!(problems.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::Note]);
        folder.write("d.pem", "no");
        let (certs, problems) = folder.load(folder.at.path());
        assert_eq!(certs.len(), 3);
        assert!(any_error(&problems));
        let empty = folder.load(folder.at.path().join("within")).1;
        assert_eq!(empty[0].severity, Severity::Warning);
    }

    #[test]
    fn a_bundle_holds_one_certificate_of_each_kind() {
        let (folder, ca) = (Folder::new(), Ca::new("root"));
        folder.write("a.pem.ecdsa", ca.issue(&["a.example"]).combined());
        let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        folder.write("a.pem.rsa", ca.issue_for(rsa, &["a.example"], |_| {}).combined());
        let (certs, problems) = folder.load(folder.at.path().join("a.pem"));
        assert_eq!(problems, []);
        assert_eq!(certs.iter().map(|cert| cert.signs.name()).collect::<Vec<_>>(), ["RSA", "ECDSA P-256"]);
        let (certs, problems) = folder.load(folder.at.path().join("b.pem"));
        assert!(certs.is_empty() && problems[0].message == "the file does not exist");
    }

    #[test]
    fn a_store_is_referred_to_by_name() {
        let (mut folder, ca) = (Folder::new(), Ca::new("root"));
        let path = folder.write("a.pem", ca.issue(&["a.example"]).combined());
        let source = CertSource { alias: Some("site".into()), ..CertSource::new(path) };
        folder.stores = CrtStores(BTreeMap::from([("web".into(), vec![source])]));
        assert_eq!(names(&folder.load("@web/site").0), ["a.example"]);
        assert!(folder.load("@web/none").1[0].hint.as_ref().unwrap().contains("@web"));
    }

    #[test]
    fn what_did_not_change_is_taken_over() {
        let (folder, ca) = (Folder::new(), Ca::new("root"));
        let path = folder.write("a.pem", ca.issue(&["a.example"]).combined() + &Ca::new("stranger").pem);
        let (first, said) = folder.load(&path);
        let (second, again) = folder.load(&path);
        assert!(Arc::ptr_eq(&first[0], &second[0]));
        assert_eq!(said.len(), 1);
        assert_eq!(said, again);
        folder.write("a.pem", ca.issue(&["b.example"]).combined());
        let (third, _) = folder.load(&path);
        assert_eq!(names(&third), ["b.example"]);
        assert_eq!(folder.store.len(), 1);
        drop((first, second, third));
        assert!(folder.store.is_empty());
        folder.store.sweep();
        assert!(folder.store.kept.lock().is_empty());
    }

    #[test]
    fn what_was_put_is_found_until_the_file_changes() {
        let (folder, ca) = (Folder::new(), Ca::new("root"));
        let path = folder.write("a.pem", ca.issue(&["a.example"]).combined());
        let (first, _) = folder.load(&path);
        let mut problems = Vec::new();
        let sent = ca.issue(&["sent.example"]).combined();
        let sent = Arc::new(Cert::from_pem(&path, sent.as_bytes(), NOW, &mut problems).unwrap());
        folder.store.put(&sent);
        drop(first);
        let loader = Loader { files: &Files::SYSTEM, store: &folder.store, stores: &folder.stores, now: NOW };
        let again = |path: &Path| {
            let mut problems = Vec::new();
            (loader.again(&CertSource::new(folder.at.path()), path, "certificates", &mut problems), problems)
        };
        assert!(Arc::ptr_eq(&folder.load(&path).0[0], &sent));
        assert!(Arc::ptr_eq(&again(&path).0.unwrap(), &sent));
        assert!(Arc::ptr_eq(&folder.store.get(&path).unwrap(), &sent));
        folder.write("a.pem", ca.issue(&["b.example"]).combined());
        assert_eq!(&*again(&path).0.unwrap().names[0], "b.example");
        folder.write("a.pem", "no");
        let (none, problems) = again(&path);
        assert!(none.is_none() && any_error(&problems), "{problems:?}");
        assert!(again(&folder.at.path().join("none.pem")).0.is_none());
        // A path that was never loaded is not kept: nothing would ever drop it.
        let stray = ca.issue(&["stray.example"]).combined();
        folder
            .store
            .put(&Arc::new(Cert::from_pem(Path::new("stray.pem"), stray.as_bytes(), NOW, &mut Vec::new()).unwrap()));
        assert!(folder.store.get(Path::new("stray.pem")).is_none());
    }

    #[test]
    fn certificates_out_of_their_time_are_warned_of_each_time() {
        let (folder, ca) = (Folder::new(), Ca::new("root"));
        let path = folder.write("a.pem", ca.issue(&["a.example"]).combined());
        for (now, words) in [(NOW, None), (0, Some("not valid before")), (i64::from(u32::MAX), Some("expired on"))] {
            let (certs, problems) = folder.load_at(&CertSource::new(&path), now);
            assert_eq!(certs.len(), 1);
            assert_eq!(problems.len(), usize::from(words.is_some()));
            assert!(
                problems
                    .iter()
                    .all(|problem| problem.severity == Severity::Warning && problem.message.contains(words.unwrap()))
            );
        }
    }

    #[test]
    fn an_ocsp_file_is_stapled_while_it_holds() {
        let (folder, ca) = (Folder::new(), Ca::new("root"));
        let leaf = ca.issue(&["a.example"]);
        let path = folder.write("a.pem", leaf.combined());
        folder.write("a.pem.ocsp", response(&leaf.der, &ca.der, &ca.key, GOOD, (NOW, Some(NOW + 60)), &[]));
        let (certs, problems) = folder.load(&path);
        assert!(certs[0].key.ocsp.is_none());
        assert!(problems.len() == 1 && problems[0].message.contains(".issuer"), "{problems:?}");
        folder.write("a.pem.issuer", &ca.pem);
        let (certs, problems) = folder.load(&path);
        assert_eq!(problems, []);
        assert!(certs[0].key.ocsp.is_some());
        let (certs, problems) = folder.load_at(&CertSource::new(&path), NOW + 60);
        assert!(certs[0].key.ocsp.is_none());
        assert_eq!(problems[0].severity, Severity::Warning);
        folder.write("a.pem.issuer", &Ca::new("other").pem);
        assert_eq!(folder.load(&path).1.len(), 2);
    }

    #[test]
    fn a_client_certificate_is_one_file() {
        let (folder, ca) = (Folder::new(), Ca::new("root"));
        let path = folder.write("a.pem", ca.issue(&["a.example"]).combined());
        let mut problems = Vec::new();
        assert!(read_one(&CertSource::new(&path), "certificate", &Files::SYSTEM, NOW, &mut problems).is_some());
        assert!(
            read_one(&CertSource::new(folder.at.path()), "certificate", &Files::SYSTEM, NOW, &mut problems).is_none()
        );
        assert_eq!(problems[0].message, "it is a folder, and one file is needed");
    }
}
