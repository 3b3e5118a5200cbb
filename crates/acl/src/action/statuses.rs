//! Which statuses of servers count as errors of the client and which as failures of the server (`http-err-codes`,
//! `http-fail-codes`). Read at load, asked by [`on_status`](super::track::on_status).

use std::fmt;

/// A set of statuses, 100 to 599.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Statuses([u64; 8]);

/// Both sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Counted by `http_err_cnt` and `http_err_rate`.
    pub errors: Statuses,
    /// Counted by `http_fail_cnt` and `http_fail_rate`.
    pub failures: Statuses,
}

impl Default for Counted {
    /// 400 to 499; 500 to 599 but for 501 and 505.
    fn default() -> Counted {
        let (mut errors, mut failures) = (Statuses::NONE, Statuses::NONE);
        (400..=499).for_each(|status| errors.set(status, true));
        (500..=599).for_each(|status| failures.set(status, !matches!(status, 501 | 505)));
        Counted { errors, failures }
    }
}

impl Statuses {
    const NONE: Statuses = Statuses([0; 8]);
    const FIRST: u16 = 100;
    const LAST: u16 = 599;

    /// Applies words separated by spaces, each a list of statuses and ranges such as `400,402-444`: one that begins with a `+`
    /// adds, with a `-` removes; the first that begins with neither empties the set before. The error is a sentence.
    pub fn change(&mut self, text: &str) -> Result<(), String> {
        let mut result = *self;
        let mut emptied = false;
        let mut words = 0;
        for word in text.split_ascii_whitespace() {
            words += 1;
            let (add, list) = match word.split_at_checked(1) {
                Some(("+", list)) => (true, list),
                Some(("-", list)) => (false, list),
                _ => {
                    if !std::mem::replace(&mut emptied, true) {
                        result = Statuses::NONE;
                    }
                    (true, word)
                }
            };
            for range in list.split(',') {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                match (status(first), status(last)) {
                    (Some(first), Some(last)) if first <= last => (first..=last).for_each(|s| result.set(s, add)),
                    _ => return Err(format!("`{range}` is neither a status from 100 to 599 nor a range of them")),
                }
            }
        }
        if words == 0 {
            return Err("no status is named".into());
        }
        *self = result;
        Ok(())
    }

    /// Whether it holds `status`.
    pub fn contains(&self, status: u16) -> bool {
        (Statuses::FIRST..=Statuses::LAST).contains(&status) && {
            let (word, bit) = place(status);
            self.0[word] & bit != 0
        }
    }

    fn set(&mut self, status: u16, held: bool) {
        let (word, bit) = place(status);
        if held {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
    }
}

/// Word and bit of a status from 100 to 599.
fn place(status: u16) -> (usize, u64) {
    let at = usize::from(status - Statuses::FIRST);
    (at / 64, 1 << (at % 64))
}

fn status(text: &str) -> Option<u16> {
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|status| digits && (Statuses::FIRST..=Statuses::LAST).contains(status))
}

impl fmt::Display for Statuses {
    /// Ranges in order: `400-449,451-499`; `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = (Statuses::FIRST..=Statuses::LAST).filter(|status| self.contains(*status)).peekable();
        if rest.peek().is_none() {
            return f.write_str("none");
        }
        let mut comma = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if_eq(&(last + 1)) {
                last = next;
            }
            match last == first {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str) -> Result<String, String> {
        let mut errors = Counted::default().errors;
        errors.change(text).map(|()| errors.to_string())
    }

    #[test]
    fn lists_replace_add_and_remove() {
        assert_eq!(Counted::default().errors.to_string(), "400-499");
        assert_eq!(Counted::default().failures.to_string(), "500,502-504,506-599");
        for (text, expected) in [
            ("400,402-444,446-480,490", "400,402-444,446-480,490"),
            ("400-499 -450 +500", "400-449,451-500"),
            ("-450-459", "400-449,460-499"),
            ("+501,505", "400-499,501,505"),
            ("-400-499", "none"),
            ("404 410", "404,410"),
            ("-404 410", "410"),
            ("100-599", "100-599"),
        ] {
            assert_eq!(changed(text), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "  ", "+", "4040", "40", "099", "600", "404-400", "404,", "x", "400-", "++404", "404-410-420"]
        {
            assert!(changed(text).is_err(), "{text}");
        }
        let mut kept = Counted::default().errors;
        assert!(kept.change("404 4x4").is_err());
        assert_eq!(kept, Counted::default().errors);
    }

    #[test]
    fn what_is_no_status_is_not_held() {
        let mut all = Statuses::NONE;
        assert_eq!(all.change("100-599"), Ok(()));
        assert!(all.contains(100) && all.contains(599));
        assert!(![0, 99, 600, u16::MAX].into_iter().any(|status| all.contains(status)));
    }
}
