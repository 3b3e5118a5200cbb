//! Whole rules of every kind, run on a described transaction; expected values are HAProxy's answers to the same rules.
//! One file because it is one table read by one set of helpers, action by action.
#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::Arc;

use evenkeel_proto::{Connection, Framing};

use super::*;
use crate::BandwidthLimit;
use crate::acl::Acls;
use crate::ctx::{Memo, STICK_COUNTERS, Wishes};
use crate::library::{Env, Library, Pages, ProxyDef};
use crate::rules::{RuleLine, RuleSet, Verdict};
use crate::scene::Scene;
use crate::stick::{KeyKind, Kind, Table, TableDef};
use crate::testing::{REQUEST, Rng, library, scene};
use crate::trace::Trace;
use crate::vars::{Stored, VarRef};

const RESPONSE: &str =
    "HTTP/1.1 200 OK\r\nServer: Apache/2.4\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 3\r\n\r\n";
const PAGE: &str = "HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 4\r\n\r\nbusy";

/// The library of the examples, with files and pages.
fn with_files() -> Library {
    let mut library = Library {
        read: Box::new(|path| match path.to_str().unwrap_or_default() {
            "/etc/503.http" => Ok(PAGE.into()),
            "/etc/hello.txt" => Ok(b"hello 100%\n".to_vec()),
            "/etc/hello.lf" => Ok(b"path %[path]\nfrom %[src]\n".to_vec()),
            "/etc/broken.lf" => Ok(b"%[nothing]".to_vec()),
            "/etc/empty" => Ok(Vec::new()),
            "/etc/large" => Ok(vec![b'x'; payload::MAX_FILE + 1]),
            "/etc/hosts.map" => Ok(b"a one\nb two\n".to_vec()),
            "/etc/words.lst" => Ok(b"one\ntwo\n".to_vec()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        }),
        pages: vec![Pages { name: "plain".into(), pages: vec![(503, PAGE.as_bytes().into())] }],
        ..library()
    };
    library.proxies.push(ProxyDef { name: "api".into(), backend: true, ..ProxyDef::default() });
    library
}

fn compile_in(
    library: &Library,
    proxy: &str,
    kind: RuleKind,
    rules: &[&str],
) -> Result<RuleSet, Vec<crate::RuleError>> {
    let file: Arc<str> = "web.toml".into();
    let lines: Vec<RuleLine<'_>> =
        rules.iter().zip(1..).map(|(text, line)| RuleLine { text, file: &file, line }).collect();
    RuleSet::compile(kind, &lines, &Acls::default(), &Env { library, proxy })
}

fn compiled(kind: RuleKind, rules: &[&str]) -> RuleSet {
    compile_in(&with_files(), "web", kind, rules).unwrap_or_else(|errors| panic!("{rules:?}: {errors:?}"))
}

/// Runs the rules to their end and tells how they ended.
fn run_in(scene: &mut Scene, kind: RuleKind, rules: &[&str]) -> String {
    let rules = compiled(kind, rules);
    scene.at(kind.phase(), |ctx| tell(rules.eval(ctx, &mut 0)))
}

fn tell(verdict: Verdict<'_>) -> String {
    match verdict {
        Verdict::Continue => "continue".into(),
        Verdict::Allow => "allow".into(),
        Verdict::Close(close) => format!("{:?}", close.how),
        Verdict::Wait(wait) => format!("{wait:?}"),
        Verdict::Reply(reply) => {
            let mut text = format!("{:?} {}", reply.cause, reply.status);
            for (name, value) in &reply.headers {
                text.push_str(&format!("|{name}: {}", String::from_utf8_lossy(value)));
            }
            match &reply.body {
                Content::Page => text.push_str("|page"),
                Content::Bytes(bytes) => text.push_str(&format!("|{:?}", String::from_utf8_lossy(bytes))),
                Content::Message(message) => text.push_str(&format!("|message of {}", message.len())),
            }
            text
        }
    }
}

fn answered() -> Scene {
    scene(REQUEST).answered(RESPONSE).unwrap()
}

fn request_of(scene: &Scene) -> String {
    let mut out = Vec::new();
    scene.request.encode_request(Framing::Empty, Connection::None, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn response_of(scene: &Scene) -> String {
    let mut out = Vec::new();
    scene.response.as_ref().unwrap().encode_response(Framing::Length(3), Connection::None, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The only mistake of a rule: its code, the words it points at, and its message with the hint.
fn mistake(kind: RuleKind, rule: &str) -> (&'static str, String, String) {
    let errors = compile_in(&with_files(), "web", kind, &[rule]).expect_err(rule);
    let error = &errors[0];
    let text = format!("{}; {}", error.message, error.hint.clone().unwrap_or_default());
    (error.code, rule[error.range.clone()].to_owned(), text)
}

#[test]
fn the_table_is_complete() {
    assert!(actions().windows(2).all(|pair| pair[0].name < pair[1].name));
    for action in actions() {
        assert!(action.syntax.starts_with(action.name) && action.doc.ends_with('.'), "{}", action.name);
        assert!(!action.kinds.is_empty() && action.example.starts_with(action.name), "{}", action.name);
    }
    for (name, _) in LATER {
        assert!(actions().iter().all(|action| action.name != *name), "{name}");
        assert_eq!(mistake(Q, name).0, code::LATER);
    }
    assert_eq!(mistake(Q, "lua.run x").0, code::LATER);
}

#[test]
fn every_example_compiles_and_runs() {
    for action in actions() {
        let library = with_files();
        let fits = |kind: &&RuleKind| compile_in(&library, "web", **kind, &[action.example]).is_ok();
        let kind = *action.kinds.iter().find(fits).unwrap_or_else(|| {
            panic!("{}: {:?}", action.example, compile_in(&library, "web", action.kinds[0], &[action.example]))
        });
        let mut scene = if kind.phase() == Phase::Response { answered() } else { scene(REQUEST) };
        let ended = run_in(&mut scene, kind, &[action.example]);
        let goes_on = ["continue", "Body", "Pause", "Handshake", "Resolve"].iter().any(|word| ended.starts_with(word));
        assert!(action.ends || goes_on, "{}: {ended}", action.example);
    }
}

/// What `do-resolve` asks for, or sets without asking, of each host.
#[test]
fn names_are_asked_for_and_addresses_are_not() {
    let rules = compiled(RuleKind::HttpRequest, &["do-resolve(txn.ip,dns,ipv4) url_param(h),url_dec"]);
    let var = VarRef::parse("txn.ip").unwrap();
    let long = format!("{}.example", "a".repeat(63));
    let longest = format!("{}a", "a.".repeat(126));
    for (host, asked, set) in [
        ("a.example", Some("a.example"), None),
        ("A.Example.", Some("a.example"), None),
        ("_x.under_score", Some("_x.under_score"), None),
        ("localhost", Some("localhost"), None),
        (&long, Some(&*long), None),
        ("192.0.2.1", None, Some("192.0.2.1")),
        ("[2001:db8::1]", None, Some("2001:db8::1")),
        ("2001:db8::1", None, Some("2001:db8::1")),
        ("", None, None),
        (".", None, None),
        ("a..example", None, None),
        (".a", None, None),
        ("a.example:80", None, None),
        ("a/b", None, None),
        ("m%C3%BCller.example", None, None),
        (&"a".repeat(64), None, None),
        (&"a.".repeat(127), Some(&*longest), None),
        (&"a.".repeat(128), None, None),
    ] {
        let mut scene = scene(&format!("GET /?h={host} HTTP/1.1\r\nHost: x\r\n\r\n"));
        scene.at(Phase::Request, |ctx| {
            let question = match rules.eval(ctx, &mut 0) {
                Verdict::Wait(Wait::Resolve(question)) => Some(question),
                Verdict::Continue => None,
                other => panic!("{host:?}: {other:?}"),
            };
            assert_eq!(question.as_ref().map(|question| &*question.name), asked, "{host:?}");
            let set = set.map(|text| Stored::Ip(text.parse().unwrap()));
            assert_eq!(ctx.var(&var, Stored::clone), set, "{host:?}");
            let Some(question) = question else { return };
            assert_eq!((question.resolvers, question.prefer), (0, Prefer::V4));
            question.settle(ctx, None);
            assert_eq!(ctx.var(&var, Stored::clone), None);
            question.settle(ctx, "192.0.2.9".parse().ok());
            assert_eq!(ctx.var(&var, Stored::clone), Some(Stored::Ip("192.0.2.9".parse().unwrap())));
        });
    }
    for (rule, at, says) in [
        ("do-resolve(txn.ip,dsn) src", "do-resolve(txn.ip,dsn)", "there is no [resolvers.dsn]; did you mean `dns`?"),
        ("do-resolve(txn.ip) src", "do-resolve(txn.ip)", "the resolvers are missing"),
        ("do-resolve(txn.ip,dns,ipv5) src", "do-resolve(txn.ip,dns,ipv5)", "`ipv5` is no preference"),
        ("do-resolve(ip,dns) src", "ip", "names no scope"),
        ("do-resolve(txn.ip,dns)", "do-resolve(txn.ip,dns)", "the expression of `do-resolve` is missing"),
    ] {
        let (code, words, text) = mistake(RuleKind::HttpRequest, rule);
        assert!(code == code::ACTION_ARGS && words == at && text.contains(says), "{rule}: {code} {words} {text}");
    }
}

#[test]
fn headers_are_edited_in_every_direction() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (lines, rule, expected) in [
        ("X: 1\r\nx: 2\r\n", "set-header X '<%[req.hdr(x,1)]>'", "X: <1>\r\n"),
        ("X: 1\r\n", "add-header X 2", "X: 1\r\nX: 2\r\n"),
        ("X: 1\r\nY: 2\r\nx: 3\r\n", "del-header x", "Y: 2\r\n"),
        ("X-A: 1\r\nY: 2\r\nx-b: 3\r\n", "del-header x- -m beg", "Y: 2\r\n"),
        ("X-A: 1\r\nY: 2\r\nx-b: 3\r\n", "del-header '^x-[ab]$' -m reg", "Y: 2\r\n"),
        // Each value of which a part matches is replaced as a whole.
        (
            "X-R: qabc\r\nx-r: ab\r\nX-R: zz\r\n",
            r"replace-header X-R a(b)(c)? <\1|\2|\0|\3>",
            "X-R: <b|c|abc|>\r\nx-r: <b||ab|>\r\nX-R: zz\r\n",
        ),
        (
            "Cookie: foo=foobar; expires=Tue\r\n",
            r"replace-header Cookie foo=([^;]*);(.*) foo=\1;ip=%[src];\2",
            "Cookie: foo=foobar;ip=203.0.113.9; expires=Tue\r\n",
        ),
        ("X-R: x1,  a2 , x3 , x4,a5, x6\r\n", r"replace-value X-R ^a(.*)$ z\1", "X-R: x1,z2, x3 , x4,z5, x6\r\n"),
        ("X-R: aa,a\"x,y\"\r\nX-R: b,,a\r\n", r"replace-value X-R ^a(.*)$ z\1", "X-R: za,z\"x,y\"\r\nX-R: b,,z\r\n"),
        ("X-R: b\r\n", r"replace-value X-R ^a(.*)$ z\1", "X-R: b\r\n"),
        ("X: 1\r\n", "replace-header Y . z", "X: 1\r\n"),
    ] {
        let mut scene = scene(&format!("{head}{lines}\r\n"));
        assert_eq!(run_in(&mut scene, Q, &[rule]), "continue", "{rule}");
        assert_eq!(request_of(&scene), format!("{head}{expected}\r\n"), "{rule}");
    }
    for kind in [R, A] {
        let mut scene = answered();
        let rules = [
            "del-header Server",
            r"replace-header Set-Cookie (.*) '\1; Secure'",
            "add-header Via %[res.hdr(content-length)]",
            "set-status 503 reason 'Slow Down'",
        ];
        assert_eq!(run_in(&mut scene, kind, &rules), "continue");
        let expected = "HTTP/1.1 503 Slow Down\r\nSet-Cookie: a=1; Secure\r\nSet-Cookie: b=2; Secure\r\n\
                        Content-Length: 3\r\nVia: 3\r\n\r\n";
        assert_eq!(response_of(&scene), expected);
        assert_eq!(request_of(&scene), request_of(&answered()), "the request is left alone");
    }
}

#[test]
fn the_target_is_edited_part_by_part() {
    for (target, rule, expected) in [
        ("/a?b", "set-path /x%[path]", "/x/a?b"),
        ("/a", "set-path /", "/"),
        ("http://a/b?c", "set-path /x", "http://a/x?c"),
        ("http://a?c", "set-path /x", "http://a/x?c"),
        ("/sq1", "set-query a=b", "/sq1?a=b"),
        ("/sq1?z", "set-query a=b", "/sq1?a=b"),
        ("/sq2", "set-query ?a=b", "/sq2??a=b"),
        ("/a?b", "set-query ''", "/a?"),
        ("/a", "set-query ''", "/a"),
        ("/a?", "set-query ''", "/a?"),
        ("/spq?q", "set-pathq /p", "/p"),
        ("http://a/b?c", "set-pathq /p", "http://a/p"),
        ("/su/x?y", "set-uri /all?of=it", "/all?of=it"),
        ("/su/x?y", "set-uri http://other/xx", "http://other/xx"),
        ("/bar?q=1", r"replace-path (.*) /foo\1", "/foo/bar?q=1"),
        ("/foo/bar?q=1", r"replace-path /foo/(.*) /\1", "/bar?q=1"),
        ("/other?q=1", r"replace-path /foo/(.*) /\1", "/other?q=1"),
        ("/bar?q=1", r"replace-pathq ([^?]*)(\?(.*))? \1/foo\2", "/bar/foo?q=1"),
        ("/uu/x?y", r"replace-uri ^(.*)$ /new\1", "/new/uu/x?y"),
        ("http://a/x", "replace-uri ^http://a/(.*) /\\1", "/x"),
        ("//a///b//?x=//", "normalize-uri path-merge-slashes", "/a/b/?x=//"),
        ("http://a//b/../c", "normalize-uri path-strip-dotdot", "http://a//c"),
        ("/?b&a", "normalize-uri query-sort-by-name", "/?a&b"),
        ("/%61", "normalize-uri percent-decode-unreserved strict", "/a"),
    ] {
        let mut scene = scene(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(run_in(&mut scene, Q, &[rule]), "continue", "{target} {rule}");
        assert_eq!(String::from_utf8_lossy(scene.request.target()), expected, "{target} {rule}");
    }
    let mut scene = scene("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    run_in(&mut scene, Q, &["set-uri http://other/xx", "set-method %[method]S"]);
    assert_eq!(request_of(&scene), "GETS http://other/xx HTTP/1.1\r\nHost: other\r\n\r\n");
    let mut scene = crate::testing::scene("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        run_in(&mut scene, Q, &["normalize-uri path-merge-slashes", "replace-path . /", "set-path /all"]),
        "continue"
    );
    assert_eq!(scene.request.target(), b"/all");
}

#[test]
fn what_cannot_be_written_answers_500_unless_told_otherwise() {
    for rule in [
        "set-path foo",
        "set-path '/a b'",
        "set-uri ''",
        "set-method 'A B'",
        "set-method CONNECT",
        r"replace-path (.*) x\1",
        r"replace-header Host (.*) '\x0d\x0aX: y'",
        r"replace-value Accept (.*) 'a\x00'",
    ] {
        let before = request_of(&scene(REQUEST));
        let mut first = scene(REQUEST);
        assert_eq!(run_in(&mut first, Q, &[rule, "set-header X-After 1"]), "FailedRewrite 500|page", "{rule}");
        assert_eq!(request_of(&first), before, "{rule}");
        let mut lax = scene(REQUEST);
        let rules = ["strict-mode off", rule, "strict-mode on", "set-header X-After 1"];
        assert_eq!(run_in(&mut lax, Q, &rules), "continue", "{rule}");
        assert_eq!(request_of(&lax), before.replace("\r\n\r\n", "\r\nX-After: 1\r\n\r\n"), "{rule}");
        // The next set of rules is strict again.
        let mut scene = scene(REQUEST);
        run_in(&mut scene, Q, &["strict-mode off"]);
        assert_eq!(run_in(&mut scene, Q, &[rule]), "FailedRewrite 500|page", "{rule}");
    }
    let mut scene = answered();
    assert_eq!(run_in(&mut scene, R, &["set-status 204"]), "FailedRewrite 500|page", "the body cannot go");
    let strict = "normalize-uri percent-to-uppercase strict";
    let mut bad = crate::testing::scene("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(run_in(&mut bad, Q, &["strict-mode off", strict]), "Deny 400|page");
}

#[test]
fn answers_are_made_of_every_source() {
    for (kind, rule, expected) in [
        (Q, "deny", "Deny 403|page"),
        (R, "deny", "Deny 502|page"),
        (Q, "deny deny_status 429", "Deny 429|page"),
        (Q, "deny status 429 hdr Retry-After 10", "Deny 429|Retry-After: 10|\"\""),
        (Q, "tarpit", "Tarpit 500|page"),
        (Q, "tarpit deny_status 429", "Tarpit 429|page"),
        (Q, "return", "Return 200|\"\""),
        (Q, "return status 200 hdr X-A 1 hdr X-B %[path]", "Return 200|X-A: 1|X-B: /api/users|\"\""),
        (Q, "return status 404 default-errorfiles", "Return 404|page"),
        (Q, "return errorfile /etc/503.http", "Return 503|message of 60"),
        (Q, "return status 503 errorfiles plain", "Return 503|message of 60"),
        (Q, "deny status 503 errorfiles plain", "Deny 503|message of 60"),
        (
            R,
            "return content-type text/plain file /etc/hello.txt",
            "Return 200|Content-Type: text/plain|\"hello 100%\\n\"",
        ),
        (Q, "return file /etc/empty", "Return 200|\"\""),
        (
            Q,
            "return content-type text/plain lf-file /etc/hello.lf",
            "Return 200|Content-Type: text/plain|\"path /api/users\\nfrom 203.0.113.9\\n\"",
        ),
        (Q, "return content-type a/b string 'a%[path]'", "Return 200|Content-Type: a/b|\"a%[path]\""),
        (Q, "return string 'a' content-type a/b", "Return 200|Content-Type: a/b|\"a\""),
        (R, "return content-type a/b lf-string 'a%[status]%%'", "Return 200|Content-Type: a/b|\"a200%\""),
        (Q, "return content-type a/b lf-string 'a%%'", "Return 200|Content-Type: a/b|\"a%\""),
        (Q, "auth", "Auth 401|WWW-Authenticate: Basic realm=\"web\"|page"),
        (Q, r#"auth realm 'My"Re\alm'"#, r#"Auth 401|WWW-Authenticate: Basic realm="My\"Re\\alm"|page"#),
        (Q, "redirect location /x", "Redirect 302|Location: /x|Cache-Control: no-cache|\"\""),
        (R, "redirect location /%[status] code 301", "Redirect 301|Location: /200|\"\""),
        (
            Q,
            "redirect location /x set-cookie A=b",
            "Redirect 302|Location: /x|Cache-Control: no-cache|Set-Cookie: A=b; path=/;|\"\"",
        ),
        (
            Q,
            "redirect location /x clear-cookie A= code 307",
            "Redirect 307|Location: /x|Cache-Control: no-cache|Set-Cookie: A=; path=/; Max-Age=0;|\"\"",
        ),
        (
            Q,
            "redirect prefix https://h drop-query append-slash code 308",
            "Redirect 308|Location: https://h/api/users/|\"\"",
        ),
        (
            Q,
            "redirect location /x code 301 set-cookie-fmt a=%[src]",
            "Redirect 301|Location: /x|Set-Cookie: a=203.0.113.9|\"\"",
        ),
        (Q, "redirect location '%[req.hdr(none)]' ignore-empty", "continue"),
    ] {
        let mut scene = if kind == R { answered() } else { scene(REQUEST) };
        assert_eq!(run_in(&mut scene, kind, &[rule]), expected, "{rule}");
    }
}

#[test]
fn mistakes_name_their_place() {
    for (kind, rule, code, word, says) in [
        (Q, "dney", code::ACTION, "dney", "did you mean `deny`"),
        (Q, "forgive", code::ACTION, "forgive", "the actions are add-acl"),
        (C, "deny", code::ACTION, "deny", "it stands in http-request, http-response"),
        (Q, "accept", code::ACTION, "accept", "it stands in tcp-request.connection"),
        (Q, "deny(1)", code::ACTION, "deny(1)", "takes nothing in parentheses"),
        (Q, "set-var src", code::ACTION, "set-var", "set-var(<scope>.<name>"),
        (Q, "set-var(txn.x src", code::ACTION, "set-var(txn.x", "never closed"),
        (Q, "set-var(txn) src", code::ACTION_ARGS, "txn", "names no scope"),
        (Q, "set-var(txn.x,ifnots) src", code::ACTION_ARGS, "set-var(txn.x,ifnots)", "did you mean `ifnotset`"),
        (C, "set-var(txn.x) src", code::PHASE, "txn.x", "no transaction yet"),
        (Q, "set-var(res.x) src", code::PHASE, "res.x", "no response yet"),
        (R, "set-var(req.x) src", code::PHASE, "req.x", "the request is over"),
        (Q, "set-var(txn.x) res.hdr(x)", code::PHASE, "res.hdr(x)", "no data in phase Request"),
        (Q, "set-var(txn.x) if TRUE", code::ACTION_ARGS, "if", "the expression of `set-var` is missing"),
        (Q, "unset-var(txn.x,ifset)", code::ACTION_ARGS, "unset-var(txn.x,ifset)", "no condition"),
        (Q, "silent-drop rst-ttl", code::ACTION_ARGS, "rst-ttl", "silent-drop [rst-ttl <ttl>]"),
        (Q, "silent-drop rst-ttl 0", code::ACTION_ARGS, "0", "1 to 255"),
        (Q, "silent-drop rst-ttl 256", code::ACTION_ARGS, "256", "1 to 255"),
        (Q, "silent-drop ttl", code::ACTION_ARGS, "ttl", "one word too many"),
        (Q, "strict-mode maybe", code::ACTION_ARGS, "maybe", "strict-mode on"),
        (Q, "wait-for-body 1s", code::ACTION_ARGS, "1s", "write wait-for-body time"),
        (Q, "wait-for-body time 1x", code::ACTION_ARGS, "1x", "no time"),
        (Q, "set-timeout http-request 1s", code::ACTION_ARGS, "http-request", "client, connect"),
        (Q, "set-timeout server 0", code::ACTION_ARGS, "0", "longer than 0"),
        (R, "set-timeout queue 1s", code::PHASE, "queue", "has passed"),
        (Q, "set-retries 101", code::ACTION_ARGS, "101", "from 0 to 100"),
        (C, "expect-proxy layer7", code::ACTION_ARGS, "layer7", "write expect-proxy layer4"),
        (Q, "set-nice 1025", code::ACTION_ARGS, "1025", "from -1024 to 1024"),
        (Q, "set-log-level loud", code::ACTION_ARGS, "loud", "emerg"),
        (Q, "set-priority-class bin(00)", code::ACTION_ARGS, "bin(00)", "a number is wanted"),
        (Q, "set-bandwidth-limit both 1k", code::ACTION_ARGS, "both", "download"),
        (Q, "set-bandwidth-limit download 1k key", code::ACTION_ARGS, "key", "the key"),
        (
            Q,
            "set-bandwidth-limit download 1k key src table arrays",
            code::ACTION_ARGS,
            "src",
            "does not store `bytes_out_rate`",
        ),
        (Q, "set-bandwidth-limit upload 1k key src table none", code::ACTION_ARGS, "none", "no stick table `none`"),
        (
            Q,
            "set-bandwidth-limit upload 1k key always_true table limits",
            code::ACTION_ARGS,
            "always_true",
            "a key of type ip",
        ),
        (Q, "set-src always_true", code::ACTION_ARGS, "always_true", "an address is wanted"),
        (Q, "normalize-uri path-strip-dots", code::ACTION_ARGS, "path-strip-dots", "did you mean `path-strip-dot`"),
        (Q, "replace-path '(' x", code::REGEX, "'('", "unclosed group"),
        (R, "set-status 99", code::STATUS, "99", "from 200 to 599"),
        (R, "redirect prefix /x", code::ACTION_ARGS, "prefix", "redirect location"),
        (Q, "redirect location /x set-cookie a=b clear-cookie c", code::ACTION_ARGS, "clear-cookie", "one cookie"),
        (Q, "return string a", code::ACTION_ARGS, "string", "content-type text/plain"),
        (Q, "return content-type a/b", code::ACTION_ARGS, "content-type", "needs a body"),
        (Q, "return content-type a/b string a file b", code::ACTION_ARGS, "file", "one source"),
        (Q, "return status 204 content-type a/b string a", code::STATUS, "string", "has no body"),
        (Q, "return status 418 default-errorfiles", code::STATUS, "default-errorfiles", "no error page for status 418"),
        (Q, "return status 404 errorfiles plain", code::STATUS, "plain", "no page for status 404"),
        (Q, "return status 404 errorfiles plan", code::ACTION_ARGS, "plan", "did you mean `plain`"),
        (Q, "return errorfile /etc/hello.txt", code::FILE, "/etc/hello.txt", "no HTTP message"),
        (Q, "return errorfile /etc/none", code::FILE, "/etc/none", "cannot be read"),
        (Q, "return content-type a/b file /etc/large", code::FILE, "/etc/large", "serve larger ones"),
        (Q, "return content-type a/b lf-file /etc/broken.lf", code::FETCH, "/etc/broken.lf", "in `/etc/broken.lf`"),
        (Q, "return errorfile /etc/503.http hdr X y", code::ACTION_ARGS, "hdr", "a page has its own"),
        (Q, "return hdr Content-Length 3", code::HEADER, "Content-Length", "leave it out"),
        (Q, "deny_status 404", code::ACTION, "deny_status", ""),
        (Q, "return deny_status 404", code::ACTION_ARGS, "deny_status", "no argument"),
        (Q, "capture src len 0", code::CAPTURE, "0", "from 1"),
        (Q, "capture src id 2", code::CAPTURE, "2", "from 0 to 1"),
        (R, "capture res.hdr(x) len 3", code::CAPTURE, "len", "`id`"),
        (R, "capture res.hdr(x) id 1", code::CAPTURE, "1", "from 0 to 0"),
        (Q, "track-sc src", code::ACTION_ARGS, "track-sc", "no sticky counter"),
        (Q, "track-sc3 src", code::ACTION_ARGS, "track-sc3", "from 0 to 2"),
        (Q, "track-sc0 src table limit", code::ACTION_ARGS, "limit", "did you mean `limits`"),
        (Q, "track-sc0 always_true table limits", code::ACTION_ARGS, "always_true", "type ip"),
        (Q, "sc-inc-gpc(0)", code::ACTION_ARGS, "sc-inc-gpc(0)", "(0,1)"),
        (Q, "sc-inc-gpc(100,0)", code::ACTION_ARGS, "sc-inc-gpc(100,0)", "from 0 to 99"),
        (Q, "sc-inc-gpc0(9)", code::ACTION_ARGS, "sc-inc-gpc0(9)", "from 0 to 2"),
        (Q, "sc-set-gpt0(0) many", code::FETCH, "many", ""),
        (Q, "set-map(/etc/none.map) a b", code::FILE, "/etc/none.map", "no such file"),
        (Q, "set-map() a b", code::ACTION_ARGS, "set-map()", "in parentheses"),
        (Q, "set-map(virt@x) a", code::ACTION_ARGS, "a", "the value of `set-map` is missing"),
        (Q, "allow now", code::ACTION_ARGS, "now", "one word too many"),
    ] {
        let (found, at, text) = mistake(kind, rule);
        assert_eq!((found, &*at), (code, word), "{rule}: {text}");
        assert!(text.contains(says), "{rule}: {text}");
    }
}

#[test]
fn connections_end_and_rules_wait() {
    for (kind, rule, expected) in [
        (C, "accept", "allow"),
        (U, "accept", "allow"),
        (A, "allow", "allow"),
        (C, "reject", "Reject"),
        (Q, "reject", "Reject"),
        (S, "silent-drop", "SilentDrop { rst_ttl: None }"),
        (Q, "silent-drop rst-ttl 3", "SilentDrop { rst_ttl: Some(3) }"),
        (Q, "wait-for-body time 1s at-least 1k", "Body { time: 1000, at_least: 1024 }"),
        (Q, "wait-for-body time 500", "Body { time: 500, at_least: 0 }"),
        (Q, "wait-for-handshake", "Handshake"),
        (Q, "pause 1s", "Pause(1000)"),
        (Q, "pause req.hdr(content-length)", "Pause(12)"),
        (Q, "pause req.hdr(none)", "continue"),
    ] {
        let mut scene = if kind.phase() == Phase::Response { answered() } else { scene(REQUEST) };
        assert_eq!(run_in(&mut scene, kind, &[rule, "set-var(proc.went_on) fe_name"]), expected, "{rule}");
    }
    // After a wait the set goes on with the next rule.
    let rules = compiled(Q, &["pause 1s", "set-header X-A 1", "deny"]);
    let mut scene = scene(REQUEST);
    let mut at = 0;
    assert_eq!(scene.with(|ctx| tell(rules.eval(ctx, &mut at))), "Pause(1000)");
    assert_eq!((at, scene.request.get(b"x-a")), (1, None));
    assert_eq!(scene.with(|ctx| tell(rules.eval(ctx, &mut at))), "Deny 403|page");
    assert_eq!(scene.request.get(b"x-a"), Some(&b"1"[..]));
}

#[test]
fn what_an_action_looks_at_may_still_come() {
    let mut scene = scene(REQUEST);
    // In tcp mode there is no request, only what came so far.
    scene.request = evenkeel_proto::Head::new();
    for rule in
        ["track-sc0 req.payload(0,4) table names", "set-var(txn.x) req.payload(0,4)", "capture req.payload(0,4) len 4"]
    {
        let rules = compiled(T, &["set-var(txn.y) fe_name", rule]);
        let mut at = 0;
        let waits = scene.at(Phase::Request, |ctx| {
            ctx.body.complete = false;
            ctx.last = false;
            tell(rules.eval(ctx, &mut at))
        });
        assert_eq!((&*waits, at), ("More", 1), "{rule}");
        let goes_on = scene.at(Phase::Request, |ctx| tell(rules.eval(ctx, &mut at)));
        assert_eq!((&*goes_on, at), ("continue", 2), "{rule}");
    }
}

#[test]
fn variables_are_set_under_conditions() {
    let value = |scene: &mut Scene, name: &str| {
        let name = VarRef::parse(name).unwrap();
        scene.with(|ctx| ctx.var(&name, Stored::clone))
    };
    for (rules, expected) in [
        (&["set-var(txn.x) src"][..], Some(Stored::Ip("203.0.113.9".parse().unwrap()))),
        (&["set-var(txn.x) src_port"], Some(Stored::Int(51234))),
        (&["set-var(txn.x) req.hdr(none)"], None),
        (&["set-var-fmt(txn.x) '%[src]:%[src_port]'"], Some(Stored::Str(b"203.0.113.9:51234".to_vec()))),
        (&["set-var(txn.x) src_port", "unset-var(txn.x)"], None),
        (&["set-var(txn.x) int(1)", "set-var(txn.x,ifnotexists) int(2)"], Some(Stored::Int(1))),
        (&["set-var(txn.x,ifnotset) int(2)"], Some(Stored::Int(2))),
        (&["set-var(txn.x,ifexists) int(2)"], None),
        (&["set-var(txn.x) int(1)", "set-var(txn.x,ifset) int(2)"], Some(Stored::Int(2))),
        (&["set-var(txn.x) int(1)", "set-var(txn.x,ifgt) int(2)"], Some(Stored::Int(1))),
        (&["set-var(txn.x) int(1)", "set-var(txn.x,iflt) int(2)"], Some(Stored::Int(2))),
        (&["set-var(txn.x) int(3)", "set-var(txn.x,ifgt,ifexists) int(2)"], Some(Stored::Int(2))),
        (&["set-var(txn.x) str(a)", "set-var(txn.x,ifgt) int(2)"], Some(Stored::Int(2))),
        (&["set-var-fmt(txn.x,ifnotempty) ''"], None),
        (&["set-var-fmt(txn.x,ifempty) ''"], Some(Stored::Str(Vec::new()))),
        (&["set-var(txn.x,ifempty) int(0)"], None),
    ] {
        let mut scene = scene(REQUEST);
        assert_eq!(run_in(&mut scene, Q, rules), "continue", "{rules:?}");
        assert_eq!(value(&mut scene, "txn.x"), expected, "{rules:?}");
    }
    for (kind, rule, name) in [
        (C, "set-var(sess.a) src", "sess.a"),
        (S, "set-var(proc.a) src", "proc.a"),
        (T, "set-var(req.a) src", "req.a"),
        (U, "set-var(res.a) src", "res.a"),
        (A, "set-var-fmt(res.a) %[status]", "res.a"),
    ] {
        let mut scene = answered();
        assert_eq!(run_in(&mut scene, kind, &[rule]), "continue", "{rule}");
        assert!(value(&mut scene, name).is_some(), "{rule}");
    }
}

#[test]
fn wishes_are_written_down() {
    let wished = |rules: &[&str]| {
        let mut scene = scene(REQUEST);
        assert_eq!(run_in(&mut scene, Q, rules), "continue", "{rules:?}");
        scene.memo.wishes
    };
    let timeouts = wished(&[
        "set-timeout client 1s",
        "set-timeout connect 2",
        "set-timeout queue 3ms",
        "set-timeout server req.hdr(content-length)",
        "set-timeout tarpit 5m",
        "set-timeout tunnel 1h",
        "set-timeout client req.hdr(none)",
        "set-timeout client int(0)",
    ])
    .timeouts;
    assert_eq!(
        (timeouts.client, timeouts.connect, timeouts.queue, timeouts.server, timeouts.tarpit, timeouts.tunnel),
        (Some(1000), Some(2), Some(3), Some(12), Some(300_000), Some(3_600_000))
    );
    let expected = Wishes {
        retries: Some(7),
        no_l7_retry: true,
        log_level: Some(8),
        priority_class: -2047,
        priority_offset: 524_287,
        nice: -5,
        download_limit: Some(BandwidthLimit { per_second: 512 << 10, at_least: Some(4096), share: None }),
        early_hints: vec![("Link".into(), b"</a>; from=203.0.113.9".to_vec())],
        ..Wishes::default()
    };
    let found = wished(&[
        "set-retries 7",
        "set-retries int(101)",
        "disable-l7-retry",
        "set-log-level debug",
        "set-log-level silent",
        "set-priority-class int(-5000)",
        "set-priority-offset int(9999999)",
        "set-nice -5",
        "set-bandwidth-limit download 512k min-size 4k",
        "set-bandwidth-limit upload 1m",
        "set-bandwidth-limit upload int(0)",
        "set-bandwidth-limit download req.hdr(none)",
        "early-hint Link '</a>; from=%[src]'",
    ]);
    assert_eq!(found, expected);
}

#[test]
fn a_proxy_header_is_expected_of_whom_the_rule_names() {
    for (net, expected) in [("203.0.113.0/24", true), ("192.0.2.0/24", false)] {
        let mut scene = scene(REQUEST);
        assert_eq!(run_in(&mut scene, C, &[&format!("expect-proxy layer4 if {{ src {net} }}")]), "continue");
        assert_eq!(scene.memo.wishes.expect_proxy, expected, "{net}");
    }
}

#[test]
fn addresses_change_for_as_long_as_their_rules_say() {
    let addresses = |scene: &Scene| (scene.session.src.unwrap().to_string(), scene.session.dst.unwrap().to_string());
    let mut scene = scene(REQUEST);
    run_in(&mut scene, C, &["set-src src,ipmask(24)", "set-dst-port int(8443)"]);
    assert_eq!(addresses(&scene), ("203.0.113.0:51234".into(), "192.0.2.10:8443".into()));
    let rules = [
        "set-src req.hdr(x-forwarded-for,1)",
        "set-src-port int(7)",
        "set-dst req.hdr(host)",
        "set-dst-port int(65536)",
        "set-header X-Src %[src]:%[src_port]",
    ];
    run_in(&mut scene, Q, &rules);
    assert_eq!(addresses(&scene), ("10.1.2.3:7".into(), "192.0.2.10:8443".into()));
    assert_eq!(scene.request.get(b"x-src"), Some(&b"10.1.2.3:7"[..]));
    // The next client behind the same connection is another one.
    scene.session.end_transaction();
    assert_eq!(addresses(&scene), ("203.0.113.0:51234".into(), "192.0.2.10:8443".into()));
    let mut unix = crate::testing::scene(REQUEST);
    unix.session.src = None;
    run_in(&mut unix, Q, &["set-src-port int(7)"]);
    assert_eq!(unix.session.src.unwrap().to_string(), "0.0.0.0:7");
    unix.session.end_transaction();
    assert_eq!(unix.session.src, None);
}

#[test]
fn captures_fill_their_slots() {
    let library = with_files();
    let rules = ["capture req.hdr(host) len 5", "capture src id 0", "capture req.hdr(none) id 1"];
    let rules = compile_in(&library, "web", Q, &rules).unwrap();
    assert_eq!(library.captures.borrow()["web"].0.len(), 3, "declared after the two of the configuration");
    let mut scene = scene(REQUEST);
    scene.with(|ctx| tell(rules.eval(ctx, &mut 0)));
    let slots = scene.memo.captured_request.borrow();
    assert_eq!((slots.get(0), slots.get(1), slots.get(2)), (Some(&b"203.0.113.9"[..]), None, Some(&b"www.e"[..])));
    drop(slots);
    // A backend fills the slots of the frontend the request came by, and of no other.
    let rules = compile_in(&library, "api", Q, &["capture path id 2"]).unwrap();
    scene.with(|ctx| tell(rules.eval(ctx, &mut 0)));
    assert_eq!(scene.memo.captured_request.borrow().get(2), Some(&b"/api/"[..]));
    scene.memo = Memo::default();
    scene.frontend.0 = "other".into();
    scene.with(|ctx| tell(rules.eval(ctx, &mut 0)));
    assert!(scene.memo.captured_request.borrow().is_empty());
    assert!(compile_in(&library, "api", Q, &["capture path id 3"]).is_err());
    assert!(compile_in(&library, "api", Q, &["capture path len 3"]).is_err());
    let mut scene = answered();
    assert_eq!(run_in(&mut scene, R, &["capture res.hdr(server) id 0"]), "continue");
    assert_eq!(scene.memo.captured_response.borrow().get(0), Some(&b"Apache/2.4"[..]));
}

/// conn_cnt, conn_cur, sess_cnt, http_req_cnt, http_err_cnt, http_fail_cnt of what counter `at` tracks.
fn counts(scene: &mut Scene, at: usize) -> Option<[u64; 6]> {
    let now = scene.now.mono_ms;
    scene.with(|ctx| {
        let entry = ctx.tracked(at)?;
        let kinds =
            [Kind::ConnCnt, Kind::ConnCur, Kind::SessCnt, Kind::HttpReqCnt, Kind::HttpErrCnt, Kind::HttpFailCnt];
        Some(kinds.map(|kind| entry.get(kind, now).unwrap()))
    })
}

#[test]
fn tracking_counts_what_haproxy_counts_when_it_does() {
    use statuses::Counted;
    use track::{on_bytes, on_request, on_session, on_status};
    let mut scene = scene(REQUEST);
    let now = scene.now.mono_ms;
    run_in(&mut scene, C, &["track-sc0 src", "track-sc0 dst"]);
    assert_eq!(counts(&mut scene, 0), Some([1, 1, 0, 0, 0, 0]), "the first execution wins");
    assert_eq!(scene.session.tracks.get(0).unwrap().key().unwrap().to_string(), "203.0.113.9");
    on_session(&scene.session, now);
    assert_eq!(counts(&mut scene, 0), Some([1, 1, 1, 0, 0, 0]));
    run_in(&mut scene, T, &["track-sc1 src table limits"]);
    assert_eq!(counts(&mut scene, 1), Some([1, 1, 0, 0, 0, 0]));
    on_request(&scene.session, &scene.memo, now);
    run_in(&mut scene, Q, &["track-sc2 dst table limits", "track-sc2 src table limits"]);
    for (at, expected) in [(0, [1, 1, 1, 1, 0, 0]), (1, [1, 1, 0, 1, 0, 0]), (2, [1, 1, 0, 1, 0, 0])] {
        assert_eq!(counts(&mut scene, at), Some(expected), "counter {at}");
    }
    for (status, expected) in [(200, [0, 0]), (404, [1, 0]), (501, [1, 0]), (505, [1, 0]), (503, [1, 1]), (600, [1, 1])]
    {
        on_status(&scene.session, &scene.memo, status, &Counted::default(), now);
        for at in 0..3 {
            assert_eq!(counts(&mut scene, at).unwrap()[4..], expected, "counter {at}, status {status}");
        }
    }
    on_bytes(&scene.session, &scene.memo, 90, 67, now);
    let bytes = scene.memo.tracks.get(2).unwrap().get(Kind::BytesInCnt, now);
    assert_eq!(bytes, Some(90));

    // The transaction ends: what it tracked is let go, what the connection tracks stays.
    let (first, third) = (counts(&mut scene, 0), counts(&mut scene, 2));
    assert!(first.is_some() && third.is_some());
    scene.memo.clear();
    assert_eq!(counts(&mut scene, 2), None);
    run_in(&mut scene, Q, &["track-sc2 dst table limits"]);
    assert_eq!(counts(&mut scene, 2), Some([2, 1, 0, 2, 1, 1]), "one connection a transaction, as HAProxy counts");
    // What both track counts for the transaction alone.
    run_in(&mut scene, Q, &["track-sc0 src table limits"]);
    on_request(&scene.session, &scene.memo, now);
    let of_connection = scene.session.tracks.get(0).unwrap().get(Kind::HttpReqCnt, now);
    assert_eq!((counts(&mut scene, 0).unwrap()[3], of_connection), (3, Some(1)));
}

#[test]
fn keys_are_made_as_the_table_wants_them() {
    let mut library = with_files();
    library.stick_counters = STICK_COUNTERS;
    for (name, key) in [("numbers", KeyKind::Integer), ("bytes", KeyKind::Binary(4))] {
        library.tables.push(TableDef { name: name.into(), key, ..library.tables[0].clone() });
    }
    let mut scene = scene(&REQUEST.replace("X-Debug-Id: 1", "X-Empty:"));
    scene.world.tables = library.tables.iter().map(|def| Arc::new(Table::new(def))).collect();
    for (rule, at, expected) in [
        ("track-sc0 req.hdr(host) table names", 0, Some("www.example.com")),
        ("track-sc1 src table names", 1, Some("203.0.113.9")),
        ("track-sc2 req.hdr(x-forwarded-for,1) table limits", 2, Some("10.1.2.3")),
        ("track-sc3 str(1.2.3.4:80) table limits", 3, Some("1.2.3.4")),
        ("track-sc4 str('12abc') table numbers", 4, Some("12")),
        ("track-sc5 str(abc) table numbers", 5, Some("0")),
        ("track-sc6 int(-3) table numbers", 6, Some("4294967293")),
        ("track-sc7 req.fhdr(x-empty) table names", 7, Some("")),
        ("track-sc8 str(abcdefg) table bytes", 8, Some("61626364")),
    ] {
        let rules = compile_in(&library, "web", Q, &[rule]).unwrap_or_else(|errors| panic!("{rule}: {errors:?}"));
        assert_eq!(scene.with(|ctx| tell(rules.eval(ctx, &mut 0))), "continue");
        let key = scene.memo.tracks.get(at).and_then(|entry| entry.key()).map(|key| key.to_string());
        assert_eq!(key.as_deref(), expected, "{rule}");
    }
    scene.memo.clear();
    for rule in ["track-sc0 req.hdr(host) table limits", "track-sc0 req.hdr(none) table names"] {
        assert_eq!(run_in(&mut scene, Q, &[rule]), "continue");
        assert!(scene.memo.tracks.get(0).is_none(), "{rule}");
    }
}

#[test]
fn counters_of_the_user_are_changed() {
    let mut scene = scene(REQUEST);
    let now = scene.now.mono_ms;
    let rules = [
        "track-sc0 src",
        "track-sc1 src table arrays",
        "sc-inc-gpc0(0)",
        "sc-inc-gpc0(0)",
        "sc-inc-gpc1(0)",
        "sc-set-gpt0(0) 4294967297",
        "sc-inc-gpc(2,1)",
        "sc-add-gpc(2,1) 10",
        "sc-add-gpc(0,1) req.hdr(content-length)",
        "sc-set-gpt(1,1) req.hdr(content-length)",
        // Where there is an array, its first element.
        "sc-inc-gpc0(1)",
        // Not stored, not an element, not tracked: nothing happens.
        "sc-inc-gpc(0,0)",
        "sc-inc-gpc(3,1)",
        "sc-inc-gpc0(2)",
        "sc-set-gpt0(0) req.hdr(none)",
    ];
    assert_eq!(run_in(&mut scene, Q, &rules), "continue");
    let get = |at: usize, what: crate::stick::DataSel| scene.memo.tracks.get(at).unwrap().get(what, now);
    use crate::stick::DataSel;
    assert_eq!(get(0, Kind::Gpc0.into()), Some(2));
    assert_eq!(get(0, Kind::Gpc0Rate.into()), Some(2));
    assert_eq!(get(0, Kind::Gpc1.into()), Some(1));
    assert_eq!(get(0, Kind::Gpt0.into()), Some(1));
    assert_eq!(get(1, DataSel::nth(Kind::Gpc, 2)), Some(11));
    assert_eq!(get(1, DataSel::nth(Kind::Gpc, 0)), Some(13));
    assert_eq!(get(1, DataSel::nth(Kind::Gpt, 1)), Some(12));
}

#[test]
fn maps_and_lists_change_under_the_rules_that_use_them() {
    let library = with_files();
    let run = |scene: &mut Scene, rules: &[&str]| {
        let rules = compile_in(&library, "web", Q, rules).unwrap_or_else(|errors| panic!("{errors:?}"));
        scene.with(|ctx| tell(rules.eval(ctx, &mut 0)))
    };
    let mut first = scene(REQUEST);
    let seen = "deny if { path,map_str(/etc/hosts.map) -m found }";
    let blocked = "deny if { src -f virt@blocked }";
    assert_eq!(run(&mut first, &[seen, blocked]), "continue");
    assert_eq!(run(&mut first, &["set-map(/etc/hosts.map) %[path] %[src]", seen]), "Deny 403|page");
    assert_eq!(run(&mut first, &["set-header X-Map %[path,map_str(/etc/hosts.map)]"]), "continue");
    assert_eq!(first.request.get(b"x-map"), Some(&b"203.0.113.9"[..]));
    assert_eq!(
        run(&mut first, &["set-map(/etc/hosts.map) %[path] other", "set-header X-Map %[path,map_str(/etc/hosts.map)]"]),
        "continue"
    );
    assert_eq!(first.request.get(b"x-map"), Some(&b"other"[..]));
    assert_eq!(run(&mut first, &["del-map(/etc/hosts.map) %[path]", seen]), "continue");
    let add = "add-acl(virt@blocked) %[src]";
    assert_eq!(run(&mut first, &[add, add, blocked]), "Deny 403|page");
    assert_eq!(library.stores.borrow().get("virt@blocked").unwrap().len(), 1, "added once");
    assert_eq!(run(&mut first, &["del-acl(virt@blocked) %[src]", blocked]), "continue");
    // What the rules cannot compare with is not added, and nothing breaks.
    assert_eq!(run(&mut first, &["add-acl(virt@blocked) %[path]", blocked]), "continue");
    assert_eq!(run(&mut first, &["add-acl(virt@blocked) %[req.hdr(none)]", blocked]), "continue");
    // An explanation changes nothing that traffic looks up.
    assert_eq!(run(&mut first, &["set-map(/etc/hosts.map) %[path] %[src]", add]), "continue");
    first.world.leave_stores = true;
    let edits = ["del-map(/etc/hosts.map) %[path]", "del-acl(virt@blocked) %[src]", "add-acl(virt@blocked) 192.0.2.1"];
    assert_eq!(run(&mut first, &edits), "continue");
    assert_eq!(run(&mut first, &[seen]), "Deny 403|page");
    assert_eq!(run(&mut first, &["deny if !{ path,map_str(/etc/hosts.map) -m found }", blocked]), "Deny 403|page");
    assert_eq!(library.stores.borrow().get("virt@blocked").unwrap().len(), 1);
}

#[test]
fn a_trace_says_what_was_done() {
    let rules = [
        "set-header X-A %[src]",
        "set-path /x%[path]",
        "set-var(txn.a) src_port",
        "track-sc0 src",
        "sc-inc-gpc0(0)",
        "strict-mode off",
        "set-path foo",
        "redirect location /y if { path /x/api/users }",
    ];
    let rules = compiled(Q, &rules);
    let mut trace = Trace::default();
    let mut scene = scene(REQUEST);
    scene.with(|ctx| tell(rules.eval_traced(ctx, &mut 0, Some(&mut trace))));
    let did: Vec<&str> = trace.steps.iter().map(|step| &*step.did).collect();
    assert_eq!(
        did,
        [
            "set X-A: 203.0.113.9",
            "target is /x/api/users?id=7",
            "set txn.a to 51234",
            "counter 0 tracks 203.0.113.9 in web",
            "gpc0 is 1",
            "",
            "failed: the change has an invalid request target",
            "redirects to /y",
        ]
    );
    assert!(trace.to_string().contains("set-header X-A %[src] -> true\n    set X-A: 203.0.113.9\n"));
}

#[test]
fn equal_rules_have_equal_files() {
    let with_body = |body: &'static str| {
        let library = Library { read: Box::new(move |_| Ok(body.into())), ..library() };
        compile_in(&library, "web", Q, &["return content-type a/b file /etc/body"]).unwrap()
    };
    assert_eq!(with_body("one"), with_body("one"));
    assert_ne!(with_body("one"), with_body("two"));
}

#[test]
fn pages_of_http_error_are_compiled_alone() {
    let library = with_files();
    let env = Env { library: &library, proxy: "web" };
    let place = Place { file: "web.toml".into(), line: 3 };
    let compile = |text: &str| ErrorReply::compile(text, place.clone(), &env);
    let page =
        compile("status 404 content-type application/json lf-string '{\"path\":\"%[path]\"}' hdr X-A 1").unwrap();
    assert_eq!(page.status(), 404);
    let told = scene(REQUEST).with(|ctx| tell(Verdict::Reply(page.reply(ctx))));
    assert_eq!(told, "Return 404|Content-Type: application/json|X-A: 1|\"{\\\"path\\\":\\\"/api/users\\\"}\"");
    assert_eq!(
        page,
        compile("status 404 content-type application/json lf-string '{\"path\":\"%[path]\"}' hdr X-A 1").unwrap()
    );
    assert_ne!(page, compile("status 404").unwrap());
    for (text, code) in [
        ("content-type a/b string x", code::STATUS),
        ("status 404 if TRUE", code::CONDITION),
        ("status 99", code::STATUS),
        ("status 404 string x", code::ACTION_ARGS),
        ("status 404 'a", code::QUOTE),
    ] {
        assert_eq!(compile(text).unwrap_err()[0].code, code, "{text}");
    }
}

#[test]
fn no_words_and_no_request_break_a_rule() {
    let names: Vec<&str> = actions().iter().map(|action| action.name).collect();
    let words = [
        "(",
        ")",
        "0",
        "1",
        "-1",
        "x",
        "src",
        "path",
        "%[path]",
        "%[src",
        "'",
        "\"a b\"",
        "if",
        "unless",
        "{",
        "}",
        "TRUE",
        "table",
        "limits",
        "names",
        "len",
        "id",
        "status",
        "404",
        "string",
        "lf-string",
        "file",
        "/etc/hello.txt",
        "hdr",
        "X-A",
        "content-type",
        "a/b",
        "location",
        "prefix",
        "code",
        "301",
        "time",
        "1s",
        "at-least",
        "on",
        "off",
        "client",
        "download",
        "10k",
        "full",
        "path-strip-dotdot",
        "\\1",
        "(.*)",
        "[",
        "req.hdr(x)",
        "realm",
        "reason",
        "-m",
        "beg",
        "set-cookie",
        "errorfile",
        "/etc/503.http",
        "(txn.x)",
        "(0,1)",
        "(0)",
        "(virt@x)",
        ",",
        "%",
    ];
    let requests = [REQUEST, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"];
    let library = with_files();
    for seed in 1..4000 {
        let mut rng = Rng::new(seed);
        let mut rule = rng.pick(&names).to_owned();
        if rng.below(3) == 0 {
            rule.push_str(rng.pick(&["0", "(txn.x)", "(0,1)", "(0)", "(virt@x)", "(", "()"]));
        }
        for _ in 0..rng.below(6) {
            rule.push(' ');
            rule.push_str(rng.pick(&words));
        }
        let kind = RuleKind::ALL[rng.below(7) as usize];
        let rules = match compile_in(&library, "web", kind, &[&rule]) {
            Ok(rules) => rules,
            Err(errors) => {
                assert!(
                    errors.iter().all(|error| rule.get(error.range.clone()).is_some()),
                    "seed {seed}: {rule} {errors:?}"
                );
                continue;
            }
        };
        let text = rng.pick(&requests);
        let mut scene = scene(text);
        if kind.phase() == Phase::Response {
            scene = scene.answered(RESPONSE).unwrap();
        }
        let ended = scene.at(kind.phase(), |ctx| tell(rules.eval(ctx, &mut 0)));
        let written = request_of(&scene);
        assert!(!written.contains("\r\n\r\n\r\n") && !ended.is_empty(), "seed {seed}: {rule}");
        assert!(crate::testing::scene(&written).request.is_complete(), "seed {seed}: {rule} {written}");
    }
}
