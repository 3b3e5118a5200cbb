//! Fetching OCSP responses (RFC 6960) for certificates that ask for it: when each is due, and asking a responder.
//!
//! Called by the control thread; a handshake never waits for it. [`Schedule`] is pure. A response is asked for again when it is about
//! to lapse, not sooner than five minutes and not later than an hour after the last (`ocsp-update.mindelay`, `maxdelay`); after a
//! failure, after twice the time each time, up to an hour.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Seconds between two fetches of one response.
const MIN_DELAY: i64 = 300;
const MAX_DELAY: i64 = 3600;
/// Seconds before its end at which a response is to be there anew.
const MARGIN: i64 = 60;
/// Responders that are asked at once.
const AT_ONCE: usize = 4;
/// How long one may take, name look-up and connection included.
const PATIENCE: Duration = Duration::from_secs(15);
/// A response with a delegate's certificate takes 2 KiB.
const MAX_RESPONSE: usize = 64 * 1024;

/// When which response is to be fetched, by the certificate's path.
#[derive(Debug, Default)]
pub struct Schedule {
    known: HashMap<PathBuf, State>,
}

/// What is known of one certificate's responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The certificate it is about.
    pub sha256: [u8; 32],
    /// When to ask next, in seconds since 1970.
    pub next: i64,
    /// Whether somebody is being asked.
    pub asking: bool,
    /// Failures since the last success.
    streak: u32,
    /// All successes.
    pub succeeded: u64,
    /// All failures.
    pub failed: u64,
    /// Why the last time failed.
    pub error: Option<String>,
}

impl Schedule {
    /// Follows the certificates that want responses: path, SHA-256, and until when the one they have holds.
    pub fn follow(&mut self, wanted: &[(&Path, [u8; 32], Option<i64>)], now: i64) {
        let mut known = std::mem::take(&mut self.known);
        for (path, sha256, until) in wanted {
            let state = known.remove(*path).filter(|state| state.sha256 == *sha256).unwrap_or_else(|| State {
                sha256: *sha256,
                next: until.map_or(now, |until| now + delay(until, now)),
                asking: false,
                streak: 0,
                succeeded: 0,
                failed: 0,
                error: None,
            });
            self.known.insert(path.to_path_buf(), state);
        }
    }

    /// What is to be fetched now; whoever gets it tells the outcome by [`Schedule::done`].
    pub fn due(&mut self, now: i64) -> Vec<(PathBuf, [u8; 32])> {
        let room = AT_ONCE.saturating_sub(self.known.values().filter(|state| state.asking).count());
        let due = self.known.iter_mut().filter(|(_, state)| !state.asking && state.next <= now).take(room);
        due.map(|(path, state)| {
            state.asking = true;
            (path.clone(), state.sha256)
        })
        .collect()
    }

    /// Takes an outcome: until when the response holds, or why there is none. Returns the state after it, unless the certificate
    /// is another one by now.
    pub fn done(&mut self, path: &Path, sha256: [u8; 32], outcome: Result<i64, String>, now: i64) -> Option<&State> {
        let state = self.known.get_mut(path).filter(|state| state.sha256 == sha256)?;
        state.asking = false;
        match outcome {
            Ok(until) => {
                (state.streak, state.error) = (0, None);
                state.succeeded += 1;
                state.next = now + delay(until, now);
            }
            Err(error) => {
                state.next = now + MIN_DELAY.saturating_mul(1 << state.streak.min(8)).min(MAX_DELAY);
                state.streak = state.streak.saturating_add(1);
                state.failed += 1;
                state.error = Some(error);
            }
        }
        Some(state)
    }

    /// What is known of a certificate.
    pub fn of(&self, path: &Path) -> Option<&State> {
        self.known.get(path)
    }
}

fn delay(until: i64, now: i64) -> i64 {
    until.saturating_sub(now).saturating_sub(MARGIN).clamp(MIN_DELAY, MAX_DELAY)
}

/// Why there is no response, with HAProxy's number and words (`ssl_ocsp_status`, `ssl_ocsp_status_str`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The responder cannot be reached or does not answer with 200.
    Http(String),
    /// The answer is not labelled as an OCSP response.
    Label,
    /// The response cannot be stapled.
    Check(String),
    /// The certificate is another one by now.
    Gone,
}

impl Failure {
    /// HAProxy's number.
    pub fn number(&self) -> u8 {
        match self {
            Failure::Http(_) => 2,
            Failure::Label => 3,
            Failure::Check(_) => 4,
            Failure::Gone => 5,
        }
    }

    /// HAProxy's words.
    pub fn words(&self) -> &'static str {
        match self {
            Failure::Http(_) => "HTTP error",
            Failure::Label => "Missing \"ocsp-response\" header",
            Failure::Check(_) => "OCSP response check failure",
            Failure::Gone => "Error during insertion",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Http(why) => f.write_str(why),
            Failure::Label => f.write_str("the answer is not of type application/ocsp-response"),
            Failure::Check(why) => write!(f, "the response is not stapled: {why}"),
            Failure::Gone => f.write_str("the certificate was replaced meanwhile"),
        }
    }
}

/// Sends `request` (DER) to the responder at `url` and returns what it answers.
///
/// # Errors
/// Why there is no answer.
pub async fn fetch(url: &str, request: Vec<u8>) -> Result<Vec<u8>, Failure> {
    match tokio::time::timeout(PATIENCE, ask(url, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::Http(format!("{url} did not answer within {} s", PATIENCE.as_secs()))),
    }
}

async fn ask(url: &str, request: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let wrong = |why: String| Failure::Http(format!("{url}: {why}"));
    let uri: http::Uri = url.parse().map_err(|e| wrong(format!("it is no URL: {e}")))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong("only http:// is spoken with responders (RFC 6960 appendix A)".to_owned()));
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80)));
    let stream = stream.await.map_err(|e| wrong(format!("cannot connect: {e}")))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| wrong(e.to_string()))?;
    // It ends with the sender; what it may say of its end was said to the request already.
    tokio::task::spawn_local(async move { drop(connection.await) });
    let target = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = http::Request::post(target)
        .header(HOST, authority.as_str())
        .header(CONTENT_TYPE, "application/ocsp-request")
        .body(Full::new(Bytes::from(request)))
        .map_err(|e| wrong(e.to_string()))?;
    let response = sender.send_request(request).await.map_err(|e| wrong(e.to_string()))?;
    if response.status() != http::StatusCode::OK {
        return Err(wrong(format!("it answered {}", response.status())));
    }
    let label = response.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    if !label.to_ascii_lowercase().starts_with(b"application/ocsp-response") {
        return Err(Failure::Label);
    }
    let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await.map_err(|e| wrong(e.to_string()))?;
    Ok(body.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn one() -> (Schedule, PathBuf) {
        let mut schedule = Schedule::default();
        schedule.follow(&[(Path::new("a.pem"), [1; 32], None)], 1000);
        (schedule, "a.pem".into())
    }

    #[test]
    fn a_response_is_renewed_within_its_bounds() {
        for (until, wait) in [(1000, 300), (1400, 340), (3000, 1940), (1_000_000, 3600), (i64::MAX, 3600)] {
            let (mut schedule, path) = one();
            assert_eq!(schedule.due(1000), [(path.clone(), [1; 32])]);
            assert_eq!(schedule.due(1000), [], "it is being asked");
            let state = schedule.done(&path, [1; 32], Ok(until), 1000).unwrap();
            assert_eq!((state.next, state.succeeded), (1000 + wait, 1), "{until}");
            assert_eq!(schedule.due(1000 + wait - 1), []);
            assert_eq!(schedule.due(1000 + wait).len(), 1);
        }
    }

    #[test]
    fn failures_are_repeated_more_and_more_rarely() {
        let (mut schedule, path) = one();
        let (mut now, mut waits) = (1000, Vec::new());
        for _ in 0..40 {
            assert_eq!(schedule.due(now).len(), 1);
            let state = schedule.done(&path, [1; 32], Err("no".into()), now).unwrap();
            waits.push(state.next - now);
            now = state.next;
        }
        assert_eq!(&waits[..5], [300, 600, 1200, 2400, 3600]);
        assert!(waits[5..].iter().all(|wait| *wait == 3600), "{waits:?}");
        schedule.due(now);
        let state = schedule.done(&path, [1; 32], Ok(now), now).unwrap().clone();
        assert_eq!((state.failed, state.succeeded, state.error), (40, 1, None));
        schedule.due(state.next);
        let state = schedule.done(&path, [1; 32], Err("no".into()), state.next).unwrap();
        assert_eq!(state.next - now, 600, "a success ends the series");
    }

    #[test]
    fn another_certificate_is_asked_for_at_once_and_few_at_a_time() {
        let (mut schedule, path) = one();
        schedule.due(1000);
        schedule.follow(&[(&path, [2; 32], None)], 1001);
        assert!(schedule.done(&path, [1; 32], Ok(9999), 1002).is_none(), "the answer is about the old one");
        assert_eq!(schedule.due(1002).len(), 1);
        schedule.follow(&[(&path, [2; 32], None)], 1003);
        assert_eq!(schedule.due(1003), [], "it is still being asked");
        let paths: Vec<PathBuf> = (0..10).map(|n| n.to_string().into()).collect();
        let wanted: Vec<_> = paths.iter().map(|path| (path.as_path(), [0; 32], None)).collect();
        schedule.follow(&wanted, 2000);
        assert_eq!(schedule.due(2000).len(), AT_ONCE);
        assert_eq!(schedule.due(2000).len(), 0);
        assert!(schedule.of(&path).is_none());
        // One that came with a response from a file is not asked for at once.
        schedule.follow(&[(&path, [2; 32], Some(2000 + 7200))], 2000);
        assert_eq!(schedule.of(&path).unwrap().next, 2000 + 3600);
    }
}
