//! Where a body ends: RFC 9112 §6.3, from the fields of a parsed head.
//!
//! Called once per head by the parser. Reads every Content-Length and Transfer-Encoding field and refuses whatever two
//! recipients could read in two ways; the answer is one [`Framing`].

use crate::{Framing, Malformed, Method, Version, name};

/// Larger lengths are refused, so that sums of lengths cannot overflow.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// What the framing fields say, before the method and status are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    length: Option<u64>,
    /// How many Transfer-Encoding fields there are, and whether they list `chunked` alone.
    encodings: usize,
    chunked: bool,
    /// Whether the length is one field with one plain number, which may be sent as it was received.
    pub(crate) plain_length: bool,
}

impl Fields {
    /// Takes in one Content-Length value; several must agree, as must the members of a list (RFC 9110 §8.6).
    pub(crate) fn add_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        self.plain_length = self.length.is_none() && (value == b"0" || value.first() != Some(&b'0'));
        for member in value.split(|&b| b == b',') {
            self.plain_length &= member.len() == value.len();
            let length = decimal(name::trim(member)).ok_or(Malformed::BadContentLength)?;
            if self.length.is_some_and(|first| first != length) {
                return Err(Malformed::ConflictingContentLength);
            }
            self.length = Some(length);
        }
        Ok(())
    }

    /// Takes in one Transfer-Encoding value.
    pub(crate) fn add_encoding(&mut self, value: &[u8]) {
        self.encodings += 1;
        self.chunked = self.encodings == 1 && value.eq_ignore_ascii_case(b"chunked");
    }

    /// The length, if there is one.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// What the fields alone say; `None` if there are none.
    fn declared(&self, version: Version) -> Result<Option<Framing>, Malformed> {
        match (self.encodings, self.length) {
            (0, length) => Ok(length.map(Framing::Length)),
            (_, Some(_)) => Err(Malformed::LengthAndTransferEncoding),
            _ if version == Version::Http10 => Err(Malformed::TransferEncodingInHttp10),
            _ if !self.chunked => Err(Malformed::BadTransferEncoding),
            _ => Ok(Some(Framing::Chunked)),
        }
    }

    /// The framing of a request.
    pub(crate) fn request(&self, method: Method, version: Version) -> Result<Framing, Malformed> {
        let framing = self.declared(version)?.unwrap_or(Framing::Empty);
        let has_body = !matches!(framing, Framing::Empty | Framing::Length(0));
        let ambiguous = match method {
            // What follows the head of a CONNECT belongs to the tunnel (RFC 9110 §9.3.6).
            Method::Connect => true,
            // HTTP/1.0 recipients are known to read the body of these as the next request.
            Method::Get | Method::Head | Method::Delete => version == Version::Http10,
            Method::Post | Method::Put | Method::Options | Method::Trace | Method::Patch | Method::Other => false,
        };
        if has_body && ambiguous { Err(Malformed::BodyNotAllowed) } else { Ok(framing) }
    }

    /// The framing of a response to `request`, in the order of RFC 9112 §6.3.
    pub(crate) fn response(&self, status: u16, version: Version, request: Method) -> Result<Framing, Malformed> {
        match (status, request) {
            (101, _) => Ok(Framing::Tunnel),
            (100..=199 | 204 | 304, _) => Ok(Framing::Empty),
            (200..=299, Method::Connect) => Ok(Framing::Tunnel),
            // A HEAD answer has the fields a GET answer would have: they must make sense, but frame nothing.
            (_, Method::Head) => self.declared(version).map(|_| Framing::Empty),
            _ => Ok(self.declared(version)?.unwrap_or(Framing::UntilClose)),
        }
    }
}

/// Digits only: no sign, no blank, no overflow.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for b in digits {
        if !b.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(b - b'0'))?;
    }
    (number <= MAX_LENGTH).then_some(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lengths(values: &[&str]) -> Result<Fields, Malformed> {
        let mut fields = Fields::default();
        for value in values {
            fields.add_length(value.as_bytes())?;
        }
        Ok(fields)
    }

    #[test]
    fn plain_lengths_only_travel_verbatim() {
        for (values, plain) in [
            (&["5"][..], true),
            (&["0"], true),
            (&["05"], false),
            (&["00"], false),
            (&["5", "5"], false),
            (&["5, 5"], false),
            (&["5,5"], false),
        ] {
            assert_eq!(lengths(values).unwrap().plain_length, plain, "{values:?}");
        }
    }

    #[test]
    fn lengths_that_are_no_number() {
        for bad in [
            "",
            " ",
            "+5",
            "-5",
            "0x5",
            "5 5",
            "5.",
            "5,",
            ",5",
            "5,,5",
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999999",
        ] {
            assert_eq!(lengths(&[bad]), Err(Malformed::BadContentLength), "{bad}");
        }
        assert_eq!(lengths(&["9223372036854775807"]).unwrap().length(), Some(MAX_LENGTH));
        assert_eq!(lengths(&["5", "6"]), Err(Malformed::ConflictingContentLength));
        assert_eq!(lengths(&["5, 6"]), Err(Malformed::ConflictingContentLength));
    }
}
