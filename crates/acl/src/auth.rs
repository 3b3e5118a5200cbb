//! User lists: who may come in, and how a password is checked.
//!
//! Called by the fetches `http_auth` and `http_auth_group`. Checking a crypt(3) password takes milliseconds by design, so
//! that one that held is remembered, as a keyed digest, in a bounded list of the process; one that did not is not, and costs
//! the same again. Comparisons take the same time wherever two texts differ.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, LazyLock};

use aws_lc_rs::{constant_time, hmac, rand};
use parking_lot::RwLock;
use sha_crypt::PasswordVerifier as _;

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
    /// A crypt(3) string: `$5$`, `$6$`, `$2b$`, `$y$`.
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
        let form = Form::of(hash).ok_or("the password is of no known form: it begins with $5$, $6$, $2b$ or $y$")?;
        if form.is_well_formed(hash) { Ok(()) } else { Err("the password hash is cut off or damaged".into()) }
    }

    /// Whether `password` is the one. Takes milliseconds for a hashed one that was not right before.
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
    Sha,
    Bcrypt,
    Yescrypt,
}

impl Form {
    fn of(hash: &str) -> Option<Form> {
        match hash.strip_prefix('$')?.split_once('$')?.0 {
            "5" | "6" => Some(Form::Sha),
            "2a" | "2b" | "2x" | "2y" => Some(Form::Bcrypt),
            "y" => Some(Form::Yescrypt),
            _ => None,
        }
    }

    fn verify(self, hash: &str, password: &[u8]) -> bool {
        match self {
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

/// How many passwords are remembered; beyond, the one that came first is forgotten.
const REMEMBERED: usize = 4_096;

/// Of the process, since what it holds does not depend on a configuration: a reload forgets nothing.
static VERIFIED: LazyLock<Verified> = LazyLock::new(|| Verified::new(REMEMBERED));

/// The passwords that held, as digests of hash and password under a key of this process.
struct Verified {
    key: hmac::Key,
    limit: usize,
    known: RwLock<Known>,
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
        Verified { key, limit, known: RwLock::default() }
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
        if self.known.read().set.contains(&digest) {
            return true;
        }
        if !verify() {
            return false;
        }
        let Known { set, order } = &mut *self.known.write();
        if set.insert(digest) {
            order.push_back(digest);
            if order.len() > self.limit
                && let Some(oldest) = order.pop_front()
            {
                set.remove(&oldest);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHA256: &str = "$5$rounds=1000$saltstring$AH5PD0i.riCRu4BNDy9v7OPV7u3dfLBApcXI6khquVA";
    const SHA512: &str = "$6$rounds=1000$saltstring$2BkAo106CG84raQcWpAlhyy6TSSkAsL1nfvBCoezLYyerUzY2l8axTvq6NynEt7SQAx3/cdop9ds0po8uaeHq0";
    const ROUNDS: &str = "$6$rounds=1000$saltstring$";
    const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    const YESCRYPT: &str = "$y$j75$F5Jx5fExrKuPp53xLKQ..1$l5YiXCKNY/N9ezall4xjJAFS/wg.kWVcFXfOzyxVn1.";

    /// Hashes made by crypt(3) of libxcrypt, all of `secret`.
    #[test]
    fn hashes_of_crypt_are_verified() {
        let other = ["$2a$", "$2y$"].map(|start| BCRYPT.replace("$2b$", start));
        for hash in [SHA256, SHA512, BCRYPT, YESCRYPT, &other[0], &other[1]] {
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
        assert!(!password.is(&[b'x'; MAX_PASSWORD + 1]));
    }

    #[test]
    fn damaged_hashes_are_found_at_load() {
        for hash in
            ["", "secret", "$1$a$b", "$5$", "$5$salt", ROUNDS, "$2b$05$short", "$2b$99$", "$y$j9T$a", "$6$a$b$c$d"]
        {
            assert!(Password::Crypt(hash.into()).check().is_err(), "{hash}");
            assert!(!Password::Crypt(hash.into()).is(b"secret"), "{hash}");
        }
        assert!(Password::Crypt(SHA512[..SHA512.len() - 1].into()).check().is_err());
        assert_eq!(Password::Plain("".into()).check(), Ok(()));
    }

    #[test]
    fn what_held_is_remembered_and_what_did_not_is_not() {
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
        assert_eq!(ask("b", false), (false, true));
        assert_eq!(ask("b", true), (true, true));
        assert_eq!(ask("c", true), (true, true), "the oldest is forgotten");
        assert_eq!(ask("b", false), (true, false));
        assert_eq!(ask("a", false), (false, true));
        assert_eq!(verified.known.read().set.len(), 2);
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
