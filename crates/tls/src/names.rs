//! Which certificates a name stands for: a look-up whose cost is the length of the name, whatever their number.
//!
//! Built by the terminator from the names of certificates and the filters of crt-lists. As in HAProxy an exact name comes before
//! a wildcard, `*` stands for exactly one leftmost label, and letters have no case. Never allocates while looking up.

use std::collections::HashMap;
use std::ops::{BitAnd, BitOr};

use evenkeel_proto::hello::ClientHello;

/// RFC 1035 §2.3.4: no longer name exists.
const MAX_NAME: usize = 255;

/// A set of kinds of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Signs(u8);

impl Signs {
    /// RSA keys.
    pub const RSA: Signs = Signs(1);
    /// ECDSA keys on P-256.
    pub const P256: Signs = Signs(2);
    /// ECDSA keys on P-384.
    pub const P384: Signs = Signs(4);
    /// ECDSA keys on P-521.
    pub const P521: Signs = Signs(8);
    /// Ed25519 keys.
    pub const ED25519: Signs = Signs(16);
    /// Keys of every kind.
    pub const ALL: Signs = Signs(31);

    const ECDSA: Signs = Signs(2 | 4 | 8);

    /// Whether the sets share a kind.
    pub fn intersects(self, other: Signs) -> bool {
        self.0 & other.0 != 0
    }

    /// The kind's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Signs::RSA => "RSA",
            Signs::P256 => "ECDSA P-256",
            Signs::P384 => "ECDSA P-384",
            Signs::P521 => "ECDSA P-521",
            Signs::ED25519 => "Ed25519",
            _ => "other",
        }
    }

    /// The kinds of keys whose signatures the client of this hello can check.
    pub fn of_client(hello: &ClientHello<'_>) -> Signs {
        let schemes = hello.signature_algorithms().fold(Signs::default(), |all, scheme| all | Signs::of_scheme(scheme));
        // TLS 1.3 has no key kinds in its suites; in TLS 1.2 the suite names the key (RFC 8422 §2).
        if hello.versions().any(|version| version == 0x0304) {
            return schemes;
        }
        let suites = hello.cipher_suites().fold(Signs::default(), |all, suite| all | Signs::of_suite(suite));
        schemes & suites
    }

    /// RFC 8446 §4.2.3.
    fn of_scheme(scheme: u16) -> Signs {
        match scheme {
            0x0401 | 0x0501 | 0x0601 | 0x0804..=0x0806 => Signs::RSA,
            0x0403 => Signs::P256,
            0x0503 => Signs::P384,
            0x0603 => Signs::P521,
            0x0807 => Signs::ED25519,
            _ => Signs::default(),
        }
    }

    /// RFC 5289 §3.2, RFC 7905 §2: the suites we speak.
    fn of_suite(suite: u16) -> Signs {
        match suite {
            0xc02b | 0xc02c | 0xcca9 => Signs::ECDSA | Signs::ED25519,
            0xc02f | 0xc030 | 0xcca8 => Signs::RSA,
            _ => Signs::default(),
        }
    }

    /// How gladly a key of this kind is used: ECDSA signs several times faster than RSA.
    fn rank(self) -> u8 {
        match self {
            Signs::P256 => 0,
            _ if self.intersects(Signs::ECDSA) => 1,
            Signs::ED25519 => 2,
            _ => 3,
        }
    }
}

impl BitOr for Signs {
    type Output = Signs;
    fn bitor(self, other: Signs) -> Signs {
        Signs(self.0 | other.0)
    }
}

impl BitAnd for Signs {
    type Output = Signs;
    fn bitand(self, other: Signs) -> Signs {
        Signs(self.0 & other.0)
    }
}

/// A filter of a crt-list line, or a name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// This name.
    Exact(Box<str>),
    /// One label before this name.
    Wild(Box<str>),
    /// `!name`: not this name, although a wildcard or the certificate says so. A line of such filters alone serves the
    /// certificate's other names, as HAProxy's manual says; HAProxy 2.6 serves none of them.
    Not(Box<str>),
    /// `!*`: none of the certificate's own names.
    NotOwn,
    /// `*`: when nothing else matches.
    Default,
}

impl Filter {
    /// Reads a filter; letters become lower case. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Filter, String> {
        let name = |text: &str| match text.trim_end_matches('.').to_ascii_lowercase() {
            name if name.is_empty() || name.len() > MAX_NAME || name.contains('*') => {
                Err(format!("`{text}` is no host name"))
            }
            name => Ok(name.into_boxed_str()),
        };
        match text {
            "*" => Ok(Filter::Default),
            "!*" => Ok(Filter::NotOwn),
            _ => match (text.strip_prefix('!'), text.strip_prefix("*.")) {
                (Some(text), _) if text.starts_with('*') => {
                    Err(format!("`!{text}` cannot be excluded; only whole names and `!*` can"))
                }
                (Some(text), _) => name(text).map(Filter::Not),
                (None, Some(text)) => name(text).map(Filter::Wild),
                (None, None) => name(text).map(Filter::Exact),
            },
        }
    }
}

/// Names to the places of certificates in the terminator's list.
#[derive(Debug, Default)]
pub(crate) struct Index {
    exact: HashMap<Box<[u8]>, Box<[u32]>>,
    /// By what follows the first dot.
    wild: HashMap<Box<[u8]>, Box<[u32]>>,
    /// Names that a place does not serve although its wildcard says so, sorted.
    excluded: Box<[(u32, Box<str>)]>,
}

/// Collects an [`Index`].
#[derive(Debug, Default)]
pub(crate) struct Builder {
    exact: HashMap<Box<[u8]>, Vec<u32>>,
    wild: HashMap<Box<[u8]>, Vec<u32>>,
    excluded: Vec<(u32, Box<str>)>,
}

impl Builder {
    /// Adds a certificate: by `filters` when they name anything, else by its `own` names.
    pub(crate) fn add(&mut self, place: u32, filters: &[Filter], own: &[Box<str>]) {
        let mut named = false;
        for filter in filters {
            match filter {
                Filter::Exact(name) => insert(&mut self.exact, name, place),
                Filter::Wild(name) => insert(&mut self.wild, name, place),
                Filter::Not(name) => self.excluded.push((place, name.clone())),
                Filter::NotOwn | Filter::Default => {}
            }
            named |= matches!(filter, Filter::Exact(_) | Filter::Wild(_) | Filter::NotOwn);
        }
        if named {
            return;
        }
        for name in own {
            match name.strip_prefix("*.") {
                Some(rest) => insert(&mut self.wild, rest, place),
                None if filters.iter().any(|filter| matches!(filter, Filter::Not(not) if not == name)) => {}
                None => insert(&mut self.exact, name, place),
            }
        }
    }

    pub(crate) fn build(mut self) -> Index {
        self.excluded.sort_unstable();
        let boxed =
            |map: HashMap<Box<[u8]>, Vec<u32>>| map.into_iter().map(|(name, places)| (name, places.into())).collect();
        Index { exact: boxed(self.exact), wild: boxed(self.wild), excluded: self.excluded.into() }
    }
}

fn insert(map: &mut HashMap<Box<[u8]>, Vec<u32>>, name: &str, place: u32) {
    match map.get_mut(name.as_bytes()) {
        Some(places) if places.contains(&place) => {}
        Some(places) => places.push(place),
        None => drop(map.insert(name.as_bytes().into(), vec![place])),
    }
}

impl Index {
    /// The place of the best certificate for a name; `signs` tells what a place's key signs.
    pub(crate) fn find(&self, name: &[u8], client: Signs, signs: impl Fn(u32) -> Signs) -> Option<u32> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let mut lower = [0; MAX_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        if let Some(places) = self.exact.get(&*lower) {
            return best(places.iter().copied(), client, signs);
        }
        let dot = lower.iter().position(|byte| *byte == b'.')?;
        if dot == 0 {
            return None;
        }
        let places = self.wild.get(&lower[dot + 1..])?;
        best(places.iter().copied().filter(|place| !self.excludes(*place, lower)), client, signs)
    }

    fn excludes(&self, place: u32, name: &[u8]) -> bool {
        !self.excluded.is_empty()
            && self.excluded.binary_search_by(|(at, not)| at.cmp(&place).then_with(|| not.as_bytes().cmp(name))).is_ok()
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.exact.len() + self.wild.len()
    }
}

/// The first of the cheapest kind the client can check; the first of all when it can check none.
pub(crate) fn best(mut places: impl Iterator<Item = u32>, client: Signs, signs: impl Fn(u32) -> Signs) -> Option<u32> {
    let first = places.next()?;
    let rank = |place| match signs(place) {
        kind if kind.intersects(client) => kind.rank(),
        _ => u8::MAX,
    };
    let (mut found, mut found_rank) = (first, rank(first));
    for place in places {
        let rank = rank(place);
        if rank < found_rank {
            (found, found_rank) = (place, rank);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn index(entries: &[(&[&str], &[&str])]) -> Index {
        let mut builder = Builder::default();
        for (place, (filters, own)) in entries.iter().enumerate() {
            let filters: Vec<Filter> = filters.iter().map(|text| Filter::parse(text).unwrap()).collect();
            let own: Vec<Box<str>> = own.iter().map(|name| (*name).into()).collect();
            builder.add(place as u32, &filters, &own);
        }
        builder.build()
    }

    fn find(index: &Index, name: &str) -> Option<u32> {
        index.find(name.as_bytes(), Signs::ALL, |_| Signs::RSA)
    }

    #[test]
    fn exact_comes_before_wildcard_and_case_does_not_matter() {
        let index = index(&[(&[], &["*.a.example", "a.example"]), (&[], &["www.a.example"])]);
        assert_eq!(find(&index, "WWW.a.Example"), Some(1));
        assert_eq!(find(&index, "www.a.example."), Some(1));
        assert_eq!(find(&index, "x.A.example"), Some(0));
        assert_eq!(find(&index, "a.example"), Some(0));
        assert_eq!(index.len(), 3);
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let index = index(&[(&[], &["*.a.example"])]);
        assert_eq!(find(&index, "y.x.a.example"), None);
        assert_eq!(find(&index, ".a.example"), None);
        assert_eq!(find(&index, "xa.example"), None);
        assert_eq!(find(&index, ""), None);
        assert_eq!(find(&index, &"x".repeat(256)), None);
    }

    #[test]
    fn filters_replace_the_names_of_the_certificate() {
        let index = index(&[
            (&["*.d.example", "!secure.d.example"], &["own.example"]),
            (&["!*"], &["fallback.example"]),
            (&["!www.e.example"], &["www.e.example", "e.example", "*.e.example"]),
            (&["*"], &["f.example"]),
        ]);
        assert_eq!(find(&index, "x.d.example"), Some(0));
        assert_eq!(find(&index, "secure.d.example"), None);
        assert_eq!(find(&index, "own.example"), None);
        assert_eq!(find(&index, "fallback.example"), None);
        assert_eq!(find(&index, "www.e.example"), None);
        assert_eq!(find(&index, "e.example"), Some(2));
        assert_eq!(find(&index, "x.e.example"), Some(2));
        assert_eq!(find(&index, "f.example"), Some(3));
    }

    #[test]
    fn an_exclusion_concerns_its_own_line_only() {
        let index = index(&[(&["*.d.example", "!s.d.example"], &[]), (&["*.d.example"], &[])]);
        assert_eq!(find(&index, "x.d.example"), Some(0));
        assert_eq!(find(&index, "s.d.example"), Some(1));
    }

    #[test]
    fn the_cheapest_key_the_client_knows_is_chosen() {
        let index = index(&[(&[], &["a.example"]), (&[], &["a.example"]), (&[], &["a.example"])]);
        let kinds = [Signs::RSA, Signs::P384, Signs::P256];
        let find = |client| index.find(b"a.example", client, |place| kinds[place as usize]);
        assert_eq!(find(Signs::ALL), Some(2));
        assert_eq!(find(Signs::RSA | Signs::P384), Some(1));
        assert_eq!(find(Signs::RSA), Some(0));
        assert_eq!(find(Signs::default()), Some(0));
        assert_eq!(find(Signs::ED25519), Some(0));
    }

    #[test]
    fn filters_are_read_or_refused() {
        assert_eq!(Filter::parse("*.A.example"), Ok(Filter::Wild("a.example".into())));
        for wrong in ["", "!", "*.", "a.*.b", "!*.a", "*a", "*."] {
            assert!(Filter::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Filter::parse(&"x".repeat(256)).is_err());
    }

    #[test]
    fn a_look_up_agrees_with_a_search_of_the_list() {
        let labels = ["a", "b", "WWW", "x"];
        for seed in 0..300 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let name = |rng: &mut fastrand::Rng| {
                (0..rng.usize(1..4)).map(|_| labels[rng.usize(0..4)]).collect::<Vec<_>>().join(".")
            };
            let own: Vec<Box<str>> = (0..6)
                .map(|_| {
                    let name = name(&mut rng).to_ascii_lowercase();
                    if rng.bool() { format!("*.{name}").into() } else { name.into() }
                })
                .collect();
            let mut builder = Builder::default();
            for (place, name) in own.iter().enumerate() {
                builder.add(place as u32, &[], std::slice::from_ref(name));
            }
            let index = builder.build();
            for _ in 0..20 {
                let asked = name(&mut rng);
                let lower = asked.to_ascii_lowercase();
                let exact = own.iter().position(|own| **own == *lower);
                let wild = lower
                    .split_once('.')
                    .and_then(|(_, rest)| own.iter().position(|own| **own == *format!("*.{rest}")));
                assert_eq!(find(&index, &asked), exact.or(wild).map(|at| at as u32), "seed {seed}: {asked} in {own:?}");
            }
        }
    }
}
