//! Opening a connection to a server. The caller bounds it with `timeout.connect`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use evenkeel_config::{Server, ServerAddress};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use evenkeel_wire::Stream;

/// Connects to `server`; `to` is where one is that stands at the destination of each connection.
///
/// # Errors
/// The operating system's: refused, unreachable, no descriptor left, no right to use the source address.
pub async fn dial(server: &Server, to: Option<SocketAddr>, keepalive: bool) -> io::Result<Stream> {
    match &server.address {
        ServerAddress::Inet(address) => dial_tcp(server, *address, keepalive).await.map(Stream::from),
        ServerAddress::Destination(_) => {
            let address = to.ok_or(io::ErrorKind::AddrNotAvailable)?;
            dial_tcp(server, address, keepalive).await.map(Stream::from)
        }
        ServerAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::from),
    }
}

async fn dial_tcp(server: &Server, address: SocketAddr, keepalive: bool) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    // Heads and first body bytes go out in one write, so Nagle could only delay what follows.
    socket.set_tcp_nodelay(true)?;
    if keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new())?;
    }
    if let Some(name) = &server.interface {
        socket.bind_device(Some(name.as_bytes()))?;
    }
    if let Some(time) = server.tcp_user_timeout {
        socket.set_tcp_user_timeout(Some(time))?;
    }
    if server.tfo {
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::TcpFastOpenConnect, &true)?;
    }
    if let Some(source) = server.source {
        bind_source(&socket, source)?;
    }
    TcpSocket::from_std_stream(socket.into()).connect(address).await
}

/// Binds the local side; with port 0 the kernel picks it at connect time, so that 64k ports serve each destination.
fn bind_source(socket: &Socket, source: SocketAddr) -> io::Result<()> {
    if source.port() == 0 {
        let on: libc::c_int = 1;
        // SAFETY: the pointer and the length describe one c_int on this stack, and the descriptor is open.
        let done = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_IP,
                libc::IP_BIND_ADDRESS_NO_PORT,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    SockRef::from(socket).bind(&source.into())
}
