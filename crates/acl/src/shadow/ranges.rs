//! Numbers and addresses cut into classes that no range of a rule set tells apart.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::vars::{Class, Sampled};
use crate::matching::networks::Network;

/// A closed range and the atom it belongs to.
type Range = (u128, u128, u32);

/// Cuts `low..=high` at every end of a range: `(first, last, atoms that hold there)`. `None` over budget.
fn cut(ranges: &[Range], low: u128, high: u128, steps: &mut usize) -> Option<Vec<(u128, u128, Vec<u32>)>> {
    let mut ranges: Vec<Range> = ranges
        .iter()
        .filter(|(first, last, _)| *first <= high && *last >= low)
        .map(|&(first, last, atom)| (first.max(low), last.min(high), atom))
        .collect();
    ranges.sort_unstable();
    let mut cuts: Vec<u128> = vec![low];
    for &(first, last, _) in &ranges {
        cuts.push(first);
        cuts.extend((last < high).then(|| last + 1));
    }
    cuts.sort_unstable();
    cuts.dedup();
    let mut pieces = Vec::with_capacity(cuts.len());
    let (mut next, mut open) = (ranges.iter().peekable(), Vec::<Range>::new());
    for (at, &first) in cuts.iter().enumerate() {
        open.retain(|&(_, last, _)| last >= first);
        while let Some(range) = next.next_if(|range| range.0 <= first) {
            open.push(*range);
        }
        *steps = steps.checked_sub(1 + open.len())?;
        let last = cuts.get(at + 1).map_or(high, |next| next - 1);
        let mut atoms: Vec<u32> = open.iter().map(|&(_, _, atom)| atom).collect();
        atoms.sort_unstable();
        atoms.dedup();
        pieces.push((first, last, atoms));
    }
    Some(pieces)
}

/// Pieces alike become one class, known by the first sample `pick` gives for it.
fn join(pieces: Vec<(Vec<u32>, Option<Sampled>, Sampled)>) -> Vec<Class> {
    let mut known: HashMap<Vec<u32>, usize> = HashMap::new();
    let mut classes: Vec<Class> = Vec::new();
    let mut liked: Vec<bool> = Vec::new();
    for (atoms, nice, plain) in pieces {
        let at = *known.entry(atoms.clone()).or_insert_with(|| {
            classes.push(Class { sample: plain, atoms });
            liked.push(false);
            classes.len() - 1
        });
        if let Some(nice) = nice
            && !liked[at]
        {
            classes[at].sample = nice;
            liked[at] = true;
        }
    }
    classes
}

/// The classes of the numbers `low..=high` by closed ranges.
pub(super) fn numbers(
    ranges: &[(i64, i64, u32)],
    (low, high): (i64, i64),
    nice: &[i64],
    steps: &mut usize,
) -> Option<Vec<Class>> {
    // Moved so that order is kept without a sign.
    let up = |value: i64| (i128::from(value) - i128::from(i64::MIN)) as u128;
    let down = |value: u128| (value as i128 + i128::from(i64::MIN)) as i64;
    let ranges: Vec<Range> = ranges.iter().map(|&(first, last, atom)| (up(first), up(last), atom)).collect();
    let pieces = cut(&ranges, up(low), up(high), steps)?;
    let sampled = pieces.into_iter().map(|(first, last, atoms)| {
        let (first, last) = (down(first), down(last));
        let nice = nice.iter().copied().find(|value| (first..=last).contains(value));
        let plain = if first <= 0 && last >= 0 {
            0
        } else if first > 0 {
            first
        } else {
            last
        };
        (atoms, nice.map(Sampled::Number), Sampled::Number(plain))
    });
    Some(join(sampled.collect()))
}

/// Addresses that are shown where one of them will do (RFC 5737, RFC 3849).
const NICE: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)),
];

/// The classes of all addresses by networks, which are compared across families as [`Networks`] does.
///
/// [`Networks`]: crate::matching::networks::Networks
pub(super) fn addresses(networks: &[(Network, u32)], steps: &mut usize) -> Option<Vec<Class>> {
    let (mut v4, mut v6): (Vec<Range>, Vec<Range>) = (Vec::new(), Vec::new());
    for &(network, atom) in networks {
        match network {
            Network::V4(low, high) => {
                let (low, high) = (u128::from(low), u128::from(high));
                v4.push((low, high, atom));
                v6.push((low, high, atom));
                v6.push((0xffff << 32 | low, 0xffff << 32 | high, atom));
                v6.push((0x2002 << 112 | low << 80, 0x2002 << 112 | high << 80 | ((1 << 80) - 1), atom));
            }
            Network::V6(low, high) => {
                v6.push((low, high, atom));
                let (first, last) = (low.max(0xffff << 32), high.min(0xffff_ffff_ffff));
                if first <= last {
                    v4.push((first & 0xffff_ffff, last & 0xffff_ffff, atom));
                }
            }
            // A mask with holes cuts into too many pieces: the caller takes it as a proposition of its own.
            Network::Holes(..) => return None,
        }
    }
    let v4 = cut(&v4, 0, u128::from(u32::MAX), steps)?;
    let v6 = cut(&v6, 0, u128::MAX, steps)?;
    let address = |value: u128, four: bool| match u32::try_from(value) {
        Ok(value) if four => IpAddr::V4(Ipv4Addr::from_bits(value)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(value)),
    };
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let pieces = v4.into_iter().map(|piece| (piece, true)).chain(v6.into_iter().map(|piece| (piece, false)));
    let sampled = pieces.map(|((first, last, atoms), four)| {
        let nice = NICE.iter().copied().find(|&ip| ip.is_ipv4() == four && (first..=last).contains(&bits(ip)));
        // The first address of a network is hardly ever a client.
        let plain = if last - first > 1 { first + 1 } else { first };
        (atoms, nice.map(Sampled::Address), Sampled::Address(address(plain, four)))
    });
    Some(join(sampled.collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::matching::networks::Networks;
    use crate::testing::Rng;

    #[test]
    fn numbers_fall_into_exactly_one_class() {
        let seed = 0x5eed_0501;
        let mut rng = Rng::new(seed);
        for round in 0..300 {
            let ranges: Vec<(i64, i64, u32)> = (0..rng.below(6) as u32)
                .map(|atom| {
                    let low = rng.below(20) as i64 - 5;
                    let high = if rng.below(5) == 0 { i64::MAX } else { low + rng.below(6) as i64 };
                    (if rng.below(5) == 0 { i64::MIN } else { low }, high, atom)
                })
                .collect();
            let classes = numbers(&ranges, (i64::MIN, i64::MAX), &[7], &mut 10_000).unwrap();
            let holding = |value: i64| -> Vec<u32> {
                ranges.iter().filter(|(low, high, _)| (*low..=*high).contains(&value)).map(|range| range.2).collect()
            };
            for value in (-8..30).chain([i64::MIN, i64::MAX]) {
                let found = classes.iter().filter(|class| class.atoms == holding(value)).count();
                assert_eq!(found, 1, "seed {seed:#x} round {round}: {value} in {ranges:?}");
            }
            for class in &classes {
                let Sampled::Number(value) = class.sample else { panic!("{class:?}") };
                assert_eq!(holding(value), class.atoms, "seed {seed:#x} round {round}: {ranges:?}");
            }
        }
    }

    #[test]
    fn addresses_fall_into_exactly_one_class_in_both_families() {
        let seed = 0x5eed_0502;
        let mut rng = Rng::new(seed);
        let known = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3",
            "0.0.0.0/0",
            "::/0",
            "::ffff:10.0.0.0/104",
            "2001:db8::/32",
            "2002:a01::/32",
            "::1",
            "203.0.113.0/24",
        ];
        let probes = [
            "10.1.2.3",
            "10.1.2.4",
            "10.200.0.1",
            "11.0.0.1",
            "203.0.113.9",
            "0.0.0.0",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:10.1.2.3",
            "::10.2.0.1",
            "2002:0a01:0203::1",
            "2002:0b01::",
            "2001:db8::5",
            "2001:db9::",
        ];
        for round in 0..300 {
            let networks: Vec<(Network, u32)> =
                (0..rng.below(5) as u32).map(|atom| (Network::parse(rng.pick(&known)).unwrap(), atom)).collect();
            let classes = addresses(&networks, &mut 10_000).unwrap();
            let holding = |ip: IpAddr| -> Vec<u32> {
                let holds = |network: Network| Networks::new([(network, 0)]).find(ip, &|_| true).is_some();
                networks.iter().filter(|(network, _)| holds(*network)).map(|(_, atom)| *atom).collect()
            };
            for probe in probes {
                let want = holding(probe.parse().unwrap());
                let found = classes.iter().filter(|class| class.atoms == want).count();
                assert_eq!(found, 1, "seed {seed:#x} round {round}: {probe} in {networks:?}");
            }
            for class in &classes {
                let Sampled::Address(ip) = class.sample else { panic!("{class:?}") };
                assert_eq!(holding(ip), class.atoms, "seed {seed:#x} round {round}: {ip} in {networks:?}");
            }
        }
    }

    #[test]
    fn what_would_take_too_long_is_given_up() {
        let ranges: Vec<(i64, i64, u32)> = (0..100).map(|atom| (i64::from(atom), i64::MAX, atom)).collect();
        assert!(numbers(&ranges, (i64::MIN, i64::MAX), &[], &mut 1000).is_none());
    }
}
