//! The cells that are counted in. Each has one writer at a time; any thread may read.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// A monotonically increasing count with one writing worker.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. A plain load and store: correct because only the shard's own worker writes.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// The present value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Events within the last second, with one writing worker: the present second, and the part of the one before that the
/// window still covers (HAProxy's `*_rate`).
#[derive(Debug, Default)]
pub struct Rate {
    /// The second that `now` counts, from the caller's start of time.
    second: AtomicU32,
    now: AtomicU32,
    before: AtomicU32,
}

impl Rate {
    /// Counts one event at `ms` milliseconds.
    #[inline]
    pub fn inc(&self, ms: u64) {
        let second = (ms / 1000) as u32;
        let counted = self.second.load(Relaxed);
        if counted == second {
            self.now.store(self.now.load(Relaxed).wrapping_add(1), Relaxed);
            return;
        }
        let before = if counted.wrapping_add(1) == second { self.now.load(Relaxed) } else { 0 };
        self.before.store(before, Relaxed);
        self.now.store(1, Relaxed);
        self.second.store(second, Relaxed);
    }

    /// Events of the last second, seen at `ms` milliseconds.
    pub fn read(&self, ms: u64) -> u64 {
        let (second, part) = ((ms / 1000) as u32, ms % 1000);
        let (now, before) = match second.wrapping_sub(self.second.load(Relaxed)) {
            0 => (self.now.load(Relaxed), self.before.load(Relaxed)),
            1 => (0, self.now.load(Relaxed)),
            _ => (0, 0),
        };
        u64::from(now) + u64::from(before) * (1000 - part) / 1000
    }
}

/// A level with a high-water mark that several workers move at once (sessions, requests in flight).
///
/// The level is sequentially consistent: a server's queue relies on "I left, then nobody waited" and "I joined, then no
/// slot was free" never both being seen.
#[derive(Debug, Default)]
pub struct Gauge {
    now: AtomicU32,
    max: AtomicU32,
}

impl Gauge {
    /// Raises the level by one and returns the new level.
    #[inline]
    pub fn enter(&self) -> u32 {
        let level = self.now.fetch_add(1, SeqCst) + 1;
        if level > self.max.load(Relaxed) {
            self.max.fetch_max(level, Relaxed);
        }
        level
    }

    /// Raises the level by one unless it has reached `limit` (0 = no limit); `false` when full.
    #[inline]
    pub fn try_enter(&self, limit: u32) -> bool {
        if limit == 0 {
            self.enter();
            return true;
        }
        let mut level = self.now.load(SeqCst);
        while level < limit {
            match self.now.compare_exchange_weak(level, level + 1, SeqCst, SeqCst) {
                Ok(_) => {
                    if level + 1 > self.max.load(Relaxed) {
                        self.max.fetch_max(level + 1, Relaxed);
                    }
                    return true;
                }
                Err(seen) => level = seen,
            }
        }
        false
    }

    /// Lowers the level by one. Callers are drop guards, so each `enter` has exactly one `leave`.
    #[inline]
    pub fn leave(&self) {
        let before = self.now.fetch_sub(1, SeqCst);
        debug_assert!(before > 0, "gauge left more often than entered");
    }

    /// The present level.
    #[inline]
    pub fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    /// The highest level seen since the last [`Gauge::reset_max`].
    #[inline]
    pub fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }

    /// Forgets the high-water mark (`clear counters`).
    pub fn reset_max(&self) {
        self.max.store(self.now.load(Relaxed), Relaxed);
    }
}

/// A level that one worker alone sets (idle connections in its pool).
#[derive(Debug, Default)]
pub struct Level(AtomicU32);

impl Level {
    /// Sets the level.
    #[inline]
    pub fn set(&self, n: u32) {
        self.0.store(n, Relaxed);
    }

    /// The present level.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// A sliding average over about the last [`Average::WINDOW`] samples, in the unit of its samples, with its maximum.
///
/// Same estimator as HAProxy's qtime/ctime/rtime/ttime columns (window of 512 in its source).
#[derive(Debug, Default)]
pub struct Average {
    sum: AtomicU64,
    count: AtomicU64,
    max: AtomicU32,
}

impl Average {
    /// How many samples weigh in.
    pub const WINDOW: u64 = 512;

    /// Takes one sample in.
    #[inline]
    pub fn record(&self, sample: u32) {
        let n = self.count.load(Relaxed);
        let sum = self.sum.load(Relaxed);
        let keep = if n < Self::WINDOW { sum } else { sum - sum.div_ceil(Self::WINDOW) };
        self.sum.store(keep + u64::from(sample), Relaxed);
        self.count.store(n + 1, Relaxed);
        if sample > self.max.load(Relaxed) {
            self.max.store(sample, Relaxed);
        }
    }

    /// `(sum, weight)` so that averages of several shards can be joined by weight.
    pub fn parts(&self) -> (u64, u64) {
        (self.sum.load(Relaxed), self.count.load(Relaxed).min(Self::WINDOW))
    }

    /// The largest sample seen.
    pub fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_covers_the_last_second() {
        let rate = Rate::default();
        (0..10).for_each(|n| rate.inc(5_000 + n * 100));
        assert_eq!([5_900, 6_000, 6_500, 7_500, 9_000].map(|ms| rate.read(ms)), [10, 10, 5, 0, 0]);
        rate.inc(6_500);
        assert_eq!((rate.read(6_500), rate.read(7_250)), (6, 0));
        rate.inc(20_000);
        assert_eq!(rate.read(20_000), 1);
    }

    #[test]
    fn average_follows_a_step_within_a_few_windows() {
        let a = Average::default();
        for _ in 0..600 {
            a.record(10);
        }
        for _ in 0..6000 {
            a.record(100);
        }
        let (sum, n) = a.parts();
        let mean = sum / n;
        assert!((99..=100).contains(&mean), "mean {mean}");
        assert_eq!(a.max(), 100);
    }

    #[test]
    fn a_full_gauge_refuses_and_a_left_one_admits() {
        let g = Gauge::default();
        assert!(g.try_enter(2) && g.try_enter(2));
        assert!(!g.try_enter(2));
        g.leave();
        assert!(g.try_enter(2));
        assert_eq!((g.now(), g.max()), (2, 2));
    }
}
