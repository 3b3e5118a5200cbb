//! What rules may refer to, gathered from all sections before the first rule is compiled.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evenkeel_acl::pattern::Stores;
use evenkeel_acl::{Library, ProxyDef};

use super::{Cx, pages, table, users};
use crate::keys::Sections as Kinds;
use crate::model::Global;
use crate::shape::{Node, Val};

/// The sections that are no proxies, by name.
#[derive(Debug, Default)]
pub(crate) struct Sections<'d> {
    /// `[userlist.NAME]`.
    pub userlists: Vec<(&'d str, Node<'d>)>,
    /// `[http-errors.NAME]`.
    pub pages: Vec<(&'d str, Node<'d>)>,
    /// `[crt-store.NAME]`.
    pub crt_stores: Vec<(&'d str, Node<'d>)>,
    /// `[resolvers.NAME]`.
    pub resolvers: Vec<(&'d str, Node<'d>)>,
    /// `[log-profile.NAME]`.
    pub log_profiles: Vec<(&'d str, Node<'d>)>,
    /// `[[test]]`.
    pub tests: Vec<Node<'d>>,
}

/// Fills the library; `folder` is what relative paths are relative to.
pub(crate) fn library<'p, 'd: 'p>(
    proxies: impl Iterator<Item = (Kinds, &'p str, &'p Node<'d>)>,
    sections: &Sections<'d>,
    global: &Global,
    folder: PathBuf,
    cx: &mut Cx<'_>,
) -> Library {
    let read = cx.opts.read;
    let mut library = Library {
        stick_counters: global.tune.stick_counters,
        stores: RefCell::new(cx.opts.previous.map(Stores::after).unwrap_or_default()),
        resolvers: sections.resolvers.iter().map(|(name, _)| Arc::from(*name)).collect(),
        read: Box::new(move |path: &Path| read(&folder.join(path))),
        log_profiles: sections.log_profiles.iter().map(|(name, _)| Arc::from(*name)).collect(),
        ..Library::default()
    };
    for (name, node) in &sections.userlists {
        library.userlists.push(Arc::new(users::userlist(name, node, cx)));
    }
    for (name, node) in &sections.pages {
        let pages = pages::section(name, node, &library, cx);
        library.pages.push(pages);
    }
    for (kind, name, node) in proxies {
        if let Some(def) = node.find("stick-table").and_then(Val::table).and_then(|node| table::table(name, node, cx)) {
            library.tables.push(def);
        }
        library.proxies.push(ProxyDef {
            name: Arc::from(name),
            frontend: kind.meets(Kinds::CLIENT_ONLY),
            backend: kind.meets(Kinds::SERVER_ONLY),
            servers: servers(node),
        });
    }
    library
}

/// The names of the servers of a section, usable or not: what a rule names is there if it is written there.
fn servers(node: &Node<'_>) -> Vec<Arc<str>> {
    let values = node.find("server").map(Val::list).unwrap_or_default().iter();
    let named = |value: &Val<'_>| match value.table() {
        Some(table) => table.find("name").and_then(super::arc),
        None => super::arc(value),
    };
    values.filter_map(named).collect()
}
