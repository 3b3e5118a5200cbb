//! The printer of rule lines: one canonical text for lines that mean the same.
//!
//! Called by whoever shows or compares rules. Words are quoted only where they have to be, one blank stands between them,
//! and `||` is written `or`. Invariant: what is printed is cut into the same words again, so that it compiles to the same
//! rule.

use crate::error::RuleError;
use crate::word::{self, Word, starts_condition};

/// The canonical text of a rule line, of an acl or of a condition.
pub fn canonical(text: &str) -> Result<String, RuleError> {
    let words = word::split(text).map_err(|fault| fault.at(0))?;
    let mut line = String::with_capacity(text.len());
    let (mut condition, mut depth) = (false, 0usize);
    for word in &words {
        if !line.is_empty() {
            line.push(' ');
        }
        condition |= starts_condition(word);
        if word.is("{") {
            depth += 1;
        } else if word.is("}") {
            depth = depth.saturating_sub(1);
        }
        // Between braces `||` is a value.
        if condition && depth == 0 && word.is("||") {
            line.push_str("or");
        } else {
            print(word, &mut line);
        }
    }
    Ok(line)
}

/// Appends `word` so that it is read again as it is: a quoted word stays one, since it is no keyword and no flag.
fn print(word: &Word, line: &mut String) {
    if !word.is_quoted() {
        return escaped(&word.bytes, false, line);
    }
    match std::str::from_utf8(&word.bytes) {
        Ok(text) if !text.bytes().any(|byte| byte == b'\'' || byte.is_ascii_control()) => {
            line.push('\'');
            line.push_str(text);
            line.push('\'');
        }
        _ => {
            line.push('"');
            escaped(&word.bytes, true, line);
            line.push('"');
        }
    }
}

/// Outside quotes, or between double ones.
fn escaped(bytes: &[u8], quoted: bool, line: &mut String) {
    let mut rest = bytes;
    for chunk in bytes.utf8_chunks() {
        for (at, c) in chunk.valid().char_indices() {
            let next = rest.get(at + 1).copied();
            match c {
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                '\t' => line.push_str("\\t"),
                c if c.is_ascii_control() => hex(c as u8, line),
                ' ' | '\'' if !quoted => line.extend(['\\', c]),
                '"' => line.push_str("\\\""),
                '\\' if is_escape(next, quoted) => line.push_str("\\\\"),
                c => line.push(c),
            }
        }
        chunk.invalid().iter().for_each(|&byte| hex(byte, line));
        rest = &rest[chunk.valid().len() + chunk.invalid().len()..];
    }
}

/// Whether a backslash before `next` would be read as an escape. What is printed for a byte that is no text begins with a
/// backslash itself.
fn is_escape(next: Option<u8>, quoted: bool) -> bool {
    match next {
        None => true,
        Some(b'n' | b'r' | b't' | b'x' | b' ' | b'\\' | b'#' | b'\'' | b'"') => true,
        Some(b'$') => quoted,
        Some(byte) => byte.is_ascii_control() || byte >= 0x80,
    }
}

fn hex(byte: u8, line: &mut String) {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    line.extend(['\\', 'x', digit(byte >> 4), digit(byte & 15)]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::acl::{AclDef, Acls};
    use crate::action::{RuleKind, actions};
    use crate::fetch::fetches;
    use crate::rules::{RuleLine, RuleSet};
    use crate::testing::{Rng, env};
    use crate::trace::Trace;

    #[test]
    fn lines_in_canonical_form() {
        for (text, expected) in [
            ("  deny \t if  x ", "deny if x"),
            (r#"deny if { path "a b" } || ! "if""#, "deny if { path 'a b' } or ! 'if'"),
            (r#"redirect location "/a'b\n" "#, r#"redirect location "/a'b\n""#),
            (r"set-header X a\ b\x41\x00", r"set-header X a\ bA\x00"),
            (r"deny if { path_reg ^/v\d+\.css$ }", r"deny if { path_reg ^/v\d+\.css$ }"),
            (r"deny if { path_reg '^/v\d+ x$' }", r"deny if { path_reg '^/v\d+ x$' }"),
            (r#"x a\\n "\\$" \\\\"#, r#"x a\\n '\$' \\\\"#),
            ("deny if { path_sub || }", "deny if { path_sub || }"),
            ("return string ||", "return string ||"),
            ("''", "''"),
            ("a#b #c", "a#b #c"),
            (r"é\xe9\\é", r"é\xe9\\é"),
            ("", ""),
        ] {
            assert_eq!(canonical(text).unwrap(), expected, "{text}");
        }
        assert_eq!(canonical("a 'b").unwrap_err().range, 2..4);
    }

    fn words(text: &str) -> Vec<(Vec<u8>, bool)> {
        let bare_or = |word: &Word| if word.is("||") { b"or".to_vec() } else { word.bytes.clone() };
        word::split(text).unwrap().iter().map(|word| (bare_or(word), word.is_quoted())).collect()
    }

    /// Random words, with every byte and both kinds of quotes, are the same words after they were printed.
    #[test]
    fn words_sweep() {
        const PIECES: &[&str] = &[
            "a", "é", " ", "\t", "'", "\"", "\\", "\\\\", "\\n", "\\x00", "\\xe9", "\\x7f", "\\'", "\\\"", "\\ ",
            "\\$", "$", "#", "\\#", "%", "{", "}", "||", "!", "if", "\\d", "\\x41", "\n",
        ];
        let seed = 0x5eed_0021;
        let mut rng = Rng::new(seed);
        let mut printed = 0;
        for round in 0..20_000 {
            let text: String = (0..rng.below(10)).map(|_| rng.pick(PIECES)).collect();
            let Ok(line) = canonical(&text) else { continue };
            printed += 1;
            assert_eq!(words(&line), words(&text), "seed {seed:#x} round {round}: {text:?} printed {line:?}");
            assert_eq!(canonical(&line).unwrap(), line, "seed {seed:#x} round {round}: {text:?}");
        }
        assert!(printed > 5_000, "{printed} lines printed");
    }

    /// A rule line out of the examples of the tables, with blanks, quotes and operators as they come.
    fn rule(rng: &mut Rng, kind: RuleKind) -> String {
        let actions: Vec<_> = actions().iter().filter(|action| action.kinds.contains(&kind)).collect();
        let example = actions[rng.below(actions.len() as u64) as usize].example;
        let head: Vec<Word> = word::split(example).unwrap().into_iter().take_while(|w| !starts_condition(w)).collect();
        let mut text = String::new();
        for word in &head {
            text += rng.pick(&["", " ", "\t"]);
            let mut plain = String::new();
            print(word, &mut plain);
            text += &plain;
            text += " ";
        }
        if rng.below(4) > 0 {
            text += rng.pick(&["if ", "unless  "]);
            for at in 0..1 + rng.below(4) {
                if at > 0 {
                    text += rng.pick(&["or ", "|| ", ""]);
                }
                let usable: Vec<_> = fetches().iter().filter(|fetch| fetch.phases.contains(&kind.phase())).collect();
                let acl = usable[rng.below(usable.len() as u64) as usize].example;
                text += rng.pick(&["", "!", "! "]);
                text += &match rng.below(3) {
                    0 => "named ".to_owned(),
                    1 => format!("{{ {acl} }} "),
                    _ => format!("{{   {acl}\t}} "),
                };
            }
        }
        text
    }

    /// Rules of every kind compile from their printed text to what they were: the same print, and the same trace.
    #[test]
    fn rules_sweep() {
        let seed = 0x5eed_0022;
        let mut rng = Rng::new(seed);
        let (acls, errors) = Acls::compile(&[AclDef { name: "named", text: "src 203.0.113.0/24" }], &env());
        assert_eq!(errors, []);
        let file: Arc<str> = "f".into();
        let compile = |kind, text: &str| {
            let line = RuleLine { text, file: &file, line: 1 };
            RuleSet::compile(kind, &[line], &acls, &env())
        };
        let kinds: Vec<RuleKind> = RuleKind::ALL
            .into_iter()
            .filter(|kind| actions().iter().any(|action| action.kinds.contains(kind)))
            .collect();
        let mut compiled = 0;
        for round in 0..3_000 {
            let kind = kinds[rng.below(kinds.len() as u64) as usize];
            let text = rule(&mut rng, kind);
            let line = canonical(&text).unwrap();
            let (one, other) = (compile(kind, &text), compile(kind, &line));
            let shown = format!("seed {seed:#x} round {round} {}: {text:?} printed {line:?}", kind.keyword());
            match (one, other) {
                (Ok(one), Ok(other)) => {
                    compiled += 1;
                    let eval = |rules: &RuleSet| {
                        crate::testing::with_ctx(crate::testing::REQUEST, |ctx| {
                            ctx.phase = kind.phase();
                            let mut trace = Trace::default();
                            let verdict = format!("{:?}", rules.eval_traced(ctx, &mut 0, Some(&mut trace)));
                            for step in &mut trace.steps {
                                step.text = "".into();
                                // As written, blanks between the braces included.
                                step.tests.iter_mut().for_each(|test| test.acl = canonical(&test.acl).unwrap());
                            }
                            (verdict, trace)
                        })
                    };
                    assert_eq!(eval(&one), eval(&other), "{shown}");
                }
                (Err(one), Err(other)) => {
                    let codes = |errors: &[RuleError]| errors.iter().map(|error| error.code).collect::<Vec<_>>();
                    assert_eq!(codes(&one), codes(&other), "{shown}");
                }
                (one, other) => panic!("{shown}: {one:?} {other:?}"),
            }
        }
        assert!(compiled > 1_000, "{compiled} rules compiled");
    }
}
