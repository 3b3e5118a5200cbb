//! Client certificates: who is let in, who is not, and what rules are told.

use std::io;

use evenkeel_testkit::certs::{Ca, Leaf, LeafOptions};
use evenkeel_testkit::{Proxy, TlsClientOptions};
use evenkeel_tests::watch::Watch;

use crate::setup::{Site, ask, config, telling};

const FACTS: &str = "%[ssl_c_used]/%[ssl_fc_has_crt]/%[ssl_c_verify]/%[ssl_c_err]/%[ssl_c_ca_err]/\
    %[ssl_c_ca_err_depth]/%[ssl_c_s_dn(CN)]/%[ssl_fc_is_resumed]";

/// What a client with this certificate is told, or that it is refused.
fn tell(site: &Site, proxy: &Proxy, listener: &str, identity: Option<&Leaf>) -> io::Result<String> {
    let client = site.client_with("a.example", TlsClientOptions { identity, ..TlsClientOptions::default() });
    ask(proxy.addr(listener), &client).map(|(text, _)| text)
}

#[test]
fn certificates_are_asked_for() {
    let site = Site::new();
    let (people, strangers) = (Ca::new("people"), Ca::new("strangers"));
    let ca_file = people.write(site.dir.path(), "people.pem").display().to_string();
    let cert = site.leaf(&["a.example"]);
    let tls = |verify: &str| format!("certificate = {cert:?}, verify = \"{verify}\", ca-file = {ca_file:?}");
    let watch = Watch::start(&config(&[
        telling("none", &tls("none"), FACTS),
        telling("optional", &tls("optional"), FACTS),
        telling("required", &tls("required"), FACTS),
    ]));
    let (ann, eve) = (people.client("ann"), strangers.client("eve"));
    let old = people.sign(&LeafOptions { client: true, from_days: -9, until_days: -1, ..LeafOptions::new(&["old"]) });
    let server = people.leaf(&["server"]);
    let below = people.intermediate("department").client("bob");
    let nobody = "0/0/0/0/0/0//0";
    for (listener, identity, wanted) in [
        ("none", None, Some(nobody)),
        // Nobody asked for it, so it is not shown.
        ("none", Some(&ann), Some(nobody)),
        ("optional", None, Some(nobody)),
        ("optional", Some(&ann), Some("1/1/0/0/0/0/ann/0")),
        ("optional", Some(&below), Some("1/1/0/0/0/0/bob/0")),
        ("optional", Some(&eve), None),
        ("optional", Some(&old), None),
        ("required", None, None),
        ("required", Some(&ann), Some("1/1/0/0/0/0/ann/0")),
        ("required", Some(&eve), None),
        ("required", Some(&old), None),
        // Made for servers.
        ("required", Some(&server), None),
    ] {
        let mark = watch.mark();
        let got = tell(&site, &watch.proxy, listener, identity);
        match wanted {
            Some(wanted) => assert_eq!(got.unwrap(), wanted, "{listener}"),
            None => {
                assert!(got.is_err(), "{listener}: {got:?}");
                let line = watch.ended(mark, "tls_client_certificate");
                assert_eq!((&line["frontend"], &line["fault"]), (&listener.into(), &"client".into()), "{line}");
            }
        }
    }
}

/// What is let pass is told, in OpenSSL's numbers, of a resumed session too.
#[test]
fn errors_that_are_let_pass_are_told() {
    let site = Site::new();
    let (people, strangers) = (Ca::new("people"), Ca::new("strangers"));
    let ca_file = people.write(site.dir.path(), "people.pem").display().to_string();
    let cert = site.leaf(&["a.example"]);
    let tls = |more: &str| format!("certificate = {cert:?}, verify = \"optional\", ca-file = {ca_file:?}, {more}");
    let watch = Watch::start(&config(&[
        telling("lenient", &tls("ca-ignore-err = \"all\", crt-ignore-err = \"all\""), FACTS),
        telling("dates", &tls("crt-ignore-err = \"X509_V_ERR_CERT_HAS_EXPIRED\""), FACTS),
    ]));
    let ann = people.client("ann");
    let eve = strangers.client("eve");
    let old = people.sign(&LeafOptions { client: true, from_days: -9, until_days: -1, ..LeafOptions::new(&["old"]) });
    let young = people.sign(&LeafOptions { client: true, from_days: 5, until_days: 9, ..LeafOptions::new(&["young"]) });
    for (listener, identity, wanted) in [
        ("lenient", &ann, Some("0/0/0/0/ann")),
        // X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE is the last, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY the first.
        ("lenient", &eve, Some("21/20/0/0/eve")),
        ("lenient", &old, Some("10/10/0/0/old")),
        ("lenient", &young, Some("9/9/0/0/young")),
        ("dates", &ann, Some("0/0/0/0/ann")),
        ("dates", &old, Some("10/10/0/0/old")),
        ("dates", &young, None),
        ("dates", &eve, None),
    ] {
        let options = TlsClientOptions { identity: Some(identity), ..TlsClientOptions::default() };
        let client = site.client_with("a.example", options);
        let mark = watch.mark();
        let Some(wanted) = wanted else {
            assert!(ask(watch.proxy.addr(listener), &client).is_err(), "{listener}");
            watch.ended(mark, "tls_client_certificate");
            continue;
        };
        let (full, _) = ask(watch.proxy.addr(listener), &client).unwrap();
        assert_eq!(full, format!("1/1/{wanted}/0"), "{listener}");
        let (resumed, session) = ask(watch.proxy.addr(listener), &client).unwrap();
        assert!(session.resumed, "{listener} {wanted}");
        assert_eq!(resumed, format!("1/0/{wanted}/1"), "{listener}");
    }
}

#[test]
fn what_is_revoked_is_refused() {
    let site = Site::new();
    let people = Ca::new("people");
    let ca_file = people.write(site.dir.path(), "people.pem").display().to_string();
    let crl = site.file("crl.pem", &people.crl(&[7]));
    let cert = site.leaf(&["a.example"]);
    let tls = |more: &str| {
        format!("certificate = {cert:?}, verify = \"required\", ca-file = {ca_file:?}, crl-file = {crl:?}{more}")
    };
    let text = config(&[telling("web", &tls(""), FACTS), telling("lenient", &tls(", crt-ignore-err = [23]"), FACTS)]);
    let mut watch = Watch::start(&text);
    let numbered = |serial| people.sign(&LeafOptions { client: true, serial, ..LeafOptions::new(&["ann"]) });
    let (good, revoked) = (numbered(6), numbered(7));
    assert_eq!(tell(&site, &watch.proxy, "web", Some(&good)).unwrap(), "1/1/0/0/0/0/ann/0");
    let mark = watch.mark();
    assert!(tell(&site, &watch.proxy, "web", Some(&revoked)).is_err());
    watch.ended(mark, "tls_client_certificate");
    assert_eq!(tell(&site, &watch.proxy, "lenient", Some(&revoked)).unwrap(), "1/1/23/23/0/0/ann/0");
    // A new list is read by a reload, and sessions of before it are not resumed.
    let options = TlsClientOptions { identity: Some(&good), ..TlsClientOptions::default() };
    let client = site.client_with("a.example", options);
    ask(watch.proxy.addr("web"), &client).unwrap();
    assert!(ask(watch.proxy.addr("web"), &client).unwrap().1.resumed);
    site.file("crl.pem", &people.crl(&[6, 7]));
    assert!(watch.proxy.reload(&text).status.success());
    let mark = watch.mark();
    assert!(ask(watch.proxy.addr("web"), &client).is_err());
    watch.ended(mark, "tls_client_certificate");
}

/// A self-signed certificate in `ca-file` lets its holder in, as in OpenSSL.
#[test]
fn a_certificate_that_is_trusted_itself() {
    let site = Site::new();
    let own = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
        .args(["-subj", "/CN=me", "-addext", "subjectAltName=DNS:me", "-keyout"])
        .arg(site.dir.path().join("me.key"))
        .arg("-out")
        .arg(site.dir.path().join("me.pem"))
        .output()
        .unwrap();
    assert!(own.status.success(), "{own:?}");
    let read = |name: &str| std::fs::read_to_string(site.dir.path().join(name)).unwrap();
    let me = Leaf { cert_pem: read("me.pem"), chain_pem: String::new(), key_pem: read("me.key") };
    let cert = site.leaf(&["a.example"]);
    let ca_file = site.dir.path().join("me.pem").display().to_string();
    let tls = format!("certificate = {cert:?}, verify = \"required\", ca-file = {ca_file:?}");
    let watch = Watch::start(&config(&[telling("web", &tls, FACTS)]));
    assert_eq!(tell(&site, &watch.proxy, "web", Some(&me)).unwrap(), "1/1/0/0/0/0/me/0");
}
