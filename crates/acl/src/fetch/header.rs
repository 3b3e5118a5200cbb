//! Fetches of header fields, of requests and of responses.
//!
//! One code for both: each entry names the head it looks at. `hdr` follows the direction of the rule, and the forms derived
//! from its name (`hdr_cnt`, `hdr_ip`, `hdr_val`) are of the request, as in HAProxy.

use std::ops::ControlFlow;

use evenkeel_proto::Head;

use crate::ctx::Ctx;
use crate::fetch::{SINCE_REQUEST, SINCE_RESPONSE, Visit, fetch_table, give, message, request, response};
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const NAME: Arg = Arg::one("name", ArgKind::Field);
const ANY: Arg = Arg::maybe("name", ArgKind::Field);
const OCC: Arg = Arg::maybe("occ", ArgKind::Int);
const DELIM: Arg = Arg::maybe("delim", ArgKind::Str);

fetch_table! {
    "hdr" "hdr(<name>[,<occ>])" [NAME, OCC] Str Last SINCE_REQUEST
        |ctx, args, visit| values(message(ctx), args, visit),
        "As req.hdr; in rules on responses as res.hdr.", "hdr(host) -i www.example.com";
    "hdr_cnt" "hdr_cnt([<name>])" [ANY] Int First SINCE_REQUEST
        => (|ctx, args| count_values(request(ctx), args)),
        "Short for req.hdr_cnt.", "hdr_cnt(x-forwarded-for) ge 2";
    "hdr_ip" "hdr_ip(<name>[,<occ>])" [NAME, OCC] Ip Last SINCE_REQUEST
        |ctx, args, visit| addresses(request(ctx), args, visit),
        "Short for req.hdr_ip.", "hdr_ip(x-forwarded-for,1) 10.0.0.0/8";
    "hdr_val" "hdr_val(<name>[,<occ>])" [NAME, OCC] Int Last SINCE_REQUEST
        |ctx, args, visit| numbers(request(ctx), args, visit),
        "Short for req.hdr_val.", "hdr_val(content-length) gt 10";
    "req.fhdr" "req.fhdr(<name>[,<occ>])" [NAME, OCC] Str Last SINCE_REQUEST
        |ctx, args, visit| lines(request(ctx), args, visit),
        "The whole value of each field line of that name, commas included. The occurrence counts lines, from 1, or from the \
         last when negative.", "req.fhdr(user-agent) -m sub Gecko";
    "req.fhdr_cnt" "req.fhdr_cnt([<name>])" [ANY] Int First SINCE_REQUEST
        => (|ctx, args| count_lines(request(ctx), args)),
        "How many field lines of that name there are; without a name, how many of any name travel on.", "req.fhdr_cnt(host) 1";
    "req.hdr" "req.hdr(<name>[,<occ>])" [NAME, OCC] Str Last SINCE_REQUEST
        |ctx, args, visit| values(request(ctx), args, visit),
        "Each comma-separated value of the request header. The occurrence counts from 1, or from the last when negative; \
         without it an acl tries every value, and elsewhere the last is taken.",
        "req.hdr(accept) application/json";
    "req.hdr_cnt" "req.hdr_cnt([<name>])" [ANY] Int First SINCE_REQUEST
        => (|ctx, args| count_values(request(ctx), args)),
        "How many comma-separated values the request header has; without a name, how many all headers have that travel on.", "req.hdr_cnt(accept) 2:4";
    "req.hdr_ip" "req.hdr_ip(<name>[,<occ>])" [NAME, OCC] Ip Last SINCE_REQUEST
        |ctx, args, visit| addresses(request(ctx), args, visit),
        "Each value of the request header that is an address; an IPv4 one may have a port.",
        "req.hdr_ip(x-forwarded-for) 10.0.0.0/8";
    "req.hdr_names" "req.hdr_names([<delim>])" [DELIM] Str First SINCE_REQUEST
        |ctx, args, visit| names(ctx, request(ctx), args, visit),
        "The names of the headers of the request that travel on, in lower case and in order, with a comma between them or \
         the first character of the argument. Those that end at this hop, and those of framing, are not among them.", "req.hdr_names -m sub cookie,cookie";
    "req.hdr_val" "req.hdr_val(<name>[,<occ>])" [NAME, OCC] Int Last SINCE_REQUEST
        |ctx, args, visit| numbers(request(ctx), args, visit),
        "Each value of the request header as a number, by its leading digits.", "req.hdr_val(content-length) 0:4096";
    "req.hdrs" "req.hdrs" [] Str First SINCE_REQUEST |ctx, _, visit| block(ctx, request(ctx), visit),
        "The headers of the request that travel on (see req.hdr_names), as `name: value` lines, the names in lower case, with the \
         empty line at the end.",
        "req.hdrs -m sub cookie";
    "req.hdrs_bin" "req.hdrs_bin" [] Bin First SINCE_REQUEST |ctx, _, visit| packed(ctx, request(ctx), visit),
        "The headers of the request that travel on (see req.hdr_names), as names and values, each with its length before it as in SPOE, and two empty ones at \
         the end.", "req.hdrs_bin -m found";
    "res.fhdr" "res.fhdr(<name>[,<occ>])" [NAME, OCC] Str Last SINCE_RESPONSE
        |ctx, args, visit| lines(response(ctx), args, visit),
        "As req.fhdr, of the response.", "res.fhdr(date) -m found";
    "res.fhdr_cnt" "res.fhdr_cnt([<name>])" [ANY] Int First SINCE_RESPONSE
        => (|ctx, args| count_lines(response(ctx), args)),
        "As req.fhdr_cnt, of the response.", "res.fhdr_cnt(set-cookie) gt 1";
    "res.hdr" "res.hdr(<name>[,<occ>])" [NAME, OCC] Str Last SINCE_RESPONSE
        |ctx, args, visit| values(response(ctx), args, visit),
        "As req.hdr, of the response.", "res.hdr(content-type) text/html";
    "res.hdr_cnt" "res.hdr_cnt([<name>])" [ANY] Int First SINCE_RESPONSE
        => (|ctx, args| count_values(response(ctx), args)),
        "As req.hdr_cnt, of the response.", "res.hdr_cnt(vary) gt 1";
    "res.hdr_ip" "res.hdr_ip(<name>[,<occ>])" [NAME, OCC] Ip Last SINCE_RESPONSE
        |ctx, args, visit| addresses(response(ctx), args, visit),
        "As req.hdr_ip, of the response.", "res.hdr_ip(x-served-by) 10.0.0.0/8";
    "res.hdr_names" "res.hdr_names([<delim>])" [DELIM] Str First SINCE_RESPONSE
        |ctx, args, visit| names(ctx, response(ctx), args, visit),
        "As req.hdr_names, of the response.", "res.hdr_names -m sub server";
    "res.hdr_val" "res.hdr_val(<name>[,<occ>])" [NAME, OCC] Int Last SINCE_RESPONSE
        |ctx, args, visit| numbers(response(ctx), args, visit),
        "As req.hdr_val, of the response.", "res.hdr_val(content-length) gt 4096";
    "res.hdrs" "res.hdrs" [] Str First SINCE_RESPONSE |ctx, _, visit| block(ctx, response(ctx), visit),
        "As req.hdrs, of the response.", "res.hdrs -m sub server";
    "res.hdrs_bin" "res.hdrs_bin" [] Bin First SINCE_RESPONSE |ctx, _, visit| packed(ctx, response(ctx), visit),
        "As req.hdrs_bin, of the response.", "res.hdrs_bin -m found";
    "shdr" "shdr(<name>[,<occ>])" [NAME, OCC] Str Last SINCE_RESPONSE
        |ctx, args, visit| values(response(ctx), args, visit),
        "Short for res.hdr.", "shdr(content-type) text/html";
    "shdr_cnt" "shdr_cnt([<name>])" [ANY] Int First SINCE_RESPONSE
        => (|ctx, args| count_values(response(ctx), args)),
        "Short for res.hdr_cnt.", "shdr_cnt(vary) gt 1";
    "shdr_ip" "shdr_ip(<name>[,<occ>])" [NAME, OCC] Ip Last SINCE_RESPONSE
        |ctx, args, visit| addresses(response(ctx), args, visit),
        "Short for res.hdr_ip.", "shdr_ip(x-served-by) 10.0.0.0/8";
    "shdr_val" "shdr_val(<name>[,<occ>])" [NAME, OCC] Int Last SINCE_RESPONSE
        |ctx, args, visit| numbers(response(ctx), args, visit),
        "Short for res.hdr_val.", "shdr_val(content-length) gt 4096";
}

fn values(head: Option<&Head>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    each_value(head, args, &mut |value| visit(Sample::Str(value)))
}

fn addresses(head: Option<&Head>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    each_value(head, args, &mut |value| give(Sample::Str(value).as_ip().map(Sample::Ip), visit))
}

fn numbers(head: Option<&Head>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    // An empty value counts as 0, as in HAProxy.
    each_value(head, args, &mut |value| visit(Sample::Int(Sample::Str(value).as_int().unwrap_or(0))))
}

fn lines(head: Option<&Head>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(head) = head else { return ControlFlow::Continue(()) };
    match (Value::field(args, 0), args.get(1)) {
        (Some(name), None) => head.values(name).try_for_each(|line| visit(Sample::Str(line))),
        (Some(name), Some(Value::Int(-1))) => give(head.values(name).next_back().map(Sample::Str), visit),
        _ => occurrence(args, &mut |each| every_line(head, args, each), &mut |value| visit(Sample::Str(value))),
    }
}

fn count_values<'c>(head: Option<&Head>, args: &[Value]) -> Option<Sample<'c>> {
    let number = match Value::field(args, 0) {
        Some(name) => head?.values(name).map(Elements::number).sum::<usize>(),
        None => head?.fields().map(|(_, line)| Elements::number(line)).sum(),
    };
    Some(Sample::Int(number as i64))
}

fn count_lines<'c>(head: Option<&Head>, args: &[Value]) -> Option<Sample<'c>> {
    let number = match Value::field(args, 0) {
        Some(name) => head?.values(name).count(),
        None => head?.fields().count(),
    };
    Some(Sample::Int(number as i64))
}

fn names(ctx: &Ctx<'_>, head: Option<&Head>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(head) = head else { return ControlFlow::Continue(()) };
    let delim = Value::text(args, 0).first().copied().unwrap_or(b',');
    ctx.buffers.with(|out| {
        for (name, _) in head.fields() {
            if !out.is_empty() {
                out.push(delim);
            }
            out.extend(name.iter().map(u8::to_ascii_lowercase));
        }
        visit(Sample::Str(out))
    })
}

fn block(ctx: &Ctx<'_>, head: Option<&Head>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(head) = head else { return ControlFlow::Continue(()) };
    ctx.buffers.with(|out| {
        for (name, value) in head.fields() {
            out.extend(name.iter().map(u8::to_ascii_lowercase));
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        visit(Sample::Str(out))
    })
}

fn packed(ctx: &Ctx<'_>, head: Option<&Head>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(head) = head else { return ControlFlow::Continue(()) };
    ctx.buffers.with(|out| {
        for (name, value) in head.fields() {
            push_varint(name.len(), out);
            out.extend(name.iter().map(u8::to_ascii_lowercase));
            push_varint(value.len(), out);
            out.extend_from_slice(value);
        }
        out.extend_from_slice(&[0, 0]);
        visit(Sample::Bin(out))
    })
}

/// The variable-length integers of SPOE: up to 239 one byte, else four bits in the first and seven in each that follows.
fn push_varint(value: usize, out: &mut Vec<u8>) {
    if value < 240 {
        out.push(value as u8);
        return;
    }
    out.push(value as u8 | 240);
    let mut rest = (value - 240) >> 4;
    while rest >= 128 {
        out.push(rest as u8 | 128);
        rest = (rest - 128) >> 7;
    }
    out.push(rest as u8);
}

pub(super) type Each<'e> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'e;

/// The wanted comma-separated values of a header.
fn each_value(head: Option<&Head>, args: &[Value], each: &mut Each<'_>) -> ControlFlow<()> {
    let Some(head) = head else { return ControlFlow::Continue(()) };
    match (Value::field(args, 0), args.get(1)) {
        (Some(name), None) => head.values(name).try_for_each(|line| elements(line, each)),
        // What `%[req.hdr(name)]` stands for. Every line has a value, so that the last line has the last one.
        (Some(name), Some(Value::Int(-1))) => {
            let last = head.values(name).next_back().and_then(|line| Elements::of(line).last());
            last.map_or(ControlFlow::Continue(()), each)
        }
        _ => occurrence(args, &mut |each| every_value(head, args, each), each),
    }
}

/// Hands on all that `all` walks over, or only the one the occurrence argument, the second, names.
pub(super) fn occurrence(
    args: &[Value],
    all: &mut dyn FnMut(&mut Each<'_>) -> ControlFlow<()>,
    each: &mut Each<'_>,
) -> ControlFlow<()> {
    let wanted = match args.get(1) {
        Some(&Value::Int(n)) if n < 0 => count(all).saturating_add(n).saturating_add(1),
        Some(&Value::Int(n)) if n > 0 => n,
        _ => return all(each),
    };
    let mut seen = 0;
    all(&mut |value| {
        seen += 1;
        if seen == wanted {
            each(value)?;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
}

pub(super) fn count(all: &mut dyn FnMut(&mut Each<'_>) -> ControlFlow<()>) -> i64 {
    let mut seen = 0;
    let _ = all(&mut |_| {
        seen += 1;
        ControlFlow::Continue(())
    });
    seen
}

/// The lines of the name in the first argument, or all when there is none.
fn every_line(head: &Head, args: &[Value], each: &mut Each<'_>) -> ControlFlow<()> {
    match Value::field(args, 0) {
        Some(name) => head.values(name).try_for_each(each),
        None => head.fields().try_for_each(|(_, value)| each(value)),
    }
}

fn every_value(head: &Head, args: &[Value], each: &mut Each<'_>) -> ControlFlow<()> {
    every_line(head, args, &mut |line| elements(line, each))
}

/// Hands on the [`Elements`] of one line.
pub(super) fn elements(line: &[u8], each: &mut Each<'_>) -> ControlFlow<()> {
    Elements::of(line).try_for_each(each)
}

/// The comma-separated values of one line. Empty ones count: `a,,b` has three, as in HAProxy.
struct Elements<'l>(Option<&'l [u8]>);

impl<'l> Elements<'l> {
    #[inline]
    fn of(line: &'l [u8]) -> Elements<'l> {
        Elements(Some(line))
    }

    /// How many there are.
    fn number(line: &[u8]) -> usize {
        let (mut rest, mut number) = (line, 1);
        while let Some(after) = rest.get(comma(rest) + 1..) {
            (rest, number) = (after, number + 1);
        }
        number
    }
}

impl<'l> Iterator for Elements<'l> {
    type Item = &'l [u8];

    #[inline]
    fn next(&mut self) -> Option<&'l [u8]> {
        let rest = self.0?;
        let end = comma(rest);
        self.0 = rest.get(end + 1..);
        Some(rest[..end].trim_ascii())
    }
}

/// [`element_end`] at a comma.
#[inline]
fn comma(text: &[u8]) -> usize {
    // Before the first quote nothing is special, and most values hold neither.
    match find_either(text, b',', b'"') {
        None => text.len(),
        Some(at) if text[at] == b',' => at,
        Some(at) => at + element_end(&text[at..], b","),
    }
}

/// Where the first of two bytes stands: eight at a time, since field values are too short for vectors.
#[inline]
fn find_either(text: &[u8], one: u8, other: u8) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The lowest byte that is marked is 0; those above it may be marked wrongly.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * u64::from(one))) | zeros(word ^ (ONES * u64::from(other)));
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|&byte| byte == one || byte == other)?;
    Some(text.len() - rest.len() + at)
}

/// Where the first value ends: at one of `separators` outside a quoted string (RFC 9110, 5.6.4).
pub(crate) fn element_end(text: &[u8], separators: &[u8]) -> usize {
    let mut quoted = false;
    let mut pos = 0;
    while pos < text.len() {
        match text[pos] {
            b'"' => quoted = !quoted,
            b'\\' if quoted => pos += 1,
            byte if !quoted && separators.contains(&byte) => return pos,
            _ => {}
        }
        pos += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ctx::Phase;
    use crate::testing::{Rng, every, refused, scene, show};

    const REQUEST: &str =
        "GET / HTTP/1.1\r\nHost: h\r\nX: abc, 5z\r\nX:\r\nX: 1.1.1.1:x, 1.1.1.2:5\r\nConnection: close\r\n\r\n";
    const RESPONSE: &str = "HTTP/1.1 200 OK\r\nX: a,b\r\nX: c\r\nY: 9.9.9.9, 7\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn quoted_commas_do_not_separate() {
        for (text, end) in
            [(br#""a,b",c"#.as_slice(), 5), (br#""a\",b",c"#, 7), (br#""a,b"#, 4), (br#""a\"#, 3), (b"", 0)]
        {
            assert_eq!((element_end(text, b","), comma(text)), (end, end));
        }
    }

    #[test]
    fn short_cuts_find_what_the_long_way_finds() {
        let seed = 0x5eed_0007;
        let mut rng = Rng::new(seed);
        for round in 0..5000 {
            let line: Vec<u8> = (0..rng.below(40)).map(|_| br#"aaaa,"\ "#[rng.below(8) as usize]).collect();
            let mut rest = &line[..];
            let mut expected = Vec::new();
            loop {
                let end = element_end(rest, b",");
                expected.push(rest[..end].trim_ascii());
                match rest.get(end + 1..) {
                    Some(after) => rest = after,
                    None => break,
                }
            }
            let found: Vec<&[u8]> = Elements::of(&line).collect();
            assert_eq!(Elements::number(&line), expected.len(), "seed {seed:#x} round {round} {line:?}");
            assert_eq!(found, expected, "seed {seed:#x} round {round} {line:?}");
        }
    }

    #[test]
    fn requests_and_responses_share_their_code() {
        let mut scene = scene(REQUEST).answered(RESPONSE).unwrap();
        for (phase, text, expected) in [
            (Phase::Request, "req.hdr_cnt(x)", "5"),
            (Phase::Request, "req.hdr_cnt", "6"),
            (Phase::Request, "req.fhdr_cnt", "4"),
            (Phase::Request, "req.fhdr_cnt(x)", "3"),
            (Phase::Request, "req.fhdr(x,1)", "abc, 5z"),
            (Phase::Request, "hdr_val(x,2)", "5"),
            (Phase::Request, "hdr_val(x,3)", "0"),
            (Phase::Request, "hdr_ip(x)", "1.1.1.2"),
            (Phase::Request, "hdr_ip(x,1)", "-"),
            (Phase::Request, "hdr(x)", "1.1.1.2:5"),
            (Phase::Request, "req.hdr_names", "host,x,x,x"),
            (Phase::Request, "req.hdr_names(;x)", "host;x;x;x"),
            (Phase::Response, "hdr(x)", "c"),
            (Phase::Response, "req.hdr(x)", "1.1.1.2:5"),
            (Phase::Response, "hdr_cnt(x)", "5"),
            (Phase::Response, "res.hdr(x,1)", "a"),
            (Phase::Response, "shdr(x)", "c"),
            (Phase::Response, "res.hdr_cnt(x)", "3"),
            (Phase::Response, "res.fhdr(x,-2)", "a,b"),
            (Phase::Response, "res.fhdr_cnt(x)", "2"),
            (Phase::Response, "res.hdr_ip(y)", "-"),
            (Phase::Response, "res.hdr_ip(y,1)", "9.9.9.9"),
            (Phase::Response, "res.hdr_val(y)", "7"),
            (Phase::Response, "res.hdr_names", "x,x,y"),
            (Phase::Response, "res.hdrs", "x: a,b\r\nx: c\r\ny: 9.9.9.9, 7\r\n\r\n"),
        ] {
            assert_eq!(show(&mut scene, phase, text), expected, "{text} in {phase}");
        }
        assert_eq!(every(&mut scene, Phase::Request, "req.hdr(x)"), ["abc", "5z", "", "1.1.1.1:x", "1.1.1.2:5"]);
        assert_eq!(every(&mut scene, Phase::Request, "hdr_ip(x)"), ["1.1.1.2"]);
        assert!(refused("hdr") && refused("hdr()"));
    }

    #[test]
    fn packed_headers_are_those_of_spoe() {
        let long = "v".repeat(2288);
        let mut scene = scene(&format!("GET / HTTP/1.1\r\nHost: h\r\nX-A: {long}\r\n\r\n"));
        let expected = format!("\x04host\x01h\x03x-a{}{long}\0\0", "\u{f0}\u{80}\0");
        // Bytes over 127 are written here as the characters of that number.
        let expected: String = expected.chars().map(|c| format!("{:02X}", u32::from(c))).collect();
        assert_eq!(show(&mut scene, Phase::Request, "req.hdrs_bin"), expected);
        let varint = |value| {
            let mut out = Vec::new();
            push_varint(value, &mut out);
            out
        };
        assert_eq!(varint(239), [239]);
        assert_eq!(varint(240), [240, 0]);
        assert_eq!(varint(2287), [255, 127]);
        assert_eq!(varint(2288), [240, 128, 0]);
    }
}
