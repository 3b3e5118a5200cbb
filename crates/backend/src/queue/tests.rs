//! Slots and waiters under random sequences: checked against a plain model after each step, then hammered by threads.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::task::Wake;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::*;
use crate::server::{Admin, Indexes, Listed, Roster};

/// Bounds how long a lost slot takes to be called a failure.
const DEADLINE: Duration = Duration::from_secs(20);

fn backend(servers: usize) -> (Arc<BackendState>, Vec<Arc<Server>>) {
    let state = Arc::new(BackendState::new("b".into(), 1));
    let indexes = Arc::new(Indexes::default());
    let make = |n| Arc::new(Server::new(state.clone(), format!("s{n}").into(), indexes.clone(), 1));
    let servers: Vec<_> = (0..servers).map(make).collect();
    let listed = |server: &Arc<Server>| Listed { server: Arc::downgrade(server), weighs: true, backup: false };
    state.enlist(Roster { allbackups: false, servers: servers.iter().map(listed).collect() });
    (state, servers)
}

/// Remembers that it was called.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

fn poll(waiter: &mut Waiter, flag: &Arc<Flag>) -> Poll<Option<Lease>> {
    let waker = Waker::from(flag.clone());
    Pin::new(waiter).poll(&mut Context::from_waker(&waker))
}

/// One who waits, as the model sees him.
struct Guest {
    waiter: Waiter,
    flag: Arc<Flag>,
    /// Has been told to wait since it joined.
    asleep: bool,
    /// Was seen waiting after the last step.
    waited: bool,
}

impl Guest {
    fn new(waiter: Waiter) -> Guest {
        Guest { waiter, flag: Arc::default(), asleep: false, waited: true }
    }
}

/// What the file says of a server.
#[derive(Clone, Copy, Debug)]
struct Role {
    weighs: bool,
    backup: bool,
}

/// What the model found in a guest's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Waiting,
    Granted(usize),
    Retry,
}

/// A backend, its servers, and everybody who uses them or waits.
struct Model {
    state: Arc<BackendState>,
    servers: Vec<Arc<Server>>,
    leases: Vec<Lease>,
    /// In the order they joined, whatever they wait for.
    guests: Vec<Guest>,
    /// The levels before the step under way.
    before: Vec<u32>,
    roles: Vec<Role>,
    allbackups: bool,
}

impl Model {
    fn new(rng: &mut Rng) -> Model {
        let (state, servers) = backend(rng.usize(1..4));
        servers.iter().for_each(|s| s.set_maxconn(rng.u32(0..4)));
        let before = vec![0; servers.len()];
        let (leases, guests, roles) = (Vec::new(), Vec::new(), Vec::new());
        let mut model = Model { state, servers, leases, guests, before, roles, allbackups: false };
        model.reload(rng);
        model
    }

    /// New weights and backups, as a commit brings them.
    fn reload(&mut self, rng: &mut Rng) {
        self.allbackups = rng.bool();
        self.roles = self.servers.iter().map(|_| Role { weighs: rng.u8(..8) > 0, backup: rng.u8(..3) == 0 }).collect();
        let listed = |(server, role): (&Arc<Server>, &Role)| Listed {
            server: Arc::downgrade(server),
            weighs: role.weighs,
            backup: role.backup,
        };
        let servers = self.servers.iter().zip(&self.roles).map(listed).collect();
        self.state.enlist(Roster { allbackups: self.allbackups, servers });
        self.servers.iter().for_each(fill);
    }

    /// Who takes those who wait for any server: the active ones, else the backups, else the first of them.
    fn serving(&self) -> Vec<bool> {
        let fit = |at: usize, backup| {
            self.roles[at].backup == backup && self.roles[at].weighs && self.servers[at].is_usable()
        };
        let all = 0..self.servers.len();
        let active = all.clone().any(|at| fit(at, false));
        let first = all.clone().find(|&at| fit(at, true));
        all.map(|at| fit(at, false) || (!active && fit(at, true) && (self.allbackups || first == Some(at)))).collect()
    }

    fn number(&self, server: &Arc<Server>) -> usize {
        self.servers.iter().position(|s| Arc::ptr_eq(s, server)).unwrap()
    }

    fn seen(&self, guest: &Guest) -> Seen {
        match &*guest.waiter.place.turn.lock() {
            Turn::Waiting(_) => Seen::Waiting,
            Turn::Granted(server) => Seen::Granted(self.number(server)),
            Turn::Retry => Seen::Retry,
            Turn::Over => panic!("a waiter that is not served holds a place that is over"),
        }
    }

    fn step(&mut self, rng: &mut Rng) -> &'static str {
        self.before = self.servers.iter().map(|s| s.sessions.now()).collect();
        let server = self.servers[rng.usize(..self.servers.len())].clone();
        match rng.u32(0..21) {
            0..4 if server.is_usable() => {
                self.leases.extend(Lease::try_take(&server));
                "take"
            }
            0..8 if !self.leases.is_empty() => {
                self.leases.swap_remove(rng.usize(..self.leases.len()));
                "release"
            }
            8..11 => {
                let waiter = Waiter::for_backend(&self.state, self.servers.iter(), Rank::default());
                self.guests.push(Guest::new(waiter));
                "join the backend's queue"
            }
            11..13 => {
                let waiter = Waiter::for_server(&server, Rank::default());
                self.guests.push(Guest::new(waiter));
                "join a server's queue"
            }
            13..16 if !self.guests.is_empty() => self.ask(rng.usize(..self.guests.len())),
            16 if !self.guests.is_empty() => {
                self.guests.remove(rng.usize(..self.guests.len()));
                "give up"
            }
            17 => {
                let up = !server.is_up();
                server.set_up(up);
                // As the check loops do.
                if up {
                    fill(&server);
                }
                "health"
            }
            18 => {
                let next = [Admin::Ready, Admin::Drain, Admin::Maint][rng.usize(..3)];
                server.set_admin(next);
                // As a commit does.
                fill(&server);
                "admin state"
            }
            19 => {
                server.set_maxconn(rng.u32(0..4));
                fill(&server);
                "maxconn"
            }
            20 => {
                self.reload(rng);
                "reload"
            }
            _ => "nothing",
        }
    }

    /// Polls one guest and takes from it what it got.
    fn ask(&mut self, at: usize) -> &'static str {
        let seen = self.seen(&self.guests[at]);
        let guest = &mut self.guests[at];
        match poll(&mut guest.waiter, &guest.flag) {
            Poll::Pending => {
                assert_eq!(seen, Seen::Waiting);
                guest.asleep = true;
                "still waits"
            }
            Poll::Ready(Some(lease)) => {
                assert_eq!(seen, Seen::Granted(self.number(lease.server())));
                self.leases.push(lease);
                self.guests.remove(at);
                "is served"
            }
            Poll::Ready(None) => {
                assert_eq!(seen, Seen::Retry);
                self.guests.remove(at);
                "chooses again"
            }
        }
    }

    fn check(&mut self) {
        let serving = self.serving();
        let seen: Vec<Seen> = self.guests.iter().map(|g| self.seen(g)).collect();
        for (at, server) in self.servers.iter().enumerate() {
            let held = self.leases.iter().filter(|l| Arc::ptr_eq(l.server(), server)).count();
            let granted = seen.iter().filter(|s| **s == Seen::Granted(at)).count();
            let (now, limit) = (server.sessions.now(), server.maxconn());
            assert_eq!(now as usize, held + granted, "s{at}: every slot in use has an owner");
            assert!(limit == 0 || now <= limit || now <= self.before[at], "s{at}: {now} in flight, limit {limit}");
            self.check_queue(Some(at), server.queued(), &seen);
            let has_room = limit == 0 || now < limit;
            if server.is_usable() && has_room {
                assert_eq!(server.queued(), 0, "s{at} has room and somebody waits for it");
            }
            if serving[at] && has_room {
                assert_eq!(self.state.queued(), 0, "s{at} has room and somebody waits for any server");
            }
            if !server.is_usable() {
                assert_eq!(server.queued(), 0, "somebody waits for s{at}, which takes no traffic");
            }
        }
        self.check_queue(None, self.state.queued(), &seen);
        for (guest, seen) in self.guests.iter_mut().zip(&seen) {
            if let (true, None, Seen::Granted(at)) = (guest.waited, &guest.waiter.server, *seen) {
                assert!(serving[at], "s{at} is no choice for those who wait for any server");
            }
            guest.waited = *seen == Seen::Waiting;
            let told = !guest.asleep || guest.flag.0.load(SeqCst);
            assert!(*seen == Seen::Waiting || told, "{seen:?}, and nobody woke the waiter");
        }
    }

    /// Those of one queue: nobody was settled before somebody who came earlier, and the length is right.
    fn check_queue(&self, server: Option<usize>, len: u32, seen: &[Seen]) {
        let turns: Vec<Seen> = self
            .guests
            .iter()
            .zip(seen)
            .filter(|(g, _)| g.waiter.server.as_ref().map(|s| self.number(s)) == server)
            .map(|(_, seen)| *seen)
            .collect();
        let first = turns.iter().position(|s| *s == Seen::Waiting).unwrap_or(turns.len());
        assert!(turns[first..].iter().all(|s| *s == Seen::Waiting), "overtaken in the queue of {server:?}: {turns:?}");
        assert_eq!(len as usize, turns.len() - first, "length of the queue of {server:?}");
    }

    /// All leave, in any order; nothing may stay behind.
    fn end(mut self, rng: &mut Rng) {
        while !self.leases.is_empty() || !self.guests.is_empty() {
            if !self.guests.is_empty() && (self.leases.is_empty() || rng.bool()) {
                self.guests.remove(rng.usize(..self.guests.len()));
            } else {
                self.leases.swap_remove(rng.usize(..self.leases.len()));
            }
        }
        for server in &self.servers {
            assert_eq!((server.sessions.now(), server.queued()), (0, 0), "{}", server.name);
        }
        assert_eq!(self.state.queued(), 0);
    }
}

/// Prints what led to a failed assertion when it unwinds.
struct Story(u64, VecDeque<&'static str>);

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, the last steps: {:?}", self.0, self.1);
        }
    }
}

#[test]
fn slots_and_waiters_agree_with_the_model() {
    for seed in 0..500 {
        let mut rng = Rng::with_seed(seed);
        let mut story = Story(seed, VecDeque::new());
        let mut model = Model::new(&mut rng);
        for _ in 0..150 {
            story.1.push_back(model.step(&mut rng));
            if story.1.len() > 30 {
                story.1.pop_front();
            }
            model.check();
        }
        model.end(&mut rng);
    }
}

#[test]
fn a_waiter_that_leaves_after_its_grant_passes_the_slot_on() {
    let (state, servers) = backend(1);
    servers[0].set_maxconn(1);
    let lease = Lease::try_take(&servers[0]).unwrap();
    let first = Waiter::for_backend(&state, servers.iter(), Rank::default());
    let mut second = Waiter::for_backend(&state, servers.iter(), Rank::default());
    assert_eq!((first.ahead, second.ahead, state.queued(), state.queued_max()), (0, 1, 2, 2));
    let flag = Arc::default();
    assert!(poll(&mut second, &flag).is_pending());
    drop(lease);
    assert!(poll(&mut second, &flag).is_pending(), "the first in the queue has the slot");
    drop(first);
    assert!(flag.0.load(SeqCst), "the second is woken");
    let Poll::Ready(Some(lease)) = poll(&mut second, &flag) else { panic!("the slot was not passed on") };
    drop(lease);
    assert_eq!((servers[0].sessions.now(), state.queued()), (0, 0));
}

#[test]
fn who_left_just_as_its_turn_came_does_not_take_the_slot_along() {
    let (state, servers) = backend(1);
    servers[0].set_maxconn(1);
    let lease = Lease::try_take(&servers[0]).unwrap();
    let gone = Waiter::for_backend(&state, servers.iter(), Rank::default());
    let mut next = Waiter::for_backend(&state, servers.iter(), Rank::default());
    // The moment between the two halves of a departure: its turn is over, its place is still in the queue.
    *gone.place.turn.lock() = Turn::Over;
    drop(lease);
    let Poll::Ready(Some(lease)) = poll(&mut next, &Arc::default()) else { panic!("the slot went with the other") };
    drop(gone);
    drop(lease);
    assert_eq!((servers[0].sessions.now(), state.queued()), (0, 0));
}

#[test]
fn who_joins_the_queue_of_a_server_that_just_went_down_chooses_again() {
    let (_, servers) = backend(1);
    servers[0].set_up(false);
    let mut waiter = Waiter::for_server(&servers[0], Rank::default());
    assert!(matches!(poll(&mut waiter, &Arc::default()), Poll::Ready(None)));
}

#[test]
fn those_who_wait_for_a_server_that_enters_maintenance_choose_again() {
    for admin in [Admin::Maint, Admin::Drain] {
        let (_, servers) = backend(1);
        servers[0].set_maxconn(1);
        let lease = Lease::try_take(&servers[0]).unwrap();
        let mut waiter = Waiter::for_server(&servers[0], Rank::default());
        assert!(poll(&mut waiter, &Arc::default()).is_pending());
        servers[0].set_admin(admin);
        assert!(matches!(poll(&mut waiter, &Arc::default()), Poll::Ready(None)), "{admin:?}");
        drop(lease);
        assert_eq!(servers[0].sessions.now(), 0);
    }
}

/// One thread of [`threads_lose_no_slot`]: takes, waits, gives up, and counts for itself who is inside.
fn hammer(mut rng: Rng, state: &Arc<BackendState>, servers: &[Arc<Server>], inside: &[AtomicU32], rounds: u32) {
    let used = |lease: Lease, rng: &mut Rng| {
        let at = servers.iter().position(|s| Arc::ptr_eq(s, lease.server())).unwrap();
        let now = inside[at].fetch_add(1, SeqCst) + 1;
        assert!(now <= servers[at].maxconn(), "{now} requests on s{at}");
        if rng.bool() {
            std::thread::yield_now();
        }
        inside[at].fetch_sub(1, SeqCst);
        drop(lease);
    };
    for _ in 0..rounds {
        let server = &servers[rng.usize(..servers.len())];
        if let Some(lease) = Lease::try_take(server) {
            used(lease, &mut rng);
            continue;
        }
        let mut waiter = match rng.u32(0..3) {
            0 => Waiter::for_server(server, Rank::default()),
            _ => Waiter::for_backend(state, servers.iter(), Rank::default()),
        };
        let mut patience = if rng.u32(0..3) == 0 { rng.u32(0..4) } else { u32::MAX };
        let begun = Instant::now();
        let flag = Arc::default();
        loop {
            match poll(&mut waiter, &flag) {
                Poll::Ready(Some(lease)) => used(lease, &mut rng),
                Poll::Ready(None) => {}
                Poll::Pending if patience == 0 => {}
                Poll::Pending => {
                    patience -= 1;
                    assert!(begun.elapsed() < DEADLINE, "a waiter was forgotten");
                    std::thread::yield_now();
                    continue;
                }
            }
            break;
        }
    }
}

fn threads_lose_no_slot(seed: u64, flapping: bool) {
    let (state, servers) = backend(2);
    servers.iter().for_each(|s| s.set_maxconn(1));
    let inside = [AtomicU32::new(0), AtomicU32::new(0)];
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|n| {
                let rng = Rng::with_seed(seed * 10 + n);
                scope.spawn(|| hammer(rng, &state, &servers, &inside, 600))
            })
            .collect();
        if flapping {
            scope.spawn(|| {
                let mut rng = Rng::with_seed(seed);
                while !over.load(SeqCst) {
                    let server = &servers[rng.usize(..servers.len())];
                    server.set_up(false);
                    std::thread::yield_now();
                    server.set_up(true);
                    fill(server);
                    std::thread::yield_now();
                }
            });
        }
        let ended: Vec<_> = workers.into_iter().map(|w| w.join()).collect();
        over.store(true, SeqCst);
        ended.into_iter().for_each(|e| e.unwrap_or_else(|_| panic!("seed {seed}")));
    });
    for server in &servers {
        assert_eq!((server.sessions.now(), server.queued()), (0, 0), "seed {seed}: {}", server.name);
    }
    assert_eq!(state.queued(), 0, "seed {seed}");
}

#[test]
fn threads_that_take_wait_and_give_up_lose_no_slot() {
    (0..3).for_each(|seed| threads_lose_no_slot(seed, false));
}

#[test]
fn threads_lose_no_slot_while_servers_go_down_and_up() {
    (0..3).for_each(|seed| threads_lose_no_slot(seed, true));
}
