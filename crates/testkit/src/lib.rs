//! What the black-box tests are written with: scripted origins, raw clients, and the proxies under test as processes.
//!
//! Used by tests only. Everything here is blocking code on threads, independent of the code under test: the little HTTP
//! reader in [`message`] shares nothing with the product's codec, so that both cannot be wrong in the same way.
//! Nothing waits for a fixed time. Every wait is for an event, and [`DEADLINE`] only bounds how long a failure takes.

use std::time::Duration;

mod client;
mod haproxy;
mod load;
pub mod message;
mod origin;
mod ports;
mod process;
mod proxy;
mod rng;
mod websocket;

pub use client::{End, RawClient};
pub use haproxy::Haproxy;
pub use load::{Load, Tally};
pub use message::{Head, Message};
pub use origin::{Act, Gate, Origin, Request, Script};
pub use ports::{DeadPort, free_port, free_ports};
pub use process::Process;
pub use proxy::{Proxy, binary};
pub use rng::Rng;
pub use websocket::{WsClient, WsEcho};

/// How long a test waits for an event that must come before it calls the test failed.
pub const DEADLINE: Duration = Duration::from_secs(20);
