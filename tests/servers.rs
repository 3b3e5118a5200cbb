//! Servers that die and return, and limits that hold.
#![allow(clippy::unwrap_used)]

use evenkeel_testkit::{Act, Gate, Load, Origin, Proxy, RawClient, Script};
use evenkeel_tests::cell;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn good() -> Script {
    Script::with(|_, _| vec![Act::Body, Act::Send(OK.to_vec())])
}

fn list(origins: &[Origin], extra: &str) -> String {
    let one = |(i, o): (usize, &Origin)| format!("{{ name = \"o{i}\", address = \"{}\"{extra} }}", o.addr());
    origins.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_server_that_dies_under_load_is_not_noticed() {
    let mut origins: Vec<Origin> = (0..3).map(|_| Origin::start(good())).collect();
    let mut proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\nbalance = \"roundrobin\"\nretries = 3\noption.redispatch = 1\ntimeout.connect = \"500ms\"\n\
         check = {{ type = \"http\", uri = \"/health\", interval = \"50ms\", fall = 2, rise = 2 }}\nserver = [{}]\n",
        list(&origins, "")
    ));
    let up = |m: &evenkeel_testkit::Message| status(&m.text(), "web", "o1") == "UP";
    proxy.wait_admin("/stats;csv", "up", up);
    let load = Load::start(proxy.addr("web"), "/", 4);
    load.wait_more(100);
    let mark = proxy.process().mark();
    origins[1].stop();
    proxy.wait_admin("/stats;csv", "down", |m| status(&m.text(), "web", "o1") == "DOWN");
    proxy.process().wait_line(mark, "about the server going down", |l| l.contains("web/o1 is DOWN"));
    let page = proxy.admin("/stats").text();
    assert!(page.contains("DOWN") && page.contains("o1"), "the page does not show it");
    load.wait_more(100);
    let served = origins[1].served();
    origins[1].resume();
    proxy.wait_admin("/stats;csv", "up again", up);
    proxy.process().wait_line(mark, "about the server coming up", |l| l.contains("web/o1 is UP"));
    load.wait_more(200);
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{} good, then: {:?}", tally.good, tally.failures);
    assert!(origins[1].served() > served + 20, "the server that came back gets no traffic");
    proxy.signal(nix::sys::signal::Signal::SIGTERM);
    proxy.wait_exit(evenkeel_testkit::DEADLINE);
}

#[test]
fn a_check_by_content_takes_a_sick_server_out() {
    let sick = Script::with(|r, _| {
        let text = if r.message.head.target() == "/health" {
            "HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
        };
        vec![Act::Body, Act::Send(text.into())]
    });
    let origins = [Origin::start(good()), Origin::start(sick)];
    let proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\nbalance = \"roundrobin\"\n\
         check = {{ type = \"http\", uri = \"/health\", expect = \"status 200\", interval = \"50ms\", fall = 1, rise = 1 }}\nserver = [{}]\n",
        list(&origins, "")
    ));
    let csv = proxy.wait_admin("/stats;csv", "down", |m| status(&m.text(), "web", "o1") == "DOWN").text();
    let row = csv.lines().find(|l| l.starts_with("web,o1,")).unwrap();
    assert!(row.contains("L7STS") && row.contains(",503,"), "{row}");
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    for _ in 0..4 {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text(), "ok");
    }
    origins[1].set(good());
    proxy.wait_admin("/stats;csv", "up", |m| status(&m.text(), "web", "o1") == "UP");
}

#[test]
fn all_servers_down_is_503_at_once() {
    let mut origins = [Origin::start(good())];
    let proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\ncheck = {{ interval = \"50ms\", fall = 1, rise = 1 }}\nserver = [{}]\n",
        list(&origins, "")
    ));
    origins[0].stop();
    proxy.wait_admin("/stats;csv", "down", |m| status(&m.text(), "web", "o0") == "DOWN");
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status(), 503);
    assert_eq!(status(&proxy.admin("/stats;csv").text(), "web", "BACKEND"), "DOWN");
}

#[test]
fn server_maxconn_makes_requests_wait_their_turn() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin =
        Origin::start(Script::with(move |_, _| vec![Act::Body, Act::Wait(held.clone()), Act::Send(OK.to_vec())]));
    let proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\ntimeout.queue = \"30s\"\nserver = [{}]\n",
        list(std::slice::from_ref(&origin), ", maxconn = 2")
    ));
    let mut clients: Vec<RawClient> = (0..5).map(|_| RawClient::connect(proxy.addr("web")).unwrap()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    proxy.wait_admin("/stats;csv", "three in the queue", |m| {
        let csv = m.text();
        let queued = |s: &str| cell(&csv, "web", s, "qcur").parse::<u32>().unwrap_or(0);
        queued("o0").max(queued("BACKEND")) == 3
    });
    let seen = origin.wait_seen(|s| s.len() >= 2).map_err(|s| s.len()).unwrap();
    assert_eq!(seen.len(), 2, "more at the server than maxconn");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().unwrap().status(), 200);
    }
    assert_eq!(origin.served(), 5);
}

#[test]
fn the_queue_has_its_time_limit() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin =
        Origin::start(Script::with(move |_, _| vec![Act::Body, Act::Wait(held.clone()), Act::Send(OK.to_vec())]));
    let proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\ntimeout.queue = \"200ms\"\nserver = [{}]\n",
        list(std::slice::from_ref(&origin), ", maxconn = 1")
    ));
    let mut first = RawClient::connect(proxy.addr("web")).unwrap();
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    origin.wait_seen(|s| s.len() == 1).unwrap();
    let mut second = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(second.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status(), 503);
    gate.open();
    assert_eq!(first.response().unwrap().status(), 200);
    assert_eq!(origin.served(), 1);
}

#[test]
fn frontend_maxconn_leaves_the_rest_in_the_kernel() {
    let origin = Origin::start(good());
    let proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\nmaxconn = 2\nserver = [{}]\n",
        list(std::slice::from_ref(&origin), "")
    ));
    let ask = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut a = RawClient::connect(proxy.addr("web")).unwrap();
    let mut b = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(a.ask(ask).unwrap().status(), 200);
    assert_eq!(b.ask(ask).unwrap().status(), 200);
    let mut c = RawClient::connect(proxy.addr("web")).unwrap();
    c.send(ask).unwrap();
    // The two that are in go on while the third waits.
    for _ in 0..20 {
        assert_eq!(a.ask(ask).unwrap().status(), 200);
    }
    assert_eq!(origin.served(), 22, "the third was served beyond maxconn");
    drop(b);
    assert_eq!(c.response().unwrap().status(), 200);
}

/// The word before the blank: `DOWN 1/2` is still a server on its way.
fn status(csv: &str, proxy: &str, service: &str) -> String {
    cell(csv, proxy, service, "status")
}
