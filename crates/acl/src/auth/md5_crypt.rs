//! `$1$`, the form of crypt(3) that files of the nineties have. Called by [`auth`](super) only.

use aws_lc_rs::constant_time;

use crate::conv::md5;

const START: &str = "$1$";
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Bytes of salt that count.
const SALT: usize = 8;
const ROUNDS: usize = 1000;

/// Whether `hash` is of `password`.
pub(super) fn verify(hash: &str, password: &[u8]) -> bool {
    let Some((salt, digest)) = hash.strip_prefix(START).and_then(|rest| rest.split_once('$')) else { return false };
    constant_time::verify_slices_are_equal(digest.as_bytes(), &text(&compute(salt.as_bytes(), password))).is_ok()
}

fn compute(salt: &[u8], password: &[u8]) -> [u8; 16] {
    let salt = &salt[..salt.len().min(SALT)];
    let inner = md5(&[password, salt, password].concat());
    let mut input = [password, START.as_bytes(), salt].concat();
    input.extend(inner.iter().cycle().take(password.len()));
    let mut rest = password.len();
    while rest > 0 {
        // An oversight of the first implementation, kept by all: zero or the first byte, by the bits of the length.
        input.push(if rest & 1 == 1 { 0 } else { password[0] });
        rest >>= 1;
    }
    let mut digest = md5(&input);
    for round in 0..ROUNDS {
        let odd = round % 2 == 1;
        input.clear();
        input.extend_from_slice(if odd { password } else { &digest });
        input.extend_from_slice(if round % 3 != 0 { salt } else { b"" });
        input.extend_from_slice(if round % 7 != 0 { password } else { b"" });
        input.extend_from_slice(if odd { &digest } else { password });
        digest = md5(&input);
    }
    digest
}

/// The 22 characters of a digest, whose bytes stand in an order of their own.
fn text(digest: &[u8; 16]) -> [u8; 22] {
    let mut out = [0; 22];
    let groups = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    for (chunk, group) in out.chunks_mut(4).zip(groups) {
        let bits = group.iter().fold(0_usize, |bits, at| bits << 8 | usize::from(digest[*at]));
        chunk.iter_mut().enumerate().for_each(|(at, digit)| *digit = DIGITS[bits >> (6 * at) & 63]);
    }
    let last = usize::from(digest[11]);
    [out[20], out[21]] = [DIGITS[last & 63], DIGITS[last >> 6]];
    out
}
