//! Converters of header values: Host, Accept-Language, parameters, Forwarded (RFC 7239).

use std::net::{IpAddr, Ipv6Addr};

use crate::conv::{conv_table, text};
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const VALUES: Arg = Arg::one("value", ArgKind::Str);
const DEFAULT: Arg = Arg::maybe("default", ArgKind::Str);
const NAME: Arg = Arg::one("name", ArgKind::Str);
const DELIM: Arg = Arg::maybe("delim", ArgKind::Str);
const FIELD: Arg = Arg::one("field", ArgKind::Word(&["by", "for", "host", "proto"]));

conv_table! {
    "host_only" "host_only" [] Str -> Str host_only,
        "The host of a Host header without its port, in lower case; an IPv6 address keeps its brackets.",
        "req.hdr(host),host_only";
    "language" "language(<value>[,<default>])" [VALUES, DEFAULT] Str -> Str language,
        "Of the languages in an argument such as `es;fr;en`, the one that an Accept-Language header prefers; the default, \
         or nothing, when it accepts none. `fr-CH` accepts `fr` unless it is in the list itself.",
        "req.fhdr(accept-language),language(es;fr;en,en)";
    "param" "param(<name>[,<delim>])" [NAME, DELIM] Str -> Str param, prepare one_delimiter,
        "The value of the first parameter of that name, between `&` or another delimiting character; empty when it has no \
         `=`, undefined when it is not there.", "query,param(id)";
    "port_only" "port_only" [] Str -> Int port_only,
        "The port of a Host header; 0 when there is none.", "req.hdr(host),port_only";
    "rfc7239_field" "rfc7239_field(<field>)" [FIELD] Str -> Str rfc7239_field,
        "The value of by, for, host or proto in the first element of a Forwarded header, without quotes; undefined when \
         it is not there or the header is malformed.", "req.hdr(forwarded),rfc7239_field(host)";
    "rfc7239_is_valid" "rfc7239_is_valid" [] Str -> Bool rfc7239_is_valid,
        "True when the value has the form of a Forwarded header (RFC 7239 section 4).",
        "req.hdr(forwarded),rfc7239_is_valid";
    "rfc7239_n2nn" "rfc7239_n2nn" [] Str -> Any rfc7239_n2nn,
        "The name of a node of a Forwarded header (RFC 7239 section 6): an address, `unknown`, or `_` and a name.",
        "req.hdr(forwarded),rfc7239_field(for),rfc7239_n2nn";
    "rfc7239_n2np" "rfc7239_n2np" [] Str -> Any rfc7239_n2np,
        "The port of a node of a Forwarded header: a number, or `_` and a name; undefined when there is none.",
        "req.hdr(forwarded),rfc7239_field(for),rfc7239_n2np";
}

/// Host and port of a Host header. A colon inside brackets is none of the port's.
fn host_and_port(value: &[u8]) -> (&[u8], &[u8]) {
    match value.iter().rposition(|b| matches!(b, b':' | b']')) {
        Some(at) if value[at] == b':' => (&value[..at], &value[at + 1..]),
        _ => (value, b""),
    }
}

fn host_only<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (host, _) = host_and_port(text(sample)?);
    out.extend(host.iter().map(u8::to_ascii_lowercase));
    Some(Sample::Str(out))
}

fn port_only<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (_, port) = host_and_port(text(sample)?);
    let digits = !port.is_empty() && port.len() <= 9 && port.iter().all(u8::is_ascii_digit);
    let number = port.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit.wrapping_sub(b'0')));
    Some(Sample::Int(if digits { number } else { 0 }))
}

fn language<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let known = |name: &[u8]| Value::text(args, 0).split(|b| *b == b';').find(|value| *value == name);
    let mut best: Option<(u32, &[u8])> = None;
    for item in text(sample)?.split(|b| *b == b',') {
        let (name, parameter) = split_once(item, b';');
        let name = name.trim_ascii();
        let base = || name.iter().position(|b| *b == b'-').and_then(|dash| known(&name[..dash]));
        let Some(value) = known(name).or_else(base).filter(|value| !value.is_empty()) else { continue };
        let quality = parameter.map_or(1000, quality);
        // The first of those that are liked alike.
        if quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((quality, value));
        }
    }
    let default = Some(Value::text(args, 1)).filter(|default| !default.is_empty());
    best.map(|(_, value)| value).or(default).map(Sample::Str)
}

/// Thousandths of ` q=0.8`; what is no quality counts as the greatest.
fn quality(parameter: &[u8]) -> u32 {
    let read = || {
        let value = parameter.trim_ascii().strip_prefix(b"q")?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
        let (whole, fraction) = split_once(value, b'.');
        let fraction = fraction.unwrap_or(b"");
        if whole != b"0" || !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digit = |at: usize| fraction.get(at).map_or(0, |digit| u32::from(digit - b'0'));
        Some(digit(0) * 100 + digit(1) * 10 + digit(2))
    };
    read().unwrap_or(1000)
}

fn split_once(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(at, text) {
        Some(place) => (&text[..place], Some(&text[place + 1..])),
        None => (text, None),
    }
}

fn one_delimiter(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    match Value::text(args, 1).len() {
        0 | 1 => Ok(()),
        _ => Err("the delimiter is one character".into()),
    }
}

fn param<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let delimiter = Value::text(args, 1).first().copied().unwrap_or(b'&');
    let mut items = text(sample)?.split(move |b| *b == delimiter).map(|item| split_once(item, b'='));
    items.find(|(name, _)| *name == Value::text(args, 0)).map(|(_, value)| Sample::Str(value.unwrap_or(b"")))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Hands `visit` the pairs of all elements, with the number of the element; `false` when the header is malformed.
fn forwarded<'a>(header: &'a [u8], visit: &mut dyn FnMut(usize, &'a [u8], &'a [u8])) -> bool {
    let mut rest = header;
    let mut element = 0;
    loop {
        rest = rest.trim_ascii_start();
        let name_end = rest.iter().position(|b| !is_token(*b)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_end);
        let Some(after) = after.strip_prefix(b"=").filter(|_| !name.is_empty()) else { return false };
        let (value, after) = match after.first() {
            Some(b'"') => {
                let mut end = 1;
                loop {
                    match after.get(end) {
                        Some(b'"') => break,
                        Some(b'\\') => end += 2,
                        Some(_) => end += 1,
                        None => return false,
                    }
                }
                (&after[1..end], &after[end + 1..])
            }
            _ => after.split_at(after.iter().position(|b| !is_token(*b)).unwrap_or(after.len())),
        };
        if value.is_empty() {
            return false;
        }
        visit(element, name, value);
        match after.first() {
            Some(b';') => rest = &after[1..],
            _ => match after.trim_ascii_start().strip_prefix(b",") {
                Some(after) => (rest, element) = (after, element + 1),
                None => return after.trim_ascii().is_empty(),
            },
        }
    }
}

fn rfc7239_is_valid<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let mut sound = true;
    let mut seen = (usize::MAX, 0_u8);
    let whole = forwarded(text(sample)?, &mut |element, name, value| {
        if seen.0 != element {
            seen = (element, 0);
        }
        let bit = match &*name.to_ascii_lowercase() {
            b"by" => 1,
            b"for" => 2,
            b"host" => 4,
            b"proto" => 8,
            // Extensions are allowed (section 5.5).
            _ => 0,
        };
        // Each parameter once an element (section 4); nodes have a form (section 6).
        sound &= seen.1 & bit == 0 && (bit & 3 == 0 || node(value).is_some());
        seen.1 |= bit;
    });
    Some(Sample::Bool(whole && sound))
}

fn rfc7239_field<'a>(
    sample: Sample<'a>,
    args: &'a [Value],
    _: &'a Ctx<'_>,
    out: &'a mut Vec<u8>,
) -> Option<Sample<'a>> {
    let mut found: Option<&[u8]> = None;
    let whole = forwarded(text(sample)?, &mut |element, name, value| {
        if element == 0 && found.is_none() && name.eq_ignore_ascii_case(Value::text(args, 0)) {
            found = Some(value);
        }
    });
    let mut rest = found.filter(|_| whole)?.iter();
    while let Some(&byte) = rest.next() {
        match byte {
            b'\\' => out.extend(rest.next()),
            _ => out.push(byte),
        }
    }
    Some(Sample::Str(out))
}

/// Name and port of a node (RFC 7239 section 6).
fn node(text: &[u8]) -> Option<(Sample<'_>, Option<Sample<'_>>)> {
    let obfuscated = |text: &[u8]| {
        text.len() > 1 && text[0] == b'_' && text[1..].iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
    };
    let (name, port) = match text.strip_prefix(b"[") {
        Some(rest) => {
            let (name, after) = split_once(rest, b']');
            let ip: Ipv6Addr = std::str::from_utf8(name).ok()?.parse().ok()?;
            let after = after?;
            (Sample::Ip(IpAddr::V6(ip)), if after.is_empty() { None } else { Some(after.strip_prefix(b":")?) })
        }
        None => {
            let (name, port) = split_once(text, b':');
            let name = match std::str::from_utf8(name).ok()?.parse() {
                Ok(ip) => Sample::Ip(IpAddr::V4(ip)),
                Err(_) if name == b"unknown" || obfuscated(name) => Sample::Str(name),
                Err(_) => return None,
            };
            (name, port)
        }
    };
    let port = match port {
        None => None,
        Some(port) if obfuscated(port) => Some(Sample::Str(port)),
        Some(port) => {
            let number: u16 = std::str::from_utf8(port).ok()?.parse().ok()?;
            Some(Sample::Int(number.into()))
        }
    };
    Some((name, port))
}

fn rfc7239_n2nn<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    node(text(sample)?).map(|(name, _)| name)
}

fn rfc7239_n2np<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    node(text(sample)?)?.1
}

#[cfg(test)]
mod tests {
    use crate::conv::testing::{check, convert, refused};
    use crate::sample::Sample;
    use crate::testing::Rng;

    #[test]
    fn hosts_and_ports() {
        for (input, host, port) in [
            ("www.Example.com:80", "www.example.com", "80"),
            ("[::1]:80", "[::1]", "80"),
            ("[::1]", "[::1]", "0"),
            ("127.0.0.1:8080", "127.0.0.1", "8080"),
            ("host:", "host", "0"),
            ("host", "host", "0"),
            ("host:99999", "host", "99999"),
            ("", "", "0"),
            // No number: HAProxy makes one of the letters.
            ("host:abc", "host", "0"),
        ] {
            check(Sample::Str(input.as_bytes()), "host_only", Some(host));
            check(Sample::Str(input.as_bytes()), "port_only", Some(port));
        }
    }

    #[test]
    fn languages_are_chosen_as_in_haproxy() {
        const MANY: &str = "fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5";
        const ODD: &str = "en;q=0, de-AT ; q = 0.3, es;q=1.0, fr;q=x";
        for (input, steps, expected) in [
            (MANY, "language(en;fr)", Some("fr")),
            (MANY, "language(en;de)", Some("en")),
            (MANY, "language(fr-CH;de)", Some("fr-CH")),
            (MANY, "language(es)", None),
            (MANY, "language(es,xx)", Some("xx")),
            (MANY, "language(*)", Some("*")),
            (ODD, "language(en)", None),
            (ODD, "language(de;es)", Some("es")),
            (ODD, "language(de)", Some("de")),
            (ODD, "language(fr)", Some("fr")),
            ("da,en-gb;q=0.8,en;q=0.7", "language(en)", Some("en")),
            ("da,en-gb;q=0.8,en;q=0.7", "language(en-gb)", Some("en-gb")),
            ("da,en-gb;q=0.8,en;q=0.7", "language(en-GB)", None),
            ("da,en-gb;q=0.8,en;q=0.7", "language(en-us)", None),
            ("fr;q=0.5,en;q=0.5", "language(en;fr)", Some("fr")),
            ("en;q=0.85,fr;q=0.9", "language(en;fr)", Some("fr")),
            ("en;q=2,fr;q=1", "language(en;fr)", Some("en")),
            ("en;level=1;q=0.2,fr;q=0.5", "language(en;fr)", Some("en")),
            ("en;q=x,fr;q=0.9", "language(en;fr)", Some("en")),
            ("en;q=0.5,fr;q", "language(en;fr)", Some("fr")),
            ("en;q=0.000,fr;q=0.001", "language(en;fr)", Some("fr")),
            ("fr;q=0.1,,en", "language(en;fr)", Some("en")),
            ("EN,fr;q=0.1", "language(en;fr)", Some("fr")),
            ("en;Q=0.3,fr;q=0.4", "language(en;fr)", Some("en")),
            ("en;q=.9,fr;q=0.5", "language(en;fr)", Some("en")),
        ] {
            check(Sample::Str(input.as_bytes()), steps, expected);
        }
    }

    #[test]
    fn parameters_are_found() {
        for (input, steps, expected) in [
            ("a=b&c=d&a=r", "param(a)", Some("b")),
            ("a&b=c", "param(a)", Some("")),
            ("a=&b&c=a", "param(b)", Some("")),
            ("a=1;b=2;c=4", "param(b,;)", Some("2")),
            ("ab=1", "param(b)", None),
            ("a=b=c", "param(a)", Some("b=c")),
        ] {
            check(Sample::Str(input.as_bytes()), steps, expected);
        }
        refused(Sample::Str(b""), "param(a,;;)");
    }

    #[test]
    fn forwarded_is_read() {
        for (input, steps, expected) in [
            (r#"proto=https;host="haproxy.org:80""#, "rfc7239_field(host)", Some("haproxy.org:80")),
            (r#"For="127.0.0.1:9999";by=_x, for=10.0.0.1"#, "rfc7239_field(for)", Some("127.0.0.1:9999")),
            (r#"for="a\"b""#, "rfc7239_field(for)", Some("a\"b")),
            ("for=10.0.0.1, host=x", "rfc7239_field(host)", None),
            ("for", "rfc7239_field(for)", None),
            ("for=10.0.0.1;", "rfc7239_is_valid", Some("0")),
            (r#"for="[2001:db8::1]:80";proto=http, for=unknown"#, "rfc7239_is_valid", Some("1")),
            ("for=10.0.0.1;for=10.0.0.2", "rfc7239_is_valid", Some("0")),
            ("for=10.0.0.1,for=10.0.0.2", "rfc7239_is_valid", Some("1")),
            ("for=example.com", "rfc7239_is_valid", Some("0")),
            ("for=1.2.3.4;ext=x", "rfc7239_is_valid", Some("1")),
            ("", "rfc7239_is_valid", Some("0")),
            ("127.0.0.1:9999", "rfc7239_n2nn", Some("127.0.0.1")),
            ("127.0.0.1:9999", "rfc7239_n2np", Some("9999")),
            ("[2001:db8::1]:_p", "rfc7239_n2nn", Some("2001:db8::1")),
            ("[2001:db8::1]:_p", "rfc7239_n2np", Some("_p")),
            ("_name", "rfc7239_n2nn", Some("_name")),
            ("_name", "rfc7239_n2np", None),
            ("unknown:70000", "rfc7239_n2nn", None),
            ("[::1", "rfc7239_n2nn", None),
        ] {
            check(Sample::Str(input.as_bytes()), steps, expected);
        }
    }

    #[test]
    fn any_bytes_are_taken() {
        let seed = 0x5eed_0020;
        let mut rng = Rng::new(seed);
        for _ in 0..2000 {
            let input: Vec<u8> =
                (0..rng.below(24)).map(|_| b"for=\"[:1].,;\\_ byq0\xff"[rng.below(20) as usize]).collect();
            for steps in
                ["rfc7239_is_valid", "rfc7239_field(for)", "rfc7239_n2np", "host_only", "language(en;f)", "param(f)"]
            {
                convert(Sample::Str(&input), steps);
            }
        }
    }
}
