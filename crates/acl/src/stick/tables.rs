//! The tables of one configuration, by name, and what a reload keeps of them.
//!
//! Called when a configuration is built and when it is committed. Building changes nothing that is in use: dropping what
//! was built undoes it. Tables are found by name, and live as long as anybody holds them.

use std::sync::Arc;

use super::TableDef;
use super::table::Table;

/// The tables of a configuration, in the order of their definitions.
#[derive(Debug, Default)]
pub struct Tables {
    list: Vec<(TableDef, Arc<Table>)>,
}

impl Tables {
    /// The tables of the next configuration. A table stays, with its entries, while its key and what it stores stay; its
    /// size, expiry and `nopurge` follow with [`commit`](Tables::commit).
    pub fn reconcile(&self, defs: &[TableDef]) -> Tables {
        let table = |def: &TableDef| match self.get(&def.name) {
            Some(table) if table.fits(def) => Arc::clone(table),
            _ => Arc::new(Table::new(def)),
        };
        Tables { list: defs.iter().map(|def| (def.clone(), table(def))).collect() }
    }

    /// Makes the limits of these definitions hold, for the tables that were kept.
    pub fn commit(&self) {
        for (def, table) in &self.list {
            table.limit(def);
        }
    }

    /// The table of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Table>> {
        self.iter().find(|table| **table.name() == *name)
    }

    /// The table of the definition with that index.
    pub fn nth(&self, at: usize) -> Option<&Arc<Table>> {
        self.list.get(at).map(|(_, table)| table)
    }

    /// Every table, in the order of the definitions.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.list.iter().map(|(_, table)| table)
    }
}
