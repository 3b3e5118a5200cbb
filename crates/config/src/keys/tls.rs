//! `tls` of binds and servers, `crt-store`, and what `[global]` says of both.

use super::{COUNT, Fallback, Key, Kind, Sections, TIME_NOT_ZERO, Table, key};
use crate::defaults;

const PATH: Kind = Kind::Text("the path of a PEM file");
const CERTIFICATES: Kind = Kind::Many(&Kind::Any(&[
    Kind::Text("the path of a PEM file or of a folder, or \"@store/name\""),
    Kind::Table(&CERT),
]));
const LIST: Kind = Kind::Many(&Kind::Text("names as OpenSSL has them"));
const ERRORS: Kind = Kind::Many(&Kind::Any(&[Kind::Int(1, 127), Kind::Text("OpenSSL's name of an error, or \"all\"")]));
const VERSION: Kind = Kind::Text("\"1.2\" or \"1.3\"");
const ALPN: Kind = Kind::Many(&Kind::Text("a protocol such as \"h2\""));

/// What `bind.tls` takes.
pub(super) const BINDS_TLS: Kind = Kind::Any(&[Kind::Text("the path of a certificate"), Kind::Table(&BIND_TLS)]);
/// What `server.tls` takes.
pub(super) const SERVERS_TLS: Kind = Kind::Any(&[Kind::Bool, Kind::Table(&SERVER_TLS)]);

/// Versions and algorithms, the same on binds, on servers and as defaults of both.
const POLICY: [Key; 6] = [
    key(
        "min-version",
        Sections::ANY,
        VERSION,
        Fallback::Word("1.2"),
        "ssl-min-ver",
        "The lowest version of TLS; older ones than 1.2 are not spoken.",
        "min-version = \"1.3\"",
    ),
    key(
        "max-version",
        Sections::ANY,
        VERSION,
        Fallback::Word("1.3"),
        "ssl-max-ver",
        "The highest version of TLS.",
        "max-version = \"1.2\"",
    ),
    key(
        "ciphers",
        Sections::ANY,
        LIST,
        Fallback::Says("all that are safe, the fastest first"),
        "ciphers",
        "Cipher suites of TLS 1.2, in OpenSSL's notation or as an array of their names.",
        "ciphers = \"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256\"",
    ),
    key(
        "ciphersuites",
        Sections::ANY,
        LIST,
        Fallback::Says("all three"),
        "ciphersuites",
        "Cipher suites of TLS 1.3.",
        "ciphersuites = [\"TLS_AES_128_GCM_SHA256\", \"TLS_CHACHA20_POLY1305_SHA256\"]",
    ),
    key(
        "curves",
        Sections::ANY,
        LIST,
        Fallback::Says("X25519MLKEM768, X25519, P-256, P-384"),
        "curves, ecdhe",
        "Groups of the key exchange, best first.",
        "curves = [\"X25519MLKEM768\", \"X25519\", \"P-256\"]",
    ),
    key(
        "sigalgs",
        Sections::ANY,
        LIST,
        Fallback::Says("all that are safe"),
        "sigalgs",
        "Signature algorithms of the handshake.",
        "sigalgs = [\"ECDSA+SHA256\", \"RSA-PSS+SHA256\"]",
    ),
];

const CLIENT_SIGALGS: Key = key(
    "client-sigalgs",
    Sections::ANY,
    LIST,
    Fallback::Says("`sigalgs`"),
    "client-sigalgs",
    "Signature algorithms that are accepted of client certificates.",
    "client-sigalgs = [\"ECDSA+SHA256\"]",
);

const PREFER_CLIENT: Key = key(
    "prefer-client-ciphers",
    Sections::ANY,
    Kind::Bool,
    Fallback::Bool(false),
    "prefer-client-ciphers",
    "The client's order of cipher suites decides instead of ours.",
    "prefer-client-ciphers = true",
);

const STRICT_SNI: Key = key(
    "strict-sni",
    Sections::ANY,
    Kind::Bool,
    Fallback::Bool(false),
    "strict-sni",
    "A handshake that asks for no name or for one without a certificate is refused instead of getting the default one.",
    "strict-sni = true",
);

const TICKETS: Key = key(
    "tickets",
    Sections::ANY,
    Kind::Bool,
    Fallback::Bool(true),
    "tls-tickets, no-tls-tickets",
    "Sessions are resumed by tickets that clients keep; otherwise only from the session cache.",
    "tickets = false",
);

const SESSION_REUSE: Key = key(
    "session-reuse",
    Sections::ANY,
    Kind::Bool,
    Fallback::Bool(true),
    "no-ssl-reuse",
    "Later connections resume the session of an earlier one.",
    "session-reuse = false",
);

const fn server_verify(fallback: Fallback) -> Key {
    key(
        "verify",
        Sections::ANY,
        Kind::Word(&["none", "required"], &[]),
        fallback,
        "verify",
        "Whether the server's certificate must be valid; \"none\" talks to whoever answers.",
        "verify = \"none\"",
    )
}

const CA_FILE_OF_SERVER: Key = key(
    "ca-file",
    Sections::ANY,
    Kind::Text("the path of a PEM file or of a folder, or \"@system-ca\""),
    Fallback::Word("@system-ca"),
    "ca-file",
    "Who may have signed the server's certificate: a file, a folder, or the system's authorities.",
    "ca-file = \"/etc/ssl/internal-ca.pem\"",
);

const fn server_alpn(fallback: Fallback) -> Key {
    key(
        "alpn",
        Sections::ANY,
        ALPN,
        fallback,
        "alpn",
        "Protocols offered to the server, best first.",
        "alpn = [\"h2\", \"http/1.1\"]",
    )
}

/// `bind.tls`.
static BIND_TLS: Table = Table {
    name: "bind.tls",
    doc: "TLS that ends here. The short form is the path of a certificate.",
    keys: &[
        key(
            "certificate",
            Sections::ANY,
            CERTIFICATES,
            Fallback::Says("none"),
            "crt",
            "Certificates, chosen by the name the client asks for: PEM files with chain and key, a folder of them, or tables with separate files. The first is the default one.",
            "certificate = [\"/etc/evenkeel/site.pem\", { cert = \"/etc/ssl/api.crt\", key = \"/etc/ssl/api.key\" }]",
        ),
        key(
            "crt-list",
            Sections::ANY,
            Kind::Many(&Kind::Text("the path of a crt-list")),
            Fallback::Says("none"),
            "crt-list",
            "Files of lines `certificate [options] names`, as in HAProxy.",
            "crt-list = \"/etc/evenkeel/crt-list.txt\"",
        ),
        key(
            "default-certificate",
            Sections::ANY,
            CERTIFICATES,
            Fallback::Says("the first of `certificate`"),
            "default-crt",
            "Shown to clients that ask for no name or for one without a certificate.",
            "default-certificate = \"/etc/evenkeel/default.pem\"",
        ),
        STRICT_SNI,
        key(
            "alpn",
            Sections::ANY,
            ALPN,
            Fallback::Says("`[\"h2\", \"http/1.1\"]` in http mode, none in tcp mode"),
            "alpn",
            "Protocols offered to clients, best first; an empty list offers none.",
            "alpn = [\"http/1.1\"]",
        ),
        POLICY[0],
        POLICY[1],
        POLICY[2],
        POLICY[3],
        POLICY[4],
        POLICY[5],
        CLIENT_SIGALGS,
        PREFER_CLIENT,
        key(
            "verify",
            Sections::ANY,
            Kind::Word(&["none", "optional", "required"], &[]),
            Fallback::Word("none"),
            "verify",
            "Whether clients are asked for a certificate: \"optional\" takes none too, an invalid one ends the handshake.",
            "verify = \"optional\"",
        ),
        key(
            "ca-file",
            Sections::ANY,
            Kind::Text("the path of a PEM file or of a folder, or \"@system-ca\""),
            Fallback::Says("none"),
            "ca-file",
            "Who may have signed a client's certificate; their names are told to clients.",
            "ca-file = \"/etc/evenkeel/clients-ca.pem\"",
        ),
        key(
            "ca-verify-file",
            Sections::ANY,
            Kind::Text("the path of a PEM file or of a folder, or \"@system-ca\""),
            Fallback::Says("none"),
            "ca-verify-file",
            "Who else may have signed it, without being told to clients.",
            "ca-verify-file = \"/etc/evenkeel/root-ca.pem\"",
        ),
        key(
            "crl-file",
            Sections::ANY,
            PATH,
            Fallback::Says("none"),
            "crl-file",
            "Revocation lists, one for each authority of the chain.",
            "crl-file = \"/etc/evenkeel/revoked.pem\"",
        ),
        key(
            "ca-ignore-err",
            Sections::ANY,
            ERRORS,
            Fallback::Says("none"),
            "ca-ignore-err",
            "Errors in certificates above the client's that are let pass, by OpenSSL's number or name, or \"all\"; `ssl_c_ca_err` tells them.",
            "ca-ignore-err = [10, \"X509_V_ERR_CERT_REVOKED\"]",
        ),
        key(
            "crt-ignore-err",
            Sections::ANY,
            ERRORS,
            Fallback::Says("none"),
            "crt-ignore-err",
            "Errors in the client's own certificate that are let pass; `ssl_c_err` tells them.",
            "crt-ignore-err = \"all\"",
        ),
        key(
            "no-ca-names",
            Sections::ANY,
            Kind::Bool,
            Fallback::Bool(false),
            "no-ca-names",
            "Tells clients no names of authorities.",
            "no-ca-names = true",
        ),
        TICKETS,
        key(
            "ticket-keys",
            Sections::ANY,
            Kind::Text("the path of a file"),
            Fallback::Says("keys made at random, changed now and then"),
            "tls-ticket-keys",
            "A file of at least three keys of 48 or 80 bytes in base64, one a line, shared by several machines: the last three decrypt tickets, the one before the last encrypts.",
            "ticket-keys = \"/etc/evenkeel/tickets\"",
        ),
        key(
            "early-data",
            Sections::ANY,
            Kind::Bool,
            Fallback::Bool(false),
            "allow-0rtt",
            "Accepts requests in the first flight of TLS 1.3, which somebody may have recorded and sent again.",
            "early-data = true",
        ),
        key(
            "ocsp-update",
            Sections::ANY,
            Kind::Bool,
            Fallback::Bool(false),
            "ocsp-update",
            "Fetches the OCSP responses that are stapled.",
            "ocsp-update = true",
        ),
        key(
            "watch",
            Sections::ANY,
            Kind::Bool,
            Fallback::Bool(false),
            "",
            "Loads certificates whose files changed, without a reload.",
            "watch = true",
        ),
    ],
    later: &["generate-certificates", "ca-sign-file", "ca-sign-pass", "ech", "ktls", "npn", "renegotiate", "acme"],
    renamed: BIND_RENAMED,
};

const BIND_RENAMED: &[(&str, &str)] = &[
    ("crt", "write `certificate`"),
    ("cert", "write `certificate`"),
    ("certificates", "write `certificate = [..]`"),
    ("default-crt", "write `default-certificate`"),
    ("ssl-min-ver", "write `min-version`"),
    ("ssl-max-ver", "write `max-version`"),
    ("ecdhe", "write `curves`"),
    ("tls-ticket-keys", "write `ticket-keys`"),
    ("tls-tickets", "write `tickets = true`"),
    ("no-tls-tickets", "write `tickets = false`"),
    ("allow-0rtt", "write `early-data = true`"),
    ("no-alpn", "write `alpn = []`"),
    ("force-tlsv12", "write `max-version = \"1.2\"`"),
    ("force-tlsv13", "write `min-version = \"1.3\"`"),
    ("no-tlsv12", "write `min-version = \"1.3\"`"),
    ("no-tlsv13", "write `max-version = \"1.2\"`"),
];

/// A certificate in files of its own.
static CERT: Table = Table {
    name: "certificate",
    doc: "A certificate whose parts stand in files of their own.",
    keys: CERT_KEYS,
    later: &[],
    renamed: CERT_RENAMED,
};

const CERT_RENAMED: &[(&str, &str)] =
    &[("crt", "write `cert`"), ("certificate", "write `cert`"), ("chain", "put it into the file of `cert`")];

const CERT_KEYS: &[Key] = &[
    key(
        "cert",
        Sections::ANY,
        PATH,
        Fallback::Says("required"),
        "crt",
        "The certificate, with its chain.",
        "cert = \"/etc/ssl/site.crt\"",
    )
    .required(),
    key(
        "key",
        Sections::ANY,
        PATH,
        Fallback::Says("in the file of `cert`, or beside it as `<cert>.key`"),
        "key",
        "Its private key.",
        "key = \"/etc/ssl/site.key\"",
    ),
    key(
        "ocsp",
        Sections::ANY,
        Kind::Text("the path of a file"),
        Fallback::Says("`<cert>.ocsp` when it is there"),
        "ocsp",
        "The OCSP response that is stapled, in DER.",
        "ocsp = \"/etc/ssl/site.ocsp\"",
    ),
    key(
        "issuer",
        Sections::ANY,
        PATH,
        Fallback::Says("the next of the chain, or `<cert>.issuer`"),
        "issuer",
        "The certificate of who signed it.",
        "issuer = \"/etc/ssl/site.issuer\"",
    ),
    key(
        "sctl",
        Sections::ANY,
        Kind::Text("the path of a file"),
        Fallback::Says("none"),
        "sctl",
        "Signed certificate timestamps; today's certificates hold their own, and these are not sent.",
        "sctl = \"/etc/ssl/site.sctl\"",
    ),
    key(
        "ocsp-update",
        Sections::ANY,
        Kind::Bool,
        Fallback::Says("the bind's"),
        "ocsp-update",
        "Fetches the OCSP response of this certificate.",
        "ocsp-update = true",
    ),
];

/// One `load` of a `crt-store`: a certificate with a name.
static LOAD: Table = Table {
    name: "load",
    doc: "A certificate of a crt-store.",
    keys: &[
        CERT_KEYS[0],
        CERT_KEYS[1],
        CERT_KEYS[2],
        CERT_KEYS[3],
        CERT_KEYS[4],
        CERT_KEYS[5],
        key(
            "alias",
            Sections::ANY,
            Kind::Text("a name"),
            Fallback::Says("none"),
            "alias",
            "The name it is used by, as \"@store/alias\".",
            "alias = \"site\"",
        ),
    ],
    later: &["acme", "domains"],
    renamed: CERT_RENAMED,
};

/// `[crt-store.NAME]`.
pub(crate) static CRT_STORE: Table = Table {
    name: "crt-store",
    doc: "Certificates with names: \"@NAME/alias\" stands for one of them wherever a certificate is named.",
    keys: &[
        key(
            "load",
            Sections::ANY,
            Kind::Many(&Kind::Table(&LOAD)),
            Fallback::Says("none"),
            "load",
            "The certificates.",
            "load = [{ cert = \"site.pem\", alias = \"site\" }]",
        ),
        key(
            "crt-base",
            Sections::ANY,
            Kind::Text("a path"),
            Fallback::Says("the global `crt-base`"),
            "crt-base",
            "The folder of certificates that are named by a relative path.",
            "crt-base = \"/etc/evenkeel/certs\"",
        ),
        key(
            "key-base",
            Sections::ANY,
            Kind::Text("a path"),
            Fallback::Says("the global `key-base`"),
            "key-base",
            "The folder of keys that are named by a relative path.",
            "key-base = \"/etc/evenkeel/keys\"",
        ),
    ],
    later: &[],
    renamed: &[("certificate", "write `load = [{ cert = \"..\" }]`")],
};

/// `server.tls`.
static SERVER_TLS: Table = Table {
    name: "server.tls",
    doc: "TLS towards the server. `tls = true` verifies by the system's authorities and asks for the host of the request.",
    keys: &[
        server_verify(Fallback::Says("\"required\"")),
        CA_FILE_OF_SERVER,
        key(
            "crl-file",
            Sections::ANY,
            PATH,
            Fallback::Says("none"),
            "crl-file",
            "Revocation lists, one for each authority of the chain.",
            "crl-file = \"/etc/evenkeel/revoked.pem\"",
        ),
        key(
            "verifyhost",
            Sections::ANY,
            Kind::Text("a host name"),
            Fallback::Says("none: without SNI no name is looked for"),
            "verifyhost",
            "The name that must be in the server's certificate when no SNI is sent; otherwise the SNI must be.",
            "verifyhost = \"app.internal\"",
        ),
        key(
            "certificate",
            Sections::ANY,
            Kind::Any(&[Kind::Text("the path of a PEM file, or \"@store/name\""), Kind::Table(&CERT)]),
            Fallback::Says("none"),
            "crt",
            "The certificate shown to a server that asks for one.",
            "certificate = \"/etc/evenkeel/client.pem\"",
        ),
        server_alpn(Fallback::Says("none; `[\"h2\"]` with `proto = \"h2\"`")),
        key(
            "sni",
            Sections::ANY,
            Kind::Text("a sample expression such as \"req.hdr(host)\""),
            Fallback::Says("as `sni-auto` says"),
            "sni",
            "The name to ask for, by request; no name is sent when it gives none. `str(name)` is always the same.",
            "sni = \"str(app.internal)\"",
        ),
        key(
            "sni-auto",
            Sections::ANY,
            Kind::Bool,
            Fallback::Says("`true` in http mode"),
            "sni-auto, no-sni-auto",
            "Asks for the host of the request when `sni` is not set.",
            "sni-auto = false",
        ),
        POLICY[0],
        POLICY[1],
        POLICY[2],
        POLICY[3],
        POLICY[4],
        POLICY[5],
        SESSION_REUSE,
    ],
    later: &["npn", "renegotiate", "ktls", "ech"],
    renamed: &[
        ("crt", "write `certificate`"),
        ("cert", "write `certificate`"),
        ("ssl-min-ver", "write `min-version`"),
        ("ssl-max-ver", "write `max-version`"),
        ("no-ssl-reuse", "write `session-reuse = false`"),
        ("no-sni-auto", "write `sni-auto = false`"),
        ("force-tlsv12", "write `max-version = \"1.2\"`"),
        ("force-tlsv13", "write `min-version = \"1.3\"`"),
        ("check-sni", "write `check.sni`"),
        ("hostname", "write `verifyhost`"),
    ],
};

/// `global.ssl-default-bind`.
pub(super) static DEFAULT_BIND: Table = Table {
    name: "ssl-default-bind",
    doc: "What holds for TLS of every bind that does not say otherwise.",
    keys: &[
        POLICY[0],
        POLICY[1],
        POLICY[2],
        POLICY[3],
        POLICY[4],
        POLICY[5],
        CLIENT_SIGALGS,
        PREFER_CLIENT,
        STRICT_SNI,
        TICKETS,
    ],
    later: &[],
    renamed: BIND_RENAMED,
};

/// `global.ssl-default-server`.
pub(super) static DEFAULT_SERVER: Table = Table {
    name: "ssl-default-server",
    doc: "What holds for TLS to every server that does not say otherwise.",
    keys: &[
        server_verify(Fallback::Says("\"required\"")),
        CA_FILE_OF_SERVER,
        POLICY[0],
        POLICY[1],
        POLICY[2],
        POLICY[3],
        POLICY[4],
        POLICY[5],
        SESSION_REUSE,
    ],
    later: &[],
    renamed: &[("ssl-min-ver", "write `min-version`"), ("ssl-max-ver", "write `max-version`")],
};

/// `global.tune.ssl`.
pub(super) static TUNE_SSL: Table = Table {
    name: "tune.ssl",
    doc: "Sizes and limits of TLS.",
    keys: &[
        key(
            "lifetime",
            Sections::ANY,
            TIME_NOT_ZERO,
            Fallback::Time(defaults::SSL_LIFETIME),
            "tune.ssl.lifetime",
            "How long a session may be resumed.",
            "lifetime = \"1h\"",
        ),
        key(
            "cachesize",
            Sections::ANY,
            COUNT,
            Fallback::Int(defaults::SSL_CACHE as i64),
            "tune.ssl.cachesize",
            "Sessions of a bind that are kept for clients without tickets; 0 keeps none.",
            "cachesize = 100000",
        ),
        key(
            "maxrecord",
            Sections::ANY,
            Kind::Size(0, defaults::MAX_SSL_RECORD as u64, true),
            Fallback::Bytes(defaults::SSL_MAX_RECORD as u64),
            "tune.ssl.maxrecord",
            "Payload of the records that begin an answer, so that the client can decrypt the first packet; long ones get full records after. 0: full records at once.",
            "maxrecord = 1370",
        ),
        key(
            "hard-maxrecord",
            Sections::ANY,
            Kind::Size(0, defaults::MAX_SSL_RECORD as u64, true),
            Fallback::Int(0),
            "tune.ssl.hard-maxrecord",
            "Payload of the largest record; 0: 16384.",
            "hard-maxrecord = \"8k\"",
        ),
        key(
            "capture-buffer-size",
            Sections::ANY,
            Kind::Size(0, 65_536, true),
            Fallback::Int(0),
            "tune.ssl.capture-buffer-size",
            "Anything but 0 keeps the whole ClientHello of each connection, about 1 KiB, for `ssl_fc_cipherlist_*`, `ssl_fc_ja4` and others.",
            "capture-buffer-size = 96",
        ),
        key(
            "keylog",
            Sections::ANY,
            Kind::Bool,
            Fallback::Bool(false),
            "tune.ssl.keylog",
            "Writes session keys to the file that the environment variable SSLKEYLOGFILE names: whoever reads it reads the traffic.",
            "keylog = true",
        ),
    ],
    later: &[
        "default-dh-param",
        "force-private-cache",
        "keyupdate-rate-limit",
        "ocsp-update",
        "ssl-ctx-cache-size",
        "certificate-compression",
    ],
    renamed: &[("max-record", "write `maxrecord`"), ("cache-size", "write `cachesize`")],
};

/// `global.tune.h2`.
pub(super) static TUNE_H2: Table = Table {
    name: "tune.h2",
    doc: "HTTP/2: `fe` towards clients, `be` towards servers.",
    keys: &[
        key(
            "fe",
            Sections::ANY,
            Kind::Table(&TUNE_H2_FE),
            Fallback::Says("see there"),
            "tune.h2.fe.*",
            "Connections of clients.",
            "fe.max-concurrent-streams = 100",
        ),
        key(
            "be",
            Sections::ANY,
            Kind::Table(&TUNE_H2_BE),
            Fallback::Says("see there"),
            "tune.h2.be.*",
            "Connections to servers.",
            "be.max-concurrent-streams = 100",
        ),
    ],
    later: &["zero-copy-fwd-send", "log-errors"],
    renamed: &[
        ("max-concurrent-streams", "write `fe.max-concurrent-streams` or `be.max-concurrent-streams`"),
        ("initial-window-size", "write `fe.initial-window-size` or `be.initial-window-size`"),
        ("max-frame-size", "write `fe.max-frame-size` or `be.max-frame-size`"),
        ("header-table-size", "write `fe.header-table-size` or `be.header-table-size`"),
    ],
};

const H2_SIZES: [Key; 5] = [
    key(
        "max-concurrent-streams",
        Sections::ANY,
        Kind::Int(1, 65_536),
        Fallback::Int(defaults::H2_STREAMS as i64),
        "max-concurrent-streams",
        "Streams at once on a connection.",
        "max-concurrent-streams = 100",
    ),
    key(
        "initial-window-size",
        Sections::ANY,
        Kind::Size(16_384, i32::MAX as u64, true),
        Fallback::Int(defaults::H2_WINDOW as i64),
        "initial-window-size",
        "Bytes the peer may send on a stream before it is told that more may come.",
        "initial-window-size = \"256k\"",
    ),
    key(
        "rxbuf",
        Sections::ANY,
        Kind::Size(65_535, i32::MAX as u64, true),
        Fallback::Bytes(defaults::H2_CONNECTION_WINDOW as u64),
        "rxbuf",
        "Bytes the peer may send on all streams of a connection together before it is told that more may come.",
        "rxbuf = \"1m\"",
    ),
    key(
        "max-frame-size",
        Sections::ANY,
        Kind::Size(16_384, 16_777_215, true),
        Fallback::Bytes(defaults::H2_FRAME as u64),
        "tune.h2.max-frame-size",
        "Bytes of the longest frame that is accepted.",
        "max-frame-size = \"32k\"",
    ),
    key(
        "header-table-size",
        Sections::ANY,
        Kind::Size(0, 65_535, true),
        Fallback::Bytes(defaults::H2_HEADER_TABLE as u64),
        "tune.h2.header-table-size",
        "Bytes of the table of header compression that the peer may use.",
        "header-table-size = \"4k\"",
    ),
];

const H2_TOTAL: Key = key(
    "max-total-streams",
    Sections::ANY,
    Kind::Int(0, i32::MAX as i64),
    Fallback::Int(0),
    "max-total-streams",
    "Streams after which a connection is ended gently; 0 is never.",
    "max-total-streams = 10000",
);

const H2_GLITCHES: Key = key(
    "glitches-threshold",
    Sections::ANY,
    Kind::Int(0, i32::MAX as i64),
    Fallback::Int(defaults::H2_GLITCHES as i64),
    "glitches-threshold",
    "Requests that are not valid HTTP, each refused by itself, after which a client's connection is closed; 0 is never.",
    "glitches-threshold = 100",
);

static TUNE_H2_FE: Table = Table {
    name: "tune.h2.fe",
    doc: "HTTP/2 towards clients.",
    keys: &[
        H2_SIZES[0],
        H2_SIZES[1],
        H2_SIZES[2],
        H2_SIZES[3],
        H2_SIZES[4],
        H2_TOTAL,
        H2_GLITCHES,
        key(
            "max-rst-at-once",
            Sections::ANY,
            Kind::Int(0, i32::MAX as i64),
            Fallback::Int(defaults::H2_RESETS as i64),
            "tune.h2.fe.max-rst-at-once",
            "Streams a client may reset within a second; one more closes the connection. 0 is no limit.",
            "max-rst-at-once = 100",
        ),
        key(
            "max-frames-at-once",
            Sections::ANY,
            Kind::Int(0, i32::MAX as i64),
            Fallback::Int(defaults::H2_CONTROL_FRAMES as i64),
            "tune.h2.fe.max-frames-at-once",
            "Frames without progress (SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA) a client may send within a second; one more closes the connection. 0 is no limit.",
            "max-frames-at-once = 1000",
        ),
    ],
    later: &["log-errors"],
    renamed: &[],
};

static TUNE_H2_BE: Table = Table {
    name: "tune.h2.be",
    doc: "HTTP/2 towards servers.",
    keys: &[H2_SIZES[0], H2_SIZES[1], H2_SIZES[2], H2_SIZES[3], H2_SIZES[4], H2_TOTAL, H2_GLITCHES],
    later: &["max-rst-at-once", "max-frames-at-once", "log-errors"],
    renamed: &[],
};
