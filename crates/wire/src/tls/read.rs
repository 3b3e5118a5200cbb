//! From the socket to plaintext.

use std::io;
use std::task::{Context, Poll};

use rustls::{CipherSuite, CommonState, Error, InvalidMessage, PeerMisbehaved, ProtocolVersion};

use super::session::{Sink, Turn};
use super::{Closing, End, Inner, MAX_FRAGMENT, MAX_OVERHEAD, RECORD_HEAD, SessionError, scratch};
use crate::Socket;

/// Most bytes asked of the socket at a time.
const MAX_WINDOW: usize = 256 * 1024;
/// Least bytes asked of the socket at a time, so that a tiny buffer does not make tiny calls.
const MIN_WINDOW: usize = 512;
/// Bytes asked for where no reader waits: what a server sends after the handshake, its tickets.
const IDLE_WINDOW: usize = 4 * 1024;
/// Bytes asked for in a handshake: any record.
pub(super) const HANDSHAKE_WINDOW: usize = MAX_FRAGMENT + 2048 + RECORD_HEAD;
/// Most bytes of a handshake message that comes in pieces, with its records: 64 KiB is the longest that rustls puts together.
const MAX_TAIL: usize = 128 * 1024;

/// A record that brings no data (key update, ticket, warning, empty one) costs this much, a record that does gives one back.
const QUIET: u16 = 32;
/// Where patience ends: this many such records in a row (`tune.ssl.keyupdate-rate-limit` has 100 in a second).
const MAX_QUIET: u16 = 100 * QUIET;

/// What a look at the socket gave.
pub(super) struct Fill {
    /// Bytes put into the reader's buffer.
    pub(super) bytes: usize,
    /// The socket has no more for now.
    pub(super) dry: bool,
}

impl Inner {
    #[inline]
    pub(super) fn read(&mut self, socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.has_plain() {
                return Ok(self.take_plain(buf));
            }
            if let Some(end) = self.ended() {
                return end.map(|()| 0);
            }
            let window = self.window(buf.len());
            match self.fill(socket, buf, window) {
                Ok(fill) if fill.bytes > 0 => return Ok(fill.bytes),
                Ok(fill) if fill.dry && self.ended().is_none() && !self.has_plain() => return self.nothing(socket),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return self.nothing(socket),
                Err(e) => return Err(e),
            }
        }
    }

    pub(super) fn peek(&mut self, socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
        while !self.has_plain() {
            if let Some(end) = self.ended() {
                return end.map(|()| 0);
            }
            self.fill(socket, &mut [], IDLE_WINDOW)?;
        }
        let there = &self.plain[self.plain_at..];
        let n = there.len().min(buf.len());
        buf[..n].copy_from_slice(&there[..n]);
        Ok(n)
    }

    pub(super) fn is_readable_now(&mut self, socket: &Socket) -> bool {
        loop {
            if self.has_plain() || self.ended().is_some() {
                return true;
            }
            if !socket.may_read() {
                // Nobody may look again for long, and the peer must not wait for our last flight.
                let _ = self.nothing(socket);
                return false;
            }
            match self.fill(socket, &mut [], IDLE_WINDOW) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return true,
            }
        }
    }

    pub(super) fn poll_readable(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_plain() || self.ended().is_some() {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(ready) = socket.poll_readable(cx) {
            return Poll::Ready(ready);
        }
        // About to wait for the peer, who must not wait for what lies here. A failure to send is the writer's to see.
        if self.has_out() || self.closing == Closing::Said {
            let _ = self.poll_flush(socket, cx);
        }
        Poll::Pending
    }

    /// Receives at most `window` bytes and puts what they decrypt to into `to`, the rest behind into `plain`.
    pub(super) fn fill(&mut self, socket: &Socket, to: &mut [u8], window: usize) -> io::Result<Fill> {
        let have = self.tail.len();
        let missing = self.missing();
        let window = window.max(missing).clamp(MIN_WINDOW, MAX_WINDOW);
        scratch::with(|scratch| {
            let input = &mut scratch.input;
            scratch::stretch(input, have + window);
            let got = match socket.try_read(&mut input[have..have + window]) {
                Ok(0) => {
                    // `tail` stays: rustls may want to see it again while we write.
                    self.end = Some(End::Cut);
                    return Ok(Fill { bytes: 0, dry: true });
                }
                Ok(got) => got,
                Err(e) => return Err(e),
            };
            if got < missing {
                // Its head was looked at before: nothing to be done until the record is whole.
                self.tail.extend_from_slice(&input[have..have + got]);
                return Ok(Fill { bytes: 0, dry: got < window });
            }
            input[..have].copy_from_slice(&self.tail);
            let bytes = self.process(&mut input[..have + got], to);
            if self.failed.is_some() {
                // The alert, as far as the socket takes it.
                let _ = self.flush(socket);
            }
            Ok(Fill { bytes, dry: got < window })
        })
    }

    /// Has rustls go through `input`, which is `tail` and what was received behind it. Returns how much of `to` was filled.
    pub(super) fn process(&mut self, input: &mut [u8], to: &mut [u8]) -> usize {
        let (records, whole) = whole_records(input, self.seen);
        let mut sink = Sink { to, filled: 0, spill: &mut self.plain, records: 0, early: false };
        let mut at = 0;
        let failed = loop {
            let (discard, turn) = self.session.turn(&mut input[at..], &mut sink, &mut self.out);
            at += discard;
            match turn {
                Turn::More => {}
                Turn::PeerClosed => self.end = Some(End::Notified),
                Turn::Blocked => break None,
                Turn::Traffic => {
                    self.may_send = true;
                    break None;
                }
                Turn::Closed => break None,
                Turn::Failed(error) => break Some(error),
            }
        };
        self.early |= sink.early;
        let (filled, data) = (sink.filled, sink.records);
        if let Some(error) = failed {
            self.fail(error);
        } else if self.end.is_some() {
            // What comes behind a close_notify is ignored (RFC 8446 §6.1). It may be in one piece with the end of the handshake.
            self.tail = Vec::new();
            self.seen = 0;
            self.look_done();
        } else {
            self.keep(input, at, whole);
            self.judge(records.saturating_sub(data), data);
        }
        filled
    }

    /// Keeps what of `input` is not done with.
    fn keep(&mut self, input: &[u8], at: usize, whole: usize) {
        if whole == self.seen && at == 0 {
            // No record has become whole and nothing was touched, so what is kept already stays.
            self.tail.extend_from_slice(&input[self.tail.len()..]);
        } else {
            let rest = &input[at..];
            self.seen = whole.saturating_sub(at);
            self.tail.clear();
            if rest.is_empty() {
                self.tail = Vec::new();
            }
            self.tail.reserve_exact(rest.len());
            self.tail.extend_from_slice(rest);
        }
        if self.tail.len() > MAX_TAIL {
            self.fail(Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge));
        }
    }

    /// Whether the handshake is over by now.
    fn look_done(&mut self) {
        self.done = !self.session.common().is_handshaking();
        self.overhead = overhead(self.session.common());
    }

    /// Ends a session whose peer makes us work for nothing.
    fn judge(&mut self, quiet: usize, data: usize) {
        if !self.done {
            return self.look_done();
        }
        if quiet == 0 {
            self.quiet = self.quiet.saturating_sub(u16::try_from(data).unwrap_or(u16::MAX));
            return;
        }
        let cost = u16::try_from(quiet).unwrap_or(u16::MAX).saturating_mul(QUIET);
        self.quiet = self.quiet.saturating_add(cost);
        if self.quiet > MAX_QUIET {
            self.fail(Error::PeerMisbehaved(PeerMisbehaved::TooManyKeyUpdateRequests));
        }
    }

    /// Ends the session. The alert that rustls has prepared is put into `out`.
    pub(super) fn fail(&mut self, error: Error) {
        let mut sink = Sink { to: &mut [], filled: 0, spill: &mut self.plain, records: 0, early: false };
        // While it has something to send rustls does not look at its input.
        while self.session.common().wants_write() {
            let (_, turn) = self.session.turn(&mut [], &mut sink, &mut self.out);
            if !matches!(turn, Turn::More) {
                break;
            }
        }
        self.tail = Vec::new();
        self.seen = 0;
        self.failed = Some(Box::new(error));
    }

    /// `Some` when nothing more will be read.
    #[inline]
    pub(super) fn ended(&self) -> Option<io::Result<()>> {
        match (&self.failed, self.end) {
            (Some(error), _) => Some(Err(SessionError((**error).clone()).into())),
            (None, Some(_)) => Some(Ok(())),
            (None, None) => None,
        }
    }

    #[inline]
    pub(super) fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    fn take_plain(&mut self, buf: &mut [u8]) -> usize {
        let there = &self.plain[self.plain_at..];
        let n = there.len().min(buf.len());
        buf[..n].copy_from_slice(&there[..n]);
        self.plain_at += n;
        if self.plain_at == self.plain.len() {
            self.plain = Vec::new();
            self.plain_at = 0;
        }
        n
    }

    /// There is nothing to read: before the peer is waited for it gets what it may wait for.
    fn nothing(&mut self, socket: &Socket) -> io::Result<usize> {
        if self.has_out() || self.closing == Closing::Said {
            let _ = self.flush(socket);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// How many bytes to ask for so that what they decrypt to fits `room`.
    #[inline]
    fn window(&self, room: usize) -> usize {
        let records = room.div_ceil(MAX_FRAGMENT);
        (room + records * usize::from(self.overhead)).saturating_sub(self.tail.len() - self.seen)
    }

    /// How many bytes the record lacks that is not whole; 0 while its head is not.
    fn missing(&self) -> usize {
        let part = &self.tail[self.seen..];
        record_len(part).map_or(0, |len| len.saturating_sub(part.len()))
    }
}

/// How much longer a record is than what it carries.
fn overhead(session: &CommonState) -> u8 {
    let chacha = |suite| {
        matches!(
            suite,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    };
    match (session.protocol_version(), session.negotiated_cipher_suite()) {
        // Head, type of content, tag.
        (Some(ProtocolVersion::TLSv1_3), _) => 5 + 1 + 16,
        (_, Some(suite)) if chacha(suite.suite()) => 5 + 16,
        _ => MAX_OVERHEAD as u8,
    }
}

/// Length of the record that begins here, head and all; `None` before its head is whole.
fn record_len(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, _, _, high, low, ..] => Some(RECORD_HEAD + usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// How many whole records there are from `from` on, and where the last of them ends.
fn whole_records(bytes: &[u8], from: usize) -> (usize, usize) {
    let (mut count, mut at) = (0, from);
    while let Some(len) = record_len(&bytes[at..])
        && len <= bytes.len() - at
    {
        at += len;
        count += 1;
    }
    (count, at)
}
