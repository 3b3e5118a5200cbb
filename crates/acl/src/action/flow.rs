//! Actions that end a set of rules, close the connection, or make it wait.

use std::sync::Arc;

use super::units::{self, Amount};
use super::{
    ANSWER, ANYWHERE, Act, CONTENT, CONTENTS, DROP, HTTP, How, Next, REJECT, REQUEST, Wait, action_table, argument,
};
use crate::cond::Scope;
use crate::ctx::{Ctx, Reading, SwitchMode};
use crate::error::{Fault, code};
use crate::trace::Place;
use crate::word::{Word, Words};

action_table! {
    "accept" "accept" CONTENTS true parse_allow,
        "Ends this set of rules: the connection goes on.",
        "accept if { src 192.0.2.0/24 }";
    "allow" "allow" HTTP true parse_allow,
        "Ends this set of rules. The rules of the backend still run after an allow in the frontend.",
        "allow if { path /api/users }";
    "do-log" "do-log [profile <name>]" ANYWHERE false parse_log,
        "Writes a log line now, as the loggers of the frontend have it or, with profile, as that log-profile section has it. What is \
         not known yet is -1 or -.",
        "do-log if { path /pay }";
    "pause" "pause <time>|<expr>" ANSWER false parse_pause,
        "Waits so long, in milliseconds unless a unit is given, before the next rule. Nothing happens when the expression is \
         undefined or not above 0.",
        "pause 100ms if { req.hdr_cnt(x-debug-id) gt 0 }";
    "reject" "reject" REJECT true parse_reject,
        "Closes the connection without an answer. In tcp-request.connection the connection is neither logged nor counted as a \
         session.",
        "reject if { src 203.0.113.0/24 }";
    "silent-drop" "silent-drop [rst-ttl <ttl>]" DROP true parse_drop,
        "Forgets the connection without telling the client, which goes on waiting. Firewalls between may keep it for long: with \
         rst-ttl a reset is sent that goes so many hops, 1 to 255, far enough to reach them and not the client.",
        "silent-drop if { src 203.0.113.0/24 }";
    "strict-mode" "strict-mode on|off" HTTP false parse_strict,
        "Whether an edit that cannot be made answers with 500 (on, as each set of rules begins) or is left out (off), for the \
         rules after this one in the set.",
        "strict-mode off";
    "switch-mode" "switch-mode http [proto h1|h2]" CONTENT true parse_switch,
        "Ends this set of rules of a frontend in tcp mode: the connection goes on as HTTP, with the bytes that came already, and \
         needs a backend in http mode. Without proto, ALPN or the preface tells HTTP/2 from HTTP/1. In http mode it only ends \
         the set.",
        "switch-mode http if { req.proto_http }";
    "wait-for-body" "wait-for-body time <time> [at-least <size>]" ANSWER false parse_body,
        "Waits for the body of the message, so long at most, before the next rule: until it is whole, the buffer is full, or so \
         many bytes are there. A client that sends nothing meanwhile gets 408.",
        "wait-for-body time 1s at-least 1k if METH_POST";
    "wait-for-handshake" "wait-for-handshake" REQUEST false parse_handshake,
        "Waits for the end of the TLS handshake before the next rule: early data may be replayed by anybody.",
        "wait-for-handshake if METH_POST";
}

#[derive(Debug)]
struct Allow;

#[derive(Debug)]
struct Close(How);

/// The name of the profile.
#[derive(Debug)]
struct DoLog(Option<Arc<str>>);

#[derive(Debug)]
struct Strict(bool);

#[derive(Debug)]
struct Pause(Amount);

#[derive(Debug)]
struct WaitFor(Wait);

#[derive(Debug)]
struct Switch(SwitchMode);

fn parse_allow(_: &Word, _: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    Ok(Box::new(Allow))
}

fn parse_reject(_: &Word, _: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    Ok(Box::new(Close(How::Reject)))
}

fn parse_drop(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let mut rst_ttl = None;
    if words.peek().is_some_and(|word| word.is("rst-ttl")) {
        words.next();
        let word = argument(words, "silent-drop", "the ttl", "silent-drop [rst-ttl <ttl>]")?;
        let ttl = word.text().parse::<u8>().ok().filter(|ttl| *ttl > 0).ok_or_else(|| {
            let message = format!("`{}` is no number of hops: 1 to 255", word.text());
            Fault::new(code::ACTION_ARGS, word.range.clone(), message)
        })?;
        rst_ttl = Some(ttl);
    }
    Ok(Box::new(Close(How::SilentDrop { rst_ttl })))
}

fn parse_log(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    if !words.peek().is_some_and(|word| word.is("profile")) {
        return Ok(Box::new(DoLog(None)));
    }
    words.next();
    let word = argument(words, "do-log", "the profile", "do-log [profile <name>]")?;
    let name = word.text();
    match scope.env.library.log_profiles.iter().find(|known| ***known == *name) {
        Some(known) => Ok(Box::new(DoLog(Some(Arc::clone(known))))),
        None => {
            let message = format!("there is no [log-profile.{name}]");
            Err(Fault::new(code::ACTION_ARGS, word.range.clone(), message)
                .hint(format!("define it: [log-profile.{name}]")))
        }
    }
}

fn parse_strict(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, "strict-mode", "the mode", "strict-mode on|off")?;
    match &*word.text() {
        "on" => Ok(Box::new(Strict(true))),
        "off" => Ok(Box::new(Strict(false))),
        other => Err(Fault::new(code::ACTION_ARGS, word.range.clone(), format!("`{other}` is no mode"))
            .hint("write strict-mode on or strict-mode off")),
    }
}

fn parse_pause(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    Ok(Box::new(Pause(Amount::parse(words, scope, "pause", "pause <time>|<expr>", units::time)?)))
}

fn parse_body(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    const SYNTAX: &str = "wait-for-body time <time> [at-least <size>]";
    let keyword = argument(words, "wait-for-body", "`time`", SYNTAX)?;
    if !keyword.is("time") {
        let message = format!("`wait-for-body` has no argument `{}` here", keyword.text());
        return Err(Fault::new(code::ACTION_ARGS, keyword.range.clone(), message).hint(format!("write {SYNTAX}")));
    }
    let time = units::time(argument(words, "wait-for-body", "the time", SYNTAX)?)? as u64;
    let mut at_least = 0;
    if words.peek().is_some_and(|word| word.is("at-least")) {
        words.next();
        at_least = units::size(argument(words, "wait-for-body", "the size", SYNTAX)?)? as u64;
    }
    Ok(Box::new(WaitFor(Wait::Body { time, at_least })))
}

fn parse_handshake(_: &Word, _: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    Ok(Box::new(WaitFor(Wait::Handshake)))
}

fn parse_switch(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    const SYNTAX: &str = "switch-mode http [proto h1|h2]";
    let mode = argument(words, "switch-mode", "the mode", SYNTAX)?;
    if !mode.is("http") {
        let message = format!("`{}` is no mode to switch to", mode.text());
        return Err(Fault::new(code::ACTION_ARGS, mode.range.clone(), message).hint("write switch-mode http"));
    }
    let mut to = SwitchMode::Http;
    if words.peek().is_some_and(|word| word.is("proto")) {
        words.next();
        let word = argument(words, "switch-mode", "the protocol", SYNTAX)?;
        to = match &*word.text() {
            "h1" => SwitchMode::Http1,
            "h2" => SwitchMode::Http2,
            other => {
                return Err(Fault::new(
                    code::ACTION_ARGS,
                    word.range.clone(),
                    format!("`{other}` is no protocol here"),
                )
                .hint("write proto h1 or proto h2"));
            }
        };
    }
    Ok(Box::new(Switch(to)))
}

impl Act for Switch {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        if ctx.body.reading != Reading::Messages {
            ctx.memo.wishes.switch_mode = Some(self.0);
            ctx.did(|| "goes on as HTTP".to_owned());
        }
        Next::Allow
    }
}

impl Act for Allow {
    fn run<'r>(&'r self, _: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        Next::Allow
    }
}

impl Act for Close {
    fn run<'r>(&'r self, _: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        Next::Close(self.0)
    }
}

impl Act for DoLog {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        ctx.memo.wishes.log_profile.clone_from(&self.0);
        Next::Wait(Wait::Log)
    }
}

impl Act for Strict {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        ctx.memo.wishes.lax = !self.0;
        Next::Rule
    }
}

impl Act for Pause {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        match self.0.get(ctx).and_then(|ms| u64::try_from(ms).ok()) {
            Some(ms) if ms > 0 => Next::Wait(Wait::Pause(ms)),
            _ => Next::Rule,
        }
    }
}

impl Act for WaitFor {
    fn run<'r>(&'r self, _: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        Next::Wait(self.0.clone())
    }
}
