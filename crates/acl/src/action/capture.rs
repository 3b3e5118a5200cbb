//! `capture`: keeps a sample in a slot of the frontend, for the log.
//!
//! `len` declares the next request slot of the frontend when the configuration is loaded; `id` names one that is declared.
//! Rules of a backend know the slots of the frontends whose rules were compiled before theirs.

use std::sync::Arc;

use super::units;
use super::{Act, CAPTURE, Next, Wait, action_table, argument, expression_of, may_come, shown};
use crate::cond::Scope;
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::library::CaptureSlot;
use crate::trace::Place;
use crate::word::{Word, Words};

action_table! {
    "capture" "capture <expr> len <length>|id <slot>" CAPTURE false parse,
        "Keeps the sample as text, cut at the length of the slot, for the log and for capture.req.hdr or capture.res.hdr. `len` \
         declares the next request slot and stands in request rules of frontends; `id` fills a slot that is declared, of the \
         request or the response as the rule is, and does nothing where the frontend has none.",
        "capture req.hdr(user-agent) len 64";
}

/// Slots a frontend may have.
const MAX_SLOTS: usize = 256;
/// Bytes a slot may keep.
const MAX_LEN: usize = 16 << 10;
const SYNTAX: &str = "capture <expr> len <length>|id <slot>";

#[derive(Debug)]
struct Capture {
    expr: Expr,
    slot: usize,
    response: bool,
    /// The length of the slot by frontend.
    lengths: Vec<(Arc<str>, usize)>,
}

fn parse(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let expr = expression_of(argument(words, "capture", "the expression", SYNTAX)?, scope)?;
    let how = argument(words, "capture", "`len` or `id`", SYNTAX)?;
    let word = argument(words, "capture", "the number", SYNTAX)?;
    let number = usize::try_from(units::integer(word)?).ok();
    let bad = |word: &Word, message: String| Fault::new(code::CAPTURE, word.range.clone(), message);
    let response = scope.phase == Phase::Response;
    let library = scope.env.library;
    let mut captures = library.captures.borrow_mut();
    match &*how.text() {
        "len" => {
            let frontend = library.proxy(scope.env.proxy).filter(|proxy| proxy.frontend);
            let Some(frontend) = frontend.filter(|_| !response) else {
                let message = "`len` declares a request slot of the frontend the rule stands in";
                return Err(bad(how, message.into()).hint("declare the slot there, and fill it with `id`"));
            };
            let Some(len) = number.filter(|len| (1..=MAX_LEN).contains(len)) else {
                return Err(bad(word, format!("`{}` is no length", word.text()))
                    .hint(format!("write a number from 1 to {MAX_LEN}")));
            };
            let slots = &mut captures.entry(frontend.name.clone()).or_default().0;
            if slots.len() >= MAX_SLOTS {
                return Err(bad(how, format!("`{}` has {MAX_SLOTS} slots already", frontend.name)));
            }
            slots.push(CaptureSlot { len });
            let lengths = vec![(frontend.name.clone(), len)];
            Ok(Box::new(Capture { expr, slot: slots.len() - 1, response, lengths }))
        }
        "id" => {
            // What is also a backend may fill the slots of any frontend that sends requests to it.
            let own = library.proxy(scope.env.proxy).filter(|proxy| proxy.frontend && !proxy.backend);
            let known = captures.iter().filter(|(name, _)| own.is_none_or(|own| own.name == **name));
            let slots =
                known.map(|(name, (request, of_response))| (name, if response { of_response } else { request }));
            let mut most = 0;
            let mut lengths = Vec::new();
            for (name, slots) in slots {
                most = most.max(slots.len());
                if let Some(slot) = number.and_then(|number| slots.get(number)) {
                    lengths.push((name.clone(), slot.len));
                }
            }
            let Some(slot) = number.filter(|_| !lengths.is_empty()) else {
                let side = if response { "response" } else { "request" };
                let message = format!("there is no {side} slot {}", word.text());
                return Err(bad(word, message).hint(match most {
                    0 => format!("declare one: `declare-capture`, or a capture of a {side} header"),
                    most => format!("the slots are numbered from 0 to {}", most - 1),
                }));
            };
            Ok(Box::new(Capture { expr, slot, response, lengths }))
        }
        other => Err(bad(how, format!("`capture` has no argument `{other}`")).hint(format!("write {SYNTAX}"))),
    }
}

impl Act for Capture {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let ctx = &*ctx;
        let Some((_, len)) = self.lengths.iter().find(|(name, _)| **name == *ctx.progress.frontend) else {
            return Next::Rule;
        };
        ctx.buffers.with(|text| {
            if self.expr.write(ctx, text) {
                text.truncate(*len);
                let slots = if self.response { &ctx.memo.captured_response } else { &ctx.memo.captured_request };
                slots.borrow_mut().set(self.slot, text);
                ctx.did(|| format!("slot {} is {}", self.slot, shown(text)));
            } else if may_come(ctx) {
                return Next::Wait(Wait::More);
            }
            Next::Rule
        })
    }
}
