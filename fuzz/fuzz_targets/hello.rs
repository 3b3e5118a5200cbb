//! ClientHellos: no panic, every field within the bytes, the same hello however its message is cut into records, and a cut
//! one never taken for whole.
#![no_main]

use evenkeel_proto::Hello;
use evenkeel_proto::hello::{MAX_HELLO_BYTES, MAX_RECORDS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&size, bytes)) = data.split_first() else { return };
    let hello = match Hello::read(bytes) {
        Hello::Whole(hello) => hello,
        Hello::Partial(hello) => {
            assert!(hello.wire_len() == 0 && bytes.len() < MAX_HELLO_BYTES);
            let _ = (hello.sni(), hello.alpn().count(), hello.ja3_text(), hello.ja4(|_| [0; 32]));
            return;
        }
        Hello::Message(_) | Hello::Other => return,
    };
    let wire = hello.wire_len();
    assert!(wire <= bytes.len());
    let held: usize = hello.extensions().map(|(_, body)| body.len() + 4).sum();
    let told = hello.sni().map_or(0, <[u8]>::len) + hello.alpn().map(<[u8]>::len).sum::<usize>();
    assert!(told <= held && held <= wire && hello.key_shares().map(|(_, key)| key.len()).sum::<usize>() <= held);
    assert!(hello.random().len() == 32 && hello.legacy_version().is_some());
    assert!(matches!(Hello::read(&bytes[..wire - 1]), Hello::Partial(_)));
    // The message again, in records of another size.
    let mut message = Vec::new();
    let mut rest = &bytes[..wire];
    while let [_, _, _, high, low, behind @ ..] = rest {
        let (part, next) = behind.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend_from_slice(part);
        rest = next;
    }
    let size = (usize::from(size) + 1).max(message.len().div_ceil(MAX_RECORDS));
    let mut again = Vec::new();
    for part in message.chunks(size) {
        again.extend_from_slice(&[22, 3, 3]);
        again.extend_from_slice(&(part.len() as u16).to_be_bytes());
        again.extend_from_slice(part);
    }
    let Hello::Whole(same) = Hello::read(&again) else { panic!("another size of records, another answer") };
    assert_eq!((same.ja3_text(), same.sni()), (hello.ja3_text(), hello.sni()));
    assert!(same.extensions().eq(hello.extensions()) && same.cipher_suites().eq(hello.cipher_suites()));
});
