//! One timer per connection, lazy: moving the deadline later costs nothing, because the armed sleep is only looked at when
//! it fires and is then armed anew for what is left.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::clock;

/// The timer of one connection.
#[derive(Debug, Default)]
pub struct Timer {
    deadline: Option<Instant>,
    armed: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Sets the deadline `after` from `since`; `None` = never.
    #[inline]
    pub fn set(&mut self, since: Instant, after: Option<Duration>) {
        self.deadline = after.and_then(|d| since.checked_add(d));
    }

    /// Whether the deadline has passed; if not, the task is woken when it has.
    #[inline]
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        // Armed at or before the deadline and not fired yet: its waker is this task's, nothing to do.
        match self.armed {
            Some(armed) if armed <= deadline && clock::now() < armed => Poll::Pending,
            _ => self.arm(deadline, cx),
        }
    }

    #[cold]
    fn arm(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        // The runtime's own clock decides here: a coarse reading must not make the sleep fire twice.
        if Instant::now() >= deadline {
            self.armed = None;
            return Poll::Ready(());
        }
        let at = tokio::time::Instant::from_std(deadline);
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(at);
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(at))),
        };
        self.armed = Some(deadline);
        sleep.as_mut().poll(cx)
    }
}

/// Runs `work` until it is done or `after` has passed since `since`.
///
/// # Errors
/// [`Expired`] when the time is over first.
pub async fn within<T>(
    timer: &mut Timer,
    since: Instant,
    after: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, Expired> {
    timer.set(since, after);
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        timer.poll_expired(cx).map(|()| Err(Expired))
    })
    .await
}

/// A deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;
