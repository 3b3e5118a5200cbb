//! Which server a request goes to, and what happens when that server is dead.

use crate::case::{Case, Flow, case, get};
use crate::run::run;
use crate::setup::{HTTP, Setup, TCP};

/// Sends `n` requests and expects the answers of these origins in turn.
fn order(name: &'static str, wanted: &'static [usize]) -> Case {
    let mut c = case(name).flow(|f| {
        let f: Flow = wanted.iter().fold(f, |f, o| f.send(get("/")).reply(200).body(format!("o{o}")));
        wanted.iter().fold(f, |f, o| f.request_at(*o, "GET / HTTP/1.1"))
    });
    // The fence that follows every case also takes its turn, so an order is only known from a fresh start.
    c.origins.clear();
    c
}

#[test]
fn roundrobin() {
    const SETUP: Setup = Setup { backs: &[("app", &["server a @o0@", "server b @o1@", "server c @o2@"])], ..HTTP };
    run(&SETUP, vec![order("each server in turn", &[0, 1, 2, 0, 1, 2])]);
}

#[test]
fn roundrobin_weights() {
    const SETUP: Setup = Setup {
        backs: &[("app", &["server a @o0@ weight 3", "server b @o1@ weight 1", "server c @o2@ weight 2"])],
        ..HTTP
    };
    run(
        &SETUP,
        vec![
            case("six requests over weights 3, 1 and 2")
                .flow(|f| {
                    // Which goes where is each proxy's own smooth order; that the shares are 3, 1 and 2 is asserted.
                    let f = (0..6).fold(f, |f, _| f.send(get("/")).reply(200));
                    [0, 0, 0, 1, 2, 2].iter().fold(f, |f, o| f.request_at(*o, "GET / HTTP/1.1"))
                })
                .unordered(),
        ],
    );
}

#[test]
fn static_rr() {
    const SETUP: Setup = Setup { backs: &[("app", &["balance static-rr", "server a @o0@", "server b @o1@"])], ..HTTP };
    run(&SETUP, vec![order("each server in turn", &[0, 1, 0, 1])]);
}

#[test]
fn first() {
    const SETUP: Setup =
        Setup { backs: &[("app", &["balance first", "server a @o0@ maxconn 10", "server b @o1@ maxconn 10"])], ..HTTP };
    run(&SETUP, vec![order("always the first with a free slot", &[0, 0, 0])]);
}

#[test]
fn source() {
    const SETUP: Setup = Setup { backs: &[("app", &["balance source", "server a @o0@", "server b @o1@"])], ..HTTP };
    run(
        &SETUP,
        vec![case("one client always reaches one server").flow(|f| {
            let f = (0..4).fold(f, |f, _| f.send(get("/")).reply(200));
            (0..4).fold(f, |f, _| f.request_at(1, "GET / HTTP/1.1"))
        })],
    );
}

#[test]
fn weight_zero() {
    const SETUP: Setup = Setup { backs: &[("app", &["server a @o0@ weight 0", "server b @o1@"])], ..HTTP };
    run(&SETUP, vec![order("weight 0 gets nothing", &[1, 1, 1])]);
}

#[test]
fn backup_unused() {
    const SETUP: Setup = Setup { backs: &[("app", &["server a @o0@", "server b @o1@ backup"])], ..HTTP };
    run(&SETUP, vec![order("a backup waits", &[0, 0])]);
}

#[test]
fn backup_used() {
    const SETUP: Setup = Setup {
        backs: &[("app", &["server a @dead@ disabled", "server b @o0@ backup", "server c @o1@ backup"])],
        ..HTTP
    };
    run(&SETUP, vec![order("only the first backup is used", &[0, 0, 0])]);
}

#[test]
fn allbackups() {
    const SETUP: Setup = Setup {
        backs: &[(
            "app",
            &["option allbackups", "server a @dead@ disabled", "server b @o0@ backup", "server c @o1@ backup"],
        )],
        ..HTTP
    };
    run(&SETUP, vec![order("all backups share", &[0, 1, 0, 1])]);
}

#[test]
fn disabled_server() {
    const SETUP: Setup = Setup { backs: &[("app", &["server a @dead@ disabled", "server b @o0@"])], ..HTTP };
    run(&SETUP, vec![order("a disabled server is never asked", &[0, 0])]);
}

#[test]
fn redispatch() {
    const SETUP: Setup = Setup {
        defaults: &["option redispatch 1", "timeout connect 500ms"],
        backs: &[("app", &["server dead @dead@", "server b @o0@"])],
        ..HTTP
    };
    run(
        &SETUP,
        vec![case("a refused connection goes to another server, with the body").flow(|f| {
            f.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
                .reply(200)
                .send(get("/2"))
                .reply(200)
                .open()
                .request("POST /1 HTTP/1.1")
                .body("body")
                .request("GET /2 HTTP/1.1")
        })],
    );
}

#[test]
fn tcp_redispatch() {
    const SETUP: Setup = Setup {
        defaults: &["option redispatch 1", "timeout connect 500ms"],
        backs: &[("app", &["server dead @dead@", "server b @o0@"])],
        ..TCP
    };
    run(
        &SETUP,
        vec![
            case("first connection").flow(|f| f.send(get("/")).reply(200).request("GET / HTTP/1.1")),
            case("second connection").flow(|f| f.send(get("/")).reply(200).request("GET / HTTP/1.1")),
        ],
    );
}
