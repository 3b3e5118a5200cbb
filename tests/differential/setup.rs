//! A proxy configuration in neutral words, rendered for both proxies.
//!
//! The words are HAProxy's own lines, because the TOML follows from them by the mapping rules of the configuration
//! language: a keyword is a key, its arguments the value, ordered rules are arrays. Only what the cases need is known
//! here; any other line panics. `@oN@` is origin N, `@dead@` a port that refuses.

use std::fmt::Write;
use std::net::SocketAddr;

/// One configuration: a frontend `fe` and its backends, `app` by default.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// `http` or `tcp`.
    pub mode: &'static str,
    /// Lines of the frontend.
    pub front: &'static [&'static str],
    /// Backends: name and lines. Without a `server` line in any of them, `server s0 @o0@` is added to the first.
    pub backs: &'static [(&'static str, &'static [&'static str])],
    /// Lines of `defaults`, after the ones every setup has.
    pub defaults: &'static [&'static str],
    /// Whether both proxies write their access log to standard output.
    pub log: bool,
    /// Whether connections begin with a PROXY header (`accept-proxy`).
    pub accepts_proxy: bool,
    /// What follows the address of the bind, such as `ssl crt site.pem`.
    pub bind: &'static str,
    /// Further sections, such as `userlist staff`: name and lines.
    pub sections: &'static [(&'static str, &'static [&'static str])],
}

/// A frontend, one server, no surprises.
pub const HTTP: Setup = Setup {
    mode: "http",
    front: &[],
    backs: &[("app", &["server s0 @o0@"])],
    defaults: &[],
    log: false,
    accepts_proxy: false,
    bind: "",
    sections: &[],
};

/// The same for TCP.
pub const TCP: Setup = Setup { mode: "tcp", ..HTTP };

/// Both proxies begin with the same words where their defaults differ.
const DEFAULTS: &[&str] = &[
    "timeout connect 5s",
    "timeout client 60s",
    "timeout server 60s",
    "timeout http-request 60s",
    "timeout http-keep-alive 60s",
    "balance roundrobin",
    "retries 3",
];

/// Where the servers of a setup are.
#[derive(Debug)]
pub struct Places {
    /// `@oN@`.
    pub origins: Vec<SocketAddr>,
    /// `@dead@`.
    pub dead: SocketAddr,
}

impl Places {
    fn fill(&self, line: &str) -> String {
        let mut line = line.replace("@dead@", &self.dead.to_string());
        for (i, o) in self.origins.iter().enumerate() {
            line = line.replace(&format!("@o{i}@"), &o.to_string());
        }
        line
    }
}

impl Setup {
    /// Number of origins its servers name.
    pub fn origins(&self) -> usize {
        let lines = self.backs.iter().flat_map(|(_, lines)| lines.iter());
        (0..9).filter(|i| lines.clone().any(|l| l.contains(&format!("@o{i}@")))).count()
    }

    /// As haproxy.cfg; `@listen@` is left for the kit.
    pub fn haproxy(&self, places: &Places) -> String {
        let mut out = String::from("global\n nbthread 1\n maxconn 1000\n expose-experimental-directives\n");
        if self.log {
            out.push_str(" log stdout len 16384 format raw local0\n");
        }
        let _ = writeln!(out, "defaults\n mode {}", self.mode);
        if self.log {
            let _ = writeln!(out, " log global\n option {}log", self.mode);
        }
        let abort = if self.mode == "http" { &["no option abortonclose"][..] } else { &[] };
        for line in DEFAULTS.iter().chain(abort).chain(self.defaults) {
            if self.mode == "http" || !line.contains("http-") {
                let _ = writeln!(out, " {line}");
            }
        }
        let accepts = if self.accepts_proxy { " accept-proxy" } else { "" };
        let _ = writeln!(out, "frontend fe\n bind @listen@{accepts} {}", self.bind);
        for line in self.front {
            let _ = writeln!(out, " {line}");
        }
        if !self.front.iter().any(|l| l.starts_with("default_backend")) {
            let _ = writeln!(out, " default_backend {}", self.backs[0].0);
        }
        for (name, lines) in self.backs {
            let _ = writeln!(out, "backend {name}");
            for line in *lines {
                let _ = writeln!(out, " {}", places.fill(line));
            }
        }
        for (name, lines) in self.sections {
            let _ = writeln!(out, "{name}");
            for line in *lines {
                let _ = writeln!(out, " {line}");
            }
        }
        out
    }

    /// As evenkeel.toml; `@listen@` is left for the kit.
    pub fn evenkeel(&self, places: &Places) -> String {
        let mut out = String::from("[global]\nthreads = 1\nadmin = { listen = \"@admin@\" }\n");
        let log = if self.log { "[{ target = \"stdout\", len = 16384 }]" } else { "[]" };
        let _ = writeln!(out, "log = {log}");
        let mut defaults = vec![format!("mode {}", self.mode)];
        let abort = if self.mode == "http" { &["no option abortonclose"][..] } else { &[] };
        defaults.extend(
            DEFAULTS
                .iter()
                .chain(abort)
                .chain(self.defaults)
                .filter(|l| self.mode == "http" || !l.contains("http-"))
                .map(|l| (*l).to_owned()),
        );
        section(&mut out, "[defaults]", &defaults);
        let mut front: Vec<String> = self.front.iter().map(|l| (*l).to_owned()).collect();
        if !front.iter().any(|l| l.starts_with("default_backend")) {
            front.push(format!("default_backend {}", self.backs[0].0));
        }
        let accepts = if self.accepts_proxy { ", accept-proxy = true" } else { "" };
        let tls =
            self.bind.strip_prefix("ssl ").map(|words| format!(", tls = {{ {} }}", tls(words))).unwrap_or_default();
        let header = format!("[frontend.fe]\nbind = [{{ address = \"@listen@\"{accepts}{tls} }}]");
        section(&mut out, &header, &front);
        for (name, lines) in self.backs {
            let lines: Vec<String> = lines.iter().map(|l| places.fill(l)).collect();
            section(&mut out, &format!("[backend.{name}]"), &lines);
        }
        for (name, lines) in self.sections {
            let lines: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
            section(&mut out, &format!("[{}]", name.replacen(' ', ".", 1)), &lines);
        }
        out
    }
}

/// How one line of an array is written.
type Render = fn(&str) -> String;

/// Words whose lines are collected, in order, into one array, and its key.
const ARRAYS: &[(&str, &str, Render)] = &[
    ("tcp-request connection", "tcp-request.connection", quoted),
    ("tcp-request session", "tcp-request.session", quoted),
    ("tcp-request content", "tcp-request.content", quoted),
    ("tcp-response content", "tcp-response.content", quoted),
    ("http-request", "http-request", quoted),
    ("http-response", "http-response", quoted),
    ("http-after-response", "http-after-response", quoted),
    ("http-error", "http-error", quoted),
    ("redirect", "redirect", quoted),
    ("use_backend", "use_backend", quoted),
    ("use-server", "use-server", quoted),
    ("server", "server", server),
    ("monitor fail", "monitor.fail", quoted),
    ("capture request header", "capture.request", captured),
    ("capture response header", "capture.response", captured),
    ("declare capture request len", "declare-capture.request", str::to_owned),
    ("declare capture response len", "declare-capture.response", str::to_owned),
    ("user", "user", user),
    ("group", "group", group),
];

fn section(out: &mut String, header: &str, lines: &[String]) {
    let _ = writeln!(out, "\n{header}");
    for (i, line) in lines.iter().enumerate() {
        // In haproxy.cfg the last of two wins; TOML has no second.
        if let Some(name) = setting(line)
            && lines[i + 1..].iter().any(|l| setting(l) == Some(name))
        {
            continue;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "mode" | "balance" | "default_backend" | "http-reuse" => {
                let _ = writeln!(out, "{word} = {}", quoted(rest));
            }
            "retries" | "maxconn" => {
                let _ = writeln!(out, "{word} = {rest}");
            }
            "timeout" => {
                let (name, value) = rest.split_once(' ').expect("timeout NAME VALUE");
                let _ = writeln!(out, "timeout.{name} = {}", quoted(value));
            }
            "option" => option(out, rest, "true"),
            "no" => option(out, rest.strip_prefix("option ").expect("no option NAME"), "false"),
            "errorfile" | "errorloc" | "errorloc302" | "errorloc303" => {
                let (status, value) = rest.split_once(' ').expect("STATUS VALUE");
                let _ = writeln!(out, "{word}.{status} = {}", quoted(value));
            }
            "errorfiles" => {
                let mut words = rest.split(' ');
                let name = quoted(words.next().unwrap_or_default());
                let codes: Vec<&str> = words.collect();
                let codes = if codes.is_empty() { String::new() } else { format!(", codes = [{}]", codes.join(", ")) };
                let _ = writeln!(out, "errorfiles = [{{ name = {name}{codes} }}]");
            }
            "stick-table" => {
                let _ = writeln!(out, "stick-table = {}", stick_table(rest));
            }
            "monitor-uri" | "log-format" | "unique-id-format" | "unique-id-header" => {
                let _ = writeln!(out, "{word} = {}", quoted(&unquoted(rest)));
            }
            "capture" if rest.starts_with("cookie") => {
                let words: Vec<&str> = rest.split(' ').collect();
                let _ = writeln!(out, "capture.cookie = {{ name = {}, len = {} }}", quoted(words[1]), words[3]);
            }
            "tcp-request" if rest.starts_with("inspect-delay ") => {
                let _ = writeln!(out, "tcp-request.inspect-delay = {}", quoted(&rest["inspect-delay ".len()..]));
            }
            "acl" => {}
            _ if ARRAYS.iter().any(|(w, _, _)| line.strip_prefix(w).is_some_and(|r| r.starts_with(' '))) => {}
            _ => panic!("no rendering for `{line}`"),
        }
    }
    let mut acls: Vec<(&str, Vec<String>)> = Vec::new();
    for (name, test) in lines.iter().filter_map(|l| l.strip_prefix("acl ")?.split_once(' ')) {
        match acls.iter_mut().find(|(n, _)| *n == name) {
            Some((_, tests)) => tests.push(quoted(test)),
            None => acls.push((name, vec![quoted(test)])),
        }
    }
    for (name, tests) in acls {
        let _ = writeln!(out, "acl.{name} = [{}]", tests.join(", "));
    }
    for (words, key, render) in ARRAYS {
        let mut items = lines.iter().filter_map(|l| l.strip_prefix(words)?.strip_prefix(' ')).peekable();
        if items.peek().is_some() {
            let _ = writeln!(out, "{key} = [\n  {},\n]", items.map(render).collect::<Vec<_>>().join(",\n  "));
        }
    }
}

/// The name of what a line sets, when it can be set only once.
fn setting(line: &str) -> Option<&str> {
    let line = line.strip_prefix("no ").unwrap_or(line);
    let words = if line.starts_with("timeout ") || line.starts_with("option ") { 2 } else { 1 };
    let end = line.match_indices(' ').nth(words - 1).map_or(line.len(), |(i, _)| i);
    let known = ["timeout ", "option ", "balance", "retries", "mode", "maxconn"];
    known.iter().any(|k| line.starts_with(k)).then(|| &line[..end])
}

fn option(out: &mut String, words: &str, plain: &str) {
    let mut words = words.split(' ');
    let name = words.next().unwrap_or_default();
    let mut parts = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "if-none" => parts.push("if-none = true".to_owned()),
            _ if word.bytes().all(|b| b.is_ascii_digit()) => {
                let _ = writeln!(out, "option.{name} = {word}");
                return;
            }
            _ => parts.push(format!("{word} = {}", quoted(words.next().unwrap_or_default()))),
        }
    }
    let value = if parts.is_empty() { plain.to_owned() } else { format!("{{ {} }}", parts.join(", ")) };
    let _ = writeln!(out, "option.{name} = {value}");
}

fn server(words: &str) -> String {
    // From `ssl` on all is about TLS, but for what stands here.
    let (words, secure) = words.split_once(" ssl ").map_or((words, None), |(words, rest)| (words, Some(rest)));
    let mut words = words.split(' ');
    let mut parts = vec![
        format!("name = {}", quoted(words.next().unwrap_or_default())),
        format!("address = {}", quoted(words.next().unwrap_or_default())),
    ];
    while let Some(word) = words.next() {
        match word {
            "send-proxy" => parts.push("send-proxy = \"v1\"".to_owned()),
            "send-proxy-v2" => parts.push("send-proxy = \"v2\"".to_owned()),
            "proxy-v2-options" => parts.push(format!("{word} = {}", list(words.next().unwrap_or_default()))),
            "proto" => parts.push(format!("{word} = {}", quoted(words.next().unwrap_or_default()))),
            "backup" | "disabled" => parts.push(format!("{word} = true")),
            _ => parts.push(format!("{word} = {}", words.next().unwrap_or_default())),
        }
    }
    if let Some(words) = secure {
        // HAProxy 2.6 asks for no name by itself.
        let auto = if words.contains("sni ") { "" } else { ", sni-auto = false" };
        parts.push(format!("tls = {{ {}{auto} }}", tls(words)));
    }
    format!("{{ {} }}", parts.join(", "))
}

/// The words behind `ssl` of a bind or a server.
fn tls(words: &str) -> String {
    let mut parts = Vec::new();
    let mut certificates = Vec::new();
    let mut words = words.split(' ');
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match word {
            "crt" => certificates.push(quoted(value())),
            "alpn" => parts.push(format!("alpn = {}", list(value()))),
            "strict-sni" => parts.push("strict-sni = true".to_owned()),
            "no-tls-tickets" => parts.push("tickets = false".to_owned()),
            "ssl-min-ver" => parts.push(format!("min-version = {}", quoted(value().trim_start_matches("TLSv")))),
            "ssl-max-ver" => parts.push(format!("max-version = {}", quoted(value().trim_start_matches("TLSv")))),
            "ca-ignore-err" | "crt-ignore-err" => match value() {
                "all" => parts.push(format!("{word} = \"all\"")),
                numbers => parts.push(format!("{word} = [{numbers}]")),
            },
            _ => parts.push(format!("{word} = {}", quoted(value()))),
        }
    }
    match &certificates[..] {
        [] => {}
        [one] => parts.push(format!("certificate = {one}")),
        many => parts.push(format!("certificate = [{}]", many.join(", "))),
    }
    parts.join(", ")
}

/// `type ip size 100k expire 1h store a,b(1h)`.
fn stick_table(words: &str) -> String {
    let mut words = words.split(' ');
    let mut parts = Vec::new();
    while let Some(word) = words.next() {
        let value = if word == "nopurge" { "" } else { words.next().unwrap_or_default() };
        parts.push(match word {
            "nopurge" => "nopurge = true".to_owned(),
            // `type string len 64`: the length is of the type there.
            "store" => {
                let mut depth = 0;
                let split = |c| {
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    c == ',' && depth == 0
                };
                format!("store = [{}]", value.split(split).map(quoted).collect::<Vec<_>>().join(", "))
            }
            _ if value.bytes().all(|b| b.is_ascii_digit()) => format!("{word} = {value}"),
            _ => format!("{word} = {}", quoted(value)),
        });
    }
    format!("{{ {} }}", parts.join(", "))
}

/// `NAME len N`.
fn captured(words: &str) -> String {
    let (name, len) = words.split_once(" len ").expect("NAME len N");
    format!("{{ header = {}, len = {len} }}", quoted(name))
}

/// `NAME insecure-password PASSWORD [groups A,B]`.
fn user(words: &str) -> String {
    let mut words = words.split(' ');
    let mut parts = vec![format!("name = {}", quoted(words.next().unwrap_or_default()))];
    while let (Some(word), Some(value)) = (words.next(), words.next()) {
        let value = if word == "groups" { list(value) } else { quoted(value) };
        parts.push(format!("{word} = {value}"));
    }
    format!("{{ {} }}", parts.join(", "))
}

/// `NAME [users A,B]`.
fn group(words: &str) -> String {
    let (name, users) = words.split_once(" users ").unwrap_or((words, ""));
    let users = if users.is_empty() { String::new() } else { format!(", users = {}", list(users)) };
    format!("{{ name = {}{users} }}", quoted(name))
}

fn list(names: &str) -> String {
    format!("[{}]", names.split(',').map(quoted).collect::<Vec<_>>().join(", "))
}

/// What HAProxy makes of one word: the text between double quotes.
fn unquoted(word: &str) -> String {
    let inner = word.strip_prefix('"').and_then(|w| w.strip_suffix('"')).unwrap_or(word);
    inner.replace("\\\"", "\"").replace("\\ ", " ").replace("\\\\", "\\")
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[test]
fn a_setup_reads_the_same_in_both_languages() {
    const S: Setup = Setup {
        front: &[
            "option forwardfor except 10.0.0.0/8 if-none",
            "acl a path_beg /a",
            "http-request deny if a",
            "use_backend b if a",
        ],
        backs: &[("app", &["server s0 @o0@ weight 3"]), ("b", &["balance first", "server s @dead@ backup"])],
        ..HTTP
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 1));
    let places = Places { origins: vec![any], dead: any };
    assert_eq!(S.origins(), 1);
    assert!(S.haproxy(&places).contains("backend app\n server s0 127.0.0.1:1 weight 3\nbackend b\n balance first\n"));
    let table: toml::Table = S.evenkeel(&places).parse().expect("valid TOML");
    let front = &table["frontend"]["fe"];
    assert_eq!(front["option"]["forwardfor"]["except"].as_str(), Some("10.0.0.0/8"));
    assert_eq!(front["http-request"][0].as_str(), Some("deny if a"));
    assert_eq!(table["backend"]["b"]["server"][0]["backup"].as_bool(), Some(true));
}
