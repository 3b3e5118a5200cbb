//! The PROXY protocol: headers that clients begin with, those that servers get, and what becomes of bad ones.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use evenkeel_testkit::certs::Ca;
use evenkeel_testkit::{
    Ask, Client, DEADLINE, H2Options, Origin, Proto, Proxy, RawClient, Script, TlsClient, TlsServer, Via,
};
use evenkeel_tests::watch::{GLOBAL, Watch};

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// 192.0.2.7:51234 to 192.0.2.10:443.
const TCP4: &[u8] = b"\xc0\0\x02\x07\xc0\0\x02\x0a\xc8\x22\x01\xbb";
/// What a rule answers: who the client is taken for, who it is, and what its header told.
const TELL: &str = "return status 200 content-type text/plain lf-string \
    \"%[src]:%[src_port] %[dst]:%[dst_port] %[fc_src] %[fc_rcvd_proxy] %[fc_pp_authority] %[fc_pp_unique_id] %[fc_pp_tlv(234),hex]\"";

/// A header of version 2.
fn binary(kind: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[kind, family], &length, block].concat()
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], length.as_slice(), value].concat()
}

/// A frontend `web` that tells who its clients are.
fn telling(bind: &str, more: &str) -> String {
    format!("{GLOBAL}\n[frontend.web]\nbind = [{{ address = \"@web@\", {bind} }}]\nhttp-request = ['{TELL}']\n{more}\n")
}

#[test]
fn rules_see_the_client_of_the_header() {
    let proxy = Proxy::start(&telling("accept-proxy = true", ""));
    let fields = [TCP4, &field(2, b"www.ex.com"), &field(4, b"..."), &field(5, b"id7"), &field(234, b"\x01\x02")];
    let unix = [b"/run/a.sock".as_slice(), &[0; 97], b"/run/b.sock", &[0; 97]].concat();
    let own = "127.0.0.1";
    for (header, expected) in [
        (b"PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\r\n".to_vec(), "192.0.2.7:51234 192.0.2.10:443 127.0.0.1 1   "),
        (b"PROXY TCP6 2001:db8::7 2001:db8::a 1 2\r\n".to_vec(), "2001:db8::7:1 2001:db8::a:2 127.0.0.1 1   "),
        (b"PROXY UNKNOWN whatever\r\n".to_vec(), own),
        (binary(0x21, 0x11, TCP4), "192.0.2.7:51234 192.0.2.10:443 127.0.0.1 1   "),
        (binary(0x21, 0x12, TCP4), "192.0.2.7:51234 192.0.2.10:443 127.0.0.1 1   "),
        (binary(0x21, 0x11, &fields.concat()), "192.0.2.7:51234 192.0.2.10:443 127.0.0.1 1 www.ex.com id7 0102"),
        (binary(0x20, 0x11, TCP4), own),
        (binary(0x20, 0, &field(2, b"www.ex.com")), own),
        (binary(0x21, 0x31, &unix), own),
        (binary(0x21, 0, &[]), own),
    ] {
        for step in [1, 13, 10_000] {
            let mut client = RawClient::connect(proxy.addr("web")).unwrap();
            for piece in header.chunks(step) {
                client.send(piece).unwrap();
            }
            let seen = client.ask(ASK).unwrap().text();
            let real = format!("{} {} 127.0.0.1 1   ", client.local(), proxy.addr("web"));
            let expected = if expected == own { &real } else { expected };
            assert_eq!(&seen, expected, "{} by {step}", header.escape_ascii());
        }
    }
    // Header and request in one packet: nothing behind the header is lost.
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    let seen = client.ask(format!("PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\r\n{ASK}")).unwrap();
    assert!(seen.text().starts_with("192.0.2.7:51234 "), "{}", seen.text());
    // It holds for the connection, not for a request.
    assert!(client.ask(ASK).unwrap().text().starts_with("192.0.2.7:51234 "));
}

#[test]
fn a_connection_without_a_good_header_is_closed_and_the_log_says_why() {
    let watch =
        Watch::start(&telling("accept-proxy = [\"127.0.0.1\", \"192.0.2.0/24\"]", "timeout.handshake = \"100ms\""));
    let at = watch.proxy.addr("web");
    let crc = [TCP4, &field(3, &[0; 4])].concat();
    for (bytes, reason) in [
        (ASK.as_bytes().to_vec(), "proxy_header_missing"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\n".to_vec(), "proxy_header_malformed"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.10 51234 0443\r\n".to_vec(), "proxy_header_malformed"),
        ([b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat(), "proxy_header_malformed"),
        (binary(0x22, 0x11, TCP4), "proxy_header_malformed"),
        (binary(0x21, 0x41, TCP4), "proxy_header_malformed"),
        (binary(0x21, 0x11, &TCP4[..11]), "proxy_header_malformed"),
        (binary(0x21, 0x11, &crc), "proxy_header_malformed"),
        (binary(0x21, 0x11, &[0; 5000]), "proxy_header_malformed"),
        (b"PROXY TCP4 ".to_vec(), "proxy_header_timeout"),
    ] {
        let mark = watch.mark();
        let mut client = RawClient::connect(at).unwrap();
        client.send(&bytes).unwrap();
        assert_eq!(client.rest().unwrap().0, b"", "{reason}: it got an answer");
        let line = watch.ended(mark, reason);
        assert_eq!((&line["status"], line["client_ip"].as_str()), (&serde_json::Value::Null, Some("127.0.0.1")));
    }
    let mark = watch.mark();
    let mut client = RawClient::connect(at).unwrap();
    client.send(SIGNATURE).unwrap();
    client.half_close();
    assert_eq!(client.rest().unwrap().0, b"");
    watch.ended(mark, "proxy_header_closed");
    // Whoever is not on the list is not even listened to.
    let mark = watch.mark();
    let mut client = RawClient::connect_from("127.0.0.2".parse().unwrap(), at).unwrap();
    let _ = client.send(format!("PROXY TCP4 127.0.0.1 192.0.2.10 51234 443\r\n{ASK}"));
    assert_eq!(client.rest().unwrap().0, b"");
    watch.ended(mark, "proxy_source_untrusted");
}

#[test]
fn rules_on_connections_see_the_socket_and_those_on_sessions_the_header() {
    let rules = "tcp-request.connection = [\"reject if { src 192.0.2.7 }\"]\ntcp-request.session = [\"reject if { src 192.0.2.8 }\"]";
    let proxy = Proxy::start(&telling("accept-proxy = true", rules));
    let ask = |src: &str| {
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        client.send(format!("PROXY TCP4 {src} 192.0.2.10 51234 443\r\n{ASK}")).unwrap();
        client.status_or_end().unwrap()
    };
    assert_eq!((ask("192.0.2.7"), ask("192.0.2.8")), (200, 0));
}

#[test]
fn a_rule_expects_a_header_of_some() {
    let rule = "tcp-request.connection = [\"expect-proxy layer4 if { src 127.0.0.2 }\"]";
    let proxy = Proxy::start(&telling("name = \"b\"", rule));
    let at = proxy.addr("web");
    let mut client = RawClient::connect(at).unwrap();
    assert!(client.ask(ASK).unwrap().text().contains(" 127.0.0.1 0 "));
    let from = || RawClient::connect_from("127.0.0.2".parse().unwrap(), at).unwrap();
    let mut client = from();
    let seen = client.ask(format!("PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\r\n{ASK}")).unwrap();
    assert!(seen.text().starts_with("192.0.2.7:51234 192.0.2.10:443 127.0.0.2 1 "), "{}", seen.text());
    let mut client = from();
    client.send(ASK).unwrap();
    assert_eq!(client.rest().unwrap().0, b"");
}

/// A server that takes a PROXY header off each connection, then TLS where it has it, and answers every request.
struct Server {
    addr: SocketAddr,
    headers: Receiver<Vec<u8>>,
}

impl Server {
    fn start(tls: Option<TlsServer>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, headers) = channel();
        // Ends with the test process, as the connections do.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, sender) = (tls.clone(), sender.clone());
                thread::spawn(move || Server::serve(stream, tls, &sender));
            }
        });
        Server { addr, headers }
    }

    fn serve(mut stream: TcpStream, tls: Option<TlsServer>, headers: &Sender<Vec<u8>>) -> std::io::Result<()> {
        let header = read_header(&mut stream)?;
        let _ = headers.send(header);
        let mut stream = match tls {
            Some(tls) => tls.accept(stream)?.0,
            None => stream,
        };
        let (mut head, mut byte) = (Vec::new(), [0]);
        while stream.read(&mut byte)? == 1 {
            head.push(byte[0]);
            if head.ends_with(b"\r\n\r\n") {
                head.clear();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
        }
        Ok(())
    }

    /// The header of the next connection.
    fn header(&self) -> Vec<u8> {
        self.headers.recv_timeout(DEADLINE).unwrap()
    }

    fn has_another(&self) -> bool {
        self.headers.try_recv().is_ok()
    }
}

/// Reads a header and not a byte more.
fn read_header(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut header = vec![0; 6];
    stream.read_exact(&mut header)?;
    let mut more = |header: &mut Vec<u8>, count: usize| {
        let at = header.len();
        header.resize(at + count, 0);
        stream.read_exact(&mut header[at..])
    };
    if header == b"PROXY " {
        while !header.ends_with(b"\n") {
            more(&mut header, 1)?;
        }
    } else {
        more(&mut header, 10)?;
        let length = u16::from_be_bytes([header[14], header[15]]);
        more(&mut header, length.into())?;
    }
    Ok(header)
}

fn sending(server: &Server, keys: &str, more: &str) -> String {
    format!(
        "{GLOBAL}\n[listen.web]\nbind = [\"@web@\"]\n{more}\nserver = [{{ name = \"s\", address = \"{}\", {keys} }}]\n",
        server.addr
    )
}

/// The addresses of version 2 for a client of `web`.
fn inet(client: SocketAddr, web: SocketAddr) -> Vec<u8> {
    let port = |address: SocketAddr| address.port().to_be_bytes();
    [[127, 0, 0, 1, 127, 0, 0, 1].as_slice(), &port(client), &port(web)].concat()
}

#[test]
fn a_server_learns_who_the_client_is() {
    let server = Server::start(None);
    for mode in ["http", "tcp"] {
        let more = format!("mode = \"{mode}\"");
        let proxy = Proxy::start(&sending(&server, "send-proxy = true", &more));
        let web = proxy.addr("web");
        let mut client = RawClient::connect(web).unwrap();
        assert_eq!(client.ask(ASK).unwrap().text(), "ok");
        let (src, dst) = (client.local().port(), web.port());
        assert_eq!(server.header(), format!("PROXY TCP4 127.0.0.1 127.0.0.1 {src} {dst}\r\n").as_bytes(), "{mode}");
        let options = "send-proxy = \"v2\", proxy-v2-options = [\"ssl\", \"unique-id\"], set-proxy-v2-tlv-fmt = { 0xE1 = \"%[src_port]\" }";
        let proxy = Proxy::start(&sending(&server, options, &format!("{more}\nunique-id-format = \"id-%cp\"")));
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        assert_eq!(client.ask(ASK).unwrap().text(), "ok");
        let port = client.local().port();
        let fields =
            [field(5, format!("id-{port}").as_bytes()), field(0x20, &[0; 5]), field(0xe1, port.to_string().as_bytes())];
        let expected = binary(0x21, 0x11, &[inet(client.local(), proxy.addr("web")), fields.concat()].concat());
        assert_eq!(server.header().escape_ascii().to_string(), expected.escape_ascii().to_string(), "{mode}");
    }
}

#[test]
fn an_announced_connection_is_shared_with_nobody() {
    let server = Server::start(None);
    let proxy = Proxy::start(&sending(&server, "send-proxy = true", "http-reuse = \"always\""));
    for _ in 0..3 {
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        for _ in 0..3 {
            assert_eq!(client.ask(ASK).unwrap().text(), "ok");
        }
        let line = String::from_utf8(server.header()).unwrap();
        assert!(line.contains(&format!(" {} ", client.local().port())), "{line}");
        assert!(!server.has_another(), "one client, one connection");
    }
    // A header that would differ makes another connection, for the same client too.
    let options = "send-proxy = \"v2\", proxy-v2-options = \"unique-id\"";
    let proxy = Proxy::start(&sending(&server, options, "http-reuse = \"always\"\nunique-id-format = \"%rt\""));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    for _ in 0..3 {
        assert_eq!(client.ask(ASK).unwrap().text(), "ok");
    }
    let headers = [server.header(), server.header(), server.header()];
    assert!(headers[0] != headers[1] && headers[1] != headers[2]);
    let proxy = Proxy::start(&sending(&server, "send-proxy = true", "http-request = [\"set-src req.hdr(x-ip)\"]"));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    let dst = proxy.addr("web").port();
    for (ip, fresh) in [("192.0.2.1", true), ("192.0.2.1", false), ("192.0.2.2", true)] {
        assert_eq!(client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Ip: {ip}\r\n\r\n")).unwrap().text(), "ok");
        if fresh {
            let src = client.local().port();
            assert_eq!(server.header(), format!("PROXY TCP4 {ip} 127.0.0.1 {src} {dst}\r\n").as_bytes());
        }
    }
    assert!(!server.has_another());
}

#[test]
fn a_client_without_an_address_is_announced_without_one() {
    let server = Server::start(None);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.sock");
    for (keys, expected) in
        [("send-proxy = true", b"PROXY UNKNOWN\r\n".to_vec()), ("send-proxy = \"v2\"", binary(0x20, 0, &[]))]
    {
        let bind = format!("bind = [\"unix@{}\"]", path.display());
        let proxy = Proxy::start(&sending(&server, keys, "").replace("bind = [\"@web@\"]", &bind));
        let mut client = RawClient::connect_unix(&path).unwrap();
        assert_eq!(client.ask(ASK).unwrap().text(), "ok");
        assert_eq!(server.header(), expected);
        drop(proxy);
    }
}

#[test]
fn checks_say_that_they_are_checks() {
    let server = Server::start(None);
    let keys = "send-proxy = \"v2\", check = { uri = \"/up\", interval = \"20ms\", init-state = \"down\" }";
    let proxy = Proxy::start(&sending(&server, keys, ""));
    assert_eq!(server.header(), binary(0x20, 0, &[]));
    proxy.wait_csv("server up", |csv| evenkeel_tests::cell(csv, "web", "s", "status").starts_with("UP"));
}

/// In front: TLS ends, and the next proxy is told of it. Behind: it believes the first. Over HTTP/1 and HTTP/2, with TLS between.
#[test]
fn two_proxies_in_a_row_agree_on_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new("test");
    let leaf = ca.leaf(&["www.ex.com"]);
    let certificate = leaf.write(dir.path(), "site.pem");
    let ca_file = ca.write(dir.path(), "ca.pem");
    let tls = format!("tls = {{ certificate = \"{}\" }}", certificate.display());
    let tell = TELL.replace("%[fc_src]", "%[ssl_fc]");
    let behind = telling(&format!("accept-proxy = [\"127.0.0.1\"], {tls}"), "").replace(TELL, &tell);
    let behind = Proxy::start(&behind);
    let front = format!(
        "{GLOBAL}\n[listen.web]\nbind = [{{ address = \"@web@\", {tls} }}]\nserver = [{{ name = \"s\", address = \"{}\", \
         send-proxy = \"v2\", proxy-v2-options = [\"ssl\", \"authority\", \"crc32c\"], \
         tls = {{ verify = \"required\", ca-file = \"{}\", sni = \"str(www.ex.com)\" }} }}]\n",
        behind.addr("web"),
        ca_file.display()
    );
    let front = Proxy::start(&front);
    for proto in [Proto::H1, Proto::H2] {
        let via = Via::tls(proto, &TlsClient::new("www.ex.com", &[]));
        let mut client = Client::connect(front.addr("web"), &via).unwrap();
        for _ in 0..2 {
            let seen = client.ask(&Ask::get("/")).unwrap();
            let expected = format!("{} {} 1 1 www.ex.com  ", client.local(), front.addr("web"));
            assert_eq!(seen.text(), expected, "{proto:?}");
        }
    }
    // The header comes before TLS, and before the preface of HTTP/2.
    for proto in [Proto::H1, Proto::H2] {
        let mut raw = RawClient::connect(behind.addr("web")).unwrap();
        raw.send("PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\r\n").unwrap();
        let via = Via::tls(proto, &TlsClient::new("www.ex.com", &[]));
        let mut client = Client::over(raw, &via, &H2Options::default()).unwrap();
        let seen = client.ask(&Ask::get("/")).unwrap();
        assert_eq!(seen.text(), "192.0.2.7:51234 192.0.2.10:443 1 1   ", "{proto:?}");
    }
}

#[test]
fn the_client_of_the_header_is_the_client_everywhere() {
    let origin = Origin::start(Script::always("ok"));
    let config = format!(
        "{GLOBAL}\n[listen.web]\nbind = [{{ address = \"@web@\", accept-proxy = true }}]\noption.forwardfor = true\n\
         server = [{{ name = \"s\", address = \"{}\" }}]\n",
        origin.addr()
    );
    let watch = Watch::start(&config);
    let mark = watch.mark();
    let mut client = RawClient::connect(watch.proxy.addr("web")).unwrap();
    client.send("PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\r\nGET /seen HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(client.response().unwrap().text(), "ok");
    assert_eq!(origin.seen()[0].message.head.get("x-forwarded-for"), Some("192.0.2.7"));
    let line = watch.request(mark, "/seen");
    assert_eq!((line["client_ip"].as_str(), line["client_port"].as_u64()), (Some("192.0.2.7"), Some(51234)), "{line}");
}
