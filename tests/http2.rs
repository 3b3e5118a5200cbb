//! HTTP/2 as a client and a server of the proxy see it: how connections begin and end, what becomes of streams, what is refused.
//!
//! What is the same in both protocols is in the tests of pairs, floods have a file of their own.
#![allow(clippy::unwrap_used)]

use evenkeel_testkit::frames::{Frame, Framed, PREFACE, code, flag, kind, setting};
use evenkeel_testkit::{
    Act, Ask, Client, DEADLINE, End, Gate, H2, H2Options, Origin, Payload, Proto, RawClient, Response, Script, Via,
};
use evenkeel_tests::watch::{GLOBAL, Watch, metric};
use nix::sys::signal::Signal;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Nothing that happens because a time is over happens within a test.
const PATIENT: &str =
    "timeout = { http-request = \"60s\", http-keep-alive = \"60s\", client = \"60s\", client-fin = \"60s\" }";

fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// `/held` waits for the gate, `/mute` waits for the end of the connection, `/half` does so after a half.
fn gated(gate: &Gate) -> Script {
    let gate = gate.clone();
    Script::with(move |request, _| match request.message.head.target() {
        "/held" => vec![Act::Body, Act::Wait(gate.clone()), send(OK)],
        "/mute" => vec![Act::Body, Act::DrainToEof],
        "/half" => vec![Act::Body, send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), Act::DrainToEof],
        _ => vec![Act::Body, send(OK)],
    })
}

/// A listener `web` with these keys before one server.
fn web(keys: &str, origin: &Origin, server: &str) -> String {
    format!(
        "{GLOBAL}\n[listen.web]\nbind = [\"@web@\"]\n{keys}\nserver = [{{ name = \"s1\", address = \"{}\"{server} }}]\n",
        origin.addr()
    )
}

/// The same configuration with these keys of HTTP/2 towards clients.
fn tuned(keys: &str, config: &str) -> String {
    config.replacen(GLOBAL, &format!("{GLOBAL}tune.h2.fe = {{ {keys} }}\n"), 1)
}

fn h2(watch: &Watch) -> Client {
    Client::connect(watch.proxy.addr("web"), &Via::clear(Proto::H2)).unwrap()
}

#[test]
fn how_a_connection_begins() {
    let origin = Origin::start(Script::Http(vec![vec![Act::Body, send(OK)]]));
    let server = format!("server = [{{ name = \"s1\", address = \"{}\" }}]", origin.addr());
    let rules = "http-request = [\"set-header X-Version %[req.ver]/%[fc_http_major]\"]";
    let watch = Watch::start(&format!(
        "{GLOBAL}\n[listen.web]\nbind = [\"@web@\"]\n{rules}\n{server}\n\n\
         [listen.forced]\nbind = [{{ address = \"@forced@\", proto = \"h2\" }}]\n{server}\n\n\
         [listen.old]\nbind = [{{ address = \"@old@\", proto = \"h1\" }}]\n{server}\n\n\
         [listen.strict]\nbind = [\"@strict@\"]\noption.disable-h2-upgrade = true\n{server}\n"
    ));
    // One port, both protocols.
    for (proto, version, spoken) in [(Proto::H1, "HTTP/1.1", "1.1/1"), (Proto::H2, "HTTP/2.0", "2.0/2")] {
        let mark = watch.mark();
        let mut client = Client::connect(watch.proxy.addr("web"), &Via::clear(proto)).unwrap();
        assert_eq!(client.ask(&Ask::get("/a")).unwrap().status, 200);
        assert_eq!(watch.request(mark, "/a")["version"], version);
        assert_eq!(origin.seen().last().unwrap().message.head.get("x-version"), Some(spoken));
    }
    let mut forced = Client::connect(watch.proxy.addr("forced"), &Via::clear(Proto::H2)).unwrap();
    assert_eq!(forced.ask(&Ask::get("/")).unwrap().status, 200);
    // The preface in as many pieces as it has bytes.
    let mut drip = Framed::connect(watch.proxy.addr("web"), None).unwrap();
    for byte in PREFACE {
        drip.send_raw([*byte]).unwrap();
    }
    drip.send(&Frame::settings(&[])).unwrap();
    drip.wait(|f| f.kind == kind::SETTINGS && !f.has(flag::ACK)).unwrap();

    let mark = watch.mark();
    let mut wrong = RawClient::connect(watch.proxy.addr("forced")).unwrap();
    wrong.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wrong.rest().unwrap();
    watch.ended(mark, "h2_broken");
    for name in ["old", "strict"] {
        let mark = watch.mark();
        let mut refused = RawClient::connect(watch.proxy.addr(name)).unwrap();
        refused.send(PREFACE).unwrap();
        assert_eq!(refused.response().unwrap().status(), 405, "{name}");
        refused.rest().unwrap();
        watch.ended(mark, "request_http2_preface");
    }
    // A preface that begins well and goes wrong.
    let mark = watch.mark();
    let mut wrong = RawClient::connect(watch.proxy.addr("web")).unwrap();
    wrong.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").unwrap();
    wrong.rest().unwrap();
    watch.ended(mark, "h2_broken");
}

#[test]
fn the_first_settings_say_what_is_configured() {
    let origin = Origin::start(Script::always("ok"));
    let watch = Watch::start(&tuned(
        "max-concurrent-streams = 7, initial-window-size = \"20k\", max-frame-size = \"32k\", header-table-size = \"2k\"",
        &web("", &origin, ""),
    ));
    let settings = h2(&watch).h2().settings().unwrap();
    for wanted in [
        (setting::MAX_CONCURRENT_STREAMS, 7),
        (setting::INITIAL_WINDOW_SIZE, 20 * 1024),
        (setting::MAX_FRAME_SIZE, 32 * 1024),
        (setting::HEADER_TABLE_SIZE, 2048),
        (setting::ENABLE_CONNECT_PROTOCOL, 1),
    ] {
        assert!(settings.contains(&wanted), "{wanted:?} is not in {settings:?}");
    }
    assert!(settings.iter().any(|(id, n)| *id == setting::MAX_HEADER_LIST_SIZE && *n >= 8192), "{settings:?}");
}

/// A process that ends says so, takes no new streams, and finishes those it has.
#[test]
fn a_drain() {
    let gate = Gate::new();
    let origin = Origin::start(gated(&gate));
    let mut watch = Watch::start(&web(PATIENT, &origin, ""));
    let mut client = h2(&watch);
    let call = client.begin(&Ask::get("/held")).unwrap();
    let idle = h2(&watch);
    idle.h2().ping().unwrap();
    origin.wait_seen(|seen| seen.len() == 1).unwrap();
    watch.proxy.signal(Signal::SIGTERM);
    assert_eq!(client.h2().wait_goaway().unwrap().1, code::NO_ERROR);
    assert_eq!(idle.h2().wait_goaway().unwrap().1, code::NO_ERROR);
    assert_eq!(idle.h2().wait_end().unwrap(), End::Closed);
    gate.open();
    assert_eq!(call.finish().unwrap().text(), "ok");
    assert_eq!(client.wait_end().unwrap(), End::Closed);
    assert!(watch.proxy.wait_exit(DEADLINE).success());
}

#[test]
fn a_reload_keeps_connections_whose_frontend_stays() {
    let gate = Gate::new();
    let origin = Origin::start(gated(&gate));
    let config =
        |generation: &str| web(&format!("{PATIENT}\nhttp-request = [\"set-header X-Gen {generation}\"]"), &origin, "");
    let mut watch = Watch::start(&config("1"));
    let mut client = h2(&watch);
    let call = client.begin(&Ask::get("/held")).unwrap();
    origin.wait_seen(|seen| seen.len() == 1).unwrap();
    assert!(watch.proxy.reload(&config("2")).status.success());
    assert_eq!(client.ask(&Ask::get("/after")).unwrap().status, 200);
    gate.open();
    assert_eq!(call.finish().unwrap().text(), "ok");
    let seen: Vec<_> = origin.seen().iter().map(|r| r.message.head.get("x-gen").unwrap().to_owned()).collect();
    assert_eq!(seen, ["1", "2"]);
    assert!(client.h2().goaway().is_none());

    // The frontend goes, and its connections with it, once what they have begun is done.
    gate.shut();
    let call = client.begin(&Ask::get("/held")).unwrap();
    origin.wait_seen(|seen| seen.len() == 3).unwrap();
    assert!(
        watch
            .proxy
            .reload(&config("3").replace("listen.web", "listen.other").replace("@web@", "@other@"))
            .status
            .success()
    );
    assert_eq!(client.h2().wait_goaway().unwrap().1, code::NO_ERROR);
    gate.open();
    assert_eq!(call.finish().unwrap().text(), "ok");
    assert_eq!(client.wait_end().unwrap(), End::Closed);
}

#[test]
fn a_connection_ends_after_its_last_stream() {
    let gate = Gate::new();
    let origin = Origin::start(gated(&gate));
    let watch = Watch::start(&tuned("max-total-streams = 3", &web(PATIENT, &origin, "")));
    let mut client = h2(&watch);
    let first = client.begin(&Ask::get("/held")).unwrap();
    assert_eq!(client.ask(&Ask::get("/2")).unwrap().status, 200);
    assert!(client.h2().goaway().is_none());
    assert_eq!(client.ask(&Ask::get("/3")).unwrap().status, 200);
    assert_eq!(client.h2().wait_goaway().unwrap().1, code::NO_ERROR);
    gate.open();
    assert_eq!(first.finish().unwrap().status, 200);
    assert_eq!(client.wait_end().unwrap(), End::Closed);
}

/// The end of a connection must not eat the end of its last answer, which a slow client is still reading.
#[test]
fn a_last_answer_arrives_whole() {
    const MUCH: usize = 20_000_000;
    let acts =
        vec![Act::Body, send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n")), Act::SendMany(MUCH)];
    let origin = Origin::start(Script::Http(vec![acts]));
    let watch = Watch::start(&tuned("max-total-streams = 1", &web("", &origin, "")));
    let mut client = Framed::greet(watch.proxy.addr("web"), None).unwrap();
    client.send(&Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0x7fff_ffff)])).unwrap();
    client.send(&Frame::window(0, 0x7000_0000)).unwrap();
    client.send(&Frame::headers(1, &evenkeel_testkit::frames::get("/", "a"), true)).unwrap();
    let mut got = 0;
    while let Some(frame) = client.next(None).unwrap() {
        match frame.kind {
            kind::DATA => {
                got += frame.payload.len();
                // Sent to whoever listens still: what matters is what a closed socket would answer.
                let _ = client.send(&Frame::window(0, frame.payload.len() as u32));
            }
            kind::PING if !frame.has(flag::ACK) => {
                client.send(&Frame::new(kind::PING, flag::ACK, 0, frame.payload)).unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(got, MUCH);
    assert_eq!(client.wire().ended(), Some(std::io::ErrorKind::UnexpectedEof));
}

#[test]
fn connections_that_say_nothing() {
    let gate = Gate::new();
    let origin = Origin::start(gated(&gate));
    let watch = Watch::start(&web("timeout = { http-request = \"150ms\", http-keep-alive = \"150ms\" }", &origin, ""));
    // Between requests: a farewell, and no error.
    let mut client = h2(&watch);
    assert_eq!(client.ask(&Ask::get("/")).unwrap().status, 200);
    assert_eq!(client.h2().wait_goaway().unwrap().1, code::NO_ERROR);
    assert_eq!(client.wait_end().unwrap(), End::Closed);
    // Before the first.
    let silent = h2(&watch);
    assert_eq!(silent.h2().wait_goaway().unwrap().1, code::NO_ERROR);
    assert_eq!(silent.h2().wait_end().unwrap(), End::Closed);
    // In the middle of the preface.
    let mark = watch.mark();
    let mut cut = RawClient::connect(watch.proxy.addr("web")).unwrap();
    cut.send(&PREFACE[..20]).unwrap();
    cut.rest().unwrap();
    watch.ended(mark, "client_slow_head");
    let mark = watch.mark();
    let mut cut = RawClient::connect(watch.proxy.addr("web")).unwrap();
    cut.send(&PREFACE[..20]).unwrap();
    cut.half_close();
    cut.rest().unwrap();
    watch.ended(mark, "client_closed_in_head");
    // A stream that waits for its server keeps the connection, however long that takes.
    let mut client = h2(&watch);
    let call = client.begin(&Ask::get("/held")).unwrap();
    let idle = h2(&watch);
    assert_eq!(idle.h2().wait_end().unwrap(), End::Closed);
    assert!(client.h2().goaway().is_none());
    gate.open();
    assert_eq!(call.finish().unwrap().status, 200);
}

#[test]
fn pings_are_answered() {
    let origin = Origin::start(Script::always("ok"));
    let watch = Watch::start(&web("", &origin, ""));
    let mut framed = Framed::greet(watch.proxy.addr("web"), None).unwrap();
    framed.send(&Frame::new(kind::PING, 0, 0, *b"abcdefgh")).unwrap();
    let pong = framed.wait(|f| f.kind == kind::PING).unwrap();
    assert_eq!((pong.flags, &pong.payload[..]), (flag::ACK, &b"abcdefgh"[..]));
}

/// What a client resets is given up at the server too, and said of the stage it was in.
#[test]
fn streams_that_the_client_resets() {
    let origin = Origin::start(gated(&Gate::new()));
    let watch = Watch::start(&web("", &origin, ""));
    let mut client = h2(&watch);

    let mark = watch.mark();
    let call = client.begin(&Ask::get("/mute")).unwrap();
    origin.wait_seen(|seen| seen.len() == 1).unwrap();
    call.abort();
    let line = watch.ended(mark, "client_closed_waiting");
    assert_eq!(line["termination"], "CH", "{line}");
    origin.wait_open(0).unwrap();

    let mark = watch.mark();
    let mut call = client.begin(&Ask::get("/half")).unwrap();
    assert!(call.until("hello").unwrap());
    call.abort();
    let line = watch.ended(mark, "client_closed_in_response");
    assert_eq!((&line["termination"], &line["status"]), (&"CD".into(), &200.into()), "{line}");
    origin.wait_open(0).unwrap();

    let mark = watch.mark();
    let mut call = client.begin(&Ask::new("POST", "/upload").payload(Payload::Open)).unwrap();
    call.send("some").unwrap();
    origin.wait_seen(|seen| seen.len() == 3).unwrap();
    call.abort();
    let line = watch.ended(mark, "client_closed_in_body");
    assert_eq!(line["termination"], "CD", "{line}");
    origin.wait_open(0).unwrap();
    assert!(!origin.seen()[2].message.complete);

    // The connection is as good as before.
    assert_eq!(client.ask(&Ask::get("/")).unwrap().status, 200);
    // A connection that breaks takes its streams with it.
    let mark = watch.mark();
    let call = client.begin(&Ask::get("/mute")).unwrap();
    origin.wait_seen(|seen| seen.len() == 5).unwrap();
    client.h2().cut();
    drop((call, client));
    watch.ended(mark, "client_closed_waiting");
}

#[test]
fn streams_that_the_server_resets() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(Script::with(move |request, _| match request.message.head.target() {
        "/internal" => vec![Act::Rst(code::INTERNAL_ERROR)],
        "/half" => vec![
            Act::Body,
            send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
            Act::Wait(held.clone()),
            Act::Rst(code::INTERNAL_ERROR),
        ],
        _ => vec![Act::Body, send(OK)],
    }));
    let watch = Watch::start(&web("retries = 2", &origin, ", proto = \"h2\""));
    let mark = watch.mark();
    let mut client = h2(&watch);
    assert_eq!(client.ask(&Ask::get("/internal")).unwrap().status, 502);
    let line = watch.ended(mark, "server_reset_unanswered");
    assert_eq!((&line["termination"], &line["fault"]), (&"SH".into(), &"server".into()), "{line}");

    let mark = watch.mark();
    let mut call = client.begin(&Ask::get("/half")).unwrap();
    assert!(call.until("hello").unwrap());
    gate.open();
    let response = call.finish().unwrap();
    assert_eq!((response.status, response.text().as_str(), response.complete), (200, "hello", false));
    assert!(response.reset.is_some());
    watch.ended(mark, "server_reset_in_response");

    // What a server refused it has not looked at: even a POST is sent again (RFC 9113 section 8.7).
    origin.begin(Script::with(
        |_, n| {
            if n == 0 { vec![Act::Rst(code::REFUSED_STREAM)] } else { vec![Act::Body, send(OK)] }
        },
    ));
    let mark = watch.mark();
    assert_eq!(client.ask(&Ask::get("/refused")).unwrap().status, 200);
    let line = watch.request(mark, "/refused");
    assert_eq!(line["retries"], 1, "{line}");
    origin.begin(Script::with(
        |_, n| {
            if n == 0 { vec![Act::Rst(code::REFUSED_STREAM)] } else { vec![Act::Body, send(OK)] }
        },
    ));
    assert_eq!(client.ask(&Ask::new("POST", "/refused")).unwrap().status, 200);
}

/// A server that leaves says up to which stream it served: the others go elsewhere, and nobody notices.
#[test]
fn a_server_that_leaves() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(Script::with(move |request, _| match request.message.head.target() {
        "/held" => vec![Act::Body, Act::Wait(held.clone()), send(OK)],
        "/leave" => vec![Act::Body, send(OK), Act::GoAway(code::NO_ERROR)],
        _ => vec![Act::Body, send(OK)],
    }));
    let watch = Watch::start(&web("", &origin, ", proto = \"h2\""));
    let mut client = h2(&watch);
    let call = client.begin(&Ask::get("/held")).unwrap();
    origin.wait_seen(|seen| seen.len() == 1).unwrap();
    assert_eq!(client.ask(&Ask::get("/leave")).unwrap().status, 200);
    for _ in 0..5 {
        assert_eq!(
            client.ask(&Ask::new("POST", "/post")).unwrap().status,
            200,
            "DBG {:?} {:?}",
            watch.request(0, "/post"),
            origin.seen()
        );
    }
    gate.open();
    assert_eq!(call.finish().unwrap().status, 200);
    let seen = origin.seen();
    assert_eq!((seen[1].connection, seen.last().unwrap().connection), (0, 1));
    assert_eq!(origin.faults(), Vec::<String>::new());
}

/// {h1, h2} to {h1, h2}: a tunnel has a time of its own, and a reload does not cut it.
#[test]
fn websockets() {
    let origins: Vec<Origin> = (0..2).map(|_| Origin::start(Script::websocket())).collect();
    let config = |tunnel: &str| {
        let listen = |n: usize, proto: &str| {
            format!(
                "[listen.w{n}]\nbind = [\"@w{n}@\"]\n\
                 timeout = {{ http-request = \"150ms\", client = \"150ms\", server = \"150ms\", tunnel = \"{tunnel}\" }}\n\
                 server = [{{ name = \"s1\", address = \"{}\", proto = \"{proto}\" }}]\n\n",
                origins[n].addr()
            )
        };
        format!("{GLOBAL}\n{}{}", listen(0, "h1"), listen(1, "h2"))
    };
    let mut watch = Watch::start(&config("60s"));
    let mut tunnels = Vec::new();
    for (n, origin) in ["w0", "w1"].into_iter().enumerate() {
        for proto in [Proto::H1, Proto::H2] {
            let mut client = Client::connect(watch.proxy.addr(origin), &Via::clear(proto)).unwrap();
            let mut call = client.begin(&Ask::websocket("/chat")).unwrap();
            assert_eq!(call.status().unwrap(), if proto == Proto::H2 { 200 } else { 101 });
            call.send("before").unwrap();
            if !call.until("before").unwrap() {
                panic!("DBG {:?} {:?}", watch.request(0, "/chat"), origins[n].seen());
            }
            tunnels.push((n, proto, client, call));
        }
    }
    // Longer than the other times are: an idle connection beside them has ended.
    let mut idle = RawClient::connect(watch.proxy.addr("w0")).unwrap();
    idle.send("GET").unwrap();
    idle.rest().unwrap();
    assert!(watch.proxy.reload(&config("200ms")).status.success());
    for (n, proto, _, call) in &mut tunnels {
        call.send("after").unwrap();
        assert!(call.until("after").unwrap(), "{proto:?} to {n}");
    }
    let mark = watch.mark();
    for (_, _, _, mut call) in tunnels {
        call.end().unwrap();
        assert!(call.finish().unwrap().complete);
    }
    for _ in 0..4 {
        watch.request(mark, "/chat");
    }
    // What begins now has the new time.
    for (name, proto) in [("w0", Proto::H1), ("w0", Proto::H2), ("w1", Proto::H1), ("w1", Proto::H2)] {
        let mark = watch.mark();
        let mut client = Client::connect(watch.proxy.addr(name), &Via::clear(proto)).unwrap();
        let mut call = client.begin(&Ask::websocket("/idle")).unwrap();
        assert_ne!(call.status().unwrap(), 0);
        call.drain().unwrap();
        let line = watch.request(mark, "/idle");
        assert!(line["reason"].as_str().unwrap().starts_with("tunnel_idle"), "{line}");
    }
}

/// The status of a request of these fields; 0 when the stream or the connection was reset.
fn ask_fields(watch: &Watch, fields: &[(&str, &str)], body: Option<&[u8]>) -> u16 {
    let client = h2(watch);
    let id = client.h2().open(fields, body.is_none()).unwrap();
    if let Some(body) = body {
        let _ = client.h2().data(id, body, true);
    }
    loop {
        match client.h2().event(id, None).unwrap() {
            evenkeel_testkit::Event::Head(fields) => {
                let status = fields.iter().find(|(n, _)| n == b":status").unwrap();
                return String::from_utf8_lossy(&status.1).parse().unwrap();
            }
            evenkeel_testkit::Event::Reset(code) => {
                assert_eq!(code, code::PROTOCOL_ERROR, "{fields:?}");
                return 0;
            }
            evenkeel_testkit::Event::Gone | evenkeel_testkit::Event::End => return 0,
            _ => {}
        }
    }
}

/// Nothing that HTTP/1 would read otherwise gets through.
#[test]
fn illegal_heads_never_reach_a_server() {
    let origin = Origin::start(Script::always("ok"));
    let watch = Watch::start(&web("", &origin, ""));
    let base = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
    let with = |extra: &[(&'static str, &'static str)]| [&base[..], extra].concat();
    let without = |name: &str| base.iter().filter(|(n, _)| *n != name).copied().collect::<Vec<_>>();
    let instead = |name: &str, value: &'static str| {
        base.iter().map(|(n, v)| (*n, if *n == name { value } else { *v })).collect::<Vec<_>>()
    };
    assert_eq!(ask_fields(&watch, &base, None), 200);
    assert_eq!(ask_fields(&watch, &with(&[("te", "trailers"), ("x-ok", "a\tb \u{e9}")]), None), 200);
    assert_eq!(origin.served(), 2);
    let illegal: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("an upper-case name", with(&[("X-Upper", "1")])),
        ("an empty name", with(&[("", "1")])),
        ("a blank in a name", with(&[("x y", "1")])),
        ("a colon in a name", with(&[("x:y", "1")])),
        ("CR LF in a name", with(&[("x\r\ny", "1")])),
        ("CR LF in a value", with(&[("x", "1\r\nevil: 1")])),
        ("LF in a value", with(&[("x", "1\nevil: 1")])),
        ("NUL in a value", with(&[("x", "1\0")])),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "1")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("upgrade", with(&[("upgrade", "h2c")])),
        ("te", with(&[("te", "gzip")])),
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("neither authority nor Host", without(":authority")),
        ("an empty path", instead(":path", "")),
        ("a path that is none", instead(":path", "x")),
        ("a blank in the path", instead(":path", "/a b")),
        ("CR LF in the path", instead(":path", "/ HTTP/1.1\r\nevil: 1")),
        ("NUL in the path", instead(":path", "/\0")),
        ("a blank in the method", instead(":method", "GET /x HTTP/1.1")),
        ("an empty method", instead(":method", "")),
        ("a path in the authority", instead(":authority", "a/b")),
        ("a blank in the authority", instead(":authority", "a b")),
        ("CR LF in the authority", instead(":authority", "a\r\nevil: 1")),
        ("another Host", with(&[("host", "b")])),
        ("two Hosts", with(&[("host", "a"), ("host", "b")])),
        ("a second path", with(&[(":path", "/other")])),
        ("an unknown pseudo-field", with(&[(":evil", "1")])),
        ("the status of a response", with(&[(":status", "200")])),
        ("a protocol without CONNECT", with(&[(":protocol", "websocket")])),
        ("a pseudo-field behind a field", [&[("x", "1")][..], &base[..]].concat()),
        ("two lengths", with(&[("content-length", "1"), ("content-length", "2")])),
        ("a length that is none", with(&[("content-length", "1x")])),
        ("a negative length", with(&[("content-length", "-1")])),
        ("a length that is too great", with(&[("content-length", "99999999999999999999999")])),
        ("a length without a body", with(&[("content-length", "5")])),
        ("CONNECT with a path", instead(":method", "CONNECT")),
    ];
    for (what, fields) in &illegal {
        let status = ask_fields(&watch, fields, None);
        assert!(matches!(status, 0 | 400 | 431), "{what}: {status}");
    }
    // A body may have begun before its length turns out to be wrong, but never ends well.
    let posts = [("a body that is too long", "2", "abc"), ("a body that is too short", "9", "abc")];
    for (what, length, body) in posts {
        let mut fields = instead(":method", "POST");
        fields.push(("content-length", length));
        let status = ask_fields(&watch, &fields, Some(body.as_bytes()));
        assert!(matches!(status, 0 | 400), "{what}: {status}");
    }
    origin.settle();
    for request in origin.seen().iter().skip(2) {
        assert!(!request.message.complete, "{:?}", request.message.head);
        assert_eq!(request.message.head.method(), "POST", "{:?}", request.message.head);
    }
}

/// As in HTTP/1 the status says what was too much, and the log which limit.
#[test]
fn heads_that_are_too_large() {
    let origin = Origin::start(Script::always("ok"));
    let watch = Watch::start(&web("", &origin, ""));
    let many: Vec<(String, String)> = (0..120).map(|n| (format!("x-{n}"), "b".to_owned())).collect();
    let large = vec![("cookie".to_owned(), "c".repeat(15_000)), ("x".to_owned(), "d".repeat(3_000))];
    let long = format!("/{}", "x".repeat(9000));
    for (reason, status, path, fields) in [
        ("request_too_many_fields", 431, "/many", many),
        ("request_head_too_large", 431, "/large", large),
        ("request_target_too_long", 414, long.as_str(), vec![]),
    ] {
        let mark = watch.mark();
        let mut client = h2(&watch);
        let response = client.ask(&Ask { fields, ..Ask::get(path) }).unwrap();
        assert_eq!(response.status, status, "{reason}");
        let line = watch.ended(mark, reason);
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(client.ask(&Ask::get("/next")).unwrap().status, 200, "{reason}");
    }
    assert_eq!(origin.served(), 3);
    // A limit on both sides: what a server says too much of is its fault.
    origin.begin(Script::Http(vec![vec![
        Act::Body,
        send(&format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X-A: b\r\n".repeat(150))),
    ]]));
    let mark = watch.mark();
    assert_eq!(h2(&watch).ask(&Ask::get("/wide")).unwrap().status, 502);
    watch.ended(mark, "response_head_too_large");
}

#[test]
fn what_an_http1_server_gets_to_see() {
    let origin = Origin::start(Script::always("ok"));
    let watch = Watch::start(&web("", &origin, ""));
    let client = h2(&watch);
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/a?b=c"),
        (":authority", "a.example:8080"),
        ("cookie", "a=1"),
        ("x-first", "1"),
        ("cookie", "b=2"),
        ("x-first", "2"),
        ("te", "trailers"),
    ];
    let id = client.h2().open(&fields, true).unwrap();
    assert!(matches!(client.h2().event(id, None).unwrap(), evenkeel_testkit::Event::Head(_)));
    let head = String::from_utf8(origin.seen()[0].message.raw_head.clone()).unwrap();
    let lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines[0], "GET /a?b=c HTTP/1.1", "{head}");
    for line in ["host: a.example:8080", "x-first: 1", "x-first: 2", "cookie: a=1; b=2"] {
        assert_eq!(lines.iter().filter(|l| **l == line).count(), 1, "{line}: {head}");
    }
    for name in ["transfer-encoding", ":authority", "content-length", "upgrade"] {
        assert!(!lines.iter().any(|l| l.starts_with(name)), "{name}: {head}");
    }
}

/// What a client sends is taken as fast as the server takes it, and no faster.
#[test]
fn a_slow_server_holds_its_client_back() {
    const MUCH: usize = 100_000_000;
    let gate = Gate::new();
    let script = || Script::Http(vec![vec![Act::Wait(gate.clone()), Act::Body, send(OK)]]);
    for server in [", proto = \"h1\"", ", proto = \"h2\""] {
        gate.shut();
        let options = evenkeel_testkit::OriginOptions {
            // Narrow, so that the origin's own reader takes little.
            h2: H2Options { wide: false, ..H2Options::server() },
            ..evenkeel_testkit::OriginOptions::default()
        };
        let origin = Origin::start_with(options, script());
        let watch = Watch::start(&web("timeout = { client = \"60s\", server = \"60s\" }", &origin, server));
        let mut client = Framed::greet(watch.proxy.addr("web"), None).unwrap();
        let length = MUCH.to_string();
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("content-length", &length),
        ];
        client.send(&Frame::headers(1, &fields, false)).unwrap();
        let (mut sent, mut window) = (0_usize, [65_535_i64; 2]);
        // Nothing more is granted over this many round trips.
        let mut quiet = 0;
        while quiet < 200 {
            let room = usize::try_from(window[0].min(window[1])).unwrap_or(0).min(16_384);
            if room > 0 {
                client.send(&Frame::data(1, vec![b'x'; room], false)).unwrap();
                sent += room;
                window = window.map(|w| w - room as i64);
                quiet = 0;
                assert!(sent < MUCH / 2, "{server}: {sent} bytes were taken of which the server has read none");
                continue;
            }
            client.send(&Frame::new(kind::PING, 0, 0, [0; 8])).unwrap();
            quiet += 1;
            loop {
                let frame = client.next(None).unwrap().unwrap();
                match frame.kind {
                    kind::WINDOW_UPDATE => {
                        window[usize::from(frame.stream == 1)] += i64::from(frame.word(0));
                        quiet = 0;
                    }
                    kind::PING => break,
                    _ => {}
                }
            }
        }
        assert!(watch.proxy.process().rss_kib() < 60_000, "{} KiB", watch.proxy.process().rss_kib());
        gate.open();
    }
}

/// What a server sends is taken as fast as the client takes it, and no faster.
#[test]
fn a_slow_client_holds_its_server_back() {
    const MUCH: usize = 100_000_000;
    let acts = vec![
        Act::Body,
        send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n")),
        Act::SendMany(MUCH),
        Act::Rst(code::NO_ERROR),
    ];
    let origin = Origin::start(Script::Http(vec![acts]));
    for server in [", proto = \"h1\"", ", proto = \"h2\""] {
        let watch = Watch::start(&web("timeout = { client = \"60s\", server = \"60s\" }", &origin, server));
        let mut client = Framed::greet(watch.proxy.addr("web"), None).unwrap();
        let before = watch.proxy.process().rss_kib();
        for n in 0..10 {
            let fields = evenkeel_testkit::frames::get("/", "a");
            client.send(&Frame::headers(2 * n + 1, &fields, true)).unwrap();
        }
        let (mut got, mut quiet) = (0, 0);
        // The window of the connection is all that may come.
        while got < 65_535 || quiet < 200 {
            client.send(&Frame::new(kind::PING, 0, 0, [0; 8])).unwrap();
            quiet += 1;
            loop {
                let frame = client.next(None).unwrap().unwrap();
                match frame.kind {
                    kind::DATA => {
                        got += frame.payload.len();
                        quiet = 0;
                    }
                    kind::PING => break,
                    _ => {}
                }
            }
        }
        assert_eq!(got, 65_535);
        let grown = watch.proxy.process().rss_kib().saturating_sub(before);
        assert!(grown < 20_000, "{server}: {grown} KiB more for ten downloads that stand still");
    }
}

/// Trailers and interim heads by the frame: a head, data, and a head that ends.
#[test]
fn trailers_and_early_hints() {
    let origin = Origin::start(Script::Http(vec![vec![
        Act::Body,
        send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"),
        send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"),
    ]]));
    let watch = Watch::start(&web("", &origin, ""));
    let response: Response =
        h2(&watch).ask(&Ask::stream("/t", "body").trailer("x-up", "1").field("trailer", "x-up")).unwrap();
    assert_eq!((response.status, response.trailer("x-sum")), (200, Some("7")));
    assert!(response.get("transfer-encoding").is_none(), "{response:?}");
    assert_eq!(response.interim.len(), 1);
    assert_eq!(response.interim[0].0, 103);
    let seen = origin.seen();
    assert_eq!(seen[0].message.trailers, [("x-up".to_owned(), "1".to_owned())]);
    // Trailers must not bring what belongs in front.
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
    for bad in [(":path", "/evil"), ("connection", "close"), ("X-Upper", "1"), ("x", "a\r\nb")] {
        let client = h2(&watch);
        let id = client.h2().open(&fields, false).unwrap();
        client.h2().data(id, b"x", false).unwrap();
        client.h2().headers(id, &[bad], true).unwrap();
        // A request that is refused is reset; a pseudo-field alone may be dropped instead.
        while !matches!(
            client.h2().event(id, None).unwrap(),
            evenkeel_testkit::Event::Reset(_) | evenkeel_testkit::Event::Gone | evenkeel_testkit::Event::End
        ) {}
    }
    origin.settle();
    for request in origin.seen().iter().skip(1) {
        assert_eq!(request.message.trailers, [], "{request:?}");
        assert_eq!(request.message.head.target(), "/");
    }
}

/// A frame that breaks the protocol ends the connection with its code, a reason in the log, and nobody else is harmed.
#[test]
fn connections_that_break_the_protocol() {
    let origin = Origin::start(Script::always("ok"));
    let watch = Watch::start(&web("", &origin, ""));
    let mut other = h2(&watch);
    assert_eq!(other.ask(&Ask::get("/")).unwrap().status, 200);
    let get = evenkeel_testkit::frames::get("/", "a");
    for (what, frame, wanted) in [
        ("DATA on stream 0", Frame::data(0, "x", false), code::PROTOCOL_ERROR),
        ("a stream of the server's", Frame::headers(2, &get, true), code::PROTOCOL_ERROR),
        ("SETTINGS on a stream", Frame::new(kind::SETTINGS, 0, 1, []), code::PROTOCOL_ERROR),
        ("SETTINGS of seven bytes", Frame::new(kind::SETTINGS, 0, 0, [0; 7]), code::FRAME_SIZE_ERROR),
        ("a PING of seven bytes", Frame::new(kind::PING, 0, 0, [0; 7]), code::FRAME_SIZE_ERROR),
        ("a window of nothing", Frame::window(0, 0), code::PROTOCOL_ERROR),
        ("a window beyond all", Frame::window(0, 0x7fff_ffff), code::FLOW_CONTROL_ERROR),
        ("CONTINUATION without a head", Frame::new(kind::CONTINUATION, 4, 1, [0; 8]), code::PROTOCOL_ERROR),
        ("a frame that is too long", Frame::data(1, vec![0; 16_385], false), code::FRAME_SIZE_ERROR),
        ("no HPACK", Frame::new(kind::HEADERS, 5, 1, [0xff; 40]), code::COMPRESSION_ERROR),
        ("RST_STREAM on an idle stream", Frame::rst(9, code::CANCEL), code::PROTOCOL_ERROR),
    ] {
        let mark = watch.mark();
        let mut framed = Framed::greet(watch.proxy.addr("web"), None).unwrap();
        framed.send(&frame).unwrap();
        let said = framed.wait(|f| f.kind == kind::GOAWAY).unwrap();
        // The library says PROTOCOL_ERROR of some things that have a code of their own.
        assert!([wanted, code::PROTOCOL_ERROR].contains(&said.code()), "{what}: {}", said.code());
        watch.ended(mark, "h2_broken");
    }
    assert_eq!(other.ask(&Ask::get("/")).unwrap().status, 200);
    assert_eq!(origin.served(), 2);
    // The sum of them is one number; streams that were refused are none of it.
    assert!(watch.proxy.metric(&metric("h2_excess")).is_none_or(|n| n == 0.0));
    let _: &H2 = other.h2();
}
