//! `x509_v_err_str`, and the numbers that OpenSSL gives to what is wrong with a certificate.
//!
//! The table is here because rules name the errors and the TLS crate, which stands above, numbers them.

use crate::conv::conv_table;
use crate::ctx::Ctx;
use crate::sample::Sample;
use crate::value::Value;

conv_table! {
    "x509_v_err_str" "x509_v_err_str" [] Int -> Str x509_v_err_str,
        "The name of OpenSSL's constant `X509_V_...` for the number of an error of a certificate; the number itself where \
         there is none.", "ssl_c_err,x509_v_err_str";
}

/// Numbers and names of OpenSSL's `X509_V_ERR_*`, by number; the names lack that prefix. 0, which is no error, is left out.
pub const X509_ERRORS: &[(u32, &str)] = &[
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
    (24, "NO_ISSUER_PUBLIC_KEY"),
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
    (37, "INVALID_NON_CA"),
    (38, "PROXY_PATH_LENGTH_EXCEEDED"),
    (39, "KEYUSAGE_NO_DIGITAL_SIGNATURE"),
    (40, "PROXY_CERTIFICATES_NOT_ALLOWED"),
    (41, "INVALID_EXTENSION"),
    (42, "INVALID_POLICY_EXTENSION"),
    (43, "NO_EXPLICIT_POLICY"),
    (44, "DIFFERENT_CRL_SCOPE"),
    (45, "UNSUPPORTED_EXTENSION_FEATURE"),
    (46, "UNNESTED_RESOURCE"),
    (47, "PERMITTED_VIOLATION"),
    (48, "EXCLUDED_VIOLATION"),
    (49, "SUBTREE_MINMAX"),
    (50, "APPLICATION_VERIFICATION"),
    (51, "UNSUPPORTED_CONSTRAINT_TYPE"),
    (52, "UNSUPPORTED_CONSTRAINT_SYNTAX"),
    (53, "UNSUPPORTED_NAME_SYNTAX"),
    (54, "CRL_PATH_VALIDATION_ERROR"),
    (55, "PATH_LOOP"),
    (56, "SUITE_B_INVALID_VERSION"),
    (57, "SUITE_B_INVALID_ALGORITHM"),
    (58, "SUITE_B_INVALID_CURVE"),
    (59, "SUITE_B_INVALID_SIGNATURE_ALGORITHM"),
    (60, "SUITE_B_LOS_NOT_ALLOWED"),
    (61, "SUITE_B_CANNOT_SIGN_P_384_WITH_P_256"),
    (62, "HOSTNAME_MISMATCH"),
    (63, "EMAIL_MISMATCH"),
    (64, "IP_ADDRESS_MISMATCH"),
    (65, "DANE_NO_MATCH"),
    (66, "EE_KEY_TOO_SMALL"),
    (67, "CA_KEY_TOO_SMALL"),
    (68, "CA_MD_TOO_WEAK"),
    (69, "INVALID_CALL"),
    (70, "STORE_LOOKUP"),
    (71, "NO_VALID_SCTS"),
    (72, "PROXY_SUBJECT_NAME_VIOLATION"),
    (73, "OCSP_VERIFY_NEEDED"),
    (74, "OCSP_VERIFY_FAILED"),
    (75, "OCSP_CERT_UNKNOWN"),
    (76, "UNSUPPORTED_SIGNATURE_ALGORITHM"),
    (77, "SIGNATURE_ALGORITHM_MISMATCH"),
    (78, "SIGNATURE_ALGORITHM_INCONSISTENCY"),
    (79, "INVALID_CA"),
    (80, "PATHLEN_INVALID_FOR_NON_CA"),
    (81, "PATHLEN_WITHOUT_KU_KEY_CERT_SIGN"),
    (82, "KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA"),
    (83, "ISSUER_NAME_EMPTY"),
    (84, "SUBJECT_NAME_EMPTY"),
    (85, "MISSING_AUTHORITY_KEY_IDENTIFIER"),
    (86, "MISSING_SUBJECT_KEY_IDENTIFIER"),
    (87, "EMPTY_SUBJECT_ALT_NAME"),
    (88, "EMPTY_SUBJECT_SAN_NOT_CRITICAL"),
    (89, "CA_BCONS_NOT_CRITICAL"),
    (90, "AUTHORITY_KEY_IDENTIFIER_CRITICAL"),
    (91, "SUBJECT_KEY_IDENTIFIER_CRITICAL"),
    (92, "CA_CERT_MISSING_KEY_USAGE"),
    (93, "EXTENSIONS_REQUIRE_VERSION_3"),
    (94, "EC_KEY_EXPLICIT_PARAMS"),
];

/// The name of OpenSSL's constant for the number of an error, without `X509_V_ERR_`; `None` for 0 and for unused numbers.
pub fn x509_error(number: u32) -> Option<&'static str> {
    X509_ERRORS.binary_search_by_key(&number, |(number, _)| *number).ok().map(|at| X509_ERRORS[at].1)
}

fn x509_v_err_str<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let number = sample.as_int()?;
    match u32::try_from(number).ok().map(|number| (number, x509_error(number))) {
        Some((0, _)) => return Some(Sample::Str(b"X509_V_OK")),
        Some((_, Some(name))) => {
            out.extend_from_slice(b"X509_V_ERR_");
            out.extend_from_slice(name.as_bytes());
        }
        _ => out.extend_from_slice(number.to_string().as_bytes()),
    }
    Some(Sample::Str(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::testing::check;

    #[test]
    fn numbers_have_names() {
        assert!(X509_ERRORS.is_sorted_by(|a, b| a.0 < b.0));
        for (number, name) in [
            (0, "X509_V_OK"),
            (1, "X509_V_ERR_UNSPECIFIED"),
            (10, "X509_V_ERR_CERT_HAS_EXPIRED"),
            (18, "X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT"),
            (23, "X509_V_ERR_CERT_REVOKED"),
            (62, "X509_V_ERR_HOSTNAME_MISMATCH"),
            (4000, "4000"),
            (-1, "-1"),
            (4_294_967_306, "4294967306"),
        ] {
            check(Sample::Int(number), "x509_v_err_str", Some(name));
        }
        check(Sample::Str(b"20"), "x509_v_err_str", Some("X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY"));
    }
}
