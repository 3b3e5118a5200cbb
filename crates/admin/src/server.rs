//! The operator's listener.
//!
//! Owns: the HTTP/1 server in front of the page and the exports. Runs on the control thread's local runtime, so it
//! answers when the workers are saturated; each request asks [`Source`] for a fresh picture. Bounded in every direction:
//! connections, header size and time, life of a connection. Never: changes anything; every route is a GET.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::metrics::{self, Selection};
use crate::route::{DIRECTORY, Route};
use crate::view::View;
use crate::{csv, json, page};

/// Connections at once; the next one is closed at once, so that a flood cannot lock an operator out for long.
pub const MAX_CONNECTIONS: usize = 256;
/// Time to receive a request head, and to send the next one on a kept connection.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request head.
pub const MAX_HEAD: usize = 16 * 1024;
/// The longest a connection may live, so that a client that never reads does not stay.
pub const CONNECTION_LIFETIME: Duration = Duration::from_secs(300);
/// What open connections may take to finish their answer at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// Pause after a failed accept: without descriptors the next try fails at once too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// Inline style and script, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'";

/// Where the answers come from.
pub trait Source {
    /// A picture of this moment, rates filled in.
    fn view(&self) -> View;

    /// Whether this process should be given traffic; the reason when not, for whoever reads the probe's answer.
    fn ready(&self) -> Result<(), String>;
}

/// Serves until `shutdown` resolves, then lets open answers finish for two seconds. Must run on a `LocalRuntime`.
///
/// `refresh` is the time between two refreshes of the page; `None` = none.
pub async fn serve(
    listener: TcpListener,
    source: Rc<dyn Source>,
    refresh: Option<Duration>,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    let (leave, leaving) = watch::channel(());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(_) if connections.len() >= MAX_CONNECTIONS => {
                tracing::warn!(limit = MAX_CONNECTIONS, "admin listener is full; connection closed");
            }
            Ok((stream, _)) => {
                connections.spawn_local(connection(stream, source.clone(), refresh, leaving.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "admin listener cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(leave);
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_GRACE, finish).await.is_err() {
        tracing::debug!("admin connections cut at shutdown");
    }
}

async fn connection(
    stream: TcpStream,
    source: Rc<dyn Source>,
    refresh: Option<Duration>,
    mut leaving: watch::Receiver<()>,
) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let response =
            answer(request.method(), request.uri().path_and_query().map_or("", |p| p.as_str()), &*source, refresh);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEAD).max_headers(64);
    let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service));
    let lifetime = tokio::time::timeout(CONNECTION_LIFETIME, async {
        tokio::select! {
            result = &mut serving => return result,
            _ = leaving.changed() => {}
        }
        serving.as_mut().graceful_shutdown();
        serving.await
    });
    match lifetime.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin connection"),
        Err(_) => tracing::debug!("admin connection reached its lifetime"),
    }
}

/// The answer to one request. HEAD is answered as GET; hyper leaves the body out.
fn answer(method: &Method, target: &str, source: &dyn Source, refresh: Option<Duration>) -> Response<Full<Bytes>> {
    let route = Route::of(target);
    if route == Route::Unknown {
        return reply(StatusCode::NOT_FOUND, TEXT, format!("Not found. What exists:\n\n{DIRECTORY}"));
    }
    if method != Method::GET && method != Method::HEAD {
        let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "Only GET and HEAD are allowed here.\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match route {
        Route::Page { paused, filter, all } => {
            let html = page::render(&source.view(), &page::Options { refresh, paused, filter, all });
            let mut response = reply(StatusCode::OK, "text/html; charset=utf-8", html);
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            response
        }
        Route::Csv => reply(StatusCode::OK, TEXT, csv::render(&source.view())),
        Route::TypedJson => reply(StatusCode::OK, JSON, json::typed(&source.view())),
        Route::Api => reply(StatusCode::OK, JSON, json::api(&source.view())),
        Route::Metrics(query) => {
            let text = metrics::render(&Arc::new(source.view()), &Selection::parse(&query));
            reply(StatusCode::OK, metrics::CONTENT_TYPE, text)
        }
        Route::Health => reply(StatusCode::OK, TEXT, "ok\n"),
        Route::Ready => match source.ready() {
            Ok(()) => reply(StatusCode::OK, TEXT, "ready\n"),
            Err(reason) => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {reason}\n")),
        },
        Route::Unknown => reply(StatusCode::NOT_FOUND, TEXT, DIRECTORY),
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
