//! A limit of bytes a second: how much may be read now, and when to look again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A bucket that fills with time.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: u64,
    /// Bytes that may be read at once.
    left: u64,
    /// When `left` was worked out.
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Throttle {
    /// What the bucket holds at most, as a part of a second: small enough that a transfer flows evenly.
    const HOLDS: u64 = 8;
    /// Below this many bytes a read is not worth its call.
    const LEAST: u64 = 1024;

    pub(crate) fn new(per_second: u64) -> Throttle {
        let now = Instant::now();
        Throttle { per_second: per_second.max(1), left: 0, at: now, sleep: Box::pin(sleep_until(now)) }
    }

    /// How much may be read; waits until it is worth while.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            let now = Instant::now();
            let holds = (self.per_second / Self::HOLDS).max(1);
            let gained = self.per_second.saturating_mul((now - self.at).as_micros() as u64) / 1_000_000;
            if gained > 0 {
                self.left = self.left.saturating_add(gained).min(holds);
                self.at = now;
            }
            let least = holds.min(Self::LEAST);
            if self.left >= least {
                return Poll::Ready(usize::try_from(self.left).unwrap_or(usize::MAX));
            }
            let micros = (least - self.left).saturating_mul(1_000_000).div_ceil(self.per_second);
            self.sleep.as_mut().reset(now + Duration::from_micros(micros.max(1000)));
            ready!(self.sleep.as_mut().poll(cx));
        }
    }

    /// So many bytes were read.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_lets_a_seconds_worth_through() {
        for per_second in [100, 5_000, 1 << 20] {
            let mut throttle = Throttle::new(per_second);
            let begun = Instant::now();
            let mut read = 0;
            while begun.elapsed() < Duration::from_secs(10) {
                let allowed = std::future::poll_fn(|cx| throttle.poll(cx)).await;
                throttle.take(allowed);
                read += allowed as u64;
            }
            let ratio = read as f64 / (10 * per_second) as f64;
            assert!((0.9..1.1).contains(&ratio), "{per_second}: {read} bytes in 10 s");
        }
    }
}
