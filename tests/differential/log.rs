//! Access-log lines: the same transaction through both proxies, compared field by field.
//!
//! Ports, dates and timers that were reached are replaced by letters (a timer of -1 stays), byte counts of what a proxy
//! says on its own account too; everything else must be equal to the byte.

use std::net::SocketAddr;

use evenkeel_testkit::{Act, DeadPort, Haproxy, Origin, Process, Proxy, RawClient, Script};

use crate::setup::{HTTP, Places, Setup, TCP};

/// A transaction and its line.
struct Line {
    name: &'static str,
    run: fn(SocketAddr),
    /// What Evenkeel writes.
    line: &'static str,
    /// Why HAProxy writes something else, and what.
    differs: Option<(&'static str, &'static str)>,
}

fn ask(addr: SocketAddr, request: &str) {
    let mut client = RawClient::connect(addr).unwrap();
    client.ask(request).unwrap();
    // The end of the connection too, so that the next line does not count it.
    if request.contains("close") || request.contains("HTTP/1.0") {
        client.rest().unwrap();
    }
}

const fn line(name: &'static str, run: fn(SocketAddr), line: &'static str) -> Line {
    Line { name, run, line, differs: None }
}

const HTTP_LINES: &[Line] = &[
    line(
        "GET",
        |a| ask(a, "GET /ok?q=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/T/T 200 B - - ---- 1/1/0/0/0 0/0 \"GET /ok?q=1 HTTP/1.1\"",
    ),
    line(
        "POST",
        |a| ask(a, "POST /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/T/T 200 B - - ---- 1/1/0/0/0 0/0 \"POST /ok HTTP/1.1\"",
    ),
    line(
        "HTTP/1.0",
        |a| ask(a, "GET /ok HTTP/1.0\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/T/T 200 B - - ---- 1/1/0/0/0 0/0 \"GET /ok HTTP/1.0\"",
    ),
    line(
        "a quote in the target",
        |a| ask(a, "GET /ok?\"x\" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/T/T 200 B - - ---- 1/1/0/0/0 0/0 \"GET /ok?#22x#22 HTTP/1.1\"",
    ),
    line(
        "deny",
        |a| ask(a, "GET /deny HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe fe/<NOSRV> T/-1/-1/-1/T 403 B - - PR-- 1/1/0/0/0 0/0 \"GET /deny HTTP/1.1\"",
    ),
    line(
        "redirect",
        |a| ask(a, "GET /redirect HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe fe/<NOSRV> T/-1/-1/-1/T 302 B - - LR-- 1/1/0/0/0 0/0 \"GET /redirect HTTP/1.1\"",
    ),
    line(
        "no server",
        |a| ask(a, "GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe none/<NOSRV> T/-1/-1/-1/T 503 B - - SC-- 1/1/0/0/0 0/0 \"GET /none HTTP/1.1\"",
    ),
    line(
        "refused",
        |a| ask(a, "GET /dead HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe dead/s T/T/-1/-1/T 503 B - - SC-- 1/1/0/0/1 0/0 \"GET /dead HTTP/1.1\"",
    ),
    line(
        "redispatched",
        |a| ask(a, "GET /redispatch HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe redispatch/b T/T/T/T/T 200 B - - ---- 1/1/0/0/+1 0/0 \"GET /redispatch HTTP/1.1\"",
    ),
    line(
        "closed without a word",
        |a| ask(a, "GET /mute HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/-1/T 502 B - - SH-- 1/1/0/0/0 0/0 \"GET /mute HTTP/1.1\"",
    ),
    line(
        "junk",
        |a| ask(a, "GET /junk HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/-1/T 502 B - - PH-- 1/1/0/0/0 0/0 \"GET /junk HTTP/1.1\"",
    ),
    line(
        "server timeout",
        |a| ask(a, "GET /hang HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/-1/T 504 B - - sH-- 1/1/0/0/0 0/0 \"GET /hang HTTP/1.1\"",
    ),
    line(
        "a body that ends early",
        |a| ask(a, "GET /short HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/T/T 200 B - - SD-- 1/1/0/0/0 0/0 \"GET /short HTTP/1.1\"",
    ),
    line(
        "a body that stops",
        |a| ask(a, "GET /stall HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/T/T 200 B - - sD-- 1/1/0/0/0 0/0 \"GET /stall HTTP/1.1\"",
    ),
    line(
        "bad request",
        |a| ask(a, "GET / HTTP/1.1\r\nX Y: z\r\n\r\n"),
        "127.0.0.1:P [D] fe fe/<NOSRV> -1/-1/-1/-1/T 400 B - - PR-- 1/1/0/0/0 0/0 \"<BADREQ>\"",
    ),
    line(
        "slow request",
        |a| ask(a, "GET / HTTP/1.1\r\n"),
        "127.0.0.1:P [D] fe fe/<NOSRV> -1/-1/-1/-1/T 408 B - - cR-- 1/1/0/0/0 0/0 \"<BADREQ>\"",
    ),
    line(
        "a client that leaves in its head",
        |a| {
            let mut c = RawClient::connect(a).unwrap();
            c.send("GET / HTTP/1.1\r\n").unwrap();
            c.half_close();
            c.rest().unwrap();
        },
        "127.0.0.1:P [D] fe fe/<NOSRV> -1/-1/-1/-1/T 400 B - - CR-- 1/1/0/0/0 0/0 \"<BADREQ>\"",
    ),
    line(
        "WebSocket",
        |a| {
            let mut c = RawClient::connect(a).unwrap();
            c.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").unwrap();
            assert_eq!(c.response().unwrap().status(), 101);
            c.half_close();
            c.rest().unwrap();
        },
        "127.0.0.1:P [D] fe app/s0 T/T/T/T/T 101 B - - ---- 1/1/0/0/0 0/0 \"GET /ws HTTP/1.1\"",
    ),
    Line {
        name: "a response that passes unchanged is counted to the byte",
        run: |a| ask(a, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"),
        line: "127.0.0.1:P [D] fe app/s0 T/T/T/T/T 200 51 - - ---- 1/1/0/0/0 0/0 \"GET /ok HTTP/1.1\"",
        differs: Some((
            "%B counts what the server sent; HAProxy 2.6 counts its inner form of it",
            "127.0.0.1:P [D] fe app/s0 T/T/T/T/T 200 B - - ---- 1/1/0/0/0 0/0 \"GET /ok HTTP/1.1\"",
        )),
    },
];

#[test]
fn http_lines() {
    const SETUP: Setup = Setup {
        front: &[
            "http-request deny if { path /deny }",
            "http-request redirect location / if { path /redirect }",
            "use_backend none if { path /none }",
            "use_backend dead if { path /dead }",
            "use_backend redispatch if { path /redispatch }",
            "default_backend app",
        ],
        backs: &[
            ("app", &["server s0 @o0@"]),
            ("none", &["server s @dead@ disabled"]),
            ("dead", &["retries 1", "server s @dead@"]),
            ("redispatch", &["option redispatch 1", "server a @dead@", "server b @o0@"]),
        ],
        defaults: &["timeout server 300ms", "timeout http-request 300ms", "timeout connect 100ms"],
        log: true,
        ..HTTP
    };
    let script = Script::with(|r, _| {
        let send = |s: &str| Act::Send(s.as_bytes().to_vec());
        match r.message.head.target() {
            "/mute" => vec![Act::Close],
            "/junk" => vec![send("nonsense\r\n\r\n"), Act::Close],
            "/hang" => vec![Act::DrainToEof],
            "/short" => vec![send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Act::Close],
            "/stall" => vec![send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Act::DrainToEof],
            "/ws" => vec![
                send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"),
                Act::DrainToEof,
                Act::Close,
            ],
            _ => vec![Act::Body, send("HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello"), Act::Close],
        }
    });
    compare(&SETUP, script, HTTP_LINES);
}

/// A connection in TCP mode that goes well.
fn converse(addr: SocketAddr) {
    let mut client = RawClient::connect(addr).unwrap();
    client.send("hello").unwrap();
    client.exactly(7).unwrap();
    client.half_close();
    client.rest().unwrap();
}

const TCP_LINES: &[Line] = &[
    line("normal", converse, "127.0.0.1:P [D] fe app/s0 T/T/T 7 -- 1/1/0/0/0 0/0"),
    line(
        "idle",
        |a| {
            let mut c = RawClient::connect(a).unwrap();
            c.send("hello").unwrap();
            c.rest().unwrap();
        },
        "127.0.0.1:P [D] fe app/s0 T/T/T 7 cD 1/1/0/0/0 0/0",
    ),
];

#[test]
fn tcp_lines() {
    const SETUP: Setup = Setup { defaults: &["timeout client 300ms", "timeout server 600ms"], log: true, ..TCP };
    let script = Script::Raw(vec![Act::Await(b"hello".to_vec()), Act::Send(b"welcome".to_vec()), Act::DrainToEof]);
    compare(&SETUP, script, TCP_LINES);
}

#[test]
fn tcp_reset_line() {
    const SETUP: Setup = Setup { log: true, ..TCP };
    const LINES: &[Line] = &[line(
        "the server resets",
        |a| {
            let mut c = RawClient::connect(a).unwrap();
            c.send("hello").unwrap();
            c.rest().unwrap();
        },
        "127.0.0.1:P [D] fe app/s0 T/T/T 0 SD 1/1/0/0/0 0/0",
    )];
    compare(&SETUP, Script::Raw(vec![Act::Await(b"hello".to_vec()), Act::Reset]), LINES);
}

#[test]
fn tcp_refused_line() {
    const SETUP: Setup = Setup {
        defaults: &["retries 1", "timeout connect 100ms"],
        backs: &[("app", &["server s @dead@"])],
        log: true,
        ..TCP
    };
    const LINES: &[Line] = &[line(
        "refused",
        |a| {
            let mut c = RawClient::connect(a).unwrap();
            c.rest().unwrap();
        },
        "127.0.0.1:P [D] fe app/s T/-1/T 0 SC 1/1/0/0/1 0/0",
    )];
    compare(&SETUP, Script::always(""), LINES);
}

const EARLY_LINES: &[Line] = &[
    line(
        "the response has begun",
        |a| ask(a, "GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/T/+T 200 +B - - ---- 1/1/1/1/0 0/0 \"GET /ok HTTP/1.1\"",
    ),
    line(
        "it never ends",
        |a| ask(a, "GET /stall HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/T/+T 200 +B - - ---- 1/1/1/1/0 0/0 \"GET /stall HTTP/1.1\"",
    ),
    line(
        "deny",
        |a| ask(a, "GET /deny HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe fe/<NOSRV> T/-1/-1/-1/+T 403 +B - - PR-- 1/1/0/0/0 0/0 \"GET /deny HTTP/1.1\"",
    ),
    line(
        "closed without a word",
        |a| ask(a, "GET /mute HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/-1/+T 502 +B - - SH-- 1/1/0/0/0 0/0 \"GET /mute HTTP/1.1\"",
    ),
    line(
        "a response that a rule replaces",
        |a| ask(a, "GET /replaced HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        "127.0.0.1:P [D] fe app/s0 T/T/T/-1/+T 502 +B - - PH-- 1/1/0/0/0 0/0 \"GET /replaced HTTP/1.1\"",
    ),
];

#[test]
fn lines_of_logasap() {
    const SETUP: Setup = Setup {
        front: &[
            "option logasap",
            "http-request deny if { path /deny }",
            "http-response deny if { capture.req.uri -m beg /replaced }",
        ],
        defaults: &["timeout server 300ms"],
        log: true,
        ..HTTP
    };
    let script = Script::with(|r, _| {
        let send = |s: &str| Act::Send(s.as_bytes().to_vec());
        match r.message.head.target() {
            "/mute" => vec![Act::Close],
            "/stall" => vec![send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Act::DrainToEof],
            _ => vec![Act::Body, send("HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello")],
        }
    });
    compare(&SETUP, script, EARLY_LINES);
}

#[test]
fn tcp_lines_of_logasap() {
    const SETUP: Setup = Setup { front: &["option logasap"], log: true, ..TCP };
    const LINES: &[Line] =
        &[line("the connection stands", converse, "127.0.0.1:P [D] fe app/s0 T/T/+T +0 -- 1/1/1/1/0 0/0")];
    let script = Script::Raw(vec![Act::Await(b"hello".to_vec()), Act::Send(b"welcome".to_vec()), Act::DrainToEof]);
    compare(&SETUP, script, LINES);
}

fn compare(setup: &Setup, script: Script, lines: &[Line]) {
    let only = std::env::var("EVENKEEL_DIFFERENTIAL").unwrap_or_default();
    let dead = DeadPort::new();
    let origins: Vec<Origin> = (0..setup.origins()).map(|_| Origin::start(script.clone())).collect();
    let places = Places { origins: origins.iter().map(Origin::addr).collect(), dead: dead.addr() };
    let haproxy = crate::run::wants_haproxy(&only).then(|| Haproxy::start(&setup.haproxy(&places)));
    let evenkeel = (only != "haproxy").then(|| Proxy::start(&setup.evenkeel(&places)));
    let mut failures = Vec::new();
    let mut check = |who: &str, name: &str, got: String, want: &str| {
        if got != want {
            failures.push(format!("{who}: {name}:\n     got {got}\n  wanted {want}"));
        }
    };
    for l in lines {
        if let Some(h) = &haproxy {
            let want = l.differs.map_or(l.line, |(_, line)| line);
            check("haproxy", l.name, one_line(h.process(), h.addr(), l.run), want);
        }
        if let Some(e) = &evenkeel {
            check("evenkeel", l.name, one_line(e.process(), e.addr("listen"), l.run), l.line);
        }
    }
    assert!(failures.is_empty(), "{} lines differ:\n{}", failures.len(), failures.join("\n"));
}

fn one_line(process: &Process, addr: SocketAddr, run: fn(SocketAddr)) -> String {
    let mark = process.mark();
    run(addr);
    let line = process.wait_line(mark, "of the access log", |l| l.starts_with("127.0.0.1:"));
    normal(&line)
}

/// What the origin answers to a request that changes nothing about the connection, in bytes.
const EXACT: &str = "51";

/// Puts letters for what differs from run to run.
fn normal(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if words.len() < 7 {
        return line.to_owned();
    }
    if words[0].rsplit(':').next().is_some_and(|p| p.parse::<u16>().is_ok()) {
        words[0] = "127.0.0.1:P".to_owned();
    }
    if is_date(&words[1]) {
        words[1] = "[D]".to_owned();
    }
    let reached = |t: &str| match (t.parse::<u64>(), t.starts_with('+')) {
        (Ok(_), false) => "T".to_owned(),
        (Ok(_), true) => "+T".to_owned(),
        (Err(_), _) => t.to_owned(),
    };
    words[4] = words[4].split('/').map(reached).collect::<Vec<_>>().join("/");
    let http = words.len() > 9;
    let bytes = if http { 6 } else { 5 };
    if http && words[bytes] != EXACT && words[bytes].parse::<u64>().is_ok() {
        words[bytes] = if words[bytes].starts_with('+') { "+B" } else { "B" }.to_owned();
    }
    words.join(" ")
}

/// `[06/Feb/2009:12:14:14.655]`.
fn is_date(word: &str) -> bool {
    let shape: String = word
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '9'
            } else if c.is_ascii_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect();
    shape == "[99/aaa/9999:99:99:99.999]"
}
