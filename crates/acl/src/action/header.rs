//! `set-header`, `add-header`, `del-header`: edits of the request head.

use std::sync::Arc;

use super::{Act, HTTP, Next, Reply, action_table, argument, field_name, written_name};
use crate::acl;
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::format::Format;
use crate::matching::Matcher;
use crate::trace::Place;
use crate::word::{Word, Words};

action_table! {
    "add-header" "add-header <name> <fmt>" HTTP false parse_add,
        "Adds a field line after those already there. A value that cannot be written answers with 500.",
        "add-header X-Served-Via evenkeel";
    "del-header" "del-header <name> [-m str|beg|end|sub|reg]" HTTP false parse_delete,
        "Removes every field line of that name, or of the names that match. Case does not matter.",
        "del-header X-Debug- -m beg";
    "set-header" "set-header <name> <fmt>" HTTP false parse_set,
        "Replaces every field line of that name by one. The value may use the old one. A value that cannot be written answers \
         with 500.",
        "set-header X-Real-IP %[src]";
}

/// `set-header` and `add-header`.
#[derive(Debug)]
struct Write {
    name: Arc<str>,
    value: Format,
    /// The lines of that name go first.
    replace: bool,
}

/// `del-header`.
#[derive(Debug)]
enum Delete {
    Named(Arc<str>),
    /// Tried on each name in lower case.
    Matching(Matcher),
}

fn parse_set(_name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_write(words, scope, "set-header", true)
}

fn parse_add(_name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_write(words, scope, "add-header", false)
}

fn parse_write(words: &mut Words<'_>, scope: &Scope<'_>, action: &str, replace: bool) -> Result<Box<dyn Act>, Fault> {
    let syntax = format!("{action} <name> <fmt>");
    let name = written_name(argument(words, action, "the header name", &syntax)?)?;
    let value = Format::parse(argument(words, action, "the value", &syntax)?, scope)?;
    Ok(Box::new(Write { name, value, replace }))
}

fn parse_delete(_name: &Word, words: &mut Words<'_>, _scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let syntax = "del-header <name> [-m str|beg|end|sub|reg]";
    let name = argument(words, "del-header", "the header name", syntax)?;
    if !words.peek().is_some_and(|word| word.is("-m")) {
        return Ok(Box::new(Delete::Named(field_name(name)?)));
    }
    words.next();
    let kind_word = argument(words, "del-header", "the match kind", syntax)?;
    let kind = acl::kind(kind_word)?;
    match kind.name {
        "str" => Ok(Box::new(Delete::Named(field_name(name)?))),
        "beg" | "end" | "sub" | "reg" => {
            let mut faults = Vec::new();
            let matcher = (kind.build)(std::slice::from_ref(name), true, &mut faults);
            match faults.pop() {
                Some(fault) => Err(fault),
                None => Ok(Box::new(Delete::Matching(matcher))),
            }
        }
        other => {
            Err(Fault::new(code::MATCH, kind_word.range.clone(), format!("`{other}` does not compare header names"))
                .hint("write str, beg, end, sub or reg"))
        }
    }
}

impl Act for Write {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let name = self.name.as_bytes();
        let buffers = ctx.buffers;
        let done = buffers.with(|rendered| {
            let value = match self.value.literal() {
                Some(literal) => literal,
                None => {
                    self.value.write(ctx, rendered);
                    rendered
                }
            };
            let message = ctx.message_mut();
            if self.replace { message.set(name, value) } else { message.add(name, value) }
        });
        match done {
            Ok(()) => Next::Rule,
            Err(_) => Next::Reply(Reply::failed_rewrite(place)),
        }
    }
}

impl Act for Delete {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _place: &'r Place) -> Next<'r> {
        match self {
            Delete::Named(name) => {
                ctx.message_mut().remove(name.as_bytes());
            }
            Delete::Matching(matcher) => {
                let names: Vec<Vec<u8>> = ctx
                    .message()
                    .fields()
                    .filter(|(name, _)| matcher.matches_bytes(name))
                    .map(|(name, _)| name.to_vec())
                    .collect();
                for name in names {
                    ctx.message_mut().remove(&name);
                }
            }
        }
        Next::Rule
    }
}
