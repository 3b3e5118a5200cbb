//! `use-service prometheus-exporter`: the metrics through a frontend.
#![allow(clippy::unwrap_used)]

use evenkeel_testkit::{Ask, Client, Message, Proto, RawClient, Via};
use evenkeel_tests::watch::{GLOBAL, Watch};

fn start() -> Watch {
    Watch::start(&format!(
        "{GLOBAL}\n[listen.web]\nbind = [\"@web@\"]\nhttp-request = [\"use-service prometheus-exporter if {{ path /metrics }}\"]\n\
         server = [{{ name = \"up\", address = \"127.0.0.1:1\" }}, {{ name = \"off\", address = \"127.0.0.1:1\", disabled = true }}]\n"
    ))
}

fn ask(watch: &Watch, request: &str) -> Message {
    let mut client = RawClient::connect(watch.proxy.addr("web")).unwrap();
    client.ask(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap()
}

/// The names of the series.
fn names(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect()
}

#[test]
fn the_metrics_of_the_admin_listener() {
    let watch = start();
    let mark = watch.mark();
    let answer = ask(&watch, "GET /metrics");
    assert_eq!(answer.head.status(), 200);
    let kind = answer.head.get("content-type").map(str::to_owned);
    assert_eq!(kind.as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    let listener = watch.proxy.admin("/metrics").text();
    assert_eq!(names(&text), names(&listener));
    let line = watch.request(mark, "/metrics");
    assert_eq!(
        (&line["termination"], &line["server"], &line["reason"]),
        (&"LR".into(), &"<PROMEX>".into(), &"answered".into()),
        "{line}"
    );
}

#[test]
fn the_query_chooses() {
    let watch = start();
    let text = |query: &str| ask(&watch, &format!("GET /metrics?{query}")).text();
    let some = text("scope=server&names=haproxy");
    assert!(!some.is_empty() && names(&some).iter().all(|name| name.starts_with("haproxy_server_")), "{some}");
    assert_eq!(text("scope="), "");
    let one = text("metrics=server_status&names=haproxy");
    assert!(names(&one).iter().all(|name| *name == "haproxy_server_status") && one.contains("\"off\""), "{one}");
    let ours = text("metrics=haproxy_server_status&no-maint&names=haproxy");
    assert!(ours.contains("server=\"up\"") && !ours.contains("\"off\""), "{ours}");
    let rest = text("metrics=-haproxy_server_status&names=haproxy&scope=server");
    assert!(!rest.is_empty() && !rest.contains("haproxy_server_status"), "{rest}");
}

#[test]
fn head_and_http2() {
    let watch = start();
    let mut client = Client::connect(watch.proxy.addr("web"), &Via::clear(Proto::H2)).unwrap();
    for _ in 0..2 {
        let answer = client.ask(&Ask::get("/metrics")).unwrap();
        assert!(String::from_utf8_lossy(&answer.body).contains("# TYPE haproxy_frontend_http_requests_total"));
    }
    let mut client = RawClient::connect(watch.proxy.addr("web")).unwrap();
    client.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let head = client.response_head().unwrap();
    assert_ne!(head.head.get("content-length"), Some("0"));
    assert_eq!(
        client.ask("GET /metrics?scope= HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text(),
        "",
        "the connection stays"
    );
}
