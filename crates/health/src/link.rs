//! The way to a checked server: a socket, a PROXY header on it, TLS over it.
//!
//! Called by [`crate::probe`]. The same sockets, sessions and certificates' verification as traffic has, so that a check
//! passes where traffic would. Never waits past the deadline of the check; each step that fails says which layer it was.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use evenkeel_config::ServerAddress;
use evenkeel_proto::proxy::line;
use evenkeel_wire::{HandshakeError, SessionError, Socket, Stream, TlsStream};
use rustls::CertificateError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use crate::compile::{Compiled, Greeting, Secure};
use crate::probe::Verdict;
use crate::report::CheckStatus;

/// Goes as far as the server can be asked something: connected, announced, and secured where there is TLS.
pub(crate) async fn open(check: &Compiled, target: &ServerAddress, deadline: Instant) -> Result<Stream, Verdict> {
    let socket = match timeout_at(deadline, connect(target)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return Err(refused(&error)),
        Err(_) => return Err(Verdict::new(CheckStatus::L4Tout)),
    };
    if let Some(greeting) = &check.greeting {
        match timeout_at(deadline, greet(&socket, target, greeting)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(refused(&error)),
            Err(_) => return Err(Verdict::new(CheckStatus::L4Tout)),
        }
    }
    match &check.secure {
        None => Ok(socket.into()),
        Some(secure) => match timeout_at(deadline, shake_hands(socket, secure)).await {
            Ok(done) => done.map(Stream::from),
            Err(_) => Err(Verdict::new(CheckStatus::L6Tout)),
        },
    }
}

async fn connect(target: &ServerAddress) -> io::Result<Socket> {
    Ok(match target {
        ServerAddress::Inet(at) => {
            let stream = TcpStream::connect(at).await?;
            let _ = stream.set_nodelay(true);
            stream.into()
        }
        ServerAddress::Unix(path) => UnixStream::connect(path).await?.into(),
        ServerAddress::Destination(_) => return Err(io::ErrorKind::AddrNotAvailable.into()),
    })
}

/// Sends the header that tells the server that this is a check.
async fn greet(socket: &Socket, target: &ServerAddress, greeting: &Greeting) -> io::Result<()> {
    let mut text = Vec::new();
    let mut left = match greeting {
        Greeting::Block(block) => &block[..],
        Greeting::Line => {
            let ends = match target {
                ServerAddress::Inet(at) => socket.local_addr().map(|from: SocketAddr| (from, *at)),
                ServerAddress::Unix(_) | ServerAddress::Destination(_) => None,
            };
            line(&mut text, ends);
            &text
        }
    };
    while !left.is_empty() {
        match socket.try_write(left) {
            Ok(n) => left = &left[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => poll_fn(|cx| socket.poll_writable(cx)).await?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

async fn shake_hands(socket: Socket, secure: &Secure) -> Result<TlsStream, Verdict> {
    let name = secure.name.as_deref();
    let alpn = secure.alpn.as_ref().map(|list| list.iter().map(|name| &name[..]).collect::<Vec<_>>());
    let session = secure
        .connector
        .begin(name, alpn.as_deref())
        .map_err(|error| Verdict::new(CheckStatus::SockErr).info(error.to_string()))?;
    let tls = TlsStream::connect(socket, session);
    let failed = |error: HandshakeError| Verdict::new(CheckStatus::L6Rsp).info(why(&error, name));
    poll_fn(|cx| tls.poll_handshake(cx)).await.map_err(failed)?;
    // The last flight may wait for the first bytes of a request, and some checks have none.
    poll_fn(|cx| tls.poll_flush(cx)).await.map_err(|error| failed(error.into()))?;
    Ok(tls)
}

/// Tells the server's refusal from our own failure to ask.
fn refused(error: &io::Error) -> Verdict {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Verdict::new(CheckStatus::L4Con).info(text),
        // The kernel's own limit ended the attempt before ours did.
        io::ErrorKind::TimedOut => Verdict::new(CheckStatus::L4Tout),
        _ => Verdict::new(CheckStatus::SockErr).info(format!("General socket error ({text})")),
    }
}

/// Why a handshake failed, short enough to be read in a log line.
fn why(error: &HandshakeError, name: Option<&str>) -> String {
    match error {
        HandshakeError::Certificate(rustls::Error::InvalidCertificate(error)) => distrust(error, name),
        HandshakeError::Certificate(rustls::Error::NoCertificatesPresented) => "the server shows no certificate".into(),
        HandshakeError::Closed => "the server closed during the TLS handshake".into(),
        HandshakeError::NotTls => "the server does not speak TLS".into(),
        HandshakeError::Io(error) => {
            let text = error.to_string();
            format!("the TLS handshake broke off: {}", text.split(" (os error").next().unwrap_or_default())
        }
        other => other.to_string(),
    }
}

fn distrust(error: &CertificateError, name: Option<&str>) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => "the server's certificate is from an authority that ca-file does not have".into(),
        E::ExpiredContext { time, not_after } => {
            let hours = time.as_secs().saturating_sub(not_after.as_secs()) / 3600;
            let age = if hours < 48 { format!("{hours} hours") } else { format!("{} days", hours / 24) };
            format!("the server's certificate expired {age} ago")
        }
        E::Expired => "the server's certificate has expired".into(),
        E::NotValidYet | E::NotValidYetContext { .. } => "the server's certificate is not valid yet".into(),
        E::Revoked => "the server's certificate is revoked".into(),
        E::NotValidForName | E::NotValidForNameContext { .. } => match name {
            Some(name) => format!("the server's certificate is not for {name}"),
            None => "the server's certificate is not for the name in verifyhost".into(),
        },
        E::UnknownRevocationStatus => "crl-file has no list of the authority of the server's certificate".into(),
        other => format!("the server's certificate is refused: {}", rustls::Error::from(other.clone())),
    }
}

/// What TLS says of an error that reached a protocol above it.
pub(crate) fn of_tls(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        // What an `io::Error` wraps is not its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inner.and_then(|inner| inner.downcast_ref::<SessionError>()) {
            Some(SessionError(rustls::Error::AlertReceived(alert))) => {
                return Some(format!("the server refused with alert {} ({alert:?})", u8::from(*alert)));
            }
            Some(error) => return Some(error.to_string()),
            None => next = error.source(),
        }
    }
    None
}

/// A stream as the HTTP/1 client wants it.
pub(crate) struct Io(pub(crate) Stream);

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(n) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(self.0.poll_readable(cx))?,
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.0.try_write(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(self.0.poll_writable(cx))?,
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown_write())
    }
}
