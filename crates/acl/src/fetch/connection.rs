//! Fetches of the client connection.

use std::ops::ControlFlow;

use crate::ctx::Ctx;
use crate::fetch::{SINCE_ACCEPT, Visit, fetch_table};
use crate::sample::Sample;
use crate::value::Value;
fetch_table! {
    "dst" "dst" [] Ip First SINCE_ACCEPT dst,
        "The address the client connected to; undefined on Unix sockets.", "dst 192.0.2.0/24";
    "dst_port" "dst_port" [] Int First SINCE_ACCEPT dst_port,
        "The port the client connected to; undefined on Unix sockets.", "dst_port 443 8000:8999";
    "fe_name" "fe_name" [] Str First SINCE_ACCEPT fe_name,
        "The name of the frontend.", "fe_name web";
    "src" "src" [] Ip First SINCE_ACCEPT src,
        "The client address; undefined on Unix sockets.", "src 203.0.113.0/24 2001:db8::/32";
    "src_port" "src_port" [] Int First SINCE_ACCEPT src_port,
        "The client port; undefined on Unix sockets.", "src_port ge 1024";
}

fn src(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    ctx.session.src.map_or(ControlFlow::Continue(()), |peer| visit(Sample::Ip(peer.ip())))
}

fn src_port(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    ctx.session.src.map_or(ControlFlow::Continue(()), |peer| visit(Sample::Int(i64::from(peer.port()))))
}

fn dst(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    ctx.session.dst.map_or(ControlFlow::Continue(()), |local| visit(Sample::Ip(local.ip())))
}

fn dst_port(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    ctx.session.dst.map_or(ControlFlow::Continue(()), |local| visit(Sample::Int(i64::from(local.port()))))
}

fn fe_name(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Str(ctx.progress.frontend.as_bytes()))
}
