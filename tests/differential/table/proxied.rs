//! The PROXY protocol: which headers are taken, and what servers are sent. With an announced client both proxies send the
//! same bytes.

use evenkeel_testkit::{Act, Script};

use crate::case::{Case, Flow, case, get};
use crate::run::run;
use crate::setup::{HTTP, Setup, TCP};

/// 192.0.2.7:51234 to 192.0.2.10:443.
const TCP4: &[u8] = b"\xc0\0\x02\x07\xc0\0\x02\x0a\xc8\x22\x01\xbb";
const LINE: &str = "PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\r\n";

/// A header of version 2.
fn binary(kind: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", [kind, family].as_slice(), &length, block].concat()
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], length.as_slice(), value].concat()
}

fn tcp6() -> Vec<u8> {
    let address = |last: u8| [b"\x20\x01\x0d\xb8".as_slice(), &[0; 11], &[last]].concat();
    [address(7), address(10), b"\xc8\x22\x01\xbb".to_vec()].concat()
}

/// The client sends `header`, and the server must read `expected` before what the client says.
fn passes(name: &'static str, header: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) -> Case {
    let acts = vec![Act::Await(b"hello".to_vec()), Act::Send(b"welcome".to_vec()), Act::DrainToEof, Act::Close];
    let read = [expected.as_ref(), b"hello"].concat();
    case(name).script(0, Script::Raw(acts)).flow(|f| told_to(f, header.as_ref(), &read))
}

fn told_to(flow: Flow, header: &[u8], read: &[u8]) -> Flow {
    flow.send([header, b"hello"].concat()).bytes("welcome").half_close().closed().origin_read(read)
}

fn closes(name: &'static str, header: impl AsRef<[u8]>) -> Case {
    case(name).flow(|f| f.send([header.as_ref(), b"hello"].concat()).ends())
}

/// A line that HAProxy makes something of.
fn taken(name: &'static str, line: String) -> Case {
    let sent = line.clone() + "hello";
    case(name).script(0, Script::Raw(vec![Act::DrainToEof, Act::Close])).differs(
        "numbers are read as far as they go",
        |f| f.send(sent.clone()).ends(),
        |f| f.send(sent.clone()).half_close().ends().origins_unseen(),
    )
}

#[test]
fn headers_become_lines() {
    const SETUP: Setup = Setup { accepts_proxy: true, backs: &[("app", &["server s0 @o0@ send-proxy"])], ..TCP };
    let six = "PROXY TCP6 2001:db8::7 2001:db8::a 51234 443\r\n";
    let told: Vec<u8> =
        [TCP4.to_vec(), field(1, b"h2"), field(2, b"a.example"), field(4, b""), field(0xea, b"x")].concat();
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100], b"\r\n"].concat();
    let acts = || vec![Act::Await(b"hello".to_vec()), Act::Send(b"welcome".to_vec()), Act::DrainToEof, Act::Close];
    run(
        &SETUP,
        vec![
            passes("a line", LINE, LINE),
            passes("a line of IPv6", six, six),
            passes("version 2 of IPv4", binary(0x21, 0x11, TCP4), LINE),
            passes("version 2 of IPv6", binary(0x21, 0x21, &tcp6()), six),
            passes("version 2 with fields", binary(0x21, 0x11, &told), LINE),
            case("a line that comes byte by byte").script(0, Script::Raw(acts())).differs(
                "a receiver may wait for the rest, within timeout.handshake",
                |f| {
                    let read = [LINE.as_bytes(), b"hello"].concat();
                    f.drip(LINE).send("hello").bytes("welcome").half_close().closed().origin_read(read)
                },
                |f| f.drip(LINE).send("hello").ends(),
            ),
            closes("no header", "nothing that looks like one\r\n"),
            closes("HTTP", get("/")),
            closes("a line that ends with LF", LINE.replace("\r\n", "\n")),
            closes("a line that is too long", long),
            closes("an unknown family", "PROXY UDP4 192.0.2.7 192.0.2.10 51234 443\r\n"),
            taken("a port that is too large", LINE.replace("443", "65536")),
            taken("an address that is none", LINE.replace("192.0.2.7", "192.0.2.777")),
            closes("an unknown version", binary(0x11, 0x11, TCP4)),
            closes("an unknown command", binary(0x22, 0x11, TCP4)),
            closes("half an address", binary(0x21, 0x11, &TCP4[..11])),
            closes("a cut field", binary(0x21, 0x11, &[TCP4, &[0xea, 0, 9, 0]].concat())),
            closes("a wrong checksum", binary(0x21, 0x11, &[TCP4, &field(3, &[0; 4])].concat())),
            closes("a long id", binary(0x21, 0x11, &[TCP4, &field(5, &[0; 129])].concat())),
            case("a port with a zero before it").script(0, Script::Raw(acts())).differs(
                "the protocol allows no leading zeros",
                |f| f.send([LINE.replace(" 443", " 0443").as_bytes(), b"hello"].concat()).ends(),
                |f| told_to(f, LINE.replace(" 443", " 0443").as_bytes(), &[LINE.as_bytes(), b"hello"].concat()),
            ),
            case("UDP").script(0, Script::Raw(acts())).differs(
                "the addresses are as good as those of TCP",
                |f| told_to(f, &binary(0x21, 0x12, TCP4), &[LINE.as_bytes(), b"hello"].concat()),
                |f| f.send([&*binary(0x21, 0x12, TCP4), b"hello"].concat()).ends(),
            ),
        ],
    );
}

#[test]
fn headers_become_blocks() {
    const SETUP: Setup = Setup {
        accepts_proxy: true,
        front: &["unique-id-format \"id-%cp\""],
        backs: &[(
            "app",
            &[
                "server s0 @o0@ send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c,unique-id",
            ],
        )],
        ..TCP
    };
    // Each checksum is HAProxy's own.
    let block = |addresses: &[u8], sum: [u8; 4], fields: &[&[u8]]| {
        let family = if addresses.len() == 12 { 0x11 } else { 0x21 };
        binary(0x21, family, &[addresses, &field(3, &sum), &fields.concat()].concat())
    };
    let (id, tls) = (field(5, b"id-51234"), field(0x20, &[0; 5]));
    let name = field(2, b"a.example");
    run(
        &SETUP,
        vec![
            passes("IPv4", LINE, block(TCP4, *b"\x1b\xfe\xfd\xc7", &[&id, &tls])),
            passes("IPv6", binary(0x21, 0x21, &tcp6()), block(&tcp6(), *b"\xe7\x59\xf3\xb6", &[&id, &tls])),
            passes(
                "a name goes on",
                binary(0x21, 0x11, &[TCP4, &name].concat()),
                block(TCP4, *b"\x25\xff\x2f\x7d", &[&name, &id, &tls]),
            ),
        ],
    );
}

#[test]
fn fields_alone() {
    const SETUP: Setup = Setup { accepts_proxy: true, backs: &[("app", &["server s0 @o0@ send-proxy-v2"])], ..TCP };
    run(
        &SETUP,
        vec![
            passes("IPv4", LINE, binary(0x21, 0x11, TCP4)),
            passes(
                "a name stays here",
                binary(0x21, 0x11, &[TCP4, &field(2, b"a.example")].concat()),
                binary(0x21, 0x11, TCP4),
            ),
        ],
    );
}

#[test]
fn rules_see_the_client() {
    const SETUP: Setup = Setup {
        accepts_proxy: true,
        front: &[
            "tcp-request connection reject if { src 192.0.2.8 }",
            "tcp-request session reject if { src 192.0.2.9 }",
            "option forwardfor",
            "http-request set-header X-Seen \"%[src] %[src_port] %[dst] %[dst_port] %[fc_src] %[fc_rcvd_proxy]\" if { src 192.0.2.0/24 }",
            "http-request set-header X-Seen \"%[src] %[dst] %[fc_rcvd_proxy]\" unless { src 192.0.2.0/24 }",
            "http-request set-header X-Told \"%[fc_pp_authority] %[fc_pp_unique_id]\"",
        ],
        ..HTTP
    };
    let ask = |header: &[u8]| [header, get("/").as_bytes()].concat();
    let own = |f: Flow| f.reply(200).request("GET / HTTP/1.1").has("X-Seen: 127.0.0.1 127.0.0.1 1");
    let fields = [TCP4, &field(2, b"a.example"), &field(5, b"id7")].concat();
    let unix = [b"/run/a".as_slice(), &[0; 210]].concat();
    run(
        &SETUP,
        vec![
            case("a line").flow(|f| f.send(ask(LINE.as_bytes())).reply(200).request("GET / HTTP/1.1")).flow(|f| {
                f.has("X-Seen: 192.0.2.7 51234 192.0.2.10 443 127.0.0.1 1").has("X-Forwarded-For: 192.0.2.7")
            }),
            case("fields")
                .flow(|f| f.send(ask(&binary(0x21, 0x11, &fields))).reply(200).request("GET / HTTP/1.1"))
                .flow(|f| f.has("X-Told: a.example id7")),
            case("it holds for every request")
                .flow(|f| f.send(ask(LINE.as_bytes())).reply(200).send(get("/2")).reply(200))
                .flow(|f| f.request("GET / HTTP/1.1").has("X-Forwarded-For: 192.0.2.7"))
                .flow(|f| f.request("GET /2 HTTP/1.1").has("X-Forwarded-For: 192.0.2.7")),
            case("LOCAL").flow(|f| own(f.send(ask(&binary(0x20, 0, &[]))))),
            case("LOCAL with more").flow(|f| own(f.send(ask(&binary(0x20, 0x11, TCP4))))),
            case("UNKNOWN").flow(|f| own(f.send(ask(b"PROXY UNKNOWN\r\n")))),
            case("UNKNOWN with more").differs(
                "version 2.6 closes; the protocol says to ignore it",
                |f| own(f.send(ask(b"PROXY UNKNOWN a b c\r\n"))),
                |f| f.send(ask(b"PROXY UNKNOWN a b c\r\n")).ends(),
            ),
            case("a rule on connections sees the socket").flow(|f| {
                f.send(ask(LINE.replace("192.0.2.7", "192.0.2.8").as_bytes())).reply(200).request("GET / HTTP/1.1")
            }),
            case("a rule on sessions sees the header")
                .flow(|f| f.send(ask(LINE.replace("192.0.2.7", "192.0.2.9").as_bytes())).ends()),
            case("a Unix socket").differs(
                "version 2.6 closes, against the protocol",
                |f| own(f.send(ask(&binary(0x21, 0x31, &unix)))),
                |f| f.send(ask(&binary(0x21, 0x31, &unix))).ends(),
            ),
            case("no family").differs(
                "version 2.6 closes, which the protocol allows",
                |f| own(f.send(ask(&binary(0x21, 0, &[])))),
                |f| f.send(ask(&binary(0x21, 0, &[]))).ends(),
            ),
        ],
    );
}
