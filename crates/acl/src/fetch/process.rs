//! Fetches of the process and its world: live numbers, time, chance, the environment.
//!
//! Live numbers come from [`World::count`](crate::World::count); one that is not known is an undefined sample, except where
//! HAProxy says -1 for what has no limit.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::ctx::{BackendCount, Count, Ctx, FrontendCount, ProcessCount, ServerCount};
use crate::fetch::{SINCE_ACCEPT, SINCE_REQUEST, Visit, fetch_table, give};
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const BACKEND: Arg = Arg::maybe("backend", ArgKind::Backend);
const FRONTEND: Arg = Arg::maybe("frontend", ArgKind::Frontend);
const SERVER: Arg = Arg::one("server", ArgKind::Server);
const STICK_TABLE: Arg = Arg::maybe("table", ArgKind::Table);
const UNIT: Arg = Arg::maybe("unit", ArgKind::Word(&["s", "ms", "us"]));

fetch_table! {
    "accept_date" "accept_date([<unit>])" [UNIT] Int First SINCE_ACCEPT
        |ctx, args, visit| visit(Sample::Int(in_unit(ctx.session.accepted_us, Value::text(args, 0)))),
        "When the connection was accepted, since 1970: seconds, or the unit `ms` or `us`.", "accept_date gt 0";
    "act_conn" "act_conn" [] Int First SINCE_ACCEPT |ctx, _, visit| process(ctx, ProcessCount::Connections, visit),
        "Client connections of the process.", "act_conn gt 10000";
    "avg_queue" "avg_queue([<backend>])" [BACKEND] Int First SINCE_ACCEPT average_queue,
        "Requests that wait in the backend, for each usable server, rounded up; without one, twice their number.",
        "avg_queue(app) gt 10";
    "be_conn" "be_conn([<backend>])" [BACKEND] Int First SINCE_ACCEPT
        |ctx, args, visit| backend(ctx, args, BackendCount::Connections, visit),
        "Requests in flight in the backend.", "be_conn(app) ge 100";
    "be_conn_free" "be_conn_free([<backend>])" [BACKEND] Int First SINCE_ACCEPT
        |ctx, args, visit| visit(Sample::Int(backend_count(ctx, args, BackendCount::FreeConnections).unwrap_or(-1))),
        "Requests that the usable servers of the backend can take at once beyond those in flight; -1 when one of them has \
         no limit.", "be_conn_free(app) 0";
    "be_sess_rate" "be_sess_rate([<backend>])" [BACKEND] Int First SINCE_ACCEPT
        |ctx, args, visit| backend(ctx, args, BackendCount::SessionRate, visit),
        "Requests that came to the backend in the last second.", "be_sess_rate(app) gt 100";
    "connslots" "connslots([<backend>])" [BACKEND] Int First SINCE_ACCEPT
        |ctx, args, visit| visit(Sample::Int(backend_count(ctx, args, BackendCount::FreeSlots).unwrap_or(-1))),
        "Free places on the servers of the backend and in their queues; -1 when one of them has no limit.",
        "connslots(app) lt 10";
    "date" "date([<offset>[,<unit>]])" [Arg::maybe("offset", ArgKind::Int), UNIT] Int First SINCE_ACCEPT
        |ctx, args, visit| visit(Sample::Int(
            in_unit(ctx.now.unix_us, Value::text(args, 1)).saturating_add(Value::int(args, 0).unwrap_or(0)),
        )),
        "The time since 1970: seconds, or the unit `ms` or `us`, with the offset added in that unit.", "date gt 1700000000";
    "date_us" "date_us" [] Int First SINCE_ACCEPT
        |ctx, _, visit| visit(Sample::Int(ctx.now.unix_us.rem_euclid(1_000_000))),
        "The microseconds within the second of `date`.", "date_us lt 500000";
    "env" "env(<name>)" [Arg::one("name", ArgKind::Str)] Str First SINCE_ACCEPT
        |_, args, visit| give(Value::ready::<Vec<u8>>(args, 1).map(|text| Sample::Str(text)), visit), prepare look_up,
        "The variable of the environment as it was when the configuration was loaded; undefined when it was not set.",
        "env(STAGE) production";
    "fe_conn" "fe_conn([<frontend>])" [FRONTEND] Int First SINCE_ACCEPT
        |ctx, args, visit| frontend(ctx, args, FrontendCount::Connections, visit),
        "Connections of the frontend.", "fe_conn(web) gt 1000";
    "fe_req_rate" "fe_req_rate([<frontend>])" [FRONTEND] Int First SINCE_ACCEPT
        |ctx, args, visit| frontend(ctx, args, FrontendCount::RequestRate, visit),
        "Requests that came to the frontend in the last second.", "fe_req_rate(web) gt 1000";
    "fe_sess_rate" "fe_sess_rate([<frontend>])" [FRONTEND] Int First SINCE_ACCEPT
        |ctx, args, visit| frontend(ctx, args, FrontendCount::SessionRate, visit),
        "Connections that came to the frontend in the last second.", "fe_sess_rate(web) gt 100";
    "hostname" "hostname" [] Str First SINCE_ACCEPT
        |ctx, _, visit| visit(Sample::Str(ctx.world.hostname().as_bytes())),
        "The name of the machine.", "hostname lb1";
    "nbsrv" "nbsrv([<backend>])" [BACKEND] Int First SINCE_ACCEPT
        |ctx, args, visit| backend(ctx, args, BackendCount::UsableServers, visit),
        "Usable servers of the backend.", "nbsrv(app) lt 2";
    "pid" "pid" [] Int First SINCE_ACCEPT |ctx, _, visit| process(ctx, ProcessCount::Pid, visit),
        "The number of the process.", "pid gt 1";
    "queue" "queue([<backend>])" [BACKEND] Int First SINCE_ACCEPT
        |ctx, args, visit| backend(ctx, args, BackendCount::Queue, visit),
        "Requests that wait in the backend and for its servers.", "queue(app) gt 10";
    "rand" "rand([<range>])" [Arg::maybe("range", ArgKind::Int)] Int First SINCE_ACCEPT random, prepare check_range,
        "A random number from 0 up to below the range; without one, below 4294967296. Not for secrets.", "rand(100) lt 5";
    "request_date" "request_date([<unit>])" [UNIT] Int First SINCE_REQUEST
        |ctx, args, visit| visit(Sample::Int(in_unit(ctx.progress.began_us, Value::text(args, 0)))),
        "When the first byte of the request came, since 1970: seconds, or the unit `ms` or `us`.", "request_date gt 0";
    "srv_conn" "srv_conn(<server>)" [SERVER] Int First SINCE_ACCEPT
        |ctx, args, visit| server(ctx, args, ServerCount::Connections, visit),
        "Requests in flight on the server, written `backend/server`, or `server` within its backend.",
        "srv_conn(app/a1) gt 100";
    "srv_conn_free" "srv_conn_free(<server>)" [SERVER] Int First SINCE_ACCEPT
        |ctx, args, visit| visit(Sample::Int(server_count(ctx, args, ServerCount::FreeConnections).unwrap_or(-1))),
        "Requests that the server can take beyond those in flight; -1 when it has no limit.", "srv_conn_free(app/a1) 0";
    "srv_is_up" "srv_is_up(<server>)" [SERVER] Bool First SINCE_ACCEPT
        |ctx, args, visit| give(server_count(ctx, args, ServerCount::Up).map(|up| Sample::Bool(up != 0)), visit),
        "Whether the server is up and not in maintenance.", "srv_is_up(app/a1)";
    "srv_iweight" "srv_iweight(<server>)" [SERVER] Int First SINCE_ACCEPT
        |ctx, args, visit| server(ctx, args, ServerCount::InitialWeight, visit),
        "The configured weight of the server.", "srv_iweight(app/a1) 0";
    "srv_queue" "srv_queue(<server>)" [SERVER] Int First SINCE_ACCEPT
        |ctx, args, visit| server(ctx, args, ServerCount::Queue, visit),
        "Requests that wait for the server.", "srv_queue(app/a1) gt 0";
    "srv_sess_rate" "srv_sess_rate(<server>)" [SERVER] Int First SINCE_ACCEPT
        |ctx, args, visit| server(ctx, args, ServerCount::SessionRate, visit),
        "Requests that went to the server in the last second.", "srv_sess_rate(app/a1) gt 50";
    "srv_uweight" "srv_uweight(<server>)" [SERVER] Int First SINCE_ACCEPT
        |ctx, args, visit| server(ctx, args, ServerCount::UserWeight, visit),
        "The weight of the server as the operator set it.", "srv_uweight(app/a1) 0";
    "srv_weight" "srv_weight(<server>)" [SERVER] Int First SINCE_ACCEPT
        |ctx, args, visit| server(ctx, args, ServerCount::Weight, visit),
        "The weight of the server as it counts now.", "srv_weight(app/a1) 0";
    "stopping" "stopping" [] Bool First SINCE_ACCEPT
        |ctx, _, visit| give(
            ctx.world.count(Count::Process(ProcessCount::Stopping)).map(|stopping| Sample::Bool(stopping != 0)), visit,
        ),
        "Whether the process is in its soft stop.", "stopping";
    "table_avl" "table_avl([<table>])" [STICK_TABLE] Int First SINCE_ACCEPT
        |ctx, args, visit| table(ctx, args, |table| table.size().saturating_sub(table.used()), visit),
        "Entries that still find room in the stick table.", "table_avl(limits) lt 100";
    "table_cnt" "table_cnt([<table>])" [STICK_TABLE] Int First SINCE_ACCEPT
        |ctx, args, visit| table(ctx, args, |table| table.used(), visit),
        "Entries in the stick table.", "table_cnt(limits) gt 1000";
    "thread" "thread" [] Int First SINCE_ACCEPT |ctx, _, visit| process(ctx, ProcessCount::Thread, visit),
        "The number of the worker, from 0.", "thread 0";
    "uptime" "uptime" [] Int First SINCE_ACCEPT |ctx, _, visit| process(ctx, ProcessCount::Uptime, visit),
        "Seconds since the process was started.", "uptime lt 60";
    "uuid" "uuid([<version>])" [Arg::maybe("version", ArgKind::Int)] Str First SINCE_ACCEPT uuid, prepare check_version,
        "A new UUID of version 4 (random) or 7 (ordered by time).", "uuid -m found";
}

/// Microseconds in the unit named; seconds when none is.
fn in_unit(us: i64, unit: &[u8]) -> i64 {
    match unit {
        b"us" => us,
        b"ms" => us.div_euclid(1_000),
        _ => us.div_euclid(1_000_000),
    }
}

fn process(ctx: &Ctx<'_>, count: ProcessCount, visit: &mut Visit<'_>) -> ControlFlow<()> {
    give(ctx.world.count(Count::Process(count)).map(Sample::Int), visit)
}

fn frontend(ctx: &Ctx<'_>, args: &[Value], count: FrontendCount, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(Value::Frontend(name)) = args.first() else { return ControlFlow::Continue(()) };
    give(ctx.world.count(Count::Frontend(name, count)).map(Sample::Int), visit)
}

fn backend_count(ctx: &Ctx<'_>, args: &[Value], count: BackendCount) -> Option<i64> {
    match args.first() {
        Some(Value::Backend(name)) => ctx.world.count(Count::Backend(name, count)),
        _ => None,
    }
}

fn backend(ctx: &Ctx<'_>, args: &[Value], count: BackendCount, visit: &mut Visit<'_>) -> ControlFlow<()> {
    give(backend_count(ctx, args, count).map(Sample::Int), visit)
}

fn server_count(ctx: &Ctx<'_>, args: &[Value], count: ServerCount) -> Option<i64> {
    match args.first() {
        Some(Value::Server(backend, name)) => ctx.world.count(Count::Server(backend, name, count)),
        _ => None,
    }
}

fn server(ctx: &Ctx<'_>, args: &[Value], count: ServerCount, visit: &mut Visit<'_>) -> ControlFlow<()> {
    give(server_count(ctx, args, count).map(Sample::Int), visit)
}

fn average_queue(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let waiting = backend_count(ctx, args, BackendCount::Queue);
    let servers = backend_count(ctx, args, BackendCount::UsableServers);
    let average = waiting.zip(servers).map(|(waiting, servers)| {
        if servers > 0 { waiting.saturating_add(servers - 1) / servers } else { waiting.saturating_mul(2) }
    });
    give(average.map(Sample::Int), visit)
}

fn table(
    ctx: &Ctx<'_>,
    args: &[Value],
    number: fn(&crate::stick::Table) -> usize,
    visit: &mut Visit<'_>,
) -> ControlFlow<()> {
    let table = Value::table(args, 0).and_then(|at| ctx.world.table(at));
    give(table.map(|table| Sample::Int(i64::try_from(number(table)).unwrap_or(i64::MAX))), visit)
}

fn look_up(args: &mut Vec<Value>, env: &Env<'_>) -> Result<(), String> {
    let name = String::from_utf8_lossy(Value::text(args, 0)).into_owned();
    if let Some(text) = (env.library.variable)(&name) {
        args.push(Value::Ready(Arc::new(text)));
    }
    Ok(())
}

/// As many numbers as HAProxy's own are made of: 32 bits.
const RANGE: i64 = 1 << 32;

fn random(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let range = Value::int(args, 0).unwrap_or(RANGE).clamp(1, RANGE) as u64;
    // The upper half of the random number, scaled: no range is favoured by more than its share of 2^32.
    let scaled = ((ctx.world.random() >> 32) * range) >> 32;
    visit(Sample::Int(scaled as i64))
}

fn check_range(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    match Value::int(args, 0) {
        Some(range) if !(1..=RANGE).contains(&range) => Err(format!("the range is from 1 to {RANGE}")),
        _ => Ok(()),
    }
}

fn check_version(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    match Value::int(args, 0) {
        None | Some(4 | 7) => Ok(()),
        Some(other) => Err(format!("there are UUIDs of version 4 and 7 here, not {other}")),
    }
}

fn uuid(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let (high, low) = (ctx.world.random(), ctx.world.random());
    let mut bits = u128::from(high) << 64 | u128::from(low);
    let version = Value::int(args, 0).unwrap_or(4);
    if version == 7 {
        // RFC 9562, 5.7: 48 bits of milliseconds since 1970, the rest random.
        let ms = u128::try_from(ctx.now.unix_us.max(0) / 1_000).unwrap_or(0);
        bits = bits & (u128::MAX >> 48) | ms << 80;
    }
    // RFC 9562, 4.1 and 4.2: the variant and the version.
    bits = bits & !(0xf << 76) & !(0b11 << 62) | (version as u128 & 0xf) << 76 | 0b10 << 62;
    let mut text = [b'-'; 36];
    let mut digits = (0..32).rev().map(|digit| b"0123456789abcdef"[(bits >> (digit * 4)) as usize & 15]);
    for (at, place) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23) {
            *place = digits.next().unwrap_or(b'0');
        }
    }
    visit(Sample::Str(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::Phase;
    use crate::testing::{REQUEST, refused, scene, show};

    #[test]
    fn live_numbers_are_those_of_the_world() {
        let mut scene = scene(REQUEST);
        for (text, before) in
            [("nbsrv(app)", "-"), ("be_conn_free(app)", "-1"), ("connslots(app)", "-1"), ("fe_conn", "-")]
        {
            assert_eq!(show(&mut scene, Phase::Request, text), before, "{text}");
        }
        let world = &mut scene.world;
        world.process.extend([(ProcessCount::Connections, 3), (ProcessCount::Stopping, 1), (ProcessCount::Uptime, 60)]);
        world.frontends.insert(("web".into(), FrontendCount::Connections), 4);
        for (count, value) in [
            (BackendCount::UsableServers, 2),
            (BackendCount::Queue, 5),
            (BackendCount::FreeConnections, 0),
            (BackendCount::Connections, 9),
        ] {
            world.backends.insert(("app".into(), count), value);
        }
        world.servers.insert(("app".into(), "a1".into(), ServerCount::Up), 1);
        world.servers.insert(("app".into(), "a1".into(), ServerCount::Weight), 7);
        for (text, expected) in [
            ("act_conn", "3"),
            ("stopping", "1"),
            ("uptime", "60"),
            ("pid", "-"),
            ("fe_conn", "4"),
            ("fe_conn(web)", "4"),
            ("nbsrv(app)", "2"),
            ("queue(app)", "5"),
            ("avg_queue(app)", "3"),
            ("be_conn(app)", "9"),
            ("be_conn_free(app)", "0"),
            ("srv_is_up(app/a1)", "1"),
            ("srv_weight(app/a1)", "7"),
            ("srv_conn_free(app/a1)", "-1"),
            ("hostname", "localhost"),
        ] {
            assert_eq!(show(&mut scene, Phase::Request, text), expected, "{text}");
        }
        scene.world.backends.insert(("app".into(), BackendCount::UsableServers), 0);
        assert_eq!(show(&mut scene, Phase::Request, "avg_queue(app)"), "10");
        for text in ["nbsrv(none)", "srv_is_up(app/none)", "srv_is_up", "fe_conn(app)", "table_cnt(none)"] {
            assert!(refused(text), "{text}");
        }
    }

    #[test]
    fn dates_have_an_offset_and_a_unit() {
        let mut scene = scene(REQUEST);
        scene.now.unix_us = 1_700_000_000_123_456;
        scene.session.accepted_us = 1_699_999_999_000_001;
        for (text, expected) in [
            ("date", "1700000000"),
            ("date(-5)", "1699999995"),
            ("date(,ms)", "1700000000123"),
            ("date(5,us)", "1700000000123461"),
            ("date_us", "123456"),
            ("accept_date", "1699999999"),
            ("accept_date(us)", "1699999999000001"),
        ] {
            assert_eq!(show(&mut scene, Phase::Request, text), expected, "{text}");
        }
        assert!(refused("date(1,h)") && refused("date(x)"));
    }

    #[test]
    fn chance_stays_in_its_range_and_uuids_have_their_form() {
        let mut scene = scene(REQUEST);
        for (random, range, expected) in [
            (0, "rand(100)", "0"),
            (u64::MAX, "rand(100)", "99"),
            (u64::MAX, "rand", "4294967295"),
            (1 << 63, "rand(100)", "50"),
            (u64::MAX, "rand(1)", "0"),
        ] {
            scene.world.random = random;
            assert_eq!(show(&mut scene, Phase::Request, range), expected, "{random}");
        }
        assert!(refused("rand(0)") && refused("rand(4294967297)") && refused("uuid(5)"));
        scene.world.random = 0x0123_4567_89ab_cdef;
        assert_eq!(show(&mut scene, Phase::Request, "uuid"), "01234567-89ab-4def-8123-456789abcdef");
        scene.now.unix_us = 0x0123_4567_89ab * 1_000;
        assert_eq!(show(&mut scene, Phase::Request, "uuid(7)"), "01234567-89ab-7def-8123-456789abcdef");
    }

    #[test]
    fn the_environment_is_read_when_the_rule_is_compiled() {
        let mut scene = scene(REQUEST);
        assert_eq!(show(&mut scene, Phase::Accept, "env(STAGE)"), "test");
        assert_eq!(show(&mut scene, Phase::Accept, "env(NONE)"), "-");
    }
}
