//! Properties of the head parser over generated heads: splits make no difference, refused prefixes stay refused, nothing
//! panics, and what is written parses to the same message.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_proto::{Connection, Limits, Malformed, Method, Parsed};
use support::{As, Rng, facts, feed, whole};

const NAMES: &[&str] = &[
    "Accept",
    "x-a",
    "X-Forwarded-For",
    "User-Agent",
    "cookie",
    "Content-Type",
    "TE",
    "Keep-Alive",
    "Expect",
    "Trailer",
    "Via",
];
const VALUES: &[&str] =
    &["", "a", "trailers", "100-continue", "text/html;q=1", "a, b, c", "\u{e9}t\u{e9}", "a  b", "x\ty"];

/// A head that is mostly well-formed.
fn generate(rng: &mut Rng, kind: As) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |s: &str| out.extend_from_slice(s.as_bytes());
    let version = rng.pick(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.3"]);
    match kind {
        As::Request => {
            put(rng.pick(&["", "", "", "\r\n", "\r\n\r\n"]));
            put(rng.pick(&["GET", "POST", "HEAD", "PUT", "OPTIONS", "BREW", "DELETE"]));
            put(" ");
            put(rng.pick(&["/", "/a/b?c=d", "http://host/", "http://host:80?x", "*", "/%20//"]));
            put(&format!(" {version}\r\n"));
            if rng.below(8) > 0 {
                put(rng.pick(&["Host: host\r\n", "host:host\r\n", "HOST: host:80 \r\n"]));
            }
        }
        As::ResponseTo(_) => {
            put(&format!(
                "{version} {}{}\r\n",
                rng.pick(&["200", "204", "304", "404", "100", "101", "503"]),
                rng.pick(&[" OK", " ", "", " a b", " \u{e9}"])
            ));
        }
    }
    for _ in 0..rng.below(8) {
        match rng.below(10) {
            0 => put(rng.pick(&[
                "Content-Length: 5\r\n",
                "content-length:5\r\n",
                "Content-Length: 5, 5\r\n",
                "Content-Length: 6\r\n",
                "Content-Length: 00\r\n",
            ])),
            1 => put(rng.pick(&[
                "Transfer-Encoding: chunked\r\n",
                "transfer-encoding:\tCHUNKED\r\n",
                "Transfer-Encoding: gzip\r\n",
            ])),
            2 => put(rng.pick(&[
                "Connection: close\r\n",
                "Connection: keep-alive, x-a\r\n",
                "Connection: upgrade\r\n",
                "Connection: TE, Via\r\n",
            ])),
            3 => put(rng.pick(&["Upgrade: websocket\r\n", "Proxy-Connection: x\r\n"])),
            _ => {
                let blank = rng.pick(&[" ", " ", " ", "", "  ", "\t"]);
                let tail = rng.pick(&["", "", "", " "]);
                let (name, value) = (rng.pick(NAMES), rng.pick(VALUES));
                put(&format!("{name}:{blank}{value}{tail}\r\n"));
            }
        }
    }
    put("\r\n");
    put(rng.pick(&["", "hello", "GET / HTTP/1.1\r\n", "\n\n", "\r\n\r\n"]));
    out
}

fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..1 + rng.below(3) {
        let at = rng.below(bytes.len());
        let byte = match rng.below(3) {
            0 => rng.next() as u8,
            _ => *rng.pick(&[b"\r", b"\n", b" ", b":", b"\0", b"#", b"\t", b"1", b",", b"\x7f"]).first().unwrap(),
        };
        match rng.below(3) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => {
                bytes.remove(at);
            }
        }
        if bytes.is_empty() {
            bytes.push(byte);
        }
    }
}

fn kind(rng: &mut Rng) -> As {
    match rng.below(5) {
        0 => As::ResponseTo(Method::Get),
        1 => As::ResponseTo(Method::Head),
        2 => As::ResponseTo(Method::Connect),
        _ => As::Request,
    }
}

fn verdict(
    bytes: &[u8],
    kind: As,
    limits: &Limits,
    capacity: usize,
    size: impl FnMut() -> usize,
) -> Result<String, Malformed> {
    feed(bytes, kind, limits, capacity, size).map(|(head, parsed)| match parsed {
        Parsed::Complete => format!("{} {}", head.head_len(), facts(&head)),
        Parsed::Partial => "partial".to_owned(),
    })
}

#[test]
fn splits_and_prefixes() {
    let (mut fine, mut refused) = (0, 0);
    for seed in 1..=1_500 {
        let mut rng = Rng::new(seed);
        let kind = kind(&mut rng);
        let mut bytes = generate(&mut rng, kind);
        if rng.below(3) > 0 {
            damage(&mut rng, &mut bytes);
        }
        let limits = match rng.below(4) {
            0 => Limits { max_headers: 3, max_head: 60 + rng.below(200), max_uri: 4 + rng.below(10) },
            _ => Limits::default(),
        };
        // A block that is smaller than the message is full at the same byte however it was filled.
        let capacity = if rng.below(4) == 0 { 40 + rng.below(200) } else { 1024 };
        let expected = verdict(&bytes, kind, &limits, capacity, || usize::MAX);
        let shown = bytes.escape_ascii().to_string();
        let max = 1 + rng.below(60);
        for max in [1, max] {
            let mut dripped = verdict(&bytes, kind, &limits, capacity, || 1 + rng.below(max));
            if expected.is_err() && dripped.is_ok() {
                // A head in pieces may be refused later, by the time its size has doubled.
                assert_eq!(dripped.as_deref(), Ok("partial"), "seed {seed}: {shown}");
                let mut longer = bytes.clone();
                longer.resize(bytes.len() * 2, b'a');
                dripped = verdict(&longer, kind, &limits, capacity, || 1 + rng.below(max));
            }
            assert_eq!(dripped, expected, "seed {seed}: {shown}");
        }
        let mut seen = None;
        for end in 1..=bytes.len() {
            match (verdict(&bytes[..end], kind, &limits, capacity, || usize::MAX), &seen) {
                (now, Some(before)) => assert_eq!(&now, before, "seed {seed}: the verdict changed at byte {end}"),
                (Ok(text), None) if text == "partial" => {}
                (now, None) => seen = Some(now),
            }
        }
        assert_eq!(seen.unwrap_or(Ok("partial".to_owned())), expected, "seed {seed}");
        match expected {
            Ok(_) => fine += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(fine > 200 && refused > 200, "the generator is out of balance: {fine} fine, {refused} refused");
}

#[test]
fn what_is_written_parses_to_the_same() {
    let mut checked = 0;
    for seed in 1..=6_000 {
        let mut rng = Rng::new(seed);
        let kind = kind(&mut rng);
        let bytes = generate(&mut rng, kind);
        let Ok((mut head, Parsed::Complete)) = whole(&bytes, kind) else { continue };
        if rng.below(2) == 0 {
            head.remove(rng.pick(NAMES).as_bytes());
            head.add(b"X-Added", b"1").unwrap();
            head.set(rng.pick(&["Accept", "Via", "X-a"]).as_bytes(), b"set").unwrap();
        }
        let connection = if head.upgrade().is_some() { Connection::Upgrade } else { Connection::None };
        let mut out = Vec::new();
        match kind {
            As::Request => {
                // A request without Host would be refused as 1.1, which is what is written.
                if head.get(b"host").is_none() {
                    head.add(b"Host", b"host").unwrap();
                }
                head.encode_request(head.framing(), connection, &mut out);
            }
            As::ResponseTo(_) => head.encode_response(head.framing(), connection, &mut out),
        }
        let shown = out.escape_ascii().to_string();
        let (again, parsed) = whole(&out, kind).unwrap_or_else(|e| panic!("seed {seed}: {e} {shown}"));
        assert_eq!((parsed, again.head_len()), (Parsed::Complete, out.len()), "seed {seed}: {shown}");
        assert_eq!(again.framing(), head.framing(), "seed {seed}: {shown}");
        assert_eq!(again.upgrade(), head.upgrade(), "seed {seed}: {shown}");
        assert_eq!(
            (again.method_bytes(), again.target(), again.status(), again.reason()),
            (head.method_bytes(), head.target(), head.status(), head.reason()),
            "seed {seed}"
        );
        assert!(again.fields().eq(head.fields()), "seed {seed}: {shown}");
        // And once more: writing is idempotent.
        let mut twice = Vec::new();
        match kind {
            As::Request => again.encode_request(again.framing(), connection, &mut twice),
            As::ResponseTo(_) => again.encode_response(again.framing(), connection, &mut twice),
        }
        assert!(
            twice == out || connection == Connection::Upgrade || head.framing() != evenkeel_proto::Framing::Empty,
            "seed {seed}: {shown}"
        );
        checked += 1;
    }
    assert!(checked > 2_000, "the generator is out of balance: {checked}");
}

#[test]
fn random_bytes_never_panic() {
    for seed in 1..=3_000 {
        let mut rng = Rng::new(seed);
        let kind = kind(&mut rng);
        let bytes: Vec<u8> = (0..1 + rng.below(300)).map(|_| rng.next() as u8).collect();
        let whole = verdict(&bytes, kind, &Limits::default(), 512, || usize::MAX);
        let dripped = verdict(&bytes, kind, &Limits::default(), 512, || 1);
        assert!(dripped == whole || dripped.as_deref() == Ok("partial"), "seed {seed}: {dripped:?} but {whole:?}");
    }
}
