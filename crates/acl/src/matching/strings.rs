//! Sets of strings: is one of them the whole, the beginning or the end of the input?
//!
//! Called by the match kinds str, beg, end, dir and dom. A few strings are compared one by one; many are hashed, with a
//! hash that grows byte by byte, so that one walk over the input tries every length there is: the cost is the length of
//! the input and not the number of strings. Never allocates on look-up.

/// From which side strings are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    End,
}

/// Up to this many strings are compared one by one.
const FEW: usize = 8;
const EMPTY: u32 = u32::MAX;

/// A set of strings, looked up from one side.
#[derive(Clone, Debug)]
pub(crate) struct Strings {
    anchor: Anchor,
    /// Case ignored; the items are lower case then.
    fold: bool,
    items: Vec<Box<[u8]>>,
    /// The distinct lengths of the items, rising.
    lengths: Vec<usize>,
    /// Open addressing over indices into `items`, at most half full; empty for few items.
    slots: Vec<u32>,
}

impl Strings {
    pub(crate) fn new(anchor: Anchor, fold: bool, items: impl IntoIterator<Item = Vec<u8>>) -> Strings {
        let mut items: Vec<Box<[u8]>> = items
            .into_iter()
            .map(|mut item| {
                if fold {
                    item.make_ascii_lowercase();
                }
                item.into_boxed_slice()
            })
            .collect();
        items.sort_unstable();
        items.dedup();
        let mut lengths: Vec<usize> = items.iter().map(|item| item.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut set = Strings { anchor, fold, items, lengths, slots: Vec::new() };
        if set.items.len() > FEW {
            set.index();
        }
        set
    }

    /// Whether the whole input is in the set.
    pub(crate) fn contains(&self, input: &[u8]) -> bool {
        if self.slots.is_empty() {
            return self.items.iter().any(|item| item.len() == input.len() && self.same(item, input));
        }
        self.lengths.binary_search(&input.len()).is_ok() && self.lookup(self.hash(input), input)
    }

    /// Whether the input begins (or ends, by the anchor) with a string of the set for whose length `accept` holds.
    pub(crate) fn matches(&self, input: &[u8], accept: impl Fn(usize) -> bool) -> bool {
        if self.slots.is_empty() {
            return self.items.iter().any(|item| {
                item.len() <= input.len() && self.same(item, self.cut(input, item.len())) && accept(item.len())
            });
        }
        let mut hash = SEED;
        let mut hashed = 0;
        for &length in self.lengths.iter().take_while(|&&length| length <= input.len()) {
            while hashed < length {
                let byte = match self.anchor {
                    Anchor::Start => input[hashed],
                    Anchor::End => input[input.len() - 1 - hashed],
                };
                hash = grow(hash, self.folded(byte));
                hashed += 1;
            }
            if self.lookup(hash, self.cut(input, length)) && accept(length) {
                return true;
            }
        }
        false
    }

    fn index(&mut self) {
        // A rule line has far fewer words than u32 has values.
        let size = (self.items.len() * 2).next_power_of_two();
        self.slots = vec![EMPTY; size];
        for (index, item) in self.items.iter().enumerate() {
            let mut slot = self.slot(self.hash(item));
            while self.slots[slot] != EMPTY {
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = index as u32;
        }
    }

    fn lookup(&self, hash: u64, input: &[u8]) -> bool {
        let mut slot = self.slot(hash);
        while self.slots[slot] != EMPTY {
            let item = &self.items[self.slots[slot] as usize];
            if item.len() == input.len() && self.same(item, input) {
                return true;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        false
    }

    fn slot(&self, hash: u64) -> usize {
        // The high bits of a multiplicative hash are the good ones.
        ((hash ^ (hash >> 32)) as usize) & (self.slots.len() - 1)
    }

    fn hash(&self, text: &[u8]) -> u64 {
        let grow = |hash, &byte| grow(hash, self.folded(byte));
        match self.anchor {
            Anchor::Start => text.iter().fold(SEED, grow),
            Anchor::End => text.iter().rev().fold(SEED, grow),
        }
    }

    fn cut<'i>(&self, input: &'i [u8], length: usize) -> &'i [u8] {
        match self.anchor {
            Anchor::Start => &input[..length],
            Anchor::End => &input[input.len() - length..],
        }
    }

    fn same(&self, item: &[u8], input: &[u8]) -> bool {
        if self.fold { item.eq_ignore_ascii_case(input) } else { item == input }
    }

    fn folded(&self, byte: u8) -> u8 {
        if self.fold { byte.to_ascii_lowercase() } else { byte }
    }
}

// FNV-1a. The strings come from the configuration, so nobody can aim collisions at the table.
const SEED: u64 = 0xcbf2_9ce4_8422_2325;

fn grow(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Rng;

    /// The set answers as a plain scan does, for few and many strings, both sides, with and without case.
    #[test]
    fn agrees_with_a_scan() {
        let seed = 0x5eed_0001;
        let mut rng = Rng::new(seed);
        for round in 0..300 {
            let n = rng.below(40) as usize;
            let items: Vec<Vec<u8>> = (0..n).map(|_| rng.letters(5)).collect();
            let fold = rng.below(2) == 0;
            let lower = |text: &[u8]| if fold { text.to_ascii_lowercase() } else { text.to_vec() };
            let start = Strings::new(Anchor::Start, fold, items.clone());
            let end = Strings::new(Anchor::End, fold, items.clone());
            for _ in 0..40 {
                let input = rng.letters(8);
                let any = |test: &dyn Fn(&[u8], &[u8]) -> bool| items.iter().any(|i| test(&lower(&input), &lower(i)));
                let at = format!("seed {seed:#x} round {round} input {input:?}");
                assert_eq!(start.contains(&input), any(&|input, item| input == item), "{at}");
                assert_eq!(end.contains(&input), any(&|input, item| input == item), "{at}");
                assert_eq!(start.matches(&input, |_| true), any(&|input, item| input.starts_with(item)), "{at}");
                assert_eq!(end.matches(&input, |_| true), any(&|input, item| input.ends_with(item)), "{at}");
                let odd = |input: &[u8], item: &[u8]| input.starts_with(item) && item.len() % 2 == 1;
                assert_eq!(start.matches(&input, |length| length % 2 == 1), any(&odd), "{at}");
            }
        }
    }
}
