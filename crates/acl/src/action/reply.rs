//! `deny`, `tarpit`, `return`, `auth`, and `http-error`: answers that are not a server's.
//!
//! Files are read and looked at when the configuration is loaded, never later.

use std::borrow::Cow;
use std::sync::Arc;

use super::payload::{Payload, Source};
use super::{
    ANSWER, Act, Cause, Content, Next, REQUEST, Reply, RuleKind, action_table, argument, field_value, shown,
    written_name,
};
use crate::acl::Acls;
use crate::cond::Scope;
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, RuleError, code};
use crate::format::Format;
use crate::library::Env;
use crate::trace::Place;
use crate::word::{self, Word, Words, starts_condition};

action_table! {
    "auth" "auth [realm <realm>]" REQUEST true parse_auth,
        "Answers with 401 and asks for a name and a password (Basic). The realm is the name of the section unless one is given.",
        "auth realm Staff unless { req.hdr(authorization) -m found }";
    "deny" "deny [status|deny_status <code>] [content-type <type>] [default-errorfiles|errorfile <file>|errorfiles <name>|\
        file <file>|lf-file <file>|string <text>|lf-string <fmt>] [hdr <name> <fmt>]..." ANSWER true parse_deny,
        "Refuses the message: a request with 403, a response with 502, or with the status given. Without a body and without hdr \
         the error page of the status is sent. The sources of a body are those of return.",
        "deny deny_status 429 if { src 203.0.113.0/24 }";
    "return" "return [status <code>] [content-type <type>] [default-errorfiles|errorfile <file>|errorfiles <name>|\
        file <file>|lf-file <file>|string <text>|lf-string <fmt>] [hdr <name> <fmt>]..." ANSWER true parse_return,
        "Answers with 200 or the status given. The body is the error page of the status (default-errorfiles), a file that is a \
         whole HTTP message (errorfile), one of an [http-errors] section (errorfiles), the content of a file (file), a file with \
         % items (lf-file), text (string), or text with % items (lf-string); none of them is an empty body. hdr adds fields.",
        "return status 200 content-type text/plain lf-string 'pong %[path]' hdr X-Path %[path] if { path_beg /api }";
    "tarpit" "tarpit [status|deny_status <code>] [content-type <type>] [default-errorfiles|errorfile <file>|\
        errorfiles <name>|file <file>|lf-file <file>|string <text>|lf-string <fmt>] [hdr <name> <fmt>]..." REQUEST true parse_tarpit,
        "Holds the request for timeout.tarpit, then answers as deny, with 500 unless a status is given.",
        "tarpit if { src 203.0.113.0/24 }";
    "use-service" "use-service prometheus-exporter" REQUEST true parse_service,
        "Answers with the metrics that the admin listener has at /metrics; the query chooses among them: scope, metrics, no-maint, \
         names. The name of the server in the log is <PROMEX>.",
        "use-service prometheus-exporter if { path /metrics }";
}

/// What is answered, and why.
#[derive(Debug)]
struct Answer {
    cause: Cause,
    status: u16,
    headers: Vec<(Arc<str>, Format)>,
    body: Payload,
}

/// A page that `http-error` describes.
#[derive(Debug)]
pub struct ErrorReply {
    text: Arc<str>,
    place: Place,
    answer: Answer,
}

fn parse_deny(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let default = if scope.kind == Some(RuleKind::HttpResponse) { 502 } else { 403 };
    Ok(Box::new(parse(words, scope, Cause::Deny, "deny", default)?))
}

fn parse_tarpit(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    Ok(Box::new(parse(words, scope, Cause::Tarpit, "tarpit", 500)?))
}

fn parse_return(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    Ok(Box::new(parse(words, scope, Cause::Return, "return", 200)?))
}

fn parse_auth(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let mut realm = scope.env.proxy.as_bytes();
    if words.peek().is_some_and(|word| word.is("realm")) {
        words.next();
        let word = argument(words, "auth", "the realm", "auth realm <realm>")?;
        if word.bytes.iter().any(u8::is_ascii_control) {
            return Err(Fault::new(code::HEADER, word.range.clone(), "a realm has no control characters"));
        }
        realm = &word.bytes;
    }
    let mut challenge = b"Basic realm=\"".to_vec();
    for &byte in realm {
        // RFC 9110, 5.6.4.
        if matches!(byte, b'"' | b'\\') {
            challenge.push(b'\\');
        }
        challenge.push(byte);
    }
    challenge.push(b'"');
    Ok(Box::new(Challenge(challenge)))
}

/// `use-service`.
#[derive(Debug)]
struct Exporter;

/// What the words after `use-service` may be.
const SERVICES: &[&str] = &["prometheus-exporter"];

fn parse_service(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, "use-service", "the service", "use-service prometheus-exporter")?;
    let name = word.text();
    if SERVICES.contains(&&*name) {
        return Ok(Box::new(Exporter));
    }
    let fault = Fault::new(code::ACTION_ARGS, word.range.clone(), format!("there is no service `{name}`"));
    Err(match name.starts_with("lua.") {
        true => fault.hint("there is no Lua; return answers with a text of its own"),
        false => fault.did_you_mean(&name, SERVICES.iter().copied()).or_hint(|| "write prometheus-exporter".to_owned()),
    })
}

impl Act for Exporter {
    fn run<'r>(&'r self, _: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let kind = (Cow::Borrowed("Content-Type"), b"text/plain; version=0.0.4; charset=utf-8".to_vec());
        let fresh = (Cow::Borrowed("Cache-Control"), b"no-cache".to_vec());
        let body = Content::Bytes(Cow::Borrowed(b""));
        Next::Reply(Reply { status: 200, cause: Cause::Exporter, place, headers: vec![fresh, kind], body })
    }
}

/// `auth`.
#[derive(Debug)]
struct Challenge(Vec<u8>);

const OPTIONS: &[&str] = &[
    "status",
    "deny_status",
    "content-type",
    "hdr",
    "default-errorfiles",
    "errorfile",
    "errorfiles",
    "file",
    "lf-file",
    "string",
    "lf-string",
];

fn parse(words: &mut Words<'_>, scope: &Scope<'_>, cause: Cause, action: &str, default: u16) -> Result<Answer, Fault> {
    let mut status = default;
    let mut headers = Vec::new();
    let (mut content_type, mut source, mut first_header) = (None, None, None);
    while let Some(option) = words.peek().filter(|word| !starts_condition(word)) {
        words.next();
        let name = option.text();
        let bad = |message: String| Fault::new(code::ACTION_ARGS, option.range.clone(), message);
        match &*name {
            "status" => status = parse_status(words, action, "status")?,
            "deny_status" if matches!(cause, Cause::Deny | Cause::Tarpit) => {
                status = parse_status(words, action, "deny_status")?;
            }
            "content-type" => {
                if content_type.is_some() {
                    return Err(bad(format!("`content-type` stands twice in `{action}`")));
                }
                let word = argument(words, action, "the content type", "content-type <type>")?;
                content_type = Some((option, Format::parse(word, scope)?));
            }
            "hdr" => {
                let name = written_name(argument(words, action, "the header name", "hdr <name> <fmt>")?)?;
                let value = Format::parse(argument(words, action, "the header value", "hdr <name> <fmt>")?, scope)?;
                headers.push((name, value));
                first_header.get_or_insert(option);
            }
            name => match Source::named(name) {
                Some(new) => {
                    if source.is_some() {
                        return Err(bad(format!("`{action}` has one source of its body")).hint("leave one of them"));
                    }
                    let word = match new {
                        Source::Page => option,
                        _ => argument(words, action, "the value", &format!("{name} <{}>", new.takes()))?,
                    };
                    source = Some((option, new, word));
                }
                None => {
                    return Err(bad(format!("`{action}` has no argument `{name}`"))
                        .did_you_mean(name, OPTIONS.iter().copied().chain(["if", "unless"]))
                        .or_hint(|| format!("its arguments are {}; then `if` or `unless`", OPTIONS.join(", "))));
                }
            },
        }
    }
    let body = match source {
        Some((option, source, word)) => {
            let body = source.load(word, status, scope)?;
            check(&body, option, status, content_type.is_some(), first_header)?;
            body
        }
        None if content_type.is_some() => {
            let range = content_type.map(|(option, _)| option.range.clone()).unwrap_or_default();
            return Err(Fault::new(code::ACTION_ARGS, range, "a content type needs a body")
                .hint("write `string <text>`, or leave the content type out"));
        }
        // As in HAProxy: with fields of its own the answer is one without a body, without them the page of the status.
        None if cause == Cause::Return || first_header.is_some() => Payload::Bytes(Vec::new()),
        None => Payload::Page,
    };
    if let (Some((_, value)), true) = (content_type, matches!(body, Payload::Bytes(_) | Payload::Text(_))) {
        headers.insert(0, ("Content-Type".into(), value));
    }
    if let Payload::Message { status: own, .. } = &body {
        status = *own;
    }
    Ok(Answer { cause, status, headers, body })
}

/// What goes together, and what does not.
fn check(body: &Payload, option: &Word, status: u16, typed: bool, header: Option<&Word>) -> Result<(), Fault> {
    let whole = matches!(body, Payload::Page | Payload::Message { .. });
    let empty = matches!(body, Payload::Bytes(bytes) if bytes.is_empty());
    if let Some(header) = header.filter(|_| whole) {
        return Err(Fault::new(code::ACTION_ARGS, header.range.clone(), "a page has its own header fields")
            .hint("leave `hdr` out, or give the body by string or file"));
    }
    if !whole && !empty && !typed {
        return Err(Fault::new(code::ACTION_ARGS, option.range.clone(), "a body needs a content type")
            .hint(format!("write `content-type text/plain` before `{}`", option.text())));
    }
    // RFC 9110, 15.3.5 and 15.4.5: these never have content.
    if !whole && !empty && matches!(status, 204 | 304) {
        return Err(Fault::new(code::STATUS, option.range.clone(), format!("a {status} answer has no body"))
            .hint(format!("leave `{}` out, or use another status", option.text())));
    }
    Ok(())
}

fn parse_status(words: &mut Words<'_>, action: &str, option: &str) -> Result<u16, Fault> {
    let word = argument(words, action, "the status", &format!("{option} <code>"))?;
    let text = word.text();
    match text.parse() {
        Ok(status @ 200..=599) => Ok(status),
        _ => Err(Fault::new(code::STATUS, word.range.clone(), format!("`{text}` is no status of a final answer"))
            .hint("write a number from 200 to 599")),
    }
}

impl Answer {
    fn reply<'r>(&'r self, ctx: &Ctx<'_>, place: &'r Place) -> Reply<'r> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let mut text = Vec::new();
            value.write(ctx, &mut text);
            match field_value(text) {
                Some(text) => headers.push((Cow::Borrowed(&**name), text)),
                None => {
                    ctx.did(|| format!("the value of {name} cannot be written"));
                    return Reply::failed_rewrite(place);
                }
            }
        }
        let body = self.body.content(ctx);
        Reply { status: self.status, cause: self.cause, place, headers, body }
    }
}

impl Act for Answer {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        Next::Reply(self.reply(ctx, place))
    }

    fn files(&self) -> &[u8] {
        self.body.file()
    }
}

impl Act for Challenge {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        ctx.did(|| format!("asks for {}", shown(&self.0)));
        Next::Reply(Reply {
            status: 401,
            cause: Cause::Auth,
            place,
            headers: vec![(Cow::Borrowed("WWW-Authenticate"), self.0.clone())],
            body: Content::Page,
        })
    }
}

impl ErrorReply {
    /// Compiles what follows `http-error`: `status 404 content-type text/plain lf-string '...'`.
    pub fn compile(text: &str, place: Place, env: &Env<'_>) -> Result<ErrorReply, Vec<RuleError>> {
        let compile = || {
            let words = word::split(text)?;
            let acls = Acls::default();
            let scope = Scope { text, phase: Phase::Request, kind: None, acls: &acls, env: *env };
            let given = words.iter().any(|word| word.is("status"));
            if !given {
                return Err(Fault::new(code::STATUS, 0..text.len(), "the status of the page is missing")
                    .hint("write status <code> first"));
            }
            let mut words = Words::new(&words);
            let answer = parse(&mut words, &scope, Cause::Return, "http-error", 200)?;
            match words.peek() {
                None => Ok(answer),
                Some(word) => Err(Fault::new(code::CONDITION, word.range.clone(), "a page has no condition")),
            }
        };
        match compile() {
            Ok(answer) => Ok(ErrorReply { text: text.into(), place, answer }),
            Err(fault) => Err(vec![fault.at(0)]),
        }
    }

    /// The status it is the page of.
    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// The answer.
    pub fn reply(&self, ctx: &Ctx<'_>) -> Reply<'_> {
        self.answer.reply(ctx, &self.place)
    }
}

impl PartialEq for ErrorReply {
    /// By its text, its place and the file behind it.
    fn eq(&self, other: &ErrorReply) -> bool {
        self.text == other.text && self.place == other.place && self.answer.files() == other.answer.files()
    }
}
