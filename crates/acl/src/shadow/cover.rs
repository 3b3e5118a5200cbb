//! Whether the rules above leave anything of a cube: a search for a request that none of them takes.
//!
//! A request of the cube is made and the rules above are asked for it. When none takes it, something is left. Otherwise
//! the cube is split along the rule that took it, and what that rule does not take is searched on. Exact, and bounded by
//! the steps it may use.

use std::collections::{BTreeSet, HashMap};

use super::cubes::{Cube, Model};
use super::vars::{Lit, Vars};

/// Sets up to this size are found by their classes; larger ones are asked each time.
const INDEXED: usize = 64;
/// Splits within each other.
const DEPTH: usize = 256;

/// One alternative of a rule that ends the list.
#[derive(Debug)]
struct Taken {
    rule: usize,
    lits: Vec<Lit>,
}

/// What the final rules so far take.
#[derive(Debug, Default)]
pub(super) struct Cover {
    list: Vec<Taken>,
    /// Alternatives by a class that must occur of a variable.
    by_class: HashMap<(u32, usize), Vec<usize>>,
    /// The others.
    wide: Vec<usize>,
}

/// What is left of a cube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: these rules take it all.
    Nothing(BTreeSet<usize>),
    /// Something.
    Some,
    /// Not known: it would take too many steps.
    Unknown,
}

impl Cover {
    /// Another rule takes what an alternative of its condition describes.
    pub(super) fn add(&mut self, rule: usize, lits: Vec<Lit>, vars: &Vars) {
        let at = self.list.len();
        let narrow = lits.iter().filter(|lit| !lit.not).min_by_key(|lit| vars.set(lit).len());
        match narrow.filter(|lit| vars.set(lit).len() <= INDEXED) {
            None => self.wide.push(at),
            Some(lit) => {
                for class in vars.set(lit).iter() {
                    self.by_class.entry((lit.var, class)).or_default().push(at);
                }
            }
        }
        self.list.push(Taken { rule, lits });
    }

    /// What is left of `cube`.
    pub(super) fn rest(&self, cube: &Cube, vars: &Vars, steps: &mut usize) -> Rest {
        let mut by = BTreeSet::new();
        match self.covers(cube.clone(), vars, &mut by, 0, steps) {
            Some(true) => Rest::Nothing(by),
            Some(false) => Rest::Some,
            None => Rest::Unknown,
        }
    }

    fn covers(
        &self,
        mut cube: Cube,
        vars: &Vars,
        by: &mut BTreeSet<usize>,
        depth: usize,
        steps: &mut usize,
    ) -> Option<bool> {
        let model = cube.model();
        let taking = self.taking(&model, vars, steps)?;
        if taking.is_empty() {
            return Some(false);
        }
        let missing = |taken: &Taken| taken.lits.iter().filter(|lit| !cube.implies(lit, vars)).count();
        // A rule that is named already is best, then the one above the others.
        let best = taking.iter().min_by_key(|&&at| {
            let taken = &self.list[at];
            (missing(taken), !by.contains(&taken.rule), taken.rule)
        });
        let taken = &self.list[*best?];
        if depth >= DEPTH {
            return None;
        }
        for lit in &taken.lits {
            if cube.implies(lit, vars) {
                continue;
            }
            let mut other = cube.clone();
            let opposite = Lit { not: !lit.not, ..lit.clone() };
            if other.add(&opposite, vars) && !self.covers(other, vars, by, depth + 1, steps)? {
                return Some(false);
            }
            // The model is in both, so this cannot fail.
            if !cube.add(lit, vars) {
                return Some(true);
            }
        }
        by.insert(taken.rule);
        Some(true)
    }

    /// The alternatives that hold for a request.
    fn taking(&self, model: &Model, vars: &Vars, steps: &mut usize) -> Option<Vec<usize>> {
        let by_class = model.iter().flat_map(|(var, classes)| {
            classes.iter().filter_map(move |&class| self.by_class.get(&(var, class))).flatten()
        });
        let mut found = Vec::new();
        for &at in by_class.chain(&self.wide) {
            let lits = &self.list[at].lits;
            *steps = steps.checked_sub(1 + lits.len())?;
            if lits.iter().all(|lit| model.holds(lit, vars)) {
                found.push(at);
            }
        }
        *steps = steps.checked_sub(1)?;
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}
