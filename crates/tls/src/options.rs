//! What the configuration says of TLS: plain data, nothing read, nothing checked against a file.
//!
//! Config fills it, the terminator and the connector build from it, and the plan of a reload compares it.
//! Paths are complete: config has already put `crt-base` and its like before them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// TLS of a bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindTls {
    /// Certificates in the order of the file; the first loaded is the default certificate.
    pub certificates: Vec<CertSource>,
    /// Files of lines `certificate [options] names`, as HAProxy's `crt-list`.
    pub crt_list: Vec<PathBuf>,
    /// Served when no name matches, before the first of `certificates` (`default-crt`).
    pub default_certificates: Vec<CertSource>,
    /// An unknown or absent name ends the handshake instead of getting the default certificate.
    pub strict_sni: bool,
    /// Protocols offered by ALPN, best first; empty offers none.
    pub alpn: Vec<Arc<[u8]>>,
    /// Versions and algorithms.
    pub policy: Policy,
    /// What is asked of the client's certificate.
    pub client: ClientAuth,
    /// Whether sessions are resumed by tickets; otherwise only from the session cache.
    pub tickets: bool,
    /// A file of base64 keys, one a line, that encrypt tickets on every node that has it.
    pub ticket_keys: Option<PathBuf>,
    /// Sessions kept for resumption without tickets, over all workers; 0 keeps none.
    pub session_cache: usize,
    /// How long a session may be resumed.
    pub session_lifetime: Duration,
    /// Accepts TLS 1.3 early data (0-RTT). Sessions then come from the cache alone, because only there each is used once.
    pub early_data: bool,
    /// Fetches OCSP responses for stapling.
    pub ocsp_update: bool,
    /// Looks for changed files and loads them without a reload.
    pub watch: bool,
    /// Before relative paths of certificates inside a crt-list (`crt-base`).
    pub crt_base: Option<PathBuf>,
    /// Before relative paths of keys inside a crt-list (`key-base`).
    pub key_base: Option<PathBuf>,
    /// Before relative paths of CA and CRL files inside a crt-list (`ca-base`).
    pub ca_base: Option<PathBuf>,
    /// Sessions are resumed only where this is the same: the frontend's name.
    pub scope: Arc<str>,
}

impl Default for BindTls {
    fn default() -> BindTls {
        BindTls {
            certificates: Vec::new(),
            crt_list: Vec::new(),
            default_certificates: Vec::new(),
            strict_sni: false,
            alpn: vec![Arc::from(&b"h2"[..]), Arc::from(&b"http/1.1"[..])],
            policy: Policy::default(),
            client: ClientAuth::default(),
            tickets: true,
            ticket_keys: None,
            session_cache: 20_000,
            session_lifetime: Duration::from_secs(300),
            early_data: false,
            ocsp_update: false,
            watch: false,
            crt_base: None,
            key_base: None,
            ca_base: None,
            scope: Arc::from(""),
        }
    }
}

/// Where a certificate and what belongs to it are read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertSource {
    /// A PEM file, a folder of them, the common stem of a bundle (`name.rsa`, `name.ecdsa`), or `@store/alias`.
    pub cert: PathBuf,
    /// The key, when it is in neither the PEM file nor `<cert>.key`.
    pub key: Option<PathBuf>,
    /// The OCSP response, when it is not in `<cert>.ocsp`.
    pub ocsp: Option<PathBuf>,
    /// The issuer's certificate, when it is neither in the chain nor in `<cert>.issuer`.
    pub issuer: Option<PathBuf>,
    /// Signed certificate timestamps; read by nobody yet, accepted for the sake of configurations that name them.
    pub sctl: Option<PathBuf>,
    /// The name in its `crt-store`.
    pub alias: Option<Arc<str>>,
    /// Fetches this certificate's OCSP response; `None` leaves it to the bind.
    pub ocsp_update: Option<bool>,
}

impl CertSource {
    /// A source with nothing beside the path.
    pub fn new(cert: impl Into<PathBuf>) -> CertSource {
        CertSource { cert: cert.into(), ..CertSource::default() }
    }
}

/// The `crt-store` sections: certificates by the name of the store, then by alias or path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrtStores(pub BTreeMap<Arc<str>, Vec<CertSource>>);

impl CrtStores {
    /// The certificate called `@store/alias`, or `@store/path` with the path as the store's entry has it or its last part.
    /// `None` too when `reference` does not begin with `@`.
    pub fn find(&self, reference: &str) -> Option<&CertSource> {
        let (store, name) = reference.strip_prefix('@')?.split_once('/')?;
        let entries = self.0.get(store)?;
        let by_alias = entries.iter().find(|entry| entry.alias.as_deref() == Some(name));
        by_alias.or_else(|| entries.iter().find(|entry| !name.is_empty() && entry.cert.ends_with(name)))
    }
}

/// A version of the protocol that can be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl Version {
    /// Reads `1.2`, `TLSv1.2` and the like; the error says what is known.
    pub fn parse(text: &str) -> Result<Version, String> {
        let number = text.strip_prefix("TLSv").or_else(|| text.strip_prefix("tlsv")).unwrap_or(text);
        match number {
            "1.2" => Ok(Version::Tls12),
            "1.3" => Ok(Version::Tls13),
            "1.0" | "1.1" => Err(format!("TLS {number} is broken and not spoken; 1.2 and 1.3 are")),
            _ => Err(format!("`{text}` is no version of TLS; 1.2 and 1.3 are known")),
        }
    }

    /// As in logs and in HAProxy's keywords.
    pub fn name(self) -> &'static str {
        match self {
            Version::Tls12 => "TLSv1.2",
            Version::Tls13 => "TLSv1.3",
        }
    }
}

/// Versions and algorithms, in OpenSSL's names; `None` means the safe default.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// The lowest version.
    pub min: Version,
    /// The highest version.
    pub max: Version,
    /// Cipher list of TLS 1.2 (`ciphers`).
    pub ciphers: Option<Arc<str>>,
    /// Cipher suites of TLS 1.3 (`ciphersuites`).
    pub ciphersuites: Option<Arc<str>>,
    /// Key exchange groups, best first (`curves`).
    pub curves: Option<Arc<str>>,
    /// Signature algorithms of our own certificate (`sigalgs`).
    pub sigalgs: Option<Arc<str>>,
    /// Signature algorithms accepted of the peer's certificate (`client-sigalgs`).
    pub client_sigalgs: Option<Arc<str>>,
    /// The client's order of cipher suites decides instead of ours.
    pub prefer_client_ciphers: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            min: Version::Tls12,
            max: Version::Tls13,
            ciphers: None,
            ciphersuites: None,
            curves: None,
            sigalgs: None,
            client_sigalgs: None,
            prefer_client_ciphers: false,
        }
    }
}

/// Whether a peer's certificate is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verify {
    /// It is not asked for (bind), or not looked at (server).
    #[default]
    None,
    /// It may be absent; an invalid one ends the handshake.
    Optional,
    /// It must be there and valid.
    Required,
}

/// Client certificates of a bind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientAuth {
    /// Whether one is asked for.
    pub verify: Verify,
    /// Who may have signed it; their names are told to the client.
    pub ca_file: Option<CaSource>,
    /// Who else may have signed it, without being named to the client.
    pub ca_verify_file: Option<CaSource>,
    /// Revocation lists, one for every CA of the chain.
    pub crl_file: Option<PathBuf>,
    /// Errors of certificates above the client's that are let pass (`ca-ignore-err`).
    pub ca_ignore_err: IgnoreErrors,
    /// Errors of the client's own certificate that are let pass (`crt-ignore-err`).
    pub crt_ignore_err: IgnoreErrors,
    /// Names no CA to the client.
    pub no_ca_names: bool,
}

/// Where the certificates of authorities come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CaSource {
    /// A PEM file, or a folder of them.
    File(PathBuf),
    /// The system's (`@system-ca`).
    System,
}

/// A set of OpenSSL's `X509_V_ERR` numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IgnoreErrors([u64; 2]);

impl IgnoreErrors {
    /// Every error.
    pub const ALL: IgnoreErrors = IgnoreErrors([u64::MAX; 2]);

    /// Reads `all`, numbers and OpenSSL's constant names, separated by commas.
    pub fn parse(text: &str) -> Result<IgnoreErrors, String> {
        let mut set = IgnoreErrors::default();
        for word in text.split(',').map(str::trim) {
            if word == "all" {
                set = IgnoreErrors::ALL;
                continue;
            }
            let number = match word.parse::<u32>() {
                Ok(number) => Some(number),
                Err(_) => crate::codes::number_of(word),
            };
            match number {
                Some(number @ 0..128) => set.insert(number),
                _ => {
                    return Err(format!(
                        "`{word}` is no verification error; write `all`, OpenSSL's numbers below 128 such as 10 (expired), or \
                         names such as X509_V_ERR_CERT_HAS_EXPIRED"
                    ));
                }
            }
        }
        Ok(set)
    }

    /// Adds an error; numbers above 127 are none of OpenSSL's and are left out.
    pub fn insert(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Whether the error is let pass.
    pub fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Whether no error is let pass.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 2]
    }
}

/// TLS to a server. Which name is asked for is decided by request, not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Whether the server's certificate is checked. `Optional` means the same as `Required`: a server always has one.
    pub verify: Verify,
    /// Who may have signed it.
    pub ca_file: CaSource,
    /// Revocation lists.
    pub crl_file: Option<PathBuf>,
    /// The name in its certificate, when no SNI is sent.
    pub verifyhost: Option<Arc<str>>,
    /// Shown to servers that ask who we are.
    pub certificate: Option<CertSource>,
    /// Protocols offered by ALPN, best first; empty offers none.
    pub alpn: Vec<Arc<[u8]>>,
    /// Versions and algorithms.
    pub policy: Policy,
    /// Whether sessions are resumed.
    pub session_reuse: bool,
}

impl Default for ServerTls {
    fn default() -> ServerTls {
        ServerTls {
            verify: Verify::Required,
            ca_file: CaSource::System,
            crl_file: None,
            verifyhost: None,
            certificate: None,
            alpn: Vec::new(),
            policy: Policy::default(),
            session_reuse: true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_store_is_searched_by_alias_then_path() {
        let one = CertSource { alias: Some(Arc::from("site1")), ..CertSource::new("/certs/a.pem") };
        let two = CertSource::new("/certs/site1");
        let stores = CrtStores(BTreeMap::from([(Arc::from("web"), vec![two.clone(), one.clone()])]));
        assert_eq!(stores.find("@web/site1"), Some(&one));
        assert_eq!(stores.find("@web/a.pem"), Some(&one));
        assert_eq!(stores.find("@web/b.pem"), None);
        assert_eq!(stores.find("@other/site1"), None);
        assert_eq!(stores.find("web/site1"), None);
        assert_eq!(stores.find("@web/"), None);
    }

    #[test]
    fn ignored_errors_are_numbers_names_or_all() {
        let set = IgnoreErrors::parse("10, X509_V_ERR_CERT_REVOKED").unwrap();
        assert!(set.contains(10) && set.contains(23) && !set.contains(18) && !set.contains(500));
        assert!(IgnoreErrors::parse("all").unwrap().contains(127));
        assert!(IgnoreErrors::parse("").is_err());
        assert!(IgnoreErrors::parse("128").is_err());
        assert!(IgnoreErrors::parse("expired").is_err());
        assert!(IgnoreErrors::default().is_empty());
    }

    #[test]
    fn versions_are_read_in_both_spellings() {
        assert_eq!(Version::parse("1.2"), Ok(Version::Tls12));
        assert_eq!(Version::parse("TLSv1.3"), Ok(Version::Tls13));
        assert!(Version::parse("1.1").unwrap_err().contains("broken"));
        assert!(Version::parse("2").is_err());
    }
}
