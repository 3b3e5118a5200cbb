//! Durations and sizes as text, both ways.
//!
//! A value always has a unit: `30` means milliseconds to one reader and seconds to the next. HAProxy's units and its
//! rule that decimals are refused.

use std::time::Duration;

/// Why a text is no duration or no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadUnit {
    /// A number alone.
    NoUnit,
    /// A decimal point.
    Decimal,
    /// Not a number followed by a known unit.
    Unknown,
    /// More than fits.
    TooLarge,
}

/// Reads `"5s"`, `"100ms"`, `"1m30s"`, `"1d"`.
pub(crate) fn duration(text: &str) -> Result<Duration, BadUnit> {
    let mut rest = text;
    let mut micros = 0u64;
    loop {
        let (number, unit, next) = number_and_unit(rest)?;
        let factor = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            "" => return Err(BadUnit::NoUnit),
            _ => return Err(BadUnit::Unknown),
        };
        micros = number.checked_mul(factor).and_then(|part| micros.checked_add(part)).ok_or(BadUnit::TooLarge)?;
        if next.is_empty() {
            return Ok(Duration::from_micros(micros));
        }
        rest = next;
    }
}

/// Reads `"512b"`, `"16k"`, `"1m"`, `"2g"`; powers of 1024, in bytes.
pub(crate) fn size(text: &str) -> Result<u64, BadUnit> {
    let (number, unit, next) = number_and_unit(text)?;
    if !next.is_empty() {
        return Err(BadUnit::Unknown);
    }
    let factor = match unit {
        "b" | "B" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        "" => return Err(BadUnit::NoUnit),
        _ => return Err(BadUnit::Unknown),
    };
    number.checked_mul(factor).ok_or(BadUnit::TooLarge)
}

/// Splits `1m30s` into 1, `m` and `30s`.
fn number_and_unit(text: &str) -> Result<(u64, &str, &str), BadUnit> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(BadUnit::Unknown);
    }
    let rest = &text[digits..];
    if rest.starts_with('.') {
        return Err(BadUnit::Decimal);
    }
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    if letters == 0 && !rest.is_empty() {
        return Err(BadUnit::Unknown);
    }
    let number = text[..digits].parse().map_err(|_| BadUnit::TooLarge)?;
    Ok((number, &rest[..letters], &rest[letters..]))
}

/// Writes a duration as the file would: `1m30s`, `100ms`, `0s`.
pub(crate) fn show_duration(time: Duration) -> String {
    let mut left = time.as_micros();
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, micros) in
        [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)]
    {
        if left >= micros {
            text.push_str(&format!("{}{unit}", left / micros));
            left %= micros;
        }
    }
    text
}

/// Writes a size as the file would: `16k`, `1500b`.
pub(crate) fn show_size(bytes: u64) -> String {
    for (unit, shift) in [("g", 30), ("m", 20), ("k", 10)] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}b")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("5s", Ok(Duration::from_secs(5))),
            ("100ms", Ok(Duration::from_millis(100))),
            ("250us", Ok(Duration::from_micros(250))),
            ("1m30s", Ok(Duration::from_secs(90))),
            ("1d", Ok(Duration::from_secs(86_400))),
            ("0s", Ok(Duration::ZERO)),
            ("30", Err(BadUnit::NoUnit)),
            ("1m30", Err(BadUnit::NoUnit)),
            ("1.5s", Err(BadUnit::Decimal)),
            ("5 s", Err(BadUnit::Unknown)),
            ("5x", Err(BadUnit::Unknown)),
            ("-5s", Err(BadUnit::Unknown)),
            ("", Err(BadUnit::Unknown)),
            ("s", Err(BadUnit::Unknown)),
            ("99999999999999999999s", Err(BadUnit::TooLarge)),
            ("999999999999999d", Err(BadUnit::TooLarge)),
        ] {
            assert_eq!(duration(text), want, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, want) in [
            ("16k", Ok(16_384)),
            ("1M", Ok(1 << 20)),
            ("2g", Ok(2 << 30)),
            ("512b", Ok(512)),
            ("16384", Err(BadUnit::NoUnit)),
            ("1.5m", Err(BadUnit::Decimal)),
            ("16kb", Err(BadUnit::Unknown)),
            ("99999999999999g", Err(BadUnit::TooLarge)),
        ] {
            assert_eq!(size(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        let seed = 0x5eed_0001;
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..2000 {
            let bits = rng.u32(1..50);
            let time = Duration::from_micros(rng.u64(0..1 << bits));
            assert_eq!(duration(&show_duration(time)), Ok(time), "seed {seed:#x}");
            let shift = rng.u32(0..40);
            let bytes = rng.u64(0..1 << 40) >> shift;
            assert_eq!(size(&show_size(bytes)), Ok(bytes), "seed {seed:#x}");
        }
    }
}
