//! What is known of names, and which are being asked for. Pure: the time and the answers come from the caller.
//!
//! Bounded twice: by answers kept and by questions under way. A full cache gives up its oldest answer.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use evenkeel_acl::Prefer;
use evenkeel_config::Hold;

use crate::{Addresses, Failure};

/// The names of one section; `W` is how to wait for an answer that is on its way.
#[derive(Debug)]
pub(crate) struct Cache<W> {
    hold: Hold,
    max_names: usize,
    max_questions: usize,
    /// By what is preferred: the two are questions of their own.
    names: [HashMap<Box<str>, Entry<W>>; 2],
    /// The answers by when they are of no more use, the first to go first.
    ageing: BTreeMap<Age, (Prefer, Box<str>)>,
    questions: usize,
    serial: u64,
}

/// Unique among answers.
type Age = (Instant, u64);

#[derive(Debug)]
struct Entry<W> {
    known: Option<Known>,
    asked: Option<W>,
}

#[derive(Debug)]
struct Known {
    addresses: Addresses,
    /// When a name server said so.
    since: Instant,
    /// Until when it is given without asking again.
    fresh: Instant,
    age: Age,
}

/// What [`Cache::look`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look<W> {
    /// The answer.
    Fresh(Addresses),
    /// Somebody asked already.
    Asked(W),
    /// It must be asked for, and may be: it counts as asked from now on.
    Begun,
    /// It must be asked for, and too many are.
    Full,
}

impl<W: Clone> Cache<W> {
    pub(crate) fn new(hold: Hold, max_names: usize, max_questions: usize) -> Cache<W> {
        let (names, ageing) = (Default::default(), BTreeMap::new());
        Cache { hold, max_names, max_questions, names, ageing, questions: 0, serial: 0 }
    }

    /// What is known of `name`; `wait` is kept for those who ask after this one when it must be asked for.
    pub(crate) fn look(&mut self, name: &str, prefer: Prefer, now: Instant, wait: impl FnOnce() -> W) -> Look<W> {
        let names = &mut self.names[prefer as usize];
        let entry = names.get_mut(name);
        match &entry {
            Some(Entry { known: Some(known), .. }) if now < known.fresh => return Look::Fresh(known.addresses.clone()),
            Some(Entry { asked: Some(wait), .. }) => return Look::Asked(wait.clone()),
            _ if self.questions >= self.max_questions => return Look::Full,
            _ => {}
        }
        self.questions += 1;
        match entry {
            Some(entry) => entry.asked = Some(wait()),
            None => drop(names.insert(name.into(), Entry { known: None, asked: Some(wait()) })),
        }
        Look::Begun
    }

    /// The question of `name` came to `answer`; what those who wait for it get. A failure soon enough after a valid answer
    /// changes nothing.
    pub(crate) fn settle(
        &mut self,
        name: &str,
        prefer: Prefer,
        answer: Result<Addresses, Failure>,
        now: Instant,
    ) -> Option<Addresses> {
        let before = self.names[prefer as usize].remove(name);
        self.questions -= usize::from(before.as_ref().is_some_and(|entry| entry.asked.is_some()));
        let before = before.and_then(|entry| entry.known);
        if let Some(known) = &before {
            self.ageing.remove(&known.age);
        }
        let (addresses, since, fresh) = match (answer, before) {
            (Ok(addresses), _) => (addresses, now, now + self.hold.valid),
            (Err(_), None) => return None,
            (Err(failure), Some(known)) => {
                let until = known.since + self.tolerance(failure);
                if now >= until {
                    return None;
                }
                (known.addresses, known.since, until.min(now + self.hold.valid))
            }
        };
        self.make_room(now);
        self.serial += 1;
        let age = (since + self.longest(), self.serial);
        self.ageing.insert(age, (prefer, name.into()));
        let known = Some(Known { addresses: addresses.clone(), since, fresh, age });
        self.names[prefer as usize].insert(name.into(), Entry { known, asked: None });
        Some(addresses)
    }

    /// Names whose answers are kept, and names that are being asked for.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.ageing.len(), self.questions)
    }

    fn make_room(&mut self, now: Instant) {
        while let Some(oldest) = self.ageing.first_entry()
            && (oldest.key().0 <= now || self.ageing.len() >= self.max_names)
        {
            let Some((_, (prefer, name))) = self.ageing.pop_first() else { return };
            let names = &mut self.names[prefer as usize];
            match names.get_mut(&name) {
                Some(entry) if entry.asked.is_some() => entry.known = None,
                _ => drop(names.remove(&name)),
            }
        }
    }

    /// For how long after a valid answer such a failure changes nothing.
    fn tolerance(&self, failure: Failure) -> Duration {
        match failure {
            Failure::Nx => self.hold.nx,
            Failure::Refused => self.hold.refused,
            Failure::Timeout => self.hold.timeout,
            Failure::Other => self.hold.other,
        }
    }

    fn longest(&self) -> Duration {
        let Hold { valid, nx, refused, timeout, other } = self.hold;
        valid.max(nx).max(refused).max(timeout).max(other)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn cache(names: usize, questions: usize) -> Cache<u32> {
        let hold = Hold { valid: 10 * S, nx: 30 * S, refused: 20 * S, timeout: 60 * S, other: Duration::ZERO };
        Cache::new(hold, names, questions)
    }

    fn at(last: u8) -> Addresses {
        Arc::from([IpAddr::from([192, 0, 2, last])])
    }

    #[test]
    fn an_answer_is_used_for_its_time_and_asked_for_once() {
        let (mut cache, t) = (cache(10, 10), Instant::now());
        assert_eq!(cache.look("a", Prefer::V4, t, || 7), Look::Begun);
        assert_eq!(cache.look("a", Prefer::V4, t, || 8), Look::Asked(7));
        assert_eq!(cache.look("a", Prefer::V6, t, || 9), Look::Begun, "another preference is another question");
        assert_eq!(cache.settle("a", Prefer::V4, Ok(at(1)), t), Some(at(1)));
        assert_eq!(cache.look("a", Prefer::V4, t + 9 * S, || 8), Look::Fresh(at(1)));
        assert_eq!(cache.look("a", Prefer::V6, t, || 8), Look::Asked(9));
        assert_eq!(cache.look("a", Prefer::V4, t + 10 * S, || 8), Look::Begun);
        assert_eq!(cache.sizes(), (1, 2));
    }

    #[test]
    fn a_failure_changes_nothing_for_as_long_as_the_hold_of_its_kind() {
        for (failure, hold) in [(Failure::Nx, 30), (Failure::Refused, 20), (Failure::Timeout, 60), (Failure::Other, 0)]
        {
            let (mut cache, t) = (cache(10, 10), Instant::now());
            assert_eq!(cache.settle("a", Prefer::V4, Err(failure), t), None, "there is nothing to hold on to");
            cache.settle("a", Prefer::V4, Ok(at(1)), t);
            let mut now = 10;
            while now < hold {
                assert_eq!(cache.look("a", Prefer::V4, t + now * S, || 1), Look::Begun);
                assert_eq!(cache.settle("a", Prefer::V4, Err(failure), t + now * S), Some(at(1)));
                // Those who come now need not wait for the name servers; but it is asked for again before long.
                assert_eq!(cache.look("a", Prefer::V4, t + now * S, || 1), Look::Fresh(at(1)));
                now += 10;
            }
            assert_eq!(cache.look("a", Prefer::V4, t + now * S, || 1), Look::Begun, "{failure:?} at {now} s");
            assert_eq!(cache.settle("a", Prefer::V4, Err(failure), t + now * S), None, "{failure:?}");
            assert_eq!(cache.sizes(), (0, 0));
        }
    }

    #[test]
    fn questions_are_bounded() {
        let (mut cache, t) = (cache(10, 2), Instant::now());
        assert_eq!(cache.look("a", Prefer::V4, t, || 1), Look::Begun);
        assert_eq!(cache.look("b", Prefer::V4, t, || 1), Look::Begun);
        assert_eq!(cache.look("c", Prefer::V4, t, || 1), Look::Full);
        assert_eq!(cache.look("b", Prefer::V4, t, || 1), Look::Asked(1), "who waits with others needs no room");
        assert_eq!(cache.settle("a", Prefer::V4, Err(Failure::Nx), t), None);
        assert_eq!(cache.look("c", Prefer::V4, t, || 1), Look::Begun);
    }

    /// Whatever happens, the bounds hold and the two lists agree.
    #[test]
    fn a_seeded_sweep_keeps_the_bounds() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |n: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % n
        };
        let (mut cache, mut t) = (cache(5, 3), Instant::now());
        for step in 0..20_000 {
            t += Duration::from_millis(below(3000));
            let name = format!("n{}", below(12));
            let prefer = [Prefer::V4, Prefer::V6][below(2) as usize];
            if below(2) == 0 {
                cache.look(&name, prefer, t, || 0);
            } else {
                let failures = [Failure::Nx, Failure::Refused, Failure::Timeout, Failure::Other];
                let answer = if below(2) == 0 { Ok(at(1)) } else { Err(failures[below(4) as usize]) };
                cache.settle(&name, prefer, answer, t);
            }
            let entries = || cache.names.iter().flat_map(HashMap::values);
            let known = entries().filter(|entry| entry.known.is_some()).count();
            let asked = entries().filter(|entry| entry.asked.is_some()).count();
            assert_eq!((known, asked), cache.sizes(), "step {step}");
            assert!(known <= 5 && asked <= 3, "step {step}");
            assert!(entries().all(|entry| entry.known.is_some() || entry.asked.is_some()), "step {step}");
        }
    }
}
