//! One timer per connection, lazy: moving the deadline later costs nothing, because the armed sleep is only looked at when
//! it fires and is then armed anew for what is left.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

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
        // Armed at or before the deadline and not fired yet: its waker is this task's, nothing to do. The sleep itself is
        // asked, because a clock read before it fired would leave the task without a waker.
        match (self.armed, &self.sleep) {
            (Some(armed), Some(sleep)) if armed <= deadline && !sleep.is_elapsed() => Poll::Pending,
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

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::task::{Wake, Waker};

    use super::*;
    use crate::clock;

    const HOUR: Duration = Duration::from_secs(3600);

    /// The runtime's clock stands still and jumps to the next timer as soon as nothing else can happen.
    fn paused<F: Future>(test: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(test)
    }

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn no_deadline_never_expires() {
        paused(async {
            let mut timer = Timer::default();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(timer.poll_expired(&mut cx).is_pending());
            timer.set(Instant::now(), None);
            assert!(timer.poll_expired(&mut cx).is_pending());
            timer.set(Instant::now(), Some(Duration::MAX));
            assert!(timer.poll_expired(&mut cx).is_pending(), "a deadline beyond time itself");
            assert!(timer.sleep.is_none(), "nothing is armed for it");
        });
    }

    #[test]
    fn a_deadline_that_is_over_is_seen_at_once() {
        paused(async {
            let mut timer = Timer::default();
            let mut cx = Context::from_waker(Waker::noop());
            let now = Instant::now();
            timer.set(now, Some(Duration::ZERO));
            assert!(timer.poll_expired(&mut cx).is_ready());
            // The same timer serves on.
            timer.set(now, Some(HOUR));
            assert!(timer.poll_expired(&mut cx).is_pending());
            timer.set(now, Some(Duration::ZERO));
            assert!(timer.poll_expired(&mut cx).is_ready(), "moved nearer while armed");
        });
    }

    #[test]
    fn moving_the_deadline_later_touches_nothing() {
        paused(async {
            let mut timer = Timer::default();
            let mut cx = Context::from_waker(Waker::noop());
            let now = Instant::now();
            timer.set(now, Some(HOUR));
            assert!(timer.poll_expired(&mut cx).is_pending());
            let armed = timer.armed;
            for n in 2..10 {
                timer.set(now, Some(HOUR * n));
                assert!(timer.poll_expired(&mut cx).is_pending());
                assert_eq!(timer.armed, armed, "the armed sleep is left alone");
            }
            timer.set(now, Some(HOUR / 2));
            assert!(timer.poll_expired(&mut cx).is_pending());
            assert_eq!(timer.armed, timer.deadline, "moving it nearer arms anew");
        });
    }

    /// A sleep that fired is looked at again, whatever a coarse clock reads: its waker is used up.
    #[test]
    fn a_fired_sleep_is_not_taken_for_an_armed_one() {
        paused(async {
            let mut timer = Timer::default();
            // The reading behind this comes from before the sleep fires, as on a worker that is too busy to park.
            assert_eq!(within(&mut timer, clock::now(), Some(HOUR), pending::<()>()).await, Err(Expired));
            assert_eq!(within(&mut timer, clock::now(), Some(HOUR), pending::<()>()).await, Err(Expired));
        });
    }

    #[test]
    fn a_sleep_that_fires_early_is_armed_for_the_rest() {
        paused(async {
            let begun = tokio::time::Instant::now();
            let now = Instant::now();
            let mut timer = Timer::default();
            timer.set(now, Some(HOUR));
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                let done = timer.poll_expired(cx);
                timer.set(now, Some(HOUR * 5));
                done
            })
            .await;
            assert!(begun.elapsed() >= HOUR * 5 - Duration::from_secs(60), "after {:?}", begun.elapsed());
            assert_eq!(polls, 3, "armed, armed for the rest, over");
        });
    }

    #[test]
    fn work_that_is_done_beats_the_deadline() {
        paused(async {
            let mut timer = Timer::default();
            let long_ago = Instant::now();
            assert_eq!(within(&mut timer, long_ago, Some(Duration::ZERO), async { 7 }).await, Ok(7));
            assert_eq!(within(&mut timer, long_ago, Some(Duration::ZERO), pending::<u8>()).await, Err(Expired));
            let half = async {
                tokio::time::sleep(HOUR / 2).await;
                8
            };
            assert_eq!(within(&mut timer, Instant::now(), Some(HOUR), half).await, Ok(8));
        });
    }

    #[test]
    fn an_armed_timer_does_not_wake_before_its_time() {
        paused(async {
            let mut timer = Timer::default();
            let count = Arc::new(Count::default());
            let waker = Waker::from(count.clone());
            timer.set(Instant::now(), Some(HOUR));
            let mut wait = pin!(poll_fn(|_| timer.poll_expired(&mut Context::from_waker(&waker))));
            assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            tokio::time::advance(HOUR / 2).await;
            assert_eq!(count.0.load(SeqCst), 0);
            tokio::time::advance(HOUR).await;
            assert_eq!(count.0.load(SeqCst), 1);
            assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        });
    }
}
