//! From the workers to the log thread.
//!
//! Each worker owns one bounded buffer that the log thread swaps for an empty one a few times a second, so many lines cost
//! one wake-up and one write. A line that does not fit is dropped and counted: traffic never waits for a log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::thread::Thread;
use std::time::Duration;

use evenkeel_config::{Frontend, LogFormat, LogTarget};
use parking_lot::Mutex;

use crate::log::sink::Sinks;

/// Syslog severity of a traffic line (`info`).
pub const INFO: u8 = 6;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Format.
    pub format: LogFormat,
    sink: u16,
    /// `<facility * 8>`; the severity is added per line.
    facility: u8,
    /// Least severe level that is sent.
    level: u8,
    len: u32,
}

/// Where and how one frontend logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlan {
    /// Its targets; empty = no log.
    pub targets: Vec<Target>,
    /// Whether transactions without any fault are logged (`option.dontlog-normal` = not).
    pub normal: bool,
}

impl LogPlan {
    /// The plan of one frontend.
    pub fn new(conf: &Frontend, logs: &Logs) -> LogPlan {
        let targets = conf.log.iter().map(|t| logs.target(t, conf.log_format)).filter(|t| t.level >= INFO).collect();
        LogPlan { targets, normal: !conf.option.dontlog_normal }
    }
}

/// What stands before each line in a ring.
const PREFIX: usize = 8;

/// How long the log thread gathers lines before it writes them.
const GATHER: Duration = Duration::from_millis(20);

impl Logs {
    /// Rings for `writers` threads that hold `capacity` bytes each.
    pub fn new(writers: usize, capacity: usize, tag: &str) -> Arc<Logs> {
        Arc::new(Logs {
            rings: (0..writers).map(|_| Mutex::default()).collect(),
            capacity,
            sinks: Mutex::new(Sinks::new(tag)),
            thread: Mutex::new(None),
            awake: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        })
    }

    /// Resolves a logger to its sink, opened when it is new.
    pub fn target(&self, target: &LogTarget, format: LogFormat) -> Target {
        Target {
            format: target.format.unwrap_or(format),
            sink: self.sinks.lock().open(&target.sink),
            facility: target.facility,
            level: target.level,
            len: target.len as u32,
        }
    }

    /// Appends one line; `write` gets the buffer to append to. Nothing is appended when `severity` is filtered out.
    pub fn line(&self, writer: usize, target: &Target, severity: u8, write: impl FnOnce(&mut Vec<u8>)) {
        if severity > target.level {
            return;
        }
        {
            let mut ring = self.rings[writer].lock();
            let start = ring.len();
            if start >= self.capacity {
                self.dropped.fetch_add(1, Relaxed);
                return;
            }
            ring.extend_from_slice(&[0; PREFIX]);
            write(&mut ring);
            let len = (ring.len() - start - PREFIX).min(target.len as usize);
            ring.truncate(start + PREFIX + len);
            ring[start..start + 2].copy_from_slice(&target.sink.to_ne_bytes());
            ring[start + 2] = target.facility * 8 + severity;
            ring[start + 4..start + PREFIX].copy_from_slice(&(len as u32).to_ne_bytes());
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
            if stopping {
                return;
            }
            if moved {
                std::thread::park_timeout(GATHER);
                continue;
            }
            self.awake.store(false, SeqCst);
            // A line that came just before would find `awake` still set.
            if !self.drain(&mut spare) {
                std::thread::park();
            }
            self.awake.store(true, SeqCst);
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
                let len = u32::from_ne_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]) as usize;
                let (line, next) = more.split_at(len);
                sinks.write(sink, prefix[2], line);
                rest = next;
            }
            sinks.flush();
        }
        moved
    }
}
