//! The configuration as used: plain data, every default resolved, every reference checked.
//!
//! Built by [`crate::load()`] only, so whoever holds a [`Config`] need not check it again. Never: file access, sockets,
//! clocks. Defaults and limits are in [`crate::defaults`], one constant each.

mod check;
mod log;
mod pages;
mod resolvers;
mod test;
mod tls;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_acl::count::Counted;
use evenkeel_acl::stick::TableDef;
use evenkeel_acl::{Conditions, RuleSet, Switch};
use evenkeel_acl::{StartVars, VarLimits};
use ipnet::IpNet;

pub use check::{Check, CheckKind, Expect, ExpectWhat, GrpcCheck, HttpCheck, InitState, Pattern, ValueMatch};
pub use evenkeel_tls::options::{BindTls, CertSource, ServerTls};
pub(crate) use log::{FRAMINGS, LOG_STEPS, SYSLOGS};
pub use log::{
    Framing, LineFormat, LogFormat, LogProfile, LogSample, LogSink, LogStep, LogTarget, ProfileStep, Syslog,
};
pub use pages::{ErrorPage, ErrorPages};
pub use resolvers::{Hold, Nameserver, Resolvers};
pub use test::{
    Expected, ExpectedAction, ExpectedField, ExpectedSent, Given, GivenEntry, GivenResponse, GivenState, Test,
    TestRequest,
};
pub use tls::{
    AcceptProxy, H2Side, H2Tune, Proto, ProxyOptions, ProxyVersion, SendProxy, Sni, SslTune, UpstreamTls, Ws,
};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Process-wide settings.
    pub global: Global,
    /// Every frontend, in file order; a `listen` section gives one here and one in [`Config::backends`].
    pub frontends: Vec<Arc<Frontend>>,
    /// Every backend, in file order.
    pub backends: Vec<Arc<Backend>>,
    /// Stick tables, each named after its proxy; compiled rules know a table by its index here.
    pub tables: Vec<TableDef>,
    /// `[resolvers.NAME]` sections; compiled rules know one by its index here.
    pub resolvers: Vec<Arc<Resolvers>>,
    /// `[[test]]` blocks, in file order.
    pub tests: Vec<Test>,
    /// The sections in file order, for pages that list them as the operator wrote them.
    pub order: Vec<Section>,
    /// The files this was read from, in reading order.
    pub files: Vec<PathBuf>,
    /// Whether a rule or a format may ask for our address towards the server, which costs a system call a connection:
    /// `bc_src`, `%bi` or `%bp` stands somewhere in the files.
    pub asks_server_src: bool,
}

/// One section of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Index into [`Config::frontends`].
    Frontend(usize),
    /// Index into [`Config::backends`].
    Backend(usize),
    /// A `listen`: its frontend and its backend.
    Listen(usize, usize),
}

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Place {
    /// File name as given on the command line.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// `[global]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// Worker threads; 0 = one per usable core (`nbthread`).
    pub threads: usize,
    /// Client connections over all frontends at once; 0 = derived from the file-descriptor limit (`maxconn`).
    pub maxconn: u32,
    /// Client connections with TLS at once; 0 = unlimited (`maxsslconn`).
    pub max_ssl_conn: u32,
    /// TLS connections taken within a second; 0 = unlimited (`maxsslrate`).
    pub max_ssl_rate: u32,
    /// Where log lines of a proxy with `log = "global"` or without its own `log` go.
    pub log: Vec<LogTarget>,
    /// Every `[log-profile.NAME]`.
    pub log_profiles: Vec<Arc<LogProfile>>,
    /// The operator's listener: stats page, CSV, JSON, metrics.
    pub admin: Option<Admin>,
    /// How long a soft stop may take before what is left is closed (`hard-stop-after`).
    pub hard_stop_after: Option<Duration>,
    /// Syslog tag (`log-tag`).
    pub log_tag: Arc<str>,
    /// The host name in syslog lines; `None`: that of the machine (`log-send-hostname`).
    pub log_hostname: Option<Arc<str>>,
    /// File that receives the process id.
    pub pid_file: Option<PathBuf>,
    /// Buffer and header limits.
    pub tune: Tune,
    /// Whether a reload runs the `[[test]]` blocks first and is refused when one fails.
    pub test_before_reload: bool,
    /// The ring of decision records that `evenkeel why` reads.
    pub why: DecisionLog,
    /// Which statuses stick tables count as errors and as failures (`http-err-codes`, `http-fail-codes`).
    pub counted: Counted,
    /// Variables of scope `proc` that are set at the start (`set-var`, `set-var-fmt`).
    pub set_vars: StartVars,
}

/// `global.why`: which decisions are kept, and for how many requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionLog {
    /// Records over all workers; 0 = none is kept.
    pub entries: usize,
    /// One request in so many is kept whatever became of it; 0 = only errors and slow ones.
    pub sample: u32,
    /// Requests that took at least this long are always kept; `None` = not for that.
    pub slow: Option<Duration>,
    /// Fields whose values are never kept, in lower case.
    pub redact: Vec<Arc<str>>,
}

/// `global.tune`: sizes and limits of the data path.
#[derive(Clone, Debug, PartialEq)]
pub struct Tune {
    /// Bytes of an I/O buffer; a message head must fit (`tune.bufsize`).
    pub bufsize: usize,
    /// Header fields of one message (`tune.http.maxhdr`).
    pub max_headers: usize,
    /// Bytes of a request target; a longer one gets 414.
    pub max_uri: usize,
    /// Bytes of a request target that reach the log (`tune.http.logurilen`).
    pub log_uri_len: usize,
    /// Bytes of a captured cookie (`tune.http.cookielen`).
    pub cookie_len: usize,
    /// Bytes of one relay buffer of a bulk transfer.
    pub bulk_bufsize: usize,
    /// Idle connections to one server kept over all workers (`pool-max-conn`); `None` = unlimited.
    pub pool_max_conn: Option<u32>,
    /// How long a connection to a server may idle in the pool (`pool-purge-delay`).
    pub pool_purge_delay: Duration,
    /// Bytes of log lines that may wait for the log thread; what comes on top is dropped and counted.
    pub log_buffer: usize,
    /// Bytes that variables may take (`tune.vars`).
    pub vars: VarLimits,
    /// Counters a connection or request may track (`tune.stick-counters`).
    pub stick_counters: usize,
    /// TLS.
    pub ssl: SslTune,
    /// HTTP/2.
    pub h2: H2Tune,
}

/// `global.admin`.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Address of the operator's listener.
    pub listen: SocketAddr,
    /// Seconds between two refreshes of the stats page; `None` = none.
    pub refresh: Option<Duration>,
    /// Where it was written.
    pub place: Place,
}

/// HTTP or plain TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Layer 7.
    Http,
    /// Layer 4.
    Tcp,
}

/// A frontend: where clients come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Frontend {
    /// Its name.
    pub name: Arc<str>,
    /// Numeric id (`iid`), from 2 in file order.
    pub id: u32,
    /// Whether it came from a `listen` section.
    pub listen: bool,
    /// Where it was written.
    pub place: Place,
    /// Layer.
    pub mode: Mode,
    /// Its listening addresses.
    pub binds: Vec<Bind>,
    /// Connections at once; 0 = the global limit (`maxconn`).
    pub maxconn: u32,
    /// Client-side timeouts.
    pub timeout: ClientTimeouts,
    /// `tcp-request.connection` rules: right after accept.
    pub tcp_request_connection: Arc<RuleSet>,
    /// `tcp-request.session` rules: once the connection stands.
    pub tcp_request_session: Arc<RuleSet>,
    /// How long `tcp-request.content` rules may wait for data (`tcp-request inspect-delay`).
    pub tcp_request_inspect_delay: Option<Duration>,
    /// `tcp-request.content` rules: once per transaction, before the HTTP rules.
    pub tcp_request_content: Arc<RuleSet>,
    /// `http-response` rules.
    pub http_response: Arc<RuleSet>,
    /// `http-after-response` rules.
    pub http_after_response: Arc<RuleSet>,
    /// `http-request` rules, in order.
    pub http_request: Arc<RuleSet>,
    /// `redirect` rules: after `http-request`, also after an `allow` there.
    pub redirect: Arc<RuleSet>,
    /// `use_backend` rules; `switch.targets[i]` is the name of rule i's backend.
    pub switch: Arc<Switch>,
    /// The backend taken when no rule matches.
    pub default_backend: Option<Arc<str>>,
    /// Options.
    pub option: FrontendOptions,
    /// Where its log lines go; empty = nowhere.
    pub log: Vec<LogTarget>,
    /// The format of its access log.
    pub log_format: LogFormat,
    /// `log-format` as a text with items: the access log of loggers without a format of their own, instead of `log_format`.
    pub log_text: Option<Arc<evenkeel_acl::LogFormat>>,
    /// `log-format-sd`: the structured data of RFC 5424 lines.
    pub log_sd: Option<Arc<evenkeel_acl::LogFormat>>,
    /// `error-log-format`: the line of a connection that ended before its first request.
    pub error_log_text: Option<Arc<evenkeel_acl::LogFormat>>,
    /// `log-steps`: the steps at which a line is written, by [`LogStep::bit`].
    pub log_steps: u8,
    /// `unique-id-format`: the id of each request; `None`: one made here.
    pub unique_id_format: Option<Arc<evenkeel_acl::LogFormat>>,
    /// `option.forwardfor` of the frontend.
    pub forwardfor: Option<ForwardFor>,
    /// What is sent instead of the built-in error pages; the backend's come first.
    pub pages: Arc<ErrorPages>,
    /// Fields and the cookie that are captured; rules that capture have slots of their own behind them.
    pub captures: Captures,
    /// Header that carries the request id to the server (`unique-id-header`).
    pub unique_id_header: Option<Arc<str>>,
    /// The target, or the path when it begins with a slash, that is answered here before any rule (`monitor-uri`).
    pub monitor_uri: Option<Arc<str>>,
    /// `monitor.fail`: one that holds makes `monitor_uri` answer 503.
    pub monitor_fail: Arc<Conditions>,
    /// TCP keep-alive towards clients (`clitcpka`).
    pub keepalive: bool,
    /// `disabled = true`: no listener is opened.
    pub disabled: bool,
}

/// `capture` and `declare-capture`, and how many slots there are with those that rules declare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// Slots of the request, in order.
    pub request: Vec<Capture>,
    /// Slots of the response, in order.
    pub response: Vec<Capture>,
    /// The cookie that is captured in both directions.
    pub cookie: Option<CaptureCookie>,
}

/// One capture slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The field whose last line fills it; `None`: only rules do.
    pub header: Option<Arc<str>>,
    /// Bytes kept.
    pub len: usize,
}

/// `capture.cookie`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureCookie {
    /// Beginning of the cookie's name; the whole name when it ends with `=`.
    pub name: Arc<str>,
    /// Bytes of `name=value` kept.
    pub len: usize,
}

/// Client-side timeouts; `None` waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// Inactivity of the client (`timeout.client`).
    pub client: Option<Duration>,
    /// Inactivity after the client closed its sending side (`timeout.client-fin`); `None` = as before.
    pub client_fin: Option<Duration>,
    /// Time for a PROXY header and a TLS handshake (`timeout.handshake`, HAProxy's `client-hs`).
    pub handshake: Option<Duration>,
    /// Time to receive a whole request head (`timeout.http-request`).
    pub http_request: Option<Duration>,
    /// Idle time between two requests (`timeout.http-keep-alive`).
    pub http_keep_alive: Option<Duration>,
    /// How long a `tarpit` rule holds a request (`timeout.tarpit`).
    pub tarpit: Option<Duration>,
    /// Inactivity of a tunnel, if the backend sets none (`timeout.tunnel`).
    pub tunnel: Option<Duration>,
}

/// How connections are kept between requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionMode {
    /// `option.http-keep-alive` (default): both sides stay open.
    KeepAlive,
    /// `option.http-server-close`: the server side closes after each response.
    ServerClose,
    /// `option.httpclose`: both sides close after each response.
    Close,
}

/// Boolean options of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontendOptions {
    /// Keep-alive mode; the stronger of frontend and backend applies.
    pub connection: ConnectionMode,
    /// `option.dontlognull`: connections without data are not logged.
    pub dontlognull: bool,
    /// `option.logasap`: the line is written when the response begins, or the connection to the server stands.
    pub logasap: bool,
    /// `option.dontlog-normal`: only errors, retries and 5xx are logged.
    pub dontlog_normal: bool,
    /// `option.log-separate-errors`: lines of what did not go well are of level err.
    pub log_separate_errors: bool,
    /// `option.http-buffer-request`: its rules wait for the body.
    pub buffer_request: bool,
    /// `option.http-ignore-probes`: connections without a request get no 408/400, no log, no count.
    pub ignore_probes: bool,
    /// `option.disable-h2-upgrade`: the preface of HTTP/2 on a clear connection is refused instead of understood.
    pub disable_h2_upgrade: bool,
    /// `option.proxy-status`: answers of our own say why in a `Proxy-Status` field (RFC 9209).
    pub proxy_status: bool,
}

/// `option.forwardfor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardFor {
    /// Sources that get no header.
    pub except: Vec<IpNet>,
    /// Header name.
    pub header: Arc<str>,
    /// Only when the request has none yet.
    pub if_none: bool,
}

/// One `bind`, already expanded: a port range gives one each.
#[derive(Clone, Debug, PartialEq)]
pub struct Bind {
    /// What to listen on.
    pub address: BindAddress,
    /// Its name in stats; the address when not given.
    pub name: Arc<str>,
    /// Where it was written.
    pub place: Place,
    /// Connections at once on this address; 0 = the frontend's limit.
    pub maxconn: u32,
    /// Length of the kernel's accept queue; 0 = the frontend's maxconn, as HAProxy does, capped by somaxconn.
    pub backlog: u32,
    /// `TCP_DEFER_ACCEPT`.
    pub defer_accept: bool,
    /// `TCP_FASTOPEN`.
    pub tfo: bool,
    /// `TCP_USER_TIMEOUT` (`tcp-ut`).
    pub tcp_user_timeout: Option<Duration>,
    /// `::` also takes IPv4.
    pub v4v6: bool,
    /// `::` never takes IPv4; wins over `v4v6`.
    pub v6only: bool,
    /// `SO_BINDTODEVICE`.
    pub interface: Option<Arc<str>>,
    /// `IP_TRANSPARENT`.
    pub transparent: bool,
    /// `SO_KEEPALIVE` on accepted connections.
    pub keepalive: bool,
    /// Permission bits of a Unix socket (`mode`).
    pub unix_mode: Option<u32>,
    /// TLS that ends here; the addresses of one bind share it.
    pub tls: Option<Arc<BindTls>>,
    /// What clients speak, when it is not found out.
    pub proto: Option<Proto>,
    /// Connections begin with a PROXY header.
    pub accept_proxy: Option<Arc<AcceptProxy>>,
    /// Silence on an HTTP/2 connection after which it gets a PING.
    pub idle_ping: Option<Duration>,
}

/// What a bind listens on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// An address and port.
    Inet(SocketAddr),
    /// A Unix socket path.
    Unix(PathBuf),
    /// An inherited descriptor that listens already (`fd@N`).
    Fd(i32),
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindAddress::Inet(a) => write!(f, "{a}"),
            BindAddress::Unix(p) => write!(f, "unix@{}", p.display()),
            BindAddress::Fd(n) => write!(f, "fd@{n}"),
        }
    }
}

/// A backend: the servers behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Its name.
    pub name: Arc<str>,
    /// Numeric id (`iid`), from 2 in file order; a `listen` shares one id.
    pub id: u32,
    /// Whether it came from a `listen` section.
    pub listen: bool,
    /// Where it was written.
    pub place: Place,
    /// Layer.
    pub mode: Mode,
    /// Which server is chosen.
    pub balance: Balance,
    /// Its servers, in file order.
    pub servers: Vec<Arc<Server>>,
    /// Server-side timeouts.
    pub timeout: ServerTimeouts,
    /// Attempts after the first failure (`retries`).
    pub retries: u32,
    /// `option.redispatch`: 0 = off, n > 0 = every nth retry may take another server, -1 = only the last one.
    pub redispatch: i32,
    /// `http-reuse`.
    pub reuse: Reuse,
    /// `tcp-request.content` rules.
    pub tcp_request_content: Arc<RuleSet>,
    /// How long they may wait for data (`tcp-request inspect-delay`).
    pub tcp_request_inspect_delay: Option<Duration>,
    /// `tcp-response.content` rules.
    pub tcp_response: Arc<RuleSet>,
    /// How long they may wait for data (`tcp-response inspect-delay`).
    pub tcp_response_inspect_delay: Option<Duration>,
    /// `use-server` rules; a target is the name of one of the servers.
    pub use_server: Arc<Switch>,
    /// What is sent instead of the built-in error pages; they come before the frontend's.
    pub pages: Arc<ErrorPages>,
    /// `http-response` rules.
    pub http_response: Arc<RuleSet>,
    /// `http-after-response` rules.
    pub http_after_response: Arc<RuleSet>,
    /// `http-request` rules of the backend, run after the frontend's.
    pub http_request: Arc<RuleSet>,
    /// `redirect` rules: after `http-request`, also after an `allow` there.
    pub redirect: Arc<RuleSet>,
    /// Options.
    pub option: BackendOptions,
    /// `option.forwardfor` of the backend.
    pub forwardfor: Option<ForwardFor>,
    /// Loggers for server state events.
    pub log: Vec<LogTarget>,
    /// TCP keep-alive towards servers (`srvtcpka`).
    pub keepalive: bool,
    /// `disabled = true`: never chosen, no checks.
    pub disabled: bool,
}

impl Backend {
    /// Whether it and `front` are the two halves of one listen, whose rules have run as those of the frontend then.
    pub fn is_half_of(&self, front: &Frontend) -> bool {
        self.listen && self.id == front.id
    }
}

/// `balance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin with dynamic weights.
    RoundRobin,
    /// Weighted round robin over the weights of the file.
    StaticRr,
    /// Fewest requests in flight per weight.
    LeastConn,
    /// The first server with a free slot.
    First,
    /// Hash of the client address.
    Source,
    /// Least loaded of n random draws.
    Random(u32),
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Balance::RoundRobin => f.write_str("roundrobin"),
            Balance::StaticRr => f.write_str("static-rr"),
            Balance::LeastConn => f.write_str("leastconn"),
            Balance::First => f.write_str("first"),
            Balance::Source => f.write_str("source"),
            Balance::Random(n) => write!(f, "random({n})"),
        }
    }
}

/// `http-reuse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Only the client connection's own server connection.
    Never,
    /// The first request of a client connection never shares.
    Safe,
    /// First requests share connections that were reused before.
    Aggressive,
    /// Any request may share.
    Always,
}

/// Server-side timeouts; `None` waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerTimeouts {
    /// One connection attempt (`timeout.connect`).
    pub connect: Option<Duration>,
    /// Inactivity of the server (`timeout.server`).
    pub server: Option<Duration>,
    /// Inactivity after the server closed its sending side (`timeout.server-fin`); `None` = as before.
    pub server_fin: Option<Duration>,
    /// Waiting for a free slot (`timeout.queue`).
    pub queue: Option<Duration>,
    /// How long a `tarpit` rule of the backend holds a request (`timeout.tarpit`).
    pub tarpit: Option<Duration>,
    /// Inactivity of a tunnel (`timeout.tunnel`).
    pub tunnel: Option<Duration>,
}

/// Boolean options of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendOptions {
    /// Keep-alive mode; the stronger of frontend and backend applies.
    pub connection: ConnectionMode,
    /// `option.abortonclose`: a client that closes ends its waiting request.
    pub abortonclose: bool,
    /// `option.http-buffer-request`: its rules wait for the body.
    pub buffer_request: bool,
    /// `option.allbackups`: all backup servers share when no active one is left.
    pub allbackups: bool,
    /// `option.log-health-checks`: every change of a check's result is logged, not only of the state.
    pub log_health_checks: bool,
}

/// One server.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Its name, unique in the backend.
    pub name: Arc<str>,
    /// Numeric id (`sid`), its position from 1.
    pub id: u32,
    /// Where it was written.
    pub place: Place,
    /// Where it listens.
    pub address: ServerAddress,
    /// Share of the traffic, 0–256; 0 = none but persistent.
    pub weight: u16,
    /// Requests (http) or connections (tcp) at once; 0 = unlimited.
    pub maxconn: u32,
    /// Requests that may wait for this server; 0 = unlimited.
    pub maxqueue: u32,
    /// Used only when no active server is usable.
    pub backup: bool,
    /// Starts in maintenance.
    pub disabled: bool,
    /// Its health check; `None` = always up ("no check").
    pub check: Option<Arc<Check>>,
    /// Local address for connections to it (`source`).
    pub source: Option<SocketAddr>,
    /// `SO_BINDTODEVICE` for connections to it.
    pub interface: Option<Arc<str>>,
    /// `TCP_USER_TIMEOUT` (`tcp-ut`).
    pub tcp_user_timeout: Option<Duration>,
    /// `TCP_FASTOPEN_CONNECT`.
    pub tfo: bool,
    /// What happens to connections of this server when it leaves the file (`on-remove`).
    pub on_remove: OnRemove,
    /// TLS towards it.
    pub tls: Option<Arc<UpstreamTls>>,
    /// What it speaks, when it is not found out.
    pub proto: Option<Proto>,
    /// What carries a WebSocket.
    pub ws: Ws,
    /// Connections begin with a PROXY header, and are their client's alone.
    pub send_proxy: Option<Arc<SendProxy>>,
    /// Silence on an HTTP/2 connection after which it gets a PING.
    pub idle_ping: Option<Duration>,
}

/// Where a server listens; names are resolved at load.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// An address and port.
    Inet(SocketAddr),
    /// A Unix socket path.
    Unix(PathBuf),
    /// Where the client connected to, as rules left it (`set-dst`): written as an address that is none, with port 0.
    Destination(SocketAddr),
}

impl ServerAddress {
    /// Whether it is another one for each connection.
    #[inline]
    pub fn is_destination(&self) -> bool {
        matches!(self, ServerAddress::Destination(_))
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerAddress::Inet(a) | ServerAddress::Destination(a) => write!(f, "{a}"),
            ServerAddress::Unix(p) => write!(f, "unix@{}", p.display()),
        }
    }
}

/// `on-remove`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRemove {
    /// Open connections live on until they end.
    Keep,
    /// They may take this long.
    Drain(Duration),
    /// They are closed at once.
    Close,
}
