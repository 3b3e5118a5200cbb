//! Bytes both ways: whole, in order, in records as they were asked for.

use std::future::poll_fn;
use std::io::{self, IoSlice, Read};

use rustls::{CipherSuite, Connection};
use tokio::net::UnixStream;

use super::support::*;
use crate::RecordSizes;
use crate::tls::MAX_FRAGMENT;

#[tokio::test]
async fn large_transfers_both_ways_at_once_through_small_sockets() {
    let pki = Pki::new();
    for (version, suite, seed) in [
        (V13, CipherSuite::TLS13_AES_256_GCM_SHA384, 1),
        (V13, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, 2),
        (V12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 3),
        (V12, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, 4),
    ] {
        let (near, far) = UnixStream::pair().unwrap();
        narrow(&near);
        narrow(&far);
        let (client, server) =
            tokio::join!(connect(near, pki.client_with(only(suite), &[version])), accept(far, pki.server(&[version])));
        let (client, server) = (client.unwrap(), server.unwrap());
        let (up, down) = (noise(seed, 1_500_000), noise(seed + 100, 1_400_000));
        let (_, _, got_up, got_down) = tokio::join!(
            async { write_all(&client, &up).await.unwrap() },
            async { write_all(&server, &down).await.unwrap() },
            read_exact(&server, up.len()),
            read_exact(&client, down.len()),
        );
        assert!(got_up == up, "up, {suite:?}");
        assert!(got_down == down, "down, {suite:?}");
    }
}

#[tokio::test]
async fn every_way_to_cut_the_bytes_gives_the_same_bytes() {
    let pki = Pki::new();
    for seed in 0..24 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let version = if rng.bool() { V12 } else { V13 };
        let most = *rng.choice(&[1, 7, 40, 1500, 20_000]).unwrap();
        let len = (most * 1000).clamp(3000, 150_000);
        let buffer = *rng.choice(&[1, 100, 4096, 16_384, 65_536]).unwrap();
        let (near, far, wire) = chopping(seed, most);
        let mut peer = Peer::client(far, pki.client(&[version]));
        let (up, down) = (noise(seed, len), noise(!seed, len));
        let talk = async {
            let (ours, theirs) = tokio::join!(accept(near, pki.server(&[version])), peer.handshake());
            theirs.unwrap();
            let ours = ours.unwrap();
            let reading = async {
                let (mut all, mut buf) = (Vec::new(), vec![0; buffer]);
                while all.len() < len {
                    match read_some(&ours, &mut buf).await.unwrap() {
                        0 => break,
                        n => all.extend_from_slice(&buf[..n]),
                    }
                }
                all
            };
            let (got, ()) = tokio::join!(reading, peer.write(&up));
            assert!(got == up, "up, seed {seed}");
            let (sent, got) = tokio::join!(write_all(&ours, &down), peer.read_exact(len));
            sent.unwrap();
            assert!(got == down, "down, seed {seed}");
        };
        tokio::select! {
            biased;
            () = talk => {}
            () = wire => panic!("the wire broke, seed {seed}"),
        }
    }
}

#[tokio::test]
async fn a_record_larger_than_the_buffer_is_handed_out_in_pieces() {
    let pki = Pki::new();
    let (ours, mut peer) = served(pki.server(&[V13]), pki.client(&[V13])).await;
    let sent = noise(5, MAX_FRAGMENT);
    peer.write(&sent).await;
    poll_fn(|cx| ours.poll_readable(cx)).await.unwrap();
    let (mut got, mut buf) = (Vec::new(), [0; 1000]);
    for _ in 0..MAX_FRAGMENT.div_ceil(1000) {
        let n = ours.try_read(&mut buf).unwrap();
        got.extend_from_slice(&buf[..n]);
        // Whoever waits must be told of what is here already.
        if got.len() < sent.len() {
            assert!(ours.is_readable_now());
            poll_fn(|cx| ours.poll_readable(cx)).await.unwrap();
        }
    }
    assert!(got == sent);
    assert_eq!(ours.try_read(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(ours.inner.borrow().plain.capacity(), 0);
}

#[tokio::test]
async fn what_is_looked_at_stays() {
    let pki = Pki::new();
    let (ours, mut peer) = served(pki.server(&[V13]), pki.client(&[V13])).await;
    let mut buf = [0; 3];
    assert_eq!(ours.try_peek(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    peer.write(b"abcdef").await;
    poll_fn(|cx| ours.poll_readable(cx)).await.unwrap();
    assert_eq!(ours.try_peek(&mut buf).unwrap(), 3);
    assert_eq!(ours.try_peek(&mut buf).unwrap(), 3);
    assert_eq!(&buf, b"abc");
    assert_eq!(read_exact(&ours, 6).await, b"abcdef");
}

#[tokio::test]
async fn pieces_are_gathered_into_records_of_the_sizes_asked_for() {
    let pki = Pki::new();
    let mut config = pki.client(&[V13]);
    config.resumption = rustls::client::Resumption::disabled();
    let mut server = pki.server(&[V13]);
    server.send_tls13_tickets = 0;
    for (sizes, lens, expect) in [
        (RecordSizes::default(), vec![300, 40_000], vec![16_384, 16_384, 7532]),
        (RecordSizes::default(), vec![1, 0, 2, 3], vec![6]),
        (RecordSizes { most: 1000, first: 0 }, vec![999, 2, 1000], vec![1000, 1000, 1]),
        (RecordSizes { most: 16_384, first: 1400 }, vec![2800, 100], vec![1400, 1400, 100]),
    ] {
        let (ours, mut peer) = served(server.clone(), config.clone()).await;
        ours.set_record_sizes(sizes);
        let all = noise(6, lens.iter().sum());
        let mut parts = Vec::new();
        let mut rest = &all[..];
        for len in &lens {
            let (part, more) = rest.split_at(*len);
            parts.push(IoSlice::new(part));
            rest = more;
        }
        assert_eq!(ours.try_send(&parts, false).unwrap(), all.len());
        let wire = peer_bytes(&peer.socket, expect.iter().map(|n| n + 22).sum()).await;
        assert_eq!(payloads(&wire), expect, "{sizes:?}");
        assert!(decrypted(&mut peer, &wire) == all);
    }
}

#[tokio::test]
async fn records_grow_after_the_first_and_shrink_after_a_pause() {
    let pki = Pki::new();
    let mut server = pki.server(&[V13]);
    server.send_tls13_tickets = 0;
    let (ours, mut peer) = served(server, pki.client(&[V13])).await;
    ours.set_record_sizes(RecordSizes { most: 16_384, first: 1000 });
    let body = noise(7, 32 * 1000 + 16_384);
    assert_eq!(ours.try_write(&body).unwrap(), body.len());
    let wire = peer_bytes(&peer.socket, body.len() + 33 * 22).await;
    let expect = [vec![1000; 32], vec![16_384]].concat();
    assert_eq!(payloads(&wire), expect);
    ours.was_idle();
    assert_eq!(ours.try_write(&body[..1500]).unwrap(), 1500);
    let more = peer_bytes(&peer.socket, 1500 + 2 * 22).await;
    assert_eq!(payloads(&more), [1000, 500]);
    assert!(decrypted(&mut peer, &wire) == body);
}

/// After `WouldBlock` the ciphertext is kept, and the same bytes are counted when it has left, in whatever pieces they come.
#[tokio::test]
async fn a_write_that_was_refused_is_finished_by_the_next_ones() {
    let pki = Pki::new();
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (ours, mut peer) = served(pki.server(&[V13]), pki.client(&[V13])).await;
        socket2::SockRef::from(socket_of(&ours)).set_send_buffer_size(1).unwrap();
        let all = noise(seed, 400_000);
        let writing = async {
            let mut rest = &all[..];
            while !rest.is_empty() {
                let offered = rng.usize(1..=rest.len().min(100_000));
                match ours.try_write(&rest[..offered]) {
                    Ok(n) => {
                        assert!((1..=offered).contains(&n), "seed {seed}");
                        rest = &rest[n..];
                    }
                    Err(e) => {
                        assert_eq!(e.kind(), io::ErrorKind::WouldBlock, "seed {seed}");
                        poll_fn(|cx| ours.poll_writable(cx)).await.unwrap();
                    }
                }
            }
            poll_fn(|cx| ours.poll_flush(cx)).await.unwrap();
        };
        let ((), got) = tokio::join!(writing, peer.read_exact(all.len()));
        assert!(got == all, "seed {seed}");
        assert_eq!(ours.inner.borrow().out.capacity(), 0);
    }
}

#[tokio::test]
async fn key_updates_are_followed_and_answered() {
    let pki = Pki::new();
    let (ours, mut peer) = served(pki.server(&[V13]), pki.client(&[V13])).await;
    for round in 0..50 {
        let Connection::Client(tls) = &mut peer.tls else { panic!("a client") };
        tls.refresh_traffic_keys().unwrap();
        let sent = noise(round, 50_000);
        let (got, ()) = tokio::join!(read_exact(&ours, sent.len()), peer.write(&sent));
        assert!(got == sent, "round {round}");
        write_all(&ours, &sent).await.unwrap();
        assert!(peer.read_exact(sent.len()).await == sent, "round {round}");
    }
}

#[tokio::test]
async fn tickets_do_not_make_an_idle_connection_readable() {
    let pki = Pki::new();
    let (ours, mut peer) = dialled(pki.server(&[V13]), pki.client(&[V13])).await;
    // The peer's tickets are here or on their way; the runtime is asked until it has seen them.
    poll_fn(|cx| ours.socket().poll_readable(cx)).await.unwrap();
    assert!(!ours.is_readable_now());
    assert!(!ours.is_readable_now());
    assert!(!ours.common(|c| c.is_handshaking()));
    assert_eq!(ours.inner.borrow().tail.capacity(), 0);
    peer.write(b"x").await;
    poll_fn(|cx| ours.socket().poll_readable(cx)).await.unwrap();
    assert!(ours.is_readable_now());
    assert_eq!(read_exact(&ours, 1).await, b"x");
    assert!(!ours.is_readable_now());
    drop(peer);
    poll_fn(|cx| ours.socket().poll_readable(cx)).await.unwrap();
    assert!(ours.is_readable_now());
}

fn socket_of(stream: &crate::TlsStream) -> &UnixStream {
    match stream.socket() {
        crate::Socket::Unix(socket) => socket,
        crate::Socket::Tcp(_) => panic!("a Unix socket"),
    }
}

/// Takes exactly `len` bytes off the peer's socket.
async fn peer_bytes(socket: &UnixStream, len: usize) -> Vec<u8> {
    let (mut all, mut at) = (vec![0; len], 0);
    while at < len {
        socket.readable().await.unwrap();
        match socket.try_read(&mut all[at..]) {
            Ok(0) => panic!("ended after {at} of {len} bytes"),
            Ok(n) => at += n,
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
        }
    }
    all
}

/// What the peer reads out of the bytes.
fn decrypted(peer: &mut Peer, mut wire: &[u8]) -> Vec<u8> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 16_384]);
    while !wire.is_empty() {
        peer.tls.read_tls(&mut wire).unwrap();
        peer.tls.process_new_packets().unwrap();
        while let Ok(n @ 1..) = peer.tls.reader().read(&mut buf) {
            all.extend_from_slice(&buf[..n]);
        }
    }
    all
}

/// Lengths of what the records of TLS 1.3 carry.
fn payloads(mut wire: &[u8]) -> Vec<usize> {
    let mut all = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = wire {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        all.push(len - 17);
        wire = &rest[len..];
    }
    all
}
