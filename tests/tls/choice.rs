//! Which certificate a client is shown, and what version and protocol are agreed on.

use evenkeel_testkit::certs::{Key, LeafOptions};
use evenkeel_testkit::{Ask, Client, Proto, RawClient, TlsClient, TlsClientOptions, Via};
use evenkeel_tests::watch::Watch;

use crate::setup::{Site, ask, config, listening, openssl, shown, subject, telling};

/// The common name of the certificate that was shown.
const SHOWN: &str = "%[ssl_f_s_dn(CN)]";

#[test]
fn the_name_decides() {
    let site = Site::new();
    let certificates = [
        site.leaf(&["default.example"]),
        site.leaf(&["www.example"]),
        site.leaf(&["*.wild.example"]),
        site.leaf(&["exact.wild.example"]),
    ];
    let tls = format!("certificate = {certificates:?}");
    let watch = Watch::start(&config(&[
        telling("web", &tls, SHOWN),
        telling("strict", &format!("{tls}, strict-sni = true"), SHOWN),
        telling("other", &format!("{tls}, default-certificate = {:?}", site.leaf(&["fallback.example"])), SHOWN),
    ]));
    // The authority is not asked here: a default certificate is for no name that was asked.
    let anybody = |name: &str| TlsClient::new(name, &[]);
    for (name, wanted) in [
        ("default.example", Some("default.example")),
        ("www.example", Some("www.example")),
        ("WWW.Example", Some("www.example")),
        ("exact.wild.example", Some("exact.wild.example")),
        ("any.wild.example", Some("*.wild.example")),
        // A star is one label, and one there must be.
        ("a.b.wild.example", None),
        ("wild.example", None),
        ("unknown.example", None),
    ] {
        let shown = subject(&watch.proxy, "web", &anybody(name));
        assert_eq!(shown, wanted.unwrap_or("default.example"), "{name}");
        let shown = subject(&watch.proxy, "other", &anybody(name));
        assert_eq!(shown, wanted.unwrap_or("fallback.example"), "{name}");
        let mark = watch.mark();
        match (wanted, ask(watch.proxy.addr("strict"), &anybody(name))) {
            (Some(wanted), Ok((shown, _))) => assert_eq!(shown, wanted, "{name}"),
            (None, Err(e)) => {
                assert!(e.to_string().contains("UnrecognisedName"), "{name}: {e}");
                watch.ended(mark, "tls_unknown_name");
            }
            (_, got) => panic!("{name}: {got:?}"),
        }
    }
    let unnamed = TlsClient::with("www.example", &TlsClientOptions { no_sni: true, ..TlsClientOptions::default() });
    assert_eq!(subject(&watch.proxy, "web", &unnamed), "default.example");
    assert_eq!(subject(&watch.proxy, "other", &unnamed), "fallback.example");
    let mark = watch.mark();
    assert!(ask(watch.proxy.addr("strict"), &unnamed).is_err());
    watch.ended(mark, "tls_unknown_name");
}

/// One name, two keys: each client gets what it can verify, and ECDSA where it can verify both.
#[test]
fn rsa_and_ecdsa_of_one_name() {
    let site = Site::new();
    let rsa = site.put(&site.ca.sign(&LeafOptions { key: Key::Rsa2048, ..LeafOptions::new(&["a.example"]) }), "rsa");
    let ecdsa = site.put(&site.ca.leaf(&["a.example"]), "ecdsa");
    let shows = "KEY=%[ssl_f_key_alg] CIPHER=%[ssl_fc_cipher]";
    let watch = Watch::start(&config(&[telling("web", &format!("certificate = [{rsa:?}, {ecdsa:?}]"), shows)]));
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (args, wanted) in [
        (&["-tls1_3"][..], "KEY=id-ecPublicKey"),
        (&["-tls1_2"], "KEY=id-ecPublicKey"),
        (&["-tls1_3", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"], "KEY=rsaEncryption"),
        (&["-tls1_2", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"], "KEY=rsaEncryption"),
        (
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
            "KEY=rsaEncryption CIPHER=ECDHE-RSA-AES128-GCM-SHA256",
        ),
    ] {
        let args = [&["-quiet", "-servername", "a.example"], args].concat();
        let said = openssl(watch.proxy.addr("web"), &args, request);
        assert!(said.contains(wanted), "{args:?}: {said}");
    }
}

#[test]
fn versions_have_limits() {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    let tls = |more: &str| format!("certificate = {cert:?}{more}");
    let watch = Watch::start(&config(&[
        telling("any", &tls(""), "%[ssl_fc_protocol]"),
        telling("new", &tls(", min-version = \"1.3\""), "%[ssl_fc_protocol]"),
        telling("old", &tls(", max-version = \"1.2\""), "%[ssl_fc_protocol]"),
    ]));
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (listener, version, wanted) in [
        ("any", "-tls1_3", Some("TLSv1.3")),
        ("any", "-tls1_2", Some("TLSv1.2")),
        ("any", "-tls1_1", None),
        ("any", "-tls1", None),
        ("new", "-tls1_3", Some("TLSv1.3")),
        ("new", "-tls1_2", None),
        ("old", "-tls1_3", None),
        ("old", "-tls1_2", Some("TLSv1.2")),
    ] {
        let mark = watch.mark();
        // Old versions are off in OpenSSL too.
        let args = ["-quiet", "-servername", "a.example", version, "-cipher", "ALL:@SECLEVEL=0"];
        let said = openssl(watch.proxy.addr(listener), &args, request);
        match wanted {
            Some(wanted) => assert!(said.contains(wanted), "{listener} {version}: {said}"),
            None => {
                assert!(!said.contains("HTTP/1.1"), "{listener} {version}: {said}");
                let line = watch.ended(mark, "tls_nothing_shared");
                assert_eq!(line["frontend"], listener, "{line}");
            }
        }
    }
    // What is agreed on is the best of both, without a fallback.
    let (text, _) = ask(watch.proxy.addr("any"), &site.client("a.example")).unwrap();
    assert_eq!(text, "TLSv1.3");
}

#[test]
fn ciphers_and_groups_have_limits() {
    let site = Site::new();
    let cert = site.put(&site.ca.leaf_rsa(&["a.example"]), "rsa");
    let tls = format!(
        "certificate = {cert:?}, ciphers = \"ECDHE-RSA-AES256-GCM-SHA384\", \
         ciphersuites = \"TLS_CHACHA20_POLY1305_SHA256\", curves = \"P-384\""
    );
    let watch = Watch::start(&config(&[telling("web", &tls, "CIPHER=%[ssl_fc_cipher] GROUP=%[ssl_fc_curve]")]));
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (args, wanted) in [
        (&["-tls1_3"][..], Some("CIPHER=TLS_CHACHA20_POLY1305_SHA256 GROUP=secp384r1")),
        (&["-tls1_2"], Some("CIPHER=ECDHE-RSA-AES256-GCM-SHA384 GROUP=secp384r1")),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], None),
        (&["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], None),
        (&["-curves", "X25519"], None),
    ] {
        let mark = watch.mark();
        let args = [&["-quiet", "-servername", "a.example"], args].concat();
        let said = openssl(watch.proxy.addr("web"), &args, request);
        match wanted {
            Some(wanted) => assert!(said.contains(wanted), "{args:?}: {said}"),
            None => drop(watch.ended(mark, "tls_nothing_shared")),
        }
    }
}

#[test]
fn alpn_decides_the_protocol() {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    let tls = |more: &str| format!("certificate = {cert:?}{more}");
    let shows = "%[ssl_fc_alpn] %[req.ver]";
    let watch = Watch::start(&config(&[
        telling("both", &tls(""), shows),
        telling("old", &tls(", alpn = [\"http/1.1\"]"), shows),
        telling("none", &tls(", alpn = []"), shows),
        listening(
            "forced",
            &format!("proto = \"h2\", tls = {{ certificate = {cert:?} }}"),
            &format!("http-request = ['{}']", shown(shows)),
        ),
    ]));
    // What is offered, what comes of it; HTTP/2 is asked for by what was agreed on.
    for (listener, offer, wanted) in [
        ("both", &["h2", "http/1.1"][..], "h2 2.0"),
        ("both", &["http/1.1", "h2"], "h2 2.0"),
        ("both", &["http/1.1"], "http/1.1 1.1"),
        ("both", &["h2"], "h2 2.0"),
        ("both", &[], " 1.1"),
        // Nothing in common is no error: as OpenSSL, the proxy goes on without.
        ("both", &["spdy/3"], " 1.1"),
        ("old", &["h2", "http/1.1"], "http/1.1 1.1"),
        ("old", &["h2"], " 1.1"),
        ("none", &["h2", "http/1.1"], " 1.1"),
        ("forced", &["h2"], "h2 2.0"),
    ] {
        let client = site.client_with("a.example", TlsClientOptions { alpn: offer, ..TlsClientOptions::default() });
        let connected = RawClient::connect_tls(watch.proxy.addr(listener), &client);
        let (_, session) = connected.unwrap_or_else(|e| panic!("{listener} {offer:?}: {e}"));
        let proto = if session.alpn.as_deref() == Some("h2") { Proto::H2 } else { Proto::H1 };
        let mut client = Client::connect(watch.proxy.addr(listener), &Via { proto, tls: Some(client) }).unwrap();
        assert_eq!(client.ask(&Ask::get("/")).unwrap().text(), wanted, "{listener} {offer:?}");
    }
    // On TLS it is ALPN that says what is spoken: HTTP/2 that was not agreed on is refused.
    let (mut raw, _) = RawClient::connect_tls(watch.proxy.addr("both"), &site.client("a.example")).unwrap();
    raw.send(evenkeel_testkit::frames::PREFACE).unwrap();
    assert_eq!(raw.response().unwrap().status(), 405);
}

/// What `evenkeel check` says of files that cannot serve: where they are named, which they are, what is wrong.
#[test]
fn bad_files_are_errors_with_a_place() {
    let site = Site::new();
    let good = site.ca.leaf(&["a.example"]);
    let other = site.ca.leaf(&["b.example"]);
    let mismatched = site.put(&good.with_key_of(&other), "mismatched");
    let keyless = site.file("keyless.pem", &good.cert_pem);
    let encrypted = site.file("encrypted.pem", &format!("{}{}", good.cert_pem, evenkeel_testkit::certs::ENCRYPTED_KEY));
    let garbage = site.file("garbage.pem", "this is no certificate\n");
    let cut = site.file("cut.pem", &good.combined()[..200]);
    let ca = site.ca_file();
    let fine = site.put(&good, "fine");
    let bind = |tls: &str| {
        format!(
            "[listen.web]\nbind = [{{ address = \"127.0.0.1:8443\", tls = {{ {tls} }} }}]\nserver = [\"127.0.0.1:1\"]\n"
        )
    };
    let server = |tls: &str| {
        format!(
            "[listen.web]\nbind = [\"127.0.0.1:8443\"]\n\
             server = [{{ name = \"s\", address = \"127.0.0.1:1\", tls = {{ {tls} }} }}]\n"
        )
    };
    for (text, words) in [
        (bind(&format!("certificate = {mismatched:?}")), &["mismatched.pem", "key"][..]),
        (bind(&format!("certificate = {keyless:?}")), &["keyless.pem", "key"]),
        (bind(&format!("certificate = {encrypted:?}")), &["encrypted.pem", "password"]),
        (bind(&format!("certificate = {garbage:?}")), &["garbage.pem"]),
        (bind(&format!("certificate = {cut:?}")), &["cut.pem"]),
        (bind("certificate = \"/nonexistent/site.pem\""), &["/nonexistent/site.pem"]),
        (bind(&format!("certificate = {fine:?}, verify = \"required\"")), &["ca-file"]),
        (bind(&format!("certificate = {fine:?}, verify = \"required\", ca-file = {garbage:?}")), &["garbage.pem"]),
        (
            bind(&format!("certificate = {fine:?}, verify = \"required\", ca-file = {ca:?}, crl-file = {fine:?}")),
            &["fine.pem", "revocation"],
        ),
        (bind(&format!("certificate = {fine:?}, ciphers = \"RC4-MD5\"")), &["RC4-MD5"]),
        (bind(&format!("certificate = {fine:?}, min-version = \"1.3\", max-version = \"1.2\"")), &["version"]),
        (server(&format!("ca-file = {garbage:?}")), &["garbage.pem"]),
        (server(&format!("ca-file = {ca:?}, certificate = {mismatched:?}")), &["mismatched.pem", "key"]),
        (server(&format!("ca-file = {ca:?}, sni = \"nothing(\"")), &["sni"]),
    ] {
        let out = crate::setup::check(site.dir.path(), &text);
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(!out.status.success(), "{text}\n{said}");
        assert!(said.contains("checked.toml:") && said.contains("error"), "{said}");
        for word in words {
            assert!(said.contains(word), "{word} is not said of\n{text}\n{said}");
        }
    }
    // One that has ended is shown all the same: better an error at the client than no site at all. But it is said.
    let expired = site.put(&site.ca.expired(&["a.example"]), "expired");
    let out = crate::setup::check(site.dir.path(), &bind(&format!("certificate = {expired:?}")));
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}");
    assert!(said.contains("expired.pem") && said.contains("warning"), "{said}");
}
