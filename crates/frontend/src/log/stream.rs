//! Lines over a TCP connection to a collector (RFC 6587), which this side opens and opens again.
//!
//! The log thread calls [`Stream::push`] for each line and [`Stream::pump`] while something waits. Nothing here blocks: what
//! the collector does not take waits in a bounded [`Outbox`], and what does not fit there is refused, so that one that is stuck
//! holds up neither traffic nor the other sinks.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use evenkeel_config::Framing;
use socket2::{Domain, Protocol, Socket, Type};

/// The connection and the lines it has still to take.
#[derive(Debug)]
pub(super) struct Stream {
    address: SocketAddr,
    framing: Framing,
    state: State,
    /// When the last attempt to connect began.
    tried: Option<Instant>,
    outbox: Outbox,
}

#[derive(Debug)]
enum State {
    Down,
    /// Until when it may take.
    Connecting(TcpStream, Instant),
    Up(TcpStream),
}

/// Least time between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);

/// How long one attempt may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a collector may leave bytes unacknowledged, or its window shut, before the connection counts as lost (TCP_USER_TIMEOUT).
const STUCK: Duration = Duration::from_secs(30);

/// When a socket that was not ready is looked at again.
const AGAIN: Duration = Duration::from_millis(20);

/// Send buffer of the kernel in bytes. What is in it is lost with the connection and nothing tells how much that was, so it is small.
const SEND_BUFFER: usize = 128 * 1024;

impl Stream {
    /// No connection yet; `limit` bytes of lines may wait.
    pub(super) fn new(address: SocketAddr, framing: Framing, limit: usize) -> Stream {
        Stream { address, framing, state: State::Down, tried: None, outbox: Outbox::new(limit) }
    }

    /// Takes one line; false when there is no room for it.
    pub(super) fn push(&mut self, line: &[u8]) -> bool {
        self.outbox.push(self.framing, line)
    }

    /// Connects and writes as far as that goes at once, and adds lines that are lost to `lost`. How long until it is worth another
    /// call; `None` when nothing waits.
    pub(super) fn pump(&mut self, now: Instant, lost: &mut u64) -> Option<Duration> {
        while !self.outbox.is_empty() {
            match std::mem::replace(&mut self.state, State::Down) {
                State::Down => {
                    let pause = self.tried.map_or(Duration::ZERO, |at| (at + RETRY).saturating_duration_since(now));
                    if !pause.is_zero() {
                        return Some(pause);
                    }
                    self.tried = Some(now);
                    if let Ok(stream) = dial(self.address) {
                        self.state = State::Connecting(stream, now + CONNECT);
                    }
                }
                State::Connecting(stream, until) => match (stream.take_error(), stream.peer_addr()) {
                    (Ok(None), Ok(_)) => self.state = State::Up(stream),
                    (Ok(None), Err(e)) if e.kind() == ErrorKind::NotConnected && now < until => {
                        self.state = State::Connecting(stream, until);
                        return Some(AGAIN);
                    }
                    _ => {}
                },
                State::Up(mut stream) => match left(&mut stream).and_then(|()| self.outbox.write_to(&mut stream)) {
                    Ok(()) => self.state = State::Up(stream),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        self.state = State::Up(stream);
                        return Some(AGAIN);
                    }
                    Err(_) => *lost += self.outbox.cut(),
                },
            }
        }
        None
    }

    /// Whether lines wait that a connection may still take: one is there, or may be tried now.
    pub(super) fn hopeful(&self, now: Instant) -> bool {
        let refused = matches!(self.state, State::Down) && self.tried.is_some_and(|at| now < at + RETRY);
        !self.outbox.is_empty() && !refused
    }

    /// Tries at once where it would wait (SIGHUP).
    pub(super) fn retry(&mut self) {
        self.tried = None;
    }

    /// Lines that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.outbox.frames.len() as u64
    }
}

/// A connection under way.
fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_user_timeout(Some(STUCK))?;
    match socket.connect(&address.into()) {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        _ => Ok(socket.into()),
    }
}

/// An error when the collector has closed: the kernel would still take bytes, and they would be lost. What it says is ignored.
fn left(stream: &mut impl Read) -> io::Result<()> {
    match stream.read(&mut [0; 512]) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Err(e) if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Err(e),
        _ => Ok(()),
    }
}

/// Framed lines, oldest first.
#[derive(Debug)]
struct Outbox {
    bytes: VecDeque<u8>,
    /// Length of each frame that has not gone out whole.
    frames: VecDeque<usize>,
    /// Bytes of the first of them that went out.
    sent: usize,
    limit: usize,
}

impl Outbox {
    fn new(limit: usize) -> Outbox {
        Outbox { bytes: VecDeque::new(), frames: VecDeque::new(), sent: 0, limit }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// RFC 6587: `LEN SP MSG` (section 3.4.1) or `MSG LF` (section 3.4.2).
    fn push(&mut self, framing: Framing, line: &[u8]) -> bool {
        let mut number = itoa::Buffer::new();
        let (head, tail): (&[u8], &[u8]) = match framing {
            Framing::Octets => (number.format(line.len()).as_bytes(), b" "),
            Framing::Lf => (b"", b"\n"),
        };
        let len = head.len() + line.len() + tail.len();
        if self.bytes.len() + len > self.limit {
            return false;
        }
        let parts = match framing {
            Framing::Octets => [head, tail, line],
            Framing::Lf => [head, line, tail],
        };
        parts.into_iter().for_each(|part| self.bytes.extend(part));
        self.frames.push_back(len);
        true
    }

    /// Writes until all is out.
    ///
    /// # Errors
    /// The writer's, among them that it takes no more for now.
    fn write_to(&mut self, to: &mut impl Write) -> io::Result<()> {
        while !self.bytes.is_empty() {
            match to.write(self.bytes.as_slices().0) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => self.advance(n),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn advance(&mut self, n: usize) {
        self.bytes.drain(..n);
        self.sent += n;
        while let Some(frame) = self.frames.front().copied().filter(|frame| *frame <= self.sent) {
            self.sent -= frame;
            self.frames.pop_front();
        }
    }

    /// The connection is gone: the rest of a line whose beginning went out would be noise on another one. How many lines that loses.
    fn cut(&mut self) -> u64 {
        if self.sent == 0 {
            return 0;
        }
        let frame = self.frames.pop_front().unwrap_or_default();
        self.bytes.drain(..frame - std::mem::take(&mut self.sent));
        1
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use fastrand::Rng;

    use super::*;

    /// Takes some bytes of each write, and none now and then.
    struct Narrow<'a> {
        rng: &'a mut Rng,
        got: Vec<u8>,
    }

    impl Write for Narrow<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.rng.u8(..4) == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let n = self.rng.usize(1..=bytes.len().min(40));
            self.got.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The whole frames of one connection; an incomplete one at its end is left out.
    fn frames(framing: Framing, mut bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mark = if framing == Framing::Lf { b'\n' } else { b' ' };
            let Some(at) = bytes.iter().position(|b| *b == mark) else { return lines };
            let (line, rest) = match framing {
                Framing::Lf => (&bytes[..at], &bytes[at + 1..]),
                Framing::Octets => {
                    let len: usize = std::str::from_utf8(&bytes[..at]).unwrap().parse().unwrap();
                    let Some(parts) = bytes[at + 1..].split_at_checked(len) else { return lines };
                    parts
                }
            };
            lines.push(String::from_utf8(line.to_vec()).unwrap());
            bytes = rest;
        }
    }

    /// Whatever each write takes, and wherever connections break: each line arrives whole and in order, or is counted.
    #[test]
    fn frames_stay_whole() {
        for seed in 0..400 {
            let mut rng = Rng::with_seed(seed);
            let framing = if rng.bool() { Framing::Octets } else { Framing::Lf };
            let mut outbox = Outbox::new(rng.usize(50..500));
            let (mut kept, mut arrived, mut lost) = (Vec::new(), Vec::new(), 0);
            let mut got = Vec::new();
            for n in 0..200 {
                let line = format!("{n} {}", "x".repeat(rng.usize(..60)));
                if outbox.push(framing, line.as_bytes()) {
                    kept.push(line);
                }
                assert!(outbox.bytes.len() <= outbox.limit, "seed {seed}");
                let mut to = Narrow { rng: &mut rng, got: std::mem::take(&mut got) };
                let result = outbox.write_to(&mut to);
                assert_eq!(result.is_ok(), outbox.is_empty(), "seed {seed}");
                got = to.got;
                if rng.u8(..10) == 0 {
                    arrived.extend(frames(framing, &std::mem::take(&mut got)));
                    lost += outbox.cut();
                }
            }
            let mut last = got;
            outbox.write_to(&mut last).unwrap();
            arrived.extend(frames(framing, &last));
            assert!(outbox.frames.is_empty() && outbox.sent == 0, "seed {seed}");
            assert_eq!(arrived.len() as u64 + lost, kept.len() as u64, "seed {seed}");
            let mut rest = kept.iter();
            assert!(arrived.iter().all(|line| rest.any(|kept| kept == line)), "seed {seed}: {arrived:?}");
        }
    }

    #[test]
    fn a_line_that_does_not_fit_leaves_the_others_whole() {
        let mut outbox = Outbox::new(10);
        assert!(outbox.push(Framing::Octets, b"abc"));
        assert!(!outbox.push(Framing::Octets, b"abcd"));
        assert!(outbox.push(Framing::Lf, b"defg"));
        let mut out = Vec::new();
        outbox.write_to(&mut out).unwrap();
        assert_eq!(out, b"3 abcdefg\n");
    }

    /// What happens when is told by the time that is handed in.
    #[test]
    fn a_collector_that_is_away_is_tried_once_a_second() {
        // Bound, so that the port is nobody else's, and not listening yet.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut stream = Stream::new(address, Framing::Octets, 100);
        let (now, mut lost) = (Instant::now(), 0);
        assert_eq!(stream.pump(now, &mut lost), None, "nothing to say, no connection");
        assert!(stream.push(b"one") && stream.hopeful(now));
        // Refused: at once over loopback.
        assert_eq!(stream.pump(now, &mut lost), Some(RETRY));
        assert!(!stream.hopeful(now));
        let half = now + RETRY / 2;
        assert_eq!(stream.pump(half, &mut lost), Some(RETRY / 2));
        socket.listen(8).unwrap();
        let listener = TcpListener::from(socket);
        assert!(stream.push(b"two"));
        assert_eq!(stream.pump(half, &mut lost), Some(RETRY / 2));
        assert_eq!(stream.pump(now + RETRY, &mut lost), None);
        let (mut taken, _) = listener.accept().unwrap();
        let mut got = [0; 10];
        taken.read_exact(&mut got).unwrap();
        assert_eq!((&got, lost, stream.waiting()), (b"3 one3 two", 0, 0));
        // It leaves: the next line finds that out and goes to the next connection.
        drop(taken);
        assert!(stream.push(b"three"));
        let later = now + 2 * RETRY;
        assert_eq!(stream.pump(later, &mut lost), None);
        let (mut taken, _) = listener.accept().unwrap();
        taken.read_exact(&mut got[..7]).unwrap();
        assert_eq!((&got[..7], lost), (&b"5 three"[..], 0));
    }
}
