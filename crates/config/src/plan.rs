//! What a reload would change, by name, before anything is changed.
//!
//! Pure: two configurations in, a list out. Lines that moved in the file are no change. The supervisor shows it and
//! decides by it what cannot be done without a restart; `evenkeel check` can print it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use evenkeel_acl::pattern::{StoreChange, Stores};
use evenkeel_acl::stick::TableDef;
use serde_json::{Value, json};

use crate::model::{
    Backend, Bind, BindAddress, Config, Frontend, LogSink, LogTarget, Mode, OnRemove, Proto, Resolvers, Server,
};
use crate::units::{show_duration, show_size};

/// The difference between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Listening addresses.
    pub binds: Diff,
    /// Frontends, the client half of a listen included.
    pub frontends: Diff,
    /// Backends, the server half of a listen included.
    pub backends: Diff,
    /// Servers, as `backend/server`.
    pub servers: Diff,
    /// Stick tables by name; a changed one loses its entries.
    pub tables: Diff,
    /// `[resolvers.NAME]` sections; a changed one forgets its answers.
    pub resolvers: Diff,
    /// Pattern files and maps that hold something else; told by [`Plan::with_files`].
    pub files: Vec<StoreChange>,
    /// Global settings that change with the reload.
    pub global: Vec<Change>,
    /// Settings that keep their old value until a restart.
    pub needs_restart: Vec<Change>,
}

/// What became of the things of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Only in the new configuration: opened, created.
    pub added: Vec<Arc<str>>,
    /// Only in the old one: closed, drained.
    pub removed: Vec<Arc<str>>,
    /// In both, with differences.
    pub changed: Vec<Changed>,
    /// In both and alike.
    pub same: Vec<Arc<str>>,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its name.
    pub name: Arc<str>,
    /// What differs.
    pub what: Vec<Change>,
}

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, as in the file.
    pub key: &'static str,
    /// Old value; empty for what has no short form, such as rules.
    pub old: String,
    /// New value.
    pub new: String,
}

/// Compares `old`, what runs, with `new`, what would.
pub fn plan(old: &Config, new: &Config) -> Plan {
    let mut plan = Plan {
        binds: Diff::of(&binds(old), &binds(new), |(f, old), (g, new)| {
            changes(&bind_fields(f, old), &bind_fields(g, new))
        }),
        frontends: Diff::of(&frontends(old), &frontends(new), |old, new| frontend_changes(old, new)),
        backends: Diff::of(&backends(old), &backends(new), |old, new| backend_changes(old, new)),
        servers: Diff::of(&servers(old), &servers(new), |old, new| changes(&server_fields(old), &server_fields(new))),
        tables: Diff::of(&tables(old), &tables(new), |old, new| changes(&table_fields(old), &table_fields(new))),
        resolvers: Diff::of(&resolvers(old), &resolvers(new), |old, new| {
            changes(&resolvers_fields(old), &resolvers_fields(new))
        }),
        ..Plan::default()
    };
    plan.global = changes(&global_fields(old), &global_fields(new));
    plan.needs_restart = changes(&restart_fields(old), &restart_fields(new));
    plan
}

impl Plan {
    /// With what becomes of the pattern files and maps that both configurations use.
    pub fn with_files(self, old: &Stores, new: &Stores) -> Plan {
        Plan { files: new.changed_since(old), ..self }
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        [&self.binds, &self.frontends, &self.backends, &self.servers, &self.tables, &self.resolvers]
            .into_iter()
            .all(Diff::is_empty)
            && self.files.is_empty()
            && self.global.is_empty()
            && self.needs_restart.is_empty()
    }

    /// As one JSON object; unchanged things are counted, not listed.
    pub fn to_json(&self) -> Value {
        json!({
            "empty": self.is_empty(),
            "binds": self.binds.to_json(),
            "frontends": self.frontends.to_json(),
            "backends": self.backends.to_json(),
            "servers": self.servers.to_json(),
            "tables": self.tables.to_json(),
            "resolvers": self.resolvers.to_json(),
            "files": self.files.iter().map(file_json).collect::<Vec<_>>(),
            "global": changes_json(&self.global),
            "needs_restart": changes_json(&self.needs_restart),
        })
    }
}

impl fmt::Display for Plan {
    /// One line a change: `+` new, `-` gone, `~` changed, `!` only after a restart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "no change");
        }
        for (kind, diff) in [
            ("bind", &self.binds),
            ("frontend", &self.frontends),
            ("backend", &self.backends),
            ("server", &self.servers),
            ("table", &self.tables),
            ("resolvers", &self.resolvers),
        ] {
            for name in &diff.added {
                writeln!(f, "+ {kind} {name}")?;
            }
            for name in &diff.removed {
                writeln!(f, "- {kind} {name}")?;
            }
            for changed in &diff.changed {
                write!(f, "~ {kind} {}: ", changed.name)?;
                write_changes(f, &changed.what)?;
            }
        }
        for file in &self.files {
            let counts = [(file.added, "added"), (file.removed, "removed"), (file.changed, "changed")];
            let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
            let what = if file.map { "map" } else { "list" };
            writeln!(f, "~ {what} {}: {}", file.path, counts.collect::<Vec<_>>().join(", "))?;
        }
        for change in &self.global {
            write!(f, "~ global: ")?;
            write_changes(f, std::slice::from_ref(change))?;
        }
        for change in &self.needs_restart {
            write!(f, "! needs a restart: ")?;
            write_changes(f, std::slice::from_ref(change))?;
        }
        Ok(())
    }
}

fn write_changes(f: &mut fmt::Formatter<'_>, changes: &[Change]) -> fmt::Result {
    for (index, change) in changes.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        if change.old.is_empty() && change.new.is_empty() {
            write!(f, "{comma}{}", change.key)?;
        } else {
            write!(f, "{comma}{} {} -> {}", change.key, change.old, change.new)?;
        }
    }
    writeln!(f)
}

impl Diff {
    /// Whether nothing was added, removed or changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn of<T>(old: &[(Arc<str>, T)], new: &[(Arc<str>, T)], compare: impl Fn(&T, &T) -> Vec<Change>) -> Diff {
        let before: HashMap<&str, &T> = old.iter().map(|(name, thing)| (&**name, thing)).collect();
        let after: HashSet<&str> = new.iter().map(|(name, _)| &**name).collect();
        let mut diff = Diff::default();
        for (name, thing) in new {
            match before.get(&**name) {
                None => diff.added.push(Arc::clone(name)),
                Some(was) => {
                    let what = compare(was, thing);
                    match what.is_empty() {
                        true => diff.same.push(Arc::clone(name)),
                        false => diff.changed.push(Changed { name: Arc::clone(name), what }),
                    }
                }
            }
        }
        let gone = old.iter().filter(|(name, _)| !after.contains(&**name));
        diff.removed = gone.map(|(name, _)| Arc::clone(name)).collect();
        diff
    }

    fn to_json(&self) -> Value {
        let changed: Vec<Value> =
            self.changed.iter().map(|c| json!({"name": &*c.name, "what": changes_json(&c.what)})).collect();
        let names = |list: &[Arc<str>]| list.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        json!({
            "added": names(&self.added),
            "removed": names(&self.removed),
            "changed": changed,
            "same": self.same.len(),
        })
    }
}

fn file_json(file: &StoreChange) -> Value {
    json!({
        "path": &*file.path,
        "map": file.map,
        "added": file.added,
        "removed": file.removed,
        "changed": file.changed,
    })
}

fn changes_json(changes: &[Change]) -> Value {
    changes.iter().map(|c| json!({"key": c.key, "old": c.old, "new": c.new})).collect()
}

/// A setting as compared and as shown. What has no short form is compared by its debug text and not shown.
struct Field {
    key: &'static str,
    value: String,
    shown: bool,
}

fn field(key: &'static str, value: impl fmt::Display) -> Field {
    Field { key, value: value.to_string(), shown: true }
}

fn hidden(key: &'static str, value: impl fmt::Debug) -> Field {
    Field { key, value: format!("{value:?}"), shown: false }
}

fn changes(old: &[Field], new: &[Field]) -> Vec<Change> {
    // Both lists come from one function, so they name the same keys in the same order.
    let each = old.iter().zip(new).filter(|(old, new)| old.value != new.value);
    each.map(|(old, new)| {
        let show = |field: &Field| if field.shown { field.value.clone() } else { String::new() };
        Change { key: new.key, old: show(old), new: show(new) }
    })
    .collect()
}

fn binds(config: &Config) -> Vec<(Arc<str>, (&Frontend, &Bind))> {
    let mut binds = Vec::new();
    for frontend in config.frontends.iter().filter(|frontend| !frontend.disabled) {
        for (index, bind) in frontend.binds.iter().enumerate() {
            // Each bind to port 0 is another port: it has no identity but its place in its frontend.
            let name = match &bind.address {
                BindAddress::Inet(inet) if inet.port() == 0 => format!("{} ({} #{index})", bind.address, frontend.name),
                address => address.to_string(),
            };
            binds.push((Arc::from(name), (&**frontend, bind)));
        }
    }
    binds
}

fn frontends(config: &Config) -> Vec<(Arc<str>, &Frontend)> {
    config.frontends.iter().map(|f| (Arc::clone(&f.name), &**f)).collect()
}

fn backends(config: &Config) -> Vec<(Arc<str>, &Backend)> {
    config.backends.iter().map(|b| (Arc::clone(&b.name), &**b)).collect()
}

fn servers(config: &Config) -> Vec<(Arc<str>, &Server)> {
    let mut servers = Vec::new();
    for backend in &config.backends {
        let named = |s: &Server| Arc::from(format!("{}/{}", backend.name, s.name));
        servers.extend(backend.servers.iter().map(|server| (named(server), &**server)));
    }
    servers
}

fn tables(config: &Config) -> Vec<(Arc<str>, &TableDef)> {
    config.tables.iter().map(|table| (Arc::clone(&table.name), table)).collect()
}

fn table_fields(table: &TableDef) -> Vec<Field> {
    let TableDef { name: _, key, size, expire, nopurge, store } = table;
    let store: Vec<String> = store.iter().map(ToString::to_string).collect();
    vec![
        // With its length.
        hidden("type", key),
        field("size", size),
        field("expire", time(*expire)),
        field("nopurge", nopurge),
        field("store", store.join(", ")),
    ]
}

fn resolvers(config: &Config) -> Vec<(Arc<str>, &Resolvers)> {
    config.resolvers.iter().map(|section| (Arc::clone(&section.name), &**section)).collect()
}

fn resolvers_fields(section: &Resolvers) -> Vec<Field> {
    let Resolvers { name: _, nameservers, retries, retry, hold, payload, max_names, max_questions } = section;
    vec![
        hidden("nameserver", nameservers),
        field("resolve-retries", retries),
        field("timeout.retry", show_duration(*retry)),
        hidden("hold", hold),
        field("accepted-payload-size", payload),
        field("max-names", max_names),
        field("max-questions", max_questions),
    ]
}

fn bind_fields(frontend: &Frontend, bind: &Bind) -> Vec<Field> {
    let Bind {
        address: _,
        name,
        place: _,
        maxconn,
        backlog,
        defer_accept,
        tfo,
        tcp_user_timeout,
        v4v6,
        v6only,
        interface,
        transparent,
        keepalive,
        unix_mode,
        tls,
        proto,
        accept_proxy,
        idle_ping,
    } = bind;
    vec![
        field("frontend", &frontend.name),
        field("name", name),
        field("maxconn", maxconn),
        field("backlog", backlog),
        field("defer-accept", defer_accept),
        field("tfo", tfo),
        field("tcp-ut", time(*tcp_user_timeout)),
        field("v4v6", v4v6),
        field("v6only", v6only),
        field("interface", interface.as_deref().unwrap_or("none")),
        field("transparent", transparent),
        field("option.clitcpka", keepalive),
        field("mode", unix_mode.map_or_else(|| "none".to_owned(), |mode| format!("{mode:#o}"))),
        hidden("tls", tls),
        field("proto", proto.map_or("none", Proto::as_str)),
        hidden("accept-proxy", accept_proxy),
        field("idle-ping", time(*idle_ping)),
    ]
}

fn frontend_changes(old: &Frontend, new: &Frontend) -> Vec<Change> {
    let mut list = changes(&frontend_fields(old), &frontend_fields(new));
    for (key, same) in [
        ("tcp-request.connection", old.tcp_request_connection.same_rules(&new.tcp_request_connection)),
        ("tcp-request.session", old.tcp_request_session.same_rules(&new.tcp_request_session)),
        ("tcp-request.content", old.tcp_request_content.same_rules(&new.tcp_request_content)),
        ("http-request", old.http_request.same_rules(&new.http_request)),
        ("redirect", old.redirect.same_rules(&new.redirect)),
        ("http-response", old.http_response.same_rules(&new.http_response)),
        ("http-after-response", old.http_after_response.same_rules(&new.http_after_response)),
        ("use_backend", old.switch.same_rules(&new.switch)),
        ("errorfile", old.pages.same(&new.pages)),
        ("monitor.fail", old.monitor_fail.same_rules(&new.monitor_fail)),
    ] {
        list.extend(rules(key, same));
    }
    list
}

fn backend_changes(old: &Backend, new: &Backend) -> Vec<Change> {
    let mut list = changes(&backend_fields(old), &backend_fields(new));
    // Those of a listen are told of its frontend.
    let told = old.listen && new.listen;
    for (key, same) in [
        ("tcp-request.content", told || old.tcp_request_content.same_rules(&new.tcp_request_content)),
        ("tcp-response.content", old.tcp_response.same_rules(&new.tcp_response)),
        ("http-request", told || old.http_request.same_rules(&new.http_request)),
        ("redirect", told || old.redirect.same_rules(&new.redirect)),
        ("http-response", told || old.http_response.same_rules(&new.http_response)),
        ("http-after-response", told || old.http_after_response.same_rules(&new.http_after_response)),
        ("errorfile", old.pages.same(&new.pages)),
        ("use-server", old.use_server.same_rules(&new.use_server)),
    ] {
        list.extend(rules(key, same));
    }
    list
}

/// Rules have no short form.
fn rules(key: &'static str, same: bool) -> Option<Change> {
    (!same).then(|| Change { key, old: String::new(), new: String::new() })
}

fn frontend_fields(frontend: &Frontend) -> Vec<Field> {
    let Frontend {
        name: _,
        id,
        listen,
        place: _,
        mode,
        binds: _,
        maxconn,
        timeout,
        tcp_request_connection: _,
        tcp_request_inspect_delay,
        tcp_request_session: _,
        tcp_request_content: _,
        http_response: _,
        http_after_response: _,
        http_request: _,
        redirect: _,
        switch: _,
        default_backend,
        option,
        log,
        log_format,
        log_text,
        log_sd,
        error_log_text,
        log_steps,
        unique_id_format,
        forwardfor,
        pages: _,
        captures,
        unique_id_header,
        monitor_uri,
        monitor_fail: _,
        keepalive,
        disabled,
    } = frontend;
    vec![
        field("id", id),
        field("listen", listen),
        field("mode", mode_name(*mode)),
        field("maxconn", maxconn),
        field("timeout.client", time(timeout.client)),
        field("timeout.client-fin", time(timeout.client_fin)),
        field("timeout.handshake", time(timeout.handshake)),
        field("timeout.http-request", time(timeout.http_request)),
        field("timeout.http-keep-alive", time(timeout.http_keep_alive)),
        field("timeout.tarpit", time(timeout.tarpit)),
        field("timeout.tunnel", time(timeout.tunnel)),
        field("tcp-request.inspect-delay", time(*tcp_request_inspect_delay)),
        hidden("capture", captures),
        field("unique-id-header", unique_id_header.as_deref().unwrap_or("none")),
        field("monitor-uri", monitor_uri.as_deref().unwrap_or("none")),
        field("default_backend", default_backend.as_deref().unwrap_or("none")),
        hidden("option", option),
        field("log", logs(log)),
        hidden("log-format", (log_format, text(log_text))),
        hidden("log-format-sd", text(log_sd)),
        hidden("error-log-format", text(error_log_text)),
        hidden("log-steps", log_steps),
        hidden("unique-id-format", text(unique_id_format)),
        hidden("option.forwardfor", forwardfor),
        field("option.clitcpka", keepalive),
        field("disabled", disabled),
    ]
}

fn backend_fields(backend: &Backend) -> Vec<Field> {
    let Backend {
        name: _,
        id,
        listen,
        place: _,
        mode,
        balance,
        servers,
        timeout,
        retries,
        redispatch,
        reuse,
        tcp_request_content: _,
        tcp_request_inspect_delay,
        tcp_response: _,
        tcp_response_inspect_delay,
        use_server: _,
        pages: _,
        http_response: _,
        http_after_response: _,
        http_request: _,
        redirect: _,
        option,
        forwardfor,
        log,
        keepalive,
        disabled,
    } = backend;
    // Order and membership decide ids and the walk of some algorithms; the servers themselves are compared one by one.
    let order: Vec<&str> = servers.iter().map(|server| &*server.name).collect();
    vec![
        field("id", id),
        field("listen", listen),
        field("mode", mode_name(*mode)),
        field("balance", balance),
        hidden("server", order),
        field("timeout.connect", time(timeout.connect)),
        field("timeout.server", time(timeout.server)),
        field("timeout.server-fin", time(timeout.server_fin)),
        field("timeout.queue", time(timeout.queue)),
        field("timeout.tarpit", time(timeout.tarpit)),
        field("timeout.tunnel", time(timeout.tunnel)),
        field("tcp-request.inspect-delay", time(*tcp_request_inspect_delay)),
        field("tcp-response.inspect-delay", time(*tcp_response_inspect_delay)),
        field("retries", retries),
        field("option.redispatch", redispatch),
        hidden("http-reuse", reuse),
        hidden("option", option),
        hidden("option.forwardfor", forwardfor),
        field("log", logs(log)),
        field("option.srvtcpka", keepalive),
        field("disabled", disabled),
    ]
}

fn server_fields(server: &Server) -> Vec<Field> {
    let Server {
        name: _,
        id,
        place: _,
        address,
        weight,
        maxconn,
        maxqueue,
        backup,
        disabled,
        check,
        source,
        interface,
        tcp_user_timeout,
        tfo,
        on_remove,
        tls,
        proto,
        ws,
        send_proxy,
        idle_ping,
    } = server;
    vec![
        field("id", id),
        field("address", address),
        field("weight", weight),
        field("maxconn", maxconn),
        field("maxqueue", maxqueue),
        field("backup", backup),
        field("disabled", disabled),
        hidden("check", check),
        field("source", source.map_or_else(|| "none".to_owned(), |source| source.to_string())),
        field("interface", interface.as_deref().unwrap_or("none")),
        field("tcp-ut", time(*tcp_user_timeout)),
        field("tfo", tfo),
        field(
            "on-remove",
            match on_remove {
                OnRemove::Keep => "keep".to_owned(),
                OnRemove::Drain(time) => format!("drain {}", show_duration(*time)),
                OnRemove::Close => "close".to_owned(),
            },
        ),
        hidden("tls", tls),
        field("proto", proto.map_or("none", Proto::as_str)),
        field("ws", ws.as_str()),
        hidden("send-proxy", send_proxy),
        field("idle-ping", time(*idle_ping)),
    ]
}

fn global_fields(config: &Config) -> Vec<Field> {
    let global = &config.global;
    vec![
        field("maxconn", global.maxconn),
        field("maxsslconn", global.max_ssl_conn),
        field("maxsslrate", global.max_ssl_rate),
        hidden("tune.ssl", &global.tune.ssl),
        hidden("tune.h2", &global.tune.h2),
        field("log", logs(&global.log)),
        field("hard-stop-after", time(global.hard_stop_after)),
        field("log-tag", &global.log_tag),
        field("log-send-hostname", global.log_hostname.as_deref().unwrap_or("that of the machine")),
        field("http-err-codes", global.counted.errors),
        field("http-fail-codes", global.counted.failures),
        field(
            "admin.listen",
            global.admin.as_ref().map_or_else(|| "none".to_owned(), |admin| admin.listen.to_string()),
        ),
        field("admin.refresh", global.admin.as_ref().map_or_else(|| "none".to_owned(), |admin| time(admin.refresh))),
        field("tune.http.maxhdr", global.tune.max_headers),
        field("tune.http.maxuri", global.tune.max_uri),
        field("tune.http.logurilen", global.tune.log_uri_len),
        field("tune.http.cookielen", global.tune.cookie_len),
        field("tune.pool-max-conn", global.tune.pool_max_conn.map_or(-1, i64::from)),
        field("tune.stick-counters", global.tune.stick_counters),
        field("test-before-reload", global.test_before_reload),
        hidden("why", &global.why),
        hidden("set-var", &global.set_vars),
        hidden("tune.vars", global.tune.vars),
        field("tune.pool-purge-delay", show_duration(global.tune.pool_purge_delay)),
    ]
}

/// What is fixed when the process starts: threads, the buffers they own, the pid file.
fn restart_fields(config: &Config) -> Vec<Field> {
    let global = &config.global;
    let pid_file = global.pid_file.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    vec![
        field("global.threads", global.threads),
        field("global.pidfile", pid_file),
        field("global.tune.bufsize", show_size(global.tune.bufsize as u64)),
        field("global.tune.bulk-bufsize", show_size(global.tune.bulk_bufsize as u64)),
        field("global.tune.log-buffer", show_size(global.tune.log_buffer as u64)),
    ]
}

fn time(time: Option<std::time::Duration>) -> String {
    time.map_or_else(|| "none".to_owned(), show_duration)
}

fn text(format: &Option<Arc<evenkeel_acl::LogFormat>>) -> Option<&str> {
    format.as_deref().map(evenkeel_acl::LogFormat::text)
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Http => "http",
        Mode::Tcp => "tcp",
    }
}

fn logs(logs: &[LogTarget]) -> String {
    let each = logs.iter().map(|log| {
        let sink = match &log.sink {
            LogSink::Stdout => "stdout".to_owned(),
            LogSink::Stderr => "stderr".to_owned(),
            LogSink::File(path) => format!("file:{}", path.display()),
            LogSink::Udp(address) => format!("udp:{address}"),
            LogSink::Unix(path) => format!("unix:{}", path.display()),
            LogSink::Tcp(address, framing) => format!("tcp:{address} {}", framing.word()),
        };
        let format = log.format.as_ref().map(|format| format!(" {}", format.text())).unwrap_or_default();
        let syslog = log.syslog.word();
        let sample = log.sample.as_ref().map(|sample| format!(" sample {sample}")).unwrap_or_default();
        let profile = log.profile.as_ref().map(|profile| format!(" profile {}", profile.name)).unwrap_or_default();
        let tag = log.tag.as_ref().map(|tag| format!(" {tag}")).unwrap_or_default();
        format!(
            "{sink} {syslog}{format}{sample}{profile}{tag} {}.{}-{} {}",
            log.facility, log.level, log.min_level, log.len
        )
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() { "none".to_owned() } else { format!("[{}]", each.join(", ")) }
}
