//! docs/reference.md: every key, out of the key tables, and every diagnostic code.

use std::fmt::Write as _;

use evenkeel_acl::stick::DATA;
use evenkeel_acl::{RuleKind, tables};

use crate::codes::all_codes;
use crate::keys::{
    CRT_STORE, GLOBAL, HTTP_ERRORS, Key, Kind, LOG_PROFILE, PROXY, RESOLVERS, Sections, TEST, Table, USERLIST,
};

const HEAD: &str = "\
# Reference

Printed from the key tables of the program by `EVENKEEL_BLESS=1 cargo test -p evenkeel-config`; a test fails when it is out of date.

A section is a table: `[global]`, `[defaults]`, `[defaults.NAME]`, `[frontend.NAME]`, `[backend.NAME]`, `[listen.NAME]`,
`[userlist.NAME]`, `[http-errors.NAME]`, `[crt-store.NAME]`, `[resolvers.NAME]`, `[log-profile.NAME]`, `[[test]]`. A nested table may be written dotted: `timeout.client = \"30s\"` and `timeout = { client = \"30s\" }` are the same. An unknown
key is an error.

* **Durations** are text with a unit: `us`, `ms`, `s`, `m`, `h`, `d`, also combined: `\"1m30s\"`. `\"0s\"` for a timeout waits for ever.
* **Sizes** are text with a unit, powers of 1024: `b`, `k`, `m`, `g`: `\"16k\"`.
* **The environment**: `${NAME}` in any text is replaced, `${NAME:-default}` gives a default for one that is not set or empty,
  `$${` is a literal `${`. A text that holds one may stand where a number or true/false is expected.
* **Several files**: `include = [\"conf.d/*.toml\"]` above the first section reads further files, relative to this one. A folder
  stands for its `*.toml` in name order. `[global]` and `[defaults]` may be spread over files; another section stands in one.
* **Defaults**: a proxy takes `[defaults.NAME]` with `from = \"NAME\"`, else the unnamed `[defaults]`. A `[defaults.NAME]` may take
  from another with `from`. Binds, servers, redirects and rules that choose are not inherited. Other rules are, from named
  defaults: they run before those of the section, with the acls that stand beside them.
* **Files** that a section or a rule names (error pages, patterns, maps) are read when the configuration is loaded; a relative path
  is relative to the folder of the first configuration file.
";

/// The whole page.
pub fn reference_markdown() -> String {
    let mut page = HEAD.to_owned();
    let mut done = Vec::new();
    let _ = write!(page, "\n## `[global]`\n\n{}\n", GLOBAL.doc);
    table(&GLOBAL, "", &mut done, &mut page);
    let _ = write!(page, "\n## Proxies\n\n{}\n", PROXY.doc);
    table(&PROXY, "", &mut done, &mut page);
    for (head, root) in [
        ("[userlist.NAME]", &USERLIST),
        ("[http-errors.NAME]", &HTTP_ERRORS),
        ("[crt-store.NAME]", &CRT_STORE),
        ("[resolvers.NAME]", &RESOLVERS),
        ("[log-profile.NAME]", &LOG_PROFILE),
        ("[[test]]", &TEST),
    ] {
        let _ = write!(page, "\n## `{head}`\n\n{}\n", root.doc);
        table(root, "", &mut done, &mut page);
    }
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
         separates alternatives,\n`!` turns one around.\n\nLists run in this order: ",
    );
    let lists: Vec<String> = RuleKind::ALL.iter().map(|kind| format!("`{}`", kind.keyword())).collect();
    let _ = writeln!(page, "{}.", lists.join(", "));
    page.push_str("\n### Actions\n\n| action | in | ends the list | | example |\n|---|---|---|---|---|\n");
    for action in tables::actions() {
        let ends = if action.ends { "yes" } else { "no" };
        let kinds: Vec<String> = action.kinds.iter().map(|kind| format!("`{}`", kind.keyword())).collect();
        let kinds = if action.kinds.len() == RuleKind::ALL.len() { "all".to_owned() } else { kinds.join(", ") };
        row_of(page, &[&code(action.syntax), &kinds, ends, action.doc, &code(action.example)]);
    }
    page.push_str(
        "\n### Fetches\n\nWhat an acl looks at; also in texts as `%[fetch]`. A fetch can be used in rules that run in one of its \
         phases.\n\n| fetch | type | phases | | example |\n|---|---|---|---|---|\n",
    );
    for fetch in tables::fetches() {
        let phases: Vec<String> = fetch.phases.iter().map(|phase| format!("{phase:?}")).collect();
        row_of(page, &[&code(fetch.syntax), fetch.output.name(), &phases.join(", "), fetch.doc, &code(fetch.example)]);
    }
    page.push_str(
        "\n### Converters\n\nWhat turns a sample into another, written behind the fetch, separated by commas: \
         `path,lower`.\n\n| converter | takes | gives | | example |\n|---|---|---|---|---|\n",
    );
    for conv in tables::convs() {
        row_of(page, &[&code(conv.syntax), conv.input.name(), conv.output.name(), conv.doc, &code(conv.example)]);
    }
    page.push_str("\n### Matches\n\nHow values are compared: as a suffix (`path_beg`) or with `-m`.\n\n| match | values | | example |\n|---|---|---|---|\n");
    for kind in tables::MATCHES {
        row_of(page, &[&code(kind.name), &code(kind.syntax), kind.doc, &code(kind.example)]);
    }
    page.push_str("\n### Predefined acls\n\n| acl | stands for | |\n|---|---|---|\n");
    for acl in tables::PREDEFINED {
        row_of(page, &[&code(acl.name), &code(acl.text), acl.doc]);
    }
    page.push_str(
        "\n### Items of texts\n\nIn `log-format` and its kin, and in the texts of rules.\n\n| item | type | phases | |\n|---|---|---|---|\n",
    );
    for alias in tables::ALIASES {
        let phases: Vec<String> = alias.phases.iter().map(|phase| format!("{phase:?}")).collect();
        row_of(page, &[&code(&format!("%{}", alias.name)), alias.output.name(), &phases.join(", "), alias.doc]);
    }
    page.push_str(
        "\n### Stick-table data\n\nWhat `stick-table.store` takes. A period is a duration; a rate is events per \
         period.\n\n| data type | counts | |\n|---|---|---|\n",
    );
    for data in DATA {
        row_of(page, &[&code(&data.syntax()), data.unit, data.doc]);
    }
}

/// One row of a table.
fn row_of(page: &mut String, cells: &[&str]) {
    page.push('|');
    for text in cells {
        let _ = write!(page, " {} |", cell(text));
    }
    page.push('\n');
}

fn code(text: &str) -> String {
    format!("`{text}`")
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
        Kind::Entries(min, max) => format!("{min} to {max}, also `\"100k\"`"),
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
