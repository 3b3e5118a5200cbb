//! Numbers and ranges of numbers: which of them hold a value?
//!
//! Called by the index of the kinds int and len. The ranges are sorted by their lower end and read as a balanced tree in
//! which each node knows the highest end and the first entry below it: what cannot hold the value or cannot be first is
//! skipped.

use std::ops::Range;

/// One closed range and its entry.
#[derive(Clone, Copy, Debug)]
struct Node {
    low: i64,
    high: i64,
    id: u32,
    /// Over the subtree.
    top: i64,
    /// Over the subtree.
    first: u32,
}

/// Closed ranges by their entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intervals(Vec<Node>);

impl Intervals {
    pub(crate) fn new(ranges: impl IntoIterator<Item = (i64, i64, u32)>) -> Intervals {
        let node = |(low, high, id)| Node { low, high, id, top: high, first: id };
        let mut nodes: Vec<Node> = ranges.into_iter().map(node).collect();
        nodes.sort_unstable_by_key(|node| (node.low, node.id));
        let end = nodes.len();
        let mut tree = Intervals(nodes);
        tree.summarize(0..end);
        tree
    }

    /// The first entry in file order that is alive and holds `value`.
    pub(crate) fn find(&self, value: i64, alive: &impl Fn(u32) -> bool) -> Option<u32> {
        // `gt 5`, and most others.
        if let [node] = self.0[..] {
            return (node.low <= value && value <= node.high && alive(node.id)).then_some(node.id);
        }
        let mut best = u32::MAX;
        self.search(0..self.0.len(), value, alive, &mut best);
        (best != u32::MAX).then_some(best)
    }

    /// Every range, by its lower end.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().map(|node| (node.low, node.high))
    }

    fn summarize(&mut self, part: Range<usize>) -> (i64, u32) {
        if part.is_empty() {
            return (i64::MIN, u32::MAX);
        }
        let middle = part.start + part.len() / 2;
        let (left, right) = (self.summarize(part.start..middle), self.summarize(middle + 1..part.end));
        let node = &mut self.0[middle];
        node.top = node.high.max(left.0).max(right.0);
        node.first = node.id.min(left.1).min(right.1);
        (node.top, node.first)
    }

    fn search(&self, part: Range<usize>, value: i64, alive: &impl Fn(u32) -> bool, best: &mut u32) {
        if part.is_empty() {
            return;
        }
        let middle = part.start + part.len() / 2;
        let node = &self.0[middle];
        if node.top < value || node.first >= *best {
            return;
        }
        if node.low <= value {
            if value <= node.high && node.id < *best && alive(node.id) {
                *best = node.id;
            }
            self.search(middle + 1..part.end, value, alive, best);
        }
        self.search(part.start..middle, value, alive, best);
    }
}

/// `10`, `10:20`, `10:`, `:20` as a closed range; with `dotted`, or where a dot stands in it, each number is a version: 3.1
/// is 3 * 65536 + 1, and 3 is 3.0.
pub(crate) fn parse(text: &str, dotted: bool) -> Option<(i64, i64)> {
    let dotted = dotted || text.contains('.');
    let number = |text: &str| if dotted { version(text) } else { text.parse().ok() };
    match text.split_once(':') {
        None => number(text).map(|value| (value, value)),
        Some(("", "")) => None,
        Some((low, "")) => Some((number(low)?, i64::MAX)),
        Some(("", high)) => Some((i64::MIN, number(high)?)),
        Some((low, high)) => Some((number(low)?, number(high)?)),
    }
}

fn version(text: &str) -> Option<i64> {
    let part = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+')).map(i64::from);
    match text.split_once('.') {
        Some((major, minor)) => Some(part(major)? << 16 | part(minor)?),
        None => Some(part(text)? << 16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    #[test]
    fn ranges_agree_with_a_scan() {
        let seed = 0x5eed_0002;
        let mut rng = Rng::new(seed);
        for round in 0..500 {
            let list: Vec<(i64, i64, u32)> = (0..rng.below(14) as u32)
                .map(|id| {
                    let low = rng.below(50) as i64;
                    (low, low + rng.below(10) as i64, id)
                })
                .collect();
            let gone = rng.below(5) as u32;
            let set = Intervals::new(list.clone());
            for value in -1..65 {
                let expected = list
                    .iter()
                    .find(|&&(low, high, id)| low <= value && value <= high && id % 5 != gone)
                    .map(|&(_, _, id)| id);
                let found = set.find(value, &|id| id % 5 != gone);
                assert_eq!(found, expected, "seed {seed:#x} round {round} value {value} in {list:?}");
            }
        }
    }

    #[test]
    fn numbers_and_versions_parse() {
        for (text, dotted, expected) in [
            ("5", false, Some((5, 5))),
            ("-5:7", false, Some((-5, 7))),
            ("5:", false, Some((5, i64::MAX))),
            (":5", false, Some((i64::MIN, 5))),
            ("3.1", false, Some((0x3_0001, 0x3_0001))),
            ("3:3.1", false, Some((0x3_0000, 0x3_0001))),
            ("3", true, Some((0x3_0000, 0x3_0000))),
            (":", false, None),
            ("", false, None),
            ("3.", false, None),
            ("3.70000", false, None),
            ("3.1.2", false, None),
            ("1:2:3", false, None),
            ("x", false, None),
        ] {
            assert_eq!(parse(text, dotted), expected, "{text}");
        }
    }
}
