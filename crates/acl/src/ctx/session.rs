//! What lasts as long as the client connection.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::fetch::{ProxyFacts, TlsFacts};
use crate::stick::Tracked;
use crate::vars::Vars;

/// How many counters a connection or transaction may track (`tune.stick-counters`).
pub const STICK_COUNTERS: usize = 12;

/// The stick-table entries that are tracked, by number of the counter.
#[derive(Debug, Default)]
pub struct Tracks {
    slots: Option<Box<[Option<Tracked>; STICK_COUNTERS]>>,
    /// One bit for each slot that is filled: most of the room is never looked at.
    filled: u16,
}

impl Tracks {
    /// What counter `at` tracks.
    pub fn get(&self, at: usize) -> Option<&Tracked> {
        self.slots.as_ref()?.get(at)?.as_ref()
    }

    /// Lets counter `at` track `entry`.
    pub fn set(&mut self, at: usize, entry: Tracked) {
        if let Some(slot) = self.slots.get_or_insert_default().get_mut(at) {
            *slot = Some(entry);
            self.filled |= 1 << at;
        }
    }

    /// All that is tracked, with the number of its counter.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Tracked)> {
        filled(self.filled).filter_map(|at| Some((at, self.get(at)?)))
    }

    /// Whether anything was ever tracked here: a look that costs nothing.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.slots.is_some()
    }

    /// Whether nothing is tracked.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The same entries, tracked once more.
    fn fork(&self, now_ms: u64) -> Tracks {
        let mut tracks = Tracks::default();
        for (at, entry) in self.iter() {
            if let Some(again) = entry.again(now_ms) {
                tracks.set(at, again);
            }
        }
        tracks
    }

    /// Ends all tracking; the room is kept for the next transaction.
    pub fn clear(&mut self) {
        if let Some(slots) = &mut self.slots {
            filled(self.filled).for_each(|at| slots[at] = None);
        }
        self.filled = 0;
    }
}

/// The numbers of the bits that are set, rising.
fn filled(mut bits: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = bits.trailing_zeros() as usize;
        // Takes the lowest away; of none there is none.
        bits &= bits.wrapping_sub(1);
        (at < STICK_COUNTERS).then_some(at)
    })
}

/// The protocol of a connection as it is on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1, or no HTTP at all.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

impl Wire {
    /// Its major version.
    pub fn major(self) -> i64 {
        match self {
            Wire::Http1 => 1,
            Wire::Http2 => 2,
            Wire::Http3 => 3,
        }
    }
}

/// The bind a connection came by.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its number in the frontend, from 1 (`so_id`).
    pub id: u32,
    /// The rest.
    pub door: Arc<dyn Door>,
}

/// What rules see of a bind.
pub trait Door: std::fmt::Debug + Send + Sync {
    /// Its name (`so_name`).
    fn name(&self) -> &str;
    /// Connections on it now (`dst_conn`).
    fn connections(&self) -> u32;
}

/// What the streams of one connection add up to, as it is now.
#[derive(Debug, Default)]
pub struct Streams {
    /// Those that are open (`fc_nb_streams`).
    pub open: AtomicU32,
    /// Requests that were refused for what they looked like (`fc_glitches`).
    pub glitches: AtomicU32,
}

/// What lasts as long as the client connection.
#[derive(Debug, Default)]
pub struct Session {
    /// Client address as rules see it: `set-src` and the PROXY protocol change it. `None` for Unix sockets.
    pub src: Option<SocketAddr>,
    /// Address the client connected to, as rules see it.
    pub dst: Option<SocketAddr>,
    /// The two addresses of the socket itself.
    pub real: (Option<SocketAddr>, Option<SocketAddr>),
    /// When it was accepted, in microseconds since 1970.
    pub accepted_us: i64,
    /// Requests begun on it, this one included.
    pub requests: u32,
    /// What it speaks on the wire (`fc_http_major`).
    pub wire: Wire,
    /// What its PROXY header said, when it began with one.
    pub proxied: Option<Arc<ProxyFacts>>,
    /// What its TLS handshake came to, when it has TLS.
    pub tls: Option<Arc<TlsFacts>>,
    /// The streams beside this one, where the connection has several.
    pub streams: Option<Arc<Streams>>,
    /// Variables of scope `sess`.
    pub vars: RefCell<Vars>,
    /// What `tcp-request connection` and `session` rules track.
    pub tracks: Tracks,
    /// The bind it came by; `None` where that is only described.
    pub listener: Option<Listener>,
    /// `src` and `dst` as they were before content or HTTP rules changed them.
    pub lasting: Option<(Option<SocketAddr>, Option<SocketAddr>)>,
}

impl Session {
    /// The session as one of the streams that share the connection has it: what is known of the connection, and its tracked
    /// entries, which it keeps but does not count as another connection. What it sets afterwards is its own.
    #[must_use]
    pub fn fork(&self, now_ms: u64) -> Session {
        Session {
            src: self.src,
            dst: self.dst,
            real: self.real,
            accepted_us: self.accepted_us,
            requests: self.requests,
            wire: self.wire,
            proxied: self.proxied.clone(),
            tls: self.tls.clone(),
            streams: self.streams.clone(),
            vars: RefCell::new(self.vars.borrow().clone()),
            tracks: self.tracks.fork(now_ms),
            listener: self.listener.clone(),
            lasting: None,
        }
    }

    /// A transaction ended: what its `set-src` and `set-dst` said of it does not hold for the next request.
    pub fn end_transaction(&mut self) {
        if let Some((src, dst)) = self.lasting.take() {
            (self.src, self.dst) = (src, dst);
        }
    }
}
