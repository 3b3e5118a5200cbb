//! A child process of a test: its output is kept line by line, it is killed by its own pid on drop, and its log is shown
//! when the test fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::DEADLINE;

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    all: Mutex<Vec<String>>,
    /// Outputs that were read to their end.
    ended: AtomicUsize,
    more: Condvar,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts `command` with both outputs captured.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(name: &str, command: &mut Command) -> Process {
        Process::spawn_with(name, command, Stdio::null())
    }

    /// The same with something as its descriptor 0.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_with(name: &str, command: &mut Command, stdin: Stdio) -> Process {
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name} ({command:?}): {e}"));
        let lines = Arc::new(Lines::default());
        let out = child.stdout.take().expect("stdout is piped");
        let err = child.stderr.take().expect("stderr is piped");
        collect(out, "", Arc::clone(&lines));
        collect(err, "! ", Arc::clone(&lines));
        Process { name: name.to_owned(), child, lines }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process has gone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|e| panic!("{signal} to {}: {e}", self.name));
    }

    /// Everything it has written so far; lines of standard error begin with `! `.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().clone()
    }

    /// Number of lines so far: a mark to wait from.
    pub fn mark(&self) -> usize {
        self.lines.lock().len()
    }

    /// Waits for a line after `mark` that `wanted` accepts.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait_line(&self, mark: usize, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        let mut lines = self.lines.lock();
        loop {
            if let Some(l) = lines.iter().skip(mark).find(|l| wanted(l)) {
                return l.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                panic!("{}: no line {what} within {DEADLINE:?}; lines since:\n{}", self.name, lines[mark..].join("\n"));
            }
            lines = self.lines.more.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything it has written, once both of its outputs are closed: when it has ended, lines may still be in the pipes.
    ///
    /// # Panics
    /// At the deadline: it still runs, or a child of its own holds them open.
    pub fn whole_log(&self) -> Vec<String> {
        let lines = self.lines.lock();
        let open = |_: &mut Vec<String>| self.lines.ended.load(SeqCst) < 2;
        let (lines, waited) =
            self.lines.more.wait_timeout_while(lines, DEADLINE, open).unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "{}: its outputs are still open after {DEADLINE:?}", self.name);
        lines.clone()
    }

    /// Its exit status, if it has ended.
    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it has not after `within`.
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.try_exit() {
                return status;
            }
            assert!(Instant::now() < end, "{} is still running after {within:?}", self.name);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("0");
        line.trim().split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait();
        if thread::panicking() {
            let lines = self.lines.lock();
            let tail = lines.len().saturating_sub(60);
            let text = format!("--- {} ({status:?}), last lines:\n{}\n---\n", self.name, lines[tail..].join("\n"));
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

fn collect(from: impl Read + Send + 'static, mark: &'static str, into: Arc<Lines>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line);
            into.lock().push(format!("{mark}{}", text.trim_end_matches('\n')));
            into.more.notify_all();
            line.clear();
        }
        // Under the lock, or one that has just looked would miss it.
        let lines = into.lock();
        into.ended.fetch_add(1, SeqCst);
        drop(lines);
        into.more.notify_all();
    });
}
