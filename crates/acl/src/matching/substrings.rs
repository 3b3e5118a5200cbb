//! Substrings: one search for any number of them.
//!
//! Called by the index of the kind sub. Never allocates while searching.

use aho_corasick::AhoCorasick;
use aho_corasick::packed::{self, MatchKind, Searcher};
use memchr::memmem::Finder;

use crate::pattern::entries::Entries;

/// Up to this many strings without case are searched all at once in inputs of up to [`SHORT`] bytes: the automaton takes
/// one byte at a time, and cannot skip where case is ignored.
const FEW: usize = 16;
const SHORT: usize = 256;

/// An index over the keys of some [`Entries`].
#[derive(Clone, Debug)]
pub(crate) enum Substrings {
    None,
    /// One string, case kept.
    One(Box<Finder<'static>>),
    /// One automaton over all of them; a pattern has the number of its entry.
    Many(AhoCorasick),
    /// A few in lower case, for inputs in lower case, and the automaton for long ones.
    Few(Box<Searcher>, AhoCorasick),
}

impl Substrings {
    /// The error is a sentence.
    pub(crate) fn new(fold: bool, entries: &Entries) -> Result<Substrings, String> {
        match entries.len() {
            0 => return Ok(Substrings::None),
            1 if !fold => return Ok(Substrings::One(Box::new(Finder::new(entries.key(0)).into_owned()))),
            _ => {}
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(fold)
            .build(entries.ids().map(|id| entries.key(id)))
            .map_err(|why| format!("together these substrings are too much: {why}"))?;
        let searcher = if fold && entries.len() <= FEW { packed(entries) } else { None };
        Ok(match searcher {
            Some(searcher) => Substrings::Few(Box::new(searcher), automaton),
            None => Substrings::Many(automaton),
        })
    }

    pub(crate) fn any(&self, input: &[u8]) -> bool {
        match self {
            Substrings::None => false,
            Substrings::One(finder) => finder.find(input).is_some(),
            Substrings::Few(searcher, automaton) => {
                let mut lower = [0; SHORT];
                // Whole vectors, whatever stands behind the input.
                let vectors = input.len().next_multiple_of(32);
                let Some(part) = lower.get_mut(..vectors) else { return automaton.is_match(input) };
                part[..input.len()].copy_from_slice(input);
                part.make_ascii_lowercase();
                searcher.find(&part[..input.len()]).is_some()
            }
            Substrings::Many(automaton) => automaton.is_match(input),
        }
    }

    /// The first entry in file order that is alive and stands in `input`.
    pub(crate) fn find(&self, input: &[u8], alive: &impl Fn(u32) -> bool) -> Option<u32> {
        match self {
            // Most inputs hold none, and the plain search knows how to skip ahead.
            Substrings::Many(automaton) | Substrings::Few(_, automaton) if self.any(input) => {
                let ids = automaton.find_overlapping_iter(input).map(|hit| hit.pattern().as_u32());
                ids.filter(|&id| alive(id)).min()
            }
            Substrings::One(finder) => finder.find(input).and_then(|_| alive(0).then_some(0)),
            Substrings::None | Substrings::Many(_) | Substrings::Few(..) => None,
        }
    }
}

/// The vector search; none on processors without it.
fn packed(entries: &Entries) -> Option<Searcher> {
    let lower = entries.ids().map(|id| entries.key(id).to_ascii_lowercase());
    packed::Config::new().match_kind(MatchKind::LeftmostFirst).builder().extend(lower).build()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Rng;

    /// Few and many answer as a plain search, for inputs on both sides of every bound.
    #[test]
    fn every_way_agrees_with_a_plain_search() {
        let seed = 0x5eed_0008;
        let mut rng = Rng::new(seed);
        for round in 0..300 {
            let mut entries = Entries::default();
            let keys: Vec<Vec<u8>> = (0..1 + rng.below(20)).map(|_| [&b"Q"[..], &rng.letters(3)].concat()).collect();
            assert!(keys.iter().all(|key| entries.push(key, b"", 0)));
            let fold = rng.below(2) == 0;
            let set = Substrings::new(fold, &entries).unwrap();
            let length = [rng.below(40), 250 + rng.below(12), 600][rng.below(3) as usize];
            let mut input: Vec<u8> = (0..length).map(|_| b"abcABCz"[rng.below(7) as usize]).collect();
            if rng.below(2) == 0 {
                let key = &keys[rng.below(keys.len() as u64) as usize];
                let at = rng.below(length + 1) as usize;
                input.splice(at..at, key.to_ascii_uppercase());
            }
            let cased = |text: &[u8]| if fold { text.to_ascii_lowercase() } else { text.to_vec() };
            let stands = |key: &Vec<u8>| memchr::memmem::find(&cased(&input), &cased(key)).is_some();
            let first = keys.iter().position(stands).map(|id| id as u32);
            assert_eq!(set.any(&input), first.is_some(), "seed {seed:#x} round {round}");
            assert_eq!(set.find(&input, &|_| true), first, "seed {seed:#x} round {round}");
        }
    }
}
