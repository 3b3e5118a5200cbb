//! The decisions: fetches, patterns, conditions, rules.
//!
//! Owns the tables of fetches, match kinds and actions, the compiler from rule lines to [`RuleSet`] and [`Switch`], and
//! their evaluation over a borrowed [`Ctx`]. Called by config (compile) and frontend (evaluate). Pure: never does I/O,
//! reads a clock or knows who asked, so `check`, `explain` and the live path are one engine.

mod ctx;
mod rules;

pub use ctx::{Connection, Ctx, Phase};
pub use rules::{AclDef, Acls, Reply, RuleError, RuleKind, RuleLine, RuleSet, Switch, Verdict};
