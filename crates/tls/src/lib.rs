//! TLS: certificates, their names, keys and fates; what a bind offers and what a connection to a server asks.
//!
//! Owns everything made of rustls but the sessions themselves, which `wire` drives. Called by config (loading, with every
//! mistake reported), wire (handshakes), frontend and admin (facts, expiry). Never: sockets, a runtime, threads.
#![forbid(unsafe_code)]

pub mod codes;
mod dn;
pub mod facts;
pub mod files;
pub mod options;
pub mod problem;
pub mod roots;

pub use problem::{Problem, Severity};
