//! What must hold whatever the protocols: each test is one body, run over every pair of {h1, h2} x {h1, h2}, in clear and over TLS.
#![allow(clippy::unwrap_used)]

mod bodies;
mod ends;
mod messages;
mod rules;
mod setup;
mod tunnels;
