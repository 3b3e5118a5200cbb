#![allow(clippy::unwrap_used)]
use super::*;
use crate::certs::Ca;
use crate::{Act, Gate, H2Options, Origin, OriginOptions, Script, TlsClient, TlsClientOptions, TlsServer};

/// The client against the origin without anything between, in every way there is.
fn ways() -> Vec<(Via, OriginOptions)> {
    let ca = Ca::new("root");
    let server = TlsServer::new(&ca.leaf(&["test.example"]), &["h2", "http/1.1"]);
    let client = TlsClient::with("test.example", &TlsClientOptions { ca: Some(&ca), ..TlsClientOptions::default() });
    let secure = OriginOptions { tls: Some(server), ..OriginOptions::default() };
    let mut ways = Vec::new();
    for proto in [Proto::H1, Proto::H2] {
        ways.push((Via::clear(proto), OriginOptions::default()));
        ways.push((Via::tls(proto, &client), secure.clone()));
    }
    ways
}

fn every(script: impl Fn() -> Script, body: impl Fn(Client, &Origin)) {
    for (via, options) in ways() {
        eprintln!("via {via}");
        let origin = Origin::start_with(options, script());
        let client = Client::connect(origin.addr(), &via).unwrap();
        body(client, &origin);
        assert_eq!(origin.faults(), Vec::<String>::new(), "{via}");
    }
}

#[test]
fn a_request_and_its_answer() {
    every(
        || Script::always("hello"),
        |mut client, origin| {
            let response = client.ask(&Ask::post("/a?b", "payload").field("X-One", "1")).unwrap();
            assert_eq!((response.status, response.text().as_str(), response.complete), (200, "hello", true));
            assert_eq!(response.get("x-origin"), Some("1"));
            let again = client.ask(&Ask::stream("/c", "more").trailer("X-Sum", "9")).unwrap();
            assert_eq!(again.status, 200);
            let head = client.ask(&Ask::new("HEAD", "/h")).unwrap();
            assert_eq!((head.status, head.body.len(), head.complete), (200, 0, true));
            let seen = origin.seen();
            assert_eq!(seen[0].message.head.target(), "/a?b");
            assert_eq!(seen[0].message.head.get("host"), Some("test.example"));
            assert_eq!(seen[0].message.head.get("x-one"), Some("1"));
            assert_eq!(seen[0].message.text(), "payload");
            assert_eq!(seen[1].message.text(), "more");
            assert_eq!(seen[1].message.trailers.len(), 1);
            assert!(seen.iter().all(|r| r.connection == 0 && r.message.complete));
        },
    );
}

#[test]
fn interim_chunks_and_trailers() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n";
    every(
        || Script::Http(vec![vec![Act::Body, Act::Send(answer.into())]]),
        |mut client, _| {
            let response = client.ask(&Ask::get("/")).unwrap();
            assert_eq!(response.interim.len(), 1);
            assert_eq!(response.interim[0].0, 103);
            assert_eq!((response.status, response.text().as_str(), response.complete), (200, "abcde", true));
            assert_eq!(response.trailer("x-sum"), Some("5"));
        },
    );
}

#[test]
fn much_goes_both_ways() {
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n";
    every(
        || Script::Http(vec![vec![Act::Body, Act::Send(head.into()), Act::SendMany(5_000_000)]]),
        |mut client, origin| {
            let response = client.ask(&Ask::post("/", body.clone())).unwrap();
            assert_eq!((response.body.len(), response.complete), (5_000_000, true));
            assert!(origin.seen()[0].message.body == body);
        },
    );
}

#[test]
fn nobody_sends_beyond_a_window() {
    let options = H2Options { wide: false, ..H2Options::default() };
    let origin = Origin::start(Script::Http(vec![vec![
        Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".into()),
        Act::SendMany(1_000_000),
    ]]));
    let mut client = Client::connect_with(origin.addr(), &Via::clear(Proto::H2), &options).unwrap();
    let mut call = client.begin(&Ask::get("/")).unwrap();
    assert_eq!(call.status().unwrap(), 200);
    client.h2().ping().unwrap();
    assert!(!origin.seen().is_empty());
    assert_eq!(call.finish().unwrap().body.len(), 1_000_000);
    assert_eq!(client.h2().faults(), Vec::<String>::new());
}

#[test]
fn an_answer_cut_short_is_not_complete() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    for act in [Act::Close, Act::Reset, Act::Rst(8), Act::Cut] {
        every(
            || Script::Http(vec![vec![Act::Body, Act::Send(head.into()), act.clone()]]),
            |mut client, _| {
                let mut call = client.begin(&Ask::get("/")).unwrap();
                // A reset may overtake what was sent before it.
                let status = call.status().unwrap();
                let response = call.finish().unwrap();
                assert!(status == 200 || status == 0, "{act:?}: {response:?}");
                assert!(!response.complete, "{act:?}: {response:?}");
                if let (Act::Rst(code), Line::H2(..)) = (&act, &client.line) {
                    assert_eq!(response.reset, Some(*code));
                }
            },
        );
    }
}

#[test]
fn an_abort_is_seen() {
    every(
        || Script::Http(vec![vec![Act::Send("HTTP/1.1 200 OK\r\n\r\n".into()), Act::DrainToEof]]),
        |mut client, origin| {
            let mut call = client.begin(&Ask::stream("/", "x").payload(Payload::Open)).unwrap();
            assert_eq!(call.status().unwrap(), 200);
            let h2 = matches!(client.line, Line::H2(..));
            call.abort();
            drop(client);
            let seen = origin.wait_seen(|s| s.first().is_some_and(|r| r.eof)).unwrap();
            assert_eq!(seen[0].reset, h2.then_some(code::CANCEL));
        },
    );
}

#[test]
fn a_websocket_echoes() {
    every(Script::websocket, |mut client, origin| {
        let mut call = client.begin(&Ask::websocket("/chat")).unwrap();
        let status = call.status().unwrap();
        assert!(status == 101 || status == 200, "{status}");
        for text in ["one", "two"] {
            call.send(text).unwrap();
            assert!(call.until(text).unwrap());
        }
        call.end().unwrap();
        let response = call.finish().unwrap();
        assert_eq!((response.text().as_str(), response.complete), ("onetwo", true));
        assert_eq!(origin.seen()[0].raw, b"onetwo");
    });
}

#[test]
fn many_streams_share_a_connection() {
    let gate = Gate::new();
    let origin = Origin::start(Script::held(&gate, "late"));
    let mut client = Client::connect(origin.addr(), &Via::clear(Proto::H2)).unwrap();
    let calls: Vec<Call> = (0..50).map(|n| client.begin(&Ask::get(&format!("/{n}"))).unwrap()).collect();
    origin.wait_seen(|s| s.len() == 50).unwrap();
    gate.open();
    for call in calls {
        assert_eq!(call.finish().unwrap().text(), "late");
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(client.h2().opened(), 50);
}

#[test]
fn goaway_is_heard() {
    let origin = Origin::start(Script::Http(vec![vec![
        Act::Body,
        Act::GoAway(code::NO_ERROR),
        Act::Send("HTTP/1.1 204 No Content\r\n\r\n".into()),
    ]]));
    let mut client = Client::connect(origin.addr(), &Via::clear(Proto::H2)).unwrap();
    assert_eq!(client.ask(&Ask::get("/")).unwrap().status, 204);
    assert_eq!(client.h2().wait_goaway().unwrap(), (1, code::NO_ERROR));
    assert!(client.begin(&Ask::get("/")).is_err());
}

#[test]
fn sessions_tell_what_was_agreed() {
    let (good, other) = (Ca::new("good"), Ca::new("other"));
    let server = TlsServer::with(&good.leaf_rsa(&["a.example"]), &["h2", "http/1.1"], Some(&good), &[]);
    let origin = Origin::start_tls(&server, Script::always("x"));
    let identity = good.client("someone");
    let with = |ca, identity| TlsClientOptions { ca: Some(ca), identity, ..TlsClientOptions::default() };
    let trusted = Via::tls(Proto::H2, &TlsClient::with("a.example", &with(&good, Some(&identity))));
    let mut client = Client::connect(origin.addr(), &trusted).unwrap();
    let session = client.session().unwrap().clone();
    assert_eq!((session.alpn.as_deref(), session.resumed), (Some("h2"), false));
    assert_eq!(client.ask(&Ask::get("/")).unwrap().status, 200);
    let seen = origin.seen().remove(0).session.unwrap();
    assert_eq!((seen.sni.as_deref(), seen.peer.len()), (Some("a.example"), 1));
    // Tickets came before the answer.
    let again = Client::connect(origin.addr(), &trusted).unwrap();
    assert!(again.session().unwrap().resumed);

    let stranger = Via::tls(Proto::H1, &TlsClient::with("a.example", &with(&other, Some(&identity))));
    let error = Client::connect(origin.addr(), &stranger).unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert_eq!(origin.wait_refused(1).unwrap().len(), 1);
}
