//! A check made ready to run: its request written, its expressions compiled, once per server and reload.
//!
//! Called when a check loop starts. Never fails: the loader refused what cannot be compiled, and what slips through is
//! carried as a check that fails with the reason.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::{
    Check, CheckKind, ExpectWhat, GrpcCheck, HttpCheck, Pattern, Proto, ProxyVersion, SendProxy, Server, ServerAddress,
    ValueMatch,
};
use evenkeel_proto::proxy::{Addresses, Command, Encoder};
use evenkeel_tls::Connector;
use http::header::{CONNECTION, HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use hyper::body::Bytes;
use regex::bytes::Regex;

use crate::grpc;

/// A check ready to run; see [`crate::probe::run`].
#[derive(Clone, Debug)]
pub struct Compiled {
    pub(crate) timeout: Duration,
    pub(crate) kind: Result<Kind, String>,
    addr: Option<std::net::IpAddr>,
    port: Option<u16>,
    pub(crate) greeting: Option<Greeting>,
    pub(crate) secure: Option<Secure>,
    /// What is spoken whatever is negotiated.
    pub(crate) proto: Option<Proto>,
}

/// TLS of a check.
#[derive(Clone, Debug)]
pub(crate) struct Secure {
    pub(crate) connector: Arc<Connector>,
    /// The name asked for.
    pub(crate) name: Option<Box<str>>,
    /// Protocols to offer instead of the server's.
    pub(crate) alpn: Option<Vec<Arc<[u8]>>>,
}

/// The PROXY header a check begins with: it is about the check itself, and says so.
#[derive(Clone, Debug)]
pub(crate) enum Greeting {
    /// Of version 1, with the addresses of the connection.
    Line,
    /// Of version 2: the command LOCAL.
    Block(Vec<u8>),
}

impl Greeting {
    fn new(send: Option<&SendProxy>) -> Greeting {
        let Some(send) = send.filter(|send| send.version == ProxyVersion::V2) else { return Greeting::Line };
        let mut block = Vec::new();
        let mut encoder = Encoder::new(&mut block, Command::Local, &Addresses::Unspecified, send.options.crc32c);
        if send.options.ssl {
            encoder.ssl(0, 0, []);
        }
        encoder.finish();
        Greeting::Block(block)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Connect,
    Http(Box<Http>),
    Grpc(Grpc),
}

#[derive(Clone, Debug)]
pub(crate) struct Grpc {
    pub(crate) host: Option<Arc<str>>,
    pub(crate) message: Bytes,
}

#[derive(Clone, Debug)]
pub(crate) struct Http {
    /// As HTTP/1 has it.
    pub(crate) request: Request<()>,
    pub(crate) body: Bytes,
    /// In the order of the file; never empty.
    pub(crate) expect: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) not: bool,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Status(Vec<(u16, u16)>),
    StatusRegex(Regex),
    Body(Bytes),
    BodyRegex(Regex),
    Header(HeaderName, Option<Value>),
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    OneOf(Vec<Bytes>),
    Regex(Regex),
}

/// Compiles a check.
pub fn compile(check: &Check) -> Compiled {
    let kind = match &check.kind {
        CheckKind::Tcp => Ok(Kind::Connect),
        CheckKind::Http(http) => compile_http(http).map(|http| Kind::Http(Box::new(http))),
        CheckKind::Grpc(GrpcCheck { service, host }) => {
            Ok(Kind::Grpc(Grpc { host: host.clone(), message: grpc::message(service) }))
        }
    };
    let (timeout, proto) = (check.timeout, check.proto);
    Compiled { timeout, kind, addr: check.addr, port: check.port, greeting: None, secure: None, proto }
}

impl Compiled {
    /// The check as `server` wants it, which gave its settings where `check` has none. `connector` begins its TLS.
    #[must_use]
    pub fn for_server(mut self, check: &Check, server: &Server, connector: Option<&Arc<Connector>>) -> Compiled {
        self.greeting = check.sends_proxy(server).then(|| Greeting::new(server.send_proxy.as_deref()));
        self.proto = check.speaks(server);
        if check.has_tls(server) {
            match connector {
                Some(connector) => {
                    let (connector, name) = (connector.clone(), check.server_name().map(Box::from));
                    let alpn = self.alpn(check, &connector);
                    self.secure = Some(Secure { connector, name, alpn });
                }
                // The loader builds one for every check with TLS.
                None => self.kind = Err("the check has TLS, and there are no settings for it".to_owned()),
            }
        }
        self
    }

    /// What to offer, where that is not what the server's settings say.
    fn alpn(&self, check: &Check, connector: &Connector) -> Option<Vec<Arc<[u8]>>> {
        let one = |name: &[u8]| Some(vec![Arc::from(name)]);
        match (&check.kind, self.proto) {
            _ if !check.alpn.is_empty() => Some(check.alpn.clone()),
            (CheckKind::Grpc(_), _) | (CheckKind::Http(_), Some(Proto::H2)) => one(b"h2"),
            (CheckKind::Http(_), Some(Proto::H1)) if connector.offers(b"h2") => one(b"http/1.1"),
            _ => None,
        }
    }

    /// Whether a stream speaks HTTP/2, over which this was agreed on by ALPN.
    pub(crate) fn speaks_h2(&self, agreed: Option<&[u8]>) -> bool {
        match self.proto {
            Some(proto) => proto == Proto::H2,
            None => agreed == Some(b"h2"),
        }
    }

    /// The host of a request that names none: what is asked for with TLS, else the address.
    pub(crate) fn authority(&self, target: &ServerAddress) -> String {
        let name = self.secure.as_ref().and_then(|secure| secure.name.as_deref());
        match (name, target) {
            (Some(name), _) => name.to_owned(),
            (None, ServerAddress::Inet(at)) => match at.is_ipv6() {
                // A zone is none of HTTP's (RFC 9110 section 4.2).
                true => format!("[{}]:{}", at.ip(), at.port()),
                false => at.to_string(),
            },
            (None, ServerAddress::Unix(_) | ServerAddress::Destination(_)) => "localhost".to_owned(),
        }
    }

    /// Where the check of a server at `server` goes (`addr`, `port`).
    pub(crate) fn target(&self, server: &ServerAddress) -> ServerAddress {
        match (server, self.addr, self.port) {
            (ServerAddress::Inet(at), addr, port) => {
                let ip = addr.unwrap_or(at.ip());
                // The whole address is kept when its host is: a link-local one carries its scope.
                let mut to = if ip == at.ip() { *at } else { SocketAddr::new(ip, at.port()) };
                to.set_port(port.unwrap_or(at.port()));
                ServerAddress::Inet(to)
            }
            (ServerAddress::Unix(_) | ServerAddress::Destination(_), Some(ip), Some(port)) => {
                ServerAddress::Inet(SocketAddr::new(ip, port))
            }
            // Half an address replaces no socket path.
            (ServerAddress::Unix(path), _, _) => ServerAddress::Unix(path.clone()),
            // The configuration has no such check.
            (ServerAddress::Destination(none), _, _) => ServerAddress::Destination(*none),
        }
    }
}

impl Rule {
    /// Whether this part of the head is as wanted; `None` for a rule on the body.
    pub(crate) fn holds_for_head(&self, status: StatusCode, headers: &HeaderMap) -> Option<bool> {
        let matched = match &self.what {
            What::Status(ranges) => {
                let code = status.as_u16();
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&code))
            }
            What::StatusRegex(regex) => regex.is_match(status.as_str().as_bytes()),
            What::Header(name, value) => headers.get_all(name).iter().any(|field| match value {
                None => true,
                Some(value) => value.matches(field.as_bytes()),
            }),
            What::Body(_) | What::BodyRegex(_) => return None,
        };
        Some(matched != self.not)
    }

    /// Whether a body is as wanted; `None` for a rule on the head.
    pub(crate) fn holds_for_body(&self, body: &[u8]) -> Option<bool> {
        let matched = match &self.what {
            What::Body(text) => contains(body, text),
            What::BodyRegex(regex) => regex.is_match(body),
            What::Status(_) | What::StatusRegex(_) | What::Header(..) => return None,
        };
        Some(matched != self.not)
    }

    /// Whether more body cannot change the answer: the text that must be there is. Called as the body grows; only its
    /// last `fresh` bytes were not seen before.
    pub(crate) fn settles(&self, body: &[u8], fresh: usize) -> bool {
        match &self.what {
            What::Body(text) => {
                let seen = body.len().saturating_sub(fresh + text.len());
                !self.not && contains(&body[seen..], text)
            }
            What::BodyRegex(_) => false,
            What::Status(_) | What::StatusRegex(_) | What::Header(..) => true,
        }
    }
}

impl Value {
    /// Compares the whole field and, as `hdr` does, each value of a list (RFC 9110 section 5.6.1).
    fn matches(&self, field: &[u8]) -> bool {
        let one = |value: &[u8]| match self {
            Value::OneOf(values) => values.iter().any(|v| v[..] == *value),
            Value::Regex(regex) => regex.is_match(value),
        };
        one(field.trim_ascii()) || field.split(|b| *b == b',').any(|part| one(part.trim_ascii()))
    }
}

fn compile_http(check: &HttpCheck) -> Result<Http, String> {
    let method = Method::from_bytes(check.method.as_bytes()).map_err(|_| fault("method", &check.method))?;
    let uri: Uri = check.uri.parse().map_err(|_| fault("uri", &check.uri))?;
    let body = check.body.as_ref().map(|b| Bytes::copy_from_slice(b.as_bytes())).unwrap_or_default();
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = if check.host.is_some() { Version::HTTP_11 } else { Version::HTTP_10 };
    let headers = request.headers_mut();
    if let Some(host) = &check.host {
        headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| fault("host", host))?);
    }
    for (name, value) in &check.headers {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault("header name", name))?;
        headers.append(key, HeaderValue::from_str(value).map_err(|_| fault("header value", value))?);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("close"));

    let mut expect = Vec::with_capacity(check.expect.len().max(1));
    for rule in &check.expect {
        let what = match &rule.what {
            ExpectWhat::Status(ranges) => What::Status(ranges.clone()),
            ExpectWhat::StatusRegex(p) => What::StatusRegex(regex(p)?),
            ExpectWhat::Body(text) => What::Body(Bytes::copy_from_slice(text.as_bytes())),
            ExpectWhat::BodyRegex(p) => What::BodyRegex(regex(p)?),
            ExpectWhat::Header(name, value) => {
                let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault("header name", name))?;
                let value = match value {
                    None => None,
                    Some(ValueMatch::OneOf(list)) => {
                        Some(Value::OneOf(list.iter().map(|v| Bytes::copy_from_slice(v.as_bytes())).collect()))
                    }
                    Some(ValueMatch::Regex(p)) => Some(Value::Regex(regex(p)?)),
                };
                What::Header(key, value)
            }
        };
        expect.push(Rule { not: rule.not, what });
    }
    if expect.is_empty() {
        expect.push(Rule { not: false, what: What::Status(vec![(200, 399)]) });
    }
    Ok(Http { request, body, expect })
}

fn regex(pattern: &Pattern) -> Result<Regex, String> {
    Regex::new(&pattern.0).map_err(|_| fault("regular expression", &pattern.0))
}

fn fault(what: &str, text: &str) -> String {
    format!("the check's {what} cannot be used: {text}")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|w| w == needle)
}
