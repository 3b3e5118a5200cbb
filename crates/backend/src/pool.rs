//! Connections to servers that wait for work, one pool per worker: idle ones of HTTP/1, and those of HTTP/2 that have room.
//!
//! Last in, first out, so that what is not needed ages at the bottom and is purged. A pooled connection that became
//! readable was closed by the server (or spoke out of turn): the runtime's readiness tells without a system call.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::TlsFacts;
use evenkeel_wire::Stream;
use evenkeel_wire::h2::{self, Multiplexed};
use tokio::sync::Notify;

use crate::server::Server;

/// A connection between two requests.
#[derive(Debug)]
pub struct Idle {
    /// The connection.
    pub stream: Stream,
    /// Whether it has served more than one request (`http-reuse aggressive`).
    pub reused: bool,
    /// [`Server::epoch`] when it was made.
    pub epoch: u32,
    /// The name asked for by SNI: a connection is used again only for requests that ask for the same.
    pub name: Option<Box<str>>,
    /// Where it goes, when its server stands at the destination of each connection.
    pub to: Option<SocketAddr>,
    /// What its TLS handshake came to.
    pub tls: Option<Arc<TlsFacts>>,
}

/// What a connection is made for, beside its server: only requests for the same use it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aim<'a> {
    /// The name asked for by SNI.
    pub name: Option<&'a str>,
    /// The destination, of a server that stands there.
    pub to: Option<SocketAddr>,
}

impl Idle {
    fn aim(&self) -> Aim<'_> {
        Aim { name: self.name.as_deref(), to: self.to }
    }

    fn is_good(&self, server: &Server) -> bool {
        self.epoch == server.epoch() && !self.stream.is_readable_now()
    }
}

/// A connection that many requests share.
#[derive(Debug)]
struct Shared {
    connection: Multiplexed,
    epoch: u32,
    /// The name asked for by SNI: requests for another name have a connection of their own.
    name: Option<Box<str>>,
    to: Option<SocketAddr>,
    tls: Option<Arc<TlsFacts>>,
    /// It had no stream at the last purge.
    unused: bool,
}

impl Shared {
    fn aim(&self) -> Aim<'_> {
        Aim { name: self.name.as_deref(), to: self.to }
    }
}

/// A shared connection that is being made.
#[derive(Debug, Default)]
struct Dialling {
    done: Notify,
    waiting: Cell<u32>,
    /// Where it goes: who goes elsewhere does not wait for it.
    to: Option<SocketAddr>,
}

/// What [`Pools::share`] found.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the common variant is the large one, and it lives for a moment")]
pub enum Share<'p> {
    /// A stream on a connection that stands, and what its TLS handshake came to.
    Stream(h2::Stream, Option<Arc<TlsFacts>>),
    /// Somebody makes a connection: wait for [`Wait::over`], then ask again.
    Wait(Wait),
    /// None has room: make one and [`Dial::keep`] it. Others wait for it meanwhile.
    Dial(Dial<'p>),
}

/// A place among those who wait for a shared connection.
#[derive(Debug)]
pub struct Wait(Rc<Dialling>);

impl Wait {
    /// Ready when the connection stands, or will never.
    pub async fn over(self) {
        self.0.waiting.set(self.0.waiting.get() + 1);
        self.0.done.notified().await;
    }
}

/// The duty to make a shared connection; dropping it lets the next one try.
#[derive(Debug)]
pub struct Dial<'p> {
    pools: &'p Pools,
    server: Arc<Server>,
    dialling: Rc<Dialling>,
}

impl Dial<'_> {
    /// Opens the first stream, and shares the connection with all who come.
    pub fn keep(self, connection: Multiplexed, epoch: u32, aim: Aim<'_>, tls: Option<Arc<TlsFacts>>) -> h2::Stream {
        let stream = connection.open();
        let mut servers = self.pools.servers.borrow_mut();
        let pool = pool(&mut servers, &self.server);
        let name = aim.name.map(Into::into);
        pool.shared.push(Shared { connection, epoch, name, to: aim.to, tls, unused: false });
        stream
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        if let Ok(mut servers) = self.pools.servers.try_borrow_mut()
            && let Some(pool) = servers.get_mut(self.server.index)
            && pool.dialling.as_ref().is_some_and(|dialling| Rc::ptr_eq(dialling, &self.dialling))
        {
            pool.dialling = None;
        }
        self.dialling.done.notify_waiters();
    }
}

/// The pool of `server`, made if need be.
fn pool<'s>(servers: &'s mut Vec<Pool>, server: &Arc<Server>) -> &'s mut Pool {
    if servers.len() <= server.index {
        servers.resize_with(server.index + 1, Pool::default);
    }
    let pool = &mut servers[server.index];
    if pool.server.is_none() {
        pool.server = Some(server.clone());
    }
    pool
}

/// The pools of one worker, by [`Server::index`].
#[derive(Debug)]
pub struct Pools {
    worker: usize,
    servers: RefCell<Vec<Pool>>,
}

#[derive(Debug, Default)]
struct Pool {
    /// Held while connections lie here, so that the index cannot pass to another server.
    server: Option<Arc<Server>>,
    idle: Vec<Idle>,
    /// Connections of HTTP/2, with work or without.
    shared: Vec<Shared>,
    /// One is being made, for whoever waits too.
    dialling: Option<Rc<Dialling>>,
    /// The fewest that lay idle since the last purge: that many were not needed.
    unneeded: usize,
}

impl Pools {
    /// The pools of worker number `worker`.
    pub fn new(worker: usize) -> Pools {
        Pools { worker, servers: RefCell::default() }
    }

    /// A connection to `server` for `aim` that is still open; `only_reused` for the first request of a client under `aggressive`.
    pub fn take(&self, server: &Server, only_reused: bool, aim: Aim<'_>) -> Option<Idle> {
        let mut servers = self.servers.borrow_mut();
        let pool = servers.get_mut(server.index)?;
        let found = loop {
            let at = pool.idle.iter().rposition(|i| (i.reused || !only_reused) && i.aim() == aim);
            let Some(at) = at else { break None };
            let idle = pool.idle.swap_remove(at);
            if idle.is_good(server) {
                break Some(idle);
            }
        };
        pool.unneeded = pool.unneeded.min(pool.idle.len());
        server.idle.shard(self.worker).set(pool.idle.len() as u32);
        found
    }

    /// Keeps a connection for later, unless the server changed, left, or has `limit` idle ones over all workers.
    pub fn put(&self, server: &Arc<Server>, idle: Idle, limit: Option<u32>) {
        if idle.epoch != server.epoch() || server.is_cut() {
            return;
        }
        if limit.is_some_and(|max| server.idle.iter().map(|l| l.get()).sum::<u32>() >= max) {
            return;
        }
        let mut servers = self.servers.borrow_mut();
        let pool = pool(&mut servers, server);
        pool.idle.push(idle);
        server.idle.shard(self.worker).set(pool.idle.len() as u32);
    }

    /// A stream on a connection of HTTP/2 to `server` for `aim`, or the way to have one. `crowd` requests may wait for one
    /// that is being made; more ask for another.
    pub fn share(&self, server: &Arc<Server>, aim: Aim<'_>, crowd: u32) -> Share<'_> {
        let mut servers = self.servers.borrow_mut();
        let pool = pool(&mut servers, server);
        pool.shared.retain(|s| !s.connection.is_closed() && s.epoch == server.epoch());
        if let Some(shared) = pool.shared.iter_mut().find(|s| s.aim() == aim && s.connection.has_room()) {
            shared.unused = false;
            return Share::Stream(shared.connection.open(), shared.tls.clone());
        }
        match &pool.dialling {
            Some(dialling) if dialling.to == aim.to && dialling.waiting.get() < crowd => {
                Share::Wait(Wait(dialling.clone()))
            }
            _ => {
                let dialling = Rc::new(Dialling { to: aim.to, ..Dialling::default() });
                pool.dialling = Some(dialling.clone());
                Share::Dial(Dial { pools: self, server: server.clone(), dialling })
            }
        }
    }

    /// Once every `pool-purge-delay`: closes what the servers closed, what is stale, and half of what was not needed.
    pub fn purge(&self) {
        for pool in self.servers.borrow_mut().iter_mut() {
            let Some(server) = &pool.server else { continue };
            pool.idle.retain(|idle| idle.is_good(server) && !server.is_cut());
            let spare = pool.unneeded.min(pool.idle.len()).div_ceil(2);
            pool.idle.drain(..spare);
            pool.unneeded = pool.idle.len();
            // A shared connection that had nothing to do for a whole round closes.
            pool.shared.retain_mut(|s| {
                let unused = s.connection.streams() == 0;
                let keep = !s.connection.is_closed()
                    && s.epoch == server.epoch()
                    && !(unused && (s.unused || server.is_cut()));
                s.unused = unused;
                keep
            });
            server.idle.shard(self.worker).set(pool.idle.len() as u32);
            if pool.idle.is_empty() && pool.shared.is_empty() && pool.dialling.is_none() {
                *pool = Pool::default();
            }
        }
    }

    /// Closes everything (shutdown).
    pub fn clear(&self) {
        for pool in self.servers.borrow_mut().drain(..) {
            if let Some(server) = &pool.server {
                server.idle.shard(self.worker).set(0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
