//! Keys out of PEM files (RFC 7468) and JSON Web Keys, and the little DER that takes.
//!
//! Called at load by the converters of tokens. Never trusts a length.

use super::encode::decode_base64;

/// The first block whose contents `pick` wants; `None` also when a block before it is no base64.
fn first<T>(pem: &[u8], mut pick: impl FnMut(&str, Vec<u8>) -> Option<T>) -> Option<T> {
    let text = std::str::from_utf8(pem).ok()?;
    for block in text.split("-----BEGIN ").skip(1) {
        let (label, rest) = block.split_once("-----")?;
        let (body, _) = rest.split_once("-----END ")?;
        let base64: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let mut der = Vec::new();
        if !decode_base64(&base64, &mut der) {
            return None;
        }
        if let Some(found) = pick(label, der) {
            return Some(found);
        }
    }
    None
}

/// The first public key, in DER: that of a certificate, or one by itself.
pub(super) fn public_key(pem: &[u8]) -> Option<Vec<u8>> {
    first(pem, |label, der| match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => Some(der),
        "CERTIFICATE" => certificate_key(&der).map(<[u8]>::to_vec),
        _ => None,
    })
}

/// The public key, in DER, of the first certificate.
pub(super) fn certificate(pem: &[u8]) -> Option<Vec<u8>> {
    first(pem, |label, der| match label {
        "CERTIFICATE" => certificate_key(&der).map(<[u8]>::to_vec),
        _ => None,
    })
}

/// The first private key, as PKCS #8.
pub(super) fn private_key(pem: &[u8]) -> Option<Vec<u8>> {
    first(pem, |label, der| match label {
        "PRIVATE KEY" => Some(der),
        "RSA PRIVATE KEY" => Some(pkcs8(&der)),
        _ => None,
    })
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// An RSA private key, as PKCS #8, of its numbers n, e, d, p, q, dp, dq and qi (RFC 8017 appendix A.1.2).
pub(super) fn rsa_key(numbers: &[Vec<u8>; 8]) -> Vec<u8> {
    let mut key = vec![INTEGER, 1, 0];
    for number in numbers {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let digits = &number[zeros..];
        // A number whose first bit is set would be a negative one.
        let sign: &[u8] = if digits.first().is_none_or(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
        write(INTEGER, &[sign, digits].concat(), &mut key);
    }
    let mut whole = Vec::new();
    write(SEQUENCE, &key, &mut whole);
    pkcs8(&whole)
}

/// An RSA private key of PKCS #1 in the form of PKCS #8 (RFC 5208 section 5).
fn pkcs8(pkcs1: &[u8]) -> Vec<u8> {
    // Version 0; the algorithm rsaEncryption, without parameters.
    let mut key =
        vec![INTEGER, 1, 0, SEQUENCE, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0];
    write(OCTETS, pkcs1, &mut key);
    let mut whole = Vec::new();
    write(SEQUENCE, &key, &mut whole);
    whole
}

/// Appends an element of DER.
fn write(tag: u8, contents: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    let length = contents.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    if contents.len() >= 0x80 {
        // No more than eight.
        out.push(0x80 | digits.len() as u8);
        out.extend_from_slice(digits);
    } else {
        out.push(contents.len() as u8);
    }
    out.extend_from_slice(contents);
}

/// The SubjectPublicKeyInfo of a certificate (RFC 5280 section 4.1).
pub(super) fn certificate_key(der: &[u8]) -> Option<&[u8]> {
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        (_, _, fields) = element(fields)?;
    }
    // Serial number, signature algorithm, issuer, validity and subject come before it.
    for _ in 0..5 {
        (_, _, fields) = element(fields)?;
    }
    let (whole, _, _) = element(fields)?;
    (whole.first() == Some(&SEQUENCE)).then_some(whole)
}

/// The first element of DER: all of it, its contents, and what follows.
fn element(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (header, length) = match *der.get(1)? {
        short @ ..0x80 => (2, usize::from(short)),
        long => {
            let digits = usize::from(long & 0x7f);
            let bytes = der.get(2..2 + digits).filter(|_| (1..=3).contains(&digits))?;
            (2 + digits, bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
        }
    };
    let whole = der.get(..header + length)?;
    Some((whole, &whole[header..], &der[header + length..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CERT: &str = "-----BEGIN CERTIFICATE-----\n\
         MIIBdTCCARugAwIBAgIUPIE4cOYOMyrq9ntCkJptZtiJio0wCgYIKoZIzj0EAwIw\n\
         DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjEwNTM5MTlaGA8yMTI2MTAyODA1Mzkx\n\
         OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDIA\n\
         ggDyRSVYg3ibKALfqqd6dqTsALmaGIfczoH+sfra2fRMwCy2QmvRtLjFG+WlYIBf\n\
         ideDkI0b7wgOe5HdauSjUzBRMB0GA1UdDgQWBBSI53Ft7y6JW9j1ayvks1DVByDK\n\
         ITAfBgNVHSMEGDAWgBSI53Ft7y6JW9j1ayvks1DVByDKITAPBgNVHRMBAf8EBTAD\n\
         AQH/MAoGCCqGSM49BAMCA0gAMEUCIE2rvhzCOIgCfsSOWcI5Ng6zMcFmsglT7fDU\n\
         94xl4Cy0AiEAzW+Yqk6dRHRCtMBXF1lr2hi9YwaSffK42FJsMz71QHE=\n\
         -----END CERTIFICATE-----";

    #[test]
    fn any_der_is_taken() {
        let mut der = Vec::new();
        let body: Vec<u8> = CERT.lines().filter(|line| !line.starts_with('-')).flat_map(str::bytes).collect();
        assert!(decode_base64(&body, &mut der) && certificate_key(&der).is_some());
        for end in 0..der.len() {
            assert_eq!(certificate_key(&der[..end]), None, "{end} bytes");
        }
        for at in 0..der.len() {
            for byte in [0, 0x30, 0x80, 0x84, 0xff] {
                let mut changed = der.clone();
                changed[at] = byte;
                let _ = certificate_key(&changed);
            }
        }
    }
}
