//! Base64 and base64url (RFC 4648 §4, §5), the one place that has them: converters and credentials, keys of session tickets,
//! the handshake of WebSockets. Everything is appended to what the caller lends; what was appended before a text turned out
//! to be none stays there.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Appends `bytes` in padded base64.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    write(bytes, STANDARD, true, out);
}

/// Appends `bytes` in base64url without padding.
pub fn encode_url(bytes: &[u8], out: &mut Vec<u8>) {
    write(bytes, URL, false, out);
}

/// Appends the bytes of padded base64; whether it was such.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    text.len().is_multiple_of(4) && decode_lax(text, out)
}

/// Appends the bytes of base64 whose padding may be missing; whether it was such.
pub fn decode_lax(text: &[u8], out: &mut Vec<u8>) -> bool {
    let bare = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    read(bare, false, out)
}

/// Appends the bytes of base64url without padding; whether it was such.
pub fn decode_url(text: &[u8], out: &mut Vec<u8>) -> bool {
    read(text, true, out)
}

fn write(bytes: &[u8], alphabet: &[u8; 64], pad: bool, out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..=chunk.len() {
            out.push(alphabet[(bits >> (18 - 6 * digit)) as usize & 63]);
        }
        if pad {
            out.extend_from_slice(&b"=="[..3 - chunk.len()]);
        }
    }
}

/// Bits left over at the end are ignored, as in HAProxy.
fn read(text: &[u8], url: bool, out: &mut Vec<u8>) -> bool {
    let digit = |byte: &u8| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' if !url => 62,
            b'/' if !url => 63,
            b'-' if url => 62,
            b'_' if url => 63,
            _ => return None,
        })
    };
    for chunk in text.chunks(4) {
        let mut bits = 0u32;
        for (at, byte) in chunk.iter().enumerate() {
            match digit(byte) {
                Some(digit) => bits |= u32::from(digit) << (18 - 6 * at),
                None => return false,
            }
        }
        if chunk.len() == 1 {
            return false;
        }
        out.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_by(how: fn(&[u8], &mut Vec<u8>) -> bool, text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        how(text, &mut out).then_some(out)
    }

    /// RFC 4648 §10.
    #[test]
    fn the_vectors_of_the_rfc() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            encode(plain.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
            assert_eq!(read_by(decode, text.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for length in 0..100 {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 37) as u8).collect();
            let (mut padded, mut bare) = (Vec::new(), Vec::new());
            encode(&bytes, &mut padded);
            encode_url(&bytes, &mut bare);
            for found in [read_by(decode, &padded), read_by(decode_lax, &padded), read_by(decode_url, &bare)] {
                assert_eq!(found.as_ref(), Some(&bytes));
            }
            padded.retain(|byte| *byte != b'=');
            assert_eq!(read_by(decode_lax, &padded), Some(bytes));
        }
        for bad in ["A", "AA A", "AAA-", "====", "A==="] {
            assert!(
                read_by(decode, bad.as_bytes()).is_none() && read_by(decode_lax, bad.as_bytes()).is_none(),
                "{bad}"
            );
        }
        assert!(read_by(decode, b"Zg").is_none() && read_by(decode_url, b"Zg==").is_none());
    }
}
