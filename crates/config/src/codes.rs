//! Every code a diagnostic can carry, with what `evenkeel explain` says about it.
//!
//! `EK01xx`: the file and its shape. `EK02xx`: what it means. `EK03xx` are the rules' own and live in the acl crate. A
//! code never changes its meaning; a retired one is not given out again.

use std::sync::LazyLock;

/// What `evenkeel explain CODE` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// `EK0110`.
    pub code: &'static str,
    /// A few words.
    pub title: &'static str,
    /// Cause, cure and an example, a few lines.
    pub text: &'static str,
}

/// The explanation of a code; case does not matter.
pub fn explain(code: &str) -> Option<&'static Explanation> {
    all_codes().iter().find(|e| e.code.eq_ignore_ascii_case(code))
}

/// Every code of the config language and of the rules, in order.
pub fn all_codes() -> &'static [Explanation] {
    static ALL: LazyLock<Vec<Explanation>> = LazyLock::new(|| {
        let rules = evenkeel_acl::CODES.iter().map(|&(code, title, text)| Explanation { code, title, text });
        let mut all: Vec<Explanation> = CODES.iter().copied().chain(rules).collect();
        all.sort_by_key(|e| e.code);
        all
    });
    &ALL
}

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $(pub(crate) const $name: &str = $code;)*

        /// The codes of this crate, in order.
        pub static CODES: &[Explanation] = &[$(Explanation { code: $code, title: $title, text: $text }),*];
    };
}

codes! {
    UNREADABLE = "EK0101", "a file cannot be read",
"The file does not exist, may not be read by this user, is no regular file, is larger than 64 MiB or is not UTF-8.
Check the path and its rights: `ls -l FILE`, or run `evenkeel check` as the user the service runs as.
A directory is read as all its *.toml files in name order; one without any is an error too.";

    SYNTAX = "EK0102", "not valid TOML",
"The text breaks the rules of TOML 1.1: a string without quotes, a bracket that is never closed, a key without a value.
Look at the place shown and, for something left open, at the lines above it.
    mode = tcp       # wrong: text needs quotes
    mode = \"tcp\"";

    INCLUDE = "EK0103", "an include leads nowhere",
"`include` names a file that cannot be read. Paths are relative to the file that includes them; `*` and `?` are allowed in
the last part of the path, and such a pattern may match nothing. A name without them must exist.
    include = [\"conf.d/*.toml\", \"backends.toml\"]";

    INCLUDE_CYCLE = "EK0104", "files include each other",
"A file includes itself, directly or through others. Remove one of the includes.
A file that two others include is no cycle: it is read once, where it is met first.";

    ENV_UNSET = "EK0105", "an environment variable is not set",
"A value holds ${NAME}, the variable is not in the environment, and no default is given.
Set it where the service is started (systemd: Environment=NAME=value), or give a default:
    address = \"${APP_HOST:-127.0.0.1}:3000\"
A literal ${ is written $${.";

    ENV_MALFORMED = "EK0106", "a broken ${..}",
"`${` starts an environment variable; it needs a name of letters, digits and `_`, and a closing `}`.
    address = \"${APP_HOST}:3000\"
A literal ${ is written $${.";

    UNKNOWN_KEY = "EK0110", "unknown key",
"No such key exists in this section. It is refused rather than ignored, since a setting that silently does nothing is worse
than an error. The nearest known name is shown if there is one; docs/reference.md lists every key of every section.
    timeot.client = \"30s\"     # wrong
    timeout.client = \"30s\"";

    UNKNOWN_SECTION = "EK0111", "unknown section",
"The sections are [global], [defaults], [defaults.NAME], [frontend.NAME], [backend.NAME], [listen.NAME], [userlist.NAME],
[http-errors.NAME] and [[test]].
A key written above the first section header stands in no section and ends up here too.
    [frontends.web]    # wrong
    [frontend.web]";

    LATER = "EK0112", "not in this version",
"The word is part of the language, but this version of Evenkeel does not do it yet. It is refused so that nobody relies on
a setting without effect. Remove it, or wait for the version whose changelog names it.";

    WRONG_SECTION = "EK0113", "the key belongs in another section",
"The key exists, but has no meaning in this kind of section: a frontend has listening addresses and client timeouts, a
backend has servers and server timeouts, a listen has both.
    [frontend.web]
    server = [\"127.0.0.1:3000\"]    # wrong: move it to a [backend.NAME], or make this a [listen.web]";

    RENAMED = "EK0114", "written otherwise here",
"The word is known from haproxy.cfg or is near at hand, but this file says it in another way; the hint shows how.
    nbthread = 4       # wrong
    threads = 4";

    WRONG_TYPE = "EK0120", "wrong type of value",
"The key takes another type of value: text has quotes, numbers and true/false have none, lists stand in [ ], tables in { }.
    maxconn = \"2000\"    # wrong
    maxconn = 2000
A text that holds ${NAME} may stand where a number or true/false is expected.";

    NO_UNIT = "EK0121", "a number without a unit",
"Durations and sizes are text with a unit, because a bare number is read as milliseconds by some and as seconds by others.
Durations: us ms s m h d, also combined. Sizes: b k m g, powers of 1024.
    timeout.client = 30        # wrong
    timeout.client = \"30s\"";

    BAD_DURATION = "EK0122", "not a duration",
"A duration is whole numbers with units, without spaces or decimals: \"500us\", \"100ms\", \"5s\", \"1m30s\", \"2h\", \"1d\".
    timeout.connect = \"1.5s\"    # wrong
    timeout.connect = \"1500ms\"";

    BAD_SIZE = "EK0123", "not a size",
"A size is one whole number with a unit, without spaces or decimals: \"512b\", \"16k\", \"1m\", \"2g\"; powers of 1024.
Some sizes must be a power of two: \"32k\", \"64k\", \"128k\".";

    OUT_OF_RANGE = "EK0124", "out of range",
"The value has the right type but is smaller or larger than what makes sense; the message names both ends.
    weight = 300    # wrong: 0 to 256";

    UNKNOWN_WORD = "EK0125", "unknown word",
"The key takes one word of a short list, and this is none of them. The list is in the message or in docs/reference.md.
    mode = \"htpp\"    # wrong
    mode = \"http\"";

    BAD_TEXT = "EK0126", "text that cannot be used",
"The text is empty where something is needed, or holds a control character such as a line break, which would end up in a log
line or a header. Remove it.";

    BAD_NAME = "EK0127", "not a name",
"Names of sections, servers and acls are made of letters, digits and the characters - _ . :
    [backend.\"my app\"]    # wrong
    [backend.my-app]";

    MISSING_KEY = "EK0128", "a key is missing",
"The table needs this key. A server needs `name` and `address`, a bind `address`, a log `target`, the admin listener `listen`.
    server = [{ name = \"app1\", address = \"10.0.0.11:8080\" }]";

    BAD_PERMISSION = "EK0129", "not permission bits",
"The mode of a Unix socket is written in octal with the prefix 0o; 660 without it would be another number.
    mode = 660      # wrong
    mode = 0o660";

    SET_TWICE = "EK0130", "set in two files",
"Two files of one configuration set the same key of [global] or [defaults], and neither wins. Remove one.
Sections of the same kind are merged over files key by key; a frontend, backend or listen stands in one file only.";

    CONTRADICTION = "EK0131", "settings that exclude each other",
"Two settings of one table cannot both hold, such as a tcp check with an HTTP uri. Remove one of them.
    check = { type = \"tcp\", uri = \"/healthz\" }    # wrong
    check = { uri = \"/healthz\" }                  # an http check";

    DUPLICATE_PROXY = "EK0201", "two proxies of the same name",
"Names of frontends, backends and listens are unique over all three, since logs, statistics and rules know them by name.
    [frontend.web]
    [backend.web]    # wrong: call it app, or make both one [listen.web]";

    DUPLICATE_SERVER = "EK0202", "two servers of the same name",
"Names of servers are unique in their backend: the name is the server's identity in logs, statistics and over reloads.
A server given as a bare address is named by it.
    server = [\"10.0.0.1:80\", \"10.0.0.1:80\"]    # wrong; for a larger share give a weight";

    DUPLICATE_BIND = "EK0203", "two binds on the same address",
"The same address and port is listened on twice, in one frontend or in two. Remove one of the two; to tell requests apart on
one address, use acls and use_backend.";

    UNKNOWN_BACKEND = "EK0204", "no such backend",
"default_backend or a use_backend rule names a backend that does not exist. A listen section counts as a backend too; a
frontend does not. Check the spelling; the nearest name is shown.
    default_backend = \"app\"    # needs a [backend.app] or [listen.app]";

    UNKNOWN_DEFAULTS = "EK0205", "no such defaults",
"`from` names a [defaults.NAME] section that does not exist. Sections without `from` take the unnamed [defaults].
    [defaults.api]
    [backend.app]
    from = \"api\"";

    MODE_MISMATCH = "EK0206", "frontend and backend differ in mode",
"A frontend in http mode can only use backends in http mode: a request cannot become bytes again. The default is http.
    [frontend.db]
    mode = \"tcp\"
    default_backend = \"db1\"    # with mode = \"tcp\" in [backend.db1]";

    DEFAULTS_CYCLE = "EK0207", "defaults take from each other",
"A defaults section takes its defaults from itself, directly or through others. Remove one `from`.";

    RULES_IN_TCP = "EK0208", "HTTP rules in tcp mode",
"http-request rules and fetches such as path or hdr look at requests, and a proxy in tcp mode sees only bytes: the rule would
never run, the acl never match. Set mode = \"http\", or decide by the connection, in use_backend:
    use_backend = [\"internal if { src 10.0.0.0/8 }\"]
Where a port speaks HTTP and something else, wait for what the client says first and go on as HTTP if it is that:
    tcp-request.inspect-delay = \"5s\"
    tcp-request.content = [\"switch-mode http if { req.proto_http }\"]";

    DEFAULTS_RULES = "EK0209", "rules of defaults that would run twice",
"Rules of named defaults run before those of the section that takes them. When a frontend and the backend it uses take the same
ones, they would run twice for one request, as HAProxy refuses too. Make two:
    [defaults.edge]
    http-request = [\"set-header X-Edge 1\"]      # for frontends and listens
    [defaults.app]
    http-response = [\"del-header Server\"]       # for backends";

    BAD_BIND = "EK0210", "not a listening address",
"Write \":80\" or \"*:80\" (every IPv4 address), \"[::]:80\" (IPv6), \"10.0.0.1:8000-8010\" (a port range), \"/run/app.sock\" or
\"unix@/run/app.sock\", \"fd@3\" (an inherited socket); several separated by commas. The port is needed.
    bind = [\":80\", \"[::]:80\"]";

    BAD_SERVER_ADDRESS = "EK0211", "not a server address",
"Write \"10.0.0.11:8080\", \"[2001:db8::1]:8080\", \"app1.internal:8080\" (resolved when the file is loaded) or
\"unix@/run/app.sock\". The port is needed.
    server = [\"127.0.0.1:3000\"]";

    UNRESOLVED = "EK0212", "a host name has no address",
"The name was looked up while the file was loaded, and no address was found. Check the spelling and the resolver of this
machine (`getent hosts NAME`), or write the address itself.";

    BAD_BALANCE = "EK0213", "not a balance algorithm",
"Write \"roundrobin\", \"static-rr\", \"leastconn\", \"first\", \"source\" or \"random(2)\", with the number of draws.
    balance = \"leastconn\"";

    BAD_EXPECT = "EK0214", "not an expectation",
"What a check expects is written as after `http-check expect` in haproxy.cfg, with an optional ! in front:
    expect = \"status 200-299,404\"    expect = \"! string error\"    expect = \"rstring ^ok\"    expect = \"rstatus ^2\"
    expect = \"hdr name x-ok\"         expect = \"hdr name x-ok value yes,on\"    expect = \"hdr name x-ok value-reg ^y\"
Several stand in an array and must all hold.";

    BAD_REGEX = "EK0215", "not a regular expression",
"The expression cannot be compiled. The syntax is that of the Rust regex crate: as Perl's, without look-around and
back-references. In TOML write expressions between single quotes, where a backslash needs no doubling.
    expect = 'rstring ^ok\\b'";

    BAD_LOG_TARGET = "EK0216", "not a log target",
"Write \"stdout\", \"stderr\", \"file:/var/log/evenkeel.log\", \"udp:127.0.0.1:514\" or \"127.0.0.1:514\" (syslog over UDP), or
\"unix:/dev/log\" or \"/dev/log\" (syslog over a Unix socket). \"global\" in a proxy stands for the targets of [global].
    log = [{ target = \"stdout\", format = \"http\" }, \"udp:10.0.0.5\"]";

    BAD_NETWORK = "EK0217", "not a network",
"Write an address or an address with a prefix length: \"127.0.0.0/8\", \"10.1.2.3\", \"2001:db8::/32\".
    option.forwardfor = { except = \"127.0.0.0/8\" }";

    BAD_HEADER = "EK0218", "not valid in an HTTP message",
"A method and the name of a header are made of letters, digits and !#$%&'*+-.^_`|~ (RFC 9110 section 5.6.2); a header's value
holds no line breaks or other control characters; a request target holds no spaces.
    option.forwardfor = { header = \"X-Client-IP\" }";

    BAD_ON_REMOVE = "EK0219", "not an on-remove",
"What happens to open connections when their server leaves the file: \"keep\" (they live on), \"drain 30s\" (they may take this
long) or \"close\".
    on-remove = \"drain 30s\"";

    BAD_SOURCE = "EK0220", "not a source address",
"The local address for connections to a server is an address of this machine, with or without a port.
    source = \"10.0.0.5\"";

    UNKNOWN_SERVER = "EK0221", "no such server",
"A use-server rule or a test names a server that its backend does not have. The nearest name is shown if there is one.
    use-server = [\"app1 if { req.hdr(x-canary) 1 }\"]
    server     = [{ name = \"app1\", address = \"10.0.0.11:8080\" }]";

    UNKNOWN_NAME = "EK0222", "a reference to nothing",
"The name of a section is used that the file does not define: an [http-errors.NAME], a frontend of a test, a stick table, a
user of a group. The nearest name is shown if there is one.
    errorfiles = [\"site\"]
    [http-errors.site]
    errorfile = { 503 = \"errors/503.http\" }";

    BAD_TABLE = "EK0223", "not a stick table",
"A data type of `store` is unknown, stands twice, lacks its period, or two exclude each other; or the lengths do not fit.
    stick-table = { type = \"ip\", size = \"100k\", expire = \"10m\", store = [\"http_req_rate(10s)\", \"conn_cur\"] }
docs/reference.md lists the data types.";

    BAD_PAGE = "EK0224", "not an error page",
"The file of an errorfile holds a whole HTTP message: a status line with the status it is for, fields, a blank line, the body. Pages
can be given for the statuses Evenkeel answers by itself: 200 400 401 403 404 405 407 408 410 413 414 421 422 425 429 431 500
to 504. A status has one page in a section.
    HTTP/1.1 503 Service Unavailable
    Content-Type: text/html

    <h1>Back soon</h1>";

    BAD_USER = "EK0225", "not a user",
"A user has a name and one password: `password`, as crypt(3) makes it ($5$, $6$ or $2b$), or `insecure-password` in clear. Names of
users and groups stand once in a userlist.
    user = [{ name = \"ann\", insecure-password = \"secret\" }]";

    BAD_TEST = "EK0226", "a test that cannot be run",
"Something in a [[test]] does not fit: a URL that is none, an address, a date, a counter the table does not store, a frontend that
cannot be told from the others.
    request = { url = \"https://www.example.com/a?b=1\", src = \"203.0.113.9\", frontend = \"web\" }";

    UNREADABLE_DATA = "EK0227", "a file that is named cannot be read",
"An error page or another file that a section names does not exist, may not be read by this user, or is too large. A relative path
is relative to the folder of the first file of the configuration.
    errorfile = { 503 = \"errors/503.http\" }";

    BAD_TLS = "EK0228", "TLS settings that cannot be used",
"A name of a version, an algorithm, a protocol or an error is unknown, or something that TLS cannot do without is missing. TLS on a
bind needs a certificate; verifying clients needs to know who may have signed theirs. Versions below 1.2 are not spoken.
    bind = [{ address = \":443\", tls = { certificate = \"site.pem\", min-version = \"1.2\" } }]";

    BAD_CERTIFICATE = "EK0229", "a certificate or key that cannot be used",
"A file of certificates, keys, authorities, revocation lists or ticket keys cannot be read or does not hold what is needed: no
certificate, no key, an encrypted key, a key of another certificate, an authority that is none. The message names the file.
A PEM file holds the certificate, its chain and its key in any order; the key may stand beside it as `<file>.key`.
    openssl x509 -in site.pem -noout -subject -dates      # what a file holds
    openssl pkey -in encrypted.key -out site.key          # takes the passphrase off";

    NO_BIND = "EK0230", "nothing to listen on",
"The frontend has no bind, so no client can ever reach it. Give it one, set disabled = true, or remove it.
    bind = [\":8080\"]";

    NO_SERVER = "EK0231", "a backend without servers",
"Every request that is sent to this backend is answered with 503. Give it a server, or let a rule answer.
    server = [\"127.0.0.1:3000\"]";

    NO_BACKEND = "EK0232", "a frontend without a backend",
"The frontend has neither default_backend nor use_backend, so what no rule answers is answered with 503.
    default_backend = \"app\"";

    UNUSED_ACL = "EK0233", "an acl that is never used",
"The acl is defined, but no rule of its section asks for it: a misspelt name in a rule, or a leftover. Acls are known in their
own section only.
    acl.api = \"path_beg /api/\"
    use_backend = [\"api if api\"]";

    NO_PROXY = "EK0234", "nothing is served",
"No file defines a frontend or a listen that is enabled, so the program would do nothing. The smallest useful file:
    [listen.web]
    bind   = [\":8080\"]
    server = [\"127.0.0.1:3000\"]";

    UNUSED_DEFAULTS = "EK0235", "defaults that nobody takes",
"A named defaults section applies only to the sections that say from = \"NAME\"; nobody does.
    [frontend.web]
    from = \"NAME\"";

    NO_EFFECT_IN_TCP = "EK0236", "without effect in tcp mode",
"The key works on HTTP messages, and this proxy is in tcp mode, where there are none. Set mode = \"http\" or remove the key.";

    NO_WEIGHT = "EK0237", "every server has weight 0",
"A server of weight 0 gets no new traffic, and every server of this backend has it, so requests are answered with 503.
Give at least one a weight of 1 or more.";

    RULE_NEVER_RUNS = "EK0238", "a rule that can never run",
"A rule above it without a condition ends the list for every request. Move it up, or give the rule above a condition.
    http-request = [\"deny\", \"set-header X-A b\"]    # the second never runs";

    SHADOWED = "EK0239", "a rule that is shadowed by others",
"Rules above it end the list for every request it could match, so it never runs. The hint shows such a request, tried out on
the rules themselves. Move the rule up, narrow those above it, or remove it.
    http-request = [\"deny if { path_beg /api/ }\", \"allow if { path /api/status }\"]    # the second never runs
Only what is certain is told: files, maps, variables, time and counters are taken to be anything.";

    NEVER_HOLDS = "EK0240", "a condition that can never hold",
"Acls that stand side by side must all hold, and no request can be like that: the message names those that exclude each other.
Write `or` between acls of which one is enough.
    http-request = [\"deny if METH_POST METH_PUT\"]       # wrong: a request has one method
    http-request = [\"deny if METH_POST or METH_PUT\"]
To switch a rule off on purpose, write `if FALSE`: that is not told of.";

    ORDER_DECIDES = "EK0241", "rules whose order decides",
"Some requests match this rule and one above it that does something else and ends the list, so swapping the two would change
what becomes of them. That is often meant: the special case before the general one. Told with `evenkeel check --notes` only,
with a request that both match.
    use_backend = [\"static if { path_end .css }\", \"api if { path_beg /api/ }\"]    # /api/a.css goes to static";

    NO_EFFECT = "EK0242", "without effect",
"The key says something of a thing that is switched off, such as the authorities of client certificates nobody asks for, or wants more
than a limit elsewhere allows. Remove it, switch the thing on, or raise the limit.
    tls = { certificate = \"site.pem\", verify = \"optional\", ca-file = \"clients-ca.pem\" }";

    ODD_ALPN = "EK0243", "a protocol nobody offers",
"The names of protocols in ALPN are registered with IANA: \"h2\" is HTTP/2, \"http/1.1\" is HTTP/1.1. Clients offer them by these names.
    alpn = [\"h2\", \"http/1.1\"]";

    DOUBTFUL_CERTIFICATE = "EK0244", "a certificate that needs attention",
"It can be used today or in part, but somebody should look at it: it has lapsed or is not valid yet, an OCSP response beside it cannot
be stapled, an authority in a bundle is too old to be used.
    openssl x509 -in site.pem -noout -subject -dates";

    BAD_RESOLVERS = "EK0245", "resolvers that cannot be used",
"A [resolvers.NAME] section asks name servers by their IP addresses, over UDP or, with `tcp@`, over TCP. Port 53 may be left out; each
has a name of its own.
    [resolvers.dns]
    nameserver = [\"10.0.0.53\", \"tcp@10.0.0.54:53\"]";

    BAD_LOG_SAMPLE = "EK0250", "not some lines of a period",
"`sample` of a logger is a list of lines and the length of the period they are counted in, with a colon between. Lines count from 1, and
none is beyond the end of the period.
    log = { target = \"udp:10.0.0.5\", sample = \"1:10\" }       # the first of each ten lines
    log = { target = \"udp:10.0.0.6\", sample = \"2,4-5:6\" }    # the second, fourth and fifth of each six";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_unique_and_explained() {
        for pair in CODES.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} before {}", pair[0].code, pair[1].code);
        }
        for e in all_codes() {
            assert!(e.code.starts_with("EK0") && e.code.len() == 6, "{}", e.code);
            assert!(!e.title.is_empty() && e.text.len() > 80, "{}", e.code);
        }
        assert_eq!(explain("ek0110").map(|e| e.title), Some("unknown key"));
        assert_eq!(explain("EK9999"), None);
    }
}
