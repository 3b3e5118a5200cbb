//! The state of the running process as [`Given`]: what `explain --live` and `why` look at.
//!
//! Runs on the control thread and only reads: counters are read as they are, stick-table entries are copied, so nothing that
//! rules do in an explanation reaches traffic. Bounded: of a large table only the entries that matter are copied.

use std::sync::Arc;

use evenkeel_acl::ProcessCount;
use evenkeel_acl::stick::{DataSel, Key, Kind, Row, Table};
use evenkeel_backend::{Admin, Server};
use evenkeel_frontend::{Process, Shared, Snapshot, rate_now};

use super::given::{Given, MONO_MS, ServerState};
use super::question::{Question, State, Told};
use super::walk::Walk;
use super::{hide_secrets, simulate};

/// Entries of a table that `explain` copies; a larger table is looked up by the keys that are tracked.
const ENTRIES: usize = 20_000;

/// Times the request is walked until no further key of a large table turns up.
const ROUNDS: usize = 4;

/// What would become of a request now.
///
/// # Errors
/// As [`simulate`].
pub fn explain(shared: &Shared, question: &Question, told: &Told) -> Result<Walk, String> {
    let snapshot = shared.snapshot.load_full();
    // Of a large table the client's own entry is wanted, and then whatever the walk tracks.
    let mut keys = vec![question.src.ip().to_string()];
    let mut round = 0;
    loop {
        round += 1;
        let mut given = given(&snapshot, &shared.process, &keys, ENTRIES);
        given.tell(&snapshot.config, told)?;
        given.notes.push(format!("generation {} of the running process, as it is now", snapshot.generation));
        let mut walk = simulate(&snapshot.config, question, &given)?;
        let found = keys.len();
        for tracked in &walk.tracked {
            if !keys.contains(&tracked.key) {
                keys.push(tracked.key.clone());
            }
        }
        if keys.len() == found || round == ROUNDS {
            hide_secrets(&mut walk, &snapshot.config);
            return Ok(walk);
        }
    }
}

/// The state of this moment; of tables with more than `most` entries only those of `keys`.
pub fn given(snapshot: &Snapshot, process: &Process, keys: &[String], most: usize) -> Given {
    let config = &snapshot.config;
    let mut given = Given::new(config);
    for group in &snapshot.groups {
        given.backends.insert(group.conf.name.clone(), [group.state.sessions.now(), group.state.queued()]);
        for slot in &group.slots {
            let id = (group.conf.name.clone(), slot.conf.name.clone());
            given.rates.servers.insert(id.clone(), rate_now(&slot.server.sheet, |sheet| &sheet.session_rate));
            given.servers.insert(id, server(&slot.server));
        }
        let rate = rate_now(&group.state.sheet, |sheet| &sheet.session_rate);
        given.rates.backends.insert(group.conf.name.clone(), rate);
    }
    for entrance in &snapshot.frontends {
        let (name, state) = (&entrance.conf.name, &entrance.state);
        given.frontends.insert(name.clone(), state.sessions.now());
        let rates = [
            rate_now(&state.sheet, |sheet| &sheet.connection_rate),
            rate_now(&state.sheet, |sheet| &sheet.request_rate),
        ];
        given.rates.frontends.insert(name.clone(), rates);
    }
    given.process = vec![
        (ProcessCount::Connections, i64::from(process.connections.now())),
        (ProcessCount::Pid, i64::from(std::process::id())),
        (ProcessCount::Uptime, i64::try_from(process.started.elapsed().as_secs()).unwrap_or(i64::MAX)),
        (ProcessCount::Stopping, i64::from(process.is_draining())),
        (ProcessCount::Threads, process.ends.count() as i64),
    ];
    given.proc_vars = process.vars.copy();
    if let Some(name) = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()) {
        given.hostname = name;
    }
    let now = process.now_ms();
    for (live, copy) in snapshot.tables.iter().zip(&given.tables) {
        if live.used() <= most {
            live.for_each(now, |row| copy_row(live, copy, &row));
            continue;
        }
        for key in keys.iter().filter_map(|key| Key::from_bytes(live.kind(), key.as_bytes())) {
            copy_entry(live, copy, &key, now);
        }
        given.notes.push(format!(
            "table {} holds {} entries: only those of tracked keys and of the client were looked at",
            live.name(),
            live.used()
        ));
    }
    given
}

fn server(server: &Server) -> ServerState {
    let state = match server.admin() {
        Admin::Maint => State::Maint,
        Admin::Drain => State::Drain,
        Admin::Ready if server.is_up() => State::Up,
        Admin::Ready => State::Down,
    };
    let detail = (state == State::Down).then(|| server.check().last_failure).flatten().map(|(report, at)| {
        let info = if report.info.is_empty() { String::new() } else { format!(" ({})", report.info) };
        format!("{}{info}, {} s ago", report.status.description(), at.elapsed().as_secs())
    });
    ServerState { state, detail, sessions: server.sessions.now(), queued: server.queued() }
}

fn copy_row(live: &Table, copy: &Arc<Table>, row: &Row<'_>) {
    let values: Vec<_> = row.values().map(|(_, sel, value)| (sel, renumbered(live, copy, sel.kind, value))).collect();
    copy.set_from_outside(&row.key, &values, MONO_MS);
}

fn copy_entry(live: &Arc<Table>, copy: &Arc<Table>, key: &Key, now: u64) {
    let Some(entry) = live.get(key, now) else { return };
    let mut values = Vec::new();
    for data in live.store() {
        for index in 0..data.elements {
            let sel = DataSel::nth(data.kind, index);
            if let Some(value) = entry.get(sel, now) {
                values.push((sel, renumbered(live, copy, data.kind, value)));
            }
        }
    }
    copy.set_from_outside(key, &values, MONO_MS);
}

/// Names of servers are numbers of their table.
fn renumbered(live: &Table, copy: &Table, kind: Kind, value: u64) -> u64 {
    match kind {
        Kind::ServerKey => {
            let name = u32::try_from(value).ok().and_then(|number| live.name_of(number));
            name.map_or(0, |name| u64::from(copy.number_of(&name)))
        }
        _ => value,
    }
}
