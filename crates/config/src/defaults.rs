//! Every default and every limit of the config language, once, with its unit and where it comes from.
//!
//! Read by the key tables (which print them) and by the builder (which applies them), so what the manual says and what
//! the program does cannot differ. Never: logic.

use std::time::Duration;

use crate::model::{Balance, LogFormat, Mode, OnRemove, Reuse};

/// `mode`; HAProxy's is tcp, nearly every file then says http.
pub const MODE: Mode = Mode::Http;
/// `balance`, two draws; HAProxy's current default.
pub const BALANCE: Balance = Balance::Random(2);
/// `http-reuse`; HAProxy's.
pub const REUSE: Reuse = Reuse::Safe;
/// `retries`; HAProxy's.
pub const RETRIES: u32 = 3;
/// `on-remove`: a reload never cuts a connection unless it is asked to.
pub const ON_REMOVE: OnRemove = OnRemove::Keep;
/// `option.redispatch = true`: only the last retry may take another server; HAProxy's.
pub const REDISPATCH_ON: i32 = -1;

/// `timeout.connect`; HAProxy has none and warns.
pub const TIMEOUT_CONNECT: Duration = Duration::from_secs(5);
/// `timeout.client`; HAProxy has none and warns.
pub const TIMEOUT_CLIENT: Duration = Duration::from_secs(30);
/// `timeout.server`; HAProxy has none and warns.
pub const TIMEOUT_SERVER: Duration = Duration::from_secs(30);
/// `timeout.http-request`; HAProxy has none, which leaves a door open to slow senders.
pub const TIMEOUT_HTTP_REQUEST: Duration = Duration::from_secs(10);
/// `timeout.handshake`; HAProxy's is `timeout client`, which leaves a door open to slow senders.
pub const TIMEOUT_HANDSHAKE: Duration = Duration::from_secs(10);
/// `timeout.tunnel`: long enough for a quiet WebSocket.
pub const TIMEOUT_TUNNEL: Duration = Duration::from_secs(3600);
/// The longest duration a timer takes, 24.8 days in milliseconds; HAProxy's.
pub const MAX_DURATION: Duration = Duration::from_millis(i32::MAX as u64);

/// `server.weight`; HAProxy's.
pub const WEIGHT: u16 = 1;
/// The greatest `server.weight`; HAProxy's.
pub const MAX_WEIGHT: u16 = 256;
/// The greatest `maxconn`, `maxqueue` and `backlog`.
pub const MAX_CONN: u32 = 10_000_000;
/// The greatest `retries`.
pub const MAX_RETRIES: u32 = 100;
/// The most draws of `balance = "random(n)"`.
pub const MAX_DRAWS: u32 = 64;
/// The most worker threads.
pub const MAX_THREADS: usize = 1024;

/// `check.interval` (`inter`); HAProxy's.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// `check.rise`; HAProxy's.
pub const CHECK_RISE: u32 = 2;
/// `check.fall`; HAProxy's.
pub const CHECK_FALL: u32 = 3;
/// The greatest `check.rise` and `check.fall`.
pub const MAX_CHECK_COUNT: u32 = 100_000;
/// `check.jitter`, percent (`spread-checks`); HAProxy's.
pub const CHECK_JITTER: u8 = 0;
/// The greatest `check.jitter`, percent; HAProxy's.
pub const MAX_CHECK_JITTER: u8 = 50;
/// `check.method`; HAProxy's is OPTIONS, which many applications answer with 405 or 501.
pub const CHECK_METHOD: &str = "GET";
/// `check.uri`; HAProxy's.
pub const CHECK_URI: &str = "/";

/// `global.log-tag`: the program's name.
pub const LOG_TAG: &str = "evenkeel";
/// `log.facility`; there is none in HAProxy, where the word must be given.
pub const LOG_FACILITY: &str = "local0";
/// `log.level`: everything is sent; HAProxy's.
pub const LOG_LEVEL: &str = "debug";
/// `log.minlevel`: nothing is made less severe; HAProxy's.
pub const LOG_MIN_LEVEL: &str = "emerg";
/// `log.len` in bytes; HAProxy's.
pub const LOG_LEN: usize = 1024;
/// The shortest and the longest `log.len`, bytes; HAProxy's.
pub const LOG_LEN_RANGE: (u64, u64) = (80, 65_535);
/// Port of a `udp:` log target without one (RFC 5426).
pub const SYSLOG_PORT: u16 = 514;
/// `log-format` of a proxy in http mode.
pub const LOG_FORMAT_HTTP: LogFormat = LogFormat::Http;
/// `log-format` of a proxy in tcp mode.
pub const LOG_FORMAT_TCP: LogFormat = LogFormat::Tcp;

/// `option.forwardfor.header`; HAProxy's.
pub const FORWARDFOR_HEADER: &str = "X-Forwarded-For";
/// `global.admin.refresh`: the stats page follows what happens.
pub const ADMIN_REFRESH: Duration = Duration::from_secs(5);

/// `tune.bufsize` in bytes; HAProxy's.
pub const BUFSIZE: usize = 16 * 1024;
/// The least and the greatest `tune.bufsize`, bytes.
pub const BUFSIZE_RANGE: (u64, u64) = (4 * 1024, 1024 * 1024);
/// `tune.bulk-bufsize` in bytes: the cheapest size per byte of 64k, 128k, 256k and 512k, measured on 1 MiB bodies.
pub const BULK_BUFSIZE: usize = 128 * 1024;
/// The least and the greatest `tune.bulk-bufsize`, bytes; a power of two.
pub const BULK_BUFSIZE_RANGE: (u64, u64) = (16 * 1024, 1024 * 1024);
/// `tune.http.maxhdr`; HAProxy's.
pub const MAX_HEADERS: usize = 101;
/// The greatest `tune.http.maxhdr`; HAProxy's.
pub const MAX_MAX_HEADERS: usize = 32_767;
/// `tune.http.maxuri` in bytes; RFC 9110 §4.1 asks for 8000 at least.
pub const MAX_URI: usize = 8192;
/// `tune.http.logurilen` in bytes; HAProxy's.
pub const LOG_URI_LEN: usize = 1024;
/// `tune.http.cookielen` in bytes; HAProxy's.
pub const COOKIE_LEN: usize = 63;
/// The greatest `tune.http.logurilen`, bytes; HAProxy's.
pub const MAX_LOG_URI_LEN: usize = 65_535;
/// `tune.pool-purge-delay`; HAProxy's.
pub const POOL_PURGE_DELAY: Duration = Duration::from_secs(5);
/// `tune.log-buffer` in bytes: a burst of some 5,000 lines.
pub const LOG_BUFFER: usize = 1024 * 1024;
/// The least and the greatest `tune.log-buffer`, bytes.
pub const LOG_BUFFER_RANGE: (u64, u64) = (64 * 1024, 1024 * 1024 * 1024);

/// `tune.ssl.lifetime`; HAProxy's.
pub const SSL_LIFETIME: Duration = Duration::from_secs(300);
/// `tune.ssl.cachesize`; HAProxy's.
pub const SSL_CACHE: usize = 20_000;
/// `tune.ssl.maxrecord` in bytes: full records from the first on; HAProxy's.
pub const SSL_MAX_RECORD: usize = 0;
/// The greatest payload of a TLS record, bytes (RFC 8446 §5.1).
pub const MAX_SSL_RECORD: usize = 16_384;
/// `tune.h2.*.max-concurrent-streams`; HAProxy's.
pub const H2_STREAMS: u32 = 100;
/// `tune.h2.*.initial-window-size` in bytes; that of RFC 9113 §6.9.2.
pub const H2_WINDOW: u32 = 65_535;
/// `tune.h2.*.rxbuf` in bytes: 25 streams at once send at full speed; HAProxy's.
pub const H2_CONNECTION_WINDOW: u32 = 1_600 * 1024;
/// `tune.h2.*.max-frame-size` in bytes; HAProxy's, and the least there is.
pub const H2_FRAME: u32 = 16_384;
/// `tune.h2.*.header-table-size` in bytes; HAProxy's.
pub const H2_HEADER_TABLE: u32 = 4096;
/// `tune.h2.*.glitches-threshold`; HAProxy has none. No client that was met makes more than a handful.
pub const H2_GLITCHES: u32 = 1000;
/// `tune.h2.fe.max-rst-at-once`; HAProxy has none. A page that is left resets its streams, a hundred at most.
pub const H2_RESETS: u32 = 500;
/// `tune.h2.fe.max-frames-at-once`; HAProxy has none.
pub const H2_CONTROL_FRAMES: u32 = 10_000;

/// The least and the greatest `tune.vars.*-max-size`, bytes.
pub const VARS_RANGE: (u64, u64) = (0, 1024 * 1024 * 1024);

/// `tune.stick-counters`; HAProxy's.
pub const STICK_COUNTERS: usize = 3;
/// The greatest `tune.stick-counters`: the room a connection has for them.
pub const MAX_STICK_COUNTERS: usize = evenkeel_acl::STICK_COUNTERS;
/// `stick-table.len` in bytes; HAProxy's.
pub const TABLE_KEY_LEN: usize = 32;
/// The longest key of a stick table, bytes.
pub const MAX_TABLE_KEY_LEN: usize = 1024;
/// The most entries of a stick table.
pub const MAX_TABLE_SIZE: u64 = 1 << 30;

/// `resolvers.resolve-retries`.
pub const RESOLVE_RETRIES: u32 = 3;
/// The most of `resolvers.resolve-retries`.
pub const MAX_RESOLVE_RETRIES: u32 = 100;
/// `resolvers.timeout.retry`.
pub const DNS_RETRY: Duration = Duration::from_secs(1);
/// `resolvers.hold.valid`.
pub const HOLD_VALID: Duration = Duration::from_secs(10);
/// The other times of `resolvers.hold`.
pub const HOLD_FAILED: Duration = Duration::from_secs(30);
/// `resolvers.accepted-payload-size`: what RFC 6891 takes for granted.
pub const DNS_PAYLOAD: u16 = 512;
/// `resolvers.max-names`.
pub const DNS_NAMES: usize = 10_000;
/// The most of `resolvers.max-names`.
pub const MAX_DNS_NAMES: usize = 1_000_000;
/// `resolvers.max-questions`.
pub const DNS_QUESTIONS: usize = 256;
/// The most of `resolvers.max-questions`.
pub const MAX_DNS_QUESTIONS: usize = 10_000;
/// Name servers of one section.
pub const MAX_NAMESERVERS: usize = 16;
/// The port of name servers.
pub const DNS_PORT: u16 = 53;

/// `global.why.entries`: some four megabytes of records.
pub const WHY_ENTRIES: usize = 4096;
/// The greatest `global.why.entries`.
pub const MAX_WHY_ENTRIES: usize = 1_000_000;
/// `global.why.sample`: one request in so many.
pub const WHY_SAMPLE: u32 = 100;
/// `global.why.slow`.
pub const WHY_SLOW: Duration = Duration::from_secs(1);
/// `global.why.redact`: fields that hold secrets, in lower case.
pub const WHY_REDACT: &[&str] =
    &["authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key", "x-auth-token"];

/// `test.request.time`: 2026-01-01T00:00:00Z, seconds since 1970; a fixed one, so that a test says the same every day.
pub const TEST_TIME: i64 = 1_767_225_600;

/// The greatest length of a capture, bytes.
pub const MAX_CAPTURE_LEN: usize = 65_535;
/// The largest error page as a whole message, bytes.
pub const MAX_PAGE_SIZE: usize = 256 * 1024;
/// The largest file of patterns that a rule names, bytes.
pub const MAX_DATA_SIZE: u64 = 256 * 1024 * 1024;

/// The longest path of a Unix socket, bytes (`sun_path` without its end).
pub const MAX_UNIX_PATH: usize = 107;
/// The most listening addresses of one configuration, port ranges expanded.
pub const MAX_BINDS: usize = 16_384;
/// The largest file that is read, bytes.
pub const MAX_FILE_SIZE: u64 = 64 * 1024 * 1024;
/// The most files of one configuration, includes counted.
pub const MAX_FILES: usize = 4096;
