//! Stick tables: values counted by key, shared by all workers.
//!
//! Rules track and look up entries, the end of a transaction counts into what it tracked, the operator reads and changes
//! them. Pure data: no clock (every call takes monotonic milliseconds), no I/O. `TableDef` is what the configuration says,
//! `Table` the entries, `Tables` what a reload keeps. Invariants are named in `table` and `shard`.

mod data;
mod entry;
mod key;
mod layout;
#[cfg(test)]
mod model;
mod rate;
mod shard;
mod table;
mod tables;

use std::sync::Arc;
use std::time::Duration;

pub use data::{Args, DATA, Data, DataKind, DataSel, Form, Kind, MAX_ELEMENTS, MAX_PERIOD};
pub use entry::{Entry, Row, Tracked};
pub use key::{Key, KeyKind};
pub use table::{Cleared, Removal, Table};
pub use tables::Tables;

/// Longest text or bytes of a key.
pub const MAX_KEY: usize = 16_384;

/// A table as the configuration defines it.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDef {
    /// Its name: that of the section it stands in.
    pub name: Arc<str>,
    /// What its keys are.
    pub key: KeyKind,
    /// The most entries it takes.
    pub size: usize,
    /// How long an entry lives after its last refresh; for ever when `None`.
    pub expire: Option<Duration>,
    /// Refuse new keys when full, instead of evicting the oldest entry.
    pub nopurge: bool,
    /// What is stored with each key.
    pub store: Vec<Data>,
}

impl TableDef {
    /// What is wrong with it; nothing when it can be built.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.size == 0 || u32::try_from(self.size).is_err() {
            wrong.push(format!("the size must be from 1 to {}", u32::MAX));
        }
        if let KeyKind::String(len) | KeyKind::Binary(len) = self.key
            && !(1..=MAX_KEY).contains(&len)
        {
            wrong.push(format!("the length of a key must be from 1 to {MAX_KEY}"));
        }
        if let Some(expire) = self.expire
            && !(1..=MAX_PERIOD).contains(&millis(expire))
        {
            wrong.push("`expire` must be longer than 0 and at most 24d".to_owned());
        }
        for (at, data) in self.store.iter().enumerate() {
            let info = data.kind.info();
            if self.store[..at].iter().any(|other| other.kind == data.kind) {
                wrong.push(format!("`{}` is stored twice", info.name));
            }
            for old in data.kind.excludes() {
                if self.store.iter().any(|other| other.kind == *old) {
                    wrong.push(format!("`{}` and `{}` exclude each other", info.name, old.info().name));
                }
            }
            let most = if matches!(info.args, Args::Elements | Args::ElementsPeriod) { MAX_ELEMENTS } else { 1 };
            if !(1..=most).contains(&data.elements) {
                wrong.push(format!("`{}` must have from 1 to {most} elements", info.name));
            }
            if info.form.is_rate() != (data.period > 0) {
                wrong.push(format!("`{}` must be written `{}`", info.name, info.syntax()));
            }
        }
        wrong
    }
}

/// Milliseconds, rounded up.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn def(store: &[&str]) -> TableDef {
        TableDef {
            name: "t".into(),
            key: KeyKind::Ip,
            size: 100,
            expire: Some(Duration::from_secs(60)),
            nopurge: false,
            store: store.iter().map(|word| Data::parse(word).unwrap()).collect(),
        }
    }

    #[test]
    fn what_cannot_be_built_is_said_all_at_once() {
        assert_eq!(def(&["gpc(2)", "gpc_rate(2,1s)", "gpt(1)", "conn_cur"]).check(), [""; 0]);
        let wrong = TableDef {
            size: 0,
            key: KeyKind::String(0),
            expire: Some(Duration::from_secs(86_400 * 25)),
            ..def(&["gpc(2)", "gpc1", "conn_cur", "conn_cur"])
        };
        let messages = wrong.check();
        assert_eq!(messages.len(), 5, "{messages:?}");
        let all = messages.join("; ");
        for part in ["size", "length of a key", "`expire`", "`gpc` and `gpc1` exclude", "`conn_cur` is stored twice"] {
            assert!(all.contains(part), "{part}: {all}");
        }
        let mut made = def(&["gpc(2)", "conn_rate(1s)"]);
        (made.store[0].elements, made.store[1].period) = (101, 0);
        assert_eq!(made.check().len(), 2);
    }
}
