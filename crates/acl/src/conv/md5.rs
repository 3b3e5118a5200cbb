//! The MD5 digest (RFC 1321), for `digest(md5)` and `$1$` of crypt(3): what is older than its break.

/// Rotations of the four rounds.
const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The 16 bytes of the digest.
pub(crate) fn md5(input: &[u8]) -> [u8; 16] {
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut blocks = input.chunks_exact(64);
    for block in &mut blocks {
        mix(&mut state, block);
    }
    // A bit 1, zeros, and the length in bits fill one or two more blocks (sections 3.1 and 3.2).
    let rest = blocks.remainder();
    let mut last = [0; 128];
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x80;
    let end = if rest.len() < 56 { 64 } else { 128 };
    let bits = (input.len() as u64).wrapping_mul(8);
    last[end - 8..end].copy_from_slice(&bits.to_le_bytes());
    for block in last[..end].chunks_exact(64) {
        mix(&mut state, block);
    }
    let mut digest = [0; 16];
    for (out, word) in digest.chunks_exact_mut(4).zip(state) {
        out.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

/// Section 3.4: one block of 64 bytes.
fn mix(state: &mut [u32; 4], block: &[u8]) {
    let word =
        |at: usize| block[at * 4..at * 4 + 4].iter().rev().fold(0, |word: u32, byte| word << 8 | u32::from(*byte));
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..64 {
        let (mixed, at) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
            2 => (b ^ c ^ d, (3 * step + 5) % 16),
            _ => (c ^ (b | !d), 7 * step % 16),
        };
        let sum = a.wrapping_add(mixed).wrapping_add(SINES[step]).wrapping_add(word(at));
        (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(SHIFTS[step / 16][step % 4])));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

/// The whole parts of 2^32 times the sine of 1 to 64.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The test suite of RFC 1321 appendix A.5, and lengths around the ends of blocks.
    #[test]
    fn digests_are_those_of_the_rfc() {
        let hex = |digest: [u8; 16]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for (input, expected) in [
            ("".to_owned(), "d41d8cd98f00b204e9800998ecf8427e"),
            ("a".to_owned(), "0cc175b9c0f1b6a831c399e269772661"),
            ("message digest".to_owned(), "f96b697d7cb7938d525a2f31aaf161d0"),
            ("1234567890".repeat(8), "57edf4a22be3c955ac49da2e2107b67a"),
            ("x".repeat(55), "04364420e25c512fd958a70738aa8f72"),
            ("x".repeat(56), "668a72d5ba17f08e62dabcafad6db14b"),
            ("x".repeat(63), "7dc2ca208106a2f703567bdff99d8981"),
            ("x".repeat(64), "c1bb4f81d892b2d57947682aeb252456"),
            ("x".repeat(119), "ab347a5f68c8a443cfcddc633f12c24f"),
            ("x".repeat(120), "fb98667f98096de92620b64f46e1c5b5"),
            ("x".repeat(1000), "398533d48111e9f664b1f64cb10c4b63"),
        ] {
            assert_eq!(hex(md5(input.as_bytes())), expected, "{} bytes", input.len());
        }
    }
}
