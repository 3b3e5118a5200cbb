//! A balancer you can question: `explain` (what would become of a request), `test` (the `[[test]]` blocks) and `why` (what
//! became of a past request).
//!
//! One pure engine ([`simulate`]) behind all three, so that they cannot disagree with each other, and the code of the live
//! path inside it, so that it cannot disagree with traffic. Called by the commands, by the supervisor for a running process
//! and before a reload. Never changes anything that traffic sees.

pub mod command;
mod effects;
mod ending;
mod engine;
mod entrance;
mod given;
mod live;
mod question;
mod secrets;
mod servers;
mod show;
mod verdict;
mod walk;
mod why;
mod words;

pub use engine::simulate;
pub use given::Given;
pub use live::explain as explain_live;
pub use question::{Question, Told};
pub use secrets::hide as hide_secrets;
pub use show::Style;
pub use verdict::{must_hold, run as run_tests};
pub use walk::Walk;
pub use why::{Wanted, none as nothing_past, past};

#[cfg(test)]
mod tests;
