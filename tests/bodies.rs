//! Long bodies: they arrive as they were sent, both ways and both framings, and none is ever held in memory.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use evenkeel_testkit::{DEADLINE, Gate, Proxy, Rng};

const SIZE: usize = 64 << 20;

/// A writer that waits longer than this is held back by the way, not by the scheduler.
const STUCK: Duration = Duration::from_millis(500);

/// Bytes of which no stretch repeats at a distance that a buffer could have.
struct Pattern {
    block: Vec<u8>,
    seed: u64,
}

impl Pattern {
    fn new() -> Pattern {
        let mut rng = Rng::new(0xb0d1e5);
        // A prime length: no power of two divides it, so a swapped or repeated buffer shows.
        Pattern { block: rng.bytes(1_000_003), seed: rng.seed() }
    }

    /// Sends the bytes from `from` to [`SIZE`], plain or in chunks of odd sizes. `stuck` is told once how far it came when
    /// nobody takes more for [`STUCK`].
    fn send(&self, to: &mut TcpStream, from: usize, chunked: bool, stuck: impl FnOnce(usize)) -> std::io::Result<()> {
        let mut stuck = Some(stuck);
        to.set_write_timeout(Some(STUCK))?;
        let mut at = from;
        while at < SIZE {
            let offset = at % self.block.len();
            let part = (self.block.len() - offset).min(SIZE - at).min(70_001);
            let mut piece = if chunked { format!("{part:x}\r\n").into_bytes() } else { Vec::new() };
            piece.extend_from_slice(&self.block[offset..offset + part]);
            if chunked {
                piece.extend_from_slice(b"\r\n");
            }
            let mut left = &piece[..];
            while !left.is_empty() {
                match to.write(left) {
                    Ok(n) => left = &left[n..],
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        to.set_write_timeout(Some(DEADLINE))?;
                        if let Some(tell) = stuck.take() {
                            tell(at);
                        }
                    }
                    Err(e) => return Err(e),
                }
            }
            at += part;
        }
        if chunked { to.write_all(b"0\r\n\r\n") } else { Ok(()) }
    }

    /// Looks at bytes that must stand at `at`.
    fn check(&self, at: usize, got: &[u8]) {
        let mut done = 0;
        while done < got.len() {
            let offset = (at + done) % self.block.len();
            let part = (self.block.len() - offset).min(got.len() - done);
            let same = got[done..done + part] == self.block[offset..offset + part];
            assert!(same, "bytes differ between {} and {} (seed {})", at + done, at + done + part, self.seed);
            done += part;
        }
    }

    /// Reads a body of this pattern to its end and returns its length.
    fn receive(&self, from: &mut impl BufRead, framing: Framing) -> usize {
        let mut total = 0;
        let mut buf = vec![0; 256 << 10];
        let mut stretch = |from: &mut dyn Read, n: usize, total: &mut usize| {
            let mut left = n;
            while left > 0 {
                let want = left.min(buf.len());
                from.read_exact(&mut buf[..want]).unwrap_or_else(|e| panic!("{e} after {total} bytes"));
                self.check(*total, &buf[..want]);
                *total += want;
                left -= want;
            }
        };
        match framing {
            Framing::Length(n) => stretch(from, n, &mut total),
            Framing::Chunked => loop {
                let mut line = String::new();
                from.read_line(&mut line).unwrap();
                let n = usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|_| panic!("chunk size {line:?}"));
                stretch(from, n, &mut total);
                line.clear();
                from.read_line(&mut line).unwrap();
                assert_eq!(line, "\r\n");
                if n == 0 {
                    break;
                }
            },
        }
        total
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    Length(usize),
    Chunked,
}

/// A head's first line and the framing it announces.
fn head(from: &mut impl BufRead) -> (String, Option<Framing>) {
    let mut first = String::new();
    from.read_line(&mut first).unwrap();
    let mut framing = None;
    loop {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let lower = line.trim_end().to_ascii_lowercase();
        match lower.split_once(':') {
            None => return (first.trim_end().to_owned(), framing),
            Some(("content-length", v)) => framing = Some(Framing::Length(v.trim().parse().unwrap())),
            Some(("transfer-encoding", v)) if v.trim() == "chunked" => framing = Some(Framing::Chunked),
            Some(_) => {}
        }
    }
}

/// What an origin tells.
#[derive(Clone, Copy, Debug, PartialEq)]
enum News {
    /// An upload came to its end, of this many bytes.
    Uploaded(usize),
    /// Nobody takes more of the download; this far it came.
    Stuck(usize),
}

/// An origin that takes an upload once `read` is open, and answers with a download: `/length`, `/chunked`.
fn origin(read: Gate) -> (SocketAddr, Receiver<News>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (told, tell): (Sender<News>, _) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (told, read) = (told.clone(), read.clone());
            thread::spawn(move || serve(stream, &read, &told));
        }
    });
    (addr, tell)
}

fn serve(mut stream: TcpStream, read: &Gate, told: &Sender<News>) {
    let pattern = Pattern::new();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (line, framing) = head(&mut reader);
    read.wait();
    if let Some(framing) = framing {
        let _ = told.send(News::Uploaded(pattern.receive(&mut reader, framing)));
    }
    let chunked = line.contains("/chunked");
    let how = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {SIZE}") };
    let _ = write!(stream, "HTTP/1.1 200 OK\r\n{how}\r\n\r\n");
    // A client that leaves ends this with an error; the client's side of the test tells.
    let _ = pattern.send(&mut stream, 0, chunked, |at| {
        let _ = told.send(News::Stuck(at));
    });
}

fn proxy(origin: SocketAddr) -> Proxy {
    Proxy::start(&format!("[listen.web]\nbind = [\"@web@\"]\nserver = [{{ name = \"s\", address = \"{origin}\" }}]\n"))
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.addr("web")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn open_gate() -> Gate {
    let gate = Gate::new();
    gate.open();
    gate
}

/// Up and down at full length; memory is looked at on the way.
fn both_ways(path: &str, chunked: bool) {
    let pattern = Pattern::new();
    let (addr, uploads) = origin(open_gate());
    let proxy = proxy(addr);
    let mut stream = connect(&proxy);
    let before = proxy.process().rss_kib();
    let how = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {SIZE}") };
    write!(stream, "POST {path} HTTP/1.1\r\nHost: a\r\n{how}\r\n\r\n").unwrap();
    pattern.send(&mut stream, 0, chunked, |_| ()).unwrap();
    assert_eq!(uploads.recv_timeout(DEADLINE), Ok(News::Uploaded(SIZE)));
    let mut reader = BufReader::new(stream);
    let (line, framing) = head(&mut reader);
    assert_eq!(line, "HTTP/1.1 200 OK");
    let wanted = if chunked { Framing::Chunked } else { Framing::Length(SIZE) };
    assert_eq!(framing, Some(wanted));
    assert_eq!(pattern.receive(&mut reader, wanted), SIZE);
    grown(&proxy, before);
}

/// What a body may add: buffers, the allocator's habits; never anything of the order of the body.
fn grown(proxy: &Proxy, before: u64) {
    let after = proxy.process().rss_kib();
    assert!(after < before + 8 * 1024, "resident memory went from {before} to {after} KiB");
}

#[test]
fn counted_bodies_arrive_whole() {
    both_ways("/length", false);
}

#[test]
fn chunked_bodies_arrive_whole() {
    both_ways("/chunked", true);
}

#[test]
fn a_server_that_does_not_read_slows_the_client() {
    let pattern = Pattern::new();
    let gate = Gate::new();
    let (addr, news) = origin(gate.clone());
    let proxy = proxy(addr);
    let mut stream = connect(&proxy);
    let before = proxy.process().rss_kib();
    write!(stream, "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n").unwrap();
    let mut held_back = None;
    pattern
        .send(&mut stream, 0, false, |at| {
            held_back = Some(at);
            grown(&proxy, before);
            gate.open();
        })
        .unwrap();
    assert!(
        held_back.is_some_and(|at| at < SIZE / 2),
        "{held_back:?} of {SIZE} was taken although the server read nothing"
    );
    assert_eq!(news.recv_timeout(DEADLINE), Ok(News::Uploaded(SIZE)));
    grown(&proxy, before);
}

#[test]
fn a_client_that_does_not_read_slows_the_server() {
    for (path, wanted) in [("/length", Framing::Length(SIZE)), ("/chunked", Framing::Chunked)] {
        let (addr, news) = origin(open_gate());
        let proxy = proxy(addr);
        let mut stream = connect(&proxy);
        let before = proxy.process().rss_kib();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        assert_eq!(head(&mut reader), ("HTTP/1.1 200 OK".to_owned(), Some(wanted)));
        let at = news.recv_timeout(DEADLINE);
        assert!(matches!(at, Ok(News::Stuck(n)) if n < SIZE / 2), "{at:?} of {SIZE}: the client read nothing");
        grown(&proxy, before);
        assert_eq!(Pattern::new().receive(&mut reader, wanted), SIZE);
        grown(&proxy, before);
    }
}

/// Several at once: what holds for one must not add up either.
#[test]
fn eight_slow_readers_cost_eight_buffers() {
    let (addr, news) = origin(open_gate());
    let proxy = proxy(addr);
    let before = proxy.process().rss_kib();
    let mut readers: Vec<BufReader<TcpStream>> = (0..8)
        .map(|_| {
            let mut stream = connect(&proxy);
            write!(stream, "GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut reader = BufReader::new(stream);
            assert_eq!(head(&mut reader), ("HTTP/1.1 200 OK".to_owned(), Some(Framing::Chunked)));
            reader
        })
        .collect();
    for _ in 0..8 {
        assert!(matches!(news.recv_timeout(DEADLINE), Ok(News::Stuck(_))));
    }
    grown(&proxy, before);
    // They are all alive: each gets more when it reads.
    for reader in &mut readers {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(usize::from_str_radix(line.trim_end(), 16).is_ok(), "{line:?}");
    }
}
