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
