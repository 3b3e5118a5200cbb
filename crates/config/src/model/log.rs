//! Loggers: where lines go, what stands before them, which of them are sent.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// Where lines go.
    pub sink: LogSink,
    /// Format of the access log on this logger; `None` = the frontend's.
    pub format: Option<LogFormat>,
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
}

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
}

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
