//! Reading the ClientHello off a socket, before a certificate is chosen for it.

use std::io;
use std::task::{Context, Poll, ready};

use evenkeel_proto::hello::Hello;

use crate::Socket;

/// Bytes asked for at a time. A hello with a post-quantum key share has about 2 KiB.
const CHUNK: usize = 4096;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloRead {
    /// A whole ClientHello, perhaps with more behind it.
    Whole,
    /// Something else, which may be read as such.
    NotTls,
    /// A hello that is longer than the limit.
    TooLong,
    /// The peer closed; what it sent is there.
    Closed,
}

/// Reads into `buf` until a whole ClientHello is there, at most `limit` bytes and what comes with the last of them.
///
/// # Errors
/// Of the socket.
pub fn poll_hello(
    socket: &Socket,
    cx: &mut Context<'_>,
    buf: &mut Vec<u8>,
    limit: usize,
) -> Poll<io::Result<HelloRead>> {
    let mut chunk = [0; CHUNK];
    loop {
        if let Some(read) = look(buf) {
            return Poll::Ready(Ok(read));
        }
        if buf.len() >= limit {
            return Poll::Ready(Ok(HelloRead::TooLong));
        }
        match socket.try_read(&mut chunk) {
            Ok(0) => return Poll::Ready(Ok(HelloRead::Closed)),
            Ok(n) => {
                buf.reserve_exact(n);
                buf.extend_from_slice(&chunk[..n]);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(socket.poll_readable(cx))?,
            Err(e) => return Poll::Ready(Err(e)),
        }
    }
}

/// What the bytes are; `None` while that is open.
fn look(bytes: &[u8]) -> Option<HelloRead> {
    // Bytes that come one at a time are not parsed before the first record is whole, where it may ever be (RFC 8446 §5.1).
    if let [22, 3, _, high, low, rest @ ..] = bytes
        && (rest.len() + 1..=1 << 14).contains(&usize::from(u16::from_be_bytes([*high, *low])))
    {
        return None;
    }
    match Hello::read(bytes) {
        Hello::Whole(_) => Some(HelloRead::Whole),
        Hello::Partial(_) => None,
        Hello::Message(_) | Hello::Other => Some(HelloRead::NotTls),
    }
}
