//! `set-var`, `set-var-fmt`, `unset-var`.

use super::{ANYWHERE, Act, Next, RuleKind, Wait, action_table, argument, expression_of, in_name, may_come, shown};
use crate::cond::Scope;
use crate::conv::var::{CONDITIONS, holds};
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::format::Format;
use crate::sample::Sample;
use crate::trace::Place;
use crate::vars::{VarRef, VarScope};
use crate::word::{Word, Words};

action_table! {
    "set-var" "set-var(<scope>.<name>[,<condition>...]) <expr>" ANYWHERE false parse_set,
        "Sets a variable to a sample, which keeps its type; an undefined one changes nothing. Scopes are proc (the process), sess \
         (the connection), txn, req and res. All conditions must hold: ifexists, ifnotexists, ifempty, ifnotempty, ifset, \
         ifnotset, ifgt, iflt. When the scope is full nothing is set.",
        "set-var(txn.host) req.hdr(host),lower if { path_beg /api }";
    "set-var-fmt" "set-var-fmt(<scope>.<name>[,<condition>...]) <fmt>" ANYWHERE false parse_format,
        "Sets a variable to text; otherwise as set-var.",
        "set-var-fmt(sess.client) '%[src]:%[src_port]'";
    "unset-var" "unset-var(<scope>.<name>)" ANYWHERE false parse_unset,
        "Forgets a variable.",
        "unset-var(sess.client)";
}

#[derive(Debug)]
struct Set {
    name: VarRef,
    conditions: Vec<&'static str>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Expr(Expr),
    Format(Format),
}

#[derive(Debug)]
struct Unset(VarRef);

fn parse_set(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let (name, conditions) = conditional(name, scope)?;
    let word = argument(words, "set-var", "the expression", "set-var(<scope>.<name>) <expr>")?;
    Ok(Box::new(Set { name, conditions, value: Value::Expr(expression_of(word, scope)?) }))
}

fn parse_format(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let (name, conditions) = conditional(name, scope)?;
    let word = argument(words, "set-var-fmt", "the text", "set-var-fmt(<scope>.<name>) <fmt>")?;
    Ok(Box::new(Set { name, conditions, value: Value::Format(Format::parse_var(word, scope)?) }))
}

fn parse_unset(name: &Word, _: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let (var, conditions) = conditional(name, scope)?;
    if !conditions.is_empty() {
        return Err(Fault::new(code::ACTION_ARGS, name.range.clone(), "`unset-var` takes no condition in parentheses"));
    }
    Ok(Box::new(Unset(var)))
}

/// The variable in the parentheses of the name of the action, and the conditions after it.
fn conditional(word: &Word, scope: &Scope<'_>) -> Result<(VarRef, Vec<&'static str>), Fault> {
    let (var, rest) = target(word, scope)?;
    let conditions = rest.iter().map(|part| {
        CONDITIONS.iter().copied().find(|name| *name == &**part).ok_or_else(|| {
            Fault::new(code::ACTION_ARGS, word.range.clone(), format!("there is no condition `{part}`"))
                .did_you_mean(part, CONDITIONS.iter().copied())
        })
    });
    Ok((var, conditions.collect::<Result<_, _>>()?))
}

/// The variable in the parentheses of the name of the action, and what stands behind it between commas.
pub(super) fn target(word: &Word, scope: &Scope<'_>) -> Result<(VarRef, Vec<String>), Fault> {
    const EXAMPLE: &str = "name the variable first in the parentheses: txn.name";
    let Some(inside) = in_name(word) else {
        return Err(Fault::new(code::ACTION_ARGS, word.range.clone(), "the variable is missing").hint(EXAMPLE));
    };
    let text = String::from_utf8_lossy(&word.bytes[inside.clone()]);
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    let span = word.span(inside.start..(inside.start + name.len()).min(inside.end));
    let var = VarRef::parse(name).map_err(|why| Fault::new(code::ACTION_ARGS, span.clone(), why).hint(EXAMPLE))?;
    if let Some(why) = out_of_reach(var.scope, scope) {
        return Err(Fault::new(code::PHASE, span, format!("`{name}` would be lost: {why}"))
            .hint("use sess for what lasts as long as the connection, txn for request and response"));
    }
    Ok((var, parts.map(str::to_owned).collect()))
}

/// Why a variable of that scope cannot be set by such a rule.
fn out_of_reach(var: VarScope, scope: &Scope<'_>) -> Option<&'static str> {
    match (var, scope.kind?) {
        (VarScope::Txn | VarScope::Req | VarScope::Res, RuleKind::TcpConnection | RuleKind::TcpSession) => {
            Some("there is no transaction yet")
        }
        (VarScope::Req, _) if scope.phase == Phase::Response => Some("the request is over"),
        (VarScope::Res, _) if scope.phase < Phase::Response => Some("there is no response yet"),
        _ => None,
    }
}

impl Set {
    fn set(&self, ctx: &Ctx<'_>, value: &Sample<'_>) {
        if !self.conditions.iter().all(|condition| holds(condition.as_bytes(), &self.name, value, ctx)) {
            return;
        }
        let name = &self.name.text;
        if ctx.set_var(&self.name, value) {
            ctx.did(|| {
                let mut text = Vec::new();
                value.write_text(&mut text);
                format!("set {name} to {}", shown(&text))
            });
        } else {
            ctx.did(|| format!("left {name}: its scope is full"));
        }
    }
}

impl Act for Set {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let ctx = &*ctx;
        match &self.value {
            Value::Expr(expr) => {
                if expr.one(ctx, |sample| self.set(ctx, &sample)).is_none() && may_come(ctx) {
                    return Next::Wait(Wait::More);
                }
            }
            Value::Format(format) => ctx.buffers.with(|text| {
                format.write(ctx, text);
                self.set(ctx, &Sample::Str(text));
            }),
        }
        Next::Rule
    }
}

impl Act for Unset {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        ctx.unset_var(&self.0);
        Next::Rule
    }
}
