//! Peers that break the protocol, or use it to make us work.

use std::future::poll_fn;
use std::io;

use rustls::{AlertDescription, CipherSuite, Error, PeerMisbehaved};

use super::support::*;
use crate::{SessionError, TlsStream};

/// Our server, and a client whose records are forged.
async fn forged() -> (TlsStream, Forger) {
    let pki = Pki::new();
    let mut client = pki.client_with(only(CipherSuite::TLS13_AES_256_GCM_SHA384), &[V13]);
    client.enable_secret_extraction = true;
    let mut server = pki.server(&[V13]);
    server.send_tls13_tickets = 0;
    let (ours, peer) = served(server, client).await;
    (ours, Forger::new(peer))
}

fn why(error: &io::Error) -> Error {
    error.get_ref().and_then(|e| e.downcast_ref::<SessionError>()).expect("an error of the session").0.clone()
}

/// KeyUpdate without a request for ours (RFC 8446 §4.6.3).
const UPDATE: &[u8] = &[24, 0, 0, 1, 0];

#[tokio::test]
async fn an_alert_is_an_error_with_its_name() {
    let (ours, mut peer) = forged().await;
    peer.send(DATA, b"data").await;
    peer.send(ALERT, &[2, 20]).await;
    assert_eq!(read_exact(&ours, 4).await, b"data");
    for _ in 0..2 {
        let error = read_some(&ours, &mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(why(&error), Error::AlertReceived(AlertDescription::BadRecordMac));
    }
    assert_eq!(why(&ours.try_write(b"x").unwrap_err()), Error::AlertReceived(AlertDescription::BadRecordMac));
    assert!(ours.is_readable_now());
}

#[tokio::test]
async fn garbage_is_answered_with_an_alert() {
    let pki = Pki::new();
    for garbage in [
        b"\x17\x03\x03\x00\x20 0123456789abcdef0123456789abcdef".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x17\x03\x03\xff\xff".to_vec(),
        noise(9, 5000),
    ] {
        let (ours, mut peer) = served(pki.server(&[V13]), pki.client(&[V13])).await;
        peer.socket.try_write(&garbage).unwrap();
        let error = read_some(&ours, &mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let told = loop {
            match peer.receive().await {
                Ok(n) => assert_ne!(n, 0, "no alert"),
                Err(e) => break e.to_string(),
            }
        };
        assert!(told.contains("fatal alert"), "{told}");
    }
}

/// rustls wants to see the pieces of a handshake message again, where they are, also when only a write is made.
#[tokio::test]
async fn a_key_update_in_pieces_around_our_writes() {
    for at in 1..UPDATE.len() {
        let (ours, mut peer) = forged().await;
        peer.send(DATA, b"before").await;
        assert_eq!(read_exact(&ours, 6).await, b"before");
        peer.send(HANDSHAKE, &UPDATE[..at]).await;
        poll_once(&ours).await;
        write_all(&ours, b"in between").await.unwrap();
        assert!(!ours.is_readable_now());
        // Half of a record behind the piece of a message.
        let record = peer.record(HANDSHAKE, &UPDATE[at..]);
        peer.raw(&record[..7]).await;
        poll_once(&ours).await;
        write_all(&ours, b"still").await.unwrap();
        peer.raw(&record[7..]).await;
        poll_once(&ours).await;
        write_all(&ours, b"and again").await.unwrap();
        // The forger's keys are the old ones now.
        peer.send(DATA, b"after").await;
        let error = read_some(&ours, &mut [0; 5]).await.unwrap_err();
        assert_eq!(why(&error), Error::DecryptError, "cut at {at}");
    }
}

/// A stream that ends inside a handshake message can still be written to, closed and dropped.
#[tokio::test]
async fn an_end_inside_a_handshake_message() {
    let (ours, mut peer) = forged().await;
    peer.send(HANDSHAKE, &UPDATE[..2]).await;
    poll_once(&ours).await;
    socket2::SockRef::from(&peer.socket).shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_some(&ours, &mut [0; 4]).await.unwrap(), 0);
    assert!(ours.was_truncated());
    write_all(&ours, b"answer").await.unwrap();
    ours.shutdown_write().unwrap();
}

#[tokio::test]
async fn data_inside_a_handshake_message_is_refused() {
    let (ours, mut peer) = forged().await;
    peer.send(HANDSHAKE, &UPDATE[..2]).await;
    peer.send(DATA, b"data").await;
    let error = read_some(&ours, &mut [0; 4]).await.unwrap_err();
    assert_eq!(why(&error), Error::PeerMisbehaved(PeerMisbehaved::MessageInterleavedWithHandshakeMessage));
}

#[tokio::test]
async fn a_handshake_message_without_end_is_refused_before_it_costs_much() {
    let (ours, mut peer) = forged().await;
    // A message of 64 KiB less one byte, one byte to a record.
    peer.send(HANDSHAKE, &[24, 0, 0xff, 0xff]).await;
    let mut most = 0;
    let error = loop {
        let mut flood = Vec::new();
        for _ in 0..500 {
            flood.extend(peer.record(HANDSHAKE, &[0]));
        }
        peer.raw(&flood).await;
        match ours.try_read(&mut [0; 4]) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|cx| ours.poll_readable(cx)).await.unwrap();
            }
            Err(e) => break e,
            Ok(n) => panic!("{n} bytes of nothing"),
        }
        most = most.max(ours.inner.borrow().tail.capacity());
    };
    assert!(matches!(why(&error), Error::PeerMisbehaved(_) | Error::InvalidMessage(_)), "{error}");
    assert!(most <= 160 * 1024, "held {most} bytes");
}

#[tokio::test]
async fn warnings_and_empty_records_are_borne_for_a_while_only() {
    for (kind, content) in [(ALERT, &[1, 90][..]), (DATA, b"")] {
        let (ours, mut peer) = forged().await;
        let mut borne = 0;
        let error = loop {
            peer.send(kind, content).await;
            poll_fn(|cx| ours.socket().poll_readable(cx)).await.unwrap();
            match ours.try_read(&mut [0; 4]) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => borne += 1,
                Err(e) => break e,
                Ok(n) => panic!("{n} bytes of nothing"),
            }
            assert!(borne < 200);
        };
        assert!(matches!(why(&error), Error::PeerMisbehaved(_)), "{error}");
    }
}

/// Empty records between data keep under rustls's own limit, which counts those in a row.
#[tokio::test]
async fn a_peer_that_sends_nothing_most_of_the_time_is_refused() {
    let (ours, mut peer) = forged().await;
    let mut rounds = 0;
    let error = loop {
        for _ in 0..30 {
            peer.send(DATA, b"").await;
        }
        peer.send(DATA, b"x").await;
        match read_some(&ours, &mut [0; 4]).await {
            Ok(n) => assert_eq!(n, 1),
            Err(e) => break e,
        }
        rounds += 1;
        assert!(rounds < 10);
    };
    assert!(matches!(why(&error), Error::PeerMisbehaved(_)), "{error}");
}

/// Reads once, where nothing is expected to come out.
async fn poll_once(stream: &TlsStream) {
    poll_fn(|cx| stream.socket().poll_readable(cx)).await.unwrap();
    let error = stream.try_read(&mut [0; 100]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}
