//! PROXY headers: no panic, the same answer however the bytes are cut, never a byte more than the header has, and what is
//! written again from the parts of a header reads as the same.
#![no_main]

use evenkeel_proto::proxy::{Addresses, Command, Encoder, Header, MAX_HEADER, Parsed, line, parse, tlv};
use libfuzzer_sys::fuzz_target;

/// `None` when there is no room for a checksum too.
fn again(header: &Header<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if header.version == 1 {
        line(&mut out, header.endpoints());
        return Some(out);
    }
    let mut encoder = Encoder::new(&mut out, header.command, &header.addresses, true);
    let fits = header.fields().filter(|(kind, _)| *kind != tlv::CRC32C).all(|(kind, value)| encoder.field(kind, value));
    encoder.finish();
    (fits || header.wire_len() + 7 <= MAX_HEADER).then(|| {
        assert!(fits, "{header:?}");
        out
    })
}

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    match whole {
        Ok(Parsed::Complete(header)) => {
            let end = header.wire_len();
            assert!(end <= data.len());
            for cut in 0..end {
                let partial =
                    matches!(parse(&data[..cut]), Ok(Parsed::Partial(wanted)) if (cut + 1..=end).contains(&wanted));
                assert!(partial, "cut at {cut}");
            }
            let Some(bytes) = again(&header) else { return };
            let Ok(Parsed::Complete(same)) = parse(&bytes) else { panic!("{header:?} became {bytes:?}") };
            assert_eq!((same.command, same.wire_len()), (header.command, bytes.len()));
            assert_eq!(same.endpoints(), header.endpoints());
            if let (Addresses::Unix { .. }, Command::Proxy) = (header.addresses, header.command) {
                assert_eq!(same.addresses, header.addresses);
            }
            assert_eq!(same.ssl(), header.ssl());
        }
        Ok(Parsed::Partial(wanted)) => assert!(wanted > data.len() && wanted <= MAX_HEADER),
        Err(why) => {
            // More bytes do not mend it.
            let more = [data, b"\r\n"].concat();
            assert_eq!(parse(&more), Err(why));
        }
    }
});
