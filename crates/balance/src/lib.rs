//! Which server: the algorithms of `balance`, over server slots.
//!
//! A [`Balancer`] belongs to one worker and one backend; the backend crate calls [`Balancer::pick`] once per attempt and
//! [`Balancer::update`] when a state or weight changed. Pure: no clock, no I/O, no lock; loads come in through a closure,
//! chance from a seed. Invariant: a pick is usable, is not full unless the algorithm hashes, and `None` means that every
//! usable server is full (or that there is none).
#![forbid(unsafe_code)]

mod deadline;
mod first;
mod hash;
mod least;
mod map;
mod random;
mod view;

pub use hash::source_hash;
pub use view::{Key, Load, Member, Standing};

use evenkeel_config::Balance;

use deadline::Deadlines;
use first::First;
use least::LeastLoaded;
use map::Map;
use random::Draws;
use view::{Gate, Roster};

/// One worker's chooser for one backend.
#[derive(Clone, Debug)]
pub struct Balancer {
    algorithm: Algorithm,
    members: Vec<Member>,
    allbackups: bool,
    roster: Roster,
}

#[derive(Clone, Debug)]
enum Algorithm {
    RoundRobin(Deadlines),
    StaticRr(Map),
    LeastConn(LeastLoaded),
    First(First),
    Source(Map),
    Random(Draws),
}

impl Balancer {
    /// A balancer over these servers, in file order.
    ///
    /// `seed` tells workers apart, so that they do not all begin with the same server; 0 begins with the first.
    pub fn new(algo: Balance, allbackups: bool, members: &[Member], seed: u64) -> Balancer {
        let first = if members.is_empty() { 0 } else { (seed % members.len() as u64) as usize };
        let algorithm = match algo {
            Balance::RoundRobin => Algorithm::RoundRobin(Deadlines::new(first)),
            Balance::StaticRr => Algorithm::StaticRr(Map::new(seed)),
            Balance::LeastConn => Algorithm::LeastConn(LeastLoaded::new(first)),
            Balance::First => Algorithm::First(First::default()),
            Balance::Source => Algorithm::Source(Map::new(seed)),
            Balance::Random(draws) => Algorithm::Random(Draws::new(draws, seed)),
        };
        let mut balancer = Balancer { algorithm, members: Vec::new(), allbackups, roster: Roster::default() };
        balancer.update(members);
        balancer
    }

    /// Takes new states and weights of the same servers. Turns, cursors and what is known of loads are kept.
    pub fn update(&mut self, members: &[Member]) {
        let roster = Roster::new(members, self.is_static(), self.allbackups);
        self.members.clear();
        self.members.extend_from_slice(members);
        if roster == self.roster {
            return;
        }
        match &mut self.algorithm {
            Algorithm::RoundRobin(a) => a.update(&roster),
            Algorithm::StaticRr(a) | Algorithm::Source(a) => a.update(&roster, members),
            Algorithm::LeastConn(a) => a.update(&roster),
            Algorithm::First(a) => a.update(&roster),
            Algorithm::Random(a) => a.update(&roster),
        }
        self.roster = roster;
    }

    /// Chooses a server: its index in the member list.
    ///
    /// `avoid` is taken only when no other can be. `None`: every usable server is full, or [`Balancer::usable`] is 0. A
    /// hashed key is the exception: its server is returned even when full, for the request to wait there.
    #[inline]
    pub fn pick(&mut self, key: Key, avoid: Option<usize>, load: impl Fn(usize) -> Load) -> Option<usize> {
        let gate = Gate { avoid, load };
        if let Some(server) = self.choose(key, &gate) {
            return Some(server);
        }
        if avoid.is_some_and(|a| self.roster.weight(a) > 0) {
            return self.choose(key, &Gate { avoid: None, load: gate.load });
        }
        None
    }

    /// How many servers may be picked now; backup servers count only while they are in use.
    pub fn usable(&self) -> usize {
        self.roster.list.len()
    }

    /// Why a server is or is not a candidate, for a trace.
    pub fn standing(&self, server: usize, load: Load) -> Standing {
        let Some(member) = self.members.get(server) else { return Standing::Unknown };
        let weightless = member.weight == 0 || (self.is_static() && member.static_weight == 0);
        if !member.usable {
            Standing::Down
        } else if weightless {
            Standing::Weightless
        } else if self.roster.weight(server) == 0 {
            match self.roster.backups {
                true => Standing::LaterBackup,
                false => Standing::Spare,
            }
        } else if load.is_full() {
            Standing::Full
        } else {
            Standing::Candidate
        }
    }

    fn choose<F: Fn(usize) -> Load>(&mut self, key: Key, gate: &Gate<F>) -> Option<usize> {
        match (&mut self.algorithm, key) {
            (Algorithm::RoundRobin(a), _) => a.pick(gate, &self.roster),
            (Algorithm::Source(a), Key::Hash(hash)) => a.at(hash, gate.avoid),
            (Algorithm::Source(a) | Algorithm::StaticRr(a), _) => a.next(gate, &self.roster),
            (Algorithm::LeastConn(a), _) => a.pick(gate, &self.roster),
            (Algorithm::First(a), _) => a.pick(gate, &self.roster),
            (Algorithm::Random(a), _) => a.pick(gate, &self.roster),
        }
    }

    /// Static algorithms share by the weights of the file; a live weight only says whether a server takes part.
    fn is_static(&self) -> bool {
        matches!(self.algorithm, Algorithm::StaticRr(_) | Algorithm::Source(_))
    }
}

#[cfg(test)]
mod tests;
