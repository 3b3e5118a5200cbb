//! `tls` of binds and servers, what `[global]` and `[crt-store]` say of both, and the PROXY protocol.
//!
//! Options are read here, no file is opened. Relative paths are completed: by
//! `crt-base`, `key-base` or `ca-base` where they are given, else by the folder of the first file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_acl::{Env, LogFormat as LogText};
use evenkeel_tls::options::{
    BindTls, CaSource, CertSource, ClientAuth, CrtStores, IgnoreErrors, Policy, ServerTls, Verify, Version,
};
use evenkeel_tls::policy;
use ipnet::IpNet;

use super::rules::report_after;
use super::{Cx, arc};
use crate::model::{AcceptProxy, Mode, Proto, ProxyOptions, ProxyVersion, SendProxy, Sni, UpstreamTls};
use crate::nearest::did_you_mean;
use crate::shape::{Data, Node, Val};
use crate::{codes, defaults};

/// What all binds and servers share.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// Before relative paths of certificates, keys, and authorities.
    crt_base: PathBuf,
    key_base: PathBuf,
    ca_base: PathBuf,
    /// `ssl-default-bind` over every default.
    bind: BindTls,
    /// `ssl-default-server` over every default.
    server: ServerTls,
    /// `[crt-store.NAME]`.
    pub(crate) stores: CrtStores,
}

/// Reads what all share; `folder` is where relative paths begin that no base is given for.
pub(crate) fn common(
    global: Option<&Node<'_>>,
    stores: &[(&str, Node<'_>)],
    folder: PathBuf,
    cx: &mut Cx<'_>,
) -> Common {
    let find = |path: &str| global.and_then(|node| node.find(path));
    let base = |key: &str| find(key).and_then(Val::text).map_or_else(|| folder.clone(), |text| folder.join(text));
    cx.open_key_log(find("tune.ssl.keylog"));
    let mut common = Common {
        crt_base: base("crt-base"),
        key_base: base("key-base"),
        ca_base: base("ca-base"),
        ..Common::default()
    };
    let bind = find("ssl-default-bind").and_then(Val::table);
    let of_bind = |key: &str| bind.and_then(|node| node.find(key));
    common.bind = BindTls {
        policy: algorithms(&of_bind, &Policy::default(), cx),
        strict_sni: of_bind("strict-sni").and_then(Val::bool).unwrap_or(false),
        tickets: of_bind("tickets").and_then(Val::bool).unwrap_or(true),
        session_cache: find("tune.ssl.cachesize")
            .and_then(Val::int)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(defaults::SSL_CACHE),
        session_lifetime: find("tune.ssl.lifetime").and_then(Val::time).unwrap_or(defaults::SSL_LIFETIME),
        crt_base: Some(common.crt_base.clone()),
        key_base: Some(common.key_base.clone()),
        ca_base: Some(common.ca_base.clone()),
        ..BindTls::default()
    };
    let server = find("ssl-default-server").and_then(Val::table);
    let of_server = |key: &str| server.and_then(|node| node.find(key));
    common.server = ServerTls {
        verify: of_server("verify").map_or(Verify::Required, verify),
        ca_file: of_server("ca-file").and_then(|value| ca(value, &common.ca_base)).unwrap_or(CaSource::System),
        policy: algorithms(&of_server, &Policy::default(), cx),
        session_reuse: of_server("session-reuse").and_then(Val::bool).unwrap_or(true),
        ..ServerTls::default()
    };
    let mut problems = Vec::new();
    for (policy, node) in [(&mut common.bind.policy, bind), (&mut common.server.policy, server)] {
        if policy::build(policy, &mut problems).is_none() {
            // Told here, and not again by everything that takes it.
            *policy = Policy::default();
        }
        let at = node.or(global).map(|node| node.at);
        if let Some(at) = at {
            cx.tell(std::mem::take(&mut problems), node.as_slice(), at);
        }
    }
    common.stores = crt_stores(stores, &common, &folder, cx);
    common
}

fn crt_stores(stores: &[(&str, Node<'_>)], common: &Common, folder: &Path, cx: &mut Cx<'_>) -> CrtStores {
    let mut found = BTreeMap::new();
    for (name, node) in stores {
        let base = |key: &str, or: &Path| match node.find(key).and_then(Val::text) {
            Some(text) => folder.join(text),
            None => or.to_owned(),
        };
        let bases = (base("crt-base", &common.crt_base), base("key-base", &common.key_base));
        let mut list: Vec<CertSource> = Vec::new();
        for value in node.find("load").map(Val::list).unwrap_or_default() {
            let Some(source) = certificate(value, &bases.0, &bases.1) else { continue };
            if source.alias.is_some() && list.iter().any(|known| known.alias == source.alias) {
                let alias = source.alias.as_deref().unwrap_or_default();
                let at = value.table().and_then(|node| node.find("alias")).map_or(value.at, |alias| alias.at);
                let message = format!("there are two certificates `{alias}` in the crt-store `{name}`");
                cx.sink.error(codes::BAD_TLS, at, message);
            }
            list.push(source);
        }
        found.insert(Arc::from(*name), list);
    }
    CrtStores(found)
}

/// `bind.tls`.
pub(super) fn of_bind(
    value: &Val<'_>,
    mode: Mode,
    proto: Option<Proto>,
    proxy: &str,
    cx: &mut Cx<'_>,
) -> Option<Arc<BindTls>> {
    let node = value.table();
    let find = |key: &str| node.and_then(|node| node.find(key));
    let on = |key: &str, default: bool| find(key).and_then(Val::bool).unwrap_or(default);
    let base = cx.tls.bind.clone();
    let (crt_base, key_base, ca_base) = (cx.tls.crt_base.clone(), cx.tls.key_base.clone(), cx.tls.ca_base.clone());
    let certificates = |value: Option<&Val<'_>>| -> Vec<CertSource> {
        let list = value.map(Val::list).unwrap_or_default().iter();
        list.filter_map(|value| certificate(value, &crt_base, &key_base)).collect()
    };
    let path = |key: &str, base: &Path| find(key).and_then(Val::text).map(|text| base.join(text));
    let alone = certificate(value, &crt_base, &key_base).filter(|_| node.is_none());
    let offered = match (proto, mode) {
        (Some(Proto::H1), Mode::Http) => vec![Arc::from(&b"http/1.1"[..])],
        (Some(Proto::H2), _) => vec![Arc::from(&b"h2"[..])],
        (_, Mode::Tcp) => Vec::new(),
        (None, Mode::Http) => base.alpn.clone(),
    };
    let tls = BindTls {
        certificates: alone.into_iter().chain(certificates(find("certificate"))).collect(),
        crt_list: find("crt-list")
            .map(Val::list)
            .unwrap_or_default()
            .iter()
            .filter_map(|value| Some(crt_base.join(value.text()?)))
            .collect(),
        default_certificates: certificates(find("default-certificate")),
        strict_sni: on("strict-sni", base.strict_sni),
        alpn: alpn(find("alpn"), cx).unwrap_or(offered),
        policy: algorithms(&find, &base.policy, cx),
        client: ClientAuth {
            verify: find("verify").map_or(Verify::None, verify),
            ca_file: find("ca-file").and_then(|value| ca(value, &ca_base)),
            ca_verify_file: find("ca-verify-file").and_then(|value| ca(value, &ca_base)),
            crl_file: path("crl-file", &ca_base),
            ca_ignore_err: ignored(find("ca-ignore-err"), cx),
            crt_ignore_err: ignored(find("crt-ignore-err"), cx),
            no_ca_names: on("no-ca-names", false),
        },
        tickets: on("tickets", base.tickets),
        ticket_keys: path("ticket-keys", &crt_base),
        early_data: on("early-data", false),
        ocsp_update: on("ocsp-update", false),
        watch: on("watch", false),
        scope: Arc::from(proxy),
        ..base
    };
    let faulty = |key: &str| node.is_some_and(|node| node.faulty.contains(&key));
    let shows_none = tls.certificates.is_empty() && tls.default_certificates.is_empty() && tls.crt_list.is_empty();
    if shows_none && !tls.strict_sni && !["certificate", "crt-list", "default-certificate"].into_iter().any(faulty) {
        cx.sink
            .error(codes::BAD_TLS, value.at, "TLS needs a certificate")
            .hint("write `certificate = \"site.pem\"`, or `strict-sni = true` when all come at run time");
        return None;
    }
    if let Some(node) = node.filter(|_| tls.client.verify == Verify::None) {
        let keys = ["ca-file", "ca-verify-file", "crl-file", "ca-ignore-err", "crt-ignore-err"];
        for entry in node.entries.iter().filter(|entry| keys.contains(&entry.name)) {
            cx.sink
                .warn(codes::NO_EFFECT, entry.key_at, format!("`{}` has no effect without `verify`", entry.name))
                .hint("clients are asked for a certificate with verify = \"optional\" or \"required\"");
        }
    }
    if let Some(keys) = find("ticket-keys").filter(|_| !tls.tickets) {
        cx.sink.error(codes::CONTRADICTION, keys.at, "there are keys for tickets, and `tickets` is false");
    }
    Some(Arc::new(tls))
}

/// `server.tls`; `layers` are its values, the nearest first. The nearest decides whether it is on; a table is.
pub(super) fn of_server(
    layers: &[&Val<'_>],
    mode: Mode,
    proto: Option<Proto>,
    proxy: &str,
    cx: &mut Cx<'_>,
) -> Option<Arc<UpstreamTls>> {
    if layers.first()?.bool() == Some(false) {
        return None;
    }
    Some(Arc::new(upstream(layers, mode, proto, proxy, cx)))
}

/// What `server.tls` says, whether it is on or not: a check may have TLS where traffic has none.
pub(super) fn upstream(
    layers: &[&Val<'_>],
    mode: Mode,
    proto: Option<Proto>,
    proxy: &str,
    cx: &mut Cx<'_>,
) -> UpstreamTls {
    let find = |key: &str| layers.iter().filter_map(|value| value.table()).find_map(|node| node.find(key));
    let base = cx.tls.server.clone();
    let (crt_base, key_base, ca_base) = (cx.tls.crt_base.clone(), cx.tls.key_base.clone(), cx.tls.ca_base.clone());
    let offered = match proto {
        Some(Proto::H2) => vec![Arc::from(&b"h2"[..])],
        _ => Vec::new(),
    };
    let sni = match find("sni") {
        Some(value) => match expression(value, proxy, cx) {
            Some(expression) => Sni::Expr(expression),
            None => Sni::None,
        },
        None if mode == Mode::Http && find("sni-auto").and_then(Val::bool).unwrap_or(true) => Sni::Host,
        None => Sni::None,
    };
    let options = ServerTls {
        verify: find("verify").map_or(base.verify, verify),
        ca_file: find("ca-file").and_then(|value| ca(value, &ca_base)).unwrap_or(base.ca_file),
        crl_file: find("crl-file").and_then(Val::text).map(|text| ca_base.join(text)),
        verifyhost: find("verifyhost").and_then(arc),
        certificate: find("certificate").and_then(|value| stored(certificate(value, &crt_base, &key_base)?, value, cx)),
        alpn: alpn(find("alpn"), cx).unwrap_or(offered),
        policy: algorithms(&find, &base.policy, cx),
        session_reuse: find("session-reuse").and_then(Val::bool).unwrap_or(base.session_reuse),
    };
    if options.verify == Verify::None {
        for key in ["ca-file", "crl-file", "verifyhost"] {
            if let Some(value) = find(key) {
                let message = format!("`{key}` has no effect: the server's certificate is not verified");
                cx.sink.warn(codes::NO_EFFECT, value.at, message).hint("verify = \"required\" is the default");
            }
        }
    }
    UpstreamTls { options, sni }
}

/// A sample expression of the request; its text is empty where the sample is undefined.
fn expression(value: &Val<'_>, proxy: &str, cx: &mut Cx<'_>) -> Option<Arc<LogText>> {
    const HEAD: &str = "%[";
    let library = Rc::clone(&cx.library);
    match LogText::compile_id(&format!("{HEAD}{}]", value.text()?), &Env { library: &library, proxy }) {
        Ok(format) => Some(Arc::new(format)),
        Err(errors) => {
            report_after(errors, value, HEAD, cx);
            None
        }
    }
}

/// Versions and algorithms; what is not said is as in `base`.
fn algorithms<'n, 'd: 'n>(find: &dyn Fn(&str) -> Option<&'n Val<'d>>, base: &Policy, cx: &mut Cx<'_>) -> Policy {
    let mut version = |key: &str, default: Version| {
        let Some(value) = find(key) else { return default };
        match Version::parse(value.text().unwrap_or_default()) {
            Ok(version) => version,
            Err(error) => {
                cx.sink.error(codes::BAD_TLS, value.at, error).hint(format!("write `{key} = \"1.2\"` or \"1.3\""));
                default
            }
        }
    };
    let min = version("min-version", base.min);
    let max = version("max-version", base.max);
    let names = |key: &str, base: &Option<Arc<str>>| match find(key) {
        Some(value) => {
            let names: Vec<&str> = value.list().iter().filter_map(Val::text).collect();
            Some(Arc::from(names.join(":"))).filter(|_| !names.is_empty())
        }
        None => base.clone(),
    };
    Policy {
        min,
        max,
        ciphers: names("ciphers", &base.ciphers),
        ciphersuites: names("ciphersuites", &base.ciphersuites),
        curves: names("curves", &base.curves),
        sigalgs: names("sigalgs", &base.sigalgs),
        client_sigalgs: names("client-sigalgs", &base.client_sigalgs),
        prefer_client_ciphers: find("prefer-client-ciphers").and_then(Val::bool).unwrap_or(base.prefer_client_ciphers),
    }
}

/// A certificate by its path, or in files of its own.
fn certificate(value: &Val<'_>, crt_base: &Path, key_base: &Path) -> Option<CertSource> {
    // What begins with @ is no path.
    let join = |base: &Path, text: &str| if text.starts_with('@') { PathBuf::from(text) } else { base.join(text) };
    match &value.data {
        Data::Text(text) => Some(CertSource::new(join(crt_base, text))),
        Data::Table(node) => {
            let path = |key: &str, base: &Path| node.find(key).and_then(Val::text).map(|text| join(base, text));
            Some(CertSource {
                cert: path("cert", crt_base)?,
                key: path("key", key_base),
                ocsp: path("ocsp", crt_base),
                issuer: path("issuer", crt_base),
                sctl: path("sctl", crt_base),
                alias: node.find("alias").and_then(arc),
                ocsp_update: node.find("ocsp-update").and_then(Val::bool),
            })
        }
        _ => None,
    }
}

/// What `@store/name` stands for.
fn stored(source: CertSource, value: &Val<'_>, cx: &mut Cx<'_>) -> Option<CertSource> {
    let Some(name) = source.cert.to_str().filter(|text| text.starts_with('@')) else { return Some(source) };
    let found = cx.tls.stores.find(name).cloned();
    if found.is_none() {
        let hint = did_you_mean(name, names_of(&cx.tls.stores).iter().map(String::as_str));
        cx.sink.error(codes::UNKNOWN_NAME, value.at, format!("no crt-store holds `{name}`")).maybe_hint(
            hint.or_else(|| Some("name it: [crt-store.NAME] load = [{ cert = \"..\", alias = \"..\" }]".to_owned())),
        );
    }
    found
}

fn names_of(stores: &CrtStores) -> Vec<String> {
    let each = stores.0.iter().flat_map(|(store, list)| list.iter().map(move |source| (store, source)));
    each.filter_map(|(store, source)| Some(format!("@{store}/{}", source.alias.as_deref()?))).collect()
}

fn ca(value: &Val<'_>, base: &Path) -> Option<CaSource> {
    Some(match value.text()? {
        "@system-ca" => CaSource::System,
        text => CaSource::File(base.join(text)),
    })
}

fn verify(value: &Val<'_>) -> Verify {
    match value.text() {
        Some("optional") => Verify::Optional,
        Some("required") => Verify::Required,
        _ => Verify::None,
    }
}

fn ignored(value: Option<&Val<'_>>, cx: &mut Cx<'_>) -> IgnoreErrors {
    let mut set = IgnoreErrors::default();
    for value in value.map(Val::list).unwrap_or_default() {
        if let Some(number) = value.int().and_then(|number| u32::try_from(number).ok()) {
            set.insert(number);
        } else if let Some(text) = value.text() {
            match IgnoreErrors::parse(text) {
                Ok(IgnoreErrors::ALL) => set = IgnoreErrors::ALL,
                Ok(named) => (0..128).filter(|number| named.contains(*number)).for_each(|number| set.insert(number)),
                Err(error) => {
                    cx.sink.error(codes::BAD_TLS, value.at, error);
                }
            }
        }
    }
    set
}

/// Protocols by their names; `None` when the key is not given.
pub(super) fn alpn(value: Option<&Val<'_>>, cx: &mut Cx<'_>) -> Option<Vec<Arc<[u8]>>> {
    let value = value?;
    let mut names: Vec<Arc<[u8]>> = Vec::new();
    for value in value.list() {
        // HAProxy's notation: one text with commas.
        for name in value.text().unwrap_or_default().split(',').map(str::trim) {
            // RFC 7301 §3.1.
            if name.is_empty() || name.len() > 255 {
                cx.sink
                    .error(codes::BAD_TLS, value.at, format!("\"{name}\" is not the name of a protocol"))
                    .hint("write alpn = [\"h2\", \"http/1.1\"]");
                continue;
            }
            if ["h1", "http1", "http/2", "http2", "h1.1"].contains(&name.to_ascii_lowercase().as_str()) {
                cx.sink
                    .warn(codes::ODD_ALPN, value.at, format!("no client offers the protocol \"{name}\""))
                    .hint("the names are \"h2\" and \"http/1.1\"");
            }
            if !names.iter().any(|known| **known == *name.as_bytes()) {
                names.push(Arc::from(name.as_bytes()));
            }
        }
    }
    Some(names)
}

/// `proto`.
pub(super) fn proto(value: &Val<'_>) -> Option<Proto> {
    match value.text() {
        Some("h1") => Some(Proto::H1),
        Some("h2") => Some(Proto::H2),
        _ => None,
    }
}

/// `accept-proxy`.
pub(super) fn accept_proxy(value: &Val<'_>, cx: &mut Cx<'_>) -> Option<Arc<AcceptProxy>> {
    if value.bool() == Some(false) {
        return None;
    }
    let mut from: Vec<IpNet> = Vec::new();
    let list = value.list();
    for network in list {
        let Some(text) = network.text() else { continue };
        let single = text.parse().map(|ip: std::net::IpAddr| IpNet::from(ip)).ok();
        match single.or_else(|| text.parse().ok()) {
            Some(network) => from.push(network),
            None => {
                cx.sink
                    .error(codes::BAD_NETWORK, network.at, format!("\"{text}\" is not a network"))
                    .hint("write \"10.0.0.0/8\" or \"10.1.2.3\"");
            }
        }
    }
    if matches!(value.data, Data::List(_)) && list.is_empty() {
        cx.sink
            .error(codes::CONTRADICTION, value.at, "an empty list lets nobody connect")
            .hint("write true for everybody, false for no PROXY header");
    }
    Some(Arc::new(AcceptProxy { from }))
}

/// `send-proxy` and what belongs to it.
pub(super) fn send_proxy<'n, 'd: 'n>(
    find: &dyn Fn(&str) -> Option<&'n Val<'d>>,
    proxy: &str,
    cx: &mut Cx<'_>,
) -> Option<Arc<SendProxy>> {
    let value = find("send-proxy");
    let version = match value.map(|value| &value.data) {
        Some(Data::Bool(true)) => Some(ProxyVersion::V1),
        Some(Data::Text(text)) if text == "v1" => Some(ProxyVersion::V1),
        Some(Data::Text(text)) if text == "v2" => Some(ProxyVersion::V2),
        _ => None,
    };
    let mut options = ProxyOptions::default();
    let given = find("proxy-v2-options");
    for word in given.map(Val::list).unwrap_or_default() {
        match word.text().unwrap_or_default() {
            "ssl" => options.ssl = true,
            "cert-cn" => options.cert_cn = true,
            "ssl-cipher" => options.ssl_cipher = true,
            "cert-sig" => options.cert_sig = true,
            "cert-key" => options.cert_key = true,
            "authority" => options.authority = true,
            "crc32c" => options.crc32c = true,
            "unique-id" => options.unique_id = true,
            _ => {}
        }
    }
    let formats = find("set-proxy-v2-tlv-fmt");
    if let Some(value) = given.or(formats).filter(|_| version == Some(ProxyVersion::V1)) {
        cx.sink
            .error(codes::CONTRADICTION, value.at, "a PROXY header of version 1 has no such fields")
            .hint("write send-proxy = \"v2\"");
    }
    let mut tlvs = Vec::new();
    for entry in formats.and_then(Val::table).map(|node| &node.entries[..]).unwrap_or_default() {
        let number = match entry.name.strip_prefix("0x").or_else(|| entry.name.strip_prefix("0X")) {
            Some(digits) => u8::from_str_radix(digits, 16).ok(),
            None => entry.name.parse().ok(),
        };
        let Some(number) = number else {
            cx.sink
                .error(codes::BAD_TLS, entry.key_at, format!("`{}` is not the type of a field", entry.name))
                .hint("write a number from 0 to 255 or 0x00 to 0xFF; 0xE0 to 0xEF are for private use");
            continue;
        };
        let library = Rc::clone(&cx.library);
        match LogText::compile_id(entry.value.text().unwrap_or_default(), &Env { library: &library, proxy }) {
            Ok(format) => tlvs.push((number, Arc::new(format))),
            Err(errors) => report_after(errors, &entry.value, "", cx),
        }
    }
    Some(Arc::new(SendProxy { version: version?, options, tlvs }))
}
