//! Converters that look the sample up as a key of a stick table.
//!
//! Reading makes no entry and refreshes none. Undefined when the sample cannot be a key of the table, or the table does
//! not store the value; 0 when the key has no entry.

use std::sync::Arc;

use crate::action::track::key_of;
use crate::conv::Conv;
use crate::ctx::Ctx;
use crate::sample::{Sample, Type};
use crate::stick::{DataSel, Entry, Key, Kind, Table};
use crate::value::{Arg, ArgKind, Value};

const NAME: Arg = Arg::maybe("table", ArgKind::Table);
const IDX: Arg = Arg::one("idx", ArgKind::Int);
const DEFAULT: Arg = Arg::maybe("default", ArgKind::Int);

macro_rules! entry {
    ($name:expr, $syntax:expr, [$($arg:expr),*], $output:ident, $run:expr, $doc:expr, $example:expr) => {
        Conv {
            name: $name, syntax: $syntax, args: &[$($arg),*], input: Type::Any, output: Type::$output, doc: $doc,
            example: $example, prepare: None, run: $run,
        }
    };
}

/// Builds the entry of each value, and of each value of an array.
macro_rules! tables {
    (values { $($name:literal |$entry:ident, $now:ident| $value:expr, $doc:literal;)* }
     arrays { $($array:literal $kind:ident, $array_doc:literal;)* }
     more { $($more:expr;)* }) => {
        pub(super) static TABLE: &[Conv] = &[
            $(entry!(
                concat!("table_", $name), concat!("table_", $name, "([<table>])"), [NAME], Int,
                |sample, args, ctx, _| {
                    match find(&sample, Value::table(args, 0)?, ctx)? {
                        Some($entry) => {
                            let $now = ctx.now.mono_ms;
                            $value.map(number)
                        }
                        None => Some(Sample::Int(0)),
                    }
                },
                concat!($doc, " of the key in the table."), concat!("src,table_", $name, "(limits)")
            ),)*
            $(entry!(
                concat!("table_", $array), concat!("table_", $array, "(<idx>[,<table>])"), [IDX, NAME], Int,
                |sample, args, ctx, _| {
                    let index = u16::try_from(Value::int(args, 0)?).ok()?;
                    match find(&sample, Value::table(args, 1)?, ctx)? {
                        Some(entry) => entry.get(DataSel::nth(Kind::$kind, index), ctx.now.mono_ms).map(number),
                        None => Some(Sample::Int(0)),
                    }
                },
                concat!($array_doc, " of the key in the table."), concat!("src,table_", $array, "(0,arrays)")
            ),)*
            $($more,)*
        ];
    };
}

tables! {
    values {
        "bytes_in_cnt" |entry, now| entry.get(Kind::BytesInCnt, now), "Bytes received from clients";
        "bytes_in_rate" |entry, now| entry.get(Kind::BytesInRate, now), "Bytes received from clients in the period";
        "bytes_out_cnt" |entry, now| entry.get(Kind::BytesOutCnt, now), "Bytes sent to clients";
        "bytes_out_rate" |entry, now| entry.get(Kind::BytesOutRate, now), "Bytes sent to clients in the period";
        "conn_cnt" |entry, now| entry.get(Kind::ConnCnt, now), "Tracked connections";
        "conn_cur" |entry, now| entry.get(Kind::ConnCur, now), "Connections that are tracked now";
        "conn_rate" |entry, now| entry.get(Kind::ConnRate, now), "Tracked connections in the period";
        "glitch_cnt" |entry, now| entry.get(Kind::GlitchCnt, now), "Protocol oddities";
        "glitch_rate" |entry, now| entry.get(Kind::GlitchRate, now), "Protocol oddities in the period";
        "gpc0" |entry, now| entry.get(Kind::Gpc0, now), "The first general purpose counter";
        "gpc0_rate" |entry, now| entry.get(Kind::Gpc0Rate, now), "Increments in the period of the first counter";
        "gpc1" |entry, now| entry.get(Kind::Gpc1, now), "The second general purpose counter";
        "gpc1_rate" |entry, now| entry.get(Kind::Gpc1Rate, now), "Increments in the period of the second counter";
        "gpt0" |entry, now| entry.get(Kind::Gpt0, now), "The general purpose tag";
        "http_err_cnt" |entry, now| entry.get(Kind::HttpErrCnt, now), "HTTP errors";
        "http_err_rate" |entry, now| entry.get(Kind::HttpErrRate, now), "HTTP errors in the period";
        "http_fail_cnt" |entry, now| entry.get(Kind::HttpFailCnt, now), "HTTP failures";
        "http_fail_rate" |entry, now| entry.get(Kind::HttpFailRate, now), "HTTP failures in the period";
        "http_req_cnt" |entry, now| entry.get(Kind::HttpReqCnt, now), "HTTP requests";
        "http_req_rate" |entry, now| entry.get(Kind::HttpReqRate, now), "HTTP requests in the period";
        "kbytes_in" |entry, now| entry.get(Kind::BytesInCnt, now).map(|bytes| bytes >> 10),
            "Units of 1024 bytes received from clients";
        "kbytes_out" |entry, now| entry.get(Kind::BytesOutCnt, now).map(|bytes| bytes >> 10),
            "Units of 1024 bytes sent to clients";
        "server_id" |entry, now| entry.get(Kind::ServerId, now), "The number of the server that `stick` remembers";
        "sess_cnt" |entry, now| entry.get(Kind::SessCnt, now), "Sessions";
        "sess_rate" |entry, now| entry.get(Kind::SessRate, now), "Sessions in the period";
        "trackers" |entry, now| entry.trackers(now).map(u64::from), "How many track the entry";
    }
    arrays {
        "gpc" Gpc, "Element <idx> of the counters `gpc`";
        "gpc_rate" GpcRate, "Increments in the period of element <idx> of the counters `gpc`";
        "gpt" Gpt, "Element <idx> of the tags `gpt`";
    }
    more {
        entry!("in_table", "in_table([<table>])", [NAME], Bool, in_table,
            "True when the key has an entry in the table.", "src,in_table(limits)");
        entry!("table_expire", "table_expire([<table>][,<default>])", [NAME, DEFAULT], Int, expire,
            "Milliseconds until the entry of the key expires, 0 when it never does; the default, or nothing, when there \
             is no entry.", "src,table_expire(limits,0)");
        entry!("table_idle", "table_idle([<table>][,<default>])", [NAME, DEFAULT], Int, idle,
            "Milliseconds since the entry of the key was refreshed; the default, or nothing, when there is no entry.",
            "src,table_idle(limits,-1)");
    }
}

fn number(value: u64) -> Sample<'static> {
    Sample::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn table_and_key<'c>(sample: &Sample<'_>, table: usize, ctx: &'c Ctx<'_>) -> Option<(&'c Arc<Table>, Key)> {
    let table = ctx.world.table(table)?;
    Some((table, key_of(table.kind(), sample)?))
}

/// The entry; `None` inside when there is none, outside when the sample is no key.
fn find(sample: &Sample<'_>, table: usize, ctx: &Ctx<'_>) -> Option<Option<Entry>> {
    let (table, key) = table_and_key(sample, table, ctx)?;
    Some(table.get(&key, ctx.now.mono_ms))
}

fn in_table<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (table, key) = table_and_key(&sample, Value::table(args, 0)?, ctx)?;
    Some(Sample::Bool(table.contains(&key, ctx.now.mono_ms)))
}

fn expire<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    match find(&sample, Value::table(args, 0)?, ctx)? {
        Some(entry) => Some(number(entry.expires_in(ctx.now.mono_ms).unwrap_or(0))),
        None => Value::int(args, 1).map(Sample::Int),
    }
}

fn idle<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    match find(&sample, Value::table(args, 0)?, ctx)? {
        Some(entry) => entry.idle(ctx.now.mono_ms).map(number),
        None => Value::int(args, 1).map(Sample::Int),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::conv::testing::{convert_with, refused_with};
    use crate::ctx::Phase;
    use crate::library::Library;
    use crate::stick::{Data, KeyKind, TableDef};
    use crate::testing::{REQUEST, scene};

    fn defs() -> Vec<TableDef> {
        let def = |name: &str, key, expire, store: &[&str]| TableDef {
            name: name.into(),
            key,
            size: 100,
            expire,
            nopurge: false,
            store: store.iter().map(|word| Data::parse(word).unwrap()).collect(),
        };
        let ten = Some(Duration::from_secs(10));
        vec![
            def("st", KeyKind::Ip, ten, &["http_req_cnt", "bytes_in_cnt", "gpt0", "gpc0"]),
            def("arr", KeyKind::Ip, ten, &["gpc(2)", "gpt(2)", "gpc_rate(2,10s)"]),
            def("noexp", KeyKind::Ip, None, &["http_req_cnt"]),
            def("names", KeyKind::String(32), None, &["http_req_cnt"]),
        ]
    }

    #[test]
    fn keys_are_looked_up_as_in_haproxy() {
        let library = Library { tables: defs(), ..Library::default() };
        let mut scene = scene(REQUEST);
        scene.world.tables = library.tables.iter().map(|def| Arc::new(Table::new(def))).collect();
        let now = scene.now.mono_ms;
        let home = std::net::IpAddr::from([127, 0, 0, 1]);
        let tracked: Vec<_> = scene.world.tables[..3]
            .iter()
            .map(|table| table.track(&Key::from_ip(table.kind(), home).unwrap(), now).unwrap())
            .collect();
        for entry in &tracked {
            entry.entry().on_http_request(now);
            entry.entry().add(Kind::BytesInCnt, 5000, now);
            entry.entry().add(DataSel::nth(Kind::Gpc, 1), 3, now);
        }
        let (src, other) = (Sample::Ip(home), Sample::Ip([9, 9, 9, 9].into()));
        let str = |text: &'static str| Sample::Str(text.as_bytes());
        for (sample, step, expected) in [
            (str("127.0.0.1"), "table_http_req_cnt(st)", Some("1")),
            (src, "table_http_req_cnt(st)", Some("1")),
            (src, "table_conn_cnt(st)", None),
            (src, "table_bytes_in_rate(st)", None),
            (src, "table_bytes_in_cnt(st)", Some("5000")),
            (src, "table_kbytes_in(st)", Some("4")),
            (src, "in_table(st)", Some("1")),
            (other, "in_table(st)", Some("0")),
            (other, "table_http_req_cnt(st)", Some("0")),
            (other, "table_conn_cnt(st)", Some("0")),
            (src, "table_expire(st)", Some("10000")),
            (src, "table_idle(st)", Some("0")),
            (other, "table_expire(st)", None),
            (other, "table_expire(st,77)", Some("77")),
            (other, "table_idle(st,77)", Some("77")),
            (src, "table_expire(noexp)", Some("0")),
            (src, "table_trackers(st)", Some("1")),
            (src, "table_gpt0(st)", Some("0")),
            (src, "table_gpc0(st)", Some("0")),
            (src, "table_server_id(st)", None),
            (src, "table_gpc(1,arr)", Some("3")),
            (src, "table_gpc(5,arr)", None),
            (src, "table_gpc(-1,arr)", None),
            (src, "table_gpt(0,arr)", Some("0")),
            (src, "table_gpc_rate(1,arr)", Some("3")),
            (src, "table_gpc(0,st)", None),
            (src, "table_gpc0(arr)", Some("0")),
            (str("xx"), "in_table(st)", None),
            (str("xx"), "table_http_req_cnt(st)", None),
            (src, "in_table(names)", Some("0")),
            (Sample::Ip("::ffff:127.0.0.1".parse().unwrap()), "in_table(st)", Some("1")),
            (Sample::Ip("::1".parse().unwrap()), "in_table(st)", None),
        ] {
            let found = scene.at(Phase::Request, |ctx| convert_with(&library, ctx, sample, step));
            assert_eq!(found.as_deref(), expected, "{sample:?},{step}");
        }
        drop(tracked);
        scene.now.mono_ms += 4000;
        for (step, expected) in [("table_expire(st)", "6000"), ("table_idle(st)", "4000"), ("table_trackers(st)", "0")]
        {
            let found = scene.at(Phase::Request, |ctx| convert_with(&library, ctx, src, step));
            assert_eq!(found.as_deref(), Some(expected), "{step}");
        }
        refused_with(&library, src, "table_http_req_cnt(none)");
        refused_with(&library, src, "table_http_req_cnt");
    }
}
