//! Sample fetches: the table, and the functions behind it.
//!
//! A fetch looks at a [`Ctx`] and hands each occurrence of what it finds to a visitor, in order, until the visitor has
//! seen enough; an undefined sample is no occurrence. Called through [`Expr`](crate::expr::Expr). Never allocates, never
//! edits. A new fetch is one entry of [`FETCHES`] and its function.

use std::ops::ControlFlow;

use evenkeel_proto::{Method, Version};

use crate::ctx::{Ctx, Phase};
use crate::sample::{Sample, Type};

/// Takes one occurrence; `Break` when no more are wanted.
pub(crate) type Visit<'v> = dyn FnMut(Sample<'_>) -> ControlFlow<()> + 'v;
type Run = fn(&Ctx<'_>, &[Value], &mut Visit<'_>) -> ControlFlow<()>;

/// One argument of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// What it is called in the syntax.
    pub name: &'static str,
    /// Its type: `Str` or `Int`.
    pub kind: Type,
    /// Whether it may be left out.
    pub optional: bool,
}

/// An argument as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Str(Box<[u8]>),
    Int(i64),
}

/// Which occurrence stands for the sample where only one is wanted, as in a `%[...]` item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The first.
    First,
    /// The last.
    Last,
}

/// One entry of the table of fetches.
#[derive(Debug)]
pub struct Fetch {
    /// Name.
    pub name: &'static str,
    /// Name with its arguments, for the reference.
    pub syntax: &'static str,
    /// Arguments, in order.
    pub args: &'static [Arg],
    /// Type of the sample.
    pub output: Type,
    /// Which occurrence is taken outside acls.
    pub pick: Pick,
    /// Phases in which its data exists.
    pub phases: &'static [Phase],
    /// One sentence.
    pub doc: &'static str,
    /// An acl that uses it.
    pub example: &'static str,
    pub(crate) run: Run,
}

const SINCE_ACCEPT: &[Phase] =
    &[Phase::Accept, Phase::Hello, Phase::Request, Phase::Body, Phase::Server, Phase::Response, Phase::Done];
const SINCE_REQUEST: &[Phase] = &[Phase::Request, Phase::Body, Phase::Server, Phase::Response, Phase::Done];
const NAME: Arg = Arg { name: "name", kind: Type::Str, optional: false };
const OCC: Arg = Arg { name: "occ", kind: Type::Int, optional: true };

macro_rules! fetches {
    ($($name:literal $syntax:literal $args:tt $output:ident $pick:ident $phases:ident $run:path, $doc:literal, $example:literal;)*) => {
        /// Every fetch, sorted by name.
        pub static FETCHES: &[Fetch] = &[$(Fetch {
            name: $name, syntax: $syntax, args: &$args, output: Type::$output, pick: Pick::$pick, phases: $phases,
            doc: $doc, example: $example, run: $run,
        }),*];
    };
}

fetches! {
    "always_false" "always_false" [] Bool First SINCE_ACCEPT always_false,
        "Always false.", "always_false -m found";
    "always_true" "always_true" [] Bool First SINCE_ACCEPT always_true,
        "Always true.", "always_true";
    "dst" "dst" [] Ip First SINCE_ACCEPT dst,
        "The address the client connected to; undefined on Unix sockets.", "dst 192.0.2.0/24";
    "dst_port" "dst_port" [] Int First SINCE_ACCEPT dst_port,
        "The port the client connected to; undefined on Unix sockets.", "dst_port 443 8000:8999";
    "fe_name" "fe_name" [] Str First SINCE_ACCEPT fe_name,
        "The name of the frontend.", "fe_name web";
    "hdr" "hdr(<name>[,<occ>])" [NAME, OCC] Str Last SINCE_REQUEST header_value,
        "Short for req.hdr.", "hdr(host) -i www.example.com";
    "hdr_cnt" "hdr_cnt(<name>)" [NAME] Int First SINCE_REQUEST header_count,
        "Short for req.hdr_cnt.", "hdr_cnt(x-forwarded-for) ge 2";
    "hdr_ip" "hdr_ip(<name>[,<occ>])" [NAME, OCC] Ip Last SINCE_REQUEST header_ip,
        "Short for req.hdr_ip.", "hdr_ip(x-forwarded-for,1) 10.0.0.0/8";
    "hdr_val" "hdr_val(<name>[,<occ>])" [NAME, OCC] Int Last SINCE_REQUEST header_number,
        "Short for req.hdr_val.", "hdr_val(content-length) gt 10";
    "method" "method" [] Str First SINCE_REQUEST method,
        "The request method, upper case as received.", "method POST PUT";
    "path" "path" [] Str First SINCE_REQUEST path,
        "The path of the request target, without the query; undefined for `*` and for CONNECT.", "path_beg /api/";
    "pathq" "pathq" [] Str First SINCE_REQUEST pathq,
        "The path with the query, without scheme and authority.", "pathq_sub ?id=";
    "query" "query" [] Str First SINCE_REQUEST query,
        "What follows the first `?` of the target; undefined when there is none.", "query_beg id=";
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
    "req.ver" "req.ver" [] Str First SINCE_REQUEST version,
        "The HTTP version of the request: 1.0 or 1.1.", "req.ver 1.1";
    "src" "src" [] Ip First SINCE_ACCEPT src,
        "The client address; undefined on Unix sockets.", "src 203.0.113.0/24 2001:db8::/32";
    "src_port" "src_port" [] Int First SINCE_ACCEPT src_port,
        "The client port; undefined on Unix sockets.", "src_port ge 1024";
    "url" "url" [] Str First SINCE_REQUEST url,
        "The request target as sent: a path, or an absolute URL, or `*`.", "url_end ?id=7";
}

/// The fetch named `name`.
pub(crate) fn find(name: &str) -> Option<&'static Fetch> {
    FETCHES.binary_search_by(|fetch| fetch.name.cmp(name)).ok().map(|index| &FETCHES[index])
}

fn always_true(_: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Bool(true))
}

fn always_false(_: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Bool(false))
}

fn src(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    ctx.connection.src.map_or(ControlFlow::Continue(()), |peer| visit(Sample::Ip(peer.ip())))
}

fn src_port(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    ctx.connection.src.map_or(ControlFlow::Continue(()), |peer| visit(Sample::Int(i64::from(peer.port()))))
}

fn dst(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    ctx.connection.dst.map_or(ControlFlow::Continue(()), |local| visit(Sample::Ip(local.ip())))
}

fn dst_port(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    ctx.connection.dst.map_or(ControlFlow::Continue(()), |local| visit(Sample::Int(i64::from(local.port()))))
}

fn fe_name(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Str(ctx.connection.frontend.as_bytes()))
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
    fn the_table_is_sorted_and_complete() {
        assert!(FETCHES.windows(2).all(|pair| pair[0].name < pair[1].name));
        for fetch in FETCHES {
            assert!(fetch.syntax.starts_with(fetch.name) && !fetch.phases.is_empty(), "{}", fetch.name);
            assert!(fetch.doc.ends_with('.') && fetch.example.starts_with(fetch.name), "{}", fetch.name);
            assert_eq!(fetch.syntax.contains('('), !fetch.args.is_empty(), "{}", fetch.name);
        }
    }

    #[test]
    fn quoted_commas_do_not_separate() {
        assert_eq!(element_end(br#""a,b",c"#), 5);
        assert_eq!(element_end(br#""a\",b",c"#), 7);
        assert_eq!(element_end(br#""a,b"#), 4);
        assert_eq!(element_end(br#""a\"#), 3);
        assert_eq!(element_end(b""), 0);
    }
}
