//! Every backend and server this process knows, by identity. Written at a reload only, by the control thread.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use evenkeel_config as config;
use parking_lot::Mutex;

use crate::group::{Group, Slot};
use crate::queue;
use crate::server::{Admin, BackendState, Indexes, Listed, Roster, Server};

/// Servers and backends that live over reloads.
#[derive(Debug)]
pub struct Registry {
    workers: usize,
    indexes: Arc<Indexes>,
    backends: Mutex<HashMap<Arc<str>, Entry>>,
}

#[derive(Debug)]
struct Entry {
    state: Arc<BackendState>,
    servers: HashMap<Arc<str>, Known>,
}

#[derive(Debug)]
struct Known {
    server: Arc<Server>,
    /// The settings last committed, to tell what a reload changed; `None` while it was never in force.
    conf: Option<Arc<config::Server>>,
}

impl Registry {
    /// For `workers` counting threads.
    pub fn new(workers: usize) -> Registry {
        Registry { workers, indexes: Arc::default(), backends: Mutex::default() }
    }

    /// Groups for a new configuration: known servers keep their state, new ones begin. Changes nothing that traffic sees,
    /// so a configuration that is not committed leaves no trace but unused entries, which the next commit drops.
    /// `tls` is what was loaded with it.
    pub fn build(&self, config: &config::Config, tls: &config::Tls) -> Vec<Arc<Group>> {
        let mut backends = self.backends.lock();
        config.backends.iter().map(|conf| Arc::new(self.group(&mut backends, conf, tls))).collect()
    }

    fn group(&self, backends: &mut HashMap<Arc<str>, Entry>, conf: &Arc<config::Backend>, tls: &config::Tls) -> Group {
        let entry = backends.entry(conf.name.clone()).or_insert_with(|| Entry {
            state: Arc::new(BackendState::new(conf.name.clone(), self.workers)),
            servers: HashMap::new(),
        });
        let state = entry.state.clone();
        let slots = conf
            .servers
            .iter()
            .map(|server| {
                let known = entry.servers.entry(server.name.clone()).or_insert_with(|| {
                    let (name, indexes) = (server.name.clone(), self.indexes.clone());
                    Known { server: Arc::new(Server::new(state.clone(), name, indexes, self.workers)), conf: None }
                });
                let built = || tls.connector(&conf.name, &server.name).cloned();
                Slot {
                    server: known.server.clone(),
                    conf: server.clone(),
                    connector: server.tls.as_ref().and_then(|_| built()),
                    check_connector: server.check.as_ref().filter(|c| c.has_tls(server)).and_then(|_| built()),
                }
            })
            .collect();
        Group { conf: conf.clone(), state, slots }
    }

    /// Makes a configuration the one in force: limits, admin states and epochs change now; who is gone is returned.
    pub fn commit(&self, groups: &[Arc<Group>]) -> Vec<(Arc<Server>, config::OnRemove)> {
        let mut backends = self.backends.lock();
        let mut gone = Vec::new();
        for group in groups {
            let Some(entry) = backends.get_mut(&group.conf.name) else { continue };
            for slot in &group.slots {
                if let Some(known) = entry.servers.get_mut(&slot.conf.name) {
                    known.apply(&slot.conf);
                }
            }
            let kept: HashSet<&Arc<str>> = group.slots.iter().map(|slot| &slot.conf.name).collect();
            entry.servers.retain(|name, known| {
                let keep = kept.contains(name);
                if !keep {
                    gone.extend(known.leave());
                }
                keep
            });
            let listed = |slot: &Slot| Listed {
                server: Arc::downgrade(&slot.server),
                weighs: slot.conf.weight > 0,
                backup: slot.conf.backup,
            };
            group.state.enlist(Roster {
                allbackups: group.conf.option.allbackups,
                servers: group.slots.iter().map(listed).collect(),
            });
            group.slots.iter().for_each(|slot| queue::fill(&slot.server));
        }
        let kept: HashSet<&Arc<str>> = groups.iter().map(|group| &group.conf.name).collect();
        backends.retain(|name, entry| {
            let keep = kept.contains(name);
            if !keep {
                gone.extend(entry.servers.values().filter_map(Known::leave));
            }
            keep
        });
        gone
    }
}

impl Known {
    fn apply(&mut self, new: &Arc<config::Server>) {
        let Known { server, conf: old } = self;
        server.set_maxconn(new.maxconn);
        let moved = |old: &Arc<config::Server>| {
            old.address != new.address
                || old.source != new.source
                || old.interface != new.interface
                || old.tls != new.tls
                || old.proto != new.proto
                || old.send_proxy != new.send_proxy
        };
        if old.as_ref().is_some_and(moved) {
            server.next_epoch();
        }
        // Only a change in the file touches the admin state: what an operator set at run time stays otherwise.
        if old.as_ref().is_some_and(|old| old.disabled) != new.disabled {
            server.set_admin(if new.disabled { Admin::Maint } else { Admin::Ready });
        }
        *old = Some(new.clone());
    }

    /// What is to be said of a server that is dropped: nothing, if it was never in force.
    fn leave(&self) -> Option<(Arc<Server>, config::OnRemove)> {
        self.conf.as_ref().map(|conf| (self.server.clone(), conf.on_remove))
    }
}

#[cfg(test)]
mod tests;
