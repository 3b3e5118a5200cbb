//! Substrings: one search for any number of them.
//!
//! Called by the index of the kind sub. Never allocates while searching.

use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;

use crate::pattern::entries::Entries;

/// An index over the keys of some [`Entries`].
#[derive(Clone, Debug)]
pub(crate) enum Substrings {
    None,
    /// One string, case kept.
    One(Box<Finder<'static>>),
    /// One automaton over all of them; a pattern has the number of its entry.
    Many(AhoCorasick),
}

impl Substrings {
    /// The error is a sentence.
    pub(crate) fn new(fold: bool, entries: &Entries) -> Result<Substrings, String> {
        match entries.len() {
            0 => Ok(Substrings::None),
            1 if !fold => Ok(Substrings::One(Box::new(Finder::new(entries.key(0)).into_owned()))),
            _ => AhoCorasick::builder()
                .ascii_case_insensitive(fold)
                .build(entries.ids().map(|id| entries.key(id)))
                .map(Substrings::Many)
                .map_err(|why| format!("together these substrings are too much: {why}")),
        }
    }

    pub(crate) fn any(&self, input: &[u8]) -> bool {
        match self {
            Substrings::None => false,
            Substrings::One(finder) => finder.find(input).is_some(),
            Substrings::Many(automaton) => automaton.is_match(input),
        }
    }

    /// The first entry in file order that is alive and stands in `input`.
    pub(crate) fn find(&self, input: &[u8], alive: &impl Fn(u32) -> bool) -> Option<u32> {
        match self {
            // Most inputs hold none, and the plain search knows how to skip ahead.
            Substrings::Many(automaton) if automaton.is_match(input) => {
                let ids = automaton.find_overlapping_iter(input).map(|hit| hit.pattern().as_u32());
                ids.filter(|&id| alive(id)).min()
            }
            Substrings::One(finder) => finder.find(input).and_then(|_| alive(0).then_some(0)),
            Substrings::None | Substrings::Many(_) => None,
        }
    }
}
