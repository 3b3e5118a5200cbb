//! `acl`, `http-request`, `use_backend` and the other lists of rules: handed to the rule compiler, its mistakes mapped back
//! into the file.
//!
//! Lists are compiled in the order in which they run, since rules that capture count their slots in it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::tables::{MATCHES, fetches};
use evenkeel_acl::{AclDef, Acls, Conditions, Env, Phase, RuleError, RuleKind, RuleLine, RuleSet, Switch};

use super::proxy::Reference;
use super::{Cx, Layers, capture, shadow};
use crate::codes;
use crate::keys::Sections;
use crate::model::Mode;
use crate::nearest::did_you_mean;
use crate::place::At;
use crate::shape::{Entry, Node, Val};

/// The rules of one section.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub tcp_connection: Arc<RuleSet>,
    pub tcp_session: Arc<RuleSet>,
    pub tcp_content: Arc<RuleSet>,
    pub tcp_response: Arc<RuleSet>,
    pub http_request: Arc<RuleSet>,
    pub redirect: Arc<RuleSet>,
    pub http_response: Arc<RuleSet>,
    pub http_after_response: Arc<RuleSet>,
    pub switch: Arc<Switch>,
    pub use_server: Arc<Switch>,
    pub monitor_fail: Arc<Conditions>,
    /// The backends that `use_backend` names.
    pub targets: Vec<Reference>,
}

/// The rules of every section, in their order.
pub(crate) fn all(sections: &[Layers<'_, '_>], cx: &mut Cx<'_>) -> Vec<Rules> {
    let fronts = |layers: &Layers<'_, '_>| layers.kind.meets(Sections::CLIENT_ONLY);
    sections.iter().filter(|layers| fronts(layers)).for_each(|layers| capture::declare(layers, cx));
    let mut all: Vec<Rules> = sections.iter().map(|_| Rules::default()).collect();
    // Backends fill the slots that rules of frontends declare, wherever in the file those stand.
    for first in [true, false] {
        for (layers, built) in sections.iter().zip(&mut all).filter(|(layers, _)| fronts(layers) == first) {
            *built = rules(layers, layers.mode(), cx);
        }
    }
    all
}

/// Compiles the rules of a section.
fn rules(layers: &Layers<'_, '_>, mode: Mode, cx: &mut Cx<'_>) -> Rules {
    let library = Rc::clone(&cx.library);
    let env = Env { library: &library, proxy: layers.name };
    // HAProxy's order: those of defaults first, each list with the acls of its own section.
    let nodes = layers.under.iter().rev().copied().chain([layers.own]);
    let parts: Vec<Part<'_, '_>> = nodes.map(|node| Part::of(node, &env, cx)).collect();
    if let Some(own) = parts.last() {
        library.acls.borrow_mut().insert(Arc::from(layers.name), own.acls.clone());
    }
    let mut lists = Lists { layers, mode, parts, env };
    let mut built = Rules {
        tcp_connection: lists.set(RuleKind::TcpConnection, cx),
        tcp_session: lists.set(RuleKind::TcpSession, cx),
        tcp_content: lists.set(RuleKind::TcpContent, cx),
        http_request: lists.set(RuleKind::HttpRequest, cx),
        tcp_response: lists.set(RuleKind::TcpResponse, cx),
        http_response: lists.set(RuleKind::HttpResponse, cx),
        http_after_response: lists.set(RuleKind::HttpAfterResponse, cx),
        ..Rules::default()
    };
    let rewritten = built.http_request.rewrites(RuleKind::HttpRequest);
    built.redirect = lists.redirects(rewritten, cx);
    let (switch, targets) = lists.switch("use_backend", "backend", rewritten, cx);
    (built.switch, built.targets) = (switch, targets);
    let (use_server, servers) = lists.switch("use-server", "server", rewritten, cx);
    built.use_server = use_server;
    for server in servers {
        let known = library.proxies.iter().find(|proxy| *proxy.name == *layers.name);
        let known = known.map(|proxy| &proxy.servers[..]).unwrap_or_default();
        if !known.contains(&server.name) {
            let hint = did_you_mean(&server.name, known.iter().map(|name| &**name));
            let message = format!("`{}` has no server `{}`", layers.name, server.name);
            cx.sink.error(codes::UNKNOWN_SERVER, server.at, message).maybe_hint(hint);
        }
    }
    built.monitor_fail = lists.conditions("monitor.fail", cx);

    if mode == Mode::Tcp {
        // While content rules wait for what the client says, there may be a request in it.
        let heard = layers.find("tcp-request.inspect-delay").is_some();
        let mut conditions = Vec::new();
        let keys = ["use_backend", "use-server", "tcp-request.content"].into_iter().filter(|_| !heard);
        for key in keys.chain(["tcp-response.content"]) {
            conditions.extend(Lines::of(layers.own, key, "", cx).lines);
        }
        let own = lists.parts.last().map(|part| &part.places[..]).unwrap_or_default();
        needs_http(if heard { &[] } else { own }, &conditions, cx);
    }
    for part in &lists.parts {
        for entry in part.named() {
            if !part.used.contains(entry.name) && !asked_by_name(entry.name, cx) {
                cx.sink.warn(codes::UNUSED_ACL, entry.key_at, format!("no rule uses the acl `{}`", entry.name));
            }
        }
    }
    built
}

/// The lists of rules that defaults may hold.
pub(crate) const INHERITED: [RuleKind; 7] = [
    RuleKind::TcpConnection,
    RuleKind::TcpSession,
    RuleKind::TcpContent,
    RuleKind::HttpRequest,
    RuleKind::TcpResponse,
    RuleKind::HttpResponse,
    RuleKind::HttpAfterResponse,
];

/// Whether an `acl(...)` anywhere in the files asks for an acl of that name.
fn asked_by_name(name: &str, cx: &Cx<'_>) -> bool {
    (0..cx.files.count()).any(|file| {
        let text = &cx.files.source(At::new(file, 0..0)).text;
        text.match_indices("acl(").any(|(at, _)| {
            let names = text[at + 4..].split(')').next().unwrap_or_default();
            names.split(',').any(|one| one.trim().trim_start_matches('!') == name)
        })
    })
}

/// A section that rules are taken from: a proxy, or defaults of it.
struct Part<'n, 'd> {
    node: &'n Node<'d>,
    acls: Acls,
    /// The lines of its acls.
    places: Vec<Line<'n>>,
    /// The words of the conditions of its rules.
    used: HashSet<&'n str>,
}

impl<'n, 'd> Part<'n, 'd> {
    fn of(node: &'n Node<'d>, env: &Env<'_>, cx: &mut Cx<'_>) -> Part<'n, 'd> {
        let mut part = Part { node, acls: Acls::default(), places: Vec::new(), used: HashSet::new() };
        let mut defs = Vec::new();
        for entry in part.named() {
            for value in entry.value.list() {
                if let Some(text) = value.text() {
                    defs.push(AclDef { name: entry.name, text });
                    part.places.push(Line { at: value.at, text, head: "" });
                }
            }
        }
        let (acls, errors) = Acls::compile(&defs, env);
        part.acls = acls;
        report(errors, &part.places, cx);
        for kind in INHERITED {
            part.used.extend(Lines::of(node, kind.keyword(), "", cx).acls());
        }
        part
    }

    /// Its acls as written.
    fn named(&self) -> &'n [Entry<'d>] {
        self.node.find("acl").and_then(Val::table).map(|node| &node.entries[..]).unwrap_or_default()
    }
}

/// What the lists of a section are compiled with, and the words their conditions hold.
struct Lists<'l, 'n, 'd> {
    layers: &'l Layers<'n, 'd>,
    mode: Mode,
    /// Defaults, the farthest first, then the section.
    parts: Vec<Part<'n, 'd>>,
    env: Env<'l>,
}

impl<'n, 'd> Lists<'_, 'n, 'd> {
    /// The rules of one kind.
    fn set(&mut self, kind: RuleKind, cx: &mut Cx<'_>) -> Arc<RuleSet> {
        let (own, section) = (self.parts.len() - 1, self.layers.kind);
        let mut lists = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let lines = Lines::of(part.node, kind.keyword(), "", cx);
            if kind == RuleKind::TcpContent && !section.meets(Sections::CLIENT_ONLY) {
                no_switch(&lines, cx);
            }
            let has_place = match kind {
                RuleKind::TcpConnection | RuleKind::TcpSession => section.meets(Sections::CLIENT_ONLY),
                RuleKind::TcpResponse => section.meets(Sections::SERVER_ONLY),
                RuleKind::TcpContent => true,
                RuleKind::HttpRequest | RuleKind::HttpResponse | RuleKind::HttpAfterResponse => {
                    self.takes_http(at == own, &lines, kind, cx)
                }
            };
            if has_place || at == own {
                lists.push((lines, at));
            }
        }
        self.compile(kind, &lists, false, cx)
    }

    /// Whether rules on messages have a place here: those of defaults have none in tcp mode.
    fn takes_http(&self, own: bool, lines: &Lines<'_>, kind: RuleKind, cx: &mut Cx<'_>) -> bool {
        let fits = own || self.mode == Mode::Http || self.layers.may_switch();
        if let Some(first) = lines.lines.first().filter(|_| !fits) {
            let message = format!("`{}` takes these {} rules and is in tcp mode", self.layers.name, kind.keyword());
            cx.sink.warn(codes::NO_EFFECT_IN_TCP, first.at, message).hint("they are left out there");
        }
        fits
    }

    /// The `redirect` lines: a set of their own, which an `allow` among the others does not end. `rewritten`: those may
    /// have changed the request.
    fn redirects(&mut self, rewritten: bool, cx: &mut Cx<'_>) -> Arc<RuleSet> {
        let lines = Lines::of(self.layers.own, "redirect", "redirect ", cx);
        self.own().used.extend(lines.acls());
        let own = self.parts.len() - 1;
        self.compile(RuleKind::HttpRequest, &[(lines, own)], rewritten, cx)
    }

    /// The section itself, behind all defaults.
    fn own(&mut self) -> &mut Part<'n, 'd> {
        let own = self.parts.len() - 1;
        &mut self.parts[own]
    }

    /// `lists`: lines, each with the part they are from.
    fn compile(
        &mut self,
        kind: RuleKind,
        lists: &[(Lines<'n>, usize)],
        rewritten: bool,
        cx: &mut Cx<'_>,
    ) -> Arc<RuleSet> {
        let rules: Vec<_> = lists.iter().map(|(lines, part)| (lines.rules(), &self.parts[*part].acls)).collect();
        let parts: Vec<_> = rules.iter().map(|(rules, acls)| (&rules[..], *acls)).collect();
        let lines: Vec<Line<'_>> = lists.iter().flat_map(|(lines, _)| lines.lines.iter().copied()).collect();
        let set = RuleSet::compile_parts(kind, &parts, &self.env).unwrap_or_else(|errors| {
            report(errors, &lines, cx);
            RuleSet::default()
        });
        let places: Vec<At> = lines.iter().map(|line| line.at).collect();
        shadow::report(set.shadowed(kind), &places, rewritten, cx);
        if cx.opts.notes {
            shadow::report(set.order_decides(kind), &places, rewritten, cx);
        }
        Arc::new(set)
    }

    /// The rules that name a backend or server, and the names that are known before there is a request. `rewritten`: rules
    /// may have changed it by then.
    fn switch(&mut self, key: &str, what: &str, rewritten: bool, cx: &mut Cx<'_>) -> (Arc<Switch>, Vec<Reference>) {
        let lines = Lines::of(self.layers.own, key, "", cx);
        let env = self.env;
        let switch = Switch::compile(what, &lines.rules(), &self.own().acls, &env).unwrap_or_else(|errors| {
            report(errors, &lines.lines, cx);
            Switch::default()
        });
        let places: Vec<At> = lines.lines.iter().map(|line| line.at).collect();
        // A server that is not usable lets the next use-server rule have its turn.
        let falls_through = what == "server";
        shadow::report(switch.shadowed(falls_through), &places, rewritten, cx);
        if cx.opts.notes && !falls_through {
            shadow::report(switch.order_decides(), &places, rewritten, cx);
        }
        let names = lines.lines.iter().filter_map(|line| {
            let (word, range) = words(line.text).next()?;
            // A name worked out per request is not known before there is one.
            let name = || Reference { name: Arc::from(word), at: cx.files.inside(line.at, line.text, range) };
            (!word.contains('%')).then(name)
        });
        let names = names.collect();
        self.own().used.extend(lines.acls());
        (Arc::new(switch), names)
    }

    fn conditions(&mut self, key: &str, cx: &mut Cx<'_>) -> Arc<Conditions> {
        let lines = Lines::of(self.layers.own, key, "", cx);
        let env = self.env;
        let conditions = Conditions::compile(&lines.rules(), &self.own().acls, &env).unwrap_or_else(|errors| {
            report(errors, &lines.lines, cx);
            Conditions::default()
        });
        self.own().used.extend(lines.acls());
        Arc::new(conditions)
    }
}

/// A connection becomes HTTP before its backend is chosen.
fn no_switch(lines: &Lines<'_>, cx: &mut Cx<'_>) {
    for line in &lines.lines {
        let first = words(line.text).next().filter(|(word, _)| *word == "switch-mode");
        let Some((_, range)) = first else { continue };
        let at = cx.files.inside(line.at, line.text, range);
        cx.sink
            .error(codes::WRONG_SECTION, at, "`switch-mode` is a rule of frontends")
            .hint("set it in the frontend, or give this backend `mode = \"http\"`");
    }
}

/// In tcp mode there is no request that an acl or a condition could look at.
fn needs_http(acls: &[Line<'_>], conditions: &[Line<'_>], cx: &mut Cx<'_>) {
    let acls = acls.iter().filter_map(|line| Some((line.at, line.text, words(line.text).next()?)));
    let conditions = conditions.iter().flat_map(|line| {
        let after_brace = words(line.text).zip(words(line.text).skip(1));
        let after_brace = after_brace.filter(|((brace, _), _)| brace.ends_with('{'));
        after_brace.map(|(_, word)| (line.at, line.text, word))
    });
    for (at, text, (word, range)) in acls.chain(conditions).filter(|(_, _, (word, _))| needs_request(word)) {
        let at = cx.files.inside(at, text, range);
        cx.sink
            .error(codes::RULES_IN_TCP, at, format!("`{word}` looks at requests, and there are none in tcp mode"))
            .hint("set `mode = \"http\"`, wait for one by tcp-request.inspect-delay, or look at the connection: src, dst, dst_port");
    }
}

fn report(errors: Vec<RuleError>, lines: &[Line<'_>], cx: &mut Cx<'_>) {
    for error in errors {
        let Some(line) = lines.get(error.index) else { continue };
        let head = line.head.len();
        let range = error.range.start.saturating_sub(head)..error.range.end.saturating_sub(head);
        let at = cx.files.inside(line.at, line.text, range);
        cx.sink.error(error.code, at, error.message).maybe_hint(error.hint);
    }
}

/// Reports the mistakes of a single text, such as a format.
pub(super) fn report_text(errors: Vec<RuleError>, value: &Val<'_>, cx: &mut Cx<'_>) {
    report_after(errors, value, "", cx);
}

/// As [`report_text`], where the compiler saw `head` in front.
pub(super) fn report_after(errors: Vec<RuleError>, value: &Val<'_>, head: &'static str, cx: &mut Cx<'_>) {
    report(errors, &[Line { at: value.at, text: value.text().unwrap_or_default(), head }], cx);
}

/// One line as the file has it.
#[derive(Clone, Copy, Debug)]
struct Line<'n> {
    at: At,
    text: &'n str,
    /// What the compiler sees in front of it: the action that a keyword stands for.
    head: &'static str,
}

/// The lines of one keyword.
struct Lines<'n> {
    lines: Vec<Line<'n>>,
    texts: Vec<Cow<'n, str>>,
    files: Vec<(Arc<str>, u32)>,
}

impl<'n> Lines<'n> {
    fn of(node: &'n Node<'_>, key: &str, head: &'static str, cx: &Cx<'_>) -> Lines<'n> {
        let values = node.find(key).map(Val::list).unwrap_or_default();
        let lines = values.iter().filter_map(|value| Some(Line { at: value.at, text: value.text()?, head }));
        let lines: Vec<Line<'n>> = lines.collect();
        let files = lines.iter().map(|line| {
            let place = cx.files.place(line.at);
            (place.file, place.line)
        });
        let texts = lines.iter().map(|line| match line.head {
            "" => Cow::Borrowed(line.text),
            head => Cow::Owned(format!("{head}{}", line.text)),
        });
        Lines { files: files.collect(), texts: texts.collect(), lines }
    }

    fn rules(&self) -> Vec<RuleLine<'_>> {
        let each = self.texts.iter().zip(&self.files);
        each.map(|(text, (file, line))| RuleLine { text, file, line: *line }).collect()
    }

    /// The words of all conditions: the acls they ask for, and others. Read off the text, since a rule with a mistake is
    /// not compiled and still uses its acls.
    fn acls(&self) -> impl Iterator<Item = &'n str> {
        self.lines.iter().flat_map(|line| {
            let condition = words(line.text).skip_while(|(word, _)| !is_condition(word)).skip(1);
            condition.map(|(word, _)| word.trim_start_matches('!'))
        })
    }
}

/// Beginnings of the names of fetches that look at HTTP messages.
const HTTP_FETCHES: &[&str] = &[
    "base",
    "body",
    "cook",
    "hdr",
    "http_",
    "method",
    "path",
    "query",
    "req.body",
    "req.cook",
    "req.fhdr",
    "req.hdr",
    "req.ver",
    "req_ver",
    "res.body",
    "res.cook",
    "res.fhdr",
    "res.hdr",
    "res.ver",
    "resp_ver",
    "scook",
    "set-cookie",
    "shdr",
    "status",
    "url",
];

/// Whether a fetch, with its arguments and match, has no data before there is a request.
fn needs_request(word: &str) -> bool {
    let name = word.split('(').next().unwrap_or_default();
    let named = |name: &str| fetches().iter().copied().find(|fetch| fetch.name == name);
    let fetch = named(name).or_else(|| {
        let (base, suffix) = name.rsplit_once('_')?;
        MATCHES.iter().any(|kind| kind.name == suffix).then(|| named(base))?
    });
    // A fetch of the raw bytes has no data at accept either, and has some in tcp mode.
    fetch.is_some_and(|fetch| {
        !fetch.phases.contains(&Phase::Accept) && HTTP_FETCHES.iter().any(|http| fetch.name.starts_with(http))
    })
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
