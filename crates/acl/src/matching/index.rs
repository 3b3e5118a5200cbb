//! One index of any kind over the keys of some entries.
//!
//! Called by [`Matcher`](super::Matcher) for the values of an acl and by the views of a store. The entries are lent to
//! every call: several indices share them.

use std::net::IpAddr;
use std::ops::ControlFlow;

use super::intervals::{self, Intervals};
use super::networks::{Network, Networks};
use super::regexes::Regexes;
use super::strings::{Anchor, Strings, trim};
use super::substrings::Substrings;
use super::{DIR, DOM, Kind, Problem};
use crate::pattern::entries::Entries;
use crate::sample::{Sample, Scratch};

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The higher goes first: the longer prefix, the longer mask. Alike, the lower number goes first.
    pub(crate) rank: u32,
    /// Number of the entry.
    pub(crate) id: u32,
}

/// An index over keys.
#[derive(Clone, Debug)]
pub(crate) enum Index {
    Numbers(Intervals),
    Lengths(Intervals),
    Networks(Networks),
    Whole(Strings),
    /// The decoded keys stand beside it.
    Bytes(Box<(Entries, Strings)>),
    /// The longest wins.
    Prefix(Strings),
    /// Suffixes and words: the first wins.
    Part(Strings),
    Substrings(Substrings),
    Regexes(Box<Regexes>),
}

impl Index {
    /// What is wrong with a key goes to `problems`, with its number; the index is then of no use.
    pub(crate) fn build(kind: Kind, fold: bool, entries: &Entries, problems: &mut Vec<(u32, Problem)>) -> Index {
        let matches_all = matches!(kind, Kind::Beg | Kind::End | Kind::Sub);
        for id in entries.ids() {
            if matches_all && entries.key(id).is_empty() {
                let problem = Problem::new("an empty value would match everything");
                problems.push((id, problem.hint("write `-m found` to ask whether there is anything at all")));
            }
        }
        match kind {
            Kind::Int => Index::Numbers(numbers(entries, problems)),
            Kind::Len => Index::Lengths(numbers(entries, problems)),
            Kind::Ip => Index::Networks(networks(entries, problems)),
            Kind::Bin => {
                let decoded = decode(entries, problems);
                let set = Strings::new(Anchor::Whole, false, &decoded);
                Index::Bytes(Box::new((decoded, set)))
            }
            Kind::Str => Index::Whole(Strings::new(Anchor::Whole, fold, entries)),
            Kind::Beg => Index::Prefix(Strings::new(Anchor::Start, fold, entries)),
            Kind::End => Index::Part(Strings::new(Anchor::End, fold, entries)),
            Kind::Dir => Index::Part(words(DIR, fold, entries, problems)),
            Kind::Dom => Index::Part(words(DOM, fold, entries, problems)),
            Kind::Sub => Index::Substrings(Substrings::new(fold, entries).unwrap_or_else(|why| {
                problems.push((0, Problem::new(why)));
                Substrings::None
            })),
            Kind::Reg => Index::Regexes(Box::new(Regexes::new(fold, entries, problems))),
            Kind::Found | Kind::Bool => {
                problems
                    .extend(entries.ids().map(|id| (id, Problem::new(format!("`{}` takes no value", kind.name())))));
                Index::Substrings(Substrings::None)
            }
        }
    }

    /// Whether any entry matches. A sample that cannot be read as the type wanted matches nothing.
    #[inline]
    pub(crate) fn any(&self, entries: &Entries, sample: &Sample<'_>) -> bool {
        match (sample, self) {
            (Sample::Str(_), Index::Numbers(_) | Index::Networks(_) | Index::Bytes(_)) => {
                self.any_cast(entries, sample)
            }
            (Sample::Str(text), _) => self.any_text(entries, text),
            (Sample::Int(value), Index::Numbers(set)) => set.find(*value, &|_| true).is_some(),
            (Sample::Ip(ip), Index::Networks(set)) => set.find(*ip, &|_| true).is_some(),
            _ => self.any_cast(entries, sample),
        }
    }

    /// [`any`](Index::any) for a sample of another type than the one compared.
    fn any_cast(&self, entries: &Entries, sample: &Sample<'_>) -> bool {
        match self {
            Index::Numbers(_) | Index::Networks(_) | Index::Bytes(_) => self.find(entries, sample, &|_| true).is_some(),
            _ => self.any_text(entries, sample.as_bytes(&mut Scratch::new())),
        }
    }

    fn any_text(&self, entries: &Entries, text: &[u8]) -> bool {
        match self {
            Index::Lengths(set) => set.find(i64::try_from(text.len()).unwrap_or(i64::MAX), &|_| true).is_some(),
            Index::Whole(set) | Index::Prefix(set) | Index::Part(set) => set.any(entries, text),
            Index::Substrings(set) => set.any(text),
            Index::Regexes(set) => set.any(text),
            Index::Numbers(_) | Index::Networks(_) | Index::Bytes(_) => false,
        }
    }

    /// The best of the entries that are alive and match.
    pub(crate) fn find(&self, entries: &Entries, sample: &Sample<'_>, alive: &impl Fn(u32) -> bool) -> Option<Hit> {
        let plain = |id| Hit { rank: 0, id };
        match self {
            Index::Numbers(set) => set.find(sample.as_int()?, alive).map(plain),
            Index::Networks(set) => set.find(sample.as_ip()?, alive).map(|(rank, id)| Hit { rank, id }),
            Index::Bytes(set) => with_raw(sample, |bytes| set.1.whole(&set.0, bytes, alive)).flatten().map(plain),
            _ => {
                let mut scratch = Scratch::new();
                let text = sample.as_bytes(&mut scratch);
                match self {
                    Index::Lengths(set) => set.find(i64::try_from(text.len()).unwrap_or(i64::MAX), alive).map(plain),
                    Index::Whole(set) => set.whole(entries, text, alive).map(plain),
                    Index::Substrings(set) => set.find(text, alive).map(plain),
                    Index::Regexes(set) => set.find(text, alive).map(plain),
                    Index::Prefix(set) => best(set, entries, text, alive, |length| length as u32),
                    Index::Part(set) => best(set, entries, text, alive, |_| 0),
                    Index::Numbers(_) | Index::Networks(_) | Index::Bytes(_) => None,
                }
            }
        }
    }

    /// The numbers of all entries whose key is `key`, of an index of the kind str with case.
    pub(crate) fn equal(&self, entries: &Entries, key: &[u8]) -> Vec<u32> {
        match self {
            Index::Whole(set) => set.equal(entries, key),
            _ => Vec::new(),
        }
    }
}

fn best(
    set: &Strings,
    entries: &Entries,
    text: &[u8],
    alive: &impl Fn(u32) -> bool,
    rank: impl Fn(usize) -> u32,
) -> Option<Hit> {
    let mut best: Option<Hit> = None;
    let _ = set.each(entries, text, alive, &mut |length, id| {
        let hit = Hit { rank: rank(length), id };
        if best.is_none_or(|best| hit.goes_before(best)) {
            best = Some(hit);
        }
        ControlFlow::Continue(())
    });
    best
}

impl Hit {
    pub(crate) fn goes_before(self, other: Hit) -> bool {
        (other.rank, self.id) < (self.rank, other.id)
    }
}

/// Hands over the bytes of the sample as HAProxy's cast to bin makes them; a truth value has none.
fn with_raw<R>(sample: &Sample<'_>, visit: impl FnOnce(&[u8]) -> R) -> Option<R> {
    Some(match sample {
        Sample::Str(bytes) | Sample::Bin(bytes) => visit(bytes),
        Sample::Int(value) => visit(&value.to_be_bytes()),
        Sample::Ip(IpAddr::V4(ip)) => visit(&ip.octets()),
        Sample::Ip(IpAddr::V6(ip)) => visit(&ip.octets()),
        Sample::Bool(_) => return None,
    })
}

fn text(entries: &Entries, id: u32) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(entries.key(id))
}

fn numbers(entries: &Entries, problems: &mut Vec<(u32, Problem)>) -> Intervals {
    let mut ranges = Vec::with_capacity(entries.len());
    for id in entries.ids() {
        match range(&text(entries, id), false) {
            Ok((low, high)) => ranges.push((low, high, id)),
            Err(problem) => problems.push((id, problem)),
        }
    }
    Intervals::new(ranges)
}

/// Reads one number or range.
pub(crate) fn range(text: &str, dotted: bool) -> Result<(i64, i64), Problem> {
    match intervals::parse(text, dotted) {
        None => Err(Problem::new(format!("`{text}` is neither a number nor a range"))
            .hint("write 10, 10:20, 10: or :20, or, beside an acl, an operator such as `ge 10`")),
        Some((low, high)) if low > high => {
            let swapped = text.split_once(':').map(|(low, high)| format!("write {high}:{low}"));
            Err(Problem { message: format!("the range `{text}` is empty"), hint: swapped })
        }
        Some(range) => Ok(range),
    }
}

fn networks(entries: &Entries, problems: &mut Vec<(u32, Problem)>) -> Networks {
    let mut networks = Vec::with_capacity(entries.len());
    for id in entries.ids() {
        let text = text(entries, id);
        match Network::parse(&text) {
            Some(network) => networks.push((network, id)),
            None => {
                let problem = Problem::new(format!("`{text}` is neither an address nor a network"));
                problems.push((id, problem.hint(ip_hint(&text))));
            }
        }
    }
    Networks::new(networks)
}

fn ip_hint(text: &str) -> &'static str {
    let address = text.split('/').next().unwrap_or(text);
    if !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        "write all four numbers, and a mask of at most 32 bits: 10.0.0.0/8"
    } else if address.bytes().any(|byte| byte.is_ascii_alphabetic() && !byte.is_ascii_hexdigit()) {
        "names are not resolved in rules: write addresses, such as 192.0.2.1 or 2001:db8::/32"
    } else {
        "write 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32"
    }
}

fn words(delimiters: &'static [u8], fold: bool, entries: &Entries, problems: &mut Vec<(u32, Problem)>) -> Strings {
    for id in entries.ids().filter(|&id| trim(entries.key(id), delimiters).is_empty()) {
        let message = format!("`{}` has nothing between its delimiters, so it would never match", text(entries, id));
        problems.push((id, Problem::new(message)));
    }
    Strings::new(Anchor::Word(delimiters), fold, entries)
}

fn decode(entries: &Entries, problems: &mut Vec<(u32, Problem)>) -> Entries {
    let mut decoded = Entries::default();
    for id in entries.ids() {
        let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
        let byte = |pair: &[u8]| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = entries.key(id).chunks(2).map(byte).collect();
        let bytes = bytes.filter(|bytes| !bytes.is_empty()).unwrap_or_else(|| {
            let problem = Problem::new(format!("`{}` is not bytes in hexadecimal", text(entries, id)));
            problems.push((id, problem.hint("write two digits for each byte: 48656c6c6f")));
            Vec::new()
        });
        // Never full: half of what the entries hold.
        let _ = decoded.push(&bytes, b"", 0);
    }
    decoded
}
