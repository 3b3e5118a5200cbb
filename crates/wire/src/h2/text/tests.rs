//! Heads there and back.
#![allow(clippy::unwrap_used)]

use evenkeel_proto::{Limits, Malformed, Parsed};

use super::*;

fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> request::Parts {
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn written(parts: &request::Parts, ends: bool) -> String {
    let mut out = Buf::with_capacity(4096);
    request(parts, ends, &mut out).unwrap();
    String::from_utf8(out.filled().to_vec()).unwrap()
}

fn parsed(parts: &request::Parts, ends: bool) -> Result<Head, Malformed> {
    let mut head = Head::new();
    let mut out = Buf::with_capacity(4096);
    request(parts, ends, &mut out).unwrap();
    head.replace_block(out);
    match head.parse_request(&Limits::default())? {
        Parsed::Complete => Ok(head),
        Parsed::Partial => panic!("a head is written whole"),
    }
}

#[test]
fn a_request_is_written_in_absolute_form() {
    let text = written(&parts("GET", "https://a.example:8443/x?y=1", &[("accept", "*/*")]), true);
    assert_eq!(text, "GET https://a.example:8443/x?y=1 HTTP/1.1\r\nhost: a.example:8443\r\naccept: */*\r\n\r\n");
}

#[test]
fn host_and_authority_must_agree() {
    assert_eq!(
        parsed(&parts("GET", "https://a.example/", &[("host", "b.example")]), true).unwrap_err(),
        Malformed::HostMismatch
    );
    assert!(parsed(&parts("GET", "https://a.example/", &[("host", "A.example:443")]), true).is_ok());
    // RFC 9113 §8.3.1: a client may send Host alone, but one of the two must be there.
    let alone = parsed(&parts("GET", "/x", &[("host", "a.example")]), true).unwrap();
    assert_eq!((alone.target(), alone.get(b"host")), (&b"/x"[..], Some(&b"a.example"[..])));
    assert_eq!(parsed(&parts("GET", "/x", &[]), true).unwrap_err(), Malformed::MissingHost);
    assert_eq!(
        parsed(&parts("GET", "https://a.example/", &[("host", "a.example"), ("host", "a.example")]), true).unwrap_err(),
        Malformed::DuplicateHost
    );
}

/// HTTP/1 clients send what a URI does not have; it arrives as what they meant.
#[test]
fn odd_paths_are_written_as_they_should_be() {
    for (path, clean) in [
        (&b"/a`b?<c>"[..], "/a%60b?%3Cc%3E"),
        (b"/\xff", "/%FF"),
        (b"/%20\xc3\xa9`", "/%20%C3%A9%60"),
        (b"/a|b", "/a|b"),
        (b"/plain?x=1", "/plain?x=1"),
    ] {
        assert_eq!(path_and_query(path.to_vec()).unwrap().as_str(), clean);
    }
}

#[test]
fn crumbs_become_one_cookie() {
    let head = parsed(&parts("GET", "https://a/", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]), true).unwrap();
    assert_eq!(head.get_all(b"cookie").collect::<Vec<_>>(), [b"a=1; b=2"]);
}

#[test]
fn the_body_is_framed_by_what_is_known_of_it() {
    let framing = |fields: &[(&str, &str)], ends| parsed(&parts("POST", "https://a/", fields), ends).unwrap().framing();
    assert_eq!(framing(&[], true), Framing::Empty);
    assert_eq!(framing(&[], false), Framing::Chunked);
    assert_eq!(framing(&[("content-length", "7")], false), Framing::Length(7));
    assert_eq!(
        parsed(&parts("POST", "https://a/", &[("content-length", "7"), ("content-length", "8")]), false).unwrap_err(),
        Malformed::ConflictingContentLength
    );
}

#[test]
fn an_extended_connect_is_an_upgrade() {
    let mut parts = parts("CONNECT", "https://a.example/chat", &[("sec-websocket-version", "13")]);
    parts.extensions.insert(Protocol::from_static("websocket"));
    let head = parsed(&parts, false).unwrap();
    assert_eq!((head.method(), head.upgrade()), (Method::Get, Some(&b"websocket"[..])));
    assert_eq!(head.framing(), Framing::Empty);
    assert_eq!(head.get(b"sec-websocket-key").map(<[u8]>::len), Some(24));
    // And back again, for a server that speaks HTTP/2 too.
    let request = to_request(&head, &uri::Scheme::HTTPS).unwrap();
    assert_eq!(request.method(), http::Method::CONNECT);
    assert_eq!(request.extensions().get::<Protocol>().map(Protocol::as_str), Some("websocket"));
    assert_eq!(request.uri(), "https://a.example/chat");
    assert!(!request.headers().contains_key("sec-websocket-key") && !request.headers().contains_key("upgrade"));
}

#[test]
fn the_answer_to_an_upgrade_changes_its_form() {
    let asked = Head::request(
        "GET /chat HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: WebSocket\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n",
    );
    let upgrade = Upgrade::of(&asked.unwrap()).unwrap();
    let parts = Response::builder().status(200).header("x", "y").body(()).unwrap().into_parts().0;
    let mut out = Buf::with_capacity(1024);
    response(&parts, Some(&upgrade), &mut out).unwrap();
    let text = String::from_utf8(out.filled().to_vec()).unwrap();
    // RFC 6455 §1.3 has this very key.
    assert_eq!(
        text,
        "HTTP/1.1 101 Switching Protocols\r\nx: y\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    let refused = Response::builder().status(403).body(()).unwrap().into_parts().0;
    out.clear();
    response(&refused, Some(&upgrade), &mut out).unwrap();
    assert!(out.filled().starts_with(b"HTTP/1.1 403 Forbidden\r\n"), "a refusal stays one");
    let switched = Head::response(
        "HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: x\n",
        Method::Get,
    );
    let back = to_response(&switched.unwrap(), Framing::Tunnel).unwrap();
    assert_eq!((back.status().as_u16(), back.headers().len()), (200, 0));
}

#[test]
fn a_request_for_a_server_has_no_field_that_http2_forbids() {
    let head = Head::request(
        "POST http://old.example/a?b HTTP/1.1\nHost: old.example\nConnection: close, X-Mine\nX-Mine: 1\nTE: trailers, gzip\n\
         Transfer-Encoding: chunked\nKeep-Alive: 5\nX-Case: Kept\nX-Case: twice\n",
    );
    let mut head = head.unwrap();
    head.set(b"Host", b"new.example").unwrap();
    let request = to_request(&head, &uri::Scheme::HTTP).unwrap();
    assert_eq!(request.uri(), "http://new.example/a?b");
    let names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-case", "te"]);
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers().get_all("x-case").iter().count(), 2);
    let head = Head::request("CONNECT a.example:443 HTTP/1.1\nHost: a.example:443\n").unwrap();
    let request = to_request(&head, &uri::Scheme::HTTP).unwrap();
    assert_eq!((request.uri().scheme(), request.uri().path()), (None, ""));
    assert_eq!(request.uri().authority().unwrap(), "a.example:443");
}

#[test]
fn a_response_says_its_length_once() {
    let head =
        Head::response("HTTP/1.1 200 OK\nContent-Length: 5\nServer: x\nConnection: close\n", Method::Get).unwrap();
    let response = to_response(&head, head.framing()).unwrap();
    let fields: Vec<_> = response.headers().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    assert_eq!(fields, [("server", "x"), ("content-length", "5")]);
    // The length of what HEAD would have had stays.
    let head = Head::response("HTTP/1.1 200 OK\nContent-Length: 5\n", Method::Head).unwrap();
    assert_eq!(to_response(&head, Framing::Empty).unwrap().headers()["content-length"], "5");
}

#[test]
fn trailers_there_and_back() {
    let lines = b"grpc-status: 0\r\nX-Sum:  abc \r\nbroken line\r\nbad name: 1\r\n";
    let fields = trailer_fields(lines);
    assert_eq!(
        (fields.len(), &fields["grpc-status"], &fields["x-sum"]),
        (2, &HeaderValue::from_static("0"), &HeaderValue::from_static("abc"))
    );
    assert_eq!(trailer_lines(&fields), b"grpc-status: 0\r\nx-sum: abc\r\n");
}

#[test]
fn what_does_not_fit_is_told() {
    let parts = parts("GET", "https://a/", &[("x", "0123456789")]);
    for room in 0..written(&parts, true).len() {
        assert_eq!(request(&parts, true, &mut Buf::with_capacity(room)), Err(TooLarge), "{room} bytes");
    }
}

#[test]
fn the_length_is_never_guessed_too_short() {
    for text in ["/", "https://a.example:8443/x?y=1", "*", &format!("{}://a", "x".repeat(60))] {
        for fields in [&[][..], &[("host", "a"), ("cookie", "a"), ("cookie", "b"), ("x-long", "0123456789")]] {
            for ends in [true, false] {
                let mut parts = parts("POST", text, fields);
                assert!(request_length(&parts) >= written(&parts, ends).len());
                parts.extensions.insert(Protocol::from_static("websocket"));
                assert!(request_length(&parts) >= written(&parts, ends).len());
            }
        }
    }
}

/// Whatever HTTP/2 lets pass: it is refused, or what comes out of the parser is one message with one host.
#[test]
fn no_head_smuggles() {
    let seed = 0x5eed_0002;
    let mut rng = fastrand::Rng::with_seed(seed);
    let names = ["x", "content-length", "host", "cookie", "transfer-encoding", "te", "expect", "upgrade", "connection"];
    let values =
        ["", "1", "chunked", "a", "a, b", "trailers", "100-continue", "close", "\u{e9}", " x ", "0", "+1", "h2c"];
    let paths = ["/", "/a?b#c", "/a b", "*", "//x", "/%00", "/a:b@c"];
    let mut whole = 0;
    for round in 0..20_000 {
        let mut builder = Request::builder().method(["GET", "POST", "CONNECT", "OPTIONS", "X"][rng.usize(..5)]);
        let authority = ["a", "a:1", "[::1]", "u@a", "a..b", ""][rng.usize(..6)];
        let path = paths[rng.usize(..paths.len())];
        builder = builder.uri(if authority.is_empty() { path.to_owned() } else { format!("http://{authority}{path}") });
        for _ in 0..rng.usize(..4) {
            builder = builder.header(names[rng.usize(..names.len())], values[rng.usize(..values.len())]);
        }
        let Ok(request) = builder.body(()) else { continue };
        let parts = request.into_parts().0;
        let ends = rng.bool();
        if let Ok(head) = parsed(&parts, ends) {
            whole += 1;
            let text = written(&parts, ends);
            assert_eq!(head.head_len(), text.len(), "one message: {text:?}, seed {seed:#x}, round {round}");
            assert!(head.get_all(b"host").count() == 1, "{text:?}, seed {seed:#x}, round {round}");
            // What is sent on is accepted by the same rules.
            let mut out = Vec::new();
            let mut head = head;
            head.set_origin_form();
            head.encode_request(head.framing(), evenkeel_proto::Connection::None, &mut out);
            let again = Head::request(std::str::from_utf8(&out).unwrap_or("GET / HTTP/1.1\nHost: a\n"));
            assert!(again.is_ok(), "{:?}, seed {seed:#x}, round {round}", String::from_utf8_lossy(&out));
        }
    }
    assert!(whole > 1000, "only {whole} heads were whole");
}
