//! A limit of bytes a second (`set-bandwidth-limit`): how much may be read now, and when to look again.
//!
//! Asked by pumps and relays before they read. A limit of one transaction is a bucket that fills with time; one that is
//! shared is asked for and counted in its entry of a stick table.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use evenkeel_acl::BandwidthLimit;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;

/// One direction's limit.
#[derive(Debug)]
pub(crate) struct Throttle {
    limit: BandwidthLimit,
    /// Of a limit that is not shared.
    bucket: Bucket,
    /// From when the milliseconds of stick tables count.
    started: std::time::Instant,
    sleep: Pin<Box<Sleep>>,
}

/// Fills with time.
#[derive(Debug)]
struct Bucket {
    /// Bytes that may be read at once; below 0 after what was there before anybody asked.
    left: i64,
    /// When `left` was worked out.
    at: Instant,
}

impl Throttle {
    /// `started`: the start of the process.
    pub(crate) fn new(limit: BandwidthLimit, started: std::time::Instant) -> Throttle {
        let now = Instant::now();
        Throttle { limit, bucket: Bucket { left: 0, at: now }, started, sleep: Box::pin(sleep_until(now)) }
    }

    /// How much may be read; waits until it is worth while.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            let allowed = match &self.limit.share {
                Some(share) => share.allowed(&self.limit, self.table_ms()),
                None => self.bucket.allowed(&self.limit),
            };
            let wait = match allowed {
                Ok(bytes) => return Poll::Ready(usize::try_from(bytes).unwrap_or(usize::MAX)),
                Err(wait) => wait,
            };
            self.sleep.as_mut().reset(Instant::now() + wait);
            ready!(self.sleep.as_mut().poll(cx));
        }
    }

    /// So many bytes were read, or came without being asked for.
    pub(crate) fn take(&mut self, bytes: usize) {
        match &self.limit.share {
            Some(share) => share.take(bytes as u64, self.table_ms()),
            None => self.bucket.left = self.bucket.left.saturating_sub_unsigned(bytes as u64),
        }
    }

    fn table_ms(&self) -> u64 {
        clock::for_rules(self.started).mono_ms
    }
}

impl Bucket {
    fn allowed(&mut self, limit: &BandwidthLimit) -> Result<u64, Duration> {
        let now = Instant::now();
        let least = limit.least(limit.per_second);
        // A part of a second's worth, so that a transfer flows evenly.
        let holds = (limit.per_second / BandwidthLimit::PARTS).max(least);
        let gained = limit.per_second.saturating_mul((now - self.at).as_micros() as u64) / 1_000_000;
        if gained > 0 {
            self.left = self.left.saturating_add_unsigned(gained).min(i64::try_from(holds).unwrap_or(i64::MAX));
            self.at = now;
        }
        match u64::try_from(self.left) {
            Ok(left) if left >= least => return Ok(left),
            _ => {}
        }
        let missing = i64::try_from(least).unwrap_or(i64::MAX).saturating_sub(self.left).unsigned_abs();
        let micros = missing.saturating_mul(1_000_000).div_ceil(limit.per_second);
        Err(Duration::from_micros(micros.max(1000)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_lets_a_seconds_worth_through() {
        for (per_second, at_least) in
            [(100, None), (5_000, None), (1 << 20, None), (1 << 20, Some(300_000)), (9, Some(0)), (9, Some(99))]
        {
            let limit = BandwidthLimit { per_second, at_least, share: None };
            let mut throttle = Throttle::new(limit, std::time::Instant::now());
            let begun = Instant::now();
            let mut read = 0;
            while begun.elapsed() < Duration::from_secs(10) {
                let allowed = std::future::poll_fn(|cx| throttle.poll(cx)).await;
                assert!(allowed as u64 >= at_least.unwrap_or(0).min(per_second), "{per_second}: {allowed} at a time");
                throttle.take(allowed);
                read += allowed as u64;
            }
            let ratio = read as f64 / (10 * per_second) as f64;
            assert!((0.9..1.1).contains(&ratio), "{per_second}: {read} bytes in 10 s");
            // What comes along with a head is paid for by what comes after it.
            let since = Instant::now();
            throttle.take(usize::try_from(3 * per_second).unwrap());
            std::future::poll_fn(|cx| throttle.poll(cx)).await;
            assert!(since.elapsed() > Duration::from_secs(2), "{per_second}: {:?}", since.elapsed());
        }
    }
}
