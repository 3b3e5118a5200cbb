//! `jwt_decrypt_secret`, `jwt_decrypt_cert` and `jwt_decrypt_jwk`: encrypted JSON Web Tokens in compact form (RFC 7516).
//!
//! A token names its algorithms, and the key of the configuration decides which of them it serves: a secret those of AES of
//! its length, an RSA key those of OAEP. Whatever is wrong with a token, the answer is the same empty text, and nobody
//! learns what it was. Keys are read at load, but for those in variables. RSA1_5 is left out (RFC 8725 section 3.2), and
//! so is compressed content, which could be of any size.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptingKey, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::{constant_time, hmac, rand};

use super::encode::{decode_base64, decode_base64url};
use super::{json, pem};
use crate::conv::{conv_table, text};
use crate::ctx::{Buffers, Ctx};
use crate::library::Env;
use crate::sample::{Sample, Scratch};
use crate::value::{Arg, ArgKind, Value};
use crate::vars::VarRef;

const SECRET: Arg = Arg::one("secret", ArgKind::Str);
const CERT: Arg = Arg::one("cert", ArgKind::Str);
const JWK: Arg = Arg::one("jwk", ArgKind::Str);

conv_table! {
    "jwt_decrypt_cert" "jwt_decrypt_cert(<cert>)" [CERT] Str -> Bin jwt_decrypt, prepare cert_args,
        "What an encrypted JSON Web Token (RFC 7516, compact) holds, by the RSA private key in a PEM file, such as the one \
         of a certificate; empty when the token cannot be decrypted. Keys are encrypted by RSA-OAEP or RSA-OAEP-256, the \
         content by A128GCM, A192GCM, A256GCM, A128CBC-HS256, A192CBC-HS384 or A256CBC-HS512.",
        "req.hdr(x-debug-id),jwt_decrypt_cert(/etc/evenkeel/site.pem)";
    "jwt_decrypt_jwk" "jwt_decrypt_jwk(<jwk>)" [JWK] Str -> Bin jwt_decrypt, prepare jwk_args,
        "As jwt_decrypt_secret or jwt_decrypt_cert, by a JSON Web Key (RFC 7517) of the kind `oct` or `RSA`, or a variable \
         that holds one. An `alg` in the key must be that of the token.",
        "req.hdr(x-debug-id),jwt_decrypt_jwk(txn.jwk)";
    "jwt_decrypt_secret" "jwt_decrypt_secret(<secret>)" [SECRET] Str -> Bin jwt_decrypt, prepare secret_args,
        "What an encrypted JSON Web Token (RFC 7516, compact) holds, by a secret in base64url or base64, or in a variable \
         that holds it so; empty when the token cannot be decrypted. The key is encrypted by A128KW, A192KW, A256KW, \
         A128GCMKW, A192GCMKW or A256GCMKW, as long as the secret says, or is the secret (`dir`); the content as with \
         jwt_decrypt_cert.", "req.hdr(x-debug-id),jwt_decrypt_secret(GawgguFyGrWKav7AX4VKUg)";
}

/// How the key of the content is made known (RFC 7518 section 4.1).
#[derive(Clone, Copy)]
enum Algorithm {
    /// The secret is that key.
    Direct,
    /// AES Key Wrap (RFC 3394).
    Wrap(&'static cipher::Algorithm, usize),
    Gcm(&'static aead::Algorithm, usize),
    Oaep(&'static OaepAlgorithm),
}

static ALGORITHMS: [(&str, Algorithm); 9] = [
    ("dir", Algorithm::Direct),
    ("A128KW", Algorithm::Wrap(&cipher::AES_128, 16)),
    ("A192KW", Algorithm::Wrap(&cipher::AES_192, 24)),
    ("A256KW", Algorithm::Wrap(&cipher::AES_256, 32)),
    ("A128GCMKW", Algorithm::Gcm(&aead::AES_128_GCM, 16)),
    ("A192GCMKW", Algorithm::Gcm(&aead::AES_192_GCM, 24)),
    ("A256GCMKW", Algorithm::Gcm(&aead::AES_256_GCM, 32)),
    ("RSA-OAEP", Algorithm::Oaep(&OAEP_SHA1_MGF1SHA1)),
    ("RSA-OAEP-256", Algorithm::Oaep(&OAEP_SHA256_MGF1SHA256)),
];

/// How the content is encrypted (RFC 7518 section 5.1).
#[derive(Clone, Copy)]
enum Content {
    Gcm(&'static aead::Algorithm),
    Cbc(&'static cipher::Algorithm, &'static hmac::Algorithm),
}

/// With the bytes of their keys.
static CONTENTS: [(&str, Content, usize); 6] = [
    ("A128GCM", Content::Gcm(&aead::AES_128_GCM), 16),
    ("A192GCM", Content::Gcm(&aead::AES_192_GCM), 24),
    ("A256GCM", Content::Gcm(&aead::AES_256_GCM), 32),
    ("A128CBC-HS256", Content::Cbc(&cipher::AES_128, &hmac::HMAC_SHA256), 32),
    ("A192CBC-HS384", Content::Cbc(&cipher::AES_192, &hmac::HMAC_SHA384), 48),
    ("A256CBC-HS512", Content::Cbc(&cipher::AES_256, &hmac::HMAC_SHA512), 64),
];
/// Bytes of the longest key of a content.
const LONGEST: usize = 64;
/// Bytes of an initialization vector and of a tag of GCM (RFC 7518 section 4.7.1).
const GCM_IV: usize = 12;
const GCM_TAG: usize = 16;
/// Bytes of a block of AES, and of the check of a wrapped key.
const BLOCK: usize = 16;
const CHECK: usize = 8;

/// What a token is decrypted with.
struct Key {
    material: Material,
    /// The only algorithm it is for, where it says so.
    only: Option<Vec<u8>>,
}

enum Material {
    Secret(Vec<u8>),
    Rsa(OaepPrivateDecryptingKey),
}

/// What the argument becomes.
enum Decrypter {
    Ready(Key),
    Var(VarRef, Read),
}

/// Makes a key of text.
type Read = fn(&[u8]) -> Result<Key, String>;

fn secret_args(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    given_or_var(args, secret)
}

fn jwk_args(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    given_or_var(args, jwk)
}

fn given_or_var(args: &mut Vec<Value>, read: Read) -> Result<(), String> {
    let given = Value::text(args, 0);
    // No text of base64 and none of JSON is the name of a variable, which has a dot.
    let var = std::str::from_utf8(given).ok().and_then(|text| VarRef::parse(text).ok());
    let decrypter = match var {
        Some(name) => Decrypter::Var(name, read),
        None => Decrypter::Ready(read(given)?),
    };
    *args = vec![Value::Ready(Arc::new(decrypter))];
    Ok(())
}

fn cert_args(args: &mut Vec<Value>, env: &Env<'_>) -> Result<(), String> {
    let name = String::from_utf8_lossy(Value::text(args, 0)).into_owned();
    let bytes =
        (env.library.read)(Path::new(&name)).map_err(|why| format!("the key `{name}` cannot be read: {why}"))?;
    let der = pem::private_key(&bytes).ok_or_else(|| format!("`{name}` holds no private key in PEM form"))?;
    let key = rsa(&der).ok_or_else(|| format!("the private key in `{name}` is no RSA key of 2048 to 8192 bits"))?;
    *args = vec![Value::Ready(Arc::new(Decrypter::Ready(key)))];
    Ok(())
}

fn secret(text: &[u8]) -> Result<Key, String> {
    let mut bytes = Vec::new();
    if !decode_base64url(text, &mut bytes) {
        bytes.clear();
        if !decode_base64(text, &mut bytes) {
            return Err("the secret is neither base64url nor a variable".into());
        }
    }
    match bytes.len() {
        16 | 24 | 32 | 48 | LONGEST => Ok(Key { material: Material::Secret(bytes), only: None }),
        other => Err(format!("a secret has 16, 24, 32, 48 or 64 bytes, and this one has {other}")),
    }
}

fn rsa(pkcs8: &[u8]) -> Option<Key> {
    let key = OaepPrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(pkcs8).ok()?).ok()?;
    Some(Key { material: Material::Rsa(key), only: None })
}

/// A JSON Web Key (RFC 7517 section 4, RFC 7518 section 6). What it holds beyond the key and `alg` is not looked at.
fn jwk(text: &[u8]) -> Result<Key, String> {
    let [mut kind, mut alg, mut secret_of]: [Option<&[u8]>; 3] = Default::default();
    let mut numbers: [Option<Vec<u8>>; 8] = Default::default();
    let members = json::members(text, &mut |name, value| {
        let target = match name {
            b"kty" => &mut kind,
            b"alg" => &mut alg,
            b"k" => &mut secret_of,
            _ => {
                let names: [&[u8]; 8] = [b"n", b"e", b"d", b"p", b"q", b"dp", b"dq", b"qi"];
                if let Some(at) = names.iter().position(|known| *known == name) {
                    let mut number = Vec::new();
                    if !decode_base64url(json::plain_string(value)?, &mut number) {
                        return None;
                    }
                    numbers[at] = Some(number);
                }
                return Some(());
            }
        };
        *target = Some(json::plain_string(value)?);
        Some(())
    });
    members.ok_or("it is no JSON Web Key: an object with texts of base64url is expected")?;
    let key = match (kind, secret_of) {
        (Some(b"oct"), Some(encoded)) => secret(encoded)?,
        (Some(b"oct"), None) => return Err("the JSON Web Key has no `k`".into()),
        (Some(b"RSA"), _) => {
            let [Some(n), Some(e), Some(d), Some(p), Some(q), Some(dp), Some(dq), Some(qi)] = numbers else {
                return Err("an RSA key has the members n, e, d, p, q, dp, dq and qi".into());
            };
            let der = pem::rsa_key(&[n, e, d, p, q, dp, dq, qi]);
            rsa(&der).ok_or("the JSON Web Key is no RSA key of 2048 to 8192 bits")?
        }
        _ => return Err("the JSON Web Key is of no known kind: `kty` is `oct` or `RSA`".into()),
    };
    Ok(Key { only: alg.map(<[u8]>::to_vec), ..key })
}

fn jwt_decrypt<'a>(
    sample: Sample<'a>,
    args: &'a [Value],
    ctx: &'a Ctx<'_>,
    out: &'a mut Vec<u8>,
) -> Option<Sample<'a>> {
    let token = text(sample)?;
    let opened = match Value::ready::<Decrypter>(args, 0)? {
        Decrypter::Ready(key) => decrypt(token, key, ctx.buffers, out),
        Decrypter::Var(name, read) => ctx.var(name, |stored| {
            let key = read(stored.sample().as_bytes(&mut Scratch::new())).ok()?;
            decrypt(token, &key, ctx.buffers, out)
        })?,
    };
    if opened.is_none() {
        out.clear();
    }
    Some(Sample::Bin(out))
}

/// Leaves in `out` what `token` holds.
fn decrypt(token: &[u8], key: &Key, buffers: &Buffers, out: &mut Vec<u8>) -> Option<()> {
    let mut parts = token.split(|byte| *byte == b'.');
    let mut part = || parts.next();
    let (head, encrypted, iv, content, tag) = (part()?, part()?, part()?, part()?, part()?);
    if part().is_some() {
        return None;
    }
    buffers.with(|scratch| {
        decoded(head, scratch)?;
        let header = Header::read(scratch)?;
        if key.only.as_deref().is_some_and(|only| only != ALGORITHMS[header.algorithm].0.as_bytes()) {
            return None;
        }
        let (_, method, length) = CONTENTS[header.content];
        scratch.clear();
        decoded(encrypted, scratch)?;
        let mut bytes = [0; LONGEST];
        let content_key = &mut bytes[..length];
        header.content_key(key, scratch, buffers, content_key)?;
        scratch.clear();
        decoded(iv, scratch)?;
        let ends = scratch.len();
        decoded(tag, scratch)?;
        let (iv, tag) = scratch.split_at(ends);
        decoded(content, out)?;
        let opened = method.open(content_key, head, iv, tag, out)?;
        out.truncate(opened);
        Some(())
    })
}

fn decoded(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    decode_base64url(text, out).then_some(())
}

/// What the header of a token says (RFC 7516 section 4.1), by numbers in the tables.
struct Header {
    algorithm: usize,
    content: usize,
    /// Of GCM key encryption.
    iv: Option<[u8; GCM_IV]>,
    tag: Option<[u8; GCM_TAG]>,
}

impl Header {
    /// None also where it says something twice, or something that must be understood and is not.
    fn read(text: &[u8]) -> Option<Header> {
        let (mut algorithm, mut content, mut iv, mut tag) = (None, None, None, None);
        json::members(text, &mut |name, value| match name {
            b"alg" if algorithm.is_none() => {
                let name = json::plain_string(value)?;
                algorithm = Some(ALGORITHMS.iter().position(|(known, _)| known.as_bytes() == name)?);
                Some(())
            }
            b"enc" if content.is_none() => {
                let name = json::plain_string(value)?;
                content = Some(CONTENTS.iter().position(|(known, ..)| known.as_bytes() == name)?);
                Some(())
            }
            b"iv" if iv.is_none() => {
                iv = Some(sized(json::plain_string(value)?)?);
                Some(())
            }
            b"tag" if tag.is_none() => {
                tag = Some(sized(json::plain_string(value)?)?);
                Some(())
            }
            b"alg" | b"enc" | b"iv" | b"tag" | b"zip" | b"crit" => None,
            _ => Some(()),
        })?;
        Some(Header { algorithm: algorithm?, content: content?, iv, tag })
    }

    /// Fills `out` with the key of the content, which is `encrypted`.
    fn content_key(&self, key: &Key, encrypted: &mut [u8], buffers: &Buffers, out: &mut [u8]) -> Option<()> {
        match (ALGORITHMS[self.algorithm].1, &key.material) {
            (Algorithm::Direct, Material::Secret(secret)) if encrypted.is_empty() && secret.len() == out.len() => {
                out.copy_from_slice(secret);
                Some(())
            }
            (Algorithm::Wrap(algorithm, length), Material::Secret(secret)) if secret.len() == length => {
                unwrap(algorithm, secret, encrypted, out)
            }
            (Algorithm::Gcm(algorithm, length), Material::Secret(secret)) if secret.len() == length => {
                let key = LessSafeKey::new(UnboundKey::new(algorithm, secret).ok()?);
                let nonce = Nonce::assume_unique_for_key(self.iv?);
                let opened = key.open_in_place_separate_tag(nonce, Aad::empty(), &self.tag?, encrypted).ok()?;
                (opened.len() == out.len()).then(|| out.copy_from_slice(opened))
            }
            (Algorithm::Oaep(algorithm), Material::Rsa(key)) => buffers.with(|room| {
                room.resize(key.min_output_size(), 0);
                match key.decrypt(algorithm, encrypted, room, None) {
                    Ok(opened) if opened.len() == out.len() => {
                        out.copy_from_slice(opened);
                        Some(())
                    }
                    // The content is tried all the same, so that time does not tell which part was wrong (RFC 7516
                    // section 11.5).
                    _ => rand::fill(out).ok(),
                }
            }),
            _ => None,
        }
    }
}

/// Exactly `N` bytes of base64url.
fn sized<const N: usize>(encoded: &[u8]) -> Option<[u8; N]> {
    // The text of so many bytes and no longer: what a token says of itself takes no memory.
    if encoded.len() != (N * 8).div_ceil(6) {
        return None;
    }
    let mut bytes = Vec::with_capacity(N);
    decoded(encoded, &mut bytes)?;
    bytes.try_into().ok()
}

/// AES Key Wrap backwards (RFC 3394 section 2.2.2) from `wrapped` into `out`.
fn unwrap(algorithm: &'static cipher::Algorithm, secret: &[u8], wrapped: &[u8], out: &mut [u8]) -> Option<()> {
    let key = DecryptingKey::ecb(UnboundCipherKey::new(algorithm, secret).ok()?).ok()?;
    let (first, rest) = wrapped.split_first_chunk::<CHECK>()?;
    if rest.len() != out.len() {
        return None;
    }
    out.copy_from_slice(rest);
    let (mut check, count) = (*first, out.len() / CHECK);
    for step in (1..=6 * count).rev() {
        let at = (step - 1) % count * CHECK;
        let mut block = [0; BLOCK];
        let mixed = u64::from_be_bytes(check) ^ step as u64;
        block[..CHECK].copy_from_slice(&mixed.to_be_bytes());
        block[CHECK..].copy_from_slice(&out[at..at + CHECK]);
        key.decrypt(&mut block, DecryptionContext::None).ok()?;
        check.copy_from_slice(&block[..CHECK]);
        out[at..at + CHECK].copy_from_slice(&block[CHECK..]);
    }
    constant_time::verify_slices_are_equal(&check, &[0xa6; CHECK]).ok()
}

impl Content {
    /// Decrypts `content` in place, and says how many bytes are left of it. `head` is what is authenticated beside it.
    fn open(self, key: &[u8], head: &[u8], iv: &[u8], tag: &[u8], content: &mut [u8]) -> Option<usize> {
        match self {
            Content::Gcm(algorithm) => {
                if tag.len() != GCM_TAG {
                    return None;
                }
                let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
                let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
                Some(key.open_in_place_separate_tag(nonce, Aad::from(head), tag, content).ok()?.len())
            }
            // RFC 7518 section 5.2.2.2. What is not authentic is never decrypted: its padding tells nothing.
            Content::Cbc(algorithm, mac) => {
                let (mac_key, key) = key.split_at(key.len() / 2);
                let mut context = hmac::Context::with_key(&hmac::Key::new(*mac, mac_key));
                for part in [head, iv, content, &(head.len() as u64 * 8).to_be_bytes()] {
                    context.update(part);
                }
                let expected = context.sign();
                constant_time::verify_slices_are_equal(&expected.as_ref()[..mac_key.len()], tag).ok()?;
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
                let iv = DecryptionContext::Iv128(FixedLength::try_from(iv).ok()?);
                Some(key.decrypt(content, iv).ok()?.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::conv::testing::{convert_with, refused_with};
    use crate::library::Library;
    use crate::testing::{REQUEST, Rng, with_ctx};

    /// Made by another implementation; the first lines say how.
    const TOKENS: &str = include_str!("../../tests/data/encrypted.txt");
    const RSA: &str = include_str!("../../tests/data/rsa.jwk");
    /// RFC 7516 appendix A.1.
    const OAEP: &str = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.\
        OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGeipsEdY3mx_etLbbWSrFr05kLzcSr4qKAq7YN7e9jwQRb23nfa6c9\
        d-StnImGyFDbSv04uVuxIp5Zms1gNxKKK2Da14B8S4rzVRltdYwam_lDp5XnZAYpQdb76FdIKLaVmqgfwX7XWRxv2322i-vDxRfqNzo_tETKzpVLzfiw\
        QyeyPGLBIO56YJ7eObdv0je81860ppamavo35UgoRdbYaBcoh9QcfylQr66oc6vFWXRcZ_ZT2LawVCWTIy3brGPi6UklfCpIMfIjf7iGdXKHzg.\
        48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A.\
        XFBoMYUZodetZdvTiFvSkQ";
    /// RFC 7516 appendix A.3, and its key.
    const WRAPPED: &str = "eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.\
        6KB707dM9YTIgHtLvtgWQ8mKwboJW3of9locizkDTHzBC2IlrT1oOQ.AxY8DCtDaGlsbGljb3RoZQ.\
        KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY.U0m_YmjN04DJvceFICbCVQ";
    const WRAPPING: &str = "GawgguFyGrWKav7AX4VKUg";
    /// As those of the file, its content compressed.
    const ZIPPED: &str = "eyJhbGciOiAiQTEyOEtXIiwgImVuYyI6ICJBMTI4R0NNIiwgInppcCI6ICJERUYifQ.\
        ByOdUm6EahZaXT9HD_qNxIMFAmeWbWgP.OPqmzGhXRpFIeNpW.-rQMN1soOz1czvH1GzvCiww.KjyxppbGYUU_hTKQW8u4dg";

    /// The secrets of the file, by length.
    fn key_of(length: usize) -> String {
        let mut text = String::new();
        let bytes: Vec<u8> = (1..=length as u8).collect();
        for chunk in bytes.chunks(3) {
            let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".as_bytes();
            let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
            let bits = at(0) << 16 | at(1) << 8 | at(2);
            (0..=chunk.len()).for_each(|digit| text.push(digits[(bits >> (18 - 6 * digit)) as usize & 63].into()));
        }
        text
    }

    fn tokens() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        TOKENS.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let mut words = line.split(' ');
            (words.next().unwrap(), words.next().unwrap(), words.next().unwrap())
        })
    }

    /// The converter that opens a token of those algorithms.
    fn steps(algorithm: &str, content: &str) -> String {
        let of_content = CONTENTS.iter().find(|(name, ..)| *name == content).unwrap().2;
        match ALGORITHMS.iter().find(|(name, _)| *name == algorithm).unwrap().1 {
            Algorithm::Direct => format!("jwt_decrypt_secret({})", key_of(of_content)),
            Algorithm::Wrap(_, length) | Algorithm::Gcm(_, length) => {
                format!("jwt_decrypt_secret({})", key_of(length))
            }
            Algorithm::Oaep(_) => "jwt_decrypt_cert(rsa.pem)".to_owned(),
        }
    }

    fn library() -> Library {
        let pem = include_str!("../../tests/data/rsa.pem");
        let mut pkcs1 = String::from("-----BEGIN RSA PRIVATE KEY-----\n");
        pkcs1.push_str(include_str!("../../tests/data/rsa1.b64"));
        pkcs1.push_str("-----END RSA PRIVATE KEY-----\n");
        let read = move |path: &Path| match path.to_str().unwrap() {
            "rsa.pem" => Ok(pem.as_bytes().to_vec()),
            "rsa1.pem" => Ok(pkcs1.as_bytes().to_vec()),
            "rsa.crt" => Ok(pem.split_inclusive("-----END CERTIFICATE-----").next().unwrap().as_bytes().to_vec()),
            "ec.pem" => Ok(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        Library { read: Box::new(read), ..Library::default() }
    }

    fn check(token: &str, steps: &str, expected: Option<&str>) {
        let found = with_ctx(REQUEST, |ctx| {
            for (name, value) in [("txn.secret", WRAPPING), ("txn.jwk", RSA), ("txn.bad", "secret")] {
                ctx.set_var(&VarRef::parse(name).unwrap(), &Sample::Str(value.as_bytes()));
            }
            convert_with(&library(), ctx, Sample::Str(token.as_bytes()), steps)
        });
        assert_eq!(found.as_deref(), expected, "{token},{steps}");
    }

    #[test]
    fn what_the_rfc_and_another_implementation_encrypt_is_decrypted() {
        let rsa = format!("jwt_decrypt_jwk('{RSA}')");
        for steps in [&*rsa, "jwt_decrypt_jwk(txn.jwk)", "jwt_decrypt_cert(rsa.pem)", "jwt_decrypt_cert(rsa1.pem)"] {
            check(OAEP, steps, Some("The true sign of intelligence is not knowledge but imagination."));
        }
        let oct = format!("jwt_decrypt_jwk('{{\"kty\":\"oct\",\"alg\":\"A128KW\",\"k\":\"{WRAPPING}\"}}')");
        for steps in ["jwt_decrypt_secret(GawgguFyGrWKav7AX4VKUg)", "jwt_decrypt_secret(GawgguFyGrWKav7AX4VKUg==)"] {
            check(WRAPPED, steps, Some("Live long and prosper."));
        }
        for steps in [&*oct, "jwt_decrypt_secret(txn.secret)"] {
            check(WRAPPED, steps, Some("Live long and prosper."));
        }
        assert_eq!(tokens().count(), 54);
        for (algorithm, content, token) in tokens() {
            let steps = steps(algorithm, content);
            check(token, &steps, Some(r#"{"sub":"alice"}"#));
            check(token, &format!("{steps},json_query('$.sub')"), Some("alice"));
        }
    }

    /// RFC 7518 appendices B.1 to B.3.
    #[test]
    fn cbc_with_hmac_is_that_of_the_standard() {
        let iv = [0x1a, 0xf3, 0x8c, 0x2d, 0xc2, 0xb9, 0x6f, 0xfd, 0xd8, 0x66, 0x94, 0x09, 0x23, 0x41, 0xbc, 0x04];
        let text = "A cipher system must not be required to be secret, and it must be able to fall into the hands of the \
            enemy without inconvenience";
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        for (name, sealed, tag) in
            [("A128CBC-HS256", B1.0, B1.1), ("A192CBC-HS384", B2.0, B2.1), ("A256CBC-HS512", B3.0, B3.1)]
        {
            let (_, method, length) = CONTENTS.iter().find(|(known, ..)| *known == name).unwrap();
            let key: Vec<u8> = (0..*length as u8).collect();
            let head = b"The second principle of Auguste Kerckhoffs";
            let (mut content, tag) = (hex(sealed), hex(tag));
            let opened = method.open(&key, head, &iv, &tag, &mut content).unwrap();
            assert_eq!(&content[..opened], text.as_bytes(), "{name}");
            for (iv, tag) in [(&iv[..15], &tag[..]), (&iv, &tag[..tag.len() - 1]), (&iv, b"")] {
                assert_eq!(method.open(&key, head, iv, tag, &mut hex(sealed)), None, "{name}");
            }
        }
    }

    const B1: (&str, &str) = (
        "c80edfa32ddf39d5ef00c0b468834279a2e46a1b8049f792f76bfe54b903a9c9a94ac9b47ad2655c5f10f9aef71427e2fc6f\
         9b3f399a221489f16362c703233609d45ac69864e3321cf82935ac4096c86e133314c54019e8ca7980dfa4b9cf1b384c486f\
         3a54c51078158ee5d79de59fbd34d848b3d69550a67646344427ade54b8851ffb598f7f80074b9473c82e2db",
        "652c3fa36b0a7c5b3219fab3a30bc1c4",
    );
    const B2: (&str, &str) = (
        "ea65da6b59e61edb419be62d19712ae5d303eeb50052d0dfd6697f77224c8edb000d279bdc14c1072654bd30944230c657be\
         d4ca0c9f4a8466f22b226d1746214bf8cfc2400add9f5126e479663fc90b3bed787a2f0ffcbf3904be2a641d5c2105bfe591\
         bae23b1d7449e532eef60a9ac8bb6c6b01d35d49787bcd57ef484927f280adc91ac0c4e79c7b11efc60054e3",
        "8490ac0e58949bfe51875d733f93ac2075168039ccc733d7",
    );
    const B3: (&str, &str) = (
        "4affaaadb78c31c5da4b1b590d10ffbd3dd8d5d302423526912da037ecbcc7bd822c301dd67c373bccb584ad3e9279c2e6d1\
         2a1374b77f077553df829410446b36ebd97066296ae6427ea75c2e0846a11a09ccf5370dc80bfecbad28c73f09b3a3b75e66\
         2a2594410ae496b2e2e6609e31e6e02cc837f053d21f37ff4f51950bbe2638d09dd7a4930930806d0703b1f6",
        "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5",
    );

    /// `head.` and the parts of the wrapped token behind it.
    fn with_head(head: &str) -> String {
        let mut encoded = String::new();
        with_ctx(REQUEST, |ctx| {
            encoded = convert_with(&library(), ctx, Sample::Str(head.as_bytes()), "ub64enc").unwrap();
        });
        format!("{encoded}.{}", WRAPPED.split_once('.').unwrap().1)
    }

    #[test]
    fn what_cannot_be_decrypted_is_empty() {
        let secret = "jwt_decrypt_secret(GawgguFyGrWKav7AX4VKUg)";
        let other = "jwt_decrypt_secret(GawgguFyGrWKav7AX4VKUw)";
        let only = format!("jwt_decrypt_jwk('{{\"kty\":\"oct\",\"alg\":\"A128GCMKW\",\"k\":\"{WRAPPING}\"}}')");
        let zip_key = format!("jwt_decrypt_secret({})", key_of(16));
        for (token, steps) in [
            (WRAPPED, other),
            (WRAPPED, "jwt_decrypt_cert(rsa.pem)"),
            (WRAPPED, "jwt_decrypt_secret(txn.bad)"),
            (WRAPPED, "jwt_decrypt_jwk(txn.bad)"),
            (WRAPPED, &*only),
            (OAEP, secret),
            (ZIPPED, &*zip_key),
            ("", secret),
            ("....", secret),
            ("a.b.c", secret),
            (&*format!("{WRAPPED}."), secret),
            (&*WRAPPED.replace("U0m_", "U0n_"), secret),
            (&*WRAPPED.replace(".U0m_YmjN04DJvceFICbCVQ", "."), secret),
            (&*with_head(r#"{"alg":"RSA1_5","enc":"A128CBC-HS256"}"#), secret),
            (&*with_head(r#"{"alg":"dir","enc":"A128CBC-HS256"}"#), secret),
            (&*with_head(r#"{"alg":"A128KW","enc":"none"}"#), secret),
            (&*with_head(r#"{"alg":"A128KW"}"#), secret),
            (&*with_head("[]"), secret),
        ] {
            check(token, steps, Some(""));
        }
        check(WRAPPED, "jwt_decrypt_secret(txn.unset)", None);
    }

    #[test]
    fn headers_are_read_whole() {
        let read = |text: &str| Header::read(text.as_bytes()).map(|header| (header.algorithm, header.content));
        assert_eq!(read(r#"{"alg":"A128KW","enc":"A128GCM"}"#), Some((1, 0)));
        assert_eq!(read(" { \"typ\" : \"JWT\", \"x\":[{}],\"enc\":\"A256GCM\" ,\"alg\":\"dir\" } "), Some((0, 2)));
        for text in [
            r#"{"alg":"A128KW","enc":"A128GCM","crit":["x"]}"#,
            r#"{"alg":"A128KW","enc":"A128GCM","zip":"DEF"}"#,
            r#"{"alg":"A128KW","enc":"A128GCM","alg":"dir"}"#,
            r#"{"alg":"A128KW","enc":"A128GCM","\u0063rit":1}"#,
            r#"{"alg":"A128KW","enc":"A128GCM","iv":"AA"}"#,
            r#"{"alg":"A128KW","enc":"A128GCM"}x"#,
            r#"{"alg":"A128KW","enc":"A128GCM""#,
            r#"{"alg":"A128KW","enc":"A128GCM",}"#,
            r#"{"alg":["A128KW"],"enc":"A128GCM"}"#,
            r#"{"enc":"A128GCM"}"#,
            "{}",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn keys_are_checked_at_load() {
        let jwk = |members: &str| format!("jwt_decrypt_jwk('{{{members}}}')");
        for (steps, why) in [
            ("jwt_decrypt_secret(AAEC)".to_owned(), "has 16, 24, 32, 48 or 64 bytes, and this one has 3"),
            ("jwt_decrypt_secret(!!)".to_owned(), "neither base64url nor a variable"),
            ("jwt_decrypt_cert(none.pem)".to_owned(), "cannot be read"),
            ("jwt_decrypt_cert(rsa.crt)".to_owned(), "holds no private key"),
            ("jwt_decrypt_cert(ec.pem)".to_owned(), "is no RSA key"),
            ("jwt_decrypt_jwk(abc)".to_owned(), "no JSON Web Key"),
            (jwk(""), "`kty` is `oct` or `RSA`"),
            (jwk("\"kty\":\"oct\""), "has no `k`"),
            (jwk("\"kty\":\"oct\",\"k\":\"AAEC\""), "this one has 3"),
            (jwk("\"kty\":\"EC\",\"k\":\"AAEC\""), "`kty` is `oct` or `RSA`"),
            (jwk("\"kty\":\"RSA\",\"n\":\"AQAB\""), "n, e, d, p, q, dp, dq and qi"),
            (format!("jwt_decrypt_jwk('{}')", RSA.replace("\"e\":\"AQAB\"", "\"e\":\"\"")), "no RSA key"),
        ] {
            let message = refused_with(&library(), Sample::Str(b""), &steps);
            assert!(message.contains(why), "{steps}: {message}");
        }
    }

    /// A token with any byte changed is decrypted to nothing, unless its base64 means the same bytes.
    #[test]
    fn changed_tokens_are_empty() {
        let seed = 0x5eed_001e;
        let mut rng = Rng::new(seed);
        let all: Vec<_> = tokens().collect();
        let buffers = Buffers::default();
        for round in 0..4000 {
            // The keys of RSA take long.
            let (algorithm, content, token) = all[rng.below(42) as usize];
            let steps = steps(algorithm, content);
            let given = steps.strip_prefix("jwt_decrypt_secret(").unwrap().trim_end_matches(')');
            let key = secret(given.as_bytes()).unwrap();
            let mut changed = token.as_bytes().to_vec();
            let at = rng.below(changed.len() as u64) as usize;
            match rng.below(4) {
                0 => changed.truncate(at),
                1 => changed[at] = rng.below(256) as u8,
                2 => changed.insert(at, b"A._-"[rng.below(4) as usize]),
                _ => {
                    changed.remove(at);
                }
            }
            let same = {
                let parts = |token: &[u8]| -> Vec<Option<Vec<u8>>> {
                    let part = |text: &[u8]| {
                        let mut bytes = Vec::new();
                        decode_base64url(text, &mut bytes).then_some(bytes)
                    };
                    token.split(|byte| *byte == b'.').map(part).collect()
                };
                // The head is authenticated as it is written.
                let head = |token: &[u8]| token.split(|byte| *byte == b'.').next().map(<[u8]>::to_vec);
                parts(&changed) == parts(token.as_bytes()) && head(&changed) == head(token.as_bytes())
            };
            let mut out = Vec::new();
            let opened = decrypt(&changed, &key, &buffers, &mut out);
            assert_eq!(opened.is_some(), same, "seed {seed:#x} round {round}: {}", changed.escape_ascii());
            assert!(out.len() <= changed.len(), "seed {seed:#x} round {round}");
        }
    }
}
