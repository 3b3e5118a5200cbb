//! The file: TOML to a checked [`Config`], all mistakes at once.
//!
//! Reading order: [`load()`] reads files and includes, `shape` checks each table against the key tables of `keys`, `build`
//! turns what fits into the model, `cross` checks what only the whole can tell. [`plan::plan`] compares two
//! configurations for a reload. Called by the binary (run, check, reload, schema, explain) and by tests. Never: sockets,
//! threads; the environment, the clock and name lookups come in through [`LoadOptions`].

mod address;
mod build;
mod codes;
mod cross;
pub mod defaults;
mod diagnostic;
mod env;
pub mod handshake;
mod keys;
mod load;
pub mod model;
mod nearest;
mod place;
pub mod plan;
mod read;
mod reference;
mod schema;
mod secure;
mod shape;
mod units;

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use evenkeel_acl::pattern::Stores;

pub use codes::{CODES, Explanation, all_codes, explain};
pub use diagnostic::{Diagnostic, Severity};
pub use load::load_sources;
pub use model::*;
pub use reference::reference_markdown;
pub use schema::schema;
pub use secure::Tls;

/// One file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in messages.
    pub name: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
}

/// What a load asks the outside world; tests answer from a table.
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// The value of an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The address of a host name and port, or in words why there is none.
    pub resolve: &'a dyn Fn(&str, u16) -> Result<SocketAddr, String>,
    /// The bytes of a file that a section or a rule names: error pages, patterns, maps.
    pub read: fn(&Path) -> io::Result<Vec<u8>>,
    /// What is in a folder of certificates, sorted by name; `None` when the path is no folder.
    pub list: fn(&Path) -> Option<Vec<PathBuf>>,
    /// The pattern files and maps of the configuration that runs: one whose file did not change is taken over.
    pub previous: Option<&'a Stores>,
    /// What TLS of the configuration that runs is made of: what did not change is taken over.
    pub previous_tls: Option<&'a Tls>,
    /// Seconds since 1970: certificates end.
    pub now: fn() -> i64,
    /// Tell also of what may well be meant: rules whose order decides.
    pub notes: bool,
}

impl<'a> LoadOptions<'a> {
    /// The process's environment, the system's resolver and files, all of which may block.
    pub fn system() -> LoadOptions<'static> {
        LoadOptions {
            env: &|name| std::env::var(name).ok(),
            resolve: &resolve,
            read: read_file,
            list: evenkeel_tls::files::Files::SYSTEM.list,
            previous: None,
            previous_tls: None,
            now: unix_now,
            notes: false,
        }
    }

    /// Knows nothing: no variable is set, no name has an address, no file can be read, and time stands still.
    pub const fn closed() -> LoadOptions<'a> {
        LoadOptions {
            env: &|_| None,
            resolve: &|_, _| Err(String::new()),
            read: |_| Err(io::Error::new(io::ErrorKind::NotFound, "files are not read here")),
            list: |_| None,
            previous: None,
            previous_tls: None,
            now: || defaults::TEST_TIME,
            notes: false,
        }
    }
}

impl std::fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadOptions").finish_non_exhaustive()
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Reads a whole file, within bounds.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(defaults::MAX_DATA_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > defaults::MAX_DATA_SIZE {
        let message = format!("it is larger than {} MiB", defaults::MAX_DATA_SIZE >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The system's resolver; IPv4 first, so that `localhost` means the same on every machine.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(|error| error.to_string())?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| "the name has no address".to_owned())
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration; `None` when there is any error.
    pub config: Option<Config>,
    /// Everything that was found, in file order.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that were read, in reading order.
    pub sources: Vec<Source>,
    /// The pattern files and maps that the rules use.
    pub stores: Arc<Stores>,
    /// What TLS of binds and servers is made of.
    pub tls: Arc<Tls>,
}

/// Loads files, directories (their `*.toml` in name order) and `-`, the standard input.
pub fn load(paths: &[PathBuf]) -> Loaded {
    load_with(paths, &LoadOptions::system())
}

/// As [`load()`], with another environment or resolver.
pub fn load_with(paths: &[PathBuf], opts: &LoadOptions<'_>) -> Loaded {
    let read = read::read(paths, opts);
    load::compile(read, opts)
}

/// The configuration in `text`, for tests; places name `test.toml`. Names are not looked up, except `localhost`.
///
/// # Errors
/// Every diagnostic as rendered, when there is an error.
pub fn config_from_str(text: &str) -> Result<Config, String> {
    let source = Source { name: Arc::from("test.toml"), text: Arc::from(text) };
    let opts = LoadOptions {
        resolve: &|host, port| match host {
            "localhost" => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
            _ => Err("names are not looked up here".to_owned()),
        },
        ..LoadOptions::closed()
    };
    let loaded = load_sources(&[source], &opts);
    let rendered = loaded.render(false);
    loaded.config.ok_or(rendered)
}
