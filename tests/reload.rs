//! Changing everything under traffic: nobody outside may notice, and a broken file changes nothing.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use evenkeel_testkit::message::Body;
use evenkeel_testkit::{Act, Gate, Load, Origin, Proxy, RawClient, Rng, Script, WsClient, WsEcho};

/// Bytes of a download that lasts as long as the test wants: it waits in the middle.
const DOWNLOAD: usize = 4_000_000;

struct Farm {
    origins: Vec<Origin>,
    sockets: WsEcho,
    half: Gate,
}

impl Farm {
    fn start() -> Farm {
        let half = Gate::new();
        let gate = half.clone();
        let script = Script::with(move |r, _| match r.message.head.target() {
            "/download" => vec![
                Act::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWNLOAD}\r\n\r\n").into_bytes()),
                Act::SendMany(DOWNLOAD / 2),
                Act::Wait(gate.clone()),
                Act::SendMany(DOWNLOAD - DOWNLOAD / 2),
            ],
            _ => vec![Act::Body, Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())],
        });
        Farm { origins: (0..3).map(|_| Origin::start(script.clone())).collect(), sockets: WsEcho::start(), half }
    }

    /// The n-th configuration: weights, servers, rules and a listener change with it.
    fn config(&self, n: usize) -> String {
        let extra = if n % 2 == 1 { ", \"@extra@\"" } else { "" };
        let rule = format!("set-header X-Generation {n}");
        let deny = if n % 3 == 1 { ", \"deny if { path /never }\"" } else { "" };
        let servers: Vec<String> = (0..3)
            .filter(|i| *i == 0 || n % 4 != *i)
            .map(|i| {
                format!("{{ name = \"o{i}\", address = \"{}\", weight = {} }}", self.origins[i].addr(), 1 + (n + i) % 5)
            })
            .collect();
        format!(
            "[global]\nthreads = 2\nadmin = {{ listen = \"@admin@\" }}\n\n\
             [frontend.web]\nbind = [\"@web@\"{extra}]\nhttp-request = [\"{rule}\"{deny}]\n\
             use_backend = [\"sockets if {{ path_beg /ws }}\"]\ndefault_backend = \"app\"\n\n\
             [backend.app]\nbalance = \"{}\"\nserver = [{}]\n\n\
             [backend.sockets]\nserver = [{{ name = \"ws\", address = \"{}\" }}]\n",
            ["roundrobin", "leastconn", "random"][n % 3],
            servers.join(", "),
            self.sockets.addr()
        )
    }
}

#[test]
fn twenty_reloads_under_load_are_not_noticed() {
    let farm = Farm::start();
    let mut proxy = Proxy::start(&farm.config(0));
    let web = proxy.addr("web");

    let mut sockets: Vec<WsClient> = (0..10).map(|_| WsClient::connect(web, "/ws").unwrap()).collect();
    let downloads: Vec<thread::JoinHandle<Result<usize, String>>> = (0..3)
        .map(|_| {
            let mut client = RawClient::connect(web).unwrap();
            client.send("GET /download HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            client.wait_for("\r\n\r\n").unwrap();
            thread::spawn(move || {
                let message = client.response().map_err(|e| e.to_string())?;
                if message.complete { Ok(message.body.len()) } else { Err(format!("cut at {}", message.body.len())) }
            })
        })
        .collect();
    let load = Load::start(web, "/", 8);
    load.wait_more(50);

    let before = proxy.process().rss_kib();
    for n in 1..=20 {
        let out = proxy.reload(&farm.config(n));
        assert!(out.status.success(), "reload {n}: {out:?}");
        load.wait_more(20);
        for (i, socket) in sockets.iter_mut().enumerate() {
            let text = format!("reload {n} socket {i}");
            assert_eq!(socket.echo(&text).as_deref(), Ok(text.as_str()));
        }
        let extra = RawClient::connect(proxy.addr("extra"));
        assert_eq!(extra.is_ok(), n % 2 == 1, "reload {n}: the second listener");
    }
    farm.half.open();
    for download in downloads {
        assert_eq!(download.join().unwrap(), Ok(DOWNLOAD));
    }
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{} good, then: {:?}", tally.good, tally.failures);

    assert_eq!(proxy.metric("evenkeel_config_reloads_total{result=\"ok\"}"), Some(20.0));
    assert_eq!(proxy.metric("evenkeel_config_last_reload_success"), Some(1.0));
    // The sockets are still open: an upgraded connection holds its server, not the configuration it came under.
    proxy.wait_metric("evenkeel_config_generations", 1.0);
    for socket in &mut sockets {
        assert_eq!(socket.echo("still here").as_deref(), Ok("still here"));
    }
    sockets.into_iter().for_each(WsClient::close);
    let after = proxy.process().rss_kib();
    assert!(after < before + 20_000, "resident memory went from {before} to {after} KiB");
}

#[test]
fn a_broken_file_changes_nothing_and_says_why() {
    let farm = Farm::start();
    let mut proxy = Proxy::start(&farm.config(0));
    let load = Load::start(proxy.addr("web"), "/", 2);
    load.wait_more(10);
    let broken = farm.config(1).replace("balance = ", "balence = ");
    let mark = proxy.process().mark();
    let out = proxy.reload(&broken);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("balence") && said.contains("balance") && said.contains("evenkeel.toml:"), "{said}");
    proxy.process().wait_line(mark, "about the failed reload", |l| l.contains("reload failed"));
    load.wait_more(10);
    assert!(RawClient::connect(proxy.addr("extra")).is_err(), "the broken file opened its listener");
    assert_eq!(proxy.metric("evenkeel_config_reloads_total{result=\"failed\"}"), Some(1.0));
    assert_eq!(proxy.metric("evenkeel_config_last_reload_success"), Some(0.0));
    assert!(proxy.admin("/stats").text().contains("balence"), "the page does not show why");
    // A good file afterwards is taken, and the page forgets.
    assert!(proxy.reload(&farm.config(1)).status.success());
    assert_eq!(proxy.metric("evenkeel_config_last_reload_success"), Some(1.0));
    assert!(!proxy.admin("/stats").text().contains("balence"));
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
}

#[test]
fn a_port_that_is_taken_changes_nothing() {
    let farm = Farm::start();
    let mut proxy = Proxy::start(&farm.config(0));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let config = farm.config(2).replace("[\"@web@\"]", &format!("[\"@web@\", \"@extra@\", \"{addr}\"]"));
    let out = proxy.reload(&config);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains(&addr) && said.contains("in use"), "{said}");
    assert!(RawClient::connect(proxy.addr("extra")).is_err(), "the listener before the taken one stayed open");
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status(), 200);
    // Once it is free, the same file is taken.
    drop(taken);
    assert!(proxy.reload(&config).status.success());
    assert!(RawClient::connect(proxy.addr("extra")).is_ok());
}

#[test]
fn signals_reload_too() {
    let farm = Farm::start();
    let mut proxy = Proxy::start(&farm.config(0));
    for (i, signal) in [nix::sys::signal::Signal::SIGHUP, nix::sys::signal::Signal::SIGUSR2].into_iter().enumerate() {
        proxy.write(&farm.config(i + 1));
        proxy.signal(signal);
        proxy.wait_metric("evenkeel_config_reloads_total{result=\"ok\"}", (i + 1) as f64);
    }
}

#[test]
fn a_kept_connection_takes_the_new_rules_at_its_next_request() {
    let farm = Farm::start();
    let mut proxy = Proxy::start(&farm.config(1));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    let ask = "GET /never HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status(), 200);
    assert!(proxy.reload(&farm.config(2)).status.success());
    assert_eq!(client.ask(ask).unwrap().status(), 200, "the deny rule is gone");
    assert!(proxy.reload(&farm.config(4)).status.success());
    assert_eq!(client.ask(ask).unwrap().status(), 403, "the deny rule is back");
    let seen: Vec<String> = farm
        .origins
        .iter()
        .flat_map(Origin::seen)
        .filter_map(|r| r.message.head.get("x-generation").map(str::to_owned))
        .collect();
    assert!(seen.contains(&"1".to_owned()) && seen.contains(&"2".to_owned()), "{seen:?}");
}

#[test]
fn a_transaction_ends_under_the_rules_it_began_with() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(Script::with(move |_, _| {
        vec![
            Act::Body,
            Act::Wait(held.clone()),
            Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone".to_vec()),
        ]
    }));
    let with = format!("[listen.web]\nbind = [\"@web@\"]\nserver = [\"{}\"]\n", origin.addr());
    let without = "[frontend.web]\nbind = [\"@web@\"]\nhttp-request = [\"deny\"]\n";
    let mut proxy = Proxy::start(&with);
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    origin.wait_seen(|s| s.len() == 1).unwrap();
    assert!(proxy.reload(without).status.success());
    assert_eq!(proxy.metric("evenkeel_config_generations"), Some(2.0), "the old one lives on in the transaction");
    gate.open();
    assert_eq!(client.response().unwrap().text(), "done");
    assert_eq!(client.ask("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status(), 403);
    proxy.wait_metric("evenkeel_config_generations", 1.0);
}

#[test]
fn tcp_connections_outlive_their_configuration() {
    let origin = Origin::start(Script::Raw(vec![
        Act::Await(b"a".to_vec()),
        Act::Send(b"b".to_vec()),
        Act::Await(b"c".to_vec()),
        Act::Send(b"d".to_vec()),
        Act::DrainToEof,
    ]));
    let config = |weight: u32| {
        format!(
            "[listen.db]\nmode = \"tcp\"\nbind = [\"@db@\"]\nserver = [{{ name = \"s\", address = \"{}\", weight = {weight} }}]\n",
            origin.addr()
        )
    };
    let mut proxy = Proxy::start(&config(1));
    let mut client = RawClient::connect(proxy.addr("db")).unwrap();
    client.send("a").unwrap();
    assert_eq!(client.exactly(1).unwrap(), b"b");
    assert!(proxy.reload(&config(2)).status.success());
    // The section goes entirely: its listener closes, its connection stays.
    assert!(proxy.reload("[frontend.other]\nbind = [\"@other@\"]\nhttp-request = [\"deny\"]\n").status.success());
    proxy.wait_metric("evenkeel_config_generations", 1.0);
    assert!(RawClient::connect(proxy.addr("db")).is_err());
    client.send("c").unwrap();
    assert_eq!(client.exactly(1).unwrap(), b"d");
}

/// Requests cut at random places while the configuration changes: the cuts find what whole requests do not.
#[test]
fn pieces_of_requests_survive_reloads() {
    let mut rng = Rng::new(0x5eed);
    let farm = Farm::start();
    let mut proxy = Proxy::start(&farm.config(0));
    let stop = Arc::new(AtomicBool::new(false));
    let web = proxy.addr("web");
    let cuts: Vec<Vec<usize>> = (0..64).map(|_| (0..3).map(|_| rng.below(90)).collect()).collect();
    let (stopped, seed) = (Arc::clone(&stop), rng.seed());
    let sender = thread::spawn(move || {
        let request =
            "POST /p HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                .as_bytes();
        let mut client = RawClient::connect(web).unwrap();
        let mut done = 0;
        while !stopped.load(Ordering::SeqCst) || done == 0 {
            for cut in &cuts {
                let mut at: Vec<usize> = cut.iter().map(|c| c % request.len()).collect();
                at.sort_unstable();
                let mut from = 0;
                for to in at.into_iter().chain([request.len()]) {
                    client.send(&request[from..to]).unwrap();
                    from = to;
                }
                let answer = client.response().unwrap_or_else(|e| panic!("{e} (seed {seed}, cuts {cut:?})"));
                assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "seed {seed}, cuts {cut:?}");
                done += 1;
            }
        }
        done
    });
    for n in 1..=6 {
        assert!(proxy.reload(&farm.config(n)).status.success());
    }
    stop.store(true, Ordering::SeqCst);
    assert!(sender.join().unwrap() >= 64);
    for origin in &farm.origins {
        for r in origin.seen() {
            assert_eq!(Body::of_request(&r.message.head), Body::Chunked);
            assert_eq!((r.message.text().as_str(), r.message.complete), ("hello", true));
        }
    }
}
