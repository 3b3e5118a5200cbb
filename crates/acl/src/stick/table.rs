//! A table: entries by key, shared by every worker, bounded over all its shards.
//!
//! Called by rules (track, look up, count), by the operator's doors (show, set, clear) and by whoever gives the memory of
//! expired entries back from time to time. Never reads a clock: every call takes the milliseconds of a monotonic one.
//! Invariants: `used() <= size` (except after the size was made smaller, while entries are tracked); a tracked entry is
//! neither expired nor evicted; no two shards are locked at once, and no lock is held while a caller's code runs.

use std::fmt;
use std::hash::{BuildHasher, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::data::{Data, DataSel, Kind};
use super::entry::{CONNECTION, Entry, REQUEST, Row, Tracked};
use super::key::{Key, KeyKind};
use super::layout::Layout;
use super::shard::Shard;
use super::{TableDef, millis};

/// Most shards of a table.
const MAX_SHARDS: usize = 64;
/// A shard is worth its memory from so many entries on.
const ENTRIES_A_SHARD: usize = 64;
/// Tries to find an entry to evict while others take them away.
const TRIES: usize = 8;
/// Entries a `clear` removes under one lock.
const CLEAR_STEP: usize = 256;
/// Names of servers a table remembers; names are few, and a table outlives many configurations.
const MAX_NAMES: usize = 65_536;
/// The value of `expire` for never, and of a shard's oldest entry where it has none.
const NEVER: u64 = u64::MAX;

/// A stick table.
pub struct Table {
    name: Arc<str>,
    kind: KeyKind,
    store: Vec<Data>,
    pub(super) layout: Layout,
    shards: Box<[Locked]>,
    // Random for each table: a client cannot choose keys that collide.
    hasher: RandomState,
    size: AtomicUsize,
    expire: AtomicU64,
    nopurge: AtomicBool,
    used: AtomicUsize,
    evictions: AtomicU64,
    refused: AtomicU64,
    /// The shard where the next purge goes on.
    purged: AtomicUsize,
    names: RwLock<Vec<Arc<str>>>,
}

/// A shard on cache lines of its own.
#[repr(align(128))]
struct Locked {
    shard: Mutex<Shard>,
    /// When the shard's oldest entry was refreshed: a hint for who looks for the oldest of all.
    oldest: AtomicU64,
}

impl Locked {
    /// Runs `f` with the lock held, then notes the oldest entry.
    fn with<R>(&self, f: impl FnOnce(&mut Shard) -> R) -> R {
        let mut shard = self.shard.lock();
        let result = f(&mut shard);
        self.note(&shard);
        result
    }

    fn note(&self, shard: &Shard) {
        let oldest = shard.oldest().map_or(NEVER, |(_, refreshed)| refreshed);
        if self.oldest.load(Relaxed) != oldest {
            self.oldest.store(oldest, Relaxed);
        }
    }
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The entry is gone.
    Removed,
    /// It is tracked at this moment and stays.
    InUse,
    /// There was none.
    NotFound,
}

/// What became of a `clear`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Entries that are gone.
    pub removed: usize,
    /// Entries that are tracked at this moment and stay.
    pub in_use: usize,
}

impl Table {
    /// An empty table. The definition should have passed its check.
    pub fn new(def: &TableDef) -> Table {
        let layout = Layout::new(&def.store);
        let shards = (def.size / ENTRIES_A_SHARD).clamp(1, MAX_SHARDS).next_power_of_two();
        let shard = || Locked { shard: Mutex::new(Shard::new(def.key, layout.words)), oldest: AtomicU64::new(NEVER) };
        Table {
            name: Arc::clone(&def.name),
            kind: def.key,
            store: def.store.clone(),
            shards: (0..shards).map(|_| shard()).collect(),
            layout,
            hasher: RandomState::new(),
            size: AtomicUsize::new(def.size.max(1)),
            expire: AtomicU64::new(def.expire.map_or(NEVER, millis)),
            nopurge: AtomicBool::new(def.nopurge),
            used: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            purged: AtomicUsize::new(0),
            names: RwLock::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What its keys are.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// What it stores with each key.
    pub fn store(&self) -> &[Data] {
        &self.store
    }

    /// Whether it stores that value, or the array that stands for it.
    pub fn has(&self, sel: impl Into<DataSel>) -> bool {
        self.layout.has(sel.into())
    }

    /// The most entries it takes.
    pub fn size(&self) -> usize {
        self.size.load(Relaxed)
    }

    /// How long an entry lives after its last refresh.
    pub fn expire_after(&self) -> Option<Duration> {
        Some(self.expire.load(Relaxed)).filter(|ms| *ms != NEVER).map(Duration::from_millis)
    }

    /// Entries it holds, with those that expired and were not purged yet.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Entries that had to leave before their time since the start.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Relaxed)
    }

    /// Keys that found no place since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The entry of `key`, without tracking or refreshing it. `None` when there is none, or the key is of another kind.
    pub fn get(self: &Arc<Self>, key: &Key, now: u64) -> Option<Entry> {
        let (number, hash) = self.place(key)?;
        let (slot, birth) = {
            let mut shard = self.shards[number].shard.lock();
            let slot = self.live(&mut shard, hash, key, now)?;
            (slot, shard.birth(slot))
        };
        Some(Entry::new(Arc::clone(self), number, slot, birth, hash))
    }

    /// One value of the entry of `key`, as [`get`](Table::get) would find it. `None` when there is no entry, or the value is
    /// not stored.
    pub fn value(&self, key: &Key, sel: impl Into<DataSel>, now: u64) -> Option<u64> {
        let (number, hash) = self.place(key)?;
        let mut shard = self.shards[number].shard.lock();
        let slot = self.live(&mut shard, hash, key, now)?;
        let now = shard.at(now);
        self.layout.read(shard.values(slot), sel.into(), now)
    }

    /// Whether there is an entry of `key`.
    pub fn contains(&self, key: &Key, now: u64) -> bool {
        let live = |number: usize, hash| self.live(&mut self.shards[number].shard.lock(), hash, key, now).is_some();
        self.place(key).is_some_and(|(number, hash)| live(number, hash))
    }

    /// Tracks `key`: its entry is made if need be, refreshed, and kept until the guard is dropped. `None` when the table
    /// is full and nothing may leave, or the key is of another kind.
    pub fn track(self: &Arc<Self>, key: &Key, now: u64) -> Option<Tracked> {
        let (number, slot, hash, birth) = self.upsert(key, now, |shard, slot| {
            shard.pin(slot);
            shard.birth(slot)
        })?;
        Some(Tracked::new(Entry::new(Arc::clone(self), number, slot, birth, hash), false))
    }

    /// As [`track`](Table::track), then [`on_connection`](Tracked::on_connection) and, for a `request`,
    /// [`on_http_request`](Entry::on_http_request), all under one lock.
    pub fn track_counting(self: &Arc<Self>, key: &Key, request: bool, now: u64) -> Option<Tracked> {
        let (number, slot, hash, birth) = self.upsert(key, now, |shard, slot| {
            shard.pin(slot);
            let now = shard.at(now);
            let values = shard.values_mut(slot);
            self.layout.count(values, CONNECTION, now);
            if request {
                self.layout.count(values, REQUEST, now);
            }
            shard.birth(slot)
        })?;
        Some(Tracked::new(Entry::new(Arc::clone(self), number, slot, birth, hash), true))
    }

    /// Adds to one value of `key` without tracking it: its entry is made if need be, and refreshed. `None` when there is no
    /// place for it, or neither the value nor a rate that follows it is stored; then nothing is made.
    pub fn add(&self, key: &Key, sel: impl Into<DataSel>, delta: i64, now: u64) -> Option<u64> {
        let sel = sel.into();
        if !self.layout.counts(sel) {
            return None;
        }
        let (.., value) = self.upsert(key, now, |shard, slot| {
            let now = shard.at(now);
            self.layout.add(shard.values_mut(slot), sel, delta, now)
        })?;
        value
    }

    /// Sets values of `key` from outside (`set table`): its entry is made if need be, and refreshed. Values that are not
    /// stored are passed over. False when there is no place for it.
    pub fn set_from_outside(&self, key: &Key, values: &[(DataSel, u64)], now: u64) -> bool {
        let set = |shard: &mut Shard, slot| {
            let now = shard.at(now);
            for &(sel, value) in values {
                self.layout.set(shard.values_mut(slot), sel, value, now);
            }
        };
        self.upsert(key, now, set).is_some()
    }

    /// Removes the entry of `key` unless it is tracked.
    pub fn remove(&self, key: &Key, now: u64) -> Removal {
        let Some((number, hash)) = self.place(key) else { return Removal::NotFound };
        self.shards[number].with(|shard| match self.live(shard, hash, key, now) {
            None => Removal::NotFound,
            Some(slot) if shard.pins(slot) > 0 => Removal::InUse,
            Some(slot) => {
                self.drop_record(shard, slot, hash);
                Removal::Removed
            }
        })
    }

    /// Removes every entry that is not tracked.
    pub fn clear(&self) -> Cleared {
        let mut cleared = Cleared::default();
        for locked in &self.shards {
            // In steps, so that no worker waits long; what is added meanwhile may stay.
            let steps = locked.with(|shard| shard.len() / CLEAR_STEP + 1);
            for _ in 0..steps {
                locked.with(|shard| {
                    for _ in 0..CLEAR_STEP {
                        let Some((slot, _)) = shard.oldest() else { break };
                        self.drop_oldest(shard, slot);
                        cleared.removed += 1;
                    }
                });
            }
        }
        cleared.in_use = self.used();
        cleared
    }

    /// Gives every live entry to `f`, a few at a time. No lock is held meanwhile: entries that come and go during the walk
    /// may be seen or not, all others are seen once.
    pub fn for_each(&self, now: u64, mut f: impl FnMut(Row<'_>)) {
        let mut rows = Vec::new();
        for (at, locked) in self.shards.iter().enumerate() {
            for chunk in 0.. {
                let more = {
                    let mut shard = locked.shard.lock();
                    let now = shard.at(now);
                    match shard.chunk(chunk) {
                        None => false,
                        Some(slots) => {
                            let live = slots.filter(|slot| !self.is_expired(&shard, *slot, now));
                            rows.extend(live.map(|slot| Row::read(self, at, &shard, slot, now)));
                            true
                        }
                    }
                };
                if !more {
                    break;
                }
                rows.drain(..).for_each(&mut f);
            }
        }
    }

    /// Purges up to `budget` expired entries and says how many there were. Later calls go on where this one stopped. What
    /// was tracked beyond its time, and was not refreshed since, is seen by nobody any more but may be purged up to one expiry later.
    pub fn expire(&self, now: u64, budget: usize) -> usize {
        let expire = self.expire.load(Relaxed);
        let mut purged = 0;
        for _ in 0..self.shards.len() {
            let locked = &self.shards[self.purged.load(Relaxed) % self.shards.len()];
            if locked.oldest.load(Relaxed).checked_add(expire).is_some_and(|end| end <= now) {
                locked.with(|shard| {
                    while let Some((slot, refreshed)) = shard.oldest()
                        && purged < budget
                        && refreshed.checked_add(expire).is_some_and(|end| end <= now)
                    {
                        self.drop_oldest(shard, slot);
                        purged += 1;
                    }
                });
            }
            if purged >= budget {
                break;
            }
            self.purged.fetch_add(1, Relaxed);
        }
        purged
    }

    /// Whether the definition differs at most in what [`limit`](Table::limit) can change.
    pub(super) fn fits(&self, def: &TableDef) -> bool {
        self.name == def.name && self.kind == def.key && self.store == def.store
    }

    /// Takes over size, expiry and `nopurge` of a definition. Where the size became smaller, the oldest leave.
    pub(super) fn limit(&self, def: &TableDef) {
        self.size.store(def.size.max(1), Relaxed);
        self.expire.store(def.expire.map_or(NEVER, millis), Relaxed);
        self.nopurge.store(def.nopurge, Relaxed);
        while self.used() > self.size() && self.evict(false, 0) {
            self.used.fetch_sub(1, Relaxed);
        }
    }

    /// The number that stands for a server's name; the same for the same name. 0 stands for none, and for a name that is
    /// one too many.
    pub fn number_of(&self, name: &str) -> u32 {
        let find = |names: &[Arc<str>]| names.iter().position(|known| **known == *name).map(|at| at as u32 + 1);
        if let Some(number) = find(&self.names.read()) {
            return number;
        }
        let mut names = self.names.write();
        if let Some(number) = find(&names) {
            return number;
        }
        if names.len() >= MAX_NAMES {
            return 0;
        }
        names.push(name.into());
        names.len() as u32
    }

    /// The server's name that number stands for.
    pub fn name_of(&self, number: u32) -> Option<Arc<str>> {
        self.names.read().get((number as usize).checked_sub(1)?).cloned()
    }

    /// Runs `f` on a record that an [`Entry`] found earlier; `None` when it is gone.
    pub(super) fn with_entry<R>(&self, entry: &Entry, now: u64, f: impl FnOnce(&mut Shard, u64) -> R) -> Option<R> {
        let locked = &self.shards[entry.shard as usize];
        let mut shard = locked.shard.lock();
        let now = shard.at(now);
        if !shard.is(entry.slot, entry.birth) || self.is_expired(&shard, entry.slot, now) {
            return None;
        }
        let result = f(&mut shard, now);
        // A tracked entry is not in the list: a change of it leaves the oldest as it was.
        if shard.pins(entry.slot) == 0 {
            locked.note(&shard);
        }
        Some(result)
    }

    pub(super) fn expires_at(&self, refreshed: u64) -> Option<u64> {
        refreshed.checked_add(self.expire.load(Relaxed)).filter(|end| *end != NEVER)
    }

    /// The shard and the half of the hash its index goes by. `None` for a key of another kind.
    fn place(&self, key: &Key) -> Option<(usize, u32)> {
        if key.kind() != self.kind {
            return None;
        }
        let mut hasher = self.hasher.build_hasher();
        let mut pairs = key.words().chunks_exact(2);
        for pair in &mut pairs {
            hasher.write_u64(u64::from(pair[0]) << 32 | u64::from(pair[1]));
        }
        for word in pairs.remainder() {
            hasher.write_u32(*word);
        }
        let hash = hasher.finish();
        Some(((hash >> 32) as usize & (self.shards.len() - 1), hash as u32))
    }

    fn is_expired(&self, shard: &Shard, slot: u32, now: u64) -> bool {
        shard.pins(slot) == 0 && self.expires_at(shard.refreshed(slot)).is_some_and(|end| end <= now)
    }

    fn live(&self, shard: &mut Shard, hash: u32, key: &Key, now: u64) -> Option<u32> {
        let now = shard.at(now);
        let slot = shard.find(hash, key)?;
        (!self.is_expired(shard, slot, now)).then_some(slot)
    }

    /// Finds or makes the record of `key`, refreshes it, and runs `f` on it. Answers with shard, slot, hash and `f`'s result.
    fn upsert<R>(&self, key: &Key, now: u64, f: impl FnOnce(&mut Shard, u32) -> R) -> Option<(usize, u32, u32, R)> {
        let (number, hash) = self.place(key)?;
        let locked = &self.shards[number];
        let mut f = Some(f);
        let mut reserved = false;
        loop {
            let done = locked.with(|shard| {
                let now = shard.at(now);
                let slot = match shard.find(hash, key) {
                    Some(slot) if !self.is_expired(shard, slot, now) => {
                        if reserved {
                            self.used.fetch_sub(1, Relaxed);
                        }
                        shard.refresh(slot, now);
                        slot
                    }
                    // What expired is another entry than the new one: whoever still names it must not see this.
                    Some(slot) => {
                        if reserved {
                            self.used.fetch_sub(1, Relaxed);
                        }
                        shard.remove(slot, hash);
                        shard.insert(hash, key, now)
                    }
                    None if reserved || self.reserve() => shard.insert(hash, key, now),
                    None => return None,
                };
                f.take().map(|f| (number, slot, hash, f(shard, slot)))
            });
            if done.is_some() {
                return done;
            }
            if reserved || !self.make_room(now) {
                self.refused.fetch_add(1, Relaxed);
                return None;
            }
            reserved = true;
        }
    }

    /// Takes one place of `size`.
    fn reserve(&self) -> bool {
        let size = self.size.load(Relaxed);
        self.used.fetch_update(Relaxed, Relaxed, |used| (used < size).then_some(used + 1)).is_ok()
    }

    /// Takes a place, if need be the one of the oldest entry. With `nopurge` only of an expired one.
    fn make_room(&self, now: u64) -> bool {
        self.reserve() || self.evict(self.nopurge.load(Relaxed), now) || self.reserve()
    }

    /// Removes the entry that was left alone longest, among those nobody tracks, and leaves its place to the caller: `used`
    /// stays. With `only_expired` only an expired one.
    fn evict(&self, only_expired: bool, now: u64) -> bool {
        for _ in 0..TRIES {
            let oldest = self.shards.iter().min_by_key(|locked| locked.oldest.load(Relaxed));
            let Some(locked) = oldest.filter(|locked| locked.oldest.load(Relaxed) != NEVER) else { return false };
            let evicted = locked.with(|shard| {
                let now = shard.at(now);
                let (slot, _) = shard.oldest()?;
                let expired = self.is_expired(shard, slot, now);
                if only_expired && !expired {
                    return Some(false);
                }
                if !expired {
                    self.evictions.fetch_add(1, Relaxed);
                }
                let (_, hash) = self.place(&shard.key(slot))?;
                shard.remove(slot, hash);
                Some(true)
            });
            // The entry may have been tracked, refreshed or removed since the hint was read: another is the oldest then.
            if let Some(evicted) = evicted {
                return evicted;
            }
        }
        false
    }

    fn drop_oldest(&self, shard: &mut Shard, slot: u32) {
        if let Some((_, hash)) = self.place(&shard.key(slot)) {
            self.drop_record(shard, slot, hash);
        }
    }

    fn drop_record(&self, shard: &mut Shard, slot: u32, hash: u32) {
        shard.remove(slot, hash);
        self.used.fetch_sub(1, Relaxed);
    }

    /// Ends one tracking.
    pub(super) fn untrack(&self, entry: &Entry, counted: bool) {
        self.shards[entry.shard as usize].with(|shard| {
            // As in HAProxy, the end of tracking refreshes by what it changes: only where `conn_cur` is stored.
            if counted && self.layout.has(Kind::ConnCur.into()) {
                let now = shard.at(0);
                self.layout.add(shard.values_mut(entry.slot), Kind::ConnCur.into(), -1, now);
                shard.refresh(entry.slot, now);
            }
            shard.unpin(entry.slot);
        });
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({}, {} of {})", self.name, self.used(), self.size())
    }
}
