//! Handshakes that do not come to their end, each with what the client sees, its reason in the log, and its count.

use evenkeel_testkit::{RawClient, TlsClient};
use evenkeel_tests::watch::{GLOBAL, Watch, metric};

use crate::setup::{Site, ask, config, openssl, telling};

fn start(more: &str) -> (Site, Watch) {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    let watch = Watch::start(&config(&[
        telling("web", &format!("certificate = {cert:?}"), "fine"),
        telling("hasty", &format!("certificate = {cert:?}"), "fine").replacen(
            "\nhttp-request",
            "\ntimeout.handshake = \"150ms\"\nhttp-request",
            1,
        ),
        more.to_owned(),
    ]));
    (site, watch)
}

/// The first flight of a client, as it is on the wire.
fn hello() -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let reader = std::thread::spawn(move || {
        use std::io::Read;
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut body).unwrap();
        [head.to_vec(), body].concat()
    });
    // Nobody answers: the connection is closed as soon as the hello was read.
    assert!(RawClient::connect_tls(addr, &TlsClient::new("a.example", &[])).is_err());
    reader.join().unwrap()
}

#[test]
fn what_does_not_speak_tls() {
    let (_site, watch) = start("");
    // In the clear, since the client would understand nothing else.
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n"] {
        let mark = watch.mark();
        let mut client = RawClient::connect(watch.proxy.addr("web")).unwrap();
        let answer = client.ask(request).unwrap();
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains("https://"), "{}", answer.text());
        client.rest().unwrap();
        let line = watch.ended(mark, "tls_plain_http");
        assert_eq!((&line["status"], &line["termination"]), (&400.into(), &"PR".into()), "{line}");
    }
    for garbage in [&b"SSH-2.0-OpenSSH_9.6\r\n"[..], b"\0\0\0\0\0\0\0\0\0\0\0", b"EHLO a\r\n", &[0xff; 64]] {
        let mark = watch.mark();
        let mut client = RawClient::connect(watch.proxy.addr("web")).unwrap();
        client.send(garbage).unwrap();
        let (said, _) = client.rest().unwrap();
        assert!(!said.starts_with(b"HTTP"), "{said:?}");
        let line = watch.ended(mark, "tls_not_tls");
        assert_eq!((&line["status"], &line["fault"]), (&serde_json::Value::Null, &"client".into()), "{line}");
    }
}

#[test]
fn clients_that_leave_or_fall_silent() {
    let (_site, watch) = start("");
    let hello = hello();
    let connect = |name: &str| RawClient::connect(watch.proxy.addr(name)).unwrap();

    // Nothing at all is no error, but it is logged.
    let mark = watch.mark();
    let mut client = connect("web");
    client.half_close();
    client.rest().unwrap();
    watch.line(mark, "client_closed_silently");
    let mark = watch.mark();
    connect("hasty").rest().unwrap();
    watch.line(mark, "client_silent");

    // A hello of which a part is missing, and a client that says nothing more after it.
    for sent in [&hello[..3], &hello[..hello.len() / 2], &hello[..]] {
        let mark = watch.mark();
        let mut client = connect("web");
        client.send(sent).unwrap();
        client.half_close();
        client.rest().unwrap();
        watch.ended(mark, "tls_client_closed");
        let mark = watch.mark();
        let mut client = connect("web");
        client.send(sent).unwrap();
        client.reset();
        // Where nothing was read before the reset there is nothing to tell it from a probe.
        let line = watch.proxy.process().wait_line(mark, "of the reset", |l| {
            l.contains("\"tls_client_closed\"") || l.contains("\"client_closed_silently\"")
        });
        if line.contains("\"tls_client_closed\"") {
            watch.ended(mark, "tls_client_closed");
        }
        let mark = watch.mark();
        let mut client = connect("hasty");
        client.send(sent).unwrap();
        client.rest().unwrap();
        watch.ended(mark, "tls_timeout");
    }
    // One that does not like what it sees says so.
    let mark = watch.mark();
    let stranger = Site::new();
    assert!(ask(watch.proxy.addr("web"), &stranger.client("a.example")).is_err());
    watch.ended(mark, "tls_client_alert");
}

#[test]
fn clients_that_break_the_protocol() {
    let (_site, watch) = start("");
    let mut hello = hello();
    for (bytes, reason) in [
        // A record longer than any may be.
        ([&[22, 3, 1, 0xff, 0xff][..], &[1; 200]].concat(), "tls_not_tls"),
        // A handshake message that is no hello.
        (vec![22, 3, 1, 0, 4, 2, 0, 0, 0], "tls_not_tls"),
        // Application data in the middle.
        ([&hello[..], &[23, 3, 3, 0, 32], &[7; 32]].concat(), "tls_protocol"),
    ] {
        let mark = watch.mark();
        let mut client = RawClient::connect(watch.proxy.addr("web")).unwrap();
        client.send(&bytes).unwrap();
        client.rest().unwrap();
        watch.ended(mark, reason);
    }
    // Endless: a hello that never is whole is not collected for ever.
    let mark = watch.mark();
    let mut client = RawClient::connect(watch.proxy.addr("web")).unwrap();
    hello.truncate(9);
    hello[6..9].copy_from_slice(&[0xff, 0xff, 0xff]);
    hello[3..5].copy_from_slice(&16_000_u16.to_be_bytes());
    let record = [&[22, 3, 1], &16_000_u16.to_be_bytes()[..], &[1; 16_000]].concat();
    let _ = client.send(&hello).and_then(|()| client.send(vec![1; 15_996]));
    for _ in 0..8 {
        let _ = client.send(&record);
    }
    client.rest().unwrap();
    watch.ended(mark, "tls_not_tls");
    assert_eq!(watch.proxy.metric(&metric("tls_internal")).unwrap_or(0.0), 0.0);
}

/// TLS 1.2 let clients begin again in the middle; nobody may here.
#[test]
fn renegotiation_is_refused() {
    let (_site, watch) = start("");
    let args = ["-tls1_2", "-legacy_renegotiation", "-servername", "a.example"];
    let said = openssl(watch.proxy.addr("web"), &args, "R\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(!said.contains("200 OK"), "{said}");
    // The next client is served.
    let said = openssl(
        watch.proxy.addr("web"),
        &["-tls1_2", "-quiet", "-servername", "a.example"],
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert!(said.contains("fine"), "{said}");
}

/// A request whose client closes its side (close_notify) before the answer is answered.
#[test]
fn half_closed() {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    let watch = Watch::start(&config(&[telling("web", &format!("certificate = {cert:?}"), "fine")]));
    let (mut client, _) = RawClient::connect_tls(watch.proxy.addr("web"), &site.client("a.example")).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    client.half_close();
    assert_eq!(client.response().unwrap().text(), "fine");
    client.rest().unwrap();
}

/// Connections beyond the limit wait for a place, and those for which there is none in time are told of.
#[test]
fn tls_connections_have_a_limit() {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    let text = config(&[telling("web", &format!("certificate = {cert:?}"), "fine").replacen(
        "\nhttp-request",
        "\ntimeout.handshake = \"400ms\"\nhttp-request",
        1,
    )])
    .replacen(GLOBAL, &format!("{GLOBAL}maxsslconn = 2\n"), 1);
    let watch = Watch::start(&text);
    let client = site.client("a.example");
    let connect = || RawClient::connect_tls(watch.proxy.addr("web"), &client);
    let (first, _) = connect().unwrap();
    let (_second, _) = connect().unwrap();
    let mark = watch.mark();
    assert!(connect().is_err(), "a third has no place");
    watch.ended(mark, "tls_limit");
    drop(first);
    let (mut third, _) = connect().unwrap();
    assert_eq!(third.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text(), "fine");
}

#[test]
fn handshakes_have_a_rate() {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    let text = config(&[telling("web", &format!("certificate = {cert:?}"), "fine")]);
    let watch = Watch::start(&text.replacen(GLOBAL, &format!("{GLOBAL}maxsslrate = 5\n"), 1));
    let client = site.client("a.example");
    // None is refused: what is too fast waits.
    let began = std::time::Instant::now();
    for _ in 0..12 {
        assert_eq!(ask(watch.proxy.addr("web"), &client).unwrap().0, "fine");
    }
    let took = began.elapsed();
    assert!(took.as_millis() >= 1000, "twelve handshakes at five a second took {took:?}");
}
