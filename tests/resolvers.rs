//! Names that are asked for while requests wait: `do-resolve` against a name server that says what the test wants.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::process::Command;

use evenkeel_testkit::{Act, End, NameServer, Origin, Proxy, RawClient, Says, Script, binary};

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A proxy that answers each request with the address of its host, `none` where there is none.
fn answering(section: &str, preference: &str) -> String {
    format!(
        "[resolvers.dns]\n{section}\n[listen.web]\nbind = [\"@web@\"]\nhttp-request = [\n\
         \"do-resolve(txn.ip,dns{preference}) req.hdr(host),host_only\",\n\
         \"return status 200 content-type text/plain lf-string %[var(txn.ip)] if {{ var(txn.ip) -m found }}\",\n\
         \"return status 200 content-type text/plain string none\",\n]\n"
    )
}

fn at(server: &NameServer) -> String {
    format!("nameserver = [\"{}\"]", server.addr())
}

/// The metric of what a name server said.
fn answers(server: &NameServer, result: &str) -> String {
    let nameserver = server.addr();
    format!("evenkeel_resolver_answers_total{{resolver=\"dns\",nameserver=\"{nameserver}\",result=\"{result}\"}}")
}

fn request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// What the proxy says of a host.
fn resolve(proxy: &Proxy, host: &str) -> String {
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    client.send(request(host)).unwrap();
    client.response().unwrap().text()
}

#[test]
fn the_address_of_a_host_is_asked_for_and_kept() {
    let server = NameServer::start();
    server.set("a.example", Says::Addresses(ips(&["192.0.2.1", "192.0.2.2", "2001:db8::1"])));
    server.set("only6.example", Says::Addresses(ips(&["2001:db8::6"])));
    server.set("alias.example", Says::Alias("there.example".into(), ips(&["192.0.2.9"])));
    let proxy = Proxy::start(&answering(&at(&server), ",ipv4"));
    for (host, address) in [
        ("a.example", "192.0.2.1"),
        ("A.Example.:8080", "192.0.2.1"),
        // There is no address of the preferred kind.
        ("only6.example", "2001:db8::6"),
        ("alias.example", "192.0.2.9"),
        ("192.0.2.77:80", "192.0.2.77"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("no-such.example", "none"),
    ] {
        assert_eq!(resolve(&proxy, host), address, "{host}");
    }
    assert_eq!(server.times("a.example"), 1, "an answer is used for hold.valid");
    for (metric, value) in [
        ("evenkeel_resolvers_questions_total{resolver=\"dns\"}".to_owned(), 4.0),
        ("evenkeel_resolvers_cache_hits_total{resolver=\"dns\"}".to_owned(), 1.0),
        ("evenkeel_resolvers_names{resolver=\"dns\"}".to_owned(), 3.0),
        (answers(&server, "valid"), 3.0),
        (answers(&server, "nx"), 2.0),
        // There was no address of the preferred kind.
        (answers(&server, "other"), 1.0),
    ] {
        assert_eq!(proxy.metric(&metric), Some(value), "{metric}");
    }
    let kinds: Vec<u16> = server.asked().iter().filter(|a| a.name == "only6.example").map(|a| a.kind).collect();
    assert_eq!(kinds, [1, 28]);
    assert!(server.asked().iter().all(|asked| !asked.tcp && asked.payload.is_none()), "{:?}", server.asked());
    assert!(server.asked().iter().all(|asked| !asked.name.starts_with("192.0") && !asked.name.starts_with('[')));
}

#[test]
fn many_requests_for_one_name_are_one_question() {
    let server = NameServer::start();
    server.set("a.example", Says::Held(ips(&["192.0.2.1"])));
    let proxy = Proxy::start(&answering(&format!("{}\ntimeout.retry = \"20s\"", at(&server)), ",ipv4"));
    let mut clients: Vec<RawClient> = (0..20).map(|_| RawClient::connect(proxy.addr("web")).unwrap()).collect();
    for client in &mut clients {
        client.send(request("a.example")).unwrap();
    }
    server.wait_asked("a.example", 1);
    proxy.wait_metric("evenkeel_frontend_http_requests_total{proxy=\"web\"}", 20.0);
    // One client does not wait for the end of it.
    drop(clients.pop());
    proxy.wait_metric("evenkeel_transactions_ended_total{reason=\"client_closed_resolving\"}", 1.0);
    server.release();
    for client in &mut clients {
        assert_eq!(client.response().unwrap().text(), "192.0.2.1");
    }
    assert_eq!(server.times("a.example"), 1);
}

#[test]
fn failures_leave_the_variable_alone() {
    let server = NameServer::start();
    for (name, says) in [
        ("refused.example", Says::Error(5)),
        ("broken.example", Says::Error(2)),
        ("empty.example", Says::Addresses(Vec::new())),
        ("nowhere.example", Says::Alias("loop.example".into(), Vec::new())),
    ] {
        server.set(name, says);
    }
    let proxy = Proxy::start(&answering(&format!("{}\ntimeout.retry = \"20s\"", at(&server)), ",ipv4"));
    for name in ["refused.example", "broken.example", "empty.example", "nowhere.example", "unknown.example"] {
        assert_eq!(resolve(&proxy, name), "none", "{name}");
        let kinds: Vec<u16> = server.asked().iter().filter(|a| a.name == name).map(|a| a.kind).collect();
        assert_eq!(kinds, [1, 28], "{name}");
    }
    for host in ["a..example", "%00", "a%20b", &"x".repeat(64), &"a.".repeat(150)] {
        let before = server.asked().len();
        let text = resolve(&proxy, host);
        assert!(text == "none" || text.contains("400"), "{host}: {text}");
        assert_eq!(server.asked().len(), before, "{host} was asked for");
    }
}

#[test]
fn what_is_no_answer_is_waited_out() {
    let server = NameServer::start();
    for (name, says) in [
        ("silent.example", Says::Silence),
        ("lured.example", Says::Forged(ips(&["203.0.113.66"]))),
        ("garbage.example", Says::Bytes(vec![0, 1, 0, 9, 0, 0, 0, 0, 0xc0, 0x0c, 0xff])),
        ("short.example", Says::Bytes(Vec::new())),
    ] {
        server.set(name, says);
    }
    let section = format!("{}\nresolve-retries = 2\ntimeout.retry = \"50ms\"", at(&server));
    let proxy = Proxy::start(&answering(&section, ",ipv4"));
    for name in ["silent.example", "lured.example", "garbage.example", "short.example"] {
        assert_eq!(resolve(&proxy, name), "none", "{name}");
    }
    for name in ["silent.example", "lured.example"] {
        let kinds: Vec<u16> = server.asked().iter().filter(|a| a.name == name).map(|a| a.kind).collect();
        assert_eq!(kinds, [1, 1], "{name}: silence says nothing of the other kind of address");
    }
}

#[test]
fn a_long_answer_comes_over_tcp() {
    let server = NameServer::start();
    server.set("long.example", Says::Long(ips(&["192.0.2.3"])));
    server.set("a.example", Says::Addresses(ips(&["192.0.2.1"])));
    let section = format!("{}\naccepted-payload-size = 4096", at(&server));
    let proxy = Proxy::start(&answering(&section, ",ipv4"));
    assert_eq!(resolve(&proxy, "long.example"), "192.0.2.3");
    let how: Vec<(bool, Option<u16>)> = server.asked().iter().map(|asked| (asked.tcp, asked.payload)).collect();
    assert_eq!(how, [(false, Some(4096)), (true, Some(4096))]);
    let over_tcp = format!("nameserver = [\"tcp@{}\"]", server.addr());
    let proxy = Proxy::start(&answering(&over_tcp, ",ipv4"));
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.1");
    assert!(server.asked()[2..].iter().all(|asked| asked.tcp), "{:?}", server.asked());
}

#[test]
fn the_first_valid_answer_wins() {
    let [silent, refusing, good] = [NameServer::start(), NameServer::start(), NameServer::start()];
    silent.set("a.example", Says::Silence);
    refusing.set("a.example", Says::Error(5));
    good.set("a.example", Says::Addresses(ips(&["192.0.2.1"])));
    let list = [&silent, &refusing, &good].map(|server| format!("\"{}\"", server.addr())).join(", ");
    let proxy = Proxy::start(&answering(&format!("nameserver = [{list}]\ntimeout.retry = \"20s\""), ",ipv4"));
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.1");
    silent.wait_asked("a.example", 1);
    refusing.wait_asked("a.example", 1);
}

#[test]
fn an_old_answer_outlives_name_servers_that_fail() {
    let server = NameServer::start();
    server.set("a.example", Says::Addresses(ips(&["192.0.2.1"])));
    let section =
        format!("{}\nhold = {{ valid = \"0s\", refused = \"1h\", nx = \"0s\" }}\ntimeout.retry = \"20s\"", at(&server));
    let proxy = Proxy::start(&answering(&section, ",ipv4"));
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.1");
    server.set("a.example", Says::Error(5));
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.1", "hold.refused");
    server.set("a.example", Says::Error(3));
    assert_eq!(resolve(&proxy, "a.example"), "none", "hold.nx is over at once");
    server.set("a.example", Says::Addresses(ips(&["192.0.2.2"])));
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.2");
}

#[test]
fn an_old_answer_outlives_silence() {
    let server = NameServer::start();
    server.set("a.example", Says::Addresses(ips(&["192.0.2.1"])));
    let section = format!("{}\nhold = {{ valid = \"0s\", timeout = \"1h\" }}\ntimeout.retry = \"100ms\"", at(&server));
    let proxy = Proxy::start(&answering(&section, ",ipv4"));
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.1");
    server.set("a.example", Says::Silence);
    let before = server.asked().len();
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.1");
    assert!(server.asked().len() >= before + 3, "it was asked for: {:?}", server.asked());
}

#[test]
fn questions_are_bounded() {
    let server = NameServer::start();
    server.set("slow.example", Says::Held(ips(&["192.0.2.1"])));
    server.set("a.example", Says::Addresses(ips(&["192.0.2.2"])));
    let section = format!("{}\nmax-questions = 1\ntimeout.retry = \"20s\"", at(&server));
    let proxy = Proxy::start(&answering(&section, ",ipv4"));
    let mut waiting = RawClient::connect(proxy.addr("web")).unwrap();
    waiting.send(request("slow.example")).unwrap();
    server.wait_asked("slow.example", 1);
    assert_eq!(resolve(&proxy, "a.example"), "none", "one question at a time");
    assert_eq!(server.times("a.example"), 0);
    server.release();
    assert_eq!(waiting.response().unwrap().text(), "192.0.2.1");
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.2");
}

#[test]
fn a_reload_keeps_the_answers_of_a_section_that_stays() {
    let server = NameServer::start();
    server.set("a.example", Says::Addresses(ips(&["192.0.2.1"])));
    let mut proxy = Proxy::start(&answering(&at(&server), ",ipv4"));
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.1");
    let output = proxy.reload(&answering(&format!("{}\n# the same\n", at(&server)), ",ipv4"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.1");
    assert_eq!(server.times("a.example"), 1);
    let output = proxy.reload(&answering(&format!("{}\nhold.valid = \"20s\"", at(&server)), ",ipv4"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("resolvers dns"), "{said}");
    assert_eq!(resolve(&proxy, "a.example"), "192.0.2.1");
    assert_eq!(server.times("a.example"), 2, "a section that changed begins anew");
}

#[test]
fn a_silent_name_server_is_told_of_once() {
    let server = NameServer::start();
    server.set("a.example", Says::Silence);
    server.set("b.example", Says::Addresses(ips(&["192.0.2.2"])));
    let section = format!("{}\ntimeout.retry = \"200ms\"", at(&server));
    let proxy = Proxy::start(&answering(&section, ",ipv4"));
    assert_eq!(resolve(&proxy, "a.example"), "none");
    assert_eq!(resolve(&proxy, "a.example"), "none");
    let lines = |part: &str| proxy.process().log().iter().filter(|line| line.contains(part)).count();
    proxy.process().wait_line(0, "about the silence", |line| line.contains("does not answer"));
    let shown =
        Command::new(binary()).arg("resolvers").arg("--pid-file").arg(proxy.dir().join("pid")).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.starts_with("resolvers dns: 2 asked for, 0 known already, 0 too many; 0 kept, 0 under way\n"),
        "{shown}"
    );
    assert!(shown.contains("(silent): sent 6, valid 0, nx 0, refused 0, timeout 6, other 0"), "{shown}");
    assert_eq!(resolve(&proxy, "b.example"), "192.0.2.2");
    proxy.process().wait_line(0, "about the return", |line| line.contains("answers again"));
    assert_eq!((lines("does not answer"), lines("answers again")), (1, 1));
}

#[test]
fn a_tcp_connection_waits_too() {
    let server = NameServer::start();
    server.set("a.example", Says::Held(ips(&["192.0.2.1"])));
    let proxy = Proxy::start(&format!(
        "[resolvers.dns]\n{}\ntimeout.retry = \"20s\"\n[listen.web]\nmode = \"tcp\"\nbind = [\"@web@\"]\n\
         tcp-request.content = [\"do-resolve(txn.ip,dns,ipv4) str(a.example)\", \"reject if {{ var(txn.ip) -m ip 192.0.2.1 }}\"]\n\
         server = [\"127.0.0.1:1\"]\n",
        at(&server)
    ));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    server.wait_asked("a.example", 1);
    server.release();
    let (bytes, end) = client.rest().unwrap();
    assert!(bytes.is_empty() && end == End::Closed, "{bytes:?} {end:?}");
    proxy.wait_metric("evenkeel_transactions_ended_total{reason=\"rejected\"}", 1.0);
}

/// A proxy whose server stands where rules say: at the address of the host, on the port in a field.
fn reaching(section: &str, mode: &str) -> String {
    format!(
        "[resolvers.dns]\n{section}\n[listen.web]\nbind = [\"@web@\"]\nhttp-reuse = \"always\"\nhttp-request = [\n\
         \"do-resolve(txn.ip,dns,ipv4) req.hdr(host),host_only\",\n\
         \"set-dst var(txn.ip) if {{ var(txn.ip) -m found }}\",\n\"set-dst-port req.hdr(x-port)\",\n]\n\
         http-response = [\"set-header X-To %[bc_dst]:%[bc_dst_port]\"]\n\
         server = [{{ name = \"there\", address = \"0.0.0.0:0\"{mode} }}]\n"
    )
}

fn naming(name: &'static str) -> Script {
    Script::with(move |_, _| {
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        vec![Act::Body, Act::Send(text.into())]
    })
}

fn to_port(host: &str, port: u16) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Port: {port}\r\n\r\n").into_bytes()
}

#[test]
fn a_server_stands_where_the_name_says() {
    let server = NameServer::start();
    server.set("one.example", Says::Addresses(ips(&["127.0.0.1"])));
    server.set("two.example", Says::Addresses(ips(&["127.0.0.2"])));
    for (mode, per_origin) in [("", 1), (", proto = \"h2\"", 1)] {
        let one = Origin::start_at("127.0.0.1:0".parse().unwrap(), naming("one"));
        let two = Origin::start_at("127.0.0.2:0".parse().unwrap(), naming("two"));
        let proxy = Proxy::start(&reaching(&at(&server), mode));
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        for round in 0..4 {
            for (host, origin, name) in [("one.example", &one, "one"), ("two.example", &two, "two")] {
                client.send(to_port(host, origin.addr().port())).unwrap();
                let answer = client.response().unwrap();
                assert_eq!(answer.text(), name, "round {round}{mode}");
                assert_eq!(answer.head.get("x-to"), Some(&*origin.addr().to_string()));
            }
        }
        // Connections are used again, each for its own destination.
        assert_eq!((one.connections(), two.connections()), (per_origin, per_origin), "{mode}");
        let csv = proxy.admin("/stats;csv").text();
        assert!(csv.contains("web,there,"), "{csv}");
    }
}

#[test]
fn a_server_that_nobody_placed_is_no_server() {
    let server = NameServer::start();
    let proxy = Proxy::start(&format!(
        "{}retries = 3\n[listen.away]\nbind = [\"@away@\"]\nhttp-request = [\"set-dst ipv4(0.0.0.0)\"]\n\
         server = [\"*:0\"]\n",
        reaching(&at(&server), "").replace("set-dst-port req.hdr(x-port)", "set-nice 0")
    ));
    let ended = |reason: &str| format!("evenkeel_transactions_ended_total{{reason=\"{reason}\"}}");
    // The name has no address, so that the destination is still the listener itself.
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(request("none.example")).unwrap().status(), 503);
    proxy.wait_metric(&ended("destination_is_listener"), 1.0);
    assert_eq!(client.ask(request("127.0.0.1")).unwrap().status(), 503, "by its address too");
    proxy.wait_metric(&ended("destination_is_listener"), 2.0);
    let mut client = RawClient::connect(proxy.addr("away")).unwrap();
    assert_eq!(client.ask(request("none.example")).unwrap().status(), 503);
    proxy.wait_metric(&ended("no_destination"), 1.0);
    proxy.wait_metric("evenkeel_frontend_http_requests_total{proxy=\"web\"}", 2.0);
}

#[test]
fn a_tcp_connection_goes_where_rules_say() {
    let server = NameServer::start();
    server.set("there.example", Says::Addresses(ips(&["127.0.0.2"])));
    let origin = Origin::start_at("127.0.0.2:0".parse().unwrap(), naming("there"));
    let proxy = Proxy::start(&format!(
        "[resolvers.dns]\n{}\n[listen.web]\nmode = \"tcp\"\nbind = [\"@web@\"]\n\
         tcp-request.content = [\"do-resolve(txn.ip,dns,ipv4) str(there.example)\", \"set-dst var(txn.ip)\", \
         \"set-dst-port int({})\"]\nserver = [\"0.0.0.0:0\"]\n",
        at(&server),
        origin.addr().port()
    ));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(request("x")).unwrap().text(), "there");
}
