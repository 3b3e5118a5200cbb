//! Fetches of parameters, in the query of a request and in its body, and of bodies themselves.
//!
//! Nothing is decoded: what is looked at is what came. Of a body only what has arrived and is held is seen.

use std::ops::ControlFlow;

use evenkeel_proto::{Decoder, Framing, Head};

use crate::ctx::{Ctx, Phase};
use crate::fetch::SINCE_REQUEST;
use crate::fetch::{Visit, fetch_table, request, response};
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

/// While the body of the request is what [`Ctx::body`] holds.
const OF_REQUEST: &[Phase] = &[Phase::Request, Phase::Body, Phase::Server];
/// While the body of the response is.
const OF_RESPONSE: &[Phase] = &[Phase::Response];

const NAME: Arg = Arg::maybe("name", ArgKind::Str);
const DELIM: Arg = Arg::maybe("delim", ArgKind::Str);
const FOLD: Arg = Arg::maybe("i", ArgKind::Word(&["i"]));

fetch_table! {
    "req.body" "req.body" [] Bin First OF_REQUEST
        |ctx, _, visit| there(ctx, request(ctx), |body| visit(Sample::Bin(body))),
        "The body of the request as far as it is there; wait for it by `wait-for-body` or `option http-buffer-request`.",
        "req.body -m found";
    "req.body_len" "req.body_len" [] Int First OF_REQUEST
        |ctx, _, visit| there(ctx, request(ctx), |body| visit(count(body))),
        "How many bytes of the body of the request are there.", "req.body_len gt 1000";
    "req.body_param" "req.body_param([<name>[,<i>]])" [NAME, FOLD] Str First OF_REQUEST body_param,
        "Each parameter of that name in a body of the form `a=1&b=2`; without a name, each parameter. With `i` the case of \
         the name does not matter.", "req.body_param(user) admin";
    "req.body_size" "req.body_size" [] Int First OF_REQUEST
        |ctx, _, visit| announced(ctx, request(ctx), visit),
        "The length the request announces for its body; of a chunked one, how many bytes are there.",
        "req.body_size gt 1000000";
    "res.body" "res.body" [] Bin First OF_RESPONSE
        |ctx, _, visit| there(ctx, response(ctx), |body| visit(Sample::Bin(body))),
        "The body of the response as far as it is there; wait for it by `wait-for-body`.", "res.body -m found";
    "res.body_len" "res.body_len" [] Int First OF_RESPONSE
        |ctx, _, visit| there(ctx, response(ctx), |body| visit(count(body))),
        "How many bytes of the body of the response are there.", "res.body_len gt 0";
    "res.body_size" "res.body_size" [] Int First OF_RESPONSE
        |ctx, _, visit| announced(ctx, response(ctx), visit),
        "The length the response announces for its body; without one, how many bytes are there.",
        "res.body_size gt 1000000";
    "url_param" "url_param([<name>[,<delim>[,<i>]]])" [NAME, DELIM, FOLD] Str First SINCE_REQUEST
        |ctx, args, visit| params(ctx, args, &mut |value| visit(Sample::Str(value))),
        "Short for urlp.", "url_param(id) 7";
    "urlp" "urlp([<name>[,<delim>[,<i>]]])" [NAME, DELIM, FOLD] Str First SINCE_REQUEST
        |ctx, args, visit| params(ctx, args, &mut |value| visit(Sample::Str(value))),
        "Each parameter of that name in the query; without a name, each parameter. They begin behind the first `?`, or the \
         character given, and end at `&`, `;` or that character. With `i` the case of the name does not matter.",
        "urlp(id) 7";
    "urlp_val" "urlp_val([<name>[,<delim>[,<i>]]])" [NAME, DELIM, FOLD] Int First SINCE_REQUEST
        |ctx, args, visit| params(ctx, args, &mut |value| {
            visit(Sample::Int(Sample::Str(value).as_int().unwrap_or(0)))
        }),
        "As urlp, as a number by its leading digits.", "urlp_val(page) gt 100";
}

fn count(body: &[u8]) -> Sample<'static> {
    Sample::Int(i64::try_from(body.len()).unwrap_or(i64::MAX))
}

fn announced(ctx: &Ctx<'_>, head: Option<&Head>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    match head.map(Head::framing) {
        Some(Framing::Length(length)) => visit(Sample::Int(i64::try_from(length).unwrap_or(i64::MAX))),
        _ => there(ctx, head, |body| visit(count(body))),
    }
}

/// Hands on the payload behind `head` that is there: what was waited for, else what came with the head.
fn there(ctx: &Ctx<'_>, head: Option<&Head>, see: impl FnOnce(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    let Some(head) = head else { return ControlFlow::Continue(()) };
    if ctx.body.complete || !ctx.body.bytes.is_empty() {
        return see(ctx.body.bytes);
    }
    let raw = head.surplus();
    match head.framing() {
        Framing::Length(length) => see(&raw[..raw.len().min(usize::try_from(length).unwrap_or(usize::MAX))]),
        Framing::UntilClose => see(raw),
        Framing::Chunked => ctx.buffers.with(|body| {
            body.extend_from_slice(raw);
            // Of a body that is malformed nothing is seen; it is refused when it is passed on.
            let payload = Decoder::new(Framing::Chunked).decode(body).map_or(0, |decoded| decoded.payload);
            see(&body[..payload])
        }),
        Framing::Empty | Framing::Tunnel => see(&[]),
    }
}

type Each<'e> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'e;

fn params(ctx: &Ctx<'_>, args: &[Value], each: &mut Each<'_>) -> ControlFlow<()> {
    let Some(head) = request(ctx) else { return ControlFlow::Continue(()) };
    let delim = Value::text(args, 1).first().copied().unwrap_or(b'?');
    let target = head.target();
    // HAProxy looks for the character in the whole target: `/p;s=1` has a parameter with the delimiter `;`.
    let Some(start) = memchr::memchr(delim, target) else { return ControlFlow::Continue(()) };
    let fold = matches!(args.get(2), Some(Value::Str(_)));
    split(&target[start + 1..], &[b'&', b';', delim], Value::text(args, 0), fold, each)
}

fn body_param(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let fold = matches!(args.get(1), Some(Value::Str(_)));
    there(ctx, request(ctx), |body| {
        split(body, b"&", Value::text(args, 0), fold, &mut |value| visit(Sample::Str(value)))
    })
}

/// Hands on the values of the parameters of that name, of all when it is empty. A word without `=` is no parameter.
fn split(text: &[u8], separators: &[u8], wanted: &[u8], fold: bool, each: &mut Each<'_>) -> ControlFlow<()> {
    text.split(|byte| separators.contains(byte)).try_for_each(|word| {
        let Some(at) = memchr::memchr(b'=', word) else { return ControlFlow::Continue(()) };
        let (name, value) = (&word[..at], &word[at + 1..]);
        let meant = wanted.is_empty() || name == wanted || fold && name.eq_ignore_ascii_case(wanted);
        if meant { each(value) } else { ControlFlow::Continue(()) }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Sample;
    use crate::ctx::Phase;
    use crate::testing::{every, expr, refused, scene, show};

    /// Answers of HAProxy 2.6, but for the argument `i`, which it has not.
    #[test]
    fn parameters_are_those_of_haproxy() {
        for (target, text, expected) in [
            ("/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5", "urlp(a)", "1"),
            ("/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5", "urlp", "1"),
            ("/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5", "urlp(b)", "2"),
            ("/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5", "urlp(c)", "3"),
            ("/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5", "urlp(e)", ""),
            ("/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5", "url_param(A)", "-"),
            ("/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5", "url_param(A,,i)", "1"),
            ("/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5", "urlp_val(n)", "12"),
            ("/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5", "urlp(s,;)", "1?a=1"),
            ("/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5", "urlp(x,|)", "5"),
            ("/?a=1?a=2&a", "urlp(a)", "1"),
            ("/x/a=5?a=x&b&=1;c=", "urlp(b)", "-"),
            ("/x/a=5?a=x&b&=1;c=", "urlp(c)", ""),
            ("/x/a=5?a=x&b&=1;c=", "urlp(a,/)", "5?a=x"),
            ("/x?=5&b=&d", "urlp", "5"),
            ("/x?=5&b=&d", "urlp(b)", ""),
            ("/x?=5&b=&d", "urlp(d)", "-"),
            ("/x?b", "urlp", "-"),
            ("/x", "urlp(a)", "-"),
            ("/x?xa=4&aa=1&a=%20+", "urlp(a)", "%20+"),
            ("/x?a=x", "urlp_val(a)", "0"),
        ] {
            let mut scene = scene(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert_eq!(show(&mut scene, Phase::Request, text), expected, "{text} of {target}");
        }
        let mut scene = scene("GET /?a=1&b=2&a=3 HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(every(&mut scene, Phase::Request, "urlp(a)"), ["1", "3"]);
        assert_eq!(every(&mut scene, Phase::Request, "urlp"), ["1", "2", "3"]);
        assert!(refused("urlp(a,;,x)"));
    }

    #[test]
    fn without_a_wait_what_came_with_the_head_is_seen() {
        for (framing, came, expected) in [
            ("Content-Length: 3", "abcGET /", "abc 3 3"),
            ("Content-Length: 5", "abc", "abc 3 5"),
            ("Content-Length: 5", "", " 0 5"),
            ("Transfer-Encoding: chunked", "3\r\nabc\r\n2\r\nd", "abcd 4 4"),
            ("Transfer-Encoding: chunked", "3\r\nabcX\n", " 0 0"),
        ] {
            let mut scene = scene(&format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{came}"));
            let texts = ["req.body", "req.body_len", "req.body_size"].map(expr);
            let seen = scene.at(Phase::Request, |ctx| {
                ctx.body.complete = false;
                let show = |sample: Sample<'_>| match sample {
                    Sample::Bin(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    other => other.as_int().unwrap().to_string(),
                };
                texts.map(|text| text.one(ctx, show).unwrap()).join(" ")
            });
            assert_eq!(seen, expected, "{framing} {came:?}");
        }
    }

    #[test]
    fn bodies_are_seen_as_far_as_they_are_there() {
        let mut scene = scene("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n");
        scene.body = b"k=v&j=w&k=2".to_vec();
        for (text, expected) in [
            ("req.body_len", "11"),
            ("req.body_size", "20"),
            ("req.body", "6B3D76266A3D77266B3D32"),
            ("req.body_param(k)", "v"),
            ("req.body_param", "v"),
            ("req.body_param(K)", "-"),
            ("req.body_param(K,i)", "v"),
        ] {
            assert_eq!(show(&mut scene, Phase::Body, text), expected, "{text}");
        }
        assert_eq!(every(&mut scene, Phase::Body, "req.body_param"), ["v", "w", "2"]);
        let mut scene = scene.answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        scene.body = b"hi".to_vec();
        assert_eq!(show(&mut scene, Phase::Response, "res.body_size"), "2");
        assert_eq!(show(&mut scene, Phase::Response, "res.body_len"), "2");
    }
}
