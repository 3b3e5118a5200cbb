//! TLS: certificates, their names, keys and fates; what a bind offers and what a connection to a server asks.
//!
//! Owns everything made of rustls but the sessions themselves, which `wire` drives. Called by config (loading, with every
//! mistake reported), wire (handshakes), frontend and admin (facts, expiry). Never: sockets, a runtime, threads.
#![forbid(unsafe_code)]

pub mod cert;
pub mod codes;
pub mod connector;
pub mod crt_list;
mod der;
mod dn;
pub mod facts;
pub mod files;
pub mod keylog;
pub mod names;
pub mod ocsp;
pub mod options;
mod pem;
mod pinned;
pub mod policy;
pub mod problem;
pub mod roots;
pub mod sessions;
pub mod shared;
pub mod store;
pub mod terminator;
#[cfg(test)]
mod testing;
pub mod tickets;
pub mod verify;

pub use connector::Connector;
pub use problem::{Problem, Severity};
pub use shared::Shared;
pub use terminator::{Refused, Served, Terminator};
