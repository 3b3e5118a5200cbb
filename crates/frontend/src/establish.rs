//! What a connection goes through before its protocol: a PROXY header, the TLS handshake, the rules on sessions.
//!
//! Called by conn where one of the first two is asked for, in a task of its own; then by protocol, which ALPN or
//! `proto` decides. Bounded by `timeout.handshake` as a whole. Never: a certificate that is chosen by anything but the
//! ClientHello, which is read first and by our own parser.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evenkeel_acl::count;
use evenkeel_config::{Mode, Proto, SslTune};
use evenkeel_proto::hello::{ClientHello, Hello, MAX_HELLO_BYTES};
use evenkeel_tls::facts::{self, Seen};
use evenkeel_tls::verify;
use evenkeel_tls::{Refused, Terminator};
use evenkeel_wire::{HelloRead, RecordSizes, Stream, TlsStream, poll_hello};

use rustls::HandshakeKind;
use rustls::pki_types::UnixTime;

use crate::clock;
use crate::conn::Conn;
use crate::end::End;
use crate::reply::Answer;
use crate::snapshot::Entrance;
use crate::state::Process;
use crate::timer::{Expired, within};
use crate::worker::Local;
use crate::{admit, arrival, h1, h2, proxied, tcp};

/// How often a connection looks whether a limit on TLS has room for it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Serves a connection to its end; `expects_proxy`: it begins with a PROXY header.
pub(crate) async fn serve(mut conn: Conn, expects_proxy: bool) {
    let ready = Box::pin(ready(&mut conn, expects_proxy)).await;
    let (mode, proto) = match ready {
        Ok(found) => found,
        Err(end) => return arrival::broke(&mut conn, end),
    };
    match (mode, proto) {
        (Mode::Tcp, _) => Box::pin(tcp::serve(conn)).await,
        (Mode::Http, Some(Proto::H2)) => Box::pin(h2::serve(conn)).await,
        (Mode::Http, _) => h1::serve(conn).await,
    }
}

/// Makes the connection ready for its protocol, and says which one that is.
async fn ready(conn: &mut Conn, expects_proxy: bool) -> Result<(Mode, Option<Proto>), End> {
    let worker = conn.admission.worker.clone();
    let local = conn.admission.listening.local(&worker);
    let at = conn.admission.listening.entrance(&local.snapshot).ok_or(End::Internal)?;
    let entrance = local.snapshot.frontends[at].clone();
    let terminator = entrance.terminator(&conn.admission.listening.bind.conf).cloned();
    let mut proto = conn.admission.listening.bind.conf.proto;
    if expects_proxy {
        introduced(conn, &entrance).await?;
    }
    let bind = &conn.admission.listening.bind.conf;
    if terminator.is_none() && bind.tls.is_some() && !entrance.has(bind) {
        // The bind is gone, its certificates with it: what it still had to accept must not be served in the clear.
        return Err(End::TlsInternal);
    }
    if let Some(terminator) = terminator {
        let spoken = secure(conn, &terminator, &local, &entrance).await?;
        proto = proto.or(spoken);
    }
    if entrance.has_rules {
        if let Err(refused) = admit::session(&worker, &local.snapshot, &entrance, &mut conn.session) {
            refused.count(entrance.state.sheet.shard(worker.id));
            refused.close(&conn.stream);
            return Err(End::Rejected);
        }
        if !conn.session.tracks.is_empty() {
            count::on_session(&conn.session, worker.now_ms());
        }
    }
    conn.rested = clock::now();
    conn.handshake = conn.rested.saturating_duration_since(conn.accepted).as_millis() as i64;
    Ok((entrance.conf.mode, proto))
}

/// The PROXY header. Who may not send one is not listened to.
async fn introduced(conn: &mut Conn, entrance: &Entrance) -> Result<(), End> {
    let bind = &conn.admission.listening.bind.conf;
    if bind.accept_proxy.as_ref().is_some_and(|accept| !proxied::is_trusted(accept, conn.session.real.0)) {
        return Err(End::ProxySourceUntrusted);
    }
    let limit = entrance.conf.timeout.handshake.or(entrance.conf.timeout.client);
    let Stream::Plain(socket) = &conn.stream else { return Err(End::Internal) };
    let received = proxied::read(socket, &mut conn.timer, conn.accepted, limit).await?;
    received.apply(&mut conn.session);
    Ok(())
}

/// The TLS handshake; what ALPN agreed on.
async fn secure(
    conn: &mut Conn,
    terminator: &Arc<Terminator>,
    local: &Local,
    entrance: &Entrance,
) -> Result<Option<Proto>, End> {
    let worker = conn.admission.worker.clone();
    let limit = entrance.conf.timeout.handshake.or(entrance.conf.timeout.client);
    let accepted = conn.accepted;
    conn.secured = Some(room(conn, local, limit).await?);
    let Stream::Plain(socket) = std::mem::replace(&mut conn.stream, Stream::Lent) else { return Err(End::Internal) };
    let mut first = Vec::new();
    let read =
        within(&mut conn.timer, accepted, limit, poll_fn(|cx| poll_hello(&socket, cx, &mut first, MAX_HELLO_BYTES)));
    let refused = match read.await {
        Ok(Ok(HelloRead::Whole)) => None,
        Ok(Ok(HelloRead::NotTls)) if is_http(&first) => Some(End::TlsPlainHttp),
        Ok(Ok(HelloRead::NotTls)) => Some(End::TlsNotTls),
        Ok(Ok(HelloRead::TooLong)) => Some(End::TlsProtocol),
        Ok(Ok(HelloRead::Closed) | Err(_)) if first.is_empty() => Some(End::ClientClosedSilently),
        Ok(Ok(HelloRead::Closed) | Err(_)) => Some(End::TlsClientClosed),
        Err(Expired) if first.is_empty() => Some(End::ClientSilent),
        Err(Expired) => Some(End::TlsTimeout),
    };
    if let Some(end) = refused {
        if end == End::TlsPlainHttp {
            // Said in the clear, since the client would not understand anything else; it has not been promised otherwise.
            let mut out = Vec::new();
            Answer { body: Some(PLAIN_HTTP), ..Answer::error(400) }.write(&mut out);
            let _ = socket.try_write(&out);
        }
        return Err(end);
    }
    let tune = &local.snapshot.config.global.tune.ssl;
    // Whoever reads the key log finds a connection by what its client said.
    let capture = tune.capture || tune.keylog;
    let (chosen, seen) = {
        let Hello::Whole(hello) = Hello::read(&first) else { return Err(End::TlsProtocol) };
        let chosen = terminator.choose(&hello);
        (chosen, HelloFacts::of(&hello, &first, capture))
    };
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(Refused::UnknownName | Refused::NoName) => {
            let _ = socket.try_write(&Refused::ALERT);
            return Err(End::TlsUnknownName);
        }
    };
    let tls = TlsStream::accept(socket, first, chosen.config.clone()).map_err(|_| End::TlsInternal)?;
    let mut outcome = verify::Outcome::default();
    let shake = poll_fn(|cx| {
        let shaken = tls.poll_handshake(cx);
        // The verifier leaves its word with the thread; the next connection would take it.
        let found = verify::take_outcome();
        if found != verify::Outcome::default() {
            outcome = found;
        }
        shaken
    });
    let done = within(&mut conn.timer, accepted, limit, shake).await;
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(End::client_handshake(&error)),
        Err(Expired) => return Err(End::TlsTimeout),
    }
    let over_h2 = tls.alpn().as_deref() == Some(b"h2");
    if tls.is_early() && over_h2 {
        // A stream does not know the state of its connection: what may be a replay is not begun on HTTP/2.
        let done = within(&mut conn.timer, accepted, limit, poll_fn(|cx| tls.poll_handshake_done(cx))).await;
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(End::client_handshake(&error)),
            Err(Expired) => return Err(End::TlsTimeout),
        }
    }
    let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
    if let Some(verifier) = chosen.client.as_ref().filter(|_| resumed) {
        // What a session was let in with holds, and is looked at again so that rules see it as it is now.
        let now =
            UnixTime::since_unix_epoch(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        outcome = tls.common(|common| verifier.again(common.peer_certificates().unwrap_or_default(), now));
    }
    let tune = &local.snapshot.config.global.tune.ssl;
    tls.set_record_sizes(record_sizes(tune));
    let facts = tls.common(|common| {
        facts::of_server(
            common,
            Seen {
                sni: seen.sni.as_deref(),
                outcome,
                own: Some(chosen.cert.facts().clone()),
                session_id: &seen.session_id,
                hello: seen.records.as_deref(),
                early: tls.is_early(),
            },
        )
    });
    let sheet = entrance.state.sheet.shard(worker.id);
    sheet.tls_handshakes.inc();
    if facts.resumed {
        sheet.tls_resumed.inc();
    }
    let proto = match facts.alpn.as_deref() {
        Some(b"h2") => Some(Proto::H2),
        Some(_) => Some(Proto::H1),
        None => None,
    };
    conn.session.tls = Some(Arc::new(facts));
    conn.stream = tls.into();
    clock::stale();
    Ok(proto)
}

fn record_sizes(tune: &SslTune) -> RecordSizes {
    let size = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX);
    let full = RecordSizes::default();
    RecordSizes {
        most: if tune.hard_max_record == 0 { full.most } else { size(tune.hard_max_record) },
        first: size(tune.max_record),
    }
}

/// What is said to a client that speaks plain HTTP here.
const PLAIN_HTTP: &[u8] =
    b"<html><body><h1>400 Bad Request</h1>\nThis port speaks HTTPS: write https:// in the address.\n</body></html>\n";

/// Whether the first bytes look like a request of HTTP/1.
fn is_http(bytes: &[u8]) -> bool {
    let method = bytes.iter().take_while(|b| b.is_ascii_uppercase()).count();
    (3..=16).contains(&method) && matches!(bytes.get(method..), Some([b' ', b'/' | b'*' | b'h' | b'H', ..]))
}

/// What is kept of a ClientHello beyond the handshake.
struct HelloFacts {
    sni: Option<String>,
    session_id: Vec<u8>,
    /// The hello itself, where fetches may ask for it.
    records: Option<Vec<u8>>,
}

impl HelloFacts {
    fn of(hello: &ClientHello<'_>, raw: &[u8], capture: bool) -> HelloFacts {
        HelloFacts {
            sni: hello.sni().and_then(|name| std::str::from_utf8(name).ok()).map(str::to_ascii_lowercase),
            session_id: hello.session_id().to_vec(),
            records: capture.then(|| raw[..hello.wire_len().min(raw.len())].to_vec()),
        }
    }
}

/// A place under `maxsslconn` and `maxsslrate`; waits for one as long as a handshake may take.
async fn room(conn: &mut Conn, local: &Local, limit: Option<Duration>) -> Result<Secured, End> {
    let process = conn.admission.worker.process.clone();
    let global = &local.snapshot.config.global;
    loop {
        if process.tls_rate_allows(global.max_ssl_rate, clock::rate_ms()) && process.tls.try_enter(global.max_ssl_conn)
        {
            return Ok(Secured(process));
        }
        if limit.is_some_and(|limit| clock::now().saturating_duration_since(conn.accepted) >= limit) {
            return Err(End::TlsLimit);
        }
        let _ = within(&mut conn.timer, clock::now(), Some(LOOK_AGAIN), std::future::pending::<()>()).await;
    }
}

/// A TLS connection counted in the process until it is dropped.
#[derive(Debug)]
pub(crate) struct Secured(Arc<Process>);

impl Drop for Secured {
    fn drop(&mut self) {
        self.0.tls.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::is_http;

    #[test]
    fn plain_http_is_told_from_garbage() {
        for yes in ["GET / HTTP/1.1", "OPTIONS * HTTP/1.1", "POST /a", "GET http://a/ HTTP/1.1"] {
            assert!(is_http(yes.as_bytes()), "{yes}");
        }
        for no in ["", "GET", "GET ", "SSH-2.0-x", "\x16\x03\x01", "get / HTTP/1.1", "PROXY TCP4 1.2.3.4"] {
            assert!(!is_http(no.as_bytes()), "{no}");
        }
    }
}
