#![allow(clippy::unwrap_used)]
use super::*;
use crate::ctx::{FrontendCount, ProcessCount, Times};
use crate::fetch::TlsFacts;
use crate::scene::Scene;
use crate::testing::{REQUEST, Rng, env, scene, scope, with_ctx};
use crate::word;

fn parse(text: &str, phase: Phase) -> Result<Format, Fault> {
    let words = word::split(text).unwrap();
    Format::parse(&words[0], &scope(text, phase))
}

/// The line of `text` on `scene` once `tell` said how the transaction went.
fn line(text: &str, scene: &mut Scene, tell: impl Fn(&mut Ctx<'_>)) -> String {
    let format = LogFormat::compile(text, &env()).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    scene.at(Phase::Done, |ctx| {
        tell(ctx);
        let mut out = Vec::new();
        format.write(ctx, &mut out);
        String::from_utf8(out).unwrap()
    })
}

/// The transaction that the HAProxy manual shows in 8.2.3.
fn told() -> Scene {
    let mut scene = Scene::new(
        "GET /index.html HTTP/1.1\r\nHost: 1wt.eu\r\n\r\n",
        "10.0.1.2:33317".parse().unwrap(),
        "10.0.1.1:80".parse().unwrap(),
    )
    .unwrap();
    scene.frontend = ("http-in".into(), 1);
    scene.backend = Some(("static".into(), 2));
    scene.server = Some(("srv1".into(), 1));
    scene.session.accepted_us = 1_233_918_854_655_000;
    scene.world.utc_offset = 3600;
    scene.world.process.insert(ProcessCount::Pid, 5129);
    scene
}

fn tell(ctx: &mut Ctx<'_>) {
    ctx.progress.began_us = ctx.session.accepted_us;
    ctx.progress.status = Some(200);
    ctx.progress.bytes_out = 2750;
    ctx.progress.bytes_in = 72;
    ctx.progress.letters = "--";
    ctx.progress.sessions = [1; 4];
    ctx.progress.times = Times {
        handshake: 0,
        idle: 7,
        request: 10,
        queue: 0,
        connect: 30,
        response: 69,
        data: 0,
        active: 109,
        total: 116,
    };
}

#[test]
fn items_are_filled_in() {
    for (text, expected) in [
        ("plain", "plain"),
        ("''", ""),
        ("100%%", "100%"),
        ("%ci:%cp", "203.0.113.9:51234"),
        ("%[src]", "203.0.113.9"),
        ("'for=%[src];host=\"%[req.hdr(host)]\"'", "for=203.0.113.9;host=\"www.example.com\""),
        ("<%[hdr(none)]>", "<>"),
        ("%[hdr(x-forwarded-for)]", "192.168.0.9"),
        ("%[hdr(x-forwarded-for,1)]", "10.1.2.3"),
        ("%HM-%HP-%[query]-%fi-%fp-%f", "POST-/api/users-id=7-192.0.2.10-443-web"),
        ("'%HU %HPO %HQ %HV'", "/api/users?id=7 /api/users ?id=7 HTTP/1.1"),
        // As HAProxy: no blank is merged, an alias is quoted and a sample is not, nothing stands for nothing.
        ("'a  b %f '", "a  b web "),
        ("'%{+Q}f %{+Q}o%f x %f %{-Q}f'", "\"web\" \"web\" x \"web\" web"),
        ("'<%{+Q}[req.hdr(none)]|%{+Q}[req.hdr(host)]>'", "<|www.example.com>"),
        ("'%{+X}ci %{+X}cp'", "CB007109 C822"),
        ("%{+E,+Q}r", "\"POST /api/users?id=7 HTTP/1.1\""),
        ("'%CC|%ID|%b|%hr|%hrl'", "||web||"),
        ("%(name)f-%(:sint)cp", "web-51234"),
        ("%{+json}[req.hdr(host)]/%{+json}cp/%{+json}[req.hdr(none)]", "\"www.example.com\"/51234/null"),
    ] {
        let format = parse(text, Phase::Request).unwrap();
        let mut out = Vec::new();
        with_ctx(REQUEST, |ctx| format.write(ctx, &mut out));
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
    }
}

#[test]
fn every_alias_compiles_where_its_data_is_and_nowhere_else() {
    assert!(ALIASES.windows(2).all(|pair| pair[0].name < pair[1].name));
    let all = [Phase::Accept, Phase::Hello, Phase::Request, Phase::Body, Phase::Server, Phase::Response, Phase::Done];
    for alias in ALIASES {
        assert!(alias.doc.ends_with('.'), "{}", alias.name);
        for phase in all {
            let text = format!("%{}", alias.name);
            match parse(&text, phase) {
                Ok(_) => assert!(alias.phases.contains(&phase), "{text} in {phase}"),
                Err(fault) => {
                    assert!(!alias.phases.contains(&phase), "{text} in {phase}: {fault:?}");
                    assert_eq!((fault.code, fault.range), (code::PHASE, 0..text.len()));
                }
            }
        }
    }
}

#[test]
fn bad_items_point_at_themselves() {
    for (text, code, at) in [
        ("50%", code::FORMAT, "%"),
        ("a%zz.", code::FORMAT, "%zz"),
        ("a%.b", code::FORMAT, "%"),
        ("a%cix", code::FORMAT, "%cix"),
        ("a%[src", code::FORMAT, "%[src"),
        ("a%[req.hdr(a])", code::FORMAT, "%[req.hdr(a])"),
        ("a%[scr]b", code::FETCH, "scr"),
        ("a%[path_beg]b", code::FORMAT, "path_beg"),
        ("%{+Q}", code::FORMAT, "%{+Q}"),
        ("%{+Q", code::FORMAT, "{+Q"),
        ("%{+Q}%f", code::FORMAT, "%{+Q}"),
        ("%{Q}f", code::FORMAT, "Q"),
        ("%{+Q,+Z}f", code::FORMAT, "+Z"),
        ("%{+q}f", code::FORMAT, "+q"),
        ("%{+Q,}f", code::FORMAT, "%{+Q,}f"),
        ("%{+bin}o", code::FORMAT, "+bin"),
        ("%(a", code::FORMAT, "(a"),
        ("%()f", code::FORMAT, "()"),
        ("%(a/b)f", code::FORMAT, "a/b"),
        ("%(a:float)f", code::FORMAT, "a:float"),
        ("a%B", code::PHASE, "%B"),
        (r"a\r\nb", code::HEADER, r"\r"),
    ] {
        let fault = parse(text, Phase::Request).unwrap_err();
        assert_eq!((fault.code, &text[fault.range.clone()]), (code, at), "{text}: {fault:?}");
    }
    let fault = parse("a%[path]b", Phase::Accept).unwrap_err();
    assert_eq!((fault.code, fault.range), (code::PHASE, 1..8));
    assert_eq!(parse("%hm", Phase::Request).unwrap_err().hint.as_deref(), Some("did you mean `%HM`?"));
    for (text, code, at) in [
        ("", code::EMPTY, ""),
        ("  ", code::EMPTY, "  "),
        ("a\nb", code::FORMAT, "\n"),
        (r"a\ %cp", code::FORMAT, r"\ "),
    ] {
        let errors = LogFormat::compile(text, &env()).unwrap_err();
        assert_eq!((errors[0].code, &text[errors[0].range.clone()]), (code, at), "{text:?}");
    }
    assert_eq!(LogFormat::compile_id("%ci_%Ta", &env()).unwrap_err()[0].code, code::PHASE);
}

/// Byte for byte what HAProxy logs: the HTTP and TCP lines are those of its manual.
#[test]
fn built_in_formats() {
    let http =
        "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0";
    assert_eq!(line(LogFormat::HTTP, &mut told(), tell), format!("{http} \"GET /index.html HTTP/1.1\""));
    let mut captured = told();
    captured.memo.captured_request.get_mut().set(0, b"1wt.eu");
    let with_captures = |ctx: &mut Ctx<'_>| {
        tell(ctx);
        ctx.progress.captures = [1, 1];
    };
    assert_eq!(
        line(LogFormat::HTTP, &mut captured, with_captures),
        format!("{http} {{1wt.eu}} {{}} \"GET /index.html HTTP/1.1\"")
    );
    // What HAProxy writes without TLS, and the example of its manual.
    assert_eq!(
        line(LogFormat::HTTPS, &mut told(), tell),
        format!("{http} \"GET /index.html HTTP/1.1\" 0/-/-/-/0 -/-/-")
    );
    let mut secure = told();
    secure.session.tls = Some(std::sync::Arc::new(TlsFacts {
        protocol: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
        sni: Some("1wt.eu".into()),
        ..TlsFacts::default()
    }));
    assert_eq!(
        line(LogFormat::HTTPS, &mut secure, tell).replace("http-in~", "http-in"),
        format!("{http} \"GET /index.html HTTP/1.1\" 0/0000000000000000/0/0/0 1wt.eu/TLSv1.3/TLS_AES_256_GCM_SHA384")
    );
    assert_eq!(
        line(LogFormat::TCP, &mut told(), tell),
        "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 0/30/116 2750 -- 1/1/1/1/0 0/0"
    );
    assert_eq!(
        line(LogFormat::HTTP_CLF, &mut captured, with_captures),
        "10.0.1.2 - - [06/Feb/2009:11:14:14 +0000] \"GET /index.html HTTP/1.1\" 200 2750 \"\" \"\" 33317 655 \"http-in\" \
         \"static\" \"srv1\" 10 0 30 69 109 ---- 1 1 1 1 0 0 0 \"\" \"\" \"1wt.eu\" \"\""
    );
    assert_eq!(
        line(LogFormat::TCP_CLF, &mut told(), tell),
        "10.0.1.2 - - [06/Feb/2009:11:14:14 +0000] \"TCP \" 000 2750 \"\" \"\" 33317 655 \"http-in\" \"static\" \"srv1\" \
         0 0 30 116 72 ---- 1 1 1 1 0 0 0 \"\" \"\" "
    );
}

#[test]
fn blanks_merge_in_log_lines_as_in_haproxy() {
    for (text, expected) in [
        ("  a", "a"),
        ("a  ", "a "),
        ("plain  two", "plain two"),
        ("a\t\tb", "a\t\tb"),
        ("a \t b", "a \t b"),
        ("%{+Q}o  text", "text"),
        ("%{+Q}o a %{+Q}o b", "a b"),
        ("%hr %hs end", "end"),
        ("a %hr b", "a b"),
        ("a %hr", "a "),
        ("a%%b", "a%b"),
        ("%[req.hdr(none)] %{+Q}[req.hdr(none)] %CC %{+Q}CC", "- \"\" - \"\""),
        ("%HQ|%{+Q}HQ", "|\"\""),
        ("%{+Q}ci:%{+E}ci %{+Q}ms %{+Q}ST %{+Q}t", "\"10.0.1.2\":10.0.1.2 655 200 06/Feb/2009:12:14:14.655"),
    ] {
        assert_eq!(line(text, &mut told(), tell), expected, "{text}");
    }
    let id = LogFormat::compile_id("  a  b %[req.hdr(none)]%hr c", &env()).unwrap();
    let mut out = Vec::new();
    told().at(Phase::Request, |ctx| id.write(ctx, &mut out));
    assert_eq!(String::from_utf8(out).unwrap(), "a b  c");
}

#[test]
fn every_alias_of_a_finished_transaction() {
    let mut scene = told();
    scene.world.frontends.insert(("http-in".into(), FrontendCount::LogLines), 43);
    scene.memo.unique_id.get_mut().extend_from_slice(b"id-1");
    scene.memo.captured_request.get_mut().set(1, b"a\"b]c\\#{|}\tz\xe9");
    scene.memo.captured_cookies.get_mut().set(0, b"SID=x");
    let tell = |ctx: &mut Ctx<'_>| {
        tell(ctx);
        ctx.progress.captures = [2, 1];
        ctx.progress.began_us += 1_345_000;
        ctx.progress.server_addr = "10.0.9.9:8080".parse().ok();
        ctx.progress.server_src = "[2001:db8::1]:40000".parse().ok();
        ctx.progress.queued = [3, 4];
        (ctx.progress.retries, ctx.progress.redispatched) = (2, true);
        ctx.progress.serial = 42;
    };
    for (text, expected) in [
        ("%H %pid %{+X}pid %rt %{+X}rt %lc %{+X}lc", "localhost 5129 1409 42 002A 43 002B"),
        ("%Th %Ti %TR %Tq %Tw %Tc %Tr %Td %Ta %Tt %Tu", "0 7 10 17 0 30 69 0 109 116 109"),
        (
            "%t|%tr|%ms|%{+X}ms|%Ts|%{+X}Ts",
            "06/Feb/2009:12:14:14.655|06/Feb/2009:12:14:16.000|655|28F|1233918854|498C1B86",
        ),
        (
            "%T|%Tl|%trg|%trl",
            "06/Feb/2009:11:14:14 +0000|06/Feb/2009:12:14:14 +0100|06/Feb/2009:11:14:16 +0000|06/Feb/2009:12:14:16 +0100",
        ),
        ("%bi:%bp %si:%sp %{+X}si:%{+X}sp", "2001:db8::1:40000 10.0.9.9:8080 0A000909:1F90"),
        ("%ac/%fc/%bc/%sc/%rc %sq/%bq %U/%B", "1/1/1/1/+2 3/4 72/2750"),
        ("%CC %{+Q}CC %CS %ID %{+Q}ID", "SID=x \"SID=x\" - id-1 \"id-1\""),
        ("%hr|%hs", "{|a#22b]c\\#23#7B#7C#7D#09z#E9}|{}"),
        ("%{+Q}hr|%{+E}hr", "\"{|a#22b]c\\#23#7B#7C#7D#09z#E9}\"|{|a#22b\\]c\\\\#23#7B#7C#7D#09z#E9}"),
        ("%hrl|%hsl|%{+Q}hrl", "- a#22b]c\\#23#7B#7C#7D#09z#E9|-|\"\" \"a#22b]c\\#23#7B#7C#7D#09z#E9\""),
        ("%ts %tsc %ft %f %b %s", "-- ---- http-in http-in static srv1"),
    ] {
        assert_eq!(line(text, &mut scene, tell), expected, "{text}");
    }
    let early = |ctx: &mut Ctx<'_>| {
        tell(ctx);
        ctx.progress.early = true;
    };
    assert_eq!(line("%B %U %Ta %Tt %Tu %Td", &mut scene, early), "+2750 72 +109 +116 +109 0");
}

#[test]
fn tls_is_told() {
    let mut scene = told();
    assert_eq!(line("%ft %sslv/%sslc %{+Q}sslc", &mut scene, tell), "http-in -/- \"\"");
    scene.session.tls = Some(std::sync::Arc::new(TlsFacts {
        protocol: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
        sni: Some("1wt.eu".into()),
        ..TlsFacts::default()
    }));
    assert_eq!(line("%ft %{+Q}ft %sslv", &mut scene, tell), "http-in~ \"http-in~\" TLSv1.3");
}

#[test]
fn what_did_not_happen() {
    let mut scene = told();
    scene.request.reset();
    (scene.backend, scene.server, scene.session.src, scene.session.dst) = (None, None, None, None);
    let nothing = |ctx: &mut Ctx<'_>| ctx.progress.listener_id = 3;
    for (text, expected) in [
        ("%HM %HU %HP %HPO %HQ %HV %r %{+Q}r", &"<BADREQ> ".repeat(7)[..]),
        ("%b/%s %ST %tsc %ts %TR/%Tw/%Tc/%Tr/%Ta %Tq %Tu %Td", "http-in/<NOSRV> -1 ---- -- -1/-1/-1/-1/-1 -1 -1 -1"),
        ("%ci:%cp %fi:%fp %{+Q}ci %bi:%bp %si:%sp", "unix:3 unix:3 \"unix\" -:0 -:0"),
        ("%ID %CC %CS %{+Q}bi", "- - - \"\""),
    ] {
        let expected = if text.starts_with("%HM") { format!("{expected}\"<BADREQ>\"") } else { expected.to_owned() };
        assert_eq!(line(text, &mut scene, nothing), expected, "{text}");
    }
}

#[test]
fn targets_of_every_form() {
    for (request, expected) in [
        ("GET http://h/p/q?z HTTP/1.0\r\nHost: h\r\n\r\n", "http://h/p/q?z|http://h/p/q|/p/q|?z|HTTP/1.0"),
        ("GET /p? HTTP/1.1\r\nHost: h\r\n\r\n", "/p?|/p|/p|?|HTTP/1.1"),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "*|*|||HTTP/1.1"),
        ("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", "h:80|h:80|||HTTP/1.1"),
        ("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", "http://h|http://h|||HTTP/1.1"),
    ] {
        assert_eq!(line("%HU|%HP|%HPO|%HQ|%HV", &mut scene(request), |_| {}), expected, "{request}");
    }
    let long = |ctx: &mut Ctx<'_>| ctx.progress.log_uri_len = 6;
    assert_eq!(
        line("%r %HU", &mut scene("GET /0123456789 HTTP/1.1\r\nHost: h\r\n\r\n"), long),
        "GET /01234 HTTP/1.1 /01234"
    );
}

#[test]
fn an_edit_does_not_change_what_is_logged() {
    let mut scene = told();
    scene.request.set_target(b"/new").unwrap();
    assert_eq!(line("%r %HU %[url]", &mut scene, tell), "GET /index.html HTTP/1.1 /index.html /new");
}

#[test]
fn json_objects_hold_the_named_items() {
    for (text, expected) in [
        ("%{+json}o %[always_true] test %(named_field)[req.hdr(host)]", r#"{"named_field": "1wt.eu"}"#),
        (
            "%{+json}o %(client)ci:%(port)cp %(port_text:str)cp %(status)ST %(when)tr %(ta)Ta",
            r#"{"client": "10.0.1.2", "port": 33317, "port_text": "33317", "status": 200, "when": "06/Feb/2009:12:14:14.655", "ta": 109}"#,
        ),
        ("%{+json}o %(a)CC %(b)[req.hdr(none)] %(c)hr %(d)HQ", r#"{"a": null, "b": null, "c": null, "d": ""}"#),
        (
            "%{+json}o %(flag)[always_true] %(n:sint)[always_true] %(request){+Q}r",
            r#"{"flag": true, "n": 1, "request": "GET /index.html HTTP/1.1"}"#,
        ),
        ("%(late)f x %{+json}o", r#"{"late": "http-in"}"#),
        ("%{+json}o", "{}"),
    ] {
        let early = |ctx: &mut Ctx<'_>| {
            tell(ctx);
            ctx.progress.early = true;
        };
        assert_eq!(line(text, &mut told(), early), expected, "{text}");
    }
}

#[test]
fn cbor_maps_hold_the_named_items() {
    let status = "BF 66 737461747573 18C8 61 61 F6 FF".replace(' ', "");
    for (text, expected) in [
        ("%{+cbor}o", "BFFF"),
        ("%{+cbor}o %(status)ST x %HU %(a)[req.hdr(none)]", &*status),
        // The last of two encodings holds; an item by itself has no name.
        ("%{+json}o%{+cbor}o%(n:str)ST", "BF616E63323030FF"),
        ("a=%{+cbor}ST b=%{+cbor}[always_true] c=%{+cbor,-cbor}ST", "a=18C8 b=F5 c=200"),
        ("%{+cbor}o%(m){+Q}HM", "BF616D63474554FF"),
    ] {
        assert_eq!(line(text, &mut told(), tell), expected, "{text}");
    }
    let env = env();
    let raw = |text: &str| {
        let format = LogFormat::compile(text, &env).unwrap();
        let mut out = Vec::new();
        told().at(Phase::Done, |ctx| {
            tell(ctx);
            format.write(ctx, &mut out);
        });
        out
    };
    assert_eq!(raw("%{+cbor,+bin}o %(s)ST"), b"\xbf\x61s\x18\xc8\xff");
    assert_eq!(raw("<%{+bin,+cbor}ST>"), b"<\x18\xc8>");
    // Bytes as they are have no place in a field value.
    let fault = parse("%{+cbor,+bin}f", Phase::Request).unwrap_err();
    assert_eq!(fault.code, code::FORMAT, "{fault:?}");
}

#[test]
fn formats_are_equal_by_text_and_use() {
    let compile = |text: &str| LogFormat::compile(text, &env()).unwrap();
    assert_eq!(compile("%ci"), compile("%ci"));
    assert_ne!(compile("%ci"), compile("%cp"));
    assert_ne!(compile("%ci"), LogFormat::compile_id("%ci", &env()).unwrap());
    assert_eq!((compile("%ci").text(), &*format!("{:?}", compile("%ci"))), ("%ci", "LogFormat(\"%ci\")"));
}

/// A text of items and near misses.
fn arbitrary(rng: &mut Rng) -> String {
    const PARTS: &[&str] = &[
        "%",
        "%%",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "+Q",
        "-Q",
        "+X",
        "+E",
        "+json",
        ",",
        ":",
        "o",
        "ci",
        "%r",
        "%hr",
        " ",
        "  ",
        "a",
        "é",
        "\t",
        "%{+Q}o",
        "%[src]",
        "%[req.hdr(host),lower]",
        "%[req.hdr('a]b')]",
        "%(n)f",
        "%(n:str)cp",
        "%{+json}o",
        "\"",
        "'",
        "\\",
        "B",
        "%Ta",
    ];
    (0..rng.below(9)).map(|_| rng.pick(PARTS)).collect()
}

/// No text panics, and what compiles is printed as what compiles to the same.
#[test]
fn print_and_parse_sweep() {
    let seed = 0x5eed_0404;
    let mut rng = Rng::new(seed);
    let (env, acls) = (env(), Acls::default());
    let mut compiled = 0;
    for round in 0..30_000 {
        let text = arbitrary(&mut rng);
        for (usage, phase) in [
            (Use::Log, Phase::Done),
            (Use::Value, Phase::Request),
            (Use::Body, Phase::Request),
            (Use::Id, Phase::Request),
        ] {
            let scope = Scope { text: &text, phase, kind: None, acls: &acls, env };
            let parse = |text: &str| parse::parse(&Word::verbatim(text), &scope, usage);
            let Ok(format) = parse(&text) else { continue };
            compiled += 1;
            let printed = format.to_string();
            let again = parse(&printed).unwrap_or_else(|fault| {
                panic!("seed {seed:#x} round {round}: {text:?} printed {printed:?}: {fault:?}")
            });
            assert_eq!(again.to_string(), printed, "seed {seed:#x} round {round}: {text:?}");
            let write = |format: &Format| {
                let mut out = Vec::new();
                told().at(phase, |ctx| format.write(ctx, &mut out));
                out
            };
            if round % 16 == 0 {
                assert_eq!(write(&again), write(&format), "seed {seed:#x} round {round}: {text:?} {printed:?}");
            }
        }
    }
    assert!(compiled > 5_000, "{compiled} texts compiled");
}
