//! TLS in TCP mode: ended here, or passed on and routed by the name in the first message.

use evenkeel_testkit::{Act, Origin, RawClient, Script, TlsClientOptions, TlsServer};
use evenkeel_tests::watch::{GLOBAL, Watch};

use crate::setup::Site;

/// TLS ends here, and what is in it goes to a server in the clear, both ways and to both ends.
#[test]
fn a_tcp_frontend_ends_tls() {
    let site = Site::new();
    let cert = site.leaf(&["a.example"]);
    let origin = Origin::start(Script::Raw(vec![
        Act::Await(b"hello".to_vec()),
        Act::Send(b"welcome".to_vec()),
        Act::DrainToEof,
        Act::Send(b"bye".to_vec()),
        Act::Close,
    ]));
    let watch = Watch::start(&format!(
        "{GLOBAL}\n[listen.web]\nmode = \"tcp\"\nbind = [{{ address = \"@web@\", tls = {{ certificate = {cert:?} }} }}]\n\
         tcp-request.session = [\"reject if {{ ssl_fc_sni -m beg evil }}\"]\n\
         server = [{{ name = \"s1\", address = \"{}\" }}]\n",
        origin.addr()
    ));
    let client = site.client("a.example");
    let mark = watch.mark();
    let (mut client, session) = RawClient::connect_tls(watch.proxy.addr("web"), &client).unwrap();
    assert_eq!(session.alpn, None);
    client.send("hello").unwrap();
    assert_eq!(client.exactly(7).unwrap(), b"welcome");
    client.send("more").unwrap();
    client.half_close();
    let (rest, _) = client.rest().unwrap();
    assert_eq!(rest, b"bye");
    watch.line(mark, "normal");
    assert_eq!(origin.seen()[0].raw, b"hellomore");
    // Rules on sessions see the name.
    let mark = watch.mark();
    let evil = evenkeel_testkit::TlsClient::new("evil.example", &[]);
    let (mut client, _) = RawClient::connect_tls(watch.proxy.addr("web"), &evil).unwrap();
    client.rest().unwrap();
    watch.ended(mark, "rejected");
    assert_eq!(origin.connections(), 1);
}

/// Nothing is decrypted: the name in the ClientHello says where it goes, and the server's own certificate is what is seen.
#[test]
fn the_name_routes_what_is_passed_on() {
    let site = Site::new();
    let server = |name: &str| {
        let tls = TlsServer::new(&site.ca.leaf(&[name]), &["http/1.1"]);
        Origin::start_tls(&tls, Script::always(name))
    };
    let (a, b) = (server("a.example"), server("b.example"));
    let rest = Origin::start(Script::Raw(vec![Act::Await(b"\n".to_vec()), Act::Send(b"no TLS".to_vec()), Act::Close]));
    let watch = Watch::start(&format!(
        "{GLOBAL}\n[frontend.web]\nmode = \"tcp\"\nbind = [\"@web@\"]\n\
         tcp-request.inspect-delay = \"5s\"\n\
         tcp-request.content = [\"accept if {{ req.ssl_hello_type 1 }}\", \"accept if {{ req.len gt 0 }} !{{ req.ssl_hello_type 1 }} {{ req.payload(0,1) -m str h }}\"]\n\
         use_backend = [\"a if {{ req.ssl_sni -i a.example }}\", \"b if {{ req.ssl_sni -m end .b.example }} or {{ req.ssl_sni b.example }}\"]\n\
         default_backend = \"rest\"\n\n\
         [backend.a]\nmode = \"tcp\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n\n\
         [backend.b]\nmode = \"tcp\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n\n\
         [backend.rest]\nmode = \"tcp\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n",
        a.addr(),
        b.addr(),
        rest.addr()
    ));
    for (name, wanted) in [("a.example", "a.example"), ("A.Example", "a.example"), ("b.example", "b.example")] {
        let (mut client, session) = RawClient::connect_tls(watch.proxy.addr("web"), &site.client(name)).unwrap();
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text(), wanted);
        assert_eq!(session.peer.len(), 1);
    }
    let seen = a.seen();
    assert_eq!(seen[0].session.as_ref().unwrap().sni.as_deref(), Some("a.example"));
    // A hello in pieces is waited for.
    let anybody = evenkeel_testkit::TlsClient::with(
        "x.b.example",
        &TlsClientOptions { alpn: &["http/1.1"], ..TlsClientOptions::default() },
    );
    let (mut client, _) = RawClient::connect_tls(watch.proxy.addr("web"), &anybody).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text(), "b.example");
    let mut clear = RawClient::connect(watch.proxy.addr("web")).unwrap();
    clear.send("hello\n").unwrap();
    assert_eq!(clear.rest().unwrap().0, b"no TLS");
}
