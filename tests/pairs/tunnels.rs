//! What is more than one answer to one request: WebSocket, CONNECT, gRPC.

use evenkeel_testkit::{Act, Ask, Payload, Script};

use crate::setup::{Rules, every_pair, in_time};

#[test]
fn a_websocket() {
    every_pair(Rules::default(), Script::websocket, |pair| {
        let mut client = pair.connect();
        let mut call = in_time(pair, client.begin(&Ask::websocket("/chat").field("Sec-WebSocket-Protocol", "talk")));
        assert_eq!(in_time(pair, call.status()), if pair.h2_client() { 200 } else { 101 }, "{pair}");
        let mut long = "x".repeat(100_000);
        long.push_str("end");
        for text in ["one", "two", &long] {
            in_time(pair, call.send(text));
            assert!(in_time(pair, call.until(text)), "{pair}");
        }
        in_time(pair, call.end());
        let response = in_time(pair, call.finish());
        assert!(response.complete, "{pair}: {:?}", response.reset);
        if !pair.h2_client() {
            assert_eq!(response.get("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{pair}");
        }
        let request = pair.origin.seen().remove(0);
        assert_eq!(request.message.head.get("sec-websocket-protocol"), Some("talk"), "{pair}");
        assert_eq!(request.message.head.get("sec-websocket-version"), Some("13"), "{pair}");
        assert_eq!(request.message.head.target(), "/chat", "{pair}");
        if pair.h2_server() {
            let protocol = request.pseudo.iter().find(|(n, _)| n == ":protocol").map(|(_, v)| v.as_str());
            assert_eq!((request.message.head.method(), protocol), ("CONNECT", Some("websocket")), "{pair}");
        }
    });
}

#[test]
fn a_websocket_that_is_refused() {
    let script = || Script::Http(vec![vec![Act::Send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".into())]]);
    every_pair(Rules::default(), script, |pair| {
        let mut client = pair.connect();
        let mut call = in_time(pair, client.begin(&Ask::websocket("/chat")));
        assert_eq!(in_time(pair, call.status()), 403, "{pair}");
        assert!(in_time(pair, call.until("no")), "{pair}");
    });
}

/// An answer of the server's own ends the tunnel on the other side.
#[test]
fn a_server_that_hangs_up() {
    let script = || {
        Script::with(|request, _| {
            let key = request.message.head.get("sec-websocket-key").is_some();
            let accept = if key { "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" } else { "" };
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{accept}\r\n"
            );
            vec![Act::Send(head.into()), Act::Await(b"bye".into()), Act::Send("good bye".into()), Act::Close]
        })
    };
    every_pair(Rules::default(), script, |pair| {
        // A key made by the proxy has an accept that no constant can be.
        if pair.h2_client() && !pair.h2_server() {
            return;
        }
        let mut client = pair.connect();
        let mut call = in_time(pair, client.begin(&Ask::websocket("/chat")));
        assert_ne!(in_time(pair, call.status()), 0, "{pair}");
        in_time(pair, call.send("bye"));
        let response = in_time(pair, call.finish());
        assert_eq!(response.text(), "good bye", "{pair}");
    });
}

fn grpc(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

fn rpc(path: &str) -> Ask {
    Ask::stream(path, "").field("content-type", "application/grpc").field("te", "trailers").payload(Payload::Open)
}

/// One message each way; the outcome is in the trailers.
#[test]
fn a_unary_call() {
    let script = || {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut answer = format!("{head}{:x}\r\n", grpc(b"pong").len()).into_bytes();
        answer.extend(grpc(b"pong"));
        answer.extend_from_slice(b"\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n");
        Script::Http(vec![vec![Act::Body, Act::Send(answer)]])
    };
    every_pair(Rules::default(), script, |pair| {
        let mut client = pair.connect();
        let mut call = in_time(pair, client.begin(&rpc("/echo.Echo/Ping")));
        in_time(pair, call.send(grpc(b"ping")));
        in_time(pair, call.end());
        let response = in_time(pair, call.finish());
        assert_eq!((response.status, response.body.as_slice()), (200, &grpc(b"pong")[..]), "{pair}");
        assert_eq!(
            (response.trailer("grpc-status"), response.trailer("grpc-message")),
            (Some("0"), Some("fine")),
            "{pair}"
        );
        let head = pair.origin.seen().remove(0).message.head;
        assert_eq!((head.get("te"), head.get("content-type")), (Some("trailers"), Some("application/grpc")), "{pair}");
    });
}

/// An outcome without a message: fields and end at once.
#[test]
fn a_call_that_fails_at_once() {
    let script = || {
        let text = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 12\r\nContent-Length: 0\r\n\r\n";
        Script::Http(vec![vec![Act::Body, Act::Send(text.into())]])
    };
    every_pair(Rules::default(), script, |pair| {
        let mut client = pair.connect();
        let mut call = in_time(pair, client.begin(&rpc("/echo.Echo/None")));
        in_time(pair, call.send(grpc(b"ping")));
        in_time(pair, call.end());
        let response = in_time(pair, call.finish());
        assert_eq!((response.get("grpc-status"), response.complete), (Some("12"), true), "{pair}");
    });
}

/// Messages in turn, each answered before the next.
#[test]
fn a_call_that_streams_both_ways() {
    let script = || {
        let mut acts = vec![Act::Send(
            "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        )];
        for n in 0..5u8 {
            let message = grpc(&[b'a' + n; 3]);
            let mut chunk = format!("{:x}\r\n", message.len()).into_bytes();
            chunk.extend(message);
            chunk.extend_from_slice(b"\r\n");
            acts.extend([Act::Await(vec![b'A' + n; 3]), Act::Send(chunk)]);
        }
        acts.push(Act::Send("0\r\ngrpc-status: 0\r\n\r\n".into()));
        Script::Http(vec![acts])
    };
    every_pair(Rules::default(), script, |pair| {
        let mut client = pair.connect();
        let mut call = in_time(pair, client.begin(&rpc("/echo.Echo/Chat")));
        for n in 0..5u8 {
            in_time(pair, call.send(grpc(&[b'A' + n; 3])));
            assert!(in_time(pair, call.until([b'a' + n; 3])), "{pair}: message {n}");
        }
        // The answer is whole by now, and the stream may have been ended for us.
        let _ = call.end();
        let response = in_time(pair, call.finish());
        assert_eq!((response.trailer("grpc-status"), response.complete), (Some("0"), true), "{pair}");
    });
}
