//! Fetches of raw data, in tcp mode: what the peer has sent so far.
//!
//! Data may still come: a fetch that cannot tell yet says so by [`Ctx::may_come`], and the rule waits until it can, or the
//! inspection ends. Undefined where the data is an HTTP message.

use std::ops::ControlFlow;

use evenkeel_proto::{ClientHello, Head, Hello};

use crate::ctx::{Ctx, Phase, Reading};
use crate::fetch::{Visit, fetch_table, give, ja3, ja4};
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

/// While the data of the client is what [`Ctx::body`] holds.
const OF_REQUEST: &[Phase] = &[Phase::Request, Phase::Body, Phase::Server];
/// While the data of the server is.
const OF_RESPONSE: &[Phase] = &[Phase::Response];
const BOTH: &[Phase] = &[Phase::Request, Phase::Body, Phase::Server, Phase::Response];

const OFFSET: Arg = Arg::one("offset", ArgKind::Int);
const LENGTH: Arg = Arg::one("length", ArgKind::Int);
const NAME: Arg = Arg::maybe("name", ArgKind::Str);

fetch_table! {
    "payload" "payload(<offset>,<length>)" [OFFSET, LENGTH] Bin First BOTH part, prepare check_part,
        "As req.payload; in rules on responses as res.payload.", "payload(0,4) -m found";
    "payload_lv" "payload_lv(<offset>,<length>[,<offset2>])" [OFFSET, LENGTH, Arg::maybe("offset2", ArgKind::Str)]
        Bin First BOTH counted, prepare check_counted,
        "As req.payload_lv; in rules on responses as res.payload_lv.", "payload_lv(43,1) -m found";
    "rdp_cookie" "rdp_cookie([<name>])" [NAME] Str First OF_REQUEST rdp_cookie,
        "Short for req.rdp_cookie.", "rdp_cookie(mstshash) -m found";
    "rdp_cookie_cnt" "rdp_cookie_cnt([<name>])" [NAME] Int First OF_REQUEST rdp_cookie_count,
        "Short for req.rdp_cookie_cnt.", "rdp_cookie_cnt gt 0";
    "rep_ssl_hello_type" "rep_ssl_hello_type" [] Int First OF_RESPONSE hello_type,
        "Short for res.ssl_hello_type.", "rep_ssl_hello_type 2";
    "req.len" "req.len" [] Int First OF_REQUEST length,
        "How many bytes of the client are there. A rule that wants more waits for them.", "req.len gt 100";
    "req.payload" "req.payload(<offset>,<length>)" [OFFSET, LENGTH] Bin First OF_REQUEST part, prepare check_part,
        "That many bytes of what the client sent, from that offset on; with length 0, all from there.",
        "req.payload(0,4) -m found";
    "req.payload_lv" "req.payload_lv(<offset>,<length>[,<offset2>])"
        [OFFSET, LENGTH, Arg::maybe("offset2", ArgKind::Str)] Bin First OF_REQUEST counted, prepare check_counted,
        "Bytes of what the client sent whose number stands in <length> bytes at <offset>; they begin right behind it, at \
         <offset2>, or as far from there as `+n` or `-n` says.", "req.payload_lv(43,1) -m found";
    "req.proto_http" "req.proto_http" [] Bool First OF_REQUEST proto_http,
        "True when what the client sent is a request of HTTP/1 or begins HTTP/2; waits until its head is whole or can be none.", "req.proto_http";
    "req.rdp_cookie" "req.rdp_cookie([<name>])" [NAME] Str First OF_REQUEST rdp_cookie,
        "The cookie in the first packet of RDP, of any name or of that one without regard to case.",
        "req.rdp_cookie(mstshash) -m found";
    "req.rdp_cookie_cnt" "req.rdp_cookie_cnt([<name>])" [NAME] Int First OF_REQUEST rdp_cookie_count,
        "1 when the first packet of RDP has such a cookie, 0 when it has none.", "req.rdp_cookie_cnt gt 0";
    "req.ssl_alpn" "req.ssl_alpn" [] Str First OF_REQUEST alpn,
        "Each protocol that the TLS ClientHello offers by ALPN.", "req.ssl_alpn acme-tls/1";
    "req.ssl_cipherlist" "req.ssl_cipherlist" [] Bin First OF_REQUEST
        |ctx, _, visit| whole_hello(ctx, visit, |found, visit| ctx.buffers.with(|out| {
            found.cipher_suites().for_each(|suite| out.extend_from_slice(&suite.to_be_bytes()));
            visit(Sample::Bin(out))
        })),
        "The cipher suites that the TLS ClientHello offers, two bytes each.", "req.ssl_cipherlist,hex -m sub 1301";
    "req.ssl_ec_ext" "req.ssl_ec_ext" [] Bool First OF_REQUEST
        |ctx, _, visit| hello(ctx, |found| found.names_groups().then_some(Sample::Bool(true)), Some(Sample::Bool(false)), visit),
        "Whether the TLS ClientHello names elliptic curves.", "req.ssl_ec_ext";
    "req.ssl_hello_type" "req.ssl_hello_type" [] Int First OF_REQUEST hello_type,
        "The type of the TLS hello once it is whole: 1 from a client.", "req.ssl_hello_type 1";
    "req.ssl_ja3" "req.ssl_ja3" [] Str First OF_REQUEST
        |ctx, _, visit| whole_hello(ctx, visit, |found, visit| visit(Sample::Str(ja3(found).as_bytes()))),
        "The JA3 fingerprint of the TLS ClientHello. Clients that shuffle their extensions have many; prefer req.ssl_ja4.",
        "req.ssl_ja3 ada70206e40642a3e4461f35503241d5";
    "req.ssl_ja4" "req.ssl_ja4" [] Str First OF_REQUEST
        |ctx, _, visit| whole_hello(ctx, visit, |found, visit| visit(Sample::Str(ja4(found).as_bytes()))),
        "The JA4 fingerprint of the TLS ClientHello.", "req.ssl_ja4 t13d1516h2_8daaf6152771_e5627efa2ab1";
    "req.ssl_keyshare_groups" "req.ssl_keyshare_groups" [] Bin First OF_REQUEST
        |ctx, _, visit| numbers(ctx, visit, |found, out| found.key_shares().for_each(|(group, _)| out(group))),
        "The groups for which the TLS ClientHello brings a key, two bytes each.", "req.ssl_keyshare_groups,hex -m sub 001d";
    "req.ssl_sigalgs" "req.ssl_sigalgs" [] Bin First OF_REQUEST
        |ctx, _, visit| numbers(ctx, visit, |found, out| found.signature_algorithms().for_each(out)),
        "The signature schemes that the TLS ClientHello takes, two bytes each.", "req.ssl_sigalgs,hex -m sub 0403";
    "req.ssl_supported_groups" "req.ssl_supported_groups" [] Bin First OF_REQUEST
        |ctx, _, visit| numbers(ctx, visit, |found, out| found.groups().for_each(out)),
        "The groups that the TLS ClientHello takes, two bytes each.", "req.ssl_supported_groups,hex -m sub 001d";
    "req.ssl_sni" "req.ssl_sni" [] Str First OF_REQUEST sni,
        "The name that the TLS ClientHello asks for, as it goes by: TLS does not end here.", "req.ssl_sni www.example.com";
    "req.ssl_st_ext" "req.ssl_st_ext" [] Int First OF_REQUEST
        |ctx, _, visit| hello(
            ctx,
            |found| found.ticket().map(|ticket| Sample::Int(if ticket.is_empty() { 1 } else { 2 })),
            Some(Sample::Int(0)),
            visit,
        ),
        "2 when the TLS ClientHello brings a session ticket, 1 when it asks for one, 0 else.", "req.ssl_st_ext 1:2";
    "req.ssl_ver" "req.ssl_ver" [] Int First OF_REQUEST version,
        "The version in the TLS ClientHello: the major number times 65536 and the minor one; compare it as in 3.1 (TLS 1.0).",
        "req.ssl_ver 3.1:";
    "req_len" "req_len" [] Int First OF_REQUEST length,
        "Short for req.len.", "req_len gt 100";
    "req_proto_http" "req_proto_http" [] Bool First OF_REQUEST proto_http,
        "Short for req.proto_http.", "req_proto_http";
    "req_ssl_hello_type" "req_ssl_hello_type" [] Int First OF_REQUEST hello_type,
        "Short for req.ssl_hello_type.", "req_ssl_hello_type 1";
    "req_ssl_sni" "req_ssl_sni" [] Str First OF_REQUEST sni,
        "Short for req.ssl_sni.", "req_ssl_sni www.example.com";
    "req_ssl_ver" "req_ssl_ver" [] Int First OF_REQUEST version,
        "Short for req.ssl_ver.", "req_ssl_ver 3.1:";
    "res.len" "res.len" [] Int First OF_RESPONSE length,
        "How many bytes of the server are there. A rule that wants more waits for them.", "res.len gt 0";
    "res.payload" "res.payload(<offset>,<length>)" [OFFSET, LENGTH] Bin First OF_RESPONSE part, prepare check_part,
        "As req.payload, of what the server sent.", "res.payload(0,4) -m found";
    "res.payload_lv" "res.payload_lv(<offset>,<length>[,<offset2>])"
        [OFFSET, LENGTH, Arg::maybe("offset2", ArgKind::Str)] Bin First OF_RESPONSE counted, prepare check_counted,
        "As req.payload_lv, of what the server sent.", "res.payload_lv(43,1) -m found";
    "res.ssl_hello_type" "res.ssl_hello_type" [] Int First OF_RESPONSE hello_type,
        "The type of the TLS hello of the server once it is whole: 2.", "res.ssl_hello_type 2";
    "wait_end" "wait_end" [] Bool First BOTH
        |ctx, _, visit| {
            if ctx.last {
                return visit(Sample::Bool(true));
            }
            ctx.may_come();
            ControlFlow::Continue(())
        },
        "True once the inspection delay is over; until then the rule waits.", "wait_end";
}

/// The head of the message that raw data would be part of, when it is HTTP.
fn http<'c>(ctx: &'c Ctx<'_>) -> Option<&'c Head> {
    Some(ctx.message()).filter(|head| head.is_complete() && ctx.body.reading == Reading::Messages)
}

/// What the peer has sent; `None` where it is an HTTP message.
fn raw<'c>(ctx: &'c Ctx<'_>) -> Option<&'c [u8]> {
    http(ctx).is_none().then_some(ctx.body.bytes)
}

/// Marks that more may come, unless the peer has closed.
fn wait(ctx: &Ctx<'_>) -> ControlFlow<()> {
    if !ctx.body.complete {
        ctx.may_come();
    }
    ControlFlow::Continue(())
}

fn length(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let head = http(ctx).map_or(0, Head::head_len);
    if http(ctx).is_none() {
        let _ = wait(ctx);
    }
    visit(Sample::Int(i64::try_from(head + ctx.body.bytes.len()).unwrap_or(i64::MAX)))
}

/// Hands on the bytes from `offset` on, `length` of them; when there are too few, more may come.
fn slice(ctx: &Ctx<'_>, bytes: &[u8], offset: usize, length: usize, visit: &mut Visit<'_>) -> ControlFlow<()> {
    match offset.checked_add(length).and_then(|end| bytes.get(offset..end)) {
        Some(part) => visit(Sample::Bin(part)),
        None => wait(ctx),
    }
}

fn part(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let (Some(bytes), Some(offset), Some(length)) = (raw(ctx), number(args, 0), number(args, 1)) else {
        return ControlFlow::Continue(());
    };
    if length > 0 {
        return slice(ctx, bytes, offset, length, visit);
    }
    match bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        Some(rest) => visit(Sample::Bin(rest)),
        None => wait(ctx),
    }
}

fn check_part(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    match (number(args, 0), number(args, 1)) {
        (Some(_), Some(_)) => Ok(()),
        _ => Err("offset and length are not negative".into()),
    }
}

/// Where the counted bytes begin.
#[derive(Debug)]
enum Begin {
    At(usize),
    After(i64),
}

fn counted(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let (Some(bytes), Some(offset), Some(width)) = (raw(ctx), number(args, 0), number(args, 1)) else {
        return ControlFlow::Continue(());
    };
    let Some(field) = offset.checked_add(width).and_then(|end| bytes.get(offset..end)) else { return wait(ctx) };
    // As many bytes as a buffer never holds, where the number is out of all bounds.
    let length = field.iter().fold(0usize, |length, &byte| length.saturating_mul(256).saturating_add(byte.into()));
    let behind = offset + width;
    let begin = match args.iter().find_map(|arg| match arg {
        Value::Ready(begin) => begin.downcast_ref(),
        _ => None,
    }) {
        Some(Begin::At(at)) => Some(*at),
        Some(Begin::After(delta)) => {
            i64::try_from(behind).ok().and_then(|at| at.checked_add(*delta)).and_then(|at| usize::try_from(at).ok())
        }
        None => Some(behind),
    };
    match begin {
        // Nothing counted is nothing found, as in HAProxy.
        Some(begin) if length > 0 => slice(ctx, bytes, begin, length, visit),
        _ => ControlFlow::Continue(()),
    }
}

fn check_counted(args: &mut Vec<Value>, env: &Env<'_>) -> Result<(), String> {
    check_part(args, env)?;
    if !matches!(number(args, 1), Some(1..=8)) {
        return Err("the length is written in 1 to 8 bytes".into());
    }
    let text = String::from_utf8_lossy(Value::text(args, 2)).into_owned();
    if text.is_empty() {
        return Ok(());
    }
    let bad = || format!("`{text}` is no offset: write 43, +2 or -2");
    let begin = match text.strip_prefix('+') {
        Some(delta) => Begin::After(delta.parse::<u32>().map_err(|_| bad())?.into()),
        None => match text.strip_prefix('-') {
            Some(delta) => Begin::After(-i64::from(delta.parse::<u32>().map_err(|_| bad())?)),
            None => Begin::At(text.parse().map_err(|_| bad())?),
        },
    };
    args.push(Value::Ready(std::sync::Arc::new(begin)));
    Ok(())
}

fn number(args: &[Value], at: usize) -> Option<usize> {
    Value::int(args, at).and_then(|number| usize::try_from(number).ok())
}

/// Hands on what `of` finds in a ClientHello; `absent` when it is whole and there is nothing.
fn hello<'s>(
    ctx: &Ctx<'_>,
    of: impl for<'b> FnOnce(&'b ClientHello<'_>) -> Option<Sample<'b>>,
    absent: Option<Sample<'s>>,
    visit: &mut Visit<'_>,
) -> ControlFlow<()> {
    let Some(bytes) = raw(ctx) else { return ControlFlow::Continue(()) };
    match Hello::read(bytes) {
        Hello::Whole(found) => give(of(&found).or(absent), visit),
        Hello::Partial(found) => match of(&found) {
            Some(sample) => visit(sample),
            None => wait(ctx),
        },
        Hello::Message(_) | Hello::Other => ControlFlow::Continue(()),
    }
}

/// Hands on what `of` finds in a ClientHello that is whole.
fn whole_hello(
    ctx: &Ctx<'_>,
    visit: &mut Visit<'_>,
    of: impl FnOnce(&ClientHello<'_>, &mut Visit<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some(bytes) = raw(ctx) else { return ControlFlow::Continue(()) };
    match Hello::read(bytes) {
        Hello::Whole(found) => of(&found, visit),
        Hello::Partial(_) => wait(ctx),
        Hello::Message(_) | Hello::Other => ControlFlow::Continue(()),
    }
}

/// Hands on a list of numbers of a ClientHello that is whole, two bytes each; an empty one is undefined.
fn numbers(ctx: &Ctx<'_>, visit: &mut Visit<'_>, list: fn(&ClientHello<'_>, &mut dyn FnMut(u16))) -> ControlFlow<()> {
    whole_hello(ctx, visit, |found, visit| {
        ctx.buffers.with(|out| {
            list(found, &mut |number| out.extend_from_slice(&number.to_be_bytes()));
            give(Some(&*out).filter(|out| !out.is_empty()).map(|out| Sample::Bin(out)), visit)
        })
    })
}

fn sni(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    hello(ctx, |found| found.sni().map(Sample::Str), None, visit)
}

/// The major number times 65536 and the minor one.
fn version(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let combined = |version: u16| Sample::Int(i64::from(version >> 8) << 16 | i64::from(version & 0xff));
    hello(ctx, |found| found.legacy_version().map(combined), None, visit)
}

fn alpn(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    whole_hello(ctx, visit, |found, visit| found.alpn().try_for_each(|name| visit(Sample::Str(name))))
}

fn hello_type(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(bytes) = raw(ctx) else { return ControlFlow::Continue(()) };
    match Hello::read(bytes) {
        Hello::Whole(_) => visit(Sample::Int(1)),
        Hello::Message(kind) => visit(Sample::Int(kind.into())),
        Hello::Partial(_) => wait(ctx),
        Hello::Other => ControlFlow::Continue(()),
    }
}

fn proto_http(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let found = ctx.body.reading == Reading::Preface || ctx.request_head().is_some();
    give(found.then_some(Sample::Bool(true)), visit)
}

/// The cookie of the first packet of RDP, when all of it that is needed is there.
enum Rdp<'b> {
    Cookie(&'b [u8], &'b [u8]),
    None,
    Partial,
}

/// TPKT (version 3, a reserved byte, two of length), the X.224 connection request (length, 0xE0, six bytes), then the line
/// `Cookie: name=value` ([MS-RDPBCGR], 2.2.1.1).
fn rdp(bytes: &[u8]) -> Rdp<'_> {
    const HEAD: usize = 11;
    const WORD: &[u8] = b"Cookie:";
    let fixed = |at: usize, wanted: u8| bytes.get(at).is_none_or(|byte| *byte == wanted);
    if !fixed(0, 3) || !fixed(5, 0xe0) {
        return Rdp::None;
    }
    let Some(rest) = bytes.get(HEAD..) else { return Rdp::Partial };
    let given = rest.len().min(WORD.len());
    if !rest[..given].eq_ignore_ascii_case(&WORD[..given]) {
        return Rdp::None;
    }
    let Some(line) = rest.get(WORD.len()..) else { return Rdp::Partial };
    match memchr::memmem::find(line, b"\r\n") {
        Some(end) => {
            let line = line[..end].trim_ascii_start();
            memchr::memchr(b'=', line).map_or(Rdp::None, |at| Rdp::Cookie(&line[..at], &line[at + 1..]))
        }
        None => Rdp::Partial,
    }
}

fn rdp_cookie(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(bytes) = raw(ctx) else { return ControlFlow::Continue(()) };
    let wanted = Value::text(args, 0);
    match rdp(bytes) {
        Rdp::Cookie(name, value) if wanted.is_empty() || name.eq_ignore_ascii_case(wanted) => visit(Sample::Str(value)),
        Rdp::Cookie(..) | Rdp::None => ControlFlow::Continue(()),
        Rdp::Partial => wait(ctx),
    }
}

fn rdp_cookie_count(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(bytes) = raw(ctx) else { return ControlFlow::Continue(()) };
    let wanted = Value::text(args, 0);
    match rdp(bytes) {
        Rdp::Cookie(name, _) => visit(Sample::Int((wanted.is_empty() || name.eq_ignore_ascii_case(wanted)).into())),
        Rdp::None => visit(Sample::Int(0)),
        Rdp::Partial => wait(ctx),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::hello::tests::client_hello;
    use crate::testing::{expr, refused, scene};

    /// What `text` gives for `bytes` while the peer may send more, and whether it waits; and what it gives at the end.
    fn look(bytes: &[u8], text: &str) -> (String, bool, String) {
        let mut scene = scene("GET / HTTP/1.1\r\nHost: h\r\n\r\n").in_tcp(bytes.to_vec());
        let expr = expr(text);
        scene.at(Phase::Request, |ctx| {
            let show = |ctx: &Ctx<'_>| {
                let mut out = Vec::new();
                if expr.write(ctx, &mut out) { String::from_utf8_lossy(&out).into_owned() } else { "-".into() }
            };
            ctx.body.complete = false;
            ctx.last = false;
            let early = show(ctx);
            let waits = ctx.undecided.get();
            ctx.last = true;
            (early, waits, show(ctx))
        })
    }

    fn packet(line: &[u8]) -> Vec<u8> {
        let mut out = vec![3, 0, 0, line.len() as u8 + 11, line.len() as u8 + 6, 0xe0, 0, 0, 0, 0, 0];
        out.extend_from_slice(line);
        out
    }

    /// Answers of HAProxy 2.6 at the end of the inspection.
    #[test]
    fn raw_data_is_seen_as_in_haproxy() {
        let hello = client_hello(Some("www.ex.com"), &["h2", "http/1.1"]);
        let cut = &hello[..hello.len() - 1];
        let http = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n".as_slice();
        for (bytes, text, expected, waits) in [
            (hello.as_slice(), "req.ssl_hello_type", "1", false),
            (&hello, "req.ssl_sni", "www.ex.com", false),
            (&hello, "req.ssl_ver", "196611", false),
            (&hello, "req.ssl_alpn", "h2", false),
            (&hello, "req.ssl_ja4", "t12d0105h2_0f2cb44170f4_2f0ed3761deb", false),
            (cut, "req.ssl_ja4", "-", true),
            (http, "req.ssl_ja3", "-", false),
            (&hello, "req.ssl_cipherlist", "1301", false),
            (cut, "req.ssl_cipherlist", "-", true),
            (&hello, "req.ssl_supported_groups", "001D0017", false),
            (cut, "req.ssl_supported_groups", "-", true),
            (&hello, "req.ssl_sigalgs", "-", false),
            (&hello, "req.ssl_keyshare_groups", "-", false),
            (&hello, "req.ssl_st_ext", "1", false),
            (&hello, "req.ssl_ec_ext", "1", false),
            (&hello, "req.proto_http", "-", false),
            (&hello, "req.rdp_cookie", "-", false),
            (&hello, "req.rdp_cookie_cnt", "0", false),
            (cut, "req.ssl_hello_type", "-", true),
            (cut, "req.ssl_sni", "www.ex.com", false),
            (&hello[..3], "req.ssl_sni", "-", true),
            (b"", "req.ssl_sni", "-", true),
            (http, "req.ssl_sni", "-", false),
            (http, "req.proto_http", "1", false),
            (&http[..9], "req.proto_http", "-", true),
            (b"hello world\r\n", "req.proto_http", "-", false),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "req.proto_http", "1", false),
            (http, "path", "/x", false),
            (http, "method", "GET", false),
            (http, "req.hdr(host)", "h", false),
            (http, "req.hdr(x)", "-", false),
            (&http[..9], "path", "-", true),
            (b"", "req.hdr(host)", "-", true),
            (b"SSH-2.0-x\r\n", "path", "-", false),
            (&hello, "method", "-", false),
            (http, "req.len", "28", true),
            (b"", "req.len", "0", true),
            (http, "req.payload(0,4)", "47455420", false),
            (http, "req.payload(24,0)", "0D0A0D0A", false),
            (b"abc", "req.payload(0,4)", "-", true),
            (b"abc", "req.payload(2,0)", "63", false),
            (b"", "req.payload(0,0)", "-", true),
            (b"\x02abc", "req.payload_lv(0,1)", "6162", false),
            (b"\x02abc", "req.payload_lv(0,1,+1)", "6263", false),
            (b"\x02abc", "req.payload_lv(0,1,2)", "6263", false),
            (b"\x02abc", "req.payload_lv(0,1,-1)", "0261", false),
            (b"\x02abc", "req.payload_lv(0,1,-2)", "-", false),
            (b"\x09abc", "req.payload_lv(0,1)", "-", true),
            (b"\x00\x02abc", "req.payload_lv(0,2)", "6162", false),
            (b"\x00abc", "req.payload_lv(0,1)", "-", false),
            (&packet(b"Cookie: mstshash=user1\r\n\x01\x00\x08\x00"), "req.rdp_cookie", "user1", false),
            (&packet(b"Cookie: mstshash=user1\r\n"), "req.rdp_cookie(MSTSHASH)", "user1", false),
            (&packet(b"Cookie: MSTS=1.2.3.x\r\n"), "req.rdp_cookie(mstshash)", "-", false),
            (&packet(b"Cookie: MSTS=1.2.3.x\r\n"), "req.rdp_cookie_cnt", "1", false),
            (&packet(b"cookie:  mstshash=a;b=c\r\n"), "rdp_cookie", "a;b=c", false),
            (&packet(b"Cookie: mstshash=user1"), "req.rdp_cookie", "-", true),
            (&packet(b"Cook"), "req.rdp_cookie", "-", true),
            (&packet(b"\x01\x00\x08\x00"), "req.rdp_cookie_cnt", "0", false),
            (b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", "req.ssl_hello_type", "2", false),
            (b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", "req.ssl_sni", "-", false),
        ] {
            let (early, waited, last) = look(bytes, text);
            assert_eq!((early.as_str(), waited, last.as_str()), (expected, waits, expected), "{text} of {bytes:?}");
        }
        assert_eq!(look(b"x", "wait_end"), ("-".into(), true, "1".into()));
        for text in [
            "req.payload(-1,0)",
            "req.payload(0)",
            "req.payload_lv(0,0)",
            "req.payload_lv(0,9)",
            "req.payload_lv(0,1,x)",
        ] {
            assert!(refused(text), "{text}");
        }
    }

    #[test]
    fn an_http_message_is_no_raw_data() {
        let mut scene = scene("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
        scene.body = b"abc".to_vec();
        for (text, expected) in
            [("req.payload(0,0)", "-"), ("req.proto_http", "1"), ("req.len", "50"), ("req.ssl_sni", "-")]
        {
            assert_eq!(crate::testing::show(&mut scene, Phase::Request, text), expected, "{text}");
        }
    }
}
