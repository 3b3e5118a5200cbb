//! `[[test]]`: questions to the configuration, kept beside what they ask about.

use evenkeel_tls::facts::{CIPHERS, VERSIONS};

use super::{Fallback, Kind, Sections, Table, key};

const HEADERS: Kind = Kind::Named(&Kind::Many(&Kind::Text("a value")));
const FIELDS: Kind = Kind::Named(&Kind::Any(&[Kind::Bool, Kind::Text("a value")]));
const STATUS: Kind = Kind::Int(100, 999);

/// The words of `test.given.servers`.
pub(crate) const STATES: &[&str] = &["up", "down", "drain", "maint"];
/// The words of `test.expect.action`.
pub(crate) const ACTIONS: &[&str] =
    &["forward", "deny", "tarpit", "auth", "redirect", "return", "reject", "silent-drop"];

/// `[[test]]`.
pub(crate) static TEST: Table = Table {
    name: "test",
    doc: "A request and what must become of it; run by `evenkeel test`, by `evenkeel check --strict` and, with `global.test-before-reload`, before a reload.",
    keys: &[
        key(
            "name",
            Sections::ANY,
            Kind::Text("a text"),
            Fallback::Says("method and URL"),
            "",
            "What the report calls it.",
            "name = \"the API goes to the API\"",
        ),
        key(
            "request",
            Sections::ANY,
            Kind::Table(&REQUEST),
            Fallback::Says("required"),
            "",
            "The request.",
            "request = { url = \"https://www.example.com/api/users\", src = \"203.0.113.9\" }",
        )
        .required(),
        key(
            "given",
            Sections::ANY,
            Kind::Table(&GIVEN),
            Fallback::Says("every server up, every table empty"),
            "",
            "The state the request meets.",
            "given = { servers = { \"app/app1\" = \"down\" } }",
        ),
        key(
            "expect",
            Sections::ANY,
            Kind::Table(&EXPECT),
            Fallback::Says("required"),
            "",
            "What must become of it; all that is given must hold, and what is not given is not looked at.",
            "expect = { status = 403 }",
        )
        .required(),
    ],
    later: &[],
    renamed: &[("then", "write `expect`"), ("when", "write `request`")],
};

static REQUEST: Table = Table {
    name: "test.request",
    doc: "The request of a test.",
    keys: &[
        key("method", Sections::ANY, Kind::Text("a method"), Fallback::Word("GET"), "", "Method.", "method = \"POST\""),
        key(
            "url",
            Sections::ANY,
            Kind::Text("a URL or a path"),
            Fallback::Says("required"),
            "",
            "URL, whose host becomes the Host field and whose scheme says whether there is TLS, or a path.",
            "url = \"https://www.example.com/a?b=1\"",
        )
        .required(),
        key(
            "headers",
            Sections::ANY,
            HEADERS,
            Fallback::Says("none"),
            "",
            "Further fields; an array is several lines of one.",
            "headers = { Accept = \"text/html\", Cookie = [\"a=1\", \"b=2\"] }",
        ),
        key(
            "src",
            Sections::ANY,
            Kind::Text("an address such as \"203.0.113.9\""),
            Fallback::Word("127.0.0.1"),
            "",
            "Client address, with or without a port.",
            "src = \"203.0.113.9\"",
        ),
        key(
            "dst",
            Sections::ANY,
            Kind::Text("an address such as \"192.0.2.1:443\""),
            Fallback::Says("the first bind of the frontend"),
            "",
            "The address and port the client connected to.",
            "dst = \"192.0.2.1:443\"",
        ),
        key(
            "frontend",
            Sections::ANY,
            Kind::Text("the name of a frontend"),
            Fallback::Says("the one that listens on the port of `dst` or of the URL, or the only one"),
            "",
            "The frontend or listen that takes the request.",
            "frontend = \"web\"",
        ),
        key("body", Sections::ANY, Kind::Text("a text"), Fallback::Says("none"), "", "Body.", "body = '{\"id\":7}'"),
        key(
            "tls",
            Sections::ANY,
            Kind::Table(&HANDSHAKE),
            Fallback::Says("what most clients agree on"),
            "",
            "What the TLS handshake came to; the URL begins with https.",
            "tls = { version = \"TLSv1.2\", alpn = \"h2\" }",
        ),
        key(
            "client-cert",
            Sections::ANY,
            Kind::Table(&CLIENT_CERT),
            Fallback::Says("the client has none"),
            "",
            "The certificate of the client, as rules on `ssl_c_*` see it; the URL begins with https.",
            "client-cert = { s-dn = \"/O=Example/OU=ops/CN=alice\" }",
        ),
        key(
            "time",
            Sections::ANY,
            Kind::Text("a date and time such as \"2026-03-01T09:00:00Z\""),
            Fallback::Word("2026-01-01T00:00:00Z"),
            "",
            "When the request comes, in UTC.",
            "time = \"2026-03-01T09:00:00Z\"",
        ),
    ],
    later: &[],
    renamed: &[
        ("header", "write `headers = { .. }`"),
        ("path", "write `url = \"/path\"`"),
        ("uri", "write `url`"),
        ("host", "write it in the URL: `url = \"https://host/\"`"),
        ("at", "write `time`"),
    ],
};

static HANDSHAKE: Table = Table {
    name: "test.request.tls",
    doc: "What the TLS handshake of a test's connection came to.",
    keys: &[
        key(
            "version",
            Sections::ANY,
            Kind::Word(VERSIONS, &[]),
            Fallback::Word("TLSv1.3"),
            "",
            "The version, as `ssl_fc_protocol` tells it.",
            "version = \"TLSv1.2\"",
        ),
        key(
            "cipher",
            Sections::ANY,
            Kind::Word(CIPHERS, &[]),
            Fallback::Says("the one Evenkeel prefers in that version"),
            "",
            "The cipher suite, as `ssl_fc_cipher` tells it.",
            "cipher = \"TLS_AES_256_GCM_SHA384\"",
        ),
        key(
            "alpn",
            Sections::ANY,
            Kind::Text("the name of a protocol"),
            Fallback::Says("none"),
            "",
            "The protocol agreed on; `h2` makes the request one of HTTP/2.",
            "alpn = \"h2\"",
        ),
        key(
            "sni",
            Sections::ANY,
            Kind::Text("a name"),
            Fallback::Says("the host of the URL"),
            "",
            "The name the client asked for; empty: none.",
            "sni = \"www.example.com\"",
        ),
        key(
            "resumed",
            Sections::ANY,
            Kind::Bool,
            Fallback::Bool(false),
            "",
            "Whether it resumed an earlier session; a client certificate is that session's then.",
            "resumed = true",
        ),
        key(
            "early",
            Sections::ANY,
            Kind::Bool,
            Fallback::Bool(false),
            "",
            "Whether the request came as early data.",
            "early = true",
        ),
    ],
    later: &[],
    renamed: &[("protocol", "write `version`"), ("ciphers", "write `cipher`")],
};

static CLIENT_CERT: Table = Table {
    name: "test.request.client-cert",
    doc: "The certificate of a test's client.",
    keys: &[
        key(
            "s-dn",
            Sections::ANY,
            Kind::Text("a name such as \"/C=FR/CN=x\""),
            Fallback::Says("empty"),
            "",
            "Whose it is (`ssl_c_s_dn`).",
            "s-dn = \"/O=Example/OU=ops/CN=alice\"",
        ),
        key(
            "i-dn",
            Sections::ANY,
            Kind::Text("a name such as \"/C=FR/CN=x\""),
            Fallback::Says("empty"),
            "",
            "Who signed it (`ssl_c_i_dn`).",
            "i-dn = \"/O=Example/CN=clients\"",
        ),
        key(
            "serial",
            Sections::ANY,
            Kind::Text("hexadecimal digits"),
            Fallback::Says("empty"),
            "",
            "Its serial number in hexadecimal (`ssl_c_serial,hex`).",
            "serial = \"0AFF\"",
        ),
        key(
            "sha1",
            Sections::ANY,
            Kind::Text("40 hexadecimal digits"),
            Fallback::Says("zeros"),
            "",
            "Its fingerprint in hexadecimal (`ssl_c_sha1,hex`).",
            "sha1 = \"1A0C177C4BD78A1CB89D3BDF0FD6D8B3104ECAED\"",
        ),
        key(
            "notbefore",
            Sections::ANY,
            Kind::Text("a time such as \"260101000000Z\""),
            Fallback::Says("not told"),
            "",
            "When it begins, `YYMMDDhhmmssZ` (`ssl_c_notbefore`).",
            "notbefore = \"260101000000Z\"",
        ),
        key(
            "notafter",
            Sections::ANY,
            Kind::Text("a time such as \"270101000000Z\""),
            Fallback::Says("not told"),
            "",
            "When it ends, `YYMMDDhhmmssZ` (`ssl_c_notafter`).",
            "notafter = \"270101000000Z\"",
        ),
        key(
            "san",
            Sections::ANY,
            Kind::Text("names such as \"DNS:a.example\""),
            Fallback::Says("none"),
            "",
            "Its alternative names (`ssl_c_san`).",
            "san = \"DNS:a.example, IP Address:10.0.0.1\"",
        ),
        key(
            "verify",
            Sections::ANY,
            Kind::Int(0, 255),
            Fallback::Int(0),
            "",
            "What verifying it came to, by OpenSSL's number (`ssl_c_verify`, `ssl_c_err`); 0: it is valid. Other than that it \
             gets in only with `crt-ignore-err`.",
            "verify = 10",
        ),
    ],
    later: &[],
    renamed: &[("subject", "write `s-dn`"), ("issuer", "write `i-dn`"), ("cn", "write `s-dn = \"/CN=...\"`")],
};

static GIVEN: Table = Table {
    name: "test.given",
    doc: "The state the request of a test meets.",
    keys: &[
        key(
            "servers",
            Sections::ANY,
            Kind::Named(&Kind::Word(STATES, &[])),
            Fallback::Says("every server up"),
            "",
            "The state of servers, each named backend/server.",
            "servers = { \"app/app1\" = \"down\" }",
        ),
        key(
            "tables",
            Sections::ANY,
            Kind::Many(&Kind::Table(&ENTRY)),
            Fallback::Says("empty tables"),
            "",
            "Entries of stick tables.",
            "tables = [{ table = \"limits\", key = \"203.0.113.9\", data = { http_req_rate = 120 } }]",
        ),
        key(
            "resolve",
            Sections::ANY,
            Kind::Named(&Kind::Text("an address such as \"192.0.2.1\"")),
            Fallback::Says("no name has an address"),
            "",
            "What name servers answer to `do-resolve`, by name.",
            "resolve = { \"a.example\" = \"192.0.2.1\" }",
        ),
        key(
            "vars",
            Sections::ANY,
            Kind::Named(&Kind::Text("a text")),
            Fallback::Says("none"),
            "",
            "Variables that are set already, by name with scope.",
            "vars = { \"proc.maintenance\" = \"1\" }",
        ),
        key(
            "response",
            Sections::ANY,
            Kind::Table(&RESPONSE),
            Fallback::Says("200 without fields or body"),
            "",
            "What the server answers.",
            "response = { status = 404, headers = { Server = \"app\" } }",
        ),
    ],
    later: &[],
    renamed: &[("server", "write `servers = { .. }`"), ("table", "write `tables = [..]`")],
};

static ENTRY: Table = Table {
    name: "test.given.tables",
    doc: "An entry of a stick table in a test.",
    keys: &[
        key(
            "table",
            Sections::ANY,
            Kind::Text("the name of a section with a stick-table"),
            Fallback::Says("required"),
            "",
            "The table.",
            "table = \"limits\"",
        )
        .required(),
        key(
            "key",
            Sections::ANY,
            Kind::Text("a key"),
            Fallback::Says("required"),
            "",
            "The key, as text.",
            "key = \"203.0.113.9\"",
        )
        .required(),
        key(
            "data",
            Sections::ANY,
            Kind::Named(&Kind::Int(0, i64::MAX)),
            Fallback::Says("zeros"),
            "",
            "Counters by the name they have in `store`, without the period; elements of arrays as `gpc(0)`.",
            "data = { http_req_rate = 120, conn_cur = 3 }",
        ),
    ],
    later: &[],
    renamed: &[("name", "write `table`"), ("counters", "write `data`")],
};

static TRACKED: Table = Table {
    name: "test.expect.tracked",
    doc: "An entry of a stick table that the request of a test tracks.",
    keys: ENTRY.keys,
    later: ENTRY.later,
    renamed: ENTRY.renamed,
};

static RESPONSE: Table = Table {
    name: "test.given.response",
    doc: "What the server of a test answers.",
    keys: &[
        key("status", Sections::ANY, Kind::Int(200, 599), Fallback::Int(200), "", "Status.", "status = 404"),
        key(
            "headers",
            Sections::ANY,
            HEADERS,
            Fallback::Says("none"),
            "",
            "Fields; an array is several lines of one.",
            "headers = { Server = \"app\" }",
        ),
        key(
            "body",
            Sections::ANY,
            Kind::Text("a text"),
            Fallback::Says("none"),
            "",
            "Body.",
            "body = \"no such page\"",
        ),
    ],
    later: &[],
    renamed: &[("header", "write `headers = { .. }`")],
};

static EXPECT: Table = Table {
    name: "test.expect",
    doc: "What must become of the request of a test.",
    keys: &[
        key(
            "backend",
            Sections::ANY,
            Kind::Text("the name of a backend"),
            Fallback::Says("any"),
            "",
            "The backend it is sent to.",
            "backend = \"api\"",
        ),
        key(
            "destination",
            Sections::ANY,
            Kind::Text("an address such as \"192.0.2.1:80\""),
            Fallback::Says("not looked at"),
            "",
            "Where it is sent when its server is `0.0.0.0:0`: to the destination of the connection as rules left it.",
            "destination = \"192.0.2.1:80\"",
        ),
        key(
            "server",
            Sections::ANY,
            Kind::Many(&Kind::Text("the name of a server")),
            Fallback::Says("any"),
            "",
            "The server it is sent to, or one of several.",
            "server = \"app1\"",
        ),
        key("status", Sections::ANY, STATUS, Fallback::Says("any"), "", "The status the client gets.", "status = 301"),
        key(
            "header",
            Sections::ANY,
            FIELDS,
            Fallback::Says("any"),
            "",
            "Fields of the answer: a value one line must have, `true` for a field that is there, `false` for one that is not.",
            "header = { location = \"https://www.example.com/\", server = false }",
        ),
        key(
            "body",
            Sections::ANY,
            Kind::Text("a text"),
            Fallback::Says("any"),
            "",
            "Text that the body of the answer contains.",
            "body = \"maintenance\"",
        ),
        key(
            "action",
            Sections::ANY,
            Kind::Word(ACTIONS, &[]),
            Fallback::Says("any"),
            "",
            "How it ends: sent to a server, or by which action of a rule.",
            "action = \"deny\"",
        ),
        key(
            "sent",
            Sections::ANY,
            Kind::Table(&SENT),
            Fallback::Says("any"),
            "",
            "The request as the server gets it.",
            "sent = { url = \"/users\", header = { X-Forwarded-Proto = \"https\" } }",
        ),
        key(
            "log",
            Sections::ANY,
            Kind::Many(&Kind::Text("a text")),
            Fallback::Says("any"),
            "",
            "Texts that its line of the access log contains, in the frontend's format, \"json\" excepted; times are -1, numbers of a running process 0.",
            "log = [\"web app/app1\", \"GET /users\"]",
        ),
        key(
            "tracked",
            Sections::ANY,
            Kind::Many(&Kind::Table(&TRACKED)),
            Fallback::Says("any"),
            "",
            "Entries of stick tables that it tracks, with the data they have at the end.",
            "tracked = [{ table = \"limits\", key = \"203.0.113.9\", data = { http_req_rate = 1 } }]",
        ),
    ],
    later: &[],
    renamed: &[("headers", "write `header = { .. }`"), ("location", "write `header.location`")],
};

static SENT: Table = Table {
    name: "test.expect.sent",
    doc: "The request as the server of a test gets it.",
    keys: &[
        key("method", Sections::ANY, Kind::Text("a method"), Fallback::Says("any"), "", "Method.", "method = \"GET\""),
        key(
            "url",
            Sections::ANY,
            Kind::Text("a path and query"),
            Fallback::Says("any"),
            "",
            "Path and query.",
            "url = \"/users?id=7\"",
        ),
        key(
            "header",
            Sections::ANY,
            FIELDS,
            Fallback::Says("any"),
            "",
            "Fields, as in `expect.header`.",
            "header = { X-Forwarded-Proto = \"https\" }",
        ),
    ],
    later: &[],
    renamed: &[("headers", "write `header = { .. }`"), ("path", "write `url`")],
};
