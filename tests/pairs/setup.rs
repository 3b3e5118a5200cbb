//! Eight ways through one proxy: {h1, h2} from the client, {h1, h2} to the server, both sides in clear or both over TLS.
//!
//! Each way is a listener with an origin of its own. With `EVENKEEL_PAIRS=haproxy` the same bodies run through Debian's haproxy,
//! which shows that they ask for nothing of their own. Its HTTP/2 to servers is not perfect: `an_empty_post` and
//! `interim_responses_are_passed_on` fail there now and then with 2.6.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use evenkeel_testkit::certs::Ca;
use evenkeel_testkit::{
    Ask, Client, Haproxy, Origin, OriginOptions, Proto, Proxy, Response, Script, TlsClient, TlsClientOptions,
    TlsServer, Via, free_ports,
};

/// The name in every certificate.
pub const NAME: &str = "test.example";

/// One way through the proxy.
pub struct Pair {
    /// How the client speaks.
    pub via: Via,
    /// What the server is spoken to in.
    pub server: Proto,
    /// Where the client connects.
    pub addr: SocketAddr,
    /// The server.
    pub origin: Origin,
    /// Its place among the eight, and the name of its listener: `p0` to `p7`.
    pub name: String,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = if self.server == Proto::H1 { "h1" } else { "h2" };
        let tls = if self.tls() { "+tls" } else { "" };
        write!(f, "{} -> {server}{tls} ({})", self.via, self.name)
    }
}

impl Pair {
    /// Whether both sides are over TLS.
    pub fn tls(&self) -> bool {
        self.via.tls.is_some()
    }

    /// Whether the client speaks HTTP/2.
    pub fn h2_client(&self) -> bool {
        self.via.proto == Proto::H2
    }

    /// Whether the server does.
    pub fn h2_server(&self) -> bool {
        self.server == Proto::H2
    }

    /// A new connection.
    ///
    /// # Panics
    /// When there is none.
    pub fn connect(&self) -> Client {
        Client::connect(self.addr, &self.via).unwrap_or_else(|e| panic!("{self}: {e}"))
    }

    /// One request on a connection of its own.
    ///
    /// # Panics
    /// At the deadline.
    pub fn ask(&self, ask: &Ask) -> Response {
        self.connect().ask(ask).unwrap_or_else(|e| panic!("{self}: {e}"))
    }

    /// One request whose answer the proxy must make itself.
    pub fn denied(&self, ask: &Ask) -> Response {
        let response = self.ask(ask);
        assert_eq!(self.origin.served(), 0, "{self}: the request reached the server");
        response
    }
}

/// What is in the middle; it lives as long as this.
enum Middle {
    Evenkeel { _proxy: Proxy },
    Haproxy { _proxy: Haproxy },
}

/// What a test sets beside the way itself.
#[derive(Clone, Copy, Default)]
pub struct Rules<'a> {
    /// `http-request` rules.
    pub request: &'a [&'a str],
    /// `http-response` rules.
    pub response: &'a [&'a str],
    /// Switches by the name of their option.
    pub options: &'a [&'a str],
    /// Times by the name of their timeout.
    pub timeouts: &'a [(&'a str, &'a str)],
    /// A connection that fails is not tried again, which would take a second each time.
    pub no_retries: bool,
}

/// Runs a body for each of the eight ways. The proxy lives until all are done.
pub fn every_pair(rules: Rules<'_>, script: impl Fn() -> Script, body: impl Fn(&mut Pair)) {
    let dir = tempfile::tempdir().unwrap();
    let (front, back) = (Ca::new("front"), Ca::new("back"));
    let certificate = front.leaf(&[NAME]).write(dir.path(), "site.pem").display().to_string();
    let ca_file = back.write(dir.path(), "back.pem").display().to_string();
    let options = TlsClientOptions { ca: Some(&front), ..TlsClientOptions::default() };
    let client = TlsClient::with(NAME, &options);
    let server = TlsServer::new(&back.leaf(&[NAME]), &["h2", "http/1.1"]);

    let mut pairs = Vec::new();
    let ports = free_ports(8);
    for (n, addr) in ports.into_iter().enumerate() {
        let proto = |bit: usize| if n & bit == 0 { Proto::H1 } else { Proto::H2 };
        let tls = n & 4 != 0;
        let via = if tls { Via::tls(proto(1), &client) } else { Via::clear(proto(1)) };
        let options = OriginOptions { tls: tls.then(|| server.clone()), ..OriginOptions::default() };
        let origin = Origin::start_with(options, script());
        pairs.push(Pair { via, server: proto(2), addr, origin, name: format!("p{n}") });
    }
    let _middle = if is_reference() {
        Middle::Haproxy { _proxy: Haproxy::start(&haproxy(&pairs, rules, &certificate, &ca_file)) }
    } else {
        Middle::Evenkeel { _proxy: Proxy::start(&evenkeel(&pairs, rules, &certificate, &ca_file)) }
    };
    for pair in &mut pairs {
        // Shown when the body fails.
        eprintln!("{pair}");
        body(&mut *pair);
        assert_eq!(pair.origin.faults(), Vec::<String>::new(), "{pair}: what the server saw of the proxy's HTTP/2");
    }
}

fn evenkeel(pairs: &[Pair], rules: Rules<'_>, certificate: &str, ca_file: &str) -> String {
    let mut text = String::new();
    for pair in pairs {
        let alpn = pair.server.alpn();
        let (bind, tls) = if pair.tls() {
            (
                format!(", tls = {{ certificate = \"{certificate}\" }}"),
                format!(
                    ", tls = {{ verify = \"required\", ca-file = \"{ca_file}\", sni = \"str({NAME})\", alpn = [\"{alpn}\"] }}"
                ),
            )
        } else {
            (String::new(), if pair.h2_server() { ", proto = \"h2\"".to_owned() } else { String::new() })
        };
        let times: Vec<String> = rules.timeouts.iter().map(|(name, time)| format!("{name} = \"{time}\"")).collect();
        text.push_str(&format!("[listen.{}]\nbind = [{{ address = \"{}\"{bind} }}]\n", pair.name, pair.addr));
        text.push_str(&format!("http-request = {:?}\nhttp-response = {:?}\n", rules.request, rules.response));
        if rules.no_retries {
            text.push_str("retries = 0\n");
        }
        rules.options.iter().for_each(|option| text.push_str(&format!("option.{option} = true\n")));
        if !times.is_empty() {
            text.push_str(&format!("timeout = {{ {} }}\n", times.join(", ")));
        }
        text.push_str(&format!("server = [{{ name = \"s\", address = \"{}\"{tls} }}]\n\n", pair.origin.addr()));
    }
    text
}

fn haproxy(pairs: &[Pair], rules: Rules<'_>, certificate: &str, ca_file: &str) -> String {
    let mut text = String::from(
        "global\n nbthread 1\ndefaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n",
    );
    for pair in pairs {
        let alpn = pair.server.alpn();
        let (bind, server) = if pair.tls() {
            (
                format!(" ssl crt {certificate} alpn h2,http/1.1"),
                format!(" ssl verify required ca-file {ca_file} sni str({NAME}) alpn {alpn}"),
            )
        } else {
            (String::new(), if pair.h2_server() { " proto h2".to_owned() } else { String::new() })
        };
        text.push_str(&format!("listen {}\n bind {}{bind}\n", pair.name, pair.addr));
        if rules.no_retries {
            text.push_str(" retries 0\n");
        }
        rules.timeouts.iter().for_each(|(name, time)| text.push_str(&format!(" timeout {name} {time}\n")));
        rules.options.iter().for_each(|option| text.push_str(&format!(" option {option}\n")));
        rules.request.iter().for_each(|rule| text.push_str(&format!(" http-request {rule}\n")));
        rules.response.iter().for_each(|rule| text.push_str(&format!(" http-response {rule}\n")));
        text.push_str(&format!(" server s {}{server}\n", pair.origin.addr()));
    }
    text.push_str("listen unused\n bind @listen@\n");
    text
}

/// Whether the reference stands in for the program under test.
pub fn is_reference() -> bool {
    std::env::var("EVENKEEL_PAIRS").as_deref() == Ok("haproxy")
}

/// The result of something that must not take longer than the deadline.
pub fn in_time<T>(pair: &Pair, result: io::Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{pair}: {e}"))
}
