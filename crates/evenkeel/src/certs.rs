//! Certificates and keys of tickets while the process runs: listed, replaced, loaded again, watched, told of before they lapse.
//!
//! Lives on the control thread; the supervisor calls [`Certs::follow`] after each reload and [`Certs::tick`] each second. What
//! reads many files runs on a thread that may block. A certificate that cannot be served changes nothing: the one in use stays.
//! Never: touches a connection; each keeps the certificate it was given.

pub mod command;
mod lapse;
mod load;
mod ocsp;
pub mod tickets;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use evenkeel_admin::view::{CertificateView, Lapse, OcspView};
use evenkeel_config::{Config, Tls};
use evenkeel_tls::cert::Cert;
use evenkeel_tls::ocsp as messages;
use evenkeel_tls::terminator::{Served, Terminator};
use serde::{Deserialize, Serialize};

use lapse::Lapses;
use ocsp::{Failure, Schedule};
use watch::Watched;

/// Seconds between two looks at watched files.
const LOOK_EVERY: u64 = 2;
/// Seconds between two rounds of what is slow to change.
const ROUND_EVERY: u64 = 60;

/// What `evenkeel cert` asks of a running process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Tell of certificates: of all, or of those a path or a name means.
    Show(Option<String>),
    /// Serve what this PEM text holds instead of the certificate of that path; without a text, what its file holds now.
    Replace(PathBuf, Option<String>),
    /// Load every file again.
    Reload,
}

/// Certificates of the configuration in force.
pub struct Certs {
    state: RefCell<State>,
    /// Held by whoever loads files: two at once would overtake each other.
    loading: tokio::sync::Mutex<()>,
    /// What was counted since the start.
    pub counted: Counted,
}

/// What was counted since the start.
#[derive(Default)]
pub struct Counted {
    /// Certificates taken in.
    pub ok: Cell<u64>,
    /// Attempts that were refused.
    pub failed: Cell<u64>,
    /// OCSP responses stapled.
    pub ocsp_ok: Cell<u64>,
    /// Attempts to fetch one that failed.
    pub ocsp_failed: Cell<u64>,
}

struct State {
    config: Arc<Config>,
    tls: Arc<Tls>,
    /// When it was loaded, in seconds since 1970.
    loaded: i64,
    /// Certificates that came over the control socket: path and SHA-256.
    sent: HashMap<PathBuf, [u8; 32]>,
    /// By place in [`Tls::built`]; made at the first look.
    watched: HashMap<usize, Watched>,
    schedule: Schedule,
    lapses: Lapses,
    seconds: u64,
}

/// Seconds since 1970.
fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn add(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get() + n);
}

impl Certs {
    /// Of a configuration whose loading began at `loaded`, in seconds since 1970.
    pub fn new(config: Arc<Config>, tls: Arc<Tls>, loaded: i64) -> Rc<Certs> {
        let state = State {
            config,
            tls,
            loaded,
            sent: HashMap::new(),
            watched: HashMap::new(),
            schedule: Schedule::default(),
            lapses: Lapses::default(),
            seconds: 0,
        };
        Rc::new(Certs {
            state: RefCell::new(state),
            loading: tokio::sync::Mutex::default(),
            counted: Counted::default(),
        })
    }

    /// Another configuration is in force.
    pub fn follow(&self, config: Arc<Config>, tls: Arc<Tls>, loaded: i64) {
        let mut state = self.state.borrow_mut();
        state.watched.clear();
        (state.config, state.tls, state.loaded) = (config, tls, loaded);
        if let Some(shared) = state.tls.shared() {
            shared.certs.sweep();
        }
    }

    /// Once a second.
    pub fn tick(self: &Rc<Certs>) {
        let now = unix_now();
        let seconds = {
            let mut state = self.state.borrow_mut();
            state.seconds += 1;
            state.seconds - 1
        };
        if seconds.is_multiple_of(ROUND_EVERY) {
            self.round(now);
        }
        if seconds.is_multiple_of(LOOK_EVERY) {
            self.look();
            self.fetch(now);
        }
    }

    /// OCSP responses that lapsed, keys of tickets, certificates that lapse.
    fn round(&self, now: i64) {
        let tls = Arc::clone(&self.state.borrow().tls);
        if let Some(shared) = tls.shared() {
            shared.tick(now);
        }
        let mut lapsed: Vec<PathBuf> = tls.terminators().flat_map(|terminator| terminator.tick(now)).collect();
        lapsed.sort_unstable();
        lapsed.dedup();
        for path in lapsed {
            tracing::warn!("certificate {}: its OCSP response has lapsed and is stapled no more", path.display());
        }
        let views = self.views();
        for line in self.state.borrow_mut().lapses.due(&views, now) {
            match line.is_error {
                true => tracing::error!("{}", line.text),
                false => tracing::warn!("{}", line.text),
            }
        }
    }

    /// Looks at watched files, and loads what changed.
    fn look(self: &Rc<Certs>) {
        let tls = Arc::clone(&self.state.borrow().tls);
        let which: Vec<usize> =
            tls.built().iter().enumerate().filter(|(_, (bind, _))| bind.watch).map(|(at, _)| at).collect();
        if which.is_empty() {
            return;
        }
        let certs = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let Ok(_loading) = certs.loading.try_lock() else { return };
            let looked_at = Arc::clone(&tls);
            let looking = tokio::task::spawn_blocking(move || {
                let look = |at: usize| {
                    let (bind, terminator) = &looked_at.built()[at];
                    (at, watch::look(&watch::files(bind, terminator, looked_at.stores())))
                };
                which.into_iter().map(look).collect::<Vec<_>>()
            });
            let Ok(looks) = looking.await else { return };
            let changed: Vec<usize> = {
                let mut state = certs.state.borrow_mut();
                if !Arc::ptr_eq(&state.tls, &tls) {
                    return;
                }
                let loaded = state.loaded;
                let take = |(at, look): (usize, watch::Look)| match state.watched.entry(at) {
                    std::collections::hash_map::Entry::Occupied(mut known) => known.get_mut().take(look).then_some(at),
                    std::collections::hash_map::Entry::Vacant(new) => {
                        new.insert(Watched::since(look, loaded));
                        None
                    }
                };
                looks.into_iter().filter_map(take).collect()
            };
            if changed.is_empty() {
                return;
            }
            let report = load::load(&certs, &tls, changed).await;
            for change in &report.changes {
                tracing::info!("watched certificates: {change}");
            }
            for problem in &report.problems {
                tracing::error!("watched certificates: {problem}; what was in use stays");
            }
        });
    }

    /// Fetches the OCSP responses that are due.
    fn fetch(self: &Rc<Certs>, now: i64) {
        let due = {
            let mut state = self.state.borrow_mut();
            let tls = Arc::clone(&state.tls);
            let wanted: Vec<(Arc<Cert>, String)> = wanting(&tls);
            let wanted: Vec<(&Path, [u8; 32], Option<i64>)> =
                wanted.iter().map(|(cert, _)| (&*cert.path, cert.sha256, cert.ocsp_until)).collect();
            state.schedule.follow(&wanted, now);
            state.schedule.due(now)
        };
        for (path, sha256) in due {
            let certs = Rc::clone(self);
            tokio::task::spawn_local(async move {
                let outcome = certs.staple(&path, sha256).await;
                certs.stapled(&path, sha256, outcome);
            });
        }
    }

    /// Fetches one response and staples it; until when it holds.
    async fn staple(&self, path: &Path, sha256: [u8; 32]) -> Result<i64, Failure> {
        let cert = self.served(path).filter(|cert| cert.sha256 == sha256).ok_or(Failure::Gone)?;
        let url = messages::responder_url(cert.der()).ok_or(Failure::Gone)?;
        let request = cert.issuer_der().and_then(|issuer| messages::request_der(cert.der(), issuer));
        let request = request.ok_or_else(|| Failure::Check(messages::Unusable::NoIssuer.to_string()))?;
        let response = ocsp::fetch(&url, request).await?;
        let cert = self.served(path).filter(|cert| cert.sha256 == sha256).ok_or(Failure::Gone)?;
        let cert = cert.staple(response, unix_now()).map_err(|unusable| Failure::Check(unusable.to_string()))?;
        self.serve(&Arc::new(cert));
        self.served(path).and_then(|cert| cert.ocsp_until).ok_or(Failure::Gone)
    }

    /// Counts and logs an outcome in the words of HAProxy's log of updates.
    fn stapled(&self, path: &Path, sha256: [u8; 32], outcome: Result<i64, Failure>) {
        let error = outcome.as_ref().err().cloned();
        add(if error.is_none() { &self.counted.ocsp_ok } else { &self.counted.ocsp_failed }, 1);
        let mut state = self.state.borrow_mut();
        let outcome = outcome.map_err(|failure| failure.to_string());
        let Some(after) = state.schedule.done(path, sha256, outcome, unix_now()) else { return };
        let (failed, succeeded) = (after.failed, after.succeeded);
        match error {
            None => tracing::info!("<OCSP-UPDATE> {} 1 \"Update successful\" {failed} {succeeded}", path.display()),
            Some(failure) => tracing::warn!(
                "<OCSP-UPDATE> {} {} {:?} {failed} {succeeded}: {failure}",
                path.display(),
                failure.number(),
                failure.words()
            ),
        }
    }

    /// Serves a certificate wherever one of the same path is served, and keeps it over reloads while its file stays as it is. At
    /// how many binds' settings.
    fn serve(&self, cert: &Arc<Cert>) -> usize {
        let tls = Arc::clone(&self.state.borrow().tls);
        if let Some(shared) = tls.shared() {
            shared.certs.put(cert);
        }
        tls.terminators().filter(|terminator| terminator.replace(cert)).count()
    }

    /// The certificate that is served for a path.
    fn served(&self, path: &Path) -> Option<Arc<Cert>> {
        let tls = Arc::clone(&self.state.borrow().tls);
        tls.terminators().find_map(|terminator| Some(Arc::clone(&entry(terminator, path)?.cert)))
    }

    /// Every certificate that is served, the one that ends first at the front.
    pub fn views(&self) -> Vec<CertificateView> {
        let state = self.state.borrow();
        let now = unix_now();
        let mut users: HashMap<*const Terminator, Vec<&str>> = HashMap::new();
        for front in &state.config.frontends {
            for at in 0..front.binds.len() {
                let Some(terminator) = state.tls.terminator(&front.name, at) else { continue };
                let names = users.entry(Arc::as_ptr(terminator)).or_default();
                if !names.contains(&&*front.name) {
                    names.push(&front.name);
                }
            }
        }
        let mut found: BTreeMap<PathBuf, CertificateView> = BTreeMap::new();
        for (bind, terminator) in state.tls.built() {
            let names = users.get(&Arc::as_ptr(terminator)).map(Vec::as_slice).unwrap_or_default();
            for served in terminator.served() {
                let view = found.entry(served.cert.path.clone()).or_insert_with(|| view(&served.cert, &state, now));
                view.watched |= bind.watch;
                for name in names {
                    if !view.frontends.iter().any(|known| known == name) {
                        view.frontends.push((*name).to_owned());
                    }
                }
                let update = served.source.ocsp_update.unwrap_or(bind.ocsp_update);
                if update || served.cert.ocsp_until.is_some() {
                    let ocsp = view.ocsp.get_or_insert_with(|| ocsp_view(&served.cert, &state));
                    ocsp.update |= update;
                }
            }
        }
        let mut views: Vec<CertificateView> = found.into_values().collect();
        views.sort_by_key(|view| view.not_after);
        views
    }

    /// Certificates by path, by the name of their file, or by a name they are for; all without a word.
    pub fn show(&self, word: Option<&str>) -> Result<Vec<CertificateView>, String> {
        let mut views = self.views();
        let Some(word) = word else { return Ok(views) };
        let lower = word.to_ascii_lowercase();
        let is_path = |view: &CertificateView| view.path == word;
        if !views.iter().any(is_path) {
            let is_file = |view: &CertificateView| Path::new(&view.path).file_name().is_some_and(|name| name == word);
            views.retain(|view| is_file(view) || view.names.contains(&lower));
        } else {
            views.retain(is_path);
        }
        match views.is_empty() {
            true => {
                Err(format!("no certificate is served from {word} or for that name; `evenkeel cert list` shows all"))
            }
            false => Ok(views),
        }
    }

    /// Serves another certificate in place of the one of `path`: that of `pem`, else what its file holds now. Says what came of it.
    ///
    /// # Errors
    /// Every mistake in it; nothing is changed then.
    pub fn replace(&self, path: &Path, pem: Option<&str>) -> Result<String, String> {
        let replaced = self.try_replace(path, pem);
        match &replaced {
            Ok(said) => {
                add(&self.counted.ok, 1);
                tracing::info!("certificate replaced: {}", said.lines().collect::<Vec<_>>().join("; "));
            }
            Err(why) => {
                add(&self.counted.failed, 1);
                tracing::error!("certificate {} was not replaced: {why}", path.display());
            }
        }
        replaced
    }

    fn try_replace(&self, path: &Path, pem: Option<&str>) -> Result<String, String> {
        let old = self.served(path).ok_or_else(|| {
            let path = path.display();
            format!("no certificate is served from {path}; `evenkeel cert list` shows the paths of all")
        })?;
        let mut problems = Vec::new();
        let tls = Arc::clone(&self.state.borrow().tls);
        let cert = match pem {
            Some(pem) => Cert::from_pem(path, pem.as_bytes(), unix_now(), &mut problems).map(Arc::new),
            None => load::from_file(&tls, path, &mut problems),
        };
        let Some(cert) = cert else { return Err(load::lines(&problems).join("\n")) };
        let binds = self.serve(&cert);
        match pem {
            Some(_) => drop(self.state.borrow_mut().sent.insert(path.to_owned(), cert.sha256)),
            None => drop(self.state.borrow_mut().sent.remove(path)),
        }
        let mut said = format!("{}, at {binds} bind(s)", load::sentence('~', &cert, Some(&old)));
        let lost: Vec<&str> = old.names.iter().filter(|name| !cert.names.contains(name)).map(|name| &**name).collect();
        if !lost.is_empty() {
            said.push_str(&format!("\nwarning: it is not for {} any more", lost.join(", ")));
        }
        let lapse = Lapse::of(cert.not_before, cert.not_after, unix_now());
        if matches!(lapse, Lapse::Expired | Lapse::NotYet) && pem.is_some() {
            said.push_str("\nwarning: clients refuse it: its time is over or has not begun");
        }
        for line in load::lines(&problems) {
            said.push_str(&format!("\nwarning: {line}"));
        }
        Ok(said)
    }

    /// Loads every file of every bind again; what changed, a line each, or what is wrong.
    pub async fn reload(self: &Rc<Certs>) -> Result<String, String> {
        let _loading = self.loading.lock().await;
        let tls = Arc::clone(&self.state.borrow().tls);
        let all = (0..tls.built().len()).collect();
        let report = load::load(self, &tls, all).await;
        let mut lines = report.changes;
        match report.problems.is_empty() {
            true if lines.is_empty() => Ok("nothing changed".to_owned()),
            true => Ok(lines.join("\n")),
            false => {
                let what = if lines.is_empty() { "nothing was changed" } else { "these were taken in all the same:" };
                lines.insert(0, what.to_owned());
                Err(format!("{}\n{}", report.problems.join("\n"), lines.join("\n")))
            }
        }
    }

    /// The keys of tickets.
    pub fn tickets(&self, ask: &tickets::Ask) -> Result<(Vec<tickets::Keys>, String), String> {
        let tls = Arc::clone(&self.state.borrow().tls);
        let answered = tickets::answer(tls.shared().map(|shared| &**shared), ask, unix_now());
        if let (Ok((_, said)), false) = (&answered, *ask == tickets::Ask::Show) {
            tracing::info!("{said}");
        }
        answered
    }
}

/// Where a terminator serves the certificate of a path.
fn entry(terminator: &Terminator, path: &Path) -> Option<Arc<Served>> {
    terminator.served().into_iter().find(|served| served.cert.path == path)
}

/// Certificates whose responses are to be fetched, with whom to ask.
fn wanting(tls: &Tls) -> Vec<(Arc<Cert>, String)> {
    let mut found: BTreeMap<PathBuf, (Arc<Cert>, String)> = BTreeMap::new();
    for (bind, terminator) in tls.built() {
        for served in terminator.served() {
            let wants = served.source.ocsp_update.unwrap_or(bind.ocsp_update);
            if wants
                && !found.contains_key(&served.cert.path)
                && let Some(url) = messages::responder_url(served.cert.der())
            {
                found.insert(served.cert.path.clone(), (Arc::clone(&served.cert), url));
            }
        }
    }
    found.into_values().collect()
}

fn view(cert: &Cert, state: &State, now: i64) -> CertificateView {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    CertificateView {
        path: cert.path.display().to_string(),
        names: cert.names.iter().map(|name| name.to_string()).collect(),
        issuer: cert.issued_by.to_string(),
        serial: hex(&cert.serial),
        sha256: hex(&cert.sha256),
        key: match cert.signs.name() {
            "RSA" => format!("RSA {}", cert.key_bits),
            name => name.to_owned(),
        },
        chain: cert.key.cert.len().saturating_sub(1),
        not_before: cert.not_before,
        not_after: cert.not_after,
        days_left: cert.expires_in(now).div_euclid(86_400),
        lapse: Lapse::of(cert.not_before, cert.not_after, now),
        frontends: Vec::new(),
        watched: false,
        sent: state.sent.get(&cert.path) == Some(&cert.sha256),
        ocsp: None,
    }
}

fn ocsp_view(cert: &Cert, state: &State) -> OcspView {
    let known = state.schedule.of(&cert.path);
    let responder = messages::responder_url(cert.der());
    let error = match (&responder, known) {
        (_, Some(known)) => known.error.clone(),
        (None, None) => Some("the certificate names no responder".to_owned()),
        (Some(_), None) => None,
    };
    OcspView {
        until: cert.ocsp_until,
        update: false,
        responder,
        next: known.map(|known| known.next),
        succeeded: known.map_or(0, |known| known.succeeded),
        failed: known.map_or(0, |known| known.failed),
        error,
    }
}
