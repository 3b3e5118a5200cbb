//! Sessions: resumed by ticket and by id, over workers and reloads; the key log; connections that outlive a reload.

use std::process::{Command, Stdio};

use evenkeel_testkit::tls::version;
use evenkeel_testkit::{Ask, Client, Proto, Proxy, RawClient, TlsClientOptions, Via, free_port};
use evenkeel_tests::watch::Watch;

use crate::setup::{Site, ask, config, listening, openssl, shown, telling};

fn resumed(proxy: &Proxy, name: &str, client: &evenkeel_testkit::TlsClient) -> (String, bool) {
    let (text, session) = ask(proxy.addr(name), client).unwrap();
    (text, session.resumed)
}

/// Whichever worker accepts the second connection knows what the first one gave out; a reload changes nothing about it.
#[test]
fn sessions_are_resumed_by_every_worker_and_after_a_reload() {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    let shows = "%[ssl_fc_is_resumed]";
    let text = config(&[
        telling("tickets", &format!("certificate = {cert:?}"), shows),
        telling("ids", &format!("certificate = {cert:?}, tickets = false"), shows),
        telling("other", &format!("certificate = {:?}", site.leaf(&["b.example"])), shows),
    ])
    .replacen("threads = 1", "threads = 2", 1);
    let mut watch = Watch::start(&text);
    for versions in [&[&version::TLS13][..], &[&version::TLS12]] {
        let version = versions[0];
        for name in ["tickets", "ids"] {
            let options = TlsClientOptions { versions, ..TlsClientOptions::default() };
            let client = site.client_with("a.example", options);
            assert_eq!(resumed(&watch.proxy, name, &client), ("0".to_owned(), false), "{version:?} {name}");
            for n in 0..8 {
                assert_eq!(resumed(&watch.proxy, name, &client), ("1".to_owned(), true), "{version:?} {name} {n}");
            }
            assert!(watch.proxy.reload(&text).status.success());
            for n in 0..8 {
                assert_eq!(resumed(&watch.proxy, name, &client), ("1".to_owned(), true), "{version:?} {name} {n}");
            }
        }
    }
}

/// The keys of a connection, in the file that the environment names, in the format that other programs read.
#[test]
fn keys_are_written_where_it_is_asked() {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    for (asked, more, written) in [("true", "", true), ("false", "tune.ssl.capture-buffer-size = 1\n", false)] {
        let log = site.dir.path().join(format!("keys-{asked}.log"));
        let (web, admin) = (free_port(), free_port());
        let text = format!(
            "[global]\nthreads = 1\nadmin = {{ listen = \"{admin}\" }}\ntune.ssl.keylog = {asked}\n{more}\n{}",
            telling("web", &format!("certificate = {cert:?}"), "%[ssl_fc_client_random,hex]")
                .replace("@web@", &web.to_string())
        );
        let path = site.file(&format!("keylog-{asked}.toml"), &text);
        let mut command = Command::new(evenkeel_testkit::binary());
        command.args(["run", "-c", &path]).env("SSLKEYLOGFILE", &log);
        let process = evenkeel_testkit::Process::spawn_with("evenkeel", &mut command, Stdio::null());
        process.wait_line(0, "that it listens", |l| l.contains("frontend web listens on"));
        let (random, _) = ask(web, &site.client("a.example")).unwrap();
        assert_eq!(random.len(), 64, "{random}");
        let keys = std::fs::read_to_string(&log).unwrap_or_default();
        let found = keys.lines().any(|l| {
            l.to_ascii_lowercase()
                .starts_with(&format!("client_handshake_traffic_secret {}", random.to_ascii_lowercase()))
        });
        assert_eq!(found, written, "{asked}: {keys}");
        if written {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&log).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & 0o077, 0, "{mode:o}: whoever reads it reads the traffic");
        }
    }
}

/// A reload with another certificate: connections that stand go on, new ones see the new one.
#[test]
fn a_reload_keeps_connections() {
    let site = Site::new();
    let shows = "%[ssl_f_serial,hex]";
    let text = |cert: &str| config(&[telling("web", &format!("certificate = {cert:?}"), shows)]);
    let one = site.put(&site.ca.leaf(&["a.example"]), "one");
    let two = site.put(&site.ca.leaf(&["a.example"]), "two");
    let mut watch = Watch::start(&text(&one));
    let client = site.client("a.example");
    let (mut h1, _) = RawClient::connect_tls(watch.proxy.addr("web"), &client).unwrap();
    let mut h2 = Client::connect(watch.proxy.addr("web"), &Via::tls(Proto::H2, &client)).unwrap();
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let old = h1.ask(get).unwrap().text();
    assert_eq!(h2.ask(&Ask::get("/")).unwrap().text(), old);
    for n in 0..6 {
        let next = if n % 2 == 0 { &two } else { &one };
        assert!(watch.proxy.reload(&text(next)).status.success());
        assert_eq!(h1.ask(get).unwrap().text(), old, "the session keeps what it was begun with");
        assert_eq!(h2.ask(&Ask::get("/")).unwrap().text(), old);
        let fresh = site.client("a.example");
        let (new, _) = ask(watch.proxy.addr("web"), &fresh).unwrap();
        assert_eq!(new != old, n % 2 == 0, "{n}: {new}");
    }
    // A file that cannot serve changes nothing.
    let bad = site.file("bad.pem", "nothing");
    assert!(!watch.proxy.reload(&text(&bad)).status.success());
    assert_eq!(h1.ask(get).unwrap().text(), old);
    assert!(ask(watch.proxy.addr("web"), &client).is_ok());
}

/// TLS comes and goes, and a bind gets another name, on a socket that stays: each connection has what holds at its moment.
#[test]
fn a_reload_changes_what_a_bind_is() {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    let lines = format!("http-request = ['{}']", shown("%[ssl_fc]"));
    let tls = |name: &str| config(&[listening("web", &format!("{name}tls = {{ certificate = {cert:?} }}"), &lines)]);
    let clear = config(&[listening("web", "backlog = 1024", &lines)]);
    let secure = tls("backlog = 1024, ");
    let mut watch = Watch::start(&clear);
    let client = site.client("a.example");
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let plain = |watch: &Watch| RawClient::connect(watch.proxy.addr("web")).unwrap().ask(get).unwrap();
    let mut old = RawClient::connect(watch.proxy.addr("web")).unwrap();
    assert_eq!(old.ask(get).unwrap().text(), "0");
    assert!(watch.proxy.reload(&secure).status.success());
    assert_eq!(ask(watch.proxy.addr("web"), &client).unwrap().0, "1");
    assert_eq!(plain(&watch).status(), 400);
    assert_eq!(old.ask(get).unwrap().text(), "0", "what was clear stays as it was begun");
    assert!(watch.proxy.reload(&tls("name = \"public\", backlog = 1024, ")).status.success());
    assert_eq!(ask(watch.proxy.addr("web"), &client).unwrap().0, "1");
    assert_eq!(plain(&watch).status(), 400);
    assert!(watch.proxy.reload(&clear).status.success());
    assert_eq!(plain(&watch).text(), "0");
    assert!(ask(watch.proxy.addr("web"), &client).is_err());
}

/// The same file of keys on two machines: what one gives out the other takes.
#[test]
fn ticket_keys_are_shared_by_file() {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    let keys = site.file(
        "tickets",
        &std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/tls/tickets")).unwrap(),
    );
    let text =
        config(&[telling("web", &format!("certificate = {cert:?}, ticket-keys = {keys:?}"), "%[ssl_fc_is_resumed]")]);
    let (one, two) = (Proxy::start(&text), Proxy::start(&text));
    let session = site.dir.path().join("session").display().to_string();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let args = |how: &'static str| ["-tls1_2", "-quiet", "-servername", "a.example", how, &session].map(str::to_owned);
    let ask = |proxy: &Proxy, how: &'static str| {
        let args = args(how);
        openssl(proxy.addr("web"), &args.each_ref().map(String::as_str), request)
    };
    for (proxy, how, wanted) in [(&one, "-sess_out", "\r\n\r\n0"), (&two, "-sess_in", "\r\n\r\n1")] {
        let said = ask(proxy, how);
        assert!(said.contains(wanted), "{how}: {said}");
    }
}
