//! How a transaction or connection ended: one small value that yields the code, the label of logs and metrics, whose fault it
//! was, the sentences a person reads, HAProxy's termination letters, and the status and `Proxy-Status` of an answer.
//!
//! Made where the fact is known (txn, upstream, exchange, relay), read by finish and by every exporter. Every mapping is a
//! total match or an index into the one table, so a new end cannot be forgotten anywhere.

use std::io;

use evenkeel_backend::{Admin, Group};
use evenkeel_proto::{Framing, Malformed};
use evenkeel_wire::HandshakeError;
use evenkeel_wire::h2::Flood;

mod manual;
mod table;

pub use manual::markdown;
pub use table::End;

/// What is known of one end.
#[derive(Debug)]
pub struct Entry {
    /// The end.
    pub end: End,
    /// `EV` and three digits; never changed, never given to another.
    pub code: &'static str,
    /// The word in logs and metrics; as lasting as the code.
    pub label: &'static str,
    /// Whose fault it was.
    pub fault: Fault,
    /// First of HAProxy's termination letters.
    pub letter: u8,
    /// What was going on.
    pub stage: Stage,
    /// The status a client gets when nothing of a response was sent, unless a rule names another; `None`: none is sent.
    pub status: Option<u16>,
    /// The error type of RFC 9209 section 2.3.
    pub proxy_status: Option<&'static str>,
    /// What happened.
    pub sentence: &'static str,
    /// What to do next.
    pub next: &'static str,
}

/// Whose fault an end was: who could have avoided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing failed.
    Nobody,
    /// The client, or its network.
    Client,
    /// The server, or the way to it.
    Server,
    /// The configuration, its rules and limits, and those of the machine.
    Operator,
    /// Evenkeel.
    Proxy,
    /// Somebody who took a server out of service.
    Admin,
}

impl Fault {
    /// The word in logs and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Fault::Nobody => "nobody",
            Fault::Client => "client",
            Fault::Server => "server",
            Fault::Operator => "operator",
            Fault::Proxy => "proxy",
            Fault::Admin => "admin",
        }
    }
}

/// What was going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Receiving the request.
    Request,
    /// Held by a tarpit rule.
    Tarpit,
    /// Waiting for a slot.
    Queue,
    /// Finding a server and connecting.
    Connect,
    /// Waiting for the response head.
    Headers,
    /// Moving data.
    Data,
    /// All done.
    Done,
}

impl Stage {
    fn letter(self) -> u8 {
        match self {
            Stage::Request => b'R',
            Stage::Tarpit => b'T',
            Stage::Queue => b'Q',
            Stage::Connect => b'C',
            Stage::Headers => b'H',
            Stage::Data => b'D',
            Stage::Done => b'-',
        }
    }

    /// The word in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Stage::Request => "request",
            Stage::Tarpit => "tarpit",
            Stage::Queue => "queue",
            Stage::Connect => "connect",
            Stage::Headers => "headers",
            Stage::Data => "data",
            Stage::Done => "done",
        }
    }
}

impl End {
    /// How many there are.
    pub const COUNT: usize = table::TABLE.len();

    /// Every end, in the order of its code.
    pub fn all() -> impl Iterator<Item = &'static Entry> {
        table::TABLE.iter()
    }

    /// The end whose code is `code`, in capitals.
    pub fn with_code(code: &str) -> Option<&'static Entry> {
        End::all().find(|e| e.code == code)
    }

    /// Its entry.
    #[inline]
    pub fn entry(self) -> &'static Entry {
        &table::TABLE[self as usize]
    }

    /// The first two letters of HAProxy's termination state.
    pub fn letters(self) -> [u8; 2] {
        let entry = self.entry();
        [entry.letter, entry.stage.letter()]
    }

    /// What was going on.
    pub fn stage(self) -> Stage {
        self.entry().stage
    }

    /// The status a client gets when nothing of a response was sent yet; `None`: the connection just closes.
    pub fn status(self) -> Option<u16> {
        self.entry().status
    }

    /// Whether something went wrong (`option.dontlog-normal` keeps such lines).
    #[inline]
    pub fn is_error(self) -> bool {
        self.entry().fault != Fault::Nobody
    }

    /// Whether the client closed or reset: nobody may be there to read an answer.
    pub(crate) fn client_left(self) -> bool {
        self.entry().letter == b'C'
    }

    /// Whether nothing was ever said: a probe, or a spare connection.
    pub(crate) fn is_silence(self) -> bool {
        matches!(self, End::ClientSilent | End::ClientClosedSilently)
    }

    /// Whether a TLS handshake with a client failed so.
    pub fn is_client_handshake(self) -> bool {
        matches!(
            self,
            End::TlsClientAlert
                | End::TlsClientCertificate
                | End::TlsClientClosed
                | End::TlsInternal
                | End::TlsLimit
                | End::TlsNoProtocol
                | End::TlsNothingShared
                | End::TlsNotTls
                | End::TlsPlainHttp
                | End::TlsProtocol
                | End::TlsTimeout
                | End::TlsUnknownName
        )
    }

    /// Why a handshake with a client failed.
    pub(crate) fn client_handshake(error: &HandshakeError) -> End {
        match error {
            HandshakeError::Alert(_) => End::TlsClientAlert,
            HandshakeError::Certificate(_) => End::TlsClientCertificate,
            HandshakeError::Closed | HandshakeError::Io(_) => End::TlsClientClosed,
            HandshakeError::NoProtocol => End::TlsNoProtocol,
            HandshakeError::NotTls => End::TlsNotTls,
            HandshakeError::NothingShared(_) => End::TlsNothingShared,
            HandshakeError::Ours(_) => End::TlsInternal,
            HandshakeError::Protocol(_) => End::TlsProtocol,
        }
    }

    /// Why a handshake with a server failed.
    pub(crate) fn server_handshake(error: &HandshakeError) -> End {
        match error {
            HandshakeError::Alert(_) => End::ServerTlsAlert,
            HandshakeError::Certificate(_) => End::ServerTlsCertificate,
            HandshakeError::Closed | HandshakeError::Io(_) => End::ServerTlsClosed,
            HandshakeError::NoProtocol
            | HandshakeError::NotTls
            | HandshakeError::NothingShared(_)
            | HandshakeError::Protocol(_) => End::ServerTlsProtocol,
            HandshakeError::Ours(_) => End::TlsInternal,
        }
    }

    /// A client passed a budget of HTTP/2.
    pub(crate) fn flood(flood: Flood) -> End {
        match flood {
            Flood::Resets => End::H2Resets,
            Flood::Settings => End::H2Settings,
            Flood::Pings => End::H2Pings,
            Flood::EmptyData => End::H2EmptyData,
            Flood::Continuations => End::H2Continuations,
            Flood::Windows => End::H2Windows,
        }
    }

    /// Whether the client left or was silent too long.
    pub(crate) fn client_failed(self) -> bool {
        matches!(self.entry().letter, b'C' | b'c')
    }

    /// Why a request is refused: a head with the status of [`Malformed::status`], a body with 400.
    pub(crate) fn bad_request(why: Malformed) -> End {
        match why {
            Malformed::BareLf | Malformed::BareCr => End::RequestBadLineEnd,
            Malformed::BadMethod | Malformed::BadTarget | Malformed::FragmentInTarget | Malformed::BadStatusLine => {
                End::RequestBadLine
            }
            Malformed::BadVersion => End::RequestBadVersion,
            Malformed::Http2Preface => End::RequestHttp2Preface,
            Malformed::ObsFold
            | Malformed::SpaceBeforeColon
            | Malformed::BadFieldName
            | Malformed::BadFieldValue
            | Malformed::TooManyConnectionOptions => End::RequestBadField,
            Malformed::TargetTooLong => End::RequestTargetTooLong,
            Malformed::TooManyFields => End::RequestTooManyFields,
            Malformed::HeadTooLarge => End::RequestHeadTooLarge,
            Malformed::MissingHost | Malformed::DuplicateHost | Malformed::BadHost | Malformed::HostMismatch => {
                End::RequestBadHost
            }
            Malformed::BadContentLength
            | Malformed::ConflictingContentLength
            | Malformed::LengthAndTransferEncoding
            | Malformed::TransferEncodingInHttp10 => End::RequestBadFraming,
            Malformed::BadTransferEncoding => End::RequestUnknownCoding,
            Malformed::BodyNotAllowed => End::RequestBodyNotAllowed,
            Malformed::ChunkTooLarge => End::RequestChunkTooLarge,
            Malformed::TrailersTooLarge => End::RequestTrailersTooLarge,
            Malformed::BadChunkSize
            | Malformed::ChunkExtensionTooLong
            | Malformed::BadChunkEnd
            | Malformed::BadTrailer => End::RequestBadChunk,
            Malformed::TruncatedBody => End::ClientClosedInBody,
        }
    }

    /// Why a response is refused of which the client has seen nothing.
    pub(crate) fn bad_response(why: Malformed) -> End {
        match why {
            Malformed::BadStatusLine
            | Malformed::BadVersion
            | Malformed::BadMethod
            | Malformed::BadTarget
            | Malformed::FragmentInTarget
            | Malformed::Http2Preface
            | Malformed::TargetTooLong => End::ResponseBadStatusLine,
            Malformed::BareLf
            | Malformed::BareCr
            | Malformed::ObsFold
            | Malformed::SpaceBeforeColon
            | Malformed::BadFieldName
            | Malformed::BadFieldValue
            | Malformed::MissingHost
            | Malformed::DuplicateHost
            | Malformed::BadHost
            | Malformed::HostMismatch
            | Malformed::TooManyConnectionOptions => End::ResponseBadField,
            Malformed::TooManyFields | Malformed::HeadTooLarge => End::ResponseHeadTooLarge,
            Malformed::BadContentLength
            | Malformed::ConflictingContentLength
            | Malformed::LengthAndTransferEncoding
            | Malformed::TransferEncodingInHttp10
            | Malformed::BadTransferEncoding
            | Malformed::BodyNotAllowed
            | Malformed::BadChunkSize
            | Malformed::ChunkTooLarge
            | Malformed::ChunkExtensionTooLong
            | Malformed::BadChunkEnd
            | Malformed::BadTrailer
            | Malformed::TrailersTooLarge
            | Malformed::TruncatedBody => End::ResponseBadFraming,
        }
    }

    /// The server closed in the middle of a response body of this framing.
    pub(crate) fn response_cut(framing: Framing) -> End {
        match framing {
            Framing::Length(_) => End::ResponseCutShort,
            Framing::Chunked => End::ResponseChunksCut,
            // The end of the connection is the end of such a message: only a reset can cut it.
            Framing::Empty | Framing::UntilClose | Framing::Tunnel => End::ServerResetInResponse,
        }
    }

    /// Why a connection could not be made.
    pub(crate) fn connect_failed(error: &io::Error) -> End {
        // The numbers of the operating system are no closed list: what is not known here is named by the general entry.
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => End::ConnectRefused,
            Some(libc::ECONNRESET | libc::ECONNABORTED | libc::EPIPE) => End::ConnectReset,
            Some(libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN) => End::ConnectUnreachable,
            Some(libc::ETIMEDOUT) => End::ConnectTimeout,
            Some(libc::ENOENT) => End::ConnectNoSocket,
            Some(libc::EACCES | libc::EPERM) => End::ConnectNotPermitted,
            Some(libc::EADDRNOTAVAIL) => End::NoLocalPort,
            Some(libc::EMFILE | libc::ENFILE) => End::NoDescriptor,
            Some(libc::ENOBUFS | libc::ENOMEM) => End::NoMemory,
            Some(_) | None => End::ConnectFailed,
        }
    }

    /// Why no server of `group` may take traffic.
    pub(crate) fn no_server(group: &Group) -> End {
        End::none_of(group.slots.iter().map(|slot| (slot.server.is_usable(), slot.conf.weight, slot.server.admin())))
    }

    /// Why none of these servers may take traffic: of each whether it is usable, its weight, and what the operator wants.
    pub fn none_of(servers: impl Iterator<Item = (bool, u16, Admin)> + Clone) -> End {
        if servers.clone().next().is_none() {
            End::BackendEmpty
        } else if servers.clone().any(|(usable, weight, _)| usable && weight == 0) {
            End::ServersWeightless
        } else if servers.clone().any(|(_, _, admin)| admin == Admin::Ready) {
            End::ServersDown
        } else {
            End::ServersInMaintenance
        }
    }
}

#[cfg(test)]
mod tests;
