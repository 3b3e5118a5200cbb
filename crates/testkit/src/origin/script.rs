//! What an origin is told to do: acts, scripts made of them, and gates to wait at.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use tungstenite::handshake::derive_accept_key;

use super::{Request, lock};
use crate::DEADLINE;
use crate::frames::Frame;

/// One thing an origin does on a connection.
#[derive(Clone, Debug)]
pub enum Act {
    /// Read the body of the request (an `Http` script has read its head already).
    Body,
    /// Write these bytes.
    Send(Vec<u8>),
    /// Write this many bytes of a repeating pattern.
    SendMany(usize),
    /// Read up to and including these bytes; what is read is kept in [`Request::raw`].
    Await(Vec<u8>),
    /// Read to the end of what the peer sends; what is read is kept in [`Request::raw`].
    DrainToEof,
    /// Write back what the peer sends, to the end of what it sends; it is kept in [`Request::raw`].
    Echo,
    /// Wait until the gate opens.
    Wait(Gate),
    /// Close the sending side.
    HalfClose,
    /// Close the connection. Over HTTP/2 only the stream: an answer that ends by the close ends, any other that is not whole is
    /// reset with INTERNAL_ERROR.
    Close,
    /// End the connection with a reset; over HTTP/2 the stream, with INTERNAL_ERROR.
    Reset,
    /// RST_STREAM with this code; over HTTP/1 a reset.
    Rst(u32),
    /// GOAWAY with this code, after which only streams up to this one are served; over HTTP/1 nothing.
    GoAway(u32),
    /// A frame on this stream, legal or not; over HTTP/1 nothing.
    Frame(Frame),
    /// End the connection with a reset, with all streams in it.
    Cut,
}

/// What an origin does.
#[derive(Clone)]
pub enum Script {
    /// The acts for the n-th request since the script began; the last entry repeats.
    Http(Vec<Vec<Act>>),
    /// The acts for every connection, from its first moment.
    Raw(Vec<Act>),
    /// The acts for a request, computed.
    With(Arc<Handler>),
}

/// Computes the acts for a request and its number.
pub type Handler = dyn Fn(&Request, usize) -> Vec<Act> + Send + Sync;

impl Script {
    /// A script that computes its acts.
    pub fn with(f: impl Fn(&Request, usize) -> Vec<Act> + Send + Sync + 'static) -> Script {
        Script::With(Arc::new(f))
    }

    /// Reads each request and answers 200 with this body.
    pub fn always(body: &str) -> Script {
        Script::Http(vec![vec![Act::Body, Act::Send(ok(body))]])
    }

    /// Reads each request, waits until the gate is open, and answers 200 with this body.
    pub fn held(gate: &Gate, body: &str) -> Script {
        Script::Http(vec![vec![Act::Body, Act::Wait(gate.clone()), Act::Send(ok(body))]])
    }

    /// Accepts a WebSocket handshake of either protocol and echoes what comes through; other requests get 400.
    pub fn websocket() -> Script {
        Script::with(|request, _| {
            let over_h2 = request.pseudo.iter().any(|(n, v)| n == ":protocol" && v == "websocket");
            let accept = match request.message.head.get("sec-websocket-key") {
                Some(key) if !over_h2 => format!("Sec-WebSocket-Accept: {}\r\n", derive_accept_key(key.as_bytes())),
                _ if over_h2 => String::new(),
                _ => return vec![Act::Send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec())],
            };
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{accept}\r\n"
            );
            vec![Act::Send(head.into_bytes()), Act::Echo, Act::HalfClose, Act::Close]
        })
    }
}

/// A whole 200.
pub(super) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A door that stays shut until a test opens it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A shut one.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Opens it until it is shut again.
    pub fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Shuts it.
    pub fn shut(&self) {
        *lock(&self.0.0) = false;
    }

    /// Waits until it is open, at most for [`DEADLINE`].
    pub fn wait(&self) {
        let end = Instant::now() + DEADLINE;
        let mut open = lock(&self.0.0);
        while !*open && Instant::now() < end {
            open = self.0.1.wait_timeout(open, end - Instant::now()).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
