//! `jwt_verify` and `jwt_verify_cert`: the signature of a JSON Web Token in compact form (RFC 7515).
//!
//! The algorithm is the one the configuration names, never the one a token names for itself; a key file serves its own
//! kind of algorithm only, so that no token can turn a public key into a shared secret. Keys are read and parsed at load.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};

use super::encode::decode_base64url;
use super::pem;
use crate::conv::{conv_table, text};
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::{Sample, Scratch};
use crate::value::{Arg, ArgKind, Value};
use crate::vars::VarRef;

const ALG: Arg = Arg::one("alg", ArgKind::Str);
const KEY: Arg = Arg::one("key", ArgKind::Text);
const CERT: Arg = Arg::one("cert", ArgKind::Str);

conv_table! {
    "jwt_verify" "jwt_verify(<alg>,<key>)" [ALG, KEY] Str -> Int jwt_verify, prepare verify_args,
        "1 when the signature of a JSON Web Token is good, 0 when it is not, less than 0 when it could not be checked: -1 \
         unknown algorithm, -3 no token, -5 no key for the algorithm. Never use it as a boolean, and check `exp` and `aud` \
         by rules of their own. Algorithms are HS, RS, PS and ES with 256, 384 or 512, and none; the key of HS is a secret \
         or a variable, of the others a file with a public key or certificate. Best name the algorithm itself; a variable \
         must have been compared with those allowed.", "req.hdr(x-debug-id),jwt_verify(HS256,secret)";
    "jwt_verify_cert" "jwt_verify_cert(<alg>,<cert>)" [ALG, CERT] Str -> Int jwt_verify, prepare verify_cert_args,
        "What jwt_verify says, by the public key of the first certificate in a PEM file. The algorithms are RS, PS and ES \
         with 256, 384 or 512.", "req.hdr(x-debug-id),jwt_verify_cert(txn.alg,/etc/evenkeel/site.pem)";
}

/// HAProxy's answers.
const GOOD: i64 = 1;
const BAD: i64 = 0;
const UNKNOWN_ALGORITHM: i64 = -1;
const NO_TOKEN: i64 = -3;
const NO_KEY: i64 = -5;

/// How a token is signed (RFC 7518 section 3.1).
#[derive(Clone, Copy)]
enum Algorithm {
    None,
    Secret(&'static hmac::Algorithm),
    Public(&'static dyn VerificationAlgorithm),
}

static ALGORITHMS: [(&str, Algorithm); 13] = [
    ("none", Algorithm::None),
    ("HS256", Algorithm::Secret(&hmac::HMAC_SHA256)),
    ("HS384", Algorithm::Secret(&hmac::HMAC_SHA384)),
    ("HS512", Algorithm::Secret(&hmac::HMAC_SHA512)),
    ("RS256", Algorithm::Public(&signature::RSA_PKCS1_2048_8192_SHA256)),
    ("RS384", Algorithm::Public(&signature::RSA_PKCS1_2048_8192_SHA384)),
    ("RS512", Algorithm::Public(&signature::RSA_PKCS1_2048_8192_SHA512)),
    ("PS256", Algorithm::Public(&signature::RSA_PSS_2048_8192_SHA256)),
    ("PS384", Algorithm::Public(&signature::RSA_PSS_2048_8192_SHA384)),
    ("PS512", Algorithm::Public(&signature::RSA_PSS_2048_8192_SHA512)),
    ("ES256", Algorithm::Public(&signature::ECDSA_P256_SHA256_FIXED)),
    ("ES384", Algorithm::Public(&signature::ECDSA_P384_SHA384_FIXED)),
    ("ES512", Algorithm::Public(&signature::ECDSA_P521_SHA512_FIXED)),
];

/// Number of an algorithm in [`ALGORITHMS`].
fn algorithm(name: &[u8]) -> Option<usize> {
    ALGORITHMS.iter().position(|(known, _)| known.as_bytes() == name)
}

/// What the arguments of `jwt_verify` become.
struct Verifier {
    algorithm: Named,
    key: Key,
}

enum Named {
    Fixed(usize),
    Var(VarRef),
}

enum Key {
    Secret(Vec<u8>),
    Var(VarRef),
    /// The key of a file, parsed for each algorithm it serves.
    Public(Vec<(usize, ParsedPublicKey)>),
}

fn var(args: &[Value], at: usize) -> Option<VarRef> {
    std::str::from_utf8(Value::text(args, at)).ok().and_then(|text| VarRef::parse(text).ok())
}

impl Named {
    /// From the first argument.
    fn parse(args: &[Value]) -> Result<Named, String> {
        let name = Value::text(args, 0);
        match (algorithm(name), var(args, 0)) {
            (Some(number), _) => Ok(Named::Fixed(number)),
            (None, Some(name)) => Ok(Named::Var(name)),
            (None, None) => Err(format!("there is no algorithm `{}`", name.escape_ascii())),
        }
    }
}

fn verify_args(args: &mut Vec<Value>, env: &Env<'_>) -> Result<(), String> {
    let (named, given) = (Named::parse(args)?, Value::text(args, 1));
    let key = match (&named, var(args, 1)) {
        (Named::Fixed(number), Some(_)) if matches!(ALGORITHMS[*number].1, Algorithm::Public(_)) => {
            return Err("a public key is named by its file, which is read at load, and by no variable".into());
        }
        (_, Some(name)) => Key::Var(name),
        (Named::Fixed(number), None) => match ALGORITHMS[*number].1 {
            Algorithm::None | Algorithm::Secret(_) => Key::Secret(given.to_vec()),
            Algorithm::Public(_) => Key::Public(read_key(given, Some(*number), ANY, env)?),
        },
        (Named::Var(_), None) => match read_key(given, None, ANY, env) {
            Ok(keys) => Key::Public(keys),
            // A mistyped path must not become a secret that anybody can guess.
            Err(why) if given.contains(&b'/') || given.contains(&b'.') => return Err(why),
            Err(_) => Key::Secret(given.to_vec()),
        },
    };
    *args = vec![Value::Ready(Arc::new(Verifier { algorithm: named, key }))];
    Ok(())
}

fn verify_cert_args(args: &mut Vec<Value>, env: &Env<'_>) -> Result<(), String> {
    let algorithm = Named::parse(args)?;
    let wanted = match &algorithm {
        Named::Fixed(number) if !matches!(ALGORITHMS[*number].1, Algorithm::Public(_)) => {
            return Err(format!("a certificate has no key for {}", ALGORITHMS[*number].0));
        }
        Named::Fixed(number) => Some(*number),
        Named::Var(_) => None,
    };
    let key = Key::Public(read_key(Value::text(args, 1), wanted, CERTIFICATE, env)?);
    *args = vec![Value::Ready(Arc::new(Verifier { algorithm, key }))];
    Ok(())
}

/// How the key is found in a file, and what would have been there.
type Find = (fn(&[u8]) -> Option<Vec<u8>>, &'static str);
const ANY: Find = (pem::public_key, "public key or certificate");
const CERTIFICATE: Find = (pem::certificate, "certificate");

/// The key that `find` finds in the file `name`, for the algorithm wanted or for all it can serve.
fn read_key(
    name: &[u8],
    wanted: Option<usize>,
    find: Find,
    env: &Env<'_>,
) -> Result<Vec<(usize, ParsedPublicKey)>, String> {
    let name = String::from_utf8_lossy(name);
    let bytes =
        (env.library.read)(Path::new(&*name)).map_err(|why| format!("the key `{name}` cannot be read: {why}"))?;
    let (find, what) = find;
    let der = find(&bytes).ok_or_else(|| format!("`{name}` holds no {what} in PEM form"))?;
    let mut keys = Vec::new();
    for (number, (_, algorithm)) in ALGORITHMS.iter().enumerate() {
        if let Algorithm::Public(algorithm) = algorithm
            && wanted.is_none_or(|wanted| wanted == number)
            && let Ok(key) = ParsedPublicKey::new(*algorithm, &der)
        {
            keys.push((number, key));
        }
    }
    match (keys.is_empty(), wanted) {
        (false, _) => Ok(keys),
        (true, Some(wanted)) => Err(format!("the key `{name}` is none for {}", ALGORITHMS[wanted].0)),
        (true, None) => Err(format!("the key `{name}` serves no algorithm")),
    }
}

fn jwt_verify<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (token, verifier) = (text(sample)?, Value::ready::<Verifier>(args, 0)?);
    let number = match &verifier.algorithm {
        Named::Fixed(number) => *number,
        Named::Var(name) => {
            let number = ctx.var(name, |stored| algorithm(stored.sample().as_bytes(&mut Scratch::new())))?;
            match number {
                Some(number) => number,
                None => return Some(Sample::Int(UNKNOWN_ALGORITHM)),
            }
        }
    };
    let answer = match &verifier.key {
        Key::Var(name) => ctx.var(name, |stored| {
            let sample = stored.sample();
            verify(token, number, None, sample.as_bytes(&mut Scratch::new()), out)
        })?,
        Key::Secret(secret) => verify(token, number, None, secret, out),
        Key::Public(keys) => verify(token, number, Some(keys), b"", out),
    };
    Some(Sample::Int(answer))
}

/// Checks `token` by the algorithm of that number; `decoded` takes the signature.
fn verify(
    token: &[u8],
    number: usize,
    keys: Option<&[(usize, ParsedPublicKey)]>,
    secret: &[u8],
    decoded: &mut Vec<u8>,
) -> i64 {
    let mut dots = memchr::memchr_iter(b'.', token);
    let (first, second, third) = (dots.next(), dots.next(), dots.next());
    if first.is_none() || third.is_some() {
        return NO_TOKEN;
    }
    let (signed, encoded) = match second {
        Some(dot) => (&token[..dot], &token[dot + 1..]),
        None => (token, &b""[..]),
    };
    let mut signature = || !encoded.is_empty() && decode_base64url(encoded, decoded);
    let good = match ALGORITHMS[number].1 {
        Algorithm::None if keys.is_some() => return NO_KEY,
        Algorithm::None => encoded.is_empty(),
        Algorithm::Secret(_) if keys.is_some() => return NO_KEY,
        Algorithm::Secret(algorithm) => {
            if !signature() {
                return NO_TOKEN;
            }
            hmac::verify(&hmac::Key::new(*algorithm, secret), signed, decoded).is_ok()
        }
        Algorithm::Public(_) => {
            let key = keys.and_then(|keys| keys.iter().find(|(known, _)| *known == number));
            let Some((_, key)) = key else { return NO_KEY };
            if !signature() {
                return NO_TOKEN;
            }
            key.verify_sig(signed, decoded).is_ok()
        }
    };
    if good { GOOD } else { BAD }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io;

    use super::*;
    use crate::conv::testing::{convert_with, refused_with};
    use crate::library::Library;
    use crate::testing::{REQUEST, with_ctx};

    /// Tokens of header `{"alg":"...","typ":"JWT"}` and payload `{"sub":"alice","admin":true,"exp":1700000000}`, signed by
    /// the secret `secret` or by the private keys, which were thrown away, of the public keys below.
    const TOKENS: &[(&str, &str)] = &[
        (
            "HS256",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.0WOQ8_On4zAt8l7agSD5xsRF0Yp1aI07zcZf_qaaEKI",
        ),
        (
            "HS384",
            "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.77BN3y05cPxJpv33vaP1NyBqlGNGIhDtTmvEDzxG12GthsMCky6qEx8dy_XtYW8f",
        ),
        (
            "HS512",
            "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.dR2ssRmqjO2ggTozFNzmj5nt3yF9s07WqnsNE6pfdo45xr7NdlfCpINn7yb85nhzEBhjV7-Z09rUhm00tj2kww",
        ),
        (
            "RS256",
            "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.BYcYbC3D6HUh2UBoyJsqqt5aorh9Mdo9NAEKg6Ug6zNXVjwprwXo1nrvNJJJI8RFzweN4ykkCQktCnuW17V3oSBcXL2MXxt33XRtP8paMac15RG7SvrjrcvE0ts2-iHEf-R_v41W4TpfAoe72S22Pxhe51jd046j4D_ObwC4p7ECBKmlckgJ8S6MgaMSPduw7TyYLuWXwybiFvP5K5bfvrjqh6enQ7dXsjS2FAD4hWt8c6pdfZiLwWch2C6zsnEXR10kfDt245Uhcm907A6Q0juWqSzAh0IOXzSfQwH2Vy3o9Wp9rSBiiqABHb5E4BUd6h1UXcG3eP9kWAFLMxQsZg",
        ),
        (
            "RS384",
            "eyJhbGciOiJSUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.AXH9qrnkhHW9b80Ch8g5ANSqwoUK4u-03MgE-8-IZCA4Ld2PQ5hIqjNh8Rl3fUlMHVBh4vJTr1axY1Yi-OXDykSHoUB6LMeC-MZ2nwVHH5ofdjllQM2qhV-wmePYKLQnvVgx021eR4jMhasjOFvwD5vj6DlbavqyoRIMK1TcKUe-89HqwdG3IYyWlpzNcJ7x63mnQCe0So5HUmEbT_pKAdBm_xdrynYeieNTBC_YteZZwUKB03h5YM_AdMPMDpnM5ByTRw0RQvdZBlKmblDvfm2XnJJNrShqFpudtY_rJVQh824MqOJMBmz4EnVc0MiPSa6pbzB9dWxu2-1tq_dA7g",
        ),
        (
            "RS512",
            "eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.dR3qAy6YW0Y_EEWH5XNPqL9CHO1bt7TtxUwYGyRwueHbWqsmuKvnvuGZHOz4PldGJ-AodOai9-Sv4fUiSVzF78Q-n26jdt5jMdvDNyhJc56xetqDSm1nNg45aDtrSACxax5YWXbuiwur1fdiDkrC1eKa4woLHfBMcDz02CEKmeJXtG2_GIVtdHkfImnCWCA2R-x9uQIcx-swrAChcbrPUfCvxQe0G8MByRrT_xV8HdbHyL8fhDGAM-1bLtLFlATWn-qlXcti-f9WJYQqOVNcLmS5SoshtddTaVjDevArNxtydKdd5Xj68S-o5p2rqkc9P6A6plnASwhYvQK41heFvg",
        ),
        (
            "PS256",
            "eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.mNCAyP-eftMw5LIVFFNkYnbrapaAGrd9DrH5PiTEp8K6hLNLY0TsB9uEIARonJaMBvctyeyGPRdbEFRp_lP9_LJdW7yw3XT9ZC__ogJ-T47-ykaQ7e-anmmFqiKZ7fo_Gk4Lf6FAzc5y0Q4stbOU-C7XQi3q7yDNnHAT5qu4Ngw-GZE-HaqC8yS2uqNT6HjDhNlTpg9oN89qUG10a3w-DwKYakNSq058xUMqn2HpGJcPQnhme1oq5I8NsVZPWGwNSqln5NEXVL57_RHQjyzBFx241bEBQwwRMvig-pbdranVugmLIe1EMF5OKqw6BaiOcJ6JbeKYXRQP-z-DSQzW2Q",
        ),
        (
            "PS384",
            "eyJhbGciOiJQUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.Kb-sG5Xr8tX54uTj5-mXSYf4TnSMuL_adGgixSi7tlmPFPacRuhtgQeVcxBJMk67GpdqZV66sPJ6-iHhHTwqbK_FbmVjfiPMVgWiZTNd-XOYppXQTaW8PhtVCuO4Irs6Pm0v21cC3Xdj1EUrXOM1WasJXbFnNUdGUAtXr0XG4RXs_yXU4qw_ohbCbRzO0QAbP_Q-xJHwT0jqRrok08kTsbn874JhsG5SQxV9-C3yKI1yxVVhnXYqbMMsoa9LIg2bn3E2Z-crLjjDJ8bB1FYh0mlq20M3UJNQyWdlTvfdtdN4U3X2zT1t6BQAtND6xPZp_V4hWLVUUtxbdBR7Xm4M5g",
        ),
        (
            "PS512",
            "eyJhbGciOiJQUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.IIM_vv60qUoSIIAfixUdbcQ8bLI1wxAIYx8zF50kLLXCrwMl_Zlgqj45bVVx0IisxlyaRVfA6ABTDvgEFyBWAuiiyxI9ruYkbuiREaOqVVbvU-QVgfRIC4t3LszAQa5Vz_1FppF8qY7fA16WvG0tfbZatO9K-8muzusnE3OTzwvOUIU7sE6iEyyfzwzjkN0gRQi8ONUMTSux46dTT7Dv4vBIqBx-dmFyEcguCYgrmNtDrAVZn4F-IIjl8EDy92mU8cMNFAu79-KaJ_l_rOnKh7n5LWI_U-0HnbjvpBvHHOL-w9ul9pSqY4H1kyIog9cbt3WAlO6t2k-vl89ZW1InBw",
        ),
        (
            "ES256",
            "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.T5B4G8zQqVXpQnf3X2QNnTjwnDRAzVIQawhFyOFXpoDKWn7B2m5lFgiPHiq6fNnwUUOwDWJtXIOky1pWiJ09iQ",
        ),
        (
            "ES384",
            "eyJhbGciOiJFUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.JuFpl_1yO-EmxwxBhP4CiUD7IIEYY7k7oBYjo2oBHFt4vWk-XGJdsSqGM5Fe2LYbApQadrw-a8nfPhj9X6kezDBKZX0TN9wxOGWFQiQ4pN00V7hNFb6_d0FXLpi8zpHo",
        ),
        (
            "ES512",
            "eyJhbGciOiJFUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.APtSBIewKcAztvJyEfURWoM_5CHWFPDdXvVXIe_W0VZs2xKp72x7FArH7xl4vOc9pH9ojtelr7evr8XyuqLHCKSXAJUb8XCmvbfIoSyzOYkDQcjC4yA2dS9Nabxt9pvhew0fFluma8R_y8EwVWHEUvxr6Tu8rf-SUnHSUfBCUozPS-is",
        ),
        ("none", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9."),
        (
            "HSx",
            "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlLCJleHAiOjE3MDAwMDAwMDB9.3wgSH7SjfFQ68FBGKoNsKPqQtmbUsPOE46H4UCEQ7GA",
        ),
    ];
    const KEYS: &[(&str, &str)] = &[
        (
            "rsa.pub",
            "-----BEGIN PUBLIC KEY-----\n\
             MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAn9a/1ZlWUaXeLH/LGgtX\n\
             hT2AOv/Z/fCpYQcA3evbuYVvt17WUXiYpZkI5jxvnVJodz1gcwj+MX+42k74EAwB\n\
             WBbkIZl/8WzOkqq3XIGSKwPunt32djug66OS7lYV707uxKzTgvkWczOR8Qp8GDkp\n\
             So/wex17GmcJ2v5ZufOIVLEg87XroFrUAdDZlQjC6ZAQk2WWbT8khidG9w+8zV8d\n\
             xqHvc9WZIushmAeEuqbtwkKfNuS2c8lw2hGi14EcfpUhtBZ4f6l4X+fY+5sem5s/\n\
             xGol6TRa2lm1aSndi4AQgnpxLHqxBWKPm0ZdIpy5r5IC0Tu+daRxAPnyzYrlJsc2\n\
             cwIDAQAB\n\
             -----END PUBLIC KEY-----",
        ),
        (
            "rsa1.pub",
            "-----BEGIN RSA PUBLIC KEY-----\n\
             MIIBCgKCAQEAn9a/1ZlWUaXeLH/LGgtXhT2AOv/Z/fCpYQcA3evbuYVvt17WUXiY\n\
             pZkI5jxvnVJodz1gcwj+MX+42k74EAwBWBbkIZl/8WzOkqq3XIGSKwPunt32djug\n\
             66OS7lYV707uxKzTgvkWczOR8Qp8GDkpSo/wex17GmcJ2v5ZufOIVLEg87XroFrU\n\
             AdDZlQjC6ZAQk2WWbT8khidG9w+8zV8dxqHvc9WZIushmAeEuqbtwkKfNuS2c8lw\n\
             2hGi14EcfpUhtBZ4f6l4X+fY+5sem5s/xGol6TRa2lm1aSndi4AQgnpxLHqxBWKP\n\
             m0ZdIpy5r5IC0Tu+daRxAPnyzYrlJsc2cwIDAQAB\n\
             -----END RSA PUBLIC KEY-----",
        ),
        (
            "rsa.crt",
            "-----BEGIN CERTIFICATE-----\n\
             MIIDATCCAemgAwIBAgIULffiAx72J2wPDss9uY+dt/9nSQIwDQYJKoZIhvcNAQEL\n\
             BQAwDzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjEwNTM5MTlaGA8yMTI2MTAyODA1\n\
             MzkxOVowDzENMAsGA1UEAwwEdGVzdDCCASIwDQYJKoZIhvcNAQEBBQADggEPADCC\n\
             AQoCggEBAJ/Wv9WZVlGl3ix/yxoLV4U9gDr/2f3wqWEHAN3r27mFb7de1lF4mKWZ\n\
             COY8b51SaHc9YHMI/jF/uNpO+BAMAVgW5CGZf/FszpKqt1yBkisD7p7d9nY7oOuj\n\
             ku5WFe9O7sSs04L5FnMzkfEKfBg5KUqP8HsdexpnCdr+WbnziFSxIPO166Ba1AHQ\n\
             2ZUIwumQEJNllm0/JIYnRvcPvM1fHcah73PVmSLrIZgHhLqm7cJCnzbktnPJcNoR\n\
             oteBHH6VIbQWeH+peF/n2PubHpubP8RqJek0WtpZtWkp3YuAEIJ6cSx6sQVij5tG\n\
             XSKcua+SAtE7vnWkcQD58s2K5SbHNnMCAwEAAaNTMFEwHQYDVR0OBBYEFHKPCJsj\n\
             gWZOCBHFGd5AQofVHSPEMB8GA1UdIwQYMBaAFHKPCJsjgWZOCBHFGd5AQofVHSPE\n\
             MA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAFzVNYIsqVMB6Vx6\n\
             OhpIHx7L40VpsSqtugIsScODczIWU/VUebOXCgRF5nVUSTU0T+bm4Rd3fpowUNxP\n\
             +lcRCkxxXrdQBwcaM4VZ0EgLJ3S9HAr7nPkkxU+JdWva0gnC0+7bWdhE9DEQu74V\n\
             ZzUtaNIy/NPvxgvpaVe1jsICjf0L8udO6Uz4IEkJRicwne25fiwz2fiCv9rkbay2\n\
             +8EwzhUcdyJF2He/KR4O3thuPpaoF/aju4prubbfTx2ouBpsfy8wz/pEdaLdSK10\n\
             aysBrazO6d1sAqVFX+ux2frd3/aDKwG7rr4v8rKJ5qzijHK6Cz5mkzUMZKyDWpA7\n\
             Ng4sUSA=\n\
             -----END CERTIFICATE-----",
        ),
        (
            "ec256.pub",
            "-----BEGIN PUBLIC KEY-----\n\
             MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMgCCAPJFJViDeJsoAt+qp3p2pOwA\n\
             uZoYh9zOgf6x+trZ9EzALLZCa9G0uMUb5aVggF+J14OQjRvvCA57kd1q5A==\n\
             -----END PUBLIC KEY-----",
        ),
        (
            "ec256.crt",
            "-----BEGIN CERTIFICATE-----\n\
             MIIBdTCCARugAwIBAgIUPIE4cOYOMyrq9ntCkJptZtiJio0wCgYIKoZIzj0EAwIw\n\
             DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjEwNTM5MTlaGA8yMTI2MTAyODA1Mzkx\n\
             OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDIA\n\
             ggDyRSVYg3ibKALfqqd6dqTsALmaGIfczoH+sfra2fRMwCy2QmvRtLjFG+WlYIBf\n\
             ideDkI0b7wgOe5HdauSjUzBRMB0GA1UdDgQWBBSI53Ft7y6JW9j1ayvks1DVByDK\n\
             ITAfBgNVHSMEGDAWgBSI53Ft7y6JW9j1ayvks1DVByDKITAPBgNVHRMBAf8EBTAD\n\
             AQH/MAoGCCqGSM49BAMCA0gAMEUCIE2rvhzCOIgCfsSOWcI5Ng6zMcFmsglT7fDU\n\
             94xl4Cy0AiEAzW+Yqk6dRHRCtMBXF1lr2hi9YwaSffK42FJsMz71QHE=\n\
             -----END CERTIFICATE-----",
        ),
        (
            "ec384.pub",
            "-----BEGIN PUBLIC KEY-----\n\
             MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEZHuDf+SmiRGcTwJlIABKVFioV4DvD9sv\n\
             2uXF2Okb2bVPHzCY3x+hSxag6aPJ+czw7X7iLrEneElXBEBETuUA+M+FmTMfCq0V\n\
             gnLh9+3vcLu6XQ7zQYxCi/IdeCpWEJmB\n\
             -----END PUBLIC KEY-----",
        ),
        (
            "ec512.pub",
            "-----BEGIN PUBLIC KEY-----\n\
             MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBjW929Ae0zMmgIfI/idhbn/f0Dxja\n\
             R7rzM9nZVo6ApcHo1+8z+1wy3vGlZbPlU6J04wJYe5QSC5872W5BuY19Kn8BfIMB\n\
             M6sm55WAlJ3oKAqSE9PxtfUUj6QtXEkNyqOKr8vgDEC1v3xsAowWyatGughUpPFr\n\
             vMyvd6Y2eo9sbCMrfKU=\n\
             -----END PUBLIC KEY-----",
        ),
        ("bad.pub", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
    ];

    fn token(name: &str) -> &'static str {
        TOKENS.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn library() -> Library {
        let read = |path: &Path| {
            let file = KEYS.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| text.as_bytes().to_vec()).ok_or(io::Error::from(io::ErrorKind::NotFound))
        };
        Library { read: Box::new(read), ..Library::default() }
    }

    fn check(token: &str, steps: &str, expected: Option<&str>) {
        let found = with_ctx(REQUEST, |ctx| {
            for (name, value) in [
                ("txn.hs", "HS256"),
                ("txn.rs", "RS256"),
                ("txn.secret", "secret"),
                ("txn.foo", "foo"),
                ("txn.no", "none"),
            ] {
                ctx.set_var(&VarRef::parse(name).unwrap(), &Sample::Str(value.as_bytes()));
            }
            convert_with(&library(), ctx, Sample::Str(token.as_bytes()), steps)
        });
        assert_eq!(found.as_deref(), expected, "{token},{steps}");
    }

    #[test]
    fn good_signatures_are_good() {
        for bits in ["256", "384", "512"] {
            for (family, key) in [
                ("HS", "secret".to_owned()),
                ("RS", "rsa.pub".into()),
                ("PS", "rsa.pub".into()),
                ("ES", format!("ec{bits}.pub")),
            ] {
                let name = format!("{family}{bits}");
                let steps = format!("jwt_verify({name},{key})");
                check(token(&name), &steps, Some("1"));
                // One changed bit of the payload, the signature kept.
                let (head, rest) = token(&name).split_once('.').unwrap();
                check(&format!("{head}.f{}", &rest[1..]), &steps, Some("0"));
            }
        }
        check(token("RS256"), "jwt_verify(RS256,rsa.crt)", Some("1"));
        check(token("RS256"), "jwt_verify(RS256,rsa1.pub)", Some("1"));
        check(token("ES256"), "jwt_verify(ES256,ec256.crt)", Some("1"));
        check(token("RS256"), "jwt_verify(txn.rs,rsa.pub)", Some("1"));
        for (token, steps, expected) in [
            (token("RS256"), "jwt_verify_cert(RS256,rsa.crt)", "1"),
            (token("PS512"), "jwt_verify_cert(PS512,rsa.crt)", "1"),
            (token("ES256"), "jwt_verify_cert(ES256,ec256.crt)", "1"),
            (token("RS256"), "jwt_verify_cert(txn.rs,rsa.crt)", "1"),
            (token("RS384"), "jwt_verify_cert(txn.rs,rsa.crt)", "0"),
            (token("HS256"), "jwt_verify_cert(txn.hs,rsa.crt)", "-5"),
            (token("none"), "jwt_verify_cert(txn.no,rsa.crt)", "-5"),
        ] {
            check(token, steps, Some(expected));
        }
    }

    #[test]
    fn answers_are_those_of_haproxy() {
        let hs = token("HS256");
        for (token, steps, expected) in [
            (hs, "jwt_verify(HS256,bad)", Some("0")),
            (hs, "jwt_verify(HS512,secret)", Some("0")),
            (token("HSx"), "jwt_verify(HS256,secret)", Some("1")),
            (token("HSx"), "jwt_verify(HS512,secret)", Some("0")),
            (token("none"), "jwt_verify(none,)", Some("1")),
            (hs, "jwt_verify(none,x)", Some("0")),
            (token("none"), "jwt_verify(HS256,x)", Some("-3")),
            (hs, "jwt_verify(txn.none,secret)", None),
            (hs, "jwt_verify(txn.hs,secret)", Some("1")),
            (hs, "jwt_verify(txn.hs,txn.secret)", Some("1")),
            (hs, "jwt_verify(HS256,txn.secret)", Some("1")),
            (hs, "jwt_verify(HS256,txn.unset)", None),
            (hs, "jwt_verify(txn.foo,secret)", Some("-1")),
            (token("RS256"), "jwt_verify(txn.rs,secret)", Some("-5")),
            (token("PS256"), "jwt_verify(RS256,rsa.pub)", Some("0")),
            ("a", "jwt_verify(HS256,secret)", Some("-3")),
            ("a.b", "jwt_verify(HS256,secret)", Some("-3")),
            ("a.b", "jwt_verify(none,x)", Some("1")),
            ("a.b.c", "jwt_verify(HS256,secret)", Some("-3")),
            ("a.b.c", "jwt_verify(none,x)", Some("0")),
            ("a.b.c.d", "jwt_verify(none,x)", Some("-3")),
            ("..", "jwt_verify(HS256,secret)", Some("-3")),
            ("", "jwt_verify(none,x)", Some("-3")),
            ("a.b.!!", "jwt_verify(HS256,secret)", Some("-3")),
        ] {
            check(token, steps, expected);
        }
    }

    /// A token that names another algorithm for itself, or a rule that lets it, does not make a file a secret.
    #[test]
    fn a_public_key_is_no_secret() {
        for steps in ["jwt_verify(txn.hs,rsa.pub)", "jwt_verify(txn.no,rsa.pub)"] {
            check(token("HS256"), steps, Some("-5"));
            check(token("none"), steps, Some("-5"));
        }
        for (steps, why) in [
            ("jwt_verify(txn.hs,/keys/none.pem)", "cannot be read"),
            ("jwt_verify(RS256,none.pub)", "cannot be read"),
            ("jwt_verify(RS256,bad.pub)", "holds no public key"),
            ("jwt_verify(ES256,rsa.pub)", "none for ES256"),
            ("jwt_verify(ES384,ec256.pub)", "none for ES384"),
            ("jwt_verify(RS256,txn.key)", "no variable"),
            ("jwt_verify(foo,x)", "no algorithm `foo`"),
            ("jwt_verify_cert(RS256,rsa.pub)", "holds no certificate"),
            ("jwt_verify_cert(txn.rs,rsa.pub)", "holds no certificate"),
            ("jwt_verify_cert(HS256,rsa.crt)", "no key for HS256"),
            ("jwt_verify_cert(ES256,rsa.crt)", "none for ES256"),
        ] {
            let message = refused_with(&library(), Sample::Str(b""), steps);
            assert!(message.contains(why), "{steps}: {message}");
        }
    }
}
