//! One HTTP request, from its first byte to its log line. The page that tells the whole story:
//!
//! read the head → frontend rules → choose the backend → backend rules → { choose a server → connect → exchange } until
//! done → count and log. Knows nothing of the client's protocol beyond [`Head`].

use std::sync::Arc;
use std::time::Duration;

use evenkeel_acl::{Cause as ReplyCause, Choice, Memo, Phase, VarScope, Wire, count};
use evenkeel_backend::{Group, Rank};
use evenkeel_config::{ClientTimeouts, ConnectionMode, LogStep, Mode};
use evenkeel_proto::{Buf, Framing, Head, Limits, Malformed, Version};
use evenkeel_wire::{Stream, h2};

use crate::arrival::{NoHead, enter, read_head, refuse};
use crate::attempt::{Asked, Attempts, Names};
use crate::bufs::Stock;
use crate::clock;
use crate::closing::{Kept, Line, close_books};
use crate::conn::Conn;
use crate::decision::Heads;
use crate::deliver::send;
use crate::end::End;
use crate::exchange::{Exchange, Outcome, Terms, is_idempotent};
use crate::finish::{Past, Tally};
use crate::greeting::Extras;
use crate::judge::{Judged, Seen};
use crate::log::RequestLine;
use crate::messages::{capture, capture_cookie, forwarded_for, host_name, host_of_old};
use crate::relay::{Half, Limits as RelayLimits, Relay};
use crate::reply::Answer;
use crate::snapshot::Entrance;
use crate::throttle::Throttle;
use crate::upstream::Upstream;
use crate::worker::Local;

/// What the connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait for another request.
    Keep,
    /// Close.
    Close,
    /// Close after the client had time to read the answer.
    Linger,
    /// The client speaks HTTP/2; what it said so far is left over.
    Preface,
}

/// The allocations of a transaction, used again by later ones.
#[derive(Debug, Default)]
pub(crate) struct Txn {
    pub(crate) req: Head,
    pub(crate) res: Head,
    /// What rules leave behind.
    pub(crate) memo: Memo,
    /// The payload of the request as far as rules may look at it.
    pub(crate) body: Vec<u8>,
    /// That is all of it.
    pub(crate) whole: bool,
    spare: [Vec<u8>; 4],
}

impl Txn {
    /// Forgets the messages, gives their blocks back, keeps the rest.
    pub(crate) fn reset(&mut self, stock: &Stock) {
        for head in [&mut self.req, &mut self.res] {
            head.reset();
            stock.give_back(head.replace_block(Buf::with_capacity(0)));
        }
        self.spare.iter_mut().for_each(Vec::clear);
        self.memo.clear();
        self.body.clear();
        self.whole = false;
    }
}

/// Serves the request that is about to arrive.
pub(crate) async fn run(conn: &mut Conn) -> Next {
    let worker = conn.admission.worker.clone();
    let mut txn = worker.stock.txn();
    let next = serve(conn, &mut txn).await;
    conn.rested = clock::now();
    worker.stock.give_back_txn(txn);
    next
}

async fn serve(conn: &mut Conn, txn: &mut Txn) -> Next {
    let Some((local, entrance)) = enter(conn) else { return Next::Close };
    let tune = &local.snapshot.config.global.tune;
    let limits = Limits { max_headers: tune.max_headers, max_head: tune.bufsize, max_uri: tune.max_uri };
    let began = clock::now();
    let mut tally = Tally::new(began);
    tally.idle = began.saturating_duration_since(conn.rested).as_millis() as i64;
    let read = read_head(conn, txn, &entrance, &limits, &mut tally).await;
    match &read {
        Err(NoHead::Nothing) => return Next::Keep,
        Err(NoHead::Malformed(Malformed::Http2Preface)) if conn.may_switch(&entrance) => {
            conn.leftover = Some(txn.req.replace_block(Buf::with_capacity(0)));
            return Next::Preface;
        }
        Ok(()) | Err(_) => {}
    }
    let switched = conn.switched.take().map(|switched| {
        txn.memo = switched.memo;
        switched.backend
    });
    match read {
        Ok(()) => {}
        Err(NoHead::Closed) if conn.requests > 0 => return Next::Close,
        Err(why) => return refuse(conn, txn, &entrance, tally, why).await,
    }
    conn.requests = conn.requests.saturating_add(1);
    tally.bytes_in = (txn.req.block().len() - txn.req.surplus().len()) as u64;
    tally.times.request = tally.since_begin();
    let sheet = entrance.state.sheet.shard(conn.admission.worker.id);
    sheet.requests.inc();
    if txn.req.version() == Version::Http2 {
        sheet.h2_requests.inc();
    }
    sheet.request_rate.inc(clock::rate_ms());
    conn.session.requests = conn.requests;
    conn.note_handshake();
    tally.handshake = std::mem::take(&mut conn.handshake);
    tally.serial = conn.admission.worker.next_serial();
    tally.number = conn.admission.worker.number_of(tally.serial);
    let cut = tune.log_uri_len;
    let mut course =
        Course { local: &local, entrance: &entrance, limits: &limits, tally, group: None, switched, tunnel: None };
    let next = course.run(conn, txn).await;
    let Course { mut tally, group, tunnel, .. } = course;
    if !txn.memo.unique_id.get_mut().is_empty() {
        tally.unique = String::from_utf8_lossy(txn.memo.unique_id.get_mut()).into_owned();
    }
    let group = group.map(|at| local.snapshot.groups[at].clone());
    let (Some(tunnel), Some(at)) = (tunnel, &group) else {
        close_books(conn, txn, &mut tally, &entrance, group.as_ref(), Line::OfHead);
        let (conf, generation) = (&local.snapshot.config.global.why, local.snapshot.generation);
        let heads = Heads::There(&txn.req, &txn.res);
        let (memo, group) = (&txn.memo, group.as_ref());
        tally.remember(Past { conf, generation, conn, entrance: &entrance, group, memo, heads });
        conn.session.end_transaction();
        return next;
    };
    // A tunnel may live long: it holds its server, not the configuration.
    let generation = local.snapshot.generation;
    let heads = Heads::detached(&local.snapshot.config.global.why, &txn.req, &txn.res);
    drop(local);
    let line = RequestLine::of(&txn.req, cut);
    let (method, target, version) = (line.method.to_vec(), line.target.to_vec(), line.version);
    let line = Line::Kept(RequestLine { method: &method, target: &target, version });
    // Nor does it hold buffers while it is idle: of the request only its first line is kept, and what the log may ask for.
    let kept = Kept::of(txn, &entrance);
    txn.reset(&conn.admission.worker.stock);
    kept.back_into(txn, &limits);
    conn.served = None;
    tunnel.run(conn, &mut tally, &entrance, at).await;
    close_books(conn, txn, &mut tally, &entrance, group.as_ref(), line);
    let local = conn.admission.worker.local();
    let conf = &local.snapshot.config.global.why;
    let (memo, group) = (&txn.memo, group.as_ref());
    tally.remember(Past { conf, generation, conn, entrance: &entrance, group, memo, heads });
    next
}

/// A request on its way through the rules to a server.
pub(crate) struct Course<'c> {
    pub(crate) local: &'c Local,
    pub(crate) entrance: &'c Arc<Entrance>,
    pub(crate) limits: &'c Limits,
    pub(crate) tally: Tally,
    pub(crate) group: Option<usize>,
    /// It is the first request of a connection that began in tcp mode: which backend made it HTTP, if that did.
    switched: Option<Option<Arc<str>>>,
    tunnel: Option<Tunnel>,
}

/// What follows an exchange that ended as a tunnel.
struct Tunnel {
    up: Upstream,
    /// Bytes for the server that came behind the request.
    to_server: Option<Buf>,
    /// The head of the answer and what came behind it.
    to_client: Buf,
    /// `set-timeout tunnel`.
    timeout: Option<Duration>,
    /// `set-bandwidth-limit`.
    throttles: [Option<Throttle>; 2],
    /// `set-nice`.
    nice: i16,
}

impl Tunnel {
    /// WebSockets, CONNECT: bytes both ways until either side is done.
    async fn run(self, conn: &mut Conn, tally: &mut Tally, entrance: &Entrance, group: &Group) {
        let limits = RelayLimits::new(&entrance.conf.timeout, &group.conf.timeout).with_tunnel(self.timeout);
        let [up, down] = self.throttles;
        let up = Half::starting_with(self.to_server).heeding(self.nice, up);
        let down = Half::starting_with(Some(self.to_client)).heeding(self.nice, down);
        let relay = Relay::new(up, down, limits);
        let (end, up_bytes, down_bytes) = relay.run(conn, &self.up.stream, self.up.server()).await;
        tally.bytes_up += up_bytes;
        tally.bytes_in += up_bytes;
        tally.bytes_out += down_bytes;
        tally.bytes_down += down_bytes;
        tally.end = end;
        tally.blame(group, &self.up, conn.admission.worker.id);
    }
}

impl Course<'_> {
    async fn run(&mut self, conn: &mut Conn, txn: &mut Txn) -> Next {
        let conf = &self.entrance.conf;
        capture(&conf.captures.request, &txn.req, &txn.memo.captured_request);
        capture_cookie(conf.captures.cookie.as_ref(), b"cookie", &txn.req, &txn.memo.captured_cookies, 0);
        self.name_request(conn, txn);
        if let Some(next) = self.monitor(conn, txn).await {
            return next;
        }
        if self.switched.is_none() {
            self.tell(LogStep::Accept, conn, txn);
            if let Some(next) = self.apply(&conf.tcp_request_content, LogStep::TcpReqCont, conn, txn).await {
                return next;
            }
        }
        if txn.memo.tracks.is_used() || conn.session.tracks.is_used() {
            count::on_request(&conn.session, &txn.memo, conn.admission.worker.now_ms());
        }
        txn.memo.request_counted = true;
        let local = self.local;
        let given = self.switched.take().flatten().and_then(|name| local.snapshot.route(&name));
        if conf.option.buffer_request
            && let Some(next) = self.buffer_request(conn, txn, &conf.timeout).await
        {
            return next;
        }
        for rules in [&conf.http_request, &conf.redirect].into_iter().filter(|_| given.is_none()) {
            if let Some(next) = self.apply(rules, LogStep::HttpReq, conn, txn).await {
                return next;
            }
        }
        let at = match given.map_or_else(|| self.route(conn, txn), Ok) {
            Ok(at) => at,
            Err(end) => return self.fail(conn, txn, end).await,
        };
        let group = &local.snapshot.groups[at];
        if group.conf.mode == Mode::Tcp {
            return self.fail(conn, txn, End::BackendIsTcp).await;
        }
        self.group = Some(at);
        self.tally.enter_backend(group, conn.admission.worker.id);
        if !group.conf.is_half_of(conf) {
            if group.conf.option.buffer_request
                && !conf.option.buffer_request
                && let Some(next) = self.buffer_request(conn, txn, &conf.timeout).await
            {
                return next;
            }
            let sets = [
                (&group.conf.tcp_request_content, LogStep::TcpReqCont),
                (&group.conf.http_request, LogStep::HttpReq),
                (&group.conf.redirect, LogStep::HttpReq),
            ];
            for (rules, step) in sets {
                if let Some(next) = self.apply(rules, step, conn, txn).await {
                    return next;
                }
            }
        }
        if let Some(header) = &conf.unique_id_header {
            // A full head goes without it.
            let id = std::mem::take(txn.memo.unique_id.get_mut());
            let _ = txn.req.add(header.as_bytes(), &id);
            *txn.memo.unique_id.get_mut() = id;
        }
        host_of_old(&mut txn.req);
        if conn.session.wire == Wire::Http2 {
            // Only a proxy is sent the absolute form (RFC 9112 §3.2.2); scheme and authority were the stream's.
            txn.req.set_origin_form();
        }
        forwarded_for(&mut txn.req, conn.session.src, conf.forwardfor.as_ref(), group.conf.forwardfor.as_ref());
        if !self.hint(conn, txn).await {
            self.tally.end = End::ClientClosedWaiting;
            return Next::Close;
        }
        if conn.is_early() {
            // RFC 8470 §5.1: the server may answer 425 to what it does not want replayed. A full head goes without the field.
            let _ = txn.req.set(b"Early-Data", b"1");
        }
        self.tell(LogStep::Request, conn, txn);
        self.tally.times.queue = 0;
        self.attempt(conn, txn, at).await
    }

    /// `option.http-buffer-request`: waits for the body before rules look at the request; `Some` when it did not come.
    async fn buffer_request(&mut self, conn: &mut Conn, txn: &mut Txn, timeout: &ClientTimeouts) -> Option<Next> {
        match self.wait_for_body(conn, txn, timeout.http_request.or(timeout.client), 0).await {
            Ok(()) => None,
            Err(end) => Some(self.fail(conn, txn, end).await),
        }
    }

    /// Gives the request the id of `unique-id-format`.
    fn name_request(&self, conn: &mut Conn, txn: &mut Txn) {
        if let Some(format) = &self.entrance.conf.unique_id_format {
            let mut id = Vec::with_capacity(64);
            self.look(conn, txn, Phase::Request, |ctx| format.write(ctx, &mut id));
            *txn.memo.unique_id.get_mut() = id;
        }
    }

    /// `monitor-uri`: tells a balancer in front of us that we live, before any rule; it is never logged.
    async fn monitor(&mut self, conn: &mut Conn, txn: &mut Txn) -> Option<Next> {
        let conf = &self.entrance.conf;
        let wanted = conf.monitor_uri.as_ref()?;
        if txn.req.target() != wanted.as_bytes() {
            return None;
        }
        let fails = self.look(conn, txn, Phase::Request, |ctx| conf.monitor_fail.hold(ctx));
        self.entrance.state.sheet.shard(conn.admission.worker.id).intercepted.inc();
        self.tally.end = End::Answered;
        self.tally.quiet = true;
        let keeps = self.client_may_stay(conn, txn) && txn.req.framing() == Framing::Empty;
        let message = match fails {
            true => Answer::error(503),
            false => Answer { body: None, ..Answer::error(200) },
        };
        Some(self.answer(conn, txn, message, keeps).await)
    }

    /// `early-hint`: tells the client what it may fetch while the server thinks (RFC 8297); `false` when it is gone.
    async fn hint(&mut self, conn: &mut Conn, txn: &Txn) -> bool {
        let hints = &txn.memo.wishes.early_hints;
        // HTTP/1.0 knows no interim responses.
        if hints.is_empty() || txn.req.version() == Version::Http10 {
            return true;
        }
        let mut out = b"HTTP/1.1 103 Early Hints\r\n".to_vec();
        for (name, value) in hints {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        send(conn, &mut self.tally, self.entrance.conf.timeout.client, &out).await
    }

    /// Which backend serves the request.
    fn route(&self, conn: &mut Conn, txn: &mut Txn) -> Result<usize, End> {
        let switch = &self.entrance.conf.switch;
        if switch.is_empty() {
            return self.entrance.default.ok_or_else(|| self.entrance.unrouted(false));
        }
        let choice = self.look(conn, txn, Phase::Request, |ctx| switch.pick(ctx));
        // A rule that names a disabled backend, or none, is passed over in favour of the default.
        let named = match &choice {
            Some(Choice::Rule(rule)) => self.entrance.routes[*rule],
            Some(Choice::Named(_, name)) => self.local.snapshot.route(name),
            None => None,
        };
        named.or(self.entrance.default).ok_or_else(|| self.entrance.unrouted(choice.is_some()))
    }

    /// Whether request, settings and process let the client's connection stay open.
    pub(crate) fn client_may_stay(&self, conn: &Conn, txn: &Txn) -> bool {
        txn.req.keep_alive()
            && self.entrance.conf.option.connection != ConnectionMode::Close
            && !conn.admission.is_leaving()
    }

    /// What rules ask of the way to a server.
    fn asked(&self, conn: &mut Conn, txn: &mut Txn, at: usize) -> Asked {
        let group = &self.local.snapshot.groups[at];
        let rules = &group.conf.use_server;
        let server = Asked::server_by_rule(group, |from| {
            self.look(conn, txn, Phase::Request, |ctx| rules.pick_from(ctx, from, None))
        });
        let host = if Names::are_wanted(group) { txn.req.get(b"host").and_then(host_name) } else { None };
        let names = Names::gather(group, host, |format, out| {
            self.look(conn, txn, Phase::Request, |ctx| format.write(ctx, out));
        });
        let extras = self.extras(conn, txn, group);
        let wishes = &txn.memo.wishes;
        let arrived = self.tally.began.saturating_duration_since(conn.admission.worker.process.started);
        Asked {
            server,
            retries: wishes.retries,
            connect: millis(wishes.timeouts.connect),
            queue: millis(wishes.timeouts.queue),
            rank: Rank {
                class: wishes.priority_class,
                since_ms: i64::try_from(arrived.as_millis()).unwrap_or(i64::MAX) + i64::from(wishes.priority_offset),
            },
            upgrades: txn.req.upgrade().is_some(),
            names,
            extras,
        }
    }

    /// What the PROXY headers of servers that want one tell of the request.
    fn extras(&self, conn: &mut Conn, txn: &mut Txn, group: &Group) -> Extras {
        if group.slots.iter().all(|slot| slot.conf.send_proxy.is_none()) {
            return Extras::default();
        }
        let id = txn.memo.unique_id.get_mut().clone();
        Extras::gather(group, &id, |format, out| {
            self.look(conn, txn, Phase::Request, |ctx| format.write(ctx, out));
        })
    }

    /// Tries servers until one answered, the retries are used up, or nothing is left to try.
    async fn attempt(&mut self, conn: &mut Conn, txn: &mut Txn, at: usize) -> Next {
        let local = self.local;
        let group = &local.snapshot.groups[at];
        let whole = txn.req.framing() == Framing::Empty;
        let asked = self.asked(conn, txn, at);
        let mut attempts = Attempts::new(local, at, asked);
        let mut connected = false;
        loop {
            let up = match attempts.next(conn, &mut self.tally, whole).await {
                Ok(up) => up,
                Err(end) => return self.fail(conn, txn, end).await,
            };
            let server = up.server().clone();
            self.tally.connected_by(&up, local.snapshot.config.asks_server_src);
            if !std::mem::replace(&mut connected, true) {
                self.tell(LogStep::Connect, conn, txn);
            }
            match self.exchange(conn, txn, group, up).await {
                Ok(next) => return next,
                // The pooled connection was dead: nothing was lost, nothing is blamed.
                Err(Again::SameServer) => attempts.replace(&server),
                Err(Again::Unanswered(_)) if attempts.may_move(&self.tally, &server) => {
                    attempts.move_on(conn, &mut self.tally, &server);
                }
                Err(Again::Refused(_)) if attempts.may_repeat(&self.tally) => {
                    attempts.repeat(conn, &mut self.tally, &server);
                }
                Err(Again::Unanswered(end) | Again::Refused(end)) => return self.fail(conn, txn, end).await,
            }
            txn.res.reset();
        }
    }

    async fn exchange(&mut self, conn: &mut Conn, txn: &mut Txn, group: &Group, up: Upstream) -> Result<Next, Again> {
        let worker = conn.admission.worker.clone();
        let client_mode = self.entrance.conf.option.connection;
        let server_mode = group.conf.option.connection.max(match client_mode {
            ConnectionMode::ServerClose => ConnectionMode::ServerClose,
            ConnectionMode::KeepAlive | ConnectionMode::Close => ConnectionMode::KeepAlive,
        });
        let front = &self.entrance.conf.timeout;
        let timeouts = |memo: &Memo| {
            let wished = memo.wishes.timeouts;
            (millis(wished.client).or(front.client), millis(wished.server).or(group.conf.timeout.server))
        };
        let (client_timeout, server_timeout) = timeouts(&txn.memo);
        let terms = Terms {
            limits: self.limits,
            client_timeout,
            server_timeout,
            abort_on_close: group.conf.option.abortonclose,
            client_keeps: self.client_may_stay(conn, txn),
            server_closes: server_mode != ConnectionMode::KeepAlive,
            judged: self.judges_responses() || self.entrance.log.wants(LogStep::Response),
            scheme: up.scheme,
            admission: &conn.admission,
        };
        let sent_at = clock::now();
        let spare = std::mem::take(&mut txn.spare);
        let method = txn.req.method();
        let Txn { req, res, memo, body, .. } = txn;
        memo.vars.get_mut().end(VarScope::Req);
        let mut exchange = Exchange::new(&conn.stream, &up.stream, req, res, &worker.stock, terms, spare);
        exchange.heed(&memo.wishes);
        let mut judged = Judged::Passes;
        let outcome = loop {
            match exchange.run(&mut conn.timer).await {
                Outcome::Answered => {
                    let (_, res) = exchange.heads();
                    self.tally.server_status = Some(res.status());
                    let captures = &self.entrance.conf.captures;
                    capture(&captures.response, res, &memo.captured_response);
                    capture_cookie(captures.cookie.as_ref(), b"set-cookie", res, &memo.captured_cookies, 1);
                    let seen = Seen { worker: &worker, session: &mut conn.session, memo, body };
                    match self.judge(seen, &mut conn.timer, &mut exchange).await {
                        Ok(Judged::Passes) => {}
                        Ok(other) => {
                            judged = other;
                            break Outcome::Answered;
                        }
                        Err(end) => break Outcome::Failed(end),
                    }
                    exchange.heed(&memo.wishes);
                    exchange.set_timeouts(timeouts(memo));
                    if self.entrance.log.wants(LogStep::Response) {
                        let (req, res) = exchange.heads();
                        self.tally.times.response = (clock::now() - sent_at.min(clock::now())).as_millis() as i64;
                        self.tell_of_response(&worker, &mut conn.session, memo, req, res);
                    }
                }
                outcome => break outcome,
            }
        };
        let begun = exchange.response_begun();
        let unanswered = !begun && !exchange.heard && exchange.is_replayable();
        let unprocessed = unanswered && exchange.is_unprocessed();
        let repeatable = (unprocessed || unanswered && is_idempotent(method)) && !memo.wishes.no_l7_retry;
        let (client_keeps, server_keeps) = (exchange.client_keeps(), exchange.server_keeps());
        let request_done = exchange.request_done();
        if let Some(at) = exchange.head_at {
            self.tally.times.response = (at - sent_at.min(at)).as_millis() as i64;
        }
        let (mut sent, received) = exchange.into_pumps();
        self.tally.bytes_up += sent.written;
        self.tally.bytes_in += sent.read + self.tally.surplus_once(txn.req.surplus().len());
        self.tally.bytes_out += received.written;
        let head = if txn.res.is_complete() { txn.res.head_len() + txn.res.surplus().len() } else { 0 };
        self.tally.bytes_down += received.read + head as u64;
        if begun {
            self.tally.status = Some(txn.res.status());
            // Where rules saw it, they may have changed it since.
            self.tally.server_status = self.tally.server_status.or(self.tally.status);
        }
        let code = |stream: &Stream| stream.h2().and_then(h2::Stream::gone).filter(|gone| gone.by_peer)?.code;
        self.tally.resets = [code(&conn.stream), code(&up.stream)];
        let next = match outcome {
            Outcome::Done => {
                self.tally.end = End::Normal;
                conn.leftover = sent.leftover.take();
                if server_keeps {
                    let limit = self.local.snapshot.config.global.tune.pool_max_conn;
                    up.keep(conn, group, client_keeps, limit);
                }
                match (client_keeps, request_done) {
                    (true, _) => Next::Keep,
                    (false, true) => Next::Close,
                    // The client may still be sending what nobody reads.
                    (false, false) => Next::Linger,
                }
            }
            Outcome::Answered => {
                drop(up);
                let keeps = request_done && self.client_may_stay(conn, txn);
                conn.leftover = sent.leftover.take();
                self.recycle(txn, &worker.stock, sent, received);
                return Ok(self.overrule(conn, txn, group, judged, keeps).await);
            }
            Outcome::Tunnel => {
                let timeout = millis(txn.memo.wishes.timeouts.tunnel);
                self.tally.status = Some(txn.res.status());
                let mut to_client = Buf::with_capacity(received.prefix.len() + txn.res.surplus().len());
                to_client.extend_from_slice(&received.prefix);
                to_client.extend_from_slice(txn.res.surplus());
                let (throttles, nice) = (worker.throttles(&txn.memo.wishes), txn.memo.wishes.nice);
                self.tunnel = Some(Tunnel { up, to_server: sent.leftover.take(), to_client, timeout, throttles, nice });
                Next::Close
            }
            Outcome::Failed(End::ServerClosedUnanswered | End::ServerResetUnanswered)
                if unanswered && up.reused && !self.tally.stale =>
            {
                self.tally.stale = true;
                if repeatable {
                    self.recycle(txn, &worker.stock, sent, received);
                    return Err(Again::SameServer);
                }
                // HAProxy's way: no error page, so that the client repeats what must not be repeated without it.
                self.tally.end = End::ServerClosedReused;
                Next::Close
            }
            Outcome::Failed(end @ (End::ServerClosedUnanswered | End::ServerResetUnanswered)) if repeatable => {
                self.tally.end = end;
                self.tally.blame(group, &up, worker.id);
                self.recycle(txn, &worker.stock, sent, received);
                return Err(if unprocessed { Again::Refused(end) } else { Again::Unanswered(end) });
            }
            Outcome::Failed(end) => {
                self.tally.end = end;
                self.tally.blame(group, &up, worker.id);
                if begun {
                    // What the client got is cut: only a reset tells so when the end of the body is the end of the connection.
                    if txn.req.version() == Version::Http10 {
                        conn.stream.reset_on_close();
                    }
                    Next::Close
                } else {
                    drop(up);
                    self.recycle(txn, &worker.stock, sent, received);
                    return Ok(self.fail(conn, txn, end).await);
                }
            }
        };
        self.recycle(txn, &worker.stock, sent, received);
        Ok(next)
    }

    fn recycle(&self, txn: &mut Txn, stock: &Stock, up: crate::pump::Pump, down: crate::pump::Pump) {
        let (a, b) = up.dismantle(stock);
        let (c, d) = down.dismantle(stock);
        txn.spare = [a, b, c, d];
        txn.spare.iter_mut().for_each(Vec::clear);
    }

    /// What a rule made of a response goes to the client in its place.
    async fn overrule(
        &mut self,
        conn: &mut Conn,
        txn: &mut Txn,
        group: &Group,
        judged: Judged<'_>,
        keeps: bool,
    ) -> Next {
        let worker = conn.admission.worker.id;
        let (front, back) = (self.entrance.state.sheet.shard(worker), group.state.sheet.shard(worker));
        let reply = match judged {
            Judged::Passes => return Next::Close,
            Judged::Closed(close) => return self.close(conn, close),
            Judged::Replaced(reply) => reply,
        };
        self.tally.end = match reply.cause {
            ReplyCause::Deny | ReplyCause::Tarpit | ReplyCause::Auth => {
                front.denied_responses.inc();
                back.denied_responses.inc();
                End::ResponseDenied
            }
            ReplyCause::FailedRewrite => End::ResponseRewriteFailed,
            ReplyCause::Redirect | ReplyCause::Return | ReplyCause::Exporter => End::Answered,
        };
        let leftover = conn.leftover.take();
        let next = self.answer_with(conn, txn, reply, keeps).await;
        conn.leftover = leftover;
        next
    }

    /// Ends a transaction of which the client has seen nothing yet.
    pub(crate) async fn fail(&mut self, conn: &mut Conn, txn: &mut Txn, end: End) -> Next {
        self.tally.end = end;
        let Some(status) = end.status() else { return Next::Close };
        if end == End::ClientClosedInBody {
            // The client went away in the middle of its own request: nobody is there to read an answer.
            self.tally.status = Some(status);
            return Next::Close;
        }
        let keeps = !end.client_left() && self.client_may_stay(conn, txn) && txn.req.framing() == Framing::Empty;
        self.answer(conn, txn, Answer::error(status), keeps).await
    }
}

fn millis(ms: Option<u64>) -> Option<Duration> {
    ms.map(Duration::from_millis)
}

/// A request that was not answered by a byte, and may be sent again.
enum Again {
    /// The reused connection was closed by its server: a new one to the same server.
    SameServer,
    /// The server went away under an idempotent request: another one, if `option.redispatch` and the retries allow it.
    Unanswered(End),
    /// The server says that it did not look at the request (RFC 9113 section 8.7): the same as long as retries are left.
    Refused(End),
}

/// Keeps pipelined bytes behind a request without a body.
pub(crate) fn keep_surplus(conn: &mut Conn, req: &Head) {
    if !req.surplus().is_empty() {
        let mut rest = conn.admission.worker.stock.small();
        rest.extend_from_slice(req.surplus());
        conn.leftover = Some(rest);
    }
}
