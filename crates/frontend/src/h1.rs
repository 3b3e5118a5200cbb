//! An HTTP/1 client connection: waits for a request holding no buffer and no transaction, runs it, keeps or closes.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::arrival;
use crate::clock;
use crate::conn::Conn;
use crate::h2;
use crate::txn::{self, Next};
use crate::worker::Asleep;

/// How long the client may take to read the last answer and close, once its request is no longer wanted.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// How much it may still send meanwhile.
const LINGER_BYTES: usize = 256 * 1024;

/// Serves requests until either side wants to close.
pub(crate) async fn serve(mut conn: Conn) {
    loop {
        if conn.leftover.is_none() && !wait(&mut conn).await {
            return;
        }
        // Boxed so that an idle connection's task stays small.
        match Box::pin(txn::run(&mut conn)).await {
            Next::Keep => {}
            Next::Close => return,
            Next::Linger => return linger(&mut conn, LINGER).await,
            Next::Preface => return Box::pin(h2::serve(conn)).await,
        }
    }
}

/// Waits for the first byte of a request; `false` when the connection is to close without one.
async fn wait(conn: &mut Conn) -> bool {
    let (since, after) = patience(conn);
    let Conn { stream, timer, admission, requests, .. } = conn;
    let worker = &admission.worker;
    timer.set(since, after);
    let mut place: Option<Asleep<'_>> = None;
    let ready = poll_fn(|cx| {
        if stream.poll_readable(cx).is_ready() {
            return Poll::Ready(true);
        }
        // A client that has not sent its first request yet may still do so during a soft stop.
        if *requests > 0 && admission.is_leaving() {
            return Poll::Ready(false);
        }
        if timer.poll_expired(cx).is_ready() {
            return Poll::Ready(false);
        }
        place.get_or_insert_with(|| worker.sleepers.enter(cx.waker()));
        Poll::Pending
    })
    .await;
    drop(place);
    // A first request that never came is answered 408 and logged; a kept connection closes silently.
    if !ready && conn.requests == 0 {
        Box::pin(arrival::never_came(conn)).await;
    }
    ready
}

/// `timeout.http-request` from accept for the first request, `timeout.http-keep-alive` for the next.
fn patience(conn: &Conn) -> (Instant, Option<Duration>) {
    let local = conn.admission.listening.local(&conn.admission.worker);
    let at = conn.admission.listening.entrance(&local.snapshot);
    let timeout = at.map(|at| local.snapshot.frontends[at].conf.timeout);
    match (conn.requests, timeout) {
        (_, None) => (clock::now(), Some(Duration::ZERO)),
        (0, Some(t)) => (conn.began(), t.http_request.or(t.client)),
        (_, Some(t)) => (clock::now(), t.http_keep_alive.or(t.client)),
    }
}

/// Ends our side and reads what the client still sends, so that a reset does not eat the last answer (RFC 9112 §9.6): until it
/// is silent for [`LINGER`], for `most` at most.
pub(crate) async fn linger(conn: &mut Conn, most: Duration) {
    if conn.stream.shutdown_write().is_err() {
        return;
    }
    let Conn { stream, timer, admission, .. } = conn;
    let began = clock::now();
    let until = |now: Instant| Some(LINGER.min((began + most).saturating_duration_since(now)));
    timer.set(began, until(began));
    let mut left = LINGER_BYTES;
    poll_fn(|cx| {
        loop {
            if timer.poll_expired(cx).is_ready() || left == 0 {
                return Poll::Ready(());
            }
            if std::task::ready!(stream.poll_readable(cx)).is_err() {
                return Poll::Ready(());
            }
            let mut buf = admission.worker.stock.small();
            let read = stream.try_read(buf.spare_mut());
            admission.worker.stock.give_back(buf);
            match read {
                Ok(0) => return Poll::Ready(()),
                Ok(n) => {
                    left = left.saturating_sub(n);
                    let now = clock::now();
                    timer.set(now, until(now));
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}
