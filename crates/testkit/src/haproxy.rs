//! The reference: Debian's haproxy as a process.

use std::process::Command;
use std::time::{Duration, Instant};
use std::{net::SocketAddr, thread};

use crate::DEADLINE;
use crate::client::get;
use crate::ports::free_port;
use crate::process::Process;

/// A running haproxy.
#[derive(Debug)]
pub struct Haproxy {
    process: Process,
    addr: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Haproxy {
    /// The program, when it is installed.
    pub fn installed() -> Option<&'static str> {
        ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"]
            .into_iter()
            .find(|p| std::path::Path::new(p).exists())
    }

    /// Starts it with this configuration, in which `@listen@` stands for the address it listens on, and waits until it
    /// accepts there.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start(config: &str) -> Haproxy {
        let program = Haproxy::installed().expect("haproxy is installed");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("haproxy.cfg");
        let addr = free_port();
        // Asked on a listener of its own, so that the first connection the tests see is their own.
        let ready = free_port();
        let extra = format!("\nfrontend kit_ready\n mode http\n no log\n bind {ready}\n monitor-uri /ready\n");
        let text = config.replace("@listen@", &addr.to_string()) + &extra;
        std::fs::write(&path, &text).expect("write haproxy.cfg");
        let mut process = Process::spawn("haproxy", Command::new(program).arg("-db").arg("-f").arg(&path));
        let end = Instant::now() + DEADLINE;
        while !get(ready, "/ready").is_ok_and(|m| m.status() == 200) {
            if let Some(status) = process.try_exit() {
                panic!("haproxy ended with {status} on:\n{text}\n{}", process.log().join("\n"));
            }
            assert!(Instant::now() < end, "haproxy is not ready");
            thread::sleep(Duration::from_millis(2));
        }
        Haproxy { process, addr, _dir: dir }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}
