//! Idle connections to servers, one pool per worker.
//!
//! Last in, first out, so that what is not needed ages at the bottom and is purged. A pooled connection that became
//! readable was closed by the server (or spoke out of turn): the runtime's readiness tells without a system call.

use std::cell::RefCell;
use std::sync::Arc;

use crate::server::Server;
use evenkeel_wire::Stream;

/// A connection between two requests.
#[derive(Debug)]
pub struct Idle {
    /// The connection.
    pub stream: Stream,
    /// Whether it has served more than one request (`http-reuse aggressive`).
    pub reused: bool,
    /// [`Server::epoch`] when it was made.
    pub epoch: u32,
}

impl Idle {
    fn is_good(&self, server: &Server) -> bool {
        self.epoch == server.epoch() && !self.stream.is_readable_now()
    }
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
    /// The fewest that lay idle since the last purge: that many were not needed.
    unneeded: usize,
}

impl Pools {
    /// The pools of worker number `worker`.
    pub fn new(worker: usize) -> Pools {
        Pools { worker, servers: RefCell::default() }
    }

    /// A connection to `server` that is still open; `only_reused` for the first request of a client under `aggressive`.
    pub fn take(&self, server: &Server, only_reused: bool) -> Option<Idle> {
        let mut servers = self.servers.borrow_mut();
        let pool = servers.get_mut(server.index)?;
        let found = loop {
            let at = match only_reused {
                false => pool.idle.len().checked_sub(1),
                true => pool.idle.iter().rposition(|i| i.reused),
            };
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
        if servers.len() <= server.index {
            servers.resize_with(server.index + 1, Pool::default);
        }
        let pool = &mut servers[server.index];
        if pool.server.is_none() {
            pool.server = Some(server.clone());
        }
        pool.idle.push(idle);
        server.idle.shard(self.worker).set(pool.idle.len() as u32);
    }

    /// Once every `pool-purge-delay`: closes what the servers closed, what is stale, and half of what was not needed.
    pub fn purge(&self) {
        for pool in self.servers.borrow_mut().iter_mut() {
            let Some(server) = &pool.server else { continue };
            pool.idle.retain(|idle| idle.is_good(server) && !server.is_cut());
            let spare = pool.unneeded.min(pool.idle.len()).div_ceil(2);
            pool.idle.drain(..spare);
            pool.unneeded = pool.idle.len();
            server.idle.shard(self.worker).set(pool.idle.len() as u32);
            if pool.idle.is_empty() {
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
