//! The hash of a client address (`balance source`).
//!
//! Called by the backend crate for each request of such a backend. The value is a contract: a client stays on its server
//! when Evenkeel takes HAProxy's place.

use std::net::IpAddr;

/// XOR of the 32-bit words of an address in network order.
pub fn source_hash(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (0..4).fold(0, |hash, word| hash ^ (bits >> (32 * word)) as u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_xored_in_network_order() {
        let hash = |text: &str| source_hash(text.parse().unwrap());
        assert_eq!(hash("1.2.3.4"), 0x0102_0304);
        assert_eq!(hash("2001:db8:1:2:3:4:5:6"), 0x2001_0db8 ^ 0x0001_0002 ^ 0x0003_0004 ^ 0x0005_0006);
        assert_eq!(hash("::1"), 1);
    }
}
