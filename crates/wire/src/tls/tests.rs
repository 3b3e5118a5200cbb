//! Sessions against rustls's buffered connections, over socket pairs.
#![allow(clippy::unwrap_used)]

mod closing;
mod handshake;
mod hostile;
mod support;
mod traffic;
