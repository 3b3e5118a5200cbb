//! Certificates that are trusted themselves: their holder is let in as OpenSSL does, though they could sign others.
//!
//! Called by both verifiers when webpki refused (`CaUsedAsEndEntity`): most self-signed certificates are made with the flag
//! of an authority. Never: looks at what webpki refused for any other reason.

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ExtendedKeyUsage;
use x509_parser::prelude::FromDer;

/// Whether nothing is wrong with `leaf` but that it could sign others: its dates hold, and it is for what `usage` asks or
/// for everything. That it is among the trusted is the caller's to know.
pub(crate) fn is_good(
    refusal: &Error,
    leaf: &CertificateDer<'_>,
    now: UnixTime,
    usage: fn(&ExtendedKeyUsage<'_>) -> bool,
) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = refusal else { return false };
    if !matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) {
        return false;
    }
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return false };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    let is_for_it = match parsed.extended_key_usage() {
        Ok(Some(extension)) => extension.value.any || usage(extension.value),
        Ok(None) => true,
        Err(_) => false,
    };
    is_for_it && (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
}
