//! Hellos made by hand, cut at every place, cut into records in every way, and changed at random.
#![allow(clippy::unwrap_used)]

use super::*;

fn block(width: usize, body: &[u8]) -> Vec<u8> {
    let mut out = body.len().to_be_bytes()[8 - width..].to_vec();
    out.extend_from_slice(body);
    out
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), block(2, body)].concat()
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

fn server_name(name: &str) -> Vec<u8> {
    extension(0, &block(2, &[vec![0], block(2, name.as_bytes())].concat()))
}

fn alpn(names: &[&str]) -> Vec<u8> {
    extension(16, &block(2, &names.iter().flat_map(|name| block(1, name.as_bytes())).collect::<Vec<_>>()))
}

/// A handshake message: legacy version 3.3, a session id, `ciphers` and `extensions`.
fn message(ciphers: &[u16], extensions: Option<&[Vec<u8>]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend(block(1, &[9; 32]));
    body.extend(block(2, &words(ciphers)));
    body.extend(block(1, &[0]));
    if let Some(extensions) = extensions {
        body.extend(block(2, &extensions.concat()));
    }
    [vec![1], block(3, &body)].concat()
}

/// The message in records of at most `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [vec![22, 3, 1], block(2, part)].concat()).collect()
}

/// What a browser sends, with GREASE; the key share makes it longer than a packet.
fn browser() -> Vec<u8> {
    let ciphers = [
        0x3a3a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d,
        0x002f, 0x0035,
    ];
    let share = [words(&[0x1a1a]), block(2, &[0]), words(&[0x11ec]), block(2, &[5; 1216])].concat();
    let extensions = [
        extension(0x5a5a, &[]),
        server_name("www.ex.com"),
        extension(23, &[]),
        extension(0xff01, &[0]),
        extension(10, &block(2, &words(&[0x1a1a, 0x11ec, 29, 23, 24]))),
        extension(11, &block(1, &[0])),
        extension(35, &[]),
        alpn(&["h2", "http/1.1"]),
        extension(5, &[1, 0, 0, 0, 0]),
        extension(13, &block(2, &words(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]))),
        extension(18, &[]),
        extension(51, &block(2, &share)),
        extension(45, &[1, 1]),
        extension(43, &block(1, &words(&[0x2a2a, 0x0304, 0x0303]))),
        extension(27, &[2, 0, 2]),
        extension(17513, &block(2, &block(1, b"h2"))),
        extension(0xdada, &[0]),
        extension(21, &[0; 9]),
    ];
    message(&ciphers, Some(&extensions))
}

fn whole(bytes: &[u8]) -> ClientHello<'_> {
    match Hello::read(bytes) {
        Hello::Whole(hello) => hello,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_field_of_a_hello_is_read() {
    let bytes = records(&browser(), 1 << 14);
    let hello = whole(&bytes);
    assert!(matches!(hello.body, Cow::Borrowed(_)), "one record is read in place");
    assert_eq!(hello.wire_len(), bytes.len());
    assert_eq!(hello.legacy_version(), Some(0x0303));
    assert_eq!(hello.versions().collect::<Vec<_>>(), [0x2a2a, 0x0304, 0x0303]);
    assert_eq!((hello.random(), hello.session_id()), ([7; 32].as_slice(), [9; 32].as_slice()));
    assert_eq!((hello.cipher_suites().count(), hello.cipher_suites().nth(1)), (16, Some(0x1301)));
    assert_eq!(hello.sni(), Some(b"www.ex.com".as_slice()));
    assert_eq!(hello.alpn().collect::<Vec<_>>(), [b"h2".as_slice(), b"http/1.1"]);
    assert_eq!(hello.signature_algorithms().next(), Some(0x0403));
    assert_eq!(hello.groups().collect::<Vec<_>>(), [0x1a1a, 0x11ec, 29, 23, 24]);
    assert_eq!((hello.ec_point_formats(), hello.names_groups()), ([0].as_slice(), true));
    assert_eq!((hello.ticket(), hello.offers_early_data()), (Some(b"".as_slice()), false));
    assert_eq!(
        hello.key_shares().map(|(group, key)| (group, key.len())).collect::<Vec<_>>(),
        [(0x1a1a, 1), (0x11ec, 1216)]
    );
    assert_eq!((hello.extensions().count(), hello.extension(45)), (18, Some([1, 1].as_slice())));
    assert_eq!(hello.clone().into_owned(), hello);
}

#[test]
fn a_hello_without_extensions_is_whole() {
    let bytes = records(&message(&[0x002f], None), 1 << 14);
    let hello = whole(&bytes);
    assert_eq!((hello.sni(), hello.alpn().count(), hello.extensions().count()), (None, 0, 0));
    assert_eq!(hello.versions().collect::<Vec<_>>(), [0x0303]);
}

#[test]
fn records_of_any_size_hold_the_same_hello() {
    // Cut even between type and length of the message.
    assert_eq!(whole(&records(&message(&[1], None), 2)).cipher_suites().next(), Some(1));
    let message = browser();
    let one = records(&message, 1 << 14);
    let expected = whole(&one);
    for size in message.len().div_ceil(MAX_RECORDS)..message.len() {
        let bytes = records(&message, size);
        let hello = whole(&bytes);
        assert_eq!(hello.body, expected.body, "{size}");
        assert_eq!(hello.wire_len(), bytes.len(), "{size}");
    }
    let small = message.len().div_ceil(MAX_RECORDS) - 1;
    assert_eq!(Hello::read(&records(&message, small)), Hello::Other, "more records than MAX_RECORDS");
}

#[test]
fn what_is_cut_off_may_become_a_hello_and_what_follows_is_left() {
    for size in [1 << 14, 300, 100] {
        let bytes = records(&browser(), size);
        for length in 0..bytes.len() {
            assert!(matches!(Hello::read(&bytes[..length]), Hello::Partial(_)), "{size} {length}");
        }
        let followed = [bytes.as_slice(), b"\x17\x03\x03\x00\x01x"].concat();
        assert_eq!(whole(&followed).wire_len(), bytes.len());
    }
    // The name is there before the rest is.
    let bytes = records(&browser(), 1 << 14);
    let Hello::Partial(hello) = Hello::read(&bytes[..bytes.len() - 1]) else { panic!("partial") };
    assert_eq!((hello.sni(), hello.wire_len()), (Some(b"www.ex.com".as_slice()), 0));
}

#[test]
fn other_protocols_and_messages_are_told() {
    for other in [
        b"GET / HTTP/1.1".as_slice(),
        b"\x16\x02",
        b"\x17\x03\x03",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x05\x01\x01\x00\x00\x00",
        b"\x16\x03\x01\x00\x01\x01\x17",
    ] {
        assert_eq!(Hello::read(other), Hello::Other, "{other:?}");
    }
    let server = b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00";
    assert_eq!(Hello::read(server), Hello::Message(2));
    assert!(matches!(Hello::read(&server[..9]), Hello::Partial(_)));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let two_names = [vec![0], block(2, b"a"), vec![0], block(2, b"b")].concat();
    let mut behind = records(&message(&[1], None), 1 << 14);
    behind.push(0);
    behind[4] += 1;
    let many: Vec<_> = (1000..=1000 + MAX_EXTENSIONS as u16).map(|kind| extension(kind, &[])).collect();
    for (why, bytes) in [
        ("a name twice", records(&message(&[1], Some(&[server_name("a"), server_name("a")])), 1 << 14)),
        ("two names", records(&message(&[1], Some(&[extension(0, &block(2, &two_names))])), 1 << 14)),
        ("a name longer than its list", records(&message(&[1], Some(&[extension(0, b"\x00\x04\x00\x00\x09a")])), 99)),
        ("more than the list of protocols", records(&message(&[1], Some(&[extension(16, b"\x00\x02\x01ax")])), 99)),
        ("an empty protocol", records(&message(&[1], Some(&[alpn(&[""])])), 1 << 14)),
        ("half a version", records(&message(&[1], Some(&[extension(43, b"\x03\x03\x04\x03")])), 1 << 14)),
        ("an extension in vain", records(&message(&[1], Some(&many)), 1 << 14)),
        ("bytes behind the message", behind),
        ("a long message", [b"\x16\x03\x01\x40\x00\x01\x00\x40\x00".as_slice(), &[0; 9]].concat()),
    ] {
        assert_eq!(Hello::read(&bytes), Hello::Other, "{why}");
    }
    assert_eq!(whole(&records(&message(&[1], Some(&many[1..])), 1 << 14)).extensions().count(), MAX_EXTENSIONS);
}

#[test]
fn ja3_is_the_text_of_its_authors() {
    // Made so that the text is the first example of JA3: without GREASE, in the order sent.
    let extensions =
        [server_name("x"), extension(10, &block(2, &words(&[0x0a0a, 23, 24, 25]))), extension(11, &block(1, &[0]))];
    let mut old = message(&[0xfafa, 47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4], Some(&extensions));
    old[4..6].copy_from_slice(&[3, 1]);
    let bytes = records(&old, 1 << 14);
    assert_eq!(whole(&bytes).ja3_text(), "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0");
    assert_eq!(whole(&records(&message(&[4, 5], None), 1 << 14)).ja3_text(), "771,4-5,,,");
}

#[test]
fn ja4_sorts_counts_and_leaves_grease_out() {
    let bytes = records(&browser(), 1 << 14);
    let (traits, ciphers, extensions) = whole(&bytes).ja4_parts();
    assert_eq!(traits, "t13d1516h2");
    assert_eq!(ciphers, "002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9");
    assert_eq!(
        extensions,
        "0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01\
         _0403,0804,0401,0503,0805,0501,0806,0601"
    );
    let digest = |text: &[u8]| [text.len() as u8; 32];
    assert_eq!(whole(&bytes).ja4(digest), "t13d1516h2_4a4a4a4a4a4a_6d6d6d6d6d6d");
    let bare = records(&message(&[0x0a0a], None), 1 << 14);
    assert_eq!(whole(&bare).ja4(digest), "t12i000000_000000000000_000000000000");
    for (names, expected) in
        [(&["http/1.1"][..], "h1"), (&["h"], "hh"), (&["\u{7f}"], "7f"), (&["0\u{ab}"], "3b"), (&["h3-"], "6d")]
    {
        let bytes = records(&message(&[], Some(&[alpn(names)])), 1 << 14);
        assert_eq!(whole(&bytes).ja4_parts().0, format!("t12i0001{expected}"), "{names:?}");
    }
}

#[test]
fn changed_cut_and_split_hellos_never_panic() {
    const SEED: u64 = 0x7e110;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let message = browser();
    for round in 0..20_000 {
        let mut bytes = records(&message, rng.usize(30..2000));
        for _ in 0..rng.usize(..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = rng.u8(..);
        }
        bytes.truncate(rng.usize(..=bytes.len()));
        if let Hello::Partial(hello) | Hello::Whole(hello) = Hello::read(&bytes) {
            let found = hello.alpn().map(<[u8]>::len).sum::<usize>() + hello.sni().map_or(0, <[u8]>::len);
            let shares = hello.key_shares().map(|(_, key)| key.len()).sum::<usize>();
            let all = hello.extensions().map(|(_, body)| body.len() + 4).sum::<usize>();
            assert!(found + shares <= all && all <= bytes.len(), "seed {SEED:#x}, round {round}");
            assert!(hello.wire_len() <= bytes.len(), "seed {SEED:#x}, round {round}");
            assert!(hello.ja4(|_| [0; 32]).len() == 36, "seed {SEED:#x}, round {round}");
            assert!(hello.ja3_text().split(',').count() == 5, "seed {SEED:#x}, round {round}");
        }
    }
}
