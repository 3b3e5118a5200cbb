//! OpenSSL's numbers for what is wrong with a certificate, as `ssl_c_err`, `ssl_c_ca_err`, `crt-ignore-err` and logs speak of it.
//!
//! The numbers are the interface of OpenSSL's `X509_V_ERR_*`; rustls's errors are mapped to them here and nowhere else.

use rustls::CertificateError;

/// Number and name of every error that can be asked for or told; names lack `X509_V_ERR_`.
const NAMES: &[(u32, &str)] = &[
    (1, "UNSPECIFIED"),
    (2, "UNABLE_TO_GET_ISSUER_CERT"),
    (3, "UNABLE_TO_GET_CRL"),
    (4, "UNABLE_TO_DECRYPT_CERT_SIGNATURE"),
    (5, "UNABLE_TO_DECRYPT_CRL_SIGNATURE"),
    (6, "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY"),
    (7, "CERT_SIGNATURE_FAILURE"),
    (8, "CRL_SIGNATURE_FAILURE"),
    (9, "CERT_NOT_YET_VALID"),
    (10, "CERT_HAS_EXPIRED"),
    (11, "CRL_NOT_YET_VALID"),
    (12, "CRL_HAS_EXPIRED"),
    (13, "ERROR_IN_CERT_NOT_BEFORE_FIELD"),
    (14, "ERROR_IN_CERT_NOT_AFTER_FIELD"),
    (15, "ERROR_IN_CRL_LAST_UPDATE_FIELD"),
    (16, "ERROR_IN_CRL_NEXT_UPDATE_FIELD"),
    (17, "OUT_OF_MEM"),
    (18, "DEPTH_ZERO_SELF_SIGNED_CERT"),
    (19, "SELF_SIGNED_CERT_IN_CHAIN"),
    (20, "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
    (21, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
    (22, "CERT_CHAIN_TOO_LONG"),
    (23, "CERT_REVOKED"),
    (24, "INVALID_CA"),
    (25, "PATH_LENGTH_EXCEEDED"),
    (26, "INVALID_PURPOSE"),
    (27, "CERT_UNTRUSTED"),
    (28, "CERT_REJECTED"),
    (29, "SUBJECT_ISSUER_MISMATCH"),
    (30, "AKID_SKID_MISMATCH"),
    (31, "AKID_ISSUER_SERIAL_MISMATCH"),
    (32, "KEYUSAGE_NO_CERTSIGN"),
    (33, "UNABLE_TO_GET_CRL_ISSUER"),
    (34, "UNHANDLED_CRITICAL_EXTENSION"),
    (35, "KEYUSAGE_NO_CRL_SIGN"),
    (36, "UNHANDLED_CRITICAL_CRL_EXTENSION"),
    (41, "INVALID_EXTENSION"),
    (47, "PERMITTED_VIOLATION"),
    (48, "EXCLUDED_VIOLATION"),
    (50, "APPLICATION_VERIFICATION"),
    (62, "HOSTNAME_MISMATCH"),
    (63, "EMAIL_MISMATCH"),
    (64, "IP_ADDRESS_MISMATCH"),
    (66, "EE_KEY_TOO_SMALL"),
    (67, "CA_KEY_TOO_SMALL"),
    (68, "CA_MD_TOO_WEAK"),
];

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
    NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

/// OpenSSL's constant for a number, without `X509_V_ERR_`; `OK` for 0.
pub fn name_of(number: u32) -> Option<&'static str> {
    if number == OK {
        return Some("OK");
    }
    NAMES.binary_search_by_key(&number, |(number, _)| *number).ok().map(|at| NAMES[at].1)
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
        assert!(NAMES.is_sorted_by_key(|(number, _)| *number));
        for (number, name) in NAMES {
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
