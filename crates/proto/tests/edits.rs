//! Look-ups, edits, and what is written: case and order kept, hop-by-hop fields gone, framing by decision only.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_proto::{BadEdit, Connection, FieldLine, FieldName, Framing, Head, MAX_EDITS, Method};
use support::{As, whole};

fn request(text: &str) -> Head {
    whole(text.as_bytes(), As::Request).unwrap().0
}

fn response(text: &str, method: Method) -> Head {
    whole(text.as_bytes(), As::ResponseTo(method)).unwrap().0
}

fn sent(head: &Head, framing: Framing, connection: Connection) -> String {
    let mut out = Vec::new();
    head.encode_request(framing, connection, &mut out);
    String::from_utf8(out).unwrap()
}

fn answered(head: &Head, framing: Framing, connection: Connection) -> String {
    let mut out = b"before ".to_vec();
    head.encode_response(framing, connection, &mut out);
    String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
}

#[test]
fn an_untouched_head_is_sent_as_it_came() {
    let text = "POST /a?b HTTP/1.1\r\nhOST: a\r\nX-B: 1\r\nx-a: 2\r\ncontent-length: 5\r\nX-B: 3\r\n\r\n";
    let head = request(text);
    assert_eq!(sent(&head, head.framing(), Connection::None), text);
    let text =
        "HTTP/1.1 200 Fine indeed\r\nserver: x\r\nTRANSFER-Encoding: chunked\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n";
    let head = response(text, Method::Get);
    assert_eq!(answered(&head, head.framing(), Connection::None), text);
}

#[test]
fn what_is_not_canonical_is_made_so() {
    let head = request("GET / HTTP/1.1\r\nHost:a\r\nX:  b  \r\nY:\r\nZ: \tc\r\nW: d\r\n\r\n");
    assert_eq!(
        sent(&head, Framing::Empty, Connection::None),
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\nY: \r\nZ: c\r\nW: d\r\n\r\n"
    );
    let head = request("GET / HTTP/1.0\r\nX: b\r\n\r\n");
    assert_eq!(sent(&head, Framing::Empty, Connection::None), "GET / HTTP/1.1\r\nX: b\r\n\r\n");
    let head = request("GET / HTTP/1.7\r\nHost: a\r\n\r\n");
    assert_eq!(sent(&head, Framing::Empty, Connection::None), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for line in ["HTTP/1.0 200 OK", "HTTP/1.1 200 OK"] {
        let head = response(&format!("{line}\r\nX: b\r\n\r\n"), Method::Get);
        assert_eq!(
            answered(&head, head.framing(), Connection::Close),
            "HTTP/1.1 200 OK\r\nX: b\r\nConnection: close\r\n\r\n"
        );
    }
    let head = response("HTTP/1.1 200\r\n\r\n", Method::Get);
    assert_eq!(
        answered(&head, Framing::Chunked, Connection::None),
        "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"
    );
}

#[test]
fn hop_by_hop_fields_end_here() {
    let head = request(concat!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop, cookie, Host\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-End: 2\r\n",
        "Proxy-Connection: close\r\nTE: gzip\r\nCookie: c\r\nUpgrade: h2c\r\nConnection: x-HOP2, authorization, X-Forwarded-Proto\r\n",
        "X-Hop2: 3\r\nAuthorization: d\r\nX-Forwarded-Proto: https\r\nContent-Length: 0\r\n\r\n"
    ));
    assert_eq!(
        sent(&head, Framing::Length(0), Connection::None),
        "POST / HTTP/1.1\r\nHost: a\r\nX-End: 2\r\nCookie: c\r\nAuthorization: d\r\nX-Forwarded-Proto: https\r\nContent-Length: 0\r\n\r\n"
    );
    let names: Vec<_> = head.fields().map(|(n, _)| String::from_utf8_lossy(n).into_owned()).collect();
    assert_eq!(names, ["Host", "X-End", "Cookie", "Authorization", "X-Forwarded-Proto"]);
    // Rules still see what was received.
    assert_eq!(head.get(b"upgrade"), Some(&b"h2c"[..]));
    assert_eq!(head.get_all(b"Connection").count(), 2);

    let head = request("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n");
    assert_eq!(sent(&head, Framing::Empty, Connection::None), "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
}

#[test]
fn an_upgrade_is_offered_again_only_when_asked_to() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: k\r\n\r\n";
    let head = request(text);
    assert_eq!(
        sent(&head, Framing::Empty, Connection::Upgrade),
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nConnection: upgrade\r\n\r\n"
    );
    assert_eq!(
        sent(&head, Framing::Empty, Connection::None),
        "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\n\r\n"
    );
    let head = response("HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", Method::Get);
    assert_eq!(
        answered(&head, Framing::Tunnel, Connection::Upgrade),
        "HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    );
}

#[test]
fn framing_is_what_the_caller_decides() {
    let head = request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    assert!(sent(&head, Framing::Chunked, Connection::None).ends_with("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert!(sent(&head, Framing::Length(7), Connection::None).ends_with("Host: a\r\nContent-Length: 7\r\n\r\n"));
    assert!(sent(&head, Framing::Empty, Connection::None).ends_with("Host: a\r\n\r\n"));
    for length in ["5, 5", "05", "5\r\nContent-Length: 5"] {
        let head = request(&format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\nHost: a\r\n\r\n"));
        assert_eq!(
            sent(&head, head.framing(), Connection::None),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            "{length}"
        );
    }
    let head = response("HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n", Method::Get);
    assert_eq!(answered(&head, Framing::UntilClose, Connection::Close), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    let max = Framing::Length(i64::MAX as u64);
    assert!(answered(&head, max, Connection::None).contains("Content-Length: 9223372036854775807\r\n"));
}

#[test]
fn answers_without_a_body_keep_its_length() {
    for (text, method) in
        [("HTTP/1.1 200 OK", Method::Head), ("HTTP/1.1 304 No", Method::Get), ("HTTP/1.1 304 No", Method::Head)]
    {
        for length in [
            "Content-Length: 18",
            "Content-Length: 18, 18",
            "Content-Length: 018",
            "Content-Length: 18\r\nContent-Length: 18",
        ] {
            let head = response(&format!("{text}\r\nA: b\r\n{length}\r\nC: d\r\n\r\n"), method);
            assert_eq!(
                answered(&head, head.framing(), Connection::None),
                format!("{text}\r\nA: b\r\nContent-Length: 18\r\nC: d\r\n\r\n"),
                "{length}"
            );
            assert_eq!(head.fields().filter(|(n, _)| n.eq_ignore_ascii_case(b"content-length")).count(), 1);
            // A length that frames something is written once, whatever was kept.
            assert_eq!(answered(&head, Framing::Length(3), Connection::None).matches("Content-Length").count(), 1);
        }
    }
    let head = response("HTTP/1.1 204 No\r\nContent-Length: 18\r\n\r\n", Method::Get);
    assert_eq!(answered(&head, head.framing(), Connection::None), "HTTP/1.1 204 No\r\n\r\n");
}

#[test]
fn fields_are_added_set_and_removed() {
    let mut head = request("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nAccept: z\r\nx: 2\r\nAccept: y\r\n\r\n");
    assert_eq!((head.get(b"x"), head.get_last(b"X")), (Some(&b"1"[..]), Some(&b"2"[..])));
    assert_eq!(head.get_all(b"accept").collect::<Vec<_>>(), [b"z", b"y"]);
    head.add(b"X", b" 3\t").unwrap();
    assert_eq!(head.get_last(b"x"), Some(&b"3"[..]));
    head.set(b"aCCept", b"w").unwrap();
    assert_eq!(head.remove(b"nothing"), 0);
    assert_eq!(
        sent(&head, Framing::Empty, Connection::Close),
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\nX: 3\r\naCCept: w\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(head.remove(b"x"), 3);
    assert_eq!(head.get(b"X"), None);
    assert_eq!(head.remove(b"X"), 0);
    head.add(b"X", b"").unwrap();
    assert_eq!(sent(&head, Framing::Empty, Connection::None), "GET / HTTP/1.1\r\nHost: a\r\naCCept: w\r\nX: \r\n\r\n");
    assert_eq!(head.get(b"user-agent"), None);
    head.set(b"User-Agent", b"me").unwrap();
    assert_eq!(head.get(b"USER-AGENT"), Some(&b"me"[..]));
}

#[test]
fn values_are_rewritten_in_place() {
    let mut head = request("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nAccept: z\r\nx: 2\r\nX: 3\r\nB: 1\r\n\r\n");
    head.add(b"X", b"4").unwrap();
    let changed = head.rewrite(b"X", |value, out| {
        out.extend_from_slice(b"<");
        out.extend_from_slice(value);
        value != b"3"
    });
    assert_eq!(changed, Ok(3));
    let text = "GET / HTTP/1.1\r\nHost: a\r\nX: <1\r\nAccept: z\r\nx: <2\r\nX: 3\r\nB: 1\r\nX: <4\r\n\r\n";
    assert_eq!(sent(&head, Framing::Empty, Connection::None), text);
    for (value, why) in [(&b"a\nb"[..], BadEdit::BadValue), (&[b'x'; MAX_EDITS], BadEdit::TooLarge)] {
        let mut seen = 0;
        let failed = head.rewrite(b"x", |_, out| {
            seen += 1;
            out.extend_from_slice(if seen < 3 { b"new" } else { value });
            true
        });
        assert_eq!(failed, Err(why));
        assert_eq!(sent(&head, Framing::Empty, Connection::None), text);
    }
    assert_eq!(head.rewrite(b"none", |_, _| true), Ok(0));
    assert_eq!(head.rewrite(b"te", |_, _| true), Err(BadEdit::HopByHop));
    assert_eq!(head.remove(b"x"), 4);

    let mut head = request("GET http://a:81/x HTTP/1.1\r\nHost: a:81\r\n\r\n");
    assert_eq!(
        head.rewrite(b"host", |_, out| {
            out.extend_from_slice(b"b");
            true
        }),
        Ok(1)
    );
    assert_eq!((head.target(), head.get(b"host")), (&b"http://b/x"[..], Some(&b"b"[..])));
}

#[test]
fn removing_a_framing_field_does_not_unframe() {
    let mut head = request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(head.remove(b"content-length"), 1);
    assert!(sent(&head, head.framing(), Connection::None).ends_with("\r\nContent-Length: 5\r\n\r\n"));
}

#[test]
fn edits_cannot_split_a_message() {
    let mut head = request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let before = sent(&head, Framing::Empty, Connection::None);
    for name in [&b""[..], b"a b", b"a:", b"a\r\n", b"\xe9", b"a\0"] {
        assert_eq!(head.add(name, b"v"), Err(BadEdit::BadName), "{name:?}");
    }
    for value in [&b"a\r\nX: y"[..], b"a\n", b"a\rb", b"\0", b"\x7f"] {
        assert_eq!(head.set(b"X", value), Err(BadEdit::BadValue), "{value:?}");
        assert_eq!(head.add(b"X", value), Err(BadEdit::BadValue), "{value:?}");
    }
    for name in [&b"Content-Length"[..], b"transfer-encoding", b"Connection", b"Upgrade", b"TE", b"Keep-Alive"] {
        assert_eq!(head.set(name, b"1"), Err(BadEdit::HopByHop), "{name:?}");
    }
    for target in [&b""[..], b"/a b", b"/a\r\n", b"/a#b", b"a", b"*", b"/\xff", b"http://", b"http://u@b/"] {
        assert_eq!(head.set_target(target), Err(BadEdit::BadTarget), "{target:?}");
    }
    assert_eq!(head.set_method(b"GET /"), Err(BadEdit::BadName));
    assert_eq!(head.set_method(b"CONNECT"), Err(BadEdit::BadName));
    assert_eq!(head.add(b"X", &[b'x'; MAX_EDITS]), Err(BadEdit::TooLarge));
    assert_eq!(sent(&head, Framing::Empty, Connection::None), before);
    let mut added = 0;
    while head.add(b"X", &[b'x'; 1000]).is_ok() {
        added += 1;
        assert!(added <= MAX_EDITS / 1000);
    }
    assert!(added > 30);
}

#[test]
fn target_and_method() {
    let mut head = request("GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n");
    head.set_target(b"/c/d?e=f").unwrap();
    head.set_method(b"PURGE").unwrap();
    assert_eq!(
        (head.method(), head.method_bytes(), head.path(), head.query()),
        (Method::Other, &b"PURGE"[..], &b"/c/d"[..], Some(&b"e=f"[..]))
    );
    assert_eq!((head.target(), head.original_target()), (&b"/c/d?e=f"[..], &b"/a?b"[..]));
    assert_eq!(sent(&head, Framing::Empty, Connection::None), "PURGE /c/d?e=f HTTP/1.1\r\nHost: a\r\n\r\n");
    // The absolute form and Host agree whichever is changed.
    head.set_target(b"http://b:81/x").unwrap();
    assert_eq!(
        (head.authority(), head.get(b"host"), head.path()),
        (Some(&b"b:81"[..]), Some(&b"b:81"[..]), &b"/x"[..])
    );
    head.set(b"Host", b"c").unwrap();
    assert_eq!(sent(&head, Framing::Empty, Connection::None), "PURGE http://c/x HTTP/1.1\r\nHost: c\r\n\r\n");
    assert_eq!(head.get_all(b"host").count(), 1);
    let mut head = request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.path(), head.authority()), (&b"*"[..], Some(&b"a"[..])));
    head.set_target(b"/").unwrap();
    let mut head = request("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.method(), head.authority()), (Method::Connect, Some(&b"a:443"[..])));
    head.set_target(b"b:444").unwrap();
    assert_eq!(head.authority(), Some(&b"b:444"[..]));
}

#[test]
fn status_and_reason() {
    let mut head = response("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", Method::Get);
    head.set_status(503, b"Not now").unwrap();
    assert_eq!(answered(&head, head.framing(), Connection::None), "HTTP/1.1 503 Not now\r\nContent-Length: 1\r\n\r\n");
    for status in [0, 99, 600, 204, 304, 101] {
        assert_eq!(head.set_status(status, b""), Err(BadEdit::BadStatus), "{status}");
    }
    assert_eq!(head.set_status(500, b"a\r\nb"), Err(BadEdit::BadValue));
}

#[test]
fn a_changed_block_gives_no_bytes_and_no_panic() {
    let mut head = request("GET /abc HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
    head.block_mut().truncate(3);
    assert_eq!((head.target(), head.get(b"host"), head.surplus()), (&b""[..], Some(&b""[..]), &b""[..]));
    assert!(head.surplus_mut().is_empty());
    assert_eq!(sent(&head, Framing::Empty, Connection::None), "\r\n");
}

/// What is known before the message does to it what the same name and value do when they come with it.
#[test]
fn early_names_and_lines_edit_as_late_ones() {
    const TEXT: &str =
        "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\nx-a: 2\r\nVia: v\r\nTE: trailers\r\n\r\n";
    for name in ["Host", "X-A", "via", "X-None", "Vary", "Connection", "a b", ""] {
        for value in ["v", "  b.example\t", "", "bad\nvalue", "b/c", "tab\tinside, and long enough"] {
            let early = FieldName::new(name.as_bytes());
            let line = FieldLine::new(&early, value.as_bytes());
            for set in [true, false] {
                let (mut late, mut named, mut whole) =
                    (Head::request(TEXT).unwrap(), Head::request(TEXT).unwrap(), Head::request(TEXT).unwrap());
                let (by_late, by_name, by_line) = if set {
                    let by_line = line.as_ref().map_err(|e| *e).and_then(|line| whole.set_line(line));
                    (late.set(name.as_bytes(), value.as_bytes()), named.set_named(&early, value.as_bytes()), by_line)
                } else {
                    let by_line = line.as_ref().map_err(|e| *e).and_then(|line| whole.add_line(line));
                    (late.add(name.as_bytes(), value.as_bytes()), named.add_named(&early, value.as_bytes()), by_line)
                };
                assert_eq!((by_name, by_line), (by_late, by_late), "{name:?} {value:?} {set}");
                for (head, done) in [(&named, by_name), (&whole, by_line)] {
                    assert!(head.fields().eq(late.fields()) && head.target() == late.target(), "{name:?} {value:?}");
                    assert!(done.is_err() || head.values(&early).eq(late.get_all(name.as_bytes())), "{name:?}");
                }
                assert_eq!(named.remove_named(&early), late.remove(name.as_bytes()), "{name:?}");
                assert!(named.fields().eq(late.fields()), "{name:?}");
                assert_eq!(named.values(&early).count(), 0, "{name:?}");
            }
        }
    }
}
