//! `explain`, `test` and `why` from outside: exit codes, the shape of `--json`, and that asking a running process leaves it as
//! it is.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use evenkeel_testkit::certs::Ca;
use evenkeel_testkit::{DEADLINE, Origin, Proxy, RawClient, Script, TlsClient, WsClient, WsEcho, binary};
use serde_json::Value;

fn evenkeel(args: &[&str]) -> Output {
    Command::new(binary()).args(args).env_remove("NO_COLOR").stdin(Stdio::null()).output().unwrap()
}

fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn stdout(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn json(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"))
}

const SHOP: &str = r#"
[frontend.web]
bind = ["127.0.0.1:8080", "127.0.0.1:8081"]
default_backend = "app"
acl.is_api = "path_beg /api"
http-request = [
  "track-sc0 src table limits",
  "deny deny_status 429 if { sc_http_req_rate(0) gt 5 }",
  "redirect location https://www.example.com/ code 301 if { path /old }",
  "set-header X-Forwarded-Proto http",
]
use_backend = ["api if is_api"]

[backend.limits]
stick-table = { type = "ip", size = "1k", expire = "1m", store = ["http_req_rate(10s)"] }

[backend.api]
balance = "source"
server = [{ name = "one", address = "127.0.0.1:3001" }]
http-response = ["set-header X-From api"]

[backend.app]
server = [{ name = "a", address = "127.0.0.1:3002" }, { name = "b", address = "127.0.0.1:3003", backup = true }]
"#;

#[test]
fn explain_shows_the_whole_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "shop.toml", SHOP);
    let path = path.to_str().unwrap();
    let out = evenkeel(&["explain", "-c", path, "--url", "http://shop.example:8080/api/1?x=2", "--src", "203.0.113.9"]);
    assert!(out.status.success(), "{out:?}");
    let text = stdout(&out);
    for part in [
        "GET http://shop.example:8080/api/1?x=2 from 203.0.113.9:",
        "frontend web, bind 127.0.0.1:8080",
        "shop.toml:7",
        "track-sc0 src table limits",
        "tracks 203.0.113.9 as sc0 of table limits",
        "is_api holds: path is \"/api/1\"",
        "backend api",
        "server one (source)",
        "the server gets GET /api/1?x=2",
        "X-Forwarded-Proto: http",
        "outcome: forward",
        "describe an answer with --response",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours on a pipe: {text}");
}

#[test]
fn explain_as_json_is_an_interface() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "shop.toml", SHOP);
    let ask = |more: &[&str]| {
        let mut args =
            vec!["explain", "-c", path.to_str().unwrap(), "--json", "--time", "2026-03-01T09:00:00Z", "--url"];
        args.extend(more);
        let out = evenkeel(&args);
        assert!(out.status.success(), "{out:?}");
        json(&out)
    };
    let walk =
        ask(&["http://a:8080/", "--method", "POST", "--body", "x=1", "-H", "A: b", "--server-state", "app/a=down"]);
    assert_eq!(
        (&walk["request"]["method"], &walk["request"]["target"], &walk["request"]["time"]),
        (&"POST".into(), &"/".into(), &"2026-03-01T09:00:00Z".into())
    );
    assert_eq!((&walk["bind"]["frontend"], &walk["bind"]["address"]), (&"web".into(), &"127.0.0.1:8080".into()));
    assert_eq!((&walk["backend"]["name"], &walk["servers"]["chosen"]), (&"app".into(), &"b".into()));
    let first = &walk["servers"]["considered"][0];
    assert_eq!((&first["name"], &first["state"], &first["possible"]), (&"a".into(), &"down".into(), &false.into()));
    assert!(first["why"].as_str().unwrap().starts_with("down"), "{first}");
    let stages: Vec<&str> = walk["stages"].as_array().unwrap().iter().map(|s| s["keyword"].as_str().unwrap()).collect();
    assert_eq!(stages, ["http-request", "use_backend"]);
    let rule = &walk["stages"][0]["rules"][3];
    assert_eq!(
        (&rule["held"], rule["did"][0].as_str().unwrap()),
        (&true.into(), "+ X-Forwarded-Proto: http (request)")
    );
    assert!(rule["place"].as_str().unwrap().ends_with("shop.toml:10"), "{rule}");
    assert_eq!((&walk["outcome"]["action"], &walk["sent"]["method"]), (&"forward".into(), &"POST".into()));
    assert_eq!(walk["tracked"][0]["table"], "limits");

    let limited = ask(&["http://a:8080/", "--table", "limits 127.0.0.1 http_req_rate=5"]);
    assert_eq!((&limited["answer"]["status"], &limited["outcome"]["code"]), (&429.into(), &"EV320".into()));
    let moved = ask(&["http://a:8080/old"]);
    assert_eq!((&moved["answer"]["status"], &moved["outcome"]["action"]), (&301.into(), &"redirect".into()));
    let answered = ask(&["http://a:8080/api/", "--response", "status=404", "--response-header", "Server: x"]);
    assert_eq!((&answered["answer"]["by"], &answered["answer"]["status"]), (&"server".into(), &404.into()));
    assert!(answered["answer"]["headers"].as_array().unwrap().contains(&serde_json::json!(["X-From", "api"])));
}

#[test]
fn what_cannot_be_explained_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "shop.toml", SHOP);
    let path = path.to_str().unwrap();
    for (args, word) in [
        (&["--url", "ftp://a/"][..], "scheme"),
        (&["--url", "http://a/", "--src", "nowhere"], "no address"),
        (&["--url", "http://a/", "--frontend", "none"], "no frontend `none`"),
        (&["--url", "http://a/", "--server-state", "app/z=down"], "no server `z`"),
        (&["--url", "http://a/", "--server-state", "app/a=gone"], "up, down, drain or maint"),
        (&["--url", "http://a/", "--time", "noon"], "no time"),
        (&["--url", "http://a/", "--table", "none k"], "no stick table"),
        (&["--url", "http://a/", "--response", "status=99"], "no status"),
        (&["--url", "http://a/", "-H", "nothing"], "Name: value"),
        (&["--url", "http://a/", "--body", "@/nowhere/body"], "cannot read /nowhere/body"),
    ] {
        let mut all = vec!["explain", "-c", path];
        all.extend(args);
        let out = evenkeel(&all);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {out:?}");
        assert!(stderr(&out).contains(word) && stderr(&out).lines().count() == 1, "{args:?}: {}", stderr(&out));
    }
    let code = evenkeel(&["explain", "EV260"]);
    assert!(code.status.success() && stdout(&code).starts_with("EV260"), "{code:?}");
}

const TESTS: &str = r#"
[[test]]
name = "the API goes to the API"
request = { url = "http://shop.example:8080/api/1" }
expect = { backend = "api", header = { X-From = "api" } }

[[test]]
name = "too many"
request = { url = "http://shop.example:8080/", src = "203.0.113.9" }
given = { tables = [{ table = "limits", key = "203.0.113.9", data = { http_req_rate = 5 } }] }
expect = { status = 429, action = "deny" }

[[test]]
name = "without the first server"
request = { url = "http://shop.example:8080/" }
given = { servers = { "app/a" = "down" } }
expect = { server = "b" }
"#;

const WRONG: &str = r#"
[[test]]
name = "wrong"
request = { url = "http://shop.example:8080/" }
expect = { server = "b", status = 301 }
"#;

#[test]
fn tests_of_a_configuration_are_run() {
    let dir = tempfile::tempdir().unwrap();
    let good = file(dir.path(), "good.toml", &format!("{SHOP}{TESTS}"));
    let good = good.to_str().unwrap();
    let out = evenkeel(&["test", "-c", good]);
    assert!(out.status.success(), "{out:?}");
    assert!(stdout(&out).ends_with("3 test(s): 3 ok, 0 failed\n"), "{}", stdout(&out));
    assert!(evenkeel(&["check", "--strict", good]).status.success());

    let bad = file(dir.path(), "bad.toml", &format!("{SHOP}{TESTS}{WRONG}"));
    let bad = bad.to_str().unwrap();
    let out = evenkeel(&["test", "-c", bad]);
    assert_eq!(out.status.code(), Some(1));
    let text = stdout(&out);
    for part in
        ["FAILED  wrong (", "bad.toml:", "server: expected b, got a", "status: expected 301, got 200", "backend app"]
    {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let report = json(&evenkeel(&["test", "-c", bad, "--json"]));
    assert_eq!((&report["passed"], &report["failed"]), (&3.into(), &1.into()));
    let wrong = &report["tests"][3];
    assert_eq!((&wrong["name"], &wrong["ok"]), (&"wrong".into(), &false.into()));
    assert_eq!(wrong["failures"][0], serde_json::json!({"what": "server", "expected": "b", "got": "a"}));
    assert_eq!(wrong["walk"]["backend"]["name"], "app");
    assert!(report["tests"][0].get("walk").is_none());

    assert!(evenkeel(&["test", "-c", bad, "too many"]).status.success());
    let unknown = evenkeel(&["test", "-c", bad, "no such"]);
    assert!(unknown.status.code() == Some(2) && stderr(&unknown).contains("no such"), "{unknown:?}");
    let broken = file(dir.path(), "broken.toml", "[frontend.web]\nbnid = []\n");
    assert_eq!(evenkeel(&["test", "-c", broken.to_str().unwrap()]).status.code(), Some(2));

    let lax = evenkeel(&["check", bad]);
    assert!(lax.status.success(), "{lax:?}");
    let strict = evenkeel(&["check", "--strict", bad]);
    assert_eq!(strict.status.code(), Some(1));
    assert!(stderr(&strict).contains("1 test(s) failed") && stderr(&strict).contains("FAILED  wrong"), "{strict:?}");
    let strict = json(&evenkeel(&["check", "--strict", "--json", bad]));
    assert_eq!((&strict["ok"], &strict["tests"]["failed"]), (&false.into(), &1.into()));
}

#[test]
fn the_tests_of_every_recipe_hold() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/recipes");
    let mut count = 0;
    for entry in std::fs::read_dir(&recipes).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let out = evenkeel(&["test", "-c", path.to_str().unwrap()]);
            assert!(out.status.success(), "{}\n{}{}", path.display(), stdout(&out), stderr(&out));
            assert!(!stdout(&out).starts_with("0 test(s)"), "{} has no test", path.display());
            count += 1;
        }
    }
    assert!(count >= 10, "{count} recipes");
}

const RUNNING: &str = r#"
[global]
threads = 2
admin = { listen = "@admin@" }
log = [{ target = "stdout", format = "json" }]
why = { entries = 100, sample = 1 }

[defaults]
log = ["global"]
retries = 0

[frontend.web]
bind = ["@web@"]
default_backend = "app"
http-request = [
  "track-sc0 src table limits",
  "deny deny_status 429 if { sc_http_req_rate(0) gt 4 }",
  "set-header X-Alive %[nbsrv(app)] if { nbsrv(app) eq 1 }",
]

[backend.limits]
stick-table = { type = "ip", size = "1k", expire = "1m", store = ["http_req_rate(1h)"] }

[backend.app]
balance = "first"
server = [
  { name = "dead", address = "@dead@", check = { type = "tcp", interval = "50ms", fall = 1 } },
  { name = "good", address = "@good@" },
]
http-response = ["set-header X-Seen %[status]"]
"#;

struct Running {
    proxy: Proxy,
    _good: Origin,
}

impl Running {
    /// One server that answers, one that does not, which the checks have found out.
    fn start(extra: &str) -> Running {
        let good = Origin::start(Script::always("hello"));
        let text = RUNNING.replace("@good@", &good.addr().to_string()) + extra;
        let proxy = Proxy::start(&text);
        proxy.wait_csv("app/dead is down", |csv| {
            csv.lines().any(|line| line.starts_with("app,dead,") && line.contains(",DOWN,"))
        });
        Running { proxy, _good: good }
    }

    fn pid_file(&self) -> String {
        self.proxy.dir().join("pid").to_str().unwrap().to_owned()
    }

    fn get(&self, path: &str) -> u16 {
        let mut client = RawClient::connect(self.proxy.addr("web")).unwrap();
        client.ask(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nCookie: secret=1\r\n\r\n")).unwrap().status()
    }

    fn live(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.proxy.addr("web"));
        let out = evenkeel(&["explain", "--live", "--pid-file", &self.pid_file(), "--url", &url, "--json"]);
        assert!(out.status.success(), "{out:?}");
        json(&out)
    }

    /// The records that fit, once there are `count` of them: one is written a moment after its answer.
    fn why(&self, args: &[&str], count: usize) -> Vec<Value> {
        let pid_file = self.pid_file();
        let mut all = vec!["why", "--json", "--pid-file", &pid_file];
        all.extend(args);
        let end = Instant::now() + DEADLINE;
        loop {
            let out = evenkeel(&all);
            if out.status.success() {
                let list = json(&out).as_array().unwrap().clone();
                if list.len() >= count {
                    return list;
                }
            }
            assert!(Instant::now() < end, "{args:?}: {out:?}");
        }
    }
}

#[test]
fn a_running_process_explains_itself_and_is_left_as_it_is() {
    let running = Running::start("");
    for round in 0..8 {
        let walk = running.live("/");
        assert_eq!(walk["outcome"]["action"], "forward", "round {round}: {walk:#}");
        assert_eq!(walk["tracked"][0]["values"][0], serde_json::json!(["http_req_rate", 1]), "asking does not count");
        assert_eq!(walk["servers"]["chosen"], "good");
        let dead = &walk["servers"]["considered"][0];
        assert_eq!((&dead["state"], &dead["name"]), (&"down".into(), &"dead".into()));
        assert!(dead["why"].as_str().unwrap().contains("Connection refused"), "{dead}");
    }
    // The table is what traffic made of it.
    for wanted in [200, 200, 200, 200, 429] {
        assert_eq!(running.get("/"), wanted);
    }
    let walk = running.live("/");
    assert_eq!((&walk["outcome"]["action"], &walk["answer"]["status"]), (&"deny".into(), &429.into()), "{walk:#}");
    assert!(walk["notes"][0].as_str().unwrap().contains("generation 1"), "{walk:#}");
    let nobody = evenkeel(&["explain", "--live", "--pid-file", "/nowhere/pid", "--url", "http://a/"]);
    assert!(nobody.status.code() == Some(1) && stderr(&nobody).contains("/nowhere/pid"), "{nobody:?}");
}

#[test]
fn why_tells_how_a_past_request_was_decided() {
    let running = Running::start("");
    let mark = running.proxy.process().mark();
    assert_eq!(running.get("/first?x=1"), 200);
    let line = running.proxy.process().wait_line(mark, "of the request", |line| line.contains("/first?x=1"));
    let line: Value = serde_json::from_str(&line).unwrap();
    let id = line["id"].as_str().unwrap();

    let past = &running.why(&[id], 1)[0];
    assert_eq!((&past["id"], &past["status"], &past["server"]), (&id.into(), &200.into(), &"good".into()));
    assert_eq!((&past["generation"], &past["in_force"]), (&1.into(), &true.into()));
    let walk = &past["walk"];
    assert_eq!(walk["request"]["target"], "/first?x=1");
    assert!(!past.to_string().contains("secret=1"), "cookies are not kept: {past:#}");
    let rules = walk["stages"][0]["rules"].as_array().unwrap();
    let held: Vec<bool> = rules.iter().map(|rule| rule["held"].as_bool().unwrap()).collect();
    assert_eq!(held, [true, false, true]);
    assert!(rules.iter().all(|rule| rule.get("now").is_none()), "{rules:#?}");
    assert_eq!((&walk["backend"]["name"], &walk["outcome"]["action"]), (&"app".into(), &"forward".into()));
    let last = walk["stages"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["keyword"], &last["rules"][0]["held"]), (&"http-response".into(), &true.into()));
    let received = &walk["received"];
    assert_eq!((&received["status"], &received["reason"]), (&200.into(), &"OK".into()), "{walk:#}");
    assert!(received["headers"].to_string().contains("X-Origin"), "{received:#}");
    assert_eq!(walk["tracked"][0]["values"][0], serde_json::json!(["http_req_rate", 1]));

    let text = stdout(&evenkeel(&["why", id, "--pid-file", &running.pid_file()]));
    for part in [
        "request ",
        "generation 1 (in force)",
        "track-sc0 src table limits",
        "backend app",
        "status 200 OK from server good",
        "times: ",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }

    for wanted in [200, 200, 200, 429] {
        assert_eq!(running.get("/again"), wanted);
    }
    let denied = &running.why(&["--status", "429"], 1)[0];
    assert_eq!(
        (&denied["walk"]["outcome"]["code"], &denied["walk"]["outcome"]["action"]),
        (&"EV320".into(), &"deny".into())
    );
    assert!(denied["walk"]["outcome"]["place"].as_str().unwrap().contains("evenkeel.toml:"), "{denied:#}");
    assert_eq!(running.why(&["--path", "/again"], 4).len(), 4);
    assert_eq!(running.why(&["--path", "/again", "-n", "2"], 2).len(), 2);
    let list = stdout(&evenkeel(&["why", "--pid-file", &running.pid_file(), "--status", "429"]));
    assert!(list.contains("429  GET http://a.example/again") && list.contains("EV320 denied"), "{list}");
    let none = evenkeel(&["why", "no-such-id", "--pid-file", &running.pid_file()]);
    assert!(none.status.code() == Some(1) && stderr(&none).contains("no record was overwritten yet"), "{none:?}");
    let older = stderr(&evenkeel(&["why", "5f5e1000-0-1", "--pid-file", &running.pid_file()]));
    assert!(older.contains("5f5e1000-0-1") && older.contains("started at 2020-09-13T"), "{older}");
}

/// The first word of a line of `httplog` finds it too; of what rules see of a connection nothing is made up.
#[test]
fn connections_are_remembered_with_their_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let site = Ca::new("authority").leaf(&["a.example"]).write(dir.path(), "site.pem");
    let running = Running::start(&format!(
        "[frontend.secure]\nbind = [{{ address = \"@secure@\", tls = {{ certificate = {:?} }} }}]\n\
         tcp-request.session = [\"set-var(sess.v) ssl_fc_protocol\"]\ndefault_backend = \"app\"\n\
         http-request = [\"redirect scheme https unless {{ ssl_fc }}\", \"set-header X-A b if {{ var(sess.v) TLSv1.3 }}\"]\n\
         [listen.tcp]\nmode = \"tcp\"\nbind = [\"@tcp@\"]\nserver = [{{ name = \"dead\", address = \"@dead@\" }}]\n\
         tcp-request.content = [\"reject if {{ src 192.0.2.1 }}\"]\n",
        site.display().to_string()
    ));
    let tls = TlsClient::new("a.example", &[]);
    let (mut client, _) = RawClient::connect_tls(running.proxy.addr("secure"), &tls).unwrap();
    assert_eq!(client.ask("GET /tls HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap().status(), 200);
    let past = &running.why(&["--path", "/tls"], 1)[0];
    let rules = past["walk"]["stages"][1]["rules"].as_array().unwrap();
    assert_eq!((&rules[0]["held"], &rules[1]["held"]), (&false.into(), &true.into()), "{past:#}");
    assert!(rules.iter().all(|rule| rule.get("now").is_none()), "{rules:#?}");

    let mut lost = RawClient::connect(running.proxy.addr("tcp")).unwrap();
    let from = lost.local().to_string();
    assert!(lost.rest().unwrap().0.is_empty());
    let past = &running.why(&[&from], 1)[0];
    let walk = &past["walk"];
    assert_eq!((&past["server"], &past["tried"][0]["code"]), (&"dead".into(), &"EV200".into()), "{past:#}");
    assert_eq!((&walk["outcome"]["code"], &walk["backend"]["name"]), (&"EV200".into(), &"tcp".into()));
    assert_eq!(walk["stages"][0]["keyword"], "tcp-request.content");
    let list = stdout(&evenkeel(&["why", "--pid-file", &running.pid_file()]));
    assert!(list.contains(&format!("TCP from {from}  tcp/tcp/dead")), "{list}");
    let text = stdout(&evenkeel(&["why", &from, "--pid-file", &running.pid_file()]));
    assert!(text.starts_with("connection ") && text.contains("TCP to server dead"), "{text}");
    let nobody = stderr(&evenkeel(&["why", "192.0.2.7:1", "--pid-file", &running.pid_file()]));
    assert!(nobody.contains("nothing is remembered of a connection from 192.0.2.7:1"), "{nobody}");
}

/// A tunnel has given its buffers back by the time it ends.
#[test]
fn a_websocket_and_what_was_captured_are_remembered() {
    let echo = WsEcho::start();
    let running = Running::start(&format!(
        "[frontend.sockets]\nbind = [\"@sockets@\"]\ndefault_backend = \"echo\"\n\
         capture = {{ request = [{{ header = \"Host\", len = 32 }}, {{ header = \"Cookie\", len = 32 }}] }}\n\
         http-request = [\"set-header X-A b if {{ path_beg /ws }}\"]\n[backend.echo]\nserver = [\"{}\"]\n",
        echo.addr()
    ));
    let mut socket = WsClient::connect(running.proxy.addr("sockets"), "/ws?secret").unwrap();
    assert_eq!(socket.echo("hello").unwrap(), "hello");
    socket.close();
    let past = &running.why(&["--path", "/ws"], 1)[0];
    assert_eq!((&past["status"], &past["phrase"]), (&101.into(), &"Switching Protocols".into()), "{past:#}");
    let walk = &past["walk"];
    assert_eq!((&walk["request"]["target"], &walk["backend"]["name"]), (&"/ws?secret".into(), &"echo".into()));
    assert_eq!(walk["stages"][0]["rules"][0]["held"], true, "{past:#}");
    let captured = walk["captured"].as_array().unwrap();
    assert_eq!((captured.len(), &captured[0]["field"]), (1, &"Host".into()), "{past:#}");
    let id = past["id"].as_str().unwrap();
    let text = stdout(&evenkeel(&["why", id, "--pid-file", &running.pid_file()]));
    assert!(text.contains("captured of the request: Host = ") && text.contains("status 101 Switching"), "{text}");
}

#[test]
fn what_would_be_decided_otherwise_now_is_marked() {
    let mut running = Running::start("");
    assert_eq!(running.get("/then"), 200);
    // Both servers are usable for rules once the check is gone: the third rule would not hold any more.
    let text = RUNNING.replace("@good@", &running._good.addr().to_string());
    let text = text.replace(", check = { type = \"tcp\", interval = \"50ms\", fall = 1 }", "");
    let out = running.proxy.reload(&text);
    assert!(out.status.success(), "{out:?}");
    running.proxy.wait_csv("app/dead is not checked", |csv| {
        csv.lines().any(|line| line.starts_with("app,dead,") && line.contains(",no check,"))
    });
    let past = &running.why(&["--path", "/then"], 1)[0];
    let rule = &past["walk"]["stages"][0]["rules"][2];
    assert_eq!((&rule["held"], &rule["now"]), (&true.into(), &false.into()), "{past:#}");
    assert_eq!((&past["generation"], &past["in_force"]), (&1.into(), &false.into()));
    let text = stdout(&evenkeel(&["why", past["id"].as_str().unwrap(), "--pid-file", &running.pid_file()]));
    assert!(text.contains("then true, now false") && text.contains("no longer in force"), "{text}");
}

#[test]
fn a_failing_test_refuses_a_reload() {
    let mut running = Running::start("");
    let good = running._good.addr().to_string();
    let with = |test: &str| {
        let text = RUNNING.replace("@good@", &good).replace("threads = 2", "threads = 2\ntest-before-reload = true");
        format!("{text}\n[[test]]\nname = \"kept\"\nrequest = {{ url = \"/\" }}\nexpect = {test}\n")
    };
    let refused = running.proxy.reload(&with("{ status = 403 }"));
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    for part in ["FAILED  kept", "status: expected 403, got 200", "backend app", "generation 1 stays in force"] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    assert_eq!(running.get("/"), 200);
    let taken = running.proxy.reload(&with("{ backend = \"app\" }"));
    assert!(taken.status.success(), "{taken:?}");
    assert!(stdout(&taken).contains("generation 2"), "{taken:?}");
}
