//! `tcp-request`, `tcp-response`, `capture`, `declare-capture`, `monitor`: what stands beside the rule lists.

use super::{Fallback, Kind, Sections, TIME, Table, key};
use crate::defaults::MAX_CAPTURE_LEN;

/// A list of rule lines.
pub(super) const RULES: Kind = Kind::Many(&Kind::Text("a rule such as \"deny if blocked\""));

const LEN: Kind = Kind::Int(1, MAX_CAPTURE_LEN as i64);

/// `tcp-request`.
pub(super) static TCP_REQUEST: Table = Table {
    name: "tcp-request",
    doc: "Rules for connections and for what is first received on them, each written as after the keyword in haproxy.cfg.",
    keys: &[
        key(
            "connection",
            Sections::CLIENT,
            RULES,
            Fallback::Says("none"),
            "tcp-request connection",
            "Rules right after a connection was accepted; they know its addresses only.",
            "connection = [\"reject if { src 203.0.113.0/24 }\"]",
        ),
        key(
            "session",
            Sections::CLIENT,
            RULES,
            Fallback::Says("none"),
            "tcp-request session",
            "Rules once the connection stands: after the PROXY header and the TLS handshake.",
            "session = [\"accept\"]",
        ),
        key(
            "content",
            Sections::ANY,
            RULES,
            Fallback::Says("none"),
            "tcp-request content",
            "Rules on what was received; in http mode once per request, before the `http-request` rules.",
            "content = [\"accept\"]",
        ),
        key(
            "inspect-delay",
            Sections::ANY,
            TIME,
            Fallback::Says("none: rules decide by what is there"),
            "tcp-request inspect-delay",
            "How long content rules may wait for the data their conditions look at.",
            "inspect-delay = \"5s\"",
        ),
    ],
    later: &[],
    renamed: &[("inspect_delay", "write `inspect-delay`")],
};

/// `tcp-response`.
pub(super) static TCP_RESPONSE: Table = Table {
    name: "tcp-response",
    doc: "Rules for what a server first sends.",
    keys: &[
        key(
            "content",
            Sections::SERVER,
            RULES,
            Fallback::Says("none"),
            "tcp-response content",
            "Rules on what was received from the server.",
            "content = [\"accept\"]",
        ),
        key(
            "inspect-delay",
            Sections::SERVER,
            TIME,
            Fallback::Says("none: rules decide by what is there"),
            "tcp-response inspect-delay",
            "How long the rules may wait for the data their conditions look at.",
            "inspect-delay = \"5s\"",
        ),
    ],
    later: &[],
    renamed: &[("inspect_delay", "write `inspect-delay`")],
};

/// `capture`.
pub(super) static CAPTURE: Table = Table {
    name: "capture",
    doc: "Values that are kept for the log and for `capture.req.hdr(n)`. Slots are counted from 0 in this order: these, those of `declare-capture`, those of rules with `capture ... len`.",
    keys: &[
        key(
            "request",
            Sections::CLIENT_ONLY,
            Kind::Many(&Kind::Table(&CAPTURE_HEADER)),
            Fallback::Says("none"),
            "capture request header",
            "Fields of the request, the last line of each.",
            "request = [{ header = \"User-Agent\", len = 64 }]",
        ),
        key(
            "response",
            Sections::CLIENT_ONLY,
            Kind::Many(&Kind::Table(&CAPTURE_HEADER)),
            Fallback::Says("none"),
            "capture response header",
            "Fields of the response, the last line of each.",
            "response = [{ header = \"Content-Type\", len = 32 }]",
        ),
        key(
            "cookie",
            Sections::CLIENT_ONLY,
            Kind::Table(&CAPTURE_COOKIE),
            Fallback::Says("none"),
            "capture cookie",
            "One cookie, in requests and in responses.",
            "cookie = { name = \"SESSION=\", len = 63 }",
        ),
    ],
    later: &[],
    renamed: &[],
};

static CAPTURE_HEADER: Table = Table {
    name: "capture.request",
    doc: "One field that is captured.",
    keys: &[
        key(
            "header",
            Sections::ANY,
            Kind::Text("the name of a header"),
            Fallback::Says("required"),
            "header",
            "Name of the field.",
            "header = \"User-Agent\"",
        )
        .required(),
        key(
            "len",
            Sections::ANY,
            LEN,
            Fallback::Says("required"),
            "len",
            "Bytes that are kept; what is longer is cut.",
            "len = 64",
        )
        .required(),
    ],
    later: &[],
    renamed: &[("name", "write `header`"), ("length", "write `len`")],
};

static CAPTURE_COOKIE: Table = Table {
    name: "capture.cookie",
    doc: "The cookie that is captured.",
    keys: &[
        key(
            "name",
            Sections::ANY,
            Kind::Text("the name of a cookie"),
            Fallback::Says("required"),
            "capture cookie <name>",
            "Beginning of the cookie's name; end it with `=` for the whole name.",
            "name = \"SESSION=\"",
        )
        .required(),
        key(
            "len",
            Sections::ANY,
            LEN,
            Fallback::Says("required"),
            "len",
            "Bytes of name, `=` and value that are kept.",
            "len = 63",
        )
        .required(),
    ],
    later: &[],
    renamed: &[("length", "write `len`")],
};

/// `declare-capture`.
pub(super) static DECLARE_CAPTURE: Table = Table {
    name: "declare-capture",
    doc: "Capture slots without a field of their own, which rules fill with `capture ... id`.",
    keys: &[
        key(
            "request",
            Sections::CLIENT_ONLY,
            Kind::Many(&LEN),
            Fallback::Says("none"),
            "declare capture request len",
            "Bytes kept by each slot of the request.",
            "request = [64, 32]",
        ),
        key(
            "response",
            Sections::CLIENT_ONLY,
            Kind::Many(&LEN),
            Fallback::Says("none"),
            "declare capture response len",
            "Bytes kept by each slot of the response.",
            "response = [64]",
        ),
    ],
    later: &[],
    renamed: &[],
};

/// `monitor`.
pub(super) static MONITOR: Table = Table {
    name: "monitor",
    doc: "When `monitor-uri` answers 503.",
    keys: &[key(
        "fail",
        Sections::CLIENT_ONLY,
        Kind::Many(&Kind::Text("a condition such as \"if { nbsrv(app) lt 2 }\"")),
        Fallback::Says("none"),
        "monitor fail",
        "Conditions, each beginning with `if` or `unless`; one that holds is enough.",
        "fail = [\"if { nbsrv(app) lt 2 }\"]",
    )],
    later: &[],
    renamed: &[("uri", "write `monitor-uri` in the section")],
};
