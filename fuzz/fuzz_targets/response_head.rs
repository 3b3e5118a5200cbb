//! Responses: as `request_head`, for every kind of request they may answer.
#![no_main]

use evenkeel_proto::{Buf, Connection, Head, Limits, Malformed, Method, Parsed};
use libfuzzer_sys::fuzz_target;

const CAPACITY: usize = 4096;

fn parse(bytes: &[u8], request: Method, step: usize) -> Result<(Head, Parsed), Malformed> {
    let mut head = Head::new();
    head.replace_block(Buf::with_capacity(CAPACITY));
    let mut rest = bytes;
    loop {
        let taken = head.block_mut().extend_from_slice(&rest[..step.min(rest.len())]);
        rest = &rest[taken..];
        let parsed = head.parse_response(&Limits::default(), request)?;
        if parsed == Parsed::Complete || rest.is_empty() {
            return Ok((head, parsed));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&byte, bytes)) = data.split_first() else { return };
    let request = [Method::Get, Method::Head, Method::Connect, Method::Post][usize::from(byte >> 6)];
    let whole = parse(bytes, request, usize::MAX);
    let dripped = parse(bytes, request, usize::from(byte % 32) + 1);
    let (Ok((head, Parsed::Complete)), Ok((other, Parsed::Complete))) = (&whole, &dripped) else {
        match (whole, dripped) {
            (Err(a), Err(b)) => assert_eq!(a, b),
            // A head in pieces may be refused later.
            (_, Ok((_, Parsed::Partial))) => {}
            (a, b) => panic!("{a:?} but in pieces {b:?}"),
        }
        return;
    };
    assert!(head.fields().eq(other.fields()) && head.framing() == other.framing());
    let mut out = Vec::new();
    head.encode_response(head.framing(), Connection::None, &mut out);
    let mut again = Head::new();
    again.replace_block(Buf::with_capacity(out.len() + 1));
    again.block_mut().extend_from_slice(&out);
    let parsed = again.parse_response(&Limits { max_head: usize::MAX, ..Limits::default() }, request);
    assert_eq!(parsed, Ok(Parsed::Complete), "{}", out.escape_ascii());
    assert_eq!(again.head_len(), out.len());
    assert_eq!((again.framing(), again.status(), again.reason()), (head.framing(), head.status(), head.reason()));
    assert!(again.fields().eq(head.fields()), "{}", out.escape_ascii());
    let _ = (head.upgrade(), head.keep_alive(), head.surplus());
});
