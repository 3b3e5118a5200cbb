#![allow(clippy::unwrap_used)]
use super::*;
use crate::problem::Severity;

fn ciphers(list: &str) -> (Vec<&'static str>, Vec<Problem>) {
    let mut problems = Vec::new();
    let found = cipher_list(list, &mut problems);
    (found.into_iter().map(|at| SUITES12[at].name).collect(), problems)
}

fn built(policy: &Policy) -> (Option<Built>, Vec<Problem>) {
    let mut problems = Vec::new();
    (build(policy, &mut problems), problems)
}

#[test]
fn the_default_speaks_both_versions_with_all_suites() {
    let (built, problems) = built(&Policy::default());
    let built = built.unwrap();
    assert!(problems.is_empty());
    assert_eq!(built.provider.cipher_suites.len(), 9);
    assert_eq!(built.versions.len(), 2);
    assert!(built.own_order);
    assert_eq!(built.provider.kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
}

#[test]
fn names_keep_their_order() {
    let (found, problems) =
        ciphers("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    assert_eq!(found, ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]);
    assert!(problems.is_empty());
}

#[test]
fn the_list_language_of_openssl_is_understood() {
    let (found, problems) = ciphers("HIGH:!aNULL:!MD5:!3DES:-CHACHA20:@STRENGTH");
    assert_eq!(found.len(), 4);
    assert!(found[0].contains("AES256") && found[3].contains("AES128"));
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(ciphers("ECDHE+AESGCM+ECDSA").0, ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]);
    assert_eq!(ciphers("!RSA:ALL:+AES128").0.last(), Some(&"ECDHE-ECDSA-AES128-GCM-SHA256"));
    assert!(!ciphers("!RSA:ALL:RSA").0.iter().any(|name| name.contains("RSA-AES") && name.starts_with("ECDHE-RSA")));
}

#[test]
fn known_but_unspoken_suites_are_left_out_with_one_warning() {
    let (found, problems) = ciphers("ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256:AES128-SHA:kRSA");
    assert_eq!(found.len(), 1);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].severity, Severity::Warning);
    assert!(problems[0].message.contains("DHE-RSA-AES128-GCM-SHA256, AES128-SHA, kRSA"));
}

#[test]
fn unknown_names_are_errors_that_name_the_known() {
    for (policy, key) in [
        (Policy { ciphers: Some("ECDHE-RSA-AES128-GCM-SHA257".into()), ..Policy::default() }, "ciphers"),
        (Policy { ciphersuites: Some("TLS_AES_512".into()), ..Policy::default() }, "ciphersuites"),
        (Policy { curves: Some("X25518".into()), ..Policy::default() }, "curves"),
        (Policy { sigalgs: Some("RSA+SHA257".into()), ..Policy::default() }, "sigalgs"),
        (Policy { client_sigalgs: Some("nonsense".into()), ..Policy::default() }, "client-sigalgs"),
    ] {
        let (none, problems) = built(&policy);
        assert!(none.is_none(), "{policy:?}");
        assert_eq!((problems.len(), problems[0].key), (1, key), "{problems:?}");
        assert!(problems[0].hint.as_ref().unwrap().contains("known are"), "{problems:?}");
    }
}

#[test]
fn nothing_left_is_an_error() {
    for policy in [
        Policy { ciphers: Some("AES128-SHA".into()), ..Policy::default() },
        Policy { ciphersuites: Some("".into()), ..Policy::default() },
        Policy { curves: Some("P-521".into()), ..Policy::default() },
        Policy { sigalgs: Some("RSA+SHA1".into()), ..Policy::default() },
        Policy { min: Version::Tls13, max: Version::Tls12, ..Policy::default() },
    ] {
        let (none, problems) = built(&policy);
        assert!(none.is_none(), "{policy:?}");
        assert!(any_error(&problems));
    }
    // TLS 1.3 alone needs no older suite.
    let only13 = Policy { min: Version::Tls13, ciphers: Some("AES128-SHA".into()), ..Policy::default() };
    assert!(built(&only13).0.is_some());
}

#[test]
fn curves_and_signatures_are_read_in_every_spelling() {
    let policy = Policy {
        curves: Some("?X25519MLKEM768/*X25519:prime256v1:P-256:secp384r1".into()),
        sigalgs: Some("ECDSA+SHA256:RSA-PSS+SHA256:rsa_pkcs1_sha256:PSS+SHA384".into()),
        ..Policy::default()
    };
    let (built, problems) = built(&policy);
    let built = built.unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(built.provider.kx_groups.len(), 4);
    assert_eq!(
        built.own_schemes.as_deref().unwrap(),
        [
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PSS_SHA384
        ]
    );
}

#[test]
fn any_text_is_read_without_panic() {
    let pieces =
        ["ECDHE", "+", "!", "-", ":", "@", "AES128", "SHA256", "@STRENGTH", "é", "?", "RSA", "P-256", " ", "GCM"];
    let mut rng = fastrand::Rng::with_seed(11);
    for _ in 0..2000 {
        let text: Arc<str> =
            (0..rng.usize(0..8)).map(|_| pieces[rng.usize(0..pieces.len())]).collect::<String>().into();
        let policy = Policy {
            ciphers: Some(Arc::clone(&text)),
            ciphersuites: Some(Arc::clone(&text)),
            curves: Some(Arc::clone(&text)),
            sigalgs: Some(text),
            ..Policy::default()
        };
        let (built, problems) = built(&policy);
        assert_eq!(built.is_none(), any_error(&problems), "seed 11: {policy:?}");
    }
}
