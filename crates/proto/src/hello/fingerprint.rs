//! Fingerprints of a client by its hello: JA3 and JA4.
//!
//! Values that GREASE (RFC 8701) puts in at random are left out, so that a client keeps its fingerprint. The digests are the
//! caller's, because nothing else here needs cryptography.

use std::fmt::Write;

use super::{ClientHello, number};

/// What stands for the digest of an empty list.
const NOTHING: &str = "000000000000";

impl ClientHello<'_> {
    /// The text whose MD5 is the JA3 fingerprint: version, cipher suites, extensions, groups and point formats in decimal.
    #[must_use]
    pub fn ja3_text(&self) -> String {
        let mut out = self.legacy_version().unwrap_or_default().to_string();
        dashed(&mut out, self.cipher_suites());
        dashed(&mut out, self.extensions().map(|(kind, _)| kind));
        dashed(&mut out, self.groups());
        dashed(&mut out, self.ec_point_formats().iter().map(|&format| format.into()));
        out
    }

    /// The JA4 fingerprint of a client over TCP: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
    #[must_use]
    pub fn ja4(&self, sha256: impl Fn(&[u8]) -> [u8; 32]) -> String {
        let digest = |text: &str| {
            let sum = sha256(text.as_bytes());
            sum[..6].iter().fold(String::new(), |mut out, byte| {
                let _ = write!(out, "{byte:02x}");
                out
            })
        };
        let (traits, ciphers, extensions) = self.ja4_parts();
        let ciphers = if ciphers.is_empty() { NOTHING.to_owned() } else { digest(&ciphers) };
        let extensions = if extensions.is_empty() { NOTHING.to_owned() } else { digest(&extensions) };
        format!("{traits}_{ciphers}_{extensions}")
    }

    /// The parts of the JA4 fingerprint before they are digested: traits, cipher suites, and extensions with signature algorithms.
    pub(super) fn ja4_parts(&self) -> (String, String, String) {
        let version = match self.versions().filter(|version| !is_grease(*version)).max() {
            Some(0x0304) => "13",
            Some(0x0303) => "12",
            Some(0x0302) => "11",
            Some(0x0301) => "10",
            Some(0x0300) => "s3",
            Some(0x0002) => "s2",
            _ => "00",
        };
        let name = if self.extension(number::SERVER_NAME).is_some() { 'd' } else { 'i' };
        let mut ciphers: Vec<u16> = self.cipher_suites().filter(|cipher| !is_grease(*cipher)).collect();
        let mut kinds: Vec<u16> = self.extensions().map(|(kind, _)| kind).filter(|kind| !is_grease(*kind)).collect();
        let (first, last) = protocol(self.alpn().next());
        let traits = format!("t{version}{name}{:02}{:02}{first}{last}", ciphers.len().min(99), kinds.len().min(99));
        ciphers.sort_unstable();
        // Name and protocols differ with the site that is visited, so they count but are not named.
        kinds.retain(|kind| !matches!(*kind, number::SERVER_NAME | number::ALPN));
        kinds.sort_unstable();
        let mut extensions = hexadecimal(kinds);
        let signatures = hexadecimal(self.signature_algorithms().filter(|algorithm| !is_grease(*algorithm)));
        if !signatures.is_empty() {
            extensions.push('_');
            extensions.push_str(&signatures);
        }
        (traits, hexadecimal(ciphers), extensions)
    }
}

/// Both bytes the same and ending in `a`.
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn dashed(out: &mut String, values: impl Iterator<Item = u16>) {
    out.push(',');
    for (at, value) in values.filter(|value| !is_grease(*value)).enumerate() {
        let dash = if at == 0 { "" } else { "-" };
        let _ = write!(out, "{dash}{value}");
    }
}

fn hexadecimal(values: impl IntoIterator<Item = u16>) -> String {
    let mut out = String::new();
    for value in values {
        let comma = if out.is_empty() { "" } else { "," };
        let _ = write!(out, "{comma}{value:04x}");
    }
    out
}

/// First and last letter of the first protocol; of its hexadecimal form where they are no letters or digits.
fn protocol(name: Option<&[u8]>) -> (char, char) {
    let Some((&first, &last)) = name.and_then(|name| Some((name.first()?, name.last()?))) else { return ('0', '0') };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (first.into(), last.into());
    }
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    (digit(first >> 4), digit(last & 0x0f))
}
