//! The end of a transaction: its counters and its log line, in one place, from one [`End`](crate::end::End).
//!
//! Called by txn when the answer is out or the tunnel is over.

use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::{Body, Memo};
use evenkeel_backend::Group;
use evenkeel_config::LogStep;
use evenkeel_proto::{Buf, Head, Limits};

use crate::around::Parts;
use crate::conn::Conn;
use crate::finish::Tally;
use crate::lines::Moment;
use crate::log::RequestLine;
use crate::snapshot::Entrance;
use crate::txn::Txn;
use crate::worker::Worker;

/// What is kept of a transaction while a tunnel runs: what rules left behind, and the head if `log-format` may ask for it.
pub(crate) struct Kept {
    memo: Memo,
    head: Vec<u8>,
}

impl Kept {
    /// Takes it out of `txn`, whose buffers can then be given back.
    pub(crate) fn of(txn: &mut Txn, entrance: &Entrance) -> Kept {
        let head = match entrance.log.texts {
            true => txn.req.block().filled().get(..txn.req.head_len()).unwrap_or_default().to_vec(),
            false => Vec::new(),
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
    /// The head of the request, which is there.
    OfHead,
    /// What was kept of it.
    Kept(RequestLine<'a>),
}

/// Counters and the log line: in one place, from one [`End`](crate::end::End).
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
    let line = match line {
        Line::OfHead => None,
        Line::Kept(line) => Some(line),
    };
    let Conn { session, admission, .. } = conn;
    let Txn { req, res, memo, body, whole, .. } = txn;
    let body = Body { bytes: body, complete: *whole, ..Body::default() };
    let res = res.is_complete().then_some(res);
    log_end(&admission.worker, tally, entrance, group, line, Parts { session, memo, req, res, body, last: true });
}

/// The log line of a connection in TCP mode.
pub(crate) fn log_tcp(
    conn: &mut Conn,
    memo: &mut Memo,
    tally: &mut Tally,
    entrance: &Entrance,
    group: Option<&Arc<Group>>,
) {
    if entrance.log.targets.is_empty() {
        return;
    }
    let (worker, session) = (&conn.admission.worker, &mut conn.session);
    let req = &mut Head::new();
    log_end(
        worker,
        tally,
        entrance,
        group,
        None,
        Parts { session, memo, req, res: None, body: Body::default(), last: true },
    );
}

/// The log line of a connection that failed before its request was there.
pub(crate) fn log_error(conn: &mut Conn, tally: &mut Tally, entrance: &Entrance) {
    let Conn { session, admission, .. } = conn;
    let (memo, req) = (&mut Memo::default(), &mut Head::new());
    let parts = Parts { session, memo, req, res: None, body: Body::default(), last: true };
    log(LogStep::Error, &admission.worker, tally, entrance, None, None, parts);
}

fn log_end(
    worker: &Rc<Worker>,
    tally: &mut Tally,
    entrance: &Entrance,
    group: Option<&Arc<Group>>,
    line: Option<RequestLine<'_>>,
    parts: Parts<'_>,
) {
    tally.leave_backend();
    if !tally.logged && entrance.log.has(LogStep::Close) {
        log(LogStep::Close, worker, tally, entrance, group, line, parts);
    }
}

fn log(
    step: LogStep,
    worker: &Rc<Worker>,
    tally: &Tally,
    entrance: &Entrance,
    group: Option<&Arc<Group>>,
    line: Option<RequestLine<'_>>,
    parts: Parts<'_>,
) {
    let local = worker.local();
    let group = group.map(|group| &**group);
    let moment = Moment { step, profile: None, snapshot: &local.snapshot, worker, entrance, group, tally, line };
    moment.write(step, parts);
}
