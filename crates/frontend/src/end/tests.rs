//! The table agrees with itself, with the parser's statuses, and with HAProxy's letters.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::*;

#[test]
fn an_end_is_the_index_of_its_entry() {
    for (at, entry) in End::all().enumerate() {
        assert_eq!(entry.end as usize, at, "{}", entry.code);
        assert!(std::ptr::eq(entry.end.entry(), entry));
        assert_eq!(End::with_code(entry.code).map(|e| e.end), Some(entry.end));
    }
    assert_eq!(size_of::<End>(), 1);
    assert!(End::with_code("EV999").is_none() && End::with_code("").is_none());
}

#[test]
fn codes_and_labels_are_unique_sorted_and_grouped_by_fault() {
    let codes: Vec<_> = End::all().map(|e| e.code).collect();
    assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    let labels: HashSet<_> = End::all().map(|e| e.label).collect();
    assert_eq!(labels.len(), End::COUNT);
    for entry in End::all() {
        let digits = entry.code.strip_prefix("EV").unwrap();
        assert!(digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()), "{}", entry.code);
        let group = match entry.fault {
            Fault::Nobody => b'0',
            Fault::Client => b'1',
            Fault::Server => b'2',
            Fault::Operator => b'3',
            Fault::Proxy => b'4',
            Fault::Admin => b'5',
        };
        assert_eq!(digits.as_bytes()[0], group, "{}", entry.code);
        assert!(entry.label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{entry:?}");
    }
}

#[test]
fn sentences_are_clauses_that_fit_behind_a_colon() {
    for entry in End::all() {
        for text in [entry.sentence, entry.next] {
            assert!(!text.ends_with('.') && !text.contains("  ") && !text.is_empty(), "{}: {text}", entry.code);
        }
        assert_eq!(entry.end.is_error(), entry.fault != Fault::Nobody);
    }
}

#[test]
fn who_gets_a_status_gets_a_proxy_status_and_nothing_that_began_gets_one() {
    for entry in End::all() {
        let Entry { code, status, proxy_status, stage, .. } = entry;
        if let Some(status) = status {
            assert!((400..600).contains(status), "{code}");
            assert!(proxy_status.is_some(), "{code}");
        }
        // RFC 8941: the value is a token.
        let token = |t: &&str| t.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(proxy_status.iter().all(token), "{code}");
        // Once the head of a response is out, only what the client still sends can fail with a status.
        if *stage == Stage::Data && entry.fault != Fault::Client {
            assert_eq!((*status, *proxy_status), (None, None), "{code}");
        }
    }
}

#[test]
fn every_malformed_message_has_the_status_of_its_reason() {
    for why in Malformed::ALL {
        let end = End::bad_request(*why);
        // A body that breaks is answered 400 whatever is wrong with it, as HAProxy does.
        let status = if end.stage() == Stage::Data { 400 } else { why.status() };
        assert_eq!(end.status(), Some(status), "{why:?}");
        assert_eq!(End::bad_response(*why).status(), Some(502), "{why:?}");
        assert_eq!(End::bad_response(*why).letters(), *b"PH", "{why:?}");
    }
}

#[test]
fn letters_are_those_of_the_reference() {
    let table = [
        (End::Normal, b"--"),
        (End::Answered, b"LR"),
        (End::ClientClosedInHead, b"CR"),
        (End::ClientClosedInBody, b"CD"),
        (End::ClientClosedInQueue, b"CQ"),
        (End::ClientClosedWaiting, b"CH"),
        (End::ClientClosedInResponse, b"CD"),
        (End::ClientSlowHead, b"cR"),
        (End::ClientSlowBody, b"cD"),
        (End::ClientNotReading, b"cD"),
        (End::BodyWaitTimeout, b"cR"),
        (End::RequestBadLine, b"PR"),
        (End::RequestBadChunk, b"PD"),
        (End::Denied, b"PR"),
        (End::Unauthorized, b"LR"),
        (End::Tarpitted, b"PT"),
        (End::Rejected, b"PR"),
        (End::SilentDropped, b"PR"),
        (End::RewriteFailed, b"PR"),
        (End::ResponseDenied, b"PH"),
        (End::NoBackend, b"SC"),
        (End::ServersDown, b"SC"),
        (End::ServersInMaintenance, b"SC"),
        (End::QueueTimeout, b"sQ"),
        (End::QueueFull, b"SQ"),
        (End::ConnectRefused, b"SC"),
        (End::ConnectTimeout, b"sC"),
        (End::NoLocalPort, b"RC"),
        (End::ServerClosedUnanswered, b"SH"),
        (End::ServerClosedReused, b"SH"),
        (End::ResponseTimeout, b"sH"),
        (End::ResponseBadStatusLine, b"PH"),
        (End::ResponseBadChunk, b"PD"),
        (End::ResponseCutShort, b"SD"),
        (End::ResponseStalled, b"sD"),
        (End::TunnelIdleClient, b"cD"),
        (End::ServerRemoved, b"DD"),
        (End::Internal, b"IR"),
    ];
    for (end, letters) in table {
        assert_eq!(&end.letters(), letters, "{end:?}");
    }
}

#[test]
fn a_connect_error_is_told_from_its_neighbours() {
    let of = |number| End::connect_failed(&io::Error::from_raw_os_error(number));
    for (number, end) in [
        (libc::ECONNREFUSED, End::ConnectRefused),
        (libc::ECONNRESET, End::ConnectReset),
        (libc::ENETUNREACH, End::ConnectUnreachable),
        (libc::EHOSTUNREACH, End::ConnectUnreachable),
        (libc::ETIMEDOUT, End::ConnectTimeout),
        (libc::ENOENT, End::ConnectNoSocket),
        (libc::EACCES, End::ConnectNotPermitted),
        (libc::EADDRNOTAVAIL, End::NoLocalPort),
        (libc::EMFILE, End::NoDescriptor),
        (libc::ENOMEM, End::NoMemory),
        (libc::EINVAL, End::ConnectFailed),
    ] {
        assert_eq!(of(number), end, "{}", io::Error::from_raw_os_error(number));
    }
    assert_eq!(End::connect_failed(&io::Error::other("no number")), End::ConnectFailed);
}

#[test]
fn an_entry_is_explained_whole() {
    let text = End::ConnectRefused.entry().explain();
    for part in [
        "EV200: connect_refused",
        "the server refused the connection.",
        "configuration?\n",
        "503",
        "SC",
        "connection_refused",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(End::ServerRemoved.entry().explain().contains("none is sent"));
}

/// `EVENKEEL_BLESS=1` writes the page instead.
#[test]
fn the_manual_lists_the_reasons_of_the_table() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual/reasons.md");
    let want = super::manual::markdown();
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        std::fs::write(&file, &want).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == want,
        "docs/manual/reasons.md is out of date; run EVENKEEL_BLESS=1 cargo test -p evenkeel-frontend"
    );
}
