//! Numbers as a person reads them: short, with a unit, never more digits than mean something.

use std::fmt::Write;

/// Seconds as the two largest units: `42s`, `3m 12s`, `5h 03m`, `12d 4h`.
pub fn duration(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, _) => format!("{m}m {s:02}s"),
        (0, _, _) => format!("{h}h {m:02}m"),
        _ => format!("{d}d {h}h"),
    }
}

/// How long ago: `just now`, `3m 12s ago`.
pub fn ago(seconds: u64) -> String {
    match seconds {
        0 => "just now".into(),
        s => format!("{} ago", duration(s)),
    }
}

/// HAProxy's `0d 0h00m40s`.
pub fn haproxy_uptime(seconds: u64) -> String {
    format!("{}d {}h{:02}m{:02}s", seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// Milliseconds: `850 ms`, `1.3 s`, then as [`duration`].
pub fn millis(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms / 100 % 10),
        _ => duration(ms / 1000),
    }
}

/// Bytes in binary units: `512 B`, `1.4 KiB`, `23 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (short, unit) = shorten(n, 1024, &UNITS);
    format!("{short} {unit}")
}

/// A count with thousands separators up to six digits, then shortened: `12,345`, `1.2M`.
pub fn count(n: u64) -> String {
    if n < 1_000_000 {
        return grouped(n);
    }
    let (short, unit) = shorten(n / 1000, 1000, &["K", "M", "G", "T", "P", "E"]);
    format!("{short}{unit}")
}

/// A count for small print: shortened from 10,000 on: `4,810`, `20K`.
pub fn compact(n: u64) -> String {
    if n < 10_000 {
        return grouped(n);
    }
    let (short, unit) = shorten(n, 1000, &["", "K", "M", "G", "T", "P", "E"]);
    format!("{short}{unit}")
}

/// All digits, in groups of three.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 request`, `7 requests`.
pub fn plural(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n as u64), if n == 1 { "" } else { "s" })
}

/// Unix time as `2026-11-21 01:23:45 UTC`, by the proleptic Gregorian calendar.
pub fn timestamp(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Days are counted from 0000-03-01, so that a leap day is the last of its year.
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC")
}

/// Width and height of a sparkline's drawing area.
const SPARK: (usize, u64) = (60, 16);

/// The outline of a small area chart over `samples`, newest at the right edge, as an SVG path in a 60 by 16 box; empty
/// without a sample above 0.
pub fn spark_path(samples: &[u32]) -> String {
    let (width, height) = SPARK;
    let samples = &samples[samples.len().saturating_sub(width)..];
    let peak = samples.iter().copied().max().unwrap_or(0);
    let mut out = String::new();
    if peak == 0 {
        return out;
    }
    let left = width - samples.len();
    let _ = write!(out, "M{left} {height}");
    for (i, &v) in samples.iter().enumerate() {
        // Tenths are enough for 16 units of height.
        let tenths = height * 10 - u64::from(v) * (height * 10 - 10) / u64::from(peak);
        let _ = write!(out, "L{} {}.{}", left + i, tenths / 10, tenths % 10);
    }
    let _ = write!(out, "L{} {height}Z", width - 1);
    out
}

fn shorten<'u>(n: u64, base: u64, units: &[&'u str]) -> (String, &'u str) {
    let (mut whole, mut rest, mut at) = (n, 0, 0);
    while whole >= base && at + 1 < units.len() {
        (rest, whole, at) = (whole % base, whole / base, at + 1);
    }
    // One decimal while it says something: below ten, and never for the base unit.
    let text = if at > 0 && whole < 10 { format!("{whole}.{}", rest * 10 / base) } else { whole.to_string() };
    (text, units.get(at).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_exact() {
        assert_eq!(
            [duration(0), duration(192), duration(18_180), duration(1_050_000)],
            ["0s", "3m 12s", "5h 03m", "12d 3h"]
        );
        assert_eq!([millis(0), millis(999), millis(1349), millis(75_000)], ["0 ms", "999 ms", "1.3 s", "1m 15s"]);
        assert_eq!([bytes(0), bytes(1023), bytes(1434), bytes(24_117_248)], ["0 B", "1023 B", "1.4 KiB", "23 MiB"]);
        assert_eq!([count(7), count(12_345), count(999_999), count(1_250_000)], ["7", "12,345", "999,999", "1.2M"]);
        assert_eq!([count(48_000_000), count(3_100_000_000)], ["48M", "3.1G"]);
        assert_eq!([compact(9_999), compact(20_000), compact(1_100_000)], ["9,999", "20K", "1.1M"]);
        assert_eq!([ago(0), ago(61)], ["just now", "1m 01s ago"]);
        assert_eq!(bytes(u64::MAX), "15 EiB");
        assert_eq!(count(u64::MAX), "18E");
        assert_eq!(haproxy_uptime(40), "0d 0h00m40s");
        assert_eq!([plural(1, "server"), plural(1200, "server")], ["1 server", "1,200 servers"]);
    }

    #[test]
    fn calendar_dates() {
        for (unix, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_709_251_200, "2024-03-01 00:00:00 UTC"),
            (4_102_444_800, "2100-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(timestamp(unix), text);
        }
    }

    #[test]
    fn a_sparkline_stays_in_its_box() {
        assert_eq!(spark_path(&[]), "");
        assert_eq!(spark_path(&[0; 60]), "");
        assert_eq!(spark_path(&[0, 10]), "M58 16L58 16.0L59 1.0L59 16Z");
        let long: Vec<u32> = (0..500).map(|i| if i % 2 == 0 { u32::MAX } else { 0 }).collect();
        assert_eq!(spark_path(&long).matches('L').count(), 61);
    }
}
