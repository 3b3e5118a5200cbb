//! `option forwardfor` in its forms.

use crate::case::{Case, case, get, get_with};
use crate::run::run;
use crate::setup::{HTTP, Setup};

#[test]
fn forwardfor() {
    const SETUP: Setup = Setup { front: &["option forwardfor"], ..HTTP };
    run(
        &SETUP,
        vec![
            plain("the client's address is added", "", "x-forwarded-for: 127.0.0.1"),
            case("an existing field stays, ours comes after it").flow(|f| {
                f.send(get_with("/", "X-Forwarded-For: 192.0.2.1\r\n"))
                    .reply(200)
                    .request("GET / HTTP/1.1")
                    .verbatim("X-Forwarded-For: 192.0.2.1\r\n")
                    .has("x-forwarded-for: 192.0.2.1")
                    .has("x-forwarded-for: 127.0.0.1")
            }),
            case("each request of a connection gets one").flow(|f| {
                f.send(get("/1") + &get("/2"))
                    .reply(200)
                    .reply(200)
                    .request("GET /1 HTTP/1.1")
                    .has("x-forwarded-for: 127.0.0.1")
                    .request("GET /2 HTTP/1.1")
                    .has("x-forwarded-for: 127.0.0.1")
            }),
        ],
    );
}

#[test]
fn forwardfor_except() {
    const SETUP: Setup = Setup { front: &["option forwardfor except 127.0.0.0/8"], ..HTTP };
    run(
        &SETUP,
        vec![
            case("an excepted source gets none")
                .flow(|f| f.send(get("/")).reply(200).request("GET / HTTP/1.1").lacks("x-forwarded-for")),
        ],
    );
}

#[test]
fn forwardfor_except_another() {
    const SETUP: Setup = Setup { front: &["option forwardfor except 10.0.0.0/8"], ..HTTP };
    run(&SETUP, vec![plain("another source gets one", "", "x-forwarded-for: 127.0.0.1")]);
}

#[test]
fn forwardfor_header() {
    const SETUP: Setup = Setup { front: &["option forwardfor header X-Client"], ..HTTP };
    run(
        &SETUP,
        vec![case("under the name given").flow(|f| {
            f.send(get("/")).reply(200).request("GET / HTTP/1.1").has("x-client: 127.0.0.1").lacks("x-forwarded-for")
        })],
    );
}

#[test]
fn forwardfor_if_none() {
    const SETUP: Setup = Setup { defaults: &["option forwardfor if-none"], ..HTTP };
    run(
        &SETUP,
        vec![
            plain("added when there is none", "", "x-forwarded-for: 127.0.0.1"),
            case("not added when there is one").flow(|f| {
                f.send(get_with("/", "x-forwarded-for: 192.0.2.1\r\n"))
                    .reply(200)
                    .request("GET / HTTP/1.1")
                    .verbatim("x-forwarded-for: 192.0.2.1\r\n")
            }),
        ],
    );
}

fn plain(name: &'static str, lines: &'static str, field: &'static str) -> Case {
    case(name).flow(|f| f.send(get_with("/", lines)).reply(200).request("GET / HTTP/1.1").has(field))
}
