//! Addresses as text: of binds, servers, log targets and sources. Syntax only; names are looked up by the caller.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use crate::defaults::{MAX_UNIX_PATH, SYSLOG_PORT};

/// An address before names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// IP address and ports.
    Inet(IpAddr, Ports),
    /// Host name and ports.
    Name(String, Ports),
    /// A Unix socket.
    Unix(PathBuf),
    /// An inherited descriptor.
    Fd(i32),
}

/// A port, or a range of them, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub first: u16,
    pub last: u16,
}

/// Splits a bind's text at commas, with the bytes of each part.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut start = 0;
    text.split(',').map(move |part| {
        let begin = start + (part.len() - part.trim_start().len());
        start += part.len() + 1;
        (part.trim(), begin..begin + part.trim().len())
    })
}

/// Reads the address of a bind or a server; the message says what is wrong with it. An empty host is every IPv4 address.
pub(crate) fn parse(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix@").or_else(|| text.starts_with('/').then_some(text)) {
        return unix(path);
    }
    if let Some(number) = text.strip_prefix("fd@") {
        return match number.parse() {
            Ok(fd) if fd >= 0 => Ok(Address::Fd(fd)),
            _ => Err(format!("\"{number}\" is not the number of a descriptor")),
        };
    }
    let bare = text.strip_prefix("ipv4@").or_else(|| text.strip_prefix("ipv6@")).unwrap_or(text);
    if let Some((family, _)) = bare.split_once('@') {
        return Err(format!("the address family \"{family}@\" is not known"));
    }
    // In an IPv6 address without brackets the last colon starts the port, as in haproxy.cfg.
    let Some((host, port)) = bare.rsplit_once(':') else {
        return Err("the port is missing".to_owned());
    };
    let ports = ports(port)?;
    let (inner, bracketed) = match host.strip_prefix('[') {
        Some(rest) => match rest.strip_suffix(']') {
            Some(inner) => (inner, true),
            None => return Err("the bracket is not closed".to_owned()),
        },
        None => (host, false),
    };
    match inner {
        "" | "*" if !bracketed => return Ok(Address::Inet(IpAddr::V4(Ipv4Addr::UNSPECIFIED), ports)),
        _ => {}
    }
    if let Ok(ip) = inner.parse::<Ipv6Addr>() {
        return Ok(Address::Inet(IpAddr::V6(ip), ports));
    }
    if bracketed {
        return Err(format!("\"{inner}\" is not an IPv6 address"));
    }
    if let Ok(ip) = inner.parse::<Ipv4Addr>() {
        return Ok(Address::Inet(IpAddr::V4(ip), ports));
    }
    if is_host_name(inner) {
        return Ok(Address::Name(inner.to_owned(), ports));
    }
    Err(format!("\"{inner}\" is neither an IP address nor a host name"))
}

/// Reads an address without a port, or with one: a source.
pub(crate) fn source(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 0));
    }
    text.parse().ok()
}

/// A log target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File(PathBuf),
    /// Syslog over UDP.
    Udp(String, u16),
    /// Syslog over TCP.
    Tcp(String, u16),
    /// Syslog over a Unix socket.
    Unix(PathBuf),
    /// Those of `[global]`.
    Global,
}

/// Reads a log target; the message says what is wrong with it.
pub(crate) fn target(text: &str) -> Result<Target, String> {
    match text {
        "stdout" => return Ok(Target::Stdout),
        "stderr" => return Ok(Target::Stderr),
        "global" => return Ok(Target::Global),
        _ => {}
    }
    if let Some(path) = text.strip_prefix("file:") {
        return match path {
            "" => Err("the path is missing".to_owned()),
            _ => Ok(Target::File(PathBuf::from(path))),
        };
    }
    let unix_path = ["unix:", "unix@"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
    if let Some(path) = unix_path.or_else(|| text.starts_with('/').then_some(text)) {
        return match unix(path)? {
            Address::Unix(path) => Ok(Target::Unix(path)),
            _ => Err("the path is missing".to_owned()),
        };
    }
    let after = |schemes: [&str; 2]| schemes.into_iter().find_map(|scheme| text.strip_prefix(scheme));
    let (udp, tcp) = (after(["udp:", "udp@"]), after(["tcp:", "tcp@"]));
    let to = if tcp.is_some() { Target::Tcp } else { Target::Udp };
    let named = udp.or(tcp);
    let host = named.unwrap_or(text);
    match parse(host) {
        Ok(Address::Inet(ip, ports)) if ports.first == ports.last && !ip.is_unspecified() => {
            return Ok(to(ip.to_string(), ports.first));
        }
        Ok(Address::Name(name, ports)) if ports.first == ports.last => return Ok(to(name, ports.first)),
        _ => {}
    }
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(to(ip.to_string(), SYSLOG_PORT));
    }
    if named.is_some() && is_host_name(host) {
        return Ok(to(host.to_owned(), SYSLOG_PORT));
    }
    Err(format!("\"{text}\" is not a log target"))
}

fn unix(path: &str) -> Result<Address, String> {
    if path.is_empty() {
        return Err("the path is missing".to_owned());
    }
    if path.len() > MAX_UNIX_PATH {
        return Err(format!("the path is longer than {MAX_UNIX_PATH} bytes"));
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

fn ports(text: &str) -> Result<Ports, String> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ if text.is_empty() => Err("the port is missing".to_owned()),
        _ => Err(format!("\"{text}\" is not a port, 0 to 65535")),
    };
    match text.split_once('-') {
        None => port(text).map(|port| Ports { first: port, last: port }),
        Some((first, last)) => {
            let ports = Ports { first: port(first)?, last: port(last)? };
            if ports.first == 0 || ports.first > ports.last {
                return Err(format!("\"{text}\" is not a range of ports"));
            }
            Ok(ports)
        }
    }
}

/// Letters, digits, `-`, `_` and dots (RFC 1123 §2.1, with the underscore people use), not a number that was meant as an IP address.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    let all_digits = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && !all_digits && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn inet(text: &str, first: u16, last: u16) -> Result<Address, String> {
        Ok(Address::Inet(text.parse().unwrap(), Ports { first, last }))
    }

    #[test]
    fn addresses() {
        for (text, want) in [
            (":80", inet("0.0.0.0", 80, 80)),
            ("*:80", inet("0.0.0.0", 80, 80)),
            ("127.0.0.1:8000-8010", inet("127.0.0.1", 8000, 8010)),
            ("[::]:80", inet("::", 80, 80)),
            (":::80", inet("::", 80, 80)),
            ("2001:db8::1:443", inet("2001:db8::1", 443, 443)),
            ("ipv6@[::1]:0", inet("::1", 0, 0)),
            ("app1.internal:8080", Ok(Address::Name("app1.internal".into(), Ports { first: 8080, last: 8080 }))),
            ("unix@/run/a.sock", Ok(Address::Unix("/run/a.sock".into()))),
            ("/run/a.sock", Ok(Address::Unix("/run/a.sock".into()))),
            ("fd@3", Ok(Address::Fd(3))),
            ("127.0.0.1", Err("the port is missing".into())),
            ("127.0.0.1:", Err("the port is missing".into())),
            ("127.0.0.1:http", Err("\"http\" is not a port, 0 to 65535".into())),
            ("127.0.0.1:70000", Err("\"70000\" is not a port, 0 to 65535".into())),
            ("127.0.0.1:+80", Err("\"+80\" is not a port, 0 to 65535".into())),
            (":90-80", Err("\"90-80\" is not a range of ports".into())),
            ("[::1:80", Err("the bracket is not closed".into())),
            ("[127.0.0.1]:80", Err("\"127.0.0.1\" is not an IPv6 address".into())),
            ("300.0.0.1:80", Err("\"300.0.0.1\" is neither an IP address nor a host name".into())),
            ("a b:80", Err("\"a b\" is neither an IP address nor a host name".into())),
            ("quic4@:443", Err("the address family \"quic4@\" is not known".into())),
            ("fd@-1", Err("\"-1\" is not the number of a descriptor".into())),
            ("unix@", Err("the path is missing".into())),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
        assert!(parse(&format!("/{}", "a".repeat(MAX_UNIX_PATH))).is_err());
        assert!(parse(&format!("/{}", "a".repeat(MAX_UNIX_PATH - 1))).is_ok());
    }

    #[test]
    fn bind_parts_know_their_bytes() {
        let found: Vec<_> = parts(":80, [::]:80,x").collect();
        assert_eq!(found, [(":80", 0..3), ("[::]:80", 5..12), ("x", 13..14)]);
    }

    #[test]
    fn log_targets() {
        for (text, want) in [
            ("stdout", Some(Target::Stdout)),
            ("file:/var/log/x.log", Some(Target::File("/var/log/x.log".into()))),
            ("file:x.log", Some(Target::File("x.log".into()))),
            ("/dev/log", Some(Target::Unix("/dev/log".into()))),
            ("unix:/dev/log", Some(Target::Unix("/dev/log".into()))),
            ("udp:127.0.0.1:514", Some(Target::Udp("127.0.0.1".into(), 514))),
            ("127.0.0.1:5140", Some(Target::Udp("127.0.0.1".into(), 5140))),
            ("127.0.0.1", Some(Target::Udp("127.0.0.1".into(), 514))),
            ("udp:[::1]:514", Some(Target::Udp("::1".into(), 514))),
            ("udp:loghost", Some(Target::Udp("loghost".into(), 514))),
            ("loghost:514", Some(Target::Udp("loghost".into(), 514))),
            ("tcp:127.0.0.1:601", Some(Target::Tcp("127.0.0.1".into(), 601))),
            ("tcp@10.0.0.5:601", Some(Target::Tcp("10.0.0.5".into(), 601))),
            ("tcp:127.0.0.1", Some(Target::Tcp("127.0.0.1".into(), 514))),
            ("tcp:[::1]", Some(Target::Tcp("::1".into(), 514))),
            ("tcp:[::1]:601", Some(Target::Tcp("::1".into(), 601))),
            ("tcp:loghost", Some(Target::Tcp("loghost".into(), 514))),
            ("tcp:loghost:601", Some(Target::Tcp("loghost".into(), 601))),
            ("global", Some(Target::Global)),
            ("tcp:", None),
            ("tcp:601", None),
            ("tcp::601", None),
            ("stdot", None),
            ("file:", None),
            ("udp:", None),
        ] {
            assert_eq!(target(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn sources() {
        assert_eq!(source("10.0.0.5"), Some("10.0.0.5:0".parse().unwrap()));
        assert_eq!(source("::1"), Some("[::1]:0".parse().unwrap()));
        assert_eq!(source("10.0.0.5:1024"), Some("10.0.0.5:1024".parse().unwrap()));
        assert_eq!(source("eth0"), None);
    }
}
