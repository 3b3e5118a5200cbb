//! TLS to servers: who is believed, which name is asked for, what is shown, and which connections serve again.

use evenkeel_testkit::certs::{Ca, Leaf};
use evenkeel_testkit::tls::version;
use evenkeel_testkit::{Act, Ask, Client, Origin, Proto, RawClient, Request, Script, TlsServer, Via};
use evenkeel_tests::watch::{GLOBAL, Watch};

use crate::setup::Site;

/// A listener NAME in the clear whose one server has this table of TLS.
fn listen(name: &str, origin: &Origin, tls: &str, more: &str) -> String {
    format!(
        "[listen.{name}]\nbind = [\"@{name}@\"]\nretries = 0\n{more}\n\
         server = [{{ name = \"s1\", address = \"{}\", tls = {{ {tls} }} }}]\n\n",
        origin.addr()
    )
}

fn get(watch: &Watch, name: &str, host: &str) -> u16 {
    let mut client = RawClient::connect(watch.proxy.addr(name)).unwrap();
    client.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).unwrap().status()
}

fn sni(request: &Request) -> Option<&str> {
    request.session.as_ref().unwrap().sni.as_deref()
}

#[test]
fn who_is_believed() {
    let site = Site::new();
    let (ca, stranger) = (site.ca_file(), Ca::new("stranger").write(site.dir.path(), "stranger.pem"));
    let origin = Origin::start_tls(&TlsServer::new(&site.ca.leaf(&["app.internal"]), &[]), Script::always("ok"));
    let expired = Origin::start_tls(&TlsServer::new(&site.ca.expired(&["app.internal"]), &[]), Script::always("ok"));
    let plain = Origin::start(Script::Raw(vec![
        Act::Send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Act::DrainToEof,
    ]));
    let old = TlsServer::with(&site.ca.leaf(&["app.internal"]), &[], None, &[&version::TLS12]);
    let old = Origin::start_tls(&old, Script::always("ok"));
    let asks = |name: &str| format!("ca-file = {ca:?}, sni = \"str({name})\"");
    let config = [
        listen("good", &origin, &asks("app.internal"), ""),
        listen("stranger", &origin, &format!("ca-file = {stranger:?}, sni = \"str(app.internal)\""), ""),
        listen("system", &origin, "sni = \"str(app.internal)\"", ""),
        listen("wrong_name", &origin, &asks("other.internal"), ""),
        listen("unnamed", &origin, &format!("ca-file = {ca:?}, sni-auto = false"), ""),
        listen(
            "verifyhost",
            &origin,
            &format!("ca-file = {ca:?}, sni-auto = false, verifyhost = \"app.internal\""),
            "",
        ),
        listen("wrong_host", &origin, &format!("ca-file = {ca:?}, sni-auto = false, verifyhost = \"b.internal\""), ""),
        listen("anybody", &expired, "verify = \"none\"", ""),
        listen("expired", &expired, &asks("app.internal"), ""),
        listen("plain", &plain, &asks("app.internal"), ""),
        listen("old", &old, &format!("{}, min-version = \"1.3\"", asks("app.internal")), ""),
    ];
    let watch = Watch::start(&format!("{GLOBAL}\n{}", config.concat()));
    for (name, wanted) in [
        ("good", None),
        ("unnamed", None),
        ("verifyhost", None),
        ("anybody", None),
        ("stranger", Some("server_tls_certificate")),
        ("system", Some("server_tls_certificate")),
        ("wrong_name", Some("server_tls_certificate")),
        ("wrong_host", Some("server_tls_certificate")),
        ("expired", Some("server_tls_certificate")),
        ("plain", Some("server_tls_protocol")),
        ("old", Some("server_tls_alert")),
    ] {
        let mark = watch.mark();
        let status = get(&watch, name, "app.internal");
        assert_eq!(status, if wanted.is_some() { 503 } else { 200 }, "{name}");
        if let Some(reason) = wanted {
            let line = watch.ended(mark, reason);
            assert_eq!((&line["fault"], &line["termination"]), (&"server".into(), &"SC".into()), "{line}");
        }
    }
}

/// A server with a self-signed certificate, named as the authority itself.
#[test]
fn a_self_signed_server() {
    let site = Site::new();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
        .args(["-subj", "/CN=app.internal", "-addext", "subjectAltName=DNS:app.internal", "-keyout"])
        .arg(site.dir.path().join("own.key"))
        .arg("-out")
        .arg(site.dir.path().join("own.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let read = |name: &str| std::fs::read_to_string(site.dir.path().join(name)).unwrap();
    let own = Leaf { cert_pem: read("own.pem"), chain_pem: String::new(), key_pem: read("own.key") };
    let ca = site.dir.path().join("own.pem");
    let origin = Origin::start_tls(&TlsServer::new(&own, &[]), Script::always("ok"));
    let config = [
        listen("good", &origin, &format!("ca-file = {ca:?}"), ""),
        listen("other", &origin, &format!("ca-file = {:?}", site.ca_file()), ""),
    ];
    let watch = Watch::start(&format!("{GLOBAL}\n{}", config.concat()));
    assert_eq!(get(&watch, "good", "app.internal"), 200);
    let mark = watch.mark();
    assert_eq!(get(&watch, "good", "b.internal"), 503, "the name is looked for all the same");
    watch.ended(mark, "server_tls_certificate");
    assert_eq!(get(&watch, "other", "app.internal"), 503);
}

#[test]
fn which_name_is_asked_for() {
    let site = Site::new();
    let tls = TlsServer::new(&site.ca.leaf(&["a.example", "b.example", "app.internal"]), &[]);
    let origin = Origin::start_tls(&tls, Script::always("ok"));
    let ca = site.ca_file();
    let config = [
        listen("auto", &origin, &format!("ca-file = {ca:?}"), ""),
        listen("fixed", &origin, &format!("ca-file = {ca:?}, sni = \"str(app.internal)\""), ""),
        listen("header", &origin, &format!("ca-file = {ca:?}, sni = \"req.hdr(x-name)\""), ""),
        listen("none", &origin, &format!("ca-file = {ca:?}, sni-auto = false"), ""),
        listen("rewritten", &origin, &format!("ca-file = {ca:?}"), "http-request = [\"set-header Host b.example\"]"),
    ];
    let watch = Watch::start(&format!("{GLOBAL}\n{}", config.concat()));
    for (name, host, wanted) in [
        ("auto", "a.example", Some("a.example")),
        ("auto", "B.Example:8443", Some("b.example")),
        ("fixed", "a.example", Some("app.internal")),
        ("header", "a.example\r\nX-Name: b.example", Some("b.example")),
        ("header", "a.example", None),
        ("none", "a.example", None),
        ("rewritten", "a.example", Some("b.example")),
    ] {
        assert_eq!(get(&watch, name, host), 200, "{name} {host}");
        let seen = origin.seen();
        assert_eq!(sni(seen.last().unwrap()).map(str::to_ascii_lowercase).as_deref(), wanted, "{name} {host}");
    }
}

/// A connection was made for a name, and serves only requests for it.
#[test]
fn connections_are_kept_by_name() {
    let site = Site::new();
    let leaf = site.ca.leaf(&["a.example", "b.example"]);
    for (alpn, proto) in [("http/1.1", Proto::H1), ("h2", Proto::H2)] {
        let origin = Origin::start_tls(&TlsServer::new(&leaf, &["h2", "http/1.1"]), Script::always("ok"));
        let tls = format!("ca-file = {:?}, alpn = [{alpn:?}]", site.ca_file());
        let config = listen("web", &origin, &tls, "http-reuse = \"always\"");
        let watch = Watch::start(&format!("{GLOBAL}\n{config}"));
        let mut client = Client::connect(watch.proxy.addr("web"), &Via::clear(Proto::H1)).unwrap();
        for host in ["a.example", "b.example", "a.example", "b.example", "a.example"] {
            assert_eq!(client.ask(&Ask::get("/").host(host)).unwrap().status, 200, "{alpn}");
        }
        let seen = origin.seen();
        let names: Vec<_> = seen.iter().map(|r| (sni(r).unwrap(), r.message.head.get("host").unwrap())).collect();
        assert!(names.iter().all(|(sni, host)| sni == host), "{alpn}: {names:?}");
        assert_eq!(origin.connections(), 2, "{alpn}: {names:?}");
        assert!(seen.iter().all(|r| r.pseudo.is_empty() == (proto == Proto::H1)), "{alpn}");
    }
}

#[test]
fn the_proxy_shows_a_certificate_of_its_own() {
    let site = Site::new();
    let clients = Ca::new("clients");
    let own = site.put(&clients.client("proxy"), "proxy");
    let tls = TlsServer::with(&site.ca.leaf(&["app.internal"]), &[], Some(&clients), &[]);
    let origin = Origin::start_tls(&tls, Script::always("ok"));
    let ca = site.ca_file();
    let config = [
        listen("shown", &origin, &format!("ca-file = {ca:?}, certificate = {own:?}"), ""),
        listen("bare", &origin, &format!("ca-file = {ca:?}"), ""),
    ];
    let watch = Watch::start(&format!("{GLOBAL}\n{}", config.concat()));
    assert_eq!(get(&watch, "shown", "app.internal"), 200);
    assert_eq!(origin.seen()[0].session.as_ref().unwrap().peer.len(), 1);
    // In TLS 1.3 the server says so only after the handshake is over for the client: the request was on its way.
    let mark = watch.mark();
    let status = get(&watch, "bare", "app.internal");
    assert!(matches!(status, 502 | 503), "{status}");
    let line = watch.proxy.process().wait_line(mark, "of the failure", |l| l.contains("\"fault\":\"server\""));
    assert!(line.contains("server_tls_alert") || line.contains("_unanswered"), "{line}");
    assert_eq!(origin.served(), 1);
}

/// New connections resume the session of earlier ones, unless told not to; a reload that changes nothing keeps them.
#[test]
fn sessions_are_resumed() {
    let site = Site::new();
    let origin = Origin::start_tls(&TlsServer::new(&site.ca.leaf(&["app.internal"]), &[]), Script::always("ok"));
    let ca = site.ca_file();
    let config = [
        listen("web", &origin, &format!("ca-file = {ca:?}"), "http-reuse = \"never\""),
        listen("full", &origin, &format!("ca-file = {ca:?}, session-reuse = false"), "http-reuse = \"never\""),
    ];
    let text = format!("{GLOBAL}\n{}", config.concat());
    let mut watch = Watch::start(&text);
    for _ in 0..3 {
        assert_eq!(get(&watch, "web", "app.internal"), 200);
    }
    assert!(watch.proxy.reload(&text).status.success());
    assert_eq!(get(&watch, "web", "app.internal"), 200);
    let resumed: Vec<bool> = origin.seen().iter().map(|r| r.session.as_ref().unwrap().resumed).collect();
    assert_eq!(resumed, [false, true, true, true]);
    origin.begin(Script::always("ok"));
    for _ in 0..3 {
        assert_eq!(get(&watch, "full", "app.internal"), 200);
    }
    assert!(origin.seen().iter().all(|r| !r.session.as_ref().unwrap().resumed));
}

/// ALPN with the server decides what is spoken to it; many requests share a connection of HTTP/2.
#[test]
fn alpn_with_servers() {
    let site = Site::new();
    let leaf = site.ca.leaf(&["test.example"]);
    let ca = site.ca_file();
    for (ours, theirs, wanted) in [
        (&["h2", "http/1.1"][..], &["h2", "http/1.1"][..], Some("h2")),
        (&["h2", "http/1.1"], &["http/1.1"], Some("http/1.1")),
        (&["http/1.1"], &["h2", "http/1.1"], Some("http/1.1")),
        (&["h2"], &["h2"], Some("h2")),
        (&[], &["h2", "http/1.1"], None),
    ] {
        let origin = Origin::start_tls(&TlsServer::new(&leaf, theirs), Script::always("ok"));
        let shows = "http-response = [\"set-header X-Alpn %[ssl_bc_alpn]/%[bc_http_major]/%[ssl_bc_protocol]\"]";
        let config = listen("web", &origin, &format!("ca-file = {ca:?}, alpn = {ours:?}"), shows);
        let watch = Watch::start(&format!("{GLOBAL}\n{config}"));
        let mut client = Client::connect(watch.proxy.addr("web"), &Via::clear(Proto::H2)).unwrap();
        let calls: Vec<_> = (0..10).map(|_| client.begin(&Ask::get("/")).unwrap()).collect();
        let major = if wanted == Some("h2") { 2 } else { 1 };
        for call in calls {
            let response = call.finish().unwrap();
            assert_eq!(response.status, 200, "{ours:?} {theirs:?}");
            let shown = format!("{}/{major}/TLSv1.3", wanted.unwrap_or_default());
            assert_eq!(response.get("x-alpn"), Some(&*shown), "{ours:?} {theirs:?}");
        }
        assert!(origin.seen().iter().all(|r| r.session.as_ref().unwrap().alpn.as_deref() == wanted));
        if major == 2 {
            assert_eq!(origin.connections(), 1);
        }
    }
}
