//! A JSON Schema (draft 2020-12) of the file, out of the key tables, so that editors complete and check.

use serde_json::{Map, Value, json};

use crate::keys::{
    CRT_STORE, Fallback, GLOBAL, HTTP_ERRORS, Key, Kind, LOG_PROFILE, PROXY, RESOLVERS, Sections, TEST, Table, USERLIST,
};
use crate::units::{show_duration, show_size};

/// The schema of a configuration file.
pub fn schema() -> Value {
    let mut defs = Map::new();
    defs.insert(
        "from-environment".to_owned(),
        json!({
            "type": "string",
            "pattern": "\\$\\{",
            "description": "A value out of the environment: ${NAME} or ${NAME:-default}.",
        }),
    );
    defs.insert(
        "duration".to_owned(),
        json!({
            "type": "string",
            "pattern": "^([0-9]+(us|ms|s|m|h|d))+$|\\$\\{",
            "description": "Whole numbers with the units us, ms, s, m, h, d: \"30s\", \"1m30s\".",
        }),
    );
    defs.insert(
        "size".to_owned(),
        json!({
            "type": "string",
            "pattern": "^[0-9]+[bBkKmMgG]$|\\$\\{",
            "description": "A whole number with the unit b, k, m or g, powers of 1024: \"16k\".",
        }),
    );
    let mut properties = Map::new();
    properties.insert(
        "include".to_owned(),
        json!({
            "description": "Further files, relative to this one; * and ? in the last part of a path.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        }),
    );
    properties.insert("global".to_owned(), reference(&GLOBAL, Sections::ANY, &mut defs));
    for (kind, name) in Sections::EACH {
        let section = reference(&PROXY, kind, &mut defs);
        let value = if kind == Sections::DEFAULTS {
            // Keys of the unnamed defaults and the named defaults sections share one table.
            let mut section = defs.get(name).cloned().unwrap_or_default();
            section["additionalProperties"] = json!({"$ref": "#/$defs/defaults"});
            section
        } else {
            json!({
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z0-9_.:-]+$"},
                "additionalProperties": section,
            })
        };
        properties.insert(name.to_owned(), value);
    }
    for (name, table) in [
        ("userlist", &USERLIST),
        ("http-errors", &HTTP_ERRORS),
        ("crt-store", &CRT_STORE),
        ("resolvers", &RESOLVERS),
        ("log-profile", &LOG_PROFILE),
    ] {
        let section = reference(table, Sections::ANY, &mut defs);
        properties.insert(
            name.to_owned(),
            json!({
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z0-9_.:-]+$"},
                "additionalProperties": section,
            }),
        );
    }
    let test = reference(&TEST, Sections::ANY, &mut defs);
    properties.insert("test".to_owned(), json!({"type": "array", "items": test}));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Evenkeel configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "$defs": defs,
    })
}

/// A reference to the definition of a table, which is made when it is first met.
fn reference(table: &'static Table, section: Sections, defs: &mut Map<String, Value>) -> Value {
    let all = table.keys.iter().all(|key| key.sections == Sections::ANY);
    let section_name = section.names().next().filter(|_| section != Sections::ANY).unwrap_or_default();
    let name = match (table.name, all) {
        ("proxy", _) => section_name.to_owned(),
        (name, true) => name.to_owned(),
        (name, false) => format!("{section_name}.{name}"),
    };
    if !defs.contains_key(&name) {
        // Holds the name while the keys are walked.
        defs.insert(name.clone(), Value::Null);
        let mut properties = Map::new();
        for key in table.keys.iter().filter(|key| key.sections.meets(section)) {
            properties.insert(key.name.to_owned(), property(key, section, defs));
        }
        let required: Vec<&str> = table.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
        let mut object = json!({
            "type": "object",
            "description": table.doc,
            "additionalProperties": false,
            "properties": properties,
        });
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        defs.insert(name.clone(), object);
    }
    json!({"$ref": format!("#/$defs/{name}")})
}

fn property(key: &'static Key, section: Sections, defs: &mut Map<String, Value>) -> Value {
    let mut value = kind(&key.kind, section, defs);
    let mut doc = key.doc.to_owned();
    if let Fallback::Says(words) = key.fallback {
        doc.push_str(&format!(" Default: {words}."));
    }
    value["description"] = json!(doc);
    match key.fallback {
        Fallback::Says(_) => {}
        Fallback::Bool(default) => value["default"] = json!(default),
        Fallback::Int(default) => value["default"] = json!(default),
        Fallback::Time(default) => value["default"] = json!(show_duration(default)),
        Fallback::Bytes(default) => value["default"] = json!(show_size(default)),
        Fallback::Word(default) => value["default"] = json!(default),
    }
    value
}

fn kind(of: &'static Kind, section: Sections, defs: &mut Map<String, Value>) -> Value {
    let environment = json!({"$ref": "#/$defs/from-environment"});
    match of {
        Kind::Bool => json!({"anyOf": [{"type": "boolean"}, environment]}),
        Kind::Int(min, max) => {
            json!({"anyOf": [{"type": "integer", "minimum": min, "maximum": max}, environment]})
        }
        Kind::Time(..) => json!({"$ref": "#/$defs/duration"}),
        Kind::Size(_, _, false) => json!({"$ref": "#/$defs/size"}),
        Kind::Size(min, max, true) => json!({
            "anyOf": [{"$ref": "#/$defs/size"}, {"type": "integer", "minimum": min, "maximum": max}],
        }),
        Kind::Entries(min, max) => json!({
            "anyOf": [
                {"type": "string", "pattern": "^[0-9]+[kKmMgG]?$|\\$\\{"},
                {"type": "integer", "minimum": min, "maximum": max},
            ],
        }),
        Kind::Permission => json!({"type": "integer", "minimum": 0, "maximum": 0o777}),
        Kind::Word(words, _) => json!({"anyOf": [{"enum": words}, environment]}),
        Kind::Text(what) => json!({"type": "string", "minLength": 1, "title": what}),
        Kind::Many(one) => {
            let one = kind(one, section, defs);
            json!({"anyOf": [one, {"type": "array", "items": one}]})
        }
        Kind::Table(table) => reference(table, section, defs),
        Kind::Named(one) => json!({"type": "object", "additionalProperties": kind(one, section, defs)}),
        Kind::Any(kinds) => {
            let kinds: Vec<Value> = kinds.iter().map(|one| kind(one, section, defs)).collect();
            json!({"anyOf": kinds})
        }
    }
}
