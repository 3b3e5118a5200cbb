//! An entry of a table, as its users hold it: named ([`Entry`]), tracked ([`Tracked`]) or copied ([`Row`]).
//!
//! An [`Entry`] is only a name: the table may remove what it names at any time, and then it sees nothing. A [`Tracked`]
//! keeps its entry until it is dropped. Every change refreshes the entry, no look does.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::data::{Data, DataSel, Kind};
use super::key::Key;
use super::shard::Shard;
use super::table::Table;

/// What a connection that begins to track counts, and what a request does.
pub(super) const CONNECTION: &[(Kind, i64)] = &[(Kind::ConnCnt, 1), (Kind::ConnCur, 1), (Kind::ConnRate, 1)];
pub(super) const REQUEST: &[(Kind, i64)] = &[(Kind::HttpReqCnt, 1), (Kind::HttpReqRate, 1)];

/// Names an entry without keeping it.
pub struct Entry {
    table: Arc<Table>,
    pub(super) shard: u32,
    pub(super) slot: u32,
    pub(super) birth: u32,
    hash: u32,
}

impl Entry {
    pub(super) fn new(table: Arc<Table>, shard: usize, slot: u32, birth: u32, hash: u32) -> Entry {
        Entry { table, shard: shard as u32, slot, birth, hash }
    }

    /// The table it is in.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The name of the table it is in.
    pub fn table_name(&self) -> &Arc<str> {
        self.table.name()
    }

    /// Its key; `None` when it is gone.
    pub fn key(&self) -> Option<Key> {
        self.table.with_entry(self, 0, |shard, _| shard.key(self.slot))
    }

    /// One value; `None` when it is not stored, or the entry is gone.
    pub fn get(&self, sel: impl Into<DataSel>, now: u64) -> Option<u64> {
        let sel = sel.into();
        self.table.with_entry(self, now, |shard, now| self.table.layout.read(shard.values(self.slot), sel, now))?
    }

    /// Every stored value by name, elements of arrays as `gpc(0)`; nothing when the entry is gone.
    pub fn values(&self, now: u64) -> Vec<(String, u64)> {
        let value = |(data, sel): (Data, DataSel)| Some((selector_name(data, sel), self.get(sel, now)?));
        selectors(&self.table).filter_map(value).collect()
    }

    /// Adds to one value and refreshes the entry; answers with the new value. A counter's rate follows when it is stored;
    /// where only the rate is, the answer is what its current window counts. `None` when neither is stored, or the entry is gone.
    pub fn add(&self, sel: impl Into<DataSel>, delta: i64, now: u64) -> Option<u64> {
        let sel = sel.into();
        self.change(now, |values, now| self.table.layout.add(values, sel, delta, now))?
    }

    /// Sets one value and refreshes the entry. Answers with the value before; `None` when it is not stored, or the entry is
    /// gone.
    pub fn set(&self, sel: impl Into<DataSel>, value: u64, now: u64) -> Option<u64> {
        let sel = sel.into();
        self.change(now, |values, now| {
            let before = self.table.layout.read(values, sel, now)?;
            self.table.layout.set(values, sel, value, now);
            Some(before)
        })?
    }

    /// Counts a session.
    pub fn on_session(&self, now: u64) {
        self.count(&[(Kind::SessCnt, 1), (Kind::SessRate, 1)], now);
    }

    /// Counts an HTTP request.
    pub fn on_http_request(&self, now: u64) {
        self.count(REQUEST, now);
    }

    /// Counts an HTTP error of the client.
    pub fn on_http_error(&self, now: u64) {
        self.count(&[(Kind::HttpErrCnt, 1), (Kind::HttpErrRate, 1)], now);
    }

    /// Counts an HTTP failure of the server.
    pub fn on_http_fail(&self, now: u64) {
        self.count(&[(Kind::HttpFailCnt, 1), (Kind::HttpFailRate, 1)], now);
    }

    /// Counts bytes received from the client and sent to it.
    pub fn on_bytes(&self, received: u64, sent: u64, now: u64) {
        let events = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let (received, sent) = (events(received), events(sent));
        let counts = [
            (Kind::BytesInCnt, received),
            (Kind::BytesInRate, received),
            (Kind::BytesOutCnt, sent),
            (Kind::BytesOutRate, sent),
        ];
        self.count(&counts, now);
    }

    /// Counts protocol oddities.
    pub fn on_glitches(&self, glitches: u32, now: u64) {
        self.count(&[(Kind::GlitchCnt, glitches.into()), (Kind::GlitchRate, glitches.into())], now);
    }

    /// The name of the server a `stick` rule remembers.
    pub fn server_key(&self, now: u64) -> Option<Arc<str>> {
        self.table.name_of(u32::try_from(self.get(Kind::ServerKey, now)?).ok()?)
    }

    /// Remembers a server by its name.
    pub fn set_server_key(&self, name: &str, now: u64) {
        if self.table.has(Kind::ServerKey) {
            let number = self.table.number_of(name);
            self.set(Kind::ServerKey, number.into(), now);
        }
    }

    /// How many track it; `None` when it is gone.
    pub fn trackers(&self, now: u64) -> Option<u32> {
        self.table.with_entry(self, now, |shard, _| shard.pins(self.slot))
    }

    /// Milliseconds until it expires; `None` when it never does, or is gone.
    pub fn expires_in(&self, now: u64) -> Option<u64> {
        let end = |shard: &mut Shard, now| Some(self.table.expires_at(shard.refreshed(self.slot))?.saturating_sub(now));
        self.table.with_entry(self, now, end)?
    }

    /// Milliseconds since it was refreshed last; `None` when it is gone.
    pub fn idle(&self, now: u64) -> Option<u64> {
        self.table.with_entry(self, now, |shard, now| now.saturating_sub(shard.refreshed(self.slot)))
    }

    /// Adds to several values under one lock; what is not stored is passed over. Nothing stored: nothing is refreshed.
    fn count(&self, counts: &[(Kind, i64)], now: u64) {
        if counts.iter().any(|(kind, _)| self.table.has(*kind)) {
            self.change(now, |values, now| self.table.layout.count(values, counts, now));
        }
    }

    fn change<R>(&self, now: u64, f: impl FnOnce(&mut [u32], u64) -> R) -> Option<R> {
        self.table.with_entry(self, now, |shard, now| {
            shard.refresh(self.slot, now);
            f(shard.values_mut(self.slot), now)
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {:08x})", self.table.name(), self.hash)
    }
}

/// An entry that is tracked: it neither expires nor is evicted before this is dropped.
#[derive(Debug)]
pub struct Tracked {
    entry: Entry,
    counted: AtomicBool,
}

impl Tracked {
    /// `counted`: whether the connection is counted already.
    pub(super) fn new(entry: Entry, counted: bool) -> Tracked {
        Tracked { entry, counted: AtomicBool::new(counted) }
    }

    /// Counts the connection that tracks: it is current (`conn_cur`) until the tracking ends. Only the first call counts.
    pub fn on_connection(&self, now: u64) {
        if !self.counted.swap(true, Relaxed) {
            self.count(CONNECTION, now);
        }
    }

    /// Tracks the same entry once more; `None` when its table is full by now.
    pub fn again(&self, now: u64) -> Option<Tracked> {
        self.entry.table.track(&self.entry.key()?, now)
    }

    /// The entry, to be named when the tracking has ended.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Ends the tracking at `now`. A drop does the same at the latest time the table was told.
    pub fn leave(self, now: u64) {
        self.entry.table.with_entry(&self.entry, now, |_, _| ());
    }
}

impl Deref for Tracked {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.entry.table.untrack(&self.entry, *self.counted.get_mut());
    }
}

/// A copy of an entry, for the operator.
#[derive(Clone, Debug)]
pub struct Row<'t> {
    /// Its key.
    pub key: Key,
    /// How many track it.
    pub trackers: u32,
    /// Milliseconds until it expires; `None` when it never does.
    pub expires_in: Option<u64>,
    /// Milliseconds since it was refreshed last.
    pub idle: u64,
    /// A number that stays its own while it lives.
    pub id: u64,
    table: &'t Table,
    values: Vec<u64>,
}

impl<'t> Row<'t> {
    pub(super) fn read(table: &'t Table, at: usize, shard: &Shard, slot: u32, now: u64) -> Row<'t> {
        let refreshed = shard.refreshed(slot);
        let values = selectors(table).map(|(_, sel)| table.layout.read(shard.values(slot), sel, now).unwrap_or(0));
        Row {
            key: shard.key(slot),
            trackers: shard.pins(slot),
            expires_in: table.expires_at(refreshed).map(|end| end.saturating_sub(now)),
            idle: now.saturating_sub(refreshed),
            id: (at as u64) << 32 | u64::from(slot),
            table,
            values: values.collect(),
        }
    }

    /// Every stored value: the data type, the element, the value at the time of the walk.
    pub fn values(&self) -> impl Iterator<Item = (Data, DataSel, u64)> {
        selectors(self.table).zip(&self.values).map(|((data, sel), value)| (data, sel, *value))
    }

    /// One value; `None` when it is not stored.
    pub fn get(&self, sel: impl Into<DataSel>) -> Option<u64> {
        let wanted = sel.into();
        self.values().find(|(_, sel, _)| *sel == wanted).map(|(.., value)| value)
    }
}

/// As a line of `show table`: `key=192.0.2.1 use=0 exp=29999 gpc0=0 conn_rate(10000)=1`.
impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key={} use={} exp={}", self.key, self.trackers, self.expires_in.unwrap_or(0))?;
        for (data, sel, value) in self.values() {
            let name = data.kind.info().name;
            match data.kind {
                // The index stands before the first underscore: `gpc3_rate`.
                Kind::Gpc | Kind::GpcRate | Kind::Gpt => {
                    let (head, tail) = name.split_at(name.find('_').unwrap_or(name.len()));
                    write!(f, " {head}{}{tail}", sel.index)?;
                }
                _ => write!(f, " {name}")?,
            }
            if data.period > 0 {
                write!(f, "({})", data.period)?;
            }
            match (data.kind, u32::try_from(value)) {
                (Kind::ServerKey, Ok(number)) => {
                    write!(f, "={}", self.table.name_of(number).as_deref().unwrap_or_default())?;
                }
                _ => write!(f, "={value}")?,
            }
        }
        Ok(())
    }
}

fn selectors(table: &Table) -> impl Iterator<Item = (Data, DataSel)> {
    let elements = |data: &Data| {
        let data = *data;
        (0..data.elements).map(move |index| (data, DataSel::nth(data.kind, index)))
    };
    table.store().iter().flat_map(elements)
}

/// The name of a value as in `store`, without the period.
fn selector_name(data: Data, sel: DataSel) -> String {
    let name = data.kind.info().name;
    match data.kind {
        Kind::Gpc | Kind::GpcRate | Kind::Gpt => format!("{name}({})", sel.index),
        _ => name.to_owned(),
    }
}
