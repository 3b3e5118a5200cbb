//! A name server on a loopback port, over UDP and TCP: what it answers is data, what it was asked is kept for assertions.
//!
//! Messages are written by hand here and share nothing with the library that the product uses. What is to come later is
//! held until the test lets it go, never delayed.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::DEADLINE;

/// What a name server says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// These addresses, those of the kind that is asked for; there may be none of it.
    Addresses(Vec<IpAddr>),
    /// The name is another one, which has these addresses.
    Alias(String, Vec<IpAddr>),
    /// As `Addresses` over TCP, but over UDP only that the answer is too long.
    Long(Vec<IpAddr>),
    /// As `Addresses`, once [`NameServer::release`] lets it go.
    Held(Vec<IpAddr>),
    /// An error of that number: 2 = SERVFAIL, 3 = NXDOMAIN, 5 = REFUSED.
    Error(u8),
    /// Nothing.
    Silence,
    /// These bytes behind the id and the flags of an answer.
    Bytes(Vec<u8>),
    /// The addresses, in an answer to a question that nobody asked: another id, then another name.
    Forged(Vec<IpAddr>),
}

/// A question as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name, as written.
    pub name: String,
    /// 1 = A, 28 = AAAA.
    pub kind: u16,
    /// Whether it came over TCP.
    pub tcp: bool,
    /// The payload size that EDNS announced.
    pub payload: Option<u16>,
}

/// A running name server; it stops when dropped.
#[derive(Debug)]
pub struct NameServer {
    addr: SocketAddr,
    udp: UdpSocket,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    names: HashMap<String, Says>,
    asked: Vec<Asked>,
    held: Vec<(Vec<u8>, SocketAddr)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NameServer {
    /// Starts one on a free port; every name is unknown to it (NXDOMAIN).
    ///
    /// # Panics
    /// When no port is free for both UDP and TCP.
    pub fn start() -> NameServer {
        for _ in 0..50 {
            let udp = UdpSocket::bind("127.0.0.1:0").expect("a loopback port");
            let addr = udp.local_addr().expect("a bound socket");
            if let Ok(tcp) = TcpListener::bind(addr) {
                return NameServer::serve(addr, udp, tcp);
            }
        }
        panic!("no port is free for both UDP and TCP");
    }

    fn serve(addr: SocketAddr, udp: UdpSocket, tcp: TcpListener) -> NameServer {
        let shared = Arc::new(Shared::default());
        let (socket, state) = (udp.try_clone().expect("a socket"), Arc::clone(&shared));
        thread::spawn(move || over_udp(&socket, &state));
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((stream, _)) = tcp.accept() {
                if state.stopping.load(SeqCst) {
                    break;
                }
                let state = Arc::clone(&state);
                thread::spawn(move || over_tcp(stream, &state));
            }
        });
        NameServer { addr, udp, shared }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it says of `name` from now on.
    pub fn set(&self, name: &str, says: Says) {
        self.shared.lock().names.insert(name.to_ascii_lowercase(), says);
    }

    /// The questions so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.lock().asked.clone()
    }

    /// How often it was asked for `name`, whatever the kind.
    pub fn times(&self, name: &str) -> usize {
        self.shared.lock().asked.iter().filter(|asked| asked.name == name).count()
    }

    /// Waits until it was asked for `name` so often.
    ///
    /// # Panics
    /// At the deadline.
    pub fn wait_asked(&self, name: &str, times: usize) {
        let end = Instant::now() + DEADLINE;
        let mut state = self.shared.lock();
        while state.asked.iter().filter(|asked| asked.name == name).count() < times {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{name} was not asked for {times} times: {:?}", state.asked);
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends the answers that were held.
    pub fn release(&self) {
        for (answer, to) in self.shared.lock().held.drain(..) {
            let _ = self.udp.send_to(&answer, to);
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        // Both threads wait for something to come.
        let _ = self.udp.send_to(&[], self.addr);
        let _ = TcpStream::connect(self.addr);
    }
}

fn over_udp(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 4096];
    while let Ok((n, from)) = socket.recv_from(&mut buffer) {
        if shared.stopping.load(SeqCst) {
            break;
        }
        let Some(question) = Question::read(&buffer[..n], false) else { continue };
        let answers = note(&question, Some(from), shared);
        answers.iter().for_each(|answer| drop(socket.send_to(answer, from)));
    }
}

fn over_tcp(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_read_timeout(Some(DEADLINE));
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        let Some(question) = Question::read(&message, true) else { return };
        for answer in note(&question, None, shared) {
            let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
            if stream.write_all(&framed).is_err() {
                return;
            }
        }
    }
}

/// Keeps a question, and gives the answers to be sent now: an answer to `from` may be held.
fn note(question: &Question, from: Option<SocketAddr>, shared: &Shared) -> Vec<Vec<u8>> {
    let mut state = shared.lock();
    let says = state.names.get(&question.asked.name.to_ascii_lowercase()).cloned().unwrap_or(Says::Error(3));
    let mut answers = question.answers(&says);
    if let (Says::Held(_), Some(from)) = (&says, from) {
        state.held.extend(answers.drain(..).map(|answer| (answer, from)));
    }
    state.asked.push(question.asked.clone());
    drop(state);
    shared.changed.notify_all();
    answers
}

/// A question with what an answer repeats of it.
struct Question {
    id: [u8; 2],
    /// Name, type and class as they came.
    section: Vec<u8>,
    asked: Asked,
}

impl Question {
    fn read(message: &[u8], tcp: bool) -> Option<Question> {
        let mut at = 12;
        let mut name = Vec::new();
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            name.push(String::from_utf8_lossy(message.get(at..at + length)?).into_owned());
            at += length;
        }
        let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
        let section = message.get(12..at + 4)?.to_vec();
        // An OPT record (RFC 6891 §6.1.2): the root, type 41, and the payload size where others have their class.
        let payload = match message.get(at + 4..at + 9) {
            Some([0, 0, 41, high, low]) => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        };
        Some(Question {
            id: [message[0], message[1]],
            section,
            asked: Asked { name: name.join("."), kind, tcp, payload },
        })
    }

    /// The messages that say it.
    fn answers(&self, says: &Says) -> Vec<Vec<u8>> {
        match says {
            Says::Addresses(addresses) | Says::Held(addresses) => vec![self.answer(0, &self.records(addresses))],
            Says::Alias(name, addresses) => {
                let target = wire_name(name);
                let mut records = vec![record(&[0xc0, 12], 5, &target)];
                records.extend(self.of_kind(addresses).map(|(kind, data)| record(&target, kind, &data)));
                vec![self.answer(0, &records)]
            }
            Says::Long(_) if !self.asked.tcp => {
                let mut cut = self.answer(0, &[]);
                cut[2] |= 0x02;
                vec![cut]
            }
            Says::Long(addresses) => vec![self.answer(0, &self.records(addresses))],
            Says::Error(code) => vec![self.answer(*code, &[])],
            Says::Silence => Vec::new(),
            Says::Bytes(bytes) => vec![[&self.id[..], &[0x81, 0x80], bytes].concat()],
            Says::Forged(addresses) => {
                let mut other_id = self.answer(0, &self.records(addresses));
                other_id[1] ^= 0xff;
                let section = [&wire_name("forged.example")[..], &self.asked.kind.to_be_bytes(), &[0, 1]].concat();
                let other_name = Question { id: self.id, section, asked: self.asked.clone() };
                vec![other_id, other_name.answer(0, &self.records(addresses))]
            }
        }
    }

    fn of_kind<'a>(&self, addresses: &'a [IpAddr]) -> impl Iterator<Item = (u16, Vec<u8>)> + use<'a> {
        let wanted = self.asked.kind;
        let data = addresses.iter().map(|address| match address {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (28, ip.octets().to_vec()),
        });
        data.filter(move |(kind, _)| *kind == wanted)
    }

    fn records(&self, addresses: &[IpAddr]) -> Vec<Vec<u8>> {
        // The name stands in the question, at byte 12.
        self.of_kind(addresses).map(|(kind, data)| record(&[0xc0, 12], kind, &data)).collect()
    }

    fn answer(&self, code: u8, records: &[Vec<u8>]) -> Vec<u8> {
        let mut message = self.id.to_vec();
        message.extend([0x81, 0x80 | code, 0, 1]);
        message.extend((records.len() as u16).to_be_bytes());
        message.extend([0; 4]);
        message.extend(&self.section);
        records.iter().for_each(|record| message.extend(record));
        message
    }
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.') {
        wire.push(label.len() as u8);
        wire.extend(label.bytes());
    }
    wire.push(0);
    wire
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let ttl = 60_u32.to_be_bytes();
    [owner, &kind.to_be_bytes(), &[0, 1], &ttl, &(data.len() as u16).to_be_bytes(), data].concat()
}
