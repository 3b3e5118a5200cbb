//! What a client gets when no good answer can be had.

use evenkeel_testkit::Act;

use crate::case::{case, get, get_with, ok};
use crate::run::run;
use crate::setup::{HTTP, Setup};

#[test]
fn no_server() {
    const SETUP: Setup = Setup { backs: &[("app", &["server a @dead@ disabled"])], ..HTTP };
    run(&SETUP, vec![case("a backend without a usable server").flow(|f| f.send(get("/")).reply(503))]);
}

#[test]
fn refused() {
    const SETUP: Setup =
        Setup { defaults: &["retries 1", "timeout connect 100ms"], backs: &[("app", &["server a @dead@"])], ..HTTP };
    run(
        &SETUP,
        vec![
            case("a server that refuses").flow(|f| f.send(get("/")).reply(503)),
            case("a server that refuses a POST")
                .flow(|f| f.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").reply(503)),
        ],
    );
}

#[test]
fn server_timeout() {
    const SETUP: Setup = Setup { defaults: &["timeout server 300ms"], ..HTTP };
    run(
        &SETUP,
        vec![
            case("no answer in time")
                .gated(|g| vec![vec![Act::Body, Act::Wait(g), Act::Close]])
                .flow(|f| f.send(get("/")).reply(504).open_gate().request("GET / HTTP/1.1")),
            case("half a head in time")
                .gated(|g| {
                    vec![vec![Act::Body, Act::Send(b"HTTP/1.1 200 OK\r\nX-Orig".to_vec()), Act::Wait(g), Act::Close]]
                })
                .flow(|f| f.send(get("/")).reply(504).open_gate().request("GET / HTTP/1.1")),
            case("a body that stops is cut off")
                .gated(|g| {
                    vec![vec![
                        Act::Body,
                        Act::Send(b"HTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: 10\r\n\r\nhalf".to_vec()),
                        Act::Wait(g),
                        Act::Close,
                    ]]
                })
                .flow(|f| f.send(get("/")).reply_cut(200).body("half").closed().open_gate().request("GET / HTTP/1.1")),
        ],
    );
}

#[test]
fn slow_client() {
    const SETUP: Setup = Setup {
        defaults: &["timeout http-request 300ms", "timeout client 600ms", "timeout http-keep-alive 300ms"],
        ..HTTP
    };
    run(
        &SETUP,
        vec![
            case("a head that does not end").flow(|f| f.send("GET / HTTP/1.1\r\nHost: a\r\n").reply(408).closed()),
            case("not a byte").flow(|f| f.reply(408).closed()),
            case("idle after a request").flow(|f| f.send(get("/")).reply(200).closed().request("GET / HTTP/1.1")),
            case("the second head does not end").flow(|f| {
                f.send(get("/1")).reply(200).send("GET /2 HT").reply(408).closed().request("GET /1 HTTP/1.1")
            }),
            case("a body that does not end")
                .origin(vec![vec![Act::Body]])
                .flow(|f| f.send("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").origin_got("/b"))
                .differs(
                    "`timeout client` also ends a body that stops coming; HAProxy 2.6 waits for the server's timeout",
                    |f| f.reply(408).closed().request_cut("POST /b HTTP/1.1").body("half"),
                    |f| f.request_cut("POST /b HTTP/1.1").body("half"),
                ),
        ],
    );
}

#[test]
fn bad_gateway() {
    run(
        &HTTP,
        vec![
            case("a server that closes without a word")
                .origin(vec![vec![Act::Body, Act::Close]])
                .flow(|f| f.send(get("/")).reply(502).request("GET / HTTP/1.1")),
            case("a server that resets")
                .origin(vec![vec![Act::Body, Act::Reset]])
                .flow(|f| f.send(get("/")).reply(502).request("GET / HTTP/1.1")),
            case("a server that closes in the head")
                .origin(vec![vec![Act::Body, Act::Send(b"HTTP/1.1 200 OK\r\nX-A".to_vec()), Act::Close]])
                .flow(|f| f.send(get("/")).reply(502).request("GET / HTTP/1.1")),
            case("a server that closes after an interim answer")
                .origin(vec![vec![Act::Body, Act::Send(b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec()), Act::Close]])
                .flow(|f| f.send(get("/")).reply(103).reply(502).request("GET / HTTP/1.1")),
            case("a server that resets in the body")
                .gated(|g| {
                    vec![vec![
                        Act::Body,
                        Act::Send(b"HTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: 10\r\n\r\nhalf".to_vec()),
                        Act::Wait(g),
                        Act::Reset,
                    ]]
                })
                .flow(|f| f.send(get("/")).open_gate().reply_cut(200).request("GET / HTTP/1.1")),
        ],
    );
}

#[test]
fn limits() {
    run(
        &HTTP,
        vec![
            case("a head larger than the buffer").differs(
                "431 says what is wrong; HAProxy says 400",
                |f| f.send(get_with("/", &format!("X-Big: {}\r\n", "v".repeat(17_000)))).reply(431).closed(),
                |f| f.send(get_with("/", &format!("X-Big: {}\r\n", "v".repeat(17_000)))).reply(400).closed(),
            ),
            case("a head that never stops growing").differs(
                "431 says what is wrong; HAProxy says 400",
                |f| f.send("GET / HTTP/1.1\r\nHost: a\r\n").send("X-A: b\r\n".repeat(3000)).reply(431).closed(),
                |f| f.send("GET / HTTP/1.1\r\nHost: a\r\n").send("X-A: b\r\n".repeat(3000)).reply(400).closed(),
            ),
            case("more fields than allowed").differs(
                "431 says what is wrong; HAProxy says 400",
                |f| {
                    f.send(get_with("/", &(0..150).map(|i| format!("X-{i}: 1\r\n")).collect::<String>()))
                        .reply(431)
                        .closed()
                },
                |f| {
                    f.send(get_with("/", &(0..150).map(|i| format!("X-{i}: 1\r\n")).collect::<String>()))
                        .reply(400)
                        .closed()
                },
            ),
            case("a target longer than the buffer").differs(
                "414 says what is wrong; HAProxy says 400",
                |f| f.send(get(&format!("/{}", "u".repeat(17_000)))).reply(414).closed(),
                |f| f.send(get(&format!("/{}", "u".repeat(17_000)))).reply(400).closed(),
            ),
            case("a target of 4000 bytes passes").flow(|f| {
                let target = format!("/{}", "u".repeat(4000));
                f.send(get(&target)).reply(200).open().request(&format!("GET {target} HTTP/1.1"))
            }),
            case("a response head larger than the buffer")
                .answer(format!(
                    "HTTP/1.1 200 OK\r\nX-Origin: 1\r\nX-Big: {}\r\nContent-Length: 0\r\n\r\n",
                    "v".repeat(17_000)
                ))
                .flow(|f| f.send(get("/")).reply(502).request("GET / HTTP/1.1")),
            case("after an error the next client is served")
                .answer(ok("fine"))
                .flow(|f| f.send(get("/")).reply(200).body("fine").request("GET / HTTP/1.1")),
        ],
    );
}
