//! Health checks, as far as they are settings of servers: what is asked, how often, what must hold.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Proto, Server};

/// A health check.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What is asked.
    pub kind: CheckKind,
    /// Time between two checks of a server that is up (`inter`).
    pub interval: Duration,
    /// Time between two checks while the state changes (`fastinter`).
    pub fast_interval: Duration,
    /// Time between two checks of a server that is down (`downinter`).
    pub down_interval: Duration,
    /// Successes in a row that bring a server up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// Time for one whole check; unset: the interval (`timeout.check`).
    pub timeout: Duration,
    /// Port, when not the server's.
    pub port: Option<u16>,
    /// Address, when not the server's.
    pub addr: Option<IpAddr>,
    /// Random part of the interval, percent (`spread-checks`).
    pub jitter: u8,
    /// State before the first result (`init-state`).
    pub init: InitState,
    /// Whether it has TLS; `None`: see [`Check::has_tls`].
    pub tls: Option<bool>,
    /// The name it asks for with TLS; `None`: see [`Check::server_name`].
    pub sni: Option<Arc<str>>,
    /// Protocols it offers with TLS; empty: those of the server.
    pub alpn: Vec<Arc<[u8]>>,
    /// What it speaks; `None`: see [`Check::speaks`].
    pub proto: Option<Proto>,
    /// Whether it begins with a PROXY header; `None`: see [`Check::sends_proxy`].
    pub send_proxy: Option<bool>,
}

impl Check {
    /// Whether it goes elsewhere than traffic: then nothing is taken over from the server that is not asked for.
    fn is_elsewhere(&self) -> bool {
        self.port.is_some() || self.addr.is_some()
    }

    /// Whether it has TLS: as it says, else as its server, unless it goes elsewhere.
    pub fn has_tls(&self, server: &Server) -> bool {
        self.tls.unwrap_or(server.tls.is_some() && !self.is_elsewhere())
    }

    /// Whether it begins with a PROXY header: as it says, else as its server, unless it goes elsewhere.
    pub fn sends_proxy(&self, server: &Server) -> bool {
        self.send_proxy.unwrap_or(server.send_proxy.is_some() && !self.is_elsewhere())
    }

    /// The name it asks for with TLS: its own, else the host of its request without the port.
    pub fn server_name(&self) -> Option<&str> {
        let host = match &self.kind {
            _ if self.sni.is_some() => return self.sni.as_deref(),
            CheckKind::Http(http) => http.host.as_deref()?,
            CheckKind::Grpc(grpc) => grpc.host.as_deref()?,
            CheckKind::Tcp => return None,
        };
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => Some(name),
            _ => Some(host),
        }
    }

    /// What it speaks whatever is negotiated: as it says, else as its server, also where it goes elsewhere. Protocols of its
    /// own to offer leave it to the answer.
    pub fn speaks(&self, server: &Server) -> Option<Proto> {
        self.proto.or(server.proto.filter(|_| self.alpn.is_empty()))
    }
}

/// `init-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitState {
    /// Up, and the first failed check takes it down (HAProxy's default).
    Up,
    /// Up, with `fall` failures to go.
    FullyUp,
    /// Down, and the first passed check brings it up.
    Down,
    /// Down, with `rise` successes to go.
    FullyDown,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckKind {
    /// A TCP connect.
    Tcp,
    /// An HTTP request.
    Http(HttpCheck),
    /// A call of `grpc.health.v1.Health/Check`.
    Grpc(GrpcCheck),
}

/// A check of a gRPC server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCheck {
    /// The service asked about; empty: the server as a whole.
    pub service: Arc<str>,
    /// `:authority` of the call; absent: the name asked for with TLS, else the address.
    pub host: Option<Arc<str>>,
}

/// An HTTP check (`option httpchk`, `http-check send`).
#[derive(Clone, Debug, PartialEq)]
pub struct HttpCheck {
    /// Method.
    pub method: Arc<str>,
    /// Request target.
    pub uri: Arc<str>,
    /// `Host` header; given: HTTP/1.1, absent: HTTP/1.0 without one.
    pub host: Option<Arc<str>>,
    /// Further headers.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Request body.
    pub body: Option<Arc<str>>,
    /// What must hold; empty: status 200–399.
    pub expect: Vec<Expect>,
}

/// One expectation on the answer (`http-check expect`).
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// `!`: must not match.
    pub not: bool,
    /// What is looked at.
    pub what: ExpectWhat,
}

/// What an expectation looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectWhat {
    /// The status is in one of these inclusive ranges.
    Status(Vec<(u16, u16)>),
    /// The status text matches this regular expression (`rstatus`).
    StatusRegex(Pattern),
    /// The body contains this text (`string`).
    Body(Arc<str>),
    /// The body matches this regular expression (`rstring`).
    BodyRegex(Pattern),
    /// A header of this name whose value satisfies the match (`hdr`); `None`: present with any value.
    Header(Arc<str>, Option<ValueMatch>),
}

/// How a header value is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueMatch {
    /// One of these values.
    OneOf(Vec<Arc<str>>),
    /// A regular expression.
    Regex(Pattern),
}

/// A regular expression by its source; compared as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(pub Arc<str>);
