//! The worker's coarse clock: one reading of the real clock serves a burst of work.
//!
//! Refreshed when the worker comes back from waiting in the kernel and after [`Clock::READS`] readings, whichever comes first,
//! so a reading is never older than the work done since.

use std::cell::Cell;
use std::time::Instant;

thread_local! {
    static CLOCK: Clock = Clock { now: Cell::new(Instant::now()), left: Cell::new(0) };
}

struct Clock {
    now: Cell<Instant>,
    left: Cell<u32>,
}

impl Clock {
    /// Readings served by one look at the real clock: about four transactions.
    const READS: u32 = 16;
}

/// The time, fresh enough for timeouts and the log's milliseconds.
#[inline]
pub fn now() -> Instant {
    CLOCK.with(|c| {
        match c.left.get() {
            0 => {
                c.now.set(Instant::now());
                c.left.set(Clock::READS);
            }
            n => c.left.set(n - 1),
        }
        c.now.get()
    })
}

/// Called when the worker wakes up from the kernel: the next reading looks at the real clock.
#[inline]
pub fn stale() {
    CLOCK.with(|c| c.left.set(0));
}
