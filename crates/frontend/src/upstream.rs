//! The way to a server: choose one, wait for a slot, take a pooled connection or make one.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

use evenkeel_backend::{Chooser, Group, Idle, Lease, Rank, Server, Share, Waiter, dial};
use evenkeel_config::{Mode, Proto, Reuse};
use evenkeel_wire::Stream;
use evenkeel_wire::h2::{ClientSettings, Multiplexed, Scheme};

use crate::attempt::Asked;
use crate::clock;
use crate::conn::Conn;
use crate::end::End;
use crate::h2;
use crate::timer::{Expired, within};
use crate::worker::{Local, Worker};

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
    let server = lease.server().clone();
    let worker = conn.admission.worker.clone();
    if let Some(mut own) = conn.own.take() {
        let good = !fresh && Arc::ptr_eq(&own.server, &server) && own.epoch == server.epoch();
        if good && !own.stream.is_readable_now() {
            own.lease = Some(lease);
            own.reused = true;
            worker.note_reuse(group, &server);
            return Ok(*own);
        }
    }
    if !fresh && let Some(idle) = pooled(conn, group, &server) {
        worker.note_reuse(group, &server);
        let scheme = &Scheme::HTTP;
        let epoch = idle.epoch;
        return Ok(Upstream { stream: idle.stream, lease: Some(lease), reused: true, scheme, epoch, server });
    }
    let epoch = server.epoch();
    let conf = &group.slots[slot].conf;
    let scheme = &Scheme::HTTP;
    if conf.proto == Some(Proto::H2) && group.conf.mode == Mode::Http {
        return shared(conn, group, slot, lease, server, asked).await;
    }
    server.sheet.shard(worker.id).connects.inc();
    group.state.sheet.shard(worker.id).connects.inc();
    let limit = asked.connect.or(group.conf.timeout.connect);
    let dialled = within(&mut conn.timer, clock::now(), limit, dial(conf, group.conf.keepalive)).await;
    match dialled {
        Ok(Ok(stream)) => Ok(Upstream { stream, lease: Some(lease), reused: false, scheme, epoch, server }),
        Ok(Err(e)) => Err(Refused { slot, end: End::connect_failed(&e) }),
        Err(Expired) => Err(Refused { slot, end: End::ConnectTimeout }),
    }
}

/// A stream on a connection of HTTP/2 that other requests use too; made when none has room.
async fn shared(
    conn: &mut Conn,
    group: &Group,
    slot: usize,
    lease: Lease,
    server: Arc<Server>,
    asked: &Asked,
) -> Result<Upstream, Refused> {
    let worker = conn.admission.worker.clone();
    let limits = h2_settings(&worker);
    let began = clock::now();
    let limit = asked.connect.or(group.conf.timeout.connect);
    let scheme = &Scheme::HTTP;
    loop {
        match worker.pools.share(&server, None, limits.max_streams) {
            Share::Stream(stream) => {
                worker.note_reuse(group, &server);
                let epoch = server.epoch();
                return Ok(Upstream { stream: stream.into(), lease: Some(lease), reused: true, scheme, epoch, server });
            }
            Share::Wait(wait) => {
                if within(&mut conn.timer, began, limit, wait.over()).await.is_err() {
                    return Err(Refused { slot, end: End::ConnectTimeout });
                }
            }
            Share::Dial(place) => {
                let epoch = server.epoch();
                let conf = &group.slots[slot].conf;
                server.sheet.shard(worker.id).connects.inc();
                group.state.sheet.shard(worker.id).connects.inc();
                let dialling = async {
                    let stream = dial(conf, group.conf.keepalive).await?;
                    Multiplexed::begin(stream, &limits).await
                };
                return match within(&mut conn.timer, began, limit, dialling).await {
                    Ok(Ok(connection)) => {
                        let stream = place.keep(connection, epoch, None).into();
                        Ok(Upstream { stream, lease: Some(lease), reused: false, scheme, epoch, server })
                    }
                    Ok(Err(e)) => Err(Refused { slot, end: End::connect_failed(&e) }),
                    Err(Expired) => Err(Refused { slot, end: End::ConnectTimeout }),
                };
            }
        }
    }
}

fn h2_settings(worker: &Worker) -> ClientSettings {
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
    }
}

/// A connection that could not be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) slot: usize,
    pub(crate) end: End,
}

fn pooled(conn: &Conn, group: &Group, server: &Arc<Server>) -> Option<Idle> {
    let first = conn.requests <= 1;
    let only_reused = match (group.conf.reuse, first) {
        (Reuse::Never, _) | (Reuse::Safe, true) => return None,
        (Reuse::Aggressive, true) => true,
        (Reuse::Safe | Reuse::Aggressive, false) | (Reuse::Always, _) => false,
    };
    conn.admission.worker.pools.take(server, only_reused)
}

impl Worker {
    fn note_reuse(&self, group: &Group, server: &Server) {
        server.sheet.shard(self.id).reuses.inc();
        group.state.sheet.shard(self.id).reuses.inc();
    }
}

impl Upstream {
    /// The server.
    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Keeps the connection after a response that allows it: for its client under `never`, else in the worker's pool.
    pub(crate) fn keep(mut self, conn: &mut Conn, group: &Group, client_stays: bool, limit: Option<u32>) {
        self.lease = None;
        // A stream is used once; its connection is kept by itself.
        if self.stream.h2().is_some() {
            return;
        }
        match group.conf.reuse {
            Reuse::Never if client_stays => conn.own = Some(Box::new(self)),
            Reuse::Never => {}
            Reuse::Safe | Reuse::Aggressive | Reuse::Always => {
                let idle = Idle { stream: self.stream, reused: self.reused, epoch: self.epoch };
                conn.admission.worker.pools.put(&self.server, idle, limit);
            }
        }
    }
}
