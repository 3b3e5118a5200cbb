//! One table of raw client scripts, run against Evenkeel and against Debian's haproxy with the same configuration.
//!
//! A case says what the client sends, what it must get back and what the origin must have received; see [`case`] for the
//! words and [`run`] for how the two are compared. Every deliberate difference stands in the table with its reason, and
//! both behaviours are asserted.
#![allow(clippy::unwrap_used)]

mod case;
mod envelope;
mod line;
mod log;
mod run;
mod setup;
mod sheet;
mod table {
    pub mod bad_requests;
    pub mod bad_responses;
    pub mod balance;
    pub mod connection;
    pub mod errors;
    pub mod framing;
    pub mod headers;
    pub mod options;
    pub mod proxied;
    pub mod rules;
    pub mod sheets;
    pub mod tcp;
    pub mod upgrade;
}
