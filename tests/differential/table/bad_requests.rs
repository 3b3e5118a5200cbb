//! Malformed requests: each ends in the right error and a closed connection, and never reaches an origin as something
//! else.

use evenkeel_testkit::Act;

use crate::case::{Case, Flow, case};
use crate::run::run;
use crate::setup::HTTP;

/// Must be answered with `status` and a close, and reach no origin.
fn refused(name: &'static str, status: u16, bytes: impl AsRef<[u8]>) -> Case {
    case(name).flow(|f| f.send(bytes).reply(status).closed())
}

/// Refused by Evenkeel; HAProxy lets it through in some form, which is `line` at the origin.
fn stricter(
    name: &'static str,
    status: u16,
    bytes: impl AsRef<[u8]>,
    line: &'static str,
    reason: &'static str,
) -> Case {
    case(name).flow(|f| f.send(bytes)).differs(reason, |f| f.reply(status).closed(), |f| f.reply(200).request(line))
}

/// Refused by both with different codes.
fn named(name: &'static str, ours: u16, haproxy: u16, bytes: impl AsRef<[u8]>, reason: &'static str) -> Case {
    case(name).flow(|f| f.send(bytes)).differs(reason, |f| f.reply(ours).closed(), |f| f.reply(haproxy).closed())
}

const FOLD: &str = "RFC 9112 section 5.2 lets a server refuse folded lines; HAProxy joins them";
const LF: &str = "a line ends in CRLF; accepting LF alone makes two parsers see different lines";
const GET: &str = "GET / HTTP/1.1";
const POST_P: &str = "POST /p HTTP/1.1";
const BOTH: &str = "RFC 9112 section 6.3: both a length and a coding ought to be handled as an error; HAProxy drops the length and closes after the answer";
const CODING: &str = "422 says that the coding is not understood, as HAProxy does since 3.1; 2.6 says 400";

const POST: &str = "POST /p HTTP/1.1\r\nHost: a\r\n";

#[test]
fn bad_requests() {
    let mut cases = heads();
    cases.extend(lengths());
    cases.extend(chunks());
    run(&HTTP, cases);
}

fn heads() -> Vec<Case> {
    vec![
        refused("not HTTP", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03\r\n\r\n"),
        refused("no version", 400, "GET /\r\nHost: a\r\n\r\n"),
        stricter(
            "an unknown version",
            400,
            "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
            GET,
            "HAProxy takes any version above 1.1 for 1.1",
        ),
        refused("a version in small letters", 400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
        refused("an empty target", 400, "GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
        refused("a relative target", 400, "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
        refused("a space in the target", 400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        refused("NUL in the target", 400, "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"),
        refused("a control byte in the target", 400, "GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n"),
        stricter(
            "NUL in a value",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n",
            GET,
            "RFC 9110 section 5.5: NUL in a value is refused; HAProxy 2.6 forwards it",
        ),
        refused("a bare CR in a value", 400, "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rX-B: c\r\n\r\n"),
        refused("NUL in a name", 400, "GET / HTTP/1.1\r\nHost: a\r\nX\0A: b\r\n\r\n"),
        refused("a space before the colon", 400, "GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n"),
        refused(
            "a space before the colon of Content-Length",
            400,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
        ),
        refused("a name with a space", 400, "GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n"),
        refused("a line without a colon", 400, "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n"),
        refused("an empty name", 400, "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        refused("a fold in the first field", 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        stricter("a folded value", 400, "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n", GET, FOLD),
        stricter(
            "a folded Transfer-Encoding",
            400,
            format!("{POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
            POST_P,
            FOLD,
        ),
        stricter("lines that end in LF alone", 400, "GET / HTTP/1.1\nHost: a\n\n", GET, LF),
        stricter("one line that ends in LF alone", 400, "GET / HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n", GET, LF),
        stricter(
            "no Host in HTTP/1.1",
            400,
            "GET / HTTP/1.1\r\n\r\n",
            GET,
            "RFC 9112 section 3.2: an HTTP/1.1 request without Host gets 400; HAProxy 2.6 forwards it",
        ),
        refused("two Hosts that differ", 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        stricter(
            "two Hosts that agree",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            GET,
            "RFC 9112 section 3.2: more than one Host line gets 400; HAProxy drops the second when they agree",
        ),
        refused(
            "Host against the authority of an absolute target",
            400,
            "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
        ),
        stricter(
            "Host with a path",
            400,
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            GET,
            "Host is an authority and nothing else (RFC 9110 section 7.2)",
        ),
        // Both switch: what comes is a frame of HTTP/2.
        case("an HTTP/2 preface on an HTTP/1 listener")
            .flow(|f| f.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").bytes([0, 0])),
        case("a head cut off by the end of the stream")
            .flow(|f| f.send("GET / HTTP/1.1\r\nHost: a\r\n").half_close().reply(400).closed()),
        case("a bad second request does not harm the first").flow(|f| {
            f.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nX A: b\r\n\r\n")
                .reply(200)
                .reply(400)
                .closed()
                .request("GET /1 HTTP/1.1")
        }),
    ]
}

fn lengths() -> Vec<Case> {
    vec![
        refused("two lengths", 400, format!("{POST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")),
        refused("two lengths in one field", 400, format!("{POST}Content-Length: 3, 4\r\n\r\nabcd")),
        refused("a negative length", 400, format!("{POST}Content-Length: -1\r\n\r\n")),
        refused("a length with a sign", 400, format!("{POST}Content-Length: +3\r\n\r\nabc")),
        refused("a length in hexadecimal", 400, format!("{POST}Content-Length: 0x3\r\n\r\nabc")),
        refused("a length beyond 64 bits", 400, format!("{POST}Content-Length: 99999999999999999999\r\n\r\nabc")),
        refused("an empty length", 400, format!("{POST}Content-Length:\r\n\r\n")),
        refused("a length with a space inside", 400, format!("{POST}Content-Length: 1 2\r\n\r\nabc")),
        stricter(
            "length and coding",
            400,
            format!("{POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            POST_P,
            BOTH,
        ),
        stricter(
            "coding and length",
            400,
            format!("{POST}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
            POST_P,
            BOTH,
        ),
        stricter(
            "a coding in HTTP/1.0",
            400,
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1",
            "HTTP/1.0 has no codings, so its framing cannot be trusted (RFC 9112 section 6.1)",
        ),
        named("an unknown coding", 422, 400, format!("{POST}Transfer-Encoding: gzip\r\n\r\nabc"), CODING),
        named(
            "chunked is not last",
            422,
            400,
            format!("{POST}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
            CODING,
        ),
        named(
            "chunked twice",
            422,
            400,
            format!("{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            CODING,
        ),
        named(
            "a coding that only looks like chunked",
            422,
            400,
            format!("{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
            CODING,
        ),
        named("chunked in quotes", 422, 400, format!("{POST}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"), CODING),
        refused("a vertical tab before chunked", 400, format!("{POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n")),
    ]
}

/// The head is good, so the origin may get it; the body breaks, so the origin must never believe it was whole.
fn broken_body(name: &'static str, body: &str) -> Case {
    case(name).origin(vec![vec![Act::Body, Act::Close]]).flow(|f| chunked(f, body).reply(400).closed().may_begin())
}

/// The same where HAProxy reads the body as whole, so that the origin's silence becomes a 502.
fn broken_for_us(name: &'static str, body: &str, reason: &'static str) -> Case {
    case(name).origin(vec![vec![Act::Body, Act::Close]]).flow(|f| chunked(f, body)).differs(
        reason,
        |f| f.reply(400).closed().may_begin(),
        |f| f.reply(502).request(POST_P),
    )
}

fn chunked(f: Flow, body: &str) -> Flow {
    f.send(format!("{POST}Transfer-Encoding: chunked\r\n\r\n{body}"))
}

fn chunks() -> Vec<Case> {
    vec![
        broken_body("a chunk size that is no number", "zz\r\nabc\r\n0\r\n\r\n"),
        broken_body("an empty chunk size", "\r\nabc\r\n0\r\n\r\n"),
        broken_body("a chunk size with a sign", "+3\r\nabc\r\n0\r\n\r\n"),
        broken_body("a chunk size with 0x", "0x3\r\nabc\r\n0\r\n\r\n"),
        broken_body("a chunk size beyond 64 bits", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        broken_body("a chunk longer than its size", "3\r\nabcdef\r\n0\r\n\r\n"),
        broken_for_us("a chunk size line that ends in LF alone", "3\nabc\r\n0\r\n\r\n", LF),
        broken_for_us("chunk data that ends in LF alone", "3\r\nabc\n0\r\n\r\n", LF),
        broken_for_us(
            "a NUL in a chunk extension",
            "3;a=\0\r\nabc\r\n0\r\n\r\n",
            "an extension is tokens and quoted strings (RFC 9112 section 7.1.1)",
        ),
        broken_body("a trailer without a colon", "3\r\nabc\r\n0\r\nnonsense\r\n\r\n"),
        case("a trailer with a space before the colon")
            .origin(vec![vec![Act::Body, Act::Close]])
            .flow(|f| chunked(f, "3\r\nabc\r\n0\r\nX-A : b\r\n\r\n"))
            .differs(
                "HAProxy 2.6 says 400 or 502, as the packets fall",
                |f| f.reply(400).closed().may_begin(),
                |f| f.origins_unseen(),
            ),
        case("a body cut off by the end of the stream")
            .origin(vec![vec![Act::Body, Act::Close]])
            .flow(|f| f.send(format!("{POST}Content-Length: 10\r\n\r\nhalf")).half_close().ends().may_begin()),
        case("a chunked body cut off by the end of the stream")
            .origin(vec![vec![Act::Body, Act::Close]])
            .flow(|f| chunked(f, "3\r\nabc\r\n").half_close().ends().may_begin()),
    ]
}
