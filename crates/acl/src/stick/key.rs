//! Keys: an address, a number, text or bytes, in the form the table compares.
//!
//! Made from samples by whoever evaluates, once per lookup; up to 32 bytes without an allocation. Two keys of one kind are
//! equal exactly when their words are, so a table compares words and never looks inside.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

/// What the keys of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// An IPv4 address.
    Ip,
    /// An IPv6 address; an IPv4 one is kept as `::ffff:a.b.c.d`.
    Ipv6,
    /// 32 bits.
    Integer,
    /// Text; what is beyond that many bytes is cut off.
    String(usize),
    /// That many bytes; cut off, or filled up with zeros.
    Binary(usize),
}

impl KeyKind {
    /// Words of 32 bits a key takes in a record.
    pub(super) fn words(self) -> usize {
        match self {
            KeyKind::Ip | KeyKind::Integer => 1,
            KeyKind::Ipv6 => 4,
            // The first holds the length.
            KeyKind::String(len) | KeyKind::Binary(len) => 1 + len.div_ceil(4),
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyKind::Ip => "ip",
            KeyKind::Ipv6 => "ipv6",
            KeyKind::Integer => "integer",
            KeyKind::String(_) => "string",
            KeyKind::Binary(_) => "binary",
        })
    }
}

/// A key of a table of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    kind: KeyKind,
    words: SmallVec<[u32; 9]>,
}

impl Key {
    /// A key out of an address. Of IPv6 addresses only the mapped ones (`::ffff:a.b.c.d`) are an IPv4 address, as in HAProxy;
    /// `None` for others where the table keeps IPv4 addresses, and for all where it keeps numbers.
    pub fn from_ip(kind: KeyKind, ip: IpAddr) -> Option<Key> {
        match (kind, ip) {
            (KeyKind::Ip | KeyKind::Integer, IpAddr::V4(ip)) => Some(Key::number(kind, ip.to_bits())),
            (KeyKind::Ip, IpAddr::V6(ip)) => Some(Key::number(kind, ip.to_ipv4_mapped()?.to_bits())),
            (KeyKind::Integer, IpAddr::V6(_)) => None,
            (KeyKind::Ipv6, IpAddr::V4(ip)) => Some(Key::ipv6(ip.to_ipv6_mapped())),
            (KeyKind::Ipv6, IpAddr::V6(ip)) => Some(Key::ipv6(ip)),
            (KeyKind::String(len), ip) => {
                let mut text = Text::default();
                fmt::Write::write_fmt(&mut text, format_args!("{ip}")).ok()?;
                Some(Key::text(kind, text.bytes(), len))
            }
            (KeyKind::Binary(len), IpAddr::V4(ip)) => Some(Key::text(kind, &ip.octets(), len)),
            (KeyKind::Binary(len), IpAddr::V6(ip)) => Some(Key::text(kind, &ip.octets(), len)),
        }
    }

    /// A key out of a number: its low 32 bits where the table keeps numbers or addresses, its decimals where it keeps
    /// text, its eight bytes in network order where it keeps bytes.
    pub fn from_int(kind: KeyKind, value: i64) -> Option<Key> {
        match kind {
            KeyKind::Ip | KeyKind::Integer => Some(Key::number(kind, value as u32)),
            KeyKind::Ipv6 => Some(Key::ipv6(Ipv4Addr::from_bits(value as u32).to_ipv6_mapped())),
            KeyKind::String(len) => {
                let mut text = Text::default();
                fmt::Write::write_fmt(&mut text, format_args!("{value}")).ok()?;
                Some(Key::text(kind, text.bytes(), len))
            }
            KeyKind::Binary(len) => Some(Key::text(kind, &value.to_be_bytes(), len)),
        }
    }

    /// A key out of text or bytes. Addresses and numbers are read from their text; `None` when it holds none.
    pub fn from_bytes(kind: KeyKind, bytes: &[u8]) -> Option<Key> {
        match kind {
            KeyKind::Ip | KeyKind::Ipv6 => Key::from_ip(kind, str::from_utf8(bytes).ok()?.trim().parse().ok()?),
            KeyKind::Integer => Key::from_int(kind, str::from_utf8(bytes).ok()?.trim().parse().ok()?),
            KeyKind::String(len) | KeyKind::Binary(len) => Some(Key::text(kind, bytes, len)),
        }
    }

    /// The same key for a table of another kind.
    pub fn convert(&self, kind: KeyKind) -> Option<Key> {
        match self.kind {
            same if same == kind => Some(self.clone()),
            KeyKind::Ip | KeyKind::Ipv6 => Key::from_ip(kind, self.ip()?),
            KeyKind::Integer => Key::from_int(kind, i64::from(*self.words.first()?)),
            KeyKind::String(_) | KeyKind::Binary(_) => Key::from_bytes(kind, &self.bytes()),
        }
    }

    /// What it is a key of.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match (self.kind, self.words.as_slice()) {
            (KeyKind::Ip, [bits]) => Some(IpAddr::V4(Ipv4Addr::from_bits(*bits))),
            (KeyKind::Ipv6, [a, b, c, d]) => {
                let bits = [a, b, c, d].iter().fold(0, |bits: u128, word| bits << 32 | u128::from(**word));
                Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
            }
            _ => None,
        }
    }

    /// The bytes as they are kept: an address or number in network order, a binary key with its filling zeros.
    pub fn bytes(&self) -> Vec<u8> {
        let big_endian = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect();
        match (self.kind, self.words.as_slice()) {
            (KeyKind::String(_) | KeyKind::Binary(_), [len, words @ ..]) => {
                let mut bytes: Vec<u8> = big_endian(words);
                bytes.truncate(*len as usize);
                if let KeyKind::Binary(full) = self.kind {
                    bytes.resize(full, 0);
                }
                bytes
            }
            (_, words) => big_endian(words),
        }
    }

    /// What a record holds of it: these words, and whatever after them.
    pub(super) fn words(&self) -> &[u32] {
        &self.words
    }

    /// The key at the start of `record`.
    pub(super) fn read(kind: KeyKind, record: &[u32]) -> Key {
        let words = match kind {
            KeyKind::Ip | KeyKind::Integer | KeyKind::Ipv6 => kind.words(),
            KeyKind::String(_) | KeyKind::Binary(_) => {
                1 + record.first().map_or(0, |len| *len as usize).div_ceil(4).min(kind.words() - 1)
            }
        };
        Key { kind, words: record.iter().take(words).copied().collect() }
    }

    fn number(kind: KeyKind, value: u32) -> Key {
        Key { kind, words: SmallVec::from_slice(&[value]) }
    }

    fn ipv6(ip: Ipv6Addr) -> Key {
        let bits = ip.to_bits();
        let words = [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32];
        Key { kind: KeyKind::Ipv6, words: SmallVec::from_slice(&words) }
    }

    /// The length, then the bytes in big-endian words. Trailing zeros of a binary key are its filling and left out.
    fn text(kind: KeyKind, bytes: &[u8], len: usize) -> Key {
        let mut bytes = &bytes[..bytes.len().min(len)];
        if let KeyKind::Binary(_) = kind {
            bytes = &bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)];
        }
        let mut words = SmallVec::with_capacity(1 + bytes.len().div_ceil(4));
        words.push(bytes.len() as u32);
        words.extend(bytes.chunks(4).map(|chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            u32::from_be_bytes(word)
        }));
        Key { kind, words }
    }
}

/// As `show table` writes it: text with what does not print escaped, bytes in hexadecimal.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.ip()) {
            (_, Some(ip)) => write!(f, "{ip}"),
            (KeyKind::Integer, _) => write!(f, "{}", self.words.first().copied().unwrap_or_default()),
            (KeyKind::Binary(_), _) => self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02X}")),
            (KeyKind::Ip | KeyKind::Ipv6 | KeyKind::String(_), _) => {
                self.bytes().iter().try_for_each(|byte| match byte {
                    b'\\' | b' ' | b'=' => write!(f, "\\{}", char::from(*byte)),
                    0x21..=0x7e => write!(f, "{}", char::from(*byte)),
                    b'\t' => f.write_str("\\t"),
                    b'\n' => f.write_str("\\n"),
                    b'\r' => f.write_str("\\r"),
                    0x1b => f.write_str("\\e"),
                    byte => write!(f, "\\x{byte:02X}"),
                })
            }
        }
    }
}

/// A short text on the stack: the longest address has 45 characters, the longest number 20.
struct Text {
    bytes: [u8; 48],
    len: usize,
}

impl Default for Text {
    fn default() -> Text {
        Text { bytes: [0; 48], len: 0 }
    }
}

impl Text {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KINDS: [KeyKind; 6] =
        [KeyKind::Ip, KeyKind::Ipv6, KeyKind::Integer, KeyKind::String(12), KeyKind::Binary(6), KeyKind::String(100)];

    fn from_ip(kind: KeyKind, ip: &str) -> Option<String> {
        Key::from_ip(kind, ip.parse().unwrap()).map(|key| key.to_string())
    }

    #[test]
    fn addresses_in_the_tables_of_each_kind() {
        assert_eq!(from_ip(KeyKind::Ip, "192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(from_ip(KeyKind::Ip, "::ffff:192.0.2.1").as_deref(), Some("192.0.2.1"));
        for none in ["2002:c000:201::", "::192.0.2.1", "64:ff9b::192.0.2.1", "2001:db8::1"] {
            assert_eq!(from_ip(KeyKind::Ip, none), None, "{none}");
        }
        assert_eq!(from_ip(KeyKind::Ipv6, "192.0.2.1").as_deref(), Some("::ffff:192.0.2.1"));
        assert_eq!(from_ip(KeyKind::Ipv6, "2001:db8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(from_ip(KeyKind::Integer, "0.0.1.0").as_deref(), Some("256"));
        assert_eq!(from_ip(KeyKind::Integer, "2001:db8::1"), None);
        assert_eq!(from_ip(KeyKind::String(12), "2001:db8::1234").as_deref(), Some("2001:db8::12"));
        assert_eq!(from_ip(KeyKind::Binary(6), "192.0.2.1").as_deref(), Some("C00002010000"));
    }

    #[test]
    fn numbers_have_32_bits() {
        let int = |kind, value| Key::from_int(kind, value).unwrap().to_string();
        assert_eq!(int(KeyKind::Integer, -1), "4294967295");
        assert_eq!(int(KeyKind::Integer, 1 << 32 | 7), "7");
        assert_eq!(int(KeyKind::String(12), i64::MIN), "-92233720368");
        assert_eq!(int(KeyKind::Binary(8), 258), "0000000000000102");
        assert_eq!(int(KeyKind::Ip, 0x7f00_0001), "127.0.0.1");
    }

    #[test]
    fn text_is_cut_and_escaped_and_bytes_are_filled() {
        let text = |kind, bytes: &[u8]| Key::from_bytes(kind, bytes).unwrap().to_string();
        assert_eq!(text(KeyKind::String(12), b"abcdefghijklmnop"), "abcdefghijkl");
        assert_eq!(text(KeyKind::String(12), b"a b=c\\\t\xe4\"\n"), "a\\ b\\=c\\\\\\t\\xE4\"\\n");
        assert_eq!(text(KeyKind::String(12), b""), "");
        assert_eq!(text(KeyKind::Binary(6), b"abc"), "616263000000");
        assert_eq!(text(KeyKind::Binary(6), b"abcdefgh"), "616263646566");
        assert_eq!(Key::from_bytes(KeyKind::Binary(6), b"a"), Key::from_bytes(KeyKind::Binary(6), b"a\0\0"));
        assert_ne!(Key::from_bytes(KeyKind::String(6), b"a"), Key::from_bytes(KeyKind::String(6), b"a\0\0"));
        assert_eq!(Key::from_bytes(KeyKind::Ip, b"nowhere"), None);
        assert_eq!(text(KeyKind::Integer, b"12"), "12");
    }

    #[test]
    fn a_key_comes_back_from_its_record() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            for kind in KINDS {
                let bytes: Vec<u8> =
                    (0..rng.usize(0..130)).map(|_| rng.u8(..) & if rng.bool() { 0 } else { 255 }).collect();
                let key = match kind {
                    KeyKind::Ip | KeyKind::Ipv6 => Key::from_ip(kind, Ipv4Addr::from_bits(rng.u32(..)).into()).unwrap(),
                    KeyKind::Integer => Key::from_int(kind, rng.i64(..)).unwrap(),
                    KeyKind::String(_) | KeyKind::Binary(_) => Key::from_bytes(kind, &bytes).unwrap(),
                };
                let mut record: Vec<u32> = (0..kind.words()).map(|_| 0).collect();
                record[..key.words().len()].copy_from_slice(key.words());
                assert_eq!(Key::read(kind, &record), key, "seed {seed}");
                assert_eq!(key.convert(kind).as_ref(), Some(&key), "seed {seed}");
                if let KeyKind::String(_) | KeyKind::Binary(_) = kind {
                    assert_eq!(Key::from_bytes(kind, &key.bytes()), Some(key), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn up_to_32_bytes_need_no_allocation() {
        assert!(!Key::from_bytes(KeyKind::String(32), &[b'x'; 40]).unwrap().words.spilled());
        assert!(Key::from_bytes(KeyKind::String(33), &[b'x'; 40]).unwrap().words.spilled());
    }
}
