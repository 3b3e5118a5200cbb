//! Full servers and the choice among several: the queue, backup servers, weights, and each algorithm seen from the origins.
#![allow(clippy::unwrap_used)]

use evenkeel_testkit::{Act, Gate, Origin, Proxy, RawClient, Script};
use evenkeel_tests::cell;

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Origins that hold each answer until the gate opens, and say who they are.
fn held(n: usize) -> (Gate, Vec<Origin>) {
    let gate = Gate::new();
    let origins = (0..n).map(|i| Origin::start(Script::held(&gate, &format!("o{i}")))).collect();
    (gate, origins)
}

fn open(n: usize) -> Vec<Origin> {
    (0..n).map(|i| Origin::start(Script::always(&format!("o{i}")))).collect()
}

/// A listen `web` over these origins; `settings` are added to the servers one by one.
fn config(origins: &[Origin], settings: &[&str], more: &str) -> String {
    let one = |(i, o): (usize, &Origin)| {
        format!("{{ name = \"o{i}\", address = \"{}\"{} }}", o.addr(), settings.get(i).unwrap_or(&""))
    };
    let servers: Vec<String> = origins.iter().enumerate().map(one).collect();
    format!(
        "[global]\nthreads = 1\nadmin = {{ listen = \"@admin@\" }}\nlog = [\"stdout\"]\n\n\
         [listen.web]\nbind = [\"@web@\"]\ntimeout.queue = \"60s\"\n{more}\nserver = [{}]\n",
        servers.join(", ")
    )
}

/// A client that has sent one request.
fn asking(proxy: &Proxy) -> RawClient {
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    client.send(ASK).unwrap();
    client
}

fn queued(proxy: &Proxy, n: u32) {
    proxy.wait_csv(&format!("{n} queued"), |csv| {
        let of = |s: &str| cell(csv, "web", s, "qcur").parse::<u32>().unwrap_or(0);
        let servers: u32 = (0..4).map(|i| of(&format!("o{i}"))).sum();
        of("BACKEND").max(servers) == n
    });
}

fn arrived(origins: &[Origin], counts: &[usize]) {
    for (i, n) in counts.iter().enumerate() {
        let seen = origins[i].wait_seen(|s| s.len() >= *n);
        assert_eq!(seen.map(|s| s.len()).map_err(|s| s.len()), Ok(*n), "origin {i} of {counts:?}");
    }
}

/// Answers to `n` requests, each on a connection of its own.
fn answers(proxy: &Proxy, n: usize) -> Vec<String> {
    (0..n).map(|_| RawClient::connect(proxy.addr("web")).unwrap().ask(ASK).unwrap().text()).collect()
}

fn share(answers: &[String], who: &str) -> usize {
    answers.iter().filter(|a| *a == who).count()
}

#[test]
fn the_second_waits_for_the_first() {
    let (gate, origins) = held(1);
    let proxy = Proxy::start(&config(&origins, &[", maxconn = 1"], ""));
    let mut first = asking(&proxy);
    arrived(&origins, &[1]);
    let mut second = asking(&proxy);
    queued(&proxy, 1);
    assert_eq!(origins[0].seen().len(), 1);
    gate.open();
    assert_eq!(first.response().unwrap().text(), "o0");
    assert_eq!(second.response().unwrap().text(), "o0");
    let csv = proxy.wait_csv("over", |csv| cell(csv, "web", "o0", "scur") == "0");
    assert_eq!((cell(&csv, "web", "BACKEND", "qcur"), cell(&csv, "web", "BACKEND", "qmax")), ("0".into(), "1".into()));
}

#[test]
fn the_queue_is_first_come_first_served() {
    let (gate, origins) = held(1);
    let proxy = Proxy::start(&config(&origins, &[", maxconn = 1"], ""));
    let mut clients = vec![asking(&proxy)];
    arrived(&origins, &[1]);
    for n in 1..=3 {
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        clients.push(client);
        queued(&proxy, n);
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().unwrap().status(), 200);
    }
    let order: Vec<String> = origins[0].seen().iter().map(|r| r.message.head.target().to_owned()).collect();
    assert_eq!(order, ["/", "/1", "/2", "/3"]);
}

#[test]
fn a_wait_that_is_too_long_is_503_sq() {
    let (gate, origins) = held(1);
    let more = config(&origins, &[", maxconn = 1"], "").replace("timeout.queue = \"60s\"", "timeout.queue = \"100ms\"");
    let proxy = Proxy::start(&more);
    let mut first = asking(&proxy);
    arrived(&origins, &[1]);
    let mark = proxy.process().mark();
    assert_eq!(asking(&proxy).response().unwrap().status(), 503);
    let line = proxy.process().wait_line(mark, "of the access log", |l| l.contains(" 503 "));
    assert!(line.contains(" web web/<NOSRV> ") && line.contains(" sQ-- "), "{line}");
    queued(&proxy, 0);
    gate.open();
    assert_eq!(first.response().unwrap().text(), "o0");
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    let (gate, origins) = held(1);
    let proxy = Proxy::start(&config(&origins, &[", maxconn = 1"], ""));
    let mut first = asking(&proxy);
    arrived(&origins, &[1]);
    let second = asking(&proxy);
    queued(&proxy, 1);
    let mut third = RawClient::connect(proxy.addr("web")).unwrap();
    third.send("GET /third HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    queued(&proxy, 2);
    let mark = proxy.process().mark();
    drop(second);
    let line = proxy.process().wait_line(mark, "of the client that left", |l| l.starts_with("127.0.0.1:"));
    assert!(line.contains(" web web/<NOSRV> ") && line.contains(" CQ-- "), "{line}");
    queued(&proxy, 1);
    gate.open();
    assert_eq!(first.response().unwrap().text(), "o0");
    assert_eq!(third.response().unwrap().text(), "o0");
    let targets: Vec<String> = origins[0].seen().iter().map(|r| r.message.head.target().to_owned()).collect();
    assert_eq!(targets, ["/", "/third"], "the request of a client that has gone reached the server");
}

#[test]
fn maxqueue_turns_the_excess_away() {
    let (gate, origins) = held(1);
    let proxy = Proxy::start(&config(&origins, &[", maxconn = 1, maxqueue = 1"], "balance = \"source\""));
    let mut first = asking(&proxy);
    arrived(&origins, &[1]);
    let mut second = asking(&proxy);
    queued(&proxy, 1);
    let mark = proxy.process().mark();
    assert_eq!(asking(&proxy).response().unwrap().status(), 503);
    let line = proxy.process().wait_line(mark, "of the access log", |l| l.contains(" 503 "));
    assert!(line.contains(" SQ-- "), "{line}");
    gate.open();
    assert_eq!(first.response().unwrap().text(), "o0");
    assert_eq!(second.response().unwrap().text(), "o0");
}

/// A full server is not a failed one: who waits for it must not spill over to a server that is not to be used.
fn the_second_waits_although_there_is(spare: &str) {
    let (gate, origins) = held(2);
    let proxy = Proxy::start(&config(&origins, &[", maxconn = 1", spare], "balance = \"roundrobin\""));
    let mut first = asking(&proxy);
    arrived(&origins, &[1]);
    let mut second = asking(&proxy);
    proxy.wait_csv("one queued", |csv| {
        assert_eq!(origins[1].served(), 0, "the waiting request went to the server with {spare:?}");
        cell(csv, "web", "BACKEND", "qcur") == "1" || cell(csv, "web", "o0", "qcur") == "1"
    });
    gate.open();
    assert_eq!(first.response().unwrap().text(), "o0");
    assert_eq!(second.response().unwrap().text(), "o0");
    assert_eq!(origins[1].served(), 0);
}

#[test]
fn a_full_server_does_not_open_the_backup() {
    the_second_waits_although_there_is(", backup = true");
}

#[test]
fn a_full_server_does_not_wake_one_of_weight_0() {
    the_second_waits_although_there_is(", weight = 0");
}

#[test]
fn backups_take_over_one_at_a_time_and_give_back() {
    let mut origins = open(3);
    let check = "balance = \"roundrobin\"\ncheck = { interval = \"20ms\", fall = 1, rise = 1 }";
    let proxy = Proxy::start(&config(&origins, &["", ", backup = true", ", backup = true"], check));
    proxy.wait_csv("checked", |csv| (0..3).all(|i| cell(csv, "web", &format!("o{i}"), "check_status") == "L4OK"));
    assert_eq!(share(&answers(&proxy, 4), "o0"), 4);
    origins[0].stop();
    proxy.wait_csv("down", |csv| cell(csv, "web", "o0", "status") == "DOWN");
    assert_eq!(share(&answers(&proxy, 4), "o1"), 4, "only the first backup is used");
    origins[1].stop();
    proxy.wait_csv("down", |csv| cell(csv, "web", "o1", "status") == "DOWN");
    assert_eq!(share(&answers(&proxy, 4), "o2"), 4);
    origins[0].resume();
    proxy.wait_csv("up", |csv| cell(csv, "web", "o0", "status") == "UP");
    assert_eq!(share(&answers(&proxy, 4), "o0"), 4);
}

#[test]
fn allbackups_share_the_load() {
    let mut origins = open(3);
    let check =
        "balance = \"roundrobin\"\noption.allbackups = true\ncheck = { interval = \"20ms\", fall = 1, rise = 1 }";
    let proxy = Proxy::start(&config(&origins, &["", ", backup = true", ", backup = true"], check));
    origins[0].stop();
    proxy.wait_csv("down", |csv| cell(csv, "web", "o0", "status") == "DOWN");
    let got = answers(&proxy, 8);
    assert_eq!((share(&got, "o1"), share(&got, "o2")), (4, 4), "{got:?}");
}

#[test]
fn a_server_of_weight_0_gets_nothing() {
    for balance in ["roundrobin", "leastconn", "first", "static-rr", "random(2)", "source"] {
        let origins = open(3);
        let settings = ["", ", weight = 0", ""];
        let proxy = Proxy::start(&config(&origins, &settings, &format!("balance = \"{balance}\"")));
        let got = answers(&proxy, 24);
        assert_eq!(share(&got, "o1"), 0, "{balance}: {got:?}");
        assert_eq!(share(&got, "o0") + share(&got, "o2"), 24, "{balance}: {got:?}");
    }
}

#[test]
fn weights_are_shares() {
    for balance in ["roundrobin", "static-rr"] {
        let origins = open(3);
        let settings = [", weight = 1", ", weight = 2", ", weight = 5"];
        let proxy = Proxy::start(&config(&origins, &settings, &format!("balance = \"{balance}\"")));
        let got = answers(&proxy, 32);
        let shares: Vec<usize> = ["o0", "o1", "o2"].iter().map(|o| share(&got, o)).collect();
        assert_eq!(shares, [4, 8, 20], "{balance}: {got:?}");
    }
}

#[test]
fn first_fills_one_server_before_the_next() {
    let (gate, origins) = held(3);
    let settings = [", maxconn = 2", ", maxconn = 2", ", maxconn = 2"];
    let proxy = Proxy::start(&config(&origins, &settings, "balance = \"first\""));
    let mut clients = Vec::new();
    for counts in [[1, 0, 0], [2, 0, 0], [2, 1, 0], [2, 2, 0], [2, 2, 1]] {
        clients.push(asking(&proxy));
        arrived(&origins, &counts);
    }
    gate.open();
    let got: Vec<String> = clients.iter_mut().map(|c| c.response().unwrap().text()).collect();
    assert_eq!(got, ["o0", "o0", "o1", "o1", "o2"]);
}

#[test]
fn source_sticks_to_one_server() {
    let origins = open(4);
    let mut proxy = Proxy::start(&config(&origins, &[], "balance = \"source\""));
    let got = answers(&proxy, 12);
    assert_eq!(share(&got, &got[0]), 12, "{got:?}");
    // A reload that changes nothing about the servers changes nothing about the choice.
    assert!(proxy.reload(&config(&origins, &[], "balance = \"source\"\nretries = 1")).status.success());
    assert_eq!(share(&answers(&proxy, 4), &got[0]), 4);
}

#[test]
fn source_waits_for_its_server_when_it_is_full() {
    let (gate, origins) = held(3);
    let settings = [", maxconn = 1", ", maxconn = 1", ", maxconn = 1"];
    let proxy = Proxy::start(&config(&origins, &settings, "balance = \"source\""));
    let mut first = asking(&proxy);
    proxy.wait_csv("one under way", |csv| cell(csv, "web", "BACKEND", "scur") == "1");
    let mut second = asking(&proxy);
    queued(&proxy, 1);
    assert_eq!(origins.iter().map(Origin::served).sum::<usize>(), 1, "the second went to another server");
    gate.open();
    assert_eq!(first.response().unwrap().text(), second.response().unwrap().text());
}

#[test]
fn leastconn_goes_where_least_is_under_way() {
    let (gate, origins) = held(3);
    let proxy = Proxy::start(&config(&origins, &[], "balance = \"leastconn\""));
    let mut clients: Vec<RawClient> = Vec::new();
    for n in 1..=6 {
        clients.push(asking(&proxy));
        // The next is sent when this one has arrived: only then does the proxy know about it for certain.
        proxy.wait_csv("counted", |csv| cell(csv, "web", "BACKEND", "scur") == n.to_string());
    }
    arrived(&origins, &[2, 2, 2]);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().unwrap().status(), 200);
    }
}

#[test]
fn leastconn_respects_weights() {
    let (gate, origins) = held(2);
    let proxy = Proxy::start(&config(&origins, &[", weight = 1", ", weight = 3"], "balance = \"leastconn\""));
    let mut clients: Vec<RawClient> = Vec::new();
    for n in 1..=8 {
        clients.push(asking(&proxy));
        proxy.wait_csv("counted", |csv| cell(csv, "web", "BACKEND", "scur") == n.to_string());
    }
    arrived(&origins, &[2, 6]);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().unwrap().status(), 200);
    }
}

#[test]
fn a_raised_maxconn_lets_the_queue_move_on() {
    let (gate, origins) = held(1);
    let mut proxy = Proxy::start(&config(&origins, &[", maxconn = 1"], ""));
    let mut clients: Vec<RawClient> = (0..3).map(|_| asking(&proxy)).collect();
    queued(&proxy, 2);
    assert!(proxy.reload(&config(&origins, &[", maxconn = 3"], "")).status.success());
    arrived(&origins, &[3]);
    queued(&proxy, 0);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().unwrap().text(), "o0");
    }
}

#[test]
fn a_queue_outlives_its_server() {
    // The only server that the waiting could have goes down: they are answered and do not wait for ever.
    let gate = Gate::new();
    let held = gate.clone();
    let mut origins = [Origin::start(Script::with(move |_, _| vec![Act::Body, Act::Wait(held.clone())]))];
    let check = "check = { interval = \"20ms\", fall = 1, rise = 1 }\nretries = 0";
    let proxy = Proxy::start(&config(&origins, &[", maxconn = 1"], check));
    proxy.wait_csv("checked", |csv| cell(csv, "web", "o0", "check_status") == "L4OK");
    let mut first = asking(&proxy);
    arrived(&origins, &[1]);
    let mut second = asking(&proxy);
    queued(&proxy, 1);
    origins[0].stop();
    gate.open();
    assert_eq!(first.response().unwrap().status(), 502);
    // 503 for a port that refuses; another test that is just starting a process may hold a copy of the listener for a moment,
    // and then the connection is made and lost.
    let status = second.response().unwrap().status();
    assert!(matches!(status, 502 | 503), "{status}");
}

#[test]
fn a_server_that_joins_by_reload_serves_the_queue() {
    let (gate, origins) = held(2);
    let mut proxy = Proxy::start(&config(&origins[..1], &[", maxconn = 1"], ""));
    let mut first = asking(&proxy);
    arrived(&origins, &[1]);
    let mut second = asking(&proxy);
    queued(&proxy, 1);
    assert!(proxy.reload(&config(&origins, &[", maxconn = 1", ", maxconn = 1"], "")).status.success());
    let mut third = asking(&proxy);
    gate.open();
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(client.response().unwrap().status(), 200);
    }
}

/// The server that joined is not in the configuration of the request that waits: it is passed over, and the wait still ends.
#[test]
fn a_wait_ends_in_time_although_a_later_server_is_free() {
    let (gate, origins) = held(2);
    let short = |text: String| text.replace("timeout.queue = \"60s\"", "timeout.queue = \"500ms\"");
    let mut proxy = Proxy::start(&short(config(&origins[..1], &[", maxconn = 1"], "")));
    let mut first = asking(&proxy);
    arrived(&origins, &[1]);
    let mut second = asking(&proxy);
    queued(&proxy, 1);
    assert!(proxy.reload(&short(config(&origins, &[", maxconn = 1", ", maxconn = 1"], ""))).status.success());
    assert_eq!(second.response().unwrap().status(), 503);
    queued(&proxy, 0);
    gate.open();
    assert_eq!(first.response().unwrap().status(), 200);
}
