//! Where things stand: byte ranges in the files of one load, and their lines.

use std::ops::Range;
use std::sync::Arc;

use crate::Source;
use crate::model::Place;

/// A byte range of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct At {
    /// Index into [`Files`].
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl At {
    /// A range of a file.
    pub fn new(file: usize, span: Range<usize>) -> At {
        // Files are at most `MAX_FILE_SIZE`, which fits; anything else is cut rather than wrapped.
        let cut = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        At { file: cut(file), start: cut(span.start), end: cut(span.end.max(span.start)) }
    }

    /// The range in bytes.
    pub fn span(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// The files of one load, with the start of each line.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    sources: &'a [Source],
    lines: Vec<Vec<u32>>,
}

impl<'a> Files<'a> {
    /// Indexes the lines.
    pub fn new(sources: &'a [Source]) -> Files<'a> {
        let lines = sources
            .iter()
            .map(|s| {
                let breaks = memchr::memchr_iter(b'\n', s.text.as_bytes()).map(|at| at as u32 + 1);
                std::iter::once(0).chain(breaks).collect()
            })
            .collect();
        Files { sources, lines }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sources.len()
    }

    /// The source `at` points into.
    pub fn source(&self, at: At) -> &'a Source {
        &self.sources[at.file as usize]
    }

    /// The bytes at `at`, if they are there and whole characters.
    pub fn text(&self, at: At) -> Option<&'a str> {
        self.source(at).text.get(at.span())
    }

    /// Line from 1.
    pub fn line(&self, at: At) -> u32 {
        self.lines[at.file as usize].partition_point(|start| *start <= at.start).max(1) as u32
    }

    /// Line from 1, and column from 1 in characters.
    pub fn line_column(&self, at: At) -> (u32, u32) {
        let line = self.line(at);
        let begin = self.lines[at.file as usize][line as usize - 1] as usize;
        let text = &self.source(at).text;
        let end = (at.start as usize).min(text.len());
        let column = text.as_bytes()[begin..end].iter().filter(|b| **b & 0xC0 != 0x80).count() + 1;
        (line, column as u32)
    }

    /// The place a page or a log line names.
    pub fn place(&self, at: At) -> Place {
        Place { file: Arc::clone(&self.source(at).name), line: self.line(at) }
    }

    /// `range` of the text of a string value, as a range of the file; the whole literal when escapes or an expansion
    /// make the two differ.
    pub fn inside(&self, literal: At, value: &str, range: Range<usize>) -> At {
        let exact = || {
            let raw = self.text(literal)?;
            let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
            // A line break right after the opening quotes is not part of the value (TOML 1.0, multi-line strings).
            let skipped = match &raw.get(quotes..)? {
                rest if quotes == 3 && rest.starts_with("\r\n") => 2,
                rest if quotes == 3 && rest.starts_with('\n') => 1,
                _ => 0,
            };
            let begin = quotes + skipped;
            let end = begin + value.len();
            let same = raw.get(begin..end)? == value && raw.len() == end + quotes;
            let inner = value.get(range.clone()).is_some();
            (same && inner).then(|| {
                let base = literal.start as usize + begin;
                At::new(literal.file as usize, base + range.start..base + range.end)
            })
        };
        exact().unwrap_or(literal)
    }
}
