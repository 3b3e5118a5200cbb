//! The files that are shipped load, and the files that are printed are up to date.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_config::{LoadOptions, Loaded, load_with, reference_markdown, schema};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Loads without the environment and without a resolver.
fn check(path: &Path) -> Loaded {
    let opts = LoadOptions {
        env: &|_| None,
        resolve: &|_, _| Err("names are not looked up here".to_owned()),
        ..LoadOptions::system()
    };
    load_with(&[path.to_owned()], &opts)
}

fn shipped() -> Vec<PathBuf> {
    let examples = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = examples.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.push(root().join("config/evenkeel.toml"));
    files.sort();
    files
}

#[test]
fn every_shipped_file_loads_without_a_word() {
    let files = shipped();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let loaded = check(&file);
        assert!(loaded.diagnostics.is_empty(), "{}", loaded.render(false));
        assert!(loaded.config.is_some(), "{}", file.display());
    }
}

#[test]
fn everything_names_every_key() {
    let text = fs::read_to_string(root().join("examples/everything.toml")).unwrap();
    let parsed: toml::Table = text.parse().unwrap();
    let found = toml::Value::Table(parsed);
    let schema = schema();
    for (section, key) in [
        ("global", "global"),
        ("tune", "tune"),
        ("tune.http", "tune.http"),
        ("admin", "admin"),
        ("log", "log"),
        ("bind", "bind"),
        ("server", "server"),
        ("check", "check"),
        ("forwardfor", "forwardfor"),
        ("listen", "proxy"),
        ("listen.timeout", "timeout"),
        ("listen.option", "option"),
        ("why", "why"),
        ("ssl-default-bind", "ssl-default-bind"),
        ("ssl-default-server", "ssl-default-server"),
        ("tune.ssl", "tune.ssl"),
        ("tune.h2", "tune.h2"),
        ("tune.h2.fe", "tune.h2.fe"),
        ("tune.h2.be", "tune.h2.be"),
        ("bind.tls", "bind.tls"),
        ("server.tls", "server.tls"),
        ("crt-store", "crt-store"),
        ("resolvers", "resolvers"),
        ("resolvers.timeout", "resolvers.timeout"),
        ("resolvers.hold", "resolvers.hold"),
        ("listen.tcp-request", "tcp-request"),
        ("listen.tcp-response", "tcp-response"),
        ("stick-table", "stick-table"),
        ("listen.capture", "capture"),
        ("capture.request", "capture.request"),
        ("capture.cookie", "capture.cookie"),
        ("listen.declare-capture", "declare-capture"),
        ("listen.monitor", "monitor"),
        ("errorfiles", "errorfiles"),
        ("http-errors", "http-errors"),
        ("userlist", "userlist"),
        ("user", "user"),
        ("group", "group"),
        ("test", "test"),
        ("test.request", "test.request"),
        ("test.given", "test.given"),
        ("test.given.tables", "test.given.tables"),
        ("test.given.response", "test.given.response"),
        ("test.expect", "test.expect"),
        ("test.expect.sent", "test.expect.sent"),
    ] {
        let keys = schema["$defs"][section]["properties"].as_object().unwrap_or_else(|| panic!("{section}"));
        for name in keys.keys() {
            assert!(mentions(&found, name), "examples/everything.toml does not show `{name}` of {key}");
        }
    }
}

fn mentions(value: &toml::Value, name: &str) -> bool {
    match value {
        toml::Value::Table(table) => table.iter().any(|(key, value)| key == name || mentions(value, name)),
        toml::Value::Array(values) => values.iter().any(|value| mentions(value, name)),
        _ => false,
    }
}

/// `EVENKEEL_BLESS=1` writes the files instead.
fn up_to_date(path: &str, want: &str) {
    let file = root().join(path);
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        fs::write(&file, want).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    if found != want {
        let line = found.lines().zip(want.lines()).take_while(|(a, b)| a == b).count() + 1;
        panic!("{path} is out of date at line {line}; run EVENKEEL_BLESS=1 cargo test -p evenkeel-config");
    }
}

#[test]
fn the_schema_is_up_to_date() {
    up_to_date("config/schema.json", &format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap()));
}

#[test]
fn the_reference_is_up_to_date() {
    up_to_date("docs/reference.md", &reference_markdown());
}

#[test]
fn shipped_files_fit_the_schema() {
    let schema = schema();
    for file in shipped() {
        let table: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
        let value = serde_json::to_value(table).unwrap();
        let mut errors = Vec::new();
        validate(&schema, &schema, &value, "", &mut errors);
        assert!(errors.is_empty(), "{}: {errors:#?}", file.display());
    }
    for wrong in [
        "[global]\nthread = 1",
        "[frontend.web]\nserver = [\"a:1\"]",
        "[listen.web]\ntimeout.client = 30",
        "[backend.b]\nserver = [{ name = \"a\" }]",
        "[backend.b]\nserver = [{ name = \"a\", address = \"b\", weight = 257 }]",
        "[listen.web]\nmode = \"htpp\"",
    ] {
        let value = serde_json::to_value(wrong.parse::<toml::Table>().unwrap()).unwrap();
        let mut errors = Vec::new();
        validate(&schema, &schema, &value, "", &mut errors);
        assert!(!errors.is_empty(), "the schema takes {wrong}");
    }
}

/// The part of JSON Schema that the printed schema uses.
fn validate(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    value: &serde_json::Value,
    at: &str,
    errors: &mut Vec<String>,
) {
    for (keyword, rule) in schema.as_object().unwrap() {
        let ok = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "$defs" => true,
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                validate(root, target, value, at, errors);
                true
            }
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_i64(),
                "boolean" => value.is_boolean(),
                other => panic!("type {other}"),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_none_or(|n| n >= rule.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|n| n <= rule.as_i64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| !text.is_empty()),
            "pattern" => {
                value.as_str().is_none_or(|text| regex::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|one| {
                let mut inner = Vec::new();
                validate(root, one, value, at, &mut inner);
                inner.is_empty()
            }),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(root, rule, item, &format!("{at}[{index}]"), errors);
                }
                true
            }
            "required" => value
                .as_object()
                .is_none_or(|object| rule.as_array().unwrap().iter().all(|k| object.contains_key(k.as_str().unwrap()))),
            "propertyNames" => {
                let names = value.as_object().into_iter().flatten().map(|(name, _)| name);
                names.for_each(|name| validate(root, rule, &name.as_str().into(), at, errors));
                true
            }
            "properties" | "additionalProperties" => {
                let known = schema.get("properties").and_then(|p| p.as_object());
                for (name, item) in value.as_object().into_iter().flatten() {
                    let property = known.and_then(|known| known.get(name));
                    let path = format!("{at}.{name}");
                    match (keyword.as_str(), property) {
                        ("properties", Some(property)) => validate(root, property, item, &path, errors),
                        ("additionalProperties", None) if rule.is_object() => validate(root, rule, item, &path, errors),
                        ("additionalProperties", None) if rule == false => errors.push(format!("{path}: unknown")),
                        _ => {}
                    }
                }
                true
            }
            other => panic!("keyword {other}"),
        };
        if !ok {
            errors.push(format!("{at}: {keyword} {rule} does not hold for {value}"));
        }
    }
}
