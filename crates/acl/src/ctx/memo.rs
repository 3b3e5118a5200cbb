//! What rules leave behind in a transaction: variables, captures, tracked counters, and what they ask of its driver.

use std::cell::RefCell;
use std::sync::Arc;

use super::Tracks;
use crate::action::bandwidth::BandwidthLimit;
use crate::vars::Vars;

/// Which rules held, in the order in which they were looked at: cheap enough to be kept for every transaction, so that
/// `why` can tell afterwards what was decided then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    held: [u64; 4],
    len: u16,
}

impl Path {
    /// Rules that are kept; later ones are not.
    pub const RULES: usize = 256;

    /// Another rule was looked at.
    #[inline]
    pub(crate) fn push(&mut self, held: bool) {
        let at = usize::from(self.len);
        if let Some(word) = self.held.get_mut(at / 64) {
            *word |= u64::from(held) << (at % 64);
            self.len += 1;
        }
    }

    /// Whether each held.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..usize::from(self.len)).map(|at| self.held[at / 64] >> (at % 64) & 1 == 1)
    }
}

/// What rules leave behind in one transaction.
#[derive(Debug, Default)]
pub struct Memo {
    /// The rules that were looked at.
    pub path: Path,
    /// Variables of scopes `txn`, `req` and `res`.
    pub vars: RefCell<Vars>,
    /// What content and HTTP rules track.
    pub tracks: Tracks,
    /// The request was counted in what was tracked by then; what is tracked from now on counts it as it begins.
    pub request_counted: bool,
    /// The slots of captures of the request, in the order of their declaration.
    pub captured_request: RefCell<Slots>,
    /// The slots of captures of the response.
    pub captured_response: RefCell<Slots>,
    /// What `capture cookie` kept, as `name=value`: slot 0 of the request, slot 1 of the response.
    pub captured_cookies: RefCell<Slots>,
    /// What rules ask of the rest of the transaction.
    pub wishes: Wishes,
    /// The request id, once it was made.
    pub unique_id: RefCell<Vec<u8>>,
    /// What the action that runs did, while somebody traces.
    pub did: RefCell<Option<String>>,
}

impl Memo {
    /// Forgets all, keeps the allocations.
    pub fn clear(&mut self) {
        self.vars.get_mut().clear();
        self.tracks.clear();
        self.request_counted = false;
        self.captured_request.get_mut().clear();
        self.captured_response.get_mut().clear();
        self.captured_cookies.get_mut().clear();
        self.unique_id.get_mut().clear();
        *self.did.get_mut() = None;
        self.path = Path::default();
        self.wishes = Wishes::default();
    }
}

/// Captured values by slot.
#[derive(Clone, Debug, Default)]
pub struct Slots(Vec<Option<Vec<u8>>>);

impl Slots {
    /// The value of slot `at`.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        self.0.get(at)?.as_deref()
    }

    /// One past the last slot that was filled.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no slot was filled.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fills slot `at`.
    pub fn set(&mut self, at: usize, value: &[u8]) {
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        self.0[at] = Some(value.to_vec());
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// What actions ask of the rest of the transaction; `None` leaves it as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `set-timeout`, in milliseconds.
    pub timeouts: WishedTimeouts,
    /// `set-retries`.
    pub retries: Option<u32>,
    /// `disable-l7-retry`.
    pub no_l7_retry: bool,
    /// `set-log-level`: 0 (emerg) to 7 (debug), 8 = silent.
    pub log_level: Option<u8>,
    /// `do-log profile`: for the line that is asked for now.
    pub log_profile: Option<Arc<str>>,
    /// `set-priority-class`, -2047 to 2047.
    pub priority_class: i16,
    /// `set-priority-offset`, milliseconds.
    pub priority_offset: i32,
    /// `set-nice`, -1024 to 1024.
    pub nice: i16,
    /// `set-bandwidth-limit` of what the client sends.
    pub upload_limit: Option<BandwidthLimit>,
    /// `set-bandwidth-limit` of what it receives.
    pub download_limit: Option<BandwidthLimit>,
    /// `early-hint` fields, in order.
    pub early_hints: Vec<(Arc<str>, Vec<u8>)>,
    /// `expect-proxy layer4`: the connection begins with a PROXY header.
    pub expect_proxy: bool,
    /// `strict-mode off`: edits that cannot be made are left out. Holds until the rule set ends.
    pub lax: bool,
    /// `switch-mode http`: the connection in tcp mode goes on as HTTP.
    pub switch_mode: Option<SwitchMode>,
    /// The last rule whose action ended its rule set (`last_rule_file`, `last_rule_line`).
    pub last_rule: Option<crate::trace::Place>,
    /// The rule that waits (`waiting_entity`).
    pub waiting: Option<crate::trace::Place>,
}

/// The protocol that a connection goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchMode {
    /// HTTP/1, or HTTP/2 when ALPN or its preface says so.
    Http,
    /// `proto h1`: HTTP/1.
    Http1,
    /// `proto h2`: HTTP/2.
    Http2,
}

/// Timeouts that rules override, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WishedTimeouts {
    /// `client`.
    pub client: Option<u64>,
    /// `connect`.
    pub connect: Option<u64>,
    /// `queue`.
    pub queue: Option<u64>,
    /// `server`.
    pub server: Option<u64>,
    /// `tarpit`.
    pub tarpit: Option<u64>,
    /// `tunnel`.
    pub tunnel: Option<u64>,
}
