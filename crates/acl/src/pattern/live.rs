//! What was edited since the base of a store was last built: pieces added, and entries that changed.
//!
//! Owned by [`Store`](super::Store) behind its lock, read by [`View`](super::View) once there was an edit. Added entries
//! stand in pieces, each indexed for every view; a new entry swallows the pieces that are not larger, so that n
//! additions index n log n entries and a look-up asks log n pieces. Numbers go on where the base ends.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::entries::Entries;
use crate::matching::index::{Hit, Index};
use crate::sample::Sample;

/// The present content of a store.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) base: Arc<Entries>,
    pub(super) pieces: Vec<Piece>,
    /// The new value of an entry, or none when it is gone.
    changed: HashMap<u32, Option<Box<[u8]>>>,
    /// How many of them are gone.
    gone: usize,
    /// Bytes of the new values.
    changed_bytes: usize,
    /// The entries that changed since a merge began; none while there is no merge.
    pub(super) since: Option<HashSet<u32>>,
}

/// Some added entries.
#[derive(Debug)]
pub(super) struct Piece {
    /// Number of its first entry.
    pub(super) first: u32,
    pub(super) entries: Entries,
    /// By key, for edits.
    pub(super) keys: Index,
    /// By the number of the view.
    pub(super) indices: Vec<(u64, Index)>,
}

impl Live {
    pub(super) fn new(base: Arc<Entries>) -> Live {
        Live { base, ..Live::default() }
    }

    /// Numbers given so far.
    pub(super) fn end(&self) -> u32 {
        self.pieces.last().map_or(self.base.len() as u32, |piece| piece.first + piece.entries.len() as u32)
    }

    /// Entries there are.
    pub(super) fn len(&self) -> usize {
        self.end() as usize - self.gone
    }

    /// Bytes held, those of entries that are gone included.
    pub(super) fn bytes(&self) -> usize {
        self.base.bytes() + self.pieces.iter().map(|piece| piece.entries.bytes()).sum::<usize>() + self.changed_bytes
    }

    /// How much a look-up has to look at beside the base.
    pub(super) fn overlay(&self) -> usize {
        self.end() as usize - self.base.len() + self.changed.len()
    }

    /// Gives an entry that is alive a new value, or takes it away.
    pub(super) fn change(&mut self, id: u32, value: Option<&[u8]>) {
        if let Some(since) = &mut self.since {
            since.insert(id);
        }
        self.gone += usize::from(value.is_none());
        self.changed_bytes += value.map_or(0, <[u8]>::len);
        let old = self.changed.insert(id, value.map(Box::from));
        self.changed_bytes -= old.flatten().map_or(0, |old| old.len());
    }

    pub(super) fn is_alive(&self, id: u32) -> bool {
        !matches!(self.changed.get(&id), Some(None))
    }

    fn part(&self, id: u32) -> (&Entries, u32) {
        if (id as usize) < self.base.len() {
            return (&self.base, id);
        }
        let at = self.pieces.partition_point(|piece| piece.first <= id) - 1;
        (&self.pieces[at].entries, id - self.pieces[at].first)
    }

    pub(super) fn key(&self, id: u32) -> &[u8] {
        let (entries, id) = self.part(id);
        entries.key(id)
    }

    pub(super) fn value(&self, id: u32) -> &[u8] {
        match self.changed.get(&id) {
            Some(Some(value)) => value,
            _ => {
                let (entries, id) = self.part(id);
                entries.value(id)
            }
        }
    }

    pub(super) fn line(&self, id: u32) -> usize {
        let (entries, id) = self.part(id);
        entries.line(id)
    }

    /// Everything there is, in order, as new entries without gaps, with the numbers they have now.
    pub(super) fn collect(&self) -> (Entries, Vec<u32>) {
        let (mut all, mut ids) = (Entries::default(), Vec::with_capacity(self.len()));
        for id in (0..self.end()).filter(|&id| self.is_alive(id)) {
            // Never full: it is no more than what there was.
            let _ = all.push(self.key(id), self.value(id), self.line(id));
            ids.push(id);
        }
        (all, ids)
    }

    /// The best entry for `sample`, and the index and own number there: `base` is the index of view `view` over the base.
    pub(super) fn find<'l>(&'l self, view: u64, base: &'l Index, sample: &Sample<'_>) -> Option<(u32, &'l Index, u32)> {
        let mut best: Option<(Hit, &Index, u32)> =
            base.find(&self.base, sample, &|id| self.is_alive(id)).map(|hit| (hit, base, hit.id));
        for piece in &self.pieces {
            let Some((_, index)) = piece.indices.iter().find(|(id, _)| *id == view) else { continue };
            let found = index.find(&piece.entries, sample, &|id| self.is_alive(piece.first + id));
            if let Some(Hit { rank, id }) = found {
                let hit = Hit { rank, id: piece.first + id };
                if best.is_none_or(|(best, ..)| hit.goes_before(best)) {
                    best = Some((hit, index, id));
                }
            }
        }
        best.map(|(hit, index, own)| (hit.id, index, own))
    }
}
