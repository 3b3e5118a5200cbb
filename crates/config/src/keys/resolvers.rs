//! `[resolvers.NAME]`.

use super::{Fallback, Kind, Sections, TIME, TIME_NOT_ZERO, Table, key};
use crate::defaults;

/// `[resolvers.NAME]`.
pub(crate) static RESOLVERS: Table = Table {
    name: "resolvers",
    doc: "Name servers that are asked at run time, by the `do-resolve` action. All of them are asked at once and the first valid answer wins.",
    keys: &[
        key(
            "nameserver",
            Sections::ANY,
            Kind::Many(&Kind::Any(&[ADDRESS, Kind::Table(&NAMESERVER)])),
            Fallback::Says("none"),
            "nameserver",
            "The name servers: addresses, or tables with a name. Port 53 when left out.",
            "nameserver = [\"10.0.0.53\", \"tcp@10.0.0.54:53\"]",
        ),
        key(
            "parse-resolv-conf",
            Sections::ANY,
            Kind::Bool,
            Fallback::Bool(false),
            "parse-resolv-conf",
            "Adds the name servers of /etc/resolv.conf, as it is when the configuration is loaded.",
            "parse-resolv-conf = true",
        ),
        key(
            "resolve-retries",
            Sections::ANY,
            Kind::Int(1, defaults::MAX_RESOLVE_RETRIES as i64),
            Fallback::Int(defaults::RESOLVE_RETRIES as i64),
            "resolve_retries",
            "How often a question is put before it is given up.",
            "resolve-retries = 2",
        ),
        key(
            "timeout",
            Sections::ANY,
            Kind::Table(&TIMEOUT),
            Fallback::Says("see below"),
            "timeout",
            "How long answers are waited for.",
            "timeout.retry = \"500ms\"",
        ),
        key(
            "hold",
            Sections::ANY,
            Kind::Table(&HOLD),
            Fallback::Says("see below"),
            "hold",
            "How long answers are used.",
            "hold.valid = \"30s\"",
        ),
        key(
            "accepted-payload-size",
            Sections::ANY,
            Kind::Int(512, 65_535),
            Fallback::Int(defaults::DNS_PAYLOAD as i64),
            "accepted_payload_size",
            "Bytes of the longest answer taken over UDP, announced by EDNS; what does not fit is asked for over TCP.",
            "accepted-payload-size = 4096",
        ),
        key(
            "max-names",
            Sections::ANY,
            Kind::Int(1, defaults::MAX_DNS_NAMES as i64),
            Fallback::Int(defaults::DNS_NAMES as i64),
            "",
            "Names whose answers are kept; the oldest answer makes room.",
            "max-names = 1000",
        ),
        key(
            "max-questions",
            Sections::ANY,
            Kind::Int(1, defaults::MAX_DNS_QUESTIONS as i64),
            Fallback::Int(defaults::DNS_QUESTIONS as i64),
            "",
            "Names that are asked for at once, each with a socket for every name server; one more fails.",
            "max-questions = 64",
        ),
    ],
    later: &[],
    renamed: &[
        ("nameservers", "write `nameserver = [..]`"),
        ("resolve_retries", "write `resolve-retries`"),
        ("retries", "write `resolve-retries`"),
        ("accepted_payload_size", "write `accepted-payload-size`"),
    ],
};

const ADDRESS: Kind = Kind::Text("an address such as \"10.0.0.53:53\" or \"tcp@10.0.0.53\"");

static NAMESERVER: Table = Table {
    name: "nameserver",
    doc: "One name server. The short form is the address alone, which is then its name.",
    keys: &[
        key(
            "name",
            Sections::ANY,
            Kind::Text("a name"),
            Fallback::Says("its address"),
            "nameserver <name>",
            "Name.",
            "name = \"dns1\"",
        ),
        key(
            "address",
            Sections::ANY,
            ADDRESS,
            Fallback::Says("required"),
            "nameserver <name> <address>",
            "IP address, with `tcp@` before it when it is asked over TCP only.",
            "address = \"10.0.0.53:53\"",
        )
        .required(),
    ],
    later: &[],
    renamed: &[],
};

static TIMEOUT: Table = Table {
    name: "resolvers.timeout",
    doc: "Times of the name servers of a section.",
    keys: &[key(
        "retry",
        Sections::ANY,
        TIME_NOT_ZERO,
        Fallback::Time(defaults::DNS_RETRY),
        "timeout retry",
        "How long a question waits for an answer before it is put again.",
        "retry = \"500ms\"",
    )],
    // When servers are looked up again, once they are.
    later: &["resolve"],
    renamed: &[],
};

static HOLD: Table = Table {
    name: "resolvers.hold",
    doc: "`valid` is how long an answer is used before the name is asked for again. The others say for how long after a valid answer a failure of that kind changes nothing: the addresses stay in use.",
    keys: &[
        key(
            "valid",
            Sections::ANY,
            TIME,
            Fallback::Time(defaults::HOLD_VALID),
            "hold valid",
            "How long a valid answer is used.",
            "valid = \"10s\"",
        ),
        key(
            "nx",
            Sections::ANY,
            TIME,
            Fallback::Time(defaults::HOLD_FAILED),
            "hold nx",
            "When the name does not exist (NXDOMAIN).",
            "nx = \"30s\"",
        ),
        key(
            "refused",
            Sections::ANY,
            TIME,
            Fallback::Time(defaults::HOLD_FAILED),
            "hold refused",
            "When the name servers refuse to answer (REFUSED).",
            "refused = \"30s\"",
        ),
        key(
            "timeout",
            Sections::ANY,
            TIME,
            Fallback::Time(defaults::HOLD_FAILED),
            "hold timeout",
            "When no answer comes.",
            "timeout = \"30s\"",
        ),
        key(
            "other",
            Sections::ANY,
            TIME,
            Fallback::Time(defaults::HOLD_FAILED),
            "hold other",
            "When the answer is another error, or holds no address.",
            "other = \"30s\"",
        ),
    ],
    later: &["obsolete"],
    renamed: &[],
};
