//! Request targets and host names: RFC 9112 §3.2 and the authority grammar of RFC 3986 §3.2.
//!
//! Called while a request is parsed and when its target or Host is edited. Borrows and splits, never decodes.

use crate::{Malformed, Method};

/// A target taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// `http` in `http://host/path`.
    pub(crate) scheme: Option<&'a [u8]>,
    /// `host:port` of the absolute form or of CONNECT.
    pub(crate) authority: Option<&'a [u8]>,
    /// `*` and the authority of CONNECT stand for themselves; the absolute form without a path has `/`.
    pub(crate) path: &'a [u8],
    /// What follows the first `?`.
    pub(crate) query: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// Splits without judging: bytes that have no known form are all path.
    #[inline]
    pub(crate) fn split(target: &'a [u8], method: Method) -> Target<'a> {
        if method == Method::Connect {
            return Target { scheme: None, authority: Some(target), path: target, query: None };
        }
        let (scheme, authority, rest) = match absolute(target) {
            Some((scheme, authority, rest)) => (Some(scheme), Some(authority), rest),
            None => (None, None, target),
        };
        let (path, query) = match memchr::memchr(b'?', rest) {
            Some(i) => (&rest[..i], Some(&rest[i + 1..])),
            None => (rest, None),
        };
        let path = if path.is_empty() && scheme.is_some() { b"/" } else { path };
        Target { scheme, authority, path, query }
    }

    /// Refuses bytes and forms that no target may have; returns the authority with its scheme if it names one.
    #[inline]
    pub(crate) fn check(target: &'a [u8], method: Method) -> Result<Option<Authority<'a>>, Malformed> {
        if !is_plain(target) {
            return Err(if is_visible(target) { Malformed::FragmentInTarget } else { Malformed::BadTarget });
        }
        match (method, target) {
            // CONNECT names a port (RFC 9112 §3.2.3).
            (Method::Connect, _) => {
                let host = Host::parse(target).ok_or(Malformed::BadTarget)?;
                match host.port {
                    Some([_, ..]) => Ok(Some(Authority { scheme: None, bytes: target, host })),
                    _ => Err(Malformed::BadTarget),
                }
            }
            (_, [b'/', ..]) | (Method::Options, b"*") => Ok(None),
            _ => {
                let (scheme, bytes, _) = absolute(target).ok_or(Malformed::BadTarget)?;
                let host = Host::parse(bytes).filter(|h| !h.name.is_empty()).ok_or(Malformed::BadHost)?;
                Ok(Some(Authority { scheme: Some(scheme), bytes, host }))
            }
        }
    }
}

/// The authority a target names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    /// None for CONNECT.
    pub(crate) scheme: Option<&'a [u8]>,
    /// As it is in the target.
    pub(crate) bytes: &'a [u8],
    pub(crate) host: Host<'a>,
}

/// `scheme "://" authority` and the rest.
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    if target.first().is_none_or(|b| !b.is_ascii_alphabetic()) {
        return None;
    }
    let colon = memchr::memchr(b':', target)?;
    let scheme = &target[..colon];
    let rest = target[colon..].strip_prefix(b"://")?;
    if !scheme.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)) {
        return None;
    }
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    Some((scheme, &rest[..end], &rest[end..]))
}

/// `target` with another authority; `None` unless it has the absolute form.
pub(crate) fn with_authority(target: &[u8], authority: &[u8]) -> Option<Vec<u8>> {
    let (scheme, _, rest) = absolute(target)?;
    Some([scheme, b"://", authority, rest].concat())
}

/// Whether every byte is a VCHAR and there is one.
pub(crate) fn is_visible(target: &[u8]) -> bool {
    !target.is_empty() && target.iter().all(|b| b.is_ascii_graphic())
}

/// [`is_visible`], and no `#`.
#[inline]
pub(crate) fn is_plain(target: &[u8]) -> bool {
    // No early exit, so that it is done many bytes at a time.
    !target.is_empty() & target.iter().fold(true, |plain, &b| plain & b.is_ascii_graphic() & (b != b'#'))
}

/// `uri-host [":" port]`, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host<'a> {
    /// With its brackets when it is an IPv6 address.
    pub(crate) name: &'a [u8],
    /// Digits, maybe none.
    pub(crate) port: Option<&'a [u8]>,
}

impl<'a> Host<'a> {
    /// `None` when the bytes are no host: user information, a bad character, a port that is no number below 65536.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Host<'a>> {
        let end = if bytes.first() == Some(&b'[') {
            let close = memchr::memchr(b']', bytes)?;
            let address = std::str::from_utf8(&bytes[1..close]).ok()?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            close + 1
        } else {
            let end = bytes.iter().position(|&b| !HOST[b as usize]).unwrap_or(bytes.len());
            match bytes.get(end) {
                None | Some(b':') => end,
                Some(_) => reg_name_end(bytes, end)?,
            }
        };
        let port = match &bytes[end..] {
            [] => None,
            [b':', port @ ..] => {
                port_number(port)?;
                if end == 0 {
                    return None;
                }
                Some(port)
            }
            _ => return None,
        };
        Some(Host { name: &bytes[..end], port })
    }

    /// Whether both name the same place for this scheme: case is ignored and a default port may be left out. CONNECT
    /// has no scheme, so both well-known ports count as default there.
    pub(crate) fn is_same(self, other: Host<'_>, scheme: Option<&[u8]>) -> bool {
        let port = |host: Host<'_>| match host.port.and_then(port_number).flatten() {
            Some(80) if scheme.is_none_or(|s| s.eq_ignore_ascii_case(b"http")) => None,
            Some(443) if scheme.is_none_or(|s| s.eq_ignore_ascii_case(b"https")) => None,
            port => port,
        };
        // Without a scheme, 80 and 443 are each like no port, but not like each other.
        let contradict = scheme.is_none()
            && matches!((self.port.and_then(port_number), other.port.and_then(port_number)), (Some(a), Some(b)) if a != b);
        self.name.eq_ignore_ascii_case(other.name) && port(self) == port(other) && !contradict
    }
}

/// The port's number; the inner `None` is an empty port, the outer one a bad one.
#[allow(clippy::option_option)]
fn port_number(port: &[u8]) -> Option<Option<u16>> {
    if port.is_empty() {
        return Some(None);
    }
    // Leading zeros are tolerated up to five digits.
    if port.len() > 5 {
        return None;
    }
    let mut number = 0u32;
    for b in port {
        if !b.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u32::from(b - b'0');
    }
    u16::try_from(number).ok().map(Some)
}

/// RFC 3986 unreserved and sub-delims: what a `reg-name` is made of besides percent triplets.
static HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = (b as u8).is_ascii_alphanumeric();
        b += 1;
    }
    let marks = b"-._~!$&'()*+,;=";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};

/// Where a `reg-name` with percent triplets ends, all before `at` being fine; `None` unless at the port or at the end.
fn reg_name_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match &bytes[at..] {
            [] | [b':', ..] => return Some(at),
            [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => at += 3,
            [b, ..] if HOST[*b as usize] => at += 1,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn splits_every_form() {
        let split = |t: &'static str| Target::split(t.as_bytes(), Method::Get);
        assert_eq!((split("/a/b?c?d").path, split("/a/b?c?d").query), (&b"/a/b"[..], Some(&b"c?d"[..])));
        assert_eq!((split("/a?").path, split("/a?").query), (&b"/a"[..], Some(&b""[..])));
        assert_eq!(split("*").path, b"*");
        let t = split("http://a:1?x=/y");
        assert_eq!((t.authority.unwrap(), t.path, t.query.unwrap()), (&b"a:1"[..], &b"/"[..], &b"x=/y"[..]));
        let t = split("HTTPS://[::1]:8/p//q");
        assert_eq!((t.scheme.unwrap(), t.authority.unwrap(), t.path), (&b"HTTPS"[..], &b"[::1]:8"[..], &b"/p//q"[..]));
        assert_eq!(Target::split(b"a:443", Method::Connect).authority, Some(&b"a:443"[..]));
        // A URL inside a path is path.
        assert_eq!(split("/http://a/").scheme, None);
    }

    #[test]
    fn forms_by_method() {
        let ok = |m, t: &str| Target::check(t.as_bytes(), m).is_ok();
        assert!(ok(Method::Options, "*") && !ok(Method::Get, "*"));
        assert!(ok(Method::Connect, "a:443") && ok(Method::Connect, "[::1]:443"));
        for bad in ["a", "a:", "/", "http://a:443/", "u@a:443", "a:0x1", "a:65536"] {
            assert!(!ok(Method::Connect, bad), "{bad}");
        }
        for bad in
            ["a", "a:443", "a/b", "?x", "://a/", "1http://a/", "ht tp://a/", "http:/a", "/a\u{7f}", "/\u{e9}", "/a#b"]
        {
            assert!(!ok(Method::Get, bad), "{bad}");
        }
    }

    #[test]
    fn hosts() {
        for good in ["a", "a.b-c_d:80", "1.2.3.4", "[::1]", "[fe80::1]:8080", "a:", "", "%41b", "a:00080"] {
            assert!(Host::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "a b",
            "a/b",
            "u@a",
            "a:b",
            "a:1:2",
            "[::1",
            "[::1]x",
            "[]",
            "[1.2.3.4]",
            "::1",
            "a\\b",
            "%4",
            "a:999999",
            "a?",
            "[fe80::1%25eth0]",
            ":80",
        ] {
            assert!(Host::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn same_place() {
        let same = |a: &str, b: &str, scheme: Option<&str>| {
            let (a, b) = (Host::parse(a.as_bytes()).unwrap(), Host::parse(b.as_bytes()).unwrap());
            assert_eq!(a.is_same(b, scheme.map(str::as_bytes)), b.is_same(a, scheme.map(str::as_bytes)));
            a.is_same(b, scheme.map(str::as_bytes))
        };
        assert!(
            same("A.b", "a.B:80", Some("http")) && same("a:443", "a", Some("https")) && same("a:", "a", Some("http"))
        );
        assert!(!same("a:443", "a", Some("http")) && !same("a", "b", Some("http")) && !same("a:81", "a:82", None));
        assert!(same("a:443", "a", None) && same("a:80", "a", None) && !same("a:80", "a:443", None));
        assert!(same("a:8080", "a:08080", None) && !same("a:8080", "a", None));
    }
}
