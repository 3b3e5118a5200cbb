//! Runs a group of cases against Evenkeel and against HAProxy, and compares what client and origin observed.
//!
//! Each proxy is started once per group; cases run one after the other. After each case a fence request goes through a
//! new connection: what the proxy was going to forward has been forwarded then, and the proxy is alive.
//! `EVENKEEL_DIFFERENTIAL=haproxy` runs the reference alone, `evenkeel` ours alone, `EVENKEEL_CASE=TEXT` the cases whose
//! name contains it; `EVENKEEL_TIMES=1` says how long each took. Where haproxy is not installed only ours runs, unless
//! `EVENKEEL_REQUIRE_HAPROXY` is set.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use evenkeel_testkit::message::find;
use evenkeel_testkit::{DeadPort, Haproxy, Message, Origin, Proxy, RawClient, Script};

use crate::case::{Case, Content, Flow, Request, Step};
use crate::setup::{Places, Setup};

/// Which proxy a run is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Which {
    Evenkeel,
    Haproxy,
}

/// What one run of a case showed.
#[derive(Debug, Default, PartialEq)]
struct Observed {
    /// Replies, normalised.
    replies: Vec<String>,
    /// Bytes after an upgrade or in TCP mode.
    bytes: Vec<u8>,
    /// Requests at the origins, normalised.
    requests: BTreeMap<usize, Vec<String>>,
}

/// Whether the reference is part of this run; `only` is `EVENKEEL_DIFFERENTIAL`.
pub fn wants_haproxy(only: &str) -> bool {
    let required = std::env::var_os("EVENKEEL_REQUIRE_HAPROXY").is_some();
    only != "evenkeel" && (required || Haproxy::installed().is_some())
}

/// Runs the cases of one setup.
///
/// # Panics
/// With every failure of every case.
pub fn run(setup: &Setup, cases: Vec<Case>) {
    let only = std::env::var("EVENKEEL_DIFFERENTIAL").unwrap_or_default();
    let filter = std::env::var("EVENKEEL_CASE").unwrap_or_default();
    let cases: Vec<Case> = cases.into_iter().filter(|c| c.name.contains(&filter)).collect();
    let times = std::env::var_os("EVENKEEL_TIMES").is_some();
    let dead = DeadPort::new();
    let origins: Vec<Origin> = (0..setup.origins()).map(|_| Origin::start(Script::always("idle"))).collect();
    let places = Places { origins: origins.iter().map(Origin::addr).collect(), dead: dead.addr() };

    let haproxy = wants_haproxy(&only).then(|| Haproxy::start(&setup.haproxy(&places)));
    let evenkeel = (only != "haproxy").then(|| Proxy::start(&setup.evenkeel(&places)));
    if haproxy.is_none() {
        eprintln!("haproxy is not part of this run: expectations are checked, nothing is compared");
    }

    let mut failures = Vec::new();
    for case in &cases {
        let mut run_one = |which, addr| {
            let flow = match (which, &case.differs) {
                (Which::Haproxy, Some((_, flow))) => flow,
                _ => &case.flow,
            };
            let mut run = Run {
                which,
                case,
                addr,
                origins: &origins,
                setup,
                observed: Observed::default(),
                failures: Vec::new(),
            };
            let began = std::time::Instant::now();
            run.all(flow);
            if times {
                eprintln!("{:>6} ms  {which:?}  {}", began.elapsed().as_millis(), case.name);
            }
            if case.any_order {
                run.observed.replies.sort();
            }
            failures.extend(run.failures.iter().map(|f| format!("{which:?}: {}: {f}", case.name)));
            run.observed
        };
        let reference = haproxy.as_ref().map(|h| run_one(Which::Haproxy, h.addr()));
        let ours = evenkeel.as_ref().map(|e| run_one(Which::Evenkeel, e.addr("listen")));
        if let (Some(reference), Some(ours)) = (reference, ours) {
            let equal = reference == ours;
            if case.differs.is_none() && !equal {
                failures.push(format!(
                    "{}: the proxies differ:\n  haproxy:  {reference:#?}\n  evenkeel: {ours:#?}",
                    case.name
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures in {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

struct Run<'a> {
    which: Which,
    case: &'a Case,
    addr: SocketAddr,
    origins: &'a [Origin],
    setup: &'a Setup,
    observed: Observed,
    failures: Vec<String>,
}

impl Run<'_> {
    fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    fn all(&mut self, flow: &Flow) {
        self.case.gate.shut();
        for (i, origin) in self.origins.iter().enumerate() {
            let script = self.case.origins.iter().find(|(n, _)| *n == i).map(|(_, s)| s.clone());
            origin.begin(script.unwrap_or_else(|| Script::always(&format!("o{i}"))));
        }
        match RawClient::connect(self.addr) {
            Ok(client) => self.steps(client, &flow.steps),
            Err(e) => self.fail(format!("connect: {e}")),
        }
        self.case.gate.open();
        self.requests(flow);
    }

    fn steps(&mut self, client: RawClient, steps: &[Step]) {
        let mut client = Some(client);
        for (i, step) in steps.iter().enumerate() {
            let Some(c) = client.as_mut() else { break };
            let result = match step {
                Step::Send(bytes) => {
                    let _ = c.send(bytes);
                    Ok(())
                }
                Step::Reply(want) => {
                    let got = if want.bodiless { c.response_head() } else { c.response() };
                    got.map_err(|e| format!("no reply {}: {e}", want.status)).map(|m| {
                        self.observed.replies.push(normal_reply(&m));
                        if m.status() != want.status {
                            self.fail(format!("reply {} instead of {}:\n{}", m.status(), want.status, show(&m)));
                        }
                        if m.complete != want.complete {
                            self.fail(format!("complete: {} instead of {}:\n{}", m.complete, want.complete, show(&m)));
                        }
                        self.content("reply", &m, &want.content);
                    })
                }
                Step::Bytes(bytes) => c.exactly(bytes.len()).map_err(|e| e.to_string()).and_then(|got| {
                    self.observed.bytes.extend_from_slice(&got);
                    if got == *bytes {
                        Ok(())
                    } else {
                        Err(format!("bytes {:?} instead of {:?}", text(&got), text(bytes)))
                    }
                }),
                Step::OriginGot(mark) => self.origin_got(mark),
                Step::OpenGate => {
                    self.case.gate.open();
                    Ok(())
                }
                Step::HalfClose => {
                    c.half_close();
                    Ok(())
                }
                Step::Reset => {
                    if let Some(c) = client.take() {
                        c.reset();
                    }
                    Ok(())
                }
                Step::Ends => c.rest().map(drop).map_err(|e| format!("not closed: {e}")),
                Step::Got(mark) => c.wait_for(mark).map_err(|e| e.to_string()),
                Step::Closed => match c.rest() {
                    Ok((rest, _)) if rest.is_empty() => Ok(()),
                    Ok((rest, _)) => Err(format!("more than expected before the close: {:?}", text(&rest))),
                    Err(e) => Err(format!("not closed: {e}")),
                },
                Step::Open => match c.ask("GET /__fence HTTP/1.1\r\nHost: fence\r\n\r\n") {
                    Ok(m) if m.complete => Ok(()),
                    Ok(m) => Err(format!("still open, but: {}", show(&m))),
                    Err(e) => Err(format!("not open any more: {e}")),
                },
            };
            if let Err(e) = result {
                let so_far = client.as_mut().map(|c| text(c.wire().received())).unwrap_or_default();
                self.fail(format!("step {}: {e}; received: {so_far:?}", i + 1));
                break;
            }
        }
    }

    fn origin_got(&mut self, mark: &[u8]) -> Result<(), String> {
        let has = |r: &evenkeel_testkit::Request| {
            [&r.message.raw_head, &r.message.body, &r.raw].iter().any(|b| find(b, mark).is_some())
        };
        match self.origins[0].wait_seen(|seen| seen.iter().any(has)) {
            Ok(_) => Ok(()),
            Err(seen) => Err(format!("the origin did not receive {:?} but {seen:?}", text(mark))),
        }
    }

    fn requests(&mut self, flow: &Flow) {
        for (i, origin) in self.origins.iter().enumerate() {
            let wanted: Vec<&Request> = flow.requests.iter().filter(|r| r.origin == i).collect();
            let _ = origin.wait_seen(|seen| seen.len() >= wanted.len());
            if !origin.settle() {
                self.fail(format!("origin {i} is still in the middle of a request"));
            }
        }
        if self.setup.mode == "http" {
            let header = if self.setup.accepts_proxy { "PROXY UNKNOWN\r\n" } else { "" };
            let fence = RawClient::connect(self.addr)
                .and_then(|mut c| c.ask(format!("{header}GET /__fence HTTP/1.1\r\nHost: fence\r\n\r\n")));
            match fence {
                Ok(m) if m.complete => {}
                other => self.fail(format!("the request after the case: {other:?}")),
            }
        }
        if flow.origins_unseen {
            return;
        }
        for (i, origin) in self.origins.iter().enumerate() {
            let wanted: Vec<&Request> = flow.requests.iter().filter(|r| r.origin == i).collect();
            let seen = origin.seen();
            if flow.may_begin {
                // How far a broken request gets before it breaks is a matter of packets.
                for r in seen.iter().filter(|r| r.message.complete) {
                    self.fail(format!("origin {i} believes it received a whole request: {}", show(&r.message)));
                }
                if seen.len() > 1 {
                    self.fail(format!("origin {i} received {} requests", seen.len()));
                }
                continue;
            }
            if seen.len() != wanted.len() {
                let lines: Vec<String> = seen.iter().map(|r| text(&r.message.raw_head) + &text(&r.raw)).collect();
                self.fail(format!(
                    "origin {i} received {} requests instead of {}: {lines:#?}",
                    seen.len(),
                    wanted.len()
                ));
            }
            for (got, want) in seen.iter().zip(wanted) {
                let m = &got.message;
                let line = request_line(m);
                if line != want.line {
                    self.fail(format!("origin {i} received {line:?} instead of {:?}", want.line));
                }
                if want.raw.is_none() && m.complete != want.complete {
                    self.fail(format!("request complete: {} instead of {}:\n{}", m.complete, want.complete, show(m)));
                }
                if want.connection.is_some_and(|c| c != got.connection) {
                    self.fail(format!("{} came on connection {} of the origin", want.line, got.connection));
                }
                if want.raw.as_ref().is_some_and(|r| *r != got.raw) {
                    self.fail(format!("origin {i} read {:?}", text(&got.raw)));
                }
                self.content("request", m, &want.content);
            }
            let normal = seen.iter().map(|r| format!("{} raw {:?}", normal(&r.message), text(&r.raw))).collect();
            self.observed.requests.insert(i, normal);
        }
    }

    fn content(&mut self, what: &str, m: &Message, want: &Content) {
        for field in &want.has {
            let (name, value) = field.split_once(": ").unwrap_or((field, ""));
            let same = |v: &&str| *v == value || name == "connection" && v.eq_ignore_ascii_case(value);
            if !m.head.all(name).iter().any(same) {
                self.fail(format!("{what} without `{field}`:\n{}", show(m)));
            }
        }
        for name in &want.lacks {
            if let Some(value) = m.head.get(name) {
                self.fail(format!("{what} with `{name}: {value}`:\n{}", show(m)));
            }
        }
        for part in &want.verbatim {
            let ours = self.which == Which::Evenkeel;
            let head = text(&m.raw_head);
            // HAProxy writes all names in lower case.
            if !(if ours {
                head.contains(part)
            } else {
                head.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
            }) {
                self.fail(format!("{what} without {part:?}:\n{}", show(m)));
            }
        }
        if want.body.as_ref().is_some_and(|b| *b != m.body) {
            self.fail(format!("{what} body is {:?}:\n{}", text(&m.body[..m.body.len().min(300)]), show(m)));
        }
        if let Some(trailers) = &want.trailers {
            let got: Vec<String> = m.trailers.iter().map(|(n, v)| format!("{}: {v}", n.to_ascii_lowercase())).collect();
            let wanted: Vec<String> = trailers.iter().map(|t| t.to_ascii_lowercase()).collect();
            if got != wanted {
                self.fail(format!("{what} trailers are {got:?}"));
            }
        }
    }
}

/// A reply as both proxies must show it. What a proxy says on its own account is compared by status and location.
fn normal_reply(m: &Message) -> String {
    let from_origin = m.head.get("x-origin").is_some() || m.status() < 200;
    if from_origin { normal(m) } else { format!("{} by the proxy, location {:?}", m.status(), m.head.get("location")) }
}

/// HAProxy passes an HTTP/1.0 request on as one (a case in the table shows it); it is compared as if it were 1.1.
fn request_line(m: &Message) -> String {
    m.head.start.replacen(" HTTP/1.0", " HTTP/1.1", 1)
}

fn normal(m: &Message) -> String {
    let old = m.head.start.ends_with(" HTTP/1.0");
    let fields = m.head.fields.iter().map(|(n, v)| {
        let name = n.to_ascii_lowercase();
        let value = if name == "connection" { v.to_ascii_lowercase() } else { v.clone() };
        format!("{name}: {value}")
    });
    let mut fields: Vec<String> = fields.filter(|f| !(old && f == "connection: keep-alive")).collect();
    // Order is kept among fields of one name; where framing fields stand among the others is each proxy's business.
    fields.sort_by(|a, b| a.split(':').next().cmp(&b.split(':').next()));
    let start = request_line(m).replacen("HTTP/1.0 ", "HTTP/1.1 ", 1);
    let body = if m.body.len() > 400 { format!("{} bytes", m.body.len()) } else { text(&m.body) };
    let trailers: Vec<String> = m.trailers.iter().map(|(n, v)| format!("{}: {v}", n.to_ascii_lowercase())).collect();
    format!("{start} {fields:?} {body:?} {trailers:?} complete {}", m.complete)
}

fn show(m: &Message) -> String {
    format!("{}{}", text(&m.raw_head[..m.raw_head.len().min(2000)]), text(&m.body[..m.body.len().min(300)]))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
