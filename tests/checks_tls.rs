//! Health checks over TLS, HTTP/2 and gRPC, as they show in the CSV and in the log; and TLS to servers in TCP mode.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use evenkeel_testkit::certs::{Ca, LeafOptions};
use evenkeel_testkit::{
    Act, DeadPort, End, Gate, Origin, Proxy, RawClient, Request, Script, TlsClient, TlsClientOptions, TlsServer,
};
use evenkeel_tests::cell;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n \0\0\0";

fn send(bytes: impl AsRef<[u8]>) -> Act {
    Act::Send(bytes.as_ref().to_vec())
}

fn good() -> Script {
    Script::with(|_, _| vec![Act::Body, send(OK)])
}

/// One backend whose servers are cases; each is checked often and decided by one result.
struct Ward {
    servers: Vec<String>,
    /// Name, and what the CSV must say: status, result and code.
    cases: Vec<(String, &'static str, &'static str, &'static str)>,
    /// What the log line about a server that goes down must hold.
    told: Vec<(String, String)>,
}

impl Ward {
    fn new() -> Ward {
        Ward { servers: Vec::new(), cases: Vec::new(), told: Vec::new() }
    }

    /// A server that must pass with this result, such as `L7OK/200`.
    fn well(&mut self, name: &str, origin: &Origin, keys: &str, result: &'static str) {
        self.add(name, origin, keys, "UP", result);
    }

    /// One that must fail with this result, and with these words in the log.
    fn ill(&mut self, name: &str, origin: &Origin, keys: &str, result: &'static str, words: &str) {
        self.add(name, origin, keys, "DOWN", result);
        self.told.push((name.to_owned(), words.to_owned()));
    }

    fn add(&mut self, name: &str, origin: &Origin, keys: &str, status: &'static str, result: &'static str) {
        let (result, code) = result.split_once('/').unwrap_or((result, ""));
        self.servers.push(format!("{{ name = \"{name}\", address = \"{}\", {keys} }}", origin.addr()));
        self.cases.push((name.to_owned(), status, result, code));
    }

    fn config(&self, before: &str) -> String {
        format!(
            "{before}\n[listen.web]\nbind = [\"@web@\"]\ncheck = {{ interval = \"50ms\", timeout = \"20s\", fall = 1, rise = 1 }}\n\
             server = [\n  {},\n]\n",
            self.servers.join(",\n  ")
        )
    }

    /// Starts the proxy and waits until everything is as it must be.
    fn open(self, before: &str) -> Proxy {
        let proxy = Proxy::start(&self.config(before));
        for (name, status, result, code) in &self.cases {
            let what = format!("{name} to be {status} by {result}/{code}");
            proxy.wait_csv(&what, |csv| {
                let at = |column: &str| cell(csv, "web", name, column);
                let found = at("check_status");
                found.trim_start_matches("* ") == *result && at("status") == *status && at("check_code") == *code
            });
        }
        for (name, words) in &self.told {
            let begins = format!("Server web/{name} is DOWN, reason: ");
            let line = proxy.process().wait_line(0, &begins, |line| line.contains(&begins));
            assert!(line.contains(words), "{name}: {line}");
        }
        proxy
    }
}

fn tls(ca: &Path, more: &str) -> String {
    format!("tls = {{ ca-file = \"{}\"{more} }}", ca.display())
}

#[test]
fn a_handshake_is_a_check_and_says_what_is_wrong_with_the_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) = (Ca::new("trusted"), Ca::new("stranger"));
    let trusted = tls(&ca.write(dir.path(), "ca.pem"), "");
    let origin = Origin::start_tls(&TlsServer::new(&ca.leaf(&["app.test"]), &[]), good());
    let stranger = Origin::start_tls(&TlsServer::new(&other.leaf(&["app.test"]), &[]), good());
    let expired = Origin::start_tls(&TlsServer::new(&ca.expired(&["app.test"]), &[]), good());
    let early = LeafOptions { from_days: 3, ..LeafOptions::new(&["app.test"]) };
    let early = Origin::start_tls(&TlsServer::new(&ca.sign(&early), &[]), good());
    let plain = Origin::start(Script::Raw(vec![send("HTTP/1.1 400 Bad Request\r\n\r\n"), Act::DrainToEof]));
    let gate = Gate::new();
    let silent = Origin::start(Script::Raw(vec![Act::Wait(gate.clone())]));
    let mut ward = Ward::new();
    let sni = "check = { sni = \"app.test\" }";
    ward.well("good", &origin, &format!("{trusted}, {sni}"), "L6OK");
    ward.well("unnamed", &origin, &format!("{trusted}, check = true"), "L6OK");
    ward.well(
        "over-http",
        &origin,
        &format!("{trusted}, check = {{ uri = \"/up\", host = \"app.test:8443\" }}"),
        "L7OK/200",
    );
    let unverified = "tls = { verify = \"none\" }";
    ward.well("anyone", &stranger, &format!("{unverified}, {sni}"), "L6OK");
    ward.ill(
        "stranger",
        &stranger,
        &format!("{trusted}, {sni}"),
        "L6RSP",
        "from an authority that ca-file does not have\"",
    );
    ward.ill("expired", &expired, &format!("{trusted}, {sni}"), "L6RSP", "info: \"the server's certificate expired ");
    ward.ill("early", &early, &format!("{trusted}, {sni}"), "L6RSP", "the server's certificate is not valid yet\"");
    let wrong = "check = { sni = \"other.test\" }";
    ward.ill(
        "named",
        &origin,
        &format!("{trusted}, {wrong}"),
        "L6RSP",
        "the server's certificate is not for other.test\"",
    );
    ward.ill(
        "plain",
        &plain,
        &format!("{trusted}, {sni}"),
        "L6RSP",
        "Layer6 invalid response, info: \"the server does not speak TLS\"",
    );
    let short = "check = { sni = \"app.test\", timeout = \"100ms\" }";
    ward.ill("silent", &silent, &format!("{trusted}, {short}"), "L6TOUT", "Layer6 timeout, check duration");
    let proxy = ward.open("");
    let asked = origin.wait_seen(|seen| seen.iter().any(|r| r.message.complete)).unwrap();
    let session = asked.iter().find(|r| r.message.complete).unwrap();
    assert_eq!(session.session.as_ref().unwrap().sni.as_deref(), Some("app.test"));
    assert_eq!(session.message.head.get("host"), Some("app.test:8443"));
    assert!(
        origin.refused().iter().all(|why| why.contains("CertificateUnknown") || why.contains("BadCertificate")),
        "who passes says goodbye: {:?}",
        origin.refused()
    );
    assert_eq!(proxy.metric("haproxy_server_check_status{proxy=\"web\",server=\"good\",state=\"L6OK\"}"), Some(1.0));
    gate.open();
}

#[test]
fn a_server_that_wants_a_certificate_is_shown_the_one_of_traffic() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new("trusted");
    let path = ca.write(dir.path(), "ca.pem");
    let mine = ca.client("checker").write(dir.path(), "mine.pem");
    let wants = TlsServer::with(&ca.leaf(&["app.test"]), &[], Some(&ca), &[]);
    let origin = Origin::start_tls(&wants, good());
    let check = "check = { uri = \"/up\", sni = \"app.test\" }";
    let mut ward = Ward::new();
    let shown = tls(&path, &format!(", certificate = \"{}\"", mine.display()));
    ward.well("shown", &origin, &format!("{shown}, {check}"), "L7OK/200");
    // In TLS 1.3 the refusal comes after the handshake, in place of an answer.
    ward.ill("none", &origin, &format!("{}, {check}", tls(&path, "")), "L6RSP", "alert 116 (CertificateRequired)");
    ward.open("");
    assert!(!origin.seen().last().unwrap().session.as_ref().unwrap().peer.is_empty());
}

#[test]
fn a_check_elsewhere_has_the_tls_it_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new("trusted");
    let path = ca.write(dir.path(), "ca.pem");
    let secure = Origin::start_tls(&TlsServer::new(&ca.leaf(&["app.test"]), &[]), good());
    let plain = Origin::start(good());
    let dead = DeadPort::new();
    let (trusted, at) = (tls(&path, ""), plain.addr().port());
    let mut ward = Ward::new();
    ward.well("port", &secure, &format!("{trusted}, check = {{ port = {at}, uri = \"/up\" }}"), "L7OK/200");
    ward.well(
        "off",
        &plain,
        &format!("{trusted}, backup = true, check = {{ tls = false, uri = \"/up\" }}"),
        "L7OK/200",
    );
    let secured = format!("check = {{ port = {}, tls = true, sni = \"app.test\" }}", secure.addr().port());
    ward.well("only", &plain, &secured, "L6OK");
    let nowhere = format!("{trusted}, check = {{ port = {} }}", dead.addr().port());
    ward.ill("dead", &secure, &nowhere, "L4CON", "Layer4 connection problem");
    let proxy = ward.open(&format!(
        "[global]\nadmin = {{ listen = \"@admin@\" }}\nssl-default-server = {{ ca-file = \"{}\" }}",
        path.display()
    ));
    // Traffic to a server whose check alone has TLS is plain.
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    for _ in 0..3 {
        assert_eq!(client.ask("GET /traffic HTTP/1.1\r\nHost: app.test\r\n\r\n").unwrap().status(), 200);
    }
    let tls_of = |seen: Vec<Request>| seen.iter().map(|r| r.session.is_some()).collect::<Vec<_>>();
    assert!(tls_of(plain.seen()).iter().all(|tls| !tls) && tls_of(secure.seen()).iter().all(|tls| *tls));
}

#[test]
fn a_check_speaks_the_http_of_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new("trusted");
    let path = ca.write(dir.path(), "ca.pem");
    let by_path = Script::with(|request, _| {
        let answer = match request.message.head.target() {
            "/up" => "HTTP/1.1 200 OK\r\nX-Ready: yes\r\nContent-Length: 5\r\n\r\nready",
            "/cut" => return vec![Act::Rst(2)],
            _ => "HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n",
        };
        vec![Act::Body, send(answer)]
    });
    let both = Origin::start_tls(&TlsServer::new(&ca.leaf(&["app.test"]), &["h2", "http/1.1"]), by_path.clone());
    let clear = Origin::start(by_path);
    let old = Origin::start(Script::Raw(vec![send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")]));
    let alpn = tls(&path, ", alpn = [\"h2\", \"http/1.1\"]");
    let up = "uri = \"/up\", expect = [\"status 200\", \"string ready\", \"hdr name x-ready value yes\"]";
    let mut ward = Ward::new();
    ward.well("agreed", &both, &format!("{alpn}, check = {{ {up}, host = \"app.test\" }}"), "L7OK/200");
    ward.well(
        "own",
        &both,
        &format!("{}, check = {{ {up}, alpn = [\"h2\"], sni = \"app.test\" }}", tls(&path, "")),
        "L7OK/200",
    );
    ward.well("first", &both, &format!("{alpn}, check = {{ {up}, proto = \"h1\", sni = \"app.test\" }}"), "L7OK/200");
    ward.well(
        "posted",
        &clear,
        &format!("proto = \"h2\", check = {{ {up}, method = \"POST\", body = \"ping\", headers = {{ X-A = \"1\" }} }}"),
        "L7OK/200",
    );
    ward.well("forced", &clear, &format!("proto = \"h2\", check = {{ {up}, proto = \"h1\" }}"), "L7OK/200");
    let sick = "proto = \"h2\", check = { uri = \"/sick\" }";
    ward.ill("sick", &clear, sick, "L7STS/503", "Layer7 wrong status, code: 503, info: \"Service Unavailable\"");
    ward.ill(
        "absent",
        &clear,
        "proto = \"h2\", check = { uri = \"/up\", expect = \"string absent\" }",
        "L7RSP",
        "did not match",
    );
    ward.ill("cut", &clear, "proto = \"h2\", check = { uri = \"/cut\" }", "L7RSP", "HTTP/2: stream error received");
    ward.ill("old", &old, "proto = \"h2\", check = { uri = \"/up\" }", "L7RSP", "info: \"HTTP/2: ");
    ward.open("");
    let pseudo = |request: &Request, name: &str| request.pseudo.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let seen = both.seen();
    let versions = |h2: bool| seen.iter().filter(|r| r.pseudo.is_empty() != h2).count();
    assert!(versions(true) > 0 && versions(false) > 0);
    for request in seen.iter().filter(|r| !r.pseudo.is_empty()) {
        assert_eq!(pseudo(request, ":authority").as_deref(), Some("app.test"));
        assert_eq!(pseudo(request, ":scheme").as_deref(), Some("https"));
    }
    let posted = clear.seen().into_iter().find(|r| pseudo(r, ":method").as_deref() == Some("POST")).unwrap();
    assert_eq!(pseudo(&posted, ":authority"), Some(clear.addr().to_string()));
    assert_eq!((pseudo(&posted, ":scheme").as_deref(), posted.message.text().as_str()), (Some("http"), "ping"));
    assert_eq!((posted.message.head.get("x-a"), posted.message.head.get("content-length")), (Some("1"), Some("4")));
    assert_eq!((both.faults(), clear.faults()), (Vec::<String>::new(), Vec::<String>::new()));
}

/// An answer of a gRPC server: a message, if any, and how the call ended.
fn called(message: &[u8], end: &str) -> Vec<u8> {
    let framed = [&[0, 0, 0, 0, message.len() as u8], message].concat();
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    [head, format!("{:x}\r\n", framed.len()).into(), framed, format!("\r\n0\r\n{end}\r\n").into()].concat()
}

#[test]
fn grpc_servers_are_asked_for_their_health() {
    let script = Script::with(|request, _| {
        let fine = "grpc-status: 0\r\n";
        let refused = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 12\r\ngrpc-message: no such method\r\nContent-Length: 0\r\n\r\n";
        let answer = match request.message.head.get("host").unwrap_or_default() {
            "orders" | "app.test" => called(b"\x08\x01", fine),
            "stock" => called(b"\x08\x02", fine),
            "broken" => called(b"\x08", fine),
            "gone" => called(b"", "grpc-status: 5\r\n"),
            "mute" => called(b"\x08\x01", ""),
            "web" => b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "missing" => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => refused.into(),
        };
        vec![Act::Body, send(answer)]
    });
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new("trusted");
    let trusted = tls(&ca.write(dir.path(), "ca.pem"), "");
    let clear = Origin::start(script.clone());
    let secure = Origin::start_tls(&TlsServer::new(&ca.leaf(&["app.test"]), &["h2"]), script);
    let mut ward = Ward::new();
    let of = |host: &str| format!("check = {{ service = \"shop.{host}\", host = \"{host}\" }}");
    let whole = "check = { type = \"grpc\", host = \"app.test\" }";
    ward.well("all", &clear, whole, "L7OK");
    ward.well("orders", &clear, &of("orders"), "L7OK");
    ward.well("secure", &secure, &format!("{trusted}, check = {{ type = \"grpc\", host = \"app.test\" }}"), "L7OK");
    ward.ill("stock", &clear, &of("stock"), "L7STS", "info: \"NOT_SERVING\"");
    ward.ill("gone", &clear, &of("gone"), "L7STS", "grpc-status 5 (NOT_FOUND)\"");
    ward.ill("other", &clear, &of("other"), "L7STS", "grpc-status 12 (UNIMPLEMENTED): no such method\"");
    ward.ill("missing", &clear, &of("missing"), "L7STS/404", "code: 404, info: \"Not Found\"");
    ward.ill("web", &clear, &of("web"), "L7RSP", "the answer is not gRPC");
    ward.ill("mute", &clear, &of("mute"), "L7RSP", "no grpc-status");
    ward.ill("broken", &clear, &of("broken"), "L7RSP", "no HealthCheckResponse");
    ward.open("");
    let bodies: Vec<_> = clear.seen().into_iter().map(|r| r.message.body).collect();
    assert!(bodies.contains(&b"\0\0\0\0\0".to_vec()) && bodies.contains(&b"\0\0\0\0\x0d\x0a\x0bshop.orders".to_vec()));
    let call = secure.seen().pop().unwrap();
    assert_eq!(call.message.head.target(), "/grpc.health.v1.Health/Check");
    assert_eq!(
        (call.message.head.get("content-type"), call.message.head.get("te")),
        (Some("application/grpc"), Some("trailers"))
    );
    assert_eq!((secure.faults(), clear.faults()), (Vec::<String>::new(), Vec::<String>::new()));
}

#[test]
fn a_proxy_header_comes_before_the_handshake_of_a_check() {
    let dir = tempfile::tempdir().unwrap();
    let trusted = tls(&Ca::new("trusted").write(dir.path(), "ca.pem"), "");
    let origin = Origin::start(Script::Raw(vec![Act::Await(b"app.test".to_vec())]));
    let mut ward = Ward::new();
    let keys = format!("{trusted}, send-proxy = \"v2\", check = {{ sni = \"app.test\" }}");
    ward.ill("cut", &origin, &keys, "L6RSP", "the server closed during the TLS handshake");
    ward.open("");
    let first = origin.seen().remove(0).raw;
    assert!(first.starts_with(&[LOCAL, b"\x16\x03"].concat()), "{}", first.escape_ascii());
}

#[test]
fn a_reload_that_trusts_the_right_authority_brings_a_server_up() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) = (Ca::new("trusted"), Ca::new("stranger"));
    let (right, wrong) = (ca.write(dir.path(), "right.pem"), other.write(dir.path(), "wrong.pem"));
    let origin = Origin::start_tls(&TlsServer::new(&ca.leaf(&["app.test"]), &[]), good());
    let config = |ca: &Path| {
        let mut ward = Ward::new();
        ward.ill("a", &origin, &format!("{}, check = {{ sni = \"app.test\" }}", tls(ca, "")), "L6RSP", "authority");
        ward
    };
    let after = config(&right).config("");
    let mut proxy = config(&wrong).open("");
    let mark = proxy.process().mark();
    assert!(proxy.reload(&after).status.success());
    let line = proxy.process().wait_line(mark, "web/a up", |line| line.contains("Server web/a is UP"));
    assert!(line.contains("reason: Layer6 check passed, check duration"), "{line}");
    // The file, not the path: the same configuration with another content.
    std::fs::copy(&wrong, &right).unwrap();
    let mark = proxy.process().mark();
    assert!(proxy.reload(&after).status.success());
    proxy.process().wait_line(mark, "web/a down", |line| line.contains("Server web/a is DOWN, reason: Layer6"));
}

#[test]
fn in_tcp_mode_a_server_is_asked_for_the_name_that_the_client_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (inner, outer) = (Ca::new("inner"), Ca::new("outer"));
    let trusted = inner.write(dir.path(), "inner.pem");
    let site = outer.leaf(&["a.test", "b.test", "c.test", "fixed.test"]).write(dir.path(), "site.pem");
    let names = TlsServer::new(&inner.leaf(&["a.test", "b.test", "fixed.test"]), &[]);
    let origins: Vec<Origin> = (0..3).map(|_| Origin::start_tls(&names, Script::Raw(vec![Act::Echo]))).collect();
    let server = |name: &str, at: usize, sni: &str| {
        let tls = tls(&trusted, &format!(", sni = \"{sni}\""));
        format!("{{ name = \"{name}\", address = \"{}\", {tls} }}", origins[at].addr())
    };
    let proxy = Proxy::start(&format!(
        "[global]\nadmin = {{ listen = \"@admin@\" }}\nlog = [{{ target = \"stdout\", format = \"json\" }}]\n\
         [defaults]\nmode = \"tcp\"\nretries = 0\n\
         [listen.passed]\nbind = [{{ address = \"@passed@\", tls = \"{site}\" }}]\nserver = [{}, {}]\n\
         use-server = [\"fixed if {{ ssl_fc_sni fixed.test }}\", \"own unless {{ ssl_fc_sni fixed.test }}\"]\n\
         [listen.heard]\nbind = [\"@heard@\"]\nserver = [{}]\n\
         tcp-request.inspect-delay = \"20s\"\ntcp-request.content = [\"accept if {{ req.len ge 6 }}\"]\n",
        server("own", 0, "ssl_fc_sni"),
        server("fixed", 1, "str(fixed.test)"),
        server("heard", 2, "req.payload(0,6)"),
        site = site.display(),
    ));
    let sni_of = |origin: &Origin| {
        let seen = origin.wait_seen(|seen| seen.last().is_some_and(|r| r.eof)).map_err(|seen| seen.len()).unwrap();
        (seen.len(), seen.last().unwrap().session.as_ref().unwrap().sni.clone())
    };
    let echoed = |name: &str, at: usize, count: usize| {
        let client = TlsClient::with(name, &TlsClientOptions { ca: Some(&outer), ..TlsClientOptions::default() });
        let (mut client, _) = RawClient::connect_tls(proxy.addr("passed"), &client).unwrap();
        client.send("hello there").unwrap();
        assert_eq!(client.exactly(11).unwrap(), b"hello there");
        client.half_close();
        assert_eq!(client.rest().unwrap(), (Vec::new(), End::Closed));
        assert_eq!(sni_of(&origins[at]), (count, Some(name.to_owned())));
    };
    echoed("a.test", 0, 1);
    echoed("b.test", 0, 2);
    echoed("fixed.test", 1, 1);
    // What rules waited for is there for the name too, and is sent on.
    let mut client = RawClient::connect(proxy.addr("heard")).unwrap();
    client.send("b.test says hello").unwrap();
    assert_eq!(client.exactly(17).unwrap(), b"b.test says hello");
    client.half_close();
    client.rest().unwrap();
    assert_eq!(sni_of(&origins[2]), (1, Some("b.test".to_owned())));
    // The name is verified: a server that is not the one asked for gets nothing.
    let mark = proxy.process().mark();
    let (mut client, _) = RawClient::connect_tls(proxy.addr("passed"), &TlsClient::new("c.test", &[])).unwrap();
    client.send("secret").unwrap();
    client.rest().unwrap();
    proxy.process().wait_line(mark, "a refusal of the certificate", |line| line.contains("server_tls_certificate"));
    assert_eq!(origins[0].seen().len(), 2);
}
