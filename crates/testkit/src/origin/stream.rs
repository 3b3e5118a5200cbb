//! The acts of a script on one HTTP/2 stream. A script speaks HTTP/1 text; here it becomes frames.
//!
//! So one script serves both protocols: a head becomes HEADERS (a 101 becomes the 200 of RFC 8441), counted or chunked payload
//! becomes DATA, the end of the message END_STREAM, trailers HEADERS again. What is of the connection is left out.

use std::io;

use super::{Act, Request, Then, pattern};
use crate::frames::Frame;
use crate::h2::{ABORT, Event, H2};
use crate::hpack::Field;
use crate::message::{Head, Message, find};

/// One stream of an origin, and how far its answer has come.
pub(super) struct Stream {
    h2: H2,
    id: u32,
    /// Received and not yet taken by an act.
    pending: Vec<u8>,
    over: bool,
    text: Vec<u8>,
    place: Place,
    bodiless: bool,
}

/// Where in its answer a script is.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    Head,
    Length(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

impl Stream {
    pub(super) fn new(h2: H2, id: u32, method: &str) -> Stream {
        let bodiless = method == "HEAD";
        Stream { h2, id, pending: Vec::new(), over: false, text: Vec::new(), place: Place::Head, bodiless }
    }

    /// Whether the peer has ended its side.
    pub(super) fn ended(&self) -> bool {
        self.over
    }

    pub(super) fn step(&mut self, act: &Act, request: &mut Request) -> Then {
        let done = match act {
            Act::Body => self.body(request),
            Act::Send(bytes) => self.say(bytes),
            Act::SendMany(n) => pattern(*n, |block| self.say(block)),
            Act::Await(mark) => self.until(mark, request),
            Act::DrainToEof => self.drain(request),
            Act::Echo => self.echo(request),
            Act::Wait(gate) => {
                gate.wait();
                Ok(())
            }
            Act::HalfClose => self.end(),
            Act::Close => {
                let _ = if self.place == Place::UntilClose { self.end() } else { self.abort(ABORT) };
                return Then::Close;
            }
            Act::Reset => {
                let _ = self.abort(ABORT);
                return Then::Close;
            }
            Act::Rst(code) => {
                let _ = self.h2.rst(self.id, *code);
                return Then::Close;
            }
            Act::GoAway(code) => self.h2.send(&Frame::goaway(self.id, *code)),
            Act::Frame(frame) => self.h2.send(&Frame { stream: self.id, ..frame.clone() }),
            Act::Cut => {
                self.h2.cut();
                return Then::Reset;
            }
        };
        if done.is_err() { Then::Close } else { Then::Next }
    }

    /// Takes the next event; `false` when there is nothing more.
    fn next(&mut self, request: &mut Request) -> io::Result<bool> {
        if self.over {
            return Ok(false);
        }
        match self.h2.event(self.id, None)? {
            Event::Data(bytes) => self.pending.extend(bytes),
            Event::Trailers(fields) => request.message.trailers = fields.iter().map(text).collect(),
            Event::Head(_) => {}
            Event::End => {
                self.over = true;
                request.eof = true;
                request.message.complete = true;
            }
            Event::Reset(code) => {
                self.over = true;
                request.eof = true;
                request.reset = Some(code);
            }
            Event::Gone => {
                self.over = true;
                request.eof = true;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(true)
    }

    fn body(&mut self, request: &mut Request) -> io::Result<()> {
        let result = loop {
            match self.next(request) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        request.message.body.append(&mut self.pending);
        request.message.complete = result.is_ok() && request.reset.is_none();
        // The end of a request is not the end of a connection.
        request.eof = request.reset.is_some() || result.is_err();
        result
    }

    fn until(&mut self, mark: &[u8], request: &mut Request) -> io::Result<()> {
        loop {
            if let Some(at) = find(&self.pending, mark) {
                let rest = self.pending.split_off(at + mark.len());
                request.raw.append(&mut std::mem::replace(&mut self.pending, rest));
                return Ok(());
            }
            if !self.next(request)? {
                request.raw.append(&mut self.pending);
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn drain(&mut self, request: &mut Request) -> io::Result<()> {
        let mut result = Ok(true);
        while matches!(result, Ok(true)) {
            result = self.next(request);
        }
        request.raw.append(&mut self.pending);
        result.map(drop)
    }

    fn echo(&mut self, request: &mut Request) -> io::Result<()> {
        loop {
            let bytes = std::mem::take(&mut self.pending);
            self.say(&bytes)?;
            request.raw.extend_from_slice(&bytes);
            if !self.next(request)? && self.pending.is_empty() {
                return Ok(());
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.place = Place::Done;
        self.h2.data(self.id, &[], true)
    }

    /// Gives up an answer that is not whole; a whole one stays.
    fn abort(&mut self, code: u32) -> io::Result<()> {
        if self.place == Place::Done { Ok(()) } else { self.h2.rst(self.id, code) }
    }

    /// Goes on with the answer by this text.
    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.text.is_empty() && self.place == Place::UntilClose {
            return if bytes.is_empty() { Ok(()) } else { self.h2.data(self.id, bytes, false) };
        }
        self.text.extend_from_slice(bytes);
        while self.advance()? {}
        Ok(())
    }

    fn line(&mut self) -> Option<String> {
        let end = find(&self.text, b"\n")?;
        let line: Vec<u8> = self.text.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// One step; `false` when more text is needed.
    fn advance(&mut self) -> io::Result<bool> {
        match self.place {
            Place::Head => {
                let Some(end) = find(&self.text, b"\r\n\r\n") else { return Ok(false) };
                let raw: Vec<u8> = self.text.drain(..end + 4).collect();
                self.head(&Head::parse(&raw))?;
            }
            Place::Length(left) => {
                let n = left.min(self.text.len());
                if n == 0 {
                    return Ok(false);
                }
                let piece: Vec<u8> = self.text.drain(..n).collect();
                self.place = if n == left { Place::Done } else { Place::Length(left - n) };
                self.h2.data(self.id, &piece, n == left)?;
            }
            Place::ChunkSize => {
                let Some(line) = self.line() else { return Ok(false) };
                let digits = line.split(';').next().unwrap_or_default();
                let size = usize::from_str_radix(digits.trim(), 16)
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("chunk size {line:?}")))?;
                self.place = if size == 0 { Place::Trailers } else { Place::Chunk(size) };
            }
            Place::Chunk(left) => {
                let n = left.min(self.text.len());
                if n == 0 {
                    return Ok(false);
                }
                let piece: Vec<u8> = self.text.drain(..n).collect();
                self.place = if n == left { Place::ChunkEnd } else { Place::Chunk(left - n) };
                self.h2.data(self.id, &piece, false)?;
            }
            Place::ChunkEnd => {
                if self.line().is_none() {
                    return Ok(false);
                }
                self.place = Place::ChunkSize;
            }
            Place::Trailers => {
                let end =
                    if self.text.starts_with(b"\r\n") { Some(2) } else { find(&self.text, b"\r\n\r\n").map(|i| i + 4) };
                let Some(end) = end else { return Ok(false) };
                let raw: Vec<u8> = self.text.drain(..end).collect();
                self.place = Place::Done;
                let mut whole = b"\r\n".to_vec();
                whole.extend_from_slice(&raw);
                let fields = lower(&Head::parse(&whole));
                if fields.is_empty() {
                    self.h2.data(self.id, &[], true)?;
                } else {
                    self.h2.headers(self.id, &fields, true)?;
                }
            }
            Place::UntilClose => {
                let piece = std::mem::take(&mut self.text);
                if piece.is_empty() {
                    return Ok(false);
                }
                self.h2.data(self.id, &piece, false)?;
            }
            Place::Done => return Ok(false),
        }
        Ok(true)
    }

    fn head(&mut self, head: &Head) -> io::Result<()> {
        let status = head.status();
        let tunnel = status == 101;
        let shown = if tunnel { 200 } else { status };
        let mut fields = vec![(":status".to_owned(), shown.to_string())];
        fields.extend(lower(head));
        if (100..200).contains(&status) && !tunnel {
            return self.h2.headers(self.id, &fields, false);
        }
        let none = self.bodiless || matches!(status, 204 | 304) || (head.length() == Some(0) && !head.is_chunked());
        self.place = if none {
            Place::Done
        } else if head.is_chunked() {
            Place::ChunkSize
        } else {
            head.length().filter(|_| !tunnel).map_or(Place::UntilClose, Place::Length)
        };
        self.h2.headers(self.id, &fields, none)
    }
}

/// The fields as HTTP/2 has them.
fn lower(head: &Head) -> Vec<(String, String)> {
    let dropped = ["connection", "keep-alive", "transfer-encoding", "upgrade", "sec-websocket-accept"];
    let all = head.fields.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone()));
    all.filter(|(n, _)| !dropped.contains(&n.as_str())).collect()
}

fn text(field: &Field) -> (String, String) {
    (String::from_utf8_lossy(&field.0).into_owned(), String::from_utf8_lossy(&field.1).into_owned())
}

/// A request as an origin keeps it, from the fields of its head: `Host` stands for `:authority`.
pub(super) fn message(fields: &[Field]) -> (Message, Vec<(String, String)>) {
    let (pseudo, regular): (Vec<_>, Vec<_>) = fields.iter().map(text).partition(|(n, _)| n.starts_with(':'));
    let get = |name: &str| pseudo.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let target = get(":path").or_else(|| get(":authority")).unwrap_or_default();
    let start = format!("{} {target} HTTP/2.0", get(":method").unwrap_or_default());
    let host = get(":authority").map(|a| ("Host".to_owned(), a));
    let head = Head { start, fields: host.into_iter().chain(regular).collect() };
    let mut raw = head.start.clone().into_bytes();
    for (name, value) in &head.fields {
        raw.extend_from_slice(format!("\r\n{name}: {value}").as_bytes());
    }
    raw.extend_from_slice(b"\r\n\r\n");
    (Message { head, raw_head: raw, ..Message::default() }, pseudo)
}
