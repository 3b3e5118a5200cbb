//! What is wrong with the files and options of TLS, as data that config turns into a diagnostic with its place.
//!
//! Every loader reports all it finds into one list; nothing here decides whether to go on, severity does.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong; something was left out that the file asks for.
    Note,
    /// It works today or in part.
    Warning,
    /// It cannot work.
    Error,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The configuration key it belongs to, such as `certificates`.
    pub key: &'static str,
    /// Which item of that key's list.
    pub index: Option<usize>,
    /// The file it was found in.
    pub file: Option<PathBuf>,
    /// The line of that file, from 1.
    pub line: Option<u32>,
    /// What is wrong, without the file's name.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// An error without a place.
    pub fn error(key: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            key,
            index: None,
            file: None,
            line: None,
            message: message.into(),
            hint: None,
        }
    }

    /// A warning without a place.
    pub fn warning(key: &'static str, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(key, message) }
    }

    /// A note without a place.
    pub fn note(key: &'static str, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Note, ..Problem::error(key, message) }
    }

    /// Says which file.
    pub fn file(mut self, path: &Path) -> Problem {
        self.file = Some(path.to_path_buf());
        self
    }

    /// Says which line.
    pub fn line(mut self, line: u32) -> Problem {
        self.line = Some(line);
        self
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// Says which item of the key's list, unless that is known already.
    pub fn at(mut self, key: &'static str, index: Option<usize>) -> Problem {
        self.key = key;
        self.index = self.index.or(index);
        self
    }
}

/// `file:line: message (hint)`, for logs and the control socket.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Whether any of them is an error.
pub fn any_error(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_prints_its_place_and_hint() {
        let problem = Problem::error("certificates", "no key").file(Path::new("a.pem")).line(3).hint("add one");
        assert_eq!(problem.to_string(), "a.pem:3: no key (add one)");
        assert_eq!(Problem::note("certificates", "nothing").to_string(), "nothing");
        assert!(any_error(std::slice::from_ref(&problem)));
        assert!(!any_error(&[Problem::warning("certificates", "old")]));
        assert_eq!(problem.at("crt-list", Some(2)).index, Some(2));
    }
}
