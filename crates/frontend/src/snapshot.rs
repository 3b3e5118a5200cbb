//! One generation of the configuration, built whole before any traffic sees it.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_acl::count::Counted;
use evenkeel_acl::stick::Tables;
use evenkeel_backend::{Group, Registry};
use evenkeel_config::{self as config, ErrorPage};
use evenkeel_dns::Resolvers;
use evenkeel_tls::Terminator;

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
    /// Stick tables, as in `config.tables`.
    pub tables: Tables,
    /// Sections of name servers, as in `config.resolvers`.
    pub resolvers: Resolvers,
    /// Backends that are not disabled, by name.
    by_name: HashMap<Arc<str>, usize>,
}

/// What a new generation takes over from the one before, as far as it did not change.
#[derive(Clone, Copy, Debug)]
pub struct Lasting<'a> {
    /// Stick tables.
    pub tables: &'a Tables,
    /// Sections of name servers with their answers.
    pub resolvers: &'a Resolvers,
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
    /// Some rule or format may look at the connection, or some server is told of it.
    pub(crate) has_rules: bool,
    /// Which statuses of servers stick tables count as errors and as failures.
    pub(crate) counted: Counted,
    /// Where and how its transactions are logged.
    pub log: LogPlan,
    /// What TLS ends with, for each of its binds.
    terminators: Vec<Option<Arc<Terminator>>>,
}

impl Entrance {
    /// What TLS ends with on `bind`; `None`: it has none, or is not of this configuration.
    pub(crate) fn terminator(&self, bind: &config::Bind) -> Option<&Arc<Terminator>> {
        self.terminators.get(self.bind(bind)?)?.as_ref()
    }

    /// The number of `bind`, from 1; 0 when it is not of this configuration.
    pub(crate) fn listener_id(&self, bind: &config::Bind) -> u32 {
        self.bind(bind).map_or(0, |at| at as u32 + 1)
    }

    fn bind(&self, bind: &config::Bind) -> Option<usize> {
        // A reload may have renamed it; an address is listened on once.
        self.conf.binds.iter().position(|b| b.address == bind.address)
    }

    /// Whether `bind` is of this configuration, whatever has become of it.
    pub(crate) fn has(&self, bind: &config::Bind) -> bool {
        self.conf.binds.iter().any(|b| b.address == bind.address)
    }

    /// The configured page of `status`: of the backend, else of the frontend.
    pub(crate) fn page<'p>(&'p self, group: Option<&'p Group>, status: u16) -> Option<&'p ErrorPage> {
        group.and_then(|group| group.conf.pages.get(status)).or_else(|| self.conf.pages.get(status))
    }

    /// Why a request has no backend; `matched`: a `use_backend` rule named one.
    pub(crate) fn unrouted(&self, matched: bool) -> End {
        match matched || self.conf.default_backend.is_some() {
            true => End::BackendDisabled,
            false => End::NoBackend,
        }
    }
}

/// Whether a rule or a format of the frontend, or a rule of any backend, may look at connections of `front`, or a server is told of them.
fn has_rules(front: &config::Frontend, config: &config::Config) -> bool {
    let own = [
        &front.tcp_request_connection,
        &front.tcp_request_session,
        &front.tcp_request_content,
        &front.http_request,
        &front.redirect,
        &front.http_response,
        &front.http_after_response,
    ];
    let back = |back: &config::Backend| {
        let sets = [
            &back.tcp_request_content,
            &back.http_request,
            &back.redirect,
            &back.tcp_response,
            &back.http_response,
            &back.http_after_response,
        ];
        sets.iter().any(|rules| !rules.is_empty())
            || back.servers.iter().any(|server| server.send_proxy.is_some() || server.address.is_destination())
    };
    let formats = [&front.log_text, &front.log_sd, &front.error_log_text, &front.unique_id_format];
    let loggers = || {
        let mut each = front.log.iter();
        each.any(|to| to.profile.is_some() || !matches!(to.format, None | Some(config::LineFormat::Builtin(_))))
    };
    formats.iter().any(|format| format.is_some())
        || loggers()
        || own.iter().any(|rules| !rules.is_empty())
        || !front.switch.is_empty()
        || config.backends.iter().any(|b| back(b))
}

impl Snapshot {
    /// Builds everything of a new generation; `before` is what is in force, `tls` is what was loaded with `config`. Traffic sees nothing of it before it is stored.
    pub fn build(
        generation: u64,
        config: Arc<config::Config>,
        registry: &Registry,
        frontends: &Frontends,
        logs: &Logs,
        before: Lasting<'_>,
        tls: &config::Tls,
    ) -> Snapshot {
        let groups = registry.build(&config, tls);
        let by_name: HashMap<Arc<str>, usize> = config
            .backends
            .iter()
            .enumerate()
            .filter(|(_, b)| !b.disabled)
            .map(|(at, b)| (b.name.clone(), at))
            .collect();
        let entrances = config
            .frontends
            .iter()
            .map(|conf| {
                Arc::new(Entrance {
                    conf: conf.clone(),
                    state: frontends.get(&conf.name),
                    routes: conf.switch.targets.iter().map(|name| by_name.get(name.as_ref()?).copied()).collect(),
                    default: conf.default_backend.as_ref().and_then(|name| by_name.get(name).copied()),
                    has_rules: has_rules(conf, &config),
                    counted: config.global.counted,
                    log: LogPlan::new(conf, &config.global.log_profiles, logs),
                    terminators: (0..conf.binds.len()).map(|at| tls.terminator(&conf.name, at).cloned()).collect(),
                })
            })
            .collect();
        let tables = before.tables.reconcile(&config.tables);
        let resolvers = before.resolvers.reconcile(&config.resolvers);
        Snapshot { generation, config, frontends: entrances, groups, tables, resolvers, by_name }
    }

    /// Index of the backend of that name, unless it is disabled.
    pub(crate) fn route(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The backend of that name, unless it is disabled.
    pub(crate) fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.route(name).map(|at| &self.groups[at])
    }

    /// The frontend whose lasting state is `state`.
    pub fn entrance(&self, state: &Arc<FrontendState>) -> Option<usize> {
        self.frontends.iter().position(|e| Arc::ptr_eq(&e.state, state))
    }
}
