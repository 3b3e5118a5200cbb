//! What a file that is right turns into: defaults, layers, addresses, checks.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::*;

fn config(text: &str) -> Config {
    config_from_str(text).unwrap_or_else(|rendered| panic!("{text}\n{rendered}"))
}

fn inet(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn seconds(n: u64) -> Option<Duration> {
    Some(Duration::from_secs(n))
}

#[test]
fn the_smallest_file_has_safe_defaults() {
    let config = config("[listen.web]\nbind = [\":8080\"]\nserver = [\"127.0.0.1:3000\", \"127.0.0.1:3001\"]\n");
    let (front, back) = (&config.frontends[0], &config.backends[0]);
    assert_eq!(config.order, [Section::Listen(0, 0)]);
    assert_eq!((&*front.name, front.id, front.listen, front.mode), ("web", 2, true, Mode::Http));
    assert_eq!((back.id, back.place.line), (2, 1));
    assert_eq!(front.binds[0].address, BindAddress::Inet(inet("0.0.0.0:8080")));
    assert_eq!((&*front.binds[0].name, front.binds[0].place.line), ("0.0.0.0:8080", 2));
    assert_eq!(front.default_backend.as_deref(), Some("web"));
    assert_eq!(
        front.timeout,
        ClientTimeouts {
            client: seconds(30),
            client_fin: None,
            handshake: seconds(10),
            http_request: seconds(10),
            http_keep_alive: seconds(10),
            tarpit: seconds(5),
            tunnel: seconds(3600),
        }
    );
    assert_eq!(
        back.timeout,
        ServerTimeouts {
            connect: seconds(5),
            server: seconds(30),
            server_fin: None,
            queue: seconds(5),
            tarpit: seconds(5),
            tunnel: seconds(3600),
        }
    );
    assert_eq!((back.balance, back.retries, back.redispatch, back.reuse), (Balance::Random(2), 3, 0, Reuse::Safe));
    assert!(back.option.abortonclose);
    let server = &back.servers[1];
    assert_eq!((&*server.name, server.id, server.weight), ("127.0.0.1:3001", 2, 1));
    assert_eq!(server.address, ServerAddress::Inet(inet("127.0.0.1:3001")));
    assert_eq!((server.check.is_none(), server.on_remove), (true, OnRemove::Keep));
    assert_eq!((config.global.threads, config.global.maxconn, config.global.log.len()), (0, 0, 0));
    assert_eq!((config.global.tune.bufsize, config.global.tune.pool_max_conn), (16_384, None));
}

#[test]
fn dotted_and_nested_keys_are_the_same() {
    let rest = "bind = \":1\"\nserver = \"10.0.0.1:1\"\n";
    let one = config(&format!("[listen.a]\ntimeout.client = \"3s\"\noption.forwardfor = true\n{rest}"));
    let two = config(&format!("[listen.a]\ntimeout = {{ client = \"3s\" }}\noption = {{ forwardfor = true }}\n{rest}"));
    let three = config(&format!(
        "[listen.a]\n{rest}[listen.a.timeout]\nclient = \"3s\"\n[listen.a.option]\nforwardfor = true\n"
    ));
    for other in [two, three] {
        assert!(plan::plan(&one, &other).is_empty());
    }
    assert_eq!(one.frontends[0].forwardfor.as_ref().unwrap().header.as_ref(), "X-Forwarded-For");
}

#[test]
fn the_nearest_layer_wins_key_by_key() {
    let config = config(
        r#"
[defaults]
timeout = { client = "1s", server = "2s", http-request = "3s" }
retries = 1
option.httpclose = true
default-server = { weight = 7, maxconn = 70 }
[defaults.base]
timeout.connect = "4s"
timeout.client = "5s"
[defaults.top]
from = "base"
timeout.client = "6s"
[frontend.f]
bind = ":1"
default_backend = "plain"
timeout.client = "0s"
option.httpclose = false
[backend.plain]
default-server = { weight = 8 }
server = ["10.0.0.1:1", { name = "own", address = "10.0.0.2:1", weight = 9 }]
[backend.named]
from = "top"
server = ["10.0.0.1:1"]
"#,
    );
    let front = &config.frontends[0];
    assert_eq!((front.timeout.client, front.timeout.http_request), (None, seconds(3)));
    assert_eq!((front.timeout.http_keep_alive, front.option.connection), (seconds(3), ConnectionMode::KeepAlive));
    let plain = &config.backends[0];
    assert_eq!((plain.retries, plain.timeout.server, plain.option.connection), (1, seconds(2), ConnectionMode::Close));
    let weights: Vec<_> = plain.servers.iter().map(|s| (s.weight, s.maxconn)).collect();
    assert_eq!(weights, [(8, 70), (9, 70)]);
    let named = &config.backends[1];
    assert_eq!((named.retries, named.timeout.connect, named.timeout.queue), (3, seconds(4), seconds(4)));
    assert_eq!((named.timeout.server, named.servers[0].weight), (seconds(30), 1));
}

#[test]
fn sections_keep_the_order_of_the_file() {
    let config = config(
        "[backend.b1]\nserver = \"10.0.0.1:1\"\n[listen.l]\nbind = \":1\"\nserver = \"10.0.0.1:1\"\n[frontend.f]\nbind = \":2\"\ndefault_backend = \"b1\"\n[backend.b2]\nserver = \"10.0.0.1:1\"\n",
    );
    assert_eq!(config.order, [Section::Backend(0), Section::Listen(0, 1), Section::Frontend(1), Section::Backend(2)]);
    let ids: Vec<_> = config.backends.iter().map(|b| (&*b.name, b.id)).collect();
    assert_eq!(ids, [("b1", 2), ("l", 3), ("b2", 5)]);
    assert_eq!(config.frontends[1].id, 4);
}

#[test]
fn binds_are_expanded() {
    let config = config(
        r#"[listen.a]
bind = ["*:80,[::]:80", "127.0.0.1:8000-8002", { address = "/run/a.sock", name = "local", mode = 0o660, maxconn = 5 }, "fd@3", "localhost:0", "127.0.0.1:0", "127.0.0.1:0"]
option.clitcpka = true
server = "10.0.0.1:1"
"#,
    );
    let binds = &config.frontends[0].binds;
    let shown: Vec<String> = binds.iter().map(|bind| bind.address.to_string()).collect();
    assert_eq!(
        shown,
        [
            "0.0.0.0:80",
            "[::]:80",
            "127.0.0.1:8000",
            "127.0.0.1:8001",
            "127.0.0.1:8002",
            "unix@/run/a.sock",
            "fd@3",
            "127.0.0.1:0",
            "127.0.0.1:0",
            "127.0.0.1:0",
        ]
    );
    assert_eq!((&*binds[5].name, binds[5].unix_mode, binds[5].maxconn), ("local", Some(0o660), 5));
    assert!(binds.iter().all(|bind| bind.keepalive));
}

fn checks(text: &str) -> Vec<Option<Arc<Check>>> {
    config(&format!("[listen.a]\nbind = \":1\"\n{text}")).backends[0].servers.iter().map(|s| s.check.clone()).collect()
}

#[test]
fn checks_are_merged() {
    let found = checks(
        r#"check = { uri = "/h", interval = "4s", rise = 5 }
timeout.check = "1s"
default-server = { check = { fall = 9 } }
server = [
  "10.0.0.1:1",
  { name = "off", address = "10.0.0.1:1", check = false },
  { name = "on", address = "10.0.0.1:1", check = true },
  { name = "own", address = "10.0.0.1:1", check = { type = "tcp", fastinter = "1s", port = 81, timeout = "2s", init-state = "fully-down" } },
]
"#,
    );
    let first = found[0].as_ref().unwrap();
    assert!(
        matches!(&first.kind, CheckKind::Http(http) if &*http.uri == "/h" && &*http.method == "GET" && http.host.is_none())
    );
    let times =
        |c: &Check| (c.interval.as_secs(), c.fast_interval.as_secs(), c.down_interval.as_secs(), c.timeout.as_secs());
    assert_eq!(times(first), (4, 4, 4, 1));
    assert_eq!((first.rise, first.fall, first.jitter, first.init), (5, 9, 0, InitState::Up));
    assert!(found[1].is_none());
    assert_eq!(found[2], found[0]);
    let own = found[3].as_ref().unwrap();
    assert_eq!(own.kind, CheckKind::Tcp);
    assert_eq!((times(own), own.port, own.rise, own.init), ((4, 1, 4, 2), Some(81), 5, InitState::FullyDown));
    assert_eq!(checks("server = \"10.0.0.1:1\"\n"), [None]);
    assert_eq!(checks("check = true\nserver = \"10.0.0.1:1\"\n")[0].as_ref().unwrap().timeout, Duration::from_secs(2));
}

#[test]
fn expectations_are_read_as_haproxy_writes_them() {
    let text = |s: &str| Arc::<str>::from(s);
    let regex = |s: &str| Pattern(Arc::from(s));
    for (line, not, what) in [
        ("status 200", false, ExpectWhat::Status(vec![(200, 200)])),
        ("status 200-299,404", false, ExpectWhat::Status(vec![(200, 299), (404, 404)])),
        ("! string not  ready", true, ExpectWhat::Body(text("not  ready"))),
        ("rstring ^ok", false, ExpectWhat::BodyRegex(regex("^ok"))),
        ("!rstatus ^5", true, ExpectWhat::StatusRegex(regex("^5"))),
        ("hdr name x-ok", false, ExpectWhat::Header(text("x-ok"), None)),
        ("hdr x-ok", false, ExpectWhat::Header(text("x-ok"), None)),
        (
            "hdr name x-ok value yes, on",
            false,
            ExpectWhat::Header(text("x-ok"), Some(ValueMatch::OneOf(vec![text("yes"), text("on")]))),
        ),
        ("hdr name x-ok value-reg ^y", false, ExpectWhat::Header(text("x-ok"), Some(ValueMatch::Regex(regex("^y"))))),
        (
            "hdr name x-ok value -m reg ^y",
            false,
            ExpectWhat::Header(text("x-ok"), Some(ValueMatch::Regex(regex("^y")))),
        ),
    ] {
        let found = checks(&format!("check.expect = '{line}'\nserver = \"10.0.0.1:1\"\n"));
        let CheckKind::Http(http) = &found[0].as_ref().unwrap().kind else { panic!("{line}") };
        assert_eq!(http.expect, [Expect { not, what }], "{line}");
    }
}

#[test]
fn loggers_are_inherited() {
    let config = config(
        r#"
[global]
log = ["stdout", { target = "127.0.0.1:5140", format = "json", facility = "daemon", level = "notice", len = 2048 }]
[defaults.quiet]
log = false
[listen.a]
bind = ":1"
server = "10.0.0.1:1"
[listen.b]
bind = ":2"
server = "10.0.0.1:1"
log = ["global", "/dev/log"]
log-format = "json"
[listen.c]
from = "quiet"
mode = "tcp"
bind = ":3"
server = "10.0.0.1:1"
"#,
    );
    let udp = LogTarget {
        sink: LogSink::Udp(inet("127.0.0.1:5140")),
        format: Some(LineFormat::Builtin(LogFormat::Json)),
        syslog: Syslog::Local,
        facility: 3,
        level: 5,
        min_level: 0,
        sample: None,
        len: 2048,
        profile: None,
        tag: None,
    };
    let plain = |sink, syslog| LogTarget {
        sink,
        format: None,
        syslog,
        facility: 16,
        level: 7,
        min_level: 0,
        sample: None,
        len: 1024,
        profile: None,
        tag: None,
    };
    let stdout = plain(LogSink::Stdout, Syslog::Raw);
    let [a, b, c] = &config.frontends[..] else { panic!() };
    assert_eq!((&a.log[..], a.log_format), (&[stdout.clone(), udp.clone()][..], LogFormat::Http));
    let unix = plain(LogSink::Unix(PathBuf::from("/dev/log")), Syslog::Local);
    assert_eq!((&b.log[..], b.log_format), (&[stdout, udp, unix][..], LogFormat::Json));
    assert_eq!((c.log.len(), c.log_format), (0, LogFormat::Tcp));
    assert_eq!(config.backends[1].log, b.log);
}

#[test]
fn log_lines_over_tcp_are_framed() {
    let log = r#"["tcp:127.0.0.1:601", { target = "tcp:[::1]", framing = "lf" }, { target = "tcp@127.0.0.1", framing = "octets" }]"#;
    let config = config(&format!("[global]\nlog = {log}\n[listen.a]\nbind = \":1\"\nserver = \"10.0.0.1:1\"\n"));
    let sinks: Vec<LogSink> = config.global.log.iter().map(|target| target.sink.clone()).collect();
    let tcp = |address: &str, framing| LogSink::Tcp(inet(address), framing);
    use Framing::{Lf, Octets};
    assert_eq!(sinks, [tcp("127.0.0.1:601", Octets), tcp("[::1]:514", Lf), tcp("127.0.0.1:514", Octets)]);
    assert!(config.global.log.iter().all(|target| target.syslog == Syslog::Local));
}

#[test]
fn syslog_targets_have_an_envelope() {
    let of = |global: &str| {
        let log = r#"["stdout", "udp:127.0.0.1:514", { target = "/dev/log", syslog = "rfc5424" }, { target = "/dev/log", syslog = "local" }]"#;
        let config =
            config(&format!("[global]\n{global}\nlog = {log}\n[listen.a]\nbind = \":1\"\nserver = \"10.0.0.1:1\"\n"));
        let envelopes: Vec<Syslog> = config.global.log.iter().map(|target| target.syslog).collect();
        (envelopes, config.global.log_hostname)
    };
    use Syslog::{Local, Raw, Rfc3164, Rfc5424};
    let local = vec![Raw, Local, Rfc5424, Local];
    assert_eq!(of(""), (local.clone(), None));
    assert_eq!(of("log-send-hostname = false"), (local, None));
    let named = vec![Raw, Rfc3164, Rfc5424, Local];
    assert_eq!(of("log-send-hostname = true"), (named.clone(), None));
    assert_eq!(of("log-send-hostname = \"edge-1\""), (named, Some("edge-1".into())));
}

#[test]
fn the_environment_fills_texts_numbers_and_switches() {
    let text = "[listen.a]\nbind = \"127.0.0.1:${PORT}\"\nserver = \"${HOST:-10.0.0.1}:1\"\nmaxconn = \"${MAX}\"\ndisabled = \"${OFF}\"\n";
    let opts = LoadOptions {
        env: &|name| match name {
            "PORT" => Some("8080".to_owned()),
            "MAX" => Some("12".to_owned()),
            "OFF" => Some("false".to_owned()),
            _ => None,
        },
        ..LoadOptions::closed()
    };
    let loaded = load_sources(&[Source { name: Arc::from("a"), text: Arc::from(text) }], &opts);
    let config = loaded.config.unwrap();
    let front = &config.frontends[0];
    assert_eq!(
        (front.binds[0].address.to_string(), front.maxconn, front.disabled),
        ("127.0.0.1:8080".into(), 12, false)
    );
    assert_eq!(config.backends[0].servers[0].address, ServerAddress::Inet(inet("10.0.0.1:1")));
}

#[test]
fn rules_know_their_place_and_backend() {
    let config = config(
        "[frontend.f]\nbind = \":1\"\nacl.api = \"path_beg /api/\"\nhttp-request = [\n  \"deny if { path /no }\",\n  \"set-header X-A b if api\",\n]\nuse_backend = [\"api if api\"]\ndefault_backend = \"app\"\n[backend.api]\nserver = \"10.0.0.1:1\"\n[backend.app]\nserver = \"10.0.0.1:1\"\n",
    );
    let front = &config.frontends[0];
    assert_eq!(front.http_request.len(), 2);
    assert_eq!(front.switch.targets, [Some(Arc::from("api"))]);
    assert_eq!(front.switch.place(0).unwrap().to_string(), "test.toml:8");
    assert!(config.backends[0].http_request.is_empty());
}

#[test]
fn a_listen_keeps_its_servers_and_gives_both_halves_its_rules() {
    let config = config(
        "[defaults]\ndefault_backend = \"other\"\n[listen.a]\nbind = \":1\"\nserver = \"10.0.0.1:1\"\nhttp-request = [\"set-header X-A b\"]\n[listen.b]\nbind = \":2\"\n[backend.other]\nserver = \"10.0.0.1:1\"\n",
    );
    let (a, b) = (&config.frontends[0], &config.frontends[1]);
    assert_eq!((a.default_backend.as_deref(), b.default_backend.as_deref()), (Some("a"), Some("other")));
    assert_eq!((a.http_request.len(), config.backends[0].http_request.len()), (1, 1));
}

const OLD: &str = r#"
[global]
threads = 2
admin = "127.0.0.1:8404"
[frontend.web]
bind = [":80", ":81"]
default_backend = "app"
http-request = ["set-header X-A b"]
[backend.app]
server = [{ name = "a", address = "10.0.0.1:1" }, { name = "b", address = "10.0.0.2:1" }, { name = "c", address = "10.0.0.3:1" }]
[backend.gone]
server = ["10.0.0.9:1"]
"#;

const NEW: &str = r#"
# A line more, so that everything moves.

[global]
threads = 4
maxconn = 9
admin = "127.0.0.1:8404"
[frontend.web]
bind = [":80", ":82"]
default_backend = "app"
http-request = ["set-header X-A b"]
[backend.app]
balance = "leastconn"
server = [{ name = "a", address = "10.0.0.1:1" }, { name = "b", address = "10.0.0.2:2", weight = 5 }, { name = "d", address = "10.0.0.4:1" }]
[listen.new]
bind = ":83"
server = ["10.0.0.9:1"]
"#;

#[test]
fn a_plan_names_what_changes() {
    let (old, new) = (config(OLD), config(NEW));
    let plan = plan::plan(&old, &new);
    assert_eq!(
        plan.to_string(),
        "\
+ bind 0.0.0.0:82
+ bind 0.0.0.0:83
- bind 0.0.0.0:81
+ frontend new
+ backend new
- backend gone
~ backend app: balance random(2) -> leastconn, server
+ server app/d
+ server new/10.0.0.9:1
- server app/c
- server gone/10.0.0.9:1
~ server app/b: address 10.0.0.2:1 -> 10.0.0.2:2, weight 1 -> 5
~ global: maxconn 0 -> 9
! needs a restart: global.threads 2 -> 4
"
    );
    assert_eq!(plan.binds.same, [Arc::from("0.0.0.0:80")]);
    assert_eq!(plan.servers.same, [Arc::from("app/a")]);
    assert_eq!(plan.frontends.same, [Arc::from("web")]);
    let json = plan.to_json();
    assert_eq!((&json["servers"]["same"], &json["needs_restart"][0]["key"]), (&1.into(), &"global.threads".into()));
    assert!(plan::plan(&new, &config(NEW)).is_empty());
    assert_eq!(plan::plan(&new, &new).to_string(), "no change\n");
}

#[test]
fn lines_that_moved_are_no_change() {
    let moved = format!("# one\n# two\n{OLD}");
    assert!(plan::plan(&config(OLD), &config(&moved)).is_empty());
    let rules = OLD.replace("X-A b", "X-A c");
    assert_eq!(plan::plan(&config(OLD), &config(&rules)).to_string(), "~ frontend web: http-request\n");
}
