//! The work of the scenario `rules` of `benches/peers` without sockets: parse a request, run its rules, write the head for
//! the server. `benches/instructions` runs it under callgrind, which counts the same on a busy machine as on an idle one.
//!
//! `instructions [REQUESTS [KIB]]` tells the time of what comes after parsing; with KIB so much memory is walked before each,
//! since in a proxy the kernel leaves little of the caches to the rules.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_acl::stick::{Data, KeyKind, Table, TableDef};
use evenkeel_acl::{AclDef, Acls, Env, Library, RuleKind, RuleLine, RuleSet, Scene, Verdict};
use evenkeel_proto::{Connection, Framing, Limits};

/// Those of `benches/peers/run`.
const ACLS: &[(&str, &str)] = &[
    ("api", "path_beg /api/ /v1/ /v2/"),
    ("static", "path_end .css .js .png .svg .woff2"),
    ("admin", "path_beg /admin /internal /debug"),
    ("office", "src 10.0.0.0/8 192.168.0.0/16 2001:db8::/32"),
    ("hosts", "req.hdr(host) -i www.example.com shop.example.com blog.example.com"),
    ("bots", "req.fhdr(user-agent) -m sub -i crawler spider scrapy"),
    ("numbered", "path_reg ^/item/[0-9]+$"),
    ("proxied", "req.hdr_cnt(x-forwarded-for) gt 5"),
    ("writes", "method POST PUT DELETE"),
    ("secret", "req.hdr(x-secret) -m found"),
];
const RULES: &[&str] = &[
    "track-sc0 src table limits",
    "deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 }",
    "deny if admin !office",
    "deny if bots or proxied or secret",
    "set-header X-Real-IP %[src]",
    "set-header X-Kind static if static",
    "set-header X-Host %[req.hdr(host),lower]",
    "add-header X-Via bench unless writes",
    "del-header X-Debug",
    "set-header X-Api yes if api !numbered hosts",
];
const REQUEST: &str = "GET /small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
                       Gecko/20100101\r\nX-Forwarded-For: 203.0.113.7, 198.51.100.8\r\n\r\n";

/// One after the other; callgrind collects inside of this alone.
#[inline(never)]
fn requests(n: usize, scene: &mut Scene, rules: &RuleSet, out: &mut Vec<u8>) {
    for _ in 0..n {
        parse(scene);
        evaluate(scene, rules);
        encode(scene, out);
    }
}

#[inline(never)]
fn parse(scene: &mut Scene) {
    scene.request.reset();
    scene.request.block_mut().extend_from_slice(REQUEST.as_bytes());
    scene.request.parse_request(&Limits::default()).unwrap();
}

/// With the end of the tracking, which the end of a transaction brings.
#[inline(never)]
fn evaluate(scene: &mut Scene, rules: &RuleSet) {
    scene.memo.clear();
    scene.with(|ctx| assert!(matches!(rules.eval(ctx, &mut 0), Verdict::Continue)));
}

#[inline(never)]
fn encode(scene: &Scene, out: &mut Vec<u8>) {
    out.clear();
    scene.request.encode_request(Framing::Empty, Connection::None, out);
    black_box(&out);
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<usize>().unwrap());
    let (n, kib) = (numbers.next().unwrap_or(20_000), numbers.next().unwrap_or(0));
    let limits = TableDef {
        name: "limits".into(),
        key: KeyKind::Ip,
        size: 100_000,
        expire: Some(Duration::from_secs(60)),
        nopurge: false,
        store: vec![Data::parse("http_req_rate(10s)").unwrap()],
    };
    let library = Library { tables: vec![limits], ..Library::default() };
    let env = Env { library: &library, proxy: "bench" };
    let defs: Vec<AclDef<'_>> = ACLS.iter().map(|&(name, text)| AclDef { name, text }).collect();
    let (acls, errors) = Acls::compile(&defs, &env);
    assert_eq!(errors, []);
    let file: Arc<str> = "evenkeel.toml".into();
    let lines: Vec<RuleLine<'_>> = RULES.iter().map(|text| RuleLine { text, file: &file, line: 1 }).collect();
    let rules = RuleSet::compile(RuleKind::HttpRequest, &lines, &acls, &env).unwrap();
    let (src, dst) = ("127.0.0.1:51234".parse().unwrap(), "127.0.0.1:8080".parse().unwrap());
    let mut scene = Scene::new(REQUEST, src, dst).unwrap();
    scene.world.tables = library.tables.iter().map(|def| Arc::new(Table::new(def))).collect();
    let mut out = Vec::new();
    // Buffers, caches of regular expressions and the entry of the table are there afterwards.
    requests(100, &mut scene, &rules, &mut out);
    requests(n, &mut scene, &rules, &mut out);
    let walked = vec![1u8; kib << 10];
    let mut times: Vec<Duration> = (0..n)
        .map(|_| {
            parse(&mut scene);
            black_box(walked.iter().step_by(64).map(|&byte| u64::from(byte)).sum::<u64>());
            let since = Instant::now();
            evaluate(&mut scene, &rules);
            encode(&scene, &mut out);
            since.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("{} ns for rules and head, median of {n} after {kib} KiB", times[n / 2].as_nanos());
}
