//! Sets of the classes of one variable, as bits.

/// A set of small numbers, all below the size it was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set(Box<[u64]>);

impl Set {
    pub(super) fn empty(size: usize) -> Set {
        Set(vec![0; size.div_ceil(64)].into())
    }

    pub(super) fn full(size: usize) -> Set {
        let mut set = Set(vec![u64::MAX; size.div_ceil(64)].into());
        if let Some(last) = set.0.last_mut()
            && !size.is_multiple_of(64)
        {
            *last = (1 << (size % 64)) - 1;
        }
        set
    }

    pub(super) fn insert(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub(super) fn contains(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(super) fn keep(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    pub(super) fn remove(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= !other);
    }

    pub(super) fn add(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    pub(super) fn is_subset(&self, other: &Set) -> bool {
        self.0.iter().zip(&other.0).all(|(word, other)| word & !other == 0)
    }

    pub(super) fn meets(&self, other: &Set) -> bool {
        self.0.iter().zip(&other.0).any(|(word, other)| word & other != 0)
    }

    /// The members, rising.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            let rest = std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)));
            rest.take_while(|&word| word != 0).map(move |word| at * 64 + word.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sets() {
        let mut odd = Set::empty(130);
        (1..130).step_by(2).for_each(|at| odd.insert(at));
        assert_eq!(odd.iter().collect::<Vec<_>>(), (1..130).step_by(2).collect::<Vec<_>>());
        let full = Set::full(130);
        assert_eq!((full.len(), odd.len()), (130, 65));
        let mut even = full.clone();
        even.remove(&odd);
        assert!(!even.meets(&odd) && even.is_subset(&full) && !full.is_subset(&even) && even.contains(128));
        even.add(&odd);
        assert_eq!(even, full);
        even.keep(&odd);
        assert_eq!(even, odd);
        odd.remove(&full);
        assert!(odd.is_empty());
        for size in [0, 1, 63, 64, 65, 128] {
            assert_eq!(Set::full(size).iter().collect::<Vec<_>>(), (0..size).collect::<Vec<_>>());
        }
    }
}
