//! One HTTP/2 connection that behaves, of either side: acknowledges, answers pings, keeps to the windows of its peer.
//!
//! A thread reads and sorts frames by stream; whoever has a stream waits for its events. What is received is granted again
//! (WINDOW_UPDATE) only when it is taken, so a test that does not take holds its peer back. What the peer does wrong is
//! written down ([`H2::faults`]) instead of answered.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::DEADLINE;
use crate::client::{End, linger_zero};
use crate::frames::{Frame, Framed, PREFACE, code, flag, kind, setting};
use crate::hpack::Field;
use crate::message::Wire;

mod reader;

/// What a side tells its peer at the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H2Options {
    /// Settings to send.
    pub settings: Vec<(u16, u32)>,
    /// Whether the window of the connection is opened wide at once, so that only streams hold each other back.
    pub wide: bool,
}

impl Default for H2Options {
    /// Of a client: nothing may be pushed.
    fn default() -> H2Options {
        H2Options { settings: vec![(setting::ENABLE_PUSH, 0)], wide: true }
    }
}

impl H2Options {
    /// Of a server: a hundred streams at once, extended CONNECT.
    pub fn server() -> H2Options {
        let settings = vec![(setting::MAX_CONCURRENT_STREAMS, 100), (setting::ENABLE_CONNECT_PROTOCOL, 1)];
        H2Options { settings, wide: true }
    }

    /// With another setting beside, or in place of, what stands there.
    #[must_use]
    pub fn setting(mut self, id: u16, value: u32) -> H2Options {
        self.settings.retain(|(i, _)| *i != id);
        self.settings.push((id, value));
        self
    }
}

/// What came on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Fields of a head: a request, a response, or an interim response.
    Head(Vec<Field>),
    /// Payload.
    Data(Vec<u8>),
    /// Fields after the payload.
    Trailers(Vec<Field>),
    /// The peer has nothing more to say.
    End,
    /// RST_STREAM with this code.
    Reset(u32),
    /// The connection ended first.
    Gone,
}

/// A connection. Clones are handles of the same one; it is closed when the last is dropped.
#[derive(Clone, Debug)]
pub struct H2 {
    link: Arc<Link>,
}

#[derive(Debug)]
struct Link {
    shared: Arc<Shared>,
}

impl Drop for Link {
    fn drop(&mut self) {
        // After a cut only the close itself may speak.
        let how = if self.shared.lock().cut { Shutdown::Read } else { Shutdown::Both };
        let _ = lock(&self.shared.out).shutdown(how);
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    out: Mutex<TcpStream>,
    server: bool,
}

#[derive(Debug, Default)]
struct State {
    streams: HashMap<u32, Stream>,
    incoming: VecDeque<u32>,
    next: u32,
    window: i64,
    initial: i64,
    max_frame: usize,
    granted: i64,
    grants: i64,
    settings: Option<Vec<(u16, u32)>>,
    goaway: Option<(u32, u32)>,
    ended: Option<End>,
    faults: Vec<String>,
    pongs: usize,
    opened: usize,
    highest: u32,
    cut: bool,
}

#[derive(Debug, Default)]
struct Stream {
    events: VecDeque<Event>,
    window: i64,
    granted: i64,
    head: bool,
    ended: bool,
    reset: Option<u32>,
    sent_end: bool,
}

impl H2 {
    /// The client of a connection that exists.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn client(stream: TcpStream, options: &H2Options) -> io::Result<H2> {
        (&stream).write_all(PREFACE)?;
        H2::begin(Framed::new(stream), options, false)
    }

    /// The server of a connection whose client has sent `PRI * HTTP/2.0` and an empty line, which were taken already.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn server(wire: Wire, options: &H2Options) -> io::Result<H2> {
        H2::begin(Framed::over(wire), options, true)
    }

    fn begin(mut framed: Framed, options: &H2Options, server: bool) -> io::Result<H2> {
        let out = framed.wire().stream().try_clone()?;
        framed.send(&Frame::settings(&options.settings))?;
        let set = |id| options.settings.iter().rfind(|(i, _)| *i == id).map(|(_, v)| i64::from(*v));
        let mut granted = 65_535;
        if options.wide {
            framed.send(&Frame::window(0, 1 << 30))?;
            granted += 1 << 30;
        }
        let state = State {
            next: 1,
            window: 65_535,
            initial: 65_535,
            max_frame: 16_384,
            granted,
            grants: set(setting::INITIAL_WINDOW_SIZE).unwrap_or(65_535),
            ..State::default()
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), out: Mutex::new(out), server });
        let reader = Arc::clone(&shared);
        thread::spawn(move || reader.read(framed));
        Ok(H2 { link: Arc::new(Link { shared }) })
    }

    fn shared(&self) -> &Shared {
        &self.link.shared
    }

    /// Opens a stream with a request; `end` when nothing follows.
    ///
    /// # Errors
    /// When the peer has closed or said GOAWAY.
    pub fn open<N: AsRef<[u8]>, V: AsRef<[u8]>>(&self, fields: &[(N, V)], end: bool) -> io::Result<u32> {
        // Taken first: streams must be opened on the wire in the order of their numbers.
        let out = lock(&self.shared().out);
        let mut state = self.shared().lock();
        if state.ended.is_some() || state.goaway.is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let id = state.next;
        state.next += 2;
        let stream = Stream { window: state.initial, granted: state.grants, sent_end: end, ..Stream::default() };
        state.streams.insert(id, stream);
        state.opened += 1;
        state.highest = id;
        drop(state);
        write_block(&out, Frame::headers(id, fields, end))?;
        Ok(id)
    }

    /// Waits for a stream that the peer opened; `None` at the end of the connection.
    pub fn accept(&self) -> Option<u32> {
        let mut state = self.shared().lock();
        loop {
            if let Some(id) = state.incoming.pop_front() {
                return Some(id);
            }
            if state.ended.is_some() {
                return None;
            }
            state = self.shared().changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends a head, an interim head, or trailers.
    ///
    /// # Errors
    /// When the connection or the stream has ended.
    pub fn headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(&self, id: u32, fields: &[(N, V)], end: bool) -> io::Result<()> {
        self.shared().writable(id, end)?;
        write_block(&lock(&self.shared().out), Frame::headers(id, fields, end))
    }

    /// Sends payload, waiting for the peer's windows.
    ///
    /// # Errors
    /// When the connection or the stream has ended, `TimedOut` when the peer grants nothing.
    pub fn data(&self, id: u32, bytes: &[u8], end: bool) -> io::Result<()> {
        let mut left = bytes;
        loop {
            let room = if left.is_empty() { 0 } else { self.shared().room(id, left.len())? };
            let (piece, rest) = left.split_at(room);
            left = rest;
            let last = end && left.is_empty();
            if last {
                self.shared().writable(id, true)?;
            }
            if !piece.is_empty() || last {
                lock(&self.shared().out).write_all(&Frame::data(id, piece, last).bytes())?;
            }
            if left.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends RST_STREAM.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn rst(&self, id: u32, code: u32) -> io::Result<()> {
        if let Some(stream) = self.shared().lock().streams.get_mut(&id) {
            stream.sent_end = true;
        }
        self.send(&Frame::rst(id, code))
    }

    /// Sends any frame, whatever it does to the connection.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send(&self, frame: &Frame) -> io::Result<()> {
        lock(&self.shared().out).write_all(&frame.bytes())
    }

    /// Waits for the next event of a stream, at most until `deadline`.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn event(&self, id: u32, deadline: Option<Instant>) -> io::Result<Event> {
        let shared = self.shared();
        let mut state = shared.lock();
        loop {
            let gone = state.ended.is_some();
            let stream = state.streams.entry(id).or_default();
            if let Some(event) = stream.events.pop_front() {
                drop(state);
                if let Event::Data(bytes) = &event {
                    self.grant(id, bytes.len());
                }
                return Ok(event);
            }
            // A server may end a whole answer by a reset, to be spared the rest of the request (RFC 9113 section 8.1).
            if let Some(code) = stream.reset.filter(|_| shared.server || !stream.ended) {
                return Ok(Event::Reset(code));
            }
            if stream.ended {
                return Ok(Event::End);
            }
            if gone {
                return Ok(Event::Gone);
            }
            state = shared.wait(state, deadline)?;
        }
    }

    /// Gives back what was taken.
    fn grant(&self, id: u32, bytes: usize) {
        let mut state = self.shared().lock();
        let more = i64::try_from(bytes).unwrap_or(0);
        let mut frames = Vec::new();
        if state.granted < 1 << 29 {
            state.granted += more;
            frames.push(Frame::window(0, bytes as u32));
        }
        if let Some(stream) = state.streams.get_mut(&id).filter(|s| !s.ended && s.reset.is_none()) {
            stream.granted += more;
            frames.push(Frame::window(id, bytes as u32));
        }
        drop(state);
        for frame in frames.iter().filter(|_| bytes > 0) {
            // A peer that has gone is told of by the events.
            let _ = self.send(frame);
        }
    }

    /// The peer's settings, awaited.
    ///
    /// # Errors
    /// `UnexpectedEof` when it closes without, `TimedOut` at the deadline.
    pub fn settings(&self) -> io::Result<Vec<(u16, u32)>> {
        let deadline = Some(Instant::now() + DEADLINE);
        let mut state = self.shared().lock();
        loop {
            if let Some(list) = &state.settings {
                return Ok(list.clone());
            }
            if state.ended.is_some() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            state = self.shared().wait(state, deadline)?;
        }
    }

    /// Sends PING and waits for its answer: the peer has dealt with everything before it.
    ///
    /// # Errors
    /// `UnexpectedEof` when it closes before, `TimedOut` at the deadline.
    pub fn ping(&self) -> io::Result<()> {
        let before = self.shared().lock().pongs;
        self.send(&Frame::new(kind::PING, 0, 0, *b"evenkeel"))?;
        let deadline = Some(Instant::now() + DEADLINE);
        let mut state = self.shared().lock();
        while state.pongs == before {
            if state.ended.is_some() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            state = self.shared().wait(state, deadline)?;
        }
        Ok(())
    }

    /// The last GOAWAY received: last stream and code.
    pub fn goaway(&self) -> Option<(u32, u32)> {
        self.shared().lock().goaway
    }

    /// Waits for GOAWAY.
    ///
    /// # Errors
    /// `UnexpectedEof` when the connection ends without, `TimedOut` at the deadline.
    pub fn wait_goaway(&self) -> io::Result<(u32, u32)> {
        let deadline = Some(Instant::now() + DEADLINE);
        let mut state = self.shared().lock();
        loop {
            if let Some(said) = state.goaway {
                return Ok(said);
            }
            if state.ended.is_some() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            state = self.shared().wait(state, deadline)?;
        }
    }

    /// How the connection ended, if it has.
    pub fn ended(&self) -> Option<End> {
        self.shared().lock().ended
    }

    /// Waits until the connection has ended.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub fn wait_end(&self) -> io::Result<End> {
        let deadline = Some(Instant::now() + DEADLINE);
        let mut state = self.shared().lock();
        loop {
            if let Some(end) = state.ended {
                return Ok(end);
            }
            state = self.shared().wait(state, deadline)?;
        }
    }

    /// Streams opened so far, by whichever side is the client.
    pub fn opened(&self) -> usize {
        self.shared().lock().opened
    }

    /// Lets go of a stream that nobody will ask about again.
    pub fn forget(&self, id: u32) {
        self.shared().lock().streams.remove(&id);
    }

    /// What the peer did against the rules.
    pub fn faults(&self) -> Vec<String> {
        self.shared().lock().faults.clone()
    }

    /// Ends the connection with a reset, which leaves when the last handle is dropped.
    pub fn cut(&self) {
        self.shared().lock().cut = true;
        let out = lock(&self.shared().out);
        linger_zero(&*out);
        // Only a close sends the reset; the reader holds the socket too, and ends by this.
        let _ = out.shutdown(Shutdown::Read);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, deadline: Option<Instant>) -> io::Result<MutexGuard<'a, State>> {
        let Some(end) = deadline else {
            return Ok(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Whether the stream can still be written to; `end` says that this is the last.
    fn writable(&self, id: u32, end: bool) -> io::Result<()> {
        let mut state = self.lock();
        let gone = state.ended.is_some();
        let stream = state.streams.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        if gone || stream.reset.is_some() || stream.sent_end {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        stream.sent_end = end;
        Ok(())
    }

    /// How many bytes may go now, waiting for at least one.
    fn room(&self, id: u32, wanted: usize) -> io::Result<usize> {
        let deadline = Some(Instant::now() + DEADLINE);
        let mut state = self.lock();
        loop {
            let (gone, connection, most) = (state.ended.is_some(), state.window, state.max_frame);
            let stream = state.streams.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
            if gone || stream.reset.is_some() || stream.sent_end {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let room = usize::try_from(connection.min(stream.window)).unwrap_or(0).min(most).min(wanted);
            if room > 0 {
                stream.window -= room as i64;
                state.window -= room as i64;
                return Ok(room);
            }
            state = self.wait(state, deadline)?;
        }
    }
}

/// Writes a header block, in CONTINUATION frames where it is longer than any peer must take at once.
fn write_block(mut out: &TcpStream, frame: Frame) -> io::Result<()> {
    const MOST: usize = 16_384;
    if frame.payload.len() <= MOST {
        return out.write_all(&frame.bytes());
    }
    let pieces = frame.payload.chunks(MOST).enumerate();
    let last = frame.payload.len().div_ceil(MOST) - 1;
    let mut bytes = Vec::new();
    for (n, piece) in pieces {
        let (kind, flags) =
            if n == 0 { (kind::HEADERS, frame.flags & flag::END_STREAM) } else { (kind::CONTINUATION, 0) };
        let ends = if n == last { flag::END_HEADERS } else { 0 };
        bytes.extend(Frame::new(kind, flags | ends, frame.stream, piece).bytes());
    }
    out.write_all(&bytes)
}

/// The code a script means by a reset that names none.
pub(crate) const ABORT: u32 = code::INTERNAL_ERROR;

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}
