//! `acl`, `http-request`, `use_backend`: handed to the rule compiler, its mistakes mapped back into the file.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use evenkeel_acl::tables::{MATCHES, actions, fetches};
use evenkeel_acl::{AclDef, Acls, Env, Library, Phase, RuleError, RuleKind, RuleLine, RuleSet, Switch};

use super::proxy::Reference;
use super::{Cx, Layers};
use crate::codes;
use crate::model::Mode;
use crate::place::At;
use crate::shape::Val;

/// The rules of one section.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub http_request: Arc<RuleSet>,
    pub switch: Arc<Switch>,
    /// The backends that `use_backend` names.
    pub targets: Vec<Reference>,
}

/// Compiles the rules of a section.
pub(super) fn rules(layers: &Layers<'_, '_>, mode: Mode, cx: &mut Cx<'_>) -> Rules {
    let mut defs = Vec::new();
    let mut places = Vec::new();
    let named = layers.own.find("acl").and_then(Val::table).map(|node| &node.entries[..]).unwrap_or_default();
    for entry in named {
        for value in entry.value.list() {
            if let Some(text) = value.text() {
                defs.push(AclDef { name: entry.name, text });
                places.push((value.at, text));
            }
        }
    }
    let library = Library::default();
    let env = Env { library: &library, proxy: layers.name };
    let (acls, errors) = Acls::compile(&defs, &env);
    report(errors, &places, cx);

    let http_request = Lines::of(layers, "http-request", cx);
    let compiled = RuleSet::compile(RuleKind::HttpRequest, &http_request.rules(), &acls, &env);
    let http_request_rules = compiled.unwrap_or_else(|errors| {
        report(errors, &http_request.places, cx);
        RuleSet::default()
    });
    http_request
        .dead_ends(|words| actions().iter().any(|action| action.ends && words.first() == Some(&action.name)), cx);

    let use_backend = Lines::of(layers, "use_backend", cx);
    let switch = Switch::compile("backend", &use_backend.rules(), &acls, &env).unwrap_or_else(|errors| {
        report(errors, &use_backend.places, cx);
        Switch::default()
    });
    use_backend.dead_ends(|_| true, cx);
    let targets = use_backend.places.iter().filter_map(|(at, text)| {
        let (word, range) = words(text).next()?;
        // A name worked out per request is not known before there is one.
        (!word.contains('%')).then(|| Reference { name: Arc::from(word), at: cx.files.inside(*at, text, range) })
    });
    let targets = targets.collect();

    if mode == Mode::Tcp {
        let acls = places.iter().filter_map(|(at, text)| Some((*at, *text, words(text).next()?)));
        let conditions = use_backend.places.iter().flat_map(|(at, text)| {
            let after_brace = words(text).zip(words(text).skip(1)).filter(|((brace, _), _)| brace.ends_with('{'));
            after_brace.map(|(_, word)| (*at, *text, word))
        });
        for (at, text, (word, range)) in acls.chain(conditions).filter(|(_, _, (word, _))| needs_request(word)) {
            let at = cx.files.inside(at, text, range);
            cx.sink
                .error(codes::RULES_IN_TCP, at, format!("`{word}` looks at requests, and there are none in tcp mode"))
                .hint("set `mode = \"http\"`, or look at the connection: src, dst, dst_port");
        }
    }

    let used: HashSet<&str> = http_request.acls().chain(use_backend.acls()).collect();
    for entry in named {
        if !used.contains(entry.name) {
            cx.sink.warn(codes::UNUSED_ACL, entry.key_at, format!("no rule uses the acl `{}`", entry.name));
        }
    }
    Rules { http_request: Arc::new(http_request_rules), switch: Arc::new(switch), targets }
}

fn report(errors: Vec<RuleError>, places: &[(At, &str)], cx: &mut Cx<'_>) {
    for error in errors {
        let Some((at, text)) = places.get(error.index) else { continue };
        let at = cx.files.inside(*at, text, error.range);
        cx.sink.error(error.code, at, error.message).maybe_hint(error.hint);
    }
}

/// The lines of one keyword.
struct Lines<'n> {
    places: Vec<(At, &'n str)>,
    files: Vec<(Arc<str>, u32)>,
}

impl<'n> Lines<'n> {
    fn of(layers: &Layers<'n, '_>, key: &str, cx: &Cx<'_>) -> Lines<'n> {
        let values = layers.own.find(key).map(Val::list).unwrap_or_default();
        let places: Vec<_> = values.iter().filter_map(|value| Some((value.at, value.text()?))).collect();
        let files = places.iter().map(|(at, _)| {
            let place = cx.files.place(*at);
            (place.file, place.line)
        });
        Lines { files: files.collect(), places }
    }

    fn rules(&self) -> Vec<RuleLine<'_>> {
        let each = self.places.iter().zip(&self.files);
        each.map(|((_, text), (file, line))| RuleLine { text, file, line: *line }).collect()
    }

    /// The words of all conditions: the acls they ask for, and others. Read off the text, since a rule with a mistake is
    /// not compiled and still uses its acls.
    fn acls(&self) -> impl Iterator<Item = &'n str> {
        self.places.iter().flat_map(|(_, text)| {
            let condition = words(text).skip_while(|(word, _)| !is_condition(word)).skip(1);
            condition.map(|(word, _)| word.trim_start_matches('!'))
        })
    }

    /// Reports what stands below a final rule without a condition.
    fn dead_ends(&self, is_final: impl Fn(&[&str]) -> bool, cx: &mut Cx<'_>) {
        for (index, (_, text)) in self.places.iter().enumerate() {
            let words: Vec<&str> = words(text).map(|(word, _)| word).collect();
            if is_final(&words) && !words.iter().any(|word| is_condition(word)) {
                let line = self.files[index].1;
                for (at, _) in &self.places[index + 1..] {
                    cx.sink
                        .warn(codes::RULE_NEVER_RUNS, *at, "this rule never runs")
                        .hint(format!("the rule on line {line} has no condition and ends the list"));
                }
                return;
            }
        }
    }
}

/// Whether a fetch, with its arguments and match, has no data before there is a request.
fn needs_request(word: &str) -> bool {
    let name = word.split('(').next().unwrap_or_default();
    let named = |name: &str| fetches().iter().copied().find(|fetch| fetch.name == name);
    let fetch = named(name).or_else(|| {
        let (base, suffix) = name.rsplit_once('_')?;
        MATCHES.iter().any(|kind| kind.name == suffix).then(|| named(base))?
    });
    fetch.is_some_and(|fetch| !fetch.phases.contains(&Phase::Accept))
}

fn is_condition(word: &str) -> bool {
    matches!(word, "if" | "unless")
}

/// The words of a rule line as written, with their bytes; a quoted part is one word, quotes and all.
fn words(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && bytes[at].is_ascii_whitespace() {
            at += 1;
        }
        let start = at;
        let mut quote = None;
        while at < bytes.len() {
            match (quote, bytes[at]) {
                (None, b) if b.is_ascii_whitespace() => break,
                (None, b @ (b'\'' | b'"')) => quote = Some(b),
                (Some(open), b) if b == open => quote = None,
                (None | Some(b'"'), b'\\') => at += 1,
                _ => {}
            }
            at += 1;
        }
        // A backslash at the end, or before a character of several bytes.
        at = at.min(bytes.len());
        while !text.is_char_boundary(at) {
            at += 1;
        }
        (start < at).then(|| (&text[start..at], start..at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetches_know_their_phase() {
        for (word, want) in [
            ("src", false),
            ("dst_port", false),
            ("src_port", false),
            ("path", true),
            ("path_beg", true),
            ("hdr(host)", true),
            ("hdr_end(host)", true),
            ("req.hdr_cnt(a)", true),
            ("nonsense", false),
        ] {
            assert_eq!(needs_request(word), want, "{word}");
        }
    }

    #[test]
    fn words_keep_their_bytes() {
        let found: Vec<_> = words(r#" deny  string "a if b" hdr x\ y 'z'if "#).collect();
        assert_eq!(
            found,
            [
                ("deny", 1..5),
                ("string", 7..13),
                (r#""a if b""#, 14..22),
                ("hdr", 23..26),
                (r"x\ y", 27..31),
                ("'z'if", 32..37)
            ]
        );
        for odd in ["\\", "a \\é", "\"é", "é\\"] {
            assert!(words(odd).all(|(word, range)| word == &odd[range]), "{odd}");
        }
    }
}
