//! A client that asks the same over HTTP/1.1 and HTTP/2, clear and over TLS, so that one test body serves every pair.
//!
//! [`Client`] is a connection and [`Call`] a request under way. A request that is not answered is no error here: its response
//! has status 0, and says how it was reset.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::client::RawClient;
use crate::frames::code;
use crate::h2::{Event, H2, H2Options};
use crate::hpack::Field;
use crate::message::{Body, Head, Wire};
use crate::tls::Session;
use crate::{Ask, DEADLINE, End, Payload, Proto, Response, Via};

/// A connection.
#[derive(Debug)]
pub struct Client {
    line: Line,
    session: Option<Session>,
    local: SocketAddr,
}

#[derive(Clone, Debug)]
enum Line {
    H1(Arc<Mutex<RawClient>>),
    H2(H2, &'static str),
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody accepts, what went wrong in the handshake, or that ALPN chose another protocol.
    pub fn connect(addr: SocketAddr, via: &Via) -> io::Result<Client> {
        Client::connect_with(addr, via, &H2Options::default())
    }

    /// Connects; over HTTP/2 with these words.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_with(addr: SocketAddr, via: &Via, options: &H2Options) -> io::Result<Client> {
        Client::over(RawClient::connect(addr)?, via, options)
    }

    /// Over a connection that exists, on which a PROXY header may have been sent.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn over(mut raw: RawClient, via: &Via, options: &H2Options) -> io::Result<Client> {
        let local = raw.local();
        let mut session = None;
        if let Some(tls) = &via.tls {
            let (inner, agreed) = raw.over_tls(tls)?;
            if agreed.alpn.as_deref().unwrap_or("http/1.1") != via.proto.alpn() {
                return Err(io::Error::other(format!("ALPN chose {:?}, not {}", agreed.alpn, via.proto.alpn())));
            }
            (raw, session) = (inner, Some(agreed));
        }
        let line = match via.proto {
            Proto::H1 => Line::H1(Arc::new(Mutex::new(raw))),
            Proto::H2 => {
                let scheme = if via.tls.is_some() { "https" } else { "http" };
                Line::H2(H2::client(raw.into_wire().into_stream(), options)?, scheme)
            }
        };
        Ok(Client { line, session, local })
    }

    /// What the TLS handshake agreed on.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The local address of the connection.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The HTTP/2 connection.
    ///
    /// # Panics
    /// When it is none.
    pub fn h2(&self) -> &H2 {
        match &self.line {
            Line::H2(h2, _) => h2,
            Line::H1(_) => panic!("not an HTTP/2 connection"),
        }
    }

    /// Asks, and takes the whole response.
    ///
    /// # Errors
    /// `TimedOut` at the deadline; when the request cannot be sent and nothing came back either.
    pub fn ask(&mut self, ask: &Ask) -> io::Result<Response> {
        self.begin(ask)?.finish()
    }

    /// Sends a request with its payload, and waits for nothing. Over HTTP/1 one call after the other; over HTTP/2 as many as one
    /// likes.
    ///
    /// # Errors
    /// When the peer has closed. A payload that the peer does not take is no error: the response tells.
    pub fn begin(&mut self, ask: &Ask) -> io::Result<Call> {
        let way = match &self.line {
            Line::H1(raw) => {
                lock(raw).send(ask.h1_head())?;
                let bodiless = ask.method == "HEAD";
                let tunnel = ask.method == "CONNECT";
                Way::H1(Turn { raw: Arc::clone(raw), chunked: ask.chunked(), bodiless, tunnel, rest: Rest::Head })
            }
            Line::H2(h2, scheme) => {
                let end = ask.payload == Payload::None;
                let id = h2.open(&ask.h2_fields(scheme), end)?;
                Way::H2(h2.clone(), id)
            }
        };
        let mut call = Call { way, response: Response::default(), headed: false, over: false };
        if let Payload::Counted(body) | Payload::Uncounted(body) = &ask.payload {
            // A server may answer early and stop reading.
            let _ = call.send(body).and_then(|()| call.end_with(&ask.trailers));
        }
        Ok(call)
    }

    /// Waits for the end of the connection; what comes before is passed over.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn wait_end(&mut self) -> io::Result<End> {
        match &self.line {
            Line::H1(raw) => lock(raw).rest().map(|(_, end)| end),
            Line::H2(h2, _) => h2.wait_end(),
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Call {
    way: Way,
    response: Response,
    headed: bool,
    over: bool,
}

#[derive(Debug)]
enum Way {
    H1(Turn),
    H2(H2, u32),
}

/// A turn on an HTTP/1 connection.
#[derive(Debug)]
struct Turn {
    raw: Arc<Mutex<RawClient>>,
    chunked: bool,
    bodiless: bool,
    tunnel: bool,
    rest: Rest,
}

/// What of a response is still to come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rest {
    Head,
    Length(usize),
    ChunkSize,
    Chunk(usize),
    UntilClose,
    Nothing,
}

impl Call {
    /// Sends payload, or bytes of a tunnel.
    ///
    /// # Errors
    /// When the peer has closed, reset the stream, or takes nothing for the deadline.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        match &mut self.way {
            Way::H1(turn) if turn.chunked && bytes.is_empty() => Ok(()),
            Way::H1(turn) if turn.chunked => {
                let mut raw = lock(&turn.raw);
                raw.send(format!("{:x}\r\n", bytes.len()))?;
                raw.send(bytes)?;
                raw.send("\r\n")
            }
            Way::H1(turn) => lock(&turn.raw).send(bytes),
            Way::H2(h2, id) => h2.data(*id, bytes, false),
        }
    }

    /// Ends the payload.
    ///
    /// # Errors
    /// As [`Call::send`].
    pub fn end(&mut self) -> io::Result<()> {
        self.end_with(&[])
    }

    /// Ends the payload with trailers. A tunnel's sending side is closed.
    ///
    /// # Errors
    /// As [`Call::send`].
    pub fn end_with(&mut self, trailers: &[(String, String)]) -> io::Result<()> {
        match &mut self.way {
            Way::H1(turn) if turn.chunked => {
                let lines: String = trailers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
                lock(&turn.raw).send(format!("0\r\n{lines}\r\n"))
            }
            Way::H1(turn) => {
                if turn.rest == Rest::UntilClose {
                    lock(&turn.raw).half_close();
                }
                Ok(())
            }
            Way::H2(h2, id) if trailers.is_empty() => h2.data(*id, &[], true),
            Way::H2(h2, id) => {
                let lower: Vec<_> = trailers.iter().map(|(n, v)| (n.to_ascii_lowercase(), v)).collect();
                h2.headers(*id, &lower, true)
            }
        }
    }

    /// Waits for the head of the final response and says its status; 0 when there is none.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn status(&mut self) -> io::Result<u16> {
        while !self.headed && !self.over {
            self.step()?;
        }
        Ok(self.response.status)
    }

    /// Waits for an interim response, and takes it; `None` when the final one comes first.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn interim(&mut self) -> io::Result<Option<u16>> {
        let before = self.response.interim.len();
        while !self.headed && !self.over && self.response.interim.len() == before {
            self.step()?;
        }
        Ok(self.response.interim.get(before).map(|(status, _)| *status))
    }

    /// What has come so far.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// Waits until the payload so far contains `mark`; `false` when it ends without.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn until(&mut self, mark: impl AsRef<[u8]>) -> io::Result<bool> {
        loop {
            if crate::message::find(&self.response.body, mark.as_ref()).is_some() {
                return Ok(true);
            }
            if self.over {
                return Ok(false);
            }
            self.step()?;
        }
    }

    /// Waits until the payload so far has `n` bytes; `false` when it ends before.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn at_least(&mut self, n: usize) -> io::Result<bool> {
        while self.response.body.len() < n && !self.over {
            self.step()?;
        }
        Ok(self.response.body.len() >= n)
    }

    /// Takes the payload that has come so far, waiting for some; empty at the end.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn take(&mut self) -> io::Result<Vec<u8>> {
        while self.response.body.is_empty() && !self.over {
            self.step()?;
        }
        Ok(std::mem::take(&mut self.response.body))
    }

    /// Waits for the rest of the response and leaves it in [`Call::response`].
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn drain(&mut self) -> io::Result<()> {
        while !self.over {
            self.step()?;
        }
        Ok(())
    }

    /// Whether the server has said that it did nothing with this request: by GOAWAY or REFUSED_STREAM.
    pub fn refused(&self) -> bool {
        let Way::H2(h2, id) = &self.way else { return false };
        self.response.reset == Some(code::REFUSED_STREAM) || h2.goaway().is_some_and(|(last, _)| *id > last)
    }

    /// Takes the rest of the response.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn finish(mut self) -> io::Result<Response> {
        self.drain()?;
        if let Way::H2(h2, id) = &self.way {
            h2.forget(*id);
        }
        Ok(self.response)
    }

    /// Gives up: RST_STREAM with CANCEL, or a reset of the HTTP/1 connection when the client is dropped.
    pub fn abort(self) {
        match self.way {
            Way::H2(h2, id) => drop(h2.rst(id, code::CANCEL)),
            Way::H1(turn) => crate::client::linger_zero(lock(&turn.raw).wire().stream()),
        }
    }

    /// Takes in one more thing.
    fn step(&mut self) -> io::Result<()> {
        let deadline = Some(Instant::now() + DEADLINE);
        match &mut self.way {
            Way::H2(h2, id) => {
                let event = h2.event(*id, deadline)?;
                self.event(event);
            }
            Way::H1(turn) => {
                let raw = Arc::clone(&turn.raw);
                let mut raw = lock(&raw);
                let going = turn.step(raw.wire(), &mut self.response, deadline)?;
                self.headed = turn.rest != Rest::Head;
                self.over = !going || turn.rest == Rest::Nothing;
                self.response.complete = turn.rest == Rest::Nothing;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event) {
        let response = &mut self.response;
        match event {
            Event::Head(fields) => {
                let mut fields: Vec<_> = fields.iter().map(text).collect();
                let at = fields.iter().position(|(n, _)| n == ":status");
                let status = at.map_or(0, |at| fields.remove(at).1.parse().unwrap_or(0));
                if (100..200).contains(&status) {
                    response.interim.push((status, fields));
                } else {
                    (response.status, response.fields) = (status, fields);
                    self.headed = true;
                }
            }
            Event::Data(bytes) => response.body.extend(bytes),
            Event::Trailers(fields) => response.trailers = fields.iter().map(text).collect(),
            Event::End => (self.over, response.complete) = (true, true),
            Event::Reset(code) => (self.over, response.reset) = (true, Some(code)),
            Event::Gone => self.over = true,
        }
    }
}

impl Turn {
    /// Reads on; `false` at an end that comes too early.
    fn step(&mut self, wire: &mut Wire, response: &mut Response, deadline: Option<Instant>) -> io::Result<bool> {
        match self.rest {
            Rest::Head => {
                let Some(raw) = wire.head(deadline)? else { return Ok(false) };
                let head = Head::parse(&raw);
                let status = head.status();
                if (100..200).contains(&status) && status != 101 {
                    response.interim.push((status, head.fields));
                    return Ok(true);
                }
                let tunnel = status == 101 || (self.tunnel && (200..300).contains(&status));
                self.rest = match Body::of_response(&head, self.bodiless) {
                    _ if tunnel => Rest::UntilClose,
                    Body::None | Body::Length(0) => Rest::Nothing,
                    Body::Length(n) => Rest::Length(n),
                    Body::Chunked => Rest::ChunkSize,
                    Body::UntilClose => Rest::UntilClose,
                };
                (response.status, response.fields) = (status, head.fields);
            }
            Rest::Length(n) | Rest::Chunk(n) => {
                if wire.pending().is_empty() && !wire.fill(deadline)? {
                    return Ok(false);
                }
                let piece = wire.take(n);
                let left = n - piece.len();
                response.body.extend(piece);
                self.rest = match self.rest {
                    Rest::Length(_) if left == 0 => Rest::Nothing,
                    Rest::Length(_) => Rest::Length(left),
                    _ if left == 0 => {
                        if wire.until(b"\n", deadline)?.is_none() {
                            return Ok(false);
                        }
                        Rest::ChunkSize
                    }
                    _ => Rest::Chunk(left),
                };
                wire.forget();
            }
            Rest::ChunkSize => {
                let Some(line) = wire.until(b"\n", deadline)? else { return Ok(false) };
                let line = String::from_utf8_lossy(&line).into_owned();
                let digits = line.split(';').next().unwrap_or_default().trim();
                let Ok(size) = usize::from_str_radix(digits, 16) else { return Ok(false) };
                if size > 0 {
                    self.rest = Rest::Chunk(size);
                    return Ok(true);
                }
                loop {
                    let Some(line) = wire.until(b"\n", deadline)? else { return Ok(false) };
                    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                    let Some((name, value)) = line.split_once(':') else { break };
                    response.trailers.push((name.to_owned(), value.trim().to_owned()));
                }
                self.rest = Rest::Nothing;
            }
            Rest::UntilClose => {
                if wire.pending().is_empty() && !wire.fill(deadline)? {
                    // A FIN is how such a body ends.
                    if wire.ended() == Some(io::ErrorKind::UnexpectedEof) {
                        self.rest = Rest::Nothing;
                    }
                    return Ok(false);
                }
                response.body.extend(wire.take(usize::MAX));
                wire.forget();
            }
            Rest::Nothing => {}
        }
        Ok(true)
    }
}

fn text(field: &Field) -> (String, String) {
    (String::from_utf8_lossy(&field.0).into_owned(), String::from_utf8_lossy(&field.1).into_owned())
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "call/tests.rs"]
mod tests;
