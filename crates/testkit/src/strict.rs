//! What RFC 9113 section 8 forbids in the fields of a message, so that a test peer notices what a lenient one would pass over.

use crate::hpack::Field;

/// What is wrong with these fields of a message that a server (`request`) or a client received.
pub(crate) fn check(fields: &[Field], request: bool, trailers: bool, end: bool) -> Option<String> {
    let mut regular = false;
    let mut seen: Vec<&[u8]> = Vec::new();
    for (name, value) in fields {
        let text = String::from_utf8_lossy(name);
        if name.is_empty() || name.iter().any(|b| b.is_ascii_uppercase() || *b <= b' ' || *b >= 0x7f) {
            return Some(format!("a field name with a forbidden byte: {text:?}"));
        }
        if value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
            return Some(format!("a forbidden byte in the value of {text}"));
        }
        let edge = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        if edge(value.first()) || edge(value.last()) {
            return Some(format!("space around the value of {text}"));
        }
        if let Some(pseudo) = name.strip_prefix(b":") {
            let known: &[&[u8]] =
                if request { &[b"method", b"scheme", b"path", b"authority", b"protocol"] } else { &[b"status"] };
            if trailers || regular || seen.contains(&pseudo) || !known.contains(&pseudo) {
                return Some(format!("{text} where it must not be"));
            }
            seen.push(pseudo);
            continue;
        }
        regular = true;
        let of_connection = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
        if of_connection.contains(&&*text) || (name == b"te" && value != b"trailers") {
            return Some(format!("{text}, which is of HTTP/1"));
        }
    }
    if trailers {
        return (!end).then(|| "trailers that do not end the stream".to_owned());
    }
    let get = |name: &[u8]| fields.iter().find(|(n, _)| n == name).map(|(_, v)| &v[..]);
    if !request {
        return (!seen.contains(&&b"status"[..])).then(|| "no :status".to_owned());
    }
    let connect = get(b":method") == Some(b"CONNECT") && get(b":protocol").is_none();
    let wanted: &[&[u8]] = if connect { &[b"method", b"authority"] } else { &[b"method", b"scheme", b"path"] };
    if let Some(missing) = wanted.iter().find(|w| !seen.contains(w)) {
        return Some(format!("no :{}", String::from_utf8_lossy(missing)));
    }
    if connect && seen.len() != 2 {
        return Some(":scheme or :path with CONNECT".to_owned());
    }
    if !connect && get(b":path").is_some_and(|p| p.is_empty() || (p[0] != b'/' && p != b"*")) {
        return Some("a :path that is no path".to_owned());
    }
    match (get(b":authority"), get(b"host")) {
        (Some(a), Some(h)) if a != h => Some("Host says something else than :authority".to_owned()),
        (None, None) => Some("neither :authority nor Host".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(list: &[(&str, &str)], request: bool) -> Option<String> {
        let fields: Vec<Field> = list.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
        check(&fields, request, false, false)
    }

    #[test]
    fn what_is_forbidden_is_noticed() {
        let good = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
        assert_eq!(said(&good, true), None);
        assert_eq!(said(&[(":status", "200"), ("te", "trailers")], false), None);
        for bad in
            [("Upper", "x"), ("connection", "close"), ("te", "gzip"), ("host", "b"), (":path", "/2"), ("a", " b")]
        {
            let mut list = good.to_vec();
            list.push(bad);
            assert!(said(&list, true).is_some(), "{bad:?}");
        }
        assert!(said(&[("a", "b"), (":status", "200")], false).is_some());
        assert!(said(&good[..3], true).is_some(), "no authority");
    }
}
