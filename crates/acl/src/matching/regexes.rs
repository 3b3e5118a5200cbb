//! Regular expressions: which is the first that matches, and what did its groups hold?
//!
//! Called by the index of the kind reg, and for every other regular expression of a rule. Expressions are asked together in
//! groups, so that an input which matches none of a group costs one search; only in a group that matched are they asked
//! one by one.

use parking_lot::Mutex;
use regex::bytes::{CaptureLocations, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::Problem;
use crate::pattern::entries::Entries;

/// Bytes a compiled regex may take; the crate's default of 10 MiB is little for an alternation of thousands of words.
const REGEX_SIZE: usize = 64 << 20;
/// Expressions asked together.
const GROUP: usize = 256;

/// An index over the keys of some [`Entries`].
#[derive(Debug, Default)]
pub(crate) struct Regexes {
    list: Vec<Regex>,
    /// One for each [`GROUP`] of the list; none where it is too large for one.
    groups: Vec<Option<RegexSet>>,
    /// Room for the groups of the last expression that filled some, kept for the next time.
    room: Mutex<Option<(usize, CaptureLocations)>>,
}

impl Clone for Regexes {
    fn clone(&self) -> Regexes {
        Regexes { list: self.list.clone(), groups: self.groups.clone(), room: Mutex::default() }
    }
}

impl Regexes {
    pub(crate) fn new(fold: bool, entries: &Entries, problems: &mut Vec<(u32, Problem)>) -> Regexes {
        let mut list = Vec::with_capacity(entries.len());
        for id in entries.ids() {
            match compile(entries.key(id), fold) {
                Ok(regex) => list.push(regex),
                Err(problem) => problems.push((id, problem)),
            }
        }
        let set = |part: &[Regex]| {
            let sources = part.iter().map(Regex::as_str);
            let builder = |set: &mut RegexSetBuilder| {
                set.unicode(false).case_insensitive(fold).size_limit(REGEX_SIZE).build().ok()
            };
            (part.len() > 1).then(|| builder(&mut RegexSetBuilder::new(sources))).flatten()
        };
        let groups = list.chunks(GROUP).map(set).collect();
        Regexes { list, groups, room: Mutex::default() }
    }

    pub(crate) fn any(&self, input: &[u8]) -> bool {
        self.list.chunks(GROUP).zip(&self.groups).any(|(part, set)| match set {
            Some(set) => set.is_match(input),
            None => part.iter().any(|regex| regex.is_match(input)),
        })
    }

    /// The first entry in file order that is alive and matches.
    pub(crate) fn find(&self, input: &[u8], alive: &impl Fn(u32) -> bool) -> Option<u32> {
        self.list
            .chunks(GROUP)
            .zip(&self.groups)
            .enumerate()
            .filter(|(_, (_, set))| set.as_ref().is_none_or(|set| set.is_match(input)))
            .find_map(|(group, (part, _))| {
                let first = (group * GROUP) as u32;
                let matches = |(id, regex): &(u32, &Regex)| alive(*id) && regex.is_match(input);
                (first..).zip(part).find(matches).map(|(id, _)| id)
            })
    }

    /// Appends `template` to `out`, with `\0` to `\9` replaced by the groups entry `id` finds in `input`. `\xHH` is a
    /// byte, `\` before anything else that character. False, and `out` in an undefined state, where that would pass
    /// `limit` bytes, or where nothing matches.
    pub(crate) fn expand(&self, id: u32, input: &[u8], template: &[u8], limit: usize, out: &mut Vec<u8>) -> bool {
        let regex = &self.list[id as usize];
        let kept = self.room.try_lock().and_then(|mut room| room.take_if(|(at, _)| *at == id as usize));
        let mut groups = kept.map_or_else(|| regex.capture_locations(), |(_, groups)| groups);
        let matched = regex.captures_read(&mut groups, input).is_some();
        let done =
            matched && substitute(template, |group| groups.get(group).map(|(from, to)| &input[from..to]), limit, out);
        if let Some(mut room) = self.room.try_lock() {
            *room = Some((id as usize, groups));
        }
        done
    }
}

fn substitute<'i>(template: &[u8], group: impl Fn(usize) -> Option<&'i [u8]>, limit: usize, out: &mut Vec<u8>) -> bool {
    let limit = out.len() + limit;
    let mut rest = template;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let hex = |digit: u8| (digit as char).to_digit(16).map(|digit| digit as u8);
        rest = match &rest[at + 1..] {
            [digit @ b'0'..=b'9', rest @ ..] => {
                out.extend_from_slice(group(usize::from(digit - b'0')).unwrap_or_default());
                rest
            }
            [b'x', high, low, rest @ ..] if let (Some(high), Some(low)) = (hex(*high), hex(*low)) => {
                out.push(high << 4 | low);
                rest
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
            [] => {
                out.push(b'\\');
                &[]
            }
        };
        if out.len() > limit {
            return false;
        }
    }
    out.extend_from_slice(rest);
    out.len() <= limit
}

/// Compiles one regular expression over bytes.
pub(crate) fn compile(source: &[u8], fold: bool) -> Result<Regex, Problem> {
    let pattern = std::str::from_utf8(source)
        .map_err(|_| Problem::new("the expression is not UTF-8").hint("write a byte as \\xHH inside single quotes"))?;
    RegexBuilder::new(pattern).unicode(false).case_insensitive(fold).size_limit(REGEX_SIZE).build().map_err(|why| {
        let text = why.to_string();
        // The crate draws the pattern with a caret over several lines; its last line says what is wrong.
        let last = text.lines().last().unwrap_or(&text).trim_start_matches("error: ").to_owned();
        let problem = Problem::new(format!("`{pattern}` is no regular expression: {last}"));
        if last.contains("look-around") || last.contains("backreference") {
            return problem
                .hint("look-around and back-references are not supported: two acls, or `!acl`, often say the same");
        }
        problem
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn groups_are_filled_in_as_haproxy_does() {
        let mut entries = Entries::default();
        assert!(entries.push(b"^/a(.)(.*)", b"", 0));
        let list = Regexes::new(false, &entries, &mut Vec::new());
        let expand = |template: &[u8], limit| {
            let mut out = b"kept:".to_vec();
            list.expand(0, b"/abcd", template, limit, &mut out).then(|| String::from_utf8(out).unwrap())
        };
        for (template, expected) in [
            (r"first-\1-\2-\3-\\\x41-\0", r"kept:first-b-cd--\A-/abcd"),
            ("plain", "kept:plain"),
            ("", "kept:"),
            (r"\", r"kept:\"),
            (r"\x4", "kept:x4"),
            (r"\q\xzz", "kept:qxzz"),
        ] {
            assert_eq!(expand(template.as_bytes(), 64).as_deref(), Some(expected), "{template}");
        }
        assert_eq!(expand(br"\0\0\0", 14), None);
        assert!(expand(br"\0\0\0", 15).is_some());
        assert!(!list.expand(0, b"x", b"y", 64, &mut Vec::new()));
    }

    #[test]
    fn the_first_that_matches_is_found_over_groups() {
        let mut entries = Entries::default();
        for n in 0..600 {
            assert!(entries.push(format!("^{n}$|z{}z", n % 300).as_bytes(), b"", 0));
        }
        let list = Regexes::new(false, &entries, &mut Vec::new());
        for (input, first) in [("0", Some(0)), ("599", Some(599)), ("z299z", Some(299)), ("600", None), ("z5", None)] {
            assert_eq!(list.find(input.as_bytes(), &|_| true), first, "{input}");
            assert_eq!(list.any(input.as_bytes()), first.is_some(), "{input}");
        }
        assert_eq!(list.find(b"z299z", &|id| id > 299), Some(599));
    }
}
