//! What a rule may look at.

use std::fmt;
use std::net::SocketAddr;

use evenkeel_proto::Head;

/// The moments at which rules run, in order; the same words in docs, logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// A connection was accepted.
    Accept,
    /// The TLS ClientHello is there.
    Hello,
    /// The request head is there.
    Request,
    /// Request body bytes are there.
    Body,
    /// A server was chosen.
    Server,
    /// The response head is there.
    Response,
    /// The transaction ended.
    Done,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Facts about the client connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Client address; `None` for Unix sockets.
    pub src: Option<SocketAddr>,
    /// Address the client connected to; `None` for Unix sockets.
    pub dst: Option<SocketAddr>,
    /// Frontend name.
    pub frontend: &'a str,
}

/// What a rule looks at and edits: a live request or a described one.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// The client connection.
    pub connection: Connection<'a>,
    /// The request head.
    pub request: &'a mut Head,
}
