//! `stick-table`.

use super::{Fallback, Kind, Sections, TIME, Table, key};
use crate::defaults::{MAX_TABLE_KEY_LEN, MAX_TABLE_SIZE, TABLE_KEY_LEN};

/// The words of `stick-table.type`.
pub(crate) const TYPES: &[&str] = &["ip", "ipv4", "ipv6", "integer", "string", "binary"];

/// `stick-table`.
pub(super) static STICK_TABLE: Table = Table {
    name: "stick-table",
    doc: "A bounded table of counters by key, shared by all workers; it survives a reload while its definition stays the same.",
    keys: &[
        key(
            "type",
            Sections::ANY,
            Kind::Word(TYPES, &[]),
            Fallback::Says("required"),
            "type",
            "What the keys are: addresses (\"ip\" is \"ipv4\"; \"ipv6\" takes both), 32-bit numbers, text or bytes.",
            "type = \"ip\"",
        )
        .required(),
        key(
            "len",
            Sections::ANY,
            Kind::Int(1, MAX_TABLE_KEY_LEN as i64),
            Fallback::Int(TABLE_KEY_LEN as i64),
            "type string len <n>",
            "Bytes of a key of type string or binary; longer keys are cut.",
            "len = 64",
        ),
        key(
            "size",
            Sections::ANY,
            Kind::Entries(1, MAX_TABLE_SIZE),
            Fallback::Says("required"),
            "size",
            "Entries at most; \"100k\" is 102,400. A full table gives up its oldest entry for a new one.",
            "size = \"100k\"",
        )
        .required(),
        key(
            "expire",
            Sections::ANY,
            TIME,
            Fallback::Says("never"),
            "expire",
            "An entry that was not touched for this long is gone.",
            "expire = \"10m\"",
        ),
        key(
            "nopurge",
            Sections::ANY,
            Kind::Bool,
            Fallback::Bool(false),
            "nopurge",
            "A full table refuses new entries instead of giving up old ones.",
            "nopurge = true",
        ),
        key(
            "store",
            Sections::ANY,
            Kind::Many(&Kind::Text("a data type such as \"http_req_rate(10s)\"")),
            Fallback::Says("none"),
            "store",
            "The counters of each entry, see [stick-table data](#stick-table-data).",
            "store = [\"http_req_rate(10s)\", \"conn_cur\"]",
        ),
    ],
    later: &["brates-factor", "peers", "recv-only", "srvkey", "write-to"],
    renamed: &[
        ("data", "write `store`"),
        ("ttl", "write `expire`"),
        ("timeout", "write `expire`"),
        ("length", "write `len`"),
    ],
};
