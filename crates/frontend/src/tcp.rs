//! TCP mode: one connection to one server, bytes both ways. Shares all but the HTTP rules and the pool with HTTP, and
//! becomes HTTP where `switch-mode` or an http backend says so.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use evenkeel_acl::{Body, Choice, Memo, Phase, Reading, RuleSet, SwitchMode, Verdict, Wait, count};
use evenkeel_backend::Rank;
use evenkeel_config::{LogStep, Mode};
use evenkeel_proto::{self as proto, Buf, Head};
use evenkeel_wire::{Stream, TlsStream};

use crate::around::{Around, Parts};
use crate::attempt::{Asked, Attempts, Names};
use crate::bufs::Stock;
use crate::clock;
use crate::closing::log_tcp;
use crate::conn::{Conn, Switched};
use crate::decision::{Heads, KeptHeads};
use crate::end::End;
use crate::finish::{Past, Tally};
use crate::greeting::Extras;
use crate::lines::Moment;
use crate::relay::{Broken, Half, Limits, Relay};
use crate::resolve;
use crate::snapshot::Entrance;
use crate::timer::within;
use crate::upstream::Upstream;
use crate::worker::Local;
use crate::{h1, h2};

/// Serves a connection to its end.
pub(crate) async fn serve(mut conn: Conn) {
    let Some(switched) = relay(&mut conn).await else { return };
    let agreed = conn.stream.tls().and_then(TlsStream::alpn);
    let over_h2 = match switched.mode {
        SwitchMode::Http => agreed.as_deref() == Some(b"h2"),
        SwitchMode::Http1 => false,
        SwitchMode::Http2 => true,
    };
    conn.switched = Some(Box::new(switched));
    match over_h2 {
        true => Box::pin(h2::serve(conn)).await,
        false => Box::pin(h1::serve(conn)).await,
    }
}

/// Takes it to a server; or says how it goes on as HTTP, with what came left over in `conn`.
async fn relay(conn: &mut Conn) -> Option<Switched> {
    let worker = conn.admission.worker.clone();
    let local = conn.admission.listening.local(&worker);
    let at = conn.admission.listening.entrance(&local.snapshot)?;
    let entrance = local.snapshot.frontends[at].clone();
    let mut course = Course {
        local: &local,
        entrance: &entrance,
        tally: Tally::of_connection(conn.accepted, conn.handshake),
        memo: Memo::default(),
        group: None,
        heard: None,
        req: Head::new(),
        reading: Reading::Undecided,
    };
    course.tally.serial = worker.next_serial();
    course.tally.number = worker.number_of(course.tally.serial);
    course.tell(LogStep::Accept, conn);
    let reached = match course.decide(conn).await {
        Ok(Decided::Server(at)) => {
            course.tell(LogStep::Request, conn);
            course.tally.times.queue = 0;
            let asked = course.asked(conn, at);
            course.forget_request(&worker.stock);
            Attempts::new(&local, at, asked).next(conn, &mut course.tally, false).await
        }
        Ok(Decided::Http { mode, backend }) => {
            course.forget_request(&worker.stock);
            conn.leftover = course.heard.take().filter(|heard| !heard.is_empty());
            return Some(Switched { mode, at: clock::now(), memo: course.memo, backend });
        }
        Err(end) => {
            course.forget_request(&worker.stock);
            Err(end)
        }
    };
    if reached.is_ok() {
        course.tell(LogStep::Connect, conn);
    }
    let first = course.heard.as_ref().map_or(0, |buf| buf.len() as u64);
    let mut sending = Half::starting_with(course.heard.take());
    let mut said = None;
    let reached = match reached {
        Ok(up) => match course.inspect_answer(conn, &up, &mut sending).await {
            Ok(buf) => {
                said = buf;
                Ok(up)
            }
            Err(end) => Err(end),
        },
        Err(end) => Err(end),
    };
    let Course { mut tally, group, mut memo, .. } = course;
    let group = group.map(|at| local.snapshot.groups[at].clone());
    // From here on only the server and its own settings are held, not the configuration.
    let generation = local.snapshot.generation;
    drop(local);
    conn.served = None;
    match (reached, &group) {
        (Ok(up), Some(group)) => {
            let (client, server) = (entrance.conf.timeout, group.conf.timeout);
            let limits = Limits::new(&client, &server);
            let [upload, download] = worker.throttles(&memo.wishes);
            let nice = memo.wishes.nice;
            let said = Half::starting_with(said).heeding(nice, download);
            let relay = Relay::new(sending.heeding(nice, upload), said, limits);
            let (end, sent, received) = relay.run(conn, &up.stream, up.server()).await;
            tally.bytes_in = sent.max(first);
            tally.bytes_up = sent;
            tally.bytes_out = received;
            tally.bytes_down = received;
            tally.end = end;
            tally.blame(group, &up, worker.id);
        }
        (Err(end), _) => {
            tally.bytes_in = first.max(sending.bytes);
            tally.bytes_up = sending.bytes;
            tally.end = end;
        }
        (Ok(_), None) => unreachable!("a server is reached through a group"),
    }
    tally.count(&worker, &entrance, group.as_ref());
    if memo.tracks.is_used() || conn.session.tracks.is_used() {
        count::on_bytes(&conn.session, &memo, tally.bytes_in, tally.bytes_out, worker.now_ms());
    }
    let empty = tally.bytes_in == 0 && entrance.conf.option.dontlognull;
    if !empty {
        log_tcp(conn, &mut memo, &mut tally, &entrance, group.as_ref());
        let local = worker.local();
        let (conf, heads) = (&local.snapshot.config.global.why, Heads::Kept(KeptHeads::default()));
        let (conn, group) = (&*conn, group.as_ref());
        tally.remember(Past { conf, generation, conn, entrance: &entrance, group, memo: &memo, heads });
    }
    // A kept clock reading would be old by the length of the connection.
    clock::stale();
    None
}

/// A connection on its way through the rules to a server.
struct Course<'c> {
    local: &'c Local,
    entrance: &'c Arc<Entrance>,
    tally: Tally,
    memo: Memo,
    group: Option<usize>,
    /// What the client sent while rules were waiting for it.
    heard: Option<Buf>,
    /// The same as the head of a request, as far as it may be one.
    req: Head,
    reading: Reading,
}

/// What becomes of a connection.
enum Decided {
    /// It goes to a server of that group.
    Server(usize),
    /// It goes on as HTTP: because a rule says so, or because this backend speaks it.
    Http { mode: SwitchMode, backend: Option<Arc<str>> },
}

impl Course<'_> {
    /// Runs the rules on content and chooses the backend.
    async fn decide(&mut self, conn: &mut Conn) -> Result<Decided, End> {
        let entrance = self.entrance;
        self.inspect(&entrance.conf.tcp_request_content, entrance.conf.tcp_request_inspect_delay, conn).await?;
        if let Some(mode) = self.memo.wishes.switch_mode {
            return Ok(Decided::Http { mode, backend: None });
        }
        let at = self.route(conn)?;
        let local = self.local;
        let group = &local.snapshot.groups[at];
        if group.conf.mode == Mode::Http {
            return Ok(Decided::Http { mode: SwitchMode::Http, backend: Some(group.conf.name.clone()) });
        }
        self.group = Some(at);
        self.tally.enter_backend(group, conn.admission.worker.id);
        if !group.conf.is_half_of(&entrance.conf) {
            self.inspect(&group.conf.tcp_request_content, group.conf.tcp_request_inspect_delay, conn).await?;
        }
        Ok(Decided::Server(at))
    }

    /// Looks at what came last as part of a request of HTTP, for rules that ask for one.
    fn parse(&mut self, stock: &Stock, new: usize) {
        let (Some(heard), Reading::Undecided) = (&self.heard, self.reading) else { return };
        let heard = heard.filled();
        if !heard.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'\r') {
            // TLS and most other protocols: nothing is copied for them.
            self.reading = Reading::Bytes;
            return;
        }
        if self.req.block().capacity() == 0 {
            self.req.replace_block(stock.small());
        }
        self.req.block_mut().extend_from_slice(&heard[heard.len() - new..]);
        let tune = &self.local.snapshot.config.global.tune;
        let limits = proto::Limits { max_headers: tune.max_headers, max_head: tune.bufsize, max_uri: tune.max_uri };
        self.reading = Reading::of(&mut self.req, &limits);
        if self.reading != Reading::Undecided && !self.req.is_complete() {
            self.forget_request(stock);
        }
    }

    fn forget_request(&mut self, stock: &Stock) {
        self.req.reset();
        stock.give_back(self.req.replace_block(Buf::with_capacity(0)));
    }

    fn route(&mut self, conn: &mut Conn) -> Result<usize, End> {
        let switch = &self.entrance.conf.switch;
        let choice = match switch.is_empty() {
            true => None,
            false => self.look(conn, true, |ctx| switch.pick(ctx)),
        };
        let named = match &choice {
            Some(Choice::Rule(rule)) => self.entrance.routes[*rule],
            Some(Choice::Named(_, name)) => self.local.snapshot.route(name),
            None => None,
        };
        named.or(self.entrance.default).ok_or_else(|| self.entrance.unrouted(choice.is_some()))
    }

    /// What rules ask of the way to a server.
    fn asked(&mut self, conn: &mut Conn, at: usize) -> Asked {
        let local = self.local;
        let group = &local.snapshot.groups[at];
        let rules = &group.conf.use_server;
        let server = Asked::server_by_rule(group, |from| self.look(conn, true, |ctx| rules.pick_from(ctx, from, None)));
        let names = Names::gather(group, None, |format, out| {
            self.look(conn, true, |ctx| format.write(ctx, out));
        });
        let extras = self.extras(conn, at);
        let wishes = &self.memo.wishes;
        let arrived = self.tally.began.saturating_duration_since(conn.admission.worker.process.started);
        let rank = Rank {
            class: wishes.priority_class,
            since_ms: i64::try_from(arrived.as_millis()).unwrap_or(i64::MAX) + i64::from(wishes.priority_offset),
        };
        Asked { server, retries: wishes.retries, rank, names, extras, ..Asked::default() }
    }

    /// What the PROXY headers of servers that want one tell of the connection.
    fn extras(&mut self, conn: &mut Conn, at: usize) -> Extras {
        let group = &self.local.snapshot.groups[at];
        if group.slots.iter().all(|slot| slot.conf.send_proxy.is_none()) {
            return Extras::default();
        }
        let mut id = Vec::new();
        if let Some(format) = self.entrance.conf.unique_id_format.as_ref().filter(|_| Extras::wants_id(group)) {
            self.look(conn, true, |ctx| format.write(ctx, &mut id));
        }
        Extras::gather(group, &id, |format, out| {
            self.look(conn, true, |ctx| format.write(ctx, out));
        })
    }

    /// Writes the log lines that are wanted at `step`.
    fn tell(&mut self, step: LogStep, conn: &mut Conn) {
        if self.entrance.log.wants(step) {
            let logged = self.at(step, conn, |moment, parts| moment.reached(parts));
            self.tally.logged |= logged;
        }
    }

    /// Writes the line that a `do-log` rule asks for.
    fn tell_by_rule(&mut self, step: LogStep, conn: &mut Conn) {
        self.at(step, conn, |moment, parts| {
            let profile = parts.memo.wishes.log_profile.take();
            Moment { profile, ..moment }.write(step, parts);
        });
    }

    fn at<R>(&mut self, step: LogStep, conn: &mut Conn, f: impl FnOnce(Moment<'_>, Parts<'_>) -> R) -> R {
        let bytes = self.heard.as_ref().map_or(&[][..], Buf::filled);
        let parts = Parts {
            session: &mut conn.session,
            memo: &mut self.memo,
            req: &mut self.req,
            res: None,
            body: Body { bytes, complete: true, reading: self.reading },
            last: true,
        };
        let group = self.group.map(|at| &*self.local.snapshot.groups[at]);
        let (snapshot, entrance, tally) = (&self.local.snapshot, &**self.entrance, &self.tally);
        let worker = &conn.admission.worker;
        f(Moment { step, profile: None, snapshot, worker, entrance, group, tally, line: None }, parts)
    }

    fn look<R>(&mut self, conn: &mut Conn, last: bool, f: impl FnOnce(&mut evenkeel_acl::Ctx<'_>) -> R) -> R {
        let heard = self.heard.take();
        let bytes = heard.as_ref().map_or(&[][..], Buf::filled);
        let found = self.look_at(conn, Phase::Request, bytes, last, f);
        self.heard = heard;
        found
    }

    fn look_at<R>(
        &mut self,
        conn: &mut Conn,
        phase: Phase,
        bytes: &[u8],
        last: bool,
        f: impl FnOnce(&mut evenkeel_acl::Ctx<'_>) -> R,
    ) -> R {
        let group = self.group.map(|at| &*self.local.snapshot.groups[at]);
        let progress = self.tally.progress(self.entrance, group);
        let parts = Parts {
            session: &mut conn.session,
            memo: &mut self.memo,
            req: &mut self.req,
            res: None,
            body: Body { bytes, complete: last, reading: self.reading },
            last,
        };
        let around = Around { snapshot: &self.local.snapshot, worker: &conn.admission.worker };
        around.look(parts, progress, phase, f)
    }

    /// `tcp-response.content`: looked at with what the server says first, again with each piece of it until they decide, for
    /// `inspect-delay` at most; what the client sends goes up meanwhile. Returns what the server said.
    async fn inspect_answer(&mut self, conn: &mut Conn, up: &Upstream, sending: &mut Half) -> Result<Option<Buf>, End> {
        let Some(at) = self.group else { return Ok(None) };
        let conf = &self.local.snapshot.groups[at].conf;
        let rules = &conf.tcp_response;
        if rules.is_empty() {
            return Ok(None);
        }
        self.tally.connected_by(up, true);
        let worker = conn.admission.worker.clone();
        let delay = conf.tcp_response_inspect_delay;
        // Without a delay the verdict is made on what comes first; nothing is judged before that.
        let patience = delay.or(conf.timeout.tunnel).or(conf.timeout.server);
        let since = clock::now();
        let mut buf = worker.stock.small();
        let (mut next, mut last, mut wants) = (0, false, true);
        loop {
            if wants && !last {
                let Conn { stream, timer, .. } = conn;
                let words = poll_fn(|cx| poll_words(cx, stream, &up.stream, sending, &worker.stock, &mut buf));
                last = match within(timer, since, patience, words).await {
                    Ok(more) => !more? || delay.is_none(),
                    Err(_) => true,
                };
            }
            wants = false;
            match self.look_at(conn, Phase::Response, buf.filled(), last, |ctx| rules.eval(ctx, &mut next)) {
                Verdict::Continue | Verdict::Allow => return Ok(Some(buf)),
                // The tables of actions give no answer in tcp mode.
                Verdict::Reply(_) => return Err(End::ResponseDenied),
                Verdict::Close(close) => {
                    self.entrance.state.sheet.shard(worker.id).denied_responses.inc();
                    self.local.snapshot.groups[at].state.sheet.shard(worker.id).denied_responses.inc();
                    if let evenkeel_acl::How::SilentDrop { rst_ttl } = close.how {
                        conn.stream.forget_on_close(rst_ttl);
                    }
                    return Err(End::ResponseDenied);
                }
                Verdict::Wait(Wait::Pause(ms)) => {
                    let time = Some(Duration::from_millis(ms));
                    let _ = within(&mut conn.timer, clock::now(), time, std::future::pending::<()>()).await;
                }
                Verdict::Wait(Wait::Log) => self.tell_by_rule(LogStep::TcpResCont, conn),
                Verdict::Wait(_) => wants = true,
            }
        }
    }

    /// `tcp-request.content`: evaluated again with each piece of data until it decides, for `inspect-delay` at most.
    async fn inspect(&mut self, rules: &RuleSet, delay: Option<Duration>, conn: &mut Conn) -> Result<(), End> {
        if rules.is_empty() {
            return Ok(());
        }
        let since = clock::now();
        // Without a delay the verdict is made on what is there at once.
        let mut last = delay.is_none();
        let mut at = 0;
        loop {
            match self.look(conn, last, |ctx| rules.eval(ctx, &mut at)) {
                Verdict::Continue | Verdict::Allow => return Ok(()),
                // The tables of actions give no answer in tcp mode.
                Verdict::Reply(_) => return Err(End::Denied),
                Verdict::Close(close) => {
                    self.entrance.state.sheet.shard(conn.admission.worker.id).denied_requests.inc();
                    return Err(match close.how {
                        evenkeel_acl::How::Reject => End::Rejected,
                        evenkeel_acl::How::SilentDrop { rst_ttl } => {
                            conn.stream.forget_on_close(rst_ttl);
                            End::SilentDropped
                        }
                    });
                }
                Verdict::Wait(Wait::Pause(ms)) => {
                    let time = Some(Duration::from_millis(ms));
                    let _ = within(&mut conn.timer, clock::now(), time, std::future::pending::<()>()).await;
                }
                Verdict::Wait(Wait::Resolve(question)) => {
                    let answer = resolve::answer(conn, &self.local.snapshot, &question, true).await?;
                    self.look(conn, last, |ctx| question.settle(ctx, answer));
                }
                Verdict::Wait(Wait::Log) => self.tell_by_rule(LogStep::TcpReqCont, conn),
                Verdict::Wait(_) => last = !self.hear(conn, since, delay).await,
            }
        }
    }

    /// Waits for more of what the client sends; `false` when no more will come in time.
    async fn hear(&mut self, conn: &mut Conn, since: Instant, delay: Option<Duration>) -> bool {
        let buf = self.heard.get_or_insert_with(|| conn.admission.worker.stock.small());
        loop {
            if buf.is_full() {
                return false;
            }
            match conn.stream.try_read(buf.spare_mut()) {
                Ok(0) => return false,
                Ok(n) => {
                    buf.advance(n);
                    self.parse(&conn.admission.worker.stock, n);
                    return true;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let Conn { stream, timer, .. } = conn;
                    match within(timer, since, delay, poll_fn(|cx| stream.poll_readable(cx))).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) | Err(_) => return false,
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

/// Waits for more of what the server says, and lets the client go on meanwhile; `false` when no more will come.
fn poll_words(
    cx: &mut Context<'_>,
    client: &Stream,
    server: &Stream,
    sending: &mut Half,
    stock: &Stock,
    buf: &mut Buf,
) -> Poll<Result<bool, End>> {
    match sending.poll(cx, client, server, stock, &mut false) {
        Poll::Ready(Err(Broken::Source)) => return Poll::Ready(Err(End::TunnelClientReset)),
        Poll::Ready(Err(Broken::Target)) => return Poll::Ready(Err(End::TunnelServerReset)),
        Poll::Ready(Ok(())) | Poll::Pending => {}
    }
    loop {
        if buf.is_full() {
            return Poll::Ready(Ok(false));
        }
        match server.try_read(buf.spare_mut()) {
            Ok(0) => return Poll::Ready(Ok(false)),
            Ok(n) => {
                buf.advance(n);
                return Poll::Ready(Ok(true));
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if ready!(server.poll_readable(cx)).is_err() {
                    return Poll::Ready(Err(End::TunnelServerReset));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Poll::Ready(Err(End::TunnelServerReset)),
        }
    }
}
