//! Fetches of what the client offered in its ClientHello, where that is kept (`tune.ssl.capture-buffer-size`).
//!
//! The hello is kept as it was received and read when somebody asks: a connection nobody asks about costs no more than the
//! bytes.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use evenkeel_proto::{ClientHello, Hello};

use crate::ctx::Ctx;
use crate::fetch::{SINCE_HELLO, Visit, fetch_table, give, ja3, ja4};
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

use super::tls;

const FILTER: Arg = Arg::maybe("filter", ArgKind::Int);

fetch_table! {
    "ssl_fc_cipherlist_bin" "ssl_fc_cipherlist_bin([<filter>])" [FILTER] Bin First SINCE_HELLO
        |ctx, args, visit| numbers(ctx, args, visit, |hello, out| out.extend(hello.cipher_suites())), prepare zero_or_one,
        "The cipher suites that the client offered, two bytes each; with 1 without those of GREASE.",
        "ssl_fc_cipherlist_bin(1) -m found";
    "ssl_fc_cipherlist_hex" "ssl_fc_cipherlist_hex([<filter>])" [FILTER] Str First SINCE_HELLO
        |ctx, args, visit| text(ctx, visit, |hello, out| {
            kept(hello.cipher_suites(), args).for_each(|suite| {
                let _ = write!(out, "{suite:04X}");
            });
        }), prepare zero_or_one,
        "The same in hexadecimal.", "ssl_fc_cipherlist_hex(1) -m beg 1301";
    "ssl_fc_cipherlist_str" "ssl_fc_cipherlist_str([<filter>])" [FILTER] Str First SINCE_HELLO
        |ctx, args, visit| text(ctx, visit, |hello, out| {
            for (at, suite) in kept(hello.cipher_suites(), args).enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                match SUITES.binary_search_by_key(&suite, |(known, _)| *known) {
                    Ok(found) => out.push_str(SUITES[found].1),
                    Err(_) => drop(write!(out, "UNKNOWN({suite:04x})")),
                }
            }
        }), prepare zero_or_one,
        "The names of the cipher suites that the client offered, separated by commas.",
        "ssl_fc_cipherlist_str -m sub ECDHE-RSA-AES128-GCM-SHA256";
    "ssl_fc_cipherlist_xxh" "ssl_fc_cipherlist_xxh" [] Int First SINCE_HELLO
        |ctx, _, visit| with_hello(ctx, |hello| {
            let list: Vec<u8> = hello.cipher_suites().flat_map(u16::to_be_bytes).collect();
            visit(Sample::Int(xxhash_rust::xxh64::xxh64(&list, 0).cast_signed()))
        }),
        "The hash XXH64 of the cipher suites that the client offered.", "ssl_fc_cipherlist_xxh -m found";
    "ssl_fc_client_random" "ssl_fc_client_random" [] Bin First SINCE_HELLO
        |ctx, _, visit| with_hello(ctx, |hello| visit(Sample::Bin(hello.random()))),
        "The 32 random bytes of the client; with them a captured connection is found in an SSLKEYLOGFILE.",
        "ssl_fc_client_random -m found";
    "ssl_fc_ecformats_bin" "ssl_fc_ecformats_bin" [] Bin First SINCE_HELLO
        |ctx, _, visit| with_hello(ctx, |hello| {
            let formats = hello.ec_point_formats();
            give((!formats.is_empty()).then_some(Sample::Bin(formats)), visit)
        }),
        "The formats of points on elliptic curves that the client offered, a byte each.", "ssl_fc_ecformats_bin -m found";
    "ssl_fc_eclist_bin" "ssl_fc_eclist_bin([<filter>])" [FILTER] Bin First SINCE_HELLO
        |ctx, args, visit| numbers(ctx, args, visit, |hello, out| out.extend(hello.groups())), prepare zero_or_one,
        "The groups of the key exchange that the client offered, two bytes each; with 1 without those of GREASE.",
        "ssl_fc_eclist_bin(1) -m found";
    "ssl_fc_extlist_bin" "ssl_fc_extlist_bin([<filter>])" [FILTER] Bin First SINCE_HELLO
        |ctx, args, visit| numbers(ctx, args, visit, |hello, out| out.extend(hello.extensions().map(|(kind, _)| kind))),
        prepare zero_or_one,
        "The extensions in the client's hello, two bytes each; with 1 without those of GREASE.",
        "ssl_fc_extlist_bin(1) -m found";
    "ssl_fc_ja3" "ssl_fc_ja3" [] Str First SINCE_HELLO
        |ctx, _, visit| with_hello(ctx, |hello| visit(Sample::Str(ja3(hello).as_bytes()))),
        "The JA3 fingerprint of the client. Clients that shuffle their extensions have many; prefer ssl_fc_ja4.",
        "ssl_fc_ja3 ada70206e40642a3e4461f35503241d5";
    "ssl_fc_ja3_text" "ssl_fc_ja3_text" [] Str First SINCE_HELLO
        |ctx, _, visit| with_hello(ctx, |hello| visit(Sample::Str(hello.ja3_text().as_bytes()))),
        "The text whose MD5 is the JA3 fingerprint of the client.", "ssl_fc_ja3_text -m beg 771,";
    "ssl_fc_ja4" "ssl_fc_ja4" [] Str First SINCE_HELLO
        |ctx, _, visit| with_hello(ctx, |hello| visit(Sample::Str(ja4(hello).as_bytes()))),
        "The JA4 fingerprint of the client.", "ssl_fc_ja4 t13d1516h2_8daaf6152771_e5627efa2ab1";
    "ssl_fc_protocol_hello_id" "ssl_fc_protocol_hello_id" [] Int First SINCE_HELLO
        |ctx, _, visit| with_hello(ctx, |hello| {
            give(hello.legacy_version().map(|version| Sample::Int(version.into())), visit)
        }),
        "The version in the client's hello as a number: 771 for TLS 1.2 and 1.3.", "ssl_fc_protocol_hello_id 771";
    "ssl_fc_sigalgs_bin" "ssl_fc_sigalgs_bin([<filter>])" [FILTER] Bin First SINCE_HELLO
        |ctx, args, visit| numbers(ctx, args, visit, |hello, out| out.extend(hello.signature_algorithms())),
        prepare zero_or_one,
        "The signature algorithms that the client offered, two bytes each; with 1 without those of GREASE.",
        "ssl_fc_sigalgs_bin(1) -m found";
    "ssl_fc_supported_versions_bin" "ssl_fc_supported_versions_bin([<filter>])" [FILTER] Bin First SINCE_HELLO
        |ctx, args, visit| numbers(ctx, args, visit, |hello, out| out.extend(hello.versions())), prepare zero_or_one,
        "The versions that the client offered, two bytes each; with 1 without those of GREASE.",
        "ssl_fc_supported_versions_bin(1) -m found";
}

fn zero_or_one(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    match Value::int(args, 0) {
        None | Some(0 | 1) => Ok(()),
        Some(other) => Err(format!("the filter is 0 (everything) or 1 (without GREASE), not {other}")),
    }
}

fn with_hello(ctx: &Ctx<'_>, then: impl FnOnce(&ClientHello<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
    match tls(ctx).and_then(|tls| tls.hello.as_deref()).map(Hello::read) {
        Some(Hello::Whole(hello)) => then(&hello),
        _ => ControlFlow::Continue(()),
    }
}

/// RFC 8701 §2: both bytes alike, each ending in A.
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn kept(values: impl Iterator<Item = u16>, args: &[Value]) -> impl Iterator<Item = u16> {
    let filter = Value::int(args, 0) == Some(1);
    values.filter(move |value| !filter || !is_grease(*value))
}

fn numbers(
    ctx: &Ctx<'_>,
    args: &[Value],
    visit: &mut Visit<'_>,
    of: impl FnOnce(&ClientHello<'_>, &mut Vec<u16>),
) -> ControlFlow<()> {
    with_hello(ctx, |hello| {
        let mut found = Vec::new();
        of(hello, &mut found);
        let bytes: Vec<u8> = kept(found.into_iter(), args).flat_map(u16::to_be_bytes).collect();
        give((!bytes.is_empty()).then_some(Sample::Bin(&bytes)), visit)
    })
}

fn text(ctx: &Ctx<'_>, visit: &mut Visit<'_>, of: impl FnOnce(&ClientHello<'_>, &mut String)) -> ControlFlow<()> {
    with_hello(ctx, |hello| {
        let mut out = String::new();
        of(hello, &mut out);
        visit(Sample::Str(out.as_bytes()))
    })
}

/// OpenSSL's names of the cipher suites that clients offer, by number (IANA, TLS Cipher Suites).
const SUITES: &[(u16, &str)] = &[
    (0x0005, "RC4-SHA"),
    (0x000a, "DES-CBC3-SHA"),
    (0x0033, "DHE-RSA-AES128-SHA"),
    (0x0035, "AES256-SHA"),
    (0x0039, "DHE-RSA-AES256-SHA"),
    (0x003c, "AES128-SHA256"),
    (0x003d, "AES256-SHA256"),
    (0x0067, "DHE-RSA-AES128-SHA256"),
    (0x006b, "DHE-RSA-AES256-SHA256"),
    (0x009c, "AES128-GCM-SHA256"),
    (0x009d, "AES256-GCM-SHA384"),
    (0x009e, "DHE-RSA-AES128-GCM-SHA256"),
    (0x009f, "DHE-RSA-AES256-GCM-SHA384"),
    (0x00ff, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"),
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0x1304, "TLS_AES_128_CCM_SHA256"),
    (0x1305, "TLS_AES_128_CCM_8_SHA256"),
    (0x5600, "TLS_FALLBACK_SCSV"),
    (0xc009, "ECDHE-ECDSA-AES128-SHA"),
    (0xc00a, "ECDHE-ECDSA-AES256-SHA"),
    (0xc013, "ECDHE-RSA-AES128-SHA"),
    (0xc014, "ECDHE-RSA-AES256-SHA"),
    (0xc023, "ECDHE-ECDSA-AES128-SHA256"),
    (0xc024, "ECDHE-ECDSA-AES256-SHA384"),
    (0xc027, "ECDHE-RSA-AES128-SHA256"),
    (0xc028, "ECDHE-RSA-AES256-SHA384"),
    (0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"),
    (0xc030, "ECDHE-RSA-AES256-GCM-SHA384"),
    (0xcca8, "ECDHE-RSA-CHACHA20-POLY1305"),
    (0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (0xccaa, "DHE-RSA-CHACHA20-POLY1305"),
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ctx::Phase;
    use crate::fetch::TlsFacts;
    use crate::fetch::hello::tests::client_hello;
    use crate::testing::{REQUEST, refused, scene, show};

    #[test]
    fn names_are_in_order() {
        assert!(SUITES.is_sorted_by_key(|(suite, _)| *suite));
    }

    #[test]
    fn what_was_offered_is_told_when_it_was_kept() {
        let mut scene = scene(REQUEST);
        let hello = client_hello(Some("www.example.com"), &["h2"]);
        let Hello::Whole(read) = Hello::read(&hello) else { panic!("whole") };
        let (ja4, suite) = (ja4(&read), read.cipher_suites().next());
        scene.session.tls = Some(Arc::new(TlsFacts::default()));
        for text in ["ssl_fc_cipherlist_hex", "ssl_fc_ja4", "ssl_fc_protocol_hello_id", "ssl_fc_extlist_bin"] {
            assert_eq!(show(&mut scene, Phase::Hello, text), "-", "{text}");
        }
        scene.session.tls = Some(Arc::new(TlsFacts { hello: Some(hello.into()), ..TlsFacts::default() }));
        assert_eq!(suite, Some(0x1301));
        for (text, expected) in [
            ("ssl_fc_cipherlist_hex", "1301"),
            ("ssl_fc_cipherlist_hex(1)", "1301"),
            ("ssl_fc_cipherlist_bin", "1301"),
            ("ssl_fc_cipherlist_str", "TLS_AES_128_GCM_SHA256"),
            ("ssl_fc_protocol_hello_id", "771"),
            ("ssl_fc_ja4", &ja4),
        ] {
            assert_eq!(show(&mut scene, Phase::Hello, text), expected, "{text}");
        }
        let random = show(&mut scene, Phase::Hello, "ssl_fc_client_random");
        assert_eq!(random.len(), 64, "{random}");
        assert!(refused("ssl_fc_extlist_bin(2)"));
    }

    #[test]
    fn grease_has_a_shape() {
        assert!(is_grease(0x0a0a) && is_grease(0xfafa));
        assert!(!is_grease(0x1301) && !is_grease(0x0a1a) && !is_grease(0x0b0b));
    }
}
