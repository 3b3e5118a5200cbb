//! The way to a server: choose one, wait for a slot, take a pooled connection or make one.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

use evenkeel_acl::{Session, TlsFacts};
use evenkeel_backend::{Aim, Chooser, Group, Idle, Lease, Rank, Server, Share, Slot, Waiter, dial, greet};
use evenkeel_config::{self as config, Mode, Proto, Reuse, Ws};
use evenkeel_tls::Connector;
use evenkeel_wire::h2::{ClientSettings, Multiplexed, Scheme};
use evenkeel_wire::{Stream, TlsStream};

use crate::attempt::Asked;
use crate::clock;
use crate::conn::Conn;
use crate::end::End;
use crate::timer::{Expired, within};
use crate::worker::{Local, Worker};
use crate::{greeting, h2};

/// A connection to a server for one transaction.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) stream: Stream,
    /// Counts the transaction on its server; `None` while the connection is kept for its client.
    pub(crate) lease: Option<Lease>,
    /// It has served another request before: its end before any answer may be the server's idle timeout.
    pub(crate) reused: bool,
    /// How the server is reached, for `:scheme`.
    pub(crate) scheme: &'static Scheme,
    /// What its TLS handshake came to.
    pub(crate) tls: Option<Arc<TlsFacts>>,
    /// Where it goes, when the server stands at the destination of the client's connection.
    pub(crate) to: Option<SocketAddr>,
    /// The name asked for by SNI.
    name: Option<Box<str>>,
    /// The PROXY header it began with: it is its client's alone.
    greeting: Option<Box<[u8]>>,
    epoch: u32,
    server: Arc<Server>,
}

/// A server that was chosen, with the right to use it.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) slot: usize,
    pub(crate) lease: Lease,
}

/// Where a request waited.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waited {
    pub(crate) server_ahead: u32,
    pub(crate) backend_ahead: u32,
}

/// How often a request looks for a slot once it was offered a server that its configuration does not have.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Chooses a server other than `avoid` if possible, and waits for a slot when all are full.
pub(crate) async fn choose(
    conn: &mut Conn,
    local: &Local,
    at: usize,
    avoid: Option<usize>,
    watch_client: bool,
    wished: &Asked,
) -> Result<(Chosen, Waited), End> {
    let group = &local.snapshot.groups[at];
    let mut waited = Waited::default();
    let asked = clock::now();
    let limit = wished.queue.or(group.conf.timeout.queue);
    let mut passed_over = false;
    loop {
        let src = conn.session.src.map(|a| a.ip());
        let slot = {
            let mut chooser = local.chooser(at).borrow_mut();
            // Who comes later does not overtake those who wait.
            let behind = group.state.queued() > 0 && !Chooser::is_sticky(group) && !passed_over;
            let slot = if behind { None } else { chooser.pick(group, src, avoid) };
            if slot.is_none() && chooser.usable(group) == 0 {
                return Err(End::no_server(group));
            }
            slot
        };
        if let Some(slot) = slot
            && let Some(lease) = Lease::try_take(&group.slots[slot].server)
        {
            conn.admission.worker.note_choice(group, lease.server());
            return Ok((Chosen { slot, lease }, waited));
        }
        let waiter = queue(group, slot, &mut waited, wished.rank)?;
        match wait(conn, group, waiter, asked, watch_client, limit).await? {
            Some(lease) => match group.slot_of(lease.server()) {
                Some(slot) => {
                    conn.admission.worker.note_choice(group, lease.server());
                    return Ok((Chosen { slot, lease }, waited));
                }
                // A server of a later configuration: its slot is passed on. Whoever waits on would be offered it again at once,
                // so this one looks by itself from now on, now and then, for as long as the queue may take in all.
                None => {
                    drop(lease);
                    passed_over = true;
                    let _ = within(&mut conn.timer, clock::now(), Some(LOOK_AGAIN), std::future::pending::<()>()).await;
                    if limit.is_some_and(|limit| clock::now() - asked >= limit) {
                        return Err(End::QueueTimeout);
                    }
                }
            },
            None => continue,
        }
    }
}

/// Joins the queue of the one server that will do, or of the whole backend.
fn queue(group: &Group, slot: Option<usize>, waited: &mut Waited, rank: Rank) -> Result<Waiter, End> {
    if let Some(slot) = slot
        && Chooser::is_sticky(group)
    {
        let chosen = &group.slots[slot];
        let limit = chosen.conf.maxqueue;
        if limit != 0 && chosen.server.queued() >= limit {
            return Err(End::QueueFull);
        }
        let waiter = Waiter::for_server(&chosen.server, rank);
        waited.server_ahead = waiter.ahead;
        return Ok(waiter);
    }
    let waiter = Waiter::for_backend(&group.state, group.slots.iter().map(|s| &s.server), rank);
    waited.backend_ahead = waiter.ahead;
    Ok(waiter)
}

/// Waits for the turn, for `timeout.queue`, or for the client to leave.
async fn wait(
    conn: &mut Conn,
    group: &Group,
    waiter: Waiter,
    since: Instant,
    watch_client: bool,
    limit: Option<Duration>,
) -> Result<Option<Lease>, End> {
    let watch_client = watch_client && group.conf.option.abortonclose;
    let Conn { stream, timer, .. } = conn;
    timer.set(since, limit);
    let mut waiter = pin!(waiter);
    let mut speaks = false;
    poll_fn(|cx| {
        if let Poll::Ready(turn) = waiter.as_mut().poll(cx) {
            return Poll::Ready(Ok(turn));
        }
        if watch_client && client_left(stream, cx, &mut speaks) {
            return Poll::Ready(Err(End::ClientClosedInQueue));
        }
        timer.poll_expired(cx).map(|()| Err(End::QueueTimeout))
    })
    .await
}

/// Whether a client that owes us nothing has closed. `speaks` remembers that it sent its next request instead: from then on
/// its end cannot be seen without reading.
pub(crate) fn client_left(stream: &Stream, cx: &mut std::task::Context<'_>, speaks: &mut bool) -> bool {
    if let Some(h2) = stream.h2() {
        return h2.poll_gone(cx).is_ready();
    }
    while !*speaks && stream.poll_readable(cx).is_ready() {
        match stream.try_peek(&mut [0; 1]) {
            Ok(0) => return true,
            Ok(_) => *speaks = true,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return true,
        }
    }
    false
}

impl Worker {
    fn note_choice(&self, group: &Group, server: &Server) {
        let second = clock::now().saturating_duration_since(self.process.started).as_secs() + 1;
        server.last_session.store(second, Relaxed);
        group.state.last_session.store(second, Relaxed);
        server.sheet.shard(self.id).chosen.inc();
        group.state.sheet.shard(self.id).chosen.inc();
    }
}

/// Gets a connection to the chosen server: the client's own, a pooled one if `http-reuse` allows, or a new one.
pub(crate) async fn connect(
    conn: &mut Conn,
    group: &Group,
    chosen: Chosen,
    fresh: bool,
    asked: &Asked,
) -> Result<Upstream, Refused> {
    let Chosen { slot, lease } = chosen;
    let at = &group.slots[slot];
    let plain = at.connector.is_none() && at.conf.send_proxy.is_none() && !at.conf.address.is_destination();
    // By far the most requests find an idle connection in the clear: nothing else is prepared for them.
    if plain
        && !fresh
        && conn.own.is_none()
        && let Some(idle) = pooled(conn, group, lease.server(), Aim::default())
    {
        let server = lease.server().clone();
        conn.admission.worker.note_reuse(group, &server);
        return Ok(Upstream {
            stream: idle.stream,
            tls: None,
            lease: Some(lease),
            reused: true,
            scheme: &Scheme::HTTP,
            to: None,
            name: None,
            greeting: None,
            epoch: idle.epoch,
            server,
        });
    }
    // Boxed, so that a request that needs none of it does not carry its state.
    Box::pin(make(conn, group, Chosen { slot, lease }, fresh, asked)).await
}

/// As [`connect`], whatever it takes.
async fn make(conn: &mut Conn, group: &Group, chosen: Chosen, fresh: bool, asked: &Asked) -> Result<Upstream, Refused> {
    let Chosen { slot, lease } = chosen;
    let greeting = greeting::of(conn, group, slot, &asked.extras);
    let to = match group.slots[slot].conf.address.is_destination() {
        false => None,
        true => {
            let found = destination(&conn.session, conn.admission.listening.bind.conf.transparent);
            Some(found.map_err(|end| Refused { slot, end })?)
        }
    };
    let way = Way::to(group, slot, to, asked, greeting.as_deref());
    let server = lease.server().clone();
    let worker = conn.admission.worker.clone();
    let up = |stream: Stream, tls: Option<Arc<TlsFacts>>, reused: bool, epoch: u32| Upstream {
        stream,
        tls,
        lease: Some(lease),
        reused,
        scheme: way.scheme(),
        to,
        name: way.aim.name.map(Into::into),
        greeting: greeting.clone(),
        epoch,
        server: server.clone(),
    };
    if let Some(mut own) = conn.own.take() {
        let good = !fresh && Arc::ptr_eq(&own.server, &server) && own.epoch == server.epoch();
        let same = own.aim() == way.aim && own.greeting == greeting;
        if good && same && !own.stream.is_readable_now() {
            worker.note_reuse(group, &server);
            own.lease = up(Stream::Lent, None, true, 0).lease;
            own.reused = true;
            return Ok(*own);
        }
    }
    if !fresh
        && greeting.is_none()
        && let Some(idle) = pooled(conn, group, &server, way.aim)
    {
        worker.note_reuse(group, &server);
        return Ok(up(idle.stream, idle.tls, true, idle.epoch));
    }
    let began = clock::now();
    let limit = asked.connect.or(group.conf.timeout.connect);
    let settings = h2_settings(&worker, &group.slots[slot].conf);
    let dial = loop {
        if !way.may_share {
            break None;
        }
        match worker.pools.share(&server, way.aim, settings.max_streams) {
            Share::Stream(stream, tls) => {
                worker.note_reuse(group, &server);
                return Ok(up(stream.into(), tls, true, server.epoch()));
            }
            Share::Wait(wait) => {
                if within(&mut conn.timer, began, limit, wait.over()).await.is_err() {
                    return Err(Refused { slot, end: End::ConnectTimeout });
                }
            }
            Share::Dial(dial) => break Some(dial),
        }
    };
    let epoch = server.epoch();
    server.sheet.shard(worker.id).connects.inc();
    group.state.sheet.shard(worker.id).connects.inc();
    let stream = match within(&mut conn.timer, began, limit, way.open(group.conf.keepalive)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(end)) => return Err(Refused { slot, end }),
        Err(Expired) => return Err(Refused { slot, end: End::ConnectTimeout }),
    };
    let tls = way.facts(&stream);
    if !way.speaks_h2(&stream) {
        return Ok(up(stream, tls, false, epoch));
    }
    let connection = match within(&mut conn.timer, began, limit, Multiplexed::begin(stream, &settings)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(e)) => return Err(Refused { slot, end: End::connect_failed(&e) }),
        Err(Expired) => return Err(Refused { slot, end: End::ConnectTimeout }),
    };
    let stream = match dial {
        Some(dial) => dial.keep(connection, epoch, way.aim, tls.clone()),
        // It serves this request alone and closes after it.
        None => connection.open(),
    };
    Ok(up(stream.into(), tls, false, epoch))
}

/// How a server is reached for one request.
struct Way<'a> {
    slot: &'a Slot,
    /// The name asked for by SNI, and the destination of a server that stands there.
    aim: Aim<'a>,
    /// The PROXY header to begin with.
    greeting: Option<&'a [u8]>,
    /// It may be a stream of a connection that others use too.
    may_share: bool,
    /// HTTP/1 and nothing else will do.
    only_h1: bool,
}

impl<'a> Way<'a> {
    fn to(
        group: &'a Group,
        slot: usize,
        to: Option<SocketAddr>,
        asked: &'a Asked,
        greeting: Option<&'a [u8]>,
    ) -> Way<'a> {
        let at = &group.slots[slot];
        let http = group.conf.mode == Mode::Http;
        let offers = at.conf.proto != Some(Proto::H1)
            && (at.conf.proto == Some(Proto::H2) || at.connector.as_ref().is_some_and(|c| c.offers(b"h2")));
        // A WebSocket has an HTTP/1 connection of its own where that can be agreed on.
        let only_h1 = http
            && asked.upgrades
            && match at.conf.ws {
                Ws::Auto => {
                    let agrees = |c: &Arc<Connector>| !c.offers(b"h2") || c.offers(b"http/1.1");
                    at.conf.proto != Some(Proto::H2) && at.connector.as_ref().is_none_or(agrees)
                }
                Ws::H1 => true,
                Ws::H2 => false,
            };
        let may_share = http && offers && !only_h1 && group.conf.reuse != Reuse::Never && greeting.is_none();
        let aim = Aim { name: asked.name_for(slot), to };
        Way { slot: at, aim, greeting, may_share, only_h1: only_h1 || !http || !offers }
    }

    fn scheme(&self) -> &'static Scheme {
        if self.slot.connector.is_some() { &Scheme::HTTPS } else { &Scheme::HTTP }
    }

    /// Makes a connection, with TLS where the server has it.
    async fn open(&self, keepalive: bool) -> Result<Stream, End> {
        let stream = dial(&self.slot.conf, self.aim.to, keepalive).await.map_err(|e| End::connect_failed(&e))?;
        if let Some(header) = self.greeting {
            greet(&stream, header).await.map_err(|e| End::connect_failed(&e))?;
        }
        let Some(connector) = &self.slot.connector else { return Ok(stream) };
        let Stream::Plain(socket) = stream else { return Ok(stream) };
        let http1: [&[u8]; 1] = [b"http/1.1"];
        let alpn = (self.only_h1 && connector.offers(b"h2")).then_some(&http1[..]);
        let session = connector.begin(self.aim.name, alpn).map_err(|error| {
            tracing::debug!("no TLS with {}: {error}", self.slot.server.name);
            End::ServerTlsProtocol
        })?;
        let tls = TlsStream::connect(socket, session);
        poll_fn(|cx| tls.poll_handshake(cx)).await.map_err(|error| End::server_handshake(&error))?;
        Ok(tls.into())
    }

    /// What the handshake came to.
    fn facts(&self, stream: &Stream) -> Option<Arc<TlsFacts>> {
        let (connector, tls) = (self.slot.connector.as_ref()?, stream.tls()?);
        Some(Arc::new(tls.common(|common| connector.facts(common, self.aim.name))))
    }

    /// Whether what was made speaks HTTP/2.
    fn speaks_h2(&self, stream: &Stream) -> bool {
        match (self.only_h1, self.slot.conf.proto, stream.tls()) {
            (true, ..) | (_, Some(Proto::H1), _) => false,
            (_, Some(Proto::H2), _) => true,
            (_, None, tls) => tls.and_then(TlsStream::alpn).as_deref() == Some(b"h2"),
        }
    }
}

fn h2_settings(worker: &Worker, server: &config::Server) -> ClientSettings {
    let local = worker.local();
    let tune = &local.snapshot.config.global.tune;
    let limits = &tune.h2.be;
    ClientSettings {
        max_streams: limits.max_concurrent_streams,
        window: limits.initial_window_size,
        connection_window: limits.connection_window,
        frame: limits.max_frame_size,
        table: limits.header_table_size,
        max_head: u32::try_from(tune.bufsize).unwrap_or(u32::MAX),
        budget: h2::budget(limits),
        idle_ping: server.idle_ping,
    }
}

/// A connection that could not be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) slot: usize,
    pub(crate) end: End,
}

fn pooled(conn: &Conn, group: &Group, server: &Arc<Server>, aim: Aim<'_>) -> Option<Idle> {
    let first = conn.requests <= 1;
    let only_reused = match (group.conf.reuse, first) {
        (Reuse::Never, _) | (Reuse::Safe, true) => return None,
        (Reuse::Aggressive, true) => true,
        (Reuse::Safe | Reuse::Aggressive, false) | (Reuse::Always, _) => false,
    };
    conn.admission.worker.pools.take(server, only_reused, aim)
}

impl Worker {
    fn note_reuse(&self, group: &Group, server: &Server) {
        server.sheet.shard(self.id).reuses.inc();
        group.state.sheet.shard(self.id).reuses.inc();
    }
}

/// Where a server is that stands at the destination of the connection, as rules left it. On a `transparent` bind the address
/// that was connected to is somebody else's; on any other it is our own.
pub fn destination(session: &Session, transparent: bool) -> Result<SocketAddr, End> {
    let to = session.dst.filter(|to| to.port() != 0 && !to.ip().is_unspecified()).ok_or(End::NoDestination)?;
    match session.real.1 == Some(to) && !transparent {
        true => Err(End::DestinationIsListener),
        false => Ok(to),
    }
}

impl Upstream {
    fn aim(&self) -> Aim<'_> {
        Aim { name: self.name.as_deref(), to: self.to }
    }

    /// The server.
    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Keeps the connection after a response that allows it: for its client under `never` and when it was announced, else in
    /// the worker's pool.
    pub(crate) fn keep(mut self, conn: &mut Conn, group: &Group, client_stays: bool, limit: Option<u32>) {
        self.lease = None;
        // A stream is used once; its connection is kept by itself.
        if self.stream.h2().is_some() {
            return;
        }
        match group.conf.reuse {
            _ if self.greeting.is_some() && !client_stays => {}
            _ if self.greeting.is_some() => conn.own = Some(Box::new(self)),
            Reuse::Never if client_stays => conn.own = Some(Box::new(self)),
            Reuse::Never => {}
            Reuse::Safe | Reuse::Aggressive | Reuse::Always => {
                let idle = Idle {
                    stream: self.stream,
                    reused: self.reused,
                    epoch: self.epoch,
                    name: self.name,
                    to: self.to,
                    tls: self.tls,
                };
                conn.admission.worker.pools.put(&self.server, idle, limit);
            }
        }
    }
}
