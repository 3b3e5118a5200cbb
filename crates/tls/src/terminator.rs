//! TLS of one bind: which certificate and which settings a ClientHello gets.
//!
//! Built at load, shared by all workers, asked once a handshake: a look-up by name, and no allocation. Every certificate has a
//! `rustls::ServerConfig` made beforehand, so what rustls asks of it has one answer. Certificates are replaced at run time by
//! swapping the whole table; connections keep what they were given. Never: sockets, sessions.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use evenkeel_proto::hello::ClientHello;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{KeyLog, ServerConfig, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use crate::cert::Cert;
use crate::crt_list::{self, Settings};
use crate::files::Files;
use crate::names::{self, Filter, Index, Signs};
use crate::options::{BindTls, CertSource, CrtStores};
use crate::policy;
use crate::problem::{Problem, any_error};
use crate::sessions::Cache;
use crate::shared::Shared;
use crate::store::Loader;
use crate::tickets::{Ring, Ticketer};
use crate::verify::ClientVerifier;

/// Bytes of early data accepted, as much as one buffer holds.
const MAX_EARLY_DATA: u32 = 16 * 1024;

/// Gives every ClientHello of one bind its certificate.
#[derive(Debug)]
pub struct Terminator {
    strict_sni: bool,
    /// Of the bind, for certificates that say nothing themselves.
    ocsp_update: bool,
    table: ArcSwap<Table>,
    /// Files and folders named by the configuration.
    sources: Vec<PathBuf>,
}

/// What a connection is served with.
#[derive(Debug)]
pub struct Served {
    /// For the session.
    pub config: Arc<ServerConfig>,
    /// The certificate shown.
    pub cert: Arc<Cert>,
    /// Asks for client certificates.
    pub client: Option<Arc<ClientVerifier>>,
    /// How the certificate was named; several certificates share that of their folder or bundle.
    pub source: Arc<CertSource>,
    profile: Arc<Profile>,
    filters: Arc<[Filter]>,
}

/// Why a hello gets nothing: `strict-sni`. HAProxy too ends the handshake then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No certificate is for the name.
    UnknownName,
    /// The hello names nobody.
    NoName,
}

impl Refused {
    /// The fatal alert `unrecognized_name` (RFC 6066 §3) in a record, to be sent before closing.
    pub const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
}

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Arc<Served>>,
    index: Index,
    /// Named as default, and the first loaded, which stands in for them.
    defaults: (Box<[u32]>, Box<[u32]>),
}

/// Settings as rustls takes them, for every certificate that has the same.
#[derive(Debug)]
struct Profile {
    /// A configuration without a certificate.
    template: ServerConfig,
    client: Option<Arc<ClientVerifier>>,
    own_schemes: Option<Arc<[SignatureScheme]>>,
}

impl Terminator {
    /// Loads all that `bind` names. Every mistake is reported; `None` when one of them is an error. `now` is in seconds since 1970.
    pub fn new(
        bind: &BindTls,
        stores: &CrtStores,
        shared: &Shared,
        files: &Files,
        now: i64,
        problems: &mut Vec<Problem>,
    ) -> Option<Terminator> {
        let loader = Loader { files, store: &shared.certs, stores, now };
        let mut builder = Builder {
            bind,
            shared,
            loader,
            ring: None,
            profiles: HashMap::new(),
            entries: Vec::new(),
            said: Vec::new(),
        };
        let terminator = builder.build();
        let failed = any_error(&builder.said);
        problems.append(&mut builder.said);
        terminator.filter(|_| !failed)
    }

    /// What the client of this hello is served with.
    pub fn choose(&self, hello: &ClientHello<'_>) -> Result<Arc<Served>, Refused> {
        self.choose_by(hello.sni(), Signs::of_client(hello), || hello.alpn())
    }

    /// The same by parts: the name asked for, the keys whose signatures the client can check, the protocols it offers.
    pub fn choose_by<'h, A: Iterator<Item = &'h [u8]>>(
        &self,
        sni: Option<&[u8]>,
        client: Signs,
        alpn: impl FnOnce() -> A,
    ) -> Result<Arc<Served>, Refused> {
        let table = self.table.load();
        let place = table.find(sni, client, self.strict_sni)?;
        let served = table.entries.get(place as usize).ok_or(Refused::UnknownName)?;
        let ours = &served.config.alpn_protocols;
        // rustls ends the handshake when no protocol is common to both. HAProxy goes on without one, and old clients rely on it.
        let mut theirs = alpn().peekable();
        if !ours.is_empty() && theirs.peek().is_some() && !theirs.any(|name| ours.iter().any(|own| own == name)) {
            let mut config = ServerConfig::clone(&served.config);
            config.alpn_protocols.clear();
            return Ok(Arc::new(served.with_config(Arc::new(config))));
        }
        Ok(Arc::clone(served))
    }

    /// Serves this certificate wherever one of the same path was served. Connections keep theirs. Whether there was any.
    pub fn replace(&self, cert: &Arc<Cert>) -> bool {
        let table = self.table.load();
        if !table.entries.iter().any(|entry| entry.cert.path == cert.path) {
            return false;
        }
        let entries = table.entries.iter().map(|entry| match entry.cert.path == cert.path {
            true => Arc::new(entry.with_cert(Arc::clone(cert))),
            false => Arc::clone(entry),
        });
        self.table.store(Arc::new(Table::new(entries.collect(), table.defaults.clone())));
        true
    }

    /// Serves what another terminator of the same bind would, built of files that changed meanwhile.
    pub fn adopt(&self, fresh: Terminator) {
        self.table.store(fresh.table.load_full());
    }

    /// Stops stapling OCSP responses whose time is over, and says to which certificates. To be called once a minute or so.
    pub fn tick(&self, now: i64) -> Vec<PathBuf> {
        let table = self.table.load();
        let is_over = |entry: &&Arc<Served>| entry.cert.ocsp_until.is_some_and(|until| until <= now);
        let lapsed: Vec<Arc<Cert>> =
            table.entries.iter().filter(is_over).map(|entry| Arc::clone(&entry.cert)).collect();
        let mut paths = Vec::new();
        for cert in lapsed {
            if !paths.contains(&cert.path) {
                paths.push(cert.path.clone());
                self.replace(&Arc::new(cert.with_ocsp(None)));
            }
        }
        paths
    }

    /// The certificates served, each once, in the order of the configuration.
    pub fn certificates(&self) -> Vec<Arc<Cert>> {
        self.distinct(|_| true)
    }

    /// The certificates whose OCSP responses are to be fetched, each once. [`Cert::staple`] checks a response and
    /// [`Shared::commit`] serves what comes of it.
    pub fn wanting_ocsp(&self) -> Vec<Arc<Cert>> {
        self.distinct(|entry| entry.source.ocsp_update.unwrap_or(self.ocsp_update))
    }

    fn distinct(&self, wanted: impl Fn(&Served) -> bool) -> Vec<Arc<Cert>> {
        let mut seen = HashSet::new();
        let table = self.table.load();
        let entries = table.entries.iter().filter(|entry| wanted(entry) && seen.insert(Arc::as_ptr(&entry.cert)));
        entries.map(|entry| Arc::clone(&entry.cert)).collect()
    }

    /// All that is served, in the order of the configuration: a certificate appears as often as it is named.
    pub fn served(&self) -> Vec<Arc<Served>> {
        self.table.load().entries.clone()
    }

    /// Names that certificates are served for, wildcards counted as one.
    pub fn names(&self) -> usize {
        self.table.load().index.len()
    }

    /// Files and folders to look at for changes: what the configuration names and the files of every certificate.
    pub fn files(&self) -> Vec<PathBuf> {
        let table = self.table.load();
        let mut found = self.sources.clone();
        found.extend(table.entries.iter().map(|entry| entry.cert.path.clone()));
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Table {
    fn new(entries: Vec<Arc<Served>>, defaults: (Box<[u32]>, Box<[u32]>)) -> Table {
        let mut builder = names::Builder::default();
        for (place, entry) in entries.iter().enumerate() {
            builder.add(place as u32, &entry.filters, &entry.cert.names);
        }
        Table { entries, index: builder.build(), defaults }
    }

    fn find(&self, sni: Option<&[u8]>, client: Signs, strict: bool) -> Result<u32, Refused> {
        let signs = |place: u32| self.entries.get(place as usize).map_or(Signs::default(), |entry| entry.cert.signs);
        if let Some(place) = sni.and_then(|name| self.index.find(name, client, signs)) {
            return Ok(place);
        }
        let refused = if sni.is_some() { Refused::UnknownName } else { Refused::NoName };
        if strict {
            return Err(refused);
        }
        let best = |places: &[u32]| names::best(places.iter().copied(), client, signs);
        match (best(&self.defaults.0), best(&self.defaults.1)) {
            (Some(named), Some(first)) if !signs(named).intersects(client) && signs(first).intersects(client) => {
                Ok(first)
            }
            (named, first) => named.or(first).ok_or(refused),
        }
    }
}

impl Served {
    fn new(cert: Arc<Cert>, source: Arc<CertSource>, profile: Arc<Profile>, filters: Arc<[Filter]>) -> Served {
        let key = match &profile.own_schemes {
            None => Arc::clone(&cert.key),
            Some(schemes) => {
                let limited = Limited { key: Arc::clone(&cert.key.key), schemes: Arc::clone(schemes) };
                Arc::new(CertifiedKey { key: Arc::new(limited), ..CertifiedKey::clone(&cert.key) })
            }
        };
        let mut config = profile.template.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(key));
        Served { config: Arc::new(config), cert, client: profile.client.clone(), source, profile, filters }
    }

    fn with_cert(&self, cert: Arc<Cert>) -> Served {
        Served::new(cert, Arc::clone(&self.source), Arc::clone(&self.profile), Arc::clone(&self.filters))
    }

    fn with_config(&self, config: Arc<ServerConfig>) -> Served {
        Served {
            config,
            cert: Arc::clone(&self.cert),
            client: self.client.clone(),
            source: Arc::clone(&self.source),
            profile: Arc::clone(&self.profile),
            filters: Arc::clone(&self.filters),
        }
    }
}

/// Collects a [`Terminator`].
struct Builder<'a> {
    bind: &'a BindTls,
    shared: &'a Shared,
    loader: Loader<'a>,
    ring: Option<Arc<Ring>>,
    /// `None` for settings with mistakes, which were reported.
    profiles: HashMap<Settings, Option<Arc<Profile>>>,
    entries: Vec<Arc<Served>>,
    said: Vec<Problem>,
}

impl Builder<'_> {
    fn build(&mut self) -> Option<Terminator> {
        let bind = self.bind;
        if bind.tickets {
            self.ring = self.shared.ring(bind.ticket_keys.as_deref(), self.loader.files, &mut self.said);
        }
        self.shared.sessions.reserve(bind.session_cache);
        let settings = Settings::of_bind(bind);
        let profile = self.profile(&settings, None);
        let mut named = self.add_all(&bind.default_certificates, "default-certificates", profile.as_ref());
        self.add_all(&bind.certificates, "certificates", profile.as_ref());
        for (index, path) in bind.crt_list.iter().enumerate() {
            self.add_list(path, index, profile.as_ref(), &mut named);
        }
        if self.entries.is_empty() && !bind.strict_sni && !any_error(&self.said) {
            let hint = "name one: certificates = [\"site.pem\"]; only with strict-sni a bind may start without";
            self.said.push(Problem::error("certificates", "there is no certificate to serve").hint(hint));
        }
        let sources = [&bind.certificates, &bind.default_certificates].into_iter().flatten();
        let sources =
            sources.flat_map(|source| [Some(&source.cert), source.key.as_ref(), source.ocsp.as_ref()]).flatten();
        let sources =
            sources.chain(&bind.crt_list).filter(|path| !path.as_os_str().as_encoded_bytes().starts_with(b"@"));
        let sources = sources.cloned().collect();
        let defaults = (named.into(), self.first().into());
        let table = Table::new(std::mem::take(&mut self.entries), defaults);
        let table = ArcSwap::from_pointee(table);
        Some(Terminator { strict_sni: bind.strict_sni, ocsp_update: bind.ocsp_update, table, sources })
    }

    /// Adds certificates under the names they have; returns their places.
    fn add_all(&mut self, sources: &[CertSource], key: &'static str, profile: Option<&Arc<Profile>>) -> Vec<u32> {
        let mut places = Vec::new();
        let none: Arc<[Filter]> = Arc::new([]);
        for (index, source) in sources.iter().enumerate() {
            let certs = self.loader.load(source, key, Some(index), &mut self.said);
            places.extend(self.add(certs, source, profile, &none));
        }
        places
    }

    fn add(
        &mut self,
        certs: Vec<Arc<Cert>>,
        source: &CertSource,
        profile: Option<&Arc<Profile>>,
        filters: &Arc<[Filter]>,
    ) -> Vec<u32> {
        let from = self.entries.len() as u32;
        if let Some(profile) = profile {
            let source = Arc::new(self.loader.resolve(source));
            let served =
                |cert| Arc::new(Served::new(cert, Arc::clone(&source), Arc::clone(profile), Arc::clone(filters)));
            self.entries.extend(certs.into_iter().map(served));
        }
        (from..self.entries.len() as u32).collect()
    }

    fn add_list(&mut self, path: &Path, index: usize, of_bind: Option<&Arc<Profile>>, defaults: &mut Vec<u32>) {
        let at = |problem: Problem| problem.at("crt-list", Some(index));
        let text = match (self.loader.files.read)(path) {
            Ok(text) => text,
            Err(error) => {
                let problem = Problem::error("crt-list", format!("the file cannot be read: {error}")).file(path);
                return self.said.push(at(problem));
            }
        };
        let mut said = Vec::new();
        let lines = crt_list::read(path, &text, self.bind, &mut said);
        self.said.extend(said.into_iter().map(at));
        for line in lines {
            let before = self.said.len();
            let profile = match &line.settings {
                None => of_bind.cloned(),
                Some(settings) => self.profile(settings, Some((path, line.number, index))),
            };
            let certs = self.loader.load(&line.source, "crt-list", Some(index), &mut self.said);
            for problem in &mut self.said[before..] {
                // A certificate's own file says more than the line that names it.
                if problem.file.is_none() || problem.file.as_ref() == Some(&line.source.cert) && problem.line.is_none()
                {
                    let name = line.source.cert.display();
                    problem.message = format!("{name}: {}", problem.message);
                    (problem.file, problem.line) = (Some(path.to_path_buf()), Some(line.number));
                }
            }
            let is_default = line.filters.contains(&Filter::Default);
            let places = self.add(certs, &line.source, profile.as_ref(), &line.filters.into());
            if is_default {
                defaults.extend(places);
            }
        }
    }

    /// The first certificate, with the others of its bundle.
    fn first(&self) -> Vec<u32> {
        let stem = |path: &Path| match path.extension().and_then(|extension| extension.to_str()) {
            Some("rsa" | "ecdsa") => path.with_extension(""),
            _ => path.to_path_buf(),
        };
        let Some(first) = self.entries.first() else { return Vec::new() };
        let first = stem(&first.cert.path);
        let same = self.entries.iter().take_while(|entry| stem(&entry.cert.path) == first);
        (0..same.count() as u32).collect()
    }

    /// The settings as rustls takes them; made once for all lines that have the same. `line` is where they stand.
    fn profile(&mut self, settings: &Settings, line: Option<(&Path, u32, usize)>) -> Option<Arc<Profile>> {
        if let Some(known) = self.profiles.get(settings) {
            return known.clone();
        }
        let mut said = Vec::new();
        let profile = self.make_profile(settings, &mut said);
        let profile = profile.filter(|_| !any_error(&said)).map(Arc::new);
        if let Some((path, number, index)) = line {
            for problem in &mut said {
                problem.message = match &problem.file {
                    Some(file) => format!("{}: {}: {}", problem.key, file.display(), problem.message),
                    None => format!("{}: {}", problem.key, problem.message),
                };
                (problem.key, problem.index) = ("crt-list", Some(index));
                (problem.file, problem.line) = (Some(path.to_path_buf()), Some(number));
            }
        }
        self.said.append(&mut said);
        self.profiles.insert(settings.clone(), profile.clone());
        profile
    }

    fn make_profile(&self, settings: &Settings, said: &mut Vec<Problem>) -> Option<Profile> {
        let policy = policy::build(&settings.policy, said)?;
        let client = ClientVerifier::new(&settings.client, &policy, self.loader.files, said);
        if any_error(said) {
            return None;
        }
        let builder = ServerConfig::builder_with_provider(policy.provider)
            .with_protocol_versions(policy.versions)
            .map_err(|error| said.push(Problem::error("min-version", error.to_string())))
            .ok()?;
        let builder = match &client {
            Some(client) => builder.with_client_cert_verifier(Arc::clone(client) as _),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
        config.alpn_protocols = settings.alpn.iter().map(|name| name.to_vec()).collect();
        config.ignore_client_order = policy.own_order;
        config.max_fragment_size = None;
        config.enable_secret_extraction = false;
        // A second ticket would double the cost of sealing and 250 bytes a handshake; a client gets a new one each time it resumes,
        // and ours may be used for several connections at once.
        config.send_tls13_tickets = 1;
        if let Some(log) = self.shared.key_log() {
            config.key_log = log as Arc<dyn KeyLog>;
        }
        self.resumption(settings, client.as_deref(), &mut config);
        Some(Profile { template: config, client, own_schemes: policy.own_schemes })
    }

    /// How sessions are resumed. Early data needs sessions that are used once, so that it cannot be replayed: no tickets then.
    fn resumption(&self, settings: &Settings, client: Option<&ClientVerifier>, config: &mut ServerConfig) {
        let bind = self.bind;
        let lifetime = i64::try_from(bind.session_lifetime.as_secs()).unwrap_or(i64::MAX);
        // Who resumes is taken for who it was: only where the same certificates of clients are asked for, by the same bind.
        let mut context = Context::new(&SHA256);
        context.update(&bind.scope.len().to_be_bytes());
        context.update(bind.scope.as_bytes());
        context.update(client.map_or(&[0; 32][..], |client| client.digest()));
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        config.session_storage = match bind.session_cache {
            0 => Arc::new(NoServerSessionStorage {}),
            _ => Arc::new(Cache::new(Arc::clone(&self.shared.sessions), &digest, lifetime)),
        };
        if let Some(ring) = &self.ring
            && !settings.early_data
        {
            config.ticketer = Arc::new(Ticketer::new(Arc::clone(ring), digest, lifetime));
        }
        if bind.session_cache == 0 && (self.ring.is_none() || settings.early_data) {
            // Nothing could be resumed from a ticket.
            config.send_tls13_tickets = 0;
        }
        if settings.early_data {
            config.max_early_data_size = MAX_EARLY_DATA;
        }
    }
}

/// A key that signs with some algorithms only (`sigalgs`).
#[derive(Debug)]
struct Limited {
    key: Arc<dyn SigningKey>,
    schemes: Arc<[SignatureScheme]>,
}

impl SigningKey for Limited {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        // In our order, as OpenSSL does.
        self.schemes
            .iter()
            .filter(|scheme| offered.contains(scheme))
            .find_map(|scheme| self.key.choose_scheme(&[*scheme]))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

#[cfg(test)]
mod tests;
