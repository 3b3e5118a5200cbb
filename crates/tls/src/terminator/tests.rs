//! Whole handshakes in memory: a client of rustls, the hello read by our parser, a server with what was chosen.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_proto::hello::Hello;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, ProtocolVersion, ServerConnection,
    SignatureScheme,
};

use super::*;
use crate::cert::unix_now;
use crate::ocsp::tests::{GOOD, response};
use crate::options::{CaSource, Policy, Verify, Version};
use crate::problem::Severity;
use crate::testing::{Ca, Leaf, NOW};

/// Trusts everybody: the tests look at what was shown themselves.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &default_provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &default_provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// An RSA-only client.
#[derive(Debug)]
struct OnlyRsa;

impl ServerCertVerifier for OnlyRsa {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Anyone.verify_server_cert(cert, above, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Anyone.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Anyone.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]
    }
}

struct Client(ClientConfig);

impl Client {
    fn new() -> Client {
        Client::speaking(&[&rustls::version::TLS13, &rustls::version::TLS12], Arc::new(Anyone), None)
    }

    fn tls12() -> Client {
        Client::speaking(&[&rustls::version::TLS12], Arc::new(Anyone), None)
    }

    fn speaking(
        versions: &[&'static rustls::SupportedProtocolVersion],
        verifier: Arc<dyn ServerCertVerifier>,
        own: Option<&Leaf>,
    ) -> Client {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Client(match own {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                let key = PrivateKeyDer::from_pem_slice(leaf.key.serialize_pem().as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![leaf.der.clone().into()], key).unwrap()
            }
        })
    }

    fn with_cert(leaf: &Leaf) -> Client {
        Client::speaking(&[&rustls::version::TLS13, &rustls::version::TLS12], Arc::new(Anyone), Some(leaf))
    }

    fn alpn(mut self, names: &[&str]) -> Client {
        self.0.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Asks for no name.
    fn nameless(mut self) -> Client {
        self.0.enable_sni = false;
        self
    }
}

/// What both sides saw.
#[derive(Debug)]
struct Seen {
    cert: Vec<u8>,
    alpn: Option<String>,
    is_resumed: bool,
    version: ProtocolVersion,
    client_cert: Option<Vec<u8>>,
    early: bool,
}

/// A handshake; the error is the server's.
fn shake(terminator: &Terminator, client: &Client, name: &str) -> Result<Seen, String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client.0.clone()), name).unwrap();
    let early = client.early_data().is_some_and(|mut early| std::io::Write::write(&mut early, b"early").is_ok());
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    let Hello::Whole(hello) = Hello::read(&bytes) else { panic!("no hello") };
    let served = terminator.choose(&hello).map_err(|refused| format!("{refused:?}"))?;
    let mut server = ServerConnection::new(Arc::clone(&served.config)).unwrap();
    let mut got_early = false;
    for _ in 0..8 {
        let mut at = &bytes[..];
        while !at.is_empty() {
            server.read_tls(&mut at).unwrap();
            server.process_new_packets().map_err(|error| error.to_string())?;
        }
        got_early |= server.early_data().is_some();
        let mut answer = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut answer).unwrap();
        }
        let mut at = &answer[..];
        while !at.is_empty() {
            client.read_tls(&mut at).unwrap();
            client.process_new_packets().map_err(|error| error.to_string())?;
        }
        bytes.clear();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        if bytes.is_empty() {
            break;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let cert = client.peer_certificates().unwrap()[0].to_vec();
    assert_eq!(cert, served.cert.der());
    Ok(Seen {
        cert,
        alpn: server.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap()),
        is_resumed: server.handshake_kind() == Some(HandshakeKind::Resumed),
        version: server.protocol_version().unwrap(),
        client_cert: server.peer_certificates().map(|chain| chain[0].to_vec()),
        early: early && got_early && client.is_early_data_accepted(),
    })
}

/// A folder with certificates and what is built of them.
struct Site {
    at: tempfile::TempDir,
    shared: Shared,
    ca: Ca,
}

impl Site {
    fn new() -> Site {
        Site { at: tempfile::tempdir().unwrap(), shared: Shared::new(unix_now()).unwrap(), ca: Ca::new("root") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.path().join(name)
    }

    /// Writes `<name>.pem` for these host names.
    fn cert(&self, name: &str, hosts: &[&str]) -> Leaf {
        self.write(name, self.ca.issue(hosts))
    }

    fn write(&self, name: &str, leaf: Leaf) -> Leaf {
        std::fs::write(self.path(name), leaf.combined()).unwrap();
        leaf
    }

    fn bind(&self, certificates: &[&str]) -> BindTls {
        BindTls {
            certificates: certificates.iter().map(|name| CertSource::new(self.path(name))).collect(),
            ..BindTls::default()
        }
    }

    fn build(&self, bind: &BindTls) -> (Option<Terminator>, Vec<Problem>) {
        let mut problems = Vec::new();
        let stores = CrtStores::default();
        (Terminator::new(bind, &stores, &self.shared, &Files::SYSTEM, NOW, &mut problems), problems)
    }

    fn terminator(&self, bind: &BindTls) -> Terminator {
        let (terminator, problems) = self.build(bind);
        assert_eq!(problems, []);
        terminator.unwrap()
    }

    fn list(&self, text: &str) -> BindTls {
        std::fs::write(self.path("list"), text).unwrap();
        BindTls { crt_list: vec![self.path("list")], crt_base: Some(self.at.path().into()), ..BindTls::default() }
    }
}

#[test]
fn the_name_chooses_the_certificate() {
    let site = Site::new();
    let one = site.cert("1.pem", &["one.example"]);
    let two = site.cert("2.pem", &["*.two.example", "two.example"]);
    let mut bind = site.bind(&["1.pem", "2.pem"]);
    let terminator = site.terminator(&bind);
    let shown = |terminator: &Terminator, name| shake(terminator, &Client::new(), name).map(|seen| seen.cert);
    assert_eq!(shown(&terminator, "ONE.example").unwrap(), one.der);
    assert_eq!(shown(&terminator, "x.two.example").unwrap(), two.der);
    assert_eq!(shown(&terminator, "two.example").unwrap(), two.der);
    assert_eq!(shown(&terminator, "y.x.two.example").unwrap(), one.der);
    assert_eq!(shake(&terminator, &Client::new().nameless(), "two.example").unwrap().cert, one.der);
    assert_eq!((terminator.certificates().len(), terminator.names()), (2, 3));
    bind.strict_sni = true;
    let strict = site.terminator(&bind);
    assert_eq!(shown(&strict, "x.two.example").unwrap(), two.der);
    assert_eq!(shown(&strict, "other.example").unwrap_err(), "UnknownName");
    assert_eq!(shake(&strict, &Client::new().nameless(), "two.example").unwrap_err(), "NoName");
}

#[test]
fn default_certificates_are_named_or_the_first() {
    let site = Site::new();
    let (one, two, three) =
        (site.cert("1.pem", &["one.example"]), site.cert("2.pem", &["two.example"]), site.cert("3.pem", &[]));
    let mut bind = site.bind(&["1.pem", "2.pem"]);
    bind.default_certificates = vec![CertSource::new(site.path("3.pem"))];
    let shown = |bind: &BindTls, name| shake(&site.terminator(bind), &Client::new(), name).unwrap().cert;
    assert_eq!(shown(&bind, "none.example"), three.der);
    let list = site.list("1.pem\n2.pem * two.example\n");
    assert_eq!(shown(&list, "none.example"), two.der);
    assert_eq!(shown(&list, "one.example"), one.der);
}

#[test]
fn the_kind_of_key_follows_the_client() {
    let site = Site::new();
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let rsa = site.write("a.pem.rsa", site.ca.issue_for(rsa, &["a.example"], |_| {}));
    let ecdsa = site.write("a.pem.ecdsa", site.ca.issue(&["a.example"]));
    let terminator = site.terminator(&site.bind(&["a.pem"]));
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12][..]] {
        let old = Client::speaking(versions, Arc::new(OnlyRsa), None);
        let new = Client::speaking(versions, Arc::new(Anyone), None);
        for name in ["a.example", "unknown.example"] {
            assert_eq!(shake(&terminator, &old, name).unwrap().cert, rsa.der);
            assert_eq!(shake(&terminator, &new, name).unwrap().cert, ecdsa.der);
        }
    }
}

#[test]
fn protocols_are_agreed_on_or_left_open() {
    let site = Site::new();
    site.cert("1.pem", &["one.example"]);
    let terminator = site.terminator(&site.bind(&["1.pem"]));
    let agreed = |names: &[&str]| shake(&terminator, &Client::new().alpn(names), "one.example").unwrap().alpn;
    assert_eq!(agreed(&["http/1.1", "h2"]).as_deref(), Some("h2"));
    assert_eq!(agreed(&["http/1.1"]).as_deref(), Some("http/1.1"));
    assert_eq!(agreed(&[]), None);
    assert_eq!(agreed(&["http/1.0", "spdy/3"]), None);
}

#[test]
fn versions_and_algorithms_follow_the_policy() {
    let site = Site::new();
    site.cert("1.pem", &["one.example"]);
    let mut bind = site.bind(&["1.pem"]);
    assert_eq!(
        shake(&site.terminator(&bind), &Client::new(), "one.example").unwrap().version,
        ProtocolVersion::TLSv1_3
    );
    bind.policy = Policy { max: Version::Tls12, ..Policy::default() };
    assert_eq!(
        shake(&site.terminator(&bind), &Client::new(), "one.example").unwrap().version,
        ProtocolVersion::TLSv1_2
    );
    bind.policy = Policy { min: Version::Tls13, ..Policy::default() };
    assert!(shake(&site.terminator(&bind), &Client::tls12(), "one.example").is_err());
    bind.policy = Policy { sigalgs: Some("ecdsa_secp384r1_sha384".into()), ..Policy::default() };
    assert!(shake(&site.terminator(&bind), &Client::new(), "one.example").is_err());
    bind.policy = Policy { sigalgs: Some("ecdsa_secp256r1_sha256".into()), ..Policy::default() };
    assert!(shake(&site.terminator(&bind), &Client::new(), "one.example").is_ok());
    bind.policy = Policy { ciphers: Some("nonsense".into()), ..Policy::default() };
    let (none, problems) = site.build(&bind);
    assert!(none.is_none() && problems.len() == 1 && problems[0].key == "ciphers");
}

#[test]
fn lines_of_a_list_have_their_own_settings() {
    let site = Site::new();
    let (one, two) = (site.cert("1.pem", &["one.example"]), site.cert("2.pem", &["two.example"]));
    let ca = Ca::new("clients");
    std::fs::write(site.path("ca"), &ca.pem).unwrap();
    let list = site.list(
        "1.pem [ssl-max-ver TLSv1.2 alpn http/1.1]\n\
         2.pem *.two.example !s.two.example\n\
         1.pem [verify required ca-file CA] secret.example\n",
    );
    let list = BindTls { ca_base: Some(site.at.path().into()), ..list };
    let text = std::fs::read_to_string(site.path("list")).unwrap().replace("CA", "ca");
    std::fs::write(site.path("list"), text).unwrap();
    let terminator = site.terminator(&list);
    let client = || Client::new().alpn(&["h2", "http/1.1"]);
    let seen = shake(&terminator, &client(), "one.example").unwrap();
    assert_eq!((seen.version, seen.alpn.as_deref()), (ProtocolVersion::TLSv1_2, Some("http/1.1")));
    let seen = shake(&terminator, &client(), "x.two.example").unwrap();
    assert_eq!((seen.version, seen.alpn.as_deref(), &seen.cert), (ProtocolVersion::TLSv1_3, Some("h2"), &two.der));
    for unnamed in ["two.example", "s.two.example"] {
        assert_eq!(shake(&terminator, &client(), unnamed).unwrap().cert, one.der);
    }
    assert!(shake(&terminator, &client(), "secret.example").is_err());
    let leaf = ca.issue(&["client"]);
    assert_eq!(shake(&terminator, &Client::with_cert(&leaf), "secret.example").unwrap().client_cert, Some(leaf.der));
    assert_eq!(terminator.certificates().len(), 2);
    assert_eq!(terminator.files(), [site.path("1.pem"), site.path("2.pem"), site.path("list")]);
}

#[test]
fn every_mistake_of_a_list_names_its_line() {
    let site = Site::new();
    site.cert("1.pem", &["one.example"]);
    std::fs::write(site.path("broken.pem"), "nothing").unwrap();
    let list = site.list("none.pem\n1.pem [ciphers nonsense]\n1.pem [verify required]\nbroken.pem\n1.pem [what]\n");
    let (none, problems) = site.build(&list);
    assert!(none.is_none());
    assert!(problems.iter().all(|problem| problem.key == "crt-list" && problem.index == Some(0)), "{problems:#?}");
    let mut lines: Vec<_> =
        problems.iter().map(|problem| (problem.line.unwrap(), problem.file.as_deref().unwrap())).collect();
    lines.sort_unstable();
    let path = site.path("list");
    assert_eq!(lines, [1, 2, 3, 4, 5].map(|line| (line, &*path)));
    let text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    for words in [
        "none.pem: the file does not exist",
        "ciphers: `nonsense`",
        "ca-file: client",
        "no certificate in it",
        "`what`",
    ] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    let missing = BindTls { crt_list: vec![site.path("missing")], ..BindTls::default() };
    assert_eq!(site.build(&missing).1[0].key, "crt-list");
}

#[test]
fn a_bind_without_certificates_is_refused_unless_strict() {
    let site = Site::new();
    assert!(site.build(&BindTls::default()).0.is_none());
    let strict = site.terminator(&BindTls { strict_sni: true, ..BindTls::default() });
    assert_eq!(shake(&strict, &Client::new(), "one.example").unwrap_err(), "UnknownName");
}

#[test]
fn a_certificate_is_replaced_without_touching_the_others() {
    let site = Site::new();
    let one = site.cert("1.pem", &["one.example"]);
    site.cert("2.pem", &["two.example"]);
    let terminator = site.terminator(&site.bind(&["1.pem", "2.pem"]));
    let fresh = site.ca.issue(&["two.example", "three.example"]);
    let mut problems = Vec::new();
    let cert = |path: &Path, problems: &mut Vec<Problem>| {
        Arc::new(Cert::from_pem(path, fresh.combined().as_bytes(), NOW, problems).unwrap())
    };
    assert!(terminator.replace(&cert(&site.path("2.pem"), &mut problems)));
    assert!(!terminator.replace(&cert(Path::new("other.pem"), &mut problems)));
    for name in ["two.example", "three.example"] {
        assert_eq!(shake(&terminator, &Client::new(), name).unwrap().cert, fresh.der);
    }
    assert_eq!(shake(&terminator, &Client::new(), "one.example").unwrap().cert, one.der);
    // A changed file.
    let renewed = site.cert("1.pem", &["one.example"]);
    terminator.adopt(site.terminator(&site.bind(&["1.pem", "2.pem"])));
    assert_eq!(shake(&terminator, &Client::new(), "one.example").unwrap().cert, renewed.der);
}

#[test]
fn sessions_resume_over_reloads_by_ticket_and_by_cache() {
    for tickets in [true, false] {
        let site = Site::new();
        site.cert("1.pem", &["one.example"]);
        let bind = BindTls { tickets, ..site.bind(&["1.pem"]) };
        for (client, is_new) in [(Client::new(), true), (Client::tls12(), false)] {
            assert!(!shake(&site.terminator(&bind), &client, "one.example").unwrap().is_resumed);
            assert!(shake(&site.terminator(&bind), &client, "one.example").unwrap().is_resumed, "tickets: {tickets}");
            // rustls keeps a session of TLS 1.2 in the cache too, for clients that do not use tickets.
            assert!(!tickets || !is_new || site.shared.sessions() == 0);
        }
        let off = BindTls { tickets: false, session_cache: 0, ..bind };
        let (terminator, client) = (site.terminator(&off), Client::new());
        assert!(!shake(&terminator, &client, "one.example").unwrap().is_resumed);
        assert!(!shake(&terminator, &client, "one.example").unwrap().is_resumed);
    }
}

#[test]
fn sessions_resume_only_where_trust_rests_on_the_same() {
    for tickets in [true, false] {
        let site = Site::new();
        site.cert("1.pem", &["one.example"]);
        let ca = Ca::new("clients");
        std::fs::write(site.path("ca"), &ca.pem).unwrap();
        let open = BindTls { tickets, ..site.bind(&["1.pem"]) };
        let mut closed = open.clone();
        closed.client.verify = Verify::Required;
        closed.client.ca_file = Some(CaSource::File(site.path("ca")));
        let elsewhere = BindTls { scope: "other".into(), ..open.clone() };
        let leaf = ca.issue(&["client"]);
        let client = Client::with_cert(&leaf);
        assert!(!shake(&site.terminator(&open), &client, "one.example").unwrap().is_resumed);
        assert!(!shake(&site.terminator(&elsewhere), &client, "one.example").unwrap().is_resumed);
        let seen = shake(&site.terminator(&closed), &client, "one.example").unwrap();
        assert!(!seen.is_resumed);
        assert_eq!(seen.client_cert.as_ref(), Some(&leaf.der));
        let again = shake(&site.terminator(&closed), &client, "one.example").unwrap();
        assert!(again.is_resumed);
        assert_eq!(again.client_cert, Some(leaf.der));
    }
}

#[test]
fn a_session_in_the_cache_does_not_outlive_its_time() {
    let site = Site::new();
    site.cert("1.pem", &["one.example"]);
    let bind = BindTls { tickets: false, session_lifetime: Duration::ZERO, ..site.bind(&["1.pem"]) };
    for client in [Client::new(), Client::tls12()] {
        let terminator = site.terminator(&bind);
        shake(&terminator, &client, "one.example").unwrap();
        assert!(!shake(&terminator, &client, "one.example").unwrap().is_resumed);
    }
}

#[test]
fn client_certificates_are_asked_for() {
    let site = Site::new();
    site.cert("1.pem", &["one.example"]);
    let (ca, stranger) = (Ca::new("clients"), Ca::new("strangers"));
    std::fs::write(site.path("ca"), &ca.pem).unwrap();
    let mut bind = BindTls { tickets: false, session_cache: 0, ..site.bind(&["1.pem"]) };
    bind.client.ca_file = Some(CaSource::File(site.path("ca")));
    bind.client.verify = Verify::Optional;
    bind.client.no_ca_names = true;
    let (known, unknown) = (ca.issue(&["client"]), stranger.issue(&["client"]));
    let optional = site.terminator(&bind);
    assert_eq!(shake(&optional, &Client::new(), "one.example").unwrap().client_cert, None);
    assert_eq!(
        shake(&optional, &Client::with_cert(&known), "one.example").unwrap().client_cert.as_ref(),
        Some(&known.der)
    );
    assert!(shake(&optional, &Client::with_cert(&unknown), "one.example").unwrap_err().contains("UnknownIssuer"));
    crate::verify::take_outcome();
    bind.client.crt_ignore_err = crate::options::IgnoreErrors::parse("20,21").unwrap();
    let lenient = site.terminator(&bind);
    assert_eq!(shake(&lenient, &Client::with_cert(&unknown), "one.example").unwrap().client_cert, Some(unknown.der));
    assert_eq!(crate::verify::take_outcome().crt_error, crate::codes::NO_LOCAL_ISSUER);
    bind.client.verify = Verify::Required;
    assert!(shake(&site.terminator(&bind), &Client::new(), "one.example").is_err());
}

#[test]
fn early_data_is_accepted_once_for_each_session() {
    let site = Site::new();
    site.cert("1.pem", &["one.example"]);
    let mut bind = site.bind(&["1.pem"]);
    let client = || {
        let mut client = Client::new();
        client.0.enable_early_data = true;
        client
    };
    let off = site.terminator(&bind);
    let first = client();
    shake(&off, &first, "one.example").unwrap();
    assert!(!shake(&off, &first, "one.example").unwrap().early);
    bind.early_data = true;
    let on = site.terminator(&bind);
    let second = client();
    assert!(!shake(&on, &second, "one.example").unwrap().early);
    let seen = shake(&on, &second, "one.example").unwrap();
    assert!(seen.is_resumed && seen.early);
}

#[test]
fn a_staple_is_taken_off_when_its_time_is_over() {
    let site = Site::new();
    let leaf = site.cert("1.pem", &["one.example"]);
    std::fs::write(site.path("1.pem.issuer"), &site.ca.pem).unwrap();
    let der = response(&leaf.der, &site.ca.der, &site.ca.key, GOOD, (NOW, Some(NOW + 60)), &[]);
    std::fs::write(site.path("1.pem.ocsp"), &der).unwrap();
    let terminator = site.terminator(&site.bind(&["1.pem"]));
    let stapled = || terminator.certificates()[0].key.ocsp.clone();
    assert_eq!(terminator.tick(NOW + 59), Vec::<PathBuf>::new());
    assert_eq!(stapled(), Some(der));
    assert_eq!(terminator.tick(NOW + 60), [site.path("1.pem")]);
    assert_eq!(stapled(), None);
    assert!(shake(&terminator, &Client::new(), "one.example").is_ok());
}

#[test]
fn what_is_committed_at_run_time_outlives_a_reload_of_the_same_file() {
    let site = Site::new();
    let leaf = site.cert("1.pem", &["one.example"]);
    std::fs::write(site.path("1.pem.issuer"), &site.ca.pem).unwrap();
    let bind = BindTls { ocsp_update: true, ..site.bind(&["1.pem"]) };
    let (first, second) = (site.terminator(&bind), site.terminator(&bind));
    let wanting = first.wanting_ocsp();
    assert_eq!(wanting.len(), 1);
    let der = response(&leaf.der, &site.ca.der, &site.ca.key, GOOD, (NOW, Some(NOW + 60)), &[]);
    let stapled = Arc::new(wanting[0].staple(der.clone(), NOW).unwrap());
    assert_eq!(site.shared.commit(&stapled, [&first, &second]), 2);
    drop((first, second, wanting));
    let again = site.terminator(&bind);
    assert_eq!(again.certificates()[0].key.ocsp, Some(der));
    let renewed = site.cert("1.pem", &["one.example"]);
    let again = site.terminator(&bind);
    assert_eq!(again.certificates()[0].der(), renewed.der);
    assert_eq!(again.certificates()[0].key.ocsp, None);
    assert!(site.terminator(&site.bind(&["1.pem"])).wanting_ocsp().is_empty());
}

#[test]
fn secrets_are_logged_only_when_asked_for() {
    let site = Site::new();
    site.cert("1.pem", &["one.example"]);
    let log = site.path("secrets");
    let bind = site.bind(&["1.pem"]);
    shake(&site.terminator(&bind), &Client::new(), "one.example").unwrap();
    assert!(!log.exists());
    site.shared.log_keys(Some(&log)).unwrap();
    shake(&site.terminator(&bind), &Client::new(), "one.example").unwrap();
    assert!(std::fs::read_to_string(&log).unwrap().contains("SERVER_TRAFFIC_SECRET_0 "));
}

#[test]
fn warnings_do_not_keep_a_bind_from_starting() {
    let site = Site::new();
    let leaf = site.ca.issue_with(&["one.example"], |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1));
    site.write("1.pem", leaf);
    let (terminator, problems) = site.build(&site.bind(&["1.pem"]));
    assert!(terminator.is_some());
    assert_eq!(
        problems.iter().map(|problem| (problem.severity, problem.index)).collect::<Vec<_>>(),
        [(Severity::Warning, Some(0))]
    );
}
