//! Loggers: where lines go, what stands before them, which of them are sent.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use evenkeel_acl::LogFormat as LogText;

use super::Mode;

/// One logger.
#[derive(Clone, Debug, PartialEq)]
pub struct LogTarget {
    /// Where lines go.
    pub sink: LogSink,
    /// Format of the access log on this logger; `None` = the frontend's.
    pub format: Option<LineFormat>,
    /// What stands before the line.
    pub syslog: Syslog,
    /// Syslog facility code, 0–23.
    pub facility: u8,
    /// The least severe level that is sent, 0 (emerg) – 7 (debug).
    pub level: u8,
    /// What is more severe is told as this (`minlevel`).
    pub min_level: u8,
    /// Which of its lines it gets; `None`: all.
    pub sample: Option<LogSample>,
    /// Longest line in bytes.
    pub len: usize,
    /// What it does otherwise than the frontend says, step by step.
    pub profile: Option<Arc<LogProfile>>,
    /// `log-tag` of the proxy it is used in; `None`: that of the process.
    pub tag: Option<Arc<str>>,
}

/// How a line is written.
#[derive(Clone, Debug, PartialEq)]
pub enum LineFormat {
    /// In a built-in format.
    Builtin(LogFormat),
    /// As a text with items.
    Text(Arc<LogText>),
    /// As one of two texts with items.
    ByMode {
        /// In http mode.
        http: Arc<LogText>,
        /// In tcp mode.
        tcp: Arc<LogText>,
    },
}

impl LineFormat {
    /// The text with items in that mode, or the built-in format.
    pub fn in_mode(&self, mode: Mode) -> Result<&Arc<LogText>, LogFormat> {
        match (self, mode) {
            (LineFormat::Builtin(format), _) => Err(*format),
            (LineFormat::Text(text), _)
            | (LineFormat::ByMode { http: text, .. }, Mode::Http)
            | (LineFormat::ByMode { tcp: text, .. }, Mode::Tcp) => Ok(text),
        }
    }

    /// As written in the file, for who compares two of them.
    pub(crate) fn text(&self) -> String {
        match self {
            LineFormat::Builtin(format) => format!("{format:?}").to_lowercase(),
            LineFormat::Text(text) => text.text().to_owned(),
            LineFormat::ByMode { http, .. } => http.text().to_owned(),
        }
    }
}

/// `[log-profile.NAME]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogProfile {
    /// Its name.
    pub name: Arc<str>,
    /// Instead of `log-tag`.
    pub tag: Option<Arc<str>>,
    /// By [`LogStep`].
    pub steps: [Option<ProfileStep>; LogStep::ALL.len()],
    /// For steps that have nothing of their own.
    pub any: Option<ProfileStep>,
}

impl LogProfile {
    /// What it says of `step`.
    pub fn step(&self, step: LogStep) -> Option<&ProfileStep> {
        self.steps[step as usize].as_ref().or(self.any.as_ref())
    }
}

/// What a profile says of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileStep {
    /// No line is written.
    pub drop: bool,
    /// Instead of the format of the logger or the frontend.
    pub format: Option<LineFormat>,
    /// Instead of `log-format-sd`.
    pub data: Option<Arc<LogText>>,
}

/// What a line is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStep {
    /// A request begins, or a TCP connection; no rule on it has run.
    Accept,
    /// The rules on it have run; a server is to be chosen.
    Request,
    /// The connection to the server stands.
    Connect,
    /// The head of the response is there and may pass.
    Response,
    /// All is over.
    Close,
    /// The connection failed before its request was there.
    Error,
    /// `do-log` in `tcp-request.connection`.
    TcpReqConn,
    /// `do-log` in `tcp-request.session`.
    TcpReqSess,
    /// `do-log` in `tcp-request.content`.
    TcpReqCont,
    /// `do-log` in `tcp-response.content`.
    TcpResCont,
    /// `do-log` in `http-request`.
    HttpReq,
    /// `do-log` in `http-response`.
    HttpRes,
    /// `do-log` in `http-after-response`.
    HttpAfterRes,
}

impl LogStep {
    /// Every step, in the order of their numbers; the first five are those of `log-steps`.
    pub const ALL: [LogStep; 13] = [
        LogStep::Accept,
        LogStep::Request,
        LogStep::Connect,
        LogStep::Response,
        LogStep::Close,
        LogStep::Error,
        LogStep::TcpReqConn,
        LogStep::TcpReqSess,
        LogStep::TcpReqCont,
        LogStep::TcpResCont,
        LogStep::HttpReq,
        LogStep::HttpRes,
        LogStep::HttpAfterRes,
    ];

    /// Its word in the file, HAProxy's.
    pub fn word(self) -> &'static str {
        STEPS[self as usize]
    }

    /// What `%OG` writes, HAProxy's.
    pub fn origin(self) -> &'static str {
        match self {
            LogStep::Accept => "txn_accept",
            LogStep::Request => "txn_request",
            LogStep::Connect => "txn_connect",
            LogStep::Response => "txn_response",
            LogStep::Close => "txn_close",
            LogStep::Error => "sess_error",
            other => other.word(),
        }
    }

    /// Its bit in [`Frontend::log_steps`](super::Frontend::log_steps).
    pub fn bit(self) -> u8 {
        debug_assert!((self as usize) < LOG_STEPS.len());
        1 << self as u8
    }
}

/// The words of [`LogStep::ALL`].
pub(crate) const STEPS: &[&str] = &[
    "accept",
    "request",
    "connect",
    "response",
    "close",
    "error",
    "tcp-req-conn",
    "tcp-req-sess",
    "tcp-req-cont",
    "tcp-res-cont",
    "http-req",
    "http-res",
    "http-after-res",
];

/// Those of `log-steps`.
pub(crate) const LOG_STEPS: &[&str] = &["accept", "request", "connect", "response", "close"];

/// The envelope of a syslog line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Syslog {
    /// RFC 3164 without the host name, as `/dev/log` takes it.
    Local,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424, with structured data.
    Rfc5424,
    /// Facility and severity, as one number in angle brackets.
    Priority,
    /// The severity in angle brackets, as systemd takes it.
    Short,
    /// As [`Short`](Syslog::Short), and the time.
    Timed,
    /// The time.
    Iso,
    /// Nothing.
    Raw,
}

impl Syslog {
    /// Every envelope, in the order of their numbers.
    pub const ALL: [Syslog; 8] = [
        Syslog::Local,
        Syslog::Rfc3164,
        Syslog::Rfc5424,
        Syslog::Priority,
        Syslog::Short,
        Syslog::Timed,
        Syslog::Iso,
        Syslog::Raw,
    ];

    /// Its word in the file, HAProxy's.
    pub fn word(self) -> &'static str {
        SYSLOGS[self as usize]
    }
}

/// The words of [`Syslog::ALL`].
pub(crate) const SYSLOGS: &[&str] = &["local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw"];

/// `sample`: which lines of each so many a logger gets.
///
/// The count is in here, so that all workers share it, and all proxies that name the same logger of `[global]`.
#[derive(Clone, Debug)]
pub struct LogSample {
    /// Lines of each period, counted from 1, both ends included.
    pub ranges: Vec<(u32, u32)>,
    /// Length of a period, lines.
    pub size: u32,
    seen: Arc<AtomicU64>,
}

impl LogSample {
    /// These lines out of each `size`.
    pub fn new(ranges: Vec<(u32, u32)>, size: u32) -> LogSample {
        LogSample { ranges, size, seen: Arc::default() }
    }

    /// Counts a line; whether it is one of those.
    pub fn takes(&self) -> bool {
        let at = (self.seen.fetch_add(1, Relaxed) % u64::from(self.size.max(1))) as u32 + 1;
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&at))
    }
}

impl PartialEq for LogSample {
    /// How far the count has come makes no difference.
    fn eq(&self, other: &LogSample) -> bool {
        (&self.ranges, self.size) == (&other.ranges, other.size)
    }
}

impl Eq for LogSample {}

impl fmt::Display for LogSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        write!(f, ":{}", self.size)
    }
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogSink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to and reopened on SIGHUP.
    File(PathBuf),
    /// Syslog datagrams over UDP.
    Udp(SocketAddr),
    /// Syslog datagrams to a Unix socket.
    Unix(PathBuf),
    /// Syslog over a TCP connection.
    Tcp(SocketAddr, Framing),
}

/// How lines are told apart on a connection (RFC 6587).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Its length in octets and a space before each (section 3.4.1).
    Octets,
    /// A line feed after each (section 3.4.2).
    Lf,
}

impl Framing {
    /// Its word in the file.
    pub fn word(self) -> &'static str {
        FRAMINGS[self as usize]
    }
}

/// The words of [`Framing`], in its order.
pub(crate) const FRAMINGS: &[&str] = &["octets", "lf"];

/// A built-in access-log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// HAProxy's `option httplog` line.
    Http,
    /// HAProxy's `option tcplog` line.
    Tcp,
    /// One JSON object a line.
    Json,
}
