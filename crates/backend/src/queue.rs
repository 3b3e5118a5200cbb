//! Waiting for a free slot of a server.
//!
//! A released slot is handed over, not freed: the lease's count passes to the first waiter, so nobody overtakes and no slot
//! is lost when a waiter gives up (its guard hands the slot on). The mutex is taken only when somebody waits.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::lease::Lease;
use crate::server::{BackendState, Server};

/// Whose turn comes first: the lower class, then the earlier time (`set-priority-class`, `set-priority-offset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// -2047 to 2047; 0 unless a rule says otherwise.
    pub class: i16,
    /// When it came, in milliseconds of a clock that all waiters share, moved by the offset a rule asks for.
    pub since_ms: i64,
}

/// By rank, and first come, first served among equals.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<VecDeque<Arc<Place>>>,
    len: AtomicU32,
    max: AtomicU32,
}

/// One waiter's place in a queue.
#[derive(Debug)]
struct Place {
    rank: Rank,
    turn: Mutex<Turn>,
}

#[derive(Debug)]
enum Turn {
    Waiting(Option<Waker>),
    /// The slot of this server now belongs to the waiter.
    Granted(Arc<Server>),
    /// What it waited for is gone: choose again.
    Retry,
    /// The waiter left or was served.
    Over,
}

impl Queue {
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len.load(SeqCst)
    }

    pub(crate) fn max(&self) -> u32 {
        self.max.load(SeqCst)
    }

    fn push(&self, rank: Rank) -> Arc<Place> {
        let place = Arc::new(Place { rank, turn: Mutex::new(Turn::Waiting(None)) });
        let mut waiting = self.waiting.lock();
        // Nearly always the last: only priorities make it look further.
        let after = waiting.iter().rposition(|other| other.rank <= rank).map_or(0, |at| at + 1);
        waiting.insert(after, place.clone());
        let len = self.len.fetch_add(1, SeqCst) + 1;
        self.max.fetch_max(len, SeqCst);
        place
    }

    fn remove(&self, place: &Arc<Place>) {
        let mut waiting = self.waiting.lock();
        if let Some(at) = waiting.iter().position(|p| Arc::ptr_eq(p, place)) {
            waiting.remove(at);
            self.len.fetch_sub(1, SeqCst);
        }
    }

    /// Gives `server`'s slot to the first waiter; `false` when nobody waits.
    fn grant(&self, server: &Arc<Server>) -> bool {
        self.settle_first(|| Turn::Granted(server.clone()))
    }

    pub(crate) fn wake_all_to_retry(&self) {
        while self.settle_first(|| Turn::Retry) {}
    }

    fn settle_first(&self, outcome: impl Fn() -> Turn) -> bool {
        loop {
            let place = {
                let mut waiting = self.waiting.lock();
                let Some(place) = waiting.pop_front() else { return false };
                self.len.fetch_sub(1, SeqCst);
                place
            };
            let waker = {
                let mut turn = place.turn.lock();
                // It gave up after it was taken from the queue: a slot given to it would be lost.
                let Turn::Waiting(waker) = &mut *turn else { continue };
                let waker = waker.take();
                *turn = outcome();
                waker
            };
            if let Some(waker) = waker {
                waker.wake();
            }
            return true;
        }
    }
}

/// Called by a lease that ends: passes its slot on, `false` when the slot is simply free again.
pub(crate) fn hand_over(server: &Arc<Server>) -> bool {
    // A server's own queue goes first: those who wait for it have no other choice.
    if server.queue.len() == 0 && server.backend.queue.len() == 0 {
        return false;
    }
    let over_limit = server.maxconn() != 0 && server.sessions.now() > server.maxconn();
    if over_limit || !server.is_usable() {
        return false;
    }
    server.queue.grant(server) || (server.serves_backend() && server.backend.queue.grant(server))
}

/// Gives free slots of `server` to those who wait: after it came up or its limit rose.
pub(crate) fn fill(server: &Arc<Server>) {
    let wanted = || server.queue.len() != 0 || (server.serves_backend() && server.backend.queue.len() != 0);
    while server.is_usable() && wanted() {
        if !server.sessions.try_enter(server.maxconn()) {
            return;
        }
        if !hand_over(server) {
            // Whom it was for has left. Somebody who came meanwhile found the slot taken by us: look again.
            server.sessions.leave();
        }
    }
}

/// A future that resolves to a lease, or to `None` when the caller must choose again.
#[derive(Debug)]
pub struct Waiter {
    place: Arc<Place>,
    backend: Arc<BackendState>,
    server: Option<Arc<Server>>,
    /// How many were ahead when it joined (`srv_queue/backend_queue` in the log).
    pub ahead: u32,
}

impl Waiter {
    /// Joins the queue of one server.
    pub fn for_server(server: &Arc<Server>, rank: Rank) -> Waiter {
        let ahead = server.queue.len();
        let place = server.queue.push(rank);
        fill(server);
        // It may have left service, and woken its queue, between the choice and the place in the queue.
        if !server.is_usable() {
            server.queue.wake_all_to_retry();
        }
        Waiter { place, backend: server.backend.clone(), server: Some(server.clone()), ahead }
    }

    /// Joins the queue of the backend; `servers` are looked at once more, so that a slot freed meanwhile is not missed.
    pub fn for_backend<'a>(
        backend: &Arc<BackendState>,
        servers: impl Iterator<Item = &'a Arc<Server>>,
        rank: Rank,
    ) -> Waiter {
        let ahead = backend.queue.len();
        let place = backend.queue.push(rank);
        for server in servers {
            fill(server);
        }
        Waiter { place, backend: backend.clone(), server: None, ahead }
    }
}

impl Future for Waiter {
    type Output = Option<Lease>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Lease>> {
        let mut turn = self.place.turn.lock();
        match std::mem::replace(&mut *turn, Turn::Over) {
            Turn::Waiting(_) => {
                *turn = Turn::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
            Turn::Granted(server) => Poll::Ready(Some(Lease::adopt(server))),
            Turn::Retry | Turn::Over => Poll::Ready(None),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let turn = std::mem::replace(&mut *self.place.turn.lock(), Turn::Over);
        match turn {
            Turn::Waiting(_) => match &self.server {
                Some(server) => server.queue.remove(&self.place),
                None => self.backend.queue.remove(&self.place),
            },
            // The slot came while the waiter was leaving: its guard passes it on.
            Turn::Granted(server) => drop(Lease::adopt(server)),
            Turn::Retry | Turn::Over => {}
        }
    }
}

#[cfg(test)]
mod tests;
