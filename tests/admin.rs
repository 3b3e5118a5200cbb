//! The operator's listener over a running process: every door opens, and the numbers are those of the traffic.
#![allow(clippy::unwrap_used)]

use evenkeel_testkit::{Origin, Proxy, RawClient, Script};
use evenkeel_tests::cell;

fn start(origin: &Origin) -> Proxy {
    Proxy::start(&format!(
        "[frontend.web]\nbind = [\"@web@\"]\nhttp-request = [\"deny if {{ path /deny }}\"]\ndefault_backend = \"app\"\n\n\
         [backend.app]\nbalance = \"roundrobin\"\nserver = [{{ name = \"s1\", address = \"{}\" }}, {{ name = \"spare\", address = \"127.0.0.1:9\", backup = true }}]\n",
        origin.addr()
    ))
}

#[test]
fn every_door_opens() {
    let origin = Origin::start(Script::always("x"));
    let proxy = start(&origin);
    for (path, kind) in [
        ("/", "text/html"),
        ("/stats", "text/html"),
        ("/haproxy?stats", "text/html"),
        ("/stats;csv", "text/plain"),
        ("/haproxy?stats/;csv", "text/plain"),
        ("/stats;json", "application/json"),
        ("/metrics", "text/plain"),
        ("/api/v1/stats", "application/json"),
        ("/healthz", "text/plain"),
        ("/readyz", "text/plain"),
    ] {
        let m = proxy.admin(path);
        assert_eq!(m.status(), 200, "{path}: {}", m.text());
        let got = m.head.get("content-type").unwrap_or_default();
        assert!(got.starts_with(kind), "{path} is {got}");
        assert!(!m.body.is_empty(), "{path} is empty");
    }
    assert_eq!(proxy.admin("/nothing").status(), 404);
    let mut c = RawClient::connect(proxy.addr("admin")).unwrap();
    assert_eq!(c.ask("DELETE /stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap().status(), 405);
    let mut c = RawClient::connect(proxy.addr("admin")).unwrap();
    c.send("HEAD /stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(c.response_head().unwrap().status(), 200);
}

#[test]
fn the_numbers_are_those_of_the_traffic() {
    let origin = Origin::start(Script::always("0123456789"));
    let proxy = start(&origin);
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    for _ in 0..5 {
        assert_eq!(client.ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status(), 200);
    }
    assert_eq!(client.ask("GET /deny HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap().status(), 403);
    client.rest().unwrap();

    let csv =
        proxy.wait_admin("/stats;csv", "six requests", |m| cell(&m.text(), "web", "FRONTEND", "req_tot") == "6").text();
    assert!(csv.starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,"), "{csv}");
    let columns = csv.lines().next().unwrap().split(',').count();
    for line in csv.lines().filter(|l| !l.is_empty()) {
        assert_eq!(line.split(',').count(), columns, "{line}");
    }
    assert_eq!(cell(&csv, "web", "FRONTEND", "stot"), "1");
    assert_eq!(cell(&csv, "web", "FRONTEND", "dreq"), "1");
    assert_eq!(cell(&csv, "web", "FRONTEND", "hrsp_2xx"), "5");
    assert_eq!(cell(&csv, "web", "FRONTEND", "hrsp_4xx"), "1");
    assert_eq!(cell(&csv, "app", "s1", "stot"), "5");
    assert_eq!(cell(&csv, "app", "s1", "lbtot"), "5");
    assert_eq!(cell(&csv, "app", "s1", "status"), "no check");
    assert_eq!(cell(&csv, "app", "s1", "econ"), "0");
    assert_eq!(cell(&csv, "app", "spare", "stot"), "0");
    assert_eq!(cell(&csv, "app", "spare", "bck"), "1");
    assert_eq!(cell(&csv, "app", "BACKEND", "status"), "UP");
    assert_eq!(cell(&csv, "app", "BACKEND", "hrsp_2xx"), "5");
    let bin: u64 = cell(&csv, "web", "FRONTEND", "bin").parse().unwrap();
    let bout: u64 = cell(&csv, "app", "BACKEND", "bout").parse().unwrap();
    assert!(bin > 5 * 30, "bytes in: {bin}");
    assert!(bout >= 5 * 10, "bytes out: {bout}");

    let json: serde_json::Value = serde_json::from_slice(&proxy.admin("/api/v1/stats").body).unwrap();
    assert!(json.is_object(), "{json:#}");
    let metrics = proxy.admin("/metrics").text();
    assert_eq!(
        proxy.metric("haproxy_server_http_responses_total{proxy=\"app\",server=\"s1\",code=\"2xx\"}"),
        Some(5.0),
        "{metrics}"
    );
    assert_eq!(proxy.metric("evenkeel_config_generations"), Some(1.0), "{metrics}");
}
