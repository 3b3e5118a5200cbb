//! Sending a message of our own to the client, whatever it speaks: the bytes of HTTP/1, or a head and a body in a stream.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use evenkeel_proto::{Buf, Head, Limits, Method, Parsed};
use evenkeel_wire::h2;

use crate::clock;
use crate::conn::Conn;
use crate::finish::Tally;
use crate::timer::within;

/// Writes to the client; `false` when it is gone or does not read for `time`.
pub(crate) async fn send(conn: &mut Conn, tally: &mut Tally, time: Option<Duration>, out: &[u8]) -> bool {
    let Conn { stream, timer, .. } = conn;
    let mut sent = 0;
    if let Some(h2) = stream.h2() {
        match say(h2, out) {
            Some(head) => sent = head,
            None => return false,
        }
    }
    let write = poll_fn(|cx| {
        while sent < out.len() {
            match stream.try_write(&out[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if std::task::ready!(stream.poll_writable(cx)).is_err() {
                        return std::task::Poll::Ready(false);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return std::task::Poll::Ready(false),
            }
        }
        match stream.h2() {
            Some(h2) if h2.has_answered() => std::task::Poll::Ready(h2.finish(&[]).is_ok()),
            _ => std::task::Poll::Ready(true),
        }
    });
    let done = within(timer, clock::now(), time, write).await == Ok(true);
    tally.bytes_out += sent as u64;
    done
}

/// Sends the head of a message of ours, written as HTTP/1.1, in an HTTP/2 stream; how many bytes of `out` it was.
fn say(h2: &h2::Stream, out: &[u8]) -> Option<usize> {
    let mut head = Head::new();
    let mut block = Buf::with_capacity(out.len());
    block.extend_from_slice(out);
    head.replace_block(block);
    let limits = Limits { max_head: out.len(), ..Limits::default() };
    match head.parse_response(&limits, Method::Get) {
        Ok(Parsed::Complete) => {}
        Ok(Parsed::Partial) | Err(_) => return None,
    }
    let length = head.head_len();
    h2.send_response(&head, head.framing(), length == out.len()).ok()?;
    Some(length)
}
