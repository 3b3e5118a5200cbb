//! An HTTP check: the request over HTTP/1 or HTTP/2, and the answer held against the expectations.
//!
//! Called by [`crate::probe`] with a stream that is ready for it. Never reads more than [`BODY_MAX`] of an answer. Dropping
//! a future of this module closes the connection: no task is left behind.

use std::error::Error;
use std::future::Future;
use std::pin::pin;

use evenkeel_wire::Stream;
use evenkeel_wire::h2::{Budget, Io as H2Io, Scanner, Watch};
use h2::RecvStream;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper_util::rt::TokioIo;

use crate::compile::{Http, Rule};
use crate::link::{Io, of_tls};
use crate::probe::{BODY_MAX, Verdict};
use crate::report::CheckStatus;

/// Asks over HTTP/1.
pub(crate) async fn ask(stream: Stream, http: &Http) -> Verdict {
    let handshake = http1::Builder::new().max_buf_size(BODY_MAX).handshake(TokioIo::new(Io(stream))).await;
    let Ok((mut sender, connection)) = handshake else { return Verdict::new(CheckStatus::L7Rsp) };
    let request = http.request.clone().map(|()| Full::new(http.body.clone()));
    let exchange = async {
        match sender.send_request(request).await {
            Ok(response) => weigh(response.map(Body::H1), http).await,
            // Closed without an answer, or what came is no HTTP: HAProxy gives no detail either.
            Err(error) => broken(&error, ""),
        }
    };
    beside(connection, exchange).await
}

/// Asks over HTTP/2. `authority` is for a request that names no host.
pub(crate) async fn ask_h2(stream: Stream, http: &Http, authority: &str) -> Verdict {
    let request = match for_h2(&http.request, &http.body, stream.tls().is_some(), authority) {
        Ok(request) => request,
        Err(error) => return Verdict::new(CheckStatus::SockErr).info(error.to_string()),
    };
    exchange_h2(stream, request, http.body.clone(), async |response| weigh(response.map(Body::H2), http).await).await
}

/// One request and what becomes of its answer, over a connection of HTTP/2 that is theirs alone.
pub(crate) async fn exchange_h2(
    stream: Stream,
    request: Request<()>,
    body: Bytes,
    answered: impl AsyncFnOnce(Response<RecvStream>) -> Verdict,
) -> Verdict {
    let io = H2Io::new(stream, Vec::new(), Scanner::of_server(Budget::default()), Watch::new());
    let mut builder = h2::client::Builder::new();
    builder.enable_push(false).max_header_list_size(BODY_MAX as u32);
    let (sender, connection) = match builder.handshake::<_, Bytes>(io).await {
        Ok(connected) => connected,
        Err(error) => return failed(&error),
    };
    let asked = async {
        let (response, mut out) = sender.ready().await?.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            out.send_data(body, true)?;
        }
        response.await
    };
    let exchange = async {
        match asked.await {
            Ok(response) => answered(response).await,
            Err(error) => failed(&error),
        }
    };
    beside(connection, exchange).await
}

fn failed(error: &h2::Error) -> Verdict {
    broken(error, &format!("HTTP/2: {error}"))
}

/// No answer that can be read; where TLS ended it, that is what is told.
fn broken(error: &(dyn Error + 'static), info: &str) -> Verdict {
    match of_tls(error) {
        Some(why) => Verdict::new(CheckStatus::L6Rsp).info(why),
        None => Verdict::new(CheckStatus::L7Rsp).info(info),
    }
}

/// The request as HTTP/2 has it (RFC 9113 section 8.2.2): the host is in `:authority`, nothing is about the connection.
fn for_h2(request: &Request<()>, body: &Bytes, tls: bool, authority: &str) -> Result<Request<()>, http::Error> {
    let mut out = request.clone();
    let host = out.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = host.or(request.uri().authority().map(Authority::as_str)).unwrap_or(authority);
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    *out.uri_mut() = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build()?;
    *out.version_mut() = Version::HTTP_2;
    let headers = out.headers_mut();
    let of_a_connection: [HeaderName; 5] = [HOST, CONNECTION, TRANSFER_ENCODING, UPGRADE, TE];
    for name in of_a_connection.iter().map(HeaderName::as_str).chain(["keep-alive", "proxy-connection"]) {
        headers.remove(name);
    }
    if !body.is_empty() {
        headers.insert(CONTENT_LENGTH, body.len().into());
    }
    Ok(out)
}

/// The body of an answer of either version.
enum Body {
    H1(Incoming),
    H2(RecvStream),
}

impl Body {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes, Box<dyn Error>>> {
        match self {
            Body::H1(body) => loop {
                match body.frame().await? {
                    Ok(frame) => match frame.into_data() {
                        Ok(data) => return Some(Ok(data)),
                        // Trailers end it.
                        Err(_) => continue,
                    },
                    Err(error) => return Some(Err(error.into())),
                }
            },
            // As little as is read fits the window that a stream begins with.
            Body::H2(body) => body.data().await.map(|data| data.map_err(Box::from)),
        }
    }
}

async fn weigh(response: Response<Body>, http: &Http) -> Verdict {
    let reason = reason(&response);
    let (head, body) = response.into_parts();
    let status = head.status;
    let wrong_head = http.expect.iter().position(|r| r.holds_for_head(status, &head.headers) == Some(false));
    // Rules apply in order: a wrong head counts only if no body rule before it fails.
    let relevant = &http.expect[..wrong_head.unwrap_or(http.expect.len())];
    if relevant.iter().any(|r| r.holds_for_body(b"").is_some()) {
        let body = match read(body, relevant).await {
            Ok(body) => body,
            Err(error) => return broken(&*error, "the body ended early"),
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

/// The reason phrase as sent; hyper keeps it only where it differs from the usual one, and HTTP/2 has none.
fn reason(response: &Response<Body>) -> String {
    match response.extensions().get::<ReasonPhrase>() {
        Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
        None => response.status().canonical_reason().unwrap_or_default().to_owned(),
    }
}

/// Reads a body until its end, [`BODY_MAX`], or until no rule needs more of it.
async fn read(mut body: Body, rules: &[Rule]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut open: Vec<&Rule> = rules.iter().collect();
    let mut out = Vec::new();
    while let Some(data) = body.next().await {
        let data = data?;
        let fresh = data.len().min(BODY_MAX - out.len());
        out.extend_from_slice(&data[..fresh]);
        open.retain(|rule| !rule.settles(&out, fresh));
        if out.len() == BODY_MAX || open.is_empty() {
            break;
        }
    }
    Ok(out)
}

/// Reads a whole body of HTTP/2, as far as [`BODY_MAX`], and what comes behind it.
pub(crate) async fn read_all(mut body: RecvStream) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let mut out = Vec::new();
    while out.len() < BODY_MAX
        && let Some(data) = body.data().await
    {
        let data = data?;
        out.extend_from_slice(&data[..data.len().min(BODY_MAX - out.len())]);
    }
    match out.len() {
        BODY_MAX => Ok((out, HeaderMap::new())),
        _ => Ok((out, body.trailers().await?.unwrap_or_default())),
    }
}

/// Drives a connection for as long as its exchange needs it, in one task.
async fn beside<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    // Dropped where it ends: a stream of HTTP/2 may learn of a failed write only then.
    let connection = async move { drop(connection.await) };
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    tokio::select! {
        biased;
        out = &mut exchange => return out,
        // Its outcome reaches the exchange as the end or the error of the answer.
        _ = &mut connection => {}
    }
    exchange.await
}
