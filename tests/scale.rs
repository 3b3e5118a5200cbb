//! Much of everything: ten thousand servers, five hundred idle connections. What is asserted is that it works, not how fast.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::process::{Command, Stdio};

use evenkeel_testkit::{DEADLINE, Origin, Proxy, RawClient, Script, binary};
use evenkeel_tests::cell;
use nix::sys::signal::Signal;

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A hundred backends of a hundred servers, all at one origin, each backend behind a rule; `weight` changes with a reload.
fn ten_thousand(origin: &Origin, weight: u32) -> String {
    let mut out = String::from(
        "[global]\nthreads = 2\nadmin = { listen = \"@admin@\" }\n\n[frontend.web]\nbind = [\"@web@\"]\ntimeout.http-keep-alive = \"1h\"\nuse_backend = [\n",
    );
    for b in 0..100 {
        let _ = writeln!(out, "  \"b{b} if {{ path_beg /b{b}/ }}\",");
    }
    out.push_str("]\n");
    for b in 0..100 {
        let _ = writeln!(out, "\n[backend.b{b}]\nbalance = \"roundrobin\"\nserver = [");
        for s in 0..100 {
            let _ = writeln!(out, "  {{ name = \"s{s}\", address = \"{}\", weight = {weight} }},", origin.addr());
        }
        out.push_str("]\n");
    }
    out
}

#[test]
fn ten_thousand_servers_are_checked_served_and_reloaded() {
    let origin = Origin::start(Script::always("ok"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.toml");
    let text = ten_thousand(&origin, 1).replace("@admin@", "127.0.0.1:1").replace("@web@", "127.0.0.1:2");
    std::fs::write(&path, text).unwrap();
    let out = Command::new(binary()).arg("check").arg(&path).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("10000 server(s)"), "{out:?}");

    let mut proxy = Proxy::start(&ten_thousand(&origin, 1));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    let ask = |client: &mut RawClient, b: usize| {
        let answer = client.ask(format!("GET /b{b}/ HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!(answer.text(), "ok", "backend {b}");
    };
    for b in [0, 1, 50, 99] {
        ask(&mut client, b);
    }
    for weight in [2, 3] {
        let out = proxy.reload(&ten_thousand(&origin, weight));
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        ask(&mut client, 99);
    }
    let csv = proxy.admin("/stats;csv").text();
    assert_eq!(csv.lines().filter(|l| !l.is_empty()).count(), 1 + 1 + 100 + 10_000);
    assert_eq!(cell(&csv, "b99", "s99", "weight"), "3");
    assert_eq!(cell(&csv, "b99", "BACKEND", "stot"), "3", "counters survive reloads");
    assert_eq!(proxy.admin("/stats").status(), 200);
    proxy.wait_metric("evenkeel_config_generations", 1.0);
}

#[test]
fn ten_thousand_servers_in_one_backend() {
    let origin = Origin::start(Script::always("ok"));
    let servers = |n: usize| -> String {
        (0..n).map(|i| format!("  {{ name = \"s{i}\", address = \"{}\" }},\n", origin.addr())).collect()
    };
    let config = |n: usize, balance: &str| {
        format!(
            "[listen.web]\nbind = [\"@web@\"]\ntimeout.http-keep-alive = \"1h\"\nbalance = \"{balance}\"\nserver = [\n{}]\n",
            servers(n)
        )
    };
    let mut proxy = Proxy::start(&config(10_000, "roundrobin"));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    for (n, balance) in
        [(9_999, "leastconn"), (10_000, "source"), (10_000, "random(2)"), (5_000, "first"), (10_000, "static-rr")]
    {
        for _ in 0..3 {
            assert_eq!(client.ask(ASK).unwrap().text(), "ok");
        }
        let out = proxy.reload(&config(n, balance));
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    assert_eq!(client.ask(ASK).unwrap().text(), "ok");
    let csv = proxy.admin("/stats;csv").text();
    assert_eq!(cell(&csv, "web", "BACKEND", "act"), "10000");
    assert_eq!(cell(&csv, "web", "BACKEND", "hrsp_2xx"), "16");
}

#[test]
fn five_hundred_idle_connections_do_not_hold_a_drain() {
    let origin = Origin::start(Script::always("ok"));
    // No patience at all is not set: what keeps the process would keep it past the deadline of the test.
    let config = format!(
        "[global]\nthreads = 2\nmaxconn = 2000\nadmin = {{ listen = \"@admin@\" }}\n\n\
         [listen.web]\nbind = [\"@web@\"]\ntimeout = {{ http-keep-alive = \"1h\", client = \"1h\" }}\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
        origin.addr()
    );
    let mut proxy = Proxy::start(&config);
    let mut clients: Vec<RawClient> = (0..500)
        .map(|n| {
            let mut client = RawClient::connect(proxy.addr("web")).unwrap_or_else(|e| panic!("connection {n}: {e}"));
            assert_eq!(client.ask(ASK).unwrap().text(), "ok", "connection {n}");
            client
        })
        .collect();
    proxy.wait_csv("500 connections", |csv| cell(csv, "web", "FRONTEND", "scur") == "500");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.wait_exit(DEADLINE).code(), Some(0));
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.rest().unwrap(), (Vec::new(), evenkeel_testkit::End::Closed), "connection {n}");
    }
}
