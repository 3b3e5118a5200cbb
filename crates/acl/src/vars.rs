//! Variables: named values that rules set and read, each scope bounded in memory.
//!
//! A name is hashed when a rule is compiled, so that reading one compares numbers. `sess` lives with the client connection,
//! `txn` with the transaction, `req` and `res` with their half of it, `proc` with the process. Over its bound a scope takes
//! nothing more: the action does nothing, as in HAProxy (`tune.vars.*-max-size`).

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::sample::Sample;

/// How long a variable lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VarScope {
    /// The process.
    Proc,
    /// The client connection.
    Sess,
    /// The transaction.
    Txn,
    /// Until the request is on its way.
    Req,
    /// From the response on.
    Res,
}

impl VarScope {
    /// Every scope.
    pub const ALL: [VarScope; 5] = [VarScope::Proc, VarScope::Sess, VarScope::Txn, VarScope::Req, VarScope::Res];

    /// The word before the dot.
    pub fn name(self) -> &'static str {
        match self {
            VarScope::Proc => "proc",
            VarScope::Sess => "sess",
            VarScope::Txn => "txn",
            VarScope::Req => "req",
            VarScope::Res => "res",
        }
    }
}

/// A variable as named in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VarRef {
    /// Its scope.
    pub scope: VarScope,
    /// `txn.name` as written.
    pub text: Box<str>,
    id: u64,
}

impl VarRef {
    /// Reads `scope.name`; letters, digits, `.` and `_`. The error is a sentence.
    pub fn parse(text: &str) -> Result<VarRef, String> {
        let (scope, name) = text.split_once('.').ok_or_else(|| format!("`{text}` names no scope"))?;
        let scope = VarScope::ALL
            .into_iter()
            .find(|s| s.name() == scope)
            .ok_or_else(|| format!("`{scope}` is no scope of variables"))?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            return Err(format!("`{text}` is no name of a variable"));
        }
        Ok(VarRef { scope, text: text.into(), id: fnv(name.as_bytes()) })
    }
}

/// FNV-1a: the ids are made from a configuration, never from traffic.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// A value that outlives the sample it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// True or false.
    Bool(bool),
    /// A number.
    Int(i64),
    /// An address.
    Ip(IpAddr),
    /// Text.
    Str(Vec<u8>),
    /// Bytes.
    Bin(Vec<u8>),
}

impl Stored {
    /// A copy of `sample`.
    pub fn of(sample: &Sample<'_>) -> Stored {
        match *sample {
            Sample::Bool(value) => Stored::Bool(value),
            Sample::Int(value) => Stored::Int(value),
            Sample::Ip(value) => Stored::Ip(value),
            Sample::Str(text) => Stored::Str(text.to_vec()),
            Sample::Bin(bytes) => Stored::Bin(bytes.to_vec()),
        }
    }

    /// The sample it was.
    pub fn sample(&self) -> Sample<'_> {
        match self {
            Stored::Bool(value) => Sample::Bool(*value),
            Stored::Int(value) => Sample::Int(*value),
            Stored::Ip(value) => Sample::Ip(*value),
            Stored::Str(text) => Sample::Str(text),
            Stored::Bin(bytes) => Sample::Bin(bytes),
        }
    }

    /// Takes over `sample`, keeping the allocation where the type allows it.
    fn replace(&mut self, sample: &Sample<'_>) {
        match (self, *sample) {
            (Stored::Str(text), Sample::Str(new)) | (Stored::Bin(text), Sample::Bin(new)) => {
                text.clear();
                text.extend_from_slice(new);
            }
            (stored, _) => *stored = Stored::of(sample),
        }
    }

    fn size(&self) -> usize {
        OVERHEAD
            + match self {
                Stored::Str(text) | Stored::Bin(text) => text.len(),
                Stored::Bool(_) | Stored::Int(_) | Stored::Ip(_) => 0,
            }
    }
}

fn size_of_sample(value: &Sample<'_>) -> usize {
    OVERHEAD
        + match value {
            Sample::Str(text) | Sample::Bin(text) => text.len(),
            _ => 0,
        }
}

/// What a variable takes besides its text.
const OVERHEAD: usize = 64;

/// Bytes that variables may take (`tune.vars.*-max-size`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VarLimits {
    /// Those of the process.
    pub proc: usize,
    /// Those of one connection.
    pub sess: usize,
    /// Those of one transaction, with `req` and `res`.
    pub txn: usize,
    /// Those of scope `req`, and those of scope `res`.
    pub reqres: usize,
}

impl VarLimits {
    /// 16 MiB for the process, 64 KiB for each of the others.
    pub const DEFAULT: VarLimits = VarLimits { proc: 16 << 20, sess: 64 << 10, txn: 64 << 10, reqres: 64 << 10 };
}

/// The variables of one holder: a connection, or a transaction with its two halves.
#[derive(Clone, Debug, Default)]
pub struct Vars {
    list: Vec<(VarScope, u64, Box<str>, Stored)>,
    used: usize,
}

impl Vars {
    /// The value of `name`.
    pub fn get(&self, name: &VarRef) -> Option<&Stored> {
        self.list.iter().find(|(scope, id, ..)| *id == name.id && *scope == name.scope).map(|(.., value)| value)
    }

    /// Sets it; `false` when there is no room.
    pub fn set(&mut self, name: &VarRef, value: &Sample<'_>) -> bool {
        self.set_limited(name, value, &VarLimits::DEFAULT)
    }

    /// Sets it within `limits`; `false` when there is no room.
    pub(crate) fn set_limited(&mut self, name: &VarRef, value: &Sample<'_>, limits: &VarLimits) -> bool {
        match name.scope {
            VarScope::Proc => self.set_within(name, value, limits.proc),
            VarScope::Sess => self.set_within(name, value, limits.sess),
            VarScope::Txn => self.set_within(name, value, limits.txn),
            VarScope::Req | VarScope::Res => {
                let of_scope = self.list.iter().filter(|(scope, id, ..)| *scope == name.scope && *id != name.id);
                let held: usize = of_scope.map(|(.., value)| value.size()).sum();
                held + size_of_sample(value) <= limits.reqres && self.set_within(name, value, limits.txn)
            }
        }
    }

    fn set_within(&mut self, name: &VarRef, value: &Sample<'_>, limit: usize) -> bool {
        let size = size_of_sample(value);
        let known = self.list.iter().position(|(scope, id, ..)| *id == name.id && *scope == name.scope);
        let freed = known.map_or(0, |at| self.list[at].3.size());
        if self.used - freed + size > limit {
            return false;
        }
        match known {
            Some(at) => self.list[at].3.replace(value),
            None => self.list.push((name.scope, name.id, name.text.clone(), Stored::of(value))),
        }
        self.used = self.used - freed + size;
        true
    }

    /// Forgets it; whether it was there.
    pub fn unset(&mut self, name: &VarRef) -> bool {
        let Some(at) = self.list.iter().position(|(scope, id, ..)| *id == name.id && *scope == name.scope) else {
            return false;
        };
        let (.., value) = self.list.swap_remove(at);
        self.used -= value.size();
        true
    }

    /// Forgets those of one scope: `req` when the request has gone.
    pub fn end(&mut self, scope: VarScope) {
        let used = &mut self.used;
        self.list.retain(|(s, _, _, value)| {
            let keep = *s != scope;
            if !keep {
                *used -= value.size();
            }
            keep
        });
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.list.clear();
        self.used = 0;
    }

    /// Names as written, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Stored)> {
        self.list.iter().map(|(_, _, name, value)| (&**name, value))
    }
}

/// The variables of the process, shared by its workers.
#[derive(Debug, Default)]
pub struct ProcVars {
    vars: RwLock<Vars>,
    /// Read without the lock: most configurations have none.
    count: AtomicUsize,
}

impl ProcVars {
    /// Hands the value to `f`.
    pub fn read<R>(&self, name: &VarRef, f: impl FnOnce(&Stored) -> R) -> Option<R> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.vars.read().get(name).map(f)
    }

    /// Hands each name and value to `f`.
    pub(crate) fn each(&self, mut f: impl FnMut(&str, &Stored)) {
        self.vars.read().iter().for_each(|(name, stored)| f(name, stored));
    }

    /// The same variables, apart from these: what an explanation may change.
    pub fn copy(&self) -> ProcVars {
        let vars = self.vars.read().clone();
        ProcVars { count: AtomicUsize::new(vars.list.len()), vars: RwLock::new(vars) }
    }

    /// Sets it; `false` when there is no room.
    pub fn set(&self, name: &VarRef, value: &Sample<'_>) -> bool {
        self.set_limited(name, value, &VarLimits::DEFAULT)
    }

    /// Sets it within `limits`; `false` when there is no room.
    pub fn set_limited(&self, name: &VarRef, value: &Sample<'_>, limits: &VarLimits) -> bool {
        let mut vars = self.vars.write();
        let done = vars.set_within(name, value, limits.proc);
        self.count.store(vars.list.len(), Ordering::Release);
        done
    }

    /// Forgets it.
    pub fn unset(&self, name: &VarRef) -> bool {
        let mut vars = self.vars.write();
        let done = vars.unset(name);
        self.count.store(vars.list.len(), Ordering::Release);
        done
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_have_a_scope() {
        assert_eq!(VarRef::parse("txn.a_b").unwrap().scope, VarScope::Txn);
        for bad in ["a", "foo.a", "txn.", "txn.a b", ""] {
            assert!(VarRef::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scopes_are_apart_and_bounded() {
        let (a, b) = (VarRef::parse("txn.x").unwrap(), VarRef::parse("req.x").unwrap());
        let mut vars = Vars::default();
        assert!(vars.set(&a, &Sample::Int(1)) && vars.set(&b, &Sample::Str(b"two")));
        assert_eq!((vars.get(&a), vars.get(&b)), (Some(&Stored::Int(1)), Some(&Stored::Str(b"two".to_vec()))));
        vars.end(VarScope::Req);
        assert_eq!((vars.get(&a), vars.get(&b)), (Some(&Stored::Int(1)), None));
        let long = vec![b'x'; VarLimits::DEFAULT.reqres];
        assert!(!vars.set(&b, &Sample::Str(&long)) && vars.get(&b).is_none());
        assert!(vars.unset(&a) && !vars.unset(&a));
        assert_eq!(vars.used, 0);
    }

    /// HAProxy's order: what is finer counts towards what is coarser.
    #[test]
    fn limits_are_those_of_each_scope() {
        let room = |bytes: usize| OVERHEAD + bytes;
        let limits = VarLimits { proc: room(1), sess: room(2), txn: 2 * room(3), reqres: room(4) };
        let name = |text: &str| VarRef::parse(text).unwrap();
        let text = |length: usize| Stored::Str(vec![b'x'; length]);
        let fits = |vars: &mut Vars, n: &str, length| vars.set_limited(&name(n), &text(length).sample(), &limits);
        for (n, most) in [("sess.a", 2), ("req.a", 4), ("res.a", 4)] {
            let mut vars = Vars::default();
            assert!(!fits(&mut vars, n, most + 1) && fits(&mut vars, n, most), "{n}");
        }
        let mut vars = Vars::default();
        assert!(fits(&mut vars, "req.a", 4) && !fits(&mut vars, "req.b", 0) && fits(&mut vars, "req.a", 3));
        assert!(!fits(&mut vars, "txn.a", 4) && fits(&mut vars, "txn.a", 3));
        let proc = ProcVars::default();
        assert!(!proc.set_limited(&name("proc.a"), &text(2).sample(), &limits));
        assert!(proc.set_limited(&name("proc.a"), &text(1).sample(), &limits));
    }
}
