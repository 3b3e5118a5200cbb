//! `log`: where log lines go.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::{Env, LogFormat as LogText, RuleError};

use super::rules::report_text;
use super::{Cx, Layers};
use crate::address::{self, Target};
use crate::keys::{FACILITIES, FORMATS, LEVELS};
use crate::model::{
    Framing, LOG_STEPS, LineFormat, LogFormat, LogProfile, LogSample, LogSink, LogStep, LogTarget, Mode, ProfileStep,
    Syslog,
};
use crate::nearest::did_you_mean;
use crate::shape::{Node, Val};
use crate::{codes, defaults};

/// The loggers of a proxy: its own, its defaults', else those of `[global]`.
pub(super) fn of_proxy(layers: &Layers<'_, '_>, global: &[LogTarget], cx: &mut Cx<'_>) -> Vec<LogTarget> {
    let mut loggers = match layers.find("log") {
        Some(value) => targets(value, Some(global), cx),
        None => global.to_vec(),
    };
    if let Some(tag) = layers.find("log-tag").and_then(super::arc) {
        loggers.iter_mut().for_each(|logger| logger.tag = Some(Arc::clone(&tag)));
    }
    loggers
}

/// `log-steps`, by [`LogStep::bit`].
pub(super) fn steps(layers: &Layers<'_, '_>) -> u8 {
    let Some(value) = layers.find("log-steps") else { return LogStep::Close.bit() };
    let known = || LogStep::ALL.into_iter().take(LOG_STEPS.len());
    let named = |word: &str| {
        known().filter(|step| word == "all" || word == step.word()).fold(0, |bits, step| bits | step.bit())
    };
    value.list().iter().filter_map(Val::text).fold(0, |bits, word| bits | named(word))
}

/// One `[log-profile.NAME]`.
pub(super) fn profile(name: &str, node: &Node<'_>, cx: &mut Cx<'_>) -> LogProfile {
    let mut step = |word: &str| {
        let node = node.find(word)?.table()?;
        let data = node.find("sd").and_then(|value| compiled(value.text()?, value, "", LogText::compile, cx));
        Some(ProfileStep {
            drop: node.find("drop").and_then(Val::bool).unwrap_or(false),
            format: node.find("format").and_then(|value| line_format(value, cx)),
            data,
        })
    };
    LogProfile {
        name: Arc::from(name),
        steps: LogStep::ALL.map(|known| step(known.word())),
        any: step("any"),
        tag: node.find("log-tag").and_then(super::arc),
    }
}

/// The profile that a logger names.
fn named_profile(value: &Val<'_>, cx: &mut Cx<'_>) -> Option<Arc<LogProfile>> {
    let name = value.text()?;
    let found = cx.log_profiles.iter().find(|profile| *profile.name == *name).cloned();
    if found.is_none() {
        let hint = did_you_mean(name, cx.log_profiles.iter().map(|profile| &*profile.name));
        cx.sink
            .error(codes::UNKNOWN_NAME, value.at, format!("there is no section [log-profile.{name}]"))
            .hint(hint.unwrap_or_else(|| format!("define it: [log-profile.{name}]")));
    }
    found
}

/// The format of a logger, or of one step of a profile: no proxy is known, so neither is its mode.
fn line_format(value: &Val<'_>, cx: &mut Cx<'_>) -> Option<LineFormat> {
    let text = value.text()?;
    if let Some(format) = format_of(text) {
        return Some(LineFormat::Builtin(format));
    }
    let mut compile = |text: &str| compiled(text, value, "", LogText::compile, cx);
    Some(match text {
        "clf" => LineFormat::ByMode { http: compile(LogText::HTTP_CLF)?, tcp: compile(LogText::TCP_CLF)? },
        "https" => LineFormat::Text(compile(LogText::HTTPS)?),
        _ if text.contains('%') => LineFormat::Text(compile(text)?),
        _ => {
            unknown_format(value, "format", cx);
            return None;
        }
    })
}

/// The loggers of a `log` value; `global` stands for those given, if there are any to stand for.
pub(super) fn targets(value: &Val<'_>, global: Option<&[LogTarget]>, cx: &mut Cx<'_>) -> Vec<LogTarget> {
    if let Some(on) = value.bool() {
        if on {
            cx.sink
                .error(codes::BAD_LOG_TARGET, value.at, "`log = true` says not where to")
                .hint("write \"global\", a target such as \"stdout\", or false for nowhere");
        }
        return Vec::new();
    }
    let mut targets = Vec::new();
    for value in value.list() {
        target(value, global, &mut targets, cx);
    }
    targets
}

fn target(value: &Val<'_>, global: Option<&[LogTarget]>, targets: &mut Vec<LogTarget>, cx: &mut Cx<'_>) {
    let node = value.table();
    let find = |key: &str| node.and_then(|node| node.find(key));
    let Some(place) = (if node.is_some() { find("target") } else { Some(value) }) else { return };
    let Some(text) = place.text() else { return };
    let sink = match address::target(text) {
        Ok(Target::Stdout) => LogSink::Stdout,
        Ok(Target::Stderr) => LogSink::Stderr,
        Ok(Target::File(path)) => LogSink::File(path),
        Ok(Target::Unix(path)) => LogSink::Unix(path),
        Ok(Target::Udp(host, port)) => match looked_up(&host, port, place, cx) {
            Some(address) => LogSink::Udp(address),
            None => return,
        },
        Ok(Target::Tcp(host, port)) => match looked_up(&host, port, place, cx) {
            Some(address) => {
                let lf = find("framing").and_then(Val::text) == Some(Framing::Lf.word());
                LogSink::Tcp(address, if lf { Framing::Lf } else { Framing::Octets })
            }
            None => return,
        },
        Ok(Target::Global) => {
            match (global, node) {
                (Some(global), None) => targets.extend_from_slice(global),
                (Some(_), Some(_)) => {
                    cx.sink.error(codes::BAD_LOG_TARGET, place.at, "\"global\" stands alone, without a table");
                }
                (None, _) => {
                    cx.sink.error(codes::BAD_LOG_TARGET, place.at, "\"global\" means nothing in [global] itself");
                }
            }
            return;
        }
        Err(error) => {
            let hint = did_you_mean(text, ["stdout", "stderr", "global"]).unwrap_or_else(|| {
                "write \"stdout\", \"stderr\", \"file:/path\", \"udp:host:514\", \"tcp:host:514\" or \"/dev/log\""
                    .to_owned()
            });
            cx.sink.error(codes::BAD_LOG_TARGET, place.at, error).hint(hint);
            return;
        }
    };
    if let Some(framing) = find("framing").filter(|_| !matches!(sink, LogSink::Tcp(..))) {
        cx.sink
            .error(
                codes::BAD_LOG_TARGET,
                framing.at,
                "`framing` tells lines apart on a TCP connection, and this is none",
            )
            .hint("write `target = \"tcp:host:port\"`, or leave `framing` out");
    }
    let code = |key: &str, words: &[&str], default: &str| {
        let word = find(key).and_then(Val::text).unwrap_or(default);
        words.iter().position(|known| *known == word).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
    };
    let syslog = match find("syslog") {
        Some(value) => {
            Syslog::ALL.into_iter().find(|known| Some(known.word()) == value.text()).unwrap_or(Syslog::Local)
        }
        None if matches!(sink, LogSink::Stdout | LogSink::Stderr | LogSink::File(_)) => Syslog::Raw,
        None => cx.syslog,
    };
    targets.push(LogTarget {
        sink,
        syslog,
        format: find("format").and_then(|value| line_format(value, cx)),
        facility: code("facility", FACILITIES, defaults::LOG_FACILITY),
        level: code("level", LEVELS, defaults::LOG_LEVEL),
        min_level: code("minlevel", LEVELS, defaults::LOG_MIN_LEVEL),
        sample: find("sample").and_then(|value| sample(value, cx)),
        len: find("len").and_then(Val::size).and_then(|n| usize::try_from(n).ok()).unwrap_or(defaults::LOG_LEN),
        profile: find("profile").and_then(|value| named_profile(value, cx)),
        tag: None,
    });
}

fn looked_up(host: &str, port: u16, place: &Val<'_>, cx: &mut Cx<'_>) -> Option<SocketAddr> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Some((ip, port).into()),
        Err(_) => cx.resolve(host, port, place.at),
    }
}

/// `sample`: ranges, and how many lines a period has.
fn sample(value: &Val<'_>, cx: &mut Cx<'_>) -> Option<LogSample> {
    let text = value.text()?;
    let read = || {
        let (list, size) = text.rsplit_once(':')?;
        let size: u32 = size.trim().parse().ok().filter(|size| *size > 0)?;
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (0 < first && first <= last && last <= size).then_some((first, last))
        };
        Some(LogSample::new(list.split(',').map(range).collect::<Option<_>>()?, size))
    };
    let sample = read();
    if sample.is_none() {
        cx.sink.error(codes::BAD_LOG_SAMPLE, value.at, format!("\"{text}\" is not some lines of a period")).hint(
            "write \"1:10\" for the first of each ten lines, \"2,4-5:6\" for the second, fourth and fifth of six",
        );
    }
    sample
}

/// The access log of a proxy.
pub(super) struct Line {
    /// The built-in format, the mode's where a text says otherwise.
    pub builtin: LogFormat,
    /// A text with items instead.
    pub text: Option<Arc<LogText>>,
}

/// The format of a proxy's access log: the nearest of `log-format`, `option.httplog` and `option.tcplog`, else the
/// mode's. In tcp mode there is no HTTP line to write.
pub(super) fn format(layers: &Layers<'_, '_>, mode: Mode, cx: &mut Cx<'_>) -> Line {
    let by_mode = match mode {
        Mode::Http => defaults::LOG_FORMAT_HTTP,
        Mode::Tcp => defaults::LOG_FORMAT_TCP,
    };
    let builtin = |builtin| Line { builtin, text: None };
    for node in layers.each() {
        let on = |path: &str| node.find(path).and_then(Val::bool) == Some(true);
        let named = match node.find("log-format") {
            Some(value) => match value.text().and_then(format_of) {
                Some(format) => Some(format),
                None => return Line { builtin: by_mode, text: written(value, mode, layers.name, cx) },
            },
            None => None,
        };
        let found = named
            .or_else(|| on("option.httplog").then_some(LogFormat::Http))
            .or_else(|| on("option.tcplog").then_some(LogFormat::Tcp));
        match found {
            Some(LogFormat::Http) if mode == Mode::Tcp => {
                if let Some(value) = layers.own.find("log-format") {
                    cx.sink
                        .warn(codes::NO_EFFECT_IN_TCP, value.at, "there is no HTTP line to log in tcp mode")
                        .hint("the format is \"tcp\"");
                }
                return builtin(by_mode);
            }
            Some(format) => return builtin(format),
            None => {}
        }
    }
    builtin(by_mode)
}

/// A `log-format` that is no word for a built-in one: HAProxy's further formats, or a text with items.
fn written(value: &Val<'_>, mode: Mode, proxy: &str, cx: &mut Cx<'_>) -> Option<Arc<LogText>> {
    let text = value.text()?;
    let text = match (text, mode) {
        ("clf", Mode::Http) => LogText::HTTP_CLF,
        ("clf", Mode::Tcp) => LogText::TCP_CLF,
        ("https", _) => LogText::HTTPS,
        _ if text.contains('%') => text,
        _ => {
            unknown_format(value, "log-format", cx);
            return None;
        }
    };
    compiled(text, value, proxy, LogText::compile, cx)
}

fn unknown_format(value: &Val<'_>, key: &str, cx: &mut Cx<'_>) {
    let text = value.text().unwrap_or_default();
    let hint = did_you_mean(text, FORMATS.iter().copied());
    let known = FORMATS.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    cx.sink
        .error(codes::UNKNOWN_WORD, value.at, format!("`{key}` takes {known}, or a text with items, not \"{text}\""))
        .hint(hint.unwrap_or_else(|| "items are written %ci or %[src]; see docs/reference.md".to_owned()));
}

type Compile = fn(&str, &Env<'_>) -> Result<LogText, Vec<RuleError>>;

/// The text with items at a key, own or inherited.
pub(super) fn text(layers: &Layers<'_, '_>, key: &str, compile: Compile, cx: &mut Cx<'_>) -> Option<Arc<LogText>> {
    let value = layers.find(key)?;
    compiled(value.text()?, value, layers.name, compile, cx)
}

fn compiled(text: &str, value: &Val<'_>, proxy: &str, compile: Compile, cx: &mut Cx<'_>) -> Option<Arc<LogText>> {
    let library = Rc::clone(&cx.library);
    match compile(text, &Env { library: &library, proxy }) {
        Ok(format) => Some(Arc::new(format)),
        Err(errors) => {
            report_text(errors, value, cx);
            None
        }
    }
}

fn format_of(word: &str) -> Option<LogFormat> {
    match word {
        "http" => Some(LogFormat::Http),
        "tcp" => Some(LogFormat::Tcp),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}
