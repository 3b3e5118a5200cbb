//! Syslog over TCP: framing, collectors that go away, collectors that never read.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use evenkeel_testkit::{DEADLINE, Load, Origin, Proxy, Script};
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use crate::{ask, config, lines_of, syslog};

/// What a collector was sent on one connection, line by line.
struct Taken(BufReader<TcpStream>);

impl Taken {
    /// The next line, framed as RFC 6587 section 3.4.1 says.
    fn octets(&mut self) -> String {
        let mut number = Vec::new();
        self.0.read_until(b' ', &mut number).unwrap();
        let number = String::from_utf8(number).unwrap();
        let mut line = vec![0; number.strip_suffix(' ').unwrap().parse().unwrap()];
        self.0.read_exact(&mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    fn lf(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.strip_suffix('\n').unwrap().to_owned()
    }
}

fn take(collector: &TcpListener) -> Taken {
    let (stream, _) = collector.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    Taken(BufReader::new(stream))
}

#[test]
fn syslog_over_tcp_has_every_envelope_and_both_framings() {
    let words = ["local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw"];
    let [octets, lf, plain] = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let target = |collector: &TcpListener, more: &str| {
        format!("{{ target = \"tcp:{}\"{more} }}", collector.local_addr().unwrap())
    };
    let mut log: Vec<String> = words.map(|word| target(&octets, &format!(", syslog = \"{word}\""))).into();
    log.push(target(&lf, ", framing = \"lf\", syslog = \"priority\""));
    log.push(target(&plain, ", framing = \"octets\""));
    let origin = Origin::start(Script::always("hello"));
    let config = config(&origin, &format!("[{}]", log.join(", ")), "log-format = \"LINE %HU\"")
        .replace("[global]\n", "[global]\nlog-tag = \"edge\"\n");
    let mut proxy = Proxy::start(&config);
    let pid = proxy.process().pid();
    ask(&proxy, "/one");
    let mut taken = take(&octets);
    let lines = words.map(|_| taken.octets());
    assert_eq!(syslog(lines[0].as_bytes(), 16 * 8 + 6, "edge", pid), "LINE /one");
    assert!(lines[1].starts_with("<134>") && lines[1].ends_with(&format!(" edge[{pid}]: LINE /one")), "{lines:#?}");
    assert!(lines[2].starts_with("<134>1 ") && lines[2].ends_with(&format!(" edge {pid} - - LINE /one")), "{lines:#?}");
    assert_eq!([&lines[3], &lines[4], &lines[7]], ["<134>LINE /one", "<6>LINE /one", "LINE /one"]);
    assert_eq!(lines[5].strip_prefix("<6>").unwrap().len(), lines[6].len(), "{lines:#?}");
    assert!(lines[6].ends_with("+00:00 LINE /one") || lines[6].ends_with(" LINE /one"), "{lines:#?}");
    let (mut lf, mut plain) = (take(&lf), take(&plain));
    assert_eq!(lf.lf(), "<134>LINE /one");
    assert_eq!(syslog(plain.octets().as_bytes(), 16 * 8 + 6, "edge", pid), "LINE /one");
    // The same connections serve on, and the last lines are out when the process has ended.
    ask(&proxy, "/two");
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(DEADLINE);
    assert_eq!(lf.lf(), "<134>LINE /two");
    assert_eq!(lf.0.read(&mut [0]).unwrap(), 0);
    assert_eq!(words.map(|_| taken.octets())[7], "LINE /two");
}

/// Two sockets that share an address: when the first is closed, the port is nobody else's, and refuses until the second listens.
fn two_of_one_port() -> [Socket; 2] {
    let socket = |port: u16| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
        socket
    };
    let first = socket(0);
    let port = first.local_addr().unwrap().as_socket().unwrap().port();
    [first, socket(port)]
}

/// Waits until the kernel of a client of `port` knows that the server has closed (CLOSE_WAIT, 08).
fn wait_left(port: u16) {
    let (end, to) = (Instant::now() + DEADLINE, format!("0100007F:{port:04X}"));
    let left = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(2) == Some(&&*to) && words.get(3) == Some(&"08")
    };
    while !std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(left) {
        assert!(Instant::now() < end, "nobody has seen the end of a connection to {port}");
        std::thread::yield_now();
    }
}

/// Lines wait for a collector that is away, and go to the one that comes back.
#[test]
fn a_collector_over_tcp_may_go_and_come_back() {
    let [first, second] = two_of_one_port();
    let address = first.local_addr().unwrap().as_socket().unwrap();
    first.listen(8).unwrap();
    let collector = TcpListener::from(first);
    let origin = Origin::start(Script::always("hello"));
    let log = format!("[{{ target = \"tcp:{address}\", syslog = \"raw\" }}, \"stdout\"]");
    let proxy = Proxy::start(&config(&origin, &log, "log-format = \"LINE %HU\""));
    ask(&proxy, "/one");
    let mut taken = take(&collector);
    assert_eq!(taken.octets(), "LINE /one");
    drop((taken, collector));
    wait_left(address.port());
    for path in ["/two", "/three"] {
        ask(&proxy, path);
        // The other sink serves meanwhile; the log thread writes to it after the first has got its line.
        proxy.process().wait_line(0, "on standard output", |l| l == format!("LINE {path}"));
    }
    second.listen(8).unwrap();
    let collector = TcpListener::from(second);
    ask(&proxy, "/four");
    let mut taken = take(&collector);
    assert_eq!(["/two", "/three", "/four"].map(|_| taken.octets()), ["LINE /two", "LINE /three", "LINE /four"]);
    assert_eq!(proxy.metric(DROPPED), Some(0.0));
}

const DROPPED: &str = "evenkeel_log_lines_dropped_total";

/// A collector that never reads holds up nothing: what it does not take is dropped and counted, and what it took is whole.
#[test]
fn a_collector_over_tcp_that_is_stuck_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.log");
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    // What is accepted inherits it: little is needed to fill it.
    setsockopt(&collector, sockopt::RcvBuf, &4096).unwrap();
    let origin = Origin::start(Script::always("hello"));
    let log = format!(
        "[{{ target = \"tcp:{}\", syslog = \"raw\", len = 65535 }}, {{ target = \"file:{}\", len = 80 }}]",
        collector.local_addr().unwrap(),
        path.display()
    );
    let more = format!("log-format = \"%HU {}\"", "x".repeat(5_000));
    let mut proxy = Proxy::start(&config(&origin, &log, &more));
    let load = Load::start(proxy.addr("web"), "/load", 2);
    let mut taken = take(&collector);
    let end = Instant::now() + DEADLINE;
    while proxy.metric(DROPPED) == Some(0.0) {
        assert!(Instant::now() < end, "no line was dropped");
        load.wait_more(20);
    }
    load.wait_more(50);
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    proxy.signal(Signal::SIGTERM);
    // Within the time that the end of the log gives to collectors.
    assert_eq!(proxy.wait_exit(DEADLINE).code(), Some(0));
    // Whole lines up to the last, which the end may have cut.
    let mut all = Vec::new();
    taken.0.read_to_end(&mut all).unwrap();
    let line = format!("5006 /load {}", "x".repeat(5_000));
    let whole = all.chunks(line.len()).filter(|chunk| *chunk == line.as_bytes()).count();
    assert!(lines_of(&path).len() > whole + 50, "{whole}");
    assert!(whole > 0 && all.len() - whole * line.len() < line.len(), "{whole} of {} bytes", all.len());
}
