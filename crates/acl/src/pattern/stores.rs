//! The stores of a configuration, by path.
//!
//! Filled while rules are compiled, one per configuration. Invariant: compiling a configuration changes nothing that the
//! running one sees; it may only share a store whose file is unchanged.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::ops::ControlFlow;
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
                Held { store: Store::new(name, shape, entries), file }
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

    /// What differs in the stores that were there in `old` already, sorted by path. Reads every entry of those that are no
    /// longer the same.
    pub fn changed_since(&self, old: &Stores) -> Vec<StoreChange> {
        let old = old.list.lock().clone();
        let new = self.list.lock();
        let both = new.iter().filter_map(|(path, held)| Some((path, &held.store, &old.get(path)?.store)));
        both.filter_map(|(path, new, old)| StoreChange::between(path, old, new)).collect()
    }

    /// Every store, sorted by path.
    pub fn all(&self) -> Vec<Arc<Store>> {
        self.list.lock().values().map(|held| held.store.clone()).collect()
    }
}

/// What a reload makes of a pattern file: entries by their keys, those that were edited at run time included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreChange {
    /// The path, or `virt@name`.
    pub path: Arc<str>,
    /// Whether its entries have values.
    pub map: bool,
    /// Keys that are new.
    pub added: usize,
    /// Keys that are gone.
    pub removed: usize,
    /// Keys whose values are others.
    pub changed: usize,
}

impl StoreChange {
    fn between(path: &str, old: &Arc<Store>, new: &Arc<Store>) -> Option<StoreChange> {
        if Arc::ptr_eq(old, new) {
            return None;
        }
        let (before, after) = (by_key(old), by_key(new));
        let gone = before.keys().filter(|key| !after.contains_key(key)).count();
        let map = new.shape() == Shape::Pairs;
        let mut change = StoreChange { path: path.into(), map, added: 0, removed: gone, changed: 0 };
        for (key, values) in &after {
            match before.get(key) {
                None => change.added += 1,
                Some(was) if was != values => change.changed += 1,
                Some(_) => {}
            }
        }
        // Comments and blank lines are no entries.
        (change.added + change.removed + change.changed > 0).then_some(change)
    }
}

/// The hash of each key, with one of all its values in order.
fn by_key(store: &Store) -> HashMap<u64, u64> {
    let mut all: HashMap<u64, u64> = HashMap::with_capacity(store.len());
    store.for_each(|entry| {
        let values = all.entry(fingerprint(entry.key).1).or_default();
        *values = values.rotate_left(5) ^ fingerprint(entry.value).1;
        ControlFlow::Continue(())
    });
    all
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

    #[test]
    fn a_changed_file_is_told_by_its_keys() {
        let old = Stores::default();
        let load = |stores: &Stores, path: &str, text: &'static str| {
            stores.load(path, Shape::Pairs, &move |_: &Path| Ok(text.as_bytes().to_vec())).unwrap()
        };
        load(&old, "/m", "a 1\nb 2\nc 3\nd 4\nd 5\n").put(b"edited", b"1").unwrap();
        load(&old, "/same", "a 1\n").put(b"edited", b"1").unwrap();
        load(&old, "/remark", "a 1\n");
        load(&old, "/gone", "a 1\n");
        let new = Stores::after(&old);
        load(&new, "/m", "a 1\nb 3\nx 1\ny 1\nz 1\nd 4\nd 5\n");
        load(&new, "/same", "a 1\n");
        load(&new, "/remark", "# what it is for\na 1\n");
        load(&new, "/new", "a 1\n");
        assert_eq!(
            new.changed_since(&old),
            [StoreChange { path: "/m".into(), map: true, added: 3, removed: 2, changed: 1 }]
        );
        assert_eq!(old.changed_since(&old), []);
    }
}
