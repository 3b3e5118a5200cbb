//! The decision engine: expressions, conditions and rules with the answers HAProxy gives. The rows stand in the sheets
//! beside this file.

use crate::line::Way;
use crate::sheet::{Rows, SHEET, Sheet, run};

const MAPS: &[(&str, &str)] = &[
    ("hosts.map", "# hosts\nwww.example.com app\nexample.com plain\n  indented yes\nspaced   two words \n"),
    ("paths.map", "/api api\n/api/v2 api2\n/ root\n"),
    ("end.map", ".png image\n.tar.gz archive\n.gz zip\n"),
    ("sub.map", "foo one\nbar two\n"),
    ("dom.map", "example dom\nwww sub\n"),
    ("dir.map", "api dir\nimg pictures\n"),
    ("regex.map", "^/u/([a-z]+)$ user-\\1\n^/n/([0-9]+)/(.*)$ n-\\2-\\1\n"),
    ("ip.map", "10.0.0.0/8 ten\n10.1.0.0/16 ten-one\n10.1.2.3 host\n2001:db8::/32 doc\n::1 loop\n"),
    ("int.map", "1 one\n10:20 teens\n1000 thousand\n"),
    ("numbers.map", "a 1\nb 22\nc -3\n"),
    ("addresses.map", "a 192.0.2.1\nb 192.0.2.77\n"),
    ("paths.acl", "# some paths\n/one\n/two\n\n  /three\n"),
    ("nets.acl", "192.0.2.0/24\n127.0.0.0/30\n2001:db8::/32\n"),
    ("words.acl", "Alpha\nbeta\n"),
    ("regexes.acl", "^/r[0-9]+$\n\\.php$\n"),
    ("set.map", "a first\n"),
    ("set.acl", "first\n"),
    ("page.txt", "hello %[path]\n"),
    ("403.http", "HTTP/1.1 403 Nope\r\nContent-Type: text/plain\r\nX-Page: own\r\nContent-Length: 5\r\n\r\nnope\n"),
    ("503.http", "HTTP/1.1 503 Busy\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nbusy\n"),
];

const SECTIONS: &[(&str, &[&str])] = &[
    (
        "userlist staff",
        &[
            "group ops users ann",
            "group readers",
            "user ann insecure-password secret",
            "user bob insecure-password b:o:b groups readers",
        ],
    ),
    ("http-errors pages", &["errorfile 403 @dir@/403.http", "errorfile 503 @dir@/503.http"]),
];

const RULES: Sheet = Sheet { files: MAPS, sections: SECTIONS, ..SHEET };

#[test]
fn expressions() {
    run(&Sheet { name: "expressions.sheet", ..RULES });
}

#[test]
fn conditions() {
    run(&Sheet { name: "matches.sheet", rows: Rows::Conditions, ..RULES });
}

#[test]
fn responses() {
    run(&Sheet { name: "responses.sheet", rows: Rows::Response, ..RULES });
}

#[test]
fn actions() {
    run(&Sheet { name: "actions.sheet", rows: Rows::Cases, ..RULES });
}

#[test]
fn tables() {
    run(&Sheet { name: "tables.sheet", rows: Rows::Cases, ..RULES });
}

#[test]
fn log_items() {
    run(&Sheet { name: "logs.sheet", rows: Rows::Log, ..RULES });
}

/// Certificates of the folder beside, one authority for sites and one below it for people; good until 2120.
const SITES: &str = "ssl crt @tls@/site.pem crt @tls@/wild.pem crt @tls@/exact.pem crt @tls@/rsa.pem alpn h2,http/1.1 \
    ciphersuites TLS_AES_128_GCM_SHA256 ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256 \
    ca-file @tls@/ca.pem verify optional ca-ignore-err all crt-ignore-err all";

#[test]
fn tls_expressions() {
    run(&Sheet { name: "tls.sheet", way: Way::Tls1, bind: SITES, ..SHEET });
}

#[test]
fn tls_that_is_strict() {
    const STRICT: &str = "ssl crt @tls@/site.pem crt @tls@/wild.pem strict-sni \
        ca-file @tls@/ca.pem crl-file @tls@/crl.pem verify required crt-ignore-err 10";
    run(&Sheet { name: "tls_strict.sheet", way: Way::Tls1, bind: STRICT, ..SHEET });
}

#[test]
fn tls_log_items() {
    run(&Sheet { name: "tls_logs.sheet", rows: Rows::Log, way: Way::Tls2, bind: SITES, ..SHEET });
}

#[test]
fn http2_expressions() {
    run(&Sheet { name: "http2.sheet", way: Way::Tls2, bind: SITES, ..SHEET });
}

#[test]
fn http2_to_http1() {
    run(&Sheet { name: "http2_to_http1.sheet", rows: Rows::Cases, way: Way::H2, ..SHEET });
}

#[test]
fn http1_to_http2() {
    run(&Sheet { name: "http1_to_http2.sheet", rows: Rows::Cases, server: "proto h2", ..SHEET });
}

#[test]
fn tls_to_servers() {
    run(&Sheet { name: "tls_servers.sheet", rows: Rows::Cases, origin: Some("site"), ..SHEET });
}
