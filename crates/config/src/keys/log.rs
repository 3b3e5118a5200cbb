//! `log`, in `[global]` and in proxies.

use super::{Fallback, Kind, Sections, Table, key};
use crate::defaults;
use crate::model::{FRAMINGS, SYSLOGS};

/// What `log` takes: one target, several, or `false` for none.
pub(super) const LOGS: Kind = Kind::Any(&[Kind::Bool, Kind::Many(&Kind::Any(&[TARGET, Kind::Table(&LOG)]))]);

const TARGET: Kind = Kind::Text("a log target such as \"stdout\" or \"udp:127.0.0.1:514\"");

/// The names of the formats of a proxy.
pub(crate) const FORMATS: &[&str] = &["http", "tcp", "json", "https", "clf"];

/// What `log-steps` takes.
pub(super) const STEPS_OR_ALL: &[&str] = &["accept", "request", "connect", "response", "close", "all"];

const FORMAT: Kind =
    Kind::Text("\"http\", \"tcp\", \"json\", \"https\", \"clf\", or a text with items such as \"%ci %ST\"");

/// Syslog facilities by their code, RFC 3164 §4.1.1, in HAProxy's words.
pub(crate) const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp", "audit",
    "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Syslog severities by their code, RFC 3164 §4.1.1.
pub(crate) const LEVELS: &[&str] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// `[log-profile.NAME]`.
pub(crate) static LOG_PROFILE: Table = Table {
    name: "log-profile",
    doc: "What loggers with `profile = \"NAME\"`, and rules `do-log profile NAME`, write at each step instead of the frontend's line.",
    keys: &[
        key(
            "log-tag",
            Sections::ANY,
            Kind::Text("a text"),
            Fallback::Says("that of the proxy"),
            "log-tag",
            "Program name in syslog lines.",
            "log-tag = \"audit\"",
        ),
        step("accept", "A request begins, or a TCP connection.", "accept.drop = true"),
        step("request", "The rules on the request have run.", "request = { format = \"%ci %HM %HU\" }"),
        step("connect", "The connection to the server stands.", "connect.format = \"%b/%s %Tc\""),
        step("response", "The head of the response is there.", "response.format = \"%ST\""),
        step("close", "The end.", "close = { format = \"json\", sd = '[a@1 b=\"%B\"]' }"),
        step("error", "A connection that failed before its first request.", "error.format = \"%ci failed\""),
        step("tcp-req-conn", "A `do-log` rule of `tcp-request.connection`.", "tcp-req-conn.format = \"%ci\""),
        step("tcp-req-sess", "A `do-log` rule of `tcp-request.session`.", "tcp-req-sess.format = \"%ci\""),
        step("tcp-req-cont", "A `do-log` rule of `tcp-request.content`.", "tcp-req-cont.format = \"%ci\""),
        step("tcp-res-cont", "A `do-log` rule of `tcp-response.content`.", "tcp-res-cont.format = \"%ci\""),
        step("http-req", "A `do-log` rule of `http-request`.", "http-req.format = \"%HU\""),
        step("http-res", "A `do-log` rule of `http-response`.", "http-res.format = \"%HU\""),
        step("http-after-res", "A `do-log` rule of `http-after-response`.", "http-after-res.format = \"%HU\""),
        step("any", "Every step that has no key of its own.", "any.format = \"%OG %ci\""),
    ],
    later: &[],
    renamed: &[("on", "write the step as a key: `close = { format = \"..\" }`")],
};

const fn step(name: &'static str, doc: &'static str, example: &'static str) -> super::Key {
    key(name, Sections::ANY, Kind::Table(&LOG_STEP), Fallback::Says("the frontend's line"), "on", doc, example)
}

static LOG_STEP: Table = Table {
    name: "log-step",
    doc: "What is written at one step.",
    keys: &[
        key(
            "format",
            Sections::ANY,
            FORMAT,
            Fallback::Says("the logger's"),
            "on format",
            "Format of the line, as `log-format` of a proxy.",
            "format = \"%OG %ci %HU\"",
        ),
        key(
            "sd",
            Sections::ANY,
            Kind::Text("a text with items"),
            Fallback::Says("`log-format-sd`"),
            "on sd",
            "Structured data (RFC 5424), as a text with items.",
            "sd = '[a@1 b=\"%B\"]'",
        ),
        key("drop", Sections::ANY, Kind::Bool, Fallback::Bool(false), "on drop", "No line is written.", "drop = true"),
    ],
    later: &[],
    renamed: &[],
};

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
            "Where lines go: \"stdout\", \"stderr\", \"file:/path\" (reopened on SIGHUP), \"udp:host:port\" or \"host:port\" (syslog, port 514 when left out), \"tcp:host:port\" (syslog over a connection, the same port), \"unix:/path\" or \"/path\" (syslog). In a proxy also \"global\".",
            "target = \"udp:10.0.0.5:514\"",
        )
        .required(),
        key(
            "format",
            Sections::ANY,
            FORMAT,
            Fallback::Says("the proxy's `log-format`"),
            "",
            "Format of the access log on this logger, as `log-format` of a proxy.",
            "format = \"json\"",
        ),
        key(
            "profile",
            Sections::ANY,
            Kind::Text("the name of a log-profile section"),
            Fallback::Says("none"),
            "log profile",
            "The `[log-profile.NAME]` that says what this logger does otherwise, step by step.",
            "profile = \"audit\"",
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
            "framing",
            Sections::ANY,
            Kind::Word(FRAMINGS, &[]),
            Fallback::Word("octets"),
            "server log-proto",
            "How lines are told apart over TCP (RFC 6587): \"octets\" writes its length before each, \"lf\" a line feed after it.",
            "framing = \"lf\"",
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
    later: &["ring"],
    renamed: &[
        ("address", "write `target`"),
        ("max-level", "write `level`"),
        ("length", "write `len`"),
        ("path", "write `target = \"file:/path\"`"),
        ("min-level", "write `minlevel`"),
    ],
};
