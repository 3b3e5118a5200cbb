//! `${NAME}` and `${NAME:-default}` in string values.
//!
//! The default also stands in for an empty value, as in a shell. `$${` writes a literal `${`. Keys never expand.

use std::ops::Range;

/// Why an expansion failed; ranges are bytes of the text as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EnvError {
    /// The name is not set and there is no default.
    Unset(Range<usize>, String),
    /// `${` without a name or without `}`.
    Malformed(Range<usize>),
}

/// Expands every `${..}`, or tells all that is wrong with them. `None`: there was none.
pub(crate) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<Result<String, Vec<EnvError>>> {
    memchr::memmem::find(text.as_bytes(), b"${")?;
    let mut out = String::with_capacity(text.len());
    let mut errors = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if text[at..start].ends_with('$') {
            out.push_str(&text[at..start]);
            out.push('{');
            at = start + 2;
            continue;
        }
        out.push_str(&text[at..start]);
        let Some(length) = text[start..].find('}') else {
            errors.push(EnvError::Malformed(start..text.len()));
            at = text.len();
            break;
        };
        let end = start + length + 1;
        let inner = &text[start + 2..end - 1];
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            errors.push(EnvError::Malformed(start..end));
        } else {
            match (env(name).filter(|value| default.is_none() || !value.is_empty()), default) {
                (Some(value), _) => out.push_str(&value),
                (None, Some(default)) => out.push_str(default),
                (None, None) => errors.push(EnvError::Unset(start..end, name.to_owned())),
            }
        }
        at = end;
    }
    out.push_str(&text[at..]);
    Some(if errors.is_empty() { Ok(out) } else { Err(errors) })
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("app1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn expansion() {
        for (text, want) in [
            ("${HOST}:80", "app1:80"),
            ("a${HOST}b${HOST}", "aapp1bapp1"),
            ("${PORT:-8080}", "8080"),
            ("${EMPTY:-x}", "x"),
            ("[${EMPTY}]", "[]"),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("${PORT:-}", ""),
            ("^/a$ ${HOST}", "^/a$ app1"),
        ] {
            assert_eq!(expand(text, &env).unwrap().unwrap(), want, "{text}");
        }
        assert_eq!(expand("a $1 { } $", &env), None);
    }

    #[test]
    fn mistakes_have_their_place() {
        assert_eq!(
            expand("a${NO}b${1x}c${", &env).unwrap().unwrap_err(),
            [EnvError::Unset(1..6, "NO".to_owned()), EnvError::Malformed(7..12), EnvError::Malformed(13..15)]
        );
    }
}
