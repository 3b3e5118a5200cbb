//! The key tables: one entry per key, in one place.
//!
//! The loader checks files against them, `evenkeel schema` and docs/reference.md are printed from them. A key that is
//! not here does not exist. What a key does with its value is in [`crate::build`]; defaults are in [`crate::defaults`].

mod global;
mod log;
mod pages;
mod proxy;
mod resolvers;
mod rules;
mod server;
mod table;
mod test;
mod tls;
mod users;

use std::time::Duration;

pub(crate) use global::GLOBAL;
pub(crate) use log::{FACILITIES, FORMATS, LEVELS, LOG_PROFILE};
pub(crate) use pages::HTTP_ERRORS;
pub(crate) use proxy::PROXY;
pub(crate) use resolvers::RESOLVERS;
pub(crate) use test::{ACTIONS as TEST_ACTIONS, STATES as TEST_STATES, TEST};
pub(crate) use tls::CRT_STORE;
pub(crate) use users::USERLIST;

use crate::units::{show_duration, show_size};

/// The keys of one kind of table.
#[derive(Debug)]
pub(crate) struct Table {
    /// What it is called in messages and in the manual: `server`, `timeout`.
    pub name: &'static str,
    /// One sentence about it.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Words of the language that this version does not have yet.
    pub later: &'static [&'static str],
    /// Words people bring along, and how this file says it.
    pub renamed: &'static [(&'static str, &'static str)],
}

impl Table {
    /// The entry of `name`.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// As written in the file.
    pub name: &'static str,
    /// The kinds of sections it may stand in.
    pub sections: Sections,
    /// What value it takes.
    pub kind: Kind,
    /// What holds when it is not given.
    pub fallback: Fallback,
    /// HAProxy's keyword; empty when there is none.
    pub haproxy: &'static str,
    /// One sentence: what it does, units, limits.
    pub doc: &'static str,
    /// A line of a file that sets it.
    pub example: &'static str,
    /// Whether the table is useless without it.
    pub required: bool,
    /// Whether it acts on HTTP messages only.
    pub http: bool,
}

impl Key {
    /// The table cannot do without this key.
    const fn required(mut self) -> Key {
        self.required = true;
        self
    }

    /// The key has no effect in tcp mode.
    const fn http(mut self) -> Key {
        self.http = true;
        self
    }
}

/// One entry, in the order of a manual's line.
const fn key(
    name: &'static str,
    sections: Sections,
    kind: Kind,
    fallback: Fallback,
    haproxy: &'static str,
    doc: &'static str,
    example: &'static str,
) -> Key {
    Key { name, sections, kind, fallback, haproxy, doc, example, required: false, http: false }
}

/// A set of kinds of sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sections(u8);

impl Sections {
    pub const FRONTEND: Sections = Sections(1);
    pub const BACKEND: Sections = Sections(2);
    pub const LISTEN: Sections = Sections(4);
    pub const DEFAULTS: Sections = Sections(8);
    /// Not a proxy section at all, or every one.
    pub const ANY: Sections = Sections(15);
    /// Every proxy, not defaults.
    pub const PROXIES: Sections = Sections(7);
    /// What faces clients.
    pub const CLIENT: Sections = Sections(1 | 4 | 8);
    /// What faces servers.
    pub const SERVER: Sections = Sections(2 | 4 | 8);
    /// What faces clients, not in defaults.
    pub const CLIENT_ONLY: Sections = Sections(1 | 4);
    /// What faces servers, not in defaults.
    pub const SERVER_ONLY: Sections = Sections(2 | 4);

    /// The four kinds with their names.
    pub const EACH: [(Sections, &'static str); 4] = [
        (Sections::FRONTEND, "frontend"),
        (Sections::BACKEND, "backend"),
        (Sections::LISTEN, "listen"),
        (Sections::DEFAULTS, "defaults"),
    ];

    /// Whether the two share a kind.
    pub fn meets(self, other: Sections) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of the kinds in this set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Sections::EACH.into_iter().filter(move |(kind, _)| self.meets(*kind)).map(|(_, name)| name)
    }
}

/// What holds when a key is not given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fallback {
    /// In words: `one per usable core`.
    Says(&'static str),
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A duration.
    Time(Duration),
    /// A size.
    Bytes(u64),
    /// A text.
    Word(&'static str),
}

impl Fallback {
    /// As the file would say it, or in words.
    pub fn show(self) -> String {
        match self {
            Fallback::Says(words) => words.to_owned(),
            Fallback::Bool(value) => format!("`{value}`"),
            Fallback::Int(value) => format!("`{value}`"),
            Fallback::Time(time) => format!("`\"{}\"`", show_duration(time)),
            Fallback::Bytes(bytes) => format!("`\"{}\"`", show_size(bytes)),
            Fallback::Word(word) => format!("`\"{word}\"`"),
        }
    }
}

/// What value a key takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number, both ends included.
    Int(i64, i64),
    /// A duration with a unit, both ends included.
    Time(Duration, Duration),
    /// A size with a unit, both ends in bytes included; `true`: a bare number of bytes will do, as in haproxy.cfg.
    Size(u64, u64, bool),
    /// A number of things, both ends included; `"100k"` is 102,400 of them, as in haproxy.cfg.
    Entries(u64, u64),
    /// Permission bits in octal.
    Permission,
    /// One of these words; the second list is for later.
    Word(&'static [&'static str], &'static [&'static str]),
    /// A text; in words what it holds.
    Text(&'static str),
    /// One value or an array of them.
    Many(&'static Kind),
    /// A table.
    Table(&'static Table),
    /// A table whose keys are names.
    Named(&'static Kind),
    /// Whichever of these has the TOML type found.
    Any(&'static [Kind]),
}

/// The TOML types, as messages and the schema tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// An array.
    Array,
    /// A table.
    Table,
    /// A float or a date: nothing here takes one.
    Other,
}

impl Kind {
    /// Whether a value of this TOML type may be meant for this kind.
    pub fn takes(&self, found: Type) -> bool {
        match self {
            Kind::Bool => found == Type::Boolean,
            Kind::Int(..) | Kind::Permission => found == Type::Integer,
            Kind::Size(_, _, true) | Kind::Entries(..) => matches!(found, Type::String | Type::Integer),
            Kind::Time(..) | Kind::Size(..) | Kind::Word(..) | Kind::Text(_) => found == Type::String,
            Kind::Many(one) => found == Type::Array || one.takes(found),
            Kind::Table(_) | Kind::Named(_) => found == Type::Table,
            Kind::Any(kinds) => kinds.iter().any(|kind| kind.takes(found)),
        }
    }

    /// The keys of the table that may be meant for this kind.
    pub fn table(&self) -> Option<&'static Table> {
        match self {
            Kind::Table(table) => Some(table),
            Kind::Any(kinds) => kinds.iter().find_map(Kind::table),
            _ => None,
        }
    }

    /// What is expected, for a message: `a whole number from 0 to 256`.
    pub fn expected(&self) -> String {
        match self {
            Kind::Bool => "true or false".to_owned(),
            Kind::Int(min, max) => format!("a whole number from {min} to {max}"),
            Kind::Time(..) => "a duration such as \"30s\"".to_owned(),
            Kind::Size(_, _, false) => "a size such as \"16k\"".to_owned(),
            Kind::Size(_, _, true) => "a size such as \"16k\" or a number of bytes".to_owned(),
            Kind::Entries(..) => "a number such as 5000 or \"100k\"".to_owned(),
            Kind::Permission => "permission bits such as 0o660".to_owned(),
            Kind::Word(words, _) => match words {
                [a, b] => format!("\"{a}\" or \"{b}\""),
                _ if words.len() <= 8 => {
                    format!("one of {}", words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", "))
                }
                _ => format!("a word such as \"{}\"", words[0]),
            },
            Kind::Text(what) => (*what).to_owned(),
            Kind::Many(one) => format!("{} or an array of them", one.expected()),
            Kind::Table(table) => format!("a table of {} settings", table.name),
            Kind::Named(_) => "a table of names and values".to_owned(),
            Kind::Any(kinds) => kinds.iter().map(Kind::expected).collect::<Vec<_>>().join(", or "),
        }
    }
}

/// Every duration a timer takes; zero waits for ever.
const TIME: Kind = Kind::Time(Duration::ZERO, crate::defaults::MAX_DURATION);
/// A duration that cannot be zero.
const TIME_NOT_ZERO: Kind = Kind::Time(Duration::from_millis(1), crate::defaults::MAX_DURATION);
/// A number of connections or requests.
const COUNT: Kind = Kind::Int(0, crate::defaults::MAX_CONN as i64);

/// Words that may follow `mode` one day.
const MODE_LATER: &[&str] = &["haterm", "health", "log", "spop"];

#[cfg(test)]
mod tests {
    use super::*;

    fn each(table: &'static Table, seen: &mut Vec<&'static str>, visit: &mut impl FnMut(&'static Table)) {
        if seen.contains(&table.name) {
            return;
        }
        seen.push(table.name);
        visit(table);
        for key in table.keys {
            each_kind(&key.kind, seen, visit);
        }
    }

    fn each_kind(kind: &'static Kind, seen: &mut Vec<&'static str>, visit: &mut impl FnMut(&'static Table)) {
        match kind {
            Kind::Table(table) => each(table, seen, visit),
            Kind::Many(kind) | Kind::Named(kind) => each_kind(kind, seen, visit),
            Kind::Any(kinds) => kinds.iter().for_each(|kind| each_kind(kind, seen, visit)),
            _ => {}
        }
    }

    /// Where a table of this name stands in a file, and what else it needs to be whole.
    fn home(table: &str, section: &str) -> (String, &'static str) {
        let header = match (table, section) {
            ("global", _) => "[global]".to_owned(),
            ("tune" | "tune.http" | "tune.vars" | "tune.ssl" | "tune.h2" | "tune.h2.fe" | "tune.h2.be", _) => {
                format!("[global.{table}]")
            }
            ("admin" | "why" | "ssl-default-bind" | "ssl-default-server", _) => format!("[global.{table}]"),
            ("log", _) => "[[global.log]]".to_owned(),
            ("proxy", "defaults") => "[defaults.x]".to_owned(),
            ("proxy", _) => format!("[{section}.x]"),
            ("timeout" | "option", "defaults") => format!("[defaults.{table}]"),
            ("timeout" | "option", _) => format!("[{section}.x.{table}]"),
            ("forwardfor", _) => "[listen.x.option.forwardfor]".to_owned(),
            ("bind" | "server", _) => format!("[[listen.x.{table}]]"),
            ("default-server" | "check", _) => format!("[listen.x.{table}]"),
            ("bind.tls", _) => "[[listen.x.bind]]\naddress = \":1\"\n[listen.x.bind.tls]".to_owned(),
            ("server.tls", _) => {
                "[[listen.x.server]]\nname = \"a\"\naddress = \"10.0.0.1:1\"\n[listen.x.server.tls]".to_owned()
            }
            ("certificate", _) => "[[listen.x.bind]]\naddress = \":1\"\n[[listen.x.bind.tls.certificate]]".to_owned(),
            ("crt-store", _) => "[crt-store.x]".to_owned(),
            ("log-profile", _) => "[log-profile.x]".to_owned(),
            ("log-step", _) => "[log-profile.x.close]".to_owned(),
            ("load", _) => "[[crt-store.x.load]]".to_owned(),
            ("tcp-request" | "tcp-response" | "monitor", _) => format!("[{section}.x.{table}]"),
            ("stick-table" | "capture" | "declare-capture", _) => format!("[listen.x.{table}]"),
            ("capture.request" | "errorfiles", _) => format!("[[listen.x.{table}]]"),
            ("capture.cookie", _) => "[listen.x.capture.cookie]".to_owned(),
            ("http-errors", _) => "[http-errors.site]".to_owned(),
            ("userlist", _) => "[userlist.x]".to_owned(),
            ("resolvers" | "resolvers.timeout" | "resolvers.hold", _) => {
                format!("[{}]", table.replace("resolvers", "resolvers.x"))
            }
            ("nameserver", _) => "[[resolvers.x.nameserver]]".to_owned(),
            ("user" | "group", _) => format!("[[userlist.x.{table}]]"),
            ("test", _) => "[[test]]".to_owned(),
            ("test.given.tables" | "test.expect.tracked", _) => format!("[[test]]\n[[{table}]]"),
            (test, _) if test.starts_with("test.") => format!("[[test]]\n[{test}]"),
            _ => panic!("{table} has no home"),
        };
        let rest = match table {
            "admin" => "listen = \"127.0.0.1:1\"",
            "log" => "target = \"tcp:10.0.0.5\"",
            "bind" => "address = \":1\"",
            "server" => "name = \"a\"\naddress = \"10.0.0.1:1\"",
            "stick-table" => "type = \"string\"\nsize = 10",
            "capture.request" => "header = \"a\"\nlen = 1",
            "capture.cookie" => "name = \"a\"\nlen = 1",
            "errorfiles" => "name = \"site\"",
            "bind.tls" => "certificate = \"a.pem\"\nca-file = \"a.pem\"",
            "certificate" | "load" => "cert = \"a.pem\"",
            "user" => "name = \"ann\"",
            "nameserver" => "address = \"10.0.0.53\"",
            "group" => "name = \"ops\"",
            _ => "",
        };
        (header, rest)
    }

    #[test]
    fn every_example_fits_its_key() {
        let mut tried = 0;
        for root in [&GLOBAL, &PROXY, &USERLIST, &HTTP_ERRORS, &CRT_STORE, &RESOLVERS, &LOG_PROFILE, &TEST] {
            each(root, &mut Vec::new(), &mut |table| {
                for key in table.keys {
                    // The example of a family shows one of its keys, which has sections of its own.
                    let family = matches!(key.name, "timeout" | "option");
                    for section in key.sections.names().filter(|section| !family || *section == "listen") {
                        let (header, rest) = home(table.name, section);
                        let own = format!("{} =", key.name);
                        let rest: Vec<&str> = rest.lines().filter(|line| !line.starts_with(&own)).collect();
                        let text = format!("{header}\n{}\n{}\n", key.example, rest.join("\n"));
                        let loaded = crate::load_sources(
                            &[crate::Source { name: "a".into(), text: text.as_str().into() }],
                            &crate::LoadOptions {
                                read: |_| Ok(b"HTTP/1.1 503 Busy\n\n".to_vec()),
                                ..crate::LoadOptions::closed()
                            },
                        );
                        // A single key names backends, defaults, acls and others that are not there, or is not enough.
                        let dangling = [
                            "EK0128", "EK0303", "EK0204", "EK0205", "EK0221", "EK0222", "EK0225", "EK0226", "EK0229",
                            "EK0309",
                        ];
                        let wrong = loaded.diagnostics.iter().filter(|d| d.severity == crate::Severity::Error);
                        let wrong: Vec<_> = wrong.filter(|d| !dangling.contains(&d.code)).collect();
                        assert!(wrong.is_empty(), "{text}\n{wrong:#?}");
                        tried += 1;
                    }
                }
            });
        }
        assert!(tried > 150, "{tried}");
    }

    #[test]
    fn tables_are_whole() {
        let mut seen = Vec::new();
        for root in [&GLOBAL, &PROXY, &USERLIST, &HTTP_ERRORS, &CRT_STORE, &RESOLVERS, &LOG_PROFILE, &TEST] {
            each(root, &mut seen, &mut |table| {
                for (index, key) in table.keys.iter().enumerate() {
                    let name = format!("{}.{}", table.name, key.name);
                    assert!(table.keys[..index].iter().all(|k| k.name != key.name), "{name} twice");
                    assert!(!table.later.contains(&key.name), "{name} is here and later");
                    assert!(table.renamed.iter().all(|(from, _)| *from != key.name), "{name} is renamed");
                    assert!(key.doc.ends_with('.') && !key.example.is_empty(), "{name}");
                }
                for (index, later) in table.later.iter().enumerate() {
                    assert!(!table.later[..index].contains(later), "{} later twice", later);
                    assert!(table.renamed.iter().all(|(from, _)| from != later), "{later} later and renamed");
                }
            });
        }
        assert!(seen.len() >= 10, "{seen:?}");
    }
}
