//! Whatever a client sends as a token, and whatever a variable holds as its key: it is read, verified and decrypted without a
//! panic, and what comes out is bounded by what came in.

#![no_main]

use std::path::Path;

use evenkeel_acl::{Env, Library, LogFormat, Phase, Scene};
use libfuzzer_sys::fuzz_target;

const REQUEST: &str = "POST / HTTP/1.1\r\nHost: h\r\n\r\n";
/// With keys of ours: what is signed or encrypted with them is in the corpus, or found by change.
const READ: &[&str] = &[
    "%[req.body,jwt_header_query]",
    "%[req.body,jwt_payload_query('$.sub')]",
    "%[req.body,jwt_verify(HS256,secret)]",
    "%[req.body,jwt_verify(RS256,key.pem)]",
    "%[req.body,jwt_verify_cert(PS256,key.pem)]",
    "%[req.body,jwt_decrypt_secret(AQIDBAUGBwgJCgsMDQ4PEA)]",
    "%[req.body,jwt_decrypt_secret(AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA)]",
    "%[req.body,jwt_decrypt_cert(key.pem)]",
    "%[req.body,jwt_decrypt_secret(txn.key)]",
    "%[req.body,jwt_decrypt_jwk(txn.key)]",
];

thread_local! {
    static FORMATS: (LogFormat, Vec<LogFormat>) = {
        let key = |_: &Path| Ok(include_bytes!("../../crates/acl/tests/data/rsa.pem").to_vec());
        let library = Library { read: Box::new(key), ..Library::default() };
        let env = Env { library: &library, proxy: "web" };
        let compile = |text: &str| LogFormat::compile_id(text, &env).expect("a format");
        (compile("%[req.body,set-var(txn.key)]"), READ.iter().map(|text| compile(text)).collect())
    };
}

fuzz_target!(|input: (&[u8], &[u8])| {
    let (token, key) = input;
    let src = "192.0.2.1:1".parse().expect("an address");
    let mut scene = Scene::new(REQUEST, src, src).expect("a request");
    let mut out = Vec::new();
    FORMATS.with(|(set, read)| {
        scene.body = key.to_vec();
        scene.at(Phase::Request, |ctx| set.write(ctx, &mut out));
        scene.body = token.to_vec();
        scene.at(Phase::Request, |ctx| {
            for format in read {
                out.clear();
                format.write(ctx, &mut out);
                // A control byte is written as `#HH`.
                assert!(out.len() <= 3 * token.len() + 2);
            }
        });
    });
});
