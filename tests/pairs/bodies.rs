//! Payload: much of it, slowly, and with somebody who does not take it.

use evenkeel_testkit::{Act, Ask, Gate, Payload, Rng, Script};

use crate::setup::{Rules, every_pair, in_time, is_reference};

const MUCH: usize = 3 << 20;

fn pattern(n: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8).collect();
    block.iter().copied().cycle().take(n).collect()
}

#[test]
fn much_goes_up() {
    let mut rng = Rng::new(0x9a17);
    let body = rng.bytes(MUCH);
    every_pair(
        Rules::default(),
        || Script::always("taken"),
        |pair| {
            let mut client = pair.connect();
            for ask in [Ask::post("/", body.clone()), Ask::stream("/", body.clone())] {
                assert_eq!(in_time(pair, client.ask(&ask)).status, 200, "{pair}");
                let message = pair.origin.seen().pop().unwrap().message;
                assert!(message.complete && message.body == body, "{pair}: {} bytes arrived", message.body.len());
            }
        },
    );
}

#[test]
fn much_comes_down() {
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{MUCH:x}\r\n");
    let ways = [
        vec![Act::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n").into()), Act::SendMany(MUCH)],
        vec![Act::Send(chunked.into()), Act::SendMany(MUCH), Act::Send("\r\n0\r\n\r\n".into())],
        vec![Act::Send("HTTP/1.1 200 OK\r\n\r\n".into()), Act::SendMany(MUCH), Act::Close],
    ];
    for acts in ways {
        every_pair(
            Rules::default(),
            || Script::Http(vec![acts.clone()]),
            |pair| {
                let response = pair.ask(&Ask::get("/"));
                assert!(response.complete, "{pair}: cut after {} bytes", response.body.len());
                assert!(response.body == pattern(MUCH), "{pair}: {} bytes, and not the same", response.body.len());
            },
        );
    }
}

/// Each side gets what the other has sent before that one goes on: nothing waits for a buffer to fill.
#[test]
fn a_conversation() {
    let script = || {
        Script::Http(vec![vec![
            Act::Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into()),
            Act::Await(b"one".into()),
            Act::Send("3\r\nONE\r\n".into()),
            Act::Await(b"two".into()),
            Act::Send("3\r\nTWO\r\n0\r\n\r\n".into()),
        ]])
    };
    every_pair(Rules::default(), script, |pair| {
        let mut client = pair.connect();
        let mut call = in_time(pair, client.begin(&Ask::stream("/", "").payload(Payload::Open)));
        for (mine, theirs) in [("one", "ONE"), ("two", "TWO")] {
            in_time(pair, call.send(mine));
            assert!(in_time(pair, call.until(theirs)), "{pair}");
        }
        // The answer is whole by now, and the stream may have been ended for us.
        let _ = call.end();
        assert!(in_time(pair, call.finish()).complete, "{pair}");
    });
}

/// An event stream: each event is there before the next is made.
#[test]
fn events_are_not_held_back() {
    let gates: Vec<Gate> = (0..8 * 3).map(|_| Gate::new()).collect();
    let place = std::sync::atomic::AtomicUsize::new(0);
    let script = || {
        let at = place.fetch_add(3, std::sync::atomic::Ordering::SeqCst);
        let mut acts = vec![Act::Body, Act::Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".into())];
        for (n, gate) in gates[at..at + 3].iter().enumerate() {
            acts.extend([Act::Wait(gate.clone()), Act::Send(format!("data: {n}\n\n").into())]);
        }
        acts.push(Act::Close);
        Script::Http(vec![acts])
    };
    every_pair(Rules::default(), script, |pair| {
        let first = 3 * pair.name[1..].parse::<usize>().unwrap();
        let mut client = pair.connect();
        let mut call = in_time(pair, client.begin(&Ask::get("/")));
        assert_eq!(in_time(pair, call.status()), 200, "{pair}");
        for n in 0..3 {
            gates[first + n].open();
            assert!(in_time(pair, call.until(format!("data: {n}\n\n"))), "{pair}: event {n}");
        }
        assert!(in_time(pair, call.finish()).complete, "{pair}");
    });
}

/// A server that answers without reading the request is heard, and the client may go on.
#[test]
fn an_early_answer() {
    let script = || {
        Script::Http(vec![vec![Act::Send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".into()), Act::Body]])
    };
    every_pair(Rules::default(), script, |pair| {
        let mut client = pair.connect();
        let mut call = in_time(pair, client.begin(&Ask::stream("/", "").payload(Payload::Open)));
        in_time(pair, call.send("some"));
        assert_eq!(in_time(pair, call.status()), 403, "{pair}");
        assert!(in_time(pair, call.until("no")), "{pair}");
        // The stream may have been ended for us by then.
        let _ = call.end();
        assert_eq!(in_time(pair, call.finish()).status, 403, "{pair}");
    });
}

/// Streams of one connection do not wait for each other.
#[test]
fn one_stream_stuck_holds_no_other() {
    let script = || {
        Script::with(|request, _| match request.message.head.target() {
            "/stuck" => vec![
                Act::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n").into()),
                Act::SendMany(MUCH),
            ],
            _ => vec![Act::Body, Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into())],
        })
    };
    every_pair(Rules::default(), script, |pair| {
        // The reference lets one stream to a server hold up its connection.
        if !pair.h2_client() || (is_reference() && pair.h2_server()) {
            return;
        }
        let mut client = pair.connect();
        let mut stuck = in_time(pair, client.begin(&Ask::get("/stuck")));
        assert_eq!(in_time(pair, stuck.status()), 200, "{pair}");
        for _ in 0..10 {
            assert_eq!(in_time(pair, client.ask(&Ask::get("/"))).text(), "ok", "{pair}");
        }
        let response = in_time(pair, stuck.finish());
        assert!(response.complete && response.body == pattern(MUCH), "{pair}: {} bytes", response.body.len());
    });
}
