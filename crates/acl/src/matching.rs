//! Match kinds: the table, and how the values of an acl become a [`Matcher`].
//!
//! A match kind says which type it compares and how its values are written. Called by the acl compiler and by actions
//! that take `-m`. Sets are indexed, so that many values cost no more than a few. A new kind is one entry of [`MATCHES`], a
//! variant of [`Matcher`] and its arm. Never allocates while matching (a regex warms a cache once per thread).

mod ranges;
mod strings;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use self::ranges::{Network, Networks, Ranges};
use self::strings::{Anchor, Strings};
use crate::error::{Fault, code};
use crate::sample::{Sample, Scratch, Type};
use crate::word::Word;

/// Up to this many substrings are searched one by one.
const FEW: usize = 8;
/// Bytes a compiled regex may take; the crate's default of 10 MiB is little for an alternation of thousands of words.
const REGEX_SIZE: usize = 64 << 20;
/// What separates the words of a path (`dir`) and of a host name (`dom`).
const DIR: &[u8] = b"/?";
const DOM: &[u8] = b"/?.:";

type Build = fn(&[Word], bool, &mut Vec<Fault>) -> Matcher;

/// One entry of the table of match kinds.
#[derive(Debug)]
pub struct MatchKind {
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
    ($($name:literal $syntax:literal $input:expr, $values:literal, $build:expr, $doc:literal, $example:literal;)*) => {
        /// Every match kind.
        pub static MATCHES: &[MatchKind] = &[$(MatchKind {
            name: $name, syntax: $syntax, input: $input, doc: $doc, example: $example, takes_values: $values,
            build: $build,
        }),*];
    };
}

match_kinds! {
    "found" "" None, false, |_, _, _| Matcher::Found,
        "The sample exists.", "req.hdr(x-forwarded-for) -m found";
    "bool" "" Some(Type::Bool), false, |_, _, _| Matcher::Bool,
        "The sample is true, or a number other than 0. Default for bool.", "req.hdr_cnt(accept) -m bool";
    "int" "[eq|ge|gt|le|lt] <n> | <low>:<high> | <low>: | :<high>" Some(Type::Int), true, int,
        "The number equals one of the values, lies in a range, or compares as the operator says. Default for int.",
        "dst_port lt 1024";
    "ip" "<address>[/<length>|/<mask>]" Some(Type::Ip), true, ip,
        "The address is one of the values or lies in one of the networks. Default for ip.",
        "src 203.0.113.0/24 192.168.0.0/255.255.0.0 2001:db8::/32";
    "len" "[eq|ge|gt|le|lt] <n> | <low>:<high>" Some(Type::Str), true, len,
        "The length in bytes compares as for int.", "path_len 1:64";
    "str" "<text>" Some(Type::Str), true, |v, fold, f| strings(v, fold, f, Anchor::Start, Matcher::Str),
        "The sample equals one of the values. Default for str.", "path /api/users /api/groups";
    "beg" "<text>" Some(Type::Str), true, |v, fold, f| strings(v, fold, f, Anchor::Start, Matcher::Beg),
        "The sample begins with one of the values.", "path_beg /api/ /v2/";
    "end" "<text>" Some(Type::Str), true, |v, fold, f| strings(v, fold, f, Anchor::End, Matcher::End),
        "The sample ends with one of the values.", "hdr_end(host) -i .EXAMPLE.com";
    "sub" "<text>" Some(Type::Str), true, sub,
        "The sample contains one of the values.", "req.fhdr(user-agent) -m sub -i gecko bot";
    "dir" "<text>" Some(Type::Str), true, |v, fold, f| words(v, fold, f, DIR, Matcher::Dir),
        "The sample contains one of the values between slashes, `?`, or its ends.", "path_dir users";
    "dom" "<text>" Some(Type::Str), true, |v, fold, f| words(v, fold, f, DOM, Matcher::Dom),
        "The sample contains one of the values between dots, colons, slashes, `?`, or its ends. It does not tell the end of \
         a name from its middle: use end for that.", "hdr_dom(host) example.com";
    "reg" "<regex>" Some(Type::Str), true, reg,
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
    let name = match input {
        Type::Bool => "bool",
        Type::Int => "int",
        Type::Ip => "ip",
        Type::Str | Type::Any => "str",
        Type::Bin => "bin",
    };
    find(name).expect("every type has its match kind in the table")
}

/// Compiled values.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Found,
    Bool,
    Int(Ranges<i64>),
    Ip(Networks),
    Len(Ranges<i64>),
    Str(Strings),
    Beg(Strings),
    End(Strings),
    Sub(Substrings),
    Dir(Strings),
    Dom(Strings),
    Reg(Regexes),
}

impl Matcher {
    /// Whether the sample matches. A sample that cannot be read as the type wanted does not.
    pub(crate) fn matches(&self, sample: &Sample<'_>) -> bool {
        match self {
            Matcher::Found => true,
            Matcher::Bool => sample.as_bool().unwrap_or(false),
            Matcher::Int(ranges) => sample.as_int().is_some_and(|value| ranges.contains(value)),
            Matcher::Ip(networks) => sample.as_ip().is_some_and(|ip| networks.contains(ip)),
            _ => self.matches_bytes(sample.as_bytes(&mut Scratch::new())),
        }
    }

    /// As [`matches`](Matcher::matches), for a kind that compares text.
    pub(crate) fn matches_bytes(&self, text: &[u8]) -> bool {
        match self {
            Matcher::Len(ranges) => ranges.contains(i64::try_from(text.len()).unwrap_or(i64::MAX)),
            Matcher::Str(set) => set.contains(text),
            Matcher::Beg(set) | Matcher::End(set) => set.matches(text, |_| true),
            Matcher::Sub(set) => set.matches(text),
            Matcher::Dir(set) => contains_word(set, text, DIR),
            Matcher::Dom(set) => contains_word(set, text, DOM),
            Matcher::Reg(set) => set.matches(text),
            Matcher::Found | Matcher::Bool | Matcher::Int(_) | Matcher::Ip(_) => self.matches(&Sample::Str(text)),
        }
    }
}

fn contains_word(set: &Strings, text: &[u8], delimiters: &[u8]) -> bool {
    let is_delimiter = |at: usize| text.get(at).is_none_or(|byte| delimiters.contains(byte));
    (0..text.len())
        .filter(|&start| start == 0 || is_delimiter(start - 1))
        .any(|start| set.matches(&text[start..], |length| is_delimiter(start + length)))
}

/// Compiled values of sub.
#[derive(Clone, Debug)]
pub(crate) enum Substrings {
    Few(Vec<memchr::memmem::Finder<'static>>),
    /// Lower case; the input is compared without case.
    FewFolded(Vec<Box<[u8]>>),
    /// One automaton over all of them.
    Many(Regex),
}

impl Substrings {
    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Substrings::Few(list) => list.iter().any(|finder| finder.find(text).is_some()),
            Substrings::FewFolded(list) => list.iter().any(|needle| contains_folded(text, needle)),
            Substrings::Many(regex) => regex.is_match(text),
        }
    }
}

fn contains_folded(text: &[u8], needle: &[u8]) -> bool {
    let Some(&first) = needle.first() else { return true };
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), text)
        .any(|at| text.get(at..at + needle.len()).is_some_and(|part| part.eq_ignore_ascii_case(needle)))
}

/// Compiled values of reg.
#[derive(Clone, Debug)]
pub(crate) enum Regexes {
    One(Regex),
    Many(RegexSet),
}

impl Regexes {
    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Regexes::One(regex) => regex.is_match(text),
            Regexes::Many(set) => set.is_match(text),
        }
    }
}

fn strings(
    values: &[Word],
    fold: bool,
    faults: &mut Vec<Fault>,
    anchor: Anchor,
    wrap: fn(Strings) -> Matcher,
) -> Matcher {
    let set = Strings::new(anchor, fold, values.iter().map(|word| word.bytes.clone()));
    let matcher = wrap(set);
    // Equality with nothing can be meant; beginning or ending with nothing is true of everything.
    if !matches!(matcher, Matcher::Str(_)) {
        refuse_empty(values, faults);
    }
    matcher
}

fn refuse_empty(values: &[Word], faults: &mut Vec<Fault>) {
    faults.extend(values.iter().filter(|word| word.bytes.is_empty()).map(|word| {
        Fault::new(code::VALUE, word.range.clone(), "an empty value would match everything")
            .hint("write `-m found` to ask whether there is anything at all")
    }));
}

fn words(
    values: &[Word],
    fold: bool,
    faults: &mut Vec<Fault>,
    delimiters: &[u8],
    wrap: fn(Strings) -> Matcher,
) -> Matcher {
    let mut items = Vec::new();
    for word in values {
        let is_text = |byte: &u8| !delimiters.contains(byte);
        match (word.bytes.iter().position(is_text), word.bytes.iter().rposition(is_text)) {
            (Some(start), Some(end)) => items.push(word.bytes[start..=end].to_vec()),
            _ => faults.push(Fault::new(
                code::VALUE,
                word.range.clone(),
                format!("`{}` has nothing between its delimiters, so it would never match", word.text()),
            )),
        }
    }
    wrap(Strings::new(Anchor::Start, fold, items))
}

fn sub(values: &[Word], fold: bool, faults: &mut Vec<Fault>) -> Matcher {
    refuse_empty(values, faults);
    Matcher::Sub(if values.len() <= FEW {
        if fold {
            Substrings::FewFolded(values.iter().map(|word| word.bytes.to_ascii_lowercase().into()).collect())
        } else {
            let finder = |word: &Word| memchr::memmem::Finder::new(&word.bytes).into_owned();
            Substrings::Few(values.iter().map(finder).collect())
        }
    } else {
        let literal = |word: &Word| word.bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        let pattern = values.iter().map(literal).collect::<Vec<_>>().join("|");
        match RegexBuilder::new(&pattern).unicode(false).case_insensitive(fold).size_limit(REGEX_SIZE).build() {
            Ok(regex) => Substrings::Many(regex),
            Err(why) => {
                let range = values.first().map_or(0..0, |word| word.range.clone());
                faults.push(Fault::new(code::VALUE, range, format!("too many values for sub: {why}")));
                Substrings::Few(Vec::new())
            }
        }
    })
}

fn reg(values: &[Word], fold: bool, faults: &mut Vec<Fault>) -> Matcher {
    let mut sources = Vec::new();
    for word in values {
        match regex(word, fold) {
            Ok(regex) => sources.push(regex),
            Err(fault) => faults.push(fault),
        }
    }
    if sources.len() == 1 {
        return Matcher::Reg(Regexes::One(sources.remove(0)));
    }
    let set = RegexSetBuilder::new(sources.iter().map(Regex::as_str))
        .unicode(false)
        .case_insensitive(fold)
        .size_limit(REGEX_SIZE)
        .build();
    Matcher::Reg(Regexes::Many(set.unwrap_or_else(|why| {
        let range = values.first().map_or(0..0, |word| word.range.clone());
        faults.push(Fault::new(code::REGEX, range, format!("together these expressions do not compile: {why}")));
        RegexSet::empty()
    })))
}

/// Compiles one regular expression over bytes.
pub(crate) fn regex(word: &Word, fold: bool) -> Result<Regex, Fault> {
    let bad = |message: String| Fault::new(code::REGEX, word.range.clone(), message);
    let pattern = std::str::from_utf8(&word.bytes)
        .map_err(|_| bad("the expression is not UTF-8".into()).hint("write a byte as \\xHH inside single quotes"))?;
    RegexBuilder::new(pattern).unicode(false).case_insensitive(fold).size_limit(REGEX_SIZE).build().map_err(|why| {
        let text = why.to_string();
        // The crate draws the pattern with a caret over several lines; its last line says what is wrong.
        let last = text.lines().last().unwrap_or(&text).trim_start_matches("error: ").to_owned();
        let fault = bad(format!("`{pattern}` is no regular expression: {last}"));
        if last.contains("look-around") || last.contains("backreference") {
            return fault
                .hint("look-around and back-references are not supported: two acls, or `!acl`, often say the same");
        }
        fault
    })
}

fn ip(values: &[Word], _fold: bool, faults: &mut Vec<Fault>) -> Matcher {
    let mut networks = Vec::new();
    for word in values {
        let text = word.text();
        match Network::parse(&text) {
            Some(network) => networks.push(network),
            None => {
                let fault = Fault::new(
                    code::VALUE,
                    word.range.clone(),
                    format!("`{text}` is neither an address nor a network"),
                );
                faults.push(fault.hint(ip_hint(&text)));
            }
        }
    }
    Matcher::Ip(Networks::new(networks))
}

fn ip_hint(text: &str) -> &'static str {
    let address = text.split('/').next().unwrap_or(text);
    if !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        "write all four numbers, and a mask of at most 32 bits: 10.0.0.0/8"
    } else if address.bytes().any(|byte| byte.is_ascii_alphabetic() && !byte.is_ascii_hexdigit()) {
        "names are not resolved in rules: write addresses, such as 192.0.2.1 or 2001:db8::/32"
    } else {
        "write 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32"
    }
}

fn int(values: &[Word], _fold: bool, faults: &mut Vec<Fault>) -> Matcher {
    Matcher::Int(numbers(values, faults))
}

fn len(values: &[Word], _fold: bool, faults: &mut Vec<Fault>) -> Matcher {
    Matcher::Len(numbers(values, faults))
}

/// Reads `gt 5`, `1:10`, ...; an operator holds for all values up to the next one.
fn numbers(values: &[Word], faults: &mut Vec<Fault>) -> Ranges<i64> {
    let mut ranges = Vec::new();
    let mut operator: Option<&Word> = None;
    let mut since_operator = 0;
    for word in values {
        let text = word.text();
        if matches!(&*text, "eq" | "ge" | "gt" | "le" | "lt") {
            operator = Some(word);
            since_operator = 0;
            continue;
        }
        since_operator += 1;
        let bad = |message: String| Fault::new(code::VALUE, word.range.clone(), message);
        let name = operator.map_or("eq".into(), Word::text);
        match number_range(&text) {
            None => faults.push(
                bad(format!("`{text}` is neither a number nor a range"))
                    .hint("write 10, 10:20, 10: or :20, or an operator such as `ge 10`"),
            ),
            Some((low, high)) if low > high => {
                faults.push(bad(format!("the range `{text}` is empty")).hint(format!("write {high}:{low}")));
            }
            Some((low, high)) if low != high && name != "eq" => faults.push(
                bad(format!("`{name}` takes a number and no range")).hint(format!("leave `{name}` or the range")),
            ),
            Some((low, high)) => match &*name {
                "ge" => ranges.push((low, i64::MAX)),
                "gt" => ranges.extend(low.checked_add(1).map(|low| (low, i64::MAX))),
                "le" => ranges.push((i64::MIN, high)),
                "lt" => ranges.extend(high.checked_sub(1).map(|high| (i64::MIN, high))),
                _ => ranges.push((low, high)),
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
    Ranges::new(ranges)
}

fn number_range(text: &str) -> Option<(i64, i64)> {
    match text.split_once(':') {
        None => text.parse().ok().map(|value| (value, value)),
        Some(("", "")) => None,
        Some((low, "")) => Some((low.parse().ok()?, i64::MAX)),
        Some(("", high)) => Some((i64::MIN, high.parse().ok()?)),
        Some((low, high)) => Some((low.parse().ok()?, high.parse().ok()?)),
    }
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
            ("ip", "10/8 host 10.0.0.0/33 ::1", vec!["10/8", "host", "10.0.0.0/33"]),
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
