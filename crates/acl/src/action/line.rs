//! Edits of the first line: method, path, query, target, status.
//!
//! A path, query or target is worked out first and set at once, so that a rule never leaves half of an edit behind. What is
//! no valid request target (RFC 9112, 3.2) is refused by proto and counts as a failed rewrite.

use evenkeel_proto::Method;

use super::replace::Replace;
use super::{Act, Next, REQUEST, RESPONSE, action_table, argument, failed, shown};
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::fetch::path_and_query;
use crate::format::Format;
use crate::trace::Place;
use crate::word::{Word, Words};

action_table! {
    "replace-path" "replace-path <regex> <fmt>" REQUEST false parse_replace_path,
        "Replaces the whole path when it matches; the query stays. \\1 to \\9 in the format stand for what the groups matched.",
        "replace-path '^/api/(.*)' '/v1/\\1'";
    "replace-pathq" "replace-pathq <regex> <fmt>" REQUEST false parse_replace_pathq,
        "As replace-path, on path and query together.",
        "replace-pathq '^([^?]*)(\\?.*)?$' '\\1/x\\2'";
    "replace-uri" "replace-uri <regex> <fmt>" REQUEST false parse_replace_uri,
        "As replace-path, on the whole target as sent, scheme and authority included when there are any.",
        "replace-uri '^/(.*)' '/new/\\1'";
    "set-method" "set-method <fmt>" REQUEST false parse_method,
        "Replaces the method. CONNECT can neither be set nor changed.",
        "set-method GET if METH_HEAD";
    "set-path" "set-path <fmt>" REQUEST false parse_path,
        "Replaces the path; the query stays, as do scheme and authority. The Host field does not change.",
        "set-path /v1%[path]";
    "set-pathq" "set-pathq <fmt>" REQUEST false parse_pathq,
        "Replaces path and query.",
        "set-pathq /index.html";
    "set-query" "set-query <fmt>" REQUEST false parse_query,
        "Replaces what follows the first `?`, which is added when there is none and never removed.",
        "set-query id=7&from=%[src]";
    "set-status" "set-status <status> [reason <text>]" RESPONSE false parse_status,
        "Replaces the status, 200 to 599, and its reason phrase. Whether there is a body cannot change: 204 and 304 become no \
         other status, and no other becomes 204 or 304.",
        "set-status 503 reason 'Slow Down'";
    "set-uri" "set-uri <fmt>" REQUEST false parse_uri,
        "Replaces the whole target. An absolute one is sent to the server as it is, and Host follows it.",
        "set-uri /all?of=it";
}

/// What part of the target an action is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Path,
    PathAndQuery,
    Query,
    Whole,
}

#[derive(Debug)]
struct Set {
    part: Part,
    value: Format,
}

#[derive(Debug)]
struct Rewrite {
    part: Part,
    replace: Replace,
}

#[derive(Debug)]
struct SetMethod(Format);

#[derive(Debug)]
struct SetStatus {
    status: u16,
    reason: Option<Vec<u8>>,
}

fn parse_path(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_set(words, scope, "set-path", Part::Path)
}

fn parse_pathq(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_set(words, scope, "set-pathq", Part::PathAndQuery)
}

fn parse_query(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_set(words, scope, "set-query", Part::Query)
}

fn parse_uri(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_set(words, scope, "set-uri", Part::Whole)
}

fn parse_set(words: &mut Words<'_>, scope: &Scope<'_>, action: &str, part: Part) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, action, "the value", &format!("{action} <fmt>"))?;
    Ok(Box::new(Set { part, value: Format::parse(word, scope)? }))
}

fn parse_replace_path(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_rewrite(words, scope, "replace-path", Part::Path)
}

fn parse_replace_pathq(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_rewrite(words, scope, "replace-pathq", Part::PathAndQuery)
}

fn parse_replace_uri(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_rewrite(words, scope, "replace-uri", Part::Whole)
}

fn parse_rewrite(words: &mut Words<'_>, scope: &Scope<'_>, action: &str, part: Part) -> Result<Box<dyn Act>, Fault> {
    Ok(Box::new(Rewrite { part, replace: Replace::parse(words, scope, action, &format!("{action} <regex> <fmt>"))? }))
}

fn parse_method(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, "set-method", "the method", "set-method <fmt>")?;
    Ok(Box::new(SetMethod(Format::parse(word, scope)?)))
}

fn parse_status(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    const SYNTAX: &str = "set-status <status> [reason <text>]";
    let word = argument(words, "set-status", "the status", SYNTAX)?;
    let text = word.text();
    let Some(status) = text.parse().ok().filter(|status| (200..=599).contains(status)) else {
        return Err(Fault::new(code::STATUS, word.range.clone(), format!("`{text}` is no status of a final answer"))
            .hint("write a number from 200 to 599"));
    };
    let mut reason = None;
    if words.peek().is_some_and(|word| word.is("reason")) {
        words.next();
        let word = argument(words, "set-status", "the reason", SYNTAX)?;
        if word.bytes.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(Fault::new(code::STATUS, word.range.clone(), "a reason phrase has no control characters"));
        }
        reason = Some(word.bytes.clone());
    }
    Ok(Box::new(SetStatus { status, reason }))
}

/// Where in the target path and query stand: `path..query`, the question mark being the first byte of the query. `None`
/// when it has no path to speak of, as with CONNECT.
pub(super) fn parts(ctx: &Ctx<'_>) -> Option<(usize, usize)> {
    let target = ctx.request.target();
    if ctx.request.method() == Method::Connect {
        return None;
    }
    if target == b"*" {
        // HAProxy lets a path take its place.
        return Some((0, 1));
    }
    let rest = path_and_query(ctx);
    let start = target.len() - rest.len();
    Some((start, start + memchr::memchr(b'?', rest).unwrap_or(rest.len())))
}

/// Makes a new target in `new` out of the old one and the value of one part.
fn assemble(target: &[u8], (path, query): (usize, usize), part: Part, value: &[u8], new: &mut Vec<u8>) {
    let (keep, tail) = match part {
        Part::Path => (path, &target[query..]),
        Part::PathAndQuery => (path, &b""[..]),
        Part::Query => (query, &b""[..]),
        Part::Whole => (0, &b""[..]),
    };
    new.extend_from_slice(&target[..keep]);
    // An empty query leaves the question mark as it was: there, or not.
    if part == Part::Query && (query < target.len() || !value.is_empty()) {
        new.push(b'?');
    }
    new.extend_from_slice(value);
    new.extend_from_slice(tail);
}

/// Replaces one part of the target.
fn set<'r>(ctx: &mut Ctx<'_>, place: &'r Place, part: Part, value: &[u8]) -> Next<'r> {
    let Some(at) = parts(ctx).or((part == Part::Whole).then_some((0, 0))) else {
        return failed(ctx, place, evenkeel_proto::BadEdit::BadTarget);
    };
    let buffers = ctx.buffers;
    let done = buffers.with(|new| {
        assemble(ctx.request.target(), at, part, value, new);
        set_target(ctx, new)
    });
    match done {
        Ok(()) => Next::Rule,
        Err(why) => failed(ctx, place, why),
    }
}

/// Sets the target and says so.
pub(super) fn set_target(ctx: &mut Ctx<'_>, target: &[u8]) -> Result<(), evenkeel_proto::BadEdit> {
    ctx.request.set_target(target)?;
    ctx.did(|| format!("target is {}", shown(target)));
    Ok(())
}

impl Act for Set {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let buffers = ctx.buffers;
        buffers.with(|value| {
            self.value.write(ctx, value);
            set(ctx, place, self.part, value)
        })
    }
}

impl Act for Rewrite {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let buffers = ctx.buffers;
        buffers.with(|value| {
            let target = ctx.request.target();
            let old = match (self.part, parts(ctx)) {
                (Part::Whole, _) => target,
                (_, None) => return Next::Rule,
                (Part::Path, Some((path, query))) => &target[path..query],
                (Part::PathAndQuery | Part::Query, Some((path, _))) => &target[path..],
            };
            let applied = buffers.with(|template| {
                self.replace.template(ctx, template);
                self.replace.apply(old, template, value)
            });
            match applied {
                None => Next::Rule,
                Some(true) => set(ctx, place, self.part, value),
                Some(false) => failed(ctx, place, evenkeel_proto::BadEdit::TooLarge),
            }
        })
    }
}

impl Act for SetMethod {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let buffers = ctx.buffers;
        let done = buffers.with(|method| {
            self.0.write(ctx, method);
            ctx.request.set_method(method)
        });
        match done {
            Ok(()) => Next::Rule,
            Err(why) => failed(ctx, place, why),
        }
    }
}

impl Act for SetStatus {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let reason = self.reason.as_deref().unwrap_or_else(|| reason(self.status).as_bytes());
        match ctx.message_mut().set_status(self.status, reason) {
            Ok(()) => Next::Rule,
            Err(why) => failed(ctx, place, why),
        }
    }
}

/// The usual reason phrase of a status (RFC 9110 section 15, RFC 6585), in HAProxy's words.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Time-out",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        // RFC 9110 section 15: an unknown status is to be read as the x00 of its class.
        _ => match status / 100 {
            1 => "Informational",
            2 => "Success",
            3 => "Redirection",
            4 => "Client Error",
            _ => "Server Error",
        },
    }
}
