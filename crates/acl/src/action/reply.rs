//! `allow`, `deny`, `return`: the end of a set of rules, with or without an answer.

use std::borrow::Cow;
use std::sync::Arc;

use super::{ANSWER, Act, Cause, Content, HTTP, Next, Reply, action_table, argument, field_value, written_name};
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::format::Format;
use crate::trace::Place;
use crate::word::{Word, Words, starts_condition};

action_table! {
    "allow" "allow" HTTP true parse_allow,
        "Ends this set of rules. The rules of the backend still run after an allow in the frontend.",
        "allow if { path /api/users }";
    "deny" "deny [status|deny_status <code>] [content-type <type>] [string <text>] [hdr <name> <fmt>]..." ANSWER true parse_deny,
        "Refuses the request with 403 or the status given, and the error page of that status unless a body is given.",
        "deny deny_status 429 if { src 203.0.113.0/24 }";
    "return" "return [status <code>] [content-type <type>] [string <text>] [hdr <name> <fmt>]..." ANSWER true parse_return,
        "Answers with 200 or the status given, and the body given or none.",
        "return status 200 content-type text/plain string 'pong' hdr X-Path %[path] if { path_beg /api }";
}

#[derive(Debug)]
struct Allow;

/// `deny` and `return`.
#[derive(Debug)]
struct Answer {
    cause: Cause,
    status: u16,
    headers: Vec<(Arc<str>, Format)>,
    body: Option<Vec<u8>>,
}

fn parse_allow(_name: &Word, _words: &mut Words<'_>, _scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    Ok(Box::new(Allow))
}

fn parse_deny(_name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse(words, scope, Cause::Deny, "deny", 403)
}

fn parse_return(_name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse(words, scope, Cause::Return, "return", 200)
}

const OPTIONS: &[&str] = &["status", "deny_status", "content-type", "string", "hdr"];
/// Other sources of a body in HAProxy.
const LATER: &[&str] = &["default-errorfiles", "errorfile", "errorfiles", "file", "lf-file", "lf-string"];

fn parse(
    words: &mut Words<'_>,
    scope: &Scope<'_>,
    cause: Cause,
    action: &str,
    default: u16,
) -> Result<Box<dyn Act>, Fault> {
    let mut answer = Answer { cause, status: default, headers: Vec::new(), body: None };
    let mut content_type = None;
    let mut body_word = None;
    while let Some(option) = words.peek().filter(|word| !starts_condition(word)) {
        words.next();
        let name = option.text();
        let twice =
            || Err(Fault::new(code::ACTION_ARGS, option.range.clone(), format!("`{name}` stands twice in `{action}`")));
        match &*name {
            "status" => answer.status = status(words, action, "status")?,
            "deny_status" if cause == Cause::Deny => answer.status = status(words, action, "deny_status")?,
            "content-type" => {
                if content_type.is_some() {
                    return twice();
                }
                let word = argument(words, action, "the content type", "content-type <type>")?;
                content_type = Some((option, Format::parse(word, scope)?));
            }
            "string" => {
                if body_word.is_some() {
                    return twice();
                }
                let word = argument(words, action, "the text", "string <text>")?;
                answer.body = Some(word.bytes.clone());
                body_word = Some(option);
            }
            "hdr" => {
                let name = written_name(argument(words, action, "the header name", "hdr <name> <fmt>")?)?;
                let value = Format::parse(argument(words, action, "the header value", "hdr <name> <fmt>")?, scope)?;
                answer.headers.push((name, value));
            }
            name if LATER.contains(&name) => {
                let message = format!("`{name}` is not in this version");
                return Err(Fault::new(code::LATER, option.range.clone(), message)
                    .hint("write `content-type <type> string <text>` for a body"));
            }
            name => {
                let message = format!("`{action}` has no argument `{name}`");
                return Err(Fault::new(code::ACTION_ARGS, option.range.clone(), message)
                    .did_you_mean(name, OPTIONS.iter().copied().chain(["if", "unless"]))
                    .or_hint(|| format!("its arguments are {}; then `if` or `unless`", OPTIONS.join(", "))));
            }
        }
    }
    let has_body = answer.body.as_ref().is_some_and(|body| !body.is_empty());
    match (content_type, body_word) {
        (None, Some(option)) if has_body => {
            return Err(Fault::new(code::ACTION_ARGS, option.range.clone(), "a body needs a content type")
                .hint("write `content-type text/plain` before `string`"));
        }
        (Some((option, _)), None) => {
            return Err(Fault::new(code::ACTION_ARGS, option.range.clone(), "a content type needs a body")
                .hint("write `string <text>`, or leave the content type out"));
        }
        (Some((_, value)), Some(_)) => answer.headers.insert(0, ("Content-Type".into(), value)),
        _ => {}
    }
    // RFC 9110, 15.3.5 and 15.4.5: these never have content.
    if let Some(option) = body_word.filter(|_| has_body && matches!(answer.status, 204 | 304)) {
        let message = format!("a {} answer has no body", answer.status);
        return Err(
            Fault::new(code::STATUS, option.range.clone(), message).hint("leave `string` out, or use another status")
        );
    }
    Ok(Box::new(answer))
}

fn status(words: &mut Words<'_>, action: &str, option: &str) -> Result<u16, Fault> {
    let word = argument(words, action, "the status", &format!("{option} <code>"))?;
    let text = word.text();
    match text.parse() {
        Ok(status @ 200..=599) => Ok(status),
        _ => Err(Fault::new(code::STATUS, word.range.clone(), format!("`{text}` is no status of a final answer"))
            .hint("write a number from 200 to 599")),
    }
}

impl Act for Allow {
    fn run<'r>(&'r self, _ctx: &mut Ctx<'_>, _place: &'r Place) -> Next<'r> {
        Next::Allow
    }
}

impl Act for Answer {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let mut text = Vec::new();
            value.write(ctx, &mut text);
            match field_value(text) {
                Some(text) => headers.push((Cow::Borrowed(&**name), text)),
                None => return Next::Reply(Reply::failed_rewrite(place)),
            }
        }
        Next::Reply(Reply {
            status: self.status,
            cause: self.cause,
            place,
            headers,
            body: match &self.body {
                Some(body) => Content::Bytes(Cow::Borrowed(body)),
                None if self.cause == Cause::Deny => Content::Page,
                None => Content::Bytes(Cow::Borrowed(b"")),
            },
        })
    }
}
