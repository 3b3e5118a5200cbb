//! Words: how a rule line is cut, with HAProxy's quoting, and where each byte stood.
//!
//! Called by every parser of this crate. Invariant: [`Word::span`] maps any part of a word's text back to the bytes of the
//! line it was written with, so that an error points at the exact place even behind quotes and escapes.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::{Fault, code};

/// One word of a line, quotes and escapes resolved.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) bytes: Vec<u8>,
    /// Where it stands in the line, quotes included.
    pub(crate) range: Range<usize>,
    /// Quoted in part or whole: then it is a value, never `if`, `{`, `or` or a flag.
    quoted: bool,
    /// Byte offset in the line of each byte of `bytes`.
    at: Vec<usize>,
}

impl Word {
    /// A word that stands for the bytes `range` of a line, whatever they were written with.
    pub(crate) fn literal(bytes: &[u8], range: Range<usize>) -> Word {
        let at = vec![range.start; bytes.len()];
        Word { bytes: bytes.to_vec(), range, quoted: true, at }
    }

    /// All of `text` as one word: blanks, quotes and backslashes stand for themselves.
    pub(crate) fn verbatim(text: &str) -> Word {
        Word { bytes: text.into(), range: 0..text.len(), quoted: true, at: (0..text.len()).collect() }
    }

    /// Whether this is the bare keyword `keyword`.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.bytes == keyword.as_bytes()
    }

    /// Whether this word is a flag: bare, and begins with `-`.
    pub(crate) fn is_flag(&self) -> bool {
        !self.quoted && self.bytes.len() > 1 && self.bytes[0] == b'-'
    }

    pub(crate) fn is_quoted(&self) -> bool {
        self.quoted
    }

    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Where the bytes `part` of this word stand in the line.
    pub(crate) fn span(&self, part: Range<usize>) -> Range<usize> {
        match (self.at.get(part.start), part.end.checked_sub(1).and_then(|last| self.at.get(last))) {
            (Some(&start), Some(&last)) if part.start < part.end => {
                start..self.at.get(part.end).copied().unwrap_or(last + 1)
            }
            _ => self.range.clone(),
        }
    }

    /// The word without its first `n` bytes; used for `!acl`.
    pub(crate) fn skip(&self, n: usize) -> Word {
        let start = self.at.get(n).copied().unwrap_or(self.range.end);
        Word {
            bytes: self.bytes[n..].to_vec(),
            range: start..self.range.end,
            quoted: self.quoted,
            at: self.at[n..].to_vec(),
        }
    }
}

/// Cuts `text` into words: blanks separate, `'...'` is literal, `"..."` knows escapes, `\` protects a blank.
///
/// `#` begins no comment: a rule line is a TOML string, and TOML has its own.
pub(crate) fn split(text: &str) -> Result<Vec<Word>, Fault> {
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut pos = 0;
    while pos < bytes.len() {
        if is_blank(bytes[pos]) {
            pos += 1;
            continue;
        }
        let start = pos;
        let mut word = Word { bytes: Vec::new(), range: start..start, quoted: false, at: Vec::new() };
        let mut quote: Option<(u8, usize)> = None;
        while pos < bytes.len() {
            let byte = bytes[pos];
            match (byte, quote) {
                (b, None) if is_blank(b) => break,
                (b'\'' | b'"', None) => {
                    quote = Some((byte, pos));
                    word.quoted = true;
                    pos += 1;
                }
                (b, Some((open, _))) if b == open => {
                    quote = None;
                    pos += 1;
                }
                (b'\\', None | Some((b'"', _))) => {
                    let (value, taken) = escape(text, pos, quote.is_some())?;
                    word.at.push(pos);
                    word.bytes.push(value);
                    pos += taken;
                }
                (b, _) => {
                    word.at.push(pos);
                    word.bytes.push(b);
                    pos += 1;
                }
            }
        }
        if let Some((open, at)) = quote {
            return Err(Fault::new(
                code::QUOTE,
                at..bytes.len(),
                format!("the quote {} is never closed", open as char),
            )
            .hint(format!("close it with {}, or write \\{} for the character itself", open as char, open as char)));
        }
        word.range = start..pos;
        words.push(word);
    }
    Ok(words)
}

/// Resolves the escape at `pos`: its value and how many bytes of the line it took.
fn escape(text: &str, pos: usize, quoted: bool) -> Result<(u8, usize), Fault> {
    let bytes = text.as_bytes();
    let Some(&next) = bytes.get(pos + 1) else {
        return Err(Fault::new(code::QUOTE, pos..pos + 1, "a backslash ends the line")
            .hint("write \\\\ for a backslash, or remove it"));
    };
    Ok(match next {
        b'n' => (b'\n', 2),
        b'r' => (b'\r', 2),
        b't' => (b'\t', 2),
        b'x' => {
            let digits = bytes.get(pos + 2..pos + 4).and_then(|digits| std::str::from_utf8(digits).ok());
            let value = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
            match value.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                Some(value) => (value, 4),
                None => {
                    return Err(Fault::new(code::QUOTE, pos..pos + 2, "\\x is followed by two hex digits")
                        .hint("write \\x0a, or \\\\x for a backslash and an x"));
                }
            }
        }
        b' ' | b'\t' | b'\\' | b'#' | b'\'' | b'"' => (next, 2),
        b'$' if quoted => (next, 2),
        // Anything else keeps its backslash, as in haproxy.cfg, so that `\.css$` and `\d` reach a regex whole.
        _ => (b'\\', 1),
    })
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// A reader over the words of one line.
#[derive(Debug)]
pub(crate) struct Words<'w> {
    words: &'w [Word],
    pos: usize,
}

impl<'w> Words<'w> {
    pub(crate) fn new(words: &'w [Word]) -> Words<'w> {
        Words { words, pos: 0 }
    }

    pub(crate) fn peek(&self) -> Option<&'w Word> {
        self.words.get(self.pos)
    }

    pub(crate) fn next(&mut self) -> Option<&'w Word> {
        let word = self.words.get(self.pos)?;
        self.pos += 1;
        Some(word)
    }

    /// The next word, unless the line ends or its condition begins.
    pub(crate) fn argument(&mut self, code: &'static str, what: &str) -> Result<&'w Word, Fault> {
        match self.next() {
            Some(word) => Ok(word),
            None => Err(Fault::new(code, self.last_range(), format!("{what} is missing"))),
        }
    }

    pub(crate) fn rest(&self) -> &'w [Word] {
        &self.words[self.pos..]
    }

    /// Moves to the condition, if there is one further on; used to go on after a mistake.
    pub(crate) fn seek_condition(&mut self) {
        while self.peek().is_some_and(|word| !starts_condition(word)) {
            self.pos += 1;
        }
    }

    /// Where the last word read stands: where something missing is reported.
    pub(crate) fn last_range(&self) -> Range<usize> {
        self.pos.checked_sub(1).and_then(|last| self.words.get(last)).map_or(0..0, |word| word.range.clone())
    }
}

/// Whether `word` is `if` or `unless`.
pub(crate) fn starts_condition(word: &Word) -> bool {
    word.is("if") || word.is("unless")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(text: &str) -> Vec<String> {
        split(text).unwrap().iter().map(|word| word.text().into_owned()).collect()
    }

    #[test]
    fn words_are_cut_as_haproxy_cuts_them() {
        for (text, expected) in [
            ("", vec![]),
            ("  deny \t if  x ", vec!["deny", "if", "x"]),
            (r"a\ b c", vec!["a b", "c"]),
            (r#""a b" 'c d'"#, vec!["a b", "c d"]),
            (r#"a"b c"d'e f'"#, vec!["ab cde f"]),
            (r#""say \"hi\"" '\n'"#, vec![r#"say "hi""#, r"\n"]),
            (r"\x41\x20b \t", vec!["A b", "\t"]),
            (r#""""#, vec![""]),
            (r"^/v\d+ \.css", vec![r"^/v\d+", r"\.css"]),
            (r#"a\.b\$c\ d\'e\"f\{g\#h\1i"\.j\dk\$l\'m\ n""#, vec![r#"a\.b\$c d'e"f\{g#h\1i\.j\dk$l'm n"#]),
            ("a#b #c", vec!["a#b", "#c"]),
            ("é\\é", vec!["é\\é"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn broken_quotes_point_at_the_quote() {
        for (text, range) in [("a 'b c", 2..6), ("a \"b", 2..4), ("a\\", 1..2), (r"a \xg0", 2..4)] {
            let fault = split(text).unwrap_err();
            assert_eq!((fault.code, fault.range), (code::QUOTE, range), "{text}");
        }
    }

    #[test]
    fn spans_see_through_quotes_and_escapes() {
        let text = r#"x "a\"bc" d"#;
        let words = split(text).unwrap();
        assert_eq!(&text[words[1].span(0..1)], "a");
        assert_eq!(&text[words[1].span(1..2)], "\\\"");
        assert_eq!(&text[words[1].span(2..4)], "bc");
        assert_eq!(&text[words[1].range.clone()], r#""a\"bc""#);
    }
}
