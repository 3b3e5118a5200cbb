//! Edits of header fields: `set-header`, `add-header`, `del-header`, `replace-header`, `replace-value`, `early-hint`.

use std::sync::Arc;

use evenkeel_proto::{BadEdit, FieldLine, FieldName};

use super::replace::Replace;
use super::{Act, HTTP, Next, REQUEST, action_table, argument, failed, field_name, field_value, shown, written_name};
use crate::acl;
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::fetch::element_end;
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
    "early-hint" "early-hint <name> <fmt>" REQUEST false parse_hint,
        "Adds a field to an answer 103 that is sent before the request goes to a server (RFC 8297).",
        "early-hint Link '</style.css>; rel=preload; as=style'";
    "replace-header" "replace-header <name> <regex> <fmt>" HTTP false parse_replace_header,
        "Replaces the whole value of each field line of that name whose value matches. \\1 to \\9 in the format stand for what \
         the groups matched, \\0 for the whole match. Name, case and order of the lines stay.",
        "replace-header User-Agent '^curl/(.*)' 'tool \\1'";
    "replace-value" "replace-value <name> <regex> <fmt>" HTTP false parse_replace_value,
        "As replace-header for each value of a comma-separated list by itself; blanks around a replaced value go.",
        "replace-value X-Forwarded-For '^192\\.168\\.(.*)$' '172.16.\\1'";
    "set-header" "set-header <name> <fmt>" HTTP false parse_set,
        "Replaces every field line of that name by one. The value may use the old one. A value that cannot be written answers \
         with 500.",
        "set-header X-Real-IP %[src]";
}

/// `set-header` and `add-header`.
#[derive(Debug)]
struct Write {
    name: FieldName,
    value: Format,
    /// The whole line, when its value is the same for every message.
    line: Option<FieldLine>,
    /// The lines of that name go first.
    replace: bool,
}

/// `del-header`.
#[derive(Debug)]
enum Delete {
    Named(FieldName),
    /// Tried on each name in lower case.
    Matching(Matcher),
}

/// `replace-header` and `replace-value`.
#[derive(Debug)]
struct Rewrite {
    name: Arc<str>,
    replace: Replace,
    /// Each element of the list by itself.
    elements: bool,
}

/// `early-hint`.
#[derive(Debug)]
struct Hint {
    name: Arc<str>,
    value: Format,
}

fn parse_set(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_write(words, scope, "set-header", true)
}

fn parse_add(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_write(words, scope, "add-header", false)
}

fn parse_write(words: &mut Words<'_>, scope: &Scope<'_>, action: &str, replace: bool) -> Result<Box<dyn Act>, Fault> {
    let (name, value) = parse_field(words, scope, action)?;
    let name = FieldName::new(name.as_bytes());
    // A line that cannot be written is told when it should be: the rule may never hold.
    let line = value.literal().and_then(|text| FieldLine::new(&name, text).ok());
    Ok(Box::new(Write { name, value, line, replace }))
}

fn parse_hint(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let (name, value) = parse_field(words, scope, "early-hint")?;
    Ok(Box::new(Hint { name, value }))
}

fn parse_field(words: &mut Words<'_>, scope: &Scope<'_>, action: &str) -> Result<(Arc<str>, Format), Fault> {
    let syntax = format!("{action} <name> <fmt>");
    let name = written_name(argument(words, action, "the header name", &syntax)?)?;
    Ok((name, Format::parse(argument(words, action, "the value", &syntax)?, scope)?))
}

fn parse_replace_header(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_rewrite(words, scope, "replace-header", false)
}

fn parse_replace_value(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_rewrite(words, scope, "replace-value", true)
}

fn parse_rewrite(
    words: &mut Words<'_>,
    scope: &Scope<'_>,
    action: &str,
    elements: bool,
) -> Result<Box<dyn Act>, Fault> {
    let syntax = format!("{action} <name> <regex> <fmt>");
    let name = written_name(argument(words, action, "the header name", &syntax)?)?;
    Ok(Box::new(Rewrite { name, replace: Replace::parse(words, scope, action, &syntax)?, elements }))
}

fn parse_delete(_: &Word, words: &mut Words<'_>, _: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let syntax = "del-header <name> [-m str|beg|end|sub|reg]";
    let name = argument(words, "del-header", "the header name", syntax)?;
    if !words.peek().is_some_and(|word| word.is("-m")) {
        return Ok(Box::new(Delete::Named(FieldName::new(field_name(name)?.as_bytes()))));
    }
    words.next();
    let kind_word = argument(words, "del-header", "the match kind", syntax)?;
    let kind = acl::kind(kind_word)?;
    match kind.name {
        "str" => Ok(Box::new(Delete::Named(FieldName::new(field_name(name)?.as_bytes())))),
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
        let done = match &self.line {
            Some(line) if self.replace => ctx.message_mut().set_line(line),
            Some(line) => ctx.message_mut().add_line(line),
            None => self.write(ctx),
        };
        match done {
            Ok(()) => Next::Rule,
            Err(why) => failed(ctx, place, why),
        }
    }
}

impl Write {
    fn write(&self, ctx: &mut Ctx<'_>) -> Result<(), BadEdit> {
        let (name, buffers) = (&self.name, ctx.buffers);
        buffers.with(|value| {
            self.value.write(ctx, value);
            let message = ctx.message_mut();
            let done = if self.replace { message.set_named(name, value) } else { message.add_named(name, value) };
            if self.value.literal().is_none() {
                let verb = if self.replace { "set" } else { "added" };
                ctx.did(|| format!("{verb} {}: {}", shown(name.as_bytes()), shown(value)));
            }
            done
        })
    }
}

impl Act for Delete {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let gone = match self {
            Delete::Named(name) => ctx.message_mut().remove_named(name),
            Delete::Matching(matcher) => {
                let matching = ctx.message().fields().filter(|(name, _)| matcher.matches_bytes(name));
                let names: Vec<Vec<u8>> = matching.map(|(name, _)| name.to_vec()).collect();
                names.iter().map(|name| ctx.message_mut().remove(name)).sum()
            }
        };
        ctx.did(|| format!("{gone} removed"));
        Next::Rule
    }
}

impl Act for Rewrite {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let name = self.name.as_bytes();
        if ctx.message().get(name).is_none() {
            return Next::Rule;
        }
        let buffers = ctx.buffers;
        let mut fits = true;
        let done = buffers.with(|template| {
            self.replace.template(ctx, template);
            ctx.message_mut().rewrite(name, |value, out| {
                let changed = if self.elements {
                    self.each_element(value, template, out)
                } else {
                    self.replace.apply(value, template, out)
                };
                fits &= changed != Some(false);
                changed == Some(true)
            })
        });
        match done {
            Ok(_) if !fits => failed(ctx, place, BadEdit::TooLarge),
            Ok(changed) => {
                ctx.did(|| format!("{changed} replaced"));
                Next::Rule
            }
            Err(why) => failed(ctx, place, why),
        }
    }
}

impl Rewrite {
    /// A replaced value stands right between its commas; the others keep their blanks, as in HAProxy.
    fn each_element(&self, value: &[u8], template: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        let mut any = None;
        let mut rest = value;
        loop {
            let end = element_end(rest, b",");
            match self.replace.apply(rest[..end].trim_ascii(), template, out) {
                Some(true) => any = Some(true),
                Some(false) => return Some(false),
                None => out.extend_from_slice(&rest[..end]),
            }
            if end == rest.len() {
                return any;
            }
            out.push(b',');
            rest = &rest[end + 1..];
        }
    }
}

impl Act for Hint {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, place: &'r Place) -> Next<'r> {
        let mut value = Vec::new();
        self.value.write(ctx, &mut value);
        match field_value(value) {
            Some(value) => {
                ctx.did(|| format!("hint {}: {}", self.name, shown(&value)));
                ctx.memo.wishes.early_hints.push((self.name.clone(), value));
                Next::Rule
            }
            None => failed(ctx, place, BadEdit::BadValue),
        }
    }
}
