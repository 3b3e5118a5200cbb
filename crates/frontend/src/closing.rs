//! The end of a transaction: its counters and its log line, in one place, from one [`End`](crate::end::End).
//!
//! Called by txn when the answer is out or the tunnel is over.

use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::{Body, LogFormat, Memo, Phase, Progress};
use evenkeel_backend::Group;
use evenkeel_config::Syslog;
use evenkeel_proto::{Buf, Head, Limits};

use crate::around::{Around, Parts};
use crate::conn::Conn;
use crate::finish::{Tally, Told};
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
    let written = Formats::of(entrance).map(|format| own_line(format, conn, txn, tally, entrance, group));
    let line = match line {
        Line::Of(cut) => RequestLine::of(&txn.req, cut),
        Line::Kept(line) => line,
    };
    tally.log(
        conn,
        entrance,
        group,
        Some(line),
        Told { text: written.text.as_deref(), data: written.data.as_deref(), level },
    );
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
    let level = memo.wishes.log_level;
    let written = Formats::of(entrance).map(|format| {
        let (worker, session) = (&conn.admission.worker, &mut conn.session);
        let req = &mut Head::new();
        let parts = Parts { session, memo, req, res: None, body: Body::default(), last: true };
        write(format, worker, parts, tally, entrance, group)
    });
    let told = Told { text: written.text.as_deref(), data: written.data.as_deref(), level };
    tally.log(conn, entrance, group, None, told);
}

/// What stands for the line and for its structured data.
struct Formats<T> {
    text: Option<T>,
    data: Option<T>,
}

impl<'e> Formats<&'e LogFormat> {
    /// Those of the frontend that a target takes.
    fn of(entrance: &'e Entrance) -> Formats<&'e LogFormat> {
        let data = entrance.log.targets.iter().any(|target| target.syslog == Syslog::Rfc5424);
        let conf = &entrance.conf;
        Formats { text: conf.log_text.as_deref(), data: conf.log_sd.as_deref().filter(|_| data) }
    }

    fn map(self, mut write: impl FnMut(&LogFormat) -> Vec<u8>) -> Formats<Vec<u8>> {
        Formats { text: self.text.map(&mut write), data: self.data.map(&mut write) }
    }
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
    let Txn { req, res, memo, body, whole, .. } = txn;
    let body = Body { bytes: body, complete: *whole, ..Body::default() };
    let res = res.is_complete().then_some(res);
    let parts = Parts { session, memo, req, res, body, last: true };
    write(format, &admission.worker, parts, tally, entrance, group)
}

fn write(
    format: &LogFormat,
    worker: &Rc<Worker>,
    parts: Parts<'_>,
    tally: &Tally,
    entrance: &Entrance,
    group: Option<&Arc<Group>>,
) -> Vec<u8> {
    let local = worker.local();
    let letters = tally.end.letters();
    let letters = [letters[0], letters[1], b'-', b'-'];
    let letters = std::str::from_utf8(&letters).unwrap_or_default();
    let progress = Progress {
        log_uri_len: local.snapshot.config.global.tune.log_uri_len,
        ..tally.outcome(worker, entrance, group.map(|group| &**group), letters)
    };
    let mut line = Vec::with_capacity(256);
    let around = Around { snapshot: &local.snapshot, worker };
    around.look(parts, progress, Phase::Done, |ctx| format.write(ctx, &mut line));
    line
}
