//! `[resolvers.NAME]`: name servers that are asked at run time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolvers {
    /// Its name.
    pub name: Arc<str>,
    /// Whom to ask, all at once.
    pub nameservers: Vec<Nameserver>,
    /// How often a question is put (`resolve-retries`).
    pub retries: u32,
    /// How long an answer is waited for each time (`timeout.retry`).
    pub retry: Duration,
    /// How long answers are used.
    pub hold: Hold,
    /// Bytes of the longest answer over UDP (`accepted-payload-size`).
    pub payload: u16,
    /// Names whose answers are kept (`max-names`).
    pub max_names: usize,
    /// Names that are asked for at once (`max-questions`).
    pub max_questions: usize,
}

/// A name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nameserver {
    /// Its name, by default its address.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// It is asked over TCP only.
    pub tcp: bool,
}

/// `hold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// How long an answer is used before the name is asked for again.
    pub valid: Duration,
    /// For how long after a valid answer NXDOMAIN changes nothing.
    pub nx: Duration,
    /// The same of REFUSED.
    pub refused: Duration,
    /// The same of no answer at all.
    pub timeout: Duration,
    /// The same of anything else.
    pub other: Duration,
}
