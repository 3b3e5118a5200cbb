//! What a configuration names and rules refer to: tables, proxies, users, files, pages.
//!
//! Filled by config before any rule is compiled, read by every parser of this crate, so that a reference to nothing is a
//! mistake of the file and never a surprise at run time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::acl::Acls;
use crate::auth::UserList;
use crate::pattern::Stores;
use crate::stick::TableDef;

/// A frontend, backend or listen of the file, as far as rules may name it.
#[derive(Clone, Debug, Default)]
pub struct ProxyDef {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it takes connections.
    pub frontend: bool,
    /// Whether it has servers.
    pub backend: bool,
    /// The names of its servers.
    pub servers: Vec<Arc<str>>,
}

/// One capture slot of a frontend, in the order of declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureSlot {
    /// Bytes kept.
    pub len: usize,
}

/// The slots of one frontend: of the request, then of the response.
pub type Captured = (Vec<CaptureSlot>, Vec<CaptureSlot>);

/// The pages of one `[http-errors.NAME]` section: status and whole message as loaded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pages {
    /// Name of the section.
    pub name: Arc<str>,
    /// By status.
    pub pages: Vec<(u16, Arc<[u8]>)>,
}

/// Reads a file a rule names.
pub type ReadFile = dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// Everything rules may refer to.
pub struct Library {
    /// Stick tables; a table is known to compiled rules by its index.
    pub tables: Vec<TableDef>,
    /// Every proxy.
    pub proxies: Vec<ProxyDef>,
    /// Users by the name of their list.
    pub userlists: Vec<Arc<UserList>>,
    /// `[http-errors.NAME]` sections.
    pub pages: Vec<Pages>,
    /// The names of `[resolvers.NAME]` sections; one is known to compiled rules by its index.
    pub resolvers: Vec<Arc<str>>,
    /// The names of `[log-profile.NAME]` sections.
    pub log_profiles: Vec<Arc<str>>,
    /// Pattern files and maps.
    pub stores: RefCell<Stores>,
    /// Capture slots by frontend name: (request, response); rules that capture with `len` add theirs.
    pub captures: RefCell<HashMap<Arc<str>, Captured>>,
    /// The acls of each section that are compiled so far, for `acl(name)`.
    pub acls: RefCell<HashMap<Arc<str>, Acls>>,
    /// How many counters a transaction may track.
    pub stick_counters: usize,
    /// How files are read.
    pub read: Box<ReadFile>,
    /// How the environment is read (`env`).
    pub variable: fn(&str) -> Option<Vec<u8>>,
}

impl Default for Library {
    fn default() -> Library {
        Library {
            tables: Vec::new(),
            proxies: Vec::new(),
            userlists: Vec::new(),
            pages: Vec::new(),
            resolvers: Vec::new(),
            log_profiles: Vec::new(),
            stores: RefCell::default(),
            captures: RefCell::default(),
            acls: RefCell::default(),
            stick_counters: 3,
            read: Box::new(|_| Err(io::Error::new(io::ErrorKind::Unsupported, "files are not read here"))),
            variable: |name| std::env::var_os(name).map(std::os::unix::ffi::OsStringExt::into_vec),
        }
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("tables", &self.tables).field("proxies", &self.proxies).finish_non_exhaustive()
    }
}

impl Library {
    /// Index of the table of that name.
    pub(crate) fn table(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| &*table.name == name)
    }

    /// The proxy of that name.
    pub(crate) fn proxy(&self, name: &str) -> Option<&ProxyDef> {
        self.proxies.iter().find(|proxy| &*proxy.name == name)
    }

    /// The user list of that name.
    pub(crate) fn users(&self, name: &str) -> Option<&Arc<UserList>> {
        self.userlists.iter().find(|list| &*list.name == name)
    }
}

/// Where rules are compiled: what they may refer to, and the section they stand in.
#[derive(Clone, Copy, Debug)]
pub struct Env<'e> {
    /// The names of the configuration.
    pub library: &'e Library,
    /// The section.
    pub proxy: &'e str,
}
