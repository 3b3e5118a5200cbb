//! Rule sets: compiled from lines, evaluated in order.
//!
//! Compiled by config, evaluated by frontend. [`RuleSet`] runs actions, [`Switch`] chooses a backend. Invariant: two sets
//! are equal exactly when their lines, the places of their lines and the acls they name are, so that a reload can tell what
//! changed.

use std::sync::Arc;

use crate::acl::Acls;
use crate::action::{self, Act, Next, Reply, RuleKind};
use crate::cond::{Cond, Scope};
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, RuleError, code};
use crate::trace::{Place, Step, Trace};
use crate::word::{self, Words, starts_condition};

/// One rule line as written: what follows the keyword in haproxy.cfg.
#[derive(Clone, Debug)]
pub struct RuleLine<'a> {
    /// The text of the line.
    pub text: &'a str,
    /// File it stands in.
    pub file: &'a Arc<str>,
    /// Line it stands on, from 1.
    pub line: u32,
}

/// Compiled rules of one keyword in one section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSet {
    rules: Arc<[Rule<Box<dyn Act>>]>,
    acls_used: Vec<Arc<str>>,
}

/// Compiled `use_backend` rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Switch {
    /// Backend name of each rule, in rule order.
    pub targets: Vec<Arc<str>>,
    rules: Arc<[Rule<()>]>,
    acls_used: Vec<Arc<str>>,
}

/// What a rule set decided.
#[derive(Debug)]
pub enum Verdict<'r> {
    /// No final rule matched.
    Continue,
    /// `allow`: skip the rest of this rule set.
    Allow,
    /// Evenkeel answers itself.
    Reply(Reply<'r>),
}

/// One line: when it applies, and what it does then.
#[derive(Debug)]
struct Rule<A> {
    place: Place,
    text: Arc<str>,
    cond: Option<Cond>,
    action: A,
}

impl RuleSet {
    /// Compiles the lines of `kind`; all mistakes at once.
    pub fn compile(kind: RuleKind, lines: &[RuleLine<'_>], acls: &Acls) -> Result<RuleSet, Vec<RuleError>> {
        let (rules, acls_used) = compile(lines, acls, kind.phase(), |words, scope| {
            let name = words.argument(code::EMPTY, "the action")?;
            (action::find(name, kind)?.parse)(words, scope)
        })?;
        Ok(RuleSet { rules: rules.into(), acls_used })
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// The acls of the file that the rules name, each once.
    pub fn acls_used(&self) -> &[Arc<str>] {
        &self.acls_used
    }

    /// Whether the rules are the same, wherever in the file they stand.
    pub fn same_rules(&self, other: &RuleSet) -> bool {
        same_rules(&self.rules, &other.rules)
    }

    /// Runs the rules in order; edits are made on `ctx.request`.
    pub fn eval<'r>(&'r self, ctx: &mut Ctx<'_>) -> Verdict<'r> {
        self.eval_traced(ctx, None)
    }

    /// As [`eval`](RuleSet::eval), writing down each rule it looks at.
    pub fn eval_traced<'r>(&'r self, ctx: &mut Ctx<'_>, mut trace: Option<&mut Trace>) -> Verdict<'r> {
        for rule in &*self.rules {
            if !rule.applies(ctx, trace.as_deref_mut()) {
                continue;
            }
            match rule.action.run(ctx, &rule.place) {
                Next::Rule => {}
                Next::Allow => return Verdict::Allow,
                Next::Reply(reply) => return Verdict::Reply(reply),
            }
        }
        Verdict::Continue
    }
}

impl Switch {
    /// Compiles `use_backend` lines (`api if is_api`); all mistakes at once.
    pub fn compile(lines: &[RuleLine<'_>], acls: &Acls) -> Result<Switch, Vec<RuleError>> {
        let mut targets: Vec<Arc<str>> = Vec::new();
        let (rules, acls_used) = compile(lines, acls, Phase::Request, |words, _| {
            let name = words.argument(code::EMPTY, "the backend")?;
            let text = name.text();
            if starts_condition(name) || name.is("{") {
                return Err(Fault::new(code::ACTION_ARGS, name.range.clone(), "the name of the backend is missing")
                    .hint("write the backend first: `api if { path_beg /api/ }`"));
            }
            if text.contains('%') {
                return Err(Fault::new(
                    code::LATER,
                    name.range.clone(),
                    "backends named by an item are not in this version",
                )
                .hint("write one line for each backend"));
            }
            targets.push(text.into());
            Ok(())
        })?;
        Ok(Switch { targets, rules: rules.into(), acls_used })
    }

    /// The acls of the file that the rules name, each once.
    pub fn acls_used(&self) -> &[Arc<str>] {
        &self.acls_used
    }

    /// Whether the rules are the same, wherever in the file they stand.
    pub fn same_rules(&self, other: &Switch) -> bool {
        same_rules(&self.rules, &other.rules)
    }

    /// Where rule `index` stands.
    pub fn place(&self, index: usize) -> Option<&Place> {
        self.rules.get(index).map(|rule| &rule.place)
    }

    /// The index of the first rule that matches, into [`Switch::targets`].
    pub fn pick(&self, ctx: &mut Ctx<'_>) -> Option<usize> {
        self.pick_traced(ctx, None)
    }

    /// As [`pick`](Switch::pick), writing down each rule it looks at.
    pub fn pick_traced(&self, ctx: &mut Ctx<'_>, mut trace: Option<&mut Trace>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.applies(ctx, trace.as_deref_mut()))
    }
}

impl<A> Rule<A> {
    fn applies(&self, ctx: &Ctx<'_>, trace: Option<&mut Trace>) -> bool {
        let Some(trace) = trace else {
            return self.cond.as_ref().is_none_or(|cond| cond.holds(ctx, None));
        };
        let mut tests = Vec::new();
        let held = self.cond.as_ref().is_none_or(|cond| cond.holds(ctx, Some(&mut tests)));
        trace.steps.push(Step { place: self.place.clone(), text: self.text.clone(), tests, held });
        held
    }

    fn sources(&self) -> impl Iterator<Item = &str> {
        self.cond.iter().flat_map(Cond::sources)
    }

    /// The place set aside.
    fn same_rule(&self, other: &Rule<A>) -> bool {
        self.text == other.text && self.sources().eq(other.sources())
    }
}

fn same_rules<A>(one: &[Rule<A>], other: &[Rule<A>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.same_rule(other))
}

impl<A> PartialEq for Rule<A> {
    fn eq(&self, other: &Rule<A>) -> bool {
        self.place == other.place && self.same_rule(other)
    }
}

type Compiled<A> = (Vec<Rule<A>>, Vec<Arc<str>>);

/// Compiles each line: its head by `parse`, then its condition.
fn compile<A>(
    lines: &[RuleLine<'_>],
    acls: &Acls,
    phase: Phase,
    mut parse: impl FnMut(&mut Words<'_>, &Scope<'_>) -> Result<A, Fault>,
) -> Result<Compiled<A>, Vec<RuleError>> {
    let (mut rules, mut used, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (index, line) in lines.iter().enumerate() {
        let mut faults = Vec::new();
        if let Some((action, cond)) = compile_line(line, acls, phase, &mut parse, &mut used, &mut faults) {
            let place = Place { file: line.file.clone(), line: line.line };
            rules.push(Rule { place, text: line.text.into(), cond, action });
        }
        errors.extend(faults.into_iter().map(|fault| fault.at(index)));
    }
    if errors.is_empty() { Ok((rules, used)) } else { Err(errors) }
}

fn compile_line<A>(
    line: &RuleLine<'_>,
    acls: &Acls,
    phase: Phase,
    parse: &mut impl FnMut(&mut Words<'_>, &Scope<'_>) -> Result<A, Fault>,
    used: &mut Vec<Arc<str>>,
    faults: &mut Vec<Fault>,
) -> Option<(A, Option<Cond>)> {
    let words = match word::split(line.text) {
        Ok(words) => words,
        Err(fault) => {
            faults.push(fault);
            return None;
        }
    };
    if words.is_empty() {
        faults.push(Fault::new(code::EMPTY, 0..line.text.len(), "the rule is empty").hint("remove the line"));
        return None;
    }
    let scope = Scope { text: line.text, phase, acls };
    let mut words = Words::new(&words);
    let action =
        match parse(&mut words, &scope) {
            Ok(action) => {
                if let Some(extra) = words.peek().filter(|word| !starts_condition(word)) {
                    let message = format!("`{}` is one word too many", extra.text());
                    faults.push(Fault::new(code::ACTION_ARGS, extra.range.clone(), message).hint(
                        "after its arguments a rule goes on with `if` or `unless`; a value with blanks is quoted",
                    ));
                }
                Some(action)
            }
            Err(fault) => {
                faults.push(fault);
                None
            }
        };
    words.seek_condition();
    let cond = words.peek().is_some().then(|| Cond::parse(&mut words, &scope, used, faults));
    action.map(|action| (action, cond))
}
