//! Certificates and keys of tickets while the process runs: replaced, watched, listed, shared, and fetched for.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use evenkeel_testkit::certs::{Ca, Leaf, LeafOptions};
use evenkeel_testkit::{
    Act, Ask, Client, DEADLINE, DeadPort, Load, Origin, Proto, Proxy, RawClient, Script, Session, TlsClient,
    TlsClientOptions, Via, binary,
};

/// The name in every certificate.
const NAME: &str = "test.example";

/// A balancer with one TLS frontend.
struct Setup {
    ca: Ca,
    folder: tempfile::TempDir,
    _origin: Origin,
    proxy: Proxy,
}

impl Setup {
    /// `tls` is the rest of the bind's `tls` table, with `$` for the folder; `files` are written into it first.
    fn start(tls: &str, files: impl Fn(&Ca, &Path)) -> Setup {
        let (ca, folder) = (Ca::new("tests"), tempfile::tempdir().unwrap());
        files(&ca, folder.path());
        let origin = Origin::start(answers());
        let config = config(tls, folder.path(), &origin);
        Setup { proxy: Proxy::start(&config), ca, folder, _origin: origin }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A client that asks for `name`, believes in our authority only, and resumes nothing.
    fn client(&self, name: &str) -> TlsClient {
        let options = TlsClientOptions { ca: Some(&self.ca), no_resumption: true, ..TlsClientOptions::default() };
        TlsClient::with(name, &options)
    }

    fn handshake(&self, name: &str) -> Session {
        let (_, session) = RawClient::connect_tls(self.proxy.addr("web"), &self.client(name)).unwrap();
        session
    }

    /// Whether the certificate that a new connection gets is this one.
    fn serves(&self, name: &str, leaf: &Leaf) -> bool {
        self.handshake(name).peer[0] == leaf.chain()[0].as_ref()
    }

    fn wait_serves(&self, name: &str, leaf: &Leaf) {
        let end = Instant::now() + DEADLINE;
        while !self.serves(name, leaf) {
            assert!(Instant::now() < end, "the certificate for {name} was not taken in");
        }
    }

    /// Runs `evenkeel WORDS --pid-file ...` with `input` as its standard input.
    fn run(&self, words: &[&str], input: &str) -> Output {
        let mut command = Command::new(binary());
        command.arg(words[0]).arg("--pid-file").arg(self.proxy.dir().join("pid")).args(&words[1..]);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // One that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words, "");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, words: &[&str], input: &str) -> String {
        let output = self.run(words, input);
        assert!(!output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn json(&self, words: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(words)).unwrap()
    }
}

fn answers() -> Script {
    Script::with(|_, _| vec![Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())])
}

fn config(tls: &str, folder: &Path, origin: &Origin) -> String {
    let tls = tls.replace('$', &folder.display().to_string());
    format!(
        "[global]\nthreads = 2\nadmin = {{ listen = \"@admin@\" }}\n\n[frontend.web]\n\
         bind = [{{ address = \"@web@\", tls = {{ {tls} }} }}]\ndefault_backend = \"app\"\n\n\
         [backend.app]\nserver = [\"{}\"]\n",
        origin.addr()
    )
}

fn one(ca: &Ca, folder: &Path) {
    ca.leaf(&[NAME]).write(folder, "site.pem");
}

const SITE: &str = "certificate = \"$/site.pem\"";

#[test]
fn a_hundred_replacements_and_reloads_under_load_fail_no_request() {
    let setup = Setup::start(SITE, one);
    let path = setup.path("site.pem");
    let name = path.to_str().unwrap().to_owned();
    let client = setup.client(NAME);
    let loads =
        [Proto::H1, Proto::H2].map(|proto| Load::start_via(setup.proxy.addr("web"), &Via::tls(proto, &client), "/", 2));
    let (mut kept, _) = RawClient::connect_tls(setup.proxy.addr("web"), &client.offering(&["http/1.1"])).unwrap();
    for n in 0..100 {
        let leaf = setup.ca.leaf(&[NAME]);
        let output = setup.run(&["cert", "replace", &name, "--pem", "-"], &leaf.combined());
        assert!(output.status.success(), "replacement {n}: {output:?}");
        assert!(setup.serves(NAME, &leaf), "replacement {n}");
        if n % 10 == 0 {
            // What was sent outlives a reload, since the file did not change.
            assert!(setup.proxy.reload_command().status.success());
            assert!(setup.serves(NAME, &leaf), "reload {n}");
            loads.iter().for_each(|load| load.wait_more(5));
        }
    }
    assert_eq!(
        kept.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status(),
        200,
        "a connection keeps its certificate"
    );
    for load in loads {
        let tally = load.stop();
        assert!(tally.failures.is_empty(), "{} good, then: {:?}", tally.good, tally.failures);
    }
    assert_eq!(setup.proxy.metric("evenkeel_certificate_updates_total{result=\"ok\"}"), Some(100.0));

    // The file wins as soon as it holds something else.
    let leaf = setup.ca.leaf(&[NAME]);
    leaf.write(setup.folder.path(), "site.pem");
    assert!(setup.proxy.reload_command().status.success());
    assert!(setup.serves(NAME, &leaf));
    let again = setup.ca.leaf(&[NAME]);
    again.write(setup.folder.path(), "site.pem");
    assert!(setup.ok(&["cert", "reload"]).contains(&name));
    assert!(setup.serves(NAME, &again));
    assert_eq!(setup.ok(&["cert", "reload"]), "nothing changed\n");
}

#[test]
fn what_cannot_be_served_changes_nothing_and_is_told_as_at_load() {
    let setup = Setup::start(SITE, one);
    let path = setup.path("site.pem");
    let name = path.to_str().unwrap().to_owned();
    let (first, other) = (setup.ca.leaf(&[NAME]), setup.ca.leaf(&["other.example"]));
    assert!(setup.run(&["cert", "replace", &name, "--pem", "-"], &first.combined()).status.success());
    for (pem, word) in [
        (first.with_key_of(&other).combined(), "does not belong"),
        (first.cert_pem.clone(), "no private key"),
        ("nothing".to_owned(), "no certificate"),
        (format!("{}{}", first.cert_pem, evenkeel_testkit::certs::ENCRYPTED_KEY), "openssl"),
    ] {
        let said = setup.refused(&["cert", "replace", &name, "--pem", "-"], &pem);
        assert!(said.contains("nothing was changed") && said.contains(word), "{word}: {said}");
        assert!(setup.serves(NAME, &first), "{word}");
    }
    assert!(setup.refused(&["cert", "replace", "/none.pem", "--pem", "-"], "").contains("cert list"));
    // Its own file, broken and good again.
    std::fs::write(&path, "nothing").unwrap();
    let said = setup.refused(&["cert", "replace", &name], "");
    assert!(said.contains(&name) && said.contains("no certificate"), "{said}");
    assert!(setup.refused(&["cert", "reload"], "").contains("no certificate"));
    assert!(setup.serves(NAME, &first));
    other.write(setup.folder.path(), "site.pem");
    let said = setup.ok(&["cert", "replace", &name]);
    assert!(said.contains("other.example") && said.contains(&format!("not for {NAME} any more")), "{said}");
    assert!(setup.proxy.metric("evenkeel_certificate_updates_total{result=\"failed\"}").unwrap() >= 7.0);
    setup.proxy.process().wait_line(0, "about a refusal", |line| line.contains("was not replaced"));
}

#[test]
fn certificates_are_listed_shown_and_exported() {
    let soon = LeafOptions { until_days: 5, from_days: -300, ..LeafOptions::new(&["soon.example", "*.soon.example"]) };
    let setup = Setup::start("certificate = [\"$/site.pem\", \"$/soon.pem\"]", |ca, folder| {
        one(ca, folder);
        ca.sign(&soon).write(folder, "soon.pem");
    });
    let list = setup.ok(&["cert", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    // Five days less the moments since it was made.
    assert!(lines.len() == 2 && lines[0].starts_with("!! expires in "), "the first to end comes first: {list}");
    assert!(lines[1].contains(NAME) && !lines[1].starts_with('!'), "{list}");
    let json = setup.json(&["cert", "list", "--json"]);
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!((&json[0]["lapse"], &json[0]["frontends"]), (&"week".into(), &serde_json::json!(["web"])));
    for word in ["x.soon.example", "soon.pem", "soon.example", setup.path("soon.pem").to_str().unwrap()] {
        if word.starts_with("x.") {
            assert!(setup.refused(&["cert", "show", word], "").contains("cert list"));
            continue;
        }
        let shown = setup.ok(&["cert", "show", word]);
        assert!(shown.contains("*.soon.example") && shown.contains("ECDSA P-256") && !shown.contains(NAME), "{shown}");
    }
    // The same everywhere: metric, JSON, page, problems, log.
    let path = setup.path("soon.pem").display().to_string();
    let metric = format!("evenkeel_certificate_expiry_timestamp_seconds{{path=\"{path}\",name=\"soon.example\"}}");
    assert_eq!(setup.proxy.metric(&metric), json[0]["not_after"].as_f64());
    let api: serde_json::Value = serde_json::from_str(&setup.proxy.admin("/api/v1/stats").text()).unwrap();
    assert_eq!(api["certificates"], json);
    assert_eq!(
        (&api["problems"][0]["state"], &api["problems"][0]["certificate"]),
        (&"LAPSES".into(), &path.clone().into())
    );
    let page = setup.proxy.admin("/").text();
    assert!(page.contains(&path) && page.contains("class=\"certificates\""), "{page}");
    setup
        .proxy
        .process()
        .wait_line(0, "before it lapses", |line| line.contains("soon.example") && line.contains("renew"));

    // Handshakes by kind, failures, connections with TLS.
    let tls = TlsClient::new(NAME, &[]);
    for _ in 0..2 {
        let (mut client, _) = RawClient::connect_tls(setup.proxy.addr("web"), &tls).unwrap();
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap().status(), 200);
    }
    let kind = |kind| format!("evenkeel_frontend_tls_handshakes_total{{proxy=\"web\",kind=\"{kind}\"}}");
    setup.proxy.wait_metric(&kind("full"), 1.0);
    setup.proxy.wait_metric(&kind("resumed"), 1.0);
    setup.proxy.wait_metric("haproxy_process_ssl_connections_total", 2.0);
    let via = Via::tls(Proto::H2, &TlsClient::new(NAME, &[]));
    let mut h2 = Client::connect(setup.proxy.addr("web"), &via).unwrap();
    (0..3).for_each(|_| assert_eq!(h2.ask(&Ask::get("/")).unwrap().status, 200));
    drop(h2);
    let cells = |column: &str| {
        let csv = setup.proxy.admin("/stats;csv").text();
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let at = lines.next().unwrap().iter().position(|name| *name == column).unwrap();
        lines.find(|line| line[..2] == ["web", "FRONTEND"]).unwrap()[at].to_owned()
    };
    assert_eq!(["h1sess", "h2sess", "h1req", "h2req"].map(cells), ["2", "1", "2", "3"]);
    let mut plain = RawClient::connect(setup.proxy.addr("web")).unwrap();
    assert_eq!(plain.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status(), 400);
    setup.proxy.wait_metric("evenkeel_frontend_tls_handshake_failures_total{proxy=\"web\"}", 1.0);
    setup.proxy.wait_metric("evenkeel_tls_connections", 0.0);
    let (_open, _) = RawClient::connect_tls(setup.proxy.addr("web"), &tls).unwrap();
    setup.proxy.wait_metric("evenkeel_tls_connections", 1.0);
}

#[test]
fn a_watched_folder_is_taken_in_and_what_is_broken_stays() {
    let setup = Setup::start("certificate = \"$\", watch = true", |ca, folder| {
        ca.leaf(&["a.example"]).write(folder, "a.pem");
        ca.leaf(&["b.example"]).write(folder, "b.pem");
    });
    let first = setup.ca.leaf(&["a.example"]);
    first.write(setup.folder.path(), "a.pem");
    setup.wait_serves("a.example", &first);
    // A new one beside it, and one that goes.
    let new = setup.ca.leaf(&["c.example"]);
    new.write(setup.folder.path(), "c.pem");
    setup.wait_certificates(3);
    assert!(setup.serves("c.example", &new));
    std::fs::remove_file(setup.path("c.pem")).unwrap();
    setup.wait_certificates(2);
    // One is broken and another renewed at the same time: the good one is taken in, the broken one stays.
    let before = setup.handshake("b.example").peer;
    let mark = setup.proxy.process().mark();
    let second = setup.ca.leaf(&["a.example"]);
    std::fs::write(setup.path("b.pem"), "nothing").unwrap();
    second.write(setup.folder.path(), "a.pem");
    setup.wait_serves("a.example", &second);
    let line = setup.proxy.process().wait_line(mark, "about the broken one", |line| line.contains("b.pem"));
    assert!(line.contains("no certificate") && line.contains("stays"), "{line}");
    assert_eq!(setup.handshake("b.example").peer, before);
    // Repaired.
    let third = setup.ca.leaf(&["b.example"]);
    third.write(setup.folder.path(), "b.pem");
    setup.wait_serves("b.example", &third);
    assert_eq!(setup.json(&["cert", "show", "b.example", "--json"])[0]["watched"], true);
}

impl Setup {
    fn wait_certificates(&self, wanted: usize) {
        let end = Instant::now() + DEADLINE;
        loop {
            let found = self.json(&["cert", "list", "--json"]).as_array().unwrap().len();
            if found == wanted {
                return;
            }
            assert!(Instant::now() < end, "{found} certificates, not {wanted}");
        }
    }
}

#[test]
fn tickets_are_shared_by_the_workers_and_outlive_a_reload() {
    let setup = Setup::start(SITE, one);
    let options = TlsClientOptions { ca: Some(&setup.ca), ..TlsClientOptions::default() };
    let client = TlsClient::with(NAME, &options);
    let resumed = |when: &str| {
        let (mut raw, session) = RawClient::connect_tls(setup.proxy.addr("web"), &client).unwrap();
        // The ticket of TLS 1.3 comes with the first answer.
        let answer = raw.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        assert_eq!(answer.status(), 200, "{when}");
        session.resumed
    };
    assert!(!resumed("at first"));
    // Two workers: whichever takes a connection opens the ticket of the other.
    for n in 0..20 {
        assert!(resumed("again"), "{n}");
    }
    assert!(setup.proxy.reload_command().status.success());
    assert!(resumed("after a reload"));
    let keys = |shown: &serde_json::Value| shown[0]["keys"].as_array().unwrap().clone();
    let before = keys(&setup.json(&["tickets", "show", "--json"]));
    assert!(setup.ok(&["tickets", "rotate"]).contains("encrypts"));
    let after = keys(&setup.json(&["tickets", "show", "--json"]));
    assert_eq!((after.len(), &after[0]["name"]), (before.len() + 1, &before[0]["name"]));
    assert!(resumed("with the key before"));
    assert!(resumed("with the new key"));
    assert!(setup.refused(&["tickets", "set", "AAAA"], "").contains("ticket-keys"));
}

#[test]
fn keys_of_a_file_are_shared_by_machines_and_one_is_added_at_run_time() {
    // Keys of 48 bytes of one kind, in base64.
    let (a, b, c, d) = ("A".repeat(64), "B".repeat(64), "C".repeat(64), "D".repeat(64));
    let keys = |keys: [&String; 3]| format!("{}\n{}\n{}\n", keys[0], keys[1], keys[2]);
    let tls = format!("{SITE}, ticket-keys = \"$/keys\"");
    let first = Setup::start(&tls, |ca, folder| {
        one(ca, folder);
        std::fs::write(folder.join("keys"), keys([&a, &b, &c])).unwrap();
    });
    let second = Setup::start(&tls, |ca, folder| {
        one(ca, folder);
        std::fs::write(folder.join("keys"), keys([&a, &b, &c])).unwrap();
    });
    let client = TlsClient::new(NAME, &[]);
    let resumed = |setup: &Setup| {
        let (mut raw, session) = RawClient::connect_tls(setup.proxy.addr("web"), &client).unwrap();
        assert_eq!(raw.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap().status(), 200);
        session.resumed
    };
    assert!(!resumed(&first));
    assert!(resumed(&second), "another machine opens the ticket");
    // A fourth key: `c` encrypts from now on, and the other machine knows it already.
    let output = first.run(&["tickets", "set", "-"], &format!("{d}\n"));
    assert!(output.status.success(), "{output:?}");
    let shown = first.json(&["tickets", "show", "--json"]);
    let of_file = shown.as_array().unwrap().iter().find(|keys| keys["file"].is_string()).unwrap();
    let encrypts: Vec<bool> = of_file["keys"].as_array().unwrap().iter().map(|key| key["encrypts"] == true).collect();
    assert_eq!(encrypts, [false, true, false]);
    assert!(resumed(&first) && resumed(&second));
    assert!(!shown.to_string().contains(&d), "no secret is shown");
    assert!(first.proxy.reload_command().status.success());
    assert_eq!(first.json(&["tickets", "show", "--json"]), shown, "what was set outlives a reload");
}

#[test]
fn ocsp_responses_are_fetched_checked_and_stapled() {
    let ca = Arc::new(Ca::new("tests"));
    let (responder, asked) = responder(ca.clone());
    let dead = DeadPort::new();
    let folder = tempfile::tempdir().unwrap();
    let site = |name: &str, ocsp: String| {
        let leaf = ca.sign(&LeafOptions { ocsp, ..LeafOptions::new(&[name]) });
        Leaf { chain_pem: ca.pem(), ..leaf }.write(folder.path(), &format!("{name}.pem"));
    };
    site("good.example", format!("http://{responder}/ocsp"));
    site("dead.example", format!("http://{}/ocsp", dead.addr()));
    site("none.example", String::new());
    let origin = Origin::start(answers());
    let proxy = Proxy::start(&config("certificate = \"$\", ocsp-update = true", folder.path(), &origin));
    let setup = Setup { ca: Ca::new("unused"), folder, _origin: origin, proxy };

    let log = setup.proxy.process();
    let line =
        log.wait_line(0, "about the fetch", |line| line.contains("<OCSP-UPDATE>") && line.contains("good.example"));
    assert!(line.contains("good.example.pem 1 \"Update successful\" 0 1"), "{line}");
    let line =
        log.wait_line(0, "about the dead one", |line| line.contains("<OCSP-UPDATE>") && line.contains("dead.example"));
    assert!(line.contains("dead.example.pem 2 \"HTTP error\" 1 0: ") && line.contains("refused"), "{line}");
    let of = |name: &str| setup.json(&["cert", "show", name, "--json"])[0]["ocsp"].clone();
    let good = of("good.example");
    assert_eq!((&good["until"], &good["succeeded"]), (&serde_json::json!(2_493_072_000i64), &1.into()));
    let dead = of("dead.example");
    assert_eq!((&dead["until"], &dead["failed"]), (&serde_json::Value::Null, &1.into()));
    assert!(dead["error"].as_str().unwrap().contains("refused"), "{dead}");
    assert!(of("none.example")["error"].as_str().unwrap().contains("no responder"));
    let path = setup.path("good.example.pem").display().to_string();
    let metric = format!("evenkeel_certificate_ocsp_expiry_timestamp_seconds{{path=\"{path}\",name=\"good.example\"}}");
    assert_eq!(setup.proxy.metric(&metric), Some(2_493_072_000.0));
    assert_eq!(setup.proxy.metric("evenkeel_ocsp_updates_total{result=\"ok\"}"), Some(1.0));
    assert_eq!(setup.proxy.metric("evenkeel_ocsp_updates_total{result=\"failed\"}"), Some(1.0));
    // What was fetched outlives a reload, and nobody is asked again.
    assert!(setup.proxy.reload_command().status.success());
    assert_eq!(of("good.example"), good);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// An OCSP responder that says of every certificate that it is good, and counts the requests that it answers.
fn responder(ca: Arc<Ca>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let head = head.to_ascii_lowercase();
            if !head.starts_with("post /ocsp http/1.1\r\n")
                || !head.contains("content-type: application/ocsp-request\r\n")
            {
                continue;
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut request = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut request).unwrap();
            let body = ca.ocsp(&request);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: ";
            let answer = [format!("{head}{}\r\n\r\n", body.len()).as_bytes(), &body].concat();
            count.fetch_add(1, Ordering::SeqCst);
            reader.get_mut().write_all(&answer).unwrap();
        }
    });
    (addr, asked)
}
