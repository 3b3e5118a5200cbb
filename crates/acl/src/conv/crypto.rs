//! Converters by cryptographic functions, those of AWS-LC; MD5, for old protocols only, is our own.

use std::sync::Arc;

use aws_lc_rs::{constant_time, digest, hmac};

use super::encode::decode_base64;
use super::md5::md5;
use crate::conv::{conv_table, text};
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::{Sample, Scratch};
use crate::value::{Arg, ArgKind, Value};
use crate::vars::VarRef;

const BITS: Arg = Arg::maybe("bits", ArgKind::Int);
const ALGORITHM: Arg = Arg::one("algorithm", ArgKind::Str);
const KEY: Arg = Arg::one("key", ArgKind::Str);
const VAR: Arg = Arg::one("var", ArgKind::Var);

conv_table! {
    "digest" "digest(<algorithm>)" [ALGORITHM] Bin -> Bin digest, prepare digest_args,
        "The digest by md5, sha1, sha224, sha256, sha384, sha512, sha512-256, sha3-256, sha3-384 or sha3-512.",
        "path,digest(sha256),hex";
    "hmac" "hmac(<algorithm>,<key>)" [ALGORITHM, KEY] Bin -> Bin hmac, prepare hmac_args,
        "The authentication code (RFC 2104) by sha1, sha224, sha256, sha384 or sha512; the key is base64, or a variable \
         that holds it.", "path,hmac(sha256,c2VjcmV0),base64";
    "secure_memcmp" "secure_memcmp(<var>)" [VAR] Bin -> Bool secure_memcmp,
        "True when the input equals the variable; the time it takes does not tell where they differ. Undefined when the \
         variable is not set.", "req.hdr(x-debug-id),secure_memcmp(txn.token)";
    "sha1" "sha1" [] Bin -> Bin sha1,
        "The SHA-1 digest.", "path,sha1,hex";
    "sha2" "sha2([<bits>])" [BITS] Bin -> Bin sha2, prepare sha2_args,
        "The SHA-2 digest of 224, 256, 384 or 512 bits; 256 unless given.", "path,sha2(512),hex";
}

/// How a digest is made.
#[derive(Clone, Copy)]
enum Digest {
    Md5,
    Of(&'static digest::Algorithm),
}

impl Digest {
    fn write(self, input: &[u8], out: &mut Vec<u8>) {
        match self {
            Digest::Md5 => out.extend_from_slice(&md5(input)),
            Digest::Of(algorithm) => out.extend_from_slice(digest::digest(algorithm, input).as_ref()),
        }
    }
}

fn digest_args(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    let name = String::from_utf8_lossy(Value::text(args, 0)).to_ascii_lowercase();
    let digest = match &*name {
        "md5" => Digest::Md5,
        "sha1" => Digest::Of(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        "sha224" => Digest::Of(&digest::SHA224),
        "sha256" => Digest::Of(&digest::SHA256),
        "sha384" => Digest::Of(&digest::SHA384),
        "sha512" => Digest::Of(&digest::SHA512),
        "sha512-256" => Digest::Of(&digest::SHA512_256),
        "sha3-256" => Digest::Of(&digest::SHA3_256),
        "sha3-384" => Digest::Of(&digest::SHA3_384),
        "sha3-512" => Digest::Of(&digest::SHA3_512),
        _ => return Err(format!("there is no digest `{name}`")),
    };
    *args = vec![Value::Ready(Arc::new(digest))];
    Ok(())
}

fn sha2_args(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    let digest = match Value::int(args, 0) {
        Some(224) => &digest::SHA224,
        Some(256) | None => &digest::SHA256,
        Some(384) => &digest::SHA384,
        Some(512) => &digest::SHA512,
        Some(bits) => return Err(format!("SHA-2 has 224, 256, 384 or 512 bits, and not {bits}")),
    };
    *args = vec![Value::Ready(Arc::new(Digest::Of(digest)))];
    Ok(())
}

fn sha1<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    Digest::Of(&digest::SHA1_FOR_LEGACY_USE_ONLY).write(text(sample)?, out);
    Some(Sample::Bin(out))
}

fn sha2<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    digest(sample, args, ctx, out)
}

fn digest<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    Value::ready::<Digest>(args, 0)?.write(text(sample)?, out);
    Some(Sample::Bin(out))
}

/// A key or nonce: given in base64, or in a variable that holds base64.
pub(super) enum Secret {
    Bytes(Vec<u8>),
    Var(VarRef),
}

impl Secret {
    pub(super) fn parse(args: &[Value], at: usize, what: &str) -> Result<Secret, String> {
        let given = Value::text(args, at);
        if let Some(name) = std::str::from_utf8(given).ok().and_then(|text| VarRef::parse(text).ok()) {
            return Ok(Secret::Var(name));
        }
        let mut bytes = Vec::new();
        match decode_base64(given, &mut bytes) {
            true => Ok(Secret::Bytes(bytes)),
            false => Err(format!("the {what} is neither base64 nor a variable")),
        }
    }

    /// Hands the bytes to `f`; `None` when the variable is not set or holds no base64.
    pub(super) fn with<R>(&self, ctx: &Ctx<'_>, f: impl FnOnce(&[u8]) -> Option<R>) -> Option<R> {
        match self {
            Secret::Bytes(bytes) => f(bytes),
            Secret::Var(name) => ctx.buffers.with(|bytes| {
                let sound = ctx.var(name, |stored| {
                    let sample = stored.sample();
                    decode_base64(sample.as_bytes(&mut Scratch::new()), bytes)
                })?;
                if sound { f(bytes) } else { None }
            }),
        }
    }
}

struct Mac {
    algorithm: hmac::Algorithm,
    /// Ready, when it is given in the configuration.
    key: Option<hmac::Key>,
    secret: Secret,
}

fn hmac_args(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    let name = String::from_utf8_lossy(Value::text(args, 0)).to_ascii_lowercase();
    let algorithm = match &*name {
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha224" => hmac::HMAC_SHA224,
        "sha256" => hmac::HMAC_SHA256,
        "sha384" => hmac::HMAC_SHA384,
        "sha512" => hmac::HMAC_SHA512,
        _ => return Err(format!("there is no authentication code by `{name}`")),
    };
    let secret = Secret::parse(args, 1, "key")?;
    let key = match &secret {
        Secret::Bytes(bytes) => Some(hmac::Key::new(algorithm, bytes)),
        Secret::Var(_) => None,
    };
    *args = vec![Value::Ready(Arc::new(Mac { algorithm, key, secret }))];
    Ok(())
}

fn hmac<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (input, mac) = (text(sample)?, Value::ready::<Mac>(args, 0)?);
    let tag = match &mac.key {
        Some(key) => hmac::sign(key, input),
        None => mac.secret.with(ctx, |bytes| Some(hmac::sign(&hmac::Key::new(mac.algorithm, bytes), input)))?,
    };
    out.extend_from_slice(tag.as_ref());
    Some(Sample::Bin(out))
}

fn secure_memcmp<'a>(
    sample: Sample<'a>,
    args: &'a [Value],
    ctx: &'a Ctx<'_>,
    _: &'a mut Vec<u8>,
) -> Option<Sample<'a>> {
    let input = text(sample)?;
    ctx.var(Value::var(args, 0)?, |stored| {
        let (sample, mut scratch) = (stored.sample(), Scratch::new());
        let same = constant_time::verify_slices_are_equal(input, sample.as_bytes(&mut scratch)).is_ok();
        Sample::Bool(same)
    })
}

#[cfg(test)]
mod tests {
    use crate::conv::testing::{check, check_with, refused};
    use crate::sample::Sample;
    use crate::vars::VarRef;

    #[test]
    fn digests_are_those_of_haproxy() {
        for (steps, expected) in [
            ("sha1,hex", "A9993E364706816ABA3E25717850C26C9CD0D89D"),
            ("sha2,hex", "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"),
            ("sha2(224),hex", "23097D223405D8228642A477BDA255B32AADBCE4BDA0B3F7E36C9DA7"),
            (
                "sha2(384),hex",
                "CB00753F45A35E8BB5A03D699AC65007272C32AB0EDED1631A8B605A43FF5BED8086072BA1E7CC2358BAECA134C825A7",
            ),
            (
                "sha2(512),hex",
                "DDAF35A193617ABACC417349AE20413112E6FA4E89A97EA20A9EEEE64B55D39A2192992A274FC1A836BA3C23A3FEEBBD454D4423643CE80E2A9AC94FA54CA49F",
            ),
            ("digest(sha256),hex", "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"),
            ("digest(SHA1),hex", "A9993E364706816ABA3E25717850C26C9CD0D89D"),
            ("digest(md5),hex", "900150983CD24FB0D6963F7D28E17F72"),
            ("digest(sha224),hex", "23097D223405D8228642A477BDA255B32AADBCE4BDA0B3F7E36C9DA7"),
            (
                "digest(sha384),hex",
                "CB00753F45A35E8BB5A03D699AC65007272C32AB0EDED1631A8B605A43FF5BED8086072BA1E7CC2358BAECA134C825A7",
            ),
            (
                "digest(sha512),hex",
                "DDAF35A193617ABACC417349AE20413112E6FA4E89A97EA20A9EEEE64B55D39A2192992A274FC1A836BA3C23A3FEEBBD454D4423643CE80E2A9AC94FA54CA49F",
            ),
            ("digest(sha512-256),hex", "53048E2681941EF99B2E29B76B4C7DABE4C2D0C634FC6D46E0E2F13107E7AF23"),
            ("digest(sha3-256),hex", "3A985DA74FE225B2045C172D6BD390BD855F086E3E9D525B46BFE24511431532"),
            (
                "digest(sha3-384),hex",
                "EC01498288516FC926459F58E2C6AD8DF9B473CB0FC08C2596DA7CF0E49BE4B298D88CEA927AC7F539F1EDF228376D25",
            ),
            (
                "digest(sha3-512),hex",
                "B751850B1A57168A5693CD924B6B096E08F621827444F70D884F5D0240D2712E10E116E9192AF3C91A7EC57647E3934057340B4CF408D5A56592F8274EEC53F0",
            ),
            ("hmac(sha1,a2V5),hex", "4FD0B215276EF12F2B3E4C8ECAC2811498B656FC"),
            ("hmac(sha224,a2V5),hex", "F524670B7E34F31467DE0AA96593861CF65117D414FB2D86158D760E"),
            ("hmac(sha256,a2V5),hex", "9C196E32DC0175F86F4B1CB89289D6619DE6BEE699E4C378E68309ED97A1A6AB"),
            (
                "hmac(sha384,a2V5),hex",
                "30DDB9C8F347CFFBFB44E519D814F074CF4047A55D6F563324F1C6A33920E5EDFB2A34BAC60BDC96CD33A95623D7D638",
            ),
            (
                "hmac(sha512,a2V5),hex",
                "3926A207C8C42B0C41792CBD3E1A1AAAF5F7A25704F62DFC939C4987DD7CE060009C5BB1C2447355B3216F10B537E9AFA7B64A4E5391B0D631172D07939E087A",
            ),
        ] {
            check(Sample::Str(b"abc"), steps, Some(expected));
        }
        for steps in ["sha2(100)", "digest(none)", "hmac(md4,a2V5)", "hmac(sha256,a2V5*)", "digest(ripemd160)"] {
            refused(Sample::Str(b""), steps);
        }
    }

    #[test]
    fn secrets_may_be_variables() {
        let str = |text: &'static str| Sample::Str(text.as_bytes());
        check_with(
            |ctx| {
                for (name, value) in [("txn.key", "a2V5"), ("txn.abc", "abc"), ("txn.bad", "a2V5*")] {
                    let value = Sample::Str(value.as_bytes());
                    assert!(VarRef::parse(name).is_ok_and(|name| ctx.set_var(&name, &value)));
                }
            },
            &[
                (
                    str("abc"),
                    "hmac(sha256,txn.key),hex",
                    Some("9C196E32DC0175F86F4B1CB89289D6619DE6BEE699E4C378E68309ED97A1A6AB"),
                ),
                (str("abc"), "hmac(sha256,txn.bad)", None),
                (str("abc"), "hmac(sha256,txn.none)", None),
                (str("abc"), "secure_memcmp(txn.abc)", Some("1")),
                (str("abd"), "secure_memcmp(txn.abc)", Some("0")),
                (str("abcd"), "secure_memcmp(txn.abc)", Some("0")),
                (str("abc"), "secure_memcmp(txn.none)", None),
            ],
        );
    }
}
