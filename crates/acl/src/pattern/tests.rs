//! Stores and views against plain scans over a plain list, with edits in between.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::load::{self, Shape};
use super::*;
use crate::sample::Sample;
use crate::testing::Rng;

const KINDS: [Kind; 11] = [
    Kind::Int,
    Kind::Ip,
    Kind::Bin,
    Kind::Len,
    Kind::Str,
    Kind::Beg,
    Kind::End,
    Kind::Sub,
    Kind::Dir,
    Kind::Dom,
    Kind::Reg,
];

fn store(text: &str) -> Arc<Store> {
    Store::new("/test.map", Shape::Pairs, load::parse(text.as_bytes(), Shape::Pairs).unwrap())
}

fn list(store: &Store) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut list = Vec::new();
    store.for_each(|entry| {
        list.push((text(entry.key), text(entry.value)));
        ControlFlow::Continue(())
    });
    list
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// How well `key` matches `input`, as the manual says it; the higher, the better.
fn naive(kind: Kind, fold: bool, key: &str, input: &str) -> Option<u32> {
    let lower = |text: &str| if fold { text.to_ascii_lowercase() } else { text.to_owned() };
    let (text, folded) = (lower(input), lower(key));
    let word = |delimiters: &[char]| {
        let part = folded.trim_matches(delimiters);
        let padded = format!("/{text}/");
        padded
            .match_indices(part)
            .any(|(at, _)| padded[..at].ends_with(delimiters) && padded[at + part.len()..].starts_with(delimiters))
    };
    let in_range = |value: i64| match key.split_once(':') {
        None => value == key.parse::<i64>().unwrap(),
        Some((low, high)) => {
            (low.is_empty() || low.parse::<i64>().unwrap() <= value)
                && (high.is_empty() || value <= high.parse::<i64>().unwrap())
        }
    };
    let holds = match kind {
        Kind::Int => in_range(input.parse().unwrap()),
        Kind::Len => in_range(input.len() as i64),
        Kind::Ip => return naive_ip(key, input),
        Kind::Bin => input.bytes().map(|byte| format!("{byte:02x}")).collect::<String>() == key,
        Kind::Str => text == folded,
        Kind::Beg => return text.starts_with(&folded).then_some(key.len() as u32),
        Kind::End => text.ends_with(&folded),
        Kind::Sub => text.contains(&folded),
        Kind::Dir => word(&['/', '?']),
        Kind::Dom => word(&['/', '?', '.', ':']),
        Kind::Reg => match folded.strip_prefix('^') {
            Some(rest) => begins(&text, rest),
            None => (0..text.len()).any(|at| begins(&text[at..], &folded)),
        },
        Kind::Found | Kind::Bool => false,
    };
    holds.then_some(0)
}

/// Whether `text` begins as `pattern` says, in which a dot stands for any byte.
fn begins(text: &str, pattern: &str) -> bool {
    text.len() >= pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(byte, wanted)| wanted == b'.' || byte == wanted)
}

fn naive_ip(key: &str, input: &str) -> Option<u32> {
    let (network, bits) = key.split_once('/').unwrap();
    let (network, bits): (IpAddr, u32) = (network.parse().unwrap(), bits.parse().unwrap());
    let same = |a: u128, b: u128, bits: u32| bits == 0 || (a ^ b) >> (128 - bits) == 0;
    let high = |ip: std::net::Ipv4Addr| u128::from(ip.to_bits()) << 96;
    match (network, input.parse().unwrap()) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => same(high(network), high(ip), bits).then_some(1000 + bits),
        (IpAddr::V6(network), IpAddr::V6(ip)) => same(network.to_bits(), ip.to_bits(), bits).then_some(1000 + bits),
        (IpAddr::V6(network), IpAddr::V4(ip)) => {
            same(network.to_bits(), ip.to_ipv6_mapped().to_bits(), bits).then_some(bits)
        }
        (IpAddr::V4(network), IpAddr::V6(ip)) => same(high(network), high(ip.to_ipv4_mapped()?), bits).then_some(bits),
    }
}

fn random_text(rng: &mut Rng, max: u64, others: &[u8]) -> String {
    let mut text = rng.letters(max);
    for byte in &mut text {
        if rng.below(5) == 0 && !others.is_empty() {
            *byte = others[rng.below(others.len() as u64) as usize];
        }
    }
    String::from_utf8(text).unwrap()
}

fn random_ip(rng: &mut Rng) -> String {
    let last = |rng: &mut Rng| rng.below(4) * 64 + rng.below(2);
    match rng.below(3) {
        0 => format!("::ffff:10.0.{}.{}", rng.below(2), last(rng)),
        1 => format!("2001:db8::{:x}", last(rng)),
        _ => format!("10.0.{}.{}", rng.below(2), last(rng)),
    }
}

fn random_key(rng: &mut Rng, kind: Kind) -> String {
    match kind {
        Kind::Int | Kind::Len => match rng.below(4) {
            0 => format!("{}:", rng.below(12)),
            1 => format!(":{}", rng.below(12)),
            2 => format!("{}:{}", rng.below(6), 6 + rng.below(6)),
            _ => rng.below(12).to_string(),
        },
        Kind::Ip => {
            let ip = random_ip(rng);
            let bits = if ip.contains(':') { 104 + rng.below(25) } else { 8 + rng.below(25) };
            format!("{ip}/{bits}")
        }
        Kind::Bin => (0..1 + rng.below(3)).map(|_| ["61", "62", "41"][rng.below(3) as usize]).collect(),
        Kind::Reg => format!("{}{}", rng.pick(&["^", "", "a"]), random_text(rng, 3, b".") + "b"),
        _ => random_text(rng, 3, b"/.") + rng.pick(&["a", "B"]),
    }
}

fn random_input(rng: &mut Rng, kind: Kind) -> String {
    match kind {
        Kind::Int => rng.below(14).to_string(),
        Kind::Ip => random_ip(rng),
        Kind::Bin => random_text(rng, 3, b""),
        _ => random_text(rng, 9, b"/.:?"),
    }
}

/// Every kind, with and without case, through every edit and the merges that follow.
#[test]
fn views_agree_with_a_scan_over_a_list() {
    let seed = 0x5eed_0006;
    let mut rng = Rng::new(seed);
    for round in 0..110 {
        let kind = KINDS[round % KINDS.len()];
        let mut model: Vec<(String, String)> =
            (0..rng.below(30)).map(|n| (random_key(&mut rng, kind), n.to_string())).collect();
        let text: String = model.iter().map(|(key, value)| format!("{key} {value}\n")).collect();
        let store = store(&text);
        let views = [store.view(kind, false).unwrap(), store.view(kind, true).unwrap()];
        let mut late = None;
        // Compiling expressions takes most of the time.
        for step in 0..if kind == Kind::Reg { 24 } else { 60 } {
            if step > 0 {
                edit(&mut rng, &store, &mut model, kind, step);
            }
            let at = format_args!("seed {seed:#x} round {round} step {step} {kind:?} {model:?}");
            if step == 20 {
                // A reload asks for a view of an edited store.
                late = Some(store.view(Kind::Str, false).unwrap());
            }
            assert_eq!((list(&store), store.len()), (model.clone(), model.len()), "{at}");
            agree(&mut rng, &views, kind, &model, &at);
            if let Some(view) = &late {
                let key = random_key(&mut rng, kind);
                let known = model.iter().any(|entry| entry.0 == key);
                assert_eq!(view.matches(&Sample::Str(key.as_bytes())), known, "{key} {at}");
            }
        }
    }
}

/// Both views, the second without case, answer as a scan over `model` does.
fn agree(rng: &mut Rng, views: &[Arc<View>; 2], kind: Kind, model: &[(String, String)], at: &impl std::fmt::Display) {
    for (view, fold) in views.iter().zip([false, true]) {
        for _ in 0..3 {
            let input = random_input(rng, kind);
            let sample = Sample::Str(input.as_bytes());
            let mut expected: Option<(u32, &(String, String))> = None;
            for entry in model {
                let rank = naive(kind, fold && kind.knows_case(), &entry.0, &input);
                if let Some(rank) = rank
                    && expected.is_none_or(|(best, _)| rank > best)
                {
                    expected = Some((rank, entry));
                }
            }
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let found = view.find(&sample, |found| (text(found.key), text(found.value)));
            assert_eq!(found.as_ref(), expected.map(|(_, entry)| entry), "{input:?} fold {fold} {at}");
            assert_eq!(view.matches(&sample), expected.is_some(), "{input:?} fold {fold} {at}");
        }
    }
}

/// A merge in steps, with edits between its beginning and its end: nobody waits for it, everybody sees them at once, and
/// they stand behind the new base afterwards. Replacing everything makes the merge worthless.
#[test]
fn edits_during_a_merge_are_kept() {
    let seed = 0x5eed_0021;
    let mut rng = Rng::new(seed);
    for round in 0..80 {
        let kind = [Kind::Sub, Kind::Str, Kind::Beg, Kind::Ip][round % 4];
        let mut model: Vec<(String, String)> =
            (0..rng.below(40)).map(|n| (random_key(&mut rng, kind), n.to_string())).collect();
        let text: String = model.iter().map(|(key, value)| format!("{key} {value}\n")).collect();
        let store = store(&text);
        let views = [store.view(kind, false).unwrap(), store.view(kind, true).unwrap()];
        for merge in 0..3 {
            // No merge of the store's own begins while this one is under way.
            let mut under_way = store.begin_merge();
            let mut built = Vec::new();
            for view in store.views_without(&built) {
                let table = super::store::build(view.kind(), view.fold, under_way.base()).unwrap();
                built.push((view, table));
            }
            let mut late = None;
            for step in 0..rng.below(25) as usize {
                edit(&mut rng, &store, &mut model, kind, 100 * merge + step);
                if step == 5 {
                    late = Some(store.view(Kind::Str, true).unwrap());
                }
                let at = format!("seed {seed:#x} round {round} merge {merge} step {step} {kind:?} {model:?}");
                assert_eq!(list(&store), model, "{at}");
                agree(&mut rng, &views, kind, &model, &at);
            }
            if late.is_some() && kind != Kind::Str {
                let (back, kept) = store.finish_merge(under_way, built).unwrap();
                (under_way, built) = (back, kept);
                let missing = store.views_without(&built);
                assert_eq!(missing.len(), 1, "the view that came meanwhile");
                for view in missing {
                    let table = super::store::build(view.kind(), view.fold, under_way.base()).unwrap();
                    built.push((view, table));
                }
            }
            assert!(store.finish_merge(under_way, built).is_none());
            let at = format!("seed {seed:#x} round {round} after merge {merge} {kind:?} {model:?}");
            assert_eq!((list(&store), store.len()), (model.clone(), model.len()), "{at}");
            agree(&mut rng, &views, kind, &model, &at);
            for (key, _) in &model {
                let first = model.iter().find(|entry| entry.0 == *key).map(|entry| entry.1.clone().into_bytes());
                assert_eq!(store.get(key.as_bytes()), first, "{key} {at}");
            }
        }
    }
}

fn edit(rng: &mut Rng, store: &Store, model: &mut Vec<(String, String)>, kind: Kind, step: usize) {
    let key = match rng.below(2) {
        0 if !model.is_empty() => model[rng.below(model.len() as u64) as usize].0.clone(),
        _ => random_key(rng, kind),
    };
    let value = format!("v{step}");
    let known = model.iter().any(|entry| entry.0 == key);
    let set = |model: &mut Vec<(String, String)>| {
        model.iter_mut().filter(|entry| entry.0 == key).for_each(|entry| entry.1 = value.clone());
    };
    match rng.below(20) {
        0 => {
            store.clear();
            model.clear();
        }
        1 => {
            let version = store.prepare().unwrap();
            model.clear();
            for n in 0..rng.below(20) {
                let entry = (random_key(rng, kind), format!("w{n}"));
                store.add_to(version, entry.0.as_bytes(), entry.1.as_bytes()).unwrap();
                model.push(entry);
            }
            store.commit(version).unwrap();
        }
        2..=6 => {
            assert_eq!(store.del(key.as_bytes()), known);
            model.retain(|entry| entry.0 != key);
        }
        7..=9 => {
            assert_eq!(store.set(key.as_bytes(), value.as_bytes()).unwrap(), known);
            set(model);
        }
        10..=12 => {
            store.put(key.as_bytes(), value.as_bytes()).unwrap();
            if known { set(model) } else { model.push((key.clone(), value.clone())) }
        }
        _ => {
            store.add(key.as_bytes(), value.as_bytes()).unwrap();
            model.push((key.clone(), value.clone()));
        }
    }
    let first = model.iter().find(|entry| entry.0 == key).map(|entry| entry.1.clone().into_bytes());
    assert_eq!(store.get(key.as_bytes()), first);
}

/// What HAProxy 2.6 answers to the same files.
#[test]
fn precedence_is_that_of_haproxy() {
    for (text, kind, input, expected) in [
        ("a 1\nab 2\na 3\nabc 4\n", Kind::Beg, "abz", Some("2")),
        ("a 1\nab 2\na 3\nabc 4\n", Kind::Str, "a", Some("1")),
        ("bc 1\nabc 2\nc 3\n", Kind::End, "xabc", Some("1")),
        ("bc 1\nabc 2\nc 3\n", Kind::Sub, "xabc", Some("1")),
        ("b/c 1\n/b/ 2\nc 3\n", Kind::Dir, "/a/b/c?x", Some("1")),
        ("10.0.0.0/8 8\n10.1.0.0/16 16\n10.1.0.0/16 dup\n", Kind::Ip, "10.1.9.3", Some("16")),
        ("10.1.0.0/16 16\n::ffff:10.1.2.0/120 6\n", Kind::Ip, "::ffff:10.1.2.3", Some("6")),
        ("10.1.0.0/16 16\n::ffff:10.1.2.0/120 6\n", Kind::Ip, "10.1.2.3", Some("16")),
        ("1:10 low\n5 five\n10: high\n", Kind::Int, "10", Some("low")),
        ("1:10 low\n5 five\n10: high\n", Kind::Int, "11", Some("high")),
        ("1:10 low\n", Kind::Int, "0", None),
        ("key\n", Kind::Str, "key", Some("")),
    ] {
        let view = store(text).view(kind, false).unwrap();
        let value = view.find(&Sample::Str(input.as_bytes()), |found| String::from_utf8(found.value.to_vec()).unwrap());
        assert_eq!(value.as_deref(), expected, "{input} {kind:?} {text:?}");
    }
}

#[test]
fn groups_are_filled_into_the_value() {
    let store = store("^/a(.)(.*) first-\\1-\\2-\\3-\\\\\\x41-\\0\n/ab second\n");
    let view = store.view(Kind::Reg, false).unwrap();
    let ask = |input: &[u8]| {
        let mut out = b"x".to_vec();
        view.find_regm(&Sample::Str(input), &mut out).then(|| String::from_utf8(out).unwrap())
    };
    assert_eq!(ask(b"/abcd").as_deref(), Some(r"xfirst-b-cd--\A-/abcd"));
    assert_eq!(ask(b"/x"), None);
    store.add(b"^/x(.*)", br"\1").unwrap();
    assert_eq!(ask(b"/xyz").as_deref(), Some("xyz"));
    store.put(b"^/x(.*)", br"\1\1").unwrap();
    assert_eq!(ask(b"/xyz").as_deref(), Some("xyzyz"));
    let long = vec![b'y'; MAX_EXPANDED];
    assert_eq!(ask(&[b"/x", &long[..MAX_EXPANDED / 2]].concat()).unwrap().len(), 1 + MAX_EXPANDED);
    assert_eq!(ask(&[b"/x", &long[..]].concat()), None);
}

#[test]
fn samples_are_cast_before_they_are_compared() {
    let ip: IpAddr = "10.0.0.1".parse().unwrap();
    for (key, kind, sample, expected) in [
        ("0a000001", Kind::Bin, Sample::Ip(ip), true),
        ("0000000000000005", Kind::Bin, Sample::Int(5), true),
        ("2f61", Kind::Bin, Sample::Str(b"/a"), true),
        ("2F61", Kind::Bin, Sample::Bin(b"/a"), true),
        ("01", Kind::Bin, Sample::Bool(true), false),
        ("r", Kind::Str, Sample::Bin(b"r"), true),
        ("3", Kind::Len, Sample::Bin(b"\0\0\0"), true),
        ("10.0.0.1", Kind::Str, Sample::Ip(ip), true),
        ("10.0.0.0/8", Kind::Ip, Sample::Str(b"10.0.0.1"), true),
        ("10.0.0.0/8", Kind::Ip, Sample::Int(10), false),
        ("5", Kind::Int, Sample::Str(b"5"), true),
        ("1", Kind::Int, Sample::Bool(true), true),
        ("5", Kind::Str, Sample::Int(5), true),
    ] {
        let view = store(key).view(kind, false).unwrap();
        assert_eq!(view.matches(&sample), expected, "{key} {kind:?} {sample:?}");
    }
}

#[test]
fn a_pattern_no_view_can_use_is_refused() {
    let store = store("10.0.0.0/8 a\n");
    let view = store.view(Kind::Ip, false).unwrap();
    let EditError::BadKey { hint, .. } = store.add(b"host", b"").unwrap_err() else { panic!("another error") };
    assert!(hint.is_some());
    let version = store.prepare().unwrap();
    assert!(matches!(store.add_to(version, b"host", b""), Err(EditError::BadKey { .. })));
    assert_eq!(store.put(b"", b"x"), Err(EditError::EmptyKey));
    assert_eq!(list(&store), pairs(&[("10.0.0.0/8", "a")]));
    drop(view);
    // Nobody compares with addresses any more.
    store.add(b"host", b"").unwrap();
}

#[test]
fn versions_replace_everything_at_once() {
    let store = store("a 1\nb 2\n");
    let view = store.view(Kind::Str, false).unwrap();
    let (one, two) = (store.prepare().unwrap(), store.prepare().unwrap());
    let later = store.prepare().unwrap();
    store.add_to(one, b"x", b"1").unwrap();
    store.add_to(two, b"y", b"2").unwrap();
    store.add(b"c", b"3").unwrap();
    assert!(!view.matches(&Sample::Str(b"y")) && view.matches(&Sample::Str(b"c")));
    store.commit(two).unwrap();
    assert_eq!(list(&store), pairs(&[("y", "2")]));
    assert!(view.matches(&Sample::Str(b"y")) && !view.matches(&Sample::Str(b"a")));
    assert_eq!(store.commit(one), Err(EditError::NoVersion(one)), "those before it are gone");
    assert_eq!(store.commit(two), Err(EditError::NoVersion(two)));
    assert!(store.abandon(later) && !store.abandon(later));
    for _ in 0..MAX_PREPARED {
        store.prepare().unwrap();
    }
    assert_eq!(store.prepare(), Err(EditError::TooManyVersions));
}

#[test]
fn views_are_shared_and_let_go() {
    let store = store("a 1\n");
    let view = store.view(Kind::Beg, false).unwrap();
    assert!(Arc::ptr_eq(&view, &store.view(Kind::Beg, false).unwrap()));
    assert!(!Arc::ptr_eq(&view, &store.view(Kind::Beg, true).unwrap()));
    let (one, two) = (store.view(Kind::Len, false).unwrap_err(), store.view(Kind::Bool, false).unwrap_err());
    assert_eq!((one[0].line, two[0].line), (1, 1));
    drop(view);
    assert_eq!(Arc::strong_count(&store), 1);
}

/// Readers see the old content or the new, all views the same, whatever they race with.
#[test]
fn readers_never_see_half_of_a_replacement() {
    let store = store("gen 0\n");
    let (by_str, by_beg) = (store.view(Kind::Str, false).unwrap(), store.view(Kind::Beg, false).unwrap());
    let read = |view: &View| {
        let parse = |found: Found<'_>| String::from_utf8(found.value.to_vec()).unwrap().parse::<u32>().unwrap();
        view.find(&Sample::Str(b"gen"), parse).expect("it is always there")
    };
    const LAST: u32 = 400;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < LAST {
                    let (one, two) = (read(&by_str), read(&by_beg));
                    assert!(seen <= one && one <= two, "{seen} {one} {two}");
                    seen = two;
                }
            });
        }
        for next in 1..=LAST {
            let value = next.to_string();
            match next % 3 {
                0 => {
                    let version = store.prepare().unwrap();
                    store.add_to(version, b"gen", value.as_bytes()).unwrap();
                    store.commit(version).unwrap();
                }
                1 => store.put(b"gen", value.as_bytes()).unwrap(),
                _ => {
                    // Enough to be merged.
                    for filler in 0..12 {
                        store.put(format!("f{filler}").as_bytes(), b"").unwrap();
                    }
                    store.put(b"gen", value.as_bytes()).unwrap();
                }
            }
        }
    });
}
