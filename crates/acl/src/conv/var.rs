//! Converters that leave something behind: variables and captures. The sample goes on as it came.

use crate::conv::conv_table;
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};
use crate::vars::{Stored, VarRef, VarScope};

/// The conditions of `set-var`.
pub(crate) const CONDITIONS: &[&str] =
    &["ifexists", "ifnotexists", "ifempty", "ifnotempty", "ifset", "ifnotset", "ifgt", "iflt"];
const VAR: Arg = Arg::one("var", ArgKind::Var);
const COND: Arg = Arg::maybe("cond", ArgKind::Word(CONDITIONS));
const ID: Arg = Arg::one("id", ArgKind::Int);
const PREFIX: Arg = Arg::maybe("prefix", ArgKind::Text);
const DESTINATION: Arg = Arg::maybe("destination", ArgKind::Text);

conv_table! {
    "capture-req" "capture-req(<id>)" [ID] Str -> Str capture_req, prepare request_slot,
        "Keeps the input in a capture slot of the request, as many bytes as it has room for.",
        "path,capture-req(0)";
    "capture-res" "capture-res(<id>)" [ID] Str -> Str capture_res, prepare response_slot,
        "Keeps the input in a capture slot of the response, as many bytes as it has room for.",
        "path,capture-res(0)";
    "debug" "debug([<prefix>[,<destination>]])" [PREFIX, DESTINATION] Any -> Any debug,
        "The input as it is. HAProxy also sends it to an event sink; here `explain` shows what conditions saw.",
        "path,debug(track)";
    "set-var" "set-var(<var>[,<cond>...])" [VAR, COND, COND, COND, COND] Any -> Any set_var,
        "Sets a variable to the input if all conditions hold, and is undefined otherwise. `ifexists`, `ifnotexists`, \
         `ifset`, `ifnotset` ask for the variable; `ifempty`, `ifnotempty` for text in the input; `ifgt`, `iflt` whether \
         the variable's number is greater or less than the input's.", "path,set-var(txn.path,ifnotset)";
    "unset-var" "unset-var(<var>)" [VAR] Any -> Any unset_var,
        "Forgets a variable.", "path,unset-var(txn.path)";
}

fn set_var<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let name = Value::var(args, 0)?;
    let all = (1..args.len()).all(|at| holds(Value::text(args, at), name, &sample, ctx));
    all.then(|| {
        ctx.set_var(name, &sample);
        sample
    })
}

/// Whether a condition of `set-var` holds: of the variable as it is, and of the new value.
pub(crate) fn holds(condition: &[u8], name: &VarRef, sample: &Sample<'_>, ctx: &Ctx<'_>) -> bool {
    let is_set = || ctx.var(name, |_| ()).is_some();
    let is_empty = || matches!(sample, Sample::Str(b"") | Sample::Bin(b""));
    // Where either is no number, nothing is compared and the condition holds, as in HAProxy.
    let compare = |with: fn(i64, i64) -> bool| match (sample, ctx.var(name, Stored::clone)) {
        (Sample::Int(new), Some(Stored::Int(old))) => with(old, *new),
        _ => true,
    };
    match condition {
        // Those of the process are there from the start.
        b"ifexists" => name.scope == VarScope::Proc || is_set(),
        b"ifnotexists" => name.scope != VarScope::Proc && !is_set(),
        b"ifset" => is_set(),
        b"ifnotset" => !is_set(),
        b"ifempty" => is_empty(),
        b"ifnotempty" => !is_empty(),
        b"ifgt" => compare(|old, new| old > new),
        b"iflt" => compare(|old, new| old < new),
        _ => true,
    }
}

fn unset_var<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    ctx.unset_var(Value::var(args, 0)?);
    Some(sample)
}

fn debug<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    Some(sample)
}

fn request_slot(args: &mut Vec<Value>, env: &Env<'_>) -> Result<(), String> {
    slot(args, env, false)
}

fn response_slot(args: &mut Vec<Value>, env: &Env<'_>) -> Result<(), String> {
    slot(args, env, true)
}

/// Adds the room of the slot to the arguments. A backend fills the slots of whichever frontend the request came by.
fn slot(args: &mut Vec<Value>, env: &Env<'_>, response: bool) -> Result<(), String> {
    let id = Value::int(args, 0).unwrap_or(-1);
    let captures = env.library.captures.borrow();
    let room = |slots: &(Vec<_>, Vec<_>)| {
        let slots: &Vec<crate::library::CaptureSlot> = if response { &slots.1 } else { &slots.0 };
        usize::try_from(id).ok().and_then(|id| slots.get(id)).map(|slot| slot.len)
    };
    let is_frontend = env.library.proxy(env.proxy).is_none_or(|proxy| proxy.frontend);
    let room = match captures.get(env.proxy) {
        Some(slots) if is_frontend => room(slots),
        _ => captures.values().filter_map(room).max(),
    };
    match room {
        Some(room) => args.push(Value::Int(room.try_into().unwrap_or(i64::MAX))),
        None => return Err(format!("there is no capture slot {id}: declare it first")),
    }
    Ok(())
}

/// What goes into the slot, and its number.
fn captured<'s>(text: &'s [u8], args: &[Value]) -> Option<(usize, &'s [u8])> {
    let room = usize::try_from(Value::int(args, 1)?).ok()?;
    Some((usize::try_from(Value::int(args, 0)?).ok()?, &text[..room.min(text.len())]))
}

fn capture_req<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (at, value) = captured(super::text(sample)?, args)?;
    ctx.memo.captured_request.borrow_mut().set(at, value);
    Some(sample)
}

fn capture_res<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (at, value) = captured(super::text(sample)?, args)?;
    ctx.memo.captured_response.borrow_mut().set(at, value);
    Some(sample)
}

#[cfg(test)]
mod tests {
    use crate::conv::testing::{check_with, convert_in, refused};
    use crate::sample::Sample;
    use crate::testing::{REQUEST, with_ctx};
    use crate::vars::VarRef;

    #[test]
    fn conditions_are_those_of_haproxy() {
        let str = |text: &'static str| Sample::Str(text.as_bytes());
        check_with(
            |ctx| {
                for (name, value) in [("txn.n", Sample::Int(4)), ("txn.m", Sample::Int(9))] {
                    assert!(VarRef::parse(name).is_ok_and(|name| ctx.set_var(&name, &value)));
                }
            },
            &[
                (str("hello"), "set-var(txn.a),length,concat(-,txn.a)", Some("5-hello")),
                (str(""), "set-var(txn.e,ifnotempty)", None),
                (str(""), "set-var(txn.e,ifempty)", Some("")),
                (str("v"), "set-var(txn.f,ifnotexists),concat(-,txn.f)", Some("v-v")),
                (str("w"), "set-var(txn.f,ifnotexists)", None),
                (str("w"), "set-var(txn.f,ifexists),concat(-,txn.f)", Some("w-w")),
                (str("v"), "set-var(txn.g,ifexists)", None),
                (str("v"), "set-var(txn.h),unset-var(txn.h),concat(-,txn.h)", Some("v-")),
                (str("v"), "set-var(txn.h,ifset)", None),
                (str("v"), "set-var(txn.h,ifnotset),concat(-,txn.h)", Some("v-v")),
                (Sample::Int(5), "set-var(txn.n,ifgt)", None),
                (Sample::Int(5), "set-var(txn.n,iflt),concat(-,txn.n)", Some("5-5")),
                (Sample::Int(5), "set-var(txn.m,iflt)", None),
                (Sample::Int(5), "set-var(txn.m,ifgt,ifexists),concat(-,txn.m)", Some("5-5")),
                (str("x"), "set-var(txn.m,ifgt),concat(-,txn.m)", Some("x-x")),
                (str("x"), "set-var(proc.p,ifexists),concat(-,proc.p)", Some("x-x")),
                (str("x"), "set-var(proc.q,ifset)", None),
                (str("x"), "debug(a),debug", Some("x")),
            ],
        );
        refused(str("x"), "set-var(txn.x,bogus)");
        refused(str("x"), "set-var(nothing)");
    }

    #[test]
    fn captures_fill_their_slots() {
        with_ctx(REQUEST, |ctx| {
            let long = [b'x'; 100];
            assert_eq!(convert_in(ctx, Sample::Str(b"hello"), "capture-req(1)").as_deref(), Some("hello"));
            assert_eq!(convert_in(ctx, Sample::Str(&long), "capture-res(0)").map(|text| text.len()), Some(100));
            assert_eq!(ctx.memo.captured_request.borrow().get(1), Some(&b"hello"[..]));
            assert_eq!(ctx.memo.captured_request.borrow().get(0), None);
            assert_eq!(ctx.memo.captured_response.borrow().get(0), Some(&long[..64]));
        });
        refused(Sample::Str(b""), "capture-req(5)");
        refused(Sample::Str(b""), "capture-req(-1)");
    }
}
