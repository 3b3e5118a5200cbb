//! TLS, HTTP/2 and the PROXY protocol in the file: what is meant by it, and each mistake with its place.

#![allow(clippy::unwrap_used)]

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::plan::plan;
use evenkeel_config::{
    BindTls, CertSource, CheckKind, Config, LoadOptions, Loaded, Proto, ProxyVersion, ServerTls, Sni, Source,
    UpstreamTls, Ws, load_sources,
};
use evenkeel_tls::options::{CaSource, Verify, Version};

/// The files of the examples under `tls/`, seen from 2027.
const OPTIONS: LoadOptions<'static> = LoadOptions {
    resolve: &|_, port| Ok(SocketAddr::from(([10, 0, 0, 1], port))),
    read: |path| match path.to_str() {
        Some("tls/site.pem" | "tls/site2.pem") => Ok(include_bytes!("../../../examples/tls/site.pem").to_vec()),
        Some("tls/api.crt" | "tls/alone.crt") => Ok(include_bytes!("../../../examples/tls/api.crt").to_vec()),
        Some("tls/api.key") => Ok(include_bytes!("../../../examples/tls/api.key").to_vec()),
        Some("tls/client.pem") => Ok(include_bytes!("../../../examples/tls/client.pem").to_vec()),
        Some("tls/ca.pem") => Ok(include_bytes!("../../../examples/tls/ca.pem").to_vec()),
        Some("tls/crl.pem") => Ok(include_bytes!("../../../examples/tls/crl.pem").to_vec()),
        Some("tls/tickets") => Ok(include_bytes!("../../../examples/tls/tickets").to_vec()),
        Some("tls/crt-list.txt") => Ok(include_bytes!("../../../examples/tls/crt-list.txt").to_vec()),
        Some("tls/empty.pem") => Ok(b"nothing\n".to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    },
    now: || 1_800_000_000,
    ..LoadOptions::closed()
};

const BASES: &str = "[global]\ncrt-base = \"tls\"\nkey-base = \"tls\"\nca-base = \"tls\"\n";

fn load_with(text: &str, opts: &LoadOptions<'_>) -> Loaded {
    load_sources(&[Source { name: Arc::from("a.toml"), text: Arc::from(text) }], opts)
}

fn load(text: &str) -> Loaded {
    load_with(text, &OPTIONS)
}

fn config(text: &str) -> Config {
    let loaded = load(text);
    let rendered = loaded.render(false);
    assert!(loaded.diagnostics.is_empty(), "{rendered}");
    loaded.config.unwrap()
}

/// The `tls` of a bind, with this behind `[global]`.
fn bind(global: &str, tls: &str) -> Arc<BindTls> {
    let text = format!(
        "{BASES}{global}\n[listen.web]\nserver = \"10.0.0.1:80\"\nbind = [{{ address = \":1\", tls = {tls} }}]\n"
    );
    config(&text).frontends[0].binds[0].tls.clone().unwrap()
}

/// The `tls` of a server, with this in front of it in its listen.
fn server(section: &str, tls: &str) -> Arc<UpstreamTls> {
    let text = format!(
        "{BASES}[listen.web]\nbind = \":1\"\n{section}\nserver = [{{ name = \"a\", address = \"10.0.0.1:1\"{tls} }}]\n"
    );
    config(&text).backends[0].servers[0].tls.clone().unwrap()
}

fn names(list: &[Arc<[u8]>]) -> Vec<&str> {
    list.iter().map(|name| std::str::from_utf8(name).unwrap()).collect()
}

#[test]
fn the_short_form_is_a_certificate_with_safe_defaults() {
    let tls = bind("", "\"site.pem\"");
    assert_eq!(tls.certificates, [CertSource::new("tls/site.pem")]);
    assert_eq!(names(&tls.alpn), ["h2", "http/1.1"]);
    assert_eq!((tls.policy.min, tls.policy.max), (Version::Tls12, Version::Tls13));
    assert_eq!((tls.session_cache, tls.session_lifetime), (20_000, Duration::from_secs(300)));
    assert_eq!(tls.client.verify, Verify::None);
    assert!(tls.tickets && !tls.strict_sni && !tls.early_data && !tls.watch && !tls.ocsp_update);
    assert_eq!(&*tls.scope, "web");
}

#[test]
fn everything_of_a_bind_is_read() {
    let tls = bind(
        "tune.ssl = { lifetime = \"1h\", cachesize = 7 }",
        "{ certificate = [\"site.pem\", { cert = \"api.crt\", key = \"api.key\", issuer = \"ca.pem\" }], \
         default-certificate = \"site.pem\", crt-list = \"crt-list.txt\", strict-sni = true, alpn = [\"http/1.1\"], \
         min-version = \"1.3\", ciphersuites = [\"TLS_AES_128_GCM_SHA256\", \"TLS_AES_256_GCM_SHA384\"], \
         curves = \"X25519:P-256\", verify = \"optional\", ca-file = \"ca.pem\", ca-verify-file = \"@system-ca\", \
         crl-file = \"crl.pem\", ca-ignore-err = [10, \"X509_V_ERR_CERT_REVOKED\"], crt-ignore-err = \"all\", \
         no-ca-names = true, ticket-keys = \"tickets\", early-data = true, ocsp-update = true, watch = true }",
    );
    let api = CertSource {
        key: Some(PathBuf::from("tls/api.key")),
        issuer: Some(PathBuf::from("tls/ca.pem")),
        ..CertSource::new("tls/api.crt")
    };
    assert_eq!(tls.certificates, [CertSource::new("tls/site.pem"), api]);
    assert_eq!(tls.default_certificates, [CertSource::new("tls/site.pem")]);
    assert_eq!(tls.crt_list, [PathBuf::from("tls/crt-list.txt")]);
    assert_eq!(names(&tls.alpn), ["http/1.1"]);
    assert_eq!(tls.policy.min, Version::Tls13);
    assert_eq!(tls.policy.ciphersuites.as_deref(), Some("TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"));
    assert_eq!(tls.policy.curves.as_deref(), Some("X25519:P-256"));
    assert_eq!(tls.client.verify, Verify::Optional);
    assert_eq!(tls.client.ca_file, Some(CaSource::File(PathBuf::from("tls/ca.pem"))));
    assert_eq!(tls.client.ca_verify_file, Some(CaSource::System));
    assert!(tls.client.ca_ignore_err.contains(10) && tls.client.ca_ignore_err.contains(23));
    assert!(!tls.client.ca_ignore_err.contains(18) && tls.client.crt_ignore_err.contains(18));
    assert_eq!((tls.session_cache, tls.session_lifetime), (7, Duration::from_secs(3600)));
    assert!(tls.strict_sni && tls.client.no_ca_names && tls.early_data && tls.ocsp_update && tls.watch);
}

#[test]
fn binds_take_what_the_process_says_of_all() {
    let global =
        "ssl-default-bind = { min-version = \"1.3\", strict-sni = true, tickets = false, curves = \"X25519\" }";
    let tls = bind(global, "{ certificate = \"site.pem\", tickets = true, min-version = \"1.2\" }");
    assert!(tls.strict_sni && tls.tickets);
    assert_eq!((tls.policy.min, tls.policy.curves.as_deref()), (Version::Tls12, Some("X25519")));
    assert!(!bind(global, "\"site.pem\"").tickets);
}

#[test]
fn protocols_follow_the_mode_and_proto() {
    for (section, expected) in [("", &["h2", "http/1.1"][..]), ("mode = \"tcp\"", &[])] {
        let text = format!(
            "{BASES}[listen.web]\nserver = \"10.0.0.1:80\"\nbind = [{{ address = \":1\", tls = \"site.pem\" }}]\n{section}\n"
        );
        assert_eq!(names(&config(&text).frontends[0].binds[0].tls.clone().unwrap().alpn), expected);
    }
    for (bind, expected) in [
        ("proto = \"h1\", tls = \"site.pem\"", &["http/1.1"][..]),
        ("proto = \"h2\", tls = \"site.pem\"", &["h2"]),
        ("tls = { certificate = \"site.pem\", alpn = [] }", &[]),
        ("tls = { certificate = \"site.pem\", alpn = \"h2,http/1.1\" }", &["h2", "http/1.1"]),
    ] {
        let text = format!("{BASES}[listen.web]\nserver = \"10.0.0.1:80\"\nbind = [{{ address = \":1\", {bind} }}]\n");
        assert_eq!(names(&config(&text).frontends[0].binds[0].tls.clone().unwrap().alpn), expected, "{bind}");
    }
}

#[test]
fn a_server_is_verified_and_asked_for_the_host() {
    let ca = "default-server = { tls = { ca-file = \"ca.pem\" } }";
    let tls = server(ca, "");
    let options = ServerTls { ca_file: CaSource::File(PathBuf::from("tls/ca.pem")), ..ServerTls::default() };
    assert_eq!((&tls.options, &tls.sni), (&options, &Sni::Host));
    assert_eq!(tls.options.verify, Verify::Required);
    // A table adds to that of default-server, `false` turns it off.
    let own = server(ca, ", tls = { verifyhost = \"app.internal\", sni-auto = false }");
    assert_eq!(own.options.ca_file, options.ca_file);
    assert_eq!((own.options.verifyhost.as_deref(), &own.sni), (Some("app.internal"), &Sni::None));
    let text = format!(
        "{BASES}[listen.web]\nbind = \":1\"\n{ca}\nserver = [{{ name = \"a\", address = \"10.0.0.1:1\", tls = false }}]"
    );
    assert_eq!(config(&text).backends[0].servers[0].tls, None);
    let tls = server(
        "",
        ", proto = \"h2\", tls = { verify = \"none\", sni = \"req.hdr(host),field(1,:)\", certificate = \"client.pem\" }",
    );
    assert_eq!(tls.options.verify, Verify::None);
    assert_eq!(names(&tls.options.alpn), ["h2"]);
    assert_eq!(tls.options.certificate, Some(CertSource::new("tls/client.pem")));
    assert!(matches!(&tls.sni, Sni::Expr(format) if format.text() == "%[req.hdr(host),field(1,:)]"));
    // In tcp mode there is no host.
    assert_eq!(server("mode = \"tcp\"", ", tls = { verify = \"none\" }").sni, Sni::None);
}

#[test]
fn a_store_gives_certificates_names() {
    let text = format!(
        "{BASES}[crt-store.web]\nload = [{{ cert = \"client.pem\", alias = \"me\" }}]\n[listen.web]\n\
         bind = [{{ address = \":1\", tls = \"@web/me\" }}]\n\
         server = [{{ name = \"a\", address = \"10.0.0.1:1\", tls = {{ verify = \"none\", certificate = \"@web/me\" }} }}]\n"
    );
    let config = config(&text);
    let server = config.backends[0].servers[0].tls.clone().unwrap();
    assert_eq!(server.options.certificate.as_ref().unwrap().cert, Path::new("tls/client.pem"));
}

#[test]
fn proxy_headers_checks_and_protocols_are_read() {
    let text = "[listen.web]\nbind = [{ address = \":1\", proto = \"h2\", accept-proxy = [\"10.0.0.0/8\", \"::1\"], \
                idle-ping = \"5s\" }, { address = \":2\", accept-proxy = true }]\n\
                server = [{ name = \"a\", address = \"10.0.0.1:1\", send-proxy = \"v2\", proxy-v2-options = [\"ssl\", \"crc32c\"], \
                set-proxy-v2-tlv-fmt = { 0xE1 = \"%[src]\", 7 = \"x\" }, proto = \"h2\", ws = \"h1\", \
                check = { tls = true, alpn = [\"h2\"], host = \"app:8443\" } }, \
                { name = \"b\", address = \"10.0.0.1:2\", send-proxy = true, tls = { verify = \"none\" }, check = { port = 3, sni = \"x\" } }]\n\
                timeout.handshake = \"3s\"\n";
    let config = config(text);
    let binds = &config.frontends[0].binds;
    assert_eq!((binds[0].proto, binds[0].idle_ping), (Some(Proto::H2), Some(Duration::from_secs(5))));
    assert_eq!(binds[0].accept_proxy.as_ref().unwrap().from.len(), 2);
    assert!(binds[1].accept_proxy.as_ref().unwrap().from.is_empty());
    assert_eq!(config.frontends[0].timeout.handshake, Some(Duration::from_secs(3)));
    let [a, b] = &config.backends[0].servers[..] else { panic!("two servers") };
    let sends = a.send_proxy.as_ref().unwrap();
    assert_eq!((sends.version, sends.options.ssl, sends.options.crc32c), (ProxyVersion::V2, true, true));
    assert!(!sends.options.authority && !sends.options.cert_cn);
    assert_eq!(
        sends.tlvs.iter().map(|(kind, format)| (*kind, format.text())).collect::<Vec<_>>(),
        [(0xE1, "%[src]"), (7, "x")]
    );
    assert_eq!((a.proto, a.ws), (Some(Proto::H2), Ws::H1));
    assert_eq!(b.send_proxy.as_ref().unwrap().version, ProxyVersion::V1);
    // A check elsewhere takes nothing over.
    let check = a.check.as_ref().unwrap();
    assert_eq!((check.has_tls(a), check.sends_proxy(a), check.server_name()), (true, true, Some("app")));
    // Its own protocols to offer leave it to the answer.
    assert_eq!((check.speaks(a), a.proto), (None, Some(Proto::H2)));
    let check = b.check.as_ref().unwrap();
    assert_eq!((check.has_tls(b), check.sends_proxy(b), check.server_name()), (false, false, Some("x")));
}

#[test]
fn a_check_may_have_tls_where_traffic_has_none_and_ask_over_grpc() {
    let text = "[listen.web]\nbind = \":1\"\n\
                default-server.tls = { verify = \"none\" }\n\
                server = [{ name = \"a\", address = \"10.0.0.1:1\", tls = false, proto = \"h2\", check = { tls = true, type = \"grpc\", service = \"x.Y\" } }, \
                { name = \"b\", address = \"10.0.0.1:2\", tls = false, check = { port = 3, proto = \"h1\" } }, \
                { name = \"c\", address = \"10.0.0.1:3\", check = { host = \"[::1]:80\" } }]\n";
    let loaded = load(text);
    let (config, tls) = (loaded.config.unwrap(), loaded.tls);
    let [a, b, c] = &config.backends[0].servers[..] else { panic!("three servers") };
    assert!(a.tls.is_none() && b.tls.is_none() && c.tls.is_some());
    let built = |name| tls.connector("web", name).is_some();
    assert_eq!((built("a"), built("b"), built("c")), (true, false, true));
    let check = a.check.as_ref().unwrap();
    assert_eq!((check.speaks(a), check.server_name()), (Some(Proto::H2), None));
    let CheckKind::Grpc(grpc) = &check.kind else { panic!("{check:?}") };
    assert_eq!((&*grpc.service, &grpc.host), ("x.Y", &None));
    assert_eq!(b.check.as_ref().unwrap().speaks(b), Some(Proto::H1));
    assert_eq!(c.check.as_ref().unwrap().server_name(), Some("[::1]"));
}

/// The code, the text under the caret, and what is put into a listen named `web`.
const CASES: &[(&str, &str, &str)] = &[
    ("EK0228", "{}", "bind = [{ address = \":1\", tls = {} }]"),
    ("EK0228", "\"1.1\"", "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", min-version = \"1.1\" } }]"),
    (
        "EK0228",
        "\"required\"",
        "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", verify = \"required\" } }]",
    ),
    ("EK0228", "\"h2,,x\"", "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", alpn = [\"h2,,x\"] } }]"),
    (
        "EK0228",
        "[\"AES\"]",
        "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", ciphersuites = [\"AES\"] } }]",
    ),
    (
        "EK0228",
        "\"late\"",
        "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", verify = \"optional\", ca-file = \"ca.pem\", crt-ignore-err = \"late\" } }]",
    ),
    (
        "EK0228",
        "0x1FF",
        "server = [{ name = \"a\", address = \"10.0.0.1:1\", send-proxy = \"v2\", set-proxy-v2-tlv-fmt = { 0x1FF = \"x\" } }]",
    ),
    (
        "EK0131",
        "service",
        "server = [{ name = \"a\", address = \"10.0.0.1:1\", check = { type = \"http\", service = \"x\" } }]",
    ),
    (
        "EK0131",
        "service",
        "server = [{ name = \"a\", address = \"10.0.0.1:1\", check = { type = \"tcp\", service = \"x\" } }]",
    ),
    (
        "EK0131",
        "uri",
        "server = [{ name = \"a\", address = \"10.0.0.1:1\", check = { service = \"x\", uri = \"/\" } }]",
    ),
    (
        "EK0131",
        "\"h1\"",
        "server = [{ name = \"a\", address = \"10.0.0.1:1\", check = { type = \"grpc\", proto = \"h1\" } }]",
    ),
    ("EK0229", "\"none.pem\"", "bind = [{ address = \":1\", tls = \"none.pem\" }]"),
    ("EK0229", "\"alone.crt\"", "bind = [{ address = \":1\", tls = { certificate = [\"site.pem\", \"alone.crt\"] } }]"),
    (
        "EK0229",
        "\"empty.pem\"",
        "server = [{ name = \"a\", address = \"10.0.0.1:1\", tls = { ca-file = \"empty.pem\" } }]",
    ),
    (
        "EK0229",
        "\"empty.pem\"",
        "default-server.tls = { ca-file = \"empty.pem\" }\nserver = [\"10.0.0.1:1\", \"10.0.0.1:2\"]",
    ),
    (
        "EK0222",
        "\"@web/me\"",
        "server = [{ name = \"a\", address = \"10.0.0.1:1\", tls = { verify = \"none\", certificate = \"@web/me\" } }]",
    ),
    ("EK0243", "\"http2\"", "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", alpn = [\"http2\"] } }]"),
    ("EK0242", "ca-file", "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", ca-file = \"ca.pem\" } }]"),
    (
        "EK0242",
        "\"app\"",
        "server = [{ name = \"a\", address = \"10.0.0.1:1\", tls = { verify = \"none\", verifyhost = \"app\" } }]",
    ),
    (
        "EK0228",
        "\"1.3\"",
        "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", min-version = \"1.3\", max-version = \"1.2\" } }]",
    ),
    (
        "EK0131",
        "\"tickets\"",
        "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", tickets = false, ticket-keys = \"tickets\" } }]",
    ),
    ("EK0131", "[]", "bind = [{ address = \":1\", accept-proxy = [] }]"),
    (
        "EK0131",
        "[\"ssl\"]",
        "server = [{ name = \"a\", address = \"10.0.0.1:1\", send-proxy = \"v1\", proxy-v2-options = [\"ssl\"] }]",
    ),
    ("EK0114", "crt", "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", crt = \"a.pem\" } }]"),
    ("EK0114", "ssl", "bind = [{ address = \":1\", ssl = true }]"),
    ("EK0114", "sni", "server = [{ name = \"a\", address = \"10.0.0.1:1\", sni = \"req.hdr(host)\" }]"),
    ("EK0114", "client-hs", "timeout.client-hs = \"1s\""),
    ("EK0110", "cypher", "bind = [{ address = \":1\", tls = { certificate = \"site.pem\", cypher = \"a.pem\" } }]"),
    ("EK0125", "\"h4\"", "bind = [{ address = \":1\", proto = \"h4\" }]"),
    ("EK0112", "\"h3\"", "bind = [{ address = \":1\", proto = \"h3\" }]"),
    ("EK0217", "\"10.0.0.0/33\"", "bind = [{ address = \":1\", accept-proxy = [\"10.0.0.0/33\"] }]"),
    (
        "EK0302",
        "req.hdrr",
        "server = [{ name = \"a\", address = \"10.0.0.1:1\", tls = { verify = \"none\", sni = \"req.hdrr(host)\" } }]",
    ),
];

#[test]
fn each_mistake_is_told_once_and_in_its_place() {
    let mut failures = String::new();
    for (code, caret, text) in CASES {
        let rest =
            ["bind", "server"].into_iter().filter(|key| !text.lines().any(|line| line.starts_with(&format!("{key} "))));
        let rest: Vec<&str> =
            rest.map(|key| if key == "bind" { "bind = \":9\"" } else { "server = \"10.0.0.9:1\"" }).collect();
        let text = format!("{BASES}[listen.web]\n{text}\n{}\n", rest.join("\n"));
        let loaded = load(&text);
        let found: Vec<(&str, &str)> = loaded.diagnostics.iter().map(|d| (d.code, &text[d.span.clone()])).collect();
        if found != [(*code, *caret)] {
            failures.push_str(&format!("--- wanted {code} at {caret}\n{text}\n{}\n", loaded.render(false)));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn defaults_of_all_are_told_where_they_stand() {
    let text = format!(
        "{BASES}ssl-default-bind = {{ curves = \"P-1\" }}\n[listen.web]\nserver = \"10.0.0.1:80\"\n\
         bind = [{{ address = \":1\", tls = \"site.pem\" }}, {{ address = \":2\", tls = \"site.pem\" }}]\n"
    );
    let loaded = load(&text);
    let found: Vec<(&str, &str)> = loaded.diagnostics.iter().map(|d| (d.code, &text[d.span.clone()])).collect();
    assert_eq!(found, [("EK0228", "\"P-1\"")], "{}", loaded.render(false));
}

#[test]
fn a_certificate_out_of_its_dates_is_a_warning() {
    let text =
        format!("{BASES}[listen.web]\nserver = \"10.0.0.1:80\"\nbind = [{{ address = \":1\", tls = \"site.pem\" }}]\n");
    let loaded = load_with(&text, &LoadOptions { now: || 6_000_000_000, ..OPTIONS });
    assert!(loaded.config.is_some());
    assert_eq!(loaded.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), ["EK0244"], "{}", loaded.render(false));
}

#[test]
fn what_is_built_is_found_and_survives_a_reload() {
    let text = format!(
        "{BASES}[listen.web]\nbind = [\":80\", {{ address = \":1-3\", tls = \"site.pem\" }}, {{ address = \":5\", tls = \"site2.pem\" }}]\n\
         default-server.tls.ca-file = \"ca.pem\"\n\
         server = [{{ name = \"a\", address = \"10.0.0.1:1\" }}, {{ name = \"b\", address = \"10.0.0.1:2\" }}, \
         {{ name = \"c\", address = \"10.0.0.1:3\", tls = false }}]\n"
    );
    let first = load(&text);
    let tls = &first.tls;
    assert!(first.config.is_some(), "{}", first.render(false));
    assert!(
        tls.terminator("web", 0).is_none() && tls.terminator("web", 5).is_none() && tls.terminator("x", 1).is_none()
    );
    let one = tls.terminator("web", 1).unwrap();
    assert!(Arc::ptr_eq(one, tls.terminator("web", 3).unwrap()));
    assert!(!Arc::ptr_eq(one, tls.terminator("web", 4).unwrap()));
    assert_eq!(tls.terminators().count(), 2);
    let (a, b) = (tls.connector("web", "a").unwrap(), tls.connector("web", "b").unwrap());
    assert!(!Arc::ptr_eq(a, b) && a.is_like(b));
    assert!(tls.connector("web", "c").is_none());
    let again = load_with(&text, &LoadOptions { previous_tls: Some(tls), ..OPTIONS });
    assert!(Arc::ptr_eq(a, again.tls.connector("web", "a").unwrap()));
    assert!(Arc::ptr_eq(b, again.tls.connector("web", "b").unwrap()));
    assert!(Arc::ptr_eq(tls.shared().unwrap(), again.tls.shared().unwrap()));
    let served = |tls: &evenkeel_config::Tls| tls.terminator("web", 1).unwrap().certificates().remove(0);
    assert!(Arc::ptr_eq(&served(tls), &served(&again.tls)));
}

#[test]
fn a_plan_names_what_changed() {
    let text = |tls: &str, server: &str| {
        let text = format!(
            "{BASES}[listen.web]\nbind = [{{ address = \":1\", tls = {tls} }}]\n\
             server = [{{ name = \"a\", address = \"10.0.0.1:1\", {server} }}]\n"
        );
        load(&text).config.unwrap()
    };
    let old = text("\"site.pem\"", "ws = \"auto\"");
    assert!(plan(&old, &text("\"site.pem\"", "ws = \"auto\"")).is_empty());
    let plan = plan(&old, &text("\"site2.pem\"", "tls = { verify = \"none\" }, proto = \"h2\""));
    let changed = |diff: &evenkeel_config::plan::Diff| -> Vec<&str> {
        diff.changed.iter().flat_map(|changed| changed.what.iter().map(|change| change.key)).collect()
    };
    assert_eq!((changed(&plan.binds), changed(&plan.servers)), (vec!["tls"], vec!["tls", "proto"]));
}
