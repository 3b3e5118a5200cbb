//! The [`View`] of this moment, filled from the lasting state of frontends, backends and servers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use evenkeel_admin::sampler::Sampler;
use evenkeel_admin::view::{
    AdminState, BackendView, CheckResult, CheckView, FailurePlace, FailureView, FrontendView, Mode, NameserverView,
    ProcessView, ProxyView, ReloadView, ResolversView, ServerView, TimesView, TrafficView, View,
};
use evenkeel_admin::{Source, view};
use evenkeel_backend::{Admin, Group, Slot};
use evenkeel_config as config;
use evenkeel_frontend::{End, Entrance, Failure, Shared, Snapshot};
use evenkeel_stats::{Average, Counter, Responses, Sharded, TrafficSheet};

use crate::certs::Certs;

/// Everything the operator's doors need to know.
pub struct Picture {
    shared: Arc<Shared>,
    threads: usize,
    sampler: RefCell<Sampler>,
    certs: Rc<Certs>,
    pub status: Status,
}

/// What the supervisor reports about itself.
#[derive(Default)]
pub struct Status {
    pub reloads_ok: Cell<u64>,
    pub reloads_failed: Cell<u64>,
    pub last_reload: RefCell<Option<ReloadView>>,
    pub config_loaded: Cell<u64>,
    pub listeners: Cell<u32>,
    pub generations: RefCell<Vec<Weak<Snapshot>>>,
}

/// Seconds since the epoch.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl Picture {
    pub fn new(shared: Arc<Shared>, threads: usize, certs: Rc<Certs>) -> Rc<Picture> {
        let (sampler, status) = (RefCell::new(Sampler::default()), Status::default());
        Rc::new(Picture { shared, threads, sampler, certs, status })
    }

    /// Once a second: rates are the differences of two pictures.
    pub fn tick(&self) {
        let view = self.raw();
        self.sampler.borrow_mut().tick(&view, self.shared.process.started.elapsed());
    }

    /// How many configurations are alive; those that are gone are forgotten.
    pub fn generations_live(&self) -> u32 {
        let mut all = self.status.generations.borrow_mut();
        all.retain(|weak| weak.strong_count() > 0);
        all.len() as u32
    }

    /// The sections of name servers.
    pub fn resolvers(&self) -> Vec<ResolversView> {
        let nameserver = |server: &evenkeel_dns::Nameserver| {
            let said = server.spoken();
            NameserverView {
                name: server.conf.name.to_string(),
                address: format!("{}{}", if server.conf.tcp { "tcp@" } else { "" }, server.conf.address),
                answers: server.answers(),
                sent: said.sent,
                valid: said.valid,
                nx: said.nx,
                refused: said.refused,
                timeout: said.timeout,
                other: said.other,
            }
        };
        let section = |section: &Arc<evenkeel_dns::Section>| {
            let told = section.told();
            ResolversView {
                name: section.conf.name.to_string(),
                questions: told.questions,
                cache_hits: told.hits,
                refused: told.full,
                names: told.names,
                asking: told.asking,
                nameservers: section.nameservers.iter().map(nameserver).collect(),
            }
        };
        self.shared.snapshot.load().resolvers.iter().map(section).collect()
    }

    /// The reasons of what failed since the start, most frequent first, with the places of the present frontends.
    pub fn failures(&self) -> Vec<FailureView> {
        let ends = &self.shared.process.ends;
        let mut all: Vec<FailureView> = End::all()
            .map(|e| FailureView {
                reason: e.label.into(),
                code: e.code.into(),
                fault: e.fault.label().into(),
                stage: e.stage.label().into(),
                count: if e.end.is_error() { ends.sum(|ends| ends.of(e.end)) } else { 0 },
                per_mille: 0,
                explanation: e.sentence.into(),
                next_step: e.next.into(),
                places: Vec::new(),
            })
            .collect();
        for entrance in &self.shared.snapshot.load().frontends {
            let mut places: HashMap<Failure, u64> = HashMap::new();
            for shard in entrance.state.failures.iter() {
                shard.each(|failure, n| *places.entry(failure.clone()).or_insert(0) += n);
            }
            for (Failure { end, backend, server }, count) in places {
                all[end as usize].places.push(FailurePlace {
                    frontend: entrance.conf.name.to_string(),
                    backend: backend.map(|name| name.to_string()),
                    server: server.map(|name| name.to_string()),
                    count,
                });
            }
        }
        FailureView::rank(all)
    }

    /// Counts the failed handshakes of frontends with TLS.
    fn failed_handshakes(&self, view: &mut View) {
        let snapshot = self.shared.snapshot.load();
        for proxy in &mut view.proxies {
            let Some(front) = proxy.frontend.as_mut().filter(|front| front.tls) else { continue };
            let entrance = snapshot.frontends.iter().find(|entrance| entrance.conf.name == proxy.name);
            for shard in entrance.iter().flat_map(|entrance| entrance.state.failures.iter()) {
                shard.each(|failure, n| {
                    if failure.end.is_client_handshake() {
                        front.tls_failed_total += n;
                    }
                });
            }
        }
    }

    fn raw(&self) -> View {
        let snapshot = self.shared.snapshot.load_full();
        let proxies = snapshot.config.order.iter().map(|section| self.proxy(&snapshot, *section)).collect();
        View { process: self.process(&snapshot), proxies, ..View::default() }
    }

    fn process(&self, snapshot: &Snapshot) -> ProcessView {
        let process = &self.shared.process;
        let uptime = process.started.elapsed().as_secs();
        let now = unix_now();
        let all = |count: fn(&Entrance) -> u64| snapshot.frontends.iter().map(|e| count(e)).sum();
        ProcessView {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            node: nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()).unwrap_or_default(),
            time_unix: now,
            started_unix: now.saturating_sub(uptime),
            uptime_seconds: uptime,
            threads: self.threads as u32,
            listeners: self.status.listeners.get(),
            maxconn: process.maxconn.load(Relaxed),
            connections: process.connections.now(),
            connections_total: all(|e| e.state.sheet.sum(|s| &s.connections)),
            requests_total: all(|e| e.state.sheet.sum(|s| &s.requests)),
            bytes_in: all(|e| e.state.sheet.sum(|s| &s.bytes_in)),
            bytes_out: all(|e| e.state.sheet.sum(|s| &s.bytes_out)),
            generation: snapshot.generation,
            generations_live: self.generations_live(),
            draining: process.is_draining(),
            last_reload: self.status.last_reload.borrow().clone(),
            config_loaded_unix: self.status.config_loaded.get(),
            reload_ok_total: self.status.reloads_ok.get(),
            reload_failed_total: self.status.reloads_failed.get(),
            dropped_logs: self.shared.logs.dropped(),
            tls_connections: process.tls.now(),
            tls_connections_limit: snapshot.config.global.max_ssl_conn,
            tls_rate_limit: snapshot.config.global.max_ssl_rate,
            tls_handshakes_total: all(|e| e.state.sheet.sum(|s| &s.tls_handshakes)),
            tls_resumed_total: all(|e| e.state.sheet.sum(|s| &s.tls_resumed)),
            certificate_ok_total: self.certs.counted.ok.get(),
            certificate_failed_total: self.certs.counted.failed.get(),
            ocsp_ok_total: self.certs.counted.ocsp_ok.get(),
            ocsp_failed_total: self.certs.counted.ocsp_failed.get(),
            ends: End::all().map(|e| (e.label, process.ends.sum(|ends| ends.of(e.end)))).collect(),
            ..ProcessView::default()
        }
    }

    fn proxy(&self, snapshot: &Snapshot, section: config::Section) -> ProxyView {
        let (front, back) = match section {
            config::Section::Frontend(f) => (Some(f), None),
            config::Section::Backend(b) => (None, Some(b)),
            config::Section::Listen(f, b) => (Some(f), Some(b)),
        };
        let front = front.map(|at| &snapshot.frontends[at]);
        let back = back.map(|at| &snapshot.groups[at]);
        let (name, id, mode) = match (front, back) {
            (Some(f), _) => (&f.conf.name, f.conf.id, f.conf.mode),
            (None, Some(b)) => (&b.conf.name, b.conf.id, b.conf.mode),
            (None, None) => return ProxyView::default(),
        };
        ProxyView {
            name: name.clone(),
            id,
            mode: match mode {
                config::Mode::Http => Mode::Http,
                config::Mode::Tcp => Mode::Tcp,
            },
            listen: front.is_some() && back.is_some(),
            frontend: front.map(|e| self.frontend(e)),
            servers: back.map_or(Vec::new(), |g| g.slots.iter().map(|slot| self.server(slot)).collect()),
            backend: back.map(|g| self.backend(g)),
        }
    }

    fn frontend(&self, entrance: &Entrance) -> FrontendView {
        let (state, process) = (&entrance.state, &self.shared.process);
        let sheet = &state.sheet;
        FrontendView {
            binds: entrance.conf.binds.iter().map(|b| b.address.to_string()).collect(),
            open: !entrance.conf.disabled && !process.is_draining(),
            sessions: state.sessions.now(),
            sessions_max: state.sessions.max(),
            sessions_limit: match entrance.conf.maxconn {
                0 => process.maxconn.load(Relaxed),
                n => n,
            },
            connections_total: sheet.sum(|s| &s.connections),
            requests_total: sheet.sum(|s| &s.requests),
            h2_connections_total: sheet.sum(|s| &s.h2_connections),
            h2_requests_total: sheet.sum(|s| &s.h2_requests),
            tls: entrance.conf.binds.iter().any(|b| b.tls.is_some()),
            tls_handshakes_total: sheet.sum(|s| &s.tls_handshakes),
            tls_resumed_total: sheet.sum(|s| &s.tls_resumed),
            bytes_in: sheet.sum(|s| &s.bytes_in),
            bytes_out: sheet.sum(|s| &s.bytes_out),
            denied_requests: sheet.sum(|s| &s.denied_requests),
            denied_responses: sheet.sum(|s| &s.denied_responses),
            request_errors: sheet.sum(|s| &s.request_errors),
            intercepted: sheet.sum(|s| &s.intercepted),
            denied_connections: sheet.sum(|s| &s.denied_connections),
            internal_errors: sheet.sum(|s| &s.internal_errors),
            failed_rewrites: sheet.sum(|s| &s.failed_rewrites),
            responses: responses(sheet, |s| &s.responses),
            ..FrontendView::default()
        }
    }

    fn backend(&self, group: &Group) -> BackendView {
        let state = &group.state;
        let sheet = &state.sheet;
        let (_, since, downs, downtime) = state.availability();
        BackendView {
            algorithm: group.conf.balance.to_string(),
            allbackups: group.conf.option.allbackups,
            denied_requests: sheet.sum(|s| &s.denied_requests),
            traffic: TrafficView {
                sessions: state.sessions.now(),
                sessions_max: state.sessions.max(),
                queue: state.queued() + group.slots.iter().map(|s| s.server.queued()).sum::<u32>(),
                queue_max: state.queued_max(),
                last_session_seconds: self.ago(&state.last_session),
                ..traffic(sheet)
            },
            last_change_seconds: since.as_secs(),
            downtime_seconds: downtime.as_secs(),
            down_transitions: downs,
        }
    }

    fn server(&self, slot: &Slot) -> ServerView {
        let (server, conf) = (&slot.server, &slot.conf);
        let check = server.check();
        let idle: u32 = server.idle.iter().map(|l| l.get()).sum();
        let down_now = if server.is_up() { 0 } else { check.changed.elapsed().as_secs() };
        ServerView {
            name: server.name.clone(),
            id: conf.id,
            address: conf.address.to_string(),
            admin: match server.admin() {
                Admin::Ready => AdminState::Ready,
                Admin::Drain => AdminState::Drain,
                Admin::Maint => AdminState::Maint,
            },
            up: server.is_up(),
            check: conf.check.as_ref().map(|c| check_view(c, &check)),
            backup: conf.backup,
            weight: u32::from(conf.weight),
            user_weight: u32::from(conf.weight),
            throttle_percent: None,
            queue_limit: conf.maxqueue,
            last_change_seconds: check.changed.elapsed().as_secs(),
            downtime_seconds: check.downtime.as_secs() + down_now,
            down_transitions: check.downs,
            used_connections: server.sessions.now(),
            idle_connections: idle,
            safe_idle_connections: idle,
            idle_connections_limit: self.pool_limit(),
            traffic: TrafficView {
                sessions: server.sessions.now(),
                sessions_max: server.sessions.max(),
                sessions_limit: conf.maxconn,
                queue: server.queued(),
                queue_max: server.queued_max(),
                last_session_seconds: self.ago(&server.last_session),
                ..traffic(&server.sheet)
            },
        }
    }

    fn pool_limit(&self) -> Option<u32> {
        self.shared.snapshot.load().config.global.tune.pool_max_conn
    }

    /// Seconds since the moment a worker noted as "process seconds plus one".
    fn ago(&self, noted: &AtomicU64) -> Option<u64> {
        let at = noted.load(Relaxed).checked_sub(1)?;
        Some(self.shared.process.started.elapsed().as_secs().saturating_sub(at))
    }
}

impl Source for Picture {
    fn view(&self) -> View {
        let mut view = self.raw();
        view.process.failures = self.failures();
        view.certificates = self.certs.views();
        view.resolvers = self.resolvers();
        self.failed_handshakes(&mut view);
        self.sampler.borrow().fill(&mut view, self.shared.process.started.elapsed());
        view
    }

    fn ready(&self) -> Result<(), String> {
        match self.shared.process.is_draining() {
            true => Err("draining: this process finishes its connections and leaves".into()),
            false => Ok(()),
        }
    }
}

fn check_view(conf: &config::Check, state: &evenkeel_backend::CheckState) -> CheckView {
    let result = |(report, at): &(evenkeel_health::Report, std::time::Instant)| CheckResult {
        status: report.status.as_str().into(),
        description: report.status.description().into(),
        code: report.code,
        info: report.info.clone(),
        duration_ms: report.duration.as_millis() as u64,
        age_seconds: at.elapsed().as_secs(),
    };
    CheckView {
        running: state.running,
        rise: conf.rise,
        fall: conf.fall,
        health: state
            .machine
            .as_ref()
            .map_or(0, |m| if m.is_up() { conf.rise + m.health().0 - 1 } else { m.health().0 }),
        failures: state.failures,
        last: state.last.as_ref().map(result),
        last_failure: state.last_failure.as_ref().map(result),
    }
}

/// The counters that a backend and a server have in common.
fn traffic(sheet: &Sharded<TrafficSheet>) -> TrafficView {
    TrafficView {
        sessions_total: sheet.sum(|s| &s.sessions),
        requests_total: sheet.sum(|s| &s.requests),
        bytes_in: sheet.sum(|s| &s.bytes_in),
        bytes_out: sheet.sum(|s| &s.bytes_out),
        denied_responses: sheet.sum(|s| &s.denied_responses),
        connect_errors: sheet.sum(|s| &s.connect_errors),
        response_errors: sheet.sum(|s| &s.response_errors),
        retries: sheet.sum(|s| &s.retries),
        redispatches: sheet.sum(|s| &s.redispatches),
        chosen: sheet.sum(|s| &s.chosen),
        client_aborts: sheet.sum(|s| &s.client_aborts),
        server_aborts: sheet.sum(|s| &s.server_aborts),
        connects: sheet.sum(|s| &s.connects),
        reuses: sheet.sum(|s| &s.reuses),
        internal_errors: sheet.sum(|s| &s.internal_errors),
        failed_rewrites: sheet.sum(|s| &s.failed_rewrites),
        responses: responses(sheet, |s| &s.responses),
        times: times(sheet, [|s| &s.queue_time, |s| &s.connect_time, |s| &s.response_time, |s| &s.total_time]),
        ..TrafficView::default()
    }
}

fn responses<T>(sheet: &Sharded<T>, of: fn(&T) -> &Responses) -> view::ResponsesView {
    let mut sums = [0; 6];
    for shard in sheet.iter() {
        let cells: &[Counter; 6] = &of(shard).0;
        sums.iter_mut().zip(cells).for_each(|(sum, cell)| *sum += cell.get());
    }
    sums.into()
}

fn times<T>(sheet: &Sharded<T>, of: [fn(&T) -> &Average; 4]) -> TimesView {
    let [queue, connect, response, total] = of.map(|f| (sheet.mean(f), u64::from(sheet.peak(f))));
    TimesView {
        queue_ms: queue.0,
        connect_ms: connect.0,
        response_ms: response.0,
        total_ms: total.0,
        queue_max_ms: queue.1,
        connect_max_ms: connect.1,
        response_max_ms: response.1,
        total_max_ms: total.1,
    }
}
