//! Answers of the proxy's own, and rules that change what passes.

use evenkeel_testkit::{Act, Ask, Gate, Script};

use crate::setup::{NAME, Rules, every_pair, in_time};

#[test]
fn a_denied_request() {
    let rules = Rules { request: &["deny deny_status 403 if { path_beg /secret }"], ..Rules::default() };
    every_pair(
        rules,
        || Script::always("x"),
        |pair| {
            let response = pair.denied(&Ask::get("/secret/door"));
            assert_eq!((response.status, response.complete), (403, true), "{pair}");
            assert!(response.text().contains("403"), "{pair}: an error page: {:?}", response.text());
            assert_eq!(pair.ask(&Ask::get("/")).status, 200, "{pair}");
        },
    );
}

/// A request that is answered before its payload has come leaves the connection usable, or says that it does not.
#[test]
fn a_denied_upload() {
    let rules = Rules { request: &["deny deny_status 429"], ..Rules::default() };
    every_pair(
        rules,
        || Script::always("x"),
        |pair| {
            let response = pair.denied(&Ask::post("/", vec![b'x'; 300_000]));
            assert_eq!(response.status, 429, "{pair}");
        },
    );
}

#[test]
fn a_redirect() {
    let rules = Rules { request: &["redirect code 308 location https://other.example%[path]"], ..Rules::default() };
    every_pair(
        rules,
        || Script::always("x"),
        |pair| {
            let response = pair.denied(&Ask::get("/a"));
            assert_eq!((response.status, response.get("location")), (308, Some("https://other.example/a")), "{pair}");
        },
    );
}

#[test]
fn an_answer_of_its_own() {
    let rules = Rules {
        request: &[
            "return status 200 content-type text/plain lf-string \"%[method] %[path] %[req.hdr(host)]\" hdr X-Own yes",
        ],
        ..Rules::default()
    };
    every_pair(
        rules,
        || Script::always("x"),
        |pair| {
            let response = pair.denied(&Ask::get("/own"));
            assert_eq!((response.status, response.text()), (200, format!("GET /own {NAME}")), "{pair}");
            assert_eq!(response.get("x-own"), Some("yes"), "{pair}");
            let head = pair.denied(&Ask::new("HEAD", "/own"));
            assert_eq!((head.status, head.body.len(), head.complete), (200, 0, true), "{pair}");
        },
    );
}

#[test]
fn rules_that_change_messages() {
    let rules = Rules {
        request: &[
            "set-header X-Added one",
            "del-header X-Gone",
            "set-path /changed%[path]",
            "set-header X-Ver %[req.ver]",
        ],
        response: &["set-header X-Seen %[res.hdr(x-origin)]", "set-status 201"],
        ..Rules::default()
    };
    every_pair(
        rules,
        || Script::always("x"),
        |pair| {
            let response = pair.ask(&Ask::get("/a").field("X-Gone", "1"));
            assert_eq!((response.status, response.get("x-seen")), (201, Some("1")), "{pair}");
            let head = pair.origin.seen().remove(0).message.head;
            assert_eq!(
                (head.get("x-added"), head.get("x-gone"), head.target()),
                (Some("one"), None, "/changed/a"),
                "{pair}"
            );
            let version = if pair.h2_client() { "2.0" } else { "1.1" };
            assert_eq!(head.get("x-ver"), Some(version), "{pair}");
        },
    );
}

/// The host that rules see is the one the server is told, whichever way the client said it.
#[test]
fn a_host_that_is_set_is_the_one_that_arrives() {
    let rules = Rules {
        request: &["set-header X-Before %[req.hdr(host)]", "set-header Host inner.example"],
        ..Rules::default()
    };
    every_pair(
        rules,
        || Script::always("x"),
        |pair| {
            assert_eq!(pair.ask(&Ask::get("/")).status, 200, "{pair}");
            let head = pair.origin.seen().remove(0).message.head;
            assert_eq!(head.get("x-before"), Some(NAME), "{pair}");
            assert_eq!(head.all("host"), ["inner.example"], "{pair}");
        },
    );
}

#[test]
fn a_rule_that_reads_the_payload() {
    let rules = Rules { request: &["wait-for-body time 5s", "deny if { req.body -m sub evil }"], ..Rules::default() };
    every_pair(
        rules,
        || Script::always("taken"),
        |pair| {
            assert_eq!(pair.ask(&Ask::post("/", "something evil")).status, 403, "{pair}");
            assert_eq!(pair.ask(&Ask::stream("/", "something evil")).status, 403, "{pair}");
            assert_eq!(pair.origin.served(), 0, "{pair}");
            assert_eq!(pair.ask(&Ask::post("/", "something good")).status, 200, "{pair}");
            assert_eq!(pair.origin.seen()[0].message.text(), "something good", "{pair}");
        },
    );
}

/// Rules on an answer that wait for its payload see all of it, the rules behind the wait run, and the client gets what
/// came and what comes later, with its trailers.
#[test]
fn a_rule_that_reads_the_payload_of_the_answer() {
    let rules = Rules {
        response: &[
            "wait-for-body time 5s",
            "set-header X-Len %[res.body_len]",
            "deny deny_status 500 if { res.body -m sub secret }",
            "del-header X-Inner",
        ],
        ..Rules::default()
    };
    let script = || {
        Script::with(|request, _| {
            let answer = |head: &str, body: &str| {
                Act::Send(format!("HTTP/1.1 200 OK\r\nX-Inner: 1\r\n{head}\r\n\r\n{body}").into_bytes())
            };
            match request.message.head.target() {
                "/secret" => vec![Act::Body, answer("Content-Length: 16", "this is "), Act::Send(b"a secret".to_vec())],
                "/chunks" => vec![
                    Act::Body,
                    answer("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
                    Act::Send(b"6\r\n world\r\n".to_vec()),
                    Act::Send(b"0\r\nX-Trailer: end\r\n\r\n".to_vec()),
                ],
                "/long" => vec![Act::Body, answer("Content-Length: 200000", ""), Act::SendMany(200_000)],
                "/empty" => vec![Act::Body, answer("Content-Length: 0", "")],
                _ => vec![Act::Body, answer("Content-Length: 4", ""), Act::Send(b"good".to_vec())],
            }
        })
    };
    every_pair(rules, script, |pair| {
        let good = pair.ask(&Ask::get("/"));
        assert_eq!((good.status, good.get("x-len"), good.get("x-inner")), (200, Some("4"), None), "{pair}");
        assert_eq!((good.text().as_str(), good.complete), ("good", true), "{pair}");
        let chunks = pair.ask(&Ask::get("/chunks"));
        assert_eq!((chunks.get("x-len"), chunks.text().as_str()), (Some("11"), "hello world"), "{pair}");
        assert_eq!(chunks.trailer("x-trailer"), Some("end"), "{pair}");
        let empty = pair.ask(&Ask::get("/empty"));
        assert_eq!((empty.get("x-len"), empty.body.len(), empty.complete), (Some("0"), 0, true), "{pair}");
        // Longer than the buffer: the rules see what it holds, the client gets all.
        let long = pair.ask(&Ask::get("/long"));
        let seen: usize = long.get("x-len").and_then(|n| n.parse().ok()).unwrap_or(0);
        assert!((1000..200_000).contains(&seen), "{pair}: {seen}");
        assert_eq!((long.body.len(), long.complete), (200_000, true), "{pair}");
        assert_eq!(pair.ask(&Ask::get("/secret")).status, 500, "{pair}");
    });
}

/// `at-least` waits for so much and no more; a payload that does not come in time is the server's fault.
#[test]
fn an_answer_whose_payload_does_not_come() {
    let gate = Gate::new();
    let rules = Rules {
        response: &[
            "wait-for-body time 5s at-least 3 if { res.hdr(x-part) 1 }",
            "wait-for-body time 50ms if ! { res.hdr(x-part) 1 }",
            "set-header X-Len %[res.body_len]",
        ],
        ..Rules::default()
    };
    let script = || {
        let gate = gate.clone();
        Script::with(move |request, _| {
            let part = if request.message.head.target() == "/part" { "X-Part: 1\r\n" } else { "" };
            let head = format!("HTTP/1.1 200 OK\r\n{part}Content-Length: 6\r\n\r\nabc");
            vec![Act::Body, Act::Send(head.into_bytes()), Act::Wait(gate.clone()), Act::Send(b"def".to_vec())]
        })
    };
    every_pair(rules, script, |pair| {
        gate.shut();
        assert_eq!(pair.ask(&Ask::get("/")).status, 504, "{pair}");
        gate.open();
        let part = pair.ask(&Ask::get("/part"));
        assert_eq!((part.status, part.text().as_str()), (200, "abcdef"), "{pair}");
    });
}

/// A rule that pauses does not end its set.
#[test]
fn an_answer_that_is_held_back() {
    let rules = Rules { response: &["pause 5ms", "set-header X-After yes"], ..Rules::default() };
    every_pair(
        rules,
        || Script::always("x"),
        |pair| {
            let response = pair.ask(&Ask::get("/"));
            assert_eq!((response.status, response.get("x-after")), (200, Some("yes")), "{pair}");
        },
    );
}

/// The option waits for the payload without a rule that says so.
#[test]
fn an_option_that_waits_for_the_payload() {
    let rules = Rules {
        request: &["deny if { req.body -m sub evil }"],
        options: &["http-buffer-request"],
        timeouts: &[("http-request", "5s")],
        ..Rules::default()
    };
    every_pair(
        rules,
        || Script::always("taken"),
        |pair| {
            assert_eq!(pair.ask(&Ask::stream("/", "something evil")).status, 403, "{pair}");
            assert_eq!(pair.origin.served(), 0, "{pair}");
            assert_eq!(pair.ask(&Ask::stream("/", "something good")).status, 200, "{pair}");
            assert_eq!(pair.origin.seen()[0].message.text(), "something good", "{pair}");
        },
    );
}

#[test]
fn what_a_rule_knows_of_the_connection() {
    let rules =
        Rules { request: &["set-header X-Tls %[ssl_fc]", "set-header X-Alpn %[ssl_fc_alpn]"], ..Rules::default() };
    every_pair(
        rules,
        || Script::always("x"),
        |pair| {
            assert_eq!(pair.ask(&Ask::get("/")).status, 200, "{pair}");
            let head = pair.origin.seen().remove(0).message.head;
            assert_eq!(head.get("x-tls"), Some(if pair.tls() { "1" } else { "0" }), "{pair}");
            let alpn = if pair.tls() { pair.via.proto.alpn() } else { "" };
            assert_eq!(head.get("x-alpn").unwrap_or_default(), alpn, "{pair}");
        },
    );
}

/// Several requests at once, whose answers come in the opposite order.
#[test]
fn requests_at_once() {
    let gate = Gate::new();
    let script = || {
        let gate = gate.clone();
        Script::with(move |request, _| {
            let path = request.message.head.target().to_owned();
            let mut acts = vec![Act::Body];
            if path != "/9" {
                acts.push(Act::Wait(gate.clone()));
            }
            acts.push(Act::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).into()));
            acts
        })
    };
    every_pair(Rules::default(), script, |pair| {
        gate.shut();
        let mut clients: Vec<_> = (0..if pair.h2_client() { 1 } else { 10 }).map(|_| pair.connect()).collect();
        let many = clients.len();
        let mut calls: Vec<_> =
            (0..10).map(|n| in_time(pair, clients[n % many].begin(&Ask::get(&format!("/{n}"))))).collect();
        let last = in_time(pair, calls.pop().unwrap().finish());
        assert_eq!(last.text(), "/9", "{pair}");
        gate.open();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(in_time(pair, call.finish()).text(), format!("/{n}"), "{pair}");
        }
    });
}
