//! The body decoder: chunk syntax, bounds, trailers, and that the way the bytes were split makes no difference.
#![allow(clippy::unwrap_used)]

mod support;

use Malformed as M;
use evenkeel_proto::{Decoder, Framing, MAX_CHUNK_EXTENSION, MAX_TRAILERS, Malformed, chunk_header, last_chunk};
use support::Rng;

#[derive(Debug, PartialEq, Eq)]
struct Body {
    payload: Vec<u8>,
    trailers: Vec<u8>,
    consumed: usize,
    done: bool,
}

/// Decodes `raw` in pieces of these sizes.
fn decode(framing: Framing, raw: &[u8], mut size: impl FnMut() -> usize) -> Result<Body, Malformed> {
    let mut decoder = Decoder::new(framing);
    let (mut payload, mut at) = (Vec::new(), 0);
    while at < raw.len() && !decoder.is_done() {
        let end = at + size().clamp(1, raw.len() - at);
        let mut piece = raw[at..end].to_vec();
        let decoded = decoder.decode(&mut piece)?;
        assert!(decoded.payload <= decoded.consumed && decoded.consumed <= piece.len());
        assert_eq!(decoded.done, decoder.is_done());
        assert!(decoded.done || decoded.consumed == piece.len(), "bytes were left although the message goes on");
        payload.extend_from_slice(&piece[..decoded.payload]);
        at += decoded.consumed;
    }
    Ok(Body { payload, trailers: decoder.trailers().to_vec(), consumed: at, done: decoder.is_done() })
}

fn chunked(raw: &str) -> Result<Body, Malformed> {
    let whole = decode(Framing::Chunked, raw.as_bytes(), || usize::MAX);
    assert_eq!(decode(Framing::Chunked, raw.as_bytes(), || 1), whole, "{raw:?}");
    whole
}

#[test]
fn chunks_that_are_fine() {
    for (raw, payload, trailers) in [
        ("0\r\n\r\n", "", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world", ""),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n", "hello", ""),
        ("5 \t\r\nhello\r\n0 ; x\r\n\r\n", "hello", ""),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ("1\r\na\r\n0\r\nX-Sum: 1\r\ngrpc-status:\t0 \r\n\r\n", "a", "X-Sum: 1\r\ngrpc-status: 0\r\n"),
        (
            "0\r\nContent-Length: 5\r\nHost: b\r\nX: y\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a\r\n\r\n",
            "",
            "X: y\r\n",
        ),
    ] {
        for after in ["", "GET / HTTP/1.1\r\n"] {
            let body = chunked(&format!("{raw}{after}")).unwrap();
            assert!(body.done, "{raw:?}");
            assert_eq!(body.consumed, raw.len(), "stops at the end of the message: {raw:?}");
            assert_eq!((&body.payload[..], &body.trailers[..]), (payload.as_bytes(), trailers.as_bytes()), "{raw:?}");
        }
    }
}

#[test]
fn chunks_that_are_refused() {
    for (raw, fault) in [
        ("\r\n", M::BadChunkSize),
        ("x\r\n", M::BadChunkSize),
        ("-1\r\n", M::BadChunkSize),
        ("+1\r\n", M::BadChunkSize),
        (" 1\r\n", M::BadChunkSize),
        ("0x1\r\n", M::BadChunkSize),
        ("1 1\r\n", M::BadChunkSize),
        ("1\u{0}\r\n", M::BadChunkSize),
        (";a\r\n", M::BadChunkSize),
        ("00000000000000001\r\n", M::BadChunkSize),
        ("80000000\r\n", M::ChunkTooLarge),
        ("ffffffffffffffff\r\n", M::ChunkTooLarge),
        ("5\nhello\r\n", M::BareLf),
        ("5;a\nhello\r\n", M::BareLf),
        ("5 \nhello\r\n", M::BareLf),
        ("5\rhello\r\n", M::BareCr),
        ("5;a\rb\r\nhello\r\n", M::BareCr),
        ("5;a\u{1}\r\nhello\r\n", M::BadChunkSize),
        ("5\r\nhelloX\r\n0\r\n\r\n", M::BadChunkEnd),
        ("5\r\nhello\n0\r\n\r\n", M::BadChunkEnd),
        ("5\r\nhello\rX", M::BadChunkEnd),
        ("5\r\nhello0\r\n\r\n", M::BadChunkEnd),
        ("0\r\n\n", M::BareLf),
        ("0\r\n\rx", M::BareCr),
        ("0\r\nX: y\n\r\n", M::BareLf),
        ("0\r\nX\r\n\r\n", M::BadTrailer),
        ("0\r\nX : y\r\n\r\n", M::BadTrailer),
        ("0\r\n X: y\r\n\r\n", M::BadTrailer),
        ("0\r\nX: y\r\n z\r\n\r\n", M::BadTrailer),
        ("0\r\nX: \u{0}\r\n\r\n", M::BadTrailer),
        ("0\r\n: y\r\n\r\n", M::BadTrailer),
    ] {
        assert_eq!(chunked(raw), Err(fault), "{raw:?}");
    }
}

#[test]
fn bounds() {
    let extension = |n: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(n - 1));
    assert!(chunked(&extension(MAX_CHUNK_EXTENSION)).unwrap().done);
    assert_eq!(chunked(&extension(MAX_CHUNK_EXTENSION + 1)), Err(M::ChunkExtensionTooLong));
    let padding = format!("1{}", " ".repeat(MAX_CHUNK_EXTENSION + 1));
    assert_eq!(chunked(&padding), Err(M::ChunkExtensionTooLong));

    let trailer = |n: usize| format!("0\r\nX:{}\r\n\r\n", "x".repeat(n - 2));
    assert!(chunked(&trailer(MAX_TRAILERS)).unwrap().done);
    assert_eq!(chunked(&trailer(MAX_TRAILERS + 1)), Err(M::TrailersTooLarge));
    // Many lines, of fields that are dropped as well.
    assert_eq!(chunked(&format!("0\r\n{}", "TE:\r\n".repeat(MAX_TRAILERS))), Err(M::TrailersTooLarge));
    assert!(chunked("7fffffff\r\nabc").is_ok());
}

#[test]
fn lengths_and_closes() {
    let body = decode(Framing::Length(5), b"hello world", || 2).unwrap();
    assert_eq!((&body.payload[..], body.consumed, body.done), (&b"hello"[..], 5, true));

    let mut decoder = Decoder::new(Framing::Length(5));
    assert_eq!(decoder.remaining(), Some(5));
    assert_eq!(decoder.decode(&mut b"he".to_vec()).unwrap().payload, 2);
    assert_eq!((decoder.remaining(), decoder.eof()), (Some(3), Err(M::TruncatedBody)));

    for framing in [Framing::Empty, Framing::Length(0)] {
        let mut decoder = Decoder::new(framing);
        assert!(decoder.is_done());
        assert_eq!((decoder.remaining(), decoder.eof()), (None, Ok(())));
        assert_eq!(decoder.decode(&mut b"x".to_vec()).unwrap().consumed, 0);
    }
    for framing in [Framing::UntilClose, Framing::Tunnel] {
        let mut decoder = Decoder::new(framing);
        assert_eq!(decoder.decode(&mut b"xyz".to_vec()).unwrap().payload, 3);
        assert_eq!((decoder.is_done(), decoder.eof(), decoder.is_done()), (false, Ok(()), true));
    }
    for part in
        ["", "5", "5\r\nhel", "5\r\nhello", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0\r\nX: y\r\n"]
    {
        let mut decoder = Decoder::new(Framing::Chunked);
        decoder.decode(&mut part.as_bytes().to_vec()).unwrap();
        assert_eq!(decoder.eof(), Err(M::TruncatedBody), "{part:?}");
    }
}

#[test]
fn chunk_headers() {
    let mut out = [0; 18];
    for n in [0, 1, 15, 16, 500, 65_536, usize::MAX] {
        assert_eq!(chunk_header(n, &mut out), format!("{n:x}\r\n").as_bytes());
    }
    let mut end = Vec::new();
    last_chunk(b"", &mut end);
    assert_eq!(end, b"0\r\n\r\n");
}

/// A body in random chunks with random decoration.
fn random_body(rng: &mut Rng) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (mut raw, mut payload, mut trailers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rng.below(6) {
        let chunk: Vec<u8> = (0..1 + rng.below(40)).map(|_| rng.next() as u8).collect();
        let zeros = "0".repeat(rng.below(3));
        let tail = rng.pick(&["", "", ";x=1", " ", " ;y", ";"]);
        raw.extend_from_slice(format!("{zeros}{:x}{tail}\r\n", chunk.len()).as_bytes());
        raw.extend_from_slice(&chunk);
        raw.extend_from_slice(b"\r\n");
        payload.extend_from_slice(&chunk);
    }
    for _ in 0..rng.below(3) {
        trailers.extend_from_slice(format!("X-T: {}\r\n", rng.below(100)).as_bytes());
    }
    last_chunk(&trailers, &mut raw);
    (raw, payload, trailers)
}

#[test]
fn splits_make_no_difference() {
    for seed in 1..=2_000 {
        let mut rng = Rng::new(seed);
        let (mut raw, payload, trailers) = random_body(&mut rng);
        let length = raw.len();
        raw.extend_from_slice(b"next");
        let expected = Body { payload, trailers, consumed: length, done: true };
        let max = 1 + rng.below(30);
        let body = decode(Framing::Chunked, &raw, || 1 + rng.below(max));
        assert_eq!(body, Ok(expected), "seed {seed}");

        // Damaged ones: whatever the verdict is, it is the same for every split.
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(length);
            raw[at] = *rng.pick(&[b"\r", b"\n", b"0", b"f", b" ", b";", b"\0", b":"]).first().unwrap();
        }
        let whole = decode(Framing::Chunked, &raw, || usize::MAX);
        assert_eq!(decode(Framing::Chunked, &raw, || 1), whole, "seed {seed}");
        assert_eq!(decode(Framing::Chunked, &raw, || 1 + rng.below(9)), whole, "seed {seed}");
    }
}
