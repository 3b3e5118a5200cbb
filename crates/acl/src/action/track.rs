//! `track-sc0` and its like, the actions on the values of what is tracked, and what the driver of a transaction counts.
//!
//! An entry is tracked by a sticky counter of the connection (rules on connections) or of the transaction (the others,
//! where it ends with the transaction); the first execution wins. Where both track, the one of the transaction counts.
//!
//! When what is counted, as in HAProxy: `conn_cnt`, `conn_cur` and `conn_rate` as tracking begins, at any level;
//! `sess_cnt` once the rules on the connection let it in ([`on_session`]); `http_req_cnt` as a request arrives
//! ([`on_request`]) or, for a counter that begins in an HTTP rule, right then; errors of the client ([`on_error`]) for bad,
//! denied and tarpitted requests and failed logins, and, with failures of servers, by the status a server answers with
//! ([`on_status`]), never by that of our own answers; bytes as they pass ([`on_bytes`]).

use super::statuses::Counted;
use super::units::{self, Amount};
use super::{ANYWHERE, Act, Next, RuleKind, TRACK, Wait, action_table, argument, expression_of, in_name, may_come};
use crate::cond::Scope;
use crate::ctx::{Ctx, Memo, STICK_COUNTERS, Session};
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::sample::{Sample, Type};
use crate::stick::{DataSel, Key, KeyKind, Kind, MAX_ELEMENTS, Tracked};
use crate::trace::Place;
use crate::word::{Word, Words};

action_table! {
    "sc-add-gpc" "sc-add-gpc(<idx>,<ctr>) <number>|<expr>" ANYWHERE false parse_add,
        "Adds to element <idx> of the array gpc of what counter <ctr> tracks. Nothing happens when it tracks nothing or the \
         table does not store it.",
        "sc-add-gpc(0,1) 10 if { path_beg /login }";
    "sc-inc-gpc" "sc-inc-gpc(<idx>,<ctr>)" ANYWHERE false parse_inc,
        "Adds 1 to element <idx> of the array gpc of what counter <ctr> tracks, and to its rate.",
        "sc-inc-gpc(0,1) if { path_beg /login }";
    "sc-inc-gpc0" "sc-inc-gpc0(<ctr>)" ANYWHERE false parse_inc0,
        "Adds 1 to gpc0 of what counter <ctr> tracks, and to its rate.",
        "sc-inc-gpc0(0) if { path_beg /login }";
    "sc-inc-gpc1" "sc-inc-gpc1(<ctr>)" ANYWHERE false parse_inc1,
        "Adds 1 to gpc1 of what counter <ctr> tracks, and to its rate.",
        "sc-inc-gpc1(0) if { path_beg /login }";
    "sc-set-gpt" "sc-set-gpt(<idx>,<ctr>) <number>|<expr>" ANYWHERE false parse_set,
        "Sets element <idx> of the array gpt of what counter <ctr> tracks: 32 bits.",
        "sc-set-gpt(0,1) 1 if { path_beg /login }";
    "sc-set-gpt0" "sc-set-gpt0(<ctr>) <number>|<expr>" ANYWHERE false parse_set0,
        "Sets gpt0 of what counter <ctr> tracks: 32 bits.",
        "sc-set-gpt0(0) 1 if { path_beg /login }";
    "track-sc" "track-sc<ctr> <key> [table <table>]" TRACK false parse_track,
        "Sticky counter <ctr> begins to track the entry of the key in the table, the section's own unless one is named; the entry \
         is made when there is none. The first execution for a counter wins, of the connection in tcp-request.connection and \
         .session, of the transaction elsewhere. Nothing happens when the key is undefined or the table is full.",
        "track-sc0 src table limits";
}

#[derive(Debug)]
struct Track {
    counter: usize,
    key: Expr,
    table: usize,
    level: Level,
}

/// Whose counter it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Connection,
    /// Of the transaction, and the request is yet to be counted by [`on_request`].
    Content,
    /// Of the transaction, and the request is counted right away.
    Http,
}

/// `sc-*`.
#[derive(Debug)]
struct Change {
    counter: usize,
    what: DataSel,
    /// Set; otherwise add.
    set: bool,
    value: Amount,
}

fn parse_track(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    const SYNTAX: &str = "track-sc<ctr> <key> [table <table>]";
    let text = name.text();
    let counter = counter(text.strip_prefix("track-sc").unwrap_or_default(), name, scope)?;
    let word = argument(words, &text, "the key", SYNTAX)?;
    let key = expression_of(word, scope)?;
    let table = table_of(name, word, &key, "track-sc0 src table NAME", words, scope)?;
    let level = match scope.kind {
        Some(RuleKind::TcpConnection | RuleKind::TcpSession) => Level::Connection,
        Some(RuleKind::TcpContent) => Level::Content,
        _ => Level::Http,
    };
    Ok(Box::new(Track { counter, key, table, level }))
}

/// The table that comes next (`table <table>`), or that of the section; `key`, which stands at `at`, must be one of its keys.
pub(super) fn table_of(
    action: &Word,
    at: &Word,
    key: &Expr,
    example: &str,
    words: &mut Words<'_>,
    scope: &Scope<'_>,
) -> Result<usize, Fault> {
    let library = scope.env.library;
    let table = if words.peek().is_some_and(|word| word.is("table")) {
        words.next();
        let word = argument(words, &action.text(), "the name of the table", example)?;
        let name = word.text();
        library.table(&name).ok_or_else(|| {
            Fault::new(code::ACTION_ARGS, word.range.clone(), format!("there is no stick table `{name}`"))
                .did_you_mean(&name, library.tables.iter().map(|table| &*table.name))
                .or_hint(|| "give that section a `stick-table`".into())
        })?
    } else {
        library.table(scope.env.proxy).ok_or_else(|| {
            let message = format!("`{}` has no stick-table of its own", scope.env.proxy);
            Fault::new(code::ACTION_ARGS, action.range.clone(), message).hint(format!("name one: {example}"))
        })?
    };
    let kind = library.tables[table].key;
    if can_be_key(kind, key.output()) {
        return Ok(table);
    }
    let message = format!("a key of type {kind} is wanted here, and `{}` gives {}", key.name(), key.output());
    Err(Fault::new(code::ACTION_ARGS, at.range.clone(), message))
}

fn parse_inc(name: &Word, _: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let (what, counter) = element(name, Kind::Gpc, scope)?;
    Ok(Box::new(Change { counter, what, set: false, value: Amount::Fixed(1) }))
}

fn parse_inc0(name: &Word, _: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let counter = lone(name, scope)?;
    Ok(Box::new(Change { counter, what: Kind::Gpc0.into(), set: false, value: Amount::Fixed(1) }))
}

fn parse_inc1(name: &Word, _: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let counter = lone(name, scope)?;
    Ok(Box::new(Change { counter, what: Kind::Gpc1.into(), set: false, value: Amount::Fixed(1) }))
}

fn parse_add(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let (what, counter) = element(name, Kind::Gpc, scope)?;
    let value = Amount::parse(words, scope, "sc-add-gpc", "sc-add-gpc(<idx>,<ctr>) <number>|<expr>", units::integer)?;
    Ok(Box::new(Change { counter, what, set: false, value }))
}

fn parse_set(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let (what, counter) = element(name, Kind::Gpt, scope)?;
    let value = Amount::parse(words, scope, "sc-set-gpt", "sc-set-gpt(<idx>,<ctr>) <number>|<expr>", units::integer)?;
    Ok(Box::new(Change { counter, what, set: true, value }))
}

fn parse_set0(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let counter = lone(name, scope)?;
    let value = Amount::parse(words, scope, "sc-set-gpt0", "sc-set-gpt0(<ctr>) <number>|<expr>", units::integer)?;
    Ok(Box::new(Change { counter, what: Kind::Gpt0.into(), set: true, value }))
}

/// The arguments in the name of an action.
fn inside(name: &Word) -> String {
    in_name(name).map(|range| String::from_utf8_lossy(&name.bytes[range]).into_owned()).unwrap_or_default()
}

/// `(<ctr>)`.
fn lone(name: &Word, scope: &Scope<'_>) -> Result<usize, Fault> {
    counter(&inside(name), name, scope)
}

/// `(<idx>,<ctr>)`.
fn element(name: &Word, kind: Kind, scope: &Scope<'_>) -> Result<(DataSel, usize), Fault> {
    let inside = inside(name);
    let Some((index, ctr)) = inside.split_once(',') else {
        return Err(Fault::new(
            code::ACTION_ARGS,
            name.range.clone(),
            "an index and a counter stand in the parentheses",
        )
        .hint("write (0,1) for element 0 of what counter 1 tracks"));
    };
    match index.parse() {
        Ok(index) if usize::from(index) < usize::from(MAX_ELEMENTS) => {
            Ok((DataSel::nth(kind, index), counter(ctr, name, scope)?))
        }
        _ => Err(Fault::new(code::ACTION_ARGS, name.range.clone(), format!("`{index}` is no index of an array"))
            .hint(format!("write a number from 0 to {}", usize::from(MAX_ELEMENTS) - 1))),
    }
}

/// The number of a counter.
fn counter(text: &str, name: &Word, scope: &Scope<'_>) -> Result<usize, Fault> {
    let most = scope.env.library.stick_counters.min(STICK_COUNTERS);
    match text.parse() {
        Ok(counter) if counter < most => Ok(counter),
        _ => {
            let message = format!("`{text}` is no sticky counter");
            Err(Fault::new(code::ACTION_ARGS, name.range.clone(), message).hint(format!(
                "they are numbered from 0 to {}; `global.tune.stick-counters` gives more, up to {STICK_COUNTERS}",
                most.saturating_sub(1)
            )))
        }
    }
}

/// Whether samples of that type can be keys of such a table.
fn can_be_key(kind: KeyKind, sample: Type) -> bool {
    match kind {
        KeyKind::Ip | KeyKind::Ipv6 => sample == Type::Int || sample.casts_to(Type::Ip),
        KeyKind::Integer => sample == Type::Ip || sample.casts_to(Type::Int),
        KeyKind::String(_) | KeyKind::Binary(_) => true,
    }
}

/// The key a sample stands for in a table, by HAProxy's casts; `None` when it cannot be one.
pub(crate) fn key_of(kind: KeyKind, sample: &Sample<'_>) -> Option<Key> {
    match (kind, *sample) {
        (_, Sample::Ip(ip)) => Key::from_ip(kind, ip),
        (_, Sample::Int(value)) => Key::from_int(kind, value),
        (KeyKind::Ip | KeyKind::Ipv6, _) => Key::from_ip(kind, sample.as_ip()?),
        (KeyKind::Integer, _) => Key::from_int(kind, sample.as_int()?),
        (_, Sample::Bool(value)) => Key::from_int(kind, value.into()),
        (_, Sample::Str(bytes) | Sample::Bin(bytes)) => Key::from_bytes(kind, bytes),
    }
}

impl Act for Track {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let tracks = if self.level == Level::Connection { &ctx.session.tracks } else { &ctx.memo.tracks };
        if tracks.get(self.counter).is_some() {
            ctx.did(|| format!("counter {} tracks already", self.counter));
            return Next::Rule;
        }
        let now = ctx.now.mono_ms;
        let world = ctx.world;
        let Some(table) = world.table(self.table) else { return Next::Rule };
        let Some(key) = self.key.one(ctx, |sample| key_of(table.kind(), &sample)).flatten() else {
            if may_come(ctx) {
                return Next::Wait(Wait::More);
            }
            ctx.did(|| "there is no key".into());
            return Next::Rule;
        };
        // A backend's content rules run when the request has been counted already.
        let request = self.level == Level::Http || self.level == Level::Content && ctx.memo.request_counted;
        let Some(entry) = table.track_counting(&key, request, now) else {
            ctx.did(|| format!("table {} is full", table.name()));
            return Next::Rule;
        };
        ctx.did(|| format!("counter {} tracks {key} in {}", self.counter, table.name()));
        let tracks = if self.level == Level::Connection { &mut ctx.session.tracks } else { &mut ctx.memo.tracks };
        tracks.set(self.counter, entry);
        Next::Rule
    }
}

impl Act for Change {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let now = ctx.now.mono_ms;
        let (Some(value), Some(entry)) = (self.value.get(ctx), ctx.tracked(self.counter)) else { return Next::Rule };
        let done = if self.set {
            // 32 bits, as in HAProxy.
            entry.set(self.what, u64::from(value as u32), now)
        } else {
            entry.add(self.what, value, now)
        };
        let name = self.what.kind.info().name;
        ctx.did(|| match done {
            Some(_) if self.set => format!("{name} is {value}"),
            Some(sum) => format!("{name} is {sum}"),
            None => format!("{name} is not stored"),
        });
        Next::Rule
    }
}

/// What counts for each counter: the transaction's own, else the connection's.
fn counting<'t>(session: &'t Session, memo: &'t Memo) -> impl Iterator<Item = &'t Tracked> {
    let of_session = session.tracks.iter().filter(|(at, _)| memo.tracks.get(*at).is_none());
    memo.tracks.iter().chain(of_session).map(|(_, entry)| entry)
}

/// The rules on the connection let it in: a session begins. To be called once, before the first transaction.
pub fn on_session(session: &Session, now: u64) {
    session.tracks.iter().for_each(|(_, entry)| entry.on_session(now));
}

/// The client did so many odd things on its connection.
pub fn on_glitches(session: &Session, glitches: u32, now: u64) {
    session.tracks.iter().for_each(|(_, entry)| entry.on_glitches(glitches, now));
}

/// A request arrived, valid or not. To be called after `tcp-request.content` and before `http-request`, whose rules count it
/// by themselves as they begin to track.
pub fn on_request(session: &Session, memo: &Memo, now: u64) {
    counting(session, memo).for_each(|entry| entry.on_http_request(now));
}

/// The client did something wrong: a bad or truncated request, one that was denied or tarpitted, a failed login.
pub fn on_error(session: &Session, memo: &Memo, now: u64) {
    counting(session, memo).for_each(|entry| entry.on_http_error(now));
}

/// A server failed: no answer, or none that is valid.
pub fn on_fail(session: &Session, memo: &Memo, now: u64) {
    counting(session, memo).for_each(|entry| entry.on_http_fail(now));
}

/// A server answered with this status; `counted` says what that is.
pub fn on_status(session: &Session, memo: &Memo, status: u16, counted: &Counted, now: u64) {
    if counted.errors.contains(status) {
        on_error(session, memo, now);
    }
    if counted.failures.contains(status) {
        on_fail(session, memo, now);
    }
}

/// Bytes came from the client and went to it since the last call.
pub fn on_bytes(session: &Session, memo: &Memo, received: u64, sent: u64, now: u64) {
    if received > 0 || sent > 0 {
        counting(session, memo).for_each(|entry| entry.on_bytes(received, sent, now));
    }
}
