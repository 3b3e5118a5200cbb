//! `[http-errors.NAME]`, and `errorfiles`, which takes from it.

use super::{Fallback, Kind, Sections, Table, key};

/// What `errorfiles` takes.
pub(super) const ERRORFILES: Kind =
    Kind::Many(&Kind::Any(&[Kind::Text("the name of an http-errors section"), Kind::Table(&ERRORFILES_TABLE)]));

/// `[http-errors.NAME]`.
pub(crate) static HTTP_ERRORS: Table = Table {
    name: "http-errors",
    doc: "A set of error pages that sections share with `errorfiles`.",
    keys: &[key(
        "errorfile",
        Sections::ANY,
        Kind::Named(&Kind::Text("the path of a file that holds a whole HTTP message")),
        Fallback::Says("none"),
        "errorfile",
        "Files by status: a status line, fields, a blank line and a body.",
        "errorfile = { 503 = \"errors/503.http\" }",
    )],
    later: &[],
    renamed: &[("errorfiles", "write `errorfile = { 503 = \"path\" }`")],
};

static ERRORFILES_TABLE: Table = Table {
    name: "errorfiles",
    doc: "Pages of an `[http-errors.NAME]` section; the short form is the name alone.",
    keys: &[
        key(
            "name",
            Sections::ANY,
            Kind::Text("the name of an http-errors section"),
            Fallback::Says("required"),
            "errorfiles <name>",
            "The section.",
            "name = \"site\"",
        )
        .required(),
        key(
            "codes",
            Sections::ANY,
            Kind::Many(&Kind::Int(200, 599)),
            Fallback::Says("all of the section"),
            "errorfiles <name> <code>",
            "Only the pages of these statuses.",
            "codes = [429, 503]",
        ),
    ],
    later: &[],
    renamed: &[("status", "write `codes`")],
};
