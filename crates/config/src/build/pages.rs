//! `errorfile`, `errorfiles`, `errorloc`, `http-error`, and the `[http-errors.NAME]` sections they take from.
//!
//! Files are read here, once per load, and are whole HTTP messages: what is sent is checked before a client can get it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::{Env, ErrorReply, Library, Pages};

use super::rules::report_text;
use super::{Cx, Layers};
use crate::model::{ErrorPage, ErrorPages};
use crate::nearest::did_you_mean;
use crate::place::At;
use crate::shape::{Node, Val};
use crate::{codes, defaults};

/// The pages of one `[http-errors.NAME]` section.
pub(super) fn section(name: &str, node: &Node<'_>, library: &Library, cx: &mut Cx<'_>) -> Pages {
    let mut pages = Pages { name: Arc::from(name), pages: Vec::new() };
    for (status, value) in by_status(node, "errorfile", cx) {
        if let Some(message) = message(status, value, library, cx) {
            pages.pages.push((status, message));
        }
    }
    pages.pages.sort_by_key(|(status, _)| *status);
    pages
}

/// The pages of a proxy: its own over those of its defaults; in one section a page of its own over those it shares.
pub(super) fn of_proxy(layers: &Layers<'_, '_>, cx: &mut Cx<'_>) -> ErrorPages {
    let mut pages = ErrorPages::default();
    let library = Rc::clone(&cx.library);
    let nodes: Vec<&Node<'_>> = layers.each().collect();
    for node in nodes.into_iter().rev() {
        shared(node, &mut pages, cx);
        let mut own: HashMap<u16, At> = HashMap::new();
        let mut set = |status: u16, value: &Val<'_>, page: Option<ErrorPage>, cx: &mut Cx<'_>| {
            if let Some(first) = own.insert(status, value.at) {
                let line = cx.files.place(first).line;
                cx.sink
                    .error(codes::BAD_PAGE, value.at, format!("there are two pages for {status}"))
                    .hint(format!("the first is on line {line}; leave one of them"));
            }
            if let Some(page) = page {
                pages.set(status, page);
            }
        };
        for (status, value) in by_status(node, "errorfile", cx) {
            let page = message(status, value, &library, cx).map(page);
            set(status, value, page, cx);
        }
        for (key, code) in [("errorloc", 302), ("errorloc302", 302), ("errorloc303", 303)] {
            for (status, value) in by_status(node, key, cx) {
                let page = location(value, cx).map(|location| ErrorPage::Redirect { status: code, location });
                set(status, value, page, cx);
            }
        }
        for value in node.find("http-error").map(Val::list).unwrap_or_default() {
            if let Some((status, page)) = described(value, layers.name, cx) {
                set(status, value, Some(page), cx);
            }
        }
    }
    pages
}

/// `http-error`: a page described as a `return` is.
fn described(value: &Val<'_>, proxy: &str, cx: &mut Cx<'_>) -> Option<(u16, ErrorPage)> {
    let text = value.text()?;
    let at = cx.files.place(value.at);
    let place = evenkeel_acl::Place { file: at.file, line: at.line };
    let library = Rc::clone(&cx.library);
    match ErrorReply::compile(text, place, &Env { library: &library, proxy }) {
        Ok(reply) if ErrorPages::STATUSES.contains(&reply.status()) => {
            Some((reply.status(), ErrorPage::Reply { text: Arc::from(text), reply: Arc::new(reply) }))
        }
        Ok(reply) => {
            not_replaceable(&reply.status().to_string(), value.at, cx);
            None
        }
        Err(errors) => {
            report_text(errors, value, cx);
            None
        }
    }
}

/// `errorfiles`: in the order of the file, so that a later one wins.
fn shared(node: &Node<'_>, pages: &mut ErrorPages, cx: &mut Cx<'_>) {
    for value in node.find("errorfiles").map(Val::list).unwrap_or_default() {
        let named = match value.table() {
            Some(table) => table.find("name"),
            None => Some(value),
        };
        let Some((named, name)) = named.and_then(|named| Some((named, named.text()?))) else { continue };
        let library = Rc::clone(&cx.library);
        let Some(section) = library.pages.iter().find(|pages| *pages.name == *name) else {
            let hint = did_you_mean(name, library.pages.iter().map(|pages| &*pages.name));
            cx.sink
                .error(codes::UNKNOWN_NAME, named.at, format!("there is no section [http-errors.{name}]"))
                .hint(hint.unwrap_or_else(|| format!("define it: [http-errors.{name}]")));
            continue;
        };
        match value.table().and_then(|table| table.find("codes")) {
            None => section.pages.iter().for_each(|(status, message)| pages.set(*status, page(Arc::clone(message)))),
            Some(codes) => {
                for code in codes.list() {
                    let wanted = code.int().unwrap_or(0);
                    match section.pages.iter().find(|(status, _)| i64::from(*status) == wanted) {
                        Some((status, message)) => pages.set(*status, page(Arc::clone(message))),
                        None => {
                            let message = format!("[http-errors.{name}] has no page for {wanted}");
                            cx.sink.error(codes::UNKNOWN_NAME, code.at, message);
                        }
                    }
                }
            }
        }
    }
}

fn page(message: Arc<[u8]>) -> ErrorPage {
    if message.is_empty() { ErrorPage::Silent } else { ErrorPage::Message(message) }
}

/// The values of a table by status; others are reported.
fn by_status<'n, 'd>(node: &'n Node<'d>, key: &str, cx: &mut Cx<'_>) -> Vec<(u16, &'n Val<'d>)> {
    let mut list = Vec::new();
    for entry in node.find(key).and_then(Val::table).map(|table| &table.entries[..]).unwrap_or_default() {
        match entry.name.parse().ok().filter(|status| ErrorPages::STATUSES.contains(status)) {
            Some(status) => list.push((status, &entry.value)),
            None => not_replaceable(entry.name, entry.key_at, cx),
        }
    }
    list
}

fn not_replaceable(status: &str, at: At, cx: &mut Cx<'_>) {
    let known = ErrorPages::STATUSES.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    cx.sink
        .error(codes::BAD_PAGE, at, format!("`{status}` is no status a page can be given for"))
        .hint(format!("there are {known}"));
}

fn location(value: &Val<'_>, cx: &mut Cx<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if text.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        cx.sink.error(codes::BAD_PAGE, value.at, "a location holds no blanks");
        return None;
    }
    Some(Arc::from(text))
}

/// Reads a file that holds a message of this status.
fn message(status: u16, value: &Val<'_>, library: &Library, cx: &mut Cx<'_>) -> Option<Arc<[u8]>> {
    let path = value.text()?;
    let bytes = match (library.read)(path.as_ref()) {
        Ok(bytes) => bytes,
        Err(error) => {
            cx.sink.error(codes::UNREADABLE_DATA, value.at, format!("cannot read {path}: {error}"));
            return None;
        }
    };
    match whole_message(bytes) {
        Ok(bytes) => Some(Arc::from(bytes)),
        Err(error) => {
            cx.sink
                .error(codes::BAD_PAGE, value.at, format!("{path} is not a whole HTTP message: {error}"))
                .hint(format!("it begins with `HTTP/1.1 {status} REASON`, then fields, a blank line and the body"));
            None
        }
    }
}

/// Checks a message and ends the lines of its head with CR LF; a bare LF is what editors write.
fn whole_message(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if bytes.is_empty() {
        return Ok(bytes);
    }
    if bytes.len() > defaults::MAX_PAGE_SIZE {
        return Err(format!("it is larger than {} KiB", defaults::MAX_PAGE_SIZE >> 10));
    }
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let mut rest = &bytes[..];
    let mut first = true;
    loop {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return Err("no blank line ends its head".to_owned());
        };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        rest = &rest[end + 1..];
        if first {
            status_line(line)?;
            first = false;
        } else if !line.is_empty() {
            let name = line.split(|byte| *byte == b':').next().filter(|name| name.len() < line.len());
            let sound = name.and_then(|name| std::str::from_utf8(name).ok()).is_some_and(super::is_token);
            if !sound || line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                return Err(format!("`{}` is no field", String::from_utf8_lossy(line)));
            }
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
        if line.is_empty() {
            out.extend_from_slice(rest);
            return Ok(out);
        }
    }
}

/// The status may be another than the one the page stands for: it is the one the client gets.
fn status_line(line: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(line).unwrap_or_default();
    let mut words = text.splitn(3, ' ');
    if !matches!(words.next(), Some("HTTP/1.0" | "HTTP/1.1")) {
        return Err("it does not begin with HTTP/1.1".to_owned());
    }
    match words.next().unwrap_or_default() {
        status if status.len() == 3 && matches!(status.parse(), Ok(200..=599)) => Ok(()),
        status => Err(format!("`{status}` is no status of a final answer")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages_are_whole() {
        let sound = |text: &str| whole_message(text.as_bytes().to_vec()).map(|b| String::from_utf8(b).unwrap());
        assert_eq!(
            sound("HTTP/1.0 503 Busy\nA: b\n\nbody\nmore").unwrap(),
            "HTTP/1.0 503 Busy\r\nA: b\r\n\r\nbody\nmore"
        );
        assert_eq!(sound("HTTP/1.1 503 \r\n\r\n").unwrap(), "HTTP/1.1 503 \r\n\r\n");
        assert_eq!(sound("").unwrap(), "");
        for (text, want) in [
            ("<h1>Busy</h1>\n\n", "does not begin"),
            ("HTTP/1.1 99 Odd\n\n", "`99` is no status"),
            ("HTTP/1.1\n\n", "`` is no status"),
            ("HTTP/1.1 503 Busy\nA: b\n", "no blank line"),
            ("HTTP/1.1 503 Busy", "no blank line"),
            ("HTTP/1.1 503 Busy\nno field\n\n", "`no field` is no field"),
            ("HTTP/1.1 503 Busy\n: b\n\n", "`: b` is no field"),
        ] {
            let error = sound(text).unwrap_err();
            assert!(error.contains(want), "{text:?}: {error}");
        }
    }

    #[test]
    fn arbitrary_bytes_end_in_a_message_or_an_error() {
        let seed = 0x5eed_9a6e;
        let mut rng = fastrand::Rng::with_seed(seed);
        let pieces: [&[u8]; 9] = [b"HTTP/1.1", b" 503", b" ok", b"\r\n", b"\n", b"A: b", b":", b"\0", b"\xff"];
        for round in 0..5000 {
            let text: Vec<u8> = (0..rng.usize(0..9)).flat_map(|_| pieces[rng.usize(0..9)].to_vec()).collect();
            if let Ok(message) = whole_message(text.clone()) {
                let head = memchr::memmem::find(&message, b"\r\n\r\n");
                assert!(text.is_empty() || head.is_some(), "seed {seed:#x} round {round} {text:?}");
            }
        }
    }
}
