//! Whole walks on small configurations: the order of the rule sets, the frontend, the backend, the server and the answer.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use evenkeel_config::handshake::{ClientCert, Handshake};
use evenkeel_config::{Config, config_from_str};

use super::given::{Given, ServerState};
use super::question::{self, Question, Response, State, Told, Url};
use super::show::{self, Style};
use super::walk::Walk;
use super::{run_tests, servers, simulate};

fn load(text: &str) -> Config {
    config_from_str(text).unwrap_or_else(|rendered| panic!("{rendered}"))
}

fn ask(url: &str) -> Question {
    let url = Url::parse(url).unwrap();
    Question {
        method: "GET".into(),
        target: url.target,
        host: url.host,
        tls: url.tls,
        handshake: Handshake::default(),
        port: url.port,
        headers: Vec::new(),
        body: Vec::new(),
        src: "203.0.113.9:40000".parse().unwrap(),
        dst: None,
        frontend: None,
        time_us: 1_772_355_600_000_000,
    }
}

fn given(config: &Config, told: &[&str]) -> Given {
    let mut given = Given::new(config);
    let servers = told.iter().map(|text| question::server_state(text).unwrap()).collect();
    let response = Some(Response::default());
    given.tell(config, &Told { servers, response, ..Told::default() }).unwrap();
    given
}

fn walk(config: &str, url: &str, told: &[&str]) -> Walk {
    let config = load(config);
    simulate(&config, &ask(url), &given(&config, told)).unwrap()
}

fn header<'w>(headers: &'w [(String, String)], name: &str) -> Option<&'w str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

const EVERY_SET: &str = r#"
[frontend.web]
bind = ["127.0.0.1:80"]
default_backend = "app"
tcp-request = { connection = ["accept"], session = ["accept"], content = ["accept"] }
http-request = ["set-header X-Front 1"]
use_backend = ["other if { path /other }"]
http-response = ["set-header X-Front-R 1"]
http-after-response = ["set-header X-Front-A 1"]

[backend.app]
server = ["127.0.0.1:1", "127.0.0.1:2"]
tcp-request = { content = ["accept"] }
tcp-response = { content = ["accept"] }
http-request = ["set-header X-Back 1"]
use-server = ["127.0.0.1:2 if { path /two }"]
http-response = ["deny if { path /secret }", "set-header X-Back-R 1"]
http-after-response = ["set-header X-Back-A 1"]

[backend.other]
server = ["127.0.0.1:3"]
"#;

#[test]
fn rule_sets_are_walked_in_the_order_of_traffic() {
    let walk = walk(EVERY_SET, "http://a/two", &[]);
    let stages: Vec<String> = walk.stages.iter().map(|s| format!("{} {}", s.section, s.keyword)).collect();
    assert_eq!(
        stages,
        [
            "frontend web tcp-request.connection",
            "frontend web tcp-request.session",
            "frontend web tcp-request.content",
            "frontend web http-request",
            "frontend web use_backend",
            "backend app tcp-request.content",
            "backend app http-request",
            "backend app use-server",
            "backend app tcp-response.content",
            "backend app http-response",
            "frontend web http-response",
            "backend app http-after-response",
            "frontend web http-after-response",
        ]
    );
    let sent = walk.sent.unwrap();
    assert_eq!((header(&sent.headers, "x-front"), header(&sent.headers, "x-back")), (Some("1"), Some("1")));
    let answer = walk.answer.unwrap();
    for name in ["x-front-r", "x-front-a", "x-back-r", "x-back-a"] {
        assert_eq!(header(&answer.headers, name), Some("1"), "{name}");
    }
    assert_eq!((answer.by.as_str(), answer.status), ("server", 200));
    assert_eq!(walk.servers.unwrap().chosen.as_deref(), Some("127.0.0.1:2"));
    assert_eq!(walk.backend.unwrap().stages_before, 5);
}

#[test]
fn a_rule_says_what_it_saw_and_did() {
    let walk = walk(EVERY_SET, "http://a/other", &[]);
    let rule = &walk.stages[4].rules[0];
    assert!(rule.held && rule.now.is_none(), "{rule:?}");
    assert_eq!(rule.tests[0].acl, "{ path /other }");
    assert_eq!(
        (rule.tests[0].saw[0].sample.as_str(), &rule.tests[0].saw[0].values[..]),
        ("path", &["/other".into()][..])
    );
    assert_eq!(walk.stages[3].rules[0].did, ["+ X-Front: 1 (request)"]);
    assert_eq!(walk.stages[3].rules[0].place, "test.toml:6");
    assert!(walk.backend.unwrap().why.contains("test.toml:7"));
}

#[test]
fn a_denied_response_is_answered_here_and_goes_through_the_last_rules() {
    let walk = walk(EVERY_SET, "http://a/secret", &[]);
    let answer = walk.answer.unwrap();
    assert_eq!((answer.by.as_str(), answer.status, walk.outcome.action.as_str()), ("evenkeel", 502, "deny"));
    assert_eq!((header(&answer.headers, "x-back-a"), header(&answer.headers, "x-back-r")), (Some("1"), None));
    assert_eq!(walk.outcome.code.as_deref(), Some("EV325"));
}

#[test]
fn without_an_answer_described_the_rules_on_it_are_only_counted() {
    let config = load(EVERY_SET);
    let walk = simulate(&config, &ask("http://a/"), &Given::new(&config)).unwrap();
    assert!(walk.answer.is_none() && walk.outcome.action == "forward");
    assert!(walk.notes.iter().any(|note| note.starts_with("6 rule(s) on responses")), "{:?}", walk.notes);
}

#[test]
fn the_frontend_is_the_one_that_listens_there() {
    let config = load(
        r#"
[frontend.a]
bind = ["192.0.2.1:80", "127.0.0.1:8080"]
http-request = ["return status 200 hdr X-Front a"]
[frontend.b]
bind = ["192.0.2.2:80"]
http-request = ["return status 200 hdr X-Front b"]
"#,
    );
    let front = |question: &Question| simulate(&config, question, &Given::new(&config)).map(|walk| walk.bind.frontend);
    assert_eq!(front(&ask("http://x:8080/")).unwrap(), "a");
    let both = front(&ask("http://x/")).unwrap_err();
    assert!(both.contains("several") && both.contains("a (192.0.2.1:80, 127.0.0.1:8080), b (192.0.2.2:80)"), "{both}");
    let at_b = Question { dst: Some("192.0.2.2:80".parse().unwrap()), ..ask("http://x/") };
    assert_eq!(front(&at_b).unwrap(), "b");
    let named = Question { frontend: Some("b".into()), ..ask("http://x:8080/") };
    assert_eq!(front(&named).unwrap(), "b");
    let none = Question { frontend: Some("c".into()), ..ask("http://x/") };
    assert!(front(&none).unwrap_err().contains("no frontend `c`"));
    assert!(front(&ask("http://x:81/")).unwrap_err().contains("no frontend listens on port 81"));
    assert!(front(&ask("/")).unwrap_err().contains("does not say where it goes"));

    let only = walk("[listen.web]\nbind = [\":8443\"]\nserver = [\"127.0.0.1:1\"]\n", "http://x/", &[]);
    assert_eq!(only.bind.frontend, "web");
    assert!(only.notes[0].contains("nothing listens on port 80"), "{:?}", only.notes);
}

#[test]
fn rules_see_the_handshake_that_is_described() {
    let config = load(
        r#"
[listen.web]
bind = ["127.0.0.1:443"]
http-request = [
  "deny status 426 if { ssl_fc_protocol TLSv1.2 }",
  "set-header X-Who %[ssl_c_s_dn(CN)] if { ssl_c_used } { ssl_c_verify 0 }",
  "set-header X-Alpn %[ssl_fc_alpn]/%[req.ver]/%[fc_http_major]/%[ssl_fc_sni]/%[url]",
]
server = ["127.0.0.1:1"]
[[test]]
request = { url = "https://a:443/x", tls = { version = "TLSv1.2" } }
expect  = { status = 426 }
[[test]]
request = { url = "https://a:443/x", tls = { alpn = "h2" }, client-cert = { s-dn = "/O=x/CN=alice" } }
expect  = { sent = { url = "/x", header = { X-Who = "alice", X-Alpn = "h2/2.0/2/a/https://a:443/x" } } }
[[test]]
request = { url = "https://a:443/x", client-cert = { s-dn = "/CN=alice", verify = 10 }, tls = { sni = "b" } }
expect  = { sent = { header = { X-Who = false, X-Alpn = "/1.1/1/b//x" } } }
"#,
    );
    let report = run_tests(&config, &[]);
    assert_eq!(report.failed, 0, "{}", report.text(Style::default(), false));
    // A certificate itself.
    let pem = include_bytes!("../../../../examples/tls/client.pem");
    let der = evenkeel_tls::facts::first_of_pem(pem).unwrap();
    let client = ClientCert { der, ..ClientCert::default() };
    let handshake = Handshake { client: Some(client), ..Handshake::default() };
    let walk = simulate(&config, &Question { handshake, ..ask("https://a/") }, &Given::new(&config)).unwrap();
    assert_eq!(header(&walk.sent.unwrap().headers, "x-who"), Some("evenkeel"));
    assert!(walk.notes[0].contains("has no TLS of its own"), "{:?}", walk.notes);
}

#[test]
fn what_is_no_http_is_said_so() {
    let config = load(EVERY_SET);
    let bad = Question { headers: vec![("Bad Name".into(), "x".into())], ..ask("http://a/") };
    let why = simulate(&config, &bad, &Given::new(&config)).unwrap_err();
    assert!(why.contains("not valid HTTP"), "{why}");
}

#[test]
fn the_backend_and_why() {
    let config = r#"
[frontend.web]
bind = ["127.0.0.1:80"]
default_backend = "app"
use_backend = ["off if { path /off }", "%[path,field(2,/)] if { path_beg /to }"]
[frontend.lost]
bind = ["127.0.0.1:81"]
use_backend = ["app if { path /app }", "off if { path /off }"]
[backend.app]
server = ["127.0.0.1:1"]
[backend.to]
server = ["127.0.0.1:2"]
[backend.off]
disabled = true
server = ["127.0.0.1:3"]
"#;
    let backend = |url: &str| {
        let walk = walk(config, url, &[]);
        (walk.backend.map(|back| (back.name, back.why)), walk.outcome.code)
    };
    let (Some((name, why)), None) = backend("http://a/off") else { panic!("a backend") };
    assert!(name == "app" && why.contains("disabled or does not exist"), "{why}");
    let (Some((name, why)), None) = backend("http://a/to/x") else { panic!("a backend") };
    assert!(name == "to" && why.contains("test.toml:5"), "{why}");
    let (Some((name, why)), None) = backend("http://a/") else { panic!("a backend") };
    assert!(name == "app" && why.contains("no use_backend rule matched"), "{why}");
    assert_eq!(backend("http://a:81/"), (None, Some("EV300".into())));
    assert_eq!(backend("http://a:81/off"), (None, Some("EV301".into())));
}

const FOUR: &str = r#"
[listen.web]
bind = ["127.0.0.1:80"]
balance = "ALGORITHM"
server = [
  { name = "a", address = "127.0.0.1:1", maxconn = 2 },
  { name = "b", address = "127.0.0.1:2" },
  { name = "idle", address = "127.0.0.1:3", weight = 0 },
  { name = "spare", address = "127.0.0.1:4", backup = true },
  { name = "later", address = "127.0.0.1:5", backup = true },
]
"#;

fn four(algorithm: &str, told: &[&str]) -> (Vec<String>, Vec<String>, Option<String>) {
    let walk = walk(&FOUR.replace("ALGORITHM", algorithm), "http://a/", told);
    let choice = walk.servers.unwrap();
    let why = choice.considered.iter().map(|server| format!("{}: {}", server.name, server.why)).collect();
    (choice.any_of, why, walk.outcome.code)
}

#[test]
fn servers_and_why_not() {
    let (any_of, why, code) = four("roundrobin", &[]);
    assert_eq!((any_of, code), (vec!["a".to_owned(), "b".into()], None));
    assert_eq!(why[2], "idle: its weight is 0");
    assert!(why[3].contains("a backup, not needed") && why[4].contains("a backup, not needed"), "{why:?}");

    let (any_of, why, _) = four("roundrobin", &["web/a=down"]);
    assert_eq!((any_of, why[0].as_str(), why[1].as_str()), (vec!["b".into()], "a: down: its check fails", "b: chosen"));

    let (any_of, why, _) = four("first", &["web/a=maint", "web/b=drain"]);
    assert_eq!(any_of, ["spare"]);
    assert_eq!(why[0], "a: in maintenance");
    assert_eq!(why[1], "b: draining: it takes no new requests");
    assert!(why[4].contains("a later backup"), "{why:?}");

    for (state, code) in [("down", "EV260"), ("maint", "EV500")] {
        let all: Vec<String> = ["a", "b", "spare", "later"].iter().map(|s| format!("web/{s}={state}")).collect();
        let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
        // The one without a weight counts as usable, and is the reason then.
        assert_eq!(four("roundrobin", &all).2.as_deref(), Some("EV303"));
        let idle = format!("web/idle={state}");
        all.push(&idle);
        let (any_of, _, got) = four("roundrobin", &all);
        assert_eq!((any_of, got.as_deref()), (vec![], Some(code)));
    }
}

#[test]
fn loads_decide_where_the_algorithm_looks_at_them() {
    let config = load(&FOUR.replace("ALGORITHM", "leastconn"));
    let [web, a, b]: [Arc<str>; 3] = ["web".into(), "a".into(), "b".into()];
    let choose = |config: &Config, loads: [u32; 2]| {
        let mut given = given(config, &[]);
        for (name, sessions) in [&a, &b].into_iter().zip(loads) {
            given.servers.insert((web.clone(), name.clone()), ServerState { sessions, ..ServerState::IDLE });
        }
        simulate(config, &ask("http://x/"), &given).unwrap().servers.unwrap()
    };
    assert_eq!(choose(&config, [1, 5]).chosen.as_deref(), Some("a"));
    assert_eq!(choose(&config, [0, 0]).any_of, ["a", "b"]);
    let full = choose(&config, [2, 5]);
    assert_eq!((full.chosen.as_deref(), full.considered[0].why.as_str()), (Some("b"), "full: 2 of 2 (maxconn)"));

    let first = load(&FOUR.replace("ALGORITHM", "first"));
    assert_eq!(choose(&first, [1, 0]).chosen.as_deref(), Some("a"));
    assert_eq!(choose(&first, [2, 0]).chosen.as_deref(), Some("b"));

    let limited = load(&FOUR.replace("ALGORITHM", "first").replace("127.0.0.1:2\" }", "127.0.0.1:2\", maxconn = 1 }"));
    let waits = choose(&limited, [2, 1]);
    assert!(waits.waits && waits.chosen.is_none() && waits.why.contains("every usable server is full"), "{waits:?}");
}

#[test]
fn a_server_named_by_a_rule_is_taken_while_it_can_serve() {
    let config = FOUR.replace("balance = \"ALGORITHM\"", "use-server = [\"b if { path /b }\"]");
    let choice = walk(&config, "http://x/b", &[]).servers.unwrap();
    assert_eq!((choice.chosen.as_deref(), choice.any_of.len()), (Some("b"), 1));
    assert!(choice.why.contains("use-server") && choice.considered[0].why.contains("not the one"), "{choice:?}");
    let choice = walk(&config, "http://x/b", &["web/b=down"]).servers.unwrap();
    assert_eq!(choice.chosen.as_deref(), Some("a"), "it falls back to the algorithm");
}

#[test]
fn ends_of_all_kinds() {
    let config = r#"
[frontend.web]
bind = ["127.0.0.1:80"]
errorloc302 = { 403 = "https://example.com/sorry" }
http-request = [
  "deny if { path /deny }",
  "deny deny_status 429 if { path /limit }",
  "tarpit if { path /tarpit }",
  "auth realm x if { path /auth }",
  "redirect scheme https code 301 if { path /redirect }",
  "return status 200 content-type text/plain string pong if { path /ping }",
  "reject if { path /reject }",
  "silent-drop if { path /drop }",
]
http-after-response = ["set-header X-After 1"]
"#;
    for (path, action, status, code) in [
        ("deny", "deny", Some(302), Some("EV320")),
        ("limit", "deny", Some(429), Some("EV320")),
        ("tarpit", "tarpit", Some(500), Some("EV322")),
        ("auth", "auth", Some(401), Some("EV321")),
        ("redirect", "redirect", Some(301), None),
        ("ping", "return", Some(200), None),
        ("reject", "reject", None, Some("EV323")),
        ("drop", "silent-drop", None, Some("EV324")),
        ("else", "error", Some(503), Some("EV300")),
    ] {
        let walk = walk(config, &format!("http://a.example/{path}"), &[]);
        assert_eq!((walk.outcome.action.as_str(), walk.outcome.code.as_deref()), (action, code), "{path}");
        assert_eq!(walk.answer.as_ref().map(|answer| answer.status), status, "{path}");
        if let Some(answer) = &walk.answer {
            assert_eq!(header(&answer.headers, "x-after"), Some("1"), "{path}");
        }
        assert_eq!(walk.outcome.place.is_some(), path != "else", "{path}");
    }
    let pong = walk(config, "http://a/ping", &[]).answer.unwrap();
    assert_eq!((pong.body.as_str(), header(&pong.headers, "content-type")), ("pong", Some("text/plain")));
    let sorry = walk(config, "http://a/deny", &[]).answer.unwrap();
    assert_eq!(header(&sorry.headers, "location"), Some("https://example.com/sorry"));
    let moved = walk(config, "http://a.example/redirect", &[]).answer.unwrap();
    assert_eq!(header(&moved.headers, "location"), Some("https://a.example/redirect"));
}

#[test]
fn tcp_mode_looks_at_what_the_client_sends() {
    let config = load(
        r#"
[frontend.db]
mode = "tcp"
bind = ["127.0.0.1:5432"]
default_backend = "one"
tcp-request = { inspect-delay = "5s", content = ["reject if { req.payload(0,3) -m str BAD }"] }
use_backend = ["two if { req.payload(0,3) -m str TWO }"]
[backend.one]
mode = "tcp"
server = ["127.0.0.1:1"]
[backend.two]
mode = "tcp"
server = ["127.0.0.1:2"]
"#,
    );
    let send = |body: &str| {
        let question = Question { body: body.into(), frontend: Some("db".into()), ..ask("/") };
        simulate(&config, &question, &Given::new(&config)).unwrap()
    };
    let good = send("TWO and more");
    assert_eq!((good.backend.unwrap().name.as_str(), good.outcome.action.as_str()), ("two", "forward"));
    assert!(good.answer.is_none() && good.sent.is_none() && good.request.method.is_empty());
    assert_eq!(send("one").backend.unwrap().name, "one");
    let bad = send("BAD");
    assert_eq!((bad.outcome.action.as_str(), bad.answer), ("reject", None));
}

const LIMITED: &str = r#"
[frontend.web]
bind = ["127.0.0.1:80"]
default_backend = "app"
http-request = [
  "track-sc0 src table limits",
  "deny deny_status 429 if { sc_http_req_rate(0) gt 3 }",
  "deny if { var(txn.blocked) -m str yes }",
  "set-header X-Rate %[sc_http_req_rate(0)]",
]
[backend.limits]
stick-table = { type = "ip", size = 100, expire = "10m", store = ["http_req_rate(10s)", "gpc(2)"] }
server = ["127.0.0.1:1"]
[backend.app]
server = ["127.0.0.1:1"]
"#;

#[test]
fn tables_and_variables_are_those_described() {
    let config = load(LIMITED);
    let run = |tables: &[&str], vars: &[&str]| {
        let mut given = Given::new(&config);
        let tables = tables.iter().map(|text| question::entry(text).unwrap()).collect();
        let vars = vars.iter().map(|text| question::variable(text).unwrap()).collect();
        given.tell(&config, &Told { tables, vars, ..Told::default() })?;
        simulate(&config, &ask("http://a/"), &given)
    };
    let free = run(&[], &[]).unwrap();
    assert_eq!(header(&free.sent.unwrap().headers, "x-rate"), Some("1"), "this request counts");
    let last = run(&["limits 203.0.113.9 http_req_rate=2 gpc(1)=7"], &[]).unwrap();
    assert_eq!(last.outcome.action, "forward");
    let values = &last.tracked[0].values;
    assert_eq!(values[..], [("http_req_rate".into(), 3), ("gpc(0)".into(), 0), ("gpc(1)".into(), 7)]);
    let limited = run(&["limits 203.0.113.9 http_req_rate=3"], &[]).unwrap();
    assert_eq!((limited.outcome.action.as_str(), limited.answer.unwrap().status), ("deny", 429));
    assert_eq!(run(&["limits 203.0.113.8 http_req_rate=9"], &[]).unwrap().outcome.action, "forward");
    assert_eq!(run(&[], &["txn.blocked=yes"]).unwrap().outcome.action, "deny");
    for (bad, says) in [
        ("none 1 gpc0=1", "no stick table"),
        ("limits x gpc(1)=1", "no key"),
        ("limits 203.0.113.9 conn_cnt=1", "does not store"),
        ("limits 203.0.113.9 gpc(2)=1", "does not store"),
    ] {
        let why = run(&[bad], &[]).unwrap_err();
        assert!(why.contains(says), "{bad}: {why}");
    }
}

#[test]
fn what_is_told_must_exist() {
    let config = load(FOUR.replace("ALGORITHM", "roundrobin").as_str());
    let tell = |backend: &str, server: &str| {
        let servers = vec![(backend.to_owned(), server.to_owned(), State::Down)];
        Given::new(&config).tell(&config, &Told { servers, ..Told::default() })
    };
    assert!(tell("web", "a").is_ok());
    assert!(tell("app", "a").unwrap_err().contains("no backend `app`"));
    assert!(tell("web", "z").unwrap_err().contains("no server `z`"));
}

#[test]
fn tests_hold_or_say_what_was() {
    let text = format!(
        "{LIMITED}{}",
        r#"
[[test]]
name = "good"
request = { url = "http://a/", src = "192.0.2.1" }
expect = { backend = "app", server = "127.0.0.1:1", status = 200, sent = { url = "/", header = { X-Rate = "1", Cookie = false } } }

[[test]]
name = "limited"
request = { url = "http://a/", src = "192.0.2.1" }
given = { tables = [{ table = "limits", key = "192.0.2.1", data = { http_req_rate = 5 } }] }
expect = { action = "deny", status = 429 }

[[test]]
name = "bad"
request = { url = "http://a/" }
given = { servers = { "app/127.0.0.1:1" = "down" } }
expect = { backend = "limits", server = "127.0.0.1:1", status = 200, action = "forward", header = { X-No = true }, body = "hello" }
"#
    );
    let config = load(&text);
    let report = run_tests(&config, &[]);
    assert_eq!((report.passed, report.failed), (2, 1), "{}", report.text(Style::default(), true));
    let bad = &report.tests[2];
    let what: Vec<&str> = bad.failures.iter().map(|failure| failure.what.as_str()).collect();
    assert_eq!(what, ["backend", "server", "action", "status", "header.X-No", "body"]);
    assert_eq!((bad.failures[1].got.as_str(), bad.failures[3].got.as_str()), ("none", "503"));
    assert!(bad.walk.is_some() && report.tests[0].walk.is_none());
    let text = report.text(Style::default(), false);
    assert!(text.contains("FAILED  bad (test.toml:") && text.ends_with("3 test(s): 2 ok, 1 failed\n"), "{text}");
    assert_eq!(run_tests(&config, &["good".into()]).tests.len(), 1);
}

#[test]
fn tests_look_at_the_log_and_at_what_is_tracked() {
    let text = format!(
        "{}{}",
        LIMITED.replacen("[frontend.web]\n", "[frontend.web]\ncapture.request = [{ header = \"Host\", len = 9 }]\n", 1),
        r#"
[[test]]
name = "good"
request = { url = "http://a/x?y=1", src = "192.0.2.1" }
expect = { log = ["192.0.2.1:", "web app/127.0.0.1:1 ", " ---- ", "{a} \"GET /x?y=1 HTTP/1.1\""], tracked = [{ table = "limits", key = "192.0.2.1", data = { http_req_rate = 1 } }] }

[[test]]
name = "limited"
request = { url = "http://a/", src = "192.0.2.1" }
given = { tables = [{ table = "limits", key = "192.0.2.1", data = { http_req_rate = 5 } }] }
expect = { log = [" 429 ", " PR-- "], tracked = [{ table = "limits", key = "192.0.2.1", data = { http_req_rate = 6 } }] }

[[test]]
name = "bad"
request = { url = "http://a/", src = "192.0.2.1" }
expect = { log = "nowhere", tracked = [{ table = "limits", key = "192.0.2.2" }, { table = "limits", key = "192.0.2.1", data = { http_req_rate = 7 } }] }
"#
    );
    let report = run_tests(&load(&text), &[]);
    assert_eq!((report.passed, report.failed), (2, 1), "{}", report.text(Style::default(), true));
    let bad = &report.tests[2].failures;
    let what: Vec<&str> = bad.iter().map(|failure| failure.what.as_str()).collect();
    assert_eq!(what, ["log", "tracked.limits", "tracked.limits.http_req_rate"]);
    assert_eq!((bad[1].got.as_str(), bad[2].got.as_str()), ("192.0.2.1", "1"));
}

#[test]
fn turns_do_not_decide_whether_a_test_holds() {
    let two = |expected: &str| {
        let text = format!(
            "{}\n[[test]]\nrequest = {{ url = \"http://a/\" }}\nexpect = {{ server = {expected} }}\n",
            FOUR.replace("ALGORITHM", "roundrobin")
        );
        run_tests(&load(&text), &[])
    };
    assert_eq!(two("[\"a\", \"b\"]").failed, 0);
    let one = two("[\"a\"]");
    assert_eq!(one.failed, 1);
    assert_eq!(one.tests[0].failures[0].got, "any of a, b");
}

#[test]
fn a_monitor_is_answered_before_any_rule() {
    let config = "[listen.web]\nbind = [\":80\"]\nmonitor-uri = \"/alive\"\nmonitor = { fail = [\"if { nbsrv(web) lt 1 }\"] }\n\
                  http-request = [\"deny\"]\nserver = [\"127.0.0.1:1\"]\n";
    let good = walk(config, "http://a/alive", &[]);
    assert_eq!((good.answer.unwrap().status, good.stages.len()), (200, 0));
    assert_eq!(walk(config, "http://a/alive", &["web/127.0.0.1:1=down"]).answer.unwrap().status, 503);
}

#[test]
fn text_is_for_a_person_and_json_comes_back() {
    let walk = walk(EVERY_SET, "http://a.example/secret?x=1", &[]);
    let text = show::text(&walk, Style::default());
    for part in [
        "GET http://a.example/secret?x=1 from 203.0.113.9:40000 to 127.0.0.1:80 at 2026-03-01T09:00:00Z",
        "frontend web, bind 127.0.0.1:80  test.toml:3",
        "backend app test.toml:",
        "deny if { path /secret }",
        "the client gets 502 Bad Gateway, from Evenkeel",
        "outcome: deny: a rule denied the response of the server (test.toml:",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours unless asked for");
    assert!(show::text(&walk, Style { color: true, verbose: true }).contains("\u{1b}["));
    let json = serde_json::to_string(&walk).unwrap();
    let mut back: Walk = serde_json::from_str(&json).unwrap();
    back.log.clone_from(&walk.log);
    back.answer.as_mut().unwrap().whole = walk.answer.as_ref().unwrap().whole.clone();
    assert_eq!(back, walk);
}

/// xorshift64*.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

#[test]
fn a_choice_is_always_one_that_traffic_could_make() {
    for seed in 1..400 {
        let mut rng = Rng(seed);
        let algorithm = ["roundrobin", "static-rr", "leastconn", "first", "source", "random(2)"][rng.below(6) as usize];
        let mut text = format!("[listen.web]\nbind = [\":80\"]\nbalance = \"{algorithm}\"\n");
        if rng.below(2) == 0 {
            text.push_str("option = { allbackups = true }\n");
        }
        text.push_str("server = [\n");
        let count = 1 + rng.below(5);
        for at in 0..count {
            text.push_str(&format!(
                "{{ name = \"s{at}\", address = \"127.0.0.1:{}\", weight = {}, maxconn = {}, backup = {} }},\n",
                at + 1,
                rng.below(3),
                rng.below(3),
                rng.below(4) == 0
            ));
        }
        text.push_str("]\n");
        let config = load(&text);
        let mut given = Given::new(&config);
        let back = &config.backends[0];
        for server in &back.servers {
            let state = [State::Up, State::Up, State::Down, State::Drain, State::Maint][rng.below(5) as usize];
            let sessions = rng.below(3) as u32;
            let state = ServerState { state, sessions, ..ServerState::IDLE };
            given.servers.insert((back.name.clone(), server.name.clone()), state);
        }
        let src = Some("203.0.113.9".parse().unwrap());
        let (choice, end) = servers::choose(back, &given, src, None);
        let state = |name: &str| {
            let server = back.servers.iter().find(|server| *server.name == *name).unwrap();
            (server, given.server(&back.name, &server.name))
        };
        let usable = |name: &str| {
            let (server, state) = state(name);
            state.state == State::Up && server.weight > 0
        };
        let any = back.servers.iter().any(|server| usable(&server.name));
        assert_eq!(end.is_some(), !any, "seed {seed}: {choice:?}\n{text}");
        assert!(choice.any_of.iter().all(|name| usable(name)), "seed {seed}: {choice:?}\n{text}");
        let full = |name: &str| {
            let (server, state) = state(name);
            server.maxconn > 0 && state.sessions >= server.maxconn
        };
        if algorithm != "source" {
            assert!(!choice.any_of.iter().any(|name| full(name)), "seed {seed}: {choice:?}\n{text}");
        }
        assert_eq!(choice.considered.len(), back.servers.len());
        for server in &choice.considered {
            assert_eq!(server.possible, choice.any_of.contains(&server.name), "seed {seed}: {choice:?}");
            assert!(!server.why.is_empty(), "seed {seed}: {choice:?}");
        }
        assert!(end.is_some() || choice.waits || !choice.any_of.is_empty(), "seed {seed}: {choice:?}\n{text}");
    }
}

#[test]
fn rules_of_a_listen_run_once_as_its_frontend_and_again_for_others() {
    let config = "[listen.app]\nbind = [\":81\"]\nserver = [\"127.0.0.1:1\"]\n\
                  http-request = [\"add-header X-App 1\"]\nhttp-response = [\"add-header X-App-R 1\"]\n\
                  http-after-response = [\"add-header X-App-A 1\"]\n\
                  [frontend.web]\nbind = [\":80\"]\ndefault_backend = \"app\"\nhttp-request = [\"add-header X-Web 1\"]\n";
    for (url, sets) in [
        (
            "http://a:80/",
            &[
                "frontend web http-request",
                "listen app http-request",
                "listen app http-response",
                "listen app http-after-response",
            ][..],
        ),
        ("http://a:81/", &["listen app http-request", "listen app http-response", "listen app http-after-response"]),
    ] {
        let walk = walk(config, url, &[]);
        let stages: Vec<String> = walk.stages.iter().map(|s| format!("{} {}", s.section, s.keyword)).collect();
        assert_eq!(stages, sets, "{url}");
        let answer = walk.answer.unwrap();
        assert_eq!(answer.headers.iter().filter(|(name, _)| name.starts_with("X-App")).count(), 2, "{url}");
    }
}

/// What no answer may show.
const SECRETS: [&str; 4] = ["Basic YW5uOnBhc3M=", "pass", "k-123", "sid-456"];

#[test]
fn secrets_are_hidden_wherever_rules_carry_them() {
    let config = load(
        r#"
[frontend.web]
bind = [":80"]
default_backend = "app"
capture = { request = [{ header = "Cookie", len = 64 }] }
http-request = [
  "set-var(txn.token) req.hdr(Authorization)",
  "set-var(txn.copy) var(txn.token),lower",
  "set-header X-Copy %[var(txn.copy)]",
  "set-header X-Second %[req.hdr(x-copy)]",
  "set-header X-Plain %[src]",
  "set-header X-Length %[req.hdr(authorization),length]",
  "deny if { http_auth_pass -m str none }",
  "deny if { req.cook(sid) -m str none } or { capture.req.hdr(0) -m sub none }",
  "deny if { var(txn.copy) -m str none }",
  "capture req.hdr(x-api-key) len 20",
  "set-var(txn.key) capture.req.hdr(1)",
  "track-sc0 req.hdr(x-api-key) table keys",
  "redirect location https://b.example/?k=%[req.hdr(x-api-key)] if { path /old }",
  "return content-type text/plain lf-string 'you are %[req.cook(sid)]' if { path /me }",
]
[backend.keys]
stick-table = { type = "string", size = "1k", store = ["http_req_rate(10s)"] }
[backend.app]
server = ["127.0.0.1:1"]
"#,
    );
    for path in ["/", "/old", "/me"] {
        let mut question = ask(&format!("http://a{path}"));
        question.headers = [("Authorization", "Basic YW5uOnBhc3M="), ("X-Api-Key", "k-123"), ("Cookie", "sid=sid-456")]
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec();
        let mut walk = simulate(&config, &question, &given(&config, &[])).unwrap();
        let open = serde_json::to_string(&walk).unwrap();
        for secret in SECRETS {
            assert!(open.contains(secret), "{path}: the test says nothing about {secret}");
        }
        super::hide_secrets(&mut walk, &config);
        let verbose = show::text(&walk, Style { color: false, verbose: true });
        let json = serde_json::to_string(&walk).unwrap();
        for secret in SECRETS {
            assert!(
                !verbose.contains(&format!("{secret}\"")) && !verbose.contains(&format!("{secret}\n")),
                "{verbose}"
            );
            // The word is in the name of a fetch.
            assert!(secret == "pass" || !verbose.contains(secret) && !json.contains(secret), "{secret}: {verbose}");
        }
        assert!(verbose.contains("+ X-Plain: 203.0.113.9") && verbose.contains("+ X-Length: 18"), "{verbose}");
    }
}

#[test]
fn an_answer_is_told_once() {
    let config = "[listen.web]\nbind = [\":80\"]\nserver = [\"127.0.0.1:1\"]\n\
                  http-request = [\"redirect location /new code 301 if { path /old }\"]\n";
    let walk = walk(config, "http://a/old", &[]);
    assert_eq!(walk.stages[0].rules[0].did, ["redirects to /new with 301"]);
}
