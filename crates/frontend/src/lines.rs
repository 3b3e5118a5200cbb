//! Which log lines are written: at which step of a transaction, for which loggers, in which format.
//!
//! Called by closing at the end, by txn, judge, tcp and admit before it. Steps that are off cost one look at a byte. Never: counters,
//! which are closing's, and the writing out, which is the log thread's.

use std::sync::Arc;

use evenkeel_acl::{LogFormat as LogText, Phase, Progress};
use evenkeel_backend::Group;
use evenkeel_config::{LogFormat, LogStep, Syslog};

use crate::around::{Around, Parts};
use crate::finish::Tally;
use crate::log::{Record, RequestLine};
use crate::snapshot::{Entrance, Snapshot};
use crate::worker::Worker;

/// The least severe level of syslog.
const DEBUG: u8 = 7;

/// Where a transaction has come to, and what knows of it.
pub(crate) struct Moment<'m> {
    pub(crate) step: LogStep,
    /// The profile that a `do-log` rule names.
    pub(crate) profile: Option<Arc<str>>,
    pub(crate) snapshot: &'m Snapshot,
    pub(crate) worker: &'m Worker,
    pub(crate) entrance: &'m Entrance,
    pub(crate) group: Option<&'m Group>,
    pub(crate) tally: &'m Tally,
    /// What was kept of the request line; `None`: it is that of the head, if there is one.
    pub(crate) line: Option<RequestLine<'m>>,
}

impl Moment<'_> {
    /// Whether more is to come: what still grows is marked, what is not known is left open.
    fn is_early(&self) -> bool {
        !matches!(self.step, LogStep::Close | LogStep::Error)
    }

    /// HAProxy marks every line of a frontend with `option logasap`, those that waited for the end too.
    fn is_marked(&self) -> bool {
        self.is_early() || self.entrance.log.asap.is_some()
    }

    /// Writes the line of this step, and that of the end where `option.logasap` wants it now. `true`: that one is written.
    pub(crate) fn reached(&self, mut parts: Parts<'_>) -> bool {
        let plan = &self.entrance.log;
        if plan.has(self.step) {
            self.write(self.step, parts.again());
        }
        let now = plan.asap == Some(self.step);
        if now && plan.has(LogStep::Close) {
            self.write(LogStep::Close, parts);
        }
        now
    }

    /// Writes one line to each logger that wants it; profiles are asked what they have for `step`.
    pub(crate) fn write(&self, step: LogStep, mut parts: Parts<'_>) {
        let plan = &self.entrance.log;
        let (tally, early) = (self.tally, self.is_early());
        let fine = early || !tally.end.is_error();
        let faultless = fine && tally.retries == 0 && tally.status.is_none_or(|status| status < 500);
        let by_outcome = if faultless { crate::log::INFO } else { plan.errors };
        let severity = parts.memo.wishes.log_level.unwrap_or(by_outcome);
        if tally.quiet || severity > DEBUG || (faultless && !plan.normal) {
            return;
        }
        let named = self.profile.as_ref().and_then(|name| plan.profiles.iter().find(|known| known.conf.name == *name));
        let mut text = Written::default();
        let mut data = Written::default();
        for target in &plan.targets {
            let profile = named.or(target.profile.as_ref());
            let own = profile.and_then(|profile| profile.conf.step(step));
            if own.is_some_and(|own| own.drop) || !target.takes(severity) {
                continue;
            }
            let tag = profile.and_then(|profile| profile.tag).unwrap_or(target.tag);
            let structured = match target.syslog {
                Syslog::Rfc5424 => {
                    let by_profile = own.and_then(|own| own.data.as_ref());
                    by_profile.or(self.entrance.conf.log_sd.as_ref().filter(|_| self.step != LogStep::Error))
                }
                _ => None,
            };
            if let Some(format) = structured {
                data.make(format, |out| self.text(format, parts.again(), out));
            }
            let data = structured.map(|_| &*data.line);
            let format = match own.and_then(|own| own.format.as_ref()) {
                Some(format) => format,
                None if self.step == LogStep::Error => &target.on_error,
                None => &target.format,
            };
            match format.in_mode(self.entrance.conf.mode) {
                Err(format) => {
                    let id = if format == LogFormat::Json { tally.id(self.worker) } else { None };
                    let record = self.record(step, id.as_deref(), &parts);
                    self.worker.logs.append(self.worker.id, target, tag, severity, data, |out| {
                        record.write(format, &mut self.worker.dates.borrow_mut(), out);
                    });
                }
                Ok(format) => {
                    text.make(format, |out| self.text(format, parts.again(), out));
                    self.worker.logs.append(self.worker.id, target, tag, severity, data, |out| {
                        out.extend_from_slice(&text.line);
                    });
                }
            }
        }
        // `%lc` counts those before.
        self.entrance.state.sheet.shard(self.worker.id).log_lines.inc();
    }

    /// What the client got, or will get if nothing comes between.
    fn status(&self, parts: &Parts<'_>) -> Option<u16> {
        let coming = parts.res.as_ref().filter(|_| self.is_early()).map(|res| res.status());
        coming.or(self.tally.status)
    }

    fn text(&self, format: &LogText, parts: Parts<'_>, out: &mut Vec<u8>) {
        let letters = if self.is_early() { *b"--" } else { self.tally.end.letters() };
        let letters = [letters[0], letters[1], b'-', b'-'];
        let outcome = self.tally.outcome(
            self.worker,
            self.entrance,
            self.group,
            std::str::from_utf8(&letters).unwrap_or_default(),
        );
        let mut progress = Progress {
            log_uri_len: self.snapshot.config.global.tune.log_uri_len,
            early: self.is_marked(),
            origin: self.step.origin(),
            ..outcome
        };
        if self.is_early() {
            progress.status = self.status(&parts);
            progress.reason = [""; 3];
            let total = self.tally.since_begin();
            (progress.times.active, progress.times.total) = (total, total);
        }
        let around = Around { snapshot: self.snapshot, worker: self.worker };
        around.look(parts, progress, Phase::Done, |ctx| format.write(ctx, out));
    }

    fn record<'r>(&'r self, step: LogStep, id: Option<&'r str>, parts: &'r Parts<'_>) -> Record<'r> {
        let head = || {
            let cut = self.snapshot.config.global.tune.log_uri_len;
            parts.req.is_complete().then(|| RequestLine::of(parts.req, cut))
        };
        let request = match self.step {
            LogStep::Error => None,
            _ => self.line.or_else(head),
        };
        let early = self.is_early();
        Record {
            early,
            marked: self.is_marked(),
            // The line of the end, written now, is no line of a step.
            status: self.status(parts),
            step: (early && step != LogStep::Close).then(|| step.word()),
            request,
            ..self.tally.record(self.worker, parts.session, self.entrance, self.group, id)
        }
    }
}

/// The last text with items that was written: loggers of one frontend mostly share it.
#[derive(Default)]
struct Written<'f> {
    format: Option<&'f Arc<LogText>>,
    line: Vec<u8>,
}

impl<'f> Written<'f> {
    fn make(&mut self, format: &'f Arc<LogText>, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.format.is_some_and(|known| Arc::ptr_eq(known, format)) {
            self.line.clear();
            write(&mut self.line);
            self.format = Some(format);
        }
    }
}
