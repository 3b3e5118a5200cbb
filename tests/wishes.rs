//! What rules ask of the rest of a transaction, and what it tells them of itself: timeouts, retries, times, sizes.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::time::Duration;

use evenkeel_testkit::{Act, Origin, Proxy, RawClient, Script};

/// An origin that closes the connection without an answer when asked for `/gone`, and answers anything else.
fn moody() -> Origin {
    Origin::start(Script::with(|request, _| match request.message.head.target() {
        "/gone" => vec![Act::Body, Act::Close],
        _ => vec![Act::Body, Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())],
    }))
}

fn status(proxy: &Proxy, request: &str) -> u16 {
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    client.ask(format!("{request}\r\nHost: a\r\nConnection: close\r\n\r\n")).unwrap().status()
}

#[test]
fn disable_l7_retry_leaves_an_unanswered_request_unanswered() {
    let (gone, well) = (moody(), Origin::start(Script::always("hello")));
    let proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\nbalance = \"first\"\nretries = 3\noption.redispatch = 1\n\
         http-request = [\"disable-l7-retry if {{ req.hdr(x-once) 1 }}\"]\n\
         server = [{{ name = \"a\", address = \"{}\" }}, {{ name = \"b\", address = \"{}\" }}]\n",
        gone.addr(),
        well.addr()
    ));
    assert_eq!(status(&proxy, "GET /gone HTTP/1.1"), 200, "another server is asked");
    assert_eq!((gone.served(), well.served()), (1, 1));
    assert_eq!(status(&proxy, "GET /gone HTTP/1.1\r\nX-Once: 1"), 502, "none is");
    assert_eq!((gone.served(), well.served()), (2, 1));
}

/// The timeouts that rules on the response set hold for the rest of it.
#[test]
fn a_response_may_have_a_timeout_of_its_own() {
    let origin = Origin::start(Script::with(|request, _| {
        let stalls = request.message.head.target() == "/stalls";
        let mut acts = vec![Act::Body, Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc".to_vec())];
        acts.push(if stalls { Act::DrainToEof } else { Act::Send(b"def".to_vec()) });
        acts
    }));
    let proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\nlog = [\"stdout\"]\nlog-format = \"log %HP %ST %ts %[res.hdr(content-length)]\"\n\
         timeout = {{ client = \"1h\", server = \"1h\" }}\n\
         http-response = [\"set-timeout server 50ms if {{ capture.req.uri /stalls }}\"]\n\
         server = [\"{}\"]\n",
        origin.addr()
    ));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    let whole = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((whole.status(), whole.text().as_str()), (200, "abcdef"));
    client.send("GET /stalls HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    proxy.process().wait_line(0, "of the stalled answer", |line| line.starts_with("log /stalls 200 sD"));
}

/// `%Ti`, `%Td`, `%Tq`, `%Tu` and their kin add up, and `%lc` and `%rt` count.
#[allow(clippy::disallowed_methods, reason = "the time that a connection is idle is what is measured")]
#[test]
fn the_times_of_a_transaction_add_up() {
    let origin = Origin::start(Script::with(|_, _| {
        let head = b"HTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: 6\r\n\r\nabc";
        vec![Act::Body, Act::Send(head.to_vec()), Act::Send(b"def".to_vec())]
    }));
    let proxy = Proxy::start(&format!(
        "[global]\nthreads = 1\nadmin = {{ listen = \"@admin@\" }}\n[listen.web]\nbind = [\"@web@\"]\nlog = [\"stdout\"]\n\
         log-format = \"log Th=%Th Ti=%Ti TR=%TR Tq=%Tq Tw=%Tw Tc=%Tc Tr=%Tr Td=%Td Ta=%Ta Tt=%Tt Tu=%Tu lc=%lc rt=%rt \
         idle=%[req.timer.idle] data=%[res.timer.data] in=%[res.bytes_in] out=%[res.bytes_out] up=%[req.bytes_in]\"\n\
         http-response = [\"set-header X-Added 1234567890\"]\nserver = [\"{}\"]\n",
        origin.addr()
    ));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    let mut answer = 0;
    for pause in [0, 60] {
        // The time that the connection is idle is what is measured.
        std::thread::sleep(Duration::from_millis(pause));
        let head = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().head;
        answer = head.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() as i64;
    }
    let lines: Vec<HashMap<String, i64>> = (0..2)
        .map(|n| {
            let line = proxy.process().wait_line(0, "of the log", |line| line.contains(&format!("lc={n} ")));
            let items = line.split(' ').filter_map(|item| item.split_once('='));
            items.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
        })
        .collect();
    for (n, line) in lines.iter().enumerate() {
        let of = |name: &str| line[name];
        assert_eq!(of("rt"), n as i64, "{line:?}");
        assert_eq!(of("Tq"), of("Th") + of("Ti") + of("TR"), "{line:?}");
        assert_eq!(of("Ta"), of("TR") + of("Tw") + of("Tc") + of("Tr") + of("Td"), "{line:?}");
        assert_eq!(of("Tt"), of("Th") + of("Ti") + of("Ta"), "{line:?}");
        assert_eq!(of("Tu"), of("Tt") - of("Ti"), "{line:?}");
        assert_eq!((of("idle"), of("data")), (of("Ti"), of("Td")), "{line:?}");
        // What the server sent is shorter than what the client got: a field was added, the status lines are the same.
        assert_eq!(of("in") + "X-Added: 1234567890\r\n".len() as i64, of("out"), "{line:?}");
        assert!(of("out") > answer, "{line:?}");
        assert_eq!(of("up"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n".len() as i64, "{line:?}");
    }
    assert!(lines[0]["Ti"] < 60 && lines[1]["Ti"] >= 60, "{lines:?}");
}
