//! Connections to servers between requests: who may share them, how many are kept, and what happens when one dies.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel_testkit::{Act, Gate, Origin, Proxy, RawClient, Script};
use evenkeel_tests::cell;

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn config(origin: &Origin, tune: &str, more: &str) -> String {
    format!(
        "[global]\nthreads = 1\nadmin = {{ listen = \"@admin@\" }}\nlog = [\"stdout\"]\ntune.pool-purge-delay = \"1h\"\n{tune}\n\n\
         [listen.web]\nbind = [\"@web@\"]\n{more}\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
        origin.addr()
    )
}

/// Each client asks twice, one after the other; returns the connection numbers the origin saw.
fn two_by_two(reuse: &str, clients: usize) -> Vec<usize> {
    let origin = Origin::start(Script::always("ok"));
    let proxy = Proxy::start(&config(&origin, "", &format!("http-reuse = \"{reuse}\"")));
    for _ in 0..clients {
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        for _ in 0..2 {
            assert_eq!(client.ask(ASK).unwrap().text(), "ok");
        }
        client.half_close();
        client.rest().unwrap();
    }
    origin.seen().iter().map(|r| r.connection).collect()
}

#[test]
fn never_gives_each_client_its_own_connection() {
    assert_eq!(two_by_two("never", 3), [0, 0, 1, 1, 2, 2]);
}

#[test]
fn safe_takes_a_new_connection_for_the_first_request() {
    let seen = two_by_two("safe", 3);
    let first: Vec<usize> = seen.iter().step_by(2).copied().collect();
    assert_eq!(first, [0, 1, 2], "a first request went over a used connection: {seen:?}");
    // Further requests may take any idle one, and never need a new one.
    assert!(seen.iter().all(|c| *c < 3), "{seen:?}");
}

#[test]
fn aggressive_shares_only_connections_that_have_proved_themselves() {
    let seen = two_by_two("aggressive", 4);
    // The first client opens one; its second request proves it; everybody after shares it.
    assert_eq!(seen, [0; 8]);
    // A connection that has served one request only is not taken for another client's first.
    let origin = Origin::start(Script::always("ok"));
    let proxy = Proxy::start(&config(&origin, "", "http-reuse = \"aggressive\""));
    for _ in 0..3 {
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        assert_eq!(client.ask(ASK).unwrap().text(), "ok");
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn always_shares_from_the_first_request() {
    assert_eq!(two_by_two("always", 4), [0; 8]);
}

/// `clients` requests at once, so that as many connections are open, then all are answered.
fn fan_out(proxy: &Proxy, origin: &Origin, gate: &Gate, clients: usize) -> Vec<RawClient> {
    gate.shut();
    let before = origin.seen().len();
    let mut list: Vec<RawClient> = (0..clients).map(|_| RawClient::connect(proxy.addr("web")).unwrap()).collect();
    for client in &mut list {
        client.send(ASK).unwrap();
    }
    origin.wait_seen(|s| s.len() == before + clients).unwrap();
    gate.open();
    for client in &mut list {
        assert_eq!(client.response().unwrap().text(), "ok");
    }
    list
}

#[test]
fn as_many_are_kept_as_pool_max_conn_says() {
    for (limit, kept) in [("-1", 5), ("2", 2), ("0", 0)] {
        let gate = Gate::new();
        let origin = Origin::start(Script::held(&gate, "ok"));
        let tune = format!("tune.pool-max-conn = {limit}");
        let proxy = Proxy::start(&config(&origin, &tune, "http-reuse = \"always\""));
        let clients = fan_out(&proxy, &origin, &gate, 5);
        assert_eq!(origin.wait_open(kept), Ok(()), "pool-max-conn = {limit}");
        let idle = "haproxy_server_idle_connections_current{proxy=\"web\",server=\"s\"}";
        proxy.wait_metric(idle, kept as f64);
        drop(clients);
    }
}

#[test]
fn an_idle_connection_that_the_server_closed_is_replaced() {
    let origin = Origin::start(Script::always("ok"));
    let proxy = Proxy::start(&config(&origin, "", "http-reuse = \"always\""));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    for n in 0..5 {
        assert_eq!(client.ask(ASK).unwrap().text(), "ok", "request {n}");
        // Closes what is open; what the client sends next finds a dead connection or none.
        origin.begin(Script::always("ok"));
        assert_eq!(origin.wait_open(0), Ok(()));
    }
    let csv = proxy.admin("/stats;csv").text();
    assert_eq!((cell(&csv, "web", "s", "eresp"), cell(&csv, "web", "s", "hrsp_5xx")), ("0".into(), "0".into()));
}

/// Answers the first request of each connection; closes it when another one has arrived whole, but only the first
/// `deaths` times.
fn dies_on_the_second(deaths: usize) -> Script {
    let died = Arc::new(AtomicUsize::new(0));
    Script::with(move |r, _| {
        let is_second = r.message.head.get("x-second").is_some();
        if is_second && died.fetch_add(1, Ordering::SeqCst) < deaths {
            return vec![Act::Body, Act::Close];
        }
        vec![Act::Body, Act::Send(OK.to_vec())]
    })
}

#[test]
fn a_get_on_a_reused_connection_that_dies_is_repeated_once() {
    let origin = Origin::start(dies_on_the_second(1));
    let proxy = Proxy::start(&config(&origin, "", "http-reuse = \"always\""));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(ASK).unwrap().status(), 200);
    let second = client.ask("GET /2 HTTP/1.1\r\nHost: a\r\nX-Second: 1\r\n\r\n").unwrap();
    assert_eq!((second.status(), second.text().as_str()), (200, "ok"));
    let seen: Vec<(String, usize)> =
        origin.seen().iter().map(|r| (r.message.head.target().to_owned(), r.connection)).collect();
    assert_eq!(seen, [("/".into(), 0), ("/2".into(), 0), ("/2".into(), 1)], "it is repeated on a new connection");
    let csv = proxy.admin("/stats;csv").text();
    assert_eq!(cell(&csv, "web", "s", "eresp"), "0", "nobody is to blame for an idle timeout");
}

#[test]
fn it_is_not_repeated_twice() {
    let origin = Origin::start(dies_on_the_second(9));
    let proxy = Proxy::start(&config(&origin, "", "http-reuse = \"always\""));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(ASK).unwrap().status(), 200);
    let second = client.ask("GET /2 HTTP/1.1\r\nHost: a\r\nX-Second: 1\r\n\r\n").unwrap();
    // The second attempt had a connection of its own, so its death is the server's fault.
    assert_eq!(second.status(), 502);
    assert_eq!(origin.seen().iter().filter(|r| r.message.head.target() == "/2").count(), 2);
}

#[test]
fn a_post_is_not_repeated() {
    for method in ["POST", "PATCH"] {
        let origin = Origin::start(dies_on_the_second(9));
        let proxy = Proxy::start(&config(&origin, "", "http-reuse = \"always\""));
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        assert_eq!(client.ask(ASK).unwrap().status(), 200);
        let mark = proxy.process().mark();
        client.send(format!("{method} /2 HTTP/1.1\r\nHost: a\r\nX-Second: 1\r\nContent-Length: 2\r\n\r\nhi")).unwrap();
        // No error page: the client sees its connection end, as it would without a proxy, and decides itself.
        assert_eq!(client.rest().unwrap().0, b"", "{method}");
        let seen = origin.seen().iter().filter(|r| r.message.head.target() == "/2").count();
        assert_eq!(seen, 1, "{method} was repeated");
        proxy.process().wait_line(mark, "of the access log", |l| l.contains(" -1 ") && l.contains(" SH-- "));
    }
}

#[test]
fn a_put_whose_body_is_sent_is_not_repeated_blindly() {
    // PUT is idempotent, but its body has left the buffers by then: whatever the client is told, the server must never get
    // a second request that lacks the beginning of the first one's body.
    let origin = Origin::start(dies_on_the_second(1));
    let proxy = Proxy::start(&config(&origin, "", "http-reuse = \"always\""));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(ASK).unwrap().status(), 200);
    let body = vec![b'x'; 300_000];
    let head = format!("PUT /2 HTTP/1.1\r\nHost: a\r\nX-Second: 1\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(head).unwrap();
    let _ = client.send(&body);
    let answer = client.status_or_end().unwrap();
    for r in origin.seen().iter().filter(|r| r.message.head.target() == "/2") {
        assert_eq!((r.message.complete, r.message.body.len()), (true, body.len()));
    }
    assert!(matches!(answer, 0 | 200 | 502), "{answer}");
}

#[test]
fn a_first_request_whose_connection_dies_is_502_and_not_repeated() {
    let origin = Origin::start(Script::Http(vec![vec![Act::Body, Act::Close]]));
    let proxy = Proxy::start(&config(&origin, "", "http-reuse = \"always\""));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(ASK).unwrap().status(), 502);
    assert_eq!(origin.served(), 1);
}

#[test]
fn a_response_that_says_close_is_not_kept() {
    let origin = Origin::start(Script::Http(vec![vec![
        Act::Body,
        Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".to_vec()),
    ]]));
    let proxy = Proxy::start(&config(&origin, "", "http-reuse = \"always\""));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    for n in 1..=3 {
        let answer = client.ask(ASK).unwrap();
        assert_eq!((answer.text().as_str(), answer.head.get("connection")), ("ok", None));
        assert_eq!(origin.connections(), n);
    }
}

#[test]
fn a_connection_on_which_the_server_speaks_out_of_turn_is_not_reused() {
    let gate = Gate::new();
    let late = gate.clone();
    let origin = Origin::start(Script::with(move |r, _| {
        let mut acts = vec![Act::Body, Act::Send(OK.to_vec())];
        if r.connection == 0 {
            acts.extend([
                Act::Wait(late.clone()),
                Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged".to_vec()),
            ]);
        }
        acts
    }));
    let proxy = Proxy::start(&config(&origin, "", "http-reuse = \"always\""));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(ASK).unwrap().text(), "ok");
    gate.open();
    assert!(origin.settle());
    assert_eq!(client.ask(ASK).unwrap().text(), "ok", "an answer that nobody asked for was passed on");
}
