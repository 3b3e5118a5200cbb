//! The analysis against what rules do: by table, and against brute force over requests.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::*;
use crate::acl::{AclDef, Acls};
use crate::rules::RuleLine;
use crate::testing::{Rng, env};
use crate::trace::Trace;

fn acls(defs: &[(&str, &str)]) -> Acls {
    let defs: Vec<AclDef<'_>> = defs.iter().map(|&(name, text)| AclDef { name, text }).collect();
    let (acls, errors) = Acls::compile(&defs, &env());
    assert_eq!(errors, [], "{defs:?}");
    acls
}

/// Lines of a file, from line 1.
fn lines<'a>(texts: &[&'a str], file: &'a Arc<str>) -> Vec<RuleLine<'a>> {
    texts.iter().zip(1..).map(|(text, line)| RuleLine { text, file, line }).collect()
}

fn set(kind: RuleKind, texts: &[&str], acls: &Acls) -> RuleSet {
    let file: Arc<str> = "f".into();
    RuleSet::compile(kind, &lines(texts, &file), acls, &env()).unwrap_or_else(|why| panic!("{texts:?}: {why:?}"))
}

fn switch(texts: &[&str], acls: &Acls) -> Switch {
    let file: Arc<str> = "f".into();
    Switch::compile("backend", &lines(texts, &file), acls, &env()).unwrap()
}

/// `line sentence; witness` of each finding.
fn told(findings: &[Finding]) -> Vec<String> {
    let one = |finding: &Finding| {
        let witness = finding.witness.as_ref().map_or(String::new(), |witness| format!("; {witness}"));
        format!("{} {}{witness}", finding.rule.line, finding.sentence())
    };
    findings.iter().map(one).collect()
}

const DEFS: &[(&str, &str)] = &[
    ("api", "path_beg /api/"),
    ("static", "path_end .css .js"),
    ("static", "path_beg /static/"),
    ("inside", "src 10.0.0.0/8 192.168.0.0/16"),
    ("shop", "hdr(host) -i shop.example"),
];

#[test]
fn rules_that_never_run_are_found_with_a_witness() {
    let acls = acls(DEFS);
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["deny if { path_beg /a }", "allow if { path /a/b }"],
            &["2 is shadowed by the one at f:1; GET http://a.example/a/b"],
        ),
        (
            &["deny if inside { path_beg /x }", "deny if { src 10.1.0.0/16 } { path /x/y } { method POST }"],
            &["2 is shadowed by the one at f:1; POST http://a.example/x/y from 10.1.0.1"],
        ),
        (
            &["allow if METH_GET", "deny if METH_POST METH_PUT", "deny if { method HEAD } { hdr(host) -i A.Example }"],
            &[
                "2 never runs: `METH_POST` and `METH_PUT` exclude each other",
                "3 is shadowed by the one at f:1; HEAD http://a.example/",
            ],
        ),
        (
            &["deny if METH_GET", "deny unless METH_GET", "set-header X-A b"],
            &["3 is shadowed by the one at f:1 and the one at f:2 together; GET http://a.example/"],
        ),
        (
            &["redirect location /new if { path /old }", "deny", "allow if api", "set-header X-A b"],
            &["3 never runs: the one at f:2 takes every request", "4 never runs: the one at f:2 takes every request"],
        ),
        (
            &["deny if shop or api", "return status 200 if shop { dst_port 80:90 }"],
            &["2 is shadowed by the one at f:1; GET http://shop.example/ to port 80"],
        ),
        (
            &["deny if { hdr(host),lower shop.example }", "allow if { req.hdr(Host) -i SHOP.example }"],
            &["2 is shadowed by the one at f:1; GET http://shop.example/"],
        ),
        (
            &["deny if { hdr(host),lower Shop.example }"],
            &["1 never runs: `{ hdr(host),lower Shop.example }` can never hold"],
        ),
        (&["deny if { path_beg api }"], &["1 never runs: `{ path_beg api }` can never hold"]),
        (
            &["deny if { hdr_end(host) .example }", "allow if { hdr_end(host) .shop.example }"],
            &["2 is shadowed by the one at f:1; GET http://www.shop.example/"],
        ),
        (
            &["deny unless inside", "allow if { src 203.0.113.0/24 }"],
            &["2 is shadowed by the one at f:1; anything from 203.0.113.9"],
        ),
        (
            &["deny if { src 0.0.0.0/0 }", "deny if { src 2001:db8::/32 }", "deny if { src ::ffff:10.0.0.0/104 }"],
            &["3 is shadowed by the one at f:1; anything from 10.0.0.1"],
        ),
        (
            &["deny if static", "allow if { path_sub /static/ } { path_end .css }"],
            &["2 is shadowed by the one at f:1; GET http://a.example/static/.css"],
        ),
        (
            &["deny if { dst_port lt 1024 }", "deny if { dst_port ge 1024 }", "allow if { dst_port 8080 }"],
            &["3 is shadowed by the one at f:2; anything to port 8080"],
        ),
        (
            &["deny if { req.hdr(x-team) red blue }", "allow if { hdr(X-Team) blue }"],
            &["2 is shadowed by the one at f:1; GET http://a.example/ with x-team: blue"],
        ),
        // What both look at need not be understood, as long as it is the same.
        (
            &["deny if { path_reg ^/v[0-9]+/ }", "allow if { path_reg ^/v[0-9]+/ } METH_GET"],
            &["2 is shadowed by the one at f:1"],
        ),
        (
            &["deny if { path_reg ^/a }", "deny unless { path_reg ^/a } METH_GET", "allow"],
            &["3 is shadowed by the one at f:1 and the one at f:2 together; GET http://a.example/"],
        ),
        // A sample that is not understood narrows a rule, whatever it is.
        (
            &["deny if api", "set-header X-A b if api { rand(100) lt 5 }"],
            &["2 is shadowed by the one at f:1; GET http://a.example/api/"],
        ),
        // What a rule changes does not matter to those who look at something else.
        (
            &["deny if api", "set-header X-A b", "set-header X-B %[path]", "allow if { path /api/x }"],
            &["4 is shadowed by the one at f:1; GET http://a.example/api/x"],
        ),
        (&["set-header Host b.example", "deny if shop", "allow if shop api"], &["3 is shadowed by the one at f:2"]),
        (
            &["deny if { ssl_fc } { hdr(host) a.example }", "allow if { ssl_fc } { hdr(host) a.example } { path /x }"],
            &["2 is shadowed by the one at f:1; GET https://a.example/x"],
        ),
    ];
    for (texts, want) in cases {
        let found = set(RuleKind::HttpRequest, texts, &acls).shadowed(RuleKind::HttpRequest);
        assert_eq!(told(&found), *want, "{texts:?}");
    }
}

#[test]
fn where_it_cannot_know_it_is_silent() {
    let acls = acls(DEFS);
    for texts in [
        &["deny if api", "allow if { path_beg /ap }"][..],
        // Not final.
        &["set-header X-A b if api", "deny if api"],
        &["redirect location %[req.hdr(x)] ignore-empty if api", "deny if api"],
        // A header may have several values, so both may hold.
        &["deny if { hdr(host) a } { hdr(host) b }"],
        &["deny if { req.hdr(x) a }", "deny if !{ req.hdr(x) a } { req.hdr(x) b }"],
        // What was looked at has changed in between.
        &["deny if shop", "set-header Host b.example if api", "allow if shop"],
        &["deny if { req.hdr(x-a) 1 }", "del-header x- -m beg", "allow if { req.hdr(x-a) 1 }"],
        &["deny if { base_beg a.example/ }", "set-header host b", "allow if { base_beg a.example/ }"],
        // Time, chance and state are never the same twice.
        &["deny if { rand(2) 0 }", "allow if { rand(2) 0 }"],
        &["deny if { date gt 5 }", "allow if { date gt 5 }"],
        &["deny if { rand(2) 0 } !{ rand(2) 0 }"],
        // A client on a Unix socket has no address.
        &["deny if { src 0.0.0.0/0 ::/0 }", "allow"],
        &["deny if { path_reg ^/a }", "allow if { path_reg ^/a/b }"],
        &["deny if { path /a }", "allow if { path_reg ^/a$ }"],
        &["deny if { path -i /a }", "allow if { path /b }"],
        &["deny if { path /A }", "allow if { path -i /a }"],
        // `*` and CONNECT have no path.
        &["deny if { path_beg / }", "allow"],
        &["deny if { url /x }", "allow if { path /x }"],
        // Switched off on purpose.
        &["deny if FALSE", "deny if { path -- }", "deny unless TRUE", "deny if { always_false } api"],
        &["deny if { hdr(x,1) a }", "allow if { hdr(x) a }"],
    ] {
        let found = set(RuleKind::HttpRequest, texts, &acls).shadowed(RuleKind::HttpRequest);
        assert_eq!(told(&found), [""; 0], "{texts:?}");
    }
}

#[test]
fn switches_are_looked_at_as_well() {
    let acls = acls(DEFS);
    let found = switch(&["a if api", "%[req.hdr(x)] if shop", "b if { path /api/v1 }", "c if shop", "d"], &acls);
    assert_eq!(told(&found.shadowed(false)), ["3 is shadowed by the one at f:1; GET http://a.example/api/v1"]);
    assert_eq!(told(&found.shadowed(true)), [""; 0], "a server that is down is passed over");
    let never = switch(&["a if METH_POST METH_GET"], &acls);
    let want = ["1 never runs: `METH_POST` and `METH_GET` exclude each other"];
    assert_eq!(told(&never.shadowed(true)), want);
    assert_eq!(
        told(&found.order_decides()),
        ["4 also matches what the one at f:1 takes: their order decides; GET http://shop.example/api/"]
    );
}

#[test]
fn a_witness_is_none_that_another_rule_takes_before() {
    let texts =
        ["deny unless { src 10.0.0.0/8 }", "deny if { hdr(host) -i A.example }", "deny if { hdr(host) a.example }"];
    let found = set(RuleKind::HttpRequest, &texts, &acls(&[])).shadowed(RuleKind::HttpRequest);
    assert_eq!(told(&found), ["3 is shadowed by the one at f:2; GET http://a.example/ from 10.0.0.1"]);
}

#[test]
fn a_rule_on_the_same_line_is_named_by_its_text() {
    let file: Arc<str> = "f".into();
    let line = |text| RuleLine { text, file: &file, line: 7 };
    let lines = [line("a if { path_beg /a }"), line("b if { path /a/b }")];
    let found = Switch::compile("backend", &lines, &acls(&[]), &env()).unwrap().shadowed(false);
    assert_eq!(told(&found), ["7 is shadowed by `a if { path_beg /a }`; GET http://a.example/a/b"]);
}

#[test]
fn overlaps_are_told_once_with_a_witness() {
    let acls = acls(DEFS);
    let texts =
        ["deny if { path_beg /a/b }", "allow if { path_beg /a } METH_GET", "deny if METH_POST", "deny if inside"];
    let found = set(RuleKind::HttpRequest, &texts, &acls).order_decides(RuleKind::HttpRequest);
    assert_eq!(
        told(&found),
        [
            "2 also matches what the one at f:1 takes: their order decides; GET http://a.example/a/b",
            "4 also matches what the one at f:2 takes: their order decides; GET http://a.example/a from 10.0.0.1",
        ]
    );
}

#[test]
fn rules_on_connections_are_looked_at_by_their_addresses() {
    let acls = acls(&[]);
    let texts = ["accept if { src 10.0.0.0/8 }", "reject if { src 10.1.2.3 }"];
    for kind in [RuleKind::TcpConnection, RuleKind::TcpContent] {
        // The actions of connections may not all be known to the table yet.
        let file: Arc<str> = "f".into();
        let Ok(set) = RuleSet::compile(kind, &lines(&texts, &file), &acls, &env()) else { continue };
        assert_eq!(told(&set.shadowed(kind)), ["2 is shadowed by the one at f:1; anything from 10.1.2.3"]);
    }
}

/// The cost grows with the rules and not with their square.
#[test]
fn a_thousand_rules_cost_a_bounded_number_of_steps() {
    let acls = acls(&[]);
    for (what, text) in [
        ("paths", (|at| format!("deny if {{ path_beg /service-{at}/ }}")) as fn(usize) -> String),
        ("hosts", |at| format!("deny if {{ hdr(host) -i h{at}.example }} METH_GET")),
        ("ends", |at| format!("deny if {{ hdr_end(host) .h{}.example }} {{ path /{at} }}", at % 40)),
        ("networks", |at| format!("deny if {{ src 10.{}.{}.0/24 }}", at / 256, at % 256)),
        ("ports", |at| format!("deny if {{ dst_port {} }} {{ path /x }}", at + 1)),
        ("negated", |at| format!("deny if {{ path /{at} }} !{{ src 10.0.0.{} }} !METH_POST", at % 256)),
    ] {
        let cost = |rules: usize| {
            let mut texts: Vec<String> = (0..rules).map(text).collect();
            texts.push(text(rules / 2));
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mut steps = BUDGET;
            let found = set(RuleKind::HttpRequest, &texts, &acls).shadowed_within(RuleKind::HttpRequest, &mut steps);
            assert_eq!(found.len(), 1, "{what}: the last repeats one in the middle");
            assert_eq!(found[0].index, rules, "{what}");
            BUDGET - steps
        };
        let (some, many) = (cost(250), cost(1000));
        assert!(many < BUDGET / 4, "{what}: {many} steps");
        assert!(many < some * 8, "{what}: {many} steps for four times as many rules as {some}");
    }
}

#[test]
fn what_costs_too_much_is_left_out() {
    let acls = acls(&[]);
    let texts = ["deny if { path_beg /a }", "deny if { path_beg /a/b }"];
    let set = set(RuleKind::HttpRequest, &texts, &acls);
    for budget in [0, 1, 10] {
        assert_eq!(told(&set.shadowed_within(RuleKind::HttpRequest, &mut { budget })), [""; 0], "{budget}");
    }
    // Each alternative is small, all together are too many.
    let many = format!("deny unless {}", ["{ path /a } { method GET } { src 10.0.0.1 }"; 9].join(" or "));
    let distinct: Vec<String> =
        (0..9).map(|at| format!("{{ path /a{at} }} {{ req.hdr(x) y{at} }} {{ src 10.0.0.{at} }}")).collect();
    let distinct = format!("deny unless {}", distinct.join(" or "));
    let texts = [many.as_str(), distinct.as_str(), "allow if { path /b }"];
    let found = self::set(RuleKind::HttpRequest, &texts, &acls).shadowed(RuleKind::HttpRequest);
    assert!(found.iter().all(|finding| finding.index != 0), "{found:?}");
}

/// The parts of which the sweeps make rules, and the requests that tell every combination of them apart.
struct Pool {
    acls: &'static [&'static str],
    requests: Vec<(String, &'static str, u16)>,
}

impl Pool {
    fn scenes(&self) -> Vec<Scene> {
        let scene = |(text, src, port): &(String, &str, u16)| {
            let text = text.as_str();
            // A client on a Unix socket has no address.
            let unix = src.is_empty();
            let src = if unix { "::1" } else { src };
            let src = format!("{}:5", if src.contains(':') { format!("[{src}]") } else { (*src).to_owned() });
            let dst = format!("192.0.2.10:{port}").parse().unwrap();
            let mut scene = Scene::new(text, src.parse().unwrap(), dst).unwrap();
            if unix {
                scene.session.src = None;
            }
            scene
        };
        self.requests.iter().map(scene).collect()
    }
}

fn request(method: &str, target: &str, host: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn path_pool() -> Pool {
    let starts = ["/", "/a", "/a/", "/a/b", "/b", "/x", "/A", "/a/x", "/ab", "/a/B", "/A/b", "/A/"];
    let ends = ["", "x", ".css", "x.css", ".CSS", "/b"];
    let paths = starts.iter().flat_map(|start| ends.iter().map(move |end| format!("{start}{end}")));
    let mut requests: Vec<(String, &str, u16)> = paths
        .flat_map(|path| ["GET", "HEAD", "POST", "PUT"].map(|method| (request(method, &path, "a"), "10.0.0.1", 80)))
        .collect();
    requests.push((request("OPTIONS", "*", "a"), "10.0.0.1", 80));
    requests.extend(["GET", "HEAD", "POST", "PUT"].map(|method| (request(method, "http://a", "a"), "10.0.0.1", 80)));
    Pool {
        acls: &[
            "METH_GET",
            "METH_POST",
            "{ method HEAD }",
            "{ method GET POST }",
            "{ path /a }",
            "{ path /a/ /b }",
            "{ path_beg /a }",
            "{ path_beg /a/ }",
            "{ path_beg / }",
            "{ path_end .css }",
            "{ path -i /A }",
            "{ path_beg -i /a/b }",
            "{ path -m found }",
            "{ path,lower /a }",
        ],
        requests,
    }
}

fn host_pool() -> Pool {
    let names = ["a.example", "A.example", "b.example", "x.example", "x", "w.a.example", "ax", "a.EXAMPLE"];
    // Every set of values, since tests ask whether one of them matches.
    let of = |set: u32| names.iter().enumerate().filter(move |(at, _)| set >> at & 1 == 1).map(|(_, name)| *name);
    let hosts: Vec<String> = (1..1 << names.len()).map(|set| of(set).collect::<Vec<_>>().join(",")).collect();
    let sources = ["10.0.0.1", "10.1.0.1", "192.0.2.7", "2001:db8::1", "2001:db9::1", ""];
    let requests = hosts.iter().flat_map(|host| {
        sources.iter().flat_map(move |&src| [80, 443, 8080, 9090].map(|port| (request("GET", "/", host), src, port)))
    });
    Pool {
        acls: &[
            "{ hdr(host) a.example }",
            "{ req.hdr(host) -i a.example }",
            "{ hdr(host) a.example b.example }",
            "{ hdr(host),lower a.example }",
            "{ hdr_end(host) .example }",
            "{ hdr_end(host) a.example }",
            "{ hdr_beg(host) -i a }",
            "{ src 10.0.0.0/8 }",
            "{ src 10.1.0.0/16 }",
            "{ src 2001:db8::/32 192.0.2.0/24 }",
            "{ src ::/0 }",
            "{ src 0.0.0.0/0 }",
            "{ dst_port 80 }",
            "{ dst_port lt 1024 }",
            "{ dst_port 80 8080 }",
        ],
        requests: requests.collect(),
    }
}

/// A random condition over the acls of a pool.
fn condition(rng: &mut Rng, acls: &[&str]) -> String {
    let mut text = String::from(if rng.below(4) == 0 { "unless" } else { "if" });
    for alternative in 0..1 + rng.below(2) {
        text += if alternative == 0 { "" } else { " or" };
        for _ in 0..1 + rng.below(2) {
            text += &format!(" {}{}", if rng.below(4) == 0 { "!" } else { "" }, rng.pick(acls));
        }
    }
    text
}

/// Which rules run for any of the requests.
fn ran(set: &RuleSet, scenes: impl IntoIterator<Item = Scene>) -> Vec<bool> {
    let mut ran = vec![false; set.len()];
    for mut scene in scenes {
        let mut trace = Trace::default();
        scene.at(Phase::Request, |ctx| {
            let mut at = 0;
            while let Verdict::Wait(_) = set.eval_traced(ctx, &mut at, Some(&mut trace)) {}
        });
        for (at, step) in trace.steps.iter().enumerate() {
            ran[at] |= step.held;
        }
    }
    ran
}

fn never_run(set: &RuleSet) -> Vec<bool> {
    let mut never = vec![false; set.len()];
    for finding in set.shadowed(RuleKind::HttpRequest) {
        never[finding.index] = true;
    }
    never
}

/// Exact where the conditions allow it: over paths and methods, and over hosts, networks and ports, a rule is told of
/// exactly when none of all requests makes it run.
#[test]
fn brute_force_finds_the_same() {
    let seed = 0x5eed_0510;
    let mut rng = Rng::new(seed);
    let none = acls(&[]);
    let mut found = 0;
    for (pool, rounds) in [(path_pool(), 200), (host_pool(), 25)] {
        for round in 0..rounds {
            let texts: Vec<String> = (0..2 + rng.below(3))
                .map(|_| {
                    format!("{} {}", rng.pick(&["deny", "allow", "set-header x-y z"]), condition(&mut rng, pool.acls))
                })
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let set = set(RuleKind::HttpRequest, &texts, &none);
            let ran = ran(&set, pool.scenes());
            let want: Vec<bool> = ran.iter().map(|ran| !ran).collect();
            let never = never_run(&set);
            found += never.iter().filter(|&&never| never).count();
            assert_eq!(
                never,
                want,
                "seed {seed:#x} round {round}: {texts:#?}\n{:#?}",
                told(&set.shadowed(RuleKind::HttpRequest))
            );
        }
    }
    assert!(found > 60, "{found} findings are too few to tell anything");
}

/// The same of the rules that choose a backend, whose conditions name acls.
#[test]
fn brute_force_finds_the_same_of_switches() {
    let seed = 0x5eed_0512;
    let mut rng = Rng::new(seed);
    let (mut found, mut shown) = (0, 0);
    for (pool, rounds) in [(path_pool(), 100), (host_pool(), 8)] {
        for round in 0..rounds {
            let defs: Vec<(String, String)> = (0..3)
                .map(|at| {
                    let tests = pool.acls.iter().filter_map(|acl| acl.strip_prefix("{ ")?.strip_suffix(" }"));
                    (format!("acl{at}"), rng.pick(&tests.collect::<Vec<_>>()).to_string())
                })
                .collect();
            let defs: Vec<(&str, &str)> = defs.iter().map(|(name, text)| (&**name, &**text)).collect();
            let acls = acls(&defs);
            let names = ["acl0", "acl1", "acl2", rng.pick(pool.acls)];
            let texts: Vec<String> =
                (0..2 + rng.below(4)).map(|at| format!("to{at} {}", condition(&mut rng, &names))).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let switch = switch(&texts, &acls);
            let mut never = vec![true; texts.len()];
            for mut scene in pool.scenes() {
                if let Some(Choice::Rule(at)) = scene.with(|ctx| switch.pick(ctx)) {
                    never[at] = false;
                }
            }
            let findings = switch.shadowed(false);
            let told_of: Vec<bool> = (0..texts.len()).map(|at| findings.iter().any(|f| f.index == at)).collect();
            assert_eq!(told_of, never, "seed {seed:#x} round {round}: {defs:?} {texts:#?}\n{:#?}", told(&findings));
            found += findings.len();
            shown += findings.iter().filter(|finding| finding.witness.is_some()).count();
        }
    }
    println!("{found} findings, {shown} with a request");
    assert!(found > 40 && shown > 20, "{found} findings, {shown} with a request, are too few to tell anything");
}

/// Whatever stands in the list: a rule that is told of never runs.
#[test]
fn there_is_no_false_alarm() {
    let seed = 0x5eed_0511;
    let mut rng = Rng::new(seed);
    let none = acls(&[]);
    let (paths, hosts) = (path_pool(), host_pool());
    let mut tests: Vec<&str> = paths.acls.iter().chain(hosts.acls).copied().collect();
    tests.extend([
        "{ path_reg ^/a }",
        "{ path_sub a }",
        "{ path_dir b }",
        "{ path_len 2 }",
        "{ path,length gt 3 }",
        "{ url_beg /a }",
        "{ query -m found }",
        "{ base_beg a.example/ }",
        "{ hdr_cnt(host) gt 1 }",
        "{ hdr(host,1) a.example }",
        "{ hdr_dom(host) example }",
        "{ hdr(x-y) -m found }",
        "{ req.fhdr(x-y) z }",
        "{ src -m beg 10. }",
        "{ src 10.0.0.0/255.0.0.255 }",
        "{ dst_port -m str 80 }",
        "{ rand(3) 0 }",
        "{ path,field(2,/) a }",
        "{ hdr(host),host_only a.example }",
        "{ always_false }",
        "TRUE",
        "{ hdr(x-y) a z }",
    ]);
    let actions = [
        "deny",
        "allow",
        "return status 200",
        "redirect location /z",
        "redirect location %[req.hdr(x-y)] ignore-empty",
        "set-header x-y z",
        "add-header x-y a",
        "del-header x-y",
        "del-header x -m beg",
        "set-header host b.example",
        "set-header x-other 1",
        "set-path /a/b",
        "set-path %[path]x",
        "set-method POST",
        "set-query a=1",
        "set-uri /x?y",
        "set-uri http://b.example/a",
        "replace-path ^/a /b",
        "set-src ipv4(10.1.0.9)",
        "set-dst-port int(443)",
        "normalize-uri path-merge-slashes",
        "strict-mode off",
        "set-header host %[path]",
        "set-var(txn.a) path",
        "reject",
    ];
    let mut found = 0;
    for round in 0..350 {
        // Few tests in one list, so that rules have to do with each other.
        let few: Vec<&str> = (0..5).map(|_| rng.pick(&tests)).collect();
        let texts: Vec<String> =
            (0..2 + rng.below(5)).map(|_| format!("{} {}", rng.pick(&actions), condition(&mut rng, &few))).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let set = set(RuleKind::HttpRequest, &texts, &none);
        let never = never_run(&set);
        if never.contains(&true) {
            found += 1;
            let ran = ran(&set, paths.scenes().into_iter().chain(hosts.scenes()));
            for (at, (never, ran)) in never.into_iter().zip(ran).enumerate() {
                assert!(!(never && ran), "seed {seed:#x} round {round}: rule {at} runs: {texts:#?}");
            }
        }
    }
    assert!(found > 50, "{found} lists are too few to tell anything");
}
