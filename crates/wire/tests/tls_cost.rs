//! What a session costs: heap while it is idle, allocations for each record. The file has its own allocator, so it holds one
//! test. What aws-lc allocates by itself is not seen.
#![allow(clippy::unwrap_used, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::sync::Arc;

use evenkeel_wire::{HelloRead, Socket, TlsStream, poll_hello};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use tokio::net::UnixStream;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(calls: usize, bytes: isize) {
    // A thread that is ending has no counters any more, and nothing to count.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + calls));
    let _ = LIVE.try_with(|n| n.set(n.get() + bytes));
}

// SAFETY: every call goes to `System` with what was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size().cast_signed());
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(1, new_size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's contract is the same.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(0, -layout.size().cast_signed());
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A client at the other end.
struct Peer {
    socket: UnixStream,
    tls: ClientConnection,
}

struct Io<'a>(&'a UnixStream);

impl Read for Io<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Io<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Peer {
    async fn flush(&mut self) {
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut Io(&self.socket)).is_err() {
                self.socket.writable().await.unwrap();
            }
        }
    }

    async fn receive(&mut self) {
        while self.tls.read_tls(&mut Io(&self.socket)).is_err() {
            self.socket.readable().await.unwrap();
        }
        self.tls.process_new_packets().unwrap();
    }

    async fn handshake(&mut self) {
        while self.tls.is_handshaking() {
            self.flush().await;
            self.receive().await;
        }
        self.flush().await;
    }

    async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = self.tls.writer().write(bytes).unwrap();
            bytes = &bytes[n..];
            self.flush().await;
        }
    }

    async fn read(&mut self, len: usize) {
        let mut buf = vec![0; len];
        let mut at = 0;
        while at < len {
            match self.tls.reader().read(&mut buf[at..]) {
                Ok(n) => at += n,
                Err(_) => self.receive().await,
            }
        }
    }
}

async fn accept(socket: UnixStream, config: Arc<ServerConfig>) -> Box<TlsStream> {
    let socket = Socket::from(socket);
    let mut first = Vec::new();
    assert_eq!(poll_fn(|cx| poll_hello(&socket, cx, &mut first, 16_384)).await.unwrap(), HelloRead::Whole);
    let stream = Box::new(TlsStream::accept(socket, first, config).unwrap());
    poll_fn(|cx| stream.poll_handshake(cx)).await.unwrap();
    stream
}

/// Reads what is there, once; how many allocations that took.
async fn read(stream: &TlsStream, buf: &mut [u8], len: usize) -> usize {
    poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
    let before = ALLOCATIONS.get();
    assert_eq!(stream.try_read(buf).unwrap(), len);
    ALLOCATIONS.get() - before
}

fn write(stream: &TlsStream, bytes: &[u8]) -> usize {
    let before = ALLOCATIONS.get();
    assert_eq!(stream.try_write(bytes).unwrap(), bytes.len());
    ALLOCATIONS.get() - before
}

#[tokio::test]
async fn sessions_are_lean() {
    let made = rcgen::generate_simple_self_signed(["wire.test".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.clone_key())
            .unwrap();
        server.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        let server = Arc::new(server);
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let (near, far) = UnixStream::pair().unwrap();
        let tls = ClientConnection::new(Arc::new(client), ServerName::try_from("wire.test").unwrap()).unwrap();
        let mut peer = Peer { socket: far, tls };
        let (stream, ()) = tokio::join!(accept(near, server.clone()), peer.handshake());

        let body = vec![7; 65_536];
        let mut buf = vec![0; 65_536];
        for round in 0..4 {
            // The first time buffers of the thread and queues of rustls come to be.
            let limit = if round == 0 { usize::MAX } else { 1 };
            peer.write(&body[..500]).await;
            let read_small = read(&stream, &mut buf, 500).await;
            assert!(read_small <= limit, "{read_small} allocations to read a small record, {version:?}");
            let written = write(&stream, &body[..500]);
            assert!(written <= limit, "{written} allocations to write a small record, {version:?}");
            peer.read(500).await;

            let limit = if round == 0 { usize::MAX } else { 4 };
            peer.write(&body).await;
            let read_large = read(&stream, &mut buf, 65_536).await;
            assert!(read_large <= limit, "{read_large} allocations to read four records, {version:?}");
            let written = write(&stream, &body);
            assert!(written <= limit, "{written} allocations to write four records, {version:?}");
            peer.read(65_536).await;
        }
        assert!(!stream.is_readable_now());

        let before = LIVE.get();
        drop(stream);
        let held = before - LIVE.get();
        println!("{:?}: {held} bytes of heap, {} of them the stream", version.version, size_of::<TlsStream>());
        assert!(held <= 8 * 1024, "an idle session holds {held} bytes, {version:?}");
        assert!(held >= size_of::<TlsStream>().cast_signed());
    }
}
