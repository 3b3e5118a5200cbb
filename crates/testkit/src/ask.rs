//! What [`crate::Client`] is told and what it tells: a way to speak, a request, a response, for either protocol.

use std::fmt;

use crate::tls::TlsClient;

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proto {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

impl Proto {
    /// What ALPN calls it.
    pub fn alpn(self) -> &'static str {
        match self {
            Proto::H1 => "http/1.1",
            Proto::H2 => "h2",
        }
    }
}

/// How a client speaks.
#[derive(Clone, Debug)]
pub struct Via {
    /// The protocol.
    pub proto: Proto,
    /// TLS, with ALPN as it stands there; clear when there is none, HTTP/2 then by its preface.
    pub tls: Option<TlsClient>,
}

impl Via {
    /// This protocol in clear.
    pub fn clear(proto: Proto) -> Via {
        Via { proto, tls: None }
    }

    /// This protocol over TLS, offered by ALPN.
    pub fn tls(proto: Proto, tls: &TlsClient) -> Via {
        Via { proto, tls: Some(tls.offering(&[proto.alpn()])) }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            if self.proto == Proto::H1 { "h1" } else { "h2" },
            if self.tls.is_some() { "+tls" } else { "" }
        )
    }
}

/// The payload of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Payload {
    /// None.
    #[default]
    None,
    /// With its length announced.
    Counted(Vec<u8>),
    /// Without: chunked over HTTP/1, no `content-length` over HTTP/2.
    Uncounted(Vec<u8>),
    /// Announced by the caller's own fields, or endless; sent by [`crate::Call::send`] and ended by [`crate::Call::end`].
    Open,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The host, `:authority` over HTTP/2.
    pub host: String,
    /// Further fields; over HTTP/2 their names are sent in lower case.
    pub fields: Vec<(String, String)>,
    /// The payload.
    pub payload: Payload,
    /// Fields after the payload, which is then [`Payload::Uncounted`] or [`Payload::Open`].
    pub trailers: Vec<(String, String)>,
    /// A protocol to change to: `Upgrade` over HTTP/1, extended CONNECT over HTTP/2 (RFC 8441), whatever the method says.
    pub upgrade: Option<String>,
}

impl Ask {
    /// A request without payload.
    pub fn new(method: &str, path: &str) -> Ask {
        Ask {
            method: method.to_owned(),
            path: path.to_owned(),
            host: "test.example".to_owned(),
            fields: Vec::new(),
            payload: Payload::None,
            trailers: Vec::new(),
            upgrade: None,
        }
    }

    /// GET.
    pub fn get(path: &str) -> Ask {
        Ask::new("GET", path)
    }

    /// POST with a counted payload.
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Ask {
        Ask::new("POST", path).payload(Payload::Counted(body.into()))
    }

    /// POST with a payload whose length is not announced.
    pub fn stream(path: &str, body: impl Into<Vec<u8>>) -> Ask {
        Ask::new("POST", path).payload(Payload::Uncounted(body.into()))
    }

    /// A WebSocket handshake, with the key of RFC 6455 section 1.3 over HTTP/1.
    pub fn websocket(path: &str) -> Ask {
        let mut ask = Ask::get(path).field("Sec-WebSocket-Version", "13").payload(Payload::Open);
        ask.upgrade = Some("websocket".to_owned());
        ask
    }

    /// With this payload.
    #[must_use]
    pub fn payload(mut self, payload: Payload) -> Ask {
        self.payload = payload;
        self
    }

    /// With this field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Ask {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this trailer field.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Ask {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// For this host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Ask {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn h1_head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.path, self.host);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(protocol) = &self.upgrade {
            head.push_str(&format!(
                "Connection: Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            ));
        }
        match &self.payload {
            Payload::Counted(body) => head.push_str(&format!("Content-Length: {}\r\n", body.len())),
            _ if self.chunked() => head.push_str("Transfer-Encoding: chunked\r\n"),
            _ => {}
        }
        head + "\r\n"
    }

    /// Whether HTTP/1 frames the payload in chunks.
    pub(crate) fn chunked(&self) -> bool {
        let announced = self.fields.iter().any(|(n, _)| n.eq_ignore_ascii_case("content-length"));
        match self.payload {
            Payload::Uncounted(_) => true,
            Payload::Open => !announced && self.upgrade.is_none() && self.method != "CONNECT",
            Payload::None | Payload::Counted(_) => false,
        }
    }

    pub(crate) fn h2_fields(&self, scheme: &str) -> Vec<(String, String)> {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        match &self.upgrade {
            Some(protocol) => fields.extend([(":method", "CONNECT"), (":protocol", protocol)]),
            None => fields.push((":method", &self.method)),
        }
        if self.method != "CONNECT" {
            fields.extend([(":scheme", scheme), (":path", &self.path)]);
        }
        fields.push((":authority", &self.host));
        let mut fields: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        fields.extend(self.fields.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone())));
        if let Payload::Counted(body) = &self.payload {
            fields.push(("content-length".to_owned(), body.len().to_string()));
        }
        fields
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status; 0 when there was no answer.
    pub status: u16,
    /// Its fields, names as received.
    pub fields: Vec<(String, String)>,
    /// The payload.
    pub body: Vec<u8>,
    /// Fields after the payload.
    pub trailers: Vec<(String, String)>,
    /// Interim responses before it.
    pub interim: Vec<(u16, Vec<(String, String)>)>,
    /// Whether it came to its own end.
    pub complete: bool,
    /// Over HTTP/2: the code by which the stream was reset.
    pub reset: Option<u32>,
}

impl Response {
    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// All values of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The first trailer of this name.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The payload as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
