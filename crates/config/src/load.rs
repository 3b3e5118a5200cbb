//! From sources to a configuration: parse, shape, build, cross-check.
//!
//! One pass over everything, whatever is found on the way. Sections of all files are put in file order first, since ids
//! and the statistics page follow it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::build::{self, Cx, Layers};
use crate::codes;
use crate::diagnostic::{Diagnostic, Severity, Sink};
use crate::keys::{
    CRT_STORE, GLOBAL, HTTP_ERRORS, Kind, LOG_PROFILE, PROXY, RESOLVERS, Sections, TEST, Type, USERLIST,
};
use crate::model::Config;
use crate::nearest::{did_you_mean, nearest};
use crate::place::{At, Files};
use crate::read::{Failure, Read};
use crate::shape::{Data, Node, Val, type_in_words};
use crate::{LoadOptions, Loaded, Source, cross};

/// The kinds of sections and other words at the top of a file.
const ROOT: &[&str] = &[
    "include",
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "userlist",
    "http-errors",
    "crt-store",
    "resolvers",
    "log-profile",
    "test",
];

/// Sections of a later version.
const ROOT_LATER: &[&str] = &[
    "acme",
    "cache",
    "fcgi-app",
    "healthcheck",
    "log-forward",
    "mailers",
    "map",
    "peers",
    "program",
    "ring",
    "stick-table",
    "traces",
];

static INCLUDE: Kind = Kind::Many(&Kind::Text("a path such as \"conf.d/*.toml\""));
static GLOBAL_KIND: Kind = Kind::Table(&GLOBAL);
static USERLISTS: Kind = Kind::Named(&Kind::Table(&USERLIST));
static PAGES: Kind = Kind::Named(&Kind::Table(&HTTP_ERRORS));
static CRT_STORES: Kind = Kind::Named(&Kind::Table(&CRT_STORE));
static RESOLVERS_KIND: Kind = Kind::Named(&Kind::Table(&RESOLVERS));
static LOG_PROFILES: Kind = Kind::Named(&Kind::Table(&LOG_PROFILE));
static TESTS: Kind = Kind::Many(&Kind::Table(&TEST));

/// Checks sources that are in memory already; an `include` among them is an error.
pub fn load_sources(sources: &[Source], opts: &LoadOptions<'_>) -> Loaded {
    compile(Read { sources: sources.to_vec(), ..Read::default() }, opts)
}

/// Checks what was read.
pub(crate) fn compile(read: Read, opts: &LoadOptions<'_>) -> Loaded {
    let Read { sources, mut failures, includes } = read;
    if sources.is_empty() && failures.is_empty() {
        let message = "no file is given".to_owned();
        failures.push(Failure { code: codes::UNREADABLE, message, file: Arc::from("-"), asked: None });
    }
    let (config, stores, tls, diagnostics) = {
        let files = Files::new(&sources);
        let mut cx = Cx::new(&files, opts);
        let unreadable = report(failures, &mut cx.sink);
        let documents: Vec<Spanned<DeTable<'_>>> =
            sources.iter().enumerate().map(|(i, s)| parse(i, s, &mut cx)).collect();
        let config = config(&documents, includes, &mut cx, unreadable.is_empty());
        let errors = cx.sink.has_errors() || !unreadable.is_empty();
        let stores = Arc::new(std::mem::take(&mut *cx.library.stores.borrow_mut()));
        let tls = Arc::new(std::mem::take(&mut cx.secure.made));
        let mut diagnostics = unreadable;
        diagnostics.extend(cx.sink.finish(&files));
        ((!errors).then_some(config), stores, tls, diagnostics)
    };
    Loaded { config, diagnostics, sources, stores, tls }
}

/// Files that an include asked for are reported there, the others by themselves.
fn report(failures: Vec<Failure>, sink: &mut Sink) -> Vec<Diagnostic> {
    let mut unreadable = Vec::new();
    for failure in failures {
        match failure.asked {
            Some((file, span)) => {
                sink.error(failure.code, At::new(file, span), failure.message);
            }
            None => unreadable.push(Diagnostic {
                severity: Severity::Error,
                code: failure.code,
                message: failure.message,
                file: failure.file,
                span: 0..0,
                line: 0,
                column: 0,
                hint: None,
            }),
        }
    }
    unreadable
}

fn parse<'d>(index: usize, source: &'d Source, cx: &mut Cx<'_>) -> Spanned<DeTable<'d>> {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        cx.syntax_errors = true;
        // After a bracket that is never closed whole sections are missing: what they would have defined is not known.
        cx.sections_lost |= error.message().starts_with("unclosed");
        let span = error.span().unwrap_or(0..0);
        cx.sink.error(codes::SYNTAX, At::new(index, span), error.message());
    }
    document
}

/// One section of a file.
struct Raw<'d> {
    kind: Sections,
    /// `None` for the unnamed defaults.
    name: Option<&'d str>,
    at: At,
    table: &'d DeTable<'d>,
}

fn config<'d>(documents: &'d [Spanned<DeTable<'d>>], includes: bool, cx: &mut Cx<'d>, all_read: bool) -> Config {
    let mut global: Option<Node<'d>> = None;
    let mut raw = Vec::new();
    let mut shared = build::Shared::default();
    for (file, document) in documents.iter().enumerate() {
        let top = Top { global: &mut global, raw: &mut raw, shared: &mut shared };
        root(file, document.get_ref(), includes, cx, top);
    }
    raw.sort_by_key(|section| section.at);

    let defaults = Defaults::read(&raw, cx);
    let (proxies, names) = proxies(&raw, cx);
    let tls = build::tls(global.as_ref(), &shared.crt_stores, folder(cx), cx);
    cx.tls = tls;
    let global_node = global;
    let mut global = build::global(global_node.as_ref(), cx);
    let nodes = proxies.iter().map(|(section, name, node)| (section.kind, *name, node));
    cx.library = Rc::new(build::library(nodes, &shared, &global, folder(cx), cx));
    build::loggers(&mut global, global_node.as_ref(), &shared, cx);
    global.set_vars = build::set_vars(global_node.as_ref(), cx);
    let resolvers: Vec<_> = build::resolvers(&shared, cx).into_iter().map(Arc::new).collect();
    let mut built = build::Built::default();
    let mut used = vec![Used::default(); defaults.list.len()];
    let layers: Vec<Layers<'_, '_>> = proxies
        .iter()
        .map(|(section, name, node)| {
            let under = defaults.of(section.kind, node, &mut used, cx);
            Layers { kind: section.kind, name, at: section.at, own: node, under }
        })
        .collect();
    let rules = build::rules(&layers, cx);
    for ((id, layers), rules) in (2..).zip(&layers).zip(rules) {
        built.section(id, layers, rules, &global, cx);
    }
    for (default, used) in defaults.list.iter().zip(&used) {
        let Some(name) = default.name else { continue };
        if used.by_clients
            && used.by_servers
            && let Some(rules) = default.node.entries.iter().find(|entry| RULES.contains(&entry.name))
        {
            cx.sink
                .error(
                    codes::DEFAULTS_RULES,
                    rules.key_at,
                    format!("frontends and backends take the rules of `{name}`"),
                )
                .hint(
                    "they would run twice for one request: make defaults for the frontends and others for the backends",
                );
        }
        if !used.by_clients && !used.by_servers {
            cx.sink
                .warn(codes::UNUSED_DEFAULTS, default.node.at, format!("no section takes the defaults `{name}`"))
                .hint(format!("write `from = \"{name}\"` in the sections that should"));
        }
    }
    cross::check(&built, &names, all_read && !cx.sections_lost, cx);
    let tests = build::tests(&shared.tests, &built, cx);
    let names = documents.iter().enumerate().map(|(file, _)| cx.files.source(At::new(file, 0..0)).name.to_string());
    Config {
        global,
        frontends: built.frontends.into_iter().map(|built| Arc::new(built.frontend)).collect(),
        backends: built.backends.into_iter().map(|built| Arc::new(built.backend)).collect(),
        tables: cx.library.tables.clone(),
        resolvers,
        tests,
        order: built.order,
        files: names.map(PathBuf::from).collect(),
        asks_server_src: asks_server_src(cx.files),
    }
}

/// Whether our address towards a server may be asked for. Read off the text: a flag may stand between `%` and the name.
fn asks_server_src(files: &Files<'_>) -> bool {
    let texts = (0..files.count()).map(|file| &files.source(At::new(file, 0..0)).text);
    let alias = |text: &str| {
        text.match_indices('%').any(|(at, _)| {
            let name = text[at + 1..].split_once('}').filter(|_| text[at + 1..].starts_with('{')).map(|(_, rest)| rest);
            let name = name.unwrap_or(&text[at + 1..]);
            name.starts_with("bi") || name.starts_with("bp")
        })
    };
    texts.into_iter().any(|text| text.contains("bc_src") || alias(text))
}

/// What a relative path in a section is relative to: the folder of the first file.
fn folder(cx: &Cx<'_>) -> PathBuf {
    if cx.files.count() == 0 {
        return PathBuf::new();
    }
    let name = &cx.files.source(At::new(0, 0..0)).name;
    Path::new(&**name).parent().map(Path::to_owned).unwrap_or_default()
}

/// A proxy section, its name and its keys.
type Proxy<'r, 'd> = (&'r Raw<'d>, &'d str, Node<'d>);

/// Shapes the proxies, and says where each name is first used.
fn proxies<'r, 'd>(raw: &'r [Raw<'d>], cx: &mut Cx<'d>) -> (Vec<Proxy<'r, 'd>>, HashMap<&'d str, At>) {
    let mut proxies = Vec::new();
    let mut names: HashMap<&str, At> = HashMap::new();
    for section in raw.iter().filter(|section| section.kind != Sections::DEFAULTS) {
        let Some(name) = section.name else { continue };
        match names.get(name) {
            Some(first) => {
                let first = cx.files.place(*first);
                cx.sink.error(codes::DUPLICATE_PROXY, section.at, format!("the name `{name}` is taken")).hint(format!(
                    "it is first used at {first}; names are unique over frontends, backends and listens"
                ));
            }
            None => {
                names.insert(name, section.at);
            }
        }
        let node =
            cx.shaper(section.at.file as usize, section.kind).table(&PROXY, section.table, section.at, &|_| false);
        proxies.push((section, name, node));
    }
    (proxies, names)
}

/// What the top of the files holds.
struct Top<'t, 'd> {
    global: &'t mut Option<Node<'d>>,
    raw: &'t mut Vec<Raw<'d>>,
    shared: &'t mut build::Shared<'d>,
}

/// Reads the top of one file.
fn root<'d>(
    file: usize,
    document: &'d DeTable<'d>,
    includes: bool,
    cx: &mut Cx<'d>,
    Top { global, raw, shared }: Top<'_, 'd>,
) {
    for (name, value) in document {
        let at = At::new(file, name.span());
        match name.get_ref().as_ref() {
            "include" => {
                let read = cx.shaper(file, Sections::ANY).value(&INCLUDE, value, at, "include");
                if read.is_some() && !includes {
                    cx.sink.error(codes::INCLUDE, at, "an include needs files, and this text comes from memory");
                }
            }
            "global" => {
                if let Some(found) = cx.shaper(file, Sections::ANY).value(&GLOBAL_KIND, value, at, "global")
                    && let Data::Table(node) = found.data
                {
                    match global {
                        Some(first) => merge(first, node, cx),
                        None => *global = Some(node),
                    }
                }
            }
            "userlist" => named(file, "userlist", &USERLISTS, value, at, &mut shared.userlists, cx),
            "http-errors" => named(file, "http-errors", &PAGES, value, at, &mut shared.pages, cx),
            "crt-store" => named(file, "crt-store", &CRT_STORES, value, at, &mut shared.crt_stores, cx),
            "resolvers" => named(file, "resolvers", &RESOLVERS_KIND, value, at, &mut shared.resolvers, cx),
            "log-profile" => named(file, "log-profile", &LOG_PROFILES, value, at, &mut shared.log_profiles, cx),
            "test" => {
                if let Some(found) = cx.shaper(file, Sections::ANY).value(&TESTS, value, at, "test")
                    && let Data::List(tests) = found.data
                {
                    shared.tests.extend(tests.into_iter().filter_map(|test| match test.data {
                        Data::Table(node) => Some(Node { at: test.at, ..node }),
                        _ => None,
                    }));
                }
            }
            "defaults" => match value.get_ref() {
                DeValue::Table(table) => {
                    raw.push(Raw { kind: Sections::DEFAULTS, name: None, at, table });
                    sections(file, Sections::DEFAULTS, table, cx, raw);
                }
                other => not_a_section("defaults", other, at, cx),
            },
            word => {
                let kind = Sections::EACH.into_iter().find(|(_, name)| *name == word).map(|(kind, _)| kind);
                match (kind, value.get_ref()) {
                    (Some(kind), DeValue::Table(table)) => sections(file, kind, table, cx, raw),
                    (Some(_), other) => not_a_section(word, other, at, cx),
                    (None, _) if ROOT_LATER.contains(&word) => {
                        cx.sink
                            .error(codes::LATER, at, format!("the section `{word}` is not in this version"))
                            .hint("remove it; it would have no effect");
                    }
                    (None, _) => unknown_section(word, at, cx),
                }
            }
        }
    }
}

/// The sections of a kind that is no proxy; each name stands once.
fn named<'d>(
    file: usize,
    word: &str,
    kind: &'static Kind,
    value: &'d Spanned<DeValue<'d>>,
    at: At,
    list: &mut Vec<(&'d str, Node<'d>)>,
    cx: &mut Cx<'d>,
) {
    if let DeValue::Table(table) = value.get_ref() {
        for (name, value) in table {
            let at = At::new(file, name.span());
            if !is_name(name.get_ref()) {
                bad_name(name.get_ref(), at, cx);
            } else if !matches!(value.get_ref(), DeValue::Table(_)) {
                return not_a_section(&format!("{word}.{}", name.get_ref()), value.get_ref(), at, cx);
            }
        }
    } else {
        return not_a_section(word, value.get_ref(), at, cx);
    }
    let Some(Val { data: Data::Table(sections), .. }) = cx.shaper(file, Sections::ANY).value(kind, value, at, word)
    else {
        return;
    };
    for entry in sections.entries {
        let Data::Table(node) = entry.value.data else { continue };
        if let Some((_, first)) = list.iter().find(|(name, _)| *name == entry.name) {
            let first = cx.files.place(first.at);
            cx.sink
                .error(codes::DUPLICATE_PROXY, entry.key_at, format!("the {word} `{}` is there already", entry.name))
                .hint(format!("the first is at {first}"));
        }
        list.push((entry.name, Node { at: entry.key_at, ..node }));
    }
}

/// The named tables of one kind of section.
fn sections<'d>(file: usize, kind: Sections, table: &'d DeTable<'d>, cx: &mut Cx<'d>, raw: &mut Vec<Raw<'d>>) {
    let word = kind.names().next().unwrap_or_default();
    let defaults = kind == Sections::DEFAULTS;
    for (name, value) in table {
        let at = At::new(file, name.span());
        let known = PROXY.key(name.get_ref()).is_some();
        match value.get_ref() {
            _ if defaults && !is_named_defaults(name.get_ref(), value.get_ref()) => {}
            DeValue::Table(table) => {
                if !is_name(name.get_ref()) {
                    bad_name(name.get_ref(), at, cx);
                }
                raw.push(Raw { kind, name: Some(name.get_ref()), at, table });
            }
            _ if at.start == at.end => {}
            _ if known => {
                cx.sink
                    .error(codes::WRONG_TYPE, at, format!("`{}` stands in a {word} without a name", name.get_ref()))
                    .hint(format!("write [{word}.NAME] above it"));
            }
            other => not_a_section(&format!("{word}.{}", name.get_ref()), other, at, cx),
        }
    }
}

/// In `[defaults]` a table under an unknown key is a defaults section of that name, unless it is a misspelt key.
fn is_named_defaults(name: &str, value: &DeValue<'_>) -> bool {
    let DeValue::Table(inner) = value else { return false };
    if PROXY.key(name).is_some() || PROXY.later.contains(&name) || PROXY.renamed.iter().any(|(from, _)| *from == name) {
        return false;
    }
    let tables = PROXY.keys.iter().filter(|key| key.kind.takes(Type::Table)).map(|key| key.name);
    let misspelt = nearest(name, tables).is_some();
    !misspelt || inner.is_empty() || inner.keys().any(|key| PROXY.key(key.get_ref()).is_some())
}

fn bad_name(name: &str, at: At, cx: &mut Cx<'_>) {
    cx.sink
        .error(codes::BAD_NAME, at, format!("`{name}` is not a name"))
        .hint("names are made of letters, digits, - _ . and :");
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

fn not_a_section(word: &str, found: &DeValue<'_>, at: At, cx: &mut Cx<'_>) {
    let example = if word.contains('.') || word == "defaults" { word.to_owned() } else { format!("{word}.NAME") };
    cx.sink
        .error(codes::WRONG_TYPE, at, format!("`{word}` is a section, not {}", type_in_words(found)))
        .hint(format!("write [{example}] on a line of its own"));
}

fn unknown_section(word: &str, at: At, cx: &mut Cx<'_>) {
    let hint = did_you_mean(word, ROOT.iter().copied())
        .or_else(|| {
            GLOBAL.key(word).map(|_| format!("`{word}` belongs in [global]")).or_else(|| {
                PROXY.key(word).map(|_| format!("`{word}` belongs in a section: write [listen.NAME] above it"))
            })
        })
        .or_else(|| did_you_mean(word, ROOT_LATER.iter().copied()))
        .unwrap_or_else(|| {
            "sections are [global], [defaults], [frontend.NAME], [backend.NAME], [listen.NAME]".to_owned()
        });
    cx.sink.error(codes::UNKNOWN_SECTION, at, format!("unknown section `{word}`")).hint(hint);
}

/// Puts the keys of `more`, from a later file, into `first`.
fn merge<'d>(first: &mut Node<'d>, more: Node<'d>, cx: &mut Cx<'d>) {
    for entry in more.entries {
        match first.entries.iter_mut().find(|known| known.name == entry.name) {
            None => first.entries.push(entry),
            Some(known) => match (&mut known.value.data, entry.value.data) {
                (Data::Table(known), Data::Table(node)) => merge(known, node, cx),
                _ => {
                    let place = cx.files.place(known.key_at);
                    cx.sink
                        .error(codes::SET_TWICE, entry.key_at, format!("`{}` is set in two files", entry.name))
                        .hint(format!("it is first set at {place}; remove one of the two"));
                }
            },
        }
    }
}

/// Keys of lists of rules that named defaults may hold.
const RULES: [&str; 5] = ["tcp-request", "tcp-response", "http-request", "http-response", "http-after-response"];

/// Who takes from a defaults section; a listen counts as a frontend.
#[derive(Clone, Copy, Default)]
struct Used {
    by_clients: bool,
    by_servers: bool,
}

/// The defaults sections.
struct Defaults<'d> {
    list: Vec<Default<'d>>,
    by_name: HashMap<&'d str, usize>,
    unnamed: Option<usize>,
}

struct Default<'d> {
    name: Option<&'d str>,
    node: Node<'d>,
}

impl<'d> Defaults<'d> {
    fn read(raw: &[Raw<'d>], cx: &mut Cx<'d>) -> Defaults<'d> {
        let mut defaults = Defaults { list: Vec::new(), by_name: HashMap::new(), unnamed: None };
        for section in raw.iter().filter(|section| section.kind == Sections::DEFAULTS) {
            let named = |key: &str| {
                section.name.is_none()
                    && section.table.get(key).is_some_and(|value| is_named_defaults(key, value.get_ref()))
            };
            let file = section.at.file as usize;
            let mut node = cx.shaper(file, Sections::DEFAULTS).table(&PROXY, section.table, section.at, &named);
            if section.name.is_none() {
                node.entries.retain(|entry| {
                    let misplaced = entry.name == "acl" || RULES.contains(&entry.name);
                    if misplaced {
                        let message = format!("`{}` has no place in unnamed defaults", entry.name);
                        cx.sink.error(codes::WRONG_SECTION, entry.key_at, message).hint(
                            "write them in [defaults.NAME], and `from = \"NAME\"` in the sections that take them",
                        );
                    }
                    !misplaced
                });
            }
            let known = match section.name {
                None => defaults.unnamed,
                Some(name) => defaults.by_name.get(name).copied(),
            };
            match known {
                Some(index) => merge(&mut defaults.list[index].node, node, cx),
                None => {
                    let index = defaults.list.len();
                    match section.name {
                        None => defaults.unnamed = Some(index),
                        Some(name) => {
                            defaults.by_name.insert(name, index);
                        }
                    }
                    defaults.list.push(Default { name: section.name, node });
                }
            }
        }
        defaults
    }

    /// What a section takes its defaults from, the nearest first.
    fn of<'n>(&'n self, kind: Sections, own: &'n Node<'d>, used: &mut [Used], cx: &mut Cx<'d>) -> Vec<&'n Node<'d>> {
        let client = kind.meets(Sections::CLIENT_ONLY);
        let mut chain = Vec::new();
        let mut indexes: Vec<usize> = Vec::new();
        let mut node = own;
        loop {
            let next = match node.entry("from").map(|entry| &entry.value) {
                Some(from) => {
                    let name = from.text().unwrap_or_default();
                    let found = self.by_name.get(name).copied();
                    if found.is_none() {
                        cx.sink
                            .error(codes::UNKNOWN_DEFAULTS, from.at, format!("there are no defaults `{name}`"))
                            .maybe_hint(
                                did_you_mean(name, self.by_name.keys().copied())
                                    .or_else(|| Some(format!("define them: [defaults.{name}]"))),
                            );
                    }
                    found.map(|index| (index, from.at))
                }
                // Only a proxy takes the unnamed defaults by itself.
                None if chain.is_empty() => self.unnamed.map(|index| (index, own.at)),
                None => None,
            };
            let Some((index, at)) = next else { return chain };
            let who = &mut used[index];
            *(if client { &mut who.by_clients } else { &mut who.by_servers }) = true;
            if indexes.contains(&index) {
                cx.sink.error(codes::DEFAULTS_CYCLE, at, "these defaults take from themselves");
                return chain;
            }
            indexes.push(index);
            node = &self.list[index].node;
            chain.push(node);
        }
    }
}
