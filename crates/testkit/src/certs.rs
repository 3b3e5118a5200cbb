//! Certificates for tests, made afresh: an authority, leaves of every kind it can sign, and the files they are read from.
//!
//! Nothing here is cached, but an RSA key, which is slow to make, is made once per process and shared by all who ask.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, RsaKeySize, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

mod ocsp;

const DAY: Duration = Duration::from_secs(86_400);

/// An authority that signs what tests need.
#[derive(Debug)]
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    above: Vec<String>,
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// ECDSA over P-256.
    P256,
    /// RSA of 2048 bits.
    Rsa2048,
}

/// What a leaf shall be; the rest is usual.
#[derive(Clone, Debug)]
pub struct LeafOptions {
    /// Names and addresses it is good for. The first is its common name.
    pub names: Vec<String>,
    /// Its key.
    pub key: Key,
    /// When it begins to be good, in days from now; negative for the past.
    pub from_days: i64,
    /// When it ends, in days from now; negative makes an expired one.
    pub until_days: i64,
    /// Good for a client instead of a server.
    pub client: bool,
    /// Serial number; 0 leaves it to chance.
    pub serial: u64,
    /// URL of the OCSP responder it names; empty for none.
    pub ocsp: String,
}

impl LeafOptions {
    /// Good for these names as a server, for a year, with a P-256 key.
    pub fn new(names: &[&str]) -> LeafOptions {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        LeafOptions {
            names,
            key: Key::P256,
            from_days: -1,
            until_days: 365,
            client: false,
            serial: 0,
            ocsp: String::new(),
        }
    }
}

/// A certificate with its key, and the authorities between it and the root.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate alone.
    pub cert_pem: String,
    /// The authorities between, nearest first; empty when the root signed it.
    pub chain_pem: String,
    /// The key, PKCS #8 unless it was made otherwise.
    pub key_pem: String,
}

impl Ca {
    /// A root of this name.
    ///
    /// # Panics
    /// Never with a name that is text.
    pub fn new(name: &str) -> Ca {
        let key = KeyPair::generate().expect("a P-256 key");
        let issuer = CertifiedIssuer::self_signed(Ca::params(name), key).expect("a root");
        Ca { issuer, above: Vec::new() }
    }

    /// An authority below this one.
    ///
    /// # Panics
    /// Never with a name that is text.
    pub fn intermediate(&self, name: &str) -> Ca {
        let key = KeyPair::generate().expect("a P-256 key");
        let issuer = CertifiedIssuer::signed_by(Ca::params(name), key, &self.issuer).expect("an intermediate");
        let mut above = vec![issuer.pem()];
        above.extend(self.above.iter().cloned());
        Ca { issuer, above }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Evenkeel tests");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = day(-30).into();
        params.not_after = day(3650).into();
        params
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its certificate in DER.
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Writes its certificate and returns the path.
    ///
    /// # Panics
    /// When the folder cannot be written to.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        write(folder, name, &self.pem())
    }

    /// A server certificate for these names, with a P-256 key.
    pub fn leaf(&self, names: &[&str]) -> Leaf {
        self.sign(&LeafOptions::new(names))
    }

    /// The same with an RSA key of 2048 bits.
    pub fn leaf_rsa(&self, names: &[&str]) -> Leaf {
        self.sign(&LeafOptions { key: Key::Rsa2048, ..LeafOptions::new(names) })
    }

    /// One that ended yesterday.
    pub fn expired(&self, names: &[&str]) -> Leaf {
        self.sign(&LeafOptions { from_days: -30, until_days: -1, ..LeafOptions::new(names) })
    }

    /// One for a client of this name.
    pub fn client(&self, name: &str) -> Leaf {
        self.sign(&LeafOptions { client: true, ..LeafOptions::new(&[name]) })
    }

    /// A leaf as asked for.
    ///
    /// # Panics
    /// When a name is none.
    pub fn sign(&self, options: &LeafOptions) -> Leaf {
        let mut params = CertificateParams::new(options.names.clone()).expect("names of a certificate");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Evenkeel tests");
        params.distinguished_name.push(DnType::CommonName, options.names.first().map_or("leaf", String::as_str));
        params.not_before = day(options.from_days).into();
        params.not_after = day(options.until_days).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let usage =
            if options.client { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth };
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        if !options.ocsp.is_empty() {
            params.custom_extensions.push(ocsp::responder(&options.ocsp));
        }
        if options.serial != 0 {
            params.serial_number = Some(SerialNumber::from(options.serial));
        }
        let made;
        let key = match options.key {
            Key::Rsa2048 => rsa_key(),
            Key::P256 => {
                made = KeyPair::generate().expect("a P-256 key");
                &made
            }
        };
        let cert = params.signed_by(key, &self.issuer).expect("a signed certificate");
        Leaf { cert_pem: cert.pem(), chain_pem: self.above.concat(), key_pem: key.serialize_pem() }
    }

    /// What an OCSP responder of this authority answers to a request in DER: the certificate is good.
    ///
    /// # Panics
    /// When it is no request.
    pub fn ocsp(&self, request: &[u8]) -> Vec<u8> {
        ocsp::good(request, self.issuer.key()).expect("an OCSP request")
    }

    /// A revocation list of this authority, in PEM, that revokes these serial numbers.
    ///
    /// # Panics
    /// Never.
    pub fn crl(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: day(-1).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: day(-1).into(),
            next_update: day(30).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a revocation list").pem().expect("text")
    }
}

impl Leaf {
    /// Certificate, chain and key in one text, as HAProxy's `crt` takes them.
    pub fn combined(&self) -> String {
        format!("{}{}{}", self.cert_pem, self.chain_pem, self.key_pem)
    }

    /// Writes all into one file and returns its path.
    ///
    /// # Panics
    /// When the folder cannot be written to.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        write(folder, name, &self.combined())
    }

    /// Writes `STEM.crt` (with the chain) and `STEM.key`, and returns both paths.
    ///
    /// # Panics
    /// When the folder cannot be written to.
    pub fn write_separate(&self, folder: &Path, stem: &str) -> (PathBuf, PathBuf) {
        let cert = write(folder, &format!("{stem}.crt"), &format!("{}{}", self.cert_pem, self.chain_pem));
        (cert, write(folder, &format!("{stem}.key"), &self.key_pem))
    }

    /// The certificate and its chain in DER.
    ///
    /// # Panics
    /// Never with what [`Ca::sign`] made.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        let pem = format!("{}{}", self.cert_pem, self.chain_pem);
        CertificateDer::pem_slice_iter(pem.as_bytes()).map(|c| c.expect("a certificate in PEM")).collect()
    }

    /// The key in DER.
    ///
    /// # Panics
    /// When it was replaced by something that is no key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("a key in PEM")
    }

    /// The same certificate with the key of another: a pair that does not match.
    #[must_use]
    pub fn with_key_of(&self, other: &Leaf) -> Leaf {
        Leaf { key_pem: other.key_pem.clone(), ..self.clone() }
    }
}

/// A P-256 key under the password `secret`, PKCS #8 with PBES2: what a server must refuse with a sentence that helps.
pub const ENCRYPTED_KEY: &str = include_str!("encrypted-key.pem");

fn rsa_key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).expect("an RSA key"))
}

fn day(from_now: i64) -> SystemTime {
    let now = SystemTime::now();
    let distance = DAY * u32::try_from(from_now.unsigned_abs()).expect("days of a certificate");
    if from_now < 0 { now - distance } else { now + distance }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
    path
}
