//! Which certificates near their end are to be told of in the log now.
//!
//! Called by the control thread now and then; pure. A certificate is told of when it comes a step nearer to its end
//! ([`Lapse`]), and in its last week, and afterwards, once a day.

use std::collections::HashMap;

use evenkeel_admin::view::{CertificateView, Lapse};

const DAY: i64 = 86_400;

/// Lines written at once; the rest is counted in one more.
const LINES: usize = 20;

/// What was told already.
#[derive(Debug, Default)]
pub struct Lapses(HashMap<String, Told>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    not_after: i64,
    lapse: Lapse,
    at: i64,
}

/// A line of the program log.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Clients refuse it.
    pub is_error: bool,
    /// The sentence.
    pub text: String,
}

impl Lapses {
    /// The lines to write at `now`, in seconds since 1970.
    pub fn due(&mut self, certificates: &[CertificateView], now: i64) -> Vec<Line> {
        let before = std::mem::take(&mut self.0);
        let mut lines = Vec::new();
        let mut more = 0;
        for certificate in certificates.iter().filter(|c| c.lapse != Lapse::Good) {
            let (lapse, not_after) = (certificate.lapse, certificate.not_after);
            let told = before.get(&certificate.path).copied().filter(|told| told.not_after == not_after);
            let again = |told: Told| told.lapse != lapse || lapse.is_alarming() && now - told.at >= DAY;
            let told = match told {
                Some(told) if !again(told) => told,
                _ => {
                    if lines.len() < LINES {
                        lines.push(line(certificate));
                    } else {
                        more += 1;
                    }
                    Told { not_after, lapse, at: now }
                }
            };
            self.0.insert(certificate.path.clone(), told);
        }
        if more > 0 {
            let text = format!("{more} more certificates lapse or have lapsed: `evenkeel cert list` shows them all");
            lines.push(Line { is_error: false, text });
        }
        lines
    }
}

fn line(c: &CertificateView) -> Line {
    let is_error = matches!(c.lapse, Lapse::Expired | Lapse::NotYet);
    let next = match c.lapse {
        Lapse::NotYet => "clients refuse it until then; is the clock right?",
        Lapse::Expired => "clients refuse it; renew it, then `evenkeel cert replace`",
        _ => "renew it, then `evenkeel cert replace`",
    };
    Line { is_error, text: format!("certificate {} ({}) {}: {next}", c.path, c.name(), c.when()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 1_000 * DAY;

    fn at(now: i64) -> CertificateView {
        CertificateView {
            path: "a.pem".into(),
            names: vec!["a.example".into()],
            not_after: END,
            days_left: (END - now).div_euclid(DAY),
            lapse: Lapse::of(0, END, now),
            ..CertificateView::default()
        }
    }

    #[test]
    fn each_step_is_told_once_and_the_last_week_daily() {
        let mut lapses = Lapses::default();
        let mut told = Vec::new();
        let mut now = END - 40 * DAY;
        while now < END + 3 * DAY {
            // Twice at each moment: nothing is said twice.
            let lines = lapses.due(&[at(now)], now);
            assert_eq!(lapses.due(&[at(now)], now), []);
            told.extend(lines.into_iter().map(|line| (at(now).days_left, line.is_error)));
            now += DAY / 4;
        }
        let days: Vec<i64> = told.iter().map(|(days, _)| *days).collect();
        assert_eq!(days, [30, 14, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2, -3], "{told:?}");
        assert!(told.iter().all(|(days, error)| (*days < 0) == *error), "{told:?}");
    }

    #[test]
    fn a_renewed_certificate_begins_anew_and_many_are_counted() {
        let mut lapses = Lapses::default();
        let now = END - DAY / 2;
        assert_eq!(lapses.due(&[at(now)], now).len(), 1);
        let renewed = CertificateView { not_after: END + 20 * DAY, lapse: Lapse::Month, ..at(now) };
        assert_eq!(lapses.due(std::slice::from_ref(&renewed), now).len(), 1);
        assert_eq!(lapses.due(&[], now), []);
        assert_eq!(lapses.due(&[renewed], now).len(), 1, "what was gone is told of again");
        let many: Vec<_> = (0..LINES + 5).map(|n| CertificateView { path: n.to_string(), ..at(now) }).collect();
        let lines = lapses.due(&many, now);
        assert_eq!(lines.len(), LINES + 1);
        assert!(lines[LINES].text.starts_with("5 more certificates"), "{:?}", lines[LINES]);
    }
}
