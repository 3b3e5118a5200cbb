//! `[userlist.NAME]`.

use super::{Fallback, Kind, Sections, Table, key};

/// `[userlist.NAME]`.
pub(crate) static USERLIST: Table = Table {
    name: "userlist",
    doc: "Users and groups for `http_auth(NAME)`, `http_auth_group(NAME)` and the `auth` action.",
    keys: &[
        key(
            "user",
            Sections::ANY,
            Kind::Many(&Kind::Table(&USER)),
            Fallback::Says("none"),
            "user",
            "The users.",
            "user = [{ name = \"ann\", insecure-password = \"secret\", groups = [\"ops\"] }]",
        ),
        key(
            "group",
            Sections::ANY,
            Kind::Many(&Kind::Table(&GROUP)),
            Fallback::Says("none"),
            "group",
            "Groups; a user is in a group when either names the other.",
            "group = [{ name = \"ops\", users = [\"ann\"] }]",
        ),
    ],
    later: &[],
    renamed: &[("users", "write `user = [..]`"), ("groups", "write `group = [..]`")],
};

static USER: Table = Table {
    name: "user",
    doc: "One user, with `password` or `insecure-password`.",
    keys: &[
        key(
            "name",
            Sections::ANY,
            Kind::Text("a name"),
            Fallback::Says("required"),
            "user <name>",
            "Name.",
            "name = \"ann\"",
        )
        .required(),
        key(
            "password",
            Sections::ANY,
            Kind::Text("a crypt(3) string such as \"$6$...\""),
            Fallback::Says("none"),
            "password",
            "The password as crypt(3) makes it: `$6$` (SHA-512), `$5$` (SHA-256), `$y$` (yescrypt), `$2b$` (bcrypt), or `$1$` (MD5) of an old file; those of DES are not read. `mkpasswd -m sha-512` prints one.",
            "password = \"$6$k6y3o.eP$PBB.tfeKmQRT5Xl/drYaLsOKR8cBcdOOeaq7JYq7eJWgGHSNlC/M/GdNHKlBiA17WQ1tWOULAGr76LPTfQgB5.\"",
        ),
        key(
            "insecure-password",
            Sections::ANY,
            Kind::Text("a text"),
            Fallback::Says("none"),
            "insecure-password",
            "The password in clear, readable by whoever reads the file.",
            "insecure-password = \"secret\"",
        ),
        key(
            "groups",
            Sections::ANY,
            Kind::Many(&Kind::Text("the name of a group")),
            Fallback::Says("none"),
            "groups",
            "Groups the user is in.",
            "groups = [\"ops\"]",
        ),
    ],
    later: &[],
    renamed: &[("group", "write `groups = [..]`")],
};

static GROUP: Table = Table {
    name: "group",
    doc: "One group.",
    keys: &[
        key(
            "name",
            Sections::ANY,
            Kind::Text("a name"),
            Fallback::Says("required"),
            "group <name>",
            "Name.",
            "name = \"ops\"",
        )
        .required(),
        key(
            "users",
            Sections::ANY,
            Kind::Many(&Kind::Text("the name of a user")),
            Fallback::Says("none"),
            "users",
            "Users that are in it.",
            "users = [\"ann\"]",
        ),
    ],
    later: &[],
    renamed: &[("user", "write `users = [..]`")],
};
