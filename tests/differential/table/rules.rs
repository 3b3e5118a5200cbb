//! `http-request` rules, acls and `use_backend`.

use crate::case::{Case, case, get, get_with};
use crate::run::run;
use crate::setup::{HTTP, Setup};

#[test]
fn rules() {
    const SETUP: Setup = Setup {
        front: &[
            "acl admin path_beg /admin",
            "acl office src 10.0.0.0/8 192.168.0.0/16",
            "acl local src 127.0.0.0/8",
            "acl static path_end .css .js",
            "acl static path_beg /static/",
            "acl bot hdr_sub(user-agent) -i crawler spider",
            "acl wrote method POST PUT",
            "acl numbered path_reg ^/item/[0-9]+$",
            "http-request deny if admin !office",
            "http-request deny deny_status 429 if { path /limit }",
            "http-request redirect location /new code 301 if { path /old }",
            "http-request redirect prefix https://b.example if { path_beg /moved }",
            "http-request redirect scheme https code 307 if { path /secure }",
            "http-request return status 200 content-type text/plain string hello if { path /hello }",
            "http-request set-header X-Static yes if static",
            "http-request add-header X-Tag one",
            "http-request add-header X-Tag two if wrote",
            "http-request del-header X-Secret",
            "http-request set-header X-Replaced new if { hdr(x-replaced) old }",
            "http-request set-header X-Local yes if local",
            "http-request set-header X-Item yes if numbered",
            "http-request set-header X-Never yes if { hdr_cnt(x-none) gt 0 } or { path_sub nowhere }",
            "http-request deny deny_status 403 if bot",
            "use_backend api if { path_beg /api/ } || { hdr_beg(host) api. }",
            "use_backend posts if wrote !static",
            "default_backend app",
        ],
        backs: &[
            ("app", &["server s0 @o0@"]),
            ("api", &["http-request set-header X-Backend api", "server s1 @o1@"]),
            ("posts", &["server s2 @o2@"]),
        ],
        ..HTTP
    };
    run(&SETUP, cases());
}

fn cases() -> Vec<Case> {
    vec![
        case("deny").flow(|f| f.send(get("/admin/x")).reply(403)),
        case("deny with a status").flow(|f| f.send(get("/limit")).reply(429)),
        case("deny leaves the connection usable or says so").flow(|f| f.send(get("/admin")).reply(403)),
        case("deny after the body has begun")
            .flow(|f| f.send("POST /admin HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").reply(403)),
        case("redirect to a location").flow(|f| f.send(get("/old")).reply(301).has("location: /new").open()),
        case("redirect to a prefix keeps the target")
            .flow(|f| f.send(get("/moved/x?y=1")).reply(302).has("location: https://b.example/moved/x?y=1").open()),
        case("redirect to a scheme keeps host and target")
            .flow(|f| f.send(get("/secure")).reply(307).has("location: https://a.example/secure").open()),
        case("return a text").flow(|f| {
            f.send(get("/hello"))
                .reply(200)
                .has("content-type: text/plain")
                .has("content-length: 5")
                .body("hello")
                .open()
        }),
        case("return to HEAD has no body").flow(|f| {
            f.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n").reply_head(200).has("content-length: 5").open()
        }),
        case("add-header with a false condition adds once").flow(|f| {
            f.send(get("/"))
                .reply(200)
                .request("GET / HTTP/1.1")
                .verbatim("X-Tag: one\r\n")
                .lacks("x-static")
                .lacks("x-never")
                .lacks("x-item")
        }),
        case("two add-header rules add two fields").flow(|f| {
            f.send("POST /static/p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                .reply(200)
                .body("o0")
                .request("POST /static/p HTTP/1.1")
                .has("x-tag: one")
                .has("x-tag: two")
        }),
        case("add-header keeps the client's").flow(|f| {
            f.send(get_with("/", "X-Tag: mine\r\n"))
                .reply(200)
                .request("GET / HTTP/1.1")
                .has("x-tag: mine")
                .has("x-tag: one")
        }),
        case("set-header replaces all of the client's").flow(|f| {
            f.send(get_with("/a.css", "X-Static: 1\r\nX-Static: 2\r\n"))
                .reply(200)
                .request("GET /a.css HTTP/1.1")
                .has("x-static: yes")
        }),
        case("the second line of an acl is an alternative")
            .flow(|f| f.send(get("/static/x")).reply(200).request("GET /static/x HTTP/1.1").has("x-static: yes")),
        case("del-header removes every occurrence").flow(|f| {
            f.send(get_with("/", "X-Secret: 1\r\nX-Keep: 2\r\nx-secret: 3\r\n"))
                .reply(200)
                .request("GET / HTTP/1.1")
                .lacks("x-secret")
                .has("x-keep: 2")
        }),
        case("an acl on a header value").flow(|f| {
            f.send(get_with("/", "X-Replaced: old\r\n")).reply(200).request("GET / HTTP/1.1").has("x-replaced: new")
        }),
        case("an acl on a header value looks at each of a list").flow(|f| {
            f.send(get_with("/", "X-Replaced: a, old , b\r\n"))
                .reply(200)
                .request("GET / HTTP/1.1")
                .has("x-replaced: new")
        }),
        case("an acl on the source")
            .flow(|f| f.send(get("/")).reply(200).request("GET / HTTP/1.1").has("x-local: yes")),
        case("an acl by regular expression")
            .flow(|f| f.send(get("/item/42")).reply(200).request("GET /item/42 HTTP/1.1").has("x-item: yes")),
        case("a regular expression is anchored as written")
            .flow(|f| f.send(get("/item/42x")).reply(200).request("GET /item/42x HTTP/1.1").lacks("x-item")),
        case("-i ignores case").flow(|f| f.send(get_with("/", "User-Agent: BigCRAWLER/1\r\n")).reply(403)),
        case("a query is no part of the path").flow(|f| {
            f.send(get("/item/42?x=/admin")).reply(200).request("GET /item/42?x=/admin HTTP/1.1").has("x-item: yes")
        }),
        case("use_backend by path").flow(|f| {
            f.send(get("/api/v1"))
                .reply(200)
                .body("o1")
                .request_at(1, "GET /api/v1 HTTP/1.1")
                .has("x-backend: api")
                .has("x-tag: one")
        }),
        case("use_backend by host").flow(|f| {
            f.send("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n").reply(200).body("o1").request_at(1, "GET / HTTP/1.1")
        }),
        case("use_backend by method, the first rule that matches wins").flow(|f| {
            f.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                .reply(200)
                .body("o2")
                .request_at(2, "POST /p HTTP/1.1")
        }),
        case("one connection may reach several backends").flow(|f| {
            f.send(get("/"))
                .reply(200)
                .body("o0")
                .send(get("/api/"))
                .reply(200)
                .body("o1")
                .open()
                .request("GET / HTTP/1.1")
                .request_at(1, "GET /api/ HTTP/1.1")
        }),
    ]
}
