//! The buffers in which records are taken apart and put together. They belong to the thread, since no session uses them
//! longer than one call.

use std::cell::RefCell;

/// What one call needs. Each buffer keeps its length, so that it is cleared once and not for each call.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Ciphertext as received; decrypted in place.
    pub(super) input: Vec<u8>,
    /// Ciphertext to be sent.
    pub(super) output: Vec<u8>,
    /// Small pieces gathered into one record.
    pub(super) gather: Vec<u8>,
    /// Where records of application data end: in `output`, and in the plaintext.
    pub(super) marks: Vec<(usize, usize)>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const {
        RefCell::new(Scratch { input: Vec::new(), output: Vec::new(), gather: Vec::new(), marks: Vec::new() })
    };
}

/// Lends the buffers of this thread.
pub(super) fn with<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(work)
}

/// Makes a buffer at least `len` long.
pub(super) fn stretch(buffer: &mut Vec<u8>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len.next_multiple_of(4096), 0);
    }
}
