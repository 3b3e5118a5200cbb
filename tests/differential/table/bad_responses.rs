//! Malformed responses: each becomes a 502 or a cut connection, and never two answers or somebody else's.

use evenkeel_testkit::Act;

use crate::case::{Case, case, get, ok};
use crate::run::run;
use crate::setup::HTTP;

/// The origin answers these bytes and closes; the client gets 502.
fn refused(name: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    case(name).answer_close(bytes).flow(|f| f.send(get("/")).reply(502).request("GET / HTTP/1.1"))
}

/// The head and `before` were good and have gone out; what comes `after` breaks the body and must end the connection.
fn cut(name: &'static str, coding: &str, before: &str, after: &'static str) -> Case {
    let good = format!("{OK}{coding}\r\n\r\n{before}").into_bytes();
    case(name)
        .gated(|g| vec![vec![Act::Body, Act::Send(good), Act::Wait(g), Act::Send(after.into()), Act::Close]])
        .flow(|f| f.send(get("/")).got("abc").open_gate().reply_cut(200).closed().request("GET / HTTP/1.1"))
}

/// Refused by Evenkeel, passed on by HAProxy with this status.
fn stricter(name: &'static str, haproxy: u16, bytes: impl AsRef<[u8]>, reason: &'static str) -> Case {
    case(name).answer_close(bytes).flow(|f| f.send(get("/"))).differs(
        reason,
        |f| f.reply(502).request("GET / HTTP/1.1"),
        |f| if haproxy < 200 { f.reply_head(haproxy) } else { f.reply(haproxy) }.request("GET / HTTP/1.1"),
    )
}

const STATUS: &str = "a status is three digits from 100 to 599 (RFC 9110 section 15)";
const LF: &str = "a line ends in CRLF; accepting LF alone makes two parsers see different lines";

const CHUNKED: &str = "Transfer-Encoding: chunked";
const OK: &str = "HTTP/1.1 200 OK\r\nX-Origin: 1\r\n";

#[test]
fn bad_responses() {
    run(
        &HTTP,
        vec![
            refused("not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
            refused("HTTP/0.9", "<html>hello</html>"),
            refused("a status that is no number", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
            stricter("a status of two digits", 20, "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", STATUS),
            stricter("a status of four digits", 2000, "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", STATUS),
            stricter("a status below 100", 99, "HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n", STATUS),
            stricter("an unknown version", 200, "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n", "HAProxy takes any version above 1.1 for 1.1"),
            refused("no version", "200 OK\r\nContent-Length: 0\r\n\r\n"),
            stricter("NUL in a value", 200, format!("{OK}X-A: b\0c\r\nContent-Length: 0\r\n\r\n"), "RFC 9110 section 5.5: NUL in a value is refused; HAProxy 2.6 forwards it"),
            refused("a bare CR in a value", format!("{OK}X-A: b\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n")),
            refused("a space before the colon", format!("{OK}X-A : b\r\nContent-Length: 0\r\n\r\n")),
            refused("a line without a colon", format!("{OK}nonsense\r\nContent-Length: 0\r\n\r\n")),
            stricter("a folded value", 200, format!("{OK}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n"), "RFC 9112 section 5.2 lets a gateway answer 502; HAProxy joins the lines"),
            stricter("a line that ends in LF alone", 200, format!("{OK}X-A: b\nX-B: c\r\nContent-Length: 0\r\n\r\n"), LF),
            refused("two lengths", format!("{OK}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")),
            refused("a length that is no number", format!("{OK}Content-Length: abc\r\n\r\nabc")),
            refused("a negative length", format!("{OK}Content-Length: -3\r\n\r\nabc")),
            stricter("length and coding", 200, format!("{OK}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "RFC 9112 section 6.3: a response with both is suspect; HAProxy drops the length"),
            refused("an unknown coding", format!("{OK}Transfer-Encoding: gzip\r\n\r\nabc")),
            refused("more fields than allowed", format!("{OK}{}\r\n", (0..150).map(|i| format!("X-{i}: 1\r\n")).collect::<String>())),
            cut("a chunk size that is no number", CHUNKED, "3\r\nabc\r\n", "zz\r\n"),
            cut("a chunk longer than its size", CHUNKED, "3\r\nabc", "def\r\n0\r\n\r\n"),
            cut("a trailer without a colon", CHUNKED, "3\r\nabc\r\n", "0\r\nnonsense\r\n\r\n"),
            cut("a chunk cut off", CHUNKED, "10\r\nabc", "d"),
            cut("a body cut off", "Content-Length: 10", "abc", "d"),
            case("bytes after the body are not the next answer")
                .answer(ok("mine") + &ok("stolen"))
                .flow(|f| f.send(get("/1")).reply(200).body("mine").request("GET /1 HTTP/1.1")),
            case("bytes after a 204 are not the next answer")
                .answer("HTTP/1.1 204 No Content\r\nX-Origin: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: 6\r\n\r\nstolen")
                .flow(|f| f.send(get("/1")).reply(204).request("GET /1 HTTP/1.1")),
        ],
    );
}
