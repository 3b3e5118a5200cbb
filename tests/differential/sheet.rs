//! Sheets: tables of rules in text files, one answer each, asked of HAProxy and of Evenkeel with the same configuration.
//!
//! A sheet of rows evaluates one expression or condition a row; a sheet of cases lists the rules of a backend and whole
//! exchanges. What is expected stands behind `=` and `@` and is HAProxy's own answer: `EVENKEEL_BLESS_DIFFERENTIAL=1`
//! writes it into the sheet, and the difference of the sheet is what is reviewed. First signs of a line:
//! `>` a request (a line after an empty one is its payload, its length is added), `<` what the origin answers, `:` a line of
//! the configuration (`: front`, `: defaults` and `: table NAME` say of which section), `from` a new client at this address, `=` the answer, `@` what the origin received, `!` why Evenkeel
//! differs on purpose, `~` and `~@` its answer then (without one it refuses the row), `+` the version of HAProxy that has it: what `=` says is the manual's
//! word then; `sni`, `as` and `tls` say what the clients of TLS ask for, whose certificate they show, and their version; `#` a remark. `\r \n \t \\ \xHH` stand for bytes, `@dir@` for a folder with the files of the sheet.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use evenkeel_testkit::{DeadPort, Haproxy, Message, Origin, OriginOptions, Proxy, Script, TlsServer};

use crate::case::{answer, ok};
use crate::line::{Answer, Line, Way, Who, leaf};
use crate::run::{Which, wants_haproxy};
use crate::setup::{HTTP, Places, Setup};

/// What the rows of a sheet are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rows {
    /// Expressions, evaluated on the request.
    Request,
    /// Expressions, evaluated on the response.
    Response,
    /// Conditions on the request, beginning with `if` or `unless`.
    Conditions,
    /// Items of the log line.
    Log,
    /// `case NAME` with exchanges.
    Cases,
}

/// A sheet and the files it needs.
#[derive(Debug)]
pub struct Sheet {
    /// File name in the folder of tables.
    pub name: &'static str,
    /// What its rows are.
    pub rows: Rows,
    /// Files in `@dir@`: name and content.
    pub files: &'static [(&'static str, &'static str)],
    /// Further sections.
    pub sections: &'static [(&'static str, &'static [&'static str])],
    /// What clients speak.
    pub way: Way,
    /// What follows the address of the bind.
    pub bind: &'static str,
    /// What follows the address of each server that no case names.
    pub server: &'static str,
    /// The certificate of origins with TLS: its file without the ending.
    pub origin: Option<&'static str>,
}

/// Expressions over HTTP/1 in clear.
pub const SHEET: Sheet = Sheet {
    name: "",
    rows: Rows::Request,
    files: &[],
    sections: &[],
    way: Way::H1,
    bind: "",
    server: "",
    origin: None,
};

/// One question.
#[derive(Default)]
struct Ask {
    /// The row itself, or the name of the case.
    what: String,
    request: Vec<String>,
    origin: Vec<String>,
    /// Opens a connection from there.
    from: Option<IpAddr>,
    who: Who,
    want: Vec<String>,
    at_origin: Vec<String>,
    reason: Option<String>,
    ours: Vec<String>,
    ours_at_origin: Vec<String>,
    newer: bool,
    /// The line of the sheet behind which the answers stand.
    line: usize,
    /// Number of its row or case.
    number: usize,
}

impl Ask {
    /// Whether this program takes the row: HAProxy may not have it yet, Evenkeel may refuse it on purpose.
    fn is_known_to(&self, which: Which) -> bool {
        match which {
            Which::Haproxy => !self.newer,
            Which::Evenkeel => self.reason.is_none() || !self.ours.is_empty(),
        }
    }
}

#[derive(Default)]
struct Parsed {
    asks: Vec<Ask>,
    /// Lines of the frontend.
    front: Vec<String>,
    /// Lines of the defaults.
    defaults: Vec<String>,
    /// Lines of each case.
    cases: Vec<Vec<String>>,
    /// Further backends: name and lines.
    backs: Vec<(String, Vec<String>)>,
}

/// Asks both proxies everything on the sheet.
///
/// # Panics
/// With every answer that is not the expected one.
pub fn run(sheet: &Sheet) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("differential/table").join(sheet.name);
    let text = std::fs::read_to_string(&path).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in sheet.files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let parsed = parse(sheet, &text.replace("@dir@", dir.path().to_str().unwrap()));

    let only = std::env::var("EVENKEEL_DIFFERENTIAL").unwrap_or_default();
    let filter = std::env::var("EVENKEEL_CASE").unwrap_or_default();
    let dead = DeadPort::new();
    let options = || OriginOptions {
        tls: sheet.origin.map(|name| TlsServer::new(&leaf(name), &["h2", "http/1.1"])),
        ..OriginOptions::default()
    };
    let origins: Vec<Origin> = (0..3).map(|_| Origin::start_with(options(), Script::always("idle"))).collect();
    let places = Places { origins: origins.iter().map(Origin::addr).collect(), dead: dead.addr() };

    let mut failures = Vec::new();
    let mut count = 0;
    let mut blessed: Vec<Option<(Vec<String>, Vec<String>)>> = parsed.asks.iter().map(|_| None).collect();
    for which in [Which::Haproxy, Which::Evenkeel] {
        let haproxy = which == Which::Haproxy;
        if haproxy && !wants_haproxy(&only) || !haproxy && only == "haproxy" {
            continue;
        }
        let setup = setup(sheet, &parsed, dir.path().to_str().unwrap(), which);
        let (reference, ours);
        let (addr, process) = if haproxy {
            reference = Haproxy::start(&setup.haproxy(&places));
            (reference.addr(), reference.process())
        } else {
            ours = Proxy::start(&setup.evenkeel(&places));
            (ours.addr("listen"), ours.process())
        };
        let mut client = None;
        for (n, ask) in parsed.asks.iter().enumerate() {
            if !ask.what.contains(&filter) || !ask.is_known_to(which) {
                continue;
            }
            count += 1;
            let first = n == 0 || parsed.asks[n - 1].number != ask.number;
            let mark = process.mark();
            let (mut got, received) = one(sheet, ask, first, addr, &mut client, &origins);
            if sheet.rows == Rows::Log {
                let line = process.wait_line(mark, "of the access log", |l| l.starts_with("LOG "));
                let (begin, end) = (format!(" {}<", ask.number), format!(">{} ", ask.number));
                let item = line.split_once(&begin).and_then(|(_, rest)| Some(rest.split_once(&end)?.0));
                got = item.map(|item| vec![escape(item.as_bytes())]).unwrap_or_default();
            }
            let differs = !haproxy && ask.reason.is_some();
            let (want, at_origin) =
                if differs { (&ask.ours, &ask.ours_at_origin) } else { (&ask.want, &ask.at_origin) };
            if !agrees(&got, want) || received != *at_origin {
                failures.push(format!(
                    "{which:?}: {}:{}: {}\n  {}\n     got {:?} {received:?}\n  wanted {want:?} {at_origin:?}",
                    sheet.name,
                    ask.line + 1,
                    ask.what,
                    ask.request.first().map_or("", String::as_str),
                    got,
                ));
            }
            if haproxy {
                blessed[n] = Some((got, received));
            }
        }
    }
    if std::env::var_os("EVENKEEL_BLESS_DIFFERENTIAL").is_some() {
        std::fs::write(&path, bless(&text, &parsed.asks, &blessed)).unwrap();
    }
    assert!(failures.is_empty(), "{} of {count} answers:\n{}", failures.len(), failures.join("\n"));
}

fn one(
    sheet: &Sheet,
    ask: &Ask,
    first: bool,
    addr: SocketAddr,
    client: &mut Option<Line>,
    origins: &[Origin],
) -> (Vec<String>, Vec<String>) {
    let rows = sheet.rows;
    let script = if ask.origin.is_empty() { ok("o0").into_bytes() } else { wire(&ask.origin, None) };
    if first || !ask.origin.is_empty() || rows == Rows::Response {
        *client = client.take().filter(|_| !first);
        for (n, origin) in origins.iter().enumerate() {
            let bytes = if n == 0 { script.clone() } else { ok(&format!("o{n}")).into_bytes() };
            origin.begin(Script::Http(vec![answer(bytes)]));
        }
    }
    if ask.from.is_some() {
        *client = None;
    }
    let seen: Vec<usize> = origins.iter().map(|o| o.seen().len()).collect();
    let mark = format!("{}: {}", if rows == Rows::Cases { "X-Case" } else { "X-Row" }, ask.number);
    let line = match client.take() {
        Some(line) => Ok(line),
        None => Line::connect(sheet.way, &ask.who, ask.from, addr),
    };
    let asked = line.and_then(|mut line| Ok((line.ask(&ask.request, &mark)?, line)));
    let got = match &asked {
        Ok((answer, _)) if rows == Rows::Cases => {
            let mut lines: Vec<String> = answer.interim.iter().flat_map(|m| show(m, false)).collect();
            lines.extend(show(&answer.last, false));
            lines
        }
        Ok((answer, _)) => {
            let m = &answer.last;
            let text =
                if rows == Rows::Response { m.head.get("x-result").map(str::as_bytes) } else { Some(&m.body[..]) };
            let inner = text.and_then(|t| t.strip_prefix(b"<")?.strip_suffix(b">"));
            inner.map_or_else(|| show(m, false), |text| vec![escape(text)])
        }
        // How a handshake is refused is seen now in the handshake and now in what follows.
        Err(_) if matches!(sheet.way, Way::Tls1 | Way::Tls2) => vec!["(refused)".to_owned()],
        Err(e) if e.kind() == std::io::ErrorKind::Other => vec![format!("({e})")],
        Err(e) => vec![format!("({:?})", e.kind())],
    };
    *client = asked.ok().filter(|_| rows == Rows::Cases).and_then(|(Answer { last: m, .. }, line)| {
        let closes = m.head.get("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")) || !m.complete;
        (!closes).then_some(line)
    });
    let mut received = Vec::new();
    if rows == Rows::Cases {
        for (n, origin) in origins.iter().enumerate() {
            for request in origin.seen().iter().skip(if first { 0 } else { seen[n] }) {
                let mut lines = show(&request.message, true);
                if n > 0 {
                    lines[0] = format!("o{n} {}", lines[0]);
                }
                received.extend(lines);
            }
        }
    }
    (got, received)
}

/// Start, fields by name, payload. What differs from run to run or is each proxy's own page is left out.
fn show(m: &Message, request: bool) -> Vec<String> {
    let mut fields: Vec<String> = (m.head.fields.iter())
        .map(|(n, v)| format!("{}: {}", n.to_ascii_lowercase(), escape(v.as_bytes())).trim_end().to_owned())
        .filter(|f| !["x-case:", "x-row:", "date:"].iter().any(|n| f.starts_with(n)))
        .collect();
    fields.sort_by(|a, b| a.split(':').next().cmp(&b.split(':').next()));
    let page = m.body.starts_with(b"<html>") && !request;
    if page {
        let own = ["content-length:", "content-type:", "cache-control:", "connection:"];
        fields.retain(|f| !own.iter().any(|n| f.starts_with(n)));
    }
    let mut lines = vec![escape(m.head.start.as_bytes())];
    lines.append(&mut fields);
    if page {
        lines.push("(page)".to_owned());
    } else if !m.body.is_empty() {
        lines.push(String::new());
        lines.push(escape(&m.body));
    }
    lines.extend(m.trailers.iter().map(|(n, v)| format!("(trailer) {}: {v}", n.to_ascii_lowercase())));
    lines
}

/// HAProxy makes up no reason for a response that had none, such as one of HTTP/2; Evenkeel writes the usual one, in its usual
/// letters.
fn agrees(got: &[String], want: &[String]) -> bool {
    let same = |(got, want): (&String, &String)| match want.strip_suffix("\\x20") {
        Some(status) if status.starts_with("HTTP/1.1 ") => got.starts_with(status),
        _ if want.starts_with("HTTP/1.1 ") => got.eq_ignore_ascii_case(want),
        _ => got == want,
    };
    got.len() == want.len() && got.iter().zip(want).all(same)
}

/// Lines of a message as bytes; `mark` is a field that is added.
pub fn wire(lines: &[String], mark: Option<&str>) -> Vec<u8> {
    let end = lines.iter().position(String::is_empty).unwrap_or(lines.len());
    let body = unescape(lines.get(end + 1).map_or("", String::as_str));
    let head = &lines[..end];
    let mut out = Vec::new();
    for line in head.iter().map(|l| unescape(l)).chain(mark.map(|m| m.as_bytes().to_vec())) {
        out.extend([&line[..], b"\r\n"].concat());
    }
    let told = head.iter().any(|l| {
        let l = l.to_ascii_lowercase();
        l.starts_with("content-length:") || l.starts_with("transfer-encoding:")
    });
    if !told && (!body.is_empty() || mark.is_none() || head[0].starts_with("POST")) {
        out.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    out.extend(b"\r\n");
    out.extend(body);
    out
}

fn parse(sheet: &Sheet, text: &str) -> Parsed {
    let mut out = Parsed::default();
    let (mut request, mut origin, mut from): (Vec<String>, Vec<String>, _) = (Vec::new(), Vec::new(), None);
    let mut last = ' ';
    let mut case = String::new();
    let mut who = Who::default();
    for (n, line) in text.lines().enumerate() {
        let (sign, rest) = match line.split_once(' ').unwrap_or((line, "")) {
            (
                sign @ (">" | "<" | ":" | "=" | "@" | "!" | "~" | "~@" | "+" | "from" | "case" | "sni" | "as" | "tls"),
                rest,
            ) => (sign, rest),
            _ => ("", line),
        };
        let rest = rest.to_owned();
        match sign {
            ">" => {
                let begins = last != '>';
                if begins {
                    request.clear();
                    if sheet.rows != Rows::Cases {
                        origin.clear();
                    }
                }
                request.push(rest);
                if sheet.rows == Rows::Cases {
                    if begins {
                        out.asks.push(Ask {
                            what: case.clone(),
                            from: from.take(),
                            origin: std::mem::take(&mut origin),
                            number: out.cases.len(),
                            who: who.clone(),
                            ..Ask::default()
                        });
                    }
                    let ask = out.asks.last_mut().unwrap();
                    ask.request = request.clone();
                    ask.line = n;
                }
            }
            "<" => {
                if last != '<' {
                    origin.clear();
                }
                origin.push(rest);
            }
            "from" => from = Some(rest.parse().unwrap()),
            "sni" | "as" | "tls" => {
                let value = Some(rest).filter(|r| r != "none");
                *match sign {
                    "sni" => &mut who.sni,
                    "as" => &mut who.identity,
                    _ => &mut who.version,
                } = value;
            }
            "case" => {
                out.cases.push(Vec::new());
                case = rest;
            }
            ":" => match (rest.split_once(' '), out.cases.last_mut()) {
                (Some(("table", table)), _) => {
                    let (name, line) = table.split_once(' ').unwrap();
                    out.backs.push((name.to_owned(), vec![format!("stick-table {line}")]));
                }
                (Some(("front", line)), _) => out.front.push(line.to_owned()),
                (Some(("defaults", line)), _) => out.defaults.push(line.to_owned()),
                (_, Some(case)) => case.push(rest),
                (_, None) => out.front.push(rest),
            },
            "=" | "@" | "!" | "~" | "~@" | "+" => {
                let ask = out.asks.last_mut().unwrap();
                match sign {
                    "=" => ask.want.push(rest),
                    "@" => ask.at_origin.push(rest),
                    "!" => ask.reason = Some(rest),
                    "~" => ask.ours.push(rest),
                    "~@" => ask.ours_at_origin.push(rest),
                    _ => ask.newer = true,
                }
            }
            _ if rest.is_empty() || rest.starts_with('#') => {}
            _ => {
                let number = out.asks.len();
                let (request, origin) = (request.clone(), origin.clone());
                out.asks.push(Ask { what: rest, request, origin, line: n, number, who: who.clone(), ..Ask::default() });
            }
        }
        last = sign.chars().next().unwrap_or(' ');
    }
    out
}

/// The configuration of a sheet. It lives as long as the test does.
fn setup(sheet: &Sheet, parsed: &Parsed, dir: &str, which: Which) -> Setup {
    let mut front = parsed.front.clone();
    let mut backs: Vec<(String, Vec<String>)> = vec![("app".to_owned(), vec![server(sheet)])];
    if sheet.rows == Rows::Cases {
        front.push("use_backend c%[req.hdr(x-case)] if { req.hdr(x-case) -m found }".to_owned());
    }
    if sheet.rows == Rows::Response {
        front.push("http-request set-var(txn.row) req.hdr(x-row)".to_owned());
    }
    let mut items = String::new();
    for ask in parsed.asks.iter().filter(|a| sheet.rows != Rows::Cases && a.is_known_to(which)) {
        let (n, what) = (ask.number, &ask.what);
        let expr = |text: &str| {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
            format!("\"<%[{text}]>\"")
        };
        let row = format!("if {{ req.hdr(x-row) -m str {n} }}");
        let answer = "http-request return status 200 content-type text/plain lf-string";
        match sheet.rows {
            Rows::Request => front.push(format!("{answer} {} {row}", expr(what))),
            Rows::Conditions => {
                front.push(format!("http-request set-var(txn.r{n}) str(true) {what}"));
                front.push(format!("{answer} {} {row}", expr(&format!("var(txn.r{n},false)"))));
            }
            Rows::Log => {
                let _ = write!(items, " {n}<{}>{n}", what.replace('\\', "\\\\").replace('"', "\\\""));
            }
            _ => {
                let row = format!("if {{ var(txn.row) -m str {n} }}");
                front.push(format!("http-response set-header X-Result {} {row}", expr(what)));
            }
        }
    }
    if sheet.rows == Rows::Log {
        front.push(format!("log-format \"LOG{items} end\""));
    }
    for (n, lines) in parsed.cases.iter().enumerate() {
        let mut lines: Vec<String> = lines.iter().map(|l| certificates(l)).collect();
        if !lines.iter().any(|l| l.starts_with("server ")) {
            lines.push(server(sheet));
        }
        backs.push((format!("c{}", n + 1), lines));
    }
    backs.extend(parsed.backs.iter().cloned());
    let dir = |lines: &[&str]| lines.iter().map(|l| l.replace("@dir@", dir)).collect();
    let leak = |lines: Vec<String>| -> &'static [&'static str] {
        lines.into_iter().map(|l| &*Box::leak(l.into_boxed_str())).collect::<Vec<_>>().leak()
    };
    let backs: Vec<(&'static str, &'static [&'static str])> =
        backs.into_iter().map(|(name, lines)| (&*Box::leak(name.into_boxed_str()), leak(lines))).collect();
    let sections: Vec<_> = sheet.sections.iter().map(|(name, lines)| (*name, leak(dir(lines)))).collect();
    let defaults = leak(parsed.defaults.clone());
    Setup {
        front: leak(front),
        defaults,
        backs: backs.leak(),
        sections: sections.leak(),
        log: sheet.rows == Rows::Log,
        bind: leak(vec![certificates(sheet.bind)])[0],
        ..HTTP
    }
}

fn server(sheet: &Sheet) -> String {
    certificates(&format!("server s0 @o0@ {}", sheet.server)).trim_end().to_owned()
}

/// `@tls@` is the folder of certificates.
fn certificates(words: &str) -> String {
    words.replace("@tls@", concat!(env!("CARGO_MANIFEST_DIR"), "/differential/tls"))
}

/// The sheet with HAProxy's answers.
fn bless(text: &str, asks: &[Ask], answers: &[Option<(Vec<String>, Vec<String>)>]) -> String {
    let mut out = String::new();
    let mut drop = false;
    for (n, line) in text.lines().enumerate() {
        let answer = |s: &str| line == s || line.starts_with(&format!("{s} "));
        if !(drop && (answer("=") || answer("@"))) {
            let _ = writeln!(out, "{line}");
        }
        if let Some((_, answers)) = asks.iter().zip(answers).find(|(a, _)| a.line == n) {
            drop = answers.is_some();
            for (sign, lines) in answers.iter().flat_map(|(got, seen)| [("=", got), ("@", seen)]) {
                for line in lines {
                    let _ = writeln!(out, "{}", format!("{sign} {line}").trim_end());
                }
            }
        }
    }
    out
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (i, b) in bytes.iter().enumerate() {
        match b {
            b'\\' => out.push_str("\\\\"),
            b'\r' => out.push_str("\\r"),
            b'\n' => out.push_str("\\n"),
            b' ' if i + 1 == bytes.len() => out.push_str("\\x20"),
            0x20..=0x7e => out.push(char::from(*b)),
            _ => {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
    }
    out
}

pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match bytes.next() {
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'x') => {
                let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            other => out.extend(other),
        }
    }
    out
}

#[test]
fn a_sheet_is_read_and_blessed() {
    let sheet = Sheet { name: "", rows: Rows::Request, ..SHEET };
    let text = "# remark\n> GET / HTTP/1.1\n> Host: a\n>\n> b\\n\npath\n= old\nurl\n+ 3.0\n= new\n";
    let parsed = parse(&sheet, text);
    assert_eq!(parsed.asks.len(), 2);
    assert!(parsed.asks[1].newer);
    let bytes = wire(&parsed.asks[0].request, Some("X: 1"));
    assert_eq!(bytes, b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nContent-Length: 2\r\n\r\nb\n");
    let answers = [Some((vec!["/".to_owned()], Vec::new())), None];
    assert_eq!(bless(text, &parsed.asks, &answers), text.replace("= old", "= /"));
    assert_eq!(unescape(&escape(b"a\\b\r\n\xff ")), b"a\\b\r\n\xff ");
}
