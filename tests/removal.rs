//! Reloads that take something away or move it: servers with open tunnels, frontends with kept connections, addresses that
//! change hands, and files that are refused.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::thread;

use evenkeel_testkit::{Act, Gate, Load, Origin, Proxy, RawClient, Script, WsClient, WsEcho};

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const GLOBAL: &str = "[global]\nthreads = 2\nadmin = { listen = \"@admin@\" }\nlog = [\"stdout\"]\n\n";

/// A backend with the WebSocket server `ws`, or with another one in its place.
fn sockets(echo: &WsEcho, other: &Origin, with: bool, on_remove: &str) -> String {
    let server = if with {
        format!("{{ name = \"ws\", address = \"{}\" }}", echo.addr())
    } else {
        format!("{{ name = \"new\", address = \"{}\" }}", other.addr())
    };
    format!("{GLOBAL}[listen.web]\nbind = [\"@web@\"]\n{on_remove}\nserver = [{server}]\n")
}

/// Opens a WebSocket, removes its server, and hands over what is left.
fn removed(on_remove: &str) -> (Proxy, WsClient, (WsEcho, Origin)) {
    let (echo, other) = (WsEcho::start(), Origin::start(Script::always("new")));
    let mut proxy = Proxy::start(&sockets(&echo, &other, true, on_remove));
    let mut client = WsClient::connect(proxy.addr("web"), "/ws").unwrap();
    assert_eq!(client.echo("before").as_deref(), Ok("before"));
    assert!(proxy.reload(&sockets(&echo, &other, false, on_remove)).status.success());
    let mut fresh = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(fresh.ask(ASK).unwrap().text(), "new", "new requests go to the servers of the new file");
    (proxy, client, (echo, other))
}

#[test]
fn keep_lets_a_tunnel_live_on() {
    for on_remove in ["", "on-remove = \"keep\""] {
        let (proxy, mut client, _servers) = removed(on_remove);
        proxy.wait_metric("evenkeel_config_generations", 1.0);
        for n in 0..3 {
            let text = format!("after {n}");
            assert_eq!(client.echo(&text).as_deref(), Ok(text.as_str()), "{on_remove}");
        }
    }
}

#[test]
fn close_ends_a_tunnel_at_once() {
    let (proxy, mut client, _servers) = removed("on-remove = \"close\"");
    assert!(client.echo("after").is_err(), "the tunnel of a removed server is still open");
    let line = proxy.process().wait_line(0, "of the tunnel", |l| l.contains(" 101 "));
    assert!(line.contains(" web/ws ") && line.contains(" DD-- "), "{line}");
}

#[test]
fn drain_gives_a_tunnel_its_time() {
    // Long enough that the first echo comes before its end on any machine, short enough to wait for.
    let (proxy, mut client, _servers) = removed("on-remove = \"drain 1500ms\"");
    assert_eq!(client.echo("after").as_deref(), Ok("after"), "drain is not close");
    while client.echo("still there?").is_ok() {
        thread::yield_now();
    }
    let line = proxy.process().wait_line(0, "of the tunnel", |l| l.contains(" 101 "));
    assert!(line.contains(" DD-- "), "{line}");
}

/// `on-remove` of the server wins over that of its backend, and it is the old file's: the new one does not know the server.
#[test]
fn a_servers_own_on_remove_wins() {
    let (echo, other) = (WsEcho::start(), Origin::start(Script::always("new")));
    let config = |ws: bool| {
        let ws = if ws {
            format!(", {{ name = \"ws\", address = \"{}\", weight = 0, on-remove = \"close\" }}", echo.addr())
        } else {
            String::new()
        };
        let sockets = if ws.is_empty() { String::new() } else { ws[2..].replace("weight = 0, ", "") };
        let backend = if sockets.is_empty() {
            String::new()
        } else {
            format!("[backend.ws]\non-remove = \"keep\"\nserver = [{sockets}]\n")
        };
        let rule = if backend.is_empty() { "" } else { "use_backend = [\"ws if { path /ws }\"]\n" };
        format!(
            "{GLOBAL}[frontend.web]\nbind = [\"@web@\"]\n{rule}default_backend = \"app\"\n\n{backend}\n\
             [backend.app]\nserver = [{{ name = \"new\", address = \"{}\" }}]\n",
            other.addr()
        )
    };
    let mut proxy = Proxy::start(&config(true));
    let mut client = WsClient::connect(proxy.addr("web"), "/ws").unwrap();
    assert_eq!(client.echo("before").as_deref(), Ok("before"));
    assert!(proxy.reload(&config(false)).status.success());
    assert!(client.echo("after").is_err(), "the whole backend went, and its server asked for close");
}

#[test]
fn close_ends_tcp_connections_too() {
    let origin = Origin::start(Script::Raw(vec![Act::Send(b"hi".to_vec()), Act::DrainToEof]));
    let other = Origin::start(Script::always(""));
    let config = |name: &str, to: &Origin| {
        format!(
            "{GLOBAL}[listen.db]\nmode = \"tcp\"\nbind = [\"@db@\"]\non-remove = \"close\"\nserver = [{{ name = \"{name}\", address = \"{}\" }}]\n",
            to.addr()
        )
    };
    let mut proxy = Proxy::start(&config("old", &origin));
    let mut client = RawClient::connect(proxy.addr("db")).unwrap();
    assert_eq!(client.exactly(2).unwrap(), b"hi");
    assert!(proxy.reload(&config("new", &other)).status.success());
    client.rest().unwrap();
    let line = proxy.process().wait_line(0, "of the connection", |l| l.contains(" db/old "));
    assert!(line.contains(" DD "), "{line}");
}

/// Two frontends on two addresses over the same backend; the second can be left out.
fn two_fronts(origin: &Origin, second: bool) -> String {
    let second = if second { "[frontend.two]\nbind = [\"@two@\"]\ndefault_backend = \"app\"\n\n" } else { "" };
    format!(
        "{GLOBAL}[frontend.one]\nbind = [\"@one@\"]\ndefault_backend = \"app\"\n\n{second}\
         [backend.app]\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
        origin.addr()
    )
}

#[test]
fn a_kept_connection_of_a_removed_frontend_is_answered_once_more() {
    let origin = Origin::start(Script::always("ok"));
    let mut proxy = Proxy::start(&two_fronts(&origin, true));
    let mut client = RawClient::connect(proxy.addr("two")).unwrap();
    assert_eq!(client.ask(ASK).unwrap().text(), "ok");
    assert!(proxy.reload(&two_fronts(&origin, false)).status.success());
    assert!(RawClient::connect(proxy.addr("two")).is_err(), "the removed frontend still listens");
    let last = client.ask(ASK).unwrap();
    assert_eq!((last.text().as_str(), last.head.get("connection")), ("ok", Some("close")));
    assert_eq!(client.rest().unwrap().0, b"");
    proxy.wait_metric("evenkeel_config_generations", 1.0);
}

/// The same while another frontend is busy, so that workers take the new configuration before they hear of the listener.
#[test]
fn a_kept_connection_of_a_removed_frontend_is_answered_under_load() {
    let origin = Origin::start(Script::always("ok"));
    let mut proxy = Proxy::start(&two_fronts(&origin, true));
    let load = Load::start(proxy.addr("one"), "/", 4);
    load.wait_more(20);
    for n in 0..15 {
        let mut clients: Vec<RawClient> = (0..4).map(|_| RawClient::connect(proxy.addr("two")).unwrap()).collect();
        for client in &mut clients {
            assert_eq!(client.ask(ASK).unwrap().text(), "ok");
        }
        assert!(proxy.reload(&two_fronts(&origin, false)).status.success());
        for client in &mut clients {
            let last = client.ask(ASK).unwrap_or_else(|e| panic!("round {n}: closed without an answer: {e}"));
            assert_eq!((last.text().as_str(), last.head.get("connection")), ("ok", Some("close")), "round {n}");
        }
        assert!(proxy.reload(&two_fronts(&origin, true)).status.success());
        load.wait_more(20);
    }
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
}

#[test]
fn an_address_moves_from_one_frontend_to_another() {
    let origin = Origin::start(Script::always("ok"));
    let config = |owner: &str, other: &str| {
        format!(
            "{GLOBAL}[frontend.{owner}]\nbind = [\"@web@\"]\nhttp-request = [\"set-header X-Front {owner}\"]\ndefault_backend = \"app\"\n\n\
             [frontend.{other}]\nbind = [\"@other@\"]\nhttp-request = [\"set-header X-Front {other}\"]\ndefault_backend = \"app\"\n\n\
             [backend.app]\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
            origin.addr()
        )
    };
    let last_front = || origin.seen().last().and_then(|r| r.message.head.get("x-front").map(str::to_owned));
    let mut proxy = Proxy::start(&config("a", "b"));
    let mut kept = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(kept.ask(ASK).unwrap().text(), "ok");
    assert_eq!(last_front().as_deref(), Some("a"));
    for (owner, other) in [("b", "a"), ("a", "b"), ("b", "a")] {
        let out = proxy.reload(&config(owner, other));
        assert!(out.status.success(), "{out:?}");
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        assert_eq!(client.ask(ASK).unwrap().text(), "ok");
        assert_eq!(last_front().as_deref(), Some(owner));
    }
    // The connection that was there all along is still served, by the frontend it came to.
    assert_eq!(kept.ask(ASK).unwrap().text(), "ok");
}

/// `127.0.0.1:P` and `:P` cannot be held at once, but they are the same process's.
#[test]
fn an_address_is_widened_to_all() {
    let origin = Origin::start(Script::always("ok"));
    let port = evenkeel_testkit::free_port().port();
    let config = |host: &str| {
        format!(
            "{GLOBAL}[listen.web]\nbind = [\"{host}:{port}\"]\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
            origin.addr()
        )
    };
    let mut proxy = Proxy::start(&config("127.0.0.1"));
    let out = proxy.reload(&config(""));
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut client = RawClient::connect(([127, 0, 0, 2], port).into()).unwrap();
    assert_eq!(client.ask(ASK).unwrap().text(), "ok");
}

#[test]
fn the_admin_address_moves() {
    let origin = Origin::start(Script::always("ok"));
    let config = |admin: &str| {
        format!(
            "[global]\nthreads = 1\nadmin = {{ listen = \"@{admin}@\" }}\n\n[listen.web]\nbind = [\"@web@\"]\nserver = [{{ name = \"s\", address = \"{}\" }}]\n# @admin@ @second@\n",
            origin.addr()
        )
    };
    let mut proxy = Proxy::start(&config("admin"));
    let old = proxy.addr("admin");
    proxy.write(&config("second"));
    let out = proxy.reload_command();
    assert!(out.status.success(), "{out:?}");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("admin"), "{said}");
    let mut there = RawClient::connect(proxy.addr("second")).unwrap();
    let answer = there.ask("GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(answer.status(), 200);
    let end = std::time::Instant::now() + evenkeel_testkit::DEADLINE;
    while RawClient::connect(old).is_ok() {
        assert!(std::time::Instant::now() < end, "the old admin address is still open");
    }
    // And back; a taken one is refused by name.
    proxy.write(&config("admin"));
    assert!(proxy.reload_command().status.success());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let out = proxy.reload(&config("admin").replacen("@admin@", &addr, 1));
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains(&addr) && said.contains("in use"), "{said}");
    assert_eq!(proxy.admin("/readyz").status(), 200);
}

#[test]
fn what_needs_a_restart_is_said_by_name() {
    let origin = Origin::start(Script::always("ok"));
    let config = |global: &str, weight: u32| {
        format!(
            "[global]\nadmin = {{ listen = \"@admin@\" }}\n{global}\n\n[listen.web]\nbind = [\"@web@\"]\nserver = [{{ name = \"s\", address = \"{}\", weight = {weight} }}]\n",
            origin.addr()
        )
    };
    let mut proxy = Proxy::start(&config("threads = 1", 1));
    let changed = "threads = 2\npidfile = \"/nowhere/evenkeel.pid\"\ntune.bufsize = \"32k\"\ntune.bulk-bufsize = \"256k\"\ntune.log-buffer = \"2m\"";
    let out = proxy.reload(&config(changed, 7));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{out:?}");
    for key in ["threads", "pidfile", "tune.bufsize", "tune.bulk-bufsize", "tune.log-buffer"] {
        let line = said.lines().find(|l| l.starts_with("! needs a restart: ") && l.contains(key));
        assert!(line.is_some(), "nothing about {key} in:\n{said}");
    }
    // The rest took effect.
    assert!(said.lines().any(|l| l.starts_with("~ server web/s: ") && l.contains("weight 1 -> 7")), "{said}");
    assert_eq!(evenkeel_tests::cell(&proxy.admin("/stats;csv").text(), "web", "s", "weight"), "7");
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(ASK).unwrap().text(), "ok");
}

#[test]
fn an_upload_goes_on_over_a_reload() {
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let origin = Origin::start(Script::always("thanks"));
    let config = |rule: &str| {
        format!(
            "{GLOBAL}[listen.web]\nbind = [\"@web@\"]\nhttp-request = [\"{rule}\"]\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
            origin.addr()
        )
    };
    let mut proxy = Proxy::start(&config("set-header X-Rule old"));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len())).unwrap();
    let half = body.len() / 2;
    client.send(&body[..half]).unwrap();
    origin.wait_seen(|s| s.len() == 1).unwrap();
    assert!(proxy.reload(&config("deny")).status.success());
    client.send(&body[half..]).unwrap();
    assert_eq!(client.response().unwrap().text(), "thanks");
    let seen = &origin.seen()[0];
    assert!(seen.message.complete && seen.message.body == body, "the body differs");
    assert_eq!(seen.message.head.get("x-rule"), Some("old"));
    assert_eq!(client.ask(ASK).unwrap().status(), 403, "the next request is under the new rules");
    proxy.wait_metric("evenkeel_config_generations", 1.0);
}

/// Errors of a file that does not parse are shown by the command that asked for the reload: file, line, the text, a caret.
#[test]
fn reload_shows_where_the_syntax_is_wrong() {
    let origin = Origin::start(Script::always("ok"));
    let good = format!(
        "{GLOBAL}[listen.web]\nbind = [\"@web@\"]\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
        origin.addr()
    );
    let mut proxy = Proxy::start(&good);
    let out = proxy.reload(&good.replace("server = [", "server = [["));
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("EK0102") && said.contains("evenkeel.toml:8"), "{said}");
    let at = said.lines().position(|l| l.contains("server = [[")).unwrap_or_else(|| panic!("no source line: {said}"));
    assert!(said.lines().nth(at + 1).is_some_and(|l| l.contains('^')), "no caret below it: {said}");
    assert!(said.contains("generation 1 stays in force"), "{said}");
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(ASK).unwrap().text(), "ok");
}

/// A request that waits for its server while the configuration changes twice under it.
#[test]
fn two_reloads_during_one_request() {
    let gate = Gate::new();
    let origin = Origin::start(Script::held(&gate, "at last"));
    let config = |n: u32| {
        format!(
            "{GLOBAL}[listen.web]\nbind = [\"@web@\"]\nretries = {n}\nserver = [{{ name = \"s\", address = \"{}\" }}]\n",
            origin.addr()
        )
    };
    let mut proxy = Proxy::start(&config(1));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    client.send(ASK).unwrap();
    origin.wait_seen(|s| s.len() == 1).unwrap();
    assert!(proxy.reload(&config(2)).status.success());
    assert!(proxy.reload(&config(3)).status.success());
    // Nobody uses the second one any more.
    proxy.wait_metric("evenkeel_config_generations", 2.0);
    gate.open();
    assert_eq!(client.response().unwrap().text(), "at last");
    proxy.wait_metric("evenkeel_config_generations", 1.0);
}
