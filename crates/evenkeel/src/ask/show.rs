//! A walk as text for a person: one screen for a usual configuration, every sample with `-v`.

use std::fmt::Write as _;

use super::walk::{Considered, Rule, Stage, Walk};
use super::why::Past;

/// How it is printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Colours, for a terminal.
    pub color: bool,
    /// Rules that did not match are shown with what they saw, servers with their numbers, messages with all fields.
    pub verbose: bool,
}

impl Style {
    /// For standard output: colours on a terminal unless `NO_COLOR` is set.
    pub fn of_stdout(verbose: bool) -> Style {
        use std::io::IsTerminal;
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style { color: std::io::stdout().is_terminal() && !plain, verbose }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self.color {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    /// Green or red.
    pub fn good(self, good: bool, text: &str) -> String {
        self.paint(if good { "32" } else { "31" }, text)
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn mark(self, held: bool) -> String {
        match held {
            true => self.paint("32", "\u{2713}"),
            false => self.paint("2", "\u{2717}"),
        }
    }
}

/// The whole walk.
pub fn text(walk: &Walk, style: Style) -> String {
    let mut out = String::new();
    path(walk, style, &mut out);
    outcome(walk, style, &mut out);
    out
}

/// The way of a request.
fn path(walk: &Walk, style: Style, out: &mut String) {
    let request = &walk.request;
    let line = match request.method.is_empty() {
        true => "a TCP connection".to_owned(),
        false => format!("{} {}", request.method, url(walk)),
    };
    let src = request.src.as_ref().map_or_else(String::new, |src| format!(" from {src}"));
    let dst = request.dst.as_ref().map_or_else(String::new, |dst| format!(" to {dst}"));
    put(out, 0, &format!("{}{src}{dst} at {}", style.bold(&safe(&line)), request.time));
    if style.verbose {
        request.headers.iter().for_each(|(name, value)| put_field(name, value, style, out));
    }
    let bind = &walk.bind;
    let address = bind.address.as_ref().map_or_else(String::new, |address| format!(", bind {address}"));
    put(out, 0, &format!("frontend {}{address}  {}", style.bold(&bind.frontend), style.dim(&bind.place)));
    // The rules before the backend was chosen, those between that and the server, and those on the answer.
    let chosen = walk.backend.as_ref().map_or(usize::MAX, |back| back.stages_before);
    let (before, after) = walk.stages.split_at(chosen.min(walk.stages.len()));
    let (between, response): (Vec<&Stage>, Vec<&Stage>) = after.iter().partition(|stage| !on_response(stage));
    before.iter().for_each(|stage| put_stage(stage, style, out));
    backend(walk, style, out);
    between.into_iter().for_each(|stage| put_stage(stage, style, out));
    servers(walk, style, out);
    sent(walk, style, out);
    response.into_iter().for_each(|stage| put_stage(stage, style, out));
    answer(walk, style, out);
    for tracked in &walk.tracked {
        let values: Vec<String> = tracked.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let of = format!("sc{} tracks {} in table {}", tracked.counter, tracked.key, tracked.table);
        put(out, 0, &style.dim(&safe(format!("{of}: {}", values.join(" ")).trim_end_matches([':', ' ']))));
    }
}

fn put_field(name: &str, value: &str, style: Style, out: &mut String) {
    put(out, 4, &style.dim(&safe(&format!("{name}: {value}"))));
}

fn url(walk: &Walk) -> String {
    let host = walk.request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    match host {
        Some((_, host)) if walk.request.target.starts_with('/') => {
            format!("{}://{host}{}", if walk.request.tls { "https" } else { "http" }, walk.request.target)
        }
        _ => walk.request.target.clone(),
    }
}

fn put(out: &mut String, indent: usize, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:indent$}{line}", "");
}

/// What a request brings, without what could steer a terminal.
fn safe(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "?")
}

fn put_stage(stage: &Stage, style: Style, out: &mut String) {
    put(out, 2, &format!("{} {}", stage.keyword, style.dim(&format!("({})", stage.section))));
    for rule in &stage.rules {
        put_rule(rule, style, out);
    }
    if stage.not_reached > 0 {
        put(out, 4, &style.dim(&format!("and {} rule(s) behind it, not reached", stage.not_reached)));
    }
}

fn put_rule(rule: &Rule, style: Style, out: &mut String) {
    let text = safe(&rule.text);
    let text = if rule.held { text } else { style.dim(&text) };
    put(out, 4, &format!("{} {}  {text}", style.mark(rule.held), style.dim(&rule.place)));
    if let Some(now) = rule.now {
        let line = format!("then {}, now {now}: the live numbers it looks at have changed", rule.held);
        put(out, 8, &style.paint("33", &line));
    }
    if rule.held || style.verbose || rule.now.is_some() {
        for test in &rule.tests {
            let saw: Vec<String> =
                test.saw.iter().map(|saw| format!("{} {}", saw.sample, values(&saw.values))).collect();
            let saw = if saw.is_empty() { String::new() } else { format!(": {}", saw.join("; ")) };
            let holds = if test.held { "holds" } else { "does not hold" };
            put(out, 8, &style.dim(&safe(&format!("{} {holds}{saw}", test.acl))));
        }
    }
    for did in &rule.did {
        put(out, 8, &format!("\u{2192} {}", safe(did)));
    }
}

fn values(values: &[String]) -> String {
    match values {
        [] => "is undefined".to_owned(),
        [one] => format!("is {one:?}"),
        many => format!("is {many:?}"),
    }
}

fn backend(walk: &Walk, style: Style, out: &mut String) {
    if let Some(back) = &walk.backend {
        let line = format!("backend {} {}  {}", style.bold(&back.name), style.dim(&back.place), back.why);
        put(out, 0, &line);
    }
}

fn servers(walk: &Walk, style: Style, out: &mut String) {
    let Some(choice) = &walk.servers else { return };
    let head = match (&choice.chosen, choice.any_of.len(), choice.waits) {
        (Some(one), ..) => format!("server {}", style.bold(one)),
        (None, 0, true) => "no free server".to_owned(),
        (None, 0, false) => "no server".to_owned(),
        (None, ..) => format!("server {}", style.bold(&format!("any of {}", choice.any_of.join(", ")))),
    };
    let to = choice.destination.as_ref().map_or_else(String::new, |to| format!(" at {to}"));
    put(out, 0, &format!("{head}{to} ({}): {}", choice.algorithm, choice.why));
    for server in &choice.considered {
        put_server(server, style, out);
    }
}

fn put_server(server: &Considered, style: Style, out: &mut String) {
    let numbers = match style.verbose || server.sessions > 0 || server.queued > 0 {
        false => String::new(),
        true => {
            let limit = if server.maxconn == 0 { String::new() } else { format!(" of {}", server.maxconn) };
            format!(" [{} in flight{limit}, {} waiting, weight {}]", server.sessions, server.queued, server.weight)
        }
    };
    // A server that was written as a bare address is named by it.
    let address = if server.name == server.address { String::new() } else { format!(" {}", server.address) };
    let line = format!("{}{address}", server.name);
    put(
        out,
        4,
        &format!("{} {line}  {}{}", style.mark(server.possible), style.dim(&safe(&server.why)), style.dim(&numbers)),
    );
}

/// Whether the rules are on a response.
pub fn on_response(stage: &Stage) -> bool {
    matches!(stage.keyword.as_str(), "tcp-response.content" | "http-response" | "http-after-response")
}

fn sent(walk: &Walk, style: Style, out: &mut String) {
    if let Some(sent) = &walk.sent {
        put(out, 0, &format!("the server gets {}", style.bold(&safe(&format!("{} {}", sent.method, sent.target)))));
        sent.headers.iter().for_each(|(name, value)| put_field(name, value, style, out));
    }
}

fn answer(walk: &Walk, style: Style, out: &mut String) {
    if let Some(answer) = &walk.answer {
        let by = if answer.by == "server" { "from the server" } else { "from Evenkeel" };
        let status = format!("{} {}", answer.status, safe(&answer.reason));
        put(out, 0, &format!("the client gets {}, {by}", style.bold(status.trim_end())));
        answer.headers.iter().for_each(|(name, value)| put_field(name, value, style, out));
        if !answer.body.is_empty() {
            let lines: Vec<&str> = answer.body.lines().collect();
            for line in lines.iter().take(if style.verbose { usize::MAX } else { 3 }) {
                put(out, 4, &style.dim(&format!("| {}", safe(line))));
            }
            if answer.cut || (!style.verbose && lines.len() > 3) {
                put(out, 4, &style.dim("| ..."));
            }
        }
    }
}

fn outcome(walk: &Walk, style: Style, out: &mut String) {
    let outcome = &walk.outcome;
    let place = outcome.place.as_ref().map_or_else(String::new, |place| format!(" ({place})"));
    let code = outcome.code.as_ref().map_or_else(String::new, |code| format!(" [{code}]"));
    let word = style.good(outcome.code.is_none(), &outcome.action);
    put(out, 0, &format!("outcome: {word}: {}{place}{code}", outcome.sentence));
    if let Some(next) = outcome.next_step.as_ref().filter(|next| *next != "nothing") {
        put(out, 4, &style.dim(&format!("next: {next}")));
    }
    for note in &walk.notes {
        put(out, 0, &style.dim(&format!("note: {}", safe(note))));
    }
}

/// A past request.
pub fn past(past: &Past, style: Style) -> String {
    let mut out = String::new();
    let what = if past.walk.request.method.is_empty() { "connection" } else { "request" };
    let force = if past.in_force { "in force" } else { "no longer in force" };
    put(
        &mut out,
        0,
        &format!("{what} {}, served under generation {} ({force})", style.bold(&safe(&past.id)), past.generation),
    );
    path(&past.walk, style, &mut out);
    if let Some(answer) = &past.walk.received {
        let status = format!("{} {}", answer.status, safe(&answer.reason));
        put(&mut out, 0, &format!("the server answered {}", style.bold(status.trim_end())));
        answer.headers.iter().for_each(|(name, value)| put_field(name, value, style, &mut out));
    }
    let mut tried = past.tried.as_slice();
    while let Some(first) = tried.first() {
        let times = tried.iter().take_while(|other| *other == first).count();
        tried = &tried[times..];
        let often = if times > 1 { format!(" {times} times") } else { String::new() };
        put(&mut out, 0, &format!("tried {}{often}: {} ({})", style.bold(&first.server), first.sentence, first.code));
    }
    let tcp = past.walk.request.method.is_empty();
    let word = if tcp { "to" } else { "from" };
    let server = past.server.as_deref().map_or_else(String::new, |server| format!(" {word} server {server}"));
    let phrase = if past.phrase.is_empty() { String::new() } else { format!(" {}", safe(&past.phrase)) };
    let status = match past.status {
        Some(status) => format!("status {status}{phrase}"),
        None if tcp => "TCP".to_owned(),
        None => "no answer".to_owned(),
    };
    let retries = if past.retries == 0 { String::new() } else { format!(", {} retries", past.retries) };
    put(&mut out, 0, &format!("{}{server}{retries}", style.bold(&status)));
    for one in &past.walk.captured {
        let what = one.field.clone().unwrap_or_else(|| format!("slot {}", one.slot));
        put(&mut out, 4, &style.dim(&safe(&format!("captured of the {}: {what} = {}", one.of, one.value))));
    }
    let t = past.times_ms;
    let times = [
        ("request", t.request),
        ("queue", t.queue),
        ("connect", t.connect),
        ("response", t.response),
        ("total", t.total),
    ];
    let times = times.iter().filter(|(_, ms)| *ms >= 0).map(|(name, ms)| format!("{name} {ms} ms"));
    let times = times.collect::<Vec<_>>().join(", ");
    put(&mut out, 0, &format!("times: {times}; {} bytes in, {} bytes out", past.bytes_in, past.bytes_out));
    outcome(&past.walk, style, &mut out);
    out
}

/// Past requests, one line each.
pub fn list(all: &[Past], style: Style) -> String {
    let mut out = String::new();
    for past in all {
        let walk = &past.walk;
        let status = past.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let backend = walk.backend.as_ref().map_or("-", |back| &back.name);
        let server = past.server.as_deref().unwrap_or("-");
        let asked = match (walk.request.method.is_empty(), &walk.request.src) {
            (false, _) => safe(&format!("{} {}", walk.request.method, url(walk))),
            (true, Some(src)) => format!("TCP from {src}"),
            (true, None) => "TCP".to_owned(),
        };
        let reason = walk.outcome.reason.as_deref().map_or_else(String::new, |reason| {
            format!("  {} {reason}", walk.outcome.code.as_deref().unwrap_or_default())
        });
        put(
            &mut out,
            0,
            &format!(
                "{}  {}  {status}  {asked}  {}/{backend}/{server}  {} ms{}",
                style.bold(&safe(&past.id)),
                walk.request.time,
                walk.bind.frontend,
                past.times_ms.total,
                style.good(false, &reason)
            ),
        );
    }
    out
}
