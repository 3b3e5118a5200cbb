//! The operator's doors: stats page, CSV, JSON, Prometheus metrics, probes.
//!
//! Owns: [`View`], the picture everything is rendered from, the exporters, [`Sampler`] for rates, and [`serve`], the
//! HTTP listener. The binary implements [`Source`] over the registry and runs `serve` on the control thread. Never:
//! touches traffic, or changes anything.
//!
//! Invariant: CSV, JSON and metrics iterate the one catalogue in `evenkeel-stats` and read values in one place
//! ([`values`]), so they cannot disagree.

pub mod csv;
pub mod human;
pub mod json;
pub mod metrics;
pub mod page;
pub mod problems;
pub mod route;
pub mod sampler;
mod server;
pub mod values;
pub mod view;

#[cfg(test)]
extern crate self as evenkeel_admin;
#[cfg(test)]
mod sample;

pub use metrics::markdown as metrics_markdown;
pub use sampler::Sampler;
pub use server::{CONNECTION_LIFETIME, HEADER_TIMEOUT, MAX_CONNECTIONS, MAX_HEAD, Source, serve};
pub use view::View;
