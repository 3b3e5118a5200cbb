//! A lenient HTTP/1 reader for tests: it takes what comes, keeps the raw bytes, and never repairs anything.
//!
//! Works over a [`Wire`], a byte stream with everything that ever arrived. Framing is what RFC 9112 section 6.3 says for
//! well-formed messages; anything odd is left to the assertions of the test.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Instant;

/// A start line and its fields, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The first line, without its line end.
    pub start: String,
    /// The fields in order, names as received.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// Reads a head from its text; a line without a colon becomes a field with that name and no value.
    pub fn parse(raw: &[u8]) -> Head {
        let text = String::from_utf8_lossy(raw);
        let mut lines = text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l));
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines.take_while(|l| !l.is_empty()).map(split_field).collect();
        Head { start, fields }
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// All values of this name, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The status of a response; 0 when the line holds none.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    /// The second word of a request line.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The first word of a request line.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// Whether the transfer coding ends in `chunked`.
    pub fn is_chunked(&self) -> bool {
        self.get("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().trim().ends_with("chunked"))
    }

    /// The declared length, if it is a number.
    pub fn length(&self) -> Option<usize> {
        self.get("content-length").and_then(|v| v.trim().parse().ok())
    }
}

fn split_field(line: &str) -> (String, String) {
    match line.split_once(':') {
        Some((n, v)) => (n.to_owned(), v.trim().to_owned()),
        None => (line.to_owned(), String::new()),
    }
}

/// A message, its body without the chunk framing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Start line and fields.
    pub head: Head,
    /// The head's bytes, with the empty line.
    pub raw_head: Vec<u8>,
    /// The payload.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Vec<(String, String)>,
    /// Whether it came to its own end; false when the stream ended before.
    pub complete: bool,
}

impl Message {
    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The payload as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How the bytes of a body end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// A count.
    Length(usize),
    /// The chunked coding.
    Chunked,
    /// The end of the stream.
    UntilClose,
}

impl Body {
    /// Of a request.
    pub fn of_request(head: &Head) -> Body {
        if head.is_chunked() { Body::Chunked } else { head.length().map_or(Body::None, Body::Length) }
    }

    /// Of a response; `bodiless` for the answer to HEAD.
    pub fn of_response(head: &Head, bodiless: bool) -> Body {
        match head.status() {
            _ if bodiless => Body::None,
            100..=199 | 204 | 304 => Body::None,
            _ if head.is_chunked() => Body::Chunked,
            _ => head.length().map_or(Body::UntilClose, Body::Length),
        }
    }
}

/// A stream with all it ever received.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    bytes: Vec<u8>,
    taken: usize,
    ended: Option<io::ErrorKind>,
}

impl Wire {
    /// Over this stream.
    pub fn new(stream: TcpStream) -> Wire {
        Wire { stream, bytes: Vec::new(), taken: 0, ended: None }
    }

    /// The stream below.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The stream, given away.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Everything received.
    pub fn received(&self) -> &[u8] {
        &self.bytes
    }

    /// Received but not yet taken.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Marks `n` pending bytes as taken and returns them.
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        let n = n.min(self.pending().len());
        self.taken += n;
        self.bytes[self.taken - n..self.taken].to_vec()
    }

    /// Lets go of what was taken, once it is much: a long transfer is not kept in memory.
    pub fn forget(&mut self) {
        if self.taken > 1 << 20 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// How the stream ended: `UnexpectedEof` for a FIN, `ConnectionReset` for a reset.
    pub fn ended(&self) -> Option<io::ErrorKind> {
        self.ended
    }

    /// Reads once more. `Ok(false)` when the stream has ended, `TimedOut` at the deadline; no deadline waits for ever.
    pub fn fill(&mut self, deadline: Option<Instant>) -> io::Result<bool> {
        if self.ended.is_some() {
            return Ok(false);
        }
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if left.is_some_and(|l| l.is_zero()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(left)?;
        let mut chunk = [0; 65536];
        loop {
            return match self.stream.read(&mut chunk) {
                Ok(0) => {
                    self.ended = Some(io::ErrorKind::UnexpectedEof);
                    Ok(false)
                }
                Ok(n) => {
                    self.bytes.extend_from_slice(&chunk[..n]);
                    Ok(true)
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    Err(io::ErrorKind::TimedOut.into())
                }
                Err(e) => {
                    self.ended = Some(e.kind());
                    Ok(false)
                }
            };
        }
    }

    /// Takes everything up to and including `mark`; `None` when the stream ends before.
    pub fn until(&mut self, mark: &[u8], deadline: Option<Instant>) -> io::Result<Option<Vec<u8>>> {
        let mut from = 0;
        loop {
            if let Some(at) = find(&self.pending()[from..], mark) {
                return Ok(Some(self.take(from + at + mark.len())));
            }
            from = self.pending().len().saturating_sub(mark.len());
            if !self.fill(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Takes `n` bytes, or fewer when the stream ends before.
    pub fn exactly(&mut self, n: usize, deadline: Option<Instant>) -> io::Result<Vec<u8>> {
        while self.pending().len() < n && self.fill(deadline)? {}
        Ok(self.take(n))
    }

    /// Takes everything up to the end of the stream.
    pub fn rest(&mut self, deadline: Option<Instant>) -> io::Result<Vec<u8>> {
        while self.fill(deadline)? {}
        Ok(self.take(usize::MAX))
    }

    /// Takes a head: up to the first empty line. `None` when the stream ends with nothing pending; a head cut short comes
    /// back as it is.
    pub fn head(&mut self, deadline: Option<Instant>) -> io::Result<Option<Vec<u8>>> {
        let mut from = 0;
        loop {
            let pending = self.pending();
            let crlf = find(&pending[from..], b"\r\n\r\n").map(|i| from + i + 4);
            let lf = find(&pending[from..], b"\n\n").map(|i| from + i + 2);
            if let Some(n) = crlf.into_iter().chain(lf).min() {
                return Ok(Some(self.take(n)));
            }
            from = pending.len().saturating_sub(4);
            if !self.fill(deadline)? {
                let left = self.take(usize::MAX);
                return Ok(if left.is_empty() { None } else { Some(left) });
            }
        }
    }

    /// Takes a body into `message`, and sets `complete`.
    pub fn body(&mut self, framing: Body, message: &mut Message, deadline: Option<Instant>) -> io::Result<()> {
        match framing {
            Body::None => message.complete = true,
            Body::Length(n) => {
                let got = self.exactly(n, deadline)?;
                message.complete = got.len() == n;
                message.body.extend_from_slice(&got);
            }
            Body::UntilClose => {
                let got = self.rest(deadline)?;
                message.complete = self.ended == Some(io::ErrorKind::UnexpectedEof);
                message.body.extend_from_slice(&got);
            }
            Body::Chunked => self.chunks(message, deadline)?,
        }
        Ok(())
    }

    fn chunks(&mut self, message: &mut Message, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            let Some(line) = self.until(b"\n", deadline)? else { return Ok(()) };
            let text = String::from_utf8_lossy(&line);
            let digits = text.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(digits, 16) else { return Ok(()) };
            if size == 0 {
                break;
            }
            let got = self.exactly(size, deadline)?;
            let whole = got.len() == size;
            message.body.extend_from_slice(&got);
            if !whole || self.until(b"\n", deadline)?.is_none() {
                return Ok(());
            }
        }
        loop {
            let Some(line) = self.until(b"\n", deadline)? else { return Ok(()) };
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if text.is_empty() {
                message.complete = true;
                return Ok(());
            }
            message.trailers.push(split_field(&text));
        }
    }

    /// Takes a response; `None` when the stream ends before its first byte.
    pub fn response(&mut self, bodiless: bool, deadline: Option<Instant>) -> io::Result<Option<Message>> {
        let Some(raw_head) = self.head(deadline)? else { return Ok(None) };
        let head = Head::parse(&raw_head);
        let whole = raw_head.ends_with(b"\n\r\n") || raw_head.ends_with(b"\n\n");
        let framing = Body::of_response(&head, bodiless);
        let mut message = Message { head, raw_head, ..Message::default() };
        if whole {
            self.body(framing, &mut message, deadline)?;
        }
        Ok(Some(message))
    }
}

/// Position of `needle` in `hay`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len().max(1)).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    fn wire(bytes: &[u8]) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(bytes).unwrap();
        Wire::new(listener.accept().unwrap().0)
    }

    #[test]
    fn reads_length_chunks_and_the_rest() {
        let mut w = wire(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\nHTTP/1.0 200 OK\r\n\r\nrest");
        let a = w.response(false, None).unwrap().unwrap();
        assert_eq!((a.status(), a.text().as_str(), a.complete), (200, "hi", true));
        let b = w.response(false, None).unwrap().unwrap();
        assert_eq!((b.text().as_str(), b.complete), ("abc", true));
        assert_eq!(b.trailers, [("T".to_owned(), "1".to_owned())]);
        let c = w.response(false, None).unwrap().unwrap();
        assert_eq!((c.text().as_str(), c.complete), ("rest", true));
        assert!(w.response(false, None).unwrap().is_none());
    }

    #[test]
    fn a_short_body_is_not_complete() {
        let mut w = wire(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi");
        let m = w.response(false, None).unwrap().unwrap();
        assert!(!m.complete);
        assert_eq!(m.text(), "hi");
    }
}
