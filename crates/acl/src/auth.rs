//! User lists: who may come in, and how a password is checked.
//!
//! Called by the fetches `http_auth` and `http_auth_group`. Checking a crypt(3) password takes milliseconds by design, so
//! the answer is remembered, as a keyed digest, in bounded lists of the process, one of those that held and one of those that
//! did not: guessing costs the worker a hash for each new guess, and drives nobody out who came in before. Comparisons take
//! the same time wherever two texts differ.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, LazyLock};

use aws_lc_rs::{constant_time, hmac, rand};
use parking_lot::RwLock;
use sha_crypt::PasswordVerifier as _;

mod md5_crypt;

/// One `[userlist.NAME]` section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserList {
    /// Name of the section.
    pub name: Arc<str>,
    /// Its users.
    pub users: Vec<User>,
}

impl UserList {
    /// The user of that name, when the password is right.
    pub fn verify(&self, name: &[u8], password: &[u8]) -> Option<&User> {
        self.users.iter().find(|user| user.name.as_bytes() == name).filter(|user| user.password.is(password))
    }
}

/// One user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Name.
    pub name: Arc<str>,
    /// Password.
    pub password: Password,
    /// The groups the user is in.
    pub groups: Vec<Arc<str>>,
}

/// A password as configured.
#[derive(Clone, PartialEq)]
pub enum Password {
    /// In clear (`insecure-password`).
    Plain(Arc<str>),
    /// A crypt(3) string: `$1$`, `$5$`, `$6$`, `$2b$`, `$y$`.
    Crypt(Arc<str>),
}

/// Neither logs nor errors may show what is in it.
impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Password::Plain(_) => "Plain(..)",
            Password::Crypt(_) => "Crypt(..)",
        })
    }
}

/// Longest password that is hashed, as in libxcrypt: the time grows with it, and it comes from the network.
const MAX_PASSWORD: usize = 512;

impl Password {
    /// Whether a password can be checked against it; the error is a sentence.
    pub fn check(&self) -> Result<(), String> {
        let Password::Crypt(hash) = self else { return Ok(()) };
        let Some(form) = Form::of(hash) else {
            return Err(match hash.strip_prefix('$').and_then(|rest| rest.split_once('$')) {
                Some((name @ ("7" | "gy" | "sm3" | "sha1" | "md5" | "3" | "apr1" | "argon2id"), _)) => {
                    format!("passwords of the form ${name}$ are not supported: only $1$, $5$, $6$, $2b$ and $y$ are")
                }
                _ if hash.len() == 13 => {
                    "passwords hashed with DES are not supported: they are as good as clear".into()
                }
                _ => "this is no password as crypt(3) makes it: $1$, $5$, $6$, $2b$ or $y$".into(),
            });
        };
        if form.is_well_formed(hash) { Ok(()) } else { Err("the password hash is cut off or damaged".into()) }
    }

    /// Whether `password` is the one. Takes milliseconds for a hashed one that was not asked about before.
    fn is(&self, password: &[u8]) -> bool {
        match self {
            Password::Plain(text) => VERIFIED.same(text.as_bytes(), password),
            Password::Crypt(_) if password.len() > MAX_PASSWORD => false,
            Password::Crypt(hash) => {
                VERIFIED.remembers(hash, password, || Form::of(hash).is_some_and(|form| form.verify(hash, password)))
            }
        }
    }
}

/// The forms of crypt(3) that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Md5,
    Sha,
    Bcrypt,
    Yescrypt,
}

impl Form {
    fn of(hash: &str) -> Option<Form> {
        match hash.strip_prefix('$')?.split_once('$')?.0 {
            "1" => Some(Form::Md5),
            "5" | "6" => Some(Form::Sha),
            "2a" | "2b" | "2x" | "2y" => Some(Form::Bcrypt),
            "y" => Some(Form::Yescrypt),
            _ => None,
        }
    }

    fn verify(self, hash: &str, password: &[u8]) -> bool {
        match self {
            Form::Md5 => md5_crypt::verify(hash, password),
            Form::Sha => sha_crypt::ShaCrypt::default().verify_password(password, hash).is_ok(),
            Form::Bcrypt => bcrypt::verify(password, hash).unwrap_or(false),
            Form::Yescrypt => yescrypt::Yescrypt::default().verify_password(password, hash).is_ok(),
        }
    }

    /// By form alone: a hash is never computed while a configuration is loaded.
    fn is_well_formed(self, hash: &str) -> bool {
        let is_text = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
        let fields: Vec<&str> = hash.split('$').skip(2).collect();
        match (self, fields.as_slice()) {
            (Form::Md5, [_, digest]) => digest.len() == 22 && is_text(digest),
            (Form::Sha, [.., salt, digest]) if fields.len() <= 3 => {
                let length = if hash.starts_with("$5$") { 43 } else { 86 };
                let rounds =
                    fields.len() < 3 || fields[0].strip_prefix("rounds=").is_some_and(|n| n.parse::<u32>().is_ok());
                rounds && !salt.is_empty() && digest.len() == length && is_text(digest)
            }
            (Form::Bcrypt, [cost, rest]) => {
                matches!(cost.parse::<u32>(), Ok(4..=31)) && cost.len() == 2 && rest.len() == 53 && is_text(rest)
            }
            (Form::Yescrypt, [params, salt, digest]) => {
                !params.is_empty() && is_text(params) && is_text(salt) && digest.len() == 43 && is_text(digest)
            }
            _ => false,
        }
    }
}

/// How many passwords are remembered of those that held, and of those that did not; beyond, the one that came first is
/// forgotten.
const REMEMBERED: usize = 4_096;

/// Of the process, since what it holds does not depend on a configuration: a reload forgets nothing.
static VERIFIED: LazyLock<Verified> = LazyLock::new(|| Verified::new(REMEMBERED));

/// The answers there were, as digests of hash and password under a key of this process. An answer never changes, so that
/// none grows old.
struct Verified {
    key: hmac::Key,
    limit: usize,
    right: RwLock<Known>,
    /// Of their own, so that guesses push nobody's out.
    wrong: RwLock<Known>,
}

type Digest = [u8; 32];

/// The digests, and the order they came in.
#[derive(Default)]
struct Known {
    set: HashSet<Digest>,
    order: VecDeque<Digest>,
}

impl Verified {
    fn new(limit: usize) -> Verified {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())
            .expect("the system has random bytes: TLS needs them too");
        Verified { key, limit, right: RwLock::default(), wrong: RwLock::default() }
    }

    /// Compares without telling by time where two texts differ, nor how long they are.
    fn same(&self, a: &[u8], b: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(hmac::sign(&self.key, a).as_ref(), hmac::sign(&self.key, b).as_ref())
            .is_ok()
    }

    fn remembers(&self, hash: &str, password: &[u8], verify: impl FnOnce() -> bool) -> bool {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(hash.as_bytes());
        // No hash has a NUL, so that its end is known.
        context.update(&[0]);
        context.update(password);
        let mut digest: Digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        if self.right.read().set.contains(&digest) {
            return true;
        }
        if self.wrong.read().set.contains(&digest) {
            return false;
        }
        let held = verify();
        let list = if held { &self.right } else { &self.wrong };
        list.write().insert(digest, self.limit);
        held
    }
}

impl Known {
    fn insert(&mut self, digest: Digest, limit: usize) {
        if self.set.insert(digest) {
            self.order.push_back(digest);
            if self.order.len() > limit
                && let Some(oldest) = self.order.pop_front()
            {
                self.set.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MD5: &str = "$1$saltstri$WHZcnT3IOdSrMvizOq7Ht1";
    const SHA256: &str = "$5$rounds=1000$saltstring$AH5PD0i.riCRu4BNDy9v7OPV7u3dfLBApcXI6khquVA";
    const SHA512: &str = "$6$rounds=1000$saltstring$2BkAo106CG84raQcWpAlhyy6TSSkAsL1nfvBCoezLYyerUzY2l8axTvq6NynEt7SQAx3/cdop9ds0po8uaeHq0";
    const ROUNDS: &str = "$6$rounds=1000$saltstring$";
    const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    const YESCRYPT: &str = "$y$j75$F5Jx5fExrKuPp53xLKQ..1$l5YiXCKNY/N9ezall4xjJAFS/wg.kWVcFXfOzyxVn1.";

    /// Hashes made by crypt(3) of libxcrypt, all of `secret`.
    #[test]
    fn hashes_of_crypt_are_verified() {
        let other = ["$2a$", "$2y$"].map(|start| BCRYPT.replace("$2b$", start));
        for hash in [MD5, SHA256, SHA512, BCRYPT, YESCRYPT, &other[0], &other[1]] {
            let password = Password::Crypt(hash.into());
            assert_eq!(password.check(), Ok(()), "{hash}");
            for (text, right) in
                [("secret", true), ("Secret", false), ("", false), ("secret ", false), ("secret", true)]
            {
                assert_eq!(password.is(text.as_bytes()), right, "{text:?} of {hash}");
            }
        }
        let password = Password::Crypt("$5$ab$zmy2FxOZ5QvQEyfllfFQ1bTSpmyUoqnshTAZnNaB1Z4".into());
        assert!(password.is("pä ss".as_bytes()) && !password.is(b"p\xe4 ss"));
        // Of OpenSSL.
        for (hash, text) in [
            ("$1$ab$IXOZgTK26Gc/tosDFtkWV/", "pä ss"),
            (
                "$1$x$H9qO5qKyx9Aeo4wzbIZuB1",
                "a much longer password than sixteen bytes, to fill blocks of md5 more than once",
            ),
        ] {
            assert!(Password::Crypt(hash.into()).is(text.as_bytes()), "{hash}");
        }
        assert!(!password.is(&[b'x'; MAX_PASSWORD + 1]));
    }

    #[test]
    fn damaged_hashes_are_found_at_load() {
        for hash in [
            "",
            "secret",
            "$1$a$b",
            "$1$WHZcnT3IOdSrMvizOq7Ht1",
            "$apr1$x$RONwmznZzyu6Cg/z1nERd.",
            "ab01FAX.bQRSU",
            "$5$",
            "$5$salt",
            ROUNDS,
            "$2b$05$short",
            "$2b$99$",
            "$y$j9T$a",
            "$6$a$b$c$d",
        ] {
            assert!(Password::Crypt(hash.into()).check().is_err(), "{hash}");
            assert!(!Password::Crypt(hash.into()).is(b"secret"), "{hash}");
        }
        assert!(Password::Crypt(SHA512[..SHA512.len() - 1].into()).check().is_err());
        assert_eq!(Password::Plain("".into()).check(), Ok(()));
        for (hash, why) in [
            ("$7$CU..../....x$y", "$7$ are not supported"),
            ("ab01FAX.bQRSU", "DES"),
            ("secret", "no password as crypt(3)"),
        ] {
            let message = Password::Crypt(hash.into()).check().unwrap_err();
            assert!(message.contains(why), "{hash}: {message}");
        }
    }

    #[test]
    fn answers_are_remembered_apart() {
        let verified = Verified::new(2);
        let ask = |password: &str, right: bool| {
            let mut asked = false;
            let held = verified.remembers("hash", password.as_bytes(), || {
                asked = true;
                right
            });
            (held, asked)
        };
        assert_eq!(ask("a", true), (true, true));
        assert_eq!(ask("a", true), (true, false));
        for guess in ["x", "y", "z"] {
            assert_eq!(ask(guess, false), (false, true));
            assert_eq!(ask(guess, false), (false, false));
        }
        assert_eq!(ask("x", false), (false, true), "the oldest is forgotten");
        assert_eq!(ask("a", true), (true, false), "guesses push out guesses only");
        assert_eq!(ask("b", true), (true, true));
        assert_eq!(ask("c", true), (true, true));
        assert_eq!(ask("b", true), (true, false));
        assert_eq!(ask("a", true), (true, true), "the oldest is forgotten");
        assert_eq!((verified.right.read().set.len(), verified.wrong.read().set.len()), (2, 2));
    }

    #[test]
    fn users_are_found_and_their_passwords_never_shown() {
        let user = |name: &str, password: &str| User {
            name: name.into(),
            password: Password::Plain(password.into()),
            groups: vec!["g".into()],
        };
        let list = UserList { name: "l".into(), users: vec![user("a", "pw"), user("b", "")] };
        assert_eq!(list.verify(b"a", b"pw").unwrap().name, "a".into());
        assert!(list.verify(b"a", b"pW").is_none() && list.verify(b"c", b"pw").is_none());
        assert!(list.verify(b"b", b"").is_some());
        assert!(!format!("{list:?}").contains("pw"));
    }
}
