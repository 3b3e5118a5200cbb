//! What TLS is made of at load: certificates, authorities and keys read, and every mistake in them told with its place.
//!
//! Called while binds and servers are built, with the options they came to; `Loaded::tls` is the result. What did not
//! change since the configuration that runs is taken over from it. Never: which files, that is in the options.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use evenkeel_tls::files::Files;
use evenkeel_tls::options::{BindTls, CrtStores, ServerTls};
use evenkeel_tls::shared::Shared;
use evenkeel_tls::terminator::Terminator;
use evenkeel_tls::{Connector, Problem, Severity};

use crate::build::Cx;
use crate::codes;
use crate::place::At;
use crate::shape::{Node, Val};

/// What TLS of a configuration is made of.
#[derive(Debug, Default)]
pub struct Tls {
    /// By name of the frontend, in the order of its binds.
    terminators: HashMap<Arc<str>, Vec<Option<Arc<Terminator>>>>,
    /// Every terminator once, with what it was built of.
    built: Vec<(Arc<BindTls>, Arc<Terminator>)>,
    stores: CrtStores,
    /// By backend and name of the server.
    connectors: HashMap<(Arc<str>, Arc<str>), Arc<Connector>>,
    /// Certificates, sessions and keys of tickets, which live as long as the process; `None` while nothing has TLS.
    shared: Option<Arc<Shared>>,
}

impl Tls {
    /// What ends TLS on the `bind`th of [`Frontend::binds`](crate::Frontend::binds); there is one for each that has
    /// [`Bind::tls`](crate::Bind::tls), and addresses with the same settings share it.
    pub fn terminator(&self, frontend: &str, bind: usize) -> Option<&Arc<Terminator>> {
        self.terminators.get(frontend)?.get(bind)?.as_ref()
    }

    /// Every terminator, each once.
    pub fn terminators(&self) -> impl Iterator<Item = &Arc<Terminator>> {
        self.built.iter().map(|(_, terminator)| terminator)
    }

    /// The same with what each was built of.
    pub fn built(&self) -> &[(Arc<BindTls>, Arc<Terminator>)] {
        &self.built
    }

    /// What `@store/alias` means.
    pub fn stores(&self) -> &CrtStores {
        &self.stores
    }

    /// What lasts over reloads: certificates, sessions, keys of tickets. `None` while nothing has TLS.
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    /// What begins TLS with a server; there is one for each that has [`Server::tls`](crate::Server::tls), or whose check has TLS.
    pub fn connector(&self, backend: &str, server: &str) -> Option<&Arc<Connector>> {
        // A key of two `Arc`s cannot be looked up by two texts without making them; this is asked at load only.
        self.connectors.get(&(Arc::from(backend), Arc::from(server)))
    }
}

/// What is built so far in this load.
#[derive(Debug, Default)]
pub(crate) struct Building {
    /// The result.
    pub made: Tls,
    /// One connector for each set of options; `None`: it cannot be built, which was told.
    models: Vec<(ServerTls, Option<Arc<Connector>>)>,
    /// The same of terminators.
    ends: Vec<(Arc<BindTls>, Option<Arc<Terminator>>)>,
}

impl Cx<'_> {
    fn files(&self) -> Files {
        Files { read: self.opts.read, list: self.opts.list }
    }

    /// Opens the file of session keys, when that is asked for.
    pub(crate) fn open_key_log(&mut self, value: Option<&Val<'_>>) {
        let Some(value) = value.filter(|value| value.bool() == Some(true)) else { return };
        let Some(path) = (self.opts.env)("SSLKEYLOGFILE").filter(|path| !path.is_empty()) else {
            self.sink
                .warn(codes::NO_EFFECT, value.at, "no session keys are written: SSLKEYLOGFILE is not set")
                .hint("set the environment variable to the path of a file");
            return;
        };
        if let Err(error) = self.shared().map_or(Ok(()), |shared| shared.log_keys(Some(Path::new(&path)))) {
            self.sink.error(codes::UNREADABLE_DATA, value.at, format!("{path} cannot be written: {error}"));
        }
    }

    /// What lasts over reloads, from the first TLS of the process on; `None` when the system has no randomness to give.
    fn shared(&mut self) -> Option<Arc<Shared>> {
        if self.secure.made.shared.is_none() {
            let previous = self.opts.previous_tls.and_then(|previous| previous.shared.clone());
            self.secure.made.shared = previous.or_else(|| Shared::new((self.opts.now)()).map(Arc::new));
        }
        self.secure.made.shared.clone()
    }

    /// Builds what ends TLS on the next bind of a frontend, if it has TLS. `node` is its `tls` table, and `at` where to point
    /// when that does not say.
    pub(crate) fn terminate_by(
        &mut self,
        frontend: &str,
        options: Option<&Arc<BindTls>>,
        node: Option<&Node<'_>>,
        at: At,
    ) {
        let terminator = options.and_then(|options| {
            if let Some((_, known)) = self.secure.ends.iter().find(|(known, _)| known == options) {
                return known.clone();
            }
            let Some(shared) = self.shared() else {
                self.sink.error(codes::BAD_TLS, at, "the system has no randomness to give");
                return None;
            };
            let mut problems = Vec::new();
            let now = (self.opts.now)();
            let built =
                Terminator::new(options, &self.tls.stores, &shared, &self.files(), now, &mut problems).map(Arc::new);
            self.tell(problems, node.as_slice(), at);
            if let Some(built) = &built {
                self.secure.made.built.push((Arc::clone(options), Arc::clone(built)));
                self.secure.made.stores.clone_from(&self.tls.stores);
            }
            self.secure.ends.push((Arc::clone(options), built.clone()));
            built
        });
        self.secure.made.terminators.entry(Arc::from(frontend)).or_default().push(terminator);
    }

    /// Builds what begins TLS with one server. `layers` are the tables that say how, the nearest first; `at` is where to point
    /// when none of them does.
    pub(crate) fn connect_by(&mut self, name: (&str, &Arc<str>), options: &ServerTls, layers: &[&Node<'_>], at: At) {
        let name = (Arc::from(name.0), Arc::clone(name.1));
        let previous = self.opts.previous_tls.and_then(|previous| previous.connectors.get(&name));
        let model = self.secure.models.iter().find(|(known, _)| known == options).map(|(_, model)| model.clone());
        let connector = match model {
            // Servers share what is read, and each has sessions of its own.
            Some(model) => model.map(|model| match previous {
                Some(previous) if previous.is_like(&model) => Arc::clone(previous),
                _ => Arc::new(model.twin()),
            }),
            None => {
                let mut problems = Vec::new();
                let key_log = self.secure.made.shared.as_ref().and_then(|shared| shared.key_log());
                let built = Connector::renewed(previous, options, &self.files(), key_log, &mut problems);
                self.tell(problems, layers, at);
                self.secure.models.push((options.clone(), built.clone()));
                built
            }
        };
        self.secure.made.connectors.extend(connector.map(|connector| (name, connector)));
    }

    /// Tells what is wrong where it is written.
    pub(crate) fn tell(&mut self, problems: Vec<Problem>, layers: &[&Node<'_>], at: At) {
        for problem in problems {
            // Loaders speak of `certificates`, the file of `certificate`; authorities are missed by who verifies.
            let other = match problem.key {
                "ca-file" => "verify",
                key => key.strip_suffix('s').unwrap_or(key),
            };
            let keys = [problem.key, other];
            let found = layers.iter().find_map(|node| keys.iter().find_map(|key| node.find(key)));
            let at = match (found, problem.index) {
                (Some(value), Some(index)) => value.list().get(index).map_or(value.at, |value| value.at),
                (Some(value), None) => value.at,
                (None, _) => at,
            };
            let place = match (&problem.file, problem.line) {
                (Some(file), Some(line)) => format!("{}:{line}: ", file.display()),
                (Some(file), None) => format!("{}: ", file.display()),
                _ => String::new(),
            };
            let message = format!("{place}{}", problem.message);
            let raw = match problem.severity {
                Severity::Error if problem.file.is_some() => self.sink.error(codes::BAD_CERTIFICATE, at, message),
                Severity::Error => self.sink.error(codes::BAD_TLS, at, message),
                Severity::Warning => self.sink.warn(codes::DOUBTFUL_CERTIFICATE, at, message),
                Severity::Note if self.opts.notes => self.sink.note(codes::DOUBTFUL_CERTIFICATE, at, message),
                Severity::Note => continue,
            };
            raw.maybe_hint(problem.hint);
        }
    }
}
