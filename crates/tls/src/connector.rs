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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::options::CertSource;
    use crate::testing::Ca;
    use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ClientConnection, RootCertStore, ServerConfig, ServerConnection};
    use std::fs;
    use tempfile::TempDir;

    /// A server that shows a certificate, and the files that its client may name.
    struct Fixture {
        ca: Ca,
        server: Arc<ServerConfig>,
        folder: TempDir,
    }

    impl Fixture {
        fn new(names: &[&str]) -> Fixture {
            let ca = Ca::new("test authority");
            let leaf = ca.issue_with(names, |params| params.serial_number = Some(SerialNumber::from(7_u64)));
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(ca.der.clone())).unwrap();
            let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            let mut server = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap())
                .with_single_cert(
                    vec![CertificateDer::from(leaf.der)],
                    PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap(),
                )
                .unwrap();
            server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("ca.pem"), &ca.pem).unwrap();
            Fixture { ca, server: Arc::new(server), folder }
        }

        fn options(&self) -> ServerTls {
            ServerTls { ca_file: CaSource::File(self.folder.path().join("ca.pem")), ..ServerTls::default() }
        }

        fn connector(&self, options: &ServerTls) -> Connector {
            let mut problems = Vec::new();
            let connector = Connector::new(options, &Files::SYSTEM, None, &mut problems);
            connector.unwrap_or_else(|| panic!("{problems:#?}"))
        }

        /// A whole handshake; the client's side of it.
        fn connect(&self, connector: &Connector, sni: Option<&str>) -> Result<ClientConnection, rustls::Error> {
            let name = sni.map_or_else(unnamed, |sni| server_name(sni).unwrap());
            let mut client = ClientConnection::new(Arc::clone(&connector.config), name)?;
            let mut server = ServerConnection::new(Arc::clone(&self.server)).unwrap();
            // Three flights and the tickets.
            for _ in 0..6 {
                let mut wire = Vec::new();
                client.write_tls(&mut wire).unwrap();
                server.read_tls(&mut &*wire).unwrap();
                let failed = server.process_new_packets().err();
                let mut wire = Vec::new();
                server.write_tls(&mut wire).unwrap();
                client.read_tls(&mut &*wire).unwrap();
                client.process_new_packets()?;
                if let Some(error) = failed {
                    return Err(error);
                }
            }
            assert!(!client.is_handshaking() && !server.is_handshaking());
            Ok(client)
        }
    }

    #[test]
    fn the_name_that_is_sent_is_the_name_that_is_checked() {
        let fixture = Fixture::new(&["app.internal"]);
        let named = fixture.connector(&fixture.options());
        let host = ServerTls { verifyhost: Some("app.internal".into()), ..fixture.options() };
        let host = fixture.connector(&host);
        let other = ServerTls { verifyhost: Some("other.internal".into()), ..fixture.options() };
        let other = fixture.connector(&other);
        for (connector, sni, fine) in [
            (&named, Some("app.internal"), true),
            (&named, Some("APP.internal."), true),
            (&named, Some("other.internal"), false),
            (&named, Some("10.0.0.1"), false),
            // Without a name to send none is looked for.
            (&named, None, true),
            (&host, None, true),
            (&other, None, false),
            // What is sent goes before verifyhost.
            (&other, Some("app.internal"), true),
            (&host, Some("other.internal"), false),
        ] {
            let result = fixture.connect(connector, sni);
            assert_eq!(result.is_ok(), fine, "{sni:?}: {:?}", result.err());
        }
    }

    #[test]
    fn strangers_are_refused_unless_nobody_asks() {
        let fixture = Fixture::new(&["app.internal"]);
        let stranger = Ca::new("another authority");
        fs::write(fixture.folder.path().join("ca.pem"), &stranger.pem).unwrap();
        let connector = fixture.connector(&fixture.options());
        let error = fixture.connect(&connector, None).unwrap_err();
        assert_eq!(crate::codes::of_error(&error), crate::codes::NO_LOCAL_ISSUER, "{error}");
        let anyone = fixture.connector(&ServerTls { verify: Verify::None, ..fixture.options() });
        fixture.connect(&anyone, Some("app.internal")).unwrap();
    }

    /// What `openssl req -x509` makes has the flag of an authority; it is trusted for its own name and while it is valid.
    #[test]
    fn a_trusted_certificate_may_be_the_servers_own() {
        let made = |until: i32| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec!["app.internal".to_owned()]).unwrap();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
            (params.self_signed(&key).unwrap(), key)
        };
        let fixture = Fixture::new(&["app.internal"]);
        let (trusted, lapsed, stranger) = (made(2060), made(2021), made(2060));
        fs::write(fixture.folder.path().join("ca.pem"), trusted.0.pem() + &lapsed.0.pem()).unwrap();
        let connector = fixture.connector(&fixture.options());
        let with_host = ServerTls { verifyhost: Some("other.internal".into()), ..fixture.options() };
        let with_host = fixture.connector(&with_host);
        for (connector, shown, sni, fine) in [
            (&connector, &trusted, Some("app.internal"), true),
            (&connector, &trusted, None, true),
            (&connector, &trusted, Some("other.internal"), false),
            (&with_host, &trusted, None, false),
            (&connector, &lapsed, Some("app.internal"), false),
            (&connector, &stranger, Some("app.internal"), false),
        ] {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let server = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![shown.0.der().clone()],
                    PrivateKeyDer::try_from(shown.1.serialize_der()).unwrap(),
                )
                .unwrap();
            let fixture =
                Fixture { server: Arc::new(server), ca: Ca::new("unused"), folder: tempfile::tempdir().unwrap() };
            let result = fixture.connect(connector, sni);
            assert_eq!(result.is_ok(), fine, "{sni:?}: {:?}", result.err());
        }
    }

    #[test]
    fn what_is_revoked_is_refused() {
        let fixture = Fixture::new(&["app.internal"]);
        let list = |serial: u64| {
            let revoked = RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            };
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2024, 1, 1),
                next_update: date_time_ymd(2040, 1, 1),
                crl_number: SerialNumber::from(1_u64),
                issuing_distribution_point: None,
                revoked_certs: vec![revoked],
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&fixture.ca.issuer()).unwrap().pem().unwrap()
        };
        for (serial, fine) in [(7, false), (8, true)] {
            let path = fixture.folder.path().join("crl.pem");
            fs::write(&path, list(serial)).unwrap();
            let connector = fixture.connector(&ServerTls { crl_file: Some(path), ..fixture.options() });
            let result = fixture.connect(&connector, Some("app.internal"));
            assert_eq!(result.is_ok(), fine, "{serial}: {:?}", result.err());
        }
    }

    #[test]
    fn facts_are_those_of_both_sides() {
        let fixture = Fixture::new(&["app.internal"]);
        let own = fixture.ca.issue_with(&["me"], |params| {
            params.distinguished_name.push(rcgen::DnType::CommonName, "me");
        });
        let path = fixture.folder.path().join("own.pem");
        fs::write(&path, own.combined()).unwrap();
        let connector = fixture.connector(&ServerTls {
            certificate: Some(CertSource::new(&path)),
            alpn: vec![Arc::from(&b"h2"[..])],
            ..fixture.options()
        });
        assert!(connector.offers(b"h2") && !connector.offers(b"http/1.1"));
        let client = fixture.connect(&connector, Some("app.internal")).unwrap();
        let facts = connector.facts(&client, Some("app.internal"));
        assert_eq!((facts.protocol, facts.group), ("TLSv1.3", "X25519MLKEM768"));
        assert!(facts.cipher.starts_with("TLS_") && facts.key_bits >= 128, "{facts:?}");
        assert_eq!((facts.alpn.as_deref(), facts.sni.as_deref()), (Some(&b"h2"[..]), Some("app.internal")));
        assert_eq!(&*facts.peer.as_ref().unwrap().san, "DNS:app.internal");
        assert_eq!(facts.own.as_ref().unwrap().subject.last("CN"), Some("me"));
        assert_eq!(&*facts.own.unwrap().file, path.to_str().unwrap());
        assert!(!facts.resumed && facts.sent_certificate);
        // The second session is resumed, and the server's certificate is not parsed again.
        let again = fixture.connect(&connector, Some("app.internal")).unwrap();
        let again = connector.facts(&again, Some("app.internal"));
        assert!(again.resumed && !again.sent_certificate);
        assert!(Arc::ptr_eq(&facts.peer.unwrap(), &again.peer.unwrap()));
        let single = fixture.connector(&ServerTls { session_reuse: false, ..fixture.options() });
        for _ in 0..2 {
            let client = fixture.connect(&single, None).unwrap();
            assert!(!single.facts(&client, None).resumed);
        }
    }

    #[test]
    fn protocols_of_one_connection_take_the_place_of_the_configured() {
        let fixture = Fixture::new(&["app.internal"]);
        let connector = fixture.connector(&ServerTls { alpn: vec![Arc::from(&b"h2"[..])], ..fixture.options() });
        assert!(connector.begin(Some("app.internal"), Some(&[b"http/1.1"])).is_ok());
        assert!(connector.begin(None, None).is_ok());
        let error = connector.begin(Some("not a name"), None).err().unwrap();
        assert!(matches!(error, BeginError::BadName(_)), "{error}");
        assert!(connector.begin(Some("0.0.0.0"), None).is_err());
    }

    #[test]
    fn a_reload_keeps_what_did_not_change() {
        let fixture = Fixture::new(&["app.internal"]);
        let options = fixture.options();
        let first = Arc::new(fixture.connector(&options));
        let renewed = |options: &ServerTls| {
            Connector::renewed(Some(&first), options, &Files::SYSTEM, None, &mut Vec::new()).unwrap()
        };
        assert!(Arc::ptr_eq(&first, &renewed(&options)));
        assert!(!Arc::ptr_eq(&first, &renewed(&ServerTls { session_reuse: false, ..options.clone() })));
        fs::write(fixture.folder.path().join("ca.pem"), Ca::new("another authority").pem).unwrap();
        assert!(!Arc::ptr_eq(&first, &renewed(&options)));
    }

    #[test]
    fn a_twin_has_sessions_of_its_own() {
        let fixture = Fixture::new(&["app.internal"]);
        let one = fixture.connector(&fixture.options());
        let other = one.twin();
        assert!(other.is_like(&one));
        for (connector, resumed) in [(&one, false), (&one, true), (&other, false), (&other, true)] {
            let client = fixture.connect(connector, Some("app.internal")).unwrap();
            assert_eq!(connector.facts(&client, None).resumed, resumed);
        }
    }

    #[test]
    fn every_mistake_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("empty.pem"), "nothing\n").unwrap();
        let options = ServerTls {
            ca_file: CaSource::File(folder.path().join("none.pem")),
            crl_file: Some(folder.path().join("empty.pem")),
            verifyhost: Some("not a name".into()),
            certificate: Some(CertSource::new(folder.path().join("empty.pem"))),
            ..ServerTls::default()
        };
        let mut problems = Vec::new();
        assert!(Connector::new(&options, &Files::SYSTEM, None, &mut problems).is_none());
        for key in ["ca-file", "crl-file", "verifyhost", "certificate"] {
            assert!(problems.iter().any(|problem| problem.key == key), "{key}: {problems:#?}");
        }
    }
}
