//! The rules of a transaction: run where it has come to, and what follows from them.
//!
//! Request rules run before a server is chosen and may wait; response rules run when the head of the answer is there; what
//! Evenkeel answers itself goes through `http-after-response` too. Called by txn only.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_acl::{Body, Cause, Close, Ctx, How, Memo, Phase, Reply, RuleSet, Session, Verdict, Wait};
use evenkeel_config::{ErrorPage, LogStep};
use evenkeel_proto::{Buf, Connection, Decoder, Framing, Head, Malformed, Method, Parsed, Version};
use evenkeel_wire::h2;

use crate::around::{Around, Parts};
use crate::clock;
use crate::conn::Conn;
use crate::deliver::send;
use crate::end::End;
use crate::exchange::Exchange;
use crate::lines::Moment;
use crate::reply::Answer;
use crate::resolve;
use crate::timer::{Timer, within};
use crate::txn::{Course, Next, Txn, keep_surplus};
use crate::upstream::client_left;
use crate::worker::Worker;

/// What a transaction lends to the rules on its response, beside the messages.
pub(crate) struct Seen<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) session: &'a mut Session,
    pub(crate) memo: &'a mut Memo,
    /// Where the payload goes that they wait for.
    pub(crate) body: &'a mut Vec<u8>,
}

/// What rules on a response decided.
#[derive(Debug)]
pub(crate) enum Judged<'r> {
    /// It goes to the client, as edited.
    Passes,
    /// The client gets another answer.
    Replaced(Reply<'r>),
    /// The client gets nothing.
    Closed(Close<'r>),
}

/// What rules on a request see.
fn parts_of<'p>(session: &'p mut Session, txn: &'p mut Txn) -> Parts<'p> {
    let Txn { req, memo, body, whole, .. } = txn;
    Parts { session, memo, req, res: None, body: Body { bytes: body, complete: *whole, ..Body::default() }, last: true }
}

impl<'c> Course<'c> {
    /// Lends what rules see to `f`.
    pub(crate) fn look<R>(&self, conn: &mut Conn, txn: &mut Txn, phase: Phase, f: impl FnOnce(&mut Ctx<'_>) -> R) -> R {
        let Conn { session, admission, .. } = conn;
        self.look_at(&admission.worker, parts_of(session, txn), phase, f)
    }

    /// As [`look`](Course::look), from parts.
    pub(crate) fn look_at<R>(
        &self,
        worker: &Worker,
        parts: Parts<'_>,
        phase: Phase,
        f: impl FnOnce(&mut Ctx<'_>) -> R,
    ) -> R {
        let group = self.group.map(|at| &*self.local.snapshot.groups[at]);
        let progress = self.tally.progress(self.entrance, group);
        Around { snapshot: &self.local.snapshot, worker }.look(parts, progress, phase, f)
    }

    /// Writes the log lines that are wanted at `step`.
    pub(crate) fn tell(&mut self, step: LogStep, conn: &mut Conn, txn: &mut Txn) {
        if self.entrance.log.wants(step) {
            let Conn { session, admission, .. } = conn;
            self.tally.logged |= self.moment(step, None, &admission.worker).reached(parts_of(session, txn));
        }
    }

    /// As [`tell`](Course::tell), when the head of the response may pass; it counts as sent.
    pub(crate) fn tell_of_response(
        &mut self,
        worker: &Worker,
        session: &mut Session,
        memo: &mut Memo,
        req: &mut Head,
        res: &mut Head,
    ) {
        let head = res.head_len() as u64;
        self.tally.bytes_out += head;
        let parts = Parts { session, memo, req, res: Some(res), body: Body::default(), last: true };
        let logged = self.moment(LogStep::Response, None, worker).reached(parts);
        self.tally.logged |= logged;
        self.tally.bytes_out -= head;
    }

    fn moment<'m>(&'m self, step: LogStep, profile: Option<Arc<str>>, worker: &'m Worker) -> Moment<'m> {
        let group = self.group.map(|at| &*self.local.snapshot.groups[at]);
        let (snapshot, entrance, tally) = (&self.local.snapshot, &**self.entrance, &self.tally);
        Moment { step, profile, snapshot, worker, entrance, group, tally, line: None }
    }

    /// Writes the line that a `do-log` rule asks for.
    fn tell_by_rule(&self, step: LogStep, worker: &Worker, parts: Parts<'_>) {
        let profile = parts.memo.wishes.log_profile.take();
        self.moment(step, profile, worker).write(step, parts);
    }

    /// Runs one rule set on the request; `Some` when it ended the transaction. `step` is that of its `do-log` rules.
    pub(crate) async fn apply(
        &mut self,
        rules: &RuleSet,
        step: LogStep,
        conn: &mut Conn,
        txn: &mut Txn,
    ) -> Option<Next> {
        if rules.is_empty() {
            return None;
        }
        let mut at = 0;
        loop {
            match self.look(conn, txn, Phase::Request, |ctx| rules.eval(ctx, &mut at)) {
                Verdict::Continue | Verdict::Allow => return None,
                Verdict::Reply(reply) => return Some(self.reply(conn, txn, reply).await),
                Verdict::Close(close) => return Some(self.close(conn, close)),
                Verdict::Wait(Wait::Log) => {
                    let Conn { session, admission, .. } = conn;
                    self.tell_by_rule(step, &admission.worker, parts_of(session, txn));
                }
                Verdict::Wait(wait) => {
                    if let Err(end) = self.wait(wait, conn, txn).await {
                        return Some(self.fail(conn, txn, end).await);
                    }
                }
            }
        }
    }

    /// Ends the transaction without an answer.
    pub(crate) fn close(&mut self, conn: &Conn, close: Close<'_>) -> Next {
        self.count_denied(conn.admission.worker.id);
        match close.how {
            How::Reject => self.tally.end = End::Rejected,
            How::SilentDrop { rst_ttl } => {
                self.tally.end = End::SilentDropped;
                conn.stream.forget_on_close(rst_ttl);
            }
        }
        Next::Close
    }

    fn count_denied(&self, worker: usize) {
        self.entrance.state.sheet.shard(worker).denied_requests.inc();
        if let Some(at) = self.group {
            self.local.snapshot.groups[at].state.sheet.shard(worker).denied_requests.inc();
        }
    }

    /// Answers as a rule asks.
    async fn reply(&mut self, conn: &mut Conn, txn: &mut Txn, reply: Reply<'_>) -> Next {
        let worker = conn.admission.worker.id;
        let sheet = self.entrance.state.sheet.shard(worker);
        self.tally.end = match reply.cause {
            Cause::Deny => End::Denied,
            Cause::Tarpit => End::Tarpitted,
            Cause::Auth => End::Unauthorized,
            Cause::FailedRewrite => End::RewriteFailed,
            Cause::Exporter => return self.export(conn, txn, reply).await,
            Cause::Redirect | Cause::Return => {
                sheet.intercepted.inc();
                End::Answered
            }
        };
        match reply.cause {
            Cause::Deny | Cause::Auth => self.count_denied(worker),
            Cause::Tarpit => {
                self.count_denied(worker);
                if !self.hold(conn, txn).await {
                    return Next::Close;
                }
            }
            Cause::FailedRewrite | Cause::Redirect | Cause::Return | Cause::Exporter => {}
        }
        let keeps = self.client_may_stay(conn, txn) && txn.req.framing() == Framing::Empty;
        self.answer_with(conn, txn, reply, keeps).await
    }

    /// Sends the answer of a rule; the client stays if `keeps`.
    pub(crate) async fn answer_with(&mut self, conn: &mut Conn, txn: &mut Txn, reply: Reply<'_>, keeps: bool) -> Next {
        self.answer(conn, txn, Answer::of(&reply), keeps).await
    }

    /// Sends an answer of our own. [`Tally::end`](crate::finish::Tally::end) is known by then.
    pub(crate) async fn answer(&mut self, conn: &mut Conn, txn: &mut Txn, message: Answer<'_>, keeps: bool) -> Next {
        let group = self.group.map(|at| &*self.local.snapshot.groups[at]);
        let plain = message.body.is_none() && message.message.is_none();
        let page = if plain { self.entrance.page(group, message.status) } else { None };
        let (elsewhere, described);
        let message = match page {
            None => message,
            Some(ErrorPage::Silent) => return Next::Close,
            Some(ErrorPage::Message(page)) => Answer { message: Some(page), ..message },
            Some(ErrorPage::Redirect { status, location }) => {
                elsewhere = [
                    (Cow::Borrowed("Location"), location.as_bytes().to_vec()),
                    (Cow::Borrowed("Cache-Control"), b"no-cache".to_vec()),
                ];
                Answer { status: *status, headers: &elsewhere, body: Some(&[]), ..message }
            }
            Some(ErrorPage::Reply { reply, .. }) => {
                described = self.look(conn, txn, Phase::Request, |ctx| reply.reply(ctx));
                Answer::of(&described)
            }
        };
        let message = Answer {
            head_only: txn.req.method() == Method::Head,
            close: !keeps,
            say_keep_alive: keeps && txn.req.version() == Version::Http10,
            tells: self.entrance.conf.option.proxy_status.then_some(self.tally.end),
            ..message
        };
        let mut out = Vec::with_capacity(512);
        message.write(&mut out);
        let status = self.last_word(conn, txn, &mut out, keeps).unwrap_or(message.status);
        self.tally.status = Some(status);
        let sent = send(conn, &mut self.tally, self.entrance.conf.timeout.client, &out).await;
        match (sent, keeps) {
            (false, _) => Next::Close,
            (true, false) => Next::Linger,
            (true, true) => {
                keep_surplus(conn, &txn.req);
                Next::Keep
            }
        }
    }

    /// `http-after-response` on an answer of our own; the status it has then.
    fn last_word(&mut self, conn: &mut Conn, txn: &mut Txn, out: &mut Vec<u8>, keeps: bool) -> Option<u16> {
        let theirs = self.other_half();
        let sets = [theirs.map(|back| &back.http_after_response), Some(&self.entrance.conf.http_after_response)];
        if sets.iter().flatten().all(|rules| rules.is_empty()) {
            return None;
        }
        let mut head = Head::new();
        let mut block = Buf::with_capacity(out.len());
        block.extend_from_slice(out);
        head.replace_block(block);
        // What we wrote is well-formed; should it not be, it is sent as it is.
        if !matches!(head.parse_response(self.limits, txn.req.method()), Ok(Parsed::Complete)) {
            return None;
        }
        let Conn { session, admission, .. } = conn;
        let Txn { req, memo, .. } = txn;
        for rules in sets.into_iter().flatten().filter(|rules| !rules.is_empty()) {
            let mut parts = Parts { session, memo, req, res: Some(&mut head), body: Body::default(), last: true };
            let (worker, mut at) = (&admission.worker, 0);
            // Nothing there can answer or wait for anything else: the table of actions says so.
            while let Verdict::Wait(Wait::Log) =
                self.look_at(worker, parts.again(), Phase::Response, |ctx| rules.eval(ctx, &mut at))
            {
                self.tell_by_rule(LogStep::HttpAfterRes, worker, parts.again());
            }
        }
        let connection = match (keeps, req.version()) {
            (false, _) => Connection::Close,
            (true, Version::Http10) => Connection::KeepAlive,
            (true, Version::Http11 | Version::Http2) => Connection::None,
        };
        out.clear();
        head.encode_response(head.framing(), connection, out);
        out.extend_from_slice(head.surplus());
        Some(head.status())
    }

    /// The backend, where its rules are not the frontend's: those of a listen run once.
    fn other_half(&self) -> Option<&'c evenkeel_config::Backend> {
        let local = self.local;
        let back = &*local.snapshot.groups[self.group?].conf;
        (!back.is_half_of(&self.entrance.conf)).then_some(back)
    }

    /// Whether the rules want to see responses.
    pub(crate) fn judges_responses(&self) -> bool {
        let front = &self.entrance.conf;
        let group = self.group.map(|at| &self.local.snapshot.groups[at].conf);
        !front.http_response.is_empty()
            || !front.captures.response.is_empty()
            || front.captures.cookie.is_some()
            || !front.http_after_response.is_empty()
            || group.is_some_and(|back| {
                !back.tcp_response.is_empty() || !back.http_response.is_empty() || !back.http_after_response.is_empty()
            })
    }

    /// Runs the rules on the answer of `exchange`, of the backend and then of the frontend; they may wait for more of it.
    ///
    /// # Errors
    /// How it ends when what they wait for does not come.
    pub(crate) async fn judge(
        &self,
        seen: Seen<'_>,
        timer: &mut Timer,
        exchange: &mut Exchange<'_>,
    ) -> Result<Judged<'c>, End> {
        let Seen { worker, session, memo, body } = seen;
        let local = self.local;
        let front = &self.entrance.conf;
        let back = self.group.map(|at| &local.snapshot.groups[at].conf);
        let theirs = self.other_half();
        let sets = [
            (back.map(|back| &back.tcp_response), LogStep::TcpResCont),
            (theirs.map(|back| &back.http_response), LogStep::HttpRes),
            (Some(&front.http_response), LogStep::HttpRes),
            (theirs.map(|back| &back.http_after_response), LogStep::HttpAfterRes),
            (Some(&front.http_after_response), LogStep::HttpAfterRes),
        ];
        // What was kept of the body of the request.
        body.clear();
        let mut whole = false;
        let sets = sets.into_iter().filter_map(|(rules, step)| Some((rules.filter(|rules| !rules.is_empty())?, step)));
        for (rules, step) in sets {
            let mut at = 0;
            loop {
                let (req, res) = exchange.heads();
                let body_seen = Body { bytes: body, complete: whole, ..Body::default() };
                let mut parts = Parts { session, memo, req, res: Some(res), body: body_seen, last: true };
                match self.look_at(worker, parts.again(), Phase::Response, |ctx| rules.eval(ctx, &mut at)) {
                    // They were told that no more will come by itself.
                    Verdict::Continue | Verdict::Allow | Verdict::Wait(Wait::More) => break,
                    Verdict::Reply(reply) => return Ok(Judged::Replaced(reply)),
                    Verdict::Close(close) => return Ok(Judged::Closed(close)),
                    Verdict::Wait(Wait::Handshake | Wait::Resolve(_)) => {}
                    Verdict::Wait(Wait::Log) => self.tell_by_rule(step, worker, parts.again()),
                    Verdict::Wait(Wait::Pause(ms)) => exchange.rest(timer, Duration::from_millis(ms)).await?,
                    Verdict::Wait(Wait::Body { time, at_least }) => {
                        let (since, time) = (clock::now(), Duration::from_millis(time));
                        loop {
                            whole = take_in_answer(exchange, body)?;
                            let enough = whole || at_least > 0 && body.len() as u64 >= at_least;
                            if enough || !exchange.hear(timer, since, time).await? {
                                break;
                            }
                        }
                    }
                }
            }
        }
        Ok(Judged::Passes)
    }

    /// Waits for what a rule asks for.
    async fn wait(&mut self, wait: Wait, conn: &mut Conn, txn: &mut Txn) -> Result<(), End> {
        match wait {
            // The request is there whole as far as these rules may look: they were told so. A line is written by who runs them.
            Wait::More | Wait::Log => Ok(()),
            Wait::Handshake => self.wait_for_handshake(conn).await,
            Wait::Pause(ms) => {
                self.pause(conn, txn, Duration::from_millis(ms)).await;
                Ok(())
            }
            Wait::Resolve(question) => {
                let watch = txn.req.framing() == Framing::Empty;
                let answer = resolve::answer(conn, &self.local.snapshot, &question, watch).await?;
                self.look(conn, txn, Phase::Request, |ctx| question.settle(ctx, answer));
                Ok(())
            }
            Wait::Body { time, at_least } => {
                self.wait_for_body(conn, txn, Some(Duration::from_millis(time)), at_least).await
            }
        }
    }

    /// Holds a request for `timeout.tarpit`; `false` when the client left.
    async fn hold(&mut self, conn: &mut Conn, txn: &Txn) -> bool {
        let wished = txn.memo.wishes.timeouts.tarpit.map(Duration::from_millis);
        let time = match self.group {
            Some(at) => self.local.snapshot.groups[at].conf.timeout.tarpit,
            None => self.entrance.conf.timeout.tarpit,
        };
        let time = wished.or(time).unwrap_or_default();
        self.pause(conn, txn, time).await
    }

    /// Lets time pass; `false` when the client left meanwhile.
    async fn pause(&mut self, conn: &mut Conn, txn: &Txn, time: Duration) -> bool {
        let watch = txn.req.framing() == Framing::Empty;
        let Conn { stream, timer, .. } = conn;
        let mut speaks = false;
        let left = poll_fn(|cx| match watch && client_left(stream, cx, &mut speaks) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        });
        within(timer, clock::now(), Some(time), left).await.is_err()
    }

    /// `wait-for-handshake`: nobody can replay what came before once the handshake is over.
    async fn wait_for_handshake(&self, conn: &mut Conn) -> Result<(), End> {
        if !conn.is_early() {
            return Ok(());
        }
        let limit = self.entrance.conf.timeout.handshake;
        let Conn { stream, timer, .. } = conn;
        let done = match stream.tls() {
            Some(tls) => within(timer, clock::now(), limit, poll_fn(|cx| tls.poll_handshake_done(cx))).await,
            None => Ok(Ok(())),
        };
        match done {
            Ok(Ok(())) => {
                conn.note_handshake();
                Ok(())
            }
            Ok(Err(error)) => Err(End::client_handshake(&error)),
            Err(_) => Err(End::TlsTimeout),
        }
    }

    /// `wait-for-body`, `option.http-buffer-request`: reads until the body, or enough of it, is in the buffer.
    pub(crate) async fn wait_for_body(
        &mut self,
        conn: &mut Conn,
        txn: &mut Txn,
        time: Option<Duration>,
        at_least: u64,
    ) -> Result<(), End> {
        if txn.req.framing() == Framing::Empty || txn.req.framing() == Framing::Tunnel {
            txn.whole = true;
            return Ok(());
        }
        let since = clock::now();
        txn.take_in_body(conn.stream.h2()).map_err(End::bad_request)?;
        if txn.req.expects_continue() && txn.req.surplus().is_empty() {
            // RFC 9110 §10.1.1: the client waits for this word, and the server will not say it again.
            if !send(conn, &mut self.tally, time, b"HTTP/1.1 100 Continue\r\n\r\n").await {
                return Err(End::ClientClosedInBody);
            }
            txn.req.remove(b"expect");
        }
        if txn.req.block_mut().spare_mut().is_empty() {
            // The head of an HTTP/2 stream comes in a buffer of its size.
            let stock = &conn.admission.worker.stock;
            stock.give_back(txn.req.move_block(stock.small()));
        }
        let enough = |txn: &Txn| txn.whole || (at_least > 0 && txn.body.len() as u64 >= at_least);
        while !enough(txn) && !txn.req.block_mut().spare_mut().is_empty() {
            match conn.stream.try_read(txn.req.block_mut().spare_mut()) {
                Ok(0) if conn.stream.h2().is_some() => txn.whole = true,
                Ok(0) => return Err(End::ClientClosedInBody),
                Ok(n) => {
                    txn.req.block_mut().advance(n);
                    txn.take_in_body(conn.stream.h2()).map_err(End::bad_request)?;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let Conn { stream, timer, .. } = conn;
                    match within(timer, since, time, poll_fn(|cx| stream.poll_readable(cx))).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return Err(End::ClientClosedInBody),
                        Err(_) => return Err(End::BodyWaitTimeout),
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(End::ClientClosedInBody),
            }
        }
        Ok(())
    }
}

impl Txn {
    /// Copies the payload that came so far to where rules look at it.
    fn take_in_body(&mut self, h2: Option<&h2::Stream>) -> Result<(), Malformed> {
        self.whole = take_in(&self.req, h2, &mut self.body)?;
        Ok(())
    }
}

/// Copies the payload of the answer that came so far to where rules look at it; whether that is all of it.
fn take_in_answer(exchange: &mut Exchange<'_>, body: &mut Vec<u8>) -> Result<bool, End> {
    let h2 = exchange.server_h2();
    let (req, res) = exchange.heads();
    if req.method() == Method::Head || matches!(res.framing(), Framing::Empty | Framing::Tunnel) {
        return Ok(true);
    }
    take_in(res, h2, body).map_err(End::bad_response)
}

/// Copies the payload behind `head` into `body`; whether that is all of it.
fn take_in(head: &Head, h2: Option<&h2::Stream>, body: &mut Vec<u8>) -> Result<bool, Malformed> {
    body.clear();
    body.extend_from_slice(head.surplus());
    if let Some(h2) = h2 {
        // What a stream carries is payload, and its end is the end.
        return Ok(h2.is_ended());
    }
    let decoded = Decoder::new(head.framing()).decode(body)?;
    body.truncate(decoded.payload);
    Ok(decoded.done)
}
