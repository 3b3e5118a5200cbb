//! The secrets of sessions in a file, in the format that Wireshark and curl call `SSLKEYLOGFILE`.
//!
//! Only made when the operator asks for it (`tune.ssl.keylog`): whoever has the file reads all traffic. A line is one write, so that
//! workers do not mix theirs. What cannot be written is lost in silence, because traffic must not depend on it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustls::KeyLog;

/// Appends secrets to a file.
#[derive(Debug)]
pub struct KeyLogFile {
    file: File,
}

impl KeyLogFile {
    /// Opens the file, which only its owner may read when it is new.
    pub fn open(path: &Path) -> io::Result<KeyLogFile> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(KeyLogFile { file })
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = Vec::with_capacity(label.len() + 2 * (client_random.len() + secret.len()) + 3);
        line.extend_from_slice(label.as_bytes());
        for bytes in [client_random, secret] {
            line.push(b' ');
            bytes
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 15])
                .for_each(|half| line.push(b"0123456789abcdef"[half as usize]));
        }
        line.push(b'\n');
        let _ = (&self.file).write(&line);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_one_line_that_only_the_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        for _ in 0..2 {
            KeyLogFile::open(&path).unwrap().log("CLIENT_RANDOM", &[0x0a, 0xff], &[0x10]);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "CLIENT_RANDOM 0aff 10\n".repeat(2));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(KeyLogFile::open(folder.path()).is_err());
    }
}
