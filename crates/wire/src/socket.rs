//! One connected socket, TCP or Unix: the system calls, and what the runtime knows of its readiness.
//!
//! Shared by plain streams and by the TLS sessions that lie over a socket. Non-blocking throughout; readiness is cleared by
//! whatever has emptied or filled the socket, so that no call is spent to be told so.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv, sendmsg, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// A connected stream socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

impl Socket {
    /// Reads what is there; `WouldBlock` when nothing is, `Ok(0)` at the end of the stream.
    ///
    /// A read that does not fill `buf` has emptied the socket, so readiness is cleared with it and no second call is spent
    /// to be told so. What arrives meanwhile raises a new event, and a seen end of the stream stays seen.
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        let done = self.try_io(Interest::READABLE, |fd| {
            got = recv(fd, buf, MsgFlags::empty())?;
            match got {
                n if n != 0 && n < buf.len() => Err(io::ErrorKind::WouldBlock.into()),
                n => Ok(n),
            }
        });
        match done {
            Err(_) if got != 0 => Ok(got),
            other => other,
        }
    }

    /// Writes what fits; `WouldBlock` when nothing does.
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(s) => s.try_write(buf),
            Socket::Unix(s) => s.try_write(buf),
        }
    }

    /// Writes several pieces in one call; `more` says that more follows at once, so that the kernel may wait for it instead of
    /// sending a short segment (`MSG_MORE`).
    #[inline]
    pub fn try_send(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let more = if more { MsgFlags::from_bits_retain(libc::MSG_MORE) } else { MsgFlags::empty() };
        let flags = MsgFlags::MSG_NOSIGNAL | more;
        self.try_io(Interest::WRITABLE, |fd| sendmsg::<()>(fd, parts, &[], flags, None).map_err(io::Error::from))
    }

    /// Looks at the next bytes without taking them; `Ok(0)` at the end of the stream.
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        self.try_io(Interest::READABLE, |fd| recv(fd, buf, flags).map_err(io::Error::from))
    }

    /// Ready when a read may give bytes, the end, or an error.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(s) => s.poll_read_ready(cx),
            Socket::Unix(s) => s.poll_read_ready(cx),
        }
    }

    /// Ready when a write may take bytes.
    #[inline]
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(s) => s.poll_write_ready(cx),
            Socket::Unix(s) => s.poll_write_ready(cx),
        }
    }

    /// Whether the runtime holds the socket for readable. Costs no system call and disturbs nobody who waits.
    pub fn may_read(&self) -> bool {
        self.try_io(Interest::READABLE, |_| Ok(())).is_ok()
    }

    /// Whether the runtime holds the socket for writable. Costs no system call and disturbs nobody who waits.
    pub fn may_write(&self) -> bool {
        self.try_io(Interest::WRITABLE, |_| Ok(())).is_ok()
    }

    /// Sends FIN; reading goes on.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.options().shutdown(Shutdown::Write)
    }

    /// Makes the coming close a reset, so that the peer cannot take a cut transfer for a whole one.
    pub fn reset_on_close(&self) {
        // A socket that is gone already needs no reset.
        let _ = self.options().set_linger(Some(Duration::ZERO));
    }

    /// Makes the coming close say nothing to the peer, which then waits in vain (`silent-drop`). Needs CAP_NET_ADMIN; without
    /// it, or with `rst_ttl`, a reset is sent that routers drop on the way, after so many hops.
    pub fn forget_on_close(&self, rst_ttl: Option<u8>) {
        let Socket::Tcp(stream) = self else { return };
        let fd = stream.as_fd();
        // A socket under repair is closed without a segment being sent.
        if rst_ttl.is_some() || setsockopt(&fd, sockopt::TcpRepair, &1).is_err() {
            // Only one of the two is right for the socket; one of IPv6 that carries IPv4 takes both.
            let hops = rst_ttl.unwrap_or(1).into();
            let _ = setsockopt(&fd, sockopt::Ipv4Ttl, &hops);
            let _ = setsockopt(&fd, sockopt::Ipv6Ttl, &hops);
            self.reset_on_close();
        }
    }

    /// The address the peer connected to; `None` for Unix sockets.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Socket::Tcp(s) => s.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    /// Runs `call` when the runtime holds the socket for ready; its `WouldBlock` clears that.
    #[inline]
    pub(crate) fn try_io<R>(&self, interest: Interest, call: impl FnOnce(RawFd) -> io::Result<R>) -> io::Result<R> {
        match self {
            Socket::Tcp(s) => s.try_io(interest, || call(s.as_raw_fd())),
            Socket::Unix(s) => s.try_io(interest, || call(s.as_raw_fd())),
        }
    }

    fn options(&self) -> socket2::SockRef<'_> {
        match self {
            Socket::Tcp(s) => s.into(),
            Socket::Unix(s) => s.into(),
        }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Socket::Tcp(stream)
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Socket::Unix(stream)
    }
}
