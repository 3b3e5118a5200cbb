//! `stick-table`.

use std::sync::Arc;

use evenkeel_acl::stick::{Data, KeyKind, TableDef};

use super::{Cx, some_time};
use crate::shape::{Node, Val};
use crate::{codes, defaults};

/// The table of the section `name`.
pub(super) fn table(name: &str, node: &Node<'_>, cx: &mut Cx<'_>) -> Option<TableDef> {
    let len = node.find("len").and_then(Val::int).and_then(|n| usize::try_from(n).ok());
    let keyed = node.find("type").and_then(Val::text)?;
    let key = match keyed {
        "ipv6" => KeyKind::Ipv6,
        "integer" => KeyKind::Integer,
        "string" => KeyKind::String(len.unwrap_or(defaults::TABLE_KEY_LEN)),
        "binary" => KeyKind::Binary(len.unwrap_or(defaults::TABLE_KEY_LEN)),
        _ => KeyKind::Ip,
    };
    if let Some(value) = node.find("len")
        && !matches!(key, KeyKind::String(_) | KeyKind::Binary(_))
    {
        cx.sink
            .error(codes::BAD_TABLE, value.at, format!("keys of type {keyed} have no `len`"))
            .hint("it belongs to \"string\" and \"binary\"");
    }
    let mut store = Vec::new();
    let mut sound = true;
    for value in node.find("store").map(Val::list).unwrap_or_default() {
        match Data::parse(value.text().unwrap_or_default()) {
            Ok(data) => store.push(data),
            Err(error) => {
                cx.sink.error(codes::BAD_TABLE, value.at, error);
                sound = false;
            }
        }
    }
    let table = TableDef {
        name: Arc::from(name),
        key,
        size: node.find("size").and_then(Val::size).and_then(|n| usize::try_from(n).ok())?,
        expire: node.find("expire").and_then(Val::time).and_then(some_time),
        nopurge: node.find("nopurge").and_then(Val::bool).unwrap_or(false),
        store,
    };
    if sound {
        for error in table.check() {
            cx.sink.error(codes::BAD_TABLE, node.find("store").map_or(node.at, |value| value.at), error);
        }
    }
    Some(table)
}
