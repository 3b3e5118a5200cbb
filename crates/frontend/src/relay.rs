//! Bytes both ways until both ends are done: TCP mode, WebSockets, CONNECT.
//!
//! Each direction closes by itself (half-close). A buffer is held only while bytes move, so an idle tunnel costs no buffer;
//! a direction that fills its buffer takes a larger one next time.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use evenkeel_backend::Server;
use evenkeel_config::{ClientTimeouts, ServerTimeouts};
use evenkeel_proto::Buf;
use evenkeel_wire::Stream;

use crate::bufs::Stock;
use crate::clock;
use crate::conn::Conn;
use crate::end::End;
use crate::pump::burst;
use crate::throttle::Throttle;
use crate::timer::Timer;
use crate::worker::Asleep;

/// Timeouts of a tunnel; `None` = never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Neither side sends anything: `timeout.tunnel`.
    pub(crate) idle: Option<Duration>,
    /// How it ends when `idle` is over: which side is blamed.
    pub(crate) blame: End,
    /// After the client closed its sending side: `timeout.client-fin`.
    pub(crate) client_fin: Option<Duration>,
    /// After the server closed its sending side: `timeout.server-fin`.
    pub(crate) server_fin: Option<Duration>,
}

impl Limits {
    /// `timeout.tunnel` of the backend, else of the frontend, else the shorter of the two inactivity timeouts.
    pub(crate) fn new(client: &ClientTimeouts, server: &ServerTimeouts) -> Limits {
        let both = [client.client, server.server];
        let blame = match both {
            [Some(c), Some(s)] if s < c => End::TunnelIdleServer,
            [None, Some(_)] => End::TunnelIdleServer,
            [_, None] | [Some(_), Some(_)] => End::TunnelIdleClient,
        };
        Limits {
            idle: server.tunnel.or(client.tunnel).or(both.into_iter().flatten().min()),
            blame,
            client_fin: client.client_fin,
            server_fin: server.server_fin,
        }
    }

    /// `set-timeout tunnel` of a rule wins over the configuration.
    pub(crate) fn with_tunnel(self, time: Option<Duration>) -> Limits {
        Limits { idle: time.or(self.idle), ..self }
    }
}

/// A relay between a client and a server.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Client to server.
    pub(crate) up: Half,
    /// Server to client.
    pub(crate) down: Half,
    limits: Limits,
    active: Instant,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Half {
    buf: Option<Buf>,
    bulk: bool,
    eof: bool,
    shut: bool,
    /// `set-nice`.
    nice: i16,
    /// `set-bandwidth-limit`.
    throttle: Option<Box<Throttle>>,
    /// Bytes written to the target.
    pub(crate) bytes: u64,
}

/// Which side of a direction broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Source,
    Target,
}

impl Half {
    /// A direction that begins with bytes already read.
    pub(crate) fn starting_with(first: Option<Buf>) -> Half {
        Half { buf: first.filter(|b| !b.is_empty()), ..Half::default() }
    }

    /// Gives way as `set-nice` says, and reads no more than that; what it begins with counts.
    pub(crate) fn heeding(self, nice: i16, mut throttle: Option<Throttle>) -> Half {
        if let (Some(throttle), Some(buf)) = (&mut throttle, &self.buf) {
            throttle.take(buf.len());
        }
        Half { nice, throttle: throttle.map(Box::new), ..self }
    }

    /// Moves what can be moved; ready when this direction is over.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        to: &Stream,
        stock: &Stock,
        moved: &mut bool,
    ) -> Poll<Result<(), Broken>> {
        let mut turns = 0;
        loop {
            while let Some(buf) = &mut self.buf {
                match to.try_write(buf.filled()) {
                    Ok(n) => {
                        *moved = true;
                        self.bytes += n as u64;
                        buf.consume(n);
                        if buf.is_empty() {
                            self.buf.take().into_iter().for_each(|b| stock.give_back(b));
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        if ready!(to.poll_writable(cx)).is_err() {
                            return Poll::Ready(Err(Broken::Target));
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return Poll::Ready(Err(Broken::Target)),
                }
            }
            if self.eof {
                if !self.shut {
                    self.shut = true;
                    // The other side may be gone altogether, which its own direction will tell.
                    let _ = to.shutdown_write();
                }
                return Poll::Ready(Ok(()));
            }
            turns += 1;
            if turns > burst(self.nice) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let allowed = match &mut self.throttle {
                Some(throttle) => ready!(throttle.poll(cx)),
                None => usize::MAX,
            };
            if ready!(from.poll_readable(cx)).is_err() {
                return Poll::Ready(Err(Broken::Source));
            }
            let mut buf = if self.bulk { stock.bulk() } else { stock.small() };
            let spare = buf.spare_mut();
            let room = spare.len().min(allowed);
            match from.try_read(&mut spare[..room]) {
                Ok(0) => {
                    *moved = true;
                    self.eof = true;
                    stock.give_back(buf);
                }
                Ok(n) => {
                    *moved = true;
                    buf.advance(n);
                    if let Some(throttle) = &mut self.throttle {
                        throttle.take(n);
                    }
                    self.bulk = buf.is_full() || (self.bulk && n >= buf.capacity() / 4);
                    self.buf = Some(buf);
                }
                Err(e) => {
                    stock.give_back(buf);
                    match e.kind() {
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                        _ => return Poll::Ready(Err(Broken::Source)),
                    }
                }
            }
        }
    }
}

impl Relay {
    /// A relay that starts now.
    pub(crate) fn new(up: Half, down: Half, limits: Limits) -> Relay {
        Relay { up, down, limits, active: clock::now() }
    }

    /// Moves bytes until both directions are over, one side breaks, nothing moved for too long, or the server's connections
    /// are to be closed. Returns how it ended and the bytes written up and down.
    pub(crate) async fn run(mut self, conn: &mut Conn, up: &Stream, server: &Server) -> (End, u64, u64) {
        let Conn { stream, timer, admission, .. } = conn;
        let worker = &admission.worker;
        let mut place: Option<Asleep<'_>> = None;
        let end = poll_fn(|cx| {
            // A place among the sleepers, so that the control thread's word is heard by an idle tunnel too.
            place.get_or_insert_with(|| worker.sleepers.enter(cx.waker()));
            if server.is_cut() {
                return Poll::Ready(End::ServerRemoved);
            }
            self.poll(cx, stream, up, &worker.stock, timer)
        })
        .await;
        let bytes = (self.up.bytes, self.down.bytes);
        for buf in [self.up.buf, self.down.buf].into_iter().flatten() {
            worker.stock.give_back(buf);
        }
        (end, bytes.0, bytes.1)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &Stream,
        server: &Stream,
        stock: &Stock,
        timer: &mut Timer,
    ) -> Poll<End> {
        let mut moved = false;
        let up = self.up.poll(cx, client, server, stock, &mut moved);
        let down = self.down.poll(cx, server, client, stock, &mut moved);
        match (&up, &down) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Normal),
            (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Target))) => {
                return Poll::Ready(End::TunnelClientReset);
            }
            (Poll::Ready(Err(Broken::Target)), _) | (_, Poll::Ready(Err(Broken::Source))) => {
                return Poll::Ready(End::TunnelServerReset);
            }
            (Poll::Pending, _) | (_, Poll::Pending) => {}
        }
        if moved {
            self.active = clock::now();
        }
        let (after, end) = self.patience();
        timer.set(self.active, after);
        timer.poll_expired(cx).map(|()| end)
    }

    /// How long silence may last now, and how it ends then.
    fn patience(&self) -> (Option<Duration>, End) {
        let Limits { idle, blame, client_fin, server_fin } = self.limits;
        match (self.up.eof, self.down.eof, client_fin, server_fin) {
            (true, _, Some(fin), _) => (Some(fin), End::TunnelClientFin),
            (_, true, _, Some(fin)) => (Some(fin), End::TunnelServerFin),
            _ => (idle, blame),
        }
    }
}

#[cfg(test)]
mod tests;
