//! What several of the test targets of this package share; the tests themselves run the `evenkeel` binary from outside.

pub mod watch;

/// A cell of the stats CSV by the names of its proxy, service and column; empty when there is no such row.
///
/// # Panics
/// When the header has no such column.
pub fn cell(csv: &str, proxy: &str, service: &str, column: &str) -> String {
    let header: Vec<&str> = csv.lines().next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    let at = header.iter().position(|h| *h == column).unwrap_or_else(|| panic!("no column {column}"));
    let row = csv.lines().find(|l| l.starts_with(&format!("{proxy},{service},")));
    row.and_then(|r| r.split(',').nth(at)).unwrap_or_default().to_owned()
}
