//! Leaving: running work ends by itself, new work is refused, and an operator in a hurry is obeyed.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use evenkeel_testkit::{Act, DEADLINE, Gate, Origin, Proxy, RawClient, Script};
use nix::sys::signal::Signal;

struct Scene {
    gate: Gate,
    origin: Origin,
    proxy: Proxy,
    client: RawClient,
}

/// A request is on its way: the origin has it and waits.
fn scene(global: &str) -> Scene {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(Script::with(move |r, _| {
        if r.message.head.target() == "/quick" {
            return vec![Act::Body, Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nquick".to_vec())];
        }
        vec![
            Act::Body,
            Act::Wait(held.clone()),
            Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone".to_vec()),
        ]
    }));
    let proxy = Proxy::start(&format!(
        "[global]\nthreads = 2\nadmin = {{ listen = \"@admin@\" }}\n{global}\n[listen.web]\nbind = [\"@web@\"]\nserver = [\"{}\"]\n",
        origin.addr()
    ));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    origin.wait_seen(|s| s.len() == 1).unwrap();
    Scene { gate, origin, proxy, client }
}

fn drains(signal: Signal) {
    let mut s = scene("");
    let mut idle = RawClient::connect(s.proxy.addr("web")).unwrap();
    assert_eq!(idle.ask("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text(), "quick");
    s.proxy.signal(signal);
    s.proxy.wait_admin("/readyz", "503", |m| m.status() == 503);
    assert_eq!(s.proxy.admin("/healthz").status(), 200);
    // An idle connection is closed, a new one is refused, a running request ends well and says that it is the last.
    assert_eq!(idle.rest().unwrap().0, b"");
    // Each worker closes its own listening socket, so the last one may be a moment behind.
    let end = Instant::now() + DEADLINE;
    while RawClient::connect(s.proxy.addr("web")).is_ok() {
        assert!(Instant::now() < end, "a draining process takes new connections");
        std::thread::yield_now();
    }
    s.gate.open();
    let answer = s.client.response().unwrap();
    assert_eq!((answer.text().as_str(), answer.head.get("connection")), ("done", Some("close")));
    assert_eq!(s.client.rest().unwrap().0, b"");
    assert_eq!(s.proxy.wait_exit(DEADLINE).code(), Some(0));
    assert_eq!(s.origin.served(), 2);
    assert!(!s.proxy.dir().join("pid").exists(), "the pid file stays behind");
}

#[test]
fn sigterm_drains() {
    drains(Signal::SIGTERM);
}

#[test]
fn sigusr1_drains() {
    drains(Signal::SIGUSR1);
}

#[test]
fn sigint_once_drains() {
    drains(Signal::SIGINT);
}

#[test]
fn sigint_twice_leaves_at_once() {
    let mut s = scene("");
    s.proxy.signal(Signal::SIGINT);
    s.proxy.wait_admin("/readyz", "503", |m| m.status() == 503);
    s.proxy.signal(Signal::SIGINT);
    s.proxy.wait_exit(DEADLINE);
    assert!(s.client.response().is_err(), "an answer came although the origin never gave one");
}

#[test]
fn hard_stop_after_ends_the_patience() {
    let mut s = scene("hard-stop-after = \"300ms\"\n");
    s.proxy.signal(Signal::SIGTERM);
    s.proxy.wait_exit(DEADLINE);
    assert!(s.client.response().is_err(), "an answer came although the origin never gave one");
}

#[test]
fn an_idle_process_leaves_at_once() {
    let mut proxy = Proxy::start("[frontend.web]\nbind = [\"@web@\"]\nhttp-request = [\"deny\"]\n");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.wait_exit(DEADLINE).code(), Some(0));
}
