//! `server`: the servers of a backend, over `default-server` and what the backend says of all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Cx, Layers, arc, check, some_time, tls};
use crate::address::{self, Address};
use crate::model::{Check, Mode, OnRemove, Server, ServerAddress, Ws};
use crate::place::At;
use crate::shape::{Node, Val};
use crate::units;
use crate::{codes, defaults};

/// The servers of a section, in file order.
pub(super) fn servers(layers: &Layers<'_, '_>, mode: Mode, cx: &mut Cx<'_>) -> Vec<Arc<Server>> {
    let common = Common::of(layers, mode, cx);
    let values = layers.own.find("server").map(Val::list).unwrap_or_default();
    let mut names: HashMap<&str, At> = HashMap::with_capacity(values.len());
    let mut servers = Vec::with_capacity(values.len());
    for (id, value) in (1..).zip(values) {
        let node = value.table();
        let (name, address) = match node {
            Some(node) => (node.find("name"), node.find("address")),
            None => (Some(value), Some(value)),
        };
        if let Some(name) = name
            && let Some(text) = name.text()
        {
            unique(text, name.at, node.is_some(), &mut names, cx);
        }
        let address = address.and_then(|value| server_address(value, cx));
        let server = common.server(node, cx);
        if let (Some(name), Some(address)) = (name.and_then(arc), address) {
            let said = common.tls(node);
            let checked = server.check.as_ref().is_some_and(|check| check.has_tls(&server));
            let of_check = || Arc::new(tls::upstream(&said, mode, server.proto, layers.name, cx));
            if let Some(tls) = server.tls.clone().or_else(|| checked.then(of_check)) {
                let tables: Vec<_> = said.iter().filter_map(|value| value.table()).collect();
                let at = said.first().map_or(value.at, |value| value.at);
                cx.connect_by((layers.name, &name), &tls.options, &tables, at);
            }
            if let Some(check) = server.check.as_ref().filter(|_| address.is_destination())
                && (check.addr.is_none() || check.port.is_none())
            {
                cx.sink
                    .error(codes::CONTRADICTION, value.at, format!("the server `{name}` has no address that could be checked"))
                    .hint("it stands wherever each connection goes: write `check = { addr = \"10.0.0.1\", port = 80 }` or `check = false`");
            }
            servers.push(Arc::new(Server { name, id, place: cx.files.place(value.at), address, ..server }));
        }
    }
    servers
}

/// Checks a server's name; one that is its address may hold what addresses do.
fn unique<'n>(name: &'n str, at: At, given: bool, names: &mut HashMap<&'n str, At>, cx: &mut Cx<'_>) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    if given && !name.bytes().all(plain) {
        cx.sink
            .error(codes::BAD_NAME, at, format!("\"{name}\" is not a name"))
            .hint("names are made of letters, digits, - _ . and :");
    }
    match names.get(name) {
        Some(first) => {
            let first = cx.files.place(*first);
            cx.sink
                .error(codes::DUPLICATE_SERVER, at, format!("there are two servers `{name}`"))
                .hint(format!("the first is at {first}; names are unique in a backend"));
        }
        None => {
            names.insert(name, at);
        }
    }
}

fn server_address(value: &Val<'_>, cx: &mut Cx<'_>) -> Option<ServerAddress> {
    let text = value.text()?;
    let bad = |cx: &mut Cx<'_>, error: &str| {
        cx.sink
            .error(codes::BAD_SERVER_ADDRESS, value.at, format!("\"{text}\" is not a server address: {error}"))
            .hint("write \"10.0.0.11:8080\", \"[2001:db8::1]:8080\", \"name:8080\" or \"unix@/path\"");
        None
    };
    match address::parse(text) {
        Ok(Address::Unix(path)) => Some(ServerAddress::Unix(path)),
        Ok(Address::Fd(_)) => bad(cx, "a descriptor cannot be connected to"),
        Ok(Address::Inet(_, ports) | Address::Name(_, ports)) if ports.first != ports.last => {
            bad(cx, "a server has one port")
        }
        Ok(Address::Inet(ip, ports)) if ip.is_unspecified() && ports.first == 0 && !text.starts_with(':') => {
            Some(ServerAddress::Destination((ip, 0).into()))
        }
        Ok(Address::Inet(_, ports) | Address::Name(_, ports)) if ports.first == 0 => {
            bad(cx, "port 0 cannot be connected to")
        }
        Ok(Address::Inet(ip, _)) if ip.is_unspecified() => bad(cx, "the host is missing"),
        Ok(Address::Inet(ip, ports)) => Some(ServerAddress::Inet((ip, ports.first).into())),
        Ok(Address::Name(name, ports)) => cx.resolve(&name, ports.first, value.at).map(ServerAddress::Inet),
        Err(error) => bad(cx, &error),
    }
}

/// What all servers of a section share.
struct Common<'n, 'd> {
    /// Tables that stand behind a server's own, the nearest first: own default-server, the section itself, and the same
    /// of its defaults. Name and address are never looked for in them.
    behind: Vec<(&'n Node<'d>, bool)>,
    /// `check` values behind a server's own.
    checks: Vec<&'n Val<'d>>,
    /// The check of a server that says nothing of its own.
    check: Option<Arc<Check>>,
    /// `timeout.check`.
    timeout: Option<Duration>,
    /// The section.
    proxy: &'n str,
    /// Its layer.
    mode: Mode,
}

impl<'n, 'd> Common<'n, 'd> {
    fn of(layers: &Layers<'n, 'd>, mode: Mode, cx: &mut Cx<'_>) -> Common<'n, 'd> {
        let mut behind = Vec::new();
        let mut checks = Vec::new();
        for node in layers.each() {
            let default_server = node.find("default-server").and_then(Val::table);
            behind.extend(default_server.map(|table| (table, true)));
            behind.push((node, false));
            checks.extend(default_server.and_then(|table| table.find("check")));
            checks.extend(node.find("check"));
        }
        let timeout = layers.time("timeout.check").flatten();
        let check = check::check(&checks, timeout, cx);
        Common { behind, checks, check, timeout, proxy: layers.name, mode }
    }

    /// The `tls` values of a server, the nearest first.
    fn tls(&self, node: Option<&'n Node<'d>>) -> Vec<&'n Val<'d>> {
        let own = node.and_then(|node| node.find("tls"));
        let shared = self.behind.iter().filter(|(_, servers)| *servers).filter_map(|(table, _)| table.find("tls"));
        own.into_iter().chain(shared).collect()
    }

    /// A server with everything but its name, its id, its place and its address.
    fn server(&self, node: Option<&'n Node<'d>>, cx: &mut Cx<'_>) -> Server {
        // `maxconn` and `disabled` of the section itself are the proxy's; only these two mean its servers.
        let shared = |key: &str| matches!(key, "source" | "on-remove");
        let find = |key: &str| {
            node.and_then(|node| node.find(key)).or_else(|| {
                let tables = self.behind.iter().filter(|(_, servers)| *servers || shared(key));
                tables.map(|(table, _)| table).find_map(|table| table.find(key))
            })
        };
        let number = |key: &str| find(key).and_then(Val::int).and_then(|n| u32::try_from(n).ok());
        let on = |key: &str| find(key).and_then(Val::bool).unwrap_or(false);
        let check = match node.and_then(|node| node.find("check")) {
            None => self.check.clone(),
            Some(own) => {
                let layers: Vec<_> = std::iter::once(own).chain(self.checks.iter().copied()).collect();
                check::check(&layers, self.timeout, cx)
            }
        };
        let source = find("source").and_then(|value| {
            let text = value.text()?;
            let found = address::source(text);
            if found.is_none() {
                cx.sink
                    .error(codes::BAD_SOURCE, value.at, format!("\"{text}\" is not an address of this machine"))
                    .hint("write \"10.0.0.5\" or \"10.0.0.5:1024\"");
            }
            found
        });
        let proto = find("proto").and_then(tls::proto);
        let secure = tls::of_server(&self.tls(node), self.mode, proto, self.proxy, cx);
        let send_proxy = tls::send_proxy(&find, self.proxy, cx);
        Server {
            name: Arc::from(""),
            id: 0,
            place: crate::model::Place::default(),
            address: ServerAddress::Unix(std::path::PathBuf::new()),
            weight: number("weight").and_then(|n| u16::try_from(n).ok()).unwrap_or(defaults::WEIGHT),
            maxconn: number("maxconn").unwrap_or(0),
            maxqueue: number("maxqueue").unwrap_or(0),
            backup: on("backup"),
            disabled: on("disabled"),
            check,
            source,
            interface: find("interface").and_then(arc),
            tcp_user_timeout: find("tcp-ut").and_then(Val::time).and_then(some_time),
            tfo: on("tfo"),
            on_remove: find("on-remove").map_or(defaults::ON_REMOVE, |value| on_remove(value, cx)),
            tls: secure,
            proto,
            ws: match find("ws").and_then(Val::text) {
                Some("h1") => Ws::H1,
                Some("h2") => Ws::H2,
                _ => Ws::Auto,
            },
            send_proxy,
            idle_ping: find("idle-ping").and_then(Val::time).and_then(some_time),
        }
    }
}

fn on_remove(value: &Val<'_>, cx: &mut Cx<'_>) -> OnRemove {
    let text = value.text().unwrap_or_default();
    let found = match text.split_once(char::is_whitespace) {
        None if text == "keep" => Some(OnRemove::Keep),
        None if text == "close" => Some(OnRemove::Close),
        Some(("drain", time)) => units::duration(time.trim()).ok().map(OnRemove::Drain),
        _ => None,
    };
    found.unwrap_or_else(|| {
        cx.sink
            .error(codes::BAD_ON_REMOVE, value.at, format!("\"{text}\" is not an on-remove"))
            .hint("write \"keep\", \"drain 30s\" or \"close\"");
        defaults::ON_REMOVE
    })
}
