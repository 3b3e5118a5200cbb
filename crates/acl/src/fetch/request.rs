//! Fetches of the request line.

use std::ops::ControlFlow;

use evenkeel_proto::{Method, Version};

use crate::ctx::Ctx;
use crate::fetch::{SINCE_REQUEST, Visit, fetch_table};
use crate::sample::Sample;
use crate::value::Value;
fetch_table! {
    "method" "method" [] Str First SINCE_REQUEST method,
        "The request method, upper case as received.", "method POST PUT";
    "path" "path" [] Str First SINCE_REQUEST path,
        "The path of the request target, without the query; undefined for `*` and for CONNECT.", "path_beg /api/";
    "pathq" "pathq" [] Str First SINCE_REQUEST pathq,
        "The path with the query, without scheme and authority.", "pathq_sub ?id=";
    "query" "query" [] Str First SINCE_REQUEST query,
        "What follows the first `?` of the target; undefined when there is none.", "query_beg id=";
    "req.ver" "req.ver" [] Str First SINCE_REQUEST version,
        "The HTTP version of the request: 1.0 or 1.1.", "req.ver 1.1";
    "url" "url" [] Str First SINCE_REQUEST url,
        "The request target as sent: a path, or an absolute URL, or `*`.", "url_end ?id=7";
}

fn method(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Str(ctx.request.method_bytes()))
}

fn version(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Str(match ctx.request.version() {
        Version::Http10 => b"1.0",
        Version::Http11 => b"1.1",
    }))
}

fn url(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Str(ctx.request.target()))
}

fn path(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let pathq = path_and_query(ctx);
    let end = memchr::memchr(b'?', pathq).unwrap_or(pathq.len());
    if end == 0 { ControlFlow::Continue(()) } else { visit(Sample::Str(&pathq[..end])) }
}

fn pathq(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let pathq = path_and_query(ctx);
    if pathq.is_empty() { ControlFlow::Continue(()) } else { visit(Sample::Str(pathq)) }
}

fn query(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let pathq = path_and_query(ctx);
    match memchr::memchr(b'?', pathq) {
        Some(at) => visit(Sample::Str(&pathq[at + 1..])),
        None => ControlFlow::Continue(()),
    }
}

/// The target from its path on; empty for `*` and for CONNECT. In absolute form without a path it begins with `?` or is
/// empty.
pub(crate) fn path_and_query<'c>(ctx: &'c Ctx<'_>) -> &'c [u8] {
    let target = ctx.request.target();
    if target.first() == Some(&b'/') {
        return target;
    }
    if ctx.request.method() == Method::Connect {
        return b"";
    }
    // RFC 9112, 3.2.2: scheme "://" authority path-abempty [ "?" query ].
    let Some(scheme) = memchr::memmem::find(target, b"://") else { return b"" };
    let after = &target[scheme + 3..];
    memchr::memchr2(b'/', b'?', after).map_or(b"", |at| &after[at..])
}
