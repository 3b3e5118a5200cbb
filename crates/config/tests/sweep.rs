//! Whatever a file holds, loading it ends in a configuration or in diagnostics, never in a panic.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use evenkeel_config::{LoadOptions, Loaded, Source, load_sources};

fn load(text: &str) -> Loaded {
    let opts = LoadOptions {
        env: &|name| (name == "APP").then(|| "app".to_owned()),
        resolve: &|_, port| Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        ..LoadOptions::closed()
    };
    load_sources(&[Source { name: Arc::from("a.toml"), text: Arc::from(text) }], &opts)
}

/// A result must hold together, and print.
fn holds_together(text: &str, what: &str) {
    let loaded = load(text);
    assert_eq!(loaded.config.is_none(), loaded.errors() > 0, "{what}\n{text}");
    for d in &loaded.diagnostics {
        assert!(d.span.start <= d.span.end && d.span.end <= text.len(), "{what} {d:?}");
        assert!(text.get(d.span.clone()).is_some(), "{what} {d:?}\n{text}");
        assert!(d.line >= 1 && d.column >= 1, "{what} {d:?}");
        assert!(evenkeel_config::explain(d.code).is_some(), "{what} {d:?}");
    }
    let _ = loaded.render(false);
    let _ = loaded.to_json();
}

fn examples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files.iter().map(|path| fs::read_to_string(path).unwrap().replace("include = ", "# ")).collect()
}

#[test]
fn mutated_examples_never_panic() {
    let seed = 0x5eed_c0f1;
    let mut rng = fastrand::Rng::with_seed(seed);
    let examples = examples();
    let pieces = [
        "\"",
        "'",
        "[",
        "]",
        "{",
        "}",
        "=",
        ",",
        ".",
        "\n",
        "\\",
        "${",
        "${APP}",
        "%[",
        "é",
        "\u{1b}",
        "0",
        "-1",
        "1e9",
        "true",
        "\"\"",
        "[[",
        "]]",
        "'''",
        "\"\"\"",
        "#",
        ":",
        "99999999999999999999",
        "!",
        "if",
        "{ path / }",
        "\u{0}",
    ];
    for round in 0..600 {
        let mut text = rng.choice(&examples).unwrap().clone();
        for _ in 0..rng.usize(1..6) {
            let mut at = rng.usize(0..=text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let mut end = (at + rng.usize(0..12)).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            match rng.u8(0..4) {
                0 => text.replace_range(at..end, ""),
                1 => text.insert_str(at, rng.choice(pieces).unwrap()),
                2 => text.replace_range(at..end, rng.choice(pieces).unwrap()),
                // A line twice, a line moved: duplicate keys and keys in the wrong section.
                _ => {
                    let lines: Vec<&str> = text.lines().collect();
                    let line = rng.choice(&lines).unwrap_or(&"").to_owned().to_owned();
                    let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
                    text.insert_str(start, &format!("{line}\n"));
                }
            }
        }
        holds_together(&text, &format!("seed {seed:#x} round {round}"));
    }
}

#[test]
fn odd_files_hold_together() {
    for text in [
        "\u{feff}[listen.a]\nbind = \":1\"\nserver = \"10.0.0.1:1\"\nx = 1\n",
        "a.b.c.d.e = 1",
        "frontend = []",
        "frontend.web = 1",
        "frontend.web.timeout = 1",
        "[[frontend]]\nbind = \":1\"",
        "[[frontend.web]]\nbind = \":1\"",
        "[[defaults]]\nmode = \"tcp\"",
        "[defaults]\nx = {}\ny = { mode = \"tcp\" }\nz = 1\n",
        "[frontend]\n[backend]\n[listen]\n[defaults]\n[global]\n",
        "[frontend.\"\"]\nbind = \":1\"",
        "[listen.a]\nbind = []\nserver = []\nlog = []\nacl = {}\nhttp-request = []\nuse_backend = []\n",
        "[listen.a]\nacl.a = []\nacl.\"b c\" = \"\"\nhttp-request = \"\"\nuse_backend = \" \"\n",
        "[listen.a]\nhttp-request = '''\n deny\n'''\n",
        "[listen.a]\nhttp-request = \"\"\"\ndenny\"\"\"\n",
        "[listen.a]\r\nbind = \":1\"\r\nserver = \"10.0.0.1:1\"\r\nx = 1\r\n",
        "[global]\nthreads = 1.5\nmaxconn = 1979-05-27\npidfile = nan\n",
    ] {
        holds_together(text, "odd");
    }
    let deep = format!("a = {}{}", "[".repeat(5000), "]".repeat(5000));
    holds_together(&deep, "deep");
    let long = format!("[global]\n{} = 1\nlog-tag = \"{}\"\n", "k".repeat(100_000), "${A".repeat(10_000));
    holds_together(&long, "long");
}

#[test]
fn ten_thousand_servers_load() {
    let mut text = "[listen.a]\nbind = \":1\"\ncheck = { uri = \"/h\" }\nserver = [\n".to_owned();
    for n in 0..10_000 {
        text.push_str(&format!(
            "  {{ name = \"s{n}\", address = \"10.{}.{}.{}:80\", weight = {} }},\n",
            n >> 16,
            n >> 8 & 255,
            n & 255,
            n % 257
        ));
    }
    text.push_str("]\n");
    let config = load(&text).config.unwrap();
    let servers = &config.backends[0].servers;
    assert_eq!(servers.len(), 10_000);
    // One check for all, not ten thousand.
    assert!(Arc::ptr_eq(servers[0].check.as_ref().unwrap(), servers[9_999].check.as_ref().unwrap()));
}
