//! Steady load for tests that change something underneath: keep-alive clients on threads that count every failure.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::{Ask, Call, Client, DEADLINE, Proto, Response, Via};

/// Clients that ask one request after the other until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<(AtomicUsize, Mutex<()>, Condvar)>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

/// What a load saw.
#[derive(Debug)]
pub struct Tally {
    /// Requests answered with 200.
    pub good: usize,
    /// What went wrong, one sentence each.
    pub failures: Vec<String>,
}

impl Load {
    /// Starts `clients` clients that GET `path` over HTTP/1.1 in clear. A response that announces its close is followed by a new
    /// connection, as any client does.
    pub fn start(addr: SocketAddr, path: &str, clients: usize) -> Load {
        Load::start_via(addr, &Via::clear(Proto::H1), path, clients)
    }

    /// The same in another way. Over HTTP/2 each client keeps several requests under way; one that a GOAWAY or REFUSED_STREAM
    /// says was not dealt with is sent again on a new connection.
    pub fn start_via(addr: SocketAddr, via: &Via, path: &str, clients: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new((AtomicUsize::new(0), Mutex::new(()), Condvar::new()));
        let ask = Ask::get(path).host("load");
        let threads = (0..clients)
            .map(|_| {
                let (stop, done, ask, via) = (Arc::clone(&stop), Arc::clone(&done), ask.clone(), via.clone());
                thread::spawn(move || one_client(addr, &via, &ask, &stop, &done))
            })
            .collect();
        Load { stop, done, threads }
    }

    /// Requests answered with 200 so far.
    pub fn good(&self) -> usize {
        self.done.0.load(Ordering::Relaxed)
    }

    /// Waits for this many further good answers.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait_more(&self, n: usize) {
        let target = self.good() + n;
        let end = Instant::now() + DEADLINE;
        let mut guard = self.done.1.lock().unwrap_or_else(PoisonError::into_inner);
        while self.good() < target {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "only {} of {target} answers within {DEADLINE:?}", self.good());
            guard = self.done.2.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Stops the clients and says what they saw.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        let failures =
            self.threads.into_iter().flat_map(|t| t.join().unwrap_or_else(|_| vec!["a client panicked".to_owned()]));
        Tally { failures: failures.collect(), good: self.done.0.load(Ordering::Relaxed) }
    }
}

/// Failures after which a client gives up: they will all be the same.
const ENOUGH: usize = 20;

/// Requests that an HTTP/2 client keeps under way.
const STREAMS: usize = 4;

fn one_client(
    addr: SocketAddr,
    via: &Via,
    ask: &Ask,
    stop: &AtomicBool,
    done: &(AtomicUsize, Mutex<()>, Condvar),
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut client: Option<Client> = None;
    let at_once = if via.proto == Proto::H2 { STREAMS } else { 1 };
    while !stop.load(Ordering::SeqCst) && failures.len() < ENOUGH {
        let mut c = match client.take().map_or_else(|| Client::connect(addr, via), Ok) {
            Ok(c) => c,
            Err(e) => {
                failures.push(format!("connect: {e}"));
                continue;
            }
        };
        let mut keep = true;
        let mut calls = Vec::new();
        for _ in 0..at_once {
            match c.begin(ask) {
                Ok(call) => calls.push(call),
                // Nothing was sent after a GOAWAY.
                Err(_) if at_once > 1 && c.h2().goaway().is_some() => keep = false,
                Err(e) => failures.push(format!("request: {e}")),
            }
        }
        for call in calls {
            match outcome(call) {
                Ok(Some(response)) => {
                    done.0.fetch_add(1, Ordering::Relaxed);
                    let _guard = done.1.lock();
                    done.2.notify_all();
                    keep &= !response.get("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
                }
                Ok(None) => keep = false,
                Err(failure) => {
                    failures.push(failure);
                    keep = false;
                }
            }
        }
        if keep {
            client = Some(c);
        }
    }
    failures
}

/// A good response; `None` for a request that may be sent again.
fn outcome(mut call: Call) -> Result<Option<Response>, String> {
    call.drain().map_err(|e| format!("no response: {e}"))?;
    let refused = call.refused();
    let response = call.finish().map_err(|e| format!("no response: {e}"))?;
    match response.status {
        200 if response.complete => Ok(Some(response)),
        0 if refused => Ok(None),
        status => Err(format!("{status} (complete: {}, reset: {:?})", response.complete, response.reset)),
    }
}
