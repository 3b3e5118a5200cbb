//! Why a session failed, and whose fault it was.

use std::{fmt, io};

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};

/// Why a handshake did not come to its end. Our alert, where one is due, was sent as far as the socket took it.
#[derive(Debug)]
pub enum HandshakeError {
    /// The peer refused us by this fatal alert (RFC 8446 §6.2).
    Alert(u8),
    /// We refused the peer's certificate, or it showed none.
    Certificate(Error),
    /// The peer closed before the end.
    Closed,
    /// Of the socket.
    Io(io::Error),
    /// The peer offers no protocol (ALPN) that we do.
    NoProtocol,
    /// The bytes are no TLS at all.
    NotTls,
    /// Neither version, cipher suite, group nor signature scheme in common.
    NothingShared(PeerIncompatible),
    /// We cannot go on: no randomness, no time, a key that does not sign.
    Ours(Error),
    /// The peer broke the protocol.
    Protocol(Error),
}

/// What rustls ended an established session for; the source of the `io::Error` of a read or write.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionError(pub Error);

impl From<Error> for HandshakeError {
    fn from(error: Error) -> Self {
        match error {
            Error::AlertReceived(alert) => HandshakeError::Alert(number(alert)),
            Error::NoCertificatesPresented
            | Error::InvalidCertificate(_)
            | Error::InvalidCertRevocationList(_)
            | Error::UnsupportedNameType => HandshakeError::Certificate(error),
            Error::PeerIncompatible(what) => HandshakeError::NothingShared(what),
            Error::NoApplicationProtocol => HandshakeError::NoProtocol,
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                HandshakeError::NotTls
            }
            Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::InvalidEncryptedClientHello(_)
            | Error::PeerMisbehaved(_)
            | Error::DecryptError
            | Error::PeerSentOversizedRecord => HandshakeError::Protocol(error),
            other => HandshakeError::Ours(other),
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        HandshakeError::Io(error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Alert(alert) => {
                write!(f, "the peer refused with alert {alert} ({:?})", AlertDescription::from(*alert))
            }
            HandshakeError::Certificate(e) => write!(f, "the peer's certificate was refused: {e}"),
            HandshakeError::Closed => f.write_str("the peer closed before the handshake was over"),
            HandshakeError::Io(e) => write!(f, "the connection failed: {e}"),
            HandshakeError::NoProtocol => f.write_str("the peer offers no application protocol (ALPN) that is enabled"),
            HandshakeError::NotTls => f.write_str("the peer does not speak TLS"),
            HandshakeError::NothingShared(e) => write!(f, "nothing in common with the peer: {e:?}"),
            HandshakeError::Ours(e) => write!(f, "the handshake cannot go on: {e}"),
            HandshakeError::Protocol(e) => write!(f, "the peer broke the protocol: {e}"),
        }
    }
}

impl std::error::Error for HandshakeError {}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS: {}", self.0)
    }
}

impl std::error::Error for SessionError {}

impl From<SessionError> for io::Error {
    fn from(error: SessionError) -> Self {
        let kind = match error.0 {
            Error::AlertReceived(_) => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

fn number(alert: AlertDescription) -> u8 {
    u8::from(alert)
}
