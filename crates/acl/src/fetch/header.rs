//! Fetches of header fields, of requests and of responses.

use std::ops::ControlFlow;

use crate::ctx::Ctx;
use crate::fetch::{SINCE_REQUEST, Visit, fetch_table};
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const NAME: Arg = Arg::one("name", ArgKind::Str);
const OCC: Arg = Arg::maybe("occ", ArgKind::Int);

fetch_table! {
    "hdr" "hdr(<name>[,<occ>])" [NAME, OCC] Str Last SINCE_REQUEST header_value,
        "Short for req.hdr.", "hdr(host) -i www.example.com";
    "hdr_cnt" "hdr_cnt(<name>)" [NAME] Int First SINCE_REQUEST header_count,
        "Short for req.hdr_cnt.", "hdr_cnt(x-forwarded-for) ge 2";
    "hdr_ip" "hdr_ip(<name>[,<occ>])" [NAME, OCC] Ip Last SINCE_REQUEST header_ip,
        "Short for req.hdr_ip.", "hdr_ip(x-forwarded-for,1) 10.0.0.0/8";
    "hdr_val" "hdr_val(<name>[,<occ>])" [NAME, OCC] Int Last SINCE_REQUEST header_number,
        "Short for req.hdr_val.", "hdr_val(content-length) gt 10";
    "req.fhdr" "req.fhdr(<name>[,<occ>])" [NAME, OCC] Str Last SINCE_REQUEST field_value,
        "The whole value of each field line of that name, commas included. The occurrence counts lines, from 1, or from the \
         last when negative.", "req.fhdr(user-agent) -m sub Gecko";
    "req.fhdr_cnt" "req.fhdr_cnt(<name>)" [NAME] Int First SINCE_REQUEST field_count,
        "How many field lines of that name there are.", "req.fhdr_cnt(host) 1";
    "req.hdr" "req.hdr(<name>[,<occ>])" [NAME, OCC] Str Last SINCE_REQUEST header_value,
        "Each comma-separated value of the request header. The occurrence counts from 1, or from the last when negative; \
         without it an acl tries every value, and elsewhere the last is taken.", "req.hdr(accept) application/json";
    "req.hdr_cnt" "req.hdr_cnt(<name>)" [NAME] Int First SINCE_REQUEST header_count,
        "How many comma-separated values the request header has.", "req.hdr_cnt(accept) 2:4";
    "req.hdr_ip" "req.hdr_ip(<name>[,<occ>])" [NAME, OCC] Ip Last SINCE_REQUEST header_ip,
        "Each value of the request header that is an address; an IPv4 one may have a port.",
        "req.hdr_ip(x-forwarded-for) 10.0.0.0/8";
    "req.hdr_val" "req.hdr_val(<name>[,<occ>])" [NAME, OCC] Int Last SINCE_REQUEST header_number,
        "Each value of the request header as a number, by its leading digits.", "req.hdr_val(content-length) 0:4096";
}

fn header_value(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    elements(ctx, args, &mut |value| visit(Sample::Str(value)))
}

fn header_ip(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    elements(ctx, args, &mut |value| match Sample::Str(value).as_ip() {
        Some(ip) => visit(Sample::Ip(ip)),
        None => ControlFlow::Continue(()),
    })
}

fn header_number(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    elements(ctx, args, &mut |value| match Sample::Str(value).as_int() {
        Some(number) => visit(Sample::Int(number)),
        None => ControlFlow::Continue(()),
    })
}

fn header_count(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Int(count(&mut |each| every_element(ctx, name(args), each))))
}

fn field_value(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    occurrence(args, &mut |each| every_field(ctx, name(args), each), &mut |value| visit(Sample::Str(value)))
}

fn field_count(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Int(count(&mut |each| every_field(ctx, name(args), each))))
}

type Each<'e> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'e;

/// The wanted comma-separated values of a header.
fn elements(ctx: &Ctx<'_>, args: &[Value], each: &mut Each<'_>) -> ControlFlow<()> {
    occurrence(args, &mut |each| every_element(ctx, name(args), each), each)
}

/// Hands on all that `all` walks over, or only the one the occurrence argument names.
fn occurrence(
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

fn count(all: &mut dyn FnMut(&mut Each<'_>) -> ControlFlow<()>) -> i64 {
    let mut seen = 0;
    let _ = all(&mut |_| {
        seen += 1;
        ControlFlow::Continue(())
    });
    seen
}

fn name(args: &[Value]) -> &[u8] {
    match args.first() {
        Some(Value::Str(name)) => name,
        // The table says `NAME` is the first argument, and the compiler checked it.
        _ => b"",
    }
}

fn every_field(ctx: &Ctx<'_>, name: &[u8], each: &mut Each<'_>) -> ControlFlow<()> {
    ctx.request.get_all(name).try_for_each(each)
}

/// Empty values count: `a,,b` has three, as in HAProxy.
fn every_element(ctx: &Ctx<'_>, name: &[u8], each: &mut Each<'_>) -> ControlFlow<()> {
    for value in ctx.request.get_all(name) {
        let mut rest = value;
        loop {
            let end = element_end(rest);
            each(rest[..end].trim_ascii())?;
            if end == rest.len() {
                break;
            }
            rest = &rest[end + 1..];
        }
    }
    ControlFlow::Continue(())
}

/// Where the first value ends: at a comma outside a quoted string (RFC 9110, 5.6.4).
fn element_end(text: &[u8]) -> usize {
    let mut quoted = false;
    let mut pos = 0;
    while pos < text.len() {
        match text[pos] {
            b'"' => quoted = !quoted,
            b'\\' if quoted => pos += 1,
            b',' if !quoted => return pos,
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

    #[test]
    fn quoted_commas_do_not_separate() {
        assert_eq!(element_end(br#""a,b",c"#), 5);
        assert_eq!(element_end(br#""a\",b",c"#), 7);
        assert_eq!(element_end(br#""a,b"#), 4);
        assert_eq!(element_end(br#""a\"#), 3);
        assert_eq!(element_end(b""), 0);
    }
}
