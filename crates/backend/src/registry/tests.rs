//! Identity over reloads: what a server keeps, what it loses, and what a build that never comes into force leaves behind.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use evenkeel_health::{Change, CheckStatus, Machine, Report};

use super::*;
use crate::lease::Lease;

/// Servers of a backend `b`, as lines of the array in the file.
fn text(servers: &[&str]) -> String {
    let lines: Vec<String> = servers.iter().map(|s| format!("  {{ {s} }},\n")).collect();
    format!("[backend.b]\nserver = [\n{}]\n", lines.concat())
}

fn parse(text: &str) -> config::Config {
    config::config_from_str(text).unwrap_or_else(|rendered| panic!("{text}\n{rendered}"))
}

type Gone = Vec<(Arc<Server>, config::OnRemove)>;

fn reload(registry: &Registry, text: &str) -> (Vec<Arc<Group>>, Gone) {
    let groups = registry.build(&parse(text), &evenkeel_config::Tls::default());
    let gone = registry.commit(&groups);
    (groups, gone)
}

fn load(registry: &Registry, servers: &[&str]) -> (Vec<Arc<Server>>, Gone) {
    let (groups, gone) = reload(registry, &text(servers));
    (groups[0].slots.iter().map(|s| s.server.clone()).collect(), gone)
}

fn load_one(registry: &Registry, server: &str) -> Arc<Server> {
    let (mut servers, gone) = load(registry, &[server]);
    assert!(gone.is_empty());
    servers.remove(0)
}

/// Gives a server something to lose.
fn mark(server: &Server) {
    server.sheet.shard(0).chosen.add(7);
    server.with_check(|check| {
        check.machine = Some(Machine::new(2, 3, config::InitState::FullyUp));
        check.failures = 5;
    });
}

fn is_marked(server: &Server) -> bool {
    server.sheet.sum(|s| &s.chosen) == 7 && server.check().failures == 5 && server.check().machine.is_some()
}

const PLAIN: &str = r#"name = "a", address = "127.0.0.1:1000""#;

#[test]
fn weight_limits_and_checks_change_around_a_server() {
    let registry = Registry::new(2);
    let first = load_one(&registry, PLAIN);
    mark(&first);
    let lease = Lease::try_take(&first).unwrap();
    for (more, maxconn) in [
        ("weight = 7", 0),
        ("maxconn = 3, maxqueue = 9", 3),
        ("backup = true", 0),
        ("check = true", 0),
        ("check = { type = \"http\", uri = \"/up\", rise = 5 }", 0),
        ("on-remove = \"close\", tcp-ut = \"5s\"", 0),
    ] {
        let again = load_one(&registry, &format!("{PLAIN}, {more}"));
        assert!(Arc::ptr_eq(&first, &again), "{more}");
        assert!(is_marked(&again), "{more}");
        assert_eq!((again.epoch(), again.sessions.now(), again.maxconn()), (0, 1, maxconn), "{more}");
    }
    drop(lease);
    assert_eq!(first.sessions.now(), 0);
}

#[test]
fn a_new_address_or_source_retires_connections_and_keeps_the_rest() {
    let registry = Registry::new(1);
    let first = load_one(&registry, PLAIN);
    mark(&first);
    first.set_admin(Admin::Drain);
    for (epoch, line) in [
        (1, r#"name = "a", address = "127.0.0.1:2000""#),
        (1, r#"name = "a", address = "127.0.0.1:2000", weight = 5"#),
        (2, r#"name = "a", address = "unix@/run/a.sock""#),
        (3, r#"name = "a", address = "127.0.0.1:2000""#),
        (4, r#"name = "a", address = "127.0.0.1:2000", source = "127.0.0.2""#),
        (5, r#"name = "a", address = "127.0.0.1:2000", source = "127.0.0.2", interface = "lo""#),
        (6, PLAIN),
    ] {
        let again = load_one(&registry, line);
        assert!(Arc::ptr_eq(&first, &again), "{line}");
        assert_eq!((again.epoch(), again.admin()), (epoch, Admin::Drain), "{line}");
        assert_eq!(again.sheet.sum(|s| &s.chosen), 7, "{line}");
    }
}

#[test]
fn the_file_touches_the_admin_state_only_where_it_changed() {
    let registry = Registry::new(1);
    let (on, off) = (PLAIN.to_owned(), format!("{PLAIN}, disabled = true"));
    let server = load_one(&registry, &off);
    assert_eq!(server.admin(), Admin::Maint, "disabled from the start");
    // The operator's word outlives reloads, whatever else changes.
    server.set_admin(Admin::Ready);
    load_one(&registry, &off);
    load_one(&registry, &format!("{off}, weight = 3"));
    assert_eq!(server.admin(), Admin::Ready);
    server.set_admin(Admin::Drain);
    load_one(&registry, &on);
    assert_eq!(server.admin(), Admin::Ready, "the file's change has the last word");
    server.set_admin(Admin::Maint);
    load_one(&registry, &format!("{on}, maxconn = 3"));
    assert_eq!(server.admin(), Admin::Maint);
    load_one(&registry, &off);
    load_one(&registry, &on);
    assert_eq!(server.admin(), Admin::Ready);
}

#[test]
fn who_left_is_returned_with_what_the_file_last_said_of_it() {
    let registry = Registry::new(1);
    let a = r#"name = "a", address = "127.0.0.1:1000""#;
    let (servers, gone) = load(
        &registry,
        &[
            a,
            r#"name = "b", address = "127.0.0.1:1001", on-remove = "close""#,
            r#"name = "c", address = "127.0.0.1:1002", on-remove = "keep""#,
        ],
    );
    assert!(gone.is_empty());
    load(
        &registry,
        &[
            a,
            r#"name = "b", address = "127.0.0.1:1001", on-remove = "close""#,
            r#"name = "c", address = "127.0.0.1:1002", on-remove = "close""#,
        ],
    );
    let (_, mut gone) = load(&registry, &[a]);
    gone.sort_by_key(|(server, _)| server.name.clone());
    let gone: Vec<_> = gone.iter().map(|(s, policy)| (&*s.name, *policy)).collect();
    assert_eq!(gone, [("b", config::OnRemove::Close), ("c", config::OnRemove::Close)]);
    // Transactions that began under the old configuration may still need them; who waits for any server does not get them.
    assert!(servers.iter().all(|s| s.is_usable()));
    assert!(servers[0].serves_backend() && !servers[1].serves_backend() && !servers[2].serves_backend());
}

#[test]
fn a_server_is_its_backend_and_its_name() {
    let registry = Registry::new(1);
    let server = |backend: &str| format!("[backend.{backend}]\nserver = [{{ {PLAIN} }}]\n");
    let both = format!("{}{}", server("one"), server("two"));
    let (groups, _) = reload(&registry, &both);
    let [one, two] = [&groups[0].slots[0].server, &groups[1].slots[0].server];
    assert!(!Arc::ptr_eq(one, two));
    assert_ne!(one.index, two.index);
    // The backend leaves and comes back: another life.
    let (_, gone) = reload(&registry, &server("two"));
    assert_eq!(gone.len(), 1);
    assert!(Arc::ptr_eq(&gone[0].0, one));
    mark(one);
    let (groups, gone) = reload(&registry, &both);
    assert!(gone.is_empty());
    assert!(!Arc::ptr_eq(&groups[0].slots[0].server, one) && Arc::ptr_eq(&groups[1].slots[0].server, two));
    assert_eq!(groups[0].slots[0].server.sheet.sum(|s| &s.chosen), 0);
}

#[test]
fn a_build_that_is_not_committed_changes_nothing() {
    let registry = Registry::new(1);
    let (servers, _) = load(&registry, &[PLAIN, r#"name = "b", address = "127.0.0.1:1001", maxconn = 4"#]);
    servers.iter().for_each(|s| mark(s));
    let version = servers[0].backend.version();
    let refused = registry.build(
        &parse(&format!(
            "{}[backend.other]\nserver = [\"127.0.0.1:5000\"]\n",
            text(&[
                r#"name = "a", address = "127.0.0.1:9999", disabled = true"#,
                r#"name = "new", address = "127.0.0.1:3000", disabled = true, on-remove = "close""#,
            ])
        )),
        &evenkeel_config::Tls::default(),
    );
    drop(refused);
    for (server, maxconn) in servers.iter().zip([0, 4]) {
        assert!(is_marked(server) && server.is_usable());
        assert_eq!((server.epoch(), server.maxconn()), (0, maxconn));
    }
    assert_eq!(servers[0].backend.version(), version, "no worker is told to look");

    // Its entries go at the next commit, and are not mistaken for servers that were in force.
    let (again, gone) = load(&registry, &[PLAIN, r#"name = "b", address = "127.0.0.1:1001", maxconn = 4"#]);
    assert!(again.iter().zip(&servers).all(|(a, b)| Arc::ptr_eq(a, b)));
    let gone: Vec<&str> = gone.iter().map(|(s, _)| &*s.name).collect();
    assert!(gone.is_empty(), "told of servers that never served: {gone:?}");
    assert_eq!(registry.backends.lock().len(), 1);
    assert_eq!(registry.backends.lock()["b"].servers.len(), 2);
}

#[test]
fn a_server_that_an_abandoned_build_made_begins_as_the_file_in_force_says() {
    let registry = Registry::new(1);
    load_one(&registry, PLAIN);
    drop(registry.build(
        &parse(&text(&[PLAIN, r#"name = "new", address = "127.0.0.1:3000""#])),
        &evenkeel_config::Tls::default(),
    ));
    let (servers, gone) = load(&registry, &[PLAIN, r#"name = "new", address = "127.0.0.1:3001", disabled = true"#]);
    assert!(gone.is_empty());
    assert_eq!(servers[1].admin(), Admin::Maint);
}

#[test]
fn indexes_stay_as_few_as_the_servers_over_many_reloads() {
    let registry = Registry::new(1);
    for round in 0..50 {
        let name = format!(r#"name = "s{round}", address = "127.0.0.1:1000""#);
        let (servers, _) = load(&registry, &[PLAIN, &name]);
        assert!(servers.iter().all(|s| s.index < 3), "round {round}");
    }
}

#[test]
fn a_commit_serves_those_who_wait_for_a_higher_limit_or_a_server_that_returns() {
    for (before, after) in
        [("maxconn = 1", "maxconn = 2"), ("maxconn = 1", "maxconn = 0"), ("disabled = true", "weight = 1")]
    {
        let registry = Registry::new(1);
        let server = load_one(&registry, &format!("{PLAIN}, {before}"));
        let lease = server.is_usable().then(|| Lease::try_take(&server).unwrap());
        let waiter = crate::Waiter::for_backend(&server.backend, std::iter::once(&server), crate::Rank::default());
        assert_eq!(server.backend.queued(), 1);
        load_one(&registry, &format!("{PLAIN}, {after}"));
        assert_eq!(server.backend.queued(), 0, "{before} -> {after}");
        drop((waiter, lease));
        assert_eq!(server.sessions.now(), 0, "{before} -> {after}");
    }
}

#[test]
fn a_server_that_leaves_still_serves_who_waits_for_it_but_nobody_else() {
    let registry = Registry::new(1);
    let (servers, _) = load(&registry, &[PLAIN, r#"name = "b", address = "127.0.0.1:1001", maxconn = 1"#]);
    let lease = Lease::try_take(&servers[1]).unwrap();
    let own = crate::Waiter::for_server(&servers[1], crate::Rank::default());
    let any = crate::Waiter::for_backend(&servers[1].backend, std::iter::empty(), crate::Rank::default());
    load(&registry, &[&format!("{PLAIN}, disabled = true")]);
    drop(lease);
    assert_eq!(
        (servers[1].queued(), servers[1].backend.queued()),
        (0, 1),
        "its own queue moved on, the backend's did not"
    );
    drop((own, any));
    assert_eq!((servers[1].sessions.now(), servers[1].backend.queued()), (0, 0));
}

#[test]
fn health_that_was_found_out_stays_with_the_server() {
    let registry = Registry::new(1);
    let check = format!("{PLAIN}, check = true");
    let server = load_one(&registry, &check);
    let report = Report::new(CheckStatus::L4Con, None, std::time::Duration::ZERO, "");
    let change = server.with_check(|state| {
        let mut machine = Machine::new(2, 1, config::InitState::Up);
        let change = machine.apply(false);
        state.machine = Some(machine);
        state.last = Some((report, Instant::now()));
        change
    });
    assert_eq!(change, Some(Change::Down));
    server.set_up(false);
    load_one(&registry, &format!("{check}, weight = 9"));
    assert!(!server.is_up());
    assert_eq!((server.status().as_str(), server.check().downs), ("DOWN", 1));
    assert_eq!(server.check_status(), Some(CheckStatus::L4Con));
}
