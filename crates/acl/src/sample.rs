//! Samples: what a fetch yields, and how one type is compared as another.
//!
//! Called by fetches, converters, match kinds and formats. Never allocates: a number or an address turned into text is
//! written into a small buffer on the stack, or into a buffer the caller lends.

use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The type of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Known only when there is a sample: a variable.
    Any,
    /// True or false.
    Bool,
    /// A signed 64-bit number.
    Int,
    /// An IPv4 or IPv6 address.
    Ip,
    /// Text.
    Str,
    /// Bytes that need not be text.
    Bin,
}

impl Type {
    /// The word used in documentation and errors.
    pub fn name(self) -> &'static str {
        match self {
            Type::Any => "any",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Ip => "ip",
            Type::Str => "str",
            Type::Bin => "bin",
        }
    }

    /// Whether a sample of this type can be taken as `other` (HAProxy's implicit casts).
    pub fn casts_to(self, other: Type) -> bool {
        match (self, other) {
            (Type::Any, _) | (_, Type::Any) => true,
            (Type::Bool | Type::Int, Type::Bool | Type::Int | Type::Str) => true,
            (Type::Bool | Type::Int | Type::Ip, Type::Bin) => true,
            (Type::Int, Type::Ip) | (Type::Ip, Type::Int | Type::Ip | Type::Str) => true,
            (Type::Str, _) => true,
            (Type::Bin, Type::Bin | Type::Str) => true,
            (Type::Bool, Type::Ip) | (Type::Ip, Type::Bool) | (Type::Bin, Type::Bool | Type::Int | Type::Ip) => false,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One occurrence of what a fetch yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample<'s> {
    /// True or false.
    Bool(bool),
    /// A number.
    Int(i64),
    /// An address.
    Ip(IpAddr),
    /// Text of the message.
    Str(&'s [u8]),
    /// Bytes that are no text.
    Bin(&'s [u8]),
}

impl<'s> Sample<'s> {
    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Sample::Bool(_) => Type::Bool,
            Sample::Int(_) => Type::Int,
            Sample::Ip(_) => Type::Ip,
            Sample::Str(_) => Type::Str,
            Sample::Bin(_) => Type::Bin,
        }
    }

    /// As a sample of type `to`; `None` where the types or the content do not allow it. `out` must be empty: it takes what
    /// has to be written.
    pub(crate) fn cast<'o>(self, to: Type, out: &'o mut Vec<u8>) -> Option<Sample<'o>>
    where
        's: 'o,
    {
        if to == Type::Any || to == self.kind() {
            return Some(self);
        }
        Some(match to {
            Type::Any => self,
            Type::Bool => Sample::Bool(self.as_bool()?),
            Type::Int => Sample::Int(self.as_int()?),
            Type::Ip => Sample::Ip(self.as_ip()?),
            Type::Str => match self {
                Sample::Bin(bytes) => Sample::Str(bytes),
                _ => {
                    self.write_text(out);
                    Sample::Str(out)
                }
            },
            Type::Bin => match self {
                Sample::Str(text) | Sample::Bin(text) => Sample::Bin(text),
                Sample::Int(value) => {
                    out.extend_from_slice(&value.to_be_bytes());
                    Sample::Bin(out)
                }
                Sample::Ip(IpAddr::V4(ip)) => {
                    out.extend_from_slice(&ip.octets());
                    Sample::Bin(out)
                }
                Sample::Ip(IpAddr::V6(ip)) => {
                    out.extend_from_slice(&ip.octets());
                    Sample::Bin(out)
                }
                Sample::Bool(value) => {
                    out.extend_from_slice(&i64::from(value).to_be_bytes());
                    Sample::Bin(out)
                }
            },
        })
    }

    /// Appends it as text: bytes that are no text in upper-case hexadecimal.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Sample::Bin(bytes) => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend(bytes.iter().flat_map(|b| [HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]));
            }
            _ => out.extend_from_slice(self.as_bytes(&mut Scratch::new())),
        }
    }

    /// As a truth value; `None` where the types do not allow it. Text is true when its number is not 0.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match *self {
            Sample::Bool(value) => Some(value),
            Sample::Int(value) => Some(value != 0),
            Sample::Str(text) => leading_int(text).map(|value| value != 0),
            Sample::Ip(_) | Sample::Bin(_) => None,
        }
    }

    /// As a number. Text counts by its leading digits, as in HAProxy: `12abc` is 12, `abc` is 0, nothing is undefined.
    pub(crate) fn as_int(&self) -> Option<i64> {
        match *self {
            Sample::Bool(value) => Some(i64::from(value)),
            Sample::Int(value) => Some(value),
            Sample::Str(text) => leading_int(text),
            Sample::Ip(IpAddr::V4(ip)) => Some(ip.to_bits().into()),
            Sample::Ip(IpAddr::V6(_)) | Sample::Bin(_) => None,
        }
    }

    /// As an address. Text must be one address, an IPv4 one possibly with a port.
    pub(crate) fn as_ip(&self) -> Option<IpAddr> {
        match *self {
            Sample::Ip(value) => Some(value),
            Sample::Str(text) => parse_ip(text),
            // HAProxy takes the lower 32 bits.
            Sample::Int(value) => Some(IpAddr::V4(Ipv4Addr::from_bits(value as u32))),
            Sample::Bool(_) | Sample::Bin(_) => None,
        }
    }

    /// As bytes, with `scratch` as the place for what is not text yet. Bytes that are no text are taken as they are.
    pub(crate) fn as_bytes<'b>(&'b self, scratch: &'b mut Scratch) -> &'b [u8] {
        match *self {
            Sample::Bool(value) => {
                if value {
                    b"1"
                } else {
                    b"0"
                }
            }
            Sample::Int(value) => scratch.0.print(format_args!("{value}")),
            Sample::Ip(value) => scratch.0.write(value),
            Sample::Str(text) | Sample::Bin(text) => text,
        }
    }
}

/// Room for a number or an address as text.
#[derive(Debug)]
pub(crate) struct Scratch(AddressText);

/// Room for an address as text, so that writing one takes no allocation.
#[derive(Debug)]
pub struct AddressText([u8; 64]);

impl Default for AddressText {
    fn default() -> AddressText {
        AddressText([0; 64])
    }
}

impl AddressText {
    /// The address as text. IPv4, which is in every second rule, goes around the formatting machinery of the library.
    #[inline]
    pub fn write(&mut self, ip: IpAddr) -> &[u8] {
        let IpAddr::V4(ip) = ip else { return self.print(format_args!("{ip}")) };
        let mut at = 0;
        for (index, octet) in ip.octets().into_iter().enumerate() {
            if index > 0 {
                self.0[at] = b'.';
                at += 1;
            }
            for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
                if octet >= least {
                    self.0[at] = b'0' + octet / unit % 10;
                    at += 1;
                }
            }
        }
        &self.0[..at]
    }

    fn print(&mut self, text: fmt::Arguments<'_>) -> &[u8] {
        let mut free = &mut self.0[..];
        // The longest is an IPv6 address of 45 bytes: it fits.
        let _ = free.write_fmt(text);
        let used = 64 - free.len();
        &self.0[..used]
    }
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch(AddressText::default())
    }
}

fn leading_int(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    let (negative, digits) = match text[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut value: i64 = 0;
    for &digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        value = value.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    }
    Some(if negative { -value } else { value })
}

fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(IpAddr::V4(ip));
    }
    if let Some((host, port)) = text.split_once(':')
        && let Ok(ip) = host.parse::<Ipv4Addr>()
        && port.parse::<u16>().is_ok()
    {
        return Some(IpAddr::V4(ip));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_as_number_and_address() {
        for (text, number) in [
            ("", None),
            ("abc", Some(0)),
            ("12abc", Some(12)),
            ("-12", Some(-12)),
            ("99999999999999999999", Some(i64::MAX)),
        ] {
            assert_eq!(Sample::Str(text.as_bytes()).as_int(), number, "{text}");
        }
        for (text, ip) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("10.0.0.1:80", Some("10.0.0.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("10.0.0.1x", None),
            ("10.0.0.1:x", None),
            ("10.1", None),
            ("", None),
        ] {
            assert_eq!(Sample::Str(text.as_bytes()).as_ip(), ip.map(|ip| ip.parse().unwrap()), "{text}");
        }
    }

    /// As HAProxy 2.6 answers.
    #[test]
    fn types_become_others() {
        for (sample, to, expected) in [
            (Sample::Bin(b"ab"), Type::Str, Some(Sample::Str(b"ab"))),
            (Sample::Int(5), Type::Bin, Some(Sample::Bin(b"\0\0\0\0\0\0\0\x05"))),
            (Sample::Bool(true), Type::Bin, Some(Sample::Bin(b"\0\0\0\0\0\0\0\x01"))),
            (Sample::Ip([1, 2, 3, 4].into()), Type::Bin, Some(Sample::Bin(&[1, 2, 3, 4]))),
            (Sample::Ip([0, 0, 1, 4].into()), Type::Int, Some(Sample::Int(260))),
            (Sample::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)), Type::Int, None),
            (Sample::Int(-1), Type::Ip, Some(Sample::Ip([255, 255, 255, 255].into()))),
            (Sample::Str(b"2x"), Type::Bool, Some(Sample::Bool(true))),
            (Sample::Str(b"true"), Type::Bool, Some(Sample::Bool(false))),
            (Sample::Bool(true), Type::Ip, None),
        ] {
            assert_eq!(sample.cast(to, &mut Vec::new()), expected, "{sample:?} as {to}");
        }
    }

    #[test]
    fn addresses_are_written_as_the_library_does() {
        for octet in 0..=255u8 {
            let ip = IpAddr::V4(Ipv4Addr::new(octet, 255 - octet, octet / 3, octet % 11));
            assert_eq!(AddressText::default().write(ip), ip.to_string().as_bytes());
        }
    }

    #[test]
    fn everything_has_a_text() {
        let longest: IpAddr = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        assert_eq!(Sample::Ip(longest).as_bytes(&mut Scratch::new()), longest.to_string().as_bytes());
        assert_eq!(Sample::Int(i64::MIN).as_bytes(&mut Scratch::new()), b"-9223372036854775808");
        assert_eq!(Sample::Bool(true).as_bytes(&mut Scratch::new()), b"1");
    }
}
