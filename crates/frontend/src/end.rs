//! How a transaction or connection ended: one value that yields the status, HAProxy's termination letters, the metric
//! label, the class for counters, and the sentence a person reads. Every mapping is a total match.

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Nothing went wrong.
    Normal,
    /// The client closed or reset.
    ClientAborted,
    /// The client was silent too long.
    ClientTimeout,
    /// The request breaks the protocol.
    BadRequest,
    /// A rule denied the request.
    Denied,
    /// Evenkeel answered itself: redirect, return.
    Answered,
    /// No rule and no default gave a backend.
    NoBackend,
    /// No server of the backend is usable.
    NoServer,
    /// No slot became free within `timeout.queue`.
    QueueTimeout,
    /// Every server and its queue is full.
    QueueFull,
    /// The server could not be connected to: refused, reset, unreachable.
    ConnectFailed,
    /// The server did not accept within `timeout.connect`.
    ConnectTimeout,
    /// The server closed or reset.
    ServerAborted,
    /// The server was silent too long.
    ServerTimeout,
    /// The response breaks the protocol.
    BadResponse,
    /// A local resource ran out: descriptors, ports, memory.
    Exhausted,
    /// The server left the configuration and its connections are closed.
    ServerRemoved,
    /// A rule could not be applied.
    Internal,
}

/// What was going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Receiving the request.
    Request,
    /// Waiting for a slot.
    Queue,
    /// Connecting.
    Connect,
    /// Waiting for the response head.
    Headers,
    /// Moving data.
    Data,
    /// All done.
    Done,
}

/// The end of a transaction or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// Why.
    pub cause: Cause,
    /// During what.
    pub stage: Stage,
}

impl End {
    /// Everything went well.
    pub const NORMAL: End = End { cause: Cause::Normal, stage: Stage::Done };

    /// An end for `cause` during `stage`.
    pub fn new(cause: Cause, stage: Stage) -> End {
        End { cause, stage }
    }

    /// The first two letters of HAProxy's termination state.
    pub fn letters(self) -> [u8; 2] {
        [self.cause.letter(), self.stage.letter(self.cause)]
    }

    /// Whether something went wrong (`option.dontlog-normal` keeps such lines).
    pub fn is_error(self) -> bool {
        !matches!(self.cause, Cause::Normal | Cause::Answered)
    }
}

impl Stage {
    fn letter(self, cause: Cause) -> u8 {
        match self {
            Stage::Request => b'R',
            Stage::Queue => b'Q',
            Stage::Connect => b'C',
            Stage::Headers => b'H',
            Stage::Data => b'D',
            Stage::Done => match cause {
                Cause::Normal => b'-',
                _ => b'D',
            },
        }
    }

    /// The word in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Stage::Request => "request",
            Stage::Queue => "queue",
            Stage::Connect => "connect",
            Stage::Headers => "headers",
            Stage::Data => "data",
            Stage::Done => "done",
        }
    }
}

impl Cause {
    /// Every cause, in the order of the manual.
    pub const ALL: [Cause; 18] = [
        Cause::Normal,
        Cause::ClientAborted,
        Cause::ClientTimeout,
        Cause::BadRequest,
        Cause::Denied,
        Cause::Answered,
        Cause::NoBackend,
        Cause::NoServer,
        Cause::QueueTimeout,
        Cause::QueueFull,
        Cause::ConnectFailed,
        Cause::ConnectTimeout,
        Cause::ServerAborted,
        Cause::ServerTimeout,
        Cause::BadResponse,
        Cause::Exhausted,
        Cause::ServerRemoved,
        Cause::Internal,
    ];

    fn letter(self) -> u8 {
        match self {
            Cause::Normal => b'-',
            Cause::ClientAborted => b'C',
            Cause::ClientTimeout => b'c',
            Cause::BadRequest | Cause::Denied | Cause::BadResponse => b'P',
            Cause::Answered => b'L',
            Cause::NoBackend | Cause::NoServer | Cause::ConnectFailed | Cause::ServerAborted | Cause::QueueFull => b'S',
            Cause::QueueTimeout | Cause::ConnectTimeout | Cause::ServerTimeout => b's',
            Cause::Exhausted => b'R',
            Cause::ServerRemoved => b'D',
            Cause::Internal => b'I',
        }
    }

    /// The status a client gets when nothing of a response was sent yet; `None`: the connection just closes.
    pub fn status(self) -> Option<u16> {
        match self {
            Cause::Normal | Cause::Answered => None,
            Cause::ClientAborted | Cause::BadRequest => Some(400),
            Cause::ClientTimeout => Some(408),
            Cause::Denied => Some(403),
            Cause::NoBackend
            | Cause::NoServer
            | Cause::QueueTimeout
            | Cause::QueueFull
            | Cause::ConnectFailed
            | Cause::ConnectTimeout
            | Cause::Exhausted
            | Cause::ServerRemoved => Some(503),
            Cause::ServerAborted | Cause::BadResponse => Some(502),
            Cause::ServerTimeout => Some(504),
            Cause::Internal => Some(500),
        }
    }

    /// The stable word in the JSON log and in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Cause::Normal => "normal",
            Cause::ClientAborted => "client_aborted",
            Cause::ClientTimeout => "client_timeout",
            Cause::BadRequest => "bad_request",
            Cause::Denied => "denied",
            Cause::Answered => "answered",
            Cause::NoBackend => "no_backend",
            Cause::NoServer => "no_server",
            Cause::QueueTimeout => "queue_timeout",
            Cause::QueueFull => "queue_full",
            Cause::ConnectFailed => "connect_failed",
            Cause::ConnectTimeout => "connect_timeout",
            Cause::ServerAborted => "server_aborted",
            Cause::ServerTimeout => "server_timeout",
            Cause::BadResponse => "bad_response",
            Cause::Exhausted => "exhausted",
            Cause::ServerRemoved => "server_removed",
            Cause::Internal => "internal",
        }
    }

    /// What happened, for a person.
    pub fn sentence(self) -> &'static str {
        match self {
            Cause::Normal => "the transaction completed",
            Cause::ClientAborted => "the client closed the connection before the transaction was over",
            Cause::ClientTimeout => "the client was silent longer than its timeout",
            Cause::BadRequest => "the request breaks HTTP and reached no server",
            Cause::Denied => "a rule denied the request",
            Cause::Answered => "a rule answered the request",
            Cause::NoBackend => "no use_backend rule matched and there is no default_backend",
            Cause::NoServer => "no server of the backend is up and in service",
            Cause::QueueTimeout => "no server had a free slot within timeout.queue",
            Cause::QueueFull => "every server is at its maxconn and its queue is full",
            Cause::ConnectFailed => "the server refused the connection or could not be reached",
            Cause::ConnectTimeout => "the server did not accept the connection within timeout.connect",
            Cause::ServerAborted => "the server closed the connection before the response was complete",
            Cause::ServerTimeout => "the server was silent longer than timeout.server",
            Cause::BadResponse => "the response breaks HTTP and was not passed on",
            Cause::Exhausted => "the proxy ran out of descriptors, ports or memory",
            Cause::ServerRemoved => "the server left the configuration, which asks to close its connections",
            Cause::Internal => "a rule could not be applied",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_and_failures_have_a_status() {
        let mut labels: Vec<_> = Cause::ALL.iter().map(|c| c.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            let end = End::new(cause, Stage::Headers);
            assert_eq!(end.is_error(), cause.status().is_some(), "{cause:?}");
        }
    }

    #[test]
    fn letters_are_those_of_the_reference() {
        let table = [
            (Cause::Normal, Stage::Done, b"--"),
            (Cause::ClientAborted, Stage::Request, b"CR"),
            (Cause::ClientTimeout, Stage::Request, b"cR"),
            (Cause::BadRequest, Stage::Request, b"PR"),
            (Cause::Answered, Stage::Request, b"LR"),
            (Cause::QueueTimeout, Stage::Queue, b"sQ"),
            (Cause::QueueFull, Stage::Queue, b"SQ"),
            (Cause::ClientAborted, Stage::Queue, b"CQ"),
            (Cause::NoServer, Stage::Connect, b"SC"),
            (Cause::ConnectTimeout, Stage::Connect, b"sC"),
            (Cause::ServerAborted, Stage::Headers, b"SH"),
            (Cause::ServerTimeout, Stage::Headers, b"sH"),
            (Cause::ClientAborted, Stage::Headers, b"CH"),
            (Cause::BadResponse, Stage::Headers, b"PH"),
            (Cause::ServerAborted, Stage::Data, b"SD"),
            (Cause::ClientTimeout, Stage::Data, b"cD"),
            (Cause::Exhausted, Stage::Connect, b"RC"),
        ];
        for (cause, stage, letters) in table {
            assert_eq!(&End::new(cause, stage).letters(), letters, "{cause:?} {stage:?}");
        }
    }
}
