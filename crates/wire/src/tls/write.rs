//! From plaintext to the socket.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::task::{Context, Poll, ready};

use nix::sys::socket::{MsgFlags, send};
use rustls::unbuffered::EncryptError;
use tokio::io::Interest;

use super::scratch::{self, Scratch};
use super::session::Encrypt;
use super::{Closing, Inner, MAX_FRAGMENT, MAX_OVERHEAD, SessionError};
use crate::Socket;

/// Most bytes of plaintext encrypted for one call of the kernel: four full records, so that both forms stay in the cache.
pub(super) const MAX_BATCH: u32 = 64 * 1024;
/// Least bytes of plaintext encrypted for one call, however little the socket has taken lately.
const MIN_BATCH: u32 = MAX_FRAGMENT as u32;
/// Small records before full ones, some 45 KiB of them: by then a slow start has opened the window (`tune.ssl.maxrecord`).
const SMALL_RECORDS: u16 = 32;
/// Least bytes of plaintext in a full record, whatever was asked for.
const MIN_RECORD: u16 = 256;
/// Room for what rustls puts before a record: a key update.
const SLACK: usize = 256;

/// How much plaintext a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSizes {
    /// Most bytes of any record, 256 to 16384; 0 for the largest (`tune.ssl.hard-maxrecord`).
    pub most: u16,
    /// Most bytes of the first records and of those after a pause, which the peer can then read as they come; 0 for `most`
    /// (`tune.ssl.maxrecord`).
    pub first: u16,
}

impl Default for RecordSizes {
    fn default() -> Self {
        RecordSizes { most: MAX_FRAGMENT as u16, first: 0 }
    }
}

impl Inner {
    pub(super) fn send(&mut self, socket: &Socket, parts: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        self.may_write()?;
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if total == 0 {
            return Ok(0);
        }
        if self.owed > 0 {
            self.flush(socket)?;
            let n = self.owed.min(total);
            self.owed -= n;
            return Ok(n);
        }
        // Encrypting what the socket will not take would only move it from one buffer to another.
        if !self.may_send || !socket.may_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = total.min(self.batch as usize);
        scratch::with(|scratch| {
            let used = self.seal(scratch, parts, len)?;
            self.post(socket, scratch, used, len, more || len < total)
        })
    }

    /// Encrypts the first `len` bytes of `parts` behind what is left in `out`. Returns how much of the output is used.
    fn seal(&mut self, scratch: &mut Scratch, parts: &[IoSlice<'_>], len: usize) -> io::Result<usize> {
        let Scratch { output, gather, marks, .. } = scratch;
        marks.clear();
        let left = &self.out[self.out_at..];
        let (most, first) = (usize::from(self.sizes.most), usize::from(self.sizes.first));
        let small_left = &mut self.small_left;
        let records = len / if *small_left > 0 { first } else { most } + 2;
        scratch::stretch(output, left.len() + len + records * MAX_OVERHEAD + SLACK);
        output[..left.len()].copy_from_slice(left);
        let mut used = left.len();

        let sealed: Option<Result<(), EncryptError>> = self.session.encrypt(&mut self.tail, |session| {
            let mut parts = Parts { parts, at: 0 };
            let mut done = 0;
            while done < len {
                let size = match *small_left {
                    0 => most,
                    _ => {
                        *small_left -= 1;
                        first
                    }
                };
                let plain = parts.take(size.min(len - done), gather);
                used += record(session, plain, output, used)?;
                done += plain.len();
                marks.push((used, done));
            }
            Ok(())
        });
        match sealed {
            Some(Ok(())) => Ok(used),
            Some(Err(_)) => {
                self.fail(rustls::Error::EncryptError);
                Err(SessionError(rustls::Error::EncryptError).into())
            }
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Sends what was sealed, and keeps what the socket does not take.
    fn post(&mut self, socket: &Socket, scratch: &Scratch, used: usize, len: usize, more: bool) -> io::Result<usize> {
        let bytes = &scratch.output[..used];
        let sent = match push(socket, bytes, more) {
            Ok(sent) => sent,
            Err(e) => {
                // The numbers of those records are spent: nothing that follows could be read.
                self.closing = Closing::Mute;
                return Err(e);
            }
        };
        if sent == used {
            self.drop_out();
            self.batch = (self.batch * 2).min(MAX_BATCH);
            return Ok(len);
        }
        let done = scratch.marks.iter().take_while(|(end, _)| *end <= sent).last().map_or(0, |(_, plain)| *plain);
        self.out = bytes[sent..].to_vec();
        self.out_at = 0;
        self.owed = len - done;
        self.batch = u32::try_from(done).unwrap_or(MAX_BATCH).clamp(MIN_BATCH, MAX_BATCH);
        if done == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(done) }
    }

    /// Sends what is left of earlier calls; `WouldBlock` when some of it stays.
    pub(super) fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        if self.has_out() {
            self.out_at += push(socket, &self.out[self.out_at..], false)?;
            if self.has_out() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        self.drop_out();
        if self.closing == Closing::Said {
            self.closing = Closing::Done;
            return socket.shutdown_write();
        }
        Ok(())
    }

    pub(super) fn poll_flush(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.flush(socket) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(socket.poll_writable(cx))?,
                other => return Poll::Ready(other),
            }
        }
    }

    pub(super) fn poll_writable(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.may_send && self.failed.is_none() && self.closing == Closing::No {
            // What kept the handshake from its end is told by the write.
            let _ = ready!(self.poll_handshake(socket, cx, false));
        }
        socket.poll_writable(cx)
    }

    pub(super) fn shutdown_write(&mut self, socket: &Socket) -> io::Result<()> {
        if self.closing != Closing::No {
            return Ok(());
        }
        self.say_close();
        self.closing = Closing::Said;
        match self.flush(socket) {
            // Sent by whoever reads on, or waits to.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// The stream is dropped: says so to the peer unless it was said, or must not be.
    pub(super) fn leave(&mut self, socket: &Socket) {
        match self.closing {
            Closing::Done | Closing::Mute => return,
            Closing::Said => {}
            Closing::No if self.done => self.say_close(),
            Closing::No => {}
        }
        let _ = self.flush(socket);
    }

    pub(super) fn set_record_sizes(&mut self, sizes: RecordSizes) {
        // Zero is no limit; less than a segment would be mostly overhead.
        let limit = |size: u16, none| if size == 0 { none } else { size.clamp(MIN_RECORD, MAX_FRAGMENT as u16) };
        let most = limit(sizes.most, MAX_FRAGMENT as u16);
        self.sizes = RecordSizes { most, first: limit(sizes.first, 0).min(most) };
        self.restart_small();
    }

    pub(super) fn restart_small(&mut self) {
        self.small_left = if self.sizes.first == 0 { 0 } else { SMALL_RECORDS };
    }

    #[inline]
    pub(super) fn has_out(&self) -> bool {
        self.out_at < self.out.len()
    }

    /// Puts a close_notify behind what is to be sent, unless the writer has left something half written: then the peer shall
    /// see a cut.
    fn say_close(&mut self) {
        if self.failed.is_some() || !self.may_send || self.owed > 0 {
            return;
        }
        let mut alert = [0; SLACK];
        if let Some(Ok(n)) = self.session.encrypt(&mut self.tail, |session| session.close_notify(&mut alert)) {
            self.out.extend_from_slice(&alert[..n]);
        }
    }

    fn may_write(&self) -> io::Result<()> {
        match (&self.failed, self.closing) {
            (Some(error), _) => Err(SessionError((**error).clone()).into()),
            (None, Closing::No) => Ok(()),
            (None, _) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn drop_out(&mut self) {
        self.out = Vec::new();
        self.out_at = 0;
    }
}

/// Encrypts one record into `out` from `at` on. Returns how long it is.
fn record(session: &mut dyn Encrypt, plain: &[u8], out: &mut Vec<u8>, at: usize) -> Result<usize, EncryptError> {
    match session.record(plain, &mut out[at..]) {
        Err(EncryptError::InsufficientSize(size)) => {
            scratch::stretch(out, at + size.required_size);
            session.record(plain, &mut out[at..])
        }
        other => other,
    }
}

/// Sends what the socket takes. A short write has filled it, so readiness is cleared with it.
fn push(socket: &Socket, bytes: &[u8], more: bool) -> io::Result<usize> {
    let more = if more { MsgFlags::from_bits_retain(libc::MSG_MORE) } else { MsgFlags::empty() };
    let mut sent = 0;
    let done = socket.try_io(Interest::WRITABLE, |fd: RawFd| {
        sent = send(fd, bytes, MsgFlags::MSG_NOSIGNAL | more)?;
        if sent < bytes.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match done {
        Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
        _ => Ok(sent),
    }
}

/// A walk over pieces of plaintext.
struct Parts<'p> {
    parts: &'p [IoSlice<'p>],
    /// How much of the first one is taken.
    at: usize,
}

impl<'p> Parts<'p> {
    /// The next `len` bytes; put together in `gather` unless they lie in one piece. There must be as many.
    fn take<'g>(&mut self, len: usize, gather: &'g mut Vec<u8>) -> &'g [u8]
    where
        'p: 'g,
    {
        gather.clear();
        while let Some(part) = self.parts.first() {
            let part: &'p [u8] = part;
            let rest = &part[self.at..];
            let n = rest.len().min(len - gather.len());
            self.at += n;
            if self.at == part.len() {
                self.parts = &self.parts[1..];
                self.at = 0;
            }
            if n == len {
                return &rest[..n];
            }
            gather.extend_from_slice(&rest[..n]);
            if gather.len() == len {
                break;
            }
        }
        gather
    }
}
