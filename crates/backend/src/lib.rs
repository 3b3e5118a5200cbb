//! The other side: servers, their state, and the way to them.
//!
//! Owns the [`Registry`] of server and backend state that survives a reload, the per-snapshot [`Group`], the [`Lease`] that
//! counts a request in flight, the queue, the idle-connection [`Pools`], dialling, and the health-check loops.
//! Called by frontend (traffic) and the supervisor (build, checks). Never evaluates rules and never sees a client.
//!
//! Invariant: every count of work in flight is a guard, so a cancelled future leaves nothing behind.

mod announce;
mod checker;
mod dial;
mod group;
mod lease;
mod pool;
mod queue;
mod registry;
mod server;

pub use announce::{AnnouncedTls, Announcement, announce, greet};
pub use checker::{Checker, Notice, NoticeSink};
pub use dial::dial;
pub use group::{Chooser, Group, Slot};
pub use lease::Lease;
pub use pool::{Aim, Dial, Idle, Pools, Share, Wait};
pub use queue::{Rank, Waiter};
pub use registry::Registry;
pub use server::{Admin, BackendState, CheckState, Server};
