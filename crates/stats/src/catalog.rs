//! The one list of everything that is exported: filled in by the admin crate's needs, read by every exporter.
