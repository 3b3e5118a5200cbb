//! Fetches of the client's TLS connection and of the client's certificate.
//!
//! The facts are plain data, gathered once by whoever ends TLS; nothing here parses a certificate. Without TLS `ssl_fc` and
//! its kin are false and all else is undefined, as in HAProxy.

use std::ops::ControlFlow;

use crate::ctx::Ctx;
use crate::fetch::{SINCE_HELLO, Visit, fetch_table, give};
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

/// What the TLS handshake of a client connection came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`.
    pub protocol: Box<str>,
    /// The name of the cipher suite, as OpenSSL has it.
    pub cipher: Box<str>,
    /// Bits of the key of the cipher.
    pub key_bits: u32,
    /// The name the client asked for.
    pub sni: Option<Box<str>>,
    /// The protocol agreed on.
    pub alpn: Option<Box<[u8]>>,
    /// The session id.
    pub session_id: Box<[u8]>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// Whether the request came as early data and the handshake is not over.
    pub early: bool,
    /// Whether the client sent a certificate in this very handshake.
    pub sent_certificate: bool,
    /// Error of the verification of the client's certificate, by OpenSSL's number; 0: none.
    pub verify_error: u32,
    /// The same of a certificate above it.
    pub ca_error: u32,
    /// Depth at which [`ca_error`](TlsFacts::ca_error) was met.
    pub ca_error_depth: u32,
    /// Last error of the handshake, by OpenSSL's number; 0: none.
    pub error: u64,
    /// The client's certificate, of this handshake or of the one that was resumed.
    pub client: Option<Box<CertFacts>>,
}

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertFacts {
    /// The certificate itself.
    pub der: Box<[u8]>,
    /// SHA-1 of the certificate.
    pub sha1: [u8; 20],
    /// Serial number, big-endian.
    pub serial: Box<[u8]>,
    /// Version, from 1.
    pub version: u8,
    /// First moment of its validity, `YYMMDDhhmmssZ`.
    pub not_before: Box<str>,
    /// Last moment of its validity, `YYMMDDhhmmssZ`.
    pub not_after: Box<str>,
    /// `rsaEncryption`, `id-ecPublicKey`.
    pub key_alg: Box<str>,
    /// `RSA-SHA256`, `ecdsa-with-SHA256`.
    pub sig_alg: Box<str>,
    /// Whose it is.
    pub subject: Dn,
    /// Who signed it.
    pub issuer: Dn,
}

/// A distinguished name: `CN`, `OU` and their values, in the order of the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dn(pub Vec<(Box<str>, Box<str>)>);

const DN: &[&str] = &["rfc2253"];

fetch_table! {
    "ssl_c_ca_err" "ssl_c_ca_err" [] Int First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.ca_error.into())), visit),
        "The first error in verifying a certificate above the client's, by OpenSSL's number; 0: none.", "ssl_c_ca_err 0";
    "ssl_c_ca_err_depth" "ssl_c_ca_err_depth" [] Int First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.ca_error_depth.into())), visit),
        "How far above the client's certificate the error of `ssl_c_ca_err` was met.", "ssl_c_ca_err_depth gt 1";
    "ssl_c_der" "ssl_c_der" [] Bin First SINCE_HELLO
        |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Bin(&cert.der)), visit),
        "The client's certificate in DER.", "ssl_c_der -m found";
    "ssl_c_err" "ssl_c_err" [] Int First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.verify_error.into())), visit),
        "The first error in verifying the client's own certificate, by OpenSSL's number; 0: none.", "ssl_c_err 0";
    "ssl_c_i_dn" "ssl_c_i_dn([<entry>[,<occ>[,<format>]]])"
        [Arg::maybe("entry", ArgKind::Str), Arg::maybe("occ", ArgKind::Int), Arg::maybe("format", ArgKind::Word(DN))]
        Str First SINCE_HELLO |ctx, args, visit| dn(ctx, cert(ctx).map(|cert| &cert.issuer), args, visit), prepare check_dn,
        "The name of who signed the client's certificate: whole, as `/C=FR/CN=x` or in the format `rfc2253`, or one entry \
         of it, counted from 1 or from the last when negative.", "ssl_c_i_dn(CN) ca.example";
    "ssl_c_key_alg" "ssl_c_key_alg" [] Str First SINCE_HELLO
        |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Str(cert.key_alg.as_bytes())), visit),
        "The algorithm of the key of the client's certificate.", "ssl_c_key_alg rsaEncryption";
    "ssl_c_notafter" "ssl_c_notafter" [] Str First SINCE_HELLO
        |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Str(cert.not_after.as_bytes())), visit),
        "When the client's certificate ends, as `YYMMDDhhmmssZ`.", "ssl_c_notafter -m beg 26";
    "ssl_c_notbefore" "ssl_c_notbefore" [] Str First SINCE_HELLO
        |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Str(cert.not_before.as_bytes())), visit),
        "When the client's certificate begins, as `YYMMDDhhmmssZ`.", "ssl_c_notbefore -m beg 26";
    "ssl_c_s_dn" "ssl_c_s_dn([<entry>[,<occ>[,<format>]]])"
        [Arg::maybe("entry", ArgKind::Str), Arg::maybe("occ", ArgKind::Int), Arg::maybe("format", ArgKind::Word(DN))]
        Str First SINCE_HELLO |ctx, args, visit| dn(ctx, cert(ctx).map(|cert| &cert.subject), args, visit), prepare check_dn,
        "The name in the client's certificate, whole or one entry of it, as in `ssl_c_i_dn`.", "ssl_c_s_dn(OU,1) ops";
    "ssl_c_serial" "ssl_c_serial" [] Bin First SINCE_HELLO
        |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Bin(&cert.serial)), visit),
        "The serial number of the client's certificate.", "ssl_c_serial -m found";
    "ssl_c_sha1" "ssl_c_sha1" [] Bin First SINCE_HELLO
        |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Bin(&cert.sha1)), visit),
        "The SHA-1 fingerprint of the client's certificate.", "ssl_c_sha1 -m found";
    "ssl_c_sig_alg" "ssl_c_sig_alg" [] Str First SINCE_HELLO
        |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Str(cert.sig_alg.as_bytes())), visit),
        "The algorithm that signed the client's certificate.", "ssl_c_sig_alg RSA-SHA256";
    "ssl_c_used" "ssl_c_used" [] Bool First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Bool(tls.client.is_some())), visit),
        "Whether the TLS session has a client certificate, a resumed one included.", "ssl_c_used";
    "ssl_c_verify" "ssl_c_verify" [] Int First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| {
            Sample::Int(if tls.verify_error == 0 { tls.ca_error } else { tls.verify_error }.into())
        }), visit),
        "What verifying the client's certificate came to, by OpenSSL's number; 0: no error.", "ssl_c_verify 0";
    "ssl_c_version" "ssl_c_version" [] Int First SINCE_HELLO
        |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Int(cert.version.into())), visit),
        "The version of the client's certificate.", "ssl_c_version 3";
    "ssl_fc" "ssl_fc" [] Bool First SINCE_HELLO |ctx, _, visit| visit(Sample::Bool(tls(ctx).is_some())),
        "Whether the client connection has TLS that ends here.", "ssl_fc";
    "ssl_fc_alg_keysize" "ssl_fc_alg_keysize" [] Int First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.key_bits.into())), visit),
        "Bits of the key that the cipher of the client connection can use.", "ssl_fc_alg_keysize ge 128";
    "ssl_fc_alpn" "ssl_fc_alpn" [] Str First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).and_then(|tls| tls.alpn.as_deref()).map(Sample::Str), visit),
        "The protocol agreed on by ALPN.", "ssl_fc_alpn h2";
    "ssl_fc_cipher" "ssl_fc_cipher" [] Str First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Str(tls.cipher.as_bytes())), visit),
        "The name of the cipher suite of the client connection.", "ssl_fc_cipher TLS_AES_128_GCM_SHA256";
    "ssl_fc_err" "ssl_fc_err" [] Int First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.error as i64)), visit),
        "The last error of the TLS handshake, by OpenSSL's number; 0: none.", "ssl_fc_err 0";
    "ssl_fc_has_crt" "ssl_fc_has_crt" [] Bool First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Bool(tls.sent_certificate)), visit),
        "Whether the client sent a certificate in this handshake; false on a resumed session, see `ssl_c_used`.",
        "ssl_fc_has_crt";
    "ssl_fc_has_early" "ssl_fc_has_early" [] Bool First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Bool(tls.early)), visit),
        "Whether the request came as early data and the handshake is not over: it may be a replay.", "ssl_fc_has_early";
    "ssl_fc_has_sni" "ssl_fc_has_sni" [] Bool First SINCE_HELLO
        |ctx, _, visit| visit(Sample::Bool(tls(ctx).is_some_and(|tls| tls.sni.is_some()))),
        "Whether the client asked for a name in its TLS handshake.", "ssl_fc_has_sni";
    "ssl_fc_is_resumed" "ssl_fc_is_resumed" [] Bool First SINCE_HELLO
        |ctx, _, visit| visit(Sample::Bool(tls(ctx).is_some_and(|tls| tls.resumed))),
        "Whether the TLS session of the client connection resumed an earlier one.", "ssl_fc_is_resumed";
    "ssl_fc_protocol" "ssl_fc_protocol" [] Str First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Str(tls.protocol.as_bytes())), visit),
        "The TLS version of the client connection.", "ssl_fc_protocol TLSv1.2 TLSv1.3";
    "ssl_fc_session_id" "ssl_fc_session_id" [] Bin First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Bin(&tls.session_id)), visit),
        "The TLS session id of the client connection.", "ssl_fc_session_id -m found";
    "ssl_fc_sni" "ssl_fc_sni" [] Str First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).and_then(|tls| tls.sni.as_deref()).map(|sni| Sample::Str(sni.as_bytes())), visit),
        "The name the client asked for in its TLS handshake. Route HTTP by the Host header: one connection carries requests \
         for several names.", "ssl_fc_sni www.example.com";
    "ssl_fc_use_keysize" "ssl_fc_use_keysize" [] Int First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.key_bits.into())), visit),
        "Bits of the key that the cipher of the client connection uses.", "ssl_fc_use_keysize ge 128";
}

fn tls<'c>(ctx: &'c Ctx<'_>) -> Option<&'c TlsFacts> {
    ctx.session.tls.as_deref()
}

fn cert<'c>(ctx: &'c Ctx<'_>) -> Option<&'c CertFacts> {
    tls(ctx)?.client.as_deref()
}

/// A whole name is never compared by its first entry, so that an occurrence alone means nothing.
fn check_dn(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    match (args.first(), args.get(1), args.get(2)) {
        (Some(Value::Str(_)), _, Some(Value::Str(_))) => Err("a format is of the whole name, not of one entry".into()),
        (Some(Value::None), Some(Value::Int(occ)), _) if *occ != 0 => Err("an occurrence needs an entry".into()),
        _ => Ok(()),
    }
}

fn dn(ctx: &Ctx<'_>, name: Option<&Dn>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(Dn(entries)) = name else { return ControlFlow::Continue(()) };
    if let Some(Value::Str(wanted)) = args.first() {
        let mut values = entries.iter().filter(|(name, _)| name.as_bytes() == &**wanted).map(|(_, value)| value);
        let found = match Value::int(args, 1).unwrap_or(0) {
            occ if occ < 0 => usize::try_from(occ.unsigned_abs() - 1).ok().and_then(|at| values.nth_back(at)),
            occ => usize::try_from((occ - 1).max(0)).ok().and_then(|at| values.nth(at)),
        };
        return give(found.map(|value| Sample::Str(value.as_bytes())), visit);
    }
    ctx.buffers.with(|out| {
        if matches!(args.get(2), Some(Value::Str(_))) {
            // RFC 2253, 2.1: from the last entry to the first.
            for (at, (name, value)) in entries.iter().rev().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(name.as_bytes());
                out.push(b'=');
                escape(value.as_bytes(), out);
            }
        } else {
            for (name, value) in entries {
                for part in ["/", name, "=", value] {
                    out.extend_from_slice(part.as_bytes());
                }
            }
        }
        visit(Sample::Str(out))
    })
}

/// RFC 2253, 2.4.
fn escape(value: &[u8], out: &mut Vec<u8>) {
    for (at, &byte) in value.iter().enumerate() {
        let edge = at == 0 || at + 1 == value.len();
        if b",+\"\\<>;".contains(&byte) || (byte == b'#' && at == 0) || (byte == b' ' && edge) {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::Phase;
    use crate::testing::{REQUEST, refused, scene, show};

    fn name(entries: &[(&str, &str)]) -> Dn {
        Dn(entries.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn without_tls_the_answers_are_those_of_haproxy() {
        let mut scene = scene(REQUEST);
        for (text, expected) in [
            ("ssl_fc", "0"),
            ("ssl_fc_has_sni", "0"),
            ("ssl_fc_is_resumed", "0"),
            ("ssl_fc_err", "-"),
            ("ssl_fc_has_crt", "-"),
            ("ssl_fc_has_early", "-"),
            ("ssl_c_used", "-"),
            ("ssl_c_verify", "-"),
            ("ssl_fc_alpn", "-"),
            ("ssl_c_s_dn(CN)", "-"),
        ] {
            assert_eq!(show(&mut scene, Phase::Hello, text), expected, "{text}");
        }
    }

    #[test]
    fn facts_and_names_are_told() {
        let mut scene = scene(REQUEST);
        scene.session.tls = Some(std::sync::Arc::new(TlsFacts {
            protocol: "TLSv1.3".into(),
            cipher: "TLS_AES_128_GCM_SHA256".into(),
            key_bits: 128,
            sni: Some("www.example.com".into()),
            alpn: Some(b"h2".as_slice().into()),
            session_id: [1, 2].into(),
            sent_certificate: true,
            ca_error: 20,
            ca_error_depth: 1,
            client: Some(Box::new(CertFacts {
                serial: [0x0a, 0xff].into(),
                version: 3,
                not_after: "270101000000Z".into(),
                subject: name(&[("C", "FR"), ("OU", "a"), ("OU", "b"), ("CN", "Doe, J")]),
                issuer: name(&[("CN", "ca")]),
                ..CertFacts::default()
            })),
            ..TlsFacts::default()
        }));
        for (text, expected) in [
            ("ssl_fc", "1"),
            ("ssl_fc_sni", "www.example.com"),
            ("ssl_fc_has_sni", "1"),
            ("ssl_fc_alpn", "h2"),
            ("ssl_fc_protocol", "TLSv1.3"),
            ("ssl_fc_use_keysize", "128"),
            ("ssl_fc_session_id", "0102"),
            ("ssl_fc_has_crt", "1"),
            ("ssl_c_used", "1"),
            ("ssl_c_err", "0"),
            ("ssl_c_verify", "20"),
            ("ssl_c_ca_err_depth", "1"),
            ("ssl_c_serial", "0AFF"),
            ("ssl_c_notafter", "270101000000Z"),
            ("ssl_c_s_dn", "/C=FR/OU=a/OU=b/CN=Doe, J"),
            ("ssl_c_s_dn(OU)", "a"),
            ("ssl_c_s_dn(OU,2)", "b"),
            ("ssl_c_s_dn(OU,3)", "-"),
            ("ssl_c_s_dn(OU,-1)", "b"),
            ("ssl_c_s_dn(OU,-3)", "-"),
            ("ssl_c_s_dn(,0,rfc2253)", "CN=Doe\\, J,OU=b,OU=a,C=FR"),
            ("ssl_c_i_dn(CN)", "ca"),
        ] {
            assert_eq!(show(&mut scene, Phase::Request, text), expected, "{text}");
        }
        assert!(refused("ssl_c_s_dn(CN,1,rfc2253)") && refused("ssl_c_s_dn(,2)") && refused("ssl_c_s_dn(,0,x)"));
    }
}
