//! Requests and responses: what arrives on the other side, and in which words.

use evenkeel_testkit::{Act, Ask, Payload, Proto, Script};

use crate::setup::{NAME, Rules, every_pair, in_time, is_reference};

fn answer(text: &'static str) -> impl Fn() -> Script {
    move || Script::Http(vec![vec![Act::Body, Act::Send(text.into())]])
}

#[test]
fn get() {
    every_pair(
        Rules::default(),
        || Script::always("hello"),
        |pair| {
            let response = pair.ask(&Ask::get("/a/b?c=d&e").field("X-One", "1").field("X-Two", "a, b"));
            assert_eq!((response.status, response.text().as_str(), response.complete), (200, "hello", true), "{pair}");
            assert_eq!(response.get("x-origin"), Some("1"), "{pair}");
            let request = pair.origin.seen().remove(0);
            let head = &request.message.head;
            assert_eq!((head.method(), head.target()), ("GET", "/a/b?c=d&e"), "{pair}");
            assert_eq!((head.get("host"), head.all("host").len()), (Some(NAME), 1), "{pair}");
            assert_eq!((head.get("x-one"), head.get("x-two")), (Some("1"), Some("a, b")), "{pair}");
            assert_eq!((head.get("content-length"), head.is_chunked()), (None, false), "{pair}");
            assert!(request.message.complete && request.message.body.is_empty(), "{pair}");
            assert_eq!(head.start.ends_with("HTTP/2.0"), pair.server == Proto::H2, "{pair}: {}", head.start);
            // The reference says https of every request that came over HTTP/1.
            if pair.h2_server() && !is_reference() {
                let scheme = request.pseudo.iter().find(|(n, _)| n == ":scheme").map(|(_, v)| v.as_str());
                assert_eq!(scheme, Some(if pair.tls() { "https" } else { "http" }), "{pair}");
            }
            if let Some(session) = &request.session {
                assert_eq!(session.sni.as_deref(), Some(NAME), "{pair}");
                assert_eq!(session.alpn.as_deref(), Some(pair.server.alpn()), "{pair}");
            }
        },
    );
}

#[test]
fn post_with_a_length() {
    every_pair(
        Rules::default(),
        || Script::always("taken"),
        |pair| {
            let response = pair.ask(&Ask::post("/", "payload"));
            assert_eq!((response.status, response.text().as_str()), (200, "taken"), "{pair}");
            let message = pair.origin.seen().remove(0).message;
            assert_eq!((message.text().as_str(), message.complete), ("payload", true), "{pair}");
            assert_eq!((message.head.get("content-length"), message.head.is_chunked()), (Some("7"), false), "{pair}");
        },
    );
}

#[test]
fn post_of_unknown_length() {
    every_pair(
        Rules::default(),
        || Script::always("taken"),
        |pair| {
            let mut client = pair.connect();
            let mut call = in_time(pair, client.begin(&Ask::stream("/", "").payload(Payload::Open)));
            in_time(pair, call.send("pay"));
            in_time(pair, call.send("load"));
            in_time(pair, call.end());
            assert_eq!(in_time(pair, call.finish()).status, 200, "{pair}");
            let message = pair.origin.seen().remove(0).message;
            assert_eq!((message.text().as_str(), message.complete), ("payload", true), "{pair}");
            assert_eq!(message.head.get("content-length"), None, "{pair}");
            assert_eq!(message.head.is_chunked(), !pair.h2_server(), "{pair}");
        },
    );
}

#[test]
fn an_empty_post() {
    every_pair(
        Rules::default(),
        || Script::always("taken"),
        |pair| {
            assert_eq!(pair.ask(&Ask::post("/", "")).status, 200, "{pair}");
            let message = pair.origin.seen().remove(0).message;
            assert_eq!((message.body.len(), message.complete), (0, true), "{pair}");
            assert_eq!(message.head.get("content-length"), Some("0"), "{pair}");
        },
    );
}

#[test]
fn head_has_a_length_and_no_body() {
    every_pair(Rules::default(), answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), |pair| {
        let mut client = pair.connect();
        for _ in 0..2 {
            let response = in_time(pair, client.ask(&Ask::new("HEAD", "/")));
            assert_eq!((response.status, response.body.len(), response.complete), (200, 0, true), "{pair}");
            assert_eq!(response.get("content-length"), Some("5"), "{pair}");
        }
    });
}

#[test]
fn statuses_without_a_body() {
    for (status, text) in [
        (204, "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        (304, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nX-A: 1\r\n\r\n"),
    ] {
        every_pair(Rules::default(), answer(text), |pair| {
            let mut client = pair.connect();
            for _ in 0..2 {
                let response = in_time(pair, client.ask(&Ask::get("/")));
                assert_eq!((response.status, response.body.len(), response.complete), (status, 0, true), "{pair}");
                assert_eq!(response.get("x-a"), Some("1"), "{pair}");
                assert_eq!(response.get("transfer-encoding"), None, "{pair}");
            }
        });
    }
}

#[test]
fn an_empty_answer_of_unknown_length() {
    every_pair(Rules::default(), answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), |pair| {
        let response = pair.ask(&Ask::get("/"));
        assert_eq!((response.status, response.body.len(), response.complete), (200, 0, true), "{pair}");
    });
}

#[test]
fn trailers_go_both_ways() {
    let text = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\nX-Last: yes\r\n\r\n";
    every_pair(Rules::default(), answer(text), |pair| {
        let ask =
            Ask::stream("/", "payload").field("Trailer", "X-Check").field("TE", "trailers").trailer("X-Check", "7");
        let response = pair.ask(&ask);
        assert_eq!((response.text().as_str(), response.complete), ("abc", true), "{pair}");
        assert_eq!((response.trailer("x-sum"), response.trailer("x-last")), (Some("6"), Some("yes")), "{pair}");
        let message = pair.origin.seen().remove(0).message;
        assert_eq!(message.text(), "payload", "{pair}");
        let trailers: Vec<_> = message.trailers.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.as_str())).collect();
        assert_eq!(trailers, [("x-check".to_owned(), "7")], "{pair}");
    });
}

#[test]
fn interim_responses_are_passed_on() {
    let text = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    every_pair(Rules::default(), answer(text), |pair| {
        let response = pair.ask(&Ask::get("/"));
        assert_eq!((response.status, response.text().as_str()), (200, "ok"), "{pair}");
        let statuses: Vec<u16> = response.interim.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [103, 103], "{pair}");
        let link = response.interim[0].1.iter().find(|(n, _)| n.eq_ignore_ascii_case("link"));
        assert_eq!(link.map(|(_, v)| v.as_str()), Some("</style.css>; rel=preload"), "{pair}");
    });
}

#[test]
fn a_client_that_expects_is_told_to_continue() {
    let acts = || {
        Script::Http(vec![vec![
            Act::Send("HTTP/1.1 100 Continue\r\n\r\n".into()),
            Act::Body,
            Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into()),
        ]])
    };
    every_pair(Rules::default(), acts, |pair| {
        let mut client = pair.connect();
        let ask =
            Ask::post("/", "").field("Expect", "100-continue").field("Content-Length", "4").payload(Payload::Open);
        let mut call = in_time(pair, client.begin(&ask));
        assert_eq!(in_time(pair, call.interim()), Some(100), "{pair}");
        in_time(pair, call.send("body"));
        in_time(pair, call.end());
        let response = in_time(pair, call.finish());
        assert_eq!((response.status, response.text().as_str()), (200, "ok"), "{pair}");
        assert_eq!(pair.origin.seen()[0].message.text(), "body", "{pair}");
    });
}

/// RFC 9113 section 8.2.3: crumbs of a cookie are joined for HTTP/1, and for a server over HTTP/2 mean the same in either form.
#[test]
fn cookie_crumbs_are_one_cookie() {
    every_pair(
        Rules::default(),
        || Script::always("x"),
        |pair| {
            let mut ask = Ask::get("/");
            ask = if pair.h2_client() {
                ask.field("cookie", "a=1").field("cookie", "b=2").field("cookie", "c=3")
            } else {
                ask.field("Cookie", "a=1; b=2; c=3")
            };
            assert_eq!(pair.ask(&ask).status, 200, "{pair}");
            let head = pair.origin.seen().remove(0).message.head;
            assert_eq!(head.all("cookie").join("; "), "a=1; b=2; c=3", "{pair}");
            if !pair.h2_server() {
                assert_eq!(head.all("cookie").len(), 1, "{pair}");
            }
        },
    );
}

#[test]
fn set_cookies_stay_apart() {
    let text = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n";
    every_pair(Rules::default(), answer(text), |pair| {
        assert_eq!(pair.ask(&Ask::get("/")).all("set-cookie"), ["a=1; Path=/", "b=2"], "{pair}");
    });
}

/// What speaks of one connection ends at the proxy; the rest goes through.
#[test]
fn fields_of_a_connection_are_not_passed_on() {
    let text = "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n";
    every_pair(Rules::default(), answer(text), |pair| {
        let mut ask = Ask::get("/").field("X-End", "1").field("TE", "trailers");
        if !pair.h2_client() {
            ask = ask.field("Connection", "X-Hop, keep-alive").field("X-Hop", "1");
        }
        let response = pair.ask(&ask);
        assert_eq!((response.status, response.get("x-end")), (200, Some("2")), "{pair}");
        assert_eq!(pair.origin.seen()[0].message.head.get("x-end"), Some("1"), "{pair}");
        if pair.h2_client() {
            assert_eq!((response.get("connection"), response.get("keep-alive")), (None, None), "{pair}");
            assert!(response.fields.iter().all(|(n, _)| !n.bytes().any(|b| b.is_ascii_uppercase())), "{pair}");
        }
    });
}

/// Long heads need CONTINUATION frames on one side and a large buffer on the other.
#[test]
fn long_fields() {
    let long = "x".repeat(9_000);
    let text = format!("HTTP/1.1 200 OK\r\nX-Long: {long}\r\nContent-Length: 0\r\n\r\n");
    let script = || Script::Http(vec![vec![Act::Body, Act::Send(text.clone().into_bytes())]]);
    every_pair(Rules::default(), script, |pair| {
        let response = pair.ask(&Ask::get("/").field("X-Long", &long));
        assert_eq!((response.status, response.get("x-long")), (200, Some(long.as_str())), "{pair}");
        assert_eq!(pair.origin.seen()[0].message.head.get("x-long"), Some(long.as_str()), "{pair}");
    });
}

#[test]
fn methods_and_odd_paths() {
    every_pair(
        Rules::default(),
        || Script::always("x"),
        |pair| {
            let mut client = pair.connect();
            for (method, path) in
                [("OPTIONS", "/o"), ("DELETE", "/d%20e/..;/x"), ("PATCH", "/p?a=%00"), ("BREW", "//double")]
            {
                let ask = if method == "PATCH" {
                    Ask::new(method, path).payload(Payload::Counted(b"p".into()))
                } else {
                    Ask::new(method, path)
                };
                assert_eq!(in_time(pair, client.ask(&ask)).status, 200, "{pair}: {method} {path}");
                let head = pair.origin.seen().pop().unwrap().message.head;
                assert_eq!((head.method(), head.target()), (method, path), "{pair}");
            }
        },
    );
}

#[test]
fn connections_are_reused() {
    every_pair(
        Rules::default(),
        || Script::always("x"),
        |pair| {
            let mut client = pair.connect();
            for n in 0..5 {
                assert_eq!(in_time(pair, client.ask(&Ask::post(&format!("/{n}"), "p"))).status, 200, "{pair}");
            }
            assert_eq!(pair.origin.connections(), 1, "{pair}: five requests on one connection");
        },
    );
}
