//! The certificates on the stats page: one line each, the one that ends first at the top.
//!
//! Called by [`super::Page`]. Amber is for what should have been renewed, red for what clients refuse or soon will.

use crate::human;
use crate::view::{CertificateView, Lapse, OcspView};

/// Certificates that are written unless all are asked for; those in red always are.
const SHOWN: usize = 20;

/// Names of one certificate that are written.
const NAMES: usize = 4;

pub(super) struct Certificates {
    pub(super) lines: Vec<CertLine>,
    pub(super) left_out: String,
}

pub(super) struct CertLine {
    pub(super) id: String,
    pub(super) class: &'static str,
    pub(super) icon: &'static str,
    pub(super) names: String,
    pub(super) hint: String,
    pub(super) path: String,
    pub(super) notes: String,
    pub(super) days: String,
    pub(super) end: String,
    pub(super) issuer: String,
    pub(super) key: String,
    pub(super) frontends: String,
    pub(super) ocsp: String,
}

impl Certificates {
    pub(super) fn new(all: &[CertificateView], filter: &str, everything: bool, now: u64) -> Certificates {
        let filter = filter.to_lowercase();
        let matches = |c: &&CertificateView| {
            filter.is_empty()
                || c.path.to_lowercase().contains(&filter)
                || c.issuer.to_lowercase().contains(&filter)
                || c.frontends.iter().chain(&c.names).any(|text| text.to_lowercase().contains(&filter))
        };
        let matching: Vec<&CertificateView> = all.iter().filter(matches).collect();
        let shown = matching.iter().enumerate().filter(|(at, c)| everything || *at < SHOWN || c.lapse.is_alarming());
        let lines: Vec<CertLine> = shown.map(|(_, c)| line(c, now)).collect();
        let left_out = match matching.len() - lines.len() {
            0 => String::new(),
            n => human::plural(n, "more certificate"),
        };
        Certificates { lines, left_out }
    }
}

fn line(c: &CertificateView, now: u64) -> CertLine {
    let (class, icon) = match c.lapse {
        Lapse::Good => ("up", "\u{25cf}"),
        Lapse::Month | Lapse::Fortnight => ("going", "\u{25d0}"),
        Lapse::Week | Lapse::Day | Lapse::Expired | Lapse::NotYet => ("down", "\u{25bc}"),
    };
    let mut notes = Vec::new();
    if c.sent {
        notes.push("sent, not from its file");
    }
    if c.watched {
        notes.push("watched");
    }
    let rest = c.names.len().saturating_sub(NAMES);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    CertLine {
        id: id(&c.path),
        class,
        icon,
        names: match c.names.is_empty() {
            true => "no name".into(),
            false => c.names[..c.names.len().min(NAMES)].join(", ") + &more,
        },
        hint: c.names.join(" "),
        path: c.path.clone(),
        notes: notes.join(", "),
        days: c.when(),
        end: human::timestamp(u64::try_from(c.not_after).unwrap_or(0)),
        issuer: c.issuer.clone(),
        key: c.key.clone(),
        frontends: c.frontends.join(", "),
        ocsp: c.ocsp.as_ref().map(|ocsp| stapled(ocsp, now)).unwrap_or_default(),
    }
}

fn stapled(ocsp: &OcspView, now: u64) -> String {
    let mut text = match ocsp.until {
        Some(until) => {
            let left = u64::try_from(until).unwrap_or(0).saturating_sub(now);
            format!("stapled, holds {}", human::duration(left))
        }
        None => "not stapled".to_owned(),
    };
    if let Some(error) = &ocsp.error {
        text.push_str(&format!("\n{error}"));
    }
    text
}

/// An id that a link can name.
pub(super) fn id(path: &str) -> String {
    super::row_id("certificate", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(n: usize) -> Vec<CertificateView> {
        (0..n)
            .map(|n| CertificateView {
                path: format!("/c/{n}.pem"),
                names: (0..6).map(|name| format!("n{name}.example")).collect(),
                frontends: vec!["web".into()],
                not_after: 1_800_000_000,
                days_left: 60,
                ..CertificateView::default()
            })
            .collect()
    }

    #[test]
    fn what_is_near_its_end_is_always_shown() {
        let mut all = many(SHOWN + 5);
        all[SHOWN + 2].lapse = Lapse::Expired;
        let page = Certificates::new(&all, "", false, 0);
        assert_eq!((page.lines.len(), page.left_out.as_str()), (SHOWN + 1, "4 more certificates"));
        assert_eq!((page.lines[SHOWN].class, page.lines[0].class), ("down", "up"));
        assert_eq!(page.lines[0].names, "n0.example, n1.example, n2.example, n3.example and 2 more");
        assert_eq!(Certificates::new(&all, "", true, 0).lines.len(), SHOWN + 5);
        assert_eq!(Certificates::new(&all, "/C/7.pem", false, 0).lines.len(), 1);
        assert_eq!(Certificates::new(&all, "n5.EXAMPLE", true, 0).lines.len(), SHOWN + 5);
        assert_eq!(Certificates::new(&all, "nothing", true, 0).lines.len(), 0);
    }

    #[test]
    fn ocsp_says_how_long_and_what_failed() {
        let ocsp = OcspView { until: Some(3700), error: Some("HTTP error".into()), ..OcspView::default() };
        assert_eq!(stapled(&ocsp, 100), "stapled, holds 1h 00m\nHTTP error");
        assert_eq!(stapled(&OcspView::default(), 100), "not stapled");
    }
}
