//! One name server as seen so far: what was asked and answered, and whether it answers at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use evenkeel_config as config;

use crate::Failure;

/// A name server of a section.
#[derive(Debug)]
pub struct Nameserver {
    /// Settings.
    pub conf: config::Nameserver,
    /// The section, for the log.
    section: Arc<str>,
    sent: AtomicU64,
    valid: AtomicU64,
    nx: AtomicU64,
    refused: AtomicU64,
    timeout: AtomicU64,
    other: AtomicU64,
    /// Questions in a row that it did not answer in time.
    unanswered: AtomicU32,
}

/// What was asked of name servers, and what they said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
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

/// Unanswered questions in a row after which a name server is said to be silent: one datagram may get lost.
const SILENT: u32 = 3;

impl Nameserver {
    pub(crate) fn new(section: &Arc<str>, conf: &config::Nameserver) -> Nameserver {
        Nameserver {
            conf: conf.clone(),
            section: section.clone(),
            sent: AtomicU64::new(0),
            valid: AtomicU64::new(0),
            nx: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            timeout: AtomicU64::new(0),
            other: AtomicU64::new(0),
            unanswered: AtomicU32::new(0),
        }
    }

    /// What it was asked and said.
    pub fn spoken(&self) -> Spoken {
        Spoken {
            sent: self.sent.load(Relaxed),
            valid: self.valid.load(Relaxed),
            nx: self.nx.load(Relaxed),
            refused: self.refused.load(Relaxed),
            timeout: self.timeout.load(Relaxed),
            other: self.other.load(Relaxed),
        }
    }

    /// Whether it answered lately, as far as anybody knows.
    pub fn answers(&self) -> bool {
        self.unanswered.load(Relaxed) < SILENT
    }

    pub(crate) fn asked(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    /// It answered; told once when nobody expected it any more.
    pub(crate) fn answered(&self, failure: Option<Failure>) {
        let kind = match failure {
            None => &self.valid,
            Some(Failure::Nx) => &self.nx,
            Some(Failure::Refused) => &self.refused,
            Some(Failure::Timeout | Failure::Other) => &self.other,
        };
        kind.fetch_add(1, Relaxed);
        if self.unanswered.swap(0, Relaxed) >= SILENT {
            tracing::info!("resolvers {}: the name server {} answers again", self.section, self.conf.name);
        }
    }

    /// It said nothing in time; told once.
    pub(crate) fn was_silent(&self, trouble: Option<&str>) {
        self.timeout.fetch_add(1, Relaxed);
        // Only the control thread counts here.
        let times = self.unanswered.load(Relaxed).saturating_add(1);
        self.unanswered.store(times, Relaxed);
        if times == SILENT {
            let why = trouble.map_or_else(String::new, |trouble| format!(" ({trouble})"));
            tracing::warn!(
                "resolvers {}: the name server {} ({}) does not answer{why}; look whether it runs and whether the way \
                 to it is open",
                self.section,
                self.conf.name,
                self.conf.address
            );
        }
    }
}
