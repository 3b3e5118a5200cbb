//! What the tests of this crate share: a small generator and ways to feed a head.
#![allow(dead_code, clippy::unwrap_used)]

use evenkeel_proto::{Buf, Head, Limits, Malformed, Method, Parsed};

/// xorshift64*; the seed is in every assertion message.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Which parser.
#[derive(Clone, Copy, Debug)]
pub enum As {
    Request,
    ResponseTo(Method),
}

/// A head that parsed the bytes in pieces of these sizes (repeated), or the verdict.
pub fn feed(
    bytes: &[u8],
    kind: As,
    limits: &Limits,
    capacity: usize,
    mut size: impl FnMut() -> usize,
) -> Result<(Head, Parsed), Malformed> {
    let mut head = Head::new();
    head.replace_block(Buf::with_capacity(capacity));
    let mut rest = bytes;
    loop {
        let n = size().clamp(1, rest.len().max(1)).min(rest.len());
        let taken = head.block_mut().extend_from_slice(&rest[..n]);
        rest = &rest[taken..];
        let parsed = match kind {
            As::Request => head.parse_request(limits)?,
            As::ResponseTo(method) => head.parse_response(limits, method)?,
        };
        if parsed == Parsed::Complete || rest.is_empty() {
            return Ok((head, parsed));
        }
        assert!(!head.block().is_full(), "Partial without room for more");
    }
}

/// All bytes at once, in a block with room to spare.
pub fn whole(bytes: &[u8], kind: As) -> Result<(Head, Parsed), Malformed> {
    feed(bytes, kind, &Limits::default(), bytes.len().max(16_384) + 1, || usize::MAX)
}

/// What a parsed head says, to compare two of them.
pub fn facts(head: &Head) -> String {
    use std::fmt::Write;
    let show = String::from_utf8_lossy;
    let mut out = format!(
        "{} {} -> {:?} {:?} | {} {} | {:?} {:?} keep={} upgrade={:?} continue={}\n",
        show(head.method_bytes()),
        show(head.target()),
        head.authority().map(show),
        head.query().map(show),
        head.status(),
        show(head.reason()),
        head.version(),
        head.framing(),
        head.keep_alive(),
        head.upgrade().map(show),
        head.expects_continue()
    );
    for (name, value) in head.fields() {
        writeln!(out, "{}={}", show(name), show(value)).unwrap();
    }
    out
}
