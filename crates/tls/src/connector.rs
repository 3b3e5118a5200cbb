//! TLS to one server: what is offered, who is trusted, which name is looked for, which sessions are resumed.
//!
//! Built at load, one per server, shared by all workers; wire drives the session that [`begin`](Connector::begin) starts.
//! The name in the certificate is checked as HAProxy does: the SNI that was sent, else `verifyhost`, else none. Never: which
//! name is asked for, that is decided by request.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use evenkeel_acl::{CertFacts, TlsFacts};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, Resumption, UnbufferedClientConnection, WebPkiServerVerifier, verify_server_name,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, CommonState, DigitallySignedStruct, KeyLog, SignatureScheme};

use crate::facts;
use crate::files::Files;
use crate::options::{CaSource, ServerTls, Verify};
use crate::problem::{Problem, any_error};
use crate::{cert, pinned, policy, roots};

/// Names of servers whose sessions are kept; a server is asked for few.
const SESSIONS: usize = 256;

/// Stands for a server that is not named: it is never sent, and no certificate is for it.
fn unnamed() -> ServerName<'static> {
    ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Begins TLS with one server.
#[derive(Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    /// What it was built from.
    made_of: MadeOf,
    /// The certificate this side shows.
    own: Option<Arc<CertFacts>>,
    /// The certificate last seen: a server shows the same one again and again.
    seen: ArcSwapOption<CertFacts>,
}

/// Equal for two connectors that would do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MadeOf {
    options: ServerTls,
    content: [u8; 32],
    key_log: bool,
}

/// Why TLS was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The name to ask for is neither a host name nor an address.
    #[error("the server name `{0}` is not a host name")]
    BadName(Box<str>),
    /// The library refused.
    #[error("{0}")]
    Refused(rustls::Error),
}

impl Connector {
    /// Reads what `options` name. Every mistake is reported; `None` when one of them is an error.
    pub fn new(
        options: &ServerTls,
        files: &Files,
        key_log: Option<Arc<dyn KeyLog>>,
        problems: &mut Vec<Problem>,
    ) -> Option<Connector> {
        let mut found = Vec::new();
        let connector = Connector::build(options, files, key_log, &mut found);
        let failed = any_error(&found);
        problems.append(&mut found);
        connector.filter(|_| !failed)
    }

    /// As [`new`](Connector::new), but takes `previous` over, with its sessions, when nothing changed, neither an option nor a
    /// file.
    pub fn renewed(
        previous: Option<&Arc<Connector>>,
        options: &ServerTls,
        files: &Files,
        key_log: Option<Arc<dyn KeyLog>>,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<Connector>> {
        if let Some(previous) = previous
            && previous.made_of == made_of(options, files, key_log.is_some())
        {
            return Some(Arc::clone(previous));
        }
        Connector::new(options, files, key_log, problems).map(Arc::new)
    }

    /// Whether the two were built from the same options and the same files.
    pub fn is_like(&self, other: &Connector) -> bool {
        self.made_of == other.made_of
    }

    /// One for another server with the same options, which shares what was read and has sessions of its own.
    pub fn twin(&self) -> Connector {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = resumption(&self.made_of.options);
        let own = self.own.clone();
        Connector { config: Arc::new(config), made_of: self.made_of.clone(), own, seen: ArcSwapOption::empty() }
    }

    fn build(
        options: &ServerTls,
        files: &Files,
        key_log: Option<Arc<dyn KeyLog>>,
        problems: &mut Vec<Problem>,
    ) -> Option<Connector> {
        let policy = policy::build(&options.policy, problems);
        let verifier = verifier(options, policy.as_ref(), files, problems);
        let own = options.certificate.as_ref().map(|source| cert::client(source, files, problems));
        let policy = policy?;
        let builder = ClientConfig::builder_with_provider(policy.provider)
            .with_protocol_versions(policy.versions)
            .map_err(|error| problems.push(Problem::error("min-version", error.to_string())))
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(verifier?);
        let (mut config, own) = match own {
            Some(own) => {
                let own = own?;
                let facts = Arc::clone(&own.facts);
                (
                    builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own.key))),
                    Some(facts),
                )
            }
            None => (builder.with_no_client_auth(), None),
        };
        config.alpn_protocols = options.alpn.iter().map(|name| name.to_vec()).collect();
        config.resumption = resumption(options);
        let made_of = made_of(options, files, key_log.is_some());
        if let Some(key_log) = key_log {
            config.key_log = key_log;
        }
        Some(Connector { config: Arc::new(config), made_of, own, seen: ArcSwapOption::empty() })
    }

    /// Starts a session. `sni` is the name to ask for; a name that is an address is not sent but must be in the certificate.
    /// `alpn` takes the place of the configured protocols, for a connection that must not be shared, such as a WebSocket's.
    pub fn begin(&self, sni: Option<&str>, alpn: Option<&[&[u8]]>) -> Result<UnbufferedClientConnection, BeginError> {
        let name = match sni {
            Some(text) => server_name(text).ok_or_else(|| BeginError::BadName(text.into()))?,
            None => unnamed(),
        };
        let config = Arc::clone(&self.config);
        match alpn {
            Some(alpn) => {
                let alpn = alpn.iter().map(|name| name.to_vec()).collect();
                UnbufferedClientConnection::new_with_alpn(config, name, alpn)
            }
            None => UnbufferedClientConnection::new(config, name),
        }
        .map_err(BeginError::Refused)
    }

    /// What the handshake came to. The server's certificate is parsed only when it is another than the last time.
    pub fn facts(&self, common: &CommonState, sni: Option<&str>) -> TlsFacts {
        let peer = common.peer_certificates().and_then(<[_]>::first).map(|der| self.certificate(der));
        TlsFacts { own: self.own.clone(), ..facts::of_client(common, sni, peer) }
    }

    /// Whether the protocols offered include this one.
    pub fn offers(&self, protocol: &[u8]) -> bool {
        self.config.alpn_protocols.iter().any(|name| name == protocol)
    }

    fn certificate(&self, der: &CertificateDer<'_>) -> Arc<CertFacts> {
        if let Some(seen) = &*self.seen.load()
            && *seen.der == **der
        {
            return Arc::clone(seen);
        }
        let fresh = Arc::new(facts::of_certificate(der));
        self.seen.store(Some(Arc::clone(&fresh)));
        fresh
    }
}

fn resumption(options: &ServerTls) -> Resumption {
    match options.session_reuse {
        true => Resumption::store(Arc::new(ClientSessionMemoryCache::new(SESSIONS))),
        false => Resumption::disabled(),
    }
}

/// A digest of everything that is read for `options`, with what is not there as empty.
fn made_of(options: &ServerTls, files: &Files, key_log: bool) -> MadeOf {
    let mut paths: Vec<PathBuf> = Vec::new();
    if let CaSource::File(path) = &options.ca_file {
        paths.extend((files.list)(path).unwrap_or_else(|| vec![path.clone()]));
    }
    paths.extend(options.crl_file.clone());
    if let Some(source) = &options.certificate {
        let mut beside = source.cert.clone().into_os_string();
        beside.push(".key");
        paths.extend([source.cert.clone(), beside.into()]);
        paths.extend(source.key.clone());
    }
    let mut content = digest::Context::new(&digest::SHA256);
    for path in &paths {
        let bytes = (files.read)(path).unwrap_or_default();
        content.update(&(bytes.len() as u64).to_be_bytes());
        content.update(&bytes);
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(content.finish().as_ref());
    MadeOf { options: options.clone(), content: sum, key_log }
}

/// A name as it is sent; a final dot is none of TLS's.
fn server_name(text: &str) -> Option<ServerName<'static>> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => None,
        _ => ServerName::try_from(text).ok().map(|name| name.to_owned()),
    }
}

fn verifier(
    options: &ServerTls,
    policy: Option<&policy::Built>,
    files: &Files,
    problems: &mut Vec<Problem>,
) -> Option<Arc<dyn ServerCertVerifier>> {
    let host = match options.verifyhost.as_deref() {
        Some(text) => {
            let name = server_name(text);
            if name.is_none() {
                problems.push(Problem::error("verifyhost", format!("`{text}` is not a host name")));
            }
            name
        }
        None => None,
    };
    let lists = match &options.crl_file {
        Some(path) => roots::revocation_lists(path, "crl-file", files, problems).map(Some),
        None => Some(None),
    };
    if options.verify == Verify::None {
        let known = policy?.provider.signature_verification_algorithms.supported_schemes();
        return Some(Arc::new(Anyone { schemes: schemes(known, policy?) }));
    }
    let roots = roots::load(&options.ca_file, "ca-file", files, problems);
    let trusted = match (&options.ca_file, &options.crl_file) {
        (CaSource::File(path), None) => roots::certificates(path, "ca-file", files, &mut Vec::new()),
        // Of one that could be revoked nobody else could say so.
        (CaSource::File(_), Some(_)) | (CaSource::System, _) => None,
    };
    let trusted = trusted.unwrap_or_default().iter().map(|(_, der)| fingerprint(der)).collect();
    let mut builder = WebPkiServerVerifier::builder_with_provider(roots?, Arc::clone(&policy?.provider));
    if let Some(lists) = lists? {
        // OpenSSL's reading: a list for every authority of the chain, and none past its next update.
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    match builder.build() {
        Ok(inner) => {
            let schemes = schemes(inner.supported_verify_schemes(), policy?);
            Some(Arc::new(Trusted { schemes, inner, host, trusted }))
        }
        Err(error) => {
            problems.push(Problem::error("crl-file", format!("the revocation lists cannot be used: {error}")));
            None
        }
    }
}

/// What the server may sign with: all we know, or those of `sigalgs`.
fn schemes(mut known: Vec<SignatureScheme>, policy: &policy::Built) -> Vec<SignatureScheme> {
    if let Some(wanted) = &policy.own_schemes {
        known.retain(|scheme| wanted.contains(scheme));
    }
    known
}

/// `verify = "required"`.
#[derive(Debug)]
struct Trusted {
    inner: Arc<WebPkiServerVerifier>,
    host: Option<ServerName<'static>>,
    schemes: Vec<SignatureScheme>,
    /// Of the certificates of `ca-file`: a server may show one of them.
    trusted: Box<[[u8; 32]]>,
}

fn fingerprint(der: &CertificateDer<'_>) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    sum
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let nobody = unnamed();
        let named = if *server_name == nobody { self.host.as_ref() } else { Some(server_name) };
        let name = named.unwrap_or(&nobody);
        match self.inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            // The name is looked at last: the chain, its dates and its revocation are fine.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if named.is_none() => Ok(ServerCertVerified::assertion()),
            Err(refusal)
                if pinned::is_good(&refusal, end_entity, now, |usage| usage.server_auth)
                    && self.trusted.contains(&fingerprint(end_entity)) =>
            {
                if let Some(name) = named {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// `verify = "none"`. Where nobody asks whose key it is, a signature by it proves nothing, and certificates too old or too
/// odd to be parsed are let pass too.
#[derive(Debug)]
struct Anyone {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests;
