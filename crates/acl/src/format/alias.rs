//! The `%xx` aliases: the table, and what each writes.
//!
//! Called by formats. Most look at [`Progress`](crate::Progress), which its driver keeps; an alias whose data comes later
//! than the rule it stands in is refused when the configuration is loaded. Never allocates.

use std::net::SocketAddr;

use evenkeel_proto::{Method, Version};

use super::date::Date;
use super::encode::{Out, Text};
use crate::ctx::{Count, Ctx, FrontendCount, Phase, ProcessCount, Slots};
use crate::fetch::{AT_END, SINCE_ACCEPT, SINCE_HELLO, SINCE_REQUEST, SINCE_RESPONSE, SINCE_SERVER, TlsFacts};
use crate::sample::Type;

/// One entry of the table of `%xx` aliases.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// What follows the percent sign.
    pub name: &'static str,
    /// The type of its value: what it becomes in JSON.
    pub output: Type,
    /// Phases in which its data exists.
    pub phases: &'static [Phase],
    /// What it stands for.
    pub doc: &'static str,
    pub(super) run: fn(&Ctx<'_>, &mut Out<'_>),
}

/// The alias of that name.
pub(super) fn find(name: &[u8]) -> Option<&'static Alias> {
    ALIASES.binary_search_by(|alias| alias.name.as_bytes().cmp(name)).ok().map(|at| &ALIASES[at])
}

macro_rules! aliases {
    ($($name:literal $output:ident $phases:ident $run:expr, $doc:literal;)*) => {
        /// Every alias, sorted by name.
        pub static ALIASES: &[Alias] = &[$(
            Alias { name: $name, output: Type::$output, phases: $phases, doc: $doc, run: $run }
        ),*];
    };
}

aliases! {
    "B" Int AT_END |ctx, out| growing(ctx, out, ctx.progress.bytes_out as i64),
        "Bytes written to the client, heads included.";
    "CC" Str SINCE_REQUEST |ctx, out| cookie(ctx, out, 0),
        "The captured cookie of the request, as name=value.";
    "CS" Str SINCE_RESPONSE |ctx, out| cookie(ctx, out, 1),
        "The captured cookie of the response, as name=value.";
    "H" Str SINCE_ACCEPT |ctx, out| out.text(ctx.world.hostname().as_bytes()),
        "The name of this machine.";
    "HM" Str SINCE_REQUEST |ctx, out| of_request(ctx, out, |ctx| ctx.request.method_bytes()),
        "The method of the request; <BADREQ> when the request could not be read.";
    "HP" Str SINCE_REQUEST |ctx, out| of_request(ctx, out, |ctx| before_query(ctx.request.original_target())),
        "The target of the request as received, without the query; <BADREQ> as for %HM.";
    "HPO" Str SINCE_REQUEST |ctx, out| of_request(ctx, out, path_only),
        "The path of the target alone, without scheme, host and query; <BADREQ> as for %HM.";
    "HQ" Str SINCE_REQUEST |ctx, out| of_request(ctx, out, query),
        "The query of the target with its question mark; empty when there is none; <BADREQ> as for %HM.";
    "HU" Str SINCE_REQUEST |ctx, out| of_request(ctx, out, |ctx| ctx.request.original_target()),
        "The target of the request as received; <BADREQ> as for %HM.";
    "HV" Str SINCE_REQUEST |ctx, out| of_request(ctx, out, version),
        "The HTTP version of the request, such as HTTP/1.1; <BADREQ> as for %HM.";
    "ID" Str SINCE_REQUEST |ctx, out| out.text(&ctx.memo.unique_id.borrow()),
        "The unique id of the request, once it was made.";
    "OG" Str SINCE_ACCEPT |ctx, out| out.text(ctx.progress.origin.as_bytes()),
        "What the log line is written for: txn_accept, txn_request, txn_connect, txn_response, txn_close, sess_error, or the rules \
         of a do-log action, such as http-req.";
    "ST" Int SINCE_RESPONSE |ctx, out| out.number(ctx.progress.status.map_or(-1, i64::from)),
        "The status the client got; -1 when none was sent.";
    "T" Str SINCE_ACCEPT |ctx, out| out.raw(&Date::new(ctx.session.accepted_us, 0).with_zone()),
        "When the connection was accepted, in UTC: 21/Nov/2026:05:04:26 +0000.";
    "TR" Int SINCE_REQUEST |ctx, out| out.number(ctx.progress.times.request),
        "Milliseconds from the first byte of the request to the end of its head.";
    "Ta" Int AT_END |ctx, out| growing(ctx, out, ctx.progress.times.active),
        "Milliseconds from the first byte of the request to the end.";
    "Tc" Int SINCE_RESPONSE |ctx, out| out.number(ctx.progress.times.connect),
        "Milliseconds to connect to the server, retries included.";
    "Td" Int AT_END |ctx, out| out.number(ctx.progress.times.data),
        "Milliseconds from the response head to the end.";
    "Th" Int SINCE_HELLO |ctx, out| out.number(ctx.progress.times.handshake),
        "Milliseconds for PROXY header and TLS handshake; 0 after the first request of a connection.";
    "Ti" Int SINCE_REQUEST |ctx, out| out.number(ctx.progress.times.idle),
        "Milliseconds the connection was idle before the request.";
    "Tl" Str SINCE_ACCEPT |ctx, out| out.raw(&local(ctx, ctx.session.accepted_us).with_zone()),
        "As %T, in local time.";
    "Tq" Int SINCE_REQUEST |ctx, out| out.number(until_request(ctx)),
        "%Th, %Ti and %TR together; -1 when one of them is.";
    "Tr" Int SINCE_RESPONSE |ctx, out| out.number(ctx.progress.times.response),
        "Milliseconds from connected to the response head.";
    "Ts" Int SINCE_ACCEPT |ctx, out| out.hexable(ctx.session.accepted_us.max(0) as u64 / 1_000_000, 4),
        "When the connection was accepted, in seconds since 1970; X writes it in hexadecimal.";
    "Tt" Int AT_END |ctx, out| growing(ctx, out, ctx.progress.times.total),
        "Milliseconds from accept to the end.";
    "Tu" Int AT_END |ctx, out| growing(ctx, out, as_seen_by_the_user(ctx)),
        "%Tt without the idle time before the request.";
    "Tw" Int SINCE_SERVER |ctx, out| out.number(ctx.progress.times.queue),
        "Milliseconds spent in queues.";
    "U" Int AT_END |ctx, out| out.unsigned(ctx.progress.bytes_in),
        "Bytes read from the client, heads included.";
    "ac" Int SINCE_ACCEPT |ctx, out| out.unsigned(ctx.progress.sessions[0]),
        "Client connections of the process.";
    "b" Str SINCE_REQUEST |ctx, out| out.text(ctx.progress.backend.unwrap_or(ctx.progress.frontend).as_bytes()),
        "The name of the backend; of the frontend while none is chosen.";
    "bc" Int SINCE_SERVER |ctx, out| out.unsigned(ctx.progress.sessions[2]),
        "Sessions of the backend.";
    "bi" Ip SINCE_SERVER |ctx, out| out.ip(ctx.progress.server_src.map(|addr| addr.ip())),
        "Our address towards the server.";
    "bp" Int SINCE_SERVER |ctx, out| out.hexable(port(ctx.progress.server_src), 4),
        "Our port towards the server; 0 when there is no connection.";
    "bq" Int SINCE_SERVER |ctx, out| out.unsigned(ctx.progress.queued[1]),
        "Requests that were ahead in the queue of the backend.";
    "ci" Ip SINCE_ACCEPT |ctx, out| address(out, ctx.session.src),
        "The client address; unix for a Unix socket.";
    "cp" Int SINCE_ACCEPT |ctx, out| port_or_listener(ctx, out, ctx.session.src),
        "The client port; for a Unix socket the number of the bind.";
    "f" Str SINCE_ACCEPT |ctx, out| out.text(ctx.progress.frontend.as_bytes()),
        "The name of the frontend.";
    "fc" Int SINCE_ACCEPT |ctx, out| out.unsigned(ctx.progress.sessions[1]),
        "Client connections of the frontend.";
    "fi" Ip SINCE_ACCEPT |ctx, out| address(out, ctx.session.dst),
        "The address the client connected to; unix for a Unix socket.";
    "fp" Int SINCE_ACCEPT |ctx, out| port_or_listener(ctx, out, ctx.session.dst),
        "The port the client connected to; for a Unix socket the number of the bind.";
    "ft" Str SINCE_ACCEPT frontend_and_transport,
        "The name of the frontend, with ~ behind it when the client speaks TLS.";
    "hr" Str SINCE_REQUEST |ctx, out| braces(out, &ctx.memo.captured_request.borrow(), ctx.progress.captures[0]),
        "What was captured of the request, as {one|two}; nothing when the frontend declares no capture.";
    "hrl" Str SINCE_REQUEST |ctx, out| list(out, &ctx.memo.captured_request.borrow(), ctx.progress.captures[0]),
        "What was captured of the request, each by itself with a blank between.";
    "hs" Str SINCE_RESPONSE |ctx, out| braces(out, &ctx.memo.captured_response.borrow(), ctx.progress.captures[1]),
        "What was captured of the response, as %hr.";
    "hsl" Str SINCE_RESPONSE |ctx, out| list(out, &ctx.memo.captured_response.borrow(), ctx.progress.captures[1]),
        "What was captured of the response, as %hrl.";
    "lc" Int SINCE_ACCEPT logged,
        "Lines the frontend logged before; X writes it in hexadecimal.";
    "ms" Int SINCE_ACCEPT |ctx, out| out.padded(ctx.session.accepted_us.rem_euclid(1_000_000) as u64 / 1000, 3, 2),
        "Milliseconds of %T, three digits; X writes them in hexadecimal.";
    "pid" Int SINCE_ACCEPT pid,
        "The process id; X writes it in hexadecimal.";
    "r" Str SINCE_REQUEST request_line,
        "The request line as received; <BADREQ> when it could not be read.";
    "rc" Int SINCE_RESPONSE retries,
        "Attempts after the first, with + before it when another server was tried.";
    "rt" Int SINCE_REQUEST |ctx, out| out.hexable(ctx.progress.serial, 4),
        "Requests of the process before this one; X writes it in hexadecimal.";
    "s" Str SINCE_SERVER |ctx, out| out.text(ctx.progress.server.unwrap_or("<NOSRV>").as_bytes()),
        "The name of the server; <NOSRV> when none was chosen.";
    "sc" Int SINCE_SERVER |ctx, out| out.unsigned(ctx.progress.sessions[3]),
        "Sessions of the server.";
    "si" Ip SINCE_SERVER |ctx, out| out.ip(ctx.progress.server_addr.map(|addr| addr.ip())),
        "The address of the server.";
    "sp" Int SINCE_SERVER |ctx, out| out.hexable(port(ctx.progress.server_addr), 4),
        "The port of the server; 0 when none was chosen.";
    "sq" Int SINCE_SERVER |ctx, out| out.unsigned(ctx.progress.queued[0]),
        "Requests that were ahead in the queue of the server.";
    "sslc" Str SINCE_HELLO |ctx, out| of_tls(ctx, out, |tls| tls.cipher),
        "The cipher of the client's TLS connection, as `ssl_fc_cipher`.";
    "sslv" Str SINCE_HELLO |ctx, out| of_tls(ctx, out, |tls| tls.protocol),
        "The version of the client's TLS connection, as `ssl_fc_protocol`.";
    "t" Str SINCE_ACCEPT |ctx, out| out.raw(&local(ctx, ctx.session.accepted_us).with_millis()),
        "When the connection was accepted, in local time: 06/Feb/2009:12:14:14.655.";
    "tr" Str SINCE_REQUEST |ctx, out| out.raw(&local(ctx, ctx.progress.began_us).with_millis()),
        "When the request began, as %t.";
    "trg" Str SINCE_REQUEST |ctx, out| out.raw(&Date::new(ctx.progress.began_us, 0).with_zone()),
        "When the request began, as %T.";
    "trl" Str SINCE_REQUEST |ctx, out| out.raw(&local(ctx, ctx.progress.began_us).with_zone()),
        "When the request began, as %Tl.";
    "ts" Str AT_END |ctx, out| letters::<2>(ctx, out),
        "How it ended: the two termination letters.";
    "tsc" Str AT_END |ctx, out| letters::<4>(ctx, out),
        "How it ended: the termination letters with those of the cookie.";
}

/// A number that is not the last one while the transaction goes on.
fn growing(ctx: &Ctx<'_>, out: &mut Out<'_>, value: i64) {
    out.plus(ctx.progress.early);
    out.number(value);
}

fn cookie(ctx: &Ctx<'_>, out: &mut Out<'_>, slot: usize) {
    match ctx.memo.captured_cookies.borrow().get(slot) {
        Some(cookie) => out.text(cookie),
        None => out.absent(),
    }
}

/// A part of the request line.
fn of_request<'c>(ctx: &'c Ctx<'_>, out: &mut Out<'_>, part: impl FnOnce(&'c Ctx<'_>) -> &'c [u8]) {
    if !ctx.request.is_complete() {
        return out.line(b"<BADREQ>");
    }
    let text = part(ctx);
    out.line(if out.is_log() { cut(ctx, text) } else { text })
}

/// What a log line holds of a target (`tune.log-uri-len`).
fn cut<'c>(ctx: &Ctx<'_>, text: &'c [u8]) -> &'c [u8] {
    match ctx.progress.log_uri_len {
        0 => text,
        longest => &text[..text.len().min(longest)],
    }
}

fn before_query(target: &[u8]) -> &[u8] {
    &target[..memchr::memchr(b'?', target).unwrap_or(target.len())]
}

fn query<'c>(ctx: &'c Ctx<'_>) -> &'c [u8] {
    let target = ctx.request.original_target();
    &target[before_query(target).len()..]
}

/// Empty for `*`, for CONNECT, and for an absolute URL without a path (RFC 9112, 3.2).
fn path_only<'c>(ctx: &'c Ctx<'_>) -> &'c [u8] {
    let target = before_query(ctx.request.original_target());
    if target.first() == Some(&b'/') {
        return target;
    }
    if ctx.request.method() == Method::Connect {
        return b"";
    }
    let Some(scheme) = memchr::memmem::find(target, b"://") else { return b"" };
    let after = &target[scheme + 3..];
    memchr::memchr(b'/', after).map_or(b"", |at| &after[at..])
}

fn version<'c>(ctx: &'c Ctx<'_>) -> &'c [u8] {
    match ctx.request.version() {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
        Version::Http2 => b"HTTP/2.0",
    }
}

fn request_line(ctx: &Ctx<'_>, out: &mut Out<'_>) {
    if !ctx.request.is_complete() {
        return out.line(b"<BADREQ>");
    }
    let target = ctx.request.original_target();
    let target = if out.is_log() { cut(ctx, target) } else { target };
    out.open();
    for (at, part) in [ctx.request.method_bytes(), target, version(ctx)].into_iter().enumerate() {
        if at > 0 {
            out.raw(b" ");
        }
        out.part(part, Text::Line);
    }
    out.close();
}

fn local(ctx: &Ctx<'_>, unix_us: i64) -> Date {
    Date::new(unix_us, ctx.world.utc_offset(unix_us.div_euclid(1_000_000)))
}

fn until_request(ctx: &Ctx<'_>) -> i64 {
    let times = &ctx.progress.times;
    let parts = [times.handshake, times.idle, times.request];
    if parts.contains(&-1) { -1 } else { parts.iter().sum() }
}

fn as_seen_by_the_user(ctx: &Ctx<'_>) -> i64 {
    let times = &ctx.progress.times;
    if times.total < 0 { -1 } else { times.total - times.idle.max(0) }
}

fn logged(ctx: &Ctx<'_>, out: &mut Out<'_>) {
    let lines = ctx.world.count(Count::Frontend(ctx.progress.frontend, FrontendCount::LogLines));
    out.hexable(lines.and_then(|lines| u64::try_from(lines).ok()).unwrap_or(0), 4);
}

fn port(address: Option<SocketAddr>) -> u64 {
    address.map_or(0, |address| u64::from(address.port()))
}

fn address(out: &mut Out<'_>, address: Option<SocketAddr>) {
    match address {
        Some(address) => out.ip(Some(address.ip())),
        None => out.text(b"unix"),
    }
}

fn port_or_listener(ctx: &Ctx<'_>, out: &mut Out<'_>, address: Option<SocketAddr>) {
    out.hexable(address.map_or(u64::from(ctx.listener_id()), |address| u64::from(address.port())), 4);
}

fn frontend_and_transport(ctx: &Ctx<'_>, out: &mut Out<'_>) {
    out.open();
    out.part(ctx.progress.frontend.as_bytes(), Text::Plain);
    if ctx.session.tls.is_some() {
        out.raw(b"~");
    }
    out.close();
}

fn of_tls(ctx: &Ctx<'_>, out: &mut Out<'_>, fact: impl FnOnce(&TlsFacts) -> &str) {
    match &ctx.session.tls {
        Some(tls) => out.text(fact(tls).as_bytes()),
        None => out.absent(),
    }
}

fn pid(ctx: &Ctx<'_>, out: &mut Out<'_>) {
    match ctx.world.count(Count::Process(ProcessCount::Pid)) {
        Some(pid) => out.hexable(pid.max(0) as u64, 4),
        None => out.absent(),
    }
}

fn retries(ctx: &Ctx<'_>, out: &mut Out<'_>) {
    out.plus(ctx.progress.redispatched);
    out.unsigned(u64::from(ctx.progress.retries));
}

/// As many termination letters, `-` for each that is not known.
fn letters<const N: usize>(ctx: &Ctx<'_>, out: &mut Out<'_>) {
    let mut text = [b'-'; N];
    text.iter_mut().zip(ctx.progress.letters.bytes()).for_each(|(place, letter)| *place = letter);
    out.raw(&text);
}

fn braces(out: &mut Out<'_>, slots: &Slots, declared: usize) {
    let count = declared.max(slots.len());
    if count == 0 {
        return out.skip();
    }
    out.open();
    out.raw(b"{");
    for at in 0..count {
        if at > 0 {
            out.raw(b"|");
        }
        out.part(slots.get(at).unwrap_or_default(), Text::Captured);
    }
    out.raw(b"}");
    out.close();
}

fn list(out: &mut Out<'_>, slots: &Slots, declared: usize) {
    let count = declared.max(slots.len());
    if count == 0 {
        return out.skip();
    }
    for at in 0..count {
        if at > 0 {
            out.raw(b" ");
        }
        match slots.get(at).filter(|value| !value.is_empty()) {
            Some(value) => {
                out.open();
                out.part(value, Text::Captured);
                out.close();
            }
            None => out.missing(),
        }
    }
}
