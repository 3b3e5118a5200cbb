//! What carries bytes between us and a peer: sockets, TLS sessions over them, HTTP/2 streams in them.
//!
//! Owns [`Stream`], the one byte stream that pumps and relays know. Called by backend (dialling, pools) and frontend
//! (clients). Never: decides who is let in, chooses a server, or knows a timeout; a caller bounds every wait.

pub mod h2;
mod socket;
mod stream;
mod tls;

pub use socket::Socket;
pub use stream::Stream;
pub use tls::{HandshakeError, HelloRead, RecordSizes, SessionError, TlsStream, poll_hello};
