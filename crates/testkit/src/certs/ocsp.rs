//! OCSP for tests (RFC 6960): the extension that names a responder, and what a responder answers, written byte by byte.

use rcgen::{CustomExtension, KeyPair, SigningKey};

/// Bytes under a tag of DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match length {
        0..=127 => out.push(length as u8),
        128..=255 => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// The next element: whole, its contents, and what is behind it.
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, length) = match *bytes.get(1)? {
        short @ 0..=127 => (2, usize::from(short)),
        0x81 => (3, usize::from(*bytes.get(2)?)),
        0x82 => (4, usize::from(*bytes.get(2)?) << 8 | usize::from(*bytes.get(3)?)),
        _ => return None,
    };
    Some((bytes.get(..head + length)?, bytes.get(head..head + length)?, bytes.get(head + length..)?))
}

/// The extension of a certificate that says where its state is to be asked for.
pub(super) fn responder(url: &str) -> CustomExtension {
    // id-ad-ocsp, 1.3.6.1.5.5.7.48.1.
    let oid = der(6, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 1]]);
    let access = der(0x30, &[&oid, &der(0x86, &[url.as_bytes()])]);
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], der(0x30, &[&access]))
}

/// An answer that says "good" of the certificate that `request` asks about, from 2020 to 2049, signed with a P-256 key.
pub(super) fn good(request: &[u8], signer: &KeyPair) -> Option<Vec<u8>> {
    // OCSPRequest, TBSRequest, requestList, Request: the CertID lies four levels deep.
    let mut inside = request;
    for _ in 0..4 {
        inside = element(inside)?.1;
    }
    let (id, ..) = element(inside)?;
    let (from, until) = (der(0x18, &[b"20200101000000Z"]), der(0x18, &[b"20490101000000Z"]));
    let single = der(0x30, &[id, &[0x80, 0], &from, &der(0xa0, &[&until])]);
    let by_key = der(0xa2, &[&der(4, &[&[0; 20]])]);
    let data = der(0x30, &[&by_key, &from, &der(0x30, &[&single])]);
    let signature = signer.sign(&data).ok()?;
    // ecdsa-with-SHA256.
    let algorithm = der(0x30, &[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let basic = der(0x30, &[&data, &algorithm, &der(3, &[&[0], &signature])]);
    let kind = der(6, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]]);
    let bytes = der(0x30, &[&kind, &der(4, &[&basic])]);
    Some(der(0x30, &[&der(0x0a, &[&[0]]), &der(0xa0, &[&bytes])]))
}
