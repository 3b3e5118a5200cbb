//! Versions and algorithms: OpenSSL's names, as operators know them, to what rustls speaks.
//!
//! Called by the terminator and the connector at load. A name that is OpenSSL's but not spoken here (a DHE suite, P-521) is left
//! out with a warning, as lists copied from elsewhere hold many; a name nobody knows is an error with the names there are.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{cipher_suite as suites, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion, version};

use crate::options::{Policy, Version};
use crate::problem::{Problem, any_error};

const ONLY12: &[&SupportedProtocolVersion] = &[&version::TLS12];
const ONLY13: &[&SupportedProtocolVersion] = &[&version::TLS13];
const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// A policy as rustls takes it.
#[derive(Clone, Debug)]
pub struct Built {
    /// Cipher suites and groups in order.
    pub provider: Arc<CryptoProvider>,
    /// The versions.
    pub versions: &'static [&'static SupportedProtocolVersion],
    /// What our own key may sign with; `None` is all it can.
    pub own_schemes: Option<Arc<[SignatureScheme]>>,
    /// What the peer's key may sign with; `None` is all we know.
    pub peer_schemes: Option<Arc<[SignatureScheme]>>,
    /// Our order of cipher suites decides.
    pub own_order: bool,
}

/// Translates a policy. Every mistake is reported; `None` when one of them is an error.
pub fn build(policy: &Policy, problems: &mut Vec<Problem>) -> Option<Built> {
    let mut found = Vec::new();
    let versions: &'static [&'static SupportedProtocolVersion] = match (policy.min, policy.max) {
        (Version::Tls12, Version::Tls12) => ONLY12,
        (Version::Tls12, Version::Tls13) => BOTH,
        (Version::Tls13, Version::Tls13) => ONLY13,
        (Version::Tls13, Version::Tls12) => {
            let message = "the lowest version is above the highest";
            found.push(
                Problem::error("min-version", message).hint("write min-version = \"1.2\" and max-version = \"1.3\""),
            );
            &[]
        }
    };
    let mut provider = default_provider();
    provider.cipher_suites = match &policy.ciphersuites {
        Some(list) => {
            named(list, &SUITES13, "ciphersuites", &mut found).into_iter().map(|at| SUITES13[at].suite).collect()
        }
        None => SUITES13.iter().map(|known| known.suite).collect(),
    };
    if provider.cipher_suites.is_empty() && policy.max >= Version::Tls13 && !any_error(&found) {
        found.push(none_left("ciphersuites", "TLS 1.3", &SUITES13));
    }
    let older = match &policy.ciphers {
        Some(list) => cipher_list(list, &mut found),
        None => (0..SUITES12.len()).collect(),
    };
    if older.is_empty() && policy.min == Version::Tls12 && !any_error(&found) {
        found.push(none_left("ciphers", "TLS 1.2", &SUITES12));
    }
    provider.cipher_suites.extend(older.into_iter().map(|at| SUITES12[at].suite));
    if let Some(list) = &policy.curves {
        let groups = groups(list, &mut found);
        if groups.is_empty() && !any_error(&found) {
            let hint = format!("known are {}", join(GROUPS.iter().map(|(names, _)| names[0])));
            found.push(Problem::error("curves", "none of the curves can be used").hint(hint));
        }
        provider.kx_groups = groups;
    }
    let own_schemes = policy.sigalgs.as_deref().and_then(|list| schemes(list, "sigalgs", &mut found));
    let peer_schemes = policy.client_sigalgs.as_deref().and_then(|list| schemes(list, "client-sigalgs", &mut found));
    let failed = any_error(&found);
    problems.append(&mut found);
    let provider = Arc::new(provider);
    (!failed).then_some(Built {
        provider,
        versions,
        own_schemes,
        peer_schemes,
        own_order: !policy.prefer_client_ciphers,
    })
}

/// A cipher suite with its names and, for OpenSSL's list language, the classes it is in.
struct Known {
    suite: SupportedCipherSuite,
    name: &'static str,
    iana: &'static str,
    classes: &'static [&'static str],
}

/// AES-128 comes first: it is a good fifth cheaper than AES-256 and no weaker in practice.
static SUITES13: [Known; 3] = [
    Known {
        suite: suites::TLS13_AES_128_GCM_SHA256,
        name: "TLS_AES_128_GCM_SHA256",
        iana: "TLS13_AES_128_GCM_SHA256",
        classes: &[],
    },
    Known {
        suite: suites::TLS13_AES_256_GCM_SHA384,
        name: "TLS_AES_256_GCM_SHA384",
        iana: "TLS13_AES_256_GCM_SHA384",
        classes: &[],
    },
    Known {
        suite: suites::TLS13_CHACHA20_POLY1305_SHA256,
        name: "TLS_CHACHA20_POLY1305_SHA256",
        iana: "TLS13_CHACHA20_POLY1305_SHA256",
        classes: &[],
    },
];

static SUITES12: [Known; 6] = [
    Known {
        suite: suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        iana: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        classes: &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM", "SHA256"],
    },
    Known {
        suite: suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        iana: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        classes: &["RSA", "aRSA", "AES", "AES128", "AESGCM", "SHA256"],
    },
    Known {
        suite: suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        iana: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        classes: &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM", "SHA384"],
    },
    Known {
        suite: suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        iana: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        classes: &["RSA", "aRSA", "AES", "AES256", "AESGCM", "SHA384"],
    },
    Known {
        suite: suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        iana: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        classes: &["ECDSA", "aECDSA", "CHACHA20"],
    },
    Known {
        suite: suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        iana: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        classes: &["RSA", "aRSA", "CHACHA20"],
    },
];

/// Classes that every suite of TLS 1.2 we speak is in.
const COMMON: &[&str] = &["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "AEAD", "TLSv1.2"];

/// Classes of OpenSSL's list language that hold nothing we speak.
const EMPTY: &[&str] = &[
    "3DES",
    "ADH",
    "AECDH",
    "AESCCM",
    "AESCCM8",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "CBC",
    "COMPLEMENTOFALL",
    "COMPLEMENTOFDEFAULT",
    "DES",
    "DH",
    "DHE",
    "DSS",
    "ECDH",
    "EDH",
    "EXP",
    "EXPORT",
    "GOST94",
    "IDEA",
    "LOW",
    "MD5",
    "MEDIUM",
    "NULL",
    "PSK",
    "RC2",
    "RC4",
    "SEED",
    "SHA",
    "SHA1",
    "SRP",
    "SSLv2",
    "SSLv3",
    "TLSv1",
    "TLSv1.0",
    "aDH",
    "aDSS",
    "aECDH",
    "aGOST",
    "aNULL",
    "aPSK",
    "eNULL",
    "kDH",
    "kDHE",
    "kDHEPSK",
    "kECDH",
    "kECDHEPSK",
    "kEDH",
    "kGOST",
    "kPSK",
    "kRSA",
    "kRSAPSK",
    "kSRP",
];

/// The parts that OpenSSL's names of cipher suites are made of.
const PARTS: &[&str] = &[
    "1024",
    "3DES",
    "ADH",
    "AECDH",
    "AES128",
    "AES256",
    "ARIA128",
    "ARIA256",
    "CAMELLIA128",
    "CAMELLIA256",
    "CBC",
    "CBC3",
    "CCM",
    "CCM8",
    "CHACHA20",
    "DES",
    "DH",
    "DHE",
    "DSS",
    "ECDH",
    "ECDHE",
    "ECDSA",
    "EDE",
    "EDH",
    "EXP",
    "GCM",
    "IDEA",
    "KRB5",
    "MD5",
    "NULL",
    "POLY1305",
    "PSK",
    "RC2",
    "RC4",
    "RSA",
    "SEED",
    "SHA",
    "SHA256",
    "SHA384",
    "SRP",
];

/// OpenSSL's cipher list (`openssl-ciphers(1)`): names and classes, joined by `+`, removed by `-`, banned by `!`, put last by `+`.
fn cipher_list(list: &str, problems: &mut Vec<Problem>) -> Vec<usize> {
    let mut active: Vec<usize> = Vec::new();
    let mut banned = [false; SUITES12.len()];
    let mut unspoken = Vec::new();
    for word in list.split([':', ',', ' ', ';']).filter(|word| !word.is_empty()) {
        if let Some(command) = word.strip_prefix('@') {
            match command {
                "STRENGTH" => active.sort_by_key(|at| SUITES12[*at].classes.contains(&"AES128")),
                _ if command.starts_with("SECLEVEL=") => {}
                _ => problems.push(Problem::error("ciphers", format!("`{word}` is no command of a cipher list"))),
            }
            continue;
        }
        let (operator, name) = match word.as_bytes()[0] {
            operator @ (b'!' | b'-' | b'+') => (Some(operator), &word[1..]),
            _ => (None, word),
        };
        match matching(name) {
            Word::Suites(found) => {
                active.retain(|at| operator.is_none() || !found.contains(at));
                match operator {
                    Some(b'!') => found.iter().for_each(|at| banned[*at] = true),
                    Some(b'-') => {}
                    _ => {
                        let fresh: Vec<usize> =
                            found.into_iter().filter(|at| !banned[*at] && !active.contains(at)).collect();
                        active.extend(fresh);
                    }
                }
            }
            Word::Unspoken if operator.is_none() => unspoken.push(name),
            Word::Unspoken => {}
            Word::Unknown => {
                let hint = format!(
                    "known are {}, and OpenSSL's classes such as ECDHE+AESGCM",
                    join(SUITES12.iter().map(|known| known.name))
                );
                problems.push(Problem::error("ciphers", format!("`{name}` is no cipher suite")).hint(hint));
            }
        }
    }
    if !unspoken.is_empty() {
        let message = format!("not spoken and left out: {}", join(unspoken.into_iter()));
        problems.push(
            Problem::warning("ciphers", message)
                .hint(format!("spoken are {}", join(SUITES12.iter().map(|known| known.name)))),
        );
    }
    active
}

enum Word {
    Suites(Vec<usize>),
    /// OpenSSL knows it.
    Unspoken,
    Unknown,
}

fn matching(word: &str) -> Word {
    if let Some(at) = SUITES12.iter().position(|known| known.name == word || known.iana == word) {
        return Word::Suites(vec![at]);
    }
    if word.contains('-') {
        return match word.split('-').all(|part| PARTS.contains(&part)) {
            true => Word::Unspoken,
            false => Word::Unknown,
        };
    }
    let mut found: Vec<usize> = (0..SUITES12.len()).collect();
    let mut empty = false;
    for class in word.split('+') {
        if EMPTY.contains(&class) {
            empty = true;
        } else if !COMMON.contains(&class) {
            if !SUITES12.iter().any(|known| known.classes.contains(&class)) {
                return Word::Unknown;
            }
            found.retain(|at| SUITES12[*at].classes.contains(&class));
        }
    }
    if empty || found.is_empty() { Word::Unspoken } else { Word::Suites(found) }
}

/// A plain list of names.
fn named(list: &str, known: &[Known], key: &'static str, problems: &mut Vec<Problem>) -> Vec<usize> {
    let mut found = Vec::new();
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        match known.iter().position(|known| known.name == word || known.iana == word) {
            Some(at) if found.contains(&at) => {}
            Some(at) => found.push(at),
            None => {
                let names = join(known.iter().map(|known| known.name));
                problems.push(match word.starts_with("TLS_AES_128_CCM") {
                    true => Problem::warning(key, format!("`{word}` is not spoken and left out"))
                        .hint(format!("spoken are {names}")),
                    false => Problem::error(key, format!("`{word}` is no cipher suite of TLS 1.3"))
                        .hint(format!("known are {names}")),
                });
            }
        }
    }
    found
}

fn none_left(key: &'static str, version: &str, known: &[Known]) -> Problem {
    let hint = format!("spoken are {}", join(known.iter().map(|known| known.name)));
    Problem::error(key, format!("no cipher suite of {version} is left")).hint(hint)
}

type Group = (&'static [&'static str], &'static dyn SupportedKxGroup);

static GROUPS: [Group; 5] = [
    (&["X25519MLKEM768"], kx_group::X25519MLKEM768),
    (&["X25519", "x25519"], kx_group::X25519),
    (&["P-256", "prime256v1", "secp256r1"], kx_group::SECP256R1),
    (&["P-384", "secp384r1"], kx_group::SECP384R1),
    (&["SecP256r1MLKEM768"], kx_group::SECP256R1MLKEM768),
];

const UNSPOKEN_GROUPS: &[&str] = &[
    "P-521",
    "secp521r1",
    "X448",
    "x448",
    "P-224",
    "secp224r1",
    "secp256k1",
    "ffdhe2048",
    "ffdhe3072",
    "ffdhe4096",
    "ffdhe6144",
    "ffdhe8192",
    "brainpoolP256r1",
    "brainpoolP384r1",
    "brainpoolP512r1",
    "MLKEM512",
    "MLKEM768",
    "MLKEM1024",
    "SecP384r1MLKEM1024",
];

fn groups(list: &str, problems: &mut Vec<Problem>) -> Vec<&'static dyn SupportedKxGroup> {
    let mut found: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for word in list.split([':', ',', ' ', '/']).filter(|word| !word.is_empty()) {
        // OpenSSL 3.5 marks a group for which a key share is sent by `*`, one that may be missing by `?`.
        let name = word.trim_start_matches(['?', '*']);
        match GROUPS.iter().find(|(names, _)| names.contains(&name)) {
            Some((_, group)) if found.iter().any(|known| known.name() == group.name()) => {}
            Some((_, group)) => found.push(*group),
            None => {
                let hint = format!("known are {}", join(GROUPS.iter().map(|(names, _)| names[0])));
                problems.push(match UNSPOKEN_GROUPS.contains(&name) || word.starts_with('?') {
                    true => Problem::warning("curves", format!("`{name}` is not spoken and left out")).hint(hint),
                    false => Problem::error("curves", format!("`{name}` is no curve")).hint(hint),
                });
            }
        }
    }
    found
}

static SCHEMES: [(&str, &str, SignatureScheme); 10] = [
    ("ecdsa_secp256r1_sha256", "ECDSA+SHA256", SignatureScheme::ECDSA_NISTP256_SHA256),
    ("ecdsa_secp384r1_sha384", "ECDSA+SHA384", SignatureScheme::ECDSA_NISTP384_SHA384),
    ("ecdsa_secp521r1_sha512", "ECDSA+SHA512", SignatureScheme::ECDSA_NISTP521_SHA512),
    ("ed25519", "ed25519", SignatureScheme::ED25519),
    ("rsa_pss_rsae_sha256", "RSA-PSS+SHA256", SignatureScheme::RSA_PSS_SHA256),
    ("rsa_pss_rsae_sha384", "RSA-PSS+SHA384", SignatureScheme::RSA_PSS_SHA384),
    ("rsa_pss_rsae_sha512", "RSA-PSS+SHA512", SignatureScheme::RSA_PSS_SHA512),
    ("rsa_pkcs1_sha256", "RSA+SHA256", SignatureScheme::RSA_PKCS1_SHA256),
    ("rsa_pkcs1_sha384", "RSA+SHA384", SignatureScheme::RSA_PKCS1_SHA384),
    ("rsa_pkcs1_sha512", "RSA+SHA512", SignatureScheme::RSA_PKCS1_SHA512),
];

fn schemes(list: &str, key: &'static str, problems: &mut Vec<Problem>) -> Option<Arc<[SignatureScheme]>> {
    let mut found = Vec::new();
    let mut wrong = false;
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        let name = word.trim_start_matches('?').replace("PSS+", "RSA-PSS+").replace("RSA-RSA-", "RSA-");
        let of_old =
            ["+SHA1", "+SHA224", "_sha1", "_sha224"].iter().any(|end| name.ends_with(end)) || name.starts_with("DSA");
        let unspoken = of_old || name == "ed448" || name.starts_with("rsa_pss_pss_") || word.starts_with('?');
        match SCHEMES
            .iter()
            .find(|(iana, openssl, _)| iana.eq_ignore_ascii_case(&name) || openssl.eq_ignore_ascii_case(&name))
        {
            Some((.., scheme)) if found.contains(scheme) => {}
            Some((.., scheme)) => found.push(*scheme),
            None => {
                wrong |= !unspoken;
                let hint = format!("known are {}", join(SCHEMES.iter().map(|(iana, ..)| *iana)));
                problems.push(match unspoken {
                    true => Problem::warning(key, format!("`{word}` is not spoken and left out")).hint(hint),
                    false => Problem::error(key, format!("`{word}` is no signature algorithm")).hint(hint),
                });
            }
        }
    }
    if found.is_empty() && !wrong {
        problems.push(Problem::error(key, "no signature algorithm is left"));
    }
    (!found.is_empty()).then(|| found.into())
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
