//! The few shapes of DER that OCSP needs, read with every length checked and written whole.
//!
//! X.509 itself is x509-parser's; this is for messages it does not know. Never allocates while reading.

/// Tags in use.
pub(crate) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    /// `[0]`, constructed.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    pub(crate) const CONTEXT_1: u8 = 0xa1;
    pub(crate) const CONTEXT_2: u8 = 0xa2;
    /// `[0]`, primitive.
    pub(crate) const PRIMITIVE_0: u8 = 0x80;
    pub(crate) const PRIMITIVE_2: u8 = 0x82;
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'d> {
    pub(crate) tag: u8,
    /// Its contents.
    pub(crate) body: &'d [u8],
    /// With tag and length.
    pub(crate) whole: &'d [u8],
}

/// Takes values from the front; `None` when there is none or it is malformed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'d>(pub(crate) &'d [u8]);

impl<'d> Reader<'d> {
    /// The next value, whatever it is.
    pub(crate) fn any(&mut self) -> Option<Value<'d>> {
        let (&tag, rest) = self.0.split_first()?;
        // Tags of several bytes are in none of the messages.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0u32, |length, byte| length << 8 | u32::from(*byte));
                (length as usize, rest)
            }
            _ => return None,
        };
        let (body, rest) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Value { tag, body, whole })
    }

    /// The next value when it has this tag; otherwise it stays.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Value<'d>> {
        if *self.0.first()? != tag {
            return None;
        }
        self.any()
    }

    /// The contents of the next value, which must have this tag.
    pub(crate) fn body(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.optional(tag).map(|value| value.body)
    }

    /// A reader of the contents of the next value, which must have this tag.
    pub(crate) fn inside(&mut self, tag: u8) -> Option<Reader<'d>> {
        self.body(tag).map(Reader)
    }
}

/// What is signed, how, and the signature: the shape of certificates and of OCSP responses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'d> {
    /// What is signed, with tag and length.
    pub(crate) message: &'d [u8],
    /// The contents of the algorithm identifier.
    pub(crate) algorithm: &'d [u8],
    pub(crate) signature: &'d [u8],
    /// What follows.
    pub(crate) rest: Reader<'d>,
}

impl<'d> Signed<'d> {
    pub(crate) fn read(der: &'d [u8]) -> Option<Signed<'d>> {
        let mut outer = Reader(der).inside(tag::SEQUENCE)?;
        let message = outer.optional(tag::SEQUENCE)?.whole;
        let algorithm = outer.body(tag::SEQUENCE)?;
        // The first byte counts the unused bits of the last, of which a signature has none.
        let (&0, signature) = outer.body(tag::BIT_STRING)?.split_first()? else { return None };
        Some(Signed { message, algorithm, signature, rest: outer })
    }
}

/// `YYYYMMDDhhmmssZ` in seconds since 1970.
pub(crate) fn generalized_time(text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if digits.len() != 14 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, to: usize| digits[from..to].iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970 of the proleptic Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// A value of these parts.
pub(crate) fn write(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        _ => {
            let bytes = length.to_be_bytes();
            let used = &bytes[length.leading_zeros() as usize / 8..];
            out.push(0x80 | used.len() as u8);
            out.extend_from_slice(used);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let body = vec![7; length];
            let whole = write(tag::OCTET_STRING, &[&body]);
            let mut reader = Reader(&whole);
            let value = reader.any().unwrap();
            assert_eq!((value.tag, value.body, value.whole), (tag::OCTET_STRING, &body[..], &whole[..]));
            assert!(reader.any().is_none());
            assert!(Reader(&whole[..whole.len() - 1]).any().is_none());
        }
        assert!(Reader(&[0x30, 0x80]).any().is_none());
        assert!(Reader(&[0x30, 0x85, 0, 0, 0, 0, 1, 1]).any().is_none());
        assert!(Reader(&[0x1f, 1, 1]).any().is_none());
    }

    #[test]
    fn times_are_read() {
        assert_eq!(generalized_time(b"19700101000000Z"), Some(0));
        assert_eq!(generalized_time(b"20000229123456Z"), Some(951_827_696));
        assert_eq!(generalized_time(b"20261231235959Z"), Some(1_798_761_599));
        for wrong in [&b"20260101000000"[..], b"2026010100000Z", b"20261301000000Z", b"2026010124000aZ", b""] {
            assert_eq!(generalized_time(wrong), None);
        }
    }
}
