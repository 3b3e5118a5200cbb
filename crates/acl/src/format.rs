//! Formats: text with `%[fetch]` items and `%xx` aliases, as in header values and redirects.
//!
//! Called by actions. An undefined sample writes nothing. Text in the file is checked here for what may never stand in a
//! field value; text from samples is checked where it is used.

use std::ops::Range;

use crate::cond::{Scope, not_in_phase};
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::word::{self, Word};

/// One entry of the table of `%xx` aliases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// What follows the percent sign.
    pub name: &'static str,
    /// The fetch it stands for.
    pub fetch: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

macro_rules! aliases {
    ($($name:literal $fetch:literal, $doc:literal;)*) => {
        /// Every alias.
        pub static ALIASES: &[Alias] = &[$(Alias { name: $name, fetch: $fetch, doc: $doc }),*];
    };
}

aliases! {
    "HM" "method", "The request method.";
    "HP" "path", "The path of the request.";
    "HPO" "path", "The path of the request.";
    "HU" "url", "The request target.";
    "ci" "src", "The client address.";
    "cp" "src_port", "The client port.";
    "f" "fe_name", "The name of the frontend.";
    "fi" "dst", "The address the client connected to.";
    "fp" "dst_port", "The port the client connected to.";
}

/// Compiled text with items.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(Vec<u8>),
    Sample(Expr),
}

impl Format {
    /// Compiles `word`.
    pub(crate) fn parse(word: &Word, scope: &Scope<'_>) -> Result<Format, Fault> {
        let bytes = &word.bytes;
        let mut pieces = Vec::new();
        let mut text = Vec::new();
        let mut pos = 0;
        while pos < bytes.len() {
            if bytes[pos] != b'%' {
                if matches!(bytes[pos], b'\r' | b'\n' | 0) {
                    return Err(Fault::new(
                        code::HEADER,
                        word.span(pos..pos + 1),
                        "a field value holds no line break and no NUL",
                    ));
                }
                text.push(bytes[pos]);
                pos += 1;
                continue;
            }
            if bytes.get(pos + 1) == Some(&b'%') {
                text.push(b'%');
                pos += 2;
                continue;
            }
            let (expr, part) = item(word, pos, scope)?;
            if !expr.exists_in(scope.phase) {
                return Err(not_in_phase(expr.name(), scope.phase, word.span(part)));
            }
            pos = part.end;
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Sample(expr));
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(Format { pieces })
    }

    /// The text, when there is no item in it.
    pub(crate) fn literal(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text with its items filled in.
    pub(crate) fn write(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Sample(expr) => {
                    expr.write(ctx, out);
                }
            }
        }
    }
}

/// Reads the item whose percent sign stands at `start`, and where in the word it stands.
fn item(word: &Word, start: usize, scope: &Scope<'_>) -> Result<(Expr, Range<usize>), Fault> {
    let bytes = &word.bytes;
    let literal = "write %% for a percent sign";
    match bytes.get(start + 1) {
        None => {
            Err(Fault::new(code::FORMAT, word.span(start..start + 1), "the item after `%` is missing").hint(literal))
        }
        Some(b'{') => {
            Err(Fault::new(code::LATER, word.span(start..start + 2), "flags of % items are not in this version"))
        }
        Some(b'[') => match closing_bracket(&bytes[start + 2..]) {
            None => Err(Fault::new(code::FORMAT, word.span(start..bytes.len()), "the item is never closed")
                .hint("end it with `]`; an item with blanks is quoted as a whole")),
            Some(length) => {
                let inside = start + 2..start + 2 + length;
                Ok((Expr::parse_one(word, inside, &scope.env)?, start..start + 3 + length))
            }
        },
        Some(_) => {
            let length = bytes[start + 1..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let part = start..start + 1 + length;
            let name = String::from_utf8_lossy(&bytes[start + 1..part.end]);
            let Some(alias) = ALIASES.iter().find(|alias| alias.name == name) else {
                let message = format!("there is no item `%{name}`");
                return Err(Fault::new(code::FORMAT, word.span(part.start..part.end.max(start + 1)), message)
                    .hint(format!("{literal}, or %[...] for a fetch")));
            };
            let words = word::split(alias.fetch)?;
            let expr = Expr::parse_one(&words[0], 0..alias.fetch.len(), &scope.env)?;
            Ok((expr, part))
        }
    }
}

/// Where the item ends: at a bracket outside parentheses.
fn closing_bracket(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b']' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ctx::Phase;
    use crate::testing::{REQUEST, scope, with_ctx};

    fn parse(text: &str, phase: Phase) -> Result<Format, Fault> {
        let words = word::split(text).unwrap();
        Format::parse(&words[0], &scope(text, phase))
    }

    #[test]
    fn items_are_filled_in() {
        for (text, expected) in [
            ("plain", "plain"),
            ("''", ""),
            ("100%%", "100%"),
            ("%ci:%cp", "203.0.113.9:51234"),
            ("%[src]", "203.0.113.9"),
            ("'for=%[src];host=\"%[req.hdr(host)]\"'", "for=203.0.113.9;host=\"www.example.com\""),
            ("<%[hdr(none)]>", "<>"),
            ("%[hdr(x-forwarded-for)]", "192.168.0.9"),
            ("%[hdr(x-forwarded-for,1)]", "10.1.2.3"),
            ("%HM-%HP-%[query]-%fi-%fp-%f", "POST-/api/users-id=7-192.0.2.10-443-web"),
        ] {
            let format = parse(text, Phase::Request).unwrap();
            let mut out = Vec::new();
            with_ctx(REQUEST, |ctx| format.write(ctx, &mut out));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn every_alias_compiles() {
        assert!(ALIASES.windows(2).all(|pair| pair[0].name < pair[1].name));
        for alias in ALIASES {
            assert!(parse(&format!("%{}", alias.name), Phase::Request).is_ok(), "{}", alias.name);
        }
    }

    #[test]
    fn bad_items_point_at_themselves() {
        for (text, code, at) in [
            ("50%", code::FORMAT, "%"),
            ("a%zz.", code::FORMAT, "%zz"),
            ("a%.b", code::FORMAT, "%"),
            ("a%[src", code::FORMAT, "%[src"),
            ("a%[scr]b", code::FETCH, "scr"),
            ("a%[path_beg]b", code::FORMAT, "path_beg"),
            ("%{+Q}[src]", code::LATER, "%{"),
            (r"a\r\nb", code::HEADER, r"\r"),
        ] {
            let fault = parse(text, Phase::Request).unwrap_err();
            assert_eq!((fault.code, &text[fault.range.clone()]), (code, at), "{text}");
        }
        let fault = parse("a%[path]b", Phase::Accept).unwrap_err();
        assert_eq!((fault.code, fault.range), (code::PHASE, 1..8));
    }
}
