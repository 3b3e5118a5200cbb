//! Nanoseconds per pick at 10, 1,000 and 10,000 servers, and milliseconds per update at the last.
//!
//! `cargo bench -p evenkeel-balance --bench pick`. Prints, asserts nothing.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use evenkeel_balance::{Balancer, Key, Load, Member};
use evenkeel_config::Balance;

const PICKS: u32 = 300_000;

fn main() {
    println!("{:<14}{:>12}{:>12}{:>12}{:>14}", "algorithm", "10", "1000", "10000", "update ms");
    let algorithms = [
        Balance::RoundRobin,
        Balance::StaticRr,
        Balance::LeastConn,
        Balance::First,
        Balance::Source,
        Balance::Random(2),
    ];
    for algo in algorithms {
        print!("{:<14}", algo.to_string());
        let mut update = 0.0;
        for count in [10, 1_000, 10_000] {
            let (pick, change) = measure(algo, count);
            print!("{pick:>12.1}");
            update = change;
        }
        println!("{update:>14.2}");
    }
}

/// A third of the requests last for `2 * count` picks, so that loads differ and keep changing.
fn measure(algo: Balance, count: usize) -> (f64, f64) {
    let mut members: Vec<Member> = (0..count)
        .map(|n| {
            let weight = 1 + (n % 16) as u16;
            Member { weight, static_weight: weight, usable: true, backup: false }
        })
        .collect();
    let mut balancer = Balancer::new(algo, false, &members, 1);
    let mut inflight = vec![0_u32; count];
    let mut open = vec![usize::MAX; 2 * count];
    let start = Instant::now();
    for n in 0..PICKS {
        let key = Key::Hash(n.wrapping_mul(2_654_435_761));
        let load = |s: usize| Load { inflight: inflight[s], maxconn: 100 };
        let Some(server) = black_box(balancer.pick(key, None, load)) else { continue };
        let at = n as usize % open.len();
        if let Some(ended) = inflight.get_mut(open[at]) {
            *ended -= 1;
        }
        open[at] = usize::MAX;
        if n % 3 == 0 {
            open[at] = server;
            inflight[server] += 1;
        }
    }
    let pick = start.elapsed().as_nanos() as f64 / f64::from(PICKS);
    let start = Instant::now();
    for n in 0..10 {
        members[n % count].usable = !members[n % count].usable;
        balancer.update(black_box(&members));
    }
    (pick, start.elapsed().as_secs_f64() * 100.0)
}
