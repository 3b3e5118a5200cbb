//! The other end of a session: rustls's buffered connection, a wire that cuts bytes as it likes, and a forger of records.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, Connection, ConnectionTrafficSecrets, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion, crypto::CryptoProvider,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::{HandshakeError, HelloRead, Socket, TlsStream, poll_hello};

pub(super) const NAME: &str = "wire.test";
pub(super) const V12: &SupportedProtocolVersion = &rustls::version::TLS12;
pub(super) const V13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// A certificate and the configurations that use and trust it.
pub(super) struct Pki {
    pub(super) cert: CertificateDer<'static>,
    key: Vec<u8>,
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Offers one suite only.
pub(super) fn only(suite: CipherSuite) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|s| s.suite() == suite);
    Arc::new(provider)
}

impl Pki {
    pub(super) fn new() -> Pki {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        Pki { cert: made.cert.der().clone(), key: made.signing_key.serialize_der() }
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }

    pub(super) fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.cert.clone()], self.key())
            .unwrap();
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        config
    }

    pub(super) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        self.client_with(provider(), versions)
    }

    pub(super) fn client_with(
        &self,
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.cert.clone()).unwrap();
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

pub(super) fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).unwrap()
}

/// Our server end: reads the hello as a frontend does.
pub(super) async fn accept(socket: impl Into<Socket>, config: ServerConfig) -> Result<TlsStream, HandshakeError> {
    let socket = socket.into();
    let mut first = Vec::new();
    let read = poll_fn(|cx| poll_hello(&socket, cx, &mut first, 32 * 1024)).await?;
    assert_eq!(read, HelloRead::Whole);
    let stream = TlsStream::accept(socket, first, Arc::new(config))?;
    poll_fn(|cx| stream.poll_handshake(cx)).await?;
    Ok(stream)
}

/// Our client end.
pub(super) async fn connect(
    socket: impl Into<Socket>,
    config: impl Into<Arc<ClientConfig>>,
) -> Result<TlsStream, HandshakeError> {
    let session = UnbufferedClientConnection::new(config.into(), name()).unwrap();
    let stream = TlsStream::connect(socket.into(), session);
    poll_fn(|cx| stream.poll_handshake(cx)).await?;
    // The Finished of TLS 1.3 may wait for a write, and the other end waits for it.
    poll_fn(|cx| stream.poll_flush(cx)).await?;
    Ok(stream)
}

pub(super) async fn read_some(stream: &TlsStream, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.try_read(buf) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => poll_fn(|cx| stream.poll_readable(cx)).await?,
            other => return other,
        }
    }
}

pub(super) async fn read_exact(stream: &TlsStream, len: usize) -> Vec<u8> {
    let (mut all, mut at) = (vec![0; len], 0);
    while at < len {
        let n = read_some(stream, &mut all[at..]).await.unwrap();
        assert_ne!(n, 0, "ended after {at} of {len} bytes");
        at += n;
    }
    all
}

pub(super) async fn write_all(stream: &TlsStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => poll_fn(|cx| stream.poll_writable(cx)).await?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// rustls as it is meant to be used, at the other end.
pub(super) struct Peer {
    pub(super) socket: UnixStream,
    pub(super) tls: Connection,
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

fn blocked<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
}

impl Peer {
    pub(super) fn client(socket: UnixStream, config: impl Into<Arc<ClientConfig>>) -> Peer {
        Peer { socket, tls: ClientConnection::new(config.into(), name()).unwrap().into() }
    }

    pub(super) fn server(socket: UnixStream, config: ServerConfig) -> Peer {
        Peer { socket, tls: ServerConnection::new(Arc::new(config)).unwrap().into() }
    }

    pub(super) async fn handshake(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() {
            self.flush().await?;
            if self.tls.is_handshaking() && self.receive().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.flush().await
    }

    /// Sends what the session has ready.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            let sent = self.tls.write_tls(&mut Io(&self.socket));
            if blocked(&sent) {
                self.socket.writable().await?;
            } else {
                sent?;
            }
        }
        Ok(())
    }

    /// Receives once and processes it; 0 at the end of the socket.
    pub(super) async fn receive(&mut self) -> io::Result<usize> {
        loop {
            let got = self.tls.read_tls(&mut Io(&self.socket));
            if blocked(&got) {
                self.socket.readable().await?;
                continue;
            }
            let got = got?;
            let done = self.tls.process_new_packets();
            if let Err(e) = done {
                // Our side may be gone, having said why.
                let _ = self.flush().await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, e));
            }
            return Ok(got);
        }
    }

    pub(super) async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = self.tls.writer().write(bytes).unwrap();
            bytes = &bytes[n..];
            self.flush().await.unwrap();
        }
    }

    /// Reads some plaintext; 0 after a close_notify, `UnexpectedEof` when the socket ends without one.
    pub(super) async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let got = self.tls.reader().read(buf);
            if !blocked(&got) {
                return got;
            }
            self.receive().await?;
        }
    }

    pub(super) async fn read_exact(&mut self, len: usize) -> Vec<u8> {
        let (mut all, mut at) = (vec![0; len], 0);
        while at < len {
            let n = self.read(&mut all[at..]).await.unwrap();
            assert_ne!(n, 0, "ended after {at} of {len} bytes");
            at += n;
        }
        all
    }
}

/// The peer's side of our server's session.
pub(super) async fn served(server: ServerConfig, client: impl Into<Arc<ClientConfig>>) -> (TlsStream, Peer) {
    let (near, far) = UnixStream::pair().unwrap();
    let mut peer = Peer::client(far, client);
    let (ours, theirs) = tokio::join!(accept(near, server), peer.handshake());
    theirs.unwrap();
    (ours.unwrap(), peer)
}

/// The peer's side of our client's session.
pub(super) async fn dialled(server: ServerConfig, client: impl Into<Arc<ClientConfig>>) -> (TlsStream, Peer) {
    let (near, far) = UnixStream::pair().unwrap();
    let mut peer = Peer::server(far, server);
    let (ours, theirs) = tokio::join!(connect(near, client), peer.handshake());
    theirs.unwrap();
    (ours.unwrap(), peer)
}

/// A wire between the two sockets returned, which cuts what it carries into pieces of 1 to `most` bytes. It works while its
/// future is polled, and forwards ends.
pub(super) fn chopping(seed: u64, most: usize) -> (UnixStream, UnixStream, impl Future<Output = ()>) {
    let (a, near) = UnixStream::pair().unwrap();
    let (far, b) = UnixStream::pair().unwrap();
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let wire = async move {
        tokio::join!(chop(near_in, far_out, seed, most), chop(far_in, near_out, seed + 1, most));
    };
    (a, b, wire)
}

async fn chop(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, seed: u64, most: usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut buf = vec![0; 32 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buf).await {
        let mut rest = &buf[..n];
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rng.usize(1..=most).min(rest.len()));
            rest = more;
            if to.write_all(piece).await.is_err() {
                return;
            }
            // The reader's turn, so that it sees the piece alone.
            tokio::task::yield_now().await;
        }
    }
    let _ = to.shutdown().await;
}

/// Makes both buffers of a socket as small as the kernel lets them be.
pub(super) fn narrow(socket: &UnixStream) {
    let socket = socket2::SockRef::from(socket);
    socket.set_send_buffer_size(1).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
}

/// Bytes that repeat nowhere near.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut all = vec![0; len];
    rng.fill(&mut all);
    all
}

/// Makes records of any kind with the keys of a peer, which is used up (RFC 8446 §5.2).
pub(super) struct Forger {
    pub(super) socket: UnixStream,
    key: LessSafeKey,
    iv: Vec<u8>,
    number: u64,
}

pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const DATA: u8 = 23;

impl Forger {
    /// The peer's configuration must let its secrets out, and its suite must be the one with AES-256-GCM of TLS 1.3.
    pub(super) fn new(peer: Peer) -> Forger {
        let secrets = match peer.tls {
            Connection::Client(tls) => tls.dangerous_extract_secrets().unwrap(),
            Connection::Server(tls) => tls.dangerous_extract_secrets().unwrap(),
        };
        let (number, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else { panic!("other suite") };
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
        Forger { socket: peer.socket, key, iv: iv.as_ref().to_vec(), number }
    }

    pub(super) fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&self.iv);
        for (n, s) in nonce[4..].iter_mut().zip(self.number.to_be_bytes()) {
            *n ^= s;
        }
        self.number += 1;
        let mut body = [content, &[kind]].concat();
        let len = u16::try_from(body.len() + 16).unwrap().to_be_bytes();
        let head = [23, 3, 3, len[0], len[1]];
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(head), &mut body).unwrap();
        [&head[..], &body].concat()
    }

    pub(super) async fn send(&mut self, kind: u8, content: &[u8]) {
        let record = self.record(kind, content);
        self.raw(&record).await;
    }

    pub(super) async fn raw(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.socket.writable().await.unwrap();
            match self.socket.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }
}
