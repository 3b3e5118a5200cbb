//! How either side ends.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;

use super::support::*;

#[tokio::test]
async fn a_peer_that_says_it_is_done_can_still_be_written_to() {
    let pki = Pki::new();
    for version in [V12, V13] {
        let (ours, mut peer) = served(pki.server(&[version]), pki.client(&[version])).await;
        peer.write(b"last words").await;
        peer.tls.send_close_notify();
        peer.flush().await.unwrap();
        assert_eq!(read_exact(&ours, 10).await, b"last words");
        let mut buf = [0; 10];
        for _ in 0..2 {
            assert_eq!(read_some(&ours, &mut buf).await.unwrap(), 0);
        }
        assert!(!ours.was_truncated());
        assert!(ours.is_readable_now());
        write_all(&ours, b"answer").await.unwrap();
        assert_eq!(peer.read_exact(6).await, b"answer");
        ours.shutdown_write().unwrap();
        assert_eq!(peer.read(&mut buf).await.unwrap(), 0);
    }
}

/// All of it in one piece: the end of the handshake, what the peer had to say, and that this was all.
#[tokio::test]
async fn a_peer_that_is_done_as_soon_as_it_may_speak() {
    let pki = Pki::new();
    for version in [V12, V13] {
        let (near, far) = tokio::net::UnixStream::pair().unwrap();
        let mut peer = Peer::client(far, pki.client(&[version]));
        let hasty = async {
            while peer.tls.is_handshaking() {
                peer.flush().await.unwrap();
                assert_ne!(peer.receive().await.unwrap(), 0);
            }
            std::io::Write::write_all(&mut peer.tls.writer(), b"last words").unwrap();
            peer.tls.send_close_notify();
            peer.flush().await.unwrap();
        };
        let (ours, ()) = tokio::join!(accept(near, pki.server(&[version])), hasty);
        let ours = ours.unwrap();
        assert_eq!(read_exact(&ours, 10).await, b"last words");
        assert_eq!(read_some(&ours, &mut [0; 10]).await.unwrap(), 0);
        write_all(&ours, b"answer").await.unwrap();
        assert_eq!(peer.read_exact(6).await, b"answer");
    }
}

#[tokio::test]
async fn we_say_that_we_are_done_and_read_on() {
    let pki = Pki::new();
    for version in [V12, V13] {
        let (ours, mut peer) = served(pki.server(&[version]), pki.client(&[version])).await;
        write_all(&ours, b"all of it").await.unwrap();
        ours.shutdown_write().unwrap();
        ours.shutdown_write().unwrap();
        assert_eq!(ours.try_write(b"more").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(peer.read_exact(9).await, b"all of it");
        assert_eq!(peer.read(&mut [0; 9]).await.unwrap(), 0);
        assert_eq!(peer.receive().await.unwrap(), 0, "FIN follows");
        peer.write(b"reply").await;
        assert_eq!(read_exact(&ours, 5).await, b"reply");
    }
}

/// A socket that is full when the stream ends: the close_notify and FIN leave while the stream is waited for.
#[tokio::test]
async fn an_end_that_does_not_fit_is_sent_later() {
    let pki = Pki::new();
    let (ours, mut peer) = served(pki.server(&[V13]), pki.client(&[V13])).await;
    let mut sent = 0;
    let body = noise(1, 16_384);
    // What was refused is offered again until the socket has taken the rest of it and nothing more.
    let fill = loop {
        match ours.try_write(&body) {
            Ok(n) => sent += n,
            Err(e) => break e,
        }
    };
    assert_eq!(fill.kind(), io::ErrorKind::WouldBlock);
    let owed = ours.inner.borrow().owed;
    let rest = async {
        if owed > 0 {
            write_all(&ours, &body[body.len() - owed..]).await.unwrap();
        }
        ours.shutdown_write().unwrap();
        // Never ready, since the peer says nothing.
        poll_fn(|cx| ours.poll_readable(cx)).await.unwrap();
    };
    let theirs = async {
        let mut got = 0;
        let mut buf = vec![0; 65_536];
        loop {
            match peer.read(&mut buf).await.unwrap() {
                0 => break,
                n => got += n,
            }
        }
        assert_eq!(peer.receive().await.unwrap(), 0, "FIN follows");
        got
    };
    let got = tokio::select! {
        biased;
        () = rest => panic!("the peer has said nothing"),
        got = theirs => got,
    };
    assert_eq!(got, sent + owed);
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_and_is_known_to_be_cut() {
    let pki = Pki::new();
    let (ours, mut peer) = served(pki.server(&[V13]), pki.client(&[V13])).await;
    peer.write(b"half").await;
    socket2::SockRef::from(&peer.socket).shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_exact(&ours, 4).await, b"half");
    assert!(!ours.was_truncated());
    assert_eq!(read_some(&ours, &mut [0; 4]).await.unwrap(), 0);
    assert!(ours.was_truncated());
    write_all(&ours, b"answer").await.unwrap();
    assert_eq!(peer.read_exact(6).await, b"answer");
}

#[tokio::test]
async fn a_stream_that_is_dropped_says_so() {
    let pki = Pki::new();
    for version in [V12, V13] {
        let (ours, mut peer) = served(pki.server(&[version]), pki.client(&[version])).await;
        write_all(&ours, b"all").await.unwrap();
        drop(ours);
        assert_eq!(peer.read_exact(3).await, b"all");
        assert_eq!(peer.read(&mut [0; 9]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_stream_that_is_to_be_reset_does_not_look_finished() {
    let pki = Pki::new();
    let (ours, mut peer) = served(pki.server(&[V13]), pki.client(&[V13])).await;
    write_all(&ours, b"half").await.unwrap();
    ours.reset_on_close();
    drop(ours);
    assert_eq!(peer.read_exact(4).await, b"half");
    let end = peer.read(&mut [0; 9]).await.unwrap_err();
    assert!(matches!(end.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{end}");
}

/// What is half written when the stream is dropped must look cut.
#[tokio::test]
async fn a_stream_dropped_in_the_middle_looks_cut() {
    let pki = Pki::new();
    let (ours, mut peer) = served(pki.server(&[V13]), pki.client(&[V13])).await;
    let body = noise(2, 65_536);
    let mut sent = 0;
    while let Ok(n) = ours.try_write(&body) {
        sent += n;
    }
    let owed = ours.inner.borrow().owed;
    assert_ne!(owed, 0, "the socket took just what was offered");
    drop(ours);
    let mut got = 0;
    let mut buf = vec![0; 65_536];
    let end = loop {
        match peer.read(&mut buf).await {
            Ok(0) => panic!("looks whole"),
            Ok(n) => got += n,
            Err(e) => break e,
        }
    };
    assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(got, sent);
}
