//! Log lines at their destinations: JSON, syslog, rotated files, levels, and which lines are left out.
#![allow(clippy::unwrap_used)]

mod over_tcp;
mod steps;

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Instant;

use evenkeel_testkit::{Act, DEADLINE, Load, Origin, Proxy, RawClient, Script, WsClient, WsEcho};
use nix::sys::signal::Signal;
use serde_json::Value;

/// One listen `web` whose origin answers `hello`; `/none` has a backend without servers in service.
fn config(origin: &Origin, log: &str, more: &str) -> String {
    format!(
        "[global]\nthreads = 1\nadmin = {{ listen = \"@admin@\" }}\nlog = {log}\n\n\
         [frontend.web]\nbind = [\"@web@\"]\nuse_backend = [\"none if {{ path /none }}\"]\ndefault_backend = \"app\"\n{more}\n\n\
         [backend.app]\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n\n\
         [backend.none]\nlog = false\nserver = [{{ name = \"s2\", address = \"127.0.0.1:9\", disabled = true }}]\n",
        origin.addr()
    )
}

fn ask(proxy: &Proxy, path: &str) -> u16 {
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    let status = client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).unwrap().status();
    client.rest().unwrap();
    status
}

/// The lines of standard output so far, which are the access log; the program's own messages go to standard error.
fn logged(proxy: &Proxy) -> Vec<String> {
    access_log(proxy.process().log())
}

fn access_log(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|l| !l.starts_with("! ")).collect()
}

/// Stops the process, so that every line is out, and returns them.
fn all_lines(mut proxy: Proxy) -> Vec<String> {
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(DEADLINE);
    access_log(proxy.process().whole_log())
}

fn is_port(v: &Value) -> bool {
    v.as_u64().is_some_and(|p| p > 0 && p < 65_536)
}

#[test]
fn a_json_line_has_every_field_in_its_type() {
    let origin = Origin::start(Script::always("hello"));
    let proxy = Proxy::start(&config(&origin, "[{ target = \"stdout\", format = \"json\" }]", ""));
    assert_eq!(ask(&proxy, "/a?q=%22\\\"x\""), 200);
    let line = proxy.process().wait_line(0, "of JSON", |l| l.starts_with('{'));
    let v: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
    for (name, wanted) in [
        ("client_ip", "127.0.0.1"),
        ("frontend", "web"),
        ("backend", "app"),
        ("server", "s1"),
        ("method", "GET"),
        ("uri", "/a?q=%22\\\"x\""),
        ("version", "HTTP/1.1"),
        ("termination", "--"),
        ("reason", "normal"),
        ("stage", "done"),
        ("explanation", "the transaction completed"),
    ] {
        assert_eq!(v[name], wanted, "{name} in {line}");
    }
    assert!(is_port(&v["client_port"]), "{line}");
    assert_eq!(v["status"], 200, "{line}");
    assert_eq!(v["redispatched"], false, "{line}");
    assert_eq!((&v["retries"], &v["sessions_server"]), (&Value::from(0), &Value::from(0)), "{line}");
    assert_eq!((&v["connections_process"], &v["connections_frontend"]), (&Value::from(1), &Value::from(1)), "{line}");
    for name in [
        "time_ms",
        "time_request_ms",
        "time_queue_ms",
        "time_connect_ms",
        "time_response_ms",
        "time_total_ms",
        "bytes_in",
        "bytes_out",
        "queue_server",
        "queue_backend",
        "sessions_backend",
    ] {
        assert!(v[name].is_u64(), "{name} is {} in {line}", v[name]);
    }
    let request = "GET /a?q=%22\\\"x\" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(v["bytes_in"], request.len(), "{line}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let at = v["time_ms"].as_u64().unwrap();
    assert!(at <= now && now - at < 3_600_000, "{at} is not within the last hour ({now})");
}

#[test]
fn a_json_line_says_why() {
    let origin = Origin::start(Script::with(|r, _| match r.message.head.target() {
        "/mute" => vec![Act::Body, Act::Close],
        _ => vec![Act::Body, Act::Send(b"nonsense\r\n\r\n".to_vec()), Act::Close],
    }));
    let deny = "http-request = [\"deny if { path /deny }\", \"redirect location / if { path /away }\"]";
    let proxy = Proxy::start(&config(&origin, "[{ target = \"stdout\", format = \"json\" }]", deny));
    for (path, status, letters, reason, stage) in [
        ("/none", 503, "SC", "servers_in_maintenance", "connect"),
        ("/deny", 403, "PR", "denied", "request"),
        ("/away", 302, "LR", "answered", "request"),
        ("/mute", 502, "SH", "server_closed_unanswered", "headers"),
        ("/junk", 502, "PH", "response_bad_status_line", "headers"),
    ] {
        let mark = proxy.process().mark();
        assert_eq!(ask(&proxy, path), status, "{path}");
        let line = proxy.process().wait_line(mark, "of JSON", |l| l.starts_with('{'));
        let v: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let got = (v["status"].as_u64(), v["termination"].as_str(), v["reason"].as_str(), v["stage"].as_str());
        assert_eq!(got, (Some(status.into()), Some(letters), Some(reason), Some(stage)), "{line}");
        assert!(v["explanation"].as_str().is_some_and(|s| s.contains(' ')), "{line}");
        if reason == "servers_in_maintenance" {
            assert!(v["server"].is_null() && v["time_connect_ms"].is_null(), "{line}");
        }
    }
    // A request that cannot be read has no method, target or version.
    let mark = proxy.process().mark();
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nX Y: z\r\n\r\n").unwrap().status(), 400);
    let line = proxy.process().wait_line(mark, "of JSON", |l| l.starts_with('{'));
    let v: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((v["reason"].as_str(), v.get("method")), (Some("request_bad_field"), None), "{line}");
}

/// `<PRI>Mmm dd hh:mm:ss TAG[PID]: TEXT` (RFC 3164 section 4.1, without the host name, as HAProxy's local format).
fn syslog(datagram: &[u8], priority: u32, tag: &str, pid: nix::unistd::Pid) -> String {
    let text = std::str::from_utf8(datagram).unwrap_or_else(|e| panic!("{e}: {datagram:?}"));
    let rest = text.strip_prefix(&format!("<{priority}>")).unwrap_or_else(|| panic!("not <{priority}>: {text:?}"));
    let (date, rest) = rest.split_at(15);
    let shape: Vec<bool> = date.bytes().map(|b| b.is_ascii_digit()).collect();
    let digits = [7 - 2, 7, 8, 10, 11, 13, 14];
    assert!(digits[1..].iter().all(|i| shape[*i]) && (shape[4] || date.as_bytes()[4] == b' '), "{date:?}");
    assert_eq!((date.as_bytes()[3], date.as_bytes()[9], date.as_bytes()[12]), (b' ', b':', b':'), "{date:?}");
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    assert!(months.contains(&&date[..3]), "{date:?}");
    let opening = format!(" {tag}[{pid}]: ");
    rest.strip_prefix(&opening).unwrap_or_else(|| panic!("{rest:?} does not begin with {opening:?}")).to_owned()
}

fn is_access_line(line: &str, path: &str) -> bool {
    line.starts_with("127.0.0.1:") && line.ends_with(&format!("\"GET {path} HTTP/1.1\""))
}

#[test]
fn syslog_over_udp() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let origin = Origin::start(Script::always("hello"));
    let log = format!("[{{ target = \"udp:{}\", facility = \"local3\" }}]", server.local_addr().unwrap());
    let config = config(&origin, &log, "").replace("[global]\n", "[global]\nlog-tag = \"edge\"\n");
    let proxy = Proxy::start(&config);
    ask(&proxy, "/one");
    ask(&proxy, "/two");
    for path in ["/one", "/two"] {
        let mut datagram = [0; 4096];
        let n = server.recv(&mut datagram).unwrap();
        // local3 is 19, the severity of traffic 6.
        let line = syslog(&datagram[..n], 19 * 8 + 6, "edge", proxy.process().pid());
        assert!(is_access_line(&line, path), "{line}");
    }
}

#[test]
fn syslog_to_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let origin = Origin::start(Script::always("hello"));
    let proxy = Proxy::start(&config(&origin, &format!("[\"unix:{}\"]", path.display()), ""));
    ask(&proxy, "/one");
    let mut datagram = [0; 4096];
    let n = server.recv(&mut datagram).unwrap();
    let line = syslog(&datagram[..n], 16 * 8 + 6, "evenkeel", proxy.process().pid());
    assert!(is_access_line(&line, "/one"), "{line}");
}

/// A standard stream has the envelope it is given: systemd reads the level of a line from its beginning.
#[test]
fn envelopes_on_standard_output_and_in_files() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, iso) = (dir.path().join("plain.log"), dir.path().join("iso.log"));
    let origin = Origin::start(Script::always("hello"));
    let log = format!(
        "[{{ target = \"stdout\", syslog = \"short\" }}, \"file:{}\", {{ target = \"file:{}\", syslog = \"iso\" }}]",
        plain.display(),
        iso.display()
    );
    let more = "log-format = \"LINE %HU\"\nhttp-request = [\"set-log-level err if { path /loud }\"]";
    let proxy = Proxy::start(&config(&origin, &log, more));
    ask(&proxy, "/one");
    ask(&proxy, "/loud");
    assert_eq!(all_lines(proxy), ["<6>LINE /one", "<3>LINE /loud"]);
    assert_eq!(lines_of(&plain), ["LINE /one", "LINE /loud"]);
    let iso = lines_of(&iso);
    assert_eq!(iso.len(), 2, "{iso:#?}");
    for (line, text) in iso.iter().zip(["LINE /one", "LINE /loud"]) {
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!((time.len(), rest), ("2026-11-21T10:50:02.049131+00:00".len(), text), "{line}");
    }
}

/// All workers count the lines of one logger together, or each would send its own first of ten.
#[test]
fn a_sample_is_of_the_lines_of_all_workers() {
    let dir = tempfile::tempdir().unwrap();
    let (all, tenth) = (dir.path().join("all.log"), dir.path().join("tenth.log"));
    let origin = Origin::start(Script::always("hello"));
    let log = format!("[\"file:{}\", {{ target = \"file:{}\", sample = \"1:10\" }}]", all.display(), tenth.display());
    let config = config(&origin, &log, "log-format = \"LINE %HU\"").replace("threads = 1", "threads = 3");
    let mut proxy = Proxy::start(&config);
    let load = Load::start(proxy.addr("web"), "/load", 6);
    load.wait_more(200);
    let tally = load.stop();
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(DEADLINE);
    assert_eq!(lines_of(&all).len(), tally.good);
    assert_eq!(lines_of(&tenth).len(), tally.good.div_ceil(10), "of {}", tally.good);
}

/// `minlevel`: no line is more severe than that, so that none of them lands on every terminal.
#[test]
fn minlevel_caps_what_is_severe() {
    let (server, address) = syslog_server();
    let origin = Origin::start(Script::always("hello"));
    let log = format!("[{{ target = \"{address}\", syslog = \"short\", minlevel = \"notice\", level = \"info\" }}]");
    let more = "log-format = \"%HU\"\nhttp-request = [\"set-log-level emerg if { path /emerg }\", \
                \"set-log-level debug if { path /debug }\"]";
    let proxy = Proxy::start(&config(&origin, &log, more));
    for path in ["/emerg", "/debug", "/info"] {
        ask(&proxy, path);
    }
    assert_eq!([received(&server), received(&server)], ["<5>/emerg", "<6>/info"]);
}

fn lines_of(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits for a condition on a file; nothing tells when another process has written to it.
fn wait_file(path: &Path, what: &str, wanted: impl Fn(&[String]) -> bool) {
    let end = Instant::now() + DEADLINE;
    while !wanted(&lines_of(path)) {
        assert!(Instant::now() < end, "{}: not {what}: {:?}", path.display(), lines_of(path));
        std::thread::yield_now();
    }
}

#[test]
fn a_renamed_file_is_reopened_on_sighup_and_no_line_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let origin = Origin::start(Script::always("hello"));
    let mut proxy = Proxy::start(&config(&origin, &format!("[\"file:{}\"]", path.display()), ""));
    let load = Load::start(proxy.addr("web"), "/load", 2);
    load.wait_more(20);
    wait_file(&path, "written to", |l| !l.is_empty());
    for n in 1..=3 {
        let old = dir.path().join(format!("access.log.{n}"));
        std::fs::rename(&path, &old).unwrap();
        let before = proxy.reloads();
        proxy.signal(Signal::SIGHUP);
        proxy.wait_metric("evenkeel_config_reloads_total{result=\"ok\"}", before + 1.0);
        load.wait_more(20);
        wait_file(&path, "made anew", |l| !l.is_empty());
        let size = lines_of(&old).len();
        load.wait_more(20);
        assert_eq!(lines_of(&old).len(), size, "the renamed file is still written to");
    }
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.wait_exit(DEADLINE).code(), Some(0));
    let mut all = lines_of(&path);
    (1..=3).for_each(|n| all.extend(lines_of(&dir.path().join(format!("access.log.{n}")))));
    let requests = all.iter().filter(|l| is_access_line(l, "/load")).count();
    assert_eq!((requests, all.len()), (tally.good, tally.good), "lines and requests differ");
}

#[test]
fn dontlognull_leaves_out_connections_that_said_nothing() {
    for (option, kept) in [("true", false), ("false", true)] {
        let origin = Origin::start(Script::always("hello"));
        let proxy = Proxy::start(&config(&origin, "[\"stdout\"]", &format!("option.dontlognull = {option}")));
        let silent = RawClient::connect(proxy.addr("web")).unwrap();
        silent.half_close();
        let mut silent = silent;
        silent.rest().unwrap();
        ask(&proxy, "/after");
        let lines = all_lines(proxy);
        let silent = lines.iter().filter(|l| l.contains("<BADREQ>")).count();
        assert_eq!(silent, usize::from(kept), "dontlognull = {option}: {lines:?}");
        assert_eq!(lines.iter().filter(|l| is_access_line(l, "/after")).count(), 1, "{lines:?}");
    }
}

#[test]
fn dontlog_normal_keeps_what_went_wrong() {
    let origin = Origin::start(Script::with(|r, _| {
        let status = if r.message.head.target() == "/500" { "500 Oops" } else { "404 Not here" };
        vec![Act::Body, Act::Send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes())]
    }));
    let proxy = Proxy::start(&config(&origin, "[\"stdout\"]", "option.dontlog-normal = true"));
    assert_eq!(ask(&proxy, "/404"), 404);
    assert_eq!(ask(&proxy, "/500"), 500);
    assert_eq!(ask(&proxy, "/none"), 503);
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nX Y: z\r\n\r\n").unwrap().status(), 400);
    client.rest().unwrap();
    let lines = all_lines(proxy);
    let count = |text: &str| lines.iter().filter(|l| l.contains(text)).count();
    assert_eq!((count("/404"), count("/500"), count("/none"), count("<BADREQ>")), (0, 1, 1, 1), "{lines:#?}");
}

#[test]
fn each_logger_gets_the_lines_of_its_level() {
    let dir = tempfile::tempdir().unwrap();
    let (all, notices) = (dir.path().join("all.log"), dir.path().join("notices.log"));
    let mut origin = Origin::start(Script::always("hello"));
    let log = format!(
        "[\"file:{}\", {{ target = \"file:{}\", level = \"notice\" }}, {{ target = \"stdout\", format = \"json\" }}]",
        all.display(),
        notices.display()
    );
    let config = config(&origin, &log, "")
        .replace("[backend.app]", "[backend.app]\ncheck = { interval = \"20ms\", fall = 1, rise = 1 }");
    let mut proxy = Proxy::start(&config);
    // The first check has to be over, or the change would be the initial state.
    proxy.wait_csv("checked", |csv| evenkeel_tests::cell(csv, "app", "s1", "check_status") == "L4OK");
    ask(&proxy, "/one");
    origin.stop();
    proxy.wait_csv("down", |csv| evenkeel_tests::cell(csv, "app", "s1", "status") == "DOWN");
    origin.resume();
    proxy.wait_csv("up", |csv| evenkeel_tests::cell(csv, "app", "s1", "status") == "UP");
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(DEADLINE);
    proxy.process().wait_line(0, "of farewell", |l| l.ends_with("bye"));

    let (all, notices) = (lines_of(&all), lines_of(&notices));
    let count = |lines: &[String], start: &str| lines.iter().filter(|l| l.starts_with(start)).count();
    for (lines, name) in [(&all, "all"), (&notices, "notices")] {
        assert_eq!(count(lines, "Server app/s1 is DOWN, reason: Layer4 "), 1, "{name}: {lines:#?}");
        assert_eq!(count(lines, "Server app/s1 is UP, reason: Layer4 check passed"), 1, "{name}: {lines:#?}");
        assert_eq!(count(lines, "backend app has no server available!"), 1, "{name}: {lines:#?}");
    }
    assert_eq!(count(&all, "127.0.0.1:"), 1, "{all:#?}");
    assert_eq!(count(&notices, "127.0.0.1:"), 0, "the level of traffic is info: {notices:#?}");
    let json: Vec<String> = logged(&proxy).into_iter().filter(|l| l.starts_with('{')).collect();
    assert_eq!(json.len(), 1, "{json:#?}");
}

#[test]
fn a_proxys_own_log_replaces_the_global_one() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.log");
    let origin = Origin::start(Script::always("hello"));
    let more = format!("log = [\"file:{}\", \"global\"]\nlog-format = \"tcp\"", own.display());
    let proxy = Proxy::start(&config(&origin, "[{ target = \"stdout\", format = \"http\" }]", &more));
    ask(&proxy, "/one");
    let lines = all_lines(proxy);
    assert!(lines.len() == 1 && is_access_line(&lines[0], "/one"), "{lines:#?}");
    let own = lines_of(&own);
    assert!(own.len() == 1 && own[0].contains(" app/s1 ") && !own[0].contains("GET"), "{own:#?}");

    let proxy = Proxy::start(&config(&origin, "[\"stdout\"]", "log = false"));
    ask(&proxy, "/two");
    assert_eq!(all_lines(proxy), Vec::<String>::new());
}

/// A tunnel gives its buffers back while it runs; what the log may ask for stays.
#[test]
fn the_line_of_a_tunnel_knows_its_request() {
    let echo = WsEcho::start();
    let proxy = Proxy::start(&format!(
        "[global]\nthreads = 1\nadmin = {{ listen = \"@admin@\" }}\nlog = [{{ target = \"stdout\" }}]\n\
         [frontend.web]\nbind = [\"@web@\"]\nlog = \"global\"\n\
         log-format = \"%HM %HU %ST user=%[var(txn.user)] tracked=%[sc_tracked(0)] requests=%[sc_http_req_cnt(0)]\"\n\
         http-request = [\"set-var(txn.user) str(alice)\", \"track-sc0 src table seen\"]\ndefault_backend = \"app\"\n\
         [backend.app]\nserver = [\"{}\"]\n\
         [backend.seen]\nstick-table = {{ type = \"ip\", size = 10, store = [\"http_req_cnt\"] }}\n",
        echo.addr()
    ));
    let mut client = WsClient::connect(proxy.addr("web"), "/live?a=1").unwrap();
    assert_eq!(client.echo("hello").unwrap(), "hello");
    client.close();
    let line = proxy.process().wait_line(0, "of the tunnel", |l| l.starts_with("GET"));
    assert_eq!(line, "GET /live?a=1 101 user=alice tracked=1 requests=1");
}

/// A socket that takes syslog, and its address.
fn syslog_server() -> (UdpSocket, String) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let address = format!("udp:{}", server.local_addr().unwrap());
    (server, address)
}

fn received(server: &UdpSocket) -> String {
    let mut datagram = [0; 4096];
    let n = server.recv(&mut datagram).unwrap();
    String::from_utf8(datagram[..n].to_vec()).unwrap()
}

/// `<PRI>1 TIME HOST TAG PID - DATA TEXT` (RFC 5424 section 6); the time has a fraction and an offset.
#[test]
fn syslog_of_rfc_5424_has_structured_data() {
    let (server, address) = syslog_server();
    let origin = Origin::start(Script::always("hello"));
    let log = format!("[{{ target = \"{address}\", syslog = \"rfc5424\" }}]");
    let named = |host: &str, data: &str| {
        config(&origin, &log, &format!("log-format = \"LINE %ST %HU\"\n{data}"))
            .replace("[global]\n", &format!("[global]\nlog-tag = \"edge\"\nlog-send-hostname = \"{host}\"\n"))
    };
    let data = "log-format-sd = '[a@1 status=\"%ST\" path=\"%{+E}[path,url_dec]\"]'\n";
    let mut proxy = Proxy::start(&named("one", data));
    let pid = proxy.process().pid();
    assert_eq!(ask(&proxy, "/x%5Dy"), 200);
    let line = received(&server);
    let words: Vec<&str> = line.splitn(7, ' ').collect();
    assert_eq!((words[0], words[2], words[3], words[4], words[5]), ("<134>1", "one", "edge", &*pid.to_string(), "-"));
    assert_eq!(words[6], "[a@1 status=\"200\" path=\"/x\\]y\"] LINE 200 /x%5Dy");
    let time = words[1];
    assert!(time.len() == "2026-01-02T03:04:05.000000+00:00".len() && time.as_bytes()[10] == b'T', "{time}");
    assert!(time.as_bytes()[19] == b'.' && b"+-".contains(&time.as_bytes()[26]), "{time}");
    // Without structured data a dash stands for it, and a reload gives another name.
    assert!(proxy.reload(&named("two", "")).status.success());
    assert_eq!(ask(&proxy, "/"), 200);
    let line = received(&server);
    let words: Vec<&str> = line.splitn(7, ' ').collect();
    assert_eq!((words[2], words[6]), ("two", "- LINE 200 /"));
}

#[test]
fn log_send_hostname_puts_the_host_before_the_tag() {
    let (server, address) = syslog_server();
    let (plain, plain_address) = syslog_server();
    let origin = Origin::start(Script::always("hello"));
    let log = format!("[\"{address}\", {{ target = \"{plain_address}\", syslog = \"local\" }}]");
    let config =
        config(&origin, &log, "").replace("[global]\n", "[global]\nlog-tag = \"edge\"\nlog-send-hostname = \"one\"\n");
    let proxy = Proxy::start(&config);
    let pid = proxy.process().pid();
    ask(&proxy, "/one");
    let line = received(&server);
    let without = line.replacen(" one edge[", " edge[", 1);
    assert_ne!(line, without, "{line}");
    for line in [without, received(&plain)] {
        let text = syslog(line.as_bytes(), 16 * 8 + 6, "edge", pid);
        assert!(is_access_line(&text, "/one"), "{line}");
    }
}

/// HAProxy's `option log-separate-errors`: what did not go well is of level err, so that it can have a log of its own.
#[test]
fn errors_may_have_a_log_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let (all, bad) = (dir.path().join("all.log"), dir.path().join("bad.log"));
    let origin = Origin::start(Script::always("hello"));
    let log = format!("[\"file:{}\", {{ target = \"file:{}\", level = \"err\" }}]", all.display(), bad.display());
    let more = "option.log-separate-errors = true\nlog-format = \"%HU %ST\"\n\
                http-request = [\"set-log-level err if { path /loud }\"]";
    let mut proxy = Proxy::start(&config(&origin, &log, more));
    for (path, status) in [("/fine", 200), ("/none", 503), ("/loud", 200)] {
        assert_eq!(ask(&proxy, path), status, "{path}");
    }
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(DEADLINE);
    assert_eq!(lines_of(&all), ["/fine 200", "/none 503", "/loud 200"]);
    assert_eq!(lines_of(&bad), ["/none 503", "/loud 200"]);
}

#[test]
fn a_text_with_items_is_the_line_in_tcp_mode_too() {
    let origin = Origin::start(Script::always("hello"));
    let proxy = Proxy::start(&format!(
        "[listen.raw]\nmode = \"tcp\"\nbind = [\"@raw@\"]\nserver = [{{ name = \"s1\", address = \"{}\" }}]\nlog = [\"stdout\"]\n\
         log-format = \"LINE %ci %ft %b/%s %ts %[so_id]\"\n",
        origin.addr()
    ));
    let mut client = RawClient::connect(proxy.addr("raw")).unwrap();
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(answer.status(), 200);
    client.half_close();
    client.rest().unwrap();
    let line = proxy.process().wait_line(0, "of the access log", |line| line.starts_with("LINE "));
    assert_eq!(line, "LINE 127.0.0.1 raw raw/s1 -- 1");
}

/// `log-tag` of a proxy and of a profile, for the lines of its servers too; `error-log-format` for what never was a request.
#[test]
fn names_of_the_program_and_lines_of_failed_connections() {
    let (server, address) = syslog_server();
    let origin = Origin::start(Script::always("hello"));
    let log = format!("[{{ target = \"{address}\", profile = \"p\" }}, {{ target = \"{address}\" }}]");
    let more = "log-tag = \"web\"\nlog-format = \"%HU\"\nerror-log-format = \"failed %ft %OG\"\n\
                [log-profile.p]\nlog-tag = \"p\"\nclose.format = \"p %HU\"\n";
    let proxy = Proxy::start(&config(&origin, &log, more));
    let pid = proxy.process().pid();
    ask(&proxy, "/one");
    for (tag, text) in [("p", "p /one"), ("web", "/one")] {
        assert_eq!(syslog(received(&server).as_bytes(), 16 * 8 + 6, tag, pid), text);
    }
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nX Y: z\r\n\r\n").unwrap().status(), 400);
    for tag in ["p", "web"] {
        assert_eq!(syslog(received(&server).as_bytes(), 16 * 8 + 6, tag, pid), "failed web sess_error");
    }
}

/// A rule that waits when all is over is told of.
#[test]
fn how_it_ended_in_a_text_of_items() {
    let origin = Origin::start(Script::always("hello"));
    let format = "log-format = \"ended %[term_events] %[txn.sess_term_state] %[txn.id32] %[txn.conn_retries] <%[waiting_entity]>\"";
    let rules = "http-request = [\"wait-for-body time 100ms if METH_POST\"]";
    let proxy = Proxy::start(&config(&origin, "[{ target = \"stdout\" }]", &format!("{format}\n{rules}")));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n").unwrap().status(), 408);
    let line = proxy.process().wait_line(0, "of the wait", |l| l.starts_with("ended "));
    assert!(line.starts_with("ended EV113 cR 0 0 <") && line.ends_with("evenkeel.toml:11>"), "{line}");
    let mark = proxy.process().mark();
    assert_eq!(ask(&proxy, "/a"), 200);
    assert_eq!(
        proxy.process().wait_line(mark, "of the request", |l| l.starts_with("ended ")),
        "ended EV000 -- 1 0 <->"
    );
}

/// `tune.http.cookielen`, HAProxy's 63 where nothing is said.
#[test]
fn captured_cookies_are_cut() {
    let value = "v".repeat(200);
    let origin = Origin::start(Script::with(|_, _| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: S={}\r\n\r\n", "w".repeat(200));
        vec![Act::Body, Act::Send(head.into_bytes())]
    }));
    for (tune, kept) in [("", 63), ("tune.http.cookielen = 20\n", 20), ("tune.http.cookielen = 150\n", 100)] {
        let more = "capture.cookie = { name = \"S=\", len = 100 }\nlog-format = \"LINE %CC %CS\"";
        let config = config(&origin, "[\"stdout\"]", more).replace("[global]\n", &format!("[global]\n{tune}"));
        let proxy = Proxy::start(&config);
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; S={value}\r\n\r\n")).unwrap();
        let line = proxy.process().wait_line(0, "of the request", |l| l.starts_with("LINE "));
        let (sent, set) = ("v".repeat(kept - 2), "w".repeat(kept - 2));
        assert_eq!(line, format!("LINE S={sent} S={set}"), "{tune}");
    }
}
