//! Rule sets: compiled from lines, evaluated in order.

use std::ops::Range;
use std::sync::Arc;

use crate::Ctx;

/// One acl definition: `acl.NAME = "text"`; the same name again is a logical or.
#[derive(Clone, Debug)]
pub struct AclDef<'a> {
    /// Name.
    pub name: &'a str,
    /// `path_beg /api/`.
    pub text: &'a str,
}

/// The named acls of one section, compiled.
#[derive(Clone, Debug, Default)]
pub struct Acls {}

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

/// Which keyword the lines belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// `http-request`.
    HttpRequest,
}

/// A mistake in a rule line or acl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// Index of the line in the list given.
    pub index: usize,
    /// Byte range of the word at fault in that line's text.
    pub range: Range<usize>,
    /// Stable code, `EK03xx`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Compiled rules of one keyword in one section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSet {}

/// Compiled `use_backend` rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Switch {
    /// Backend name of each rule, in rule order.
    pub targets: Vec<Arc<str>>,
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

/// An answer made by a rule.
#[derive(Debug)]
pub struct Reply<'r> {
    /// Status code.
    pub status: u16,
    /// `true` for `deny`: counted as denied, and the built-in error page of `status` is sent when `body` is `None`.
    pub denied: bool,
    /// Header lines besides Content-Length and Connection.
    pub headers: Vec<(&'r str, String)>,
    /// Body, with its content type in `headers`.
    pub body: Option<&'r [u8]>,
}

impl Acls {
    /// Compiles the acls of one section.
    pub fn compile(_defs: &[AclDef<'_>]) -> (Acls, Vec<RuleError>) {
        (Acls {}, Vec::new())
    }
}

impl RuleSet {
    /// Compiles the lines of `kind`; all mistakes at once.
    pub fn compile(_kind: RuleKind, _lines: &[RuleLine<'_>], _acls: &Acls) -> Result<RuleSet, Vec<RuleError>> {
        Ok(RuleSet {})
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Runs the rules in order; edits are made on `ctx.request`.
    pub fn eval<'r>(&'r self, _ctx: &mut Ctx<'_>) -> Verdict<'r> {
        Verdict::Continue
    }
}

impl Switch {
    /// Compiles `use_backend` lines (`api if is_api`); all mistakes at once.
    pub fn compile(_lines: &[RuleLine<'_>], _acls: &Acls) -> Result<Switch, Vec<RuleError>> {
        Ok(Switch::default())
    }

    /// The index of the first rule that matches, into [`Switch::targets`].
    pub fn pick(&self, _ctx: &mut Ctx<'_>) -> Option<usize> {
        None
    }
}
