//! Converters by AES: GCM, which tells what was changed, and CBC, which does not.

use std::sync::Arc;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use super::crypto::Secret;
use super::encode::encode_base64;
use crate::conv::{bounded, conv_table, text};
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};
use crate::vars::VarRef;

const BITS: Arg = Arg::one("bits", ArgKind::Int);
const NONCE: Arg = Arg::one("nonce", ArgKind::Str);
const KEY: Arg = Arg::one("key", ArgKind::Str);
const TAG: Arg = Arg::one("aead_tag", ArgKind::Str);
const TAG_OUT: Arg = Arg::one("aead_tag", ArgKind::Var);
const AAD: Arg = Arg::maybe("aad", ArgKind::Str);

conv_table! {
    "aes_cbc_dec" "aes_cbc_dec(<bits>,<nonce>,<key>)" [BITS, NONCE, KEY] Bin -> Bin aes_cbc_dec, prepare cbc_args,
        "The input decrypted by AES-CBC with a key of 128, 192 or 256 bits, the padding of PKCS #7 taken off; undefined when \
         that is wrong. It does not tell whether the input was changed. Nonce (16 bytes) and key are base64, or variables \
         that hold it.",
        "path,aes_cbc_dec(128,txn.nonce,Zm9vb2Zvb29mb29wZm9vbw==)";
    "aes_cbc_enc" "aes_cbc_enc(<bits>,<nonce>,<key>)" [BITS, NONCE, KEY] Bin -> Bin aes_cbc_enc, prepare cbc_args,
        "The input padded as of PKCS #7 and encrypted by AES-CBC with a key of 128, 192 or 256 bits. Nonce (16 bytes, never \
         to be guessed) and key are base64, or variables that hold it.",
        "path,aes_cbc_enc(128,txn.nonce,Zm9vb2Zvb29mb29wZm9vbw==)";
    "aes_gcm_dec" "aes_gcm_dec(<bits>,<nonce>,<key>,<aead_tag>[,<aad>])" [BITS, NONCE, KEY, TAG, AAD] Bin -> Bin
        aes_gcm_dec, prepare gcm_dec_args,
        "The input decrypted by AES-GCM with a key of 128, 192 or 256 bits; undefined when it was changed. Nonce (12 \
         bytes), key, tag and additional data are base64, or variables that hold it.",
        "path,aes_gcm_dec(128,txn.nonce,Zm9vb2Zvb29mb29wZm9vbw==,txn.tag)";
    "aes_gcm_enc" "aes_gcm_enc(<bits>,<nonce>,<key>,<aead_tag>[,<aad>])" [BITS, NONCE, KEY, TAG_OUT, AAD] Bin -> Bin
        aes_gcm_enc, prepare gcm_enc_args,
        "The input encrypted by AES-GCM with a key of 128, 192 or 256 bits; its tag, in base64, is set as the variable. Nonce \
         (12 bytes, never used twice with a key), key and additional data are base64, or variables that hold it.",
        "path,aes_gcm_enc(128,txn.nonce,Zm9vb2Zvb29mb29wZm9vbw==,txn.tag)";
}

struct Gcm {
    algorithm: &'static aead::Algorithm,
    nonce: Secret,
    key: Secret,
    tag: Tag,
    aad: Option<Secret>,
}

/// Where the tag is.
enum Tag {
    /// It comes from here.
    Given(Secret),
    /// It is left here.
    Into(VarRef),
}

struct Cbc {
    algorithm: &'static cipher::Algorithm,
    nonce: Secret,
    key: Secret,
}

/// The first of `of` for 128 bits, then for 192 and 256.
fn by_bits<'a, T>(args: &[Value], of: [&'a T; 3]) -> Result<(&'a T, usize), String> {
    match Value::int(args, 0) {
        Some(128) => Ok((of[0], 16)),
        Some(192) => Ok((of[1], 24)),
        Some(256) => Ok((of[2], 32)),
        _ => Err("AES has keys of 128, 192 or 256 bits".into()),
    }
}

/// Argument `at`, which has `len` bytes; what a variable holds is not known yet.
fn sized(args: &[Value], at: usize, what: &str, len: usize) -> Result<Secret, String> {
    let secret = Secret::parse(args, at, what)?;
    match &secret {
        Secret::Bytes(bytes) if bytes.len() != len => {
            Err(format!("the {what} has {} bytes and must have {len}", bytes.len()))
        }
        _ => Ok(secret),
    }
}

fn gcm_args(args: &mut Vec<Value>, tag: Tag) -> Result<(), String> {
    let (algorithm, len) = by_bits(args, [&aead::AES_128_GCM, &aead::AES_192_GCM, &aead::AES_256_GCM])?;
    let gcm = Gcm {
        algorithm,
        nonce: Secret::parse(args, 1, "nonce")?,
        key: sized(args, 2, "key", len)?,
        tag,
        aad: if args.len() > 4 { Some(Secret::parse(args, 4, "additional data")?) } else { None },
    };
    *args = vec![Value::Ready(Arc::new(gcm))];
    Ok(())
}

fn gcm_dec_args(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    let tag = Tag::Given(Secret::parse(args, 3, "tag")?);
    gcm_args(args, tag)
}

fn gcm_enc_args(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    let name = Value::var(args, 3).ok_or("the tag is left in a variable")?.clone();
    gcm_args(args, Tag::Into(name))
}

fn cbc_args(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    let (algorithm, len) = by_bits(args, [&cipher::AES_128, &cipher::AES_192, &cipher::AES_256])?;
    let cbc = Cbc { algorithm, nonce: sized(args, 1, "nonce", 16)?, key: sized(args, 2, "key", len)? };
    *args = vec![Value::Ready(Arc::new(cbc))];
    Ok(())
}

impl Gcm {
    fn key(&self, ctx: &Ctx<'_>) -> Option<LessSafeKey> {
        self.key.with(ctx, |bytes| UnboundKey::new(self.algorithm, bytes).ok().map(LessSafeKey::new))
    }

    fn nonce(&self, ctx: &Ctx<'_>) -> Option<Nonce> {
        self.nonce.with(ctx, |bytes| Nonce::try_assume_unique_for_key(bytes).ok())
    }

    fn with_aad<R>(&self, ctx: &Ctx<'_>, f: impl FnOnce(&[u8]) -> Option<R>) -> Option<R> {
        match &self.aad {
            Some(aad) => aad.with(ctx, f),
            None => f(b""),
        }
    }
}

fn aes_gcm_dec<'a>(
    sample: Sample<'a>,
    args: &'a [Value],
    ctx: &'a Ctx<'_>,
    out: &'a mut Vec<u8>,
) -> Option<Sample<'a>> {
    let (input, gcm) = (text(sample)?, Value::ready::<Gcm>(args, 0)?);
    let Tag::Given(tag) = &gcm.tag else { return None };
    out.extend_from_slice(input);
    let (key, nonce) = (gcm.key(ctx)?, gcm.nonce(ctx)?);
    tag.with(ctx, |tag| {
        gcm.with_aad(ctx, |aad| key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, out).ok().map(|_| ()))
    })?;
    bounded(out, input).map(Sample::Bin)
}

fn aes_gcm_enc<'a>(
    sample: Sample<'a>,
    args: &'a [Value],
    ctx: &'a Ctx<'_>,
    out: &'a mut Vec<u8>,
) -> Option<Sample<'a>> {
    let (input, gcm) = (text(sample)?, Value::ready::<Gcm>(args, 0)?);
    let Tag::Into(name) = &gcm.tag else { return None };
    out.extend_from_slice(input);
    let (key, nonce) = (gcm.key(ctx)?, gcm.nonce(ctx)?);
    let tag = gcm.with_aad(ctx, |aad| key.seal_in_place_separate_tag(nonce, Aad::from(aad), out).ok())?;
    ctx.buffers.with(|written| {
        encode_base64(tag.as_ref(), written);
        ctx.set_var(name, &Sample::Str(written)).then_some(())
    })?;
    bounded(out, input).map(Sample::Bin)
}

impl Cbc {
    fn key(&self, ctx: &Ctx<'_>) -> Option<UnboundCipherKey> {
        self.key.with(ctx, |bytes| UnboundCipherKey::new(self.algorithm, bytes).ok())
    }

    fn nonce(&self, ctx: &Ctx<'_>) -> Option<FixedLength<16>> {
        self.nonce.with(ctx, |bytes| FixedLength::try_from(bytes).ok())
    }
}

fn aes_cbc_dec<'a>(
    sample: Sample<'a>,
    args: &'a [Value],
    ctx: &'a Ctx<'_>,
    out: &'a mut Vec<u8>,
) -> Option<Sample<'a>> {
    let (input, cbc) = (text(sample)?, Value::ready::<Cbc>(args, 0)?);
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(cbc.key(ctx)?).ok()?;
    let nonce = DecryptionContext::Iv128(cbc.nonce(ctx)?);
    out.extend_from_slice(input);
    let opened = key.decrypt(out, nonce).ok()?.len();
    Some(Sample::Bin(&out[..opened]))
}

fn aes_cbc_enc<'a>(
    sample: Sample<'a>,
    args: &'a [Value],
    ctx: &'a Ctx<'_>,
    out: &'a mut Vec<u8>,
) -> Option<Sample<'a>> {
    let (input, cbc) = (text(sample)?, Value::ready::<Cbc>(args, 0)?);
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(cbc.key(ctx)?).ok()?;
    let nonce = EncryptionContext::Iv128(cbc.nonce(ctx)?);
    out.extend_from_slice(input);
    key.less_safe_encrypt(out, nonce).ok()?;
    // One block more than the input at most, whatever its length.
    Some(Sample::Bin(out))
}

#[cfg(test)]
mod tests {
    use crate::conv::testing::{check, check_with, refused};
    use crate::sample::Sample;
    use crate::vars::VarRef;

    const KEY: &str = "/v/pkoZlcxxtao+UZzCDCA==";
    const NONCE: &str = "yv66vvrO263eyviI";
    const TAG: &str = "TVwq8yfNZKYs81q9K6b6tA==";
    /// Test case 3 of the GCM specification: AES-128, no additional data.
    const OPEN: &str = "D9313225F88406E5A55909C5AFF5269A86A7A9531534F7DA2E4C303D8A318A721C3C0C95956809532FCF0E2449A6B525B16AEDF5AA0DE657BA637B391AAFD255";
    const SEALED: &str = "42831EC2217774244B7221B784D0D49CE3AA212F2C02A4E035C17E2329ACA12E21D514B25466931C7D8F6A5AAC84AA051BA30B396A0AAC973D58E091473F5985";

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or(0)).collect()
    }

    #[test]
    fn aes_gcm_opens_what_was_sealed() {
        let sealed = hex(SEALED);
        let steps = |tag: &str, nonce: &str| format!("aes_gcm_dec(128,{nonce},{KEY},{tag}),hex");
        check(Sample::Bin(&sealed), &steps(TAG, NONCE), Some(OPEN));
        check(Sample::Bin(&sealed), &steps("TVwq8yfNZKYs81q9K6b6tQ==", NONCE), None);
        check(Sample::Bin(&sealed), &steps(TAG, "yv66vg=="), None);
        check(Sample::Bin(&sealed), &steps("txn.none", NONCE), None);
        for steps in [
            "aes_gcm_dec(100,a,a,a)",
            "aes_gcm_dec(256,yv66vvrO263eyviI,/v/pkoZlcxxtao+UZzCDCA==,TVwq8yfNZKYs81q9K6b6tA==)",
        ] {
            refused(Sample::Bin(b""), steps);
        }
    }

    #[test]
    fn aes_gcm_seals_and_leaves_the_tag() {
        let open = hex(OPEN);
        let sealed = hex(SEALED);
        let again = format!("aes_gcm_dec(128,{NONCE},{KEY},txn.tag),hex");
        let with_aad =
            format!("aes_gcm_enc(128,{NONCE},{KEY},txn.tag,YWJj),aes_gcm_dec(128,{NONCE},{KEY},txn.tag,YWJj),hex");
        let other_aad =
            format!("aes_gcm_enc(128,{NONCE},{KEY},txn.tag,YWJj),aes_gcm_dec(128,{NONCE},{KEY},txn.tag,YWJk),hex");
        check_with(
            |_| {},
            &[
                (Sample::Bin(&sealed), &again, None),
                (Sample::Bin(&open), &format!("aes_gcm_enc(128,{NONCE},{KEY},txn.tag),hex"), Some(SEALED)),
                (Sample::Bin(&sealed), &again, Some(OPEN)),
                (Sample::Str(TAG.as_bytes()), "strcmp(txn.tag)", Some("0")),
                (Sample::Bin(&open), &with_aad, Some(OPEN)),
                (Sample::Bin(&open), &other_aad, None),
                (Sample::Bin(&open), &format!("aes_gcm_enc(128,txn.none,{KEY},txn.tag)"), None),
            ],
        );
        refused(Sample::Bin(b""), &format!("aes_gcm_enc(128,{NONCE},{KEY},{TAG})"));
    }

    /// NIST SP 800-38A, F.2.1; the second block there is is the padding.
    #[test]
    fn aes_cbc_is_that_of_the_standard() {
        let open = hex("6BC1BEE22E409F96E93D7E117393172A");
        let args = "128,AAECAwQFBgcICQoLDA0ODw==,K34VFiiu0qar9xWICc9PPA==";
        let first = "bytes(0,16),hex";
        check(Sample::Bin(&open), &format!("aes_cbc_enc({args}),{first}"), Some("7649ABAC8119B246CEE98E9B12E9197D"));
        for text in ["", "a", "fifteen bytes..", "sixteen bytes...", "more than a block of it"] {
            check(Sample::Str(text.as_bytes()), &format!("aes_cbc_enc({args}),aes_cbc_dec({args})"), Some(text));
        }
        // Neither whole blocks nor a padding.
        check(Sample::Str(b"abc"), &format!("aes_cbc_dec({args})"), None);
        check(Sample::Bin(&[0; 16]), &format!("aes_cbc_dec({args})"), None);
        check_with(
            |ctx| {
                for (name, value) in [("txn.key", "K34VFiiu0qar9xWICc9PPA=="), ("txn.short", "AAEC")] {
                    assert!(VarRef::parse(name).is_ok_and(|name| ctx.set_var(&name, &Sample::Str(value.as_bytes()))));
                }
            },
            &[
                (
                    Sample::Bin(&open),
                    "aes_cbc_enc(128,AAECAwQFBgcICQoLDA0ODw==,txn.key),bytes(0,16),hex",
                    Some("7649ABAC8119B246CEE98E9B12E9197D"),
                ),
                (Sample::Bin(&open), "aes_cbc_enc(128,AAECAwQFBgcICQoLDA0ODw==,txn.short)", None),
                (Sample::Bin(&open), "aes_cbc_enc(128,txn.short,txn.key)", None),
            ],
        );
        for steps in ["aes_cbc_enc(128,AAEC,txn.key)", "aes_cbc_dec(256,txn.nonce,K34VFiiu0qar9xWICc9PPA==)"] {
            refused(Sample::Bin(b""), steps);
        }
    }
}
