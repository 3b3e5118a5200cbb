//! Smooth weighted round robin with dynamic weights (`balance roundrobin`).
//!
//! Time is counted in slots, one per pick. A server of weight `w` among a total of `W` is owed one turn in each window of
//! `W / w` slots; a turn may not come before its window opens, and among open windows the one that closes first is taken.
//! On integer slots that order misses no window, so at any moment a server is less than one turn away from its exact
//! share, and after `W` picks it has had `w`. Two heaps make a pick O(log n); an update keeps what each server is owed.
//! Invariant: each server in play has exactly one valid entry in the heaps between two picks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::view::{Gate, Load, Roster};

/// One turn, in the fixed-point unit of positions. With 24 bits a turn is exact to 1/16,777,216, and
/// `position * total` stays below 2^63 for up to 8 million servers of the highest weight.
const TURN: i64 = 1 << 24;

/// Full servers passed over in one pick before the search goes straight through the list.
const PATIENCE: usize = 32;

#[derive(Clone, Debug)]
pub(crate) struct Deadlines {
    first: usize,
    /// The slot of the next pick.
    now: i64,
    /// Sum of the weights in play.
    total: i64,
    /// By member index; weight 0 = not in play.
    tracks: Vec<Track>,
    /// Turns whose window has not opened, by its opening.
    pending: BinaryHeap<Reverse<Entry>>,
    /// Turns whose window is open, by its closing.
    ready: BinaryHeap<Reverse<Entry>>,
    /// Servers met in the current pick that could not be taken.
    aside: Vec<u32>,
}

/// Where a server is in its sequence of turns.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    weight: i64,
    /// The slot at which its current round of `weight` turns began.
    base: i64,
    /// Turns had in this round, in units of [`TURN`]: 0 to `weight` exclusive.
    position: i64,
    /// Which turn is next; an entry of another one is void.
    turn: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: i64,
    rank: u32,
    server: u32,
    turn: u32,
}

impl Track {
    fn opens(&self, total: i64) -> i64 {
        self.base + self.position * total / (self.weight * TURN)
    }

    fn closes(&self, total: i64) -> i64 {
        let round = self.weight * TURN;
        self.base + ((self.position + TURN) * total + round - 1) / round
    }

    /// Turns had beyond its share at `now`, in units of [`TURN`]; negative when it is owed some.
    fn ahead(&self, now: i64, total: i64) -> i64 {
        let share = i128::from(now - self.base) * i128::from(self.weight * TURN) / i128::from(total);
        (i128::from(self.position) - share) as i64
    }

    fn advance(&mut self, turns: i64, total: i64) {
        let round = self.weight * TURN;
        self.position += turns * TURN;
        self.base += self.position.div_euclid(round) * total;
        self.position = self.position.rem_euclid(round);
        self.turn = self.turn.wrapping_add(1);
    }
}

impl Deadlines {
    /// Ties go to the earlier server, counted from `first`.
    pub(crate) fn new(first: usize) -> Deadlines {
        Deadlines {
            first,
            now: 0,
            total: 0,
            tracks: Vec::new(),
            pending: BinaryHeap::new(),
            ready: BinaryHeap::new(),
            aside: Vec::new(),
        }
    }

    /// Starts a new count of slots in which every server keeps what it is owed, or has had too much, up to one turn.
    pub(crate) fn update(&mut self, roster: &Roster) {
        self.tracks.resize(roster.weights.len(), Track::default());
        let total: i64 = roster.weights.iter().map(|w| i64::from(*w)).sum();
        let mut sum = 0;
        for (track, weight) in self.tracks.iter_mut().zip(&roster.weights) {
            // Who joins has had its share: a server that was away is not paid back in a burst.
            let ahead = if track.weight == 0 || *weight == 0 { 0 } else { track.ahead(self.now, self.total) };
            track.position = ahead.clamp(-TURN, TURN);
            track.weight = i64::from(*weight);
            sum += i128::from(track.position);
        }
        for track in self.tracks.iter_mut().filter(|t| t.weight > 0) {
            // What leavers took with them is spread, so that what is owed sums up to what there is. Rounded up: with a
            // sum below 0 more turns would fall due than there are slots.
            track.position -= (sum * i128::from(track.weight)).div_euclid(i128::from(total)) as i64;
            track.base = 0;
            track.advance(0, total);
        }
        (self.now, self.total) = (0, total);
        self.reenter(roster);
    }

    pub(crate) fn pick<F: Fn(usize) -> Load>(&mut self, gate: &Gate<F>, roster: &Roster) -> Option<usize> {
        let found = loop {
            self.open();
            let Some(Reverse(entry)) = self.ready.pop() else {
                // The slots until the next window belong to servers that are full: they are skipped.
                match self.pending.pop() {
                    None => break None,
                    Some(Reverse(entry)) if self.is_void(&entry) => {}
                    Some(Reverse(entry)) => {
                        self.now = self.now.max(entry.at);
                        self.make_ready(entry);
                    }
                }
                continue;
            };
            if self.is_void(&entry) {
                continue;
            }
            if gate.admits(entry.server as usize) {
                break Some(entry.server as usize);
            }
            self.aside.push(entry.server);
            if self.aside.len() == PATIENCE {
                break roster.free_from(self.now as usize % roster.list.len(), gate);
            }
        };
        if let Some(server) = found {
            self.now += 1;
            self.tracks[server].advance(1, self.total);
            self.enter(server);
        }
        while let Some(server) = self.aside.pop().map(|s| s as usize) {
            // Another worker may have freed a slot between two looks.
            if found != Some(server) {
                self.pass_over(server, gate.avoid == Some(server));
            }
        }
        if self.ready.len() + self.pending.len() > 2 * roster.list.len() + 64 {
            self.reenter(roster);
        }
        found
    }

    /// A full server loses the turns whose windows went by, so that it does not collect them; an avoided one keeps them.
    fn pass_over(&mut self, server: usize, keep: bool) {
        let track = &mut self.tracks[server];
        if !keep {
            let owed = -track.ahead(self.now, self.total);
            let turns = (owed + TURN - 1).div_euclid(TURN).max(1);
            track.advance(turns, self.total);
        }
        self.enter(server);
    }

    /// Moves the turns whose windows have opened.
    fn open(&mut self) {
        while let Some(Reverse(entry)) = self.pending.peek().copied()
            && entry.at <= self.now
        {
            self.pending.pop();
            self.make_ready(entry);
        }
    }

    fn make_ready(&mut self, entry: Entry) {
        let at = self.tracks[entry.server as usize].closes(self.total);
        if !self.is_void(&entry) {
            self.ready.push(Reverse(Entry { at, ..entry }));
        }
    }

    fn is_void(&self, entry: &Entry) -> bool {
        let track = &self.tracks[entry.server as usize];
        track.turn != entry.turn || track.weight == 0
    }

    fn enter(&mut self, server: usize) {
        let track = &self.tracks[server];
        let count = self.tracks.len();
        let rank = (server + count - self.first.min(count)) % count;
        let at = track.opens(self.total);
        self.pending.push(Reverse(Entry { at, rank: rank as u32, server: server as u32, turn: track.turn }));
    }

    fn reenter(&mut self, roster: &Roster) {
        self.pending.clear();
        self.ready.clear();
        for server in &roster.list {
            self.enter(*server as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Member;

    fn roster(weights: &[u16]) -> Roster {
        let member = |w: &u16| Member { weight: *w, static_weight: *w, usable: *w > 0, backup: false };
        Roster::new(&weights.iter().map(member).collect::<Vec<_>>(), false, false)
    }

    fn free(_: usize) -> Load {
        Load { inflight: 0, maxconn: 0 }
    }

    fn weights(rng: &mut fastrand::Rng, count: usize) -> Vec<u16> {
        let top = [1, 3, 10, 256][rng.usize(..4)];
        (0..count).map(|_| rng.u16(0..=top)).collect()
    }

    /// Exact shares after every round, and never a turn away from them in between: no bursts, whatever the weights.
    #[test]
    fn shares_are_exact_and_smooth() {
        for seed in 0..80 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let count = rng.usize(1..40);
            let weights = weights(&mut rng, count);
            let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
            let roster = roster(&weights);
            let mut a = Deadlines::new(rng.usize(..weights.len()));
            a.update(&roster);
            let gate = Gate { avoid: None, load: free };
            let mut had = vec![0_u64; weights.len()];
            for pick in 1..=3 * total {
                had[a.pick(&gate, &roster).unwrap()] += 1;
                for (had, weight) in had.iter().zip(&weights) {
                    let (had, due) = (had * total, pick * u64::from(*weight));
                    assert!(had.abs_diff(due) < total, "seed {seed} pick {pick}: {had} for {due}");
                }
            }
            for (had, weight) in had.iter().zip(&weights) {
                assert_eq!(*had, 3 * u64::from(*weight), "seed {seed}");
            }
        }
    }

    /// Nobody gains or loses by changes: over each stretch between two updates a server stays within two turns of its share.
    #[test]
    fn updates_keep_what_is_owed() {
        for seed in 0..80 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let count = rng.usize(2..30);
            let mut a = Deadlines::new(0);
            let gate = Gate { avoid: None, load: free };
            for round in 0..20 {
                let mut weights = weights(&mut rng, count);
                weights[0] = 5;
                let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
                let roster = roster(&weights);
                a.update(&roster);
                // What is owed sums up to what there is, but for rounding: else windows would be missed, or slots be empty.
                let sum: i64 = a.tracks.iter().filter(|t| t.weight > 0).map(|t| t.ahead(a.now, a.total)).sum();
                assert!((0..=count as i64).contains(&sum), "seed {seed} round {round}: {sum}");
                let mut had = vec![0_u64; count];
                let picks = rng.u64(1..=2 * total);
                for _ in 0..picks {
                    had[a.pick(&gate, &roster).unwrap()] += 1;
                }
                for (server, weight) in weights.iter().enumerate() {
                    let (had, due) = (had[server] * total, picks * u64::from(*weight));
                    assert!(
                        had.abs_diff(due) < 3 * total,
                        "seed {seed} round {round} server {server}: {had} for {due} of {total}"
                    );
                    assert!(*weight > 0 || had == 0, "seed {seed}");
                }
            }
        }
    }

    /// Frequent changes must not send everything to the first servers, as a start from zero at each change would.
    #[test]
    fn a_change_at_every_pick_still_shares() {
        let mut a = Deadlines::new(0);
        let gate = Gate { avoid: None, load: free };
        let mut had = [0; 10];
        for pick in 0..1000 {
            let mut weights = [10; 10];
            weights[9] = 10 + (pick % 2) as u16;
            let roster = roster(&weights);
            a.update(&roster);
            had[a.pick(&gate, &roster).unwrap()] += 1;
        }
        assert!(had.iter().all(|h| (95..=110).contains(h)), "{had:?}");
    }

    /// A full server loses its turns to all others alike, and gets no burst afterwards.
    #[test]
    fn full_servers_are_passed_over_without_debt() {
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let count = rng.usize(3..80);
            let weights: Vec<u16> = (0..count).map(|_| rng.u16(1..20)).collect();
            let roster = roster(&weights);
            let mut a = Deadlines::new(0);
            a.update(&roster);
            let full: Vec<bool> = (0..count).map(|_| rng.u8(..3) == 0).collect();
            let load = |s: usize| Load { inflight: u32::from(full[s]), maxconn: 1 };
            for _ in 0..500 {
                match a.pick(&Gate { avoid: None, load }, &roster) {
                    Some(server) => assert!(!full[server], "seed {seed}"),
                    None => assert!(full.iter().all(|f| *f), "seed {seed}"),
                }
            }
            let total: i64 = weights.iter().map(|w| i64::from(*w)).sum();
            let mut had = vec![0_i64; count];
            for _ in 0..total {
                had[a.pick(&Gate { avoid: None, load: free }, &roster).unwrap()] += 1;
            }
            for (had, weight) in had.iter().zip(&weights) {
                assert!((had - i64::from(*weight)).abs() <= 4, "seed {seed}: {had} for {weight}");
            }
        }
    }

    #[test]
    fn a_pick_touches_few_entries() {
        let roster = roster(&vec![1; 10_000]);
        let mut a = Deadlines::new(0);
        a.update(&roster);
        let looks = std::cell::Cell::new(0);
        let load = |_| {
            looks.set(looks.get() + 1);
            Load { inflight: 0, maxconn: 0 }
        };
        for pick in 0..30_000 {
            assert_eq!(a.pick(&Gate { avoid: None, load }, &roster), Some(pick % 10_000));
        }
        assert_eq!(looks.get(), 30_000);
        assert!(a.ready.len() + a.pending.len() == 10_000);
    }
}
