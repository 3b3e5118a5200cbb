//! Sets of strings: is one of them the whole, the beginning, the end or a word of the input?
//!
//! Called by the index of the kinds str, bin, beg, end, dir and dom. A few strings are compared one by one; many are
//! hashed with a hash that grows byte by byte, so that one walk over the input tries every length there is: the cost is the
//! length of the input and not the number of strings. Never allocates on look-up.
//!
//! The hash is a polynomial over the field of 2^61 - 1 at a secret point: keys may arrive from the network at run time
//! (`set-map`), and nobody who does not know the point can aim collisions at the table.

use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::sync::LazyLock;

use smallvec::SmallVec;

use crate::pattern::entries::Entries;

/// How strings are compared with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// With all of it.
    Whole,
    /// With its beginning.
    Start,
    /// With its end.
    End,
    /// With a part of it between two of these delimiters or its ends. Delimiters around the string do not count.
    Word(&'static [u8]),
}

/// Up to this many strings are compared one by one.
const FEW: usize = 8;
const NONE: u32 = u32::MAX;

/// An index over the keys of some [`Entries`], which the caller keeps and lends to every call.
#[derive(Clone, Debug)]
pub(crate) struct Strings {
    anchor: Anchor,
    /// Case ignored.
    fold: bool,
    /// The point the hash is taken at.
    point: u64,
    /// The distinct lengths of the strings, rising.
    lengths: Vec<u32>,
    /// First entry of each bucket; empty for few strings. A power of two.
    heads: Vec<u32>,
    /// Of each entry: half of its hash, and the next entry of its bucket in file order.
    links: Vec<(u32, u32)>,
    /// Of each entry, while they are few: what decides nearly always.
    few: SmallVec<[Short; FEW]>,
}

/// A string by its length and by eight bytes: the first, or for [`Anchor::End`] the last.
#[derive(Clone, Copy, Debug)]
struct Short {
    length: u32,
    /// In lower case where case is ignored; 0 outside the mask.
    word: u64,
    /// The bytes that a string shorter than eight has.
    mask: u64,
}

impl Strings {
    pub(crate) fn new(anchor: Anchor, fold: bool, entries: &Entries) -> Strings {
        static POINT: LazyLock<u64> = LazyLock::new(|| (RandomState::new().hash_one(0u8) >> 4) | 1 << 59);
        let mut set = Strings {
            anchor,
            fold,
            point: *POINT,
            lengths: Vec::new(),
            heads: Vec::new(),
            links: Vec::new(),
            few: SmallVec::new(),
        };
        set.lengths = entries.ids().map(|id| set.text(entries, id).len() as u32).collect();
        set.lengths.sort_unstable();
        set.lengths.dedup();
        set.lengths.shrink_to_fit();
        if entries.len() > FEW {
            set.index(entries);
        } else {
            set.few = entries.ids().map(|id| set.short(set.text(entries, id))).collect();
        }
        set
    }

    /// Whether the input is one of them, begins or ends with one, or has one as a word.
    pub(crate) fn any(&self, entries: &Entries, input: &[u8]) -> bool {
        if self.few.is_empty() || matches!(self.anchor, Anchor::Word(_)) {
            return match self.anchor {
                Anchor::Whole => self.whole(entries, input, &|_| true).is_some(),
                _ => self.each(entries, input, &|_| true, &mut |_, _| ControlFlow::Break(())).is_break(),
            };
        }
        let (word, length) = (self.word(input), u32::try_from(input.len()).unwrap_or(u32::MAX));
        let least = if self.anchor == Anchor::Whole { length } else { 0 };
        for (id, short) in (0..).zip(&self.few) {
            if (word ^ short.word) & short.mask == 0
                && (least..=length).contains(&short.length)
                && (short.length <= 8 || self.same(self.text(entries, id), self.cut(input, short.length as usize)))
            {
                return true;
            }
        }
        false
    }

    /// The first entry in file order that is alive and equals the whole input.
    pub(crate) fn whole(&self, entries: &Entries, input: &[u8], alive: &impl Fn(u32) -> bool) -> Option<u32> {
        if self.heads.is_empty() {
            let word = self.word(input);
            let equal = |(id, short): &(u32, &Short)| {
                short.length as usize == input.len() && self.agrees(entries, *id, short, input, word) && alive(*id)
            };
            return (0..).zip(&self.few).find(equal).map(|(id, _)| id);
        }
        self.lengths.binary_search(&(input.len() as u32)).ok()?;
        self.probe(entries, self.hash(input), input, alive)
    }

    /// Hands `visit` the length and number of every entry that is alive and with which the input begins (ends, has a
    /// word), until it breaks. Of entries alike the first.
    pub(crate) fn each(
        &self,
        entries: &Entries,
        input: &[u8],
        alive: &impl Fn(u32) -> bool,
        visit: &mut impl FnMut(usize, u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Anchor::Word(delimiters) = self.anchor else { return self.cuts(entries, input, alive, &|_| true, visit) };
        let is_delimiter = |at: usize| input.get(at).is_none_or(|byte| delimiters.contains(byte));
        for start in 0..input.len() {
            // No string begins with a delimiter.
            if (start == 0 || is_delimiter(start - 1)) && !is_delimiter(start) {
                let ends = |length: usize| is_delimiter(start + length);
                self.cuts(entries, &input[start..], alive, &ends, visit)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// [`each`](Strings::each) at one end of `input`, for the lengths that `fits` takes.
    fn cuts(
        &self,
        entries: &Entries,
        input: &[u8],
        alive: &impl Fn(u32) -> bool,
        fits: &impl Fn(usize) -> bool,
        visit: &mut impl FnMut(usize, u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.heads.is_empty() {
            let word = self.word(input);
            for (id, short) in (0..).zip(&self.few) {
                let length = short.length as usize;
                if length <= input.len() && self.agrees(entries, id, short, input, word) && fits(length) && alive(id) {
                    visit(length, id)?;
                }
            }
            return ControlFlow::Continue(());
        }
        let mut hash = START;
        let mut hashed = 0;
        for length in self.lengths.iter().map(|&length| length as usize).take_while(|&length| length <= input.len()) {
            while hashed < length {
                let byte = match self.anchor {
                    Anchor::End => input[input.len() - 1 - hashed],
                    _ => input[hashed],
                };
                hash = self.grow(hash, byte);
                hashed += 1;
            }
            if fits(length)
                && let Some(id) = self.probe(entries, hash, self.cut(input, length), alive)
            {
                visit(length, id)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Every entry that equals the whole input, in file order.
    pub(crate) fn equal(&self, entries: &Entries, input: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        let equals = |&id: &u32| self.same(self.text(entries, id), input);
        match self.whole(entries, input, &|_| true) {
            Some(_) if self.heads.is_empty() => found.extend(entries.ids().filter(equals)),
            Some(first) => found.extend(self.bucket_from(first).filter(equals)),
            None => {}
        }
        found
    }

    fn short(&self, text: &[u8]) -> Short {
        let unused = 64 - 8 * text.len().min(8) as u32;
        let mask = match self.anchor {
            Anchor::End => u64::MAX.checked_shl(unused),
            _ => u64::MAX.checked_shr(unused),
        };
        Short { length: text.len() as u32, word: self.word(text), mask: mask.unwrap_or(0) }
    }

    /// The eight bytes of `input` that are compared first; 0 for those it does not have.
    #[inline]
    fn word(&self, input: &[u8]) -> u64 {
        let word = match self.anchor {
            Anchor::End => last_word(input),
            _ => first_word(input),
        };
        if self.fold { u64::from_le_bytes(word.to_le_bytes().map(|byte| byte.to_ascii_lowercase())) } else { word }
    }

    /// Whether the end of `input` that counts is the string; `input` is no shorter, and `word` is its word.
    #[inline]
    fn agrees(&self, entries: &Entries, id: u32, short: &Short, input: &[u8], word: u64) -> bool {
        let length = short.length as usize;
        (word ^ short.word) & short.mask == 0
            && (length <= 8 || self.same(self.text(entries, id), self.cut(input, length)))
    }

    fn index(&mut self, entries: &Entries) {
        let size = (entries.len() * 2).next_power_of_two();
        self.heads = vec![NONE; size];
        self.links = vec![(0, NONE); entries.len()];
        // From the last to the first, so that a bucket begins with the first in file order.
        for id in entries.ids().rev() {
            let hash = self.hash(self.text(entries, id));
            let bucket = self.bucket(hash);
            self.links[id as usize] = (hash as u32, self.heads[bucket]);
            self.heads[bucket] = id;
        }
    }

    fn probe(&self, entries: &Entries, hash: u64, input: &[u8], alive: &impl Fn(u32) -> bool) -> Option<u32> {
        self.bucket_from(self.heads[self.bucket(hash)]).find(|&id| {
            self.links[id as usize].0 == hash as u32 && self.same(self.text(entries, id), input) && alive(id)
        })
    }

    /// The entries of a bucket from `id` on.
    fn bucket_from(&self, id: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |id: u32| (id != NONE).then_some(id);
        std::iter::successors(some(id), move |&id| some(self.links[id as usize].1))
    }

    fn bucket(&self, hash: u64) -> usize {
        (hash >> 29) as usize & (self.heads.len() - 1)
    }

    /// What of the key is compared.
    fn text<'e>(&self, entries: &'e Entries, id: u32) -> &'e [u8] {
        match self.anchor {
            Anchor::Word(delimiters) => trim(entries.key(id), delimiters),
            _ => entries.key(id),
        }
    }

    fn hash(&self, text: &[u8]) -> u64 {
        match self.anchor {
            // Nothing shorter is asked for, so seven bytes go at once; more would not fit the field.
            Anchor::Whole => {
                let step = |hash, part: &[u8]| {
                    let mut bytes = [0; 8];
                    bytes[..part.len()].copy_from_slice(part);
                    if self.fold {
                        bytes.make_ascii_lowercase();
                    }
                    self.step(hash, u64::from_le_bytes(bytes))
                };
                let whole = text.chunks(7).fold(START, step);
                self.step(whole, text.len() as u64)
            }
            Anchor::End => text.iter().rev().fold(START, |hash, &byte| self.grow(hash, byte)),
            Anchor::Start | Anchor::Word(_) => text.iter().fold(START, |hash, &byte| self.grow(hash, byte)),
        }
    }

    fn grow(&self, hash: u64, byte: u8) -> u64 {
        self.step(hash, u64::from(if self.fold { byte.to_ascii_lowercase() } else { byte }))
    }

    /// One more coefficient below 2^61: hash * point + value, modulo 2^61 - 1.
    fn step(&self, hash: u64, value: u64) -> u64 {
        let wide = u128::from(hash) * u128::from(self.point) + u128::from(value);
        let sum = (wide as u64 & FIELD) + (wide >> 61) as u64;
        if sum >= FIELD { sum - FIELD } else { sum }
    }

    fn cut<'i>(&self, input: &'i [u8], length: usize) -> &'i [u8] {
        match self.anchor {
            Anchor::End => &input[input.len() - length..],
            _ => &input[..length],
        }
    }

    fn same(&self, text: &[u8], input: &[u8]) -> bool {
        if self.fold { text.eq_ignore_ascii_case(input) } else { text == input }
    }
}

/// The first eight bytes, the first of them lowest.
#[inline]
fn first_word(text: &[u8]) -> u64 {
    if let Some(bytes) = text.first_chunk() {
        return u64::from_le_bytes(*bytes);
    }
    // Two parts that overlap; where they do, they say the same.
    let rest = |part: u32| u32::try_from(text.len()).unwrap_or(0).saturating_sub(part) * 8;
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << rest(4)
    } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        u64::from(u16::from_le_bytes(*first)) | u64::from(u16::from_le_bytes(*last)) << rest(2)
    } else {
        text.first().copied().map_or(0, u64::from)
    }
}

/// The last eight bytes, the last of them highest.
#[inline]
fn last_word(text: &[u8]) -> u64 {
    match text.last_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => first_word(text).checked_shl(64 - 8 * text.len() as u32).unwrap_or(0),
    }
}

const FIELD: u64 = (1 << 61) - 1;
/// Not 0, so that leading zero bytes count.
const START: u64 = 1;

/// `text` without the delimiters around it.
pub(crate) fn trim<'t>(text: &'t [u8], delimiters: &[u8]) -> &'t [u8] {
    let is_text = |byte: &u8| !delimiters.contains(byte);
    match (text.iter().position(is_text), text.iter().rposition(is_text)) {
        (Some(start), Some(end)) => &text[start..=end],
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Rng;

    fn entries(items: &[Vec<u8>]) -> Entries {
        let mut entries = Entries::default();
        assert!(items.iter().all(|item| entries.push(item, b"", 0)));
        entries
    }

    /// The set answers as a plain scan does, for few and many strings, every anchor, with and without case, and with some
    /// of them gone.
    #[test]
    fn agrees_with_a_scan() {
        let seed = 0x5eed_0001;
        let mut rng = Rng::new(seed);
        for round in 0..300 {
            let n = rng.below(40);
            let letters = |rng: &mut Rng, max| {
                let mut text = rng.letters(max);
                for byte in &mut text {
                    if rng.below(6) == 0 {
                        *byte = b"/."[rng.below(2) as usize];
                    }
                }
                text
            };
            let items: Vec<Vec<u8>> = (0..n).map(|_| letters(&mut rng, 5)).collect();
            let (fold, gone) = (rng.below(2) == 0, rng.below(5) as u32);
            let lower = |text: &[u8]| if fold { text.to_ascii_lowercase() } else { text.to_vec() };
            let alive = |id: u32| id % 5 != gone;
            let keys = entries(&items);
            for anchor in [Anchor::Whole, Anchor::Start, Anchor::End, Anchor::Word(b"/.")] {
                let set = Strings::new(anchor, fold, &keys);
                for _ in 0..20 {
                    let input = letters(&mut rng, 8);
                    let (text, at) = (lower(&input), format!("seed {seed:#x} round {round} {anchor:?} {input:?}"));
                    let holds = |item: &Vec<u8>| {
                        let item = lower(item);
                        match anchor {
                            Anchor::Whole => text == item,
                            Anchor::Start => text.starts_with(&item),
                            Anchor::End => text.ends_with(&item),
                            Anchor::Word(delimiters) => is_word(&text, trim(&item, delimiters), delimiters),
                        }
                    };
                    let expected: Vec<u32> = keys.ids().filter(|&id| alive(id) && holds(&items[id as usize])).collect();
                    if anchor == Anchor::Whole {
                        assert_eq!(set.whole(&keys, &input, &alive), expected.first().copied(), "{at}");
                        continue;
                    }
                    let mut seen = Vec::new();
                    let _ = set.each(&keys, &input, &alive, &mut |length, id| {
                        assert_eq!(length, set.text(&keys, id).len(), "{at}");
                        seen.push(id);
                        ControlFlow::Continue(())
                    });
                    assert!(seen.iter().all(|id| expected.contains(id)), "{at}: {seen:?} {expected:?}");
                    assert_eq!(seen.iter().min(), expected.first(), "{at}");
                    let longest = |ids: &[u32]| ids.iter().map(|&id| set.text(&keys, id).len()).max();
                    assert_eq!(longest(&seen), longest(&expected), "{at}");
                }
            }
        }
    }

    fn is_word(text: &[u8], word: &[u8], delimiters: &[u8]) -> bool {
        let edge = |at: Option<usize>| at.and_then(|at| text.get(at)).is_none_or(|byte| delimiters.contains(byte));
        !word.is_empty()
            && (0..text.len())
                .any(|at| text[at..].starts_with(word) && edge(at.checked_sub(1)) && edge(Some(at + word.len())))
    }

    #[test]
    fn every_equal_entry_is_found() {
        for n in [3usize, 40] {
            let items: Vec<Vec<u8>> = (0..n).map(|i| format!("k{}", i % 3).into_bytes()).collect();
            let keys = entries(&items);
            let seen = Strings::new(Anchor::Whole, false, &keys).equal(&keys, b"k1");
            assert_eq!(seen, (0..n as u32).filter(|id| id % 3 == 1).collect::<Vec<_>>());
        }
    }
}
