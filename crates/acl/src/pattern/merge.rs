//! Merging the edits of a store into a new base, on a thread of its own.
//!
//! Building an index over a hundred thousand patterns takes long, and edits come from workers. So a merge copies what there
//! is, builds the new tables while edits and look-ups go on, and then puts behind the new base what was edited meanwhile.
//! Started by an edit that made the overlay large; one at a time for each store.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::thread;

use super::entries::Entries;
use super::live::{Live, Piece};
use super::store::{Store, Writer, build, by_key, index};
use super::view::{Table, View};
use crate::matching::index::Index;

/// An overlay is merged when it is larger than this plus a quarter of the base; small in tests, so that they get there.
const OVERLAY: usize = if cfg!(test) { 8 } else { 1024 };

/// What a merge began with.
pub(super) struct Merge {
    /// The base that was edited.
    old: Arc<Entries>,
    /// The new base.
    entries: Arc<Entries>,
    /// The former numbers of its entries, in order.
    former: Vec<u32>,
    /// The number that came next.
    end: u32,
    /// The new base by key.
    keys: Index,
}

#[cfg(test)]
impl Store {
    pub(super) fn is_merging(&self) -> bool {
        self.writer.lock().merging
    }
}

#[cfg(test)]
impl Merge {
    /// What the new tables are over.
    pub(super) fn base(&self) -> &Arc<Entries> {
        &self.entries
    }
}

/// The new tables, each with its view.
type Tables = Vec<(Arc<View>, Table)>;

impl Store {
    /// Has the overlay merged when it has become large, and nobody does that already.
    pub(super) fn merge_if_large(&self, writer: &mut Writer) {
        if writer.merging {
            return;
        }
        let live = self.live.read();
        let overlay = live.overlay();
        if overlay <= (live.base.len() / 4 + OVERLAY).max(writer.failed_at * 2) {
            return;
        }
        let Some(store) = self.me.upgrade() else { return };
        let spawned = thread::Builder::new().name("patterns".into()).spawn(move || store.merge());
        match spawned {
            Ok(_) => writer.merging = true,
            // No thread to be had: the overlay goes on serving.
            Err(_) => writer.failed_at = overlay,
        }
    }

    fn merge(&self) {
        let mut merge = self.begin_merge();
        let mut tables = Tables::new();
        loop {
            for view in self.views_without(&tables) {
                match build(view.kind, view.fold, &merge.entries) {
                    Ok(table) => tables.push((view, table)),
                    Err(_) => return self.give_up(&mut self.writer.lock()),
                }
            }
            (merge, tables) = match self.finish_merge(merge, tables) {
                None => return,
                Some(unfinished) => unfinished,
            };
        }
    }

    /// Copies what there is, and has what changes from here on noted.
    pub(super) fn begin_merge(&self) -> Merge {
        let mut writer = self.writer.lock();
        writer.merging = true;
        // Nothing changes without the lock above; readers go on.
        let live = self.live.read();
        let (entries, former) = live.collect();
        let (old, end) = (live.base.clone(), live.end());
        drop(live);
        self.live.write().since = Some(HashSet::new());
        drop(writer);
        Merge { old, keys: by_key(&entries), entries: Arc::new(entries), former, end }
    }

    /// The views that a merge still has to build a table for.
    pub(super) fn views_without(&self, tables: &Tables) -> Vec<Arc<View>> {
        let mut views = self.writer.lock().views();
        views.retain(|view| !tables.iter().any(|(known, _)| Arc::ptr_eq(known, view)));
        views
    }

    /// Puts the new base in place, with what was edited meanwhile behind it. All comes back when a view lacks its table.
    pub(super) fn finish_merge(&self, merge: Merge, tables: Tables) -> Option<(Merge, Tables)> {
        let mut writer = self.writer.lock();
        if writer.views().iter().any(|view| !tables.iter().any(|(known, _)| Arc::ptr_eq(known, view))) {
            return Some((merge, tables));
        }
        writer.merging = false;
        let live = self.live.read();
        // All entries were replaced meanwhile.
        if !Arc::ptr_eq(&live.base, &merge.old) {
            return None;
        }
        let next = live.behind(&merge, &tables);
        drop(live);
        match next {
            Some(next) => {
                self.install(&mut writer, next, tables);
                writer.base_keys = Some(merge.keys);
            }
            None => self.give_up(&mut writer),
        }
        None
    }

    /// Each pattern is right by itself, together they are too much: the overlay goes on serving.
    fn give_up(&self, writer: &mut Writer) {
        let mut live = self.live.write();
        writer.merging = false;
        writer.failed_at = live.overlay();
        live.since = None;
    }

    /// Puts `next` in place of all there is, with the tables over its base.
    pub(super) fn install(&self, writer: &mut Writer, next: Live, tables: Tables) {
        writer.base_keys = None;
        writer.failed_at = 0;
        let edited = next.overlay() > 0;
        let mut live = self.live.write();
        // Who looks from here on waits for the lock, so that no view shows the new content and another the old one after it.
        self.edited.store(true, Release);
        let old = std::mem::replace(&mut *live, next);
        for (view, table) in tables {
            view.table.store(Arc::new(table));
        }
        self.edited.store(edited, Release);
        drop(live);
        // Freeing a hundred thousand entries takes time that readers need not wait for.
        drop(old);
    }
}

impl Live {
    /// The new base of `merge` with what was edited since it began; `None` when what was added cannot be indexed.
    fn behind(&self, merge: &Merge, tables: &Tables) -> Option<Live> {
        let mut next = Live::new(merge.entries.clone());
        for &id in self.since.iter().flatten().filter(|id| **id < merge.end) {
            // One that was gone already changes no more.
            if let Ok(now) = merge.former.binary_search(&id) {
                next.change(now as u32, self.is_alive(id).then(|| self.value(id)));
            }
        }
        let mut entries = Entries::default();
        for id in (merge.end..self.end()).filter(|&id| self.is_alive(id)) {
            if !entries.push(self.key(id), self.value(id), self.line(id)) {
                return None;
            }
        }
        if entries.len() > 0 {
            let index = |(view, _): &(Arc<View>, Table)| Some((view.id, index(view.kind, view.fold, &entries).ok()?));
            let indices = tables.iter().map(index).collect::<Option<Vec<_>>>()?;
            next.pieces.push(Piece { first: next.end(), keys: by_key(&entries), entries, indices });
        }
        Some(next)
    }
}
