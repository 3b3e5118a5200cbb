//! Mistakes in rule lines: their codes, their texts, and the nearest known name.
//!
//! Owns [`RuleError`] and [`CODES`]. Made by every parser of this crate as a [`Fault`] (a byte range of one line), turned
//! into a [`RuleError`] by the two doors that know which line it was. Invariant: every code used stands in [`CODES`].

use std::ops::Range;

/// A mistake in a rule line or acl.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// Index of the line in the list given.
    pub index: usize,
    /// Byte range of the word at fault in that line's text.
    pub range: Range<usize>,
    /// Stable code, `EK03xx`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// A mistake whose line is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) range: Range<usize>,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(code: &'static str, range: Range<usize>, message: impl Into<String>) -> Fault {
        Fault { range, code, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    /// Adds `hint` only where there is one, and keeps an earlier one otherwise.
    pub(crate) fn or_hint(mut self, hint: impl FnOnce() -> String) -> Fault {
        self.hint.get_or_insert_with(hint);
        self
    }

    /// Takes `hint` where there is one.
    pub(crate) fn or_hint_from(mut self, hint: Option<String>) -> Fault {
        self.hint = self.hint.or(hint);
        self
    }

    /// "did you mean", when one of `known` is near to `word`.
    pub(crate) fn did_you_mean<'k>(mut self, word: &str, known: impl IntoIterator<Item = &'k str>) -> Fault {
        self.hint = nearest(word, known).map(|name| format!("did you mean `{name}`?"));
        self
    }

    pub(crate) fn at(self, index: usize) -> RuleError {
        RuleError { index, range: self.range, code: self.code, message: self.message, hint: self.hint }
    }
}

/// The known name nearest to `word`, when it is near enough to be what was meant.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A third of the letters may be wrong: more than that and the suggestion is noise.
    let length = word.chars().count();
    let limit = (length / 3).clamp(1, 3);
    known
        .into_iter()
        // Each letter too many or too few is an edit; there are thousands of names.
        .filter(|name| name.len().abs_diff(length) <= limit)
        .map(|name| (distance(word, name), name))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// Edit distance with neighbours swapped as one edit (optimal string alignment), ignoring ASCII case.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    // Names are short; a longer word is no misspelling of one, and the table below must stay small.
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The codes by what they mean.
pub(crate) mod code {
    pub(crate) const QUOTE: &str = "EK0301";
    pub(crate) const FETCH: &str = "EK0302";
    pub(crate) const FETCH_ARGS: &str = "EK0303";
    pub(crate) const MATCH: &str = "EK0304";
    pub(crate) const MATCH_TYPE: &str = "EK0305";
    pub(crate) const VALUE: &str = "EK0306";
    pub(crate) const VALUES: &str = "EK0307";
    pub(crate) const FLAG: &str = "EK0308";
    pub(crate) const ACL: &str = "EK0309";
    pub(crate) const CONDITION: &str = "EK0310";
    pub(crate) const ACTION: &str = "EK0311";
    pub(crate) const ACTION_ARGS: &str = "EK0312";
    pub(crate) const HEADER: &str = "EK0313";
    pub(crate) const STATUS: &str = "EK0314";
    pub(crate) const FORMAT: &str = "EK0315";
    pub(crate) const PHASE: &str = "EK0316";
    pub(crate) const LATER: &str = "EK0317";
    pub(crate) const ACL_NAME: &str = "EK0318";
    pub(crate) const EMPTY: &str = "EK0319";
    pub(crate) const REGEX: &str = "EK0320";
    pub(crate) const CONVERTER: &str = "EK0321";
    pub(crate) const FILE: &str = "EK0322";
    pub(crate) const CAPTURE: &str = "EK0323";
}

/// Every code this crate reports: (code, title, explanation).
pub const CODES: &[(&str, &str, &str)] = &[
    (
        code::QUOTE,
        "broken quoting in a rule line",
        "A rule line is cut into words at blanks. A word that holds a blank is quoted with '...' or \"...\", or the blank\n\
         is written `\\ `. A quote was not closed, or a backslash stands before nothing or before bad hex digits.\n\
         Inside '...' a backslash is itself; elsewhere it protects a blank, a quote, # and itself, \\n \\r \\t \\xHH are\n\
         known, and before anything else it stays.\n\
         Example: string 'hello world'",
    ),
    (
        code::FETCH,
        "unknown sample fetch",
        "An acl or a `%[...]` item begins with a sample fetch: the thing to look at, such as `path`, `src` or\n\
         `req.hdr(host)`. The name is not in the table. A suffix names a match kind: `path_beg`, `hdr_end(host)`.\n\
         Example: path_beg /api/",
    ),
    (
        code::FETCH_ARGS,
        "wrong arguments for a sample fetch",
        "The arguments of a fetch stand in parentheses right after its name, separated by commas, without blanks.\n\
         One is missing, is one too many, or is not of the right type.\n\
         Example: req.hdr(x-forwarded-for,-1)",
    ),
    (
        code::MATCH,
        "unknown match kind",
        "`-m` is followed by a match kind: how the sample is compared with the values. The name is not in the table.\n\
         Example: req.hdr(user-agent) -m sub bot crawler",
    ),
    (
        code::MATCH_TYPE,
        "match kind does not fit the sample",
        "Each fetch yields a type (bool, int, ip, str) and each match kind takes one. A sample of one type can only be\n\
         compared as another where a conversion exists: numbers and addresses as text, text as a number or an address.\n\
         Example: src -m ip 10.0.0.0/8",
    ),
    (
        code::VALUE,
        "a value does not parse",
        "A value must be written as its match kind wants it: a number or a range for int and len (`10`, `10:20`, `gt 10`),\n\
         an address or a network for ip (`192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`), a word with more than delimiters\n\
         for dir and dom. `10.12` is 10.0.0.12, as in HAProxy; `10/8` is refused because it would be 0.0.0.10/8.\n\
         Example: dst_port 8000:8999",
    ),
    (
        code::VALUES,
        "values missing, or values where none are taken",
        "A match kind other than found and bool compares with values, and without any the acl can never match.\n\
         found and bool take no value.\n\
         To ask whether there is anything at all, write `-m found`. Example: req.hdr(authorization) -m found",
    ),
    (
        code::FLAG,
        "unknown flag",
        "Words that begin with `-` before the first value are flags: `-i` ignores case, `-m KIND` names the match kind,\n\
         `-n` is accepted, `--` ends the flags. A value that begins with `-` is written after `--`.\n\
         Example: path_beg -i -- -x",
    ),
    (
        code::ACL,
        "unknown acl",
        "A condition names an acl that is defined neither in this section nor by Evenkeel itself (TRUE, METH_GET, ...).\n\
         An acl without a name is written `{ path_beg /api/ }`, with blanks around the braces.\n\
         Example: deny if { path_beg /admin } !internal",
    ),
    (
        code::CONDITION,
        "broken condition",
        "`if` or `unless` is followed by acls. Acls side by side must all hold; `or` (or `||`) separates alternatives and\n\
         binds looser; `!` negates one acl. There are no parentheses, and no `or` inside braces.\n\
         Example: deny if blocked !internal or { src 192.0.2.0/24 }",
    ),
    (
        code::ACTION,
        "unknown action",
        "A rule line begins with an action such as `deny`, `redirect` or `set-header`. The name is not in the table.\n\
         Example: set-header X-Forwarded-Proto http",
    ),
    (
        code::ACTION_ARGS,
        "wrong arguments for an action",
        "The action takes other words than those written, or something follows it that is neither `if` nor `unless`.\n\
         The reference lists the syntax of each action.\n\
         Example: redirect scheme https code 301 unless internal",
    ),
    (
        code::HEADER,
        "bad header name or value",
        "A header name is a token (RFC 9110, 5.6.2): letters, digits and !#$%&'*+-.^_`|~. A value has no CR, LF or NUL,\n\
         and fields that frame the message (Content-Length, Transfer-Encoding, Connection) are Evenkeel's own.\n\
         Example: set-header X-Real-IP %[src]",
    ),
    (
        code::STATUS,
        "bad status code",
        "`deny` and `return` answer with 200 to 599, `redirect` with 301, 302, 303, 307 or 308. A 204 or 304 has no body.\n\
         Example: deny deny_status 429",
    ),
    (
        code::FORMAT,
        "bad % item in a format",
        "A format is text with `%[fetch]` items, `%xx` aliases and `%%` for one percent sign.\n\
         Example: set-header X-Client %ci:%cp",
    ),
    (
        code::PHASE,
        "data not there yet, or no longer",
        "A fetch yields data only in some phases of a transaction (Accept, Hello, Request, Body, Server, Response, Done).\n\
         This rule runs in a phase in which the fetch has nothing to look at, so it would never match.",
    ),
    (
        code::LATER,
        "not in this version",
        "HAProxy knows this word and Evenkeel will, but this version does not. It is refused and not ignored, because a\n\
         rule that silently does nothing is worse than one that does not load.",
    ),
    (
        code::ACL_NAME,
        "bad acl name",
        "An acl name is made of letters, digits, `-`, `_`, `.` and `:`, and is not `if`, `unless` or `or`.\n\
         Example: acl.is-api = \"path_beg /api/\"",
    ),
    (
        code::EMPTY,
        "empty rule line",
        "The line holds no word. Remove it, or write the rule.\n\
         Example: http-request = [\"deny if { path_beg /admin }\"]",
    ),
    (
        code::REGEX,
        "bad regular expression",
        "Regular expressions are those of the Rust `regex` crate, over bytes: linear time, hence no look-around and no\n\
         back-references. They match anywhere unless anchored with ^ and $. Write them in single quotes.\n\
         Example: path_reg '^/v[0-9]+/'",
    ),
    (
        code::CONVERTER,
        "unknown or unfit converter",
        "Converters follow a fetch, each after a comma: `req.hdr(host),lower`. The name is not in the table, or the\n\
         converter takes a type that what stands before it does not give.\n\
         Example: %[src,ipmask(24)]",
    ),
    (
        code::FILE,
        "a file a rule names cannot be used",
        "A pattern file, a map, or the file of an answer could not be read, or one of its lines is wrong. Pattern files hold\n\
         one pattern a line, maps a key, blanks, and the value; lines that begin with # are comments.\n\
         Example: path -f /etc/evenkeel/blocked.lst",
    ),
    (
        code::CAPTURE,
        "a capture slot that does not exist",
        "Slots are numbered from 0 in the order of their declaration in the frontend: `capture` keys first, then\n\
         `http-request capture ... len` rules. `id` names one that exists.\n\
         Example: capture req.hdr(user-agent) len 64",
    ),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nearest_finds_misspellings_and_nothing_else() {
        let known = ["path", "path_beg", "req.hdr", "deny", "redirect"];
        assert_eq!(nearest("paht", known), Some("path"));
        assert_eq!(nearest("path_bge", known), Some("path_beg"));
        assert_eq!(nearest("Redirct", known), Some("redirect"));
        assert_eq!(nearest("cache-store", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn codes_are_unique_and_sorted() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(
            CODES.iter().all(|(code, title, text)| code.starts_with("EK03") && !title.is_empty() && !text.is_empty())
        );
    }
}
