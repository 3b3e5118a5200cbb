//! Sections of name servers as operators see them.
//!
//! Filled by the caller once a picture; in metrics, in `/api/v1/stats`, and by `evenkeel resolvers`, which reads it back from the
//! control socket. Serialised as it stands, so a field's name is a contract.

use serde::{Deserialize, Serialize};

/// One `[resolvers.NAME]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolversView {
    /// Its name.
    pub name: String,
    /// Names the name servers were asked for.
    pub questions: u64,
    /// Questions answered from what was known.
    pub cache_hits: u64,
    /// Questions that failed because too many were under way (`max-questions`).
    pub refused: u64,
    /// Names whose answers are kept.
    pub names: usize,
    /// Names that are being asked for.
    pub asking: usize,
    /// Its name servers, in file order.
    pub nameservers: Vec<NameserverView>,
}

/// A name server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameserverView {
    /// Its name.
    pub name: String,
    /// Its address, with `tcp@` before it when it is asked over TCP only.
    pub address: String,
    /// Whether it answered lately, as far as anybody knows.
    pub answers: bool,
    /// Questions sent, repetitions included.
    pub sent: u64,
    /// Answers with an address.
    pub valid: u64,
    /// Answers that the name does not exist.
    pub nx: u64,
    /// Refusals to answer.
    pub refused: u64,
    /// Times no answer came within `timeout.retry`.
    pub timeout: u64,
    /// Other errors, answers without an address, answers that cannot be read.
    pub other: u64,
}
