//! Cubes: what a request must be like for literals to hold together, and conditions as alternatives of them.

use super::set::Set;
use super::vars::{Lit, Test, UNDEFINED, Vars};
use crate::cond::Term;

/// Alternatives a condition may come to.
const ALTERNATIVES: usize = 256;

/// What one variable must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hold {
    /// The sample is in the set.
    One(Set),
    /// No occurrence is in `none`, and of each of `some` there is one.
    Many { none: Set, some: Vec<Set> },
}

/// What all variables must be like; those not named may be anything. Invariant: there is such a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Cube {
    /// Sorted by variable.
    holds: Vec<(u32, Hold)>,
}

/// One value for every variable that a cube names: the classes that occur, none for an undefined sample.
#[derive(Clone, Debug, Default)]
pub(super) struct Model(Vec<(u32, Vec<usize>)>);

impl Cube {
    /// Demands one more literal; false, and the cube of no use, when no request can be like that.
    pub(super) fn add(&mut self, lit: &Lit, vars: &Vars) -> bool {
        let set = vars.set(lit);
        let variable = vars.get(lit.var);
        let at = match self.holds.binary_search_by_key(&lit.var, |(var, _)| *var) {
            Ok(at) => at,
            Err(at) => {
                let hold = if variable.many {
                    Hold::Many { none: Set::empty(variable.size()), some: Vec::new() }
                } else {
                    Hold::One(Set::full(variable.size()))
                };
                self.holds.insert(at, (lit.var, hold));
                at
            }
        };
        match &mut self.holds[at].1 {
            Hold::One(values) => {
                if lit.not {
                    values.remove(set);
                } else {
                    values.keep(set);
                }
                !values.is_empty()
            }
            Hold::Many { none, some } => {
                if lit.not {
                    none.add(set);
                    some.iter_mut().for_each(|wanted| wanted.remove(set));
                    return some.iter().all(|wanted| !wanted.is_empty());
                }
                let mut wanted = set.clone();
                wanted.remove(none);
                if some.iter().any(|known| known.is_subset(&wanted)) {
                    return true;
                }
                some.retain(|known| !wanted.is_subset(known));
                let holds = !wanted.is_empty();
                some.push(wanted);
                holds
            }
        }
    }

    /// The cube with all of `lits`, if there is a request like that.
    pub(super) fn with(&self, lits: &[Lit], vars: &Vars) -> Option<Cube> {
        let mut cube = self.clone();
        lits.iter().all(|lit| cube.add(lit, vars)).then_some(cube)
    }

    /// Whether the literal holds for every request of the cube.
    pub(super) fn implies(&self, lit: &Lit, vars: &Vars) -> bool {
        let set = vars.set(lit);
        let Ok(at) = self.holds.binary_search_by_key(&lit.var, |(var, _)| *var) else {
            return lit.not && set.is_empty();
        };
        match &self.holds[at].1 {
            Hold::One(values) if lit.not => !values.meets(set),
            Hold::One(values) => values.is_subset(set),
            Hold::Many { none, .. } if lit.not => set.is_subset(none),
            Hold::Many { some, .. } => some.iter().any(|wanted| wanted.is_subset(set)),
        }
    }

    /// One request of the cube; an undefined sample only where nothing else will do.
    pub(super) fn model(&self) -> Model {
        let pick = |set: &Set| set.iter().find(|&class| class != UNDEFINED);
        let each = self.holds.iter().map(|(var, hold)| match hold {
            Hold::One(values) => (*var, pick(values).into_iter().collect()),
            Hold::Many { some, .. } => {
                let mut classes: Vec<usize> = Vec::new();
                for wanted in some {
                    if !classes.iter().any(|&class| wanted.contains(class)) {
                        classes.extend(pick(wanted));
                    }
                }
                (*var, classes)
            }
        });
        Model(each.collect())
    }
}

impl Model {
    pub(super) fn holds(&self, lit: &Lit, vars: &Vars) -> bool {
        let set = vars.set(lit);
        self.classes(lit.var).iter().any(|&class| set.contains(class)) != lit.not
    }

    /// The classes that occur of a variable.
    pub(super) fn classes(&self, var: u32) -> &[usize] {
        match self.0.binary_search_by_key(&var, |(known, _)| *known) {
            Ok(at) => &self.0[at].1,
            Err(_) => &[],
        }
    }

    /// Every variable it names, with the classes that occur.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[usize])> {
        self.0.iter().map(|(var, classes)| (*var, &classes[..]))
    }
}

/// A condition as it is looked at now.
#[derive(Debug)]
pub(super) struct Read<'c> {
    unless: bool,
    any: Vec<Vec<(&'c Term, Test)>>,
}

/// Alternatives, of each the literals that hold together.
pub(super) type Alternatives = Vec<Vec<Lit>>;

/// Which side a condition is taken from where it is not fully understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// All requests it may hold for.
    May,
    /// Only those it must hold for.
    Must,
}

impl<'c> Read<'c> {
    /// A condition that always holds.
    pub(super) fn always() -> Read<'c> {
        Read { unless: false, any: vec![Vec::new()] }
    }

    pub(super) fn new(unless: bool, any: impl Iterator<Item = &'c [Term]>, vars: &mut Vars) -> Read<'c> {
        let mut read = |term: &'c Term| (term, vars.read(&term.acl));
        let any = any.map(|all| all.iter().map(&mut read).collect()).collect();
        Read { unless, any }
    }

    /// Whether a constant makes an alternative hold never: somebody meant that.
    pub(super) fn is_off(&self, vars: &mut Vars) -> bool {
        self.any.iter().flatten().any(|(term, test)| match vars.literals(test) {
            None => term.negated != self.unless,
            Some((lits, unknown)) => lits.is_empty() && !unknown && term.negated == self.unless,
        })
    }

    /// The requests for which it holds; `None` where there are too many alternatives.
    pub(super) fn alternatives(&self, side: Side, vars: &mut Vars) -> Option<Alternatives> {
        if !self.unless {
            let mut sum = Alternatives::new();
            for all in &self.any {
                let factors = all.iter().map(|(term, test)| one(test, term.negated, side, vars)).collect::<Vec<_>>();
                sum.extend(product(&factors, vars)?);
                if sum.len() > ALTERNATIVES {
                    return None;
                }
            }
            return Some(sum);
        }
        // None of the alternatives: of each, one acl fails.
        let mut factors = Vec::new();
        for all in &self.any {
            factors.push(all.iter().flat_map(|(term, test)| one(test, !term.negated, side, vars)).collect());
        }
        product(&factors, vars)
    }

    /// The smallest part of a condition that never holds which never holds by itself, as written; empty for `unless`.
    pub(super) fn conflict(&self, vars: &mut Vars) -> Vec<String> {
        let Some(all) = self.any.first().filter(|_| !self.unless) else { return Vec::new() };
        let mut never = |terms: &[usize]| {
            let factors: Vec<Alternatives> =
                terms.iter().map(|&at| one(&all[at].1, all[at].0.negated, Side::May, vars)).collect();
            product(&factors, vars).is_some_and(|alternatives| alternatives.is_empty())
        };
        let singles = (0..all.len()).map(|at| vec![at]);
        let pairs = (0..all.len()).flat_map(|second| (0..second).map(move |first| vec![first, second]));
        let mut found = singles.chain(pairs).find(|terms| never(terms)).unwrap_or_else(|| (0..all.len()).collect());
        // Of more than two, those that are not needed go.
        let mut at = 0;
        while found.len() > 2 && at < found.len() {
            let mut fewer = found.clone();
            fewer.remove(at);
            if never(&fewer) {
                found = fewer;
            } else {
                at += 1;
            }
        }
        found.into_iter().map(|at| all[at].0.shown()).collect()
    }
}

/// The alternatives of one acl, negated or not.
fn one(test: &Test, negated: bool, side: Side, vars: &mut Vars) -> Alternatives {
    let Some((mut lits, unknown)) = vars.literals(test) else {
        return if negated { Vec::new() } else { vec![Vec::new()] };
    };
    if negated {
        if unknown && side == Side::Must {
            return Vec::new();
        }
        lits.iter_mut().for_each(|lit| lit.not = true);
        return vec![lits];
    }
    if unknown && side == Side::May {
        return vec![Vec::new()];
    }
    lits.into_iter().map(|lit| vec![lit]).collect()
}

/// One alternative out of each factor, those left out that no request can meet.
fn product(factors: &[Alternatives], vars: &Vars) -> Option<Alternatives> {
    let mut done: Vec<(Cube, Vec<Lit>)> = vec![(Cube::default(), Vec::new())];
    for factor in factors {
        let mut next = Vec::new();
        for (cube, lits) in &done {
            for more in factor {
                let Some(cube) = cube.with(more, vars) else { continue };
                let mut lits = lits.clone();
                lits.extend(more.iter().filter(|lit| !lits.contains(lit)).cloned().collect::<Vec<_>>());
                next.push((cube, lits));
                if next.len() > ALTERNATIVES {
                    return None;
                }
            }
        }
        done = next;
    }
    Some(done.into_iter().map(|(_, lits)| lits).collect())
}
