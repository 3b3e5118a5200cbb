//! The traffic: workers, listeners, connections, the transaction, the access log.
//!
//! Owns [`Snapshot`] (one generation of the configuration, ready to serve), the worker threads that serve it, and what
//! they share ([`Process`], [`Frontends`]). Started and steered by the supervisor, read by admin. Never: parses
//! configuration, serves the operator, or lets one worker wait for another.
//!
//! To read a request's life in order: `listener` → `conn` → `establish` → `h1` or `h2` → `txn` → `attempt` → `upstream` → `exchange` → `finish`.

mod admit;
mod around;
mod arrival;
mod attempt;
mod bufs;
mod clock;
mod closing;
mod conn;
mod decision;
mod deliver;
mod end;
mod establish;
mod exchange;
mod exporter;
mod finish;
mod greeting;
mod h1;
mod h2;
mod judge;
mod lines;
mod listener;
mod log;
pub mod messages;
mod proxied;
mod pump;
mod relay;
mod reply;
mod resolve;
mod snapshot;
mod state;
mod tcp;
mod throttle;
mod timer;
mod txn;
mod upstream;
mod worker;

pub use around::rate_now;
pub use decision::{Captured, Decision, Decisions, KeptHeads, TrackedThen};
pub use end::{End, Entry as EndEntry, Fault, Stage, markdown as reasons_markdown};
pub use exporter::{Exporter, Scrape};
pub use listener::{BindError, BindState, open, probe};
pub use log::{LogPlan, Logs, Target};
pub use snapshot::{Entrance, Lasting, Snapshot};
pub use state::{Ends, Failure, Failures, FrontendState, Frontends, Gate, Process};
pub use upstream::destination;
pub use worker::{Command, Handle, Shared, Socket, spawn};
