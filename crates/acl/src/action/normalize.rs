//! `normalize-uri`: HAProxy's normalizers of the request target, one a rule (RFC 3986, 6.2.2).
//!
//! Each is a function from the bytes of one part of the target to its normal form. Invariant: none makes its input longer,
//! except fragment-encode, which triples the `#` at most.

use super::line::{parts, set_target};
use super::{Act, Cause, Content, Next, REQUEST, Reply, action_table, argument, failed};
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::trace::Place;
use crate::word::{Word, Words};

action_table! {
    "normalize-uri" "normalize-uri fragment-encode|fragment-strip|path-merge-slashes|path-strip-dot|path-strip-dotdot [full]|\
        percent-decode-unreserved [strict]|percent-to-uppercase [strict]|query-sort-by-name" REQUEST false parse,
        "Brings the target into a normal form. fragment-encode writes `#` as %23 and fragment-strip cuts from it on (requests \
         with a fragment are refused before); path-merge-slashes makes one of adjacent slashes; path-strip-dot removes `/./`; \
         path-strip-dotdot merges `/../` with the segment before it (full: removes it at the beginning too); \
         percent-decode-unreserved decodes letters, digits, - . _ ~; percent-to-uppercase writes hex digits in upper case \
         (strict: 400 when a % is not followed by two hex digits); query-sort-by-name sorts the parameters.",
        "normalize-uri path-merge-slashes";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Normalizer {
    FragmentEncode,
    FragmentStrip,
    MergeSlashes,
    StripDot,
    StripDotDot { full: bool },
    DecodeUnreserved { strict: bool },
    ToUppercase { strict: bool },
    SortQuery,
}

const NAMES: &[&str] = &[
    "fragment-encode",
    "fragment-strip",
    "path-merge-slashes",
    "path-strip-dot",
    "path-strip-dotdot",
    "percent-decode-unreserved",
    "percent-to-uppercase",
    "query-sort-by-name",
];

fn parse(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, "normalize-uri", "the normalizer", "normalize-uri <normalizer>")?;
    let mut option = |name: &str| {
        let given = words.peek().is_some_and(|word| word.is(name));
        if given {
            words.next();
        }
        given
    };
    Ok(Box::new(match &*word.text() {
        "fragment-encode" => Normalizer::FragmentEncode,
        "fragment-strip" => Normalizer::FragmentStrip,
        "path-merge-slashes" => Normalizer::MergeSlashes,
        "path-strip-dot" => Normalizer::StripDot,
        "path-strip-dotdot" => Normalizer::StripDotDot { full: option("full") },
        "percent-decode-unreserved" => Normalizer::DecodeUnreserved { strict: option("strict") },
        "percent-to-uppercase" => Normalizer::ToUppercase { strict: option("strict") },
        "query-sort-by-name" => Normalizer::SortQuery,
        other => {
            return Err(Fault::new(code::ACTION_ARGS, word.range.clone(), format!("there is no normalizer `{other}`"))
                .did_you_mean(other, NAMES.iter().copied())
                .or_hint(|| format!("write one of {}", NAMES.join(", "))));
        }
    }))
}

/// The target is not what a strict normalizer takes.
#[derive(Debug, PartialEq, Eq)]
struct Invalid;

impl Normalizer {
    /// Appends the normal form of a target whose path and query begin there.
    fn apply(self, target: &[u8], (path, query): (usize, usize), out: &mut Vec<u8>) -> Result<(), Invalid> {
        let is_path = target.get(path) == Some(&b'/');
        match self {
            Normalizer::FragmentEncode => {
                for &byte in target {
                    match byte {
                        b'#' => out.extend_from_slice(b"%23"),
                        _ => out.push(byte),
                    }
                }
            }
            Normalizer::FragmentStrip => {
                let end = memchr::memchr(b'#', target).unwrap_or(target.len());
                out.extend_from_slice(&target[..end]);
            }
            Normalizer::MergeSlashes | Normalizer::StripDot | Normalizer::StripDotDot { .. } if is_path => {
                out.extend_from_slice(&target[..path]);
                let old = &target[path..query];
                match self {
                    Normalizer::StripDot => strip_dot(old, out),
                    Normalizer::StripDotDot { full } => strip_dotdot(old, full, out),
                    _ => merge_slashes(old, out),
                }
                out.extend_from_slice(&target[query..]);
            }
            Normalizer::MergeSlashes | Normalizer::StripDot | Normalizer::StripDotDot { .. } => {
                out.extend_from_slice(target);
            }
            Normalizer::DecodeUnreserved { strict } => {
                out.extend_from_slice(&target[..path]);
                percent(&target[path..], strict, out, |digits, value, out| {
                    if value.is_ascii_alphanumeric() || b"-._~".contains(&value) {
                        out.push(value);
                    } else {
                        out.push(b'%');
                        out.extend_from_slice(&digits);
                    }
                })?;
            }
            Normalizer::ToUppercase { strict } => {
                out.extend_from_slice(&target[..path]);
                percent(&target[path..], strict, out, |digits, _, out| {
                    out.push(b'%');
                    out.extend_from_slice(&digits.map(|digit| digit.to_ascii_uppercase()));
                })?;
            }
            Normalizer::SortQuery => {
                let begin = (query + 1).min(target.len());
                out.extend_from_slice(&target[..begin]);
                sort_by_name(&target[begin..], out);
            }
        }
        Ok(())
    }
}

fn merge_slashes(path: &[u8], out: &mut Vec<u8>) {
    let mut last = 0;
    for &byte in path {
        if byte != b'/' || last != b'/' {
            out.push(byte);
        }
        last = byte;
    }
}

/// `/a/./b` becomes `/a/b`; a dot at the end leaves its slash.
fn strip_dot(path: &[u8], out: &mut Vec<u8>) {
    out.push(b'/');
    let mut segments = path[1..].split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        if segment == b"." {
            continue;
        }
        out.extend_from_slice(segment);
        if segments.peek().is_some() {
            out.push(b'/');
        }
    }
}

/// `/a/../b` becomes `/b`; what has nothing before it stays unless `full`.
fn strip_dotdot(path: &[u8], full: bool, out: &mut Vec<u8>) {
    out.push(b'/');
    // Where the segments begin that a `..` may still take away.
    let mut begins = Vec::new();
    let mut segments = path[1..].split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        if segment == b".." {
            match begins.pop() {
                Some(begin) => out.truncate(begin),
                None if full => {}
                None => out.extend_from_slice(b"../"),
            }
            continue;
        }
        begins.push(out.len());
        out.extend_from_slice(segment);
        if segments.peek().is_some() {
            out.push(b'/');
        }
    }
}

/// Hands each `%HH` to `each`, and appends the rest as it is.
fn percent(
    text: &[u8],
    strict: bool,
    out: &mut Vec<u8>,
    mut each: impl FnMut([u8; 2], u8, &mut Vec<u8>),
) -> Result<(), Invalid> {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        match *after {
            [high, low, ref after @ ..] if let (Some(a), Some(b)) = (digit(high), digit(low)) => {
                each([high, low], a << 4 | b, out);
                rest = after;
            }
            _ if strict => return Err(Invalid),
            _ => out.push(b'%'),
        }
    }
    Ok(())
}

/// Equal names keep their order.
fn sort_by_name(query: &[u8], out: &mut Vec<u8>) {
    let mut list: Vec<&[u8]> = query.split(|&byte| byte == b'&').collect();
    list.sort_by_key(|parameter| &parameter[..memchr::memchr(b'=', parameter).unwrap_or(parameter.len())]);
    for (at, parameter) in list.into_iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(parameter);
    }
}

impl Act for Normalizer {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let Some(at) = parts(ctx) else { return Next::Rule };
        let buffers = ctx.buffers;
        buffers.with(|new| {
            let target = ctx.request.target();
            if self.apply(target, at, new).is_err() {
                ctx.did(|| "the target is not valid".into());
                return Next::Reply(Reply {
                    status: 400,
                    cause: Cause::Deny,
                    place,
                    headers: Vec::new(),
                    body: Content::Page,
                });
            }
            if *new == target {
                return Next::Rule;
            }
            match set_target(ctx, new) {
                Ok(()) => Next::Rule,
                Err(why) => failed(ctx, place, why),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Rng;

    fn normal(normalizer: Normalizer, target: &str) -> Option<String> {
        let query = target.find('?').unwrap_or(target.len());
        let mut out = Vec::new();
        normalizer.apply(target.as_bytes(), (0, query), &mut out).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_normalizer_gives_what_haproxy_gives() {
        let dotdot = Normalizer::StripDotDot { full: false };
        let full = Normalizer::StripDotDot { full: true };
        let decode = Normalizer::DecodeUnreserved { strict: false };
        let upper = Normalizer::ToUppercase { strict: false };
        for (normalizer, target, expected) in [
            (Normalizer::FragmentEncode, "/a#b#?c", "/a%23b%23?c"),
            (Normalizer::FragmentStrip, "/a#b?c", "/a"),
            (Normalizer::FragmentStrip, "/a?c", "/a?c"),
            (Normalizer::MergeSlashes, "//a///b//?x=//", "/a/b/?x=//"),
            (Normalizer::MergeSlashes, "//", "/"),
            (Normalizer::MergeSlashes, "*", "*"),
            (Normalizer::StripDot, "/.", "/"),
            (Normalizer::StripDot, "/./bar/./", "/bar/"),
            (Normalizer::StripDot, "/a/./a/..", "/a/a/.."),
            (Normalizer::StripDot, "/a/.", "/a/"),
            (Normalizer::StripDot, "/.?./.", "/?./."),
            (Normalizer::StripDot, "/.well-known/", "/.well-known/"),
            (dotdot, "/foo/../", "/"),
            (dotdot, "/foo/../bar/", "/bar/"),
            (dotdot, "/foo/bar/../", "/foo/"),
            (dotdot, "/../bar/", "/../bar/"),
            (dotdot, "/bar/../../", "/../"),
            (dotdot, "/foo//../", "/foo/"),
            (dotdot, "/foo/..", "/"),
            (dotdot, "/..", "/../"),
            (dotdot, "/foo/../..", "/../"),
            (dotdot, "/a/b/../../../c", "/../c"),
            (dotdot, "/a/...", "/a/..."),
            (dotdot, "/a/..b?x=/../y", "/a/..b?x=/../y"),
            (dotdot, "/../../a/../b", "/../../b"),
            (full, "/../bar/", "/bar/"),
            (full, "/bar/../../", "/"),
            (full, "/..", "/"),
            (full, "/a/b/../../../c", "/c"),
            (full, "/../../a/../b", "/b"),
            (decode, "/%61dmin?%61=%7e", "/admin?a=~"),
            (decode, "/%%36%36", "/%66"),
            (decode, "/%zz", "/%zz"),
            (decode, "/%6f%2f", "/o%2f"),
            (decode, "/a%4", "/a%4"),
            (decode, "/%6z%4", "/%6z%4"),
            (upper, "/%61dmin?%61=%7e", "/%61dmin?%61=%7E"),
            (upper, "/%6f%2f", "/%6F%2F"),
            (upper, "/%zz%", "/%zz%"),
            (Normalizer::SortQuery, "/?c=3&a=1&b=2", "/?a=1&b=2&c=3"),
            (Normalizer::SortQuery, "/?aaa=3&a=1&aa=2", "/?a=1&aa=2&aaa=3"),
            (Normalizer::SortQuery, "/?a=3&b=4&a=1&b=5&a=2", "/?a=3&a=1&a=2&b=4&b=5"),
            (Normalizer::SortQuery, "/?b=1&aa=2&a", "/?a&aa=2&b=1"),
            (Normalizer::SortQuery, "/?&b&a", "/?&a&b"),
            (Normalizer::SortQuery, "/?a=2&a-=1&a", "/?a=2&a&a-=1"),
            (Normalizer::SortQuery, "/?B=1&a=2&=", "/?=&B=1&a=2"),
            (Normalizer::SortQuery, "/?", "/?"),
            (Normalizer::SortQuery, "/", "/"),
        ] {
            assert_eq!(normal(normalizer, target).as_deref(), Some(expected), "{normalizer:?} {target}");
        }
        for target in ["/%%36%36", "/%zz", "/a%", "/a%4"] {
            assert_eq!(normal(Normalizer::DecodeUnreserved { strict: true }, target), None, "{target}");
            assert_eq!(normal(Normalizer::ToUppercase { strict: true }, target), None, "{target}");
        }
    }

    #[test]
    fn a_normal_form_stays_and_is_no_longer() {
        for seed in 1..3000 {
            let mut rng = Rng::new(seed);
            let pieces = ["/", "/", ".", "..", "a", "b", "%41", "%2f", "%", "?", "&", "=", "//"];
            let target: String = std::iter::once("/").chain((0..rng.below(14)).map(|_| rng.pick(&pieces))).collect();
            for normalizer in [
                Normalizer::MergeSlashes,
                Normalizer::StripDot,
                Normalizer::StripDotDot { full: true },
                Normalizer::ToUppercase { strict: false },
                Normalizer::SortQuery,
            ] {
                let once = normal(normalizer, &target).unwrap();
                assert!(once.len() <= target.len() && once.starts_with('/'), "seed {seed}: {target} {once}");
                assert_eq!(normal(normalizer, &once).as_ref(), Some(&once), "seed {seed}: {normalizer:?} {target}");
                if normalizer == (Normalizer::StripDotDot { full: true }) {
                    let path = once.split('?').next().unwrap();
                    assert!(path.split('/').all(|segment| segment != ".."), "seed {seed}: {target} {once}");
                }
            }
        }
    }
}
