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
use crate::view::{FailureView, ProcessView, ServerState, View};

mod certificates;
mod rows;

use certificates::Certificates;
use rows::{Section, WIDTHS, fill, row_id, section};

/// Rows of one proxy that are always written; of what comes on top only rows with a problem are, unless asked for.
pub const ROWS_PER_PROXY: usize = 500;

/// Reasons of failed requests that are always shown.
const REASONS: usize = 5;

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
    failures: Vec<FailureLine<'a>>,
    failures_left_out: String,
    sections: Vec<Section<'a>>,
    certificates: Certificates,
    widths: [f32; 13],
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

/// A reason of failed requests.
struct FailureLine<'a> {
    code: &'a str,
    reason: &'a str,
    fault: &'a str,
    count: String,
    share: String,
    explanation: &'a str,
    next_step: &'a str,
    places: String,
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
            failures: p.failures.iter().take(if options.all { usize::MAX } else { REASONS }).map(failure).collect(),
            failures_left_out: match p.failures.len().saturating_sub(REASONS) {
                n if n > 0 && !options.all => human::plural(n, "rarer reason"),
                _ => String::new(),
            },
            sections: view.proxies.iter().map(|p| section(p, filter, options.all)).collect(),
            certificates: Certificates::new(&view.certificates, filter, options.all, p.time_unix),
            widths: WIDTHS,
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
        anchor: match (&p.certificate, &p.server) {
            (Some(path), _) => certificates::id(path),
            (None, Some(server)) => row_id(&p.proxy, server),
            (None, None) => row_id(&p.proxy, ""),
        },
        state: p.state,
        detail: p.detail,
        since: p.since_seconds.map(human::duration).unwrap_or_default(),
    }
}

fn failure(f: &FailureView) -> FailureLine<'_> {
    let places: Vec<_> = f.places.iter().map(|p| format!("{} ({})", p.path(), human::count(p.count))).collect();
    FailureLine {
        code: &f.code,
        reason: &f.reason,
        fault: &f.fault,
        count: human::count(f.count),
        share: format!("{}.{}%", f.per_mille / 10, f.per_mille % 10),
        explanation: &f.explanation,
        next_step: &f.next_step,
        places: places.join(", "),
    }
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
    use crate::view::ServerView;

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
        assert!(html.contains("<title>(4) Evenkeel lb1.example</title>"));
    }

    #[test]
    fn the_page_says_why_requests_failed_and_what_to_do() {
        let html = page(&sample::view());
        let block = html.find("class=\"reasons\"").unwrap();
        let block = &html[block..html.find("<table").unwrap()];
        let (first, second) = (block.find("EV260").unwrap(), block.find("EV200").unwrap());
        assert!(first < second, "the most frequent first");
        for text in
            ["servers_down", "1,204", "99.7%", "passes its health check", "what each check saw", "web \u{2192} reports"]
        {
            assert!(block.contains(text), "{text}: {block}");
        }
        assert!(!page(&sample::healthy()).contains("class=\"reasons\""), "nothing failed, nothing is said");
        let mut view = sample::view();
        view.process.failures = vec![view.process.failures[0].clone(); REASONS + 2];
        assert!(page(&view).contains("2 rarer reasons"));
        let all = render(&view, &Options { all: true, ..Options::default() });
        assert_eq!((all.matches("EV260").count(), all.contains("rarer reason")), (REASONS + 2, false));
    }

    #[test]
    fn certificates_are_listed_with_what_is_left() {
        let html = page(&sample::view());
        let block = &html[html.find("class=\"certificates\"").unwrap()..];
        let (old, shop, www) = (block.find("expired 2 days ago"), block.find("in 5 days"), block.find("in 71 days"));
        assert!(old < shop && shop < www && www.is_some(), "{old:?} {shop:?} {www:?}");
        assert!(html.contains("TLS 6.1M, 72% resumed, 1,204 failed"));
        let anchor = certificates::id("/etc/evenkeel/certs/old.example.pem");
        assert!(html.contains(&format!("href=\"#{anchor}\"")) && html.contains(&format!("id=\"{anchor}\"")));
        assert!(!page(&View::default()).contains("class=\"certificates\""), "nothing has TLS, nothing is said");
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
