//! `do-resolve`: the address of a name, asked for while the transaction waits.
//!
//! The action only says what is asked; the driver of the transaction asks, and hands the answer to [`Question::settle`].

use std::net::IpAddr;

use super::vars::target;
use super::{Act, Next, RESOLVE, Wait, action_table, argument, expression_of, may_come};
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::sample::Sample;
use crate::trace::Place;
use crate::vars::VarRef;
use crate::word::{Word, Words};

action_table! {
    "do-resolve" "do-resolve(<scope>.<name>,<resolvers>[,ipv4|ipv6]) <expr>" RESOLVE false parse_resolve,
        "Asks the name servers of a [resolvers.NAME] section for the address of the host that the expression gives, without a port, \
         and sets the variable to it; the transaction waits meanwhile. IPv6 is asked for first unless ipv4 says otherwise, the \
         other where there is none of the first. A host that is an address is taken as it is. When there is no address the \
         variable is left as it was.",
        "do-resolve(txn.dst,dns,ipv4) req.hdr(host),host_only";
}

/// The longest name (RFC 1035 §2.3.4, as text without the dot at its end).
const MAX_NAME: usize = 253;
const SYNTAX: &str = "do-resolve(<scope>.<name>,<resolvers>[,ipv4|ipv6]) <expr>";

/// Which kind of address is asked for first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Prefer {
    /// IPv4.
    V4,
    /// IPv6.
    #[default]
    V6,
}

/// A name to be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Index of the `[resolvers.NAME]` section in the configuration.
    pub resolvers: usize,
    /// The name, in small letters, without a dot at its end: labels of letters, digits, `-` and `_`.
    pub name: Box<str>,
    /// What is asked for first.
    pub prefer: Prefer,
    var: VarRef,
}

impl Question {
    /// Sets the variable to the answer; nothing is set when there is none.
    pub fn settle(&self, ctx: &Ctx<'_>, answer: Option<IpAddr>) {
        if let Some(ip) = answer {
            // A full scope goes without it, as with set-var.
            ctx.set_var(&self.var, &Sample::Ip(ip));
        }
    }
}

#[derive(Debug)]
struct Resolve {
    var: VarRef,
    resolvers: usize,
    prefer: Prefer,
    host: Expr,
}

fn parse_resolve(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let bad = |message: String| Fault::new(code::ACTION_ARGS, name.range.clone(), message);
    let (var, rest) = target(name, scope)?;
    let Some((section, preference)) = rest.split_first() else {
        return Err(bad("the resolvers are missing".to_owned()).hint(format!("write {SYNTAX}")));
    };
    let known = &scope.env.library.resolvers;
    let resolvers = known.iter().position(|known| **known == **section).ok_or_else(|| {
        bad(format!("there is no [resolvers.{section}]"))
            .did_you_mean(section, known.iter().map(|name| &**name))
            .or_hint(|| "name a section of name servers: do-resolve(txn.dst,NAME) and [resolvers.NAME]".into())
    })?;
    let prefer = match preference.iter().map(|word| &**word).collect::<Vec<_>>()[..] {
        [] | ["ipv6"] => Prefer::V6,
        ["ipv4"] => Prefer::V4,
        ref other => {
            return Err(bad(format!("`{}` is no preference", other.join(","))).hint("write ipv4 or ipv6, or nothing"));
        }
    };
    let word = argument(words, "do-resolve", "the expression", SYNTAX)?;
    Ok(Box::new(Resolve { var, resolvers, prefer, host: expression_of(word, scope)? }))
}

impl Act for Resolve {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let ctx = &*ctx;
        let host = self.host.one(ctx, |sample| match sample {
            Sample::Ip(ip) => Host::Address(ip),
            other => {
                let mut text = Vec::new();
                other.write_text(&mut text);
                host(&text)
            }
        });
        let name = match host {
            None if may_come(ctx) => return Next::Wait(Wait::More),
            None | Some(Host::Neither) => {
                ctx.did(|| "asks nothing: there is no name".to_owned());
                return Next::Rule;
            }
            Some(Host::Address(ip)) => {
                let set = ctx.set_var(&self.var, &Sample::Ip(ip));
                ctx.did(|| format!("{} {} to {ip}", if set { "set" } else { "could not set" }, self.var.text));
                return Next::Rule;
            }
            Some(Host::Name(name)) => name,
        };
        let (resolvers, prefer) = (self.resolvers, self.prefer);
        Next::Wait(Wait::Resolve(Box::new(Question { resolvers, name, prefer, var: self.var.clone() })))
    }
}

/// What a host may be.
enum Host {
    Address(IpAddr),
    Name(Box<str>),
    Neither,
}

fn host(text: &[u8]) -> Host {
    let Ok(text) = std::str::from_utf8(text) else { return Host::Neither };
    // RFC 3986 §3.2.2: an IPv6 address in a URI stands between brackets.
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = inner.parse() {
        return Host::Address(ip);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    // What no name servers would be asked for: neither letters, digits, `-` nor `_` between dots (RFC 1123 §2.1).
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    match name.len() <= MAX_NAME && name.split('.').all(label) {
        true => Host::Name(name.to_ascii_lowercase().into()),
        false => Host::Neither,
    }
}
