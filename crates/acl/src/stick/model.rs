//! A table as one would write it without a thought of speed, and sweeps that hold the real one against it.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;

/// Events by time; the windows are found by walking from the first event, which the code under test never does.
pub(super) fn rate_of(events: &[(u64, u64)], period: u64, now: u64) -> u64 {
    let mut windows: Vec<(u64, u64)> = Vec::new();
    for &(at, count) in events {
        match windows.last().copied() {
            Some((start, _)) if at < start + period => {
                if let Some(window) = windows.last_mut() {
                    window.1 += count;
                }
            }
            Some((start, _)) if at < start + 2 * period => windows.push((start + period, count)),
            _ => windows.extend([(at.saturating_sub(10 * period), 0), (at, count)]),
        }
    }
    let count_of = |start: u64| windows.iter().find(|w| w.0 == start).map_or(0, |w| w.1);
    let Some(&(start, count)) = windows.last() else { return 0 };
    if now <= start + period {
        let last = start.checked_sub(period).map_or(0, count_of);
        count + last * (start + period - now) / period
    } else if now <= start + 2 * period {
        if count <= 1 { count } else { count * (start + 2 * period - now) / period }
    } else {
        0
    }
}

const PERIOD: u64 = 40;
const EXPIRE: u64 = 100;

#[derive(Default)]
struct Naive {
    clock: u64,
    /// Counts whatever puts an entry last in the order of eviction.
    turns: u64,
    entries: HashMap<u32, NaiveEntry>,
}

#[derive(Default)]
struct NaiveEntry {
    refreshed: u64,
    turn: u64,
    pins: u32,
    current: u64,
    requests: Vec<(u64, u64)>,
    gpc0: u64,
}

impl Naive {
    fn turn(&mut self, key: u32) {
        self.turns += 1;
        self.entries.get_mut(&key).unwrap().turn = self.turns;
    }

    fn refresh(&mut self, key: u32) {
        let entry = self.entries.get_mut(&key).unwrap();
        if entry.refreshed != self.clock {
            entry.refreshed = self.clock;
            self.turn(key);
        }
    }

    fn live(&self, key: u32) -> Option<&NaiveEntry> {
        self.entries.get(&key).filter(|entry| entry.pins > 0 || entry.refreshed + EXPIRE > self.clock)
    }

    fn oldest(&self) -> Option<u32> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.pins == 0)
            .min_by_key(|(_, entry)| entry.turn)
            .map(|(key, _)| *key)
    }

    /// Whether there is an entry of `key` afterwards.
    fn upsert(&mut self, key: u32, size: usize, nopurge: bool) -> bool {
        if self.live(key).is_some() {
            self.refresh(key);
            return true;
        }
        self.entries.remove(&key);
        if self.entries.len() >= size {
            match self.oldest() {
                Some(oldest) if !nopurge || self.live(oldest).is_none() => self.entries.remove(&oldest),
                _ => return false,
            };
        }
        self.entries.insert(key, NaiveEntry { refreshed: self.clock, ..NaiveEntry::default() });
        self.turn(key);
        true
    }
}

fn key(n: u32) -> Key {
    Key::from_int(KeyKind::Integer, n.into()).unwrap()
}

fn table(size: usize, nopurge: bool, store: &[&str]) -> Arc<Table> {
    let def = TableDef {
        name: "t".into(),
        key: KeyKind::Integer,
        size,
        expire: Some(Duration::from_millis(EXPIRE)),
        nopurge,
        store: store.iter().map(|word| Data::parse(word).unwrap()).collect(),
    };
    assert_eq!(def.check(), [""; 0]);
    Arc::new(Table::new(&def))
}

#[test]
fn does_what_the_naive_table_does() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (size, nopurge) = (rng.usize(1..20), rng.bool());
        let table = table(size, nopurge, &["http_req_rate(40ms)", "conn_cur", "gpc0"]);
        let mut naive = Naive::default();
        let mut guards: Vec<(u32, Tracked, bool)> = Vec::new();
        // From before the wrap of 32 bits of milliseconds to after it.
        let mut now = u64::from(u32::MAX) - 1500;
        for step in 0..600 {
            let context = format!("seed {seed} step {step} now {now} size {size} nopurge {nopurge}");
            if rng.u8(..) < 100 {
                now += rng.u64(0..30);
            }
            // A worker's clock may lag behind another's.
            let told = now - if rng.u8(..) < 20 { rng.u64(0..5) } else { 0 };
            let n = rng.u32(0..25);
            match rng.u8(0..14) {
                0..=3 => {
                    naive.clock = naive.clock.max(told);
                    let place = naive.upsert(n, size, nopurge);
                    let tracked = table.track(&key(n), told);
                    assert_eq!(tracked.is_some(), place, "{context}");
                    if let Some(tracked) = tracked {
                        let counted = rng.bool();
                        let entry = naive.entries.get_mut(&n).unwrap();
                        entry.pins += 1;
                        if counted {
                            tracked.on_connection(told);
                            tracked.on_connection(told);
                            entry.current += 1;
                        }
                        guards.push((n, tracked, counted));
                    }
                }
                4..=6 if !guards.is_empty() => {
                    let (n, guard, counted) = guards.swap_remove(rng.usize(0..guards.len()));
                    let entry = naive.entries.get_mut(&n).unwrap();
                    if rng.bool() {
                        naive.clock = naive.clock.max(told);
                        guard.leave(told);
                    } else {
                        drop(guard);
                    }
                    entry.pins -= 1;
                    if counted {
                        entry.refreshed = naive.clock;
                        entry.current -= 1;
                    }
                    if entry.pins == 0 {
                        naive.turn(n);
                    }
                }
                7..=8 if !guards.is_empty() => {
                    let (n, guard, _) = &guards[rng.usize(0..guards.len())];
                    naive.clock = naive.clock.max(told);
                    guard.on_http_request(told);
                    guard.on_http_error(told);
                    let entry = naive.entries.get_mut(n).unwrap();
                    entry.requests.push((naive.clock, 1));
                    entry.refreshed = naive.clock;
                }
                9 => {
                    naive.clock = naive.clock.max(told);
                    let expected = naive.upsert(n, size, nopurge).then(|| {
                        let entry = naive.entries.get_mut(&n).unwrap();
                        entry.gpc0 += 2;
                        entry.gpc0
                    });
                    assert_eq!(table.add(&key(n), Kind::Gpc0, 2, told), expected, "{context}");
                    assert_eq!(table.add(&key(n), Kind::Gpc1, 2, told), None, "{context}");
                }
                10 => {
                    naive.clock = naive.clock.max(told);
                    let before = naive.live(n).map(|entry| entry.gpc0);
                    let entry = table.get(&key(n), told);
                    assert_eq!(entry.as_ref().and_then(|entry| entry.set(Kind::Gpc0, 0, told)), before, "{context}");
                    if before.is_some() {
                        naive.entries.get_mut(&n).unwrap().gpc0 = 0;
                        let pinned = naive.entries[&n].pins > 0;
                        if pinned {
                            naive.entries.get_mut(&n).unwrap().refreshed = naive.clock;
                        } else {
                            naive.refresh(n);
                        }
                    }
                }
                11 => {
                    naive.clock = naive.clock.max(told);
                    let expected = match naive.live(n).map(|entry| entry.pins) {
                        None => Removal::NotFound,
                        Some(1..) => Removal::InUse,
                        Some(0) => {
                            naive.entries.remove(&n);
                            Removal::Removed
                        }
                    };
                    assert_eq!(table.remove(&key(n), told), expected, "{context}");
                }
                12 => {
                    let budget = rng.usize(0..4);
                    let mut purged = 0;
                    while purged < budget
                        && let Some(oldest) = naive.oldest()
                        && naive.entries[&oldest].refreshed + EXPIRE <= now
                    {
                        naive.entries.remove(&oldest);
                        purged += 1;
                    }
                    assert_eq!(table.expire(now, budget), purged, "{context}");
                }
                13 if rng.u8(..) < 10 => {
                    let cleared = table.clear();
                    let before = naive.entries.len();
                    naive.entries.retain(|_, entry| entry.pins > 0);
                    let in_use = naive.entries.len();
                    assert_eq!(cleared, Cleared { removed: before - in_use, in_use }, "{context}");
                }
                _ => {
                    naive.clock = naive.clock.max(now);
                    let at = naive.clock;
                    for n in 0..25 {
                        let entry = naive.live(n);
                        let context = format!("{context} key {n}");
                        assert_eq!(table.contains(&key(n), now), entry.is_some(), "{context}");
                        let value = |kind: Kind| table.value(&key(n), kind, now);
                        assert_eq!(value(Kind::Gpc0), entry.map(|e| e.gpc0), "{context}");
                        assert_eq!(value(Kind::ConnCur), entry.map(|e| e.current), "{context}");
                        let rate = entry.map(|e| rate_of(&e.requests, PERIOD, at));
                        assert_eq!(value(Kind::HttpReqRate), rate, "{context}");
                        let seen = table.get(&key(n), now);
                        assert_eq!(
                            seen.as_ref().and_then(|e| e.idle(now)),
                            entry.map(|e| at - e.refreshed),
                            "{context}"
                        );
                        assert_eq!(seen.as_ref().and_then(|e| e.trackers(now)), entry.map(|e| e.pins), "{context}");
                    }
                    let mut rows = 0;
                    table.for_each(now, |row| {
                        rows += 1;
                        let n: u32 = row.key.to_string().parse().unwrap();
                        let entry = naive.live(n).unwrap_or_else(|| panic!("{context}: {row}"));
                        let rate = rate_of(&entry.requests, PERIOD, at);
                        let end = (entry.refreshed + EXPIRE).saturating_sub(at);
                        let (pins, current, gpc0) = (entry.pins, entry.current, entry.gpc0);
                        let line = format!(
                            "key={n} use={pins} exp={end} http_req_rate(40)={rate} conn_cur={current} gpc0={gpc0}"
                        );
                        assert_eq!(row.to_string(), line, "{context}");
                    });
                    assert_eq!(rows, naive.entries.keys().filter(|n| naive.live(**n).is_some()).count(), "{context}");
                }
            }
            assert_eq!(table.used(), naive.entries.len(), "{context}");
            assert!(table.used() <= size, "{context}");
        }
        guards.clear();
        table.clear();
        assert_eq!(table.used(), 0, "seed {seed}");
    }
}

#[test]
fn the_oldest_of_all_shards_leaves_first() {
    let table = table(4096, false, &["gpc0"]);
    let order = {
        let mut keys: Vec<u32> = (0..4096).collect();
        fastrand::Rng::with_seed(7).shuffle(&mut keys);
        keys
    };
    // Far apart in a period in which nothing expires: every entry has a time of its own.
    let table = {
        let def = TableDef { expire: None, ..def_of(&table) };
        Arc::new(Table::new(&def))
    };
    for n in 0..4096 {
        table.add(&key(n), Kind::Gpc0, 1, 1).unwrap();
    }
    for (at, n) in order.iter().enumerate() {
        table.add(&key(*n), Kind::Gpc0, 1, 10 + at as u64).unwrap();
    }
    let kept = table.track(&key(order[0]), 5000).unwrap();
    for (at, n) in order[1..].iter().enumerate() {
        assert!(table.contains(&key(*n), 10_000), "seed 7: {at} left too early");
        assert_eq!(table.add(&key(5000 + at as u32), Kind::Gpc0, 1, 10_000), Some(1));
        assert!(!table.contains(&key(*n), 10_000), "seed 7: {at} stayed");
        assert_eq!(table.used(), 4096);
    }
    assert_eq!(table.evictions(), 4095);
    assert_eq!(kept.get(Kind::Gpc0, 10_000), Some(2));
}

fn def_of(table: &Table) -> TableDef {
    TableDef {
        name: Arc::clone(table.name()),
        key: table.kind(),
        size: table.size(),
        expire: table.expire_after(),
        nopurge: false,
        store: table.store().to_vec(),
    }
}

#[test]
fn a_full_table_of_tracked_entries_refuses() {
    let table = table(3, false, &["conn_cur"]);
    let mut guards: Vec<_> = (0..3).map(|n| table.track(&key(n), 0).unwrap()).collect();
    assert!(table.track(&key(3), 10_000).is_none());
    assert_eq!((table.refused(), table.evictions(), table.used()), (1, 0, 3));
    guards.pop();
    assert!(table.track(&key(3), 10_000).is_some());
    assert!(table.track(&Key::from_bytes(KeyKind::String(4), b"1").unwrap(), 0).is_none(), "a key of another kind");
}

#[test]
fn a_name_of_an_entry_does_not_reach_its_successor() {
    let table = table(10, false, &["gpc0"]);
    table.add(&key(1), Kind::Gpc0, 5, 0).unwrap();
    let first = table.get(&key(1), 0).unwrap();
    assert_eq!(table.remove(&key(1), 0), Removal::Removed);
    assert_eq!((first.get(Kind::Gpc0, 0), first.key()), (None, None), "its memory was given back");
    table.add(&key(1), Kind::Gpc0, 7, 0).unwrap();
    assert_eq!(first.add(Kind::Gpc0, 1, 0), None);
    assert_eq!(table.value(&key(1), Kind::Gpc0, 0), Some(7));
    // The same where it expired and was made anew.
    let second = table.get(&key(1), 0).unwrap();
    table.add(&key(1), Kind::Gpc0, 9, EXPIRE).unwrap();
    assert_eq!((second.get(Kind::Gpc0, EXPIRE), table.value(&key(1), Kind::Gpc0, EXPIRE)), (None, Some(9)));
}

#[test]
fn every_event_counts_what_it_should() {
    let words = [
        "conn_cnt",
        "conn_cur",
        "conn_rate(1s)",
        "sess_cnt",
        "sess_rate(1s)",
        "http_req_cnt",
        "http_req_rate(1s)",
        "http_err_cnt",
        "http_err_rate(1s)",
        "http_fail_cnt",
        "http_fail_rate(1s)",
        "bytes_in_cnt",
        "bytes_in_rate(1s)",
        "bytes_out_cnt",
        "bytes_out_rate(1s)",
        "glitch_cnt",
        "glitch_rate(1s)",
        "gpc_rate(2,1s)",
        "server_key",
    ];
    let table = table(10, false, &words);
    let entry = table.track(&key(1), 0).unwrap();
    entry.on_connection(0);
    (0..2).for_each(|_| entry.on_session(0));
    (0..3).for_each(|_| entry.on_http_request(0));
    (0..4).for_each(|_| entry.on_http_error(0));
    (0..5).for_each(|_| entry.on_http_fail(0));
    entry.on_bytes(1 << 33, 1 << 40, 0);
    entry.on_glitches(6, 0);
    entry.add(Kind::Gpc1, 7, 0);
    assert_eq!(entry.server_key(0), None);
    entry.set_server_key("app1", 0);
    assert_eq!(entry.server_key(0).as_deref(), Some("app1"));
    let mut lines = Vec::new();
    table.for_each(0, |row| lines.push(row.to_string()));
    assert_eq!(
        lines,
        [concat!(
            "key=1 use=1 exp=100 conn_cnt=1 conn_cur=1 conn_rate(1000)=1 sess_cnt=2 sess_rate(1000)=2 http_req_cnt=3 ",
            "http_req_rate(1000)=3 http_err_cnt=4 http_err_rate(1000)=4 http_fail_cnt=5 http_fail_rate(1000)=5 ",
            "bytes_in_cnt=8589934592 bytes_in_rate(1000)=8589934592 bytes_out_cnt=1099511627776 ",
            "bytes_out_rate(1000)=1099511627776 glitch_cnt=6 glitch_rate(1000)=6 gpc0_rate(1000)=0 gpc1_rate(1000)=7 ",
            "server_key=app1",
        )]
    );
    // The operator may have set the gauge meanwhile.
    assert!(table.set_from_outside(&key(1), &[(Kind::ConnCur.into(), 0), (Kind::Gpc0.into(), 3)], 0));
    drop(entry);
    assert_eq!(table.value(&key(1), Kind::ConnCur, 0), Some(0));
}

#[test]
fn two_threads_lose_nothing() {
    const ROUNDS: u32 = 20_000;
    let table = Arc::new(Table::new(&TableDef { expire: None, ..def_of(&table(1000, false, &["gpc0", "conn_cur"])) }));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let table = &table;
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(thread);
                for round in 0..ROUNDS {
                    let hot = table.track(&key(0), round.into()).unwrap();
                    hot.on_connection(round.into());
                    hot.add(Kind::Gpc0, 1, round.into());
                    table.add(&key(rng.u32(1..1000)), Kind::Gpc0, 1, round.into());
                }
            });
        }
    });
    let mut sum = 0;
    table.for_each(0, |row| {
        assert_eq!((row.trackers, row.get(Kind::ConnCur)), (0, Some(0)));
        sum += row.get(Kind::Gpc0).unwrap();
    });
    assert_eq!(sum, u64::from(ROUNDS) * 4);
    assert_eq!(table.value(&key(0), Kind::Gpc0, 0), Some(u64::from(ROUNDS) * 2));
}

#[test]
fn two_threads_keep_the_bound() {
    for nopurge in [false, true] {
        let table = table(150, nopurge, &["gpc0", "conn_cur"]);
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let table = &table;
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(thread);
                    let mut guards = Vec::new();
                    for round in 0..20_000_u64 {
                        let now = round / 20;
                        match rng.u8(0..8) {
                            0..=4 => guards.extend(table.track(&key(rng.u32(0..600)), now)),
                            5 => guards.clear(),
                            6 => assert!(table.expire(now, 5) <= 5),
                            _ => _ = table.remove(&key(rng.u32(0..600)), now),
                        }
                        guards.truncate(90);
                        assert!(table.used() <= 150, "seeds 0 and 1, round {round} of {thread}");
                    }
                });
            }
        });
        let mut rows = 0;
        table.for_each(0, |row| {
            assert_eq!(row.trackers, 0);
            rows += 1;
        });
        assert!(rows <= table.used());
        table.clear();
        assert_eq!(table.used(), 0);
    }
}

#[test]
fn a_reload_keeps_what_fits() {
    let def =
        |name: &str, size: usize, store: &[&str]| TableDef { name: name.into(), ..def_of(&table(size, false, store)) };
    let first =
        Tables::default().reconcile(&[def("a", 100, &["gpc0"]), def("b", 100, &["gpc0"]), def("c", 100, &["gpc0"])]);
    first.commit();
    for table in first.iter() {
        (0..100).for_each(|n| assert_eq!(table.add(&key(n), Kind::Gpc0, 1, u64::from(n)), Some(1)));
    }
    let pinned = first.get("b").unwrap().track(&key(0), 200).unwrap();
    let defs =
        [def("c", 100, &["gpc0", "gpc1"]), def("d", 10, &["gpc0"]), def("b", 10, &["gpc0"]), def("a", 100, &["gpc0"])];
    let second = first.reconcile(&defs);
    assert_eq!(first.get("b").unwrap().size(), 100, "nothing changes before the commit");
    second.commit();
    let names: Vec<_> = second.iter().map(|table| table.name().to_string()).collect();
    assert_eq!(names, ["c", "d", "b", "a"]);
    assert_eq!(second.iter().map(|table| table.used()).collect::<Vec<_>>(), [0, 0, 10, 100]);
    assert!(Arc::ptr_eq(second.nth(2).unwrap(), first.get("b").unwrap()));
    assert_eq!(pinned.get(Kind::Gpc0, 200), Some(0), "it had expired, and was made anew when it was tracked");
}
