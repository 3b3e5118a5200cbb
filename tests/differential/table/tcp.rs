//! Layer 4: bytes both ways, and each side's end on its own.

use evenkeel_testkit::{Act, Script};

use crate::case::{Case, case, get, get_with};
use crate::run::run;
use crate::setup::{Setup, TCP};

fn raw(name: &'static str, acts: Vec<Act>) -> Case {
    case(name).script(0, Script::Raw(acts))
}

#[test]
fn tcp() {
    let send = |s: &str| Act::Send(s.as_bytes().to_vec());
    let wait = |s: &str| Act::Await(s.as_bytes().to_vec());
    let pattern: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8).collect();
    let many: Vec<u8> = pattern.iter().chain(&pattern).chain(&pattern).chain(&pattern).copied().take(200_000).collect();
    run(
        &TCP,
        vec![
            raw("the client speaks first", vec![wait("hello"), send("welcome"), Act::DrainToEof, Act::Close])
                .flow(|f| f.send("hello").bytes("welcome").half_close().closed().origin_read("hello")),
            raw("the server speaks first", vec![send("220 ready\r\n"), wait("QUIT"), Act::Close])
                .flow(|f| f.bytes("220 ready\r\n").send("QUIT").closed().origin_read("QUIT")),
            raw("bytes are bytes", vec![wait("\u{0}end"), Act::Send(vec![0, 255, 13, 10, 128]), Act::DrainToEof]).flow(
                |f| {
                    f.send([1, 2, 0, b'e', b'n', b'd'])
                        .bytes([0, 255, 13, 10, 128])
                        .half_close()
                        .closed()
                        .origin_read([1, 2, 0, b'e', b'n', b'd'])
                },
            ),
            raw(
                "a client that closed its side still hears the answer",
                vec![Act::DrainToEof, send("all received"), Act::Close],
            )
            .flow(|f| f.send("request").half_close().bytes("all received").closed().origin_read("request")),
            raw(
                "a server that closed its side still hears the client",
                vec![send("that is all"), Act::HalfClose, Act::DrainToEof],
            )
            .flow(|f| f.bytes("that is all").send("thanks").half_close().closed().origin_read("thanks")),
            raw("200,000 bytes down", vec![wait("go"), Act::SendMany(200_000), Act::Close])
                .flow(|f| f.send("go").bytes(&many).closed().origin_read("go")),
            raw("200,000 bytes up", vec![Act::DrainToEof, send("ok"), Act::Close])
                .flow(|f| f.send(&many).half_close().bytes("ok").closed().origin_read(&many)),
            raw("a server that closes at once", vec![Act::Close]).flow(|f| f.closed().origin_read("")),
            raw("a server that resets", vec![wait("x"), Act::Reset]).flow(|f| f.send("x").closed().origin_read("x")),
            raw("a client that resets", vec![wait("x"), Act::DrainToEof])
                .flow(|f| f.send("x").origin_got("x").reset().origin_read("x")),
        ],
    );
}

#[test]
fn tcp_refused() {
    const SETUP: Setup =
        Setup { defaults: &["retries 1", "timeout connect 100ms"], backs: &[("app", &["server a @dead@"])], ..TCP };
    run(&SETUP, vec![case("a server that refuses: the connection is closed").flow(|f| f.send("x").closed())]);
}

#[test]
fn tcp_idle() {
    const SETUP: Setup = Setup { defaults: &["timeout client 300ms", "timeout server 300ms"], ..TCP };
    run(
        &SETUP,
        vec![
            raw(
                "an idle connection is closed",
                vec![Act::Await(b"x".to_vec()), Act::Send(b"y".to_vec()), Act::DrainToEof],
            )
            .flow(|f| f.send("x").bytes("y").closed().origin_read("x")),
        ],
    );
}

/// A port that speaks HTTP and something else: origin 0 is a server of bytes, origin 1 one of HTTP.
const BOTH: Setup = Setup {
    front: &[
        "tcp-request inspect-delay 30s",
        "tcp-request content set-var(txn.early) path",
        "tcp-request content switch-mode http if { req.proto_http }",
        "tcp-request content accept if { req.len gt 2 }",
        "http-request set-header X-Early %[var(txn.early)]",
        "http-request deny if { path /no }",
        "use_backend web if { req.proto_http }",
        "default_backend app",
    ],
    backs: &[
        ("app", &["server s0 @o0@"]),
        ("web", &["mode http", "http-request set-header X-Web yes", "server s1 @o1@"]),
    ],
    ..TCP
};

fn told(name: &'static str) -> Case {
    raw(name, vec![Act::Await(b"\x01hello".to_vec()), Act::Send(b"welcome".to_vec()), Act::DrainToEof, Act::Close])
}

#[test]
fn switch_mode() {
    run(
        &BOTH,
        vec![
            told("bytes go to the server of bytes")
                .flow(|f| f.send("\x01hello").bytes("welcome").half_close().closed().origin_read("\x01hello")),
            told("a request goes on as HTTP, and the next one after it").flow(|f| {
                f.send(get("/1"))
                    .reply(200)
                    .send(get("/2"))
                    .reply(200)
                    .open()
                    .request_at(1, "GET /1 HTTP/1.1")
                    .has("x-web: yes")
                    .has("x-early: /1")
                    .request_at(1, "GET /2 HTTP/1.1")
                    .has("x-web: yes")
                    .has("x-early: /2")
            }),
            told("a request that comes in pieces").flow(|f| {
                f.send("GE")
                    .send("T /1 HTTP/1.1\r\nHo")
                    .send("st: a\r\n\r\n")
                    .reply(200)
                    .open()
                    .request_at(1, "GET /1 HTTP/1.1")
            }),
            told("two requests at once").flow(|f| {
                f.send(get("/1") + &get("/2"))
                    .reply(200)
                    .reply(200)
                    .open()
                    .request_at(1, "GET /1 HTTP/1.1")
                    .request_at(1, "GET /2 HTTP/1.1")
            }),
            told("a request with a body").flow(|f| {
                f.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\non")
                    .send("e")
                    .reply(200)
                    .open()
                    .request_at(1, "POST /1 HTTP/1.1")
                    .body("one")
            }),
            told("the frontend's rules on requests hold").flow(|f| f.send(get("/no")).reply(403)),
        ],
    );
}

/// Every connection becomes HTTP; what is none is refused.
#[test]
fn switch_mode_at_once() {
    const SETUP: Setup = Setup {
        front: &["tcp-request content switch-mode http", "default_backend web"],
        backs: &[("web", &["mode http", "server s0 @o0@"])],
        ..TCP
    };
    run(
        &SETUP,
        vec![
            case("a request").flow(|f| f.send(get("/1")).reply(200).open().request("GET /1 HTTP/1.1")),
            case("garbage").flow(|f| f.send("hello world\r\n\r\n").reply(400).closed()),
        ],
    );
}

/// No rule switches: the backend does.
#[test]
fn a_backend_of_http() {
    const SETUP: Setup = Setup {
        front: &[
            "tcp-request inspect-delay 30s",
            "tcp-request content accept if { req.len gt 2 }",
            "use_backend web if { hdr(host) -i a.example }",
            "use_backend web if { path_beg /web }",
            "default_backend app",
        ],
        backs: &[
            ("app", &["server s0 @o0@"]),
            ("web", &["mode http", "http-request set-header X-Web yes", "server s1 @o1@"]),
        ],
        ..TCP
    };
    run(
        &SETUP,
        vec![
            told("bytes go to the server of bytes")
                .flow(|f| f.send("\x01hello").bytes("welcome").half_close().closed().origin_read("\x01hello")),
            told("by its Host").flow(|f| {
                f.send(get("/1"))
                    .reply(200)
                    .send(get("/2"))
                    .reply(200)
                    .request_at(1, "GET /1 HTTP/1.1")
                    .has("x-web: yes")
                    .request_at(1, "GET /2 HTTP/1.1")
                    .has("x-web: yes")
            }),
            told("by its path")
                .flow(|f| f.send("GET /web HTTP/1.1\r\nHost: b\r\n\r\n").reply(200).request_at(1, "GET /web HTTP/1.1")),
        ],
    );
}

/// Rules on content in tcp mode see the request in the bytes, and wait for it.
#[test]
fn requests_in_bytes() {
    const SETUP: Setup = Setup {
        front: &[
            "tcp-request inspect-delay 30s",
            "tcp-request content reject if { hdr(host) -i bad }",
            "tcp-request content reject if { method PUT }",
            "tcp-request content reject if { cook(a) -m found }",
            "tcp-request content accept if { path_beg /go }",
            "tcp-request content reject",
        ],
        ..TCP
    };
    run(
        &SETUP,
        vec![
            case("a path that is let in").flow(|f| f.send(get("/go")).reply(200).open().request("GET /go HTTP/1.1")),
            case("in pieces").flow(|f| {
                f.send("GET /go HTTP/1.1\r\nHost").send(": a\r\n\r\n").reply(200).open().request("GET /go HTTP/1.1")
            }),
            case("another path").flow(|f| f.send(get("/stay")).closed()),
            case("a Host").flow(|f| f.send("GET /go HTTP/1.1\r\nHost: bad\r\n\r\n").closed()),
            case("a method").flow(|f| f.send("PUT /go HTTP/1.1\r\nHost: a\r\n\r\n").closed()),
            case("a cookie").flow(|f| f.send(get_with("/go", "Cookie: a=b\r\n")).closed()),
            case("no HTTP at all").flow(|f| f.send("SSH-2.0-x\r\n").closed()),
        ],
    );
}
