//! `evenkeel demo`: the main job on an embedded configuration, with origins in the same process.
//!
//! Three small origins answer who they are. One of them fails for a while and recovers, again and again, so that the stats
//! page has something to show. Nothing here is used by `evenkeel run`.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::cli::Demo;
use crate::commands::{print, start_logging};
use crate::supervisor;

/// How long the third origin stays well, and then ill.
const WELL: Duration = Duration::from_secs(15);
const ILL: Duration = Duration::from_secs(10);

/// Runs until Ctrl-C.
///
/// # Errors
/// A port that is taken, in one sentence.
pub fn run(args: &Demo) -> Result<(), String> {
    start_logging();
    let origins = start_origins()?;
    let file = write_config(args, &origins)?;
    print(&format!(
        "Evenkeel demo: three origins on {}.\n  try            curl http://{}/\n  stats page     http://{}/\n  \
         configuration  {}\nOrigin `{}` fails for {} s out of every {} s: watch it leave and return.\nCtrl-C drains and ends; \
         twice ends at once.\n\n",
        origins.map(|a| a.to_string()).join(", "),
        args.listen,
        args.admin,
        file.display(),
        NAMES[2],
        ILL.as_secs(),
        (WELL + ILL).as_secs()
    ));
    let options = supervisor::Options { paths: vec![file], pid_file: None, socket: None };
    supervisor::run(&options)
}

const NAMES: [&str; 3] = ["alef", "bet", "gimmel"];

/// The origins run on a thread of their own, as if they were another machine.
fn start_origins() -> Result<[SocketAddr; 3], String> {
    let (report, addresses) = std::sync::mpsc::channel();
    let serve = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
            .map_err(|e| format!("cannot start the origins: {e}"));
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(why) => return drop(report.send(Err(why))),
        };
        runtime.block_on(async {
            let mut listeners = Vec::new();
            for _ in NAMES {
                match TcpListener::bind("127.0.0.1:0").await {
                    Ok(listener) => listeners.push(listener),
                    Err(e) => return drop(report.send(Err(format!("cannot start an origin: {e}")))),
                }
            }
            let all: Result<Vec<_>, _> = listeners.iter().map(TcpListener::local_addr).collect();
            let _ = report.send(all.map_err(|e| e.to_string()));
            for (name, listener) in NAMES.into_iter().zip(listeners) {
                let well = Rc::new(Cell::new(true));
                tokio::task::spawn_local(origin(name, listener, well.clone()));
                if name == NAMES[2] {
                    tokio::task::spawn_local(moods(well));
                }
            }
            std::future::pending::<()>().await;
        });
    };
    std::thread::Builder::new()
        .name("origins".into())
        .spawn(serve)
        .map_err(|e| format!("cannot start a thread: {e}"))?;
    let addresses = addresses.recv().map_err(|_| "the origins did not start".to_owned())??;
    addresses.try_into().map_err(|_| "the origins did not start".to_owned())
}

async fn moods(well: Rc<Cell<bool>>) {
    loop {
        for (mood, time) in [(true, WELL), (false, ILL)] {
            well.set(mood);
            tokio::time::sleep(time).await;
        }
    }
}

async fn origin(name: &'static str, listener: TcpListener, well: Rc<Cell<bool>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let well = well.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let (status, text) = match well.get() {
                true => (StatusCode::OK, format!("origin {name} says hello to {}\n", request.uri().path())),
                false => (StatusCode::SERVICE_UNAVAILABLE, format!("origin {name} is not well\n")),
            };
            let mut response = Response::new(Full::new(Bytes::from(text)));
            *response.status_mut() = status;
            response.headers_mut().insert("x-origin", http::HeaderValue::from_static(name));
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::task::spawn_local(async move {
            // A client that breaks off is no event for a demo origin.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The configuration as a file, so that it can be read, changed and reloaded while the demo runs.
fn write_config(args: &Demo, origins: &[SocketAddr; 3]) -> Result<std::path::PathBuf, String> {
    let servers: String = NAMES
        .iter()
        .zip(origins)
        .map(|(name, address)| format!("  {{ name = \"{name}\", address = \"{address}\" }},\n"))
        .collect();
    let text = format!(
        "# The configuration of `evenkeel demo`. Change it and send SIGHUP to the process: nothing is dropped.\n\
         [global]\nadmin = {{ listen = \"{}\", refresh = \"2s\" }}\n\n[listen.demo]\nbind = [\"{}\"]\nbalance = \
         \"roundrobin\"\noption.redispatch = true\ncheck = {{ type = \"http\", uri = \"/\", interval = \"1s\", fall = 2, rise = \
         2 }}\nserver = [\n{servers}]\n",
        args.admin, args.listen
    );
    let path = std::env::temp_dir().join(format!("evenkeel-demo-{}.toml", std::process::id()));
    std::fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    Ok(path)
}
