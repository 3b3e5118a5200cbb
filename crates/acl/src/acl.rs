//! Acls: a fetch, flags and values compiled to a test, and the named acls of a section.
//!
//! [`Acls`] is compiled by config from `acl.NAME` lines and lent to the compilers of rules. An acl holds when one
//! occurrence of one of its lines' samples matches one of its values; an undefined sample matches nothing.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, RuleError, code};
use crate::expr::Expr;
use crate::library::Env;
use crate::matching::{self, MATCHES, MatchKind, Matcher};
use crate::pattern::{Shape, View};
use crate::predefined::{self, PREDEFINED};
use crate::trace::Saw;
use crate::word::{self, Word};

/// One acl definition: `acl.NAME = "text"`; the same name again is a logical or.
#[derive(Clone, Debug)]
pub struct AclDef<'a> {
    /// Name.
    pub name: &'a str,
    /// `path_beg /api/`.
    pub text: &'a str,
}

/// The named acls of one section, compiled.
#[derive(Clone, Debug, Default)]
pub struct Acls {
    list: Vec<Arc<Acl>>,
}

/// One acl, named or between braces.
#[derive(Debug)]
pub(crate) struct Acl {
    /// Its name, or its text when it has none.
    pub(crate) name: Arc<str>,
    /// What it was compiled from; two acls of the same source are the same.
    pub(crate) source: String,
    /// Nearly always one, which then stands here: following a pointer costs more than most tests.
    tests: SmallVec<[Test; 1]>,
}

/// One line of an acl.
#[derive(Debug)]
struct Test {
    expr: Expr,
    matcher: Matcher,
}

impl Acls {
    /// Compiles the acls of one section. An acl with a mistake still counts as defined, so that each mistake is told once.
    pub fn compile(defs: &[AclDef<'_>], env: &Env<'_>) -> (Acls, Vec<RuleError>) {
        let mut errors = Vec::new();
        let mut list: Vec<Acl> = Vec::new();
        for (index, def) in defs.iter().enumerate() {
            let mut faults = Vec::new();
            if let Err(fault) = check_name(def) {
                faults.push(fault);
            }
            let test = match word::split(def.text) {
                Ok(words) if words.is_empty() => {
                    let fault = Fault::new(code::EMPTY, 0..def.text.len(), format!("acl `{}` is empty", def.name));
                    faults.push(fault.hint("write what it looks at, such as `path_beg /api/`"));
                    None
                }
                Ok(words) => Test::parse(&words, env, &mut faults),
                Err(fault) => {
                    faults.push(fault);
                    None
                }
            };
            match list.iter_mut().find(|acl| &*acl.name == def.name) {
                Some(acl) => {
                    acl.source.push('\n');
                    acl.source.push_str(def.text);
                    acl.tests.extend(test);
                }
                None => list.push(Acl {
                    name: def.name.into(),
                    source: def.text.to_owned(),
                    tests: test.into_iter().collect(),
                }),
            }
            errors.extend(faults.into_iter().map(|fault| fault.at(index)));
        }
        (Acls { list: list.into_iter().map(Arc::new).collect() }, errors)
    }

    /// The names, in the order of their first definition.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|acl| &*acl.name)
    }

    /// The names that are not among `used`, to be told as a warning.
    pub fn unused<'a>(&'a self, used: &[Arc<str>]) -> Vec<&'a str> {
        self.names().filter(|name| !used.iter().any(|used| &**used == *name)).collect()
    }

    /// The acl of that name, defined here or predefined; and whether it is one defined here.
    pub(crate) fn find(&self, word: &Word, env: &Env<'_>) -> Result<(Arc<Acl>, bool), Fault> {
        let name = word.text();
        if let Some(acl) = self.list.iter().find(|acl| *acl.name == *name) {
            return Ok((acl.clone(), true));
        }
        if let Some(entry) = predefined::find(&name) {
            let words = word::split(entry.text)?;
            let test = Test::parse(&words, env, &mut Vec::new());
            let acl = Acl { name: entry.name.into(), source: entry.text.to_owned(), tests: test.into_iter().collect() };
            return Ok((Arc::new(acl), false));
        }
        let known = self.names().chain(PREDEFINED.iter().map(|entry| entry.name));
        let fault =
            Fault::new(code::ACL, word.range.clone(), format!("there is no acl `{name}`")).did_you_mean(&name, known);
        Err(fault.or_hint(|| {
            if name.starts_with('{') || name.ends_with('}') {
                "put blanks around the braces: `{ path_beg /api/ }`".into()
            } else if name.starts_with('(') || name.ends_with(')') {
                "there are no parentheses in conditions: name the inner part as an acl".into()
            } else {
                format!("define it with acl.{name} = \"...\", or write the test between braces: {{ path_beg /api/ }}")
            }
        }))
    }
}

impl Acl {
    /// Compiles what stands between braces.
    pub(crate) fn anonymous(words: &[Word], text: &str, env: &Env<'_>, faults: &mut Vec<Fault>) -> Acl {
        let source = match (words.first(), words.last()) {
            (Some(first), Some(last)) => &text[first.range.start..last.range.end],
            _ => "",
        };
        Acl {
            name: source.into(),
            source: source.to_owned(),
            tests: Test::parse(words, env, faults).into_iter().collect(),
        }
    }

    /// Whether one of its lines holds.
    #[inline]
    pub(crate) fn holds(&self, ctx: &Ctx<'_>) -> bool {
        match &self.tests[..] {
            // Nearly every acl has one line.
            [test] => test.holds(ctx),
            tests => tests.iter().any(|test| test.holds(ctx)),
        }
    }

    /// As [`holds`](Acl::holds), writing down what was seen.
    pub(crate) fn holds_traced(&self, ctx: &Ctx<'_>, saw: &mut Vec<Saw>) -> bool {
        self.tests.iter().any(|test| test.holds_traced(ctx, saw))
    }

    /// What its lines look at and compare with.
    pub(crate) fn tests(&self) -> impl Iterator<Item = (&Expr, &Matcher)> {
        self.tests.iter().map(|test| (&test.expr, &test.matcher))
    }

    /// The fetch whose data does not exist in `phase`, if there is one.
    pub(crate) fn missing_in(&self, phase: Phase) -> Option<&'static str> {
        self.tests.iter().find(|test| !test.expr.exists_in(phase)).map(|test| test.expr.name())
    }
}

impl Test {
    /// Compiles `fetch [flags] values...`.
    fn parse(words: &[Word], env: &Env<'_>, faults: &mut Vec<Fault>) -> Option<Test> {
        let (first, rest) = words.split_first()?;
        let parsed = Expr::parse(first, 0..first.bytes.len(), env);
        let before = faults.len();
        let flags = Flags::parse(rest, faults);
        let (expr, suffix) = match parsed {
            Ok(parsed) => parsed,
            Err(fault) => {
                faults.insert(before, fault);
                return None;
            }
        };
        // With a broken flag the match kind is a guess, and what follows from a guess is noise.
        if faults.len() > before {
            return None;
        }
        let kind = flags.kind.or(suffix).unwrap_or_else(|| matching::default_for(expr.output()));
        if let Some(input) = kind.input
            && !expr.output().casts_to(input)
        {
            let at = flags.kind_range.clone().unwrap_or_else(|| first.range.clone());
            let fitting = MATCHES.iter().filter(|kind| kind.input.is_none_or(|input| expr.output().casts_to(input)));
            let names: Vec<&str> = fitting.map(|kind| kind.name).collect();
            let message =
                format!("`{}` is of type {}, which `{}` cannot compare", expr.name(), expr.output(), kind.name);
            faults.push(
                Fault::new(code::MATCH_TYPE, at, message).hint(format!("it can be compared by {}", names.join(", "))),
            );
            return None;
        }
        check_values(kind, &flags, first, faults);
        let views: Vec<_> = flags
            .files
            .iter()
            .filter_map(|file| view(kind, file, env).map_err(|fault| faults.push(fault)).ok())
            .collect();
        let matcher = Matcher::new(kind.kind, flags.values, flags.fold, faults).with_views(views);
        (faults.len() == before).then_some(Test { expr, matcher })
    }

    #[inline]
    fn holds(&self, ctx: &Ctx<'_>) -> bool {
        self.expr.any(ctx, |sample| self.matcher.matches(sample))
    }

    fn holds_traced(&self, ctx: &Ctx<'_>, saw: &mut Vec<Saw>) -> bool {
        let mut seen = Saw { fetch: self.expr.source().clone(), samples: Vec::new() };
        let mut held = false;
        self.expr.each(ctx, &mut |sample| {
            seen.note(&sample);
            held = self.matcher.matches(&sample);
            if held { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        saw.push(seen);
        held
    }
}

/// What stands between the fetch and its values.
#[derive(Debug)]
struct Flags<'w> {
    /// `-i`: patterns from here on are compared without case.
    fold: bool,
    /// `-M`: the files from here on are maps, whose keys are the patterns.
    map: bool,
    /// `-f`: each file, with what `-i` and `-M` were when it was named.
    files: Vec<(&'w Word, bool, Shape)>,
    kind: Option<&'static MatchKind>,
    kind_range: Option<Range<usize>>,
    /// `--` was given: no value is then meant.
    ended: bool,
    values: &'w [Word],
}

impl<'w> Flags<'w> {
    fn parse(words: &'w [Word], faults: &mut Vec<Fault>) -> Flags<'w> {
        let mut flags = Flags {
            fold: false,
            map: false,
            files: Vec::new(),
            kind: None,
            kind_range: None,
            ended: false,
            values: words,
        };
        while let Some((word, rest)) = flags.values.split_first() {
            if !word.is_flag() {
                break;
            }
            flags.values = rest;
            match &*word.text() {
                "--" => {
                    flags.ended = true;
                    break;
                }
                "-i" => flags.fold = true,
                // Names are never resolved here, so `-n` is already so.
                "-n" => {}
                "-m" => match rest.split_first() {
                    None => {
                        faults.push(Fault::new(code::MATCH, word.range.clone(), "`-m` is followed by a match kind"))
                    }
                    Some((name, rest)) => {
                        flags.values = rest;
                        match kind(name) {
                            Ok(_) if flags.kind.is_some() => {
                                let fault = Fault::new(code::FLAG, name.range.clone(), "`-m` stands twice");
                                faults.push(fault.hint("an acl has one match kind: name two acls"));
                            }
                            Ok(kind) => {
                                flags.kind = Some(kind);
                                flags.kind_range = Some(name.range.clone());
                            }
                            Err(fault) => faults.push(fault),
                        }
                    }
                },
                "-M" => flags.map = true,
                flag @ ("-f" | "-u") => match rest.split_first() {
                    None => {
                        let what = if flag == "-f" { "the path of a file" } else { "a number" };
                        faults.push(Fault::new(
                            code::FLAG,
                            word.range.clone(),
                            format!("`{flag}` is followed by {what}"),
                        ));
                    }
                    Some((given, rest)) => {
                        flags.values = rest;
                        if flag == "-f" {
                            let shape = if flags.map { Shape::Pairs } else { Shape::Keys };
                            flags.files.push((given, flags.fold, shape));
                        } else if given.text().parse::<u32>().is_err() {
                            // Acls are told apart by their names here; the number is read so that old lines stay valid.
                            faults.push(Fault::new(code::FLAG, given.range.clone(), "`-u` is followed by a number"));
                        }
                    }
                },
                flag => {
                    let fault = Fault::new(code::FLAG, word.range.clone(), format!("there is no flag `{flag}`"));
                    faults.push(fault.hint("write `--` before a value that begins with `-`"));
                }
            }
        }
        flags
    }
}

/// The patterns of one file, indexed for `kind`.
fn view(kind: &MatchKind, file: &(&Word, bool, Shape), env: &Env<'_>) -> Result<Arc<View>, Fault> {
    let &(word, fold, shape) = file;
    let bad =
        |message: String, hint: Option<String>| Fault::new(code::FILE, word.range.clone(), message).or_hint_from(hint);
    if !kind.takes_values {
        return Err(Fault::new(code::VALUES, word.range.clone(), format!("`{}` takes no value", kind.name)));
    }
    let name = word.text();
    let stores = env.library.stores.borrow();
    let store = stores.load(&name, shape, &*env.library.read).map_err(|why| bad(why.to_string(), why.hint))?;
    // One line is enough to find the others.
    store.view(kind.kind, fold).map_err(|mut errors| {
        let more = errors.len().saturating_sub(1);
        match errors.is_empty() {
            true => bad(format!("{name} cannot be used with `{}`", kind.name), None),
            false => {
                let first = errors.swap_remove(0);
                let others = if more > 0 { format!(", and {more} more lines like it") } else { String::new() };
                bad(format!("{name}:{}: {}{others}", first.line, first.message), first.hint)
            }
        }
    })
}

/// The match kind that `word` names.
pub(crate) fn kind(word: &Word) -> Result<&'static MatchKind, Fault> {
    let name = word.text();
    matching::find(&name).ok_or_else(|| {
        let known = || MATCHES.iter().map(|kind| kind.name);
        Fault::new(code::MATCH, word.range.clone(), format!("there is no match kind `{name}`"))
            .did_you_mean(&name, known())
            .or_hint(|| format!("the match kinds are {}", known().collect::<Vec<_>>().join(", ")))
    })
}

fn check_values(kind: &MatchKind, flags: &Flags<'_>, first: &Word, faults: &mut Vec<Fault>) {
    if let Some(value) = flags.values.first()
        && !kind.takes_values
    {
        let fault = Fault::new(code::VALUES, value.range.clone(), format!("`{}` takes no value", kind.name));
        faults.push(fault.hint("to ask for the opposite, write `!` before the acl"));
    }
    if flags.values.is_empty() && flags.files.is_empty() && kind.takes_values && !flags.ended {
        let message = format!("`{}` has no value to compare with, so it would never match", first.text());
        faults.push(
            Fault::new(code::VALUES, first.range.clone(), message)
                .hint("to ask whether it exists, write `-m found`; to match nothing on purpose, write `--`"),
        );
    }
    // An `or` that was meant to join tests would silently be one value more.
    for word in flags.values.iter().filter(|word| word.is("or") || word.is("||")) {
        let fault =
            Fault::new(code::CONDITION, word.range.clone(), format!("`{}` joins acls and not values", word.text()));
        faults.push(fault.hint("values stand side by side; quote it if it is a value"));
    }
}

fn check_name(def: &AclDef<'_>) -> Result<(), Fault> {
    let bad = |message: String| Err(Fault::new(code::ACL_NAME, 0..def.text.len(), message));
    if matches!(def.name, "if" | "unless" | "or" | "") {
        return bad(format!("`{}` cannot be the name of an acl", def.name));
    }
    match def.name.chars().find(|&c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))) {
        Some(c) => bad(format!("`{c}` cannot stand in the name of an acl (`{}`)", def.name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fetch::fetches;
    use crate::testing::{REQUEST, env, with_ctx};

    fn compile(text: &str) -> Result<Acls, Vec<RuleError>> {
        let (acls, errors) = Acls::compile(&[AclDef { name: "x", text }], &env());
        if errors.is_empty() { Ok(acls) } else { Err(errors) }
    }

    fn holds(request: &str, text: &str) -> bool {
        let acls = compile(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        with_ctx(request, |ctx| acls.list[0].holds(ctx))
    }

    #[test]
    fn every_example_of_the_tables_compiles() {
        for example in MATCHES.iter().map(|kind| kind.example) {
            assert!(holds(REQUEST, example), "{example}");
        }
        for fetch in fetches() {
            assert!(compile(fetch.example).is_ok(), "{}: {:?}", fetch.example, compile(fetch.example));
        }
    }

    #[test]
    fn predefined_acls_compile_and_hold_where_they_should() {
        for (request, holding) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP HTTP_1.1 HTTP_URL_SLASH METH_GET REQ_CONTENT TRUE WAIT_END"),
            ("HEAD / HTTP/1.0\r\n\r\n", "HTTP HTTP_1.0 HTTP_URL_SLASH METH_GET METH_HEAD REQ_CONTENT TRUE WAIT_END"),
            (
                "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
                "HTTP HTTP_1.1 HTTP_URL_STAR METH_OPTIONS REQ_CONTENT TRUE WAIT_END",
            ),
            (
                "PUT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
                "HTTP HTTP_1.1 HTTP_URL_ABS METH_PUT REQ_CONTENT TRUE WAIT_END",
            ),
            (
                "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
                "HTTP HTTP_1.1 HTTP_CONTENT HTTP_URL_SLASH METH_DELETE REQ_CONTENT TRUE WAIT_END",
            ),
        ] {
            let found: Vec<&str> =
                PREDEFINED.iter().filter(|entry| holds(request, entry.text)).map(|entry| entry.name).collect();
            assert_eq!(found.join(" "), holding, "{request:?}");
        }
    }

    #[test]
    fn every_occurrence_is_tried_and_an_undefined_sample_matches_nothing() {
        for (text, expected) in [
            ("hdr(accept) application/json", true),
            ("hdr(accept,1) application/json", false),
            ("hdr(accept,-1) */*", true),
            ("req.fhdr(accept) application/json", false),
            ("hdr(none) x", false),
            ("hdr(none) -m found", false),
            ("hdr(none) -m len 0", false),
            ("hdr_cnt(none) 0", true),
            ("hdr(host) -i WWW.EXAMPLE.COM", true),
            ("hdr(host) WWW.EXAMPLE.COM", false),
            ("hdr(x-forwarded-for) -m ip 192.168.0.0/16", true),
            ("hdr_beg(host) -m end .com", true),
            ("src -m beg 203.0.", true),
            ("dst_port -m str 443", true),
            ("hdr(content-length) -m int gt 5", true),
            ("hdr(x-debug-id) -m int 1", true),
            ("method post", false),
            ("path --", false),
            ("path_beg -i -- /API", true),
            ("path_len 10", true),
            ("path \"/api/users\" '/x y'", true),
        ] {
            assert_eq!(holds(REQUEST, text), expected, "{text}");
        }
    }

    #[test]
    fn a_name_again_is_a_logical_or() {
        let defs = [
            AclDef { name: "a", text: "path /x" },
            AclDef { name: "b", text: "path /y" },
            AclDef { name: "a", text: "src 203.0.113.9" },
        ];
        let (acls, errors) = Acls::compile(&defs, &env());
        assert_eq!(errors, []);
        assert_eq!(acls.names().collect::<Vec<_>>(), ["a", "b"]);
        assert!(with_ctx(REQUEST, |ctx| acls.list[0].holds(ctx)));
        assert!(!with_ctx(REQUEST, |ctx| acls.list[1].holds(ctx)));
        assert_eq!(acls.unused(&["a".into()]), ["b"]);
    }

    #[test]
    fn mistakes_have_code_and_place() {
        for (text, code, at) in [
            ("", code::EMPTY, ""),
            ("path 'a", code::QUOTE, "'a"),
            ("pth /a", code::FETCH, "pth"),
            ("hdr x", code::FETCH_ARGS, "hdr"),
            ("path -m bge /a", code::MATCH, "bge"),
            ("path -m", code::MATCH, "-m"),
            ("path -m bin 0", code::VALUE, "0"),
            ("src -m bool", code::MATCH_TYPE, "bool"),
            ("path_bool", code::FETCH, "path_bool"),
            ("bin(00) -m int 5", code::MATCH_TYPE, "int"),
            ("always_true -m ip 1.2.3.4", code::MATCH_TYPE, "ip"),
            ("src 10/8", code::VALUE, "10/8"),
            ("dst_port -- -x", code::VALUE, "-x"),
            ("path", code::VALUES, "path"),
            ("always_true 1", code::VALUES, "1"),
            ("hdr(a) -m found x", code::VALUES, "x"),
            ("path -x /a", code::FLAG, "-x"),
            ("path -m str -m beg /a", code::FLAG, "beg"),
            ("path -f /no/such/list", code::FILE, "/no/such/list"),
            ("path -f", code::FLAG, "-f"),
            ("path -u x /a", code::FLAG, "x"),
            ("always_true -f /x", code::VALUES, "/x"),
            ("path /a or /b", code::CONDITION, "or"),
            ("path_reg (", code::REGEX, "("),
        ] {
            let errors = compile(text).unwrap_err();
            let found: Vec<(&str, &str)> = errors.iter().map(|e| (e.code, &text[e.range.clone()])).collect();
            assert_eq!(found, [(code, at)], "{text}: {errors:?}");
        }
        for name in ["a b", "if", "or", "", "a/b"] {
            let (_, errors) = Acls::compile(&[AclDef { name, text: "path /a" }], &env());
            assert_eq!(errors[0].code, code::ACL_NAME, "{name}");
        }
    }

    #[test]
    fn all_mistakes_of_one_line_are_told() {
        let errors = compile("pth -x -m bge /a").unwrap_err();
        assert_eq!(errors.iter().map(|e| e.code).collect::<Vec<_>>(), [code::FETCH, code::FLAG, code::MATCH]);
    }
}
