//! Fetches of what the transaction has gathered: variables, captures, its id, its timers, its last rule.
//!
//! Variables and captures are copied before they are handed on: what looks at them may write them.

use std::cell::RefCell;
use std::io::Write as _;
use std::ops::ControlFlow;

use evenkeel_proto::Version;

use crate::ctx::{Ctx, Slots, Times};
use crate::fetch::request::path_and_query_of;
use crate::fetch::{AT_END, SINCE_ACCEPT, SINCE_REQUEST, SINCE_RESPONSE, SINCE_SERVER, Visit, fetch_table, give};
use crate::fetch::{request, response};
use crate::library::Env;
use crate::sample::{Sample, Scratch};
use crate::trace::Place;
use crate::value::{Arg, ArgKind, Value};
use crate::vars::{Stored, VarScope};

const SLOT: Arg = Arg::one("idx", ArgKind::Int);
const SCOPE: Arg = Arg::maybe("scope", ArgKind::Word(&["sess", "txn", "req", "res", "proc"]));
const PREFIX: Arg = Arg::maybe("prefix", ArgKind::Text);
const DELIMITER: Arg = Arg::maybe("delimiter", ArgKind::Text);

/// No list of variables is longer; one that would be is undefined.
const DUMP: usize = 64 << 10;

fetch_table! {
    "bc.timer.connect" "bc.timer.connect" [] Int First SINCE_SERVER |ctx, _, visit| timer(ctx, |times| times.connect, visit),
        "Milliseconds it took to connect to the server, as `%Tc`; -1: it did not come to that.", "bc.timer.connect gt 100";
    "bs.rst_code" "bs.rst_code" [] Int First AT_END
        |ctx, _, visit| give(ctx.progress.resets[1].map(|code| Sample::Int(code.into())), visit),
        "The code with which the server reset the HTTP/2 stream, or its connection.", "bs.rst_code 7";
    "capture.req.hdr" "capture.req.hdr(<idx>)" [SLOT] Str First SINCE_REQUEST
        |ctx, args, visit| slot(ctx, &ctx.memo.captured_request, args, visit), prepare check_slot,
        "What capture slot <idx> of the request holds, from 0 in the order of declaration.", "capture.req.hdr(0) -m found";
    "capture.req.method" "capture.req.method" [] Str First SINCE_REQUEST
        |ctx, _, visit| give(request(ctx).map(|head| Sample::Str(head.method_bytes())), visit),
        "The method of the request, in responses and logs too.", "capture.req.method POST";
    "capture.req.uri" "capture.req.uri" [] Str First SINCE_REQUEST
        |ctx, _, visit| give(
            request(ctx)
                .map(|head| path_and_query_of(head.original_target(), head.method()))
                .filter(|pathq| !pathq.is_empty())
                .map(Sample::Str),
            visit,
        ),
        "The path and query of the request as it came, whatever rules made of it.", "capture.req.uri -m beg /api/";
    "capture.req.ver" "capture.req.ver" [] Str First SINCE_REQUEST
        |ctx, _, visit| give(request(ctx).map(|head| Sample::Str(long_version(head.version()))), visit),
        "The version of the request: `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.", "capture.req.ver HTTP/1.1";
    "capture.res.hdr" "capture.res.hdr(<idx>)" [SLOT] Str First SINCE_RESPONSE
        |ctx, args, visit| slot(ctx, &ctx.memo.captured_response, args, visit), prepare check_slot,
        "What capture slot <idx> of the response holds, from 0 in the order of declaration.", "capture.res.hdr(0) -m found";
    "capture.res.ver" "capture.res.ver" [] Str First SINCE_RESPONSE
        |ctx, _, visit| give(response(ctx).map(|head| Sample::Str(long_version(head.version()))), visit),
        "The version of the response: `HTTP/1.0` or `HTTP/1.1`.", "capture.res.ver HTTP/1.1";
    "dump_all_vars" "dump_all_vars([<scope>[,<prefix>[,<delimiter>]]])" [SCOPE, PREFIX, DELIMITER] Str First SINCE_ACCEPT
        dump_all_vars,
        "The variables that are set, as `name=value` with `, ` or the delimiter between: of all scopes or one, and only those \
         whose name behind the scope begins so. Text is quoted and escaped, bytes are written in hexadecimal after an `x`.",
        "dump_all_vars(txn) -m sub tenant";
    "fc.timer.handshake" "fc.timer.handshake" [] Int First SINCE_REQUEST
        |ctx, _, visit| timer(ctx, |times| times.handshake, visit),
        "Milliseconds that the PROXY header and the TLS handshake took, as `%Th`.", "fc.timer.handshake gt 100";
    "fc.timer.total" "fc.timer.total" [] Int First AT_END |ctx, _, visit| timer(ctx, |times| times.total, visit),
        "Milliseconds from the accepted connection, or the request before, to the end, as `%Tt`.", "fc.timer.total gt 1000";
    "fs.rst_code" "fs.rst_code" [] Int First AT_END
        |ctx, _, visit| give(ctx.progress.resets[0].map(|code| Sample::Int(code.into())), visit),
        "The code with which the client reset the HTTP/2 stream, or its connection.", "fs.rst_code 8";
    "last_entity" "last_entity" [] Str First SINCE_REQUEST
        |ctx, _, visit| entity(ctx, ctx.memo.wishes.last_rule.as_ref(), visit),
        "The last rule that ended its rule set, as `file:line`.", "last_entity -m found";
    "last_rule_file" "last_rule_file" [] Str First SINCE_REQUEST
        |ctx, _, visit| give(
            ctx.memo.wishes.last_rule.as_ref().map(|place| Sample::Str(place.file.as_bytes())), visit,
        ),
        "The file of the last rule that ended its rule set.", "last_rule_file -m found";
    "last_rule_line" "last_rule_line" [] Int First SINCE_REQUEST
        |ctx, _, visit| give(ctx.memo.wishes.last_rule.as_ref().map(|place| Sample::Int(place.line.into())), visit),
        "The line of the last rule that ended its rule set.", "last_rule_line gt 0";
    "prio_class" "prio_class" [] Int First SINCE_REQUEST
        |ctx, _, visit| visit(Sample::Int(ctx.memo.wishes.priority_class.into())),
        "The class that `set-priority-class` gave the request; 0 unless set.", "prio_class lt 5";
    "prio_offset" "prio_offset" [] Int First SINCE_REQUEST
        |ctx, _, visit| visit(Sample::Int(ctx.memo.wishes.priority_offset.into())),
        "The offset that `set-priority-offset` gave the request, in milliseconds; 0 unless set.", "prio_offset gt 0";
    "req.timer.hdr" "req.timer.hdr" [] Int First SINCE_REQUEST |ctx, _, visit| timer(ctx, |times| times.request, visit),
        "Milliseconds from the first byte of the request to the end of its head, as `%TR`; -1: it did not end.",
        "req.timer.hdr gt 1000";
    "req.timer.idle" "req.timer.idle" [] Int First SINCE_REQUEST |ctx, _, visit| timer(ctx, |times| times.idle, visit),
        "Milliseconds the connection was idle before the request, as `%Ti`.", "req.timer.idle gt 1000";
    "req.timer.queue" "req.timer.queue" [] Int First SINCE_SERVER |ctx, _, visit| timer(ctx, |times| times.queue, visit),
        "Milliseconds the request waited in queues, as `%Tw`; -1: it did not come to that.", "req.timer.queue gt 100";
    "req.timer.tq" "req.timer.tq" [] Int First SINCE_REQUEST
        |ctx, _, visit| timer(ctx, |times| match times.request {
            ..0 => -1,
            request => times.handshake.max(0) + times.idle.max(0) + request,
        }, visit),
        "Milliseconds from the accepted connection, or the request before, to the end of the head, as `%Tq`; -1: it did \
         not end.", "req.timer.tq gt 1000";
    "res.timer.data" "res.timer.data" [] Int First AT_END |ctx, _, visit| timer(ctx, |times| times.data, visit),
        "Milliseconds that the body of the response took, as `%Td`; -1: it did not end.", "res.timer.data gt 1000";
    "res.timer.hdr" "res.timer.hdr" [] Int First SINCE_RESPONSE |ctx, _, visit| timer(ctx, |times| times.response, visit),
        "Milliseconds from the connected server to the end of the head of its response, as `%Tr`; -1: it did not come.",
        "res.timer.hdr gt 1000";
    "term_events" "term_events" [] Str First AT_END
        |ctx, _, visit| give(Some(ctx.progress.reason[1]).filter(|code| !code.is_empty()).map(|code| Sample::Str(code.as_bytes())), visit),
        "The code of the reason why the transaction ended, as `evenkeel explain` takes it.", "term_events EV214";
    "txn.conn_retries" "txn.conn_retries" [] Int First SINCE_SERVER
        |ctx, _, visit| visit(Sample::Int(ctx.progress.retries.into())),
        "Attempts to reach a server after the first, as `%rc`.", "txn.conn_retries gt 0";
    "txn.id32" "txn.id32" [] Int First SINCE_REQUEST
        |ctx, _, visit| visit(Sample::Int(ctx.progress.serial as i64 & 0xffff_ffff)),
        "The number of the transaction among those of its worker, modulo 4294967296.", "txn.id32 gt 0";
    "txn.redispatched" "txn.redispatched" [] Bool First SINCE_SERVER
        |ctx, _, visit| visit(Sample::Bool(ctx.progress.redispatched)),
        "Whether the request went to another server than the one first chosen (`option.redispatch`).", "txn.redispatched";
    "txn.sess_term_state" "txn.sess_term_state" [] Str First AT_END
        |ctx, _, visit| give(ctx.progress.letters.get(..2).map(|letters| Sample::Str(letters.as_bytes())), visit),
        "The two letters of the termination state, as in the log.", "txn.sess_term_state sC";
    "txn.timer.total" "txn.timer.total" [] Int First AT_END |ctx, _, visit| timer(ctx, |times| times.active, visit),
        "Milliseconds from the first byte of the request to the end, as `%Ta`; -1: it did not come to that.",
        "txn.timer.total gt 1000";
    "txn.timer.user" "txn.timer.user" [] Int First AT_END
        |ctx, _, visit| timer(ctx, |times| match times.total {
            ..0 => -1,
            total => total - times.idle.max(0),
        }, visit),
        "Milliseconds as the user saw them, `fc.timer.total` without the idle time, as `%Tu`.", "txn.timer.user gt 1000";
    "unique-id" "unique-id" [] Str First SINCE_ACCEPT unique_id,
        "The id of the request, made of `unique-id-format`; undefined without that.", "unique-id -m found";
    "waiting_entity" "waiting_entity" [] Str First SINCE_REQUEST
        |ctx, _, visit| entity(ctx, ctx.memo.wishes.waiting.as_ref(), visit),
        "The rule that waits, or waited when the transaction ended, as `file:line`: for data, for time, for an answer.",
        "waiting_entity -m found";
    "var" "var(<name>[,<default>])" [Arg::one("name", ArgKind::Var), Arg::maybe("default", ArgKind::Text)]
        Any First SINCE_ACCEPT variable,
        "The variable, with the type it was set with; the default, as text, while it is not set.",
        "var(txn.tenant,none) -m str none";
}

/// Scopes in HAProxy's order; within one, variables are in order of their names, so that the same state gives the same text.
fn dump_all_vars(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    const ORDER: [VarScope; 5] = [VarScope::Sess, VarScope::Txn, VarScope::Req, VarScope::Res, VarScope::Proc];
    let (only, prefix) = (Value::text(args, 0), Value::text(args, 1));
    let delimiter = if args.len() > 2 { Value::text(args, 2) } else { b", " };
    let mut lines: Vec<(usize, String, Vec<u8>)> = Vec::new();
    let mut size = 0;
    let mut take = |name: &str, stored: &Stored| {
        let Some((scope, rest)) = name.split_once('.') else { return };
        let rank = ORDER.iter().position(|known| known.name() == scope).unwrap_or(ORDER.len());
        let wanted = only.is_empty() || scope.as_bytes() == only;
        if wanted && rest.as_bytes().starts_with(prefix) && size <= DUMP {
            let mut value = Vec::new();
            write_value(stored, &mut value);
            size += name.len() + 1 + value.len() + delimiter.len();
            lines.push((rank, name.to_owned(), value));
        }
    };
    ctx.session.vars.borrow().iter().for_each(|(name, stored)| take(name, stored));
    ctx.memo.vars.borrow().iter().for_each(|(name, stored)| take(name, stored));
    if only.is_empty() || only == VarScope::Proc.name().as_bytes() {
        ctx.world.proc_vars().each(&mut take);
    }
    if size > DUMP {
        return ControlFlow::Continue(());
    }
    lines.sort_unstable();
    let lines: Vec<Vec<u8>> =
        lines.into_iter().map(|(_, name, value)| [name.as_bytes(), b"=", &value].concat()).collect();
    visit(Sample::Str(&lines.join(delimiter)))
}

fn write_value(stored: &Stored, out: &mut Vec<u8>) {
    match stored {
        Stored::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Stored::Int(_) | Stored::Ip(_) => out.extend_from_slice(stored.sample().as_bytes(&mut Scratch::new())),
        Stored::Str(text) => {
            out.push(b'"');
            for &byte in text {
                match byte {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\r' => out.extend_from_slice(b"\\r"),
                    b'\x08' => out.extend_from_slice(b"\\b"),
                    0 => out.extend_from_slice(b"\\0"),
                    _ => out.push(byte),
                }
            }
            out.push(b'"');
        }
        Stored::Bin(bytes) => {
            out.push(b'x');
            for byte in bytes {
                out.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
        }
    }
}

fn variable(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(name) = Value::var(args, 0) else { return ControlFlow::Continue(()) };
    ctx.buffers.with(|copy| {
        let stored = ctx.var(name, |stored| match stored {
            Stored::Str(text) => {
                copy.extend_from_slice(text);
                Sample::Str(b"")
            }
            Stored::Bin(bytes) => {
                copy.extend_from_slice(bytes);
                Sample::Bin(b"")
            }
            Stored::Bool(value) => Sample::Bool(*value),
            Stored::Int(value) => Sample::Int(*value),
            Stored::Ip(value) => Sample::Ip(*value),
        });
        match (stored, args.get(1)) {
            (Some(Sample::Str(_)), _) => visit(Sample::Str(copy)),
            (Some(Sample::Bin(_)), _) => visit(Sample::Bin(copy)),
            (Some(other), _) => visit(other),
            (None, Some(Value::Str(default))) => visit(Sample::Str(default)),
            (None, _) => ControlFlow::Continue(()),
        }
    })
}

fn unique_id(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    ctx.buffers.with(|copy| {
        copy.extend_from_slice(&ctx.memo.unique_id.borrow());
        if copy.is_empty() { ControlFlow::Continue(()) } else { visit(Sample::Str(copy)) }
    })
}

fn slot(ctx: &Ctx<'_>, slots: &RefCell<Slots>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(at) = Value::int(args, 0).and_then(|at| usize::try_from(at).ok()) else {
        return ControlFlow::Continue(());
    };
    ctx.buffers.with(|copy| {
        let found = slots.borrow().get(at).map(|value| copy.extend_from_slice(value)).is_some();
        if found { visit(Sample::Str(copy)) } else { ControlFlow::Continue(()) }
    })
}

/// The slots themselves may be declared further down, by rules of the frontend or of a backend's many frontends.
fn check_slot(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    match Value::int(args, 0) {
        Some(..0) => Err("capture slots are numbered from 0".into()),
        _ => Ok(()),
    }
}

fn timer(ctx: &Ctx<'_>, of: fn(&Times) -> i64, visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Int(of(&ctx.progress.times)))
}

fn long_version(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
        Version::Http2 => b"HTTP/2.0",
    }
}

fn entity(ctx: &Ctx<'_>, place: Option<&Place>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(place) = place else { return ControlFlow::Continue(()) };
    ctx.buffers.with(|out| {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{place}");
        visit(Sample::Str(out))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ctx::Phase;
    use crate::testing::{REQUEST, expr, refused, scene, show};
    use crate::trace::Place;
    use crate::vars::VarRef;

    #[test]
    fn variables_keep_their_type() {
        let mut scene = scene(REQUEST);
        scene.with(|ctx| {
            for (name, value) in [
                ("txn.a", Sample::Str(b"x")),
                ("sess.b", Sample::Int(7)),
                ("req.c", Sample::Bin(&[1, 255])),
                ("proc.d", Sample::Ip("10.0.0.1".parse().unwrap())),
            ] {
                assert!(ctx.set_var(&VarRef::parse(name).unwrap(), &value));
            }
        });
        for (text, expected) in [
            ("var(txn.a)", "x"),
            ("var(sess.b)", "7"),
            ("var(req.c)", "01FF"),
            ("var(proc.d)", "10.0.0.1"),
            ("var(txn.none)", "-"),
            ("var(txn.none,)", ""),
            ("var(txn.none,dflt)", "dflt"),
            ("var(txn.a,dflt)", "x"),
            ("var(txn.a),upper", "X"),
        ] {
            assert_eq!(show(&mut scene, Phase::Request, text), expected, "{text}");
        }
        assert!(refused("var(a)") && refused("var(foo.a)") && refused("var"));
    }

    #[test]
    fn all_variables_are_listed_by_scope_and_name() {
        let mut scene = scene(REQUEST);
        assert_eq!(show(&mut scene, Phase::Request, "dump_all_vars"), "");
        scene.with(|ctx| {
            for (name, value) in [
                ("proc.d", Sample::Ip("10.0.0.1".parse().unwrap())),
                ("txn.b", Sample::Str(b"say \"x\\\"\r\n\0")),
                ("txn.a", Sample::Int(-7)),
                ("txn.ab", Sample::Bool(true)),
                ("sess.b", Sample::Bool(false)),
                ("req.c", Sample::Bin(&[1, 255])),
            ] {
                assert!(ctx.set_var(&VarRef::parse(name).unwrap(), &value));
            }
        });
        for (text, expected) in [
            (
                "dump_all_vars",
                r#"sess.b=false, txn.a=-7, txn.ab=true, txn.b="say \"x\\\"\r\n\0", req.c=x01ff, proc.d=10.0.0.1"#,
            ),
            ("dump_all_vars(txn,a)", "txn.a=-7, txn.ab=true"),
            ("dump_all_vars(,b,|)", r#"sess.b=false|txn.b="say \"x\\\"\r\n\0""#),
            ("dump_all_vars(res)", ""),
            ("dump_all_vars(proc)", "proc.d=10.0.0.1"),
        ] {
            assert_eq!(show(&mut scene, Phase::Request, text), expected, "{text}");
        }
        assert!(refused("dump_all_vars(foo)"));
        let long = vec![b'x'; 60_000];
        scene.with(|ctx| {
            for name in ["proc.e", "sess.e"] {
                assert!(ctx.set_var(&VarRef::parse(name).unwrap(), &Sample::Str(&long)));
            }
        });
        assert_eq!(show(&mut scene, Phase::Request, "dump_all_vars"), "-");
    }

    #[test]
    fn a_variable_may_be_written_while_it_is_read() {
        let mut scene = scene(REQUEST);
        let (name, read) = (VarRef::parse("txn.a").unwrap(), expr("var(txn.a)"));
        scene.with(|ctx| {
            ctx.set_var(&name, &Sample::Str(b"old"));
            let seen = read.one(ctx, |sample| {
                ctx.set_var(&name, &Sample::Str(b"new"));
                sample == Sample::Str(b"old")
            });
            assert_eq!(seen, Some(true));
        });
    }

    #[test]
    fn captures_and_the_last_rule_are_kept() {
        let mut scene = scene(REQUEST).answered("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        scene.memo.captured_request.get_mut().set(1, b"v");
        scene.memo.unique_id.get_mut().extend_from_slice(b"id-1");
        scene.memo.wishes.last_rule = Some(Place { file: "a.toml".into(), line: 7 });
        scene.request.set_target(b"/changed").unwrap();
        for (text, expected) in [
            ("capture.req.hdr(0)", "-"),
            ("capture.req.hdr(1)", "v"),
            ("capture.req.hdr(2)", "-"),
            ("capture.res.hdr(0)", "-"),
            ("capture.req.method", "POST"),
            ("capture.req.uri", "/api/users?id=7"),
            ("capture.req.ver", "HTTP/1.1"),
            ("capture.res.ver", "HTTP/1.0"),
            ("unique-id", "id-1"),
            ("last_rule_file", "a.toml"),
            ("last_rule_line", "7"),
            ("prio_class", "0"),
        ] {
            assert_eq!(show(&mut scene, Phase::Response, text), expected, "{text}");
        }
        assert!(refused("capture.req.hdr(-1)"));
    }

    #[test]
    fn timers_are_those_of_the_log() {
        let mut scene = scene(REQUEST);
        let mut at = |times: Times, text: &str| {
            let expr = expr(text);
            scene.at(Phase::Done, |ctx| {
                ctx.progress.times = times;
                expr.one(ctx, |sample| sample.as_int()).flatten()
            })
        };
        let times = Times {
            handshake: 1,
            idle: 2,
            request: 3,
            queue: 4,
            connect: 5,
            response: 6,
            data: 7,
            active: 25,
            total: 28,
        };
        for (text, expected, before) in [
            ("fc.timer.handshake", 1, 0),
            ("req.timer.idle", 2, 0),
            ("req.timer.hdr", 3, -1),
            ("req.timer.tq", 6, -1),
            ("req.timer.queue", 4, -1),
            ("bc.timer.connect", 5, -1),
            ("res.timer.hdr", 6, -1),
            ("res.timer.data", 7, -1),
            ("txn.timer.total", 25, -1),
            ("txn.timer.user", 26, -1),
            ("fc.timer.total", 28, -1),
        ] {
            assert_eq!((at(times, text), at(Times::NONE, text)), (Some(expected), Some(before)), "{text}");
        }
    }

    #[test]
    fn how_it_went_is_told() {
        let mut scene = scene(REQUEST);
        scene.letters = "sH--".into();
        scene.memo.wishes.last_rule = Some(Place { file: "a.toml".into(), line: 7 });
        scene.memo.wishes.waiting = Some(Place { file: "b.toml".into(), line: 9 });
        scene.at(Phase::Done, |ctx| {
            ctx.progress.retries = 2;
            ctx.progress.redispatched = true;
            ctx.progress.serial = 0x1_0000_0005;
            ctx.progress.reason = ["response_timeout", "EV214", "the server sent no response"];
            for (text, expected) in [
                ("last_entity", "a.toml:7"),
                ("waiting_entity", "b.toml:9"),
                ("term_events", "EV214"),
                ("txn.conn_retries", "2"),
                ("txn.redispatched", "1"),
                ("txn.id32", "5"),
                ("txn.sess_term_state", "sH"),
            ] {
                let mut out = Vec::new();
                assert!(expr(text).write(ctx, &mut out), "{text}");
                assert_eq!(String::from_utf8_lossy(&out), expected, "{text}");
            }
        });
    }
}
