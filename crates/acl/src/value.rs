//! Arguments of fetches and converters: what the tables say they are, and what they become.
//!
//! Called by [`Expr`](crate::expr::Expr) while a rule is compiled. Everything that can be looked up or prepared is looked up
//! here, once.

use std::any::Any;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;

use evenkeel_proto::FieldName;
use regex::bytes::Regex;

use crate::auth::UserList;
use crate::error::nearest;
use crate::library::Env;
use crate::vars::VarRef;
use crate::word::Word;

/// One argument of a fetch or converter.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// What it is called in the syntax.
    pub name: &'static str,
    /// What it is.
    pub kind: ArgKind,
    /// Whether it may be left out.
    pub optional: bool,
}

impl Arg {
    /// One that must be given.
    pub(crate) const fn one(name: &'static str, kind: ArgKind) -> Arg {
        Arg { name, kind, optional: false }
    }

    /// One that may be left out.
    pub(crate) const fn maybe(name: &'static str, kind: ArgKind) -> Arg {
        Arg { name, kind, optional: true }
    }
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Text; not empty.
    Str,
    /// Text that may be empty.
    Text,
    /// The name of a header field; not empty.
    Field,
    /// A number.
    Int,
    /// A number, or a variable that holds one.
    IntOrVar,
    /// A variable.
    Var,
    /// A stick table; the section's own when left out.
    Table,
    /// A stick table; that of the tracked entry when left out.
    OtherTable,
    /// A frontend; the section itself when left out.
    Frontend,
    /// A backend; the section itself when left out.
    Backend,
    /// `backend/server`, or a server of this section.
    Server,
    /// A user list.
    Users,
    /// A regular expression; not anchored.
    Regex,
    /// An IPv4 mask: bits or dotted.
    Mask4,
    /// An IPv6 mask: bits or an address.
    Mask6,
    /// A number of a sticky counter.
    Counter,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// An argument as compiled.
#[derive(Clone)]
pub(crate) enum Value {
    /// Left out, with others after it.
    None,
    Str(Box<[u8]>),
    Field(FieldName),
    Int(i64),
    Var(VarRef),
    /// Index of a stick table.
    Table(usize),
    Frontend(Arc<str>),
    Backend(Arc<str>),
    Server(Arc<str>, Arc<str>),
    Users(Arc<UserList>),
    Regex(Box<Regex>),
    Mask4(u32),
    Mask6(u128),
    /// What a `prepare` function made of the arguments.
    Ready(Arc<dyn Any + Send + Sync>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Str(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
            Value::Field(name) => write!(f, "{name:?}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Var(name) => f.write_str(&name.text),
            other => f.write_str(other.word()),
        }
    }
}

impl Value {
    fn word(&self) -> &'static str {
        match self {
            Value::None => "none",
            Value::Str(_) => "str",
            Value::Field(_) => "field",
            Value::Int(_) => "int",
            Value::Var(_) => "var",
            Value::Table(_) => "table",
            Value::Frontend(_) => "frontend",
            Value::Backend(_) => "backend",
            Value::Server(..) => "server",
            Value::Users(_) => "users",
            Value::Regex(_) => "regex",
            Value::Mask4(_) => "mask4",
            Value::Mask6(_) => "mask6",
            Value::Ready(_) => "ready",
        }
    }

    /// The number of argument `at`.
    pub(crate) fn int(args: &[Value], at: usize) -> Option<i64> {
        match args.get(at) {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        }
    }

    /// The text of argument `at`; empty when left out.
    pub(crate) fn text(args: &[Value], at: usize) -> &[u8] {
        match args.get(at) {
            Some(Value::Str(text)) => text,
            _ => b"",
        }
    }

    /// The header name of argument `at`; `None` when left out.
    #[inline]
    pub(crate) fn field(args: &[Value], at: usize) -> Option<&FieldName> {
        match args.get(at) {
            Some(Value::Field(name)) => Some(name),
            _ => None,
        }
    }

    /// The variable of argument `at`.
    pub(crate) fn var(args: &[Value], at: usize) -> Option<&VarRef> {
        match args.get(at) {
            Some(Value::Var(name)) => Some(name),
            _ => None,
        }
    }

    /// The stick table of argument `at`.
    pub(crate) fn table(args: &[Value], at: usize) -> Option<usize> {
        match args.get(at) {
            Some(Value::Table(table)) => Some(*table),
            _ => None,
        }
    }

    /// What was prepared as argument `at`.
    pub(crate) fn ready<T: 'static>(args: &[Value], at: usize) -> Option<&T> {
        match args.get(at) {
            Some(Value::Ready(value)) => value.downcast_ref(),
            _ => None,
        }
    }
}

/// Reads one argument; the error is a sentence, with a hint where there is one.
pub(crate) fn parse(
    arg: &Arg,
    text: &[u8],
    word: &Word,
    span: Range<usize>,
    env: &Env<'_>,
) -> Result<Value, (String, Option<String>)> {
    let plain = |message: String| (message, None);
    let shown = String::from_utf8_lossy(text);
    let number = || shown.parse::<i64>().ok();
    Ok(match arg.kind {
        ArgKind::Text => Value::Str(text.into()),
        ArgKind::Str | ArgKind::Field if text.is_empty() => return Err(plain(format!("`{}` is empty", arg.name))),
        ArgKind::Str => Value::Str(text.into()),
        ArgKind::Field => Value::Field(FieldName::new(text)),
        ArgKind::Int => Value::Int(number().ok_or_else(|| plain(format!("`{}` is a number", arg.name)))?),
        ArgKind::Counter => match number() {
            Some(at) if at >= 0 && (at as usize) < env.library.stick_counters => Value::Int(at),
            _ => {
                let last = env.library.stick_counters.saturating_sub(1);
                let message = format!("`{shown}` is no counter: they are numbered from 0 to {last}");
                return Err((message, Some("raise `global.tune.stick-counters` for more".into())));
            }
        },
        ArgKind::IntOrVar => match number() {
            Some(value) => Value::Int(value),
            None => Value::Var(variable(&shown)?),
        },
        ArgKind::Var => Value::Var(variable(&shown)?),
        ArgKind::Word(words) => match words.iter().find(|w| w.as_bytes() == text) {
            Some(_) => Value::Str(text.into()),
            None => return Err((format!("`{shown}` is not one of {}", words.join(", ")), None)),
        },
        ArgKind::Table | ArgKind::OtherTable => {
            let known = || env.library.tables.iter().map(|table| &*table.name);
            match env.library.table(&shown) {
                Some(at) => Value::Table(at),
                None => return Err(unknown("stick table", &shown, known(), "give a backend a `stick-table`")),
            }
        }
        ArgKind::Frontend => match env.library.proxy(&shown).filter(|proxy| proxy.frontend) {
            Some(proxy) => Value::Frontend(proxy.name.clone()),
            None => {
                let known = env.library.proxies.iter().filter(|proxy| proxy.frontend).map(|proxy| &*proxy.name);
                return Err(unknown("frontend", &shown, known, "name a [frontend.NAME] or [listen.NAME]"));
            }
        },
        ArgKind::Backend => match env.library.proxy(&shown).filter(|proxy| proxy.backend) {
            Some(proxy) => Value::Backend(proxy.name.clone()),
            None => {
                let known = env.library.proxies.iter().filter(|proxy| proxy.backend).map(|proxy| &*proxy.name);
                return Err(unknown("backend", &shown, known, "name a [backend.NAME] or [listen.NAME]"));
            }
        },
        ArgKind::Server => {
            let (backend, server) = shown.split_once('/').unwrap_or((env.proxy, &shown));
            let Some(proxy) = env.library.proxy(backend).filter(|proxy| proxy.backend) else {
                let known = env.library.proxies.iter().filter(|proxy| proxy.backend).map(|proxy| &*proxy.name);
                return Err(unknown("backend", backend, known, "write backend/server"));
            };
            match proxy.servers.iter().find(|name| &***name == server) {
                Some(name) => Value::Server(proxy.name.clone(), name.clone()),
                None => {
                    let known = proxy.servers.iter().map(|name| &**name);
                    return Err(unknown("server", server, known, "write backend/server"));
                }
            }
        }
        ArgKind::Users => match env.library.users(&shown) {
            Some(list) => Value::Users(list.clone()),
            None => {
                let known = env.library.userlists.iter().map(|list| &*list.name);
                return Err(unknown("user list", &shown, known, "add a [userlist.NAME] section"));
            }
        },
        ArgKind::Regex => {
            let part = Word::literal(text, span);
            let _ = word;
            match crate::matching::regex(&part, false) {
                Ok(regex) => Value::Regex(Box::new(regex)),
                Err(fault) => return Err((fault.message, fault.hint)),
            }
        }
        ArgKind::Mask4 => match (number(), shown.parse::<Ipv4Addr>()) {
            (Some(bits @ 0..=32), _) => Value::Mask4(u32::MAX.checked_shl(32 - bits as u32).unwrap_or(0)),
            (_, Ok(mask)) => Value::Mask4(mask.to_bits()),
            _ => return Err(plain(format!("`{shown}` is no IPv4 mask"))),
        },
        ArgKind::Mask6 => match (number(), shown.parse::<Ipv6Addr>()) {
            (Some(bits @ 0..=128), _) => Value::Mask6(u128::MAX.checked_shl(128 - bits as u32).unwrap_or(0)),
            (_, Ok(mask)) => Value::Mask6(mask.to_bits()),
            _ => return Err(plain(format!("`{shown}` is no IPv6 mask"))),
        },
    })
}

/// What stands for an argument that was left out, where the section itself is meant.
pub(crate) fn absent(arg: &Arg, env: &Env<'_>) -> Result<Value, String> {
    let proxy = || env.library.proxy(env.proxy);
    match arg.kind {
        ArgKind::Table => match env.library.table(env.proxy) {
            Some(at) => Ok(Value::Table(at)),
            None => Err(format!("`{}` has no stick-table of its own: name one", env.proxy)),
        },
        ArgKind::Frontend => match proxy().filter(|proxy| proxy.frontend) {
            Some(proxy) => Ok(Value::Frontend(proxy.name.clone())),
            None => Err(format!("`{}` is no frontend: name one", env.proxy)),
        },
        ArgKind::Backend => match proxy().filter(|proxy| proxy.backend) {
            Some(proxy) => Ok(Value::Backend(proxy.name.clone())),
            None => Err(format!("`{}` is no backend: name one", env.proxy)),
        },
        _ => Ok(Value::None),
    }
}

fn variable(text: &str) -> Result<VarRef, (String, Option<String>)> {
    VarRef::parse(text)
        .map_err(|why| (why, Some("write a scope and a name: txn.name; scopes are proc, sess, txn, req, res".into())))
}

fn unknown<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str>, hint: &str) -> (String, Option<String>) {
    let near = nearest(name, known).map(|name| format!("did you mean `{name}`?"));
    (format!("there is no {what} `{name}`"), near.or_else(|| Some(hint.to_owned())))
}
