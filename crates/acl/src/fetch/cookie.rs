//! Fetches of cookies: those a request brings, and those a response sets.
//!
//! A cookie is a name, `=` and a value; without `=` it is none. Names are compared with case, values are handed on as they
//! are, quotes included.

use std::ops::ControlFlow;

use evenkeel_proto::Head;

use crate::fetch::header::{Each, count, element_end, elements, occurrence};
use crate::fetch::{SINCE_REQUEST, SINCE_RESPONSE, Visit, fetch_table, give, request, response};
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const NAME: Arg = Arg::maybe("name", ArgKind::Str);
const OCC: Arg = Arg::maybe("occ", ArgKind::Int);

fetch_table! {
    "cook" "cook([<name>[,<occ>]])" [NAME, OCC] Str Last SINCE_REQUEST
        |ctx, args, visit| text(Side::Request(request(ctx)), args, visit),
        "Short for req.cook.", "cook(session) -m found";
    "cook_cnt" "cook_cnt([<name>])" [NAME] Int First SINCE_REQUEST
        |ctx, args, visit| how_many(Side::Request(request(ctx)), args, visit),
        "Short for req.cook_cnt.", "cook_cnt(session) gt 1";
    "cook_val" "cook_val([<name>[,<occ>]])" [NAME, OCC] Int Last SINCE_REQUEST
        |ctx, args, visit| number(Side::Request(request(ctx)), args, visit),
        "Short for req.cook_val.", "cook_val(visits) gt 10";
    "req.cook" "req.cook([<name>[,<occ>]])" [NAME, OCC] Str Last SINCE_REQUEST
        |ctx, args, visit| text(Side::Request(request(ctx)), args, visit),
        "Each cookie of that name. The occurrence counts from 1, or from the last when negative; without it an acl tries \
         each, and elsewhere the last is taken. Without a name, every cookie, and elsewhere the first.",
        "req.cook(session) -m found";
    "req.cook_cnt" "req.cook_cnt([<name>])" [NAME] Int First SINCE_REQUEST
        |ctx, args, visit| how_many(Side::Request(request(ctx)), args, visit),
        "How many cookies of that name the request brings; without a name, how many at all.", "req.cook_cnt gt 50";
    "req.cook_names" "req.cook_names([<delim>])" [Arg::maybe("delim", ArgKind::Str)] Str First SINCE_REQUEST
        |ctx, args, visit| {
            let side = Side::Request(request(ctx));
            ctx.buffers.with(|out| names(side, args, out, visit))
        },
        "The names of the cookies of the request, in order, with a comma between them or the first character of the \
         argument.", "req.cook_names -m sub session,session";
    "req.cook_val" "req.cook_val([<name>[,<occ>]])" [NAME, OCC] Int Last SINCE_REQUEST
        |ctx, args, visit| number(Side::Request(request(ctx)), args, visit),
        "As req.cook, as a number by its leading digits.", "req.cook_val(visits) gt 10";
    "res.cook" "res.cook([<name>[,<occ>]])" [NAME, OCC] Str Last SINCE_RESPONSE
        |ctx, args, visit| text(Side::Response(response(ctx)), args, visit),
        "As req.cook, of the cookies the response sets, without their attributes.", "res.cook(session) -m found";
    "res.cook_cnt" "res.cook_cnt([<name>])" [NAME] Int First SINCE_RESPONSE
        |ctx, args, visit| how_many(Side::Response(response(ctx)), args, visit),
        "How many cookies of that name the response sets; without a name, how many at all.", "res.cook_cnt(session) gt 1";
    "res.cook_names" "res.cook_names([<delim>])" [Arg::maybe("delim", ArgKind::Str)] Str First SINCE_RESPONSE
        |ctx, args, visit| {
            let side = Side::Response(response(ctx));
            ctx.buffers.with(|out| names(side, args, out, visit))
        },
        "As req.cook_names, of the cookies the response sets.", "res.cook_names -m sub session";
    "res.cook_val" "res.cook_val([<name>[,<occ>]])" [NAME, OCC] Int Last SINCE_RESPONSE
        |ctx, args, visit| number(Side::Response(response(ctx)), args, visit),
        "As res.cook, as a number by its leading digits.", "res.cook_val(visits) gt 10";
    "res.scook" "res.scook([<name>[,<occ>]])" [NAME, OCC] Str Last SINCE_RESPONSE
        |ctx, args, visit| text(Side::Response(response(ctx)), args, visit),
        "Short for res.cook.", "res.scook(session) -m found";
    "scook" "scook([<name>[,<occ>]])" [NAME, OCC] Str Last SINCE_RESPONSE
        |ctx, args, visit| text(Side::Response(response(ctx)), args, visit),
        "Short for res.cook.", "scook(session) -m found";
    "scook_cnt" "scook_cnt([<name>])" [NAME] Int First SINCE_RESPONSE
        |ctx, args, visit| how_many(Side::Response(response(ctx)), args, visit),
        "Short for res.cook_cnt.", "scook_cnt(session) gt 1";
    "scook_val" "scook_val([<name>[,<occ>]])" [NAME, OCC] Int Last SINCE_RESPONSE
        |ctx, args, visit| number(Side::Response(response(ctx)), args, visit),
        "Short for res.cook_val.", "scook_val(visits) gt 10";
}

/// Whose cookies.
#[derive(Clone, Copy, Debug)]
enum Side<'h> {
    Request(Option<&'h Head>),
    Response(Option<&'h Head>),
}

fn text(side: Side<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    each_of(side, args, &mut |value| visit(Sample::Str(value)))
}

fn number(side: Side<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    each_of(side, args, &mut |value| visit(Sample::Int(Sample::Str(value).as_int().unwrap_or(0))))
}

fn how_many(side: Side<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let (Side::Request(head) | Side::Response(head)) = side;
    give(head.map(|_| Sample::Int(count(&mut |each| named(side, Value::text(args, 0), each)))), visit)
}

fn names(side: Side<'_>, args: &[Value], out: &mut Vec<u8>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let delim = Value::text(args, 0).first().copied().unwrap_or(b',');
    let _ = every(side, &mut |name, _| {
        if !out.is_empty() {
            out.push(delim);
        }
        out.extend_from_slice(name);
        ControlFlow::Continue(())
    });
    if out.is_empty() { ControlFlow::Continue(()) } else { visit(Sample::Str(out)) }
}

fn each_of(side: Side<'_>, args: &[Value], each: &mut Each<'_>) -> ControlFlow<()> {
    let name = Value::text(args, 0);
    if name.is_empty() && matches!(args.get(1), Some(Value::Int(-1))) {
        // Outside acls the last of a name is taken, but the first of all.
        return named(side, name, &mut |value| {
            each(value)?;
            ControlFlow::Break(())
        });
    }
    occurrence(args, &mut |each| named(side, name, each), each)
}

/// The values of the cookies of that name; of all when it is empty.
fn named(side: Side<'_>, wanted: &[u8], each: &mut Each<'_>) -> ControlFlow<()> {
    every(side, &mut |name, value| {
        if wanted.is_empty() || name == wanted { each(value) } else { ControlFlow::Continue(()) }
    })
}

/// Takes a name and a value.
type Pair<'p> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'p;

/// Every cookie as name and value.
fn every(side: Side<'_>, each: &mut Pair<'_>) -> ControlFlow<()> {
    match side {
        Side::Request(Some(head)) => head.get_all(b"cookie").try_for_each(|line| {
            let mut rest = line;
            loop {
                // RFC 2965, 3.3.4 allows commas too, and HAProxy takes them.
                let end = element_end(rest, b";,");
                pair(&rest[..end], each)?;
                if end == rest.len() {
                    return ControlFlow::Continue(());
                }
                rest = &rest[end + 1..];
            }
        }),
        Side::Response(Some(head)) => head.get_all(b"set-cookie").try_for_each(|line| {
            // What follows the first pair are attributes.
            elements(line, &mut |cookie| pair(&cookie[..element_end(cookie, b";")], each))
        }),
        Side::Request(None) | Side::Response(None) => ControlFlow::Continue(()),
    }
}

fn pair(text: &[u8], each: &mut Pair<'_>) -> ControlFlow<()> {
    match memchr::memchr(b'=', text) {
        Some(at) => each(text[..at].trim_ascii(), text[at + 1..].trim_ascii()),
        None => ControlFlow::Continue(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::ctx::Phase;
    use crate::testing::{Rng, every, scene, show};

    /// Answers of HAProxy 2.6, but for an empty value at the very end of a header, which it does not see.
    #[test]
    fn cookies_of_requests_are_those_of_haproxy() {
        let request = |lines: &str| scene(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n"));
        let mut many = request("Cookie: a=1; b=\"x;y,z\"; q= \"v w\" ;e=;a=2\r\nCookie: c=3, n=77z; B=zz\r\n");
        for (text, expected) in [
            ("cook(a)", "2"),
            ("cook(a,1)", "1"),
            ("cook(a,3)", "-"),
            ("cook", "1"),
            ("cook(,2)", "\"x;y,z\""),
            ("cook_cnt", "8"),
            ("cook_cnt(a)", "2"),
            ("cook_val(n)", "77"),
            ("req.cook(q)", "\"v w\""),
            ("req.cook(e)", ""),
            ("req.cook(B)", "zz"),
            ("req.cook(c)", "3"),
            ("req.cook(none)", "-"),
            ("req.cook_val(B)", "0"),
            ("req.cook_names", "a,b,q,e,a,c,n,B"),
            ("req.cook_names(;)", "a;b;q;e;a;c;n;B"),
        ] {
            assert_eq!(show(&mut many, Phase::Request, text), expected, "{text}");
        }
        assert_eq!(every(&mut many, Phase::Request, "req.cook(a)"), ["1", "2"]);
        assert_eq!(every(&mut many, Phase::Request, "req.cook").len(), 8);

        let mut odd = request("Cookie: =x; a ; c =5;b = 6\r\n");
        for (text, expected) in [("cook", "x"), ("cook_cnt", "3"), ("cook(a)", "-"), ("cook(c)", "5"), ("cook(b)", "6")]
        {
            assert_eq!(show(&mut odd, Phase::Request, text), expected, "{text}");
        }
        let mut none = request("");
        for (text, expected) in [("cook", "-"), ("cook_cnt", "0"), ("req.cook_names", "-")] {
            assert_eq!(show(&mut none, Phase::Request, text), expected, "{text}");
        }
    }

    #[test]
    fn cookies_of_responses_have_attributes() {
        let mut scene = scene("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .answered(
                "HTTP/1.1 201 Created\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=\"q,2\"; HttpOnly\r\n\
                 Set-Cookie: a=3, c=4; Path=/x; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Secure=x\r\n\
                 Content-Length: 0\r\n\r\n",
            )
            .unwrap();
        for (text, expected) in [
            ("res.cook(a)", "3"),
            ("res.cook", "1"),
            ("res.cook_cnt", "4"),
            ("res.cook_cnt(a)", "2"),
            ("res.cook(Path)", "-"),
            ("scook(b)", "\"q,2\""),
            ("res.cook(c)", "4"),
            ("res.cook_val(c)", "4"),
            ("res.cook(Secure)", "-"),
            ("res.cook_names", "a,b,a,c"),
            ("cook(a)", "-"),
        ] {
            assert_eq!(show(&mut scene, Phase::Response, text), expected, "{text}");
        }
    }

    #[test]
    fn any_header_is_walked_to_its_end() {
        const SEED: u64 = 0xc00c1e;
        let mut rng = Rng::new(SEED);
        for round in 0..2_000 {
            let line: String =
                (0..rng.below(24)).map(|_| rng.pick(&["a", "=", ";", ",", " ", "\"", "\\", "b"])).collect();
            let mut scene = scene(&format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {line}\r\n\r\n"));
            let all = every(&mut scene, Phase::Request, "req.cook");
            let count = show(&mut scene, Phase::Request, "req.cook_cnt");
            assert_eq!(count, all.len().to_string(), "seed {SEED:#x}, round {round}, {line:?}");
            let last = show(&mut scene, Phase::Request, "req.cook(a)");
            let named = every(&mut scene, Phase::Request, "req.cook(a)");
            assert_eq!(named.last().map_or("-", String::as_str), last, "seed {SEED:#x}, round {round}, {line:?}");
        }
    }
}
