//! A rate over a period, as HAProxy computes it: this window's events and what is left of the last window's.
//!
//! Pure arithmetic over three numbers; where they lie in a record is the layout's business. Windows begin at the first
//! event and follow each other while events come; a gap of two periods begins anew.

/// The state of one rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rate {
    /// Start of the current window, in milliseconds.
    pub start: u64,
    /// Events of the current window.
    pub current: u64,
    /// Events of the window before.
    pub last: u64,
}

impl Rate {
    /// Counts `events` at `now`; counts stay at `most` rather than beginning anew.
    pub fn add(&mut self, events: u64, period: u32, now: u64, most: u64) {
        let elapsed = now.saturating_sub(self.start);
        let period = u64::from(period);
        if self.is_empty() || elapsed >= period.saturating_mul(2) {
            *self = Rate { start: now, current: 0, last: 0 };
        } else if elapsed >= period {
            *self = Rate { start: self.start.saturating_add(period), current: 0, last: self.current };
        }
        self.current = self.current.saturating_add(events).min(most);
    }

    /// Events per period as estimated at `now`.
    pub fn read(&self, period: u32, now: u64) -> u64 {
        let elapsed = now.saturating_sub(self.start);
        let period = u64::from(period);
        let (current, last, left) = match elapsed {
            _ if elapsed <= period => (self.current, self.last, period - elapsed),
            _ if elapsed <= period.saturating_mul(2) => (0, self.current, 2 * period - elapsed),
            _ => return 0,
        };
        // One event in a whole period would flap between 0 and 1: it counts until its second window ends.
        if current == 0 && last <= 1 {
            return last;
        }
        let past = match last.checked_mul(left) {
            Some(product) => product / period,
            None => u64::try_from(u128::from(last) * u128::from(left) / u128::from(period)).unwrap_or(u64::MAX),
        };
        current.saturating_add(past)
    }

    fn is_empty(&self) -> bool {
        self.current == 0 && self.last == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::rate_of;
    use super::*;

    #[test]
    fn agrees_with_counting_windows() {
        for seed in 0..300 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let period = rng.u32(1..50);
            let origin = if seed % 2 == 0 { u64::from(u32::MAX) - 100 } else { 1_000 };
            let (mut now, mut rate, mut events) = (origin, Rate::default(), Vec::new());
            for step in 0..200 {
                let stride = u64::from(period) * 3 / rng.u64(1..5);
                now += rng.u64(0..=stride);
                assert_eq!(
                    rate.read(period, now),
                    rate_of(&events, u64::from(period), now),
                    "seed {seed} step {step} now {now} period {period} {rate:?}"
                );
                if rng.bool() {
                    let count = rng.u64(1..5);
                    rate.add(count, period, now, u64::MAX);
                    events.push((now, count));
                }
            }
        }
    }

    #[test]
    fn the_last_window_fades() {
        let mut rate = Rate::default();
        rate.add(10, 2000, 0, u64::MAX);
        rate.add(20, 2000, 3000, u64::MAX);
        assert_eq!(rate.read(2000, 3000), 25, "half of the ten, and the twenty");
        assert_eq!(rate.read(2000, 5000), 10);
        assert_eq!(rate.read(2000, 6001), 0);
    }

    #[test]
    fn one_event_does_not_flap() {
        let mut rate = Rate::default();
        rate.add(1, 1000, 500, u64::MAX);
        assert_eq!((rate.read(1000, 1600), rate.read(1000, 2500), rate.read(1000, 2501)), (1, 1, 0));
    }

    #[test]
    fn a_clock_that_lags_and_numbers_at_their_end() {
        let mut rate = Rate::default();
        rate.add(5, 1000, 10_000, u64::MAX);
        rate.add(5, 1000, 9_990, u64::MAX);
        assert_eq!(rate.read(1000, 9_980), 10);
        rate.add(u64::MAX, 1000, 11_500, u64::MAX);
        assert_eq!(rate.read(1000, 11_500), u64::MAX);
        assert_eq!(rate.read(1000, 12_500), u64::MAX / 1000 * 500 + u64::MAX % 1000 * 500 / 1000);
        let mut small = Rate::default();
        small.add(7, 10, 1, 5);
        assert_eq!(small.read(10, 1), 5);
    }
}
