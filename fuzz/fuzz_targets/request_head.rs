//! Requests: no panic, the same verdict however the bytes are split, and what is written is read as the same request.
#![no_main]

use evenkeel_proto::{Buf, Connection, Head, Limits, Malformed, Parsed};
use libfuzzer_sys::fuzz_target;

const CAPACITY: usize = 4096;

fn parse(bytes: &[u8], step: usize) -> Result<(Head, Parsed), Malformed> {
    let mut head = Head::new();
    head.replace_block(Buf::with_capacity(CAPACITY));
    let mut rest = bytes;
    loop {
        let taken = head.block_mut().extend_from_slice(&rest[..step.min(rest.len())]);
        rest = &rest[taken..];
        let parsed = head.parse_request(&Limits::default())?;
        if parsed == Parsed::Complete || rest.is_empty() {
            return Ok((head, parsed));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, bytes)) = data.split_first() else { return };
    let whole = parse(bytes, usize::MAX);
    let dripped = parse(bytes, usize::from(step % 32) + 1);
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
    head.encode_request(head.framing(), Connection::None, &mut out);
    let mut again = Head::new();
    again.replace_block(Buf::with_capacity(out.len() + 1));
    again.block_mut().extend_from_slice(&out);
    match again.parse_request(&Limits { max_head: usize::MAX, ..Limits::default() }) {
        Ok(Parsed::Complete) => {}
        // HTTP/1.0 does without Host, but 1.1 is what is written: the transaction adds one.
        Err(Malformed::MissingHost) if head.get(b"host").is_none() => return,
        other => panic!("{other:?}: {}", out.escape_ascii()),
    }
    assert_eq!(again.head_len(), out.len());
    assert_eq!((again.framing(), again.method_bytes(), again.target()), (head.framing(), head.method_bytes(), head.target()));
    assert!(again.fields().eq(head.fields()), "{}", out.escape_ascii());
    let _ = (head.path(), head.query(), head.authority(), head.upgrade(), head.surplus());
});
