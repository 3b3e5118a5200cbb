//! The authorities that may sign a peer's certificate, and revocation lists.
//!
//! Called by the connector and by the verifier of client certificates at load. A file with nothing usable in it is an error;
//! one certificate among many that cannot be used is a warning, as bundles hold old ones.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::files::Files;
use crate::options::CaSource;
use crate::problem::Problem;

/// The authorities of `source`; `key` is the configuration key it stands under.
pub fn load(
    source: &CaSource,
    key: &'static str,
    files: &Files,
    problems: &mut Vec<Problem>,
) -> Option<Arc<RootCertStore>> {
    match source {
        CaSource::System => system(key, problems),
        CaSource::File(path) => {
            let certificates = certificates(path, key, files, problems)?;
            let mut store = RootCertStore::empty();
            let mut unusable = None;
            for (at, certificate) in certificates {
                if let Err(error) = store.add(certificate) {
                    unusable.get_or_insert((at, error));
                }
            }
            if let Some((at, error)) = unusable {
                let message = format!("a certificate of an authority cannot be used: {error}");
                let problem =
                    if store.is_empty() { Problem::error(key, message) } else { Problem::warning(key, message) };
                problems.push(problem.file(&at));
            }
            (!store.is_empty()).then(|| Arc::new(store))
        }
    }
}

/// The certificates of a PEM file or of every file of a folder, each with its file.
pub fn certificates(
    path: &Path,
    key: &'static str,
    files: &Files,
    problems: &mut Vec<Problem>,
) -> Option<Vec<(PathBuf, CertificateDer<'static>)>> {
    let mut found = Vec::new();
    let before = problems.len();
    let listed = (files.list)(path);
    let is_folder = listed.is_some();
    for file in listed.unwrap_or_else(|| vec![path.to_path_buf()]) {
        let bytes = match (files.read)(&file) {
            Ok(bytes) => bytes,
            // Folders hold folders.
            Err(_) if is_folder => continue,
            Err(error) => {
                problems.push(Problem::error(key, format!("the file cannot be read: {error}")).file(&file));
                return None;
            }
        };
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            match certificate {
                Ok(certificate) => found.push((file.clone(), certificate)),
                Err(error) => {
                    problems.push(Problem::error(key, format!("it is no PEM file: {}", pem_error(&error))).file(&file));
                    return None;
                }
            }
        }
    }
    if found.is_empty() && problems.len() == before {
        let hint = "it has to hold blocks that begin with -----BEGIN CERTIFICATE-----";
        problems.push(Problem::error(key, "there is no certificate in it").file(path).hint(hint));
    }
    (!found.is_empty()).then_some(found)
}

/// The revocation lists of a PEM file.
pub fn revocation_lists(
    path: &Path,
    key: &'static str,
    files: &Files,
    problems: &mut Vec<Problem>,
) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    let bytes = match (files.read)(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(Problem::error(key, format!("the file cannot be read: {error}")).file(path));
            return None;
        }
    };
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    match lists {
        Ok(lists) if !lists.is_empty() => Some(lists),
        Ok(_) => {
            let hint = "it has to hold blocks that begin with -----BEGIN X509 CRL-----";
            problems.push(Problem::error(key, "there is no revocation list in it").file(path).hint(hint));
            None
        }
        Err(error) => {
            problems.push(Problem::error(key, format!("it is no PEM file: {}", pem_error(&error))).file(path));
            None
        }
    }
}

/// The system's authorities, read once for the life of the process.
fn system(key: &'static str, problems: &mut Vec<Problem>) -> Option<Arc<RootCertStore>> {
    static SYSTEM: OnceLock<Result<Arc<RootCertStore>, String>> = OnceLock::new();
    let loaded = SYSTEM.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        match (store.is_empty(), found.errors.first()) {
            (false, _) => Ok(Arc::new(store)),
            (true, Some(error)) => Err(error.to_string()),
            (true, None) => Err("there are none".to_owned()),
        }
    });
    match loaded {
        Ok(store) => Some(Arc::clone(store)),
        Err(error) => {
            problems.push(
                Problem::error(key, format!("the system's certificate authorities cannot be used: {error}"))
                    .hint("install the package ca-certificates, or name a file: ca-file = \"ca.pem\""),
            );
            None
        }
    }
}

/// What is wrong with a PEM file, in words.
fn pem_error(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a block has no end".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a line that begins a block is malformed".to_owned(),
        pem::Error::Base64Decode(_) => "a block is not base64".to_owned(),
        other => other.to_string(),
    }
}
