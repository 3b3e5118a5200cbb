//! The map of the static algorithms (`balance source`, `static-rr`): one slot per unit of weight.
//!
//! Filled as HAProxy fills it, so that a client hashed to a server there is hashed to the same one here. Weights are those
//! of the file divided by their common divisor; a server that leaves or returns changes the map, a live weight does not.
//! Filling is O(slots), a pick O(1).

use crate::view::{Gate, Load, Member, Roster};

/// Full servers passed over before the search goes straight through the list.
const PATIENCE: usize = 64;

const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Map {
    slots: Vec<u32>,
    cursor: u64,
}

impl Map {
    /// Round robin begins at slot `seed`, modulo their number.
    pub(crate) fn new(seed: u64) -> Map {
        Map { slots: Vec::new(), cursor: seed }
    }

    pub(crate) fn update(&mut self, roster: &Roster, members: &[Member]) {
        self.slots = match roster.list[..] {
            [only] => vec![only],
            // The divisor is taken over all servers, also those out of play: it is fixed with the file.
            _ => {
                let divisor = members.iter().fold(0, |d, m| gcd(d, m.static_weight)).max(1);
                fill(&roster.list, |server| u64::from(roster.weight(server as usize) / divisor))
            }
        };
    }

    /// The server of a hash; the next other one in the map when that is to be avoided.
    #[inline]
    pub(crate) fn at(&self, hash: u32, avoid: Option<usize>) -> Option<usize> {
        let length = self.slots.len();
        if length == 0 {
            return None;
        }
        let start = hash as usize % length;
        let (before, after) = self.slots.split_at(start);
        after.iter().chain(before).map(|s| *s as usize).find(|s| Some(*s) != avoid)
    }

    /// The next server of the map with a free slot.
    pub(crate) fn next<F: Fn(usize) -> Load>(&mut self, gate: &Gate<F>, roster: &Roster) -> Option<usize> {
        let length = self.slots.len();
        if length == 0 {
            return None;
        }
        for _ in 0..PATIENCE.min(length) {
            let server = self.slots[(self.cursor % length as u64) as usize] as usize;
            self.cursor = self.cursor.wrapping_add(1);
            if gate.admits(server) {
                return Some(server);
            }
        }
        roster.free_from(self.cursor as usize % roster.list.len(), gate)
    }
}

/// Deals `total` slots out to servers in order of declaration.
///
/// The rule: in each slot every server gains its weight, and the slot goes to the server with the most whole totals gained
/// and not yet spent, the earliest of equals, which spends one total. Done literally that is O(slots * servers). The whole
/// totals of a server change in only `weight` slots, known in advance, so a list per slot names the servers that gain one
/// there, and one set per number of unspent totals finds the earliest.
fn fill(servers: &[u32], weight: impl Fn(u32) -> u64) -> Vec<u32> {
    let weights: Vec<u64> = servers.iter().map(|s| weight(*s)).collect();
    let total: u64 = weights.iter().sum();
    // The slot in which a server gains its nth whole total.
    let gains = |at: usize, nth: u64| ((nth * total).div_ceil(weights[at]) - 1) as usize;

    // Until a slot is dealt it holds the head of its list, a position among `servers`; `next` links the rest.
    let mut slots = vec![NONE; total as usize];
    let mut next = vec![NONE; servers.len()];
    let mut gained = vec![0_u64; servers.len()];
    // Unspent totals, -1 to a few: no server below 0 is ever dealt a slot, for all together have gained more than spent.
    let mut unspent = vec![0_i64; servers.len()];
    let mut sets = vec![Set::new(servers.len())];
    for (at, next) in next.iter_mut().enumerate() {
        sets[0].insert(at);
        let slot = gains(at, 1);
        *next = slots[slot];
        slots[slot] = at as u32;
    }
    for slot in 0..slots.len() {
        let mut head = slots[slot];
        while head != NONE {
            let at = head as usize;
            head = next[at];
            move_to(&mut sets, &mut unspent, at, 1);
            gained[at] += 1;
            if gained[at] < weights[at] {
                let slot = gains(at, gained[at] + 1);
                next[at] = slots[slot];
                slots[slot] = at as u32;
            }
        }
        let chosen = sets.iter().rev().find_map(Set::first).expect("some server has an unspent total");
        move_to(&mut sets, &mut unspent, chosen, -1);
        slots[slot] = servers[chosen];
    }
    slots
}

fn move_to(sets: &mut Vec<Set>, unspent: &mut [i64], at: usize, by: i64) {
    if let Ok(level) = usize::try_from(unspent[at]) {
        sets[level].remove(at);
    }
    unspent[at] += by;
    if let Ok(level) = usize::try_from(unspent[at]) {
        if level == sets.len() {
            sets.push(Set::new(unspent.len()));
        }
        sets[level].insert(at);
    }
}

/// A set of small numbers that knows its least one: a bit each, and a bit per word that is not empty.
struct Set {
    words: Vec<u64>,
    summary: Vec<u64>,
}

impl Set {
    fn new(size: usize) -> Set {
        let words = size.div_ceil(64);
        Set { words: vec![0; words], summary: vec![0; words.div_ceil(64)] }
    }

    fn insert(&mut self, n: usize) {
        self.words[n / 64] |= 1 << (n % 64);
        self.summary[n / 4096] |= 1 << (n / 64 % 64);
    }

    fn remove(&mut self, n: usize) {
        self.words[n / 64] &= !(1 << (n % 64));
        if self.words[n / 64] == 0 {
            self.summary[n / 4096] &= !(1 << (n / 64 % 64));
        }
    }

    fn first(&self) -> Option<usize> {
        let high = self.summary.iter().position(|w| *w != 0)?;
        let word = high * 64 + self.summary[high].trailing_zeros() as usize;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule of [`fill`], literally.
    fn literal(weights: &[u64]) -> Vec<u32> {
        let total: u64 = weights.iter().sum();
        let mut score = vec![0_i64; weights.len()];
        (0..total)
            .map(|_| {
                score.iter_mut().zip(weights).for_each(|(s, w)| *s += *w as i64);
                let whole = |at: &usize| score[*at].div_euclid(total as i64);
                let best = (0..weights.len()).max_by_key(|at| (whole(at), std::cmp::Reverse(*at))).unwrap();
                score[best] -= total as i64;
                best as u32
            })
            .collect()
    }

    #[test]
    fn the_fast_fill_is_the_literal_one() {
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let count = rng.usize(2..90);
            let top = [1, 2, 7, 256][rng.usize(..4)];
            let weights: Vec<u64> = (0..count).map(|_| rng.u64(1..=top)).collect();
            let servers: Vec<u32> = (0..count as u32).collect();
            let got = fill(&servers, |s| weights[s as usize]);
            assert_eq!(got, literal(&weights), "seed {seed}: {weights:?}");
            assert_eq!(got[0], 0, "the first server comes first");
        }
    }

    #[test]
    fn set_finds_the_least() {
        let mut set = Set::new(10_000);
        assert_eq!(set.first(), None);
        for n in [9_999, 4_096, 4_095, 64, 63] {
            set.insert(n);
            assert_eq!(set.first(), Some(n));
        }
        for n in [63, 64, 4_095, 4_096] {
            set.remove(n);
        }
        assert_eq!(set.first(), Some(9_999));
    }
}
