//! The lines of a pattern file or map, read as HAProxy reads them.
//!
//! Called by [`Stores`](super::Stores). Takes any bytes: a line that is wrong is told by its number.

use std::fmt;

use super::entries::{Entries, MAX_BYTES, MAX_ENTRIES};

/// Bytes a line may have.
pub const MAX_LINE: usize = 64 << 10;

/// How the lines of a file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The line is the pattern (`-f`).
    Keys,
    /// The first word is the pattern, what follows the blanks after it the value (maps, `-M -f`).
    Pairs,
}

impl Shape {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Shape::Keys => "one pattern a line",
            Shape::Pairs => "a key and a value a line",
        }
    }
}

/// Why a pattern file could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The file, as the configuration names it.
    pub path: String,
    /// Line at fault, counted from 1; none where the fault is with the file.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads every line; the error is a line and a sentence.
pub(super) fn parse(bytes: &[u8], shape: Shape) -> Result<Entries, (usize, String)> {
    let mut entries = Entries::default();
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
        if line.len() > MAX_LINE {
            return Err((number, format!("the line has {} bytes and may have {MAX_LINE}", line.len())));
        }
        let Some((key, value)) = pair(line, shape) else { continue };
        if !entries.push(key, value, number) {
            return Err((number, format!("a file may hold {MAX_ENTRIES} patterns and {MAX_BYTES} bytes of them")));
        }
    }
    Ok(entries)
}

/// Key and value of a line; none where it is a comment or empty. A blank before `#` makes it a pattern.
fn pair(line: &[u8], shape: Shape) -> Option<(&[u8], &[u8])> {
    if line.starts_with(b"#") {
        return None;
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = match line.iter().rposition(|&byte| byte != b'\r') {
        Some(last) => &line[..=last],
        None => b"",
    };
    let line = &line[line.iter().position(|byte| !is_blank(byte))?..];
    match shape {
        // Blanks at the end belong to the pattern, as in HAProxy.
        Shape::Keys => Some((line, b"")),
        Shape::Pairs => {
            let (key, rest) = line.split_at(line.iter().position(is_blank).unwrap_or(line.len()));
            let start = rest.iter().position(|byte| !is_blank(byte)).unwrap_or(rest.len());
            let end = rest.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
            Some((key, &rest[start..end]))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Rng;

    fn read(text: &[u8], shape: Shape) -> Vec<(usize, String, String)> {
        let entries = parse(text, shape).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        entries.ids().map(|id| (entries.line(id), text(entries.key(id)), text(entries.value(id)))).collect()
    }

    #[test]
    fn lines_are_read_as_haproxy_reads_them() {
        let text = b"#c\n  #kept   v1  \r\nkey\nk2\t \tv a l  \t\n\n   \n\r\nlast nl";
        let pair = |line, key: &str, value: &str| (line, key.to_owned(), value.to_owned());
        assert_eq!(
            read(text, Shape::Pairs),
            [pair(2, "#kept", "v1"), pair(3, "key", ""), pair(4, "k2", "v a l"), pair(8, "last", "nl")]
        );
        assert_eq!(
            read(text, Shape::Keys),
            [pair(2, "#kept   v1  ", ""), pair(3, "key", ""), pair(4, "k2\t \tv a l  \t", ""), pair(8, "last nl", "")]
        );
        assert!(read(b"", Shape::Keys).is_empty());
    }

    #[test]
    fn a_line_too_long_is_told_by_its_number() {
        let mut text = b"a\nb\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', MAX_LINE + 1));
        assert_eq!(parse(&text, Shape::Keys).unwrap_err().0, 3);
        text.pop();
        assert_eq!(parse(&text, Shape::Keys).unwrap().len(), 3);
    }

    /// Any bytes are read, and no entry is empty or holds the end of a line.
    #[test]
    fn any_bytes_are_read() {
        let seed = 0x5eed_0005;
        let mut rng = Rng::new(seed);
        for round in 0..3000 {
            let text: Vec<u8> = (0..rng.below(40))
                .map(|_| match rng.below(3) {
                    0 => b"\n\r\t #"[rng.below(5) as usize],
                    _ => rng.below(256) as u8,
                })
                .collect();
            for shape in [Shape::Keys, Shape::Pairs] {
                let entries = parse(&text, shape).unwrap();
                for id in entries.ids() {
                    let (key, value) = (entries.key(id), entries.value(id));
                    let at = format!("seed {seed:#x} round {round} {text:?}");
                    assert!(!key.is_empty() && !key.contains(&b'\n') && !value.contains(&b'\n'), "{at}");
                    assert!(shape == Shape::Keys || !key.contains(&b' '), "{at}");
                    assert!(entries.line(id) >= 1, "{at}");
                }
            }
        }
    }
}
