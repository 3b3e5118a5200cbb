//! Addresses for tests: ports nobody listens on yet, and a port nobody will ever listen on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};

/// Lowest port handed out; the range ends below the kernel's ephemeral ports (32768), so that an outgoing connection of
/// some other test cannot take a port between here and the bind of the process it is meant for.
const FIRST: u32 = 10_240;
const SPAN: u32 = 22_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A loopback address whose port is free now; never the same twice in one process.
pub fn free_port() -> SocketAddr {
    free_ports(1)[0]
}

/// `n` of them with ports in a row.
pub fn free_ports(n: u16) -> Vec<SocketAddr> {
    let start = std::process::id().wrapping_mul(331);
    for _ in 0..SPAN {
        let from = NEXT.fetch_add(u32::from(n), Ordering::Relaxed);
        let first = FIRST + start.wrapping_add(from) % SPAN;
        let row: Vec<SocketAddr> =
            (0..u32::from(n)).map(|i| SocketAddr::from((Ipv4Addr::LOCALHOST, (first + i) as u16))).collect();
        if row.iter().all(|addr| TcpListener::bind(addr).is_ok()) {
            return row;
        }
    }
    panic!("no {n} free ports in a row between {FIRST} and {}", FIRST + SPAN);
}

/// A port that refuses connections for as long as this lives: bound, but never listened on.
#[derive(Debug)]
pub struct DeadPort {
    _socket: OwnedFd,
    addr: SocketAddr,
}

impl DeadPort {
    /// Takes a port.
    ///
    /// # Panics
    /// When the kernel has no socket or port left.
    pub fn new() -> DeadPort {
        let s = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        bind(s.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a loopback port");
        let name: SockaddrIn = getsockname(s.as_raw_fd()).expect("the name of a bound socket");
        DeadPort { _socket: s, addr: SocketAddr::from((Ipv4Addr::LOCALHOST, name.port())) }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Default for DeadPort {
    fn default() -> DeadPort {
        DeadPort::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn a_dead_port_refuses() {
        let dead = DeadPort::new();
        let error = TcpStream::connect(dead.addr()).expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn free_ports_differ() {
        assert_ne!(free_port(), free_port());
        let row = free_ports(3);
        assert_eq!(row[2].port(), row[0].port() + 2);
        assert!(!row.contains(&free_port()));
    }
}
