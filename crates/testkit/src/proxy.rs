//! Evenkeel as a process: started from a configuration text, reloaded, signalled, questioned over its operator listener.
//!
//! In the text `@NAME@` stands for a loopback address of its own, the same over all reloads. `@admin@` is the operator's
//! listener; a text without `[global]` gets one that sets it. The binary is `EVENKEEL_BIN`, or the one beside the test
//! executable, which is built once when it is missing.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::DEADLINE;
use crate::client::get;
use crate::message::Message;
use crate::ports::free_port;
use crate::process::Process;

/// The program under test.
///
/// # Panics
/// When there is none and it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("EVENKEEL_BIN") {
            let path = PathBuf::from(path);
            assert!(path.exists(), "EVENKEEL_BIN names {}, which does not exist", path.display());
            return path;
        }
        let exe = std::env::current_exe().expect("the test executable has a path");
        let profile = exe.ancestors().nth(2).expect("target/PROFILE/deps/TEST").to_owned();
        let path = profile.join("evenkeel");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "-p", "evenkeel"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.file_name().is_some_and(|n| n == "release") {
            build.arg("--release");
        }
        let built = build.status().is_ok_and(|s| s.success());
        assert!(built && path.exists(), "no binary at {}: build it with `cargo build -p evenkeel`", path.display());
        path
    })
}

/// A running Evenkeel.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    names: HashMap<String, SocketAddr>,
    dir: tempfile::TempDir,
}

impl Proxy {
    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start; the message holds what it said.
    pub fn start(config: &str) -> Proxy {
        let mut last = String::new();
        for _ in 0..3 {
            match Proxy::try_start(config, Stdio::null()) {
                Ok(proxy) => return proxy,
                Err(said) if said.contains("in use") => last = said,
                Err(said) => panic!("evenkeel did not start on:\n{config}\n{said}"),
            }
        }
        panic!("no free port: {last}");
    }

    /// Starts it with a listening socket as its descriptor 0, as a service manager hands one over.
    ///
    /// # Panics
    /// When it does not start; the message holds what it said.
    pub fn start_with_socket(config: &str, socket: TcpListener) -> Proxy {
        let started = Proxy::try_start(config, Stdio::from(OwnedFd::from(socket)));
        started.unwrap_or_else(|said| panic!("evenkeel did not start on:\n{config}\n{said}"))
    }

    fn try_start(config: &str, stdin: Stdio) -> Result<Proxy, String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut names = HashMap::new();
        let text = substitute(config, &mut names);
        let file = dir.path().join("evenkeel.toml");
        std::fs::write(&file, &text).expect("write evenkeel.toml");
        let mut command = Command::new(binary());
        command.arg("run").arg("-c").arg(&file).arg("--pid-file").arg(dir.path().join("pid"));
        let mut process = Process::spawn_with("evenkeel", &mut command, stdin);
        let admin = names["admin"];
        let end = Instant::now() + DEADLINE;
        loop {
            let ready = get(admin, "/readyz").is_ok_and(|m| m.status() == 200);
            // Looked at even when something answered: that may be another process on a port this one could not have.
            if let Some(status) = process.try_exit() {
                return Err(format!("{status}\n{}\n{text}", process.log().join("\n")));
            }
            if ready {
                return Ok(Proxy { process, names, dir });
            }
            if Instant::now() > end {
                return Err(format!("not ready within {DEADLINE:?}\n{}\n{text}", process.log().join("\n")));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The address that `@name@` stands for.
    ///
    /// # Panics
    /// When the configuration has no such name.
    pub fn addr(&self, name: &str) -> SocketAddr {
        *self.names.get(name).unwrap_or_else(|| panic!("no @{name}@ in the configuration"))
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until it has ended.
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        self.process.wait_exit(within)
    }

    /// Asks the operator's listener.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn admin(&self, path: &str) -> Message {
        get(self.addr("admin"), path).unwrap_or_else(|e| panic!("admin {path}: {e}"))
    }

    /// The value of a metric: its name with its labels exactly as exported, `name` or `name{a="b"}`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        // Those of the process alone are few, whatever the configuration holds.
        let path = if name.starts_with("evenkeel_config_") { "/metrics?scope=global" } else { "/metrics" };
        let text = self.admin(path).text();
        text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// Waits until a metric has this value.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait_metric(&self, name: &str, wanted: f64) {
        let end = Instant::now() + DEADLINE;
        loop {
            let value = self.metric(name);
            if value == Some(wanted) {
                return;
            }
            assert!(Instant::now() < end, "{name} is {value:?}, not {wanted}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the operator's page at `path` satisfies `wanted`.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait_admin(&self, path: &str, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let end = Instant::now() + DEADLINE;
        loop {
            let message = self.admin(path);
            if wanted(&message) {
                return message;
            }
            assert!(Instant::now() < end, "{path}: not {what}:\n{}", message.text());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Writes a new configuration without telling the process.
    pub fn write(&mut self, config: &str) {
        let text = substitute(config, &mut self.names);
        std::fs::write(self.dir.path().join("evenkeel.toml"), text).expect("write evenkeel.toml");
    }

    /// Writes a new configuration and runs `evenkeel reload`; waits until the attempt is counted.
    pub fn reload(&mut self, config: &str) -> Output {
        let before = self.reloads();
        self.write(config);
        let output = self.reload_command();
        let end = Instant::now() + DEADLINE;
        while self.reloads() <= before {
            assert!(Instant::now() < end, "the reload was not counted; `reload` said {output:?}");
            thread::sleep(Duration::from_millis(2));
        }
        output
    }

    /// Runs `evenkeel reload` for this process.
    ///
    /// # Panics
    /// When the command cannot be run.
    pub fn reload_command(&self) -> Output {
        let mut command = Command::new(binary());
        command.arg("reload").arg("--pid-file").arg(self.dir.path().join("pid"));
        command.output().expect("run `evenkeel reload`")
    }

    /// Reload attempts so far, good and bad.
    pub fn reloads(&self) -> f64 {
        let one = |r: &str| self.metric(&format!("evenkeel_config_reloads_total{{result=\"{r}\"}}")).unwrap_or(0.0);
        one("ok") + one("failed")
    }

    /// Waits until the CSV of the stats page satisfies `wanted`, and returns it.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait_csv(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_admin("/stats;csv", what, |m| wanted(&m.text())).text()
    }

    /// The folder of its files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// Puts addresses for the names, and a `[global]` when there is none.
fn substitute(config: &str, names: &mut HashMap<String, SocketAddr>) -> String {
    let mut text = String::new();
    if !config.contains("[global]") {
        text.push_str("[global]\nthreads = 1\nadmin = { listen = \"@admin@\" }\n\n");
    }
    text.push_str(config);
    let parts: Vec<&str> = text.split('@').collect();
    let mut out = String::new();
    let mut i = 0;
    while i < parts.len() {
        out.push_str(parts[i]);
        let name = parts.get(i + 1).copied().unwrap_or("");
        let is_name =
            i + 2 < parts.len() && !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if is_name {
            let addr = *names.entry(name.to_owned()).or_insert_with(free_port);
            out.push_str(&addr.to_string());
            i += 2;
        } else {
            if i + 1 < parts.len() {
                out.push('@');
            }
            i += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_addresses() {
        let mut names = HashMap::new();
        let text = substitute("[global]\na = \"@web@\"\nb = \"unix@/x\" # @web@", &mut names);
        assert_eq!(text, format!("[global]\na = \"{0}\"\nb = \"unix@/x\" # {0}", names["web"]));
    }
}
