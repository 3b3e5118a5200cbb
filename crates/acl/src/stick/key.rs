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
    /// A key out of an address. `None` when the table keeps IPv4 addresses and this one stands for none, or when it keeps
    /// numbers and this is an IPv6 address.
    pub fn from_ip(kind: KeyKind, ip: IpAddr) -> Option<Key> {
        match (kind, ip) {
            (KeyKind::Ip | KeyKind::Integer, IpAddr::V4(ip)) => Some(Key::number(kind, ip.to_bits())),
            (KeyKind::Ip, IpAddr::V6(ip)) => Some(Key::number(kind, ipv4_of(ip)?.to_bits())),
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

/// As `show table` writes it: text with what does not print escaped, bytes in hexadecimal where they do not print.
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
                    byte => write!(f, "\\x{byte:02x}"),
                })
            }
        }
    }
}

/// The IPv4 address an IPv6 one stands for: mapped (`::ffff:a.b.c.d`) or 6to4 (`2002::/16`, RFC 3056).
fn ipv4_of(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = ip.octets();
    match octets {
        [0x20, 0x02, a, b, c, d, ..] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => ip.to_ipv4_mapped(),
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
