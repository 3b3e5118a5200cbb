//! Sessions kept for resumption without tickets: one bounded table for all workers, living as long as the process.
//!
//! A bind sees it through a `Cache`, which puts its context before every key, so that no session is resumed where other
//! certificates are asked for, and which ends each session in its time. Sharded, as every worker writes to it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rustls::server::StoresServerSessions;

use crate::cert::unix_now;

const SHARDS: usize = 16;
/// Bytes of a context in a key; a session id or the id in a ticket follows.
const CONTEXT: usize = 16;
/// RFC 8446 §4.1.2: a session id has up to 32 bytes, and rustls makes its ids as long.
const MAX_ID: usize = 32;

/// The table.
#[derive(Debug)]
pub struct Sessions {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    capacity: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    kept: HashMap<Key, Session>,
    /// Keys with the numbers of their sessions, oldest first; some are gone already.
    order: VecDeque<(Key, u64)>,
    next: u64,
}

type Key = Box<[u8]>;

#[derive(Debug)]
struct Session {
    number: u64,
    /// In seconds since 1970.
    until: i64,
    value: Vec<u8>,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { shards: Default::default(), hasher: RandomState::new(), capacity: AtomicUsize::new(0) }
    }
}

impl Sessions {
    /// Keeps at least so many sessions from now on.
    pub fn reserve(&self, capacity: usize) {
        self.capacity.fetch_max(capacity, Ordering::Relaxed);
    }

    /// How many are kept, those out of time included.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().kept.len()).sum()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &[u8]) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    fn put(&self, key: &[u8], value: Vec<u8>, until: i64) {
        let capacity = self.capacity.load(Ordering::Relaxed).div_ceil(SHARDS);
        let mut shard = self.shard(key).lock();
        let number = shard.next;
        shard.next += 1;
        shard.kept.insert(key.into(), Session { number, until, value });
        shard.order.push_back((key.into(), number));
        // What was taken or replaced leaves its key behind; when those are half of all they are swept.
        let Shard { kept, order, .. } = &mut *shard;
        if order.len() > 2 * kept.len() + 16 {
            order.retain(|(key, number)| kept.get(key).is_some_and(|session| session.number == *number));
        }
        while kept.len() > capacity
            && let Some((key, number)) = order.pop_front()
        {
            if kept.get(&key).is_some_and(|session| session.number == number) {
                kept.remove(&key);
            }
        }
    }

    fn get(&self, key: &[u8], now: i64) -> Option<Vec<u8>> {
        let shard = self.shard(key).lock();
        shard.kept.get(key).filter(|session| session.until > now).map(|session| session.value.clone())
    }

    fn take(&self, key: &[u8], now: i64) -> Option<Vec<u8>> {
        let session = self.shard(key).lock().kept.remove(key)?;
        (session.until > now).then_some(session.value)
    }
}

/// The sessions of one bind.
#[derive(Debug)]
pub(crate) struct Cache {
    sessions: Arc<Sessions>,
    context: [u8; CONTEXT],
    /// In seconds.
    lifetime: i64,
}

impl Cache {
    pub(crate) fn new(sessions: Arc<Sessions>, context: &[u8; 32], lifetime: i64) -> Cache {
        let mut short = [0; CONTEXT];
        short.copy_from_slice(&context[..CONTEXT]);
        Cache { sessions, context: short, lifetime }
    }

    /// Runs `then` with the whole key; `None` when the id is longer than any can be.
    fn with_key<T>(&self, id: &[u8], then: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut key = [0; CONTEXT + MAX_ID];
        let key = key.get_mut(..CONTEXT + id.len())?;
        key[..CONTEXT].copy_from_slice(&self.context);
        key[CONTEXT..].copy_from_slice(id);
        Some(then(key))
    }
}

impl StoresServerSessions for Cache {
    fn put(&self, id: Vec<u8>, value: Vec<u8>) -> bool {
        let until = unix_now().saturating_add(self.lifetime);
        self.with_key(&id, |key| self.sessions.put(key, value, until)).is_some()
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.with_key(id, |key| self.sessions.get(key, unix_now()))?
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.with_key(id, |key| self.sessions.take(key, unix_now()))?
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_in_its_time() {
        let sessions = Sessions::default();
        sessions.reserve(100);
        sessions.put(b"a", b"x".to_vec(), 10);
        assert_eq!(sessions.get(b"a", 9).as_deref(), Some(&b"x"[..]));
        assert_eq!(sessions.get(b"a", 10), None);
        assert_eq!(sessions.take(b"a", 9).as_deref(), Some(&b"x"[..]));
        assert_eq!(sessions.take(b"a", 9), None);
        assert!(sessions.is_empty());
    }

    #[test]
    fn contexts_do_not_see_each_other() {
        let sessions = Arc::new(Sessions::default());
        sessions.reserve(100);
        let one = Cache::new(Arc::clone(&sessions), &[1; 32], 1000);
        let other = Cache::new(Arc::clone(&sessions), &[2; 32], 1000);
        assert!(one.put(vec![7; 32], vec![1]));
        assert_eq!(other.get(&[7; 32]), None);
        assert_eq!(one.get(&[7; 32]), Some(vec![1]));
        assert!(!one.put(vec![7; 33], vec![1]));
        assert_eq!(one.get(&[7; 33]), None);
        let past = Cache::new(sessions, &[1; 32], 0);
        assert!(past.put(vec![8; 32], vec![1]));
        assert_eq!(past.get(&[8; 32]), None);
    }

    #[test]
    fn the_table_stays_within_its_bounds_and_keeps_the_newest() {
        let sessions = Sessions::default();
        sessions.reserve(64);
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..2000 {
                let key = rng.u16(0..500).to_be_bytes();
                match rng.u8(0..3) {
                    0 => drop(sessions.take(&key, 0)),
                    _ => {
                        sessions.put(&key, vec![1], 10);
                        assert!(sessions.get(&key, 0).is_some(), "seed {seed}");
                    }
                }
            }
            assert!(sessions.len() <= 64, "seed {seed}: {}", sessions.len());
            let orders: usize = sessions.shards.iter().map(|shard| shard.lock().order.len()).sum();
            assert!(orders <= 2 * 64 + SHARDS * 17, "seed {seed}: {orders}");
        }
        let none = Sessions::default();
        none.put(b"a", vec![1], 10);
        assert!(none.is_empty());
    }
}
