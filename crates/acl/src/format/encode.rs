//! How one item of a format is written: quotes, escapes, hexadecimal, JSON.
//!
//! Called by formats and by the functions of the aliases. What stands for nothing, and what becomes of bytes that would
//! break a line, depends on where the text goes ([`Use`]). Invariant: nothing a peer sent ends a log line or a field value.

use std::net::IpAddr;

use crate::sample::{Sample, Scratch};

/// Where the text of a format goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// A field value, a path, a name of a server.
    Value,
    /// The body of an answer: as a value, and its own text may have line breaks.
    Body,
    /// A variable: bytes as they are.
    Var,
    /// A log line.
    Log,
    /// A unique id: a value whose blanks merge as in a log line.
    Id,
}

impl Use {
    /// Whether runs of blanks become one, and blanks around what writes nothing merge.
    pub(super) fn merges(self) -> bool {
        matches!(self, Use::Log | Use::Id)
    }
}

/// The flags of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// `Q`: text stands in double quotes.
    pub(super) quote: bool,
    /// `X`: addresses, ports and some numbers in hexadecimal.
    pub(super) hex: bool,
    /// `E`: a backslash before `"`, `\` and `]` (RFC 5424, 6.3.3).
    pub(super) escape: bool,
    /// `json`: the value as JSON.
    pub(super) json: bool,
    /// `cbor`: the value as CBOR, in hexadecimal digits.
    pub(super) cbor: bool,
    /// `bin`: CBOR as it is, not in digits.
    pub(super) bin: bool,
}

impl Flags {
    /// Every flag by its name, in the order in which they are printed.
    pub(super) const NAMES: [&'static str; 6] = ["Q", "X", "E", "json", "cbor", "bin"];

    /// Whether a value is written as data of a format of its own.
    pub(super) fn encodes(self) -> bool {
        self.json || self.cbor
    }

    pub(super) fn get(self, name: &str) -> bool {
        match name {
            "Q" => self.quote,
            "X" => self.hex,
            "E" => self.escape,
            "cbor" => self.cbor,
            "bin" => self.bin,
            _ => self.json,
        }
    }

    pub(super) fn set(&mut self, name: &str, on: bool) {
        match name {
            "Q" => self.quote = on,
            "X" => self.hex = on,
            "E" => self.escape = on,
            "bin" => self.bin = on,
            // A value is one of them: the last one holds.
            "cbor" => (self.cbor, self.json) = (on, self.json && !on),
            _ => (self.json, self.cbor) = (on, self.cbor && !on),
        }
    }
}

/// Which bytes of a text are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Control bytes other than the tab: `#HH` in log lines, `%HH` in values.
    Plain,
    /// Of the request line: all but printable ASCII, `"` and `#`, as `#HH`.
    Line,
    /// Captured: as `Line`, and `{`, `|`, `}`.
    Captured,
}

/// Takes what one item writes.
#[derive(Debug)]
pub(super) struct Out<'o> {
    bytes: &'o mut Vec<u8>,
    flags: Flags,
    usage: Use,
    /// The value as such, for JSON: no quotes, no escapes, no `+` before what still grows.
    bare: bool,
    /// There was no value.
    absent: bool,
    /// Nothing stands for it either, and blanks around it merge.
    skipped: bool,
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

impl<'o> Out<'o> {
    pub(super) fn new(bytes: &'o mut Vec<u8>, flags: Flags, usage: Use) -> Out<'o> {
        Out { bytes, flags, usage, bare: false, absent: false, skipped: false }
    }

    /// Takes the value alone.
    pub(super) fn bare(bytes: &'o mut Vec<u8>) -> Out<'o> {
        Out { bytes, flags: Flags::default(), usage: Use::Var, bare: true, absent: false, skipped: false }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.absent
    }

    pub(super) fn is_skipped(&self) -> bool {
        self.skipped
    }

    /// Whether a log line is written: long targets are cut there.
    pub(super) fn is_log(&self) -> bool {
        self.usage == Use::Log
    }

    /// There is no value: `-` in a log line, `""` where quotes are asked for.
    pub(super) fn absent(&mut self) {
        self.absent = true;
        if self.bare {
            return;
        }
        if self.flags.quote {
            self.bytes.extend_from_slice(b"\"\"");
        } else if self.usage == Use::Log {
            self.bytes.push(b'-');
        }
    }

    /// There is no value, and nothing stands for it.
    pub(super) fn skip(&mut self) {
        self.absent = true;
        self.skipped = true;
    }

    /// A place of a list without a value.
    pub(super) fn missing(&mut self) {
        self.raw(if self.flags.quote { b"\"\"" } else { b"-" });
    }

    /// One text; an empty one is as absent.
    pub(super) fn text(&mut self, text: &[u8]) {
        if text.is_empty() && !self.bare {
            return self.absent();
        }
        self.open();
        self.part(text, Text::Plain);
        self.close();
    }

    /// A text of the request line; nothing stands for an empty one.
    pub(super) fn line(&mut self, text: &[u8]) {
        self.open();
        self.part(text, Text::Line);
        self.close();
    }

    pub(super) fn open(&mut self) {
        if self.flags.quote {
            self.bytes.push(b'"');
        }
    }

    pub(super) fn close(&mut self) {
        if self.flags.quote {
            self.bytes.push(b'"');
        }
    }

    /// Text between [`open`](Out::open) and [`close`](Out::close).
    #[inline]
    pub(super) fn part(&mut self, text: &[u8], kind: Text) {
        // Nearly every value can stay as it is.
        if kind == Text::Plain && !self.flags.escape && evenkeel_proto::is_field_value(text) {
            self.bytes.extend_from_slice(text);
        } else {
            self.marked(text, kind);
        }
    }

    fn marked(&mut self, text: &[u8], kind: Text) {
        // Runs of bytes that stay are copied at once.
        let mut run = 0;
        for (at, &byte) in text.iter().enumerate() {
            let mark = self.mark(byte, kind);
            let slash = mark.is_none() && self.flags.escape && matches!(byte, b'"' | b'\\' | b']');
            if mark.is_none() && !slash {
                continue;
            }
            self.bytes.extend_from_slice(&text[run..at]);
            run = at + 1;
            match mark {
                Some(mark) => {
                    self.bytes.extend_from_slice(&[mark, HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                }
                None => self.bytes.extend_from_slice(&[b'\\', byte]),
            }
        }
        self.bytes.extend_from_slice(&text[run..]);
    }

    /// What stands before the two digits of a byte that is not written as it is.
    fn mark(&self, byte: u8, kind: Text) -> Option<u8> {
        let control = (byte < b' ' && byte != b'\t') || byte == 0x7f;
        match kind {
            _ if self.usage == Use::Var => None,
            Text::Plain if self.usage == Use::Log => control.then_some(b'#'),
            Text::Plain => control.then_some(b'%'),
            Text::Line | Text::Captured => {
                let plain = (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'#');
                let brace = kind == Text::Captured && matches!(byte, b'{' | b'|' | b'}');
                (!plain || brace).then_some(b'#')
            }
        }
    }

    /// What needs no care: dates, letters, separators.
    pub(super) fn raw(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
    }

    /// A `+` where the value is not the last one.
    pub(super) fn plus(&mut self, on: bool) {
        if on && !self.bare {
            self.bytes.push(b'+');
        }
    }

    pub(super) fn number(&mut self, value: i64) {
        self.bytes.extend_from_slice(Sample::Int(value).as_bytes(&mut Scratch::new()));
    }

    pub(super) fn unsigned(&mut self, value: u64) {
        self.number(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A number that `X` turns into at least `width` hexadecimal digits.
    pub(super) fn hexable(&mut self, value: u64, width: u32) {
        if self.flags.hex { self.hex(value, width) } else { self.unsigned(value) }
    }

    /// As [`hexable`](Out::hexable), with at least `digits` decimal digits otherwise.
    pub(super) fn padded(&mut self, value: u64, digits: u32, width: u32) {
        if self.flags.hex {
            return self.hex(value, width);
        }
        let mut limit = 10u64;
        for _ in 1..digits {
            if value < limit {
                self.bytes.push(b'0');
            }
            limit *= 10;
        }
        // The zeros stand for the missing digits; their order does not matter.
        self.unsigned(value);
    }

    pub(super) fn hex(&mut self, value: u64, width: u32) {
        let digits = width.max((64 - value.leading_zeros()).div_ceil(4));
        self.bytes.extend((0..digits).rev().map(|at| HEX[(value >> (4 * at)) as usize & 15]));
    }

    pub(super) fn ip(&mut self, ip: Option<IpAddr>) {
        match ip {
            None => self.absent(),
            Some(IpAddr::V4(ip)) if self.flags.hex => self.hex(u64::from(ip.to_bits()), 8),
            Some(IpAddr::V6(ip)) if self.flags.hex => {
                let bits = ip.to_bits();
                self.hex((bits >> 64) as u64, 16);
                self.hex(bits as u64, 16);
            }
            Some(ip) => self.text(Sample::Ip(ip).as_bytes(&mut Scratch::new())),
        }
    }

    /// A sample of a `%[...]` item. In values `Q` leaves it as it is, as in HAProxy.
    pub(super) fn sample(&mut self, sample: Option<Sample<'_>>) {
        if !matches!(self.usage, Use::Log | Use::Var) {
            self.flags.quote = false;
        }
        match sample {
            None => self.absent(),
            Some(sample) => self.text(sample.as_bytes(&mut Scratch::new())),
        }
    }
}

/// The type a value is given by `%(name:type)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    Str,
    Int,
    Bool,
}

impl Cast {
    pub(super) const ALL: [Cast; 3] = [Cast::Str, Cast::Int, Cast::Bool];

    pub(super) fn name(self) -> &'static str {
        match self {
            Cast::Str => "str",
            Cast::Int => "sint",
            Cast::Bool => "bool",
        }
    }
}

/// Hands `sample` on in the type that `cast` asks for; `None` where it has none of that type.
pub(super) fn typed<R>(sample: Option<Sample<'_>>, cast: Option<Cast>, f: impl FnOnce(Option<Sample<'_>>) -> R) -> R {
    if let (Some(number @ Sample::Int(_)), Some(Cast::Str)) = (sample, cast) {
        return f(Some(Sample::Str(number.as_bytes(&mut Scratch::new()))));
    }
    f(match (sample, cast) {
        (None, _) => None,
        (Some(sample), None) => Some(sample),
        (Some(sample), Some(Cast::Int)) => sample.as_int().map(Sample::Int),
        (Some(Sample::Str(b"true")), Some(Cast::Bool)) => Some(Sample::Bool(true)),
        (Some(sample), Some(Cast::Bool)) => sample.as_int().map(|value| Sample::Bool(value != 0)),
        (Some(Sample::Bool(value)), Some(Cast::Str)) => Some(Sample::Str(if value { b"true" } else { b"false" })),
        (Some(sample), Some(Cast::Str)) => Some(sample),
    })
}

/// Appends a JSON value: numbers and truth values as such, the rest as text, nothing as `null`.
pub(super) fn json(sample: Option<Sample<'_>>, cast: Option<Cast>, out: &mut Vec<u8>) {
    typed(sample, cast, |sample| match sample {
        None => out.extend_from_slice(b"null"),
        Some(Sample::Bool(value)) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Some(number @ Sample::Int(_)) => number.write_text(out),
        Some(bytes @ Sample::Bin(_)) => {
            out.push(b'"');
            bytes.write_text(out);
            out.push(b'"');
        }
        Some(text) => json_string(text.as_bytes(&mut Scratch::new()), out),
    });
}

/// Appends bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.iter().flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]));
}

/// Appends a JSON string; bytes that are no UTF-8 become U+FFFD, since JSON has no other way (RFC 8259, 8.1).
pub(super) fn json_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..b' ' | 0x7f => {
                    out.extend_from_slice(b"\\u00");
                    out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Rng;

    fn flags(names: &str) -> Flags {
        let mut flags = Flags::default();
        names.split_terminator(',').for_each(|name| flags.set(name, true));
        flags
    }

    fn write(names: &str, usage: Use, f: impl FnOnce(&mut Out<'_>)) -> String {
        let mut bytes = Vec::new();
        f(&mut Out::new(&mut bytes, flags(names), usage));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn samples_are_written_as_haproxy_writes_them() {
        let nasty = b"a\nb\"#\t\x7f]\\z";
        for (usage, names, sample, expected) in [
            (Use::Log, "", None, "-"),
            (Use::Log, "Q", None, "\"\""),
            (Use::Log, "", Some(Sample::Str(b"")), "-"),
            (Use::Log, "Q", Some(Sample::Int(5)), "\"5\""),
            (Use::Log, "", Some(Sample::Bool(true)), "1"),
            (Use::Log, "Q", Some(Sample::Bin(b"\x01a")), "\"#01a\""),
            (Use::Value, "", Some(Sample::Bin(b"\x01a")), "%01a"),
            // The line break and DEL are HAProxy's raw; here they cannot end the line.
            (Use::Log, "", Some(Sample::Str(nasty)), "a#0Ab\"#\t#7F]\\z"),
            (Use::Log, "Q,E", Some(Sample::Str(nasty)), "\"a#0Ab\\\"#\t#7F\\]\\\\z\""),
            (Use::Value, "", None, ""),
            (Use::Value, "Q", None, ""),
            (Use::Value, "Q", Some(Sample::Str(b"a")), "a"),
            (Use::Value, "", Some(Sample::Str(nasty)), "a%0Ab\"#\t%7F]\\z"),
            (Use::Value, "E", Some(Sample::Str(b"a\"]\\")), "a\\\"\\]\\\\"),
            (Use::Body, "", Some(Sample::Str(b"\r")), "%0D"),
            (Use::Id, "", Some(Sample::Str(b"\r")), "%0D"),
            (Use::Id, "", None, ""),
            (Use::Var, "", Some(Sample::Str(nasty)), "a\nb\"#\t\x7f]\\z"),
            (Use::Var, "Q", None, "\"\""),
        ] {
            assert_eq!(write(names, usage, |out| out.sample(sample)), expected, "{usage:?} {names} {sample:?}");
        }
    }

    #[test]
    fn numbers_and_addresses_in_hexadecimal() {
        let v4: IpAddr = "127.0.0.1".parse().unwrap();
        let v6: IpAddr = "::1".parse().unwrap();
        assert_eq!(write("X", Use::Log, |out| out.ip(Some(v4))), "7F000001");
        assert_eq!(write("Q,X", Use::Log, |out| out.ip(Some(v4))), "7F000001");
        assert_eq!(write("X", Use::Log, |out| out.ip(Some(v6))), "00000000000000000000000000000001");
        assert_eq!(write("Q", Use::Log, |out| out.ip(Some(v6))), "\"::1\"");
        assert_eq!(write("X", Use::Log, |out| out.hexable(0, 4)), "0000");
        assert_eq!(write("X", Use::Log, |out| out.hexable(0x6b01_2658, 4)), "6B012658");
        assert_eq!(write("", Use::Log, |out| out.hexable(40_000, 4)), "40000");
        for (value, text, hex) in [(0, "000", "00"), (7, "007", "07"), (86, "086", "56"), (863, "863", "35F")] {
            assert_eq!(write("", Use::Log, |out| out.padded(value, 3, 2)), text);
            assert_eq!(write("X", Use::Log, |out| out.padded(value, 3, 2)), hex);
        }
    }

    #[test]
    fn json_values() {
        for (sample, cast, expected) in [
            (None, None, "null"),
            (Some(Sample::Int(-3)), None, "-3"),
            (Some(Sample::Bool(true)), None, "true"),
            (Some(Sample::Str(b"")), None, "\"\""),
            (Some(Sample::Str(b"a\"\\\n\x01\xff\xc3\xa9")), None, "\"a\\\"\\\\\\n\\u0001\u{fffd}é\""),
            (Some(Sample::Bin(b"\x01\xaf")), None, "\"01AF\""),
            (Some(Sample::Str(b"12ab")), Some(Cast::Int), "12"),
            (Some(Sample::Str(b"")), Some(Cast::Int), "null"),
            (Some(Sample::Int(12)), Some(Cast::Str), "\"12\""),
            (Some(Sample::Bool(false)), Some(Cast::Str), "\"false\""),
            (Some(Sample::Str(b"true")), Some(Cast::Bool), "true"),
            (Some(Sample::Str(b"0")), Some(Cast::Bool), "false"),
            (Some(Sample::Int(2)), Some(Cast::Bool), "true"),
        ] {
            let mut out = Vec::new();
            json(sample, cast, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{sample:?} {cast:?}");
        }
    }

    /// No byte of a peer ends a line or a value, whatever the flags.
    #[test]
    fn no_break_sweep() {
        let seed = 0x5eed_0019;
        let mut rng = Rng::new(seed);
        for round in 0..2000 {
            let text: Vec<u8> = (0..rng.below(20)).map(|_| rng.below(256) as u8).collect();
            let names = rng.pick(&["", "Q", "E", "Q,E", "X"]);
            for usage in [Use::Value, Use::Body, Use::Log, Use::Id] {
                let mut bytes = Vec::new();
                let mut out = Out::new(&mut bytes, flags(names), usage);
                out.sample(Some(Sample::Str(&text)));
                out.line(&text);
                out.part(&text, Text::Captured);
                assert!(
                    !bytes.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f),
                    "seed {seed:#x} round {round} {usage:?}: {text:?} gave {bytes:?}"
                );
            }
            let mut bytes = Vec::new();
            json_string(&text, &mut bytes);
            let inner = std::str::from_utf8(&bytes).unwrap();
            assert!(inner.chars().all(|c| c >= ' ' && c != '\x7f'), "seed {seed:#x} round {round}: {text:?}");
        }
    }
}
