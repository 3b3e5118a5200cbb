//! Fetches of TLS connections: the facts they tell, and the client's handshake (`ssl_fc_*`).
//!
//! The facts are plain data, gathered once by whoever ends or begins TLS; nothing here parses a certificate. Certificates
//! are told by `cert`, what the ClientHello offered by `offer`, the connection to the server by `server`. Without TLS
//! `ssl_fc` and its kin are false and all else is undefined, as in HAProxy. Session keys, the server's random and
//! `ssl_fc_unique_id` are not told: the TLS library keeps them to itself.

use std::sync::Arc;

use crate::ctx::Ctx;
use crate::fetch::{SINCE_HELLO, fetch_table, give};
use crate::sample::Sample;

pub(super) mod cert;
pub(super) mod offer;
pub(super) mod server;

/// What a TLS handshake came to, of a client connection or of one to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`.
    pub protocol: &'static str,
    /// The name of the cipher suite, as OpenSSL has it.
    pub cipher: &'static str,
    /// Bits of the key of the cipher.
    pub key_bits: u32,
    /// The group of the key exchange: `X25519`, `prime256v1`.
    pub group: &'static str,
    /// The name the client asked for; of a connection to a server, the name that was sent.
    pub sni: Option<Box<str>>,
    /// The protocol agreed on.
    pub alpn: Option<Box<[u8]>>,
    /// The session id of the ClientHello; empty when not known.
    pub session_id: Box<[u8]>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// Whether the request came as early data and the handshake is not over.
    pub early: bool,
    /// Whether the peer sent a certificate in this very handshake.
    pub sent_certificate: bool,
    /// Error of the verification of the peer's certificate, by OpenSSL's number; 0: none.
    pub verify_error: u32,
    /// The same of a certificate above it.
    pub ca_error: u32,
    /// Depth at which [`ca_error`](TlsFacts::ca_error) was met.
    pub ca_error_depth: u32,
    /// What the verification came to as a whole: its last error, as OpenSSL counts; 0: none.
    pub verify_result: u32,
    /// Last error of the handshake, by OpenSSL's number; 0: none.
    pub error: u64,
    /// The same in words; empty: none.
    pub error_text: Box<str>,
    /// The peer's certificate, of this handshake or of the one that was resumed.
    pub peer: Option<Arc<CertFacts>>,
    /// The peer's chain as it was sent, its own certificate first, one DER after the other.
    pub peer_chain: Box<[u8]>,
    /// The issuer of the last certificate of that chain.
    pub peer_root: Option<Box<Dn>>,
    /// The certificate this side showed.
    pub own: Option<Arc<CertFacts>>,
    /// The client's first flight, when it is kept (`tune.ssl.capture-buffer-size`).
    pub hello: Option<Box<[u8]>>,
}

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertFacts {
    /// Where it was read from; empty when it was received.
    pub file: Box<str>,
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
    /// Bits of the key, 0 when not known.
    pub key_bits: u32,
    /// `RSA-SHA256`, `ecdsa-with-SHA256`.
    pub sig_alg: Box<str>,
    /// Whose it is.
    pub subject: Dn,
    /// Who signed it.
    pub issuer: Dn,
    /// Its subject alternative names, as OpenSSL prints them: `DNS:a.example, IP Address:10.0.0.1`.
    pub san: Box<str>,
    /// The object identifiers of its policies, separated by commas.
    pub policies: Box<str>,
}

/// A distinguished name: `CN`, `OU` and their values, in the order of the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dn(pub Vec<(Box<str>, Box<str>)>);

impl Dn {
    /// Reads `/C=FR/CN=x`, the form in which `ssl_c_s_dn` tells a name. A `/` that begins no `NAME=` belongs to the value
    /// before it.
    ///
    /// # Errors
    /// It does not begin with `/NAME=`.
    pub fn parse(text: &str) -> Result<Dn, String> {
        let mut entries: Vec<(Box<str>, Box<str>)> = Vec::new();
        let rest = text.strip_prefix('/').ok_or_else(|| format!("`{text}` is no name such as /C=FR/CN=x"))?;
        for part in rest.split('/') {
            let named = part
                .split_once('=')
                .filter(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'));
            match (named, entries.last_mut()) {
                (Some((name, value)), _) => entries.push((name.into(), value.into())),
                (None, Some((_, value))) => *value = format!("{value}/{part}").into(),
                (None, None) => return Err(format!("`{part}` has no `=`: write a name as /C=FR/CN=x")),
            }
        }
        Ok(Dn(entries))
    }

    /// The value of the last entry of that name, as the most particular one.
    pub fn last(&self, entry: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| **name == *entry).map(|(_, value)| &**value)
    }
}

fetch_table! {
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
    "ssl_fc_crtname" "ssl_fc_crtname" [] Str First SINCE_HELLO
        |ctx, _, visit| give(
            tls(ctx).and_then(|tls| tls.own.as_ref()).filter(|own| !own.file.is_empty())
                .map(|own| Sample::Str(own.file.as_bytes())),
            visit,
        ),
        "The file of the certificate that the client was shown.", "ssl_fc_crtname -m end site.pem";
    "ssl_fc_curve" "ssl_fc_curve" [] Str First SINCE_HELLO
        |ctx, _, visit| give(
            tls(ctx).filter(|tls| !tls.group.is_empty()).map(|tls| Sample::Str(tls.group.as_bytes())),
            visit,
        ),
        "The group of the key exchange with the client.", "ssl_fc_curve X25519MLKEM768";
    "ssl_fc_err" "ssl_fc_err" [] Int First SINCE_HELLO
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.error as i64)), visit),
        "The last error of the TLS handshake, by OpenSSL's number; 0: none.", "ssl_fc_err 0";
    "ssl_fc_err_str" "ssl_fc_err_str" [] Str First SINCE_HELLO
        |ctx, _, visit| give(
            tls(ctx).filter(|tls| tls.error != 0).map(|tls| Sample::Str(tls.error_text.as_bytes())),
            visit,
        ),
        "The last error of the TLS handshake in words.", "ssl_fc_err_str -m found";
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
        |ctx, _, visit| give(
            tls(ctx).filter(|tls| !tls.session_id.is_empty()).map(|tls| Sample::Bin(&tls.session_id)),
            visit,
        ),
        "The session id in the client's ClientHello; TLS 1.3 gives it no meaning.", "ssl_fc_session_id -m found";
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
            protocol: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            key_bits: 128,
            sni: Some("www.example.com".into()),
            alpn: Some(b"h2".as_slice().into()),
            session_id: [1, 2].into(),
            sent_certificate: true,
            ca_error: 20,
            ca_error_depth: 1,
            verify_result: 20,
            peer: Some(Arc::new(CertFacts {
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
