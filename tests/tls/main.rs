//! TLS from outside: which certificate is shown, whom the proxy believes, how handshakes go wrong, and what is said of it.
#![allow(clippy::unwrap_used)]

mod choice;
mod clients;
mod handshakes;
mod passing;
mod sessions;
mod setup;
mod upstream;
