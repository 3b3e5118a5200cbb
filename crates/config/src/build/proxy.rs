//! Frontends, backends, and listens, which are one of each.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_acl::LogFormat as LogText;
use ipnet::IpNet;

use super::rules::Rules;
use super::{Cx, Layers, arc, bind, capture, is_token, log, pages, server, some_time};
use crate::keys::Sections;
use crate::model::{
    Backend, BackendOptions, Balance, ClientTimeouts, ConnectionMode, ErrorPages, ForwardFor, Frontend,
    FrontendOptions, Global, Mode, Reuse, Section, ServerTimeouts,
};
use crate::nearest::did_you_mean;
use crate::place::At;
use crate::shape::{Data, Node, Val};
use crate::{codes, defaults};

/// Everything built so far.
#[derive(Debug, Default)]
pub(crate) struct Built {
    pub frontends: Vec<BuiltFrontend>,
    pub backends: Vec<BuiltBackend>,
    pub order: Vec<Section>,
}

/// A frontend with the backends it names.
#[derive(Debug)]
pub(crate) struct BuiltFrontend {
    pub frontend: Frontend,
    pub at: At,
    pub references: Vec<Reference>,
    /// Whether the file gives it no bind at all.
    pub no_bind: bool,
    /// Whether the file gives it neither a backend nor rules that may answer by themselves.
    pub leads_nowhere: bool,
}

/// A backend and its place.
#[derive(Debug)]
pub(crate) struct BuiltBackend {
    pub backend: Backend,
    pub at: At,
    /// Whether the file gives it servers, were they usable or not.
    pub has_servers: bool,
    /// Whether the file gives it a purpose without servers: rules that may answer by themselves, or a table.
    pub has_rules: bool,
}

/// A backend's name where it is used.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub name: Arc<str>,
    pub at: At,
}

impl Built {
    /// Builds one section.
    pub fn section(&mut self, id: u32, layers: &Layers<'_, '_>, rules: Rules, global: &Global, cx: &mut Cx<'_>) {
        let mode = layers.mode();
        if mode == Mode::Tcp && !layers.may_switch() {
            http_in_tcp(layers.own, cx);
        }
        let fronts = layers.kind.meets(Sections::CLIENT_ONLY);
        let backs = layers.kind.meets(Sections::SERVER_ONLY);
        let shared = Shared {
            id,
            mode,
            listen: layers.kind == Sections::LISTEN,
            log: log::of_proxy(layers, &global.log, cx),
            pages: Arc::new(pages::of_proxy(layers, cx)),
        };
        let forwardfor = layers.find("option.forwardfor").and_then(|value| forwardfor(value, cx));
        if fronts {
            let frontend = frontend(layers, &shared, &rules, forwardfor.clone(), cx);
            self.frontends.push(frontend);
        }
        if backs {
            let backend = backend(layers, &shared, &rules, forwardfor, cx);
            self.backends.push(backend);
        }
        let last = (self.frontends.len().wrapping_sub(1), self.backends.len().wrapping_sub(1));
        self.order.push(match (fronts, backs) {
            (true, true) => Section::Listen(last.0, last.1),
            (true, false) => Section::Frontend(last.0),
            _ => Section::Backend(last.1),
        });
    }
}

/// What both halves of a section have.
struct Shared {
    id: u32,
    mode: Mode,
    listen: bool,
    log: Vec<crate::model::LogTarget>,
    pages: Arc<ErrorPages>,
}

fn frontend(
    layers: &Layers<'_, '_>,
    shared: &Shared,
    rules: &Rules,
    forwardfor: Option<ForwardFor>,
    cx: &mut Cx<'_>,
) -> BuiltFrontend {
    let disabled = layers.switch("disabled", false);
    let keepalive = layers.switch("option.clitcpka", layers.switch("option.tcpka", false));
    let http_request = layers.time("timeout.http-request").unwrap_or(Some(defaults::TIMEOUT_HTTP_REQUEST));
    let name: Arc<str> = Arc::from(layers.name);
    // A default_backend out of defaults would silently starve a listen's own servers.
    let own_servers = layers.own.find("server").is_some();
    let default_backend = match layers.own.find("default_backend") {
        Some(value) => Some(value),
        None if shared.listen && own_servers => None,
        None => layers.find("default_backend"),
    };
    let mut references = rules.targets.clone();
    references.extend(default_backend.and_then(|value| Some(Reference { name: arc(value)?, at: value.at })));
    let line = log::format(layers, shared.mode, cx);
    let frontend = Frontend {
        id: shared.id,
        listen: shared.listen,
        place: cx.files.place(layers.at),
        mode: shared.mode,
        binds: bind::binds(layers, shared.mode, keepalive, disabled, cx),
        maxconn: layers.number("maxconn", 0),
        timeout: ClientTimeouts {
            client: layers.time("timeout.client").unwrap_or(Some(defaults::TIMEOUT_CLIENT)),
            client_fin: layers.time("timeout.client-fin").flatten(),
            handshake: layers.time("timeout.handshake").unwrap_or(Some(defaults::TIMEOUT_HANDSHAKE)),
            http_request,
            http_keep_alive: layers.time("timeout.http-keep-alive").unwrap_or(http_request),
            tarpit: tarpit(layers),
            tunnel: tunnel(layers, shared.mode),
        },
        tcp_request_connection: Arc::clone(&rules.tcp_connection),
        tcp_request_inspect_delay: inspect_delay(layers, "tcp-request.inspect-delay"),
        tcp_request_session: Arc::clone(&rules.tcp_session),
        tcp_request_content: Arc::clone(&rules.tcp_content),
        http_response: Arc::clone(&rules.http_response),
        http_after_response: Arc::clone(&rules.http_after_response),
        http_request: Arc::clone(&rules.http_request),
        redirect: Arc::clone(&rules.redirect),
        switch: Arc::clone(&rules.switch),
        default_backend: default_backend.and_then(arc).or_else(|| shared.listen.then(|| Arc::clone(&name))),
        option: FrontendOptions {
            connection: connection(layers),
            dontlognull: layers.switch("option.dontlognull", false),
            log_separate_errors: layers.switch("option.log-separate-errors", false),
            logasap: layers.switch("option.logasap", false),
            dontlog_normal: layers.switch("option.dontlog-normal", false),
            disable_h2_upgrade: layers.switch("option.disable-h2-upgrade", false),
            buffer_request: layers.switch("option.http-buffer-request", false),
            ignore_probes: layers.switch("option.http-ignore-probes", false),
            proxy_status: layers.switch("option.proxy-status", false),
        },
        log: shared.log.clone(),
        log_format: line.builtin,
        log_text: line.text,
        log_sd: log::text(layers, "log-format-sd", LogText::compile, cx),
        error_log_text: log::text(layers, "error-log-format", LogText::compile, cx),
        log_steps: log::steps(layers),
        unique_id_format: log::text(layers, "unique-id-format", LogText::compile_id, cx),
        forwardfor,
        pages: Arc::clone(&shared.pages),
        captures: capture::slots(layers, cx),
        unique_id_header: unique_id_header(layers, cx),
        monitor_uri: layers.find("monitor-uri").and_then(arc),
        monitor_fail: Arc::clone(&rules.monitor_fail),
        keepalive,
        disabled,
        name,
    };
    let no_bind = !layers.own.gives("bind");
    let leads_nowhere = references.is_empty()
        && ["http-request", "redirect", "use_backend", "default_backend"].iter().all(|key| !layers.own.gives(key));
    BuiltFrontend { frontend, at: layers.at, references, no_bind, leads_nowhere }
}

fn backend(
    layers: &Layers<'_, '_>,
    shared: &Shared,
    rules: &Rules,
    forwardfor: Option<ForwardFor>,
    cx: &mut Cx<'_>,
) -> BuiltBackend {
    let connect = layers.time("timeout.connect").unwrap_or(Some(defaults::TIMEOUT_CONNECT));
    let backend = Backend {
        name: Arc::from(layers.name),
        id: shared.id,
        listen: shared.listen,
        place: cx.files.place(layers.at),
        mode: shared.mode,
        balance: layers.find("balance").map_or(defaults::BALANCE, |value| balance(value, cx)),
        servers: server::servers(layers, shared.mode, cx),
        timeout: ServerTimeouts {
            connect,
            server: layers.time("timeout.server").unwrap_or(Some(defaults::TIMEOUT_SERVER)),
            server_fin: layers.time("timeout.server-fin").flatten(),
            queue: layers.time("timeout.queue").unwrap_or(connect),
            tarpit: tarpit(layers),
            tunnel: tunnel(layers, shared.mode),
        },
        retries: layers.number("retries", defaults::RETRIES),
        redispatch: match layers.find("option.redispatch").map(|value| &value.data) {
            Some(Data::Bool(true)) => defaults::REDISPATCH_ON,
            Some(Data::Int(n)) => i32::try_from(*n).unwrap_or(0),
            _ => 0,
        },
        reuse: match layers.find("http-reuse").and_then(Val::text) {
            Some("never") => Reuse::Never,
            Some("safe") => Reuse::Safe,
            Some("aggressive") => Reuse::Aggressive,
            Some("always") => Reuse::Always,
            _ => defaults::REUSE,
        },
        tcp_request_content: Arc::clone(&rules.tcp_content),
        tcp_request_inspect_delay: inspect_delay(layers, "tcp-request.inspect-delay"),
        tcp_response: Arc::clone(&rules.tcp_response),
        tcp_response_inspect_delay: inspect_delay(layers, "tcp-response.inspect-delay"),
        use_server: Arc::clone(&rules.use_server),
        pages: Arc::clone(&shared.pages),
        http_response: Arc::clone(&rules.http_response),
        http_after_response: Arc::clone(&rules.http_after_response),
        http_request: Arc::clone(&rules.http_request),
        redirect: Arc::clone(&rules.redirect),
        option: BackendOptions {
            connection: connection(layers),
            abortonclose: layers.switch("option.abortonclose", shared.mode == Mode::Http),
            buffer_request: layers.switch("option.http-buffer-request", false),
            allbackups: layers.switch("option.allbackups", false),
            log_health_checks: layers.switch("option.log-health-checks", false),
        },
        forwardfor,
        log: shared.log.clone(),
        keepalive: layers.switch("option.srvtcpka", layers.switch("option.tcpka", false)),
        disabled: layers.switch("disabled", false),
    };
    BuiltBackend {
        backend,
        at: layers.at,
        has_servers: layers.own.gives("server"),
        has_rules: ["http-request", "redirect", "stick-table", "use_backend"].iter().any(|key| layers.own.gives(key)),
    }
}

/// How long content rules may wait; a list without one decides by what is there.
fn inspect_delay(layers: &Layers<'_, '_>, path: &str) -> Option<Duration> {
    layers.find(path).and_then(Val::time).and_then(some_time)
}

fn unique_id_header(layers: &Layers<'_, '_>, cx: &mut Cx<'_>) -> Option<Arc<str>> {
    let value = layers.find("unique-id-header")?;
    let text = value.text()?;
    if !is_token(text) {
        cx.sink.error(codes::BAD_HEADER, value.at, format!("\"{text}\" is not the name of a header"));
    }
    arc(value)
}

/// The strongest mode of the nearest section that sets one; `false` undoes what stands behind it.
fn connection(layers: &Layers<'_, '_>) -> ConnectionMode {
    let modes = [
        ("option.httpclose", ConnectionMode::Close),
        ("option.http-server-close", ConnectionMode::ServerClose),
        ("option.http-keep-alive", ConnectionMode::KeepAlive),
    ];
    let mut undone = Vec::new();
    for node in layers.each() {
        for (path, mode) in modes {
            match node.find(path).and_then(Val::bool) {
                Some(true) if !undone.contains(&path) => return mode,
                Some(false) => undone.push(path),
                _ => {}
            }
        }
    }
    ConnectionMode::KeepAlive
}

fn forwardfor(value: &Val<'_>, cx: &mut Cx<'_>) -> Option<ForwardFor> {
    if value.bool() == Some(false) {
        return None;
    }
    let find = |key: &str| value.table().and_then(|node| node.find(key));
    let mut except = Vec::new();
    for network in find("except").map(Val::list).unwrap_or_default() {
        let Some(text) = network.text() else { continue };
        let single = text.parse().map(|ip: std::net::IpAddr| IpNet::from(ip)).ok();
        match single.or_else(|| text.parse().ok()) {
            Some(net) => except.push(net),
            None => {
                cx.sink
                    .error(codes::BAD_NETWORK, network.at, format!("\"{text}\" is not a network"))
                    .hint("write \"10.0.0.0/8\" or \"10.1.2.3\"");
            }
        }
    }
    let header = find("header").and_then(|header| {
        let text = header.text()?;
        if !is_token(text) {
            cx.sink.error(codes::BAD_HEADER, header.at, format!("\"{text}\" is not the name of a header"));
        }
        arc(header)
    });
    Some(ForwardFor {
        except,
        header: header.unwrap_or_else(|| Arc::from(defaults::FORWARDFOR_HEADER)),
        if_none: find("if-none").and_then(Val::bool).unwrap_or(false),
    })
}

/// Algorithms of a later version.
const BALANCE_LATER: [&str; 9] =
    ["hash", "hdr", "log-hash", "log-sticky", "rdp-cookie", "sticky", "uri", "url_param", "peak-ewma"];

fn balance(value: &Val<'_>, cx: &mut Cx<'_>) -> Balance {
    let text = value.text().unwrap_or_default().trim();
    let word = text.split([' ', '(']).next().unwrap_or_default();
    let found = match text {
        "roundrobin" => Some(Balance::RoundRobin),
        "static-rr" => Some(Balance::StaticRr),
        "leastconn" => Some(Balance::LeastConn),
        "first" => Some(Balance::First),
        "source" => Some(Balance::Source),
        "random" => Some(defaults::BALANCE),
        _ => None,
    };
    if let Some(found) = found {
        return found;
    }
    if let Some(draws) = text.strip_prefix("random(").and_then(|rest| rest.strip_suffix(')')) {
        match draws.trim().parse() {
            Ok(draws) if (1..=defaults::MAX_DRAWS).contains(&draws) => return Balance::Random(draws),
            _ => {
                let range = format!("`random` takes 1 to {} draws", defaults::MAX_DRAWS);
                cx.sink.error(codes::BAD_BALANCE, value.at, range).hint("write \"random(2)\"");
            }
        }
    } else if BALANCE_LATER.contains(&word) {
        cx.sink
            .error(codes::LATER, value.at, format!("`balance = \"{word}\"` is not in this version"))
            .hint("there are \"roundrobin\", \"static-rr\", \"leastconn\", \"first\", \"source\" and \"random(2)\"");
    } else {
        let known = ["roundrobin", "static-rr", "leastconn", "first", "source", "random"];
        let hint = did_you_mean(word, known).unwrap_or_else(|| format!("write one of {}", known.join(", ")));
        cx.sink.error(codes::BAD_BALANCE, value.at, format!("\"{text}\" is not a balance algorithm")).hint(hint);
    }
    defaults::BALANCE
}

/// In tcp mode there are no HTTP messages: rules on them are an error, switches that act on them a warning.
fn http_in_tcp(node: &Node<'_>, cx: &mut Cx<'_>) {
    for entry in &node.entries {
        let rules = ["http-request", "http-response", "http-after-response", "redirect"].contains(&entry.name);
        if rules && entry.key.is_some() && !entry.value.list().is_empty() {
            cx.sink
                .error(codes::RULES_IN_TCP, entry.key_at, format!("{} rules in tcp mode", entry.name))
                .hint("set `mode = \"http\"`, let tcp-request.content switch-mode http, or remove the rules");
        }
        let off = entry.value.bool() == Some(false) || entry.value.time() == Some(Duration::ZERO);
        if entry.key.is_some_and(|key| key.http) && !off {
            cx.sink
                .warn(codes::NO_EFFECT_IN_TCP, entry.key_at, format!("`{}` has no effect in tcp mode", entry.name))
                .hint("set `mode = \"http\"` or remove it");
        } else if let Some(table) = entry.value.table() {
            http_in_tcp(table, cx);
        }
    }
}

/// `timeout.tarpit`, else `timeout.connect`.
fn tarpit(layers: &Layers<'_, '_>) -> Option<Duration> {
    let given = layers.time("timeout.tarpit").or_else(|| layers.time("timeout.connect"));
    given.unwrap_or(Some(defaults::TIMEOUT_CONNECT))
}

/// `timeout.tunnel`. In tcp mode a file that sets `timeout.client` or `timeout.server` and no tunnel means those two, as in
/// HAProxy; only a file that says nothing gets the long default.
fn tunnel(layers: &Layers<'_, '_>, mode: Mode) -> Option<Duration> {
    let said = |key| layers.time(key).is_some();
    match layers.time("timeout.tunnel") {
        Some(time) => time,
        None if mode == Mode::Tcp && (said("timeout.client") || said("timeout.server")) => None,
        None => Some(defaults::TIMEOUT_TUNNEL),
    }
}
