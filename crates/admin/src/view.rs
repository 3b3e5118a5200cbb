//! What the operator's doors show, as plain data.
//!
//! Owns: [`View`], one picture of the process: every number a page, a CSV cell or a metric needs, and the words derived
//! from them (server states, weights of a backend). Filled by the caller from the registry once a request; rates and
//! histories come from [`crate::sampler::Sampler`]. Read by every exporter of this crate.
//!
//! Never: reads a clock or a counter itself; the picture is complete when it is handed over. Serialised as it stands by
//! `/api/v1/stats`, so a field's name is a contract: add, never rename.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

mod certificate;
mod resolvers;

pub use certificate::{CertificateView, Lapse, OcspView};
pub use resolvers::{NameserverView, ResolversView};

/// One picture of the process.
#[derive(Clone, Debug, Default, Serialize)]
pub struct View {
    /// The process.
    pub process: ProcessView,
    /// Every proxy, in file order; a `listen` is one proxy with both halves.
    pub proxies: Vec<ProxyView>,
    /// Every certificate that binds serve, the one that ends first at the front.
    pub certificates: Vec<CertificateView>,
    /// Sections of name servers, in file order.
    pub resolvers: Vec<ResolversView>,
}

/// The process as a whole.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProcessView {
    /// Version of the program, without a name or a `v`.
    pub version: Cow<'static, str>,
    /// Process id.
    pub pid: u32,
    /// Name of this host.
    pub node: String,
    /// The moment of this picture, Unix time in seconds.
    pub time_unix: u64,
    /// When the process started, Unix time in seconds.
    pub started_unix: u64,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Worker threads.
    pub threads: u32,
    /// Listening addresses.
    pub listeners: u32,
    /// Client connections allowed at once (`global.maxconn`), 0 = no limit.
    pub maxconn: u32,
    /// Client connections open now.
    pub connections: u32,
    /// Client connections accepted.
    pub connections_total: u64,
    /// HTTP requests received.
    pub requests_total: u64,
    /// Bytes received from clients.
    pub bytes_in: u64,
    /// Bytes sent to clients.
    pub bytes_out: u64,
    /// Number of the configuration in use, 1 at start.
    pub generation: u64,
    /// Configurations still in memory, the one in use included.
    pub generations_live: u32,
    /// Whether the process finishes its connections before it leaves.
    pub draining: bool,
    /// The last reload that was tried.
    pub last_reload: Option<ReloadView>,
    /// When the configuration in use was loaded, Unix time in seconds.
    pub config_loaded_unix: u64,
    /// Reloads that succeeded.
    pub reload_ok_total: u64,
    /// Reloads that failed.
    pub reload_failed_total: u64,
    /// Requests (HTTP) and connections (TCP) by how they ended, every reason named.
    pub ends: BTreeMap<&'static str, u64>,
    /// The reasons of what failed, most frequent first; those that did not occur are left out.
    pub failures: Vec<FailureView>,
    /// Log lines dropped because the log thread could not keep up.
    pub dropped_logs: u64,
    /// Client connections with TLS, handshakes under way included (`CurrSslConns`).
    pub tls_connections: u32,
    /// Client connections with TLS allowed at once (`maxsslconn`), 0 = no limit.
    pub tls_connections_limit: u32,
    /// TLS handshakes of clients allowed in a second (`maxsslrate`), 0 = no limit.
    pub tls_rate_limit: u32,
    /// TLS handshakes with clients that were completed (`CumSslConns`).
    pub tls_handshakes_total: u64,
    /// Of these, handshakes that took up an earlier session.
    pub tls_resumed_total: u64,
    /// Certificates taken in at run time, by command or from a watched file.
    pub certificate_ok_total: u64,
    /// Attempts to do so that were refused.
    pub certificate_failed_total: u64,
    /// OCSP responses that were fetched and stapled.
    pub ocsp_ok_total: u64,
    /// Attempts to do so that failed.
    pub ocsp_failed_total: u64,
    /// Connections per second. Filled by the sampler.
    pub connection_rate: Rate,
    /// Requests per second. Filled by the sampler.
    pub request_rate: Rate,
    /// Bytes sent to clients per second. Filled by the sampler.
    pub bytes_out_rate: Rate,
    /// TLS handshakes completed per second (`SslRate`). Filled by the sampler.
    pub tls_rate: Rate,
    /// Of these, full ones (`SslFrontendKeyRate`). Filled by the sampler.
    pub tls_full_rate: Rate,
}

/// One reason of failed requests and connections, with all that is to be said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureView {
    /// Its label, as in the log and in metrics.
    pub reason: Cow<'static, str>,
    /// Its code, for `evenkeel explain`.
    pub code: Cow<'static, str>,
    /// Whose fault it was.
    pub fault: Cow<'static, str>,
    /// What was going on.
    pub stage: Cow<'static, str>,
    /// How often since the start.
    pub count: u64,
    /// Of a thousand failures.
    pub per_mille: u64,
    /// What happened.
    pub explanation: Cow<'static, str>,
    /// What to do next.
    pub next_step: Cow<'static, str>,
    /// Where, most frequent first, at most [`FailureView::PLACES`].
    pub places: Vec<FailurePlace>,
}

/// Where a failure happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailurePlace {
    /// The frontend.
    pub frontend: String,
    /// The backend, once one was chosen.
    pub backend: Option<String>,
    /// The server, once one was chosen.
    pub server: Option<String>,
    /// How often.
    pub count: u64,
}

impl FailureView {
    /// How many places are told.
    pub const PLACES: usize = 5;

    /// Brings a list into its order, counts shares, and cuts the places.
    pub fn rank(mut all: Vec<FailureView>) -> Vec<FailureView> {
        let sum: u64 = all.iter().map(|f| f.count).sum();
        all.retain(|f| f.count > 0);
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.code.cmp(&b.code)));
        for f in &mut all {
            // A share of a sum is at most 1000.
            f.per_mille = (u128::from(f.count) * 1000 / u128::from(sum)) as u64;
            f.places.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.cmp(b)));
            f.places.truncate(FailureView::PLACES);
        }
        all
    }
}

impl FailurePlace {
    /// `web`, `web → app`, `web → app/app1`.
    pub fn path(&self) -> String {
        match (&self.backend, &self.server) {
            (Some(backend), Some(server)) => format!("{} \u{2192} {backend}/{server}", self.frontend),
            (Some(backend), None) => format!("{} \u{2192} {backend}", self.frontend),
            (None, _) => self.frontend.clone(),
        }
    }
}

/// How a reload ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReloadView {
    /// When, Unix time in seconds.
    pub at_unix: u64,
    /// Why it failed, for a person, as `evenkeel check` prints it; `None` when it succeeded.
    pub error: Option<String>,
}

/// One section of the configuration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProxyView {
    /// Its name.
    #[serde(serialize_with = "text")]
    pub name: Arc<str>,
    /// Numeric id (`iid`).
    pub id: u32,
    /// Layer.
    pub mode: Mode,
    /// Whether it is a `listen` section.
    pub listen: bool,
    /// Its client side.
    pub frontend: Option<FrontendView>,
    /// Its servers, in file order.
    pub servers: Vec<ServerView>,
    /// Its server side.
    pub backend: Option<BackendView>,
}

/// HTTP or plain TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Layer 7.
    #[default]
    Http,
    /// Layer 4.
    Tcp,
}

impl Mode {
    /// The word in the file and in CSV.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Http => "http",
            Mode::Tcp => "tcp",
        }
    }
}

/// Events in the last second, the most in any second, and the last minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// In the last second.
    pub now: u32,
    /// The most in one second since the start.
    pub max: u32,
    /// The last seconds, oldest first, at most [`crate::sampler::HISTORY`].
    pub history: Vec<u32>,
}

/// Responses by status class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ResponsesView {
    pub r1xx: u64,
    pub r2xx: u64,
    pub r3xx: u64,
    pub r4xx: u64,
    pub r5xx: u64,
    pub other: u64,
}

impl From<[u64; 6]> for ResponsesView {
    fn from([r1xx, r2xx, r3xx, r4xx, r5xx, other]: [u64; 6]) -> Self {
        ResponsesView { r1xx, r2xx, r3xx, r4xx, r5xx, other }
    }
}

impl ResponsesView {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.r1xx + self.r2xx + self.r3xx + self.r4xx + self.r5xx + self.other
    }
}

/// Sliding averages and maxima, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TimesView {
    /// In queue (`qtime`).
    pub queue_ms: u64,
    /// To connect (`ctime`).
    pub connect_ms: u64,
    /// To the response head (`rtime`).
    pub response_ms: u64,
    /// In all (`ttime`).
    pub total_ms: u64,
    /// Longest in queue.
    pub queue_max_ms: u64,
    /// Longest connect.
    pub connect_max_ms: u64,
    /// Longest wait for a response head.
    pub response_max_ms: u64,
    /// Longest in all.
    pub total_max_ms: u64,
}

/// The client side of a proxy. Counter names as in [`evenkeel_stats::FrontendSheet`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct FrontendView {
    /// Addresses it listens on.
    pub binds: Vec<String>,
    /// Whether it accepts connections; `false` once its listeners are closed.
    pub open: bool,
    /// Connections open now (`scur`).
    pub sessions: u32,
    /// Most connections at once (`smax`).
    pub sessions_max: u32,
    /// Limit of connections at once (`slim`): its own or the process's.
    pub sessions_limit: u32,
    /// Connections accepted (`stot`, `conn_tot`).
    pub connections_total: u64,
    /// HTTP requests (`req_tot`).
    pub requests_total: u64,
    /// Of these, HTTP/2 (`h2req`); the rest is HTTP/1.
    pub h2_requests_total: u64,
    /// Of the connections, HTTP/2 (`h2sess`).
    pub h2_connections_total: u64,
    /// Whether any of its addresses ends TLS.
    pub tls: bool,
    /// TLS handshakes that were completed.
    pub tls_handshakes_total: u64,
    /// Of these, handshakes that took up an earlier session.
    pub tls_resumed_total: u64,
    /// TLS handshakes that failed.
    pub tls_failed_total: u64,
    /// Bytes from clients (`bin`).
    pub bytes_in: u64,
    /// Bytes to clients (`bout`).
    pub bytes_out: u64,
    /// `dreq`.
    pub denied_requests: u64,
    /// `dresp`.
    pub denied_responses: u64,
    /// `ereq`.
    pub request_errors: u64,
    /// `intercepted`.
    pub intercepted: u64,
    /// `dcon`.
    pub denied_connections: u64,
    /// `dses`.
    pub denied_sessions: u64,
    /// `eint`.
    pub internal_errors: u64,
    /// `wrew`.
    pub failed_rewrites: u64,
    /// `hrsp_*`.
    pub responses: ResponsesView,
    /// Connections per second (`rate`, `conn_rate`). Filled by the sampler.
    pub connection_rate: Rate,
    /// Requests per second (`req_rate`). Filled by the sampler.
    pub request_rate: Rate,
}

/// The counters a backend and a server have in common. Names as in [`evenkeel_stats::TrafficSheet`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrafficView {
    /// Requests in flight (HTTP) or connections (TCP) now (`scur`).
    pub sessions: u32,
    /// Most at once (`smax`).
    pub sessions_max: u32,
    /// Limit at once (`slim`): a server's maxconn, 0 = none.
    pub sessions_limit: u32,
    /// Requests (HTTP) or connections (TCP) (`stot`).
    pub sessions_total: u64,
    /// HTTP requests (`req_tot`).
    pub requests_total: u64,
    /// Waiting for a slot now (`qcur`).
    pub queue: u32,
    /// Most that waited at once (`qmax`).
    pub queue_max: u32,
    /// Bytes from clients to servers (`bin`).
    pub bytes_in: u64,
    /// Bytes from servers to clients (`bout`).
    pub bytes_out: u64,
    /// `dresp`.
    pub denied_responses: u64,
    /// `econ`.
    pub connect_errors: u64,
    /// `eresp`.
    pub response_errors: u64,
    /// `wretr`.
    pub retries: u64,
    /// `wredis`.
    pub redispatches: u64,
    /// `lbtot`.
    pub chosen: u64,
    /// `cli_abrt`.
    pub client_aborts: u64,
    /// `srv_abrt`.
    pub server_aborts: u64,
    /// `connect`.
    pub connects: u64,
    /// `reuse`.
    pub reuses: u64,
    /// `eint`.
    pub internal_errors: u64,
    /// `wrew`.
    pub failed_rewrites: u64,
    /// `hrsp_*`.
    pub responses: ResponsesView,
    /// `qtime`, `ctime`, `rtime`, `ttime` and maxima.
    pub times: TimesView,
    /// Seconds since the last session (`lastsess`), `None` before the first.
    pub last_session_seconds: Option<u64>,
    /// Sessions per second (`rate`). Filled by the sampler.
    pub session_rate: Rate,
}

/// The server side of a proxy.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BackendView {
    /// Balancing algorithm as written in the file.
    pub algorithm: String,
    /// All backup servers share when no active one is left (`option.allbackups`).
    pub allbackups: bool,
    /// `dreq`.
    pub denied_requests: u64,
    /// Counters.
    #[serde(flatten)]
    pub traffic: TrafficView,
    /// Seconds since it last gained its first or lost its last usable server. Filled by the sampler.
    pub last_change_seconds: u64,
    /// Seconds without a usable server. Filled by the sampler.
    pub downtime_seconds: u64,
    /// Times it lost its last usable server. Filled by the sampler.
    pub down_transitions: u64,
}

/// What the operator asked of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminState {
    /// Takes traffic when healthy.
    #[default]
    Ready,
    /// No new sessions but persistent ones.
    Drain,
    /// No traffic, no checks.
    Maint,
}

/// One server.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ServerView {
    /// Its name.
    #[serde(serialize_with = "text")]
    pub name: Arc<str>,
    /// Numeric id (`sid`).
    pub id: u32,
    /// Where it listens.
    pub address: String,
    /// What the operator asked for.
    pub admin: AdminState,
    /// Whether its checks say that it works; `true` without checks.
    pub up: bool,
    /// Its health check; `None` = not checked.
    pub check: Option<CheckView>,
    /// Used only when no active server is usable.
    pub backup: bool,
    /// Weight in effect (`weight`).
    pub weight: u32,
    /// Weight as set by file or operator (`uweight`).
    pub user_weight: u32,
    /// Percent of its weight during slow start; `None` outside it.
    pub throttle_percent: Option<u8>,
    /// Limit of its queue (`qlimit`), 0 = none.
    pub queue_limit: u32,
    /// Seconds since it last changed between UP and DOWN.
    pub last_change_seconds: u64,
    /// Seconds spent DOWN.
    pub downtime_seconds: u64,
    /// Times it went from UP to DOWN.
    pub down_transitions: u64,
    /// Connections in use.
    pub used_connections: u32,
    /// Idle connections kept for reuse.
    pub idle_connections: u32,
    /// Of the idle ones, those that were reused before (`safe_conn_cur`).
    pub safe_idle_connections: u32,
    /// Limit of idle connections, `None` = unlimited.
    pub idle_connections_limit: Option<u32>,
    /// Counters.
    #[serde(flatten)]
    pub traffic: TrafficView,
}

/// Health check of one server.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckView {
    /// Whether a check runs now.
    pub running: bool,
    /// Passed checks in a row that bring the server up.
    pub rise: u32,
    /// Failed checks in a row that take it down.
    pub fall: u32,
    /// Health counter, 0 to `rise + fall - 1`; up from `rise` on.
    pub health: u32,
    /// Failed checks while the server was up (`chkfail`).
    pub failures: u64,
    /// The last result; `None` before the first.
    pub last: Option<CheckResult>,
    /// The last result that was a failure, so that a page can say why a server is down while it recovers.
    pub last_failure: Option<CheckResult>,
}

/// How one check ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// HAProxy's short word: `L4OK`, `L7STS`, ...
    pub status: Cow<'static, str>,
    /// The same in words: `Layer7 wrong status`.
    pub description: Cow<'static, str>,
    /// Status code of the answer, where there was one.
    pub code: Option<u16>,
    /// What it saw: the reason phrase, the system's error text.
    pub info: String,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// Seconds since it ended.
    pub age_seconds: u64,
}

impl CheckResult {
    /// The short word with its code: `L7STS/503`.
    pub fn word(&self) -> String {
        match self.code {
            Some(code) => format!("{}/{code}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// The states a server has on the page and in metrics, the numbers of `UP 1/3` left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Works.
    Up,
    /// Works, but the last checks failed.
    GoingDown,
    /// Not checked, taken as working.
    NoCheck,
    /// Works; the operator wants no new sessions on it.
    Drain,
    /// Out of use by the operator.
    Maint,
    /// Does not work, but the last checks passed.
    GoingUp,
    /// Does not work.
    Down,
}

impl ServerView {
    /// Its state.
    pub fn state(&self) -> ServerState {
        let level = self.check.as_ref().map(|c| (c.health, (c.rise + c.fall).saturating_sub(1)));
        match (self.admin, self.up, level) {
            (AdminState::Maint, _, _) => ServerState::Maint,
            (_, false, Some((health, _))) if health > 0 => ServerState::GoingUp,
            (_, false, _) => ServerState::Down,
            (AdminState::Drain, true, _) => ServerState::Drain,
            (AdminState::Ready, true, None) => ServerState::NoCheck,
            (AdminState::Ready, true, Some((health, full))) if health < full => ServerState::GoingDown,
            (AdminState::Ready, true, Some(_)) => ServerState::Up,
        }
    }

    /// Its `status` cell: `UP`, `UP 1/3`, `DOWN`, `DOWN 1/2`, `no check`, `MAINT`, `DRAIN`, `DRAIN 2/3`.
    pub fn status(&self) -> Cow<'static, str> {
        let (health, rise, fall) = self.check.as_ref().map_or((0, 0, 0), |c| (c.health, c.rise, c.fall));
        // Failures left before it goes down, as HAProxy prints it.
        let left = (health + 1).saturating_sub(rise);
        match self.state() {
            ServerState::Up => "UP".into(),
            ServerState::GoingDown => format!("UP {left}/{fall}").into(),
            ServerState::NoCheck => "no check".into(),
            ServerState::Drain if self.check.is_some() && health + 1 < rise + fall => {
                format!("DRAIN {left}/{fall}").into()
            }
            ServerState::Drain => "DRAIN".into(),
            ServerState::Maint => "MAINT".into(),
            ServerState::GoingUp => format!("DOWN {health}/{rise}").into(),
            ServerState::Down => "DOWN".into(),
        }
    }

    /// Its value of label `state` in metrics.
    pub fn metric_state(&self) -> &'static str {
        match self.state() {
            ServerState::Up | ServerState::GoingDown | ServerState::NoCheck => "UP",
            ServerState::Drain => "DRAIN",
            ServerState::Maint => "MAINT",
            ServerState::GoingUp | ServerState::Down => "DOWN",
        }
    }

    /// Whether the algorithm may choose it.
    pub fn usable(&self) -> bool {
        self.up && self.admin == AdminState::Ready && self.weight > 0
    }
}

impl ProxyView {
    /// Usable active and backup servers (`act`, `bck` of a backend).
    pub fn usable_servers(&self) -> (usize, usize) {
        let usable = |backup| self.servers.iter().filter(|s| s.usable() && s.backup == backup).count();
        (usable(false), usable(true))
    }

    /// Whether the backend can serve; one without servers counts as up, as in HAProxy.
    pub fn backend_up(&self) -> bool {
        self.servers.is_empty() || self.servers.iter().any(ServerView::usable)
    }

    /// Effective and user weight of the backend: of its usable active servers, else of the backup ones in use.
    pub fn backend_weight(&self) -> (u32, u32) {
        let active = self.servers.iter().any(|s| s.usable() && !s.backup);
        let all = active || self.backend.as_ref().is_some_and(|b| b.allbackups);
        let chosen = self.servers.iter().filter(|s| s.usable() && s.backup != active);
        chosen.take(if all { usize::MAX } else { 1 }).fold((0, 0), |(w, u), s| (w + s.weight, u + s.user_weight))
    }
}

fn text<S: Serializer>(s: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(admin: AdminState, up: bool, check: Option<(u32, u32, u32)>) -> ServerView {
        let check = check.map(|(health, rise, fall)| CheckView { health, rise, fall, ..CheckView::default() });
        ServerView { admin, up, check, weight: 3, user_weight: 4, ..ServerView::default() }
    }

    #[test]
    fn failures_are_ranked_with_their_shares() {
        let place =
            |frontend: &str, count| FailurePlace { frontend: frontend.into(), count, ..FailurePlace::default() };
        let failure = |code: &'static str, count| FailureView {
            code: code.into(),
            count,
            places: (1..9).map(|n| place(&format!("f{n}"), n)).collect(),
            ..FailureView::default()
        };
        let ranked = FailureView::rank(vec![failure("a", 0), failure("b", 1), failure("d", 2), failure("c", 2)]);
        let short: Vec<_> = ranked.iter().map(|f| (f.code.as_ref(), f.per_mille)).collect();
        assert_eq!(short, [("c", 400), ("d", 400), ("b", 200)]);
        let places: Vec<_> = ranked[0].places.iter().map(|p| p.count).collect();
        assert_eq!(places, [8, 7, 6, 5, 4]);
        assert_eq!(FailureView::rank(Vec::new()), []);
        assert_eq!(FailureView::rank(vec![failure("a", 0)]), []);
        let path = |backend: Option<&str>, server: Option<&str>| {
            FailurePlace { backend: backend.map(Into::into), server: server.map(Into::into), ..place("web", 1) }.path()
        };
        assert_eq!(path(Some("app"), Some("s1")), "web \u{2192} app/s1");
        assert_eq!((path(Some("app"), None), path(None, None)), ("web \u{2192} app".into(), "web".into()));
    }

    #[test]
    fn status_words_are_haproxys() {
        use AdminState::{Drain, Maint, Ready};
        for (admin, up, check, word, metric) in [
            (Ready, true, None, "no check", "UP"),
            (Ready, true, Some((4, 2, 3)), "UP", "UP"),
            (Ready, true, Some((3, 2, 3)), "UP 2/3", "UP"),
            (Ready, true, Some((2, 2, 3)), "UP 1/3", "UP"),
            (Ready, false, Some((1, 2, 3)), "DOWN 1/2", "DOWN"),
            (Ready, false, Some((0, 2, 3)), "DOWN", "DOWN"),
            (Drain, true, Some((4, 2, 3)), "DRAIN", "DRAIN"),
            (Drain, true, Some((2, 2, 3)), "DRAIN 1/3", "DRAIN"),
            (Drain, true, None, "DRAIN", "DRAIN"),
            (Drain, false, Some((0, 2, 3)), "DOWN", "DOWN"),
            (Maint, false, Some((0, 2, 3)), "MAINT", "MAINT"),
            (Maint, true, None, "MAINT", "MAINT"),
        ] {
            let s = server(admin, up, check);
            assert_eq!((s.status().as_ref(), s.metric_state()), (word, metric), "{admin:?} {up} {check:?}");
        }
    }

    #[test]
    fn a_backend_counts_only_what_can_be_chosen() {
        let up = || server(AdminState::Ready, true, None);
        let backup = || ServerView { backup: true, ..up() };
        let mut p = ProxyView {
            servers: vec![backup(), backup()],
            backend: Some(BackendView::default()),
            ..ProxyView::default()
        };
        assert_eq!((p.usable_servers(), p.backend_weight(), p.backend_up()), ((0, 2), (3, 4), true));
        p.backend = Some(BackendView { allbackups: true, ..BackendView::default() });
        assert_eq!(p.backend_weight(), (6, 8));
        p.servers.push(up());
        p.servers.push(server(AdminState::Drain, true, None));
        assert_eq!((p.usable_servers(), p.backend_weight()), ((1, 2), (3, 4)));
        p.servers = vec![server(AdminState::Ready, false, Some((0, 2, 3)))];
        assert_eq!((p.backend_up(), p.backend_weight()), (false, (0, 0)));
        p.servers.clear();
        assert!(p.backend_up());
    }
}
