//! One HTTP/2 stream, of a client or to a server, as a byte stream with a head before and trailers behind.
//!
//! Called by the transaction (heads) and by pumps and relays (bodies), which see the same non-blocking calls as on a socket.
//! Flow control follows the reader: what is not taken is not granted again (RFC 9113 §5.2). A stream that is dropped
//! before it ended is reset by `h2`. Never: holds more of a body than one frame.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use evenkeel_proto::{Buf, Framing, Head};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, request};

use super::client::Place;
use super::text::{self, TooLarge, Upgrade};

/// Why a stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The peer said so, with RST_STREAM or GOAWAY; else the connection broke or we ended it.
    pub by_peer: bool,
    /// The error code (RFC 9113 §7).
    pub code: Option<u32>,
    /// The peer did nothing with the request: it may be sent again, whatever it is (RFC 9113 §8.7).
    pub unprocessed: bool,
}

impl Gone {
    fn of(error: &h2::Error) -> Gone {
        let code = error.reason().map(u32::from);
        let refused = error.reason() == Some(Reason::REFUSED_STREAM);
        Gone { by_peer: error.is_remote(), code, unprocessed: error.is_remote() && (refused || error.is_go_away()) }
    }
}

/// What came of waiting for a response head.
#[derive(Debug)]
pub enum Answered {
    /// Its text is in the buffer.
    Head,
    /// It does not fit.
    TooLarge,
    /// There will be none.
    Gone(Gone),
}

/// One stream.
#[derive(Debug)]
pub struct Stream {
    recv: RefCell<Recv>,
    send: RefCell<Send>,
    gone: Cell<Option<Gone>>,
    /// Counts it on a shared connection to a server.
    place: Option<Place>,
}

#[derive(Debug, Default)]
struct Recv {
    /// The request, until the transaction takes it.
    request: Option<Box<request::Parts>>,
    /// The response, until its final head is there.
    response: Option<ResponseFuture>,
    /// How an upgrade is answered in HTTP/1.1.
    upgrading: Option<Upgrade>,
    body: Option<RecvStream>,
    /// Taken from the window and not read yet.
    data: Bytes,
    trailers: Option<HeaderMap>,
    ended: bool,
}

#[derive(Debug)]
enum Send {
    /// A server's connection on which nothing was asked yet.
    Fresh(h2::client::SendRequest<Bytes>),
    /// The request came; no final head was sent.
    Respond(SendResponse<Bytes>),
    /// The head was sent.
    Body(SendStream<Bytes>),
    /// All was sent; the handle tells of resets.
    Ended(Option<SendStream<Bytes>>),
}

impl Stream {
    /// A stream that a client opened.
    pub fn of_client(request: http::Request<RecvStream>, respond: SendResponse<Bytes>) -> Stream {
        let (parts, body) = request.into_parts();
        let ended = body.is_end_stream();
        let recv = Recv { request: Some(Box::new(parts)), body: Some(body), ended, ..Recv::default() };
        Stream::new(recv, Send::Respond(respond), None)
    }

    /// A stream to be opened on a connection to a server.
    pub(super) fn to_server(sender: h2::client::SendRequest<Bytes>, place: Place) -> Stream {
        Stream::new(Recv::default(), Send::Fresh(sender), Some(place))
    }

    fn new(recv: Recv, send: Send, place: Option<Place>) -> Stream {
        Stream { recv: RefCell::new(recv), send: RefCell::new(send), gone: Cell::new(None), place }
    }

    /// Takes the client's request as text, in a buffer of just its size; `None` when it was taken before.
    ///
    /// # Errors
    /// It is longer than `limit`.
    pub fn take_request(&self, limit: usize) -> Option<Result<Buf, TooLarge>> {
        let mut recv = self.recv.borrow_mut();
        let parts = recv.request.take()?;
        let length = text::request_length(&parts).min(limit);
        let mut out = Buf::with_capacity(length);
        Some(text::request(&parts, recv.ended, &mut out).map(|()| out))
    }

    /// Opens the stream with `req`; `ends` says that no body follows.
    ///
    /// # Errors
    /// The connection takes no more streams, or the head has no form in HTTP/2.
    pub fn send_request(&self, req: &Head, scheme: &http::uri::Scheme, ends: bool) -> io::Result<()> {
        let mut send = self.send.borrow_mut();
        let Send::Fresh(sender) = &mut *send else { return Err(io::ErrorKind::NotConnected.into()) };
        let request = text::to_request(req, scheme).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let sent = sender.send_request(request, ends);
        let (response, body) = sent.map_err(|error| {
            // Whatever it is, the next stream would fare no better.
            self.place.iter().for_each(Place::close);
            self.over(&error)
        })?;
        let mut recv = self.recv.borrow_mut();
        recv.response = Some(response);
        recv.upgrading = Upgrade::of(req);
        *send = if ends { Send::Ended(Some(body)) } else { Send::Body(body) };
        Ok(())
    }

    /// Waits for the next head of the response, interim ones too, and writes it to `out`.
    pub fn poll_response(&self, cx: &mut Context<'_>, out: &mut Buf) -> Poll<Answered> {
        let mut recv = self.recv.borrow_mut();
        let Some(response) = &mut recv.response else {
            return Poll::Ready(Answered::Gone(self.gone.get().unwrap_or(BROKEN)));
        };
        // Interim responses come first; the final one is asked for at each turn, so that both can wake the task.
        let parts = match response.poll_informational(cx) {
            Poll::Ready(Some(Ok(interim))) => interim.into_parts().0,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Answered::Gone(self.note(&error))),
            Poll::Ready(None) | Poll::Pending => {
                let future = std::pin::Pin::new(response);
                match ready!(std::future::Future::poll(future, cx)) {
                    Ok(response) => {
                        let (parts, body) = response.into_parts();
                        recv.ended = body.is_end_stream();
                        recv.body = Some(body);
                        recv.response = None;
                        parts
                    }
                    Err(error) => return Poll::Ready(Answered::Gone(self.note(&error))),
                }
            }
        };
        let upgrading = recv.upgrading.as_ref();
        match text::response(&parts, upgrading, out) {
            Ok(()) => Poll::Ready(Answered::Head),
            Err(TooLarge) => Poll::Ready(Answered::TooLarge),
        }
    }

    /// Sends a response head to a client: an interim one any number of times, then the final one. `ends` says that no body
    /// follows.
    ///
    /// # Errors
    /// The client has gone, or the head has no form in HTTP/2.
    pub fn send_response(&self, res: &Head, framing: Framing, ends: bool) -> io::Result<()> {
        let mut send = self.send.borrow_mut();
        let Send::Respond(respond) = &mut *send else { return Err(io::ErrorKind::NotConnected.into()) };
        let response = text::to_response(res, framing).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        if response.status().is_informational() {
            return respond.send_informational(response).map_err(|error| self.over(&error));
        }
        let body = respond.send_response(response, ends).map_err(|error| self.over(&error))?;
        *send = if ends { Send::Ended(Some(body)) } else { Send::Body(body) };
        Ok(())
    }

    /// Whether the peer's side ended with the head that was read, or with all that was read since.
    pub fn is_ended(&self) -> bool {
        let recv = self.recv.borrow();
        recv.ended && recv.data.is_empty()
    }

    /// Whether our side was ended.
    pub fn is_finished(&self) -> bool {
        matches!(*self.send.borrow(), Send::Ended(_))
    }

    /// Whether the final head of the response was sent.
    pub fn has_answered(&self) -> bool {
        !matches!(*self.send.borrow(), Send::Respond(_) | Send::Fresh(_))
    }

    /// The trailers that came behind the body, as lines; empty without any.
    pub fn trailers(&self) -> Vec<u8> {
        self.recv.borrow().trailers.as_ref().map(text::trailer_lines).unwrap_or_default()
    }

    /// Ends our side, with trailer lines if there are any.
    ///
    /// # Errors
    /// The peer has gone.
    pub fn finish(&self, trailers: &[u8]) -> io::Result<()> {
        let mut send = self.send.borrow_mut();
        if let Send::Body(body) = &mut *send {
            let done = match trailers {
                [] => body.send_data(Bytes::new(), true),
                lines => body.send_trailers(text::trailer_fields(lines)),
            };
            done.map_err(|error| self.over(&error))?;
            if let Send::Body(body) = std::mem::replace(&mut *send, Send::Ended(None)) {
                *send = Send::Ended(Some(body));
            }
        }
        Ok(())
    }

    /// Resets the stream, unless it is over.
    pub fn reset(&self, code: u32) {
        match &mut *self.send.borrow_mut() {
            Send::Respond(respond) => respond.send_reset(code.into()),
            Send::Body(body) | Send::Ended(Some(body)) => body.send_reset(code.into()),
            Send::Fresh(_) | Send::Ended(None) => {}
        }
    }

    /// Ready when the peer has reset the stream or the connection is lost.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<Gone> {
        if let Some(gone) = self.gone.get() {
            return Poll::Ready(gone);
        }
        let reset = match &mut *self.send.borrow_mut() {
            Send::Respond(respond) => ready!(respond.poll_reset(cx)),
            Send::Body(body) | Send::Ended(Some(body)) => ready!(body.poll_reset(cx)),
            Send::Fresh(_) | Send::Ended(None) => return Poll::Pending,
        };
        let gone = match reset {
            Ok(reason) => {
                Gone { by_peer: true, code: Some(reason.into()), unprocessed: reason == Reason::REFUSED_STREAM }
            }
            Err(error) => Gone::of(&error),
        };
        self.gone.set(Some(gone));
        Poll::Ready(gone)
    }

    /// How it ended, if it broke.
    pub fn gone(&self) -> Option<Gone> {
        self.gone.get()
    }

    /// As [`crate::Stream::try_read`]: a copy of what lies there; 0 at the end of the body.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let recv = &mut *self.recv.borrow_mut();
        if recv.data.is_empty() {
            return match (recv.ended, self.gone.get()) {
                (true, _) => Ok(0),
                (false, Some(_)) => Err(io::ErrorKind::ConnectionReset.into()),
                (false, None) => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let n = recv.data.len().min(buf.len());
        buf[..n].copy_from_slice(&recv.data.split_to(n));
        if let Some(body) = &mut recv.body {
            // The window was opened for these bytes; a stream that is over needs none.
            let _ = body.flow_control().release_capacity(n);
        }
        Ok(n)
    }

    /// As [`crate::Stream::try_peek`].
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let recv = self.recv.borrow();
        match (recv.data.is_empty(), recv.ended, self.gone.get()) {
            (false, ..) => {
                let n = recv.data.len().min(buf.len());
                buf[..n].copy_from_slice(&recv.data[..n]);
                Ok(n)
            }
            (true, true, _) => Ok(0),
            (true, false, Some(_)) => Err(io::ErrorKind::ConnectionReset.into()),
            (true, false, None) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Ready when a read gives bytes, the end, or an error.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let recv = &mut *self.recv.borrow_mut();
        loop {
            if !recv.data.is_empty() || recv.ended || self.gone.get().is_some() {
                return Poll::Ready(Ok(()));
            }
            let Some(body) = &mut recv.body else { return Poll::Pending };
            match ready!(body.poll_data(cx)) {
                Some(Ok(data)) => recv.data = data,
                Some(Err(error)) => {
                    self.note(&error);
                }
                None => match ready!(body.poll_trailers(cx)) {
                    Ok(trailers) => {
                        recv.trailers = trailers;
                        recv.ended = true;
                    }
                    Err(error) => {
                        self.note(&error);
                    }
                },
            }
        }
    }

    /// As [`crate::Stream::try_write`], as far as the peer's window and our buffer allow; `last` ends our side with it when all
    /// was taken.
    pub fn try_write(&self, buf: &[u8], last: bool) -> io::Result<usize> {
        let mut send = self.send.borrow_mut();
        let Send::Body(body) = &mut *send else { return Err(io::ErrorKind::BrokenPipe.into()) };
        if body.capacity() < buf.len() {
            body.reserve_capacity(buf.len());
        }
        let n = body.capacity().min(buf.len());
        if n == 0 && !buf.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let ends = last && n == buf.len();
        body.send_data(Bytes::copy_from_slice(&buf[..n]), ends).map_err(|error| self.over(&error))?;
        if ends && let Send::Body(body) = std::mem::replace(&mut *send, Send::Ended(None)) {
            *send = Send::Ended(Some(body));
        }
        Ok(n)
    }

    /// As [`crate::Stream::try_send`].
    pub fn try_send(&self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let mut sent = 0;
        for part in parts.iter().filter(|part| !part.is_empty()) {
            match self.try_write(part, false) {
                Ok(n) if n < part.len() => return Ok(sent + n),
                Ok(n) => sent += n,
                Err(e) if sent == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Whether a read would give something.
    pub fn is_readable_now(&self) -> bool {
        !matches!(self.try_peek(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ready when a write takes bytes, or fails.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut send = self.send.borrow_mut();
        let Send::Body(body) = &mut *send else { return Poll::Ready(Ok(())) };
        if body.capacity() > 0 {
            return Poll::Ready(Ok(()));
        }
        match ready!(body.poll_capacity(cx)) {
            Some(Ok(_)) => Poll::Ready(Ok(())),
            Some(Err(error)) => Poll::Ready(Err(self.over(&error))),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn note(&self, error: &h2::Error) -> Gone {
        let gone = Gone::of(error);
        if error.is_go_away() {
            self.place.iter().for_each(Place::close);
        }
        self.gone.set(Some(gone));
        gone
    }

    fn over(&self, error: &h2::Error) -> io::Error {
        self.note(error);
        io::ErrorKind::BrokenPipe.into()
    }
}

/// The connection ended without a word.
const BROKEN: Gone = Gone { by_peer: false, code: None, unprocessed: false };
