//! The one list of exported numbers.
//!
//! Owns: for each number its CSV column (position = index in [`CATALOG`]), the objects it exists for, the metric names
//! (`evenkeel_*` and `haproxy_*`), type, unit, labels and help. The CSV, JSON and Prometheus exporters and the metrics
//! reference iterate it; where a number comes from is the exporter's matter. Static data only.
//!
//! Invariant: the first [`COLUMNS`] entries are the CSV columns in HAProxy's order; positions are a contract with the
//! tools that parse them, so nothing is ever inserted between. One file because a table is read as one.

/// How many CSV columns there are; entries from here on have none.
pub const COLUMNS: usize = 119;

/// The kinds of object numbers exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole process; never a CSV row.
    Process,
    /// `FRONTEND` rows.
    Frontend,
    /// One bind of a frontend.
    Listener,
    /// One server of a backend.
    Server,
    /// `BACKEND` rows.
    Backend,
    /// One certificate; never a CSV row.
    Certificate,
    /// One section of name servers; never a CSV row.
    Resolvers,
    /// One name server of a section; never a CSV row.
    Resolver,
}

impl Scope {
    /// Every scope, in the order metrics are written.
    pub const ALL: [Scope; 8] = [
        Scope::Process,
        Scope::Frontend,
        Scope::Listener,
        Scope::Backend,
        Scope::Server,
        Scope::Certificate,
        Scope::Resolvers,
        Scope::Resolver,
    ];

    /// The word in metric names.
    pub const fn word(self) -> &'static str {
        match self {
            Scope::Process => "process",
            Scope::Frontend => "frontend",
            Scope::Listener => "listener",
            Scope::Server => "server",
            Scope::Backend => "backend",
            Scope::Certificate => "certificate",
            Scope::Resolvers => "resolvers",
            Scope::Resolver => "resolver",
        }
    }
}

/// A set of [`Scope`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether `scope` is in the set.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }
}

const P: Scopes = Scopes(1 << Scope::Process as u8);
const F: Scopes = Scopes(1 << Scope::Frontend as u8);
const S: Scopes = Scopes(1 << Scope::Server as u8);
const B: Scopes = Scopes(1 << Scope::Backend as u8);
const C: Scopes = Scopes(1 << Scope::Certificate as u8);
const R: Scopes = Scopes(1 << Scope::Resolvers as u8);
const N: Scopes = Scopes(1 << Scope::Resolver as u8);
const FB: Scopes = Scopes(F.0 | B.0);
const FL: Scopes = Scopes(F.0 | 1 << Scope::Listener as u8);
const FLB: Scopes = Scopes(FL.0 | B.0);
const SB: Scopes = Scopes(S.0 | B.0);
const FSB: Scopes = Scopes(F.0 | S.0 | B.0);
const LS: Scopes = Scopes(FL.0 & !F.0 | S.0);
const ANY: Scopes = Scopes(FLB.0 | S.0);

/// Prometheus type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process ends or counters are cleared.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Text; no metric by itself, or one with the text as a label and the value 1.
    Text,
}

/// Unit of the number in CSV and JSON; in metrics every time is in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    One,
    /// Bytes.
    Bytes,
    /// Seconds in both.
    Seconds,
    /// Milliseconds in CSV, seconds in metrics.
    Millis,
}

/// Label of a metric beside `proxy` and `server`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// None.
    None,
    /// A fixed pair; entries with the same metric name and different pairs form one family.
    Fixed(&'static str, &'static str),
    /// `state`: one series per possible state ([`Entry::states`]), 1 for the present one or the number of servers in it.
    State,
    /// The text as this label, with the value 1.
    Text(&'static str),
    /// `reason`: one series per way to end.
    Reason,
}

/// Value type in typed JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 32 bits.
    S32,
    /// Text.
    Str,
}

impl Type {
    /// The word in typed JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S32 => "s32",
            Type::Str => "str",
        }
    }
}

/// Metric names by scope, without prefix.
pub type Names = &'static [(Scopes, &'static str)];

/// One exported number.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which number; exporters match on it to find the value.
    pub field: Field,
    /// CSV column; `None` for process metrics.
    pub column: Option<&'static str>,
    /// Objects that have it; a CSV cell of another object is blank.
    pub scopes: Scopes,
    /// Prometheus type.
    pub kind: Kind,
    /// Unit.
    pub unit: Unit,
    /// Value type in typed JSON.
    pub typ: Type,
    /// Tags of typed JSON, one letter each: origin, nature, scope.
    pub tags: &'static str,
    /// Further label.
    pub label: Label,
    /// Our metric names: `evenkeel_SCOPE_NAME`, or `evenkeel_NAME` for the process.
    pub own: Names,
    /// HAProxy's metric names: `haproxy_SCOPE_NAME`.
    pub haproxy: Names,
    /// What it is, one sentence.
    pub help: &'static str,
}

impl Entry {
    /// Our metric name for `scope`.
    pub fn own_name(&self, scope: Scope) -> Option<String> {
        let suffix = find(self.own, scope)?;
        Some(match scope {
            Scope::Process => format!("evenkeel_{suffix}"),
            _ => format!("evenkeel_{}_{suffix}", scope.word()),
        })
    }

    /// HAProxy's metric name for `scope`.
    pub fn haproxy_name(&self, scope: Scope) -> Option<String> {
        find(self.haproxy, scope).map(|suffix| format!("haproxy_{}_{suffix}", scope.word()))
    }

    /// The possible values of label `state`, empty unless its label is [`Label::State`].
    pub fn states(&self, scope: Scope) -> &'static [&'static str] {
        match (self.field, scope) {
            (Field::Status, Scope::Server) | (Field::AggServerStatus | Field::AggServerCheckStatus, Scope::Backend) => {
                &SERVER_STATES
            }
            (Field::Status, _) => &PROXY_STATES,
            (Field::CheckStatus | Field::AggCheckStatus, _) => &CHECK_STATES,
            _ => &[],
        }
    }

    const fn own(mut self, suffix: &'static [(Scopes, &'static str)]) -> Entry {
        self.own = suffix;
        self
    }

    const fn haproxy(mut self, suffix: Names) -> Entry {
        self.haproxy = suffix;
        self
    }

    const fn unit(mut self, unit: Unit) -> Entry {
        self.unit = unit;
        self
    }

    const fn label(mut self, label: Label) -> Entry {
        self.label = label;
        self
    }

    const fn typed(mut self, tags: &'static str, typ: Type) -> Entry {
        self.tags = tags;
        self.typ = typ;
        self
    }
}

/// States of a frontend or backend in metrics.
pub static PROXY_STATES: [&str; 2] = ["DOWN", "UP"];
/// States of a server in metrics.
pub static SERVER_STATES: [&str; 5] = ["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];
/// Results of a health check.
pub static CHECK_STATES: [&str; 16] = [
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP", "L7OK", "L7OKC",
    "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];

fn find(names: Names, scope: Scope) -> Option<&'static str> {
    names.iter().find(|(s, _)| s.has(scope)).map(|(_, n)| *n)
}

const fn entry(field: Field, column: &'static str, scopes: Scopes, kind: Kind, help: &'static str) -> Entry {
    let (tags, typ) = match kind {
        Kind::Counter => ("MCP", Type::U64),
        Kind::Gauge => ("MGP", Type::U32),
        Kind::Text => ("MOP", Type::Str),
    };
    Entry {
        field,
        column: if column.is_empty() { None } else { Some(column) },
        scopes,
        kind,
        unit: Unit::One,
        typ,
        tags,
        label: Label::None,
        own: &[],
        haproxy: &[],
        help,
    }
}

const fn count(field: Field, column: &'static str, scopes: Scopes, help: &'static str) -> Entry {
    entry(field, column, scopes, Kind::Counter, help)
}

const fn gauge(field: Field, column: &'static str, scopes: Scopes, help: &'static str) -> Entry {
    entry(field, column, scopes, Kind::Gauge, help)
}

const fn max(field: Field, column: &'static str, scopes: Scopes, help: &'static str) -> Entry {
    gauge(field, column, scopes, help).typed("MMP", Type::U32)
}

const fn text(field: Field, column: &'static str, scopes: Scopes, help: &'static str) -> Entry {
    entry(field, column, scopes, Kind::Text, help)
}

const fn response(field: Field, column: &'static str, code: &'static str, help: &'static str) -> Entry {
    count(field, column, FSB, help)
        .own(&[(FSB, "http_responses_total")])
        .haproxy(&[(FSB, "http_responses_total")])
        .label(Label::Fixed("code", code))
}

const fn average(field: Field, column: &'static str, name: Names, help: &'static str) -> Entry {
    gauge(field, column, SB, help).own(name).haproxy(name).unit(Unit::Millis).typed("MaP", Type::U32)
}

const fn longest(field: Field, column: &'static str, own: Names, haproxy: Names, help: &'static str) -> Entry {
    max(field, column, SB, help).own(own).haproxy(haproxy).unit(Unit::Millis)
}

const fn agent(field: Field, column: &'static str, help: &'static str) -> Entry {
    text(field, column, S, help)
}

const fn process(field: Field, kind: Kind, own: Names, haproxy: Names, help: &'static str) -> Entry {
    entry(field, "", P, kind, help).own(own).haproxy(haproxy)
}

/// Which number an [`Entry`] is about. CSV columns first, in order, under their column's name.
#[expect(missing_docs, reason = "the catalogue's entry is the documentation of each")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    Pxname,
    Svname,
    Qcur,
    Qmax,
    Scur,
    Smax,
    Slim,
    Stot,
    Bin,
    Bout,
    Dreq,
    Dresp,
    Ereq,
    Econ,
    Eresp,
    Wretr,
    Wredis,
    Status,
    Weight,
    Act,
    Bck,
    Chkfail,
    Chkdown,
    Lastchg,
    Downtime,
    Qlimit,
    Pid,
    Iid,
    Sid,
    Throttle,
    Lbtot,
    Tracked,
    Type,
    Rate,
    RateLim,
    RateMax,
    CheckStatus,
    CheckCode,
    CheckDuration,
    Hrsp1xx,
    Hrsp2xx,
    Hrsp3xx,
    Hrsp4xx,
    Hrsp5xx,
    HrspOther,
    Hanafail,
    ReqRate,
    ReqRateMax,
    ReqTot,
    CliAbrt,
    SrvAbrt,
    CompIn,
    CompOut,
    CompByp,
    CompRsp,
    Lastsess,
    LastChk,
    LastAgt,
    Qtime,
    Ctime,
    Rtime,
    Ttime,
    AgentStatus,
    AgentCode,
    AgentDuration,
    CheckDesc,
    AgentDesc,
    CheckRise,
    CheckFall,
    CheckHealth,
    AgentRise,
    AgentFall,
    AgentHealth,
    Addr,
    Cookie,
    Mode,
    Algo,
    ConnRate,
    ConnRateMax,
    ConnTot,
    Intercepted,
    Dcon,
    Dses,
    Wrew,
    Connect,
    Reuse,
    CacheLookups,
    CacheHits,
    SrvIcur,
    SrcIlim,
    QtimeMax,
    CtimeMax,
    RtimeMax,
    TtimeMax,
    Eint,
    IdleConnCur,
    SafeConnCur,
    UsedConnCur,
    NeedConnEst,
    Uweight,
    AggServerStatus,
    AggServerCheckStatus,
    AggCheckStatus,
    Srid,
    SessOther,
    H1sess,
    H2sess,
    H3sess,
    ReqOther,
    H1req,
    H2req,
    H3req,
    Proto,
    PrivIdleCur,
    Reqbin,
    Reqbout,
    Resbin,
    Resbout,
    CacheHintHits,
    BuildInfo,
    Node,
    UptimeSeconds,
    StartTime,
    Threads,
    Processes,
    ProcessId,
    ConnectionsLimit,
    ConnectionsHardLimit,
    Connections,
    ConnectionsTotal,
    RequestsTotal,
    ConnectionRate,
    ConnectionRateMax,
    SessionRate,
    SessionRateMax,
    BytesOutTotal,
    BytesOutRate,
    Listeners,
    Draining,
    DroppedLogs,
    ConfigGeneration,
    ConfigGenerations,
    ConfigLastReloadSuccess,
    ConfigLastReload,
    ConfigLastReloadSuccessTime,
    ConfigReloadsOk,
    ConfigReloadsFailed,
    Ended,
    TlsConnections,
    TlsConnectionsLimit,
    TlsHandshakesTotal,
    TlsRate,
    TlsRateMax,
    TlsRateLimit,
    TlsFullRate,
    TlsFullRateMax,
    TlsReuse,
    CertificatesOk,
    CertificatesFailed,
    OcspOk,
    OcspFailed,
    TlsFull,
    TlsResumed,
    TlsFailed,
    CertificateStart,
    CertificateExpiry,
    CertificateOcspExpiry,
    ResolversQuestions,
    ResolversHits,
    ResolversRefused,
    ResolversNames,
    ResolverSent,
    ResolverValid,
    ResolverNx,
    ResolverRefused,
    ResolverTimeout,
    ResolverOther,
}

const ANSWERS: &str = "What a name server said, by result; timeout is nothing within timeout.retry.";

/// Every exported number: [`COLUMNS`] CSV columns in order, then what has no column.
pub static CATALOG: [Entry; 177] = [
    text(Field::Pxname, "pxname", ANY, "Name of the proxy.").typed("KNS", Type::Str),
    text(Field::Svname, "svname", ANY, "FRONTEND, BACKEND, or the name of the server.").typed("KNS", Type::Str),
    gauge(Field::Qcur, "qcur", SB, "Requests waiting for a free slot now.")
        .own(&[(SB, "queue_length")])
        .haproxy(&[(SB, "current_queue")]),
    max(Field::Qmax, "qmax", SB, "Most requests that waited at once.")
        .own(&[(SB, "queue_length_max")])
        .haproxy(&[(SB, "max_queue")]),
    gauge(Field::Scur, "scur", ANY, "Sessions open now: connections of a frontend, requests in flight of a server.")
        .own(&[(ANY, "sessions")])
        .haproxy(&[(ANY, "current_sessions")]),
    max(Field::Smax, "smax", ANY, "Most sessions open at once.")
        .own(&[(ANY, "sessions_max")])
        .haproxy(&[(ANY, "max_sessions")]),
    gauge(Field::Slim, "slim", ANY, "Limit of sessions at once (maxconn); absent when unlimited.")
        .own(&[(ANY, "sessions_limit")])
        .haproxy(&[(ANY, "limit_sessions")])
        .typed("CLP", Type::U32),
    count(Field::Stot, "stot", ANY, "Sessions since start.")
        .own(&[(ANY, "sessions_total")])
        .haproxy(&[(ANY, "sessions_total")]),
    count(Field::Bin, "bin", ANY, "Bytes that came from clients: request heads and bodies.")
        .own(&[(ANY, "request_bytes_total")])
        .haproxy(&[(ANY, "bytes_in_total")])
        .unit(Unit::Bytes),
    count(Field::Bout, "bout", ANY, "Bytes that went to clients: response heads and bodies.")
        .own(&[(ANY, "response_bytes_total")])
        .haproxy(&[(ANY, "bytes_out_total")])
        .unit(Unit::Bytes),
    count(Field::Dreq, "dreq", FLB, "Requests denied by a rule.")
        .own(&[(FLB, "denied_requests_total")])
        .haproxy(&[(FLB, "requests_denied_total")]),
    count(Field::Dresp, "dresp", ANY, "Responses denied by a rule.")
        .own(&[(ANY, "denied_responses_total")])
        .haproxy(&[(ANY, "responses_denied_total")]),
    count(Field::Ereq, "ereq", FL, "Requests in error: bad syntax, client timeout or abort before a full head.")
        .own(&[(FL, "request_errors_total")])
        .haproxy(&[(FL, "request_errors_total")]),
    count(Field::Econ, "econ", SB, "Connections to a server that could not be made.")
        .own(&[(SB, "connect_errors_total")])
        .haproxy(&[(SB, "connection_errors_total")]),
    count(Field::Eresp, "eresp", SB, "Responses in error: bad syntax, server timeout or abort.")
        .own(&[(SB, "response_errors_total")])
        .haproxy(&[(SB, "response_errors_total")]),
    count(Field::Wretr, "wretr", SB, "Attempts repeated after a failed one.")
        .own(&[(SB, "retries_total")])
        .haproxy(&[(SB, "retry_warnings_total")]),
    count(Field::Wredis, "wredis", SB, "Requests given to another server after a failed attempt.")
        .own(&[(SB, "redispatches_total")])
        .haproxy(&[(SB, "redispatch_warnings_total")]),
    text(Field::Status, "status", ANY, "State, one series per possible state, 1 for the present one.")
        .own(&[(ANY, "state")])
        .haproxy(&[(ANY, "status")])
        .label(Label::State)
        .typed("SGP", Type::Str),
    gauge(Field::Weight, "weight", SB, "Effective weight; of a backend the sum over its usable servers.")
        .own(&[(SB, "weight")])
        .haproxy(&[(SB, "weight")])
        .typed("MaP", Type::U32),
    gauge(Field::Act, "act", SB, "Whether a server is active (1) or backup (0); of a backend: usable active servers.")
        .own(&[(S, "active"), (B, "active_servers")])
        .haproxy(&[(S, "active"), (B, "active_servers")]),
    gauge(Field::Bck, "bck", SB, "Whether a server is backup (1) or active (0); of a backend: usable backup servers.")
        .own(&[(S, "backup"), (B, "backup_servers")])
        .haproxy(&[(S, "backup"), (B, "backup_servers")]),
    count(Field::Chkfail, "chkfail", S, "Failed health checks while the server was up.")
        .own(&[(S, "check_failures_total")])
        .haproxy(&[(S, "check_failures_total")]),
    count(Field::Chkdown, "chkdown", SB, "Times it went from UP to DOWN.")
        .own(&[(SB, "down_transitions_total")])
        .haproxy(&[(SB, "check_up_down_total")]),
    gauge(Field::Lastchg, "lastchg", SB, "Seconds since the last change between UP and DOWN.")
        .own(&[(SB, "state_age_seconds")])
        .haproxy(&[(SB, "check_last_change_seconds")])
        .unit(Unit::Seconds)
        .typed("MAP", Type::U32),
    count(Field::Downtime, "downtime", SB, "Seconds spent DOWN; a backend counts only while no server is usable.")
        .own(&[(SB, "downtime_seconds_total")])
        .haproxy(&[(SB, "downtime_seconds_total")])
        .unit(Unit::Seconds)
        .typed("MCP", Type::U32),
    gauge(Field::Qlimit, "qlimit", S, "Limit of the server's queue (maxqueue); absent when unlimited.")
        .own(&[(S, "queue_limit")])
        .haproxy(&[(S, "queue_limit")])
        .typed("CGS", Type::U32),
    gauge(Field::Pid, "pid", ANY, "Always 1, kept for tools that expect it.").typed("KGP", Type::U32),
    gauge(Field::Iid, "iid", ANY, "Numeric id of the proxy.").typed("KGS", Type::U32),
    gauge(Field::Sid, "sid", ANY, "Numeric id of the server in its proxy, 0 for FRONTEND and BACKEND.")
        .typed("KGS", Type::U32),
    gauge(Field::Throttle, "throttle", S, "Share of its weight a server has during slow start, percent.")
        .own(&[(S, "throttle_percent")])
        .haproxy(&[(S, "current_throttle")])
        .typed("MaP", Type::U32),
    count(Field::Lbtot, "lbtot", SB, "Times the balancing algorithm chose it.")
        .own(&[(SB, "chosen_total")])
        .haproxy(&[(SB, "loadbalanced_total")]),
    text(Field::Tracked, "tracked", S, "Server whose state this one follows.").typed("CNS", Type::Str),
    gauge(Field::Type, "type", ANY, "0 frontend, 1 backend, 2 server, 3 listener.").typed("CGS", Type::U32),
    gauge(Field::Rate, "rate", FSB, "Sessions in the last second.").typed("MRP", Type::U32),
    gauge(Field::RateLim, "rate_lim", F, "Limit of new sessions per second (rate-limit sessions), 0 when unlimited.")
        .own(&[(F, "session_rate_limit")])
        .haproxy(&[(F, "limit_session_rate")])
        .typed("CLP", Type::U32),
    max(Field::RateMax, "rate_max", FSB, "Most sessions in one second.")
        .own(&[(FSB, "session_rate_max")])
        .haproxy(&[(FSB, "max_session_rate")]),
    text(Field::CheckStatus, "check_status", S, "Result of the last health check, one series per possible result.")
        .own(&[(S, "check_status")])
        .haproxy(&[(S, "check_status")])
        .label(Label::State),
    gauge(Field::CheckCode, "check_code", S, "Layer 5-7 code of the last health check, where it gave one.")
        .own(&[(S, "check_code")])
        .haproxy(&[(S, "check_code")])
        .typed("MOP", Type::U32),
    gauge(Field::CheckDuration, "check_duration", S, "How long the last health check took.")
        .own(&[(S, "check_duration_seconds")])
        .haproxy(&[(S, "check_duration_seconds")])
        .unit(Unit::Millis)
        .typed("MDP", Type::U64),
    response(Field::Hrsp1xx, "hrsp_1xx", "1xx", "HTTP responses by status class."),
    response(Field::Hrsp2xx, "hrsp_2xx", "2xx", "HTTP responses by status class."),
    response(Field::Hrsp3xx, "hrsp_3xx", "3xx", "HTTP responses by status class."),
    response(Field::Hrsp4xx, "hrsp_4xx", "4xx", "HTTP responses by status class."),
    response(Field::Hrsp5xx, "hrsp_5xx", "5xx", "HTTP responses by status class."),
    response(Field::HrspOther, "hrsp_other", "other", "HTTP responses by status class."),
    count(Field::Hanafail, "hanafail", S, "Failures seen in traffic (observe); blank without observe."),
    gauge(Field::ReqRate, "req_rate", F, "HTTP requests in the last second.").typed("MRP", Type::U32),
    max(Field::ReqRateMax, "req_rate_max", F, "Most HTTP requests in one second.")
        .own(&[(F, "http_request_rate_max")])
        .haproxy(&[(F, "http_requests_rate_max")]),
    count(Field::ReqTot, "req_tot", FSB, "HTTP requests, broken ones included.")
        .own(&[(FSB, "http_requests_total")])
        .haproxy(&[(FB, "http_requests_total")]),
    count(Field::CliAbrt, "cli_abrt", SB, "Transfers cut by the client.")
        .own(&[(SB, "client_aborts_total")])
        .haproxy(&[(SB, "client_aborts_total")]),
    count(Field::SrvAbrt, "srv_abrt", SB, "Transfers cut by the server.")
        .own(&[(SB, "server_aborts_total")])
        .haproxy(&[(SB, "server_aborts_total")]),
    count(Field::CompIn, "comp_in", FB, "Response bytes given to the compressor.")
        .haproxy(&[(FB, "http_comp_bytes_in_total")])
        .unit(Unit::Bytes),
    count(Field::CompOut, "comp_out", FB, "Response bytes the compressor gave back.")
        .haproxy(&[(FB, "http_comp_bytes_out_total")])
        .unit(Unit::Bytes),
    count(Field::CompByp, "comp_byp", FB, "Response bytes that bypassed the compressor.")
        .haproxy(&[(FB, "http_comp_bytes_bypassed_total")])
        .unit(Unit::Bytes),
    count(Field::CompRsp, "comp_rsp", FB, "Responses that were compressed.")
        .haproxy(&[(FB, "http_comp_responses_total")]),
    gauge(
        Field::Lastsess,
        "lastsess",
        SB,
        "Seconds since the last session; -1 in CSV and absent here before the first.",
    )
    .own(&[(SB, "last_session_age_seconds")])
    .haproxy(&[(SB, "last_session_seconds")])
    .unit(Unit::Seconds)
    .typed("MAP", Type::S32),
    text(Field::LastChk, "last_chk", S, "What the last health check saw."),
    text(Field::LastAgt, "last_agt", S, "What the last agent check saw; blank without an agent."),
    average(Field::Qtime, "qtime", &[(SB, "queue_time_average_seconds")], "Time in queue, sliding average."),
    average(Field::Ctime, "ctime", &[(SB, "connect_time_average_seconds")], "Time to connect, sliding average."),
    average(
        Field::Rtime,
        "rtime",
        &[(SB, "response_time_average_seconds")],
        "Time from the sent request to the response head, sliding average; 0 in TCP mode.",
    ),
    average(Field::Ttime, "ttime", &[(SB, "total_time_average_seconds")], "Time of a session in all, sliding average."),
    agent(Field::AgentStatus, "agent_status", "Result of the last agent check."),
    agent(Field::AgentCode, "agent_code", "Code of the last agent check.").typed("MOP", Type::U32),
    agent(Field::AgentDuration, "agent_duration", "How long the last agent check took.").typed("MDP", Type::U64),
    text(Field::CheckDesc, "check_desc", S, "The result of the last health check in words."),
    agent(Field::AgentDesc, "agent_desc", "The result of the last agent check in words."),
    gauge(Field::CheckRise, "check_rise", S, "Passed checks in a row that bring the server up.")
        .typed("CGS", Type::U32),
    gauge(Field::CheckFall, "check_fall", S, "Failed checks in a row that take the server down.")
        .typed("CGS", Type::U32),
    gauge(Field::CheckHealth, "check_health", S, "Health counter, 0 to rise + fall - 1; up from rise on.")
        .typed("CGS", Type::U32),
    agent(Field::AgentRise, "agent_rise", "Passed agent checks that bring the server up.").typed("CGS", Type::U32),
    agent(Field::AgentFall, "agent_fall", "Failed agent checks that take the server down.").typed("CGS", Type::U32),
    agent(Field::AgentHealth, "agent_health", "Health counter of the agent check.").typed("CGS", Type::U32),
    text(Field::Addr, "addr", LS, "Address.").typed("CGS", Type::Str),
    text(Field::Cookie, "cookie", SB, "Persistence cookie: its value for a server, its name for a backend.")
        .typed("CNS", Type::Str),
    text(Field::Mode, "mode", ANY, "http or tcp.").typed("CGS", Type::Str),
    text(Field::Algo, "algo", B, "Balancing algorithm.").typed("CGS", Type::Str),
    gauge(Field::ConnRate, "conn_rate", F, "Connections in the last second.").typed("MRP", Type::U32),
    max(Field::ConnRateMax, "conn_rate_max", F, "Most connections in one second.")
        .own(&[(F, "connection_rate_max")])
        .haproxy(&[(F, "connections_rate_max")]),
    count(Field::ConnTot, "conn_tot", FL, "Connections accepted.")
        .own(&[(FL, "connections_total")])
        .haproxy(&[(F, "connections_total")]),
    count(Field::Intercepted, "intercepted", F, "Requests answered by the load balancer itself.")
        .own(&[(F, "intercepted_requests_total")])
        .haproxy(&[(F, "intercepted_requests_total")]),
    count(Field::Dcon, "dcon", FL, "Connections refused by a rule or a limit before a session existed.")
        .own(&[(FL, "denied_connections_total")])
        .haproxy(&[(FL, "denied_connections_total")]),
    count(Field::Dses, "dses", FL, "Sessions refused by a rule after the handshake.")
        .own(&[(FL, "denied_sessions_total")])
        .haproxy(&[(FL, "denied_sessions_total")]),
    count(Field::Wrew, "wrew", ANY, "Header rewrites that failed.")
        .own(&[(ANY, "failed_rewrites_total")])
        .haproxy(&[(ANY, "failed_header_rewriting_total")]),
    count(Field::Connect, "connect", SB, "Attempts to connect to a server.")
        .own(&[(SB, "connection_attempts_total")])
        .haproxy(&[(SB, "connection_attempts_total")]),
    count(Field::Reuse, "reuse", SB, "Requests sent over a connection that was already open.")
        .own(&[(SB, "connection_reuses_total")])
        .haproxy(&[(SB, "connection_reuses_total")]),
    count(Field::CacheLookups, "cache_lookups", FB, "Cache lookups.").haproxy(&[(FB, "http_cache_lookups_total")]),
    count(Field::CacheHits, "cache_hits", FB, "Responses served from the cache.")
        .haproxy(&[(FB, "http_cache_hits_total")]),
    gauge(Field::SrvIcur, "srv_icur", S, "Idle connections to the server.")
        .own(&[(S, "idle_connections")])
        .haproxy(&[(S, "idle_connections_current")]),
    gauge(Field::SrcIlim, "src_ilim", S, "Limit of idle connections to the server (pool-max-conn).")
        .own(&[(S, "idle_connections_limit")])
        .haproxy(&[(S, "idle_connections_limit")])
        .typed("CLP", Type::U32),
    longest(
        Field::QtimeMax,
        "qtime_max",
        &[(SB, "queue_time_max_seconds")],
        &[(SB, "max_queue_time_seconds")],
        "Longest time in queue.",
    ),
    longest(
        Field::CtimeMax,
        "ctime_max",
        &[(SB, "connect_time_max_seconds")],
        &[(SB, "max_connect_time_seconds")],
        "Longest time to connect.",
    ),
    longest(
        Field::RtimeMax,
        "rtime_max",
        &[(SB, "response_time_max_seconds")],
        &[(SB, "max_response_time_seconds")],
        "Longest time to a response head.",
    ),
    longest(
        Field::TtimeMax,
        "ttime_max",
        &[(SB, "total_time_max_seconds")],
        &[(SB, "max_total_time_seconds")],
        "Longest session.",
    ),
    count(Field::Eint, "eint", ANY, "Internal errors.")
        .own(&[(ANY, "internal_errors_total")])
        .haproxy(&[(ANY, "internal_errors_total")]),
    gauge(Field::IdleConnCur, "idle_conn_cur", S, "Idle connections never reused so far.")
        .own(&[(S, "unsafe_idle_connections")])
        .haproxy(&[(S, "unsafe_idle_connections_current")]),
    gauge(Field::SafeConnCur, "safe_conn_cur", S, "Idle connections that were reused before.")
        .own(&[(S, "safe_idle_connections")])
        .haproxy(&[(S, "safe_idle_connections_current")]),
    gauge(Field::UsedConnCur, "used_conn_cur", S, "Connections to the server in use.")
        .own(&[(S, "used_connections")])
        .haproxy(&[(S, "used_connections_current")]),
    gauge(Field::NeedConnEst, "need_conn_est", S, "Estimate of the connections the traffic needs.")
        .own(&[(S, "needed_connections")])
        .haproxy(&[(S, "need_connections_current")]),
    gauge(
        Field::Uweight,
        "uweight",
        SB,
        "Weight as set by the operator; of a backend the sum over its usable servers.",
    )
    .own(&[(SB, "user_weight")])
    .haproxy(&[(SB, "uweight")])
    .typed("MaP", Type::U32),
    gauge(Field::AggServerStatus, "agg_server_status", B, "Servers by state; always 0 in CSV.")
        .own(&[(B, "servers")])
        .haproxy(&[(B, "agg_server_status")])
        .label(Label::State),
    gauge(Field::AggServerCheckStatus, "agg_server_check_status", B, "Servers by state, deprecated name.")
        .haproxy(&[(B, "agg_server_check_status")])
        .label(Label::State),
    gauge(Field::AggCheckStatus, "agg_check_status", B, "Servers by result of their last check; always 0 in CSV.")
        .own(&[(B, "servers_by_check_status")])
        .haproxy(&[(B, "agg_check_status")])
        .label(Label::State),
    gauge(Field::Srid, "srid", S, "How often this name and id were given to a server.").typed("KGP", Type::U32),
    count(Field::SessOther, "sess_other", F, "Sessions of a protocol other than HTTP."),
    count(Field::H1sess, "h1sess", F, "HTTP/1 sessions."),
    count(Field::H2sess, "h2sess", F, "HTTP/2 sessions."),
    count(Field::H3sess, "h3sess", F, "HTTP/3 sessions."),
    count(Field::ReqOther, "req_other", F, "Requests of a protocol other than HTTP."),
    count(Field::H1req, "h1req", F, "HTTP/1 requests."),
    count(Field::H2req, "h2req", F, "HTTP/2 requests."),
    count(Field::H3req, "h3req", F, "HTTP/3 requests."),
    text(Field::Proto, "proto", Scopes(FL.0 & !F.0), "Protocol of the listener.").typed("CGS", Type::Str),
    gauge(Field::PrivIdleCur, "priv_idle_cur", S, "Idle connections bound to one client connection."),
    count(Field::Reqbin, "reqbin", F, "Request bytes received from clients.").unit(Unit::Bytes),
    count(Field::Reqbout, "reqbout", SB, "Request bytes sent to servers.").unit(Unit::Bytes),
    count(Field::Resbin, "resbin", SB, "Response bytes received from servers.").unit(Unit::Bytes),
    count(Field::Resbout, "resbout", F, "Response bytes sent to clients.").unit(Unit::Bytes),
    count(Field::CacheHintHits, "cache_hint_hits", FB, "Cache lookups decided by a hint.")
        .haproxy(&[(FB, "http_cache_hint_hits_total")]),
    process(
        Field::BuildInfo,
        Kind::Text,
        &[(P, "build_info")],
        &[(P, "build_info")],
        "Version of the program as a label.",
    )
    .label(Label::Text("version")),
    process(Field::Node, Kind::Text, &[(P, "node_info")], &[(P, "node")], "Name of this host as a label.")
        .label(Label::Text("node")),
    process(
        Field::UptimeSeconds,
        Kind::Gauge,
        &[(P, "uptime_seconds")],
        &[(P, "uptime_seconds")],
        "Seconds since the process started.",
    )
    .unit(Unit::Seconds),
    process(
        Field::StartTime,
        Kind::Gauge,
        &[(P, "start_time_seconds")],
        &[(P, "start_time_seconds")],
        "When the process started, Unix time.",
    )
    .unit(Unit::Seconds),
    process(Field::Threads, Kind::Gauge, &[(P, "worker_threads")], &[(P, "nbthread")], "Worker threads."),
    process(Field::Processes, Kind::Gauge, &[], &[(P, "nbproc")], "Always 1, kept for tools that expect it."),
    process(
        Field::ProcessId,
        Kind::Gauge,
        &[],
        &[(P, "relative_process_id")],
        "Always 1, kept for tools that expect it.",
    ),
    process(
        Field::ConnectionsLimit,
        Kind::Gauge,
        &[(P, "connections_limit")],
        &[(P, "max_connections")],
        "Client connections allowed at once over all frontends (maxconn).",
    ),
    process(
        Field::ConnectionsHardLimit,
        Kind::Gauge,
        &[],
        &[(P, "hard_max_connections")],
        "Client connections allowed at once at start.",
    ),
    process(
        Field::Connections,
        Kind::Gauge,
        &[(P, "connections")],
        &[(P, "current_connections")],
        "Client connections open now.",
    ),
    process(
        Field::ConnectionsTotal,
        Kind::Counter,
        &[(P, "connections_total")],
        &[(P, "connections_total")],
        "Client connections accepted.",
    ),
    process(
        Field::RequestsTotal,
        Kind::Counter,
        &[(P, "http_requests_total")],
        &[(P, "requests_total")],
        "HTTP requests received.",
    ),
    process(
        Field::ConnectionRate,
        Kind::Gauge,
        &[],
        &[(P, "current_connection_rate")],
        "Client connections accepted in the last second.",
    ),
    process(
        Field::ConnectionRateMax,
        Kind::Gauge,
        &[(P, "connection_rate_max")],
        &[(P, "max_connection_rate")],
        "Most client connections accepted in one second.",
    ),
    process(
        Field::SessionRate,
        Kind::Gauge,
        &[],
        &[(P, "current_session_rate")],
        "Client sessions begun in the last second; one per connection.",
    ),
    process(
        Field::SessionRateMax,
        Kind::Gauge,
        &[],
        &[(P, "max_session_rate")],
        "Most client sessions begun in one second.",
    ),
    process(
        Field::BytesOutTotal,
        Kind::Counter,
        &[(P, "response_bytes_total")],
        &[(P, "bytes_out_total")],
        "Bytes sent to clients.",
    )
    .unit(Unit::Bytes),
    process(
        Field::BytesOutRate,
        Kind::Gauge,
        &[],
        &[(P, "bytes_out_rate")],
        "Bytes sent to clients in the last second.",
    )
    .unit(Unit::Bytes),
    process(Field::Listeners, Kind::Gauge, &[(P, "listeners")], &[(P, "listeners")], "Listening addresses."),
    process(
        Field::Draining,
        Kind::Gauge,
        &[(P, "draining")],
        &[(P, "stopping")],
        "1 while the process finishes its connections before it leaves.",
    ),
    process(
        Field::DroppedLogs,
        Kind::Counter,
        &[(P, "log_lines_dropped_total")],
        &[(P, "dropped_logs_total")],
        "Log lines dropped because the log thread could not keep up.",
    ),
    process(
        Field::ConfigGeneration,
        Kind::Gauge,
        &[(P, "config_generation")],
        &[],
        "Number of the configuration in use; 1 at start, one more with each successful reload.",
    ),
    process(
        Field::ConfigGenerations,
        Kind::Gauge,
        &[(P, "config_generations")],
        &[],
        "Configurations still in memory; 1 once nothing holds an older one.",
    ),
    process(
        Field::ConfigLastReloadSuccess,
        Kind::Gauge,
        &[(P, "config_last_reload_success")],
        &[],
        "1 when the last reload succeeded or none was tried, 0 when it failed.",
    ),
    process(
        Field::ConfigLastReload,
        Kind::Gauge,
        &[(P, "config_last_reload_timestamp_seconds")],
        &[],
        "When the last reload was tried, Unix time; absent before the first.",
    )
    .unit(Unit::Seconds),
    process(
        Field::ConfigLastReloadSuccessTime,
        Kind::Gauge,
        &[(P, "config_last_reload_success_timestamp_seconds")],
        &[],
        "When the configuration in use was loaded, Unix time.",
    )
    .unit(Unit::Seconds),
    process(Field::ConfigReloadsOk, Kind::Counter, &[(P, "config_reloads_total")], &[], "Reloads by result.")
        .label(Label::Fixed("result", "ok")),
    process(Field::ConfigReloadsFailed, Kind::Counter, &[(P, "config_reloads_total")], &[], "Reloads by result.")
        .label(Label::Fixed("result", "failed")),
    process(
        Field::Ended,
        Kind::Counter,
        &[(P, "transactions_ended_total")],
        &[],
        "Requests (HTTP) and connections (TCP) by how they ended; the reasons are those of the JSON log.",
    )
    .label(Label::Reason),
    process(
        Field::TlsConnections,
        Kind::Gauge,
        &[(P, "tls_connections")],
        &[(P, "current_ssl_connections")],
        "Client connections with TLS open now, handshakes under way included.",
    ),
    process(
        Field::TlsConnectionsLimit,
        Kind::Gauge,
        &[(P, "tls_connections_limit")],
        &[(P, "max_ssl_connections")],
        "Client connections with TLS allowed at once (maxsslconn); absent when unlimited.",
    ),
    process(
        Field::TlsHandshakesTotal,
        Kind::Counter,
        &[(P, "tls_handshakes_total")],
        &[(P, "ssl_connections_total")],
        "TLS handshakes with clients that were completed.",
    ),
    process(
        Field::TlsRate,
        Kind::Gauge,
        &[],
        &[(P, "current_ssl_rate")],
        "TLS handshakes with clients completed in the last second.",
    ),
    process(
        Field::TlsRateMax,
        Kind::Gauge,
        &[(P, "tls_handshake_rate_max")],
        &[(P, "max_ssl_rate")],
        "Most TLS handshakes with clients completed in one second.",
    ),
    process(
        Field::TlsRateLimit,
        Kind::Gauge,
        &[(P, "tls_handshake_rate_limit")],
        &[(P, "limit_ssl_rate")],
        "TLS handshakes with clients allowed in a second (maxsslrate); absent when unlimited.",
    ),
    process(
        Field::TlsFullRate,
        Kind::Gauge,
        &[],
        &[(P, "current_frontend_ssl_key_rate")],
        "Full TLS handshakes with clients in the last second.",
    ),
    process(
        Field::TlsFullRateMax,
        Kind::Gauge,
        &[(P, "tls_full_handshake_rate_max")],
        &[(P, "max_frontend_ssl_key_rate")],
        "Most full TLS handshakes with clients in one second.",
    ),
    process(
        Field::TlsReuse,
        Kind::Gauge,
        &[],
        &[(P, "frontend_ssl_reuse")],
        "Share of the last second's TLS handshakes with clients that took up an earlier session, percent.",
    ),
    process(
        Field::CertificatesOk,
        Kind::Counter,
        &[(P, "certificate_updates_total")],
        &[],
        "Certificates changed at run time, by command or from a watched file, by result.",
    )
    .label(Label::Fixed("result", "ok")),
    process(
        Field::CertificatesFailed,
        Kind::Counter,
        &[(P, "certificate_updates_total")],
        &[],
        "Certificates changed at run time, by command or from a watched file, by result.",
    )
    .label(Label::Fixed("result", "failed")),
    process(
        Field::OcspOk,
        Kind::Counter,
        &[(P, "ocsp_updates_total")],
        &[],
        "Attempts to fetch an OCSP response, by result.",
    )
    .label(Label::Fixed("result", "ok")),
    process(
        Field::OcspFailed,
        Kind::Counter,
        &[(P, "ocsp_updates_total")],
        &[],
        "Attempts to fetch an OCSP response, by result.",
    )
    .label(Label::Fixed("result", "failed")),
    count(Field::TlsFull, "", F, "TLS handshakes that were completed, by kind.")
        .own(&[(F, "tls_handshakes_total")])
        .label(Label::Fixed("kind", "full")),
    count(Field::TlsResumed, "", F, "TLS handshakes that were completed, by kind.")
        .own(&[(F, "tls_handshakes_total")])
        .label(Label::Fixed("kind", "resumed")),
    count(Field::TlsFailed, "", F, "TLS handshakes that failed; the reasons are those of the JSON log.")
        .own(&[(F, "tls_handshake_failures_total")]),
    gauge(Field::CertificateStart, "", C, "First second of a certificate's validity, Unix time.")
        .own(&[(C, "not_before_timestamp_seconds")])
        .unit(Unit::Seconds),
    gauge(Field::CertificateExpiry, "", C, "Last second of a certificate's validity, Unix time.")
        .own(&[(C, "expiry_timestamp_seconds")])
        .unit(Unit::Seconds),
    gauge(
        Field::CertificateOcspExpiry,
        "",
        C,
        "Until when the OCSP response stapled to a certificate holds, Unix time; absent while none is stapled.",
    )
    .own(&[(C, "ocsp_expiry_timestamp_seconds")])
    .unit(Unit::Seconds),
    count(Field::ResolversQuestions, "", R, "Names the name servers were asked for.").own(&[(R, "questions_total")]),
    count(Field::ResolversHits, "", R, "Names whose address was known, so that nobody was asked.")
        .own(&[(R, "cache_hits_total")]),
    count(Field::ResolversRefused, "", R, "Names that were not asked for because max-questions were under way.")
        .own(&[(R, "questions_refused_total")]),
    gauge(Field::ResolversNames, "", R, "Names whose answers are kept.").own(&[(R, "names")]),
    count(Field::ResolverSent, "", N, "Questions sent to a name server, repetitions included.")
        .own(&[(N, "queries_total")])
        .haproxy(&[(N, "sent")]),
    count(Field::ResolverValid, "", N, ANSWERS).own(&[(N, "answers_total")]).label(Label::Fixed("result", "valid")),
    count(Field::ResolverNx, "", N, ANSWERS).own(&[(N, "answers_total")]).label(Label::Fixed("result", "nx")),
    count(Field::ResolverRefused, "", N, ANSWERS).own(&[(N, "answers_total")]).label(Label::Fixed("result", "refused")),
    count(Field::ResolverTimeout, "", N, ANSWERS).own(&[(N, "answers_total")]).label(Label::Fixed("result", "timeout")),
    count(Field::ResolverOther, "", N, ANSWERS).own(&[(N, "answers_total")]).label(Label::Fixed("result", "other")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn columns_come_first_and_in_field_order() {
        for (i, e) in CATALOG.iter().enumerate() {
            assert_eq!(e.column.is_some(), i < COLUMNS, "{:?} at {i}", e.field);
            assert_eq!(e.field as usize, i, "{:?} stands at {i}", e.field);
            let rowless = [Scope::Process, Scope::Certificate, Scope::Resolvers, Scope::Resolver];
            let rowless = rowless.into_iter().any(|scope| e.scopes.has(scope));
            assert!(i >= COLUMNS || !rowless, "{:?}", e.field);
            assert!(!rowless || e.column.is_none(), "{:?}", e.field);
        }
    }

    #[test]
    fn positions_that_tools_hard_code() {
        for (at, name) in [
            (0, "pxname"),
            (17, "status"),
            (32, "type"),
            (48, "req_tot"),
            (61, "ttime"),
            (75, "mode"),
            (89, "src_ilim"),
        ] {
            assert_eq!(CATALOG[at].column, Some(name));
        }
        assert_eq!(CATALOG[COLUMNS - 1].column, Some("cache_hint_hits"));
    }

    #[test]
    fn a_metric_name_means_one_thing() {
        let mut seen: HashMap<String, (Label, Kind, &str)> = HashMap::new();
        for scope in Scope::ALL {
            for e in &CATALOG {
                for name in [e.own_name(scope), e.haproxy_name(scope)].into_iter().flatten() {
                    assert!(e.scopes.has(scope), "{name} is named for a scope without the number");
                    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
                    if let Some((label, kind, help)) = seen.insert(name.clone(), (e.label, e.kind, e.help)) {
                        assert!(
                            matches!((label, e.label), (Label::Fixed(a, x), Label::Fixed(b, y)) if a == b && x != y),
                            "{name} twice"
                        );
                        assert_eq!((kind, help), (e.kind, e.help), "{name}");
                    }
                    if name.starts_with("evenkeel_") {
                        assert_eq!(name.ends_with("_total"), e.kind == Kind::Counter, "{name}: counters end in _total");
                    }
                }
            }
        }
    }

    #[test]
    fn every_entry_with_a_state_label_lists_its_states() {
        for e in &CATALOG {
            for scope in Scope::ALL {
                if e.scopes.has(scope) {
                    assert_eq!(!e.states(scope).is_empty(), e.label == Label::State, "{:?} {scope:?}", e.field);
                }
            }
            assert_eq!(e.tags.len(), 3, "{:?}", e.field);
            assert!(e.help.ends_with('.'), "{:?}", e.field);
        }
    }
}
