//! The decisions: fetches, patterns, conditions, rules.
//!
//! Owns the tables of fetches, match kinds and actions, the compiler from rule lines to [`RuleSet`] and [`Switch`], and
//! their evaluation over a borrowed [`Ctx`]. Called by config (compile) and frontend (evaluate). Pure: never does I/O,
//! reads a clock or knows who asked, so `check`, `explain` and the live path are one engine.
#![forbid(unsafe_code)]

mod acl;
mod action;
mod cond;
mod ctx;
mod error;
mod expr;
mod fetch;
mod format;
mod matching;
mod predefined;
mod rules;
mod sample;
#[cfg(test)]
mod testing;
mod trace;
mod word;

pub use acl::{AclDef, Acls};
pub use action::{Cause, Reply, RuleKind};
pub use ctx::{Connection, Ctx, Phase};
pub use error::{CODES, RuleError};
pub use rules::{RuleLine, RuleSet, Switch, Verdict};
pub use trace::{Place, Saw, Step, Tested, Trace};

/// The tables from which the reference is generated.
pub mod tables {
    pub use crate::action::{ACTIONS, Action};
    pub use crate::fetch::{Arg, FETCHES, Fetch, Pick};
    pub use crate::format::{ALIASES, Alias};
    pub use crate::matching::{MATCHES, MatchKind};
    pub use crate::predefined::{PREDEFINED, Predefined};
    pub use crate::sample::{Sample, Type};
}
