//! Conditions: `if` or `unless`, then acls joined by and, or, `!`.
//!
//! Called by rule sets and switches. Acls side by side must all hold; `or` and `||` separate alternatives and bind looser;
//! there are no parentheses. Evaluation stops at the first acl that settles it and never allocates without a trace.

use std::ops::Range;
use std::sync::Arc;

use crate::acl::{Acl, Acls};
use crate::action::RuleKind;
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, code};
use crate::library::Env;
use crate::trace::Tested;
use crate::word::{Word, Words, starts_condition};

/// A compiled condition.
#[derive(Clone, Debug)]
pub(crate) struct Cond {
    /// `unless`: the whole is negated.
    unless: bool,
    /// The acls of all alternatives, one after the other; one alternative must hold.
    terms: Box<[Term]>,
}

/// One acl of a condition, all of which must hold together.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) negated: bool,
    pub(crate) acl: Arc<Acl>,
    named: bool,
    /// The last one of its alternative.
    ends: bool,
}

/// What a condition is compiled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'s> {
    /// The text the words were cut from.
    pub(crate) text: &'s str,
    /// The phase in which the rule runs.
    pub(crate) phase: Phase,
    /// The keyword of the rule; `None` for formats of the configuration and `use_backend`.
    pub(crate) kind: Option<RuleKind>,
    pub(crate) acls: &'s Acls,
    pub(crate) env: Env<'s>,
}

impl Cond {
    /// Compiles the rest of a line from its `if` or `unless` on. Names of acls of the file are added to `used`.
    pub(crate) fn parse(
        words: &mut Words<'_>,
        scope: &Scope<'_>,
        used: &mut Vec<Arc<str>>,
        faults: &mut Vec<Fault>,
    ) -> Cond {
        let keyword = words.next();
        let unless = keyword.is_some_and(|word| word.is("unless"));
        let mut any: Vec<Vec<Term>> = vec![Vec::new()];
        // Whether an acl must come next: the line may not end, and no `or` may come.
        let mut open = Some(words.last_range());
        while let Some(word) = words.next() {
            if word.is("or") || word.is("||") {
                if open.is_some() {
                    let fault = Fault::new(code::CONDITION, word.range.clone(), "an acl is missing before `or`");
                    faults.push(fault.hint("`or` stands between two acls"));
                }
                any.push(Vec::new());
                open = Some(word.range.clone());
                continue;
            }
            if word.is("and") || word.is("&&") {
                let fault = Fault::new(code::CONDITION, word.range.clone(), format!("there is no `{}`", word.text()));
                faults.push(fault.hint("acls side by side must all hold: leave it out"));
                continue;
            }
            if starts_condition(word) {
                let message = format!("a rule has one condition, and `{}` begins another", word.text());
                faults
                    .push(Fault::new(code::CONDITION, word.range.clone(), message).hint("write `!` to negate an acl"));
                continue;
            }
            if let Some(term) = Term::parse(word, words, scope, used, faults)
                && let Some(all) = any.last_mut()
            {
                all.push(term);
            }
            open = None;
        }
        if let Some(range) = open {
            let word = if any.len() > 1 {
                "or"
            } else if unless {
                "unless"
            } else {
                "if"
            };
            faults.push(
                Fault::new(code::CONDITION, range, format!("an acl is missing after `{word}`"))
                    .hint("write an acl, such as `{ path_beg /api/ }`, or leave the condition out"),
            );
        }
        for all in &mut any {
            if let Some(last) = all.last_mut() {
                last.ends = true;
            }
        }
        Cond { unless, terms: any.into_iter().flatten().collect() }
    }

    /// Whether the action may run.
    pub(crate) fn holds(&self, ctx: &Ctx<'_>, trace: Option<&mut Vec<Tested>>) -> bool {
        let held = match trace {
            None => self.any(|term| term.acl.holds(ctx) != term.negated),
            Some(trace) => self.any(|term| term.holds_traced(ctx, trace)),
        };
        held != self.unless
    }

    /// Whether an alternative holds.
    #[inline]
    fn any(&self, mut holds: impl FnMut(&Term) -> bool) -> bool {
        let mut all = true;
        for term in &self.terms {
            all = all && holds(term);
            if term.ends {
                if all {
                    return true;
                }
                all = true;
            }
        }
        false
    }

    /// Whether the whole is negated, and the alternatives: of each the acls that must hold.
    pub(crate) fn alternatives(&self) -> (bool, impl Iterator<Item = &[Term]>) {
        (self.unless, self.terms.chunk_by(|term, _| !term.ends))
    }

    /// What the acls it names were compiled from: part of the identity of a rule.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|term| term.acl.source.as_str())
    }
}

impl Term {
    /// Parses one acl whose first word is `first`.
    fn parse(
        first: &Word,
        words: &mut Words<'_>,
        scope: &Scope<'_>,
        used: &mut Vec<Arc<str>>,
        faults: &mut Vec<Fault>,
    ) -> Option<Term> {
        let mut negated = false;
        let mut word = first.clone();
        // `!acl`, `! acl` and `!!acl` are all well-formed, as in HAProxy.
        while !word.is_quoted() && word.bytes.first() == Some(&b'!') {
            negated = !negated;
            word = word.skip(1);
            if word.bytes.is_empty() {
                match words.peek() {
                    Some(next) if !next.is("or") && !next.is("||") => {
                        word = next.clone();
                        words.next();
                    }
                    _ => {
                        faults.push(Fault::new(code::CONDITION, first.range.clone(), "an acl is missing after `!`"));
                        return None;
                    }
                }
            }
        }
        let (acl, named, range) = if word.is("{") {
            let inside = words.rest();
            let Some(length) = inside.iter().position(|word| word.is("}")) else {
                while words.next().is_some() {}
                let fault = Fault::new(code::CONDITION, word.range.clone(), "the brace is never closed");
                faults.push(fault.hint("end it with ` }`, a blank before it"));
                return None;
            };
            for _ in 0..=length {
                words.next();
            }
            let range = word.range.start..inside[length].range.end;
            if length == 0 {
                faults.push(Fault::new(code::CONDITION, range, "there is nothing between the braces"));
                return None;
            }
            (Arc::new(Acl::anonymous(&inside[..length], scope.text, &scope.env, faults)), false, range)
        } else {
            match scope.acls.find(&word, &scope.env) {
                Ok((acl, of_file)) => {
                    if of_file && !used.contains(&acl.name) {
                        used.push(acl.name.clone());
                    }
                    (acl, true, word.range.clone())
                }
                Err(fault) => {
                    faults.push(fault);
                    return None;
                }
            }
        };
        if let Some(fetch) = acl.missing_in(scope.phase) {
            faults.push(not_in_phase(fetch, scope.phase, range));
        }
        Some(Term { negated, acl, named, ends: false })
    }

    /// As a condition has it.
    pub(crate) fn shown(&self) -> String {
        let not = if self.negated { "!" } else { "" };
        let name = &self.acl.name;
        if self.named { format!("{not}{name}") } else { format!("{not}{{ {name} }}") }
    }

    fn holds_traced(&self, ctx: &Ctx<'_>, trace: &mut Vec<Tested>) -> bool {
        let mut saw = Vec::new();
        let held = self.acl.holds_traced(ctx, &mut saw) != self.negated;
        trace.push(Tested { acl: self.shown(), saw, held });
        held
    }
}

/// The mistake of looking at what is not there.
pub(crate) fn not_in_phase(fetch: &str, phase: Phase, range: Range<usize>) -> Fault {
    Fault::new(code::PHASE, range, format!("`{fetch}` has no data in phase {phase}, in which this rule runs"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::acl::AclDef;
    use crate::testing::{REQUEST, Rng, env, with_ctx};
    use crate::word;

    fn acls() -> Acls {
        let (acls, errors) = Acls::compile(
            &[
                AclDef { name: "t", text: "path_beg /api/" },
                AclDef { name: "f", text: "path_beg /nope/" },
                AclDef { name: "u", text: "hdr(none) x" },
            ],
            &env(),
        );
        assert_eq!(errors, []);
        acls
    }

    fn compile(text: &str, phase: Phase) -> (Cond, Vec<Arc<str>>, Vec<Fault>) {
        let words = word::split(text).unwrap();
        let (mut used, mut faults) = (Vec::new(), Vec::new());
        let scope = Scope { text, phase, kind: None, acls: &acls(), env: env() };
        let cond = Cond::parse(&mut Words::new(&words), &scope, &mut used, &mut faults);
        (cond, used, faults)
    }

    fn holds(text: &str) -> bool {
        let (cond, _, faults) = compile(text, Phase::Request);
        assert_eq!(faults, [], "{text}");
        let plain = with_ctx(REQUEST, |ctx| cond.holds(ctx, None));
        assert_eq!(with_ctx(REQUEST, |ctx| cond.holds(ctx, Some(&mut Vec::new()))), plain, "{text}: traced");
        plain
    }

    #[test]
    fn conditions_hold_as_in_haproxy() {
        for (text, expected) in [
            ("if t", true),
            ("if f", false),
            ("unless t", false),
            ("unless f", true),
            ("if !t", false),
            ("if !f", true),
            ("if !!t", true),
            ("if ! f", true),
            ("if ! ! t", true),
            ("if t f", false),
            ("if t !f", true),
            ("if f or t", true),
            ("if f || t", true),
            ("if t f or f", false),
            ("if f f or t t", true),
            ("if f t or t !f", true),
            ("unless f or f", true),
            ("if u", false),
            ("if !u", true),
            ("if { path_beg /api/ }", true),
            ("if !{ path_beg /api/ }", false),
            ("if ! { path_beg /api/ } or t", true),
            ("if t { src 203.0.113.0/24 } !{ method GET }", true),
            ("if METH_POST HTTP_1.1 !LOCALHOST", true),
            ("if TRUE !FALSE", true),
            ("if { req.fhdr(user-agent) -m sub 'X11, Linux' }", true),
            ("if { path '}' } or { path_sub \"{\" }", false),
        ] {
            assert_eq!(holds(text), expected, "{text}");
        }
    }

    /// Random conditions against the two-level truth table that the grammar promises.
    #[test]
    fn precedence_sweep() {
        let seed = 0x5eed_0004;
        let mut rng = Rng::new(seed);
        for round in 0..500 {
            let mut text = String::from(if rng.below(2) == 0 { "if" } else { "unless" });
            let mut expected = false;
            for alternative in 0..1 + rng.below(3) {
                text += if alternative == 0 { "" } else { rng.pick(&[" or", " ||"]) };
                let mut all = true;
                for _ in 0..1 + rng.below(3) {
                    let (truth, negated) = (rng.below(2) == 0, rng.below(2) == 0);
                    let name = if truth { rng.pick(&["t", "TRUE"]) } else { rng.pick(&["f", "u", "FALSE"]) };
                    text += &format!(" {}{name}", if negated { "!" } else { "" });
                    all &= truth != negated;
                }
                expected |= all;
            }
            expected ^= text.starts_with("unless");
            assert_eq!(holds(&text), expected, "seed {seed:#x} round {round}: {text}");
        }
    }

    #[test]
    fn broken_conditions_point_at_the_word() {
        for (text, code, at) in [
            ("if", code::CONDITION, "if"),
            ("unless", code::CONDITION, "unless"),
            ("if or t", code::CONDITION, "or"),
            ("if t or", code::CONDITION, "or"),
            ("if t or or f", code::CONDITION, "or"),
            ("if t !", code::CONDITION, "!"),
            ("if t and f", code::CONDITION, "and"),
            ("if t unless f", code::CONDITION, "unless"),
            ("if { path /a", code::CONDITION, "{"),
            ("if { }", code::CONDITION, "{ }"),
            ("if nope", code::ACL, "nope"),
            ("if !nope", code::ACL, "nope"),
            ("if {path /a}", code::ACL, "{path"),
            ("if { path /a or t }", code::CONDITION, "or"),
            ("if { paht /a }", code::FETCH, "paht"),
            ("if (t)", code::ACL, "(t)"),
        ] {
            let (_, _, faults) = compile(text, Phase::Request);
            let first = faults.first().unwrap_or_else(|| panic!("{text} has a mistake"));
            assert_eq!((first.code, &text[first.range.clone()]), (code, at), "{text}");
        }
        let (_, _, faults) = compile("if nope or METH_GTE", Phase::Request);
        assert_eq!(faults.len(), 2);
        assert_eq!(faults[1].hint.as_deref(), Some("did you mean `METH_GET`?"));
    }

    #[test]
    fn a_phase_without_the_data_is_refused() {
        let (_, _, faults) = compile("if { src 10.0.0.1 } t { path /a }", Phase::Accept);
        let text = "if { src 10.0.0.1 } t { path /a }";
        let at: Vec<&str> = faults.iter().map(|fault| &text[fault.range.clone()]).collect();
        assert_eq!(at, ["t", "{ path /a }"]);
        assert!(faults.iter().all(|fault| fault.code == code::PHASE));
    }

    #[test]
    fn used_acls_are_those_of_the_file() {
        let (_, used, _) = compile("if t !f or t TRUE { path /x }", Phase::Request);
        assert_eq!(used.iter().map(|name| &**name).collect::<Vec<_>>(), ["t", "f"]);
    }

    #[test]
    fn a_trace_shows_what_was_seen() {
        let (cond, _, _) = compile("if t !f { hdr(accept) */* } or t", Phase::Request);
        let mut trace = Vec::new();
        assert!(with_ctx(REQUEST, |ctx| cond.holds(ctx, Some(&mut trace))));
        let seen: Vec<(&str, Vec<String>, bool)> =
            trace.iter().map(|test| (&*test.acl, test.saw[0].samples.clone(), test.held)).collect();
        let accept = ["text/html", "application/json", "*/*"].map(str::to_owned).to_vec();
        let path = vec!["/api/users".to_owned()];
        assert_eq!(seen, [("t", path.clone(), true), ("!f", path, true), ("{ hdr(accept) */* }", accept, true)]);
    }
}
