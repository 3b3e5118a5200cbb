//! Converters of dates. Formats are those of strftime(3) in the C locale, checked when the configuration is loaded.
//!
//! The local time zone is the system's at load: a running configuration never reads it again.

use std::io::Write as _;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::conv::conv_table;
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const FORMAT: Arg = Arg::one("format", ArgKind::Str);
const OFFSET: Arg = Arg::maybe("offset", ArgKind::Int);
const UNIT: Arg = Arg::maybe("unit", ArgKind::Word(&["s", "ms", "us"]));

conv_table! {
    "http_date" "http_date([<offset>][,<unit>])" [OFFSET, UNIT] Int -> Str http_date,
        "Seconds since 1970 (or ms or us, which are written as a fraction), and an offset in the same unit, as a date of \
         HTTP (RFC 9110 section 5.6.7).", "src_port,http_date(60)";
    "ltime" "ltime(<format>[,<offset>])" [FORMAT, OFFSET] Int -> Str seconds, prepare local,
        "Seconds since 1970, and an offset in seconds, as local time in a format of strftime(3).",
        "src_port,ltime(%Y%m%d%H%M%S)";
    "ms_ltime" "ms_ltime(<format>[,<offset>])" [FORMAT, OFFSET] Int -> Str millis, prepare local,
        "Milliseconds since 1970, and an offset in milliseconds, as local time in a format of strftime(3), in which `%3N` \
         are the digits after the second.", "src_port,ms_ltime(%H:%M:%S.%3N)";
    "ms_utime" "ms_utime(<format>[,<offset>])" [FORMAT, OFFSET] Int -> Str millis, prepare utc,
        "As ms_ltime, in UTC.", "src_port,ms_utime(%H:%M:%S.%3N)";
    "us_ltime" "us_ltime(<format>[,<offset>])" [FORMAT, OFFSET] Int -> Str micros, prepare local,
        "Microseconds since 1970, and an offset in microseconds, as local time in a format of strftime(3), in which `%6N` \
         are the digits after the second.", "src_port,us_ltime(%H:%M:%S.%6N)";
    "us_utime" "us_utime(<format>[,<offset>])" [FORMAT, OFFSET] Int -> Str micros, prepare utc,
        "As us_ltime, in UTC.", "src_port,us_utime(%H:%M:%S.%6N)";
    "utime" "utime(<format>[,<offset>])" [FORMAT, OFFSET] Int -> Str seconds, prepare utc,
        "As ltime, in UTC.", "src_port,utime(%Y%m%d%H%M%S)";
}

/// A moment of `value` units since 1970, of which a second has `units`; `None` outside of the years -9999 to 9999.
fn moment(value: i64, units: i64) -> Option<Timestamp> {
    let nanos = value.rem_euclid(units) * (1_000_000_000 / units);
    Timestamp::from_duration(SignedDuration::new(value.div_euclid(units), nanos as i32)).ok()
}

fn http_date<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (units, digits) = match Value::text(args, 1) {
        b"ms" => (1000, 3),
        b"us" => (1_000_000, 6),
        _ => (1, 0),
    };
    let value = sample.as_int()?.saturating_add(Value::int(args, 0).unwrap_or(0));
    let clock = Clock { at: Offset::UTC.to_datetime(moment(value, units)?), unix: 0, offset: 0, zone: "GMT" };
    clock.write(b"%a, %d %b %Y %H:%M:%S", out)?;
    if digits > 0 {
        out.push(b'.');
        clock.fraction(digits, out);
    }
    out.extend_from_slice(b" GMT");
    Some(Sample::Str(out))
}

fn local(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    prepare(args, Some(TimeZone::system()))
}

fn utc(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    prepare(args, None)
}

/// Checks the format and adds the zone; none is UTC.
fn prepare(args: &mut Vec<Value>, zone: Option<TimeZone>) -> Result<(), String> {
    let sample = Clock { at: DateTime::constant(1970, 1, 1, 0, 0, 0, 0), unix: 0, offset: 0, zone: "GMT" };
    let format = Value::text(args, 0);
    if sample.write(format, &mut Vec::new()).is_none() {
        let known = "aAbBcCdDeFgGhHIjklmMnNpPrRsStTuUVwWxXyYzZ%";
        return Err(format!("the format is one of strftime(3) with the conversions {known}, each perhaps with a flag"));
    }
    args.resize(2, Value::None);
    args.push(Value::Ready(Arc::new(zone)));
    Ok(())
}

fn seconds<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    formatted(sample, args, 1, out)
}

fn millis<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    formatted(sample, args, 1000, out)
}

fn micros<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    formatted(sample, args, 1_000_000, out)
}

fn formatted<'a>(sample: Sample<'_>, args: &[Value], units: i64, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let at = moment(sample.as_int()?.saturating_add(Value::int(args, 1).unwrap_or(0)), units)?;
    write_in(at, Value::ready::<Option<TimeZone>>(args, 2)?.as_ref(), Value::text(args, 0), out)?;
    Some(Sample::Str(out))
}

fn write_in(at: Timestamp, zone: Option<&TimeZone>, format: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let unix = at.as_second();
    match zone {
        None => Clock { at: Offset::UTC.to_datetime(at), unix, offset: 0, zone: "GMT" }.write(format, out),
        Some(zone) => {
            let info = zone.to_offset_info(at);
            let offset = info.offset();
            let zone = info.abbreviation();
            Clock { at: offset.to_datetime(at), unix, offset: offset.seconds(), zone }.write(format, out)
        }
    }
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What a clock on the wall shows.
struct Clock<'z> {
    at: DateTime,
    unix: i64,
    /// Seconds east of Greenwich.
    offset: i32,
    zone: &'z str,
}

impl Clock<'_> {
    /// Appends the time; `None` when the format has a conversion that is not known.
    fn write(&self, format: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let mut rest = format.iter();
        while let Some(&byte) = rest.next() {
            if byte != b'%' {
                out.push(byte);
                continue;
            }
            let mut flag = None;
            let mut width = None;
            loop {
                match *rest.next()? {
                    next @ (b'-' | b'_' | b'0' | b'^' | b'#') if width.is_none() => flag = Some(next),
                    // The other calendars and digits of a locale are those of the C locale.
                    b'E' | b'O' => {}
                    digit @ b'1'..=b'9' if width.is_none() => width = Some(usize::from(digit - b'0')),
                    conversion => {
                        self.convert(conversion, flag, width, out)?;
                        break;
                    }
                }
            }
        }
        Some(())
    }

    fn convert(&self, conversion: u8, flag: Option<u8>, width: Option<usize>, out: &mut Vec<u8>) -> Option<()> {
        if width.is_some() && conversion != b'N' {
            return None;
        }
        let at = &self.at;
        let weekday = at.weekday().to_sunday_zero_offset();
        let (year, hour, day) = (i64::from(at.year()), i64::from(at.hour()), i64::from(at.day()));
        let (month, yday) = (at.month(), i64::from(at.day_of_year()) - 1);
        let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
        let start = out.len();
        let mut number = |value: i64, width: usize, pad: u8| {
            let pad = match flag {
                Some(b'-') => None,
                Some(b'_') => Some(b' '),
                Some(b'0') => Some(b'0'),
                _ => Some(pad),
            };
            // A Vec takes everything: nothing is lost.
            let _ = match pad {
                None => write!(out, "{value}"),
                Some(b' ') => write!(out, "{value:width$}"),
                Some(_) => write!(out, "{value:0width$}"),
            };
        };
        match conversion {
            b'C' => number(year.div_euclid(100), 2, b'0'),
            b'd' => number(day, 2, b'0'),
            b'e' => number(day, 2, b' '),
            b'g' => number(i64::from(at.date().iso_week_date().year()).rem_euclid(100), 2, b'0'),
            b'G' => number(at.date().iso_week_date().year().into(), 4, b'0'),
            b'H' => number(hour, 2, b'0'),
            b'I' => number(twelve, 2, b'0'),
            b'j' => number(yday + 1, 3, b'0'),
            b'k' => number(hour, 2, b' '),
            b'l' => number(twelve, 2, b' '),
            b'm' => number(month.into(), 2, b'0'),
            b'M' => number(at.minute().into(), 2, b'0'),
            b's' => number(self.unix, 1, b'0'),
            b'S' => number(at.second().into(), 2, b'0'),
            b'u' => number(if weekday == 0 { 7 } else { weekday.into() }, 1, b'0'),
            b'U' => number((yday + 7 - i64::from(weekday)) / 7, 2, b'0'),
            b'V' => number(at.date().iso_week_date().week().into(), 2, b'0'),
            b'w' => number(weekday.into(), 1, b'0'),
            b'W' => number((yday + 7 - i64::from((weekday + 6) % 7)) / 7, 2, b'0'),
            b'y' => number(year.rem_euclid(100), 2, b'0'),
            b'Y' => number(year, 4, b'0'),
            b'a' => out.extend_from_slice(&DAYS[weekday as usize % 7].as_bytes()[..3]),
            b'A' => out.extend_from_slice(DAYS[weekday as usize % 7].as_bytes()),
            b'b' | b'h' => out.extend_from_slice(&MONTHS[(month - 1) as usize % 12].as_bytes()[..3]),
            b'B' => out.extend_from_slice(MONTHS[(month - 1) as usize % 12].as_bytes()),
            b'c' => self.write(b"%a %b %e %H:%M:%S %Y", out)?,
            b'D' | b'x' => self.write(b"%m/%d/%y", out)?,
            b'F' => self.write(b"%Y-%m-%d", out)?,
            b'r' => self.write(b"%I:%M:%S %p", out)?,
            b'R' => self.write(b"%H:%M", out)?,
            b'T' | b'X' => self.write(b"%H:%M:%S", out)?,
            b'N' => self.fraction(width.unwrap_or(9), out),
            b'p' => out.extend_from_slice(if hour < 12 { b"AM" } else { b"PM" }),
            b'P' => out.extend_from_slice(if hour < 12 { b"am" } else { b"pm" }),
            b'z' => {
                let minutes = self.offset.unsigned_abs() / 60;
                let sign = if self.offset < 0 { '-' } else { '+' };
                let _ = write!(out, "{sign}{:02}{:02}", minutes / 60, minutes % 60);
            }
            b'Z' => out.extend_from_slice(self.zone.as_bytes()),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'%' => out.push(b'%'),
            _ => return None,
        }
        match flag {
            Some(b'^') => out[start..].make_ascii_uppercase(),
            Some(b'#') if conversion == b'Z' || conversion == b'p' => out[start..].make_ascii_lowercase(),
            Some(b'#') => out[start..].make_ascii_uppercase(),
            _ => {}
        }
        Some(())
    }

    /// Appends the first `digits` digits (at most nine) after the second.
    fn fraction(&self, digits: usize, out: &mut Vec<u8>) {
        let start = out.len();
        let _ = write!(out, "{:09}", self.at.subsec_nanosecond());
        out.truncate(start + digits.min(9));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::conv::testing::{check, convert, refused};
    use crate::testing::Rng;

    #[test]
    fn dates_of_http() {
        for (value, steps, expected) in [
            (0, "http_date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_700_000_000, "http_date(10)", "Tue, 14 Nov 2023 22:13:30 GMT"),
            (1_700_000_000_000, "http_date(1500,ms)", "Tue, 14 Nov 2023 22:13:21.500 GMT"),
            (1_700_000_000_999, "http_date(,ms)", "Tue, 14 Nov 2023 22:13:20.999 GMT"),
            (1_700_000_000_123_456, "http_date(0,us)", "Tue, 14 Nov 2023 22:13:20.123456 GMT"),
            (-1, "http_date", "Wed, 31 Dec 1969 23:59:59 GMT"),
            (-1, "http_date(0,ms)", "Wed, 31 Dec 1969 23:59:59.999 GMT"),
        ] {
            check(Sample::Int(value), steps, Some(expected));
        }
        check(Sample::Int(i64::MAX), "http_date(1)", None);
        refused(Sample::Int(0), "http_date(0,x)");
    }

    #[test]
    fn formats_are_those_of_strftime() {
        const T: i64 = 1_700_000_000;
        for (value, steps, expected) in [
            (T, "utime(%Y%m%d%H%M%S)", "20231114221320"),
            (
                T,
                "utime('%a %A %b %B %c %C %d %D %e %F %g %G %h %H %I %j %k %l %m %M')",
                "Tue Tuesday Nov November Tue Nov 14 22:13:20 2023 20 14 11/14/23 14 2023-11-14 23 2023 Nov 22 10 318 22 10 11 13",
            ),
            (
                T,
                "utime('%n %p %P %r %R %s %S %t %T %u %U %V %w %W %x %X %y %Y %z %Z %%')",
                "\n PM pm 10:13:20 PM 22:13 1700000000 20 \t 22:13:20 2 46 46 2 46 11/14/23 22:13:20 23 2023 +0000 GMT %",
            ),
            (T, "utime(%Y,60)", "2023"),
            (T, "utime('%-d %_d %^a %Ey %Od %#Z')", "14 14 TUE 23 14 gmt"),
            (1_699_000_000, "utime('%-d %_d %e %0e')", "3  3  3 03"),
            (0, "utime(%j_%U_%W_%V_%G)", "001_00_00_01_1970"),
            (T * 1000 + 42, "ms_utime(%S.%3N,5)", "20.047"),
            (T * 1000 + 42, "ms_utime(%N)", "042000000"),
            (T * 1_000_000 + 42, "us_utime(%s.%6N)", "1700000000.000042"),
        ] {
            check(Sample::Int(value), steps, Some(expected));
        }
        check(Sample::Int(99_999_999_999_999), "utime(%F)", None);
        for steps in ["utime(%q)", "utime('%')", "utime(%10Y)", "utime()", "utime", "ms_utime(%-)"] {
            refused(Sample::Int(0), steps);
        }
        assert!(convert(Sample::Int(T), "ltime(%F)").is_some());
    }

    #[test]
    fn local_time_follows_its_zone() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let show = |unix: i64| {
            let mut out = Vec::new();
            write_in(moment(unix, 1).unwrap(), Some(&zone), b"%F %T %z %Z", &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(show(1_700_000_000), "2023-11-14 23:13:20 +0100 CET");
        assert_eq!(show(1_690_000_000), "2023-07-22 06:26:40 +0200 CEST");
        let west = TimeZone::posix("NST3:30").unwrap();
        let mut out = Vec::new();
        write_in(moment(0, 1).unwrap(), Some(&west), b"%R %z", &mut out).unwrap();
        assert_eq!(out, b"20:30 -0330");
    }

    #[test]
    fn any_format_and_number_is_taken() {
        let seed = 0x5eed_0021;
        let mut rng = Rng::new(seed);
        for _ in 0..2000 {
            let format: Vec<u8> = (0..rng.below(9)).map(|_| b"%%%-_0^#E39aNjWsZ"[rng.below(17) as usize]).collect();
            let value = (rng.below(1 << 31) as i64 - (1 << 30)).wrapping_mul(rng.below(1 << 31) as i64);
            if let Some(at) = moment(value, 1) {
                let _ = write_in(at, None, &format, &mut Vec::new());
            }
        }
    }
}
