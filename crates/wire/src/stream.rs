//! One byte stream, whatever carries it: TCP, Unix socket, and in time TLS.
//!
//! Non-blocking calls plus readiness polls, so that a pump can hold a buffer only while bytes move.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll, Waker};

use nix::sys::socket::{MsgFlags, recv, sendmsg, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

impl Stream {
    /// Reads what is there; `WouldBlock` when nothing is, `Ok(0)` at the end of the stream.
    ///
    /// A read that does not fill `buf` has emptied the socket, so readiness is cleared with it and no second call is spent
    /// to be told so. What arrives meanwhile raises a new event, and a seen end of the stream stays seen.
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        let mut read = |fd: RawFd| {
            got = recv(fd, buf, MsgFlags::empty())?;
            match got {
                n if n != 0 && n < buf.len() => Err(io::ErrorKind::WouldBlock.into()),
                n => Ok(n),
            }
        };
        let done = match self {
            Stream::Tcp(s) => s.try_io(Interest::READABLE, || read(s.as_raw_fd())),
            Stream::Unix(s) => s.try_io(Interest::READABLE, || read(s.as_raw_fd())),
        };
        match done {
            Err(_) if got != 0 => Ok(got),
            other => other,
        }
    }

    /// Writes what fits; `WouldBlock` when nothing does.
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(s) => s.try_write(buf),
            Stream::Unix(s) => s.try_write(buf),
        }
    }

    /// Writes several pieces in one call; `more` says that more follows at once, so that the kernel may wait for it instead of
    /// sending a short segment (`MSG_MORE`).
    #[inline]
    pub fn try_send(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let more = if more { MsgFlags::from_bits_retain(libc::MSG_MORE) } else { MsgFlags::empty() };
        let flags = MsgFlags::MSG_NOSIGNAL | more;
        let send = |fd: RawFd| sendmsg::<()>(fd, parts, &[], flags, None).map_err(io::Error::from);
        match self {
            Stream::Tcp(s) => s.try_io(Interest::WRITABLE, || send(s.as_raw_fd())),
            Stream::Unix(s) => s.try_io(Interest::WRITABLE, || send(s.as_raw_fd())),
        }
    }

    /// Ready when a read may give bytes, the end, or an error.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(s) => s.poll_read_ready(cx),
            Stream::Unix(s) => s.poll_read_ready(cx),
        }
    }

    /// Ready when a write may take bytes.
    #[inline]
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(s) => s.poll_write_ready(cx),
            Stream::Unix(s) => s.poll_write_ready(cx),
        }
    }

    /// Whether bytes or the end have arrived, as far as the runtime has seen; costs a system call only when it says so.
    pub fn is_readable_now(&self) -> bool {
        // A read that exactly filled its buffer leaves readiness behind: only a look tells whether there is more.
        let nothing_there = || matches!(self.try_peek(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        self.poll_readable(&mut Context::from_waker(Waker::noop())).is_ready() && !nothing_there()
    }

    /// Looks at the next bytes without taking them; `Ok(0)` at the end of the stream.
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let mut peek = |fd| recv(fd, buf, flags).map_err(io::Error::from);
        match self {
            Stream::Tcp(s) => s.try_io(Interest::READABLE, || peek(s.as_raw_fd())),
            Stream::Unix(s) => s.try_io(Interest::READABLE, || peek(s.as_raw_fd())),
        }
    }

    /// Sends FIN; reading goes on.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket().shutdown(std::net::Shutdown::Write)
    }

    /// Makes the coming close a reset, so that the peer cannot take a cut transfer for a whole one.
    pub fn reset_on_close(&self) {
        // A socket that is gone already needs no reset.
        let _ = self.socket().set_linger(Some(std::time::Duration::ZERO));
    }

    /// Makes the coming close say nothing to the peer, which then waits in vain (`silent-drop`). Needs CAP_NET_ADMIN; without
    /// it a reset is sent that routers drop on the way.
    pub fn forget_on_close(&self) {
        let Stream::Tcp(stream) = self else { return };
        let fd = stream.as_fd();
        // A socket under repair is closed without a segment being sent.
        if setsockopt(&fd, sockopt::TcpRepair, &1).is_err() {
            let _ = setsockopt(&fd, sockopt::Ipv4Ttl, &1);
            self.reset_on_close();
        }
    }

    /// The address the peer connected to; `None` for Unix sockets.
    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        match self {
            Stream::Tcp(s) => s.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    fn socket(&self) -> socket2::SockRef<'_> {
        match self {
            Stream::Tcp(s) => s.into(),
            Stream::Unix(s) => s.into(),
        }
    }
}
