//! `do-resolve`: the wait for the address of a name. The answer itself comes from the control thread (`evenkeel_dns`).

use std::future::{Future as _, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;

use evenkeel_acl::Question;
use evenkeel_dns::Asked;

use crate::clock;
use crate::conn::Conn;
use crate::end::End;
use crate::snapshot::Snapshot;
use crate::upstream::client_left;

/// The address that answers `question`; at once when it is known. `watch`: the client owes nothing, so that it is noticed
/// when it leaves. The wait ends by the timeouts of the section.
pub(crate) async fn answer(
    conn: &Conn,
    snapshot: &Snapshot,
    question: &Question,
    watch: bool,
) -> Result<Option<IpAddr>, End> {
    let Some(section) = snapshot.resolvers.nth(question.resolvers) else { return Ok(None) };
    let coming = match section.ask(&question.name, question.prefer, clock::now()) {
        Asked::Known(address) => return Ok(address),
        Asked::Coming(coming) => coming,
    };
    let mut answer = pin!(coming.answer());
    let mut speaks = false;
    poll_fn(|cx| {
        if let Poll::Ready(address) = answer.as_mut().poll(cx) {
            return Poll::Ready(Ok(address));
        }
        match watch && client_left(&conn.stream, cx, &mut speaks) {
            true => Poll::Ready(Err(End::ClientClosedResolving)),
            false => Poll::Pending,
        }
    })
    .await
}
