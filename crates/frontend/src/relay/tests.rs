//! Tunnels between real sockets: both directions at once, half-closed ends, and who is blamed.
#![allow(clippy::unwrap_used)]

use evenkeel_wire::Stream;
use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const NEVER: Limits = Limits { idle: None, blame: End::TunnelIdleClient, client_fin: None, server_fin: None };

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

async fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (Stream::from(near.unwrap()), far.unwrap().0)
}

/// Both connections of a tunnel, and the tunnel.
struct Tunnel {
    relay: Relay,
    client: Stream,
    server: Stream,
    stock: Stock,
    timer: Timer,
}

impl Tunnel {
    /// `(tunnel, the client's end, the server's end)`.
    async fn new(up: Half, down: Half, limits: Limits) -> (Tunnel, TcpStream, TcpStream) {
        let ((client, client_far), (server, server_far)) = (pair().await, pair().await);
        let relay = Relay::new(up, down, limits);
        let tunnel = Tunnel { relay, client, server, stock: Stock::new(4096, 32 * 1024), timer: Timer::default() };
        (tunnel, client_far, server_far)
    }

    /// Runs to the end and closes; tells how it ended and the bytes written up and down.
    async fn run(mut self) -> (End, u64, u64) {
        let end = poll_fn(|cx| self.relay.poll(cx, &self.client, &self.server, &self.stock, &mut self.timer)).await;
        (end, self.relay.up.bytes, self.relay.down.bytes)
    }
}

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// One end: sends all in random pieces while it reads to the end in random pieces.
async fn talk(mut rng: Rng, far: TcpStream, say: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = far.into_split();
    let mut read_rng = rng.fork();
    let most = [10, 3000, 100_000][rng.usize(..3)].max(say.len() / 100);
    let mut heard = Vec::new();
    let write = async {
        let mut rest = say;
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rng.usize(1..=rest.len().min(most)));
            writer.write_all(piece).await.unwrap();
            if rng.bool() {
                tokio::task::yield_now().await;
            }
            rest = more;
        }
        writer.shutdown().await.unwrap();
    };
    let read = async {
        loop {
            let mut piece = vec![0; read_rng.usize(1..=most)];
            match reader.read(&mut piece).await.unwrap() {
                0 => break,
                n => heard.extend_from_slice(&piece[..n]),
            }
            if read_rng.bool() {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::join!(write, read);
    heard
}

#[test]
fn what_one_side_says_the_other_hears() {
    run(async {
        for seed in 0..60 {
            let mut rng = Rng::with_seed(seed);
            let mut len = || match rng.u32(..3) {
                0 => rng.usize(..10),
                1 => rng.usize(..20_000),
                _ => rng.usize(..1_500_000),
            };
            let (up_len, down_len) = (len(), len());
            let (up, down) = (bytes(&mut rng, up_len), bytes(&mut rng, down_len));
            // Some of it may have been read before the tunnel began.
            let (up_first, down_first) = (rng.usize(..=up_len.min(4096)), rng.usize(..=down_len.min(4096)));
            let half = |first: &[u8]| {
                let mut buf = Buf::with_capacity(4096);
                buf.extend_from_slice(first);
                Half::starting_with(Some(buf))
            };
            let (tunnel, client, server) = Tunnel::new(half(&up[..up_first]), half(&down[..down_first]), NEVER).await;
            let (client_rng, server_rng) = (rng.fork(), rng.fork());
            let (ended, client_heard, server_heard) = tokio::join!(
                tunnel.run(),
                talk(client_rng, client, &up[up_first..]),
                talk(server_rng, server, &down[down_first..]),
            );
            assert_eq!(ended, (End::Normal, up_len as u64, down_len as u64), "seed {seed}");
            assert!(client_heard == down && server_heard == up, "seed {seed}");
        }
    });
}

#[test]
fn a_half_closed_side_still_hears_the_other() {
    run(async {
        for client_first in [true, false] {
            let (tunnel, client, server) = Tunnel::new(Half::default(), Half::default(), NEVER).await;
            let (mut early, mut late) = if client_first { (client, server) } else { (server, client) };
            let story = async {
                early.write_all(b"question").await.unwrap();
                early.shutdown().await.unwrap();
                let mut heard = Vec::new();
                // The end arrives although the other direction has not begun.
                late.read_to_end(&mut heard).await.unwrap();
                assert_eq!(heard, b"question");
                for _ in 0..3 {
                    late.write_all(b"answer").await.unwrap();
                    let mut part = [0; 6];
                    early.read_exact(&mut part).await.unwrap();
                    assert_eq!(&part, b"answer");
                }
                late.shutdown().await.unwrap();
                assert_eq!(early.read(&mut [0]).await.unwrap(), 0);
            };
            let (ended, ()) = tokio::join!(tunnel.run(), story);
            let expected = if client_first { (End::Normal, 8, 18) } else { (End::Normal, 18, 8) };
            assert_eq!(ended, expected, "client first: {client_first}");
        }
    });
}

#[test]
fn a_reset_is_blamed_on_the_side_it_came_from() {
    run(async {
        for (client_breaks, blamed) in [(true, End::TunnelClientReset), (false, End::TunnelServerReset)] {
            let (tunnel, client, server) = Tunnel::new(Half::default(), Half::default(), NEVER).await;
            let (broken, kept) = if client_breaks { (client, server) } else { (server, client) };
            socket2::SockRef::from(&broken).set_linger(Some(Duration::ZERO)).unwrap();
            drop(broken);
            let (end, up, down) = tunnel.run().await;
            assert_eq!((end, up, down), (blamed, 0, 0));
            drop(kept);
        }
    });
}

#[test]
fn silence_ends_a_tunnel_and_is_blamed_as_configured() {
    run(async {
        let zero = Some(Duration::ZERO);
        for blame in [End::TunnelIdleClient, End::TunnelIdleServer] {
            let (tunnel, _client, _server) =
                Tunnel::new(Half::default(), Half::default(), Limits { idle: zero, blame, ..NEVER }).await;
            assert_eq!(tunnel.run().await, (blame, 0, 0));
        }
        // Only the half-closed side's own limit applies once it has closed.
        for (client_closes, end) in [(true, End::TunnelClientFin), (false, End::TunnelServerFin)] {
            let limits = Limits { client_fin: zero, server_fin: zero, ..NEVER };
            let (tunnel, client, server) = Tunnel::new(Half::default(), Half::default(), limits).await;
            let (mut closes, _kept) = if client_closes { (client, server) } else { (server, client) };
            closes.shutdown().await.unwrap();
            assert_eq!(tunnel.run().await.0, end);
        }
    });
}

#[test]
fn limits_come_from_the_most_exact_timeout() {
    let secs = |n: u64| Some(Duration::from_secs(n));
    let client = |client, tunnel| ClientTimeouts {
        client,
        client_fin: secs(1),
        handshake: secs(99),
        http_request: secs(99),
        http_keep_alive: secs(99),
        tarpit: None,
        tunnel,
    };
    let server = |server, tunnel| ServerTimeouts {
        connect: secs(99),
        server,
        server_fin: secs(2),
        queue: secs(99),
        tarpit: None,
        tunnel,
    };
    for (c, s, idle, blame) in [
        (client(secs(30), None), server(secs(20), None), secs(20), End::TunnelIdleServer),
        (client(secs(20), None), server(secs(30), None), secs(20), End::TunnelIdleClient),
        (client(secs(20), None), server(secs(20), None), secs(20), End::TunnelIdleClient),
        (client(None, None), server(secs(20), None), secs(20), End::TunnelIdleServer),
        (client(secs(20), None), server(None, None), secs(20), End::TunnelIdleClient),
        (client(None, None), server(None, None), None, End::TunnelIdleClient),
        (client(secs(20), secs(60)), server(secs(30), None), secs(60), End::TunnelIdleClient),
        (client(secs(20), secs(60)), server(secs(30), secs(50)), secs(50), End::TunnelIdleClient),
    ] {
        let limits = Limits::new(&c, &s);
        assert_eq!((limits.idle, limits.blame), (idle, blame), "{c:?} {s:?}");
        assert_eq!((limits.client_fin, limits.server_fin), (secs(1), secs(2)));
    }
}
