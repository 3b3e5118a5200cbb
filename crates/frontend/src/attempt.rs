//! Getting a connection for a transaction: choose a server, connect, and when that fails retry or redispatch
//! (`retries`, `option.redispatch`). Shared by HTTP and TCP mode.

use std::time::{Duration, Instant};

use evenkeel_acl::{Choice, LogFormat};
use evenkeel_backend::{Chooser, Group, Lease, Rank, Server};
use evenkeel_config::Sni;

use crate::clock;
use crate::conn::Conn;
use crate::end::{End, Stage};
use crate::finish::Tally;
use crate::greeting::Extras;
use crate::messages::host_name;
use crate::timer::within;
use crate::upstream::{self, Chosen, Refused, Upstream, Waited};
use crate::worker::Local;

/// How long at most to wait before the same server is tried again (HAProxy's turn-around).
const TURN_AROUND: Duration = Duration::from_secs(1);

/// What rules ask of the way to a server; nothing where the configuration holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// The server that `use-server` names.
    pub(crate) server: Option<usize>,
    /// `set-retries`.
    pub(crate) retries: Option<u32>,
    /// `set-timeout connect`.
    pub(crate) connect: Option<Duration>,
    /// `set-timeout queue`.
    pub(crate) queue: Option<Duration>,
    /// `set-priority-class`, `set-priority-offset`.
    pub(crate) rank: Rank,
    /// The request wants another protocol on its connection.
    pub(crate) upgrades: bool,
    /// The name to ask each server for, where one has TLS.
    pub(crate) names: Names,
    /// What PROXY headers tell of the request.
    pub(crate) extras: Extras,
}

impl Asked {
    /// The name to ask the server of `slot` for (SNI).
    pub(crate) fn name_for(&self, slot: usize) -> Option<&str> {
        match &self.names {
            Names::None => None,
            Names::Each(names) => names.get(slot)?.as_deref(),
        }
    }

    /// `use-server`: the server the first rule that matches names, while it is in service. `pick` looks from one rule on.
    pub(crate) fn server_by_rule(group: &Group, mut pick: impl FnMut(usize) -> Option<Choice>) -> Option<usize> {
        let rules = &group.conf.use_server;
        let mut from = 0;
        // A server that takes nothing lets the next rule have its turn.
        while from < rules.targets.len() {
            let (rule, name) = match pick(from)? {
                Choice::Rule(rule) => (rule, rules.targets.get(rule)?.as_deref()?.to_owned()),
                Choice::Named(rule, name) => (rule, name),
            };
            let slot = group.slots.iter().position(|slot| *slot.server.name == *name);
            match slot.filter(|&slot| group.slots[slot].server.is_usable()) {
                Some(slot) => return Some(slot),
                None => from = rule + 1,
            }
        }
        None
    }
}

/// Names for SNI.
#[derive(Clone, Debug, Default)]
pub(crate) enum Names {
    /// No server has TLS.
    #[default]
    None,
    /// One for each server of the backend.
    Each(Vec<Option<Box<str>>>),
}

impl Names {
    /// Whether a server of the backend has TLS.
    pub(crate) fn are_wanted(group: &Group) -> bool {
        group.slots.iter().any(|slot| slot.connector.is_some())
    }

    /// Which name each server with TLS is asked for: the `host` of a request, or what `sni` says, which `format` writes.
    pub(crate) fn gather(
        group: &Group,
        host: Option<Box<str>>,
        mut format: impl FnMut(&LogFormat, &mut Vec<u8>),
    ) -> Names {
        if !Names::are_wanted(group) {
            return Names::None;
        }
        let mut name = |sni: &Sni| match sni {
            Sni::None => None,
            Sni::Host => host.clone(),
            Sni::Expr(expression) => {
                let mut name = Vec::new();
                format(expression, &mut name);
                host_name(&name)
            }
        };
        Names::Each(group.slots.iter().map(|slot| slot.conf.tls.as_ref().and_then(|tls| name(&tls.sni))).collect())
    }
}

/// The attempts of one transaction.
#[derive(Debug)]
pub(crate) struct Attempts<'l> {
    local: &'l Local,
    at: usize,
    asked: Asked,
    /// When the first one began.
    began: Instant,
    /// The slot that must be tried again.
    pinned: Option<usize>,
    /// The slot that should not.
    avoid: Option<usize>,
    /// Only a new connection will do.
    fresh: bool,
}

impl<'l> Attempts<'l> {
    /// At the servers of group `at`.
    pub(crate) fn new(local: &'l Local, at: usize, asked: Asked) -> Attempts<'l> {
        Attempts { local, at, pinned: asked.server, asked, began: clock::now(), avoid: None, fresh: false }
    }

    /// The reused connection just given was dead: the next one is new, to the same server.
    pub(crate) fn replace(&mut self, dead: &Server) {
        self.fresh = true;
        self.pinned = slot_of(self.group(), dead);
    }

    /// Whether a request that `server` did not answer may go to another one: a retry is left, `option.redispatch` allows the
    /// move, and there is somewhere to go.
    pub(crate) fn may_move(&self, tally: &Tally, server: &Server) -> bool {
        let group = self.group();
        let (active, backup) = group.usable();
        tally.retries < self.retries() && active + backup > 1 && redispatches(group, tally.retries + 1, server)
    }

    /// Sends the request to another server than the one that did not answer it.
    pub(crate) fn move_on(&mut self, conn: &Conn, tally: &mut Tally, silent: &Server) {
        let group = self.group();
        let worker = conn.admission.worker.id;
        let (sheet, backend) = (silent.sheet.shard(worker), group.state.sheet.shard(worker));
        for sheet in [&sheet.retries, &sheet.redispatches, &backend.retries, &backend.redispatches] {
            sheet.inc();
        }
        tally.tried.push((silent.name.clone(), tally.end));
        tally.retries += 1;
        tally.redispatched = true;
        self.fresh = false;
        self.avoid = slot_of(group, silent);
    }

    /// Whether a request that its server refused unseen may be sent once more.
    pub(crate) fn may_repeat(&self, tally: &Tally) -> bool {
        tally.retries < self.retries()
    }

    /// Sends a request that `refusing` did not look at once more: to another server where it may, else on a new connection.
    pub(crate) fn repeat(&mut self, conn: &Conn, tally: &mut Tally, refusing: &Server) {
        if self.may_move(tally, refusing) {
            return self.move_on(conn, tally, refusing);
        }
        let worker = conn.admission.worker.id;
        refusing.sheet.shard(worker).retries.inc();
        self.group().state.sheet.shard(worker).retries.inc();
        tally.tried.push((refusing.name.clone(), tally.end));
        tally.retries += 1;
        self.replace(refusing);
    }

    fn retries(&self) -> u32 {
        self.asked.retries.unwrap_or(self.group().conf.retries)
    }

    fn group(&self) -> &'l Group {
        &self.local.snapshot.groups[self.at]
    }

    /// The next connection; `Err` when the attempts are used up. `watch_client` ends the wait in a queue when the client,
    /// whose request is complete, leaves.
    pub(crate) async fn next(
        &mut self,
        conn: &mut Conn,
        tally: &mut Tally,
        watch_client: bool,
    ) -> Result<Upstream, End> {
        let group = self.group();
        loop {
            let chosen = match self.pinned.take().and_then(|slot| again(group, slot)) {
                Some(chosen) => chosen,
                None => {
                    let asked = clock::now();
                    match upstream::choose(conn, self.local, self.at, self.avoid, watch_client, &self.asked).await {
                        Ok((chosen, waited)) => {
                            tally.waited(asked, waited);
                            chosen
                        }
                        Err(end) => {
                            match end.stage() {
                                Stage::Queue => tally.waited(asked, Waited::default()),
                                // There was nothing to wait for.
                                _ => tally.times.queue = -1,
                            }
                            return Err(end);
                        }
                    }
                }
            };
            tally.enter_server(group, chosen.slot, conn.admission.worker.id);
            match upstream::connect(conn, group, chosen, self.fresh, &self.asked).await {
                Ok(up) => {
                    tally.connected(self.began);
                    return Ok(up);
                }
                Err(refused) => self.after_refusal(conn, tally, refused).await?,
            }
        }
    }

    /// Prepares the next attempt, or gives up.
    async fn after_refusal(&mut self, conn: &mut Conn, tally: &mut Tally, refused: Refused) -> Result<(), End> {
        let group = self.group();
        if matches!(refused.end, End::NoDestination | End::DestinationIsListener) {
            // Nobody was asked, and it would not be otherwise the next time.
            return Err(refused.end);
        }
        let worker = conn.admission.worker.id;
        let server = &group.slots[refused.slot].server;
        let (sheet, backend) = (server.sheet.shard(worker), group.state.sheet.shard(worker));
        sheet.connect_errors.inc();
        backend.connect_errors.inc();
        tally.tried.push((server.name.clone(), refused.end));
        if tally.retries >= self.retries() {
            return Err(refused.end);
        }
        tally.retries += 1;
        sheet.retries.inc();
        backend.retries.inc();
        if redispatches(group, tally.retries, server) {
            tally.redispatched = true;
            sheet.redispatches.inc();
            backend.redispatches.inc();
            self.avoid = Some(refused.slot);
            return Ok(());
        }
        self.pinned = Some(refused.slot);
        let pause = group.conf.timeout.connect.map_or(TURN_AROUND, |t| t.min(TURN_AROUND));
        // Only the timer can end this wait, which is the point of it.
        let _ = within(&mut conn.timer, clock::now(), Some(pause), std::future::pending::<()>()).await;
        Ok(())
    }
}

fn slot_of(group: &Group, server: &Server) -> Option<usize> {
    group.slots.iter().position(|slot| std::ptr::eq(&raw const *slot.server, server))
}

/// The same server once more, unless it left service or is full by now.
fn again(group: &Group, slot: usize) -> Option<Chosen> {
    let server = &group.slots[slot].server;
    if !server.is_usable() {
        return None;
    }
    Lease::try_take(server).map(|lease| Chosen { slot, lease })
}

/// `option.redispatch`: whether retry number `retry` may go to another server.
fn redispatches(group: &Group, retry: u32, server: &Server) -> bool {
    let interval = group.conf.redispatch;
    if interval == 0 || group.slots.len() < 2 {
        return false;
    }
    // A server that left service meanwhile is left at once, and an algorithm without affinity has no reason to insist.
    !server.is_usable()
        || !Chooser::is_sticky(group)
        || match u32::try_from(interval) {
            Ok(every) => retry.is_multiple_of(every),
            Err(_) => retry == group.conf.retries,
        }
}
