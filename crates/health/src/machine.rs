//! Rise and fall: when a row of check results changes the state of a server.
//!
//! Driven by the check loops, one result at a time; pure, no clock. One counter runs from 0 to `rise + fall - 1`, and the
//! server is up from `rise` on. Invariant: the state changes only after `fall` failures or `rise` successes in a row.

use std::time::Duration;

use evenkeel_config::{Check, InitState};

/// What a result did to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Down before, up now.
    Up,
    /// Up before, down now.
    Down,
}

/// The health of one server (`rise`, `fall`, `init-state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    rise: u32,
    fall: u32,
    counter: u32,
}

impl Machine {
    /// A machine in its initial state; thresholds of 0 count as 1.
    pub fn new(rise: u32, fall: u32, init: InitState) -> Machine {
        let mut machine = Machine { rise: rise.max(1), fall: fall.max(1), counter: 0 };
        machine.counter = match init {
            InitState::Up => machine.rise,
            InitState::FullyUp => machine.full(),
            InitState::Down => machine.rise - 1,
            InitState::FullyDown => 0,
        };
        machine
    }

    /// Takes one result; says whether the state changed.
    ///
    /// A success while going down restores full health, a failure while going up starts over.
    pub fn apply(&mut self, passed: bool) -> Option<Change> {
        let was_up = self.is_up();
        self.counter = match (was_up, passed) {
            (true, true) => self.full(),
            (true, false) if self.counter > self.rise => self.counter - 1,
            (false, true) if self.counter + 1 < self.rise => self.counter + 1,
            (false, true) => self.full(),
            (_, false) => 0,
        };
        match (was_up, self.is_up()) {
            (false, true) => Some(Change::Up),
            (true, false) => Some(Change::Down),
            _ => None,
        }
    }

    /// Whether the server may have traffic.
    pub fn is_up(&self) -> bool {
        self.counter >= self.rise
    }

    /// Progress as the stats page shows it: `(2, 3)` for "UP 2/3", where one more failure than 2 - 1 takes it down;
    /// `(1, 2)` for "DOWN 1/2", one success short of up.
    pub fn health(&self) -> (u32, u32) {
        if self.is_up() { (self.counter - self.rise + 1, self.fall) } else { (self.counter, self.rise) }
    }

    /// Time until the next check: `fastinter` while the state is in doubt, `downinter` when fully down, else `inter`.
    pub fn wait(&self, check: &Check) -> Duration {
        if self.counter == 0 {
            check.down_interval
        } else if self.counter == self.full() {
            check.interval
        } else {
            check.fast_interval
        }
    }

    /// New thresholds for a server that stays: its state is kept, and its progress as far as they allow.
    pub fn reconfigure(&mut self, rise: u32, fall: u32) {
        let (rise, fall) = (rise.max(1), fall.max(1));
        self.counter = if self.is_up() {
            let failures = self.full() - self.counter;
            rise + (fall - 1).saturating_sub(failures)
        } else {
            self.counter.min(rise - 1)
        };
        (self.rise, self.fall) = (rise, fall);
    }

    fn full(&self) -> u32 {
        // Saturating: two thresholds near the end of their type are nonsense, not a panic.
        self.rise.saturating_add(self.fall - 1)
    }
}

/// `base` changed by up to `percent` of itself either way, so that checks of many servers drift apart (`spread-checks`).
pub fn jittered(base: Duration, percent: u8, rng: &mut fastrand::Rng) -> Duration {
    let share = f64::from(percent.min(100)) / 100.0;
    base.mul_f64(1.0 + share * (2.0 * rng.f64() - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule in its plainest words: only the length of the current row of equal results matters.
    struct Naive {
        up: bool,
        row: u32,
        last: Option<bool>,
    }

    impl Naive {
        fn apply(&mut self, passed: bool, rise: u32, fall: u32) -> Option<Change> {
            self.row = if self.last == Some(passed) { self.row + 1 } else { 1 };
            self.last = Some(passed);
            match (self.up, passed) {
                (true, false) if self.row >= fall => {
                    self.up = false;
                    Some(Change::Down)
                }
                (false, true) if self.row >= rise => {
                    self.up = true;
                    Some(Change::Up)
                }
                _ => None,
            }
        }
    }

    #[test]
    fn agrees_with_counting_rows() {
        for seed in 0..500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (rise, fall) = (rng.u32(1..6), rng.u32(1..6));
            let up = rng.bool();
            let init = if up { InitState::FullyUp } else { InitState::FullyDown };
            let mut machine = Machine::new(rise, fall, init);
            let mut naive = Naive { up, row: 0, last: None };
            let bias = rng.f32();
            for step in 0..200 {
                let passed = rng.f32() < bias;
                let change = machine.apply(passed);
                assert_eq!(change, naive.apply(passed, rise, fall), "seed {seed} step {step}");
                assert_eq!(machine.is_up(), naive.up, "seed {seed} step {step}");
                let (now, of) = machine.health();
                assert_eq!(of, if naive.up { fall } else { rise }, "seed {seed} step {step}");
                assert!(if naive.up { (1..=of).contains(&now) } else { now < of }, "seed {seed} step {step}");
            }
        }
    }

    #[test]
    fn initial_states() {
        let first = |init, passed| Machine::new(3, 2, init).apply(passed);
        assert_eq!(first(InitState::Up, false), Some(Change::Down), "up: the first failure takes it down");
        assert_eq!(first(InitState::FullyUp, false), None);
        assert_eq!(first(InitState::Down, true), Some(Change::Up), "down: the first success brings it up");
        assert_eq!(first(InitState::FullyDown, true), None);
        assert_eq!(Machine::new(2, 3, InitState::Up).health(), (1, 3));
        assert_eq!(Machine::new(2, 3, InitState::FullyUp).health(), (3, 3));
        assert_eq!(Machine::new(2, 3, InitState::FullyDown).health(), (0, 2));
        assert!(Machine::new(0, 0, InitState::Up).is_up());
        assert_eq!(Machine::new(u32::MAX, u32::MAX, InitState::FullyUp).apply(true), None);
    }

    #[test]
    fn new_thresholds_keep_the_state() {
        for seed in 0..500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut machine = Machine::new(rng.u32(1..6), rng.u32(1..6), InitState::Up);
            for _ in 0..rng.u32(0..20) {
                machine.apply(rng.bool());
            }
            let before = machine;
            let (rise, fall) = (rng.u32(1..6), rng.u32(1..6));
            machine.reconfigure(rise, fall);
            assert_eq!(machine.is_up(), before.is_up(), "seed {seed}");
            assert!(machine.counter <= machine.full(), "seed {seed}");
            // What the new thresholds promise holds from the next result on.
            let opposite = !machine.is_up();
            let limit = if opposite { rise } else { fall };
            let rows = (0..limit).filter(|_| machine.apply(opposite).is_some()).count();
            assert_eq!(rows, 1, "seed {seed}");
        }
    }

    #[test]
    fn the_interval_follows_the_state() {
        let secs = Duration::from_secs;
        let check = Check {
            kind: evenkeel_config::CheckKind::Tcp,
            interval: secs(2),
            fast_interval: secs(1),
            down_interval: secs(5),
            rise: 2,
            fall: 3,
            timeout: secs(2),
            port: None,
            addr: None,
            jitter: 0,
            init: InitState::FullyUp,
            tls: None,
            sni: None,
            alpn: Vec::new(),
            proto: None,
            send_proxy: None,
        };
        let mut machine = Machine::new(2, 3, InitState::FullyUp);
        let mut wait = |passed| {
            machine.apply(passed);
            machine.wait(&check)
        };
        let results = [true, false, false, true, false, false, false, true, false, true, true];
        let waits = [2, 1, 1, 2, 1, 1, 5, 1, 5, 1, 2];
        assert_eq!(results.map(&mut wait), waits.map(secs));
    }

    #[test]
    fn jitter_stays_in_its_share() {
        let base = Duration::from_millis(2000);
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let got = jittered(base, 10, &mut rng);
            assert!((1800..=2200).contains(&got.as_millis()), "seed {seed}: {got:?}");
            assert_eq!(jittered(base, 0, &mut rng), base);
        }
    }
}
