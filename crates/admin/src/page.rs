//! The stats page.
//!
//! Owns: the model behind `templates/page.html`, and [`render`]. The model holds finished texts, so that the template
//! only places them; askama escapes every one. What the page must do: say within two seconds what is wrong (banners,
//! then the problem strip), show every number of every object below, work without script, on a phone, in the dark.
//!
//! Never: an asset from elsewhere; style and script are inline, so the page opens when nothing else on the network does.

use std::fmt::Write;
use std::time::Duration;

use askama::Template;

use crate::human;
use crate::problems::{Problem, Severity, problems};
use crate::view::{
    BackendView, FrontendView, Mode, ProcessView, ProxyView, Rate, ResponsesView, ServerState, ServerView, TrafficView,
    View,
};

/// Rows of one proxy that are always written; of what comes on top only rows with a problem are, unless asked for.
pub const ROWS_PER_PROXY: usize = 500;

/// What the reader asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Time between two refreshes; `None` = none configured.
    pub refresh: Option<Duration>,
    /// The reader paused the refresh (`norefresh`).
    pub paused: bool,
    /// Only what contains this text (`q=` or HAProxy's `scope=`); empty = everything.
    pub filter: String,
    /// Every row, however many (`all`).
    pub all: bool,
}

/// The page for `view`.
pub fn render(view: &View, options: &Options) -> String {
    let page = Page::new(view, options);
    page.render().expect("writing to a String cannot fail")
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    p: &'a ProcessView,
    title: String,
    icon: &'static str,
    refresh: Option<u64>,
    paused: bool,
    filter: &'a str,
    /// The query string that keeps the filter when the refresh is paused or resumed.
    keep: String,
    now: String,
    uptime: String,
    uptime_haproxy: String,
    started: String,
    reload: String,
    reload_error: Option<(String, &'a str)>,
    tiles: Vec<Tile>,
    problems: Vec<Line>,
    notices: Vec<Line>,
    calm: String,
    sections: Vec<Section<'a>>,
}

struct Tile {
    label: &'static str,
    value: String,
    note: String,
    fill: Option<u64>,
    spark: String,
    class: &'static str,
}

struct Line {
    class: &'static str,
    icon: &'static str,
    state: String,
    object: String,
    anchor: String,
    detail: String,
    since: String,
}

struct Section<'a> {
    name: &'a str,
    kind: &'static str,
    mode: &'static str,
    notes: Vec<String>,
    rows: Vec<Row>,
    left_out: Option<String>,
    hidden: bool,
}

/// One row; empty texts leave their place empty.
#[derive(Default)]
struct Row {
    id: String,
    kind: &'static str,
    name: String,
    sub: String,
    tag: &'static str,
    class: &'static str,
    icon: &'static str,
    state: String,
    since: String,
    sessions: Cell,
    fill: Option<u64>,
    rate: Cell,
    spark: String,
    total: Cell,
    bar: Vec<(&'static str, String)>,
    bar_text: String,
    bytes: Cell,
    errors: Vec<Count>,
    retries: Vec<Count>,
    queue: Cell,
    times: Cell,
    weight: Cell,
    check: Cell,
    check_note: String,
    down: Cell,
    hidden: bool,
}

/// A number and the small print below it.
#[derive(Default)]
struct Cell {
    main: String,
    note: String,
    alarm: bool,
}

/// A named count that draws the eye when it is not zero.
struct Count {
    name: &'static str,
    value: String,
    zero: bool,
}

impl<'a> Page<'a> {
    fn new(view: &'a View, options: &'a Options) -> Page<'a> {
        let p = &view.process;
        let filter = options.filter.trim();
        let (notices, problems): (Vec<_>, Vec<_>) =
            problems(view).into_iter().partition(|p| p.severity == Severity::Notice);
        let bad = problems.iter().filter(|p| p.severity <= Severity::Down).count();
        let reload_error = p.last_reload.as_ref().and_then(|r| {
            let ago = human::duration(p.time_unix.saturating_sub(r.at_unix));
            Some((ago, r.error.as_deref()?))
        });
        let icon = match (bad, problems.is_empty() && reload_error.is_none() && !p.draining) {
            (0, true) => "%232da44e",
            (0, false) => "%23d29922",
            _ => "%23e5484d",
        };
        let mut keep = String::new();
        if !filter.is_empty() {
            let _ = write!(keep, "&q={}", escape_query(filter));
        }
        if options.all {
            keep.push_str("&all");
        }
        Page {
            style: include_str!("../templates/page.css"),
            script: include_str!("../templates/page.js"),
            p,
            title: match bad {
                0 => format!("Evenkeel {}", p.node),
                n => format!("({n}) Evenkeel {}", p.node),
            },
            icon,
            refresh: options.refresh.filter(|_| !options.paused).map(|d| d.as_secs().max(1)),
            paused: options.paused && options.refresh.is_some(),
            filter,
            keep,
            now: human::timestamp(p.time_unix),
            uptime: human::duration(p.uptime_seconds),
            uptime_haproxy: human::haproxy_uptime(p.uptime_seconds),
            started: human::timestamp(p.started_unix),
            reload: reload_text(p),
            reload_error,
            tiles: tiles(view),
            calm: calm_text(view),
            problems: problems.into_iter().map(line).collect(),
            notices: notices.into_iter().map(line).collect(),
            sections: view.proxies.iter().map(|p| section(p, filter, options.all)).collect(),
        }
    }
}

fn reload_text(p: &ProcessView) -> String {
    match &p.last_reload {
        None => "no reload yet".into(),
        Some(r) => {
            let ago = human::duration(p.time_unix.saturating_sub(r.at_unix));
            let how = if r.error.is_some() { "failed" } else { "succeeded" };
            format!("last reload {how} {ago} ago")
        }
    }
}

fn calm_text(view: &View) -> String {
    let servers = || view.proxies.iter().flat_map(|p| &p.servers);
    let checked = servers().filter(|s| s.check.is_some() && s.state() == ServerState::Up).count();
    match (servers().count(), checked) {
        (0, _) => "No server is configured.".into(),
        (_, 0) => "Nothing known to be wrong; no server has a health check.".into(),
        (_, n) => format!("All well. {} up by their health checks.", human::plural(n, "server")),
    }
}

fn tiles(view: &View) -> Vec<Tile> {
    let p = &view.process;
    let mut states = [0usize; 4];
    for s in view.proxies.iter().flat_map(|p| &p.servers) {
        let at = match s.state() {
            ServerState::Up | ServerState::GoingDown | ServerState::NoCheck => 0,
            ServerState::Down | ServerState::GoingUp => 1,
            ServerState::Drain => 2,
            ServerState::Maint => 3,
        };
        states[at] += 1;
    }
    let [up, down, drain, maint] = states;
    let mut rest = vec![];
    for (n, word) in [(drain, "draining"), (maint, "in maintenance")] {
        if n > 0 {
            rest.push(format!("{n} {word}"));
        }
    }
    let limit = match p.maxconn {
        0 => "no limit".into(),
        n => format!("of {} allowed", human::grouped(n.into())),
    };
    let reload_failed = p.last_reload.as_ref().is_some_and(|r| r.error.is_some());
    let live = match p.generations_live {
        0 | 1 => String::new(),
        n => format!("{n} in memory · "),
    };
    vec![
        Tile {
            label: "Servers",
            value: if down == 0 { format!("{up} up") } else { format!("{down} down, {up} up") },
            note: if rest.is_empty() { "none in maintenance".into() } else { rest.join(", ") },
            fill: None,
            spark: String::new(),
            class: if down == 0 { "" } else { "bad" },
        },
        Tile {
            label: "Connections",
            value: human::grouped(p.connections.into()),
            note: limit,
            fill: fill(p.connections, p.maxconn),
            spark: String::new(),
            class: "",
        },
        Tile {
            label: "Requests/s",
            value: human::grouped(p.request_rate.now.into()),
            note: format!(
                "peak {} · {} in all",
                human::count(p.request_rate.max.into()),
                human::count(p.requests_total)
            ),
            fill: None,
            spark: human::spark_path(&p.request_rate.history),
            class: "",
        },
        Tile {
            label: "New connections/s",
            value: human::grouped(p.connection_rate.now.into()),
            note: format!(
                "peak {} · {} in all",
                human::count(p.connection_rate.max.into()),
                human::count(p.connections_total)
            ),
            fill: None,
            spark: human::spark_path(&p.connection_rate.history),
            class: "",
        },
        Tile {
            label: "To clients",
            value: format!("{}/s", human::bytes(p.bytes_out_rate.now.into())),
            note: format!("{} out · {} in", human::bytes(p.bytes_out), human::bytes(p.bytes_in)),
            fill: None,
            spark: human::spark_path(&p.bytes_out_rate.history),
            class: "",
        },
        Tile {
            label: "Configuration",
            value: format!("generation {}", p.generation),
            note: format!("{live}{}", reload_text(p)),
            fill: None,
            spark: String::new(),
            class: if reload_failed { "bad" } else { "" },
        },
    ]
}

fn line(p: Problem) -> Line {
    let icon = match p.severity {
        Severity::Critical => "\u{25b2}",
        Severity::Down => "\u{25bc}",
        Severity::Warning => "\u{25d0}",
        Severity::Notice => "\u{25a0}",
    };
    Line {
        class: p.severity.word(),
        icon,
        object: p.object(),
        anchor: match &p.server {
            Some(server) => row_id(&p.proxy, server),
            None => row_id(&p.proxy, ""),
        },
        state: p.state,
        detail: p.detail,
        since: p.since_seconds.map(human::duration).unwrap_or_default(),
    }
}

fn section<'a>(p: &'a ProxyView, filter: &str, all: bool) -> Section<'a> {
    let mut notes = Vec::new();
    if let Some(f) = &p.frontend {
        notes.push(f.binds.join("  "));
    }
    if let Some(b) = &p.backend {
        notes.push(format!("balance {}", b.algorithm));
    }
    let mut rows = Vec::new();
    let mut left_out = 0;
    rows.extend(p.frontend.as_ref().map(|f| frontend_row(p, f)));
    for s in &p.servers {
        let quiet = matches!(s.state(), ServerState::Up | ServerState::NoCheck);
        if all || rows.len() < ROWS_PER_PROXY || !quiet {
            rows.push(server_row(p, s));
        } else {
            left_out += 1;
        }
    }
    rows.extend(p.backend.as_ref().map(|b| backend_row(p, b)));
    let whole = matches(filter, [&*p.name]);
    for row in &mut rows {
        row.hidden = !whole && !matches(filter, [row.name.as_str(), row.sub.as_str(), row.state.as_str()]);
    }
    let hidden = rows.iter().all(|r| r.hidden) && !rows.is_empty();
    Section {
        name: &p.name,
        kind: match (p.listen, &p.backend) {
            (true, _) => "listen",
            (false, Some(_)) => "backend",
            (false, None) => "frontend",
        },
        mode: p.mode.word(),
        notes,
        rows,
        left_out: (left_out > 0).then(|| format!("{} without a problem", human::plural(left_out, "more server"))),
        hidden,
    }
}

fn matches<const N: usize>(filter: &str, texts: [&str; N]) -> bool {
    let filter = filter.to_lowercase();
    filter.is_empty() || texts.iter().any(|t| t.to_lowercase().contains(&filter))
}

fn frontend_row(p: &ProxyView, f: &FrontendView) -> Row {
    let http = p.mode == Mode::Http;
    let busy = if http { &f.request_rate } else { &f.connection_rate };
    let full = f.sessions_limit > 0 && f.sessions >= f.sessions_limit;
    let (bar, bar_text) = class_bar(&f.responses);
    Row {
        id: if p.backend.is_none() { row_id(&p.name, "") } else { row_id(&p.name, "FRONTEND") },
        kind: "frontend",
        name: "Frontend".into(),
        sub: f.binds.join("  "),
        class: if f.open { "up" } else { "down" },
        icon: if f.open { "\u{25cf}" } else { "\u{25bc}" },
        state: if f.open { "OPEN".into() } else { "STOP".into() },
        sessions: sessions(f.sessions, f.sessions_max, f.sessions_limit, full),
        fill: fill(f.sessions, f.sessions_limit),
        rate: rate(busy),
        spark: human::spark_path(&busy.history),
        total: if http {
            let note = format!("{} conn", human::count(f.connections_total));
            Cell { main: human::count(f.requests_total), note, alarm: false }
        } else {
            Cell { main: human::count(f.connections_total), note: "connections".into(), alarm: false }
        },
        bar,
        bar_text,
        bytes: transfer(f.bytes_in, f.bytes_out),
        errors: vec![
            number("req", f.request_errors),
            number("denied", f.denied_requests + f.denied_responses + f.denied_connections + f.denied_sessions),
        ],
        ..Row::default()
    }
}

fn server_row(p: &ProxyView, s: &ServerView) -> Row {
    let (class, icon) = match s.state() {
        ServerState::Up => ("up", "\u{25cf}"),
        ServerState::GoingDown => ("going", "\u{25d0}"),
        ServerState::GoingUp => ("down", "\u{25d1}"),
        ServerState::Down => ("down", "\u{25bc}"),
        ServerState::Drain => ("drain", "\u{25c7}"),
        ServerState::Maint => ("maint", "\u{25a0}"),
        ServerState::NoCheck => ("nocheck", "\u{25cb}"),
    };
    let mut row = traffic_row(p, &s.traffic);
    let t = &s.traffic;
    row.sessions = sessions(t.sessions, t.sessions_max, t.sessions_limit, at_limit(t));
    row.id = row_id(&p.name, &s.name);
    row.kind = "server";
    row.name = s.name.to_string();
    row.sub = s.address.clone();
    row.tag = if s.backup { "backup" } else { "" };
    (row.class, row.icon) = (class, icon);
    row.state = s.status().into_owned();
    row.since = human::duration(s.last_change_seconds);
    row.queue.note = match s.queue_limit {
        0 => row.queue.note,
        n => format!("{} / {n}", row.queue.note),
    };
    row.weight.main = s.weight.to_string();
    row.weight.note = match s.throttle_percent {
        Some(percent) => format!("of {}, slow start {percent}%", s.user_weight),
        None if s.weight != s.user_weight => format!("of {}", s.user_weight),
        None => String::new(),
    };
    if let Some(check) = &s.check {
        row.down = downtime(s.downtime_seconds, s.down_transitions);
        match &check.last {
            _ if s.state() == ServerState::Maint => row.check.main = "paused".into(),
            None => row.check.main = "waiting for the first".into(),
            Some(r) => {
                let dots = if check.running { "\u{2026}" } else { "" };
                row.check.main = format!("{} in {}{dots}", r.word(), human::millis(r.duration_ms));
                row.check.note = if r.info.is_empty() { r.description.to_string() } else { r.info.clone() };
                row.check.alarm = Some(r) == check.last_failure.as_ref();
                row.check_note = format!(
                    "{} ago · rise {} fall {}{}",
                    human::duration(r.age_seconds),
                    check.rise,
                    check.fall,
                    if check.failures > 0 {
                        format!(" · {} failed", human::count(check.failures))
                    } else {
                        String::new()
                    }
                );
            }
        }
    } else {
        row.check.main = "not checked".into();
    }
    row
}

fn backend_row(p: &ProxyView, b: &BackendView) -> Row {
    let up = p.backend_up();
    let (active, backup) = p.usable_servers();
    let mut row = traffic_row(p, &b.traffic);
    // A backend's limit (fullconn) is no limit, only a scale, so no bar and no alarm.
    row.sessions = sessions(b.traffic.sessions, b.traffic.sessions_max, 0, false);
    row.fill = None;
    row.id = row_id(&p.name, "");
    row.kind = "backend";
    row.name = "Backend".into();
    row.sub = format!("{} of {}", active + backup, human::plural(p.servers.len(), "server"));
    (row.class, row.icon) = if up { ("up", "\u{25cf}") } else { ("down", "\u{25bc}") };
    row.state = if up { "UP".into() } else { "DOWN".into() };
    row.since = human::duration(b.last_change_seconds);
    row.errors.push(number("denied", b.denied_requests + b.traffic.denied_responses));
    row.weight.main = p.backend_weight().0.to_string();
    row.weight.note = format!("{active} act · {backup} bck");
    row.down = downtime(b.downtime_seconds, b.down_transitions);
    row
}

fn traffic_row(p: &ProxyView, t: &TrafficView) -> Row {
    let http = p.mode == Mode::Http;
    let (bar, bar_text) = class_bar(&t.responses);
    let aborts = t.client_aborts + t.server_aborts;
    Row {
        fill: fill(t.sessions, t.sessions_limit),
        rate: rate(&t.session_rate),
        spark: human::spark_path(&t.session_rate.history),
        total: Cell {
            main: human::count(t.sessions_total),
            note: match t.connects + t.reuses {
                0 => String::new(),
                all if http => format!("{}% reused", u128::from(t.reuses) * 100 / u128::from(all)),
                _ => String::new(),
            },
            alarm: false,
        },
        bar,
        bar_text,
        bytes: transfer(t.bytes_in, t.bytes_out),
        errors: vec![number("conn", t.connect_errors), number("resp", t.response_errors), number("abort", aborts)],
        retries: vec![number("retr", t.retries), number("redis", t.redispatches)],
        queue: Cell { main: t.queue.to_string(), note: format!("max {}", t.queue_max), alarm: t.queue > 0 },
        times: Cell {
            main: human::millis(if http { t.times.response_ms } else { t.times.total_ms }),
            note: format!("conn {} · queue {}", t.times.connect_ms, t.times.queue_ms),
            alarm: false,
        },
        ..Row::default()
    }
}

fn sessions(now: u32, max: u32, limit: u32, alarm: bool) -> Cell {
    let limit = if limit == 0 { String::new() } else { format!(" / {}", human::grouped(limit.into())) };
    Cell { main: human::grouped(now.into()), note: format!("max {}{limit}", human::grouped(max.into())), alarm }
}

fn at_limit(t: &TrafficView) -> bool {
    t.sessions_limit > 0 && t.sessions >= t.sessions_limit
}

fn rate(r: &Rate) -> Cell {
    Cell { main: human::grouped(r.now.into()), note: format!("max {}", human::count(r.max.into())), alarm: false }
}

fn transfer(bytes_in: u64, bytes_out: u64) -> Cell {
    Cell {
        main: format!("\u{2193} {}", human::bytes(bytes_in)),
        note: format!("\u{2191} {}", human::bytes(bytes_out)),
        alarm: false,
    }
}

fn downtime(seconds: u64, times: u64) -> Cell {
    match times {
        0 if seconds == 0 => Cell::default(),
        n => Cell { main: human::duration(seconds), note: human::plural(n as usize, "time"), alarm: false },
    }
}

fn number(name: &'static str, n: u64) -> Count {
    Count { name, value: human::count(n), zero: n == 0 }
}

fn fill(now: u32, limit: u32) -> Option<u64> {
    (limit > 0).then(|| (u64::from(now) * 100 / u64::from(limit)).min(100))
}

/// Shares of the status classes, in percent of all responses, and the numbers as text.
fn class_bar(r: &ResponsesView) -> (Vec<(&'static str, String)>, String) {
    let all = r.sum();
    if all == 0 {
        return (Vec::new(), String::new());
    }
    let classes = [
        ("c1", "1xx", r.r1xx),
        ("c2", "2xx", r.r2xx),
        ("c3", "3xx", r.r3xx),
        ("c4", "4xx", r.r4xx),
        ("c5", "5xx", r.r5xx),
    ];
    let mut bar = Vec::new();
    let mut text = Vec::new();
    for (class, word, n) in classes.into_iter().chain([("c0", "other", r.other)]).filter(|c| c.2 > 0) {
        let per_mille = u128::from(n) * 1000 / u128::from(all);
        bar.push((class, format!("{}.{}", per_mille / 10, per_mille % 10)));
        text.push(format!("{word} {}", human::count(n)));
    }
    (bar, text.join(" · "))
}

/// An id that a link can name, whatever bytes the names are made of.
fn row_id(proxy: &str, server: &str) -> String {
    let mut id = String::from("r-");
    for b in proxy.bytes().chain(*b"/").chain(server.bytes()) {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => id.push(char::from(b)),
            _ => {
                let _ = write!(id, "_{b:02x}");
            }
        }
    }
    id
}

fn escape_query(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(char::from(b)),
            _ => {
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sample;

    fn page(view: &View) -> String {
        render(view, &Options { refresh: Some(Duration::from_secs(5)), ..Options::default() })
    }

    #[test]
    fn the_reader_sees_what_is_wrong_before_any_table() {
        let html = page(&sample::view());
        let strip = html.find("class=\"problems\"").unwrap();
        assert!(strip < html.find("<table").unwrap());
        let strip = &html[strip..html.find("<table").unwrap()];
        for text in ["NO SERVER", "app/app2", "L7STS/503", "Service Unavailable", "3m 12s"] {
            assert!(strip.contains(text), "{text}");
        }
        assert!(html.contains("did you mean `balance`?"), "the reload's error is on the page");
        assert!(html.contains("<title>(3) Evenkeel lb1.example</title>"));
    }

    #[test]
    fn a_healthy_process_says_so_and_shows_no_banner() {
        let html = page(&sample::healthy());
        assert!(html.contains("All well. 9 servers up by their health checks."));
        assert!(!html.contains("banner failed") && !html.contains("banner drain"));
        assert!(html.contains("<title>Evenkeel lb1.example</title>"));
    }

    #[test]
    fn draining_is_announced() {
        let mut view = sample::healthy();
        view.process.draining = true;
        assert!(page(&view).contains("class=\"banner drain\""));
    }

    #[test]
    fn hostile_names_are_text() {
        let mut view = sample::view();
        let evil = "\" onmouseover=\"alert(1)\"><script>alert('x')</script>&amp;";
        view.proxies[1].name = evil.into();
        view.proxies[1].servers[1].name = evil.into();
        view.proxies[1].servers[1].address = evil.into();
        view.process.node = evil.into();
        let check = view.proxies[1].servers[1].check.as_mut().unwrap();
        check.last.as_mut().unwrap().info = evil.into();
        check.last_failure.as_mut().unwrap().info = evil.into();
        view.process.last_reload.as_mut().unwrap().error = Some(evil.into());
        let options = Options { filter: evil.into(), all: true, ..Options::default() };
        let html = render(&view, &options);
        assert!(!html.contains("<script>alert") && !html.contains("\" onmouseover"));
        assert_eq!(html.matches("<script").count(), 1, "the page's own");
    }

    #[test]
    fn the_refresh_pauses_and_resumes() {
        let html = page(&sample::view());
        assert!(html.contains("http-equiv=\"refresh\" content=\"5\"") && html.contains("norefresh"));
        let paused = Options { refresh: Some(Duration::from_secs(5)), paused: true, ..Options::default() };
        let html = render(&sample::view(), &paused);
        assert!(!html.contains("http-equiv=\"refresh\"") && html.contains("Resume"));
        let html = render(&sample::view(), &Options::default());
        assert!(!html.contains("http-equiv=\"refresh\"") && !html.contains("Resume") && !html.contains("Pause"));
    }

    #[test]
    fn the_filter_hides_what_does_not_match() {
        let filter = |text: &str| Options { filter: text.into(), ..Options::default() };
        let shown = |text: &str| {
            let (view, options) = (sample::view(), filter(text));
            let page = Page::new(&view, &options);
            let rows = |s: &Section<'_>| s.rows.iter().filter(|r| !r.hidden).count();
            let open: Vec<_> =
                page.sections.iter().filter(|s| !s.hidden).map(|s| (s.name.to_owned(), rows(s))).collect();
            open
        };
        assert_eq!(shown("").len(), 5);
        assert_eq!(shown("APP"), [("app".to_owned(), 6)]);
        assert_eq!(shown("edge2"), [("assets".to_owned(), 1)]);
        assert_eq!(shown("10.0.1.12"), [("postgres".to_owned(), 1)]);
        assert_eq!(shown("down"), [("app".to_owned(), 1), ("reports".to_owned(), 2)]);
        assert_eq!(shown("nothing of the kind"), []);
    }

    #[test]
    fn ten_thousand_servers_give_a_page_of_bounded_size_that_keeps_the_broken_ones() {
        let mut view = sample::healthy();
        let one = view.proxies[1].servers[0].clone();
        view.proxies[1].servers =
            (0..10_000).map(|i| ServerView { name: format!("s{i}").into(), ..one.clone() }).collect();
        view.proxies[1].servers[9_876].up = false;
        let options = Options::default();
        let page = Page::new(&view, &options);
        let app = &page.sections[1];
        assert_eq!(app.rows.len(), ROWS_PER_PROXY + 2);
        assert!(app.rows.iter().any(|r| r.name == "s9876"));
        assert_eq!(app.left_out.as_deref(), Some("9,499 more servers without a problem"));
        let options = Options { all: true, ..Options::default() };
        assert_eq!(Page::new(&view, &options).sections[1].rows.len(), 10_001);
    }

    #[test]
    fn tools_that_scrape_the_page_find_their_phrases() {
        let html = page(&sample::view());
        let version = html.split("HAProxy version ").nth(1).unwrap().split(", ").next().unwrap();
        assert_eq!(version, "0.1.0");
        assert!(html.contains("<b>uptime = </b> 12d 4h00m00s<br>"), "phrase of HAProxy's page");
    }
}
