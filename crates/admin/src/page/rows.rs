//! The tables of the stats page: one section a proxy, one row an object, every cell a finished text.
//!
//! Called by [`super::Page`]. Red is for what is wrong now; counts since the start are plain, or a page would be red for
//! ever after one bad minute.

use std::fmt::Write;

use crate::human;
use crate::view::{
    BackendView, FrontendView, Mode, ProxyView, Rate, ResponsesView, ServerState, ServerView, TrafficView,
};

use super::ROWS_PER_PROXY;

/// Column widths in percent, the same in every table so that the columns of all proxies line up.
pub(super) const WIDTHS: [f32; 13] = [12.0, 8.0, 9.0, 8.0, 6.5, 7.5, 7.5, 5.5, 4.5, 6.5, 5.5, 13.0, 6.5];

pub(super) struct Section<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'static str,
    pub(super) mode: &'static str,
    pub(super) notes: Vec<String>,
    pub(super) rows: Vec<Row>,
    pub(super) left_out: Option<String>,
    pub(super) hidden: bool,
}

/// One row; empty texts leave their place empty.
#[derive(Default)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) sub: String,
    pub(super) tag: &'static str,
    pub(super) class: &'static str,
    pub(super) icon: &'static str,
    pub(super) state: String,
    pub(super) since: String,
    pub(super) state_note: String,
    pub(super) sessions: Cell,
    pub(super) fill: Option<u64>,
    pub(super) rate: Cell,
    pub(super) spark: String,
    pub(super) total: Cell,
    pub(super) bar: Vec<(&'static str, String)>,
    pub(super) bar_text: String,
    pub(super) bytes: Cell,
    pub(super) has_errors: bool,
    pub(super) errors: Vec<Count>,
    pub(super) has_retries: bool,
    pub(super) retries: Vec<Count>,
    pub(super) queue: Cell,
    pub(super) times: Cell,
    pub(super) weight: Cell,
    pub(super) check: Cell,
    pub(super) check_note: String,
    pub(super) check_hint: String,
    pub(super) down: Cell,
    pub(super) hidden: bool,
}

/// A number and the small print below it.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) main: String,
    pub(super) note: String,
    pub(super) alarm: bool,
}

/// A named count; only those above zero are shown, and none in red: a count since the start is no alarm.
pub(super) struct Count {
    pub(super) name: &'static str,
    pub(super) value: String,
}

pub(super) fn section<'a>(p: &'a ProxyView, filter: &str, all: bool) -> Section<'a> {
    let mut notes = Vec::new();
    if let Some(f) = &p.frontend {
        notes.push(f.binds.join("  "));
        notes.extend(tls_note(f));
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

/// `TLS 6.1M, 72% resumed, 1,204 failed`.
fn tls_note(f: &FrontendView) -> Option<String> {
    let percent = (u128::from(f.tls_resumed_total) * 100).checked_div(u128::from(f.tls_handshakes_total));
    let mut note = f.tls.then(|| format!("TLS {}", human::count(f.tls_handshakes_total)))?;
    if let Some(percent) = percent {
        let _ = write!(note, ", {percent}% resumed");
    }
    if f.tls_failed_total > 0 {
        let _ = write!(note, ", {} failed", human::count(f.tls_failed_total));
    }
    Some(note)
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
        sub: match f.binds.len() {
            1 => "1 address".into(),
            n => format!("{n} addresses"),
        },
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
            Cell { main: human::count(f.connections_total), note: "conn".into(), alarm: false }
        },
        bar,
        bar_text,
        bytes: transfer(f.bytes_in, f.bytes_out),
        has_errors: true,
        errors: counts([
            ("req", f.request_errors),
            ("deny", f.denied_requests + f.denied_responses + f.denied_connections + f.denied_sessions),
            ("internal", f.internal_errors),
        ]),
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
    if s.weight != s.user_weight {
        row.weight.note = format!("of {}", s.user_weight);
    }
    row.state_note = s.throttle_percent.map(|percent| format!("slow start {percent}%")).unwrap_or_default();
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
                row.check_note = human::ago(r.age_seconds);
                if check.failures > 0 {
                    let _ = write!(row.check_note, " · {} failed", human::compact(check.failures));
                }
                row.check_hint = format!("rise {}, fall {}, health {}", check.rise, check.fall, check.health);
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
    row.errors.extend(counts([("req deny", b.denied_requests)]));
    row.weight.main = p.backend_weight().0.to_string();
    row.weight.note = format!("{active} active\n{backup} backup");
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
                all if http => format!("{}% reuse", u128::from(t.reuses) * 100 / u128::from(all)),
                _ => String::new(),
            },
            alarm: false,
        },
        bar,
        bar_text,
        bytes: transfer(t.bytes_in, t.bytes_out),
        has_errors: true,
        errors: counts([
            ("conn", t.connect_errors),
            ("resp", t.response_errors),
            ("deny", t.denied_responses),
            ("abort", aborts),
            ("internal", t.internal_errors),
        ]),
        has_retries: true,
        retries: counts([("retr", t.retries), ("redis", t.redispatches)]),
        queue: Cell { main: t.queue.to_string(), note: format!("max {}", t.queue_max), alarm: t.queue > 0 },
        times: match t.sessions_total {
            0 => Cell::default(),
            _ => Cell {
                main: human::millis(if http { t.times.response_ms } else { t.times.total_ms }),
                note: match t.times.queue_ms {
                    0 => format!("conn {}", human::millis(t.times.connect_ms)),
                    queue => format!("conn {}\nqueue {}", human::millis(t.times.connect_ms), human::millis(queue)),
                },
                alarm: false,
            },
        },
        ..Row::default()
    }
}

fn sessions(now: u32, max: u32, limit: u32, alarm: bool) -> Cell {
    let limit = if limit == 0 { String::new() } else { format!(" / {}", human::compact(limit.into())) };
    Cell { main: human::grouped(now.into()), note: format!("max {}{limit}", human::compact(max.into())), alarm }
}

fn at_limit(t: &TrafficView) -> bool {
    t.sessions_limit > 0 && t.sessions >= t.sessions_limit
}

fn rate(r: &Rate) -> Cell {
    Cell { main: human::grouped(r.now.into()), note: format!("max {}", human::compact(r.max.into())), alarm: false }
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

fn counts<const N: usize>(counts: [(&'static str, u64); N]) -> Vec<Count> {
    let shown = counts.into_iter().filter(|(_, n)| *n > 0);
    shown.map(|(name, n)| Count { name, value: human::compact(n) }).collect()
}

pub(super) fn fill(now: u32, limit: u32) -> Option<u64> {
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
pub(super) fn row_id(proxy: &str, server: &str) -> String {
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
