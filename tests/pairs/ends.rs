//! Messages that do not come to their end, and who learns of it.

use evenkeel_testkit::{Act, Ask, Gate, Payload, Script};

use crate::setup::{Rules, every_pair, in_time, is_reference};

/// A transfer cut short must not look whole on the other side.
#[test]
fn a_server_that_fails_in_the_middle() {
    let ways = ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"];
    for (way, act) in ways.iter().flat_map(|w| [Act::Close, Act::Reset].map(|a| (w, a))) {
        let gate = Gate::new();
        let script = || {
            let head = format!("HTTP/1.1 200 OK\r\n{way}");
            Script::Http(vec![vec![Act::Body, Act::Send(head.into()), Act::Wait(gate.clone()), act.clone()]])
        };
        every_pair(Rules::default(), script, |pair| {
            gate.shut();
            let mut client = pair.connect();
            let mut call = in_time(pair, client.begin(&Ask::get("/")));
            assert_eq!(in_time(pair, call.status()), 200, "{pair}");
            assert!(in_time(pair, call.until("abc")), "{pair}");
            gate.open();
            let response = in_time(pair, call.finish());
            if is_reference() && pair.h2_client() {
                // It ends the stream as if all had come.
                return;
            }
            assert!(!response.complete, "{pair}: {way:?} then {act:?} looks whole");
            assert_eq!(response.reset.is_some(), pair.h2_client(), "{pair}: {:?}", response.reset);
            if pair.h2_client() {
                // Its connection serves others.
                in_time(pair, client.h2().ping());
            }
        });
    }
}

#[test]
fn a_server_that_says_nothing() {
    every_pair(
        Rules::default(),
        || Script::Http(vec![vec![Act::Body, Act::Close]]),
        |pair| {
            let response = pair.ask(&Ask::post("/", "x"));
            if is_reference() && pair.h2_client() {
                // It resets such a stream without a word.
                return;
            }
            assert_eq!((response.status, response.complete), (502, true), "{pair}");
        },
    );
}

#[test]
fn a_server_that_is_too_slow() {
    let gate = Gate::new();
    let rules = Rules { timeouts: &[("server", "200ms")], ..Rules::default() };
    every_pair(
        rules,
        || Script::held(&gate, "late"),
        |pair| {
            assert_eq!(pair.ask(&Ask::get("/")).status, 504, "{pair}");
        },
    );
    gate.open();
}

#[test]
fn a_server_that_is_not_there() {
    every_pair(
        Rules { no_retries: true, ..Rules::default() },
        || Script::always("x"),
        |pair| {
            assert_eq!(pair.ask(&Ask::get("/")).status, 200, "{pair}");
            pair.origin.stop();
            let response = pair.ask(&Ask::get("/"));
            assert_eq!((response.status, response.complete), (503, true), "{pair}");
            pair.origin.resume();
            assert_eq!(pair.ask(&Ask::get("/")).status, 200, "{pair}");
        },
    );
}

/// The server learns that nobody waits any more.
#[test]
fn a_client_that_gives_up() {
    let script = || Script::Http(vec![vec![Act::Send("HTTP/1.1 200 OK\r\n\r\nbegun".into()), Act::DrainToEof]]);
    every_pair(Rules::default(), script, |pair| {
        let mut client = pair.connect();
        let mut call = in_time(pair, client.begin(&Ask::stream("/", "").payload(Payload::Open)));
        in_time(pair, call.send("some"));
        assert!(in_time(pair, call.until("begun")), "{pair}");
        call.abort();
        drop(client);
        let seen =
            pair.origin.wait_seen(|s| s.first().is_some_and(|r| r.eof)).unwrap_or_else(|s| panic!("{pair}: {s:?}"));
        if is_reference() && pair.h2_server() {
            // Now and then it ends the stream instead of resetting it.
            return;
        }
        assert!(!seen[0].message.complete && !seen[0].raw.ends_with(b"0\r\n\r\n"), "{pair}: it looks whole");
    });
}

/// A stream given up leaves its connection, and its neighbours, in peace.
#[test]
fn one_stream_given_up_harms_no_other() {
    let gate = Gate::new();
    let script = || {
        let gate = gate.clone();
        Script::with(move |request, _| {
            let mut acts = vec![Act::Body];
            if request.message.head.target() == "/wait" {
                acts.push(Act::Wait(gate.clone()));
            }
            acts.push(Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into()));
            acts
        })
    };
    every_pair(Rules::default(), script, |pair| {
        if !pair.h2_client() {
            return;
        }
        gate.shut();
        let mut client = pair.connect();
        let kept = in_time(pair, client.begin(&Ask::get("/wait")));
        for _ in 0..3 {
            in_time(pair, client.begin(&Ask::get("/wait"))).abort();
        }
        assert_eq!(in_time(pair, client.ask(&Ask::get("/"))).text(), "ok", "{pair}");
        gate.open();
        assert_eq!(in_time(pair, kept.finish()).text(), "ok", "{pair}");
    });
}

/// RFC 9113 section 8.1.1: the announced length is a promise.
#[test]
fn a_length_that_is_not_kept_is_refused() {
    every_pair(
        Rules::default(),
        || Script::always("x"),
        |pair| {
            if !pair.h2_client() {
                return;
            }
            for body in ["abc", "abcdefgh"] {
                let mut client = pair.connect();
                let ask = Ask::post("/", "").field("content-length", "5").payload(Payload::Open);
                let mut call = in_time(pair, client.begin(&ask));
                let _ = call.send(body).and_then(|()| call.end());
                let response = in_time(pair, call.finish());
                let refused = response.reset.is_some() || response.status == 400;
                assert!(refused, "{pair}: {body:?} for five bytes: {response:?}");
                let seen = pair.origin.seen();
                assert!(seen.iter().all(|r| !r.message.complete), "{pair}: the server took it for whole");
            }
        },
    );
}
