//! Whatever a configuration file holds, loading it ends in a configuration or in diagnostics that point into the file.

#![no_main]

use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_config::{LoadOptions, Source, load_sources, plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let opts = LoadOptions {
        env: &|name| (name.len() == 1).then(|| name.to_owned()),
        resolve: &|_, port| Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        ..LoadOptions::closed()
    };
    let loaded = load_sources(&[Source { name: Arc::from("fuzz.toml"), text: Arc::from(text) }], &opts);
    assert_eq!(loaded.config.is_none(), loaded.errors() > 0);
    for diagnostic in &loaded.diagnostics {
        assert!(text.get(diagnostic.span.clone()).is_some(), "{diagnostic:?}");
    }
    let _ = loaded.render(false);
    let _ = loaded.to_json();
    if let Some(config) = &loaded.config {
        assert!(plan::plan(config, config).is_empty());
    }
});
