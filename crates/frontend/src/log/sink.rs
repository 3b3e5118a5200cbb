//! Where lines end: standard output, files, syslog datagrams. Used by the log thread alone.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use evenkeel_config::LogSink;
use jiff::Zoned;

/// All sinks ever opened, by number.
#[derive(Debug)]
pub(crate) struct Sinks {
    tag: String,
    known: HashMap<LogSink, u16>,
    sinks: Vec<Sink>,
    /// Lines that a sink refused.
    pub(crate) failed: u64,
    /// RFC 3164 date of the present second.
    date: (i64, String),
}

#[derive(Debug)]
struct Sink {
    way: Way,
    /// Lines of a stream sink, written out together.
    pending: Vec<u8>,
    lines: u64,
    /// When a file or socket that failed is tried again.
    retry: Option<Instant>,
}

#[derive(Debug)]
enum Way {
    Stdout,
    Stderr,
    File(PathBuf, Option<File>),
    Udp(SocketAddr, Option<UdpSocket>),
    Unix(PathBuf, Option<UnixDatagram>),
}

/// How long a sink that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);

impl Sinks {
    pub(crate) fn new(tag: &str) -> Sinks {
        let tag = format!("{tag}[{}]", std::process::id());
        Sinks { tag, known: HashMap::new(), sinks: Vec::new(), failed: 0, date: (i64::MIN, String::new()) }
    }

    pub(crate) fn open(&mut self, sink: &LogSink) -> u16 {
        if let Some(&known) = self.known.get(sink) {
            return known;
        }
        let way = match sink {
            LogSink::Stdout => Way::Stdout,
            LogSink::Stderr => Way::Stderr,
            LogSink::File(path) => Way::File(path.clone(), None),
            LogSink::Udp(address) => Way::Udp(*address, None),
            LogSink::Unix(path) => Way::Unix(path.clone(), None),
        };
        let number = self.sinks.len() as u16;
        self.sinks.push(Sink { way, pending: Vec::new(), lines: 0, retry: None });
        self.known.insert(sink.clone(), number);
        number
    }

    pub(crate) fn reopen(&mut self) {
        self.flush();
        for sink in &mut self.sinks {
            sink.retry = None;
            match &mut sink.way {
                Way::File(_, file) => *file = None,
                Way::Unix(_, socket) => *socket = None,
                Way::Stdout | Way::Stderr | Way::Udp(..) => {}
            }
        }
    }

    /// Takes one line; `priority` is the syslog one.
    pub(crate) fn write(&mut self, sink: u16, priority: u8, line: &[u8]) {
        let Some(sink) = self.sinks.get_mut(usize::from(sink)) else { return };
        match &mut sink.way {
            Way::Stdout | Way::Stderr | Way::File(..) => {
                sink.pending.extend_from_slice(line);
                sink.pending.push(b'\n');
                sink.lines += 1;
            }
            Way::Udp(..) | Way::Unix(..) => {
                refresh(&mut self.date);
                sink.pending.clear();
                let _ = write!(sink.pending, "<{priority}>{} {}: ", self.date.1, self.tag);
                sink.pending.extend_from_slice(line);
                if !sink.send() {
                    self.failed += 1;
                }
                sink.pending.clear();
            }
        }
    }

    /// Writes out the stream sinks.
    pub(crate) fn flush(&mut self) {
        for sink in self.sinks.iter_mut().filter(|s| !s.pending.is_empty()) {
            if !sink.send() {
                self.failed += sink.lines;
            }
            sink.lines = 0;
            sink.pending.clear();
        }
    }
}

impl Sink {
    fn send(&mut self) -> bool {
        if self.retry.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let sent = self.way.send(&self.pending);
        self.retry = if sent { None } else { Some(Instant::now() + RETRY) };
        sent
    }
}

impl Way {
    /// Writes `bytes`; a socket or file that failed is opened anew next time.
    fn send(&mut self, bytes: &[u8]) -> bool {
        match self {
            Way::Stdout => std::io::stdout().lock().write_all(bytes).and_then(|()| std::io::stdout().flush()).is_ok(),
            Way::Stderr => std::io::stderr().lock().write_all(bytes).is_ok(),
            Way::File(path, file) => {
                if file.is_none() {
                    *file = OpenOptions::new().create(true).append(true).open(path).ok();
                }
                keep_if_ok(file, |f| f.write_all(bytes).is_ok())
            }
            Way::Udp(address, socket) => {
                if socket.is_none() {
                    let local: SocketAddr = match address {
                        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                    };
                    *socket = UdpSocket::bind(local).and_then(|s| s.connect(*address).map(|()| s)).ok();
                }
                // A refused datagram means nobody listens yet: the socket itself is fine.
                socket.as_ref().is_some_and(|s| s.send(bytes).is_ok())
            }
            Way::Unix(path, socket) => {
                if socket.is_none() {
                    *socket = UnixDatagram::unbound().and_then(|s| s.connect(path).map(|()| s)).ok();
                    if let Some(s) = socket {
                        // A syslog daemon that is stuck must not stop the log thread for good.
                        let _ = s.set_write_timeout(Some(Duration::from_millis(100)));
                    }
                }
                keep_if_ok(socket, |s| s.send(bytes).is_ok())
            }
        }
    }
}

fn keep_if_ok<T>(slot: &mut Option<T>, act: impl FnOnce(&mut T) -> bool) -> bool {
    let done = slot.as_mut().is_some_and(act);
    if !done {
        *slot = None;
    }
    done
}

fn refresh(date: &mut (i64, String)) {
    let now = Zoned::now();
    let second = now.timestamp().as_second();
    if second != date.0 {
        *date = (second, now.strftime("%b %e %H:%M:%S").to_string());
    }
}
