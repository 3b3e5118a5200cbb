//! State of servers and backends that survives a reload.
//!
//! A server *is* (backend name, server name): weight, limits and checks may change around it. Fields are grouped by who
//! writes them: workers move the gauges and their own sheet, the control thread writes health and admin state.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use evenkeel_health::{CheckStatus, Machine, Report};
use evenkeel_stats::{Gauge, Level, Sharded, TrafficSheet};
use parking_lot::Mutex;

use crate::queue::{self, Queue};

/// What the operator wants of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Admin {
    /// Takes traffic when healthy.
    Ready = 0,
    /// Takes no new traffic; what it has goes on.
    Drain = 1,
    /// Takes no traffic and is not checked.
    Maint = 2,
}

/// One server's lasting state.
#[derive(Debug)]
pub struct Server {
    /// Backend it belongs to.
    pub backend: Arc<BackendState>,
    /// Its name.
    pub name: Arc<str>,
    /// Process-wide number, free again when the server is dropped: the key of the workers' pools.
    pub index: usize,
    indexes: Arc<Indexes>,
    /// Requests or connections in flight, with their maximum.
    pub sessions: Gauge,
    /// Idle connections to it, one level per worker.
    pub idle: Sharded<Level>,
    /// Those that wait for this very server.
    pub(crate) queue: Queue,
    /// Counted by the workers.
    pub sheet: Sharded<TrafficSheet>,
    /// Seconds since process start of the last session, plus one; 0 = none yet.
    pub last_session: AtomicU64,
    /// Concurrency limit in force, 0 = none; written at a reload. This, `up` and `admin` are sequentially consistent as the
    /// gauge is: "I left and it was down" and "it came up and was full" must not both be seen.
    maxconn: AtomicU32,
    /// Raised when address or source change: pooled connections of an older epoch are not used again.
    epoch: AtomicU32,
    /// Raised when its open connections are to be closed.
    cut: AtomicBool,
    up: AtomicBool,
    admin: AtomicU8,
    /// Whether it takes those who wait for any server: usable, with a weight, and no backup that is not needed.
    serves: AtomicBool,
    check: Mutex<CheckState>,
}

/// What health checking knows of a server.
#[derive(Clone, Debug)]
pub struct CheckState {
    /// Rise/fall machine; `None` without a check.
    pub machine: Option<Machine>,
    /// Last result, and when it was had.
    pub last: Option<(Report, Instant)>,
    /// Last result that was a failure.
    pub last_failure: Option<(Report, Instant)>,
    /// Whether a check runs at this moment.
    pub running: bool,
    /// Failed checks (`chkfail`).
    pub failures: u64,
    /// Transitions to down (`chkdown`).
    pub downs: u64,
    /// When the state last changed (`lastchg`).
    pub changed: Instant,
    /// Time spent down before the present state (`downtime`).
    pub downtime: Duration,
}

impl Server {
    pub(crate) fn new(backend: Arc<BackendState>, name: Arc<str>, indexes: Arc<Indexes>, workers: usize) -> Server {
        Server {
            backend,
            name,
            index: indexes.take(),
            indexes,
            sessions: Gauge::default(),
            idle: Sharded::new(workers),
            queue: Queue::default(),
            sheet: Sharded::new(workers),
            last_session: AtomicU64::new(0),
            maxconn: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            cut: AtomicBool::new(false),
            up: AtomicBool::new(true),
            admin: AtomicU8::new(Admin::Ready as u8),
            serves: AtomicBool::new(false),
            check: Mutex::new(CheckState {
                machine: None,
                last: None,
                last_failure: None,
                running: false,
                failures: 0,
                downs: 0,
                changed: Instant::now(),
                downtime: Duration::ZERO,
            }),
        }
    }

    /// Whether checks (or their absence) say it is well.
    #[inline]
    pub fn is_up(&self) -> bool {
        self.up.load(SeqCst)
    }

    /// What the operator wants.
    #[inline]
    pub fn admin(&self) -> Admin {
        match self.admin.load(SeqCst) {
            0 => Admin::Ready,
            1 => Admin::Drain,
            _ => Admin::Maint,
        }
    }

    /// Whether new traffic may go there.
    #[inline]
    pub fn is_usable(&self) -> bool {
        self.is_up() && self.admin() == Admin::Ready
    }

    /// Whether it takes requests that wait for any server of its backend.
    #[inline]
    pub(crate) fn serves_backend(&self) -> bool {
        self.serves.load(SeqCst)
    }

    /// Sets what the operator wants and tells the workers. Who waits for this very server chooses again when it leaves.
    pub fn set_admin(&self, admin: Admin) {
        if self.admin.swap(admin as u8, SeqCst) != admin as u8 {
            self.check.lock().changed = Instant::now();
            if admin != Admin::Ready {
                self.queue.wake_all_to_retry();
            }
            self.backend.changed();
        }
    }

    /// Sets up or down after a check and tells the workers. Keeps downtime.
    pub(crate) fn set_up(&self, up: bool) {
        if self.up.swap(up, SeqCst) == up {
            return;
        }
        {
            let mut check = self.check.lock();
            let now = Instant::now();
            if up {
                let spent = now - check.changed;
                check.downtime += spent;
            } else {
                check.downs += 1;
            }
            check.changed = now;
        }
        if !up {
            self.queue.wake_all_to_retry();
        }
        self.backend.changed();
    }

    /// The concurrency limit in force; 0 = none.
    #[inline]
    pub fn maxconn(&self) -> u32 {
        self.maxconn.load(SeqCst)
    }

    pub(crate) fn set_maxconn(&self, maxconn: u32) {
        self.maxconn.store(maxconn, SeqCst);
    }

    /// Number that pooled connections carry; an older one is stale.
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Relaxed)
    }

    pub(crate) fn next_epoch(&self) {
        self.epoch.fetch_add(1, SeqCst);
    }

    /// Asks every connection of this server to close (`on-remove = "close"`).
    pub fn cut(&self) {
        self.cut.store(true, SeqCst);
    }

    /// Whether [`Server::cut`] was called.
    #[inline]
    pub fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    /// A copy of the check state, for the operator.
    pub fn check(&self) -> CheckState {
        self.check.lock().clone()
    }

    pub(crate) fn with_check<R>(&self, f: impl FnOnce(&mut CheckState) -> R) -> R {
        f(&mut self.check.lock())
    }

    /// Requests waiting for this very server.
    pub fn queued(&self) -> u32 {
        self.queue.len()
    }

    /// The most that ever waited for it at once.
    pub fn queued_max(&self) -> u32 {
        self.queue.max()
    }

    /// HAProxy's status word: `UP`, `DOWN 1/2`, `no check`, `MAINT`, `DRAIN`.
    pub fn status(&self) -> String {
        match self.admin() {
            Admin::Maint => return "MAINT".into(),
            Admin::Drain => return "DRAIN".into(),
            Admin::Ready => {}
        }
        let check = self.check.lock();
        let Some(machine) = &check.machine else { return "no check".into() };
        let word = if machine.is_up() { "UP" } else { "DOWN" };
        match machine.health() {
            (now, of) if now != 0 && now != of => format!("{word} {now}/{of}"),
            _ => word.into(),
        }
    }

    /// Code of the last check, `UNK` before the first.
    pub fn check_status(&self) -> Option<CheckStatus> {
        let check = self.check.lock();
        check.machine.as_ref().map(|_| check.last.as_ref().map_or(CheckStatus::Ini, |(r, _)| r.status))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.indexes.give_back(self.index);
    }
}

/// Hands out small numbers and takes them back, so that tables by number stay as small as the configuration.
#[derive(Debug, Default)]
pub(crate) struct Indexes(Mutex<(usize, Vec<usize>)>);

impl Indexes {
    fn take(&self) -> usize {
        let (next, free) = &mut *self.0.lock();
        free.pop().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        })
    }

    fn give_back(&self, index: usize) {
        self.0.lock().1.push(index);
    }
}

/// One backend's lasting state.
#[derive(Debug)]
pub struct BackendState {
    /// Its name.
    pub name: Arc<str>,
    /// Requests or connections in it, with their maximum.
    pub sessions: Gauge,
    /// Counted by the workers.
    pub sheet: Sharded<TrafficSheet>,
    /// Those that wait for any server.
    pub(crate) queue: Queue,
    /// Seconds since process start of the last session, plus one; 0 = none yet.
    pub last_session: AtomicU64,
    /// Raised whenever a server's usability, weight or limit changes; workers compare it at each pick.
    version: AtomicU64,
    /// The servers in force; written at a reload.
    roster: Mutex<Roster>,
    availability: Mutex<Availability>,
}

/// The servers of a backend, as far as its queue needs to know them.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    pub(crate) allbackups: bool,
    pub(crate) servers: Vec<Listed>,
}

/// A server of a [`Roster`]; the server holds its backend, so the backend must not hold the server.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) server: Weak<Server>,
    pub(crate) weighs: bool,
    pub(crate) backup: bool,
}

impl Roster {
    /// Decides anew who takes those who wait for any server: the active servers, else the backups. Returns who is new to it.
    fn appoint(&self) -> Vec<Arc<Server>> {
        let alive = || self.servers.iter().filter_map(|l| l.server.upgrade().map(|s| (l, s)));
        let fit = |l: &Listed, s: &Server| l.weighs && s.is_usable();
        let active = alive().any(|(l, s)| !l.backup && fit(l, &s));
        let mut first_backup = true;
        let mut fresh = Vec::new();
        for (listed, server) in alive() {
            let called = match listed.backup {
                false => true,
                true => !active && (self.allbackups || first_backup),
            };
            let serves = called && fit(listed, &server);
            first_backup &= !(listed.backup && serves);
            if serves && !server.serves.swap(serves, SeqCst) {
                fresh.push(server);
            } else {
                server.serves.store(serves, SeqCst);
            }
        }
        fresh
    }
}

#[derive(Debug)]
struct Availability {
    down_since: Option<Instant>,
    changed: Instant,
    downs: u64,
    downtime: Duration,
}

impl BackendState {
    pub(crate) fn new(name: Arc<str>, workers: usize) -> BackendState {
        BackendState {
            name,
            sessions: Gauge::default(),
            sheet: Sharded::new(workers),
            queue: Queue::default(),
            last_session: AtomicU64::new(0),
            version: AtomicU64::new(1),
            roster: Mutex::default(),
            availability: Mutex::new(Availability {
                down_since: None,
                changed: Instant::now(),
                downs: 0,
                downtime: Duration::ZERO,
            }),
        }
    }

    /// Makes these the servers in force.
    pub(crate) fn enlist(&self, roster: Roster) {
        let before = std::mem::replace(&mut *self.roster.lock(), roster);
        // Who left still serves the transactions that began with it, but takes no one from the queue any more.
        before.servers.iter().filter_map(|l| l.server.upgrade()).for_each(|s| s.serves.store(false, SeqCst));
        self.changed();
    }

    /// Tells the workers to look at the servers again.
    pub fn changed(&self) {
        let appointed = self.roster.lock().appoint();
        self.version.fetch_add(1, SeqCst);
        // Those who wait for any server are now this one's too.
        appointed.iter().for_each(queue::fill);
    }

    /// See [`BackendState::changed`].
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }

    /// Requests waiting for any of its servers.
    pub fn queued(&self) -> u32 {
        self.queue.len()
    }

    /// The most that ever waited at once.
    pub fn queued_max(&self) -> u32 {
        self.queue.max()
    }

    /// Records whether any server is usable; returns `true` when that changed.
    pub(crate) fn set_available(&self, available: bool) -> bool {
        let mut a = self.availability.lock();
        if a.down_since.is_none() == available {
            return false;
        }
        let now = Instant::now();
        match a.down_since.take() {
            Some(since) => a.downtime += now - since,
            None => {
                a.down_since = Some(now);
                a.downs += 1;
            }
        }
        a.changed = now;
        true
    }

    /// `(up, time since the last change, times it went down, time spent down)`.
    pub fn availability(&self) -> (bool, Duration, u64, Duration) {
        let a = self.availability.lock();
        let down_now = a.down_since.map_or(Duration::ZERO, |t| t.elapsed());
        (a.down_since.is_none(), a.changed.elapsed(), a.downs, a.downtime + down_now)
    }
}
