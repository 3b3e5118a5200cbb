//! Ports that speak HTTP and something else: `switch-mode http`, backends of HTTP behind frontends in tcp mode.
#![allow(clippy::unwrap_used)]

use evenkeel_testkit::{Act, Ask, Client, End, Origin, Proto, RawClient, Script, Via};
use evenkeel_tests::watch::{GLOBAL, Watch};

fn origin() -> Origin {
    Origin::start(Script::Http(vec![vec![
        Act::Body,
        Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()),
    ]]))
}

/// A frontend `web` in tcp mode with these keys, a backend of HTTP and one of bytes.
fn start(keys: &str, origin: &Origin) -> Watch {
    let server = format!("server = [{{ name = \"s1\", address = \"{}\" }}]", origin.addr());
    Watch::start(&format!(
        "{GLOBAL}\n[frontend.web]\nmode = \"tcp\"\nbind = [\"@web@\"]\ntcp-request.inspect-delay = \"60s\"\n{keys}\n\
         [backend.app]\n{server}\n[backend.bytes]\nmode = \"tcp\"\n{server}\n"
    ))
}

const SWITCH: &str = "tcp-request.content = [\"set-var(txn.how) path\", \"switch-mode http if { req.proto_http }\"]\n\
    http-request = [\"return status 200 content-type text/plain lf-string '%[fc_http_major] %[path] %[var(txn.how)]'\"]\n\
    default_backend = \"app\"";

fn connect(watch: &Watch) -> RawClient {
    RawClient::connect(watch.proxy.addr("web")).unwrap()
}

#[test]
fn either_version_of_http_goes_on() {
    let origin = origin();
    let watch = start(SWITCH, &origin);
    for (proto, version) in [(Proto::H1, 1), (Proto::H2, 2)] {
        let mut client = Client::connect(watch.proxy.addr("web"), &Via::clear(proto)).unwrap();
        for path in ["/a", "/b"] {
            let answer = client.ask(&Ask::get(path)).unwrap();
            // Each request goes through the rules on content: of HTTP/2 by itself, of HTTP/1 the first before it was one.
            assert_eq!(String::from_utf8_lossy(&answer.body), format!("{version} {path} {path}"));
        }
    }
}

#[test]
fn a_protocol_that_was_asked_for_is_the_only_one() {
    let origin = origin();
    let keys = |proto: &str| {
        format!(
            "tcp-request.content = [\"switch-mode http proto {proto} if {{ req.len gt 0 }}\"]\ndefault_backend = \"app\""
        )
    };
    let watch = start(&keys("h1"), &origin);
    let mark = watch.mark();
    connect(&watch).ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    watch.ended(mark, "request_http2_preface");
    let watch = start(&keys("h2"), &origin);
    let mark = watch.mark();
    let mut client = connect(&watch);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    watch.ended(mark, "h2_broken");
}

/// What a head may take counts from the switch, not from the accept.
#[test]
fn a_head_that_does_not_come_times_out_as_http() {
    let origin = origin();
    let keys = "timeout.http-request = \"200ms\"\ntcp-request.content = [\"switch-mode http if { req.len gt 3 }\"]\n\
        default_backend = \"app\"";
    let watch = start(keys, &origin);
    let mark = watch.mark();
    let mut client = connect(&watch);
    client.send("GET /").unwrap();
    assert_eq!(client.response().unwrap().head.status(), 408);
    watch.ended(mark, "client_slow_head");
}

#[test]
fn a_backend_of_bytes_takes_no_requests() {
    let origin = origin();
    let keys = "tcp-request.content = [\"switch-mode http if { req.proto_http }\"]\ndefault_backend = \"bytes\"";
    let watch = start(keys, &origin);
    let mark = watch.mark();
    assert_eq!(connect(&watch).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().head.status(), 500);
    let line = watch.ended(mark, "backend_is_tcp");
    assert_eq!((&line["termination"], &line["uri"]), (&"RC".into(), &"/".into()), "{line}");
}

#[test]
fn what_is_no_http_is_refused_by_a_backend_of_it() {
    let origin = origin();
    let keys = "tcp-request.content = [\"accept if { req.len gt 3 }\"]\ndefault_backend = \"app\"";
    let watch = start(keys, &origin);
    let mark = watch.mark();
    let mut client = connect(&watch);
    client.send("SSH-2.0-client\r\n\r\n").unwrap();
    let (said, end) = client.rest().unwrap();
    assert!(said.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&said));
    assert!(matches!(end, End::Closed), "{end:?}");
    watch.ended(mark, "request_bad_line");
    assert_eq!(connect(&watch).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().head.status(), 200);
}

/// Entries that rules on content track count the request once.
#[test]
fn what_was_tracked_stays_tracked() {
    let origin = origin();
    let keys = "tcp-request.content = [\"track-sc0 src table counts\", \"sc-inc-gpc0(0)\", \"switch-mode http if { req.proto_http }\"]\n\
        http-request = [\"return status 200 content-type text/plain lf-string '%[sc_http_req_cnt(0)] %[sc_get_gpc0(0)]'\"]\n\
        default_backend = \"app\"\n[backend.counts]\n\
        stick-table = { type = \"ip\", size = 100, store = [\"http_req_cnt\", \"gpc0\"] }";
    let watch = start(keys, &origin);
    let mut client = connect(&watch);
    for n in 1..=2 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.body), format!("{n} {n}"));
    }
}
