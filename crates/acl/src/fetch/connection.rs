//! Fetches of the client connection, its listener and its frontend.
//!
//! Two pairs of addresses: those rules see and may change (`src`, `dst`), and those of the socket itself (`fc_src`,
//! `fc_dst`).

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

use evenkeel_proto::proxy::{Header, tlv};

use crate::ctx::{Count, Ctx, FrontendCount, Streams};
use crate::fetch::{SINCE_ACCEPT, SINCE_HELLO, SINCE_REQUEST, Visit, fetch_table, give};
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

/// What the PROXY header of a connection said besides the addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyFacts {
    /// The fields of version 2, by type, in order.
    pub tlvs: Vec<(u8, Box<[u8]>)>,
}

impl ProxyFacts {
    /// The value of the first field of that type.
    pub fn get(&self, kind: u8) -> Option<&[u8]> {
        self.tlvs.iter().find(|(found, _)| *found == kind).map(|(_, value)| &**value)
    }
}

impl From<&Header<'_>> for ProxyFacts {
    fn from(header: &Header<'_>) -> ProxyFacts {
        ProxyFacts { tlvs: header.fields().map(|(kind, value)| (kind, value.into())).collect() }
    }
}

fetch_table! {
    "dst" "dst" [] Ip First SINCE_ACCEPT => (|ctx, _| ip(ctx.session.dst)),
        "The address the client connected to; undefined on Unix sockets.", "dst 192.0.2.0/24";
    "dst_conn" "dst_conn" [] Int First SINCE_ACCEPT |ctx, _, visit| give(connections(ctx).map(Sample::Int), visit),
        "Connections on the bind the client connected to, this one included. In `[[test]]` and `explain` those of the \
         frontend stand for them.", "dst_conn gt 1000";
    "dst_is_local" "dst_is_local" [] Bool First SINCE_ACCEPT |ctx, _, visit| is_local(ctx, ctx.session.dst, visit),
        "Whether the address the client connected to is one of this machine.", "dst_is_local";
    "dst_port" "dst_port" [] Int First SINCE_ACCEPT => (|ctx, _| port(ctx.session.dst)),
        "The port the client connected to; undefined on Unix sockets.", "dst_port 443 8000:8999";
    "fc_dst" "fc_dst" [] Ip First SINCE_ACCEPT => (|ctx, _| ip(ctx.session.real.1)),
        "The address of the socket that the client connected to, whatever rules and the PROXY header made of `dst`.",
        "fc_dst 192.0.2.0/24";
    "fc_dst_is_local" "fc_dst_is_local" [] Bool First SINCE_ACCEPT
        |ctx, _, visit| is_local(ctx, ctx.session.real.1, visit),
        "Whether `fc_dst` is an address of this machine.", "fc_dst_is_local";
    "fc_dst_port" "fc_dst_port" [] Int First SINCE_ACCEPT => (|ctx, _| port(ctx.session.real.1)),
        "The port of `fc_dst`.", "fc_dst_port 443";
    "fc_err" "fc_err" [] Int First SINCE_ACCEPT |_, _, visit| visit(Sample::Int(0)),
        "The error of the client connection: 0, since rules run on connections without one.", "fc_err 0";
    "fc_err_str" "fc_err_str" [] Str First SINCE_ACCEPT |_, _, visit| visit(Sample::Str(b"Success")),
        "The error of the client connection in words: `Success`, since rules run on connections without one.",
        "fc_err_str Success";
    "fc_glitches" "fc_glitches" [] Int First SINCE_HELLO
        |ctx, _, visit| visit(Sample::Int(streams(ctx).map_or(0, |streams| streams.glitches.load(Relaxed)).into())),
        "Requests of the client connection that were refused for what they looked like; HTTP/2 alone counts them.",
        "fc_glitches gt 10";
    "fc_http_major" "fc_http_major" [] Int First SINCE_HELLO
        |ctx, _, visit| visit(Sample::Int(ctx.session.wire.major())),
        "The major version of HTTP on the client connection, as it is on the wire: 1, 2 or 3.", "fc_http_major 2";
    "fc_nb_streams" "fc_nb_streams" [] Int First SINCE_HELLO
        |ctx, _, visit| visit(Sample::Int(streams(ctx).map_or(1, |streams| streams.open.load(Relaxed)).into())),
        "Streams that are open on the client connection; 1 on HTTP/1.", "fc_nb_streams gt 50";
    "fc_pp_authority" "fc_pp_authority" [] Str First SINCE_HELLO
        |ctx, _, visit| give(field(ctx, tlv::AUTHORITY).map(Sample::Str), visit),
        "The host name in the PROXY header of the connection.", "fc_pp_authority www.example.com";
    "fc_pp_tlv" "fc_pp_tlv(<id>)" [Arg::one("id", ArgKind::Int)] Bin First SINCE_HELLO pp_tlv, prepare tlv_type,
        "The field of that type, 0 to 255, in the PROXY header of the connection.", "fc_pp_tlv(234) -m found";
    "fc_pp_unique_id" "fc_pp_unique_id" [] Str First SINCE_HELLO
        |ctx, _, visit| give(field(ctx, tlv::UNIQUE_ID).map(Sample::Str), visit),
        "The unique id in the PROXY header of the connection.", "fc_pp_unique_id -m found";
    "fc_rcvd_proxy" "fc_rcvd_proxy" [] Bool First SINCE_HELLO
        |ctx, _, visit| visit(Sample::Bool(ctx.session.proxied.is_some())),
        "Whether the connection began with a PROXY header.", "fc_rcvd_proxy";
    "fc_src" "fc_src" [] Ip First SINCE_ACCEPT => (|ctx, _| ip(ctx.session.real.0)),
        "The address of the peer of the socket, whatever rules and the PROXY header made of `src`.", "fc_src 192.0.2.7";
    "fc_src_is_local" "fc_src_is_local" [] Bool First SINCE_ACCEPT
        |ctx, _, visit| is_local(ctx, ctx.session.real.0, visit),
        "Whether `fc_src` is an address of this machine.", "fc_src_is_local";
    "fc_src_port" "fc_src_port" [] Int First SINCE_ACCEPT => (|ctx, _| port(ctx.session.real.0)),
        "The port of `fc_src`.", "fc_src_port ge 1024";
    "fe_client_timeout" "fe_client_timeout" [] Int First SINCE_ACCEPT client_timeout,
        "`timeout.client` of the frontend, in milliseconds, as configured.", "fe_client_timeout gt 10000";
    "fe_defbe" "fe_defbe" [] Str First SINCE_ACCEPT
        |ctx, _, visit| give(ctx.progress.default_backend.map(|name| Sample::Str(name.as_bytes())), visit),
        "The name of the default backend of the frontend; undefined without one.", "fe_defbe app";
    "fe_id" "fe_id" [] Int First SINCE_ACCEPT
        |ctx, _, visit| visit(Sample::Int(ctx.progress.frontend_id.into())),
        "The number of the frontend.", "fe_id 2";
    "fe_name" "fe_name" [] Str First SINCE_ACCEPT
        |ctx, _, visit| visit(Sample::Str(ctx.progress.frontend.as_bytes())),
        "The name of the frontend.", "fe_name web";
    "cur_client_timeout" "cur_client_timeout" [] Int First SINCE_REQUEST
        |ctx, args, visit| match ctx.memo.wishes.timeouts.client {
            Some(wished) => visit(Sample::Int(i64::try_from(wished).unwrap_or(i64::MAX))),
            None => client_timeout(ctx, args, visit),
        },
        "The client timeout in force, in milliseconds: that of `set-timeout client`, else `fe_client_timeout`.",
        "cur_client_timeout gt 10000";
    "so_id" "so_id" [] Int First SINCE_ACCEPT
        |ctx, _, visit| visit(Sample::Int(ctx.listener_id().into())),
        "The number of the bind the client connected to.", "so_id 1";
    "so_name" "so_name" [] Str First SINCE_ACCEPT
        |ctx, _, visit| visit(Sample::Str(
            ctx.session.listener.as_ref().map_or(ctx.progress.listener, |listener| listener.door.name()).as_bytes(),
        )),
        "The name of the bind the client connected to.", "so_name internal";
    "src" "src" [] Ip First SINCE_ACCEPT => (|ctx, _| ip(ctx.session.src)),
        "The client address; undefined on Unix sockets.", "src 203.0.113.0/24 2001:db8::/32";
    "src_is_local" "src_is_local" [] Bool First SINCE_ACCEPT |ctx, _, visit| is_local(ctx, ctx.session.src, visit),
        "Whether the client address is one of this machine.", "src_is_local";
    "src_port" "src_port" [] Int First SINCE_ACCEPT => (|ctx, _| port(ctx.session.src)),
        "The client port; undefined on Unix sockets.", "src_port ge 1024";
}

pub(super) fn ip<'c>(address: Option<SocketAddr>) -> Option<Sample<'c>> {
    address.map(|address| Sample::Ip(address.ip()))
}

pub(super) fn port<'c>(address: Option<SocketAddr>) -> Option<Sample<'c>> {
    address.map(|address| Sample::Int(address.port().into()))
}

fn connections(ctx: &Ctx<'_>) -> Option<i64> {
    match &ctx.session.listener {
        Some(listener) => Some(listener.door.connections().into()),
        None => ctx.world.count(Count::Frontend(ctx.progress.frontend, FrontendCount::Connections)),
    }
}

fn is_local(ctx: &Ctx<'_>, address: Option<SocketAddr>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    // Our own end of the socket is an address of this machine, whatever the list of them says.
    let own = ctx.session.real.1.map(|own| own.ip().to_canonical());
    let local = |ip: std::net::IpAddr| own == Some(ip.to_canonical()) || ctx.world.is_local(ip);
    give(address.map(|address| Sample::Bool(local(address.ip()))), visit)
}

fn field<'c>(ctx: &'c Ctx<'_>, kind: u8) -> Option<&'c [u8]> {
    ctx.session.proxied.as_ref()?.get(kind)
}

fn pp_tlv(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let kind = Value::int(args, 0).and_then(|kind| u8::try_from(kind).ok());
    give(kind.and_then(|kind| field(ctx, kind)).map(Sample::Bin), visit)
}

fn tlv_type(args: &mut Vec<Value>, _: &crate::library::Env<'_>) -> Result<(), String> {
    match Value::int(args, 0) {
        Some(0..=255) => Ok(()),
        _ => Err("the type of a field is a number from 0 to 255".into()),
    }
}

fn client_timeout(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let count = Count::Frontend(ctx.progress.frontend, FrontendCount::ClientTimeout);
    give(ctx.world.count(count).map(Sample::Int), visit)
}

fn streams<'c>(ctx: &'c Ctx<'_>) -> Option<&'c Streams> {
    ctx.session.streams.as_deref()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use evenkeel_proto::proxy::{Addresses, Command, Encoder, Parsed, parse};

    use super::*;
    use crate::ctx::{Phase, Wire};
    use crate::testing::{REQUEST, scene, show};

    #[test]
    fn addresses_of_the_socket_stay_when_rules_change_the_others() {
        let mut scene = scene(REQUEST);
        scene.session.src = Some("127.0.0.9:1".parse().unwrap());
        for (text, expected) in [
            ("src", "127.0.0.9"),
            ("src_port", "1"),
            ("src_is_local", "1"),
            ("fc_src", "203.0.113.9"),
            ("fc_src_port", "51234"),
            ("fc_src_is_local", "0"),
            ("dst_is_local", "1"),
            ("fc_dst", "192.0.2.10"),
            ("fc_dst_port", "443"),
            ("fc_http_major", "1"),
            ("fc_nb_streams", "1"),
            ("fc_glitches", "0"),
            ("fc_rcvd_proxy", "0"),
            ("fc_pp_authority", "-"),
            ("fc_err", "0"),
            ("fc_err_str", "Success"),
            ("fe_name", "web"),
            ("fe_id", "2"),
            ("fe_defbe", "-"),
            ("fe_client_timeout", "-"),
        ] {
            assert_eq!(show(&mut scene, Phase::Request, text), expected, "{text}");
        }
        scene.session.src = None;
        assert_eq!(show(&mut scene, Phase::Request, "src"), "-");
        assert_eq!(show(&mut scene, Phase::Request, "src_is_local"), "-");
    }

    #[test]
    fn the_proxy_header_is_read() {
        let mut scene = scene(REQUEST);
        let streams = crate::ctx::Streams { open: 7.into(), glitches: 3.into() };
        scene.session.streams = Some(std::sync::Arc::new(streams));
        scene.session.wire = Wire::Http2;
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, Command::Proxy, &Addresses::Unspecified, false);
        assert!(encoder.field(tlv::AUTHORITY, b"a.example") && encoder.field(tlv::UNIQUE_ID, b"id7"));
        assert!(encoder.field(0xea, &[1, 2]));
        encoder.finish();
        let Ok(Parsed::Complete(header)) = parse(&bytes) else { panic!("{bytes:?}") };
        scene.session.proxied = Some(std::sync::Arc::new(ProxyFacts::from(&header)));
        for (text, expected) in [
            ("fc_rcvd_proxy", "1"),
            ("fc_pp_authority", "a.example"),
            ("fc_pp_unique_id", "id7"),
            ("fc_pp_tlv(234)", "0102"),
            ("fc_pp_tlv(3)", "-"),
            ("fc_http_major", "2"),
            ("fc_nb_streams", "7"),
            ("fc_glitches", "3"),
        ] {
            assert_eq!(show(&mut scene, Phase::Hello, text), expected, "{text}");
        }
    }

    #[test]
    fn timeouts_are_the_configured_and_the_wished() {
        let mut scene = scene(REQUEST);
        scene.world.frontends.insert(("web".into(), FrontendCount::ClientTimeout), 30_000);
        assert_eq!(show(&mut scene, Phase::Request, "cur_client_timeout"), "30000");
        scene.memo.wishes.timeouts.client = Some(5);
        assert_eq!(show(&mut scene, Phase::Request, "cur_client_timeout"), "5");
        assert_eq!(show(&mut scene, Phase::Request, "fe_client_timeout"), "30000");
    }
}
