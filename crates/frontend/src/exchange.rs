//! One request and its response between two connections: one future, two pumps, each owning its progress. No second task, no
//! channel, and a read on one side never waits for the other.
//!
//! The request goes up while the response may already come down (early answers, `Expect: 100-continue`). Interim
//! responses are passed on; 101 and a 2xx to CONNECT end the exchange as a tunnel.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use evenkeel_acl::Wishes;
use evenkeel_proto::{Connection, Framing, Head, Limits, Method, Parsed, Version};
use evenkeel_wire::Stream;
use evenkeel_wire::h2::{self, Answered, Scheme};

use crate::bufs::Stock;
use crate::clock;
use crate::end::End;
use crate::listener::Admission;
use crate::pump::{Blocked, Failed, Pump};
use crate::timer::{Timer, within};
use crate::upstream::client_left;

/// What does not change while an exchange runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) client_timeout: Option<Duration>,
    pub(crate) server_timeout: Option<Duration>,
    /// `option.abortonclose`.
    pub(crate) abort_on_close: bool,
    /// The client's connection may stay open as far as the request and the settings go.
    pub(crate) client_keeps: bool,
    /// The server is asked to close after its response.
    pub(crate) server_closes: bool,
    /// Rules look at the response before it is passed on.
    pub(crate) judged: bool,
    /// How the server is reached, for `:scheme`.
    pub(crate) scheme: &'a Scheme,
    /// Tells whether the client's connection is to end for reasons outside the exchange.
    pub(crate) admission: &'a Admission,
}

/// An exchange under way.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    client: &'a Stream,
    server: &'a Stream,
    req: &'a mut Head,
    res: &'a mut Head,
    stock: &'a Stock,
    terms: Terms<'a>,
    up: Pump,
    down: Pump,
    up_state: UpState,
    phase: Phase,
    /// The client has begun its next request while it waits.
    client_speaks: bool,
    /// The final head is parsed, and the rules have seen it or are about to.
    settled: bool,
    /// What came with the request head is under way.
    fed: bool,
    unprocessed: bool,
    /// Bytes of the response were read.
    pub(crate) heard: bool,
    /// When the head of the final response was complete.
    pub(crate) head_at: Option<Instant>,
    client_keeps: bool,
    active: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UpState {
    Running,
    Done,
    /// The server takes no more; it may have answered all the same.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the head of the final response.
    Head,
    /// The final head is known.
    Body,
    /// The response is passed on whole; the request is not taken in yet.
    Rest,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The response was passed on whole.
    Done,
    /// The head of the final response is there, and rules want to look at it; run on when they have.
    Answered,
    /// From now on both sides speak another protocol.
    Tunnel,
    /// It failed; whether the client got anything tells [`Exchange::response_begun`].
    Failed(End),
}

impl<'a> Exchange<'a> {
    /// Prepares to send `req` on `server`; `spare` lends the allocations of the two pumps.
    pub(crate) fn new(
        client: &'a Stream,
        server: &'a Stream,
        req: &'a mut Head,
        res: &'a mut Head,
        stock: &'a Stock,
        terms: Terms<'a>,
        spare: [Vec<u8>; 4],
    ) -> Exchange<'a> {
        let [mut up_prefix, up_suffix, down_prefix, down_suffix] = spare;
        let framing = req.framing();
        let connection = match (req.upgrade(), terms.server_closes) {
            (Some(_), _) => Connection::Upgrade,
            (None, true) => Connection::Close,
            (None, false) => Connection::None,
        };
        if server.h2().is_none() {
            req.encode_request(framing, connection, &mut up_prefix);
        }
        // The end of an HTTP/2 stream is the end of the body, whatever it said of its length.
        let from = match body_of(framing) {
            Framing::Empty | Framing::Length(0) => Framing::Empty,
            _ if client.h2().is_some() => Framing::UntilClose,
            other => other,
        };
        let to = if server.h2().is_some() { Framing::UntilClose } else { framing };
        let mut up = Pump::new(from, to, up_prefix, up_suffix);
        if req.upgrade().is_some() || req.method() == Method::Connect {
            up.leave_open();
        }
        Exchange {
            client,
            server,
            req,
            res,
            stock,
            up,
            down: Pump::new(Framing::Empty, Framing::Empty, down_prefix, down_suffix),
            up_state: UpState::Running,
            phase: Phase::Head,
            client_speaks: false,
            settled: false,
            fed: false,
            unprocessed: false,
            heard: false,
            head_at: None,
            client_keeps: terms.client_keeps,
            terms,
            active: clock::now(),
        }
    }

    /// Runs to the end, or until [`Outcome::Answered`].
    pub(crate) async fn run(&mut self, timer: &mut Timer) -> Outcome {
        if !std::mem::replace(&mut self.fed, true)
            && let Err(end) = self.begin()
        {
            return Outcome::Failed(end);
        }
        poll_fn(|cx| self.poll(cx, timer)).await
    }

    /// Reads on behind the head that rules look at; what comes joins its surplus. `false`: it was all, or no room is left.
    ///
    /// # Errors
    /// The client went away, or `time` is over since `since`.
    pub(crate) async fn hear(&mut self, timer: &mut Timer, since: Instant, time: Duration) -> Result<bool, End> {
        let heard = within(timer, since, Some(time), poll_fn(|cx| self.poll_hear(cx))).await;
        self.active = clock::now();
        heard.unwrap_or(Err(End::ResponseBodyWaitTimeout))
    }

    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, End>> {
        // A server may want the whole request before it goes on with its answer.
        self.advance_request(cx)?;
        loop {
            if self.res.block_mut().spare_mut().is_empty() {
                return Poll::Ready(Ok(false));
            }
            match self.server.try_read(self.res.block_mut().spare_mut()) {
                Ok(n) => {
                    self.res.block_mut().advance(n);
                    return Poll::Ready(Ok(n > 0));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // What is wrong with the connection is told when the answer is passed on.
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Ok(false)),
                Err(_) => match self.server.poll_readable(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Ok(false)),
                    Poll::Pending if self.client_left(cx) => return Poll::Ready(Err(End::ClientClosedWaiting)),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Lets time pass between two rules on the answer.
    ///
    /// # Errors
    /// The client went away, or what it still sends is no request.
    pub(crate) async fn rest(&mut self, timer: &mut Timer, time: Duration) -> Result<(), End> {
        let watch = poll_fn(|cx| match (self.advance_request(cx), self.client_left(cx)) {
            (Err(end), _) => Poll::Ready(end),
            (Ok(()), true) => Poll::Ready(End::ClientClosedWaiting),
            (Ok(()), false) => Poll::Pending,
        });
        let ended = within(timer, clock::now(), Some(time), watch).await;
        self.active = clock::now();
        ended.map_or(Ok(()), Err)
    }

    /// The server's stream, where it speaks HTTP/2.
    pub(crate) fn server_h2(&self) -> Option<&'a h2::Stream> {
        self.server.h2()
    }

    /// Opens the stream where the server speaks HTTP/2, and takes in what came with the request head.
    fn begin(&mut self) -> Result<(), End> {
        if let Some(h2) = self.server.h2() {
            let ends = matches!(body_of(self.req.framing()), Framing::Empty | Framing::Length(0))
                && self.req.upgrade().is_none()
                && self.req.method() != Method::Connect;
            if let Err(error) = h2.send_request(self.req, self.terms.scheme, ends) {
                // The connection takes no more streams: nothing of this one was sent.
                self.unprocessed = error.kind() != io::ErrorKind::InvalidInput;
                return Err(End::ServerClosedUnanswered);
            }
            self.up.written += self.req.head_len() as u64;
        }
        self.up.feed(self.req.surplus(), self.stock).map_err(request_failed)?;
        match self.client.h2() {
            Some(h2) if h2.is_ended() && !self.up.is_over() => {
                self.up.source_ended(self.client).map_err(request_failed)
            }
            _ => Ok(()),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<Outcome> {
        let moved = (self.up.written, self.up.read, self.down.written, self.down.read, self.heard);
        if let Poll::Ready(outcome) = self.advance(cx) {
            return Poll::Ready(outcome);
        }
        // A stream that its client reset wants no more, whatever else is awaited.
        if let Some(h2) = self.client.h2()
            && h2.poll_gone(cx).is_ready()
        {
            return Poll::Ready(Outcome::Failed(self.client_gone()));
        }
        if moved != (self.up.written, self.up.read, self.down.written, self.down.read, self.heard) {
            self.active = clock::now();
        }
        let (end, after) = self.waiting_for();
        timer.set(self.active, after);
        ready!(timer.poll_expired(cx));
        Poll::Ready(Outcome::Failed(end))
    }

    /// Moves the request on, if there is anything left of it.
    fn advance_request(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        if self.up_state == UpState::Running {
            match self.up.poll(cx, self.client, self.server, self.stock) {
                Poll::Ready(Ok(())) => self.up_state = UpState::Done,
                // What the server has to say counts more than what it did not want to hear.
                Poll::Ready(Err(Failed::TargetClosed)) => self.up_state = UpState::Refused,
                Poll::Ready(Err(failed)) => return Err(request_failed(failed)),
                Poll::Pending => {}
            }
        }
        Ok(())
    }

    /// Whether the client went away while it waits.
    fn client_left(&mut self, cx: &mut Context<'_>) -> bool {
        let watch = self.terms.abort_on_close && self.up_state != UpState::Running;
        watch && client_left(self.client, cx, &mut self.client_speaks)
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Err(end) = self.advance_request(cx) {
            return Poll::Ready(Outcome::Failed(end));
        }
        loop {
            match self.phase {
                Phase::Head => {
                    match self.down.poll_flush(cx, self.client, self.stock) {
                        Poll::Ready(Ok(())) | Poll::Pending => {}
                        Poll::Ready(Err(_)) => return Poll::Ready(Outcome::Failed(self.client_gone())),
                    }
                    match ready!(self.poll_head(cx)) {
                        Ok(None) => {}
                        Ok(Some(outcome)) => return Poll::Ready(outcome),
                        Err(end) => return Poll::Ready(Outcome::Failed(end)),
                    }
                }
                Phase::Body => match ready!(self.down.poll(cx, self.server, self.client, self.stock)) {
                    Ok(()) => self.phase = Phase::Rest,
                    Err(failed) => return Poll::Ready(Outcome::Failed(self.response_failed(failed))),
                },
                // An early answer: the server still gets the rest, unless the client was told that nobody reads it.
                Phase::Rest if self.up_state == UpState::Running && self.client_keeps => return Poll::Pending,
                Phase::Rest => return Poll::Ready(Outcome::Done),
            }
        }
    }

    /// Reads until a response head is there and settles what follows from it.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Outcome>, End>> {
        // A head may already be there, behind an interim one.
        if !self.res.block().is_empty()
            && let Some(done) = self.try_head()?
        {
            return Poll::Ready(Ok(done));
        }
        if self.server.h2().is_some() {
            return self.poll_h2_head(cx);
        }
        loop {
            match self.server.poll_readable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(self.server_gone(true))),
                Poll::Pending if self.client_left(cx) => return Poll::Ready(Err(End::ClientClosedWaiting)),
                Poll::Pending => return Poll::Pending,
            }
            if self.res.block().capacity() == 0 {
                self.res.replace_block(self.stock.small());
            }
            match self.server.try_read(self.res.block_mut().spare_mut()) {
                Ok(0) => return Poll::Ready(Err(self.server_gone(false))),
                Ok(n) => {
                    self.heard = true;
                    self.res.block_mut().advance(n);
                    if let Some(done) = self.try_head()? {
                        return Poll::Ready(Ok(done));
                    }
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return Poll::Ready(Err(self.server_gone(true))),
            }
        }
    }

    /// As [`Exchange::poll_head`], for a server that speaks HTTP/2: its heads come whole.
    fn poll_h2_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Outcome>, End>> {
        let Some(h2) = self.server.h2() else { return Poll::Pending };
        if self.res.block().capacity() == 0 {
            self.res.replace_block(self.stock.small());
        }
        let Poll::Ready(answered) = h2.poll_response(cx, self.res.block_mut()) else {
            return match self.client_left(cx) {
                true => Poll::Ready(Err(End::ClientClosedWaiting)),
                false => Poll::Pending,
            };
        };
        match answered {
            Answered::Head => {
                self.heard = true;
                match self.try_head()? {
                    Some(done) => Poll::Ready(Ok(done)),
                    // Heads come whole: one that goes on is too large for a head.
                    None => Poll::Ready(Err(End::ResponseHeadTooLarge)),
                }
            }
            Answered::TooLarge => Poll::Ready(Err(End::ResponseHeadTooLarge)),
            Answered::Gone(gone) => {
                self.unprocessed = gone.unprocessed;
                Poll::Ready(Err(self.server_gone(gone.by_peer && !gone.unprocessed)))
            }
        }
    }

    /// `Some` when a head was complete: `Some(None)` to go on, `Some(Some(outcome))` when the exchange is over.
    fn try_head(&mut self) -> Result<Option<Option<Outcome>>, End> {
        if !self.settled {
            match self.res.parse_response(self.terms.limits, self.req.method()) {
                Ok(Parsed::Partial) => return Ok(None),
                Ok(Parsed::Complete) => {}
                Err(why) => return Err(End::bad_response(why)),
            }
            if self.terms.judged && !matches!(self.res.status(), 100 | 102..=199) {
                self.settled = true;
                return Ok(Some(Some(Outcome::Answered)));
            }
        }
        match self.res.status() {
            101 if self.req.upgrade().is_none() => Err(End::ResponseUnwantedSwitch),
            101 => self.tunnel(Connection::Upgrade),
            100..=199 => {
                self.pass_interim();
                Ok(Some(None))
            }
            _ if self.res.framing() == Framing::Tunnel => self.tunnel(Connection::None),
            _ => self.begin_body().map(|()| Some(None)),
        }
    }

    /// RFC 9110 §15.2: interim responses are passed on, except to HTTP/1.0, which does not know them.
    fn pass_interim(&mut self) {
        match self.client.h2() {
            // A client that has gone is noticed by the next thing that is sent.
            Some(h2) => drop(h2.send_response(self.res, Framing::Empty, false)),
            None if self.req.version() != Version::Http10 => {
                self.res.encode_response(Framing::Empty, Connection::None, &mut self.down.prefix);
            }
            None => {}
        }
        let mut rest = self.stock.small();
        rest.extend_from_slice(self.res.surplus());
        self.res.reset();
        self.res.block_mut().extend_from_slice(rest.filled());
        self.stock.give_back(rest);
    }

    fn tunnel(&mut self, connection: Connection) -> Result<Option<Option<Outcome>>, End> {
        self.head_at = Some(clock::now());
        match self.client.h2() {
            Some(h2) => {
                h2.send_response(self.res, Framing::Tunnel, false).map_err(|_| End::ClientClosedWaiting)?;
                self.down.written += self.res.head_len() as u64;
            }
            None => self.res.encode_response(Framing::Tunnel, connection, &mut self.down.prefix),
        }
        self.phase = Phase::Body;
        Ok(Some(Some(Outcome::Tunnel)))
    }

    fn begin_body(&mut self) -> Result<(), End> {
        self.head_at = Some(clock::now());
        let mut from = self.res.framing();
        if let Some(h2) = self.server.h2()
            && from != Framing::Empty
        {
            // The end of the stream is the end of the body; it may have come with the head.
            let nothing = h2.is_ended() && self.res.surplus().is_empty();
            from = if nothing { Framing::Length(0) } else { Framing::UntilClose };
        }
        let modern = self.req.version() != Version::Http10;
        let said = self.res.framing();
        let to = match from {
            _ if self.client.h2().is_some() => said,
            Framing::UntilClose if matches!(said, Framing::Length(_)) => said,
            // HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
            Framing::Chunked | Framing::UntilClose if !modern => Framing::UntilClose,
            Framing::UntilClose => Framing::Chunked,
            same => same,
        };
        if to == Framing::UntilClose || self.up_state == UpState::Refused || self.terms.admission.is_leaving() {
            self.client_keeps = false;
        }
        let connection = match (self.client_keeps, modern) {
            (true, true) => Connection::None,
            (true, false) => Connection::KeepAlive,
            (false, _) => Connection::Close,
        };
        match self.client.h2() {
            Some(h2) => {
                let ends = matches!(from, Framing::Empty | Framing::Length(0));
                h2.send_response(self.res, said, ends).map_err(|_| End::ClientClosedWaiting)?;
                self.down.written += self.res.head_len() as u64;
                self.down.set_framing(from, Framing::UntilClose);
            }
            None => {
                self.res.encode_response(to, connection, &mut self.down.prefix);
                self.down.set_framing(from, to);
            }
        }
        let mut fed = self.down.feed(self.res.surplus(), self.stock);
        if let Some(h2) = self.server.h2()
            && from == Framing::UntilClose
            && h2.is_ended()
        {
            fed = fed.and_then(|()| self.down.source_ended(self.server));
        }
        match fed {
            Ok(()) => {
                self.phase = Phase::Body;
                Ok(())
            }
            // Broken within the first bytes: the client need not see the head of it.
            Err(failed) => {
                self.down.forget_unsent();
                Err(match failed {
                    Failed::SourceMalformed(why) => End::bad_response(why),
                    Failed::SourceClosed | Failed::SourceReset | Failed::TargetClosed => End::ResponseBadFraming,
                })
            }
        }
    }

    /// The server closed, or reset, before the head of its response was complete.
    fn server_gone(&self, reset: bool) -> End {
        match (self.heard, reset) {
            (true, _) => End::ServerClosedInHead,
            (false, true) => End::ServerResetUnanswered,
            (false, false) => End::ServerClosedUnanswered,
        }
    }

    fn response_failed(&self, failed: Failed) -> End {
        match failed {
            Failed::SourceClosed => End::response_cut(self.res.framing()),
            Failed::SourceReset => End::ServerResetInResponse,
            Failed::SourceMalformed(_) => End::ResponseBadChunk,
            Failed::TargetClosed => self.client_gone(),
        }
    }

    fn client_gone(&self) -> End {
        match self.phase {
            Phase::Head if self.up_state == UpState::Running && !self.up.is_over() => End::ClientClosedInBody,
            Phase::Head => End::ClientClosedWaiting,
            Phase::Body | Phase::Rest => End::ClientClosedInResponse,
        }
    }

    /// How it ends when what is awaited does not come, and how long that may take.
    fn waiting_for(&self) -> (End, Option<Duration>) {
        let Terms { client_timeout, server_timeout, .. } = self.terms;
        if self.phase == Phase::Body && !self.down.is_flushed() {
            return (End::ClientNotReading, client_timeout);
        }
        match (self.phase, self.up_state, self.up.blocked) {
            (_, UpState::Running, Blocked::Source) => (End::ClientSlowBody, client_timeout),
            (Phase::Head, UpState::Running, Blocked::Target) => (End::ServerNotReading, server_timeout),
            (Phase::Head, UpState::Done | UpState::Refused, _) if self.res.block().is_empty() => {
                (End::ResponseTimeout, server_timeout)
            }
            (Phase::Head, UpState::Done | UpState::Refused, _) => (End::ResponseHeadSlow, server_timeout),
            (Phase::Body | Phase::Rest, _, _) => (End::ResponseStalled, server_timeout),
        }
    }

    /// Whether the client got a part of a final response, or is in the middle of an interim one.
    pub(crate) fn response_begun(&self) -> bool {
        self.phase != Phase::Head || !self.down.is_flushed()
    }

    /// Whether the request could be sent again as it was: nothing of its body beyond the first buffer was taken.
    pub(crate) fn is_replayable(&self) -> bool {
        self.up.read == 0
    }

    /// Whether the request was taken in whole.
    pub(crate) fn request_done(&self) -> bool {
        self.up_state == UpState::Done
    }

    /// Whether the server said that it did nothing with the request (RFC 9113 §8.7): it may be sent again, whatever it is.
    pub(crate) fn is_unprocessed(&self) -> bool {
        self.unprocessed
    }

    /// Whether the server's connection may serve another request.
    pub(crate) fn server_keeps(&self) -> bool {
        self.request_done()
            && !self.terms.server_closes
            && self.res.keep_alive()
            && self.res.framing() != Framing::UntilClose
            && self.down.leftover.is_none()
    }

    /// Whether the client's connection may serve another request.
    pub(crate) fn client_keeps(&self) -> bool {
        self.request_done() && self.client_keeps
    }

    /// The limits of both directions and how they give way, as rules set them so far.
    pub(crate) fn heed(&mut self, wishes: &Wishes) {
        let [up, down] = self.terms.admission.worker.throttles(wishes);
        self.up.limit(up);
        self.down.limit(down);
        if wishes.nice != 0 {
            self.up.give_way(wishes.nice);
            self.down.give_way(wishes.nice);
        }
    }

    /// The timeouts of client and server, as rules left them.
    pub(crate) fn set_timeouts(&mut self, (client, server): (Option<Duration>, Option<Duration>)) {
        (self.terms.client_timeout, self.terms.server_timeout) = (client, server);
    }

    /// Request and response, for rules.
    pub(crate) fn heads(&mut self) -> (&mut Head, &mut Head) {
        (self.req, self.res)
    }

    /// Takes the exchange apart: `(up, down)`.
    pub(crate) fn into_pumps(self) -> (Pump, Pump) {
        (self.up, self.down)
    }
}

fn request_failed(failed: Failed) -> End {
    match failed {
        Failed::SourceMalformed(why) => End::bad_request(why),
        Failed::SourceClosed | Failed::SourceReset | Failed::TargetClosed => End::ClientClosedInBody,
    }
}

/// CONNECT and upgrades carry no body of their own before the answer.
fn body_of(framing: Framing) -> Framing {
    match framing {
        Framing::Tunnel => Framing::Empty,
        other => other,
    }
}

/// Methods whose request may be repeated when a reused connection dies (RFC 9110 §9.2.2).
pub(crate) fn is_idempotent(method: Method) -> bool {
    match method {
        Method::Get | Method::Head | Method::Put | Method::Delete | Method::Options | Method::Trace => true,
        Method::Post | Method::Connect | Method::Patch | Method::Other => false,
    }
}
