//! Check loops against scripted origins on loopback, and what a reload does to them.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::net::SocketAddr;

use evenkeel_config as config;
use evenkeel_health::CheckStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::Id;

use super::*;
use crate::lease::Lease;
use crate::registry::Registry;

/// Bounds how long a failure takes; nothing waits for it otherwise.
const DEADLINE: Duration = Duration::from_secs(20);

fn run<F: Future>(test: F) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await }).expect("what was awaited did not come");
}

/// A registry and a checker over it, as the supervisor has them.
struct House {
    registry: Registry,
    checker: Checker,
    notices: UnboundedReceiver<Notice>,
}

impl House {
    fn new() -> House {
        let (sender, notices) = unbounded_channel();
        let sink = Rc::new(move |notice| drop(sender.send(notice)));
        House { registry: Registry::new(1), checker: Checker::new(sink), notices }
    }

    /// Takes in a backend with these servers; `more` are further keys of the backend.
    fn reload_with(&mut self, more: &str, servers: &[&str]) -> Vec<Arc<Server>> {
        let lines: Vec<String> = servers.iter().map(|s| format!("  {{ {s} }},\n")).collect();
        let text = format!("[backend.b]\n{more}\nserver = [\n{}]\n", lines.concat());
        let conf = config::config_from_str(&text).unwrap_or_else(|rendered| panic!("{text}\n{rendered}"));
        let groups = self.registry.build(&conf, &evenkeel_config::Tls::default());
        self.registry.commit(&groups);
        self.checker.follow(&groups);
        groups[0].slots.iter().map(|s| s.server.clone()).collect()
    }

    fn reload(&mut self, server: &str) -> Arc<Server> {
        self.reload_with("", &[server]).remove(0)
    }

    fn task(&self, server: &Server) -> Option<Id> {
        self.checker.loops.get(&server.index).map(|l| l.task.id())
    }

    async fn notice(&mut self) -> (u8, String) {
        let notice = self.notices.recv().await.unwrap();
        (notice.level, notice.text)
    }
}

/// An origin that answers each request with the status it is told to give, and tells how often it was asked.
struct Origin {
    address: SocketAddr,
    status: Rc<Cell<u16>>,
    asked: Rc<Cell<u32>>,
}

impl Origin {
    async fn new() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin =
            Origin { address: listener.local_addr().unwrap(), status: Rc::new(Cell::new(200)), asked: Rc::default() };
        let (status, asked) = (origin.status.clone(), origin.asked.clone());
        tokio::task::spawn_local(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|n| n != 0) {}
                asked.set(asked.get() + 1);
                let answer = format!("HTTP/1.1 {} Any\r\nContent-Length: 0\r\n\r\n", status.get());
                // The checker may have given up on it; the next one counts.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        origin
    }

    /// A server of this origin that is checked often.
    fn server(&self, check: &str) -> String {
        server(self.address, &format!("type = \"http\", uri = \"/up\", {check}"))
    }
}

fn server(address: SocketAddr, check: &str) -> String {
    let often = "interval = \"5ms\", fastinter = \"5ms\", downinter = \"5ms\", timeout = \"20s\"";
    format!("name = \"a\", address = \"{address}\", check = {{ {check}, {often} }}")
}

/// A check that has no occasion to run within a test.
fn seldom(port: u16, check: &str) -> String {
    format!("name = \"a\", address = \"127.0.0.1:{port}\", check = {{ interval = \"1h\", {check} }}")
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_server_goes_down_after_fall_failures_and_up_after_rise_successes() {
    run(async {
        let (mut house, origin) = (House::new(), Origin::new().await);
        let server =
            house.reload(&format!("{}, maxconn = 1", origin.server("rise = 2, fall = 3, init-state = \"fully-up\"")));
        until(|| server.check_status() == Some(CheckStatus::L7Ok)).await;
        assert!(server.is_up());
        assert_eq!((server.status().as_str(), server.check().failures), ("UP", 0));

        let before = server.backend.version();
        origin.status.set(503);
        let (level, text) = house.notice().await;
        assert_eq!(level, 1);
        assert!(text.starts_with("Server b/a is DOWN, reason: Layer7 wrong status, code: 503"), "{text}");
        assert_eq!(house.notice().await, (0, "backend b has no server available!".to_owned()));
        assert!(!server.is_up() && server.backend.version() > before);
        let check = server.check();
        assert!(check.failures >= 3 && check.downs == 1, "{check:?}");
        assert_eq!(check.last_failure.unwrap().0.code, Some(503));
        assert_eq!((server.backend.availability().0, server.backend.availability().2), (false, 1));

        // Who waits for the backend meanwhile is served when the server is back.
        let waiter = crate::Waiter::for_backend(&server.backend, std::iter::once(&server), crate::Rank::default());
        origin.status.set(200);
        let (level, text) = house.notice().await;
        assert_eq!(level, 5);
        assert!(text.starts_with("Server b/a is UP, reason: Layer7 check passed, code: 200"), "{text}");
        assert!(server.is_up() && server.backend.availability().0);
        let lease: Lease = waiter.await.unwrap();
        assert!(Arc::ptr_eq(lease.server(), &server));
        assert_eq!(server.check().last_failure.unwrap().0.code, Some(503), "the last failure is remembered");
    });
}

#[test]
fn a_port_that_begins_to_listen_brings_its_server_up() {
    run(async {
        let mut house = House::new();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = house.reload(&server(socket.local_addr().unwrap(), "rise = 1, fall = 1"));
        let (level, text) = house.notice().await;
        assert_eq!(level, 1);
        assert!(text.contains("is DOWN, reason: Layer4 connection problem"), "{text}");
        assert_eq!(house.notice().await.0, 0);
        let _listening = socket.listen(64).unwrap();
        let (level, text) = house.notice().await;
        assert_eq!(level, 5);
        assert!(text.contains("is UP, reason: Layer4 check passed"), "{text}");
        assert!(server.is_usable());
    });
}

#[test]
fn results_are_told_one_by_one_when_asked_for() {
    run(async {
        let (mut house, origin) = (House::new(), Origin::new().await);
        let line = origin.server("rise = 2, fall = 1000, init-state = \"fully-up\"");
        house.reload_with("option.log-health-checks = true", &[&line]);
        let (level, text) = house.notice().await;
        assert_eq!(level, 5);
        assert!(text.starts_with("Health check for server b/a succeeded, reason: Layer7 check passed"), "{text}");
        origin.status.set(500);
        let (level, text) = house.notice().await;
        assert_eq!(level, 1);
        assert!(
            text.starts_with("Health check for server b/a failed, reason: Layer7 wrong status, code: 500"),
            "{text}"
        );
        // The same result again is no news: the next notice is about the next difference.
        let seen = origin.asked.get();
        until(|| origin.asked.get() > seen + 3).await;
        origin.status.set(502);
        assert!(house.notice().await.1.contains("code: 502"));
    });
}

#[test]
fn a_loop_whose_check_did_not_change_goes_on() {
    run(async {
        let (mut house, origin) = (House::new(), Origin::new().await);
        let line = origin.server("rise = 1, fall = 1");
        let server = house.reload(&line);
        let task = house.task(&server);
        origin.status.set(500);
        house.notice().await;
        for more in ["weight = 9", "maxconn = 3", "backup = true", "disabled = true"] {
            house.reload(&format!("{line}, {more}"));
            assert_eq!(house.task(&server), task, "{more}");
            assert!(!server.is_up(), "{more}");
        }
        // It still asks.
        let seen = origin.asked.get();
        house.reload(&line);
        until(|| origin.asked.get() > seen).await;
    });
}

#[test]
fn a_server_in_maintenance_is_not_asked() {
    run(async {
        let (mut house, origin) = (House::new(), Origin::new().await);
        let idle = Origin::new().await;
        let line = origin.server("rise = 1, fall = 1");
        let off = idle.server("rise = 1, fall = 1").replace("\"a\"", "\"off\"");
        let servers = house.reload_with("", &[&line, &format!("{off}, disabled = true")]);
        until(|| origin.asked.get() > 20).await;
        assert_eq!(idle.asked.get(), 0);
        servers[1].set_admin(Admin::Ready);
        until(|| idle.asked.get() > 0).await;
    });
}

#[test]
fn new_thresholds_restart_the_loop_and_keep_the_state() {
    run(async {
        let mut house = House::new();
        let server = house.reload(&seldom(1, "rise = 2, fall = 3, init-state = \"down\""));
        let task = house.task(&server);
        assert_eq!(house.notice().await, (0, "backend b has no server available!".to_owned()));
        assert_eq!((server.is_up(), server.status().as_str()), (false, "DOWN 1/2"));
        house.reload(&seldom(1, "rise = 5, fall = 3, init-state = \"up\""));
        assert_ne!(house.task(&server), task);
        assert_eq!((server.is_up(), server.status().as_str()), (false, "DOWN 1/5"));
        assert!(house.notices.try_recv().is_err(), "nothing that was not known");
    });
}

#[test]
fn a_new_address_begins_anew_and_serves_who_waits() {
    run(async {
        let mut house = House::new();
        let server = house.reload(&seldom(1, "init-state = \"fully-down\""));
        let task = house.task(&server);
        let waiter = crate::Waiter::for_backend(&server.backend, std::iter::once(&server), crate::Rank::default());
        assert_eq!((server.is_usable(), server.backend.queued()), (false, 1));
        let again = house.reload(&seldom(2, "init-state = \"up\""));
        assert!(Arc::ptr_eq(&server, &again));
        assert_ne!(house.task(&server), task);
        assert!(server.is_usable() && server.backend.availability().0);
        assert_eq!(server.backend.queued(), 0, "it is up: nobody has to wait");
        drop(waiter);
        let task = house.task(&server);
        house.reload(&seldom(3, "init-state = \"fully-down\""));
        assert_ne!(house.task(&server), task);
        assert!(!server.is_up(), "only the address changed: health begins as configured");
    });
}

#[test]
fn who_is_checked_no_more_is_up_and_its_loop_ends() {
    run(async {
        let mut house = House::new();
        let plain = "name = \"a\", address = \"127.0.0.1:1\"";
        for (more, without) in [("", plain), ("disabled = true", &seldom(1, "init-state = \"down\""))] {
            let server = house.reload(&seldom(1, "init-state = \"down\""));
            assert!(!server.is_up());
            let ended = house.checker.loops[&server.index].task.abort_handle();
            house.reload_with(more, &[without]);
            assert!(house.checker.loops.is_empty(), "{more}");
            assert_eq!((server.is_up(), server.status().as_str()), (true, "no check"), "{more}");
            until(|| ended.is_finished()).await;
        }
    });
}

#[test]
fn a_removed_server_is_not_asked_and_not_kept() {
    run(async {
        let mut house = House::new();
        let other = "name = \"other\", address = \"127.0.0.1:1\"";
        let mut servers = house.reload_with("", &[&seldom(1, ""), other]);
        let gone = Arc::downgrade(&servers.remove(0));
        drop(servers);
        let ended = house.checker.loops.values().next().unwrap().task.abort_handle();
        house.reload_with("", &[other]);
        assert!(house.checker.loops.is_empty());
        until(|| ended.is_finished()).await;
        assert_eq!(gone.strong_count(), 0, "nothing holds it any more");
    });
}
