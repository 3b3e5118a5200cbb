//! Session tickets: keys that workers, reloads and other nodes share.
//!
//! A [`Ring`] is a list of keys swapped as a whole; one encrypts, all decrypt. It is either random and [rotated](Ring::rotate), or
//! read from a file in the form of HAProxy's `tls-ticket-keys`, where the last but one encrypts, so that a new key can reach every
//! node before any uses it. A `Ticketer` is what one bind sees: its context is authenticated with every ticket, so no session is
//! resumed where other certificates are asked for.
//!
//! A ticket is the key's name (16 bytes), a salt (16), a nonce (12), then AES-256-GCM of the time it was made and the session. Each
//! ticket has a key of its own made from the salt, so that a key used for years on many nodes meets no limit on nonces.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::{hmac, rand};
use evenkeel_proto::base64;
use rustls::server::ProducesTickets;

use crate::cert::unix_now;
use crate::files::Files;
use crate::problem::Problem;

const NAME: usize = 16;
const SALT: usize = 16;
const TIME: usize = 8;
/// Keys of a file that are used, as in HAProxy.
const USED: usize = 3;
/// Seconds between new random keys.
pub const ROTATION: i64 = 3600;
/// RFC 8446 §4.6.1: seconds a ticket may live.
const MAX_LIFETIME: i64 = 7 * 24 * 3600;
/// A session with a long chain of client certificates; larger ones are not resumed.
const MAX_TICKET: usize = 16 * 1024;

/// A key by its name.
#[derive(Debug)]
struct Key {
    name: [u8; NAME],
    secret: hmac::Key,
    /// Seconds since 1970.
    made: i64,
}

impl Key {
    /// `bytes` are a name and a secret, of 48 or 80 bytes together.
    fn new(bytes: &[u8], made: i64) -> Option<Key> {
        let (name, secret) = bytes.split_first_chunk::<NAME>()?;
        matches!(secret.len(), 32 | 64).then(|| Key {
            name: *name,
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret),
            made,
        })
    }

    fn random(now: i64) -> Option<Key> {
        let mut bytes = [0; 80];
        rand::fill(&mut bytes).ok()?;
        Key::new(&bytes, now)
    }

    /// The key of one ticket (RFC 5869 §2.3 with one block; the salt stands for `info`).
    fn of_ticket(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(b"evenkeel session ticket");
        context.update(salt);
        context.update(&[1]);
        UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).ok().map(LessSafeKey::new)
    }
}

/// Where the keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Nobody else has them: the last encrypts.
    Random,
    /// Other nodes have them: the last but one encrypts.
    Shared,
}

/// The keys of tickets.
#[derive(Debug)]
pub struct Ring {
    keys: ArcSwap<Vec<Arc<Key>>>,
    origin: Origin,
    /// The longest lifetime of a ticket under these keys, in seconds.
    lifetime: AtomicI64,
    /// Of the file's contents.
    content: [u8; 32],
}

impl Ring {
    /// One random key. `None` when the system has no randomness to give.
    pub fn random(now: i64) -> Option<Ring> {
        Some(Ring {
            keys: ArcSwap::from_pointee(vec![Arc::new(Key::random(now)?)]),
            origin: Origin::Random,
            lifetime: AtomicI64::new(0),
            content: [0; 32],
        })
    }

    /// The keys of a file: base64, one a line, all of 48 or all of 80 bytes, three or more.
    pub fn from_file(path: &Path, files: &Files, problems: &mut Vec<Problem>) -> Option<Ring> {
        let name = "ticket-keys";
        let text = match (files.read)(path) {
            Ok(text) => text,
            Err(error) => {
                problems.push(Problem::error(name, format!("the file cannot be read: {error}")).file(path));
                return None;
            }
        };
        let hint = "a line is made by: openssl rand -base64 80 | tr -d '\\n'";
        let before = problems.len();
        let mut keys = Vec::new();
        let mut length = None;
        for (line, text) in text.split(|byte| *byte == b'\n').enumerate() {
            let text = text.trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let wrong = match decode(text).map(|bytes| (bytes.len(), Key::new(&bytes, 0))) {
                Some((bytes, Some(_))) if length.is_some_and(|length| length != bytes) => {
                    "keys of 48 and of 80 bytes are mixed"
                }
                Some((bytes, Some(key))) => {
                    length = Some(bytes);
                    keys.push(Arc::new(key));
                    continue;
                }
                Some((_, None)) => "the key has neither 48 nor 80 bytes",
                None => "it is not base64",
            };
            let line = u32::try_from(line + 1).unwrap_or(u32::MAX);
            problems.push(Problem::error(name, wrong).file(path).line(line).hint(hint));
        }
        if keys.len() < USED && problems.len() == before {
            let message =
                format!("it holds {} keys, and {USED} are needed: one before, one in use, one to come", keys.len());
            problems.push(Problem::error(name, message).file(path).hint(hint));
        }
        if problems.len() > before {
            return None;
        }
        keys.drain(..keys.len() - USED);
        let mut content = [0; 32];
        content.copy_from_slice(digest(&SHA256, &text).as_ref());
        Some(Ring { keys: ArcSwap::from_pointee(keys), origin: Origin::Shared, lifetime: AtomicI64::new(0), content })
    }

    /// Whether both were read from the same bytes, whatever happened since.
    pub(crate) fn is_of_same_file(&self, other: &Ring) -> bool {
        self.origin == other.origin && self.content == other.content
    }

    /// Makes a new random key when the last is an hour old and forgets those whose tickets have all lapsed; keys of a file stay.
    /// To be called once a minute or so, by one thread.
    pub fn rotate(&self, now: i64) {
        if self.origin == Origin::Shared {
            return;
        }
        let keys = self.keys.load();
        let newest = keys.last().map_or(i64::MIN, |key| key.made);
        if now.saturating_sub(newest) >= ROTATION {
            self.renew(now);
        }
    }

    /// The same at once, however old the last key is; `false` for keys of a file, and when the system has no randomness to give.
    pub fn renew(&self, now: i64) -> bool {
        let fresh = (self.origin == Origin::Random).then(|| Key::random(now)).flatten();
        let Some(fresh) = fresh else { return false };
        let keys = self.keys.load();
        let lifetime = self.lifetime.load(Ordering::Relaxed);
        // A key encrypts until the next is made.
        let ends = keys.iter().skip(1).map(|next| next.made).chain([now]);
        let mut kept: Vec<Arc<Key>> = keys
            .iter()
            .zip(ends)
            .filter(|(_, end)| end.saturating_add(lifetime) > now)
            .map(|(key, _)| Arc::clone(key))
            .collect();
        kept.push(Arc::new(fresh));
        self.keys.store(Arc::new(kept));
        true
    }

    /// Appends a key and forgets the oldest, as `set ssl tls-key` does. The error says what is wrong with it.
    pub fn set_key(&self, base64: &str, now: i64) -> Result<(), String> {
        let key = decode(base64.trim().as_bytes()).and_then(|bytes| Key::new(&bytes, now));
        let key = key.ok_or("a key is 48 or 80 bytes in base64: openssl rand -base64 80 | tr -d '\\n'")?;
        let mut keys = Vec::clone(&self.keys.load());
        keys.push(Arc::new(key));
        let surplus = keys.len().saturating_sub(USED);
        keys.drain(..surplus);
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// The names of the keys in hexadecimal, oldest first, and whether each encrypts (`show tls-keys`). Never the secrets.
    pub fn names(&self) -> Vec<(String, bool)> {
        let keys = self.keys.load();
        let current = self.current(&keys);
        let hex = |name: &[u8]| name.iter().map(|byte| format!("{byte:02x}")).collect();
        keys.iter().enumerate().map(|(at, key)| (hex(&key.name), Some(at) == current)).collect()
    }

    fn current(&self, keys: &[Arc<Key>]) -> Option<usize> {
        match self.origin {
            Origin::Random => keys.len().checked_sub(1),
            Origin::Shared => keys.len().checked_sub(2),
        }
    }

    fn seal(&self, plain: &[u8], context: &[u8; 32], now: i64) -> Option<Vec<u8>> {
        if plain.len() > MAX_TICKET {
            return None;
        }
        let keys = self.keys.load();
        let key = &keys[self.current(&keys)?];
        let mut random = [0; SALT + NONCE_LEN];
        rand::fill(&mut random).ok()?;
        let (salt, nonce) = random.split_at(SALT);
        let aead = key.of_ticket(salt)?;
        let mut out = Vec::with_capacity(NAME + random.len() + TIME + plain.len() + AES_256_GCM.tag_len());
        out.extend_from_slice(&key.name);
        out.extend_from_slice(&random);
        let start = out.len();
        out.extend_from_slice(&now.to_be_bytes());
        out.extend_from_slice(plain);
        let aad = Aad::from(associated(&key.name, context));
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let tag = aead.seal_in_place_separate_tag(nonce, aad, &mut out[start..]).ok()?;
        out.extend_from_slice(tag.as_ref());
        Some(out)
    }

    fn open(&self, ticket: &[u8], context: &[u8; 32], lifetime: i64, now: i64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (salt, rest) = rest.split_at_checked(SALT)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let keys = self.keys.load();
        let key = keys.iter().rev().find(|key| key.name == name)?;
        let aad = Aad::from(associated(&key.name, context));
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = sealed.to_vec();
        let length = key.of_ticket(salt)?.open_in_place(nonce, aad, &mut plain).ok()?.len();
        plain.truncate(length);
        let made = i64::from_be_bytes(*plain.first_chunk()?);
        // A clock behind that of another node makes a ticket seem to come from the future; that is no reason to refuse it.
        if now.saturating_sub(made) >= lifetime {
            return None;
        }
        plain.drain(..TIME);
        Some(plain)
    }
}

fn associated(name: &[u8; NAME], context: &[u8; 32]) -> [u8; NAME + 32] {
    let mut out = [0; NAME + 32];
    out[..NAME].copy_from_slice(name);
    out[NAME..].copy_from_slice(context);
    out
}

/// The bytes of a line: base64, with or without padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    (text.len() <= LINE && base64::decode_lax(text, &mut out)).then_some(out)
}

/// The longest line that is looked at.
const LINE: usize = 4096;

/// The tickets of one bind.
#[derive(Debug)]
pub(crate) struct Ticketer {
    ring: Arc<Ring>,
    context: [u8; 32],
    lifetime: i64,
}

impl Ticketer {
    pub(crate) fn new(ring: Arc<Ring>, context: [u8; 32], lifetime: i64) -> Ticketer {
        let lifetime = lifetime.clamp(1, MAX_LIFETIME);
        ring.lifetime.fetch_max(lifetime, Ordering::Relaxed);
        Ticketer { ring, context, lifetime }
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.ring.seal(plain, &self.context, unix_now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.ring.open(cipher, &self.context, self.lifetime, unix_now())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::problem::Severity;

    const CONTEXT: [u8; 32] = [7; 32];

    fn encode(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        base64::encode(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn file(text: &str) -> (Option<Ring>, Vec<Problem>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, text).unwrap();
        let mut problems = Vec::new();
        (Ring::from_file(&path, &Files::SYSTEM, &mut problems), problems)
    }

    fn lines(keys: &[u8], bytes: usize) -> String {
        keys.iter().map(|key| encode(&vec![*key; bytes]) + "\n").collect()
    }

    #[test]
    fn a_ticket_is_opened_in_its_time_and_context_only() {
        let ring = Ring::random(1000).unwrap();
        let ticket = ring.seal(b"session", &CONTEXT, 1000).unwrap();
        let open = |context, now| ring.open(&ticket, context, 300, now);
        assert_eq!(open(&CONTEXT, 1299).as_deref(), Some(&b"session"[..]));
        assert_eq!(open(&CONTEXT, 900).as_deref(), Some(&b"session"[..]));
        assert_eq!(open(&CONTEXT, 1300), None);
        assert_eq!(open(&[8; 32], 1000), None);
        assert_ne!(ring.seal(b"session", &CONTEXT, 1000).unwrap(), ticket);
        assert_eq!(Ring::random(1000).unwrap().open(&ticket, &CONTEXT, 300, 1000), None);
        assert_eq!(ring.seal(&vec![0; MAX_TICKET + 1], &CONTEXT, 1000), None);
    }

    #[test]
    fn changed_tickets_are_refused() {
        let ring = Ring::random(0).unwrap();
        let ticket = ring.seal(b"session", &CONTEXT, 0).unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(ring.open(&changed, &CONTEXT, 300, 0), None, "byte {at}");
            assert_eq!(ring.open(&ticket[..at], &CONTEXT, 300, 0), None, "first {at} bytes");
        }
    }

    #[test]
    fn random_keys_rotate_and_outlive_their_tickets() {
        let ring = Arc::new(Ring::random(0).unwrap());
        let _ticketer = Ticketer::new(Arc::clone(&ring), CONTEXT, 2 * ROTATION);
        let ticket = ring.seal(b"x", &CONTEXT, ROTATION - 1).unwrap();
        ring.rotate(ROTATION - 1);
        assert_eq!(ring.names().len(), 1);
        let mut now = 0;
        while now < 3 * ROTATION - 1 {
            assert!(ring.open(&ticket, &CONTEXT, 2 * ROTATION, now).is_some(), "{now}");
            now += 60;
            ring.rotate(now);
            assert!(ring.names().last().unwrap().1);
        }
        ring.rotate(4 * ROTATION);
        assert_eq!(ring.names().len(), 3);
        assert!(ring.open(&ticket, &CONTEXT, i64::MAX, now).is_none());
    }

    #[test]
    fn a_key_is_renewed_on_demand_unless_others_have_it() {
        let ring = Arc::new(Ring::random(1000).unwrap());
        let _ticketer = Ticketer::new(Arc::clone(&ring), CONTEXT, 300);
        let ticket = ring.seal(b"x", &CONTEXT, 1000).unwrap();
        assert!(ring.renew(1010));
        assert!(ring.open(&ticket, &CONTEXT, 300, 1020).is_some());
        assert_eq!(ring.names().iter().map(|(_, current)| *current).collect::<Vec<_>>(), [false, true]);
        assert!(ring.renew(2000) && ring.open(&ticket, &CONTEXT, i64::MAX, 2000).is_none());
        assert!(!file(&lines(&[1, 2, 3], 48)).0.unwrap().renew(1000));
    }

    #[test]
    fn the_last_but_one_key_of_a_file_encrypts_and_the_last_three_are_used() {
        for bytes in [48, 80] {
            let (ring, problems) = file(&lines(&[1, 2, 3, 4], bytes));
            assert_eq!(problems, []);
            let ring = ring.unwrap();
            let hex = |byte: u8| format!("{byte:02x}").repeat(16);
            assert_eq!(ring.names(), [(hex(2), false), (hex(3), true), (hex(4), false)]);
            let ticket = ring.seal(b"x", &CONTEXT, 0).unwrap();
            // Another node that is a step ahead, and one that is too far.
            let open = |keys| file(&lines(keys, bytes)).0.unwrap().open(&ticket, &CONTEXT, 300, 0);
            assert!(open(&[3, 4, 5]).is_some());
            assert!(open(&[4, 5, 6]).is_none());
            ring.rotate(i64::MAX);
            assert_eq!(ring.names().len(), 3);
            ring.set_key(&encode(&vec![5; bytes]), 0).unwrap();
            assert_eq!(ring.names(), [(hex(3), false), (hex(4), true), (hex(5), false)]);
            assert!(ring.open(&ticket, &CONTEXT, 300, 0).is_some());
        }
    }

    #[test]
    fn mistakes_in_the_file_are_told_by_line() {
        for (text, line, word) in [
            (lines(&[1, 2], 48), None, "2 keys"),
            (lines(&[1, 2, 3], 48) + "\n" + &encode(&[1; 47]), Some(5), "neither"),
            (lines(&[1, 2, 3], 48) + "#\n!!!\n", Some(5), "base64"),
            (lines(&[1, 2, 3], 48) + &lines(&[4], 80), Some(4), "mixed"),
        ] {
            let (ring, problems) = file(&text);
            assert!(ring.is_none());
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!((problems[0].line, problems[0].severity), (line, Severity::Error));
            assert!(problems[0].message.contains(word), "{problems:?}");
        }
        let mut problems = Vec::new();
        assert!(Ring::from_file(Path::new("none"), &Files::NONE, &mut problems).is_none());
        assert_eq!(problems.len(), 1);
        assert!(Ring::random(0).unwrap().set_key("short", 0).is_err());
    }
}
