//! Heads of HTTP/2: what is written as HTTP/1.1 is refused by its parser or is one message, and goes back into HTTP/2
//! without a field that is forbidden there. Frames: the budgets give one verdict however the bytes are split.
#![no_main]

use evenkeel_proto::{Connection, Framing, Head, Limits, Parsed};
use evenkeel_wire::h2::{Budget, Scanner, Scheme, text};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use libfuzzer_sys::fuzz_target;

/// Lines of `method`, `uri`, then `name:value`; bytes that `http` refuses never get past `h2` either.
fn parts(bytes: &[u8]) -> Option<http::request::Parts> {
    let mut lines = bytes.split(|&b| b == b'\n');
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(lines.next()?).ok()?;
    *request.uri_mut() = Uri::try_from(lines.next()?).ok()?;
    for line in lines.take(64) {
        let colon = line.iter().position(|&b| b == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?);
    }
    if bytes.len() % 5 == 0 {
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    }
    Some(request.into_parts().0)
}

fn heads(bytes: &[u8]) {
    let Some(parts) = parts(bytes) else { return };
    let ends = bytes.len() % 2 == 0;
    let mut block = evenkeel_proto::Buf::with_capacity(text::request_length(&parts));
    text::request(&parts, ends, &mut block).expect("the length is never guessed too short");
    let written = block.len();
    let mut head = Head::new();
    head.replace_block(block);
    if !matches!(head.parse_request(&Limits::default()), Ok(Parsed::Complete)) {
        return;
    }
    assert_eq!(head.head_len(), written, "one message");
    assert_eq!(head.get_all(b"host").count(), 1);
    head.set_origin_form();
    let mut out = Vec::new();
    let connection = if head.upgrade().is_some() { Connection::Upgrade } else { Connection::None };
    head.encode_request(head.framing(), connection, &mut out);
    let mut again = Head::new();
    let mut block = evenkeel_proto::Buf::with_capacity(out.len());
    block.extend_from_slice(&out);
    again.replace_block(block);
    let limits = Limits { max_head: out.len(), max_uri: out.len(), ..Limits::default() };
    assert!(matches!(again.parse_request(&limits), Ok(Parsed::Complete)), "{:?}", String::from_utf8_lossy(&out));
    assert_eq!(again.framing(), head.framing());
    if let Ok(request) = text::to_request(&again, &Scheme::HTTP) {
        for name in ["connection", "upgrade", "transfer-encoding", "keep-alive", "proxy-connection", "host"] {
            assert!(!request.headers().contains_key(name), "{name}");
        }
        assert!(request.headers().get("te").is_none_or(|te| te == "trailers"));
    }
    let _ = text::to_response(&again, Framing::Chunked);
    let trailers = text::trailer_fields(bytes);
    assert_eq!(text::trailer_fields(&text::trailer_lines(&trailers)), trailers);
}

fn frames(bytes: &[u8]) {
    let budget = Budget { resets: 3, settings: 3, pings: 3, empty_data: 3, windows: 5, continuations: 2, ..Budget::default() };
    let whole = Scanner::of_server(budget).scan(bytes, 0);
    let mut scanner = Scanner::of_server(budget);
    let step = usize::from(bytes.first().copied().unwrap_or(1) % 16) + 1;
    let pieces = bytes.chunks(step).try_for_each(|piece| scanner.scan(piece, 0));
    assert_eq!(whole, pieces);
}

fuzz_target!(|bytes: &[u8]| {
    heads(bytes);
    frames(bytes);
});
