//! TLS for clients and origins of tests: a session ends here, and a plain socket pair carries what was in it.
//!
//! So that everything that works over a `TcpStream` works over TLS: one thread of the process relays between each session
//! and a loopback connection. An end with `close_notify` comes out as FIN, an end without as a reset, and a reset as a reset.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, CommonState, DigitallySignedStruct, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::DEADLINE;
use crate::certs::{Ca, Leaf};

/// What [`TlsClientOptions::versions`] may hold.
pub use rustls::version;

/// How a client does TLS. A clone shares the store of sessions, so that a second connection resumes the first.
#[derive(Clone, Debug)]
pub struct TlsClient {
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

/// What a client may be told beside the name.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsClientOptions<'a> {
    /// Who must have signed the server's certificate; `None` takes any certificate.
    pub ca: Option<&'a Ca>,
    /// Protocols to offer, best first.
    pub alpn: &'a [&'a str],
    /// A certificate of its own.
    pub identity: Option<&'a Leaf>,
    /// Only these versions; empty for all.
    pub versions: &'a [&'static SupportedProtocolVersion],
    /// No SNI is sent.
    pub no_sni: bool,
    /// Every handshake is a full one.
    pub no_resumption: bool,
}

impl TlsClient {
    /// A client that asks for `name` and takes whatever certificate comes.
    pub fn new(name: &str, alpn: &[&str]) -> TlsClient {
        TlsClient::with(name, &TlsClientOptions { alpn, ..TlsClientOptions::default() })
    }

    /// A client as told.
    ///
    /// # Panics
    /// When the name is none, or the identity does not fit together.
    pub fn with(name: &str, options: &TlsClientOptions<'_>) -> TlsClient {
        let versions = if options.versions.is_empty() { rustls::ALL_VERSIONS } else { options.versions };
        let builder =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).expect("TLS versions");
        let builder = match options.ca {
            Some(ca) => builder.with_root_certificates(roots(ca)),
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)),
        };
        let mut config = match options.identity {
            Some(leaf) => builder.with_client_auth_cert(leaf.chain(), leaf.key()).expect("a client certificate"),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = options.alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        config.enable_sni = !options.no_sni;
        if options.no_resumption {
            config.resumption = Resumption::disabled();
        }
        TlsClient { name: ServerName::try_from(name.to_owned()).expect("a server name"), config: Arc::new(config) }
    }

    /// The same client with other protocols to offer.
    #[must_use]
    pub fn offering(&self, alpn: &[&str]) -> TlsClient {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        TlsClient { name: self.name.clone(), config: Arc::new(config) }
    }

    /// Shakes hands over a connection. What comes back carries the plain bytes.
    ///
    /// # Errors
    /// What went wrong in the handshake; a `rustls::Error` is inside where it was TLS.
    pub fn connect(&self, stream: TcpStream) -> io::Result<(TcpStream, Session)> {
        let (name, config) = (self.name.clone(), Arc::clone(&self.config));
        run(async move {
            let stream = adopt(stream)?;
            let tls = TlsConnector::from(config).connect(name, stream).await?;
            let session = Session::of(tls.get_ref().1, None);
            Ok((TlsStream::from(tls), session))
        })
    }
}

/// How an origin does TLS.
#[derive(Clone, Debug)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
}

impl TlsServer {
    /// A server with this certificate that takes these protocols.
    pub fn new(leaf: &Leaf, alpn: &[&str]) -> TlsServer {
        TlsServer::with(leaf, alpn, None, &[])
    }

    /// The same that may ask clients for a certificate signed by `client_ca`, and may take fewer versions.
    ///
    /// # Panics
    /// When certificate and key do not fit together.
    pub fn with(
        leaf: &Leaf,
        alpn: &[&str],
        client_ca: Option<&Ca>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsServer {
        let versions = if versions.is_empty() { rustls::ALL_VERSIONS } else { versions };
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions).expect("TLS versions");
        let builder = match client_ca {
            Some(ca) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)), provider())
                    .build()
                    .expect("a verifier"),
            ),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(leaf.chain(), leaf.key()).expect("a server certificate");
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        TlsServer { config: Arc::new(config) }
    }

    /// Shakes hands with somebody who connected.
    ///
    /// # Errors
    /// What went wrong in the handshake.
    pub fn accept(&self, stream: TcpStream) -> io::Result<(TcpStream, Session)> {
        let config = Arc::clone(&self.config);
        run(async move {
            let stream = adopt(stream)?;
            let tls = TlsAcceptor::from(config).accept(stream).await?;
            let connection = tls.get_ref().1;
            let session = Session::of(connection, connection.server_name().map(str::to_owned));
            Ok((TlsStream::from(tls), session))
        })
    }
}

/// What a handshake agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The protocol chosen by ALPN.
    pub alpn: Option<String>,
    /// The name the client asked for; known to servers only.
    pub sni: Option<String>,
    /// The version.
    pub version: Option<ProtocolVersion>,
    /// The cipher suite, by its name.
    pub suite: String,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The peer's certificates in DER, its own first. A resumed session remembers them.
    pub peer: Vec<Vec<u8>>,
}

impl Session {
    fn of(state: &CommonState, sni: Option<String>) -> Session {
        let certificates = state.peer_certificates().unwrap_or_default();
        Session {
            alpn: state.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
            sni,
            version: state.protocol_version(),
            suite: state.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite())).unwrap_or_default(),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            peer: certificates.iter().map(|c| c.as_ref().to_vec()).collect(),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

fn roots(ca: &Ca) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der()).expect("a root certificate");
    roots
}

/// Believes every certificate, and still demands that the server holds its key.
#[derive(Debug)]
struct Anybody;

impl Anybody {
    fn algorithms() -> WebPkiSupportedAlgorithms {
        provider().signature_verification_algorithms
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &Anybody::algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &Anybody::algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Anybody::algorithms().supported_schemes()
    }
}

/// The thread that relays, with its runtime.
fn relays() -> &'static Handle {
    static HANDLE: OnceLock<Handle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let (told, tell) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let _ = told.send(runtime.handle().clone());
            runtime.block_on(std::future::pending::<()>());
        });
        tell.recv().expect("the relay thread has a runtime")
    })
}

/// Shakes hands on the relay thread, and leaves a relay there.
fn run(
    handshake: impl Future<Output = io::Result<(TlsStream<tokio::net::TcpStream>, Session)>> + Send + 'static,
) -> io::Result<(TcpStream, Session)> {
    let (told, tell) = mpsc::channel();
    relays().spawn(async move {
        let done = match tokio::time::timeout(DEADLINE, handshake).await {
            Ok(Ok((tls, session))) => pair().await.map(|(near, far)| (tls, session, near, far)),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        match done {
            Ok((tls, session, near, far)) => {
                let _ = told.send(Ok((near, session)));
                relay(tls, far).await;
            }
            Err(e) => drop(told.send(Err(e))),
        }
    });
    tell.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

fn adopt(stream: TcpStream) -> io::Result<tokio::net::TcpStream> {
    stream.set_nonblocking(true)?;
    tokio::net::TcpStream::from_std(stream)
}

/// Two ends of a loopback connection: TCP, because a Unix socket pair knows no reset.
async fn pair() -> io::Result<(TcpStream, tokio::net::TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let name: SocketAddr = near.local_addr()?;
    loop {
        // Somebody else on this machine may have connected in between.
        let (far, peer) = listener.accept()?;
        if peer == name {
            near.set_nodelay(true)?;
            near.set_write_timeout(Some(DEADLINE))?;
            far.set_nodelay(true)?;
            return Ok((near, adopt(far)?));
        }
    }
}

async fn relay(tls: TlsStream<tokio::net::TcpStream>, plain: tokio::net::TcpStream) {
    let (mut tls_read, mut tls_write) = tokio::io::split(tls);
    let (mut plain_read, mut plain_write) = plain.into_split();
    let up = async {
        match copy(&mut plain_read, &mut tls_write).await {
            // The peer takes no more, but what it said before is still to be heard; its end is near.
            Err(Failed::Writing) => Ok(false),
            other => other.map(|()| true),
        }
    };
    let done = tokio::try_join!(up, copy(&mut tls_read, &mut plain_write));
    if !matches!(done, Ok((true, ()))) {
        let plain = plain_read.reunite(plain_write).expect("both halves of one stream");
        let tls = tls_read.unsplit(tls_write);
        let _ = plain.set_zero_linger();
        let _ = tls.get_ref().0.set_zero_linger();
    }
}

/// On which side a copy failed.
#[derive(Debug)]
enum Failed {
    Reading,
    Writing,
}

async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> Result<(), Failed> {
    let mut buf = vec![0; 64 << 10];
    loop {
        let n = from.read(&mut buf).await.map_err(|_| Failed::Reading)?;
        let written = match n {
            0 => to.shutdown().await,
            n => match to.write_all(&buf[..n]).await {
                Ok(()) => to.flush().await,
                Err(e) => Err(e),
            },
        };
        written.map_err(|_| Failed::Writing)?;
        if n == 0 {
            return Ok(());
        }
    }
}
