//! The probers against real sockets: each test serves one connection itself, in the same task.
//!
//! Where a server keeps silent the clock is paused, so that the timeout comes as soon as nothing else can happen.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::{Check, CheckKind, Expect, ExpectWhat, HttpCheck, InitState, Pattern, ServerAddress, ValueMatch};
use evenkeel_health::{CheckStatus, Report, compile, probe};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-Ok: a, yes\r\nX-Ok: last\r\n\r\nhello there";

fn check(kind: CheckKind) -> Check {
    let long = Duration::from_secs(20);
    Check {
        kind,
        interval: long,
        fast_interval: long,
        down_interval: long,
        rise: 2,
        fall: 3,
        timeout: long,
        port: None,
        addr: None,
        jitter: 0,
        init: InitState::Up,
        tls: None,
        sni: None,
        alpn: Vec::new(),
        proto: None,
        send_proxy: None,
    }
}

fn http(expect: Vec<Expect>) -> Check {
    check(CheckKind::Http(HttpCheck {
        method: "GET".into(),
        uri: "/healthz?a=b".into(),
        host: None,
        headers: Vec::new(),
        body: None,
        expect,
    }))
}

fn is(what: ExpectWhat) -> Expect {
    Expect { not: false, what }
}

fn not(what: ExpectWhat) -> Expect {
    Expect { not: true, what }
}

fn body(text: &str) -> ExpectWhat {
    ExpectWhat::Body(text.into())
}

fn body_regex(text: &str) -> ExpectWhat {
    ExpectWhat::BodyRegex(Pattern(text.into()))
}

fn status_regex(text: &str) -> ExpectWhat {
    ExpectWhat::StatusRegex(Pattern(text.into()))
}

fn status(from: u16, to: u16) -> ExpectWhat {
    ExpectWhat::Status(vec![(599, 599), (from, to)])
}

fn header(name: &str, value: Option<ValueMatch>) -> ExpectWhat {
    ExpectWhat::Header(name.into(), value)
}

fn one_of(values: &[&str]) -> Option<ValueMatch> {
    Some(ValueMatch::OneOf(values.iter().map(|v| Arc::from(*v)).collect()))
}

/// What the server does once it has sent its answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Close,
    Hold,
}

/// Reads one request head into `request`, answers, and closes or holds.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8], then: Then, request: &RefCell<Vec<u8>>) {
    let mut buffer = [0; 4096];
    loop {
        let seen = request.borrow().windows(4).any(|w| w == b"\r\n\r\n");
        if seen {
            break;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(n) => request.borrow_mut().extend_from_slice(&buffer[..n]),
        }
    }
    // A prober that has seen enough closes early, which is no fault here.
    let _ = stream.write_all(answer).await;
    match then {
        Then::Close => drop(stream.shutdown().await),
        Then::Hold => pending().await,
    }
}

/// Runs a check against a server that answers so; gives the report and the request.
async fn ask_then(check: &Check, answer: &[u8], then: Then) -> (Report, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = ServerAddress::Inet(listener.local_addr().unwrap());
    let request = RefCell::default();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, answer, then, &request).await;
        pending::<Report>().await
    };
    let compiled = compile(check);
    let report = tokio::select! {
        report = probe::run(&compiled, &address) => report,
        never = server => never,
    };
    (report, String::from_utf8(request.take()).unwrap())
}

async fn ask(check: &Check, answer: &[u8]) -> (CheckStatus, Option<u16>, String) {
    let (report, _) = ask_then(check, answer, Then::Close).await;
    (report.status, report.code, report.info)
}

fn passes(code: u16) -> (CheckStatus, Option<u16>, String) {
    (CheckStatus::L7Ok, Some(code), String::new())
}

fn wrong_status(code: u16, info: &str) -> (CheckStatus, Option<u16>, String) {
    (CheckStatus::L7Sts, Some(code), info.into())
}

fn invalid(info: &str) -> (CheckStatus, Option<u16>, String) {
    (CheckStatus::L7Rsp, None, info.into())
}

const NO_MATCH: &str = "HTTP content check did not match";
const UNWANTED: &str = "HTTP check matched unwanted content";

#[tokio::test]
async fn tcp_connects_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = ServerAddress::Inet(listener.local_addr().unwrap());
    let report = probe::run(&compile(&check(CheckKind::Tcp)), &address).await;
    assert_eq!((report.status, report.code, report.info.as_str()), (CheckStatus::L4Ok, None, ""));
    assert!(report.passed());
}

#[tokio::test]
async fn refused() {
    // Bound and never listening: nobody else can take the port meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = ServerAddress::Inet(socket.local_addr().unwrap());
    for kind in [check(CheckKind::Tcp), http(Vec::new())] {
        let report = probe::run(&compile(&kind), &address).await;
        assert_eq!((report.status, report.info.as_str()), (CheckStatus::L4Con, "Connection refused"));
        assert!(!report.passed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_nothing_times_out_at_layer_4() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Connections nobody accepts fill the queue; the kernel then leaves the next one unanswered.
    let mut waiting = Vec::new();
    let full = loop {
        match tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
            Ok(Ok(stream)) if waiting.len() < 64 => waiting.push(stream),
            Ok(_) => break false,
            Err(_) => break true,
        }
    };
    assert!(full, "the queue took {} connections", waiting.len());
    let report = probe::run(&compile(&http(Vec::new())), &ServerAddress::Inet(address)).await;
    assert_eq!((report.status, report.duration.as_secs()), (CheckStatus::L4Tout, 20));
}

#[tokio::test(start_paused = true)]
async fn silence_times_out_at_layer_7() {
    let silent: [&[u8]; 3] = [b"", b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n"];
    for answer in silent {
        let (report, _) = ask_then(&http(Vec::new()), answer, Then::Hold).await;
        assert_eq!((report.status, report.code, report.info.as_str()), (CheckStatus::L7Tout, None, ""));
        assert_eq!(report.duration.as_secs(), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_matters_only_to_who_waits_for_it() {
    let slow = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc";
    let status = |check: Check| async move { ask_then(&check, slow, Then::Hold).await.0.status };
    assert_eq!(status(http(Vec::new())).await, CheckStatus::L7Ok);
    assert_eq!(status(http(vec![is(body("bc"))])).await, CheckStatus::L7Ok, "seen, so no need to wait");
    assert_eq!(status(http(vec![is(body("xyz"))])).await, CheckStatus::L7Tout);
    assert_eq!(status(http(vec![not(body("xyz"))])).await, CheckStatus::L7Tout);
    assert_eq!(status(http(vec![is(body("bc")), is(body_regex("^abc"))])).await, CheckStatus::L7Tout);
}

#[tokio::test]
async fn requests_are_as_configured() {
    let (_, request) = ask_then(&http(Vec::new()), OK, Then::Close).await;
    assert_eq!(request, "GET /healthz?a=b HTTP/1.0\r\nconnection: close\r\n\r\n");

    let mut with_host = http(Vec::new());
    with_host.kind = CheckKind::Http(HttpCheck {
        method: "POST".into(),
        uri: "/".into(),
        host: Some("app.example".into()),
        headers: vec![("X-A".into(), "1".into()), ("X-A".into(), "2".into())],
        body: Some("ping".into()),
        expect: Vec::new(),
    });
    let (_, request) = ask_then(&with_host, OK, Then::Close).await;
    let head = request.to_ascii_lowercase();
    assert!(head.starts_with("post / http/1.1\r\n"), "{request}");
    for line in ["host: app.example", "x-a: 1", "x-a: 2", "connection: close", "content-length: 4"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_written_fails_on_our_side() {
    let mut broken = http(Vec::new());
    if let CheckKind::Http(http) = &mut broken.kind {
        http.headers.push(("bad name".into(), "x".into()));
    }
    let nowhere = ServerAddress::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
    let report = probe::run(&compile(&broken), &nowhere).await;
    assert_eq!(report.status, CheckStatus::SockErr);
    assert_eq!(report.info, "the check's header name cannot be used: bad name");
}

#[tokio::test]
async fn without_expectations_200_to_399_pass() {
    for (code, ok) in [(200, true), (204, true), (302, true), (399, true), (400, false), (500, false), (199, false)] {
        let answer = format!("HTTP/1.1 {code} Some Words\r\nContent-Length: 0\r\n\r\n");
        let got = ask(&http(Vec::new()), answer.as_bytes()).await;
        match (ok, code) {
            (true, _) => assert_eq!(got, passes(code)),
            // An informational answer is not the answer, and no other comes.
            (false, 199) => assert_eq!(got, invalid("")),
            (false, _) => assert_eq!(got, wrong_status(code, "Some Words")),
        }
    }
    assert_eq!(ask(&http(Vec::new()), b"HTTP/1.0 503 Service Unavailable\r\n\r\n").await.2, "Service Unavailable");
}

#[tokio::test]
async fn statuses_by_range_and_expression() {
    let ask = |expect: Expect| async { ask(&http(vec![expect]), OK).await };
    assert_eq!(ask(is(status(200, 200))).await, passes(200));
    assert_eq!(ask(is(status(201, 299))).await, wrong_status(200, "OK"));
    assert_eq!(ask(not(status(200, 299))).await, wrong_status(200, "OK"));
    assert_eq!(ask(not(status(300, 599))).await, passes(200));
    assert_eq!(ask(is(status_regex("^2"))).await, passes(200));
    assert_eq!(ask(is(status_regex("^3"))).await, wrong_status(200, "OK"));
    assert_eq!(ask(not(status_regex("^2"))).await, wrong_status(200, "OK"));
}

#[tokio::test]
async fn bodies_by_text_and_expression() {
    let ask = |expect: Expect| async { ask(&http(vec![expect]), OK).await };
    assert_eq!(ask(is(body("hello"))).await, passes(200));
    assert_eq!(ask(is(body("absent"))).await, invalid(NO_MATCH));
    assert_eq!(ask(not(body("hello"))).await, invalid(UNWANTED));
    assert_eq!(ask(not(body("absent"))).await, passes(200));
    assert_eq!(ask(is(body_regex("^hel+o there$"))).await, passes(200));
    assert_eq!(ask(is(body_regex("^there"))).await, invalid(NO_MATCH));
    assert_eq!(ask(not(body_regex("h.llo"))).await, invalid(UNWANTED));
}

#[tokio::test]
async fn headers_by_value_list_and_expression() {
    let ask = |expect: Expect| async { ask(&http(vec![expect]), OK).await };
    let regex = |text: &str| Some(ValueMatch::Regex(Pattern(text.into())));
    assert_eq!(ask(is(header("x-ok", None))).await, passes(200));
    assert_eq!(ask(is(header("X-OK", one_of(&["no", "yes"])))).await, passes(200), "one value of a list");
    assert_eq!(ask(is(header("x-ok", one_of(&["a, yes"])))).await, passes(200), "the whole field");
    assert_eq!(ask(is(header("x-ok", one_of(&["last"])))).await, passes(200), "any field");
    assert_eq!(ask(is(header("x-ok", one_of(&["ye"])))).await, wrong_status(200, "OK"));
    assert_eq!(ask(is(header("x-ok", regex("^y.s$")))).await, passes(200));
    assert_eq!(ask(is(header("x-ok", regex("^z")))).await, wrong_status(200, "OK"));
    assert_eq!(ask(is(header("x-none", None))).await, wrong_status(200, "OK"));
    assert_eq!(ask(not(header("x-none", None))).await, passes(200));
    assert_eq!(ask(not(header("x-ok", one_of(&["yes"])))).await, wrong_status(200, "OK"));
}

#[tokio::test]
async fn the_first_expectation_that_fails_is_reported() {
    let ask = |expect: Vec<Expect>| async { ask(&http(expect), OK).await };
    assert_eq!(ask(vec![is(status(200, 200)), is(body("hello")), is(header("x-ok", None))]).await, passes(200));
    assert_eq!(ask(vec![is(body("absent")), is(status(500, 500))]).await, invalid(NO_MATCH));
    assert_eq!(ask(vec![is(status(500, 500)), is(body("absent"))]).await, wrong_status(200, "OK"));
    assert_eq!(ask(vec![is(body("hello")), is(status(500, 500))]).await, wrong_status(200, "OK"));
    assert_eq!(ask(vec![is(body("hello")), not(body("there"))]).await, invalid(UNWANTED));
}

#[tokio::test]
async fn what_is_no_http_is_invalid() {
    let long_head = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 100_000], b"\r\n\r\n".to_vec()].concat();
    let many_fields = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(2000), b"\r\n".to_vec()].concat();
    let answers: [&[u8]; 7] = [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0\0\0\0",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        &long_head,
        &many_fields,
    ];
    for answer in answers {
        let start = String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned();
        assert_eq!(ask(&http(Vec::new()), answer).await, invalid(""), "{start}");
    }
}

#[tokio::test]
async fn a_body_cut_short_is_invalid() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
    assert_eq!(ask(&http(vec![is(body("xyz"))]), cut).await, invalid("the body ended early"));
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    assert_eq!(ask(&http(vec![is(body_regex("^hello$"))]), chunks).await, passes(200));
    assert_eq!(ask(&http(vec![is(body("hello"))]), chunks).await, passes(200), "across chunks");
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    let answer = |before: usize| {
        let head = b"HTTP/1.0 200 OK\r\n\r\n".to_vec();
        [head, vec![b'.'; before], b"needle".to_vec(), vec![b'.'; 1_000_000]].concat()
    };
    let within = probe::BODY_MAX - "needle".len();
    assert_eq!(ask(&http(vec![is(body("needle"))]), &answer(within)).await, passes(200));
    assert_eq!(ask(&http(vec![is(body("needle"))]), &answer(within + 1)).await, invalid(NO_MATCH));
}

#[tokio::test]
async fn unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let address = ServerAddress::Unix(path.clone());
    let compiled = compile(&http(vec![is(body("hello"))]));
    let missing = probe::run(&compiled, &address).await;
    assert_eq!(missing.status, CheckStatus::SockErr);
    assert_eq!(missing.info, "General socket error (No such file or directory)");

    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(probe::run(&compile(&check(CheckKind::Tcp)), &address).await.status, CheckStatus::L4Ok);
    let request = RefCell::default();
    let server = async {
        drop(listener.accept().await.unwrap());
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, OK, Then::Close, &request).await;
    };
    let (report, ()) = tokio::join!(probe::run(&compiled, &address), server);
    assert_eq!((report.status, report.code), (CheckStatus::L7Ok, Some(200)));
    drop(listener);
    assert_eq!(probe::run(&compiled, &address).await.status, CheckStatus::L4Con);
}

#[tokio::test]
async fn another_address_or_port_may_be_checked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = |text: &str| ServerAddress::Inet(text.parse().unwrap());
    let mut check = check(CheckKind::Tcp);
    check.port = Some(port);
    assert_eq!(probe::run(&compile(&check), &server("127.0.0.1:1")).await.status, CheckStatus::L4Ok);
    check.addr = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    assert_eq!(probe::run(&compile(&check), &server("[::1]:1")).await.status, CheckStatus::L4Ok);
    assert_eq!(probe::run(&compile(&check), &ServerAddress::Unix("/nowhere".into())).await.status, CheckStatus::L4Ok);
    check.port = None;
    let at = format!("[::1]:{port}");
    assert_eq!(probe::run(&compile(&check), &server(&at)).await.status, CheckStatus::L4Ok);
    assert_eq!(
        probe::run(&compile(&check), &ServerAddress::Unix("/nowhere".into())).await.status,
        CheckStatus::SockErr
    );
}

/// Whatever a server sends, a check ends with a bounded, printable report.
#[tokio::test]
async fn mutated_answers_end_in_a_report() {
    let expect = vec![is(status(200, 299)), not(body("zzz")), is(header("x-ok", None))];
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut answer = OK.to_vec();
        for _ in 0..rng.usize(1..5) {
            let at = rng.usize(..answer.len());
            match rng.u8(..4) {
                0 => answer[at] = rng.u8(..),
                1 => drop(answer.remove(at)),
                2 => answer.insert(at, b"\r\n\0 :,9\xff"[rng.usize(..8)]),
                _ => answer.truncate(at.max(2)),
            }
        }
        let (report, _) = ask_then(&http(expect.clone()), &answer, Then::Close).await;
        let sound = report.info.len() <= 128 && report.info.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        assert!(sound, "seed {seed}: {report:?}");
        assert!(
            matches!(report.status, CheckStatus::L7Ok | CheckStatus::L7Rsp | CheckStatus::L7Sts),
            "seed {seed}: {report:?} for {}",
            answer.escape_ascii()
        );
    }
}

/// What a check of this server sends, up to the end of the connection or of `stop` bytes.
async fn sent_by_check(keys: &str, stop: usize) -> (Report, SocketAddr, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let text = format!("[backend.b]\nserver = [{{ name = \"s\", address = \"{address}\", {keys} }}]\n");
    let config = evenkeel_config::config_from_str(&text).unwrap_or_else(|rendered| panic!("{text}\n{rendered}"));
    let server = &config.backends[0].servers[0];
    let check = server.check.as_ref().unwrap();
    let compiled = compile(check).for_server(check, server, None);
    let receive = async {
        let (mut stream, peer) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        // A check that only connects ends with a reset.
        while bytes.len() < stop && stream.read_buf(&mut bytes).await.is_ok_and(|more| more > 0) {}
        // An HTTP check wants an answer.
        let _ = stream.write_all(OK).await;
        (peer, bytes)
    };
    let (report, (peer, bytes)) = tokio::join!(probe::run(&compiled, &server.address), receive);
    (report, peer, bytes)
}

/// What HAProxy 2.6 sends; its line has the addresses of the check too.
#[tokio::test]
async fn a_check_says_that_it_is_one_where_the_server_wants_a_proxy_header() {
    let local = b"\r\n\r\n\0\r\nQUIT\n \0\0\0".as_slice();
    let full = b"\r\n\r\n\0\r\nQUIT\n \0\0\x0f\x03\0\x04\x88\x9d\xa1\xdf \0\x05\0\0\0\0\0".as_slice();
    let options = r#"send-proxy = "v2", proxy-v2-options = ["ssl", "authority", "crc32c", "unique-id"]"#;
    for (keys, expected) in [
        (r#"send-proxy = "v2", check = true"#.to_owned(), local),
        (format!("{options}, check = true"), full),
        (r#"send-proxy = "v2", check = { send-proxy = false }"#.to_owned(), b""),
        ("check = true".to_owned(), b""),
    ] {
        let (report, _, bytes) = sent_by_check(&keys, usize::MAX).await;
        assert_eq!((report.status, bytes.as_slice()), (CheckStatus::L4Ok, expected), "{keys}");
    }
    for keys in [r#"send-proxy = true, check = true"#, "check = { send-proxy = true }"] {
        let (_, peer, bytes) = sent_by_check(keys, usize::MAX).await;
        let line = String::from_utf8(bytes).unwrap();
        assert!(line.starts_with(&format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} ", peer.port())), "{line:?}");
    }
    let http = r#"send-proxy = "v2", check = { uri = "/up" }"#;
    let (report, _, bytes) = sent_by_check(http, local.len() + 10).await;
    assert_eq!(report.status, CheckStatus::L7Ok);
    assert_eq!(bytes[..local.len() + 8], *[local, b"GET /up "].concat());
}
