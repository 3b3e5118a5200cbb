//! One shard of a table: its records, the index that finds them, and the order in which they were refreshed.
//!
//! Called by the table with the shard's lock held. Knows nothing of the other shards, of the bound over all of them, or of
//! what the values mean. Invariants: a record is in the list exactly when nobody tracks it; the list is in the order in
//! which records were last refreshed or let go, oldest first; the index names exactly the records that are not free.

use hashbrown::HashTable;

use super::key::{Key, KeyKind};
use super::layout::{set_wide, wide};

/// Records of one chunk: as many as its free ones have bits.
const CHUNK: usize = 64;

// The words in front of each record's key.
const BIRTH: usize = 0;
const PINS: usize = 1;
const REFRESHED: usize = 2;
const OLDER: usize = 4;
const NEWER: usize = 5;
const HEADER: usize = 6;

/// No record: the end of the list.
const NIL: u32 = u32::MAX;

/// The records of a shard. Slots stay where they are while their record lives.
#[derive(Debug)]
pub(super) struct Shard {
    kind: KeyKind,
    /// Words before the values.
    front: usize,
    /// Words of a whole record.
    stride: usize,
    index: HashTable<Found>,
    chunks: Vec<Chunk>,
    /// One bit per chunk that has a free record.
    room: Vec<u64>,
    /// The memory of a chunk that was given up, kept so that one record coming and going costs no allocation.
    spare: Option<Box<[u32]>>,
    oldest: u32,
    newest: u32,
    /// Counts records ever made, to tell a record from a later one in its slot.
    births: u32,
    /// The latest time anybody named: a worker whose clock lags does not turn time back.
    now: u64,
}

#[derive(Debug)]
struct Chunk {
    /// One bit per free record.
    free: u64,
    /// Empty while all are free.
    words: Box<[u32]>,
}

/// A record in the index, with half of its hash.
#[derive(Clone, Copy, Debug)]
struct Found {
    hash: u32,
    slot: u32,
}

impl Found {
    /// 64 bits for the index, which looks at the lowest and at the highest.
    fn spread(&self) -> u64 {
        u64::from(self.hash) << 32 | u64::from(self.hash)
    }
}

impl Shard {
    pub fn new(kind: KeyKind, values: usize) -> Shard {
        let front = HEADER + kind.words();
        Shard {
            kind,
            front,
            stride: front + values,
            index: HashTable::new(),
            chunks: Vec::new(),
            room: Vec::new(),
            spare: None,
            oldest: NIL,
            newest: NIL,
            births: 0,
            now: 0,
        }
    }

    /// The time to go by: `now`, or the latest anybody named.
    pub fn at(&mut self, now: u64) -> u64 {
        self.now = self.now.max(now);
        self.now
    }

    /// Records it holds.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The record with that key.
    pub fn find(&self, hash: u32, key: &Key) -> Option<u32> {
        let wanted = key.words();
        let found = self.index.find(Found { hash, slot: 0 }.spread(), |found| {
            found.hash == hash && self.record(found.slot)[HEADER..].starts_with(wanted)
        })?;
        Some(found.slot)
    }

    /// A new record, all its values zero, refreshed now. The key must not be there yet.
    pub fn insert(&mut self, hash: u32, key: &Key, now: u64) -> u32 {
        let slot = self.take_slot();
        self.births = self.births.wrapping_add(1);
        let birth = self.births;
        let record = self.record_mut(slot);
        record.fill(0);
        record[BIRTH] = birth;
        record[HEADER..HEADER + key.words().len()].copy_from_slice(key.words());
        set_wide(record, REFRESHED, now);
        let found = Found { hash, slot };
        self.index.insert_unique(found.spread(), found, Found::spread);
        self.link(slot);
        slot
    }

    /// Gives a record back. Nobody may track it.
    pub fn remove(&mut self, slot: u32, hash: u32) {
        debug_assert_eq!(self.pins(slot), 0);
        self.unlink(slot);
        if let Ok(entry) = self.index.find_entry(Found { hash, slot }.spread(), |found| found.slot == slot) {
            entry.remove();
        }
        if self.index.len() < self.index.capacity() / 4 {
            self.index.shrink_to(self.index.len() * 2, Found::spread);
        }
        self.give_slot(slot);
    }

    /// The record that was left alone longest, among those nobody tracks, and when it was refreshed.
    pub fn oldest(&self) -> Option<(u32, u64)> {
        (self.oldest != NIL).then(|| (self.oldest, self.refreshed(self.oldest)))
    }

    /// Makes it the most recently refreshed.
    pub fn refresh(&mut self, slot: u32, now: u64) {
        if self.refreshed(slot) == now {
            return;
        }
        set_wide(self.record_mut(slot), REFRESHED, now);
        if self.pins(slot) == 0 {
            self.unlink(slot);
            self.link(slot);
        }
    }

    /// Keeps it until as many [`unpin`](Shard::unpin) have come.
    pub fn pin(&mut self, slot: u32) {
        if self.pins(slot) == 0 {
            self.unlink(slot);
        }
        let pins = &mut self.record_mut(slot)[PINS];
        *pins = pins.saturating_add(1);
    }

    /// Takes a pin back. With the last it becomes the youngest of the list, whenever it was refreshed: finding its place
    /// by age could take as long as the list is.
    pub fn unpin(&mut self, slot: u32) {
        let record = self.record_mut(slot);
        record[PINS] = record[PINS].saturating_sub(1);
        if record[PINS] == 0 {
            self.link(slot);
        }
    }

    /// How many track it.
    pub fn pins(&self, slot: u32) -> u32 {
        self.record(slot)[PINS]
    }

    /// When it was refreshed last.
    pub fn refreshed(&self, slot: u32) -> u64 {
        wide(self.record(slot), REFRESHED)
    }

    /// A number no other record in this slot has.
    pub fn birth(&self, slot: u32) -> u32 {
        self.record(slot)[BIRTH]
    }

    /// Whether the record of that birth is still there.
    pub fn is(&self, slot: u32, birth: u32) -> bool {
        let chunk = self.chunks.get(slot as usize / CHUNK);
        chunk.is_some_and(|chunk| chunk.free >> (slot as usize % CHUNK) & 1 == 0) && self.birth(slot) == birth
    }

    /// Its key.
    pub fn key(&self, slot: u32) -> Key {
        Key::read(self.kind, &self.record(slot)[HEADER..self.front])
    }

    /// Its values.
    pub fn values(&self, slot: u32) -> &[u32] {
        &self.record(slot)[self.front..]
    }

    /// Its values, to change.
    pub fn values_mut(&mut self, slot: u32) -> &mut [u32] {
        let front = self.front;
        &mut self.record_mut(slot)[front..]
    }

    /// The records of chunk `number`; `None` past the last chunk.
    pub fn chunk(&self, number: usize) -> Option<impl Iterator<Item = u32> + use<>> {
        let free = self.chunks.get(number)?.free;
        Some((0..CHUNK).filter(move |bit| free >> bit & 1 == 0).map(move |bit| (number * CHUNK + bit) as u32))
    }

    fn record(&self, slot: u32) -> &[u32] {
        let (chunk, at) = (slot as usize / CHUNK, slot as usize % CHUNK * self.stride);
        &self.chunks[chunk].words[at..at + self.stride]
    }

    fn record_mut(&mut self, slot: u32) -> &mut [u32] {
        let (chunk, at) = (slot as usize / CHUNK, slot as usize % CHUNK * self.stride);
        &mut self.chunks[chunk].words[at..at + self.stride]
    }

    /// The lowest free slot: so the last chunks run empty and can be given back.
    fn take_slot(&mut self) -> u32 {
        let number = match self.room.iter().position(|bits| *bits != 0) {
            Some(word) => word * 64 + self.room[word].trailing_zeros() as usize,
            None => {
                let number = self.chunks.len();
                self.chunks.push(Chunk { free: u64::MAX, words: Box::default() });
                if self.room.len() * 64 <= number {
                    self.room.push(0);
                }
                self.room[number / 64] |= 1 << (number % 64);
                number
            }
        };
        let size = CHUNK * self.stride;
        let chunk = &mut self.chunks[number];
        if chunk.words.is_empty() {
            chunk.words = self.spare.take().unwrap_or_else(|| vec![0; size].into_boxed_slice());
        }
        let bit = chunk.free.trailing_zeros() as usize;
        chunk.free &= !(1 << bit);
        if chunk.free == 0 {
            self.room[number / 64] &= !(1 << (number % 64));
        }
        (number * CHUNK + bit) as u32
    }

    fn give_slot(&mut self, slot: u32) {
        let (number, bit) = (slot as usize / CHUNK, slot as usize % CHUNK);
        let chunk = &mut self.chunks[number];
        chunk.free |= 1 << bit;
        self.room[number / 64] |= 1 << (number % 64);
        if chunk.free == u64::MAX {
            self.spare = Some(std::mem::take(&mut chunk.words));
            while self.chunks.last().is_some_and(|chunk| chunk.free == u64::MAX) {
                self.chunks.pop();
                let number = self.chunks.len();
                self.room[number / 64] &= !(1 << (number % 64));
            }
            if self.chunks.is_empty() {
                self.spare = None;
                self.chunks = Vec::new();
            }
        }
    }

    fn link(&mut self, slot: u32) {
        let before = self.newest;
        let record = self.record_mut(slot);
        (record[OLDER], record[NEWER]) = (before, NIL);
        match before {
            NIL => self.oldest = slot,
            before => self.record_mut(before)[NEWER] = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let record = self.record(slot);
        let (older, newer) = (record[OLDER], record[NEWER]);
        match older {
            NIL => self.oldest = newer,
            older => self.record_mut(older)[NEWER] = newer,
        }
        match newer {
            NIL => self.newest = older,
            newer => self.record_mut(newer)[OLDER] = older,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(n: i64) -> Key {
        Key::from_int(KeyKind::Integer, n).unwrap()
    }

    fn keys_by_age(shard: &Shard) -> Vec<String> {
        let (mut slot, mut keys) = (shard.oldest, Vec::new());
        while slot != NIL {
            keys.push(shard.key(slot).to_string());
            slot = shard.record(slot)[NEWER];
        }
        keys
    }

    #[test]
    fn the_list_is_in_the_order_of_refreshes_without_the_pinned() {
        let mut shard = Shard::new(KeyKind::Integer, 1);
        let slots: Vec<u32> = (0..4).map(|n| shard.insert(n as u32, &key(n), n as u64)).collect();
        shard.refresh(slots[1], 10);
        assert_eq!(keys_by_age(&shard), ["0", "2", "3", "1"]);
        shard.pin(slots[0]);
        shard.pin(slots[0]);
        assert_eq!(keys_by_age(&shard), ["2", "3", "1"]);
        shard.unpin(slots[0]);
        assert_eq!(shard.oldest(), Some((slots[2], 2)));
        shard.unpin(slots[0]);
        assert_eq!(keys_by_age(&shard), ["2", "3", "1", "0"]);
        assert_eq!(shard.refreshed(slots[0]), 0);
        shard.refresh(slots[2], 20);
        assert_eq!(keys_by_age(&shard), ["3", "1", "0", "2"]);
    }

    #[test]
    fn memory_is_given_back_and_slots_are_used_again() {
        let mut shard = Shard::new(KeyKind::Integer, 3);
        for round in 0..3 {
            let slots: Vec<u32> = (0..10_000).map(|n| shard.insert(n as u32, &key(n), round)).collect();
            assert!(shard.chunks.len() == 10_000_usize.div_ceil(CHUNK), "round {round}: {}", shard.chunks.len());
            // Every second first: the chunks stay until their last record leaves.
            for part in 0..2 {
                for (n, slot) in slots.iter().enumerate().filter(|(n, _)| n % 2 == part) {
                    let birth = shard.birth(*slot);
                    assert!(shard.is(*slot, birth));
                    shard.remove(*slot, n as u32);
                    assert!(!shard.is(*slot, birth));
                }
            }
            assert!(shard.chunks.is_empty() && shard.spare.is_none() && shard.oldest().is_none());
            assert!(shard.index.is_empty() && shard.index.capacity() < 100, "{}", shard.index.capacity());
        }
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let mut shard = Shard::new(KeyKind::String(8), 0);
        let key = |text: &str| Key::from_bytes(KeyKind::String(8), text.as_bytes()).unwrap();
        let words = ["", "a", "ab", "abcd", "abcd\0", "abcdefgh"];
        let slots: Vec<u32> = words.iter().map(|word| shard.insert(7, &key(word), 0)).collect();
        for (word, slot) in words.iter().zip(&slots) {
            assert_eq!(shard.find(7, &key(word)), Some(*slot), "{word:?}");
            assert_eq!(shard.key(*slot), key(word));
        }
        assert_eq!(shard.find(7, &key("abc")), None);
        assert_eq!(shard.find(8, &key("a")), None);
    }
}
