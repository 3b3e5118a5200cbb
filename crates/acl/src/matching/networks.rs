//! Networks of both families: which is the smallest that holds an address?
//!
//! Called by the index of the kind ip. Networks nest or are apart, so each knows the next larger one around it: a binary
//! search finds the last that begins at or before the address, and from there the way leads outwards.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const NONE: u32 = u32::MAX;
/// Ranks: a network of the family of the address goes before one of the other, and both before masks with holes.
const SAME_FAMILY: u32 = 0x300;
const OTHER_FAMILY: u32 = 0x200;

/// Networks of both families by their entries, compared across families as HAProxy does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks {
    v4: Nested<u32>,
    v6: Nested<u128>,
    /// IPv4 addresses with a mask that is no prefix, such as 255.0.255.0: (address, mask, entry). Nobody has many.
    holes: Vec<(u32, u32, u32)>,
}

impl Networks {
    pub(crate) fn new(networks: impl IntoIterator<Item = (Network, u32)>) -> Networks {
        let (mut v4, mut v6, mut holes) = (Vec::new(), Vec::new(), Vec::new());
        for (network, id) in networks {
            match network {
                Network::V4(low, high) => v4.push((low, high, (high - low).leading_zeros(), id)),
                Network::V6(low, high) => v6.push((low, high, (high - low).leading_zeros(), id)),
                Network::Holes(address, mask) => holes.push((address, mask, id)),
            }
        }
        Networks { v4: Nested::new(v4), v6: Nested::new(v6), holes }
    }

    /// Rank and number of the best entry that is alive: the longest mask, then the first in file order. A higher rank is
    /// better. An IPv4 address also counts as ::ffff:a.b.c.d; an IPv6 one also as the IPv4 address it embeds.
    pub(crate) fn find(&self, ip: IpAddr, alive: &impl Fn(u32) -> bool) -> Option<(u32, u32)> {
        let as_v4 = match ip {
            IpAddr::V4(ip) => Some(ip.to_bits()),
            IpAddr::V6(ip) => embedded_v4(ip).map(Ipv4Addr::to_bits),
        };
        let rank = |base: u32| move |(bits, id): (u32, u32)| (base + bits, id);
        let v4 = |base| as_v4.and_then(|ip| self.v4.find(ip, alive)).map(rank(base));
        let v6 = |ip: Ipv6Addr, base| self.v6.find(ip.to_bits(), alive).map(rank(base));
        let nested = match ip {
            IpAddr::V4(ip) => v4(SAME_FAMILY).or_else(|| v6(ip.to_ipv6_mapped(), OTHER_FAMILY)),
            IpAddr::V6(ip) => v6(ip, SAME_FAMILY).or_else(|| v4(OTHER_FAMILY)),
        };
        nested.or_else(|| {
            let ip = as_v4?;
            let held = |&&(address, mask, id): &&(u32, u32, u32)| ip & mask == address && alive(id);
            self.holes.iter().find(held).map(|&(_, _, id)| (0, id))
        })
    }
}

/// Networks of one family.
#[derive(Clone, Debug)]
struct Nested<T>(Vec<Node<T>>);

#[derive(Clone, Copy, Debug)]
struct Node<T> {
    low: T,
    high: T,
    /// Length of the mask.
    bits: u32,
    id: u32,
    /// The next network around this one; [`NONE`] for none.
    parent: u32,
}

impl<T> Default for Nested<T> {
    fn default() -> Nested<T> {
        Nested(Vec::new())
    }
}

impl<T: Copy + Ord> Nested<T> {
    fn new(networks: Vec<(T, T, u32, u32)>) -> Nested<T> {
        let node = |(low, high, bits, id)| Node { low, high, bits, id, parent: NONE };
        let mut nodes: Vec<Node<T>> = networks.into_iter().map(node).collect();
        // The larger before the smaller it holds. Of equal ones the first in file order last: it is met first.
        nodes.sort_unstable_by(|a, b| (a.low, b.high, b.id).cmp(&(b.low, a.high, a.id)));
        let mut around: Vec<u32> = Vec::new();
        for at in 0..nodes.len() {
            while around.pop_if(|&mut outer| nodes[outer as usize].high < nodes[at].low).is_some() {}
            nodes[at].parent = around.last().copied().unwrap_or(NONE);
            around.push(at as u32);
        }
        Nested(nodes)
    }

    fn find(&self, ip: T, alive: &impl Fn(u32) -> bool) -> Option<(u32, u32)> {
        let after = self.0.partition_point(|node| node.low <= ip);
        let mut node = self.0.get(after.checked_sub(1)?)?;
        loop {
            if ip <= node.high && alive(node.id) {
                return Some((node.bits, node.id));
            }
            node = self.0.get(node.parent as usize)?;
        }
    }
}

/// The IPv4 address in ::ffff:a.b.c.d, ::a.b.c.d or 2002:aabb:ccdd::/48.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = ip.to_bits();
    match (bits >> 32, bits >> 112) {
        (0 | 0xffff, _) => Some(Ipv4Addr::from_bits(bits as u32)),
        (_, 0x2002) => Some(Ipv4Addr::from_bits((bits >> 80) as u32)),
        _ => None,
    }
}

/// One network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// First and last address.
    V4(u32, u32),
    /// First and last address.
    V6(u128, u128),
    /// Address and a mask that is no prefix.
    Holes(u32, u32),
}

impl Network {
    /// `192.0.2.1`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `10.12/8`, `2001:db8::/32`. Host bits are ignored.
    pub(crate) fn parse(text: &str) -> Option<Network> {
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        let Some(ip) = parse_v4(address) else {
            let ip: Ipv6Addr = address.parse().ok()?;
            let length = mask.map_or(Some(128), |mask| prefix(mask, 128))?;
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            let low = ip.to_bits() & mask;
            return Some(Network::V6(low, low | !mask));
        };
        let mask = match mask {
            None => u32::MAX,
            Some(mask) => match prefix(mask, 32) {
                Some(length) => u32::MAX.checked_shl(32 - length).unwrap_or(0),
                None => mask.parse::<Ipv4Addr>().ok()?.to_bits(),
            },
        };
        let low = ip & mask;
        if mask.leading_ones() + mask.trailing_zeros() >= 32 {
            Some(Network::V4(low, low | !mask))
        } else {
            Some(Network::Holes(low, mask))
        }
    }
}

/// `10.0.0.12`, or with zeros left out before the last number: `10.12`. Not `10`, which would be 0.0.0.10.
fn parse_v4(text: &str) -> Option<u32> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(ip.to_bits());
    }
    let (head, last) = text.rsplit_once('.')?;
    let zeros = match head.split('.').count() {
        1 => ".0.0.",
        2 => ".0.",
        _ => return None,
    };
    format!("{head}{zeros}{last}").parse().ok().map(Ipv4Addr::to_bits)
}

fn prefix(text: &str, max: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&length| digits && length <= max)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Rng;

    fn holds(network: &str, ip: &str) -> bool {
        let set = Networks::new([(Network::parse(network).unwrap(), 0)]);
        set.find(ip.parse().unwrap(), &|_| true).is_some()
    }

    #[test]
    fn networks_parse_and_contain() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.9.9.9/8", "10.0.0.1", "9.255.255.255"),
            ("10.0.0.0/255.0.0.0", "10.1.2.3", "11.1.2.3"),
            ("10.0.7.0/255.0.255.0", "10.1.7.3", "10.1.8.3"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("10.12", "10.0.0.12", "10.12.0.0"),
            ("10.12/8", "10.12.0.0", "11.0.0.12"),
            ("192.168.1/22", "192.168.3.9", "192.168.4.1"),
            ("192.168.1", "192.168.0.1", "192.168.1.0"),
            ("0.0.0.0/0", "255.255.255.255", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
            ("10.0.0.0/8", "::10.1.1.1", "::11.1.1.1"),
            ("10.0.0.0/8", "2002:0a01:0101::1", "2002:0b01:0101::1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"),
        ] {
            assert!(holds(network, inside), "{inside} in {network}");
            assert!(!holds(network, outside), "{outside} not in {network}");
        }
        for bad in [
            "",
            "10",
            "10/8",
            "10.",
            ".10",
            "10.300",
            "1.2.3.4.5",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::/129",
            "::/x",
            "a",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    /// HAProxy's order: the family of the address, the longest mask, the first line.
    #[test]
    fn the_best_network_is_found() {
        let lines = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.0.0/16",
            "::ffff:10.1.2.0/120",
            "2001:db8::/32",
            "::ffff:172.16.0.0/108",
            "10.0.7.0/255.0.255.0",
        ];
        let set = Networks::new(lines.iter().zip(0..).map(|(line, id)| (Network::parse(line).unwrap(), id)));
        for (ip, expected) in [
            ("10.9.9.9", Some(0)),
            ("10.1.2.3", Some(1)),
            ("::ffff:10.1.2.3", Some(3)),
            ("2002:0a01:0203::1", Some(1)),
            ("2001:db8::9", Some(4)),
            ("172.16.1.1", Some(5)),
            ("10.9.7.9", Some(0)),
            ("11.0.0.0", None),
            ("::1", None),
        ] {
            assert_eq!(set.find(ip.parse().unwrap(), &|_| true).map(|(_, id)| id), expected, "{ip}");
        }
        assert_eq!(set.find("10.1.2.3".parse().unwrap(), &|id| id != 1).map(|(_, id)| id), Some(2));
        assert_eq!(set.find("10.9.7.9".parse().unwrap(), &|id| id != 0).map(|(_, id)| id), Some(6));
    }

    #[test]
    fn networks_agree_with_a_scan() {
        let seed = 0x5eed_0004;
        let mut rng = Rng::new(seed);
        for round in 0..400 {
            let list: Vec<(u32, u32)> = (0..rng.below(30))
                .map(|_| {
                    let bits = 24 + rng.below(9) as u32;
                    let mask = u32::MAX << (32 - bits);
                    (0x0a00_0000 + (rng.below(256) as u32 & mask), bits)
                })
                .collect();
            let network = |&(low, bits): &(u32, u32)| Network::V4(low, low | !(u32::MAX << (32 - bits)));
            let set = Networks::new(list.iter().map(network).zip(0..));
            let gone = rng.below(4) as u32;
            for last in 0..=255u32 {
                let ip = 0x0a00_0000 + last;
                let expected = (0..list.len() as u32)
                    .filter(|&id| id % 4 != gone)
                    .filter(|&id| ip & (u32::MAX << (32 - list[id as usize].1)) == list[id as usize].0)
                    .max_by_key(|&id| (list[id as usize].1, u32::MAX - id));
                let found = set.find(Ipv4Addr::from_bits(ip).into(), &|id| id % 4 != gone).map(|(_, id)| id);
                assert_eq!(found, expected, "seed {seed:#x} round {round} {ip:#x} in {list:?}");
            }
        }
    }
}
