//! The statistics as JSON, twice.
//!
//! Owns: [`typed`], HAProxy's `;json` (one array per row, one object per filled cell, with tags), and [`api`], our own
//! `/api/v1/stats`: the [`View`] as it stands, names in snake case, with the derived states beside the numbers.
//! Both are contracts: fields are added, never renamed.

use evenkeel_stats::catalog::{CATALOG, COLUMNS, Entry};
use serde::Serialize;

use crate::problems::{Problem, problems};
use crate::values::{Object, Value, rows};
use crate::view::{
    BackendView, CertificateView, FrontendView, Mode, ProcessView, ResolversView, ServerState, ServerView, View,
};

/// HAProxy's typed layout, without white space.
pub fn typed(view: &View) -> String {
    let rows: Vec<Vec<Cell<'_>>> = rows(view)
        .map(|row| CATALOG[..COLUMNS].iter().enumerate().filter_map(|(at, e)| Cell::of(row, at, e)).collect())
        .collect();
    serde_json::to_string(&rows).expect("string keys and finite numbers always serialise")
}

/// One filled cell; fields in HAProxy's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cell<'a> {
    obj_type: &'static str,
    proxy_id: u32,
    id: u32,
    field: CellField,
    process_num: u32,
    tags: Tags,
    value: Typed<'a>,
}

#[derive(Serialize)]
struct CellField {
    pos: usize,
    name: &'static str,
}

#[derive(Serialize)]
struct Tags {
    origin: &'static str,
    nature: &'static str,
    scope: &'static str,
}

#[derive(Serialize)]
struct Typed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: Value<'a>,
}

impl<'a> Cell<'a> {
    fn of(row: Object<'a>, at: usize, entry: &Entry) -> Option<Cell<'a>> {
        let value = match row.value(entry) {
            Value::Blank => return None,
            value => Typed { kind: entry.typ.word(), value },
        };
        let (obj_type, id) = match row {
            Object::Process(_) | Object::Certificate(_) | Object::Resolvers(_) | Object::Resolver(..) => return None,
            Object::Frontend(..) => ("Frontend", 0),
            Object::Backend(..) => ("Backend", 0),
            Object::Server(_, s) => ("Server", s.id),
        };
        Some(Cell {
            obj_type,
            proxy_id: row.proxy().map_or(0, |p| p.id),
            id,
            field: CellField { pos: at, name: entry.column? },
            process_num: 1,
            tags: Tags::of(entry.tags),
            value,
        })
    }
}

impl Tags {
    fn of(letters: &str) -> Tags {
        let mut letters = letters.chars();
        let mut word = |words: &[(char, &'static str)]| {
            let letter = letters.next();
            words.iter().find(|(c, _)| Some(*c) == letter).map_or("Unknown", |(_, word)| word)
        };
        Tags {
            origin: word(&[('M', "Metric"), ('S', "Status"), ('K', "Key"), ('C', "Config"), ('P', "Product")]),
            nature: word(&[
                ('A', "Age"),
                ('a', "Avg"),
                ('C', "Counter"),
                ('D', "Duration"),
                ('G', "Gauge"),
                ('L', "Limit"),
                ('M', "Max"),
                ('N', "Name"),
                ('O', "Output"),
                ('R', "Rate"),
            ]),
            scope: word(&[('P', "Process"), ('S', "Service")]),
        }
    }
}

#[derive(Serialize)]
struct Api<'a> {
    process: &'a ProcessView,
    problems: Vec<Problem>,
    proxies: Vec<ApiProxy<'a>>,
    certificates: &'a [CertificateView],
    resolvers: &'a [ResolversView],
}

#[derive(Serialize)]
struct ApiProxy<'a> {
    name: &'a str,
    id: u32,
    mode: Mode,
    listen: bool,
    frontend: &'a Option<FrontendView>,
    backend: Option<ApiBackend<'a>>,
    servers: Vec<ApiServer<'a>>,
}

#[derive(Serialize)]
struct ApiBackend<'a> {
    up: bool,
    weight: u32,
    active_servers: usize,
    backup_servers: usize,
    #[serde(flatten)]
    view: &'a BackendView,
}

#[derive(Serialize)]
struct ApiServer<'a> {
    status: std::borrow::Cow<'static, str>,
    state: ServerState,
    usable: bool,
    #[serde(flatten)]
    view: &'a ServerView,
}

/// Our own layout: process, problems (worst first), proxies, certificates, name servers.
pub fn api(view: &View) -> String {
    let proxies = view.proxies.iter().map(|p| {
        let (active_servers, backup_servers) = p.usable_servers();
        let backend = p.backend.as_ref().map(|view| ApiBackend {
            up: p.backend_up(),
            weight: p.backend_weight().0,
            active_servers,
            backup_servers,
            view,
        });
        let server = |s| ApiServer { status: ServerView::status(s), state: s.state(), usable: s.usable(), view: s };
        ApiProxy {
            name: &p.name,
            id: p.id,
            mode: p.mode,
            listen: p.listen,
            frontend: &p.frontend,
            backend,
            servers: p.servers.iter().map(server).collect(),
        }
    });
    let api = Api {
        process: &view.process,
        problems: problems(view),
        proxies: proxies.collect(),
        certificates: &view.certificates,
        resolvers: &view.resolvers,
    };
    serde_json::to_string(&api).expect("string keys and finite numbers always serialise")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sample;
    use serde_json::{Value as Json, json};

    #[test]
    fn typed_json_is_haproxys() {
        let text = typed(&sample::view());
        let doc: Json = serde_json::from_str(&text).unwrap();
        let rows = doc.as_array().unwrap();
        assert_eq!(rows.len(), crate::values::rows(&sample::view()).count());
        let status = rows[0].as_array().unwrap().iter().find(|c| c["field"]["name"] == "status").unwrap();
        assert_eq!(
            status,
            &json!({"objType":"Frontend","proxyId":2,"id":0,"field":{"pos":17,"name":"status"},"processNum":1,
                "tags":{"origin":"Status","nature":"Gauge","scope":"Process"},"value":{"type":"str","value":"OPEN"}})
        );
        for cell in rows.iter().flat_map(|r| r.as_array().unwrap()) {
            assert!(!cell.to_string().contains("Unknown"), "{cell}");
            assert_eq!(cell["value"]["type"] == "str", cell["value"]["value"].is_string(), "{cell}");
        }
    }

    #[test]
    fn our_json_says_what_is_wrong_first() {
        let doc: Json = serde_json::from_str(&api(&sample::view())).unwrap();
        assert_eq!(doc["problems"][0]["severity"], "critical");
        assert_eq!(doc["process"]["generation"], 7);
        let app = doc["proxies"].as_array().unwrap().iter().find(|p| p["name"] == "app").unwrap();
        assert_eq!(app["servers"][1]["status"], "DOWN");
        assert_eq!(app["servers"][1]["state"], "down");
        assert_eq!(app["servers"][1]["check"]["last"]["code"], 503);
        assert_eq!(app["backend"]["up"], true);
        assert_eq!(app["backend"]["algorithm"], "leastconn");
        assert!(app["servers"][0]["sessions"].is_u64(), "counters stand beside the state");
    }
}
