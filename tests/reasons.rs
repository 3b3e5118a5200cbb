//! The reasons, each brought about for real: what the log line says, what the client got, and that the metric counts it.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::time::Duration;

use evenkeel_testkit::{Act, DeadPort, Gate, Origin, Proxy, RawClient, Script, binary};
use evenkeel_tests::cell;
use serde_json::Value;

const GLOBAL: &str =
    "[global]\nthreads = 1\nadmin = { listen = \"@admin@\" }\nlog = [{ target = \"stdout\", format = \"json\" }]\n\n";

/// What the client sees of a failure: a status of the proxy's own, or none.
type Status = Option<u16>;

/// A proxy whose ends are looked at one by one.
struct Watch {
    proxy: Proxy,
    counts: RefCell<BTreeMap<String, f64>>,
}

impl Watch {
    fn start(config: &str) -> Watch {
        Watch { proxy: Proxy::start(config), counts: RefCell::default() }
    }

    fn connect(&self, name: &str) -> RawClient {
        RawClient::connect(self.proxy.addr(name)).unwrap()
    }

    fn mark(&self) -> usize {
        self.proxy.process().mark()
    }

    /// The line behind `mark` that names `reason`, after which the metric has counted it once more.
    fn ended(&self, mark: usize, reason: &str, status: Status, letters: &str) -> Value {
        let v = self.line(mark, reason, status, letters);
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(reason.to_owned()).or_default();
        *count += 1.0;
        self.proxy.wait_metric(&metric(reason), *count);
        v
    }

    fn line(&self, mark: usize, reason: &str, status: Status, letters: &str) -> Value {
        let field = format!("\"reason\":\"{reason}\"");
        let what = format!("with {reason}");
        let line = self.proxy.process().wait_line(mark, &what, |l| l.starts_with('{') && l.contains(&field));
        let v: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(v["status"], status.map_or(Value::Null, Value::from), "{line}");
        assert_eq!(v["termination"], letters, "{line}");
        assert!(v["reason_code"].as_str().is_some_and(|c| c.starts_with("EV") && c.len() == 5), "{line}");
        for name in ["fault", "explanation", "next_step"] {
            assert!(v[name].as_str().is_some_and(|s| !s.is_empty()), "{name}: {line}");
        }
        v
    }

    /// Sends `bytes` to `name` and reads the status of the answer and the end of the connection.
    fn refused(&self, name: &str, bytes: impl AsRef<[u8]>, reason: &str, status: u16, letters: &str) -> Value {
        let mark = self.mark();
        let mut client = self.connect(name);
        client.send(bytes).unwrap();
        assert_eq!(client.response().unwrap().status(), status, "{reason}");
        self.ended(mark, reason, Some(status), letters)
    }
}

fn metric(reason: &str) -> String {
    format!("evenkeel_transactions_ended_total{{reason=\"{reason}\"}}")
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

fn post(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
}

fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// An origin that fails in the way the path asks for; what waits is let go by the gate.
fn failing(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(Script::with(move |request, _| {
        let wait = || Act::Wait(gate.clone());
        let path = request.message.head.target();
        let mut acts = if path.contains("large") { vec![] } else { vec![Act::Body] };
        acts.extend(match path.rsplit('/').next().unwrap_or_default() {
            "mute" => vec![Act::Close],
            "reset" => vec![Act::Reset],
            "half-head" => vec![send("HTTP/1.1 200 OK\r\nX-A: b"), Act::Close],
            "slow-head" => vec![send("HTTP/1.1 200 OK\r\nX-A: b"), wait()],
            "held" => vec![wait(), send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")],
            "junk" => vec![send("nonsense\r\n\r\n"), Act::Close],
            "bad-field" => vec![send("HTTP/1.1 200 OK\r\nX Y: z\r\n\r\n"), Act::Close],
            "two-lengths" => {
                vec![send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), Act::Close]
            }
            "wide" => vec![send(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: b\r\n".repeat(500))), Act::Close],
            "switch" => {
                vec![send("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), Act::Close]
            }
            "bad-chunk" => vec![send(CHUNKED), wait(), send("zz\r\n"), Act::DrainToEof],
            "chunks-cut" => vec![send(CHUNKED), wait(), Act::Close],
            "cut-short" => vec![send(LENGTH), wait(), Act::Close],
            "reset-in-body" => vec![send(LENGTH), wait(), Act::Reset],
            "stalled" => vec![send(LENGTH), wait()],
            "large" => vec![send("HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n"), Act::SendMany(900_000_000)],
            _ => vec![send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
        });
        acts
    }))
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";

/// Frontend `web` is patient, `hasty` is not; what lies under `/slow` has a short `timeout.server`.
fn config(origin: &Origin) -> String {
    format!(
        "{GLOBAL}[defaults]\nretries = 0\n\
         timeout = {{ connect = \"60s\", client = \"60s\", server = \"60s\", http-request = \"60s\", queue = \"60s\" }}\n\n\
         [frontend.web]\nbind = [\"@web@\"]\noption.disable-h2-upgrade = true\n\
         http-request = [\"deny if {{ path /deny }}\", \"deny deny_status 429 if {{ path /429 }}\"]\n\
         use_backend = [\"slow if {{ path_beg /slow }}\"]\ndefault_backend = \"app\"\n\n\
         [frontend.hasty]\nbind = [\"@hasty@\"]\ntimeout = {{ client = \"100ms\", http-request = \"100ms\" }}\n\
         default_backend = \"app\"\n\n\
         [backend.app]\nserver = [{{ name = \"s1\", address = \"{0}\" }}]\n\n\
         [backend.slow]\ntimeout.server = \"100ms\"\nserver = [{{ name = \"s1\", address = \"{0}\" }}]\n",
        origin.addr()
    )
}

#[test]
fn requests_that_break_http() {
    let (gate, host) = (Gate::new(), "Host: a\r\n");
    let origin = failing(&gate);
    let watch = Watch::start(&config(&origin));
    let long = "x".repeat(9000);
    let many = "X-A: b\r\n".repeat(120);
    let cookie = "c".repeat(20_000);
    for (reason, status, request) in [
        ("request_bad_line", 400, format!("G@T / HTTP/1.1\r\n{host}\r\n")),
        ("request_bad_version", 400, format!("GET / HTTP/3.0\r\n{host}\r\n")),
        ("request_http2_preface", 405, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("request_bad_line_end", 400, "GET / HTTP/1.1\nHost: a\n\n".to_owned()),
        ("request_bad_field", 400, format!("GET / HTTP/1.1\r\n{host}X Y: z\r\n\r\n")),
        ("request_bad_host", 400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("request_bad_framing", 400, post("/", "Content-Length: 1\r\nContent-Length: 2", "")),
        ("request_bad_framing", 400, post("/", "Content-Length: 1\r\nTransfer-Encoding: chunked", "")),
        ("request_unknown_coding", 422, post("/", "Transfer-Encoding: gzip", "")),
        ("request_body_not_allowed", 413, "GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx".to_owned()),
        ("request_target_too_long", 414, format!("GET /{long} HTTP/1.1\r\n{host}\r\n")),
        ("request_too_many_fields", 431, format!("GET / HTTP/1.1\r\n{host}{many}\r\n")),
        ("request_head_too_large", 431, format!("GET / HTTP/1.1\r\n{host}Cookie: {cookie}\r\n\r\n")),
    ] {
        let v = watch.refused("web", request, reason, status, "PR");
        assert_eq!((&v["fault"], &v["stage"]), (&"client".into(), &"request".into()), "{v}");
        assert!(v.get("method").is_none() && v["server"].is_null(), "{v}");
    }
    let trailers = format!("0\r\n{}", "X-T: 0123456789\r\n".repeat(4000));
    for (reason, body) in [
        ("request_bad_chunk", "zz\r\n"),
        ("request_chunk_too_large", "ffffffff\r\n"),
        ("request_trailers_too_large", trailers.as_str()),
    ] {
        let v = watch.refused("web", post("/", "Transfer-Encoding: chunked", body), reason, 400, "PD");
        assert_eq!((&v["fault"], &v["method"]), (&"client".into(), &"POST".into()), "{v}");
    }
    // What a rule decides is the operator's, whatever status it names.
    for (path, status) in [("/deny", 403), ("/429", 429)] {
        let v = watch.refused("web", get(path), "denied", status, "PR");
        assert_eq!((&v["fault"], &v["reason_code"]), (&"operator".into(), &"EV320".into()), "{v}");
    }
}

#[test]
fn clients_that_leave_or_fall_silent() {
    let gate = Gate::new();
    let origin = failing(&gate);
    let watch = Watch::start(&config(&origin));

    // Counted as nothing, and yet logged with its reason.
    let mark = watch.mark();
    let mut client = watch.connect("web");
    client.half_close();
    client.rest().unwrap();
    watch.line(mark, "client_closed_silently", Some(400), "CR");
    watch.proxy.wait_metric(&metric("client_closed_silently"), 0.0);

    for (sent, reason, letters) in [
        ("GET / HTTP/1.1\r\nHo", "client_closed_in_head", "CR"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", "client_closed_in_body", "CD"),
        ("GET /held HTTP/1.1\r\nHost: a\r\n\r\n", "client_closed_waiting", "CH"),
    ] {
        let mark = watch.mark();
        let mut client = watch.connect("web");
        client.send(sent).unwrap();
        client.half_close();
        client.rest().unwrap();
        watch.ended(mark, reason, Some(400), letters);
    }
    gate.open();

    let mark = watch.mark();
    let mut client = watch.connect("web");
    client.send(get("/large")).unwrap();
    assert_eq!(client.response_head().unwrap().status(), 200);
    client.reset();
    watch.ended(mark, "client_closed_in_response", Some(200), "CD");

    for (sent, reason, letters) in [
        ("", "client_silent", "cR"),
        ("GET / HTTP/1.1\r\nHo", "client_slow_head", "cR"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", "client_slow_body", "cD"),
    ] {
        watch.refused("hasty", sent, reason, 408, letters);
    }
    let mark = watch.mark();
    let mut client = watch.connect("hasty");
    client.send(get("/large")).unwrap();
    watch.ended(mark, "client_not_reading", Some(200), "cD");
}

#[test]
fn servers_that_answer_badly_or_not_at_all() {
    let gate = Gate::new();
    let origin = failing(&gate);
    let watch = Watch::start(&config(&origin));
    for (path, reason, status, letters) in [
        ("/mute", "server_closed_unanswered", 502, "SH"),
        ("/reset", "server_reset_unanswered", 502, "SH"),
        ("/half-head", "server_closed_in_head", 502, "SH"),
        ("/junk", "response_bad_status_line", 502, "PH"),
        ("/bad-field", "response_bad_field", 502, "PH"),
        ("/two-lengths", "response_bad_framing", 502, "PH"),
        ("/wide", "response_head_too_large", 502, "PH"),
        ("/switch", "response_unwanted_switch", 502, "PH"),
        ("/slow/held", "response_timeout", 504, "sH"),
        ("/slow/slow-head", "response_head_slow", 504, "sH"),
    ] {
        let v = watch.refused("web", get(path), reason, status, letters);
        assert_eq!((&v["fault"], &v["server"]), (&"server".into(), &"s1".into()), "{v}");
    }
    gate.open();
    gate.shut();
    // In the middle of the body: the client has a status already and sees the response cut.
    for (path, reason, letters) in [
        ("/bad-chunk", "response_bad_chunk", "PD"),
        ("/chunks-cut", "response_chunks_cut", "SD"),
        ("/cut-short", "response_cut_short", "SD"),
        ("/reset-in-body", "server_reset_in_response", "SD"),
        ("/slow/stalled", "response_stalled", "sD"),
    ] {
        let mark = watch.mark();
        let mut client = watch.connect("web");
        client.send(get(path)).unwrap();
        client.wait_for("hello").unwrap();
        if letters != "sD" {
            gate.open();
        }
        let v = watch.ended(mark, reason, Some(200), letters);
        assert_eq!(v["fault"], "server", "{v}");
        client.rest().unwrap();
        gate.shut();
    }
    gate.open();
    // A kept connection that dies under what must not be repeated: the client is left to repeat it.
    let mark = watch.mark();
    let mut client = watch.connect("web");
    assert_eq!(client.ask("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status(), 200);
    client.send(post("/mute", "Content-Length: 2", "ab")).unwrap();
    assert_eq!(client.rest().unwrap().0, b"");
    watch.ended(mark, "server_closed_reused", None, "SH");
}

/// A listener with a full accept queue, and what fills it.
fn full() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A second `listen` changes the length of the queue.
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&listener.local_addr().unwrap(), Duration::from_millis(100)) {
        held.push(stream);
        assert!(held.len() < 64, "the accept queue takes everything");
    }
    (listener, held)
}

#[test]
fn no_connection_to_a_server() {
    let (dead, down) = (DeadPort::new(), DeadPort::new());
    let (listener, _held) = full();
    let backends = [
        ("refused", format!("server = [{{ name = \"s1\", address = \"{}\" }}]", dead.addr())),
        ("nosocket", "server = [{ name = \"s1\", address = \"unix@/nonexistent/evenkeel.sock\" }]".to_owned()),
        // The kernel connects no stream to a broadcast address.
        ("nowhere", "server = [{ name = \"s1\", address = \"127.255.255.255:9\" }]".to_owned()),
        (
            "full",
            format!(
                "timeout.connect = \"100ms\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]",
                listener.local_addr().unwrap()
            ),
        ),
        ("maint", "server = [{ name = \"s1\", address = \"127.0.0.1:9\", disabled = true }]".to_owned()),
        ("weightless", "server = [{ name = \"s1\", address = \"127.0.0.1:9\", weight = 0 }]".to_owned()),
        ("empty", String::new()),
        (
            "down",
            format!(
                "check = {{ interval = \"20ms\", fall = 1 }}\nserver = [{{ name = \"s1\", address = \"{}\" }}]",
                down.addr()
            ),
        ),
    ];
    let rules: Vec<String> = backends.iter().map(|(name, _)| format!("\"{name} if {{ path /{name} }}\"")).collect();
    let sections: Vec<String> = backends.iter().map(|(name, body)| format!("[backend.{name}]\n{body}\n\n")).collect();
    let config = format!(
        "{GLOBAL}[defaults]\nretries = 0\ntimeout = {{ connect = \"60s\", client = \"60s\", server = \"60s\" }}\n\n\
         [frontend.web]\nbind = [\"@web@\"]\nuse_backend = [{}]\n\n\
         [frontend.off]\nbind = [\"@off@\"]\ndefault_backend = \"asleep\"\n\n\
         [backend.asleep]\ndisabled = true\nserver = [{{ name = \"s1\", address = \"127.0.0.1:9\" }}]\n\n{}",
        rules.join(", "),
        sections.concat()
    );
    let watch = Watch::start(&config);
    watch.proxy.wait_csv("down", |csv| cell(csv, "down", "s1", "status") == "DOWN");
    for (path, reason, letters, fault, server) in [
        ("refused", "connect_refused", "SC", "server", true),
        ("nosocket", "connect_no_socket", "SC", "server", true),
        ("nowhere", "connect_unreachable", "SC", "server", true),
        ("full", "connect_timeout", "sC", "server", true),
        ("maint", "servers_in_maintenance", "SC", "admin", false),
        ("weightless", "servers_weightless", "SC", "operator", false),
        ("empty", "backend_empty", "SC", "operator", false),
        ("down", "servers_down", "SC", "server", false),
        ("never", "no_backend", "SC", "operator", false),
    ] {
        let v = watch.refused("web", get(&format!("/{path}")), reason, 503, letters);
        assert_eq!(
            (&v["fault"], v["server"].is_string(), &v["stage"]),
            (&fault.into(), server, &"connect".into()),
            "{v}"
        );
    }
    watch.refused("off", get("/"), "backend_disabled", 503, "SC");

    // The command tells the same, with the places.
    let all = errors(&watch.proxy, &["--json", "-n", "0"]);
    let all: Value = serde_json::from_slice(&all.stdout).unwrap_or_else(|e| panic!("{e}: {all:?}"));
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 10, "{all:?}");
    let refused = all.iter().find(|f| f["reason"] == "connect_refused").unwrap();
    assert_eq!((&refused["code"], &refused["count"], &refused["per_mille"]), (&"EV200".into(), &1.into(), &100.into()));
    let place = serde_json::json!({ "frontend": "web", "backend": "refused", "server": "s1", "count": 1 });
    assert_eq!(refused["places"], Value::from(vec![place]), "{refused}");
    // So do the JSON of the stats page and the page itself.
    let api: Value = serde_json::from_slice(&watch.proxy.admin("/api/v1/stats").body).unwrap();
    assert_eq!(api["process"]["failures"].as_array().map(Vec::len), Some(10), "{api}");
    let page = watch.proxy.admin("/?all").text();
    for text in ["Why requests failed", "EV200", "connect_refused", "the server refused the connection", "refused/s1"] {
        assert!(page.contains(text), "{text}");
    }
}

/// Runs `evenkeel errors` for this process.
fn errors(proxy: &Proxy, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("errors").arg("--pid-file").arg(proxy.dir().join("pid")).args(args);
    command.output().unwrap()
}

#[test]
fn errors_shows_the_most_frequent_reasons_first() {
    let gate = Gate::new();
    let origin = failing(&gate);
    let watch = Watch::start(&config(&origin));
    let none = errors(&watch.proxy, &[]);
    assert!(
        none.status.success() && String::from_utf8_lossy(&none.stdout).contains("no request and no connection failed")
    );
    for (path, status) in [("/mute", 502), ("/deny", 403), ("/mute", 502), ("/mute", 502), ("/junk", 502)] {
        let mut client = watch.connect("web");
        client.send(get(path)).unwrap();
        assert_eq!(client.response().unwrap().status(), status);
    }
    watch.proxy.wait_metric(&metric("response_bad_status_line"), 1.0);
    let out = errors(&watch.proxy, &["-n", "2"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0].trim(), "3  60.0%  EV210 server_closed_unanswered (fault: server)", "{text}");
    assert!(lines[2].trim().starts_with("next: "), "{text}");
    assert_eq!(lines[3].split_whitespace().collect::<Vec<_>>(), ["3", "web", "\u{2192}", "app/s1"], "{text}");
    assert!(lines[4].contains("20.0%  EV220 "), "equals stand in the order of their codes: {text}");
    assert_eq!(*lines.last().unwrap(), "and 1 rarer reason(s): -n 0 shows all", "{text}");

    for name in ["EV210", "ev210", "server_closed_unanswered"] {
        let out = Command::new(binary()).args(["explain", name]).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(text.starts_with("EV210: server_closed_unanswered\n") && text.contains("Next: "), "{name}: {text}");
    }
}

#[test]
fn full_servers() {
    let gate = Gate::new();
    let origin = failing(&gate);
    let backend = |name: &str, more: &str| {
        format!(
            "[listen.{name}]\nbind = [\"@{name}@\"]\n{more}\n\
             server = [{{ name = \"s1\", address = \"{}\", maxconn = 1, maxqueue = 1 }}]\n\n",
            origin.addr()
        )
    };
    let watch = Watch::start(&format!(
        "{GLOBAL}{}{}",
        backend("brief", "timeout.queue = \"100ms\""),
        backend("patient", "timeout.queue = \"60s\"\nbalance = \"source\"")
    ));
    let mut first = watch.connect("brief");
    first.send(get("/held")).unwrap();
    origin.wait_seen(|s| s.len() == 1).unwrap();
    watch.refused("brief", get("/"), "queue_timeout", 503, "sQ");

    let mut second = watch.connect("patient");
    second.send(get("/held")).unwrap();
    origin.wait_seen(|s| s.len() == 2).unwrap();
    let mark = watch.mark();
    let mut queued = watch.connect("patient");
    queued.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    watch.proxy.wait_csv("queued", |csv| cell(csv, "patient", "s1", "qcur") == "1");
    watch.refused("patient", get("/"), "queue_full", 503, "SQ");
    queued.half_close();
    queued.rest().unwrap();
    watch.ended(mark, "client_closed_in_queue", Some(400), "CQ");
    gate.open();
    assert_eq!((first.response().unwrap().status(), second.response().unwrap().status()), (200, 200));
}

/// Both ends of a connection through `name`, over which one byte went each way.
fn through(watch: &Watch, name: &str, server: &TcpListener) -> (RawClient, TcpStream) {
    let mut client = watch.connect(name);
    let (mut far, _) = server.accept().unwrap();
    client.send("a").unwrap();
    far.read_exact(&mut [0]).unwrap();
    far.write_all(b"b").unwrap();
    client.exactly(1).unwrap();
    (client, far)
}

#[test]
fn tunnels() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = |name: &str, client: &str, to: &str, more: &str| {
        format!(
            "[listen.{name}]\nmode = \"tcp\"\nbind = [\"@{name}@\"]\n\
             timeout = {{ client = \"{client}\", server = \"{to}\"{more} }}\non-remove = \"close\"\n\
             server = [{{ name = \"s1\", address = \"{}\" }}]\n\n",
            server.local_addr().unwrap()
        )
    };
    let config = [
        GLOBAL.to_owned(),
        listen("long", "60s", "60s", ""),
        listen("client", "100ms", "60s", ""),
        listen("server", "60s", "100ms", ""),
        listen("fin", "60s", "60s", ", client-fin = \"100ms\", server-fin = \"100ms\""),
    ]
    .concat();
    let mut watch = Watch::start(&config);

    let mark = watch.mark();
    let (client, _far) = through(&watch, "long", &server);
    client.reset();
    watch.ended(mark, "tunnel_client_reset", None, "CD");

    let mark = watch.mark();
    let (mut client, far) = through(&watch, "long", &server);
    client.send("never read").unwrap();
    far.peek(&mut [0]).unwrap();
    // To close with bytes unread is a reset.
    drop(far);
    watch.ended(mark, "tunnel_server_reset", None, "SD");

    for (name, reason, letters) in [("client", "tunnel_idle_client", "cD"), ("server", "tunnel_idle_server", "sD")] {
        let mark = watch.mark();
        let _both = through(&watch, name, &server);
        watch.ended(mark, reason, None, letters);
    }
    for (client_closes, reason, letters) in [(true, "tunnel_client_fin", "cD"), (false, "tunnel_server_fin", "sD")] {
        let mark = watch.mark();
        let (client, far) = through(&watch, "fin", &server);
        if client_closes {
            client.half_close();
        } else {
            far.shutdown(Shutdown::Write).unwrap();
        }
        watch.ended(mark, reason, None, letters);
    }

    let mark = watch.mark();
    let _both = through(&watch, "long", &server);
    let without = config.replace("name = \"s1\"", "name = \"s2\"");
    assert!(watch.proxy.reload(&without).status.success());
    let v = watch.ended(mark, "server_removed", None, "DD");
    assert_eq!(v["fault"], "admin", "{v}");
}

#[test]
fn proxy_status_is_off_unless_asked_for_and_never_on_an_answer_of_the_server() {
    let (gate, dead) = (Gate::new(), DeadPort::new());
    let origin = failing(&gate);
    let front = |name: &str, option: &str| {
        format!(
            "[frontend.{name}]\nbind = [\"@{name}@\"]\n{option}\n\
             http-request = [\"redirect location / if {{ path /away }}\"]\n\
             use_backend = [\"dead if {{ path /dead }}\"]\ndefault_backend = \"app\"\n\n"
        )
    };
    let watch = Watch::start(&format!(
        "{GLOBAL}{}{}[backend.app]\nserver = [\"{}\"]\n\n[backend.dead]\nretries = 0\nserver = [\"{}\"]\n",
        front("quiet", ""),
        front("open", "option.proxy-status = true"),
        origin.addr(),
        dead.addr()
    ));
    let told = |name: &str, request: String| {
        let mut client = watch.connect(name);
        client.send(request).unwrap();
        client.response().unwrap().head.get("proxy-status").map(str::to_owned)
    };
    for (request, expected) in [
        (get("/dead"), Some("evenkeel; error=connection_refused; details=\"EV200\"")),
        (get("/mute"), Some("evenkeel; error=connection_terminated; details=\"EV210\"")),
        (get("/away"), Some("evenkeel; error=proxy_internal_response; details=\"EV001\"")),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Some("evenkeel; error=http_request_error; details=\"EV125\"")),
        (get("/ok"), None),
    ] {
        assert_eq!(told("open", request.clone()).as_deref(), expected, "{request}");
        assert_eq!(told("quiet", request.clone()), None, "{request}");
    }
}
