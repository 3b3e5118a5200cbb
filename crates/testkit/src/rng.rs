//! A seeded generator for tests. It prints its seed when the test that owns it panics; `EVENKEEL_SEED` replays a run.

/// xorshift64*: small, fast, good enough to choose sizes and cut points.
#[derive(Debug)]
pub struct Rng {
    seed: u64,
    state: u64,
}

impl Rng {
    /// The generator of a test: `EVENKEEL_SEED` when set, else `seed`.
    pub fn new(seed: u64) -> Rng {
        let seed = std::env::var("EVENKEEL_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(seed).max(1);
        Rng { seed, state: seed }
    }

    /// The seed it began with, for assertion messages.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next_u64() % n as u64) as usize }
    }

    /// `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next_u64() as u8).collect()
    }
}

impl Drop for Rng {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed of this test: EVENKEEL_SEED={}", self.seed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        assert_eq!(a.bytes(64), b.bytes(64), "seed {}", a.seed());
        assert!(a.below(10) < 10, "seed {}", a.seed());
        assert_eq!(a.below(0), 0);
    }
}
