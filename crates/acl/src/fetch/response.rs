//! Fetches of the status line of a response.

use std::ops::ControlFlow;

use evenkeel_proto::Version;

use crate::ctx::{Ctx, Wire};
use crate::fetch::request::short_version;
use crate::fetch::{SINCE_RESPONSE, Visit, fetch_table, give, response};
use crate::sample::Sample;

fetch_table! {
    "res.ver" "res.ver" [] Str First SINCE_RESPONSE
        |ctx, _, visit| version(ctx, visit),
        "The HTTP version of the response: 1.0, 1.1 or 2.0.", "res.ver 1.1";
    "resp_ver" "resp_ver" [] Str First SINCE_RESPONSE
        |ctx, _, visit| version(ctx, visit),
        "Short for res.ver.", "resp_ver 1.1";
    "server_status" "server_status" [] Int First SINCE_RESPONSE
        |ctx, _, visit| status(ctx.progress.server_status, visit),
        "The status the server sent, whatever rules made of it; undefined when it sent none.", "server_status ge 500";
    "status" "status" [] Int First SINCE_RESPONSE
        |ctx, _, visit| status(response(ctx).map(|head| head.status()), visit),
        "The status of the response as it stands, after `set-status` too.", "status 500:599";
    "txn.status" "txn.status" [] Int First SINCE_RESPONSE
        |ctx, _, visit| status(ctx.progress.status.or_else(|| response(ctx).map(|head| head.status())), visit),
        "The status the client gets, from a server or made here.", "txn.status 503";
}

/// A response of HTTP/2 is written as one of HTTP/1.1 before anybody sees it.
fn version(ctx: &Ctx<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let version = response(ctx).map(|head| match ctx.progress.server_wire {
        Wire::Http2 => short_version(Version::Http2),
        Wire::Http3 => b"3.0",
        Wire::Http1 => short_version(head.version()),
    });
    give(version.map(Sample::Str), visit)
}

fn status(status: Option<u16>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    give(status.map(|status| Sample::Int(status.into())), visit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::ctx::Phase;
    use crate::testing::{REQUEST, expr, scene, show};

    #[test]
    fn the_status_follows_rules_and_that_of_the_server_does_not() {
        let mut scene = scene(REQUEST).answered("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").unwrap();
        for (text, expected) in [("status", "201"), ("server_status", "201"), ("txn.status", "201"), ("res.ver", "1.1")]
        {
            assert_eq!(show(&mut scene, Phase::Response, text), expected, "{text}");
        }
        let (now, server) = (expr("status"), expr("server_status"));
        scene.at(Phase::Response, |ctx| {
            ctx.response.as_mut().unwrap().set_status(503, b"No").unwrap();
            assert_eq!(now.one(ctx, |sample| sample.as_int()), Some(Some(503)));
            assert_eq!(server.one(ctx, |sample| sample.as_int()), Some(Some(201)));
        });
    }
}
