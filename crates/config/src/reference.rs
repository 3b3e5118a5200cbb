//! docs/reference.md: every key, out of the key tables, and every diagnostic code.

use std::fmt::Write as _;

use evenkeel_acl::tables;

use crate::codes::all_codes;
use crate::keys::{GLOBAL, Key, Kind, PROXY, Sections, Table};

const HEAD: &str = "\
# Reference

Printed from the key tables of the program by `EVENKEEL_BLESS=1 cargo test -p evenkeel-config`; a test fails when it is out of date.

A section is a table: `[global]`, `[defaults]`, `[defaults.NAME]`, `[frontend.NAME]`, `[backend.NAME]`, `[listen.NAME]`. A
nested table may be written dotted: `timeout.client = \"30s\"` and `timeout = { client = \"30s\" }` are the same. An unknown
key is an error.

* **Durations** are text with a unit: `us`, `ms`, `s`, `m`, `h`, `d`, also combined: `\"1m30s\"`. `\"0s\"` for a timeout waits for ever.
* **Sizes** are text with a unit, powers of 1024: `b`, `k`, `m`, `g`: `\"16k\"`.
* **The environment**: `${NAME}` in any text is replaced, `${NAME:-default}` gives a default for one that is not set or empty,
  `$${` is a literal `${`. A text that holds one may stand where a number or true/false is expected.
* **Several files**: `include = [\"conf.d/*.toml\"]` above the first section reads further files, relative to this one. A folder
  stands for its `*.toml` in name order. `[global]` and `[defaults]` may be spread over files; another section stands in one.
* **Defaults**: a proxy takes `[defaults.NAME]` with `from = \"NAME\"`, else the unnamed `[defaults]`. A `[defaults.NAME]` may take
  from another with `from`. Acls, rules, binds and servers are not inherited.
";

/// The whole page.
pub fn reference_markdown() -> String {
    let mut page = HEAD.to_owned();
    let mut done = Vec::new();
    let _ = write!(page, "\n## `[global]`\n\n{}\n", GLOBAL.doc);
    table(&GLOBAL, "", &mut done, &mut page);
    let _ = write!(page, "\n## Proxies\n\n{}\n", PROXY.doc);
    table(&PROXY, "", &mut done, &mut page);
    rules(&mut page);
    page.push_str("\n## Diagnostics\n\n`evenkeel explain CODE` tells more about each.\n\n| code | what |\n|---|---|\n");
    for code in all_codes() {
        let _ = writeln!(page, "| {} | {} |", code.code, cell(code.title));
    }
    page
}

/// The tables of the rule engine.
fn rules(page: &mut String) {
    page.push_str(
        "\n## Rules\n\nA rule line is written as after its keyword in haproxy.cfg: an action or a backend, then `if` or `unless` and a \
         condition.\nA condition is made of named acls and acls between braces; side by side they must all hold, `or` or `||` \
         separates alternatives,\n`!` turns one around.\n\n### Actions of `http-request`\n\n| action | ends the list | | example |\n|---|---|---|---|\n",
    );
    for action in tables::actions() {
        let ends = if action.ends { "yes" } else { "no" };
        let _ = writeln!(
            page,
            "| `{}` | {ends} | {} | `{}` |",
            cell(action.syntax),
            cell(action.doc),
            cell(action.example)
        );
    }
    page.push_str("\n### Fetches\n\nWhat an acl looks at; also in texts as `%[fetch]`.\n\n| fetch | type | phases | | example |\n|---|---|---|---|---|\n");
    for fetch in tables::fetches() {
        let phases: Vec<String> = fetch.phases.iter().map(|phase| format!("{phase:?}")).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | `{}` |",
            cell(fetch.syntax),
            fetch.output.name(),
            phases.join(", "),
            cell(fetch.doc),
            cell(fetch.example)
        );
    }
    page.push_str("\n### Matches\n\nHow values are compared: as a suffix (`path_beg`) or with `-m`.\n\n| match | values | | example |\n|---|---|---|---|\n");
    for kind in tables::MATCHES {
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {} | `{}` |",
            kind.name,
            cell(kind.syntax),
            cell(kind.doc),
            cell(kind.example)
        );
    }
    page.push_str("\n### Predefined acls\n\n| acl | stands for | |\n|---|---|---|\n");
    for acl in tables::PREDEFINED {
        let _ = writeln!(page, "| `{}` | `{}` | {} |", acl.name, cell(acl.text), cell(acl.doc));
    }
    page.push_str("\n### Short forms in texts\n\n| form | type | phases | |\n|---|---|---|---|\n");
    for alias in tables::ALIASES {
        let phases: Vec<String> = alias.phases.iter().map(|phase| format!("{phase:?}")).collect();
        let (name, kind) = (alias.name, alias.output.name());
        let _ = writeln!(page, "| `%{name}` | {kind} | {} | {} |", phases.join(", "), cell(alias.doc));
    }
}

/// The keys of one table, then the tables they lead to.
fn table(table: &'static Table, path: &str, done: &mut Vec<&'static str>, page: &mut String) {
    done.push(table.name);
    let proxy = table.keys.iter().any(|key| key.sections != Sections::ANY);
    let (head, rule) = if proxy { (" in |", "---|") } else { ("", "") };
    let _ = write!(page, "\n| key |{head} value | default | HAProxy | |\n|---|{rule}---|---|---|---|\n");
    for key in table.keys {
        row(key, path, proxy, page);
    }
    for key in table.keys {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        nested(&key.kind, &path, done, page);
    }
}

fn row(key: &Key, path: &str, proxy: bool, page: &mut String) {
    let name = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
    let _ = write!(page, "| `{}` |", if proxy { &name } else { key.name });
    if proxy {
        let letters: Vec<&str> = key.sections.names().collect();
        let all = key.sections == Sections::ANY;
        let _ = write!(page, " {} |", if all { "all".to_owned() } else { letters.join(", ") });
    }
    let haproxy = if key.haproxy.is_empty() { "–".to_owned() } else { format!("`{}`", key.haproxy) };
    let _ = writeln!(
        page,
        " {} | {} | {} | {} `{}` |",
        cell(&takes(&key.kind)),
        cell(&key.fallback.show()),
        cell(&haproxy),
        cell(key.doc),
        cell(key.example)
    );
}

/// What a key takes, in few words.
fn takes(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "true, false".to_owned(),
        Kind::Int(min, max) => format!("{min} to {max}"),
        Kind::Time(..) => "duration".to_owned(),
        Kind::Size(_, _, false) => "size".to_owned(),
        Kind::Size(_, _, true) => "size, or bytes".to_owned(),
        Kind::Permission => "0o000 to 0o777".to_owned(),
        Kind::Word(words, _) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(" "),
        Kind::Text(_) => "text".to_owned(),
        Kind::Many(one) => format!("{}; or an array", takes(one)),
        Kind::Table(table) => format!("table, see {}", link(table)),
        Kind::Named(one) => format!("table of NAME = {}", takes(one)),
        Kind::Any(kinds) => kinds.iter().map(takes).collect::<Vec<_>>().join("; or "),
    }
}

fn nested(kind: &'static Kind, path: &str, done: &mut Vec<&'static str>, page: &mut String) {
    match kind {
        // default-server has the keys of a server, which have their own heading.
        Kind::Table(inner) if !done.contains(&inner.name) && inner.name != "default-server" => {
            let _ = write!(page, "\n### `{}`\n\n{}\n", inner.name, inner.doc);
            let sectioned = inner.keys.iter().any(|key| key.sections != Sections::ANY);
            table(inner, if sectioned { path } else { "" }, done, page);
        }
        Kind::Many(one) | Kind::Named(one) => nested(one, path, done, page),
        Kind::Any(kinds) => kinds.iter().for_each(|one| nested(one, path, done, page)),
        _ => {}
    }
}

fn link(table: &Table) -> String {
    let name = if table.name == "default-server" { "server" } else { table.name };
    format!("[`{name}`](#{})", name.replace('.', ""))
}

/// A pipe ends a cell even inside code.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
