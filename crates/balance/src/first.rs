//! The first server with a free slot (`balance first`): as few servers as possible are busy.
//!
//! Up to [`EXACT`] servers every pick begins at the first. Beyond, a pick begins where the last one found all before full;
//! a patrol of a few servers per pick finds slots that became free before that, so such a slot is used within
//! `servers / PATROL` picks. Weights do not matter, but for 0.

use crate::view::{Gate, Load, Roster};

/// Servers up to which each pick begins at the first.
const EXACT: usize = 64;
/// Servers before the front that each pick looks at.
const PATROL: usize = 8;

#[derive(Clone, Debug, Default)]
pub(crate) struct First {
    /// All positions before this one were full when last looked at.
    front: usize,
    /// A position before the front that has a free slot as far as known.
    freed: Option<usize>,
    patrol: usize,
}

impl First {
    pub(crate) fn update(&mut self, _: &Roster) {
        *self = First::default();
    }

    pub(crate) fn pick<F: Fn(usize) -> Load>(&mut self, gate: &Gate<F>, roster: &Roster) -> Option<usize> {
        let list = &roster.list;
        if list.len() <= EXACT {
            return roster.free_from(0, gate);
        }
        let server = |position: usize| list[position] as usize;
        let has_room = |position: usize| !(gate.load)(server(position)).is_full();
        for _ in 0..PATROL.min(self.front) {
            self.patrol = (self.patrol + 1) % self.front;
            if has_room(self.patrol) {
                self.freed = Some(self.freed.map_or(self.patrol, |f| f.min(self.patrol)));
            }
        }
        if let Some(position) = self.freed {
            if !has_room(position) {
                self.freed = None;
            } else if gate.admits(server(position)) {
                return Some(server(position));
            }
        }
        while self.front < list.len() && !has_room(self.front) {
            self.front += 1;
        }
        if self.front == list.len() {
            // Only a look at all may say that all are full.
            self.front = (0..list.len()).find(|p| has_room(*p)).unwrap_or(0);
            self.freed = None;
        }
        let (before, after) = list.split_at(self.front);
        after.iter().chain(before).map(|s| *s as usize).find(|s| gate.admits(*s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Member;

    fn roster(count: usize) -> Roster {
        Roster::new(&vec![Member { weight: 1, static_weight: 1, usable: true, backup: false }; count], false, false)
    }

    #[test]
    fn few_servers_fill_in_order() {
        for seed in 0..500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let roster = roster(rng.usize(1..=EXACT));
            let mut a = First::default();
            for _ in 0..20 {
                let loads: Vec<u32> = roster.list.iter().map(|_| rng.u32(..3)).collect();
                let avoid = Some(rng.usize(..roster.list.len()));
                let got = a.pick(&Gate { avoid, load: |s: usize| Load { inflight: loads[s], maxconn: 2 } }, &roster);
                assert_eq!(got, (0..loads.len()).find(|s| loads[*s] < 2 && Some(*s) != avoid), "seed {seed}");
            }
        }
    }

    #[test]
    fn many_servers_fill_in_order_and_freed_slots_are_found() {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let roster = roster(1000);
            let mut a = First::default();
            let mut loads = vec![0_u32; 1000];
            let looks = std::cell::Cell::new(0);
            let mut pick = |loads: &[u32]| {
                let load = |s: usize| {
                    looks.set(looks.get() + 1);
                    Load { inflight: loads[s], maxconn: 3 }
                };
                a.pick(&Gate { avoid: None, load }, &roster)
            };
            for n in 0..2100 {
                let server = pick(&loads).unwrap();
                assert_eq!(server, n / 3, "seed {seed}");
                loads[server] += 1;
            }
            let freed = rng.usize(..700);
            loads[freed] -= 1;
            let found = (0..=1000 / PATROL).any(|_| {
                let server = pick(&loads).unwrap();
                loads[server] += 1;
                server == freed
            });
            assert!(found, "seed {seed}: {freed}");
            assert!(looks.get() < 2300 * (PATROL + 4), "seed {seed}: {} looks", looks.get());
            let free: u32 = loads.iter().map(|l| 3 - l).sum();
            for _ in 0..free {
                let server = pick(&loads).unwrap();
                assert!(loads[server] < 3, "seed {seed}");
                loads[server] += 1;
            }
            assert_eq!(pick(&loads), None, "seed {seed}");
            loads[freed] -= 1;
            assert_eq!(pick(&loads), Some(freed), "seed {seed}");
        }
    }
}
