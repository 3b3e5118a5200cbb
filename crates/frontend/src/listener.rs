//! Listening sockets: opened by the control thread, accepted on by each worker.
//!
//! TCP sockets are one per worker (SO_REUSEPORT), so the kernel spreads connections without a lock; Unix and inherited
//! sockets are shared. Options set here are inherited by what is accepted, so accepting costs no `setsockopt`.
//! A limit that is reached stops accepting: the excess waits in the kernel, as HAProxy does.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use evenkeel_acl::Door;
use evenkeel_config::{Bind, BindAddress};
use evenkeel_stats::Gauge;
use evenkeel_wire::Stream;
use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::clock;
use crate::conn;
use crate::snapshot::Snapshot;
use crate::state::FrontendState;
use crate::worker::{Connected, Local, Sleepers, Socket, Worker};

/// One bind's lasting state, shared by the workers.
#[derive(Debug)]
pub struct BindState {
    /// Settings.
    pub conf: Bind,
    /// Connections on it.
    pub sessions: Gauge,
}

impl Door for BindState {
    fn name(&self) -> &str {
        &self.conf.name
    }

    fn connections(&self) -> u32 {
        self.sessions.now()
    }
}

/// A bind that could not be opened.
#[derive(Debug)]
pub struct BindError {
    /// What was to be opened.
    pub bind: Box<Bind>,
    /// The operating system's error.
    pub error: io::Error,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Bind { address, place, .. } = &*self.bind;
        write!(f, "cannot listen on {address} ({place}): ")?;
        match self.error.raw_os_error() {
            Some(libc::EADDRINUSE) => f.write_str(
                "the address is in use by another process; `ss -ltnp` shows which one: stop it, or choose another address",
            ),
            Some(libc::EACCES) => f.write_str(
                "permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=)",
            ),
            Some(libc::EPERM) => f.write_str("not permitted; transparent and interface need CAP_NET_ADMIN or CAP_NET_RAW"),
            Some(libc::EADDRNOTAVAIL) => {
                f.write_str("this machine has no such address; `ip addr` lists those it has")
            }
            Some(libc::EMFILE | libc::ENFILE) => {
                f.write_str("no file descriptor is left; raise the limit (`ulimit -n`, systemd: LimitNOFILE=)")
            }
            _ => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for BindError {}

/// Opens one bind: a descriptor for each worker.
///
/// # Errors
/// [`BindError`] with the operating system's reason; nothing stays open then.
pub fn open(bind: &Bind, maxconn: u32, workers: usize) -> Result<Vec<OwnedFd>, BindError> {
    open_all(bind, maxconn, workers).map_err(|error| BindError { bind: Box::new(bind.clone()), error })
}

fn open_all(bind: &Bind, maxconn: u32, workers: usize) -> io::Result<Vec<OwnedFd>> {
    // HAProxy's default is the frontend's maxconn; the kernel caps it at somaxconn.
    let backlog = i32::try_from(if bind.backlog == 0 { maxconn } else { bind.backlog }).unwrap_or(i32::MAX);
    match &bind.address {
        BindAddress::Inet(address) => {
            (0..workers).map(|_| inet(bind, *address, backlog, true).map(OwnedFd::from)).collect()
        }
        BindAddress::Unix(path) => share(unix(bind, path, backlog)?, workers),
        BindAddress::Fd(fd) => share(inherited(*fd)?, workers),
    }
}

/// Tells whether another process holds an address: with SO_REUSEPORT alone, two processes would silently share it.
///
/// # Errors
/// [`BindError`] when it is taken or cannot be had.
pub fn probe(bind: &Bind) -> Result<(), BindError> {
    match &bind.address {
        BindAddress::Inet(address) => {
            inet(bind, *address, 0, false).map(drop).map_err(|error| BindError { bind: Box::new(bind.clone()), error })
        }
        BindAddress::Unix(_) | BindAddress::Fd(_) => Ok(()),
    }
}

fn inet(bind: &Bind, address: SocketAddr, backlog: i32, listen: bool) -> io::Result<RawSocket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = RawSocket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && (bind.v6only || bind.v4v6) {
        socket.set_only_v6(bind.v6only)?;
    }
    if let Some(name) = &bind.interface {
        socket.bind_device(Some(name.as_bytes()))?;
    }
    if bind.transparent {
        match address {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
            SocketAddr::V6(_) => set_option(&socket, libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1)?,
        }
    }
    if !listen {
        return socket.bind(&address.into()).map(|()| socket);
    }
    socket.set_reuse_port(true)?;
    // Inherited by every accepted connection.
    socket.set_tcp_nodelay(true)?;
    if bind.keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new())?;
    }
    if let Some(time) = bind.tcp_user_timeout {
        socket.set_tcp_user_timeout(Some(time))?;
    }
    if bind.defer_accept {
        set_option(&socket, libc::SOL_TCP, libc::TCP_DEFER_ACCEPT, 1)?;
    }
    if bind.tfo {
        set_option(&socket, libc::SOL_TCP, libc::TCP_FASTOPEN, backlog.max(1))?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// A socket file is made under another name and renamed, so that the path never points to nothing.
fn unix(bind: &Bind, path: &Path, backlog: i32) -> io::Result<RawSocket> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}.new", std::process::id()));
    let fresh = Path::new(&fresh);
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match std::fs::remove_file(fresh) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    socket.bind(&SockAddr::unix(fresh)?)?;
    if let Some(mode) = bind.unix_mode {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(fresh, std::fs::Permissions::from_mode(mode))?;
    }
    socket.listen(backlog)?;
    std::fs::rename(fresh, path)?;
    Ok(socket)
}

fn inherited(fd: RawFd) -> io::Result<RawSocket> {
    // SAFETY: `fcntl` takes any number and reports one that is not open; the duplicate is ours alone.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `copy` was just made and belongs to nobody else.
    let socket = unsafe { RawSocket::from_raw_fd(copy) };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn share(socket: RawSocket, workers: usize) -> io::Result<Vec<OwnedFd>> {
    let mut all = (1..workers).map(|_| socket.try_clone().map(OwnedFd::from)).collect::<io::Result<Vec<_>>>()?;
    all.push(socket.into());
    Ok(all)
}

fn set_option(socket: &RawSocket, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the pointer and the length describe one c_int on this stack, and the descriptor is open.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A listener of one worker.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) frontend: Arc<FrontendState>,
    pub(crate) bind: Arc<BindState>,
    /// `(generation, index)` of the frontend in the snapshot last looked at.
    found: Cell<(u64, Option<usize>)>,
    stopping: Cell<bool>,
    stop: Notify,
    /// Connections of HTTP/2, which are told when the listener goes.
    pub(crate) multiplexed: Sleepers,
    /// Set when the frontend left the configuration: what its remaining connections are served by.
    last: RefCell<Option<Rc<Local>>>,
    /// Connections that may still need a configuration; tunnels and TCP connections under way do not.
    users: Cell<u32>,
    /// When a reached limit was last logged.
    complained: Cell<Option<Instant>>,
}

/// A connection that needs a configuration to serve its next request; the last one lets go of a retired snapshot.
#[derive(Debug)]
pub(crate) struct Served(Rc<Listening>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.users.set(self.0.users.get() - 1);
        self.0.let_go();
    }
}

/// A connection counted at its bind, its frontend, its worker and the process, until dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) listening: Rc<Listening>,
    pub(crate) worker: Rc<Worker>,
    _connected: Connected,
}

impl Admission {
    /// Whether the connection should end after its present request: a soft stop, or its frontend is gone.
    pub(crate) fn is_leaving(&self) -> bool {
        self.worker.process.is_draining() || self.listening.stopping.get() || self.listening.is_orphan(&self.worker)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.listening.bind.sessions.leave();
        self.listening.frontend.sessions.leave();
        self.worker.process.connections.leave();
        self.worker.process.gate.open();
    }
}

/// A limit that stays reached is logged this often.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// How long accepting rests when the process has no descriptor or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

impl Listening {
    /// Starts to accept.
    pub(crate) fn start(worker: &Rc<Worker>, socket: Socket) -> io::Result<Rc<Listening>> {
        let listening = Rc::new(Listening {
            frontend: socket.frontend,
            bind: socket.bind,
            found: Cell::new((0, None)),
            stopping: Cell::new(false),
            stop: Notify::new(),
            multiplexed: Sleepers::default(),
            last: RefCell::new(None),
            users: Cell::new(0),
            complained: Cell::new(None),
        });
        // SAFETY: an `OwnedFd` is one descriptor, open until it is dropped, and the `AsyncFd` that owns it drops it last.
        let fd = unsafe { AsyncFd::register_with_interest(socket.fd, Interest::READABLE) }?;
        tokio::task::spawn_local(accept_loop(fd, worker.clone(), listening.clone()));
        Ok(listening)
    }

    /// Takes what waits in the accept queue, then closes; `last` serves the connections that remain.
    pub(crate) fn retire(&self, last: Rc<Local>) {
        *self.last.borrow_mut() = Some(last);
        self.stopping.set(true);
        self.stop.notify_one();
        self.multiplexed.wake_all();
    }

    /// Counts a connection that is served by a configuration.
    pub(crate) fn served(self: &Rc<Self>) -> Served {
        self.users.set(self.users.get() + 1);
        Served(self.clone())
    }

    /// Whether the configuration in force has the frontend no more, although the word to close has not come yet.
    fn is_orphan(&self, worker: &Worker) -> bool {
        worker.previous().is_some() && self.entrance(&worker.local().snapshot).is_none()
    }

    fn let_go(&self) {
        if self.stopping.get() && self.users.get() == 0 {
            *self.last.borrow_mut() = None;
        }
    }

    /// The frontend's index in a snapshot; looked up once per generation.
    #[inline]
    pub(crate) fn entrance(&self, snapshot: &Snapshot) -> Option<usize> {
        let (generation, found) = self.found.get();
        if generation == snapshot.generation {
            return found;
        }
        let found = snapshot.entrance(&self.frontend);
        self.found.set((snapshot.generation, found));
        found
    }

    /// The snapshot that serves a connection of this listener.
    pub(crate) fn local(&self, worker: &Worker) -> Rc<Local> {
        if let Some(last) = &*self.last.borrow() {
            return last.clone();
        }
        let local = worker.local();
        match self.entrance(&local.snapshot) {
            Some(_) => local,
            None => worker.previous().filter(|p| self.entrance(&p.snapshot).is_some()).unwrap_or(local),
        }
    }

    /// Counts a connection in unless a limit is reached.
    fn admit(self: &Rc<Self>, worker: &Rc<Worker>) -> Option<Admission> {
        let process = &worker.process;
        let limit = self.frontend_limit(worker);
        if !process.connections.try_enter(process.maxconn.load(std::sync::atomic::Ordering::Relaxed)) {
            return None;
        }
        if !self.frontend.sessions.try_enter(limit) {
            process.connections.leave();
            return None;
        }
        if !self.bind.sessions.try_enter(self.bind.conf.maxconn) {
            self.frontend.sessions.leave();
            process.connections.leave();
            return None;
        }
        Some(Admission { listening: self.clone(), worker: worker.clone(), _connected: worker.connected() })
    }

    /// Says which limit was reached, once in a while: under load it is reached again with every connection that ends.
    fn complain(&self, worker: &Worker) {
        let now = clock::now();
        if self.complained.get().is_some_and(|at| now.saturating_duration_since(at) < COMPLAINT_INTERVAL) {
            return;
        }
        self.complained.set(Some(now));
        let process = &worker.process;
        let (name, address) = (&self.frontend.name, &self.bind.conf.address);
        let limit = process.maxconn.load(std::sync::atomic::Ordering::Relaxed);
        if process.connections.now() >= limit && limit != 0 {
            tracing::warn!("global.maxconn ({limit}) is reached; new connections on {address} wait in the kernel");
        } else {
            tracing::warn!(
                "maxconn of frontend {name} ({}) or of its bind {address} ({}) is reached; new connections wait in the kernel",
                self.frontend_limit(worker),
                self.bind.conf.maxconn
            );
        }
    }

    fn frontend_limit(&self, worker: &Worker) -> u32 {
        let local = self.local(worker);
        self.entrance(&local.snapshot).map_or(0, |at| local.snapshot.frontends[at].conf.maxconn)
    }

    /// Waits until a connection may be counted in, or the listener is to stop (`None`).
    async fn room(self: &Rc<Self>, worker: &Rc<Worker>) -> Option<Admission> {
        if let Some(admission) = self.admit(worker) {
            return Some(admission);
        }
        self.complain(worker);
        let wait = poll_fn(|cx: &mut Context<'_>| {
            worker.process.gate.wait(cx.waker());
            // Looked at once more: a connection may have ended before this one joined.
            match self.admit(worker) {
                Some(admission) => Poll::Ready(admission),
                None => Poll::Pending,
            }
        });
        tokio::select! {
            admission = wait => Some(admission),
            () = self.stop.notified() => None,
        }
    }
}

async fn accept_loop(fd: AsyncFd<OwnedFd>, worker: Rc<Worker>, listening: Rc<Listening>) {
    loop {
        let stopping = listening.stopping.get();
        if !stopping {
            tokio::select! {
                ready = fd.readable() => match ready {
                    Ok(mut ready) => {
                        // Room first, accept second: what does not fit stays in the kernel's queue.
                        while let Some(admission) = listening.room(&worker).await {
                            match accept(fd.get_ref().as_raw_fd()) {
                                Ok((fd, peer)) => serve(fd, peer, admission),
                                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                                    ready.clear_ready();
                                    break;
                                }
                                Err(e) => rest(&e).await,
                            }
                        }
                    }
                    Err(e) => {
                        tracing::error!("listener {}: {e}", listening.bind.conf.address);
                        return;
                    }
                },
                () = listening.stop.notified() => {}
            }
            continue;
        }
        while let Some(admission) = listening.admit(&worker)
            && let Ok((fd, peer)) = accept(fd.get_ref().as_raw_fd())
        {
            serve(fd, peer, admission);
        }
        listening.let_go();
        return;
    }
}

/// A connection that was gone before it could be accepted is nothing; a lack of descriptors asks for a pause.
async fn rest(error: &io::Error) {
    if let Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) = error.raw_os_error() {
        tracing::error!("cannot accept: {error}; raise the limit of file descriptors or lower maxconn");
        tokio::time::sleep(EXHAUSTED_PAUSE).await;
    }
}

fn accept(fd: RawFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let mut fresh = -1;
    // SAFETY: `accept4` fills the storage with an address of at most the given length, which `try_init` declares large
    // enough for any family; the returned descriptor is new and ours.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, len| {
            fresh = libc::accept4(fd, storage.cast(), len, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
            if fresh < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        })?
    };
    // SAFETY: as above.
    Ok((unsafe { OwnedFd::from_raw_fd(fresh) }, address.as_socket()))
}

fn serve(fd: OwnedFd, peer: Option<SocketAddr>, admission: Admission) {
    let stream = match peer {
        Some(_) => tokio::net::TcpStream::from_std(fd.into()).map(Stream::from),
        None => tokio::net::UnixStream::from_std(fd.into()).map(Stream::from),
    };
    match stream {
        Ok(stream) => conn::spawn(stream, peer, admission),
        Err(e) => tracing::error!("cannot watch an accepted connection: {e}"),
    }
}
