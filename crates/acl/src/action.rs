//! Actions: the table, and what every action is.
//!
//! An action is parsed from the words after its name and run when its condition holds. Called by
//! [`RuleSet`](crate::RuleSet). A new action is one entry of [`ACTIONS`], a parser and an [`Act`].

mod header;
mod redirect;
mod reply;

use std::fmt::Debug;
use std::sync::Arc;

use crate::cond::Scope;
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, code};
use crate::trace::Place;
use crate::word::{Word, Words, starts_condition};

/// Which keyword a rule line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// `http-request`.
    HttpRequest,
}

impl RuleKind {
    /// The keyword.
    pub fn keyword(self) -> &'static str {
        match self {
            RuleKind::HttpRequest => "http-request",
        }
    }

    /// The phase in which its rules run.
    pub fn phase(self) -> Phase {
        match self {
            RuleKind::HttpRequest => Phase::Request,
        }
    }
}

/// Reads the words after the name of an action.
type Parse = fn(&mut Words<'_>, &Scope<'_>) -> Result<Box<dyn Act>, Fault>;

/// One entry of the table of actions.
#[derive(Debug)]
pub struct Action {
    /// Name.
    pub name: &'static str,
    /// Name with its arguments.
    pub syntax: &'static str,
    /// The keywords it may stand under.
    pub kinds: &'static [RuleKind],
    /// Whether no rule of the set runs after it.
    pub ends: bool,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// A whole rule line.
    pub example: &'static str,
    pub(crate) parse: Parse,
}

macro_rules! actions {
    ($($name:literal $syntax:literal $ends:literal $parse:path, $doc:literal, $example:literal;)*) => {
        /// Every action, sorted by name.
        pub static ACTIONS: &[Action] = &[$(Action {
            name: $name, syntax: $syntax, kinds: &[RuleKind::HttpRequest], ends: $ends, doc: $doc, example: $example,
            parse: $parse,
        }),*];
    };
}

actions! {
    "add-header" "add-header <name> <fmt>" false header::parse_add,
        "Adds a field line after those already there. A value that cannot be written answers with 500.",
        "add-header X-Served-Via evenkeel";
    "allow" "allow" true reply::parse_allow,
        "Ends this set of rules. The rules of the backend still run after an allow in the frontend.",
        "allow if { path /api/users }";
    "del-header" "del-header <name> [-m str|beg|end|sub|reg]" false header::parse_delete,
        "Removes every field line of that name, or of the names that match. Case does not matter.",
        "del-header X-Debug- -m beg";
    "deny" "deny [status|deny_status <code>] [content-type <type>] [string <text>] [hdr <name> <fmt>]..." true
        reply::parse_deny,
        "Refuses the request with 403 or the status given, and the error page of that status unless a body is given.",
        "deny deny_status 429 if { src 203.0.113.0/24 }";
    "redirect" "redirect location <fmt>|prefix <fmt>|scheme <fmt> [code 301|302|303|307|308] [drop-query] [append-slash] \
        [keep-query] [ignore-empty]" true redirect::parse,
        "Answers with a redirect, 302 unless a code is given. location is taken whole (keep-query appends the query); prefix is put \
         before path and query; scheme is put before the Host field, path and query. drop-query leaves out the query, \
         append-slash ends the path with a slash, ignore-empty skips the rule when the location is empty.",
        "redirect scheme https code 301 unless { dst_port 8443 }";
    "return" "return [status <code>] [content-type <type>] [string <text>] [hdr <name> <fmt>]..." true reply::parse_return,
        "Answers with 200 or the status given, and the body given or none.",
        "return status 200 content-type text/plain string 'pong' hdr X-Path %[path] if { path_beg /api }";
    "set-header" "set-header <name> <fmt>" false header::parse_set,
        "Replaces every field line of that name by one. The value may use the old one. A value that cannot be written answers \
         with 500.",
        "set-header X-Real-IP %[src]";
}

/// HAProxy's actions that this version does not have.
const LATER: &[&str] = &[
    "accept",
    "add-acl",
    "auth",
    "cache-use",
    "capture",
    "del-acl",
    "del-map",
    "disable-l7-retry",
    "do-log",
    "do-resolve",
    "early-hint",
    "lua",
    "normalize-uri",
    "pause",
    "reject",
    "replace-header",
    "replace-path",
    "replace-pathq",
    "replace-uri",
    "replace-value",
    "sc-add-gpc",
    "sc-inc-gpc",
    "sc-inc-gpc0",
    "sc-inc-gpc1",
    "sc-set-gpt",
    "sc-set-gpt0",
    "send-spoe-group",
    "set-bandwidth-limit",
    "set-dst",
    "set-dst-port",
    "set-log-level",
    "set-map",
    "set-mark",
    "set-method",
    "set-nice",
    "set-path",
    "set-pathq",
    "set-priority-class",
    "set-priority-offset",
    "set-query",
    "set-retries",
    "set-src",
    "set-src-port",
    "set-timeout",
    "set-tos",
    "set-uri",
    "set-var",
    "set-var-fmt",
    "silent-drop",
    "strict-mode",
    "tarpit",
    "track-sc",
    "track-sc0",
    "track-sc1",
    "track-sc2",
    "unset-var",
    "use-service",
    "wait-for-body",
    "wait-for-handshake",
];

/// The action that `word` names under `kind`.
pub(crate) fn find(word: &Word, kind: RuleKind) -> Result<&'static Action, Fault> {
    let name = word.text();
    let here = || ACTIONS.iter().filter(|action| action.kinds.contains(&kind));
    if let Some(action) = here().find(|action| action.name == name) {
        return Ok(action);
    }
    // `set-var(txn.x)` and `sc-inc-gpc(0,1)` carry their argument in the name.
    let bare = name.split('(').next().unwrap_or(&name);
    if LATER.contains(&bare) {
        return Err(Fault::new(code::LATER, word.range.clone(), format!("the action `{bare}` is not in this version")));
    }
    let message = format!("there is no {} action `{name}`", kind.keyword());
    Err(Fault::new(code::ACTION, word.range.clone(), message)
        .did_you_mean(&name, here().map(|action| action.name))
        .or_hint(|| format!("the actions are {}", here().map(|action| action.name).collect::<Vec<_>>().join(", "))))
}

/// A compiled action.
pub(crate) trait Act: Debug + Send + Sync {
    /// Does it, at a place known for the log.
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r>;
}

/// What comes after an action.
#[derive(Debug)]
pub(crate) enum Next<'r> {
    /// The next rule.
    Rule,
    /// No rule of this set.
    Allow,
    /// Nothing: the request is answered.
    Reply(Reply<'r>),
}

/// An answer made by a rule.
#[derive(Debug)]
pub struct Reply<'r> {
    /// Status code.
    pub status: u16,
    /// `true` for `deny`: counted as denied, and the built-in error page of `status` is sent when `body` is `None`.
    pub denied: bool,
    /// Why there is an answer.
    pub cause: Cause,
    /// The rule that made it.
    pub place: &'r Place,
    /// Header lines besides Content-Length and Connection.
    pub headers: Vec<(&'r str, String)>,
    /// Body, with its content type in `headers`.
    pub body: Option<&'r [u8]>,
}

/// Why a rule answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `deny`: the error page of the status is sent when there is no body.
    Deny,
    /// `redirect`: no body.
    Redirect,
    /// `return`: an empty body when there is none.
    Return,
    /// An edit could not be made (HAProxy's strict-mode): 500 with its error page.
    FailedRewrite,
}

impl<'r> Reply<'r> {
    /// The answer to an edit that could not be made.
    pub(crate) fn failed_rewrite(place: &'r Place) -> Reply<'r> {
        Reply { status: 500, denied: false, cause: Cause::FailedRewrite, place, headers: Vec::new(), body: None }
    }
}

/// Fields that belong to one connection or frame the message (RFC 9110, 7.6.1): proto writes them, rules do not.
const OWN: &[&str] =
    &["connection", "content-length", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// A field name that a rule may write.
fn written_name(word: &Word) -> Result<Arc<str>, Fault> {
    let name = field_name(word)?;
    if OWN.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        let message = format!("`{name}` belongs to the connection and is written by Evenkeel itself");
        return Err(Fault::new(code::HEADER, word.range.clone(), message).hint("leave it out"));
    }
    Ok(name)
}

/// A field name that may stand in a message.
fn field_name(word: &Word) -> Result<Arc<str>, Fault> {
    let bad = |message: String| Fault::new(code::HEADER, word.range.clone(), message);
    let name = match std::str::from_utf8(&word.bytes) {
        Ok(name) if !name.is_empty() && name.bytes().all(is_token) => name,
        _ => {
            let fault = bad(format!("`{}` is no header name", word.text()));
            // `X-Name: value` is how the line looks on the wire, and a frequent slip.
            return Err(match word.bytes.strip_suffix(b":") {
                Some(name) if !name.is_empty() && name.iter().all(|&byte| is_token(byte)) => {
                    fault.hint(format!("leave the colon out: {}", String::from_utf8_lossy(name)))
                }
                _ => fault.hint("a name is made of letters, digits and -, without blanks"),
            });
        }
    };
    Ok(name.into())
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A value made at run time as text, or `None` when it holds what no field value may: then the rewrite failed.
fn field_value(bytes: Vec<u8>) -> Option<String> {
    if bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return None;
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned()))
}

/// The next argument, unless the line ends or its condition begins where one is due.
fn argument<'w>(words: &mut Words<'w>, action: &str, what: &str, syntax: &str) -> Result<&'w Word, Fault> {
    let missing = |range| {
        Fault::new(code::ACTION_ARGS, range, format!("{what} of `{action}` is missing")).hint(format!("write {syntax}"))
    };
    match words.peek() {
        Some(word) if starts_condition(word) => Err(missing(word.range.clone())),
        None => Err(missing(words.last_range())),
        Some(word) => {
            words.next();
            Ok(word)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(ACTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(LATER.windows(2).all(|pair| pair[0] < pair[1]));
        for action in ACTIONS {
            assert!(action.syntax.starts_with(action.name) && action.doc.ends_with('.'), "{}", action.name);
            assert!(!LATER.contains(&action.name), "{}", action.name);
        }
    }
}
