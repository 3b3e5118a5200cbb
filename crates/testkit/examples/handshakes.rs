//! Opens TLS connections as fast as one core can, asks for one answer on each, and reports as a line of JSON.
//!
//! The load of `benches/peers` for handshakes: `handshakes ADDR PATH --connections N --seconds N [--resume]`. Full handshakes are
//! TLS 1.3 with X25519 and AES-128-GCM; the certificate is not verified, since it is the server's cost that is measured. With
//! `--resume` every connection but the first of each client brings a ticket, and a server that does not take it is an error.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What one connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Plan {
    addr: SocketAddr,
    request: Arc<str>,
    connections: usize,
    time: Duration,
    resume: bool,
}

#[derive(Default)]
struct Tally {
    /// Microseconds from the connect to the end of the answer.
    times: Vec<u64>,
    resumed: usize,
    errors: Vec<String>,
}

fn main() -> ExitCode {
    let Some(plan) = plan(std::env::args().skip(1).collect()) else {
        eprintln!("usage: handshakes ADDR PATH [--connections N] [--seconds N] [--resume]");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let tally = Rc::new(RefCell::new(Tally::default()));
    let began = Instant::now();
    for _ in 0..plan.connections {
        local.spawn_local(client(plan.clone(), began + plan.time, Rc::clone(&tally)));
    }
    runtime.block_on(local);
    report(&tally.borrow(), began.elapsed());
    ExitCode::SUCCESS
}

fn plan(arguments: Vec<String>) -> Option<Plan> {
    let mut plan = Plan {
        addr: arguments.first()?.parse().ok()?,
        request: format!("GET {} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", arguments.get(1)?).into(),
        connections: 32,
        time: Duration::from_secs(5),
        resume: false,
    };
    let mut rest = arguments[2..].iter();
    while let Some(option) = rest.next() {
        match option.as_str() {
            "--connections" => plan.connections = rest.next()?.parse().ok()?,
            "--seconds" => plan.time = Duration::from_secs(rest.next()?.parse().ok()?),
            "--resume" => plan.resume = true,
            _ => return None,
        }
    }
    Some(plan)
}

/// One connection after the other. Each client has a store of its own, so that its tickets are its own.
async fn client(plan: Plan, end: Instant, tally: Rc<RefCell<Tally>>) {
    let connector = TlsConnector::from(Arc::new(config(plan.resume)));
    let mut first = true;
    while Instant::now() < end {
        let began = Instant::now();
        let done = tokio::time::timeout(PATIENCE, once(&plan, &connector)).await;
        let mut tally = tally.borrow_mut();
        match done {
            Ok(Ok(resumed)) if resumed || first || !plan.resume => {
                tally.times.push(began.elapsed().as_micros() as u64);
                tally.resumed += usize::from(resumed);
            }
            Ok(Ok(_)) => tally.errors.push("a ticket was not taken".to_owned()),
            Ok(Err(e)) => tally.errors.push(e.to_string()),
            Err(_) => tally.errors.push("timed out".to_owned()),
        }
        first = false;
    }
}

/// One connection with one answer; whether its session was resumed.
async fn once(plan: &Plan, connector: &TlsConnector) -> io::Result<bool> {
    let tcp = TcpStream::connect(plan.addr).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("bench.example").expect("a name");
    let mut tls = connector.connect(name, tcp).await?;
    tls.write_all(plan.request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    let mut buf = [0; 4096];
    loop {
        match tls.read(&mut buf).await {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&buf[..n]),
            // Some servers close without close_notify; the answer says by itself whether it is whole.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(e) => return Err(e),
        }
        if whole(&answer) {
            break;
        }
    }
    if !answer.starts_with(b"HTTP/1.1 200 ") || !whole(&answer) {
        return Err(io::Error::other(format!("{} bytes that are no whole 200", answer.len())));
    }
    Ok(tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed))
}

/// Whether a counted answer is complete.
fn whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|n| answer.len() >= end + 4 + n)
}

fn config(resume: bool) -> ClientConfig {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let provider = Arc::new(provider);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    if !resume {
        config.resumption = Resumption::disabled();
    }
    config
}

/// Believes everything, so that this program is faster than what it measures.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

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
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[expect(clippy::print_stdout, reason = "its standard output is what it is run for")]
fn report(tally: &Tally, elapsed: Duration) {
    let mut times = tally.times.clone();
    times.sort_unstable();
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(0);
    let line = serde_json::json!({
        "requests": times.len(),
        "seconds": elapsed.as_secs_f64(),
        "resumed": tally.resumed,
        "p50": at(0.5),
        "p99": at(0.99),
        "p999": at(0.999),
        "errors": tally.errors.len(),
        "error": tally.errors.first(),
    });
    println!("{line}");
}
