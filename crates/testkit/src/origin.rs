//! A scripted origin server on a port of its own: what it answers is data, what it received is kept for assertions.
//!
//! One thread accepts, one thread serves each connection. A [`Script`] says what happens per request (`Http`) or per
//! connection (`Raw`); it can be exchanged at any time, which also closes what is open. Waiting "until told" is a
//! [`Gate`], never a sleep. Scripts speak HTTP/1 text; a client that sends the preface of HTTP/2 gets the same in frames, with a
//! thread for each stream.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::DEADLINE;
use crate::client::linger_zero;
use crate::h2::{Event, H2, H2Options};
use crate::message::{Body, Head, Message, Wire};
use crate::tls::{Session, TlsServer};

mod script;
mod stream;

use script::ok;
pub use script::{Act, Gate, Script};
use stream::Stream;

/// What an origin received: a request, or the bytes of a raw connection.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Number of the connection, from 0 since the script began.
    pub connection: usize,
    /// Who connected; `None` over a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The message; `complete` once an [`Act::Body`], or over HTTP/2 any act, has read it to its end.
    pub message: Message,
    /// What [`Act::Await`] and [`Act::DrainToEof`] read.
    pub raw: Vec<u8>,
    /// Whether the peer closed its side during these acts.
    pub eof: bool,
    /// Over HTTP/2: the pseudo-fields as they came. The head has `Host` for `:authority`.
    pub pseudo: Vec<(String, String)>,
    /// Over HTTP/2: the code by which the client reset the stream.
    pub reset: Option<u32>,
    /// Over TLS: what the handshake agreed on.
    pub session: Option<Session>,
}

/// A running origin; it stops when dropped.
pub struct Origin {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<(Arc<AtomicBool>, thread::JoinHandle<()>)>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    served: AtomicUsize,
    tls: Option<TlsServer>,
    h2: H2Options,
}

/// What an origin is beside its script.
#[derive(Clone, Debug)]
pub struct OriginOptions {
    /// It serves TLS. HTTP/2 is spoken when the client begins with its preface, whatever ALPN said.
    pub tls: Option<TlsServer>,
    /// What it tells HTTP/2 clients at the beginning.
    pub h2: H2Options,
}

impl Default for OriginOptions {
    fn default() -> OriginOptions {
        OriginOptions { tls: None, h2: H2Options::server() }
    }
}

struct State {
    script: Script,
    epoch: usize,
    connections: usize,
    seen: Vec<Request>,
    open: HashMap<usize, TcpStream>,
    busy: usize,
    next_key: usize,
    faults: Vec<String>,
    refused: Vec<String>,
}

impl Origin {
    /// Starts one on a free port.
    pub fn start(script: Script) -> Origin {
        Origin::start_at("127.0.0.1:0".parse().expect("an address"), script)
    }

    /// Starts one at this address.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn start_at(addr: SocketAddr, script: Script) -> Origin {
        let mut origin = Origin::new(addr, script, OriginOptions::default());
        origin.resume();
        origin
    }

    /// Starts one on a free port that serves TLS.
    pub fn start_tls(tls: &TlsServer, script: Script) -> Origin {
        Origin::start_with(OriginOptions { tls: Some(tls.clone()), ..OriginOptions::default() }, script)
    }

    /// Starts one on a free port as told.
    pub fn start_with(options: OriginOptions, script: Script) -> Origin {
        let mut origin = Origin::new("127.0.0.1:0".parse().expect("an address"), script, options);
        origin.resume();
        origin
    }

    fn new(addr: SocketAddr, script: Script, options: OriginOptions) -> Origin {
        let state = State {
            script,
            epoch: 0,
            connections: 0,
            seen: Vec::new(),
            open: HashMap::new(),
            busy: 0,
            next_key: 0,
            faults: Vec::new(),
            refused: Vec::new(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            served: AtomicUsize::new(0),
            tls: options.tls,
            h2: options.h2,
        });
        Origin { addr, shared, accepting: None }
    }

    /// Starts one on a Unix socket at `path`; [`Origin::addr`], [`Origin::stop`] and [`Origin::resume`] are not for it.
    ///
    /// # Panics
    /// When the path cannot be bound.
    pub fn start_unix(path: &Path, script: Script) -> Origin {
        let listener = UnixListener::bind(path).unwrap_or_else(|e| panic!("origin at {}: {e}", path.display()));
        let origin = Origin::new(([0, 0, 0, 0], 0).into(), script, OriginOptions::default());
        let shared = Arc::clone(&origin.shared);
        // Ends with the test process: nobody else knows the path, and it goes with its temporary folder.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(connection) = shared.accept(TcpStream::from(OwnedFd::from(stream))) {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || shared.connection(connection));
                }
            }
        });
        origin
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Requests answered since it started (with `Raw`: connections).
    pub fn served(&self) -> usize {
        self.shared.served.load(Ordering::Relaxed)
    }

    /// Begins a new script: open connections are closed and what was received is forgotten.
    pub fn begin(&self, script: Script) {
        let mut state = lock(&self.shared.state);
        state.script = script;
        state.epoch += 1;
        state.connections = 0;
        state.seen.clear();
        state.faults.clear();
        state.refused.clear();
        for stream in state.open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    /// Exchanges the script and touches nothing else.
    pub fn set(&self, script: Script) {
        lock(&self.shared.state).script = script;
    }

    /// What it received since the script began. A request whose acts still run is the state of its last act.
    pub fn seen(&self) -> Vec<Request> {
        lock(&self.shared.state).seen.clone()
    }

    /// Connections accepted since the script began.
    pub fn connections(&self) -> usize {
        lock(&self.shared.state).connections
    }

    /// What HTTP/2 clients did against the rules, on connections that have ended or had a request.
    pub fn faults(&self) -> Vec<String> {
        lock(&self.shared.state).faults.clone()
    }

    /// Why TLS handshakes failed, in the order in which they did.
    pub fn refused(&self) -> Vec<String> {
        lock(&self.shared.state).refused.clone()
    }

    /// Waits until this many TLS handshakes have failed.
    ///
    /// # Errors
    /// Why those failed that did, at the deadline.
    pub fn wait_refused(&self, wanted: usize) -> Result<Vec<String>, Vec<String>> {
        self.wait(|s| s.refused.len() >= wanted).map(|s| s.refused.clone()).map_err(|s| s.refused.clone())
    }

    /// Waits until `wanted` accepts what was received.
    ///
    /// # Errors
    /// What was received, at the deadline.
    pub fn wait_seen(&self, wanted: impl Fn(&[Request]) -> bool) -> Result<Vec<Request>, Vec<Request>> {
        self.wait(|s| wanted(&s.seen)).map(|s| s.seen.clone()).map_err(|s| s.seen.clone())
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        lock(&self.shared.state).open.len()
    }

    /// Waits until this many connections are open.
    ///
    /// # Errors
    /// How many are, at the deadline.
    pub fn wait_open(&self, wanted: usize) -> Result<(), usize> {
        self.wait(|s| s.open.len() == wanted).map(drop).map_err(|s| s.open.len())
    }

    /// Waits until no connection is between the first byte of a request and the end of its acts.
    pub fn settle(&self) -> bool {
        self.wait(|s| s.busy == 0).is_ok()
    }

    fn wait(&self, wanted: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>, MutexGuard<'_, State>> {
        let end = Instant::now() + DEADLINE;
        let mut state = lock(&self.shared.state);
        loop {
            if wanted(&state) {
                return Ok(state);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(state);
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Dies: nothing listens any more, open connections are closed.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.accepting.take() {
            stop.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect(self.addr);
            let _ = thread.join();
        }
        for stream in lock(&self.shared.state).open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Comes back at the same address after [`Origin::stop`].
    ///
    /// # Panics
    /// When the address was taken meanwhile.
    pub fn resume(&mut self) {
        let listener = TcpListener::bind(self.addr).unwrap_or_else(|e| panic!("origin at {}: {e}", self.addr));
        self.addr = listener.local_addr().expect("a bound socket has a name");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&self.shared));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // Registered here and not on its own thread: a connection belongs to the script under which it was
                // accepted, however late its thread runs.
                if let Some(connection) = stream.ok().and_then(|s| shared.accept(s)) {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || shared.connection(connection));
                }
            }
        });
        self.accepting = Some((stop, thread));
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the acts of one request or connection decide about the connection.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Next,
    Close,
    Reset,
}

/// A connection and the script it came under.
struct Accepted {
    stream: TcpStream,
    key: usize,
    epoch: usize,
    number: usize,
    script: Script,
}

impl Shared {
    fn accept(&self, stream: TcpStream) -> Option<Accepted> {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(DEADLINE));
        let copy = stream.try_clone().ok()?;
        let mut state = lock(&self.state);
        let key = state.next_key;
        state.next_key += 1;
        state.open.insert(key, copy);
        state.connections += 1;
        let accepted =
            Accepted { stream, key, epoch: state.epoch, number: state.connections - 1, script: state.script.clone() };
        drop(state);
        self.changed.notify_all();
        Some(accepted)
    }

    fn connection(self: &Arc<Shared>, accepted: Accepted) {
        let Accepted { stream, key, epoch, number, script } = accepted;
        let from = Caller { epoch, connection: number, peer: stream.peer_addr().ok(), session: None };
        let then = match self.shake_hands(stream, from) {
            Some((wire, from)) => match script {
                Script::Raw(acts) => self.raw(wire, &from, &acts),
                Script::Http(_) | Script::With(_) => self.requests(wire, &from),
            },
            None => None,
        };
        lock(&self.state).open.remove(&key);
        if let Some((wire, Then::Reset)) = &then {
            linger_zero(wire.stream());
        }
        drop(then);
        self.changed.notify_all();
    }

    fn shake_hands(&self, stream: TcpStream, mut from: Caller) -> Option<(Wire, Caller)> {
        let Some(tls) = &self.tls else { return Some((Wire::new(stream), from)) };
        match tls.accept(stream) {
            Ok((stream, session)) => {
                from.session = Some(session);
                Some((Wire::new(stream), from))
            }
            Err(e) => {
                lock(&self.state).refused.push(e.to_string());
                self.changed.notify_all();
                None
            }
        }
    }

    fn raw(&self, mut wire: Wire, from: &Caller, acts: &[Act]) -> Option<(Wire, Then)> {
        self.served.fetch_add(1, Ordering::Relaxed);
        let slot = self.begin(from.epoch, from.request(Message::default()));
        let then = self.act(&mut wire, from.epoch, slot, acts);
        Some((wire, then))
    }

    /// Serves requests until the connection has ended; `None` when that was an HTTP/2 connection.
    fn requests(self: &Arc<Shared>, mut wire: Wire, from: &Caller) -> Option<(Wire, Then)> {
        loop {
            let Ok(Some(raw_head)) = wire.head(None) else { return Some((wire, Then::Close)) };
            if raw_head == b"PRI * HTTP/2.0\r\n\r\n" {
                self.streams(wire, from);
                return None;
            }
            let head = Head::parse(&raw_head);
            let message = Message { head, raw_head, ..Message::default() };
            let request = Request { eof: wire.ended().is_some(), ..from.request(message) };
            let then = self.request(&mut wire, from.epoch, request);
            if then != Then::Next {
                return Some((wire, then));
            }
        }
    }

    fn request(&self, side: &mut impl Side, epoch: usize, request: Request) -> Then {
        self.served.fetch_add(1, Ordering::Relaxed);
        if request.message.head.target().ends_with(FENCE) {
            return unrecorded(side, request);
        }
        let Some(slot) = self.begin(epoch, request.clone()) else { return Then::Close };
        let acts = self.script_for(&request, slot);
        self.act(side, epoch, Some(slot), &acts)
    }

    /// An HTTP/2 connection, to its end.
    fn streams(self: &Arc<Shared>, wire: Wire, from: &Caller) {
        let Ok(h2) = H2::server(wire, &self.h2) else { return };
        let mut threads = Vec::new();
        while let Some(id) = h2.accept() {
            // A stream is opened by its head, so this one waits for nothing.
            let Ok(Event::Head(fields)) = h2.event(id, None) else { continue };
            let (message, pseudo) = stream::message(&fields);
            let request = Request { pseudo, ..from.request(message) };
            self.note(&h2, from.epoch);
            let (shared, h2, epoch) = (Arc::clone(self), h2.clone(), from.epoch);
            threads.push(thread::spawn(move || {
                let mut stream = Stream::new(h2, id, request.message.head.method());
                shared.request(&mut stream, epoch, request);
            }));
        }
        self.note(&h2, from.epoch);
        drop(h2);
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// Keeps what the peer of a connection did wrong.
    fn note(&self, h2: &H2, epoch: usize) {
        let faults = h2.faults();
        let mut state = lock(&self.state);
        for fault in faults {
            if state.epoch == epoch && !state.faults.contains(&fault) {
                state.faults.push(fault);
            }
        }
    }

    /// Registers what a connection received; `None` when the script has changed since the connection began.
    fn begin(&self, epoch: usize, request: Request) -> Option<usize> {
        let mut state = lock(&self.state);
        if state.epoch != epoch {
            return None;
        }
        state.seen.push(request);
        state.busy += 1;
        let slot = state.seen.len() - 1;
        drop(state);
        self.changed.notify_all();
        Some(slot)
    }

    fn act(&self, side: &mut impl Side, epoch: usize, slot: Option<usize>, acts: &[Act]) -> Then {
        let Some(slot) = slot else { return Then::Close };
        let mut then = Then::Next;
        for act in acts {
            let mut request = {
                let state = lock(&self.state);
                if state.epoch != epoch { Request::default() } else { state.seen[slot].clone() }
            };
            then = side.step(act, &mut request);
            let mut state = lock(&self.state);
            if state.epoch == epoch {
                state.seen[slot] = request;
            }
            drop(state);
            self.changed.notify_all();
            if then != Then::Next {
                break;
            }
        }
        lock(&self.state).busy -= 1;
        self.changed.notify_all();
        if side.spent() && then == Then::Next { Then::Close } else { then }
    }

    fn script_for(&self, request: &Request, number: usize) -> Vec<Act> {
        let script = lock(&self.state).script.clone();
        match script {
            Script::Http(list) => list.get(number).or(list.last()).cloned().unwrap_or_default(),
            Script::With(f) => f(request, number),
            Script::Raw(acts) => acts,
        }
    }
}

fn unrecorded(side: &mut impl Side, mut request: Request) -> Then {
    let acts = [Act::Body, Act::Send(ok("fence"))];
    acts.iter().map(|act| side.step(act, &mut request)).find(|t| *t != Then::Next).unwrap_or(Then::Next)
}

/// Where requests come from.
#[derive(Clone)]
struct Caller {
    epoch: usize,
    connection: usize,
    peer: Option<SocketAddr>,
    session: Option<Session>,
}

impl Caller {
    fn request(&self, message: Message) -> Request {
        let session = self.session.clone();
        Request { connection: self.connection, peer: self.peer, message, session, ..Request::default() }
    }
}

/// What acts are done on.
trait Side {
    fn step(&mut self, act: &Act, request: &mut Request) -> Then;
    /// Whether nothing more can come.
    fn spent(&self) -> bool;
}

impl Side for Wire {
    fn step(&mut self, act: &Act, request: &mut Request) -> Then {
        let then = step(self, act, request);
        request.eof |= self.ended().is_some();
        then
    }

    fn spent(&self) -> bool {
        self.ended().is_some() && self.pending().is_empty()
    }
}

impl Side for Stream {
    fn step(&mut self, act: &Act, request: &mut Request) -> Then {
        Stream::step(self, act, request)
    }

    fn spent(&self) -> bool {
        self.ended()
    }
}

/// A target that ends in this is answered by every origin and recorded by none: a request that shows that everything
/// before it has been dealt with.
const FENCE: &str = "/__fence";

fn step(wire: &mut Wire, act: &Act, request: &mut Request) -> Then {
    match act {
        Act::Body => {
            let framing = Body::of_request(&request.message.head);
            let _ = wire.body(framing, &mut request.message, None);
        }
        Act::Send(bytes) => {
            if wire.stream().write_all(bytes).is_err() {
                return Then::Close;
            }
        }
        Act::SendMany(n) => {
            if pattern(*n, |block| wire.stream().write_all(block)).is_err() {
                return Then::Close;
            }
        }
        Act::Await(mark) => match wire.until(mark, None) {
            Ok(Some(bytes)) => request.raw.extend_from_slice(&bytes),
            _ => {
                let rest = wire.take(usize::MAX);
                request.raw.extend_from_slice(&rest);
                return Then::Close;
            }
        },
        Act::DrainToEof => {
            if let Ok(bytes) = wire.rest(None) {
                request.raw.extend_from_slice(&bytes);
            }
        }
        Act::Echo => loop {
            let bytes = wire.take(usize::MAX);
            request.raw.extend_from_slice(&bytes);
            if wire.stream().write_all(&bytes).is_err() || !wire.fill(None).unwrap_or(false) {
                break;
            }
        },
        Act::Wait(gate) => gate.wait(),
        Act::HalfClose => {
            let _ = wire.stream().shutdown(Shutdown::Write);
        }
        Act::GoAway(_) | Act::Frame(_) => {}
        Act::Close => return Then::Close,
        Act::Reset | Act::Rst(_) | Act::Cut => return Then::Reset,
    }
    Then::Next
}

/// Hands out `n` bytes of the repeating pattern in pieces.
fn pattern<E>(n: usize, mut to: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let block: Vec<u8> = (0..65_536u32).map(|i| (i % 251) as u8).collect();
    let mut left = n;
    while left > 0 {
        let part = left.min(block.len());
        to(&block[..part])?;
        left -= part;
    }
    Ok(())
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "origin/tests.rs"]
mod tests;
