//! HAProxy's log date, `06/Feb/2009:12:14:14.655` in local time, with the second formatted once.

use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Turns instants into dates; one per worker.
#[derive(Debug)]
pub(crate) struct Dates {
    zone: TimeZone,
    /// An instant and the wall clock at that moment; renewed every second, so that clock steps are followed.
    anchor: (Instant, SystemTime),
    second: i64,
    text: String,
}

impl Dates {
    /// How long an anchor may serve.
    const RENEW: std::time::Duration = std::time::Duration::from_secs(1);

    pub(crate) fn new() -> Dates {
        Dates {
            zone: TimeZone::system(),
            anchor: (Instant::now(), SystemTime::now()),
            second: i64::MIN,
            text: String::new(),
        }
    }

    /// Milliseconds since the epoch at `at`.
    pub(crate) fn millis(&mut self, at: Instant) -> i64 {
        if at.saturating_duration_since(self.anchor.0) > Self::RENEW {
            self.anchor = (Instant::now(), SystemTime::now());
        }
        let (instant, wall) = self.anchor;
        let base = wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        match at.checked_duration_since(instant) {
            Some(after) => base + after.as_millis() as i64,
            None => base - (instant - at).as_millis() as i64,
        }
    }

    /// Appends the log date of `at`.
    pub(crate) fn write(&mut self, at: Instant, out: &mut Vec<u8>) {
        let millis = self.millis(at);
        let second = millis.div_euclid(1000);
        if second != self.second {
            self.second = second;
            self.text = Timestamp::from_second(second)
                .map(|t| t.to_zoned(self.zone.clone()).strftime("%d/%b/%Y:%H:%M:%S").to_string())
                .unwrap_or_default();
        }
        out.extend_from_slice(self.text.as_bytes());
        let ms = millis.rem_euclid(1000) as u32;
        out.extend_from_slice(&[b'.', b'0' + (ms / 100) as u8, b'0' + (ms / 10 % 10) as u8, b'0' + (ms % 10) as u8]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use fastrand::Rng;

    use super::*;

    fn at(zone: TimeZone, wall: SystemTime) -> Dates {
        Dates { zone, anchor: (Instant::now(), wall), second: i64::MIN, text: String::new() }
    }

    fn text(dates: &mut Dates, at: Instant) -> String {
        let mut out = b"[".to_vec();
        dates.write(at, &mut out);
        String::from_utf8(out).unwrap().split_off(1)
    }

    #[test]
    fn the_form_is_haproxys() {
        // 06/Feb/2009 12:14:14.655 in Paris.
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(1_233_918_854_655);
        let mut utc = at(TimeZone::UTC, wall);
        let now = utc.anchor.0;
        assert_eq!(text(&mut utc, now), "06/Feb/2009:11:14:14.655");
        let mut paris = at(TimeZone::fixed(jiff::tz::offset(1)), wall);
        let now = paris.anchor.0;
        assert_eq!(text(&mut paris, now), "06/Feb/2009:12:14:14.655");
        assert_eq!(text(&mut paris, now + Duration::from_millis(345)), "06/Feb/2009:12:14:15.000");
    }

    #[test]
    fn every_instant_near_the_anchor_gets_its_own_date() {
        for seed in 0..200 {
            let mut rng = Rng::with_seed(seed);
            let wall = rng.u64(0..4_000_000_000_000);
            let mut dates = at(TimeZone::UTC, SystemTime::UNIX_EPOCH + Duration::from_millis(wall));
            let anchor = dates.anchor.0;
            for _ in 0..50 {
                // Forwards and backwards, so that the text of a second is not kept for another one.
                let offset = rng.i64(-1000.max(-(wall as i64))..=1000);
                let instant = match u64::try_from(offset) {
                    Ok(after) => anchor + Duration::from_millis(after),
                    Err(_) => anchor - Duration::from_millis(offset.unsigned_abs()),
                };
                let millis = wall as i64 + offset;
                let zoned = Timestamp::from_millisecond(millis).unwrap().to_zoned(TimeZone::UTC);
                let expected = zoned.strftime("%d/%b/%Y:%H:%M:%S%.3f").to_string();
                assert_eq!(text(&mut dates, instant), expected, "seed {seed} offset {offset}");
                assert_eq!(dates.millis(instant), millis, "seed {seed} offset {offset}");
            }
        }
    }

    #[test]
    fn an_anchor_that_is_old_is_dropped_so_that_clock_steps_are_followed() {
        let millis = |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
        let mut dates = at(TimeZone::UTC, SystemTime::UNIX_EPOCH);
        let before = SystemTime::now();
        let now = Instant::now();
        dates.anchor.0 = now - Dates::RENEW - Duration::from_millis(1);
        let seen = dates.millis(now);
        // Both parts are cut to whole milliseconds.
        let allowed = millis(before) - 2..=millis(SystemTime::now()) + 2;
        assert!(allowed.contains(&seen), "{seen} is not in {allowed:?}");
    }
}
