//! Rule sets: compiled from lines, evaluated in order.
//!
//! Compiled by config, evaluated by frontend. [`RuleSet`] runs actions, [`Switch`] chooses a backend. Invariant: two sets
//! are equal exactly when their lines, the places of their lines, the acls they name and the files of their answers are, so
//! that a reload can tell what changed.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;

use crate::acl::Acls;
use crate::action::{self, Act, Close, Next, Reply, RuleKind, Wait};
use crate::cond::{Cond, Scope};
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, RuleError, code};
use crate::format::Format;
use crate::library::Env;
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

/// Compiled `use_backend` or `use-server` rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Switch {
    /// The name each rule gives, in rule order; `None` where it is worked out per request.
    pub targets: Vec<Option<Arc<str>>>,
    rules: Arc<[Rule<Option<Format>>]>,
    acls_used: Vec<Arc<str>>,
}

/// Compiled conditions that stand alone, such as those of `monitor fail`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    rules: Arc<[Rule<()>]>,
    acls_used: Vec<Arc<str>>,
}

/// What a switch chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The target of the rule of that index, known when the configuration was loaded.
    Rule(usize),
    /// The rule of that index named this target.
    Named(usize, String),
}

/// What a rule set decided.
#[derive(Debug)]
pub enum Verdict<'r> {
    /// No final rule matched.
    Continue,
    /// `allow`, `accept`: skip the rest of this rule set.
    Allow,
    /// Evenkeel answers itself.
    Reply(Reply<'r>),
    /// The connection ends without an answer.
    Close(Close<'r>),
    /// Something must happen first; then the set is evaluated on from where it stopped.
    Wait(Wait),
}

/// One line: when it applies, and what it does then.
#[derive(Debug)]
struct Rule<A> {
    place: Place,
    text: Arc<str>,
    cond: Option<Cond>,
    action: A,
    /// Of the files the action was made from.
    digest: u64,
}

impl RuleSet {
    /// Compiles the lines of `kind`; all mistakes at once.
    pub fn compile(
        kind: RuleKind,
        lines: &[RuleLine<'_>],
        acls: &Acls,
        env: &Env<'_>,
    ) -> Result<RuleSet, Vec<RuleError>> {
        RuleSet::compile_parts(kind, &[(lines, acls)], env)
    }

    /// As [`compile`](RuleSet::compile), of several lists one after the other, each with acls of its own. Mistakes are counted
    /// through all of them.
    pub fn compile_parts(
        kind: RuleKind,
        parts: &[(&[RuleLine<'_>], &Acls)],
        env: &Env<'_>,
    ) -> Result<RuleSet, Vec<RuleError>> {
        let (mut rules, acls_used) = compile(parts, Some(kind), env, |words, scope| {
            let name = words.argument(code::EMPTY, "the action")?;
            (action::find(name, kind)?.parse)(name, words, scope)
        })?;
        for rule in &mut rules {
            let mut hasher = DefaultHasher::new();
            hasher.write(rule.action.files());
            rule.digest = hasher.finish();
        }
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

    /// Place, text and condition of each rule.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&Place, &str, Option<&Cond>)> {
        self.rules.iter().map(|rule| (&rule.place, &*rule.text, rule.cond.as_ref()))
    }

    /// Runs the rules in order from `at` on, which is 0 at first; edits are made on the message of the phase. After a
    /// [`Verdict::Wait`], `at` says where to go on.
    pub fn eval<'r>(&'r self, ctx: &mut Ctx<'_>, at: &mut usize) -> Verdict<'r> {
        self.eval_traced(ctx, at, None)
    }

    /// As [`eval`](RuleSet::eval), writing down each rule it looks at.
    pub fn eval_traced<'r>(&'r self, ctx: &mut Ctx<'_>, at: &mut usize, mut trace: Option<&mut Trace>) -> Verdict<'r> {
        while *at < self.rules.len() {
            if let Some(verdict) = self.eval_one(ctx, at, trace.as_deref_mut()) {
                return verdict;
            }
        }
        Verdict::Continue
    }

    /// Looks at the rule at `at` alone, for who wants to see what each one changed. `None`: go on with the next.
    #[inline]
    pub fn eval_one<'r>(
        &'r self,
        ctx: &mut Ctx<'_>,
        at: &mut usize,
        mut trace: Option<&mut Trace>,
    ) -> Option<Verdict<'r>> {
        let rule = self.rules.get(*at)?;
        if *at == 0 {
            // `strict-mode` holds for one set of rules.
            ctx.memo.wishes.lax = false;
        }
        ctx.undecided.set(false);
        let applies = rule.applies(ctx, trace.as_deref_mut());
        if !applies && ctx.undecided.get() {
            rule.waits(ctx);
            return Some(Verdict::Wait(Wait::More));
        }
        if ctx.memo.wishes.waiting.is_some() {
            ctx.memo.wishes.waiting = None;
        }
        let mut next = Next::Rule;
        if applies {
            ctx.undecided.set(false);
            next = match trace {
                None => rule.action.run(ctx, &rule.place),
                Some(trace) => rule.run_traced(ctx, trace),
            };
        }
        let verdict = match next {
            Next::Rule => None,
            // What the action looks at may still come: it runs again.
            Next::Wait(Wait::More) => {
                rule.waits(ctx);
                return Some(Verdict::Wait(Wait::More));
            }
            Next::Wait(wait) => {
                rule.waits(ctx);
                Some(Verdict::Wait(wait))
            }
            Next::Allow => Some(rule.ends_set(ctx, Verdict::Allow)),
            Next::Reply(reply) => Some(rule.ends_set(ctx, Verdict::Reply(reply))),
            Next::Close(how) => Some(rule.ends_set(ctx, Verdict::Close(Close { how, place: &rule.place }))),
        };
        ctx.memo.path.push(applies);
        *at += 1;
        verdict
    }
}

impl Switch {
    /// Compiles lines such as `api if is_api`; `what` is "backend" or "server". All mistakes at once.
    pub fn compile(what: &str, lines: &[RuleLine<'_>], acls: &Acls, env: &Env<'_>) -> Result<Switch, Vec<RuleError>> {
        let mut targets: Vec<Option<Arc<str>>> = Vec::new();
        let (rules, acls_used) = compile(&[(lines, acls)], None, env, |words, scope| {
            let name = words.argument(code::EMPTY, &format!("the {what}"))?;
            if starts_condition(name) || name.is("{") {
                let message = format!("the name of the {what} is missing");
                return Err(Fault::new(code::ACTION_ARGS, name.range.clone(), message)
                    .hint(format!("write the {what} first: `name if {{ path_beg /api/ }}`")));
            }
            let format = Format::parse(name, scope)?;
            let literal = format.literal().map(|text| Arc::from(&*String::from_utf8_lossy(text)));
            let dynamic = literal.is_none().then_some(format);
            targets.push(literal);
            Ok(dynamic)
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

    /// Place, text and condition of each rule.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&Place, &str, Option<&Cond>)> {
        self.rules.iter().map(|rule| (&rule.place, &*rule.text, rule.cond.as_ref()))
    }

    /// Where rule `index` stands.
    pub fn place(&self, index: usize) -> Option<&Place> {
        self.rules.get(index).map(|rule| &rule.place)
    }

    /// What the first rule that matches names.
    pub fn pick(&self, ctx: &mut Ctx<'_>) -> Option<Choice> {
        self.pick_traced(ctx, None)
    }

    /// As [`pick`](Switch::pick), writing down each rule it looks at.
    pub fn pick_traced(&self, ctx: &mut Ctx<'_>, trace: Option<&mut Trace>) -> Option<Choice> {
        self.pick_from(ctx, 0, trace)
    }

    /// As [`pick_traced`](Switch::pick_traced), from rule `from` on.
    pub fn pick_from(&self, ctx: &mut Ctx<'_>, from: usize, mut trace: Option<&mut Trace>) -> Option<Choice> {
        let rules = self.rules.iter().enumerate().skip(from);
        let (at, rule) = rules.into_iter().find(|(_, rule)| {
            let applies = rule.applies(ctx, trace.as_deref_mut());
            ctx.memo.path.push(applies);
            applies
        })?;
        Some(match &rule.action {
            None => Choice::Rule(at),
            Some(format) => {
                let mut name = Vec::new();
                format.write(ctx, &mut name);
                Choice::Named(at, String::from_utf8_lossy(&name).into_owned())
            }
        })
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Conditions {
    /// Compiles lines such as `if { nbsrv(app) lt 2 }`; all mistakes at once.
    pub fn compile(lines: &[RuleLine<'_>], acls: &Acls, env: &Env<'_>) -> Result<Conditions, Vec<RuleError>> {
        let (rules, acls_used) = compile(&[(lines, acls)], None, env, |words, _| match words.peek() {
            Some(word) if !starts_condition(word) => {
                Err(Fault::new(code::CONDITION, word.range.clone(), "a condition begins with `if` or `unless`")
                    .hint("write `if { nbsrv(app) lt 2 }`"))
            }
            _ => Ok(()),
        })?;
        Ok(Conditions { rules: rules.into(), acls_used })
    }

    /// Whether one of them holds.
    pub fn hold(&self, ctx: &Ctx<'_>) -> bool {
        self.rules.iter().any(|rule| rule.applies(ctx, None))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The acls of the file that they name, each once.
    pub fn acls_used(&self) -> &[Arc<str>] {
        &self.acls_used
    }

    /// Whether they are the same, wherever in the file they stand.
    pub fn same_rules(&self, other: &Conditions) -> bool {
        same_rules(&self.rules, &other.rules)
    }
}

impl Rule<Box<dyn Act>> {
    #[cold]
    fn waits(&self, ctx: &mut Ctx<'_>) {
        ctx.memo.wishes.waiting = Some(self.place.clone());
    }

    #[cold]
    fn ends_set<'r>(&'r self, ctx: &mut Ctx<'_>, verdict: Verdict<'r>) -> Verdict<'r> {
        ctx.memo.wishes.last_rule = Some(self.place.clone());
        verdict
    }

    fn run_traced<'r>(&'r self, ctx: &mut Ctx<'_>, trace: &mut Trace) -> Next<'r> {
        *ctx.memo.did.get_mut() = Some(String::new());
        let next = self.action.run(ctx, &self.place);
        let did = ctx.memo.did.get_mut().take().unwrap_or_default();
        if let Some(step) = trace.steps.last_mut() {
            step.did = did;
        }
        next
    }
}

impl<A> Rule<A> {
    fn applies(&self, ctx: &Ctx<'_>, trace: Option<&mut Trace>) -> bool {
        let Some(trace) = trace else {
            return self.cond.as_ref().is_none_or(|cond| cond.holds(ctx, None));
        };
        let mut tests = Vec::new();
        let seen = self.cond.as_ref().is_none_or(|cond| cond.holds(ctx, Some(&mut tests)));
        let recorded = trace.replay.as_mut().and_then(VecDeque::pop_front);
        let held = recorded.unwrap_or(seen);
        let (place, text) = (self.place.clone(), self.text.clone());
        let (recorded, did) = (recorded.is_some(), String::new());
        trace.steps.push(Step { place, text, tests, held, seen, recorded, did });
        held
    }

    fn sources(&self) -> impl Iterator<Item = &str> {
        self.cond.iter().flat_map(Cond::sources)
    }

    /// The place set aside.
    fn same_rule(&self, other: &Rule<A>) -> bool {
        self.text == other.text && self.digest == other.digest && self.sources().eq(other.sources())
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
    parts: &[(&[RuleLine<'_>], &Acls)],
    kind: Option<RuleKind>,
    env: &Env<'_>,
    mut parse: impl FnMut(&mut Words<'_>, &Scope<'_>) -> Result<A, Fault>,
) -> Result<Compiled<A>, Vec<RuleError>> {
    let (mut rules, mut used, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let lines = parts.iter().flat_map(|(lines, acls)| lines.iter().map(move |line| (line, *acls)));
    for (index, (line, acls)) in lines.enumerate() {
        let mut faults = Vec::new();
        if let Some((action, cond)) = compile_line(line, acls, kind, env, &mut parse, &mut used, &mut faults) {
            let place = Place { file: line.file.clone(), line: line.line };
            rules.push(Rule { place, text: line.text.into(), cond, action, digest: 0 });
        }
        errors.extend(faults.into_iter().map(|fault| fault.at(index)));
    }
    if errors.is_empty() { Ok((rules, used)) } else { Err(errors) }
}

fn compile_line<A>(
    line: &RuleLine<'_>,
    acls: &Acls,
    kind: Option<RuleKind>,
    env: &Env<'_>,
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
    let phase = kind.map_or(Phase::Request, RuleKind::phase);
    let scope = Scope { text: line.text, phase, kind, acls, env: *env };
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
