//! A store: what one pattern file holds, with the edits made while traffic runs.
//!
//! Made by [`Stores`](super::Stores); edited by actions on any worker and by the operator. Its views keep an index each
//! over the base, which never changes; edits go to an overlay that is consulted only while [`Store::edited`] says that there
//! is one, and is merged into a new base when it has grown ([`merge`](super::merge)). Invariants: the table of a view and the base are replaced
//! together, under the write lock; a reader that saw no edit needs no lock; edits wait for each other, readers never
//! for the building of an index.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::Release};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock, RwLockUpgradableReadGuard};

use super::entries::{Entries, MAX_BYTES, MAX_ENTRIES};
use super::live::{Live, Piece};
use super::load::Shape;
use super::view::{Table, View};
use crate::matching::index::Index;
use crate::matching::{Kind, Problem};

/// Replacements of one store that may be under way at a time.
pub const MAX_PREPARED: usize = 16;
/// As many lines of one file are told to be wrong.
const ERRORS: usize = 20;

/// The content of one pattern file.
pub struct Store {
    name: Box<str>,
    shape: Shape,
    /// Whether there is an overlay. Changes under the write lock.
    pub(super) edited: AtomicBool,
    pub(super) live: RwLock<Live>,
    pub(super) writer: Mutex<Writer>,
    /// For the thread that merges.
    pub(super) me: Weak<Store>,
}

/// What only edits need.
#[derive(Debug, Default)]
pub(super) struct Writer {
    views: Vec<Weak<View>>,
    last_view: u64,
    /// The entries of the base by key; made at the first edit.
    pub(super) base_keys: Option<Index>,
    prepared: BTreeMap<u64, Entries>,
    last_version: u64,
    /// Size of the overlay that a merge did not work for; the next try waits for twice as much.
    pub(super) failed_at: usize,
    /// A merge is under way.
    pub(super) merging: bool,
}

/// A pattern that cannot be compared in the way asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Line of the file, counted from 1; 0 for a pattern added at run time.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// One entry, as shown to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'e> {
    /// The pattern.
    pub key: &'e [u8],
    /// Its value.
    pub value: &'e [u8],
    /// Line of the file, counted from 1; 0 when added at run time.
    pub line: usize,
}

/// Why an edit was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// A pattern has no bytes.
    EmptyKey,
    /// One of the rules that use the store cannot compare with this pattern.
    BadKey {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The store holds as much as it may.
    Full,
    /// There is no replacement of that number under way.
    NoVersion(u64),
    /// Too many replacements are under way.
    TooManyVersions,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditError::EmptyKey => f.write_str("a pattern cannot be empty"),
            EditError::BadKey { message, .. } => f.write_str(message),
            EditError::Full => write!(f, "the store is full: it may hold {MAX_ENTRIES} patterns and {MAX_BYTES} bytes"),
            EditError::NoVersion(version) => write!(f, "no version {version} was prepared, or it is already committed"),
            EditError::TooManyVersions => {
                write!(f, "{MAX_PREPARED} versions are prepared already: commit or clear one of them")
            }
        }
    }
}

impl std::error::Error for EditError {}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.name).field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Store {
    pub(super) fn new(name: &str, shape: Shape, entries: Entries) -> Arc<Store> {
        Arc::new_cyclic(|me| Store {
            name: name.into(),
            shape,
            edited: AtomicBool::new(false),
            live: RwLock::new(Live::new(Arc::new(entries))),
            writer: Mutex::default(),
            me: me.clone(),
        })
    }

    /// The path or name it was first loaded by, prefix included.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its lines were read.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The view that compares as `kind`, ignoring case with `fold`; shared by all who ask for the same. The errors are the
    /// first lines that cannot be compared so.
    pub fn view(self: &Arc<Store>, kind: Kind, fold: bool) -> Result<Arc<View>, Vec<PatternError>> {
        let fold = fold && kind.knows_case();
        let mut built: Option<Table> = None;
        loop {
            let mut writer = self.writer.lock();
            if let Some(view) = writer.views().into_iter().find(|view| view.kind == kind && view.fold == fold) {
                return Ok(view);
            }
            let base = self.live.read().base.clone();
            match built.take() {
                Some(table) if Arc::ptr_eq(&table.entries, &base) => {
                    return self.register(&mut writer, kind, fold, table);
                }
                _ => {}
            }
            // A large index takes long: edits must not wait for it.
            drop(writer);
            built = Some(build(kind, fold, &base)?);
        }
    }

    fn register(
        self: &Arc<Store>,
        writer: &mut Writer,
        kind: Kind,
        fold: bool,
        table: Table,
    ) -> Result<Arc<View>, Vec<PatternError>> {
        let live = self.live.upgradable_read();
        let index = |piece: &Piece| index(kind, fold, &piece.entries);
        let indices: Vec<Index> = live.pieces.iter().map(index).collect::<Result<_, _>>()?;
        writer.last_view += 1;
        let id = writer.last_view;
        let mut live = RwLockUpgradableReadGuard::upgrade(live);
        for (piece, index) in live.pieces.iter_mut().zip(indices) {
            piece.indices.push((id, index));
        }
        let view = Arc::new(View { store: self.clone(), id, kind, fold, table: ArcSwap::from_pointee(table) });
        writer.views.push(Arc::downgrade(&view));
        Ok(view)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.live.read_recursive().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands every entry to `visit`, in order, until it breaks. `visit` must not edit the store.
    pub fn for_each(&self, mut visit: impl FnMut(Entry<'_>) -> ControlFlow<()>) {
        let live = self.live.read_recursive();
        for id in (0..live.end()).filter(|&id| live.is_alive(id)) {
            if visit(Entry { key: live.key(id), value: live.value(id), line: live.line(id) }).is_break() {
                return;
            }
        }
    }

    /// The value of the first entry with that very key.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut writer = self.writer.lock();
        let live = self.live.read();
        writer.ids(&live, key).first().map(|&id| live.value(id).to_vec())
    }

    /// Appends an entry, whether or not there is one with that key.
    pub fn add(&self, key: &[u8], value: &[u8]) -> Result<(), EditError> {
        self.append(&mut self.writer.lock(), key, value)
    }

    /// Gives all entries with that very key another value; false when there is none.
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<bool, EditError> {
        self.overwrite(&mut self.writer.lock(), key, value)
    }

    /// [`set`](Store::set), or [`add`](Store::add) when there is no such entry: what the action `set-map` does.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), EditError> {
        let mut writer = self.writer.lock();
        if self.overwrite(&mut writer, key, value)? { Ok(()) } else { self.append(&mut writer, key, value) }
    }

    /// Removes all entries with that very key; false when there is none.
    pub fn del(&self, key: &[u8]) -> bool {
        let mut writer = self.writer.lock();
        let live = self.live.upgradable_read();
        let ids = writer.ids(&live, key);
        if !ids.is_empty() {
            self.change(RwLockUpgradableReadGuard::upgrade(live), &ids, None);
            self.merge_if_large(&mut writer);
        }
        !ids.is_empty()
    }

    /// Removes every entry.
    pub fn clear(&self) {
        // No pattern can be wrong where there is none.
        let _ = self.replace(Entries::default());
    }

    /// Begins a replacement of all entries; nobody sees it before it is committed.
    pub fn prepare(&self) -> Result<u64, EditError> {
        let mut writer = self.writer.lock();
        if writer.prepared.len() >= MAX_PREPARED {
            return Err(EditError::TooManyVersions);
        }
        writer.last_version += 1;
        let version = writer.last_version;
        writer.prepared.insert(version, Entries::default());
        Ok(version)
    }

    /// Appends an entry to a replacement.
    pub fn add_to(&self, version: u64, key: &[u8], value: &[u8]) -> Result<(), EditError> {
        let mut writer = self.writer.lock();
        let one = single(key, value)?;
        for view in writer.views() {
            index(view.kind, view.fold, &one).map_err(bad_key)?;
        }
        let entries = writer.prepared.get_mut(&version).ok_or(EditError::NoVersion(version))?;
        if entries.push(key, value, 0) { Ok(()) } else { Err(EditError::Full) }
    }

    /// Puts a replacement in place of all entries, at once for all views, and forgets those prepared before it.
    pub fn commit(&self, version: u64) -> Result<(), EditError> {
        let mut writer = self.writer.lock();
        let entries = writer.prepared.remove(&version).ok_or(EditError::NoVersion(version))?;
        writer.prepared.retain(|&other, _| other > version);
        drop(writer);
        self.replace(entries)
    }

    /// Forgets a replacement; false when there is no such version.
    pub fn abandon(&self, version: u64) -> bool {
        self.writer.lock().prepared.remove(&version).is_some()
    }

    fn append(&self, writer: &mut Writer, key: &[u8], value: &[u8]) -> Result<(), EditError> {
        let one = single(key, value)?;
        let live = self.live.upgradable_read();
        if live.end() as usize >= MAX_ENTRIES || live.bytes() + one.bytes() > MAX_BYTES {
            return Err(EditError::Full);
        }
        let (mut keep, mut size) = (live.pieces.len(), 1);
        while let Some(last) = keep.checked_sub(1)
            && live.pieces[last].entries.len() <= size
        {
            size += live.pieces[last].entries.len();
            keep = last;
        }
        let mut entries = Entries::default();
        for piece in live.pieces[keep..].iter().map(|piece| &piece.entries).chain([&one]) {
            for id in piece.ids() {
                if !entries.push(piece.key(id), piece.value(id), piece.line(id)) {
                    return Err(EditError::Full);
                }
            }
        }
        let mut indices = Vec::new();
        for view in writer.views() {
            indices.push((view.id, index(view.kind, view.fold, &entries).map_err(bad_key)?));
        }
        let first = live.pieces.get(keep).map_or(live.end(), |piece| piece.first);
        let piece = Piece { first, keys: by_key(&entries), entries, indices };
        let mut live = RwLockUpgradableReadGuard::upgrade(live);
        live.pieces.truncate(keep);
        live.pieces.push(piece);
        self.edited.store(true, Release);
        drop(live);
        self.merge_if_large(writer);
        Ok(())
    }

    fn overwrite(&self, writer: &mut Writer, key: &[u8], value: &[u8]) -> Result<bool, EditError> {
        let live = self.live.upgradable_read();
        let ids = writer.ids(&live, key);
        if live.bytes() + value.len().saturating_mul(ids.len()) > MAX_BYTES {
            return Err(EditError::Full);
        }
        // The most frequent edit says again what is there already.
        if ids.iter().any(|&id| live.value(id) != value) {
            self.change(RwLockUpgradableReadGuard::upgrade(live), &ids, Some(value));
            self.merge_if_large(writer);
        }
        Ok(!ids.is_empty())
    }

    fn change(&self, mut live: parking_lot::RwLockWriteGuard<'_, Live>, ids: &[u32], value: Option<&[u8]>) {
        for &id in ids {
            live.change(id, value);
        }
        self.edited.store(true, Release);
    }

    fn replace(&self, entries: Entries) -> Result<(), EditError> {
        let entries = Arc::new(entries);
        let mut tables: Vec<(Arc<View>, Table)> = Vec::new();
        loop {
            let mut writer = self.writer.lock();
            let missing: Vec<Arc<View>> = writer
                .views()
                .into_iter()
                .filter(|view| !tables.iter().any(|(known, _)| Arc::ptr_eq(known, view)))
                .collect();
            if missing.is_empty() {
                self.install(&mut writer, Live::new(entries), tables);
                return Ok(());
            }
            // As in `view`: other edits do not wait for the building.
            drop(writer);
            for view in missing {
                let table = build(view.kind, view.fold, &entries).map_err(bad_key)?;
                tables.push((view, table));
            }
        }
    }
}

impl Writer {
    /// The views somebody still holds.
    pub(super) fn views(&mut self) -> Vec<Arc<View>> {
        self.views.retain(|view| view.strong_count() > 0);
        self.views.iter().filter_map(Weak::upgrade).collect()
    }

    /// The entries with that very key.
    fn ids(&mut self, live: &Live, key: &[u8]) -> Vec<u32> {
        let keys = self.base_keys.get_or_insert_with(|| by_key(&live.base));
        let mut ids = keys.equal(&live.base, key);
        for piece in &live.pieces {
            ids.extend(piece.keys.equal(&piece.entries, key).into_iter().map(|id| piece.first + id));
        }
        ids.retain(|&id| live.is_alive(id));
        ids
    }
}

pub(super) fn build(kind: Kind, fold: bool, entries: &Arc<Entries>) -> Result<Table, Vec<PatternError>> {
    Ok(Table { index: index(kind, fold, entries)?, entries: entries.clone() })
}

pub(super) fn index(kind: Kind, fold: bool, entries: &Entries) -> Result<Index, Vec<PatternError>> {
    let mut problems = Vec::new();
    let index = Index::build(kind, fold, entries, &mut problems);
    if problems.is_empty() {
        return Ok(index);
    }
    let line = |id: u32| if (id as usize) < entries.len() { entries.line(id) } else { 0 };
    let error = |(id, Problem { message, hint }): (u32, Problem)| PatternError { line: line(id), message, hint };
    Err(problems.into_iter().take(ERRORS).map(error).collect())
}

pub(super) fn by_key(entries: &Entries) -> Index {
    // Any bytes are a string.
    Index::build(Kind::Str, false, entries, &mut Vec::new())
}

fn single(key: &[u8], value: &[u8]) -> Result<Entries, EditError> {
    let mut one = Entries::default();
    match key {
        b"" => Err(EditError::EmptyKey),
        _ if one.push(key, value, 0) => Ok(one),
        _ => Err(EditError::Full),
    }
}

fn bad_key(errors: Vec<PatternError>) -> EditError {
    match errors.into_iter().next() {
        Some(PatternError { message, hint, .. }) => EditError::BadKey { message, hint },
        None => EditError::Full,
    }
}
