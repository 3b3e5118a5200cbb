//! Answers that Evenkeel makes itself: error pages, and what a rule asks for.

use std::borrow::Cow;
use std::fmt::Write as _;

pub(crate) use evenkeel_acl::reason;
use evenkeel_acl::{Content, Reply};

use crate::end::End;

/// The sentence on an error page.
fn sentence(status: u16) -> &'static str {
    match status {
        200 => "Service ready.",
        400 => "Your client sent a request that is not valid HTTP.",
        401 => "A name and a password are needed for this request.",
        403 => "A rule of this site does not allow this request.",
        405 => "This protocol is not spoken here.",
        408 => "Your client did not send a complete request in time.",
        413 => "The request carries a body that is not accepted here.",
        414 => "The address of the request is too long.",
        422 => "The request uses a transfer coding that is not supported.",
        429 => "Too many requests were sent in a short time.",
        431 => "The header fields of the request are too large.",
        500 => "The request could not be processed because of an internal error.",
        502 => "The server gave an invalid or incomplete response.",
        503 => "No server is available to handle this request.",
        504 => "The server did not respond in time.",
        _ => "The request was not served.",
    }
}

/// An answer without a server.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// Header lines besides Content-Length and Connection.
    pub headers: &'a [(Cow<'a, str>, Vec<u8>)],
    /// Body; `None` = the page of the status.
    pub body: Option<&'a [u8]>,
    /// A whole message as configured (`errorfile`), instead of the page or a body: its framing is ours.
    pub message: Option<&'a [u8]>,
    /// Only the head is sent (the request was HEAD).
    pub head_only: bool,
    /// The connection closes after it.
    pub close: bool,
    /// A keep-alive that must be said, for an HTTP/1.0 client.
    pub say_keep_alive: bool,
    /// What `Proxy-Status` tells (`option.proxy-status`).
    pub tells: Option<End>,
}

impl<'a> Answer<'a> {
    /// The answer of a rule or of a described page, after which the connection closes.
    pub fn of(reply: &'a Reply<'a>) -> Answer<'a> {
        Answer {
            headers: &reply.headers,
            body: match &reply.body {
                Content::Page => None,
                Content::Bytes(bytes) => Some(bytes),
                Content::Message(_) => Some(&[]),
            },
            message: match &reply.body {
                Content::Message(message) => Some(message),
                Content::Page | Content::Bytes(_) => None,
            },
            ..Answer::error(reply.status)
        }
    }
}

impl Answer<'_> {
    /// The built-in page of `status`, after which the connection closes.
    pub fn error(status: u16) -> Answer<'static> {
        Answer {
            status,
            headers: &[],
            body: None,
            message: None,
            head_only: false,
            close: true,
            say_keep_alive: false,
            tells: None,
        }
    }

    /// Appends the whole message.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(message) = self.message {
            self.write_message(message, out);
            return;
        }
        let mut head = String::with_capacity(256);
        // Writing to a string cannot fail.
        let _ = write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let page = match self.body {
            Some(_) => String::new(),
            None if self.status < 400 && self.status != 200 => String::new(),
            None => format!(
                "<html><body><h1>{} {}</h1>\n{}\n</body></html>\n",
                self.status,
                reason(self.status),
                sentence(self.status)
            ),
        };
        let body = self.body.unwrap_or(page.as_bytes());
        for (name, value) in self.headers {
            let _ = write!(head, "{name}: {}\r\n", String::from_utf8_lossy(value));
        }
        // RFC 9209 §2: a list of one member, with the error type as a token and our code as a string.
        if let Some((end, token)) = self.tells.and_then(|end| Some((end.entry(), end.entry().proxy_status?))) {
            let _ = write!(head, "Proxy-Status: evenkeel; error={token}; details=\"{}\"\r\n", end.code);
        }
        if self.body.is_none() && !page.is_empty() {
            head.push_str("Cache-Control: no-cache\r\nContent-Type: text/html\r\n");
        }
        // RFC 9110 §8.6: a 204 or 1xx carries no Content-Length.
        if self.status != 204 {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        if self.close {
            head.push_str("Connection: close\r\n");
        } else if self.say_keep_alive {
            head.push_str("Connection: keep-alive\r\n");
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
        if !self.head_only && !matches!(self.status, 204 | 304) {
            out.extend_from_slice(body);
        }
    }
}

impl Answer<'_> {
    /// A configured message: its lines but those on framing and connection, which are ours.
    fn write_message(&self, message: &[u8], out: &mut Vec<u8>) {
        let split = memchr::memmem::find(message, b"\r\n\r\n").unwrap_or(message.len());
        let (head, body) = (&message[..split], message.get(split + 4..).unwrap_or_default());
        for (at, line) in head.split(|&b| b == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let name = line.split(|&b| b == b':').next().unwrap_or_default();
            let ours: [&[u8]; 4] = [b"content-length", b"connection", b"transfer-encoding", b"keep-alive"];
            if at > 0 && ours.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                continue;
            }
            match (at, line.iter().position(|&b| b == b' ')) {
                (0, Some(blank)) => {
                    out.extend_from_slice(b"HTTP/1.1");
                    out.extend_from_slice(&line[blank..]);
                }
                _ => out.extend_from_slice(line),
            }
            out.extend_from_slice(b"\r\n");
        }
        // What the rule adds: the challenge of `auth` above all.
        for (name, value) in self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        let mut rest = String::new();
        let _ = write!(rest, "Content-Length: {}\r\n", body.len());
        if self.close {
            rest.push_str("Connection: close\r\n");
        } else if self.say_keep_alive {
            rest.push_str("Connection: keep-alive\r\n");
        }
        rest.push_str("\r\n");
        out.extend_from_slice(rest.as_bytes());
        if !self.head_only {
            out.extend_from_slice(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_status_is_told_when_asked_for() {
        let text = |tells| {
            let mut out = Vec::new();
            Answer { tells, ..Answer::error(503) }.write(&mut out);
            String::from_utf8(out).expect("ASCII")
        };
        let told = text(Some(End::ConnectRefused));
        assert!(told.contains("\r\nProxy-Status: evenkeel; error=connection_refused; details=\"EV200\"\r\n"), "{told}");
        assert!(!text(None).contains("Proxy-Status"));
        for entry in End::all().filter(|e| e.status.is_some()) {
            assert!(text(Some(entry.end)).contains(entry.code), "{}", entry.code);
        }
    }

    #[test]
    fn every_status_of_an_end_has_a_page_of_its_own() {
        for entry in End::all() {
            let Some(status) = entry.status else { continue };
            assert_ne!(sentence(status), sentence(0), "{}", entry.code);
            assert!(!matches!(reason(status), "Client Error" | "Server Error"), "{}", entry.code);
        }
    }

    #[test]
    fn pages_are_framed_by_their_length() {
        for status in [400, 403, 408, 413, 414, 422, 429, 431, 500, 502, 503, 504] {
            let mut out = Vec::new();
            Answer::error(status).write(&mut out);
            let text = String::from_utf8(out).expect("ASCII");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            assert!(head.contains("Connection: close"));
        }
    }
}
