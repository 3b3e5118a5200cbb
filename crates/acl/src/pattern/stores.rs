//! The stores of a configuration, by path.
//!
//! Filled while rules are compiled, one per configuration. Invariant: compiling a configuration changes nothing that the
//! running one sees; it may only share a store whose file is unchanged.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::entries::{Entries, MAX_BYTES};
use super::load::{self, LoadError, Shape};
use super::store::Store;

/// Every store of one configuration.
#[derive(Debug, Default)]
pub struct Stores {
    list: Mutex<BTreeMap<Box<str>, Held>>,
    /// Those of the configuration before.
    previous: BTreeMap<Box<str>, Held>,
}

#[derive(Clone, Debug)]
struct Held {
    store: Arc<Store>,
    /// Length and hash of the file; none where there is no file.
    file: Option<(usize, u64)>,
}

/// What a name says beside the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// `/path` or `file@/path`: the file must be there.
    File,
    /// `opt@/path`: a missing file is an empty one.
    Optional,
    /// `virt@name`: there is no file.
    Virtual,
}

impl Stores {
    /// The stores of the configuration that follows the one of `previous`: an unchanged file keeps its store, with what
    /// was edited at run time.
    pub fn after(previous: &Stores) -> Stores {
        Stores { list: Mutex::default(), previous: previous.list.lock().clone() }
    }

    /// The store of `name`: a path, or one after `file@`, `opt@` (may be missing) or `virt@` (no file at all). The file is
    /// read once, by `read`; acls and maps that name it share it.
    pub fn load(
        &self,
        name: &str,
        shape: Shape,
        read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Arc<Store>, LoadError> {
        let (source, path) = split(name);
        let bad = |line: Option<usize>, message: String, hint: Option<&str>| LoadError {
            path: path.to_owned(),
            line,
            message,
            hint: hint.map(str::to_owned),
        };
        let missing = || {
            let hint = "write opt@ before the path of a file that may be missing, virt@ for a list without a file";
            bad(None, "there is no such file".into(), Some(hint))
        };
        if path.is_empty() {
            return Err(bad(None, format!("`{name}` names no file"), None));
        }
        let key = key(source, path);
        let mut list = self.list.lock();
        if let Some(held) = list.get(&*key) {
            if held.store.shape() != shape {
                let (one, other) = (held.store.shape().describe(), shape.describe());
                let message = format!("the file is used with {one} and with {other}");
                return Err(bad(None, message, Some("write `-M -f` where an acl looks at the keys of a map")));
            }
            if held.file.is_none() && source == Source::File {
                return Err(missing());
            }
            return Ok(held.store.clone());
        }
        let bytes = match source {
            Source::Virtual => None,
            Source::File | Source::Optional => match read(Path::new(path)) {
                Ok(bytes) => Some(bytes),
                Err(why) if why.kind() == io::ErrorKind::NotFound => match source {
                    Source::Optional => None,
                    _ => return Err(missing()),
                },
                Err(why) => return Err(bad(None, format!("the file cannot be read: {why}"), None)),
            },
        };
        if let Some(bytes) = &bytes
            && bytes.len() > MAX_BYTES
        {
            return Err(bad(None, format!("the file has {} bytes and may have {MAX_BYTES}", bytes.len()), None));
        }
        let file = bytes.as_deref().map(fingerprint);
        let held = match self.previous.get(&*key) {
            Some(held) if held.file == file && held.store.shape() == shape => held.clone(),
            _ => {
                let entries = match &bytes {
                    Some(bytes) => load::parse(bytes, shape).map_err(|(line, why)| bad(Some(line), why, None))?,
                    None => Entries::default(),
                };
                Held { store: Arc::new(Store::new(name, shape, entries)), file }
            }
        };
        list.insert(key, held.clone());
        Ok(held.store)
    }

    /// The store of `name`, where it is loaded already.
    pub fn get(&self, name: &str) -> Option<Arc<Store>> {
        let (source, path) = split(name);
        self.list.lock().get(&*key(source, path)).map(|held| held.store.clone())
    }

    /// Every store, sorted by path.
    pub fn all(&self) -> Vec<Arc<Store>> {
        self.list.lock().values().map(|held| held.store.clone()).collect()
    }
}

fn split(name: &str) -> (Source, &str) {
    match name.split_once('@') {
        Some(("file", path)) => (Source::File, path),
        Some(("opt", path)) => (Source::Optional, path),
        Some(("virt", path)) => (Source::Virtual, path),
        _ => (Source::File, name),
    }
}

/// What stores are told apart by: a virtual one never is a file.
fn key(source: Source, path: &str) -> Box<str> {
    match source {
        Source::Virtual => format!("virt@{path}").into(),
        Source::File | Source::Optional => path.into(),
    }
}

fn fingerprint(bytes: &[u8]) -> (usize, u64) {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    (bytes.len(), hasher.finish())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::matching::Kind;
    use crate::sample::Sample;

    fn read(path: &Path) -> io::Result<Vec<u8>> {
        match path.to_str().unwrap() {
            "/a.map" => Ok(b"k v\nk2 v2\n".to_vec()),
            "/b.lst" => Ok(b"x\n".to_vec()),
            "/none" => Err(io::ErrorKind::NotFound.into()),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    #[test]
    fn the_same_path_is_one_store() {
        let stores = Stores::default();
        let one = stores.load("/a.map", Shape::Pairs, &read).unwrap();
        for name in ["/a.map", "file@/a.map", "opt@/a.map"] {
            assert!(Arc::ptr_eq(&one, &stores.load(name, Shape::Pairs, &read).unwrap()), "{name}");
            assert!(Arc::ptr_eq(&one, &stores.get(name).unwrap()), "{name}");
        }
        assert!(stores.get("virt@/a.map").is_none());
        stores.load("virt@/a.map", Shape::Pairs, &read).unwrap();
        stores.load("/b.lst", Shape::Keys, &read).unwrap();
        assert_eq!(
            stores.all().iter().map(|store| store.name().to_owned()).collect::<Vec<_>>(),
            ["/a.map", "/b.lst", "virt@/a.map"]
        );
        assert!(stores.load("opt@/none", Shape::Keys, &read).unwrap().is_empty());
        for (name, shape) in
            [("/none", Shape::Keys), ("/x", Shape::Keys), ("/a.map", Shape::Keys), ("opt@", Shape::Keys)]
        {
            let error = stores.load(name, shape, &read).unwrap_err();
            assert_eq!(error.line, None, "{error}");
        }
    }

    #[test]
    fn a_line_at_fault_is_named() {
        let long = |_: &Path| Ok([b"a\n".as_slice(), &vec![b'x'; load::MAX_LINE + 1]].concat());
        let error = Stores::default().load("/l", Shape::Keys, &long).unwrap_err();
        assert!(error.to_string().starts_with("/l:2: "), "{error}");
        let ips = |_: &Path| Ok(b"#\n10.0.0.1\n\nhost.example.com\n10.0.0.0/40\n".to_vec());
        let store = Stores::default().load("/ip", Shape::Keys, &ips).unwrap();
        let errors = store.view(Kind::Ip, false).unwrap_err();
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [4, 5]);
        assert!(errors[0].hint.is_some() && store.view(Kind::Str, false).is_ok());
    }

    #[test]
    fn an_unchanged_file_keeps_its_store_and_its_edits() {
        let first = Stores::default();
        let load = |stores: &Stores, text: &'static str| {
            stores.load("/m", Shape::Pairs, &move |_: &Path| Ok(text.as_bytes().to_vec())).unwrap()
        };
        let store = load(&first, "a 1\n");
        let virt = first.load("virt@v", Shape::Pairs, &read).unwrap();
        first.load("/b.lst", Shape::Keys, &read).unwrap();
        store.put(b"b", b"2").unwrap();
        let second = Stores::after(&first);
        assert!(second.all().is_empty(), "a store nobody names any more is gone");
        assert!(Arc::ptr_eq(&store, &load(&second, "a 1\n")));
        assert!(Arc::ptr_eq(&virt, &second.load("virt@v", Shape::Pairs, &read).unwrap()));
        assert_eq!(store.get(b"b").unwrap(), b"2");

        let changed = load(&Stores::after(&second), "a 2\n");
        assert!(!Arc::ptr_eq(&store, &changed));
        assert_eq!((changed.get(b"a").unwrap().as_slice(), changed.get(b"b")), (b"2".as_slice(), None));
        let view = store.view(Kind::Str, false).unwrap();
        assert!(view.matches(&Sample::Str(b"b")), "the running configuration sees what it saw");

        // As keys the same bytes are other patterns.
        let other = Stores::after(&second).load("/m", Shape::Keys, &|_: &Path| Ok(b"a 1\n".to_vec())).unwrap();
        assert!(!Arc::ptr_eq(&store, &other));
    }
}
