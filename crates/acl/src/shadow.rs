//! Rules that can never run, and rules whose order decides, each with a request that shows it.
//!
//! Called by config once a rule set is compiled. A rule is found when the rules above it that end the list take every
//! request its condition could hold for, or when its condition cannot hold at all. The conditions are compared as sets of
//! requests (`vars`, `cubes`) and a search looks for a request that is left (`cover`). Invariant: no false alarm.
//! What is not understood (files, maps, time, counters, samples that a rule may have changed) is taken to be anything, and
//! what would take too long is left out.

mod cover;
mod cubes;
mod known;
mod ranges;
mod set;
mod slot;
mod texts;
mod vars;
mod witness;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use self::cover::{Cover, Rest};
use self::cubes::{Alternatives, Cube, Read, Side};
use self::known::Effect;
use self::vars::{Lit, Vars};
use self::witness::Witness;
use crate::action::{RuleKind, Wait};
use crate::cond::Cond;
use crate::ctx::{Ctx, Phase};
use crate::rules::{Choice, RuleSet, Switch, Verdict};
use crate::scene::Scene;
use crate::trace::Place;
use crate::word;

/// Steps one list of rules may take: a comparison of a pattern, a literal or a class. About a tenth of a second.
pub const BUDGET: usize = 2_000_000;
/// Requests that are made to show one finding before it is told without.
const ATTEMPTS: usize = 16;

/// Why a rule is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Its condition cannot hold.
    Contradiction,
    /// A rule above it takes every request.
    AfterEnd,
    /// Rules above it take every request it could match.
    Shadowed,
    /// A rule above it takes some of the requests it matches too: their order decides.
    OrderDecides,
}

/// One rule that is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its number in the list, from 0.
    pub index: usize,
    /// Where it stands.
    pub rule: Place,
    /// The rules above it that take its requests.
    pub by: Vec<Above>,
    /// What is the matter.
    pub why: Why,
    /// Of a contradiction the acls that exclude each other, or the one that never holds; empty where it is the whole.
    pub acls: Vec<String>,
    /// `GET http://a.example/x from 203.0.113.9`: a request that both match, tried out; `None` where none was found.
    pub witness: Option<String>,
}

/// A rule above another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Above {
    /// Where it stands.
    pub place: Place,
    /// Its text.
    pub text: String,
}

impl Finding {
    /// What is the matter, in words that follow on "this rule".
    pub fn sentence(&self) -> String {
        let by: Vec<String> = self.by.iter().map(|above| above.shown(&self.rule)).collect();
        let acls: Vec<String> = self.acls.iter().map(|acl| format!("`{acl}`")).collect();
        match self.why {
            Why::Contradiction => match &acls[..] {
                [] => "never runs: its condition can never hold".into(),
                [one] => format!("never runs: {one} can never hold"),
                [one, other] => format!("never runs: {one} and {other} exclude each other"),
                _ => format!("never runs: {} never hold together", acls.join(", ")),
            },
            Why::AfterEnd => format!("never runs: {} takes every request", by.join(" and ")),
            Why::Shadowed if by.len() > 1 => format!("is shadowed by {} together", by.join(" and ")),
            Why::Shadowed => format!("is shadowed by {}", by.join(" and ")),
            Why::OrderDecides => format!("also matches what {} takes: their order decides", by.join(" and ")),
        }
    }
}

impl Above {
    /// As told at the rule that stands at `rule`.
    fn shown(&self, rule: &Place) -> String {
        let Above { place, text } = self;
        // On one line the place tells nothing.
        if place == rule { format!("`{text}`") } else { format!("the one at {place}") }
    }
}

impl RuleSet {
    /// The rules that can never run, in order, given the keyword the set was compiled for.
    pub fn shadowed(&self, kind: RuleKind) -> Vec<Finding> {
        self.shadowed_within(kind, &mut { BUDGET })
    }

    /// As [`shadowed`](RuleSet::shadowed), taking what it uses from `steps`.
    pub fn shadowed_within(&self, kind: RuleKind, steps: &mut usize) -> Vec<Finding> {
        Analysis::of_set(self, kind, steps).never_run(&|scene| taker_of_set(self, kind, scene), steps)
    }

    /// Whether a request may leave the list otherwise than it came, given the keyword.
    pub fn rewrites(&self, kind: RuleKind) -> bool {
        let effects =
            self.lines().map(|(_, text, _)| known::effect(kind, &word::split(text).unwrap_or_default(), false));
        effects.into_iter().any(|effect| match effect {
            Effect::Ends => false,
            Effect::Changes(parts) => parts.iter().any(|part| *part != known::Part::Handshake),
            Effect::Unknown => true,
        })
    }

    /// The rules that end the list and take some requests of a rule below that does something else, told of the lower one.
    pub fn order_decides(&self, kind: RuleKind) -> Vec<Finding> {
        let steps = &mut { BUDGET };
        Analysis::of_set(self, kind, steps).overlaps(&|scene| taker_of_set(self, kind, scene), steps)
    }
}

impl Switch {
    /// The rules that can never be the ones to choose. `falls_through`: a rule that applies may be passed over, as
    /// `use-server` with a server that is down, so that only its own condition can keep a rule from running.
    pub fn shadowed(&self, falls_through: bool) -> Vec<Finding> {
        let steps = &mut { BUDGET };
        Analysis::of_switch(self, falls_through, steps).never_run(&|scene| taker_of_switch(self, scene), steps)
    }

    /// The rules that take some requests of a rule below with another target, told of the lower one.
    pub fn order_decides(&self) -> Vec<Finding> {
        let steps = &mut { BUDGET };
        Analysis::of_switch(self, false, steps).overlaps(&|scene| taker_of_switch(self, scene), steps)
    }
}

/// One rule, as far as the analysis sees it.
#[derive(Debug)]
struct Line<'r> {
    place: &'r Place,
    text: &'r str,
    cond: Option<&'r Cond>,
    read: Read<'r>,
    /// Nothing below it runs when it does.
    ends: bool,
    /// What it does, as written.
    action: String,
    /// Once it was looked at: the requests it takes for sure, when it ends the list.
    takes: Alternatives,
}

#[derive(Debug)]
struct Analysis<'r> {
    lines: Vec<Line<'r>>,
    vars: Vars,
}

/// The number of the rule that takes a described request; it leaves the scene as that rule saw it.
type Taker<'t> = dyn Fn(&mut Scene) -> Option<usize> + 't;

impl<'r> Analysis<'r> {
    fn of_set(set: &'r RuleSet, kind: RuleKind, steps: &mut usize) -> Analysis<'r> {
        let words: Vec<_> = set.lines().map(|(_, text, _)| word::split(text).unwrap_or_default()).collect();
        let lax = words.iter().any(|words| words.first().is_some_and(|word| word.is("strict-mode")));
        let mut vars = Vars::new(Some(kind));
        let mut lines = Vec::new();
        for ((place, text, cond), words) in set.lines().zip(&words) {
            let read = read(cond, &mut vars);
            let effect = known::effect(kind, words, lax);
            match &effect {
                Effect::Ends => {}
                Effect::Changes(parts) => vars.change(parts),
                Effect::Unknown => vars.forget(),
            }
            lines.push(Line {
                place,
                text,
                cond,
                read,
                ends: effect == Effect::Ends,
                action: action(text, words),
                takes: Vec::new(),
            });
        }
        vars.partition(steps);
        Analysis { lines, vars }
    }

    fn of_switch(set: &'r Switch, falls_through: bool, steps: &mut usize) -> Analysis<'r> {
        let mut vars = Vars::new(None);
        let mut lines = Vec::new();
        for (at, (place, text, cond)) in set.lines().enumerate() {
            let read = read(cond, &mut vars);
            // A target that is worked out per request may not exist.
            let ends = !falls_through && set.targets.get(at).is_some_and(Option::is_some);
            let words = word::split(text).unwrap_or_default();
            lines.push(Line { place, text, cond, read, ends, action: action(text, &words), takes: Vec::new() });
        }
        vars.partition(steps);
        Analysis { lines, vars }
    }

    fn never_run(&mut self, taker: &Taker<'_>, steps: &mut usize) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut cover = Cover::default();
        let mut end: Option<usize> = None;
        for at in 0..self.lines.len() {
            if let Some(end) = end {
                findings.push(self.finding(at, &[end].into(), Why::AfterEnd, None));
                continue;
            }
            let Line { read, ends, .. } = &self.lines[at];
            if let Some(may) = read.alternatives(Side::May, &mut self.vars) {
                if may.is_empty() {
                    if !read.is_off(&mut self.vars) {
                        let acls = read.conflict(&mut self.vars);
                        let finding = self.finding(at, &BTreeSet::new(), Why::Contradiction, None);
                        findings.push(Finding { acls, ..finding });
                    }
                    continue;
                }
                if let Some(by) = taken_by(&may, &cover, &self.vars, steps) {
                    let witness = self.witness(at, &may, &by, false, taker);
                    findings.push(self.finding(at, &by, Why::Shadowed, witness));
                    continue;
                }
            }
            if *ends {
                let must = read.alternatives(Side::Must, &mut self.vars).unwrap_or_default();
                if must.iter().any(Vec::is_empty) {
                    end = Some(at);
                }
                must.iter().for_each(|lits| cover.add(at, lits.clone(), &self.vars));
                self.lines[at].takes = must;
            }
        }
        findings
    }

    fn overlaps(&mut self, taker: &Taker<'_>, steps: &mut usize) -> Vec<Finding> {
        let never: BTreeSet<usize> = self.never_run(taker, steps).iter().map(|finding| finding.index).collect();
        let mut findings = Vec::new();
        let mut above: Vec<usize> = Vec::new();
        for at in 0..self.lines.len() {
            let Line { read, ends, action, .. } = &self.lines[at];
            let must = read.alternatives(Side::Must, &mut self.vars).unwrap_or_default();
            // Of a rule without a condition nobody wonders whether order decides.
            if !*ends || never.contains(&at) || must.is_empty() || must.iter().any(Vec::is_empty) {
                continue;
            }
            let found = above.iter().rev().find_map(|&upper| {
                let upper_line = &self.lines[upper];
                *steps = steps.checked_sub(1 + upper_line.takes.len() * must.len())?;
                let overlap = || upper_line.takes.iter().any(|lits| meet(&must, lits, &self.vars).next().is_some());
                if upper_line.action == *action || !overlap() {
                    return None;
                }
                let by = [upper].into();
                self.witness(at, &must, &by, true, taker).map(|witness| (by, witness))
            });
            if let Some((by, witness)) = found {
                findings.push(self.finding(at, &by, Why::OrderDecides, Some(witness)));
            }
            self.lines[at].takes = must;
            above.push(at);
        }
        findings
    }

    fn finding(&self, at: usize, by: &BTreeSet<usize>, why: Why, witness: Option<String>) -> Finding {
        let above = |&by: &usize| {
            let Line { place, text, .. } = self.lines[by];
            Above { place: place.clone(), text: text.to_owned() }
        };
        let rule = self.lines[at].place.clone();
        Finding { index: at, rule, by: by.iter().map(above).collect(), why, acls: Vec::new(), witness }
    }

    /// A request that the rule at `at` matches and one of `by` takes, tried out. `plain`: one that is likely to be sent.
    fn witness(
        &self,
        at: usize,
        may: &Alternatives,
        by: &BTreeSet<usize>,
        plain: bool,
        taker: &Taker<'_>,
    ) -> Option<String> {
        let takes = by.iter().flat_map(|&upper| &self.lines[upper].takes);
        let mut open: VecDeque<Cube> = takes.flat_map(|lits| meet(may, lits, &self.vars)).take(ATTEMPTS).collect();
        for _ in 0..ATTEMPTS {
            let cube = open.pop_front()?;
            let Some(witness) = Witness::new(&cube.model(), &self.vars) else { continue };
            if plain && !witness.is_plain() {
                continue;
            }
            let Some(mut scene) = witness.scene() else { continue };
            match taker(&mut scene) {
                Some(upper) if by.contains(&upper) && self.matches(at, &mut scene) => return Some(witness.to_string()),
                // Another rule took it before: one that this rule lets go.
                Some(upper) if upper < at => {
                    let lets_go =
                        self.lines[upper].takes.iter().flatten().map(|lit| Lit { not: !lit.not, ..lit.clone() });
                    open.extend(lets_go.filter_map(|lit| cube.with(&[lit], &self.vars)).take(ATTEMPTS));
                }
                _ => {}
            }
        }
        None
    }

    fn matches(&self, at: usize, scene: &mut Scene) -> bool {
        scene.with(|ctx: &mut Ctx<'_>| self.lines[at].cond.is_none_or(|cond| cond.holds(ctx, None)))
    }
}

fn read<'r>(cond: Option<&'r Cond>, vars: &mut Vars) -> Read<'r> {
    match cond {
        None => Read::always(),
        Some(cond) => {
            let (unless, any) = cond.alternatives();
            Read::new(unless, any, vars)
        }
    }
}

/// What stands before the condition.
fn action(text: &str, words: &[word::Word]) -> String {
    let end = words.iter().find(|word| word::starts_condition(word)).map_or(text.len(), |word| word.range.start);
    text[..end].trim().to_owned()
}

/// The rules that leave nothing of a condition; `None` when something is left or nobody knows.
fn taken_by(may: &Alternatives, cover: &Cover, vars: &Vars, steps: &mut usize) -> Option<BTreeSet<usize>> {
    let mut all = BTreeSet::new();
    for lits in may {
        let cube = Cube::default().with(lits, vars)?;
        match cover.rest(&cube, vars, steps) {
            Rest::Nothing(by) => all.extend(by),
            Rest::Some | Rest::Unknown => return None,
        }
    }
    Some(all)
}

/// What alternatives of one condition have in common with one of another.
fn meet<'m>(these: &'m Alternatives, lits: &'m [Lit], vars: &'m Vars) -> impl Iterator<Item = Cube> + 'm {
    these.iter().filter_map(|own| Cube::default().with(own, vars)?.with(lits, vars))
}

fn taker_of_set(set: &RuleSet, kind: RuleKind, scene: &mut Scene) -> Option<usize> {
    // A described request has no answer yet.
    let phase = Some(kind.phase()).filter(|&phase| phase != Phase::Response)?;
    scene.at(phase, |ctx| {
        let mut at = 0;
        while at < set.len() {
            match set.eval_one(ctx, &mut at, None) {
                None => {}
                Some(Verdict::Wait(Wait::More)) => return None,
                Some(Verdict::Wait(_)) => {}
                Some(_) => return at.checked_sub(1),
            }
        }
        None
    })
}

fn taker_of_switch(set: &Switch, scene: &mut Scene) -> Option<usize> {
    match scene.with(|ctx| set.pick(ctx))? {
        Choice::Rule(at) => Some(at),
        Choice::Named(..) => None,
    }
}
