//! Converters that hash, bit for bit as HAProxy does: they are written into logs, maps and tables that both read.

use crate::conv::{conv_table, text};
use crate::ctx::Ctx;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const AVALANCHE: Arg = Arg::maybe("avalanche", ArgKind::Int);
const SEED: Arg = Arg::maybe("seed", ArgKind::Int);

conv_table! {
    "crc32" "crc32([<avalanche>])" [AVALANCHE] Bin -> Int crc32,
        "The CRC-32 of Ethernet and gzip, unsigned; mixed further with an argument other than 0.", "path,crc32";
    "crc32c" "crc32c([<avalanche>])" [AVALANCHE] Bin -> Int crc32c,
        "The CRC-32C of RFC 4960 appendix B, unsigned; mixed further with an argument other than 0.", "path,crc32c";
    "djb2" "djb2([<avalanche>])" [AVALANCHE] Bin -> Int djb2,
        "The hash DJB2, 32 bits unsigned; mixed further with an argument other than 0.", "path,djb2";
    "sdbm" "sdbm([<avalanche>])" [AVALANCHE] Bin -> Int sdbm,
        "The hash SDBM, 32 bits unsigned; mixed further with an argument other than 0.", "path,sdbm";
    "wt6" "wt6([<avalanche>])" [AVALANCHE] Bin -> Int wt6,
        "The hash WT6, 32 bits unsigned; mixed further with an argument other than 0.", "path,wt6(1)";
    "xxh3" "xxh3([<seed>])" [SEED] Bin -> Int xxh3,
        "The 64-bit hash XXH3 as a signed number; the seed is 0 unless given.", "path,xxh3";
    "xxh32" "xxh32([<seed>])" [SEED] Bin -> Int xxh32,
        "The hash XXH32, 32 bits unsigned; the seed is 0 unless given.", "path,xxh32";
    "xxh64" "xxh64([<seed>])" [SEED] Bin -> Int xxh64,
        "The hash XXH64 as a signed number; the seed is 0 unless given.", "path,xxh64";
}

/// Converters by a function of 32 bits that may be mixed further.
macro_rules! short {
    ($($name:ident $hash:path;)*) => {$(
        fn $name<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
            let hash = $hash(text(sample)?);
            let mixed = Value::int(args, 0).is_some_and(|flag| flag != 0);
            Some(Sample::Int(if mixed { avalanche(hash) } else { hash }.into()))
        }
    )*};
}

short! {
    crc32 crc32fast::hash;
    crc32c crc32c::crc32c;
    djb2 hash_djb2;
    sdbm hash_sdbm;
    wt6 hash_wt6;
}

/// Converters by a function that takes a seed.
macro_rules! seeded {
    ($($name:ident |$bytes:ident, $seed:ident| $hash:expr;)*) => {$(
        fn $name<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
            let ($bytes, $seed) = (text(sample)?, Value::int(args, 0).unwrap_or(0));
            Some(Sample::Int($hash))
        }
    )*};
}

seeded! {
    xxh3 |bytes, seed| xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed.cast_unsigned()).cast_signed();
    xxh32 |bytes, seed| xxhash_rust::xxh32::xxh32(bytes, seed as u32).into();
    xxh64 |bytes, seed| xxhash_rust::xxh64::xxh64(bytes, seed.cast_unsigned()).cast_signed();
}

/// Bernstein's hash: times 33, plus the byte.
fn hash_djb2(bytes: &[u8]) -> u32 {
    bytes.iter().fold(5381, |hash: u32, byte| hash.wrapping_mul(33).wrapping_add((*byte).into()))
}

/// The hash of sdbm: times 65599, plus the byte.
pub(crate) fn hash_sdbm(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |hash: u32, byte| hash.wrapping_mul(65599).wrapping_add((*byte).into()))
}

/// Two words, rotated by amounts that come from the words themselves.
fn hash_wt6(bytes: &[u8]) -> u32 {
    let (mut h0, mut h1) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut step0, mut step1) = (6, 18);
    for &byte in bytes {
        h0 = !(h0 ^ u32::from(byte));
        h1 = !h1.wrapping_add(byte.into());
        let turned = h1.rotate_left(step0);
        h1 = h0.rotate_left(step1);
        h0 = turned;
        let amounts = ((h0 >> 16) ^ h1) & 0xffff;
        (step0, step1) = (amounts & 31, amounts >> 11);
    }
    h0 ^ h1
}

/// Bob Jenkins' six-shift integer hash, then a multiplication by a prime.
pub(crate) fn avalanche(hash: u32) -> u32 {
    let mut a = hash;
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(3_221_225_473)
}

#[cfg(test)]
mod tests {
    use crate::conv::testing::check;
    use crate::sample::Sample;

    /// What HAProxy 2.6 answers.
    #[test]
    fn hashes_are_those_of_haproxy() {
        for (input, steps, expected) in [
            ("", "crc32", "0"),
            ("", "crc32(1)", "2874071335"),
            ("", "crc32c", "0"),
            ("", "djb2", "5381"),
            ("", "sdbm", "0"),
            ("", "wt6", "4187620192"),
            ("", "wt6(1)", "2385687481"),
            ("", "xxh32", "46947589"),
            ("", "xxh64", "-1205034819632174695"),
            ("", "xxh3", "3244421341483603138"),
            ("", "xxh3(7)", "-7981820518085198152"),
            ("a", "crc32", "3904355907"),
            ("a", "crc32(1)", "1288200982"),
            ("a", "crc32c", "3251651376"),
            ("a", "djb2", "177670"),
            ("a", "sdbm", "97"),
            ("a", "wt6", "1900802597"),
            ("a", "wt6(1)", "1986649387"),
            ("a", "xxh32", "1426945110"),
            ("a", "xxh64", "-3292477735350538661"),
            ("a", "xxh3", "-1817709641818812897"),
            ("a", "xxh3(7)", "-7001539911779966828"),
            ("abc", "crc32", "891568578"),
            ("abc", "crc32(1)", "930845320"),
            ("abc", "crc32c", "910901175"),
            ("abc", "djb2", "193485963"),
            ("abc", "sdbm", "807794786"),
            ("abc", "wt6", "2483038440"),
            ("abc", "wt6(1)", "266135527"),
            ("abc", "xxh32", "852579327"),
            ("abc", "xxh64", "4952883123889572249"),
            ("abc", "xxh3", "8696274497037089104"),
            ("abc", "xxh3(7)", "5260018501835528466"),
            ("e8gx-d6nc", "crc32", "2374172994"),
            ("e8gx-d6nc", "crc32(1)", "171045241"),
            ("e8gx-d6nc", "crc32c", "1472457155"),
            ("e8gx-d6nc", "djb2", "2845525817"),
            ("e8gx-d6nc", "sdbm", "3176530448"),
            ("e8gx-d6nc", "wt6", "2479232884"),
            ("e8gx-d6nc", "wt6(1)", "4246325588"),
            ("e8gx-d6nc", "xxh32", "220560839"),
            ("e8gx-d6nc", "xxh64", "5705945943869687324"),
            ("e8gx-d6nc", "xxh3", "-7602978787415563652"),
            ("e8gx-d6nc", "xxh3(7)", "-8801122185652842086"),
            ("zdoc9is0j8h/t9lg-", "crc32", "3492847209"),
            ("zdoc9is0j8h/t9lg-", "crc32(1)", "624866229"),
            ("zdoc9is0j8h/t9lg-", "crc32c", "2139086748"),
            ("zdoc9is0j8h/t9lg-", "djb2", "4257907040"),
            ("zdoc9is0j8h/t9lg-", "sdbm", "623482573"),
            ("zdoc9is0j8h/t9lg-", "wt6", "2686765158"),
            ("zdoc9is0j8h/t9lg-", "wt6(1)", "2996510642"),
            ("zdoc9is0j8h/t9lg-", "xxh32", "1676527101"),
            ("zdoc9is0j8h/t9lg-", "xxh64", "-9152191302288269708"),
            ("zdoc9is0j8h/t9lg-", "xxh3", "8969500697573820040"),
            ("zdoc9is0j8h/t9lg-", "xxh3(7)", "979772286568944115"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "crc32", "1549216862"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "crc32(1)", "579367403"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "crc32c", "4086971238"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "djb2", "3665932327"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "sdbm", "4060405056"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "wt6", "1701240787"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "wt6(1)", "553200006"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "xxh32", "2949334718"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "xxh64", "-3783007572624781103"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "xxh3", "-4917594337042822682"),
            ("/mxg9e/d.n581u3-3xtplpf/t75v2s_eh", "xxh3(7)", "-1226609380798700833"),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "crc32",
                "333645846",
            ),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "crc32(1)",
                "4256506687",
            ),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "crc32c",
                "2755515919",
            ),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "djb2",
                "125439579",
            ),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "sdbm",
                "2326525380",
            ),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "wt6",
                "3244598192",
            ),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "wt6(1)",
                "3552652300",
            ),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "xxh32",
                "684217680",
            ),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "xxh64",
                "189026927481357598",
            ),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "xxh3",
                "-413858666456884757",
            ),
            (
                "qns6p-uq80idw3-706i8j76b2l_ajlj4.h9du7794g9dpmrcg629be2u.6_6mr26846p7q9m2i0hz2uep1enthjxjqi3ogz5kok16zv0mwufxbv932byv7.s6ehogfqrclri1qzj86/5ufrdl1erbfqf_oeqh3av90r.ic7phkqdlmtt7ns26lrwbqcab69m64p2g158z6tnovmizwdiaeq1kdfy6s_psc3lkr2aqxv9upctn",
                "xxh3(7)",
                "-5920830648312132077",
            ),
            ("abc", "crc32c(1)", "1285784220"),
            ("abc", "djb2(1)", "2235766107"),
            ("abc", "djb2(2)", "2235766107"),
            ("abc", "sdbm(1)", "659243622"),
            ("abc", "xxh32(7)", "1473238068"),
            ("abc", "xxh32(-7)", "1717199181"),
            ("abc", "xxh32(4294967303)", "1473238068"),
            ("abc", "xxh64(7)", "-7028621457359472937"),
            ("abc", "xxh64(-7)", "-5180778048759447037"),
            ("abc", "xxh3(-7)", "-7562601896569835698"),
        ] {
            check(Sample::Str(input.as_bytes()), steps, Some(expected));
        }
        check(Sample::Int(65), "djb2", Some("2075347526"));
        check(Sample::Ip([127, 0, 0, 1].into()), "djb2", Some("2091037605"));
    }
}
