//! What a check found, in HAProxy's words.
//!
//! Written by the probers, read by logs and the stats page. Pure. The texts are a contract: people grep for them.

use std::fmt::Write;
use std::time::Duration;

/// Most characters of [`Report::info`].
const INFO_MAX: usize = 128;

/// How a check ended; the codes are those of HAProxy's stats page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckStatus {
    /// Nothing is known.
    Unknown,
    /// No check has ended yet.
    Ini,
    /// The check failed on our side, before the server was asked.
    SockErr,
    /// Connected, and no more was asked.
    L4Ok,
    /// No connection in time.
    L4Tout,
    /// The connection was refused or the server cannot be reached.
    L4Con,
    /// The TLS handshake succeeded.
    L6Ok,
    /// The TLS handshake did not end in time.
    L6Tout,
    /// The TLS handshake failed.
    L6Rsp,
    /// The answer is as expected.
    L7Ok,
    /// The answer asks for no new sessions.
    L7Okc,
    /// No whole answer in time.
    L7Tout,
    /// The answer is no HTTP, or its content is not as expected.
    L7Rsp,
    /// The answer's status or headers are not as expected.
    L7Sts,
}

impl CheckStatus {
    /// The code, as in the stats page's column `check_status`.
    pub fn as_str(self) -> &'static str {
        self.words().0
    }

    /// The sentence of the log.
    pub fn description(self) -> &'static str {
        self.words().1
    }

    /// Whether the server is well.
    pub fn passed(self) -> bool {
        matches!(self, CheckStatus::L4Ok | CheckStatus::L6Ok | CheckStatus::L7Ok | CheckStatus::L7Okc)
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            CheckStatus::Unknown => ("UNK", "Unknown"),
            CheckStatus::Ini => ("INI", "Initializing"),
            CheckStatus::SockErr => ("SOCKERR", "Socket error"),
            CheckStatus::L4Ok => ("L4OK", "Layer4 check passed"),
            CheckStatus::L4Tout => ("L4TOUT", "Layer4 timeout"),
            CheckStatus::L4Con => ("L4CON", "Layer4 connection problem"),
            CheckStatus::L6Ok => ("L6OK", "Layer6 check passed"),
            CheckStatus::L6Tout => ("L6TOUT", "Layer6 timeout"),
            CheckStatus::L6Rsp => ("L6RSP", "Layer6 invalid response"),
            CheckStatus::L7Ok => ("L7OK", "Layer7 check passed"),
            CheckStatus::L7Okc => ("L7OKC", "Layer7 check conditionally passed"),
            CheckStatus::L7Tout => ("L7TOUT", "Layer7 timeout"),
            CheckStatus::L7Rsp => ("L7RSP", "Layer7 invalid response"),
            CheckStatus::L7Sts => ("L7STS", "Layer7 wrong status"),
        }
    }
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub status: CheckStatus,
    /// The HTTP status, when the verdict rests on an answer that had one.
    pub code: Option<u16>,
    /// From the start of the connect to the verdict.
    pub duration: Duration,
    /// The last failing answer or the system's reason: printable, at most 128 characters, often empty.
    pub info: String,
}

impl Report {
    /// A report; `info` is made printable and cut here.
    pub fn new(status: CheckStatus, code: Option<u16>, duration: Duration, info: &str) -> Report {
        Report { status, code, duration, info: printable(info) }
    }

    /// Whether the server is well.
    pub fn passed(&self) -> bool {
        self.status.passed()
    }
}

/// What is left of a backend after a change, for [`change_line`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Usable active servers.
    pub active: u32,
    /// Usable backup servers.
    pub backup: u32,
    /// Sessions open on the server.
    pub sessions: u32,
    /// Requests moved from its queue.
    pub requeued: u32,
    /// Requests that wait in the backend.
    pub queued: u32,
}

/// `reason: Layer7 wrong status, code: 503, info: "Service Unavailable", check duration: 2ms`.
pub fn describe(report: &Report) -> String {
    let mut out = format!("reason: {}", report.status.description());
    if let Some(code) = report.code {
        let _ = write!(out, ", code: {code}");
    }
    if !report.info.is_empty() {
        out.push_str(", info: \"");
        for c in report.info.chars() {
            match c {
                // A quote of the server's must not end ours, nor its brackets pass for this encoding.
                '"' | '<' | '>' => {
                    let _ = write!(out, "<{:02X}>", u32::from(c));
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
    let _ = write!(out, ", check duration: {}ms", report.duration.as_millis());
    out
}

/// The log line of a state change.
pub fn change_line(up: bool, is_backup: bool, backend: &str, server: &str, report: &Report, left: Left) -> String {
    let prefix = if is_backup { "Backup " } else { "" };
    let (state, rest) = if up { ("UP", "online") } else { ("DOWN", "left") };
    let Left { active, backup, sessions, requeued, queued } = left;
    let running = if active == 0 && backup > 0 { " Running on backup." } else { "" };
    let tail = if up {
        format!("{requeued} sessions requeued, {queued} total in queue.")
    } else {
        format!("{sessions} sessions active, {requeued} requeued, {queued} remaining in queue.")
    };
    format!(
        "{prefix}Server {backend}/{server} is {state}, {}. {active} active and {backup} backup servers {rest}.{running} {tail}",
        describe(report)
    )
}

fn printable(text: &str) -> String {
    text.chars().take(INFO_MAX).map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected lines were printed by HAProxy 2.6 for the same events.
    #[test]
    fn lines_are_haproxys() {
        let report = |status, code, ms, info: &str| Report::new(status, code, Duration::from_millis(ms), info);
        let left = Left { active: 2, backup: 1, ..Left::default() };
        let refused = report(CheckStatus::L4Con, None, 0, "Connection refused");
        assert_eq!(
            change_line(false, false, "tcp", "a", &refused, left),
            "Server tcp/a is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", check duration: 0ms. \
             2 active and 1 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        );
        assert_eq!(
            change_line(false, true, "tcp", "b", &refused, Left { backup: 0, ..left }),
            "Backup Server tcp/b is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", \
             check duration: 0ms. 2 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        );
        assert_eq!(
            change_line(
                false,
                false,
                "http",
                "slow",
                &report(CheckStatus::L7Tout, None, 421, ""),
                Left { active: 0, ..left }
            ),
            "Server http/slow is DOWN, reason: Layer7 timeout, check duration: 421ms. 0 active and 1 backup servers left. \
             Running on backup. 0 sessions active, 0 requeued, 0 remaining in queue."
        );
        assert_eq!(
            change_line(
                true,
                false,
                "http",
                "flip",
                &report(CheckStatus::L7Ok, Some(200), 0, ""),
                Left { active: 1, ..left }
            ),
            "Server http/flip is UP, reason: Layer7 check passed, code: 200, check duration: 0ms. \
             1 active and 1 backup servers online. 0 sessions requeued, 0 total in queue."
        );
        assert_eq!(
            describe(&report(CheckStatus::L7Sts, Some(503), 2, "Service Unavailable")),
            "reason: Layer7 wrong status, code: 503, info: \"Service Unavailable\", check duration: 2ms"
        );
        assert_eq!(
            describe(&report(CheckStatus::L7Sts, Some(500), 0, "A \"q\" &<c>")),
            "reason: Layer7 wrong status, code: 500, info: \"A <22>q<22> &<3C>c<3E>\", check duration: 0ms"
        );
    }

    #[test]
    fn info_is_printable_and_bounded() {
        let report = Report::new(CheckStatus::L7Sts, Some(500), Duration::ZERO, &"\r\n\"é\0".repeat(1000));
        assert!(report.info.len() <= INFO_MAX);
        assert!(report.info.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
        assert!(!describe(&report).contains("\"\""));
    }
}
