//! The body of an answer, and where it comes from.
//!
//! Called by `return` and its like. Files are read through the reader the library lends, bounded by [`MAX_FILE`], and what
//! has to be an HTTP message is parsed once.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use evenkeel_proto::{Framing, Head, Method};

use super::Content;
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::format::Format;
use crate::word::Word;

/// Bytes a file of an answer may have.
pub(super) const MAX_FILE: usize = 1 << 20;

/// The statuses that have an error page of their own.
const PAGES: &[u16] =
    &[200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431, 500, 501, 502, 503, 504];

/// Where a body comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// `default-errorfiles`.
    Page,
    /// `errorfile`.
    MessageFile,
    /// `errorfiles`.
    Section,
    File,
    FormatFile,
    String,
    FormatString,
}

/// A body as loaded.
#[derive(Debug)]
pub(super) enum Payload {
    /// The error page of the status.
    Page,
    /// A whole message with its own status.
    Message {
        status: u16,
        message: Arc<[u8]>,
    },
    Bytes(Vec<u8>),
    /// With % items, and the bytes it was read from when that was a file.
    Text(Box<(Format, Vec<u8>)>),
}

impl Source {
    pub(super) fn named(name: &str) -> Option<Source> {
        Some(match name {
            "default-errorfiles" => Source::Page,
            "errorfile" => Source::MessageFile,
            "errorfiles" => Source::Section,
            "file" => Source::File,
            "lf-file" => Source::FormatFile,
            "string" => Source::String,
            "lf-string" => Source::FormatString,
            _ => return None,
        })
    }

    /// What is written after it.
    pub(super) fn takes(self) -> &'static str {
        match self {
            Source::Page => "",
            Source::MessageFile | Source::File | Source::FormatFile => "file",
            Source::Section => "name",
            Source::String => "text",
            Source::FormatString => "fmt",
        }
    }

    /// Takes or reads what `word` says.
    pub(super) fn load(self, word: &Word, status: u16, scope: &Scope<'_>) -> Result<Payload, Fault> {
        let paged = || {
            if PAGES.contains(&status) {
                return Ok(());
            }
            Err(Fault::new(code::STATUS, word.range.clone(), format!("there is no error page for status {status}"))
                .hint("the statuses with a page are 200, 400-405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431, 500-504"))
        };
        match self {
            Source::Page => paged().map(|()| Payload::Page),
            Source::MessageFile => {
                let bytes = read(word, scope)?;
                let status = message_status(&bytes).map_err(|why| {
                    Fault::new(code::FILE, word.range.clone(), format!("`{}` is no HTTP message: {why}", word.text()))
                        .hint("it holds a status line, header fields, an empty line, and the body")
                })?;
                Ok(Payload::Message { status, message: bytes.into() })
            }
            Source::Section => {
                paged()?;
                let name = word.text();
                let all = &scope.env.library.pages;
                let Some(section) = all.iter().find(|section| *section.name == *name) else {
                    let message = format!("there is no [http-errors.{name}]");
                    return Err(Fault::new(code::ACTION_ARGS, word.range.clone(), message)
                        .did_you_mean(&name, all.iter().map(|section| &*section.name))
                        .or_hint(|| "add the section, or write default-errorfiles".into()));
                };
                match section.pages.iter().find(|(of, _)| *of == status) {
                    Some((_, message)) => {
                        let status = message_status(message).unwrap_or(status);
                        Ok(Payload::Message { status, message: message.clone() })
                    }
                    None => {
                        let message = format!("[http-errors.{name}] has no page for status {status}");
                        Err(Fault::new(code::STATUS, word.range.clone(), message)
                            .hint("add one, or use another status"))
                    }
                }
            }
            Source::File => Ok(Payload::Bytes(read(word, scope)?)),
            Source::FormatFile => {
                let bytes = read(word, scope)?;
                // What is wrong in the file is shown at its name.
                let text = Word::literal(&bytes, word.range.clone());
                let format = Format::parse_body(&text, scope).map_err(|fault| {
                    let message = format!("in `{}`: {}", word.text(), fault.message);
                    Fault { range: word.range.clone(), message, ..fault }
                })?;
                Ok(Payload::Text(Box::new((format, bytes))))
            }
            Source::String => Ok(Payload::Bytes(word.bytes.clone())),
            Source::FormatString => {
                let format = Format::parse_body(word, scope)?;
                Ok(match format.literal() {
                    Some(text) => Payload::Bytes(text.to_vec()),
                    None => Payload::Text(Box::new((format, Vec::new()))),
                })
            }
        }
    }
}

impl Payload {
    /// The body for one answer.
    pub(super) fn content(&self, ctx: &Ctx<'_>) -> Content<'_> {
        match self {
            Payload::Page => Content::Page,
            Payload::Message { message, .. } => Content::Message(message),
            Payload::Bytes(bytes) => Content::Bytes(Cow::Borrowed(bytes)),
            Payload::Text(text) => {
                let mut out = Vec::new();
                text.0.write(ctx, &mut out);
                Content::Bytes(Cow::Owned(out))
            }
        }
    }

    /// The bytes that came from elsewhere than the rule.
    pub(super) fn file(&self) -> &[u8] {
        match self {
            Payload::Page => b"",
            Payload::Message { message, .. } => message,
            Payload::Bytes(bytes) => bytes,
            Payload::Text(text) => &text.1,
        }
    }
}

fn read(word: &Word, scope: &Scope<'_>) -> Result<Vec<u8>, Fault> {
    let name = word.text();
    let bad = |message: String| Fault::new(code::FILE, word.range.clone(), message);
    match (scope.env.library.read)(Path::new(&*name)) {
        Ok(bytes) if bytes.len() > MAX_FILE => Err(bad(format!("`{name}` has {} bytes", bytes.len()))
            .hint(format!("the file of an answer may have {MAX_FILE}: serve larger ones from a server"))),
        Ok(bytes) => Ok(bytes),
        Err(why) => Err(bad(format!("`{name}` cannot be read: {why}")).hint("check the path and who may read it")),
    }
}

/// The status of a whole HTTP message; the error is a sentence.
fn message_status(message: &[u8]) -> Result<u16, String> {
    let end = memchr::memmem::find(message, b"\r\n\r\n").map(|at| at + 4);
    let Some(end) = end else {
        return Err("it has no empty line between head and body, with CR LF line ends".into());
    };
    let text = std::str::from_utf8(&message[..end]).map_err(|_| "its head is no text".to_owned())?;
    let head = Head::response(text, Method::Get).map_err(|why| why.sentence().to_owned())?;
    let body = message.len() - end;
    match head.framing() {
        Framing::Length(length) if length != body as u64 => {
            Err(format!("Content-Length says {length}, and the body has {body} bytes"))
        }
        Framing::Chunked => Err("it is chunked".into()),
        _ if !(200..=599).contains(&head.status()) => Err(format!("{} is no status of a final answer", head.status())),
        _ => Ok(head.status()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_message_is_whole() {
        for (text, expected) in [
            ("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nhi", Ok(503)),
            ("HTTP/1.0 403 Forbidden\r\nCache-Control: no-cache\r\nContent-Type: text/html\r\n\r\n<html>\n", Ok(403)),
            ("HTTP/1.1 204 No Content\r\n\r\n", Ok(204)),
            ("HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nhi", Err("Content-Length says 3")),
            ("HTTP/1.1 503 Busy\n\nhi", Err("empty line")),
            ("HTTP/1.1 103 Hints\r\n\r\n", Err("no status of a final answer")),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Err("chunked")),
            ("hello", Err("empty line")),
            ("", Err("empty line")),
        ] {
            match (message_status(text.as_bytes()), expected) {
                (Ok(status), Ok(wanted)) => assert_eq!(status, wanted, "{text}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
                (got, wanted) => panic!("{text:?}: {got:?}, expected {wanted:?}"),
            }
        }
    }
}
