//! Keeps the arrows between the crates as docs/architecture.md draws them: one down, none up.
//!
//! Reads the manifests, so a forbidden import fails here before anybody relies on it. Development dependencies are free.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a crate may import.
struct Rule {
    /// Our own crates, without the `evenkeel-` prefix.
    siblings: &'static [&'static str],
    /// Crates of others that it must never see.
    never: &'static [&'static str],
}

const RUNTIME: &[&str] = &["tokio", "hyper", "hyper-util", "h2", "rustls", "tokio-rustls", "socket2", "nix", "mio"];

fn rules() -> BTreeMap<&'static str, Rule> {
    let all =
        &["acl", "admin", "backend", "balance", "config", "dns", "frontend", "health", "proto", "stats", "tls", "wire"];
    BTreeMap::from([
        (
            "proto",
            Rule { siblings: &[], never: &["tokio", "http", "h2", "hyper", "serde", "serde_json", "nix", "socket2"] },
        ),
        ("stats", Rule { siblings: &[], never: RUNTIME }),
        ("acl", Rule { siblings: &["proto", "stats"], never: RUNTIME }),
        (
            "tls",
            Rule { siblings: &["acl", "proto"], never: &["tokio", "hyper", "h2", "nix", "socket2", "tokio-rustls"] },
        ),
        ("config", Rule { siblings: &["acl", "proto", "tls"], never: RUNTIME }),
        (
            "wire",
            Rule {
                siblings: &["proto", "tls"],
                never: &["hyper", "tokio-rustls", "clap", "prometheus", "askama", "serde"],
            },
        ),
        ("balance", Rule { siblings: &["config", "stats"], never: RUNTIME }),
        ("health", Rule { siblings: &["config", "proto", "tls", "wire"], never: &["clap", "prometheus", "askama"] }),
        ("dns", Rule { siblings: &["acl", "config"], never: &["hyper", "rustls", "clap", "prometheus", "askama"] }),
        (
            "backend",
            Rule {
                siblings: &["acl", "balance", "health", "config", "proto", "stats", "tls", "wire"],
                never: &["hyper", "clap", "prometheus", "askama"],
            },
        ),
        (
            "frontend",
            Rule {
                siblings: &["acl", "backend", "balance", "config", "dns", "health", "proto", "stats", "tls", "wire"],
                never: &["prometheus", "clap", "askama", "hyper"],
            },
        ),
        ("admin", Rule { siblings: &["frontend", "backend", "health", "config", "stats", "tls"], never: &["clap"] }),
        ("testkit", Rule { siblings: &[], never: &["evenkeel"] }),
        ("evenkeel", Rule { siblings: all, never: &[] }),
    ])
}

#[test]
fn every_crate_imports_only_what_it_may() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("crates");
    let rules = rules();
    let mut wrong = Vec::new();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(crates).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(rule) = rules.get(name.as_str()) else {
            wrong.push(format!("crate {name} has no rule in this test"));
            continue;
        };
        for import in imports(&folder.join("Cargo.toml")) {
            let bad = match import.strip_prefix("evenkeel-") {
                Some(sibling) => !rule.siblings.contains(&sibling),
                None => rule.never.contains(&import.as_str()),
            };
            if bad {
                wrong.push(format!("{name} must not import {import}"));
            }
        }
        found.insert(name);
    }
    for name in rules.keys() {
        if !found.contains(*name) {
            wrong.push(format!("crate {name} is gone: take its rule out of this test"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_is_no_way_round() {
    // A cycle cannot build, but a rule that allows one would say that somebody drew an arrow upwards.
    let rules = rules();
    let order = [
        "proto", "stats", "acl", "tls", "config", "dns", "wire", "balance", "health", "backend", "frontend", "admin",
        "evenkeel",
    ];
    for (i, name) in order.iter().enumerate() {
        for sibling in rules[name].siblings {
            let below = order.iter().position(|n| n == sibling).is_some_and(|j| j < i);
            assert!(below, "{name} may import {sibling}, which is not below it");
        }
    }
}

fn imports(manifest: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{}: {e}", manifest.display()));
    let mut names = Vec::new();
    let mut add = |t: Option<&toml::Value>| {
        let list = t.and_then(toml::Value::as_table).into_iter().flatten();
        names.extend(list.map(|(k, v)| v.get("package").and_then(toml::Value::as_str).unwrap_or(k).to_owned()));
    };
    add(table.get("dependencies"));
    for target in table.get("target").and_then(toml::Value::as_table).into_iter().flatten() {
        add(target.1.get("dependencies"));
    }
    names
}
