//! Expressions: a fetch with its arguments and the converters behind it, as written in acls and `%[...]` items.
//!
//! Called by the acl compiler, formats and actions. Evaluation takes its buffers from the [`Ctx`] and allocates nothing once
//! they are warm.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::conv::{self, Step, convs};
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, code, nearest};
use crate::fetch::{self, Fetch, Pick, Run, Single, Visit, fetches};
use crate::library::Env;
use crate::matching::{self, MATCHES, MatchKind};
use crate::predefined;
use crate::sample::{Sample, Type};
use crate::value::{self, Arg, ArgKind, Value};
use crate::word::Word;

/// A fetch with its arguments, and the converters its samples go through.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    run: Run,
    /// The short way to the one sample, where there is one.
    single: Option<Single>,
    args: SmallVec<[Value; 1]>,
    steps: Vec<Step>,
    fetch: &'static Fetch,
    source: Arc<str>,
}

impl Expr {
    /// Parses the bytes `part` of `word`: a fetch and converters, with a match kind where a suffix names one (`path_beg`).
    pub(crate) fn parse(
        word: &Word,
        part: Range<usize>,
        env: &Env<'_>,
    ) -> Result<(Expr, Option<&'static MatchKind>), Fault> {
        let text = &word.bytes[part.clone()];
        let name_end = text.iter().position(|byte| matches!(byte, b'(' | b',')).unwrap_or(text.len());
        let name_span = word.span(part.start..part.start + name_end);
        let name = String::from_utf8_lossy(&text[..name_end]);
        if name.is_empty() {
            return Err(Fault::new(code::FETCH, word.range.clone(), "a sample fetch is missing")
                .hint("begin with what to look at, such as `path` or `req.hdr(host)`"));
        }
        let (fetch, kind) = find(&name).map_err(|fault| Fault { range: name_span.clone(), ..fault })?;
        let entry = Entry { name: fetch.name, syntax: fetch.syntax, args: fetch.args };
        let (mut args, mut end) = entry.arguments(word, part.start + name_end..part.end, name_span.clone(), env)?;
        prepare(fetch.prepare, &mut args, env, &name_span, fetch.syntax)?;

        let mut steps = Vec::new();
        let mut output = fetch.output;
        while end < part.end {
            if word.bytes[end] != b',' {
                return Err(Fault::new(
                    code::FETCH_ARGS,
                    word.span(end..part.end),
                    "only a comma and a converter may follow here",
                ));
            }
            let start = end + 1;
            let rest = &word.bytes[start..part.end];
            let length = rest.iter().position(|byte| matches!(byte, b'(' | b',')).unwrap_or(rest.len());
            let span = word.span(start..start + length);
            let name = String::from_utf8_lossy(&rest[..length]);
            let Some(conv) = conv::find(&name) else {
                let message = if name.is_empty() {
                    "a converter is missing after the comma".to_owned()
                } else {
                    format!("there is no converter `{name}`")
                };
                let known = convs().iter().map(|conv| conv.name);
                let span = if name.is_empty() { word.span(end..start) } else { span };
                return Err(Fault::new(code::CONVERTER, span, message).did_you_mean(&name, known));
            };
            if !output.casts_to(conv.input) {
                let message = format!("`{name}` takes {}, and what stands before it gives {output}", conv.input);
                return Err(Fault::new(code::CONVERTER, span, message));
            }
            let entry = Entry { name: conv.name, syntax: conv.syntax, args: conv.args };
            let (mut args, after) = entry.arguments(word, start + length..part.end, span.clone(), env)?;
            prepare(conv.prepare, &mut args, env, &span, conv.syntax)?;
            steps.push(Step { conv, args });
            output = conv.output;
            end = after;
        }
        // A converter changes the sample, and the suffix named how the fetch itself is compared.
        let kind = if steps.is_empty() { kind } else { None };
        // The suffix of `path_beg` says how it is compared, not what is looked at.
        let source = format!("{}{}", fetch.name, String::from_utf8_lossy(&text[name_end..])).into();
        let single = fetch.single.filter(|_| steps.is_empty());
        Ok((Expr { run: fetch.run, single, args: args.into(), steps, fetch, source }, kind))
    }

    /// Parses `word` as one sample outside acls, where one occurrence stands for all.
    pub(crate) fn parse_one(word: &Word, part: Range<usize>, env: &Env<'_>) -> Result<Expr, Fault> {
        let (mut expr, kind) = Expr::parse(word, part.clone(), env)?;
        if let Some(kind) = kind {
            let message = format!("`_{}` compares, and there is nothing to compare with", kind.name);
            return Err(Fault::new(code::FORMAT, word.span(part), message).hint(format!("write {}...", expr.name())));
        }
        // The last occurrence is found by its number, so that converters run once.
        if expr.fetch.pick == Pick::Last && expr.fetch.args.get(1).is_some_and(|arg| arg.kind == ArgKind::Int) {
            match expr.args.get_mut(1) {
                None => {
                    // The first may have been left out too.
                    expr.args.resize(1, Value::None);
                    expr.args.push(Value::Int(-1));
                }
                Some(value @ Value::None) => *value = Value::Int(-1),
                Some(_) => {}
            }
        }
        Ok(expr)
    }

    /// The type of its samples.
    pub(crate) fn output(&self) -> Type {
        self.steps.last().map_or(self.fetch.output, |step| step.conv.output)
    }

    /// The name of its fetch.
    pub(crate) fn name(&self) -> &'static str {
        self.fetch.name
    }

    /// As written.
    pub(crate) fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// Whether its data exists in `phase`.
    pub(crate) fn exists_in(&self, phase: Phase) -> bool {
        self.fetch.phases.contains(&phase)
    }

    /// Whether it is the bare fetch `name` without converters; its arguments.
    pub(crate) fn is_bare(&self) -> bool {
        self.steps.is_empty()
    }

    /// Arguments of the fetch.
    pub(crate) fn args(&self) -> &[Value] {
        &self.args
    }

    /// The converters, by name.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Hands every occurrence to `visit`.
    pub(crate) fn each(&self, ctx: &Ctx<'_>, visit: &mut Visit<'_>) {
        let _ = if self.steps.is_empty() {
            (self.run)(ctx, &self.args, visit)
        } else {
            (self.run)(ctx, &self.args, &mut |sample| {
                conv::chain(sample, &self.steps, ctx, visit).unwrap_or(ControlFlow::Continue(()))
            })
        };
    }

    /// Whether `test` holds of an occurrence; it is asked up to the first.
    #[inline]
    pub(crate) fn any(&self, ctx: &Ctx<'_>, test: impl Fn(&Sample<'_>) -> bool) -> bool {
        if let Some(single) = self.single {
            return single(ctx, &self.args).is_some_and(|sample| test(&sample));
        }
        let mut held = false;
        self.each(ctx, &mut |sample| {
            held = test(&sample);
            if held { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        held
    }

    /// Hands the one sample it stands for to `visit`; `None` when undefined.
    pub(crate) fn one<R>(&self, ctx: &Ctx<'_>, visit: impl FnOnce(Sample<'_>) -> R) -> Option<R> {
        if let Some(single) = self.single {
            return single(ctx, &self.args).map(visit);
        }
        let mut visit = Some(visit);
        let mut result = None;
        self.each(ctx, &mut |sample| {
            result = visit.take().map(|visit| visit(sample));
            ControlFlow::Break(())
        });
        result
    }

    /// Appends the one sample as text; `false` when undefined.
    pub(crate) fn write(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) -> bool {
        self.one(ctx, |sample| sample.write_text(out)).is_some()
    }
}

fn prepare(
    run: Option<conv::Prepare>,
    args: &mut Vec<Value>,
    env: &Env<'_>,
    span: &Range<usize>,
    syntax: &str,
) -> Result<(), Fault> {
    let Some(run) = run else { return Ok(()) };
    run(args, env).map_err(|why| Fault::new(code::FETCH_ARGS, span.clone(), why).hint(format!("write {syntax}")))
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
    let suffixes = || MATCHES.iter().filter(|kind| kind.is_suffix()).map(|kind| kind.name);
    let forms: Vec<String> = fetches()
        .iter()
        .filter(|fetch| fetch.output == Type::Str)
        .flat_map(|fetch| suffixes().map(|suffix| (fetch.name, suffix)))
        // A form of another length is not near, and there are thousands.
        .filter(|(base, suffix)| (base.len() + 1 + suffix.len()).abs_diff(name.len()) <= 3)
        .map(|(base, suffix)| format!("{base}_{suffix}"))
        .collect();
    let known = fetches().iter().map(|fetch| fetch.name).chain(forms.iter().map(String::as_str));
    let hint = match predefined::find(name) {
        Some(acl) => Some(format!("that is an acl, for a condition as it stands; what it tests is `{}`", acl.text)),
        None => nearest(name, known).map(|name| format!("did you mean `{name}`?")),
    };
    let fault = Fault::new(code::FETCH, 0..0, format!("there is no sample fetch `{name}`"));
    Err(fault.or_hint_from(hint))
}

/// A name of a table and what its arguments must be.
struct Entry {
    name: &'static str,
    syntax: &'static str,
    args: &'static [Arg],
}

impl Entry {
    /// Reads the arguments at `part`, which begins right after the name; where the word goes on behind them.
    fn arguments(
        &self,
        word: &Word,
        part: Range<usize>,
        name: Range<usize>,
        env: &Env<'_>,
    ) -> Result<(Vec<Value>, usize), Fault> {
        let given = if word.bytes.get(part.start) == Some(&b'(') && !part.is_empty() {
            arguments(word, part.start + 1..part.end)?
        } else {
            Arguments { list: Vec::new(), end: part.start }
        };
        let bad = |span: Range<usize>, message: String, hint: Option<String>| {
            Fault::new(code::FETCH_ARGS, span, message).or_hint_from(hint).or_hint(|| format!("write {}", self.syntax))
        };
        let mut args = Vec::new();
        for (index, (text, range)) in given.list.iter().enumerate() {
            let span = if range.is_empty() { name.clone() } else { word.span(range.clone()) };
            let Some(arg) = self.args.get(index) else {
                let message = match self.args.len() {
                    0 => format!("`{}` takes no argument", self.name),
                    n => format!("`{}` takes at most {n} argument{}", self.name, if n == 1 { "" } else { "s" }),
                };
                return Err(bad(span, message, None));
            };
            // `f(,x)` leaves the first out.
            if text.is_empty() && arg.optional && arg.kind != ArgKind::Text {
                args.push(value::absent(arg, env).map_err(|why| bad(span, why, None))?);
                continue;
            }
            args.push(value::parse(arg, text, word, span.clone(), env).map_err(|(why, hint)| {
                let message = if why.contains(self.name) { why } else { format!("{why} in `{}`", self.name) };
                bad(span, message, hint)
            })?);
        }
        // `str()` is the empty text.
        let empty = given.list.is_empty() && given.end > part.start;
        if let Some(arg @ Arg { kind: ArgKind::Text, optional: false, .. }) = self.args.first().filter(|_| empty) {
            let text = value::parse(arg, b"", word, name.clone(), env);
            args.push(text.map_err(|(why, hint)| bad(name.clone(), why, hint))?);
        }
        for arg in self.args.iter().skip(args.len()) {
            if !arg.optional {
                let message = format!("`{}` needs its argument `{}`", self.name, arg.name);
                return Err(bad(name, message, None));
            }
            match value::absent(arg, env) {
                Ok(Value::None) => break,
                Ok(value) => args.push(value),
                Err(why) => return Err(bad(name, why, None)),
            }
        }
        Ok((args, given.end))
    }
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
                match (bytes[pos], quote) {
                    (byte @ (b'\\' | b'"' | b'\'' | b' '), _) => value.push(byte),
                    // HAProxy knows no escape for these outside quotes; there they could not be written otherwise.
                    (byte @ (b',' | b'(' | b')'), None) => value.push(byte),
                    (b'n', _) => value.push(b'\n'),
                    (b'r', _) => value.push(b'\r'),
                    (b't', _) => value.push(b'\t'),
                    // Others are for whoever reads the argument: `\d` of an expression, `\1` of a substitution.
                    (byte, _) => value.extend([b'\\', byte]),
                }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{REQUEST, env, with_ctx};
    use crate::word;

    fn parse(text: &str) -> Result<(Expr, Option<&'static MatchKind>), Fault> {
        let words = word::split(text).unwrap();
        Expr::parse(&words[0], 0..words[0].bytes.len(), &env())
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
            let words = word::split(text).unwrap();
            let expr = Expr::parse_one(&words[0], 0..words[0].bytes.len(), &env()).unwrap();
            let mut out = Vec::new();
            with_ctx(request, |ctx| expr.write(ctx, &mut out));
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text} of {request:?}");
        }
    }

    /// Quotes and escapes as HAProxy reads them in arguments.
    #[test]
    fn arguments_are_unquoted() {
        for (text, expected) in [
            (r#"f("a\,b")"#, r"a\,b"),
            (r"f(a\,b)", "a,b"),
            (r"f(a\tb)", "a\tb"),
            (r#"f("a\nb")"#, "a\nb"),
            (r"f('a\tb')", r"a\tb"),
            (r"f(a\\b)", r"a\b"),
            (r#"f("a\\b")"#, r"a\b"),
            (r"f('a\\b')", r"a\\b"),
            (r"f(a\qb)", r"a\qb"),
            (r#"f("a)b")"#, "a)b"),
            (r#"f(a\"b)"#, "a\"b"),
            (r#"f("a\'b")"#, "a'b"),
            (r#"f("\2\1")"#, r"\2\1"),
            (r#"f("a$b")"#, "a$b"),
            (r"f(a\ b)", "a b"),
            (r#"f("a"'b'c)"#, "abc"),
            (r#"f(a"b,c"d)"#, "ab,cd"),
        ] {
            let word = Word::literal(text.as_bytes(), 0..text.len());
            let arguments = arguments(&word, 2..text.len()).unwrap();
            assert_eq!(String::from_utf8_lossy(&arguments.list[0].0), expected, "{text}");
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
            ("req.hrd(x)", code::FETCH, "req.hrd", Some("did you mean `req.hdr`?")),
            ("path_str", code::FETCH, "path_str", None),
            ("hdr", code::FETCH_ARGS, "hdr", Some("write hdr(<name>[,<occ>])")),
            ("hdr()", code::FETCH_ARGS, "hdr", Some("write hdr(<name>[,<occ>])")),
            ("path(x)", code::FETCH_ARGS, "x", Some("write path")),
            ("hdr(a,b)", code::FETCH_ARGS, "b", Some("write hdr(<name>[,<occ>])")),
            ("hdr(a,1,2)", code::FETCH_ARGS, "2", Some("write hdr(<name>[,<occ>])")),
            ("hdr(a", code::FETCH_ARGS, "(a", Some("arguments hold no blank unless quoted, and end with `)`")),
            ("hdr(a)b", code::FETCH_ARGS, "b", None),
            ("path,lowr", code::CONVERTER, "lowr", Some("did you mean `lower`?")),
            ("path,", code::CONVERTER, ",", None),
            ("hdr_cnt(x),lower(1)", code::FETCH_ARGS, "1", Some("write lower")),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!((fault.code, &text[fault.range.clone()]), (code, at), "{text}");
            if hint.is_some() {
                assert_eq!(fault.hint.as_deref(), hint, "{text}");
            }
        }
    }
}
