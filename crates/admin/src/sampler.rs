//! Rates out of counters.
//!
//! Owns: [`Sampler`], which sees the totals of a [`View`] once a second and keeps, for each object, the last second's
//! rates, their maxima and the last [`HISTORY`] samples, so that the request path counts no rates. It also follows each
//! backend between UP and DOWN. Called by the control thread: `tick` each second, `fill` on each picture it hands out.
//!
//! Never: reads a clock; `now` is given. Invariant: an object that left the configuration is forgotten at the next tick.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::view::{Rate, View};

/// Samples kept for each object, one a second.
pub const HISTORY: usize = 60;

/// Two ticks closer than this are one: a rate over less says nothing.
const SHORTEST: Duration = Duration::from_millis(100);

/// Rates, maxima and the last minute of every object.
#[derive(Debug, Default)]
pub struct Sampler {
    last: Option<Duration>,
    round: u64,
    tracks: HashMap<Key, Track>,
    backends: HashMap<Arc<str>, UpDown>,
}

/// One series of samples.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Connections,
    Requests,
    BytesOut,
    Tls,
    TlsFull,
    FrontendConnections(Arc<str>),
    FrontendRequests(Arc<str>),
    Backend(Arc<str>),
    Server(Arc<str>, Arc<str>),
}

#[derive(Debug, Default)]
struct Track {
    total: u64,
    round: u64,
    now: u32,
    max: u32,
    /// A ring; `next` is where the oldest sample is once it is full.
    samples: Vec<u32>,
    next: usize,
}

/// A backend between UP and DOWN.
#[derive(Debug)]
struct UpDown {
    round: u64,
    up: bool,
    since: Duration,
    down_before: Duration,
    transitions: u64,
}

impl Sampler {
    /// Takes the totals of `view` in. `now` is the time since any fixed moment; the first call only takes the totals.
    pub fn tick(&mut self, view: &View, now: Duration) {
        let elapsed = match self.last {
            Some(last) if now.saturating_sub(last) < SHORTEST => return,
            Some(last) => Some(now.saturating_sub(last)),
            None => None,
        };
        self.last = Some(now);
        self.round += 1;
        for_each_series(view, |key, total| {
            let track = self.tracks.entry(key).or_default();
            track.take(total, elapsed, self.round);
        });
        for p in view.proxies.iter().filter(|p| p.backend.is_some()) {
            let up = p.backend_up();
            let state = self.backends.entry(p.name.clone()).or_insert(UpDown {
                round: 0,
                up,
                since: now,
                down_before: Duration::ZERO,
                transitions: 0,
            });
            state.round = self.round;
            state.turn(up, now);
        }
        let round = self.round;
        self.tracks.retain(|_, t| t.round == round);
        self.backends.retain(|_, b| b.round == round);
    }

    /// Writes rates, histories and the UP/DOWN times of backends into `view`.
    pub fn fill(&self, view: &mut View, now: Duration) {
        let rate = |key: Key| self.tracks.get(&key).map(Track::rate).unwrap_or_default();
        view.process.connection_rate = rate(Key::Connections);
        view.process.request_rate = rate(Key::Requests);
        view.process.bytes_out_rate = rate(Key::BytesOut);
        view.process.tls_rate = rate(Key::Tls);
        view.process.tls_full_rate = rate(Key::TlsFull);
        for p in &mut view.proxies {
            if let Some(f) = &mut p.frontend {
                f.connection_rate = rate(Key::FrontendConnections(p.name.clone()));
                f.request_rate = rate(Key::FrontendRequests(p.name.clone()));
            }
            for s in &mut p.servers {
                s.traffic.session_rate = rate(Key::Server(p.name.clone(), s.name.clone()));
            }
            if let Some(b) = &mut p.backend {
                b.traffic.session_rate = rate(Key::Backend(p.name.clone()));
                if let Some(state) = self.backends.get(&p.name) {
                    b.last_change_seconds = now.saturating_sub(state.since).as_secs();
                    b.downtime_seconds = state.downtime(now).as_secs();
                    b.down_transitions = state.transitions;
                }
            }
        }
    }

    /// Forgets every maximum (`clear counters`).
    pub fn reset_max(&mut self) {
        self.tracks.values_mut().for_each(|t| t.max = t.now);
    }
}

impl Track {
    fn take(&mut self, total: u64, elapsed: Option<Duration>, round: u64) {
        let new = self.round == 0;
        // A smaller total means that the counters were cleared: what is there came since.
        let delta = if total >= self.total { total - self.total } else { total };
        self.total = total;
        self.round = round;
        let Some(elapsed) = elapsed.filter(|_| !new) else { return };
        let per_second = u128::from(delta) * 1_000_000 / elapsed.as_micros().max(1);
        self.now = u32::try_from(per_second).unwrap_or(u32::MAX);
        self.max = self.max.max(self.now);
        if self.samples.len() < HISTORY {
            self.samples.push(self.now);
        } else {
            self.samples[self.next] = self.now;
            self.next = (self.next + 1) % HISTORY;
        }
    }

    fn rate(&self) -> Rate {
        let (newer, older) = self.samples.split_at(self.next);
        Rate { now: self.now, max: self.max, history: [older, newer].concat() }
    }
}

impl UpDown {
    fn turn(&mut self, up: bool, now: Duration) {
        if up == self.up {
            return;
        }
        if up {
            self.down_before += now.saturating_sub(self.since);
        } else {
            self.transitions += 1;
        }
        self.up = up;
        self.since = now;
    }

    fn downtime(&self, now: Duration) -> Duration {
        self.down_before + if self.up { Duration::ZERO } else { now.saturating_sub(self.since) }
    }
}

fn for_each_series(view: &View, mut take: impl FnMut(Key, u64)) {
    take(Key::Connections, view.process.connections_total);
    take(Key::Requests, view.process.requests_total);
    take(Key::BytesOut, view.process.bytes_out);
    take(Key::Tls, view.process.tls_handshakes_total);
    take(Key::TlsFull, view.process.tls_handshakes_total.saturating_sub(view.process.tls_resumed_total));
    for p in &view.proxies {
        if let Some(f) = &p.frontend {
            take(Key::FrontendConnections(p.name.clone()), f.connections_total);
            take(Key::FrontendRequests(p.name.clone()), f.requests_total);
        }
        for s in &p.servers {
            take(Key::Server(p.name.clone(), s.name.clone()), s.traffic.sessions_total);
        }
        if let Some(b) = &p.backend {
            take(Key::Backend(p.name.clone()), b.traffic.sessions_total);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::view::{BackendView, FrontendView, ProxyView, ServerView, TrafficView};

    fn view(requests: u64, up: bool) -> View {
        let mut v = View::default();
        let traffic = TrafficView { sessions_total: requests, ..TrafficView::default() };
        v.proxies.push(ProxyView {
            name: "web".into(),
            frontend: Some(FrontendView { requests_total: requests, ..FrontendView::default() }),
            servers: vec![ServerView {
                name: "a".into(),
                up,
                weight: 1,
                traffic: traffic.clone(),
                ..ServerView::default()
            }],
            backend: Some(BackendView { traffic, ..BackendView::default() }),
            ..ProxyView::default()
        });
        v
    }

    fn filled(sampler: &Sampler, now: u64) -> (Rate, BackendView) {
        let mut v = view(0, true);
        sampler.fill(&mut v, Duration::from_secs(now));
        let p = &v.proxies[0];
        (p.frontend.as_ref().unwrap().request_rate.clone(), p.backend.clone().unwrap())
    }

    #[test]
    fn the_first_tick_takes_totals_and_gives_no_rate() {
        let mut s = Sampler::default();
        s.tick(&view(1_000_000, true), Duration::from_secs(5));
        assert_eq!(filled(&s, 5).0, Rate::default());
    }

    #[test]
    fn rates_are_per_second_whatever_the_distance_of_ticks() {
        let mut s = Sampler::default();
        s.tick(&view(0, true), Duration::ZERO);
        s.tick(&view(500, true), Duration::from_millis(500));
        assert_eq!(filled(&s, 1).0.now, 1000);
        s.tick(&view(600, true), Duration::from_millis(501));
        assert_eq!(filled(&s, 1).0.now, 1000, "a tick right after another is not a sample");
        s.tick(&view(700, true), Duration::from_millis(2500));
        let rate = filled(&s, 3).0;
        assert_eq!((rate.now, rate.max, rate.history), (100, 1000, vec![1000, 100]));
    }

    #[test]
    fn cleared_counters_give_no_wrapped_rate() {
        let mut s = Sampler::default();
        s.tick(&view(10_000, true), Duration::ZERO);
        s.tick(&view(7, true), Duration::from_secs(1));
        assert_eq!(filled(&s, 1).0.now, 7);
    }

    #[test]
    fn history_keeps_the_last_minute_in_order() {
        let mut s = Sampler::default();
        let mut total = 0;
        for second in 0..=150u64 {
            total += second;
            s.tick(&view(total, true), Duration::from_secs(second));
        }
        let rate = filled(&s, 150).0;
        assert_eq!(rate.history, (91..=150).collect::<Vec<u32>>());
        s.reset_max();
        s.tick(&view(total, true), Duration::from_secs(151));
        assert_eq!(filled(&s, 151).0.max, 150);
    }

    #[test]
    fn what_left_the_configuration_is_forgotten() {
        let mut s = Sampler::default();
        s.tick(&view(0, true), Duration::ZERO);
        s.tick(&View::default(), Duration::from_secs(1));
        assert_eq!(s.tracks.len(), 5, "the process's own");
        assert!(s.backends.is_empty());
    }

    #[test]
    fn a_backend_is_down_while_no_server_is_usable() {
        let mut s = Sampler::default();
        for (second, up) in [(0, true), (10, false), (14, false), (20, true), (30, false)] {
            s.tick(&view(0, up), Duration::from_secs(second));
        }
        let b = filled(&s, 33).1;
        assert_eq!((b.last_change_seconds, b.downtime_seconds, b.down_transitions), (3, 13, 2));
    }

    #[test]
    fn sums_of_rates_equal_the_totals_seed_sweep() {
        for seed in 1..200u64 {
            let mut x = seed;
            let mut s = Sampler::default();
            let (mut total, mut sum) = (0, 0);
            s.tick(&view(0, true), Duration::ZERO);
            for second in 1..=50 {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                total += x % 1000;
                s.tick(&view(total, true), Duration::from_secs(second));
                sum += u64::from(filled(&s, second).0.now);
            }
            assert_eq!(sum, total, "seed {seed}");
        }
    }
}
