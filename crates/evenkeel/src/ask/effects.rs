//! What the action of a rule changed, told from the difference between before and after.
//!
//! Comparing asks nothing of the actions, so a new one is explained without a word about it here.

use evenkeel_acl::stick::Tracked;
use evenkeel_acl::{Memo, Scene, Session, Slots, Wishes};
use evenkeel_proto::Head;

use super::walk;

/// The state that rules may change, as text.
#[derive(Debug)]
pub struct Shot {
    request: Message,
    response: Option<Message>,
    src: String,
    dst: String,
    vars: Vec<(String, String)>,
    captured: Vec<(String, String)>,
    tracked: Vec<walk::Tracked>,
    wishes: Wishes,
}

#[derive(Debug, PartialEq)]
struct Message {
    /// Method and target, or status.
    start: [String; 2],
    fields: Vec<(String, String)>,
}

/// Capture slots that are looked at.
const SLOTS: usize = 64;

impl Shot {
    /// The state of `scene`.
    pub fn of(scene: &Scene) -> Shot {
        Shot {
            request: Message::of(&scene.request, false),
            response: scene.response.as_ref().map(|head| Message::of(head, true)),
            src: address(scene.session.src),
            dst: address(scene.session.dst),
            vars: vars(&scene.session, &scene.memo),
            captured: captured(&scene.memo),
            tracked: tracked(&scene.session, &scene.memo, scene.now.mono_ms),
            wishes: scene.memo.wishes.clone(),
        }
    }

    /// What differs in `after`.
    pub fn changes(&self, after: &Shot) -> Vec<String> {
        let mut did = Vec::new();
        self.request.changes(&after.request, ["method", "target"], "request", &mut did);
        if let (Some(before), Some(after)) = (&self.response, &after.response) {
            before.changes(after, ["status", "reason"], "response", &mut did);
        }
        for (what, before, after) in [("source", &self.src, &after.src), ("destination", &self.dst, &after.dst)] {
            if before != after {
                did.push(format!("{what} address {before} -> {after}"));
            }
        }
        named(&self.vars, &after.vars, "variable ", &mut did);
        named(&self.captured, &after.captured, "capture ", &mut did);
        for now in &after.tracked {
            let name = format!("sc{} of table {}", now.counter, now.table);
            match self.tracked.iter().find(|t| t.counter == now.counter && t.table == now.table && t.key == now.key) {
                None => did.push(format!("tracks {} as {name}{}", now.key, in_brackets(&now.values))),
                Some(before) => {
                    for ((value, was), (_, is)) in before.values.iter().zip(&now.values).filter(|(a, b)| a != b) {
                        did.push(format!("{value} of {name}: {was} -> {is}"));
                    }
                }
            }
        }
        wishes(&self.wishes, &after.wishes, &mut did);
        did
    }
}

impl Message {
    fn of(head: &Head, response: bool) -> Message {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let start = match response {
            true => [head.status().to_string(), text(head.reason())],
            false => [text(head.method_bytes()), text(head.target())],
        };
        Message { start, fields: walk::fields(head) }
    }

    fn changes(&self, after: &Message, names: [&str; 2], whose: &str, did: &mut Vec<String>) {
        for ((name, before), after) in names.iter().zip(&self.start).zip(&after.start) {
            if before != after {
                did.push(format!("{name} {before} -> {after}"));
            }
        }
        // As many lines of a field as before are no change, wherever they stand.
        let count = |list: &[(String, String)], field: &(String, String)| list.iter().filter(|f| *f == field).count();
        let mut seen: Vec<&(String, String)> = Vec::new();
        for (sign, from, to) in [('-', &self.fields, &after.fields), ('+', &after.fields, &self.fields)] {
            seen.clear();
            for field in from {
                if seen.contains(&field) {
                    continue;
                }
                seen.push(field);
                for _ in count(to, field)..count(from, field) {
                    did.push(format!("{sign} {}: {} ({whose})", field.0, field.1));
                }
            }
        }
    }
}

fn address(address: Option<std::net::SocketAddr>) -> String {
    address.map_or_else(String::new, |address| address.to_string())
}

fn vars(session: &Session, memo: &Memo) -> Vec<(String, String)> {
    let (session, memo) = (session.vars.borrow(), memo.vars.borrow());
    let text = |(name, value): (&str, &evenkeel_acl::Stored)| {
        let mut text = Vec::new();
        value.sample().write_text(&mut text);
        (name.to_owned(), String::from_utf8_lossy(&text).into_owned())
    };
    session.iter().chain(memo.iter()).map(text).collect()
}

fn captured(memo: &Memo) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut take = |slots: &Slots, of: &str| {
        for at in 0..SLOTS {
            if let Some(value) = slots.get(at) {
                all.push((format!("{at} of the {of}"), String::from_utf8_lossy(value).into_owned()));
            }
        }
    };
    take(&memo.captured_request.borrow(), "request");
    take(&memo.captured_response.borrow(), "response");
    all
}

/// What is tracked, with all that is stored.
pub fn tracked(session: &Session, memo: &Memo, now: u64) -> Vec<walk::Tracked> {
    let entry = |(counter, entry): (usize, &Tracked)| walk::Tracked {
        counter,
        table: entry.table_name().to_string(),
        key: entry.key().map_or_else(String::new, |key| key.to_string()),
        values: entry.values(now),
    };
    let mut all: Vec<walk::Tracked> = session.tracks.iter().chain(memo.tracks.iter()).map(entry).collect();
    all.sort_by_key(|tracked| tracked.counter);
    all
}

fn in_brackets(values: &[(String, u64)]) -> String {
    match values {
        [] => String::new(),
        values => {
            let list: Vec<String> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!(" ({})", list.join(", "))
        }
    }
}

/// Named values that came, changed and went.
fn named(before: &[(String, String)], after: &[(String, String)], what: &str, did: &mut Vec<String>) {
    for (name, value) in after {
        if !before.iter().any(|(n, v)| n == name && v == value) {
            did.push(format!("{what}{name} = {value}"));
        }
    }
    for (name, _) in before {
        if !after.iter().any(|(n, _)| n == name) {
            did.push(format!("{what}{name} is forgotten"));
        }
    }
}

fn wishes(before: &Wishes, after: &Wishes, did: &mut Vec<String>) {
    let times = |w: &Wishes| {
        let t = w.timeouts;
        [
            ("timeout.client", t.client),
            ("timeout.connect", t.connect),
            ("timeout.queue", t.queue),
            ("timeout.server", t.server),
            ("timeout.tarpit", t.tarpit),
            ("timeout.tunnel", t.tunnel),
        ]
    };
    for ((name, was), (_, is)) in times(before).into_iter().zip(times(after)) {
        if let Some(ms) = is.filter(|_| was != is) {
            did.push(format!("{name} = {ms} ms"));
        }
    }
    if let Some(retries) = after.retries.filter(|_| before.retries != after.retries) {
        did.push(format!("retries = {retries}"));
    }
    if after.no_l7_retry && !before.no_l7_retry {
        did.push("the request is not sent again".to_owned());
    }
    match after.log_level.filter(|_| before.log_level != after.log_level) {
        None => {}
        Some(8) => did.push("it is not logged".to_owned()),
        Some(level) => did.push(format!("log level {level}")),
    }
    if before.priority_class != after.priority_class {
        did.push(format!("queue priority class {}", after.priority_class));
    }
    if before.priority_offset != after.priority_offset {
        did.push(format!("queue priority offset {} ms", after.priority_offset));
    }
    if before.nice != after.nice {
        did.push(format!("nice {}", after.nice));
    }
    for (what, was, is) in [
        ("upload", &before.upload_limit, &after.upload_limit),
        ("download", &before.download_limit, &after.download_limit),
    ] {
        if let Some(limit) = is.as_ref().filter(|_| was != is) {
            did.push(format!("{what} limited to {} bytes/s", limit.per_second));
        }
    }
    for (name, value) in after.early_hints.iter().skip(before.early_hints.len()) {
        did.push(format!("early hint {name}: {}", String::from_utf8_lossy(value)));
    }
}
