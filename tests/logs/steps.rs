//! Lines before the end: `option.logasap`, `log-steps`, profiles and `do-log`.

use evenkeel_testkit::{Act, Origin, Proxy, RawClient, Script};
use serde_json::Value;

use crate::{all_lines, ask, config, logged};

/// What `option.logasap` is for: the line of a download is there while it runs, and there is no second one.
#[test]
fn logasap_tells_of_a_response_that_has_begun() {
    let send = |text: &str| Act::Send(text.as_bytes().to_vec());
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe";
    // The rest of the answer follows the rest of the request.
    let origin = Origin::start(Script::with(move |_, _| vec![send(half), Act::Body, send("llo")]));
    let log = "[\"stdout\", { target = \"stdout\", format = \"json\" }, { target = \"stdout\", format = \"LINE %OG %ST %B %Ta %Tt %Tr %ts\" }]";
    let more = "option.logasap = true\nhttp-request = [\"deny if { path /deny }\"]";
    let proxy = Proxy::start(&config(&origin, log, more));
    let mut client = RawClient::connect(proxy.addr("web")).unwrap();
    client.send("POST /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n").unwrap();
    let line = proxy.process().wait_line(0, "of the access log", |l| l.starts_with("127."));
    let words: Vec<&str> = line.split(' ').collect();
    assert!(words[4].rsplit('/').next().is_some_and(|total| total.starts_with('+')), "{line}");
    assert_eq!((words[5], words[6], words[9]), ("200", "+38", "----"), "{line}");
    let json = proxy.process().wait_line(0, "of JSON", |l| l.starts_with('{'));
    let v: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&v["early"], &v["status"], v.get("step")), (&true.into(), &200.into(), None), "{json}");
    assert!(v["reason"].is_null() && v["termination"].is_null() && v["time_response_ms"].is_u64(), "{json}");
    let text = proxy.process().wait_line(0, "of its own", |l| l.starts_with("LINE "));
    let words: Vec<&str> = text.split(' ').collect();
    assert_eq!((words[1], words[2], words[3], words[7]), ("txn_response", "200", "+38", "--"), "{text}");
    assert!(words[4].starts_with('+') && words[5].starts_with('+') && words[6].parse::<u32>().is_ok(), "{text}");
    client.send("done").unwrap();
    assert_eq!(client.response().unwrap().body, b"hello");
    client.rest().unwrap();
    // What never had a response has its line at the end.
    assert_eq!(ask(&proxy, "/deny"), 403);
    let lines = all_lines(proxy);
    assert_eq!(lines.len(), 6, "{lines:#?}");
    assert!(lines.iter().any(|l| l.contains(" 403 +") && l.contains(" PR-- ")), "{lines:#?}");
}

/// Steps of a transaction have lines of their own, and a logger's profile says what they are.
#[test]
fn log_steps_and_profiles() {
    let origin = Origin::start(Script::always("hello"));
    let log = "[{ target = \"stdout\", profile = \"steps\" }, { target = \"stdout\", format = \"json\", profile = \"some\" }]";
    let more = "log-steps = \"all\"\nhttp-request = [\"deny if { path /deny }\", \"do-log if { path /say }\", \
                \"do-log profile said if { path /say }\"]\nhttp-response = [\"do-log profile said if { path /say }\"]\n\
                http-after-response = [\"do-log profile said if { path /deny }\"]\n\
                tcp-request.connection = [\"do-log profile said\"]\ntcp-request.session = [\"do-log profile said\"]\n\
                tcp-request.content = [\"do-log profile said\"]\n";
    let profiles = "\n[log-profile.steps]\nany.format = \"%OG %HU %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %ts\"\nerror.drop = true\n\
                    tcp-req-conn.drop = true\n\
                    [log-profile.some]\nany.drop = true\nrequest = {}\nclose = {}\n\
                    [log-profile.said]\nany.format = \"SAID %OG %ci %HU %ST\"\n";
    let proxy = Proxy::start(&(config(&origin, log, more) + profiles));
    assert_eq!(ask(&proxy, "/say"), 200);
    assert_eq!(ask(&proxy, "/deny"), 403);
    let lines = all_lines(proxy);
    let timeless = |line: &String| {
        let words = line.split(' ').map(|word| match word.contains('/') && !word.starts_with(['/', 'a', 'w']) {
            true => word
                .split('/')
                .map(|t| {
                    if t == "-1" {
                        t
                    } else if t.starts_with('+') {
                        "+T"
                    } else {
                        "T"
                    }
                })
                .collect::<Vec<_>>()
                .join("/"),
            false => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let own: Vec<String> =
        lines.iter().filter(|l| l.starts_with("txn") || l.starts_with("http")).map(timeless).collect();
    assert_eq!(
        own,
        [
            "txn_accept /say web/<NOSRV> T/-1/-1/-1/+T -1 --",
            "http-req /say web/<NOSRV> T/-1/-1/-1/+T -1 --",
            "txn_request /say app/<NOSRV> T/-1/-1/-1/+T -1 --",
            "txn_connect /say app/s1 T/T/T/-1/+T -1 --",
            "txn_response /say app/s1 T/T/T/T/+T 200 --",
            "txn_close /say app/s1 T/T/T/T/T 200 --",
            "txn_accept /deny web/<NOSRV> T/-1/-1/-1/+T -1 --",
            "txn_close /deny web/<NOSRV> T/-1/-1/-1/T 403 PR",
        ],
        "{lines:#?}"
    );
    let said: Vec<&String> = lines.iter().filter(|l| l.starts_with("SAID ")).collect();
    let each = |line: &str| [line.to_owned(), line.to_owned()];
    let wanted: Vec<String> = [
        "SAID tcp-req-conn 127.0.0.1 <BADREQ> -1",
        "SAID tcp-req-sess 127.0.0.1 <BADREQ> -1",
        "SAID tcp-req-cont 127.0.0.1 /say -1",
        "SAID http-req 127.0.0.1 /say -1",
        "SAID http-res 127.0.0.1 /say 200",
        "SAID tcp-req-conn 127.0.0.1 <BADREQ> -1",
        "SAID tcp-req-sess 127.0.0.1 <BADREQ> -1",
        "SAID tcp-req-cont 127.0.0.1 /deny -1",
        "SAID http-after-res 127.0.0.1 /deny 403",
    ]
    .into_iter()
    .flat_map(each)
    .collect();
    assert_eq!(said, wanted.iter().collect::<Vec<_>>());
    let json = lines.iter().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    let steps: Vec<(Value, Value)> = json.map(|v| (v["step"].clone(), v["early"].clone())).collect();
    let request = || (Value::from("request"), Value::from(true));
    assert_eq!(steps, [request(), (Value::Null, Value::Null), (Value::Null, Value::Null)], "{lines:#?}");
}

/// In tcp mode, a rule on what the server said too.
#[test]
fn log_steps_of_a_tcp_connection() {
    let origin = Origin::start(Script::Raw(vec![
        Act::Await(b"hello".to_vec()),
        Act::Send(b"welcome".to_vec()),
        Act::DrainToEof,
    ]));
    let proxy = Proxy::start(&format!(
        "[listen.raw]\nmode = \"tcp\"\nbind = [\"@raw@\"]\nserver = [{{ name = \"s1\", address = \"{}\" }}]\nlog = [\"stdout\"]\n\
         log-format = \"%OG %b/%s %Tw/%Tc/%Tt %B %ts\"\nlog-steps = [\"accept\", \"request\", \"connect\", \"close\"]\n\
         tcp-request.content = [\"do-log\"]\ntcp-response.content = [\"do-log\"]\n",
        origin.addr()
    ));
    let mut client = RawClient::connect(proxy.addr("raw")).unwrap();
    client.send("hello").unwrap();
    client.exactly(7).unwrap();
    client.half_close();
    client.rest().unwrap();
    proxy.process().wait_line(0, "of the end", |l| l.starts_with("txn_close "));
    let lines = logged(&proxy);
    let origins: Vec<&str> = lines.iter().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(origins, ["txn_accept", "tcp-req-cont", "txn_request", "txn_connect", "tcp-res-cont", "txn_close"]);
    assert!(lines[0].starts_with("txn_accept raw/<NOSRV> -1/-1/+"), "{lines:#?}");
    assert!(lines[3].starts_with("txn_connect raw/s1 ") && lines[3].ends_with(" +0 --"), "{lines:#?}");
    assert!(lines[5].ends_with(" 7 --"), "{lines:#?}");
}
