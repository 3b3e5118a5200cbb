//! What comes before there is a request: its head, and the connections and bytes that never became one.
//!
//! Called by txn for each request, and by h1, h2 and establish for connections that ended by themselves. Every such end is
//! counted and logged here, once. Never: rules, a server.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::count;
use evenkeel_config::ErrorPage;
use evenkeel_proto::{Limits, Malformed, Parsed, Version};
use evenkeel_wire::h2;

use crate::closing::log_error;
use crate::conn::Conn;
use crate::deliver::send;
use crate::end::End;
use crate::finish::Tally;
use crate::reply::Answer;
use crate::snapshot::Entrance;
use crate::timer::within;
use crate::txn::{Next, Txn};
use crate::worker::Local;

/// Why there is no head to work on.
pub(crate) enum NoHead {
    /// Not one byte came: a false alarm.
    Nothing,
    /// The client closed before a byte of it.
    Closed,
    /// The client closed in the middle of it.
    Aborted,
    /// It was not complete within `timeout.http-request`.
    TimedOut,
    /// It breaks HTTP.
    Malformed(Malformed),
}

/// Takes in the head of a request: from the socket, or from the stream that it came in.
pub(crate) async fn read_head(
    conn: &mut Conn,
    txn: &mut Txn,
    entrance: &Entrance,
    limits: &Limits,
    tally: &mut Tally,
) -> Result<(), NoHead> {
    if let Some(h2) = conn.stream.h2() {
        let written = h2.take_request(limits.max_head).unwrap_or(Err(h2::TooLarge));
        // Whatever HTTP/2 let pass is judged as HTTP/1 is: no other head reaches a rule or a server.
        return match written.map(|block| {
            txn.req.replace_block(block);
            txn.req.parse_request(limits)
        }) {
            Ok(Ok(Parsed::Complete)) => {
                txn.req.set_version(Version::Http2);
                Ok(())
            }
            Ok(Err(why)) => Err(NoHead::Malformed(why)),
            Ok(Ok(Parsed::Partial)) | Err(h2::TooLarge) => Err(NoHead::Malformed(Malformed::HeadTooLarge)),
        };
    }
    let block = match conn.leftover.take() {
        Some(block) => block,
        None => conn.admission.worker.stock.small(),
    };
    txn.req.replace_block(block);
    let mut fresh = !txn.req.block().is_empty();
    loop {
        if fresh {
            match txn.req.parse_request(limits) {
                Ok(Parsed::Complete) => return Ok(()),
                Ok(Parsed::Partial) => {}
                Err(why) => return Err(NoHead::Malformed(why)),
            }
        }
        match conn.stream.try_read(txn.req.block_mut().spare_mut()) {
            Ok(0) if txn.req.block().is_empty() => return Err(NoHead::Closed),
            Ok(0) => return Err(NoHead::Aborted),
            Ok(n) => {
                txn.req.block_mut().advance(n);
                fresh = true;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if txn.req.block().is_empty() {
                    return Err(NoHead::Nothing);
                }
                fresh = false;
                let time = entrance.conf.timeout.http_request.or(entrance.conf.timeout.client);
                let since = if conn.requests == 0 { conn.began() } else { tally.began };
                let Conn { stream, timer, .. } = conn;
                let ready = within(timer, since, time, poll_fn(|cx| stream.poll_readable(cx))).await;
                match ready {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err(NoHead::Aborted),
                    Err(_) => return Err(NoHead::TimedOut),
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if txn.req.block().is_empty() => return Err(NoHead::Closed),
            Err(_) => return Err(NoHead::Aborted),
        }
    }
}

/// Answers and logs a request that never became one.
pub(crate) async fn refuse(
    conn: &mut Conn,
    txn: &Txn,
    entrance: &Arc<Entrance>,
    mut tally: Tally,
    why: NoHead,
) -> Next {
    tally.end = match why {
        NoHead::Nothing => return Next::Keep,
        NoHead::Closed => End::ClientClosedSilently,
        NoHead::Aborted => End::ClientClosedInHead,
        NoHead::TimedOut => End::ClientSlowHead,
        NoHead::Malformed(why) => End::bad_request(why),
    };
    conn.glitches += u32::from(matches!(why, NoHead::Malformed(_)));
    let silent = tally.end == End::ClientClosedSilently;
    if silent && entrance.conf.option.ignore_probes {
        return Next::Close;
    }
    tally.bytes_in = txn.req.block().len() as u64;
    if conn.session.tracks.is_used() {
        let now = conn.admission.worker.now_ms();
        if !silent {
            count::on_request(&conn.session, &txn.memo, now);
        }
        tally.count_tracked(conn, &txn.memo, &entrance.counted);
    }
    let sheet = entrance.state.sheet.shard(conn.admission.worker.id);
    tally.status = tally.end.status();
    let mut sent = false;
    // A connection that closed without a word is no request and no error.
    if let Some(status) = tally.status.filter(|_| !silent) {
        sheet.requests.inc();
        sheet.request_errors.inc();
        sent = answer(conn, &mut tally, entrance, status).await;
        tally.count(&conn.admission.worker, entrance, None);
    }
    if !(silent && entrance.conf.option.dontlognull) {
        log_error(conn, &mut tally, entrance);
    }
    if sent { Next::Linger } else { Next::Close }
}

/// Writes an answer to a request that never became one; `false` when the client is gone or does not read.
/// [`Tally::end`] is known by then.
async fn answer(conn: &mut Conn, tally: &mut Tally, entrance: &Entrance, status: u16) -> bool {
    let mut out = Vec::with_capacity(512);
    let tells = entrance.conf.option.proxy_status.then_some(tally.end);
    let message = match entrance.page(None, status) {
        Some(ErrorPage::Silent) => return false,
        Some(ErrorPage::Message(page)) => Some(&**page),
        // There is no request yet that could be repeated elsewhere, or looked at.
        Some(ErrorPage::Redirect { .. } | ErrorPage::Reply { .. }) | None => None,
    };
    Answer { tells, message, ..Answer::error(status) }.write(&mut out);
    send(conn, tally, entrance.conf.timeout.client, &out).await
}

/// Closes the books on a connection whose first request never came.
pub(crate) async fn never_came(conn: &mut Conn) {
    let Some((local, entrance)) = enter(conn) else { return };
    let mut tally = Tally::new(conn.accepted);
    let probe = entrance.conf.option.ignore_probes;
    drop(local);
    if probe {
        return;
    }
    tally.end = End::ClientSilent;
    if answer(conn, &mut tally, &entrance, 408).await {
        tally.status = Some(408);
    }
    entrance.state.sheet.shard(conn.admission.worker.id).request_errors.inc();
    tally.count(&conn.admission.worker, &entrance, None);
    if !entrance.conf.option.dontlognull {
        log_error(conn, &mut tally, &entrance);
    }
}

/// Closes the books on a connection that ended by itself, not by one of its requests.
pub(crate) fn broke(conn: &mut Conn, end: End) {
    let Some((local, entrance)) = enter(conn) else { return };
    drop(local);
    let silent = end.is_silence();
    if silent && entrance.conf.option.ignore_probes {
        return;
    }
    let mut tally = Tally::new(conn.accepted);
    tally.end = end;
    // The one that is answered before there is a protocol.
    tally.status = end.status().filter(|_| end == End::TlsPlainHttp);
    if !silent {
        entrance.state.sheet.shard(conn.admission.worker.id).request_errors.inc();
        tally.count(&conn.admission.worker, &entrance, None);
    }
    if !(silent && entrance.conf.option.dontlognull) {
        log_error(conn, &mut tally, &entrance);
    }
}

/// The snapshot and the frontend that serve this connection now.
pub(crate) fn enter(conn: &Conn) -> Option<(Rc<Local>, Arc<Entrance>)> {
    let listening = &conn.admission.listening;
    let local = listening.local(&conn.admission.worker);
    let at = listening.entrance(&local.snapshot)?;
    let entrance = local.snapshot.frontends[at].clone();
    Some((local, entrance))
}
