//! PEM files, block by block with their lines, so that a mistake is shown where it stands.
//!
//! Called by the loaders of certificates and keys. Decoding itself is rustls's; this only cuts the text and says what is wrong
//! with it. Any bytes are accepted, none panic.

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{PemObject, SectionKind};

/// What a PEM file holds that belongs to a certificate.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Certificates in their order, each with its line.
    pub(crate) certificates: Vec<(u32, Vec<u8>)>,
    /// Private keys in their order, each with its line.
    pub(crate) keys: Vec<(u32, PrivateKeyDer<'static>)>,
    /// What cannot be used.
    pub(crate) faults: Vec<Fault>,
}

/// A block that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its first line, from 1.
    pub(crate) line: u32,
    /// What is wrong.
    pub(crate) message: &'static str,
    /// What to do.
    pub(crate) hint: Option<&'static str>,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// Reads every block of `text`.
pub(crate) fn read(text: &[u8]) -> Contents {
    let mut found = Contents::default();
    let mut fault = |line, message, hint| found.faults.push(Fault { line, message, hint });
    // The block under way: its first line, where it begins, its label.
    let mut open: Option<(u32, usize, &[u8])> = None;
    let mut at = 0;
    let mut number = 0;
    let mut blocks = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        number += 1;
        at += line.len();
        let line = line.trim_ascii_start();
        // An editor of another system may have put a byte order mark before the first line.
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let start = at - line.len();
        let line = line.trim_ascii_end();
        if let Some(rest) = line.strip_prefix(BEGIN) {
            if let Some((begun, ..)) = open.take() {
                fault(begun, "the block has no end", Some("its last line is missing: -----END ...-----"));
            }
            match rest.strip_suffix(DASHES) {
                Some(label) => open = Some((number, start, label)),
                None => fault(number, "the line that begins the block is malformed", Some("it has to end in -----")),
            }
        } else if let Some(rest) = line.strip_prefix(END)
            && let Some((begun, from, label)) = open.take()
        {
            match rest.strip_suffix(DASHES) == Some(label) {
                true => blocks.push((begun, label, &text[from..at])),
                false => fault(begun, "the block ends as another kind than it begins", None),
            }
        }
    }
    if let Some((begun, ..)) = open {
        fault(begun, "the block has no end", Some("its last line is missing: -----END ...-----"));
    }
    for (line, label, block) in blocks {
        found.add(line, label, block);
    }
    if text.first() == Some(&0x30) && found.is_empty() {
        found.faults.push(Fault {
            line: 1,
            message: "it is DER or PKCS#12, not PEM",
            hint: Some("convert it: openssl x509 -inform der -in FILE -out FILE.pem, or openssl pkcs12 -in FILE -nodes -out FILE.pem"),
        });
    }
    found
}

/// Whether a key block is locked by a password.
fn is_encrypted(label: &[u8], block: &[u8]) -> bool {
    const HEADER: &[u8] = b"Proc-Type: 4,ENCRYPTED";
    label == b"ENCRYPTED PRIVATE KEY" || block.windows(HEADER.len()).any(|window| window == HEADER)
}

impl Contents {
    fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.keys.is_empty() && self.faults.is_empty()
    }

    fn add(&mut self, line: u32, label: &[u8], block: &[u8]) {
        let mut fault = |message, hint| self.faults.push(Fault { line, message, hint });
        if label.ends_with(b"PRIVATE KEY") && is_encrypted(label, block) {
            let hint = "keys are read without a password: openssl pkey -in FILE -out FILE.key, and let only the service read it";
            return fault("the private key is encrypted", Some(hint));
        }
        match label {
            b"CERTIFICATE" | b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" => {}
            b"TRUSTED CERTIFICATE" | b"X509 CERTIFICATE" => {
                return fault(
                    "it is a certificate in a form of OpenSSL's own",
                    Some("convert it: openssl x509 -in FILE"),
                );
            }
            b"DSA PRIVATE KEY" | b"OPENSSH PRIVATE KEY" => {
                return fault("it is a key of a kind that TLS does not use", Some("RSA, ECDSA and Ed25519 keys are"));
            }
            // Parameters, requests and the like belong to others.
            _ => return,
        }
        match <(SectionKind, Vec<u8>)>::from_pem_slice(block) {
            Ok((SectionKind::Certificate, mut der)) => {
                der.shrink_to_fit();
                self.certificates.push((line, der));
            }
            Ok((kind, der)) => match PrivateKeyDer::from_pem(kind, der) {
                Some(key) => self.keys.push((line, key)),
                None => fault("the block cannot be read", None),
            },
            Err(_) => fault("the block is not base64", Some("it was cut or changed; copy it again")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CERT: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";

    fn faults(text: &str) -> Vec<(u32, &'static str)> {
        read(text.as_bytes()).faults.into_iter().map(|fault| (fault.line, fault.message)).collect()
    }

    #[test]
    fn blocks_come_in_any_order_with_text_between() {
        let text = format!(
            "\u{feff}{KEY}subject=x\n\n{CERT}-----BEGIN EC PARAMETERS-----\nBg==\n-----END EC PARAMETERS-----\n{CERT}"
        );
        let found = read(text.replace('\n', "\r\n").as_bytes());
        assert_eq!(
            found.certificates.iter().map(|(line, der)| (*line, &der[..])).collect::<Vec<_>>(),
            [(6, &[0x30, 0][..]), (12, &[0x30, 0][..])]
        );
        assert_eq!(found.keys.len(), 1);
        assert_eq!(found.faults, []);
    }

    #[test]
    fn faults_name_their_line() {
        assert_eq!(faults(&format!("{CERT}-----BEGIN CERTIFICATE-----\nMAA=\n")), [(4, "the block has no end")]);
        assert_eq!(faults(&format!("-----BEGIN CERTIFICATE-----\nMAA=\n{CERT}")), [(1, "the block has no end")]);
        assert_eq!(faults(&CERT.replace("MAA=", "M!A=")), [(1, "the block is not base64")]);
        assert_eq!(faults("-----BEGIN CERTIFICATE---\n"), [(1, "the line that begins the block is malformed")]);
        assert_eq!(
            faults("-----BEGIN CERTIFICATE-----\n-----END PRIVATE KEY-----\n"),
            [(1, "the block ends as another kind than it begins")]
        );
    }

    #[test]
    fn encrypted_keys_are_recognised_in_both_forms() {
        let old = KEY
            .replace("MAA=", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMAA=")
            .replace("PRIVATE", "RSA PRIVATE");
        assert_eq!(faults(&old), [(1, "the private key is encrypted")]);
        assert_eq!(faults(&KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")), [(1, "the private key is encrypted")]);
    }

    #[test]
    fn binary_files_are_told_how_to_become_text() {
        assert!(read(&[0x30, 0x82, 1, 2, 3]).faults[0].message.contains("DER"));
        assert!(read(b"hello").faults.is_empty());
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        let good = format!("{KEY}{CERT}{CERT}");
        for seed in 0..2000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut text = good.clone().into_bytes();
            for _ in 0..rng.usize(1..6) {
                let at = rng.usize(0..text.len());
                match rng.u8(0..3) {
                    0 => text[at] = rng.u8(..),
                    1 => text.truncate(at.max(1)),
                    _ => drop(text.splice(at..at, *b"-----BEGIN ")),
                }
            }
            let found = read(&text);
            assert!(found.certificates.len() <= 2 && found.keys.len() <= 1, "seed {seed}");
        }
    }
}
