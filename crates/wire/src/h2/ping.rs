//! Pings on a connection that is silent: does the peer still live?
//!
//! Driven by whoever drives the connection, from the bytes that came in lately. One ping is under way at a time.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::Sleep;

use super::io::Watch;

/// Watches one connection (`idle-ping`).
#[derive(Debug)]
pub struct IdlePing {
    pings: PingPong,
    every: Duration,
    sleep: Pin<Box<Sleep>>,
    /// Bytes received when the present wait began.
    seen: u64,
    waits: bool,
}

impl IdlePing {
    /// Pings after each `every` of silence.
    pub fn new(pings: PingPong, every: Duration) -> IdlePing {
        IdlePing { pings, every, sleep: Box::pin(tokio::time::sleep(every)), seen: 0, waits: false }
    }

    /// Ready when a ping stayed without an answer for as long as the silence before it.
    pub fn poll_dead(&mut self, cx: &mut Context<'_>, watch: &Rc<Watch>) -> Poll<()> {
        loop {
            if self.waits && self.pings.poll_pong(cx).is_ready() {
                self.waits = false;
            }
            ready!(self.sleep.as_mut().poll(cx));
            let received = watch.received.get();
            let silent = received == self.seen;
            self.seen = received;
            if self.waits && silent {
                return Poll::Ready(());
            }
            if silent && self.pings.send_ping(Ping::opaque()).is_ok() {
                self.waits = true;
            }
            self.sleep.as_mut().reset(tokio::time::Instant::now() + self.every);
        }
    }
}
