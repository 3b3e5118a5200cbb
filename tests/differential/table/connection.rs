//! Connections between requests: keep-alive, pipelining, HTTP/1.0, half-close.

use evenkeel_testkit::Act;

use crate::case::{Case, answer, case, get, get_with, ok};
use crate::run::run;
use crate::setup::{HTTP, Setup};

#[test]
fn connection() {
    run(&HTTP, cases());
}

#[test]
fn http_server_close() {
    const SETUP: Setup = Setup { front: &["option http-server-close"], ..HTTP };
    run(
        &SETUP,
        vec![case("the client stays, the server connection does not").flow(|f| {
            f.send(get("/1"))
                .reply(200)
                .lacks("connection")
                .send(get("/2"))
                .reply(200)
                .open()
                .request("GET /1 HTTP/1.1")
                .has("connection: close")
                .on(0)
                .request("GET /2 HTTP/1.1")
                .on(1)
        })],
    );
}

#[test]
fn httpclose() {
    const SETUP: Setup = Setup { defaults: &["option httpclose"], ..HTTP };
    run(
        &SETUP,
        vec![
            case("both sides close after one request").flow(|f| {
                f.send(get("/1"))
                    .reply(200)
                    .has("connection: close")
                    .closed()
                    .request("GET /1 HTTP/1.1")
                    .has("connection: close")
            }),
            case("a second pipelined request is not served")
                .flow(|f| f.send(get("/1") + &get("/2")).reply(200).closed().request("GET /1 HTTP/1.1")),
        ],
    );
}

#[test]
fn abortonclose() {
    const SETUP: Setup = Setup { defaults: &["option abortonclose"], ..HTTP };
    run(
        &SETUP,
        vec![
            case("a client that closes its side gives up its request")
                .gated(|gate| vec![vec![Act::Body, Act::Wait(gate), Act::Send(ok("too late").into())]])
                .flow(|f| {
                    f.send(get("/1")).origin_got("/1").half_close().reply(400).closed().request("GET /1 HTTP/1.1")
                }),
        ],
    );
}

fn cases() -> Vec<Case> {
    let mut all = vec![
        case("two requests on one connection").flow(|f| {
            f.send(get("/1"))
                .reply(200)
                .lacks("connection")
                .send(get("/2"))
                .reply(200)
                .open()
                .request("GET /1 HTTP/1.1")
                .lacks("connection")
                .on(0)
                .request("GET /2 HTTP/1.1")
                .on(0)
        }),
        case("two requests pipelined").origin(vec![answer(ok("first")), answer(ok("second"))]).flow(|f| {
            f.send(get("/1") + &get("/2"))
                .reply(200)
                .body("first")
                .reply(200)
                .body("second")
                .open()
                .request("GET /1 HTTP/1.1")
                .request("GET /2 HTTP/1.1")
        }),
        case("three requests pipelined, with bodies").origin(vec![answer(ok("1")), answer(ok("2")), answer(ok("3"))]).flow(|f| {
            f.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\noneGET /2 HTTP/1.1\r\nHost: a\r\n\r\nPOST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n")
                .reply(200).body("1").reply(200).body("2").reply(200).body("3").open()
                .request("POST /1 HTTP/1.1").body("one")
                .request("GET /2 HTTP/1.1").body("")
                .request("POST /3 HTTP/1.1").body("three")
        }),
        case("a request cut between two packets behind another").flow(|f| {
            f.send(get("/1") + "GET /2 HT").reply(200).send("TP/1.1\r\nHost: a\r\n\r\n").reply(200).open().request("GET /1 HTTP/1.1").request("GET /2 HTTP/1.1")
        }),
        case("an empty line before a request is skipped").flow(|f| f.send("\r\n".to_owned() + &get("/1")).reply(200).open().request("GET /1 HTTP/1.1")),
        case("a client that asks to close").flow(|f| {
            f.send(get_with("/1", "Connection: close\r\n")).reply(200).has("connection: close").closed().request("GET /1 HTTP/1.1")
        }),
        case("Connection: Close in any case").flow(|f| f.send(get_with("/1", "connection: CLOSE\r\n")).reply(200).closed().request("GET /1 HTTP/1.1")),
        case("an origin that closes after its answer keeps the client")
            .origin(vec![
                vec![Act::Body, Act::Send(b"HTTP/1.1 200 OK\r\nX-Origin: 1\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1".to_vec()), Act::Close],
                answer(ok("2")),
            ])
            .flow(|f| {
                f.send(get("/1"))
                    .reply(200)
                    .lacks("connection")
                    .send(get("/2"))
                    .reply(200)
                    .body("2")
                    .open()
                    .request("GET /1 HTTP/1.1")
                    .on(0)
                    .request("GET /2 HTTP/1.1")
                    .on(1)
            }),
        case("HTTP/1.0 closes").flow(|f| f.send("GET /old HTTP/1.0\r\nHost: a\r\n\r\n").reply(200).body("o0").closed().request("GET /old HTTP/1.1")),
        case("HTTP/1.0 with keep-alive stays").flow(|f| {
            f.send("GET /1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
                .reply(200)
                .has("connection: keep-alive")
                .send("GET /2 HTTP/1.0\r\nHost: a\r\n\r\n")
                .reply(200)
                .closed()
                .request("GET /1 HTTP/1.1")
                .request("GET /2 HTTP/1.1")
        }),
        case("HTTP/1.0 without Host").flow(|f| f.send("GET /old HTTP/1.0\r\n\r\n")).differs(
            "what goes out as HTTP/1.1 has a Host, an empty one when there is no authority (RFC 9112 section 3.2)",
            |f| f.reply(200).closed().request("GET /old HTTP/1.1").has("host: "),
            |f| f.reply(200).closed().request("GET /old HTTP/1.1").lacks("host"),
        ),
        case("an HTTP/1.0 request goes out as HTTP/1.1").differs(
            "a gateway sends its own version (RFC 9110 section 2.5); HAProxy passes the client's on",
            |f| {
                f.send("GET /old HTTP/1.0\r\nHost: a\r\n\r\n")
                    .reply(200)
                    .closed()
                    .request("GET /old HTTP/1.1")
                    .verbatim("GET /old HTTP/1.1\r\n")
            },
            |f| {
                f.send("GET /old HTTP/1.0\r\nHost: a\r\n\r\n")
                    .reply(200)
                    .closed()
                    .request("GET /old HTTP/1.1")
                    .verbatim("GET /old HTTP/1.0\r\n")
            },
        ),
        case("an HTTP/1.0 client never gets chunks")
            .answer("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
            .flow(|f| f.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"))
            .differs(
                "HTTP/1.0 has no chunked coding (RFC 9112 section 6.1); HAProxy sends it to a client that asks for keep-alive",
                |f| f.reply(200).lacks("transfer-encoding").body("abc").closed().request("GET / HTTP/1.1"),
                |f| f.reply(200).has("transfer-encoding: chunked").body("abc").request("GET / HTTP/1.1"),
            ),
        case("a client that has said everything still gets its answer").flow(|f| {
            f.send(get("/1")).half_close().reply(200).closed().request("GET /1 HTTP/1.1")
        }),
        case("a client that closes its side while the origin works still gets its answer")
            .gated(|gate| vec![vec![Act::Body, Act::Wait(gate), Act::Send(ok("worth it").into())]])
            .flow(|f| f.send(get("/1")).origin_got("/1").half_close().open_gate().reply(200).body("worth it").closed().request("GET /1 HTTP/1.1")),
        case("a client that vanishes in its body")
            .origin(vec![vec![Act::Body]])
            .flow(|f| f.send("POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").origin_got("/cut").reset().request_cut("POST /cut HTTP/1.1")),
        case("a reused connection that died is tried again unseen")
            .origin(vec![vec![Act::Body, Act::Send(ok("1").into())], vec![Act::Body, Act::Close], answer(ok("again"))])
            .differs(
                "a reused connection that dies before a byte of the answer is replaced once, unseen; HAProxy leaves the retry to the client",
                |f| {
                    f.send(get("/1"))
                        .reply(200)
                        .send(get("/2"))
                        .reply(200)
                        .body("again")
                        .open()
                        .request("GET /1 HTTP/1.1")
                        .on(0)
                        .request("GET /2 HTTP/1.1")
                        .on(0)
                        .request("GET /2 HTTP/1.1")
                        .on(1)
                },
                |f| f.send(get("/1")).reply(200).send(get("/2")).closed().request("GET /1 HTTP/1.1").request("GET /2 HTTP/1.1"),
            ),
    ];
    all.push(
        case("a POST on a reused connection that died is not sent twice")
            .origin(vec![answer(ok("1")), vec![Act::Body, Act::Close]])
            .flow(|f| {
                f.send(get("/1"))
                    .reply(200)
                    .send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
                    .closed()
                    .request("GET /1 HTTP/1.1")
                    .request("POST /2 HTTP/1.1")
            }),
    );
    all
}
