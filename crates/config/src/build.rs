//! Builds the model out of shaped sections: defaults applied, addresses and rules read.
//!
//! Works on values that already have the right type; reports what is wrong with their meaning and goes on with the
//! default. References between sections are left to [`crate::cross`].

mod bind;
mod capture;
mod check;
mod global;
mod library;
mod log;
mod pages;
mod proxy;
mod resolvers;
mod rules;
mod server;
mod shadow;
mod table;
mod test;
mod tls;
mod users;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use global::{global, loggers, set_vars};
pub(crate) use library::{Sections as Shared, library};
pub(crate) use proxy::{Built, BuiltFrontend, Reference};
pub(crate) use rules::all as rules;
pub(crate) use test::tests;
pub(crate) use tls::common as tls;

use evenkeel_acl::Library;

use crate::LoadOptions;
use crate::codes;
use crate::diagnostic::Sink;
use crate::keys::Sections;
use crate::model::{BindAddress, LogProfile, Resolvers, Syslog};
use crate::place::{At, Files};
use crate::secure;
use crate::shape::{Node, Shaper, Val};

/// What every builder needs.
pub(crate) struct Cx<'a> {
    /// All files.
    pub files: &'a Files<'a>,
    /// Where mistakes go.
    pub sink: Sink,
    /// The outside world.
    pub opts: &'a LoadOptions<'a>,
    /// Some file is not valid TOML.
    pub syntax_errors: bool,
    /// Whole sections may be missing because of it.
    pub sections_lost: bool,
    /// What rules may refer to; complete before the first rule is compiled.
    pub library: Rc<Library>,
    /// What `[global]` and `[crt-store]` say of TLS; complete before the first bind is built.
    pub tls: tls::Common,
    /// What of it is made so far.
    pub secure: secure::Building,
    /// The envelope of syslog targets that name none; known before the first of them is built.
    pub syslog: Syslog,
    /// `tune.http.cookielen`; known before the first proxy is built.
    pub cookie_len: usize,
    /// `[log-profile.NAME]`, known before the first logger is built.
    pub log_profiles: Vec<Arc<LogProfile>>,
    /// Addresses listened on so far.
    bound: HashMap<BindAddress, At>,
    /// Listening addresses so far, for the limit.
    binds: usize,
    /// Names looked up so far; each is asked for once.
    resolved: HashMap<String, Result<SocketAddr, String>>,
}

impl<'a> Cx<'a> {
    /// Nothing found yet.
    pub fn new(files: &'a Files<'a>, opts: &'a LoadOptions<'a>) -> Cx<'a> {
        Cx {
            files,
            sink: Sink::default(),
            syslog: Syslog::Local,
            cookie_len: crate::defaults::COOKIE_LEN,
            log_profiles: Vec::new(),
            opts,
            syntax_errors: false,
            sections_lost: false,
            library: Rc::default(),
            tls: tls::Common::default(),
            secure: secure::Building::default(),
            bound: HashMap::new(),
            binds: 0,
            resolved: HashMap::new(),
        }
    }

    /// A shaper for one section of one file.
    pub fn shaper(&mut self, file: usize, section: Sections) -> Shaper<'_, 'a> {
        Shaper { file, files: self.files, sink: &mut self.sink, opts: self.opts, section }
    }

    /// The address of a name; a failure is reported at `at`.
    fn resolve(&mut self, host: &str, port: u16, at: At) -> Option<SocketAddr> {
        if !self.resolved.contains_key(host) {
            let answer = (self.opts.resolve)(host, port);
            self.resolved.insert(host.to_owned(), answer);
        }
        match &self.resolved[host] {
            Ok(address) => Some(SocketAddr::new(address.ip(), port)),
            Err(error) => {
                self.sink.error(codes::UNRESOLVED, at, format!("`{host}` cannot be resolved: {error}"));
                None
            }
        }
    }
}

/// `[resolvers.NAME]`, in the order in which the library names them.
pub(crate) fn resolvers(sections: &Shared<'_>, cx: &mut Cx<'_>) -> Vec<Resolvers> {
    sections.resolvers.iter().map(|(name, node)| resolvers::resolvers(name, node, cx)).collect()
}

/// One proxy section over the defaults it takes from.
pub(crate) struct Layers<'n, 'd> {
    /// Which kind of section.
    pub kind: Sections,
    /// Its name.
    pub name: &'n str,
    /// Its place.
    pub at: At,
    /// Its own keys.
    pub own: &'n Node<'d>,
    /// Its defaults, the nearest first.
    pub under: Vec<&'n Node<'d>>,
}

impl<'n, 'd> Layers<'n, 'd> {
    /// The section, then its defaults.
    fn each(&self) -> impl Iterator<Item = &'n Node<'d>> {
        std::iter::once(self.own).chain(self.under.iter().copied())
    }

    /// `mode`.
    pub(crate) fn mode(&self) -> crate::model::Mode {
        use crate::model::Mode;
        match self.find("mode").and_then(Val::text) {
            Some("tcp") => Mode::Tcp,
            Some(_) => Mode::Http,
            None => crate::defaults::MODE,
        }
    }

    /// Whether a rule may turn its connections in tcp mode into HTTP.
    fn may_switch(&self) -> bool {
        let rules = self.each().filter_map(|node| node.find("tcp-request.content"));
        let mut lines = rules.flat_map(Val::list).filter_map(Val::text);
        lines.any(|line| line.split_whitespace().next() == Some("switch-mode"))
    }

    /// The value at a dotted path, own or inherited.
    fn find(&self, path: &str) -> Option<&'n Val<'d>> {
        self.each().find_map(|node| node.find(path))
    }

    /// A switch.
    fn switch(&self, path: &str, default: bool) -> bool {
        self.find(path).and_then(Val::bool).unwrap_or(default)
    }

    /// A number that fits `T`, as the key table's range promises.
    fn number<T: TryFrom<i64>>(&self, path: &str, default: T) -> T {
        self.find(path).and_then(Val::int).and_then(|n| T::try_from(n).ok()).unwrap_or(default)
    }

    /// A timeout that was given; the inner `None` waits for ever.
    fn time(&self, path: &str) -> Option<Option<Duration>> {
        self.find(path).and_then(Val::time).map(some_time)
    }
}

/// `"0s"` waits for ever.
fn some_time(time: Duration) -> Option<Duration> {
    Some(time).filter(|time| !time.is_zero())
}

/// A text out of a value.
fn arc(value: &Val<'_>) -> Option<Arc<str>> {
    value.text().map(Arc::from)
}

/// A token of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
