//! A client connection: from accept to its protocol. Small on purpose, since most of its life it is idle.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use evenkeel_acl::{Listener, Memo, Session, SwitchMode, TlsFacts, count};
use evenkeel_config::{BindAddress, Mode, Proto};
use evenkeel_proto::Buf;
use evenkeel_wire::{Stream, TlsStream};

use crate::clock;
use crate::establish::{self, Secured};
use crate::listener::{Admission, Served};
use crate::snapshot::Entrance;
use crate::timer::Timer;
use crate::upstream::Upstream;
use crate::{admit, h1, h2, tcp};

/// A client connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) stream: Stream,
    /// What rules know of it and leave with it; its `src` is the client for logs, headers and balancing.
    pub(crate) session: Session,
    /// Shared with the streams of an HTTP/2 connection.
    pub(crate) admission: Rc<Admission>,
    /// Counts its TLS, when it has any.
    pub(crate) secured: Option<Secured>,
    /// Held while a configuration is needed: until the connection becomes a tunnel.
    pub(crate) served: Option<Served>,
    pub(crate) timer: Timer,
    /// When it was accepted.
    pub(crate) accepted: Instant,
    /// Since when it waits for a request: its handshake was over, or the last answer out.
    pub(crate) rested: Instant,
    /// Milliseconds that the PROXY header and the TLS handshake took, until a request has noted them.
    pub(crate) handshake: i64,
    /// Requests that were refused for what they looked like.
    pub(crate) glitches: u32,
    /// Requests begun on it.
    pub(crate) requests: u32,
    /// Bytes of the next request that came with the last one.
    pub(crate) leftover: Option<Buf>,
    /// How it became HTTP, when it began in tcp mode; taken by its first request.
    pub(crate) switched: Option<Box<Switched>>,
    /// The server connection that only this client uses (`http-reuse never`, or its first one under `safe`).
    pub(crate) own: Option<Box<Upstream>>,
}

/// How a connection in tcp mode went on as HTTP.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(crate) mode: SwitchMode,
    /// When.
    pub(crate) at: Instant,
    /// What the rules on its content left behind: they are not run again for the first request.
    pub(crate) memo: Memo,
    /// The backend, where that was what made it HTTP: the frontend's rules on requests have no say then.
    pub(crate) backend: Option<Arc<str>>,
}

impl Conn {
    /// The address the client connected to, looked up only when rules may ask for it.
    fn destination(stream: &Stream, admission: &Admission, entrance: &Entrance) -> Option<SocketAddr> {
        match &admission.listening.bind.conf.address {
            BindAddress::Inet(address) if !address.ip().is_unspecified() => Some(*address),
            BindAddress::Inet(_) | BindAddress::Fd(_) if entrance.has_rules => stream.local_addr(),
            BindAddress::Inet(_) | BindAddress::Fd(_) | BindAddress::Unix(_) => None,
        }
    }
}

impl Conn {
    /// Notes that the TLS handshake is over, where a request came before that.
    pub(crate) fn note_handshake(&mut self) {
        if let Some(facts) = &self.session.tls
            && facts.early
            && self.stream.tls().is_some_and(|tls| !tls.is_early())
        {
            self.session.tls = Some(Arc::new(TlsFacts { early: false, ..TlsFacts::clone(facts) }));
        }
    }

    /// Whether what the client sent may be a replay: it came before the end of the TLS handshake.
    pub(crate) fn is_early(&self) -> bool {
        self.stream.tls().is_some_and(TlsStream::is_early)
    }

    /// Counts a connection that speaks HTTP/2.
    pub(crate) fn count_h2(&self) {
        let frontend = &self.admission.listening.frontend;
        frontend.sheet.shard(self.admission.worker.id).h2_connections.inc();
    }

    /// When it began to be HTTP: what its first request may take counts from there.
    pub(crate) fn began(&self) -> Instant {
        self.switched.as_ref().map_or(self.accepted, |switched| switched.at)
    }

    /// Whether a preface of HTTP/2 is taken for what it is (RFC 9113 §3.3): as the first thing said, on a clear connection or
    /// one that began in tcp mode, where no ALPN told.
    pub(crate) fn may_switch(&self, entrance: &Entrance) -> bool {
        let said = self.admission.listening.bind.conf.proto;
        let open = match &self.switched {
            Some(switched) => switched.mode == SwitchMode::Http,
            None => matches!(self.stream, Stream::Plain(_)),
        };
        self.requests == 0 && said.is_none() && open && !entrance.conf.option.disable_h2_upgrade
    }
}

/// Serves an accepted connection in a task of its own, unless the rules on connections refuse it.
pub(crate) fn spawn(stream: Stream, src: Option<SocketAddr>, admission: Admission) {
    let worker = &admission.worker;
    let local = admission.listening.local(worker);
    let Some(at) = admission.listening.entrance(&local.snapshot) else { return };
    let entrance = &local.snapshot.frontends[at];
    let sheet = entrance.state.sheet.shard(worker.id);
    sheet.connections.inc();
    sheet.connection_rate.inc(clock::rate_ms());
    let accepted = clock::now();
    let dst = Conn::destination(&stream, &admission, entrance);
    let mut session = Session::default();
    (session.src, session.dst, session.real) = (src, dst, (src, dst));
    let bind = &admission.listening.bind.conf;
    let mut expects_proxy = bind.accept_proxy.is_some();
    // A reload may have brought TLS, or taken it away, on a socket that stayed.
    let mut prepares = bind.tls.is_some() || entrance.terminator(bind).is_some() || expects_proxy;
    if entrance.has_rules {
        session.accepted_us = clock::unix_us(accepted);
        let id = entrance.listener_id(bind);
        session.listener = Some(Listener { id, door: admission.listening.bind.clone() });
        let admitted = admit::connection(worker, &local.snapshot, entrance, &mut session).and_then(|expects| {
            expects_proxy |= expects;
            prepares |= expects;
            match prepares {
                true => Ok(()),
                false => admit::session(worker, &local.snapshot, entrance, &mut session),
            }
        });
        if let Err(refused) = admitted {
            refused.count(sheet);
            refused.close(&stream);
            return;
        }
        if !prepares && !session.tracks.is_empty() {
            count::on_session(&session, worker.now_ms());
        }
    }
    let mode = entrance.conf.mode;
    drop(local);
    let proto = admission.listening.bind.conf.proto;
    let served = Some(admission.listening.served());
    let conn = Conn {
        stream,
        session,
        admission: Rc::new(admission),
        secured: None,
        served,
        timer: Timer::default(),
        accepted,
        rested: accepted,
        handshake: 0,
        glitches: 0,
        requests: 0,
        leftover: None,
        switched: None,
        own: None,
    };
    match mode {
        _ if prepares => drop(tokio::task::spawn_local(establish::serve(conn, expects_proxy))),
        Mode::Http if proto == Some(Proto::H2) => drop(tokio::task::spawn_local(h2::serve(conn))),
        Mode::Http => drop(tokio::task::spawn_local(h1::serve(conn))),
        Mode::Tcp => drop(tokio::task::spawn_local(tcp::serve(conn))),
    }
}
