//! Whole rules on described requests: verdicts, edits, redirects, mistakes, traces.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use evenkeel_acl::tables::{MATCHES, PREDEFINED, actions, fetches};
use evenkeel_acl::{
    AclDef, Acls, CODES, Choice, Content, Env, Library, RuleError, RuleKind, RuleLine, RuleSet, Scene, Switch, Trace,
    Verdict,
};

const REQUEST: &str = "POST /api/users?id=7 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    X-Debug-A: 1\r\n\
    X-Real-IP: forged\r\n\
    x-real-ip: forged again\r\n\
    x-debug-b: 2\r\n\
    Accept: */*\r\n\r\n";

fn env() -> Env<'static> {
    Env { library: Box::leak(Box::new(Library::default())), proxy: "web" }
}

fn scene(request: &str) -> Scene {
    Scene::new(request, "203.0.113.9:51234".parse().unwrap(), "192.0.2.10:443".parse().unwrap()).unwrap()
}

fn acls(defs: &[(&str, &str)]) -> Acls {
    let defs: Vec<AclDef<'_>> = defs.iter().map(|&(name, text)| AclDef { name, text }).collect();
    let (acls, errors) = Acls::compile(&defs, &env());
    assert_eq!(errors, []);
    acls
}

fn rules_with(acls: &Acls, lines: &[&str]) -> Result<RuleSet, Vec<RuleError>> {
    let file: Arc<str> = "evenkeel.toml".into();
    let lines: Vec<RuleLine<'_>> =
        lines.iter().zip(31..).map(|(text, line)| RuleLine { text, file: &file, line }).collect();
    RuleSet::compile(RuleKind::HttpRequest, &lines, acls, &env())
}

fn rules(lines: &[&str]) -> RuleSet {
    rules_with(&Acls::default(), lines).unwrap_or_else(|errors| panic!("{lines:?}: {errors:?}"))
}

/// Runs the rules on a request and tells in one line what came of it, then the header fields.
fn outcome(rules: &RuleSet, request: &str) -> (String, Vec<String>) {
    let mut scene = scene(request);
    let verdict = scene.with(|ctx| match rules.eval(ctx, &mut 0) {
        Verdict::Continue => "continue".to_owned(),
        Verdict::Allow => "allow".to_owned(),
        Verdict::Close(close) => format!("{:?}", close.how),
        Verdict::Wait(wait) => format!("{wait:?}"),
        Verdict::Reply(reply) => {
            let mut text = format!("{:?} {}", reply.cause, reply.status);
            for (name, value) in &reply.headers {
                text += &format!(" {name}: {};", String::from_utf8_lossy(value));
            }
            match &reply.body {
                Content::Bytes(body) if !body.is_empty() => {
                    text += &format!(" body {:?}", String::from_utf8_lossy(body));
                }
                Content::Bytes(_) | Content::Page => {}
                Content::Message(message) => text += &format!(" message {:?}", String::from_utf8_lossy(message)),
            }
            text
        }
    });
    let head = &scene.request;
    let fields = head
        .fields()
        .map(|(name, value)| format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        .collect();
    (verdict, fields)
}

fn verdict(lines: &[&str], request: &str) -> String {
    outcome(&rules(lines), request).0
}

#[test]
fn verdicts() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "continue"),
        (&["allow", "deny"], "allow"),
        (&["deny"], "Deny 403"),
        (&["deny if FALSE", "deny deny_status 429 if TRUE", "deny"], "Deny 429"),
        (&["deny unless TRUE"], "continue"),
        (
            &["deny status 404 content-type text/plain string 'no such thing' hdr X-Why rule"],
            "Deny 404 Content-Type: text/plain; X-Why: rule; body \"no such thing\"",
        ),
        (&["return"], "Return 200"),
        (
            &["return status 503 hdr Retry-After 30 hdr X-Client %[src]:%cp"],
            "Return 503 Retry-After: 30; X-Client: 203.0.113.9:51234;",
        ),
        (&["return content-type text/plain string 'a\\nb'"], "Return 200 Content-Type: text/plain; body \"a\\\\nb\""),
        (&["return content-type text/plain string \"a\\nb\""], "Return 200 Content-Type: text/plain; body \"a\\nb\""),
        (&["set-header X-A 1", "deny if { hdr(x-a) 1 }"], "Deny 403"),
        (&["del-header Accept", "deny if { hdr(accept) -m found }"], "continue"),
    ];
    for (lines, expected) in cases {
        assert_eq!(verdict(lines, REQUEST), *expected, "{lines:?}");
    }
}

#[test]
fn edits() {
    let untouched = [
        "Host: www.example.com",
        "X-Debug-A: 1",
        "X-Real-IP: forged",
        "x-real-ip: forged again",
        "x-debug-b: 2",
        "Accept: */*",
    ];
    let without = |gone: &[usize], more: &[&str]| -> Vec<String> {
        let kept = untouched.iter().enumerate().filter(|(index, _)| !gone.contains(index)).map(|(_, line)| *line);
        kept.chain(more.iter().copied()).map(str::to_owned).collect()
    };
    let cases: &[(&[&str], Vec<String>)] = &[
        (&["set-header X-Real-IP %[src]"], without(&[2, 3], &["X-Real-IP: 203.0.113.9"])),
        (&["add-header X-Real-IP %ci"], without(&[], &["X-Real-IP: 203.0.113.9"])),
        (&["set-header Accept '%[hdr(accept)], text/html'"], without(&[5], &["Accept: */*, text/html"])),
        (&["set-header X-None '<%[hdr(none)]>'"], without(&[], &["X-None: <>"])),
        (&["del-header x-REAL-ip"], without(&[2, 3], &[])),
        (&["del-header x-debug- -m beg"], without(&[1, 4], &[])),
        (&["del-header -B -m end"], without(&[4], &[])),
        (&["del-header REAL -m sub"], without(&[2, 3], &[])),
        (&["del-header '^x-(debug-a|real-ip)$' -m reg"], without(&[1, 2, 3], &[])),
        (&["del-header accept -m str if { path /other }"], without(&[], &[])),
        (&["allow", "del-header accept"], without(&[], &[])),
    ];
    for (lines, expected) in cases {
        assert_eq!(outcome(&rules(lines), REQUEST).1, *expected, "{lines:?}");
    }
}

#[test]
fn a_rewrite_that_fails_answers_500() {
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "x".repeat(2000));
    let lines = vec!["add-header X-Copy %[hdr(x-large)]%[hdr(x-large)]%[hdr(x-large)]%[hdr(x-large)]"; 2000];
    assert_eq!(verdict(&lines, &large), "FailedRewrite 500");
}

#[test]
fn redirects() {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: www.example.com:8080\r\n\r\n");
    let moment = "Cache-Control: no-cache;";
    let cases = [
        ("redirect location /x", "/a?b=1", format!("302 Location: /x; {moment}")),
        ("redirect location /x code 301", "/a?b=1", "301 Location: /x;".into()),
        (
            "redirect location https://%[hdr(host)]%[path]/new code 308",
            "/a?b=1",
            "308 Location: https://www.example.com:8080/a/new;".into(),
        ),
        ("redirect location /x keep-query code 303", "/a?b=1", format!("303 Location: /x?b=1; {moment}")),
        ("redirect location /x?y keep-query code 307", "/a?b=1", format!("307 Location: /x?y&b=1; {moment}")),
        ("redirect location /x keep-query code 301", "/a", "301 Location: /x;".into()),
        ("redirect prefix https://o.example code 301", "/a?b=1", "301 Location: https://o.example/a?b=1;".into()),
        (
            "redirect prefix https://o.example drop-query code 301",
            "/a?b=1",
            "301 Location: https://o.example/a;".into(),
        ),
        ("redirect prefix /p append-slash code 301", "/a", "301 Location: /p/a/;".into()),
        ("redirect prefix /p append-slash code 301", "/a?b=1", "301 Location: /p/a/?b=1;".into()),
        ("redirect prefix /p drop-query append-slash code 301", "/a/?b=1", "301 Location: /p/a/;".into()),
        ("redirect prefix / code 301", "/a?b", "301 Location: /a?b;".into()),
        ("redirect prefix / code 301", "//evil.example/a", "301 Location: /evil.example/a;".into()),
        ("redirect scheme https code 301", "/a?b=1", "301 Location: https://www.example.com:8080/a?b=1;".into()),
        ("redirect scheme https drop-query code 301", "/a?b=1", "301 Location: https://www.example.com:8080/a;".into()),
        (
            "redirect scheme https code 301",
            "http://www.example.com:8080/a?b",
            "301 Location: https://www.example.com:8080/a?b;".into(),
        ),
        ("redirect location %[hdr(none)] ignore-empty", "/a", "continue".into()),
    ];
    for (line, target, expected) in cases {
        let found = verdict(&[line], &get(target));
        assert_eq!(found.trim_start_matches("Redirect "), expected, "{line} on {target}");
    }
    let star = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(verdict(&["redirect scheme https code 301"], star), "Redirect 301 Location: https://a/;");
}

#[test]
fn a_switch_picks_the_first_rule_that_holds() {
    let acls = acls(&[("api", "path_beg /api/"), ("img", "path_end .png"), ("unused", "path /")]);
    let file: Arc<str> = "evenkeel.toml".into();
    let line = |text, line| RuleLine { text, file: &file, line };
    let lines = [line("images if img", 5), line("api if api METH_POST", 6), line("late if api", 7), line("rest", 8)];
    let switch = Switch::compile("backend", &lines, &acls, &env()).unwrap();
    assert_eq!(
        switch.targets.iter().flatten().map(|name| &**name).collect::<Vec<_>>(),
        ["images", "api", "late", "rest"]
    );
    assert_eq!(acls.unused(switch.acls_used()), ["unused"]);
    assert_eq!(switch.place(1).unwrap().to_string(), "evenkeel.toml:6");
    for (request, expected) in [
        ("POST /api/x HTTP/1.1\r\nHost: a\r\n\r\n", Some(1)),
        ("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n", Some(2)),
        ("GET /api/x.png HTTP/1.1\r\nHost: a\r\n\r\n", Some(0)),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(3)),
    ] {
        let choice = scene(request).with(|ctx| switch.pick(ctx));
        assert_eq!(choice, expected.map(Choice::Rule), "{request:?}");
    }
    let named = Switch::compile("backend", &[line("bk-%[req.hdr(host),upper] if api", 1)], &acls, &env()).unwrap();
    let choice = scene("POST /api/x HTTP/1.1\r\nHost: a\r\n\r\n").with(|ctx| named.pick(ctx));
    assert_eq!(choice, Some(Choice::Named(0, "bk-A".into())));
    let lines = [line("if api", 1), line("%[hdr(host)", 2), line("a api", 3)];
    let errors = Switch::compile("backend", &lines, &acls, &env()).unwrap_err();
    assert_eq!(
        errors.iter().map(|error| (error.index, error.code)).collect::<Vec<_>>(),
        [(0, "EK0312"), (1, "EK0315"), (2, "EK0312")]
    );
}

#[test]
fn equality_is_that_of_texts_places_and_acls() {
    let one = acls(&[("a", "path /x"), ("b", "path /y")]);
    let other = acls(&[("a", "path /z"), ("b", "path /y")]);
    let compile = |acls: &Acls, lines: &[&str]| rules_with(acls, lines).unwrap();
    assert_eq!(compile(&one, &["deny if b", "allow"]), compile(&other, &["deny if b", "allow"]));
    assert_ne!(compile(&one, &["deny if a"]), compile(&other, &["deny if a"]));
    assert_ne!(compile(&one, &["deny if b"]), compile(&one, &["deny unless b"]));
    assert_ne!(compile(&one, &["allow", "deny"]), compile(&one, &["deny", "allow"]));
    assert_ne!(compile(&one, &["allow"]), RuleSet::default());
    assert!(RuleSet::default().is_empty() && !compile(&one, &["allow"]).is_empty());
    assert!(format!("{:?}", compile(&one, &["deny if a"])).contains("deny if a"));
}

#[test]
fn a_trace_tells_each_rule() {
    let acls = acls(&[("api", "path_beg /api/"), ("office", "src 10.0.0.0/8 192.168.0.0/16")]);
    let rules =
        rules_with(&acls, &["deny if api office", "set-header X-A 1", "deny if !office or api", "allow"]).unwrap();
    let mut trace = Trace::default();
    scene(REQUEST).with(|ctx| {
        let verdict = rules.eval_traced(ctx, &mut 0, Some(&mut trace));
        assert!(matches!(verdict, Verdict::Reply(reply) if reply.place.line == 33));
    });
    assert_eq!(
        trace.to_string(),
        "evenkeel.toml:31 deny if api office -> false\n\
         \u{20}   api -> true; path is \"/api/users\"\n\
         \u{20}   office -> false; src is \"203.0.113.9\"\n\
         evenkeel.toml:32 set-header X-A 1 -> true\n\
         evenkeel.toml:33 deny if !office or api -> true\n\
         \u{20}   !office -> true; src is \"203.0.113.9\"\n"
    );
}

#[test]
fn mistakes_have_code_place_and_line() {
    let cases = [
        ("", "EK0319", ""),
        ("deny 'x", "EK0301", "'x"),
        ("dney if TRUE", "EK0311", "dney"),
        ("cache-use x", "EK0317", "cache-use"),
        ("allow now", "EK0312", "now"),
        ("deny foo if TRUE", "EK0312", "foo"),
        ("deny status", "EK0312", "status"),
        ("deny status if TRUE", "EK0312", "if"),
        ("deny status 99", "EK0314", "99"),
        ("deny status 600", "EK0314", "600"),
        ("deny status x", "EK0314", "x"),
        ("deny string x", "EK0312", "string"),
        ("deny content-type text/plain", "EK0312", "content-type"),
        ("deny errorfile /x", "EK0322", "/x"),
        ("deny lf-string x", "EK0312", "lf-string"),
        ("return deny_status 403", "EK0312", "deny_status"),
        ("return status 204 content-type text/plain string x", "EK0314", "string"),
        ("return hdr A", "EK0312", "A"),
        ("return hdr Content-Length 5", "EK0313", "Content-Length"),
        ("redirect", "EK0312", "redirect"),
        ("redirect /x", "EK0312", "/x"),
        ("redirect location", "EK0312", "location"),
        ("redirect location /x prefix /y", "EK0312", "prefix"),
        ("redirect location /x code 304", "EK0314", "304"),
        ("redirect prefix /x keep-query", "EK0312", "keep-query"),
        ("redirect location /x set-cookie A=1 clear-cookie B", "EK0312", "clear-cookie"),
        ("set-header", "EK0312", "set-header"),
        ("set-header X", "EK0312", "X"),
        ("set-header X if TRUE", "EK0312", "if"),
        ("set-header X a b", "EK0312", "b"),
        ("set-header X: a", "EK0313", "X:"),
        ("set-header 'X Y' a", "EK0313", "'X Y'"),
        ("set-header Transfer-Encoding chunked", "EK0313", "Transfer-Encoding"),
        ("set-header X 'a%[scr]'", "EK0302", "scr"),
        ("set-header X a%zz", "EK0315", "%zz"),
        ("set-header X %[path,lowr]", "EK0321", "lowr"),
        ("del-header X -m dir", "EK0304", "dir"),
        ("del-header X -m gerx", "EK0304", "gerx"),
        ("del-header ( -m reg", "EK0320", "("),
        ("deny if", "EK0310", "if"),
        ("deny if nope", "EK0309", "nope"),
        ("deny if { path_bge /x }", "EK0302", "path_bge"),
        ("deny if { src 10.0.0.256 }", "EK0306", "10.0.0.256"),
        ("deny if { path }", "EK0307", "path"),
        ("deny if { hdr }", "EK0303", "hdr"),
        ("deny if { src -m bool }", "EK0305", "bool"),
        ("deny if { path -q /x }", "EK0308", "-q"),
    ];
    for (line, code, at) in cases {
        let errors = rules_with(&Acls::default(), &["allow if FALSE", line]).unwrap_err();
        let found: Vec<_> = errors.iter().map(|e| (e.index, e.code, &line[e.range.clone()])).collect();
        assert_eq!(found, [(1, code, at)], "{line}: {errors:?}");
        assert!(CODES.iter().any(|(known, ..)| *known == code), "{code} is in the table");
    }
    // Every code has a line that shows it, here or in the tests of acls and phases.
    let (_, named) = Acls::compile(&[AclDef { name: "a b", text: "path /x" }], &env());
    for (code, ..) in CODES {
        let shown = cases.iter().any(|case| case.1 == *code) || named[0].code == *code;
        // Every fetch of this version has its data in the one phase in which rules run: a unit test shows that code.
        assert!(shown || ["EK0316", "EK0322", "EK0323"].contains(code), "{code} has no test");
    }
}

#[test]
fn hints_name_what_was_meant() {
    for (line, hint) in [
        ("dney", "did you mean `deny`?"),
        ("set-haeder X 1", "did you mean `set-header`?"),
        ("deny if { hdr_beg(host) x } METH_PSOT", "did you mean `METH_POST`?"),
        ("deny if is_apy", "did you mean `is_api`?"),
        ("deny if { paht /x }", "did you mean `path`?"),
        ("deny if { path -m begg /x }", "did you mean `beg`?"),
        ("deny deny_staus 403", "did you mean `deny_status`?"),
        ("redirect locaton /x", "did you mean `location`?"),
        ("set-header X: 1", "leave the colon out: X"),
    ] {
        let acls = acls(&[("is_api", "path_beg /api/")]);
        let errors = rules_with(&acls, &[line]).unwrap_err();
        assert_eq!(errors[0].hint.as_deref(), Some(hint), "{line}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let errors = rules_with(
        &Acls::default(),
        &["dney if nope or { paht /x }", "allow", "set-header X Y Z if { src foo bar } nope2"],
    )
    .unwrap_err();
    let found: Vec<_> = errors.iter().map(|error| (error.index, error.code)).collect();
    assert_eq!(
        found,
        [(0, "EK0311"), (0, "EK0309"), (0, "EK0302"), (2, "EK0312"), (2, "EK0306"), (2, "EK0306"), (2, "EK0309")]
    );
}

/// Lines made of pieces of the grammar and of rubbish never panic the compiler, and every span lies in its line.
#[test]
fn random_lines_never_panic() {
    let seed = 0x5eed_0005;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut pieces: Vec<&str> = vec![
        " ",
        " ",
        " ",
        " ",
        "  ",
        "\t",
        "if",
        "unless",
        "or",
        "||",
        "!",
        "{",
        "}",
        "(",
        ")",
        ",",
        "'",
        "\"",
        "\\",
        "\\x4",
        "%",
        "%[",
        "]",
        "%{",
        "%%",
        "-m",
        "-i",
        "-f",
        "--",
        "-",
        "gt",
        "10:5",
        ":",
        "5",
        "/",
        "10.0.0.0/8",
        "é",
        "\u{0}",
        "status",
        "code",
        "hdr",
        "string",
        "content-type",
        "location",
        "scheme",
        "keep-query",
        "301",
        "api",
        "nope",
        "host",
        "[a-",
        "+",
    ];
    pieces.extend(fetches().iter().flat_map(|fetch| [fetch.name, fetch.example]));
    pieces.extend(MATCHES.iter().map(|kind| kind.name));
    pieces.extend(actions().iter().flat_map(|action| [action.name, action.example]));
    pieces.extend(PREDEFINED.iter().map(|entry| entry.name));
    let file: Arc<str> = "f".into();
    let named = acls(&[("api", "path_beg /api/")]);
    let (mut good, mut bad) = (0, 0);
    for round in 0..4_000 {
        // One half is pieces thrown together; the other is a rule whose condition is well-formed but for an accident.
        let mut text = String::new();
        if rng.bool() {
            text.extend((0..rng.usize(0..14)).map(|_| pieces[rng.usize(0..pieces.len())]));
        } else {
            text += ["deny if", "allow unless", "set-header X %[src] if", "redirect prefix /x if"][rng.usize(0..4)];
            for _ in 0..rng.usize(1..5) {
                text += [" ", " !", " or ", " || !", " ! "][rng.usize(0..5)];
                match rng.usize(0..8) {
                    0 => text += pieces[rng.usize(0..pieces.len())],
                    1..4 => text += &format!("{{ {} }}", fetches()[rng.usize(0..fetches().len())].example),
                    _ => text += PREDEFINED[rng.usize(0..PREDEFINED.len())].name,
                }
            }
        }
        let at = format!("seed {seed:#x} round {round}: {text:?}");
        let line = [RuleLine { text: &text, file: &file, line: 1 }];
        let mut errors = Acls::compile(&[AclDef { name: "x", text: &text }], &env()).1;
        errors.extend(Switch::compile("backend", &line, &named, &env()).err().unwrap_or_default());
        match RuleSet::compile(RuleKind::HttpRequest, &line, &named, &env()) {
            Ok(set) => {
                good += 1;
                outcome(&set, REQUEST);
            }
            Err(found) => {
                bad += 1;
                assert!(!found.is_empty(), "{at}");
                errors.extend(found);
            }
        }
        for error in errors {
            assert!(text.get(error.range.clone()).is_some(), "{at}: {error:?}");
            assert!(!error.message.is_empty() && CODES.iter().any(|code| code.0 == error.code), "{at}: {error:?}");
        }
    }
    assert!(good > 300 && bad > 300, "seed {seed:#x}: {good} good, {bad} bad");
}
