//! Whatever a request holds, every fetch that needs no more than it answers without a panic, and so do the converters that
//! take text apart.

#![no_main]

use evenkeel_acl::tables::{convs, fetches};
use evenkeel_acl::{Env, Library, LogFormat, Phase, Scene};
use libfuzzer_sys::fuzz_target;

thread_local! {
    /// Every fetch and converter whose example compiles with an empty configuration.
    static FORMATS: Vec<LogFormat> = {
        let library = Library::default();
        let env = Env { library: &library, proxy: "web" };
        let fetches = fetches().iter().filter_map(|fetch| fetch.example.split_whitespace().next());
        let convs = convs().iter().map(|conv| conv.example);
        fetches.chain(convs).filter_map(|text| LogFormat::compile(&format!("%[{text}]"), &env).ok()).collect()
    };
}

fuzz_target!(|input: (&str, &[u8])| {
    let (text, body) = input;
    let src = "192.0.2.1:1".parse().expect("an address");
    let Ok(mut scene) = Scene::new(text, src, src) else { return };
    scene.body = body.to_vec();
    let mut out = Vec::new();
    FORMATS.with(|formats| {
        scene.at(Phase::Done, |ctx| {
            for format in formats {
                out.clear();
                format.write(ctx, &mut out);
            }
        });
    });
});
