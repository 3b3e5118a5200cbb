//! The probers: one check of one server, from connect to verdict.
//!
//! Called by the check loops; on a tokio runtime with I/O and time. Never panics on an answer and never reads more than
//! [`BODY_MAX`] bytes of it. Invariant: a check ends within its timeout, and dropping its future closes the connection.

use evenkeel_config::ServerAddress;
use evenkeel_wire::{Stream, TlsStream};
use tokio::time::{Instant, timeout_at};

use crate::compile::{Compiled, Kind};
use crate::report::{CheckStatus, Report};
use crate::{grpc, http, link};

/// Bytes of a body that are looked at, and of a head that are accepted.
pub const BODY_MAX: usize = 16 * 1024;

/// Checks a server once.
///
/// A failure of any kind is a [`Report`]: of connecting (`L4CON`, `L4TOUT`), of TLS (`L6RSP`, `L6TOUT`), of the answer
/// (`L7RSP`, `L7STS`, `L7TOUT`), or of our own side (`SOCKERR`).
pub async fn run(check: &Compiled, server: &ServerAddress) -> Report {
    let start = Instant::now();
    let verdict = judge(check, server, start + check.timeout).await;
    Report::new(verdict.status, verdict.code, start.elapsed(), &verdict.info)
}

/// A report without its duration.
pub(crate) struct Verdict {
    status: CheckStatus,
    code: Option<u16>,
    info: String,
}

impl Verdict {
    pub(crate) fn new(status: CheckStatus) -> Verdict {
        Verdict { status, code: None, info: String::new() }
    }

    pub(crate) fn code(mut self, code: u16) -> Verdict {
        self.code = Some(code);
        self
    }

    pub(crate) fn info(mut self, info: impl Into<String>) -> Verdict {
        self.info = info.into();
        self
    }
}

async fn judge(check: &Compiled, server: &ServerAddress, deadline: Instant) -> Verdict {
    let kind = match &check.kind {
        Ok(kind) => kind,
        Err(fault) => return Verdict::new(CheckStatus::SockErr).info(fault),
    };
    let target = check.target(server);
    let stream = match link::open(check, &target, deadline).await {
        Ok(stream) => stream,
        Err(verdict) => return verdict,
    };
    let answer = async {
        match kind {
            Kind::Connect => connected(check, &stream),
            Kind::Http(http) if check.speaks_h2(stream.tls().and_then(TlsStream::alpn).as_deref()) => {
                http::ask_h2(stream, http, &check.authority(&target)).await
            }
            Kind::Http(http) => http::ask(stream, http).await,
            Kind::Grpc(grpc) => grpc::ask(stream, grpc, &check.authority(&target)).await,
        }
    };
    timeout_at(deadline, answer).await.unwrap_or_else(|_| Verdict::new(CheckStatus::L7Tout))
}

/// Nothing more is asked.
fn connected(check: &Compiled, stream: &Stream) -> Verdict {
    if stream.tls().is_some() {
        return Verdict::new(CheckStatus::L6Ok);
    }
    // A reset could reach the server before it has read the header.
    if check.greeting.is_none() {
        // It leaves no TIME_WAIT behind, and a server that has not accepted yet sees no empty session.
        stream.reset_on_close();
    }
    Verdict::new(CheckStatus::L4Ok)
}
