//! The health-check loops: one small task per checked server, all on the control thread.
//!
//! A loop asks, tells its [`Machine`], and publishes the outcome to the [`Server`]; what it concludes is logged through the
//! sink. A reload keeps the loops whose check and address did not change, so no result is lost and no check is repeated.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_config::{self as config, Check, Proto, SendProxy, ServerAddress};
use evenkeel_health::{Change, Compiled, Left, Machine, Report, change_line, compile, jittered, probe};
use evenkeel_tls::Connector;
use tokio::task::JoinHandle;

use crate::group::{Group, Slot};
use crate::queue;
use crate::server::{Admin, Server};

/// Something an operator should read.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Syslog severity: 0 emerg, 1 alert, 5 notice, 6 info.
    pub level: u8,
    /// The backend concerned.
    pub group: Arc<Group>,
    /// The line.
    pub text: String,
}

/// Where notices go.
pub type NoticeSink = Rc<dyn Fn(Notice)>;

/// Runs the checks of the configuration in force. Must be used inside a `LocalRuntime`.
pub struct Checker {
    shared: Rc<Shared>,
    loops: HashMap<usize, Loop>,
}

struct Shared {
    sink: NoticeSink,
    groups: RefCell<HashMap<Arc<str>, Arc<Group>>>,
}

struct Loop {
    check: Arc<Check>,
    address: ServerAddress,
    send_proxy: Option<Arc<SendProxy>>,
    proto: Option<Proto>,
    connector: Option<Arc<Connector>>,
    task: JoinHandle<()>,
}

impl Loop {
    /// Whether it checks as it would be checked now. Settings of TLS that did not change have the connector they had.
    fn serves(&self, slot: &Slot, check: &Arc<Check>) -> bool {
        let same_tls = match (&self.connector, &slot.check_connector) {
            (Some(known), Some(now)) => Arc::ptr_eq(known, now),
            (None, None) => true,
            _ => false,
        };
        self.address == slot.conf.address
            && self.check == *check
            && self.send_proxy == slot.conf.send_proxy
            && self.proto == slot.conf.proto
            && same_tls
            && !self.task.is_finished()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checker {
    /// Nothing is checked until [`Checker::follow`].
    pub fn new(sink: NoticeSink) -> Checker {
        Checker { shared: Rc::new(Shared { sink, groups: RefCell::default() }), loops: HashMap::new() }
    }

    /// Checks what this configuration asks for, and nothing else.
    pub fn follow(&mut self, groups: &[Arc<Group>]) {
        *self.shared.groups.borrow_mut() = groups.iter().map(|g| (g.conf.name.clone(), g.clone())).collect();
        let mut before = std::mem::take(&mut self.loops);
        for group in groups {
            for slot in &group.slots {
                match &slot.conf.check {
                    Some(check) if !group.conf.disabled => {
                        let known = before.remove(&slot.server.index);
                        let running = self.ensure(known, slot, check);
                        self.loops.insert(slot.server.index, running);
                    }
                    _ => forget(slot),
                }
            }
            self.shared.announce_availability(group);
        }
    }

    fn ensure(&self, known: Option<Loop>, slot: &Slot, check: &Arc<Check>) -> Loop {
        let same_address = known.as_ref().is_some_and(|k| k.address == slot.conf.address);
        if let Some(known) = known.filter(|known| known.serves(slot, check)) {
            return known;
        }
        begin(slot, check, same_address);
        let connector = slot.check_connector.clone();
        let compiled = compile(check).for_server(check, &slot.conf, connector.as_ref());
        let work = run(self.shared.clone(), slot.server.clone(), slot.conf.clone(), check.clone(), compiled);
        Loop {
            check: check.clone(),
            address: slot.conf.address.clone(),
            send_proxy: slot.conf.send_proxy.clone(),
            proto: slot.conf.proto,
            connector,
            task: tokio::task::spawn_local(work),
        }
    }
}

/// Sets the machine up: kept when only thresholds changed, new for a new server or a new address.
fn begin(slot: &Slot, check: &Check, keep: bool) {
    let up = slot.server.with_check(|state| {
        state.running = false;
        match &mut state.machine {
            Some(machine) if keep => machine.reconfigure(check.rise, check.fall),
            machine => *machine = Some(Machine::new(check.rise, check.fall, check.init)),
        }
        state.machine.as_ref().is_none_or(Machine::is_up)
    });
    slot.server.set_up(up);
    if up {
        queue::fill(&slot.server);
    }
}

/// A server without a check is always up.
fn forget(slot: &Slot) {
    let had = slot.server.with_check(|state| {
        state.last = None;
        state.running = false;
        state.machine.take().is_some()
    });
    if had {
        slot.server.set_up(true);
        queue::fill(&slot.server);
    }
}

/// The first checks of a configuration are spread over at most this long.
const FIRST_SPREAD: Duration = Duration::from_secs(1);

async fn run(
    shared: Rc<Shared>,
    server: Arc<Server>,
    conf: Arc<config::Server>,
    check: Arc<Check>,
    compiled: Compiled,
) {
    let mut rng = fastrand::Rng::new();
    // The checks of a backend start spread over one interval, so that a start or reload is no burst (`spread-checks`).
    tokio::time::sleep(check.interval.mul_f64(rng.f64()).min(FIRST_SPREAD)).await;
    loop {
        if server.admin() != Admin::Maint {
            once(&shared, &server, &conf.address, &compiled).await;
        }
        let wait = server.with_check(|state| state.machine.as_ref().map_or(check.interval, |m| m.wait(&check)));
        tokio::time::sleep(jittered(wait, check.jitter, &mut rng)).await;
    }
}

async fn once(shared: &Shared, server: &Arc<Server>, address: &ServerAddress, compiled: &Compiled) {
    server.with_check(|state| state.running = true);
    let report = probe::run(compiled, address).await;
    let passed = report.passed();
    let (change, news) = server.with_check(|state| {
        state.running = false;
        if !passed {
            state.failures += 1;
        }
        let same = |last: &Report| last.status == report.status && last.code == report.code;
        let news = !state.last.as_ref().is_some_and(|(last, _)| same(last));
        let dated = Some((report.clone(), Instant::now()));
        if !passed {
            state.last_failure.clone_from(&dated);
        }
        state.last = dated;
        (state.machine.as_mut().and_then(|m| m.apply(passed)), news)
    });
    if let Some(change) = change {
        server.set_up(change == Change::Up);
        if change == Change::Up {
            queue::fill(server);
        }
    }
    let Some(group) = shared.groups.borrow().get(&server.backend.name).cloned() else { return };
    match change {
        Some(change) => shared.announce_change(&group, server, change, &report),
        None if news && group.conf.option.log_health_checks => {
            let word = if passed { "succeeded" } else { "failed" };
            let text = format!(
                "Health check for server {}/{} {word}, {}, status: {}.",
                group.conf.name,
                server.name,
                evenkeel_health::describe(&report),
                server.status()
            );
            (shared.sink)(Notice { level: if passed { 5 } else { 1 }, group, text });
        }
        None => {}
    }
}

impl Shared {
    fn announce_change(&self, group: &Arc<Group>, server: &Arc<Server>, change: Change, report: &Report) {
        let (active, backup) = group.usable();
        let is_backup = group.slot_of(server).is_some_and(|at| group.slots[at].conf.backup);
        let left = Left {
            active: active as u32,
            backup: backup as u32,
            sessions: server.sessions.now(),
            requeued: 0,
            queued: group.state.queued(),
        };
        let up = change == Change::Up;
        let text = change_line(up, is_backup, &group.conf.name, &server.name, report, left);
        (self.sink)(Notice { level: if up { 5 } else { 1 }, group: group.clone(), text });
        self.announce_availability(group);
    }

    fn announce_availability(&self, group: &Arc<Group>) {
        let (active, backup) = group.usable();
        let available = active + backup > 0;
        if group.state.set_available(available) && !available && !group.slots.is_empty() {
            let text = format!("backend {} has no server available!", group.conf.name);
            (self.sink)(Notice { level: 0, group: group.clone(), text });
        }
    }
}

#[cfg(test)]
mod tests;
