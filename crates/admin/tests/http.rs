//! The listener over real sockets: routes, methods, bounds, shutdown.
#![allow(clippy::unwrap_used)]

#[path = "../src/sample.rs"]
#[allow(dead_code)]
mod sample;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_admin::{MAX_CONNECTIONS, MAX_HEAD, Source, View, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

#[derive(Default)]
struct Sample {
    draining: Cell<bool>,
}

impl Source for Sample {
    fn view(&self) -> View {
        sample::view()
    }

    fn ready(&self) -> Result<(), String> {
        if self.draining.get() { Err("draining, 3 connections left".into()) } else { Ok(()) }
    }
}

struct Admin {
    address: SocketAddr,
    source: Rc<Sample>,
    /// Dropped or sent on, it stops the listener.
    stop: RefCell<Option<oneshot::Sender<()>>>,
    served: RefCell<Option<tokio::task::JoinHandle<()>>>,
}

/// Runs `test` with a listener on a free port.
fn with_admin<F: Future>(test: impl FnOnce(Rc<Admin>) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let source = Rc::new(Sample::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let served = tokio::task::spawn_local(serve(listener, source.clone(), Some(Duration::from_secs(5)), shutdown));
        let (stop, served) = (Some(stop).into(), Some(served).into());
        let admin = Rc::new(Admin { address, source, stop, served });
        test(admin.clone()).await
    })
}

/// Status, head and body of the answer to `head`, read until the server closes.
async fn ask(address: SocketAddr, head: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
}

async fn request(address: SocketAddr, method: &str, target: &str) -> (u16, String, String) {
    ask(address, &format!("{method} {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")).await
}

#[test]
fn every_route_answers_with_its_type() {
    with_admin(|admin| async move {
        for (target, status, kind, text) in [
            ("/", 200, "text/html", "<title>(4) Evenkeel"),
            ("/stats", 200, "text/html", "app2"),
            ("/haproxy?stats", 200, "text/html", "HAProxy version "),
            ("/?norefresh&q=app2", 200, "text/html", "Resume refresh"),
            ("/;csv", 200, "text/plain", "# pxname,svname,"),
            ("/haproxy?stats/;csv", 200, "text/plain", "app,app2,"),
            ("/stats;csv;norefresh", 200, "text/plain", ",cache_hint_hits,-,"),
            ("/;json", 200, "application/json", "{\"objType\":\"Frontend\",\"proxyId\":2"),
            ("/api/v1/stats", 200, "application/json", "\"problems\":[{\"severity\":\"critical\""),
            ("/metrics", 200, "text/plain; version=0.0.4", "haproxy_server_status{proxy=\"app\""),
            ("/metrics?names=evenkeel", 200, "text/plain; version=0.0.4", "evenkeel_config_last_reload_success 0"),
            ("/healthz", 200, "text/plain", "ok"),
            ("/readyz", 200, "text/plain", "ready"),
            ("/nothing", 404, "text/plain", "/metrics"),
        ] {
            let (got, head, body) = request(admin.address, "GET", target).await;
            assert_eq!(got, status, "{target}");
            assert!(head.contains(&format!("content-type: {kind}")), "{target}: {head}");
            assert!(body.contains(text), "{target}: {body}");
            assert!(head.contains("cache-control: no-cache"), "{target}");
        }
    });
}

#[test]
fn head_has_the_length_of_get_and_no_body() {
    with_admin(|admin| async move {
        for target in ["/", "/;csv", "/api/v1/stats", "/healthz", "/nothing"] {
            let (status, _, body) = request(admin.address, "GET", target).await;
            let (head_status, head, head_body) = request(admin.address, "HEAD", target).await;
            assert_eq!((head_status, head_body.as_str()), (status, ""), "{target}");
            assert!(head.contains(&format!("content-length: {}", body.len())), "{target}: {head}");
        }
    });
}

#[test]
fn other_methods_are_refused_by_name() {
    with_admin(|admin| async move {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let (status, head, _) = request(admin.address, method, "/stats").await;
            assert_eq!(status, 405, "{method}");
            assert!(head.contains("allow: get, head"), "{method}: {head}");
        }
    });
}

#[test]
fn readiness_fails_with_its_reason_and_health_does_not() {
    with_admin(|admin| async move {
        admin.source.draining.set(true);
        let (status, _, body) = request(admin.address, "GET", "/readyz").await;
        assert_eq!((status, body.as_str()), (503, "not ready: draining, 3 connections left\n"));
        assert_eq!(request(admin.address, "GET", "/healthz").await.0, 200);
    });
}

#[test]
fn one_connection_carries_many_requests() {
    with_admin(|admin| async move {
        let head = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)
            + "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let (status, _, rest) = ask(admin.address, &head).await;
        assert_eq!((status, rest.matches("HTTP/1.1 200 OK").count()), (200, 3));
    });
}

#[test]
fn broken_requests_are_answered_and_do_not_stop_the_listener() {
    with_admin(|admin| async move {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(MAX_HEAD * 2));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
        for broken in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}", &long, &many] {
            let mut stream = TcpStream::connect(admin.address).await.unwrap();
            // The server may close before everything is written.
            let _ = stream.write_all(broken.as_bytes()).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
                "{:?}: {answer}",
                &broken[..broken.len().min(20)]
            );
        }
        assert_eq!(request(admin.address, "GET", "/healthz").await.0, 200);
    });
}

#[test]
fn connections_are_capped_and_a_freed_place_is_used_again() {
    with_admin(|admin| async move {
        let mut held = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(admin.address).await.unwrap();
            // An answered request proves that the connection has its place.
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            held.push(stream);
        }
        let mut extra = TcpStream::connect(admin.address).await.unwrap();
        let mut rest = Vec::new();
        let _ = extra.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "one too many is closed at once");
        let mut last = held.pop().unwrap();
        last.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        last.read_to_end(&mut rest).await.unwrap();
        assert_eq!(request(admin.address, "GET", "/healthz").await.0, 200);
    });
}

#[test]
fn shutdown_ends_idle_connections_and_the_listener() {
    with_admin(|admin| async move {
        let mut idle = TcpStream::connect(admin.address).await.unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut byte = [0];
        idle.read_exact(&mut byte).await.unwrap();
        drop(admin.stop.take());
        let served = admin.served.take().unwrap();
        served.await.unwrap();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();
        assert!(TcpStream::connect(admin.address).await.is_err(), "the port is free again");
    });
}
