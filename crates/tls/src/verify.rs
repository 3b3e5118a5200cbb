//! Client certificates: who is let in, and what is wrong with the others, in OpenSSL's numbers.
//!
//! webpki decides. Only what it refuses is looked at again, when the configuration lets errors pass (`ca-ignore-err`,
//! `crt-ignore-err`): every error found has to be let pass, including the one webpki named, else the handshake ends. Runs inside
//! the handshake, so what was found is handed to the session by [`take_outcome`]: it is to be called after every call of
//! `process_tls_records` during a handshake, on the same thread, and the first that is not zero is the session's.
//! A resumed session does not come here; [`ClientVerifier::again`] says what was let pass at the time.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::codes;
use crate::der::Signed;
use crate::files::Files;
use crate::ocsp::is_signed_by;
use crate::options::{CaSource, ClientAuth, IgnoreErrors, Verify};
use crate::pinned;
use crate::policy::Built;
use crate::problem::{Problem, any_error};
use crate::roots;

/// Certificates of a chain that are looked at; webpki follows no more.
const MAX_DEPTH: usize = 8;

/// What was wrong with a client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The first error of the certificate itself (`ssl_c_err`); 0 is none.
    pub crt_error: u32,
    /// The first error of those above it (`ssl_c_ca_err`); 0 is none.
    pub ca_error: u32,
    /// How far above (`ssl_c_ca_err_depth`).
    pub ca_depth: u32,
    /// The last error of all (`ssl_c_verify`), which is OpenSSL's result.
    pub last: u32,
}

thread_local! {
    static OUTCOME: Cell<Outcome> = const { Cell::new(Outcome { crt_error: 0, ca_error: 0, ca_depth: 0, last: 0 }) };
}

/// What the verifier found on this thread since the last call.
pub fn take_outcome() -> Outcome {
    OUTCOME.take()
}

/// Checks client certificates of one bind, or of one line of a crt-list.
#[derive(Debug)]
pub struct ClientVerifier {
    /// With revocation lists, at the present time.
    strict: Arc<dyn ClientCertVerifier>,
    required: bool,
    hints: Vec<DistinguishedName>,
    /// With revocation lists for the client's certificate alone, to find out which one a list speaks of. Only there when
    /// there are lists and errors are let pass.
    leaf_only: Option<Arc<dyn ClientCertVerifier>>,
    /// The authorities as certificates, by their subjects, to find out what is wrong with a chain.
    authorities: HashMap<Box<[u8]>, Vec<CertificateDer<'static>>>,
    has_lists: bool,
    /// When the first revocation list lapses, in seconds since 1970.
    lists_until: Option<i64>,
    schemes: Vec<SignatureScheme>,
    ca_ignore: IgnoreErrors,
    crt_ignore: IgnoreErrors,
    /// Of everything a session's trust rests on.
    digest: [u8; 32],
}

impl ClientVerifier {
    /// Reads what `options` name. Every mistake is reported; `None` when no certificate is asked for or one mistake is an error.
    pub fn new(
        options: &ClientAuth,
        policy: &Built,
        files: &Files,
        problems: &mut Vec<Problem>,
    ) -> Option<Arc<ClientVerifier>> {
        if options.verify == Verify::None {
            return None;
        }
        let mut found = Vec::new();
        let verifier = ClientVerifier::build(options, policy, files, &mut found);
        let failed = any_error(&found);
        problems.append(&mut found);
        verifier.filter(|_| !failed).map(Arc::new)
    }

    fn build(
        options: &ClientAuth,
        policy: &Built,
        files: &Files,
        problems: &mut Vec<Problem>,
    ) -> Option<ClientVerifier> {
        let lists = match &options.crl_file {
            Some(path) => roots::revocation_lists(path, "crl-file", files, problems),
            None => None,
        };
        let Some(named) = &options.ca_file else {
            let hint = "name the file of the authority that issues client certificates: ca-file = \"clients-ca.pem\"";
            problems.push(
                Problem::error("ca-file", "client certificates are asked for, but nobody may have signed them")
                    .hint(hint),
            );
            return None;
        };
        let mut roots = RootCertStore::clone(&*roots::load(named, "ca-file", files, problems)?);
        let hints = if options.no_ca_names { Vec::new() } else { roots.subjects() };
        let mut authorities = HashMap::new();
        keep(certificates(named, "ca-file", files), &mut authorities);
        if let Some(unnamed) = &options.ca_verify_file {
            let more = roots::load(unnamed, "ca-verify-file", files, problems)?;
            roots.extend(more.roots.iter().cloned());
            keep(certificates(unnamed, "ca-verify-file", files), &mut authorities);
        }
        let mut context = Context::new(&SHA256);
        context.update(&[options.verify as u8]);
        for ignored in [&options.ca_ignore_err, &options.crt_ignore_err] {
            (0..128).for_each(|number| context.update(&[u8::from(ignored.contains(number))]));
        }
        for anchor in &roots.roots {
            context.update(&anchor.subject);
            context.update(&anchor.subject_public_key_info);
        }
        let mut lists_until = None;
        for list in lists.iter().flatten() {
            context.update(list);
            let next = CertificateRevocationList::from_der(list).ok().and_then(|(_, list)| list.next_update());
            lists_until = [lists_until, next.map(|time| time.timestamp())].into_iter().flatten().min();
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        let has_lists = lists.is_some();
        let lets_pass = !options.ca_ignore_err.is_empty() || !options.crt_ignore_err.is_empty();
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&policy.provider))
            .with_crls(lists.unwrap_or_default());
        let leaf_only = (has_lists && lets_pass).then(|| builder.clone().only_check_end_entity_revocation().build());
        let (strict, leaf_only) = match (builder.build(), leaf_only.transpose()) {
            (Ok(strict), Ok(leaf_only)) => (strict, leaf_only),
            (Err(error), _) | (_, Err(error)) => {
                problems.push(Problem::error("crl-file", format!("the revocation lists cannot be used: {error}")));
                return None;
            }
        };
        let mut schemes = strict.supported_verify_schemes();
        if let Some(wanted) = &policy.peer_schemes {
            schemes.retain(|scheme| wanted.contains(scheme));
        }
        Some(ClientVerifier {
            strict,
            leaf_only,
            required: options.verify == Verify::Required,
            hints,
            authorities,
            has_lists,
            lists_until,
            schemes,
            ca_ignore: options.ca_ignore_err,
            crt_ignore: options.crt_ignore_err,
            digest,
        })
    }

    /// Of everything the trust in a session rests on: sessions made under another are not resumed.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What is wrong with the certificates of a resumed session; no error ends it, as all were let pass when it began.
    pub fn again(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Outcome {
        match (chain, self.ca_ignore.is_empty() && self.crt_ignore.is_empty()) {
            ([leaf, above @ ..], false) => self.judge(leaf, above, now).1,
            _ => Outcome::default(),
        }
    }

    /// Whether the certificate is let in, and what is wrong with it.
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> (Result<(), Error>, Outcome) {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let lapsed = self.lists_until.is_some_and(|until| until < seconds);
        let refusal = self.strict.verify_client_cert(leaf, above, now).err();
        if refusal.is_none() && !lapsed {
            return (Ok(()), Outcome::default());
        }
        let mut errors = Errors::default();
        if lapsed {
            errors.add(0, codes::CRL_EXPIRED);
        }
        let refusal = match refusal {
            Some(refusal) if self.is_trusted_itself(leaf, now, &refusal) => return (Ok(()), Outcome::default()),
            Some(refusal) => {
                self.diagnose(leaf, above, seconds, &refusal, &mut errors);
                refusal
            }
            None => CertificateError::ExpiredRevocationList.into(),
        };
        let let_pass = errors.all.iter().all(|(depth, number)| match depth {
            0 => self.crt_ignore.contains(*number),
            _ => self.ca_ignore.contains(*number),
        });
        (if let_pass && !errors.all.is_empty() { Ok(()) } else { Err(refusal) }, errors.outcome())
    }

    /// Every error OpenSSL would have named on the way, as far as it can be told.
    fn diagnose(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: i64,
        refusal: &Error,
        errors: &mut Errors,
    ) {
        let code = codes::of_error(refusal);
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return errors.add(0, code) };
        let above: Vec<_> =
            above.iter().take(MAX_DEPTH).filter_map(|der| X509Certificate::from_der(der).ok()).collect();
        let mut chain = vec![parsed];
        let mut is_trusted = self.is_authority(leaf);
        while !is_trusted && chain.len() <= MAX_DEPTH {
            let last = &chain[chain.len() - 1];
            let next = match self.authority_of(last) {
                Some(authority) => {
                    is_trusted = true;
                    authority
                }
                // One that signed itself leads nowhere.
                None if last.subject() == last.issuer() => break,
                None => match above.iter().find(|(_, other)| issued(other, last)) {
                    Some((_, other)) => other.clone(),
                    None => break,
                },
            };
            chain.push(next);
        }
        let top = chain.len() - 1;
        if !is_trusted {
            let is_self_signed = chain[top].subject() == chain[top].issuer();
            errors.add(
                top,
                match (is_self_signed, top) {
                    (true, 0) => codes::SELF_SIGNED,
                    (true, _) => codes::SELF_SIGNED_IN_CHAIN,
                    (false, _) => codes::NO_LOCAL_ISSUER,
                },
            );
            if !is_self_signed && top == 0 {
                errors.add(0, codes::NO_ISSUER_OF_LEAF);
            }
            if self.has_lists {
                // Nobody trusted could have signed a list of revoked certificates.
                errors.add(0, codes::NO_CRL);
            }
        }
        for (depth, cert) in chain.iter().enumerate().rev() {
            let validity = cert.validity();
            if validity.not_before.timestamp() > now {
                errors.add(depth, codes::NOT_YET_VALID);
            } else if validity.not_after.timestamp() < now {
                errors.add(depth, codes::EXPIRED);
            }
        }
        let is_of_time = |code| matches!(code, codes::EXPIRED | codes::NOT_YET_VALID);
        let is_known = match code {
            // A bad signature below nobody trusted is an issuer that only has the right name.
            codes::NO_LOCAL_ISSUER | codes::BAD_SIGNATURE => !is_trusted,
            code => is_of_time(code) && errors.all.iter().any(|(_, known)| *known == code),
        };
        if !is_known {
            errors.add(self.depth_of(code, leaf, &chain), code);
            // webpki looks at lists last, and did not come to it.
            let is_of_lists = matches!(code, codes::REVOKED | codes::NO_CRL | codes::CRL_EXPIRED);
            if self.has_lists && !is_of_lists && !is_of_time(code) {
                errors.add(0, codes::NO_CRL);
            }
        }
        if is_trusted && is_of_time(code) {
            self.look_past_time(leaf, &chain, errors);
        }
    }

    /// webpki stops at a date. What it would have said next, revocation above all, is asked at a moment when all were valid.
    fn look_past_time(&self, leaf: &CertificateDer<'_>, chain: &[X509Certificate<'_>], errors: &mut Errors) {
        let from = chain.iter().map(|cert| cert.validity().not_before.timestamp()).max();
        let until = chain.iter().map(|cert| cert.validity().not_after.timestamp()).min();
        let (Some(from), Some(until)) = (from, until) else { return };
        let Some(moment) = u64::try_from(until).ok().filter(|_| from <= until) else {
            // There never was one.
            return errors.add(0, codes::UNSPECIFIED);
        };
        let moment = UnixTime::since_unix_epoch(Duration::from_secs(moment));
        if let Err(error) = self.strict.verify_client_cert(leaf, &above(chain), moment) {
            let code = codes::of_error(&error);
            errors.add(self.depth_of(code, leaf, chain), code);
        }
    }

    /// Which certificate an error of webpki concerns: what it says of revocation is of an authority when the client's own is clean.
    fn depth_of(&self, code: u32, leaf: &CertificateDer<'_>, chain: &[X509Certificate<'_>]) -> usize {
        let Some(leaf_only) = &self.leaf_only else { return 0 };
        if !matches!(code, codes::REVOKED | codes::NO_CRL) || chain.len() < 2 {
            return 0;
        }
        let moment = chain[0].validity().not_after.timestamp();
        let moment = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(moment).unwrap_or(0)));
        match leaf_only.verify_client_cert(leaf, &above(chain), moment) {
            Err(error) if codes::of_error(&error) == code => 0,
            _ => 1,
        }
    }

    fn is_trusted_itself(&self, leaf: &CertificateDer<'_>, now: UnixTime, refusal: &Error) -> bool {
        !self.has_lists && self.is_authority(leaf) && pinned::is_good(refusal, leaf, now, |usage| usage.client_auth)
    }

    fn is_authority(&self, der: &CertificateDer<'_>) -> bool {
        self.authorities.values().flatten().any(|known| known == der)
    }

    /// The trusted certificate that signed this one.
    fn authority_of(&self, cert: &X509Certificate<'_>) -> Option<X509Certificate<'_>> {
        let known = self.authorities.get(cert.issuer().as_raw())?;
        known
            .iter()
            .filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1))
            .find(|authority| issued(authority, cert))
    }
}

/// Depths and numbers, each pair once.
#[derive(Default)]
struct Errors {
    all: Vec<(usize, u32)>,
}

impl Errors {
    fn add(&mut self, depth: usize, number: u32) {
        if !self.all.contains(&(depth, number)) {
            self.all.push((depth, number));
        }
    }

    fn outcome(&self) -> Outcome {
        let crt_error = self.all.iter().find(|(depth, _)| *depth == 0).map_or(0, |(_, number)| *number);
        let (ca_depth, ca_error) = self.all.iter().find(|(depth, _)| *depth > 0).copied().unwrap_or_default();
        let last = self.all.last().map_or(0, |(_, number)| *number);
        Outcome { crt_error, ca_error, ca_depth: ca_depth as u32, last }
    }
}

/// The chain without the client's own certificate.
fn above<'c>(chain: &'c [X509Certificate<'_>]) -> Vec<CertificateDer<'c>> {
    chain[1..].iter().map(|cert| CertificateDer::from(cert.as_raw())).collect()
}

fn keep(certificates: Vec<CertificateDer<'static>>, by_subject: &mut HashMap<Box<[u8]>, Vec<CertificateDer<'static>>>) {
    for der in certificates {
        let subject = X509Certificate::from_der(&der).map(|(_, cert)| cert.subject().as_raw().into());
        if let Ok(subject) = subject {
            by_subject.entry(subject).or_default().push(der);
        }
    }
}

/// Whether `authority` signed `cert`.
fn issued(authority: &X509Certificate<'_>, cert: &X509Certificate<'_>) -> bool {
    authority.subject().as_raw() == cert.issuer().as_raw()
        && Signed::read(cert.as_raw()).is_some_and(|signed| is_signed_by(&signed, authority))
}

/// The certificates themselves; that there are some was found out already.
fn certificates(source: &CaSource, key: &'static str, files: &Files) -> Vec<CertificateDer<'static>> {
    match source {
        CaSource::File(path) => {
            let found = roots::certificates(path, key, files, &mut Vec::new());
            found.unwrap_or_default().into_iter().map(|(_, der)| der).collect()
        }
        CaSource::System => Vec::new(),
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let (verdict, outcome) = self.judge(end_entity, intermediates, now);
        OUTCOME.set(outcome);
        verdict.map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_scheme(dss)?;
        self.strict.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_scheme(dss)?;
        self.strict.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

impl ClientVerifier {
    fn check_scheme(&self, dss: &DigitallySignedStruct) -> Result<(), Error> {
        match self.schemes.contains(&dss.scheme) {
            true => Ok(()),
            false => Err(rustls::PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into()),
        }
    }
}

#[cfg(test)]
mod tests;
