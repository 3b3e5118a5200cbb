//! What is known of one transaction or TCP connection, and its three written forms: HAProxy's `httplog` and `tcplog` lines,
//! byte for byte, and one JSON object.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use evenkeel_acl::TlsFacts;
use evenkeel_config::LogFormat;
use evenkeel_proto::{Head, Version};
use serde_json::Value;

use crate::end::End;
use crate::log::Dates;

/// Milliseconds of each phase; -1 = never completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// First request byte to last head byte (`%TR`).
    pub request: i64,
    /// In queues (`%Tw`).
    pub queue: i64,
    /// Connecting, retries included (`%Tc`).
    pub connect: i64,
    /// Connected to response head (`%Tr`).
    pub response: i64,
    /// In all: `%Ta` for HTTP, `%Tt` for TCP.
    pub total: i64,
}

impl Times {
    /// Nothing reached yet.
    pub const NONE: Times = Times { request: -1, queue: -1, connect: -1, response: -1, total: 0 };
}

/// `%ac/%fc/%bc/%sc` and `%sq/%bq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Connections of the process.
    pub process: u32,
    /// Connections of the frontend.
    pub frontend: u32,
    /// Sessions of the backend.
    pub backend: u32,
    /// Sessions of the server.
    pub server: u32,
    /// Requests ahead in the server's queue.
    pub server_ahead: u32,
    /// Requests ahead in the backend's queue.
    pub backend_ahead: u32,
}

/// Everything a log line tells.
#[derive(Debug)]
pub struct Record<'a> {
    /// Id of the request; `None` = there was none, or no target tells it.
    pub id: Option<&'a str>,
    /// Client; `None` = Unix socket.
    pub client: Option<SocketAddr>,
    /// Id of the listener, for Unix clients.
    pub listener: u32,
    /// When the request began (HTTP) or the connection was accepted (TCP).
    pub began: Instant,
    /// Frontend name.
    pub frontend: &'a str,
    /// Backend name; the frontend's when none was chosen.
    pub backend: &'a str,
    /// Server name; `None` = `<NOSRV>`.
    pub server: Option<&'a str>,
    /// Timers.
    pub times: Times,
    /// Status; `None` = none was sent (`-1`).
    pub status: Option<u16>,
    /// Bytes sent to the client, heads included.
    pub bytes_out: u64,
    /// Bytes received from the client, heads included.
    pub bytes_in: u64,
    /// How it ended.
    pub end: End,
    /// It has not ended yet.
    pub early: bool,
    /// What grows is marked with a `+`: it has not ended, or lines of this frontend do not wait for the end.
    pub marked: bool,
    /// The step that the line is of, unless it is of the end.
    pub step: Option<&'static str>,
    /// Load at the end, and queue positions.
    pub queues: Queues,
    /// Retries.
    pub retries: u32,
    /// What the client's TLS handshake came to.
    pub tls: Option<&'a TlsFacts>,
    /// HTTP/2 error codes of client and server, where one reset its stream.
    pub resets: [Option<u32>; 2],
    /// Whether another server than the first was tried.
    pub redispatched: bool,
    /// Request line; `None` = it could not be parsed.
    pub request: Option<RequestLine<'a>>,
}

/// A request line as received.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// Method.
    pub method: &'a [u8],
    /// Target, cut at `tune.log-uri-len`.
    pub target: &'a [u8],
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub version: &'static str,
}

impl<'h> RequestLine<'h> {
    /// The request line of `head`, its target cut at `cut` bytes.
    pub(crate) fn of(head: &'h Head, cut: usize) -> RequestLine<'h> {
        let target = head.original_target();
        RequestLine {
            method: head.method_bytes(),
            target: &target[..target.len().min(cut)],
            version: match head.version() {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
                Version::Http2 => "HTTP/2.0",
            },
        }
    }
}

impl Record<'_> {
    /// Appends the line in `format`, without a line end.
    pub(crate) fn write(&self, format: LogFormat, dates: &mut Dates, out: &mut Vec<u8>) {
        match format {
            LogFormat::Http => self.http(dates, out),
            LogFormat::Tcp => self.tcp(dates, out),
            LogFormat::Json => self.json(dates, out),
        }
    }

    /// `%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r`
    fn http(&self, dates: &mut Dates, out: &mut Vec<u8>) {
        self.opening(dates, out);
        let t = &self.times;
        number(out, t.request);
        for time in [t.queue, t.connect, t.response] {
            out.push(b'/');
            number(out, time);
        }
        out.push(b'/');
        self.growing(out);
        number(out, t.total);
        out.push(b' ');
        number(out, self.status.map_or(-1, i64::from));
        out.push(b' ');
        self.growing(out);
        unsigned(out, self.bytes_out);
        out.extend_from_slice(b" - - ");
        out.extend_from_slice(&self.letters());
        out.extend_from_slice(b"-- ");
        self.load(out);
        out.extend_from_slice(b" \"");
        match &self.request {
            Some(line) => {
                escape(out, line.method);
                out.push(b' ');
                escape(out, line.target);
                out.push(b' ');
                out.extend_from_slice(line.version.as_bytes());
            }
            None => out.extend_from_slice(b"<BADREQ>"),
        }
        out.push(b'"');
    }

    /// `%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq`
    fn tcp(&self, dates: &mut Dates, out: &mut Vec<u8>) {
        self.opening(dates, out);
        number(out, self.times.queue);
        out.push(b'/');
        number(out, self.times.connect);
        out.push(b'/');
        self.growing(out);
        number(out, self.times.total);
        out.push(b' ');
        self.growing(out);
        unsigned(out, self.bytes_out);
        out.push(b' ');
        out.extend_from_slice(&self.letters());
        out.push(b' ');
        self.load(out);
    }

    /// The mark of a number that is not the last one.
    fn growing(&self, out: &mut Vec<u8>) {
        if self.marked {
            out.push(b'+');
        }
    }

    fn letters(&self) -> [u8; 2] {
        if self.early { *b"--" } else { self.end.letters() }
    }

    fn opening(&self, dates: &mut Dates, out: &mut Vec<u8>) {
        match self.client {
            Some(address) => socket_address(out, address),
            None => {
                out.extend_from_slice(b"unix:");
                unsigned(out, u64::from(self.listener));
            }
        }
        out.extend_from_slice(b" [");
        dates.write(self.began, out);
        out.extend_from_slice(b"] ");
        let secured = if self.tls.is_some() { "~ " } else { " " };
        for part in [self.frontend, secured, self.backend, "/", self.server.unwrap_or("<NOSRV>"), " "] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    fn load(&self, out: &mut Vec<u8>) {
        let q = &self.queues;
        unsigned(out, u64::from(q.process));
        for level in [q.frontend, q.backend, q.server] {
            out.push(b'/');
            unsigned(out, u64::from(level));
        }
        out.extend_from_slice(if self.redispatched { b"/+" } else { b"/" });
        unsigned(out, u64::from(self.retries));
        out.push(b' ');
        unsigned(out, u64::from(q.server_ahead));
        out.push(b'/');
        unsigned(out, u64::from(q.backend_ahead));
    }

    /// One object a line. Names are part of the interface: numbers are numbers, unknown is null.
    fn json(&self, dates: &mut Dates, out: &mut Vec<u8>) {
        let mut object = Object { out, first: true };
        object.out.push(b'{');
        object.number("time_ms", dates.millis(self.began));
        match self.id {
            Some(id) => object.text("id", id),
            None => object.null("id"),
        }
        match self.client {
            Some(address) => {
                object.text("client_ip", &address.ip().to_string());
                object.number("client_port", i64::from(address.port()));
            }
            None => object.null("client_ip"),
        }
        object.text("frontend", self.frontend);
        object.text("backend", self.backend);
        match self.server {
            Some(name) => object.text("server", name),
            None => object.null("server"),
        }
        if let Some(line) = &self.request {
            object.text("method", &String::from_utf8_lossy(line.method));
            object.text("uri", &String::from_utf8_lossy(line.target));
            object.text("version", line.version);
        }
        if let Some(tls) = self.tls {
            object.text("tls_version", tls.protocol);
            object.text("tls_cipher", tls.cipher);
            match &tls.sni {
                Some(sni) => object.text("tls_sni", sni),
                None => object.null("tls_sni"),
            }
        }
        match self.status {
            Some(status) => object.number("status", i64::from(status)),
            None => object.null("status"),
        }
        object.number("bytes_in", self.bytes_in as i64);
        object.number("bytes_out", self.bytes_out as i64);
        let t = &self.times;
        for (name, time) in [
            ("time_request_ms", t.request),
            ("time_queue_ms", t.queue),
            ("time_connect_ms", t.connect),
            ("time_response_ms", t.response),
            ("time_total_ms", t.total),
        ] {
            match time {
                -1 => object.null(name),
                _ => object.number(name, time),
            }
        }
        if self.early {
            object.name("early");
            object.out.extend_from_slice(b"true");
            ["termination", "reason", "stage", "explanation"].iter().for_each(|name| object.null(name));
        } else {
            self.json_end(&mut object);
        }
        if let Some(step) = self.step {
            object.text("step", step);
        }
        let q = &self.queues;
        for (name, level) in [
            ("connections_process", q.process),
            ("connections_frontend", q.frontend),
            ("sessions_backend", q.backend),
            ("sessions_server", q.server),
            ("queue_server", q.server_ahead),
            ("queue_backend", q.backend_ahead),
            ("retries", self.retries),
        ] {
            object.number(name, i64::from(level));
        }
        for (name, code) in [("client_reset_code", self.resets[0]), ("server_reset_code", self.resets[1])] {
            if let Some(code) = code {
                object.number(name, code.into());
            }
        }
        object.name("redispatched");
        object.out.extend_from_slice(if self.redispatched { b"true" } else { b"false" });
        object.out.push(b'}');
    }
}

impl Record<'_> {
    /// How it ended, in names of their own.
    fn json_end(&self, object: &mut Object<'_>) {
        let letters = self.end.letters();
        object.text("termination", &String::from_utf8_lossy(&letters));
        let reason = self.end.entry();
        object.text("reason", reason.label);
        object.text("stage", reason.stage.label());
        object.text("explanation", reason.sentence);
        if self.end.is_error() {
            object.text("reason_code", reason.code);
            object.text("fault", reason.fault.label());
            object.text("next_step", reason.next);
        }
    }
}

struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        number(self.out, value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        // Escaping is the library's: every control byte and quote is safe.
        let _ = write!(self.out, "{}", Value::from(value));
    }

    fn null(&mut self, name: &str) {
        self.name(name);
        self.out.extend_from_slice(b"null");
    }
}

fn number(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn unsigned(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// HAProxy writes `ip:port` without brackets, also for IPv6; a mapped address as IPv4.
fn socket_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                unsigned(out, u64::from(octet));
            }
        }
        std::net::IpAddr::V6(ip) => {
            let mut text = String::with_capacity(40);
            let _ = write!(text, "{ip}");
            out.extend_from_slice(text.as_bytes());
        }
    }
    out.push(b':');
    unsigned(out, u64::from(address.port()));
}

/// Bytes outside printable ASCII, `"` and `#` become `#HH`, so that no line can be forged.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &b in bytes {
        if (b' '..=b'~').contains(&b) && b != b'"' && b != b'#' {
            out.push(b);
        } else {
            out.extend_from_slice(&[b'#', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(server: Option<&str>) -> Record<'_> {
        Record {
            id: Some("6745-0-1f"),
            client: "10.0.1.2:33317".parse().ok(),
            listener: 1,
            began: Instant::now(),
            frontend: "http-in",
            backend: "static",
            server,
            times: Times { request: 10, queue: 0, connect: 30, response: 69, total: 109 },
            status: Some(200),
            bytes_out: 2750,
            bytes_in: 120,
            end: End::Normal,
            early: false,
            marked: false,
            step: None,
            queues: Queues { process: 1, frontend: 1, backend: 1, server: 1, ..Queues::default() },
            retries: 0,
            tls: None,
            resets: [None; 2],
            redispatched: false,
            request: Some(RequestLine { method: b"GET", target: b"/index.html", version: "HTTP/1.1" }),
        }
    }

    fn line(record: &Record<'_>, format: LogFormat) -> String {
        let mut out = Vec::new();
        record.write(format, &mut Dates::new(), &mut out);
        String::from_utf8(out).expect("log lines are ASCII or UTF-8")
    }

    /// The line with its date replaced, since that is the time of the test.
    fn undated(text: &str) -> String {
        let (a, b) = text.split_once('[').expect("a date");
        let (date, c) = b.split_once(']').expect("a date");
        assert_eq!(date.len(), "06/Feb/2009:12:14:14.655".len(), "{date}");
        format!("{a}[]{c}")
    }

    #[test]
    fn http_line_is_haproxys() {
        assert_eq!(
            undated(&line(&record(Some("srv1")), LogFormat::Http)),
            "10.0.1.2:33317 [] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 \"GET /index.html HTTP/1.1\""
        );
    }

    #[test]
    fn a_line_cannot_be_forged() {
        let mut r = record(None);
        r.request = Some(RequestLine { method: b"GET", target: b"/\"\n#\xff", version: "HTTP/1.1" });
        r.status = None;
        r.redispatched = true;
        r.retries = 3;
        r.end = End::ConnectRefused;
        assert!(
            undated(&line(&r, LogFormat::Http)).ends_with(
                "static/<NOSRV> 10/0/30/69/109 -1 2750 - - SC-- 1/1/1/1/+3 0/0 \"GET /#22#0A#23#FF HTTP/1.1\""
            )
        );
    }

    #[test]
    fn tls_is_told_as_haproxy_tells_it() {
        let facts = TlsFacts { protocol: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", ..TlsFacts::default() };
        let mut r = record(None);
        r.tls = Some(&facts);
        assert!(undated(&line(&r, LogFormat::Http)).contains("[] http-in~ static/<NOSRV> "));
        let v: Value = serde_json::from_str(&line(&r, LogFormat::Json)).expect("valid JSON");
        assert_eq!((&v["frontend"], &v["tls_version"]), (&"http-in".into(), &"TLSv1.3".into()));
        assert_eq!((&v["tls_cipher"], v["tls_sni"].is_null()), (&"TLS_AES_128_GCM_SHA256".into(), true));
    }

    #[test]
    fn tcp_line_is_haproxys() {
        let mut r = record(Some("s"));
        r.end = End::TunnelIdleClient;
        assert_eq!(
            undated(&line(&r, LogFormat::Tcp)),
            "10.0.1.2:33317 [] http-in static/s 0/30/109 2750 cD 1/1/1/1/0 0/0"
        );
    }

    #[test]
    fn json_line_parses_and_keeps_types() {
        let mut r = record(None);
        r.times.response = -1;
        r.request = Some(RequestLine { method: b"GET", target: b"/a\"\x01", version: "HTTP/1.0" });
        let v: Value = serde_json::from_str(&line(&r, LogFormat::Json)).expect("valid JSON");
        assert_eq!(v["uri"], "/a\"\u{1}");
        assert_eq!((&v["status"], &v["id"]), (&200.into(), &"6745-0-1f".into()));
        assert!(v["time_response_ms"].is_null() && v["server"].is_null());
        assert_eq!(v["reason"], "normal");
        assert!(v.get("fault").is_none() && v.get("reason_code").is_none() && v.get("next_step").is_none());
        r.end = End::ServersDown;
        let v: Value = serde_json::from_str(&line(&r, LogFormat::Json)).expect("valid JSON");
        assert_eq!(
            (&v["reason"], &v["reason_code"], &v["fault"]),
            (&"servers_down".into(), &"EV260".into(), &"server".into())
        );
        assert_eq!((&v["stage"], &v["termination"]), (&"connect".into(), &"SC".into()));
        assert!(v["next_step"].is_string());
    }
}
