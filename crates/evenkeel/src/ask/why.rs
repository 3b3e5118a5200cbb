//! `evenkeel why`: how a past request was decided, from the record that its worker kept.
//!
//! The record says which rules held; the rules are walked again on the recorded head, following the record, so that each
//! is shown with what it looks at, and where looking again would decide otherwise, that is said. Runs on the control thread.

use std::collections::VecDeque;
use std::net::SocketAddr;

use evenkeel_acl::{Now, Scene};
use evenkeel_frontend::{Decision, End, Shared, Stage};
use evenkeel_proto::{Head, Method};
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
            && wanted.status.is_none_or(|status| decision.status == Some(status))
            && wanted.path.as_ref().is_none_or(|path| target(&decision.request).starts_with(path.as_bytes()))
    };
    let mut all: Vec<Decision> = shared.process.decisions.iter().flat_map(|ring| ring.select(most, fits)).collect();
    all.sort_by_key(|decision| std::cmp::Reverse(decision.began_us));
    all.truncate(most);
    all.iter().rev().map(|decision| tell(shared, decision)).collect()
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
        phrase: decision.phrase.clone(),
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

/// The rules of the record, looked at again.
fn walk(decision: &Decision, config: &evenkeel_config::Config, given: &Given, in_force: bool) -> Walk {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let text = String::from_utf8_lossy(&decision.request);
    let scene = Scene::new(&text, decision.src.unwrap_or(nowhere), decision.dst.unwrap_or(nowhere));
    let (mut scene, whole) = match scene {
        Ok(scene) => (scene, true),
        // Cut where it can no longer be read: its first line still can.
        Err(_) => {
            let line = text.lines().next().unwrap_or_default();
            let line = line.rsplit_once(' ').map_or(line, |(line, _)| line);
            match Scene::new(&format!("{line} HTTP/1.0\r\n\r\n"), nowhere, nowhere) {
                Ok(scene) => (scene, false),
                Err(_) => return unreadable(decision),
            }
        }
    };
    scene.session.src = decision.src;
    scene.session.dst = decision.dst;
    scene.session.real = (decision.src, decision.dst);
    scene.now = Now { mono_ms: MONO_MS, unix_us: decision.began_us };
    let mut engine = Engine::new(config, &decision.frontend, scene, given);
    engine.replay = Some(decision.path.iter().collect::<VecDeque<bool>>());
    engine.past = Some(decision.backend.clone());
    if !engine.begins()
        && let Some(back) = engine.request_rules()
    {
        engine.wanted(&back);
        let answered = answered(decision.end);
        if let Some(status) = decision.status
            && (answered || decision.end.status().is_some())
        {
            engine.scene.response = Head::response(&format!("HTTP/1.1 {status} \r\n\r\n"), Method::Get).ok();
            match answered {
                true => {
                    engine.response_rules(&back);
                }
                false => engine.last_word(Some(&back)),
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
    // Of a response only the status is kept: what its rules would see now says nothing.
    for rule in walk.stages.iter_mut().filter(|stage| on_response(stage)).flat_map(|stage| &mut stage.rules) {
        rule.now = None;
        rule.tests.clear();
    }
    // The values that stand behind are those of now; what they were then is told at the end.
    for did in walk.stages.iter_mut().flat_map(|stage| &mut stage.rules).flat_map(|rule| &mut rule.did) {
        if did.starts_with("tracks ")
            && let Some(values) = did.find(" (")
        {
            did.truncate(values);
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let captured = decision.captured.iter().map(|captured| walk::Captured {
        of: if captured.of_response { "response" } else { "request" }.to_owned(),
        slot: captured.slot,
        field: captured.field.as_ref().map(|name| name.to_string()),
        value: text(&captured.value),
    });
    walk.captured = captured.collect();
    hide_secrets(&mut walk, config);
    if !whole {
        walk.notes
            .push("the head of the request was too long to be kept whole: only its first line was looked at".into());
    } else if decision.cut {
        walk.notes.push("the head of the request was too long to be kept whole: later fields are missing".into());
    }
    if !in_force {
        walk.notes.push("another configuration is in force now: its stick tables were not looked at".into());
    }
    if walk.stages.iter().flat_map(|stage| &stage.rules).any(|rule| !rule.tests.is_empty()) {
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
