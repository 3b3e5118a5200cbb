//! Field names: the grammar, and a number for each name the proxy itself cares about.
//!
//! [`classify`] runs once per received field, so that later look-ups compare a byte instead of strings, and a set of
//! names fits one `u64`. Names are compared without case; the received spelling is never changed.

use std::fmt;

use crate::BadEdit;

macro_rules! known {
    ($($id:ident = $number:literal $name:literal;)+) => {
        $(pub(crate) const $id: u8 = $number;)+
        /// Every known name, lower case.
        const NAMES: &[(&[u8], u8)] = &[$(($name, $id)),+];
    };
}

/// Any name that is not in the list.
pub(crate) const OTHER: u8 = 0;

// At most 63, as a set of them is a `u64`.
known! {
    CONNECTION = 1 b"connection";
    KEEP_ALIVE = 2 b"keep-alive";
    PROXY_CONNECTION = 3 b"proxy-connection";
    TE = 4 b"te";
    TRANSFER_ENCODING = 5 b"transfer-encoding";
    CONTENT_LENGTH = 6 b"content-length";
    UPGRADE = 7 b"upgrade";
    HOST = 8 b"host";
    EXPECT = 9 b"expect";
    TRAILER = 10 b"trailer";
    COOKIE = 11 b"cookie";
    SET_COOKIE = 12 b"set-cookie";
    AUTHORIZATION = 13 b"authorization";
    PROXY_AUTHORIZATION = 14 b"proxy-authorization";
    PROXY_AUTHENTICATE = 15 b"proxy-authenticate";
    WWW_AUTHENTICATE = 16 b"www-authenticate";
    USER_AGENT = 17 b"user-agent";
    ACCEPT = 18 b"accept";
    ACCEPT_ENCODING = 19 b"accept-encoding";
    ACCEPT_LANGUAGE = 20 b"accept-language";
    REFERER = 21 b"referer";
    ORIGIN = 22 b"origin";
    CONTENT_TYPE = 23 b"content-type";
    CONTENT_ENCODING = 24 b"content-encoding";
    CACHE_CONTROL = 25 b"cache-control";
    PRAGMA = 26 b"pragma";
    DATE = 27 b"date";
    SERVER = 28 b"server";
    LOCATION = 29 b"location";
    LAST_MODIFIED = 30 b"last-modified";
    ETAG = 31 b"etag";
    IF_NONE_MATCH = 32 b"if-none-match";
    IF_MODIFIED_SINCE = 33 b"if-modified-since";
    RANGE = 34 b"range";
    VARY = 35 b"vary";
    VIA = 36 b"via";
    FORWARDED = 37 b"forwarded";
    X_FORWARDED_FOR = 38 b"x-forwarded-for";
    X_FORWARDED_PROTO = 39 b"x-forwarded-proto";
    X_FORWARDED_HOST = 40 b"x-forwarded-host";
    X_FORWARDED_PORT = 41 b"x-forwarded-port";
    X_REAL_IP = 42 b"x-real-ip";
    X_REQUEST_ID = 43 b"x-request-id";
    ACCEPT_RANGES = 44 b"accept-ranges";
    AGE = 45 b"age";
    EXPIRES = 46 b"expires";
    CONTENT_RANGE = 47 b"content-range";
    RETRY_AFTER = 48 b"retry-after";
    MAX_FORWARDS = 49 b"max-forwards";
    IF_MATCH = 50 b"if-match";
    IF_RANGE = 51 b"if-range";
    IF_UNMODIFIED_SINCE = 52 b"if-unmodified-since";
}

/// The member of a set of names.
#[inline]
pub(crate) const fn bit(id: u8) -> u64 {
    1 << id
}

/// Fields that end at the next hop (RFC 9110 §7.6.1): the encoder writes its own.
pub(crate) const HOP_BY_HOP: u64 = bit(CONNECTION)
    | bit(KEEP_ALIVE)
    | bit(PROXY_CONNECTION)
    | bit(TE)
    | bit(TRANSFER_ENCODING)
    | bit(CONTENT_LENGTH)
    | bit(UPGRADE);

/// Known names that may travel as trailers. All others steer framing, routing, authentication, caching or the reading
/// of the content, and come too late in a trailer (RFC 9110 §6.5.1).
const TRAILER_SAFE: u64 = bit(OTHER) | bit(ETAG) | bit(SERVER) | bit(X_REQUEST_ID);

/// A field name that is known long before the message: what look-ups and edits must find out of a name was found out once.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldName {
    text: Box<[u8]>,
    id: u8,
    /// Why no edit may add it.
    fault: Option<BadEdit>,
}

impl FieldName {
    /// Any name. One that is no token is found nowhere, and edits refuse it.
    #[must_use]
    pub fn new(name: &[u8]) -> FieldName {
        FieldName { text: name.into(), id: classify(name), fault: check(name).err() }
    }

    /// As it was given.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    #[inline]
    pub(crate) fn id(&self) -> u8 {
        self.id
    }

    /// Its number, if an edit may add it.
    #[inline]
    pub(crate) fn check(&self) -> Result<u8, BadEdit> {
        self.fault.map_or(Ok(self.id), Err)
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.text))
    }
}

/// The name's number, if an edit may add it.
pub(crate) fn check(name: &[u8]) -> Result<u8, BadEdit> {
    let id = classify(name);
    // A known name is a token.
    if id == OTHER && !is_token(name) {
        return Err(BadEdit::BadName);
    }
    if HOP_BY_HOP & bit(id) != 0 { Err(BadEdit::HopByHop) } else { Ok(id) }
}

/// The number of a name; [`OTHER`] if it is not known.
#[inline]
pub(crate) fn classify(name: &[u8]) -> u8 {
    let key = key(name);
    let known = &KNOWN[usize::from(PLACES[place(key, SPREAD)])];
    // The key covers 16 bytes.
    let same = known.key == key
        && known.name.len() == name.len()
        && (name.len() <= 16 || name.eq_ignore_ascii_case(known.name));
    if same { known.id } else { OTHER }
}

/// A known name as [`classify`] compares it.
#[derive(Clone, Copy)]
struct Known {
    key: [u64; 2],
    name: &'static [u8],
    id: u8,
}

static KNOWN: [Known; NAMES.len()] = {
    let mut known = [Known { key: [0; 2], name: b"", id: OTHER }; NAMES.len()];
    let mut at = 0;
    while at < NAMES.len() {
        let (name, id) = NAMES[at];
        known[at] = Known { key: key(name), name, id };
        at += 1;
    }
    known
};

/// Which of [`KNOWN`] a key can only be; any where no name belongs.
static PLACES: [u8; 256] = match places(SPREAD) {
    Some(places) => places,
    None => panic!("two names share a place"),
};

/// A factor that gives each known name a place of its own.
const SPREAD: u64 = {
    let mut factor: u64 = 1;
    while places(factor).is_none() {
        factor = factor.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
    }
    factor
};

const fn places(factor: u64) -> Option<[u8; 256]> {
    let mut places = [0; 256];
    let mut taken = [false; 256];
    let mut at = 0;
    while at < NAMES.len() {
        let place = place(key(NAMES[at].0), factor);
        if taken[place] {
            return None;
        }
        taken[place] = true;
        places[place] = at as u8;
        at += 1;
    }
    Some(places)
}

#[inline]
const fn place(key: [u64; 2], factor: u64) -> usize {
    ((key[0] ^ key[1].rotate_left(29)).wrapping_mul(factor) >> 56) as usize
}

/// The first and the last 8 bytes, overlapping in short names, lower case. Setting bit 5 lower-cases letters and leaves
/// digits and `-` alone; no other token character becomes one of them.
#[inline]
const fn key(name: &[u8]) -> [u64; 2] {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        [u64::from_le_bytes(*first) | LOWER, u64::from_le_bytes(*last) | LOWER]
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        [u32::from_le_bytes(*first) as u64 | LOWER, u32::from_le_bytes(*last) as u64 | LOWER]
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        [u16::from_le_bytes(*first) as u64 | LOWER, u16::from_le_bytes(*last) as u64 | LOWER]
    } else {
        [0; 2]
    }
}

/// Whether a field is meant for every recipient, so that naming it in Connection does not remove it: a client could
/// otherwise strip what the servers behind the proxy rely on (RFC 9110 §7.6.1 forbids such nominations).
pub(crate) fn is_for_everybody(id: u8, name: &[u8]) -> bool {
    if id == OTHER {
        has_prefix(name, b"content-") || has_prefix(name, b"x-forwarded-")
    } else {
        HOP_BY_HOP & bit(id) == 0
    }
}

/// Whether a trailer field of this name is passed on. Content-Digest is made to be a trailer (RFC 9530 §2).
pub(crate) fn may_trail(name: &[u8]) -> bool {
    TRAILER_SAFE & bit(classify(name)) != 0
        && !has_prefix(name, b"x-forwarded-")
        && (!has_prefix(name, b"content-") || name.eq_ignore_ascii_case(b"content-digest"))
}

/// Whether `name` is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&b| TOKEN[b as usize])
}

/// Whether `value` may stand in a field line: HTAB, SP, VCHAR and obs-text (RFC 9110 §5.5).
#[inline]
#[must_use]
pub fn is_value(value: &[u8]) -> bool {
    let plain = |part: &[u8]| part.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f));
    // Eight at a time; a word in which something stands out, be it a tab, is looked at byte by byte.
    let (words, rest) = value.as_chunks::<8>();
    words.iter().all(|word| !has_control(u64::from_le_bytes(*word)) || plain(word)) && plain(rest)
}

/// Whether one of eight bytes is a control character.
#[inline]
fn has_control(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    // A borrow out of a byte is told from a byte that had its high bit set.
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGH;
    below(word, 0x20) | below(word ^ (ONES * 0x7f), 1) != 0
}

/// `value` without the blanks around it.
#[inline]
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let mut rest = value;
    while let [b' ' | b'\t', after @ ..] = rest {
        rest = after;
    }
    while let [before @ .., b' ' | b'\t'] = rest {
        rest = before;
    }
    rest
}

fn has_prefix(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = (b as u8).is_ascii_alphanumeric();
        b += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classification_ignores_case_and_only_case() {
        assert_eq!(classify(b"Transfer-Encoding"), TRANSFER_ENCODING);
        assert_eq!(classify(b"TRANSFER-ENCODING"), TRANSFER_ENCODING);
        assert_eq!(classify(b"hOsT"), HOST);
        for name in [&b""[..], b"h", b"hos", b"hostt", b"x-host", b"transfer_encoding", b"Transfer.Encoding", b"te2"] {
            assert_eq!(classify(name), OTHER, "{name:?}");
        }
        // Every token character in every place of a known name.
        for &(name, id) in NAMES {
            assert_eq!(classify(&name.to_ascii_uppercase()), id);
            for at in 0..name.len() {
                for b in (0..=255u8).filter(|&b| TOKEN[b as usize]) {
                    let mut changed = name.to_vec();
                    changed[at] = b;
                    let other = NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(&changed)).map_or(OTHER, |n| n.1);
                    assert_eq!(classify(&changed), other, "{changed:?}");
                }
            }
        }
    }

    #[test]
    fn values_have_no_control_characters_wherever_they_stand() {
        for byte in 0..=255u8 {
            let fits = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            for length in 1..20 {
                for at in 0..length {
                    for fill in [b'a', 0x80, 0xff, b' ', b'\t'] {
                        let mut value = vec![fill; length];
                        value[at] = byte;
                        assert_eq!(is_value(&value), fits, "{value:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_name_made_early_is_judged_as_one_made_late() {
        for name in [&b"Host"[..], b"X-Any", b"connection", b"TE", b"a b", b"", b"X:"] {
            let early = FieldName::new(name);
            assert_eq!((early.as_bytes(), early.id(), early.check()), (name, classify(name), check(name)), "{name:?}");
        }
    }

    #[test]
    fn what_a_client_may_not_strip() {
        for name in [&b"Host"[..], b"Cookie", b"Authorization", b"Content-Disposition", b"X-Forwarded-Client-Cert"] {
            assert!(is_for_everybody(classify(name), name), "{name:?}");
        }
        for name in [&b"X-Hop"[..], b"HTTP2-Settings", b"Keep-Alive", b"TE"] {
            assert!(!is_for_everybody(classify(name), name), "{name:?}");
        }
    }

    #[test]
    fn trailers_that_travel() {
        for name in [&b"Grpc-Status"[..], b"ETag", b"Content-Digest", b"X-Checksum", b"Server-Timing"] {
            assert!(may_trail(name), "{name:?}");
        }
        for name in [
            &b"Host"[..],
            b"content-length",
            b"Transfer-Encoding",
            b"Set-Cookie",
            b"Content-Type",
            b"Trailer",
            b"Authorization",
            b"Range",
            b"X-Forwarded-For",
        ] {
            assert!(!may_trail(name), "{name:?}");
        }
    }

    #[test]
    fn trims_blanks_only() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b""), b"");
    }
}
