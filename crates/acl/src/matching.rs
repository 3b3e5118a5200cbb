//! Match kinds: the table, and how the values of an acl become a [`Matcher`].
//!
//! A match kind says which type it compares and how its values are written. Called by the acl compiler and by actions
//! that take `-m`. Sets are indexed, so that many values cost no more than a few: [`index`] holds one structure for each way
//! of comparing, shared with the views of pattern files. A new kind is one entry of [`MATCHES`], a variant of [`Kind`] and
//! its arms. Never allocates while matching (a regex warms a cache once per thread).

pub(crate) mod index;
mod intervals;
pub(crate) mod networks;
mod regexes;
pub(crate) mod strings;
mod substrings;

use std::sync::Arc;

use regex::bytes::Regex;
use smallvec::{SmallVec, smallvec};

use self::index::{Index, range};
use self::intervals::Intervals;
use crate::error::{Fault, code};
use crate::pattern::View;
use crate::pattern::entries::Entries;
use crate::sample::{Sample, Type};
use crate::word::Word;

/// What separates the words of a path (`dir`) and of a host name (`dom`).
pub(crate) const DIR: &[u8] = b"/?";
pub(crate) const DOM: &[u8] = b"/?.:";

type Build = fn(&[Word], bool, &mut Vec<Fault>) -> Matcher;

/// How a sample is compared with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is a sample.
    Found,
    /// It is true.
    Bool,
    /// As numbers and ranges.
    Int,
    /// As addresses and networks.
    Ip,
    /// As bytes, written in hexadecimal.
    Bin,
    /// Its length in bytes, as for [`Kind::Int`].
    Len,
    /// As equal text.
    Str,
    /// Its beginning.
    Beg,
    /// Its end.
    End,
    /// Any part of it.
    Sub,
    /// A part between slashes.
    Dir,
    /// A part between dots, colons and slashes.
    Dom,
    /// By a regular expression.
    Reg,
}

impl Kind {
    /// The word after `-m`.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// Whether `-i` makes a difference to it.
    pub fn knows_case(self) -> bool {
        matches!(self, Kind::Str | Kind::Beg | Kind::End | Kind::Sub | Kind::Dir | Kind::Dom | Kind::Reg)
    }

    /// Its entry of the table.
    pub fn entry(self) -> &'static MatchKind {
        MATCHES.iter().find(|entry| entry.kind == self).expect("every kind has its entry in the table")
    }
}

/// One entry of the table of match kinds.
#[derive(Debug)]
pub struct MatchKind {
    /// Which it is.
    pub kind: Kind,
    /// Name, as after `-m`.
    pub name: &'static str,
    /// How its values are written.
    pub syntax: &'static str,
    /// The type it compares; `None` takes any.
    pub input: Option<Type>,
    /// One sentence.
    pub doc: &'static str,
    /// An acl that uses it.
    pub example: &'static str,
    /// Whether it takes values at all.
    pub(crate) takes_values: bool,
    pub(crate) build: Build,
}

macro_rules! match_kinds {
    ($($kind:ident $name:literal $syntax:literal $input:expr, $values:literal, $doc:literal, $example:literal;)*) => {
        /// Every match kind.
        pub static MATCHES: &[MatchKind] = &[$(MatchKind {
            kind: Kind::$kind, name: $name, syntax: $syntax, input: $input, doc: $doc, example: $example,
            takes_values: $values, build: |words, fold, faults| Matcher::new(Kind::$kind, words, fold, faults),
        }),*];
    };
}

match_kinds! {
    Found "found" "" None, false,
        "The sample exists.", "req.hdr(x-forwarded-for) -m found";
    Bool "bool" "" Some(Type::Bool), false,
        "The sample is true, or a number other than 0. Default for bool.", "req.hdr_cnt(accept) -m bool";
    Int "int" "[eq|ge|gt|le|lt] <n> | <low>:<high> | <low>: | :<high>" Some(Type::Int), true,
        "The number equals one of the values, lies in a range, or compares as the operator says. Beside a number with a dot \
         all of them are versions: 3.1 is 3 * 65536 + 1. Default for int.",
        "dst_port lt 1024";
    Ip "ip" "<address>[/<length>|/<mask>]" Some(Type::Ip), true,
        "The address is one of the values or lies in one of the networks. 10.12 is 10.0.0.12. Default for ip.",
        "src 203.0.113.0/24 192.168.0.0/255.255.0.0 2001:db8::/32";
    Bin "bin" "<hex digits>" Some(Type::Bin), true,
        "The bytes equal one of the values, written in hexadecimal. Default for bin.", "path -m bin 2f6170692f7573657273";
    Len "len" "[eq|ge|gt|le|lt] <n> | <low>:<high>" Some(Type::Str), true,
        "The length in bytes compares as for int.", "path_len 1:64";
    Str "str" "<text>" Some(Type::Str), true,
        "The sample equals one of the values. Default for str.", "path /api/users /api/groups";
    Beg "beg" "<text>" Some(Type::Str), true,
        "The sample begins with one of the values.", "path_beg /api/ /v2/";
    End "end" "<text>" Some(Type::Str), true,
        "The sample ends with one of the values.", "hdr_end(host) -i .EXAMPLE.com";
    Sub "sub" "<text>" Some(Type::Str), true,
        "The sample contains one of the values.", "req.fhdr(user-agent) -m sub -i gecko bot";
    Dir "dir" "<text>" Some(Type::Str), true,
        "The sample contains one of the values between slashes, `?`, or its ends.", "path_dir users";
    Dom "dom" "<text>" Some(Type::Str), true,
        "The sample contains one of the values between dots, colons, slashes, `?`, or its ends. It does not tell the end of \
         a name from its middle: use end for that.", "hdr_dom(host) example.com";
    Reg "reg" "<regex>" Some(Type::Str), true,
        "One of the regular expressions matches, anywhere unless anchored.", "path_reg '^/api/[a-z]+$'";
}

impl MatchKind {
    /// Whether it may be written as a suffix of a fetch (`path_beg`). The others are not: HAProxy's `url_ip` and `hdr_ip`
    /// are fetches of their own.
    pub fn is_suffix(&self) -> bool {
        self.takes_values && self.input == Some(Type::Str) && self.name != "str"
    }
}

/// The match kind named `name`.
pub(crate) fn find(name: &str) -> Option<&'static MatchKind> {
    MATCHES.iter().find(|kind| kind.name == name)
}

/// The match kind used where none is named.
pub(crate) fn default_for(input: Type) -> &'static MatchKind {
    let kind = match input {
        Type::Bool => Kind::Bool,
        Type::Int => Kind::Int,
        Type::Ip => Kind::Ip,
        Type::Str | Type::Any => Kind::Str,
        Type::Bin => Kind::Bin,
    };
    kind.entry()
}

/// What is wrong with one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Problem {
        Problem { message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    fn at(self, code: &'static str, word: &Word) -> Fault {
        Fault::new(code, word.range.clone(), self.message).or_hint_from(self.hint)
    }
}

/// What an acl compares with: its own values and those of pattern files, each with or without case.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    /// One, unless there are files.
    parts: SmallVec<[Part; 1]>,
}

/// One part of what an acl compares with.
#[derive(Debug)]
pub(crate) enum Compared<'m> {
    /// Every sample matches.
    Found,
    /// True ones do.
    Bool,
    /// Numbers or lengths in these closed ranges.
    Ranges(Kind, Vec<(i64, i64)>),
    /// These keys; without case where the flag says so.
    Keys(Kind, bool, &'m Entries),
    /// The keys of a file, which may change at any time.
    File,
}

#[derive(Clone, Debug)]
enum Part {
    Found,
    Bool,
    /// Values written in the acl, and whether their case is ignored.
    Values(Kind, bool, Arc<(Entries, Index)>),
    /// Those of a file.
    File(Arc<View>),
}

impl Part {
    #[inline]
    fn matches(&self, sample: &Sample<'_>) -> bool {
        match self {
            Part::Found => true,
            Part::Bool => sample.as_bool().unwrap_or(false),
            Part::Values(_, _, values) => values.1.any(&values.0, sample),
            Part::File(view) => view.matches(sample),
        }
    }
}

impl Matcher {
    /// Compiles the values `words`.
    pub(crate) fn new(kind: Kind, words: &[Word], fold: bool, faults: &mut Vec<Fault>) -> Matcher {
        let part = match kind {
            Kind::Found => Part::Found,
            Kind::Bool => Part::Bool,
            Kind::Int => {
                Part::Values(kind, fold, Arc::new((Entries::default(), Index::Numbers(numbers(words, faults)))))
            }
            Kind::Len => {
                Part::Values(kind, fold, Arc::new((Entries::default(), Index::Lengths(numbers(words, faults)))))
            }
            _ => {
                let mut entries = Entries::default();
                if let Some(word) = words.iter().find(|word| !entries.push(&word.bytes, b"", 0)) {
                    faults.push(Fault::new(code::VALUE, word.range.clone(), "too many values"));
                }
                let mut problems = Vec::new();
                let index = Index::build(kind, fold, &entries, &mut problems);
                let code = if kind == Kind::Reg { code::REGEX } else { code::VALUE };
                faults.extend(problems.into_iter().map(|(id, problem)| problem.at(code, &words[id as usize])));
                Part::Values(kind, fold, Arc::new((entries, index)))
            }
        };
        Matcher { parts: smallvec![part] }
    }

    /// Compares also with the patterns of files.
    pub(crate) fn with_views(mut self, views: impl IntoIterator<Item = Arc<View>>) -> Matcher {
        self.parts.extend(views.into_iter().map(Part::File));
        self
    }

    /// Whether the sample matches. A sample that cannot be read as the type wanted does not.
    pub(crate) fn matches(&self, sample: &Sample<'_>) -> bool {
        match &self.parts[..] {
            [Part::Values(_, _, values)] => values.1.any(&values.0, sample),
            parts => parts.iter().any(|part| part.matches(sample)),
        }
    }

    /// What it compares with, part by part; a sample matches when one part does.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Compared<'_>> {
        self.parts.iter().map(|part| match part {
            Part::Found => Compared::Found,
            Part::Bool => Compared::Bool,
            Part::Values(kind, fold, values) => match &values.1 {
                Index::Numbers(ranges) | Index::Lengths(ranges) => Compared::Ranges(*kind, ranges.iter().collect()),
                _ => Compared::Keys(*kind, *fold, &values.0),
            },
            Part::File(_) => Compared::File,
        })
    }

    /// As [`matches`](Matcher::matches), for text.
    pub(crate) fn matches_bytes(&self, text: &[u8]) -> bool {
        self.matches(&Sample::Str(text))
    }
}

/// Compiles one regular expression over bytes.
pub(crate) fn regex(word: &Word, fold: bool) -> Result<Regex, Fault> {
    regexes::compile(&word.bytes, fold).map_err(|problem| problem.at(code::REGEX, word))
}

/// Reads `gt 5`, `1:10`, ...; an operator holds for all values up to the next one.
fn numbers(words: &[Word], faults: &mut Vec<Fault>) -> Intervals {
    let mut ranges = Vec::new();
    let mut operator: Option<&Word> = None;
    let mut since_operator = 0;
    let dotted = words.iter().any(|word| word.bytes.contains(&b'.'));
    for (word, id) in words.iter().zip(0..) {
        let text = word.text();
        if matches!(&*text, "eq" | "ge" | "gt" | "le" | "lt") {
            operator = Some(word);
            since_operator = 0;
            continue;
        }
        since_operator += 1;
        let name = operator.map_or("eq".into(), Word::text);
        match range(&text, dotted) {
            Err(problem) => faults.push(problem.at(code::VALUE, word)),
            Ok((low, high)) if low != high && name != "eq" => {
                let message = format!("`{name}` takes a number and no range");
                let fault = Fault::new(code::VALUE, word.range.clone(), message);
                faults.push(fault.hint(format!("leave `{name}` or the range")));
            }
            Ok((low, high)) => match &*name {
                "ge" => ranges.push((low, i64::MAX, id)),
                "gt" => ranges.extend(low.checked_add(1).map(|low| (low, i64::MAX, id))),
                "le" => ranges.push((i64::MIN, high, id)),
                "lt" => ranges.extend(high.checked_sub(1).map(|high| (i64::MIN, high, id))),
                _ => ranges.push((low, high, id)),
            },
        }
    }
    if let Some(word) = operator
        && since_operator == 0
    {
        faults.push(Fault::new(
            code::VALUE,
            word.range.clone(),
            format!("a number is missing after `{}`", word.text()),
        ));
    }
    Intervals::new(ranges)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Rng;
    use crate::word;

    fn build(kind: &str, values: &str, fold: bool) -> Result<Matcher, Vec<Fault>> {
        let mut faults = Vec::new();
        let matcher = (find(kind).unwrap().build)(&word::split(values).unwrap(), fold, &mut faults);
        if faults.is_empty() { Ok(matcher) } else { Err(faults) }
    }

    #[test]
    fn each_kind_matches_what_it_should() {
        // kind, values, inputs that match, inputs that do not
        let cases: &[(&str, &str, &[&str], &[&str])] = &[
            ("str", "a b", &["a", "b"], &["", "ab", "A"]),
            ("str", "''", &[""], &["a"]),
            ("beg", "/api/ /v2", &["/api/", "/api/x", "/v2x"], &["/api", "", "x/api/"]),
            ("end", ".css .js", &["/a.css", ".js"], &["css", "/a.css2"]),
            ("sub", "bot spider", &["a bot", "spiders"], &["", "bo"]),
            ("dir", "b /c/ d/e", &["/a/b/", "b", "/c", "/x/d/e?f"], &["/ab", "/d/f", "", "/ec"]),
            (
                "dom",
                "example.com",
                &["example.com", "www.example.com:80", "example.com.evil"],
                &["notexample.com", "example.co"],
            ),
            ("dom", ".example.", &["www.example.com", "example"], &["examples"]),
            ("reg", r"^/v[0-9]+/ \.php$", &["/v12/", "/x.php"], &["/v/", "/xphp"]),
            ("len", "3 5:6", &["abc", "abcde", "abcdef"], &["", "abcd", "abcdefg"]),
            ("len", "gt 3", &["abcd"], &["abc"]),
            ("int", "5 10:12 20:", &["5", "11", "12", "20", "99"], &["4", "13", "19", ""]),
            ("int", "lt 5 ge 10", &["4", "-3", "10"], &["5", "9"]),
            ("int", "eq 5 6", &["5", "6"], &["7"]),
            ("int", "gt 9223372036854775807", &[], &["9223372036854775807"]),
            ("int", "3:3.1", &["196608", "196609"], &["3", "196610"]),
            ("int", "3 4.1", &["196608"], &["3", "4"]),
            ("int", "gt 3.2", &["196611"], &["196610", "9"]),
            ("bin", "2F61 00", &["/a", "\0"], &["/A", "2F61", ""]),
            ("ip", "10.12", &["10.0.0.12"], &["10.12.0.0"]),
            ("ip", "10.0.0.0/8 ::1", &["10.1.1.1", "::1", "10.1.1.1:80"], &["11.1.1.1", "x", ""]),
        ];
        for (kind, values, yes, no) in cases {
            let matcher = build(kind, values, false).unwrap();
            for input in *yes {
                assert!(matcher.matches(&Sample::Str(input.as_bytes())), "{input:?} should match {kind} {values}");
            }
            for input in *no {
                assert!(!matcher.matches(&Sample::Str(input.as_bytes())), "{input:?} should not match {kind} {values}");
            }
        }
    }

    #[test]
    fn case_is_ignored_when_asked() {
        for (kind, values, input) in [
            ("str", "AbC", "aBc"),
            ("beg", "/API", "/api/x"),
            ("end", ".CSS", "/a.css"),
            ("sub", "Bot", "a roBOT b"),
            ("dir", "USERS", "/api/users"),
            ("dom", "Example", "www.example.com"),
            ("reg", "^/API", "/api"),
        ] {
            assert!(build(kind, values, true).unwrap().matches(&Sample::Str(input.as_bytes())), "{kind} -i {values}");
            assert!(!build(kind, values, false).unwrap().matches(&Sample::Str(input.as_bytes())), "{kind} {values}");
        }
    }

    #[test]
    fn bad_values_are_all_pointed_at() {
        for (kind, values, expected) in [
            ("int", "5 x 9:3 lt", vec!["x", "9:3", "lt"]),
            ("int", "gt 1:5", vec!["1:5"]),
            ("ip", "10/8 host 10.0.0.0/33 ::1 10.12", vec!["10/8", "host", "10.0.0.0/33"]),
            ("bin", "0g 2f 123 ''", vec!["0g", "123", "''"]),
            ("reg", "( a (?=b)", vec!["(", "(?=b)"]),
            ("beg", "a ''", vec!["''"]),
            ("dir", "/ a", vec!["/"]),
        ] {
            let faults = build(kind, values, false).unwrap_err();
            let found: Vec<&str> = faults.iter().map(|fault| &values[fault.range.clone()]).collect();
            assert_eq!(found, expected, "{kind} {values}");
        }
    }

    /// Few and many substrings and words, by different means, answer alike.
    #[test]
    fn many_values_agree_with_few() {
        let seed = 0x5eed_0003;
        let mut rng = Rng::new(seed);
        for round in 0..60 {
            let values: Vec<String> =
                (0..9 + rng.below(20)).map(|_| String::from_utf8(rng.letters(3)).unwrap() + "b").collect();
            let fold = rng.below(2) == 0;
            for kind in ["sub", "dir", "reg"] {
                let many = build(kind, &values.join(" "), fold).unwrap();
                let each: Vec<Matcher> = values.iter().map(|value| build(kind, value, fold).unwrap()).collect();
                for _ in 0..20 {
                    let input = [rng.letters(4), rng.letters(4)].join(&b'/');
                    assert_eq!(
                        many.matches_bytes(&input),
                        each.iter().any(|one| one.matches_bytes(&input)),
                        "seed {seed:#x} round {round} {kind} {values:?} on {input:?}"
                    );
                }
            }
        }
    }
}
