//! From the workers to the log thread.
//!
//! Each worker owns one bounded buffer that the log thread swaps for an empty one a few times a second, so many lines cost
//! one wake-up and one write. A line that does not fit is dropped and counted: traffic never waits for a log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::thread::Thread;
use std::time::{Duration, Instant};

use evenkeel_config::{Frontend, LineFormat, LogFormat, LogProfile, LogSample, LogStep, LogTarget, Mode, Syslog};
use parking_lot::Mutex;

use crate::around::hostname;
use crate::log::sink::Sinks;

/// Syslog severity of a traffic line (`info`).
pub const INFO: u8 = 6;
/// That of what did not go well, where that is told apart (`err`).
const ERR: u8 = 3;

/// The buffers, the sinks, and the thread that moves lines from one to the other.
#[derive(Debug)]
pub struct Logs {
    rings: Vec<Mutex<Vec<u8>>>,
    capacity: usize,
    sinks: Mutex<Sinks>,
    thread: Mutex<Option<Thread>>,
    awake: AtomicBool,
    stopping: AtomicBool,
    dropped: AtomicU64,
}

/// One place a frontend's lines go to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Format.
    pub(crate) format: LineFormat,
    /// That of the line of a connection that failed before its request.
    pub(crate) on_error: LineFormat,
    /// What stands before its lines.
    pub(crate) syslog: Syslog,
    /// What it does otherwise, step by step.
    pub(crate) profile: Option<Profile>,
    /// Number of the program's name in its lines.
    pub(crate) tag: u16,
    sink: u16,
    /// `<facility * 8>`; the severity is added per line.
    facility: u8,
    /// Least severe level that is sent.
    level: u8,
    /// What is more severe is sent as this.
    min_level: u8,
    sample: Option<LogSample>,
    len: u32,
}

impl Target {
    /// Whether a line of that severity goes there; those that may are counted for `sample`.
    pub(crate) fn takes(&self, severity: u8) -> bool {
        severity <= self.level && self.sample.as_ref().is_none_or(LogSample::takes)
    }
}

/// A log profile.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) conf: Arc<LogProfile>,
    /// Number of its `log-tag`.
    pub(crate) tag: Option<u16>,
}

/// Where, when and how one frontend logs.
#[derive(Clone, Debug)]
pub struct LogPlan {
    /// Its targets; empty = no log.
    pub(crate) targets: Vec<Target>,
    /// Severity of the line of a transaction that did not go well (`option.log-separate-errors`: err).
    pub(crate) errors: u8,
    /// Whether transactions without any fault are logged (`option.dontlog-normal` = not).
    pub(crate) normal: bool,
    /// At which step the line of the end is written (`option.logasap`).
    pub(crate) asap: Option<LogStep>,
    /// Every profile of the configuration, for `do-log`.
    pub(crate) profiles: Vec<Profile>,
    /// Whether some line is a text with items, which may look at the request.
    pub(crate) texts: bool,
    /// Steps at which a line is written.
    steps: u8,
}

impl LogPlan {
    /// The plan of one frontend; `profiles` are those of the configuration.
    pub fn new(conf: &Frontend, profiles: &[Arc<LogProfile>], logs: &Logs) -> LogPlan {
        let profile = |conf: &Arc<LogProfile>| Profile {
            conf: Arc::clone(conf),
            tag: conf.tag.as_deref().map(|tag| logs.sinks.lock().tag(tag)),
        };
        let theirs = match &conf.log_text {
            Some(text) => LineFormat::Text(Arc::clone(text)),
            None => LineFormat::Builtin(conf.log_format),
        };
        let target = |to: &LogTarget| {
            let own = to.format.clone();
            let on_error = match (&conf.error_log_text, &own) {
                (Some(text), _) => LineFormat::Text(Arc::clone(text)),
                (None, Some(LineFormat::Builtin(format))) => LineFormat::Builtin(*format),
                (None, _) => LineFormat::Builtin(conf.log_format),
            };
            let (format, profile) = (own.unwrap_or_else(|| theirs.clone()), to.profile.as_ref().map(&profile));
            Target { format, on_error, profile, ..logs.target(to) }
        };
        let targets: Vec<Target> = conf.log.iter().map(target).collect();
        let asap = match conf.mode {
            Mode::Http => LogStep::Response,
            Mode::Tcp => LogStep::Connect,
        };
        LogPlan {
            texts: targets.iter().any(|to| !matches!(to.format, LineFormat::Builtin(_)) || to.profile.is_some())
                || conf.log_sd.is_some(),
            // Without a logger there is nothing to be early with.
            asap: (conf.option.logasap && !targets.is_empty()).then_some(asap),
            steps: if targets.is_empty() { 0 } else { conf.log_steps },
            targets,
            errors: if conf.option.log_separate_errors { ERR } else { INFO },
            normal: !conf.option.dontlog_normal,
            profiles: profiles.iter().map(profile).collect(),
        }
    }

    /// Whether a line is written at `step`.
    pub(crate) fn has(&self, step: LogStep) -> bool {
        self.steps & step.bit() != 0
    }

    /// Whether something is written once `step` is reached.
    pub(crate) fn wants(&self, step: LogStep) -> bool {
        self.has(step) || self.asap == Some(step)
    }
}

/// What stands before each line in a ring.
const PREFIX: usize = 10;

/// How long the log thread gathers lines before it writes them.
const GATHER: Duration = Duration::from_millis(20);

/// How long the end of the log waits for collectors to take what is left.
const FAREWELL: Duration = Duration::from_secs(1);

impl Logs {
    /// Rings for `writers` threads that hold `capacity` bytes each.
    pub fn new(writers: usize, capacity: usize, tag: &str) -> Arc<Logs> {
        Arc::new(Logs {
            rings: (0..writers).map(|_| Mutex::default()).collect(),
            capacity,
            sinks: Mutex::new(Sinks::new(tag, hostname(), capacity)),
            thread: Mutex::new(None),
            awake: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        })
    }

    /// Resolves a logger to its sink, opened when it is new. Where it names no format, it has that of plain lines.
    pub fn target(&self, target: &LogTarget) -> Target {
        let mut sinks = self.sinks.lock();
        let plain = LineFormat::Builtin(LogFormat::Tcp);
        Target {
            format: plain.clone(),
            on_error: plain,
            syslog: target.syslog,
            profile: None,
            tag: target.tag.as_deref().map_or(0, |tag| sinks.tag(tag)),
            sink: sinks.open(&target.sink),
            facility: target.facility,
            level: target.level,
            min_level: target.min_level,
            sample: target.sample.clone(),
            len: target.len as u32,
        }
    }

    /// The names in syslog lines: `tag` of the program, `host` of the machine.
    pub fn identify(&self, tag: &str, host: Option<&str>) {
        self.sinks.lock().identify(tag, host.unwrap_or_else(|| hostname()));
    }

    /// Appends one line of the program's own; `write` gets the buffer to append to. Nothing is appended when `severity` is
    /// filtered out.
    pub fn line(&self, writer: usize, target: &Target, severity: u8, write: impl FnOnce(&mut Vec<u8>)) {
        if target.takes(severity) {
            self.append(writer, target, target.tag, severity, None, write);
        }
    }

    /// Appends one line to what `target` [takes](Target::takes); `tag` is the number of the program's name in it. A target of
    /// RFC 5424 gets `data` as its structured data.
    pub(crate) fn append(
        &self,
        writer: usize,
        target: &Target,
        tag: u16,
        severity: u8,
        data: Option<&[u8]>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let severity = severity.max(target.min_level);
        {
            let mut ring = self.rings[writer].lock();
            let start = ring.len();
            if start >= self.capacity {
                self.dropped.fetch_add(1, Relaxed);
                return;
            }
            ring.extend_from_slice(&[0; PREFIX]);
            if target.syslog == Syslog::Rfc5424 {
                ring.extend_from_slice(data.filter(|data| !data.is_empty()).unwrap_or(b"-"));
                ring.push(b' ');
            }
            write(&mut ring);
            let len = (ring.len() - start - PREFIX).min(target.len as usize);
            ring.truncate(start + PREFIX + len);
            ring[start..start + 2].copy_from_slice(&target.sink.to_ne_bytes());
            ring[start + 2] = target.facility * 8 + severity;
            ring[start + 3] = target.syslog as u8;
            ring[start + 4..start + 6].copy_from_slice(&tag.to_ne_bytes());
            ring[start + 6..start + PREFIX].copy_from_slice(&(len as u32).to_ne_bytes());
        }
        if !self.awake.load(Relaxed) && !self.awake.swap(true, SeqCst) {
            self.unpark();
        }
    }

    /// Lines that were dropped because a ring was full or a sink failed.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed) + self.sinks.lock().failed
    }

    /// Closes and opens files again (log rotation).
    pub fn reopen(&self) {
        self.sinks.lock().reopen();
    }

    /// Starts the log thread.
    ///
    /// # Errors
    /// The operating system's, when no thread can be started.
    pub fn start(self: &Arc<Logs>) -> std::io::Result<std::thread::JoinHandle<()>> {
        let logs = self.clone();
        let handle = std::thread::Builder::new().name("log".into()).spawn(move || logs.run())?;
        *self.thread.lock() = Some(handle.thread().clone());
        // Lines written before the thread was known.
        self.unpark();
        Ok(handle)
    }

    /// Writes out what is there and ends the log thread.
    pub fn stop(&self) {
        self.stopping.store(true, SeqCst);
        self.unpark();
    }

    fn unpark(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }

    fn run(&self) {
        let mut spare = Vec::new();
        loop {
            let stopping = self.stopping.load(SeqCst);
            let moved = self.drain(&mut spare);
            let again = self.sinks.lock().pump();
            if stopping {
                return self.farewell();
            }
            if moved {
                std::thread::park_timeout(GATHER);
                continue;
            }
            self.awake.store(false, SeqCst);
            // A line that came just before would find `awake` still set.
            if !self.drain(&mut spare) {
                match again {
                    Some(pause) => std::thread::park_timeout(pause),
                    None => std::thread::park(),
                }
            }
            self.awake.store(true, SeqCst);
        }
    }

    /// Lets connections take what they will within [`FAREWELL`].
    fn farewell(&self) {
        let end = Instant::now() + FAREWELL;
        loop {
            let (left, mut sinks) = (end.saturating_duration_since(Instant::now()), self.sinks.lock());
            match sinks.pump() {
                Some(pause) if sinks.hopeful() && !left.is_zero() => {
                    drop(sinks);
                    std::thread::park_timeout(pause.min(left));
                }
                _ => return sinks.give_up(),
            }
        }
    }

    fn drain(&self, spare: &mut Vec<u8>) -> bool {
        let mut moved = false;
        for ring in &self.rings {
            spare.clear();
            std::mem::swap(&mut *ring.lock(), spare);
            let mut rest = &spare[..];
            if rest.is_empty() {
                continue;
            }
            moved = true;
            let mut sinks = self.sinks.lock();
            while let Some((prefix, more)) = rest.split_at_checked(PREFIX) {
                let sink = u16::from_ne_bytes([prefix[0], prefix[1]]);
                let tag = u16::from_ne_bytes([prefix[4], prefix[5]]);
                let len = u32::from_ne_bytes([prefix[6], prefix[7], prefix[8], prefix[9]]) as usize;
                let (line, next) = more.split_at(len);
                sinks.write(sink, tag, prefix[2], envelope(prefix[3]), line);
                rest = next;
            }
            sinks.flush();
        }
        moved
    }
}

/// The envelope that a prefix names by its number.
fn envelope(number: u8) -> Syslog {
    Syslog::ALL.get(usize::from(number)).copied().unwrap_or(Syslog::Local)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use evenkeel_config::{LogSink, Syslog};
    use fastrand::Rng;

    use super::*;

    fn target(logs: &Logs, path: &Path, level: u8, len: usize) -> Target {
        let sink = LogSink::File(path.to_owned());
        logs.target(&LogTarget {
            sink,
            format: None,
            syslog: Syslog::Raw,
            facility: 16,
            level,
            min_level: 0,
            sample: None,
            len,
            profile: None,
            tag: None,
        })
    }

    fn drain(logs: &Logs) -> bool {
        logs.drain(&mut Vec::new())
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn lines_arrive_whole_in_order_and_each_in_its_file() {
        for seed in 0..50 {
            let mut rng = Rng::with_seed(seed);
            let folder = tempfile::tempdir().unwrap();
            let paths = [folder.path().join("a.log"), folder.path().join("b.log")];
            let logs = Logs::new(1, 1 << 20, "test");
            let targets = [target(&logs, &paths[0], 7, 40), target(&logs, &paths[1], 7, 1000)];
            let mut expected = [String::new(), String::new()];
            for n in 0..rng.u32(1..200) {
                let to = rng.usize(..2);
                let line = format!("{n} {}", "x".repeat(rng.usize(..80)));
                logs.line(0, &targets[to], INFO, |out| out.extend_from_slice(line.as_bytes()));
                let kept = &line[..line.len().min([40, 1000][to])];
                expected[to] += &format!("{kept}\n");
                if rng.u32(..20) == 0 {
                    assert!(drain(&logs), "seed {seed}");
                }
            }
            drain(&logs);
            assert!(!drain(&logs), "seed {seed}: nothing is left");
            assert_eq!([read(&paths[0]), read(&paths[1])], expected, "seed {seed}");
            assert_eq!(logs.dropped(), 0, "seed {seed}");
        }
    }

    #[test]
    fn a_full_ring_drops_and_counts_and_serves_again_once_drained() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let logs = Logs::new(2, 100, "test");
        let target = target(&logs, &path, 7, 1000);
        let line = |worker, text: &str| logs.line(worker, &target, INFO, |out| out.extend_from_slice(text.as_bytes()));
        // 14 bytes with the prefix: the eighth begins below the limit, the ninth does not.
        (0..20).for_each(|n| line(0, &format!("l {n:02}")));
        assert_eq!(logs.dropped(), 12);
        line(1, "the other ring has room");
        assert_eq!(logs.dropped(), 12);
        assert!(drain(&logs));
        line(0, "again");
        assert!(drain(&logs));
        let kept: String = (0..8).map(|n| format!("l {n:02}\n")).collect();
        assert_eq!(read(&path), format!("{kept}the other ring has room\nagain\n"));
        assert_eq!(logs.dropped(), 12);
    }

    #[test]
    fn what_is_less_severe_than_asked_for_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let logs = Logs::new(1, 1000, "test");
        let target = target(&logs, &path, 4, 1000);
        for severity in 0..8 {
            logs.line(0, &target, severity, |out| out.extend_from_slice(severity.to_string().as_bytes()));
        }
        drain(&logs);
        assert_eq!(read(&path), "0\n1\n2\n3\n4\n");
    }

    #[test]
    fn a_sink_that_cannot_be_written_counts_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::new(1, 1000, "test");
        let target = target(&logs, &folder.path().join("no/such/folder.log"), 7, 1000);
        (0..3).for_each(|_| logs.line(0, &target, INFO, |out| out.extend_from_slice(b"line")));
        drain(&logs);
        assert_eq!(logs.dropped(), 3);
    }

    #[test]
    fn a_rotated_file_is_opened_again_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
        let logs = Logs::new(1, 1000, "test");
        let target = target(&logs, &path, 7, 1000);
        let line = |text: &str| {
            logs.line(0, &target, INFO, |out| out.extend_from_slice(text.as_bytes()));
            drain(&logs);
        };
        line("one");
        std::fs::rename(&path, &old).unwrap();
        line("two");
        logs.reopen();
        line("three");
        assert_eq!((read(&old), read(&path)), ("one\ntwo\n".to_owned(), "three\n".to_owned()));
    }

    /// The real thread, with writers beside it: every line is written or counted, those of one writer in order.
    #[test]
    fn the_thread_writes_every_line_that_was_not_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let logs = Logs::new(3, 4096, "test");
        let target = target(&logs, &path, 7, 1000);
        let thread = logs.start().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let (logs, target) = (&logs, &target);
                scope.spawn(move || {
                    for n in 0..3000 {
                        logs.line(writer, target, INFO, |out| {
                            out.extend_from_slice(format!("{writer} {n:05}").as_bytes());
                        });
                        if n % 64 == 0 {
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
        logs.stop();
        thread.join().unwrap();
        let text = read(&path);
        assert_eq!(text.lines().count() as u64 + logs.dropped(), 9000);
        for writer in ["0 ", "1 ", "2 "] {
            let numbers: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix(writer)).collect();
            assert!(!numbers.is_empty() && numbers.is_sorted(), "writer {writer}");
            assert!(numbers.iter().all(|n| n.len() == 5));
        }
    }
}
