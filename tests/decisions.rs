//! What rules decide on the wire where one section's meet another's: a listen as the backend of others, rules of defaults, limits and maps
//! that transactions share, keys in files, variables that the file sets.
#![allow(clippy::unwrap_used)]

use evenkeel_testkit::{Act, End, Message, Origin, Proxy, RawClient, Script};

fn ask(proxy: &Proxy, bind: &str, path: &str) -> Message {
    let mut client = RawClient::connect(proxy.addr(bind)).unwrap();
    client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap()
}

/// The values of a field, in order.
fn values<'m>(message: &'m Message, name: &str) -> Vec<&'m str> {
    let fields = message.head.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    fields.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn a_listen_runs_its_rules_as_the_backend_of_another_frontend_and_its_own_once() {
    let origin = Origin::start(Script::always("hello"));
    let proxy = Proxy::start(&format!(
        "[frontend.web]\nbind = [\"@web@\"]\ndefault_backend = \"app\"\nhttp-response = [\"add-header X-Ran web\"]\n\
         [listen.app]\nbind = [\"@app@\"]\nserver = [\"{}\"]\n\
         http-request = [\"return status 403 hdr x-ran app if {{ path /no }}\", \"add-header X-Ran app\"]\n\
         http-response = [\"add-header X-Ran app\"]\nhttp-after-response = [\"add-header X-After app\"]\n",
        origin.addr()
    ));
    for (bind, response) in [("web", &["app", "web"][..]), ("app", &["app"])] {
        let answer = ask(&proxy, bind, "/");
        assert_eq!((values(&answer, "x-ran"), values(&answer, "x-after")), (response.to_vec(), vec!["app"]), "{bind}");
        assert_eq!(values(&origin.seen().last().unwrap().message, "x-ran"), ["app"], "{bind}");
        let refused = ask(&proxy, bind, "/no");
        assert_eq!((refused.status(), values(&refused, "x-after")), (403, vec!["app"]), "{bind}");
    }
}

#[test]
fn a_reload_says_what_became_of_a_map() {
    let dir = tempfile::tempdir().unwrap();
    let map = dir.path().join("hosts.map");
    std::fs::write(&map, "a 1\nb 2\nc 3\n").unwrap();
    let config = format!(
        "[listen.web]\nbind = [\"@web@\"]\nhttp-request = [\"return status 200 hdr x-site %[path,field(2,/),map({},none)]\"]\n",
        map.display()
    );
    let mut proxy = Proxy::start(&config);
    assert_eq!(values(&ask(&proxy, "web", "/b"), "x-site"), ["2"]);
    std::fs::write(&map, "a 1\nb 7\nx 3\ny 4\n").unwrap();
    let said = proxy.reload(&config);
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(text.contains(&format!("~ map {}: 2 added, 1 removed, 1 changed", map.display())), "{said:?}");
    assert_eq!(values(&ask(&proxy, "web", "/b"), "x-site"), ["7"]);
    let again = proxy.reload(&config);
    assert!(String::from_utf8_lossy(&again.stdout).contains("no change"), "{again:?}");
}

/// A reload leaves what traffic made of a variable, unless the line is another.
#[test]
fn variables_of_the_file_are_set_at_the_start() {
    let config = |color: &str| {
        format!(
            "[global]\nthreads = 1\nadmin = {{ listen = \"@admin@\" }}\n\
             set-var = [\"proc.color str({color})\", \"proc.limit int(3)\"]\n\
             set-var-fmt = [\"proc.text '%[var(proc.color)] %[var(proc.limit)]'\"]\ntune.vars.proc-max-size = \"1k\"\n\
             [listen.web]\nbind = [\"@web@\"]\nhttp-request = [\n\
             \"set-var(proc.limit) int(9) if {{ path /nine }}\",\n\
             \"set-var-fmt(proc.color) '%[req.hdr(x-long)]' if {{ req.hdr(x-long) -m found }}\",\n\
             \"return status 200 hdr x-vars '%[var(proc.text)] %[var(proc.color)] %[var(proc.limit)]'\",\n]\n"
        )
    };
    let mut proxy = Proxy::start(&config("red"));
    assert_eq!(values(&ask(&proxy, "web", "/"), "x-vars"), ["red 3 red 3"]);
    assert_eq!(values(&ask(&proxy, "web", "/nine"), "x-vars"), ["red 3 red 9"]);
    let long = "x".repeat(2000);
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    let answer = client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n")).unwrap();
    assert_eq!(values(&answer, "x-vars"), ["red 3 red 9"], "a text that is longer than the limit is not kept");
    assert!(proxy.reload(&config("red")).status.success());
    assert_eq!(values(&ask(&proxy, "web", "/"), "x-vars"), ["red 3 red 9"]);
    assert!(proxy.reload(&config("blue")).status.success());
    assert_eq!(values(&ask(&proxy, "web", "/"), "x-vars"), ["red 3 blue 9"]);
}

/// HAProxy's `%bi`, `%bp` and `bc_src`: where the server sees the connection come from.
#[test]
fn our_address_towards_the_server_is_known() {
    let origin = Origin::start(Script::always("hello"));
    let proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\nserver = [\"{}\"]\nsource = \"127.0.0.7\"\nlog = [\"stdout\"]\n\
         log-format = \"FROM %bi %{{+X}}bp %[bc_reused]\"\nhttp-response = [\"set-header X-From %[bc_src]:%[bc_src_port]\"]\n",
        origin.addr()
    ));
    let answer = ask(&proxy, "web", "/");
    let [from] = values(&answer, "x-from")[..] else { panic!("{answer:?}") };
    let port = from.strip_prefix("127.0.0.7:").unwrap_or_else(|| panic!("{from}"));
    let line = proxy.process().wait_line(0, "of the access log", |line| line.starts_with("FROM "));
    let port: u16 = port.parse().unwrap();
    assert_eq!(line, format!("FROM 127.0.0.7 {port:04X} 0"));
}

/// `http-err-codes`, `http-fail-codes`: what a server answers is counted as the file says, also after a reload.
#[test]
fn the_file_says_which_statuses_are_errors_and_failures() {
    let answer = |status: u16| {
        Script::Http(vec![vec![
            Act::Body,
            Act::Send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").into()),
        ]])
    };
    let origin = Origin::start(answer(404));
    let config = |global: &str| {
        format!(
            "[global]\nthreads = 1\nadmin = {{ listen = \"@admin@\" }}\n{global}\n[backend.seen]\nstick-table = {{ type = \"string\", size = 10, store = [\"http_err_cnt\", \"http_fail_cnt\"] }}\n\
             [listen.web]\nbind = [\"@web@\"]\nserver = [\"{}\"]\nhttp-request = [\n\
             \"return status 200 hdr x-counts '%[str(a),table_http_err_cnt(seen)] %[str(a),table_http_fail_cnt(seen)]' if {{ path /counts }}\",\n\
             \"track-sc0 str(a) table seen\",\n]\n",
            origin.addr()
        )
    };
    let counts = |proxy: &Proxy| values(&ask(proxy, "web", "/counts"), "x-counts").join("");
    let mut proxy = Proxy::start(&config("http-err-codes = \"-404 +501\"\nhttp-fail-codes = \"503,404\""));
    // Status, and errors and failures after it.
    for (status, expected) in [(404, "0 1"), (410, "1 1"), (501, "2 1"), (500, "2 1"), (503, "2 2"), (200, "2 2")] {
        origin.set(answer(status));
        assert_eq!(ask(&proxy, "web", "/").status(), status);
        assert_eq!(counts(&proxy), expected, "{status}");
    }
    assert!(proxy.reload(&config("")).status.success());
    for (status, expected) in [(404, "3 2"), (501, "3 2"), (500, "3 3")] {
        origin.set(answer(status));
        assert_eq!(ask(&proxy, "web", "/").status(), status);
        assert_eq!(counts(&proxy), expected, "{status}");
    }
}

/// Without rst-ttl nothing may come at all, where the process may do that; with it a reset does.
#[test]
fn silent_drop_with_rst_ttl_sends_a_reset() {
    let proxy = Proxy::start(
        "[listen.web]\nbind = [\"@web@\"]\nhttp-request = [\"silent-drop rst-ttl 3\"]\n\
         [listen.raw]\nmode = \"tcp\"\nbind = [\"@raw@\"]\ntcp-request.connection = [\"silent-drop rst-ttl 1\"]\n",
    );
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(client.rest().unwrap(), (Vec::new(), End::Reset));
    let mut client = RawClient::connect(proxy.addr("raw")).unwrap();
    assert_eq!(client.rest().unwrap(), (Vec::new(), End::Reset));
}

/// 100 bytes a second over ten minutes are 60 000 at once, and then hardly any: counted, not timed.
#[test]
fn those_with_one_key_share_a_bandwidth_limit() {
    const SHARED: u64 = 60_000;
    const BODY: usize = 40_000;
    let origin = Origin::start(Script::always(&"x".repeat(BODY)));
    let proxy = Proxy::start(&format!(
        "[defaults]\ntimeout = {{ client = \"60s\", server = \"60s\" }}\n\
         [backend.moved]\nstick-table = {{ type = \"string\", size = 100, store = [\"bytes_out_rate(10m)\"] }}\n\
         [frontend.web]\nbind = [\"@web@\"]\ndefault_backend = \"app\"\nhttp-request = [\n\
         \"return status 200 hdr x-moved %[req.hdr(x-tenant),table_bytes_out_rate(moved)] if {{ path /moved }}\",\n\
         \"set-bandwidth-limit download 100 key req.hdr(x-tenant) table moved\",\n]\n\
         [backend.app]\nserver = [\"{0}\"]\n\
         [listen.raw]\nmode = \"tcp\"\nbind = [\"@raw@\"]\nserver = [\"{0}\"]\n\
         tcp-request = {{ content = [\"set-bandwidth-limit download 100 key str(raw) table moved\"] }}\n",
        origin.addr()
    ));
    let send = |bind: &str, tenant: &str| {
        let mut client = RawClient::connect(proxy.addr(bind)).unwrap();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\n\r\n")).unwrap();
        client
    };
    let moved = |tenant: &str| -> u64 {
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        let answer = client.ask(format!("GET /moved HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\n\r\n")).unwrap();
        values(&answer, "x-moved")[0].parse().unwrap()
    };
    for (bind, tenant) in [("web", "red"), ("raw", "raw")] {
        assert_eq!(send(bind, tenant).response().unwrap().body.len(), BODY, "{bind}");
        let first = moved(tenant);
        assert!((BODY as u64..BODY as u64 + 1024).contains(&first), "{bind}: {first}");
        // The second of the same key gets what is left, but for less than 1k.
        let mut second = send(bind, tenant);
        second.exactly((SHARED - first) as usize - 1024).unwrap();
        for _ in 0..20 {
            let now = moved(tenant);
            assert!((SHARED - 1024..=SHARED).contains(&now), "{bind}: {now}");
        }
    }
    assert_eq!(send("web", "blue").response().unwrap().body.len(), BODY, "another key has a limit of its own");
}

/// A map without a file holds what rules put there, for all workers, and a reload keeps it.
#[test]
fn a_virtual_map_outlives_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.lst");
    let config = |extra: &str| {
        format!(
            "[listen.web]\nbind = [\"@web@\"]\nhttp-request = [\n\
             \"set-map(virt@seen) %[path,field(3,/)] %[path,field(4,/)] if {{ path_beg /put/ }}\",\n\
             \"del-map(virt@seen) %[path,field(3,/)] if {{ path_beg /del/ }}\",\n\
             \"add-acl(opt@{0}) %[path,field(3,/)] if {{ path_beg /ban/ }}\",\n\
             \"deny if {{ path,field(3,/) -f opt@{0} }} {{ path_beg /get/ }}\",\n\
             \"return status 200 hdr x-seen %[path,field(3,/),map(virt@seen,none)] {extra}\",\n]\n",
            missing.display()
        )
    };
    let mut proxy = Proxy::start(&config(""));
    let seen = |proxy: &Proxy, path: &str| {
        let answer = ask(proxy, "web", path);
        values(&answer, "x-seen").first().map_or_else(|| answer.status().to_string(), |value| (*value).to_owned())
    };
    assert_eq!(seen(&proxy, "/get/a"), "none");
    assert_eq!(seen(&proxy, "/put/a/1"), "1");
    assert_eq!(seen(&proxy, "/ban/b"), "none");
    for _ in 0..4 {
        assert_eq!((seen(&proxy, "/get/a"), seen(&proxy, "/get/b")), ("1".into(), "403".into()));
    }
    assert!(proxy.reload(&config("hdr x-new 1")).status.success());
    assert_eq!(values(&ask(&proxy, "web", "/get/a"), "x-new"), ["1"], "the new rules are in place");
    assert_eq!((seen(&proxy, "/get/a"), seen(&proxy, "/get/b")), ("1".into(), "403".into()));
    assert_eq!(
        (seen(&proxy, "/put/a/2"), seen(&proxy, "/del/a"), seen(&proxy, "/get/a")),
        ("2".into(), "none".into(), "none".into())
    );
    // The file that was missing is there now: it counts, and what was added to none is gone.
    std::fs::write(&missing, "c\n").unwrap();
    assert!(proxy.reload(&config("")).status.success());
    assert_eq!((seen(&proxy, "/get/b"), seen(&proxy, "/get/c")), ("none".into(), "403".into()));
}

/// Keys of tokens are files of PEM beside the configuration.
#[test]
fn tokens_are_decrypted_by_the_key_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("site.pem");
    std::fs::write(&pem, include_str!("../crates/acl/tests/data/rsa.pem")).unwrap();
    let proxy = Proxy::start(&format!(
        "[listen.web]\nbind = [\"@web@\"]\nhttp-request = [\n\
         \"set-var(txn.open) http_auth_bearer,jwt_decrypt_cert({0})\",\n\
         \"deny status 401 unless {{ var(txn.open) -m len gt 0 }}\",\n\
         \"return status 200 hdr x-sub %[var(txn.open),json_query('$.sub')]\",\n]\n",
        pem.display()
    ));
    let tokens = include_str!("../crates/acl/tests/data/encrypted.txt");
    let of_rsa = tokens.lines().filter_map(|line| line.strip_prefix("RSA-OAEP-256 ")?.split(' ').nth(1));
    let mut count = 0;
    for token in of_rsa {
        let mut client = RawClient::connect(proxy.addr("web")).unwrap();
        let mut ask = |token: &str| {
            client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")).unwrap()
        };
        assert_eq!(values(&ask(token), "x-sub"), ["alice"], "{token}");
        assert_eq!(ask(&token[..token.len() - 4]).status(), 401, "{token}");
        count += 1;
    }
    assert_eq!(count, 6);
}
