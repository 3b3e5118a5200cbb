//! The probers: one check of one server, from connect to verdict.
//!
//! Called by the check loops; on a tokio runtime with I/O and time. Never panics on an answer and never reads more than
//! [`BODY_MAX`] bytes of it. Invariant: a check ends within its timeout, and dropping its future closes the connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use evenkeel_config::ServerAddress;
use evenkeel_proto::proxy::line;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use crate::compile::{Compiled, Greeting, Http, Kind, Rule};
use crate::report::{CheckStatus, Report};

/// Bytes of a body that are looked at, and of a head that are accepted.
pub const BODY_MAX: usize = 16 * 1024;

/// Checks a server once.
///
/// A failure of any kind is a [`Report`]: of connecting (`L4CON`, `L4TOUT`), of the answer (`L7RSP`, `L7STS`, `L7TOUT`),
/// or of our own side (`SOCKERR`).
pub async fn run(check: &Compiled, server: &ServerAddress) -> Report {
    let start = Instant::now();
    let verdict = judge(check, server, start + check.timeout).await;
    Report::new(verdict.status, verdict.code, start.elapsed(), &verdict.info)
}

/// A report without its duration.
struct Verdict {
    status: CheckStatus,
    code: Option<u16>,
    info: String,
}

impl Verdict {
    fn new(status: CheckStatus) -> Verdict {
        Verdict { status, code: None, info: String::new() }
    }

    fn code(mut self, code: u16) -> Verdict {
        self.code = Some(code);
        self
    }

    fn info(mut self, info: impl Into<String>) -> Verdict {
        self.info = info.into();
        self
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Sends the header that tells the server that this is a check.
    async fn greet(&mut self, greeting: &Greeting) -> io::Result<()> {
        let mut text = Vec::new();
        let bytes = match greeting {
            Greeting::Block(block) => block,
            Greeting::Line => {
                line(&mut text, self.ends());
                &text
            }
        };
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes).await,
            Stream::Unix(stream) => stream.write_all(bytes).await,
        }
    }

    fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Stream::Tcp(stream) => stream.local_addr().ok().zip(stream.peer_addr().ok()),
            Stream::Unix(_) => None,
        }
    }
}

async fn judge(check: &Compiled, server: &ServerAddress, deadline: Instant) -> Verdict {
    let kind = match &check.kind {
        Ok(kind) => kind,
        Err(fault) => return Verdict::new(CheckStatus::SockErr).info(fault),
    };
    let mut stream = match timeout_at(deadline, connect(&check.target(server))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return refused(&error),
        Err(_) => return Verdict::new(CheckStatus::L4Tout),
    };
    if let Some(greeting) = &check.greeting {
        match timeout_at(deadline, stream.greet(greeting)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return refused(&error),
            Err(_) => return Verdict::new(CheckStatus::L4Tout),
        }
    }
    let http = match kind {
        // The reset could reach the server before it has read the header.
        Kind::Connect if check.greeting.is_some() => return Verdict::new(CheckStatus::L4Ok),
        Kind::Connect => {
            if let Stream::Tcp(stream) = &stream {
                // A reset leaves no TIME_WAIT behind, and a server that has not accepted yet sees no empty session.
                let _ = stream.set_zero_linger();
            }
            return Verdict::new(CheckStatus::L4Ok);
        }
        Kind::Http(http) => http,
    };
    let answer = async {
        match stream {
            Stream::Tcp(stream) => ask(stream, http).await,
            Stream::Unix(stream) => ask(stream, http).await,
        }
    };
    timeout_at(deadline, answer).await.unwrap_or_else(|_| Verdict::new(CheckStatus::L7Tout))
}

async fn connect(target: &ServerAddress) -> io::Result<Stream> {
    Ok(match target {
        ServerAddress::Inet(at) => {
            let stream = TcpStream::connect(at).await?;
            let _ = stream.set_nodelay(true);
            Stream::Tcp(stream)
        }
        ServerAddress::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
    })
}

/// Tells the server's refusal from our own failure to ask.
fn refused(error: &io::Error) -> Verdict {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Verdict::new(CheckStatus::L4Con).info(text),
        // The kernel's own limit ended the attempt before ours did.
        io::ErrorKind::TimedOut => Verdict::new(CheckStatus::L4Tout),
        _ => Verdict::new(CheckStatus::SockErr).info(format!("General socket error ({text})")),
    }
}

/// Sends the request and holds the answer against the expectations.
async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin, http: &Http) -> Verdict {
    let handshake = http1::Builder::new().max_buf_size(BODY_MAX).handshake(TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = handshake else { return Verdict::new(CheckStatus::L7Rsp) };
    let exchange = async {
        match sender.send_request(http.request.clone()).await {
            Ok(response) => weigh(response, http).await,
            // Closed without an answer, or what came is no HTTP: HAProxy gives no detail either.
            Err(_) => Verdict::new(CheckStatus::L7Rsp),
        }
    };
    beside(connection, exchange).await
}

async fn weigh(response: Response<Incoming>, http: &Http) -> Verdict {
    let status = response.status();
    let wrong_head = http.expect.iter().position(|r| r.holds_for_head(status, response.headers()) == Some(false));
    // Rules apply in order: a wrong head counts only if no body rule before it fails.
    let relevant = &http.expect[..wrong_head.unwrap_or(http.expect.len())];
    let reason = reason(&response);
    if relevant.iter().any(|r| r.holds_for_body(b"").is_some()) {
        let body = match read(response.into_body(), relevant).await {
            Ok(body) => body,
            Err(_) => return Verdict::new(CheckStatus::L7Rsp).info("the body ended early"),
        };
        if let Some(failed) = relevant.iter().find(|r| r.holds_for_body(&body) == Some(false)) {
            return Verdict::new(CheckStatus::L7Rsp).info(match failed.not {
                true => "HTTP check matched unwanted content",
                false => "HTTP content check did not match",
            });
        }
    }
    match wrong_head {
        Some(_) => Verdict::new(CheckStatus::L7Sts).code(status.as_u16()).info(reason),
        None => Verdict::new(CheckStatus::L7Ok).code(status.as_u16()),
    }
}

/// The reason phrase as sent; hyper keeps it only where it differs from the usual one.
fn reason(response: &Response<Incoming>) -> String {
    match response.extensions().get::<ReasonPhrase>() {
        Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
        None => response.status().canonical_reason().unwrap_or_default().to_owned(),
    }
}

/// Reads a body until its end, [`BODY_MAX`], or until no rule needs more of it.
async fn read(mut body: Incoming, rules: &[Rule]) -> Result<Vec<u8>, hyper::Error> {
    let mut open: Vec<&Rule> = rules.iter().collect();
    let mut out = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let fresh = data.len().min(BODY_MAX - out.len());
        out.extend_from_slice(&data[..fresh]);
        open.retain(|rule| !rule.settles(&out, fresh));
        if out.len() == BODY_MAX || open.is_empty() {
            break;
        }
    }
    Ok(out)
}

/// Drives a connection for as long as its exchange needs it, in one task.
async fn beside<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    tokio::select! {
        biased;
        out = &mut exchange => return out,
        // Its outcome reaches the exchange as the end or the error of the answer.
        _ = &mut connection => {}
    }
    exchange.await
}
