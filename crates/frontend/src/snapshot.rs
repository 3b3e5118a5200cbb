//! One generation of the configuration, built whole before any traffic sees it.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_backend::{Group, Registry};
use evenkeel_config as config;

use crate::end::End;
use crate::log::{LogPlan, Logs};
use crate::state::{FrontendState, Frontends};

/// What a worker needs to serve: immutable, shared by all workers.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up by one with each committed configuration.
    pub generation: u64,
    /// The configuration it was built from.
    pub config: Arc<config::Config>,
    /// Frontends, as in `config.frontends`.
    pub frontends: Vec<Arc<Entrance>>,
    /// Backends, as in `config.backends`.
    pub groups: Vec<Arc<Group>>,
}

/// A frontend of one snapshot.
#[derive(Debug)]
pub struct Entrance {
    /// Settings.
    pub conf: Arc<config::Frontend>,
    /// State that survives reloads.
    pub state: Arc<FrontendState>,
    /// Index into [`Snapshot::groups`] for each `use_backend` rule; `None`: that backend is disabled.
    pub routes: Vec<Option<usize>>,
    /// The backend when no rule matches.
    pub default: Option<usize>,
    /// Where and how its transactions are logged.
    pub log: LogPlan,
}

impl Entrance {
    /// Why a request has no backend; `matched`: a `use_backend` rule named one.
    pub(crate) fn unrouted(&self, matched: bool) -> End {
        match matched || self.conf.default_backend.is_some() {
            true => End::BackendDisabled,
            false => End::NoBackend,
        }
    }
}

impl Snapshot {
    /// Builds everything of a new generation. Traffic sees nothing of it before it is stored.
    pub fn build(
        generation: u64,
        config: Arc<config::Config>,
        registry: &Registry,
        frontends: &Frontends,
        logs: &Logs,
    ) -> Snapshot {
        let groups = registry.build(&config);
        let by_name: HashMap<&str, usize> = config
            .backends
            .iter()
            .enumerate()
            .filter(|(_, b)| !b.disabled)
            .map(|(at, b)| (b.name.as_ref(), at))
            .collect();
        let entrances = config
            .frontends
            .iter()
            .map(|conf| {
                Arc::new(Entrance {
                    conf: conf.clone(),
                    state: frontends.get(&conf.name),
                    routes: conf.switch.targets.iter().map(|name| by_name.get(name.as_deref()?).copied()).collect(),
                    default: conf.default_backend.as_ref().and_then(|name| by_name.get(&**name).copied()),
                    log: LogPlan::new(conf, logs),
                })
            })
            .collect();
        Snapshot { generation, config, frontends: entrances, groups }
    }

    /// The frontend whose lasting state is `state`.
    pub fn entrance(&self, state: &Arc<FrontendState>) -> Option<usize> {
        self.frontends.iter().position(|e| Arc::ptr_eq(&e.state, state))
    }
}
