//! Converters of JSON Web Tokens in compact form (RFC 7519): reading header and payload, which nobody has verified yet.
//! [`jws`](super::jws) verifies, [`jwe`](super::jwe) decrypts.

use std::sync::Arc;

use super::encode::decode_base64url;
use super::json::Query;
use crate::conv::{conv_table, text};
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const PATH: Arg = Arg::maybe("json_path", ArgKind::Str);
const TYPE: Arg = Arg::maybe("output_type", ArgKind::Word(&["int"]));

conv_table! {
    "jwt_header_query" "jwt_header_query([<json_path>[,<output_type>]])" [PATH, TYPE] Str -> Str header_query,
        prepare query_args,
        "The header of a JSON Web Token, or what json_query finds in it. It is not to be trusted before jwt_verify.",
        "req.hdr(x-debug-id),jwt_header_query('$.alg')";
    "jwt_payload_query" "jwt_payload_query([<json_path>[,<output_type>]])" [PATH, TYPE] Str -> Str payload_query,
        prepare query_args,
        "The payload of a JSON Web Token, or what json_query finds in it. It is not to be trusted before jwt_verify.",
        "req.hdr(x-debug-id),jwt_payload_query('$.exp','int')";
}

fn query_args(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    if !Value::text(args, 0).is_empty() {
        let query = Query::parse(args, 0)?;
        *args = vec![Value::Ready(Arc::new(query))];
    }
    Ok(())
}

fn header_query<'a>(
    sample: Sample<'a>,
    args: &'a [Value],
    ctx: &'a Ctx<'_>,
    out: &'a mut Vec<u8>,
) -> Option<Sample<'a>> {
    part(text(sample)?, 0, args, ctx, out)
}

fn payload_query<'a>(
    sample: Sample<'a>,
    args: &'a [Value],
    ctx: &'a Ctx<'_>,
    out: &'a mut Vec<u8>,
) -> Option<Sample<'a>> {
    part(text(sample)?, 1, args, ctx, out)
}

/// Part `at` of a token of two or three, or what the query finds in it.
fn part<'o>(token: &[u8], at: usize, args: &[Value], ctx: &Ctx<'_>, out: &'o mut Vec<u8>) -> Option<Sample<'o>> {
    if !(1..=2).contains(&memchr::memchr_iter(b'.', token).count()) {
        return None;
    }
    let encoded = token.split(|b| *b == b'.').nth(at)?;
    match Value::ready::<Query>(args, 0) {
        None => decode_base64url(encoded, out).then_some(Sample::Str(out)),
        Some(query) => ctx
            .buffers
            .with(|document| if decode_base64url(encoded, document) { query.run(document, out) } else { None }),
    }
}

#[cfg(test)]
mod tests {
    use crate::conv::testing::check as check_sample;
    use crate::sample::Sample;

    /// Of header `{"alg":"HS256","typ":"JWT"}` and payload `{"sub":"alice","admin":true,"exp":1700000000}`.
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.0WOQ8_On4zAt8l7agSD5xsRF0Yp1aI07zcZf_qaaEKI";

    fn check(token: &str, steps: &str, expected: Option<&str>) {
        check_sample(Sample::Str(token.as_bytes()), steps, expected);
    }

    #[test]
    fn parts_are_read() {
        let hs = TOKEN;
        for (token, steps, expected) in [
            (hs, "jwt_header_query", Some(r#"{"alg":"HS256","typ":"JWT"}"#)),
            (hs, "jwt_header_query('$.alg')", Some("HS256")),
            (hs, "jwt_payload_query('$.sub')", Some("alice")),
            (hs, "jwt_payload_query('$.exp')", Some("1.7e+09")),
            (hs, "jwt_payload_query('$.exp','int'),add(1)", Some("1700000001")),
            (hs, "jwt_payload_query('$.admin')", Some("1")),
            ("e30.e30.", "jwt_payload_query", Some("{}")),
            ("e30", "jwt_header_query", None),
            ("a.b.c", "jwt_payload_query", None),
            ("!.e30.", "jwt_header_query", None),
            ("e30.e30.e30.e30.e30", "jwt_payload_query", None),
        ] {
            check(token, steps, expected);
        }
    }
}
