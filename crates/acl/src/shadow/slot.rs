//! Where in a request the value of a sample stands, and values that read well there.

use super::texts::Pattern;

/// Where a witness puts a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Method,
    Path,
    /// Path and query.
    Target,
    Query,
    /// The header in lower case.
    Header(String),
    Source,
    DestinationPort,
    Destination,
    Tls,
    Other,
}

impl Slot {
    /// That of the fetch `name` with the first argument `argument`.
    pub(super) fn of(name: &str, argument: Option<&[u8]>) -> Slot {
        match (name, argument) {
            ("method", _) => Slot::Method,
            ("path", _) => Slot::Path,
            ("pathq" | "url", _) => Slot::Target,
            ("query", _) => Slot::Query,
            ("src", _) => Slot::Source,
            ("dst", _) => Slot::Destination,
            ("dst_port", _) => Slot::DestinationPort,
            ("ssl_fc", _) => Slot::Tls,
            ("req.hdr" | "req.fhdr" | "req.hdr_ip" | "req.hdr_val", Some(name)) => {
                Slot::Header(String::from_utf8_lossy(name).to_ascii_lowercase())
            }
            _ => Slot::Other,
        }
    }

    /// Values that read well, to be shown where one of them will do.
    pub(super) fn samples(&self, patterns: &[(Pattern, u32)]) -> Vec<Vec<u8>> {
        let (plain, before): (&[&str], &[&str]) = match self {
            Slot::Method => (&["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"], &[]),
            Slot::Path | Slot::Target => (&["/", "/x", "/x/y"], &["/a", "/a/b"]),
            Slot::Header(name) if name == "host" => {
                (&["a.example", "b.example", "www.example.com"], &["www", "a", "a."])
            }
            _ => (&["x", "1"], &[]),
        };
        let loose = patterns.iter().filter(|(pattern, _)| !pattern.is_anchored());
        let behind =
            loose.flat_map(|(pattern, _)| before.iter().map(|before| [before.as_bytes(), &pattern.text].concat()));
        plain.iter().map(|text| text.as_bytes().to_vec()).chain(behind).collect()
    }
}
