//! A backend as one snapshot sees it: its settings, its servers, and the choice among them.

use std::net::IpAddr;
use std::sync::Arc;

use evenkeel_balance::{Balancer, Key, Load, Member};
use evenkeel_config as config;
use evenkeel_tls::connector::Connector;

use crate::server::{BackendState, Server};

/// One server of a [`Group`]: lasting state and the settings of this snapshot.
#[derive(Debug)]
pub struct Slot {
    /// State that survives reloads.
    pub server: Arc<Server>,
    /// Settings of this snapshot.
    pub conf: Arc<config::Server>,
    /// Begins TLS with it, where it has TLS.
    pub connector: Option<Arc<Connector>>,
    /// Begins TLS of its checks, where they have TLS.
    pub check_connector: Option<Arc<Connector>>,
}

/// A backend of one snapshot.
#[derive(Debug)]
pub struct Group {
    /// Settings.
    pub conf: Arc<config::Backend>,
    /// State that survives reloads.
    pub state: Arc<BackendState>,
    /// Its servers in file order.
    pub slots: Vec<Slot>,
}

impl Group {
    fn members(&self) -> Vec<Member> {
        self.slots
            .iter()
            .map(|slot| Member {
                weight: slot.conf.weight,
                static_weight: slot.conf.weight,
                usable: slot.server.is_usable(),
                backup: slot.conf.backup,
            })
            .collect()
    }

    /// `(active, backup)` servers that may take traffic now.
    pub fn usable(&self) -> (usize, usize) {
        self.slots.iter().filter(|s| s.server.is_usable() && s.conf.weight > 0).fold((0, 0), |(a, b), s| {
            match s.conf.backup {
                false => (a + 1, b),
                true => (a, b + 1),
            }
        })
    }

    /// The slot of a server, if this snapshot still has it.
    pub fn slot_of(&self, server: &Arc<Server>) -> Option<usize> {
        self.slots.iter().position(|s| Arc::ptr_eq(&s.server, server))
    }
}

/// One worker's balancing state for one group.
#[derive(Debug)]
pub struct Chooser {
    balancer: Balancer,
    seen: u64,
}

impl Chooser {
    /// `seed` differs by worker, so that they do not all begin with the same server.
    pub fn new(group: &Group, seed: u64) -> Chooser {
        // Read before the members: a change in between is seen again at the first pick.
        let seen = group.state.version();
        let balancer = Balancer::new(group.conf.balance, group.conf.option.allbackups, &group.members(), seed);
        Chooser { balancer, seen }
    }

    /// How many servers may take traffic now.
    pub fn usable(&mut self, group: &Group) -> usize {
        self.follow(group);
        self.balancer.usable()
    }

    /// Looks at the servers again when one of them changed.
    #[inline]
    fn follow(&mut self, group: &Group) {
        let version = group.state.version();
        if version != self.seen {
            self.seen = version;
            self.balancer.update(&group.members());
        }
    }

    /// Chooses a slot for a client at `src`, another one than `avoid` if there is one. `None` when no server is usable
    /// ([`Chooser::usable`] tells) or all of them are full.
    #[inline]
    pub fn pick(&mut self, group: &Group, src: Option<IpAddr>, avoid: Option<usize>) -> Option<usize> {
        self.follow(group);
        let key = match (group.conf.balance, src) {
            (config::Balance::Source, Some(ip)) => Key::Hash(evenkeel_balance::source_hash(ip)),
            _ => Key::None,
        };
        self.balancer.pick(key, avoid, |slot| {
            let slot = &group.slots[slot];
            Load { inflight: slot.server.sessions.now() + slot.server.queued(), maxconn: slot.conf.maxconn }
        })
    }

    /// Whether the algorithm always gives the same server to this client, so that it waits for that one when it is full.
    pub fn is_sticky(group: &Group) -> bool {
        group.conf.balance == config::Balance::Source
    }
}
