//! State of frontends and of the process that survives a reload.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::task::Waker;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use evenkeel_acl::{Now, ProcVars, StartVars};
use evenkeel_config::Config;
use evenkeel_stats::{Counter, FrontendSheet, Gauge, Sharded};
use parking_lot::Mutex;

use crate::around::hostname;
use crate::decision::Decisions;
use crate::end::End;
use crate::exporter::Exporter;

/// One frontend's lasting state; a frontend is its name.
#[derive(Debug)]
pub struct FrontendState {
    /// Its name.
    pub name: Arc<str>,
    /// Connections at once, with their maximum.
    pub sessions: Gauge,
    /// Counted by the workers.
    pub sheet: Sharded<FrontendSheet>,
    /// What went wrong, by where; written by the workers.
    pub failures: Sharded<Failures>,
}

/// Every frontend this process knows, by name. Written at a reload only.
#[derive(Debug)]
pub struct Frontends {
    workers: usize,
    known: Mutex<HashMap<Arc<str>, Arc<FrontendState>>>,
}

impl Frontends {
    /// For `workers` counting threads.
    pub fn new(workers: usize) -> Frontends {
        Frontends { workers, known: Mutex::default() }
    }

    /// The state of a frontend, made when it is new.
    pub fn get(&self, name: &Arc<str>) -> Arc<FrontendState> {
        let make = || {
            Arc::new(FrontendState {
                name: name.clone(),
                sessions: Gauge::default(),
                sheet: Sharded::new(self.workers),
                failures: Sharded::new(self.workers),
            })
        };
        self.known.lock().entry(name.clone()).or_insert_with(make).clone()
    }

    /// Forgets those that a committed configuration no longer has.
    pub fn retain(&self, config: &Config) {
        let kept: std::collections::HashSet<&Arc<str>> = config.frontends.iter().map(|f| &f.name).collect();
        self.known.lock().retain(|name, _| kept.contains(name));
    }
}

/// What all workers share.
#[derive(Debug)]
pub struct Process {
    /// When it started.
    pub started: Instant,
    /// Seconds since 1970 of the start: the first part of request ids.
    pub stamp: u64,
    /// Client connections at once over all frontends (`maxconn`).
    pub connections: Gauge,
    /// Their limit.
    pub maxconn: AtomicU32,
    /// Where accept loops wait for room.
    pub gate: Gate,
    /// Transactions and connections by how they ended, one cell per [`End`], sharded by worker.
    pub ends: Sharded<Ends>,
    /// What is remembered of past transactions, by worker.
    pub decisions: Sharded<Decisions>,
    /// Variables of scope `proc`.
    pub vars: ProcVars,
    /// Where metrics are asked for (`use-service prometheus-exporter`).
    pub exporter: Exporter,
    /// Client connections with TLS (`maxsslconn`).
    pub tls: Gauge,
    /// TLS handshakes begun in the present second, which is in the upper half (`maxsslrate`).
    tls_begun: AtomicU64,
    /// Set by a soft stop: idle connections close, running ones end with `Connection: close`.
    draining: AtomicBool,
}

impl Process {
    /// For `workers` counting threads.
    pub fn new(workers: usize, maxconn: u32) -> Process {
        Process {
            started: Instant::now(),
            stamp: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            connections: Gauge::default(),
            maxconn: AtomicU32::new(maxconn),
            gate: Gate::default(),
            ends: Sharded::new(workers),
            decisions: Sharded::new(workers),
            vars: ProcVars::default(),
            exporter: Exporter::default(),
            tls: Gauge::default(),
            tls_begun: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        }
    }

    /// Milliseconds since the start: the clock of stick tables.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sets the variables of the file, but for those that `earlier` set already.
    pub fn set_vars(&self, wanted: &StartVars, earlier: Option<&StartVars>) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Now { mono_ms: self.now_ms(), unix_us: i64::try_from(unix.as_micros()).unwrap_or(i64::MAX) };
        // A line without a value was warned of when the file was loaded.
        wanted.apply(earlier, now, hostname(), &self.vars);
    }

    /// Counts a TLS handshake that begins at `now_ms`; `false` when this second has had its `limit` (0: no limit).
    pub(crate) fn tls_rate_allows(&self, limit: u32, now_ms: u64) -> bool {
        let second = (now_ms / 1000) << 32;
        limit == 0
            || self
                .tls_begun
                .fetch_update(SeqCst, SeqCst, |seen| match (seen >> 32 << 32 == second, seen & 0xffff_ffff) {
                    (false, _) => Some(second | 1),
                    (true, begun) if begun < u64::from(limit) => Some(seen + 1),
                    (true, _) => None,
                })
                .is_ok()
    }

    /// Begins a soft stop.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
    }

    /// Whether a soft stop has begun.
    #[inline]
    pub fn is_draining(&self) -> bool {
        self.draining.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Ends counted by kind.
#[derive(Debug)]
pub struct Ends([Counter; End::COUNT]);

impl Default for Ends {
    fn default() -> Ends {
        Ends(std::array::from_fn(|_| Counter::default()))
    }
}

impl Ends {
    /// Counts one end.
    #[inline]
    pub fn record(&self, end: End) {
        self.0[end as usize].inc();
    }

    /// The cell of one end.
    pub fn of(&self, end: End) -> &Counter {
        &self.0[end as usize]
    }
}

/// Failures of one frontend by where they happened. Written by one worker, and only when something failed; read by the
/// operator's doors.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<Failure, u64>>);

/// What failed where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// How it ended.
    pub end: End,
    /// The backend, once one was chosen.
    pub backend: Option<Arc<str>>,
    /// The server, once one was chosen.
    pub server: Option<Arc<str>>,
}

impl Failures {
    /// Places told apart for one frontend and worker; failures beyond are counted without their place.
    pub const PLACES: usize = 512;

    /// Counts one failure.
    pub fn record(&self, failure: Failure) {
        let mut counts = self.0.lock();
        let known = counts.len() < Failures::PLACES || counts.contains_key(&failure);
        let failure = if known { failure } else { Failure { backend: None, server: None, ..failure } };
        *counts.entry(failure).or_insert(0) += 1;
    }

    /// Calls `visit` with each failure and its count.
    pub fn each(&self, mut visit: impl FnMut(&Failure, u64)) {
        self.0.lock().iter().for_each(|(failure, n)| visit(failure, *n));
    }
}

/// Accept loops that found a limit reached wait here until a connection ends somewhere.
#[derive(Debug, Default)]
pub struct Gate {
    waiting: AtomicU32,
    wakers: Mutex<Vec<Waker>>,
}

impl Gate {
    /// Joins; the caller must look at its limits once more before it sleeps.
    pub fn wait(&self, waker: &Waker) {
        let mut wakers = self.wakers.lock();
        if !wakers.iter().any(|w| w.will_wake(waker)) {
            wakers.push(waker.clone());
            self.waiting.fetch_add(1, SeqCst);
        }
    }

    /// Wakes all who wait; costs one load when nobody does.
    #[inline]
    pub fn open(&self) {
        if self.waiting.load(SeqCst) != 0 {
            let mut wakers = self.wakers.lock();
            self.waiting.store(0, SeqCst);
            wakers.drain(..).for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn an_open_gate_wakes_each_waiter_once() {
        let gate = Gate::default();
        let counts: Vec<Arc<Count>> = (0..3).map(|_| Arc::default()).collect();
        let wakers: Vec<Waker> = counts.iter().map(|c| Waker::from(c.clone())).collect();
        let woken = || counts.iter().map(|c| c.0.load(SeqCst)).collect::<Vec<_>>();
        gate.open();
        for waker in wakers.iter().chain(&wakers) {
            gate.wait(waker);
        }
        assert_eq!(gate.waiting.load(SeqCst), 3, "who waits already is not counted again");
        gate.open();
        gate.open();
        assert_eq!(woken(), [1, 1, 1]);
        gate.wait(&wakers[1]);
        gate.open();
        assert_eq!(woken(), [1, 2, 1]);
    }

    /// The protocol of an accept loop: join, look once more, sleep. Threads that leave open the gate after they left.
    #[test]
    fn nobody_sleeps_while_there_is_room() {
        struct Unpark(std::thread::Thread, AtomicBool);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.1.store(true, SeqCst);
                self.0.unpark();
            }
        }
        let (gate, gauge) = (Gate::default(), Gauge::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        while !gauge.try_enter(2) {
                            let flag = Arc::new(Unpark(std::thread::current(), AtomicBool::new(false)));
                            gate.wait(&Waker::from(flag.clone()));
                            if gauge.try_enter(2) {
                                break;
                            }
                            // A wake-up that is lost ends as a test that does not end.
                            while !flag.1.load(SeqCst) {
                                std::thread::park();
                            }
                        }
                        gauge.leave();
                        gate.open();
                    }
                });
            }
        });
        assert_eq!(gauge.now(), 0);
        assert!(gauge.max() <= 2);
    }

    #[test]
    fn a_frontend_is_its_name_until_the_file_drops_it() {
        let load = |names: &[&str]| {
            let lines: Vec<String> = names
                .iter()
                .map(|n| format!("[listen.{n}]\nbind = [\"127.0.0.1:0\"]\nserver = [\"127.0.0.1:1\"]\n"))
                .collect();
            evenkeel_config::config_from_str(&lines.concat()).unwrap_or_else(|rendered| panic!("{rendered}"))
        };
        let frontends = Frontends::new(1);
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let (first, other) = (frontends.get(&a), frontends.get(&b));
        assert!(!Arc::ptr_eq(&first, &other));
        frontends.retain(&load(&["a"]));
        assert!(Arc::ptr_eq(&frontends.get(&a), &first));
        assert!(!Arc::ptr_eq(&frontends.get(&b), &other), "a frontend that came back begins anew");
    }

    #[test]
    fn failures_keep_their_place_up_to_a_bound() {
        let failures = Failures::default();
        let at = |n: usize| Failure { end: End::ConnectRefused, backend: Some(format!("b{n}").into()), server: None };
        for n in 0..Failures::PLACES + 100 {
            failures.record(at(n));
        }
        failures.record(at(3));
        let (mut all, mut places, mut nowhere) = (0, 0, 0);
        failures.each(|failure, n| {
            all += n;
            places += 1;
            nowhere += if failure.backend.is_none() { n } else { 0 };
        });
        assert_eq!((all, places, nowhere), (Failures::PLACES as u64 + 101, Failures::PLACES + 1, 100));
        failures.each(|failure, n| assert!(*failure != at(3) || n == 2, "a place that is known counts on"));
    }

    #[test]
    fn ends_are_counted_by_kind() {
        let process = Process::new(2, 10);
        for (n, entry) in End::all().enumerate() {
            (0..n).for_each(|_| process.ends.shard(n % 2).record(entry.end));
        }
        for (n, entry) in End::all().enumerate() {
            assert_eq!(process.ends.sum(|e| e.of(entry.end)), n as u64, "{}", entry.label);
        }
        assert!(!process.is_draining());
        process.drain();
        assert!(process.is_draining());
    }
}
