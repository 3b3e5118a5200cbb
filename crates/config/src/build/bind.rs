//! `bind`: listening addresses, one [`Bind`] each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Cx, Layers, some_time, tls};
use crate::address::{self, Address};
use crate::codes;
use crate::defaults::MAX_BINDS;
use crate::model::{Bind, BindAddress, Mode};
use crate::place::At;
use crate::shape::Val;

/// The binds of a section. A disabled one listens nowhere, so its addresses may be another's too.
pub(super) fn binds(
    layers: &Layers<'_, '_>,
    mode: Mode,
    keepalive: bool,
    disabled: bool,
    cx: &mut Cx<'_>,
) -> Vec<Bind> {
    let mut binds = Vec::new();
    for value in layers.own.find("bind").map(Val::list).unwrap_or_default() {
        let node = value.table();
        let find = |key: &str| node.and_then(|node| node.find(key));
        let on = |key: &str| find(key).and_then(Val::bool).unwrap_or(false);
        let number = |key: &str| find(key).and_then(Val::int).and_then(|n| u32::try_from(n).ok());
        let time = |key: &str| find(key).and_then(Val::time).and_then(|t: Duration| some_time(t));
        let text = |key: &str| find(key).and_then(Val::text).map(Arc::<str>::from);
        let Some(at) = (if node.is_some() { find("address") } else { Some(value) }) else { continue };
        let proto = find("proto").and_then(tls::proto);
        let secure = find("tls").and_then(|value| tls::of_bind(value, mode, proto, layers.name, cx));
        let accept_proxy = find("accept-proxy").and_then(|value| tls::accept_proxy(value, cx));
        let said = find("tls").map_or(at.at, |value| value.at);
        for (address, at) in addresses(at, cx) {
            if !disabled {
                claim(&address, at, cx);
            }
            cx.binds += 1;
            if cx.binds > MAX_BINDS {
                cx.sink
                    .error(codes::OUT_OF_RANGE, at, format!("more than {MAX_BINDS} listening addresses"))
                    .hint("make the port ranges smaller");
                return binds;
            }
            cx.terminate_by(layers.name, secure.as_ref(), find("tls").and_then(Val::table), said);
            binds.push(Bind {
                name: text("name").unwrap_or_else(|| Arc::from(address.to_string())),
                address,
                place: cx.files.place(at),
                maxconn: number("maxconn").unwrap_or(0),
                backlog: number("backlog").unwrap_or(0),
                defer_accept: on("defer-accept"),
                tfo: on("tfo"),
                tcp_user_timeout: time("tcp-ut"),
                v4v6: on("v4v6"),
                v6only: on("v6only"),
                interface: text("interface"),
                transparent: on("transparent"),
                keepalive,
                unix_mode: number("mode"),
                tls: secure.clone(),
                proto,
                accept_proxy: accept_proxy.clone(),
                idle_ping: time("idle-ping"),
            });
        }
    }
    binds
}

/// Every address of one text, with its place.
fn addresses(value: &Val<'_>, cx: &mut Cx<'_>) -> Vec<(BindAddress, At)> {
    let mut found = Vec::new();
    let Some(text) = value.text() else { return found };
    for (part, range) in address::parts(text) {
        let at = cx.files.inside(value.at, text, range);
        let (ip, ports) = match address::parse(part) {
            Ok(Address::Unix(path)) => {
                found.push((BindAddress::Unix(path), at));
                continue;
            }
            Ok(Address::Fd(fd)) => {
                found.push((BindAddress::Fd(fd), at));
                continue;
            }
            Ok(Address::Inet(ip, ports)) => (ip, ports),
            Ok(Address::Name(name, ports)) => match cx.resolve(&name, ports.first, at) {
                Some(address) => (address.ip(), ports),
                None => continue,
            },
            Err(error) => {
                let hint = match part.parse::<u16>() {
                    Ok(port) => format!("write \":{port}\""),
                    Err(_) => "write \":80\", \"[::]:80\", \"10.0.0.1:80\", \"/run/app.sock\" or \"fd@3\"".to_owned(),
                };
                cx.sink
                    .error(codes::BAD_BIND, at, format!("\"{part}\" is not a listening address: {error}"))
                    .hint(hint);
                continue;
            }
        };
        // Past the limit one more is enough to be told.
        let room = MAX_BINDS + 1;
        found.extend(
            (ports.first..=ports.last).take(room).map(|port| (BindAddress::Inet(SocketAddr::new(ip, port)), at)),
        );
    }
    found
}

/// Remembers an address, and reports the second who wants it. Port 0 is a new port each time.
fn claim(address: &BindAddress, at: At, cx: &mut Cx<'_>) {
    if matches!(address, BindAddress::Inet(inet) if inet.port() == 0) {
        return;
    }
    match cx.bound.get(address) {
        Some(first) => {
            let first = cx.files.place(*first);
            cx.sink
                .error(codes::DUPLICATE_BIND, at, format!("{address} is listened on twice"))
                .hint(format!("the first bind is at {first}"));
        }
        None => {
            cx.bound.insert(address.clone(), at);
        }
    }
}
