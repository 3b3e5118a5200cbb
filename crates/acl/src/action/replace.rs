//! What `replace-header`, `replace-value`, `replace-path`, `replace-pathq` and `replace-uri` share: a regular expression, and a
//! format with back-references.
//!
//! As in HAProxy the expression matches anywhere in the value unless anchored, and the whole value is replaced.

use evenkeel_proto::MAX_EDITS;
use regex::bytes::{CaptureLocations, Regex};

use super::argument;
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::Fault;
use crate::format::Format;
use crate::matching;
use crate::word::Words;

/// A regular expression and what replaces a value that it matches.
#[derive(Debug)]
pub(super) struct Replace {
    regex: Regex,
    with: Format,
}

impl Replace {
    /// Reads `<regex> <fmt>`.
    pub(super) fn parse(
        words: &mut Words<'_>,
        scope: &Scope<'_>,
        action: &str,
        syntax: &str,
    ) -> Result<Replace, Fault> {
        let regex = matching::regex(argument(words, action, "the regular expression", syntax)?, false)?;
        let with = Format::parse(argument(words, action, "the replacement", syntax)?, scope)?;
        Ok(Replace { regex, with })
    }

    /// Appends the replacement with its items filled in, back-references still to come.
    pub(super) fn template(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
        self.with.write(ctx, out);
    }

    /// Appends what `value` becomes; `None` when it does not match and stays, `Some(false)` when the result is too long.
    pub(super) fn apply(&self, value: &[u8], template: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        if !self.regex.is_match(value) {
            return None;
        }
        let mut groups = self.regex.capture_locations();
        self.regex.captures_read(&mut groups, value)?;
        Some(expand(template, value, &groups, out))
    }
}

/// `\0` to `\9` stand for what the groups matched, `\xHH` for a byte, `\` before anything else for that. `false` when it
/// gets longer than any message takes.
fn expand(template: &[u8], value: &[u8], groups: &CaptureLocations, out: &mut Vec<u8>) -> bool {
    let begin = out.len();
    let mut rest = template;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let taken = match rest {
            [digit @ b'0'..=b'9', ..] => {
                if let Some((start, end)) = groups.get(usize::from(digit - b'0')) {
                    out.extend_from_slice(&value[start..end]);
                }
                1
            }
            [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
                out.push(digit(*high) << 4 | digit(*low));
                3
            }
            [byte, ..] => {
                out.push(*byte);
                1
            }
            [] => 0,
        };
        rest = &rest[taken..];
        if out.len() - begin > MAX_EDITS {
            return false;
        }
    }
    out.extend_from_slice(rest);
    out.len() - begin <= MAX_EDITS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Rng;

    fn replaced(regex: &str, value: &str, template: &str) -> Option<String> {
        let regex = Regex::new(regex).unwrap();
        let mut groups = regex.capture_locations();
        regex.captures_read(&mut groups, value.as_bytes())?;
        let mut out = Vec::new();
        expand(template.as_bytes(), value.as_bytes(), &groups, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn back_references_are_haproxys() {
        for (regex, value, template, expected) in [
            ("a(b)(c)?", "qabc", r"<\1|\2|\0|\3>", "<b|c|abc|>"),
            ("a(b)(c)?", "ab", r"<\1|\2|\0|\3>", "<b||ab|>"),
            ("^a(.*)$", "a1", r"z\1\x41\\q", r"z1A\q"),
            ("curl", "curl/7.47.0", "foo", "foo"),
            ("(.*)", "/bar", r"/foo\1", "/foo/bar"),
            ("(.)", "a", r"\10\", "a0"),
            ("(.)", "a", r"\xg1\x4", "xg1x4"),
        ] {
            assert_eq!(replaced(regex, value, template).as_deref(), Some(expected), "{regex} {value} {template}");
        }
        assert_eq!(replaced("a", "b", "c"), None);
        let long = "x".repeat(4096);
        assert_eq!(replaced("(.*)", &long, &r"\1".repeat(9)), None, "bounded");
    }

    #[test]
    fn any_template_is_bounded_and_safe() {
        let regex = Regex::new("(a)?(b*)").unwrap();
        for seed in 1..2000 {
            let mut rng = Rng::new(seed);
            let template: String =
                (0..rng.below(12)).map(|_| rng.pick(&["\\", "x", "4", "\\1", "\\9", "a", "é", "\\x41"])).collect();
            let value: String = (0..rng.below(6)).map(|_| rng.pick(&["a", "b", "\\", "1"])).collect();
            let mut groups = regex.capture_locations();
            regex.captures_read(&mut groups, value.as_bytes()).unwrap();
            let mut out = Vec::new();
            assert!(expand(template.as_bytes(), value.as_bytes(), &groups, &mut out), "seed {seed}");
            assert!(out.len() <= template.len() + value.len() * template.len(), "seed {seed}");
        }
    }
}
