//! Layer 4: bytes both ways, and each side's end on its own.

use evenkeel_testkit::{Act, Script};

use crate::case::{Case, case};
use crate::run::run;
use crate::setup::{Setup, TCP};

fn raw(name: &'static str, acts: Vec<Act>) -> Case {
    case(name).script(0, Script::Raw(acts))
}

#[test]
fn tcp() {
    let send = |s: &str| Act::Send(s.as_bytes().to_vec());
    let wait = |s: &str| Act::Await(s.as_bytes().to_vec());
    let pattern: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8).collect();
    let many: Vec<u8> = pattern.iter().chain(&pattern).chain(&pattern).chain(&pattern).copied().take(200_000).collect();
    run(
        &TCP,
        vec![
            raw("the client speaks first", vec![wait("hello"), send("welcome"), Act::DrainToEof, Act::Close])
                .flow(|f| f.send("hello").bytes("welcome").half_close().closed().origin_read("hello")),
            raw("the server speaks first", vec![send("220 ready\r\n"), wait("QUIT"), Act::Close])
                .flow(|f| f.bytes("220 ready\r\n").send("QUIT").closed().origin_read("QUIT")),
            raw("bytes are bytes", vec![wait("\u{0}end"), Act::Send(vec![0, 255, 13, 10, 128]), Act::DrainToEof]).flow(
                |f| {
                    f.send([1, 2, 0, b'e', b'n', b'd'])
                        .bytes([0, 255, 13, 10, 128])
                        .half_close()
                        .closed()
                        .origin_read([1, 2, 0, b'e', b'n', b'd'])
                },
            ),
            raw(
                "a client that closed its side still hears the answer",
                vec![Act::DrainToEof, send("all received"), Act::Close],
            )
            .flow(|f| f.send("request").half_close().bytes("all received").closed().origin_read("request")),
            raw(
                "a server that closed its side still hears the client",
                vec![send("that is all"), Act::HalfClose, Act::DrainToEof],
            )
            .flow(|f| f.bytes("that is all").send("thanks").half_close().closed().origin_read("thanks")),
            raw("200,000 bytes down", vec![wait("go"), Act::SendMany(200_000), Act::Close])
                .flow(|f| f.send("go").bytes(&many).closed().origin_read("go")),
            raw("200,000 bytes up", vec![Act::DrainToEof, send("ok"), Act::Close])
                .flow(|f| f.send(&many).half_close().bytes("ok").closed().origin_read(&many)),
            raw("a server that closes at once", vec![Act::Close]).flow(|f| f.closed().origin_read("")),
            raw("a server that resets", vec![wait("x"), Act::Reset]).flow(|f| f.send("x").closed().origin_read("x")),
            raw("a client that resets", vec![wait("x"), Act::DrainToEof])
                .flow(|f| f.send("x").origin_got("x").reset().origin_read("x")),
        ],
    );
}

#[test]
fn tcp_refused() {
    const SETUP: Setup =
        Setup { defaults: &["retries 1", "timeout connect 100ms"], backs: &[("app", &["server a @dead@"])], ..TCP };
    run(&SETUP, vec![case("a server that refuses: the connection is closed").flow(|f| f.send("x").closed())]);
}

#[test]
fn tcp_idle() {
    const SETUP: Setup = Setup { defaults: &["timeout client 300ms", "timeout server 300ms"], ..TCP };
    run(
        &SETUP,
        vec![
            raw(
                "an idle connection is closed",
                vec![Act::Await(b"x".to_vec()), Act::Send(b"y".to_vec()), Act::DrainToEof],
            )
            .flow(|f| f.send("x").bytes("y").closed().origin_read("x")),
        ],
    );
}
