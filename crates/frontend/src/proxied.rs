//! The PROXY header at the beginning of a client connection: taken off the socket, to the byte.
//!
//! Called by `establish` before TLS, on binds with `accept-proxy` and after the action `expect-proxy`. Never guesses: where a
//! header is expected, a connection without one ends. What follows the header stays in the socket for whoever reads next.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use evenkeel_acl::{ProxyFacts, Session};
use evenkeel_config::AcceptProxy;
use evenkeel_proto::proxy::{Malformed, Parsed, parse};
use evenkeel_wire::Socket;

use crate::end::End;
use crate::timer::{Expired, Timer, within};

/// Most headers with fields are shorter; a longer one gets the room it says it needs.
const ROOM: usize = 256;

/// What a header said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Client, and where it connected to; `None`: those of the socket hold.
    endpoints: Option<(SocketAddr, SocketAddr)>,
    facts: ProxyFacts,
}

impl Received {
    /// Makes it what rules, logs and balancing know of the client; the addresses of the socket stay in `real`.
    pub(crate) fn apply(self, session: &mut Session) {
        if let Some((src, dst)) = self.endpoints {
            (session.src, session.dst) = (Some(src), Some(dst));
        }
        session.proxied = Some(Arc::new(self.facts));
    }
}

/// Whether `peer`, the address of the socket, may send a header. Who may use a Unix socket is said by its permissions.
pub(crate) fn is_trusted(accept: &AcceptProxy, peer: Option<SocketAddr>) -> bool {
    let Some(ip) = peer.map(|peer| peer.ip().to_canonical()) else { return true };
    accept.from.is_empty() || accept.from.iter().any(|net| net.contains(&ip))
}

/// Reads the header of a connection, and nothing behind it.
///
/// # Errors
/// Why there is none: silence, or what came instead.
pub(crate) async fn read(
    socket: &Socket,
    timer: &mut Timer,
    since: Instant,
    limit: Option<Duration>,
) -> Result<Received, End> {
    let mut buf = vec![0; ROOM];
    let mut have = 0;
    let read = within(timer, since, limit, poll_fn(|cx| poll_header(socket, cx, &mut buf, &mut have))).await;
    match read {
        Ok(received) => received,
        Err(Expired) if have == 0 => Err(End::ClientSilent),
        Err(Expired) => Err(End::ProxyHeaderTimeout),
    }
}

fn poll_header(
    socket: &Socket,
    cx: &mut Context<'_>,
    buf: &mut Vec<u8>,
    have: &mut usize,
) -> Poll<Result<Received, End>> {
    loop {
        let seen = match socket.try_peek(&mut buf[*have..]) {
            Ok(0) if *have == 0 => return Poll::Ready(Err(End::ClientClosedSilently)),
            Ok(0) => return Poll::Ready(Err(End::ProxyHeaderClosed)),
            Ok(more) => *have + more,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if ready!(socket.poll_readable(cx)).is_err() {
                    return Poll::Ready(Err(End::ProxyHeaderClosed));
                }
                continue;
            }
            Err(_) => return Poll::Ready(Err(End::ProxyHeaderClosed)),
        };
        let (end, received, wanted) = match parse(&buf[..seen]) {
            // As long as it is partial, all there is belongs to it.
            Ok(Parsed::Partial(wanted)) => (seen, None, wanted),
            Ok(Parsed::Complete(header)) => {
                let received = Received { endpoints: header.endpoints(), facts: ProxyFacts::from(&header) };
                (header.wire_len(), Some(received), 0)
            }
            Err(why) => return Poll::Ready(Err(End::bad_proxy_header(why))),
        };
        while *have < end {
            match socket.try_read(&mut buf[*have..end]) {
                Ok(0) | Err(_) => return Poll::Ready(Err(End::ProxyHeaderClosed)),
                Ok(more) => *have += more,
            }
        }
        if let Some(received) = received {
            return Poll::Ready(Ok(received));
        }
        // Never nothing, which would look like the end of the connection.
        buf.resize(buf.len().max(wanted).max(*have + 1), 0);
    }
}

impl End {
    /// Why the first bytes of a connection are no PROXY header.
    fn bad_proxy_header(why: Malformed) -> End {
        match why {
            Malformed::NoHeader => End::ProxyHeaderMissing,
            Malformed::BadLine
            | Malformed::LineTooLong
            | Malformed::BadVersion
            | Malformed::BadCommand
            | Malformed::BadFamily
            | Malformed::TooLong
            | Malformed::ShortAddresses
            | Malformed::BadField
            | Malformed::BadChecksum => End::ProxyHeaderMalformed,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::os::unix::net::UnixStream as Pipe;

    use evenkeel_proto::proxy::{Addresses, Command, Encoder, MAX_BLOCK, tlv};

    use super::*;

    /// Sends `bytes` in pieces of `step`, each once the one before was looked at, and then closes unless told to `stay`.
    /// Gives what was read, and what is left in the socket.
    async fn feed(bytes: &[u8], step: usize, stay: bool) -> (Result<Received, End>, Vec<u8>) {
        let (ours, theirs) = Pipe::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let socket = Socket::from(tokio::net::UnixStream::from_std(ours).unwrap());
        let mut theirs = Some(theirs);
        let mut pieces = bytes.chunks(step);
        let (mut buf, mut have) = (vec![0; ROOM], 0);
        let read = poll_fn(|cx| {
            let looked = poll_header(&socket, cx, &mut buf, &mut have);
            // It waits for more, and is woken by what comes now.
            match (&looked, pieces.len() == 0, &mut theirs) {
                (Poll::Pending, false, Some(theirs)) => theirs.write_all(pieces.next().unwrap()).unwrap(),
                (Poll::Pending, true, Some(_)) if !stay => drop(theirs.take()),
                _ => {}
            }
            looked
        });
        let limit = Some(Duration::from_secs(3600));
        let read = within(&mut Timer::default(), Instant::now(), limit, read).await.unwrap();
        for piece in pieces {
            theirs.as_mut().unwrap().write_all(piece).unwrap();
        }
        drop(theirs);
        let mut rest = Vec::new();
        loop {
            let mut chunk = [0; 64];
            match socket.try_read(&mut chunk) {
                Ok(0) => return (read, rest),
                Ok(more) => rest.extend_from_slice(&chunk[..more]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    poll_fn(|cx| socket.poll_readable(cx)).await.unwrap();
                }
                Err(_) => return (read, rest),
            }
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn exactly_the_header_is_taken_however_it_comes() {
        let line = b"PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\r\n".to_vec();
        let mut long = Vec::new();
        let inet = Addresses::Inet { src: at("192.0.2.7:51234"), dst: at("192.0.2.10:443") };
        let mut encoder = Encoder::new(&mut long, Command::Proxy, &inet, true);
        assert!(encoder.field(0xea, &[7; MAX_BLOCK - 30]) && encoder.field(tlv::UNIQUE_ID, b"u"));
        encoder.finish();
        for (header, steps) in [(line, [1, 16, 1000]), (long, [97, 1000, 9000])] {
            for step in steps {
                let (read, rest) = feed(&[header.as_slice(), b"GET / HTTP/1.1\r\n"].concat(), step, true).await;
                let mut session = Session::default();
                read.unwrap().apply(&mut session);
                assert_eq!((session.src, session.dst), (Some(at("192.0.2.7:51234")), Some(at("192.0.2.10:443"))));
                assert!(session.proxied.is_some(), "{step}");
                assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{step}");
            }
        }
    }

    #[tokio::test]
    async fn a_header_about_the_sender_changes_no_address() {
        let mut local = Vec::new();
        Encoder::new(&mut local, Command::Local, &Addresses::Unspecified, false).finish();
        for header in [local.as_slice(), b"PROXY UNKNOWN\r\n"] {
            let (read, rest) = feed(header, 5, true).await;
            let mut session = Session { src: Some(at("127.0.0.1:1")), ..Session::default() };
            read.unwrap().apply(&mut session);
            assert_eq!((session.src, session.proxied.is_some()), (Some(at("127.0.0.1:1")), true));
            assert_eq!(rest, b"");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_ends_the_connection() {
        for (bytes, end) in [
            (b"GET / HTTP/1.1\r\n".as_slice(), End::ProxyHeaderMissing),
            (b"", End::ClientClosedSilently),
            (b"PROXY TCP4 ", End::ProxyHeaderClosed),
            (b"PROXY TCP4 a b c d\r\n", End::ProxyHeaderMalformed),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0", End::ProxyHeaderMalformed),
        ] {
            assert_eq!(feed(bytes, 7, false).await.0, Err(end), "{}", bytes.escape_ascii());
        }
    }

    #[tokio::test]
    async fn a_silent_client_is_not_waited_for_for_ever() {
        let (ours, _theirs) = Pipe::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let socket = Socket::from(tokio::net::UnixStream::from_std(ours).unwrap());
        let read = read(&socket, &mut Timer::default(), Instant::now(), Some(Duration::ZERO)).await;
        assert_eq!(read, Err(End::ClientSilent));
    }

    #[test]
    fn trust_goes_by_the_address_of_the_socket() {
        let accept = AcceptProxy { from: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()] };
        for (peer, trusted) in [
            ("192.0.2.9:1", true),
            ("[::ffff:192.0.2.9]:1", true),
            ("[2001:db8::1]:1", true),
            ("198.51.100.1:1", false),
            ("[::1]:1", false),
        ] {
            assert_eq!(is_trusted(&accept, Some(at(peer))), trusted, "{peer}");
        }
        assert!(is_trusted(&accept, None) && is_trusted(&AcceptProxy::default(), Some(at("198.51.100.1:1"))));
    }
}
