//! A worker: one thread, one runtime, its own listeners, pools, counters and buffers. Nothing in it is shared or locked.
//!
//! The control thread steers it by [`Command`]s. It takes a new snapshot with one atomic load at the next request; what is
//! under way keeps the snapshot it began with.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::thread::JoinHandle;

use arc_swap::{ArcSwap, Cache};
use evenkeel_acl::{Buffers, Wishes};
use evenkeel_backend::{Chooser, Group, Pools};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::bufs::Stock;
use crate::clock;
use crate::listener::{self, Listening};
use crate::log::{Dates, Logs};
use crate::snapshot::Snapshot;
use crate::state::{FrontendState, Process};
use crate::throttle::Throttle;

/// What all workers get.
#[derive(Debug)]
pub struct Shared {
    /// The configuration in force.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Process-wide counters and limits.
    pub process: Arc<Process>,
    /// Access logs.
    pub logs: Arc<Logs>,
}

/// An order of the control thread.
#[derive(Debug)]
pub enum Command {
    /// Accept connections on this listening socket.
    Open(Socket),
    /// Take what waits in the accept queue of this socket, then close it; the snapshot is the last that knew its frontend.
    Close(u64, Arc<Snapshot>),
    /// A new snapshot was stored: let go of the old one.
    Refresh,
    /// Look at drain flags and cut servers now.
    Look,
    /// Soft stop: close listeners and idle connections, leave when the last connection ends.
    Drain,
}

/// A listening socket for one worker.
#[derive(Debug)]
pub struct Socket {
    /// Number that [`Command::Close`] names.
    pub id: u64,
    /// The descriptor, listening and non-blocking.
    pub fd: OwnedFd,
    /// The frontend it belongs to.
    pub frontend: Arc<FrontendState>,
    /// Settings.
    pub bind: Arc<listener::BindState>,
}

/// The control thread's hold on a worker.
#[derive(Debug)]
pub struct Handle {
    commands: UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Gives an order; one to a worker that has left is void.
    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Whether the worker has left.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts worker number `id`.
///
/// # Errors
/// The operating system's, when no thread or no reactor can be made.
pub fn spawn(id: usize, shared: Arc<Shared>) -> io::Result<Handle> {
    let (commands, orders) = unbounded_channel();
    // The runtime must be built on the thread that runs it; the start is over when the caller knows that it stands.
    let (report, built) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("worker-{id}")).spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_unpark(clock::stale)
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                let _ = report.send(Ok(()));
                runtime.block_on(Worker::new(id, &shared).run(orders));
            }
            Err(e) => drop(report.send(Err(e))),
        }
    })?;
    built.recv().unwrap_or_else(|_| Err(io::Error::other("the worker thread ended at once")))?;
    Ok(Handle { commands, thread })
}

/// One worker's state.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) process: Arc<Process>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) dates: RefCell<Dates>,
    pub(crate) pools: Pools,
    pub(crate) stock: Stock,
    pub(crate) sleepers: Sleepers,
    /// Transactions so far: part of the id of each.
    pub(crate) serial: Cell<u64>,
    /// Where rules compute.
    pub(crate) buffers: Buffers,
    snapshots: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    local: RefCell<Rc<Local>>,
    /// What was in force before, from the first request under a new snapshot until the control thread's word about it came:
    /// meanwhile a listener whose frontend is gone is still open.
    previous: RefCell<Option<Rc<Local>>>,
    connections: Cell<usize>,
    emptied: Notify,
}

/// A snapshot with this worker's balancing state.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) snapshot: Arc<Snapshot>,
    /// By group; made at the first pick, handed on over reloads while the servers stay the same.
    choosers: Vec<OnceCell<Rc<RefCell<Chooser>>>>,
    seed: u64,
}

impl Local {
    fn new(snapshot: Arc<Snapshot>, before: Option<&Local>, seed: u64) -> Local {
        let choosers: Vec<OnceCell<_>> = snapshot.groups.iter().map(|_| OnceCell::new()).collect();
        if let Some(before) = before {
            let known: HashMap<&str, usize> =
                before.snapshot.groups.iter().enumerate().map(|(at, g)| (g.conf.name.as_ref(), at)).collect();
            for (group, cell) in snapshot.groups.iter().zip(&choosers) {
                let Some(&at) = known.get(group.conf.name.as_ref()) else { continue };
                if let Some(chooser) = before.choosers[at].get()
                    && same_servers(&before.snapshot.groups[at], group)
                {
                    let _ = cell.set(chooser.clone());
                }
            }
        }
        Local { snapshot, choosers, seed }
    }

    /// This worker's balancing state of a group.
    #[inline]
    pub(crate) fn chooser(&self, group: usize) -> &RefCell<Chooser> {
        self.choosers[group]
            .get_or_init(|| Rc::new(RefCell::new(Chooser::new(&self.snapshot.groups[group], self.seed))))
    }
}

fn same_servers(a: &Group, b: &Group) -> bool {
    a.conf.balance == b.conf.balance
        && a.conf.option.allbackups == b.conf.option.allbackups
        && a.slots.len() == b.slots.len()
        && a.slots
            .iter()
            .zip(&b.slots)
            .all(|(a, b)| Arc::ptr_eq(&a.server, &b.server) && a.conf.backup == b.conf.backup)
}

/// Wakers of tasks that sleep without a deadline of their own business: idle connections and tunnels.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<u32>>,
}

/// A place among the sleepers, left when dropped.
#[derive(Debug)]
pub(crate) struct Asleep<'w> {
    sleepers: &'w Sleepers,
    at: u32,
}

impl Sleepers {
    pub(crate) fn enter(&self, waker: &Waker) -> Asleep<'_> {
        let mut wakers = self.wakers.borrow_mut();
        let at = match self.free.borrow_mut().pop() {
            Some(at) => at,
            None => {
                wakers.push(None);
                wakers.len() as u32 - 1
            }
        };
        wakers[at as usize] = Some(waker.clone());
        Asleep { sleepers: self, at }
    }

    pub(crate) fn wake_all(&self) {
        // Waking only queues the tasks, so nobody enters or leaves while this borrows.
        self.wakers.borrow().iter().flatten().for_each(Waker::wake_by_ref);
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.sleepers.wakers.borrow_mut()[self.at as usize] = None;
        self.sleepers.free.borrow_mut().push(self.at);
    }
}

impl Worker {
    fn new(id: usize, shared: &Shared) -> Rc<Worker> {
        let snapshot = shared.snapshot.load_full();
        let tune = &snapshot.config.global.tune;
        Rc::new(Worker {
            id,
            process: shared.process.clone(),
            logs: shared.logs.clone(),
            dates: RefCell::new(Dates::new()),
            pools: Pools::new(id),
            stock: Stock::new(tune.bufsize, tune.bulk_bufsize),
            sleepers: Sleepers::default(),
            serial: Cell::new(0),
            buffers: Buffers::default(),
            local: RefCell::new(Rc::new(Local::new(snapshot, None, id as u64))),
            previous: RefCell::new(None),
            snapshots: RefCell::new(Cache::new(shared.snapshot.clone())),
            connections: Cell::new(0),
            emptied: Notify::new(),
        })
    }

    async fn run(self: Rc<Self>, mut orders: UnboundedReceiver<Command>) {
        let mut listeners: HashMap<u64, Rc<Listening>> = HashMap::new();
        let mut purge = tokio::time::interval(self.local.borrow().snapshot.config.global.tune.pool_purge_delay);
        purge.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let order = tokio::select! {
                order = orders.recv() => order,
                _ = purge.tick() => {
                    self.pools.purge();
                    continue;
                }
            };
            match order {
                Some(Command::Open(socket)) => {
                    let id = socket.id;
                    match Listening::start(&self, socket) {
                        Ok(listening) => drop(listeners.insert(id, listening)),
                        Err(e) => tracing::error!("worker {}: cannot accept on a listener: {e}", self.id),
                    }
                }
                Some(Command::Close(id, last)) => {
                    if let Some(listening) = listeners.remove(&id) {
                        listening.retire(self.local_of(last));
                    }
                }
                Some(Command::Refresh) => {
                    self.refresh();
                    *self.previous.borrow_mut() = None;
                    self.pools.purge();
                }
                Some(Command::Look) => {
                    self.pools.purge();
                    self.sleepers.wake_all();
                }
                Some(Command::Drain) | None => break,
            }
        }
        let local = self.local.borrow().clone();
        listeners.drain().for_each(|(_, listening)| listening.retire(local.clone()));
        drop(local);
        self.leave(orders).await;
    }

    /// The soft stop: waits for the last connection, still taking orders that end tunnels early.
    async fn leave(&self, mut orders: UnboundedReceiver<Command>) {
        self.pools.clear();
        self.sleepers.wake_all();
        while self.connections.get() != 0 {
            tokio::select! {
                () = self.emptied.notified() => {}
                Some(_) = orders.recv() => self.sleepers.wake_all(),
            }
        }
    }

    fn refresh(&self) {
        let snapshot = self.snapshots.borrow_mut().load().clone();
        let before = self.local.borrow().clone();
        if !Arc::ptr_eq(&before.snapshot, &snapshot) {
            *self.local.borrow_mut() = Rc::new(Local::new(snapshot, Some(&before), self.id as u64));
            self.previous.borrow_mut().get_or_insert(before);
        }
    }

    /// What was in force before, while that still matters.
    pub(crate) fn previous(&self) -> Option<Rc<Local>> {
        self.previous.borrow().clone()
    }

    /// This worker's state for a snapshot that may have been replaced meanwhile.
    fn local_of(&self, snapshot: Arc<Snapshot>) -> Rc<Local> {
        let known = [Some(self.local.borrow().clone()), self.previous()];
        match known.into_iter().flatten().find(|local| Arc::ptr_eq(&local.snapshot, &snapshot)) {
            Some(local) => local,
            None => Rc::new(Local::new(snapshot, None, self.id as u64)),
        }
    }

    /// The configuration in force: one atomic load when it did not change.
    #[inline]
    pub(crate) fn local(&self) -> Rc<Local> {
        let same = {
            let mut cache = self.snapshots.borrow_mut();
            Arc::ptr_eq(cache.load(), &self.local.borrow().snapshot)
        };
        if !same {
            self.refresh();
        }
        self.local.borrow().clone()
    }

    /// The number of another request, or of another connection in TCP mode.
    pub(crate) fn next_serial(&self) -> u64 {
        self.serial.set(self.serial.get() + 1);
        self.serial.get()
    }

    /// The id of a transaction that has none of its own: unique among processes of this machine, workers and transactions.
    pub(crate) fn id_of(&self, serial: u64) -> String {
        format!("{:x}-{:x}-{serial:x}", self.process.stamp, self.id)
    }

    /// Which of the transactions of the process one is, from 0: workers count in turn, so that no number comes twice.
    pub(crate) fn number_of(&self, serial: u64) -> u64 {
        let workers = self.process.ends.count() as u64;
        (serial - 1) * workers + self.id as u64
    }

    /// What limits each direction, up and down, as rules asked.
    pub(crate) fn throttles(&self, wishes: &Wishes) -> [Option<Throttle>; 2] {
        [&wishes.upload_limit, &wishes.download_limit]
            .map(|limit| limit.clone().map(|limit| Throttle::new(limit, self.process.started)))
    }

    /// Milliseconds since the start of the process, by the coarse clock.
    pub(crate) fn now_ms(&self) -> u64 {
        clock::for_rules(self.process.started).mono_ms
    }

    /// Counts a connection of this worker for as long as the guard lives.
    pub(crate) fn connected(self: &Rc<Self>) -> Connected {
        self.connections.set(self.connections.get() + 1);
        Connected(self.clone())
    }
}

/// A connection of a worker.
#[derive(Debug)]
pub(crate) struct Connected(Rc<Worker>);

impl Drop for Connected {
    fn drop(&mut self) {
        let left = self.0.connections.get() - 1;
        self.0.connections.set(left);
        if left == 0 {
            self.0.emptied.notify_one();
        }
    }
}
