//! Names at run time: `[resolvers.NAME]` sections, their answers, and the questions to their name servers.
//!
//! A worker asks a [`Section`] ([`Section::ask`]): an answer that is known is given at once; for another the worker waits
//! ([`Coming`]) while the control thread ([`Desk`]) asks the name servers, once for however many wait. Owned by the
//! supervisor, which hands the [`Resolvers`] of a configuration to its snapshot. Never: rules, clients, what an address is
//! used for; the names of the file are resolved by config at load.
//!
//! Invariant: answers, questions under way and sockets are bounded by the section's own keys.

mod cache;
mod client;
mod message;
mod nameserver;
mod section;

pub use nameserver::{Nameserver, Spoken};
pub use section::{Asked, Coming, Desk, Resolvers, Section, Told, desk};

use std::net::IpAddr;
use std::sync::Arc;

/// The addresses of a name, in the order in which the name server gave them; never none.
type Addresses = Arc<[IpAddr]>;

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It does not exist (NXDOMAIN).
    Nx,
    /// The name servers refuse to answer (REFUSED).
    Refused,
    /// None of them answered.
    Timeout,
    /// Another error, an answer without an address, or one that cannot be read.
    Other,
}
