//! The file: TOML to a checked [`Config`], all mistakes at once.

pub mod model;

pub use model::*;
