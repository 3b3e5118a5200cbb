//! `[[test]]`: each reference checked, each value read, so that a test that loads can be run.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::stick::{Args, Kind as DataKind, TableDef};

use super::{Built, Cx, arc, is_token};
use crate::handshake::{ClientCert, Handshake};
use crate::keys::{TEST_ACTIONS, TEST_STATES};
use crate::model::{
    BindAddress, Expected, ExpectedAction, ExpectedField, ExpectedSent, Frontend, Given, GivenEntry, GivenResponse,
    GivenState, Test, TestRequest,
};
use crate::nearest::did_you_mean;
use crate::place::At;
use crate::shape::{Data, Entry, Node, Val};
use crate::{codes, defaults};

type Fields = Vec<(Arc<str>, Arc<str>)>;

/// Every test whose parts can be used; the others are reported.
pub(crate) fn tests(nodes: &[Node<'_>], built: &Built, cx: &mut Cx<'_>) -> Vec<Test> {
    let mut tests = Vec::with_capacity(nodes.len());
    for node in nodes {
        let request = node.find("request").and_then(Val::table).and_then(|node| request(node, built, cx));
        let given = node.find("given").and_then(Val::table).map(|node| given(node, built, cx)).unwrap_or_default();
        let expect = node.find("expect").and_then(Val::table).map(|node| expected(node, built, cx));
        let (Some(request), Some(expect)) = (request, expect) else { continue };
        let name = node.find("name").and_then(arc);
        let name = name.unwrap_or_else(|| Arc::from(format!("{} {}", request.method, request.url)));
        tests.push(Test { name, place: cx.files.place(node.at), request, given, expect });
    }
    tests
}

/// A URL in its parts.
struct Url<'u> {
    tls: bool,
    host: &'u str,
    port: Option<u16>,
    target: Arc<str>,
}

fn request(node: &Node<'_>, built: &Built, cx: &mut Cx<'_>) -> Option<TestRequest> {
    let text = |key: &str, default: &str| node.find(key).and_then(arc).unwrap_or_else(|| Arc::from(default));
    let method = text("method", "GET");
    if let Some(value) = node.find("method").filter(|_| !is_token(&method)) {
        cx.sink.error(codes::BAD_HEADER, value.at, format!("\"{method}\" is not a method"));
    }
    let value = node.find("url")?;
    let written = value.text()?;
    let url = match split_url(written) {
        Ok(url) => url,
        Err(error) => {
            cx.sink
                .error(codes::BAD_TEST, value.at, format!("\"{written}\" is not a URL: {error}"))
                .hint("write \"https://www.example.com/a?b=1\" or \"/a?b=1\"");
            return None;
        }
    };
    let src = match node.find("src") {
        Some(value) => address(value, 50_000, cx)?,
        None => SocketAddr::from(([127, 0, 0, 1], 50_000)),
    };
    let default_port = if url.tls { 443 } else { 80 };
    let dst = match node.find("dst") {
        Some(value) => Some(address(value, url.port.unwrap_or(default_port), cx)?),
        None => None,
    };
    let port = dst.map(|dst| dst.port()).or(url.port).or((!url.host.is_empty()).then_some(default_port));
    let time = match node.find("time") {
        Some(value) => match value.text().and_then(unix_time) {
            Some(time) => time,
            None => {
                cx.sink
                    .error(codes::BAD_TEST, value.at, "this is no date and time")
                    .hint("write \"2026-03-01T09:00:00Z\"");
                return None;
            }
        },
        None => defaults::TEST_TIME,
    };
    let handshake = handshake(node, url.tls, cx);
    Some(TestRequest {
        method,
        url: Arc::from(written),
        tls: url.tls,
        handshake,
        host: Arc::from(url.host),
        target: url.target,
        headers: fields(node.find("headers"), cx),
        src,
        dst,
        frontend: frontend(node, port, built, cx)?,
        body: text("body", ""),
        time,
    })
}

/// What `tls` and `client-cert` say; each value is one that rules can see.
fn handshake(node: &Node<'_>, tls: bool, cx: &mut Cx<'_>) -> Handshake {
    for key in ["tls", "client-cert"] {
        if let Some(value) = node.find(key).filter(|_| !tls) {
            cx.sink
                .error(codes::BAD_TEST, value.at, format!("`{key}` needs TLS, and this request has none"))
                .hint("begin its `url` with https://");
        }
    }
    let mut found = Handshake::default();
    for entry in entries(node.find("tls")) {
        match &entry.value.data {
            Data::Bool(value) if entry.name == "resumed" => found.resumed = *value,
            Data::Bool(value) => found.early = *value,
            _ => described(entry, |name, text| found.tell(name, text), cx),
        }
    }
    if let Err(error) = found.check()
        && let Some(value) = node.find("tls")
    {
        cx.sink.error(codes::BAD_TEST, value.at, error);
    }
    if let Some(table) = node.find("client-cert") {
        let mut cert = ClientCert::default();
        for entry in entries(Some(table)) {
            match entry.value.int() {
                Some(number) => cert.verify = u32::try_from(number).unwrap_or(0),
                None => described(entry, |name, text| cert.tell(name, text), cx),
            }
        }
        found.client = Some(cert);
    }
    found
}

/// Hands a text over, and reports what is wrong with it.
fn described(entry: &Entry<'_>, mut tell: impl FnMut(&str, &str) -> Result<(), String>, cx: &mut Cx<'_>) {
    if let Some(text) = entry.value.text()
        && let Err(error) = tell(entry.name, text)
    {
        cx.sink.error(codes::BAD_TEST, entry.value.at, error);
    }
}

/// The frontend that takes the request: the one that is named, the one that listens on the port, or the only one.
fn frontend(node: &Node<'_>, port: Option<u16>, built: &Built, cx: &mut Cx<'_>) -> Option<Arc<str>> {
    let all = || built.frontends.iter().map(|built| &built.frontend);
    if let Some(value) = node.find("frontend") {
        let name = value.text()?;
        if let Some(found) = all().find(|frontend| *frontend.name == *name) {
            return Some(Arc::clone(&found.name));
        }
        let hint = did_you_mean(name, all().map(|frontend| &*frontend.name));
        cx.sink.error(codes::UNKNOWN_NAME, value.at, format!("there is no frontend `{name}`")).maybe_hint(hint);
        return None;
    }
    let listens = |frontend: &Frontend, port: u16| {
        frontend.binds.iter().any(|bind| matches!(bind.address, BindAddress::Inet(inet) if inet.port() == port))
    };
    let enabled: Vec<&Frontend> = all().filter(|frontend| !frontend.disabled).collect();
    let on_port: Vec<&Frontend> =
        enabled.iter().copied().filter(|frontend| port.is_some_and(|port| listens(frontend, port))).collect();
    match (on_port.as_slice(), enabled.as_slice()) {
        ([one], _) | ([], [one]) => Some(Arc::clone(&one.name)),
        _ => {
            let names = enabled.iter().map(|frontend| format!("\"{}\"", frontend.name)).collect::<Vec<_>>().join(", ");
            cx.sink
                .error(codes::BAD_TEST, node.at, "it cannot be told which frontend takes this request")
                .hint(format!("write `frontend`, one of {names}; or `dst` with the port of its bind"));
            None
        }
    }
}

fn given(node: &Node<'_>, built: &Built, cx: &mut Cx<'_>) -> Given {
    let mut given = Given::default();
    for entry in entries(node.find("servers")) {
        if let Some((backend, server)) = server(entry, built, cx)
            && let Some(state) = entry.value.text()
        {
            let states = [GivenState::Up, GivenState::Down, GivenState::Drain, GivenState::Maint];
            let at = TEST_STATES.iter().position(|known| *known == state).unwrap_or(0);
            given.servers.push((backend, server, states[at]));
        }
    }
    for value in node.find("tables").map(Val::list).unwrap_or_default() {
        given.tables.extend(value.table().and_then(|node| table_entry(node, cx)));
    }
    for entry in entries(node.find("vars")) {
        let scoped = entry
            .name
            .split_once('.')
            .is_some_and(|(scope, name)| matches!(scope, "proc" | "sess" | "txn" | "req" | "res") && !name.is_empty());
        if !scoped {
            cx.sink
                .error(codes::BAD_TEST, entry.key_at, format!("`{}` is no variable", entry.name))
                .hint("write its scope and name: \"txn.user\"; scopes are proc, sess, txn, req, res");
        }
        given.vars.extend(entry.value.text().map(|text| (Arc::from(entry.name), Arc::from(text))));
    }
    for entry in entries(node.find("resolve")) {
        let text = entry.value.text().unwrap_or_default();
        match text.parse() {
            Ok(ip) => {
                let name = entry.name.strip_suffix('.').unwrap_or(entry.name).to_ascii_lowercase();
                given.addresses.push((Arc::from(name), ip));
            }
            Err(_) => {
                cx.sink
                    .error(codes::BAD_TEST, entry.value.at, format!("\"{text}\" is not an address"))
                    .hint("write \"192.0.2.1\" or \"2001:db8::1\"");
            }
        }
    }
    given.response = node.find("response").and_then(Val::table).map(|node| GivenResponse {
        status: status(node.find("status")).unwrap_or(200),
        headers: fields(node.find("headers"), cx),
        body: node.find("body").and_then(arc).unwrap_or_else(|| Arc::from("")),
    });
    given
}

/// The server that `backend/server` names.
fn server(entry: &Entry<'_>, built: &Built, cx: &mut Cx<'_>) -> Option<(Arc<str>, Arc<str>)> {
    let Some((backend, server)) = entry.name.split_once('/') else {
        cx.sink
            .error(codes::BAD_TEST, entry.key_at, format!("`{}` is no server", entry.name))
            .hint("write \"backend/server\"");
        return None;
    };
    let known = &cx_backend(backend, built, entry.key_at, cx)?.servers;
    match known.iter().find(|known| *known.name == *server) {
        Some(found) => Some((Arc::from(backend), Arc::clone(&found.name))),
        None => {
            unknown_server(backend, server, known.iter().map(|server| &*server.name), entry.key_at, cx);
            None
        }
    }
}

fn cx_backend<'b>(name: &str, built: &'b Built, at: At, cx: &mut Cx<'_>) -> Option<&'b crate::model::Backend> {
    let found = built.backends.iter().map(|built| &built.backend).find(|backend| *backend.name == *name);
    if found.is_none() {
        let hint = did_you_mean(name, built.backends.iter().map(|built| &*built.backend.name));
        cx.sink.error(codes::UNKNOWN_BACKEND, at, format!("there is no backend `{name}`")).maybe_hint(hint);
    }
    found
}

fn unknown_server<'k>(backend: &str, name: &str, known: impl Iterator<Item = &'k str>, at: At, cx: &mut Cx<'_>) {
    let hint = did_you_mean(name, known);
    cx.sink.error(codes::UNKNOWN_SERVER, at, format!("`{backend}` has no server `{name}`")).maybe_hint(hint);
}

fn table_entry(node: &Node<'_>, cx: &mut Cx<'_>) -> Option<GivenEntry> {
    let named = node.find("table")?;
    let name = named.text()?;
    let key = node.find("key").and_then(arc)?;
    let library = Rc::clone(&cx.library);
    let Some(table) = library.tables.iter().position(|table| *table.name == *name) else {
        let hint = did_you_mean(name, library.tables.iter().map(|table| &*table.name));
        cx.sink.error(codes::UNKNOWN_NAME, named.at, format!("there is no stick table `{name}`")).maybe_hint(hint);
        return None;
    };
    let def = &library.tables[table];
    let mut data = Vec::new();
    for entry in entries(node.find("data")) {
        if let Err(error) = stored(entry.name, def) {
            let known = def.store.iter().map(|data| data.kind.info().name);
            cx.sink.error(codes::BAD_TEST, entry.key_at, error).maybe_hint(did_you_mean(entry.name, known));
        }
        data.extend(entry.value.int().and_then(|n| u64::try_from(n).ok()).map(|n| (Arc::from(entry.name), n)));
    }
    Some(GivenEntry { table, key, data })
}

/// Whether a table stores what `http_req_rate` or `gpc(0)` names.
fn stored(name: &str, def: &TableDef) -> Result<(), String> {
    let (base, index) = match name.split_once('(') {
        Some((base, rest)) => (base, Some(rest.strip_suffix(')').and_then(|index| index.parse::<u16>().ok()))),
        None => (name, None),
    };
    let Some(kind) = DataKind::named(base) else { return Err(format!("`{base}` is not a data type")) };
    let Some(data) = def.store.iter().find(|data| data.kind == kind) else {
        return Err(format!("the table `{}` does not store `{base}`", def.name));
    };
    let array = matches!(kind.info().args, Args::Elements | Args::ElementsPeriod);
    match (array, index) {
        (false, None) => Ok(()),
        (true, Some(Some(index))) if index < data.elements => Ok(()),
        (true, _) => Err(format!("`{base}` has {} elements: write `{base}(0)`", data.elements)),
        (false, Some(_)) => Err(format!("`{base}` is no array")),
    }
}

fn expected(node: &Node<'_>, built: &Built, cx: &mut Cx<'_>) -> Expected {
    if node.entries.is_empty() && node.faulty.is_empty() {
        cx.sink.error(codes::BAD_TEST, node.at, "this test expects nothing").hint("write `expect = { status = 200 }`");
    }
    let backend = node.find("backend").and_then(|value| {
        let found = cx_backend(value.text()?, built, value.at, cx)?;
        Some(Arc::clone(&found.name))
    });
    let mut servers = Vec::new();
    for value in node.find("server").map(Val::list).unwrap_or_default() {
        let Some(name) = value.text() else { continue };
        let among = built.backends.iter().map(|built| &built.backend);
        let among = among.filter(|found| backend.as_ref().is_none_or(|name| found.name == *name));
        let known: Vec<&str> = among.flat_map(|backend| backend.servers.iter().map(|server| &*server.name)).collect();
        if known.contains(&name) {
            servers.push(Arc::from(name));
        } else {
            unknown_server(backend.as_deref().unwrap_or("the file"), name, known.into_iter(), value.at, cx);
        }
    }
    let actions = [
        ExpectedAction::Forward,
        ExpectedAction::Deny,
        ExpectedAction::Tarpit,
        ExpectedAction::Auth,
        ExpectedAction::Redirect,
        ExpectedAction::Return,
        ExpectedAction::Reject,
        ExpectedAction::SilentDrop,
    ];
    let action = node.find("action").and_then(Val::text);
    Expected {
        backend,
        server: servers,
        destination: node.find("destination").and_then(|value| {
            let text = value.text()?;
            let found = text.parse().ok();
            if found.is_none() {
                cx.sink
                    .error(codes::BAD_TEST, value.at, format!("\"{text}\" is not an address with a port"))
                    .hint("write \"192.0.2.1:80\" or \"[2001:db8::1]:80\"");
            }
            found
        }),
        status: status(node.find("status")),
        headers: expected_fields(node.find("header"), cx),
        body: node.find("body").and_then(arc),
        action: action.and_then(|word| actions.get(TEST_ACTIONS.iter().position(|known| *known == word)?).copied()),
        sent: node.find("sent").and_then(Val::table).map(|node| ExpectedSent {
            method: node.find("method").and_then(arc),
            target: node.find("url").and_then(arc),
            headers: expected_fields(node.find("header"), cx),
        }),
        log: node.find("log").map(Val::list).unwrap_or_default().iter().filter_map(arc).collect(),
        tracked: node
            .find("tracked")
            .map(Val::list)
            .unwrap_or_default()
            .iter()
            .filter_map(|value| table_entry(value.table()?, cx))
            .collect(),
    }
}

fn status(value: Option<&Val<'_>>) -> Option<u16> {
    value.and_then(Val::int).and_then(|n| u16::try_from(n).ok())
}

/// The entries of a table of names.
fn entries<'n, 'd>(value: Option<&'n Val<'d>>) -> &'n [Entry<'d>] {
    value.and_then(Val::table).map(|node| &node.entries[..]).unwrap_or_default()
}

fn fields(value: Option<&Val<'_>>, cx: &mut Cx<'_>) -> Fields {
    let mut list = Fields::new();
    for entry in entries(value) {
        field_name(entry, cx);
        list.extend(entry.value.list().iter().filter_map(|value| Some((Arc::from(entry.name), arc(value)?))));
    }
    list
}

fn expected_fields(value: Option<&Val<'_>>, cx: &mut Cx<'_>) -> Vec<(Arc<str>, ExpectedField)> {
    let mut list = Vec::new();
    for entry in entries(value) {
        field_name(entry, cx);
        let field = match &entry.value.data {
            Data::Bool(true) => ExpectedField::Present,
            Data::Bool(false) => ExpectedField::Absent,
            _ => ExpectedField::Is(arc(&entry.value).unwrap_or_else(|| Arc::from(""))),
        };
        list.push((Arc::from(entry.name), field));
    }
    list
}

fn field_name(entry: &Entry<'_>, cx: &mut Cx<'_>) {
    if !is_token(entry.name) {
        cx.sink.error(codes::BAD_HEADER, entry.key_at, format!("\"{}\" is not the name of a header", entry.name));
    }
}

/// An address with or without a port.
fn address(value: &Val<'_>, port: u16, cx: &mut Cx<'_>) -> Option<SocketAddr> {
    let text = value.text()?;
    let found = text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, port)));
    if found.is_none() {
        cx.sink
            .error(codes::BAD_TEST, value.at, format!("\"{text}\" is not an address"))
            .hint("write \"203.0.113.9\" or \"[2001:db8::1]:443\"");
    }
    found
}

fn split_url(text: &str) -> Result<Url<'_>, String> {
    if let Some(bad) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("it holds {}", bad.escape_unicode()));
    }
    if text.starts_with('/') || text == "*" {
        return Ok(Url { tls: false, host: "", port: None, target: Arc::from(without_fragment(text)) });
    }
    let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
        (true, rest)
    } else if let Some(rest) = text.strip_prefix("http://") {
        (false, rest)
    } else {
        return Err("it begins with neither http:// nor https:// nor /".to_owned());
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(end);
    if host.is_empty() || host.contains('@') {
        return Err("it has no host".to_owned());
    }
    let after_bracket = host.rfind(']').map_or(0, |at| at + 1);
    let port = match host[after_bracket..].rsplit_once(':') {
        Some((_, port)) => Some(port.parse().map_err(|_| format!("`{port}` is no port"))?),
        None => None,
    };
    let target = without_fragment(target);
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok(Url { tls, host, port, target: Arc::from(format!("{slash}{target}")) })
}

/// A client never sends the fragment (RFC 9110 §7.1).
fn without_fragment(target: &str) -> &str {
    target.split('#').next().unwrap_or_default()
}

/// Reads `2026-03-01T09:00:00Z`: UTC, whole seconds.
fn unix_time(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once(['T', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let real = (1..=12).contains(&month) && (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60;
    // Days since 1970 of the proleptic Gregorian calendar, the year beginning in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era_days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    real.then_some(era_days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut list = [0; 3];
    for (number, digits) in list.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(list)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dates() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-01-01T00:00:00Z", Some(1_767_225_600)),
            ("2024-02-29T12:34:56Z", Some(1_709_210_096)),
            ("2026-03-01 09:00:00Z", Some(1_772_355_600)),
            ("2023-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-1-1T00:00:00Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01", None),
            ("", None),
        ] {
            assert_eq!(unix_time(text), want, "{text}");
        }
        assert_eq!(unix_time("2026-01-01T00:00:00Z"), Some(defaults::TEST_TIME));
    }

    #[test]
    fn urls() {
        for (text, tls, host, port, target) in [
            ("https://www.example.com/a?b=1#c", true, "www.example.com", None, "/a?b=1"),
            ("http://a:8080", false, "a:8080", Some(8080), "/"),
            ("http://[::1]:81?x", false, "[::1]:81", Some(81), "/?x"),
            ("http://[::1]/", false, "[::1]", None, "/"),
            ("/a b".trim_end_matches(" b"), false, "", None, "/a"),
            ("*", false, "", None, "*"),
        ] {
            let url = split_url(text).unwrap();
            assert_eq!((url.tls, url.host, url.port, &*url.target), (tls, host, port, target), "{text}");
        }
        for text in ["www.example.com", "http://", "https:///a", "http://a:x/", "/a b", "ftp://a/", "http://u@a/", ""] {
            assert!(split_url(text).is_err(), "{text}");
        }
    }
}
