//! One byte stream, whatever carries it: a socket, or a TLS session over one.
//!
//! Non-blocking calls plus readiness polls, so that a pump can hold a buffer only while bytes move.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::net::{TcpStream, UnixStream};

use crate::{Socket, TlsStream};

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// The bytes of a TCP or Unix socket.
    Plain(Socket),
    /// The bytes of a TLS session.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Reads what is there; `WouldBlock` when nothing is, `Ok(0)` at the end of the stream.
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(s) => s.try_read(buf),
            Stream::Tls(s) => s.try_read(buf),
        }
    }

    /// Writes what fits; `WouldBlock` when nothing does. After `WouldBlock` the same bytes must be offered again, see
    /// [`TlsStream::try_send`].
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(s) => s.try_write(buf),
            Stream::Tls(s) => s.try_write(buf),
        }
    }

    /// Writes several pieces in one call; `more` says that more follows at once, so that the kernel may wait for it instead of
    /// sending a short segment (`MSG_MORE`).
    #[inline]
    pub fn try_send(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        match self {
            Stream::Plain(s) => s.try_send(parts, more),
            Stream::Tls(s) => s.try_send(parts, more),
        }
    }

    /// Ready when a read may give bytes, the end, or an error.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(s) => s.poll_readable(cx),
            Stream::Tls(s) => s.poll_readable(cx),
        }
    }

    /// Ready when a write may take bytes.
    #[inline]
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(s) => s.poll_writable(cx),
            Stream::Tls(s) => s.poll_writable(cx),
        }
    }

    /// Whether bytes or the end have arrived, as far as the runtime has seen; costs a system call only when it says so.
    pub fn is_readable_now(&self) -> bool {
        match self {
            Stream::Plain(s) => {
                // A read that exactly filled its buffer leaves readiness behind: only a look tells whether there is more.
                let nothing_there = || matches!(s.try_peek(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
                s.may_read() && !nothing_there()
            }
            Stream::Tls(s) => s.is_readable_now(),
        }
    }

    /// Looks at the next bytes without taking them; `Ok(0)` at the end of the stream.
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(s) => s.try_peek(buf),
            Stream::Tls(s) => s.try_peek(buf),
        }
    }

    /// Says that nothing more will be written (close_notify where there is TLS, then FIN); reading goes on.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Stream::Plain(s) => s.shutdown_write(),
            Stream::Tls(s) => s.shutdown_write(),
        }
    }

    /// Makes the coming close a reset, so that the peer cannot take a cut transfer for a whole one.
    pub fn reset_on_close(&self) {
        match self {
            Stream::Plain(s) => s.reset_on_close(),
            Stream::Tls(s) => s.reset_on_close(),
        }
    }

    /// Makes the coming close say nothing to the peer, which then waits in vain (`silent-drop`). Needs CAP_NET_ADMIN; without
    /// it a reset is sent that routers drop on the way.
    pub fn forget_on_close(&self) {
        match self {
            Stream::Plain(s) => s.forget_on_close(),
            Stream::Tls(s) => s.forget_on_close(),
        }
    }

    /// The address the peer connected to; `None` for Unix sockets.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket().local_addr()
    }

    /// What lies below.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(s) => s,
            Stream::Tls(s) => s.socket(),
        }
    }
}

impl From<Socket> for Stream {
    fn from(socket: Socket) -> Self {
        Stream::Plain(socket)
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Stream::Plain(stream.into())
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Stream::Plain(stream.into())
    }
}

impl From<TlsStream> for Stream {
    fn from(stream: TlsStream) -> Self {
        Stream::Tls(Box::new(stream))
    }
}
