//! What the keys of the decision engine turn into: rules of all kinds, tables, pages, captures, formats, tests, plans.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_acl::stick::{Data, KeyKind};
use evenkeel_config::handshake::{ClientCert, Handshake};
use evenkeel_config::plan::plan;
use evenkeel_config::*;

const WEB: &str =
    "[listen.web]\nbind = [\":80\"]\nserver = [\"10.0.0.1:80\", { name = \"s2\", address = \"10.0.0.2:80\" }]\n";

fn config(text: &str) -> Config {
    config_from_str(text).unwrap_or_else(|rendered| panic!("{text}\n{rendered}"))
}

/// `WEB` with more keys.
fn web(more: &str) -> Config {
    config(&format!("{WEB}{more}\n"))
}

fn names(list: &[Arc<str>]) -> Vec<&str> {
    list.iter().map(|name| &**name).collect()
}

#[test]
fn both_halves_of_a_listen_have_its_rules() {
    let config = web("http-request = [\"deny if { path /a }\"]\nredirect = [\"location /b if { path /c }\"]\n\
                      http-response = [\"del-header Server\"]\nhttp-after-response = [\"set-header A b\"]\n\
                      use-server = [\"s2 if { path /s2 }\"]\ntcp-request.inspect-delay = \"5s\"");
    let (front, back) = (&config.frontends[0], &config.backends[0]);
    assert_eq!((front.http_request.len(), back.http_request.len()), (1, 1));
    assert_eq!((front.redirect.len(), back.redirect.len()), (1, 1));
    assert_eq!((front.http_response.len(), back.http_response.len()), (1, 1));
    assert_eq!((front.http_after_response.len(), back.http_after_response.len()), (1, 1));
    assert!(back.is_half_of(front), "so that they run once");
    assert_eq!(back.use_server.targets, [Some(Arc::from("s2"))]);
    assert_eq!(front.tcp_request_inspect_delay, Some(Duration::from_secs(5)));
    assert_eq!(back.tcp_response_inspect_delay, None);
}

#[test]
fn a_backend_has_rules_of_its_own() {
    let config = web("[backend.b]\nserver = [\"10.0.0.3:80\"]\nhttp-request = [\"deny if { path /a }\"]\n\
                      http-response = [\"del-header Server\"]\nhttp-after-response = [\"set-header A b\"]");
    let back = &config.backends[1];
    assert_eq!((back.http_request.len(), back.http_response.len(), back.http_after_response.len()), (1, 1, 1));
}

#[test]
fn tables_are_named_after_their_section() {
    let config = web("stick-table = { type = \"string\", size = 5000 }\n\
                      [backend.limits]\nstick-table = { type = \"ip\", size = \"100k\", expire = \"10m\", nopurge = true, \
                      store = [\"http_req_rate(10s)\", \"gpc(3)\"] }");
    let [first, second] = &config.tables[..] else { panic!("{:?}", config.tables) };
    assert_eq!((&*first.name, first.key, first.size, first.expire), ("web", KeyKind::String(32), 5000, None));
    assert_eq!((&*second.name, second.key, second.size), ("limits", KeyKind::Ip, 102_400));
    assert_eq!((second.expire, second.nopurge), (Some(Duration::from_secs(600)), true));
    assert_eq!(second.store, [Data::parse("http_req_rate(10s)").unwrap(), Data::parse("gpc(3)").unwrap()]);
}

/// Loads with files out of a table.
fn with_files(text: &str) -> Config {
    let opts = LoadOptions {
        read: |path| match path.to_str() {
            Some("conf/a.http") => Ok(b"HTTP/1.0 404 Gone\nA: b\n\nfirst".to_vec()),
            Some("conf/b.http") => Ok(b"HTTP/1.1 503 Busy\r\n\r\nsecond".to_vec()),
            Some("conf/none") => Ok(Vec::new()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        },
        ..LoadOptions::closed()
    };
    let loaded = load_sources(&[Source { name: Arc::from("conf/main.toml"), text: Arc::from(text) }], &opts);
    let rendered = loaded.render(false);
    loaded.config.unwrap_or_else(|| panic!("{text}\n{rendered}"))
}

#[test]
fn own_pages_come_before_shared_ones_and_both_before_defaults() {
    let config = with_files(&format!(
        "[http-errors.site]\nerrorfile = {{ 403 = \"a.http\", 502 = \"a.http\", 503 = \"a.http\" }}\n\
         [defaults]\nerrorfile = {{ 502 = \"b.http\", 504 = \"b.http\" }}\n\
         {WEB}errorfiles = [{{ name = \"site\", codes = [403, 502, 503] }}]\nerrorfile = {{ 503 = \"b.http\", 408 = \"none\" }}\n\
         errorloc303 = {{ 500 = \"https://status.example.com/\" }}\n"
    ));
    let pages = &config.frontends[0].pages;
    let a = ErrorPage::Message(Arc::from(&b"HTTP/1.0 404 Gone\r\nA: b\r\n\r\nfirst"[..]));
    let b = ErrorPage::Message(Arc::from(&b"HTTP/1.1 503 Busy\r\n\r\nsecond"[..]));
    let location = ErrorPage::Redirect { status: 303, location: Arc::from("https://status.example.com/") };
    let found: Vec<(u16, &ErrorPage)> = pages.iter().collect();
    assert_eq!(found, [(403, &a), (408, &ErrorPage::Silent), (500, &location), (502, &a), (503, &b), (504, &b)]);
    assert_eq!((pages.get(502), pages.get(501)), (Some(&a), None));
    assert_eq!(config.backends[0].pages, *pages);
}

#[test]
fn described_pages_are_pages() {
    let text = "http-error = [\"status 404 content-type text/plain lf-string 'no %[path]'\"]";
    let pages = |text: &str| Arc::clone(&web(text).frontends[0].pages);
    let (one, moved) = (pages(text), pages(&format!("\n\n{text}")));
    assert!(matches!(one.get(404), Some(ErrorPage::Reply { reply, .. }) if reply.status() == 404), "{one:?}");
    assert!(one.same(&moved));
    assert!(!one.same(&pages(&text.replace("no ", "gone "))) && !one.same(&ErrorPages::default()));
    let inherited = config(&format!("{WEB}[defaults]\n{text}\n"));
    assert!(inherited.backends[0].pages.get(404).is_some());
}

/// What a rule names must be there; the nearest name is offered.
#[test]
fn rules_refer_to_what_is_there() {
    let whole = "stick-table = { type = \"ip\", size = 9, store = [\"http_req_rate(10s)\"] }\n\
        [userlist.staff]\nuser = [{ name = \"ann\", insecure-password = \"x\" }]\n\
        [http-errors.site]\n[frontend.f]\nbind = [\":81\"]\ndefault_backend = \"web\"\n";
    for (rule, name, hint) in [
        ("track-sc0 src table wb", "wb", "web"),
        ("deny if { src,table_http_req_rate(wbe) gt 1 }", "wbe", "web"),
        ("deny unless { http_auth(stuff) }", "stuff", "staff"),
        ("deny if { nbsrv(wep) 0 }", "wep", "web"),
        ("deny if { srv_is_up(web/s3) }", "web/s3", "s2"),
        ("deny errorfiles sites", "sites", "site"),
    ] {
        let text = format!("{WEB}{whole}http-request = [\"{rule}\"]\n");
        let opts = LoadOptions::closed();
        let loaded = load_sources(&[Source { name: Arc::from("a.toml"), text: Arc::from(text.as_str()) }], &opts);
        let errors: Vec<_> = loaded.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
        let [one] = errors[..] else { panic!("{rule}\n{}", loaded.render(false)) };
        assert!(text[one.span.clone()].contains(name) && text[one.span.clone()].len() < 20, "{}", loaded.render(false));
        assert!(one.hint.as_ref().is_some_and(|found| found.contains(hint)), "{}", loaded.render(false));
    }
}

/// Maps are read when the file is loaded, and one whose file is unchanged is taken over.
#[test]
fn a_map_survives_a_reload_while_its_file_does() {
    let text = format!("{WEB}http-request = [\"set-header X %[path,map(a.map,none)]\"]\n");
    let source = [Source { name: Arc::from("a.toml"), text: Arc::from(text) }];
    let opts = LoadOptions { read: |_| Ok(b"/a one\n/b two\n".to_vec()), ..LoadOptions::closed() };
    let changed = LoadOptions { read: |_| Ok(b"/a three\n".to_vec()), ..LoadOptions::closed() };
    let first = load_sources(&source, &opts);
    assert!(first.config.is_some(), "{}", first.render(false));
    let store = first.stores.get("a.map").unwrap();
    assert!(store.set(b"/a", b"edited").unwrap());
    let again = load_sources(&source, &LoadOptions { previous: Some(&first.stores), ..opts });
    assert!(Arc::ptr_eq(&store, &again.stores.get("a.map").unwrap()));
    let fresh = load_sources(&source, &LoadOptions { previous: Some(&first.stores), ..changed });
    assert_eq!(fresh.stores.get("a.map").unwrap().get(b"/a").as_deref(), Some(&b"three"[..]));
    assert_eq!(store.get(b"/a").as_deref(), Some(&b"edited"[..]), "the one that runs is not disturbed");
}

/// Slots that rules declare follow those of the keys.
#[test]
fn rules_add_capture_slots() {
    let config = web("capture.request = [{ header = \"Host\", len = 20 }]\n\
        http-request = [\"capture path len 12\", \"capture method id 0\"]");
    assert_eq!(
        config.frontends[0].captures.request,
        [Capture { header: Some(Arc::from("Host")), len: 20 }, Capture { header: None, len: 12 }]
    );
}

#[test]
fn tcp_rules_look_at_bytes() {
    let config = config(
        "[listen.t]\nmode = \"tcp\"\nbind = [\":1\"]\nserver = [\"10.0.0.1:80\"]\n\
         tcp-request = { connection = [\"reject if { src 10.0.0.1 }\"], session = [\"accept\"], \
         content = [\"accept if { req.len gt 5 }\", \"reject\"], inspect-delay = \"5s\" }\n\
         tcp-response = { content = [\"accept\"], inspect-delay = \"1s\" }\n",
    );
    let (front, back) = (&config.frontends[0], &config.backends[0]);
    assert_eq!(
        (front.tcp_request_connection.len(), front.tcp_request_session.len(), front.tcp_request_content.len()),
        (1, 1, 2)
    );
    assert_eq!((back.tcp_request_content.len(), back.tcp_response.len()), (2, 1));
    assert_eq!(back.tcp_response_inspect_delay, Some(Duration::from_secs(1)));
}

#[test]
fn files_are_found_beside_the_first_file() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("conf.d");
    fs::create_dir(&inner).unwrap();
    fs::write(folder.path().join("busy.http"), "HTTP/1.1 503 Busy\n\n").unwrap();
    let main = folder.path().join("main.toml");
    fs::write(&main, "include = [\"conf.d/*.toml\"]\n").unwrap();
    fs::write(inner.join("web.toml"), format!("{WEB}errorfile = {{ 503 = \"busy.http\" }}\n")).unwrap();
    let loaded = load(&[main]);
    assert_eq!(loaded.diagnostics, [], "{}", loaded.render(false));
    assert!(loaded.config.unwrap().frontends[0].pages.get(503).is_some());
}

#[test]
fn capture_slots_are_counted_in_order() {
    let config =
        web("capture = { request = [{ header = \"Host\", len = 20 }], cookie = { name = \"S=\", len = 9 } }\n\
                      declare-capture = { request = [30], response = [40] }");
    let captures = &config.frontends[0].captures;
    assert_eq!(
        captures.request,
        [Capture { header: Some(Arc::from("Host")), len: 20 }, Capture { header: None, len: 30 }]
    );
    assert_eq!(captures.response, [Capture { header: None, len: 40 }]);
    assert_eq!(captures.cookie, Some(CaptureCookie { name: Arc::from("S="), len: 9 }));
}

#[test]
fn a_captured_cookie_is_no_longer_than_all_may_be() {
    let len = |global: &str, asked: u32| {
        let of = format!("capture.cookie = {{ name = \"S=\", len = {asked} }}");
        let config = config(&format!("[global]\n{global}\n[listen.a]\nbind = \":1\"\nserver = \"10.0.0.1:1\"\n{of}\n"));
        config.frontends[0].captures.cookie.as_ref().unwrap().len
    };
    assert_eq!([len("", 63), len("", 64), len("tune.http.cookielen = 100", 300)], [63, 63, 100]);
    assert_eq!(len("tune.http.cookielen = 300", 300), 300);
}

#[test]
fn log_formats_are_words_or_texts() {
    let front = |more: &str| Arc::clone(&web(more).frontends[0]);
    for (word, want) in [("http", LogFormat::Http), ("tcp", LogFormat::Tcp), ("json", LogFormat::Json)] {
        let front = front(&format!("log-format = \"{word}\""));
        assert_eq!((front.log_format, front.log_text.as_ref()), (want, None), "{word}");
    }
    let text = |more: &str| front(more).log_text.as_ref().map(|format| format.text().to_owned());
    assert_eq!(text("log-format = \"%ci %ST\"").as_deref(), Some("%ci %ST"));
    assert_eq!(text("log-format = \"clf\"").as_deref(), Some(evenkeel_acl::LogFormat::HTTP_CLF));
    assert_eq!(text("[defaults]\nlog-format = \"%ci\"").as_deref(), Some("%ci"));
    assert_eq!(text("log-format = \"json\"\n[defaults]\nlog-format = \"%ci\""), None);
    let front = front("unique-id-format = \"%ci:%cp\"\nunique-id-header = \"X-ID\"\nerror-log-format = \"%ci\"");
    assert_eq!(front.unique_id_format.as_ref().map(|format| format.text()), Some("%ci:%cp"));
    assert_eq!(front.error_log_text.as_ref().map(|format| format.text()), Some("%ci"));
    assert_eq!(front.unique_id_header.as_deref(), Some("X-ID"));
    let error = config_from_str(&format!("{WEB}unique-id-format = \"a%ST\"\n")).unwrap_err();
    assert!(error.contains("EK0316"), "{error}");
}

#[test]
fn the_ring_of_decisions_has_safe_defaults() {
    let why = web("").global.why;
    assert_eq!((why.entries, why.sample, why.slow), (4096, 100, Some(Duration::from_secs(1))));
    assert!(names(&why.redact).contains(&"authorization") && names(&why.redact).contains(&"cookie"));
    let why = web("[global]\nwhy = { entries = 10, sample = 0, slow = \"0s\", redact = [\"X-Secret\", \"Cookie\"] }")
        .global
        .why;
    assert_eq!((why.entries, why.sample, why.slow), (10, 0, None));
    let mut redact = names(&why.redact);
    assert!(redact.contains(&"x-secret") && redact.contains(&"authorization"));
    redact.dedup();
    assert_eq!(redact.len(), why.redact.len(), "cookie stands once");
    assert!(web("[global]\nwhy.redact = []").global.why.redact.is_empty());
    let global = web("[global]\ntest-before-reload = true\ntune.stick-counters = 5").global;
    assert_eq!((global.test_before_reload, global.tune.stick_counters), (true, 5));
}

#[test]
fn monitors_fail_by_condition() {
    let config =
        web("acl.a = \"path /x\"\nmonitor-uri = \"/alive\"\nmonitor.fail = [\"if a\", \"unless { path /alive }\"]");
    let front = &config.frontends[0];
    assert_eq!(front.monitor_uri.as_deref(), Some("/alive"));
    assert_eq!(names(front.monitor_fail.acls_used()), ["a"]);
}

#[test]
fn a_test_is_read_whole() {
    let config = web("stick-table = { type = \"ip\", size = 9, store = [\"http_req_rate(10s)\", \"gpc(2)\"] }\n\
        [[test]]\nname = \"one\"\n\
        request = { method = \"POST\", url = \"https://a.example:8443/b?c#d\", headers = { X = [\"1\", \"2\"], Y = \"3\" }, \
        src = \"203.0.113.9\", dst = \"[::1]:80\", body = \"x\", tls = { alpn = \"h2\", early = true }, \
        client-cert = { s-dn = \"/CN=x\", serial = \"0A\", verify = 10 }, time = \"1970-01-02T00:00:01Z\" }\n\
        given = { servers = { \"web/s2\" = \"maint\" }, tables = [{ table = \"web\", key = \"203.0.113.9\", data = { \
        http_req_rate = 120, \"gpc(1)\" = 3 } }], vars = { \"txn.a\" = \"b\" }, resolve = { \"A.example.\" = \"192.0.2.1\" }, response = { status = 404, headers = { A = \"b\" }, body = \"no\" } }\n\
        expect = { backend = \"web\", server = [\"s2\", \"10.0.0.1:80\"], destination = \"192.0.2.1:80\", status = 301, header = { location = \"/x\", a = true, b = false }, \
        body = \"y\", action = \"redirect\", sent = { method = \"GET\", url = \"/z\", header = { c = \"d\" } }, log = \"one\", \
        tracked = { table = \"web\", key = \"203.0.113.9\", data = { \"gpc(1)\" = 4 } } }");
    let arc = |text: &str| Arc::<str>::from(text);
    let want = Test {
        name: arc("one"),
        place: Place { file: arc("test.toml"), line: 5 },
        request: TestRequest {
            handshake: Handshake {
                alpn: Some("h2".into()),
                early: true,
                client: Some(ClientCert {
                    s_dn: "/CN=x".into(),
                    serial: "0A".into(),
                    verify: 10,
                    ..ClientCert::default()
                }),
                ..Handshake::default()
            },
            method: arc("POST"),
            url: arc("https://a.example:8443/b?c#d"),
            tls: true,
            host: arc("a.example:8443"),
            target: arc("/b?c"),
            headers: vec![(arc("X"), arc("1")), (arc("X"), arc("2")), (arc("Y"), arc("3"))],
            src: "203.0.113.9:50000".parse().unwrap(),
            dst: Some("[::1]:80".parse().unwrap()),
            frontend: arc("web"),
            body: arc("x"),
            time: 86_401,
        },
        given: Given {
            servers: vec![(arc("web"), arc("s2"), GivenState::Maint)],
            tables: vec![GivenEntry {
                table: 0,
                key: arc("203.0.113.9"),
                data: vec![(arc("http_req_rate"), 120), (arc("gpc(1)"), 3)],
            }],
            vars: vec![(arc("txn.a"), arc("b"))],
            addresses: vec![(arc("a.example"), "192.0.2.1".parse().unwrap())],
            response: Some(GivenResponse { status: 404, headers: vec![(arc("A"), arc("b"))], body: arc("no") }),
        },
        expect: Expected {
            backend: Some(arc("web")),
            server: vec![arc("s2"), arc("10.0.0.1:80")],
            destination: Some("192.0.2.1:80".parse().unwrap()),
            status: Some(301),
            headers: vec![
                (arc("location"), ExpectedField::Is(arc("/x"))),
                (arc("a"), ExpectedField::Present),
                (arc("b"), ExpectedField::Absent),
            ],
            body: Some(arc("y")),
            action: Some(ExpectedAction::Redirect),
            sent: Some(ExpectedSent {
                method: Some(arc("GET")),
                target: Some(arc("/z")),
                headers: vec![(arc("c"), ExpectedField::Is(arc("d")))],
            }),
            log: vec![arc("one")],
            tracked: vec![GivenEntry { table: 0, key: arc("203.0.113.9"), data: vec![(arc("gpc(1)"), 4)] }],
        },
    };
    assert_eq!(config.tests, [want]);
}

#[test]
fn a_test_finds_its_frontend() {
    let two = format!("{WEB}[listen.api]\nbind = [\":443\"]\nserver = [\"10.0.0.1:80\"]\n");
    for (request, want) in [
        ("url = \"http://a/\"", "web"),
        ("url = \"https://a/\"", "api"),
        ("url = \"http://a:443/\"", "api"),
        ("url = \"/\", dst = \"10.0.0.9:443\"", "api"),
        ("url = \"https://a/\", frontend = \"web\"", "web"),
    ] {
        let config = config(&format!("{two}[[test]]\nrequest = {{ {request} }}\nexpect.status = 200\n"));
        assert_eq!(&*config.tests[0].request.frontend, want, "{request}");
        assert!(config.tests[0].name.starts_with("GET "));
    }
}

#[test]
fn a_plan_names_what_the_rules_and_tables_become() {
    let old = web("http-response = [\"del-header A\"]\nstick-table = { type = \"ip\", size = 9 }\n\
                   [backend.t]\nstick-table = { type = \"ip\", size = 9 }");
    let new = web("http-response = [\"del-header B\"]\nstick-table = { type = \"ip\", size = 10 }\n\
                   use-server = [\"s2\"]\nlog-format = \"%ci\"\nmonitor-uri = \"/a\"\n\
                   [backend.u]\nstick-table = { type = \"ip\", size = 9 }\n[global]\nwhy.entries = 1");
    assert!(plan(&old, &old).is_empty() && plan(&new, &new).is_empty());
    let plan = plan(&old, &new);
    let text = plan.to_string();
    for line in [
        "~ frontend web: monitor-uri none -> /a, log-format, http-response",
        "~ backend web: use-server",
        "~ table web: size 9 -> 10",
        "+ table u",
        "- table t",
        "~ global: why",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert_eq!(plan.to_json()["tables"]["added"][0], "u");
}

/// A reload that moves lines changes no rule.
#[test]
fn moved_lines_are_no_change() {
    let text = "http-response = [\"del-header A\"]\nmonitor-uri = \"/a\"\nmonitor.fail = [\"if { path /x }\"]\nredirect = [\"location /b if { path /c }\"]";
    let moved = config(&format!("# one\n# two\n{WEB}{text}\n"));
    assert!(plan(&web(text), &moved).is_empty());
}

/// HAProxy's order: rules of named defaults first, with the acls that stand there.
#[test]
fn rules_of_named_defaults_run_before_those_of_the_section() {
    let config = config(
        "[defaults.base]\nacl.no = \"path /base\"\nhttp-request = [\"deny if no\"]\n\
         tcp-request = { connection = [\"accept\"], inspect-delay = \"3s\" }\n\
         [defaults.more]\nfrom = \"base\"\nhttp-request = [\"set-header A 1\"]\n\
         [frontend.f]\nfrom = \"more\"\nbind = [\":80\"]\ndefault_backend = \"b\"\nacl.no = \"path /own\"\n\
         http-request = [\"allow if no\"]\n\
         [frontend.t]\nfrom = \"base\"\nbind = [\":81\"]\n\
         [defaults.app]\nhttp-response = [\"del-header Server\"]\ntcp-response.content = [\"accept\"]\n\
         [backend.b]\nfrom = \"app\"\nserver = [\"10.0.0.1:80\"]\nhttp-response = [\"del-header X\"]\n",
    );
    let (f, t, b) = (&config.frontends[0], &config.frontends[1], &config.backends[0]);
    let text = format!("{:?}", f.http_request);
    let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle}: {text}"));
    assert!(at("deny if no") < at("set-header A 1") && at("set-header A 1") < at("allow if no"));
    assert!(at("path /base") < at("path /own"), "each list has the acls of its own section");
    assert_eq!((f.http_request.len(), f.tcp_request_connection.len(), t.http_request.len()), (3, 1, 1));
    assert_eq!(f.tcp_request_inspect_delay, Some(Duration::from_secs(3)));
    assert_eq!((b.http_response.len(), b.tcp_response.len(), b.http_request.len()), (2, 1, 0));
}

#[test]
fn a_backend_fills_slots_of_frontends_that_stand_behind_it() {
    let config = config(
        "[backend.b]\nserver = [\"10.0.0.1:80\"]\nhttp-request = [\"capture path id 0\", \"capture path id 1\"]\n\
         [frontend.f]\nbind = [\":80\"]\ndefault_backend = \"b\"\ndeclare-capture.request = [10]\n\
         http-request = [\"capture method len 9\"]\n",
    );
    let text = format!("{:?}", config.backends[0].http_request);
    assert!(text.contains("(\"f\", 10)") && text.contains("(\"f\", 9)"), "{text}");
}

/// Told once, whoever takes them.
#[test]
fn mistakes_in_the_rules_of_defaults() {
    let told = |text: &str| {
        let rendered = config_from_str(text).unwrap_err();
        rendered.matches("error[").count()
    };
    let two = "[frontend.a]\nfrom = \"d\"\nbind = [\":80\"]\n[frontend.b]\nfrom = \"d\"\nbind = [\":81\"]\n";
    assert_eq!(told(&format!("[defaults.d]\nhttp-request = [\"dny\"]\n{two}")), 1);
    // The acls of a defaults section are its own.
    assert_eq!(told(&format!("[defaults.d]\nacl.x = \"path /\"\n{two}http-request = [\"deny if x\"]\n")), 1);
}

#[test]
fn an_acl_is_asked_for_by_its_name() {
    let loaded = evenkeel_config::load_sources(
        &[evenkeel_config::Source {
            name: "a.toml".into(),
            text: format!("{WEB}acl.api = \"path_beg /api\"\nlog-format = \"%[acl(api)]\"\nhttp-request = [\"deny if {{ acl(!api,METH_GET) }}\"]\n")
                .into(),
        }],
        &evenkeel_config::LoadOptions::closed(),
    );
    assert!(loaded.config.is_some() && loaded.diagnostics.is_empty(), "{}", loaded.render(false));
    assert!(config_from_str(&format!("{WEB}http-request = [\"deny if {{ acl(none) }}\"]\n")).is_err());
}
