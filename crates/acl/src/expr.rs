//! Expressions: a fetch with its arguments, as written in acls and `%[...]` items.
//!
//! Called by the acl compiler and by formats. Later a chain of converters hangs here; until then a comma after a fetch is
//! refused by name.

use std::ops::{ControlFlow, Range};

use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, code};
use crate::fetch::{self, FETCHES, Fetch, Pick, Value, Visit};
use crate::matching::{self, MATCHES, MatchKind};
use crate::sample::{Scratch, Type};
use crate::word::Word;

/// HAProxy's fetches that this version does not have. What ends in `_` or `.` is the beginning of a family of names.
const LATER: &[&str] = &[
    "acl",
    "base",
    "base32",
    "baseq",
    "bc_",
    "be_",
    "bool",
    "bytes_",
    "capture.",
    "connslots",
    "cook",
    "date",
    "dst_",
    "env",
    "fc_",
    "fe_",
    "hostname",
    "http_auth",
    "http_auth_",
    "http_first_req",
    "int",
    "ipv4",
    "ipv6",
    "meth",
    "nbsrv",
    "pid",
    "queue",
    "rand",
    "req.",
    "req_ssl_",
    "request_date",
    "res.",
    "sc0_",
    "sc1_",
    "sc2_",
    "sc_",
    "server_status",
    "so_",
    "src_",
    "srv_",
    "ssl_",
    "status",
    "stopping",
    "str",
    "table_",
    "txn.",
    "unique-id",
    "uptime",
    "url32",
    "url_ip",
    "url_param",
    "url_port",
    "urlp",
    "uuid",
    "var",
    "wait_end",
];

/// A fetch with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    fetch: &'static Fetch,
    args: Vec<Value>,
}

impl Expr {
    /// Parses the bytes `part` of `word`: a fetch, with a match kind where a suffix names one (`path_beg`).
    pub(crate) fn parse(word: &Word, part: Range<usize>) -> Result<(Expr, Option<&'static MatchKind>), Fault> {
        let text = &word.bytes[part.clone()];
        let name_end = text.iter().position(|byte| matches!(byte, b'(' | b',')).unwrap_or(text.len());
        let name_span = word.span(part.start..part.start + name_end);
        let name = String::from_utf8_lossy(&text[..name_end]);
        if name.is_empty() {
            return Err(Fault::new(code::FETCH, word.range.clone(), "a sample fetch is missing")
                .hint("begin with what to look at, such as `path` or `req.hdr(host)`"));
        }
        let (fetch, kind) = find(&name).map_err(|fault| Fault { range: name_span.clone(), ..fault })?;

        let mut args = Vec::new();
        let mut end = name_end;
        if text.get(end) == Some(&b'(') {
            let given = arguments(word, part.start + end + 1..part.end)?;
            end = given.end - part.start;
            args = check(fetch, word, &given, name_span.clone())?;
        } else if let Some(arg) = fetch.args.iter().find(|arg| !arg.optional) {
            return Err(Fault::new(code::FETCH_ARGS, name_span, format!("`{name}` needs its argument `{}`", arg.name))
                .hint(format!("write {}", fetch.syntax)));
        }
        match text.get(end) {
            None => Ok((Expr { fetch, args }, kind)),
            Some(b',') => Err(Fault::new(
                code::LATER,
                word.span(part.start + end..part.end),
                "converters are not in this version",
            )
            .hint("use the sample as it is, with `-i` where case does not matter")),
            Some(_) => Err(Fault::new(
                code::FETCH_ARGS,
                word.span(part.start + end..part.end),
                "nothing may follow the arguments of a fetch",
            )),
        }
    }

    pub(crate) fn output(&self) -> Type {
        self.fetch.output
    }

    pub(crate) fn name(&self) -> &'static str {
        self.fetch.name
    }

    /// Whether its data exists in `phase`.
    pub(crate) fn exists_in(&self, phase: Phase) -> bool {
        self.fetch.phases.contains(&phase)
    }

    /// Hands every occurrence to `visit`.
    pub(crate) fn each(&self, ctx: &Ctx<'_>, visit: &mut Visit<'_>) {
        let _ = (self.fetch.run)(ctx, &self.args, visit);
    }

    /// Appends the one occurrence that stands for the sample; nothing when undefined.
    pub(crate) fn write(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        self.each(ctx, &mut |sample| {
            out.truncate(start);
            out.extend_from_slice(sample.as_bytes(&mut Scratch::new()));
            match self.fetch.pick {
                Pick::First => ControlFlow::Break(()),
                Pick::Last => ControlFlow::Continue(()),
            }
        });
    }
}

/// The fetch of that name, or the fetch and match kind that a name such as `hdr_beg` is made of.
fn find(name: &str) -> Result<(&'static Fetch, Option<&'static MatchKind>), Fault> {
    if let Some(fetch) = fetch::find(name) {
        return Ok((fetch, None));
    }
    let parts =
        name.rsplit_once('_').map(|(base, suffix)| (base, matching::find(suffix).filter(|kind| kind.is_suffix())));
    if let Some((base, Some(kind))) = parts
        && let Some(fetch) = fetch::find(base)
    {
        return Ok((fetch, Some(kind)));
    }

    let later = Fault::new(code::LATER, 0..0, format!("the fetch `{name}` is not in this version"));
    // `cook_beg` is of the fetch `cook`.
    let base = parts.filter(|(_, kind)| kind.is_some()).map_or(name, |(base, _)| base);
    if LATER.contains(&base) {
        return Err(later);
    }
    let family = LATER.iter().find(|entry| entry.ends_with(['_', '.']) && base.starts_with(**entry));
    // `res.hdr` is surely of a family that is not here; `req.hrd` is rather a slip.
    if family.is_some_and(|family| !FETCHES.iter().any(|fetch| fetch.name.starts_with(*family))) {
        return Err(later);
    }
    let suffixes = || MATCHES.iter().filter(|kind| kind.is_suffix()).map(|kind| kind.name);
    let forms: Vec<String> = FETCHES
        .iter()
        .filter(|fetch| fetch.output == Type::Str)
        .flat_map(|fetch| suffixes().map(|suffix| format!("{}_{suffix}", fetch.name)))
        .collect();
    let known = FETCHES.iter().map(|fetch| fetch.name).chain(forms.iter().map(String::as_str));
    let fault = Fault::new(code::FETCH, 0..0, format!("there is no sample fetch `{name}`")).did_you_mean(name, known);
    Err(if fault.hint.is_none() && family.is_some() { later } else { fault })
}

/// The arguments between parentheses, each with the bytes of the word it was written with.
struct Arguments {
    list: Vec<(Vec<u8>, Range<usize>)>,
    /// Where the word goes on after the closing parenthesis.
    end: usize,
}

fn arguments(word: &Word, part: Range<usize>) -> Result<Arguments, Fault> {
    let bytes = &word.bytes;
    let mut list = Vec::new();
    let mut value = Vec::new();
    let mut start = part.start;
    let mut quote = None;
    let mut pos = part.start;
    while pos < part.end {
        match (bytes[pos], quote) {
            (b'\\', None | Some(b'"')) if pos + 1 < part.end => {
                pos += 1;
                value.push(bytes[pos]);
            }
            (byte, Some(open)) if byte == open => quote = None,
            (byte @ (b'\'' | b'"'), None) => quote = Some(byte),
            (b',', None) => {
                list.push((std::mem::take(&mut value), start..pos));
                start = pos + 1;
            }
            (b')', None) => {
                // `path()` has no argument, `f(,x)` has an empty first one.
                if !list.is_empty() || start < pos {
                    list.push((value, start..pos));
                }
                return Ok(Arguments { list, end: pos + 1 });
            }
            (byte, _) => value.push(byte),
        }
        pos += 1;
    }
    Err(Fault::new(code::FETCH_ARGS, word.span(part.start - 1..part.end), "the parenthesis is never closed")
        .hint("arguments hold no blank unless quoted, and end with `)`"))
}

/// Checks the arguments against the table.
fn check(fetch: &Fetch, word: &Word, given: &Arguments, name: Range<usize>) -> Result<Vec<Value>, Fault> {
    let mut args = Vec::new();
    for (index, (text, range)) in given.list.iter().enumerate() {
        let span = if range.is_empty() { name.clone() } else { word.span(range.clone()) };
        let bad = |message: String| {
            Err(Fault::new(code::FETCH_ARGS, span.clone(), message).hint(format!("write {}", fetch.syntax)))
        };
        let Some(arg) = fetch.args.get(index) else {
            return bad(match fetch.args.len() {
                0 => format!("`{}` takes no argument", fetch.name),
                n => format!("`{}` takes at most {n} argument{}", fetch.name, if n == 1 { "" } else { "s" }),
            });
        };
        args.push(match arg.kind {
            Type::Int => match std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) {
                Some(number) => Value::Int(number),
                None => return bad(format!("`{}` of `{}` is a number", arg.name, fetch.name)),
            },
            Type::Any | Type::Bool | Type::Ip | Type::Str | Type::Bin => {
                if text.is_empty() {
                    return bad(format!("`{}` of `{}` is empty", arg.name, fetch.name));
                }
                Value::Str(text.clone().into())
            }
        });
    }
    if let Some(arg) = fetch.args.iter().skip(args.len()).find(|arg| !arg.optional) {
        return Err(Fault::new(code::FETCH_ARGS, name, format!("`{}` needs its argument `{}`", fetch.name, arg.name))
            .hint(format!("write {}", fetch.syntax)));
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{REQUEST, with_ctx};
    use crate::word;

    fn parse(text: &str) -> Result<(Expr, Option<&'static MatchKind>), Fault> {
        let words = word::split(text).unwrap();
        Expr::parse(&words[0], 0..words[0].bytes.len())
    }

    #[test]
    fn samples_are_what_haproxy_yields() {
        for (request, text, expected) in [
            (REQUEST, "path", "/api/users"),
            (REQUEST, "pathq", "/api/users?id=7"),
            (REQUEST, "query", "id=7"),
            (REQUEST, "url", "/api/users?id=7"),
            (REQUEST, "method", "POST"),
            (REQUEST, "req.ver", "1.1"),
            (REQUEST, "src", "203.0.113.9"),
            (REQUEST, "src_port", "51234"),
            (REQUEST, "dst", "192.0.2.10"),
            (REQUEST, "dst_port", "443"),
            (REQUEST, "fe_name", "web"),
            (REQUEST, "req.hdr(accept)", "*/*"),
            (REQUEST, "req.hdr(accept,1)", "text/html"),
            (REQUEST, "req.hdr(accept,-2)", "application/json"),
            (REQUEST, "req.hdr(accept,4)", ""),
            (REQUEST, "req.hdr(accept,-4)", ""),
            (REQUEST, "req.fhdr(accept)", "text/html, application/json, */*"),
            (REQUEST, "hdr_ip(X-Forwarded-For,1)", "10.1.2.3"),
            (REQUEST, "hdr_cnt(accept)", "3"),
            (REQUEST, "hdr_cnt(none)", "0"),
            (REQUEST, "req.hdr(none)", ""),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a, b,,c\r\nX: d\r\n\r\n", "hdr_cnt(x)", "5"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a, b,,c\r\nX: d\r\n\r\n", "hdr(x,-2)", "c"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a, b,,c\r\nX: d\r\n\r\n", "req.fhdr(x,1)", "a, b,,c"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a, b,,c\r\nX: d\r\n\r\n", "req.fhdr_cnt(x)", "2"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \"a,b\",c\r\n\r\n", "hdr(x,1)", "\"a,b\""),
            ("GET http://a/x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n", "path", "/x"),
            ("GET http://a/x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n", "pathq", "/x?y=1"),
            ("GET http://a/x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n", "url", "http://a/x?y=1"),
            ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "path", ""),
            ("GET /a? HTTP/1.0\r\nHost: a\r\n\r\n", "req.ver", "1.0"),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "path", ""),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "url", "*"),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "path", ""),
        ] {
            let (expr, _) = parse(text).unwrap();
            let mut out = Vec::new();
            with_ctx(request, |ctx| expr.write(ctx, &mut out));
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text} of {request:?}");
        }
    }

    #[test]
    fn suffixes_name_a_match_kind() {
        for (text, fetch, kind) in [
            ("path", "path", None),
            ("path_beg", "path", Some("beg")),
            ("hdr_cnt(x)", "hdr_cnt", None),
            ("hdr_dom(host,1)", "hdr", Some("dom")),
            ("req.hdr_end(host)", "req.hdr", Some("end")),
        ] {
            let (expr, found) = parse(text).unwrap();
            assert_eq!((expr.name(), found.map(|kind| kind.name)), (fetch, kind), "{text}");
        }
    }

    #[test]
    fn mistakes_point_at_the_part_at_fault() {
        for (text, code, at, hint) in [
            ("paht", code::FETCH, "paht", Some("did you mean `path`?")),
            ("path_bge", code::FETCH, "path_bge", Some("did you mean `path_beg`?")),
            ("hdr_foo(x)", code::FETCH, "hdr_foo", None),
            ("nonsense", code::FETCH, "nonsense", None),
            ("ssl_fc", code::LATER, "ssl_fc", None),
            ("res.hdr(x)", code::LATER, "res.hdr", None),
            ("req.hrd(x)", code::FETCH, "req.hrd", Some("did you mean `req.hdr`?")),
            ("cook_beg(x)", code::LATER, "cook_beg", None),
            ("url_ip", code::LATER, "url_ip", None),
            ("src_http_req_rate", code::LATER, "src_http_req_rate", None),
            ("path_str", code::FETCH, "path_str", None),
            ("hdr", code::FETCH_ARGS, "hdr", Some("write hdr(<name>[,<occ>])")),
            ("hdr()", code::FETCH_ARGS, "hdr", Some("write hdr(<name>[,<occ>])")),
            ("path(x)", code::FETCH_ARGS, "x", Some("write path")),
            ("hdr(a,b)", code::FETCH_ARGS, "b", Some("write hdr(<name>[,<occ>])")),
            ("hdr(a,1,2)", code::FETCH_ARGS, "2", Some("write hdr(<name>[,<occ>])")),
            ("hdr(a", code::FETCH_ARGS, "(a", Some("arguments hold no blank unless quoted, and end with `)`")),
            ("hdr(a)b", code::FETCH_ARGS, "b", None),
            (
                "path,lower",
                code::LATER,
                ",lower",
                Some("use the sample as it is, with `-i` where case does not matter"),
            ),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!((fault.code, &text[fault.range.clone()]), (code, at), "{text}");
            if hint.is_some() {
                assert_eq!(fault.hint.as_deref(), hint, "{text}");
            }
        }
    }
}
