//! Whole messages through a pump between real sockets, in random pieces, with small socket buffers and slow readers.
#![allow(clippy::unwrap_used)]

use std::future::poll_fn;

use evenkeel_wire::Stream;
use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::*;

/// What is before the payload.
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
/// The bytes of the next message, behind the one that is pumped.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\n\r\n";

const SMALL: usize = 8 * 1024;
const BULK: usize = 64 * 1024;

#[test]
fn who_gives_way_moves_less_at_a_time() {
    assert_eq!([-1024, -512, 0, 512, 1024].map(burst), [16, 10, 4, 3, 1]);
    assert!((-1024..=1024).map(burst).is_sorted_by(|a, b| a >= b), "never more for who gives way more");
}

/// A far end of a connection.
trait Far: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Far for T {}

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// A connection, `(near, far)`, with socket buffers of `size` bytes or the system's own.
async fn pair(unix: bool, size: Option<usize>) -> (Stream, Box<dyn Far>) {
    if unix {
        let (near, far) = UnixStream::pair().unwrap();
        return (Stream::from(near), Box::new(far));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (near, far) = (near.unwrap(), far.unwrap().0);
    if let Some(size) = size {
        socket2::SockRef::from(&near).set_send_buffer_size(size).unwrap();
        socket2::SockRef::from(&far).set_recv_buffer_size(size).unwrap();
    }
    (Stream::from(near), Box::new(far))
}

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// A message as it is on the wire.
fn encode(rng: &mut Rng, from: Framing, payload: &[u8], trailers: &str) -> Vec<u8> {
    if from != Framing::Chunked {
        return payload.to_vec();
    }
    let mut out = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let (chunk, more) = rest.split_at(rng.usize(1..=rest.len().min(100_000)));
        let extension = ["", ";a=b", " "][rng.usize(..3)];
        out.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = more;
    }
    out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    out
}

/// Payload and trailers of a chunked body, read in the plainest way.
fn decode(mut body: &[u8]) -> (Vec<u8>, String) {
    let mut payload = Vec::new();
    loop {
        let end = body.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        body = &body[end + 2..];
        if size == 0 {
            break;
        }
        payload.extend_from_slice(&body[..size]);
        assert_eq!(&body[size..size + 2], b"\r\n");
        body = &body[size + 2..];
    }
    let trailers = std::str::from_utf8(body).unwrap().strip_suffix("\r\n").unwrap();
    (payload, trailers.to_owned())
}

/// Sends in random pieces and closes the sending side.
async fn send(mut rng: Rng, mut far: Box<dyn Far>, raw: &[u8]) -> Box<dyn Far> {
    let most = [1, 100, 5000, 200_000][rng.usize(..4)].max(raw.len() / 200);
    let mut rest = raw;
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rng.usize(1..=rest.len().min(most)));
        far.write_all(piece).await.unwrap();
        if rng.bool() {
            tokio::task::yield_now().await;
        }
        rest = more;
    }
    far.shutdown().await.unwrap();
    far
}

/// Reads to the end in random pieces, slower than it is sent.
async fn receive(mut rng: Rng, mut far: Box<dyn Far>, expected: usize) -> Vec<u8> {
    let most = [10, 3000, 200_000][rng.usize(..3)].max(expected / 200);
    let mut got = Vec::new();
    loop {
        let mut piece = vec![0; rng.usize(1..=most)];
        match far.read(&mut piece).await.unwrap() {
            0 => return got,
            n => got.extend_from_slice(&piece[..n]),
        }
        for _ in 0..rng.u32(..3) {
            tokio::task::yield_now().await;
        }
    }
}

/// Runs a pump to its end and checks at each step that no more is held than one buffer.
async fn drive(pump: &mut Pump, source: &Stream, target: &Stream, stock: &Stock) -> Result<(), Failed> {
    poll_fn(|cx| {
        let done = pump.poll(cx, source, target, stock);
        assert!(pump.payload.as_ref().map_or(0, Buf::len) <= BULK, "one buffer at most");
        assert!(pump.prefix.len() + pump.suffix.len() <= HEAD.len() + SMALL + 9000, "and little beside it");
        done
    })
    .await
}

async fn exchange(seed: u64, from: Framing, to: Framing, len: usize) {
    let mut rng = Rng::with_seed(seed);
    let story = format!("seed {seed}: {from:?} to {to:?}, {len} bytes");
    let payload = bytes(&mut rng, len);
    let trailers = if rng.bool() { "" } else { "X-Sum: 1\r\nX-More: a b\r\n" };
    let mut raw = encode(&mut rng, from, &payload, trailers);
    let follows = from != Framing::UntilClose && rng.bool();
    if follows {
        raw.extend_from_slice(NEXT);
    }

    let stock = Stock::new(SMALL, BULK);
    let size = rng.bool().then_some(4096);
    let (source, source_far) = pair(rng.bool(), size).await;
    let (target, target_far) = pair(rng.bool(), size).await;
    let mut pump = Pump::new(from, to, HEAD.to_vec(), Vec::new());
    // A part of the body may have come with the head.
    let fed = if rng.bool() { rng.usize(..=raw.len().min(SMALL)) } else { 0 };
    pump.feed(&raw[..fed], &stock).unwrap();

    let (send_rng, receive_rng) = (rng.fork(), rng.fork());
    let ((), source_far, got) = tokio::join!(
        async {
            drive(&mut pump, &source, &target, &stock).await.unwrap_or_else(|e| panic!("{story}: {e:?}"));
            target.shutdown_write().unwrap();
        },
        async {
            // What follows the message stays in the socket, so the far end is drained of it below.
            send(send_rng, source_far, &raw[fed..]).await
        },
        receive(receive_rng, target_far, len),
    );

    assert!(got.starts_with(HEAD), "{story}");
    let body = &got[HEAD.len()..];
    if to == Framing::Chunked {
        let (arrived, trailed) = decode(body);
        assert!(arrived == payload, "{story}");
        assert_eq!(trailed, if from == Framing::Chunked { trailers } else { "" }, "{story}");
    } else {
        assert!(body == payload, "{story}");
    }
    assert_eq!(pump.written, got.len() as u64, "{story}");
    assert!(pump.is_flushed(), "{story}");

    // Nothing of the next message is lost: it is in the leftover or still to be read.
    let mut rest = pump.leftover.as_ref().map_or(&[][..], Buf::filled).to_vec();
    let kept = rest.len();
    let mut unread = vec![0; NEXT.len() + 1];
    loop {
        poll_fn(|cx| source.poll_readable(cx)).await.unwrap();
        match source.try_read(&mut unread) {
            Ok(0) => break,
            Ok(n) => rest.extend_from_slice(&unread[..n]),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock, "{story}"),
        }
    }
    assert_eq!(rest, if follows { NEXT } else { b"" }, "{story}");
    let message = raw.len() - if follows { NEXT.len() } else { 0 };
    assert_eq!(fed as u64 + pump.read, (message + kept) as u64, "{story}: bytes read");
    let (prefix, suffix) = pump.dismantle(&stock);
    assert!(prefix.is_empty() && suffix.is_empty(), "{story}");
    drop(source_far);
}

#[test]
fn every_message_arrives_whole_however_it_is_split() {
    run(async {
        for seed in 0..300 {
            let mut rng = Rng::with_seed(seed);
            let len = match rng.u32(..4) {
                0 => rng.usize(..20),
                1 => rng.usize(..=2 * JOIN),
                2 => rng.usize(..40_000),
                _ => [0, JOIN, JOIN + 1, SMALL, SMALL + 1, BULK, BULK + 1][rng.usize(..7)],
            };
            let from = [Framing::Length(len as u64), Framing::Chunked, Framing::UntilClose][rng.usize(..3)];
            let to = if rng.bool() { Framing::Chunked } else { Framing::Length(len as u64) };
            exchange(seed, from, to, len).await;
        }
    });
}

#[test]
fn large_bodies_arrive_whole_at_slow_readers() {
    let len = (3 << 20) + 4321;
    run(async {
        for from in [Framing::Length(len as u64), Framing::Chunked, Framing::UntilClose] {
            for to in [Framing::Chunked, Framing::Length(len as u64)] {
                exchange(len as u64, from, to, len).await;
            }
        }
    });
}

#[test]
fn a_body_that_came_with_the_head_needs_no_read() {
    run(async {
        let stock = Stock::new(SMALL, BULK);
        let (source, _source_far) = pair(true, None).await;
        let (target, target_far) = pair(true, None).await;
        let mut pump = Pump::new(Framing::Length(4), Framing::Length(4), HEAD.to_vec(), Vec::new());
        pump.feed(b"bodyGET /next", &stock).unwrap();
        drive(&mut pump, &source, &target, &stock).await.unwrap();
        assert_eq!((pump.read, pump.written), (0, HEAD.len() as u64 + 4));
        assert_eq!(pump.leftover.as_ref().unwrap().filled(), b"GET /next");
        drop(target);
        assert_eq!(receive(Rng::with_seed(1), target_far, 0).await, [HEAD, b"body"].concat());
    });
}

#[test]
fn more_than_a_buffer_may_come_with_the_head() {
    run(async {
        let stock = Stock::new(64, 256);
        let (source, _source_far) = pair(true, None).await;
        let (target, target_far) = pair(true, None).await;
        let mut pump = Pump::new(Framing::Length(1000), Framing::Length(1000), Vec::new(), Vec::new());
        let raw: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
        pump.feed(&raw, &stock).unwrap();
        drive(&mut pump, &source, &target, &stock).await.unwrap();
        assert_eq!(pump.leftover.as_ref().unwrap().filled(), &raw[1000..]);
        drop(target);
        assert_eq!(receive(Rng::with_seed(1), target_far, 1000).await, raw[..1000]);
    });
}

#[test]
fn a_source_that_ends_in_the_middle_is_told_from_one_that_is_done() {
    run(async {
        for (from, raw, expected) in [
            (Framing::Length(10), &b"nine byte"[..], Err(Failed::SourceClosed)),
            (Framing::Length(9), b"nine byte", Ok(())),
            (Framing::Chunked, b"", Err(Failed::SourceClosed)),
            (Framing::Chunked, b"4\r\nbo", Err(Failed::SourceClosed)),
            (Framing::Chunked, b"4\r\nbody\r\n", Err(Failed::SourceClosed)),
            (Framing::Chunked, b"4\r\nbody\r\n0\r\n", Err(Failed::SourceClosed)),
            (Framing::Chunked, b"4\r\nbody\r\n0\r\n\r\n", Ok(())),
            (Framing::Chunked, b"4\r\nbodyX", Err(Failed::SourceMalformed(Malformed::BadChunkEnd))),
            (Framing::Chunked, b"no size\r\n", Err(Failed::SourceMalformed(Malformed::BadChunkSize))),
            (Framing::UntilClose, b"", Ok(())),
            (Framing::UntilClose, b"all of it", Ok(())),
        ] {
            let stock = Stock::new(SMALL, BULK);
            let (source, mut source_far) = pair(false, None).await;
            let (target, _target_far) = pair(false, None).await;
            let mut pump = Pump::new(from, Framing::Chunked, Vec::new(), Vec::new());
            source_far.write_all(raw).await.unwrap();
            drop(source_far);
            let ended = drive(&mut pump, &source, &target, &stock).await;
            assert_eq!(ended, expected, "{from:?} {}", String::from_utf8_lossy(raw));
        }
    });
}

#[test]
fn a_target_that_takes_no_more_is_told_from_a_source_that_broke() {
    run(async {
        let stock = Stock::new(SMALL, BULK);
        let (source, source_far) = pair(true, None).await;
        let (target, target_far) = pair(true, None).await;
        let mut pump = Pump::new(Framing::Length(1 << 20), Framing::Length(1 << 20), Vec::new(), Vec::new());
        drop(target_far);
        let (ended, _) = tokio::join!(drive(&mut pump, &source, &target, &stock), async {
            let mut far = source_far;
            let _ = far.write_all(&[0; 1000]).await;
            far
        });
        assert_eq!(ended, Err(Failed::TargetClosed));
    });
}

#[test]
fn what_was_not_sent_can_be_forgotten_what_was_begun_cannot() {
    run(async {
        let stock = Stock::new(SMALL, BULK);
        let mut pump = Pump::new(Framing::Length(9000), Framing::Length(9000), HEAD.to_vec(), Vec::new());
        pump.feed(&[b'x'; 8000], &stock).unwrap();
        assert!(!pump.is_flushed());
        pump.forget_unsent();
        assert!(pump.is_flushed());

        let (source, _source_far) = pair(false, None).await;
        let (target, _target_far) = pair(false, Some(4096)).await;
        let len = 1 << 20;
        let mut pump = Pump::new(Framing::Length(len), Framing::Length(len), HEAD.to_vec(), Vec::new());
        pump.feed(&vec![b'x'; len as usize], &stock).unwrap();
        poll_fn(|cx| {
            assert!(pump.poll(cx, &source, &target, &stock).is_pending(), "small sockets hold no MiB");
            Poll::Ready(())
        })
        .await;
        assert_eq!(pump.blocked, Blocked::Target);
        assert!(pump.sent > 0 && pump.sent as u64 == pump.written);
        pump.forget_unsent();
        assert_eq!(pump.payload.as_ref().map(Buf::len), Some(len as usize));
    });
}
