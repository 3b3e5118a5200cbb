//! The command line from outside: exit codes, what goes to which stream, and sentences that say what to do.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use evenkeel_testkit::binary;

const GOOD: &str = "[listen.web]\nbind = [\"127.0.0.1:8080\"]\nserver = [\"127.0.0.1:3000\", \"127.0.0.1:3001\"]\n";

/// Ten mistakes, each of its own kind; the word is one that the message about it must contain.
const TEN: &str = r#"
[global]
thread = 2                                  # 1: no such key, `threads` is meant

[defaults]
timeout.client = 30                         # 2: a duration needs its unit

[frontend.web]
mode            = "htpp"                    # 3: no such mode
bind            = ["127.0.0.1:99999"]       # 4: no such port
http-request    = ["denny if { path / }"]   # 5: no such action
use_backend     = ["app if nowhere"]        # 6: no such acl
default_backend = "ap"                      # 7: no such backend, `app` is meant

[backend.app]
balance = "roundrobbin"                     # 8: no such algorithm
server  = [
  { name = "a", address = "127.0.0.1:3000", weight = 300 },   # 9: out of range
  { name = "a", address = "127.0.0.1:3001" },                 # 10: the name is taken
]
"#;

fn evenkeel(args: &[&str]) -> Output {
    Command::new(binary()).args(args).stdin(Stdio::null()).output().unwrap()
}

fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn stdout(o: &Output) -> String {
    String::from_utf8_lossy(&o.stdout).into_owned()
}

fn stderr(o: &Output) -> String {
    String::from_utf8_lossy(&o.stderr).into_owned()
}

#[test]
fn check_says_yes_and_exits_0() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "good.toml", GOOD);
    let path = path.to_str().unwrap();
    let out = evenkeel(&["check", path]);
    assert!(out.status.success(), "{out:?}");
    assert!(stdout(&out).contains("valid"), "{out:?}");
    let quiet = evenkeel(&["check", "-q", path]);
    assert!(quiet.status.success());
    assert_eq!((stdout(&quiet), stderr(&quiet)), (String::new(), String::new()));
}

#[test]
fn check_finds_ten_mistakes_in_one_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "ten.toml", TEN);
    let out = evenkeel(&["check", path.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    let text = stderr(&out);
    let wanted = ["threads", "30s", "htpp", "99999", "denny", "nowhere", "`app`", "roundrobin", "300", "\"a\""];
    for word in wanted {
        let bare = word.trim_matches(['`', '"']);
        assert!(text.contains(bare), "nothing about {word} in:\n{text}");
    }
    let quiet = evenkeel(&["check", "-q", path.to_str().unwrap()]);
    assert_eq!(quiet.status.code(), Some(1));
    assert_eq!((stdout(&quiet), stderr(&quiet)), (String::new(), String::new()));
}

#[test]
fn check_as_json_names_line_and_code_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "ten.toml", TEN);
    let out = evenkeel(&["check", "--json", path.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let list = json["diagnostics"].as_array().or(json.as_array()).unwrap_or_else(|| panic!("{json:#}"));
    let errors: Vec<_> = list.iter().filter(|d| d["severity"] == "error").collect();
    assert!(errors.len() >= 10, "{} errors in {json:#}", errors.len());
    for d in errors {
        assert!(d["line"].as_u64().is_some_and(|l| l > 1), "{d:#}");
        assert!(d["code"].as_str().is_some_and(|c| c.starts_with("EK")), "{d:#}");
        assert!(d["message"].as_str().is_some_and(|m| !m.is_empty()), "{d:#}");
    }
}

#[test]
fn check_reads_standard_input() {
    let run = |text: &str| {
        let mut child = Command::new(binary())
            .args(["check", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(run(GOOD).status.success());
    let bad = run("[listen.web]\nbnid = []\n");
    assert_eq!(bad.status.code(), Some(1));
    assert!(stderr(&bad).contains("bind"), "{}", stderr(&bad));
}

#[test]
fn strict_makes_warnings_fail() {
    let dir = tempfile::tempdir().unwrap();
    let text = GOOD.replace("server", "acl.unused = \"path_beg /x\"\nserver");
    let path = file(dir.path(), "warn.toml", &text);
    let path = path.to_str().unwrap();
    let lax = evenkeel(&["check", path]);
    assert!(lax.status.success(), "{}", stderr(&lax));
    assert!(stderr(&lax).contains("unused"), "{}", stderr(&lax));
    assert_eq!(evenkeel(&["check", "--strict", path]).status.code(), Some(1));
}

#[test]
fn check_of_a_file_that_is_not_there() {
    let out = evenkeel(&["check", "/nowhere/evenkeel.toml"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains("/nowhere/evenkeel.toml"), "{}", stderr(&out));
}

#[test]
fn explain_knows_every_code_it_lists() {
    let list = stdout(&evenkeel(&["explain"]));
    let codes: Vec<&str> = list.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert!(codes.len() > 10, "{list}");
    for code in codes {
        let out = evenkeel(&["explain", code]);
        assert!(out.status.success() && stdout(&out).starts_with(code), "{code}: {out:?}");
    }
    let unknown = evenkeel(&["explain", "EK9999"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("EK9999"));
}

#[test]
fn what_is_printed_for_other_programs_is_whole() {
    let schema: serde_json::Value = serde_json::from_slice(&evenkeel(&["schema"]).stdout).unwrap();
    assert!(schema["properties"]["frontend"].is_object() || schema["$defs"].is_object(), "{schema:#}");
    assert!(stdout(&evenkeel(&["completions", "bash"])).contains("complete"));
    assert!(stdout(&evenkeel(&["man"])).contains(".TH"));
}

#[test]
fn version_in_its_spellings() {
    let short = stdout(&evenkeel(&["version"]));
    assert!(short.starts_with("evenkeel "), "{short}");
    assert_eq!(stdout(&evenkeel(&["-v"])), short);
    assert!(stdout(&evenkeel(&["-vv"])).len() > short.len());
}

#[test]
fn help_is_for_a_person() {
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["reload", "--help"],
        &["errors", "--help"],
        &["explain", "--help"],
        &["test", "--help"],
        &["why", "--help"],
        &["demo", "--help"],
    ] {
        let out = evenkeel(args);
        assert!(out.status.success() && stdout(&out).contains("Usage:"), "{args:?}: {out:?}");
    }
    let unknown = evenkeel(&["serve"]);
    assert_eq!(unknown.status.code(), Some(2));
}

/// Every failure to start is one sentence on standard error that names the thing, and exit status 1.
fn one_sentence(out: &Output, words: &[&str]) {
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let text = stderr(out);
    let last = text.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("evenkeel: "), "{text}");
    for word in words {
        assert!(last.contains(word), "nothing about {word:?} in {last:?}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn run_on_a_taken_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let text = format!("[listen.web]\nbind = [\"{addr}\"]\nserver = [\"127.0.0.1:3000\"]\n");
    let path = file(dir.path(), "taken.toml", &text);
    one_sentence(&evenkeel(&["run", "-c", path.to_str().unwrap()]), &[&addr, "in use"]);
}

#[test]
fn run_on_a_taken_admin_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[global]\nadmin = {{ listen = \"{addr}\" }}\n\n[listen.web]\nbind = [\"127.0.0.1:0\"]\nserver = [\"127.0.0.1:3000\"]\n"
    );
    let text = text.replace("127.0.0.1:0\"", &format!("{}\"", evenkeel_testkit::free_port()));
    let path = file(dir.path(), "taken.toml", &text);
    one_sentence(&evenkeel(&["run", "-c", path.to_str().unwrap()]), &[&addr, "in use"]);
}

#[test]
fn run_on_an_address_of_another_machine() {
    let dir = tempfile::tempdir().unwrap();
    let path =
        file(dir.path(), "far.toml", "[listen.web]\nbind = [\"192.0.2.1:8080\"]\nserver = [\"127.0.0.1:3000\"]\n");
    one_sentence(&evenkeel(&["run", "-c", path.to_str().unwrap()]), &["192.0.2.1:8080"]);
}

#[test]
fn run_without_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    if Path::new("/etc/evenkeel/evenkeel.toml").exists() {
        eprintln!("this machine has /etc/evenkeel/evenkeel.toml: nothing to see");
        return;
    }
    let out = Command::new(binary()).arg("run").current_dir(dir.path()).stdin(Stdio::null()).output().unwrap();
    one_sentence(&out, &["evenkeel.toml", "-c"]);
}

#[test]
fn run_on_a_file_that_is_not_there() {
    let out = evenkeel(&["run", "-c", "/nowhere/evenkeel.toml"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains("/nowhere/evenkeel.toml"), "{}", stderr(&out));
}

#[test]
fn run_on_a_broken_file_shows_where() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "ten.toml", TEN);
    let out = evenkeel(&["run", "-c", path.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains("ten.toml:3") && stderr(&out).contains("EK"), "{}", stderr(&out));
}

#[test]
fn nobody_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("no.pid");
    let gone = gone.to_str().unwrap();
    for command in ["reload", "errors", "why"] {
        one_sentence(&evenkeel(&[command, "--pid-file", gone]), &[gone]);
        one_sentence(&evenkeel(&[command, "--socket", gone]), &[gone]);
    }
    // A pid far beyond what the kernel hands out.
    let stale = file(dir.path(), "stale.pid", "4194304999\n");
    one_sentence(&evenkeel(&["reload", "--pid-file", stale.to_str().unwrap()]), &[]);
}
