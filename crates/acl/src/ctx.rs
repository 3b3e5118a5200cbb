//! What a rule may look at: a live transaction or a described one.
//!
//! Owns [`Ctx`] and its parts. Filled by frontend for traffic, and by `explain`, `[[test]]` and `check` from a description;
//! rules cannot tell which. Everything is borrowed: making one costs no allocation.

mod memo;
mod progress;
mod session;
mod world;

use std::cell::{Cell, RefCell};
use std::fmt;

use evenkeel_proto::{Head, Limits, Malformed, Parsed};

use crate::sample::Sample;
use crate::stick::Tracked;
use crate::vars::{Stored, VarRef, VarScope};

pub use memo::{Memo, Path, Slots, SwitchMode, WishedTimeouts, Wishes};
pub use progress::{Progress, Times};
pub use session::{Door, Listener, STICK_COUNTERS, Session, Streams, Tracks, Wire};
pub use world::{BackendCount, Count, FrontendCount, ProcessCount, ServerCount, World};

/// The moments at which rules run, in order; the same words in docs, logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// A connection was accepted.
    Accept,
    /// Its PROXY header and TLS handshake are through.
    Hello,
    /// The request head is there.
    Request,
    /// Request body bytes are there.
    Body,
    /// A server was chosen.
    Server,
    /// The response head is there.
    Response,
    /// The transaction ended.
    Done,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The time of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that never goes back, from an arbitrary start.
    pub mono_ms: u64,
    /// Microseconds since 1970 (UTC).
    pub unix_us: i64,
}

/// Body bytes that are there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Body<'a> {
    /// The bytes, chunk framing removed.
    pub bytes: &'a [u8],
    /// Whether they are all there will be.
    pub complete: bool,
    /// As what they are looked at.
    pub reading: Reading,
}

/// As what the bytes of the peer are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// As messages of HTTP: the heads are there.
    #[default]
    Messages,
    /// As they come, in tcp mode, where they may still become the head of a request.
    Undecided,
    /// As they come, in tcp mode. The head of the request is there when they begin with one, and no other comes.
    Bytes,
    /// As they come, in tcp mode: they begin with the preface of HTTP/2.
    Preface,
}

impl Reading {
    /// What `head` makes of the bytes in its block, which are those that a peer in tcp mode sent first.
    pub fn of(head: &mut Head, limits: &Limits) -> Reading {
        match head.parse_request(limits) {
            Ok(Parsed::Partial) => Reading::Undecided,
            Err(Malformed::Http2Preface) => Reading::Preface,
            Ok(Parsed::Complete) | Err(_) => Reading::Bytes,
        }
    }
}

/// Buffers for computed samples, used again by every evaluation of a worker.
#[derive(Debug, Default)]
pub struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// Larger ones are not kept.
    const KEEP: usize = 64 << 10;

    /// Lends an empty buffer to `f`.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut buffer = self.0.borrow_mut().pop().unwrap_or_default();
        let result = f(&mut buffer);
        if buffer.capacity() <= Buffers::KEEP {
            buffer.clear();
            self.0.borrow_mut().push(buffer);
        }
        result
    }
}

/// What a rule looks at and edits.
pub struct Ctx<'a> {
    /// When in the life of the transaction this is.
    pub phase: Phase,
    /// What time it is.
    pub now: Now,
    /// The client connection.
    pub session: &'a mut Session,
    /// What rules leave behind.
    pub memo: &'a mut Memo,
    /// The request head; an empty one while there is none ([`Head::is_complete`] tells).
    pub request: &'a mut Head,
    /// The response head, from phase Response on.
    pub response: Option<&'a mut Head>,
    /// The body of the message that the rules look at, or in tcp mode what the peer has sent.
    pub body: Body<'a>,
    /// How far it has come.
    pub progress: Progress<'a>,
    /// The state around it.
    pub world: &'a dyn World,
    /// Buffers of this worker.
    pub buffers: &'a Buffers,
    /// Whether no more data will come before the rules must decide (`tcp-request inspect-delay`).
    pub last: bool,
    /// Set by fetches whose data may still come.
    pub undecided: Cell<bool>,
}

impl fmt::Debug for Ctx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx").field("phase", &self.phase).field("now", &self.now).finish_non_exhaustive()
    }
}

impl Ctx<'_> {
    /// The message that header actions edit, and that `hdr` reads: the response from phase Response on.
    pub(crate) fn message(&self) -> &Head {
        match &self.response {
            Some(response) if self.phase >= Phase::Response => response,
            _ => self.request,
        }
    }

    /// As [`message`](Ctx::message), to edit it.
    pub(crate) fn message_mut(&mut self) -> &mut Head {
        match &mut self.response {
            Some(response) if self.phase >= Phase::Response => response,
            _ => self.request,
        }
    }

    /// The head of the request once it is there; in tcp mode, where it may still come, rules wait for it.
    pub(crate) fn request_head(&self) -> Option<&Head> {
        if self.body.reading == Reading::Undecided && !self.body.complete {
            self.may_come();
        }
        Some(&*self.request).filter(|head| head.is_complete())
    }

    /// A fetch found nothing, and more may come: the rule waits instead of failing.
    pub(crate) fn may_come(&self) {
        if !self.last {
            self.undecided.set(true);
        }
    }

    /// Notes what an action did, for a trace; costs one branch without.
    pub(crate) fn did(&self, what: impl FnOnce() -> String) {
        if let Some(notes) = &mut *self.memo.did.borrow_mut() {
            if !notes.is_empty() {
                notes.push_str(", ");
            }
            notes.push_str(&what());
        }
    }

    /// The number of the bind, from 1.
    pub(crate) fn listener_id(&self) -> u32 {
        self.session.listener.as_ref().map_or(self.progress.listener_id, |listener| listener.id)
    }

    /// What counter `at` tracks: the transaction's own first, then the connection's.
    pub(crate) fn tracked(&self, at: usize) -> Option<&Tracked> {
        self.memo.tracks.get(at).or_else(|| self.session.tracks.get(at))
    }

    /// Hands the value of a variable to `f`.
    pub fn var<R>(&self, name: &VarRef, f: impl FnOnce(&Stored) -> R) -> Option<R> {
        match name.scope {
            VarScope::Proc => self.world.proc_vars().read(name, f),
            VarScope::Sess => self.session.vars.borrow().get(name).map(f),
            VarScope::Txn | VarScope::Req | VarScope::Res => self.memo.vars.borrow().get(name).map(f),
        }
    }

    /// Sets a variable; `false` when its scope is full.
    pub fn set_var(&self, name: &VarRef, value: &Sample<'_>) -> bool {
        let limits = self.world.var_limits();
        match name.scope {
            VarScope::Proc => self.world.proc_vars().set_limited(name, value, &limits),
            VarScope::Sess => self.session.vars.borrow_mut().set_limited(name, value, &limits),
            VarScope::Txn | VarScope::Req | VarScope::Res => {
                self.memo.vars.borrow_mut().set_limited(name, value, &limits)
            }
        }
    }

    /// Forgets a variable.
    pub fn unset_var(&self, name: &VarRef) -> bool {
        match name.scope {
            VarScope::Proc => self.world.proc_vars().unset(name),
            VarScope::Sess => self.session.vars.borrow_mut().unset(name),
            VarScope::Txn | VarScope::Req | VarScope::Res => self.memo.vars.borrow_mut().unset(name),
        }
    }
}
