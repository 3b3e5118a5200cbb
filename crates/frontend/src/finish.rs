//! What is noted while a transaction or a TCP connection runs, and the one place where it is counted and logged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use evenkeel_acl::count::Counted;
use evenkeel_acl::stick::Tracked;
use evenkeel_acl::{Memo, Progress, Session, TlsFacts, Wire, count};
use evenkeel_backend::{BackendState, Group, Server};
use evenkeel_config::{DecisionLog, ServerAddress};
use evenkeel_stats::TrafficSheet;

use crate::clock;
use crate::conn::Conn;
use crate::decision::{Decision, Heads, Keep, TrackedThen};
use crate::end::{End, Fault, Stage};
use crate::log::{Queues, Record, Times};
use crate::snapshot::Entrance;
use crate::state::Failure;
use crate::upstream::{Upstream, Waited};
use crate::worker::Worker;

/// Notes of one transaction.
#[derive(Debug)]
pub(crate) struct Tally {
    /// First byte of the request; accept for TCP.
    pub(crate) began: Instant,
    pub(crate) times: Times,
    pub(crate) status: Option<u16>,
    /// From the client.
    pub(crate) bytes_in: u64,
    /// To the client.
    pub(crate) bytes_out: u64,
    /// To the server.
    pub(crate) bytes_up: u64,
    /// From the server.
    pub(crate) bytes_down: u64,
    pub(crate) end: End,
    pub(crate) retries: u32,
    pub(crate) redispatched: bool,
    /// Servers that did not do, with the reason.
    pub(crate) tried: Vec<(Arc<str>, End)>,
    /// Which of its worker's transactions it is; 0: none, there was no request.
    pub(crate) serial: u64,
    /// Which of the process's it is, from 0 (`%rt`).
    pub(crate) number: u64,
    /// The id that `unique-id-format` gave it.
    pub(crate) unique: String,
    /// Status of the server's answer, before rules changed it.
    pub(crate) server_status: Option<u16>,
    /// It is neither logged nor remembered (`monitor-uri`).
    pub(crate) quiet: bool,
    /// What answered in place of a server (`use-service`).
    pub(crate) service: Option<&'static str>,
    /// Its line is written (`option.logasap`).
    pub(crate) logged: bool,
    /// A dead pooled connection was replaced once.
    pub(crate) stale: bool,
    waited: Waited,
    surplus_counted: bool,
    backend: Option<InBackend>,
    server: Option<Arc<Server>>,
    /// Its number in the backend, from 1.
    server_id: u32,
    /// Where it listens; `None` for a Unix socket.
    server_addr: Option<SocketAddr>,
    /// What its connection speaks, what TLS it has, and whether it was used before.
    server_wire: Wire,
    server_tls: Option<Arc<TlsFacts>>,
    server_reused: bool,
    /// HTTP/2 error codes of client and server, where one reset its stream.
    pub(crate) resets: [Option<u32>; 2],
    /// Milliseconds that the PROXY header and the TLS handshake took, for the first request after them.
    pub(crate) handshake: i64,
    /// Milliseconds that the connection waited for its first byte, after the handshake or the last answer.
    pub(crate) idle: i64,
    /// It began with the connection: the handshake is part of it.
    pub(crate) from_accept: bool,
    /// Our address on it, where it may be asked for.
    server_src: Option<SocketAddr>,
}

/// A transaction that ended, as far as it may be remembered.
pub(crate) struct Past<'a> {
    /// Which are remembered.
    pub(crate) conf: &'a DecisionLog,
    /// The configuration it was served under.
    pub(crate) generation: u64,
    pub(crate) conn: &'a Conn,
    pub(crate) entrance: &'a Entrance,
    pub(crate) group: Option<&'a Arc<Group>>,
    pub(crate) memo: &'a Memo,
    pub(crate) heads: Heads<'a>,
}

/// Counts a session in its backend for as long as it lives.
#[derive(Debug)]
struct InBackend(Arc<BackendState>);

impl Drop for InBackend {
    fn drop(&mut self) {
        self.0.sessions.leave();
    }
}

impl Tally {
    /// Begins at `began`.
    pub(crate) fn new(began: Instant) -> Tally {
        Tally {
            began,
            times: Times::NONE,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            bytes_up: 0,
            bytes_down: 0,
            end: End::Internal,
            retries: 0,
            redispatched: false,
            tried: Vec::new(),
            serial: 0,
            number: 0,
            unique: String::new(),
            server_status: None,
            quiet: false,
            service: None,
            logged: false,
            stale: false,
            waited: Waited::default(),
            surplus_counted: false,
            backend: None,
            server: None,
            server_id: 0,
            server_addr: None,
            server_wire: Wire::Http1,
            server_tls: None,
            server_reused: false,
            resets: [None; 2],
            handshake: 0,
            idle: 0,
            from_accept: false,
            server_src: None,
        }
    }

    /// That of a connection in TCP mode, whose handshake took so many milliseconds.
    pub(crate) fn of_connection(accepted: Instant, handshake: i64) -> Tally {
        Tally { handshake, from_accept: true, ..Tally::new(accepted) }
    }

    /// How far the transaction has come, for rules and formats.
    pub(crate) fn progress<'p>(&'p self, entrance: &'p Entrance, group: Option<&'p Group>) -> Progress<'p> {
        let server = self.server.as_ref();
        let t = self.times;
        let before = self.handshake + self.idle;
        let (active, total) = match (t.total, self.from_accept) {
            (-1, _) => (-1, -1),
            (all, true) => ((all - before).max(0), all),
            (all, false) => (all, before + all),
        };
        Progress {
            frontend: &entrance.conf.name,
            frontend_id: entrance.conf.id,
            default_backend: entrance.conf.default_backend.as_deref(),
            listener_id: 1,
            backend: group.map(|group| &*group.conf.name),
            backend_id: group.map_or(0, |group| group.conf.id),
            server: server.map(|server| &*server.name).or(self.service),
            server_id: self.server_id,
            server_addr: self.server_addr,
            server_wire: self.server_wire,
            server_tls: self.server_tls.as_deref(),
            reused: self.server_reused,
            server_src: self.server_src,
            times: evenkeel_acl::Times {
                handshake: self.handshake,
                request: t.request,
                queue: t.queue,
                connect: t.connect,
                response: t.response,
                idle: self.idle,
                data: self.data_time(active),
                active,
                total,
            },
            began_us: clock::unix_us(self.began),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            status: self.status,
            server_status: self.server_status,
            resets: self.resets,
            retries: self.retries,
            redispatched: self.redispatched,
            serial: self.number,
            captures: [entrance.conf.captures.request.len(), entrance.conf.captures.response.len()],
            ..Progress::default()
        }
    }

    /// Milliseconds since the head of the answer, of `active` in all; in TCP mode since the connection to the server stood.
    fn data_time(&self, active: i64) -> i64 {
        let t = self.times;
        let last = if self.from_accept { t.connect } else { t.response };
        if active < 0 || last < 0 {
            return -1;
        }
        let until = [t.request, t.queue, t.connect, t.response].into_iter().map(|part| part.max(0)).sum::<i64>();
        (active - until).max(0)
    }

    /// As [`progress`](Tally::progress) when all is over; `letters` are those of the termination state.
    pub(crate) fn outcome<'p>(
        &'p self,
        worker: &Worker,
        entrance: &'p Entrance,
        group: Option<&'p Group>,
        letters: &'p str,
    ) -> Progress<'p> {
        let entry = self.end.entry();
        Progress {
            letters,
            reason: [entry.label, entry.code, entry.sentence],
            sessions: [
                worker.process.connections.now(),
                entrance.state.sessions.now(),
                group.map_or(0, |group| group.state.sessions.now()),
                self.server.as_ref().map_or(0, |server| server.sessions.now()),
            ]
            .map(u64::from),
            queued: [self.waited.server_ahead, self.waited.backend_ahead].map(u64::from),
            ..self.progress(entrance, group)
        }
    }

    /// Milliseconds since it began.
    pub(crate) fn since_begin(&self) -> i64 {
        clock::now().saturating_duration_since(self.began).as_millis() as i64
    }

    /// The transaction is its backend's from now on.
    pub(crate) fn enter_backend(&mut self, group: &Group, worker: usize) {
        group.state.sessions.enter();
        let sheet = group.state.sheet.shard(worker);
        sheet.sessions.inc();
        sheet.session_rate.inc(clock::rate_ms());
        self.backend = Some(InBackend(group.state.clone()));
    }

    /// The connection to the server stands.
    pub(crate) fn connected_by(&mut self, up: &Upstream, src: bool) {
        self.server_src = if src { up.stream.local_addr() } else { None };
        self.server_addr = up.to.or(self.server_addr);
        self.server_wire = if up.stream.h2().is_some() { Wire::Http2 } else { Wire::Http1 };
        self.server_tls = up.tls.clone();
        self.server_reused = up.reused;
    }

    /// A server was chosen.
    pub(crate) fn enter_server(&mut self, group: &Group, slot: usize, worker: usize) {
        let chosen = &group.slots[slot];
        let server = &chosen.server;
        self.server_id = slot as u32 + 1;
        self.server_addr = match &chosen.conf.address {
            ServerAddress::Inet(addr) => Some(*addr),
            // Known once the connection stands.
            ServerAddress::Unix(_) | ServerAddress::Destination(_) => None,
        };
        let again = self.server.as_ref().is_some_and(|s| Arc::ptr_eq(s, server));
        if !again {
            let sheet = server.sheet.shard(worker);
            sheet.sessions.inc();
            sheet.session_rate.inc(clock::rate_ms());
            self.server = Some(server.clone());
        }
    }

    /// It was queued since `asked`.
    pub(crate) fn waited(&mut self, asked: Instant, waited: Waited) {
        self.times.queue += clock::now().saturating_duration_since(asked).as_millis() as i64;
        self.waited.server_ahead = self.waited.server_ahead.max(waited.server_ahead);
        self.waited.backend_ahead = self.waited.backend_ahead.max(waited.backend_ahead);
    }

    /// A connection is there; attempts began at `began`, queueing included.
    pub(crate) fn connected(&mut self, began: Instant) {
        let all = clock::now().saturating_duration_since(began).as_millis() as i64;
        self.times.connect = (all - self.times.queue).max(0);
    }

    /// Body bytes that came with the head: `surplus` the first time, 0 when the request is sent again.
    pub(crate) fn surplus_once(&mut self, surplus: usize) -> u64 {
        if std::mem::replace(&mut self.surplus_counted, true) { 0 } else { surplus as u64 }
    }

    /// Counts against backend and server what was theirs or the client's fault.
    pub(crate) fn blame(&self, group: &Group, up: &Upstream, worker: usize) {
        let (backend, server) = (group.state.sheet.shard(worker), up.server().sheet.shard(worker));
        if self.end.client_failed() {
            backend.client_aborts.inc();
            server.client_aborts.inc();
        } else if self.end.entry().fault == Fault::Server {
            backend.response_errors.inc();
            server.response_errors.inc();
            if self.end.stage() == Stage::Data {
                backend.server_aborts.inc();
                server.server_aborts.inc();
            }
        }
    }

    /// Adds everything to the counters.
    pub(crate) fn count(&mut self, worker: &Worker, entrance: &Entrance, group: Option<&Arc<Group>>) {
        let id = worker.id;
        self.times.total = self.since_begin();
        worker.process.ends.shard(id).record(self.end);
        let front = entrance.state.sheet.shard(id);
        front.bytes_in.add(self.bytes_in);
        front.bytes_out.add(self.bytes_out);
        if self.end.is_error() {
            self.count_failure(entrance, group, id);
        }
        if let Some(status) = self.status {
            front.responses.record(status);
        }
        let Some(group) = group else { return };
        self.count_traffic(group.state.sheet.shard(id));
        if let Some(server) = &self.server {
            self.count_traffic(server.sheet.shard(id));
        }
    }

    /// Adds to the stick-table entries that rules track what is known at the end only.
    pub(crate) fn count_tracked(&self, conn: &Conn, memo: &Memo, counted: &Counted) {
        let session = &conn.session;
        if !memo.tracks.is_used() && !session.tracks.is_used() {
            return;
        }
        let now = conn.admission.worker.now_ms();
        count::on_bytes(session, memo, self.bytes_in, self.bytes_out, now);
        match (self.end, self.server_status) {
            (End::Denied | End::Tarpitted | End::Unauthorized | End::Rejected | End::SilentDropped, _) => {
                count::on_error(session, memo, now);
            }
            (_, Some(status)) => count::on_status(session, memo, status, counted, now),
            (end, None) => match end.entry().fault {
                Fault::Client => count::on_error(session, memo, now),
                // HAProxy counts answers that fail, not connections.
                Fault::Server if end.entry().stage != Stage::Connect => count::on_fail(session, memo, now),
                Fault::Server | Fault::Nobody | Fault::Operator | Fault::Proxy | Fault::Admin => {}
            },
        }
    }

    #[cold]
    fn count_failure(&self, entrance: &Entrance, group: Option<&Arc<Group>>, worker: usize) {
        let front = entrance.state.sheet.shard(worker);
        if matches!(self.end, End::RewriteFailed | End::ResponseRewriteFailed) {
            front.failed_rewrites.inc();
        }
        if self.end.status() == Some(500) && self.end != End::Tarpitted {
            front.internal_errors.inc();
        }
        entrance.state.failures.shard(worker).record(Failure {
            end: self.end,
            backend: group.map(|g| g.conf.name.clone()),
            server: self.server.as_ref().map(|s| s.name.clone()),
        });
    }

    /// What a backend and a server have in common.
    fn count_traffic(&self, sheet: &TrafficSheet) {
        sheet.requests.inc();
        sheet.bytes_in.add(self.bytes_up);
        sheet.bytes_out.add(self.bytes_out);
        if let Some(status) = self.status {
            sheet.responses.record(status);
        }
        let t = self.times;
        let phases = [
            (&sheet.queue_time, t.queue),
            (&sheet.connect_time, t.connect),
            (&sheet.response_time, t.response),
            (&sheet.total_time, t.total),
        ];
        for (average, ms) in phases {
            // A phase that was never completed is not counted.
            if let Ok(ms) = u32::try_from(ms) {
                average.record(ms);
            }
        }
    }

    /// Keeps what `why` needs to tell how this was decided, if it is one of those that are kept.
    pub(crate) fn remember(&self, past: Past<'_>) {
        let Past { conf, generation, conn, entrance, group, memo, heads } = past;
        let worker = &conn.admission.worker;
        let keep = Keep(conf);
        let took = if heads.are_of_tunnel() { self.until_answered() } else { self.times.total };
        if self.quiet || !keep.wants(self.end, self.status, took, self.serial) {
            return;
        }
        let now = worker.now_ms();
        let tracks = conn.session.tracks.iter().chain(memo.tracks.iter());
        let then = |(counter, entry): (usize, &Tracked)| {
            let (table, key) = (entry.table_name().clone(), entry.key()?.to_string());
            Some(TrackedThen { counter, table, key, values: entry.values(now) })
        };
        let decision = Decision {
            id: self.id(worker).unwrap_or_default(),
            began_us: clock::unix_us(self.began),
            generation,
            frontend: entrance.conf.clone(),
            backend: group.map(|group| group.conf.clone()),
            server: self.server.as_ref().map(|server| server.name.clone()),
            tried: self.tried.clone(),
            src: conn.session.src,
            dst: conn.session.dst,
            wire: conn.session.wire,
            tls: conn.session.tls.clone(),
            proxied: conn.session.proxied.clone(),
            heads: heads.redacted(conf),
            captured: keep.captured(&entrance.conf.captures, memo),
            path: memo.path,
            tracked: tracks.filter_map(then).collect(),
            times: self.times,
            bytes: [self.bytes_in, self.bytes_out],
            status: self.status,
            end: self.end,
            retries: self.retries,
        };
        let workers = worker.process.decisions.count();
        worker.process.decisions.shard(worker.id).push(decision, conf.entries / workers);
    }

    /// Milliseconds of its parts before bytes went both ways.
    fn until_answered(&self) -> i64 {
        let Times { request, queue, connect, response, total: _ } = self.times;
        [request, queue, connect, response].into_iter().filter(|ms| *ms >= 0).sum()
    }

    /// The id of the request: of `unique-id-format`, or made here.
    pub(crate) fn id(&self, worker: &Worker) -> Option<String> {
        match self.unique.is_empty() {
            true => (self.serial > 0).then(|| worker.id_of(self.serial)),
            false => Some(self.unique.clone()),
        }
    }

    /// What a built-in format writes. At the end the transaction has left its backend and server, as in HAProxy's line.
    pub(crate) fn record<'r>(
        &'r self,
        worker: &Worker,
        session: &'r Session,
        entrance: &'r Entrance,
        group: Option<&'r Group>,
        id: Option<&'r str>,
    ) -> Record<'r> {
        Record {
            id,
            client: session.src,
            listener: 1,
            began: self.began,
            frontend: &entrance.conf.name,
            backend: group.map_or(&entrance.conf.name, |g| &g.conf.name),
            server: self.server.as_ref().map(|s| &*s.name).or(self.service),
            times: Times { total: self.since_begin(), ..self.times },
            status: self.status,
            bytes_out: self.bytes_out,
            bytes_in: self.bytes_in,
            end: self.end,
            early: false,
            marked: false,
            step: None,
            queues: Queues {
                process: worker.process.connections.now(),
                frontend: entrance.state.sessions.now(),
                backend: group.map_or(0, |g| g.state.sessions.now()),
                server: self.server.as_ref().map_or(0, |s| s.sessions.now()),
                server_ahead: self.waited.server_ahead,
                backend_ahead: self.waited.backend_ahead,
            },
            tls: session.tls.as_deref(),
            resets: self.resets,
            retries: self.retries,
            redispatched: self.redispatched,
            request: None,
        }
    }

    /// The transaction is over: its backend counts it no longer.
    pub(crate) fn leave_backend(&mut self) {
        self.backend = None;
    }
}
