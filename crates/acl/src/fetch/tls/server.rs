//! Fetches of the TLS connection to the server (`ssl_bc_*`); its certificate is told by `ssl_s_*`.

use crate::ctx::Ctx;
use crate::fetch::{SINCE_SERVER, fetch_table, give};
use crate::sample::Sample;

use super::TlsFacts;

fetch_table! {
    "ssl_bc" "ssl_bc" [] Bool First SINCE_SERVER |ctx, _, visit| visit(Sample::Bool(tls(ctx).is_some())),
        "Whether the connection to the server has TLS.", "ssl_bc";
    "ssl_bc_alg_keysize" "ssl_bc_alg_keysize" [] Int First SINCE_SERVER
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.key_bits.into())), visit),
        "Bits of the key that the cipher of the connection to the server can use.", "ssl_bc_alg_keysize ge 128";
    "ssl_bc_alpn" "ssl_bc_alpn" [] Str First SINCE_SERVER
        |ctx, _, visit| give(tls(ctx).and_then(|tls| tls.alpn.as_deref()).map(Sample::Str), visit),
        "The protocol agreed on with the server by ALPN.", "ssl_bc_alpn h2";
    "ssl_bc_cipher" "ssl_bc_cipher" [] Str First SINCE_SERVER
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Str(tls.cipher.as_bytes())), visit),
        "The name of the cipher suite of the connection to the server.", "ssl_bc_cipher TLS_AES_128_GCM_SHA256";
    "ssl_bc_curve" "ssl_bc_curve" [] Str First SINCE_SERVER
        |ctx, _, visit| give(
            tls(ctx).filter(|tls| !tls.group.is_empty()).map(|tls| Sample::Str(tls.group.as_bytes())),
            visit,
        ),
        "The group of the key exchange with the server.", "ssl_bc_curve X25519";
    "ssl_bc_err" "ssl_bc_err" [] Int First SINCE_SERVER
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.error as i64)), visit),
        "The last error of TLS with the server, by OpenSSL's number; 0: none.", "ssl_bc_err 0";
    "ssl_bc_err_str" "ssl_bc_err_str" [] Str First SINCE_SERVER
        |ctx, _, visit| give(
            tls(ctx).filter(|tls| tls.error != 0).map(|tls| Sample::Str(tls.error_text.as_bytes())),
            visit,
        ),
        "The last error of TLS with the server in words.", "ssl_bc_err_str -m found";
    "ssl_bc_is_resumed" "ssl_bc_is_resumed" [] Bool First SINCE_SERVER
        |ctx, _, visit| visit(Sample::Bool(tls(ctx).is_some_and(|tls| tls.resumed))),
        "Whether the TLS session with the server resumed an earlier one.", "ssl_bc_is_resumed";
    "ssl_bc_protocol" "ssl_bc_protocol" [] Str First SINCE_SERVER
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Str(tls.protocol.as_bytes())), visit),
        "The TLS version of the connection to the server.", "ssl_bc_protocol TLSv1.3";
    "ssl_bc_sni" "ssl_bc_sni" [] Str First SINCE_SERVER
        |ctx, _, visit| give(tls(ctx).and_then(|tls| tls.sni.as_deref()).map(|sni| Sample::Str(sni.as_bytes())), visit),
        "The name that was asked for in the TLS handshake with the server.", "ssl_bc_sni app.internal";
    "ssl_bc_use_keysize" "ssl_bc_use_keysize" [] Int First SINCE_SERVER
        |ctx, _, visit| give(tls(ctx).map(|tls| Sample::Int(tls.key_bits.into())), visit),
        "Bits of the key that the cipher of the connection to the server uses.", "ssl_bc_use_keysize ge 128";
    "ssl_s_chain_der" "ssl_s_chain_der" [] Bin First SINCE_SERVER
        |ctx, _, visit| give(
            tls(ctx).filter(|tls| !tls.peer_chain.is_empty()).map(|tls| Sample::Bin(&tls.peer_chain)),
            visit,
        ),
        "The certificates that the server sent, its own first, in DER one after the other.", "ssl_s_chain_der -m found";
}

fn tls<'c>(ctx: &'c Ctx<'_>) -> Option<&'c TlsFacts> {
    ctx.progress.server_tls
}
