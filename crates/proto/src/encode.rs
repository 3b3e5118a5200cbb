//! Writing a head: as it was received where that is possible, in runs of whole lines.
//!
//! Called once per message by the transaction. Consecutive lines that nobody touched are one copy. The framing and
//! Connection fields are the caller's decision; a received framing field travels in its place when it says the same.

use crate::head::{Field, Head};
use crate::{Connection, Framing, name};

impl Head {
    /// Appends the head of a request, always as HTTP/1.1.
    pub fn encode_request(&self, framing: Framing, connection: Connection, out: &mut Vec<u8>) {
        self.make_room(out);
        if self.line.verbatim == 0 {
            out.extend_from_slice(self.method_bytes());
            out.push(b' ');
            out.extend_from_slice(self.target());
            out.extend_from_slice(b" HTTP/1.1\r\n");
        }
        self.encode_fields(framing, connection, out);
    }

    /// Appends the head of a response, always as HTTP/1.1: a gateway sends its own version, also to HTTP/1.0 clients
    /// (RFC 9110 §6.2).
    pub fn encode_response(&self, framing: Framing, connection: Connection, out: &mut Vec<u8>) {
        self.make_room(out);
        if self.line.verbatim == 0 {
            let status = self.line.status;
            let digits = [status / 100 % 10, status / 10 % 10, status % 10].map(|d| b'0' + d as u8);
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(&digits);
            out.push(b' ');
            out.extend_from_slice(self.reason());
            out.extend_from_slice(b"\r\n");
        }
        self.encode_fields(framing, connection, out);
    }

    #[inline]
    fn make_room(&self, out: &mut Vec<u8>) {
        // What loose lines gain, two bytes each at most, is covered by the constant and by growing if it is not.
        out.reserve(self.length + self.edits.len() + 96);
    }

    /// Everything after the start line, and the start line itself when it is verbatim: it is the first run then.
    #[inline]
    fn encode_fields(&self, framing: Framing, connection: Connection, out: &mut Vec<u8>) {
        let block = self.block.filled();
        let mut source = block;
        let mut run = 0..self.line.verbatim as usize;
        let mut framed = false;
        for field in &self.fields {
            if field.flags & (Field::HOP | Field::GONE) != 0 || field.id == name::CONTENT_LENGTH {
                if !self.travels(field, framing, connection) {
                    continue;
                }
                framed |= field.flags & Field::FRAMES != 0;
            }
            let from = if field.flags & Field::EDIT != 0 { &self.edits[..] } else { block };
            if field.flags & Field::LOOSE != 0 {
                copy(source, &run, out);
                run = 0..0;
                out.extend_from_slice(self.span(field, field.start, field.name_end));
                out.extend_from_slice(b": ");
                out.extend_from_slice(self.span(field, field.value, field.value_end));
                out.extend_from_slice(b"\r\n");
            } else if run.end == field.start as usize && std::ptr::eq(source, from) {
                run.end = field.end as usize;
            } else {
                copy(source, &run, out);
                source = from;
                run = field.start as usize..field.end as usize;
            }
        }
        copy(source, &run, out);
        if !framed {
            encode_framing(framing, out);
        }
        encode_connection(connection, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Whether a field that is not plainly end-to-end is written after all.
    #[inline]
    fn travels(&self, field: &Field, framing: Framing, connection: Connection) -> bool {
        if field.flags & Field::GONE != 0 {
            return false;
        }
        match field.id {
            // HEAD and 304 answers keep the length of the body they do not have.
            name::CONTENT_LENGTH if field.flags & Field::HOP == 0 => framing == Framing::Empty,
            name::CONTENT_LENGTH | name::TRANSFER_ENCODING => {
                field.flags & Field::FRAMES != 0 && framing == self.framing
            }
            name::UPGRADE => connection == Connection::Upgrade,
            _ => false,
        }
    }
}

#[inline]
fn copy(source: &[u8], run: &std::ops::Range<usize>, out: &mut Vec<u8>) {
    out.extend_from_slice(source.get(run.clone()).unwrap_or_default());
}

#[inline]
fn encode_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Length(n) => {
            let mut digits = [0; 20];
            let mut at = digits.len();
            let mut rest = n;
            loop {
                at -= 1;
                digits[at] = b'0' + (rest % 10) as u8;
                rest /= 10;
                if rest == 0 {
                    break;
                }
            }
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(&digits[at..]);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Empty | Framing::UntilClose | Framing::Tunnel => {}
    }
}

#[inline]
fn encode_connection(connection: Connection, out: &mut Vec<u8>) {
    out.extend_from_slice(match connection {
        Connection::None => b"",
        Connection::Close => b"Connection: close\r\n",
        Connection::KeepAlive => b"Connection: keep-alive\r\n",
        Connection::Upgrade => b"Connection: upgrade\r\n",
    });
}
