//! A view: one way of comparing with the patterns of a store.
//!
//! Held by compiled acls and converters, asked for every request. As long as nothing was edited since the base was
//! built, a look-up takes no lock; after an edit it shares the store's read lock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use arc_swap::ArcSwap;

use super::entries::Entries;
use super::store::Store;
use crate::matching::Kind;
use crate::matching::index::Index;
use crate::sample::{Sample, Scratch};

/// Bytes [`View::find_regm`] may append.
pub const MAX_EXPANDED: usize = 64 << 10;

/// An index over a store.
pub struct View {
    pub(super) store: Arc<Store>,
    /// Unique in the store.
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) fold: bool,
    pub(super) table: ArcSwap<Table>,
}

/// The index over a base; replaced with it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) entries: Arc<Entries>,
    pub(super) index: Index,
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'f> {
    /// The pattern, as written.
    pub key: &'f [u8],
    /// Its value; empty where the file has none.
    pub value: &'f [u8],
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let View { store, kind, fold, .. } = self;
        f.debug_struct("View").field("store", &store.name()).field("kind", kind).field("fold", fold).finish()
    }
}

impl View {
    /// The store it looks at.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// How it compares.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether any pattern matches. A sample that cannot be read as the type wanted matches none.
    pub fn matches(&self, sample: &Sample<'_>) -> bool {
        if self.store.edited.load(Acquire) {
            let live = self.store.live.read_recursive();
            return live.find(self.id, &self.table.load().index, sample).is_some();
        }
        let table = self.table.load();
        table.index.any(&table.entries, sample)
    }

    /// Hands `f` the best pattern that matches: the longest for beg, the longest mask for ip, for every other kind the
    /// first in file order. `f` must not edit the store: it may run under the store's lock.
    pub fn find<R>(&self, sample: &Sample<'_>, f: impl FnOnce(Found<'_>) -> R) -> Option<R> {
        self.look_up(sample, |found, _, _| f(found))
    }

    /// Appends the value of the pattern that matches, with `\1` to `\9` replaced by the groups of the regular expression
    /// and `\0` by all it matched. False where none matches, or where the result passes [`MAX_EXPANDED`]; `out` is then
    /// as it was. Only for a view of [`Kind::Reg`]; of any other kind, the value is appended as it is.
    pub fn find_regm(&self, sample: &Sample<'_>, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let done = self.look_up(sample, |found, index, id| match index {
            Index::Regexes(list) => {
                let mut scratch = Scratch::new();
                list.expand(id, sample.as_bytes(&mut scratch), found.value, MAX_EXPANDED, out)
            }
            _ => {
                out.extend_from_slice(found.value);
                true
            }
        });
        if done != Some(true) {
            out.truncate(before);
        }
        done == Some(true)
    }

    fn look_up<R>(&self, sample: &Sample<'_>, f: impl FnOnce(Found<'_>, &Index, u32) -> R) -> Option<R> {
        if self.store.edited.load(Acquire) {
            // Recursive: a look-up may run inside the `f` of another, and must not wait for a writer that waits for it.
            let live = self.store.live.read_recursive();
            let table = self.table.load();
            let (id, index, own) = live.find(self.id, &table.index, sample)?;
            return Some(f(Found { key: live.key(id), value: live.value(id) }, index, own));
        }
        let table = self.table.load();
        let hit = table.index.find(&table.entries, sample, &|_| true)?;
        let found = Found { key: table.entries.key(hit.id), value: table.entries.value(hit.id) };
        Some(f(found, &table.index, hit.id))
    }
}
