//! `evenkeel why`: how a past request was decided, from the record that its worker kept.
//!
//! The record says which rules held; the rules are walked again on the recorded head, following the record, so that each
//! is shown with what it looks at, and where looking again would decide otherwise, that is said. Runs on the control thread.

use std::collections::VecDeque;
use std::net::SocketAddr;

use evenkeel_acl::{Now, Scene, Wire};
use evenkeel_config::Mode;
use evenkeel_frontend::{Decision, End, Shared, Stage};
use evenkeel_proto::{Head, Method, Version};
use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::given::{Given, MONO_MS};
use super::live;
use super::show::on_response;
use super::walk::{self, Walk};
use super::{hide_secrets, words};

/// Which past requests are asked for; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Id of the request.
    pub id: Option<String>,
    /// The client's address and port: all that came over that connection.
    #[serde(default)]
    pub client: Option<SocketAddr>,
    /// At most so many, the newest.
    pub last: usize,
    /// The status the client got.
    pub status: Option<u16>,
    /// Beginning of the path.
    pub path: Option<String>,
}

/// A past request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// Its id.
    pub id: String,
    /// The configuration it was served under.
    pub generation: u64,
    /// Whether that is still the one in force.
    pub in_force: bool,
    /// Status the client got.
    pub status: Option<u16>,
    /// The reason phrase of the server's answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phrase: String,
    /// The server that was used last.
    pub server: Option<String>,
    /// Servers that did not do.
    pub tried: Vec<Tried>,
    /// Attempts after the first.
    pub retries: u32,
    /// Milliseconds of each part; -1: did not happen.
    pub times_ms: Times,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// Its path.
    pub walk: Walk,
}

/// A server that did not do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Its name.
    pub server: String,
    /// Code of the reason.
    pub code: String,
    /// Word of the reason.
    pub reason: String,
    /// In a sentence.
    pub sentence: String,
}

/// Milliseconds of the parts of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// First byte of the request to the end of its head.
    pub request: i64,
    /// In queues.
    pub queue: i64,
    /// Connecting.
    pub connect: i64,
    /// From connected to the response head.
    pub response: i64,
    /// In all.
    pub total: i64,
}

/// Records that are looked for at most.
const MOST: usize = 1000;

/// The past requests that are asked for, oldest first.
pub fn past(shared: &Shared, wanted: &Wanted) -> Vec<Past> {
    let most = wanted.last.clamp(1, MOST);
    let fits = |decision: &Decision| {
        wanted.id.as_ref().is_none_or(|id| *id == decision.id)
            && wanted.client.is_none_or(|client| decision.src == Some(client))
            && wanted.status.is_none_or(|status| decision.status == Some(status))
            && wanted.path.as_ref().is_none_or(|path| target(&decision.heads.request).starts_with(path.as_bytes()))
    };
    let mut all: Vec<Decision> = shared.process.decisions.iter().flat_map(|ring| ring.select(most, fits)).collect();
    all.sort_by_key(|decision| std::cmp::Reverse(decision.began_us));
    all.truncate(most);
    all.iter().rev().map(|decision| tell(shared, decision)).collect()
}

/// Why none fits: what `why` says then.
pub fn none(shared: &Shared, wanted: &Wanted) -> String {
    let process = &shared.process;
    let entries = shared.snapshot.load().config.global.why.entries;
    let sought = match (&wanted.id, wanted.client) {
        (Some(id), _) => format!("no request {id} is remembered"),
        (None, Some(client)) => format!("nothing is remembered of a connection from {client}"),
        (None, None) => "no request is remembered that fits".to_owned(),
    };
    if entries == 0 {
        return format!("{sought}: global.why.entries is 0, so that nothing is kept");
    }
    // An id begins with the start of its process, in hexadecimal.
    let stamp = wanted.id.as_deref().and_then(|id| {
        let mut parts = id.split('-');
        let numbers = [parts.next()?, parts.next()?, parts.next()?].map(|part| u64::from_str_radix(part, 16).ok());
        numbers.into_iter().all(|n| n.is_some()).then_some(numbers[0]?).filter(|_| parts.next().is_none())
    });
    if let Some(stamp) = stamp.filter(|stamp| *stamp != process.stamp) {
        let then = i64::try_from(stamp).map_or(0, |s| s.saturating_mul(1_000_000));
        return format!("{sought}: it is of a process that started at {}, and records end with it", words::time(then));
    }
    let workers = process.decisions.count();
    let reach = process.decisions.iter().filter_map(|ring| ring.reach(entries / workers)).max();
    let reach = match reach {
        Some(us) => {
            format!("older records than of {} may be overwritten (global.why.entries = {entries})", words::time(us))
        }
        None => "no record was overwritten yet".to_owned(),
    };
    format!("{sought}: {reach}; kept are errors, slow ones, and of the others a sample (global.why)")
}

/// The reason phrase of a response head.
fn phrase(head: &[u8]) -> String {
    let line = head.split(|&b| b == b'\r').next().unwrap_or_default();
    let phrase = line.splitn(3, |&b| b == b' ').nth(2).unwrap_or_default();
    String::from_utf8_lossy(phrase).into_owned()
}

/// The second word of the head.
fn target(head: &[u8]) -> &[u8] {
    head.split(|&byte| byte == b' ').nth(1).unwrap_or_default()
}

fn tell(shared: &Shared, decision: &Decision) -> Past {
    let snapshot = shared.snapshot.load_full();
    let in_force = snapshot.generation == decision.generation;
    // Whole tables are not copied for every record: these are the entries the request can have looked at.
    let client = decision.src.iter().map(|src| src.ip().to_string());
    let keys: Vec<String> = client.chain(decision.tracked.iter().map(|then| then.key.clone())).collect();
    let mut given = live::given(&snapshot, &shared.process, &keys, 0);
    if !in_force {
        // Rules know tables by their index in the configuration they were part of.
        given.tables.clear();
    }
    given.notes.clear();
    let times = decision.times;
    Past {
        id: decision.id.clone(),
        generation: decision.generation,
        in_force,
        status: decision.status,
        phrase: phrase(&decision.heads.response),
        server: decision.server.as_ref().map(|name| name.to_string()),
        tried: decision.tried.iter().map(|(server, end)| tried(server, *end)).collect(),
        retries: decision.retries,
        times_ms: Times {
            request: times.request,
            queue: times.queue,
            connect: times.connect,
            response: times.response,
            total: times.total,
        },
        bytes_in: decision.bytes[0],
        bytes_out: decision.bytes[1],
        walk: walk(decision, &snapshot.config, &given, in_force),
    }
}

fn tried(server: &str, end: End) -> Tried {
    let entry = end.entry();
    Tried {
        server: server.to_owned(),
        code: entry.code.to_owned(),
        reason: entry.label.to_owned(),
        sentence: entry.sentence.to_owned(),
    }
}

/// Whether it was a connection in TCP mode, and none that went on as HTTP.
fn is_tcp(decision: &Decision) -> bool {
    decision.frontend.mode == Mode::Tcp && decision.heads.request.is_empty()
}

/// The scene of a record, and whether its head was kept so far that it can be read.
fn scene(decision: &Decision) -> Option<(Scene, bool)> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let text = String::from_utf8_lossy(&decision.heads.request);
    let of = |text: &str| Scene::new(text, decision.src.unwrap_or(nowhere), decision.dst.unwrap_or(nowhere)).ok();
    let (mut scene, whole) = match is_tcp(decision) {
        true => {
            // A connection in TCP mode has no head.
            let mut scene = of("GET / HTTP/1.0\r\n\r\n")?;
            scene.request = Head::new();
            (scene, true)
        }
        false => match of(&text) {
            Some(scene) => (scene, true),
            // Cut where it can no longer be read: its first line still can.
            None => {
                let line = text.lines().next().unwrap_or_default();
                let line = line.rsplit_once(' ').map_or(line, |(line, _)| line);
                (of(&format!("{line} HTTP/1.0\r\n\r\n"))?, false)
            }
        },
    };
    scene.session.src = decision.src;
    scene.session.dst = decision.dst;
    scene.session.real = (decision.src, decision.dst);
    scene.session.wire = decision.wire;
    scene.session.tls = decision.tls.clone();
    scene.session.proxied = decision.proxied.clone();
    if decision.wire == Wire::Http2 {
        scene.request.set_version(Version::Http2);
    }
    scene.now = Now { mono_ms: MONO_MS, unix_us: decision.began_us };
    Some((scene, whole))
}

/// The rules of the record, looked at again.
fn walk(decision: &Decision, config: &evenkeel_config::Config, given: &Given, in_force: bool) -> Walk {
    let Some((scene, whole)) = scene(decision) else { return unreadable(decision) };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let tcp = is_tcp(decision);
    let mut engine = Engine::new(config, &decision.frontend, scene, given);
    engine.walk.request.tls = decision.tls.is_some();
    // What these decided was not recorded, but they let it pass, and what they set is what later rules saw.
    engine.connection_rules();
    engine.walk.outcome = walk::Outcome::default();
    let on_connection = engine.walk.stages.len();
    engine.replay = Some(decision.path.iter().collect::<VecDeque<bool>>());
    engine.past = Some(decision.backend.clone());
    let method = engine.scene.request.method();
    let received = Head::response(&text(&decision.heads.response), method).ok();
    if tcp {
        if let Some(back) = engine.tcp_rules() {
            engine.wanted(&back);
        }
    } else if !engine.begins()
        && let Some(back) = engine.request_rules()
    {
        engine.wanted(&back);
        let answered = answered(decision.end);
        if let Some(status) = decision.status
            && (answered || decision.end.status().is_some())
        {
            // Of an answer of our own only the status is known.
            let bare = || Head::response(&format!("HTTP/1.1 {status} \r\n\r\n"), Method::Get).ok();
            match answered {
                true => {
                    engine.scene.response = received.clone().or_else(bare);
                    engine.response_rules(&back);
                }
                false => {
                    engine.scene.response = bare();
                    engine.last_word(Some(&back));
                }
            }
        }
    }
    let place = engine.walk.outcome.place.take();
    let action = std::mem::take(&mut engine.walk.outcome.action);
    let action = match (action.is_empty(), decision.end.is_error()) {
        (false, _) => &action,
        (true, true) => "error",
        (true, false) => "forward",
    };
    engine.end(action, decision.end);
    engine.walk.outcome.place = place;
    let mut walk = engine.done();
    walk.answer = None;
    walk.received = received.as_ref().map(|head| walk::Answer {
        by: "server".to_owned(),
        status: head.status(),
        reason: text(head.reason()),
        headers: walk::fields(head),
        ..walk::Answer::default()
    });
    walk.tracked = decision
        .tracked
        .iter()
        .map(|then| walk::Tracked {
            counter: then.counter,
            table: then.table.to_string(),
            key: then.key.clone(),
            values: then.values.clone(),
        })
        .collect();
    for stage in &mut walk.stages {
        // What a rule would see now says nothing where the answer, or what came over the connection, was not kept.
        if (on_response(stage) && received.is_none()) || (tcp && stage.keyword.ends_with(".content")) {
            for rule in &mut stage.rules {
                rule.now = None;
                rule.tests.clear();
            }
        }
    }
    // The values that stand behind are those of now; what they were then is told at the end.
    for did in walk.stages.iter_mut().flat_map(|stage| &mut stage.rules).flat_map(|rule| &mut rule.did) {
        if did.starts_with("tracks ")
            && let Some(values) = did.find(" (")
        {
            did.truncate(values);
        }
    }
    let captured = decision.captured.iter().map(|captured| walk::Captured {
        of: if captured.of_response { "response" } else { "request" }.to_owned(),
        slot: captured.slot,
        field: captured.field.as_ref().map(|name| name.to_string()),
        value: text(&captured.value),
    });
    walk.captured = captured.collect();
    hide_secrets(&mut walk, config);
    let cut = |what: &str| format!("the head of the {what} was too long to be kept whole: later fields are missing");
    if !whole {
        walk.notes
            .push("the head of the request was too long to be kept whole: only its first line was looked at".into());
    } else if decision.heads.cut {
        walk.notes.push(cut("request"));
    }
    if decision.heads.response_cut {
        walk.notes.push(cut("answer"));
    }
    if !in_force {
        walk.notes.push("another configuration is in force now: its stick tables were not looked at".into());
    }
    if on_connection > 0 {
        walk.notes.push("rules on the connection are not recorded: they are shown as they decide now".into());
    }
    if walk.stages.iter().skip(on_connection).flat_map(|stage| &stage.rules).any(|rule| !rule.tests.is_empty()) {
        walk.notes.push("rules held as shown; live numbers and stick tables in what they saw are those of now".into());
    }
    walk
}

/// Whether it was the server's answer that the client got, or that a rule on responses replaced.
fn answered(end: End) -> bool {
    matches!(end, End::Answered | End::ResponseDenied | End::ResponseRewriteFailed)
        || (matches!(end.stage(), Stage::Data | Stage::Done) && end.status().is_none())
}

fn unreadable(decision: &Decision) -> Walk {
    let entry = decision.end.entry();
    Walk {
        request: walk::Asked { time: words::time(decision.began_us), ..walk::Asked::default() },
        bind: walk::Bind { frontend: decision.frontend.name.to_string(), ..walk::Bind::default() },
        outcome: walk::Outcome {
            action: "forward".to_owned(),
            sentence: entry.sentence.to_owned(),
            code: decision.end.is_error().then(|| entry.code.to_owned()),
            ..walk::Outcome::default()
        },
        notes: vec!["the head of the request was too long to be kept".to_owned()],
        ..Walk::default()
    }
}
