//! One direction of an exchange: takes raw bytes from a source, keeps their framing honest, writes them to a target.
//!
//! Holds a buffer only while bytes are under way. Reads only when everything read before is written, so a slow target
//! slows its source down (back-pressure) and no body is ever held whole.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use evenkeel_proto::{Buf, Decoder, Framing, Malformed, chunk_header, last_chunk};
use evenkeel_wire::{Stream, h2};

use crate::bufs::Stock;
use crate::throttle::Throttle;

/// One direction.
#[derive(Debug)]
pub(crate) struct Pump {
    decoder: Decoder,
    /// The target's framing is chunked.
    chunked: bool,
    /// The end of the message is queued or written.
    ended: bool,
    /// Trailer lines of an HTTP/2 source, which come behind its last byte.
    trailers: Vec<u8>,
    /// Bytes before the payload: the head, a chunk header.
    pub(crate) prefix: Vec<u8>,
    payload: Option<Buf>,
    /// Bytes after the payload: the end of a chunk, the last chunk.
    suffix: Vec<u8>,
    /// How much of prefix, payload and suffix is written.
    sent: usize,
    /// The last read filled its buffer: the next one takes a bulk buffer.
    bulk: bool,
    /// What is queued filled its buffer and the message goes on: more is known to follow at once.
    more: bool,
    /// Raw bytes after the end of the message: the next pipelined request.
    pub(crate) leftover: Option<Buf>,
    /// Bytes written to the target.
    pub(crate) written: u64,
    /// Bytes read from the source by this pump.
    pub(crate) read: u64,
    /// What it waits for.
    pub(crate) blocked: Blocked,
    /// See [`burst`].
    burst: u32,
    /// `set-bandwidth-limit`.
    throttle: Option<Box<Throttle>>,
    /// See [`Pump::leave_open`].
    open: bool,
}

/// What a pump waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Bytes from the source.
    Source,
    /// Room at the target.
    Target,
}

/// Why a pump cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The source closed in the middle.
    SourceClosed,
    /// The source was reset.
    SourceReset,
    /// The source breaks the framing.
    SourceMalformed(Malformed),
    /// The target takes no more.
    TargetClosed,
}

/// Payloads up to this size are copied behind the head, so that one plain write carries both.
const JOIN: usize = 4096;

/// Buffers that one direction moves before the other connections of the worker have their turn.
const BURST: u32 = 4;

/// As [`BURST`], with `set-nice`: 16 for those that come first, 1 for those that give way.
pub(crate) fn burst(nice: i16) -> u32 {
    let nice = i64::from(nice);
    let turns = i64::from(BURST) - if nice < 0 { 12 * nice / 1024 } else { 3 * nice / 1024 };
    turns.clamp(1, 16) as u32
}

/// A body longer than this is read in bulk from the start.
const LONG: u64 = 64 * 1024;

impl Pump {
    /// A pump from a message of framing `from` to one of framing `to`; `prefix` and `suffix` lend their allocations.
    pub(crate) fn new(from: Framing, to: Framing, prefix: Vec<u8>, suffix: Vec<u8>) -> Pump {
        Pump {
            decoder: Decoder::new(from),
            chunked: to == Framing::Chunked,
            ended: false,
            trailers: Vec::new(),
            prefix,
            payload: None,
            suffix,
            sent: 0,
            bulk: matches!(from, Framing::Length(n) if n > LONG),
            more: false,
            leftover: None,
            written: 0,
            read: 0,
            blocked: Blocked::Source,
            burst: BURST,
            throttle: None,
            open: false,
        }
    }

    /// The end of the message does not end the target's stream of HTTP/2: a tunnel may follow.
    pub(crate) fn leave_open(&mut self) {
        self.open = true;
    }

    /// Reads no more than that from now on.
    pub(crate) fn limit(&mut self, throttle: Option<Throttle>) {
        self.throttle = throttle.map(Box::new);
    }

    /// `set-nice`: how much it gives way to other connections of the worker.
    pub(crate) fn give_way(&mut self, nice: i16) {
        self.burst = burst(nice);
    }

    /// Changes the framing before the first body byte: a response's is known only when its head is there.
    pub(crate) fn set_framing(&mut self, from: Framing, to: Framing) {
        self.decoder = Decoder::new(from);
        self.chunked = to == Framing::Chunked;
        // A body that is known to be long gets a bulk buffer from the first read.
        self.bulk = matches!(from, Framing::Length(n) if n > LONG);
    }

    /// Takes in raw body bytes that came with the head.
    pub(crate) fn feed(&mut self, raw: &[u8], stock: &Stock) -> Result<(), Failed> {
        if raw.is_empty() {
            return self.settle(None, stock);
        }
        let mut buf = stock.small();
        if buf.capacity() < raw.len() {
            buf = Buf::with_capacity(raw.len());
        }
        buf.extend_from_slice(raw);
        self.settle(Some(buf), stock)
    }

    /// Decodes what `buf` holds and queues it with its framing.
    fn settle(&mut self, buf: Option<Buf>, stock: &Stock) -> Result<(), Failed> {
        if let Some(mut buf) = buf {
            let decoded = self.decoder.decode(buf.filled_mut()).map_err(Failed::SourceMalformed)?;
            if let Some(throttle) = &mut self.throttle {
                throttle.take(decoded.consumed);
            }
            if decoded.consumed < buf.len() {
                let mut rest = stock.small();
                let raw = &buf.filled()[decoded.consumed..];
                if rest.capacity() < raw.len() {
                    rest = Buf::with_capacity(raw.len());
                }
                rest.extend_from_slice(raw);
                self.leftover = Some(rest);
            }
            buf.truncate(decoded.payload);
            if decoded.payload == 0 {
                stock.give_back(buf);
            } else {
                self.queue(buf, stock);
            }
        }
        self.queue_end();
        Ok(())
    }

    fn queue(&mut self, buf: Buf, stock: &Stock) {
        if self.chunked {
            self.prefix.extend_from_slice(chunk_header(buf.len(), &mut [0; 18]));
        }
        if buf.len() <= JOIN {
            self.prefix.extend_from_slice(buf.filled());
            stock.give_back(buf);
            if self.chunked {
                self.prefix.extend_from_slice(b"\r\n");
            }
        } else {
            self.payload = Some(buf);
            if self.chunked {
                self.suffix.extend_from_slice(b"\r\n");
            }
        }
    }

    /// The source ended by itself, where the message lasts until then.
    pub(crate) fn source_ended(&mut self, source: &Stream) -> Result<(), Failed> {
        if let Some(h2) = source.h2() {
            self.trailers = h2.trailers();
        }
        self.decoder.eof().map_err(|_| Failed::SourceClosed)?;
        self.queue_end();
        Ok(())
    }

    fn queue_end(&mut self) {
        if self.decoder.is_done() && !self.ended {
            self.ended = true;
            if self.chunked {
                let out = if self.payload.is_some() { &mut self.suffix } else { &mut self.prefix };
                last_chunk(if self.trailers.is_empty() { self.decoder.trailers() } else { &self.trailers }, out);
            }
        }
    }

    /// Moves bytes until the message is over (`Ready(Ok)`), something fails, or it has to wait.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &Stream,
        target: &Stream,
        stock: &Stock,
    ) -> Poll<Result<(), Failed>> {
        let mut turns = 0;
        loop {
            std::task::ready!(self.poll_flush(cx, target, stock))?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            self.blocked = Blocked::Source;
            turns += 1;
            if turns > self.burst {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let allowed = match &mut self.throttle {
                Some(throttle) => std::task::ready!(throttle.poll(cx)),
                None => usize::MAX,
            };
            if std::task::ready!(source.poll_readable(cx)).is_err() {
                return Poll::Ready(Err(Failed::SourceReset));
            }
            self.fill(source, stock, allowed)?;
        }
    }

    /// Reads once, as much as one buffer holds and the message still has.
    fn fill(&mut self, source: &Stream, stock: &Stock, allowed: usize) -> Result<(), Failed> {
        self.more = false;
        let mut buf = if self.bulk { stock.bulk() } else { stock.small() };
        let spare = buf.spare_mut();
        let room = match self.decoder.remaining() {
            Some(left) => spare.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
            None => spare.len(),
        };
        let room = room.min(allowed);
        match source.try_read(&mut spare[..room]) {
            Ok(0) => {
                stock.give_back(buf);
                self.source_ended(source)
            }
            Ok(n) => {
                buf.advance(n);
                self.bulk = buf.is_full() || (self.bulk && n >= buf.capacity() / 4);
                let full = buf.is_full();
                self.read += n as u64;
                self.settle(Some(buf), stock)?;
                // Known at once, so that the last bytes and the end leave together.
                if source.h2().is_some_and(h2::Stream::is_ended) {
                    self.source_ended(source)?;
                }
                self.more = full && self.decoder.remaining().is_some_and(|left| left > 0);
                Ok(())
            }
            Err(e) => {
                stock.give_back(buf);
                match e.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
                    _ => Err(Failed::SourceReset),
                }
            }
        }
    }

    /// Whether the end of the message is queued or written.
    pub(crate) fn is_over(&self) -> bool {
        self.ended
    }

    /// Whether everything queued is written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.prefix.is_empty() && self.payload.is_none() && self.suffix.is_empty()
    }

    /// Drops what is queued, if none of it was written yet.
    pub(crate) fn forget_unsent(&mut self) {
        if self.sent == 0 {
            self.prefix.clear();
            self.payload = None;
            self.suffix.clear();
        }
    }

    /// Writes what is queued.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        target: &Stream,
        stock: &Stock,
    ) -> Poll<Result<(), Failed>> {
        while !self.is_flushed() {
            match self.write(target) {
                Ok(n) => {
                    self.sent += n;
                    self.written += n as u64;
                    let payload = self.payload.as_ref().map_or(0, Buf::len);
                    if self.sent == self.prefix.len() + payload + self.suffix.len() {
                        self.prefix.clear();
                        self.suffix.clear();
                        self.sent = 0;
                        if let Some(buf) = self.payload.take() {
                            stock.give_back(buf);
                        }
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = Blocked::Target;
                    if std::task::ready!(target.poll_writable(cx)).is_err() {
                        return Poll::Ready(Err(Failed::TargetClosed));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Poll::Ready(Err(Failed::TargetClosed)),
            }
        }
        if self.ended
            && !self.open
            && let Some(h2) = target.h2()
            && h2.finish(self.last_words()).is_err()
        {
            return Poll::Ready(Err(Failed::TargetClosed));
        }
        Poll::Ready(Ok(()))
    }

    /// The trailers behind the message.
    fn last_words(&self) -> &[u8] {
        if self.trailers.is_empty() { self.decoder.trailers() } else { &self.trailers }
    }

    fn write(&self, target: &Stream) -> io::Result<usize> {
        let payload = self.payload.as_ref().map_or(&[][..], Buf::filled);
        let mut skip = self.sent;
        let mut rest = [&self.prefix[..], payload, &self.suffix[..]].map(|part| {
            let cut = skip.min(part.len());
            skip -= cut;
            &part[cut..]
        });
        rest.sort_by_key(|part| part.is_empty());
        if let ([only, [], _], Some(h2)) = (rest, target.h2()) {
            return h2.try_write(only, self.ended && !self.open && self.last_words().is_empty());
        }
        match rest {
            [only, [], _] if !self.more => target.try_write(only),
            parts => target.try_send(&parts.map(IoSlice::new), self.more),
        }
    }

    /// Gives buffers back and the two vectors, whose allocations serve again.
    pub(crate) fn dismantle(self, stock: &Stock) -> (Vec<u8>, Vec<u8>) {
        for buf in [self.payload, self.leftover].into_iter().flatten() {
            stock.give_back(buf);
        }
        (self.prefix, self.suffix)
    }
}

#[cfg(test)]
mod tests;
