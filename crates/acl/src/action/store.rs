//! `set-map`, `del-map`, `add-acl`, `del-acl`: edits of pattern files and maps while traffic runs.
//!
//! They change what is in memory, seen at once by every rule that uses the file; the file itself stays as it is.

use std::sync::Arc;

use super::{Act, HTTP, Next, action_table, argument, in_name, shown};
use crate::cond::Scope;
use crate::ctx::Ctx;
use crate::error::{Fault, code};
use crate::format::Format;
use crate::pattern::{Shape, Store};
use crate::trace::Place;
use crate::word::{Word, Words};

action_table! {
    "add-acl" "add-acl(<file>) <key fmt>" HTTP false parse_add,
        "Adds a pattern to those of a file, unless it is there. Nothing happens when the rules that use the file cannot \
         compare with it, or the list is full.",
        "add-acl(virt@blocked) %[src] if { path_beg /wp-admin }";
    "del-acl" "del-acl(<file>) <key fmt>" HTTP false parse_delete,
        "Removes a pattern from those of a file.",
        "del-acl(virt@blocked) %[src]";
    "del-map" "del-map(<file>) <key fmt>" HTTP false parse_delete_map,
        "Removes a key from a map.",
        "del-map(virt@seen) %[src]";
    "set-map" "set-map(<file>) <key fmt> <value fmt>" HTTP false parse_set,
        "Gives a key of a map a value, adding it when it is not there. Nothing happens when the map is full.",
        "set-map(virt@seen) %[src] %[path]";
}

#[derive(Debug)]
struct Put {
    store: Arc<Store>,
    key: Format,
    value: Option<Format>,
}

#[derive(Debug)]
struct Delete {
    store: Arc<Store>,
    key: Format,
}

fn parse_add(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let store = store(name, Shape::Keys, scope)?;
    Ok(Box::new(Put { store, key: key(words, scope, "add-acl")?, value: None }))
}

fn parse_set(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let store = store(name, Shape::Pairs, scope)?;
    let key = key(words, scope, "set-map")?;
    let word = argument(words, "set-map", "the value", "set-map(<file>) <key fmt> <value fmt>")?;
    Ok(Box::new(Put { store, key, value: Some(Format::parse_var(word, scope)?) }))
}

fn parse_delete(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let store = store(name, Shape::Keys, scope)?;
    Ok(Box::new(Delete { store, key: key(words, scope, "del-acl")? }))
}

fn parse_delete_map(name: &Word, words: &mut Words<'_>, scope: &Scope<'_>) -> Result<Box<dyn Act>, Fault> {
    let store = store(name, Shape::Pairs, scope)?;
    Ok(Box::new(Delete { store, key: key(words, scope, "del-map")? }))
}

fn key(words: &mut Words<'_>, scope: &Scope<'_>, action: &str) -> Result<Format, Fault> {
    Format::parse_var(argument(words, action, "the key", &format!("{action}(<file>) <key fmt>"))?, scope)
}

/// The store of the file in the parentheses: the one other rules use, whatever is in its lines, or a new one.
fn store(word: &Word, shape: Shape, scope: &Scope<'_>) -> Result<Arc<Store>, Fault> {
    let inside = in_name(word).filter(|inside| !inside.is_empty());
    let Some(inside) = inside else {
        return Err(Fault::new(code::ACTION_ARGS, word.range.clone(), "the name of the file is missing")
            .hint("write it in parentheses: set-map(/etc/evenkeel/hosts.map) ..."));
    };
    let name = String::from_utf8_lossy(&word.bytes[inside.clone()]);
    let library = scope.env.library;
    let stores = library.stores.borrow();
    if let Some(store) = stores.get(&name) {
        return Ok(store);
    }
    stores
        .load(&name, shape, &*library.read)
        .map_err(|why| Fault::new(code::FILE, word.span(inside), why.to_string()).or_hint_from(why.hint))
}

impl Act for Put {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let ctx = &*ctx;
        ctx.buffers.with(|key| {
            self.key.write(ctx, key);
            ctx.buffers.with(|value| {
                if let Some(format) = &self.value {
                    format.write(ctx, value);
                }
                // An explanation must not change what traffic looks up.
                let done = if ctx.world.is_described() { Ok(()) } else { self.store.put(key, value) };
                ctx.did(|| match done {
                    Ok(()) => format!("{} has {} {}", self.store.name(), shown(key), shown(value)),
                    Err(why) => why.to_string(),
                });
            });
        });
        Next::Rule
    }
}

impl Act for Delete {
    fn run<'r>(&'r self, ctx: &mut Ctx<'_>, _: &'r Place) -> Next<'r> {
        let ctx = &*ctx;
        ctx.buffers.with(|key| {
            self.key.write(ctx, key);
            if ctx.world.is_described() {
                ctx.did(|| format!("{} leaves {}", shown(key), self.store.name()));
                return;
            }
            let there = self.store.del(key);
            ctx.did(|| format!("{} {}", shown(key), if there { "is gone" } else { "was not there" }));
        });
        Next::Rule
    }
}
