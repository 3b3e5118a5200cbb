//! An HTTP/2 client connection: accepts streams, runs one transaction for each in a task of its own, closes when it should.
//!
//! The streams share what is known of the connection and its place under the limits, and nothing else; from the head of a
//! request on, nothing knows the protocol. Idle connections wait for `timeout.http-keep-alive`, the preface for
//! `timeout.http-request`; a stream has the timers of its transaction.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ::h2::Reason;
use ::h2::server::{Builder, Connection};
use bytes::Bytes;
use evenkeel_acl::{Streams, Wire, count};
use evenkeel_config::H2Side;
use evenkeel_wire::Stream;
use evenkeel_wire::h2::{self, Budget, IdlePing, Io, Scanner, Watch};

use crate::arrival;
use crate::clock;
use crate::conn::Conn;
use crate::end::End;
use crate::h1::{LINGER, linger};
use crate::timer::{Timer, within};
use crate::txn;
use crate::worker::Asleep;

/// How long a client may take to see a GOAWAY and what was under way, once nothing more is wanted of it.
const FAREWELL: Duration = Duration::from_secs(10);

/// Serves streams until either side wants to close. What was read already is left over in `conn`.
pub(crate) async fn serve(mut conn: Conn) {
    conn.session.wire = Wire::Http2;
    conn.count_h2();
    let Some((limits, max_head, patience)) = settings(&conn) else { return };
    let first = conn.leftover.take().map(|buf| buf.filled().to_vec()).unwrap_or_default();
    let watch = Watch::new();
    let stream = Rc::new(std::mem::replace(&mut conn.stream, Stream::Lent));
    let io = Io::new(stream.clone(), first, Scanner::of_client(budget(&limits)), watch.clone());
    let shake = builder(&limits, max_head).handshake::<_, Bytes>(io);
    let began = conn.began();
    // Each stream goes through the rules on content by itself.
    conn.switched = None;
    let connection = match within(&mut conn.timer, began, patience.first, shake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(_)) if watch.received.get() == 0 => return arrival::broke(&mut conn, End::ClientClosedSilently),
        Ok(Err(_)) if watch.ended.get() => return arrival::broke(&mut conn, End::ClientClosedInHead),
        Ok(Err(_)) => return arrival::broke(&mut conn, watch.flood.get().map_or(End::H2Broken, End::flood)),
        Err(_) if watch.received.get() == 0 => return arrival::broke(&mut conn, End::ClientSilent),
        Err(_) => return arrival::broke(&mut conn, End::ClientSlowHead),
    };
    let ping = conn.admission.listening.bind.conf.idle_ping;
    let mut connection = connection;
    let ping = ping.and_then(|every| Some(IdlePing::new(connection.ping_pong()?, every)));
    let life = Life {
        connection,
        watch: watch.clone(),
        limits,
        patience,
        crew: Rc::new(Crew::default()),
        leaving: None,
        serial: 0,
        ping,
    };
    let farewell = match life.run(&mut conn).await {
        // One that said farewell may still be sending what it had under way.
        Over::Gone => (!watch.ended.get()).then_some(LINGER),
        Over::Closed => Some(patience.farewell),
        Over::Broken(end) => {
            arrival::broke(&mut conn, end);
            matches!(end, End::H2Broken | End::H2Excess).then_some(LINGER)
        }
    };
    // A client that is still reading says so, and a socket that is closed by then would answer with a reset.
    if let (Some(time), Ok(stream)) = (farewell, Rc::try_unwrap(stream)) {
        conn.stream = stream;
        linger(&mut conn, time).await;
    }
}

/// How a connection ended.
enum Over {
    /// The client went first, or takes no notice.
    Gone,
    /// All is said, and the client may still be reading it.
    Closed,
    /// It was cut.
    Broken(End),
}

fn settings(conn: &Conn) -> Option<(H2Side, usize, Patience)> {
    let local = conn.admission.listening.local(&conn.admission.worker);
    let at = conn.admission.listening.entrance(&local.snapshot)?;
    let timeout = &local.snapshot.frontends[at].conf.timeout;
    let patience = Patience {
        first: timeout.http_request.or(timeout.client),
        idle: timeout.http_keep_alive.or(timeout.client),
        farewell: timeout.client_fin.unwrap_or(FAREWELL),
    };
    let tune = &local.snapshot.config.global.tune;
    Some((tune.h2.fe.clone(), tune.bufsize, patience))
}

/// What a peer may make us do.
pub(crate) fn budget(limits: &H2Side) -> Budget {
    // What moves windows comes with every message; what asks for an answer, or says nothing, is rare.
    let rare = limits.max_control_frames.div_ceil(20);
    Budget {
        resets: limits.max_resets,
        settings: rare,
        pings: rare,
        empty_data: rare,
        windows: limits.max_control_frames,
        ..Budget::default()
    }
}

fn builder(limits: &H2Side, max_head: usize) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.max_concurrent_streams)
        .initial_window_size(limits.initial_window_size)
        .initial_connection_window_size(limits.connection_window)
        .max_frame_size(limits.max_frame_size)
        .header_table_size(limits.header_table_size)
        // Half of it is ours to refuse, with a reason; beyond that the library does, and closes the connection far beyond.
        .max_header_list_size(u32::try_from(max_head * 2).unwrap_or(u32::MAX))
        .max_send_buffer_size(MAX_SEND)
        .reset_stream_duration(Duration::from_secs(1))
        .max_pending_accept_reset_streams(pending_resets(limits))
        .enable_connect_protocol();
    builder
}

/// Streams that may be reset before they were looked at: those that the budget of resets passes, so that the budget and not
/// the library is what a rapid reset is told by.
fn pending_resets(limits: &H2Side) -> usize {
    const MOST: usize = 100_000;
    // Half of the streams opened may be reset besides.
    let passed = usize::try_from(limits.max_resets).unwrap_or(MOST).saturating_mul(2);
    if passed == 0 { MOST } else { passed.min(MOST) }
}

/// Bytes of one stream that may wait for the client's window: beyond that its server is not read on.
const MAX_SEND: usize = 128 * 1024;

#[derive(Clone, Copy, Debug)]
struct Patience {
    first: Option<Duration>,
    idle: Option<Duration>,
    farewell: Duration,
}

/// The streams of a connection, as far as it must know of them.
#[derive(Debug, Default)]
struct Crew {
    /// How many are open, and how many requests were refused: what rules may ask too.
    streams: Arc<Streams>,
    /// When the last one ended.
    idle_since: Cell<Option<Instant>>,
    waker: RefCell<Option<Waker>>,
}

/// One stream, counted until it is dropped.
struct Member(Rc<Crew>);

impl Member {
    fn join(crew: &Rc<Crew>) -> Member {
        crew.streams.open.fetch_add(1, Relaxed);
        Member(crew.clone())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let crew = &self.0;
        if crew.streams.open.fetch_sub(1, Relaxed) == 1 {
            crew.idle_since.set(Some(clock::now()));
            if let Some(waker) = crew.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

/// A connection at work.
struct Life {
    connection: Connection<Io, Bytes>,
    watch: Rc<Watch>,
    limits: H2Side,
    patience: Patience,
    crew: Rc<Crew>,
    /// Since when no new streams are wanted.
    leaving: Option<Instant>,
    /// Streams so far.
    serial: u32,
    /// `idle-ping`.
    ping: Option<IdlePing>,
}

impl Life {
    /// Runs to the end.
    async fn run(mut self, conn: &mut Conn) -> Over {
        let began = clock::now();
        let admission = conn.admission.clone();
        let mut places: Option<[Asleep<'_>; 2]> = None;
        poll_fn(|cx| {
            // Places among the sleepers, so that the word to leave is heard while nothing comes.
            let lists = [&admission.worker.sleepers, &admission.listening.multiplexed];
            places.get_or_insert_with(|| lists.map(|list| list.enter(cx.waker())));
            loop {
                match self.connection.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        self.serial = self.serial.saturating_add(1);
                        stream(conn, h2::Stream::of_client(request, respond), self.serial, &self.crew);
                        let total = self.limits.max_total_streams;
                        if total != 0 && self.serial >= total {
                            self.leave();
                        }
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(self.broke(&error)),
                    Poll::Ready(None) => return Poll::Ready(Over::Closed),
                    Poll::Pending => break,
                }
            }
            if let Some(flood) = self.watch.flood.get() {
                return self.poll_cut(cx, End::flood(flood));
            }
            let odd = self.limits.glitches_threshold;
            if odd != 0 && self.crew.streams.glitches.load(Relaxed) >= odd {
                return self.poll_cut(cx, End::H2Glitches);
            }
            if self.ping.as_mut().is_some_and(|ping| ping.poll_dead(cx, &self.watch).is_ready()) {
                return Poll::Ready(Over::Broken(End::H2Silent));
            }
            if admission.is_leaving() && self.leaving.is_none() {
                self.leave();
                // What it says is sent by the next turn.
                cx.waker().wake_by_ref();
            }
            self.poll_patience(cx, &mut conn.timer, began)
        })
        .await
    }

    /// Tells the client that no new streams are taken (RFC 9113 §6.8).
    fn leave(&mut self) {
        if self.leaving.is_none() {
            self.leaving = Some(clock::now());
            self.connection.graceful_shutdown();
        }
    }

    /// A budget is used up: says so and closes, whatever is under way.
    fn poll_cut(&mut self, cx: &mut Context<'_>, end: End) -> Poll<Over> {
        self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        // The farewell goes out if the socket takes it at once; such a client is not waited for.
        let _ = self.connection.poll_closed(cx);
        Poll::Ready(Over::Broken(end))
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>, timer: &mut Timer, began: Instant) -> Poll<Over> {
        *self.crew.waker.borrow_mut() = Some(cx.waker().clone());
        let (since, after) = match (self.crew.streams.open.load(Relaxed), self.leaving) {
            (0, Some(since)) => (since.max(self.crew.idle_since.get().unwrap_or(since)), Some(self.patience.farewell)),
            (0, None) => match self.crew.idle_since.get() {
                None => (began, self.patience.first),
                Some(since) => (since, self.patience.idle),
            },
            (_, _) => (began, None),
        };
        timer.set(since, after);
        std::task::ready!(timer.poll_expired(cx));
        match self.leaving {
            // Nothing is lost: it was told to go, and nothing is under way.
            Some(_) => Poll::Ready(Over::Gone),
            None => {
                self.leave();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// How a connection that `h2` gave up ended; a client that just left is no error.
    fn broke(&self, error: &::h2::Error) -> Over {
        if let Some(flood) = self.watch.flood.get() {
            return Over::Broken(End::flood(flood));
        }
        match error.reason() {
            Some(Reason::ENHANCE_YOUR_CALM) if error.is_library() => Over::Broken(End::H2Excess),
            Some(Reason::NO_ERROR) | None => Over::Gone,
            Some(_) if error.is_remote() => Over::Gone,
            Some(_) => Over::Broken(End::H2Broken),
        }
    }
}

/// Runs the transaction of one stream.
fn stream(conn: &mut Conn, stream: h2::Stream, serial: u32, crew: &Rc<Crew>) {
    let member = Member::join(crew);
    let now = clock::now();
    let mut session = conn.session.fork(conn.admission.worker.now_ms());
    session.requests = serial;
    session.streams = Some(crew.streams.clone());
    let mut of_stream = Conn {
        stream: stream.into(),
        session,
        admission: conn.admission.clone(),
        secured: None,
        served: Some(conn.admission.listening.served()),
        timer: Timer::default(),
        accepted: now,
        rested: std::mem::replace(&mut conn.rested, now),
        handshake: std::mem::take(&mut conn.handshake),
        glitches: 0,
        requests: serial - 1,
        leftover: None,
        switched: None,
        own: None,
    };
    tokio::task::spawn_local(async move {
        // Boxed so that the task, which is moved where it is spawned, stays small.
        let _ = Box::pin(txn::run(&mut of_stream)).await;
        if of_stream.glitches > 0 {
            member.0.streams.glitches.fetch_add(of_stream.glitches, Relaxed);
            count::on_glitches(&of_stream.session, of_stream.glitches, of_stream.admission.worker.now_ms());
        }
        // What was not answered whole must not look as if it were.
        if let Some(h2) = of_stream.stream.h2()
            && !h2.is_finished()
        {
            h2.reset(h2::INTERNAL_ERROR);
        }
    });
}
