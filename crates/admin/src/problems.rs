//! What is wrong right now, worst first.
//!
//! Owns: the judgement that puts a line into the strip at the top of the page and into `problems` of `/api/v1/stats`.
//! Pure: one picture in, a list out. Never: repeats what a table already shows without a consequence for traffic.

use serde::Serialize;

use crate::human;
use crate::view::{CertificateView, CheckResult, Lapse, ProxyView, ServerState, ServerView, View};

/// How bad; the order is the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Clients get errors.
    Critical,
    /// A server is lost; others carry its load.
    Down,
    /// May become worse.
    Warning,
    /// Wanted by an operator, and easily forgotten.
    Notice,
}

impl Severity {
    /// The word, also a class name on the page.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Down => "down",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// The proxy.
    pub proxy: String,
    /// The server, if it is about one.
    pub server: Option<String>,
    /// The file of the certificate, if it is about one; `proxy` is empty then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The state in a word or two.
    pub state: String,
    /// Why, or what it means for traffic.
    pub detail: String,
    /// How long it has been so, where that is known.
    pub since_seconds: Option<u64>,
}

impl Problem {
    /// `app/app2`, or `app` alone, or the file of a certificate.
    pub fn object(&self) -> String {
        match (&self.certificate, &self.server) {
            (Some(path), _) => path.clone(),
            (None, Some(server)) => format!("{}/{server}", self.proxy),
            (None, None) => self.proxy.clone(),
        }
    }
}

/// Everything wrong in `view`: worst first, the most recent first among equals.
pub fn problems(view: &View) -> Vec<Problem> {
    let mut out = Vec::new();
    for p in &view.proxies {
        frontend(p, view.process.draining, &mut out);
        backend(p, &mut out);
        out.extend(p.servers.iter().filter_map(|s| server(p, s)));
    }
    out.extend(view.certificates.iter().filter_map(|c| certificate(c, view.process.time_unix)));
    out.sort_by_key(|p| (p.severity, p.since_seconds));
    out
}

fn frontend(p: &ProxyView, draining: bool, out: &mut Vec<Problem>) {
    let Some(f) = &p.frontend else { return };
    if !f.open && !draining {
        out.push(about(p, Severity::Warning, "STOP", "accepts no connections".into(), None));
    }
    if f.sessions_limit > 0 && f.sessions >= f.sessions_limit {
        let detail = format!("all {} connections in use; new ones wait in the kernel", f.sessions_limit);
        out.push(about(p, Severity::Critical, "FULL", detail, None));
    }
}

fn backend(p: &ProxyView, out: &mut Vec<Problem>) {
    let Some(b) = &p.backend else { return };
    let (active, backup) = p.usable_servers();
    if !p.backend_up() {
        let detail = match p.servers.len() {
            1 => "its only server is not usable".to_owned(),
            n => format!("none of its {n} servers is usable"),
        };
        out.push(about(p, Severity::Critical, "NO SERVER", detail, Some(b.last_change_seconds)));
    } else if active == 0 && backup > 0 && p.servers.iter().any(|s| !s.backup) {
        let detail = format!("no active server is usable; {} in use", human::plural(backup, "backup server"));
        out.push(about(p, Severity::Warning, "ON BACKUP", detail, None));
    }
    let queued = b.traffic.queue.saturating_add(p.servers.iter().map(|s| s.traffic.queue).sum());
    if queued > 0 {
        let detail = format!("{} waiting for a free slot", human::plural(queued as usize, "request"));
        out.push(about(p, Severity::Warning, "QUEUE", detail, None));
    }
}

fn server(p: &ProxyView, s: &ServerView) -> Option<Problem> {
    let check = s.check.as_ref();
    let failure = check.and_then(|c| c.last_failure.as_ref()).map(saw);
    let last = check.and_then(|c| c.last.as_ref()).map(saw);
    let (severity, detail) = match s.state() {
        ServerState::Up | ServerState::NoCheck => return None,
        ServerState::Down => (Severity::Down, failure.or(last).unwrap_or_else(|| "no check has passed yet".into())),
        ServerState::GoingUp => {
            let (passed, rise) = check.map_or((0, 0), |c| (c.health, c.rise));
            let why = failure.map(|f| format!("; was down by {f}")).unwrap_or_default();
            (Severity::Down, format!("{passed} of {rise} checks passed{why}"))
        }
        ServerState::GoingDown => (Severity::Warning, failure.or(last).unwrap_or_default()),
        ServerState::Drain => (Severity::Notice, "takes no new sessions".into()),
        ServerState::Maint => (Severity::Notice, "out of use, not checked".into()),
    };
    Some(Problem {
        severity,
        proxy: p.name.to_string(),
        server: Some(s.name.to_string()),
        certificate: None,
        state: s.status().into_owned(),
        detail,
        since_seconds: (s.state() != ServerState::GoingDown).then_some(s.last_change_seconds),
    })
}

/// `L7STS/503 "Service Unavailable" in 2 ms, 1s ago`.
fn saw(r: &CheckResult) -> String {
    let info = if r.info.is_empty() { r.description.to_string() } else { format!("\u{201c}{}\u{201d}", r.info) };
    format!("{} {info} after {}, {}", r.word(), human::millis(r.duration_ms), human::ago(r.age_seconds))
}

fn about(p: &ProxyView, severity: Severity, state: &str, detail: String, since_seconds: Option<u64>) -> Problem {
    let proxy = p.name.to_string();
    Problem { severity, proxy, server: None, certificate: None, state: state.into(), detail, since_seconds }
}

/// A certificate that clients refuse, or soon will.
fn certificate(c: &CertificateView, now: u64) -> Option<Problem> {
    let (severity, state) = match c.lapse {
        Lapse::Good | Lapse::Month => return None,
        Lapse::Fortnight | Lapse::Week | Lapse::Day => (Severity::Warning, "LAPSES"),
        Lapse::Expired => (Severity::Critical, "EXPIRED"),
        Lapse::NotYet => (Severity::Critical, "NOT YET VALID"),
    };
    let detail = match severity {
        Severity::Critical => format!("{} {}; clients refuse it", c.name(), c.when()),
        _ => format!("{} {}", c.name(), c.when()),
    };
    let certificate = Some(c.path.clone());
    Some(Problem {
        severity,
        proxy: String::new(),
        server: None,
        certificate,
        state: state.into(),
        detail,
        since_seconds: (c.lapse == Lapse::Expired).then(|| now.saturating_sub(u64::try_from(c.not_after).unwrap_or(0))),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sample;

    #[test]
    fn the_worst_comes_first_and_says_what_the_check_saw() {
        let list = problems(&sample::view());
        let lines: Vec<_> = list.iter().map(|p| (p.severity, p.object(), p.state.as_str())).collect();
        assert!(list.is_sorted_by_key(|p| p.severity), "{lines:?}");
        assert_eq!(lines[0], (Severity::Critical, "reports".into(), "NO SERVER"));
        let app2 = list.iter().find(|p| p.object() == "app/app2").unwrap();
        assert_eq!(app2.detail, "L7STS/503 \u{201c}Service Unavailable\u{201d} after 2 ms, 1s ago");
        assert_eq!(app2.since_seconds, Some(192));
    }

    #[test]
    fn a_healthy_view_has_no_problem() {
        assert_eq!(problems(&sample::healthy()), []);
        assert_eq!(problems(&View::default()), []);
    }

    #[test]
    fn a_certificate_near_its_end_is_a_problem() {
        let list = problems(&sample::view());
        let of = |state: &str| list.iter().find(|p| p.state == state).unwrap();
        assert_eq!(of("EXPIRED").severity, Severity::Critical);
        assert_eq!(of("EXPIRED").object(), "/etc/evenkeel/certs/old.example.pem");
        assert_eq!(of("EXPIRED").detail, "old.example expired 2 days ago; clients refuse it");
        assert_eq!(
            (of("LAPSES").severity, of("LAPSES").detail.as_str()),
            (Severity::Warning, "shop.example expires in 5 days")
        );
    }

    #[test]
    fn a_recovering_server_still_says_why_it_was_down() {
        let mut view = sample::view();
        let p = view.proxies.iter_mut().find(|p| &*p.name == "app").unwrap();
        let check = p.servers[1].check.as_mut().unwrap();
        check.health = 1;
        check.last = Some(CheckResult { status: "L7OK".into(), code: Some(200), ..CheckResult::default() });
        let list = problems(&view);
        let app2 = list.iter().find(|p| p.object() == "app/app2").unwrap();
        assert_eq!(app2.state, "DOWN 1/2");
        assert!(app2.detail.starts_with("1 of 2 checks passed; was down by L7STS/503"), "{}", app2.detail);
    }
}
