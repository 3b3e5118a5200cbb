//! What rules see of a transaction and of what surrounds it: one [`Ctx`], made on the stack for each evaluation from what the
//! transaction holds anyway.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use evenkeel_acl::stick::Table;
use evenkeel_acl::{
    BackendCount, Body, Count, Ctx, FrontendCount, Memo, Phase, ProcVars, ProcessCount, Progress, ServerCount, Session,
    VarLimits, World,
};
use evenkeel_backend::{Group, Server};
use evenkeel_proto::Head;
use evenkeel_stats::{Rate, Sharded};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::clock;
use crate::snapshot::Snapshot;
use crate::worker::Worker;

/// What rules may look at and change.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) session: &'a mut Session,
    pub(crate) memo: &'a mut Memo,
    pub(crate) req: &'a mut Head,
    pub(crate) res: Option<&'a mut Head>,
    pub(crate) body: Body<'a>,
    /// No more of it will come.
    pub(crate) last: bool,
}

impl Parts<'_> {
    /// The same, lent once more.
    pub(crate) fn again(&mut self) -> Parts<'_> {
        Parts {
            session: self.session,
            memo: self.memo,
            req: self.req,
            res: self.res.as_deref_mut(),
            body: self.body,
            last: self.last,
        }
    }
}

impl Around<'_> {
    /// Lends what rules see in `phase` to `f`.
    pub(crate) fn look<R>(
        &self,
        parts: Parts<'_>,
        progress: Progress<'_>,
        phase: Phase,
        f: impl FnOnce(&mut Ctx<'_>) -> R,
    ) -> R {
        let Parts { session, memo, req, res, body, last } = parts;
        f(&mut Ctx {
            phase,
            now: clock::for_rules(self.worker.process.started),
            session,
            memo,
            request: req,
            response: res,
            body,
            progress,
            world: self,
            buffers: &self.worker.buffers,
            last,
            undecided: Cell::new(false),
        })
    }
}

/// The state around the transactions of one worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) worker: &'a Worker,
}

impl World for Around<'_> {
    fn count(&self, what: Count<'_>) -> Option<i64> {
        match what {
            Count::Process(count) => Some(self.process(count)),
            Count::Frontend(name, count) => {
                let entrance = self.snapshot.frontends.iter().find(|e| &*e.conf.name == name)?;
                match count {
                    FrontendCount::Connections => Some(number(entrance.state.sessions.now())),
                    FrontendCount::RequestRate => Some(rate(&entrance.state.sheet, |sheet| &sheet.request_rate)),
                    FrontendCount::SessionRate => Some(rate(&entrance.state.sheet, |sheet| &sheet.connection_rate)),
                    FrontendCount::LogLines => Some(number(entrance.state.sheet.sum(|sheet| &sheet.log_lines))),
                    FrontendCount::ClientTimeout => entrance.conf.timeout.client.map(millis),
                }
            }
            Count::Backend(name, count) => self.snapshot.group(name).and_then(|group| backend(group, count)),
            Count::Server(name, server, count) => {
                let group = self.snapshot.group(name)?;
                let slot = group.slots.iter().find(|slot| &*slot.server.name == server)?;
                self::server(&slot.server, slot.conf.weight.into(), count)
            }
        }
    }

    fn table(&self, at: usize) -> Option<&Arc<Table>> {
        self.snapshot.tables.nth(at)
    }

    fn proc_vars(&self) -> &ProcVars {
        &self.worker.process.vars
    }

    fn var_limits(&self) -> VarLimits {
        self.snapshot.config.global.tune.vars
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }

    fn hostname(&self) -> &str {
        hostname()
    }

    fn utc_offset(&self, unix_s: i64) -> i32 {
        utc_offset(unix_s)
    }
}

impl Around<'_> {
    fn process(&self, count: ProcessCount) -> i64 {
        let process = &self.worker.process;
        match count {
            ProcessCount::Connections => number(process.connections.now()),
            ProcessCount::Pid => i64::from(std::process::id()),
            ProcessCount::Uptime => i64::try_from(process.started.elapsed().as_secs()).unwrap_or(i64::MAX),
            ProcessCount::Stopping => i64::from(process.is_draining()),
            ProcessCount::Thread => number(self.worker.id as u64),
            ProcessCount::Threads => number(process.ends.count() as u64),
        }
    }
}

/// The name of this machine, looked up once.
pub(crate) fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        name.unwrap_or_else(|| "localhost".to_owned())
    })
}

/// Seconds that local time is ahead of UTC; looked up once for each quarter of an hour.
fn utc_offset(unix_s: i64) -> i32 {
    thread_local! {
        static ZONE: (TimeZone, Cell<(i64, i32)>) = (TimeZone::system(), Cell::new((i64::MIN, 0)));
    }
    ZONE.with(|(zone, known)| {
        // No zone changes its offset between two quarters of an hour.
        let quarter = unix_s.div_euclid(900);
        let (of, offset) = known.get();
        if of == quarter {
            return offset;
        }
        let offset = Timestamp::from_second(unix_s).map_or(0, |at| zone.to_offset(at).seconds());
        known.set((quarter, offset));
        offset
    })
}

/// Events of the last second over all workers, for who is none of them.
pub fn rate_now<T>(shards: &Sharded<T>, of: impl Fn(&T) -> &Rate) -> i64 {
    // Only a worker's clock is set anew whenever it comes back from the kernel.
    clock::stale();
    rate(shards, of)
}

fn number(n: impl TryInto<i64>) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}

/// Events of the last second over all workers.
fn rate<T>(shards: &Sharded<T>, of: impl Fn(&T) -> &Rate) -> i64 {
    let now = clock::rate_ms();
    number(shards.iter().map(|shard| of(shard).read(now)).sum::<u64>())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn backend(group: &Group, count: BackendCount) -> Option<i64> {
    let usable = || group.slots.iter().filter(|slot| slot.server.is_usable());
    Some(match count {
        BackendCount::UsableServers => {
            let (active, backup) = group.usable();
            // Backup servers count only while they are used.
            number(match (active, group.conf.option.allbackups) {
                (0, true) => backup,
                (0, false) => backup.min(1),
                (active, _) => active,
            })
        }
        BackendCount::Connections => number(group.state.sessions.now()),
        // -1: no limit, as in HAProxy.
        BackendCount::FreeConnections => {
            if usable().any(|slot| slot.server.maxconn() == 0) {
                return Some(-1);
            }
            usable().map(|slot| free(&slot.server)).sum()
        }
        BackendCount::FreeSlots => {
            if usable().any(|slot| slot.server.maxconn() == 0 || slot.conf.maxqueue == 0) {
                return Some(-1);
            }
            usable()
                .map(|slot| free(&slot.server) + i64::from(slot.conf.maxqueue.saturating_sub(slot.server.queued())))
                .sum()
        }
        BackendCount::Queue => {
            i64::from(group.state.queued())
                + group.slots.iter().map(|slot| i64::from(slot.server.queued())).sum::<i64>()
        }
        BackendCount::SessionRate => rate(&group.state.sheet, |sheet| &sheet.session_rate),
        BackendCount::ServerTimeout => return group.conf.timeout.server.map(millis),
        BackendCount::TunnelTimeout => return group.conf.timeout.tunnel.map(millis),
        BackendCount::Id => i64::from(group.conf.id),
    })
}

fn free(server: &Server) -> i64 {
    (i64::from(server.maxconn()) - number(server.sessions.now())).max(0)
}

fn server(server: &Server, weight: u32, count: ServerCount) -> Option<i64> {
    Some(match count {
        ServerCount::Up => i64::from(server.is_usable()),
        ServerCount::Connections => number(server.sessions.now()),
        ServerCount::FreeConnections if server.maxconn() == 0 => -1,
        ServerCount::FreeConnections => free(server),
        ServerCount::Queue => i64::from(server.queued()),
        ServerCount::SessionRate => rate(&server.sheet, |sheet| &sheet.session_rate),
        ServerCount::Weight | ServerCount::InitialWeight | ServerCount::UserWeight => i64::from(weight),
        ServerCount::Id => number(server.index as u64 + 1),
    })
}
