//! `check`: the health check of a server, merged from server, default-server, backend and defaults.

use std::sync::Arc;
use std::time::Duration;

use super::{Cx, arc, is_token, tls};
use crate::model::{Check, CheckKind, Expect, ExpectWhat, GrpcCheck, HttpCheck, InitState, Pattern, Proto, ValueMatch};
use crate::nearest::did_you_mean;
use crate::place::At;
use crate::shape::{Node, Val};
use crate::{codes, defaults};

/// Keys that only an HTTP check has.
const HTTP_KEYS: [&str; 6] = ["method", "uri", "host", "headers", "body", "expect"];

/// The check of one server; `layers` are its `check` values, the nearest first. `timeout` is `timeout.check`.
pub(super) fn check(layers: &[&Val<'_>], timeout: Option<Duration>, cx: &mut Cx<'_>) -> Option<Arc<Check>> {
    // The nearest value decides whether it is on; a table is.
    if layers.first()?.bool() == Some(false) {
        return None;
    }
    let tables = || layers.iter().filter_map(|value| value.table());
    let find = |key: &str| tables().find_map(|node| node.find(key));
    let time = |key: &str| find(key).and_then(Val::time);
    let count =
        |key: &str, default: u32| find(key).and_then(Val::int).and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    let proto = find("proto").and_then(tls::proto);
    let kind = match tables().find_map(|node| kind_of(node, cx)) {
        Some("http") => CheckKind::Http(http_check(&find, cx)),
        Some("grpc") => {
            if let Some(value) = find("proto").filter(|_| proto == Some(Proto::H1)) {
                cx.sink.error(codes::CONTRADICTION, value.at, "gRPC is spoken over HTTP/2 alone");
            }
            CheckKind::Grpc(GrpcCheck {
                service: find("service").and_then(arc).unwrap_or_default(),
                host: find("host").and_then(|value| host(value, cx)),
            })
        }
        _ => CheckKind::Tcp,
    };
    let interval = time("interval").unwrap_or(defaults::CHECK_INTERVAL);
    let addr = find("addr").and_then(|value| {
        let text = value.text()?;
        let found = text.parse().ok();
        if found.is_none() {
            cx.sink.error(codes::BAD_SERVER_ADDRESS, value.at, format!("\"{text}\" is not an IP address"));
        }
        found
    });
    Some(Arc::new(Check {
        kind,
        interval,
        fast_interval: time("fastinter").unwrap_or(interval),
        down_interval: time("downinter").unwrap_or(interval),
        rise: count("rise", defaults::CHECK_RISE),
        fall: count("fall", defaults::CHECK_FALL),
        timeout: time("timeout").or(timeout).unwrap_or(interval),
        port: find("port").and_then(Val::int).and_then(|n| u16::try_from(n).ok()),
        addr,
        jitter: find("jitter").and_then(Val::int).and_then(|n| u8::try_from(n).ok()).unwrap_or(defaults::CHECK_JITTER),
        init: match find("init-state").and_then(Val::text) {
            Some("fully-up") => InitState::FullyUp,
            Some("down") => InitState::Down,
            Some("fully-down") => InitState::FullyDown,
            _ => InitState::Up,
        },
        tls: find("tls").and_then(Val::bool),
        sni: find("sni").and_then(arc),
        alpn: tls::alpn(find("alpn"), cx).unwrap_or_default(),
        proto,
        send_proxy: find("send-proxy").and_then(Val::bool),
    }))
}

/// The type one table gives, in so many words or by what only such a check has.
fn kind_of(node: &Node<'_>, cx: &mut Cx<'_>) -> Option<&'static str> {
    let has = |names: &[&str]| node.entries.iter().find(|entry| names.contains(&entry.name));
    let (http, grpc) = (has(&HTTP_KEYS), has(&["service"]));
    let said = node.find("type").and_then(Val::text);
    let kind = match said {
        Some("http") => "http",
        Some("grpc") => "grpc",
        Some(_) => "tcp",
        None if grpc.is_some() => "grpc",
        None => http.map(|_| "http")?,
    };
    let alien = match kind {
        "http" => grpc,
        "grpc" => node.entries.iter().find(|entry| HTTP_KEYS.contains(&entry.name) && entry.name != "host"),
        _ => http.or(grpc),
    };
    if let Some(entry) = alien {
        let article = if kind == "http" { "an" } else { "a" };
        let hint = match kind {
            "tcp" if grpc.is_none() => "remove it, or write `type = \"http\"`",
            "tcp" | "http" => "remove it, or write `type = \"grpc\"`",
            _ => "remove it: the call and its answer are those of grpc.health.v1.Health/Check",
        };
        let message = format!("{article} {kind} check has no `{}`", entry.name);
        cx.sink.error(codes::CONTRADICTION, entry.key_at, message).hint(hint);
    }
    Some(kind)
}

fn host(value: &Val<'_>, cx: &mut Cx<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        cx.sink.error(codes::BAD_HEADER, value.at, format!("\"{text}\" is not a host name"));
    }
    arc(value)
}

fn http_check<'n, 'd: 'n>(find: &dyn Fn(&str) -> Option<&'n Val<'d>>, cx: &mut Cx<'_>) -> HttpCheck {
    let method = find("method").and_then(|value| {
        let text = value.text()?;
        if !is_token(text) {
            cx.sink.error(codes::BAD_HEADER, value.at, format!("\"{text}\" is not an HTTP method"));
        }
        arc(value)
    });
    let uri = find("uri").and_then(|value| {
        let text = value.text()?;
        let absolute = text.starts_with("http://") || text.starts_with("https://");
        if !(text.starts_with('/') || text == "*" || absolute) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            cx.sink
                .error(codes::BAD_HEADER, value.at, format!("\"{text}\" is not a request target"))
                .hint("it starts with / and holds no spaces: \"/healthz\"");
        }
        arc(value)
    });
    let host = find("host").and_then(|value| host(value, cx));
    let mut headers = Vec::new();
    for entry in find("headers").and_then(Val::table).map(|node| &node.entries[..]).unwrap_or_default() {
        if !is_token(entry.name) {
            cx.sink.error(codes::BAD_HEADER, entry.key_at, format!("`{}` is not the name of a header", entry.name));
        }
        headers.extend(arc(&entry.value).map(|value| (Arc::from(entry.name), value)));
    }
    let mut expect = Vec::new();
    for value in find("expect").map(Val::list).unwrap_or_default() {
        match value.text().map(|text| expectation(text, value.at, cx)) {
            Some(Ok(found)) => expect.push(found),
            Some(Err(Bad { at, message, hint })) => {
                cx.sink.error(codes::BAD_EXPECT, at, message).maybe_hint(hint);
            }
            None => {}
        }
    }
    HttpCheck {
        method: method.unwrap_or_else(|| Arc::from(defaults::CHECK_METHOD)),
        uri: uri.unwrap_or_else(|| Arc::from(defaults::CHECK_URI)),
        host,
        headers,
        body: find("body").and_then(arc),
        expect,
    }
}

/// Why an expectation cannot be used.
struct Bad {
    at: At,
    message: String,
    hint: Option<String>,
}

/// Reads what follows `http-check expect` in haproxy.cfg.
fn expectation(text: &str, at: At, cx: &mut Cx<'_>) -> Result<Expect, Bad> {
    // Byte ranges of the text become places of the file.
    let inside = |part: &str| {
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        cx.files.inside(at, text, start..start + part.len())
    };
    let bad = |part: &str, message: String, hint: Option<&str>| Bad {
        at: if part.is_empty() { at } else { inside(part) },
        message,
        hint: hint.map(str::to_owned),
    };
    let trimmed = text.trim();
    let (not, rest) = match trimmed.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, trimmed),
    };
    let (keyword, argument) = word(rest);
    if argument.is_empty() && ["status", "rstatus", "string", "rstring", "hdr"].contains(&keyword) {
        return Err(bad(keyword, format!("`{keyword}` says not what is expected"), None));
    }
    let what = match keyword {
        "status" => ExpectWhat::Status(statuses(argument).map_err(|part| {
            bad(part, format!("\"{part}\" is not a status or a range of them"), Some("write 200, 200-299 or 200,404"))
        })?),
        "rstatus" => ExpectWhat::StatusRegex(pattern(argument, inside(argument), cx)),
        "string" => ExpectWhat::Body(Arc::from(argument)),
        "rstring" => ExpectWhat::BodyRegex(pattern(argument, inside(argument), cx)),
        "hdr" => {
            // The word `name` may be left out, there is nothing else to give first.
            let (first, rest) = word(argument);
            let (name, rest) = if first == "name" && !rest.is_empty() { word(rest) } else { (first, rest) };
            if !is_token(name) {
                return Err(bad(name, format!("\"{name}\" is not the name of a header"), None));
            }
            let (how, rest) = word(rest);
            let (method, value) = match word(rest) {
                ("-m", rest) => word(rest),
                _ => ("str", rest),
            };
            let mut regex = || ValueMatch::Regex(pattern(value, inside(value), cx));
            let matching = match (how, method) {
                ("", _) => None,
                ("value" | "value-reg", _) if value.is_empty() => {
                    return Err(bad(how, "the value is missing".to_owned(), None));
                }
                ("value", "str") => {
                    Some(ValueMatch::OneOf(value.split(',').map(|one| Arc::from(one.trim())).collect()))
                }
                ("value", "reg") | ("value-reg", "str") => Some(regex()),
                ("value", _) => {
                    return Err(bad(
                        method,
                        format!("`{method}` is not a way to match a value"),
                        Some("write str or reg"),
                    ));
                }
                _ => {
                    let hint = did_you_mean(how, ["value", "value-reg"]);
                    return Err(bad(how, format!("`{how}` is not part of a header's expectation"), hint.as_deref()));
                }
            };
            ExpectWhat::Header(Arc::from(name), matching)
        }
        other => {
            let known = ["status", "rstatus", "string", "rstring", "hdr"];
            let hint = did_you_mean(other, known)
                .unwrap_or_else(|| "write status, rstatus, string, rstring or hdr and what is expected".to_owned());
            let message = match other {
                "" => "the expectation is empty".to_owned(),
                _ => format!("`{other}` is not an expectation"),
            };
            return Err(bad(other, message, Some(&hint)));
        }
    };
    Ok(Expect { not, what })
}

/// Splits the first word off; the rest keeps its spaces, since a body text may hold some.
fn word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, &text[text.len()..]),
    }
}

/// Reads `200-299,404`; the part at fault when one is not a status.
fn statuses(text: &str) -> Result<Vec<(u16, u16)>, &str> {
    let status = |text: &str| text.parse::<u16>().ok().filter(|n| (100..=999).contains(n) && text.len() == 3);
    text.split(',')
        .map(|part| {
            let part = part.trim();
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (status(first.trim()), status(last.trim())) {
                (Some(first), Some(last)) if first <= last => Ok((first, last)),
                _ if part.is_empty() => Err(text),
                _ => Err(part),
            }
        })
        .collect()
}

/// Compiles an expression to see that it can be.
fn pattern(text: &str, at: At, cx: &mut Cx<'_>) -> Pattern {
    if let Err(error) = regex::bytes::Regex::new(text) {
        let full = error.to_string();
        let last = full.lines().last().unwrap_or_default();
        let reason = last.strip_prefix("error: ").unwrap_or(last);
        cx.sink.error(codes::BAD_REGEX, at, format!("the expression cannot be compiled: {reason}"));
    }
    Pattern(Arc::from(text))
}
