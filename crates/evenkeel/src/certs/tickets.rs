//! Keys of session tickets at run time: shown, renewed, handed to every node (`set ssl tls-key`, `show tls-keys`).
//!
//! Called by [`Certs::tickets`](super::Certs::tickets). Never: shows or logs a secret.

use std::path::PathBuf;

use evenkeel_tls::shared::Shared;
use serde::{Deserialize, Serialize};

/// What `evenkeel tickets` asks of a running process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Tell the names of the keys.
    Show,
    /// Make a new random key, which encrypts from now on.
    Rotate,
    /// Append this key, in base64, to those of a file.
    Set(String, Option<PathBuf>),
}

/// The keys of one file, or the random ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The file; `None`: made at random.
    pub file: Option<PathBuf>,
    /// Oldest first.
    pub keys: Vec<Key>,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its name in hexadecimal, which is in the clear in every ticket.
    pub name: String,
    /// Whether new tickets are encrypted with it.
    pub encrypts: bool,
}

/// Does what is asked; the keys afterwards, and what was done.
///
/// # Errors
/// Why nothing was done.
pub fn answer(shared: Option<&Shared>, ask: &Ask, now: i64) -> Result<(Vec<Keys>, String), String> {
    let shared = shared.ok_or("no bind and no server has TLS")?;
    let said = match ask {
        Ask::Show => String::new(),
        Ask::Rotate => {
            let rings = shared.rings();
            let renewed = rings.iter().any(|(file, ring)| file.is_none() && ring.renew(now));
            match renewed {
                true => {
                    "a new random key encrypts the tickets; those of the last keys are accepted until they lapse".into()
                }
                false => return Err("the system has no randomness to give".to_owned()),
            }
        }
        Ask::Set(key, file) => {
            let mut rings = shared.rings();
            rings.retain(|(known, _)| known.is_some() && (file.is_none() || known == file));
            match (&rings[..], file) {
                ([(Some(path), ring)], _) => {
                    ring.set_key(key, now)?;
                    format!("the key was appended to those of {}; the one before it encrypts now", path.display())
                }
                ([], Some(file)) => {
                    return Err(format!(
                        "no bind has ticket-keys = {:?}; `evenkeel tickets show` lists the files",
                        file
                    ));
                }
                ([], None) => {
                    let why = "no bind has `ticket-keys`: its keys are random and no other node has them";
                    return Err(why.to_owned());
                }
                (several, _) => {
                    let files: Vec<String> =
                        several.iter().flat_map(|(file, _)| file).map(|file| file.display().to_string()).collect();
                    return Err(format!("which keys? name one with --file: {}", files.join(", ")));
                }
            }
        }
    };
    let keys = shared.rings().into_iter().map(|(file, ring)| Keys {
        file,
        keys: ring.names().into_iter().map(|(name, encrypts)| Key { name, encrypts }).collect(),
    });
    Ok((keys.collect(), said))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use evenkeel_tls::files::Files;

    use super::*;

    fn set(shared: &Shared, file: Option<&str>) -> Result<(Vec<Keys>, String), String> {
        answer(Some(shared), &Ask::Set("/".repeat(64), file.map(Into::into)), 1)
    }

    #[test]
    fn a_key_goes_to_the_one_file_or_to_the_one_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let shared = Shared::new(0).unwrap();
        assert!(set(&shared, None).unwrap_err().contains("ticket-keys"));
        let read = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{}\n", "A".repeat(64)).repeat(3)).unwrap();
            shared.ring(Some(&path), &Files::SYSTEM, &mut Vec::new()).unwrap();
            path.display().to_string()
        };
        let one = read("one");
        let (keys, said) = set(&shared, None).unwrap();
        assert!(said.contains(&one), "{said}");
        let of_file = keys.iter().find(|keys| keys.file.is_some()).unwrap();
        let encrypts: Vec<bool> = of_file.keys.iter().map(|key| key.encrypts).collect();
        assert_eq!(encrypts, [false, true, false]);
        assert_eq!(of_file.keys[2].name, "ff".repeat(16));
        let two = read("two");
        let why = set(&shared, None).unwrap_err();
        assert!(why.contains(&one) && why.contains(&two), "{why}");
        assert!(set(&shared, Some(&two)).is_ok());
        assert!(set(&shared, Some("three")).unwrap_err().contains("three"));
        assert!(
            answer(Some(&shared), &Ask::Set("short".into(), Some(two.into())), 1).unwrap_err().contains("48 or 80")
        );
    }

    #[test]
    fn random_keys_are_renewed() {
        let shared = Shared::new(0).unwrap();
        shared.ring(None, &Files::NONE, &mut Vec::new()).unwrap();
        let names = |ask| answer(Some(&shared), &ask, 1).unwrap().0[0].keys.clone();
        let before = names(Ask::Show);
        let after = names(Ask::Rotate);
        assert_ne!(before.last(), after.last());
        assert!(after.last().unwrap().encrypts);
        assert!(answer(None, &Ask::Show, 0).is_err());
    }
}
