//! A request in words and the state it meets: what `explain` was asked on the command line, and what a `[[test]]` says.
//!
//! Plain data that also crosses the control socket. Nothing here looks at a configuration but [`Question::of_test`] and
//! [`Told::of_test`], which only copy.

use std::net::{IpAddr, SocketAddr};

use evenkeel_config as config;
use evenkeel_config::handshake::Handshake;
use serde::{Deserialize, Serialize};

/// A request in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Host and port of the URL; empty when it has none.
    pub host: String,
    /// `https`: the connection is encrypted.
    pub tls: bool,
    /// What its handshake came to.
    pub handshake: Handshake,
    /// The port of the URL, or that of its scheme.
    pub port: Option<u16>,
    /// Further fields, in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Client address.
    pub src: SocketAddr,
    /// The address it connected to.
    pub dst: Option<SocketAddr>,
    /// The frontend that takes it.
    pub frontend: Option<String>,
    /// When it comes, in microseconds since 1970.
    pub time_us: i64,
}

/// The state a request meets, as far as it was told; all else is as the configuration or the running process has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Backend, server, state.
    pub servers: Vec<(String, String, State)>,
    /// Entries of stick tables.
    pub tables: Vec<Entry>,
    /// Variables by name with scope.
    pub vars: Vec<(String, String)>,
    /// Addresses of names, in small letters, that rules ask for.
    #[serde(default)]
    pub addresses: Vec<(String, IpAddr)>,
    /// The answer of the server.
    pub response: Option<Response>,
}

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It takes requests.
    Up,
    /// Its check fails.
    Down,
    /// It takes no new requests.
    Drain,
    /// The operator took it out.
    Maint,
}

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Down => "down",
            State::Drain => "drain",
            State::Maint => "maint",
        }
    }
}

/// An entry of a stick table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Name of the table.
    pub table: String,
    /// Key as text.
    pub key: String,
    /// Data types, `gpc(1)` for an element of an array, and their values.
    pub data: Vec<(String, u64)>,
}

/// An answer of a server in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Status; 0: 200.
    pub status: u16,
    /// Fields, in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

/// A URL, or a path, taken apart.
#[derive(Debug, PartialEq)]
pub struct Url {
    /// `https`.
    pub tls: bool,
    /// Host and port as written; empty for a path.
    pub host: String,
    /// The port written, or that of the scheme; `None` for a path.
    pub port: Option<u16>,
    /// Path and query.
    pub target: String,
}

impl Url {
    /// Takes `http://host:port/path?query`, the same with `https`, `host/path`, or a path apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Url, String> {
        if let Some(bad) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("the URL {text:?} holds {bad:?}, which is written in percent-encoding"));
        }
        // The fragment stays with the client (RFC 9110, 4.2).
        let text = text.split('#').next().unwrap_or_default();
        if text.starts_with('/') || text == "*" {
            return Ok(Url { tls: false, host: String::new(), port: None, target: text.to_owned() });
        }
        let (tls, rest) = match text.split_once("://") {
            Some(("http" | "ws", rest)) => (false, rest),
            Some(("https" | "wss", rest)) => (true, rest),
            Some((scheme, _)) => return Err(format!("`{scheme}` is no scheme of this: http or https")),
            None => (false, text),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() {
            return Err(format!("the URL {text:?} names no host"));
        }
        let port = match host.rsplit_once(':') {
            Some((before, port)) if !before.contains(':') || before.ends_with(']') => {
                Some(port.parse().map_err(|_| format!("`{port}` is no port"))?)
            }
            _ => Some(if tls { 443 } else { 80 }),
        };
        let target = match target {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        Ok(Url { tls, host: host.to_owned(), port, target })
    }
}

/// Takes `Name: value` apart.
///
/// # Errors
/// It is no header.
pub fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("`{text}` is no header: write 'Name: value'"))?;
    if text.contains(['\r', '\n', '\0']) {
        return Err(format!("the header `{name}` holds a line end"));
    }
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Takes `backend/server=down` apart.
///
/// # Errors
/// It is no state of a server.
pub fn server_state(text: &str) -> Result<(String, String, State), String> {
    let wrong = || format!("`{text}` is no state of a server: write backend/server=up, down, drain or maint");
    let (server, state) = text.split_once('=').ok_or_else(wrong)?;
    let (backend, server) = server.split_once('/').ok_or_else(wrong)?;
    let state = match state {
        "up" => State::Up,
        "down" => State::Down,
        "drain" => State::Drain,
        "maint" => State::Maint,
        _ => return Err(wrong()),
    };
    Ok((backend.to_owned(), server.to_owned(), state))
}

/// Takes `table key http_req_rate=120 gpc0=1` apart.
///
/// # Errors
/// It is no entry of a table.
pub fn entry(text: &str) -> Result<Entry, String> {
    let wrong = || format!("`{text}` is no entry of a stick table: write 'table key http_req_rate=120 gpc0=1'");
    let mut words = text.split_whitespace();
    let (table, key) = words.next().zip(words.next()).ok_or_else(wrong)?;
    let data = words.map(|word| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    let data = data.collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    Ok(Entry { table: table.to_owned(), key: key.to_owned(), data })
}

/// Takes `txn.name=value` apart.
///
/// # Errors
/// It is no variable.
pub fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no variable: write txn.name=value"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `--resolve a.example=192.0.2.1`.
pub fn resolved(text: &str) -> Result<(String, IpAddr), String> {
    let wrong = || format!("`{text}` is no address of a name: write a.example=192.0.2.1");
    let (name, ip) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(), ip.parse().map_err(|_| wrong())?))
}

impl Question {
    /// The request of a test.
    pub fn of_test(request: &config::TestRequest) -> Question {
        Question {
            method: request.method.to_string(),
            target: request.target.to_string(),
            host: request.host.to_string(),
            tls: request.tls,
            handshake: request.handshake.clone(),
            port: None,
            headers: owned(&request.headers),
            body: request.body.as_bytes().to_vec(),
            src: request.src,
            dst: request.dst,
            frontend: Some(request.frontend.to_string()),
            time_us: request.time.saturating_mul(1_000_000),
        }
    }

    /// Whether it is one of HTTP/2.
    pub fn is_h2(&self) -> bool {
        self.tls && self.handshake.is_h2()
    }

    /// The head as on the wire. A path without a host goes to `dst`, as when an address is typed into a browser.
    pub fn head(&self, dst: Option<SocketAddr>) -> String {
        let given = |name: &str| self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let host = match (self.host.as_str(), dst) {
            ("", Some(dst)) => dst.to_string(),
            (host, _) => host.to_owned(),
        };
        // As a head of HTTP/2 comes to the rules: its scheme and authority stand in the target.
        let origin =
            if self.is_h2() && self.target.starts_with('/') { format!("https://{host}") } else { String::new() };
        let mut head = format!("{} {origin}{} HTTP/1.1\r\n", self.method, self.target);
        if !given("host") {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() && !given("content-length") && !given("transfer-encoding") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        head
    }
}

impl Told {
    /// The state of a test.
    pub fn of_test(config: &config::Config, given: &config::Given) -> Told {
        let response = given.response.as_ref().map(|response| Response {
            status: response.status,
            headers: owned(&response.headers),
            body: response.body.to_string(),
        });
        let state = |state: &config::GivenState| match state {
            config::GivenState::Up => State::Up,
            config::GivenState::Down => State::Down,
            config::GivenState::Drain => State::Drain,
            config::GivenState::Maint => State::Maint,
        };
        let table = |entry: &config::GivenEntry| Entry {
            table: config.tables.get(entry.table).map_or_else(String::new, |def| def.name.to_string()),
            key: entry.key.to_string(),
            data: entry.data.iter().map(|(name, value)| (name.to_string(), *value)).collect(),
        };
        Told {
            servers: given.servers.iter().map(|(b, s, st)| (b.to_string(), s.to_string(), state(st))).collect(),
            tables: given.tables.iter().map(table).collect(),
            vars: owned(&given.vars),
            addresses: given.addresses.iter().map(|(name, ip)| (name.to_string(), *ip)).collect(),
            // A test that says nothing of the answer means one that has nothing to say.
            response: Some(response.unwrap_or_default()),
        }
    }
}

fn owned(pairs: &[(std::sync::Arc<str>, std::sync::Arc<str>)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, tls, host, port, target) in [
            ("https://www.example.com/api?x=1#top", true, "www.example.com", Some(443), "/api?x=1"),
            ("http://a:8080", false, "a:8080", Some(8080), "/"),
            ("http://[::1]:81?q", false, "[::1]:81", Some(81), "/?q"),
            ("http://[::1]/", false, "[::1]", Some(80), "/"),
            ("example.com/x", false, "example.com", Some(80), "/x"),
            ("/only/a/path", false, "", None, "/only/a/path"),
            ("http://user:pw@h/", false, "h", Some(80), "/"),
        ] {
            let url = Url { tls, host: host.into(), port, target: target.into() };
            assert_eq!(Url::parse(text), Ok(url), "{text}");
        }
        for bad in ["ftp://a/", "http:///x", "http://a:port/", "/a b", "http://a/\n", ""] {
            assert!(Url::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_of_the_command_line() {
        assert_eq!(header("X-A:  b: c ").unwrap(), ("X-A".into(), "b: c".into()));
        assert!(header("nothing").is_err() && header("A: b\nC: d").is_err());
        assert_eq!(server_state("app/s1=drain").unwrap(), ("app".into(), "s1".into(), State::Drain));
        assert!(server_state("s1=down").is_err() && server_state("a/b=off").is_err());
        let told = entry("limits 192.0.2.1 http_req_rate=120 gpc(1)=3").unwrap();
        assert_eq!((told.table.as_str(), told.key.as_str()), ("limits", "192.0.2.1"));
        assert_eq!(told.data, [("http_req_rate".to_owned(), 120), ("gpc(1)".to_owned(), 3)]);
        assert!(entry("limits").is_err() && entry("limits k x").is_err() && entry("limits k x=y").is_err());
    }

    #[test]
    fn a_head_is_whole() {
        let question = Question {
            method: "POST".into(),
            target: "/x".into(),
            host: String::new(),
            tls: false,
            handshake: Handshake::default(),
            port: None,
            headers: vec![("A".into(), "b".into())],
            body: b"hello".to_vec(),
            src: "192.0.2.1:1".parse().unwrap(),
            dst: None,
            frontend: None,
            time_us: 0,
        };
        let head = question.head(Some("192.0.2.9:80".parse().unwrap()));
        assert_eq!(head, "POST /x HTTP/1.1\r\nHost: 192.0.2.9:80\r\nA: b\r\nContent-Length: 5\r\n\r\n");
        evenkeel_proto::Head::request(&head).unwrap();
    }
}
