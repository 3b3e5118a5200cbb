//! The table of open listening sockets: what a new configuration opens, keeps and closes.
//!
//! New sockets are opened before anything changes, so a port that cannot be had leaves everything as it was; kept sockets
//! are not touched, so no connection attempt is lost.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use evenkeel_config::{Bind, BindAddress};
use evenkeel_frontend::{BindError, BindState, Command, Entrance, Handle, Snapshot, Socket, open, probe};

/// Open binds by address.
#[derive(Debug, Default)]
pub struct Listeners {
    open: HashMap<BindAddress, Open>,
    next_id: u64,
}

#[derive(Debug)]
struct Open {
    id: u64,
    frontend: Arc<str>,
    bind: Bind,
}

/// Sockets opened for a configuration that is not in force yet; dropping it closes them.
#[derive(Debug)]
pub struct Prepared {
    fresh: Vec<(Arc<Entrance>, Bind, Vec<OwnedFd>)>,
    kept: HashSet<BindAddress>,
}

impl Listeners {
    /// Opens what `snapshot` has and the table has not.
    ///
    /// # Errors
    /// The first bind that cannot be opened; nothing stays open then.
    pub fn prepare(&self, snapshot: &Snapshot, workers: usize) -> Result<Prepared, BindError> {
        let mut prepared = Prepared { fresh: Vec::new(), kept: HashSet::new() };
        let global = snapshot.config.global.maxconn;
        for entrance in snapshot.frontends.iter().filter(|e| !e.conf.disabled) {
            let maxconn = if entrance.conf.maxconn == 0 { global } else { entrance.conf.maxconn };
            for bind in &entrance.conf.binds {
                match self.open.get(&bind.address) {
                    Some(open) if open.frontend == entrance.conf.name && same_socket(&open.bind, bind) => {
                        prepared.kept.insert(bind.address.clone());
                        continue;
                    }
                    // Ours already, under other settings or on another address of this port: the new sockets stand beside the
                    // old ones until those close.
                    Some(_) => {}
                    None if self.has_port_of(bind) => {}
                    None => probe(bind)?,
                }
                let sockets = open(bind, if maxconn == 0 { BACKLOG } else { maxconn }, workers)?;
                prepared.fresh.push((entrance.clone(), bind.clone(), sockets));
            }
        }
        Ok(prepared)
    }

    /// Hands the new sockets to the workers, then closes those that are no longer wanted; `before` is the snapshot that
    /// serves what remains of them.
    pub fn commit(&mut self, prepared: Prepared, before: &Arc<Snapshot>, workers: &[Handle]) {
        let Prepared { fresh, kept } = prepared;
        let gone: Vec<Open> =
            self.open.extract_if(|address, _| !kept.contains(address)).map(|(_, open)| open).collect();
        for (entrance, bind, sockets) in fresh {
            let id = self.next_id;
            self.next_id += 1;
            let state = Arc::new(BindState { conf: bind.clone(), sessions: Default::default() });
            for (worker, fd) in workers.iter().zip(sockets) {
                let frontend = entrance.state.clone();
                worker.send(Command::Open(Socket { id, fd, frontend, bind: state.clone() }));
            }
            self.open.insert(bind.address.clone(), Open { id, frontend: entrance.conf.name.clone(), bind });
        }
        for open in gone {
            workers.iter().for_each(|w| w.send(Command::Close(open.id, before.clone())));
            if let BindAddress::Unix(path) = &open.bind.address
                && !self.open.contains_key(&open.bind.address)
            {
                // A path that is gone already is as wanted.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn has_port_of(&self, bind: &Bind) -> bool {
        let port = |address: &BindAddress| match address {
            BindAddress::Inet(address) => Some(address.port()),
            BindAddress::Unix(_) | BindAddress::Fd(_) => None,
        };
        port(&bind.address).is_some_and(|wanted| self.open.keys().any(|open| port(open) == Some(wanted)))
    }

    /// How many addresses are listened on.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Removes the files of Unix sockets at the end.
    pub fn remove_files(&self) {
        for address in self.open.keys() {
            if let BindAddress::Unix(path) = address {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Accept queue when neither bind, frontend nor global limit says more; the kernel caps it at somaxconn.
const BACKLOG: u32 = 4096;

/// Whether two binds on one address can share a socket; its name, its place and its certificates may differ, which each new
/// connection looks up in the configuration of its moment.
fn same_socket(a: &Bind, b: &Bind) -> bool {
    let plain = |bind: &Bind| Bind { name: "".into(), place: Default::default(), tls: None, ..bind.clone() };
    plain(a) == plain(b)
}
