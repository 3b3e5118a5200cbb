//! Header fields: what passes untouched, what ends at this hop, and what Host says.

use crate::case::{Case, case, get_with, ok};
use crate::run::run;
use crate::setup::HTTP;

#[test]
fn headers() {
    run(&HTTP, cases());
}

fn cases() -> Vec<Case> {
    vec![
        case("order and case of names stay, framing and Host apart").flow(|f| {
            f.send(get_with("/", "X-Zeta: 1\r\nAccept: */*\r\nx-alpha: 2\r\nUSER-AGENT: t\r\n"))
                .reply(200)
                .open()
                .request("GET / HTTP/1.1")
                .verbatim("X-Zeta: 1\r\nAccept: */*\r\nx-alpha: 2\r\nUSER-AGENT: t\r\n")
        }),
        case("repeated fields stay apart and in order").flow(|f| {
            f.send(get_with("/", "X-A: 1\r\nX-B: x\r\nX-A: 2\r\nx-a: 3, 4\r\n"))
                .reply(200)
                .open()
                .request("GET / HTTP/1.1")
                .verbatim("X-A: 1\r\nX-B: x\r\nX-A: 2\r\nx-a: 3, 4\r\n")
        }),
        case("response fields keep order and case")
            .answer("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nSet-Cookie: a=1\r\nX-Thing: b\r\nSet-Cookie: c=2\r\nContent-Length: 0\r\n\r\n")
            .flow(|f| f.send(get_with("/", "")).reply(200).verbatim("Set-Cookie: a=1\r\nX-Thing: b\r\nSet-Cookie: c=2\r\n").open().request("GET / HTTP/1.1")),
        case("a nominated field is removed").differs(
            "RFC 9110 section 7.6.1: an intermediary removes the fields that Connection names; HAProxy leaves them",
            |f| f.send(get_with("/", "Connection: X-Private\r\nX-Private: 1\r\n")).reply(200).open().request("GET / HTTP/1.1").lacks("x-private").lacks("connection"),
            |f| f.send(get_with("/", "Connection: X-Private\r\nX-Private: 1\r\n")).reply(200).open().request("GET / HTTP/1.1").has("x-private: 1"),
        ),
        case("a response's nominated field is removed")
            .answer("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nConnection: X-Private\r\nX-Private: 1\r\nContent-Length: 0\r\n\r\n")
            .differs(
                "RFC 9110 section 7.6.1, as for requests",
                |f| f.send(get_with("/", "")).reply(200).lacks("x-private").lacks("connection").open().request("GET / HTTP/1.1"),
                |f| f.send(get_with("/", "")).reply(200).has("x-private: 1").open().request("GET / HTTP/1.1"),
            ),
        case("Host cannot be nominated away").flow(|f| f.send(get_with("/", "Connection: host\r\n"))).differs(
            "Connection itself ends at this hop; HAProxy forwards what it does not know in it",
            |f| f.reply(200).open().request("GET / HTTP/1.1").has("host: a.example").lacks("connection"),
            |f| f.reply(200).open().request("GET / HTTP/1.1").has("host: a.example").has("connection: host"),
        ),
        case("Keep-Alive and Proxy-Connection end here").differs(
            "fields of one hop never travel further (RFC 9110 section 7.6.1); HAProxy forwards them as it got them",
            |f| f.send(get_with("/", "Keep-Alive: 300\r\nProxy-Connection: keep-alive\r\n")).reply(200).open().request("GET / HTTP/1.1").lacks("keep-alive").lacks("proxy-connection"),
            |f| f.send(get_with("/", "Keep-Alive: 300\r\nProxy-Connection: keep-alive\r\n")).reply(200).open().request("GET / HTTP/1.1"),
        ),
        case("TE: trailers").flow(|f| f.send(get_with("/", "TE: trailers\r\n")).reply(200).open().request("GET / HTTP/1.1")),
        case("authorization and cookies pass untouched").flow(|f| {
            f.send(get_with("/", "Authorization: Basic eDp5\r\nCookie: a=1; b=\"2\"\r\n"))
                .reply(200)
                .open()
                .request("GET / HTTP/1.1")
                .has("authorization: Basic eDp5")
                .has("cookie: a=1; b=\"2\"")
        }),
        case("an empty value").flow(|f| f.send(get_with("/", "X-Empty:\r\nX-Blank:   \r\n")).reply(200).open().request("GET / HTTP/1.1").has("x-empty: ").has("x-blank: ")),
        case("blanks around a value are not part of it").flow(|f| f.send(get_with("/", "X-A: \t v w \t \r\n")).reply(200).open().request("GET / HTTP/1.1").has("x-a: v w")),
        case("bytes above 127 in a value pass").flow(|f| f.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-U: caf\xc3\xa9\r\n\r\n").reply(200).open().request("GET / HTTP/1.1").has("x-u: café")),
        case("a long value passes").flow(|f| f.send(get_with("/", &format!("X-Long: {}\r\n", "v".repeat(4000)))).reply(200).open().request("GET / HTTP/1.1")),
        case("sixty fields pass").flow(|f| {
            let lines: String = (0..60).map(|i| format!("X-N{i}: {i}\r\n")).collect();
            f.send(get_with("/", &lines)).reply(200).open().request("GET / HTTP/1.1").has("x-n0: 0").has("x-n59: 59")
        }),
        case("Host with a port stays as it is").flow(|f| f.send("GET / HTTP/1.1\r\nHost: A.Example:8080\r\n\r\n").reply(200).open().request("GET / HTTP/1.1").has("host: A.Example:8080")),
        case("absolute-form").flow(|f| f.send("GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n").reply(200).open().request("GET http://a.example/x?y HTTP/1.1").has("host: a.example")),
        case("absolute-form without Host in HTTP/1.0")
            .flow(|f| f.send("GET http://a.example/x HTTP/1.0\r\n\r\n"))
            .differs(
                "a request that goes out as HTTP/1.1 has a Host (RFC 9112 section 3.2); HAProxy passes HTTP/1.0 without one",
                |f| f.reply(200).closed().request("GET http://a.example/x HTTP/1.1").has("host: a.example"),
                |f| f.reply(200).closed().request("GET http://a.example/x HTTP/1.1").lacks("host"),
            ),
        case("percent escapes and odd characters in a target pass").flow(|f| f.send(get_with("/%7Ea/../b//c;p=1?q[]=%00&r=a|b", "")).reply(200).open().request("GET /%7Ea/../b//c;p=1?q[]=%00&r=a|b HTTP/1.1")),
        case("a response field that ends at this hop")
            .answer("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")
            .flow(|f| f.send(get_with("/", "")).reply(200))
            .differs(
                "Keep-Alive speaks of the server's connection, not of the client's; HAProxy forwards it",
                |f| f.lacks("connection").lacks("keep-alive").open().request("GET / HTTP/1.1"),
                |f| f.lacks("connection").has("keep-alive: timeout=5").open().request("GET / HTTP/1.1"),
            ),
        case("nothing of a reply is invented").answer(ok("plain")).flow(|f| f.send(get_with("/", "")).reply(200).lacks("server").lacks("date").lacks("via").body("plain").open().request("GET / HTTP/1.1").lacks("via").lacks("x-forwarded-for")),
    ]
}
