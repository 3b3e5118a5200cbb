//! Actions that ask something of the rest of the transaction: timeouts, retries, place in the queue, log level.
//!
//! They only write it down in [`Wishes`](crate::Wishes); the driver of the transaction does it.

use super::units::{self, Amount, number, number_of};
use super::{ACCEPT, ANSWER, Act, LIMIT, LOG, Next, QUEUE, REQUEST, RuleKind, action_table, argument, one_of};
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::trace::Place;
use crate::word::{Word, Words};

action_table! {
    "disable-l7-retry" "disable-l7-retry" REQUEST false parse_l7,
        "Sends this request again only when no connection could be made.",
        "disable-l7-retry if METH_POST";
    "expect-proxy" "expect-proxy layer4" ACCEPT false parse_expect,
        "Takes a PROXY header off the beginning of this connection, as accept-proxy of a bind does for all; a connection without \
         one is closed.",
        "expect-proxy layer4 if { src 192.0.2.0/24 }";
    "set-log-level" "set-log-level emerg|alert|crit|err|warning|notice|info|debug|silent" LOG false parse_level,
        "The syslog level of the log line of this transaction; silent writes none. The last one wins.",
        "set-log-level silent if { path /health }";
    "set-nice" "set-nice <number>" LIMIT false parse_nice,
        "How much this transaction gives way to others of its worker, from -1024 (first) to 1024 (last): how many buffers of a \
         body it moves before the others have their turn, 16 to 1 instead of 4.",
        "set-nice 512 if { path_end .iso }";
    "set-priority-class" "set-priority-class <expr>" QUEUE false parse_class,
        "The class of the request in the queue: lower ones are served first. Cut to -2047 to 2047.",
        "set-priority-class int(-1) if { path_beg /checkout/ }";
    "set-priority-offset" "set-priority-offset <expr>" QUEUE false parse_offset,
        "Milliseconds by which the request counts as having come later (or earlier, when negative) among those of its class in \
         the queue. Cut to -524287 to 524287.",
        "set-priority-offset int(-500) if { path_beg /checkout/ }";
    "set-retries" "set-retries <number>|<expr>" QUEUE false parse_retries,
        "How often a connection to a server is tried again, 0 to 100, instead of `retries`. Other numbers change nothing.",
        "set-retries 1 if METH_POST";
    "set-timeout" "set-timeout client|connect|queue|server|tarpit|tunnel <time>|<expr>" ANSWER false parse_timeout,
        "Replaces a timeout for this transaction, in milliseconds unless a unit is given. Nothing happens when the expression is \
         undefined or not above 0. connect, queue and tarpit have passed once there is a response.",
        "set-timeout server 5s if { path_beg /report/ }";
}

#[derive(Debug)]
struct NoL7Retry;

#[derive(Debug)]
struct ExpectProxy;

#[derive(Debug)]
struct Level(u8);

#[derive(Debug)]
struct Nice(i16);

#[derive(Debug)]
struct Class(Expr);

#[derive(Debug)]
struct Offset(Expr);

#[derive(Debug)]
struct Retries(Amount);

#[derive(Debug)]
struct SetTimeout {
    which: usize,
    time: Amount,
}

/// By number, as `log_level` counts them.
const LEVELS: &[&str] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "silent"];
const TIMEOUTS: &[&str] = &["client", "connect", "queue", "server", "tarpit", "tunnel"];
const MAX_RETRIES: i64 = 100;

fn parse_expect(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, "expect-proxy", "the layer", "expect-proxy layer4")?;
    match word.is("layer4") {
        true => Ok(Box::new(ExpectProxy)),
        false => Err(Fault::new(code::ACTION_ARGS, word.range.clone(), format!("`{}` is no layer here", word.text()))
            .hint("write expect-proxy layer4")),
    }
}

fn parse_l7(_: &Word, _: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    Ok(Box::new(NoL7Retry))
}

fn parse_level(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, "set-log-level", "the level", "set-log-level <level>")?;
    Ok(Box::new(Level(one_of(word, LEVELS, "log level")? as u8)))
}

fn parse_nice(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, "set-nice", "the number", "set-nice <number>")?;
    match units::integer(word)? {
        nice @ -1024..=1024 => Ok(Box::new(Nice(nice as i16))),
        nice => Err(Fault::new(code::ACTION_ARGS, word.range.clone(), format!("{nice} is out of range"))
            .hint("write a number from -1024 to 1024")),
    }
}

fn parse_class(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, "set-priority-class", "the expression", "set-priority-class <expr>")?;
    Ok(Box::new(Class(number(word, scope)?)))
}

fn parse_offset(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, "set-priority-offset", "the expression", "set-priority-offset <expr>")?;
    Ok(Box::new(Offset(number(word, scope)?)))
}

fn parse_retries(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let at = words.peek().map(|word| word.range.clone());
    let retries = Amount::parse(words, scope, "set-retries", "set-retries <number>|<expr>", units::integer)?;
    if let Amount::Fixed(n) = retries
        && !(0..=MAX_RETRIES).contains(&n)
    {
        return Err(Fault::new(code::ACTION_ARGS, at.unwrap_or_default(), format!("{n} is out of range"))
            .hint("write a number from 0 to 100"));
    }
    Ok(Box::new(Retries(retries)))
}

fn parse_timeout(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    const SYNTAX: &str = "set-timeout client|connect|queue|server|tarpit|tunnel <time>|<expr>";
    let word = argument(words, "set-timeout", "the name of the timeout", SYNTAX)?;
    let which = one_of(word, TIMEOUTS, "timeout that rules set")?;
    let name = TIMEOUTS[which];
    if scope.kind == Some(RuleKind::HttpResponse) && matches!(name, "connect" | "queue" | "tarpit") {
        return Err(Fault::new(
            code::PHASE,
            word.range.clone(),
            format!("`{name}` has passed once there is a response"),
        )
        .hint("set it in http-request"));
    }
    let at = words.peek().map(|word| word.range.clone());
    let time = Amount::parse(words, scope, "set-timeout", SYNTAX, units::time)?;
    if matches!(time, Amount::Fixed(0)) {
        return Err(Fault::new(code::ACTION_ARGS, at.unwrap_or_default(), "a timeout must be longer than 0"));
    }
    Ok(Box::new(SetTimeout { which, time }))
}

impl Act for ExpectProxy {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        ctx.memo.wishes.expect_proxy = true;
        Next::Rule
    }
}

impl Act for NoL7Retry {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        ctx.memo.wishes.no_l7_retry = true;
        Next::Rule
    }
}

impl Act for Level {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        ctx.memo.wishes.log_level = Some(self.0);
        Next::Rule
    }
}

impl Act for Nice {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        ctx.memo.wishes.nice = self.0;
        Next::Rule
    }
}

impl Act for Class {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        if let Some(class) = number_of(&self.0, ctx) {
            let class = class.clamp(-2047, 2047);
            ctx.memo.wishes.priority_class = class as i16;
            ctx.did(|| format!("class {class}"));
        }
        Next::Rule
    }
}

impl Act for Offset {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        if let Some(offset) = number_of(&self.0, ctx) {
            let offset = offset.clamp(-524_287, 524_287);
            ctx.memo.wishes.priority_offset = offset as i32;
            ctx.did(|| format!("offset {offset} ms"));
        }
        Next::Rule
    }
}

impl Act for Retries {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        if let Some(n) = self.0.get(ctx).filter(|n| (0..=MAX_RETRIES).contains(n)) {
            ctx.memo.wishes.retries = Some(n as u32);
            ctx.did(|| format!("{n} retries"));
        }
        Next::Rule
    }
}

impl Act for SetTimeout {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let Some(ms) = self.time.get(ctx).and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0) else {
            return Next::Rule;
        };
        let all = &mut ctx.memo.wishes.timeouts;
        *[&mut all.client, &mut all.connect, &mut all.queue, &mut all.server, &mut all.tarpit, &mut all.tunnel]
            [self.which] = Some(ms);
        ctx.did(|| format!("timeout {} is {ms} ms", TIMEOUTS[self.which]));
        Next::Rule
    }
}
