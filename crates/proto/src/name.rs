//! Field names: the grammar, and a number for each name the proxy itself cares about.
//!
//! [`classify`] runs once per received field, so that later look-ups compare a byte instead of strings, and a set of
//! names fits one `u64`. Names are compared without case; the received spelling is never changed.

macro_rules! ids {
    ($($(#[doc = $doc:literal])* $id:ident = $number:literal;)+) => {
        $($(#[doc = $doc])* pub(crate) const $id: u8 = $number;)+
    };
}

ids! {
    OTHER = 0;
    CONNECTION = 1;
    KEEP_ALIVE = 2;
    PROXY_CONNECTION = 3;
    TE = 4;
    TRANSFER_ENCODING = 5;
    CONTENT_LENGTH = 6;
    UPGRADE = 7;
    HOST = 8;
    EXPECT = 9;
    TRAILER = 10;
    COOKIE = 11;
    SET_COOKIE = 12;
    AUTHORIZATION = 13;
    PROXY_AUTHORIZATION = 14;
    PROXY_AUTHENTICATE = 15;
    WWW_AUTHENTICATE = 16;
    USER_AGENT = 17;
    ACCEPT = 18;
    ACCEPT_ENCODING = 19;
    ACCEPT_LANGUAGE = 20;
    REFERER = 21;
    ORIGIN = 22;
    CONTENT_TYPE = 23;
    CONTENT_ENCODING = 24;
    CACHE_CONTROL = 25;
    PRAGMA = 26;
    DATE = 27;
    SERVER = 28;
    LOCATION = 29;
    LAST_MODIFIED = 30;
    ETAG = 31;
    IF_NONE_MATCH = 32;
    IF_MODIFIED_SINCE = 33;
    RANGE = 34;
    VARY = 35;
    VIA = 36;
    FORWARDED = 37;
    X_FORWARDED_FOR = 38;
    X_FORWARDED_PROTO = 39;
    X_FORWARDED_HOST = 40;
    X_FORWARDED_PORT = 41;
    X_REAL_IP = 42;
    X_REQUEST_ID = 43;
    ACCEPT_RANGES = 44;
    AGE = 45;
    EXPIRES = 46;
    CONTENT_RANGE = 47;
    RETRY_AFTER = 48;
    MAX_FORWARDS = 49;
    IF_MATCH = 50;
    IF_RANGE = 51;
    IF_UNMODIFIED_SINCE = 52;
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

/// The known names, lower case, with their number.
#[inline]
pub(crate) fn classify(name: &[u8]) -> u8 {
    /// Setting bit 5 lower-cases letters and leaves digits and `-` alone; no other token character becomes one of them.
    #[inline(always)]
    fn lower<const N: usize>(name: &[u8]) -> [u8; N] {
        let mut out = [0; N];
        for (to, from) in out.iter_mut().zip(name) {
            *to = from | 0x20;
        }
        out
    }
    match name.len() {
        2 if &lower(name) == b"te" => TE,
        3 => match &lower(name) {
            b"age" => AGE,
            b"via" => VIA,
            _ => OTHER,
        },
        4 => match &lower(name) {
            b"host" => HOST,
            b"date" => DATE,
            b"etag" => ETAG,
            b"vary" => VARY,
            _ => OTHER,
        },
        5 if &lower(name) == b"range" => RANGE,
        6 => match &lower(name) {
            b"accept" => ACCEPT,
            b"cookie" => COOKIE,
            b"server" => SERVER,
            b"expect" => EXPECT,
            b"origin" => ORIGIN,
            b"pragma" => PRAGMA,
            _ => OTHER,
        },
        7 => match &lower(name) {
            b"upgrade" => UPGRADE,
            b"referer" => REFERER,
            b"trailer" => TRAILER,
            b"expires" => EXPIRES,
            _ => OTHER,
        },
        8 => match &lower(name) {
            b"location" => LOCATION,
            b"if-match" => IF_MATCH,
            b"if-range" => IF_RANGE,
            _ => OTHER,
        },
        9 => match &lower(name) {
            b"forwarded" => FORWARDED,
            b"x-real-ip" => X_REAL_IP,
            _ => OTHER,
        },
        10 => match &lower(name) {
            b"connection" => CONNECTION,
            b"user-agent" => USER_AGENT,
            b"keep-alive" => KEEP_ALIVE,
            b"set-cookie" => SET_COOKIE,
            _ => OTHER,
        },
        11 if &lower(name) == b"retry-after" => RETRY_AFTER,
        12 => match &lower(name) {
            b"content-type" => CONTENT_TYPE,
            b"x-request-id" => X_REQUEST_ID,
            b"max-forwards" => MAX_FORWARDS,
            _ => OTHER,
        },
        13 => match &lower(name) {
            b"cache-control" => CACHE_CONTROL,
            b"authorization" => AUTHORIZATION,
            b"last-modified" => LAST_MODIFIED,
            b"if-none-match" => IF_NONE_MATCH,
            b"accept-ranges" => ACCEPT_RANGES,
            b"content-range" => CONTENT_RANGE,
            _ => OTHER,
        },
        14 if &lower(name) == b"content-length" => CONTENT_LENGTH,
        15 => match &lower(name) {
            b"accept-encoding" => ACCEPT_ENCODING,
            b"accept-language" => ACCEPT_LANGUAGE,
            b"x-forwarded-for" => X_FORWARDED_FOR,
            _ => OTHER,
        },
        16 => match &lower(name) {
            b"content-encoding" => CONTENT_ENCODING,
            b"proxy-connection" => PROXY_CONNECTION,
            b"www-authenticate" => WWW_AUTHENTICATE,
            b"x-forwarded-host" => X_FORWARDED_HOST,
            b"x-forwarded-port" => X_FORWARDED_PORT,
            _ => OTHER,
        },
        17 => match &lower(name) {
            b"transfer-encoding" => TRANSFER_ENCODING,
            b"x-forwarded-proto" => X_FORWARDED_PROTO,
            b"if-modified-since" => IF_MODIFIED_SINCE,
            _ => OTHER,
        },
        18 if &lower(name) == b"proxy-authenticate" => PROXY_AUTHENTICATE,
        19 => match &lower(name) {
            b"proxy-authorization" => PROXY_AUTHORIZATION,
            b"if-unmodified-since" => IF_UNMODIFIED_SINCE,
            _ => OTHER,
        },
        _ => OTHER,
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
pub(crate) fn is_value(value: &[u8]) -> bool {
    value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f))
}

/// `value` without the blanks around it.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|&b| b != b' ' && b != b'\t').unwrap_or(value.len());
    let end = value.iter().rposition(|&b| b != b' ' && b != b'\t').map_or(start, |i| i + 1);
    &value[start..end]
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
        for (name, id) in [(*b"content-length", CONTENT_LENGTH), (*b"x-forwarded-fo", OTHER)] {
            for at in 0..name.len() {
                for b in (0..=255u8).filter(|&b| TOKEN[b as usize]) {
                    let mut changed = name;
                    changed[at] = b;
                    let same = changed.eq_ignore_ascii_case(&name);
                    assert_eq!(classify(&changed) == id, same || id == OTHER, "{changed:?}");
                }
            }
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
