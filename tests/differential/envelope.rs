//! What stands before log lines, and which of them a logger gets: the same requests through both proxies, with a logger of each
//! kind. Dates, names and process ids are replaced by letters.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use evenkeel_testkit::{DEADLINE, Haproxy, Proxy, RawClient};

use crate::setup::{HTTP, Places, Setup};

/// A logger: HAProxy's words behind the address, Evenkeel's keys, and what is received of twelve requests `/1` to `/12`.
struct Logger {
    words: &'static str,
    keys: &'static str,
    lines: fn(n: u32) -> Option<String>,
}

const LOGGERS: &[Logger] = &[
    Logger {
        words: "format local local3",
        keys: "syslog = \"local\", facility = \"local3\"",
        lines: |n| Some(format!("<158>DATE edge[PID]: LINE /{n}")),
    },
    Logger {
        words: "format rfc3164 local3",
        keys: "syslog = \"rfc3164\", facility = \"local3\"",
        lines: |n| Some(format!("<158>DATE one edge[PID]: LINE /{n}")),
    },
    Logger {
        words: "format rfc5424 local3",
        keys: "syslog = \"rfc5424\", facility = \"local3\"",
        lines: |n| Some(format!("<158>1 TIME one edge PID - - LINE /{n}")),
    },
    Logger {
        words: "format priority user",
        keys: "syslog = \"priority\", facility = \"user\"",
        lines: |n| Some(format!("<14>LINE /{n}")),
    },
    Logger { words: "format short local3", keys: "syslog = \"short\"", lines: |n| Some(format!("<6>LINE /{n}")) },
    Logger { words: "format timed local3", keys: "syslog = \"timed\"", lines: |n| Some(format!("<6>TIME LINE /{n}")) },
    Logger { words: "format iso local3", keys: "syslog = \"iso\"", lines: |n| Some(format!("TIME LINE /{n}")) },
    Logger { words: "format raw local3", keys: "syslog = \"raw\"", lines: |n| Some(format!("LINE /{n}")) },
    Logger {
        words: "format raw sample 2,4-5:6 local3",
        keys: "syslog = \"raw\", sample = \"2,4-5:6\"",
        lines: |n| matches!(n % 6, 2 | 4 | 5).then(|| format!("LINE /{n}")),
    },
    Logger {
        words: "format raw sample 1:3 local3",
        keys: "syslog = \"raw\", sample = \"1:3\"",
        lines: |n| (n % 3 == 1).then(|| format!("LINE /{n}")),
    },
    // The least severe that is sent, and the most severe that is told.
    Logger { words: "format short local3 notice", keys: "syslog = \"short\", level = \"notice\"", lines: |_| None },
    Logger {
        words: "format short local3 debug debug",
        keys: "syslog = \"short\", level = \"debug\", minlevel = \"debug\"",
        lines: |n| Some(format!("<7>LINE /{n}")),
    },
];

const REQUESTS: u32 = 12;

#[test]
fn loggers() {
    const SETUP: Setup =
        Setup { front: &["log-format \"LINE %HU\"", "http-request redirect location /x"], log: true, ..HTTP };
    let any = SocketAddr::from(([127, 0, 0, 1], 1));
    let places = Places { origins: vec![any], dead: any };
    let only = std::env::var("EVENKEEL_DIFFERENTIAL").unwrap_or_default();
    if crate::run::wants_haproxy(&only) {
        let sockets = Sockets::new();
        let each = sockets.each(|at, logger| format!(" log {at} {}\n", logger.words));
        let text = SETUP.haproxy(&places).replacen(" log global\n", &each.concat(), 1);
        let text = text.replacen("global\n", "global\n log-tag edge\n log-send-hostname one\n", 1);
        let haproxy = Haproxy::start(&text);
        ask(haproxy.addr());
        sockets.compare("haproxy");
    }
    if only != "haproxy" {
        let sockets = Sockets::new();
        let each = sockets.each(|at, logger| format!("{{ target = \"{at}\", {} }}", logger.keys));
        let text = SETUP.evenkeel(&places);
        let stdout = text.lines().find(|line| line.starts_with("log = ")).unwrap().to_owned();
        let loggers = format!("log-tag = \"edge\"\nlog-send-hostname = \"one\"\nlog = [{}]", each.join(", "));
        let proxy = Proxy::start(&text.replacen(&stdout, &loggers, 1));
        ask(proxy.addr("listen"));
        sockets.compare("evenkeel");
    }
}

/// One request after the other, so that both count them alike.
fn ask(addr: SocketAddr) {
    for n in 1..=REQUESTS {
        let mut client = RawClient::connect(addr).unwrap();
        client.ask(format!("GET /{n} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).unwrap();
        client.rest().unwrap();
    }
}

/// A receiver for each logger.
struct Sockets(Vec<UdpSocket>);

impl Sockets {
    fn new() -> Sockets {
        Sockets(LOGGERS.iter().map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect())
    }

    fn each(&self, render: impl Fn(SocketAddr, &Logger) -> String) -> Vec<String> {
        self.0.iter().zip(LOGGERS).map(|(socket, logger)| render(socket.local_addr().unwrap(), logger)).collect()
    }

    fn compare(&self, who: &str) {
        for (socket, logger) in self.0.iter().zip(LOGGERS) {
            let wanted: Vec<String> = (1..=REQUESTS).filter_map(logger.lines).collect();
            let mut got = Vec::new();
            let end = Instant::now() + DEADLINE;
            while got.len() < wanted.len() {
                socket
                    .set_read_timeout(Some(end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))))
                    .unwrap();
                let mut datagram = [0; 1024];
                match socket.recv(&mut datagram) {
                    // HAProxy ends its datagrams with a line break, which RFC 5426 does not know.
                    Ok(n) => got.push(normal(std::str::from_utf8(&datagram[..n]).unwrap().trim_end_matches('\n'))),
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                    Err(e) => panic!("{who}: {e}"),
                }
            }
            assert_eq!(got, wanted, "{who}: {}", logger.words);
        }
        // By now all of them have been written to, so what a logger must not get would be there.
        for (socket, logger) in self.0.iter().zip(LOGGERS) {
            socket.set_nonblocking(true).unwrap();
            assert!(socket.recv(&mut [0; 1024]).is_err(), "{who}: {} got more lines", logger.words);
        }
    }
}

/// Letters for what differs from run to run.
fn normal(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        let time = word.len().checked_sub("2026-11-21T10:50:02.049131+00:00".len());
        if let Some(at) = time.filter(|at| word.as_bytes()[at + 10] == b'T' && word.as_bytes()[at + 19] == b'.') {
            word.replace_range(at.., "TIME");
        } else if let (Some(open), Some(close)) = (word.find('['), word.find(']')) {
            assert!(word[open + 1..close].parse::<u32>().is_ok(), "{line}");
            word.replace_range(open + 1..close, "PID");
        }
    }
    // `<158>Nov 21 10:50:02`: the month is in the first word, a day of one digit is padded with a blank.
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if let Some(month) = months.into_iter().find(|month| words[0].ends_with(&format!(">{month}"))) {
        let time = words.iter().position(|word| word.len() == 8 && word.as_bytes()[2] == b':').unwrap();
        let opening = words[0].replace(month, "DATE");
        words.splice(..=time, [opening]);
    } else if words.len() > 4 && words[4].parse::<u32>().is_ok() {
        words[4] = "PID".to_owned();
    }
    words.join(" ")
}
