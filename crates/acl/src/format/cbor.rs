//! CBOR (RFC 8949) of single values, and of the map that holds the named items of a format.
//!
//! Called by formats. A text that is no UTF-8 is a byte string, since a CBOR text must be; what is not there is null.

use super::encode::{Cast, typed};
use crate::sample::{Sample, Scratch};

/// Begins a map whose length is not told.
pub(super) const MAP: u8 = 0xbf;
/// Ends it.
pub(super) const BREAK: u8 = 0xff;

/// Appends one value.
pub(super) fn value(sample: Option<Sample<'_>>, cast: Option<Cast>, out: &mut Vec<u8>) {
    typed(sample, cast, |sample| match sample {
        None => out.push(0xf6),
        Some(Sample::Bool(value)) => out.push(if value { 0xf5 } else { 0xf4 }),
        // A negative number is stored as -1 - n.
        Some(Sample::Int(value)) if value < 0 => head(1, !value as u64, out),
        Some(Sample::Int(value)) => head(0, value as u64, out),
        Some(Sample::Bin(bytes)) => string(2, bytes, out),
        Some(other) => text(other.as_bytes(&mut Scratch::new()), out),
    });
}

/// Appends a text.
pub(super) fn text(bytes: &[u8], out: &mut Vec<u8>) {
    let kind = if std::str::from_utf8(bytes).is_ok() { 3 } else { 2 };
    string(kind, bytes, out);
}

fn string(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    head(kind, bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Section 3: three bits of kind, and a number in as few bytes as it takes.
fn head(kind: u8, number: u64, out: &mut Vec<u8>) {
    let kind = kind << 5;
    match number {
        0..24 => out.push(kind | number as u8),
        24..0x100 => out.extend_from_slice(&[kind | 24, number as u8]),
        0x100..0x1_0000 => {
            out.push(kind | 25);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(kind | 26);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            out.push(kind | 27);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of RFC 8949, appendix A, and what has no type of its own there.
    #[test]
    fn values() {
        for (sample, cast, expected) in [
            (Some(Sample::Int(0)), None, "00"),
            (Some(Sample::Int(23)), None, "17"),
            (Some(Sample::Int(24)), None, "1818"),
            (Some(Sample::Int(1000)), None, "1903e8"),
            (Some(Sample::Int(1_000_000)), None, "1a000f4240"),
            (Some(Sample::Int(1_000_000_000_000)), None, "1b000000e8d4a51000"),
            (Some(Sample::Int(-1)), None, "20"),
            (Some(Sample::Int(-1000)), None, "3903e7"),
            (Some(Sample::Int(i64::MIN)), None, "3b7fffffffffffffff"),
            (Some(Sample::Bool(false)), None, "f4"),
            (Some(Sample::Bool(true)), None, "f5"),
            (None, None, "f6"),
            (Some(Sample::Bin(b"\x01\x02\x03\x04")), None, "4401020304"),
            (Some(Sample::Str(b"")), None, "60"),
            (Some(Sample::Str(b"IETF")), None, "6449455446"),
            (Some(Sample::Str("ü".as_bytes())), None, "62c3bc"),
            (Some(Sample::Str(b"\xff")), None, "41ff"),
            (Some(Sample::Str(b"12")), Some(Cast::Int), "0c"),
            (Some(Sample::Int(12)), Some(Cast::Str), "623132"),
            (Some(Sample::Str(b"true")), Some(Cast::Bool), "f5"),
            (Some(Sample::Str(b"")), Some(Cast::Int), "f6"),
        ] {
            let mut out = Vec::new();
            value(sample, cast, &mut out);
            let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected, "{sample:?} {cast:?}");
        }
    }
}
