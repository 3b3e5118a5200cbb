//! Counters and their one catalogue.
//!
//! Owns: single-writer counters sharded over workers, sliding averages, and [`catalog::CATALOG`], the static list that
//! every exporter (stats page, CSV, JSON, Prometheus) reads. Called by backend and frontend to count, by admin to export.
//! Never: does I/O, knows a runtime, or takes a lock on the counting side.
//!
//! Invariant: a shard has exactly one writer (its worker), so counting is a relaxed load and store, no bus lock.

pub mod catalog;
mod counter;
mod sheet;

pub use counter::{Average, Counter, Gauge, Level, Rate};
pub use sheet::{FrontendSheet, Responses, Sharded, TrafficSheet};
