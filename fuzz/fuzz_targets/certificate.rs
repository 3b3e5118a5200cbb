//! Whatever is in a file of certificates, in one with an OCSP response, or in a peer's certificate: it is taken or refused with a
//! reason, and what is taken has a certificate and a key that can be compared.

#![no_main]

use std::path::Path;

use evenkeel_tls::cert::Cert;
use evenkeel_tls::problem::any_error;
use evenkeel_tls::{facts, ocsp};
use libfuzzer_sys::fuzz_target;

const NOW: i64 = 1_767_225_600;

fuzz_target!(|bytes: &[u8]| {
    let mut problems = Vec::new();
    match Cert::from_pem(Path::new("site.pem"), bytes, NOW, &mut problems) {
        Some(cert) => assert!(!cert.der().is_empty() && cert.key.key.public_key().is_some()),
        None => assert!(any_error(&problems)),
    }
    facts::of_certificate(bytes);
    ocsp::responder_url(bytes);
    ocsp::request_der(bytes, bytes);
    assert!(ocsp::check_response(bytes, bytes, Some(bytes), NOW).is_err());
});
