//! `redirect`: an answer whose Location is made from the request.

use std::borrow::Cow;

use super::{ANSWER, Act, Cause, Content, Next, Reply, RuleKind, action_table, argument, field_value, shown};
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::fetch::path_and_query;
use crate::format::Format;
use crate::trace::Place;
use crate::word::{Word, Words, starts_condition};

action_table! {
    "redirect" "redirect location <fmt>|prefix <fmt>|scheme <fmt> [code 301|302|303|307|308] [drop-query] [append-slash] \
        [keep-query] [ignore-empty] [set-cookie <name>[=<value>]] [set-cookie-fmt <fmt>] [clear-cookie <name>[=]]" ANSWER true parse,
        "Answers with a redirect, 302 unless a code is given. location is taken whole (keep-query appends the query); prefix is put \
         before path and query; scheme is put before the Host field, path and query. drop-query leaves out the query, \
         append-slash ends the path with a slash, ignore-empty skips the rule when the location is empty. set-cookie, set-cookie-fmt \
         and clear-cookie add a Set-Cookie field for the whole site. In http-response there is location only.",
        "redirect scheme https code 301 unless { dst_port 8443 }";
}

#[derive(Debug)]
struct Redirect {
    to: To,
    value: Format,
    code: u16,
    drop_query: bool,
    append_slash: bool,
    keep_query: bool,
    ignore_empty: bool,
    cookie: Option<Cookie>,
}

/// The value of Set-Cookie.
#[derive(Debug)]
enum Cookie {
    Fixed(Vec<u8>),
    Format(Format),
}

/// What the value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// The whole location.
    Location,
    /// What stands before path and query.
    Prefix,
    /// The scheme before host, path and query.
    Scheme,
}

const OPTIONS: &[&str] = &[
    "location",
    "prefix",
    "scheme",
    "code",
    "drop-query",
    "append-slash",
    "keep-query",
    "ignore-empty",
    "set-cookie",
    "set-cookie-fmt",
    "clear-cookie",
];
const SYNTAX: &str = "redirect location <fmt>|prefix <fmt>|scheme <fmt> [code <code>] [drop-query] [append-slash]";

fn parse(_name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let (mut to, mut cookie) = (None, None);
    let mut status = 302;
    let (mut drop_query, mut append_slash, mut keep_query, mut ignore_empty) = (None, false, None, false);
    let keyword = words.last_range();
    while let Some(option) = words.peek().filter(|word| !starts_condition(word)) {
        words.next();
        let name = option.text();
        match &*name {
            "location" | "prefix" | "scheme" => {
                if to.is_some() {
                    let fault = Fault::new(code::ACTION_ARGS, option.range.clone(), "a redirect has one destination");
                    return Err(fault.hint("leave one of location, prefix and scheme"));
                }
                let word = argument(words, "redirect", &format!("the {name}"), SYNTAX)?;
                if word.bytes.is_empty() {
                    return Err(Fault::new(code::ACTION_ARGS, word.range.clone(), format!("the {name} is empty")));
                }
                if &*name != "location" && scope.kind == Some(RuleKind::HttpResponse) {
                    let message = format!("`redirect {name}` builds on the request, and this rule sees the response");
                    return Err(Fault::new(code::ACTION_ARGS, option.range.clone(), message)
                        .hint("write redirect location, or redirect in http-request"));
                }
                let kind = match &*name {
                    "location" => To::Location,
                    "prefix" => To::Prefix,
                    _ => To::Scheme,
                };
                to = Some((kind, Format::parse(word, scope)?));
            }
            "code" => {
                let word = argument(words, "redirect", "the code", "code 301|302|303|307|308")?;
                status = match &*word.text() {
                    "301" => 301,
                    "302" => 302,
                    "303" => 303,
                    "307" => 307,
                    "308" => 308,
                    other => {
                        let message = format!("`{other}` is no code of a redirect");
                        return Err(Fault::new(code::STATUS, word.range.clone(), message)
                            .hint("write 301, 302, 303, 307 or 308"));
                    }
                };
            }
            "drop-query" => drop_query = Some(option),
            "append-slash" => append_slash = true,
            "keep-query" => keep_query = Some(option),
            "ignore-empty" => ignore_empty = true,
            "set-cookie" | "set-cookie-fmt" | "clear-cookie" => {
                if cookie.is_some() {
                    return Err(Fault::new(code::ACTION_ARGS, option.range.clone(), "a redirect sets one cookie"));
                }
                let word = argument(words, "redirect", "the cookie", &format!("{name} <name>=<value>"))?;
                cookie = Some(Cookie::parse(&name, word, scope)?);
            }
            name => {
                let message = format!("`redirect` has no argument `{name}`");
                return Err(Fault::new(code::ACTION_ARGS, option.range.clone(), message)
                    .did_you_mean(name, OPTIONS.iter().copied().chain(["if", "unless"]))
                    .or_hint(|| format!("write {SYNTAX}; then `if` or `unless`")));
            }
        }
    }
    let Some((to, value)) = to else {
        return Err(Fault::new(code::ACTION_ARGS, keyword, "the destination of `redirect` is missing")
            .hint(format!("write {SYNTAX}")));
    };
    if let Some(option) = keep_query
        && (to != To::Location || drop_query.is_some())
    {
        let (message, hint) = if to == To::Location {
            ("`keep-query` and `drop-query` exclude each other", "leave one of them")
        } else {
            ("`keep-query` goes with location", "prefix and scheme keep the query anyway: leave it out")
        };
        return Err(Fault::new(code::ACTION_ARGS, option.range.clone(), message).hint(hint));
    }
    Ok(Box::new(Redirect {
        to,
        value,
        code: status,
        drop_query: drop_query.is_some(),
        append_slash,
        keep_query: keep_query.is_some(),
        ignore_empty,
        cookie,
    }))
}

impl Cookie {
    fn parse(option: &str, word: &Word, scope: &Scope<'_>) -> Result<Cookie, Fault> {
        if option == "set-cookie-fmt" {
            return Ok(Cookie::Format(Format::parse(word, scope)?));
        }
        if word.bytes.is_empty() || word.bytes.iter().any(u8::is_ascii_control) {
            return Err(Fault::new(code::HEADER, word.range.clone(), "this is no cookie").hint("write name=value"));
        }
        // The whole site, as in HAProxy; a browser deletes what has no time left.
        let attributes: &[u8] = if option == "clear-cookie" { b"; path=/; Max-Age=0;" } else { b"; path=/;" };
        Ok(Cookie::Fixed([word.bytes.as_slice(), attributes].concat()))
    }

    fn value(&self, ctx: &Ctx<'_>) -> Vec<u8> {
        match self {
            Cookie::Fixed(value) => value.clone(),
            Cookie::Format(format) => {
                let mut value = Vec::new();
                format.write(ctx, &mut value);
                value
            }
        }
    }
}

impl Redirect {
    fn location(&self, ctx: &Ctx<'_>) -> Vec<u8> {
        let mut location = Vec::with_capacity(128);
        self.value.write(ctx, &mut location);
        let target = path_and_query(ctx);
        let at = memchr::memchr(b'?', target).unwrap_or(target.len());
        // `*`, CONNECT and an absolute URL without a path have none: the root stands for it.
        let mut path: &[u8] = if at == 0 { b"/" } else { &target[..at] };
        let query = &target[at..];
        match self.to {
            To::Location => {
                if self.keep_query && query.len() > 1 {
                    let joined = memchr::memchr(b'?', &location).is_some();
                    location.push(if joined { b'&' } else { b'?' });
                    location.extend_from_slice(&query[1..]);
                }
                return location;
            }
            To::Prefix => {
                // A prefix of `/` alone is no prefix, or every location would begin with two slashes.
                if location == b"/" {
                    location.clear();
                    // `//host/` would name another host: a client must not choose where it is sent.
                    while path.starts_with(b"//") {
                        path = &path[1..];
                    }
                }
            }
            To::Scheme => {
                location.extend_from_slice(b"://");
                // Without one (HTTP/1.0) the location has no host, as in HAProxy.
                location.extend_from_slice(ctx.request.get(b"host").unwrap_or_default());
            }
        }
        location.extend_from_slice(path);
        if self.append_slash && path.last() != Some(&b'/') {
            location.push(b'/');
        }
        if !self.drop_query {
            location.extend_from_slice(query);
        }
        location
    }
}

impl Act for Redirect {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let location = self.location(ctx);
        if self.ignore_empty && location.is_empty() {
            return Next::Rule;
        }
        let cookie = self.cookie.as_ref().map(|cookie| cookie.value(ctx));
        let (Some(location), Some(cookie)) = (field_value(location), field_value(cookie.unwrap_or_default())) else {
            return Next::Reply(Reply::failed_rewrite(place));
        };
        ctx.did(|| format!("redirects to {}", shown(&location)));
        let mut headers = vec![(Cow::Borrowed("Location"), location)];
        // The temporary ones depend on the moment; 301 and 308 may be kept (RFC 9110, 15.4).
        if matches!(self.code, 302 | 303 | 307) {
            headers.push(("Cache-Control".into(), b"no-cache".to_vec()));
        }
        if !cookie.is_empty() {
            headers.push(("Set-Cookie".into(), cookie));
        }
        Next::Reply(Reply {
            status: self.code,
            cause: Cause::Redirect,
            place,
            headers,
            body: Content::Bytes(Cow::Borrowed(b"")),
        })
    }
}
