//! Fetches of the request line, and of request and host together.
//!
//! Undefined without an HTTP request: in tcp mode, and where none could be read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use evenkeel_proto::{Head, Method, Version};

use crate::conv::hash::{avalanche, hash_sdbm};
use crate::ctx::Ctx;
use crate::fetch::{SINCE_REQUEST, Visit, fetch_table, give, request};
use crate::sample::Sample;
use crate::value::Value;

fetch_table! {
    "base" "base" [] Str First SINCE_REQUEST |ctx, _, visit| with_base(ctx, path_of, |base| visit(Sample::Str(base))),
        "The first Host value followed by the path, as in `www.example.com/favicon.ico`.", "base www.example.com/index.html";
    "base32" "base32" [] Int First SINCE_REQUEST
        |ctx, _, visit| with_base(ctx, path_of, |base| visit(Sample::Int(hash(base).into()))),
        "A hash of 32 bits of `base`: that of `base,sdbm(1)`.", "base32 gt 0";
    "base32+src" "base32+src" [] Bin First SINCE_REQUEST |ctx, _, visit| hash_and_source(ctx, path_of, visit),
        "The four bytes of `base32` followed by those of the client address: a key for what one client does to one path.",
        "base32+src -m found";
    "baseq" "baseq" [] Str First SINCE_REQUEST |ctx, _, visit| with_base(ctx, pathq_of, |base| visit(Sample::Str(base))),
        "The first Host value followed by the path and the query.", "baseq -m beg www.example.com/search?";
    "http_first_req" "http_first_req" [] Bool First SINCE_REQUEST
        => (|ctx, _| request(ctx).map(|_| Sample::Bool(ctx.session.requests <= 1))),
        "Whether the request is the first of its connection.", "http_first_req";
    "method" "method" [] Str First SINCE_REQUEST
        => (|ctx, _| request(ctx).map(|head| Sample::Str(head.method_bytes()))),
        "The request method, upper case as received.", "method POST PUT";
    "path" "path" [] Str First SINCE_REQUEST
        => (|ctx, _| request(ctx).map(path_of).filter(|path| !path.is_empty()).map(Sample::Str)),
        "The path of the request target, without the query; undefined for `*` and for CONNECT.", "path_beg /api/";
    "pathq" "pathq" [] Str First SINCE_REQUEST
        => (|ctx, _| request(ctx).map(pathq_of).filter(|pathq| !pathq.is_empty()).map(Sample::Str)),
        "The path with the query, without scheme and authority.", "pathq_sub ?id=";
    "query" "query" [] Str First SINCE_REQUEST query,
        "What follows the first `?` of the target; undefined when there is none.", "query_beg id=";
    "req.ver" "req.ver" [] Str First SINCE_REQUEST
        => (|ctx, _| request(ctx).map(|head| Sample::Str(short_version(head.version())))),
        "The HTTP version of the request: 1.0, 1.1 or 2.0.", "req.ver 1.1";
    "req_ver" "req_ver" [] Str First SINCE_REQUEST
        => (|ctx, _| request(ctx).map(|head| Sample::Str(short_version(head.version())))),
        "Short for req.ver.", "req_ver 1.1";
    "url" "url" [] Str First SINCE_REQUEST
        => (|ctx, _| request(ctx).map(|head| Sample::Str(head.target()))),
        "The request target as sent: a path, or an absolute URL, or `*`.", "url_end ?id=7";
    "url32" "url32" [] Int First SINCE_REQUEST
        |ctx, _, visit| with_base(ctx, pathq_of, |base| visit(Sample::Int(hash(base).into()))),
        "A hash of 32 bits of `baseq`.", "url32 gt 0";
    "url32+src" "url32+src" [] Bin First SINCE_REQUEST |ctx, _, visit| hash_and_source(ctx, pathq_of, visit),
        "The four bytes of `url32` followed by those of the client address: a key for what one client does to one URL.",
        "url32+src -m found";
    "url_ip" "url_ip" [] Ip First SINCE_REQUEST
        |ctx, _, visit| give(url_address(ctx).map(|(ip, _)| Sample::Ip(ip)), visit),
        "The address in an absolute request target; undefined where a name stands there.", "url_ip 10.0.0.0/8";
    "url_port" "url_port" [] Int First SINCE_REQUEST
        |ctx, _, visit| give(url_address(ctx).map(|(_, port)| Sample::Int(port.into())), visit),
        "The port next to the address in an absolute request target: 80 when none is written, 443 with `https`.",
        "url_port 80";
}

pub(super) fn short_version(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"1.0",
        Version::Http11 => b"1.1",
        Version::Http2 => b"2.0",
    }
}

fn query(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let pathq = request(ctx).map_or(b"".as_slice(), pathq_of);
    give(memchr::memchr(b'?', pathq).map(|at| Sample::Str(&pathq[at + 1..])), visit)
}

/// The target from its path on; empty for `*` and for CONNECT. In absolute form without a path it begins with `?` or is
/// empty.
pub(crate) fn path_and_query<'c>(ctx: &'c Ctx<'_>) -> &'c [u8] {
    pathq_of(ctx.request)
}

fn pathq_of(head: &Head) -> &[u8] {
    path_and_query_of(head.target(), head.method())
}

fn path_of(head: &Head) -> &[u8] {
    let pathq = pathq_of(head);
    &pathq[..memchr::memchr(b'?', pathq).unwrap_or(pathq.len())]
}

pub(super) fn path_and_query_of(target: &[u8], method: Method) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    if method == Method::Connect {
        return b"";
    }
    // RFC 9112, 3.2.2: scheme "://" authority path-abempty [ "?" query ].
    let Some(scheme) = memchr::memmem::find(target, b"://") else { return b"" };
    let after = &target[scheme + 3..];
    memchr::memchr2(b'/', b'?', after).map_or(b"", |at| &after[at..])
}

/// Hands the first Host value followed by `part` of the target to `f`, unless both are empty.
fn with_base(
    ctx: &Ctx<'_>,
    part: for<'h> fn(&'h Head) -> &'h [u8],
    f: impl FnOnce(&[u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some(head) = request(ctx) else { return ControlFlow::Continue(()) };
    ctx.buffers.with(|base| {
        base.extend_from_slice(head.get(b"host").unwrap_or(b""));
        base.extend_from_slice(part(head));
        if base.is_empty() { ControlFlow::Continue(()) } else { f(base) }
    })
}

fn hash(bytes: &[u8]) -> u32 {
    avalanche(hash_sdbm(bytes))
}

fn hash_and_source(ctx: &Ctx<'_>, part: for<'h> fn(&'h Head) -> &'h [u8], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(source) = ctx.session.src else { return ControlFlow::Continue(()) };
    with_base(ctx, part, |base| {
        let mut key = [0; 20];
        key[..4].copy_from_slice(&hash(base).to_be_bytes());
        let len = match source.ip() {
            IpAddr::V4(ip) => {
                key[4..8].copy_from_slice(&ip.octets());
                8
            }
            IpAddr::V6(ip) => {
                key[4..].copy_from_slice(&ip.octets());
                20
            }
        };
        visit(Sample::Bin(&key[..len]))
    })
}

/// The address and port in an absolute target.
fn url_address(ctx: &Ctx<'_>) -> Option<(IpAddr, u16)> {
    let head = request(ctx)?;
    let target = std::str::from_utf8(head.target()).ok()?;
    if target.starts_with('/') || head.method() == Method::Connect {
        return None;
    }
    let (scheme, rest) = target.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (address, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port.strip_prefix(':'))
        }
        None => {
            let (address, port) = host.split_once(':').map_or((host, None), |(address, port)| (address, Some(port)));
            (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), port)
        }
    };
    match port {
        None | Some("") if scheme.eq_ignore_ascii_case("https") => Some((address, 443)),
        None | Some("") => Some((address, 80)),
        Some(port) => Some((address, port.parse().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use crate::ctx::Phase;
    use crate::testing::{scene, show};

    /// Answers of HAProxy 2.6, where it was asked; the hashes among them.
    #[test]
    fn host_and_target_are_joined_and_hashed_as_in_haproxy() {
        for (request, answers) in [
            (
                "POST /p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5 HTTP/1.1\r\nHost: WWW.ex.com:80\r\n\r\n",
                [
                    ("base", "WWW.ex.com:80/p;s=1"),
                    ("baseq", "WWW.ex.com:80/p;s=1?a=1&b=2;c=3&a=9&e=&n=12x&x|x=5"),
                    ("base32", "3454948869"),
                    ("url32", "4002247099"),
                    ("base32+src", "CDEE5605CB007109"),
                    ("url_ip", "-"),
                    ("url_port", "-"),
                ],
            ),
            (
                "GET http://10.0.0.1:8080/x?q HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n\r\n",
                [
                    ("base", "10.0.0.1:8080/x"),
                    ("baseq", "10.0.0.1:8080/x?q"),
                    ("base32", "2758701801"),
                    ("url32", "2411871393"),
                    ("url32+src", "8FC23CA1CB007109"),
                    ("url_ip", "10.0.0.1"),
                    ("url_port", "8080"),
                ],
            ),
            (
                "GET /?a=1?a=2&a HTTP/1.0\r\n\r\n",
                [
                    ("base", "/"),
                    ("baseq", "/?a=1?a=2&a"),
                    ("base32", "2118074832"),
                    ("url32", "1128213686"),
                    ("req.ver", "1.0"),
                    ("http_first_req", "1"),
                    ("query", "a=1?a=2&a"),
                ],
            ),
            (
                "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
                [
                    ("base", "h"),
                    ("baseq", "h"),
                    ("base32", "1228821030"),
                    ("url32", "1228821030"),
                    ("path", "-"),
                    ("query", "-"),
                    ("url", "*"),
                ],
            ),
            (
                "GET https://10.0.0.1?x HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n",
                [
                    ("url_ip", "10.0.0.1"),
                    ("url_port", "443"),
                    ("path", "-"),
                    ("pathq", "?x"),
                    ("query", "x"),
                    ("base", "10.0.0.1"),
                    ("baseq", "10.0.0.1?x"),
                ],
            ),
        ] {
            let mut scene = scene(request);
            for (text, expected) in answers {
                assert_eq!(show(&mut scene, Phase::Request, text), expected, "{text} of {request:?}");
            }
        }
        for (url, ip, port) in [
            ("http://10.0.0.1/", "10.0.0.1", "80"),
            ("http://[2001:db8::1]/", "2001:db8::1", "80"),
            ("http://[2001:db8::1]:81/", "2001:db8::1", "81"),
            ("http://h.com:99/", "-", "-"),
            ("http://10.0.0/", "-", "-"),
        ] {
            let host = url[7..].trim_end_matches('/');
            let mut scene = scene(&format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(show(&mut scene, Phase::Request, "url_ip"), ip, "{url}");
            assert_eq!(show(&mut scene, Phase::Request, "url_port"), port, "{url}");
        }
    }

    #[test]
    fn without_a_request_all_is_undefined() {
        let mut scene = scene("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        scene.request.reset();
        for text in ["method", "path", "pathq", "query", "url", "req.ver", "base", "base32", "url_ip", "http_first_req"]
        {
            assert_eq!(show(&mut scene, Phase::Request, text), "-", "{text}");
        }
    }
}
