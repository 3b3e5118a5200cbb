//! How the requests of a sheet reach a proxy: over HTTP/1 or HTTP/2, in clear or over TLS.
//!
//! A request is text in both protocols. Over HTTP/2 its first line and `Host` become pseudo-fields; where a line begins with
//! a colon, those lines are the pseudo-fields and the first line is not looked at. A payload has its length told, unless a line
//! says `(no length)`; lines behind the payload are trailers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use evenkeel_testkit::certs::Leaf;
use evenkeel_testkit::tls::version;
use evenkeel_testkit::{DEADLINE, Event, H2, H2Options, Message, RawClient, TlsClient, TlsClientOptions};

use crate::sheet::{unescape, wire};

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// HTTP/1.1 in clear.
    H1,
    /// HTTP/2 in clear, by its preface.
    H2,
    /// HTTP/1.1 over TLS.
    Tls1,
    /// HTTP/2 over TLS.
    Tls2,
}

/// Who a client is in TLS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Who {
    /// The name it asks for; none: no SNI.
    pub sni: Option<String>,
    /// The certificate it shows, by its file without the ending.
    pub identity: Option<String>,
    /// The one version it speaks: `1.2` or `1.3`.
    pub version: Option<String>,
}

/// A connection.
pub enum Line {
    H1(RawClient),
    H2(H2, &'static str),
}

/// An answer: interim ones, and the final one.
pub struct Answer {
    pub interim: Vec<Message>,
    pub last: Message,
}

impl Line {
    pub fn connect(way: Way, who: &Who, from: Option<IpAddr>, addr: SocketAddr) -> io::Result<Line> {
        let raw = match from {
            Some(from) => RawClient::connect_from(from, addr)?,
            None => RawClient::connect(addr)?,
        };
        let tls = |alpn: &[&str]| client(who, alpn);
        Ok(match way {
            Way::H1 => Line::H1(raw),
            Way::Tls1 => Line::H1(raw.over_tls(&tls(&["http/1.1"]))?.0),
            Way::H2 => Line::H2(H2::client(raw.into_wire().into_stream(), &H2Options::default())?, "http"),
            Way::Tls2 => {
                let (raw, _) = raw.over_tls(&tls(&["h2"]))?;
                Line::H2(H2::client(raw.into_wire().into_stream(), &H2Options::default())?, "https")
            }
        })
    }

    /// Sends the request of these lines with `mark` as one more field, and waits for the answer.
    pub fn ask(&mut self, lines: &[String], mark: &str) -> io::Result<Answer> {
        match self {
            Line::H1(raw) => {
                let request = wire(lines, Some(mark));
                raw.send(&request)?;
                let mut interim = Vec::new();
                loop {
                    let m = if request.starts_with(b"HEAD ") { raw.response_head()? } else { raw.response()? };
                    if !(102..200).contains(&m.status()) {
                        return Ok(Answer { interim, last: m });
                    }
                    interim.push(m);
                }
            }
            Line::H2(h2, scheme) => ask_h2(h2, scheme, lines, mark),
        }
    }
}

fn client(who: &Who, alpn: &[&str]) -> TlsClient {
    let identity = who.identity.as_deref().map(leaf);
    let versions: &[_] = match who.version.as_deref() {
        Some("1.2") => &[&version::TLS12],
        Some(_) => &[&version::TLS13],
        None => &[],
    };
    let options = TlsClientOptions {
        alpn,
        identity: identity.as_ref(),
        versions,
        no_sni: who.sni.is_none(),
        no_resumption: true,
        ..TlsClientOptions::default()
    };
    TlsClient::with(who.sni.as_deref().unwrap_or("unnamed.example"), &options)
}

/// A certificate of the folder with its key.
pub fn leaf(name: &str) -> Leaf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("differential/tls").join(format!("{name}.pem"));
    let text = std::fs::read_to_string(path).unwrap();
    let (certs, key) = text.split_at(text.find("-----BEGIN PRIVATE KEY").unwrap());
    let end = certs.find("-----END CERTIFICATE-----\n").unwrap() + "-----END CERTIFICATE-----\n".len();
    Leaf { cert_pem: certs[..end].to_owned(), chain_pem: certs[end..].to_owned(), key_pem: key.to_owned() }
}

fn ask_h2(h2: &H2, scheme: &str, lines: &[String], mark: &str) -> io::Result<Answer> {
    let end = lines.iter().position(String::is_empty).unwrap_or(lines.len());
    let body = lines.get(end + 1).map(|l| unescape(l));
    let trailers: Vec<(Vec<u8>, Vec<u8>)> = lines.iter().skip(end + 2).map(|l| field(l)).collect();
    let (mut pseudo, mut fields): (Vec<_>, Vec<_>) =
        lines[1..end].iter().map(|l| field(l)).partition(|(n, _)| n.starts_with(b":"));
    let counted = !fields.iter().any(|(n, _)| n == b"(no length)");
    fields.retain(|(n, _)| n != b"(no length)");
    if pseudo.is_empty() {
        let mut words = lines[0].split(' ').map(unescape);
        let mut push = |name: &str, value: Vec<u8>| pseudo.push((name.as_bytes().to_vec(), value));
        push(":method", words.next().unwrap());
        push(":scheme", scheme.as_bytes().to_vec());
        push(":path", words.next().unwrap());
        if let Some(at) = fields.iter().position(|(n, _)| n == b"Host") {
            push(":authority", fields.remove(at).1);
        }
    }
    pseudo.append(&mut fields);
    pseudo.push(field(&mark.to_ascii_lowercase()));
    if let Some(body) = body.as_ref().filter(|_| counted) {
        pseudo.push((b"content-length".to_vec(), body.len().to_string().into_bytes()));
    }
    let id = h2.open(&pseudo, body.is_none())?;
    if let Some(body) = &body {
        // Who answers early may take nothing.
        let _ = h2.data(id, body, trailers.is_empty());
        if !trailers.is_empty() {
            let _ = h2.headers(id, &trailers, true);
        }
    }
    let deadline = Some(std::time::Instant::now() + DEADLINE);
    let (mut interim, mut last) = (Vec::new(), Message::default());
    loop {
        match h2.event(id, deadline)? {
            Event::Head(fields) => {
                last = message(&fields);
                if (100..200).contains(&last.status()) {
                    interim.push(std::mem::take(&mut last));
                }
            }
            Event::Data(bytes) => last.body.extend(bytes),
            Event::Trailers(fields) => last.trailers = fields.iter().map(text).collect(),
            Event::End => {
                last.complete = true;
                return Ok(Answer { interim, last });
            }
            // What a stream is reset with after its answer was cut is each proxy's own.
            Event::Reset(_) if last.status() != 0 => return Ok(Answer { interim, last }),
            Event::Reset(code) => return Err(io::Error::other(format!("reset {code}"))),
            Event::Gone => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn field(line: &str) -> (Vec<u8>, Vec<u8>) {
    let at = line[1..].find(':').map_or(line.len(), |at| at + 1);
    let value = line.get(at + 1..).unwrap_or_default();
    (unescape(&line[..at]), unescape(value.strip_prefix(' ').unwrap_or(value)))
}

fn text((name, value): &(Vec<u8>, Vec<u8>)) -> (String, String) {
    (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned())
}

fn message(fields: &[(Vec<u8>, Vec<u8>)]) -> Message {
    let mut fields: Vec<_> = fields.iter().map(text).collect();
    let status = fields.iter().position(|(n, _)| n == ":status").map(|at| fields.remove(at).1).unwrap_or_default();
    let head = evenkeel_testkit::Head { start: format!("HTTP/2 {status}"), fields };
    Message { head, ..Message::default() }
}
