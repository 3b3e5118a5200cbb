//! The closed list of ends, one entry each: the only place where a reason is described.
//!
//! Codes are grouped by whose fault it was (`EV1xx` client, `EV2xx` server, `EV3xx` operator, `EV4xx` proxy, `EV5xx` admin)
//! and stay what they are: an entry may be added, its code and label are never changed or given to another. An entry exists
//! only when something produces it.

use super::{Entry, Fault, Stage};

macro_rules! ends {
    ($($variant:ident = $code:literal $label:literal, $fault:ident, $letter:literal $stage:ident, $status:expr, $token:expr,
        $sentence:literal, $next:literal;)+) => {
        /// How a transaction or connection ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum End {
            $(#[doc = $sentence] $variant,)+
        }

        /// Every end, in the order of its code; an end is the index of its entry.
        pub(super) static TABLE: [Entry; [$($code),+].len()] = [
            $(Entry {
                end: End::$variant,
                code: $code,
                label: $label,
                fault: Fault::$fault,
                letter: $letter,
                stage: Stage::$stage,
                status: $status,
                proxy_status: $token,
                sentence: $sentence,
                next: $next,
            },)+
        ];
    };
}

ends! {
    Normal = "EV000" "normal", Nobody, b'-' Done, None, None,
        "the transaction completed",
        "nothing";
    Answered = "EV001" "answered", Nobody, b'L' Request, None, Some("proxy_internal_response"),
        "a rule answered the request",
        "nothing";

    ClientSilent = "EV100" "client_silent", Client, b'c' Request, Some(408), Some("http_request_error"),
        "the client connected and sent nothing within timeout.http-request",
        "nothing when these are port scans or a browser's spare connections; option.http-ignore-probes leaves them out";
    ClientClosedSilently = "EV101" "client_closed_silently", Client, b'C' Request, Some(400), Some("http_request_error"),
        "the client connected and left without a word",
        "nothing: this is what another balancer's health check looks like; option.dontlognull leaves it out of the log";
    ClientClosedInHead = "EV102" "client_closed_in_head", Client, b'C' Request, Some(400), Some("http_request_error"),
        "the client closed the connection in the middle of the request head",
        "nothing when it is rare; else look for what cuts connections between client and proxy";
    ClientClosedInBody = "EV103" "client_closed_in_body", Client, b'C' Data, Some(400), Some("http_request_error"),
        "the client closed the connection in the middle of the request body",
        "nothing when it is rare: an upload was given up; else look for what cuts connections between client and proxy";
    ClientClosedInQueue = "EV104" "client_closed_in_queue", Client, b'C' Queue, Some(400), Some("http_request_error"),
        "the client closed the connection while its request waited for a free slot",
        "look at the time in queue: add servers or raise their maxconn when clients lose patience";
    ClientClosedWaiting = "EV105" "client_closed_waiting", Client, b'C' Headers, Some(400), Some("http_request_error"),
        "the client closed the connection while it waited for the response",
        "look at the response time of the server: a slow application makes clients leave";
    ClientClosedInResponse = "EV106" "client_closed_in_response", Client, b'C' Data, None, None,
        "the client closed the connection in the middle of the response",
        "nothing: tabs are closed and downloads are given up";
    ClientClosedResolving = "EV107" "client_closed_resolving", Client, b'C' Request, Some(400), Some("http_request_error"),
        "the client closed the connection while a name was looked up for its request (do-resolve)",
        "look at the name servers (`evenkeel resolvers`): slow or silent ones make clients leave";
    ClientSlowHead = "EV110" "client_slow_head", Client, b'c' Request, Some(408), Some("http_request_error"),
        "the client did not send a whole request head within timeout.http-request",
        "nothing when it is rare; many from one address are an attack, many from everywhere a network in trouble";
    ClientSlowBody = "EV111" "client_slow_body", Client, b'c' Data, Some(408), Some("http_request_error"),
        "the client sent nothing of the rest of its request body for timeout.client",
        "raise timeout.client if such clients are legitimate; otherwise nothing";
    ClientNotReading = "EV112" "client_not_reading", Client, b'c' Data, None, None,
        "the client took nothing of the response for timeout.client",
        "raise timeout.client if clients pause downloads on purpose; otherwise nothing";
    BodyWaitTimeout = "EV113" "body_wait_timeout", Client, b'c' Request, Some(408), Some("http_request_error"),
        "the client did not send the body in time that a wait-for-body rule or option.http-buffer-request asks for",
        "raise the time of the rule, or timeout.http-request, if such clients are legitimate";
    RequestBadLine = "EV120" "request_bad_line", Client, b'P' Request, Some(400), Some("http_request_error"),
        "the request line is not valid HTTP",
        "look at the client; TLS or another protocol sent to a plain HTTP port looks like this too";
    RequestBadVersion = "EV121" "request_bad_version", Client, b'P' Request, Some(400), Some("http_request_error"),
        "the request names an HTTP version that is not 1.0 or 1.1",
        "look at the client";
    RequestHttp2Preface = "EV122" "request_http2_preface", Client, b'P' Request, Some(405), Some("http_request_error"),
        "the client speaks HTTP/2 without having agreed on it",
        "allow it (option.disable-h2-upgrade, proto), or make the client speak HTTP/1.1 to this port";
    RequestBadLineEnd = "EV123" "request_bad_line_end", Client, b'P' Request, Some(400), Some("http_request_error"),
        "a line of the request head does not end with CR LF",
        "look at the client: such requests are hand-made or an attempt to smuggle one request in another";
    RequestBadField = "EV124" "request_bad_field", Client, b'P' Request, Some(400), Some("http_request_error"),
        "a field line of the request is not valid HTTP",
        "look at the client: a blank before a colon, a control character, or a folded line";
    RequestBadHost = "EV125" "request_bad_host", Client, b'P' Request, Some(400), Some("http_request_error"),
        "the request has no Host, several, an invalid one, or one that differs from its target",
        "look at the client";
    RequestBadFraming = "EV126" "request_bad_framing", Client, b'P' Request, Some(400), Some("http_request_error"),
        "the length of the request body is given in a way that recipients may read differently",
        "look at the client: two lengths, or a length beside a transfer coding, are how requests are smuggled";
    RequestUnknownCoding = "EV127" "request_unknown_coding", Client, b'P' Request, Some(422), Some("http_request_error"),
        "the request uses a transfer coding other than chunked",
        "make the client use chunked, or Content-Encoding for compression";
    RequestBodyNotAllowed = "EV128" "request_body_not_allowed", Client, b'P' Request, Some(413), Some("http_request_error"),
        "the request has a body that its method or version does not allow",
        "look at the client: CONNECT, or GET, HEAD and DELETE in HTTP/1.0, carry none";
    RequestTargetTooLong = "EV129" "request_target_too_long", Client, b'P' Request, Some(414), Some("http_request_error"),
        "the request target is longer than tune.http.maxuri",
        "move data from the query into the body, or raise tune.http.maxuri";
    RequestTooManyFields = "EV130" "request_too_many_fields", Client, b'P' Request, Some(431), Some("http_request_error"),
        "the request has more fields than tune.http.maxhdr",
        "look at what adds fields on the way, or raise tune.http.maxhdr";
    RequestHeadTooLarge = "EV131" "request_head_too_large", Client, b'P' Request, Some(431), Some("http_request_error"),
        "the request head is larger than tune.bufsize",
        "look for a cookie or a token that grew, or raise tune.bufsize";
    RequestBadChunk = "EV132" "request_bad_chunk", Client, b'P' Data, Some(400), Some("http_request_error"),
        "the request body is not valid chunked coding",
        "look at the client; the server saw the beginning and a closed connection, never a whole request";
    RequestChunkTooLarge = "EV133" "request_chunk_too_large", Client, b'P' Data, Some(400), Some("http_request_error"),
        "a chunk of the request body is larger than 2 GiB",
        "make the client send smaller chunks";
    RequestTrailersTooLarge = "EV134" "request_trailers_too_large", Client, b'P' Data, Some(400), Some("http_request_error"),
        "the trailers of the request are larger than the limit",
        "make the client send what it has to say as header fields, or less of it";
    H2Broken = "EV140" "h2_broken", Client, b'P' Request, None, None,
        "the client broke HTTP/2, and its connection was closed",
        "look at the client; the error code it was told is in its own log";
    H2Excess = "EV141" "h2_excess", Client, b'P' Request, None, None,
        "the client made HTTP/2 work without getting anywhere: streams that were refused, data in tiny frames, heads without end",
        "many from one address are an attack: deny it in tcp-request.connection";
    H2Resets = "EV142" "h2_resets", Client, b'P' Request, None, None,
        "the client reset more HTTP/2 streams than tune.h2.fe.max-rst-at-once allows",
        "rapid reset is an attack (CVE-2023-44487): deny the address; raise the limit for a client that cancels a lot";
    H2Settings = "EV143" "h2_settings", Client, b'P' Request, None, None,
        "the client sent more SETTINGS frames than tune.h2.fe.max-frames-at-once allows",
        "no client needs that many: deny the address";
    H2Pings = "EV144" "h2_pings", Client, b'P' Request, None, None,
        "the client sent more PING frames than tune.h2.fe.max-frames-at-once allows",
        "deny the address, or raise the limit for a client that measures its network";
    H2EmptyData = "EV145" "h2_empty_data", Client, b'P' Data, None, None,
        "the client sent more DATA frames without data than tune.h2.fe.max-frames-at-once allows",
        "no client needs that many: deny the address";
    H2Continuations = "EV146" "h2_continuations", Client, b'P' Request, None, None,
        "the client cut a head into more CONTINUATION frames than any head needs",
        "an attack (CVE-2024-27316) unless its heads are huge: deny the address";
    H2Windows = "EV147" "h2_windows", Client, b'P' Data, None, None,
        "the client sent more WINDOW_UPDATE and PRIORITY frames than tune.h2.fe.max-frames-at-once allows",
        "no client needs that many: deny the address";
    H2Silent = "EV148" "h2_silent", Client, b'c' Data, None, None,
        "the client did not answer a ping within idle-ping, and its connection was closed",
        "nothing: a phone that left its network looks like this";
    H2Glitches = "EV149" "h2_glitches", Client, b'P' Request, None, None,
        "the client sent more requests that are not valid HTTP than tune.h2.fe.glitches-threshold allows on one connection",
        "look at the client; many from one address are an attack: deny it in tcp-request.connection";
    TunnelClientReset = "EV150" "tunnel_client_reset", Client, b'C' Data, None, None,
        "the client reset the connection while both sides could still send",
        "nothing when it is rare: a client that ends without a farewell";
    TunnelIdleClient = "EV151" "tunnel_idle_client", Client, b'c' Data, None, None,
        "neither side sent anything for timeout.tunnel, or for timeout.client when none is set",
        "raise timeout.tunnel, or send a ping within it";
    TunnelClientFin = "EV152" "tunnel_client_fin", Client, b'c' Data, None, None,
        "the client had closed its sending side and nothing moved any more for timeout.client-fin",
        "raise timeout.client-fin if servers answer late to clients that have sent all";
    TlsClientClosed = "EV160" "tls_client_closed", Client, b'C' Request, None, None,
        "the client closed the connection in the middle of the TLS handshake",
        "nothing when it is rare: scanners, and browsers that did not like what they saw, leave like this";
    TlsTimeout = "EV161" "tls_timeout", Client, b'c' Request, None, None,
        "the TLS handshake was not over within timeout.handshake",
        "nothing when it is rare; many from one address are an attack";
    TlsNotTls = "EV162" "tls_not_tls", Client, b'P' Request, None, None,
        "the client does not speak TLS on a port that does",
        "look at the client: another protocol, or a PROXY header that the bind does not expect (accept-proxy)";
    TlsPlainHttp = "EV163" "tls_plain_http", Client, b'P' Request, Some(400), Some("http_request_error"),
        "the client speaks plain HTTP on a port of TLS",
        "make the link say https, or give clients a plain port that redirects";
    TlsNothingShared = "EV164" "tls_nothing_shared", Client, b'P' Request, None, None,
        "client and bind have no TLS version, cipher suite, group or signature scheme in common",
        "an old client, or limits of the bind that are too narrow: compare with min-version, ciphers and curves";
    TlsClientAlert = "EV165" "tls_client_alert", Client, b'C' Request, None, None,
        "the client refused the TLS handshake",
        "mostly it does not trust the certificate: check its names, its chain and its dates";
    TlsClientCertificate = "EV166" "tls_client_certificate", Client, b'P' Request, None, None,
        "the client's certificate is missing or was refused",
        "compare what it shows with ca-file and crl-file of the bind; ca-ignore-err and crt-ignore-err let rules decide";
    TlsProtocol = "EV167" "tls_protocol", Client, b'P' Request, None, None,
        "the client broke the TLS protocol",
        "look at the client: garbage, a renegotiation, or a record that was changed on the way";
    TlsUnknownName = "EV168" "tls_unknown_name", Client, b'P' Request, None, None,
        "the client asked for a name that no certificate of the bind has, and strict-sni is on",
        "add a certificate for the name, or turn strict-sni off to show the default one";
    TlsNoProtocol = "EV169" "tls_no_protocol", Client, b'P' Request, None, None,
        "the client offers no application protocol (ALPN) that the bind does",
        "compare with alpn of the bind";
    ProxyHeaderMissing = "EV170" "proxy_header_missing", Client, b'P' Request, None, None,
        "the connection does not begin with the PROXY header that the bind expects",
        "make the balancer in front send it (send-proxy), or give clients that come directly a bind without accept-proxy";
    ProxyHeaderMalformed = "EV171" "proxy_header_malformed", Client, b'P' Request, None, None,
        "the PROXY header of the connection is not valid",
        "look at what the balancer in front sends: its checksum, its length, a line that ends without CR LF";
    ProxyHeaderClosed = "EV172" "proxy_header_closed", Client, b'C' Request, None, None,
        "the client closed the connection in the middle of its PROXY header",
        "nothing when it is rare; else look for what cuts connections between the balancer in front and this one";
    ProxyHeaderTimeout = "EV173" "proxy_header_timeout", Client, b'c' Request, None, None,
        "the PROXY header was not whole within timeout.handshake",
        "look at what connects here: the balancer in front sends the header with its first packet";
    ProxySourceUntrusted = "EV174" "proxy_source_untrusted", Client, b'P' Request, None, None,
        "the address that connected is not among those that may send a PROXY header to the bind",
        "add it to from of accept-proxy if it is one of your balancers; otherwise nothing";

    ConnectRefused = "EV200" "connect_refused", Server, b'S' Connect, Some(503), Some("connection_refused"),
        "the server refused the connection",
        "is it running, and does it listen on the address of the configuration?";
    ConnectReset = "EV201" "connect_reset", Server, b'S' Connect, Some(503), Some("connection_terminated"),
        "the server reset the connection while it was made",
        "look for a full accept queue, or a firewall between here and the server";
    ConnectUnreachable = "EV202" "connect_unreachable", Server, b'S' Connect, Some(503), Some("destination_ip_unroutable"),
        "the network has no way to the server",
        "is the host up, and does `ip route get ADDRESS` know a way to it?";
    ConnectTimeout = "EV203" "connect_timeout", Server, b's' Connect, Some(503), Some("connection_timeout"),
        "the server did not accept the connection within timeout.connect",
        "look for a host that is down, a firewall that drops, or a full accept queue on the server";
    ConnectFailed = "EV204" "connect_failed", Server, b'S' Connect, Some(503), Some("destination_unavailable"),
        "the connection to the server failed",
        "try it by hand from this machine: `curl -v` or `nc -vz` with the server's address";
    ConnectNoSocket = "EV205" "connect_no_socket", Server, b'S' Connect, Some(503), Some("destination_not_found"),
        "the socket file of the server does not exist",
        "is the server running, and is the path in the configuration the one it listens on?";
    ServerClosedUnanswered = "EV210" "server_closed_unanswered", Server, b'S' Headers, Some(502), Some("connection_terminated"),
        "the server took the request and closed the connection without a byte of a response",
        "look for a crash, a restart, or a worker that was killed, in the server's own log at this time";
    ServerResetUnanswered = "EV211" "server_reset_unanswered", Server, b'S' Headers, Some(502), Some("connection_terminated"),
        "the server reset the connection without a byte of a response",
        "look for a crash, a restart, or a server that closes before it has read the whole request";
    ServerClosedInHead = "EV212" "server_closed_in_head", Server, b'S' Headers, Some(502), Some("http_response_incomplete"),
        "the server closed the connection in the middle of the response head",
        "look for a crash in the server's own log at this time";
    ServerClosedReused = "EV213" "server_closed_reused", Server, b'S' Headers, None, None,
        "the server closed a kept connection under a request that must not be repeated; the client was left to repeat it",
        "make the server keep idle connections longer than the proxy does";
    ResponseTimeout = "EV214" "response_timeout", Server, b's' Headers, Some(504), Some("http_response_timeout"),
        "the server sent no response within timeout.server",
        "look for what made the application slow, or raise timeout.server if it may take so long";
    ResponseHeadSlow = "EV215" "response_head_slow", Server, b's' Headers, Some(504), Some("http_response_timeout"),
        "the server stopped in the middle of the response head for timeout.server",
        "look for a blocked or killed worker of the application";
    ServerNotReading = "EV216" "server_not_reading", Server, b's' Headers, Some(504), Some("connection_write_timeout"),
        "the server took nothing of the request body for timeout.server",
        "look for a blocked worker of the application";
    ResponseBodyWaitTimeout = "EV217" "response_body_wait_timeout", Server, b's' Headers, Some(504), Some("http_response_timeout"),
        "the response body did not arrive within the time that a wait-for-body rule gives it",
        "give wait-for-body more time, or at-least what the rules need, or look for what made the server slow";
    ResponseBadStatusLine = "EV220" "response_bad_status_line", Server, b'P' Headers, Some(502), Some("http_protocol_error"),
        "what the server sent does not begin with an HTTP status line",
        "does the server speak plain HTTP on this port? A TLS port, or another protocol, looks like this";
    ResponseBadField = "EV221" "response_bad_field", Server, b'P' Headers, Some(502), Some("http_protocol_error"),
        "a field line of the response is not valid HTTP",
        "look at the header fields that the application sets";
    ResponseBadFraming = "EV222" "response_bad_framing", Server, b'P' Headers, Some(502), Some("http_protocol_error"),
        "the length of the response body is given in a way that recipients may read differently",
        "look for two lengths, a length beside a transfer coding, or an invalid first chunk from the application";
    ResponseHeadTooLarge = "EV223" "response_head_too_large", Server, b'P' Headers, Some(502),
        Some("http_response_header_section_size"),
        "the response head has more bytes than tune.bufsize or more fields than tune.http.maxhdr",
        "look for cookies that the application sets again and again, or raise the limits";
    ResponseUnwantedSwitch = "EV224" "response_unwanted_switch", Server, b'P' Headers, Some(502), Some("http_upgrade_failed"),
        "the server switched to another protocol that the client had not asked for",
        "look at the application: status 101 answers a request with Upgrade only";
    ResponseBadChunk = "EV225" "response_bad_chunk", Server, b'P' Data, None, None,
        "the response body is not valid chunked coding; what the client got is cut",
        "look at the application: two writers in one response look like this";
    ResponseCutShort = "EV230" "response_cut_short", Server, b'S' Data, None, None,
        "the server closed the connection before it had sent as much as its Content-Length says; what the client got is cut",
        "look for a crash or a restart of the server, or a wrong Content-Length";
    ResponseChunksCut = "EV231" "response_chunks_cut", Server, b'S' Data, None, None,
        "the server closed the connection before the last chunk; what the client got is cut",
        "look for a crash or an exception in the application after it had begun to answer";
    ServerResetInResponse = "EV232" "server_reset_in_response", Server, b'S' Data, None, None,
        "the server reset the connection in the middle of the response; what the client got is cut",
        "look for a crash or a restart of the server";
    ResponseStalled = "EV233" "response_stalled", Server, b's' Data, None, None,
        "the server stopped sending the response, or taking the rest of the request, for timeout.server",
        "look for what blocks the application, or raise timeout.server if it streams with pauses";
    ServerTlsCertificate = "EV240" "server_tls_certificate", Server, b'S' Connect, Some(503), Some("tls_certificate_error"),
        "the certificate of the server was refused",
        "compare its issuer, its names and its dates with ca-file, verifyhost and sni of the server line";
    ServerTlsAlert = "EV241" "server_tls_alert", Server, b'S' Connect, Some(503), Some("tls_alert_received"),
        "the server refused the TLS handshake",
        "does it want a client certificate, another name (sni) or another version? Its own log knows";
    ServerTlsProtocol = "EV242" "server_tls_protocol", Server, b'S' Connect, Some(503), Some("tls_protocol_error"),
        "the server does not speak TLS, or has no version, cipher suite or group in common with us",
        "try `openssl s_client -connect ADDRESS`: does it speak TLS on this port?";
    ServerTlsClosed = "EV243" "server_tls_closed", Server, b'S' Connect, Some(503), Some("connection_terminated"),
        "the server closed the connection in the middle of the TLS handshake",
        "look into the log of the server; a missing client certificate or name (sni) looks like this too";
    TunnelServerReset = "EV250" "tunnel_server_reset", Server, b'S' Data, None, None,
        "the server reset the connection while both sides could still send",
        "look for a crash or a restart of the server";
    TunnelIdleServer = "EV251" "tunnel_idle_server", Server, b's' Data, None, None,
        "neither side sent anything for timeout.server, or for timeout.tunnel when it is set",
        "raise timeout.tunnel, or send a ping within it";
    TunnelServerFin = "EV252" "tunnel_server_fin", Server, b's' Data, None, None,
        "the server had closed its sending side and nothing moved any more for timeout.server-fin",
        "raise timeout.server-fin if clients send on after the server has said all";
    ServersDown = "EV260" "servers_down", Server, b'S' Connect, Some(503), Some("destination_unavailable"),
        "no server of the backend that is in service passes its health check",
        "look at the stats page: it tells what each check saw";

    NoBackend = "EV300" "no_backend", Operator, b'S' Connect, Some(503), Some("proxy_configuration_error"),
        "no use_backend rule matched and there is no default_backend",
        "set default_backend, or a rule that answers such requests";
    BackendDisabled = "EV301" "backend_disabled", Operator, b'S' Connect, Some(503), Some("proxy_configuration_error"),
        "the backend that was chosen is disabled, or none has that name, and no other takes its place",
        "enable or add it, or set default_backend to one that is in service";
    BackendEmpty = "EV302" "backend_empty", Operator, b'S' Connect, Some(503), Some("proxy_configuration_error"),
        "the backend has no servers",
        "give it servers, or a rule that answers its requests";
    ServersWeightless = "EV303" "servers_weightless", Operator, b'S' Connect, Some(503), Some("destination_unavailable"),
        "every server of the backend that could serve has weight 0",
        "give one of them a weight";
    QueueTimeout = "EV304" "queue_timeout", Operator, b's' Queue, Some(503), Some("connection_limit_reached"),
        "no server had a free slot within timeout.queue",
        "add servers, raise maxconn of those there are, or find out why they answer slowly";
    QueueFull = "EV305" "queue_full", Operator, b'S' Queue, Some(503), Some("connection_limit_reached"),
        "the server is at its maxconn and its queue at maxqueue",
        "add servers, raise maxconn of those there are, or find out why they answer slowly";
    ConnectNotPermitted = "EV306" "connect_not_permitted", Operator, b'S' Connect, Some(503), Some("destination_unavailable"),
        "this machine does not let the proxy connect to the server",
        "look at the local firewall's output rules, the rights of the socket file, or what source and interface ask for";
    TlsLimit = "EV307" "tls_limit", Operator, b'P' Request, None, None,
        "the TLS handshake had no room under maxsslconn or maxsslrate within timeout.handshake",
        "raise the limit if the machine can take more; look for a flood of handshakes otherwise";
    BackendIsTcp = "EV308" "backend_is_tcp", Operator, b'R' Connect, Some(500), Some("proxy_configuration_error"),
        "a request of HTTP was to go to a backend in tcp mode",
        "send what switch-mode turned into HTTP to a backend in http mode: use_backend NAME if { req.proto_http }";
    ExporterBusy = "EV309" "exporter_busy", Operator, b'R' Request, Some(503), Some("proxy_internal_error"),
        "the metrics that a use-service rule answers with were not there in time, or too many asked for them at once",
        "scrape less often, leave scopes out (scope=), and let only your own addresses ask";
    NoLocalPort = "EV310" "no_local_port", Operator, b'R' Connect, Some(503), Some("proxy_internal_error"),
        "no local port is left for connections to the server, or its source address is not of this machine",
        "widen net.ipv4.ip_local_port_range, let http-reuse keep connections, or correct source";
    NoDescriptor = "EV311" "no_descriptor", Operator, b'R' Connect, Some(503), Some("proxy_internal_error"),
        "the process has no file descriptor left",
        "raise its limit (systemd: LimitNOFILE=) or lower global.maxconn";
    NoMemory = "EV312" "no_memory", Operator, b'R' Connect, Some(503), Some("proxy_internal_error"),
        "the system has no memory left for another connection",
        "look at the memory of the machine and of its sockets (net.ipv4.tcp_mem), or lower global.maxconn";
    NoDestination = "EV313" "no_destination", Operator, b'S' Connect, Some(503), Some("proxy_configuration_error"),
        "the server stands at the destination of the connection, and that is no address: it came by a Unix socket, or a rule made it 0.0.0.0 or port 0",
        "let a rule set it: set-dst and set-dst-port";
    DestinationIsListener = "EV314" "destination_is_listener", Operator, b'S' Connect, Some(503), Some("proxy_loop_detected"),
        "the server stands at the destination of the connection, and that is the listener it came by: it would go round in circles",
        "let a rule set another one (set-dst), and answer requests whose name has no address";
    Denied = "EV320" "denied", Operator, b'P' Request, Some(403), Some("http_request_denied"),
        "a rule denied the request",
        "look at the deny rules of the frontend and the backend if it should have passed";
    Unauthorized = "EV321" "unauthorized", Operator, b'L' Request, Some(401), Some("http_request_denied"),
        "a rule asked for a name and a password that the request did not carry",
        "nothing: a browser's first request looks like this; many from one address are somebody guessing";
    Tarpitted = "EV322" "tarpitted", Operator, b'P' Tarpit, Some(500), Some("http_request_denied"),
        "a tarpit rule held the request and then refused it",
        "look at the tarpit rules if it should have passed";
    Rejected = "EV323" "rejected", Operator, b'P' Request, None, None,
        "a reject rule closed the connection without an answer",
        "look at the reject rules if it should have passed";
    SilentDropped = "EV324" "silent_dropped", Operator, b'P' Request, None, None,
        "a silent-drop rule left the connection without telling the client",
        "look at the silent-drop rules if it should have passed";
    ResponseDenied = "EV325" "response_denied", Operator, b'P' Headers, Some(502), Some("proxy_internal_response"),
        "a rule denied the response of the server",
        "look at the http-response rules if it should have passed";
    RewriteFailed = "EV326" "rewrite_failed", Operator, b'P' Request, Some(500), Some("proxy_internal_error"),
        "a rule could not change the request, for lack of room or because the outcome would not be valid HTTP",
        "make the rule write less, or raise tune.bufsize";
    ResponseRewriteFailed = "EV327" "response_rewrite_failed", Operator, b'P' Headers, Some(500), Some("proxy_internal_error"),
        "a rule could not change the response, for lack of room or because the outcome would not be valid HTTP",
        "make the rule write less, or raise tune.bufsize";

    Internal = "EV400" "internal", Proxy, b'I' Request, Some(500), Some("proxy_internal_error"),
        "Evenkeel could not tell how it ended, which is a fault of Evenkeel",
        "report it, with the log line and the configuration of the frontend";
    TlsInternal = "EV401" "tls_internal", Proxy, b'I' Request, None, None,
        "the TLS handshake could not go on for a reason of our own",
        "the log has the reason: no randomness, a clock that is wrong, a key that does not sign";

    ServersInMaintenance = "EV500" "servers_in_maintenance", Admin, b'S' Connect, Some(503), Some("destination_unavailable"),
        "every server of the backend is in maintenance or draining",
        "bring one back into service";
    ServerRemoved = "EV501" "server_removed", Admin, b'D' Data, None, None,
        "the server left the configuration and its connections are closed",
        "nothing: on-remove asks for it";
}
