//! `log`, in `[global]` and in proxies.

use super::{Fallback, Kind, Sections, Table, key};
use crate::defaults;
use crate::model::SYSLOGS;

/// What `log` takes: one target, several, or `false` for none.
pub(super) const LOGS: Kind = Kind::Any(&[Kind::Bool, Kind::Many(&Kind::Any(&[TARGET, Kind::Table(&LOG)]))]);

const TARGET: Kind = Kind::Text("a log target such as \"stdout\" or \"udp:127.0.0.1:514\"");

/// The names of the formats of a proxy.
pub(crate) const FORMATS: &[&str] = &["http", "tcp", "json", "https", "clf"];

/// The names of the formats of a logger.
const LOGGER_FORMATS: &[&str] = &["http", "tcp", "json"];

/// Formats of a logger of a later version.
const FORMATS_LATER: &[&str] = &["https", "clf", "combined", "httpslog"];

/// Syslog facilities by their code, RFC 3164 §4.1.1, in HAProxy's words.
pub(crate) const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp", "audit",
    "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Syslog severities by their code, RFC 3164 §4.1.1.
pub(crate) const LEVELS: &[&str] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

static LOG: Table = Table {
    name: "log",
    doc: "One logger. The short form is the target alone.",
    keys: &[
        key(
            "target",
            Sections::ANY,
            TARGET,
            Fallback::Says("required"),
            "log <target>",
            "Where lines go: \"stdout\", \"stderr\", \"file:/path\" (reopened on SIGHUP), \"udp:host:port\" or \"host:port\" (syslog, port 514 when left out), \"unix:/path\" or \"/path\" (syslog). In a proxy also \"global\".",
            "target = \"udp:10.0.0.5:514\"",
        )
        .required(),
        key(
            "format",
            Sections::ANY,
            Kind::Word(LOGGER_FORMATS, FORMATS_LATER),
            Fallback::Says("the proxy's `log-format`"),
            "",
            "Format of the access log on this logger.",
            "format = \"json\"",
        ),
        key(
            "syslog",
            Sections::ANY,
            Kind::Word(SYSLOGS, &[]),
            Fallback::Says("\"raw\" for files and standard streams, else \"local\"; \"rfc3164\" with `log-send-hostname`"),
            "log format",
            "What stands before the line: \"local\" (RFC 3164 without the host name), \"rfc3164\", \"rfc5424\" with the structured data of `log-format-sd`, \"priority\" (facility and severity alone), \"short\" (the severity alone, which systemd reads), \"timed\" (severity and time), \"iso\" (the time), \"raw\" (nothing).",
            "syslog = \"rfc5424\"",
        ),
        key(
            "facility",
            Sections::ANY,
            Kind::Word(FACILITIES, &[]),
            Fallback::Word(defaults::LOG_FACILITY),
            "log <facility>",
            "Syslog facility.",
            "facility = \"local0\"",
        ),
        key(
            "level",
            Sections::ANY,
            Kind::Word(LEVELS, &[]),
            Fallback::Word(defaults::LOG_LEVEL),
            "log <level>",
            "The least severe level that is sent.",
            "level = \"info\"",
        ),
        key(
            "minlevel",
            Sections::ANY,
            Kind::Word(LEVELS, &[]),
            Fallback::Word(defaults::LOG_MIN_LEVEL),
            "log <level> <minlevel>",
            "What is more severe is sent as this level.",
            "minlevel = \"notice\"",
        ),
        key(
            "sample",
            Sections::ANY,
            Kind::Text("lines of a period such as \"1:10\""),
            Fallback::Says("every line"),
            "log sample",
            "Sends some lines of each so many: \"1:10\" the first of ten, \"2,4-5:6\" the second, fourth and fifth of six. Lines are counted over all workers.",
            "sample = \"1:10\"",
        ),
        key(
            "len",
            Sections::ANY,
            Kind::Size(defaults::LOG_LEN_RANGE.0, defaults::LOG_LEN_RANGE.1, true),
            Fallback::Bytes(defaults::LOG_LEN as u64),
            "log len",
            "The longest line; what is longer is cut.",
            "len = 2048",
        ),
    ],
    later: &["profile", "ring"],
    renamed: &[
        ("address", "write `target`"),
        ("max-level", "write `level`"),
        ("length", "write `len`"),
        ("path", "write `target = \"file:/path\"`"),
        ("min-level", "write `minlevel`"),
    ],
};
