//! What a handshake came to and what a certificate says, in the words of the fetches `ssl_*`.
//!
//! Called once per handshake by frontend and backend, and once per certificate of our own when it is loaded. Small things
//! are copied, names are static, certificates are parsed only when the peer sent one. Bytes of a peer never panic here: what
//! cannot be parsed is a certificate with nothing but its DER and its digest. Randoms, session keys and `tls-unique` are not
//! told: rustls keeps them to itself.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use evenkeel_acl::{CertFacts, TlsFacts};
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, CommonState, HandshakeKind, NamedGroup, PeerIncompatible, ProtocolVersion};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use crate::dn::{dn, one_line};
use crate::verify::Outcome;

/// What only the caller knows of a handshake with a client.
#[derive(Clone, Debug, Default)]
pub struct Seen<'a> {
    /// The name the client asked for.
    pub sni: Option<&'a str>,
    /// What was wrong with the client's certificate and let pass.
    pub outcome: Outcome,
    /// The certificate that was shown.
    pub own: Option<Arc<CertFacts>>,
    /// The session id of the ClientHello.
    pub session_id: &'a [u8],
    /// The records of the ClientHello, when they are to be kept.
    pub hello: Option<&'a [u8]>,
    /// Whether early data is being read and the handshake is not over.
    pub early: bool,
}

/// The facts of a connection from a client.
pub fn of_server(common: &CommonState, seen: Seen<'_>) -> TlsFacts {
    let chain = common.peer_certificates().unwrap_or_default();
    TlsFacts {
        sni: seen.sni.map(Into::into),
        session_id: seen.session_id.into(),
        early: seen.early,
        verify_error: seen.outcome.crt_error,
        ca_error: seen.outcome.ca_error,
        ca_error_depth: seen.outcome.ca_depth,
        verify_result: seen.outcome.last,
        peer: chain.first().map(|cert| Arc::new(of_certificate(cert))),
        own: seen.own,
        hello: seen.hello.map(Into::into),
        ..of_common(common, chain)
    }
}

/// The facts of a connection to a server; its certificate is the caller's, who sees the same one again and again.
pub fn of_client(common: &CommonState, sni: Option<&str>, peer: Option<Arc<CertFacts>>) -> TlsFacts {
    let chain = common.peer_certificates().unwrap_or_default();
    TlsFacts { sni: sni.map(Into::into), peer, ..of_common(common, chain) }
}

/// The facts of a handshake that failed, for the line in the log.
pub fn of_failure(error: &rustls::Error, sni: Option<&str>) -> TlsFacts {
    let (number, text) = openssl_error(error);
    TlsFacts {
        sni: sni.map(Into::into),
        error: number,
        error_text: format!("error:{number:08X}:SSL routines::{text}").into(),
        ..TlsFacts::default()
    }
}

fn of_common(common: &CommonState, chain: &[CertificateDer<'static>]) -> TlsFacts {
    let (cipher, key_bits) = common.negotiated_cipher_suite().map_or(("", 0), |suite| cipher(suite.suite()));
    let resumed = common.handshake_kind() == Some(HandshakeKind::Resumed);
    let root = chain.last().and_then(|cert| X509Certificate::from_der(cert).ok()).map(|(_, cert)| dn(cert.issuer()));
    TlsFacts {
        protocol: common.protocol_version().map_or("", protocol),
        cipher,
        key_bits,
        group: common.negotiated_key_exchange_group().map_or("", |group| group_name(group.name())),
        alpn: common.alpn_protocol().map(Into::into),
        resumed,
        sent_certificate: !chain.is_empty() && !resumed,
        peer_chain: chain.iter().map(|cert| &**cert).collect::<Vec<_>>().concat().into(),
        peer_root: root.map(Box::new),
        ..TlsFacts::default()
    }
}

/// The versions of TLS as OpenSSL names them, the newest first.
pub const VERSIONS: &[&str] = &["TLSv1.3", "TLSv1.2"];

/// The version as OpenSSL names it.
pub fn protocol(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_3 => VERSIONS[0],
        ProtocolVersion::TLSv1_2 => VERSIONS[1],
        _ => "",
    }
}

/// The cipher suites as OpenSSL names them: those of TLS 1.3, then those of TLS 1.2, the preferred one first.
pub const CIPHERS: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// The cipher suite as OpenSSL names it, and the bits of its key.
pub fn cipher(suite: CipherSuite) -> (&'static str, u32) {
    let at = match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS13_AES_256_GCM_SHA384 => 1,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 2,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => 3,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 4,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => 5,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => 6,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => 7,
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => 8,
        _ => return ("", 0),
    };
    (CIPHERS[at], key_bits(CIPHERS[at]))
}

/// The bits of the key of a cipher suite of [`CIPHERS`].
pub fn key_bits(cipher: &str) -> u32 {
    if cipher.contains("128") { 128 } else { 256 }
}

/// The group as OpenSSL names it.
pub fn group_name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519 => "X25519",
        NamedGroup::secp256r1 => "prime256v1",
        NamedGroup::secp384r1 => "secp384r1",
        NamedGroup::secp521r1 => "secp521r1",
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        NamedGroup::secp256r1MLKEM768 => "SecP256r1MLKEM768",
        _ => "",
    }
}

/// The first certificate of a PEM file, in DER.
pub fn first_of_pem(text: &[u8]) -> Option<Vec<u8>> {
    crate::pem::read(text).certificates.into_iter().next().map(|(_, der)| der)
}

/// What a certificate says; `file` is set by who loaded it.
pub fn of_certificate(der: &[u8]) -> CertFacts {
    let mut facts = CertFacts { der: der.into(), ..CertFacts::default() };
    facts.sha1.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref());
    let Ok((_, cert)) = X509Certificate::from_der(der) else { return facts };
    let serial = cert.raw_serial();
    facts.serial = match serial {
        // The sign of DER's integers is no part of the number.
        [0, rest @ ..] if !rest.is_empty() => rest.into(),
        _ => serial.into(),
    };
    facts.version = u8::try_from(cert.version().0.saturating_add(1)).unwrap_or(0);
    facts.not_before = date(&cert.validity().not_before);
    facts.not_after = date(&cert.validity().not_after);
    facts.key_alg = algorithm(&cert.public_key().algorithm.algorithm.to_id_string());
    facts.key_bits = match cert.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => u32::try_from(key.key_size()).unwrap_or(0),
        Ok(PublicKey::EC(point)) => u32::try_from(point.key_size()).unwrap_or(0),
        _ => 0,
    };
    facts.sig_alg = algorithm(&cert.signature_algorithm.algorithm.to_id_string());
    facts.subject = dn(cert.subject());
    facts.issuer = dn(cert.issuer());
    for extension in cert.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                let names: Vec<String> = names.general_names.iter().map(general_name).collect();
                facts.san = names.join(", ").into();
            }
            ParsedExtension::CertificatePolicies(policies) => {
                let oids: Vec<String> = policies.iter().map(|policy| policy.policy_id.to_id_string()).collect();
                facts.policies = oids.join(",").into();
            }
            _ => {}
        }
    }
    facts
}

/// `YYMMDDhhmmssZ`.
fn date(time: &ASN1Time) -> Box<str> {
    let is_general = time.is_generalizedtime();
    let time = time.to_datetime();
    let (year, month, day) = time.to_calendar_date();
    // Two digits are of this century where four were written; HAProxy tells of no other.
    if is_general && year.div_euclid(100) != 20 {
        return "".into();
    }
    let (hour, minute, second) = time.to_hms();
    let year = year.rem_euclid(100);
    format!("{year:02}{:02}{day:02}{hour:02}{minute:02}{second:02}Z", u8::from(month)).into()
}

/// OpenSSL's short name of an algorithm, else its object identifier.
fn algorithm(oid: &str) -> Box<str> {
    match oid {
        "1.2.840.113549.1.1.1" => "rsaEncryption",
        "1.2.840.113549.1.1.5" => "RSA-SHA1",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA-SHA256",
        "1.2.840.113549.1.1.12" => "RSA-SHA384",
        "1.2.840.113549.1.1.13" => "RSA-SHA512",
        "1.2.840.10045.2.1" => "id-ecPublicKey",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.112" => "ED25519",
        "1.3.101.113" => "ED448",
        _ => oid,
    }
    .into()
}

/// One alternative name as OpenSSL prints it.
fn general_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::RFC822Name(name) => format!("email:{name}"),
        GeneralName::URI(uri) => format!("URI:{uri}"),
        GeneralName::IPAddress(bytes) => match address(bytes) {
            Some(address) => format!("IP Address:{address}"),
            None => "IP Address:<invalid>".to_owned(),
        },
        GeneralName::RegisteredID(oid) => format!("Registered ID:{}", oid.to_id_string()),
        GeneralName::DirectoryName(name) => format!("DirName:{}", one_line(name)),
        _ => "othername:<unsupported>".to_owned(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// OpenSSL's reasons for alerts of the peer: the number of the alert, the words.
const ALERTS: &[(u8, &str)] = &[
    (10, "sslv3 alert unexpected message"),
    (20, "sslv3 alert bad record mac"),
    (21, "tlsv1 alert decryption failed"),
    (22, "tlsv1 alert record overflow"),
    (30, "sslv3 alert decompression failure"),
    (40, "sslv3 alert handshake failure"),
    (41, "sslv3 alert no certificate"),
    (42, "sslv3 alert bad certificate"),
    (43, "sslv3 alert unsupported certificate"),
    (44, "sslv3 alert certificate revoked"),
    (45, "sslv3 alert certificate expired"),
    (46, "sslv3 alert certificate unknown"),
    (47, "sslv3 alert illegal parameter"),
    (48, "tlsv1 alert unknown ca"),
    (49, "tlsv1 alert access denied"),
    (50, "tlsv1 alert decode error"),
    (51, "tlsv1 alert decrypt error"),
    (60, "tlsv1 alert export restriction"),
    (70, "tlsv1 alert protocol version"),
    (71, "tlsv1 alert insufficient security"),
    (80, "tlsv1 alert internal error"),
    (86, "tlsv1 alert inappropriate fallback"),
    (90, "tlsv1 alert user cancelled"),
    (100, "tlsv1 alert no renegotiation"),
    (109, "tlsv13 alert missing extension"),
    (110, "tlsv1 unsupported extension"),
    (111, "tlsv1 certificate unobtainable"),
    (112, "tlsv1 unrecognized name"),
    (113, "tlsv1 bad certificate status response"),
    (114, "tlsv1 bad certificate hash value"),
    (116, "tlsv13 alert certificate required"),
    (120, "tlsv1 alert no application protocol"),
];

/// OpenSSL's number and words for an error of a handshake, as `ssl_fc_err` and `ssl_fc_err_str` tell them.
pub fn openssl_error(error: &rustls::Error) -> (u64, &'static str) {
    use PeerIncompatible as I;
    use rustls::Error as E;
    let (reason, text) = match error {
        E::AlertReceived(alert) => {
            let number = u8::from(*alert);
            let text = ALERTS.iter().find(|(known, _)| *known == number).map_or("unknown alert type", |(_, text)| text);
            (1000 + u64::from(number), text)
        }
        E::NoCertificatesPresented => (199, "peer did not return a certificate"),
        E::InvalidCertificate(_) | E::InvalidCertRevocationList(_) => (134, "certificate verify failed"),
        E::NoApplicationProtocol => (235, "no application protocol"),
        E::PeerIncompatible(I::NoCipherSuitesInCommon) => (193, "no shared cipher"),
        E::PeerIncompatible(I::NoKxGroupsInCommon | I::NamedGroupsExtensionRequired) => (101, "no suitable key share"),
        E::PeerIncompatible(I::NoSignatureSchemesInCommon | I::SignatureAlgorithmsExtensionRequired) => {
            (118, "no suitable signature algorithm")
        }
        E::PeerIncompatible(_) => (258, "unsupported protocol"),
        E::DecryptError => (281, "decryption failed or bad record mac"),
        E::PeerSentOversizedRecord => (146, "data length too long"),
        E::InvalidMessage(_) | E::PeerMisbehaved(_) => (244, "unexpected message"),
        _ => (0xC_0103, "internal error"),
    };
    // The library's number (20, SSL) before the reason.
    (20 << 23 | reason, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, SerialNumber, date_time_ymd};

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress("10.0.0.1".parse().unwrap()));
        let mut name = DistinguishedName::new();
        name.push(DnType::CountryName, "FR");
        name.push(DnType::OrganizationalUnitName, "ops");
        name.push(DnType::CommonName, "Doe, J");
        params.distinguished_name = name;
        params.serial_number = Some(SerialNumber::from(vec![0x80, 0xff]));
        params.not_before = date_time_ymd(2026, 1, 2);
        params.not_after = date_time_ymd(2056, 3, 4);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_is_told_in_the_words_of_openssl() {
        let facts = of_certificate(&certificate());
        assert_eq!((facts.version, &*facts.serial), (3, &[0x80, 0xff][..]));
        assert_eq!((&*facts.not_before, &*facts.not_after), ("260102000000Z", "560304000000Z"));
        assert_eq!((&*facts.key_alg, facts.key_bits, &*facts.sig_alg), ("id-ecPublicKey", 256, "ecdsa-with-SHA256"));
        assert_eq!(facts.subject.last("CN"), Some("Doe, J"));
        assert_eq!(facts.subject.0[0], ("C".into(), "FR".into()));
        assert_eq!(facts.subject, facts.issuer);
        assert_eq!(&*facts.san, "DNS:a.example, IP Address:10.0.0.1");
    }

    #[test]
    fn changed_and_cut_certificates_never_panic() {
        const SEED: u64 = 0x7e115;
        let good = certificate();
        let mut rng = fastrand::Rng::with_seed(SEED);
        let mut readable = 0;
        for round in 0..4000 {
            let mut bytes = good.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            bytes.truncate(rng.usize(bytes.len() / 2..=bytes.len()));
            let facts = of_certificate(&bytes);
            assert_eq!(*facts.der, *bytes, "seed {SEED:#x}, round {round}");
            readable += usize::from(facts.version != 0);
        }
        assert!(readable > 0, "seed {SEED:#x}");
    }

    #[test]
    fn errors_have_the_numbers_of_openssl() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        let facts = of_failure(&alert, Some("a.example"));
        assert_eq!(
            (facts.error, &*facts.error_text),
            (0x0A00_0418, "error:0A000418:SSL routines::tlsv1 alert unknown ca")
        );
        let none = rustls::Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon);
        assert_eq!(openssl_error(&none), (0x0A00_00C1, "no shared cipher"));
    }
}
