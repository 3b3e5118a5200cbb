//! A worker's spare buffers and transactions. Memory in use follows the work under way; a bounded stock is kept for reuse.

use std::cell::RefCell;

use evenkeel_proto::Buf;

use crate::txn::Txn;

/// Stocks of one worker.
#[derive(Debug)]
pub(crate) struct Stock {
    small: RefCell<Vec<Buf>>,
    bulk: RefCell<Vec<Buf>>,
    txns: RefCell<Vec<Box<Txn>>>,
    small_size: usize,
    bulk_size: usize,
}

impl Stock {
    /// Spare buffers of each kind, and spare transactions, that a worker keeps: 1 MiB of small ones by default.
    const KEEP: usize = 64;

    /// Buffers of `small_size` (`tune.bufsize`) and `bulk_size` (`tune.bulk-bufsize`) bytes.
    pub(crate) fn new(small_size: usize, bulk_size: usize) -> Stock {
        Stock { small: RefCell::default(), bulk: RefCell::default(), txns: RefCell::default(), small_size, bulk_size }
    }

    /// A buffer for a head or a short transfer.
    #[inline]
    pub(crate) fn small(&self) -> Buf {
        self.small.borrow_mut().pop().unwrap_or_else(|| Buf::with_capacity(self.small_size))
    }

    /// A buffer for a transfer that filled a small one.
    #[inline]
    pub(crate) fn bulk(&self) -> Buf {
        self.bulk.borrow_mut().pop().unwrap_or_else(|| Buf::with_capacity(self.bulk_size))
    }

    /// Takes a buffer back; one of another size (an older setting, an empty head) is dropped.
    #[inline]
    pub(crate) fn give_back(&self, mut buf: Buf) {
        let stock = match buf.capacity() {
            n if n == self.small_size => &self.small,
            n if n == self.bulk_size => &self.bulk,
            _ => return,
        };
        let mut stock = stock.borrow_mut();
        if stock.len() < Self::KEEP {
            buf.clear();
            stock.push(buf);
        }
    }

    /// A transaction with its allocations from earlier ones.
    #[inline]
    pub(crate) fn txn(&self) -> Box<Txn> {
        self.txns.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a transaction back.
    #[inline]
    pub(crate) fn give_back_txn(&self, mut txn: Box<Txn>) {
        let mut txns = self.txns.borrow_mut();
        if txns.len() < Self::KEEP {
            txn.reset(self);
            txns.push(txn);
        }
    }
}
