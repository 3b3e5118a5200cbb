//! Fewest requests in flight per weight (`balance leastconn`), round robin among equals.
//!
//! Up to [`EXACT`] servers every load is looked at. Beyond, a tournament tree orders the loads as last seen, and whoever
//! wins is looked at again before it is taken: loads that other workers raised are found at the top, loads that fell are
//! found by a patrol of a few servers per pick. Invariant: `tree[1]` is the least of `keys`.

use crate::view::{Gate, Load, Roster};

/// Servers up to which each pick looks at all.
const EXACT: usize = 32;
/// Servers the patrol looks at in each pick.
const PATROL: usize = 4;
/// Winners looked at before the best of them is taken.
const TRIES: usize = 16;

/// Load per weight, then the time of the last pick.
type Rank = (u64, u64);

const OUT: Rank = (u64::MAX, u64::MAX);

#[derive(Clone, Debug)]
pub(crate) struct LeastLoaded {
    first: usize,
    /// Picks so far, offset so that servers never picked come first in their order.
    clock: u64,
    /// By member index: when it was last picked.
    picked: Vec<u64>,
    /// By member index: its load when last looked at.
    seen: Vec<u32>,
    /// By position in the roster's list; [`OUT`] = full.
    keys: Vec<Rank>,
    /// Winners of the pairs below, as positions; the leaves are `length..2 * length`.
    tree: Vec<u32>,
    patrol: usize,
}

impl LeastLoaded {
    /// Among equals never picked, the order begins at `first`.
    pub(crate) fn new(first: usize) -> LeastLoaded {
        LeastLoaded {
            first,
            clock: 0,
            picked: Vec::new(),
            seen: Vec::new(),
            keys: Vec::new(),
            tree: Vec::new(),
            patrol: 0,
        }
    }

    pub(crate) fn update(&mut self, roster: &Roster) {
        let count = roster.weights.len();
        for server in self.picked.len()..count {
            self.picked.push(((server + count - self.first.min(count)) % count) as u64);
        }
        self.clock = self.clock.max(count as u64);
        self.picked.truncate(count);
        self.seen.resize(count, 0);
        self.keys.clear();
        self.tree.clear();
        if roster.list.len() > EXACT {
            self.keys.extend(roster.list.iter().map(|s| {
                let server = *s as usize;
                (key(self.seen[server], roster.weight(server)), self.picked[server])
            }));
            self.build();
        }
    }

    pub(crate) fn pick<F: Fn(usize) -> Load>(&mut self, gate: &Gate<F>, roster: &Roster) -> Option<usize> {
        let found =
            if roster.list.len() <= EXACT { self.least_of_all(gate, roster) } else { self.winner(gate, roster) };
        if let Some(server) = found {
            self.picked[server] = self.clock;
            self.clock += 1;
        }
        found
    }

    fn least_of_all<F: Fn(usize) -> Load>(&self, gate: &Gate<F>, roster: &Roster) -> Option<usize> {
        let mut best = None;
        let mut least = OUT;
        for server in roster.list.iter().map(|s| *s as usize).filter(|s| gate.avoid != Some(*s)) {
            let load = (gate.load)(server);
            if load.is_full() {
                continue;
            }
            let rank = (key(load.inflight, roster.weight(server)), self.picked[server]);
            if rank < least {
                (best, least) = (Some(server), rank);
            }
        }
        best
    }

    fn winner<F: Fn(usize) -> Load>(&mut self, gate: &Gate<F>, roster: &Roster) -> Option<usize> {
        for _ in 0..PATROL {
            self.patrol = (self.patrol + 1) % roster.list.len();
            self.look(self.patrol, gate, roster);
        }
        let mut avoided = None;
        let mut best: Option<(Rank, usize)> = None;
        for _ in 0..TRIES {
            let position = self.tree[1] as usize;
            let believed = self.keys[position];
            if believed == OUT {
                break;
            }
            if gate.avoid == Some(roster.list[position] as usize) {
                avoided = Some(position);
                self.set(position, OUT);
                continue;
            }
            let rank = self.look(position, gate, roster);
            if rank != OUT && best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, position));
            }
            // Still the least although it may have been raised: nobody else is known to be below.
            if rank <= believed || self.tree[1] as usize == position {
                break;
            }
        }
        if best.is_none() {
            // As far as known all are full. Only a look at all of them may say so.
            for position in 0..roster.list.len() {
                self.look(position, gate, roster);
            }
            best = self
                .keys
                .iter()
                .enumerate()
                .filter(|(position, rank)| **rank != OUT && gate.avoid != Some(roster.list[*position] as usize))
                .map(|(position, rank)| (*rank, position))
                .min();
        }
        if let Some(position) = avoided {
            self.look(position, gate, roster);
        }
        let (_, position) = best?;
        let server = roster.list[position] as usize;
        // The request this pick is for counts from now on.
        self.seen[server] += 1;
        self.set(position, (key(self.seen[server], roster.weight(server)), self.clock));
        Some(server)
    }

    /// Takes a server's load as it is.
    fn look<F: Fn(usize) -> Load>(&mut self, position: usize, gate: &Gate<F>, roster: &Roster) -> Rank {
        let server = roster.list[position] as usize;
        let load = (gate.load)(server);
        self.seen[server] = load.inflight.min(u32::MAX - 1);
        let rank = if load.is_full() { OUT } else { (key(load.inflight, roster.weight(server)), self.picked[server]) };
        self.set(position, rank);
        rank
    }

    fn build(&mut self) {
        let length = self.keys.len() as u32;
        self.tree.resize(length as usize, 0);
        self.tree.extend(0..length);
        for node in (1..length as usize).rev() {
            self.tree[node] = self.less(node);
        }
    }

    fn set(&mut self, position: usize, rank: Rank) {
        if self.keys[position] == rank {
            return;
        }
        self.keys[position] = rank;
        let mut node = (position + self.keys.len()) / 2;
        while node > 0 {
            self.tree[node] = self.less(node);
            node /= 2;
        }
    }

    fn less(&self, node: usize) -> u32 {
        let (a, b) = (self.tree[2 * node], self.tree[2 * node + 1]);
        if self.keys[a as usize] <= self.keys[b as usize] { a } else { b }
    }
}

/// Requests per weight, this one included. Idle servers are equal whatever their weights, as in HAProxy: else a lone client
/// would only ever meet the heaviest one. With 24 bits after the point two different ratios never become equal.
#[inline]
fn key(inflight: u32, weight: u16) -> u64 {
    if inflight == 0 { 0 } else { ((u64::from(inflight) + 1) << 24) / u64::from(weight.max(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Member;

    fn roster(weights: &[u16]) -> Roster {
        let member = |w: &u16| Member { weight: *w, static_weight: *w, usable: true, backup: false };
        Roster::new(&weights.iter().map(member).collect::<Vec<_>>(), false, false)
    }

    #[test]
    fn keys_order_as_the_ratios_do() {
        for seed in 0..20_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let top = [4, 1000, u32::MAX][rng.usize(..3)];
            let (a, b) = (rng.u32(1..top), rng.u32(1..top));
            let (v, w) = (rng.u16(1..=256), rng.u16(1..=256));
            let exact = ((u64::from(a) + 1) * u64::from(w)).cmp(&((u64::from(b) + 1) * u64::from(v)));
            assert_eq!(key(a, v).cmp(&key(b, w)), exact, "seed {seed}: {a}/{v} and {b}/{w}");
        }
    }

    #[test]
    fn few_servers_are_ranked_exactly() {
        for seed in 0..2000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let count = rng.usize(1..=EXACT);
            let weights: Vec<u16> = (0..count).map(|_| rng.u16(1..=256)).collect();
            let roster = roster(&weights);
            let mut a = LeastLoaded::new(0);
            a.update(&roster);
            for _ in 0..20 {
                let loads: Vec<Load> =
                    (0..count).map(|_| Load { inflight: rng.u32(..30), maxconn: rng.u32(..40) }).collect();
                let avoid = rng.bool().then(|| rng.usize(..count));
                let got = a.pick(&Gate { avoid, load: |s: usize| loads[s] }, &roster);
                let able = |s: &usize| Some(*s) != avoid && !loads[*s].is_full();
                let least = (0..count).filter(able).map(|s| key(loads[s].inflight, weights[s])).min();
                assert_eq!(got.map(|s| key(loads[s].inflight, weights[s])), least, "seed {seed}");
                assert!(got.is_none_or(|s| able(&s)), "seed {seed}");
            }
        }
    }

    /// Equal servers take turns, both in the exact and in the large form.
    #[test]
    fn equals_take_turns() {
        for count in [2, 7, 32, 33, 1000] {
            let roster = roster(&vec![3; count]);
            let first = count / 2;
            let mut a = LeastLoaded::new(first);
            a.update(&roster);
            let idle = |_: usize| Load { inflight: 0, maxconn: 0 };
            // The large form counts its own picks until the patrol finds them ended, so only the order is the same.
            let got: Vec<_> = (0..count).map(|_| a.pick(&Gate { avoid: None, load: idle }, &roster).unwrap()).collect();
            let expected: Vec<_> = (0..count).map(|n| (first + n) % count).collect();
            assert_eq!(got, expected, "{count} servers");
        }
    }

    /// Without other workers and without releases nothing drifts: the large form is exact too.
    #[test]
    fn many_servers_fill_evenly() {
        for seed in 0..3 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let weights: Vec<u16> = (0..1000).map(|_| rng.u16(1..=20)).collect();
            let roster = roster(&weights);
            let mut a = LeastLoaded::new(0);
            a.update(&roster);
            let mut loads = vec![0_u32; 1000];
            for pick in 0..6_000 {
                let load = |s: usize| Load { inflight: loads[s], maxconn: 0 };
                let server = a.pick(&Gate { avoid: None, load }, &roster).unwrap();
                if pick % 7 == 0 {
                    let least = (0..1000).map(|s| key(loads[s], weights[s])).min().unwrap();
                    assert_eq!(key(loads[server], weights[server]), least, "seed {seed} pick {pick}");
                }
                loads[server] += 1;
            }
        }
    }

    /// Four workers that do not see each other's picks, and requests that end at random: nobody gets far above the mean.
    #[test]
    fn drift_is_corrected() {
        for seed in 0..5 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let roster = roster(&vec![1; 1000]);
            let mut workers: Vec<_> = (0..4).map(|w| LeastLoaded::new(w * 250)).collect();
            workers.iter_mut().for_each(|w| w.update(&roster));
            let mut loads = vec![0_u32; 1000];
            let mut open: Vec<usize> = Vec::new();
            let mut worst = 0;
            for step in 0..60_000 {
                let load = |s: usize| Load { inflight: loads[s], maxconn: 0 };
                let server = workers[rng.usize(..4)].pick(&Gate { avoid: None, load }, &roster).unwrap();
                loads[server] += 1;
                open.push(server);
                if open.len() > 10_000 {
                    loads[open.swap_remove(rng.usize(..open.len()))] -= 1;
                }
                if step > 20_000 {
                    worst = worst.max(loads[server]);
                }
            }
            assert!(worst <= 12, "seed {seed}: {worst} on one server, 10 on average");
        }
    }

    #[test]
    fn full_servers_are_found_out_and_found_again() {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let roster = roster(&[1; 100]);
            let mut a = LeastLoaded::new(0);
            a.update(&roster);
            let mut loads = vec![0_u32; 100];
            for _ in 0..2000 {
                let load = |s: usize| Load { inflight: loads[s], maxconn: 2 };
                match a.pick(&Gate { avoid: None, load }, &roster) {
                    Some(server) => {
                        assert!(loads[server] < 2, "seed {seed}");
                        loads[server] += 1;
                    }
                    None => {
                        assert!(loads.iter().all(|l| *l == 2), "seed {seed}");
                        loads[rng.usize(..100)] = rng.u32(..2);
                    }
                }
            }
        }
    }

    #[test]
    fn a_pick_looks_at_few_servers() {
        let roster = roster(&vec![1; 10_000]);
        let mut a = LeastLoaded::new(0);
        a.update(&roster);
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..5000 {
            let looks = std::cell::Cell::new(0);
            let noise = rng.u32(..50);
            let load = |s: usize| {
                looks.set(looks.get() + 1);
                Load { inflight: (s as u32).wrapping_mul(noise) % 50, maxconn: 0 }
            };
            a.pick(&Gate { avoid: None, load }, &roster).unwrap();
            assert!(looks.get() <= PATROL + TRIES + 1, "{} looks", looks.get());
        }
    }
}
