//! A fixed-capacity I/O buffer.
//!
//! Owned by whoever reads from a socket: bytes are received into [`Buf::spare_mut`], looked at in [`Buf::filled`] and
//! dropped from the front. It never grows, so the memory of a connection is known when the buffer is handed to it.
//! Invariant: `start <= end <= mem.len()`, and `start == end` only at zero.

use std::fmt;

/// Bytes live in `mem[start..end]`; the capacity never changes.
#[derive(Clone, Default)]
pub struct Buf {
    mem: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buf {
    /// An empty buffer of `n` bytes. `n == 0` allocates nothing.
    #[must_use]
    pub fn with_capacity(n: usize) -> Buf {
        Buf { mem: vec![0; n].into_boxed_slice(), start: 0, end: 0 }
    }

    /// Bytes this buffer can ever hold.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.mem.len()
    }

    /// The bytes received and not yet consumed.
    #[inline]
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        &self.mem[self.start..self.end]
    }

    /// [`Buf::filled`], to be changed in place.
    #[inline]
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.mem[self.start..self.end]
    }

    /// The room behind the filled part; follow a write into it with [`Buf::advance`].
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.mem[self.end..]
    }

    /// Says that `n` bytes were written into the spare part. More than fits counts as all of it.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.mem.len() - self.end, "more bytes written than there was room");
        self.end = (self.end + n).min(self.mem.len());
    }

    /// Drops `n` bytes from the front. More than there are drops all.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len(), "more bytes consumed than received");
        self.start += n.min(self.len());
        if self.start == self.end {
            self.clear();
        }
    }

    /// Keeps the first `n` filled bytes and forgets the rest.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        self.end = self.start + n.min(self.len());
        if self.start == self.end {
            self.clear();
        }
    }

    /// Number of filled bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether no byte is filled.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether there is no spare part. [`Buf::compact`] may make room again.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.end == self.mem.len()
    }

    /// Forgets all bytes.
    #[inline]
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Copies what fits of `bytes` into the spare part and returns how many that were.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.mem.len() - self.end);
        self.mem[self.end..self.end + n].copy_from_slice(&bytes[..n]);
        self.end += n;
        n
    }

    /// Moves the filled part to the front, so that the spare part is all the room there is.
    #[inline]
    pub fn compact(&mut self) {
        if self.start > 0 {
            self.mem.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}

impl fmt::Debug for Buf {
    /// Sizes only: the content belongs to users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buf").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Buf;

    #[test]
    fn fills_consumes_and_compacts() {
        let mut buf = Buf::with_capacity(8);
        assert_eq!(buf.extend_from_slice(b"abcdef"), 6);
        assert_eq!(buf.extend_from_slice(b"ghij"), 2);
        assert!(buf.is_full());
        buf.consume(3);
        assert_eq!(buf.filled(), b"defgh");
        assert!(buf.is_full(), "the room in front is not spare yet");
        buf.compact();
        assert_eq!(buf.filled(), b"defgh");
        assert_eq!(buf.spare_mut().len(), 3);
        buf.spare_mut()[0] = b'i';
        buf.advance(1);
        buf.truncate(6);
        assert_eq!(buf.filled(), b"defghi");
        buf.consume(6);
        assert_eq!((buf.len(), buf.spare_mut().len()), (0, 8));
    }

    #[test]
    fn an_empty_buffer_has_no_room() {
        let mut buf = Buf::with_capacity(0);
        assert!(buf.is_empty() && buf.is_full());
        assert_eq!(buf.extend_from_slice(b"a"), 0);
        buf.compact();
        buf.truncate(3);
        assert!(buf.spare_mut().is_empty());
    }
}
