//! The access log: what happened is collected in a [`Record`], written as one line, and handed to the log thread.
//!
//! Lines are formatted by the worker straight into its ring; nothing is allocated per line and traffic never waits.

mod date;
mod line;
mod ring;
mod sink;
mod stream;

pub use line::{Queues, Record, RequestLine, Times};
pub use ring::{INFO, LogPlan, Logs, Target};

pub(crate) use date::Dates;
