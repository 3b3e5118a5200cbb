//! A worker's spare buffers and transactions. Memory in use follows the work under way; a bounded stock is kept for reuse.

use std::cell::RefCell;

use evenkeel_proto::Buf;

use crate::txn::Txn;

/// Stocks of one worker.
#[derive(Debug)]
#[expect(clippy::vec_box, reason = "a transaction is boxed for its whole life; moving it in and out would copy it")]
pub(crate) struct Stock {
    small: RefCell<Vec<Buf>>,
    bulk: RefCell<Vec<Buf>>,
    txns: RefCell<Vec<Box<Txn>>>,
    small_size: usize,
    bulk_size: usize,
}

impl Stock {
    /// Spare buffers of each kind, and spare transactions, that a worker keeps: 4 MiB of small ones by default.
    const KEEP: usize = 256;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_to_the_stock_of_its_size() {
        let stock = Stock::new(64, 256);
        let mut small = stock.small();
        let mut bulk = stock.bulk();
        assert_eq!((small.capacity(), bulk.capacity()), (64, 256));
        small.extend_from_slice(b"left over");
        bulk.extend_from_slice(&[1; 256]);
        bulk.consume(100);
        stock.give_back(bulk);
        stock.give_back(small);
        assert_eq!((stock.small.borrow().len(), stock.bulk.borrow().len()), (1, 1));
        for buf in [stock.small(), stock.bulk()] {
            assert!(buf.is_empty());
            assert!([64, 256].contains(&buf.capacity()));
        }
        assert_eq!((stock.small.borrow().len(), stock.bulk.borrow().len()), (0, 0), "taken, not copied");
    }

    #[test]
    fn buffers_of_other_sizes_are_dropped() {
        let stock = Stock::new(64, 256);
        for size in [0, 1, 63, 65, 255, 257] {
            stock.give_back(Buf::with_capacity(size));
        }
        assert_eq!((stock.small.borrow().len(), stock.bulk.borrow().len()), (0, 0));
        assert_eq!((stock.small().capacity(), stock.bulk().capacity()), (64, 256));
    }

    #[test]
    fn the_stock_is_bounded() {
        let stock = Stock::new(64, 256);
        let bufs: Vec<Buf> = (0..2 * Stock::KEEP).flat_map(|_| [stock.small(), stock.bulk()]).collect();
        let txns: Vec<_> = (0..2 * Stock::KEEP).map(|_| stock.txn()).collect();
        bufs.into_iter().for_each(|b| stock.give_back(b));
        txns.into_iter().for_each(|t| stock.give_back_txn(t));
        let kept = (stock.small.borrow().len(), stock.bulk.borrow().len(), stock.txns.borrow().len());
        assert_eq!(kept, (Stock::KEEP, Stock::KEEP, Stock::KEEP));
    }
}
