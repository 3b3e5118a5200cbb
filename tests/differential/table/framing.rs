//! How messages begin and end: RFC 9112 section 6 in both directions.

use evenkeel_testkit::Act;

use crate::case::{Case, answer, case, get, ok};
use crate::run::run;
use crate::setup::HTTP;

#[test]
fn framing() {
    run(&HTTP, cases());
}

const CHUNKS: &str =
    "an HTTP/1.1 client gets chunks: it keeps its connection and can tell a whole body from a cut one; HAProxy closes";

fn cases() -> Vec<Case> {
    let mut all = requests();
    all.extend(responses());
    all.extend(interim());
    all
}

fn requests() -> Vec<Case> {
    let big = "x".repeat(300_000);
    vec![
        case("GET").flow(|f| {
            f.send(get("/one?x=%20y")).reply(200).body("o0").open().request("GET /one?x=%20y HTTP/1.1").has("host: a.example").body("")
        }),
        case("HEAD keeps the length and has no body")
            .answer("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: 12\r\n\r\n")
            .flow(|f| {
                f.send("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n")
                    .reply_head(200)
                    .has("content-length: 12")
                    .open()
                    .request("HEAD /h HTTP/1.1")
            }),
        case("POST with a length").flow(|f| {
            f.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
                .reply(200)
                .open()
                .request("POST /p HTTP/1.1")
                .has("content-length: 5")
                .body("hello")
        }),
        case("POST in pieces").flow(|f| {
            f.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Le").send("ngth: 5\r\n\r\nhe").send("llo").reply(200).open().request("POST /p HTTP/1.1").body("hello")
        }),
        case("a head that comes byte by byte").flow(|f| f.drip(get("/slow")).reply(200).open().request("GET /slow HTTP/1.1")),
        case("PUT with a large body").flow(|f| {
            f.send(format!("PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{big}", big.len()))
                .reply(200)
                .open()
                .request("PUT /big HTTP/1.1")
                .body(&big)
        }),
        case("POST with an empty body").flow(|f| {
            f.send("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                .reply(200)
                .open()
                .request("POST /e HTTP/1.1")
                .has("content-length: 0")
                .body("")
        }),
        case("POST without length or coding has no body").flow(|f| f.send("POST /n HTTP/1.1\r\nHost: a\r\n\r\n").reply(200).open().request("POST /n HTTP/1.1").body("")),
        case("DELETE with a body").flow(|f| {
            f.send("DELETE /d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok").reply(200).open().request("DELETE /d HTTP/1.1").body("ok")
        }),
        case("GET with a body").flow(|f| {
            f.send("GET /g HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok").reply(200).open().request("GET /g HTTP/1.1").body("ok")
        }),
        case("OPTIONS *").flow(|f| f.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").reply(200).open().request("OPTIONS * HTTP/1.1")),
        case("a method nobody knows").flow(|f| f.send("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n").reply(200).open().request("BREW /pot HTTP/1.1")),
        case("methods are case-sensitive").flow(|f| f.send("get / HTTP/1.1\r\nHost: a\r\n\r\n").reply(200).open().request("get / HTTP/1.1")),
        case("chunked request").flow(|f| {
            f.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
                .reply(200)
                .open()
                .request("POST /c HTTP/1.1")
                .has("transfer-encoding: chunked")
                .lacks("content-length")
                .body("hello world")
        }),
        case("chunked request, every byte apart").flow(|f| {
            f.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                .drip("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
                .reply(200)
                .open()
                .request("POST /c HTTP/1.1")
                .body("abcde")
        }),
        case("chunked request without a byte").flow(|f| {
            f.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").reply(200).open().request("POST /c HTTP/1.1").body("")
        }),
        case("the coding's name is not case-sensitive").flow(|f| {
            f.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n").reply(200).open().request("POST /c HTTP/1.1").body("z")
        }),
        case("chunk sizes in hexadecimal of either case, with zeros in front").flow(|f| {
            f.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0A\r\n0123456789\r\n00b\r\n0123456789a\r\n0\r\n\r\n")
                .reply(200)
                .open()
                .request("POST /c HTTP/1.1")
                .body("01234567890123456789a")
        }),
        case("chunk extensions end here").flow(|f| {
            f.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d e\"\r\nabc\r\n0;last\r\n\r\n")
                .reply(200)
                .open()
                .request("POST /c HTTP/1.1")
                .body("abc")
        }),
        case("request trailers pass").flow(|f| {
            f.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Two: b\r\n\r\n")
                .reply(200)
                .open()
                .request("POST /c HTTP/1.1")
                .body("abc")
                .trailers(&["x-sum: 1", "x-two: b"])
        }),
        case("several equal lengths become one").flow(|f| {
            f.send("POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok")
                .reply(200)
                .open()
                .request("POST /l HTTP/1.1")
                .verbatim("Content-Length: 2\r\n")
                .body("ok")
        }),
    ]
}

fn responses() -> Vec<Case> {
    let big = "y".repeat(1_000_000);
    vec![
        case("chunked response")
            .answer("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n")
            .flow(|f| {
                f.send(get("/"))
                    .reply(200)
                    .has("transfer-encoding: chunked")
                    .lacks("content-length")
                    .body("hello world")
                    .open()
                    .request("GET / HTTP/1.1")
            }),
        case("response trailers pass")
            .answer("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 42\r\n\r\n")
            .flow(|f| f.send(get("/")).reply(200).body("a").trailers(&["x-sum: 42"]).open().request("GET / HTTP/1.1")),
        case("a large response with a length").answer(ok(&big)).flow(|f| f.send(get("/")).reply(200).body(&big).open().request("GET / HTTP/1.1")),
        case("a response without length is chunked on its way")
            .answer_close("HTTP/1.1 200 OK\r\nX-Origin: 1\r\n\r\nuntil the end")
            .flow(|f| f.send(get("/")))
            .differs(
                CHUNKS,
                |f| f.reply(200).has("transfer-encoding: chunked").body("until the end").open().request("GET / HTTP/1.1"),
                |f| f.reply(200).lacks("content-length").body("until the end").closed().request("GET / HTTP/1.1"),
            ),
        case("an HTTP/1.0 response without length")
            .answer_close("HTTP/1.0 200 OK\r\nX-Origin: 1\r\n\r\nold")
            .flow(|f| f.send(get("/")))
            .differs(
                CHUNKS,
                |f| f.reply(200).has("transfer-encoding: chunked").body("old").open().request("GET / HTTP/1.1"),
                |f| f.reply(200).body("old").closed().request("GET / HTTP/1.1"),
            ),
        case("a response without length to an HTTP/1.0 client ends with the connection")
            .answer_close("HTTP/1.1 200 OK\r\nX-Origin: 1\r\n\r\nuntil the end")
            .flow(|f| {
                f.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
                    .reply(200)
                    .lacks("transfer-encoding")
                    .body("until the end")
                    .closed()
                    .request("GET / HTTP/1.1")
            }),
        case("an HTTP/1.0 response with a length keeps the client")
            .answer_close("HTTP/1.0 200 OK\r\nX-Origin: 1\r\nContent-Length: 3\r\n\r\nold")
            .flow(|f| f.send(get("/")))
            .differs(
                "an HTTP/1.1 client needs no `Connection: keep-alive` to stay; HAProxy adds it when the server spoke HTTP/1.0",
                |f| f.reply(200).lacks("connection").body("old").open().request("GET / HTTP/1.1"),
                |f| f.reply(200).has("connection: keep-alive").body("old").open().request("GET / HTTP/1.1"),
            ),
        case("204 has no body").answer("HTTP/1.1 204 No Content\r\nX-Origin: 1\r\n\r\n").flow(|f| f.send(get("/")).reply(204).body("").open().request("GET / HTTP/1.1")),
        case("304 keeps its length and has no body")
            .answer("HTTP/1.1 304 Not Modified\r\nX-Origin: 1\r\nETag: \"v\"\r\nContent-Length: 99\r\n\r\n")
            .flow(|f| f.send(get("/")).reply(304).has("etag: \"v\"").body("").open().request("GET / HTTP/1.1")),
        case("the answer to HEAD may name a coding and has no body")
            .answer("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
            .flow(|f| f.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").reply_head(200))
            .differs(
                "a coding describes a body that is on its way, and here none is (RFC 9112 section 6.1 makes it optional)",
                |f| f.lacks("transfer-encoding").open().request("HEAD / HTTP/1.1"),
                |f| f.has("transfer-encoding: chunked").open().request("HEAD / HTTP/1.1"),
            ),
        case("an empty body with a length")
            .answer("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: 0\r\n\r\n")
            .flow(|f| f.send(get("/")).reply(200).has("content-length: 0").body("").open().request("GET / HTTP/1.1")),
        case("a status without a reason")
            .answer("HTTP/1.1 200 \r\nX-Origin: 1\r\nContent-Length: 1\r\n\r\nr")
            .flow(|f| f.send(get("/")).reply(200).body("r").open().request("GET / HTTP/1.1")),
        case("an unusual status passes")
            .answer("HTTP/1.1 299 Nearly\r\nX-Origin: 1\r\nContent-Length: 1\r\n\r\nr")
            .flow(|f| f.send(get("/")).reply(299).body("r").open().request("GET / HTTP/1.1")),
        case("an origin's own 500 passes")
            .answer("HTTP/1.1 500 Oops\r\nX-Origin: 1\r\nContent-Length: 4\r\n\r\noops")
            .flow(|f| f.send(get("/")).reply(500).body("oops").open().request("GET / HTTP/1.1")),
        case("a body that ends early is not made whole")
            .answer_close("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: 10\r\n\r\nhalf")
            .flow(|f| f.send(get("/")).reply_cut(200).body("half").closed().request("GET / HTTP/1.1")),
        case("a chunked body that ends early is not made whole")
            .answer_close("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            .flow(|f| f.send(get("/")).reply_cut(200).body("half").closed().request("GET / HTTP/1.1")),
        case("the answer may come before the body was read").origin(vec![vec![Act::Send(ok("early").into()), Act::Body]]).flow(|f| {
            f.send("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").reply(200).body("early").send("hello").open().request("POST /e HTTP/1.1").body("hello")
        }),
    ]
}

fn interim() -> Vec<Case> {
    let post = "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let go_on = || Act::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
    vec![
        case("Expect: 100-continue waits for the origin")
            .origin(vec![vec![go_on(), Act::Body, Act::Send(ok("got it").into())]])
            .flow(|f| {
                f.send(post)
                    .reply(100)
                    .send("hello")
                    .reply(200)
                    .body("got it")
                    .open()
                    .request("POST /x HTTP/1.1")
                    .has("expect: 100-continue")
                    .body("hello")
            }),
        case("Expect: 100-continue refused by the origin")
            .origin(vec![vec![
                Act::Send(
                    b"HTTP/1.1 417 Expectation Failed\r\nX-Origin: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        .to_vec(),
                ),
                Act::Close,
            ]])
            .flow(|f| f.send(post).reply(417).request_cut("POST /x HTTP/1.1").body("")),
        case("a client that does not wait for 100")
            .origin(vec![vec![go_on(), Act::Body, Act::Send(ok("fine").into())]])
            .flow(|f| {
                f.send(post)
                    .send("hello")
                    .reply(100)
                    .reply(200)
                    .body("fine")
                    .open()
                    .request("POST /x HTTP/1.1")
                    .body("hello")
            }),
        case("103 passes before the answer")
            .answer(format!("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n{}", ok("page")))
            .flow(|f| {
                f.send(get("/"))
                    .reply(103)
                    .has("link: </a.css>; rel=preload")
                    .reply(200)
                    .body("page")
                    .open()
                    .request("GET / HTTP/1.1")
            }),
        case("several interim answers pass in order")
            .origin(vec![answer(format!(
                "HTTP/1.1 102 Processing\r\nX-N: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-N: 2\r\n\r\n{}",
                ok("page")
            ))])
            .flow(|f| {
                f.send(get("/"))
                    .reply(102)
                    .has("x-n: 1")
                    .reply(103)
                    .has("x-n: 2")
                    .reply(200)
                    .body("page")
                    .open()
                    .request("GET / HTTP/1.1")
            }),
    ]
}
