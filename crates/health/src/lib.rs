//! Is a server well: the rise/fall [`Machine`], the probers, and the sentences that report a change.
//!
//! Called by the check loops of the backend crate, which own the timing. Never: traffic, logging, a decision about which
//! server serves. Invariant: a [`Report`] is bounded and printable whatever the server answered.
#![forbid(unsafe_code)]

mod compile;
mod grpc;
mod http;
mod link;
mod machine;
pub mod probe;
mod report;

pub use compile::{Compiled, compile};
pub use machine::{Change, Machine, jittered};
pub use report::{CheckStatus, Left, Report, change_line, describe};
