//! TLS, HTTP/2 and the PROXY protocol, as far as they are settings of binds, servers and the process.
//!
//! What a certificate or a cipher is stands in the tls crate; here is who uses which options.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use evenkeel_acl::LogFormat as LogText;
use evenkeel_tls::options::ServerTls;

/// `proto`: what is spoken whatever was negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// HTTP/1.
    H1,
    /// HTTP/2; without TLS from the first byte on ("prior knowledge").
    H2,
}

impl Proto {
    /// As in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Proto::H1 => "h1",
            Proto::H2 => "h2",
        }
    }
}

/// `server.ws`: what a WebSocket to this server is carried by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ws {
    /// HTTP/1 where ALPN allows it, otherwise what the connection speaks.
    #[default]
    Auto,
    /// An HTTP/1 upgrade.
    H1,
    /// An extended CONNECT (RFC 8441).
    H2,
}

impl Ws {
    /// As in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Ws::Auto => "auto",
            Ws::H1 => "h1",
            Ws::H2 => "h2",
        }
    }
}

/// `bind.accept-proxy`: each connection begins with a PROXY header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptProxy {
    /// Who may connect here, by the address of the socket; empty: everybody.
    pub from: Vec<IpNet>,
}

/// `server.send-proxy`: each connection begins with a PROXY header.
#[derive(Clone, Debug, PartialEq)]
pub struct SendProxy {
    /// Text or binary.
    pub version: ProxyVersion,
    /// What version 2 tells besides the addresses.
    pub options: ProxyOptions,
    /// `set-proxy-v2-tlv-fmt`: further fields of version 2, by type.
    pub tlvs: Vec<(u8, Arc<LogText>)>,
}

/// Version of the PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary, with fields.
    V2,
}

/// `server.proxy-v2-options`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// Whether the client has TLS, its version, and whether it has a certificate.
    pub ssl: bool,
    /// The common name in the client's certificate.
    pub cert_cn: bool,
    /// The cipher suite.
    pub ssl_cipher: bool,
    /// The algorithm that signed our certificate.
    pub cert_sig: bool,
    /// The algorithm and size of our certificate's key.
    pub cert_key: bool,
    /// The name the client asked for.
    pub authority: bool,
    /// A checksum of the header.
    pub crc32c: bool,
    /// The id of the request.
    pub unique_id: bool,
}

/// `server.tls`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTls {
    /// What the connector is built from.
    pub options: ServerTls,
    /// Which name is asked for.
    pub sni: Sni,
}

/// The name asked for in the TLS handshake with a server. It is a part of the identity of a pooled connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Sni {
    /// None.
    None,
    /// The host of the request (`sni-auto`); none in tcp mode.
    Host,
    /// What this gives for the request; none when it is empty.
    Expr(Arc<LogText>),
}

/// `global.tune.h2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H2Tune {
    /// Connections of clients.
    pub fe: H2Side,
    /// Connections to servers.
    pub be: H2Side,
}

/// HTTP/2 of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H2Side {
    /// Streams at once on a connection (`max-concurrent-streams`).
    pub max_concurrent_streams: u32,
    /// Bytes the peer may send on a new stream before it is told more (`initial-window-size`).
    pub initial_window_size: u32,
    /// Bytes the peer may send on all streams of a connection (`rxbuf`).
    pub connection_window: u32,
    /// Bytes of the longest frame that is accepted (`max-frame-size`).
    pub max_frame_size: u32,
    /// Bytes of the table of header compression that the peer may use (`header-table-size`).
    pub header_table_size: u32,
    /// Streams after which a connection is ended gently; 0: never (`max-total-streams`).
    pub max_total_streams: u32,
    /// Oddities on a connection, each harmless alone, after which it is closed; 0: never (`glitches-threshold`).
    pub glitches_threshold: u32,
    /// RST_STREAM frames of the peer within a second after which the connection is closed; 0: never (`max-rst-at-once`).
    pub max_resets: u32,
    /// Frames without progress (SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA) within a second after which the connection
    /// is closed; 0: never (`max-frames-at-once`).
    pub max_control_frames: u32,
}

/// `global.tune.ssl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SslTune {
    /// How long a session may be resumed (`lifetime`).
    pub lifetime: Duration,
    /// Payload bytes of a record at the beginning of a burst; 0: full ones from the first on (`maxrecord`).
    pub max_record: usize,
    /// Payload bytes of any record; 0: 16384 (`hard-maxrecord`).
    pub hard_max_record: usize,
    /// Whether the ClientHello of each connection is kept for `ssl_fc_cipherlist_*` and its kin (`capture-buffer-size`).
    pub capture: bool,
    /// Whether session keys are written to the file that SSLKEYLOGFILE names (`keylog`).
    pub keylog: bool,
}
