//! How one `evenkeel` process talks to another: a request line (a word, and JSON behind it where there is more to say), a
//! JSON line back.
//!
//! Every running process listens on an abstract Unix socket named after its process id, so `evenkeel reload --pid-file`
//! learns the outcome and not only that a signal was sent; `--socket` adds one in the file system. Only the same user and
//! root are served.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_admin::view::FailureView;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::ask::{Question, Told, Wanted};
use crate::certs;

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Load the configuration again.
    Reload,
    /// Tell why requests failed.
    Errors,
    /// Tell what would become of a request now.
    Explain(Box<(Question, Told)>),
    /// Tell what became of past requests.
    Why(Wanted),
    /// Tell of certificates, or change them.
    Cert(certs::Ask),
    /// Tell of keys of session tickets, or change them.
    Tickets(certs::tickets::Ask),
    /// Tell of name servers.
    Resolvers,
}

impl Request {
    fn line(&self) -> Result<String, String> {
        let json = |value: serde_json::Result<String>| value.map_err(|e| e.to_string());
        Ok(match self {
            Request::Reload => "reload\n".to_owned(),
            Request::Errors => "errors\n".to_owned(),
            Request::Resolvers => "resolvers\n".to_owned(),
            Request::Explain(asked) => format!("explain {}\n", json(serde_json::to_string(asked))?),
            Request::Why(wanted) => format!("why {}\n", json(serde_json::to_string(wanted))?),
            Request::Cert(ask) => format!("cert {}\n", json(serde_json::to_string(ask))?),
            Request::Tickets(ask) => format!("tickets {}\n", json(serde_json::to_string(ask))?),
        })
    }

    fn parse(line: &str) -> Result<Request, String> {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let wrong = |e: serde_json::Error| format!("the request cannot be read: {e}");
        match word {
            "reload" => Ok(Request::Reload),
            "errors" => Ok(Request::Errors),
            "resolvers" => Ok(Request::Resolvers),
            "explain" => serde_json::from_str(rest).map(Request::Explain).map_err(wrong),
            "why" => serde_json::from_str(rest).map(Request::Why).map_err(wrong),
            "cert" => serde_json::from_str(rest).map(Request::Cert).map_err(wrong),
            "tickets" => serde_json::from_str(rest).map(Request::Tickets).map_err(wrong),
            other => {
                Err(format!("unknown request {other:?}; known: reload, errors, explain, why, cert, tickets, resolvers"))
            }
        }
    }
}

/// A request and where its answer goes.
pub type Asked = (Request, oneshot::Sender<Outcome>);

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether it was done.
    pub ok: bool,
    /// Number of the configuration in force now.
    pub generation: u64,
    /// What happened, for a person.
    pub message: String,
    /// What changed, as the plan lists it.
    #[serde(default)]
    pub changes: serde_json::Value,
    /// Why requests failed, most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureView>,
    /// What would become, or became, of requests.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub answer: serde_json::Value,
}

/// Longest request line: a described request with a body fits.
const MAX_LINE: u64 = 1 << 20;

/// How long a client may take to state its request.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long `evenkeel reload` waits for the answer.
const ANSWER: Duration = Duration::from_secs(120);

fn abstract_name(pid: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("evenkeel/{pid}"))
}

/// Listens for requests of this process: on its own name and on `path`.
///
/// # Errors
/// The operating system's, in one sentence.
pub fn listen(path: Option<&Path>, requests: &mpsc::UnboundedSender<Asked>) -> Result<(), String> {
    let own = abstract_name(std::process::id()).and_then(|name| StdListener::bind_addr(&name));
    match own.and_then(register) {
        Ok(listener) => drop(tokio::task::spawn_local(accept(listener, requests.clone()))),
        Err(e) => return Err(format!("cannot open the control socket: {e}")),
    }
    if let Some(path) = path {
        // A file left by a process that died would be in the way; a live one answers.
        if StdStream::connect(path).is_err() {
            let _ = std::fs::remove_file(path);
        }
        let listener = StdListener::bind(path)
            .and_then(register)
            .map_err(|e| format!("cannot listen on the control socket {}: {e}", path.display()))?;
        tokio::task::spawn_local(accept(listener, requests.clone()));
    }
    Ok(())
}

fn register(listener: StdListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

async fn accept(listener: UnixListener, requests: mpsc::UnboundedSender<Asked>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::task::spawn_local(serve(stream, requests.clone()))),
            Err(e) => {
                tracing::warn!("control socket: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, requests: mpsc::UnboundedSender<Asked>) {
    let outcome = match answer(&stream, requests).await {
        Ok(outcome) => outcome,
        Err(message) => Outcome { message, ..Outcome::default() },
    };
    let mut line = serde_json::to_vec(&outcome).unwrap_or_default();
    line.push(b'\n');
    let mut stream = stream;
    // The asker may have gone; what it asked for is done all the same.
    let _ = tokio::time::timeout(PATIENCE, stream.write_all(&line)).await;
}

async fn answer(stream: &UnixStream, requests: mpsc::UnboundedSender<Asked>) -> Result<Outcome, String> {
    let peer = stream.peer_cred().map_err(|e| e.to_string())?;
    if peer.uid() != 0 && peer.uid() != nix::unistd::geteuid().as_raw() {
        return Err("only the user that evenkeel runs as, and root, may control it".into());
    }
    let mut line = String::new();
    let mut reader = BufReader::new(Reading(stream)).take(MAX_LINE);
    let read = tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await;
    read.map_err(|_| "no request came in time".to_owned())?.map_err(|e| e.to_string())?;
    if line.len() as u64 >= MAX_LINE {
        return Err(format!("the request is longer than {MAX_LINE} bytes"));
    }
    let request = Request::parse(&line)?;
    let (reply, outcome) = oneshot::channel();
    requests.send((request, reply)).map_err(|_| "the process is stopping".to_owned())?;
    outcome.await.map_err(|_| "the process is stopping".to_owned())
}

/// Reads from a shared stream, so that the answer can be written to it afterwards.
struct Reading<'s>(&'s UnixStream);

impl tokio::io::AsyncRead for Reading<'_> {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        loop {
            std::task::ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(n) => {
                    buf.advance(n);
                    return std::task::Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return std::task::Poll::Ready(Err(e)),
            }
        }
    }
}

/// Which process to ask.
#[derive(Debug)]
pub enum Target {
    /// The one whose id this file holds.
    PidFile(PathBuf),
    /// The one that listens here.
    Socket(PathBuf),
}

/// Asks a running process and waits for its answer.
///
/// # Errors
/// One sentence: who could not be reached and what to look at.
pub fn ask(target: &Target, request: &Request) -> Result<Outcome, String> {
    use std::io::{BufRead, Write};
    let stream = connect(target)?;
    let broken = |e: io::Error| format!("the running process did not answer: {e}");
    stream.set_read_timeout(Some(ANSWER)).map_err(broken)?;
    let asked = request.line()?;
    if asked.len() as u64 >= MAX_LINE {
        return Err(format!("the request is too long for a running process: {MAX_LINE} bytes at most"));
    }
    (&stream).write_all(asked.as_bytes()).map_err(broken)?;
    let mut line = String::new();
    io::BufReader::new(&stream).read_line(&mut line).map_err(broken)?;
    serde_json::from_str(&line).map_err(|_| format!("the running process gave no answer that can be read: {line:?}"))
}

fn connect(target: &Target) -> Result<StdStream, String> {
    match target {
        Target::Socket(path) => {
            StdStream::connect(path).map_err(|e| format!("cannot reach a process on {}: {e}", path.display()))
        }
        Target::PidFile(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| format!("cannot read the pid file {}: {e}; is evenkeel running?", path.display()))?;
            let pid: u32 = text
                .trim()
                .parse()
                .map_err(|_| format!("the pid file {} holds no process id: {:?}", path.display(), text.trim()))?;
            abstract_name(pid).and_then(|name| StdStream::connect_addr(&name)).map_err(|e| {
                format!("process {pid} of {} cannot be reached: {e}; is it still running?", path.display())
            })
        }
    }
}
