//! The least loaded of a few random draws (`balance random`), each server drawn in proportion to its weight.
//!
//! Needs no knowledge of what other workers do, and costs O(draws * log n) whatever the loads.

use crate::view::{Gate, Load, Roster};

/// Most draws per pick; more would look at every server of a usual backend.
const DRAWS_MAX: u32 = 64;
/// Attempts to draw a server other than the best so far.
const REDRAWS: usize = 3;

#[derive(Clone, Debug)]
pub(crate) struct Draws {
    draws: u32,
    rng: fastrand::Rng,
    /// Running sums of the weights, by position in the roster's list.
    sums: Vec<u64>,
}

impl Draws {
    pub(crate) fn new(draws: u32, seed: u64) -> Draws {
        Draws { draws: draws.clamp(1, DRAWS_MAX), rng: fastrand::Rng::with_seed(seed), sums: Vec::new() }
    }

    pub(crate) fn update(&mut self, roster: &Roster) {
        let mut sum = 0;
        self.sums.clear();
        self.sums.extend(roster.list.iter().map(|s| {
            sum += u64::from(roster.weight(*s as usize));
            sum
        }));
    }

    pub(crate) fn pick<F: Fn(usize) -> Load>(&mut self, gate: &Gate<F>, roster: &Roster) -> Option<usize> {
        let mut best: Option<(usize, u64)> = None;
        for _ in 0..self.draws {
            let mut server = self.draw(roster)?;
            for _ in 0..REDRAWS {
                if best.is_none_or(|(s, _)| s != server) {
                    break;
                }
                server = self.draw(roster)?;
            }
            let load = (gate.load)(server);
            if load.is_full() || gate.avoid == Some(server) {
                continue;
            }
            let inflight = u64::from(load.inflight);
            // Loads are compared per weight; of equals the first drawn stays, which keeps the shares of idle servers exact.
            let better = best.is_none_or(|(other, load)| {
                inflight * u64::from(roster.weight(other)) < load * u64::from(roster.weight(server))
            });
            if better {
                best = Some((server, inflight));
            }
        }
        if let Some((server, _)) = best {
            return Some(server);
        }
        let from = self.rng.usize(..roster.list.len());
        roster.free_from(from, gate)
    }

    fn draw(&mut self, roster: &Roster) -> Option<usize> {
        let ticket = self.rng.u64(..*self.sums.last()?);
        Some(roster.list[self.sums.partition_point(|sum| *sum <= ticket)] as usize)
    }
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
    fn idle_servers_share_by_weight() {
        for seed in 0..10 {
            let weights = [1, 2, 3, 0, 4];
            let roster = roster(&weights);
            let mut a = Draws::new(2, seed);
            a.update(&roster);
            let mut had = [0_i32; 5];
            for _ in 0..10_000 {
                let idle = |_: usize| Load { inflight: 0, maxconn: 0 };
                had[a.pick(&Gate { avoid: None, load: idle }, &roster).unwrap()] += 1;
            }
            for (had, weight) in had.iter().zip(weights) {
                // Four standard deviations of a binomial are below 200 here.
                assert!((had - i32::from(weight) * 1000).abs() < 250, "seed {seed}: {had} for {weight}");
            }
        }
    }

    /// Two choices keep the worst queue near the mean, where one choice lets it grow.
    #[test]
    fn two_draws_even_out() {
        for seed in 0..10 {
            let worst = |draws| {
                let roster = roster(&[1; 100]);
                let mut a = Draws::new(draws, seed);
                a.update(&roster);
                let mut loads = [0_u32; 100];
                for _ in 0..10_000 {
                    let load = |s: usize| Load { inflight: loads[s], maxconn: 0 };
                    loads[a.pick(&Gate { avoid: None, load }, &roster).unwrap()] += 1;
                }
                loads.into_iter().max().unwrap()
            };
            assert!(worst(2) <= 105, "seed {seed}");
            assert!(worst(1) > 110, "seed {seed}");
        }
    }

    #[test]
    fn draws_of_two_servers_find_the_less_loaded() {
        let roster = roster(&[1, 1]);
        let mut a = Draws::new(u32::MAX, 1);
        a.update(&roster);
        for _ in 0..1000 {
            let load = |s: usize| Load { inflight: s as u32, maxconn: 0 };
            assert_eq!(a.pick(&Gate { avoid: None, load }, &roster), Some(0));
        }
    }
}
