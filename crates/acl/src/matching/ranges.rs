//! Sets of numbers and of addresses, as sorted ranges that do not overlap: one binary search each.
//!
//! Called by the match kinds int, len and ip.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Values given as closed ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges<T>(Vec<(T, T)>);

impl<T: Copy + Ord> Ranges<T> {
    pub(crate) fn new(mut ranges: Vec<(T, T)>) -> Ranges<T> {
        ranges.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1 => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Ranges(merged)
    }

    pub(crate) fn contains(&self, value: T) -> bool {
        let after = self.0.partition_point(|&(low, _)| low <= value);
        after > 0 && value <= self.0[after - 1].1
    }
}

/// Networks of both families, compared across families as HAProxy does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Networks {
    pub(crate) fn new(networks: impl IntoIterator<Item = Network>) -> Networks {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                Network::V4(low, high) => v4.push((low, high)),
                Network::V6(low, high) => v6.push((low, high)),
            }
        }
        Networks { v4: Ranges::new(v4), v6: Ranges::new(v6) }
    }

    /// An IPv4 address also counts as ::ffff:a.b.c.d; an IPv6 one also as the IPv4 address it embeds.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.contains(ip.to_bits()) || self.v6.contains(ip.to_ipv6_mapped().to_bits()),
            IpAddr::V6(ip) => {
                self.v6.contains(ip.to_bits()) || embedded_v4(ip).is_some_and(|ip| self.v4.contains(ip.to_bits()))
            }
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

/// One network, as its first and last address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    V4(u32, u32),
    V6(u128, u128),
}

impl Network {
    /// `192.0.2.1`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `2001:db8::/32`. Host bits are ignored.
    pub(crate) fn parse(text: &str) -> Option<Network> {
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        match address.parse().ok()? {
            IpAddr::V4(ip) => {
                let mask = match mask {
                    None => u32::MAX,
                    Some(mask) => match prefix(mask, 32) {
                        Some(length) => u32::MAX.checked_shl(32 - length).unwrap_or(0),
                        None => mask.parse::<Ipv4Addr>().ok()?.to_bits(),
                    },
                };
                // A mask with holes is no range, and nobody means one.
                (mask.leading_ones() + mask.trailing_zeros() >= 32).then(|| {
                    let low = ip.to_bits() & mask;
                    Network::V4(low, low | !mask)
                })
            }
            IpAddr::V6(ip) => {
                let length = mask.map_or(Some(128), |mask| prefix(mask, 128))?;
                let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                let low = ip.to_bits() & mask;
                Some(Network::V6(low, low | !mask))
            }
        }
    }
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

    #[test]
    fn ranges_agree_with_a_scan() {
        let seed = 0x5eed_0002;
        let mut rng = Rng::new(seed);
        for round in 0..500 {
            let list: Vec<(i64, i64)> = (0..rng.below(12))
                .map(|_| {
                    let low = rng.below(50) as i64;
                    (low, low + rng.below(10) as i64)
                })
                .collect();
            let set = Ranges::new(list.clone());
            for value in -1..65 {
                let expected = list.iter().any(|&(low, high)| low <= value && value <= high);
                assert_eq!(set.contains(value), expected, "seed {seed:#x} round {round} value {value} in {list:?}");
            }
        }
    }

    #[test]
    fn networks_parse_and_contain() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.9.9.9/8", "10.0.0.1", "9.255.255.255"),
            ("10.0.0.0/255.0.0.0", "10.1.2.3", "11.1.2.3"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "255.255.255.255", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
            ("10.0.0.0/8", "::10.1.1.1", "::11.1.1.1"),
            ("10.0.0.0/8", "2002:0a01:0101::1", "2002:0b01:0101::1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"),
        ] {
            let set = Networks::new([Network::parse(network).unwrap()]);
            assert!(set.contains(inside.parse().unwrap()), "{inside} in {network}");
            assert!(!set.contains(outside.parse().unwrap()), "{outside} not in {network}");
        }
        for bad in [
            "",
            "10/8",
            "10.1",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/255.0.255.0",
            "::/129",
            "::/x",
            "a",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
