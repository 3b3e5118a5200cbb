//! The reference: Debian's haproxy as a process.

use std::process::Command;
use std::time::{Duration, Instant};
use std::{net::SocketAddr, net::TcpStream, thread};

use crate::DEADLINE;
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
        std::fs::write(&path, config.replace("@listen@", &addr.to_string())).expect("write haproxy.cfg");
        let mut process = Process::spawn("haproxy", Command::new(program).arg("-db").arg("-f").arg(&path));
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(addr).is_err() {
            if let Some(status) = process.try_exit() {
                panic!("haproxy ended with {status} on:\n{config}\n{}", process.log().join("\n"));
            }
            assert!(Instant::now() < end, "haproxy does not listen on {addr}");
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
