//! Rules on connections: `tcp-request.connection` right after accept, `tcp-request.session` once the connection stands.
//!
//! Both run before a task is made for the connection, so a refused one costs little.

use evenkeel_acl::{Body, How, Memo, Phase, Progress, RuleSet, Session, Verdict, Wait, Wishes};
use evenkeel_config::LogStep;
use evenkeel_proto::Head;
use evenkeel_stats::FrontendSheet;
use evenkeel_wire::Stream;

use crate::around::{Around, Parts};
use crate::clock;
use crate::finish::Tally;
use crate::lines::Moment;
use crate::snapshot::{Entrance, Snapshot};
use crate::worker::Worker;

/// A connection that a rule did not let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    how: How,
    phase: Phase,
}

/// Runs the rules on a new connection, of which only the addresses are known; whether it must begin with a PROXY header.
pub(crate) fn connection(
    worker: &Worker,
    snapshot: &Snapshot,
    entrance: &Entrance,
    session: &mut Session,
) -> Result<bool, Refused> {
    let wishes = run(&entrance.conf.tcp_request_connection, Phase::Accept, worker, snapshot, entrance, session)?;
    Ok(wishes.expect_proxy)
}

/// Runs the rules on a connection that stands: its PROXY header and its TLS handshake are through.
pub(crate) fn session(
    worker: &Worker,
    snapshot: &Snapshot,
    entrance: &Entrance,
    session: &mut Session,
) -> Result<(), Refused> {
    run(&entrance.conf.tcp_request_session, Phase::Hello, worker, snapshot, entrance, session).map(drop)
}

fn run(
    rules: &RuleSet,
    phase: Phase,
    worker: &Worker,
    snapshot: &Snapshot,
    entrance: &Entrance,
    session: &mut Session,
) -> Result<Wishes, Refused> {
    if rules.is_empty() {
        return Ok(Wishes::default());
    }
    let mut memo = Memo::default();
    let mut parts =
        Parts { session, memo: &mut memo, req: &mut Head::new(), res: None, body: Body::default(), last: true };
    let progress = Progress { frontend: &entrance.conf.name, frontend_id: entrance.conf.id, ..Progress::default() };
    let around = Around { snapshot, worker };
    let mut at = 0;
    loop {
        match around.look(parts.again(), progress, phase, |ctx| rules.eval(ctx, &mut at)) {
            Verdict::Close(close) => return Err(Refused { how: close.how, phase }),
            Verdict::Wait(Wait::Log) => log(phase, worker, snapshot, entrance, parts.again()),
            // No answer can be made and nothing else waited for at this point: the tables of actions say so.
            Verdict::Continue | Verdict::Allow | Verdict::Reply(_) | Verdict::Wait(_) => return Ok(memo.wishes),
        }
    }
}

/// The line that a `do-log` rule asks for.
#[cold]
fn log(phase: Phase, worker: &Worker, snapshot: &Snapshot, entrance: &Entrance, parts: Parts<'_>) {
    let step = if phase == Phase::Accept { LogStep::TcpReqConn } else { LogStep::TcpReqSess };
    let profile = parts.memo.wishes.log_profile.take();
    let tally = &Tally::new(clock::now());
    Moment { step, profile, snapshot, worker, entrance, group: None, tally, line: None }.write(step, parts);
}

impl Refused {
    /// Counts it as denied.
    pub(crate) fn count(self, sheet: &FrontendSheet) {
        match self.phase {
            Phase::Accept => sheet.denied_connections.inc(),
            _ => sheet.denied_sessions.inc(),
        }
    }

    /// Closes the connection as the rule asks.
    pub(crate) fn close(self, stream: &Stream) {
        match self.how {
            How::Reject => {}
            How::SilentDrop { rst_ttl } => stream.forget_on_close(rst_ttl),
        }
    }
}
