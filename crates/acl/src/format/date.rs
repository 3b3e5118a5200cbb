//! Dates of log lines, `06/Feb/2009:12:14:14.655`, from microseconds since 1970.
//!
//! Pure: the caller says how far local time is ahead of UTC. Allocates nothing.

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A moment on the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    year: i64,
    /// 0 to 11.
    month: usize,
    day: i64,
    second_of_day: i64,
    millis: i64,
    offset: i32,
}

impl Date {
    /// `unix_us` as seen `offset` seconds ahead of UTC.
    pub(super) fn new(unix_us: i64, offset: i32) -> Date {
        let local = unix_us.div_euclid(1_000_000) + i64::from(offset);
        let (year, month, day) = civil(local.div_euclid(86_400));
        Date {
            year,
            month,
            day,
            second_of_day: local.rem_euclid(86_400),
            millis: unix_us.rem_euclid(1_000_000) / 1000,
            offset,
        }
    }

    /// `06/Feb/2009:12:14:14.655`.
    pub(super) fn with_millis(self) -> [u8; 24] {
        let mut text = [b'.'; 24];
        text[..20].copy_from_slice(&self.seconds());
        digits(&mut text[21..], self.millis);
        text
    }

    /// `06/Feb/2009:12:14:14 +0100`.
    pub(super) fn with_zone(self) -> [u8; 26] {
        let mut text = [b' '; 26];
        text[..20].copy_from_slice(&self.seconds());
        text[21] = if self.offset < 0 { b'-' } else { b'+' };
        let minutes = i64::from(self.offset.unsigned_abs()) / 60;
        digits(&mut text[22..24], minutes / 60);
        digits(&mut text[24..], minutes % 60);
        text
    }

    fn seconds(self) -> [u8; 20] {
        let mut text = *b"00/xxx/0000:00:00:00";
        digits(&mut text[..2], self.day);
        text[3..6].copy_from_slice(MONTHS[self.month]);
        digits(&mut text[7..11], self.year);
        digits(&mut text[12..14], self.second_of_day / 3600);
        digits(&mut text[15..17], self.second_of_day / 60 % 60);
        digits(&mut text[18..20], self.second_of_day % 60);
        text
    }
}

/// The last digits of `value`, as many as there is room for.
fn digits(room: &mut [u8], value: i64) {
    let mut rest = value.unsigned_abs();
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Year, month (0 to 11) and day of the day that many days after 1 January 1970, in the Gregorian calendar.
fn civil(days: i64) -> (i64, usize, i64) {
    // Years begin in March, so that the leap day is the last of a year; an era is 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    (era * 400 + year_of_era + i64::from(month < 2), month as usize, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn known_moments() {
        for (us, offset, millis, zone) in [
            (1_233_918_854_655_000, 3600, "06/Feb/2009:12:14:14.655", "06/Feb/2009:12:14:14 +0100"),
            (1_795_237_766_870_999, -18_000, "21/Nov/2026:00:09:26.870", "21/Nov/2026:00:09:26 -0500"),
            (0, 0, "01/Jan/1970:00:00:00.000", "01/Jan/1970:00:00:00 +0000"),
            (951_782_400_000_000, 0, "29/Feb/2000:00:00:00.000", "29/Feb/2000:00:00:00 +0000"),
            (4_107_542_399_999_999, 0, "28/Feb/2100:23:59:59.999", "28/Feb/2100:23:59:59 +0000"),
            (-1, 19_800, "01/Jan/1970:05:29:59.999", "01/Jan/1970:05:29:59 +0530"),
        ] {
            let date = Date::new(us, offset);
            assert_eq!(std::str::from_utf8(&date.with_millis()).unwrap(), millis);
            assert_eq!(std::str::from_utf8(&date.with_zone()).unwrap(), zone);
        }
    }

    /// Day by day over four centuries and their leap years.
    #[test]
    fn days_follow_each_other() {
        let length = |year: i64, month: usize| match month {
            1 => 28 + i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)),
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 0, 1);
        for days in 0..146_097 {
            assert_eq!(civil(days), (year, month, day), "day {days}");
            day += 1;
            if day > length(year, month) {
                (day, month) = (1, month + 1);
            }
            if month == 12 {
                (month, year) = (0, year + 1);
            }
        }
    }
}
