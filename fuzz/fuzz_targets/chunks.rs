//! Chunked bodies: no panic, the same payload and verdict however the bytes are split, and what is written again from the
//! payload and the trailers decodes to the same.
#![no_main]

use evenkeel_proto::{Decoder, Framing, Malformed, chunk_header, last_chunk};
use libfuzzer_sys::fuzz_target;

type Body = (Vec<u8>, Vec<u8>, usize, bool);

fn decode(raw: &[u8], step: usize) -> Result<Body, Malformed> {
    let mut decoder = Decoder::new(Framing::Chunked);
    let (mut payload, mut at) = (Vec::new(), 0);
    while at < raw.len() && !decoder.is_done() {
        let mut piece = raw[at..raw.len().min(at.saturating_add(step))].to_vec();
        let decoded = decoder.decode(&mut piece)?;
        assert!(decoded.payload <= decoded.consumed && (decoded.done || decoded.consumed == piece.len()));
        payload.extend_from_slice(&piece[..decoded.payload]);
        at += decoded.consumed;
    }
    Ok((payload, decoder.trailers().to_vec(), at, decoder.is_done()))
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, raw)) = data.split_first() else { return };
    let whole = decode(raw, usize::MAX);
    assert_eq!(decode(raw, usize::from(step % 32) + 1), whole);
    let Ok((payload, trailers, _, true)) = whole else { return };
    let mut again = Vec::new();
    if !payload.is_empty() {
        again.extend_from_slice(chunk_header(payload.len(), &mut [0; 18]));
        again.extend_from_slice(&payload);
        again.extend_from_slice(b"\r\n");
    }
    last_chunk(&trailers, &mut again);
    let length = again.len();
    assert_eq!(decode(&again, usize::MAX), Ok((payload, trailers, length, true)));
});
