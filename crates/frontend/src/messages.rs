//! What becomes of messages besides rules: captures, the Host of old requests, `X-Forwarded-For`.
//!
//! Called by the transaction, and by `explain` and `[[test]]` with what they are told, so that both do the same.

use std::cell::RefCell;
use std::net::SocketAddr;

use evenkeel_acl::{AddressText, Slots};
use evenkeel_config::{Capture, CaptureCookie, ForwardFor};
use evenkeel_proto::{Head, Version};

pub use crate::reply::Answer;

/// `capture`: the last line of each field, cut to its length.
pub fn capture(slots: &[Capture], head: &Head, into: &RefCell<Slots>) {
    for (at, slot) in slots.iter().enumerate() {
        if let Some(value) = slot.header.as_ref().and_then(|name| head.get_last(name.as_bytes())) {
            into.borrow_mut().set(at, &value[..value.len().min(slot.len)]);
        }
    }
}

/// `capture.cookie`: `name=value` of the first cookie whose name begins as configured.
pub fn capture_cookie(wanted: Option<&CaptureCookie>, field: &[u8], head: &Head, into: &RefCell<Slots>, slot: usize) {
    let Some(wanted) = wanted else { return };
    let mut cookies = head.get_all(field).flat_map(|line| line.split(|&b| b == b';')).map(|pair| pair.trim_ascii());
    if let Some(pair) = cookies.find(|pair| pair.starts_with(wanted.name.as_bytes())) {
        into.borrow_mut().set(slot, &pair[..pair.len().min(wanted.len)]);
    }
}

/// A request of HTTP/1.0 may lack a Host; what we send is HTTP/1.1, which needs one (RFC 9112 §3.2).
pub fn host_of_old(req: &mut Head) {
    if req.version() == Version::Http10 && req.get(b"host").is_none() {
        let authority = req.authority().unwrap_or_default().to_vec();
        // Refused only when the head is full: the server then sees what the client sent.
        let _ = req.add(b"Host", &authority);
    }
}

/// `option.forwardfor`: a line of its own after all others; the backend's header name wins, `if-none` needs both to say so.
pub fn forwarded_for(req: &mut Head, src: Option<SocketAddr>, front: Option<&ForwardFor>, back: Option<&ForwardFor>) {
    let Some(header) = back.or(front).map(|f| &f.header) else { return };
    let Some(src) = src.map(|a| a.ip().to_canonical()) else { return };
    let asked = || [front, back].into_iter().flatten();
    if asked().any(|f| f.except.iter().any(|net| net.contains(&src))) {
        return;
    }
    if asked().all(|f| f.if_none) && req.get(header.as_bytes()).is_some() {
        return;
    }
    // An edit is refused only when the head is full, and then the header is left out.
    let _ = req.add(header.as_bytes(), AddressText::default().write(src));
}

/// The name in a Host value or an expression, lower-case and without its port; `None` for an address, which TLS does not ask for
/// by name (RFC 6066 §3).
pub fn host_name(value: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => text,
    };
    let address = name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok();
    (!name.is_empty() && !address).then(|| name.to_ascii_lowercase().into())
}
