//! A proxy whose ends are looked at one by one: each brought about must be in the log with its reason, and counted.

use std::cell::RefCell;
use std::collections::BTreeMap;

use evenkeel_testkit::Proxy;
use serde_json::Value;

/// The `[global]` of such a proxy: one worker, JSON lines on standard output. More keys of `[global]` may follow.
pub const GLOBAL: &str =
    "[global]\nthreads = 1\nadmin = { listen = \"@admin@\" }\nlog = [{ target = \"stdout\", format = \"json\" }]\n";

/// A proxy and how often each end was brought about.
#[derive(Debug)]
pub struct Watch {
    /// The proxy.
    pub proxy: Proxy,
    counts: RefCell<BTreeMap<String, f64>>,
}

impl Watch {
    /// Starts it.
    pub fn start(config: &str) -> Watch {
        Watch { proxy: Proxy::start(config), counts: RefCell::default() }
    }

    /// Where the log stands.
    pub fn mark(&self) -> usize {
        self.proxy.process().mark()
    }

    /// The line behind `mark` that names `reason`, after which the metric has counted it once more.
    ///
    /// # Panics
    /// When there is none, or the metric says otherwise.
    pub fn ended(&self, mark: usize, reason: &str) -> Value {
        let v = self.line(mark, reason);
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(reason.to_owned()).or_default();
        *count += 1.0;
        self.proxy.wait_metric(&metric(reason), *count);
        v
    }

    /// The line behind `mark` that names `reason`.
    ///
    /// # Panics
    /// When there is none.
    pub fn line(&self, mark: usize, reason: &str) -> Value {
        let field = format!("\"reason\":\"{reason}\"");
        let what = format!("with {reason}");
        let line = self.proxy.process().wait_line(mark, &what, |l| l.starts_with('{') && l.contains(&field));
        let v: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        if reason != "normal" {
            assert!(v["reason_code"].as_str().is_some_and(|c| c.starts_with("EV") && c.len() == 5), "{line}");
        }
        v
    }

    /// The line behind `mark` of a request whose URI contains `part`.
    ///
    /// # Panics
    /// When there is none.
    pub fn request(&self, mark: usize, part: &str) -> Value {
        let is_it = |l: &str| {
            let v: Option<Value> = l.starts_with('{').then(|| serde_json::from_str(l).ok()).flatten();
            v.is_some_and(|v| v["uri"].as_str().is_some_and(|uri| uri.contains(part)))
        };
        let line = self.proxy.process().wait_line(mark, &format!("of a request for {part}"), is_it);
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }
}

/// The metric of a reason.
pub fn metric(reason: &str) -> String {
    format!("evenkeel_transactions_ended_total{{reason=\"{reason}\"}}")
}
