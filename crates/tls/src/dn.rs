//! Distinguished names as OpenSSL spells them.
//!
//! Called by [`facts`](crate::facts) for subjects and issuers. A value is text whatever type its string has; what is no
//! UTF-8 is replaced, never refused.

use evenkeel_acl::Dn;
use x509_parser::der_parser::asn1_rs::{Oid, Tag};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// OpenSSL's short names by the object identifier in dotted form.
const NAMES: &[(&str, &str)] = &[
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.97", "organizationIdentifier"),
];

/// The entries of a name in its order.
pub(crate) fn dn(name: &X509Name<'_>) -> Dn {
    Dn(name.iter_attributes().map(|entry| (key(entry.attr_type()), value(entry))).collect())
}

/// `/C=FR/CN=x`, as OpenSSL prints a name on one line.
pub(crate) fn one_line(name: &X509Name<'_>) -> String {
    name.iter_attributes().map(|entry| format!("/{}={}", key(entry.attr_type()), value(entry))).collect()
}

fn key(oid: &Oid<'_>) -> Box<str> {
    let dotted = oid.to_id_string();
    match NAMES.binary_search_by(|(known, _)| (*known).cmp(&dotted)) {
        Ok(at) => NAMES[at].1.into(),
        Err(_) => dotted.into(),
    }
}

fn value(entry: &AttributeTypeAndValue<'_>) -> Box<str> {
    let value = entry.attr_value();
    if value.tag() == Tag::BmpString {
        // Two bytes a character, big-endian.
        let units = value.data.as_chunks().0.iter().copied().map(u16::from_be_bytes);
        return char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    }
    String::from_utf8_lossy(value.data).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order() {
        assert!(NAMES.is_sorted_by_key(|(oid, _)| *oid));
    }
}
