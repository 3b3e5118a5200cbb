//! A connection to a server that many requests share.
//!
//! Made by whoever dials, kept in the worker's pool, and driven by a task of its own that ends with it. A request opens a
//! [`Stream`] while there is room: as many as the server allows, and never more than we do.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};

use super::budget::{Budget, Scanner};
use super::io::{Io, Watch};
use super::ping::IdlePing;
use super::stream::Stream;

/// `tune.h2.be`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Streams at once on one connection; the server may allow fewer.
    pub max_streams: u32,
    /// Bytes a server may send on one stream before we took them.
    pub window: u32,
    /// Bytes it may send on all streams.
    pub connection_window: u32,
    /// Bytes of one frame.
    pub frame: u32,
    /// Bytes of the table of fields.
    pub table: u32,
    /// Bytes of a head.
    pub max_head: u32,
    /// What the server may make us do.
    pub budget: Budget,
    /// Silence after which the server is asked whether it lives (`idle-ping`).
    pub idle_ping: Option<Duration>,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Multiplexed {
    sender: SendRequest<Bytes>,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// It takes no more requests.
    closed: Cell<bool>,
    streams: Cell<u32>,
    /// Streams opened so far.
    opened: Cell<u64>,
    max: u32,
}

/// One of the streams of a connection; gives its place back when dropped.
#[derive(Debug)]
pub(super) struct Place(Rc<Shared>);

impl Place {
    /// The connection takes no more requests.
    pub(super) fn close(&self) {
        self.0.closed.set(true);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

impl Multiplexed {
    /// Begins HTTP/2 on `stream` and drives the connection in a task of the worker.
    ///
    /// # Errors
    /// The connection broke before our preface was written.
    pub async fn begin(stream: crate::Stream, settings: &ClientSettings) -> io::Result<Multiplexed> {
        let watch = Watch::new();
        let io = Io::new(stream, Vec::new(), Scanner::of_server(settings.budget), watch.clone());
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(settings.window)
            .initial_connection_window_size(settings.connection_window)
            .max_frame_size(settings.frame)
            .header_table_size(settings.table)
            .max_header_list_size(settings.max_head)
            .initial_max_send_streams(settings.max_streams as usize)
            .reset_stream_duration(Duration::from_secs(1));
        let (sender, mut connection) = builder.handshake::<_, Bytes>(io).await.map_err(io::Error::other)?;
        let shared = Rc::new(Shared {
            closed: Cell::new(false),
            streams: Cell::new(0),
            opened: Cell::new(0),
            max: settings.max_streams,
        });
        let ours = shared.clone();
        let mut ping = settings.idle_ping.and_then(|every| Some(IdlePing::new(connection.ping_pong()?, every)));
        tokio::task::spawn_local(async move {
            // Each stream learns of the error by itself; of a server that is silent for good, by the end of the connection.
            poll_fn(|cx| {
                if watch.flood.get().is_some()
                    || ping.as_mut().is_some_and(|ping| ping.poll_dead(cx, &watch).is_ready())
                {
                    return Poll::Ready(());
                }
                Pin::new(&mut connection).poll(cx).map(drop)
            })
            .await;
            ours.closed.set(true);
        });
        Ok(Multiplexed { sender, shared })
    }

    /// Whether a request may be sent on it now.
    pub fn has_room(&self) -> bool {
        let Shared { closed, streams, max, .. } = &*self.shared;
        !closed.get() && (streams.get() as usize) < self.sender.current_max_send_streams().min(*max as usize)
    }

    /// Whether it takes no more requests.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.get()
    }

    /// Streams open.
    pub fn streams(&self) -> u32 {
        self.shared.streams.get()
    }

    /// Streams opened so far.
    pub fn opened(&self) -> u64 {
        self.shared.opened.get()
    }

    /// Whether the server takes an extended CONNECT (RFC 8441).
    pub fn takes_upgrades(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// Says that it is not to be used any more: it closes when its last stream has ended.
    pub fn close(&self) {
        self.shared.closed.set(true);
    }

    /// Opens a stream.
    pub fn open(&self) -> Stream {
        let Shared { streams, opened, .. } = &*self.shared;
        streams.set(streams.get() + 1);
        opened.set(opened.get() + 1);
        Stream::to_server(self.sender.clone(), Place(self.shared.clone()))
    }
}
