//! `[resolvers.NAME]`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Cx, arc};
use crate::model::{Hold, Nameserver, Resolvers};
use crate::shape::{Node, Val};
use crate::{codes, defaults};

/// Where the system keeps its name servers (`parse-resolv-conf`).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// One section.
pub(super) fn resolvers(name: &str, node: &Node<'_>, cx: &mut Cx<'_>) -> Resolvers {
    let number = |key: &str, default: usize| {
        node.find(key).and_then(Val::int).and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
    };
    let time = |path: &str, default: Duration| node.find(path).and_then(Val::time).unwrap_or(default);
    Resolvers {
        name: Arc::from(name),
        nameservers: nameservers(name, node, cx),
        retries: u32::try_from(number("resolve-retries", 0))
            .ok()
            .filter(|n| *n > 0)
            .unwrap_or(defaults::RESOLVE_RETRIES),
        retry: time("timeout.retry", defaults::DNS_RETRY),
        hold: Hold {
            valid: time("hold.valid", defaults::HOLD_VALID),
            nx: time("hold.nx", defaults::HOLD_FAILED),
            refused: time("hold.refused", defaults::HOLD_FAILED),
            timeout: time("hold.timeout", defaults::HOLD_FAILED),
            other: time("hold.other", defaults::HOLD_FAILED),
        },
        payload: u16::try_from(number("accepted-payload-size", 0))
            .ok()
            .filter(|n| *n > 0)
            .unwrap_or(defaults::DNS_PAYLOAD),
        max_names: number("max-names", defaults::DNS_NAMES),
        max_questions: number("max-questions", defaults::DNS_QUESTIONS),
    }
}

fn nameservers(name: &str, node: &Node<'_>, cx: &mut Cx<'_>) -> Vec<Nameserver> {
    let mut list: Vec<Nameserver> = Vec::new();
    for value in node.find("nameserver").map(Val::list).unwrap_or_default() {
        let (called, address) = match value.table() {
            Some(table) => (table.find("name"), table.find("address")),
            None => (None, Some(value)),
        };
        let Some(address) = address else { continue };
        let Some(text) = address.text() else { continue };
        let Some((to, tcp)) = nameserver(text) else {
            cx.sink
                .error(codes::BAD_RESOLVERS, address.at, format!("\"{text}\" is not the address of a name server"))
                .hint("write an IP address: \"10.0.0.53\", \"[2001:db8::53]:53\" or \"tcp@10.0.0.53:53\"");
            continue;
        };
        let called = called.and_then(arc).unwrap_or_else(|| Arc::from(text));
        if list.iter().any(|known| known.name == called) {
            cx.sink.error(codes::BAD_RESOLVERS, value.at, format!("there are two name servers `{called}`"));
        }
        list.push(Nameserver { name: called, address: to, tcp });
    }
    if let Some(value) = node.find("parse-resolv-conf").filter(|value| value.bool() == Some(true)) {
        match (cx.opts.read)(Path::new(RESOLV_CONF)) {
            Ok(text) => {
                for address in of_system(&String::from_utf8_lossy(&text)) {
                    // The section may name some of them itself.
                    if !list.iter().any(|known| known.address == address) {
                        list.push(Nameserver { name: Arc::from(address.ip().to_string()), address, tcp: false });
                    }
                }
            }
            Err(why) => {
                cx.sink
                    .error(codes::UNREADABLE_DATA, value.at, format!("{RESOLV_CONF} cannot be read: {why}"))
                    .hint("name the servers: nameserver = [\"10.0.0.53\"]");
                return list;
            }
        }
    }
    if list.is_empty() && !node.faulty.contains(&"nameserver") && !node.gives("nameserver") {
        cx.sink
            .error(codes::MISSING_KEY, node.at, format!("the resolvers `{name}` have no name server"))
            .hint("write `nameserver = [\"10.0.0.53\"]` or `parse-resolv-conf = true`");
    }
    if list.len() > defaults::MAX_NAMESERVERS {
        let message = format!("{} name servers are too many: each question goes to all of them", list.len());
        cx.sink
            .error(codes::BAD_RESOLVERS, node.at, message)
            .hint(format!("name {} at most", defaults::MAX_NAMESERVERS));
    }
    list
}

/// An address, and whether it is asked over TCP only.
fn nameserver(text: &str) -> Option<(SocketAddr, bool)> {
    let (text, tcp) = match text.split_once('@') {
        Some(("tcp" | "tcp4" | "tcp6", rest)) => (rest, true),
        Some(("udp" | "udp4" | "udp6" | "ipv4" | "ipv6", rest)) => (rest, false),
        Some(_) => return None,
        None => (text, false),
    };
    let address = match text.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, defaults::DNS_PORT),
        Err(_) => text.parse().ok()?,
    };
    (address.port() != 0 && !address.ip().is_unspecified()).then_some((address, tcp))
}

/// The `nameserver` lines of resolv.conf(5); those with a zone (`fe80::1%eth0`) are left out.
fn of_system(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    lines.filter_map(|word| Some(SocketAddr::new(word.parse().ok()?, defaults::DNS_PORT))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_of_name_servers() {
        for (text, want) in [
            ("10.0.0.53", Some(("10.0.0.53:53", false))),
            ("10.0.0.53:5353", Some(("10.0.0.53:5353", false))),
            ("udp@10.0.0.53", Some(("10.0.0.53:53", false))),
            ("tcp@10.0.0.53:54", Some(("10.0.0.53:54", true))),
            ("2001:db8::53", Some(("[2001:db8::53]:53", false))),
            ("tcp@[2001:db8::53]:54", Some(("[2001:db8::53]:54", true))),
            ("dns.example", None),
            ("10.0.0.53:0", None),
            ("0.0.0.0", None),
            ("unix@/run/dns", None),
            (":53", None),
        ] {
            let want = want.map(|(address, tcp)| (address.parse().unwrap(), tcp));
            assert_eq!(nameserver(text), want, "{text}");
        }
    }

    #[test]
    fn the_servers_of_the_system() {
        let text = "# by hand\nsearch example.com\nnameserver 192.0.2.53\n nameserver\t2001:db8::53 \n\
                    nameserver fe80::1%eth0\nnameserver\nnameservers 192.0.2.54\noptions edns0\n";
        let found: Vec<String> = of_system(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.53:53", "[2001:db8::53]:53"]);
    }
}
