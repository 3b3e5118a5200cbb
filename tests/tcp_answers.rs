//! `tcp-response.content`: rules on what a server says first in TCP mode.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use evenkeel_testkit::DEADLINE;
use evenkeel_tests::watch::{GLOBAL, Watch};

/// A server that hears four bytes, then says each of `words` and waits for a byte of the client after each but the last.
fn server(words: &'static [&'static str]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            let _ = peer.read_exact(&mut [0; 4]);
            for (at, word) in words.iter().enumerate() {
                let _ = peer.write_all(word.as_bytes());
                if at + 1 < words.len() {
                    let _ = peer.read_exact(&mut [0; 1]);
                }
            }
        }
    });
    addr
}

fn watch(server: std::net::SocketAddr, rules: &str) -> Watch {
    Watch::start(&format!(
        "{GLOBAL}\n[listen.tcp]\nmode = \"tcp\"\nbind = [\"@web@\"]\n{rules}\nserver = [{{ name = \"s1\", address = \"{server}\" }}]\n"
    ))
}

fn client(watch: &Watch) -> TcpStream {
    let stream = TcpStream::connect(watch.proxy.addr("web")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// All that comes before the end, which may be a reset where words of the server were never read on.
fn drained(client: &mut TcpStream) -> String {
    let mut said = Vec::new();
    match client.read_to_end(&mut said) {
        Ok(_) => {}
        Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset, "{e}"),
    }
    String::from_utf8(said).unwrap()
}

const RULES: &str = "tcp-response.inspect-delay = \"20s\"\n\
    tcp-response.content = [\"reject if { res.payload(0,3) -m str BAD }\", \"accept if { res.len ge 6 }\"]";

#[test]
fn an_answer_that_is_accepted_arrives_whole() {
    let watch = watch(server(&["good words"]), RULES);
    let mut client = client(&watch);
    client.write_all(b"ask?").unwrap();
    assert_eq!(drained(&mut client), "good words");
}

/// The client's bytes go up while the rules wait for more of the server's.
#[test]
fn the_client_goes_on_while_the_server_is_heard() {
    let watch = watch(server(&["abc", "defgh"]), RULES);
    let mut client = client(&watch);
    client.write_all(b"ask?").unwrap();
    client.write_all(b"+").unwrap();
    assert_eq!(drained(&mut client), "abcdefgh");
}

#[test]
fn an_answer_that_is_rejected_never_reaches_the_client() {
    let watch = watch(server(&["BAD words"]), RULES);
    let mark = watch.mark();
    let mut client = client(&watch);
    client.write_all(b"ask?").unwrap();
    assert_eq!(drained(&mut client), "");
    let line = watch.ended(mark, "response_denied");
    assert_eq!(line["bytes_out"], 0, "{line}");
}

/// Without a delay the verdict is made on what comes first.
#[test]
fn without_a_delay_the_first_words_count() {
    let watch = watch(server(&["ab", "cd"]), "tcp-response.content = [\"accept if { res.len ge 6 }\", \"reject\"]");
    let mark = watch.mark();
    let mut client = client(&watch);
    client.write_all(b"ask?").unwrap();
    assert_eq!(drained(&mut client), "");
    watch.ended(mark, "response_denied");
}
