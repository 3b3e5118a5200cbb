//! The decisions: fetches, patterns, conditions, rules.
//!
//! Owns the tables of fetches, match kinds and actions, the compiler from rule lines to [`RuleSet`] and [`Switch`], and
//! their evaluation over a borrowed [`Ctx`]. Called by config (compile) and frontend (evaluate). Pure: never does I/O,
//! reads a clock or knows who asked, so `check`, `explain` and the live path are one engine.
#![forbid(unsafe_code)]

mod acl;
mod action;
mod auth;
mod cond;
mod conv;
mod ctx;
mod error;
mod expr;
mod fetch;
mod format;
mod library;
mod matching;
pub mod pattern;
mod predefined;
mod print;
mod rules;
mod sample;
mod scene;
pub mod shadow;
mod start;
pub mod stick;
#[cfg(test)]
mod testing;
mod trace;
mod value;
mod vars;
mod word;

pub use acl::{AclDef, Acls};
pub use action::bandwidth::{BandwidthLimit, Share};
pub use action::{Cause, Close, Content, ErrorReply, How, Prefer, Question, Reply, RuleKind, Wait, reason};
pub use auth::{Password, User, UserList};
pub use conv::{X509_ERRORS, x509_error};
pub use ctx::{
    BackendCount, Body, Buffers, Count, Ctx, Door, FrontendCount, Listener, Memo, Now, Path, Phase, ProcessCount,
    Progress, Reading, STICK_COUNTERS, ServerCount, Session, Slots, Streams, SwitchMode, Times, Tracks, Wire,
    WishedTimeouts, Wishes, World,
};
pub use error::{CODES, RuleError};
pub use fetch::{CertFacts, Dn, ProxyFacts, TlsFacts, ja3, ja4};
pub use format::LogFormat;
pub use library::{CaptureSlot, Env, Library, Pages, ProxyDef};
pub use print::canonical;
pub use rules::{Choice, Conditions, RuleLine, RuleSet, Switch, Verdict};
pub use sample::{AddressText, Sample, Type};
pub use scene::{Described, Scene};
pub use start::StartVars;
pub use trace::{Place, Saw, Step, Tested, Trace};
pub use vars::{ProcVars, Stored, VarLimits, VarRef, VarScope, Vars};

/// What the driver of a transaction counts into the tracked entries of stick tables.
pub mod count {
    pub use crate::action::statuses::{Counted, Statuses};
    pub use crate::action::track::{on_bytes, on_error, on_fail, on_glitches, on_request, on_session, on_status};
}

/// The tables from which the reference is generated.
pub mod tables {
    pub use crate::action::{Action, actions};
    pub use crate::conv::{Conv, convs};
    pub use crate::fetch::{Fetch, Pick, fetches};
    pub use crate::format::{ALIASES, Alias};
    pub use crate::matching::{MATCHES, MatchKind};
    pub use crate::predefined::{PREDEFINED, Predefined};
    pub use crate::sample::{Sample, Type};
    pub use crate::value::{Arg, ArgKind};
}
