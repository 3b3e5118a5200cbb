//! Steps of a trace, answers and times as text.

use evenkeel_acl::{Cause, Reply, Step};

use super::walk;

/// One step of a trace.
pub fn rule(step: &Step) -> walk::Rule {
    let tests = step.tests.iter().map(|test| walk::Test {
        acl: test.acl.clone(),
        held: test.held,
        saw: test
            .saw
            .iter()
            .map(|saw| walk::Saw { sample: saw.fetch.to_string(), values: saw.samples.clone() })
            .collect(),
    });
    walk::Rule {
        place: step.place.to_string(),
        text: step.text.to_string(),
        held: step.held,
        now: (step.recorded && step.seen != step.held).then_some(step.seen),
        tests: tests.collect(),
        did: Vec::new(),
    }
}

/// What a rule answers.
pub fn reply(reply: &Reply<'_>) -> String {
    let location = reply.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
    let location = location.map_or_else(String::new, |(_, value)| String::from_utf8_lossy(value).into_owned());
    match reply.cause {
        Cause::Redirect => format!("redirects to {location} with {}", reply.status),
        Cause::FailedRewrite => "fails: what it would write is not valid, or has no room".to_owned(),
        Cause::Tarpit => format!("holds the request, then answers {}", reply.status),
        Cause::Exporter => "answers with the metrics".to_owned(),
        Cause::Deny | Cause::Auth | Cause::Return => format!("answers {}", reply.status),
    }
}

/// The standard phrase of a status.
pub fn phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

/// Microseconds since 1970 as RFC 3339: whole seconds, or all six digits, so that a list stays in columns.
pub fn time(unix_us: i64) -> String {
    match jiff::Timestamp::from_microsecond(unix_us) {
        Ok(time) if unix_us % 1_000_000 == 0 => time.to_string(),
        Ok(time) => format!("{time:.6}"),
        Err(_) => unix_us.to_string(),
    }
}

/// RFC 3339 as microseconds since 1970.
///
/// # Errors
/// It is none.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|e| format!("`{text}` is no time such as 2026-03-01T09:00:00Z: {e}"))?;
    Ok(time.as_microsecond())
}
