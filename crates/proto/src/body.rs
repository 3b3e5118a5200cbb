//! The payload decoder: from raw bytes to payload bytes, in place.
//!
//! Called by the exchange with what it read from a peer. Holds no body bytes, stops exactly at the end of the message,
//! and gives the same payload however the bytes were split. Chunk extensions are dropped; trailers are kept, bounded,
//! and written again by [`last_chunk`]. Invariant: the sum of `consumed` over all calls is the length of the message.

use crate::{Framing, Malformed, name};

/// The largest chunk accepted, in bytes (HAProxy's limit).
pub const MAX_CHUNK: u64 = (1 << 31) - 1;
/// The longest chunk extension accepted, in bytes, with the blanks before it.
pub const MAX_CHUNK_EXTENSION: usize = 1024;
/// The most bytes of trailer lines accepted, counting those that are not passed on.
pub const MAX_TRAILERS: usize = 8192;

/// A chunk size may have leading zeros, but not more digits than a 64-bit number.
const MAX_SIZE_DIGITS: usize = 16;

/// Finds the payload in the raw bytes of one message.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// `Length`, `Data`: bytes still to come. Before `Data`: the size so far.
    left: u64,
    /// `Size`: digits so far. `Padding`, `Extension`: bytes so far. `Trailer`: bytes of all trailer lines so far.
    count: usize,
    /// Validated lines, then the line being read, from `line` on.
    trailers: Vec<u8>,
    line: usize,
}

/// What one call of [`Decoder::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Raw bytes used; they may be dropped.
    pub consumed: usize,
    /// Payload bytes, now at the front.
    pub payload: usize,
    /// Whether the message ended; the rest of the bytes are not part of it.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length,
    UntilClose,
    Size,
    Padding,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
    Done,
}

impl Decoder {
    /// A decoder at the start of a body framed like this.
    #[must_use]
    pub fn new(framing: Framing) -> Decoder {
        let (state, left) = match framing {
            Framing::Empty | Framing::Length(0) => (State::Done, 0),
            Framing::Length(n) => (State::Length, n),
            Framing::Chunked => (State::Size, 0),
            Framing::UntilClose | Framing::Tunnel => (State::UntilClose, 0),
        };
        Decoder { state, left, count: 0, trailers: Vec::new(), line: 0 }
    }

    /// Looks at raw bytes and moves the payload among them to the front of `bytes`. All bytes are consumed unless the
    /// message ends before; call it again with the bytes that come next.
    ///
    /// # Errors
    /// The chunk syntax is wrong or a bound was passed; the decoder must not be used any more.
    #[inline]
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, Malformed> {
        match self.state {
            State::Done => Ok(Decoded { consumed: 0, payload: 0, done: true }),
            State::UntilClose => Ok(Decoded { consumed: bytes.len(), payload: bytes.len(), done: false }),
            State::Length => {
                let n = at_most(bytes.len(), self.left);
                self.left -= n as u64;
                if self.left == 0 {
                    self.state = State::Done;
                }
                Ok(Decoded { consumed: n, payload: n, done: self.left == 0 })
            }
            _ => self.decode_chunks(bytes),
        }
    }

    /// Whether the message ended.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes still to come when that is known, so that a reader never reads past the message.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        (self.state == State::Length).then_some(self.left)
    }

    /// The peer closed its side: the end of a body that lasts until then, an error in the middle of any other.
    ///
    /// # Errors
    /// [`Malformed::TruncatedBody`].
    pub fn eof(&mut self) -> Result<(), Malformed> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(Malformed::TruncatedBody),
        }
    }

    /// The trailers that may be passed on, as `Name: value\r\n` lines. Complete once the message is done.
    #[inline]
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        &self.trailers[..self.line]
    }

    fn decode_chunks(&mut self, bytes: &mut [u8]) -> Result<Decoded, Malformed> {
        let mut at = 0;
        let mut payload = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let n = at_most(bytes.len() - at, self.left);
                if at != payload {
                    bytes.copy_within(at..at + n, payload);
                }
                at += n;
                payload += n;
                self.left -= n as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(Decoded { consumed: at, payload, done: self.state == State::Done })
    }

    /// One byte that is not chunk data (RFC 9112 §7.1).
    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        match self.state {
            State::Size => self.size(byte)?,
            State::Padding | State::Extension => self.extension(byte)?,
            State::SizeLf => {
                if byte != b'\n' {
                    return Err(Malformed::BareCr);
                }
                self.count = 0;
                self.state = if self.left == 0 { State::Trailer } else { State::Data };
            }
            State::DataCr if byte == b'\r' => self.state = State::DataLf,
            State::DataLf if byte == b'\n' => {
                self.count = 0;
                self.left = 0;
                self.state = State::Size;
            }
            State::DataCr | State::DataLf => return Err(Malformed::BadChunkEnd),
            State::Trailer => self.trailer(byte)?,
            State::TrailerLf => {
                if byte != b'\n' {
                    return Err(Malformed::BareCr);
                }
                self.end_trailer()?;
            }
            State::Length | State::UntilClose | State::Data | State::Done => {}
        }
        Ok(())
    }

    fn size(&mut self, byte: u8) -> Result<(), Malformed> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if self.count == 0 => return Err(Malformed::BadChunkSize),
            b'\r' => {
                self.state = State::SizeLf;
                return Ok(());
            }
            b'\n' => return Err(Malformed::BareLf),
            // Blanks after the size are padding that some servers write; as the chunk is written anew, they are safe.
            b';' | b' ' | b'\t' => {
                self.count = 1;
                self.state = if byte == b';' { State::Extension } else { State::Padding };
                return Ok(());
            }
            _ => return Err(Malformed::BadChunkSize),
        };
        if self.count == MAX_SIZE_DIGITS {
            return Err(Malformed::BadChunkSize);
        }
        self.count += 1;
        // At most 31 bits are kept, so the shift never overflows.
        self.left = self.left << 4 | u64::from(digit);
        if self.left > MAX_CHUNK {
            return Err(Malformed::ChunkTooLarge);
        }
        Ok(())
    }

    /// Blanks between the size and `;` or CR LF, or the extension, which ends with CR LF.
    fn extension(&mut self, byte: u8) -> Result<(), Malformed> {
        match byte {
            b'\r' => {
                self.state = State::SizeLf;
                return Ok(());
            }
            b'\n' => return Err(Malformed::BareLf),
            b';' => self.state = State::Extension,
            b' ' | b'\t' => {}
            _ if self.state == State::Padding || !name::is_value(&[byte]) => return Err(Malformed::BadChunkSize),
            _ => {}
        }
        if self.count == MAX_CHUNK_EXTENSION {
            return Err(Malformed::ChunkExtensionTooLong);
        }
        self.count += 1;
        Ok(())
    }

    fn trailer(&mut self, byte: u8) -> Result<(), Malformed> {
        match byte {
            b'\r' => self.state = State::TrailerLf,
            b'\n' => return Err(Malformed::BareLf),
            _ if self.count == MAX_TRAILERS => return Err(Malformed::TrailersTooLarge),
            _ => {
                self.count += 1;
                self.trailers.push(byte);
            }
        }
        Ok(())
    }

    /// A trailer line is complete: the empty one ends the message, others are checked and kept or dropped.
    fn end_trailer(&mut self) -> Result<(), Malformed> {
        let line = &self.trailers[self.line..];
        if line.is_empty() {
            self.state = State::Done;
            return Ok(());
        }
        let colon = memchr::memchr(b':', line).ok_or(Malformed::BadTrailer)?;
        let (field, value) = (&line[..colon], name::trim(&line[colon + 1..]));
        if !name::is_token(field) || !name::is_value(value) {
            return Err(Malformed::BadTrailer);
        }
        if name::may_trail(field) {
            let canonical = [field, b": ", value, b"\r\n"].concat();
            self.trailers.truncate(self.line);
            self.trailers.extend_from_slice(&canonical);
            self.line = self.trailers.len();
        } else {
            self.trailers.truncate(self.line);
        }
        // The line end counts too, so that many tiny lines are bounded as well.
        self.count = (self.count + 2).min(MAX_TRAILERS);
        self.state = State::Trailer;
        Ok(())
    }
}

/// The line before a chunk of `len` bytes: `1f4\r\n`.
pub fn chunk_header(len: usize, out: &mut [u8; 18]) -> &[u8] {
    let mut at = 16;
    let mut rest = len;
    out[16..].copy_from_slice(b"\r\n");
    loop {
        at -= 1;
        out[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        if rest == 0 {
            return &out[at..];
        }
    }
}

/// Appends the end of a chunked body with these trailer lines, as [`Decoder::trailers`] has them.
pub fn last_chunk(trailers: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

/// `len`, or `left` if that is less.
#[inline]
fn at_most(len: usize, left: u64) -> usize {
    usize::try_from(left).map_or(len, |left| left.min(len))
}
