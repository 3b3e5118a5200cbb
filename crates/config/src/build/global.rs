//! `[global]`.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::count::Counted;
use evenkeel_acl::{Env, Now, ProcVars, RuleLine, StartVars, VarLimits};

use super::library::Sections;
use super::{Cx, is_token, log, some_time};
use crate::address::{self, Address};
use crate::model::{Admin, DecisionLog, Global, H2Side, H2Tune, SslTune, Syslog, Tune};
use crate::shape::{Data, Node, Val};
use crate::{codes, defaults};

/// The section, or every default.
pub(crate) fn global(node: Option<&Node<'_>>, cx: &mut Cx<'_>) -> Global {
    let find = |path: &str| node.and_then(|node| node.find(path));
    let number = |path: &str, default: usize| {
        find(path).and_then(Val::int).and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
    };
    let bytes = |path: &str, default: usize| {
        find(path).and_then(Val::size).and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
    };
    let bulk_bufsize = bytes("tune.bulk-bufsize", defaults::BULK_BUFSIZE);
    if let Some(value) = find("tune.bulk-bufsize").filter(|_| !bulk_bufsize.is_power_of_two()) {
        cx.sink
            .error(codes::BAD_SIZE, value.at, "`bulk-bufsize` is not a power of two")
            .hint("write \"16k\", \"32k\", \"64k\", \"128k\" ..");
    }
    cx.cookie_len = number("tune.http.cookielen", defaults::COOKIE_LEN);
    Global {
        threads: number("threads", 0),
        maxconn: u32::try_from(number("maxconn", 0)).unwrap_or(0),
        max_ssl_conn: u32::try_from(number("maxsslconn", 0)).unwrap_or(0),
        max_ssl_rate: u32::try_from(number("maxsslrate", 0)).unwrap_or(0),
        // Their formats may name what is not known yet.
        log: Vec::new(),
        log_profiles: Vec::new(),
        admin: find("admin").and_then(|value| admin(value, cx)),
        hard_stop_after: find("hard-stop-after").and_then(Val::time).and_then(some_time),
        log_tag: Arc::from(find("log-tag").and_then(Val::text).unwrap_or(defaults::LOG_TAG)),
        log_hostname: log_hostname(find("log-send-hostname"), cx),
        pid_file: find("pidfile").and_then(Val::text).map(PathBuf::from),
        tune: Tune {
            bufsize: bytes("tune.bufsize", defaults::BUFSIZE),
            max_headers: number("tune.http.maxhdr", defaults::MAX_HEADERS),
            max_uri: number("tune.http.maxuri", defaults::MAX_URI),
            log_uri_len: number("tune.http.logurilen", defaults::LOG_URI_LEN),
            cookie_len: cx.cookie_len,
            bulk_bufsize,
            // -1 is no limit, which is what does not fit.
            pool_max_conn: find("tune.pool-max-conn").and_then(Val::int).and_then(|n| u32::try_from(n).ok()),
            pool_purge_delay: find("tune.pool-purge-delay").and_then(Val::time).unwrap_or(defaults::POOL_PURGE_DELAY),
            log_buffer: bytes("tune.log-buffer", defaults::LOG_BUFFER),
            stick_counters: number("tune.stick-counters", defaults::STICK_COUNTERS),
            vars: VarLimits {
                proc: bytes("tune.vars.proc-max-size", VarLimits::DEFAULT.proc),
                sess: bytes("tune.vars.sess-max-size", VarLimits::DEFAULT.sess),
                txn: bytes("tune.vars.txn-max-size", VarLimits::DEFAULT.txn),
                reqres: bytes("tune.vars.reqres-max-size", VarLimits::DEFAULT.reqres),
            },
            ssl: SslTune {
                lifetime: find("tune.ssl.lifetime").and_then(Val::time).unwrap_or(defaults::SSL_LIFETIME),
                max_record: bytes("tune.ssl.maxrecord", defaults::SSL_MAX_RECORD),
                hard_max_record: bytes("tune.ssl.hard-maxrecord", 0),
                capture: bytes("tune.ssl.capture-buffer-size", 0) > 0,
                keylog: find("tune.ssl.keylog").and_then(Val::bool).unwrap_or(false),
            },
            h2: H2Tune {
                fe: h2(find("tune.h2.fe").and_then(Val::table)),
                be: h2(find("tune.h2.be").and_then(Val::table)),
            },
        },
        counted: counted(find, cx),
        test_before_reload: find("test-before-reload").and_then(Val::bool).unwrap_or(false),
        // They are rules, which need what all sections define.
        set_vars: StartVars::default(),
        why: DecisionLog {
            entries: number("why.entries", defaults::WHY_ENTRIES),
            sample: u32::try_from(number("why.sample", defaults::WHY_SAMPLE as usize)).unwrap_or(0),
            slow: find("why.slow").and_then(Val::time).map_or(Some(defaults::WHY_SLOW), some_time),
            redact: redacted(find("why.redact"), cx),
        },
    }
}

/// `set-var` and `set-var-fmt`, once the library is complete.
pub(crate) fn set_vars(node: Option<&Node<'_>>, cx: &mut Cx<'_>) -> StartVars {
    let library = Rc::clone(&cx.library);
    let env = Env { library: &library, proxy: "" };
    let mut vars = StartVars::default();
    let mut lines = Vec::new();
    for (key, format) in [("set-var", false), ("set-var-fmt", true)] {
        for value in node.and_then(|node| node.find(key)).map(Val::list).unwrap_or_default() {
            let Some(text) = value.text() else { continue };
            let place = cx.files.place(value.at);
            let line = RuleLine { text, file: &place.file, line: place.line };
            match vars.add(&line, format, &env) {
                Ok(()) => lines.push(value),
                Err(errors) => super::rules::report_text(errors, value, cx),
            }
        }
    }
    let now = Now { mono_ms: 0, unix_us: 0 };
    for index in vars.apply(None, now, "localhost", &ProcVars::default()) {
        cx.sink
            .warn(codes::NO_EFFECT, lines[index].at, "the variable is not set: what it is set to has no value yet")
            .hint(
                "there is no connection and no request at the start: use constants, env, hostname or other variables",
            );
    }
    vars
}

fn h2(node: Option<&Node<'_>>) -> H2Side {
    let find = |key: &str| node.and_then(|node| node.find(key));
    let number =
        |key: &str, default: u32| find(key).and_then(Val::int).and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    let bytes =
        |key: &str, default: u32| find(key).and_then(Val::size).and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    H2Side {
        max_concurrent_streams: number("max-concurrent-streams", defaults::H2_STREAMS),
        initial_window_size: bytes("initial-window-size", defaults::H2_WINDOW),
        connection_window: bytes("rxbuf", defaults::H2_CONNECTION_WINDOW),
        max_frame_size: bytes("max-frame-size", defaults::H2_FRAME),
        header_table_size: bytes("header-table-size", defaults::H2_HEADER_TABLE),
        max_total_streams: number("max-total-streams", 0),
        glitches_threshold: number("glitches-threshold", defaults::H2_GLITCHES),
        max_resets: number("max-rst-at-once", defaults::H2_RESETS),
        max_control_frames: number("max-frames-at-once", defaults::H2_CONTROL_FRAMES),
    }
}

/// `[log-profile.NAME]` and the loggers of `[global]`, once all is there that their formats may name.
pub(crate) fn loggers(global: &mut Global, node: Option<&Node<'_>>, sections: &Sections<'_>, cx: &mut Cx<'_>) {
    let find = |path: &str| node.and_then(|node| node.find(path));
    cx.syslog = match find("log-send-hostname").map(|value| value.bool()) {
        None | Some(Some(false)) => Syslog::Local,
        Some(_) => Syslog::Rfc3164,
    };
    cx.log_profiles = sections.log_profiles.iter().map(|(name, node)| Arc::new(log::profile(name, node, cx))).collect();
    global.log_profiles.clone_from(&cx.log_profiles);
    global.log = find("log").map(|value| log::targets(value, None, cx)).unwrap_or_default();
}

fn log_hostname(value: Option<&Val<'_>>, cx: &mut Cx<'_>) -> Option<Arc<str>> {
    let value = value?;
    let name = value.text()?;
    // It is one word of the line, at most 255 bytes by RFC 5424 section 6.
    if name.len() > 255 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        cx.sink.error(codes::BAD_TEXT, value.at, "a host name in log lines is up to 255 characters without blanks");
        return None;
    }
    Some(name.into())
}

fn counted<'v>(find: impl Fn(&str) -> Option<&'v Val<'v>>, cx: &mut Cx<'_>) -> Counted {
    let mut counted = Counted::default();
    for (key, statuses) in [("http-err-codes", &mut counted.errors), ("http-fail-codes", &mut counted.failures)] {
        let Some((value, text)) = find(key).and_then(|value| Some((value, value.text()?))) else { continue };
        if let Err(message) = statuses.change(text) {
            cx.sink.error(codes::OUT_OF_RANGE, value.at, message).hint(format!("write {key} = \"400-499 -404 +500\""));
        }
    }
    counted
}

/// The fields whose values are never kept: those of the file and, unless the list is empty, those that always hold secrets.
fn redacted(value: Option<&Val<'_>>, cx: &mut Cx<'_>) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = defaults::WHY_REDACT.iter().map(|name| Arc::from(*name)).collect();
    let Some(value) = value else { return names };
    if value.list().is_empty() {
        return Vec::new();
    }
    for value in value.list() {
        let Some(text) = value.text() else { continue };
        if !is_token(text) {
            cx.sink.error(codes::BAD_HEADER, value.at, format!("\"{text}\" is not the name of a header"));
        }
        let name = text.to_ascii_lowercase();
        if !names.iter().any(|known| **known == *name) {
            names.push(Arc::from(name));
        }
    }
    names
}

fn admin(value: &Val<'_>, cx: &mut Cx<'_>) -> Option<Admin> {
    let refresh = match &value.data {
        Data::Table(node) => node.find("refresh").and_then(Val::time),
        _ => None,
    };
    let listen = match &value.data {
        Data::Table(node) => node.find("listen")?,
        _ => value,
    };
    let text = listen.text()?;
    let address = match address::parse(text) {
        Ok(Address::Inet(ip, ports)) if ports.first == ports.last => Some((ip, ports.first).into()),
        Ok(Address::Name(name, ports)) if ports.first == ports.last => cx.resolve(&name, ports.first, listen.at),
        Ok(_) => {
            cx.sink.error(codes::BAD_BIND, listen.at, "the admin listener takes one IP address and one port");
            None
        }
        Err(error) => {
            cx.sink
                .error(codes::BAD_BIND, listen.at, format!("\"{text}\" is not a listening address: {error}"))
                .hint("write \"127.0.0.1:8404\"");
            None
        }
    };
    Some(Admin {
        listen: address?,
        refresh: some_time(refresh.unwrap_or(defaults::ADMIN_REFRESH)),
        place: cx.files.place(value.at),
    })
}
