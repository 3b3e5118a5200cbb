//! The lines of a pattern file: keys and values side by side in one buffer, known by their number in file order.
//!
//! Filled by the loader, by edits and from the values of an acl; read by every index. Invariant: text and count stay within
//! [`MAX_BYTES`] and [`MAX_ENTRIES`], so that spans fit 32 bits and nothing grows without bound.

/// Bytes of keys and values one store may hold, and the size of the largest file that is loaded.
pub const MAX_BYTES: usize = 256 << 20;
/// Entries one store may hold.
pub const MAX_ENTRIES: usize = 1 << 24;

/// Where one entry stands; the value follows the key.
#[derive(Clone, Copy, Debug)]
struct Span {
    at: u32,
    key: u32,
    value: u32,
    /// Counted from 1; 0 for what no file holds.
    line: u32,
}

/// An ordered list of (key, value).
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    text: Vec<u8>,
    spans: Vec<Span>,
}

impl Entries {
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Appends one entry; false, and nothing appended, where that would pass a bound.
    #[must_use]
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8], line: usize) -> bool {
        let room = MAX_BYTES.saturating_sub(self.text.len());
        if key.len() > room || value.len() > room - key.len() || self.spans.len() >= MAX_ENTRIES {
            return false;
        }
        // MAX_BYTES fits 32 bits, and so does the line number of a file no larger than that.
        self.spans.push(Span {
            at: self.text.len() as u32,
            key: key.len() as u32,
            value: value.len() as u32,
            line: line as u32,
        });
        self.text.extend_from_slice(key);
        self.text.extend_from_slice(value);
        true
    }

    pub(crate) fn key(&self, id: u32) -> &[u8] {
        let span = self.spans[id as usize];
        &self.text[span.at as usize..][..span.key as usize]
    }

    pub(crate) fn value(&self, id: u32) -> &[u8] {
        let span = self.spans[id as usize];
        &self.text[(span.at + span.key) as usize..][..span.value as usize]
    }

    /// Line of the file, counted from 1; 0 for an entry that came otherwise.
    pub(crate) fn line(&self, id: u32) -> usize {
        self.spans[id as usize].line as usize
    }

    /// Every number, in order.
    pub(crate) fn ids(&self) -> std::ops::Range<u32> {
        0..self.spans.len() as u32
    }
}
