//! Connectors against servers of rustls, whole handshakes in memory.
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
            .with_single_cert(vec![shown.0.der().clone()], PrivateKeyDer::try_from(shown.1.serialize_der()).unwrap())
            .unwrap();
        let fixture = Fixture { server: Arc::new(server), ca: Ca::new("unused"), folder: tempfile::tempdir().unwrap() };
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
    let renewed =
        |options: &ServerTls| Connector::renewed(Some(&first), options, &Files::SYSTEM, None, &mut Vec::new()).unwrap();
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
