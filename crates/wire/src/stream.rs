//! One byte stream, whatever carries it: a socket, a TLS session over one, or the body of a message in an HTTP/2 stream.
//!
//! Non-blocking calls plus readiness polls, so that a pump can hold a buffer only while bytes move.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::net::{TcpStream, UnixStream};

use crate::{Socket, TlsStream, h2};

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// The bytes of a TCP or Unix socket.
    Plain(Socket),
    /// The bytes of a TLS session.
    Tls(Box<TlsStream>),
    /// The bodies of one request and its response in an HTTP/2 stream; [`Stream::h2`] has their heads.
    H2(Box<h2::Stream>),
    /// Nothing any more: what there was has been lent to an HTTP/2 connection.
    Lent,
}

impl Stream {
    /// Reads what is there; `WouldBlock` when nothing is, `Ok(0)` at the end of the stream.
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(s) => s.try_read(buf),
            Stream::Tls(s) => s.try_read(buf),
            Stream::H2(s) => s.try_read(buf),
            Stream::Lent => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes what fits; `WouldBlock` when nothing does. After `WouldBlock` the same bytes must be offered again, see
    /// [`TlsStream::try_send`].
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(s) => s.try_write(buf),
            Stream::Tls(s) => s.try_write(buf),
            Stream::H2(s) => s.try_write(buf, false),
            Stream::Lent => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes several pieces in one call; `more` says that more follows at once, so that the kernel may wait for it instead of
    /// sending a short segment (`MSG_MORE`).
    #[inline]
    pub fn try_send(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        match self {
            Stream::Plain(s) => s.try_send(parts, more),
            Stream::Tls(s) => s.try_send(parts, more),
            Stream::H2(s) => s.try_send(parts),
            Stream::Lent => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Ready when a read may give bytes, the end, or an error.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(s) => s.poll_readable(cx),
            Stream::Tls(s) => s.poll_readable(cx),
            Stream::H2(s) => s.poll_readable(cx),
            Stream::Lent => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Ready when a write may take bytes.
    #[inline]
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(s) => s.poll_writable(cx),
            Stream::Tls(s) => s.poll_writable(cx),
            Stream::H2(s) => s.poll_writable(cx),
            Stream::Lent => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
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
            Stream::H2(s) => s.is_readable_now(),
            Stream::Lent => true,
        }
    }

    /// Looks at the next bytes without taking them; `Ok(0)` at the end of the stream.
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(s) => s.try_peek(buf),
            Stream::Tls(s) => s.try_peek(buf),
            Stream::H2(s) => s.try_peek(buf),
            Stream::Lent => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Says that nothing more will be written (close_notify where there is TLS, then FIN); reading goes on.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Stream::Plain(s) => s.shutdown_write(),
            Stream::Tls(s) => s.shutdown_write(),
            Stream::H2(s) => s.finish(&[]),
            Stream::Lent => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Makes the coming close a reset, so that the peer cannot take a cut transfer for a whole one.
    pub fn reset_on_close(&self) {
        match self {
            Stream::Plain(s) => s.reset_on_close(),
            Stream::Tls(s) => s.reset_on_close(),
            Stream::H2(s) => s.reset(h2::INTERNAL_ERROR),
            Stream::Lent => {}
        }
    }

    /// Makes the coming close say nothing to the peer, which then waits in vain (`silent-drop`). Needs CAP_NET_ADMIN; without
    /// it, or with `rst_ttl`, a reset is sent that routers drop on the way, after so many hops.
    pub fn forget_on_close(&self, rst_ttl: Option<u8>) {
        match self {
            Stream::Plain(s) => s.forget_on_close(rst_ttl),
            Stream::Tls(s) => s.forget_on_close(rst_ttl),
            Stream::H2(s) => s.reset(h2::CANCEL),
            Stream::Lent => {}
        }
    }

    /// The address the peer connected to; `None` for Unix sockets.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket()?.local_addr()
    }

    /// The socket below, where it is this stream's alone.
    #[must_use]
    pub fn socket(&self) -> Option<&Socket> {
        match self {
            Stream::Plain(s) => Some(s),
            Stream::Tls(s) => Some(s.socket()),
            Stream::H2(_) | Stream::Lent => None,
        }
    }

    /// The HTTP/2 stream, when it is one.
    #[inline]
    #[must_use]
    pub fn h2(&self) -> Option<&h2::Stream> {
        match self {
            Stream::H2(s) => Some(s),
            Stream::Plain(_) | Stream::Tls(_) | Stream::Lent => None,
        }
    }

    /// The TLS session, when there is one.
    #[inline]
    #[must_use]
    pub fn tls(&self) -> Option<&TlsStream> {
        match self {
            Stream::Tls(s) => Some(s),
            Stream::Plain(_) | Stream::H2(_) | Stream::Lent => None,
        }
    }

    /// Ready when everything that was written has left us.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tls(s) => s.poll_flush(cx),
            Stream::Plain(_) | Stream::H2(_) | Stream::Lent => Poll::Ready(Ok(())),
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

impl From<h2::Stream> for Stream {
    fn from(stream: h2::Stream) -> Self {
        Stream::H2(Box::new(stream))
    }
}
