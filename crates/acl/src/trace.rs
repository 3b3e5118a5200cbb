//! What rules did and why: written by an evaluation that was asked to explain itself.
//!
//! Filled by [`RuleSet::eval_traced`](crate::RuleSet::eval_traced) and
//! [`Switch::pick_traced`](crate::Switch::pick_traced); an evaluation without a trace pays one branch per rule and acl.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::sample::Sample;

/// At most this many occurrences of a sample are kept, each cut at [`SAMPLE_BYTES`].
const OCCURRENCES: usize = 8;
const SAMPLE_BYTES: usize = 256;

/// Where a rule stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// File.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The rules that were looked at, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// One entry a rule.
    pub steps: Vec<Step>,
    /// What was decided before, in order: followed in place of what the conditions say now, for as long as it lasts.
    pub replay: Option<VecDeque<bool>>,
}

/// One rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands.
    pub place: Place,
    /// Its text.
    pub text: Arc<str>,
    /// The acls its condition came to, in order; those it need not look at are left out.
    pub tests: Vec<Tested>,
    /// Whether the condition held, so that the action ran.
    pub held: bool,
    /// What the condition says now; differs from `held` only where an older decision is followed.
    pub seen: bool,
    /// Whether `held` is such an older decision.
    pub recorded: bool,
    /// What the action did, where its text does not tell: `set X-Client: 203.0.113.9`.
    pub did: String,
}

/// One acl of a condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tested {
    /// `is_api`, `!internal`, or the text between braces.
    pub acl: String,
    /// What it looked at, and each occurrence of it; no occurrence is an undefined sample.
    pub saw: Vec<Saw>,
    /// Whether it held, `!` included.
    pub held: bool,
}

/// What one test of an acl saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saw {
    /// The expression: a fetch and its converters.
    pub fetch: Arc<str>,
    /// Its occurrences up to the one that matched, as text; long ones are cut.
    pub samples: Vec<String>,
}

impl Saw {
    pub(crate) fn note(&mut self, sample: &Sample<'_>) {
        if self.samples.len() < OCCURRENCES {
            let mut text = Vec::new();
            sample.write_text(&mut text);
            text.truncate(SAMPLE_BYTES);
            self.samples.push(String::from_utf8_lossy(&text).into_owned());
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{} {} -> {}", step.place, step.text, step.held)?;
            for test in &step.tests {
                write!(f, "    {} -> {}", test.acl, test.held)?;
                for saw in &test.saw {
                    write!(f, "; {}", saw.fetch)?;
                    match saw.samples.as_slice() {
                        [] => write!(f, " is undefined")?,
                        [one] => write!(f, " is {one:?}")?,
                        many => write!(f, " is {many:?}")?,
                    }
                }
                writeln!(f)?;
            }
            if !step.did.is_empty() {
                writeln!(f, "    {}", step.did)?;
            }
        }
        Ok(())
    }
}
