//! Texts cut into classes that no pattern of a rule set tells apart.
//!
//! All patterns on one text are followed together, byte by byte: a tree over those anchored at its beginning, one for each
//! way of treating case, and a shift-and automaton for each of the others. What can be reached is every truth the patterns
//! can have together; the way there is a text that shows it. Invariant: no combination that a text can have is left out.

use std::collections::HashMap;

use super::vars::{Class, Sampled};
use crate::matching::strings::trim;
use crate::matching::{DIR, DOM, Kind};

const DEAD: u32 = u32::MAX;
/// Positions of a pattern that is not anchored at the beginning: they share one word of bits.
const LOOSE_LENGTH: usize = 60;
/// Patterns of that kind that are followed together.
pub(super) const LOOSE: usize = 64;

/// A pattern on a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pattern {
    /// Str, Beg, End, Sub, Dir or Dom.
    pub(super) kind: Kind,
    /// Case is ignored.
    pub(super) fold: bool,
    pub(super) text: Box<[u8]>,
}

impl Pattern {
    /// Whether it is decided from the beginning of the text on.
    pub(super) fn is_anchored(&self) -> bool {
        matches!(self.kind, Kind::Str | Kind::Beg)
    }

    /// Whether having matched is to be remembered.
    pub(super) fn is_sticky(&self) -> bool {
        matches!(self.kind, Kind::Sub | Kind::Dir | Kind::Dom)
    }

    /// Whether it can be followed beside others.
    pub(super) fn fits(&self) -> bool {
        self.is_anchored() || !self.text.is_empty() && self.text.len() + 2 <= LOOSE_LENGTH
    }
}

/// Which texts there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// All.
    Any,
    /// Those that begin with a slash and hold no question mark: what `path` gives.
    Path,
}

/// The classes of the texts of an alphabet by `patterns`; a class has one of the samples `nice` where one belongs to it.
/// `None` over budget, or where a pattern does not fit.
pub(super) fn classes(
    patterns: &[(Pattern, u32)],
    alphabet: Alphabet,
    nice: &[Vec<u8>],
    steps: &mut usize,
) -> Option<Vec<Class>> {
    let machine = Machine::new(patterns, alphabet)?;
    let mut seen: HashMap<State, ()> = HashMap::new();
    let mut queue: Vec<(State, usize, u8)> = vec![(machine.start(), 0, 0)];
    let mut known: HashMap<Mark, usize> = HashMap::new();
    let mut classes: Vec<Class> = Vec::new();
    seen.insert(machine.start(), ());
    let mut at = 0;
    while at < queue.len() {
        let state = queue[at].0.clone();
        let atoms = (at > 0 || alphabet == Alphabet::Any).then(|| machine.mark(&state));
        if let Some(mark) = atoms
            && !known.contains_key(&mark)
        {
            let mut sample = Vec::new();
            let mut back = at;
            while back > 0 {
                sample.push(queue[back].2);
                back = queue[back].1;
            }
            sample.reverse();
            let atoms = machine.atoms(&mark, steps)?;
            known.insert(mark, classes.len());
            classes.push(Class { sample: Sampled::Text(sample), atoms });
        }
        let bytes = machine.bytes(&state, at == 0);
        *steps = steps.checked_sub(bytes.len() * (1 + machine.loose.len() / 4))?;
        for byte in bytes {
            let next = machine.step(&state, byte);
            if !seen.contains_key(&next) {
                seen.insert(next.clone(), ());
                queue.push((next, at, byte));
            }
        }
        at += 1;
    }
    let mut liked = vec![false; classes.len()];
    for text in nice.iter().filter(|text| machine.takes(text)) {
        let state = text.iter().fold(machine.start(), |state, &byte| machine.step(&state, byte));
        if let Some(&at) = known.get(&machine.mark(&state))
            && !std::mem::replace(&mut liked[at], true)
        {
            classes[at].sample = Sampled::Text(text.clone());
        }
    }
    Some(classes)
}

/// Where all patterns stand after some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Node of each tree, or [`DEAD`].
    nodes: [u32; 2],
    /// The last node passed at which a prefix ended, or [`DEAD`].
    begun: [u32; 2],
    /// Positions reached, of each loose pattern.
    positions: Box<[u64]>,
    /// The loose patterns that have matched for good.
    met: u64,
}

/// Everything about a state that decides which patterns hold when the text ends there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Mark {
    whole: [u32; 2],
    begun: [u32; 2],
    loose: u64,
}

#[derive(Debug, Default)]
struct Node {
    next: Vec<(u8, u32)>,
    whole: Vec<u32>,
    begin: Vec<u32>,
    /// The nearest node above at which a prefix ends.
    up: u32,
}

/// A pattern that may match anywhere.
#[derive(Debug)]
struct Loose {
    kind: Kind,
    /// Of each byte the positions it fits, as bits.
    fits: Box<[u64; 256]>,
    /// The bit of the last position.
    last: u64,
    /// It begins and ends with a delimiter.
    edged: bool,
    atom: u32,
}

#[derive(Debug)]
struct Machine {
    alphabet: Alphabet,
    /// Case kept, case ignored.
    trees: [Vec<Node>; 2],
    loose: Vec<Loose>,
    /// Every byte a loose pattern tells from others.
    loose_bytes: Vec<u8>,
}

impl Machine {
    fn new(patterns: &[(Pattern, u32)], alphabet: Alphabet) -> Option<Machine> {
        let root = || vec![Node { up: DEAD, ..Node::default() }];
        let mut machine = Machine { alphabet, trees: [root(), root()], loose: Vec::new(), loose_bytes: Vec::new() };
        for (pattern, atom) in patterns {
            match pattern.kind {
                _ if !pattern.fits() => return None,
                Kind::Str => machine.grow(pattern).whole.push(*atom),
                Kind::Beg => machine.grow(pattern).begin.push(*atom),
                _ => machine.loose.push(Loose::new(pattern, *atom)),
            }
        }
        if machine.loose.len() > LOOSE {
            return None;
        }
        for tree in &mut machine.trees {
            // Children stand behind their parents.
            for at in 0..tree.len() {
                let above = if tree[at].begin.is_empty() { tree[at].up } else { at as u32 };
                for child in tree[at].next.clone() {
                    tree[child.1 as usize].up = above;
                }
            }
        }
        // Of bytes that fit nowhere one stands for all.
        let told_apart = |byte: &u8| machine.loose.iter().any(|loose| loose.fits[usize::from(*byte)] != 0);
        machine.loose_bytes = (0..=255).filter(told_apart).collect();
        Some(machine)
    }

    /// The node of a pattern.
    fn grow(&mut self, pattern: &Pattern) -> &mut Node {
        let tree = &mut self.trees[usize::from(pattern.fold)];
        let mut at = 0;
        for &byte in &pattern.text {
            let byte = if pattern.fold { byte.to_ascii_lowercase() } else { byte };
            let next = tree[at].next.iter().find(|(known, _)| *known == byte).map(|&(_, next)| next as usize);
            at = next.unwrap_or_else(|| {
                let new = tree.len();
                tree[at].next.push((byte, new as u32));
                tree.push(Node { up: DEAD, ..Node::default() });
                new
            });
        }
        &mut tree[at]
    }

    fn start(&self) -> State {
        // Before the first byte stands what counts as a delimiter.
        let positions = self.loose.iter().map(|loose| u64::from(loose.edged)).collect();
        State { nodes: [0; 2], begun: [DEAD; 2], positions, met: 0 }
    }

    fn takes(&self, text: &[u8]) -> bool {
        self.alphabet == Alphabet::Any || text.first() == Some(&b'/') && !text.contains(&b'?')
    }

    /// The bytes that lead to different states: those some pattern looks for here, and one that none does.
    fn bytes(&self, state: &State, first: bool) -> Vec<u8> {
        if first && self.alphabet == Alphabet::Path {
            return vec![b'/'];
        }
        let mut bytes = self.loose_bytes.clone();
        for (fold, tree) in self.trees.iter().enumerate() {
            let Some(node) = tree.get(state.nodes[fold] as usize) else { continue };
            bytes.extend(node.next.iter().map(|(byte, _)| *byte));
            if fold == 1 {
                bytes.extend(node.next.iter().map(|(byte, _)| byte.to_ascii_uppercase()));
            }
        }
        bytes.sort_unstable();
        bytes.dedup();
        let nice = b"x".iter().copied().chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*b"-_").chain(0..=255);
        let other = nice.into_iter().find(|byte| bytes.binary_search(byte).is_err() && *byte != b'?');
        bytes.extend(other);
        bytes.retain(|byte| self.alphabet == Alphabet::Any || *byte != b'?');
        // The sample of a class is the text that was found first, and reads best in lower case.
        bytes.sort_by_key(u8::is_ascii_uppercase);
        bytes
    }

    fn step(&self, state: &State, byte: u8) -> State {
        let mut next = state.clone();
        for (fold, tree) in self.trees.iter().enumerate() {
            let byte = if fold == 1 { byte.to_ascii_lowercase() } else { byte };
            let node = tree.get(state.nodes[fold] as usize);
            // The prefix that ends where the text stands is behind it from now on.
            if let Some(node) = node
                && !node.begin.is_empty()
            {
                next.begun[fold] = state.nodes[fold];
            }
            let child = node.and_then(|node| node.next.iter().find(|(known, _)| *known == byte));
            next.nodes[fold] = child.map_or(DEAD, |&(_, child)| child);
        }
        for (at, loose) in self.loose.iter().enumerate() {
            next.positions[at] = loose.step(state.positions[at], byte);
            if next.positions[at] & loose.last != 0 && loose.kind != Kind::End {
                next.met |= 1 << at;
            }
            // What is met for good need not be followed further.
            if next.met >> at & 1 == 1 {
                next.positions[at] = 0;
            }
        }
        next
    }

    fn mark(&self, state: &State) -> Mark {
        let mut mark = Mark { whole: [DEAD; 2], begun: state.begun, loose: state.met };
        for (fold, tree) in self.trees.iter().enumerate() {
            let Some(node) = tree.get(state.nodes[fold] as usize) else { continue };
            if !node.whole.is_empty() {
                mark.whole[fold] = state.nodes[fold];
            }
            if !node.begin.is_empty() {
                mark.begun[fold] = state.nodes[fold];
            }
        }
        for (at, loose) in self.loose.iter().enumerate() {
            if loose.ends(state.positions[at]) {
                mark.loose |= 1 << at;
            }
        }
        mark
    }

    /// The atoms that hold.
    fn atoms(&self, mark: &Mark, steps: &mut usize) -> Option<Vec<u32>> {
        let mut atoms = Vec::new();
        for (fold, tree) in self.trees.iter().enumerate() {
            if let Some(node) = tree.get(mark.whole[fold] as usize) {
                atoms.extend(&node.whole);
            }
            let mut at = mark.begun[fold];
            while let Some(node) = tree.get(at as usize) {
                atoms.extend(&node.begin);
                at = node.up;
            }
        }
        atoms.extend(
            self.loose.iter().enumerate().filter(|(at, _)| mark.loose >> at & 1 == 1).map(|(_, loose)| loose.atom),
        );
        *steps = steps.checked_sub(1 + atoms.len())?;
        Some(atoms)
    }
}

impl Loose {
    fn new(pattern: &Pattern, atom: u32) -> Loose {
        let delimiters = match pattern.kind {
            Kind::Dir => DIR,
            Kind::Dom => DOM,
            _ => b"",
        };
        let edged = !delimiters.is_empty();
        let text = if edged { trim(&pattern.text, delimiters) } else { &pattern.text[..] };
        let mut fits = Box::new([0; 256]);
        for (at, &byte) in text.iter().enumerate() {
            let bit = 1 << (at + usize::from(edged));
            fits[usize::from(byte)] |= bit;
            if pattern.fold {
                fits[usize::from(byte.to_ascii_lowercase())] |= bit;
                fits[usize::from(byte.to_ascii_uppercase())] |= bit;
            }
        }
        let last = 1 << if edged { text.len() + 1 } else { text.len() - 1 };
        for &byte in delimiters {
            fits[usize::from(byte)] |= 1 | last;
        }
        Loose { kind: pattern.kind, fits, last, edged, atom }
    }

    /// The positions met after `byte`: bit `n` says that the first `n + 1` were, the last of them just now.
    fn step(&self, positions: u64, byte: u8) -> u64 {
        (positions << 1 | 1) & self.fits[usize::from(byte)]
    }

    /// Whether it matches if the text ends here, which counts as a delimiter.
    fn ends(&self, positions: u64) -> bool {
        match self.kind {
            Kind::End => positions & self.last != 0,
            _ => self.edged && positions << 1 & self.last != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::matching::Matcher;
    use crate::testing::Rng;
    use crate::word;

    fn matcher(pattern: &Pattern) -> Matcher {
        let text = format!("'{}'", String::from_utf8_lossy(&pattern.text));
        Matcher::new(pattern.kind, &word::split(&text).unwrap(), pattern.fold, &mut Vec::new())
    }

    /// Every text falls into one class, and every class is what its sample shows.
    #[test]
    fn texts_fall_into_exactly_one_class() {
        let seed = 0x5eed_0503;
        let mut rng = Rng::new(seed);
        let kinds = [Kind::Str, Kind::Str, Kind::Beg, Kind::Beg, Kind::End, Kind::Sub, Kind::Dir, Kind::Dom];
        let word = |rng: &mut Rng, max: u64| -> Vec<u8> {
            (0..rng.below(max + 1)).map(|_| b"abAB/./"[rng.below(7) as usize]).collect()
        };
        for round in 0..400 {
            let alphabet = if rng.below(3) == 0 { Alphabet::Path } else { Alphabet::Any };
            let mut patterns = Vec::new();
            for atom in 0..rng.below(6) as u32 {
                let pattern = Pattern {
                    kind: kinds[rng.below(8) as usize],
                    fold: rng.below(3) == 0,
                    text: word(&mut rng, 4).into(),
                };
                let bare = |delimiters| trim(&pattern.text, delimiters).is_empty();
                let refused = match pattern.kind {
                    Kind::Str => false,
                    Kind::Dir => bare(DIR),
                    Kind::Dom => bare(DOM),
                    _ => pattern.text.is_empty(),
                };
                if !refused {
                    patterns.push((pattern, atom));
                }
            }
            let matchers: Vec<(Matcher, u32)> = patterns.iter().map(|(one, atom)| (matcher(one), *atom)).collect();
            let holding = |text: &[u8]| -> Vec<u32> {
                matchers.iter().filter(|(one, _)| one.matches_bytes(text)).map(|(_, atom)| *atom).collect()
            };
            let nice = [b"/".to_vec(), b"/a".to_vec(), b"ab".to_vec()];
            let classes: Vec<(Vec<u32>, Sampled)> = classes(&patterns, alphabet, &nice, &mut 10_000_000)
                .unwrap()
                .into_iter()
                .map(|mut class| {
                    class.atoms.sort_unstable();
                    (class.atoms, class.sample)
                })
                .collect();
            for (atoms, sample) in &classes {
                let Sampled::Text(text) = sample else { panic!("{sample:?}") };
                assert_eq!(&holding(text), atoms, "seed {seed:#x} round {round}: {text:?} of {patterns:?}");
                assert!(alphabet == Alphabet::Any || text.first() == Some(&b'/') && !text.contains(&b'?'));
            }
            for _ in 0..60 {
                let mut text = word(&mut rng, 7);
                if alphabet == Alphabet::Path {
                    text.insert(0, b'/');
                }
                let want = holding(&text);
                let found = classes.iter().any(|(atoms, _)| *atoms == want);
                assert!(found, "seed {seed:#x} round {round}: {text:?} of {patterns:?}");
            }
        }
    }

    #[test]
    fn many_prefixes_cost_little() {
        let patterns: Vec<(Pattern, u32)> = (0..1000)
            .map(|at| {
                let text = format!("/service-{at}/").into_bytes().into();
                (Pattern { kind: Kind::Beg, fold: false, text }, at)
            })
            .collect();
        let mut steps = 100_000;
        let found = classes(&patterns, Alphabet::Path, &[], &mut steps).unwrap();
        assert_eq!(found.len(), 1001);
        assert!(classes(&patterns, Alphabet::Path, &[], &mut 1000).is_none());
    }
}
