#![allow(clippy::unwrap_used)]
use std::path::PathBuf;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};

use super::*;
use crate::options::Policy;
use crate::policy;
use crate::testing::{Ca, NOW, self_signed};

/// Files a verifier is made of.
struct Case {
    at: tempfile::TempDir,
    options: ClientAuth,
}

impl Case {
    fn new(authorities: &[&str]) -> Case {
        let at = tempfile::tempdir().unwrap();
        std::fs::write(at.path().join("ca"), authorities.concat()).unwrap();
        let ca_file = Some(CaSource::File(at.path().join("ca")));
        Case { options: ClientAuth { verify: Verify::Optional, ca_file, ..ClientAuth::default() }, at }
    }

    fn ignoring(mut self, ca: &str, crt: &str) -> Case {
        let parse =
            |text: &str| if text.is_empty() { IgnoreErrors::default() } else { IgnoreErrors::parse(text).unwrap() };
        (self.options.ca_ignore_err, self.options.crt_ignore_err) = (parse(ca), parse(crt));
        self
    }

    fn lists(mut self, lists: &[String]) -> Case {
        let path: PathBuf = self.at.path().join("crl");
        std::fs::write(&path, lists.concat()).unwrap();
        self.options.crl_file = Some(path);
        self
    }

    fn verifier(&self) -> Arc<ClientVerifier> {
        let mut problems = Vec::new();
        let policy = policy::build(&Policy::default(), &mut problems).unwrap();
        let verifier = ClientVerifier::new(&self.options, &policy, &Files::SYSTEM, &mut problems);
        assert_eq!(problems, []);
        verifier.unwrap()
    }

    /// Whether the chain is let in, and the numbers of what is wrong with it.
    fn judge(&self, chain: &[&[u8]]) -> (bool, (u32, u32, u32)) {
        self.judge_at(chain, NOW)
    }

    fn judge_at(&self, chain: &[&[u8]], now: i64) -> (bool, (u32, u32, u32)) {
        let verifier = self.verifier();
        let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(*der)).collect();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now as u64));
        let is_in = verifier.verify_client_cert(&chain[0], &chain[1..], now).is_ok();
        let outcome = take_outcome();
        assert_eq!(take_outcome(), Outcome::default());
        if is_in {
            assert_eq!(verifier.again(&chain, now), outcome);
        }
        (is_in, (outcome.crt_error, outcome.ca_error, outcome.ca_depth))
    }
}

fn expired(params: &mut rcgen::CertificateParams) {
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
}

fn list(ca: &Ca, revoked: &[u64], until: (i32, u8, u8)) -> String {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: rcgen::date_time_ymd(2020, 6, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(until.0, until.1, until.2),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&ca.issuer()).unwrap().pem().unwrap()
}

#[test]
fn a_chain_to_the_authority_is_let_in() {
    let ca = Ca::new("root");
    let middle = ca.intermediate("middle");
    let leaf = middle.issue(&["client"]);
    let case = Case::new(&[&ca.pem]);
    assert_eq!(case.judge(&[&leaf.der, &middle.der]), (true, (0, 0, 0)));
    assert_eq!(case.judge(&[&leaf.der]), (false, (20, 0, 0)));
    assert_eq!(Case::new(&[&ca.pem]).ignoring("", "20").judge(&[&leaf.der]), (false, (20, 0, 0)));
    assert_eq!(Case::new(&[&ca.pem]).ignoring("", "20,21").judge(&[&leaf.der]), (true, (20, 0, 0)));
}

#[test]
fn strangers_are_told_apart() {
    let (ca, stranger) = (Ca::new("root"), Ca::new("stranger"));
    let middle = stranger.intermediate("middle");
    let leaf = middle.issue(&["client"]);
    let alone = self_signed(&["client"], |_| {});
    let case = |ca_ignored, ignored| Case::new(&[&ca.pem]).ignoring(ca_ignored, ignored);
    assert_eq!(case("", "").judge(&[&alone.der]), (false, (18, 0, 0)));
    assert_eq!(case("", "18").judge(&[&alone.der]), (true, (18, 0, 0)));
    assert_eq!(case("all", "").judge(&[&alone.der]), (false, (18, 0, 0)));
    assert_eq!(case("", "all").judge(&[&leaf.der, &middle.der, &stranger.der]), (false, (0, 19, 2)));
    assert_eq!(case("19", "").judge(&[&leaf.der, &middle.der, &stranger.der]), (true, (0, 19, 2)));
    assert_eq!(case("20", "").judge(&[&leaf.der, &middle.der]), (true, (0, 20, 1)));
    assert_eq!(case("19", "all").judge(&[&leaf.der, &middle.der]), (false, (0, 20, 1)));
}

#[test]
fn an_issuer_of_the_same_name_is_no_issuer() {
    let (ca, impostor) = (Ca::new("root"), Ca::new("root"));
    let leaf = impostor.issue(&["client"]);
    let case = Case::new(&[&ca.pem]).ignoring("all", "10");
    assert_eq!(case.judge(&[&leaf.der]), (false, (20, 0, 0)));
    assert_eq!(case.judge(&[&leaf.der, &impostor.der]), (true, (0, 19, 1)));
}

#[test]
fn dates_are_let_pass_by_number_and_depth() {
    let ca = Ca::new("root");
    let leaf = ca.issue_with(&["client"], expired);
    let case = |ca_ignored, ignored| Case::new(&[&ca.pem]).ignoring(ca_ignored, ignored);
    assert_eq!(case("", "").judge(&[&leaf.der]), (false, (10, 0, 0)));
    assert_eq!(case("10", "9,18").judge(&[&leaf.der]), (false, (10, 0, 0)));
    assert_eq!(case("", "10").judge(&[&leaf.der]), (true, (10, 0, 0)));
    // Before its time.
    let early = ca.issue(&["client"]);
    assert_eq!(case("", "9").judge_at(&[&early.der], 1_500_000_000).1.0, 9);
    // A stranger's expired certificate has two faults.
    let stranger = Ca::new("stranger");
    let both = stranger.issue_with(&["client"], expired);
    assert_eq!(case("", "10").judge(&[&both.der]), (false, (20, 0, 0)));
    assert_eq!(case("", "10,20,21").judge(&[&both.der]), (true, (20, 0, 0)));
}

#[test]
fn other_purposes_are_refused() {
    let ca = Ca::new("root");
    let leaf = ca.issue_with(&["client"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert_eq!(Case::new(&[&ca.pem]).judge(&[&leaf.der]), (false, (26, 0, 0)));
    assert_eq!(Case::new(&[&ca.pem]).ignoring("", "26").judge(&[&leaf.der]), (true, (26, 0, 0)));
    // Nobody looked at the list.
    let case = Case::new(&[&ca.pem]).ignoring("", "26").lists(&[list(&ca, &[], (2040, 1, 1))]);
    assert!(!case.judge(&[&leaf.der]).0);
}

#[test]
fn revoked_certificates_are_refused_even_when_expired() {
    let ca = Ca::new("root");
    let serial = |params: &mut rcgen::CertificateParams| params.serial_number = Some(SerialNumber::from(7));
    let leaf = ca.issue_with(&["client"], serial);
    let old = ca.issue_with(&["client"], |params| {
        serial(params);
        expired(params);
    });
    let lists = [list(&ca, &[7], (2040, 1, 1))];
    let case = |ignored| Case::new(&[&ca.pem]).ignoring("", ignored).lists(&lists);
    assert_eq!(case("").judge(&[&leaf.der]), (false, (23, 0, 0)));
    assert_eq!(case("10").judge(&[&old.der]), (false, (10, 0, 0)));
    assert_eq!(case("10,23").judge(&[&old.der]), (true, (10, 0, 0)));
    assert_eq!(case("").judge(&[&ca.issue(&["other"]).der]), (true, (0, 0, 0)));
}

#[test]
fn every_authority_of_the_chain_needs_a_list() {
    let ca = Ca::new("root");
    let middle = ca.intermediate("middle");
    let leaf = middle.issue(&["client"]);
    let chain: [&[u8]; 2] = [&leaf.der, &middle.der];
    let (of_root, of_middle) = (list(&ca, &[], (2040, 1, 1)), list(&middle, &[], (2040, 1, 1)));
    let case = |lists: &[String], ca_ignored, ignored| {
        Case::new(&[&ca.pem]).ignoring(ca_ignored, ignored).lists(lists).judge(&chain)
    };
    assert_eq!(case(&[of_root.clone(), of_middle.clone()], "", ""), (true, (0, 0, 0)));
    assert_eq!(case(std::slice::from_ref(&of_root), "", "3"), (true, (3, 0, 0)));
    assert_eq!(case(std::slice::from_ref(&of_root), "3", "10"), (false, (3, 0, 0)));
    assert_eq!(case(std::slice::from_ref(&of_middle), "3", ""), (true, (0, 3, 1)));
    assert_eq!(case(std::slice::from_ref(&of_middle), "", "3"), (false, (0, 3, 1)));
}

#[test]
fn a_list_past_its_time_counts_as_an_error() {
    let ca = Ca::new("root");
    let leaf = ca.issue(&["client"]);
    let case = |ignored| Case::new(&[&ca.pem]).ignoring("", ignored).lists(&[list(&ca, &[], (2021, 1, 1))]);
    assert_eq!(case("").judge(&[&leaf.der]), (false, (12, 0, 0)));
    assert_eq!(case("12").judge(&[&leaf.der]), (true, (12, 0, 0)));
}

#[test]
fn a_trusted_certificate_is_let_in_itself() {
    let (ca, other) = (Ca::new("me"), Ca::new("me"));
    let plain = self_signed(&["client"], |_| {});
    assert_eq!(Case::new(&[&ca.pem]).judge(&[&ca.der]), (true, (0, 0, 0)));
    assert_eq!(Case::new(&[&plain.pem]).judge(&[&plain.der]), (true, (0, 0, 0)));
    assert!(!Case::new(&[&ca.pem]).judge(&[&other.der]).0);
    assert!(!Case::new(&[&ca.pem]).judge_at(&[&ca.der], 4_000_000_000).0);
}

#[test]
fn names_of_authorities_are_told_as_asked() {
    let (ca, unnamed) = (Ca::new("named"), Ca::new("unnamed"));
    let mut case = Case::new(&[&ca.pem]);
    let path = case.at.path().join("unnamed");
    std::fs::write(&path, &unnamed.pem).unwrap();
    case.options.ca_verify_file = Some(CaSource::File(path));
    assert_eq!(case.verifier().root_hint_subjects().len(), 1);
    assert_eq!(case.judge(&[&unnamed.issue(&["client"]).der]), (true, (0, 0, 0)));
    let digest = *case.verifier().digest();
    assert_eq!(*case.verifier().digest(), digest);
    case.options.no_ca_names = true;
    assert!(case.verifier().root_hint_subjects().is_empty());
    case.options.verify = Verify::Required;
    assert!(case.verifier().client_auth_mandatory());
    assert_ne!(*case.verifier().digest(), digest);
}

#[test]
fn mistakes_in_the_options_are_reported() {
    let policy = policy::build(&Policy::default(), &mut Vec::new()).unwrap();
    let build = |options: &ClientAuth| {
        let mut problems = Vec::new();
        let verifier = ClientVerifier::new(options, &policy, &Files::SYSTEM, &mut problems);
        (verifier.is_some(), problems.iter().map(|problem| problem.key).collect::<Vec<_>>())
    };
    let required = ClientAuth { verify: Verify::Required, ..ClientAuth::default() };
    assert_eq!(build(&ClientAuth::default()), (false, vec![]));
    assert_eq!(build(&required), (false, vec!["ca-file"]));
    let missing =
        ClientAuth { ca_file: Some(CaSource::File("none".into())), crl_file: Some("none".into()), ..required };
    assert_eq!(build(&missing), (false, vec!["crl-file", "ca-file"]));
}

#[test]
fn mutated_certificates_never_panic() {
    let ca = Ca::new("root");
    let middle = ca.intermediate("middle");
    let leaf = middle.issue(&["client"]);
    let case = Case::new(&[&ca.pem]).ignoring("20", "10,18,20,21");
    let verifier = case.verifier();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW as u64));
    for seed in 0..600 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut one, mut other) = (leaf.der.clone(), middle.der.clone());
        let der = if rng.bool() { &mut one } else { &mut other };
        let at = rng.usize(0..der.len());
        der[at] ^= 1 << rng.u8(0..8);
        let (verdict, outcome) = verifier.judge(&one.into(), &[other.into()], now);
        assert!(verdict.is_err() || outcome != Outcome::default(), "seed {seed}, byte {at}");
    }
}
