//! Where connections come in and go out: Unix sockets, IPv6, ranges, inherited sockets, source addresses, and the limits
//! that make the excess wait.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use evenkeel_testkit::{DEADLINE, Gate, Origin, Proxy, RawClient, Script, free_port, free_ports};
use evenkeel_tests::cell;
use nix::sys::signal::Signal;

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn listen(bind: &str, origin: &Origin, more: &str) -> String {
    format!(
        "[global]\nthreads = 2\nadmin = {{ listen = \"@admin@\" }}\nlog = [\"stdout\"]\n\n\
         [listen.web]\nbind = [{bind}]\n{more}\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n",
        origin.addr()
    )
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn a_unix_socket_serves_and_is_cleaned_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.sock");
    // A file that a process left behind: nobody listens on it.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists() && RawClient::connect_unix(&path).is_err());
    let origin = Origin::start(Script::always("hello"));
    let bind = format!("{{ address = \"unix@{}\", mode = 0o640 }}", path.display());
    let mut proxy = Proxy::start(&listen(&bind, &origin, "option.forwardfor = true"));
    let meta = std::fs::metadata(&path).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o640);
    let mut client = RawClient::connect_unix(&path).unwrap();
    for _ in 0..2 {
        assert_eq!(client.ask(ASK).unwrap().text(), "hello");
    }
    let line = proxy.process().wait_line(0, "of a Unix client", |l| l.starts_with("unix:1 ["));
    assert!(line.contains(" web web/s1 "), "{line}");
    // There is no address to forward.
    assert_eq!(origin.seen()[0].message.head.get("x-forwarded-for"), None);
    let more: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(more, ["web.sock"], "something was left beside the socket");
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(DEADLINE);
    assert!(!path.exists(), "the socket file stays behind");
}

#[test]
fn a_reload_changes_the_mode_of_a_unix_socket_and_closes_removed_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("a.sock"), dir.path().join("b.sock"));
    let origin = Origin::start(Script::always("hello"));
    let bind = |mode: &str, more: &str| format!("{{ address = \"{}\", mode = {mode} }}{more}", path.display());
    let both = format!(", \"{}\"", other.display());
    let mut proxy = Proxy::start(&listen(&bind("0o600", &both), &origin, ""));
    let mut kept = RawClient::connect_unix(&path).unwrap();
    assert_eq!(kept.ask(ASK).unwrap().text(), "hello");
    assert!(proxy.reload(&listen(&bind("0o666", ""), &origin, "")).status.success());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    assert!(!other.exists(), "the removed socket's file stays behind");
    let mut client = RawClient::connect_unix(&path).unwrap();
    assert_eq!(client.ask(ASK).unwrap().text(), "hello");
    // A connection of the socket that was replaced goes on.
    assert_eq!(kept.ask(ASK).unwrap().text(), "hello");
}

#[test]
fn ipv6_clients_are_served_and_logged() {
    if !has_ipv6() {
        eprintln!("this machine has no IPv6: nothing to see");
        return;
    }
    let origin = Origin::start(Script::always("hello"));
    let port = free_port().port();
    let proxy = Proxy::start(&listen(&format!("\"[::1]:{port}\""), &origin, "option.forwardfor = true"));
    let addr: SocketAddr = format!("[::1]:{port}").parse().unwrap();
    let mut client = RawClient::connect(addr).unwrap();
    assert_eq!(client.ask(ASK).unwrap().text(), "hello");
    let wanted = format!("::1:{} [", client.local().port());
    proxy.process().wait_line(0, "of an IPv6 client", |l| l.starts_with(&wanted));
    assert_eq!(origin.seen()[0].message.head.get("x-forwarded-for"), Some("::1"));
    assert!(RawClient::connect(([127, 0, 0, 1], port).into()).is_err(), "[::1] takes IPv4");
}

#[test]
fn v6only_and_v4v6_decide_about_ipv4() {
    if !has_ipv6() {
        eprintln!("this machine has no IPv6: nothing to see");
        return;
    }
    let origin = Origin::start(Script::always("hello"));
    for (key, ipv4) in [("v6only", false), ("v4v6", true)] {
        let port = free_port().port();
        let bind = format!("{{ address = \"[::]:{port}\", {key} = true }}");
        let proxy = Proxy::start(&listen(&bind, &origin, ""));
        let mut six = RawClient::connect(format!("[::1]:{port}").parse().unwrap()).unwrap();
        assert_eq!(six.ask(ASK).unwrap().text(), "hello", "{key}");
        let four = RawClient::connect(([127, 0, 0, 1], port).into());
        assert_eq!(four.is_ok(), ipv4, "{key}");
        if let Ok(mut four) = four {
            assert_eq!(four.ask(ASK).unwrap().text(), "hello", "{key}");
            // An IPv4 client is logged as one, not as ::ffff:127.0.0.1.
            proxy.process().wait_line(0, "of an IPv4 client", |l| l.starts_with("127.0.0.1:"));
        }
    }
}

#[test]
fn a_range_listens_on_each_port() {
    let origin = Origin::start(Script::always("hello"));
    let first = free_ports(3)[0].port();
    let bind = format!("\"127.0.0.1:{first}-{}\"", first + 2);
    let mut proxy = Proxy::start(&listen(&bind, &origin, ""));
    for port in first..first + 3 {
        let mut client = RawClient::connect(([127, 0, 0, 1], port).into()).unwrap();
        assert_eq!(client.ask(ASK).unwrap().text(), "hello", "port {port}");
    }
    // A shorter range closes the port that fell out, and only that.
    let shorter = format!("\"127.0.0.1:{first}-{}\"", first + 1);
    assert!(proxy.reload(&listen(&shorter, &origin, "")).status.success());
    let open: Vec<bool> = (first..first + 3).map(|p| TcpStream::connect(("127.0.0.1", p)).is_ok()).collect();
    assert_eq!(open, [true, true, false]);
}

#[test]
fn an_inherited_socket_is_accepted_on() {
    let origin = Origin::start(Script::always("hello"));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    // Waits in the accept queue before the process runs: nothing is lost over a start by socket activation.
    let mut early = RawClient::connect(addr).unwrap();
    early.send(ASK).unwrap();
    let mut proxy = Proxy::start_with_socket(&listen("\"fd@0\"", &origin, ""), socket);
    assert_eq!(early.response().unwrap().text(), "hello");
    let mut clients: Vec<RawClient> = (0..8).map(|_| RawClient::connect(addr).unwrap()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(ASK).unwrap().text(), "hello");
    }
    // A reload keeps it.
    assert!(proxy.reload(&listen("\"fd@0\"", &origin, "retries = 1")).status.success());
    let mut client = RawClient::connect(addr).unwrap();
    assert_eq!(client.ask(ASK).unwrap().text(), "hello");
}

#[test]
fn a_descriptor_that_is_not_open_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fd.toml");
    std::fs::write(&path, "[listen.web]\nbind = [\"fd@77\"]\nserver = [\"127.0.0.1:3000\"]\n").unwrap();
    let out = std::process::Command::new(evenkeel_testkit::binary())
        .args(["run", "-c"])
        .arg(&path)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.trim_end().lines().last().unwrap().contains("fd@77"), "{said}");
}

/// Two connections fit; the third is accepted by the kernel, waits, and is served once one has left.
fn the_third_waits(config: &str) {
    let origin = Origin::start(Script::always("hello"));
    let proxy = Proxy::start(&config.replace("@origin@", &origin.addr().to_string()));
    let web = proxy.addr("web");
    let mut a = RawClient::connect(web).unwrap();
    let mut b = RawClient::connect(web).unwrap();
    assert_eq!(a.ask(ASK).unwrap().text(), "hello");
    assert_eq!(b.ask(ASK).unwrap().text(), "hello");
    let mut c = RawClient::connect(web).unwrap();
    c.send(ASK).unwrap();
    for _ in 0..20 {
        assert_eq!(a.ask(ASK).unwrap().text(), "hello");
    }
    assert_eq!(origin.served(), 22, "the third was served beyond maxconn");
    let csv = proxy.admin("/stats;csv").text();
    assert_eq!(cell(&csv, "web", "FRONTEND", "scur"), "2");
    drop(b);
    assert_eq!(c.response().unwrap().text(), "hello");
}

#[test]
fn bind_maxconn_makes_the_excess_wait() {
    the_third_waits(
        "[global]\nthreads = 2\nadmin = { listen = \"@admin@\" }\n[listen.web]\nbind = [{ address = \"@web@\", maxconn = 2 }]\nserver = [\"@origin@\"]\n",
    );
}

#[test]
fn frontend_maxconn_makes_the_excess_wait() {
    the_third_waits(
        "[global]\nthreads = 2\nadmin = { listen = \"@admin@\" }\n[listen.web]\nbind = [\"@web@\"]\nmaxconn = 2\nserver = [\"@origin@\"]\n",
    );
}

#[test]
fn global_maxconn_makes_the_excess_wait() {
    the_third_waits(
        "[global]\nthreads = 2\nmaxconn = 2\nadmin = { listen = \"@admin@\" }\n[listen.web]\nbind = [\"@web@\"]\nserver = [\"@origin@\"]\n",
    );
}

#[test]
fn a_full_bind_leaves_the_other_alone() {
    let origin = Origin::start(Script::always("hello"));
    let proxy = Proxy::start(&listen("{ address = \"@web@\", maxconn = 1 }, \"@other@\"", &origin, ""));
    let mut a = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(a.ask(ASK).unwrap().text(), "hello");
    let mut waiting = RawClient::connect(proxy.addr("web")).unwrap();
    waiting.send(ASK).unwrap();
    for _ in 0..3 {
        let mut other = RawClient::connect(proxy.addr("other")).unwrap();
        assert_eq!(other.ask(ASK).unwrap().text(), "hello");
    }
    drop(a);
    assert_eq!(waiting.response().unwrap().text(), "hello");
}

#[test]
fn a_reload_that_raises_maxconn_lets_the_waiting_in() {
    let origin = Origin::start(Script::always("hello"));
    let mut proxy = Proxy::start(&listen("\"@web@\"", &origin, "maxconn = 1"));
    let mut a = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(a.ask(ASK).unwrap().text(), "hello");
    let mut b = RawClient::connect(proxy.addr("web")).unwrap();
    b.send(ASK).unwrap();
    assert!(proxy.reload(&listen("\"@web@\"", &origin, "maxconn = 2")).status.success());
    assert_eq!(b.response().unwrap().text(), "hello");
    assert_eq!(a.ask(ASK).unwrap().text(), "hello");
}

#[test]
fn a_server_may_be_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let origin = Origin::start_unix(&path, Script::always("from afar"));
    let proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\ncheck = {{ uri = \"/health\", interval = \"20ms\" }}\nserver = [{{ name = \"u\", address = \"unix@{}\" }}]\n",
        path.display()
    ));
    proxy.wait_csv("checked", |csv| cell(csv, "web", "u", "check_status") == "L7OK");
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    for _ in 0..2 {
        assert_eq!(client.ask(ASK).unwrap().text(), "from afar");
    }
    assert!(origin.seen().iter().any(|r| r.message.head.target() == "/health"));
}

#[test]
fn the_source_address_is_what_the_server_sees() {
    let origin = Origin::start(Script::always("hello"));
    let config = |backend: &str, server: &str| {
        format!(
            "[listen.web]\nbind = [\"@web@\"]\n{backend}\nserver = [{{ name = \"s\", address = \"{}\"{server} }}]\n",
            origin.addr()
        )
    };
    for (backend, server, wanted) in [
        ("", "", [127, 0, 0, 1]),
        ("source = \"127.0.0.2\"", "", [127, 0, 0, 2]),
        ("source = \"127.0.0.2\"", ", source = \"127.0.0.3\"", [127, 0, 0, 3]),
    ] {
        origin.begin(Script::always("hello"));
        let proxy = Proxy::start(&config(backend, server));
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        assert_eq!(client.ask(ASK).unwrap().text(), "hello");
        let peer = origin.seen()[0].peer.unwrap();
        assert_eq!(peer.ip(), std::net::IpAddr::from(wanted), "{backend} {server}");
    }
}

#[test]
fn an_interface_can_be_named() {
    // The kernel lets only root and CAP_NET_RAW bind to one it is not bound to already.
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: nothing to see");
        return;
    }
    let origin = Origin::start(Script::always("hello"));
    let config = format!(
        "[listen.web]\nbind = [{{ address = \"@web@\", interface = \"lo\" }}]\nserver = [{{ name = \"s\", address = \"{}\", interface = \"lo\" }}]\n",
        origin.addr()
    );
    let mut proxy = Proxy::start(&config);
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(ASK).unwrap().text(), "hello");
    // One that does not exist is refused.
    let out = proxy.reload(&config.replacen("\"lo\"", "\"nosuch0\"", 1));
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains(&proxy.addr("web").to_string()) && said.contains("device"), "{said}");
}

#[test]
fn the_rest_of_the_bind_settings_do_no_harm() {
    let origin = Origin::start(Script::always("hello"));
    let bind =
        "{ address = \"@web@\", backlog = 16, defer-accept = true, tfo = true, tcp-ut = \"10s\", name = \"public\" }";
    let proxy = Proxy::start(&listen(bind, &origin, "option.tcpka = true"));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(client.ask(ASK).unwrap().text(), "hello");
    assert_eq!(client.ask(ASK).unwrap().text(), "hello");
}

/// The excess waits for its turn in tcp mode too, where a connection is held for as long as it lives.
#[test]
fn maxconn_in_tcp_mode() {
    let gate = Gate::new();
    let origin = Origin::start(Script::Raw(vec![
        evenkeel_testkit::Act::Send(b"hi".to_vec()),
        evenkeel_testkit::Act::Wait(gate.clone()),
        evenkeel_testkit::Act::Close,
    ]));
    let proxy = Proxy::start(&listen("\"@web@\"", &origin, "mode = \"tcp\"\nmaxconn = 1"));
    let mut a = RawClient::connect(proxy.addr("web")).unwrap();
    assert_eq!(a.exactly(2).unwrap(), b"hi");
    let mut b = RawClient::connect(proxy.addr("web")).unwrap();
    b.send("early").unwrap();
    assert_eq!(origin.connections(), 1);
    gate.open();
    a.rest().unwrap();
    drop(a);
    assert_eq!(b.exactly(2).unwrap(), b"hi");
}
