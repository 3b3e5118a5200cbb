//! Where lines end: standard output, files, syslog datagrams and connections. Used by the log thread alone.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use evenkeel_config::{LogSink, Syslog};
use jiff::Zoned;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};

use super::stream::Stream;

/// All sinks ever opened, by number.
#[derive(Debug)]
pub(crate) struct Sinks {
    /// Names of the program, by number; the first is that of the process.
    tags: Vec<String>,
    /// Name of the machine.
    host: String,
    known: HashMap<LogSink, u16>,
    sinks: Vec<Sink>,
    /// Bytes of lines that may wait for one connection.
    backlog: usize,
    /// Lines that a sink refused.
    pub(crate) failed: u64,
    /// RFC 3164 date of the present second.
    date: (i64, String),
}

#[derive(Debug)]
struct Sink {
    way: Way,
    /// Lines not written yet.
    pending: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
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
    Tcp(Box<Stream>),
}

/// How long a sink that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);

impl Sinks {
    pub(crate) fn new(tag: &str, host: &str, backlog: usize) -> Sinks {
        let (tags, host, date) = (vec![tag.to_owned()], host.to_owned(), (i64::MIN, String::new()));
        Sinks { tags, host, known: HashMap::new(), sinks: Vec::new(), backlog, failed: 0, date }
    }

    /// Other names from now on.
    pub(crate) fn identify(&mut self, tag: &str, host: &str) {
        (self.tags[0], self.host) = (tag.to_owned(), host.to_owned());
    }

    /// The number of a name of the program (`log-tag` of a proxy or profile).
    pub(crate) fn tag(&mut self, tag: &str) -> u16 {
        let known = self.tags.iter().skip(1).position(|known| known == tag).map(|at| at + 1);
        let at = known.unwrap_or_else(|| {
            self.tags.push(tag.to_owned());
            self.tags.len() - 1
        });
        // More names than that are told as the process.
        u16::try_from(at).unwrap_or(0)
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
            LogSink::Tcp(address, framing) => Way::Tcp(Box::new(Stream::new(*address, *framing, self.backlog))),
        };
        let number = self.sinks.len() as u16;
        self.sinks.push(Sink { way, pending: Vec::new(), ends: Vec::new(), retry: None });
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
                Way::Tcp(stream) => stream.retry(),
                Way::Stdout | Way::Stderr | Way::Udp(..) => {}
            }
        }
    }

    /// Takes one line; `priority` is the syslog one. With RFC 5424 the line begins with its structured data.
    pub(crate) fn write(&mut self, sink: u16, tag: u16, priority: u8, syslog: Syslog, line: &[u8]) {
        let Some(sink) = self.sinks.get_mut(usize::from(sink)) else { return };
        let (tag, host, pid) = (&self.tags[usize::from(tag)], &self.host, std::process::id());
        if matches!(syslog, Syslog::Local | Syslog::Rfc3164) {
            refresh(&mut self.date);
        }
        let (date, severity) = (&self.date.1, priority & 7);
        // RFC 3339 with microseconds.
        let time = || Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string();
        let out = &mut sink.pending;
        // Writing to memory does not fail.
        let _ = match syslog {
            Syslog::Local => write!(out, "<{priority}>{date} {tag}[{pid}]: "),
            Syslog::Rfc3164 => write!(out, "<{priority}>{date} {host} {tag}[{pid}]: "),
            // Section 6: version, time, host, program, process, no kind of message.
            Syslog::Rfc5424 => write!(out, "<{priority}>1 {} {host} {tag} {pid} - ", time()),
            Syslog::Priority => write!(out, "<{priority}>"),
            Syslog::Short => write!(out, "<{severity}>"),
            Syslog::Timed => write!(out, "<{severity}>{} ", time()),
            Syslog::Iso => write!(out, "{} ", time()),
            Syslog::Raw => Ok(()),
        };
        out.extend_from_slice(line);
        if matches!(sink.way, Way::Stdout | Way::Stderr | Way::File(..)) {
            out.push(b'\n');
        }
        sink.ends.push(sink.pending.len());
    }

    /// Writes out what is pending.
    pub(crate) fn flush(&mut self) {
        for sink in self.sinks.iter_mut().filter(|s| !s.ends.is_empty()) {
            let sent = sink.send();
            self.failed += (sink.ends.len() - sent) as u64;
            sink.ends.clear();
            sink.pending.clear();
        }
    }

    /// Moves what waits for connections as far as that goes at once. When to call again; `None` when nothing waits.
    pub(crate) fn pump(&mut self) -> Option<Duration> {
        let (now, failed) = (Instant::now(), &mut self.failed);
        self.sinks.iter_mut().filter_map(Sink::stream).filter_map(|stream| stream.pump(now, failed)).min()
    }

    /// Whether lines wait that a connection may still take.
    pub(crate) fn hopeful(&mut self) -> bool {
        let now = Instant::now();
        self.sinks.iter_mut().filter_map(Sink::stream).any(|stream| stream.hopeful(now))
    }

    /// Counts what still waits as lost: the log ends.
    pub(crate) fn give_up(&mut self) {
        self.failed += self.sinks.iter_mut().filter_map(Sink::stream).map(|stream| stream.waiting()).sum::<u64>();
    }
}

impl Sink {
    /// Writes the pending lines; how many went out.
    fn send(&mut self) -> usize {
        if self.retry.is_some_and(|at| Instant::now() < at) {
            return 0;
        }
        let sent = self.way.send(&self.pending, &self.ends);
        // A connection knows itself when to try again, and one that is full takes the next line that fits.
        let well = sent == self.ends.len() || matches!(self.way, Way::Tcp(_));
        self.retry = if well { None } else { Some(Instant::now() + RETRY) };
        sent
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        match &mut self.way {
            Way::Tcp(stream) => Some(stream),
            _ => None,
        }
    }
}

impl Way {
    /// Writes lines that end at `ends`; a socket or file that failed is opened anew next time.
    fn send(&mut self, bytes: &[u8], ends: &[usize]) -> usize {
        let all = |done: bool| if done { ends.len() } else { 0 };
        match self {
            Way::Stdout => {
                all(std::io::stdout().lock().write_all(bytes).and_then(|()| std::io::stdout().flush()).is_ok())
            }
            Way::Stderr => all(std::io::stderr().lock().write_all(bytes).is_ok()),
            Way::File(path, file) => {
                if file.is_none() {
                    *file = OpenOptions::new().create(true).append(true).open(path).ok();
                }
                all(keep_if_ok(file, |f| f.write_all(bytes).is_ok()))
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
                socket.as_ref().map_or(0, |s| datagrams(s.as_raw_fd(), bytes, ends))
            }
            Way::Unix(path, socket) => {
                if socket.is_none() {
                    *socket = UnixDatagram::unbound().and_then(|s| s.connect(path).map(|()| s)).ok();
                    if let Some(s) = socket {
                        // A syslog daemon that is stuck must not stop the log thread for good.
                        let _ = s.set_write_timeout(Some(Duration::from_millis(100)));
                    }
                }
                let mut sent = 0;
                keep_if_ok(socket, |s| {
                    sent = datagrams(s.as_raw_fd(), bytes, ends);
                    sent == ends.len()
                });
                sent
            }
            Way::Tcp(stream) => lines(bytes, ends).filter(|line| stream.push(line)).count(),
        }
    }
}

fn lines<'a>(bytes: &'a [u8], ends: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    ends.iter().map(move |&end| &bytes[std::mem::replace(&mut start, end)..end])
}

/// Datagrams handed to the kernel in one call.
const BATCH: usize = 64;

/// Sends each line as a datagram, many in one system call; how many went out before one failed for good.
fn datagrams(fd: RawFd, bytes: &[u8], ends: &[usize]) -> usize {
    let lines: Vec<[IoSlice<'_>; 1]> = lines(bytes, ends).map(|line| [IoSlice::new(line)]).collect();
    let mut headers = MultiHeaders::<()>::preallocate(BATCH.min(lines.len()), None);
    let mut sent = 0;
    let mut refused = false;
    while sent < lines.len() {
        let batch = &lines[sent..lines.len().min(sent + BATCH)];
        let done = sendmmsg(fd, &mut headers, batch, [None; BATCH], [], MsgFlags::MSG_NOSIGNAL).map(Iterator::count);
        match done {
            Ok(n) if n > 0 => sent += n,
            // The refusal of an earlier datagram (ICMP) is reported once, in place of this one: try it again.
            Err(Errno::ECONNREFUSED) if !std::mem::replace(&mut refused, true) => {}
            _ => return sent,
        }
    }
    sent
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
