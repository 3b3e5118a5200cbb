//! The `[[test]]` blocks of a configuration: each request through the engine, and what became of it against what is expected.
//!
//! Called by `evenkeel test`, `evenkeel check --strict` and, with `global.test-before-reload`, before a reload.

use std::fmt::Write as _;

use evenkeel_config::{Config, Expected, ExpectedAction, ExpectedField, Test};
use serde::Serialize;

use super::show::{self, Style};
use super::walk::Walk;
use super::{Given, Question, Told, simulate};

/// What came of all tests.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Tests that held.
    pub passed: usize,
    /// Tests that did not.
    pub failed: usize,
    /// Each test, in file order.
    pub tests: Vec<Verdict>,
}

/// What came of one test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// `file:line`.
    pub place: String,
    /// Whether all that is expected held.
    pub ok: bool,
    /// What did not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Mismatch>,
    /// The path of its request, when something did not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walk: Option<Walk>,
}

/// Something that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The key under `expect`.
    pub what: String,
    /// What is expected.
    pub expected: String,
    /// What was.
    pub got: String,
}

/// Runs the tests of these names, or all.
pub fn run(config: &Config, names: &[String]) -> Report {
    let wanted = |test: &&Test| names.is_empty() || names.iter().any(|name| *name == *test.name);
    let mut report = Report::default();
    for test in config.tests.iter().filter(wanted) {
        let (walk, failures) = one(config, test);
        let ok = failures.is_empty();
        *(if ok { &mut report.passed } else { &mut report.failed }) += 1;
        report.tests.push(Verdict {
            name: test.name.to_string(),
            place: test.place.to_string(),
            ok,
            failures,
            walk: walk.filter(|_| !ok),
        });
    }
    report
}

/// Runs all tests before a reload.
///
/// # Errors
/// The failures, each with the walk of its request.
pub fn must_hold(config: &Config) -> Result<(), String> {
    let report = run(config, &[]);
    match report.failed {
        0 => Ok(()),
        _ => Err(format!("a test of the new configuration does not hold\n{}", report.text(Style::default(), true))),
    }
}

fn one(config: &Config, test: &Test) -> (Option<Walk>, Vec<Mismatch>) {
    let mut given = Given::new(config);
    let walk = given
        .tell(config, &Told::of_test(config, &test.given))
        .and_then(|()| simulate(config, &Question::of_test(&test.request), &given));
    match walk {
        Ok(walk) => {
            let failures = compare(config, &test.expect, &walk);
            (Some(walk), failures)
        }
        Err(why) => {
            let expected = "a request that can be described".to_owned();
            (None, vec![Mismatch { what: "request".to_owned(), expected, got: why }])
        }
    }
}

/// What does not hold.
fn compare(config: &Config, expect: &Expected, walk: &Walk) -> Vec<Mismatch> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, holds: bool, expected: &str, got: &str| {
        if !holds {
            wrong.push(Mismatch { what: what.to_owned(), expected: expected.to_owned(), got: got.to_owned() });
        }
    };
    if let Some(backend) = &expect.backend {
        let got = walk.backend.as_ref().map_or("none", |back| &back.name);
        check("backend", got == &**backend, backend, got);
    }
    if !expect.server.is_empty() {
        let any_of: &[String] = walk.servers.as_ref().map_or(&[], |choice| &choice.any_of);
        // Turns and chance must not decide whether a test holds: whichever server it may be must be an expected one.
        let holds = !any_of.is_empty() && any_of.iter().all(|got| expect.server.iter().any(|name| **name == **got));
        let got = match any_of {
            [] if walk.servers.as_ref().is_some_and(|choice| choice.waits) => "none: it waits in the queue".to_owned(),
            [] => "none".to_owned(),
            [one] => one.clone(),
            many => format!("any of {}", many.join(", ")),
        };
        check("server", holds, &expect.server.join(" or "), &got);
    }
    if let Some(destination) = expect.destination {
        let wanted = destination.to_string();
        let got = walk.servers.as_ref().and_then(|choice| choice.destination.as_deref()).unwrap_or("none");
        check("destination", got == wanted, &wanted, got);
    }
    if let Some(action) = expect.action {
        let word = action_word(action);
        check("action", walk.outcome.action == word, word, &walk.outcome.action);
    }
    let answer = walk.answer.as_ref();
    if let Some(status) = expect.status {
        let got = answer.map(|answer| answer.status);
        let text = got.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        check("status", got == Some(status), &status.to_string(), &text);
    }
    let none = Vec::new();
    fields("header", &expect.headers, answer.map_or(&none, |answer| &answer.headers), &mut check);
    if let Some(body) = &expect.body {
        let holds = answer.is_some_and(|answer| contains(&answer.whole, body.as_bytes()));
        let got = answer.map_or_else(|| "no answer".to_owned(), |answer| format!("{:?}", answer.body));
        check("body", holds, &format!("a body with {body:?}"), &got);
    }
    if let Some(wanted) = &expect.sent {
        let sent = walk.sent.as_ref();
        for (what, wanted, got) in [
            ("sent.method", &wanted.method, sent.map(|sent| &sent.method)),
            ("sent.url", &wanted.target, sent.map(|sent| &sent.target)),
        ] {
            if let Some(wanted) = wanted {
                let got = got.map_or("nothing is sent", String::as_str);
                check(what, got == &**wanted, wanted, got);
            }
        }
        fields("sent.header", &wanted.headers, sent.map_or(&none, |sent| &sent.headers), &mut check);
    }
    for text in &expect.log {
        let got = walk.log.as_ref().map_or_else(|| "no line".to_owned(), |line| format!("{line:?}"));
        let holds = walk.log.as_ref().is_some_and(|line| line.contains(&**text));
        check("log", holds, &format!("a line with {text:?}"), &got);
    }
    for wanted in &expect.tracked {
        let table = &*config.tables[wanted.table].name;
        let what = format!("tracked.{table}");
        let found = walk.tracked.iter().find(|entry| entry.table == table && entry.key == *wanted.key);
        let Some(found) = found else {
            let keys: Vec<&str> =
                walk.tracked.iter().filter(|entry| entry.table == table).map(|entry| &*entry.key).collect();
            let got = if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
            check(&what, false, &wanted.key, &got);
            continue;
        };
        for (name, value) in &wanted.data {
            let got = found.values.iter().find(|(known, _)| **known == **name).map(|(_, value)| *value);
            let text = got.map_or_else(|| "nothing".to_owned(), |got| got.to_string());
            check(&format!("{what}.{name}"), got == Some(*value), &value.to_string(), &text);
        }
    }
    wrong
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted)
}

fn fields(
    what: &str,
    expected: &[(std::sync::Arc<str>, ExpectedField)],
    headers: &[(String, String)],
    check: &mut impl FnMut(&str, bool, &str, &str),
) {
    for (name, wanted) in expected {
        let lines: Vec<&str> =
            headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect();
        let got = match lines[..] {
            [] => "no such field".to_owned(),
            [one] => format!("{one:?}"),
            _ => format!("{lines:?}"),
        };
        let what = format!("{what}.{name}");
        match wanted {
            ExpectedField::Is(value) => check(&what, lines.contains(&&**value), &format!("{value:?}"), &got),
            ExpectedField::Present => check(&what, !lines.is_empty(), "the field", &got),
            ExpectedField::Absent => check(&what, lines.is_empty(), "no such field", &got),
        }
    }
}

fn action_word(action: ExpectedAction) -> &'static str {
    match action {
        ExpectedAction::Forward => "forward",
        ExpectedAction::Deny => "deny",
        ExpectedAction::Tarpit => "tarpit",
        ExpectedAction::Auth => "auth",
        ExpectedAction::Redirect => "redirect",
        ExpectedAction::Return => "return",
        ExpectedAction::Reject => "reject",
        ExpectedAction::SilentDrop => "silent-drop",
    }
}

impl Report {
    /// For a person; `failures_only` leaves out those that held.
    pub fn text(&self, style: Style, failures_only: bool) -> String {
        let mut out = String::new();
        for test in &self.tests {
            // Writing to a string cannot fail.
            if test.ok {
                if !failures_only {
                    let _ = writeln!(out, "{}      {}", style.good(true, "ok"), test.name);
                }
                continue;
            }
            let _ = writeln!(out, "{}  {} ({})", style.good(false, "FAILED"), test.name, test.place);
            for failure in &test.failures {
                let _ = writeln!(out, "    {}: expected {}, got {}", failure.what, failure.expected, failure.got);
            }
            let trace = test.walk.as_ref().map(|walk| show::text(walk, style)).unwrap_or_default();
            for line in trace.lines() {
                let _ = writeln!(out, "      {line}");
            }
        }
        let _ = writeln!(out, "{} test(s): {} ok, {} failed", self.tests.len(), self.passed, self.failed);
        out
    }
}
