//! What a look-up costs, by kind and number of patterns: a report, run by hand.
//!
//! `cargo test --release -p evenkeel-acl --lib -- --ignored --nocapture pattern::cost`
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use super::load::{self, Shape};
use super::{Kind, Store, View};
use crate::sample::Sample;

const LOOK_UPS: usize = 200_000;

fn key(kind: Kind, n: usize) -> String {
    // Spread over the alphabet, as names are.
    let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    match kind {
        Kind::Ip => format!("10.{}.{}.{}/32", n >> 16 & 255, n >> 8 & 255, n & 255),
        Kind::Int => format!("{}", n * 3),
        Kind::Beg => format!("/{mixed:x}/v{}/", n % 7),
        Kind::End => format!(".{mixed:x}.example"),
        Kind::Dom | Kind::Dir => format!("{mixed:x}"),
        _ => format!("www.{mixed:x}.example.com"),
    }
}

/// An input that holds pattern `n`, or one that holds none.
fn input(kind: Kind, n: usize, hit: bool) -> String {
    let key = key(kind, n);
    match kind {
        Kind::Ip if hit => key.trim_end_matches("/32").to_owned(),
        Kind::Ip => format!("11.{}.0.1", n & 255),
        Kind::Int => (n * 3 + usize::from(!hit)).to_string(),
        Kind::Str => format!("{key}{}", if hit { "" } else { "x" }),
        Kind::Beg => format!("{}{key}users/profile?id=7", if hit { "" } else { "/x" }),
        Kind::End => format!("www.customer{key}{}", if hit { "" } else { "x" }),
        Kind::Dom => format!("www.{key}{}.example.com", if hit { "" } else { "x" }),
        _ => format!("Mozilla/5.0 (X11; Linux x86_64) {} Gecko/20100101", if hit { &key } else { "www.none.example" }),
    }
}

fn per_look_up(view: &View, inputs: &[String], hits: usize) -> f64 {
    let ips: Vec<Sample<'_>> = inputs
        .iter()
        .map(|input| match (view.kind(), input.parse()) {
            (Kind::Ip, Ok(ip)) => Sample::Ip(ip),
            (Kind::Int, _) => Sample::Int(input.parse().unwrap()),
            _ => Sample::Str(input.as_bytes()),
        })
        .collect();
    let start = Instant::now();
    let mut found = 0;
    for n in 0..LOOK_UPS {
        found += usize::from(view.find(black_box(&ips[n % ips.len()]), |found| found.value.len()).is_some());
    }
    let spent = start.elapsed();
    assert_eq!(found, hits);
    spent.as_nanos() as f64 / LOOK_UPS as f64
}

#[test]
#[ignore = "measures the cost of look-ups, which a debug build distorts: run it with --release"]
fn report() {
    println!(
        "{:>4} {:>7} {:>9} {:>8} {:>8} {:>8} {:>8}",
        "kind", "n", "build ms", "hit ns", "-i ns", "miss ns", "edited"
    );
    for kind in [Kind::Str, Kind::Beg, Kind::End, Kind::Sub, Kind::Ip, Kind::Dom, Kind::Int] {
        for n in [100, 10_000, 100_000] {
            let text: String = (0..n).map(|n| format!("{} value{n}\n", key(kind, n))).collect();
            let store = Store::new("m", Shape::Pairs, load::parse(text.as_bytes(), Shape::Pairs).unwrap());
            let start = Instant::now();
            let view = store.view(kind, false).unwrap();
            let built = start.elapsed().as_secs_f64() * 1e3;
            let folded = store.view(kind, true).unwrap();
            let inputs = |hit| (0..10_000).map(|at| input(kind, at * 7919 % n, hit)).collect::<Vec<_>>();
            let (hits, misses) = (inputs(true), inputs(false));
            let hit = per_look_up(&view, &hits, LOOK_UPS);
            let fold = per_look_up(&folded, &hits, LOOK_UPS);
            let miss = per_look_up(&view, &misses, 0);
            for n in 0..100 {
                store.add(key(kind, 10_000_000 + n).as_bytes(), b"added").unwrap();
            }
            let edited = per_look_up(&view, &hits, LOOK_UPS);
            println!("{:>4} {n:>7} {built:>9.2} {hit:>8.0} {fold:>8.0} {miss:>8.0} {edited:>8.0}", kind.name());
        }
    }
    let store = Store::new("m", Shape::Pairs, load::parse(b"", Shape::Pairs).unwrap());
    let _view = store.view(Kind::Str, false).unwrap();
    let start = Instant::now();
    let mut longest = std::time::Duration::ZERO;
    for n in 0..100_000 {
        let one = Instant::now();
        store.put(key(Kind::Str, n).as_bytes(), b"v").unwrap();
        longest = longest.max(one.elapsed());
    }
    let each = start.elapsed().as_nanos() / 100_000;
    println!("100000 put into an empty map of str: {each} ns each, the longest {longest:?}");
    for kind in [Kind::Sub, Kind::Str, Kind::Ip] {
        let text: String = (0..100_000).map(|n| format!("{} value{n}\n", key(kind, n))).collect();
        let store = Store::new("m", Shape::Pairs, load::parse(text.as_bytes(), Shape::Pairs).unwrap());
        let _view = store.view(kind, false).unwrap();
        let first = Instant::now();
        store.add(key(kind, 1_000_000).as_bytes(), b"v").unwrap();
        let first = first.elapsed();
        let (mut longest, mut edits) = (std::time::Duration::ZERO, 0);
        // Until the overlay, which is a quarter of the base by then, is merged.
        while edits < 26_100 || store.is_merging() {
            edits += 1;
            let one = Instant::now();
            store.add(key(kind, 1_000_000 + edits).as_bytes(), b"v").unwrap();
            longest = longest.max(one.elapsed());
        }
        println!("{:>4} 100000 patterns, {edits} edits: the first {first:?}, the longest {longest:?}", kind.name());
    }
}
