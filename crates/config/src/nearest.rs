//! The nearest known name: what "did you mean" offers.

/// The candidate nearest to `word`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long word in a file is not a slip of a short name; the bound also keeps the work small on hostile input.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let folded = fold(word);
    let limit = (folded.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|c| c.len() <= 64)
        .map(|c| (distance(&folded, &fold(c)), c))
        .filter(|(d, c)| *d <= limit && *d < c.len())
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// `did you mean \`x\`?`, when there is one.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|name| format!("did you mean `{name}`?"))
}

/// Case and the two word separators are the commonest slips: they cost nothing.
fn fold(word: &str) -> Vec<char> {
    word.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Edit distance where swapping two neighbours counts one (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    let mut row = vec![0; width];
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..width {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        std::mem::swap(&mut before, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["timeout", "maxconn", "default_backend", "mode", "bind"];
        for (word, want) in [
            ("timeot", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("max-conn", Some("maxconn")),
            ("default-backend", Some("default_backend")),
            ("Mode", Some("mode")),
            ("binds", Some("bind")),
            ("cookie", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known), want, "{word}");
        }
    }

    #[test]
    fn distance_counts_a_swap_once() {
        let d = |a: &str, b: &str| distance(&fold(a), &fold(b));
        assert_eq!(d("abcd", "acbd"), 1);
        assert_eq!(d("", "abc"), 3);
        assert_eq!(d("abc", ""), 3);
        assert_eq!(d("kitten", "sitting"), 3);
    }
}
