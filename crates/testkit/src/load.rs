//! Steady load for tests that change something underneath: keep-alive clients on threads that count every failure.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::{DEADLINE, RawClient};

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
    /// Starts `clients` clients that GET `path`. A response that announces its close is followed by a new connection, as
    /// any client does.
    pub fn start(addr: SocketAddr, path: &str, clients: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new((AtomicUsize::new(0), Mutex::new(()), Condvar::new()));
        let request = format!("GET {path} HTTP/1.1\r\nHost: load\r\n\r\n");
        let threads = (0..clients)
            .map(|_| {
                let (stop, done, request) = (Arc::clone(&stop), Arc::clone(&done), request.clone());
                thread::spawn(move || one_client(addr, &request, &stop, &done))
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

fn one_client(
    addr: SocketAddr,
    request: &str,
    stop: &AtomicBool,
    done: &(AtomicUsize, Mutex<()>, Condvar),
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut client: Option<RawClient> = None;
    while !stop.load(Ordering::SeqCst) && failures.len() < ENOUGH {
        let mut c = match client.take().map_or_else(|| RawClient::connect(addr), Ok) {
            Ok(c) => c,
            Err(e) => {
                failures.push(format!("connect: {e}"));
                continue;
            }
        };
        match c.ask(request) {
            Ok(m) if m.status() == 200 && m.complete => {
                done.0.fetch_add(1, Ordering::Relaxed);
                let _guard = done.1.lock();
                done.2.notify_all();
                let closes = m.head.get("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
                if !closes {
                    client = Some(c);
                }
            }
            Ok(m) => failures.push(format!("{} (complete: {})", m.head.start, m.complete)),
            Err(e) => failures.push(format!("no response: {e}")),
        }
    }
    failures
}
