//! The supervisor: starts everything, then waits for signals and requests on the control thread.
//!
//! A reload is: load → build → open new sockets → commit by one store → tell the workers. Until the store, any failure drops
//! what was built and changes nothing.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use evenkeel_acl::pattern::Stores;
use evenkeel_acl::stick::Tables;
use evenkeel_admin::Source as _;
use evenkeel_admin::metrics::{self, Selection};
use evenkeel_admin::view::ReloadView;
use evenkeel_backend::{Checker, Notice, Registry, Server};
use evenkeel_config::{Config, LoadOptions, OnRemove, Tls};
use evenkeel_frontend::{Command, Frontends, Handle, Lasting, Logs, Process, Scrape, Shared, Snapshot};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::certs::{self, Certs};
use crate::control::{self, Asked, Outcome, Request};
use crate::listeners::Listeners;
use crate::picture::{Picture, unix_now};
use crate::{ask, limits};

/// What `evenkeel run` was asked for.
#[derive(Debug)]
pub struct Options {
    /// Configuration files and directories.
    pub paths: Vec<PathBuf>,
    /// Pid file of the command line; wins over `global.pid-file`.
    pub pid_file: Option<PathBuf>,
    /// Control socket in the file system.
    pub socket: Option<PathBuf>,
}

/// A configuration with the files it names.
struct Ready {
    config: Arc<Config>,
    stores: Arc<Stores>,
    tls: Arc<Tls>,
    /// When loading began, in seconds since 1970.
    began: i64,
}

/// Loads `paths`; on error the rendered diagnostics. Pattern files, maps and certificates that did not change are taken over
/// from `previous`, with what was edited at run time.
///
/// # Errors
/// The diagnostics as `evenkeel check` prints them.
fn load(paths: &[PathBuf], previous: Option<(&Stores, &Tls)>) -> Result<Ready, String> {
    let options = LoadOptions {
        previous: previous.map(|(stores, _)| stores),
        previous_tls: previous.map(|(_, tls)| tls),
        ..LoadOptions::system()
    };
    let began = i64::try_from(unix_now()).unwrap_or(i64::MAX);
    let loaded = evenkeel_config::load_with(paths, &options);
    let text = loaded.render(false);
    match loaded.config {
        Some(config) => {
            if !text.is_empty() {
                tracing::warn!("the configuration has warnings:\n{}", text.trim_end());
            }
            Ok(Ready { config: Arc::new(config), stores: loaded.stores, tls: loaded.tls, began })
        }
        None => Err(text),
    }
}

/// Serves until the process is told to leave.
///
/// # Errors
/// Why it could not start, in one sentence (or the diagnostics of the configuration).
pub fn run(options: &Options) -> Result<(), String> {
    let descriptors = limits::raise_descriptors();
    let ready = load(&options.paths, None)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .map_err(|e| format!("cannot start: {e}; raise the limit of file descriptors (`ulimit -n`)"))?;
    runtime.block_on(async {
        let mut supervisor = Supervisor::start(options, ready, descriptors).await?;
        supervisor.steer().await;
        Ok(())
    })
}

/// Renders the metrics that clients ask for through a frontend, one request after the other.
async fn export(mut scrapes: mpsc::Receiver<Scrape>, picture: Rc<Picture>) {
    while let Some(scrape) = scrapes.recv().await {
        if !scrape.is_given_up() {
            let text = metrics::render(&Arc::new(picture.view()), &Selection::parse(&scrape.query));
            scrape.answer(text);
        }
        // The operator's doors and the health checks have their turn between two of them.
        tokio::task::yield_now().await;
    }
}

struct Supervisor {
    paths: Vec<PathBuf>,
    pid_file: Option<PidFile>,
    socket: Option<PathBuf>,
    descriptors: u64,
    shared: Arc<Shared>,
    registry: Registry,
    frontends: Frontends,
    /// The pattern files and maps of the configuration in force.
    stores: Arc<Stores>,
    /// What its TLS is made of.
    tls: Arc<Tls>,
    listeners: Listeners,
    workers: Rc<Vec<Handle>>,
    checker: Checker,
    certs: Rc<Certs>,
    picture: Rc<Picture>,
    admin: Option<AdminDoor>,
    requests: mpsc::UnboundedReceiver<Asked>,
    log_thread: Option<std::thread::JoinHandle<()>>,
}

/// The operator's listener under way.
struct AdminDoor {
    listen: std::net::SocketAddr,
    refresh: Option<Duration>,
    stop: oneshot::Sender<()>,
}

/// A pid file that is removed at the end.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path) -> Result<PidFile, String> {
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|e| format!("cannot write the pid file {}: {e}", path.display()))?;
        Ok(PidFile(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Left behind it would name a process that is gone; but a successor may have written its own already.
        let ours = std::fs::read_to_string(&self.0).is_ok_and(|t| t.trim() == std::process::id().to_string());
        if ours {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// Stick-table entries of each table that are looked at every second to see whether they expired.
const ENTRIES_A_TICK: usize = 20_000;

/// How often the supervisor looks whether the workers have left, during a soft stop.
const LEAVING_TICK: Duration = Duration::from_millis(20);

impl Supervisor {
    async fn start(options: &Options, ready: Ready, descriptors: u64) -> Result<Supervisor, String> {
        let Ready { config, stores, tls, began } = ready;
        let workers = limits::workers(config.global.threads);
        let registry = Registry::new(workers);
        let frontends = Frontends::new(workers);
        // One ring more than workers: the control thread logs server states.
        let logs = Logs::new(workers + 1, config.global.tune.log_buffer, &config.global.log_tag);
        logs.identify(&config.global.log_tag, config.global.log_hostname.as_deref());
        let (resolvers, desk) = evenkeel_dns::desk();
        let before = Lasting { tables: &Tables::default(), resolvers: &resolvers };
        let snapshot = Snapshot::build(1, config.clone(), &registry, &frontends, &logs, before, &tls);
        let mut listeners = Listeners::default();
        let prepared = listeners.prepare(&snapshot, workers).map_err(|e| e.to_string())?;
        let admin = match &config.global.admin {
            Some(admin) => Some((bind_admin(admin.listen).await?, admin.refresh)),
            None => None,
        };
        let pid_file = options.pid_file.clone().or_else(|| config.global.pid_file.clone());
        let pid_file = pid_file.as_deref().map(PidFile::write).transpose()?;
        let (ask, requests) = mpsc::unbounded_channel();
        control::listen(options.socket.as_deref(), &ask)?;

        // From here on the start cannot fail but for threads.
        let log_thread = logs.start().map_err(|e| format!("cannot start the log thread: {e}"))?;
        let groups = snapshot.groups.clone();
        let process = Arc::new(Process::new(workers, limits::maxconn(config.global.maxconn, descriptors)));
        process.set_vars(&config.global.set_vars, None);
        let snapshot = Arc::new(snapshot);
        let shared =
            Arc::new(Shared { snapshot: Arc::new(ArcSwap::new(snapshot.clone())), process, logs: logs.clone() });
        let certs = Certs::new(config.clone(), tls.clone(), began);
        let picture = Picture::new(shared.clone(), workers, certs.clone());
        picture.status.generations.borrow_mut().push(Arc::downgrade(&snapshot));
        picture.status.config_loaded.set(unix_now());
        let handles: Result<Vec<_>, _> = (0..workers).map(|id| evenkeel_frontend::spawn(id, shared.clone())).collect();
        let handles =
            handles.map_err(|e| format!("cannot start a worker: {e}; raise the limit of file descriptors"))?;
        tokio::task::spawn_local(desk.serve());
        registry.commit(&groups);
        let mut checker = Checker::new(notices(logs, workers));
        checker.follow(&groups);
        listeners.commit(prepared, &snapshot, &handles);
        drop(snapshot);
        picture.status.listeners.set(listeners.len() as u32);
        if let Some(scrapes) = shared.process.exporter.open() {
            tokio::task::spawn_local(export(scrapes, picture.clone()));
        }
        let mut supervisor = Supervisor {
            paths: options.paths.clone(),
            pid_file,
            socket: options.socket.clone(),
            descriptors,
            shared,
            registry,
            frontends,
            stores,
            tls,
            listeners,
            workers: Rc::new(handles),
            checker,
            certs,
            picture,
            admin: None,
            requests,
            log_thread: Some(log_thread),
        };
        if let Some((listener, refresh)) = admin {
            supervisor.open_admin(listener, refresh)?;
        }
        tracing::info!(
            "evenkeel {} serves with {workers} worker(s); maxconn {}; configuration: {}",
            env!("CARGO_PKG_VERSION"),
            supervisor.shared.process.maxconn.load(SeqCst),
            supervisor.paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
        );
        for front in &config.frontends {
            for bind in &front.binds {
                tracing::info!("frontend {} listens on {}", front.name, bind.address);
            }
        }
        Ok(supervisor)
    }

    fn open_admin(&mut self, listener: tokio::net::TcpListener, refresh: Option<Duration>) -> Result<(), String> {
        let listen = listener.local_addr().map_err(|e| e.to_string())?;
        let (stop, stopped) = oneshot::channel();
        let source: Rc<dyn evenkeel_admin::Source> = self.picture.clone();
        tokio::task::spawn_local(evenkeel_admin::serve(listener, source, refresh, async {
            let _ = stopped.await;
        }));
        tracing::info!("stats page on http://{listen}/");
        if let Some(old) = self.admin.replace(AdminDoor { listen, refresh, stop }) {
            let _ = old.stop.send(());
        }
        Ok(())
    }

    async fn steer(&mut self) {
        let Ok(mut signals) = Signals::new() else {
            tracing::error!("cannot listen for signals");
            return;
        };
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let event = tokio::select! {
                event = signals.next() => event,
                Some(asked) = self.requests.recv() => Event::Asked(asked),
                _ = second.tick() => {
                    self.picture.tick();
                    self.certs.tick();
                    self.expire_entries();
                    continue;
                }
            };
            match event {
                Event::Hup => {
                    self.shared.logs.reopen();
                    self.reload().await;
                }
                Event::Usr2 => drop(self.reload().await),
                Event::Asked((Request::Reload, reply)) => {
                    let outcome = self.reload().await;
                    let _ = reply.send(outcome);
                }
                Event::Asked((Request::Cert(certs::Ask::Reload), reply)) => self.reload_certificates(reply),
                Event::Asked((request, reply)) => drop(reply.send(self.answer(&request))),
                Event::Drain(why) => {
                    self.drain(why, &mut signals).await;
                    return;
                }
            }
        }
    }

    /// Files of certificates are read on a thread of their own; signals and requests are heard meanwhile.
    fn reload_certificates(&self, reply: oneshot::Sender<Outcome>) {
        let (certs, shared) = (self.certs.clone(), self.shared.clone());
        tokio::task::spawn_local(async move {
            let done = certs.reload().await;
            let generation = shared.snapshot.load().generation;
            let (ok, message) = match done {
                Ok(said) => (true, said),
                Err(why) => (false, why),
            };
            // Whoever asked may have gone; it is done all the same.
            let _ = reply.send(Outcome { ok, generation, message, ..Outcome::default() });
        });
    }

    /// Answers what does not need to wait.
    fn answer(&self, request: &Request) -> Outcome {
        let generation = self.shared.snapshot.load().generation;
        let said = |answer: Result<serde_json::Value, String>| match answer {
            Ok(answer) => Outcome { ok: true, generation, answer, ..Outcome::default() },
            Err(message) => Outcome { generation, message, ..Outcome::default() },
        };
        let json = |value: serde_json::Result<serde_json::Value>| value.map_err(|e| e.to_string());
        match request {
            Request::Cert(certs::Ask::Show(which)) => {
                said(self.certs.show(which.as_deref()).and_then(|found| json(serde_json::to_value(found))))
            }
            Request::Cert(certs::Ask::Replace(path, pem)) => match self.certs.replace(path, pem.as_deref()) {
                Ok(message) => Outcome { ok: true, generation, message, ..Outcome::default() },
                Err(message) => said(Err(message)),
            },
            Request::Tickets(ask) => match self.certs.tickets(ask) {
                Ok((keys, message)) => Outcome { message, ..said(json(serde_json::to_value(keys))) },
                Err(message) => said(Err(message)),
            },
            Request::Cert(certs::Ask::Reload) => said(Err("the process is draining and loads nothing more".to_owned())),
            Request::Reload => said(Err("the process is draining and reloads no more".to_owned())),
            Request::Errors => {
                Outcome { ok: true, generation, failures: self.picture.failures(), ..Outcome::default() }
            }
            Request::Resolvers => said(json(serde_json::to_value(self.picture.resolvers()))),
            Request::Explain(asked) => {
                let (question, told) = &**asked;
                let walk = ask::explain_live(&self.shared, question, told);
                said(walk.and_then(|walk| json(serde_json::to_value(walk))))
            }
            Request::Why(wanted) => {
                let past = ask::past(&self.shared, wanted);
                if past.is_empty() && (wanted.id.is_some() || wanted.client.is_some()) {
                    return said(Err(ask::nothing_past(&self.shared, wanted)));
                }
                let message = if past.is_empty() { ask::nothing_past(&self.shared, wanted) } else { String::new() };
                Outcome { message, ..said(json(serde_json::to_value(past))) }
            }
        }
    }

    /// Loads the configuration again; what happened is answered, logged, counted, and shown on the stats page.
    async fn reload(&mut self) -> Outcome {
        let began = Instant::now();
        let outcome = match self.try_reload().await {
            Ok((generation, changes)) => {
                let message = format!(
                    "reloaded in {} ms: generation {generation} is in force\n{changes}",
                    began.elapsed().as_millis()
                );
                tracing::info!("{}", message.trim_end());
                self.picture.status.reloads_ok.set(self.picture.status.reloads_ok.get() + 1);
                self.picture.status.config_loaded.set(unix_now());
                Outcome { ok: true, generation, message, changes: changes.to_json(), ..Outcome::default() }
            }
            Err(why) => {
                let generation = self.shared.snapshot.load().generation;
                tracing::error!("reload failed, generation {generation} stays in force:\n{}", why.trim_end());
                self.picture.status.reloads_failed.set(self.picture.status.reloads_failed.get() + 1);
                let message =
                    format!("{}\nnothing was changed: generation {generation} stays in force", why.trim_end());
                Outcome { generation, message, ..Outcome::default() }
            }
        };
        let error = (!outcome.ok).then(|| outcome.message.clone());
        *self.picture.status.last_reload.borrow_mut() = Some(ReloadView { at_unix: unix_now(), error });
        outcome
    }

    async fn try_reload(&mut self) -> Result<(u64, evenkeel_config::plan::Plan), String> {
        let Ready { config, stores, tls, began } = load(&self.paths, Some((&self.stores, &self.tls)))?;
        if config.global.test_before_reload {
            ask::must_hold(&config)?;
        }
        let old = self.shared.snapshot.load_full();
        let plan = evenkeel_config::plan::plan(&old.config, &config).with_files(&self.stores, &stores);
        let generation = old.generation + 1;

        // Build: everything that can fail, before anything changes.
        let snapshot = Snapshot::build(
            generation,
            config.clone(),
            &self.registry,
            &self.frontends,
            &self.shared.logs,
            Lasting { tables: &old.tables, resolvers: &old.resolvers },
            &tls,
        );
        let prepared = self.listeners.prepare(&snapshot, self.workers.len()).map_err(|e| e.to_string())?;
        let admin = match &config.global.admin {
            Some(new) if self.admin.as_ref().is_none_or(|a| a.listen != new.listen) => {
                Some((bind_admin(new.listen).await?, new.refresh))
            }
            _ => None,
        };

        // Commit: from here on nothing can fail.
        let groups = snapshot.groups.clone();
        let snapshot = Arc::new(snapshot);
        self.picture.status.generations.borrow_mut().push(Arc::downgrade(&snapshot));
        self.shared.process.maxconn.store(limits::maxconn(config.global.maxconn, self.descriptors), SeqCst);
        self.shared.process.set_vars(&config.global.set_vars, Some(&old.config.global.set_vars));
        let gone = self.registry.commit(&groups);
        snapshot.tables.commit();
        self.shared.logs.identify(&config.global.log_tag, config.global.log_hostname.as_deref());
        self.shared.snapshot.store(snapshot);
        self.stores = stores;
        self.tls = tls;
        self.certs.follow(config.clone(), self.tls.clone(), began);
        self.frontends.retain(&config);
        self.listeners.commit(prepared, &old, &self.workers);
        drop(old);
        self.workers.iter().for_each(|w| w.send(Command::Refresh));
        self.shared.process.gate.open();
        self.checker.follow(&groups);
        self.picture.status.listeners.set(self.listeners.len() as u32);
        gone.into_iter().for_each(|(server, policy)| self.part_with(server, policy));
        match (admin, &config.global.admin) {
            (Some((listener, refresh)), _) => self.open_admin(listener, refresh)?,
            (None, None) => self.close_admin(),
            (None, Some(new)) => self.refresh_admin(new.refresh).await?,
        }
        Ok((generation, plan))
    }

    /// Gives back the memory of stick-table entries that nobody asks for any more, a part of each table at a time.
    fn expire_entries(&self) {
        let now = self.shared.process.now_ms();
        for table in self.shared.snapshot.load().tables.iter() {
            table.expire(now, ENTRIES_A_TICK);
        }
    }

    fn close_admin(&mut self) {
        if let Some(old) = self.admin.take() {
            let _ = old.stop.send(());
        }
    }

    /// Only the page's refresh interval changed: the same listener is served anew.
    async fn refresh_admin(&mut self, refresh: Option<Duration>) -> Result<(), String> {
        match &self.admin {
            Some(door) if door.refresh != refresh => {
                let listen = door.listen;
                self.close_admin();
                // The old listener closes when its task sees the word.
                tokio::task::yield_now().await;
                let listener = bind_admin(listen).await?;
                self.open_admin(listener, refresh)
            }
            _ => Ok(()),
        }
    }

    /// What happens to the open connections of a server that left the configuration.
    fn part_with(&self, server: Arc<Server>, policy: OnRemove) {
        let workers = self.workers.clone();
        let close = move |server: &Server| {
            server.cut();
            workers.iter().for_each(|w| w.send(Command::Look));
        };
        match policy {
            OnRemove::Keep => {}
            OnRemove::Close => close(&server),
            OnRemove::Drain(time) => drop(tokio::task::spawn_local(async move {
                tokio::time::sleep(time).await;
                close(&server);
            })),
        }
    }

    /// The soft stop: listeners close, running work ends by itself, until all is done or `hard-stop-after` is over.
    async fn drain(&mut self, why: &str, signals: &mut Signals) {
        let limit = self.shared.snapshot.load().config.global.hard_stop_after;
        tracing::info!(
            "{why}: draining {} connection(s){}",
            self.shared.process.connections.now(),
            limit.map_or(String::new(), |l| format!(", at most {} s", l.as_secs_f32()))
        );
        self.shared.process.drain();
        self.workers.iter().for_each(|w| w.send(Command::Drain));
        let deadline = limit.map(|l| Instant::now() + l);
        let mut tick = tokio::time::interval(LEAVING_TICK);
        while !self.workers.iter().all(Handle::is_finished) {
            tokio::select! {
                _ = tick.tick() => {}
                event = signals.next() => if let Event::Drain("SIGINT") = event {
                    tracing::warn!("SIGINT again: leaving at once");
                    break;
                },
                Some((request, reply)) = self.requests.recv() => drop(reply.send(self.answer(&request))),
            }
            if deadline.is_some_and(|d| Instant::now() >= d) {
                tracing::warn!(
                    "hard-stop-after is over: closing {} connection(s)",
                    self.shared.process.connections.now()
                );
                break;
            }
        }
        self.leave();
    }

    fn leave(&mut self) {
        self.listeners.remove_files();
        if let Some(path) = &self.socket {
            let _ = std::fs::remove_file(path);
        }
        self.pid_file = None;
        self.shared.logs.stop();
        if let Some(thread) = self.log_thread.take() {
            // The last lines are written; a log thread that panicked has nothing more to say.
            let _ = thread.join();
        }
        tracing::info!("bye");
        // Workers that still hold connections after a hard stop end with the process.
        std::process::exit(0);
    }
}

async fn bind_admin(listen: std::net::SocketAddr) -> Result<tokio::net::TcpListener, String> {
    tokio::net::TcpListener::bind(listen).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "cannot listen on {listen} (global.admin): the address is in use by another process; `ss -ltnp` shows which \
             one: stop it, or choose another address"
        ),
        _ if e.raw_os_error() == Some(libc::EMFILE) => format!(
            "cannot listen on {listen} (global.admin): no file descriptor is left; raise the limit (`ulimit -n`, systemd: \
             LimitNOFILE=)"
        ),
        _ => format!("cannot listen on {listen} (global.admin): {e}"),
    })
}

/// Server states go to the program log and to the loggers of their proxy.
fn notices(logs: Arc<Logs>, ring: usize) -> evenkeel_backend::NoticeSink {
    Rc::new(move |notice: Notice| {
        match notice.level {
            0..=3 => tracing::error!("{}", notice.text),
            4 => tracing::warn!("{}", notice.text),
            _ => tracing::info!("{}", notice.text),
        }
        for target in &notice.group.conf.log {
            let target = logs.target(target);
            logs.line(ring, &target, notice.level, |out| out.extend_from_slice(notice.text.as_bytes()));
        }
    })
}

enum Event {
    Hup,
    Usr2,
    Drain(&'static str),
    Asked(Asked),
}

struct Signals {
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.hup.recv() => Event::Hup,
            _ = self.usr2.recv() => Event::Usr2,
            _ = self.usr1.recv() => Event::Drain("SIGUSR1"),
            _ = self.term.recv() => Event::Drain("SIGTERM"),
            _ = self.int.recv() => Event::Drain("SIGINT"),
        }
    }
}
