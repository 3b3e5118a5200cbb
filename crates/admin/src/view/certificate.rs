//! A certificate as operators see it, and how near its end is.
//!
//! Filled by the caller once a picture; shown on the page, in `/api/v1/stats`, and by `evenkeel cert`, which reads it back from
//! the control socket. Never: reads a clock. Serialised as it stands, so a field's name is a contract.

use serde::{Deserialize, Serialize};

const DAY: i64 = 86_400;

/// One certificate that binds serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// The file it is known by.
    pub path: String,
    /// Its common name and alternative names.
    pub names: Vec<String>,
    /// Who signed it: the common name, else the organisation.
    pub issuer: String,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate in hexadecimal.
    pub sha256: String,
    /// Kind and size of its key.
    pub key: String,
    /// Certificates that are sent with it.
    pub chain: usize,
    /// First second of its validity, Unix time.
    pub not_before: i64,
    /// Last second of its validity, Unix time.
    pub not_after: i64,
    /// Whole days until its end; negative afterwards.
    pub days_left: i64,
    /// How near its end is.
    pub lapse: Lapse,
    /// The frontends that serve it.
    pub frontends: Vec<String>,
    /// Whether its files are watched for changes.
    pub watched: bool,
    /// Whether it was sent to the process, and differs from what its file held when that was read last.
    pub sent: bool,
    /// OCSP; `None` while nothing is stapled and nothing is fetched.
    pub ocsp: Option<OcspView>,
}

/// OCSP of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OcspView {
    /// Until when the response that is stapled holds, Unix time; `None` while none is.
    pub until: Option<i64>,
    /// Whether responses are fetched.
    pub update: bool,
    /// Who is asked.
    pub responder: Option<String>,
    /// When it is asked next, Unix time.
    pub next: Option<i64>,
    /// How often an answer was stapled.
    pub succeeded: u64,
    /// How often there was none that could be.
    pub failed: u64,
    /// Why the last time failed; `None` when it did not.
    pub error: Option<String>,
}

/// How near the end of a certificate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lapse {
    /// Far.
    #[default]
    Good,
    /// 30 days or less.
    Month,
    /// 14 days or less.
    Fortnight,
    /// 7 days or less.
    Week,
    /// One day or less.
    Day,
    /// It is over.
    Expired,
    /// Its time has not begun.
    NotYet,
}

impl Lapse {
    /// At `now`, Unix time. The days are those of a certificate that lives 90 days or longer; of a shorter life it is the same
    /// share, since whoever renews such a one automatically does it later.
    pub fn of(not_before: i64, not_after: i64, now: i64) -> Lapse {
        if now < not_before {
            return Lapse::NotYet;
        }
        let left = not_after.saturating_sub(now);
        let life = not_after.saturating_sub(not_before).clamp(0, 90 * DAY);
        let within = |days: i64| left <= life.saturating_mul(days) / 90;
        match () {
            () if left < 0 => Lapse::Expired,
            () if within(1) => Lapse::Day,
            () if within(7) => Lapse::Week,
            () if within(14) => Lapse::Fortnight,
            () if within(30) => Lapse::Month,
            () => Lapse::Good,
        }
    }

    /// Whether clients refuse it now, or soon.
    pub fn is_alarming(self) -> bool {
        self >= Lapse::Week
    }
}

impl CertificateView {
    /// The first name, or the path of one without names.
    pub fn name(&self) -> &str {
        self.names.first().map_or(&self.path, String::as_str)
    }

    /// What is to be said of its dates: `expires in 12 days`, `expired 2 days ago`.
    pub fn when(&self) -> String {
        let days = |n: i64| format!("{n} day{}", if n == 1 { "" } else { "s" });
        match self.lapse {
            Lapse::Expired => match self.days_left.saturating_neg() {
                ..=1 => "expired within the last day".into(),
                n => format!("expired {} ago", days(n - 1)),
            },
            Lapse::NotYet => "not valid yet".into(),
            _ if self.days_left == 0 => "expires within a day".into(),
            _ => format!("expires in {}", days(self.days_left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_comes_nearer_in_steps() {
        let end = 400 * DAY;
        let at = |left: i64| Lapse::of(0, end, end - left);
        for (left, lapse) in [
            (30 * DAY + 1, Lapse::Good),
            (30 * DAY, Lapse::Month),
            (14 * DAY + 1, Lapse::Month),
            (14 * DAY, Lapse::Fortnight),
            (7 * DAY, Lapse::Week),
            (DAY, Lapse::Day),
            (0, Lapse::Day),
            (-1, Lapse::Expired),
        ] {
            assert_eq!(at(left), lapse, "{left}");
        }
        assert_eq!(Lapse::of(10, 20, 9), Lapse::NotYet);
        assert!(Lapse::Week.is_alarming() && !Lapse::Fortnight.is_alarming() && Lapse::NotYet.is_alarming());
    }

    #[test]
    fn a_short_life_is_measured_by_its_length() {
        let end = 6 * DAY;
        assert_eq!(Lapse::of(0, end, 3 * DAY), Lapse::Good);
        assert_eq!(Lapse::of(0, end, 4 * DAY), Lapse::Month);
        assert_eq!(Lapse::of(0, end, end - DAY / 2), Lapse::Fortnight);
        assert_eq!(Lapse::of(i64::MIN, i64::MAX, 0), Lapse::Good);
        assert_eq!(Lapse::of(5, 5, 5), Lapse::Day);
    }

    #[test]
    fn dates_are_told_in_days() {
        let told = |lapse, days_left| CertificateView { lapse, days_left, ..CertificateView::default() }.when();
        assert_eq!(told(Lapse::Good, 90), "expires in 90 days");
        assert_eq!(told(Lapse::Week, 1), "expires in 1 day");
        assert_eq!(told(Lapse::Day, 0), "expires within a day");
        assert_eq!(told(Lapse::Expired, -1), "expired within the last day");
        assert_eq!(told(Lapse::Expired, -3), "expired 2 days ago");
        assert_eq!(told(Lapse::NotYet, 9), "not valid yet");
    }
}
