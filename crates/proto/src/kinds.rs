//! The small values a message is described with.
//!
//! Used by everybody; holds no bytes. [`Framing`] is decided once, when a head is parsed, and written by the encoder:
//! nobody else reads or writes Content-Length and Transfer-Encoding.

/// The most fields a head may have, whatever [`Limits::max_headers`] says.
pub const MAX_FIELDS: usize = 128;

/// A request method; names are case-sensitive (RFC 9110 §9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `PATCH`
    Patch,
    /// Any other token; `Head::method_bytes` has it.
    #[default]
    Other,
}

impl Method {
    /// The method that `name` spells.
    #[inline]
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// Whether the method is defined as safe (RFC 9110 §9.2.1).
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// Whether repeating the request has the effect of one (RFC 9110 §9.2.2).
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}

/// The version the peer wrote; a higher minor version counts as 1.1 (RFC 9110 §6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2, whose messages are translated ([`crate::Head::set_version`]).
    Http2,
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body, and nothing is written about it.
    #[default]
    Empty,
    /// Exactly this many bytes.
    Length(u64),
    /// Chunks, then trailers.
    Chunked,
    /// Everything until the peer closes (responses only).
    UntilClose,
    /// No HTTP any more: 101, or 2xx to CONNECT.
    Tunnel,
}

/// The Connection field the encoder writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Connection {
    /// No field: the default of HTTP/1.1, which is to keep the connection.
    #[default]
    None,
    /// `Connection: close`
    Close,
    /// `Connection: keep-alive`, for peers that speak HTTP/1.0.
    KeepAlive,
    /// `Connection: upgrade` with the Upgrade field as received.
    Upgrade,
}

/// What became of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is there; `Head::surplus` has what follows it.
    Complete,
    /// More bytes are needed, and the block has room for them.
    Partial,
}

/// How big a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields; capped at [`MAX_FIELDS`].
    pub max_headers: usize,
    /// Bytes of the whole head, from the start line to the empty line. A smaller block limits it too.
    pub max_head: usize,
    /// Bytes of the request target.
    pub max_uri: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_headers: 101, max_head: 16_384, max_uri: 8_192 }
    }
}
