//! What the black-box tests are written with: scripted origins, raw clients, and the proxies under test as processes.
//!
//! Used by tests only. Everything here is blocking code on threads, independent of the code under test: the little HTTP
//! reader in [`message`] shares nothing with the product's codec, and [`H2`] with [`frames`] and [`hpack`] nothing with the
//! library that the product uses, so that both cannot be wrong in the same way.
//! Nothing waits for a fixed time. Every wait is for an event, and [`DEADLINE`] only bounds how long a failure takes.

use std::time::Duration;

mod ask;
mod call;
pub mod certs;
mod client;
mod dns;
pub mod frames;
mod h2;
mod haproxy;
pub mod hpack;
mod load;
pub mod message;
mod origin;
mod ports;
mod process;
mod proxy;
mod rng;
mod strict;
pub mod tls;
mod websocket;

pub use ask::{Ask, Payload, Proto, Response, Via};
pub use call::{Call, Client};
pub use client::{End, RawClient};
pub use dns::{Asked, NameServer, Says};
pub use h2::{Event, H2, H2Options};
pub use haproxy::Haproxy;
pub use load::{Load, Tally};
pub use message::{Head, Message};
pub use origin::{Act, Gate, Origin, OriginOptions, Request, Script};
pub use ports::{DeadPort, free_port, free_ports};
pub use process::Process;
pub use proxy::{Proxy, binary};
pub use rng::Rng;
pub use tls::{Session, TlsClient, TlsClientOptions, TlsServer};
pub use websocket::{WsClient, WsEcho};

/// How long a test waits for an event that must come before it calls the test failed.
pub const DEADLINE: Duration = Duration::from_secs(20);
