//! Fetches of the backend, the server, the connection to it, and the bytes that went by.

use std::ops::ControlFlow;

use crate::ctx::{BackendCount, Count, Ctx};
use crate::fetch::connection::{ip, port};
use crate::fetch::{SINCE_REQUEST, SINCE_SERVER, Visit, fetch_table, give};
use crate::sample::Sample;

fetch_table! {
    "bc_be_queue" "bc_be_queue" [] Int First SINCE_SERVER |ctx, _, visit| number(ctx.progress.queued[1], visit),
        "How many requests of the backend went before this one out of its queue.", "bc_be_queue gt 0";
    "bc_dst" "bc_dst" [] Ip First SINCE_SERVER => (|ctx, _| ip(ctx.progress.server_addr)),
        "The address of the server.", "bc_dst 10.0.0.0/8";
    "bc_dst_port" "bc_dst_port" [] Int First SINCE_SERVER => (|ctx, _| port(ctx.progress.server_addr)),
        "The port of the server.", "bc_dst_port 8080";
    "bc_http_major" "bc_http_major" [] Int First SINCE_SERVER
        |ctx, _, visit| give(ctx.progress.server.map(|_| Sample::Int(ctx.progress.server_wire.major())), visit),
        "The major version of HTTP on the connection to the server, as it is on the wire.", "bc_http_major 1";
    "bc_reused" "bc_reused" [] Bool First SINCE_SERVER
        |ctx, _, visit| give(ctx.progress.server.map(|_| Sample::Bool(ctx.progress.reused)), visit),
        "Whether the connection to the server was used before.", "bc_reused";
    "bc_src" "bc_src" [] Ip First SINCE_SERVER => (|ctx, _| ip(ctx.progress.server_src)),
        "Our address on the connection to the server.", "bc_src 10.0.0.0/8";
    "bc_src_port" "bc_src_port" [] Int First SINCE_SERVER => (|ctx, _| port(ctx.progress.server_src)),
        "Our port on the connection to the server.", "bc_src_port ge 1024";
    "bc_srv_queue" "bc_srv_queue" [] Int First SINCE_SERVER |ctx, _, visit| number(ctx.progress.queued[0], visit),
        "How many requests of the server went before this one out of its queue.", "bc_srv_queue gt 0";
    "be_id" "be_id" [] Int First SINCE_REQUEST
        |ctx, _, visit| give(ctx.progress.backend.map(|_| Sample::Int(ctx.progress.backend_id.into())), visit),
        "The number of the backend; undefined until one is chosen.", "be_id 3";
    "be_name" "be_name" [] Str First SINCE_REQUEST
        |ctx, _, visit| give(ctx.progress.backend.map(|name| Sample::Str(name.as_bytes())), visit),
        "The name of the backend; undefined until one is chosen.", "be_name app";
    "be_server_timeout" "be_server_timeout" [] Int First SINCE_REQUEST
        |ctx, _, visit| timeout(ctx, None, BackendCount::ServerTimeout, visit),
        "`timeout.server` of the backend, in milliseconds, as configured.", "be_server_timeout gt 10000";
    "be_tunnel_timeout" "be_tunnel_timeout" [] Int First SINCE_REQUEST
        |ctx, _, visit| timeout(ctx, None, BackendCount::TunnelTimeout, visit),
        "`timeout.tunnel` of the backend, in milliseconds, as configured.", "be_tunnel_timeout gt 10000";
    "bytes_in" "bytes_in" [] Int First SINCE_REQUEST |ctx, _, visit| number(ctx.progress.bytes_in, visit),
        "Bytes received from the client for the transaction.", "bytes_in gt 1000000";
    "bytes_out" "bytes_out" [] Int First SINCE_REQUEST |ctx, _, visit| number(ctx.progress.bytes_out, visit),
        "Bytes sent to the client for the transaction.", "bytes_out gt 1000000";
    "cur_server_timeout" "cur_server_timeout" [] Int First SINCE_REQUEST
        |ctx, _, visit| timeout(ctx, ctx.memo.wishes.timeouts.server, BackendCount::ServerTimeout, visit),
        "The server timeout in force, in milliseconds: that of `set-timeout server`, else `be_server_timeout`.",
        "cur_server_timeout gt 10000";
    "cur_tunnel_timeout" "cur_tunnel_timeout" [] Int First SINCE_REQUEST
        |ctx, _, visit| timeout(ctx, ctx.memo.wishes.timeouts.tunnel, BackendCount::TunnelTimeout, visit),
        "The tunnel timeout in force, in milliseconds: that of `set-timeout tunnel`, else `be_tunnel_timeout`.",
        "cur_tunnel_timeout gt 10000";
    "req.bytes_in" "req.bytes_in" [] Int First SINCE_REQUEST |ctx, _, visit| number(ctx.progress.bytes_in, visit),
        "Bytes of the request received from the client.", "req.bytes_in gt 1000000";
    "req.bytes_out" "req.bytes_out" [] Int First SINCE_REQUEST |ctx, _, visit| number(ctx.progress.bytes_up, visit),
        "Bytes of the request sent to the server.", "req.bytes_out gt 1000000";
    "res.bytes_in" "res.bytes_in" [] Int First SINCE_REQUEST |ctx, _, visit| number(ctx.progress.bytes_down, visit),
        "Bytes of the response received from the server.", "res.bytes_in gt 1000000";
    "res.bytes_out" "res.bytes_out" [] Int First SINCE_REQUEST |ctx, _, visit| number(ctx.progress.bytes_out, visit),
        "Bytes of the response sent to the client.", "res.bytes_out gt 1000000";
    "srv_id" "srv_id" [] Int First SINCE_SERVER
        |ctx, _, visit| give(ctx.progress.server.map(|_| Sample::Int(ctx.progress.server_id.into())), visit),
        "The number of the server, from 1 in its backend.", "srv_id 1";
    "srv_name" "srv_name" [] Str First SINCE_SERVER
        |ctx, _, visit| give(ctx.progress.server.map(|name| Sample::Str(name.as_bytes())), visit),
        "The name of the server.", "srv_name a1";
}

fn number(value: u64, visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Int(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn timeout(ctx: &Ctx<'_>, wished: Option<u64>, count: BackendCount, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let wished = wished.map(|wished| i64::try_from(wished).unwrap_or(i64::MAX));
    let configured = || ctx.world.count(Count::Backend(ctx.progress.backend?, count));
    give(wished.or_else(configured).map(Sample::Int), visit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ctx::{Phase, Progress};
    use crate::testing::{REQUEST, expr, scene, show};

    #[test]
    fn nothing_is_known_before_a_backend_and_a_server_are_chosen() {
        let mut scene = scene(REQUEST);
        for text in ["be_name", "be_id", "be_server_timeout", "cur_tunnel_timeout"] {
            assert_eq!(show(&mut scene, Phase::Request, text), "-", "{text}");
        }
        for text in ["srv_name", "srv_id", "bc_dst", "bc_src_port", "bc_http_major", "bc_reused"] {
            assert_eq!(show(&mut scene, Phase::Response, text), "-", "{text}");
        }
    }

    #[test]
    fn the_server_side_is_told() {
        let mut scene = scene(REQUEST);
        scene.backend = Some(("app".into(), 3));
        scene.server = Some(("a1".into(), 1));
        scene.world.backends.insert(("app".into(), BackendCount::ServerTimeout), 4_000);
        scene.world.backends.insert(("app".into(), BackendCount::TunnelTimeout), 7_000);
        scene.memo.wishes.timeouts.tunnel = Some(9);
        for (text, expected) in [
            ("be_name", "app"),
            ("be_id", "3"),
            ("srv_name", "a1"),
            ("srv_id", "1"),
            ("be_server_timeout", "4000"),
            ("cur_server_timeout", "4000"),
            ("be_tunnel_timeout", "7000"),
            ("cur_tunnel_timeout", "9"),
            ("bc_http_major", "1"),
            ("bc_reused", "0"),
        ] {
            assert_eq!(show(&mut scene, Phase::Response, text), expected, "{text}");
        }
        scene.at(Phase::Response, |ctx| {
            ctx.progress = Progress {
                server_addr: Some("10.0.0.7:8080".parse().unwrap()),
                server_src: Some("10.0.0.1:40000".parse().unwrap()),
                bytes_in: 1,
                bytes_up: 2,
                bytes_down: 3,
                bytes_out: 4,
                queued: [5, 6],
                ..Progress::default()
            };
            for (text, expected) in [
                ("bc_dst", "10.0.0.7"),
                ("bc_dst_port", "8080"),
                ("bc_src", "10.0.0.1"),
                ("bc_src_port", "40000"),
                ("bytes_in", "1"),
                ("bytes_out", "4"),
                ("req.bytes_in", "1"),
                ("req.bytes_out", "2"),
                ("res.bytes_in", "3"),
                ("res.bytes_out", "4"),
                ("bc_srv_queue", "5"),
                ("bc_be_queue", "6"),
            ] {
                let mut out = Vec::new();
                expr(text).write(ctx, &mut out);
                assert_eq!(String::from_utf8_lossy(&out), expected, "{text}");
            }
        });
    }
}
