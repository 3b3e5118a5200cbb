//! Whatever a log-format says, it compiles or is refused with a place, and what it writes holds no line break.

#![no_main]

use evenkeel_acl::{Env, Library, LogFormat, Phase, Scene};
use libfuzzer_sys::fuzz_target;

const REQUEST: &str = "GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nCookie: a=1; b=2\r\nX: \"quoted\" {braces}\r\n\r\n";

fuzz_target!(|text: &str| {
    let library = Library::default();
    let env = Env { library: &library, proxy: "web" };
    match LogFormat::compile(text, &env) {
        Err(errors) => {
            for error in errors {
                assert!(text.get(error.range.clone()).is_some(), "{error:?}");
            }
        }
        Ok(format) => {
            let src = "192.0.2.1:1".parse().expect("an address");
            let mut scene = Scene::new(REQUEST, src, src).expect("a request");
            let mut out = Vec::new();
            scene.at(Phase::Done, |ctx| format.write(ctx, &mut out));
            // A line break in the format itself is the operator's own.
            assert!(text.contains(['\n', '\r', '\\']) || !out.contains(&b'\n'), "{:?}", String::from_utf8_lossy(&out));
        }
    }
});
