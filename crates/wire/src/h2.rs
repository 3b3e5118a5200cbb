//! HTTP/2 (RFC 9113) over the `h2` crate: connections, and the streams in them as byte streams with a head.
//!
//! Owns the translation between [`evenkeel_proto::Head`] and HTTP/2's fields ([`text`]), one stream of either side
//! ([`Stream`]), connections to servers that many requests share ([`Multiplexed`]), the adapter that gives `h2` our
//! sockets ([`Io`]), and the budgets that a peer's frames are counted against ([`Budget`]). Never: waits without its caller's
//! timer, or lets a field pass that HTTP/1 could read in another way: what comes in goes through the HTTP/1 parser.

mod budget;
mod client;
mod io;
mod ping;
mod stream;
pub mod text;

pub use budget::{Budget, Flood, Scanner};
pub use http::uri::Scheme;

pub use client::{ClientSettings, Multiplexed};
pub use io::{Io, Watch};
pub use ping::IdlePing;
pub use stream::{Answered, Gone, Stream};
pub use text::TooLarge;

/// INTERNAL_ERROR (RFC 9113 §7).
pub const INTERNAL_ERROR: u32 = 2;
/// CANCEL.
pub const CANCEL: u32 = 8;
/// ENHANCE_YOUR_CALM.
pub const ENHANCE_YOUR_CALM: u32 = 11;
