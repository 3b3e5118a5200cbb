//! What is wrong with a configuration, how a person reads it and how a program does.
//!
//! Every stage of the loader reports into one [`Sink`]; nothing stops at the first mistake. [`crate::Loaded`] holds the
//! result in file order.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet, normalize_untrusted_str};
use serde_json::{Value, json};

use crate::place::{At, Files};
use crate::{Loaded, Source};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but is hardly what was meant.
    Warning,
    /// It may well be meant, and somebody asked.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable code, explained by [`crate::explain`].
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The file, as named by the caller.
    pub file: Arc<str>,
    /// Bytes of the file at fault; empty at 0 when it could not be read.
    pub span: Range<usize>,
    /// Line of the first byte, from 1; 0 when the file could not be read.
    pub line: u32,
    /// Column of the first byte in characters, from 1; 0 when the file could not be read.
    pub column: u32,
    /// What to do.
    pub hint: Option<String>,
}

impl Loaded {
    /// Every diagnostic as a person reads it on a terminal, one block each, an empty line below.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text.push_str(&diagnostic.render(&self.sources, &renderer));
            text.push_str("\n\n");
        }
        text
    }

    /// Everything as one JSON object: `ok`, `errors`, `warnings`, `diagnostics`.
    pub fn to_json(&self) -> Value {
        let list: Vec<Value> = self.diagnostics.iter().map(Diagnostic::to_json).collect();
        json!({
            "ok": self.config.is_some(),
            "errors": self.errors(),
            "warnings": self.warnings(),
            "diagnostics": list,
        })
    }

    /// Number of errors.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// Number of warnings.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == severity).count()
    }
}

impl Diagnostic {
    /// One JSON object; `span` in bytes, `line` and `column` from 1.
    pub fn to_json(&self) -> Value {
        json!({
            "severity": self.severity.as_str(),
            "code": self.code,
            "message": self.message,
            "file": &*self.file,
            "line": self.line,
            "column": self.column,
            "span": [self.span.start, self.span.end],
            "hint": self.hint,
        })
    }

    fn render(&self, sources: &[Source], renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        // Names from the file may hold escape sequences; a terminal must not obey them.
        let title = level.primary_title(normalize_untrusted_str(&self.message)).id(self.code);
        let file = normalize_untrusted_str(&self.file);
        let mut group = match sources.iter().find(|s| s.name == self.file).filter(|_| self.line > 0) {
            Some(source) => {
                let (window, span) = window(&source.text, &self.span);
                let caret = AnnotationKind::Primary.span(span);
                title.element(Snippet::source(window).line_start(self.line as usize).path(file).annotation(caret))
            }
            None => title.element(Origin::path(file)),
        };
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(normalize_untrusted_str(hint)));
        }
        renderer.render(&[group])
    }
}

/// The line where `span` starts, and the part of `span` on it: a table of a thousand lines is pointed at, not printed.
fn window<'t>(text: &'t str, span: &Range<usize>) -> (&'t str, Range<usize>) {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[begin..].split('\n').next().unwrap_or_default();
    let line = line.strip_suffix('\r').unwrap_or(line);
    let from = (start - begin).min(line.len());
    let to = line.floor_char_boundary(span.end.saturating_sub(begin).clamp(from, line.len()));
    (line, from..to.max(from))
}

/// Collects what the stages find.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    raw: Vec<Raw>,
}

/// A diagnostic that does not know its line yet.
#[derive(Debug)]
pub(crate) struct Raw {
    severity: Severity,
    code: &'static str,
    message: String,
    at: At,
    hint: Option<String>,
}

impl Raw {
    /// Says what to do.
    pub fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }

    /// Says what to do, if anything is known.
    pub fn maybe_hint(&mut self, hint: Option<String>) {
        self.hint = hint;
    }
}

impl Sink {
    /// Reports an error.
    pub fn error(&mut self, code: &'static str, at: At, message: impl Into<String>) -> &mut Raw {
        self.push(Severity::Error, code, at, message.into())
    }

    /// Reports a warning.
    pub fn warn(&mut self, code: &'static str, at: At, message: impl Into<String>) -> &mut Raw {
        self.push(Severity::Warning, code, at, message.into())
    }

    /// Reports what may well be meant.
    pub fn note(&mut self, code: &'static str, at: At, message: impl Into<String>) -> &mut Raw {
        self.push(Severity::Note, code, at, message.into())
    }

    fn push(&mut self, severity: Severity, code: &'static str, at: At, message: String) -> &mut Raw {
        let index = self.raw.len();
        self.raw.push(Raw { severity, code, message, at, hint: None });
        &mut self.raw[index]
    }

    /// Number of reports so far.
    pub fn count(&self) -> usize {
        self.raw.len()
    }

    /// Whether any error was reported.
    pub fn has_errors(&self) -> bool {
        self.raw.iter().any(|raw| raw.severity == Severity::Error)
    }

    /// All reports in file order. A mistake in defaults is met once per proxy that takes them, and told once. On a line
    /// that is not valid TOML only that is told: what was guessed from the rest of it misleads.
    pub fn finish(mut self, files: &Files<'_>) -> Vec<Diagnostic> {
        self.raw.sort_by_key(|raw| (raw.at.file, raw.at.start, raw.at.end));
        let broken: HashSet<(u32, u32)> = self
            .raw
            .iter()
            .filter(|raw| raw.code == crate::codes::SYNTAX)
            .map(|raw| (raw.at.file, files.line(raw.at)))
            .collect();
        let mut told = HashSet::new();
        let mut list = Vec::new();
        for raw in self.raw {
            let (line, column) = files.line_column(raw.at);
            let on_broken_line = broken.contains(&(raw.at.file, line));
            let fresh = if on_broken_line {
                raw.code == crate::codes::SYNTAX && told.insert((raw.at.file, line, 0, raw.code, String::new()))
            } else {
                told.insert((raw.at.file, raw.at.start, raw.at.end, raw.code, raw.message.clone()))
            };
            if fresh {
                list.push(Diagnostic {
                    severity: raw.severity,
                    code: raw.code,
                    message: raw.message,
                    file: Arc::clone(&files.source(raw.at).name),
                    span: raw.at.span(),
                    line,
                    column,
                    hint: raw.hint,
                });
            }
        }
        list
    }
}
