//! What tracking costs, in processor time so that a busy machine says the same. Ignored, since it measures instead of testing; run it with
//! `cargo test --release -p evenkeel-acl --test stick_cost -- --ignored --nocapture`.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use evenkeel_acl::stick::{Data, Key, KeyKind, Kind, Table, TableDef};

const ROUNDS: u32 = 2_000_000;
const ENTRIES: u32 = 100_000;

fn table(size: usize) -> Arc<Table> {
    Arc::new(Table::new(&TableDef {
        name: "clients".into(),
        key: KeyKind::Ip,
        size,
        expire: Some(Duration::from_secs(600)),
        nopurge: false,
        store: ["http_req_rate(10s)", "conn_cur", "gpc0"].map(|word| Data::parse(word).unwrap()).to_vec(),
    }))
}

fn key(n: u32) -> Key {
    Key::from_int(KeyKind::Ip, n.into()).unwrap()
}

/// One tracked request: three updates and two looks.
fn request(table: &Arc<Table>, key: &Key, now: u64) {
    let tracked = table.track(key, now).unwrap();
    tracked.on_connection(now);
    tracked.on_http_request(now);
    tracked.add(Kind::Gpc0, 1, now);
    black_box(tracked.get(Kind::HttpReqRate, now));
    black_box(tracked.get(Kind::ConnCur, now));
}

/// Nanoseconds this thread was on a processor.
fn on_cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

/// Nanoseconds of processor time a round, for each of `threads`.
fn measure(threads: u32, f: impl Fn(u32, u32) + Sync) -> f64 {
    let barrier = Barrier::new(threads as usize);
    let took: Vec<u64> = std::thread::scope(|scope| {
        let run = |thread| {
            barrier.wait();
            let start = on_cpu();
            (0..ROUNDS).for_each(|round| f(thread, round));
            on_cpu() - start
        };
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    took.iter().sum::<u64>() as f64 / f64::from(threads) / f64::from(ROUNDS)
}

#[test]
#[ignore = "measures processor time and asserts nothing: run it with --release"]
fn what_a_tracked_request_costs() {
    let some = |keys: u32, thread: u32, round: u32| key((round.wrapping_mul(2_654_435_761) ^ (thread * 77_777)) % keys);
    for threads in [1, 2] {
        let table = table(ENTRIES as usize);
        (0..ENTRIES).for_each(|n| drop(table.track(&key(n), 0)));
        for keys in [1, 1000, 10_000, ENTRIES] {
            let request = measure(threads, |thread, round| {
                request(&table, &some(keys, thread, round), u64::from(round) / 4000);
            });
            let look = measure(threads, |thread, round| {
                black_box(table.value(&some(keys, thread, round), Kind::Gpc0, 1000));
            });
            println!("{threads} threads, {keys} keys: a tracked request {request:.0} ns, a look-up {look:.0} ns");
        }
        let full = measure(threads, |thread, round| {
            black_box(table.add(&key(1_000_000 + round * threads + thread), Kind::Gpc0, 1, 1000));
        });
        println!("{threads} threads: a new key in a full table {full:.0} ns");
    }
}
