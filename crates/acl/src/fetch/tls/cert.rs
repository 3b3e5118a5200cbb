//! Fetches of certificates: the client's (`ssl_c_*`), the one this side shows to clients (`ssl_f_*`), a server's (`ssl_s_*`).
//!
//! What can be asked of every certificate is written once; [`client`] adds what only verifying a client gives.

use std::ops::ControlFlow;

use crate::ctx::Ctx;
use crate::fetch::{Visit, give};
use crate::library::Env;
use crate::sample::Sample;
use crate::value::Value;

use super::Dn;

const DN: &[&str] = &["rfc2253"];

/// The table of a module for one certificate: its prefix, whose it is, how it is reached, since when it is known.
macro_rules! certificate {
    ($module:ident, $prefix:literal, $whose:literal, $phases:ident, $cert:expr) => {
        pub(in crate::fetch) mod $module {
            use crate::ctx::Ctx;
            use crate::fetch::{Fetch, Pick, Run, give, $phases};
            use crate::sample::{Sample, Type};
            use crate::value::{Arg, ArgKind};

            use super::super::CertFacts;
            use super::{DN, check_dn, dn};

            const NAME: &[Arg] = &[
                Arg::maybe("entry", ArgKind::Str),
                Arg::maybe("occ", ArgKind::Int),
                Arg::maybe("format", ArgKind::Word(DN)),
            ];

            fn cert<'c>(ctx: &'c Ctx<'_>) -> Option<&'c CertFacts> {
                let cert: for<'a> fn(&'a Ctx<'_>) -> Option<&'a CertFacts> = $cert;
                cert(ctx)
            }

            const fn plain(
                name: &'static str,
                output: Type,
                run: Run,
                doc: &'static str,
                example: &'static str,
            ) -> Fetch {
                let (pick, phases) = (Pick::First, $phases);
                Fetch {
                    name,
                    syntax: name,
                    args: &[],
                    output,
                    pick,
                    phases,
                    doc,
                    example,
                    prepare: None,
                    run,
                    single: None,
                }
            }

            const fn name(
                name: &'static str,
                syntax: &'static str,
                run: Run,
                doc: &'static str,
                example: &'static str,
            ) -> Fetch {
                Fetch { syntax, args: NAME, prepare: Some(check_dn), ..plain(name, Type::Str, run, doc, example) }
            }

            pub(in crate::fetch) static TABLE: &[Fetch] = &[
                plain(
                    concat!($prefix, "_der"),
                    Type::Bin,
                    |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Bin(&cert.der)), visit),
                    concat!($whose, " certificate in DER."),
                    concat!($prefix, "_der -m found"),
                ),
                name(
                    concat!($prefix, "_i_dn"),
                    concat!($prefix, "_i_dn([<entry>[,<occ>[,<format>]]])"),
                    |ctx, args, visit| dn(ctx, cert(ctx).map(|cert| &cert.issuer), args, visit),
                    concat!(
                        "The name of who signed ",
                        $whose,
                        " certificate: whole, as `/C=FR/CN=x` or in the format \
                         `rfc2253`, or one entry of it, counted from 1 or from the last when negative."
                    ),
                    concat!($prefix, "_i_dn(CN) ca.example"),
                ),
                plain(
                    concat!($prefix, "_key_alg"),
                    Type::Str,
                    |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Str(cert.key_alg.as_bytes())), visit),
                    concat!("The algorithm of the key of ", $whose, " certificate."),
                    concat!($prefix, "_key_alg rsaEncryption"),
                ),
                plain(
                    concat!($prefix, "_notafter"),
                    Type::Str,
                    |ctx, _, visit| {
                        // One of another century has no such form.
                        let cert = cert(ctx).filter(|cert| !cert.not_after.is_empty());
                        give(cert.map(|cert| Sample::Str(cert.not_after.as_bytes())), visit)
                    },
                    concat!("When ", $whose, " certificate ends, as `YYMMDDhhmmssZ`."),
                    concat!($prefix, "_notafter -m beg 26"),
                ),
                plain(
                    concat!($prefix, "_notbefore"),
                    Type::Str,
                    |ctx, _, visit| {
                        // One of another century has no such form.
                        let cert = cert(ctx).filter(|cert| !cert.not_before.is_empty());
                        give(cert.map(|cert| Sample::Str(cert.not_before.as_bytes())), visit)
                    },
                    concat!("When ", $whose, " certificate begins, as `YYMMDDhhmmssZ`."),
                    concat!($prefix, "_notbefore -m beg 26"),
                ),
                plain(
                    concat!($prefix, "_policies"),
                    Type::Str,
                    |ctx, _, visit| {
                        let cert = cert(ctx).filter(|cert| !cert.policies.is_empty());
                        give(cert.map(|cert| Sample::Str(cert.policies.as_bytes())), visit)
                    },
                    concat!("The object identifiers of the policies in ", $whose, " certificate, separated by commas."),
                    concat!($prefix, "_policies -m sub 2.23.140.1.2.1"),
                ),
                name(
                    concat!($prefix, "_s_dn"),
                    concat!($prefix, "_s_dn([<entry>[,<occ>[,<format>]]])"),
                    |ctx, args, visit| dn(ctx, cert(ctx).map(|cert| &cert.subject), args, visit),
                    concat!(
                        "The name in ",
                        $whose,
                        " certificate, whole or one entry of it, as in `",
                        $prefix,
                        "_i_dn`."
                    ),
                    concat!($prefix, "_s_dn(OU,1) ops"),
                ),
                plain(
                    concat!($prefix, "_san"),
                    Type::Str,
                    |ctx, _, visit| {
                        let cert = cert(ctx).filter(|cert| !cert.san.is_empty());
                        give(cert.map(|cert| Sample::Str(cert.san.as_bytes())), visit)
                    },
                    concat!(
                        "The alternative names in ",
                        $whose,
                        " certificate, each with its kind: `DNS:a.example, IP Address:10.0.0.1`."
                    ),
                    concat!($prefix, "_san -m sub DNS:a.example"),
                ),
                plain(
                    concat!($prefix, "_serial"),
                    Type::Bin,
                    |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Bin(&cert.serial)), visit),
                    concat!("The serial number of ", $whose, " certificate."),
                    concat!($prefix, "_serial -m found"),
                ),
                plain(
                    concat!($prefix, "_sha1"),
                    Type::Bin,
                    |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Bin(&cert.sha1)), visit),
                    concat!("The SHA-1 fingerprint of ", $whose, " certificate."),
                    concat!($prefix, "_sha1 -m found"),
                ),
                plain(
                    concat!($prefix, "_sig_alg"),
                    Type::Str,
                    |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Str(cert.sig_alg.as_bytes())), visit),
                    concat!("The algorithm that signed ", $whose, " certificate."),
                    concat!($prefix, "_sig_alg RSA-SHA256"),
                ),
                plain(
                    concat!($prefix, "_version"),
                    Type::Int,
                    |ctx, _, visit| give(cert(ctx).map(|cert| Sample::Int(cert.version.into())), visit),
                    concat!("The version of ", $whose, " certificate."),
                    concat!($prefix, "_version 3"),
                ),
            ];
        }
    };
}

certificate!(of_client, "ssl_c", "the client's", SINCE_HELLO, |ctx| ctx.session.tls.as_deref()?.peer.as_deref());
certificate!(of_frontend, "ssl_f", "the frontend's", SINCE_HELLO, |ctx| ctx.session.tls.as_deref()?.own.as_deref());
certificate!(of_server, "ssl_s", "the server's", SINCE_SERVER, |ctx| ctx.progress.server_tls?.peer.as_deref());

/// What verifying a client's certificate came to, and its chain.
pub(in crate::fetch) mod client {
    use crate::fetch::{SINCE_HELLO, fetch_table, give};
    use crate::sample::Sample;
    use crate::value::{Arg, ArgKind};

    use super::super::tls;
    use super::{DN, check_dn, dn};

    fetch_table! {
        "ssl_c_ca_err" "ssl_c_ca_err" [] Int First SINCE_HELLO
            |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.ca_error.into())), visit),
            "The first error in verifying a certificate above the client's, by OpenSSL's number; 0: none.",
            "ssl_c_ca_err 0";
        "ssl_c_ca_err_depth" "ssl_c_ca_err_depth" [] Int First SINCE_HELLO
            |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.ca_error_depth.into())), visit),
            "How far above the client's certificate the error of `ssl_c_ca_err` was met.", "ssl_c_ca_err_depth gt 1";
        "ssl_c_chain_der" "ssl_c_chain_der" [] Bin First SINCE_HELLO
            |ctx, _, visit| give(
                tls(ctx).filter(|tls| !tls.peer_chain.is_empty()).map(|tls| Sample::Bin(&tls.peer_chain)),
                visit,
            ),
            "The certificates that the client sent, its own first, in DER one after the other.", "ssl_c_chain_der -m found";
        "ssl_c_err" "ssl_c_err" [] Int First SINCE_HELLO
            |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.verify_error.into())), visit),
            "The first error in verifying the client's own certificate, by OpenSSL's number; 0: none.", "ssl_c_err 0";
        "ssl_c_r_dn" "ssl_c_r_dn([<entry>[,<occ>[,<format>]]])"
            [Arg::maybe("entry", ArgKind::Str), Arg::maybe("occ", ArgKind::Int), Arg::maybe("format", ArgKind::Word(DN))]
            Str First SINCE_HELLO
            |ctx, args, visit| dn(ctx, tls(ctx).and_then(|tls| tls.peer_root.as_deref()), args, visit), prepare check_dn,
            "The name of the root above the client's certificate, whole or one entry of it, as in `ssl_c_i_dn`.",
            "ssl_c_r_dn(CN) root.example";
        "ssl_c_used" "ssl_c_used" [] Bool First SINCE_HELLO
            |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Bool(tls.peer.is_some())), visit),
            "Whether the TLS session has a client certificate, a resumed one included.", "ssl_c_used";
        "ssl_c_verify" "ssl_c_verify" [] Int First SINCE_HELLO
            |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.verify_result.into())), visit),
            "What verifying the client's certificate came to, by OpenSSL's number; 0: no error.", "ssl_c_verify 0";
    }
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
