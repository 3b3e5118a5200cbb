//! Our streams as `h2` wants them: [`AsyncRead`] and [`AsyncWrite`] over [`Stream`], with an eye on what comes in.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::{Flood, Scanner};
use crate::Stream;

/// What the connection's owner learns of its bytes.
#[derive(Debug)]
pub struct Watch {
    /// A budget that was passed; nothing more is read from then on.
    pub flood: Cell<Option<Flood>>,
    /// Bytes received.
    pub received: Cell<u64>,
    /// Bytes sent.
    pub sent: Cell<u64>,
    /// The end of the stream, or an error, was read.
    pub ended: Cell<bool>,
    began: Instant,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new() -> Rc<Watch> {
        Rc::new(Watch {
            flood: Cell::new(None),
            received: Cell::new(0),
            sent: Cell::new(0),
            ended: Cell::new(false),
            began: Instant::now(),
        })
    }
}

/// A stream lent to `h2`. Who keeps a handle of it has it back when the connection is dropped.
#[derive(Debug)]
pub struct Io {
    stream: Rc<Stream>,
    /// What was read before the protocol was known.
    first: Vec<u8>,
    scanner: Scanner,
    watch: Rc<Watch>,
}

impl Io {
    /// Lends `stream`, of which `first` was read already.
    pub fn new(stream: impl Into<Rc<Stream>>, first: Vec<u8>, scanner: Scanner, watch: Rc<Watch>) -> Io {
        Io { stream: stream.into(), first, scanner, watch }
    }

    /// Counts what came, and says when it is too much of one kind.
    fn saw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let watch = &self.watch;
        watch.received.set(watch.received.get() + bytes.len() as u64);
        let now = watch.began.elapsed().as_millis() as u64;
        self.scanner.scan(bytes, now).map_err(|flood| {
            watch.flood.set(Some(flood));
            io::Error::new(io::ErrorKind::InvalidData, flood.label())
        })
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // What passed a budget is not read on: whoever drives the connection says so to the peer.
        if this.watch.flood.get().is_some() {
            return Poll::Pending;
        }
        let n = if this.first.is_empty() {
            loop {
                match this.stream.try_read(buf.initialize_unfilled()) {
                    Ok(n) => break n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(this.stream.poll_readable(cx))?,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => {
                        this.watch.ended.set(true);
                        return Poll::Ready(Err(e));
                    }
                }
            }
        } else {
            let n = this.first.len().min(buf.remaining());
            buf.initialize_unfilled()[..n].copy_from_slice(&this.first[..n]);
            this.first.drain(..n);
            n
        };
        if n == 0 {
            this.watch.ended.set(true);
            return Poll::Ready(Ok(()));
        }
        let start = buf.filled().len();
        buf.advance(n);
        match this.saw(&buf.filled()[start..]) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => {
                buf.set_filled(start);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let done = match bufs {
                [one] => this.stream.try_write(one),
                many => this.stream.try_send(many, false),
            };
            match done {
                Ok(n) => {
                    this.watch.sent.set(this.watch.sent.get() + n as u64);
                    return Poll::Ready(Ok(n));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(this.stream.poll_writable(cx))?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown_write())
    }
}
