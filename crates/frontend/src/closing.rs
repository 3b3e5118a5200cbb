//! The end of a transaction: its counters and its log line, in one place, from one [`End`](crate::end::End).
//!
//! Called by txn when the answer is out or the tunnel is over.

use std::sync::Arc;

use evenkeel_acl::{Body, LogFormat, Memo, Phase, Progress};
use evenkeel_backend::Group;
use evenkeel_proto::{Buf, Limits};

use crate::around::{Around, Parts};
use crate::conn::Conn;
use crate::finish::{Tally, Told};
use crate::log::RequestLine;
use crate::snapshot::Entrance;
use crate::txn::Txn;

/// What is kept of a transaction while a tunnel runs: what rules left behind, and the head if `log-format` may ask for it.
pub(crate) struct Kept {
    memo: Memo,
    head: Vec<u8>,
}

impl Kept {
    /// Takes it out of `txn`, whose buffers can then be given back.
    pub(crate) fn of(txn: &mut Txn, entrance: &Entrance) -> Kept {
        let head = match entrance.conf.log_text {
            Some(_) => txn.req.block().filled().get(..txn.req.head_len()).unwrap_or_default().to_vec(),
            None => Vec::new(),
        };
        Kept { memo: std::mem::take(&mut txn.memo), head }
    }

    /// Puts it back, the head as it was received and in a block of its size; `limits` are those it was parsed with.
    pub(crate) fn back_into(self, txn: &mut Txn, limits: &Limits) {
        txn.memo = self.memo;
        if !self.head.is_empty() {
            let mut block = Buf::with_capacity(self.head.len());
            block.extend_from_slice(&self.head);
            txn.req.replace_block(block);
            // It was parsed before with the same limits.
            let _ = txn.req.parse_request(limits);
        }
    }
}

/// Where the request line for the log comes from.
pub(crate) enum Line<'a> {
    /// The request, its target cut to so many bytes.
    Of(usize),
    /// What was kept of it.
    Kept(RequestLine<'a>),
}

/// Counters and the log line: in one place, from one [`End`].
pub(crate) fn close_books(
    conn: &mut Conn,
    txn: &mut Txn,
    tally: &mut Tally,
    entrance: &Entrance,
    group: Option<&Arc<Group>>,
    line: Line<'_>,
) {
    tally.count(&conn.admission.worker, entrance, group);
    tally.count_tracked(conn, &txn.memo, &entrance.counted);
    if entrance.log.targets.is_empty() {
        return;
    }
    let level = txn.memo.wishes.log_level;
    let text = entrance.conf.log_text.as_ref().map(|format| own_line(format, conn, txn, tally, entrance, group));
    let line = match line {
        Line::Of(cut) => RequestLine::of(&txn.req, cut),
        Line::Kept(line) => line,
    };
    tally.log(conn, entrance, group, Some(line), Told { text: text.as_deref(), level });
}

/// The line as `format` has it.
fn own_line(
    format: &LogFormat,
    conn: &mut Conn,
    txn: &mut Txn,
    tally: &Tally,
    entrance: &Entrance,
    group: Option<&Arc<Group>>,
) -> Vec<u8> {
    let Conn { session, admission, .. } = conn;
    let worker = &admission.worker;
    let local = worker.local();
    let Txn { req, res, memo, body, whole, .. } = txn;
    let letters = tally.end.letters();
    let letters = [letters[0], letters[1], b'-', b'-'];
    let letters = std::str::from_utf8(&letters).unwrap_or_default();
    let progress = Progress {
        log_uri_len: local.snapshot.config.global.tune.log_uri_len,
        ..tally.outcome(worker, entrance, group.map(|group| &**group), letters)
    };
    let body = Body { bytes: body, complete: *whole };
    let res = res.is_complete().then_some(res);
    let parts = Parts { session, memo, req, res, body, last: true };
    let mut line = Vec::with_capacity(256);
    let around = Around { snapshot: &local.snapshot, worker };
    around.look(parts, progress, Phase::Done, |ctx| format.write(ctx, &mut line));
    line
}
