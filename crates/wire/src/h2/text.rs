//! Heads between HTTP/2 and the one message: HTTP/2 fields are written as an HTTP/1.1 head and go through its parser, so
//! that nothing reaches a rule or a server that HTTP/1 would refuse; on the way out a [`Head`] becomes fields.
//!
//! Called once per message and direction. Cookie crumbs are joined (RFC 9113 §8.2.3), an extended CONNECT becomes an
//! Upgrade (RFC 8441) and back. Never: a field that HTTP/2 forbids (§8.2.2), a name with an upper-case letter.

use bytes::Bytes;
use evenkeel_proto::{Buf, Framing, Head, Method, base64};
use h2::ext::Protocol;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode, Uri, request, response, uri};

/// The text does not fit the buffer: the head is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// The head cannot be said in HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsayable;

/// What a WebSocket handshake of HTTP/1.1 needs besides what HTTP/2 has (RFC 6455 §4.1): the key's value is of no meaning.
const WEBSOCKET_KEY: &[u8] = b"sec-websocket-key: ZXZlbmtlZWwgaDIgdG8gaA==\r\n";

/// Writes a request as HTTP/1.1. The target is in absolute form, so that rules see scheme and authority as the client sent
/// them; `ends` says that no body follows.
///
/// # Errors
/// [`TooLarge`] when `out` has no room for it.
pub fn request(parts: &request::Parts, ends: bool, out: &mut Buf) -> Result<(), TooLarge> {
    let upgrade = parts.extensions.get::<Protocol>();
    let mut out = Writer { out, full: false };
    let uri = &parts.uri;
    let host = parts.headers.get(http::header::HOST).map(HeaderValue::as_bytes);
    let authority = uri.authority().map(|a| a.as_str().as_bytes());
    // RFC 8441 §5: a GET on HTTP/1.1 is what an extended CONNECT is here.
    let method = if upgrade.is_some() { "GET" } else { parts.method.as_str() };
    out.put(method.as_bytes());
    out.put(b" ");
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match (parts.method == http::Method::CONNECT && upgrade.is_none(), authority) {
        (true, authority) => out.put(authority.or(host).unwrap_or_default()),
        (false, Some(authority)) if path.starts_with('/') => {
            out.put(uri.scheme_str().unwrap_or("http").as_bytes());
            out.put(b"://");
            out.put(authority);
            out.put(path.as_bytes());
        }
        (false, _) => out.put(path.as_bytes()),
    }
    out.put(b" HTTP/1.1\r\n");
    if host.is_none()
        && let Some(authority) = authority
    {
        out.field(b"host", authority);
    }
    let mut cookies = false;
    for (name, value) in &parts.headers {
        match name.as_str() {
            "cookie" => cookies = true,
            // Nobody but us and the server speaks HTTP/1.1 on the way: these are ours to say.
            "upgrade" | "connection" | "transfer-encoding" => {}
            name => out.field(name.as_bytes(), value.as_bytes()),
        }
    }
    if cookies {
        out.put(b"cookie: ");
        for (at, crumb) in parts.headers.get_all(http::header::COOKIE).iter().enumerate() {
            out.put(if at > 0 { b"; " } else { b"" });
            out.put(crumb.as_bytes());
        }
        out.put(b"\r\n");
    }
    match upgrade {
        Some(protocol) => {
            out.put(b"connection: upgrade\r\n");
            out.field(b"upgrade", protocol.as_str().as_bytes());
            if protocol.as_str() == "websocket" {
                out.put(WEBSOCKET_KEY);
            }
        }
        // A body whose length nobody knows is chunked on HTTP/1.1.
        None if ends || parts.headers.contains_key(http::header::CONTENT_LENGTH) => {}
        None if parts.method == http::Method::CONNECT => {}
        None => out.put(b"transfer-encoding: chunked\r\n"),
    }
    out.put(b"\r\n");
    if out.full { Err(TooLarge) } else { Ok(()) }
}

/// At least as many bytes as [`request()`] writes.
pub fn request_length(parts: &request::Parts) -> usize {
    // What is written around the fields: the line, Host, the framing, or an upgrade with its key.
    const AROUND: usize = 160;
    let uri = &parts.uri;
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let fields: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let scheme = uri.scheme_str().map_or(0, str::len);
    AROUND + parts.method.as_str().len() + scheme + 2 * authority + path + fields
}

/// Writes a response as HTTP/1.1; a 200 to an extended CONNECT as the 101 that HTTP/1.1 says instead (RFC 8441 §5).
///
/// # Errors
/// [`TooLarge`] when `out` has no room for it.
pub fn response(parts: &response::Parts, upgrading: Option<&Upgrade>, out: &mut Buf) -> Result<(), TooLarge> {
    let mut out = Writer { out, full: false };
    let switches = upgrading.filter(|_| parts.status == StatusCode::OK);
    out.put(b"HTTP/1.1 ");
    out.put(if switches.is_some() { b"101" } else { parts.status.as_str().as_bytes() });
    out.put(b" ");
    let reason = if switches.is_some() { "Switching Protocols" } else { parts.status.canonical_reason().unwrap_or("") };
    out.put(reason.as_bytes());
    out.put(b"\r\n");
    for (name, value) in &parts.headers {
        if switches.is_some() && matches!(name.as_str(), "content-length") {
            continue;
        }
        out.field(name.as_str().as_bytes(), value.as_bytes());
    }
    if let Some(upgrade) = switches {
        out.put(b"connection: upgrade\r\n");
        out.field(b"upgrade", &upgrade.protocol);
        if let Some(accept) = &upgrade.accept {
            out.field(b"sec-websocket-accept", accept);
        }
    }
    out.put(b"\r\n");
    if out.full { Err(TooLarge) } else { Ok(()) }
}

struct Writer<'b> {
    out: &'b mut Buf,
    full: bool,
}

impl Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.full |= self.out.extend_from_slice(bytes) < bytes.len();
    }

    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.put(name);
        self.put(b": ");
        self.put(value);
        self.put(b"\r\n");
    }
}

/// What an upgrade asked of an HTTP/2 server needs to be answered in HTTP/1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// `websocket`.
    pub protocol: Box<[u8]>,
    /// The value of `Sec-WebSocket-Accept` for the client's key.
    pub accept: Option<Box<[u8]>>,
}

impl Upgrade {
    /// What `req` asks for, when it asks.
    pub fn of(req: &Head) -> Option<Upgrade> {
        let protocol = req.upgrade()?.to_ascii_lowercase().into_boxed_slice();
        let accept = req.get(b"sec-websocket-key").map(|key| websocket_accept(key).into());
        Some(Upgrade { protocol, accept })
    }
}

/// RFC 6455 §4.2.2: the proof that the handshake was understood.
fn websocket_accept(key: &[u8]) -> Vec<u8> {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    let mut out = Vec::with_capacity(28);
    base64::encode(digest.as_ref(), &mut out);
    out
}

/// A request for a server that speaks HTTP/2: `scheme` as on the way to it.
///
/// # Errors
/// [`Unsayable`] for a target that is none in HTTP/2.
pub fn to_request(req: &Head, scheme: &uri::Scheme) -> Result<Request<()>, Unsayable> {
    let upgrade = req.upgrade();
    let mut request = Request::new(());
    let mut target = uri::Parts::default();
    // RFC 9113 §8.3.1: the authority is the Host's, which rules may have changed.
    let authority = req.get(b"host").or_else(|| req.authority()).unwrap_or_default();
    if !authority.is_empty() {
        target.authority =
            Some(uri::Authority::from_maybe_shared(Bytes::copy_from_slice(authority)).map_err(|_| Unsayable)?);
    }
    let connects = req.method() == Method::Connect;
    if !connects {
        let mut path = Vec::with_capacity(req.target().len());
        path.extend_from_slice(req.path());
        if let Some(query) = req.query() {
            path.push(b'?');
            path.extend_from_slice(query);
        }
        target.path_and_query = Some(path_and_query(path)?);
        target.scheme = Some(scheme.clone());
    }
    *request.uri_mut() = Uri::from_parts(target).map_err(|_| Unsayable)?;
    *request.method_mut() = match upgrade {
        Some(_) => http::Method::CONNECT,
        None => http::Method::from_bytes(req.method_bytes()).map_err(|_| Unsayable)?,
    };
    if let Some(protocol) = upgrade {
        let protocol = String::from_utf8(protocol.to_ascii_lowercase()).map_err(|_| Unsayable)?;
        request.extensions_mut().insert(Protocol::from(protocol.as_str()));
    }
    let headers = request.headers_mut();
    copy_fields(req, headers, |name| {
        name.eq_ignore_ascii_case(b"host") || (upgrade.is_some() && name.eq_ignore_ascii_case(b"sec-websocket-key"))
    })?;
    if let Framing::Length(n) = req.framing() {
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(n));
    }
    // The one thing HTTP/2 lets TE say (§8.2.2); gRPC asks for it.
    if req.get_all(b"te").any(|te| te.split(|&b| b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(b"trailers"))) {
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(request)
}

/// What HTTP/1 lets through and a URI does not have (RFC 3986 §2) is written as it should have been.
fn path_and_query(path: Vec<u8>) -> Result<uri::PathAndQuery, Unsayable> {
    let path = Bytes::from(path);
    uri::PathAndQuery::from_maybe_shared(path.clone()).or_else(|_| {
        let mut clean = Vec::with_capacity(path.len() + 16);
        for &byte in path.iter() {
            match byte {
                b'!' | b'$'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => clean.push(byte),
                _ => {
                    let digit = |n: u8| b"0123456789ABCDEF"[usize::from(n & 15)];
                    clean.extend([b'%', digit(byte >> 4), digit(byte)]);
                }
            }
        }
        uri::PathAndQuery::from_maybe_shared(Bytes::from(clean)).map_err(|_| Unsayable)
    })
}

/// A response for a client that speaks HTTP/2; `framing` is that of what follows.
///
/// # Errors
/// [`Unsayable`] for a status or a field that HTTP/2 has no form for.
pub fn to_response(res: &Head, framing: Framing) -> Result<Response<()>, Unsayable> {
    let mut response = Response::new(());
    // RFC 8441 §5: what answers an extended CONNECT is a 200.
    let switches = res.status() == 101;
    let status = if switches { 200 } else { res.status() };
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Unsayable)?;
    let headers = response.headers_mut();
    copy_fields(res, headers, |name| switches && name.eq_ignore_ascii_case(b"sec-websocket-accept"))?;
    if let Framing::Length(n) = framing {
        headers.entry(http::header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(n));
    }
    Ok(response)
}

/// Adds the fields of `head` but those that `skip` names; their values share one allocation.
fn copy_fields(head: &Head, headers: &mut HeaderMap, skip: impl Fn(&[u8]) -> bool) -> Result<(), Unsayable> {
    let mut block = Vec::with_capacity(head.head_len());
    let mut count = 0;
    for (_, value) in head.fields() {
        block.extend_from_slice(value);
        count += 1;
    }
    let mut rest = Bytes::from(block);
    headers.reserve(count + 2);
    for (name, value) in head.fields() {
        let value = rest.split_to(value.len());
        if !skip(name) {
            let name = HeaderName::from_bytes(name).map_err(|_| Unsayable)?;
            headers.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| Unsayable)?);
        }
    }
    Ok(())
}

/// Trailers as the lines of a chunked body (RFC 9112 §7.1.2); what may not trail is left out by who writes them.
pub fn trailer_lines(trailers: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in trailers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The fields of trailer lines, lower-case.
pub fn trailer_fields(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    }
    fields
}

#[cfg(test)]
mod tests;
