//! Actions: the table, and what every action is.
//!
//! An action is parsed from the words after its name and run when its condition holds. Called by
//! [`RuleSet`](crate::RuleSet). A new action is one entry of [`ACTIONS`], a parser and an [`Act`].

mod address;
pub(crate) mod bandwidth;
mod capture;
mod flow;
mod header;
mod line;
mod normalize;
mod payload;
mod redirect;
mod replace;
mod reply;
mod resolve;
pub(crate) mod statuses;
mod store;
#[cfg(test)]
mod tests;
pub(crate) mod track;
mod units;
mod vars;
mod wish;

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use evenkeel_proto::BadEdit;

pub use self::line::reason;
pub use self::reply::ErrorReply;
pub use self::resolve::{Prefer, Question};
use crate::cond::{Scope, not_in_phase};
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::trace::Place;
use crate::word::{Word, Words, starts_condition};

/// Which keyword a rule line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleKind {
    /// `tcp-request.connection`: right after accept.
    TcpConnection,
    /// `tcp-request.session`: after PROXY header and TLS handshake.
    TcpSession,
    /// `tcp-request.content`: once per transaction, before the HTTP rules.
    TcpContent,
    /// `tcp-response.content`.
    TcpResponse,
    /// `http-request`.
    HttpRequest,
    /// `http-response`.
    HttpResponse,
    /// `http-after-response`: every answer, those made here too.
    HttpAfterResponse,
}

impl RuleKind {
    /// Every kind, in the order in which they run.
    pub const ALL: [RuleKind; 7] = [
        RuleKind::TcpConnection,
        RuleKind::TcpSession,
        RuleKind::TcpContent,
        RuleKind::HttpRequest,
        RuleKind::TcpResponse,
        RuleKind::HttpResponse,
        RuleKind::HttpAfterResponse,
    ];

    /// The key it is written under.
    pub fn keyword(self) -> &'static str {
        match self {
            RuleKind::TcpConnection => "tcp-request.connection",
            RuleKind::TcpSession => "tcp-request.session",
            RuleKind::TcpContent => "tcp-request.content",
            RuleKind::TcpResponse => "tcp-response.content",
            RuleKind::HttpRequest => "http-request",
            RuleKind::HttpResponse => "http-response",
            RuleKind::HttpAfterResponse => "http-after-response",
        }
    }

    /// The phase in which its rules run.
    pub fn phase(self) -> Phase {
        match self {
            RuleKind::TcpConnection => Phase::Accept,
            RuleKind::TcpSession => Phase::Hello,
            RuleKind::TcpContent | RuleKind::HttpRequest => Phase::Request,
            RuleKind::TcpResponse | RuleKind::HttpResponse | RuleKind::HttpAfterResponse => Phase::Response,
        }
    }
}

/// Reads the words after the name of an action; the name itself is given too, since some carry an argument.
pub(crate) type Parse = fn(&Word, &mut Words<'_>, &Scope<'_>) -> Result<Box<dyn Act>, Fault>;

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

use RuleKind::{
    HttpAfterResponse as A, HttpRequest as Q, HttpResponse as R, TcpConnection as C, TcpContent as T, TcpResponse as U,
    TcpSession as S,
};

/// Where nothing was read from the connection yet.
const ACCEPT: &[RuleKind] = &[C];
/// Where actions on HTTP messages stand.
const HTTP: &[RuleKind] = &[Q, R, A];
/// Where actions on requests stand.
const REQUEST: &[RuleKind] = &[Q];
/// Where actions on responses stand.
const RESPONSE: &[RuleKind] = &[R, A];
/// Where bytes in tcp mode are looked at.
const CONTENT: &[RuleKind] = &[T];
/// Where an answer can be made.
const ANSWER: &[RuleKind] = &[Q, R];
/// Where a connection goes on with `accept`.
const CONTENTS: &[RuleKind] = &[C, S, T, U];
/// Where a connection can be closed.
const REJECT: &[RuleKind] = &[C, S, T, U, Q];
/// Where it can be forgotten.
const DROP: &[RuleKind] = &[C, S, T, U, Q, R];
/// Where the addresses of the connection can be changed.
const ADDRESS: &[RuleKind] = &[C, S, T, Q];
/// Where a request has not been queued yet.
const QUEUE: &[RuleKind] = &[T, Q];
/// Where a name can be asked for before a server is chosen.
const RESOLVE: &[RuleKind] = &[T, Q];
/// Where the log line can be changed.
const LOG: &[RuleKind] = &[T, U, Q, R, A];
/// Where there are bytes still to pass.
const LIMIT: &[RuleKind] = &[T, U, Q, R];
/// Where samples can be captured.
const CAPTURE: &[RuleKind] = &[T, Q, R, A];
/// Where tracking can begin.
const TRACK: &[RuleKind] = &[C, S, T, Q, R];
/// Everywhere.
const ANYWHERE: &[RuleKind] = &[C, S, T, U, Q, R, A];

/// What HAProxy has and this version has not.
const LATER: &[(&str, &str)] = &[
    ("cache-store", "answers are not kept"),
    ("cache-use", "answers are not kept"),
    ("close", "use reject"),
    (
        "expect-netscaler-cip",
        "the one header that tells a client address is that of the PROXY protocol: expect-proxy layer4",
    ),
    ("send-spoe-group", "there are no agents"),
    ("set-bc-mark", "packets are not marked"),
    ("set-bc-tos", "packets are not marked"),
    ("set-fc-mark", "packets are not marked"),
    ("set-fc-tos", "packets are not marked"),
    ("set-mark", "packets are not marked"),
    ("set-tos", "packets are not marked"),
];

/// Builds `pub(super) static TABLE: &[Action]` of a module.
macro_rules! action_table {
    ($($name:literal $syntax:literal $kinds:ident $ends:literal $parse:path, $doc:literal, $example:literal;)*) => {
        pub(super) static TABLE: &[$crate::action::Action] = &[$($crate::action::Action {
            name: $name, syntax: $syntax, kinds: $kinds, ends: $ends, doc: $doc, example: $example, parse: $parse,
        }),*];
    };
}
pub(crate) use action_table;

static ALL: LazyLock<Vec<&'static Action>> = LazyLock::new(|| {
    let tables = [
        address::TABLE,
        bandwidth::TABLE,
        capture::TABLE,
        flow::TABLE,
        header::TABLE,
        line::TABLE,
        normalize::TABLE,
        redirect::TABLE,
        reply::TABLE,
        resolve::TABLE,
        store::TABLE,
        track::TABLE,
        vars::TABLE,
        wish::TABLE,
    ];
    let mut all: Vec<&'static Action> = tables.into_iter().flatten().collect();
    all.sort_unstable_by_key(|action| action.name);
    all
});

/// Every action, sorted by name.
pub fn actions() -> &'static [&'static Action] {
    &ALL
}

/// The action that `word` names under `kind`.
pub(crate) fn find(word: &Word, kind: RuleKind) -> Result<&'static Action, Fault> {
    // `set-var(txn.x)` and `sc-inc-gpc(0,1)` carry their argument in the name, `track-sc0` its number.
    let text = word.text();
    let name = text.split('(').next().unwrap_or(&text);
    let name = if name.starts_with("track-sc") { "track-sc" } else { name };
    let here = || ALL.iter().copied().filter(|action| action.kinds.contains(&kind));
    let fault = |message: String| Fault::new(code::ACTION, word.range.clone(), message);
    if let Some(action) = here().find(|action| action.name == name) {
        let takes = action.syntax.as_bytes().get(name.len()) == Some(&b'(');
        return match (takes, text.find('(')) {
            (true, None) => {
                Err(fault(format!("`{name}` lacks its parentheses")).hint(format!("write {}", action.syntax)))
            }
            (true, Some(_)) if in_name(word).is_none() => {
                Err(fault("the parenthesis is never closed".into()).hint("there is no blank in it unless quoted"))
            }
            (false, Some(_)) => Err(fault(format!("`{name}` takes nothing in parentheses"))),
            _ => Ok(action),
        };
    }
    if let Some(action) = ALL.iter().find(|action| action.name == name) {
        let places: Vec<&str> = action.kinds.iter().map(|kind| kind.keyword()).collect();
        let message = format!("`{name}` is no {} action", kind.keyword());
        return Err(fault(message).hint(format!("it stands in {}", places.join(", "))));
    }
    let later = LATER.iter().find(|(later, _)| *later == name);
    let later = later.or(name.starts_with("lua.").then_some(&("lua.", "there is no Lua")));
    if let Some((_, why)) = later {
        let message = format!("`{name}` is not in this version");
        return Err(Fault::new(code::LATER, word.range.clone(), message).hint(*why));
    }
    Err(fault(format!("there is no {} action `{name}`", kind.keyword()))
        .did_you_mean(name, here().map(|action| action.name))
        .or_hint(|| format!("the actions are {}", here().map(|action| action.name).collect::<Vec<_>>().join(", "))))
}

/// A compiled action.
pub(crate) trait Act: Debug + Send + Sync {
    /// Does it, at a place known for the log.
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r>;

    /// What it was made from besides its line: the content of a file. Rules are the same when this is too.
    fn files(&self) -> &[u8] {
        &[]
    }
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
    /// Nothing: the connection ends.
    Close(How),
    /// The next rule, once that happened.
    Wait(Wait),
}

/// The end of a connection that a rule asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'r> {
    /// How it ends.
    pub how: How,
    /// The rule that asked for it.
    pub place: &'r Place,
}

/// How a connection ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// `reject`: closed.
    Reject,
    /// `silent-drop`: forgotten without telling the client.
    SilentDrop {
        /// A reset is sent that so many routers pass on, instead of nothing at all (`rst-ttl`).
        rst_ttl: Option<u8>,
    },
}

/// What rules wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// More data: a condition cannot be decided yet (`tcp-request inspect-delay`).
    More,
    /// `wait-for-body`: the body, or this much of it, for at most so many milliseconds.
    Body {
        /// Milliseconds.
        time: u64,
        /// Bytes that are enough; 0 = all, or a full buffer.
        at_least: u64,
    },
    /// `wait-for-handshake`: the TLS handshake.
    Handshake,
    /// `pause`: so many milliseconds.
    Pause(u64),
    /// `do-resolve`: the address of a name.
    Resolve(Box<Question>),
    /// `do-log`: a log line, with the profile in [`Wishes::log_profile`](crate::Wishes::log_profile).
    Log,
}

/// An answer made by a rule.
#[derive(Debug)]
pub struct Reply<'r> {
    /// Status code.
    pub status: u16,
    /// Why there is an answer.
    pub cause: Cause,
    /// The rule that made it.
    pub place: &'r Place,
    /// Header lines besides Content-Length and Connection.
    pub headers: Vec<(Cow<'r, str>, Vec<u8>)>,
    /// Body, with its content type in `headers`.
    pub body: Content<'r>,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Content<'r> {
    /// The page of the status as configured for the proxy, or the built-in one.
    Page,
    /// These bytes.
    Bytes(Cow<'r, [u8]>),
    /// A whole message, head included, as from an error file.
    Message(&'r [u8]),
}

/// Why a rule answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `deny`: the error page of the status is sent when there is no body.
    Deny,
    /// `tarpit`: as deny, after a while.
    Tarpit,
    /// `auth`: the client must say who it is.
    Auth,
    /// `redirect`: no body.
    Redirect,
    /// `return`: an empty body when there is none.
    Return,
    /// `use-service prometheus-exporter`: the body is not known here.
    Exporter,
    /// An edit could not be made (HAProxy's strict-mode): 500 with its error page.
    FailedRewrite,
}

impl<'r> Reply<'r> {
    /// The answer to an edit that could not be made.
    pub(crate) fn failed_rewrite(place: &'r Place) -> Reply<'r> {
        Reply { status: 500, cause: Cause::FailedRewrite, place, headers: Vec::new(), body: Content::Page }
    }
}

/// An edit could not be made: 500, or nothing under `strict-mode off`.
fn failed<'r>(ctx: &Ctx<'_>, place: &'r Place, why: BadEdit) -> Next<'r> {
    ctx.did(|| format!("failed: {why}"));
    if ctx.memo.wishes.lax { Next::Rule } else { Next::Reply(Reply::failed_rewrite(place)) }
}

/// Some bytes for a trace; long ones are cut.
fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(256)])
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

/// A value made at run time, or `None` when it holds what no field value may: then the rewrite failed.
fn field_value(bytes: Vec<u8>) -> Option<Vec<u8>> {
    (!bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))).then_some(bytes)
}

/// What stands between the parentheses of the name of an action: `txn.x` of `set-var(txn.x)`, with its bytes in `word`.
pub(crate) fn in_name(word: &Word) -> Option<std::ops::Range<usize>> {
    let open = word.bytes.iter().position(|&byte| byte == b'(')?;
    (word.bytes.last() == Some(&b')')).then(|| open + 1..word.bytes.len() - 1)
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

/// An argument that is a sample expression.
fn expression_of(word: &Word, scope: &Scope<'_>) -> Result<Expr, Fault> {
    let expr = Expr::parse_one(word, 0..word.bytes.len(), &scope.env)?;
    if expr.exists_in(scope.phase) { Ok(expr) } else { Err(not_in_phase(expr.name(), scope.phase, word.range.clone())) }
}

/// The index of the word in the list.
fn one_of(word: &Word, list: &[&str], what: &str) -> Result<usize, Fault> {
    let text = word.text();
    list.iter().position(|name| *name == text).ok_or_else(|| {
        Fault::new(code::ACTION_ARGS, word.range.clone(), format!("`{text}` is no {what}"))
            .did_you_mean(&text, list.iter().copied())
            .or_hint(|| format!("write {}", list.join(", ")))
    })
}

/// Whether a sample was undefined because its data may still come: then the rule runs again.
fn may_come(ctx: &Ctx<'_>) -> bool {
    ctx.undecided.get()
}
