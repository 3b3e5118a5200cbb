#![allow(clippy::unwrap_used)]
use super::*;
use crate::RawClient;

#[test]
fn a_script_answers_in_order_and_records() {
    let origin = Origin::start(Script::Http(vec![
        vec![Act::Body, Act::Send(ok("one"))],
        vec![Act::Body, Act::Send(ok("two")), Act::Close],
    ]));
    let mut client = RawClient::connect(origin.addr()).unwrap();
    assert_eq!(client.ask("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").unwrap().text(), "one");
    assert_eq!(client.ask("GET /b HTTP/1.1\r\n\r\n").unwrap().text(), "two");
    client.rest().unwrap();
    assert!(origin.settle());
    let seen = origin.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].message.text(), "hi");
    assert_eq!(seen[1].message.head.start, "GET /b HTTP/1.1");
}

#[test]
fn a_gate_holds_the_answer() {
    let gate = Gate::new();
    let origin = Origin::start(Script::Http(vec![vec![
        Act::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        Act::Wait(gate.clone()),
        Act::Send(ok("late")),
    ]]));
    let mut client = RawClient::connect(origin.addr()).unwrap();
    client.send("GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(client.response().unwrap().status(), 100);
    gate.open();
    assert_eq!(client.response().unwrap().text(), "late");
}

#[test]
fn it_dies_and_comes_back() {
    let mut origin = Origin::start(Script::always("x"));
    origin.stop();
    assert!(RawClient::connect(origin.addr()).is_err());
    origin.resume();
    let mut client = RawClient::connect(origin.addr()).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\r\n\r\n").unwrap().text(), "x");
}
