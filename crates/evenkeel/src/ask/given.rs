//! The state around a described request: servers, numbers, stick tables, variables.
//!
//! Begins with every server up and every table empty, or as the running process is, and is then changed by what was told.
//! Invariant: tables and variables are copies, so whatever rules do to them is gone with the explanation.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use evenkeel_acl::stick::{DataSel, Key, Kind, Table};
use evenkeel_acl::{
    BackendCount, Described, FrontendCount, Memo, Now, ProcVars, ProcessCount, Sample, ServerCount, Session, VarRef,
    VarScope,
};
use evenkeel_config as config;

use super::question::{Entry, Response, State, Told};

/// The monotonic clock of a description, in milliseconds: late enough for any period to lie before it.
pub const MONO_MS: u64 = 1 << 42;

/// The state around a described request.
#[derive(Debug)]
pub struct Given {
    /// Servers by backend and name; one that is missing is up and idle.
    pub servers: HashMap<(Arc<str>, Arc<str>), ServerState>,
    /// Requests in backends and requests that wait for any of their servers.
    pub backends: HashMap<Arc<str>, [u32; 2]>,
    /// Connections of frontends.
    pub frontends: HashMap<Arc<str>, u32>,
    /// Events of the last second; none where nothing is known.
    pub rates: Rates,
    /// Numbers of the process.
    pub process: Vec<(ProcessCount, i64)>,
    /// Stick tables, as in the configuration.
    pub tables: Vec<Arc<Table>>,
    /// Variables of scope `proc`.
    pub proc_vars: ProcVars,
    /// Other variables.
    pub vars: Vec<(VarRef, String)>,
    /// The addresses of names that rules ask for, in small letters.
    pub addresses: HashMap<String, IpAddr>,
    /// The answer of the server.
    pub response: Option<Response>,
    /// The name of the machine.
    pub hostname: String,
    /// What to know when reading the outcome.
    pub notes: Vec<String>,
}

/// Events of the last second.
#[derive(Debug, Default)]
pub struct Rates {
    /// Connections and requests of frontends.
    pub frontends: HashMap<Arc<str>, [i64; 2]>,
    /// Sessions of backends.
    pub backends: HashMap<Arc<str>, i64>,
    /// Sessions of servers, by backend and name.
    pub servers: HashMap<(Arc<str>, Arc<str>), i64>,
}

/// The state of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// Whether it takes requests.
    pub state: State,
    /// What its check saw last, when that is known.
    pub detail: Option<String>,
    /// Requests in flight.
    pub sessions: u32,
    /// Requests that wait for it.
    pub queued: u32,
}

impl ServerState {
    /// Up and idle.
    pub const IDLE: ServerState = ServerState { state: State::Up, detail: None, sessions: 0, queued: 0 };
}

impl Given {
    /// Every server up and idle but those the file disables, every table empty.
    pub fn new(config: &config::Config) -> Given {
        let disabled = config.backends.iter().flat_map(|backend| {
            let servers = backend.servers.iter().filter(|server| server.disabled);
            servers.map(|server| {
                let state = ServerState { state: State::Maint, ..ServerState::IDLE };
                ((backend.name.clone(), server.name.clone()), state)
            })
        });
        let proc_vars = ProcVars::default();
        config.global.set_vars.apply(None, Now { mono_ms: MONO_MS, unix_us: 0 }, "localhost", &proc_vars);
        Given {
            servers: disabled.collect(),
            backends: HashMap::new(),
            frontends: HashMap::new(),
            rates: Rates::default(),
            process: Vec::new(),
            tables: config.tables.iter().map(|def| Arc::new(Table::new(def))).collect(),
            proc_vars,
            vars: Vec::new(),
            addresses: HashMap::new(),
            response: None,
            hostname: "localhost".to_owned(),
            notes: Vec::new(),
        }
    }

    /// Changes what was told.
    ///
    /// # Errors
    /// It names something that the configuration does not have.
    pub fn tell(&mut self, config: &config::Config, told: &Told) -> Result<(), String> {
        for (backend, server, state) in &told.servers {
            let found = config.backends.iter().find(|b| *b.name == **backend);
            let found = found.ok_or_else(|| format!("there is no backend `{backend}`"))?;
            let name = found.servers.iter().find(|s| *s.name == **server).map(|s| s.name.clone());
            let name = name.ok_or_else(|| format!("backend `{backend}` has no server `{server}`"))?;
            let known = self.servers.entry((found.name.clone(), name)).or_insert(ServerState::IDLE);
            *known = ServerState { state: *state, detail: None, ..known.clone() };
        }
        for entry in &told.tables {
            self.set_entry(entry)?;
        }
        for (name, value) in &told.vars {
            let var = VarRef::parse(name)?;
            match var.scope {
                VarScope::Proc => {
                    self.proc_vars.set(&var, &Sample::Str(value.as_bytes()));
                }
                _ => self.vars.push((var, value.clone())),
            }
        }
        self.addresses.extend(told.addresses.iter().cloned());
        if let Some(response) = &told.response {
            self.response = Some(response.clone());
        }
        Ok(())
    }

    fn set_entry(&self, entry: &Entry) -> Result<(), String> {
        let table = self.tables.iter().find(|table| **table.name() == *entry.table);
        let table = table.ok_or_else(|| format!("there is no stick table `{}`", entry.table))?;
        let key = Key::from_bytes(table.kind(), entry.key.as_bytes());
        let key = key.ok_or_else(|| format!("`{}` is no key of table `{}`", entry.key, entry.table))?;
        let mut values = Vec::new();
        for (name, value) in &entry.data {
            let sel = selector(name).filter(|sel| table.has(*sel));
            let sel = sel.ok_or_else(|| format!("table `{}` does not store `{name}`", entry.table))?;
            values.push((sel, *value));
        }
        if !table.set_from_outside(&key, &values, MONO_MS) {
            return Err(format!("table `{}` is full", entry.table));
        }
        Ok(())
    }

    /// The state of one server.
    pub fn server(&self, backend: &Arc<str>, server: &Arc<str>) -> &ServerState {
        self.servers.get(&(backend.clone(), server.clone())).unwrap_or(&ServerState::IDLE)
    }

    /// Sets the variables that do not belong to the process.
    pub fn set_vars(&self, session: &mut Session, memo: &mut Memo) {
        for (var, value) in &self.vars {
            let sample = Sample::Str(value.as_bytes());
            match var.scope {
                VarScope::Sess => session.vars.get_mut().set(var, &sample),
                _ => memo.vars.get_mut().set(var, &sample),
            };
        }
    }

    /// What rules see of it.
    pub fn world(&self, config: &config::Config) -> Described {
        let mut world = Described {
            process: self.process.iter().copied().collect(),
            tables: self.tables.clone(),
            vars: self.proc_vars.copy(),
            hostname: self.hostname.clone(),
            var_limits: config.global.tune.vars,
            leave_stores: true,
            ..Described::default()
        };
        for front in &config.frontends {
            let mut set = |count, value| world.frontends.insert((front.name.clone(), count), value);
            set(FrontendCount::Connections, i64::from(self.frontends.get(&front.name).copied().unwrap_or(1)));
            let [connections, requests] = self.rates.frontends.get(&front.name).copied().unwrap_or_default();
            set(FrontendCount::SessionRate, connections);
            set(FrontendCount::RequestRate, requests);
            if let Some(time) = front.timeout.client {
                set(FrontendCount::ClientTimeout, time.as_millis() as i64);
            }
        }
        for back in &config.backends {
            self.describe_backend(back, &mut world);
        }
        world
    }

    fn describe_backend(&self, back: &config::Backend, world: &mut Described) {
        let states: Vec<(&ServerState, &config::Server)> =
            back.servers.iter().map(|server| (self.server(&back.name, &server.name), &**server)).collect();
        let usable = || states.iter().filter(|(state, _)| state.state == State::Up);
        let serving = |backup: bool| usable().filter(|(_, s)| s.weight > 0 && s.backup == backup).count() as i64;
        let [sessions, queued] = self.backends.get(&back.name).copied().unwrap_or_default();
        let free = |state: &ServerState, server: &config::Server| match server.maxconn {
            // -1: no limit, as in HAProxy.
            0 => -1,
            limit => (i64::from(limit) - i64::from(state.sessions)).max(0),
        };
        let total = |limited: &dyn Fn(&config::Server) -> bool, one: &dyn Fn(&ServerState, &config::Server) -> i64| {
            match usable().all(|(_, server)| limited(server)) {
                true => usable().map(|(state, server)| one(state, server)).sum(),
                false => -1,
            }
        };
        let mut set = |count, value| world.backends.insert((back.name.clone(), count), value);
        set(
            BackendCount::UsableServers,
            match (serving(false), back.option.allbackups) {
                (0, true) => serving(true),
                (0, false) => serving(true).min(1),
                (active, _) => active,
            },
        );
        set(BackendCount::Connections, i64::from(sessions));
        set(BackendCount::FreeConnections, total(&|server| server.maxconn > 0, &free));
        set(
            BackendCount::FreeSlots,
            total(&|server| server.maxconn > 0 && server.maxqueue > 0, &|state, server| {
                free(state, server) + i64::from(server.maxqueue.saturating_sub(state.queued))
            }),
        );
        let waiting: i64 = states.iter().map(|(state, _)| i64::from(state.queued)).sum();
        set(BackendCount::Queue, i64::from(queued) + waiting);
        set(BackendCount::Id, i64::from(back.id));
        set(BackendCount::SessionRate, self.rates.backends.get(&back.name).copied().unwrap_or_default());
        for (count, time) in
            [(BackendCount::ServerTimeout, back.timeout.server), (BackendCount::TunnelTimeout, back.timeout.tunnel)]
        {
            if let Some(time) = time {
                set(count, time.as_millis() as i64);
            }
        }
        for (state, server) in &states {
            let mut set = |count, value| world.servers.insert((back.name.clone(), server.name.clone(), count), value);
            set(ServerCount::Up, i64::from(state.state == State::Up));
            set(ServerCount::Connections, i64::from(state.sessions));
            set(ServerCount::FreeConnections, free(state, server));
            set(ServerCount::Queue, i64::from(state.queued));
            set(ServerCount::Id, i64::from(server.id));
            let id = (back.name.clone(), server.name.clone());
            set(ServerCount::SessionRate, self.rates.servers.get(&id).copied().unwrap_or_default());
            for weight in [ServerCount::Weight, ServerCount::InitialWeight, ServerCount::UserWeight] {
                set(weight, i64::from(server.weight));
            }
        }
    }
}

/// `http_req_rate`, `gpc(1)`.
fn selector(name: &str) -> Option<DataSel> {
    match name.split_once('(') {
        None => Some(Kind::named(name)?.into()),
        Some((name, index)) => Some(DataSel::nth(Kind::named(name)?, index.strip_suffix(')')?.trim().parse().ok()?)),
    }
}
