//! Amounts in rules: times, sizes and numbers, written down or worked out by an expression.
//!
//! Called by the parsers of actions. As in haproxy.cfg a bare time is in milliseconds and a bare size in bytes.

use super::{argument, expression_of};
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::sample::Type;
use crate::word::{Word, Words};

/// An amount that is known, or that a request decides.
#[derive(Debug)]
pub(super) enum Amount {
    Fixed(i64),
    Expr(Expr),
}

impl Amount {
    /// The amount; `None` when undefined.
    pub(super) fn get(&self, ctx: &Ctx<'_>) -> Option<i64> {
        match self {
            Amount::Fixed(value) => Some(*value),
            Amount::Expr(expr) => number_of(expr, ctx),
        }
    }

    /// The next argument, by `literal` when it begins as a number does.
    pub(super) fn parse(
        words: &mut Words<'_>,
        scope: &Scope<'_>,
        action: &str,
        syntax: &str,
        literal: fn(&Word) -> Result<i64, Fault>,
    ) -> Result<Amount, Fault> {
        let word = argument(words, action, "the value", syntax)?;
        match word.bytes.as_slice() {
            [b'0'..=b'9', ..] | [b'-' | b'+', b'0'..=b'9', ..] => Ok(Amount::Fixed(literal(word)?)),
            _ => Ok(Amount::Expr(number(word, scope)?)),
        }
    }
}

/// The number a sample stands for.
pub(super) fn number_of(expr: &Expr, ctx: &Ctx<'_>) -> Option<i64> {
    expr.one(ctx, |sample| sample.as_int())?
}

/// An expression that gives a number.
pub(super) fn number(word: &Word, scope: &Scope<'_>) -> Result<Expr, Fault> {
    let expr = expression_of(word, scope)?;
    if !expr.output().casts_to(Type::Int) {
        let message = format!("a number is wanted here, and `{}` gives {}", expr.name(), expr.output());
        return Err(Fault::new(code::ACTION_ARGS, word.range.clone(), message));
    }
    Ok(expr)
}

/// A number.
pub(super) fn integer(word: &Word) -> Result<i64, Fault> {
    let text = word.text();
    text.parse().map_err(|_| {
        Fault::new(code::ACTION_ARGS, word.range.clone(), format!("`{text}` is no number"))
            .hint("write digits, or an expression such as req.hdr(x-limit)")
    })
}

/// Milliseconds; less than one counts as one.
pub(super) fn time(word: &Word) -> Result<i64, Fault> {
    let us = scaled(
        word,
        &[
            ("us", 1),
            ("ms", 1000),
            ("s", 1_000_000),
            ("m", 60_000_000),
            ("h", 3_600_000_000),
            ("d", 86_400_000_000),
            ("", 1000),
        ],
    );
    us.map(|us| us.div_ceil(1000) as i64).ok_or_else(|| {
        Fault::new(code::ACTION_ARGS, word.range.clone(), format!("`{}` is no time", word.text()))
            .hint("write a number with us, ms, s, m, h or d: 500ms")
    })
}

/// Bytes.
pub(super) fn size(word: &Word) -> Result<i64, Fault> {
    let bytes = scaled(
        word,
        &[("k", 1 << 10), ("K", 1 << 10), ("m", 1 << 20), ("M", 1 << 20), ("g", 1 << 30), ("G", 1 << 30), ("", 1)],
    );
    bytes.map(|bytes| bytes as i64).ok_or_else(|| {
        Fault::new(code::ACTION_ARGS, word.range.clone(), format!("`{}` is no size", word.text()))
            .hint("write a number of bytes, or one with k, m or g: 64k")
    })
}

/// Digits and a unit; `None` when it is none of them, or more than fits.
fn scaled(word: &Word, units: &[(&str, u64)]) -> Option<u64> {
    let text = word.text();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (_, scale) = units.iter().find(|(unit, _)| *unit == &text[end..])?;
    text[..end].parse::<u64>().ok()?.checked_mul(*scale).filter(|value| *value <= i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::word;

    #[test]
    fn units_scale() {
        let parse = |text: &str, f: fn(&Word) -> Result<i64, Fault>| f(&word::split(text).unwrap()[0]).ok();
        for (text, expected) in [
            ("5", Some(5)),
            ("5ms", Some(5)),
            ("1us", Some(1)),
            ("2001us", Some(3)),
            ("2s", Some(2000)),
            ("1m", Some(60_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("s", None),
            ("1w", None),
            ("1.5s", None),
            ("99999999999999999999", None),
            ("9999999999999999d", None),
            ("-1", None),
        ] {
            assert_eq!(parse(&format!("'{text}'"), time), expected, "{text}");
        }
        for (text, expected) in [
            ("5", Some(5)),
            ("2k", Some(2048)),
            ("1M", Some(1 << 20)),
            ("1g", Some(1 << 30)),
            ("1kb", None),
            ("k", None),
        ] {
            assert_eq!(parse(text, size), expected, "{text}");
        }
    }
}
