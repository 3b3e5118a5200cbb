//! The right to use one server for one request or connection.

use std::sync::Arc;

use crate::queue;
use crate::server::Server;

/// Counts one session in flight on a server for as long as it lives.
#[derive(Debug)]
pub struct Lease {
    server: Arc<Server>,
}

impl Lease {
    /// Takes a slot, unless the server is full.
    #[inline]
    pub fn try_take(server: &Arc<Server>) -> Option<Lease> {
        server.sessions.try_enter(server.maxconn()).then(|| Lease { server: server.clone() })
    }

    /// Takes over a slot that is counted already.
    pub(crate) fn adopt(server: Arc<Server>) -> Lease {
        Lease { server }
    }

    /// The server.
    #[inline]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        if !queue::hand_over(&self.server) {
            self.server.sessions.leave();
            // Somebody may have joined the queue between the look and the leave.
            queue::fill(&self.server);
        }
    }
}
