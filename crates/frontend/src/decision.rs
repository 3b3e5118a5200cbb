//! What is remembered of past transactions so that `evenkeel why` can tell how they were decided: a bounded ring of each
//! worker, errors and slow ones always, of the others a sample.
//!
//! Metadata only: never a body, and the fields named in `global.why.redact` without their values. Written once, at the end
//! of a transaction, by its worker; read by the control thread. A record keeps the settings it was decided by, not the
//! configuration they were part of.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_acl::{Memo, Path, ProxyFacts, TlsFacts, Wire};
use evenkeel_config as config;
use evenkeel_proto::Head;
use parking_lot::Mutex;

use crate::end::End;
use crate::log::Times;

/// How a past transaction was decided, and what came of it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The id of the request: of `unique-id-format`, or made here.
    pub id: String,
    /// When its first byte came, in microseconds since 1970.
    pub began_us: i64,
    /// The configuration it was served under.
    pub generation: u64,
    /// The frontend as configured then.
    pub frontend: Arc<config::Frontend>,
    /// The backend as configured then, once chosen.
    pub backend: Option<Arc<config::Backend>>,
    /// The server that was used last.
    pub server: Option<Arc<str>>,
    /// Servers that did not do, with the reason.
    pub tried: Vec<(Arc<str>, End)>,
    /// Client address.
    pub src: Option<SocketAddr>,
    /// Address it connected to.
    pub dst: Option<SocketAddr>,
    /// What the client's connection spoke.
    pub wire: Wire,
    /// What its TLS handshake came to.
    pub tls: Option<Arc<TlsFacts>>,
    /// What its PROXY header said.
    pub proxied: Option<Arc<ProxyFacts>>,
    /// The heads as received, redacted and cut.
    pub heads: KeptHeads,
    /// What was captured.
    pub captured: Vec<Captured>,
    /// Which rules held.
    pub path: Path,
    /// The tracked stick-table entries.
    pub tracked: Vec<TrackedThen>,
    /// Times, in milliseconds.
    pub times: Times,
    /// Bytes from the client and to it.
    pub bytes: [u64; 2],
    /// Status the client got.
    pub status: Option<u16>,
    /// Why it ended.
    pub end: End,
    /// Attempts after the first.
    pub retries: u32,
}

/// What is kept of the heads of a transaction.
#[derive(Clone, Debug, Default)]
pub struct KeptHeads {
    /// That of the request; empty in TCP mode.
    pub request: Box<[u8]>,
    /// Whether it was cut.
    pub cut: bool,
    /// That of the server's answer; empty when there was none.
    pub response: Box<[u8]>,
    /// Whether it was cut.
    pub response_cut: bool,
}

/// A captured value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Of the response.
    pub of_response: bool,
    /// Number of the slot.
    pub slot: usize,
    /// The field it is taken from, where a key says so.
    pub field: Option<Arc<str>>,
    /// Its beginning.
    pub value: Vec<u8>,
}

/// A stick-table entry that was tracked.
#[derive(Clone, Debug)]
pub struct TrackedThen {
    /// Number of the counter.
    pub counter: usize,
    /// Table.
    pub table: Arc<str>,
    /// Key as text.
    pub key: String,
    /// What was stored at the end, by name.
    pub values: Vec<(String, u64)>,
}

/// Which transactions are kept.
pub(crate) struct Keep<'c>(pub(crate) &'c config::DecisionLog);

/// The heads of a transaction that may be kept.
pub(crate) enum Heads<'h> {
    /// Request and response.
    There(&'h Head, &'h Head),
    /// What is kept of them, since the buffers of a tunnel are given back; nothing in TCP mode.
    Kept(KeptHeads),
}

impl Heads<'_> {
    /// What is kept of heads that will be gone; nothing when nothing is remembered.
    pub(crate) fn detached(conf: &config::DecisionLog, req: &Head, res: &Head) -> Heads<'static> {
        Heads::Kept(if conf.entries == 0 { KeptHeads::default() } else { Heads::There(req, res).redacted(conf) })
    }

    /// Whether it is a connection that may live long, so that its length says nothing of its server.
    pub(crate) fn are_of_tunnel(&self) -> bool {
        matches!(self, Heads::Kept(_))
    }

    /// The heads as they may be kept.
    pub(crate) fn redacted(self, conf: &config::DecisionLog) -> KeptHeads {
        let (req, res) = match self {
            Heads::There(req, res) => (req, res),
            Heads::Kept(kept) => return kept,
        };
        let received = |head: &Head, room| {
            let bytes = head.block().filled().get(..head.head_len()).unwrap_or_default();
            Keep(conf).redacted(bytes, room)
        };
        let (request, cut) = received(req, Keep::HEAD);
        let (response, response_cut) =
            if res.is_complete() { received(res, Keep::RESPONSE) } else { (Vec::new(), false) };
        KeptHeads { request: request.into(), cut, response: response.into(), response_cut }
    }
}

impl Keep<'_> {
    /// Bytes of a request head that are kept.
    const HEAD: usize = 4096;
    /// Bytes of a response head that are kept.
    const RESPONSE: usize = 2048;
    /// Bytes of a captured value that are kept.
    const VALUE: usize = 128;
    /// Captured values.
    const CAPTURED: usize = 8;

    /// Whether a transaction like this is kept: `took_ms` says whether it was slow, `serial` counts those of its worker.
    pub(crate) fn wants(&self, end: End, status: Option<u16>, took_ms: i64, serial: u64) -> bool {
        let slow = || self.0.slow.is_some_and(|slow| took_ms >= 0 && took_ms as u128 >= slow.as_millis());
        self.0.entries > 0
            && (end.is_error()
                || status.is_some_and(|status| status >= 500)
                || slow()
                || (self.0.sample > 0 && serial.is_multiple_of(u64::from(self.0.sample))))
    }

    /// What was captured, but for secrets.
    pub(crate) fn captured(&self, captures: &config::Captures, memo: &Memo) -> Vec<Captured> {
        let sides = [
            (false, &captures.request, memo.captured_request.borrow()),
            (true, &captures.response, memo.captured_response.borrow()),
        ];
        let mut all = Vec::new();
        for (of_response, slots, values) in &sides {
            for (slot, capture) in slots.iter().enumerate() {
                let secret = |name: &Arc<str>| self.0.redact.iter().any(|field| field.eq_ignore_ascii_case(name));
                let Some(value) = values.get(slot).filter(|_| !capture.header.as_ref().is_some_and(secret)) else {
                    continue;
                };
                let value = value[..value.len().min(Self::VALUE)].to_vec();
                all.push(Captured { of_response: *of_response, slot, field: capture.header.clone(), value });
            }
        }
        all.truncate(Self::CAPTURED);
        all
    }

    /// The head as it may be kept, and whether it was cut.
    fn redacted(&self, head: &[u8], most: usize) -> (Vec<u8>, bool) {
        let mut kept = Vec::with_capacity(head.len().min(most) + REDACTED.len());
        for (at, line) in head.split_inclusive(|&b| b == b'\n').enumerate() {
            let colon = line.iter().position(|&b| b == b':').filter(|_| at > 0);
            let secret = colon.is_some_and(|colon| {
                let name = &line[..colon];
                self.0.redact.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
            });
            let room = most - kept.len();
            let length = if secret { colon.map_or(0, |colon| colon + REDACTED.len()) } else { line.len() };
            if length > room {
                kept.extend_from_slice(b"\r\n");
                return (kept, true);
            }
            match (secret, colon) {
                (true, Some(colon)) => {
                    kept.extend_from_slice(&line[..colon]);
                    kept.extend_from_slice(REDACTED);
                }
                _ => kept.extend_from_slice(line),
            }
        }
        (kept, false)
    }
}

/// What stands in place of a value that is not kept.
const REDACTED: &[u8] = b": (redacted)\r\n";

/// The records of one worker.
#[derive(Debug, Default)]
pub struct Decisions(Mutex<VecDeque<Decision>>);

impl Decisions {
    /// Keeps a record; the oldest of more than `limit` goes.
    pub(crate) fn push(&self, decision: Decision, limit: usize) {
        let mut ring = self.0.lock();
        while ring.len() >= limit.max(1) {
            ring.pop_front();
        }
        ring.push_back(decision);
    }

    /// When the oldest that is kept began, once one of `limit` was overwritten or is about to be.
    pub fn reach(&self, limit: usize) -> Option<i64> {
        let ring = self.0.lock();
        ring.front().filter(|_| ring.len() >= limit.max(1)).map(|oldest| oldest.began_us)
    }

    /// The newest that `wanted` picks, newest first. The worker waits meanwhile: `most` keeps it short.
    pub fn select(&self, most: usize, wanted: impl Fn(&Decision) -> bool) -> Vec<Decision> {
        self.0.lock().iter().rev().filter(|decision| wanted(decision)).take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn conf() -> config::DecisionLog {
        config::DecisionLog {
            entries: 8,
            sample: 10,
            slow: Some(Duration::from_secs(1)),
            redact: ["authorization", "cookie"].map(Arc::from).to_vec(),
        }
    }

    #[test]
    fn errors_and_slow_ones_are_always_kept() {
        let conf = conf();
        let keep = Keep(&conf);
        for (end, status, total, serial, wanted) in [
            (End::Normal, Some(200), 5, 1, false),
            (End::Normal, Some(200), 5, 20, true),
            (End::Normal, Some(200), 1000, 1, true),
            (End::Normal, Some(503), 5, 1, true),
            (End::Denied, Some(403), 5, 1, true),
            (End::Answered, Some(301), 5, 1, false),
            (End::Normal, None, -1, 1, false),
        ] {
            assert_eq!(keep.wants(end, status, total, serial), wanted, "{end:?} {status:?} {total} {serial}");
        }
        assert!(!Keep(&config::DecisionLog { entries: 0, ..conf.clone() }).wants(End::Denied, Some(403), 5, 10));
    }

    #[test]
    fn secrets_are_left_out_and_long_heads_cut() {
        let head = b"GET /a HTTP/1.1\r\nHost: a\r\nCOOKIE: secret=1\r\nX: y\r\n\r\n";
        let (kept, cut) = Keep(&conf()).redacted(head, Keep::HEAD);
        assert_eq!(kept, b"GET /a HTTP/1.1\r\nHost: a\r\nCOOKIE: (redacted)\r\nX: y\r\n\r\n");
        assert!(!cut);
        let long = [&head[..27], b"Long: ", &[b'x'; Keep::HEAD], b"\r\n\r\n"].concat();
        let (kept, cut) = Keep(&conf()).redacted(&long, Keep::HEAD);
        assert!(
            cut && kept.len() <= Keep::HEAD + 2 && kept.ends_with(b"\r\n\r\n"),
            "{}",
            String::from_utf8_lossy(&kept)
        );
    }
}
