//! The converter `regsub`: substitution by a regular expression.
//!
//! A literal substitution allocates nothing; one with groups takes room for their places at each evaluation.

use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use crate::conv::{OUTPUT, bounded, conv_table, text};
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const REGEX: Arg = Arg::one("regex", ArgKind::Regex);
const SUBST: Arg = Arg::one("subst", ArgKind::Text);
const FLAGS: Arg = Arg::maybe("flags", ArgKind::Str);

conv_table! {
    "regsub" "regsub(<regex>,<subst>[,<flags>])" [REGEX, SUBST, FLAGS] Str -> Str regsub, prepare compile,
        "The first match of the expression replaced, or every match with the flag `g`; the flag `i` ignores case. In the \
         substitution `\\0` is the match, `\\1` to `\\9` are its groups, `\\xHH` is a byte, and a backslash before anything \
         else gives that. The flag `g` looks at each place once, so an empty match may follow another match.",
        "path,regsub('/+',/,g)";
}

struct Substitution {
    regex: Regex,
    parts: Vec<Part>,
    every: bool,
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
}

fn compile(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    let flags = Value::text(args, 2);
    if let Some(flag) = flags.iter().find(|flag| !b"gi".contains(flag)) {
        return Err(format!("`{}` is no flag: they are `g` and `i`", flag.escape_ascii()));
    }
    let (fold, every) = (flags.contains(&b'i'), flags.contains(&b'g'));
    let Some(Value::Regex(regex)) = args.first() else { return Err("the expression is missing".into()) };
    if regex.as_str().is_empty() {
        return Err("the expression is empty".into());
    }
    let regex = RegexBuilder::new(regex.as_str()).unicode(false).case_insensitive(fold).build();
    let regex = regex.map_err(|why| format!("the expression does not compile: {why}"))?;
    let parts = parts(Value::text(args, 1))?;
    if let Some(group) = parts.iter().find_map(|part| match part {
        Part::Group(group) if *group >= regex.captures_len() => Some(group),
        _ => None,
    }) {
        return Err(format!(
            "the substitution names group {group}, and the expression has {}",
            regex.captures_len() - 1
        ));
    }
    *args = vec![Value::Ready(Arc::new(Substitution { regex, parts, every }))];
    Ok(())
}

fn parts(subst: &[u8]) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let mut rest = subst.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            literal.push(byte);
            continue;
        }
        match rest.next() {
            None => return Err("the substitution ends with a lone backslash".into()),
            Some(digit @ b'0'..=b'9') => {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Group(usize::from(digit - b'0')));
            }
            Some(b'x') => {
                let mut digit = || rest.next().and_then(|b| char::from(*b).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => literal.push((high << 4 | low) as u8),
                    _ => return Err("`\\x` is followed by two hexadecimal digits".into()),
                }
            }
            Some(&other) => literal.push(other),
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(parts)
}

fn regsub<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (input, substitution) = (text(sample)?, Value::ready::<Substitution>(args, 0)?);
    substitution.apply(input, out)?;
    bounded(out, input).map(Sample::Str)
}

impl Substitution {
    fn apply(&self, input: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let groups = self.parts.iter().any(|part| matches!(part, Part::Group(1..)));
        let mut places = groups.then(|| self.regex.capture_locations());
        let mut at = 0;
        while at <= input.len() {
            let found = match &mut places {
                Some(places) => self.regex.captures_read_at(places, input, at),
                None => self.regex.find_at(input, at),
            };
            let Some(found) = found.map(|found| found.range()) else { break };
            out.extend_from_slice(&input[at..found.start]);
            for part in &self.parts {
                match part {
                    Part::Text(text) => out.extend_from_slice(text),
                    Part::Group(group) => {
                        let range = match &places {
                            Some(places) => places.get(*group),
                            None => Some((found.start, found.end)),
                        };
                        out.extend_from_slice(range.map_or(b"", |(start, end)| &input[start..end]));
                    }
                }
            }
            at = found.end;
            if found.is_empty() {
                out.extend(input.get(at));
                at += 1;
            }
            if !self.every {
                break;
            }
            if out.len() > OUTPUT.max(input.len()) {
                return None;
            }
        }
        out.extend_from_slice(input.get(at..).unwrap_or(b""));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use crate::conv::OUTPUT;
    use crate::conv::testing::{check, convert, refused};
    use crate::sample::Sample;
    use crate::testing::Rng;

    #[test]
    fn substitutions_are_those_of_haproxy() {
        for (input, steps, expected) in [
            ("//_//", "regsub(/+,/,g)", "/_/"),
            ("/////a///b/c/xzxyz/", "regsub('/+','/','g')", "/a/b/c/xzxyz/"),
            ("/////a///b/c/xzxyz/", "regsub('/+','/')", "/a///b/c/xzxyz/"),
            ("foo", r#"regsub("(o)","<\\1>")"#, "f<o>o"),
            ("foo12", r#"regsub("(foo|bar)([0-9]+)?","\2\1")"#, "12foo"),
            ("foobar", r#"regsub("(o)(x)?","[\2\1\0]",g)"#, "f[oo][oo]bar"),
            ("FOO", "regsub(o,x,gi)", "Fxx"),
            ("abc", r#"regsub("x*","-",g)"#, "-a-b-c-"),
            ("abc", r#"regsub("x*","-")"#, "-abc"),
            ("abc", r#"regsub("c*$",x,g)"#, "abxx"),
            ("foo", r"regsub(o,'\x41',g)", "fAA"),
            ("foo", r"regsub(o,'\t')", "fto"),
            ("foo", r"regsub(o,'a\\b')", "fa\\bo"),
            ("foo", r"regsub(o,'\q')", "fqo"),
            ("foo", r"regsub('(o)','\10')", "fo0o"),
            ("foo", "regsub(o,'&$0')", "f&$0o"),
            ("foo", "regsub(^,x,g)", "xfoo"),
            ("aaa", "regsub(^a,b,g)", "baa"),
            ("foobar", "regsub('o?',x,g)", "xfxxxbxaxrx"),
            ("", "regsub('^',x,g)", "x"),
            ("", "regsub('a*',x,g)", "x"),
            ("ba", "regsub('a*',x,g)", "xbxx"),
            ("baab", "regsub('a*',x,g)", "xbxxbx"),
            ("a1b22", r"regsub(\d+,'<\0>',g)", "a<1>b<22>"),
        ] {
            check(Sample::Str(input.as_bytes()), steps, Some(expected));
        }
    }

    #[test]
    fn mistakes_are_refused() {
        for steps in [
            "regsub('',x)",
            "regsub(o,x,z)",
            r"regsub(o,'\1')",
            r"regsub(o,'\x4')",
            r"regsub(o,'\xzz')",
            r"regsub(o,'a\')",
            "regsub('(',x)",
        ] {
            refused(Sample::Str(b""), steps);
        }
    }

    #[test]
    fn output_is_bounded() {
        let long = vec![b'a'; OUTPUT / 4];
        check(Sample::Str(&long), "regsub(a,aaaaa,g)", None);
        assert_eq!(convert(Sample::Str(&long), "regsub(a,aaaa,g)").map(|text| text.len()), Some(OUTPUT));
    }

    /// Without empty matches it is what the regex crate does.
    #[test]
    fn agrees_with_replace_all() {
        let seed = 0x5eed_0019;
        let mut rng = Rng::new(seed);
        for (pattern, steps, with) in [
            ("a+", "regsub(a+,-,g)", "-"),
            ("(a|B)b?", "regsub('(a|B)b?','<\\1>',g)", "<$1>"),
            ("^a|A$", "regsub('^a|A$','',g)", ""),
        ] {
            let regex = regex::Regex::new(pattern).unwrap_or_else(|why| panic!("{why}"));
            for round in 0..100 {
                let input = String::from_utf8_lossy(&rng.letters(9)).into_owned();
                let expected = regex.replace_all(&input, with).into_owned();
                let found = convert(Sample::Str(input.as_bytes()), steps);
                assert_eq!(found, Some(expected), "seed {seed:#x} round {round} {pattern} on {input:?}");
            }
        }
    }
}
