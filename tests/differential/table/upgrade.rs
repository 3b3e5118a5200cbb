//! Upgrades and CONNECT: the handshake, then bytes both ways.

use evenkeel_testkit::Act;

use crate::case::{Case, case, get, ok};
use crate::run::run;
use crate::setup::HTTP;

const WS: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nX-Origin: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[test]
fn upgrade() {
    run(&HTTP, cases());
}

fn cases() -> Vec<Case> {
    let send = |s: &str| Act::Send(s.as_bytes().to_vec());
    let wait = |s: &str| Act::Await(s.as_bytes().to_vec());
    vec![
        case("a WebSocket handshake and data both ways")
            .origin(vec![vec![send(SWITCH), wait("ping"), send("pong"), wait("bye"), Act::Close]])
            .flow(|f| {
                f.send(WS)
                    .reply(101)
                    .has("connection: Upgrade")
                    .has("upgrade: websocket")
                    .has("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
                    .send("ping")
                    .bytes("pong")
                    .send("bye")
                    .closed()
                    .request_cut("GET /ws HTTP/1.1")
                    .has("upgrade: websocket")
                    .has("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")
                    .origin_read("pingbye")
            }),
        case("data that comes with the 101")
            .origin(vec![vec![send(&format!("{SWITCH}hello")), wait("bye"), Act::Close]])
            .flow(|f| {
                f.send(WS)
                    .reply(101)
                    .bytes("hello")
                    .send("bye")
                    .closed()
                    .request_cut("GET /ws HTTP/1.1")
                    .origin_read("bye")
            }),
        case("a large message through a tunnel")
            .origin(vec![vec![send(SWITCH), Act::SendMany(300_000), wait("bye"), Act::Close]])
            .flow(|f| {
                let pattern: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8).collect();
                let all: Vec<u8> = pattern
                    .iter()
                    .copied()
                    .cycle()
                    .take(65_536 * 4)
                    .chain(pattern.iter().copied())
                    .take(300_000)
                    .collect();
                f.send(WS).reply(101).bytes(all).send("bye").closed().request_cut("GET /ws HTTP/1.1").origin_read("bye")
            }),
        case("the client ends the tunnel").origin(vec![vec![send(SWITCH), Act::DrainToEof, Act::Close]]).flow(|f| {
            f.send(WS)
                .reply(101)
                .send("last words")
                .half_close()
                .closed()
                .request_cut("GET /ws HTTP/1.1")
                .origin_read("last words")
        }),
        case("an upgrade the origin declines is an ordinary request")
            .answer(ok("no sockets here"))
            .flow(|f| f.send(WS).reply(200).body("no sockets here").open().request("GET /ws HTTP/1.1")),
        case("an upgrade to something else")
            .origin(vec![vec![
                send(
                    "HTTP/1.1 101 Switching Protocols\r\nX-Origin: 1\r\nConnection: upgrade\r\nUpgrade: echo/2\r\n\r\n",
                ),
                wait("x"),
                send("x"),
                Act::Close,
            ]])
            .flow(|f| {
                f.send("GET /e HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo/2\r\n\r\n")
                    .reply(101)
                    .has("upgrade: echo/2")
                    .send("x")
                    .bytes("x")
                    .closed()
                    .request_cut("GET /e HTTP/1.1")
                    .has("upgrade: echo/2")
                    .origin_read("x")
            }),
        case("Upgrade without Connection: upgrade is no offer")
            .flow(|f| f.send("GET /u HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").reply(200).open())
            .differs(
                "Upgrade is a field of one hop (RFC 9110 section 7.8); HAProxy forwards it without the Connection that gives it meaning",
                |f| f.request("GET /u HTTP/1.1").lacks("upgrade"),
                |f| f.request("GET /u HTTP/1.1").has("upgrade: websocket"),
            ),
        case("a 101 nobody asked for is a broken answer")
            .answer(SWITCH)
            .flow(|f| f.send(get("/")).reply(502).request("GET / HTTP/1.1")),
        case("CONNECT")
            .origin(vec![vec![
                send("HTTP/1.1 200 Established\r\nX-Origin: 1\r\n\r\n"),
                wait("ping"),
                send("pong"),
                Act::Close,
            ]])
            .flow(|f| {
                f.send("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n")
                    .reply_head(200)
                    .send("ping")
                    .bytes("pong")
                    .closed()
                    .request_cut("CONNECT db.example:5432 HTTP/1.1")
                    .origin_read("ping")
            }),
        case("CONNECT refused by the origin")
            .answer("HTTP/1.1 403 Forbidden\r\nX-Origin: 1\r\nContent-Length: 2\r\n\r\nno")
            .flow(|f| {
                f.send("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n")
                    .reply(403)
                    .body("no")
                    .request("CONNECT db.example:5432 HTTP/1.1")
            }),
    ]
}
