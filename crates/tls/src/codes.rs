//! OpenSSL's numbers for what is wrong with a certificate, as `ssl_c_err`, `ssl_c_ca_err`, `crt-ignore-err` and logs speak of it.
//!
//! The numbers are the interface of OpenSSL's `X509_V_ERR_*`; rustls's errors are mapped to them here and nowhere else.

use evenkeel_acl::{X509_ERRORS, x509_error};
use rustls::CertificateError;

/// The certificate is fine.
pub const OK: u32 = 0;
/// Something of no other number.
pub const UNSPECIFIED: u32 = 1;
/// No revocation list of an authority in the chain.
pub const NO_CRL: u32 = 3;
/// A signature is wrong.
pub const BAD_SIGNATURE: u32 = 7;
/// `notBefore` lies ahead.
pub const NOT_YET_VALID: u32 = 9;
/// `notAfter` has passed.
pub const EXPIRED: u32 = 10;
/// A revocation list's `nextUpdate` has passed.
pub const CRL_EXPIRED: u32 = 12;
/// The certificate signed itself and is not trusted.
pub const SELF_SIGNED: u32 = 18;
/// The chain ends in a self-signed certificate that is not trusted.
pub const SELF_SIGNED_IN_CHAIN: u32 = 19;
/// The issuer is neither sent nor trusted.
pub const NO_LOCAL_ISSUER: u32 = 20;
/// No issuer at all to check the only certificate's signature with.
pub const NO_ISSUER_OF_LEAF: u32 = 21;
/// A revocation list names it.
pub const REVOKED: u32 = 23;
/// It was issued for another use.
pub const INVALID_PURPOSE: u32 = 26;

/// The number of OpenSSL's constant, with or without `X509_V_ERR_`.
pub fn number_of(name: &str) -> Option<u32> {
    let name = name.strip_prefix("X509_V_ERR_").unwrap_or(name);
    X509_ERRORS.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

/// OpenSSL's constant for a number, without `X509_V_ERR_`; `OK` for 0.
pub fn name_of(number: u32) -> Option<&'static str> {
    if number == OK {
        return Some("OK");
    }
    x509_error(number)
}

/// The number that says what rustls says. An unknown issuer needs the chain to be told apart (18, 19, 20), which the verifier of
/// client certificates does; here it is 20.
pub fn of_error(error: &rustls::Error) -> u32 {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate_error(error),
        rustls::Error::NoCertificatesPresented => NO_LOCAL_ISSUER,
        rustls::Error::InvalidCertRevocationList(_) => 8,
        _ => UNSPECIFIED,
    }
}

pub(crate) fn of_certificate_error(error: &CertificateError) -> u32 {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => EXPIRED,
        E::NotValidYet | E::NotValidYetContext { .. } => NOT_YET_VALID,
        E::Revoked => REVOKED,
        E::UnhandledCriticalExtension => 34,
        E::UnknownIssuer => NO_LOCAL_ISSUER,
        E::UnknownRevocationStatus => NO_CRL,
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => CRL_EXPIRED,
        E::NotValidForName | E::NotValidForNameContext { .. } => 62,
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => INVALID_PURPOSE,
        E::BadEncoding => 41,
        E::BadSignature
        | E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => BAD_SIGNATURE,
        E::ApplicationVerificationFailure => 50,
        _ => UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_to_each_other() {
        for (number, name) in X509_ERRORS {
            assert_eq!(number_of(name), Some(*number));
            assert_eq!(number_of(&format!("X509_V_ERR_{name}")), Some(*number));
            assert_eq!(name_of(*number), Some(*name));
        }
        assert_eq!(name_of(0), Some("OK"));
        assert_eq!(name_of(127), None);
        assert_eq!(number_of("NONSENSE"), None);
    }

    #[test]
    fn errors_of_rustls_have_their_numbers() {
        for (error, number) in [
            (CertificateError::Expired, EXPIRED),
            (CertificateError::Revoked, REVOKED),
            (CertificateError::UnknownIssuer, NO_LOCAL_ISSUER),
            (CertificateError::UnknownRevocationStatus, NO_CRL),
            (CertificateError::NotValidForName, 62),
        ] {
            assert_eq!(of_error(&error.into()), number);
        }
        assert_eq!(of_error(&rustls::Error::DecryptError), UNSPECIFIED);
    }
}
