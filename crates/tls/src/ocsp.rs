//! OCSP (RFC 6960): what to ask of whom, and whether an answer may be stapled.
//!
//! Called at load for `.ocsp` files and by whoever fetches responses; nothing here does I/O. A response is stapled only when it is
//! signed by the certificate's issuer or its delegate, speaks of this certificate, says it is good, and is in its time, because
//! clients abort on any other. Bounded by the size of the response, never panics.

use std::fmt;

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::crypto::aws_lc_rs::default_provider;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::der::{Reader, Signed, generalized_time, tag, write};

/// Seconds a responder's clock may be ahead of ours; HAProxy allows the same.
const SKEW: i64 = 300;

/// Responses in one answer, and certificates beside them, that are looked at.
const MAX_ITEMS: usize = 16;

/// 1.3.14.3.2.26.
const OID_SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
/// 2.16.840.1.101.3.4.2.1.
const OID_SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
const OID_BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

/// A response that may be stapled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Valid {
    /// When it was known to be right, in seconds since 1970.
    pub this_update: i64,
    /// When a newer one exists; it is not stapled from then on.
    pub next_update: i64,
}

/// Why a response is not stapled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is no OCSP response, or malformed.
    Malformed,
    /// The responder answered with an error; its `responseStatus`.
    Status(u8),
    /// The issuer's certificate is not known.
    NoIssuer,
    /// It speaks of other certificates.
    OtherCertificate,
    /// Neither the issuer nor a delegate of it signed it.
    BadSignature,
    /// The certificate was revoked.
    Revoked,
    /// The responder does not know the certificate.
    Unknown,
    /// It has no `nextUpdate`, so nobody could say how long it holds.
    NoNextUpdate,
    /// `nextUpdate` has passed.
    Expired,
    /// `thisUpdate` lies ahead.
    NotYetValid,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unusable::Malformed => "it is no OCSP response in DER",
            Unusable::Status(1) => "the responder found the request malformed",
            Unusable::Status(2) => "the responder had an error",
            Unusable::Status(3) => "the responder asked to try later",
            Unusable::Status(5) => "the responder wants signed requests",
            Unusable::Status(6) => "the responder does not answer us",
            Unusable::Status(_) => "the responder answered with an unknown status",
            Unusable::NoIssuer => "the issuer's certificate is neither in the chain nor in an .issuer file",
            Unusable::OtherCertificate => "it is about another certificate",
            Unusable::BadSignature => "it is not signed by the certificate's issuer",
            Unusable::Revoked => "it says that the certificate is revoked",
            Unusable::Unknown => "the responder does not know the certificate",
            Unusable::NoNextUpdate => "it does not say until when it holds",
            Unusable::Expired => "it has expired",
            Unusable::NotYetValid => "it is not valid yet",
        })
    }
}

impl std::error::Error for Unusable {}

/// The request for the state of `cert`; `None` when either is no certificate.
pub fn request_der(cert: &[u8], issuer: &[u8]) -> Option<Vec<u8>> {
    let (_, cert) = X509Certificate::from_der(cert).ok()?;
    let (_, issuer) = X509Certificate::from_der(issuer).ok()?;
    // RFC 5019 §2.1.1: SHA-1 is what every responder knows; nothing rests on its strength here.
    let algorithm = write(tag::SEQUENCE, &[&write(tag::OID, &[OID_SHA1]), &write(tag::NULL, &[])]);
    let name = digest(&SHA1_FOR_LEGACY_USE_ONLY, cert.issuer().as_raw());
    let key = digest(&SHA1_FOR_LEGACY_USE_ONLY, &issuer.public_key().subject_public_key.data);
    let id = write(
        tag::SEQUENCE,
        &[
            &algorithm,
            &write(tag::OCTET_STRING, &[name.as_ref()]),
            &write(tag::OCTET_STRING, &[key.as_ref()]),
            &write(tag::INTEGER, &[cert.raw_serial()]),
        ],
    );
    let list = write(tag::SEQUENCE, &[&write(tag::SEQUENCE, &[&id])]);
    Some(write(tag::SEQUENCE, &[&write(tag::SEQUENCE, &[&list])]))
}

/// Where the certificate says its state is to be asked for (RFC 5280 §4.2.2.1).
pub fn responder_url(cert: &[u8]) -> Option<String> {
    let (_, cert) = X509Certificate::from_der(cert).ok()?;
    cert.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else { return None };
        access.accessdescs.iter().find_map(|entry| match &entry.access_location {
            GeneralName::URI(url) if entry.access_method.to_id_string() == "1.3.6.1.5.5.7.48.1" => {
                Some((*url).to_owned())
            }
            _ => None,
        })
    })
}

/// Whether a response may be stapled to `cert` at `now`, in seconds since 1970.
pub fn check_response(der: &[u8], cert: &[u8], issuer: Option<&[u8]>, now: i64) -> Result<Valid, Unusable> {
    let mut outer = Reader(der).inside(tag::SEQUENCE).ok_or(Unusable::Malformed)?;
    match outer.body(tag::ENUMERATED) {
        Some([0]) => {}
        Some([status]) => return Err(Unusable::Status(*status)),
        _ => return Err(Unusable::Malformed),
    }
    let signed = basic(outer).ok_or(Unusable::Malformed)?;
    let (_, cert) = X509Certificate::from_der(cert).map_err(|_| Unusable::Malformed)?;
    let (issuer_der, (_, issuer)) = match issuer {
        Some(der) => (der, X509Certificate::from_der(der).map_err(|_| Unusable::NoIssuer)?),
        None => return Err(Unusable::NoIssuer),
    };
    let single = about(signed.message, &cert, &issuer)?;
    if !is_signed_by(&signed, &issuer) && !is_signed_by_delegate(&signed, issuer_der, &issuer, now) {
        return Err(Unusable::BadSignature);
    }
    single.check(now)
}

/// RFC 6960 §4.2.1, down to the BasicOCSPResponse.
fn basic(mut response: Reader<'_>) -> Option<Signed<'_>> {
    let mut bytes = response.inside(tag::CONTEXT_0)?.inside(tag::SEQUENCE)?;
    if bytes.body(tag::OID)? != OID_BASIC {
        return None;
    }
    Signed::read(bytes.body(tag::OCTET_STRING)?)
}

/// The state of one certificate.
struct Single<'d> {
    status: u8,
    this_update: &'d [u8],
    next_update: Option<&'d [u8]>,
}

impl Single<'_> {
    fn check(&self, now: i64) -> Result<Valid, Unusable> {
        match self.status {
            tag::PRIMITIVE_0 => {}
            tag::CONTEXT_1 => return Err(Unusable::Revoked),
            tag::PRIMITIVE_2 => return Err(Unusable::Unknown),
            _ => return Err(Unusable::Malformed),
        }
        let this_update = generalized_time(self.this_update).ok_or(Unusable::Malformed)?;
        let next_update = self.next_update.ok_or(Unusable::NoNextUpdate)?;
        let next_update = generalized_time(next_update).ok_or(Unusable::Malformed)?;
        match () {
            () if now >= next_update => Err(Unusable::Expired),
            () if this_update > now.saturating_add(SKEW) => Err(Unusable::NotYetValid),
            () => Ok(Valid { this_update, next_update }),
        }
    }
}

/// The part of ResponseData that speaks of `cert`.
fn about<'d>(data: &'d [u8], cert: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Result<Single<'d>, Unusable> {
    let mut responses = responses(data).ok_or(Unusable::Malformed)?;
    for _ in 0..MAX_ITEMS {
        if responses.0.is_empty() {
            break;
        }
        let (is_ours, single) = single(&mut responses, cert, issuer).ok_or(Unusable::Malformed)?;
        if is_ours {
            return Ok(single);
        }
    }
    Err(Unusable::OtherCertificate)
}

fn responses(data: &[u8]) -> Option<Reader<'_>> {
    let mut data = Reader(data).inside(tag::SEQUENCE)?;
    data.optional(tag::CONTEXT_0);
    // The responder, by name or by key; it is found by its signature.
    data.optional(tag::CONTEXT_1).or_else(|| data.optional(tag::CONTEXT_2))?;
    data.body(tag::GENERALIZED_TIME)?;
    data.inside(tag::SEQUENCE)
}

fn single<'d>(
    responses: &mut Reader<'d>,
    cert: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
) -> Option<(bool, Single<'d>)> {
    let mut entry = responses.inside(tag::SEQUENCE)?;
    let mut id = entry.inside(tag::SEQUENCE)?;
    let algorithm: Option<&Algorithm> = match id.inside(tag::SEQUENCE)?.body(tag::OID)? {
        OID_SHA1 => Some(&SHA1_FOR_LEGACY_USE_ONLY),
        OID_SHA256 => Some(&SHA256),
        _ => None,
    };
    let (name, key, serial) = (id.body(tag::OCTET_STRING)?, id.body(tag::OCTET_STRING)?, id.body(tag::INTEGER)?);
    let is_ours = algorithm.is_some_and(|algorithm| {
        serial == cert.raw_serial()
            && name == digest(algorithm, cert.issuer().as_raw()).as_ref()
            && key == digest(algorithm, &issuer.public_key().subject_public_key.data).as_ref()
    });
    let status = entry.any()?.tag;
    let this_update = entry.body(tag::GENERALIZED_TIME)?;
    let next_update = match entry.inside(tag::CONTEXT_0) {
        Some(mut inside) => Some(inside.body(tag::GENERALIZED_TIME)?),
        None => None,
    };
    Some((is_ours, Single { status, this_update, next_update }))
}

/// Whether the key of `signer` made the signature.
pub(crate) fn is_signed_by(signed: &Signed<'_>, signer: &X509Certificate<'_>) -> bool {
    let public = signer.public_key();
    let Some(algorithm) = Reader(public.raw).inside(tag::SEQUENCE).and_then(|mut key| key.body(tag::SEQUENCE)) else {
        return false;
    };
    default_provider().signature_verification_algorithms.all.iter().any(|known| {
        known.signature_alg_id().as_ref() == signed.algorithm
            && known.public_key_alg_id().as_ref() == algorithm
            && known.verify_signature(&public.subject_public_key.data, signed.message, signed.signature).is_ok()
    })
}

/// RFC 6960 §4.2.2.2: by a certificate beside the response that the issuer made for this purpose.
fn is_signed_by_delegate(signed: &Signed<'_>, issuer_der: &[u8], issuer: &X509Certificate<'_>, now: i64) -> bool {
    let mut rest = signed.rest;
    let Some(mut others) = rest.inside(tag::CONTEXT_0).and_then(|mut outer| outer.inside(tag::SEQUENCE)) else {
        return false;
    };
    for _ in 0..MAX_ITEMS {
        let Some(other) = others.optional(tag::SEQUENCE) else { return false };
        let Ok((_, delegate)) = X509Certificate::from_der(other.whole) else { continue };
        let validity = delegate.validity();
        let may_sign =
            delegate.extended_key_usage().is_ok_and(|usage| usage.is_some_and(|usage| usage.value.ocsp_signing));
        if other.whole != issuer_der
            && may_sign
            && delegate.issuer().as_raw() == issuer.subject().as_raw()
            && (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
            && is_signed_by(signed, &delegate)
            && Signed::read(other.whole).is_some_and(|certificate| is_signed_by(&certificate, issuer))
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use rcgen::SigningKey;

    use super::*;
    use crate::testing::{Ca, NOW, time_text};

    /// A response about a certificate, signed by `signer`.
    pub(crate) fn response(
        cert: &[u8],
        issuer: &[u8],
        signer: &rcgen::KeyPair,
        status: &[u8],
        updates: (i64, Option<i64>),
        certs: &[&[u8]],
    ) -> Vec<u8> {
        let request = request_der(cert, issuer).unwrap();
        // OCSPRequest, TBSRequest, requestList, Request: the CertID lies four levels deep.
        let mut inside = Reader(&request);
        for _ in 0..4 {
            inside = inside.inside(tag::SEQUENCE).unwrap();
        }
        let id = inside.any().unwrap().whole;
        let time = |at: i64| write(tag::GENERALIZED_TIME, &[time_text(at).as_bytes()]);
        let mut single = [id, status, &time(updates.0)].concat();
        if let Some(next) = updates.1 {
            single.extend(write(tag::CONTEXT_0, &[&time(next)]));
        }
        let responder = write(tag::CONTEXT_2, &[&write(tag::OCTET_STRING, &[&[0; 20]])]);
        let list = write(tag::SEQUENCE, &[&write(tag::SEQUENCE, &[&single])]);
        let data = write(tag::SEQUENCE, &[&responder, &time(updates.0), &list]);
        let signature = signer.sign(&data).unwrap();
        // ecdsa-with-SHA256.
        let algorithm = write(tag::SEQUENCE, &[&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]]);
        let mut basic = [data, algorithm, write(tag::BIT_STRING, &[&[0], &signature])].concat();
        if !certs.is_empty() {
            basic.extend(write(tag::CONTEXT_0, &[&write(tag::SEQUENCE, certs)]));
        }
        let basic = write(tag::SEQUENCE, &[&basic]);
        let bytes = write(tag::SEQUENCE, &[&write(tag::OID, &[OID_BASIC]), &write(tag::OCTET_STRING, &[&basic])]);
        write(tag::SEQUENCE, &[&write(tag::ENUMERATED, &[&[0]]), &write(tag::CONTEXT_0, &[&bytes])])
    }

    pub(crate) const GOOD: &[u8] = &[0x80, 0];
    const UNKNOWN: &[u8] = &[0x82, 0];
    const REVOKED: &[u8] = b"\xa1\x11\x18\x0f20200101000000Z";

    #[test]
    fn a_good_response_in_its_time_is_stapled() {
        let ca = Ca::new("ca");
        let leaf = ca.issue(&["a.example"]);
        let der = response(&leaf.der, &ca.der, &ca.key, GOOD, (NOW - 60, Some(NOW + 60)), &[]);
        let check = |now| check_response(&der, &leaf.der, Some(&ca.der), now);
        assert_eq!(check(NOW), Ok(Valid { this_update: NOW - 60, next_update: NOW + 60 }));
        assert_eq!(check(NOW + 60), Err(Unusable::Expired));
        assert_eq!(check(NOW - 60 - SKEW), check(NOW));
        assert_eq!(check(NOW - 61 - SKEW), Err(Unusable::NotYetValid));
        assert_eq!(check_response(&der, &leaf.der, None, NOW), Err(Unusable::NoIssuer));
    }

    #[test]
    fn bad_states_and_missing_times_are_refused() {
        let ca = Ca::new("ca");
        let leaf = ca.issue(&["a.example"]);
        let check = |status: &[u8], next| {
            let der = response(&leaf.der, &ca.der, &ca.key, status, (NOW - 60, next), &[]);
            check_response(&der, &leaf.der, Some(&ca.der), NOW)
        };
        assert_eq!(check(REVOKED, Some(NOW + 60)), Err(Unusable::Revoked));
        assert_eq!(check(UNKNOWN, Some(NOW + 60)), Err(Unusable::Unknown));
        assert_eq!(check(GOOD, None), Err(Unusable::NoNextUpdate));
        assert_eq!(check_response(&[0x30, 3, 0x0a, 1, 3], &leaf.der, Some(&ca.der), NOW), Err(Unusable::Status(3)));
        assert_eq!(check_response(b"x", &leaf.der, Some(&ca.der), NOW), Err(Unusable::Malformed));
    }

    #[test]
    fn other_certificates_and_other_signers_are_refused() {
        let (ca, other) = (Ca::new("ca"), Ca::new("ca"));
        let (leaf, neighbour) = (ca.issue(&["a.example"]), ca.issue(&["b.example"]));
        let der = response(&neighbour.der, &ca.der, &ca.key, GOOD, (NOW, Some(NOW + 60)), &[]);
        assert_eq!(check_response(&der, &leaf.der, Some(&ca.der), NOW), Err(Unusable::OtherCertificate));
        let der = response(&leaf.der, &ca.der, &other.key, GOOD, (NOW, Some(NOW + 60)), &[]);
        assert_eq!(check_response(&der, &leaf.der, Some(&ca.der), NOW), Err(Unusable::BadSignature));
    }

    #[test]
    fn a_delegate_may_sign_when_made_for_it() {
        let ca = Ca::new("ca");
        let leaf = ca.issue(&["a.example"]);
        let usage = |usage| ca.issue_with(&["ocsp.example"], |params| params.extended_key_usages = usage);
        for (delegate, expected) in [
            (usage(vec![rcgen::ExtendedKeyUsagePurpose::OcspSigning]), true),
            (usage(vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth]), false),
            (usage(vec![]), false),
        ] {
            let der = response(&leaf.der, &ca.der, &delegate.key, GOOD, (NOW, Some(NOW + 60)), &[&delegate.der]);
            assert_eq!(check_response(&der, &leaf.der, Some(&ca.der), NOW).is_ok(), expected);
        }
    }

    #[test]
    fn the_responder_is_read_from_the_certificate() {
        let ca = Ca::new("ca");
        assert_eq!(responder_url(&ca.issue(&["a.example"]).der), None);
        let leaf = ca.issue_with(&["a.example"], |params| {
            let url = b"http://ocsp.example/x";
            let entry = [&write(tag::OID, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 1]])[..], &write(0x86, &[url])].concat();
            let value = write(tag::SEQUENCE, &[&write(tag::SEQUENCE, &[&entry])]);
            let oid = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
            params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(oid, value));
        });
        assert_eq!(responder_url(&leaf.der).as_deref(), Some("http://ocsp.example/x"));
    }

    #[test]
    fn mutated_responses_are_never_taken_for_good_and_never_panic() {
        let ca = Ca::new("ca");
        let leaf = ca.issue(&["a.example"]);
        let good = response(&leaf.der, &ca.der, &ca.key, GOOD, (NOW, Some(NOW + 60)), &[]);
        for seed in 0..1500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut der = good.clone();
            let at = rng.usize(0..der.len());
            match rng.bool() {
                true => der[at] ^= 1 << rng.u8(0..8),
                false => der.truncate(at),
            }
            // Bytes outside of what is signed may change without harm; what is read then is still what was signed.
            if let Ok(valid) = check_response(&der, &leaf.der, Some(&ca.der), NOW) {
                assert_eq!(valid, Valid { this_update: NOW, next_update: NOW + 60 }, "seed {seed}");
            }
        }
    }
}
