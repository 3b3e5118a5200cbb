//! `set-src`, `set-src-port`, `set-dst`, `set-dst-port`: the addresses of the client connection as rules see them.
//!
//! In rules on the connection they hold as long as it does, in content and HTTP rules as long as the transaction:
//! [`Session::end_transaction`](crate::Session::end_transaction) takes them back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::units::{number, number_of};
use super::{ADDRESS, Act, Next, action_table, argument, expression_of};
use crate::cond::Scope;
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::sample::Type;
use crate::trace::Place;
use crate::word::{Word, Words};

action_table! {
    "set-dst" "set-dst <expr>" ADDRESS false parse_dst,
        "Replaces the address the client connected to, for rules, logs and headers; the port stays. A sample that is no address \
         changes nothing. In content and HTTP rules it holds for this transaction.",
        "set-dst dst,ipmask(24)";
    "set-dst-port" "set-dst-port <expr>" ADDRESS false parse_dst_port,
        "Replaces the port the client connected to; the address stays. Numbers beyond 65535 change nothing.",
        "set-dst-port int(4000)";
    "set-src" "set-src <expr>" ADDRESS false parse_src,
        "Replaces the client address, for rules, logs, headers and balancing; the port stays. A sample that is no address changes \
         nothing. In content and HTTP rules it holds for this transaction.",
        "set-src src,ipmask(24)";
    "set-src-port" "set-src-port <expr>" ADDRESS false parse_src_port,
        "Replaces the client port; the address stays. Numbers beyond 65535 change nothing.",
        "set-src-port int(4000)";
}

#[derive(Debug)]
struct SetAddress {
    side: Side,
    expr: Expr,
    port: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Src,
    Dst,
}

fn parse_src(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_address(words, scope, Side::Src, "set-src")
}

fn parse_dst(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_address(words, scope, Side::Dst, "set-dst")
}

fn parse_src_port(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_port(words, scope, Side::Src, "set-src-port")
}

fn parse_dst_port(_: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    parse_port(words, scope, Side::Dst, "set-dst-port")
}

fn parse_address(words: &mut Words<'_>, scope: &Scope<'_>, side: Side, action: &str) -> Result<Box<dyn Act>, Fault> {
    let word = argument(words, action, "the expression", &format!("{action} <expr>"))?;
    let expr = expression_of(word, scope)?;
    if !expr.output().casts_to(Type::Ip) {
        let message = format!("an address is wanted here, and `{}` gives {}", expr.name(), expr.output());
        return Err(Fault::new(code::ACTION_ARGS, word.range.clone(), message).hint("write `src` or `req.hdr(name)`"));
    }
    Ok(Box::new(SetAddress { side, expr, port: false }))
}

fn parse_port(words: &mut Words<'_>, scope: &Scope<'_>, side: Side, action: &str) -> Result<Box<dyn Act>, Fault> {
    let expr = number(argument(words, action, "the expression", &format!("{action} <expr>"))?, scope)?;
    Ok(Box::new(SetAddress { side, expr, port: true }))
}

impl Act for SetAddress {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let old = match self.side {
            Side::Src => ctx.session.src,
            Side::Dst => ctx.session.dst,
        };
        // A Unix socket has neither: then the other half is zero.
        let new = if self.port {
            let port = number_of(&self.expr, ctx).and_then(|port| u16::try_from(port).ok());
            let ip = old.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |old| old.ip());
            port.map(|port| SocketAddr::new(ip, port))
        } else {
            let ip = self.expr.one(ctx, |sample| sample.as_ip()).flatten();
            ip.map(|ip| SocketAddr::new(ip, old.map_or(0, |old| old.port())))
        };
        let Some(new) = new else { return Next::Rule };
        let session = &mut *ctx.session;
        if ctx.phase >= Phase::Request {
            session.lasting.get_or_insert((session.src, session.dst));
        }
        match self.side {
            Side::Src => session.src = Some(new),
            Side::Dst => session.dst = Some(new),
        }
        ctx.did(|| format!("{} is {new}", if self.side == Side::Src { "src" } else { "dst" }));
        Next::Rule
    }
}
