//! Headers made by hand and by the encoder, cut at every place and changed at random.
#![allow(clippy::unwrap_used)]

use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn complete(bytes: &[u8]) -> Header<'_> {
    match parse(bytes) {
        Ok(Parsed::Complete(header)) => header,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

/// A header of version 2 with that command, family and block.
fn raw(kind: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE.as_slice(), &[kind, family], &length, block].concat()
}

const TCP4: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 10, 0xc8, 0x22, 1, 0xbb];

fn good() -> Vec<Vec<u8>> {
    let mut full = Vec::new();
    let inet = Addresses::Inet { src: at("[2001:db8::7]:51234"), dst: at("[2001:db8::10]:443") };
    let mut encoder = Encoder::new(&mut full, Command::Proxy, &inet, true);
    assert!(encoder.field(tlv::ALPN, b"h2") && encoder.field(tlv::AUTHORITY, b"www.ex.com"));
    assert!(encoder.field(tlv::UNIQUE_ID, &[b'u'; MAX_UNIQUE_ID]) && encoder.field(tlv::NOOP, &[0; 5]));
    assert!(encoder.ssl(7, 0, [(tlv::SSL_VERSION, b"TLSv1.3".as_slice()), (tlv::SSL_CN, b"me")]));
    assert!(encoder.field(0xea, b"\x01vpce-1"));
    encoder.finish();
    let mut unix = Vec::new();
    Encoder::new(&mut unix, Command::Proxy, &Addresses::Unix { src: b"\0abs", dst: b"/run/x.sock" }, true).finish();
    let mut longest = Vec::new();
    line(&mut longest, Some((at("[1111:2222:3333:4444:5555:6666:7777:8888]:65535"), at("[::ffff:0:1]:1"))));
    vec![
        full,
        unix,
        longest,
        b"PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ff:ff 1 2 junk\r\n".to_vec(),
        raw(0x20, 0, &[]),
        raw(0x21, 0x12, &TCP4),
    ]
}

#[test]
fn lines_are_read() {
    let header = complete(b"PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\r\nGET /");
    assert_eq!((header.version, header.command, header.wire_len()), (1, Command::Proxy, 43));
    assert_eq!(header.endpoints(), Some((at("192.0.2.7:51234"), at("192.0.2.10:443"))));
    assert_eq!(header.fields().count(), 0);
    let header = complete(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n");
    assert_eq!(header.endpoints(), Some((at("[2001:db8::7]:0"), at("[::1]:65535"))));
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ff:ff 1 2 junk\r\n"] {
        let header = complete(line.as_bytes());
        assert_eq!((header.addresses, header.wire_len()), (Addresses::Unspecified, line.len()));
    }
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 91], b"\r\n"].concat();
    assert_eq!((long.len(), complete(&long).wire_len()), (MAX_LINE, MAX_LINE));
}

#[test]
fn wrong_lines_are_refused() {
    for (line, why) in [
        ("PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\n", Malformed::BadLine),
        ("PROXY TCP4 192.0.2.7 192.0.2.10 51234 443\rx", Malformed::BadLine),
        ("PROXY TCP4 192.0.2.7 192.0.2.10 51234 0443\r\n", Malformed::BadLine),
        ("PROXY TCP4 192.0.2.7 192.0.2.10 51234 65536\r\n", Malformed::BadLine),
        ("PROXY TCP4 192.0.2.7 192.0.2.10 +1 443\r\n", Malformed::BadLine),
        ("PROXY TCP4 192.0.2.7 192.0.2.10 51234 \r\n", Malformed::BadLine),
        ("PROXY TCP4 192.0.2.7 192.0.2.10 51234\r\n", Malformed::BadLine),
        ("PROXY TCP4 192.0.2.7 192.0.2.10 51234 443 \r\n", Malformed::BadLine),
        ("PROXY TCP4 192.0.2.7  192.0.2.10 51234 443\r\n", Malformed::BadLine),
        ("PROXY TCP4 192.0.2.07 192.0.2.10 51234 443\r\n", Malformed::BadLine),
        ("PROXY TCP4 ::1 ::1 51234 443\r\n", Malformed::BadLine),
        ("PROXY TCP6 192.0.2.7 192.0.2.10 51234 443\r\n", Malformed::BadLine),
        ("PROXY UDP4 192.0.2.7 192.0.2.10 51234 443\r\n", Malformed::BadLine),
        ("PROXY UNKNOWNX\r\n", Malformed::BadLine),
        ("PROXY \r\n", Malformed::BadLine),
        ("PROXY\r\n", Malformed::NoHeader),
        ("proxy TCP4", Malformed::NoHeader),
        ("GET / HTTP/1.1", Malformed::NoHeader),
        ("\r\nPROXY", Malformed::NoHeader),
    ] {
        assert_eq!(parse(line.as_bytes()), Err(why), "{line:?}");
    }
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 92], b"\r\n"].concat();
    for length in 106..=long.len() {
        assert_eq!(parse(&long[..length]), Err(Malformed::LineTooLong), "{length}");
    }
}

#[test]
fn every_field_of_version_2_is_read() {
    let bytes = &good()[0];
    let header = complete(bytes);
    assert_eq!((header.version, header.command, header.wire_len()), (2, Command::Proxy, bytes.len()));
    assert_eq!(header.endpoints(), Some((at("[2001:db8::7]:51234"), at("[2001:db8::10]:443"))));
    let kinds: Vec<u8> = header.fields().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [tlv::CRC32C, tlv::ALPN, tlv::AUTHORITY, tlv::UNIQUE_ID, tlv::SSL, 0xea], "padding is left out");
    let ssl = header.ssl().unwrap();
    assert_eq!((ssl.client, ssl.verify), (7, 0));
    assert_eq!(ssl.fields.collect::<Vec<_>>(), [(tlv::SSL_VERSION, b"TLSv1.3".as_slice()), (tlv::SSL_CN, b"me")]);
}

#[test]
fn families_and_commands_mean_what_the_protocol_says() {
    let udp = raw(0x21, 0x12, &TCP4);
    assert_eq!(complete(&udp).endpoints(), Some((at("192.0.2.7:51234"), at("192.0.2.10:443"))));
    // A transport, or a family, that is not told: the socket's own addresses hold, fields are read.
    let field = [0xea, 0, 1, b'x'];
    for (family, block) in [
        (0x10, [TCP4.as_slice(), &field].concat()),
        (0x00, field.to_vec()),
        (0x01, field.to_vec()),
        (0x30, vec![0; 216]),
    ] {
        let bytes = raw(0x21, family, &block);
        let header = complete(&bytes);
        assert_eq!((header.addresses, header.endpoints()), (Addresses::Unspecified, None), "{family:#x}");
        assert_eq!(header.wire_len(), bytes.len());
    }
    let bytes = raw(0x21, 0x00, &field);
    assert_eq!(complete(&bytes).fields().collect::<Vec<_>>(), [(0xea, b"x".as_slice())]);
    // What a header about the sender itself holds is passed over, whatever it is.
    let bytes = raw(0x20, 0xff, b"\xea\xff\xffx");
    let header = complete(&bytes);
    assert_eq!(
        (header.command, header.addresses, header.fields().count()),
        (Command::Local, Addresses::Unspecified, 0)
    );
    assert_eq!(header.wire_len(), bytes.len());
    let bytes = &good()[1];
    assert_eq!(complete(bytes).addresses, Addresses::Unix { src: b"\0abs", dst: b"/run/x.sock" });
}

#[test]
fn wrong_headers_of_version_2_are_refused() {
    let mut sum = good()[0].clone();
    *sum.last_mut().unwrap() ^= 1;
    let crc = [tlv::CRC32C, 0, 4, 0, 0, 0, 0];
    for (why, bytes, fault) in [
        ("version 1 with the signature of 2", raw(0x11, 0x11, &TCP4), Malformed::BadVersion),
        ("an unknown command", raw(0x22, 0x11, &TCP4), Malformed::BadCommand),
        ("an unknown family", raw(0x21, 0x41, &TCP4), Malformed::BadFamily),
        ("an unknown transport", raw(0x21, 0x13, &TCP4), Malformed::BadFamily),
        ("half an address", raw(0x21, 0x11, &TCP4[..11]), Malformed::ShortAddresses),
        ("IPv4 where IPv6 is said", raw(0x21, 0x21, &TCP4), Malformed::ShortAddresses),
        ("one path", raw(0x21, 0x31, &[b'x'; 215]), Malformed::ShortAddresses),
        ("half a field", raw(0x21, 0x11, &[TCP4.as_slice(), &[0xea, 0]].concat()), Malformed::BadField),
        ("a cut value", raw(0x21, 0x11, &[TCP4.as_slice(), &[0xea, 0, 2, 0]].concat()), Malformed::BadField),
        ("a long id", raw(0x21, 0, &[[5, 0, 129].as_slice(), &[0; 129]].concat()), Malformed::BadField),
        ("a long name", raw(0x21, 0, &[[2, 1, 0].as_slice(), &[b'x'; 256]].concat()), Malformed::BadField),
        ("half a checksum", raw(0x21, 0, &[3, 0, 2, 0, 0]), Malformed::BadField),
        ("half of TLS", raw(0x21, 0, &[0x20, 0, 4, 1, 0, 0, 0]), Malformed::BadField),
        ("a cut field of TLS", raw(0x21, 0, &[0x20, 0, 9, 1, 0, 0, 0, 0, 0x21, 0, 2, b'T']), Malformed::BadField),
        ("another checksum", sum, Malformed::BadChecksum),
        ("no checksum where one is told", raw(0x21, 0x11, &[TCP4.as_slice(), &crc].concat()), Malformed::BadChecksum),
        ("a long block", raw(0x21, 0x11, &[0; MAX_BLOCK + 1])[..16].to_vec(), Malformed::TooLong),
        ("a long block about itself", raw(0x20, 0, &[0; MAX_BLOCK + 1])[..16].to_vec(), Malformed::TooLong),
        ("a broken signature", b"\r\n\r\n\0\r\nQUIX".to_vec(), Malformed::NoHeader),
    ] {
        assert_eq!(parse(&bytes), Err(fault), "{why}");
    }
}

#[test]
fn a_cut_header_is_partial_and_says_how_much_it_wants() {
    for bytes in good() {
        for length in 0..bytes.len() {
            let Ok(Parsed::Partial(wanted)) = parse(&bytes[..length]) else { panic!("{length} of {bytes:?}") };
            assert!(wanted > length && wanted <= bytes.len(), "{wanted} at {length} of {}", bytes.escape_ascii());
        }
        let followed = [bytes.as_slice(), b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(complete(&followed).wire_len(), bytes.len());
    }
}

#[test]
fn what_is_written_is_read() {
    let mut out = b"before".to_vec();
    line(&mut out, Some((at("192.0.2.7:51234"), at("[2001:db8::10]:443"))));
    assert_eq!(out, b"beforePROXY TCP6 ::ffff:192.0.2.7 2001:db8::10 51234 443\r\n");
    out.clear();
    line(&mut out, None);
    assert_eq!(out, b"PROXY UNKNOWN\r\n");
    let mut out = b"before".to_vec();
    let mixed = Addresses::Inet { src: at("192.0.2.7:51234"), dst: at("[2001:db8::10]:443") };
    Encoder::new(&mut out, Command::Proxy, &mixed, true).finish();
    let header = complete(&out[6..]);
    assert_eq!(header.endpoints(), Some((at("[::ffff:192.0.2.7]:51234"), at("[2001:db8::10]:443"))));
    // What does not fit is left out.
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, Command::Proxy, &Addresses::Unspecified, true);
    assert!(!encoder.field(0xe0, &[0; MAX_BLOCK - 9]) && !encoder.ssl(1, 0, [(tlv::SSL_CN, [0; 5000].as_slice())]));
    assert!(encoder.field(0xe0, &[0; MAX_BLOCK - 10]) && !encoder.field(0xe1, b""));
    encoder.finish();
    assert_eq!((out.len(), complete(&out).fields().count()), (MAX_HEADER, 2));
}

#[test]
fn changed_headers_never_panic_and_never_reach_beyond_their_bytes() {
    const SEED: u64 = 0x9ae0;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let good = good();
    for round in 0..60_000 {
        let mut bytes = good[rng.usize(..good.len())].clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = if rng.bool() { rng.u8(..) } else { bytes[at] ^ 1 << rng.u8(..8) };
        }
        bytes.truncate(rng.usize(..=bytes.len() * 2));
        match parse(&bytes) {
            Ok(Parsed::Complete(header)) => {
                let held: usize = header.fields().map(|(_, value)| value.len() + 3).sum();
                assert!(header.wire_len() <= bytes.len() && held < bytes.len(), "seed {SEED:#x}, round {round}");
                assert_eq!(parse(&bytes[..header.wire_len()]), Ok(Parsed::Complete(header)), "{SEED:#x}, {round}");
                let told = header.fields().any(|(kind, _)| kind == tlv::SSL);
                assert_eq!(header.ssl().is_some(), told, "seed {SEED:#x}, round {round}");
            }
            Ok(Parsed::Partial(wanted)) => {
                assert!(wanted > bytes.len() && wanted <= MAX_HEADER, "seed {SEED:#x}, round {round}");
            }
            Err(_) => {}
        }
    }
}
