//! Fetches of stick tables: of what a sticky counter tracks, and of the entry of the client's address.
//!
//! Undefined when nothing is tracked, or when the table does not store the value; 0 when the key has no entry. Reading
//! makes no entry and refreshes none; `inc_` and `clr_` act on each evaluation, as in HAProxy.

use std::ops::ControlFlow;

use crate::ctx::Ctx;
use crate::fetch::{Fetch, Pick, SINCE_ACCEPT, Visit, give, run};
use crate::sample::{Sample, Type};
use crate::stick::{DataSel, Entry, Key, KeyKind, Kind};
use crate::value::{Arg, ArgKind, Value};

const IDX: Arg = Arg::one("idx", ArgKind::Int);
const CTR: Arg = Arg::one("ctr", ArgKind::Counter);
const OTHER: Arg = Arg::maybe("table", ArgKind::OtherTable);
const TABLE_OF_SRC: Arg = Arg::maybe("table", ArgKind::Table);

/// What is done with an entry.
#[derive(Clone, Copy, Debug)]
enum Op {
    Read(Kind),
    /// The value in units of 1024.
    Kilo(Kind),
    Increment(Kind),
    /// Sets it to 0; the value before.
    Clear(Kind),
}

impl Op {
    fn kind(self) -> Kind {
        match self {
            Op::Read(kind) | Op::Kilo(kind) | Op::Increment(kind) | Op::Clear(kind) => kind,
        }
    }

    fn run(self, entry: &Entry, index: u16, now: u64) -> Option<i64> {
        let sel = DataSel::nth(self.kind(), index);
        let value = match self {
            Op::Read(_) => entry.get(sel, now)?,
            Op::Kilo(_) => entry.get(sel, now)? >> 10,
            Op::Increment(_) => entry.add(sel, 1, now)?,
            Op::Clear(_) => entry.set(sel, 0, now)?,
        };
        Some(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

macro_rules! entry {
    ($name:expr, $syntax:expr, [$($arg:expr),*], $output:ident, => ($single:expr), $doc:expr, $example:expr) => {
        Fetch {
            single: Some($single),
            ..entry!($name, $syntax, [$($arg),*], $output, run!($single;), $doc, $example)
        }
    };
    ($name:expr, $syntax:expr, [$($arg:expr),*], $output:ident, $run:expr, $doc:expr, $example:expr) => {
        Fetch {
            name: $name, syntax: $syntax, args: &[$($arg),*], output: Type::$output, pick: Pick::First,
            phases: SINCE_ACCEPT, doc: $doc, example: $example, prepare: None, run: $run, single: None,
        }
    };
}

/// Builds the five forms of each value of an entry, and the two of each value of an array.
macro_rules! sticky_table {
    (values { $($name:literal $op:ident $kind:ident, $doc:literal;)* }
     arrays { $($array:literal $array_op:ident $array_kind:ident, $array_doc:literal;)* }
     others { $($other:expr;)* }) => {
        pub(super) static TABLE: &[Fetch] = &[
            $(
                entry!(
                    concat!("sc_", $name), concat!("sc_", $name, "(<ctr>[,<table>])"), [CTR, OTHER], Int,
                    => (|ctx, args| act(ctx, Value::int(args, 0), 0, (args, 1), Op::$op(Kind::$kind))),
                    concat!($doc, ", of what sticky counter <ctr> tracks, or of its key in another table."),
                    concat!("sc_", $name, "(0) gt 10")
                ),
                entry!(
                    concat!("sc0_", $name), concat!("sc0_", $name, "([<table>])"), [OTHER], Int,
                    => (|ctx, args| act(ctx, Some(0), 0, (args, 0), Op::$op(Kind::$kind))),
                    concat!("Short for sc_", $name, "(0)."), concat!("sc0_", $name, " gt 10")
                ),
                entry!(
                    concat!("sc1_", $name), concat!("sc1_", $name, "([<table>])"), [OTHER], Int,
                    => (|ctx, args| act(ctx, Some(1), 0, (args, 0), Op::$op(Kind::$kind))),
                    concat!("Short for sc_", $name, "(1)."), concat!("sc1_", $name, " gt 10")
                ),
                entry!(
                    concat!("sc2_", $name), concat!("sc2_", $name, "([<table>])"), [OTHER], Int,
                    => (|ctx, args| act(ctx, Some(2), 0, (args, 0), Op::$op(Kind::$kind))),
                    concat!("Short for sc_", $name, "(2)."), concat!("sc2_", $name, " gt 10")
                ),
                entry!(
                    concat!("src_", $name), concat!("src_", $name, "([<table>])"), [TABLE_OF_SRC], Int,
                    => (|ctx, args| of_src(ctx, 0, (args, 0), Op::$op(Kind::$kind))),
                    concat!($doc, ", of the client address in the table."), concat!("src_", $name, "(limits) gt 10")
                ),
            )*
            $(
                entry!(
                    concat!("sc_", $array), concat!("sc_", $array, "(<idx>,<ctr>[,<table>])"), [IDX, CTR, OTHER], Int,
                    => (|ctx, args| act(ctx, Value::int(args, 1), index(args)?, (args, 2), Op::$array_op(Kind::$array_kind))),
                    concat!($array_doc, ", of what sticky counter <ctr> tracks, or of its key in another table."),
                    concat!("sc_", $array, "(1,0) gt 10")
                ),
                entry!(
                    concat!("src_", $array), concat!("src_", $array, "(<idx>[,<table>])"), [IDX, TABLE_OF_SRC], Int,
                    => (|ctx, args| of_src(ctx, index(args)?, (args, 1), Op::$array_op(Kind::$array_kind))),
                    concat!($array_doc, ", of the client address in the table."),
                    concat!("src_", $array, "(1,arrays) gt 10")
                ),
            )*
            $($other,)*
        ];
    };
}

sticky_table! {
    values {
        "bytes_in_rate" Read BytesInRate, "Bytes received from the client in the period";
        "bytes_out_rate" Read BytesOutRate, "Bytes sent to the client in the period";
        "clr_gpc0" Clear Gpc0, "Sets the first general purpose counter to 0: its value before";
        "clr_gpc1" Clear Gpc1, "Sets the second general purpose counter to 0: its value before";
        "conn_cnt" Read ConnCnt, "Connections counted";
        "conn_cur" Read ConnCur, "Connections of this moment";
        "conn_rate" Read ConnRate, "Connections in the period";
        "get_gpc0" Read Gpc0, "The first general purpose counter";
        "get_gpc1" Read Gpc1, "The second general purpose counter";
        "get_gpt0" Read Gpt0, "The first general purpose tag";
        "glitch_cnt" Read GlitchCnt, "Protocol oddities counted";
        "glitch_rate" Read GlitchRate, "Protocol oddities in the period";
        "gpc0_rate" Read Gpc0Rate, "Increments of the first general purpose counter in the period";
        "gpc1_rate" Read Gpc1Rate, "Increments of the second general purpose counter in the period";
        "http_err_cnt" Read HttpErrCnt, "Invalid, denied and 4xx requests counted";
        "http_err_rate" Read HttpErrRate, "Invalid, denied and 4xx requests in the period";
        "http_fail_cnt" Read HttpFailCnt, "Requests that failed by a server counted";
        "http_fail_rate" Read HttpFailRate, "Requests that failed by a server in the period";
        "http_req_cnt" Read HttpReqCnt, "HTTP requests counted";
        "http_req_rate" Read HttpReqRate, "HTTP requests in the period";
        "inc_gpc0" Increment Gpc0, "Adds 1 to the first general purpose counter: its new value";
        "inc_gpc1" Increment Gpc1, "Adds 1 to the second general purpose counter: its new value";
        "kbytes_in" Kilo BytesInCnt, "Kilobytes received from the client";
        "kbytes_out" Kilo BytesOutCnt, "Kilobytes sent to the client";
        "sess_cnt" Read SessCnt, "Sessions counted";
        "sess_rate" Read SessRate, "Sessions in the period";
    }
    arrays {
        "clr_gpc" Clear Gpc, "Sets element <idx> of the counters `gpc` to 0: its value before";
        "get_gpc" Read Gpc, "Element <idx> of the counters `gpc`";
        "get_gpt" Read Gpt, "Element <idx> of the tags `gpt`";
        "gpc_rate" Read GpcRate, "Increments of element <idx> of the counters `gpc` in the period";
        "inc_gpc" Increment Gpc, "Adds 1 to element <idx> of the counters `gpc`: its new value";
    }
    others {
        entry!("sc_key", "sc_key(<ctr>)", [CTR], Any, key, "The key that sticky counter <ctr> tracks.", "sc_key(0) -m found");
        entry!("sc0_key", "sc0_key", [], Any, |ctx, _, visit| key_of(ctx, 0, visit), "Short for sc_key(0).",
            "sc0_key -m found");
        entry!("sc1_key", "sc1_key", [], Any, |ctx, _, visit| key_of(ctx, 1, visit), "Short for sc_key(1).",
            "sc1_key -m found");
        entry!("sc2_key", "sc2_key", [], Any, |ctx, _, visit| key_of(ctx, 2, visit), "Short for sc_key(2).",
            "sc2_key -m found");
        entry!("sc_tracked", "sc_tracked(<ctr>)", [CTR], Bool,
            |ctx, args, visit| is_tracked(ctx, Value::int(args, 0), visit),
            "Whether sticky counter <ctr> tracks something.", "sc_tracked(0)");
        entry!("sc0_tracked", "sc0_tracked", [], Bool, |ctx, _, visit| is_tracked(ctx, Some(0), visit),
            "Short for sc_tracked(0).", "sc0_tracked");
        entry!("sc1_tracked", "sc1_tracked", [], Bool, |ctx, _, visit| is_tracked(ctx, Some(1), visit),
            "Short for sc_tracked(1).", "sc1_tracked");
        entry!("sc2_tracked", "sc2_tracked", [], Bool, |ctx, _, visit| is_tracked(ctx, Some(2), visit),
            "Short for sc_tracked(2).", "sc2_tracked");
        entry!("sc_trackers", "sc_trackers(<ctr>[,<table>])", [CTR, OTHER], Int,
            |ctx, args, visit| trackers(ctx, Value::int(args, 0), (args, 1), visit),
            "How many track what sticky counter <ctr> tracks, or its key in another table.", "sc_trackers(0) gt 10");
        entry!("sc0_trackers", "sc0_trackers([<table>])", [OTHER], Int,
            |ctx, args, visit| trackers(ctx, Some(0), (args, 0), visit), "Short for sc_trackers(0).", "sc0_trackers gt 10");
        entry!("sc1_trackers", "sc1_trackers([<table>])", [OTHER], Int,
            |ctx, args, visit| trackers(ctx, Some(1), (args, 0), visit), "Short for sc_trackers(1).", "sc1_trackers gt 10");
        entry!("sc2_trackers", "sc2_trackers([<table>])", [OTHER], Int,
            |ctx, args, visit| trackers(ctx, Some(2), (args, 0), visit), "Short for sc_trackers(2).", "sc2_trackers gt 10");
        entry!("src_updt_conn_cnt", "src_updt_conn_cnt([<table>])", [TABLE_OF_SRC], Int,
            => (|ctx, args| of_src(ctx, 0, (args, 0), Op::Increment(Kind::ConnCnt))),
            "Adds 1 to the connections counted of the client address in the table: the new number.",
            "src_updt_conn_cnt(limits) gt 10");
    }
}

/// The arguments, and at which of them the table stands.
type At<'a> = (&'a [Value], usize);

/// The entry that counter `ctr` is about.
enum Found<'e> {
    /// It tracks nothing, or its key is no key of the other table.
    Nothing,
    /// The other table has no entry of its key.
    NoEntry,
    Tracked(&'e Entry),
    Other(Entry),
}

fn find<'c>(ctx: &'c Ctx<'_>, ctr: Option<i64>, (args, at): At<'_>) -> Found<'c> {
    let Some(entry) = ctr.and_then(|ctr| usize::try_from(ctr).ok()).and_then(|ctr| ctx.tracked(ctr)) else {
        return Found::Nothing;
    };
    let Some(other) = Value::table(args, at) else { return Found::Tracked(entry.entry()) };
    let Some(table) = ctx.world.table(other) else { return Found::Nothing };
    if std::sync::Arc::ptr_eq(table, entry.table()) {
        return Found::Tracked(entry.entry());
    }
    match entry.key().and_then(|key| key.convert(table.kind())) {
        Some(key) => table.get(&key, ctx.now.mono_ms).map_or(Found::NoEntry, Found::Other),
        None => Found::Nothing,
    }
}

fn act<'c>(ctx: &'c Ctx<'_>, ctr: Option<i64>, index: u16, at: At<'_>, op: Op) -> Option<Sample<'c>> {
    let value = match find(ctx, ctr, at) {
        Found::Nothing => None,
        Found::NoEntry => Some(0),
        Found::Tracked(entry) => op.run(entry, index, ctx.now.mono_ms),
        Found::Other(entry) => op.run(&entry, index, ctx.now.mono_ms),
    };
    value.map(Sample::Int)
}

fn index(args: &[Value]) -> Option<u16> {
    Value::int(args, 0).and_then(|index| u16::try_from(index).ok())
}

fn of_src<'c>(ctx: &'c Ctx<'_>, index: u16, (args, at): At<'_>, op: Op) -> Option<Sample<'c>> {
    let now = ctx.now.mono_ms;
    let table = ctx.world.table(Value::table(args, at)?)?;
    let key = Key::from_ip(table.kind(), ctx.session.src?.ip())?;
    if let Op::Increment(kind) = op {
        let value = table.add(&key, DataSel::nth(kind, index), 1, now)?;
        return Some(Sample::Int(i64::try_from(value).unwrap_or(i64::MAX)));
    }
    match table.get(&key, now) {
        Some(entry) => op.run(&entry, index, now).map(Sample::Int),
        None => Some(Sample::Int(0)),
    }
}

fn is_tracked(ctx: &Ctx<'_>, ctr: Option<i64>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    visit(Sample::Bool(!matches!(find(ctx, ctr, (&[], 0)), Found::Nothing)))
}

fn trackers(ctx: &Ctx<'_>, ctr: Option<i64>, at: At<'_>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let value = match find(ctx, ctr, at) {
        Found::Nothing => None,
        Found::NoEntry => Some(0),
        Found::Tracked(entry) => entry.trackers(ctx.now.mono_ms),
        Found::Other(entry) => entry.trackers(ctx.now.mono_ms),
    };
    give(value.map(|value| Sample::Int(value.into())), visit)
}

fn key(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    match Value::int(args, 0).and_then(|ctr| usize::try_from(ctr).ok()) {
        Some(ctr) => key_of(ctx, ctr, visit),
        None => ControlFlow::Continue(()),
    }
}

fn key_of(ctx: &Ctx<'_>, ctr: usize, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(key) = ctx.tracked(ctr).and_then(|entry| entry.key()) else { return ControlFlow::Continue(()) };
    match key.kind() {
        KeyKind::Ip | KeyKind::Ipv6 => give(key.ip().map(Sample::Ip), visit),
        KeyKind::Integer => {
            let bytes = key.bytes().try_into().map(u32::from_be_bytes);
            give(bytes.ok().map(|value| Sample::Int(value.into())), visit)
        }
        KeyKind::String(_) => visit(Sample::Str(&key.bytes())),
        KeyKind::Binary(_) => visit(Sample::Bin(&key.bytes())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ctx::Phase;
    use crate::scene::Scene;
    use crate::testing::{REQUEST, refused, scene, show};

    /// Counter 0 tracks the client in table `web`, counter 1 the text `abc` in table `names`.
    fn tracking() -> Scene {
        let mut scene = scene(REQUEST);
        let now = scene.now.mono_ms;
        let [web, _, _, names] = &scene.world.tables[..] else { panic!("four tables") };
        let client = Key::from_ip(web.kind(), scene.session.src.unwrap().ip()).unwrap();
        let entry = web.track(&client, now).unwrap();
        entry.on_http_request(now);
        entry.on_connection(now);
        entry.on_bytes(5_000, 100, now);
        scene.session.tracks.set(0, entry);
        let entry = names.track(&Key::from_bytes(names.kind(), b"abc").unwrap(), now).unwrap();
        scene.memo.tracks.set(1, entry);
        scene
    }

    #[test]
    fn values_are_those_of_haproxy() {
        let mut scene = tracking();
        // In this order: incrementing and clearing act.
        for (text, expected) in [
            ("sc_http_req_cnt(0)", "1"),
            ("sc0_http_req_cnt", "1"),
            ("sc0_http_req_cnt(web)", "1"),
            ("sc_http_req_rate(0)", "1"),
            ("sc_conn_cur(0)", "1"),
            ("sc_http_err_cnt(0)", "0"),
            ("sc_kbytes_in(0)", "4"),
            ("sc_bytes_in_rate(0)", "5000"),
            ("sc_http_req_cnt(0,limits)", "0"),
            ("sc_trackers(0)", "1"),
            ("sc_trackers(0,limits)", "0"),
            ("sc_trackers(2)", "-"),
            ("sc_tracked(0)", "1"),
            ("sc2_tracked", "0"),
            ("sc_conn_cnt(2)", "-"),
            ("sc_http_req_cnt(1)", "0"),
            ("sc_conn_cnt(1)", "-"),
            ("sc_key(0)", "203.0.113.9"),
            ("sc1_key", "abc"),
            ("sc_inc_gpc0(0)", "1"),
            ("sc_inc_gpc0(0)", "2"),
            ("sc_gpc0_rate(0)", "2"),
            ("sc_clr_gpc0(0)", "2"),
            ("sc_get_gpc0(0)", "0"),
            ("sc_inc_gpc0(0,limits)", "0"),
            ("table_cnt(limits)", "0"),
            ("src_conn_cnt(limits)", "0"),
            ("src_inc_gpc0(limits)", "1"),
            ("src_get_gpc0(limits)", "1"),
            ("sc_inc_gpc0(0,limits)", "2"),
            ("src_clr_gpc0(limits)", "2"),
            ("src_updt_conn_cnt(limits)", "1"),
            ("src_updt_conn_cnt(limits)", "2"),
            ("table_cnt(limits)", "1"),
            ("table_avl(limits)", "99"),
            ("src_http_req_cnt", "1"),
            ("src_inc_gpc0(names)", "1"),
            ("src_get_gpt(0,arrays)", "0"),
            ("src_inc_gpc(2,arrays)", "1"),
            ("src_inc_gpc(3,arrays)", "-"),
            ("src_get_gpc(2,arrays)", "1"),
            ("sc_get_gpc(2,0,arrays)", "1"),
            ("src_gpc_rate(2,arrays)", "1"),
            ("sc_inc_gpc0(0,arrays)", "1"),
            ("sc_clr_gpc(2,0,arrays)", "1"),
            ("src_get_gpc(2,arrays)", "0"),
            ("src_conn_cnt(arrays)", "-"),
        ] {
            assert_eq!(show(&mut scene, Phase::Request, text), expected, "{text}");
        }
    }

    #[test]
    fn a_client_without_an_address_has_no_entry() {
        let mut scene = scene(REQUEST);
        scene.session.src = None;
        assert_eq!(show(&mut scene, Phase::Accept, "src_conn_cnt(limits)"), "-");
        assert_eq!(show(&mut scene, Phase::Accept, "src_inc_gpc0(limits)"), "-");
    }

    #[test]
    fn references_are_checked() {
        for text in ["sc_conn_cnt(9)", "sc_conn_cnt", "sc_conn_cnt(0,none)", "src_conn_cnt(none)", "sc_get_gpc(1)"] {
            assert!(refused(text), "{text}");
        }
    }
}
