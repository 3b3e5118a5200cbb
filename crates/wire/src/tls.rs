//! A TLS session over a socket, as a byte stream.
//!
//! Owns the record traffic of one connection: rustls decides (its unbuffered API), this drives it. Called through
//! [`Stream`](crate::Stream) by pumps and relays, and directly by whoever makes the handshake. Never: chooses certificates,
//! knows a timeout, blocks, or leaves its worker. Buffers belong to the thread; what a connection holds is a record that is not
//! whole yet (`tail`), plaintext that did not fit the reader (`plain`) and ciphertext the socket did not take (`out`).
//! Invariant: `tail` never holds a whole record that rustls has not seen, so a reader without plaintext waits for the socket.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{CommonState, HandshakeKind, ServerConfig};

mod error;
mod handshake;
mod hello;
mod read;
mod scratch;
mod session;
#[cfg(test)]
mod tests;
mod write;

pub use error::{HandshakeError, SessionError};
pub use hello::{HelloRead, poll_hello};
pub use write::RecordSizes;

use crate::Socket;
use session::Session;

/// Largest plaintext of a record (RFC 8446 §5.1).
const MAX_FRAGMENT: usize = 16 * 1024;
/// Type, version and length before each record.
const RECORD_HEAD: usize = 5;
/// Most bytes that a record is longer than what it carries: head, explicit nonce and tag of AES-GCM in TLS 1.2.
const MAX_OVERHEAD: usize = 29;

/// A TLS session. One thread, one task for each direction.
pub struct TlsStream {
    socket: Socket,
    inner: RefCell<Inner>,
}

struct Inner {
    session: Session,
    /// Received, and not finished with: bytes of a record that is not whole, behind records of a handshake message that is not.
    tail: Vec<u8>,
    /// How much of `tail` rustls has looked at, and wants to see again where it is.
    seen: usize,
    /// Decrypted, and not handed out yet from `plain_at` on.
    plain: Vec<u8>,
    plain_at: usize,
    /// Ciphertext, to be sent from `out_at` on.
    out: Vec<u8>,
    out_at: usize,
    /// Plaintext whose ciphertext is, or was, in `out`, and which the writer has not been told to be written.
    owed: usize,
    /// Bytes of plaintext to encrypt at a time, as the socket has taken them lately.
    batch: u32,
    sizes: RecordSizes,
    /// Small records still to come before full ones.
    small_left: u16,
    /// How much longer a record is than what it carries.
    overhead: u8,
    /// How fruitless the records of the peer have been.
    quiet: u16,
    /// Whether the handshake is over, as seen last.
    done: bool,
    /// Whether rustls lets application data be sent.
    may_send: bool,
    early: bool,
    /// The handshake has not looked at `tail` yet.
    fresh: bool,
    end: Option<End>,
    failed: Option<Box<rustls::Error>>,
    closing: Closing,
}

/// How the peer ended its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// close_notify: it has said everything.
    Notified,
    /// The socket ended without it: something may be missing (RFC 8446 §6.1).
    Cut,
}

/// How far our side is in ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// close_notify is in `out`, or was refused; FIN follows when `out` is empty.
    Said,
    /// FIN was sent.
    Done,
    /// Nothing more may be said.
    Mute,
}

impl TlsStream {
    /// The server side of a session. `first` is what was read from the socket already: the ClientHello, and what came with it.
    ///
    /// # Errors
    /// When rustls refuses the configuration.
    pub fn accept(socket: Socket, first: Vec<u8>, config: Arc<ServerConfig>) -> Result<TlsStream, rustls::Error> {
        let session = Session::Server(UnbufferedServerConnection::new(config)?);
        Ok(TlsStream::new(socket, session, first))
    }

    /// The client side of a session.
    #[must_use]
    pub fn connect(socket: Socket, session: UnbufferedClientConnection) -> TlsStream {
        TlsStream::new(socket, Session::Client(session), Vec::new())
    }

    fn new(socket: Socket, session: Session, tail: Vec<u8>) -> TlsStream {
        let inner = Inner {
            session,
            tail,
            seen: 0,
            plain: Vec::new(),
            plain_at: 0,
            out: Vec::new(),
            out_at: 0,
            owed: 0,
            batch: write::MAX_BATCH,
            sizes: RecordSizes::default(),
            small_left: 0,
            overhead: MAX_OVERHEAD as u8,
            quiet: 0,
            done: false,
            may_send: false,
            early: false,
            fresh: true,
            end: None,
            failed: None,
            closing: Closing::No,
        };
        TlsStream { socket, inner: RefCell::new(inner) }
    }

    /// Drives the handshake. Ready when it is over, or when early data waits to be read before it is ([`TlsStream::is_early`]).
    ///
    /// In TLS 1.3 our last flight may wait for the first write, so that it leaves in the same segment; reading or waiting
    /// for something to read sends it too.
    pub fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        self.inner.borrow_mut().poll_handshake(&self.socket, cx, true)
    }

    /// Ready when the handshake is over, also where early data waits (`wait-for-handshake`).
    pub fn poll_handshake_done(&self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        self.inner.borrow_mut().poll_handshake(&self.socket, cx, false)
    }

    /// Reads what is there; `WouldBlock` when nothing is, `Ok(0)` at the end of the stream ([`TlsStream::was_truncated`]).
    ///
    /// # Errors
    /// Of the socket, and a [`SessionError`] when the peer broke the protocol or sent an alert.
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.borrow_mut().read(&self.socket, buf)
    }

    /// Looks at the next bytes without taking them; `Ok(0)` at the end of the stream.
    ///
    /// # Errors
    /// As [`TlsStream::try_read`].
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.borrow_mut().peek(&self.socket, buf)
    }

    /// Writes one piece, as [`TlsStream::try_send`] does.
    ///
    /// # Errors
    /// As [`TlsStream::try_send`].
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.borrow_mut().send(&self.socket, &[IoSlice::new(buf)], false)
    }

    /// Encrypts and writes several pieces in one call; `more` says that more follows at once.
    ///
    /// Returns how much is in the hands of the kernel. Bytes whose record was sent in part are counted by a later call: after
    /// `WouldBlock`, or after less than was offered, the next call must offer the rest of the same bytes, and may offer more
    /// behind them. Whoever has something else to say must close instead.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full or the handshake is not far enough, then [`TlsStream::poll_writable`] tells when
    /// to come back; else as [`TlsStream::try_read`].
    #[inline]
    pub fn try_send(&self, parts: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.inner.borrow_mut().send(&self.socket, parts, more)
    }

    /// Ready when a read may give bytes, the end, or an error. Sends what of ours is left, so that the peer never waits for it.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.borrow_mut().poll_readable(&self.socket, cx)
    }

    /// Ready when a write may take bytes.
    #[inline]
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.borrow_mut().poll_writable(&self.socket, cx)
    }

    /// Ready when all ciphertext is in the hands of the kernel.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.borrow_mut().poll_flush(&self.socket, cx)
    }

    /// Whether application data, the end or an error has arrived. Tickets and key updates are dealt with and do not count.
    pub fn is_readable_now(&self) -> bool {
        self.inner.borrow_mut().is_readable_now(&self.socket)
    }

    /// Sends close_notify, then FIN; reading goes on. What the socket does not take now is sent while the stream is read or
    /// waited for.
    ///
    /// # Errors
    /// Of the socket.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.inner.borrow_mut().shutdown_write(&self.socket)
    }

    /// Makes the coming close a reset, without a close_notify.
    pub fn reset_on_close(&self) {
        self.inner.borrow_mut().closing = Closing::Mute;
        self.socket.reset_on_close();
    }

    /// Makes the coming close say nothing to the peer (`silent-drop`).
    pub fn forget_on_close(&self, rst_ttl: Option<u8>) {
        self.inner.borrow_mut().closing = Closing::Mute;
        self.socket.forget_on_close(rst_ttl);
    }

    /// Whether the peer ended without a close_notify, so that somebody between may have cut the stream.
    #[must_use]
    pub fn was_truncated(&self) -> bool {
        self.inner.borrow().end == Some(End::Cut)
    }

    /// Whether the handshake is over.
    #[must_use]
    pub fn is_handshake_done(&self) -> bool {
        self.inner.borrow().done
    }

    /// Whether what is read may be a replay: early data came, and the handshake is not over (RFC 8470).
    #[must_use]
    pub fn is_early(&self) -> bool {
        let inner = self.inner.borrow();
        inner.early && !inner.done
    }

    /// Whether the peer ever sent early data that was accepted.
    #[must_use]
    pub fn had_early_data(&self) -> bool {
        self.inner.borrow().early
    }

    /// Asks rustls for facts of the session.
    pub fn common<R>(&self, ask: impl FnOnce(&CommonState) -> R) -> R {
        ask(self.inner.borrow().session.common())
    }

    /// Whether the handshake was a full one or a resumption; `None` before that is known.
    #[must_use]
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.common(CommonState::handshake_kind)
    }

    /// The protocol agreed on, such as `h2`.
    #[must_use]
    pub fn alpn(&self) -> Option<Vec<u8>> {
        self.common(|c| c.alpn_protocol().map(<[u8]>::to_vec))
    }

    /// Sets how large records are; from now on, and starting with the small ones.
    pub fn set_record_sizes(&self, sizes: RecordSizes) {
        self.inner.borrow_mut().set_record_sizes(sizes);
    }

    /// Says that the stream was idle: the next records are small ones again.
    pub fn was_idle(&self) {
        self.inner.borrow_mut().restart_small();
    }

    /// What lies below.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.inner.get_mut().leave(&self.socket);
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TlsStream");
        out.field("socket", &self.socket);
        if let Ok(inner) = self.inner.try_borrow() {
            out.field("done", &inner.done).field("end", &inner.end).field("closing", &inner.closing);
            out.field("plain", &(inner.plain.len() - inner.plain_at)).field("out", &(inner.out.len() - inner.out_at));
        }
        out.finish_non_exhaustive()
    }
}
