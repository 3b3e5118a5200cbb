//! What a rule may look at: a live transaction or a described one.
//!
//! Owns [`Ctx`] and its parts. Filled by frontend for traffic, and by `explain`, `[[test]]` and `check` from a description;
//! rules cannot tell which. Everything is borrowed: making one costs no allocation.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use evenkeel_proto::{Head, Limits, Malformed, Parsed};

use crate::action::bandwidth::BandwidthLimit;
use crate::fetch::{ProxyFacts, TlsFacts};
use crate::sample::Sample;
use crate::stick::{Table, Tracked};
use crate::vars::{ProcVars, Stored, VarLimits, VarRef, VarScope, Vars};

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

/// How many counters a connection or transaction may track (`tune.stick-counters`).
pub const STICK_COUNTERS: usize = 12;

/// The stick-table entries that are tracked, by number of the counter.
#[derive(Debug, Default)]
pub struct Tracks {
    slots: Option<Box<[Option<Tracked>; STICK_COUNTERS]>>,
    /// One bit for each slot that is filled: most of the room is never looked at.
    filled: u16,
}

impl Tracks {
    /// What counter `at` tracks.
    pub fn get(&self, at: usize) -> Option<&Tracked> {
        self.slots.as_ref()?.get(at)?.as_ref()
    }

    /// Lets counter `at` track `entry`.
    pub fn set(&mut self, at: usize, entry: Tracked) {
        if let Some(slot) = self.slots.get_or_insert_default().get_mut(at) {
            *slot = Some(entry);
            self.filled |= 1 << at;
        }
    }

    /// All that is tracked, with the number of its counter.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Tracked)> {
        filled(self.filled).filter_map(|at| Some((at, self.get(at)?)))
    }

    /// Whether anything was ever tracked here: a look that costs nothing.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.slots.is_some()
    }

    /// Whether nothing is tracked.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The same entries, tracked once more.
    fn fork(&self, now_ms: u64) -> Tracks {
        let mut tracks = Tracks::default();
        for (at, entry) in self.iter() {
            if let Some(again) = entry.again(now_ms) {
                tracks.set(at, again);
            }
        }
        tracks
    }

    /// Ends all tracking; the room is kept for the next transaction.
    pub fn clear(&mut self) {
        if let Some(slots) = &mut self.slots {
            filled(self.filled).for_each(|at| slots[at] = None);
        }
        self.filled = 0;
    }
}

/// The numbers of the bits that are set, rising.
fn filled(mut bits: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = bits.trailing_zeros() as usize;
        // Takes the lowest away; of none there is none.
        bits &= bits.wrapping_sub(1);
        (at < STICK_COUNTERS).then_some(at)
    })
}

/// The protocol of a connection as it is on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1, or no HTTP at all.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

impl Wire {
    /// Its major version.
    pub fn major(self) -> i64 {
        match self {
            Wire::Http1 => 1,
            Wire::Http2 => 2,
            Wire::Http3 => 3,
        }
    }
}

/// The bind a connection came by.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its number in the frontend, from 1 (`so_id`).
    pub id: u32,
    /// The rest.
    pub door: Arc<dyn Door>,
}

/// What rules see of a bind.
pub trait Door: std::fmt::Debug + Send + Sync {
    /// Its name (`so_name`).
    fn name(&self) -> &str;
    /// Connections on it now (`dst_conn`).
    fn connections(&self) -> u32;
}

/// What the streams of one connection add up to, as it is now.
#[derive(Debug, Default)]
pub struct Streams {
    /// Those that are open (`fc_nb_streams`).
    pub open: AtomicU32,
    /// Requests that were refused for what they looked like (`fc_glitches`).
    pub glitches: AtomicU32,
}

/// What lasts as long as the client connection.
#[derive(Debug, Default)]
pub struct Session {
    /// Client address as rules see it: `set-src` and the PROXY protocol change it. `None` for Unix sockets.
    pub src: Option<SocketAddr>,
    /// Address the client connected to, as rules see it.
    pub dst: Option<SocketAddr>,
    /// The two addresses of the socket itself.
    pub real: (Option<SocketAddr>, Option<SocketAddr>),
    /// When it was accepted, in microseconds since 1970.
    pub accepted_us: i64,
    /// Requests begun on it, this one included.
    pub requests: u32,
    /// What it speaks on the wire (`fc_http_major`).
    pub wire: Wire,
    /// What its PROXY header said, when it began with one.
    pub proxied: Option<Arc<ProxyFacts>>,
    /// What its TLS handshake came to, when it has TLS.
    pub tls: Option<Arc<TlsFacts>>,
    /// The streams beside this one, where the connection has several.
    pub streams: Option<Arc<Streams>>,
    /// Variables of scope `sess`.
    pub vars: RefCell<Vars>,
    /// What `tcp-request connection` and `session` rules track.
    pub tracks: Tracks,
    /// The bind it came by; `None` where that is only described.
    pub listener: Option<Listener>,
    /// `src` and `dst` as they were before content or HTTP rules changed them.
    pub lasting: Option<(Option<SocketAddr>, Option<SocketAddr>)>,
}

impl Session {
    /// The session as one of the streams that share the connection has it: what is known of the connection, and its tracked
    /// entries, which it keeps but does not count as another connection. What it sets afterwards is its own.
    #[must_use]
    pub fn fork(&self, now_ms: u64) -> Session {
        Session {
            src: self.src,
            dst: self.dst,
            real: self.real,
            accepted_us: self.accepted_us,
            requests: self.requests,
            wire: self.wire,
            proxied: self.proxied.clone(),
            tls: self.tls.clone(),
            streams: self.streams.clone(),
            vars: RefCell::new(self.vars.borrow().clone()),
            tracks: self.tracks.fork(now_ms),
            listener: self.listener.clone(),
            lasting: None,
        }
    }

    /// A transaction ended: what its `set-src` and `set-dst` said of it does not hold for the next request.
    pub fn end_transaction(&mut self) {
        if let Some((src, dst)) = self.lasting.take() {
            (self.src, self.dst) = (src, dst);
        }
    }
}

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

/// Milliseconds of the parts of a transaction; -1: did not happen (yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// `%Th`: PROXY header and TLS handshake.
    pub handshake: i64,
    /// `%Ti`: idle before the request.
    pub idle: i64,
    /// `%TR`: first byte of the request to the end of its head.
    pub request: i64,
    /// `%Tw`: in queues.
    pub queue: i64,
    /// `%Tc`: connecting.
    pub connect: i64,
    /// `%Tr`: from connected to the response head.
    pub response: i64,
    /// `%Td`: the response body.
    pub data: i64,
    /// `%Ta`: first byte of the request to the end.
    pub active: i64,
    /// `%Tt`: accept to the end.
    pub total: i64,
}

impl Times {
    /// Nothing happened yet.
    pub const NONE: Times = Times {
        handshake: 0,
        idle: 0,
        request: -1,
        queue: -1,
        connect: -1,
        response: -1,
        data: -1,
        active: -1,
        total: -1,
    };
}

impl Default for Times {
    fn default() -> Times {
        Times::NONE
    }
}

/// How far the transaction has come, as its driver knows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress<'a> {
    /// Frontend name.
    pub frontend: &'a str,
    /// Its number (`fe_id`).
    pub frontend_id: u32,
    /// Its `default_backend`.
    pub default_backend: Option<&'a str>,
    /// Name of the bind (`so_name`).
    pub listener: &'a str,
    /// Its number, from 1 (`so_id`).
    pub listener_id: u32,
    /// The backend, once chosen.
    pub backend: Option<&'a str>,
    /// Its number (`be_id`).
    pub backend_id: u32,
    /// The server, once chosen.
    pub server: Option<&'a str>,
    /// Its number (`srv_id`).
    pub server_id: u32,
    /// Its address.
    pub server_addr: Option<SocketAddr>,
    /// Our address towards it.
    pub server_src: Option<SocketAddr>,
    /// What it speaks on the wire (`bc_http_major`).
    pub server_wire: Wire,
    /// What the TLS handshake with it came to, when that connection has TLS.
    pub server_tls: Option<&'a TlsFacts>,
    /// Whether the connection to it was used before (`bc_reused`).
    pub reused: bool,
    /// Times up to now.
    pub times: Times,
    /// When the request began, in microseconds since 1970.
    pub began_us: i64,
    /// Bytes read from the client.
    pub bytes_in: u64,
    /// Bytes written to the client.
    pub bytes_out: u64,
    /// Bytes written to the server.
    pub bytes_up: u64,
    /// Bytes read from the server.
    pub bytes_down: u64,
    /// Status the client got.
    pub status: Option<u16>,
    /// Status the server sent.
    pub server_status: Option<u16>,
    /// HAProxy's termination letters; empty while it runs.
    pub letters: &'a str,
    /// Label, code and sentence of the reason it ended; empty while it runs.
    pub reason: [&'a str; 3],
    /// Sessions of process, frontend, backend, server (`%ac %fc %bc %sc`).
    pub sessions: [u64; 4],
    /// Positions in the queues of server and backend (`%sq %bq`).
    pub queued: [u64; 2],
    /// HTTP/2 error codes of client and server, where one reset its stream.
    pub resets: [Option<u32>; 2],
    /// Attempts after the first (`%rc`).
    pub retries: u32,
    /// Whether it went to another server than the one first chosen.
    pub redispatched: bool,
    /// Requests of the process before this one (`%rt`).
    pub serial: u64,
    /// Capture slots the frontend declares for requests and for responses: braces are logged where there are any.
    pub captures: [usize; 2],
    /// Bytes of the target that log lines hold (`tune.log-uri-len`); 0: all.
    pub log_uri_len: usize,
    /// Whether what still grows is marked with a `+`: the line is written before the end (`option logasap`).
    pub early: bool,
    /// What the log line is written for (`%OG`); empty where none is.
    pub origin: &'a str,
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

/// Which live number a fetch asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count<'n> {
    /// Of the process.
    Process(ProcessCount),
    /// Of the frontend of that name.
    Frontend(&'n str, FrontendCount),
    /// Of the backend of that name.
    Backend(&'n str, BackendCount),
    /// Of the server of that backend.
    Server(&'n str, &'n str, ServerCount),
}

/// Live numbers of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessCount {
    /// Client connections (`act_conn`).
    Connections,
    /// Process id.
    Pid,
    /// Seconds since the start.
    Uptime,
    /// 1 during a soft stop.
    Stopping,
    /// Worker number.
    Thread,
    /// Number of workers.
    Threads,
}

/// Live numbers of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrontendCount {
    /// Connections (`fe_conn`).
    Connections,
    /// Requests in the last second (`fe_req_rate`).
    RequestRate,
    /// Connections in the last second (`fe_sess_rate`).
    SessionRate,
    /// `timeout.client`, ms (`fe_client_timeout`).
    ClientTimeout,
    /// Transactions and connections it logged (`%lc`).
    LogLines,
}

/// Live numbers of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendCount {
    /// Usable servers (`nbsrv`).
    UsableServers,
    /// Requests in flight (`be_conn`).
    Connections,
    /// Free slots; `None` when a server has no `maxconn` (`be_conn_free`).
    FreeConnections,
    /// Free slots in servers and queues (`connslots`).
    FreeSlots,
    /// Requests that wait (`queue`).
    Queue,
    /// Requests in the last second (`be_sess_rate`).
    SessionRate,
    /// `timeout.server`, ms (`be_server_timeout`).
    ServerTimeout,
    /// `timeout.tunnel`, ms (`be_tunnel_timeout`).
    TunnelTimeout,
    /// Its number (`be_id`).
    Id,
}

/// Live numbers of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerCount {
    /// 1 when it takes requests (`srv_is_up`).
    Up,
    /// Requests in flight (`srv_conn`).
    Connections,
    /// Free slots (`srv_conn_free`).
    FreeConnections,
    /// Requests that wait for it (`srv_queue`).
    Queue,
    /// Requests in the last second (`srv_sess_rate`).
    SessionRate,
    /// Weight as it counts now (`srv_weight`).
    Weight,
    /// Weight of the configuration (`srv_iweight`).
    InitialWeight,
    /// Weight as the operator set it (`srv_uweight`).
    UserWeight,
    /// Its number (`srv_id`).
    Id,
}

/// The live state around the transaction, or a described one.
pub trait World {
    /// A live number; `None` when there is no such object or the number is not known.
    fn count(&self, what: Count<'_>) -> Option<i64>;
    /// The stick table of that index in the configuration.
    fn table(&self, at: usize) -> Option<&Arc<Table>>;
    /// The variables of the process.
    fn proc_vars(&self) -> &ProcVars;
    /// Bytes that variables may take.
    fn var_limits(&self) -> VarLimits {
        VarLimits::DEFAULT
    }
    /// A random number.
    fn random(&self) -> u64;
    /// The name of this machine.
    fn hostname(&self) -> &str;
    /// Whether this is a description of something else: tables and variables are then this world's own, but pattern files
    /// and maps are those of traffic and must be left alone.
    fn is_described(&self) -> bool {
        false
    }
    /// Whether that is an address of this machine (`src_is_local`); without a list of them, a loopback address is.
    fn is_local(&self, ip: IpAddr) -> bool {
        ip.to_canonical().is_loopback()
    }
    /// Seconds that local time is ahead of UTC at `unix_s` (dates of logs).
    fn utc_offset(&self, _unix_s: i64) -> i32 {
        0
    }
    /// The name of this node as configured, else as [`hostname`](World::hostname).
    fn node(&self) -> &str {
        self.hostname()
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
