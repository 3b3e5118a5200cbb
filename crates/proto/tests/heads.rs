//! Heads and the verdict on each: what RFC 9112 allows, and what it does not.
#![allow(clippy::unwrap_used)]

mod support;

use Framing::{Chunked, Empty, Length, Tunnel, UntilClose};
use Malformed as M;
use evenkeel_proto::{Buf, Framing, Head, Limits, Malformed, Method, Parsed};
use support::{As, feed, whole};

type Case = (&'static str, Result<Framing, Malformed>);

/// Each case in one piece and byte by byte.
fn check(cases: &[Case], kind: As) {
    for (text, expected) in cases {
        let verdict = |result: Result<(Head, Parsed), Malformed>| {
            result.map(|(head, parsed)| {
                assert_eq!(parsed, Parsed::Complete, "{text:?}");
                head.framing()
            })
        };
        assert_eq!(verdict(whole(text.as_bytes(), kind)), *expected, "{text:?}");
        let dripped = feed(text.as_bytes(), kind, &Limits::default(), 16_384, || 1);
        assert_eq!(verdict(dripped), *expected, "dripped: {text:?}");
    }
}

#[test]
fn requests() {
    let cases: &[Case] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("GET / HTTP/1.0\r\n\r\n", Ok(Empty)),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Ok(Empty)),
        ("GET / HTTP/1.1\r\nHost: \r\n\r\n", Ok(Empty)),
        ("GET / HTTP/1.1\r\nhost:\ta:80 \t\r\nX:\r\n\r\n", Ok(Empty)),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("GET / HTTP/1.9\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Ok(Chunked)),
        ("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("GET http://A:80 HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("GET https://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("GET http://a/ HTTP/1.0\r\n\r\n", Ok(Empty)),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Ok(Empty)),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\nContent-Length: 0\r\n\r\n", Ok(Length(0))),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\tx\r\n\r\n", Ok(Empty)),
        ("GET /{}|\\^`\"<> HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Empty)),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", Ok(Length(5))),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Ok(Length(0))),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 05\r\n\r\n", Ok(Length(5))),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", Ok(Length(5))),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", Ok(Length(5))),
        ("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", Ok(Length(5))),
        ("GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", Ok(Length(0))),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Ok(Chunked)),
        // Line ends.
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", Err(M::BareLf)),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", Err(M::BareLf)),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", Err(M::BareLf)),
        ("GET / HTTP/1.1\nHost: a\n\n", Err(M::BareLf)),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BareLf)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\nTransfer-Encoding: chunked\r\n\r\n", Err(M::BareLf)),
        ("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BareCr)),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", Err(M::BareCr)),
        ("GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n", Err(M::BareCr)),
        // The request line.
        ("G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadMethod)),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadMethod)),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadMethod)),
        ("GET\r\n\r\n", Err(M::BadMethod)),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}", Err(M::BadMethod)),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("GET /\r\n\r\n", Err(M::BadTarget)),
        ("GET / a HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadVersion)),
        ("GET /\u{0} HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("CONNECT http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadTarget)),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::FragmentInTarget)),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Err(M::BadVersion)),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", Err(M::BadVersion)),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", Err(M::BadVersion)),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Err(M::BareCr)),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", Err(M::BareCr)),
        ("GET / HTTP/1.x\r\nHost: a\r\n\r\n", Err(M::BadVersion)),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Err(M::Http2Preface)),
        // Field lines.
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", Err(M::ObsFold)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc: d\r\n\r\n", Err(M::ObsFold)),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Err(M::ObsFold)),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Err(M::SpaceBeforeColon)),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n", Err(M::SpaceBeforeColon)),
        ("GET / HTTP/1.1\r\nHost: a\r\nNo-colon\r\n\r\n", Err(M::BadFieldName)),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Err(M::BadFieldName)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n", Err(M::BadFieldName)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\u{0}: b\r\n\r\n", Err(M::BadFieldName)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: b\r\n\r\n", Err(M::BadFieldName)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\u{0}c\r\n\r\n", Err(M::BadFieldValue)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", Err(M::BadFieldValue)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\u{1b}c\r\n\r\n", Err(M::BadFieldValue)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\u{7f}c\r\n\r\n", Err(M::BadFieldValue)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a value long enough for wide steps\u{7f}\r\n\r\n", Err(M::BadFieldValue)),
        // Host.
        ("GET / HTTP/1.1\r\n\r\n", Err(M::MissingHost)),
        ("GET http://a/ HTTP/1.1\r\n\r\n", Err(M::MissingHost)),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Err(M::DuplicateHost)),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Err(M::DuplicateHost)),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Err(M::BadHost)),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Err(M::BadHost)),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Err(M::BadHost)),
        ("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", Err(M::BadHost)),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Err(M::BadHost)),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::BadHost)),
        ("GET http:///x HTTP/1.1\r\nHost:\r\n\r\n", Err(M::BadHost)),
        ("GET http://u:p@a/ HTTP/1.0\r\n\r\n", Err(M::BadHost)),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", Err(M::HostMismatch)),
        ("GET http://a:8080/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::HostMismatch)),
        ("GET https://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(M::HostMismatch)),
        ("CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", Err(M::HostMismatch)),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:80\r\n\r\n", Err(M::HostMismatch)),
        // Framing.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err(M::LengthAndTransferEncoding),
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nContent-Length: 5\r\n\r\n",
            Err(M::LengthAndTransferEncoding),
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            Err(M::ConflictingContentLength),
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\n", Err(M::ConflictingContentLength)),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", Err(M::BadContentLength)),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", Err(M::BadContentLength)),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n", Err(M::BadContentLength)),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", Err(M::BadContentLength)),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Err(M::BadContentLength)),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\n", Err(M::BadContentLength)),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(M::TransferEncodingInHttp10)),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Err(M::BadTransferEncoding)),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", Err(M::BadTransferEncoding)),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Err(M::BadTransferEncoding)),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err(M::BadTransferEncoding),
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", Err(M::BadTransferEncoding)),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", Err(M::BadTransferEncoding)),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", Err(M::BadTransferEncoding)),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", Err(M::BadTransferEncoding)),
        ("GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", Err(M::BodyNotAllowed)),
        ("HEAD / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", Err(M::BodyNotAllowed)),
        ("DELETE / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", Err(M::BodyNotAllowed)),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nTransfer-Encoding: chunked\r\n\r\n", Err(M::BodyNotAllowed)),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: a,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\r\n\r\n",
            Err(M::TooManyConnectionOptions),
        ),
    ];
    assert!(cases.len() >= 60);
    check(cases, As::Request);
}

#[test]
fn responses_to_get() {
    check(
        &[
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Ok(Length(5))),
            ("HTTP/1.1 200 OK\r\n\r\n", Ok(UntilClose)),
            ("HTTP/1.0 200 OK\r\n\r\n", Ok(UntilClose)),
            ("HTTP/1.2 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Ok(Chunked)),
            ("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", Ok(Length(0))),
            ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Ok(Length(0))),
            ("HTTP/1.1 200 Tr\u{e8}s bien\r\nContent-Length: 0\r\n\r\n", Ok(Length(0))),
            ("HTTP/1.1 404 Not  Found\r\nTransfer-Encoding: chunked\r\n\r\n", Ok(Chunked)),
            ("HTTP/1.1 100 Continue\r\n\r\n", Ok(Empty)),
            ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", Ok(Empty)),
            ("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", Ok(Tunnel)),
            ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", Ok(Empty)),
            ("HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", Ok(Empty)),
            ("HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n", Ok(Empty)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Ok(Length(5))),
            ("HTTP/1.1 599 x\r\nContent-Length: 1\r\n\r\n", Ok(Length(1))),
            ("HTTP/1.1 600 x\r\n\r\n", Err(M::BadStatusLine)),
            ("HTTP/1.1 099 x\r\n\r\n", Err(M::BadStatusLine)),
            ("HTTP/1.1 20 x\r\n\r\n", Err(M::BadStatusLine)),
            ("HTTP/1.1 2000 x\r\n\r\n", Err(M::BadStatusLine)),
            ("HTTP/1.1  200 OK\r\n\r\n", Err(M::BadStatusLine)),
            ("HTTP/1.1 200 O\u{0}K\r\n\r\n", Err(M::BadStatusLine)),
            ("HTTP/1.1 200 O\rK\r\n\r\n", Err(M::BadStatusLine)),
            ("HTTP/1.1 200 OK\nA: b\r\n\r\n", Err(M::BareLf)),
            ("HTTP/1.1 200 OK\r\nA: b\n\r\n", Err(M::BareLf)),
            ("HTTP/2.0 200 OK\r\n\r\n", Err(M::BadStatusLine)),
            ("HTTP 200 OK\r\n\r\n", Err(M::BadStatusLine)),
            ("<html>\r\n\r\n", Err(M::BadStatusLine)),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", Err(M::BadStatusLine)),
            ("ICY 200 OK\r\n\r\n", Err(M::BadStatusLine)),
            ("SSH-2.0-OpenSSH_9.2\r\n", Err(M::BadStatusLine)),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Err(M::ObsFold)),
            ("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", Err(M::SpaceBeforeColon)),
            ("HTTP/1.1 200 OK\r\nA: b\u{0}\r\n\r\n", Err(M::BadFieldValue)),
            ("HTTP/1.1 200 OK\r\nA\r\n\r\n", Err(M::BadFieldName)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Err(M::ConflictingContentLength)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n", Err(M::BadContentLength)),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                Err(M::LengthAndTransferEncoding),
            ),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Err(M::TransferEncodingInHttp10)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Err(M::BadTransferEncoding)),
        ],
        As::ResponseTo(Method::Get),
    );
}

#[test]
fn responses_whose_request_decides() {
    check(
        &[
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Ok(Empty)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Ok(Empty)),
            ("HTTP/1.1 200 OK\r\n\r\n", Ok(Empty)),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Err(M::BadContentLength)),
        ],
        As::ResponseTo(Method::Head),
    );
    check(
        &[
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Ok(Tunnel)),
            ("HTTP/1.1 299 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Ok(Tunnel)),
            ("HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n", Ok(Length(5))),
        ],
        As::ResponseTo(Method::Connect),
    );
}

#[test]
fn limits() {
    let limits = Limits { max_headers: 4, max_head: 256, max_uri: 32 };
    let verdict = |text: &str, capacity| {
        let results =
            [1, 7, usize::MAX].map(|n| feed(text.as_bytes(), As::Request, &limits, capacity, || n).map(|(_, p)| p));
        assert!(results.iter().all(|r| *r == results[0]), "{results:?} {text:?}");
        results[0]
    };
    let request = |target: usize, fields: usize, value: usize| {
        let field = format!("X: {}\r\n", "v".repeat(value));
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n{}\r\n", "t".repeat(target), field.repeat(fields))
    };
    assert_eq!(verdict(&request(31, 3, 1), 1024), Ok(Parsed::Complete));
    assert_eq!(verdict(&request(32, 3, 1), 1024), Err(M::TargetTooLong));
    assert_eq!(verdict(&request(1, 4, 1), 1024), Err(M::TooManyFields));
    assert_eq!(verdict(&request(1, 1, 223), 1024), Ok(Parsed::Complete));
    assert_eq!(request(1, 1, 224).len(), 257);
    assert_eq!(verdict(&request(1, 1, 224), 1024), Err(M::HeadTooLarge));
    assert_eq!(verdict(&request(300, 0, 1), 1024), Err(M::TargetTooLong), "no end of the line within the limit");
    // The block is a limit as well, and one that is not full yet is not.
    assert_eq!(verdict(&request(1, 1, 150), 128), Err(M::HeadTooLarge));
    assert_eq!(verdict(&request(1, 1, 223)[..250], 1024), Ok(Parsed::Partial));
    // What follows the head does not count.
    assert_eq!(verdict(&(request(1, 1, 223) + &"b".repeat(600)), 1024), Ok(Parsed::Complete));
    for m in [M::TargetTooLong, M::TooManyFields, M::HeadTooLarge] {
        assert!(matches!(m.status(), 414 | 431));
    }
}

#[test]
fn a_response_that_is_too_large() {
    let limits = Limits { max_head: 64, ..Limits::default() };
    let text = format!("HTTP/1.1 200 {}", "x".repeat(100));
    let result = feed(text.as_bytes(), As::ResponseTo(Method::Get), &limits, 1024, || 3);
    assert_eq!(result.map(|(_, p)| p), Err(M::HeadTooLarge));
}

#[test]
fn what_the_peer_wants() {
    let keeps = |text: &str| whole(text.as_bytes(), As::Request).unwrap().0.keep_alive();
    assert!(keeps("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
    assert!(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    let answer = |text: &str| whole(text.as_bytes(), As::ResponseTo(Method::Get)).unwrap().0;
    assert!(!answer("HTTP/1.1 200 OK\r\n\r\n").keep_alive());
    assert!(answer("HTTP/1.1 204 No\r\n\r\n").keep_alive());
    assert!(!answer("HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\n").keep_alive());
    assert_eq!(answer("HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\n").upgrade(), Some(&b"ws"[..]));

    let request = |text: &str| whole(text.as_bytes(), As::Request).unwrap().0;
    assert_eq!(
        request("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").upgrade(),
        Some(&b"websocket"[..])
    );
    assert_eq!(request("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").upgrade(), None);
    assert_eq!(request("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n").upgrade(), None);
    assert_eq!(request("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").upgrade(), None);
    assert!(request("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n").expects_continue());
    assert!(!request("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue());
}

#[test]
fn surplus_is_the_next_message() {
    let first = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let text = format!("{first}\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\nGET");
    let (mut head, _) = whole(text.as_bytes(), As::Request).unwrap();
    assert_eq!((head.head_len(), head.target()), (first.len(), &b"/1"[..]));
    head.keep_surplus();
    assert_eq!(head.parse_request(&Limits::default()), Ok(Parsed::Complete));
    assert_eq!((head.target(), head.authority(), head.surplus()), (&b"/2"[..], Some(&b"b"[..]), &b"GET"[..]));
    head.keep_surplus();
    assert_eq!(head.parse_request(&Limits::default()), Ok(Parsed::Partial));
    head.reset();
    assert!(head.block().is_empty() && !head.is_complete() && head.fields().next().is_none());
}

#[test]
fn a_refused_head_stays_refused() {
    let mut head = Head::new();
    head.replace_block(Buf::with_capacity(256));
    head.block_mut().extend_from_slice(b"GET /x HTTP/1.1\r\n\r\n");
    assert_eq!(head.parse_request(&Limits::default()), Err(M::MissingHost));
    assert_eq!(head.parse_request(&Limits::default()), Err(M::MissingHost));
    assert_eq!(head.target(), b"/x", "the log may still tell what was asked for");
}

#[test]
fn described_heads() {
    let head = Head::request("GET /a?b HTTP/1.1\nHost: x\nAccept: y").unwrap();
    assert_eq!((head.path(), head.query(), head.get(b"accept")), (&b"/a"[..], Some(&b"b"[..]), Some(&b"y"[..])));
    assert_eq!(Head::request("GET / HTTP/1.1\n").err(), Some(M::MissingHost));
    let head = Head::response("HTTP/1.1 302 Found\nLocation: /\nContent-Length: 0\n\n", Method::Get).unwrap();
    assert_eq!((head.status(), head.reason(), head.get(b"LOCATION")), (302, &b"Found"[..], Some(&b"/"[..])));
}
