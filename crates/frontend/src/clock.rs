//! The worker's coarse clock: one reading of the real clock serves a burst of work.
//!
//! Refreshed when the worker comes back from waiting in the kernel and after [`Clock::READS`] readings, whichever comes first,
//! so a reading is never older than the work done since.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use evenkeel_acl::Now;

thread_local! {
    static CLOCK: Clock = Clock { now: Cell::new(Instant::now()), left: Cell::new(0) };
    static WALL: Cell<(Instant, i64)> = Cell::new((Instant::now(), wall()));
}

/// How long a look at the wall clock serves, so that steps of it are followed.
const WALL_SERVES: Duration = Duration::from_secs(1);

fn wall() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

/// The time as rules see it; `start` is the start of the process, from which the monotonic milliseconds count.
pub(crate) fn for_rules(start: Instant) -> Now {
    let now = now();
    Now { mono_ms: millis(now.saturating_duration_since(start)), unix_us: unix_us(now) }
}

/// Microseconds since 1970 at `at`.
pub(crate) fn unix_us(at: Instant) -> i64 {
    WALL.with(|cell| {
        let (mut anchor, mut wall_us) = cell.get();
        if at.saturating_duration_since(anchor) > WALL_SERVES {
            (anchor, wall_us) = (Instant::now(), wall());
            cell.set((anchor, wall_us));
        }
        match at.checked_duration_since(anchor) {
            Some(after) => wall_us + micros(after),
            None => wall_us - micros(anchor - at),
        }
    })
}

/// Milliseconds on the clock of rates, whose start is the same for all workers.
#[inline]
pub(crate) fn rate_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    millis(now().saturating_duration_since(start))
}

/// `Duration::as_micros` divides 128-bit numbers.
fn micros(time: Duration) -> i64 {
    (time.as_secs() as i64).saturating_mul(1_000_000) + i64::from(time.subsec_micros())
}

fn millis(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1000) + u64::from(time.subsec_millis())
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
