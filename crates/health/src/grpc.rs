//! A gRPC check: one unary call of `grpc.health.v1.Health/Check`.
//!
//! Called by [`crate::probe`]. The message has one field each way, so it is written and read here: `string service = 1` and
//! `ServingStatus status = 1` of a message framed by a flag and a length. Never trusts a length that the server sends.

use evenkeel_wire::Stream;
use h2::RecvStream;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Bytes;

use crate::compile::Grpc;
use crate::http::{exchange_h2, read_all};
use crate::probe::Verdict;
use crate::report::CheckStatus;

const PATH: &str = "/grpc.health.v1.Health/Check";

/// The names of `grpc-status`, from 0 on.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Calls, and says whether the answer is SERVING. `authority` is for a check that names no host.
pub(crate) async fn ask(stream: Stream, grpc: &Grpc, authority: &str) -> Verdict {
    let authority = grpc.host.as_deref().unwrap_or(authority);
    let scheme = if stream.tls().is_some() { "https" } else { "http" };
    let uri = match Uri::builder().scheme(scheme).authority(authority).path_and_query(PATH).build() {
        Ok(uri) => uri,
        Err(error) => return Verdict::new(CheckStatus::SockErr).info(format!("{authority}: {error}")),
    };
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut(), *request.version_mut()) = (Method::POST, uri, Version::HTTP_2);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    exchange_h2(stream, request, grpc.message.clone(), weigh).await
}

/// The framed message that asks about `service`.
pub(crate) fn message(service: &str) -> Bytes {
    let mut field = Vec::new();
    if !service.is_empty() {
        field.push(1 << 3 | 2);
        let mut len = service.len();
        while len >= 0x80 {
            field.push(len as u8 | 0x80);
            len >>= 7;
        }
        field.push(len as u8);
        field.extend_from_slice(service.as_bytes());
    }
    let mut out = vec![0];
    out.extend_from_slice(&(field.len() as u32).to_be_bytes());
    out.extend_from_slice(&field);
    out.into()
}

async fn weigh(response: Response<RecvStream>) -> Verdict {
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        let reason = head.status.canonical_reason().unwrap_or_default();
        return Verdict::new(CheckStatus::L7Sts).code(head.status.as_u16()).info(reason);
    }
    let invalid = |info: &str| Verdict::new(CheckStatus::L7Rsp).info(info);
    let grpc = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if !grpc {
        return invalid("the answer is not gRPC");
    }
    // An answer without a message has its status in the head.
    let (body, trailers) = match head.headers.contains_key("grpc-status") {
        true => (Vec::new(), head.headers),
        false => match read_all(body).await {
            Ok(read) => read,
            Err(_) => return invalid("the answer ended early"),
        },
    };
    if let Some(refusal) = refusal(&trailers) {
        return refusal;
    }
    match status(&body) {
        Some(1) => Verdict::new(CheckStatus::L7Ok),
        Some(0) => Verdict::new(CheckStatus::L7Sts).info("UNKNOWN"),
        Some(2) => Verdict::new(CheckStatus::L7Sts).info("NOT_SERVING"),
        Some(3) => Verdict::new(CheckStatus::L7Sts).info("SERVICE_UNKNOWN"),
        _ => invalid("the answer is no HealthCheckResponse"),
    }
}

/// What `grpc-status` says unless it is OK.
fn refusal(trailers: &HeaderMap) -> Option<Verdict> {
    let code = trailers.get("grpc-status").and_then(|code| code.to_str().ok()?.parse::<usize>().ok());
    let Some(code) = code else {
        return Some(Verdict::new(CheckStatus::L7Rsp).info("the answer has no grpc-status"));
    };
    if code == 0 {
        return None;
    }
    let name = CODES.get(code).copied().unwrap_or("no known code");
    let text = trailers.get("grpc-message").map(|text| String::from_utf8_lossy(text.as_bytes()));
    let text = text.map_or_else(String::new, |text| format!(": {text}"));
    Some(Verdict::new(CheckStatus::L7Sts).info(format!("grpc-status {code} ({name}){text}")))
}

/// The status in a framed message; 0 when it is not set, as protobuf has it, `None` when this is no such message.
fn status(framed: &[u8]) -> Option<u64> {
    let (flag, rest) = framed.split_first()?;
    let (len, mut message) = rest.split_first_chunk()?;
    if *flag != 0 || u32::from_be_bytes(*len) as usize != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = varint(&mut message)?,
            (_, 0) => drop(varint(&mut message)?),
            (_, 1) => skip(&mut message, 8)?,
            (_, 2) => {
                let len = varint(&mut message)?;
                skip(&mut message, len)?;
            }
            (_, 5) => skip(&mut message, 4)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn skip(from: &mut &[u8], len: u64) -> Option<()> {
    *from = from.get(usize::try_from(len).ok()?..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_question_is_a_framed_message() {
        assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(message("a.B")[..], *b"\0\0\0\0\x05\x0a\x03a.B");
        let long = message(&"x".repeat(300));
        assert_eq!((long[..5].to_vec(), long[5..8].to_vec()), (vec![0, 0, 0, 1, 47], vec![0x0a, 0xac, 2]));
    }

    #[test]
    fn the_status_is_found_among_fields_of_every_type() {
        assert_eq!(status(b"\0\0\0\0\x02\x08\x01"), Some(1));
        assert_eq!(status(b"\0\0\0\0\0"), Some(0), "what is not set is 0");
        let fields = b"\x1a\x02hi\x11\0\0\0\0\0\0\0\0\x1d\0\0\0\0\x20\x80\x01\x08\x02";
        let framed = [&[0, 0, 0, 0, fields.len() as u8], &fields[..]].concat();
        assert_eq!(status(&framed), Some(2));
        for bad in [
            &b""[..],
            b"\0\0\0\0\x02\x08",
            b"\x01\0\0\0\x02\x08\x01",
            b"\0\0\0\0\x01\x08",
            b"\0\xff\xff\xff\xff\x08\x01",
        ] {
            assert_eq!(status(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn mutated_messages_are_read_or_refused() {
        let seed_text = b"\0\0\0\0\x0a\x08\x01\x1a\x04abcd\x20\x01";
        for seed in 0..2000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = seed_text.to_vec();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            bytes.truncate(rng.usize(1..=bytes.len()));
            let len = bytes.len();
            if len > 5 && rng.bool() {
                bytes[..5].copy_from_slice(&[0, 0, 0, 0, (len - 5) as u8]);
            }
            // Whatever it says, it is one of the two.
            let found = status(&bytes);
            assert!(found.is_none() || bytes.len() >= 5, "seed {seed}: {bytes:?}");
        }
    }
}
