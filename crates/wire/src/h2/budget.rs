//! What a peer may make us do without getting anywhere: frames counted by kind, over a window of time.
//!
//! Called by [`super::Io`] with every byte that is received, before `h2` sees it. Pure: takes the time. A flood is named, so
//! that the log, a metric and the answer to an operator can say which (CVE-2023-44487, CVE-2019-9511 to 9518,
//! CVE-2024-27316). Never: refuses a peer that makes progress; requests and data raise what it may spend.

/// What a peer did too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flood {
    /// Streams were opened and reset at once: rapid reset.
    Resets,
    /// SETTINGS, each of which wants an answer.
    Settings,
    /// PING, each of which wants an answer.
    Pings,
    /// DATA frames without data.
    EmptyData,
    /// Heads cut into tiny or empty pieces (CONTINUATION).
    Continuations,
    /// WINDOW_UPDATE and PRIORITY.
    Windows,
}

impl Flood {
    /// Every kind.
    pub const ALL: [Flood; 6] =
        [Flood::Resets, Flood::Settings, Flood::Pings, Flood::EmptyData, Flood::Continuations, Flood::Windows];

    /// The word in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Flood::Resets => "resets",
            Flood::Settings => "settings",
            Flood::Pings => "pings",
            Flood::EmptyData => "empty_data",
            Flood::Continuations => "continuations",
            Flood::Windows => "windows",
        }
    }
}

/// How many frames of each kind a connection may send in one window of time; 0: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Length of the window in milliseconds.
    pub window_ms: u64,
    /// RST_STREAM frames; a peer may besides reset half of the streams it opens.
    pub resets: u32,
    /// SETTINGS frames without ACK.
    pub settings: u32,
    /// PING frames without ACK.
    pub pings: u32,
    /// Empty DATA frames that end nothing.
    pub empty_data: u32,
    /// CONTINUATION frames of one head.
    pub continuations: u32,
    /// WINDOW_UPDATE and PRIORITY frames, besides two for each frame of HEADERS or DATA and each of the streams open.
    pub windows: u32,
}

impl Default for Budget {
    /// What no well-behaved client comes near to, in a second.
    fn default() -> Budget {
        Budget {
            window_ms: 1000,
            resets: 200,
            settings: 50,
            pings: 100,
            empty_data: 100,
            continuations: 16,
            windows: 10_000,
        }
    }
}

/// Follows the frames of one direction.
#[derive(Clone, Debug)]
pub struct Scanner {
    budget: Budget,
    /// Bytes of the preface or of a payload that are passed over.
    skip: u64,
    head: [u8; 9],
    have: usize,
    /// When the counts began.
    since: u64,
    spent: Spent,
    continuations: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    opened: u32,
    resets: u32,
    settings: u32,
    pings: u32,
    empty_data: u32,
    windows: u32,
    progress: u32,
}

/// Length of the preface of a client (RFC 9113 §3.4).
const PREFACE: u64 = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;

impl Scanner {
    /// A scanner of what a client sends, from its preface on.
    pub fn of_client(budget: Budget) -> Scanner {
        Scanner { skip: PREFACE, ..Scanner::of_server(budget) }
    }

    /// A scanner of what a server sends.
    pub fn of_server(budget: Budget) -> Scanner {
        Scanner { budget, skip: 0, head: [0; 9], have: 0, since: 0, spent: Spent::default(), continuations: 0 }
    }

    /// Follows `bytes`, received at `now_ms`.
    ///
    /// # Errors
    /// The first budget that is passed; the connection is to be closed with ENHANCE_YOUR_CALM.
    pub fn scan(&mut self, mut bytes: &[u8], now_ms: u64) -> Result<(), Flood> {
        if now_ms.saturating_sub(self.since) >= self.budget.window_ms {
            self.since = now_ms;
            self.spent = Spent::default();
        }
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= n as u64;
                bytes = &bytes[n..];
                continue;
            }
            let n = (self.head.len() - self.have).min(bytes.len());
            self.head[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            bytes = &bytes[n..];
            if self.have == self.head.len() {
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.skip = u64::from(length);
                self.frame(kind, flags, length)?;
            }
        }
        Ok(())
    }

    fn frame(&mut self, kind: u8, flags: u8, length: u32) -> Result<(), Flood> {
        let Scanner { budget, spent, .. } = self;
        let over = |count: &mut u32, limit: u32, flood| {
            *count = count.saturating_add(1);
            if limit != 0 && *count > limit { Err(flood) } else { Ok(()) }
        };
        match kind {
            HEADERS => {
                self.continuations = 0;
                spent.opened = spent.opened.saturating_add(1);
                spent.progress = spent.progress.saturating_add(1);
                Ok(())
            }
            CONTINUATION => over(&mut self.continuations, budget.continuations, Flood::Continuations),
            RST_STREAM => {
                let limit = if budget.resets == 0 { 0 } else { budget.resets.saturating_add(spent.opened / 2) };
                over(&mut spent.resets, limit, Flood::Resets)
            }
            SETTINGS if flags & ACK == 0 => over(&mut spent.settings, budget.settings, Flood::Settings),
            PING if flags & ACK == 0 => over(&mut spent.pings, budget.pings, Flood::Pings),
            DATA if length == 0 && flags & END_STREAM == 0 => {
                over(&mut spent.empty_data, budget.empty_data, Flood::EmptyData)
            }
            DATA => {
                spent.progress = spent.progress.saturating_add(1);
                Ok(())
            }
            WINDOW_UPDATE | PRIORITY => {
                let earned = spent.progress.saturating_mul(2);
                let limit = if budget.windows == 0 { 0 } else { budget.windows.saturating_add(earned) };
                over(&mut spent.windows, limit, Flood::Windows)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut out = vec![0, (payload >> 8) as u8, payload as u8, kind, flags, 0, 0, 0, 1];
        out.resize(9 + payload, 0xaa);
        out
    }

    fn flood(kind: u8, flags: u8, payload: usize, budget: Budget) -> (usize, Flood) {
        let mut scanner = Scanner::of_server(budget);
        let frame = frame(kind, flags, payload);
        for sent in 1..1_000_000 {
            if let Err(flood) = scanner.scan(&frame, 0) {
                return (sent, flood);
            }
        }
        panic!("never refused");
    }

    #[test]
    fn each_kind_has_its_limit() {
        let budget = Budget::default();
        assert_eq!(flood(RST_STREAM, 0, 4, budget), (201, Flood::Resets));
        assert_eq!(flood(SETTINGS, 0, 6, budget), (51, Flood::Settings));
        assert_eq!(flood(PING, 0, 8, budget), (101, Flood::Pings));
        assert_eq!(flood(DATA, 0, 0, budget), (101, Flood::EmptyData));
        assert_eq!(flood(CONTINUATION, 0, 0, budget), (17, Flood::Continuations));
        assert_eq!(flood(WINDOW_UPDATE, 0, 4, budget), (10_001, Flood::Windows));
        assert_eq!(flood(PRIORITY, 0, 5, budget), (10_001, Flood::Windows));
    }

    #[test]
    fn what_moves_a_message_is_free() {
        let mut scanner = Scanner::of_server(Budget::default());
        for _ in 0..100_000 {
            for (kind, flags, payload) in [(HEADERS, 4, 30), (DATA, 0, 1), (DATA, 1, 0), (WINDOW_UPDATE, 0, 4)] {
                scanner.scan(&frame(kind, flags, payload), 0).unwrap();
            }
            scanner.scan(&frame(SETTINGS, ACK, 0), 0).unwrap();
            scanner.scan(&frame(PING, ACK, 8), 0).unwrap();
        }
    }

    #[test]
    fn a_new_window_begins_anew() {
        let mut scanner = Scanner::of_server(Budget::default());
        for round in 0..5 {
            for _ in 0..100 {
                scanner.scan(&frame(PING, 0, 8), round * 1000).unwrap();
            }
        }
        assert_eq!(scanner.scan(&frame(PING, 0, 8), 4_001), Err(Flood::Pings));
    }

    /// A client that opens streams may reset half of them for ever, and not more.
    #[test]
    fn resets_are_earned_by_requests() {
        let mut scanner = Scanner::of_server(Budget::default());
        let rapid = [frame(HEADERS, 5, 20), frame(RST_STREAM, 0, 4)].concat();
        let refused = (0..10_000).find(|_| scanner.scan(&rapid, 0).is_err());
        assert_eq!(refused, Some(400), "two hundred, and half of what was opened");
        let mut scanner = Scanner::of_server(Budget::default());
        let patient = [frame(HEADERS, 5, 20), frame(HEADERS, 5, 20), frame(RST_STREAM, 0, 4)].concat();
        assert!((0..10_000).all(|_| scanner.scan(&patient, 0).is_ok()));
    }

    /// The verdict does not depend on how the bytes were split.
    #[test]
    fn any_split_gives_the_same_verdict() {
        let seed = 0x0b5d_9e11;
        let mut rng = Rng(seed);
        for round in 0..300 {
            let mut bytes = vec![0x50; PREFACE as usize];
            for _ in 0..rng.below(400) {
                let kinds = [DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, 77];
                let (kind, flags) = (kinds[rng.below(kinds.len())], rng.below(2) as u8);
                bytes.extend(frame(kind, flags, rng.below(3) * rng.below(200)));
            }
            let budget =
                Budget { settings: 20, pings: 20, resets: 10, empty_data: 20, windows: 30, ..Budget::default() };
            let mut whole = Scanner::of_client(budget);
            let expected = whole.scan(&bytes, 5);
            let mut pieces = Scanner::of_client(budget);
            let (mut at, mut got) = (0, Ok(()));
            while at < bytes.len() && got.is_ok() {
                let end = (at + 1 + rng.below(40)).min(bytes.len());
                got = pieces.scan(&bytes[at..end], 5);
                at = end;
            }
            assert_eq!(got, expected, "seed {seed:#x}, round {round}");
        }
    }

    struct Rng(u64);

    impl Rng {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % n.max(1) as u64) as usize
        }
    }
}
