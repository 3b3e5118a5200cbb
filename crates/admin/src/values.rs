//! Where each number of the catalogue comes from.
//!
//! Owns: [`Object`], one row of the statistics, and [`Object::value`], which finds the value of a catalogue entry in it.
//! CSV, JSON and metrics all ask here, so they cannot disagree. Blank means "does not apply", 0 means "applies, none
//! so far"; the rules of HAProxy's manual 9.1 are kept.

use std::borrow::Cow;

use evenkeel_stats::catalog::{Entry, Field, Scope};
use serde::Serialize;

use crate::view::{
    BackendView, CertificateView, FrontendView, Mode, NameserverView, ProcessView, ProxyView, ResolversView,
    ResponsesView, ServerView, TrafficView, View,
};

/// Something that has numbers.
#[derive(Clone, Copy, Debug)]
pub enum Object<'a> {
    /// The process; no CSV row.
    Process(&'a ProcessView),
    /// A `FRONTEND` row.
    Frontend(&'a ProxyView, &'a FrontendView),
    /// A server's row.
    Server(&'a ProxyView, &'a ServerView),
    /// A `BACKEND` row.
    Backend(&'a ProxyView, &'a BackendView),
    /// A certificate; no CSV row.
    Certificate(&'a CertificateView),
    /// A section of name servers; no CSV row.
    Resolvers(&'a ResolversView),
    /// A name server of a section; no CSV row.
    Resolver(&'a ResolversView, &'a NameserverView),
}

/// A value; what it counts in is the catalogue's matter.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value<'a> {
    /// Does not apply.
    Blank,
    /// A number.
    Number(i64),
    /// A counter.
    Count(u64),
    /// Text.
    Text(Cow<'a, str>),
}

impl Value<'_> {
    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Number(n) => Some(*n as f64),
            Value::Count(n) => Some(*n as f64),
            Value::Blank | Value::Text(_) => None,
        }
    }
}

impl From<u32> for Value<'_> {
    fn from(n: u32) -> Self {
        Value::Count(n.into())
    }
}

impl From<u64> for Value<'_> {
    fn from(n: u64) -> Self {
        Value::Count(n)
    }
}

impl From<usize> for Value<'_> {
    fn from(n: usize) -> Self {
        Value::Count(n as u64)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(s: &'a str) -> Self {
        Value::Text(s.into())
    }
}

/// Every row in HAProxy's order: per proxy FRONTEND, servers, BACKEND.
pub fn rows(view: &View) -> impl Iterator<Item = Object<'_>> {
    view.proxies.iter().flat_map(|p| {
        let frontend = p.frontend.iter().map(move |f| Object::Frontend(p, f));
        let servers = p.servers.iter().map(move |s| Object::Server(p, s));
        let backend = p.backend.iter().map(move |b| Object::Backend(p, b));
        frontend.chain(servers).chain(backend)
    })
}

impl<'a> Object<'a> {
    /// Its scope.
    pub fn scope(self) -> Scope {
        match self {
            Object::Process(_) => Scope::Process,
            Object::Frontend(..) => Scope::Frontend,
            Object::Server(..) => Scope::Server,
            Object::Backend(..) => Scope::Backend,
            Object::Certificate(_) => Scope::Certificate,
            Object::Resolvers(_) => Scope::Resolvers,
            Object::Resolver(..) => Scope::Resolver,
        }
    }

    /// Its proxy.
    pub fn proxy(self) -> Option<&'a ProxyView> {
        match self {
            Object::Process(_) | Object::Certificate(_) | Object::Resolvers(_) | Object::Resolver(..) => None,
            Object::Frontend(p, _) | Object::Server(p, _) | Object::Backend(p, _) => Some(p),
        }
    }

    /// The value of `entry` for this object.
    pub fn value(self, entry: &Entry) -> Value<'a> {
        if !entry.scopes.has(self.scope()) {
            return Value::Blank;
        }
        match self {
            Object::Process(p) => process(p, entry.field),
            Object::Frontend(p, f) => common(self, p, entry.field).unwrap_or_else(|| frontend(p, f, entry.field)),
            Object::Server(p, s) => common(self, p, entry.field).unwrap_or_else(|| server(p, s, entry.field)),
            Object::Backend(p, b) => common(self, p, entry.field).unwrap_or_else(|| backend(p, b, entry.field)),
            Object::Certificate(c) => certificate(c, entry.field),
            Object::Resolvers(r) => resolvers(r, entry.field),
            Object::Resolver(_, n) => nameserver(n, entry.field),
        }
    }

    /// Ends by reason; only the process has them.
    pub fn reasons(self) -> Vec<(&'static str, u64)> {
        match self {
            Object::Process(p) => p.ends.iter().map(|(reason, n)| (*reason, *n)).collect(),
            _ => Vec::new(),
        }
    }

    /// The series of label `state` of `entry`: each possible state with its count, or nothing when it does not apply.
    pub fn states(self, entry: &Entry) -> Vec<(&'static str, u64)> {
        let states = entry.states(self.scope());
        let one = |present: &str| states.iter().map(|s| (*s, u64::from(*s == present))).collect();
        let count = |p: &ProxyView, of: &dyn Fn(&ServerView) -> Option<String>| {
            let words: Vec<_> = p.servers.iter().filter_map(of).collect();
            states.iter().map(|s| (*s, words.iter().filter(|w| w == s).count() as u64)).collect()
        };
        let checked = |s: &ServerView| Some(s.check.as_ref()?.last.as_ref()?.status.to_string());
        match (entry.field, self) {
            (Field::Status, Object::Frontend(_, f)) => one(if f.open { "UP" } else { "DOWN" }),
            (Field::Status, Object::Backend(p, _)) => one(if p.backend_up() { "UP" } else { "DOWN" }),
            (Field::Status, Object::Server(_, s)) => one(s.metric_state()),
            (Field::CheckStatus, Object::Server(_, s)) => checked(s).map(|word| one(&word)).unwrap_or_default(),
            (Field::AggServerStatus | Field::AggServerCheckStatus, Object::Backend(p, _)) => {
                count(p, &|s| Some(s.metric_state().to_owned()))
            }
            (Field::AggCheckStatus, Object::Backend(p, _)) => count(p, &checked),
            _ => Vec::new(),
        }
    }
}

/// What every CSV row has.
fn common<'a>(object: Object<'a>, p: &'a ProxyView, field: Field) -> Option<Value<'a>> {
    let (name, id, kind) = match object {
        Object::Process(_) | Object::Certificate(_) | Object::Resolvers(_) | Object::Resolver(..) => return None,
        Object::Frontend(..) => ("FRONTEND", 0, 0u32),
        Object::Backend(..) => ("BACKEND", 0, 1),
        Object::Server(_, s) => (&*s.name, s.id, 2),
    };
    Some(match field {
        Field::Pxname => Value::from(&*p.name),
        Field::Svname => Value::from(name),
        Field::Pid => Value::Count(1),
        Field::Iid => p.id.into(),
        Field::Sid => id.into(),
        Field::Type => kind.into(),
        Field::Mode => p.mode.word().into(),
        _ => return None,
    })
}

fn frontend<'a>(p: &'a ProxyView, f: &'a FrontendView, field: Field) -> Value<'a> {
    let http = |v: u64| if p.mode == Mode::Http { Value::Count(v) } else { Value::Blank };
    match field {
        Field::Scur => f.sessions.into(),
        Field::Smax => f.sessions_max.into(),
        Field::Slim => f.sessions_limit.into(),
        Field::Stot | Field::ConnTot => f.connections_total.into(),
        Field::Bin | Field::Reqbin => f.bytes_in.into(),
        Field::Bout | Field::Resbout => f.bytes_out.into(),
        Field::Dreq => f.denied_requests.into(),
        Field::Dresp => f.denied_responses.into(),
        Field::Ereq => f.request_errors.into(),
        Field::Status => Value::from(if f.open { "OPEN" } else { "STOP" }),
        Field::Rate | Field::ConnRate => f.connection_rate.now.into(),
        // No rate-limit keyword exists, so the limit is HAProxy's word for none.
        Field::RateLim => Value::Count(0),
        Field::RateMax | Field::ConnRateMax => f.connection_rate.max.into(),
        Field::ReqRate => f.request_rate.now.into(),
        Field::ReqRateMax => f.request_rate.max.into(),
        Field::ReqTot => f.requests_total.into(),
        Field::Intercepted => http(f.intercepted),
        Field::Dcon => f.denied_connections.into(),
        Field::Dses => f.denied_sessions.into(),
        Field::Wrew => f.failed_rewrites.into(),
        Field::Eint => f.internal_errors.into(),
        Field::SessOther => Value::Count(if p.mode == Mode::Tcp { f.connections_total } else { 0 }),
        Field::H1sess => http(f.connections_total.saturating_sub(f.h2_connections_total)),
        Field::H2sess => http(f.h2_connections_total),
        Field::ReqOther => Value::Count(if p.mode == Mode::Tcp { f.requests_total } else { 0 }),
        Field::H1req => http(f.requests_total.saturating_sub(f.h2_requests_total)),
        Field::H2req => http(f.h2_requests_total),
        Field::TlsFull | Field::TlsResumed | Field::TlsFailed if !f.tls => Value::Blank,
        Field::TlsFull => f.tls_handshakes_total.saturating_sub(f.tls_resumed_total).into(),
        Field::TlsResumed => f.tls_resumed_total.into(),
        Field::TlsFailed => f.tls_failed_total.into(),
        _ => response_class(&f.responses, field).map(http).unwrap_or_else(|| absent_feature(p, field)),
    }
}

fn server<'a>(p: &'a ProxyView, s: &'a ServerView, field: Field) -> Value<'a> {
    let check = s.check.as_ref();
    let last = check.and_then(|c| c.last.as_ref());
    let opt = |v: Option<u64>| v.map_or(Value::Blank, Value::Count);
    match field {
        Field::Status => Value::Text(s.status()),
        Field::Weight => s.weight.into(),
        Field::Uweight => s.user_weight.into(),
        Field::Act => u32::from(!s.backup).into(),
        Field::Bck => u32::from(s.backup).into(),
        Field::Chkfail => opt(check.map(|c| c.failures)),
        Field::Chkdown => opt(check.map(|_| s.down_transitions)),
        Field::Lastchg => s.last_change_seconds.into(),
        Field::Downtime => opt(check.map(|_| s.downtime_seconds)),
        Field::Qlimit => unless_zero(s.queue_limit),
        Field::Slim => unless_zero(s.traffic.sessions_limit),
        Field::Throttle => opt(s.throttle_percent.map(u64::from)),
        Field::CheckStatus => match (check, last) {
            (Some(c), Some(r)) if c.running => Value::Text(format!("* {}", r.status).into()),
            (Some(_), Some(r)) => Value::from(&*r.status),
            (Some(_), None) => Value::from("INI"),
            (None, _) => Value::Blank,
        },
        Field::CheckCode => opt(last.and_then(|r| r.code).map(u64::from)),
        Field::CheckDuration => opt(last.map(|r| r.duration_ms)),
        Field::LastChk => last.map_or(Value::Blank, |r| Value::from(&*r.info)),
        Field::CheckDesc => match (check, last) {
            (Some(_), Some(r)) => Value::from(&*r.description),
            (Some(_), None) => Value::from("Initializing"),
            (None, _) => Value::Blank,
        },
        Field::CheckRise => opt(check.map(|c| c.rise.into())),
        Field::CheckFall => opt(check.map(|c| c.fall.into())),
        Field::CheckHealth => opt(check.map(|c| c.health.into())),
        Field::Addr => Value::from(&*s.address),
        Field::SrvIcur => s.idle_connections.into(),
        Field::SrcIlim => opt(s.idle_connections_limit.map(u64::from)),
        Field::IdleConnCur => s.idle_connections.saturating_sub(s.safe_idle_connections).into(),
        Field::SafeConnCur => s.safe_idle_connections.into(),
        Field::UsedConnCur => s.used_connections.into(),
        // The pools keep no estimate: what is in use is what is needed.
        Field::NeedConnEst => s.used_connections.into(),
        Field::Srid | Field::PrivIdleCur => Value::Count(0),
        _ => traffic(p, &s.traffic, field),
    }
}

fn backend<'a>(p: &'a ProxyView, b: &'a BackendView, field: Field) -> Value<'a> {
    match field {
        Field::Status => Value::from(if p.backend_up() { "UP" } else { "DOWN" }),
        Field::Weight => p.backend_weight().0.into(),
        Field::Uweight => p.backend_weight().1.into(),
        Field::Act => p.usable_servers().0.into(),
        Field::Bck => p.usable_servers().1.into(),
        Field::Chkdown => b.down_transitions.into(),
        Field::Lastchg => b.last_change_seconds.into(),
        Field::Downtime => b.downtime_seconds.into(),
        Field::Slim => b.traffic.sessions_limit.into(),
        Field::Dreq => b.denied_requests.into(),
        Field::Algo => Value::from(&*b.algorithm),
        // Metrics give these by state; a cell has room for one number and HAProxy prints 0.
        Field::AggServerStatus | Field::AggServerCheckStatus | Field::AggCheckStatus => Value::Count(0),
        _ => traffic(p, &b.traffic, field),
    }
}

fn traffic<'a>(p: &'a ProxyView, t: &'a TrafficView, field: Field) -> Value<'a> {
    let http = |v: u64| if p.mode == Mode::Http { Value::Count(v) } else { Value::Blank };
    match field {
        Field::Qcur => t.queue.into(),
        Field::Qmax => t.queue_max.into(),
        Field::Scur => t.sessions.into(),
        Field::Smax => t.sessions_max.into(),
        Field::Stot => t.sessions_total.into(),
        Field::Bin | Field::Reqbout => t.bytes_in.into(),
        Field::Bout | Field::Resbin => t.bytes_out.into(),
        Field::Dresp => t.denied_responses.into(),
        Field::Econ => t.connect_errors.into(),
        Field::Eresp => t.response_errors.into(),
        Field::Wretr => t.retries.into(),
        Field::Wredis => t.redispatches.into(),
        Field::Lbtot => t.chosen.into(),
        Field::Rate => t.session_rate.now.into(),
        Field::RateMax => t.session_rate.max.into(),
        Field::ReqTot => http(t.requests_total),
        Field::CliAbrt => t.client_aborts.into(),
        Field::SrvAbrt => t.server_aborts.into(),
        Field::Lastsess => Value::Number(t.last_session_seconds.map_or(-1, |s| i64::try_from(s).unwrap_or(i64::MAX))),
        Field::Qtime => t.times.queue_ms.into(),
        Field::Ctime => t.times.connect_ms.into(),
        Field::Rtime => t.times.response_ms.into(),
        Field::Ttime => t.times.total_ms.into(),
        Field::QtimeMax => t.times.queue_max_ms.into(),
        Field::CtimeMax => t.times.connect_max_ms.into(),
        Field::RtimeMax => t.times.response_max_ms.into(),
        Field::TtimeMax => t.times.total_max_ms.into(),
        Field::Wrew => t.failed_rewrites.into(),
        Field::Connect => t.connects.into(),
        Field::Reuse => t.reuses.into(),
        Field::Eint => t.internal_errors.into(),
        _ => response_class(&t.responses, field).map(http).unwrap_or_else(|| absent_feature(p, field)),
    }
}

/// Columns of features that this version does not have: nothing is compressed, cached or spoken over HTTP/3, so a column
/// that applies is a true 0, and one that needs the feature configured is blank.
fn absent_feature<'a>(p: &ProxyView, field: Field) -> Value<'a> {
    match field {
        Field::CompIn | Field::CompOut | Field::CompByp | Field::CompRsp => Value::Count(0),
        Field::CacheLookups | Field::CacheHits | Field::CacheHintHits | Field::H3sess | Field::H3req
            if p.mode == Mode::Http =>
        {
            Value::Count(0)
        }
        _ => Value::Blank,
    }
}

fn response_class(r: &ResponsesView, field: Field) -> Option<u64> {
    Some(match field {
        Field::Hrsp1xx => r.r1xx,
        Field::Hrsp2xx => r.r2xx,
        Field::Hrsp3xx => r.r3xx,
        Field::Hrsp4xx => r.r4xx,
        Field::Hrsp5xx => r.r5xx,
        Field::HrspOther => r.other,
        _ => return None,
    })
}

fn process<'a>(p: &'a ProcessView, field: Field) -> Value<'a> {
    let reload_failed = p.last_reload.as_ref().is_some_and(|r| r.error.is_some());
    match field {
        Field::BuildInfo => Value::from(&*p.version),
        Field::Node => Value::from(&*p.node),
        Field::UptimeSeconds => p.uptime_seconds.into(),
        Field::StartTime => p.started_unix.into(),
        Field::Threads => p.threads.into(),
        Field::Processes | Field::ProcessId => Value::Count(1),
        Field::ConnectionsLimit | Field::ConnectionsHardLimit => unless_zero(p.maxconn),
        Field::Connections => p.connections.into(),
        Field::ConnectionsTotal => p.connections_total.into(),
        Field::RequestsTotal => p.requests_total.into(),
        Field::ConnectionRate | Field::SessionRate => p.connection_rate.now.into(),
        Field::ConnectionRateMax | Field::SessionRateMax => p.connection_rate.max.into(),
        Field::BytesOutTotal => p.bytes_out.into(),
        Field::BytesOutRate => p.bytes_out_rate.now.into(),
        Field::Listeners => p.listeners.into(),
        Field::Draining => u32::from(p.draining).into(),
        Field::DroppedLogs => p.dropped_logs.into(),
        Field::ConfigGeneration => p.generation.into(),
        Field::ConfigGenerations => p.generations_live.into(),
        Field::ConfigLastReloadSuccess => u32::from(!reload_failed).into(),
        Field::ConfigLastReload => p.last_reload.as_ref().map_or(Value::Blank, |r| r.at_unix.into()),
        Field::ConfigLastReloadSuccessTime => p.config_loaded_unix.into(),
        Field::ConfigReloadsOk => p.reload_ok_total.into(),
        Field::ConfigReloadsFailed => p.reload_failed_total.into(),
        Field::TlsConnections => p.tls_connections.into(),
        Field::TlsConnectionsLimit => unless_zero(p.tls_connections_limit),
        Field::TlsHandshakesTotal => p.tls_handshakes_total.into(),
        Field::TlsRate => p.tls_rate.now.into(),
        Field::TlsRateMax => p.tls_rate.max.into(),
        Field::TlsRateLimit => unless_zero(p.tls_rate_limit),
        Field::TlsFullRate => p.tls_full_rate.now.into(),
        Field::TlsFullRateMax => p.tls_full_rate.max.into(),
        Field::TlsReuse => {
            let (all, full) = (u64::from(p.tls_rate.now), u64::from(p.tls_full_rate.now));
            (all.saturating_sub(full) * 100).checked_div(all).unwrap_or(0).into()
        }
        Field::CertificatesOk => p.certificate_ok_total.into(),
        Field::CertificatesFailed => p.certificate_failed_total.into(),
        Field::OcspOk => p.ocsp_ok_total.into(),
        Field::OcspFailed => p.ocsp_failed_total.into(),
        _ => Value::Blank,
    }
}

fn certificate<'a>(c: &'a CertificateView, field: Field) -> Value<'a> {
    match field {
        Field::CertificateStart => Value::Number(c.not_before),
        Field::CertificateExpiry => Value::Number(c.not_after),
        Field::CertificateOcspExpiry => c.ocsp.as_ref().and_then(|ocsp| ocsp.until).map_or(Value::Blank, Value::Number),
        _ => Value::Blank,
    }
}

fn resolvers<'a>(r: &ResolversView, field: Field) -> Value<'a> {
    match field {
        Field::ResolversQuestions => r.questions.into(),
        Field::ResolversHits => r.cache_hits.into(),
        Field::ResolversRefused => r.refused.into(),
        Field::ResolversNames => (r.names as u64).into(),
        _ => Value::Blank,
    }
}

fn nameserver<'a>(n: &NameserverView, field: Field) -> Value<'a> {
    match field {
        Field::ResolverSent => n.sent.into(),
        Field::ResolverValid => n.valid.into(),
        Field::ResolverNx => n.nx.into(),
        Field::ResolverRefused => n.refused.into(),
        Field::ResolverTimeout => n.timeout.into(),
        Field::ResolverOther => n.other.into(),
        _ => Value::Blank,
    }
}

fn unless_zero<'a>(n: u32) -> Value<'a> {
    if n == 0 { Value::Blank } else { n.into() }
}
