//! A client that sends exactly the bytes a test says and keeps every byte that comes back.

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use crate::DEADLINE;
use crate::message::{Message, Wire, find};
use crate::tls::{Session, TlsClient};

/// How a connection ended, as its peer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A FIN: an orderly end.
    Closed,
    /// A reset.
    Reset,
}

/// One client connection.
#[derive(Debug)]
pub struct RawClient {
    wire: Wire,
}

impl RawClient {
    /// Connects, waiting for the listener for at most [`DEADLINE`].
    ///
    /// # Errors
    /// When nobody accepts.
    pub fn connect(addr: SocketAddr) -> io::Result<RawClient> {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(RawClient { wire: Wire::new(stream) })
    }

    /// Connects from a local address of the caller's choice, such as 127.0.0.2.
    ///
    /// # Errors
    /// When the address is not of this machine, or nobody accepts.
    pub fn connect_from(from: IpAddr, addr: SocketAddr) -> io::Result<RawClient> {
        let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
        connect(fd.as_raw_fd(), &SockaddrStorage::from(addr))?;
        let stream = TcpStream::from(fd);
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(RawClient { wire: Wire::new(stream) })
    }

    /// Connects and shakes hands. What the handshake agreed on comes with the client.
    ///
    /// # Errors
    /// When nobody accepts, or what went wrong in the handshake.
    pub fn connect_tls(addr: SocketAddr, tls: &TlsClient) -> io::Result<(RawClient, Session)> {
        RawClient::connect(addr)?.over_tls(tls)
    }

    /// Shakes hands on a connection on which something plain was sent before, such as a PROXY header.
    ///
    /// # Errors
    /// What went wrong in the handshake.
    pub fn over_tls(self, tls: &TlsClient) -> io::Result<(RawClient, Session)> {
        let (stream, session) = tls.connect(self.wire.into_stream())?;
        Ok((RawClient { wire: Wire::new(stream) }, session))
    }

    /// Connects to a Unix socket. Everything works as over TCP, but for [`RawClient::local`]: it has no address.
    ///
    /// # Errors
    /// When nobody accepts.
    pub fn connect_unix(path: &Path) -> io::Result<RawClient> {
        // Reads, writes, timeouts and shutdown are the same system calls for both families.
        let stream = TcpStream::from(OwnedFd::from(UnixStream::connect(path)?));
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(RawClient { wire: Wire::new(stream) })
    }

    /// The local address.
    pub fn local(&self) -> SocketAddr {
        self.wire.stream().local_addr().expect("a connected socket has a name")
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.stream().write_all(bytes.as_ref())
    }

    /// Receives one response with its body.
    ///
    /// # Errors
    /// `UnexpectedEof` when the connection ends before the first byte, `TimedOut` at the deadline.
    pub fn response(&mut self) -> io::Result<Message> {
        self.wire.response(false, deadline())?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The status of one response, 0 when the connection ends without one.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn status_or_end(&mut self) -> io::Result<u16> {
        Ok(self.wire.response(false, deadline())?.map_or(0, |m| m.status()))
    }

    /// Receives the head of a response that has no body whatever its fields say (the answer to HEAD or CONNECT).
    ///
    /// # Errors
    /// As [`RawClient::response`].
    pub fn response_head(&mut self) -> io::Result<Message> {
        self.wire.response(true, deadline())?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends a request and receives its response.
    ///
    /// # Errors
    /// As [`RawClient::response`].
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> io::Result<Message> {
        self.send(request)?;
        self.response()
    }

    /// Receives up to and including `mark`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the connection ends before, `TimedOut` at the deadline.
    pub fn until(&mut self, mark: impl AsRef<[u8]>) -> io::Result<Vec<u8>> {
        self.wire.until(mark.as_ref(), deadline())?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Waits until `mark` has arrived somewhere, and takes nothing.
    ///
    /// # Errors
    /// As [`RawClient::until`].
    pub fn wait_for(&mut self, mark: impl AsRef<[u8]>) -> io::Result<()> {
        let end = deadline();
        while find(self.wire.received(), mark.as_ref()).is_none() {
            if !self.wire.fill(end)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Receives `n` bytes, fewer when the connection ends before.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        self.wire.exactly(n, deadline())
    }

    /// Receives everything up to the end of the connection.
    ///
    /// # Errors
    /// `TimedOut` when it does not end.
    pub fn rest(&mut self) -> io::Result<(Vec<u8>, End)> {
        let bytes = self.wire.rest(deadline())?;
        let end = if self.wire.ended() == Some(io::ErrorKind::UnexpectedEof) { End::Closed } else { End::Reset };
        Ok((bytes, end))
    }

    /// The stream with what it received.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// The stream alone, for a protocol that is spoken elsewhere.
    pub fn into_wire(self) -> Wire {
        self.wire
    }

    /// Closes the sending side.
    pub fn half_close(&self) {
        let _ = self.wire.stream().shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        linger_zero(self.wire.stream());
    }
}

fn deadline() -> Option<Instant> {
    Some(Instant::now() + DEADLINE)
}

/// Makes the coming close a reset.
pub(crate) fn linger_zero(stream: &impl AsFd) {
    let now = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = setsockopt(stream, sockopt::Linger, &now);
}

/// One GET on its own connection.
pub(crate) fn get(addr: SocketAddr, path: &str) -> io::Result<Message> {
    let mut client = RawClient::connect(addr)?;
    let message = client.ask(format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"))?;
    // Its end is awaited too: whoever counts connections has forgotten this one afterwards.
    client.rest()?;
    Ok(message)
}
