//! Every code has a file that triggers it, with the exact bytes the caret stands under.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use evenkeel_config::{CODES, LoadOptions, Loaded, Severity, Source, load_sources, load_with};

/// One name resolves, two variables are set.
const OPTIONS: LoadOptions<'static> = LoadOptions {
    env: &|name| match name {
        "PORT" => Some("8080".to_owned()),
        "WORD" => Some("word".to_owned()),
        _ => None,
    },
    resolve: &|host, port| match host {
        "app.internal" => Ok(SocketAddr::from(([10, 0, 0, 1], port))),
        _ => Err("no such name".to_owned()),
    },
    read: |path| match path.to_str() {
        Some("busy.http") => Ok(b"HTTP/1.1 503 Busy\nContent-Type: text/plain\n\nbusy\n".to_vec()),
        Some("page.html") => Ok(b"<h1>busy</h1>\n".to_vec()),
        _ => Err(std::io::Error::new(std::io::ErrorKind::NotFound, "no such file")),
    },
    notes: true,
    ..LoadOptions::closed()
};

fn load(text: &str) -> Loaded {
    load_sources(&[Source { name: Arc::from("a.toml"), text: Arc::from(text) }], &OPTIONS)
}

/// `(code, text under the caret)` of everything found.
fn found(loaded: &Loaded) -> Vec<(&str, &str)> {
    let carets = loaded.diagnostics.iter().map(|d| {
        let source = loaded.sources.iter().find(|s| s.name == d.file).unwrap();
        (d.code, &source.text[d.span.clone()])
    });
    carets.collect()
}

/// A listen that is whole, for mistakes that stand elsewhere.
const WEB: &str = "[listen.web]\nbind = [\":80\"]\nserver = [\"10.0.0.1:80\"]\n";

/// The code, the text under the caret, and a file with this one mistake; `WEB` is put in front of those without a bind.
const CASES: &[(&str, &str, &str)] = &[
    ("EK0103", "include", "include = [\"x.toml\"]"),
    ("EK0105", "${NO_SUCH}", "[global]\nlog-tag = \"a${NO_SUCH}b\""),
    ("EK0105", "\"\\u0061${NO_SUCH}\"", "[global]\nlog-tag = \"\\u0061${NO_SUCH}\""),
    ("EK0106", "${1}", "[global]\nlog-tag = '${1}'"),
    ("EK0110", "thread", "[global]\nthread = 1"),
    ("EK0110", "clint", "[defaults]\ntimeout.clint = \"1s\""),
    ("EK0110", "timeot", "[defaults.timeot]\nclient = \"1s\""),
    ("EK0110", "wait", "[backend.b]\nserver = [{ name = \"a\", address = \"10.0.0.1:1\", wait = 1 }]"),
    ("EK0111", "frontends", "[frontends.web]\nmode = \"http\""),
    ("EK0111", "maxconn", "maxconn = 10"),
    ("EK0112", "peers", "[peers.mine]\npeer = \"a\""),
    ("EK0112", "resolve", "[resolvers.dns]\nnameserver = \"10.0.0.53\"\ntimeout.resolve = \"1s\""),
    ("EK0114", "resolve_retries", "[resolvers.dns]\nnameserver = \"10.0.0.53\"\nresolve_retries = 2"),
    ("EK0128", "dns", "[resolvers.dns]\nhold.valid = \"1s\""),
    ("EK0227", "true", "[resolvers.dns]\nparse-resolv-conf = true"),
    (
        "EK0131",
        "{ name = \"a\", address = \"0.0.0.0:0\", check = { port = 80 } }",
        "[backend.b]\nserver = [{ name = \"a\", address = \"0.0.0.0:0\", check = { port = 80 } }]",
    ),
    ("EK0211", "\"0.0.0.0:3000\"", "[backend.b]\nserver = [\"0.0.0.0:3000\"]"),
    ("EK0211", "\":0\"", "[backend.b]\nserver = [\":0\"]"),
    (
        "EK0226",
        "\"there\"",
        "[[test]]\nrequest = { url = \"/\" }\ngiven.resolve = { a = \"there\" }\nexpect.status = 200",
    ),
    ("EK0226", "\"192.0.2.1\"", "[[test]]\nrequest = { url = \"/\" }\nexpect.destination = \"192.0.2.1\""),
    ("EK0245", "\"dns1:53\"", "[resolvers.dns]\nnameserver = [\"10.0.0.53\", \"dns1:53\"]"),
    (
        "EK0245",
        "\"10.0.0.53\"",
        "[resolvers.dns]\nnameserver = [{ name = \"10.0.0.53\", address = \"10.0.0.5\" }, \"10.0.0.53\"]",
    ),
    (
        "EK0312",
        "do-resolve(txn.a,dsn)",
        "[resolvers.dns]\nnameserver = \"10.0.0.53\"\n[backend.b]\nserver = \"10.0.0.1:80\"\nhttp-request = [\"do-resolve(txn.a,dsn) req.hdr(host)\"]",
    ),
    ("EK0112", "cookie", "[backend.b]\nserver = [\"10.0.0.1:80\"]\ncookie = { name = \"S\" }"),
    ("EK0112", "\"uri whole\"", "[backend.b]\nserver = [\"10.0.0.1:80\"]\nbalance = \"uri whole\""),
    ("EK0112", "\"pgsql\"", "[backend.b]\nserver = [\"10.0.0.1:80\"]\ncheck = { type = \"pgsql\" }"),
    ("EK0113", "server", "[frontend.f]\nbind = [\":1\"]\ndefault_backend = \"web\"\nserver = [\"10.0.0.1:80\"]"),
    ("EK0113", "connect", "[frontend.f]\nbind = [\":1\"]\ndefault_backend = \"web\"\ntimeout.connect = \"1s\""),
    ("EK0113", "acl", "[defaults]\nacl.a = \"path /\""),
    ("EK0114", "nbthread", "[global]\nnbthread = 4"),
    ("EK0114", "inter", "[defaults]\ncheck.inter = \"2s\""),
    ("EK0120", "\"200\"", "[global]\nmaxconn = \"200\""),
    ("EK0120", "[1]", "[defaults]\nmode = [1]"),
    ("EK0120", "1", "[backend.b]\nserver = [1]"),
    ("EK0120", "server", "[backend.b]\nserver.a = \"10.0.0.1:80\""),
    ("EK0120", "server", "[backend.b.server.a]\naddress = \"10.0.0.1:80\""),
    ("EK0120", "\"${WORD}\"", "[global]\nmaxconn = \"${WORD}\""),
    ("EK0120", "bind", "[listen]\nbind = [\":80\"]"),
    ("EK0120", "1", "global = 1"),
    ("EK0121", "30", "[defaults]\ntimeout.client = 30"),
    ("EK0121", "\"30\"", "[defaults]\ntimeout.client = \"30\""),
    ("EK0121", "65536", "[global]\ntune.log-buffer = 65536"),
    ("EK0122", "\"1.5s\"", "[defaults]\ntimeout.client = \"1.5s\""),
    ("EK0123", "\"16 k\"", "[global]\ntune.bufsize = \"16 k\""),
    ("EK0123", "\"48k\"", "[global]\ntune.bulk-bufsize = \"48k\""),
    ("EK0124", "257", "[backend.b]\nserver = [{ name = \"a\", address = \"10.0.0.1:1\", weight = 257 }]"),
    ("EK0124", "-1", "[global]\nmaxconn = -1"),
    ("EK0124", "99999999999999999999", "[global]\nmaxconn = 99999999999999999999"),
    ("EK0124", "\"30d\"", "[defaults]\ntimeout.client = \"30d\""),
    ("EK0124", "\"0s\"", "[defaults]\ncheck.interval = \"0s\""),
    ("EK0124", "51", "[defaults]\ncheck.jitter = 51"),
    ("EK0124", ":1-20000", "[listen.b]\nbind = \":1-20000\"\nserver = [\"10.0.0.1:80\"]\ndisabled = true"),
    ("EK0124", "\"404 4x4\"", "[global]\nhttp-err-codes = \"404 4x4\""),
    ("EK0124", "\"-99\"", "[global]\nhttp-fail-codes = \"-99\""),
    ("EK0125", "\"htpp\"", "[defaults]\nmode = \"htpp\""),
    ("EK0125", "\"loca0\"", "[global]\nlog = { target = \"stdout\", facility = \"loca0\" }"),
    ("EK0126", "\"\"", "[global]\nlog-tag = \"\""),
    ("EK0126", "\"a\\nb\"", "[global]\nlog-tag = \"a\\nb\""),
    ("EK0126", "\"a b\"", "[global]\nlog-send-hostname = \"a b\""),
    ("EK0127", "\"my app\"", "[backend.\"my app\"]\nserver = [\"10.0.0.1:80\"]"),
    ("EK0127", "\"a b\"", "[backend.b]\nserver = [{ name = \"a b\", address = \"10.0.0.1:1\" }]"),
    ("EK0128", "{ name = \"a\" }", "[backend.b]\nserver = [{ name = \"a\" }]"),
    ("EK0128", "{ refresh = \"1s\" }", "[global]\nadmin = { refresh = \"1s\" }"),
    ("EK0129", "660", "[listen.b]\nbind = { address = \"/run/x\", mode = 660 }\nserver = [\"10.0.0.1:80\"]"),
    ("EK0131", "uri", "[defaults]\ncheck = { type = \"tcp\", uri = \"/\" }"),
    ("EK0201", "web", "[backend.web]\nserver = [\"10.0.0.1:80\"]"),
    (
        "EK0202",
        "\"a\"",
        "[backend.b]\nserver = [{ name = \"a\", address = \"10.0.0.1:1\" }, { name = \"a\", address = \"10.0.0.2:1\" }]",
    ),
    ("EK0203", "*:80", "[listen.b]\nbind = [\":81,*:80\"]\nserver = [\"10.0.0.1:80\"]"),
    ("EK0204", "\"wbe\"", "[frontend.f]\nbind = [\":1\"]\ndefault_backend = \"wbe\""),
    ("EK0204", "ap", "[frontend.f]\nbind = [\":1\"]\nuse_backend = [\"ap if { path / }\"]"),
    ("EK0205", "\"api\"", "[backend.b]\nfrom = \"api\"\nserver = [\"10.0.0.1:80\"]"),
    (
        "EK0206",
        "\"t\"",
        "[backend.t]\nmode = \"tcp\"\nserver = [\"10.0.0.1:80\"]\n[frontend.f]\nbind = [\":1\"]\ndefault_backend = \"t\"",
    ),
    ("EK0207", "\"x\"", "[defaults.x]\nfrom = \"x\"\n[backend.b]\nfrom = \"x\"\nserver = [\"10.0.0.1:80\"]"),
    (
        "EK0209",
        "http-response",
        "[defaults.x]\nhttp-response = [\"del-header a\"]\n[backend.b]\nfrom = \"x\"\nserver = [\"10.0.0.1:80\"]\n[listen.l]\nfrom = \"x\"\nbind = [\":1\"]\nserver = [\"10.0.0.1:80\"]",
    ),
    ("EK0242", "\"proc.a src\"", "[global]\nset-var = [\"proc.b int(1)\", \"proc.a src\"]"),
    (
        "EK0242",
        "64",
        "[listen.l]\nbind = [\":1\"]\nserver = [\"10.0.0.1:80\"]\ncapture.cookie = { name = \"a\", len = 64 }",
    ),
    ("EK0302", "intt", "[global]\nset-var = \"proc.b intt(1)\""),
    ("EK0113", "http-request", "[defaults]\nhttp-request = [\"deny\"]"),
    ("EK0208", "http-request", "[backend.b]\nmode = \"tcp\"\nserver = [\"10.0.0.1:80\"]\nhttp-request = [\"deny\"]"),
    (
        "EK0208",
        "path_beg",
        "[listen.b]\nmode = \"tcp\"\nbind = \":1\"\nserver = [\"10.0.0.1:80\"]\nacl.a = \"src 10.0.0.1\"\nuse_backend = [\"b if a or { path_beg /x }\"]",
    ),
    (
        "EK0113",
        "switch-mode",
        "[backend.b]\nmode = \"tcp\"\nserver = [\"10.0.0.1:80\"]\ntcp-request.content = [\"switch-mode http\"]",
    ),
    ("EK0210", "80", "[listen.b]\nbind = [\"80\"]\nserver = [\"10.0.0.1:80\"]"),
    ("EK0210", "[::1:1", "[listen.b]\nbind = [\":1, [::1:1\"]\nserver = [\"10.0.0.1:80\"]"),
    ("EK0210", "\"/x\"", "[global]\nadmin = \"/x\""),
    ("EK0211", "\"10.0.0.1\"", "[backend.b]\nserver = [\"10.0.0.1\"]"),
    ("EK0211", "\":80\"", "[backend.b]\nserver = [\":80\"]"),
    ("EK0211", "\"x\"", "[defaults]\ncheck.addr = \"x\"\n[backend.b]\nserver = [\"10.0.0.1:80\"]"),
    ("EK0212", "\"nowhere:80\"", "[backend.b]\nserver = [\"app.internal:80\", \"nowhere:80\"]"),
    ("EK0213", "\"rondrobin\"", "[backend.b]\nserver = [\"10.0.0.1:80\"]\nbalance = \"rondrobin\""),
    ("EK0213", "\"random(0)\"", "[backend.b]\nserver = [\"10.0.0.1:80\"]\nbalance = \"random(0)\""),
    ("EK0214", "statsu", "[backend.b]\nserver = [\"10.0.0.1:80\"]\ncheck.expect = \"! statsu 200\""),
    ("EK0214", "20", "[backend.b]\nserver = [\"10.0.0.1:80\"]\ncheck.expect = [\"status 200\", \"status 200,20\"]"),
    ("EK0214", "valu", "[backend.b]\nserver = [\"10.0.0.1:80\"]\ncheck.expect = \"hdr name x valu y\""),
    ("EK0214", "end", "[backend.b]\nserver = [\"10.0.0.1:80\"]\ncheck.expect = \"hdr x value -m end y\""),
    ("EK0215", "(a", "[backend.b]\nserver = [\"10.0.0.1:80\"]\ncheck.expect = 'rstring (a'"),
    ("EK0216", "\"stdot\"", "[global]\nlog = \"stdot\""),
    ("EK0216", "\"global\"", "[global]\nlog = [\"global\"]"),
    ("EK0250", "\"0:3\"", "[global]\nlog = { target = \"stdout\", sample = \"0:3\" }"),
    ("EK0250", "\"2-4:3\"", "[global]\nlog = { target = \"stdout\", sample = \"2-4:3\" }"),
    ("EK0250", "\"3\"", "[global]\nlog = { target = \"stdout\", sample = \"3\" }"),
    ("EK0216", "true", "[defaults]\nlog = true"),
    ("EK0216", "\"tcp:601\"", "[global]\nlog = \"tcp:601\""),
    ("EK0216", "\"lf\"", "[global]\nlog = { target = \"udp:10.0.0.5\", framing = \"lf\" }"),
    ("EK0217", "\"10.0.0.0/33\"", "[defaults]\noption.forwardfor = { except = \"10.0.0.0/33\" }"),
    ("EK0218", "\"X Y\"", "[defaults]\noption.forwardfor = { header = \"X Y\" }"),
    ("EK0218", "\"x y\"", "[defaults]\ncheck = { uri = \"x y\" }"),
    ("EK0219", "\"drain\"", "[backend.b]\nserver = [\"10.0.0.1:80\"]\non-remove = \"drain\""),
    ("EK0220", "\"eth0\"", "[backend.b]\nserver = [\"10.0.0.1:80\"]\nsource = \"eth0\""),
    ("EK0230", "f", "[frontend.f]\ndefault_backend = \"web\""),
    ("EK0231", "b", "[backend.b]\nserver = []"),
    ("EK0232", "f", "[frontend.f]\nbind = [\":1\"]"),
    ("EK0233", "a", "[backend.b]\nserver = [\"10.0.0.1:80\"]\nacl.a = \"path /\""),
    ("EK0235", "x", "[defaults.x]\nmode = \"tcp\""),
    ("EK0236", "http-reuse", "[backend.b]\nmode = \"tcp\"\nserver = [\"10.0.0.1:80\"]\nhttp-reuse = \"safe\""),
    ("EK0236", "forwardfor", "[backend.b]\nmode = \"tcp\"\nserver = [\"10.0.0.1:80\"]\noption.forwardfor = true"),
    (
        "EK0236",
        "\"http\"",
        "[listen.b]\nmode = \"tcp\"\nbind = \":1\"\nserver = [\"10.0.0.1:80\"]\nlog-format = \"http\"",
    ),
    ("EK0237", "b", "[backend.b]\nserver = [\"10.0.0.1:80\"]\ndefault-server.weight = 0"),
    (
        "EK0238",
        "\"set-header a b\"",
        "[backend.b]\nserver = [\"10.0.0.1:80\"]\nhttp-request = [\"deny if { path / }\", \"deny\", \"set-header a b\"]",
    ),
    (
        "EK0238",
        "\"b if { path / }\"",
        "[backend.b]\nserver = [\"10.0.0.1:80\"]\n[frontend.f]\nbind = \":1\"\nuse_backend = [\"b\", \"b if { path / }\"]",
    ),
    (
        "EK0239",
        "\"allow if { path /a/b }\"",
        "http-request = [\"deny if { path_beg /a/ }\", \"allow if { path /a/b }\"]",
    ),
    ("EK0240", "\"deny if METH_POST METH_PUT\"", "http-request = [\"deny if METH_POST METH_PUT\"]"),
    ("EK0241", "\"allow if METH_GET\"", "http-request = [\"deny if { path_beg /a/ }\", \"allow if METH_GET\"]"),
    (
        "EK0302",
        "pth_beg",
        "[backend.b]\nserver = [\"10.0.0.1:80\"]\nhttp-request = [\"deny if a\"]\nacl.a = \"pth_beg /x\"",
    ),
    ("EK0309", "apii", "[backend.b]\nserver = [\"10.0.0.1:80\"]\nhttp-request = [\"deny if { path / } apii\"]"),
    (
        "EK0221",
        "s2",
        "[backend.b]\nserver = [{ name = \"s1\", address = \"10.0.0.1:80\" }]\nuse-server = [\"s2 if { path / }\"]",
    ),
    (
        "EK0221",
        "\"s2\"",
        "[backend.b]\nserver = [{ name = \"s1\", address = \"10.0.0.1:80\" }]\n[[test]]\nrequest = { url = \"/a\", frontend = \"web\" }\nexpect = { backend = \"b\", server = \"s2\" }",
    ),
    (
        "EK0221",
        "\"b/s2\"",
        "[backend.b]\nserver = [{ name = \"s1\", address = \"10.0.0.1:80\" }]\n[[test]]\nrequest = { url = \"/a\", frontend = \"web\" }\ngiven.servers = { \"b/s2\" = \"down\" }\nexpect.status = 200",
    ),
    ("EK0204", "\"c\"", "[[test]]\nrequest = { url = \"/a\", frontend = \"web\" }\nexpect.backend = \"c\""),
    ("EK0222", "\"sites\"", "errorfiles = [\"sites\"]\n[http-errors.site]\nerrorfile = { 503 = \"busy.http\" }"),
    (
        "EK0222",
        "502",
        "errorfiles = [{ name = \"site\", codes = [503, 502] }]\n[http-errors.site]\nerrorfile = { 503 = \"busy.http\" }",
    ),
    ("EK0222", "\"x\"", "[[test]]\nrequest = { url = \"/a\", frontend = \"x\" }\nexpect.status = 200"),
    (
        "EK0222",
        "\"limit\"",
        "stick-table = { type = \"ip\", size = 5 }\n[[test]]\nrequest = { url = \"/a\", frontend = \"web\" }\ngiven.tables = [{ table = \"limit\", key = \"a\" }]\nexpect.status = 200",
    ),
    (
        "EK0222",
        "\"bob\"",
        "[userlist.u]\nuser = [{ name = \"ann\", insecure-password = \"x\" }]\ngroup = [{ name = \"g\", users = [\"ann\", \"bob\"] }]",
    ),
    (
        "EK0223",
        "\"http_req_rate\"",
        "stick-table = { type = \"ip\", size = \"1k\", store = [\"conn_cur\", \"http_req_rate\"] }",
    ),
    (
        "EK0223",
        "[\"gpc0\", \"gpc(2)\"]",
        "stick-table = { type = \"ip\", size = \"1k\", store = [\"gpc0\", \"gpc(2)\"] }",
    ),
    ("EK0223", "5", "stick-table = { type = \"ip\", len = 5, size = \"1k\" }"),
    ("EK0123", "\"many\"", "stick-table = { type = \"ip\", size = \"many\" }"),
    ("EK0124", "0", "stick-table = { type = \"ip\", size = 0 }"),
    ("EK0125", "\"text\"", "stick-table = { type = \"text\", size = 5 }"),
    ("EK0128", "{ type = \"ip\" }", "stick-table = { type = \"ip\" }"),
    ("EK0224", "299", "errorfile = { 299 = \"busy.http\" }"),
    ("EK0224", "\"page.html\"", "errorfile = { 503 = \"page.html\" }"),
    (
        "EK0224",
        "\"https://b.example/\"",
        "errorfile = { 503 = \"busy.http\" }\nerrorloc303 = { 503 = \"https://b.example/\" }",
    ),
    ("EK0224", "\"a b\"", "errorloc = { 503 = \"a b\" }"),
    ("EK0225", "\"hunter2\"", "[userlist.u]\nuser = [{ name = \"ann\", password = \"hunter2\" }]"),
    ("EK0225", "\"y\"", "[userlist.u]\nuser = [{ name = \"ann\", password = \"$5$x$y\", insecure-password = \"y\" }]"),
    ("EK0225", "{ name = \"ann\" }", "[userlist.u]\nuser = [{ name = \"ann\" }]"),
    ("EK0226", "\"www.example.com\"", "[[test]]\nrequest = { url = \"www.example.com\" }\nexpect.status = 200"),
    ("EK0226", "\"here\"", "[[test]]\nrequest = { url = \"/\", src = \"here\" }\nexpect.status = 200"),
    (
        "EK0226",
        "{ version = \"TLSv1.2\" }",
        "[[test]]\nrequest = { url = \"/\", tls = { version = \"TLSv1.2\" } }\nexpect.status = 200",
    ),
    (
        "EK0226",
        "{ version = \"TLSv1.3\", cipher = \"ECDHE-RSA-AES128-GCM-SHA256\" }",
        "[[test]]\nrequest = { url = \"https://a/\", tls = { version = \"TLSv1.3\", cipher = \"ECDHE-RSA-AES128-GCM-SHA256\" } }\nexpect.status = 200",
    ),
    (
        "EK0226",
        "\"CN=x\"",
        "[[test]]\nrequest = { url = \"https://a/\", client-cert = { s-dn = \"CN=x\", serial = \"0A\" } }\nexpect.status = 200",
    ),
    (
        "EK0226",
        "\"0A1\"",
        "[[test]]\nrequest = { url = \"https://a/\", client-cert = { sha1 = \"0A1\" } }\nexpect.status = 200",
    ),
    ("EK0226", "\"now\"", "[[test]]\nrequest = { url = \"/\", time = \"now\" }\nexpect.status = 200"),
    ("EK0226", "app1", "[[test]]\nrequest = { url = \"/\" }\ngiven.servers = { app1 = \"down\" }\nexpect.status = 200"),
    ("EK0226", "user", "[[test]]\nrequest = { url = \"/\" }\ngiven.vars = { user = \"x\" }\nexpect.status = 200"),
    (
        "EK0226",
        "gpc0",
        "stick-table = { type = \"ip\", size = 5, store = [\"conn_cur\"] }\n[[test]]\nrequest = { url = \"/\" }\ngiven.tables = [{ table = \"web\", key = \"a\", data = { conn_cur = 1, gpc0 = 1 } }]\nexpect.status = 200",
    ),
    (
        "EK0226",
        "\"gpc(2)\"",
        "stick-table = { type = \"ip\", size = 5, store = [\"gpc(2)\"] }\n[[test]]\nrequest = { url = \"/\" }\ngiven.tables = [{ table = \"web\", key = \"a\", data = { \"gpc(1)\" = 1, \"gpc(2)\" = 1 } }]\nexpect.status = 200",
    ),
    ("EK0226", "{}", "[[test]]\nrequest = { url = \"/\" }\nexpect = {}"),
    (
        "EK0226",
        "{ url = \"https://a/\" }",
        "[listen.api]\nbind = \":81\"\nserver = \"10.0.0.1:80\"\n[[test]]\nrequest = { url = \"https://a/\" }\nexpect.status = 200",
    ),
    (
        "EK0125",
        "\"dead\"",
        "[backend.b]\nserver = [\"10.0.0.1:80\"]\n[[test]]\nrequest = { url = \"/a\", frontend = \"web\" }\ngiven.servers = { \"b/10.0.0.1:80\" = \"dead\" }\nexpect.status = 200",
    ),
    ("EK0114", "headers", "[[test]]\nrequest = { url = \"/a\", frontend = \"web\" }\nexpect.headers = { a = \"b\" }"),
    ("EK0218", "\"a b\"", "capture.request = [{ header = \"a b\", len = 5 }]"),
    ("EK0218", "\"a b\"", "unique-id-header = \"a b\""),
    ("EK0218", "\"x y\"", "[global]\nwhy.redact = [\"x y\"]"),
    ("EK0224", "\"status 299\"", "http-error = [\"status 299\"]"),
    ("EK0312", "strin", "http-error = [\"status 404 content-type a/b strin c\"]"),
    ("EK0227", "\"none.http\"", "errorfile = { 503 = \"none.http\" }"),
    (
        "EK0208",
        "http-response",
        "[listen.t]\nmode = \"tcp\"\nbind = \":2\"\nserver = \"10.0.0.1:80\"\nhttp-response = [\"del-header a\"]",
    ),
    (
        "EK0236",
        "errorfile",
        "[listen.t]\nmode = \"tcp\"\nbind = \":2\"\nserver = \"10.0.0.1:80\"\nerrorfile = { 503 = \"busy.http\" }",
    ),
    ("EK0233", "a", "acl.a = \"path /x\"\nacl.b = \"path /y\"\nredirect = [\"location /z if b\"]"),
    ("EK0314", "200", "redirect = [\"location /z code 200\"]"),
    ("EK0238", "\"location /y\"", "redirect = [\"location /x\", \"location /y\"]"),
    ("EK0310", "path", "monitor-uri = \"/alive\"\nmonitor.fail = [\"path /x\"]"),
    ("EK0125", "\"htp\"", "log-format = \"htp\""),
    ("EK0113", "connection", "[backend.b]\nserver = \"10.0.0.1:80\"\ntcp-request.connection = []"),
    ("EK0113", "monitor", "[defaults]\nmonitor.fail = []"),
    ("EK0311", "denny", "[backend.b]\nserver = [\"10.0.0.1:80\"]\nhttp-request = [\"denny\"]"),
];

/// Codes that need more than one file in memory; each has a test of its own below.
// Those of TLS are tested in `tls.rs`.
const ELSEWHERE: [&str; 10] =
    ["EK0101", "EK0102", "EK0104", "EK0130", "EK0228", "EK0229", "EK0234", "EK0242", "EK0243", "EK0244"];

#[test]
fn each_mistake_is_told_once_and_in_its_place() {
    let mut failures = Vec::new();
    for (code, caret, text) in CASES {
        let text = if text.starts_with("global") || text.starts_with("maxconn") || text.starts_with("include") {
            format!("{text}\n{WEB}")
        } else {
            format!("{WEB}{text}\n")
        };
        let loaded = load(&text);
        if found(&loaded) != [(*code, *caret)] {
            failures.push(format!("--- wanted {code} at {caret}\n{text}\n{}", loaded.render(false)));
            continue;
        }
        let one = &loaded.diagnostics[0];
        assert_eq!(loaded.config.is_none(), one.severity == Severity::Error, "{text}");
        let before = &text[..one.span.start];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        assert_eq!((one.line as usize, one.column as usize), (line, column), "{text}");
    }
    assert!(failures.is_empty(), "{}", failures.concat());
}

#[test]
fn every_code_has_a_test_and_an_explanation() {
    let tested: BTreeSet<&str> = CASES.iter().map(|(code, ..)| *code).chain(ELSEWHERE).collect();
    for code in CODES {
        assert!(tested.contains(code.code), "{} has no test", code.code);
    }
    for code in tested {
        assert!(evenkeel_config::explain(code).is_some(), "{code} is not explained");
    }
}

#[test]
fn names_near_by_are_offered() {
    for (text, hint) in [
        ("[defaults]\ntimeout.clint = \"1s\"", "did you mean `client`?"),
        ("[frontends.web]\nmode = \"http\"", "did you mean `frontend`?"),
        ("[defaults]\nmode = \"htpp\"", "did you mean `http`?"),
        ("[frontend.f]\nbind = [\":1\"]\ndefault_backend = \"wbe\"", "did you mean `web`?"),
        ("[defaults.l4]\n[backend.b]\nfrom = \"l3\"\nserver = [\"10.0.0.1:80\"]", "did you mean `l4`?"),
        ("[backend.b]\nserver = [\"10.0.0.1:80\"]\nbalance = \"leastcon\"", "did you mean `leastconn`?"),
        ("[backend.b]\nserver = [\"10.0.0.1:80\"]\nchekc = true", "did you mean `check`?"),
        ("[defaults]\ntimeout.client = 5000", "write \"5s\"; a bare number in haproxy.cfg is milliseconds"),
        ("[global]\nmaxconn = \"200\"", "write 200 without quotes"),
        ("[global]\ntune.log-buffer = 65536", "write \"64k\""),
        (
            "[frontend.f]\nbind = [\":1\"]\ndefault_backend = \"f\"",
            "`f` is a frontend; a rule can name a backend or a listen",
        ),
        ("[listen.b]\nbind = [\"80\"]\nserver = [\"10.0.0.1:80\"]", "write \":80\""),
    ] {
        let loaded = load(&format!("{WEB}{text}"));
        let hints: Vec<_> = loaded.diagnostics.iter().filter_map(|d| d.hint.as_deref()).collect();
        assert!(hints.contains(&hint), "{text}\n{}", loaded.render(false));
    }
}

/// Fifteen independent mistakes in one file.
const MANY: &str = r#"[global]
threds = 4
maxconn = "20000"
log = "stdot"

[defaults]
mode = "htpp"
timeout = { client = 30, conect = "5s" }

[frontend.web]
bind = [":80", "80"]
maxconn = -1
acl.api = "pth_beg /api/"
http-request = ["deny if apii"]
use_backend = ["aap if api"]
default_backend = "ap"

[backend.app]
balance = "rondrobin"
cookie = { name = "S" }
server = [
  { name = "a", address = "10.0.0.1:80", weight = 300 },
  { name = "a", address = "10.0.0.2:80" },
  { address = "10.0.0.3:80" },
]
"#;

#[test]
fn one_run_tells_every_mistake_of_a_file() {
    let loaded = load(MANY);
    assert!(loaded.config.is_none());
    assert_eq!(
        found(&loaded),
        [
            ("EK0110", "threds"),
            ("EK0120", "\"20000\""),
            ("EK0216", "\"stdot\""),
            ("EK0125", "\"htpp\""),
            ("EK0121", "30"),
            ("EK0110", "conect"),
            ("EK0210", "80"),
            ("EK0124", "-1"),
            ("EK0302", "pth_beg"),
            ("EK0309", "apii"),
            ("EK0204", "aap"),
            ("EK0204", "\"ap\""),
            ("EK0213", "\"rondrobin\""),
            ("EK0112", "cookie"),
            ("EK0124", "300"),
            ("EK0202", "\"a\""),
            ("EK0128", "{ address = \"10.0.0.3:80\" }"),
        ],
        "{}",
        loaded.render(false)
    );
    assert_eq!(loaded.errors(), 17);
    assert_eq!(loaded.warnings(), 0);
}

#[test]
fn a_person_reads_this() {
    let loaded =
        load("[listen.web]\nbind = [\":80\"]\nserver = [\"127.0.0.1:3000\"]\ntimeot.client = \"30s\"\nretries = 900\n");
    assert_eq!(
        loaded.render(false),
        "\
error[EK0110]: unknown key `timeot` in [listen]
 --> a.toml:4:1
  |
4 | timeot.client = \"30s\"
  | ^^^^^^
  |
  = help: did you mean `timeout`?

error[EK0124]: `retries` is out of range: 0 to 100
 --> a.toml:5:11
  |
5 | retries = 900
  |           ^^^

"
    );
    assert!(loaded.render(true).contains("\u{1b}["));
}

#[test]
fn a_program_reads_this() {
    let loaded = load("[listen.web]\nbind = [\":80\"]\nserver = [\"127.0.0.1:3000\"]\nretries = 900\n");
    assert_eq!(
        loaded.to_json(),
        serde_json::json!({
            "ok": false,
            "errors": 1,
            "warnings": 0,
            "diagnostics": [{
                "severity": "error",
                "code": "EK0124",
                "message": "`retries` is out of range: 0 to 100",
                "file": "a.toml",
                "line": 4,
                "column": 11,
                "span": [66, 69],
                "hint": null,
            }],
        })
    );
}

#[test]
fn syntax_errors_do_not_hide_the_rest() {
    let loaded = load(
        "[listen.web]\nbind = [\":80\"]\nserver = [\"127.0.0.1:3000\"]\nmode = http\nretries = 900\nmaxconn = 1\nmaxconn = 2\n",
    );
    assert_eq!(found(&loaded), [("EK0102", "http"), ("EK0124", "900"), ("EK0102", "maxconn")]);
    // What stands below an open bracket is not known, so nothing is said about references to it.
    let loaded =
        load("[listen.web]\nbind = [\":80\"]\ndefault_backend = \"app\"\nserver = [\"127.0.0.1:1\"\n[backend.app]\n");
    assert!(found(&loaded).iter().all(|(code, _)| *code == "EK0102"), "{}", loaded.render(false));
    assert!(!loaded.diagnostics.is_empty());
}

#[test]
fn no_source_is_an_error() {
    let loaded = load_sources(&[], &OPTIONS);
    assert_eq!((loaded.config.is_none(), loaded.errors()), (true, 1));
}

#[test]
fn nothing_served_is_a_warning() {
    for text in [
        "",
        "# nothing\n",
        "[global]\nthreads = 1\n",
        "[listen.a]\nbind = \":1\"\nserver = \"10.0.0.1:1\"\ndisabled = true\n",
    ] {
        let loaded = load(text);
        assert_eq!(found(&loaded), [("EK0234", "")], "{text}");
        assert!(loaded.config.is_some());
    }
}

#[test]
fn escape_sequences_of_a_file_reach_no_terminal() {
    let loaded = load("[listen.\"\\u001b[31mred\"]\nbind = \":1\"\nserver = \"10.0.0.1:1\"\n\"a\\u001b\" = 1\n");
    assert_eq!(loaded.errors(), 2);
    assert!(!loaded.render(false).contains('\u{1b}'), "{}", loaded.render(false));
}

/// Writes files into a fresh folder.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn load_files(folder: &tempfile::TempDir, names: &[&str]) -> Loaded {
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
    load_with(&paths, &OPTIONS)
}

#[test]
fn includes_are_read_in_name_order_and_once() {
    let folder = folder(&[
        (
            "a.toml",
            "include = [\"conf.d/*.toml\", \"conf.d/10-web.toml\"]\n[global]\nthreads = 1\ntune.bufsize = \"16k\"\n",
        ),
        (
            "conf.d/20-app.toml",
            "[global]\nmaxconn = 5\ntune.http.maxhdr = 50\n[backend.app]\nserver = [\"10.0.0.1:80\"]\n",
        ),
        ("conf.d/10-web.toml", "[frontend.web]\nbind = \":80\"\ndefault_backend = \"app\"\n"),
        ("conf.d/.hidden.toml", "broken"),
        ("conf.d/notes.txt", "broken"),
    ]);
    let loaded = load_files(&folder, &["a.toml", "conf.d"]);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.render(false));
    let config = loaded.config.unwrap();
    assert_eq!((config.global.threads, config.global.maxconn), (1, 5));
    assert_eq!((config.global.tune.bufsize, config.global.tune.max_headers), (16_384, 50));
    let names: Vec<_> = config.files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.toml", "10-web.toml", "20-app.toml"]);
    assert_eq!((config.frontends[0].id, config.backends[0].id), (2, 3));
    assert!(config.backends[0].place.file.ends_with("20-app.toml"));
    assert_eq!(config.backends[0].place.line, 4);
}

#[test]
fn a_cycle_of_includes_is_told_where_it_closes() {
    let folder = folder(&[
        ("a.toml", "include = \"b.toml\"\n[listen.a]\nbind = \":1\"\nserver = \"10.0.0.1:1\"\n"),
        ("b.toml", "include = [\"./a.toml\"]\n"),
    ]);
    let loaded = load_files(&folder, &["a.toml"]);
    assert_eq!(found(&loaded), [("EK0104", "\"./a.toml\"")]);
    assert!(loaded.diagnostics[0].file.ends_with("b.toml"));
}

#[test]
fn what_cannot_be_read_is_told_with_the_rest() {
    let folder = folder(&[
        (
            "a.toml",
            "include = [\"no.toml\", \"none-*.toml\"]\n[listen.a]\nbind = \":1\"\nserver = \"10.0.0.1:1\"\nretries = -1\n",
        ),
        ("empty/x.txt", ""),
    ]);
    fs::write(folder.path().join("latin1.toml"), b"# \xe9\n").unwrap();
    let loaded = load_files(&folder, &["missing.toml", "empty", "latin1.toml", "a.toml"]);
    assert!(loaded.config.is_none());
    let codes: Vec<_> = loaded.diagnostics.iter().map(|d| (d.code, d.line)).collect();
    assert_eq!(codes, [("EK0101", 0), ("EK0101", 0), ("EK0101", 0), ("EK0103", 1), ("EK0124", 5)]);
    let text = loaded.render(false);
    for part in ["missing.toml: No such file", "holds no *.toml file", "not UTF-8 at byte 2", "\"no.toml\""] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert_eq!(load_with(&[], &OPTIONS).errors(), 1);
}

#[test]
fn two_files_do_not_set_the_same_key() {
    let folder = folder(&[
        (
            "a.toml",
            "[global]\nthreads = 1\n[defaults.x]\ntimeout.client = \"1s\"\n[listen.a]\nfrom = \"x\"\nbind = \":1\"\nserver = \"10.0.0.1:1\"\n",
        ),
        ("b.toml", "[global]\nthreads = 2\n[defaults.x]\ntimeout.server = \"1s\"\ntimeout.client = \"2s\"\n"),
    ]);
    let loaded = load_files(&folder, &["a.toml", "b.toml"]);
    assert_eq!(found(&loaded), [("EK0130", "threads"), ("EK0130", "client")]);
    assert!(loaded.diagnostics[0].hint.as_ref().unwrap().contains("a.toml:2"));
}
