//! HTTP/2 frames by hand (RFC 9113 section 4): a test writes any frame, legal or not, and reads what comes back.
//!
//! [`Framed`] is a connection of which nothing is answered by itself: no SETTINGS, no PING, no window. [`crate::H2`] is the
//! well-behaved peer above it.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::client::{End, RawClient};
use crate::hpack::{self, Decoder, Field};
use crate::message::Wire;
use crate::tls::TlsClient;
use crate::{DEADLINE, tls};

/// What every client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types.
pub mod kind {
    #![allow(missing_docs)]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags.
pub mod flag {
    #![allow(missing_docs)]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// Settings.
pub mod setting {
    #![allow(missing_docs)]
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// Error codes.
pub mod code {
    #![allow(missing_docs)]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const SETTINGS_TIMEOUT: u32 = 4;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const CONNECT_ERROR: u32 = 10;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
    pub const INADEQUATE_SECURITY: u32 = 12;
    pub const HTTP_1_1_REQUIRED: u32 = 13;
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// What it carries, padding included.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame of these parts.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    /// HEADERS with all its fields; `end` closes the sending side.
    pub fn headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(stream: u32, fields: &[(N, V)], end: bool) -> Frame {
        let end = if end { flag::END_STREAM } else { 0 };
        Frame::new(kind::HEADERS, flag::END_HEADERS | end, stream, hpack::encode(fields))
    }

    /// DATA.
    pub fn data(stream: u32, bytes: impl Into<Vec<u8>>, end: bool) -> Frame {
        Frame::new(kind::DATA, if end { flag::END_STREAM } else { 0 }, stream, bytes)
    }

    /// RST_STREAM.
    pub fn rst(stream: u32, code: u32) -> Frame {
        Frame::new(kind::RST_STREAM, 0, stream, code.to_be_bytes())
    }

    /// GOAWAY.
    pub fn goaway(last: u32, code: u32) -> Frame {
        Frame::new(kind::GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
    }

    /// SETTINGS.
    pub fn settings(list: &[(u16, u32)]) -> Frame {
        let payload = list.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()[..]].concat());
        Frame::new(kind::SETTINGS, 0, 0, payload.collect::<Vec<u8>>())
    }

    /// WINDOW_UPDATE.
    pub fn window(stream: u32, more: u32) -> Frame {
        Frame::new(kind::WINDOW_UPDATE, 0, stream, more.to_be_bytes())
    }

    /// Whether it has this flag.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + self.payload.len());
        out.extend_from_slice(&(self.payload.len() as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.payload);
        out
    }

    /// The 32-bit number at this place of the payload; 0 when it is too short.
    pub fn word(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// The error code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        self.word(if self.kind == kind::GOAWAY { 4 } else { 0 })
    }

    /// The settings of a SETTINGS frame.
    pub fn settings_list(&self) -> Vec<(u16, u32)> {
        let one = |b: &[u8]| (u16::from_be_bytes([b[0], b[1]]), u32::from_be_bytes([b[2], b[3], b[4], b[5]]));
        self.payload.chunks_exact(6).map(one).collect()
    }

    /// The payload without padding and without the priority fields of HEADERS.
    pub fn content(&self) -> &[u8] {
        let mut content = &self.payload[..];
        if matches!(self.kind, kind::DATA | kind::HEADERS) && self.has(flag::PADDED) {
            let padding = content.first().map_or(0, |n| usize::from(*n));
            content = content.get(1..).and_then(|c| c.get(..c.len().checked_sub(padding)?)).unwrap_or_default();
        }
        if self.kind == kind::HEADERS && self.has(flag::PRIORITY) {
            content = content.get(5..).unwrap_or_default();
        }
        content
    }
}

/// A connection of frames that does nothing by itself.
#[derive(Debug)]
pub struct Framed {
    wire: Wire,
    decoder: Decoder,
    session: Option<tls::Session>,
}

impl Framed {
    /// Over a connection that exists.
    pub fn new(stream: TcpStream) -> Framed {
        Framed { wire: Wire::new(stream), decoder: Decoder::default(), session: None }
    }

    /// Over a connection of which something was read already.
    pub(crate) fn over(wire: Wire) -> Framed {
        Framed { wire, decoder: Decoder::default(), session: None }
    }

    /// Connects, over TLS when told how, and sends nothing.
    ///
    /// # Errors
    /// When nobody accepts or the handshake fails.
    pub fn connect(addr: SocketAddr, tls: Option<&TlsClient>) -> io::Result<Framed> {
        let (client, session) = match tls {
            None => (RawClient::connect(addr)?, None),
            Some(tls) => RawClient::connect_tls(addr, tls).map(|(c, s)| (c, Some(s)))?,
        };
        Ok(Framed { wire: client.into_wire(), decoder: Decoder::default(), session })
    }

    /// Connects, sends preface and empty SETTINGS, and acknowledges the server's SETTINGS.
    ///
    /// # Errors
    /// When the server does not begin with SETTINGS.
    pub fn greet(addr: SocketAddr, tls: Option<&TlsClient>) -> io::Result<Framed> {
        let mut framed = Framed::connect(addr, tls)?;
        framed.send_raw(PREFACE)?;
        framed.send(&Frame::settings(&[]))?;
        framed.wait(|f| f.kind == kind::SETTINGS && !f.has(flag::ACK))?;
        framed.send(&Frame::new(kind::SETTINGS, flag::ACK, 0, []))?;
        Ok(framed)
    }

    /// What the TLS handshake agreed on.
    pub fn session(&self) -> Option<&tls::Session> {
        self.session.as_ref()
    }

    /// The bytes below.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn send_raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.stream().write_all(bytes.as_ref())
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.send_raw(frame.bytes())
    }

    /// Sends frames in one write.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn send_all(&mut self, frames: &[Frame]) -> io::Result<()> {
        self.send_raw(frames.iter().flat_map(Frame::bytes).collect::<Vec<u8>>())
    }

    /// The next frame; `None` at the end of the connection.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn next(&mut self, deadline: Option<Instant>) -> io::Result<Option<Frame>> {
        while self.wire.pending().len() < 9 {
            if !self.wire.fill(deadline)? {
                return Ok(None);
            }
        }
        let head = self.wire.pending()[..9].to_vec();
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        while self.wire.pending().len() < 9 + length {
            if !self.wire.fill(deadline)? {
                return Ok(None);
            }
        }
        self.wire.take(9);
        let payload = self.wire.take(length);
        self.wire.forget();
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Ok(Some(Frame { kind: head[3], flags: head[4], stream, payload }))
    }

    /// Passes over frames up to the first that `wanted` accepts.
    ///
    /// # Errors
    /// `UnexpectedEof` when the connection ends before, `TimedOut` at the deadline.
    pub fn wait(&mut self, wanted: impl Fn(&Frame) -> bool) -> io::Result<Frame> {
        let deadline = Some(Instant::now() + DEADLINE);
        loop {
            let frame = self.next(deadline)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if wanted(&frame) {
                return Ok(frame);
            }
            if matches!(frame.kind, kind::HEADERS | kind::CONTINUATION) {
                // The tables of both sides must stay the same, whoever reads the fields.
                self.fields(frame)?;
            }
        }
    }

    /// All frames up to the end of the connection, and how it ended.
    ///
    /// # Errors
    /// `TimedOut` when it does not end.
    pub fn rest(&mut self) -> io::Result<(Vec<Frame>, End)> {
        let deadline = Some(Instant::now() + DEADLINE);
        let mut frames = Vec::new();
        while let Some(frame) = self.next(deadline)? {
            frames.push(frame);
        }
        let closed = self.wire.ended() == Some(io::ErrorKind::UnexpectedEof);
        Ok((frames, if closed { End::Closed } else { End::Reset }))
    }

    /// The fields of a HEADERS frame, with the CONTINUATION frames that follow it.
    ///
    /// # Errors
    /// `InvalidData` for a block that is none.
    pub fn fields(&mut self, first: Frame) -> io::Result<Vec<Field>> {
        let deadline = Some(Instant::now() + DEADLINE);
        let mut block = first.content().to_vec();
        let mut whole = first.has(flag::END_HEADERS);
        while !whole {
            let next = self.next(deadline)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if next.kind != kind::CONTINUATION || next.stream != first.stream {
                return Err(invalid("a header block interrupted by another frame"));
            }
            block.extend_from_slice(&next.payload);
            whole = next.has(flag::END_HEADERS);
        }
        self.decoder.decode(&block).map_err(|e| invalid(&e))
    }
}

pub(crate) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The pseudo-fields of a GET, to which a test adds what it wants.
pub fn get(path: &str, authority: &str) -> Vec<(String, String)> {
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", authority)];
    fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_nine_bytes_before_its_payload() {
        let frame = Frame::data(5, "hi", true);
        assert_eq!(frame.bytes(), [0, 0, 2, 0, 1, 0, 0, 0, 5, b'h', b'i']);
        assert_eq!(Frame::goaway(3, 11).code(), 11);
        assert_eq!(Frame::settings(&[(3, 100)]).settings_list(), [(3, 100)]);
    }

    #[test]
    fn padding_and_priority_are_not_content() {
        let frame = Frame::new(kind::HEADERS, flag::PADDED | flag::PRIORITY, 1, [2, 0, 0, 0, 0, 9, b'x', 0, 0]);
        assert_eq!(frame.content(), b"x");
        let short = Frame::new(kind::DATA, flag::PADDED, 1, [9, b'x']);
        assert_eq!(short.content(), b"");
    }
}
