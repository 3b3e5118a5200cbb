//! One certificate with its chain and key: made of the contents of files, checked, with what is asked of it kept at hand.
//!
//! Called by the store for files, by the control socket for what an operator sends, by the connector for client certificates.
//! A [`Cert`] is immutable and shared by every bind that serves it; its key always belongs to its first certificate.
//! Every mistake is reported at once, with the line in the file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use evenkeel_acl::CertFacts;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::files::Files;
use crate::names::Signs;
use crate::ocsp;
use crate::options::CertSource;
use crate::pem;
use crate::problem::{Problem, any_error};
use crate::{facts, store};

/// Bits of the smallest RSA key that is accepted.
const MIN_RSA_BITS: usize = 2048;

/// A certificate that can be served.
#[derive(Debug)]
pub struct Cert {
    /// The file it was read from; its name everywhere an operator sees it.
    pub path: PathBuf,
    /// Chain, key and the OCSP response to staple, as rustls takes them.
    pub key: Arc<CertifiedKey>,
    /// Its CN and its alternative names, in lower case.
    pub names: Box<[Box<str>]>,
    /// First second of its validity, in seconds since 1970.
    pub not_before: i64,
    /// Last second of its validity.
    pub not_after: i64,
    /// SHA-256 of the certificate.
    pub sha256: [u8; 32],
    /// Serial number, big-endian.
    pub serial: Box<[u8]>,
    /// Who signed it: the common name, else the whole name.
    pub issued_by: Box<str>,
    /// What its key signs.
    pub signs: Signs,
    /// Bits of its key, 0 when not known.
    pub key_bits: u32,
    /// When the OCSP response ends to be usable, in seconds since 1970.
    pub ocsp_until: Option<i64>,
    /// The issuer's certificate, where the chain lacks it.
    issuer: Option<CertificateDer<'static>>,
    facts: OnceLock<Arc<CertFacts>>,
}

/// A file with its contents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    /// Its name.
    pub(crate) path: &'a Path,
    /// What is in it.
    pub(crate) bytes: &'a [u8],
}

/// The files a certificate is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    /// The certificate, its chain, perhaps its key.
    pub(crate) pem: Content<'a>,
    /// The key.
    pub(crate) key: Option<Content<'a>>,
    /// The issuer's certificate.
    pub(crate) issuer: Option<Content<'a>>,
    /// An OCSP response in DER.
    pub(crate) ocsp: Option<Content<'a>>,
}

impl Cert {
    /// Makes a certificate of one PEM text, as the control socket gets it. `now` is in seconds since 1970.
    pub fn from_pem(path: &Path, pem: &[u8], now: i64, problems: &mut Vec<Problem>) -> Option<Cert> {
        let pem = Content { path, bytes: pem };
        Cert::from_parts(Parts { pem, key: None, issuer: None, ocsp: None }, "certificates", now, problems)
    }

    /// Makes a certificate of the contents of files. `key` is the configuration key that named them.
    pub(crate) fn from_parts(
        parts: Parts<'_>,
        key: &'static str,
        now: i64,
        problems: &mut Vec<Problem>,
    ) -> Option<Cert> {
        let mut found = Vec::new();
        let cert = build(parts, key, now, &mut found);
        let failed = any_error(&found);
        problems.append(&mut found);
        cert.filter(|_| !failed)
    }

    /// The certificate itself.
    pub fn der(&self) -> &[u8] {
        self.key.cert.first().map_or(&[], |der| der)
    }

    /// The certificate of its issuer, from the chain or from beside it.
    pub fn issuer_der(&self) -> Option<&[u8]> {
        issuer_in(self.der(), &self.key.cert[1..]).or(self.issuer.as_ref()).map(|der| &**der)
    }

    /// What fetches, logs and the stats page say of it; read when first asked for.
    pub fn facts(&self) -> &Arc<CertFacts> {
        self.facts.get_or_init(|| {
            let mut facts = facts::of_certificate(self.der());
            facts.file = self.path.to_string_lossy().into();
            Arc::new(facts)
        })
    }

    /// Seconds until it expires; negative afterwards.
    pub fn expires_in(&self, now: i64) -> i64 {
        self.not_after.saturating_sub(now)
    }

    /// The same certificate with another OCSP response to staple, or none.
    pub fn with_ocsp(&self, response: Option<(Vec<u8>, i64)>) -> Cert {
        let (ocsp, ocsp_until) = response.unzip();
        Cert {
            path: self.path.clone(),
            key: Arc::new(CertifiedKey { ocsp, ..CertifiedKey::clone(&self.key) }),
            names: self.names.clone(),
            serial: self.serial.clone(),
            issued_by: self.issued_by.clone(),
            issuer: self.issuer.clone(),
            facts: self.facts.clone(),
            ocsp_until,
            ..*self
        }
    }

    /// Checks an OCSP response against this certificate and takes it.
    pub fn staple(&self, response: Vec<u8>, now: i64) -> Result<Cert, ocsp::Unusable> {
        let valid = ocsp::check_response(&response, self.der(), self.issuer_der(), now)?;
        Ok(self.with_ocsp(Some((response, valid.next_update))))
    }
}

/// A certificate that is shown to servers.
#[derive(Debug)]
pub(crate) struct ClientCert {
    /// What `ssl_f_*` and logs say of it.
    pub(crate) facts: Arc<CertFacts>,
    /// Chain and key.
    pub(crate) key: Arc<CertifiedKey>,
}

/// Loads the one certificate that is shown to a server.
pub(crate) fn client(source: &CertSource, files: &Files, problems: &mut Vec<Problem>) -> Option<ClientCert> {
    let cert = store::read_one(source, "certificate", files, unix_now(), problems)?;
    Some(ClientCert { facts: Arc::clone(cert.facts()), key: cert.key })
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn build(parts: Parts<'_>, key: &'static str, now: i64, problems: &mut Vec<Problem>) -> Option<Cert> {
    let path = parts.pem.path;
    let mut pem = pem::read(parts.pem.bytes);
    report(&pem.faults, path, key, problems);
    let mut keys: Vec<(&Path, u32, PrivateKeyDer<'static>)> =
        pem.keys.drain(..).map(|(line, der)| (path, line, der)).collect();
    if let Some(file) = parts.key {
        let beside = pem::read(file.bytes);
        report(&beside.faults, file.path, key, problems);
        if beside.keys.is_empty() && beside.faults.is_empty() {
            problems.push(Problem::error(key, "there is no private key in it").file(file.path));
        }
        keys.extend(beside.keys.into_iter().map(|(line, der)| (file.path, line, der)));
    }
    if pem.certificates.is_empty() && pem.faults.is_empty() {
        let hint = "it has to hold the certificate and its chain, each beginning with -----BEGIN CERTIFICATE-----";
        problems.push(Problem::error(key, "there is no certificate in it").file(path).hint(hint));
    }
    if keys.is_empty() && !any_error(problems) {
        let hint = format!("put the key into the file, or beside it as {}.key", path.display());
        problems.push(Problem::error(key, "there is no private key for the certificate").file(path).hint(hint));
    }
    let mut chain = Vec::with_capacity(pem.certificates.len());
    let mut lines = Vec::with_capacity(pem.certificates.len());
    for (line, der) in pem.certificates {
        if X509Certificate::from_der(&der).is_ok_and(|(rest, _)| rest.is_empty()) {
            chain.push(CertificateDer::from(der));
            lines.push(line);
        } else {
            problems.push(Problem::error(key, "it is no X.509 certificate").file(path).line(line));
        }
    }
    if any_error(problems) {
        return None;
    }
    let signer = matching(&mut chain, &lines, keys, path, key, problems);
    let leaf = chain.first()?;
    let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
    check_chain(&parsed, &chain, path, key, problems);
    let sha256 = digest(&SHA256, leaf).as_ref().try_into().ok()?;
    let names = names(&parsed);
    let serial = parsed.raw_serial();
    // The sign of DER's integers is no part of the number.
    let serial = serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial).into();
    let common = parsed.issuer().iter_common_name().next().and_then(|name| name.as_str().ok());
    let issued_by = common.map_or_else(|| parsed.issuer().to_string(), str::to_owned).into();
    let key_bits = match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => u32::try_from(key.key_size()).unwrap_or(0),
        Ok(PublicKey::EC(point)) => u32::try_from(point.key_size()).unwrap_or(0),
        _ => 0,
    };
    let (not_before, not_after) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let signer = signer?;
    let mut cert = Cert {
        path: path.to_path_buf(),
        signs: signs(&*signer),
        key: Arc::new(CertifiedKey::new(chain, signer)),
        names,
        not_before,
        not_after,
        sha256,
        serial,
        issued_by,
        key_bits,
        ocsp_until: None,
        issuer: None,
        facts: OnceLock::new(),
    };
    if let Some(file) = parts.issuer {
        cert.issuer = issuer_beside(&cert, file, key, problems);
    }
    if let Some(file) = parts.ocsp {
        match ocsp::check_response(file.bytes, cert.der(), cert.issuer_der(), now) {
            Ok(valid) => {
                cert.ocsp_until = Some(valid.next_update);
                if let Some(key) = Arc::get_mut(&mut cert.key) {
                    key.ocsp = Some(file.bytes.to_vec());
                }
            }
            Err(unusable) => {
                let message = format!("the OCSP response is not stapled: {unusable}");
                problems.push(Problem::warning(key, message).file(file.path));
            }
        }
    }
    Some(cert)
}

fn report(faults: &[pem::Fault], path: &Path, key: &'static str, problems: &mut Vec<Problem>) {
    for fault in faults {
        let problem = Problem::error(key, fault.message).file(path).line(fault.line);
        problems.push(match fault.hint {
            Some(hint) => problem.hint(hint.replace("FILE", &path.display().to_string())),
            None => problem,
        });
    }
}

/// The key that belongs to a certificate of the file, which is put first.
fn matching(
    chain: &mut [CertificateDer<'static>],
    lines: &[u32],
    keys: Vec<(&Path, u32, PrivateKeyDer<'static>)>,
    path: &Path,
    key: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<Arc<dyn SigningKey>> {
    let weak = chain.first().and_then(|leaf| weak_rsa(leaf));
    if let Some(bits) = weak {
        let message = format!("its RSA key has {bits} bits; {MIN_RSA_BITS} are the least that is safe");
        let hint =
            "have a certificate issued for a new key: openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        problems.push(Problem::error(key, message).file(path).hint(hint));
        return None;
    }
    let mut refused = None;
    let mut other = None;
    for (file, line, der) in keys {
        let Ok(signer) = any_supported_type(&der) else {
            refused.get_or_insert((file, line));
            continue;
        };
        let Some(public) = signer.public_key() else { continue };
        match chain.iter().position(|certificate| spki_is(certificate, &public)) {
            Some(at) => {
                if at > 0 {
                    let message = format!(
                        "the key belongs to the certificate of line {}, which is served as the first",
                        lines[at]
                    );
                    let hint = "put the server's own certificate before those of its chain";
                    problems.push(Problem::warning(key, message).file(path).line(lines[at]).hint(hint));
                    chain[..=at].rotate_right(1);
                }
                return Some(signer);
            }
            None => drop(other.get_or_insert((file, line))),
        }
    }
    let problem = match (other, refused) {
        (Some((file, line)), _) => Problem::error(key, "the private key does not belong to the certificate")
            .file(file)
            .line(line)
            .hint(match file == path {
                true => "the file holds the key of another certificate, perhaps of the one before a renewal".to_owned(),
                false => format!("the certificate is in {}", path.display()),
            }),
        (None, Some((file, line))) => {
            Problem::error(key, "the private key is of a kind that is not supported, or damaged")
                .file(file)
                .line(line)
                .hint("RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 and P-521, and Ed25519 are supported")
        }
        (None, None) => Problem::error(key, "the private key cannot be compared with the certificate").file(path),
    };
    problems.push(problem);
    None
}

fn spki_is(certificate: &[u8], public: &[u8]) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.public_key().raw == public)
}

/// The bits of an RSA key that is too small.
fn weak_rsa(certificate: &[u8]) -> Option<usize> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()).filter(|bits| *bits < MIN_RSA_BITS),
        _ => None,
    }
}

fn check_chain(
    leaf: &X509Certificate<'_>,
    chain: &[CertificateDer<'_>],
    path: &Path,
    key: &'static str,
    problems: &mut Vec<Problem>,
) {
    if chain.len() > 1 && leaf.issuer() != leaf.subject() && issuer_in(&chain[0], &chain[1..]).is_none() {
        let message = format!("the chain lacks the certificate of the issuer, {}", leaf.issuer());
        let hint =
            "clients that do not know it cannot trust the certificate; append the issuer's certificate to the file";
        problems.push(Problem::warning(key, message).file(path).hint(hint));
    }
}

/// The certificate among `others` whose name is the issuer's.
fn issuer_in<'c, 'd>(leaf: &[u8], others: &'c [CertificateDer<'d>]) -> Option<&'c CertificateDer<'d>> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    others.iter().find(|other| {
        X509Certificate::from_der(other).is_ok_and(|(_, other)| other.subject().as_raw() == leaf.issuer().as_raw())
    })
}

fn issuer_beside(
    cert: &Cert,
    file: Content<'_>,
    key: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<CertificateDer<'static>> {
    let found: Vec<CertificateDer<'static>> =
        pem::read(file.bytes).certificates.into_iter().map(|(_, der)| der.into()).collect();
    let issuer = issuer_in(cert.der(), &found).cloned();
    if issuer.is_none() {
        let message = "it does not hold the certificate of the issuer";
        problems
            .push(Problem::warning(key, message).file(file.path).hint("OCSP responses cannot be checked without it"));
    }
    // Nothing is kept twice.
    issuer.filter(|_| issuer_in(cert.der(), &cert.key.cert[1..]).is_none())
}

/// CN and alternative names, in lower case, each once.
fn names(cert: &X509Certificate<'_>) -> Box<[Box<str>]> {
    let common = cert.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternative = cert.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let mut found: Vec<Box<str>> = Vec::new();
    for name in common.chain(alternative) {
        let name = name.to_ascii_lowercase().into_boxed_str();
        // Linear: a certificate of a hundred names is rare, one of thousands is refused by clients.
        if !name.is_empty() && !found.contains(&name) {
            found.push(name);
        }
    }
    found.into()
}

fn signs(key: &dyn SigningKey) -> Signs {
    let schemes = [
        (SignatureScheme::RSA_PSS_SHA256, Signs::RSA),
        (SignatureScheme::ECDSA_NISTP256_SHA256, Signs::P256),
        (SignatureScheme::ECDSA_NISTP384_SHA384, Signs::P384),
        (SignatureScheme::ECDSA_NISTP521_SHA512, Signs::P521),
        (SignatureScheme::ED25519, Signs::ED25519),
    ];
    schemes
        .into_iter()
        .filter(|(scheme, _)| key.choose_scheme(&[*scheme]).is_some())
        .fold(Signs::default(), |all, (_, one)| all | one)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::problem::Severity;
    use crate::testing::{Ca, Leaf, NOW, self_signed};

    fn load(pem: &str) -> (Option<Cert>, Vec<Problem>) {
        let mut problems = Vec::new();
        let cert = Cert::from_pem(Path::new("site.pem"), pem.as_bytes(), NOW, &mut problems);
        (cert, problems)
    }

    /// The one problem of a text that cannot be loaded.
    fn refused(pem: &str) -> Problem {
        let (cert, mut problems) = load(pem);
        assert!(cert.is_none());
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.remove(0)
    }

    #[test]
    fn chain_and_key_are_found_in_any_order() {
        let ca = Ca::new("root");
        let middle = ca.intermediate("middle");
        let leaf = middle.issue(&["WWW.a.example", "*.a.example"]);
        let key = leaf.key.serialize_pem();
        for pem in [format!("{}{}{key}", leaf.pem, middle.pem), format!("{key}{}{}", leaf.pem, middle.pem)] {
            let (cert, problems) = load(&pem);
            let cert = cert.unwrap();
            assert_eq!(problems, []);
            assert_eq!(cert.names.iter().map(|name| &**name).collect::<Vec<_>>(), ["www.a.example", "*.a.example"]);
            assert_eq!(cert.signs, Signs::P256);
            assert_eq!(cert.key.cert.len(), 2);
            assert_eq!(cert.issuer_der(), Some(&middle.der[..]));
            assert_eq!(cert.facts().file.as_ref(), "site.pem");
            assert_eq!(cert.expires_in(NOW), cert.not_after - NOW);
            cert.key.keys_match().unwrap();
        }
    }

    #[test]
    fn the_common_name_counts_as_a_name() {
        let ca = Ca::new("root");
        let leaf = ca.issue_with(&["b.example"], |params| {
            params.distinguished_name.push(rcgen::DnType::CommonName, "A.example");
        });
        assert_eq!(load(&leaf.combined()).0.unwrap().names.join(" "), "a.example b.example");
    }

    #[test]
    fn a_certificate_before_its_own_is_put_behind_with_a_warning() {
        let ca = Ca::new("root");
        let leaf = ca.issue(&["a.example"]);
        let (cert, problems) = load(&format!("{}{}{}", ca.pem, leaf.pem, leaf.key.serialize_pem()));
        assert_eq!(cert.unwrap().der(), leaf.der);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].severity, Severity::Warning);
    }

    #[test]
    fn mistakes_are_named_with_their_remedy() {
        let leaf = self_signed(&["a.example"], |_| {});
        let other = self_signed(&["b.example"], |_| {});
        let key = leaf.key.serialize_pem();
        assert!(refused("hello").message.contains("no certificate"));
        assert!(refused(&key).message.contains("no certificate"));
        let missing = refused(&leaf.pem);
        assert!(missing.message.contains("no private key") && missing.hint.unwrap().contains("site.pem.key"));
        assert!(refused(&format!("{}{}", leaf.pem, other.key.serialize_pem())).message.contains("does not belong"));
        let encrypted = refused(&format!("{}{}", leaf.pem, key.replace("PRIVATE", "ENCRYPTED PRIVATE")));
        assert!(
            encrypted.message.contains("encrypted") && encrypted.hint.unwrap().contains("openssl pkey -in site.pem")
        );
        assert_eq!(encrypted.line, Some(leaf.pem.lines().count() as u32 + 1));
        let broken = leaf.combined().replacen("MII", "M!I", 1);
        assert!(refused(&broken).message.contains("not base64"));
        let nonsense = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert!(refused(&format!("{nonsense}{key}")).message.contains("no X.509"));
    }

    #[test]
    fn a_key_of_an_unsupported_kind_is_told_from_a_wrong_one() {
        let leaf = self_signed(&["a.example"], |_| {});
        let damaged = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        assert!(refused(&format!("{}{damaged}", leaf.pem)).message.contains("not supported"));
    }

    #[test]
    fn a_weak_key_is_refused() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let weak = include_str!("../tests/data/rsa1024.crt");
        assert!(refused(&format!("{weak}{key}")).message.contains("1024 bits"));
    }

    #[test]
    fn a_chain_without_the_issuer_is_warned_of() {
        let (ca, other) = (Ca::new("root"), Ca::new("other"));
        let leaf = ca.issue(&["a.example"]);
        let (cert, problems) = load(&format!("{}{}{}", leaf.pem, other.pem, leaf.key.serialize_pem()));
        assert!(cert.is_some());
        assert!(
            problems.len() == 1 && problems[0].message.contains("lacks the certificate of the issuer"),
            "{problems:?}"
        );
    }

    #[test]
    fn every_kind_of_key_is_known() {
        let ca = Ca::new("root");
        for (algorithm, signs) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Signs::P256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Signs::P384),
            (&rcgen::PKCS_ED25519, Signs::ED25519),
            (&rcgen::PKCS_RSA_SHA256, Signs::RSA),
        ] {
            let leaf = ca.issue_for(rcgen::KeyPair::generate_for(algorithm).unwrap(), &["a.example"], |_| {});
            assert_eq!(load(&leaf.combined()).0.unwrap().signs, signs);
        }
    }

    #[test]
    fn a_staple_is_checked_before_it_is_taken() {
        let ca = Ca::new("root");
        let leaf = ca.issue(&["a.example"]);
        let (cert, _) = load(&format!("{}{}{}", leaf.pem, ca.pem, leaf.key.serialize_pem()));
        let cert = cert.unwrap();
        let der = ocsp::tests::response(&leaf.der, &ca.der, &ca.key, ocsp::tests::GOOD, (NOW, Some(NOW + 60)), &[]);
        let stapled = cert.staple(der.clone(), NOW).unwrap();
        assert_eq!((stapled.key.ocsp.as_deref(), stapled.ocsp_until), (Some(&der[..]), Some(NOW + 60)));
        assert_eq!(cert.staple(der, NOW + 60).unwrap_err(), ocsp::Unusable::Expired);
        assert_eq!(stapled.with_ocsp(None).key.ocsp, None);
    }

    #[test]
    fn mutated_files_never_panic_and_never_yield_a_wrong_pair() {
        let ca = Ca::new("root");
        let leaf: Leaf = ca.issue(&["a.example"]);
        let good = format!("{}{}{}", leaf.combined(), ca.pem, leaf.pem).into_bytes();
        for seed in 0..600 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = good.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(0..bytes.len());
                match rng.u8(0..4) {
                    0 => bytes[at] = rng.u8(..),
                    1 => bytes.truncate(at.max(1)),
                    // A digit of base64 changes the DER and leaves the PEM whole.
                    _ => bytes[at] = b"ABCDefgh0123+/"[rng.usize(0..14)],
                }
            }
            let mut problems = Vec::new();
            match Cert::from_pem(Path::new("x"), &bytes, NOW, &mut problems) {
                Some(cert) => {
                    assert_eq!(cert.key.key.public_key().is_some(), cert.signs.intersects(Signs::ALL), "seed {seed}")
                }
                None => assert!(any_error(&problems), "seed {seed}"),
            }
        }
    }
}
